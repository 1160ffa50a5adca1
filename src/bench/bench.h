/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * natsbench: the options, and small helpers of all its modules.  natsbench
 * uses nothing of the daemon's own code, so that a fault there cannot hide
 * itself here.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stddef.h>
#include <stdint.h>

enum bench_place {
	BENCH_ANY,	/* wherever the server puts a connection */
	BENCH_SAME,	/* all connections of the load in one worker */
	BENCH_CROSS	/* subscribers in one worker, publishers in another */
};

/* Set by options.c before anything else runs, read by all. */
struct bench_opts {
	const char *command;
	const char *server;
	const char *user, *password, *token;
	const char *subject;	/* prefix of all subjects */
	int pid;		/* root of the server's process tree, 0 none */
	int json, text, no_progress;
	int relay;		/* the server is natsrelay */
	int place;		/* enum bench_place */
	int pubs, subs;
	int queue;		/* all subscribers in one queue group */
	int pairs;		/* publisher i to subscriber i alone */
	int wildcard;		/* one wildcard in place of each subject */
	int subjects;		/* publishers take one at random */
	int headers;		/* header lines in each message */
	int no_check;
	int first;		/* number of the first publisher */
	size_t size_min, size_max; /* payload bytes, at random between */
	size_t block;		/* bytes per write */
	int send_threads, receive_threads;
	uint64_t msgs;		/* per publisher; 0: as many as fit in secs */
	double secs;
	double warm;		/* seconds before measuring, -1 a tenth */
	uint64_t rate;		/* messages per second, of all publishers */
	uint64_t requests;
	int inflight;
	int connections;
	int responders;
	uint64_t others;	/* unrelated subscriptions loaded first */
	int other_conns;
	uint64_t count;		/* subscriptions of subs */
	uint64_t changes;	/* churn: SUB and UNSUB per second */
	uint64_t connects;	/* churn: connections per second */
	int stalled;		/* readers that do not read */
	int apart;		/* ... on a subject of their own */
	double settle;		/* rest before memory is read, seconds */
	double timeout;		/* seconds without progress */
};

extern struct bench_opts bench_o;

/* What a run that cannot go on says.  The first caller, of whatever thread,
 * prints it (in the JSON too) and ends the program with status 1. */
void bench_die(const char *, ...)
    __attribute__((noreturn, format(printf, 1, 2)));

/* Zeroed memory, or the end of the program. */
void *bench_alloc(size_t);

uint64_t bench_now(void); /* monotonic time in nanoseconds */
void bench_sleep(double);
void bench_sleep_until(uint64_t);
uint64_t bench_random(void); /* the same sequence in every run */
double bench_thread_cpu(void); /* CPU seconds of the calling thread */
double bench_own_cpu(void);	/* ... of natsbench */

/* Whether the user has asked for the end (SIGINT, SIGTERM). */
int bench_interrupted(void);
void bench_catch_signals(void);

#endif
