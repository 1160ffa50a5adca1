/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * A flow: publishers that send, at full speed or at a rate, and subscribers
 * that check all that comes.  Several flows may run at a time, each on subjects
 * of its own.
 *
 *	flow_init(&f); ... change what it has from the options ...
 *	flow_open(&f);
 *	flow_start(&f, msgs, secs); flow_wait(&f); flow_join(&f);	any number
 *	flow_close(&f);
 *
 * All called by the main thread.  A message that was lost, came twice, out of
 * order or damaged ends the program (bench_die()).
 */
#ifndef BENCH_FLOW_H
#define BENCH_FLOW_H

#include <pthread.h>

#include "bench/conn.h"
#include "bench/hist.h"
#include "bench/shape.h"

struct flow_tx; /* a publisher */
struct flow_rx; /* a subscriber */

struct flow_tx_thread {
	pthread_t tid;
	struct flow *f;
	int first;		/* has publishers first, first + threads, ... */
	double cpu;
};

struct flow_rx_thread {
	pthread_t tid;
	struct flow *f;
	int first;
	int ep;			/* -1: has one subscriber only */
	char *buf;
	double cpu;
	uint64_t count, payload; /* not yet in those that others read */
	_Atomic uint64_t delivered, bytes;
	uint64_t first_ns, last_ns, pause_ns;
	uint32_t pongs, pongs_wanted;
	struct hist *lat;	/* if timed */
};

struct flow_result {
	uint64_t published, delivered, bytes;
	double secs;
	double server_cpu, own_cpu, send_cpu, receive_cpu;
	uint64_t pause_ns;	/* longest time without a message, of a thread
				   that receives */
	uint64_t late_ns;	/* paced: how far behind the plan at most */
	struct hist lat;	/* paced */
};

struct flow {
	/* flow_init() takes these from the options. */
	struct shape shape;
	int pubs, subs;
	int queue, pairs, wildcard, check;
	int first;		/* number of the first publisher */
	int send_threads, receive_threads;
	size_t block;
	uint64_t rate;		/* 0: full speed */
	int quiet;		/* no progress bar */
	int shares_cpu;		/* with another one: its own is not known */
	int may_block;		/* the server may stop publishers for long */
	/* What flow_join() leaves. */
	struct flow_result res;
	/* Private. */
	struct flow_tx *txs;
	struct flow_rx *rxs;
	struct flow_tx_thread *tt;
	struct flow_rx_thread *rt;
	int ntt, nrt;		/* threads that run */
	int runs;
	uint64_t msgs;
	double secs;
	uint64_t start_ns, end_ns;
	double cpu0, own0;
	uint64_t **sent_at;	/* paced: per publisher, by number */
	uint64_t sent_mask;
	_Atomic int stop;	/* publishers shall stop */
	_Atomic int sent;	/* threads that have sent everything */
	_Atomic uint64_t late_ns;
};

void flow_init(struct flow *);
void flow_open(struct flow *);

/* Sends msgs messages per publisher (0: no limit) for secs seconds (0: no
 * limit); without publishers, receives so many per subscriber. */
void flow_start(struct flow *, uint64_t msgs, double secs);

/* Waits until all has been sent and delivered.  flow_wait_until() returns at
 * that time at the latest: 0 not yet, 1 done. */
void flow_wait(struct flow *);
int flow_wait_until(struct flow *, uint64_t ns);
void flow_stop(struct flow *);

/* Makes sure that nothing more comes, ends the threads, and leaves res. */
void flow_join(struct flow *);
void flow_close(struct flow *);

/* Messages delivered (or, without subscribers, sent) in this run so far. */
uint64_t flow_delivered(const struct flow *);

#endif
