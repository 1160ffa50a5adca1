/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command line of natsd: one or two dashes before every flag, `-flag
 * value` or `-flag=value`; a boolean takes a value only with `=`.  A flag that
 * nats-server has and natsd has not is an error that says why.
 */
#ifndef MASTER_OPTIONS_H
#define MASTER_OPTIONS_H

#include <stdbool.h>
#include <stdio.h>

#include "conf/conf.h"

/* Exit statuses of the program. */
enum options_exit {
	EXIT_OK = 0,
	EXIT_FAILED = 1, /* at start or at run time */
	EXIT_USAGE = 2,
	EXIT_BAD_CONFIG = 78 /* EX_CONFIG: a restart does not help */
};

enum options_mode {
	OPTIONS_RUN,
	OPTIONS_TEST, /* -t */
	OPTIONS_DUMP, /* --dump_config */
	OPTIONS_SIGNAL, /* --signal */
	OPTIONS_HELP,
	OPTIONS_VERSION
};

struct options {
	enum options_mode mode;
	const char *config; /* NULL: not given; all strings are copies */
	const char *signal; /* text of --signal */
	bool quiet;
	bool daemonize;
	int version_count; /* times --version was given */
	struct conf_override over;
};

/*
 * Reads the command line; secrets in argv are overwritten.  0, or -1 with a
 * text for the user in err (exit status EXIT_USAGE).  Either way the caller
 * ends with options_fini().
 */
int options_parse(int argc, char **argv, struct options *o, char *err,
    size_t errlen);

/* Frees the strings and sets them to NULL. */
void options_fini(struct options *o);

/* The file to read: that of -c, else the built-in one if there is one, else
 * NULL. */
const char *options_config_path(const struct options *o);

void options_print_help(FILE *out);
/* details: compiler, library and paths too. */
void options_print_version(FILE *out, bool details);

#endif
