/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The master: one process that opens what needs privileges, forks the
 * workers, supervises them and relays what the operator wants.
 */
#ifndef MASTER_MASTER_H
#define MASTER_MASTER_H

#include <stdint.h>

struct conf;
struct options;

/* What was said while the configuration was loaded, to be logged. */
struct master_warnings {
	uint32_t n;
	char *text[64];
};

/*
 * Runs the daemon until it is stopped.  Options and configuration are
 * borrowed for the time; the program's name names the ports file.  Returns
 * the exit status.
 */
int master_main(const struct options *opt, const struct conf *conf,
    const char *program, const struct master_warnings *warnings);

/* How many workers a configuration means: at most one for each usable CPU
 * unless it names a number. */
uint32_t master_workers(const struct conf *conf);

#endif
