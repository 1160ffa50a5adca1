/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * natsd: a message broker for NATS clients.  Reads the command line and the
 * configuration, then does what was asked: test, print, signal, or run.
 */
#include <config.h>

#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "master/bound.h"
#include "master/master.h"
#include "master/options.h"
#include "master/sendsig.h"

/* Warnings are kept for the log, unless there will be none. */
struct report {
	struct master_warnings warnings;
	bool print_warnings;
};

static void
report_text(void *ctx, bool warning, const char *text)
{
	struct report *r = ctx;
	uint32_t max = sizeof r->warnings.text / sizeof r->warnings.text[0];

	if (!warning)
		fprintf(stderr, "natsd: %s\n", text);
	else if (r->print_warnings)
		fprintf(stderr, "natsd: warning: %s\n", text);
	else if (r->warnings.n < max)
		r->warnings.text[r->warnings.n++] = mem_strdup_or_die(text);
}

static void
free_warnings(struct report *r)
{
	while (r->warnings.n > 0)
		free(r->warnings.text[--r->warnings.n]);
}

static int
usage_error(const char *text)
{
	fprintf(stderr, "natsd: %s\nTry 'natsd --help'.\n", text);
	return EXIT_USAGE;
}

static int
flush_stdout(void)
{
	if (fflush(stdout) == 0)
		return EXIT_OK;
	perror("natsd: cannot write to standard output");
	return EXIT_FAILED;
}

static int
say_valid(const struct options *o, const struct conf *conf)
{
	uint32_t n = master_workers(conf);
	struct bound bound;
	char text[256];

	if (o->quiet)
		return EXIT_OK;
	bound_compute(conf, n, &bound);
	(void)bound_format(&bound, text, sizeof text);
	if (conf->file[0] == '\0')
		fprintf(stderr, "natsd: no configuration file; defaults and "
		    "command line are valid\n");
	else
		fprintf(stderr, "natsd: configuration file %s is valid (%s)\n",
		    conf->file, conf->digest);
	fprintf(stderr, "natsd: %s, with %u worker%s\n", text, n,
	    n == 1 ? "" : "s");
	return EXIT_OK;
}

/* With a broken file the pid file must still be found by its other names. */
static int
send_signal(const struct options *o)
{
	struct report r = { .print_warnings = false };
	static struct conf conf;

	/* A pid or pid file in the text: no configuration is needed. */
	if (strchr(o->signal, '=') == NULL && o->over.pid_file == NULL &&
	    conf_load(options_config_path(o), &o->over, report_text, &r,
		&conf) == -1) {
		free_warnings(&r);
		return EXIT_FAILED;
	}
	free_warnings(&r);
	return sendsig(o->signal, o->over.pid_file != NULL ?
		o->over.pid_file : conf.pid_file);
}

static int
with_config(const struct options *o, char *argv0)
{
	struct report r = { .print_warnings = o->mode != OPTIONS_RUN &&
		!o->quiet };
	static struct conf conf;
	int status;

	if (conf_load(options_config_path(o), &o->over, report_text, &r,
		&conf) == -1 || (conf.workers == 0 &&
	    conf_check_workers(&conf, master_workers(&conf), report_text,
		&r) == -1)) {
		free_warnings(&r);
		return EXIT_BAD_CONFIG;
	}
	if (o->mode == OPTIONS_TEST)
		return say_valid(o, &conf);
	if (o->mode == OPTIONS_DUMP) {
		if (conf_dump(&conf, STDOUT_FILENO) == 0)
			return EXIT_OK;
		perror("natsd: cannot write to standard output");
		return EXIT_FAILED;
	}
	status = master_main(o, &conf, basename(argv0), &r.warnings);
	free_warnings(&r);
	return status;
}

static int
run_mode(const struct options *o, char *argv0)
{
	switch (o->mode) {
	case OPTIONS_HELP:
		options_print_help(stdout);
		return flush_stdout();
	case OPTIONS_VERSION:
		options_print_version(stdout, o->version_count > 1);
		return flush_stdout();
	case OPTIONS_SIGNAL:
		return send_signal(o);
	default:
		return with_config(o, argv0);
	}
}

int
main(int argc, char **argv)
{
	static struct options o;
	char err[1024];
	int status;

	if (fd_keep_standard() == -1)
		status = EXIT_FAILED; /* nowhere to say why */
	else if (options_parse(argc, argv, &o, err, sizeof err) == -1)
		status = usage_error(err);
	else
		status = run_mode(&o, argv[0]);
	options_fini(&o);
	return status;
}
