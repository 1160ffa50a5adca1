/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * The command line of natsbench.
 */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

/* Fills bench_o and returns what runs the command.  Ends the program with
 * status 2 if the arguments are wrong, with 0 after -h or -V. */
void (*options_parse(int argc, char *argv[]))(void);

#endif
