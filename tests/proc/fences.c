/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The full fences of bell and ring, on this machine's processors: two threads
 * meet again and again; one publishes and looks whether the other sleeps,
 * while the other arms and looks whether something is there.  At least one of
 * them has to see the other, each time; likewise for space.  The circle meets
 * this moment too rarely: without a fence it is missed once in thousands.
 */
#include <config.h>

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../lib/shmpair.h"

#include "shm/bell.h"

#define MEETINGS 200000
#define BUDGET_S 5 /* on one processor they hardly ever meet */
#define LEN (uint32_t)(RING_MIN / 8)
#define SPINS 1000

static struct shmpair p;
static struct ring_tx tx;
static struct ring_rx rx;
static struct bell bell;
static bool rung, seen, saw_space, was_asked;

/* Both threads wait here for each other. */
static _Atomic uint64_t arrived;

static void
meet(uint64_t *step)
{
	uint32_t spins = 0;

	*step += 2;
	(void)atomic_fetch_add_explicit(&arrived, 1, memory_order_acq_rel);
	while (atomic_load_explicit(&arrived, memory_order_acquire) < *step)
		if (++spins > SPINS)
			(void)sched_yield();
}

/* Two meetings begin at no exact moment: vary it a little. */
static void
dawdle(uint32_t n)
{
	volatile uint32_t i;

	for (i = 0; i < n % 64; i++)
		;
}

static void
put(void)
{
	struct ring_rec_shm *rec = ring_tx_reserve(&tx, LEN);

	if (rec == NULL)
		abort();
	rec->len = LEN;
	rec->kind = 1;
	ring_tx_commit(&tx, LEN);
}

static void
drain(void)
{
	const struct ring_rec_shm *rec;
	uint32_t len, kind;
	uint64_t limit;

	(void)ring_rx_look(&rx, &limit);
	while (ring_rx_next(&rx, limit, &rec, &len, &kind) == RING_OK)
		;
}

/* The producer's half of one bell and one space meeting. */
static void
produce(uint32_t i, uint64_t *step)
{
	put();
	meet(step);
	dawdle(i);
	(void)ring_tx_publish(&tx);
	rung = bell_ring(&bell);
	meet(step);
	while (ring_tx_fits(&tx, LEN))
		put();
	(void)ring_tx_publish(&tx);
	meet(step); /* the consumer reads all of it */
	meet(step);
	dawdle(i);
	ring_tx_want(&tx);
	saw_space = ring_tx_half_free(&tx);
	meet(step);
	ring_tx_unwant(&tx);
}

static void
consume(uint32_t i, uint64_t *step)
{
	drain();
	(void)ring_rx_release(&rx);
	meet(step);
	dawdle(i / 64);
	bell_arm(p.own[1]);
	seen = ring_rx_pending(&rx);
	meet(step);
	bell_disarm(p.own[1]);
	meet(step);
	drain();
	meet(step);
	dawdle(i / 64);
	was_asked = ring_rx_release(&rx);
	meet(step);
}

static _Atomic uint32_t stop;
static uint32_t missed_bells, missed_space;

static void *
consumer(void *arg)
{
	uint64_t step = 0;
	uint32_t i;

	(void)arg;
	for (i = 0; atomic_load_explicit(&stop, memory_order_acquire) != i;
	    i++) {
		consume(i, &step);
		missed_bells += !rung && !seen;
		missed_space += !saw_space && !was_asked;
		meet(&step);
	}
	return NULL;
}

int
main(void)
{
	time_t end = time(NULL) + BUDGET_S;
	uint64_t step = 0;
	pthread_t thread;
	uint32_t i;

	shmpair_new(&p, RING_MIN);
	shmpair_tx(&p, &tx);
	shmpair_rx(&p, &rx);
	bell_attach(&bell, bell_create(), p.seen[1]);
	atomic_store_explicit(&stop, UINT32_MAX, memory_order_release);
	if (pthread_create(&thread, NULL, consumer, NULL) != 0)
		return EXIT_FAILURE;
	for (i = 0; i < MEETINGS; i++) {
		produce(i, &step);
		if (i == MEETINGS - 1 || time(NULL) > end)
			atomic_store_explicit(&stop, i + 1,
			    memory_order_release);
		meet(&step);
		if (atomic_load_explicit(&stop, memory_order_relaxed) == i + 1)
			break;
	}
	(void)pthread_join(thread, NULL);
	(void)printf("%u meetings, %u missed bells, %u missed space\n", i + 1,
	    missed_bells, missed_space);
	shmpair_free(&p);
	return missed_bells + missed_space == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
