/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * CPU time and memory of the server's process tree, of the root that --pid
 * names.  Called by the main thread only; everything is 0 without --pid.
 */
#ifndef BENCH_PROC_H
#define BENCH_PROC_H

/* Ends the program if there is no such process. */
void proc_init(void);

/* CPU seconds used so far: of all threads, those that have ended too, and of
 * children that have ended. */
double proc_cpu(void);

/* Bytes of memory, shared pages counted once (PSS; without the right to read
 * that, RssAnon + RssShmem, as proc_memory_kind() tells). */
double proc_memory(void);
const char *proc_memory_kind(void);

int proc_count(void); /* processes at the last look */

#endif
