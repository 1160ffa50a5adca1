/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The circle as threads of one process, where ThreadSanitizer can see it: one
 * mapping of each zone, so that both sides use the same addresses.
 */
#include <config.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "circle.h"

#include "shm/score.h"

#define N 4
#ifndef ROUNDS /* tsan.sh has its own */
#define ROUNDS 20000
#endif
#define DEADLINE_S 300

struct member {
	struct circle circle;
	enum circle_status status;
	pthread_t thread;
};

static void
must(bool ok, const char *what)
{
	if (!ok) {
		perror(what);
		exit(99);
	}
}

static struct zone
make_zone(const char *name, uint32_t magic, size_t size)
{
	struct zone_fds fds;
	struct zone z;

	must(zone_create(name, magic, size, &fds) == 0, "zone_create");
	must(zone_map_rw(&fds, magic, &z) == 0, "zone_map_rw");
	zone_close(&fds);
	return z;
}

static void *
run(void *arg)
{
	struct member *m = arg;

	m->status = circle_run(&m->circle);
	return NULL;
}

static uint64_t
rounds_of(const struct member *m)
{
	return score_get(&score_proc(&m->circle.own_zone)->in_msgs);
}

/* Until each has seen its messages come round often enough, or one has
 * failed (it says so, and then the others stand still until the deadline). */
static bool
wait_for_rounds(const struct member *m)
{
	const struct timespec tick = { .tv_nsec = 1000000 };
	time_t end = time(NULL) + DEADLINE_S;
	uint32_t i;

	for (i = 0; i < N; i++)
		while (rounds_of(&m[i]) < ROUNDS) {
			if (time(NULL) > end)
				return false;
			(void)nanosleep(&tick, NULL);
		}
	return true;
}

static void
build(struct member *m, struct slots_shm *slots)
{
	struct zone own[N], ring[N];
	struct circle *c;
	int bell[N];
	uint32_t i, k;

	for (i = 0; i < N; i++) {
		own[i] = make_zone("own", OWN_MAGIC, own_shm_size(0));
		ring[i] = make_zone("ring", RING_MAGIC,
		    ring_shm_size(RING_MIN));
		ring_shm_init((struct ring_shm *)(void *)ring[i].base,
		    RING_MIN);
		must((bell[i] = bell_create()) != -1, "bell_create");
		slots_start(slots, (slotno)i, i + 1, SLOT_ROLE_WORKER);
	}
	for (i = 0; i < N; i++) {
		c = &m[i].circle;
		c->slots = slots;
		c->n = N;
		c->self = (slotno)i;
		c->incarnation = i + 1;
		c->own_zone = own[i];
		c->own = (struct own_shm *)(void *)own[i].base;
		c->own_prev = (const void *)own[(i + N - 1) % N].base;
		c->own_next = (const void *)own[(i + 1) % N].base;
		c->ring_out = ring[i];
		c->ring_in = ring[(i + N - 1) % N];
		for (k = 0; k < N; k++)
			c->bell_fd[k] = bell[k];
		must(circle_attach(c) == CIRCLE_OK, "circle_attach");
	}
}

int
main(void)
{
	static struct member m[N];
	struct slots_geometry g = { .nslots = N, .ring_bytes = RING_MIN };
	struct zone control;
	struct slots_shm *slots;
	uint32_t i, failed = 0;

	control = make_zone("control", SLOTS_MAGIC, slots_shm_size());
	slots = (struct slots_shm *)(void *)control.base;
	slots_shm_init(slots, &g);
	build(m, slots);
	for (i = 0; i < N; i++)
		slots_set_live(slots, (slotno)i);
	for (i = 0; i < N; i++)
		must(pthread_create(&m[i].thread, NULL, run, &m[i]) == 0,
		    "pthread_create");
	if (!wait_for_rounds(m)) {
		(void)fprintf(stderr, "no progress\n");
		failed++;
	}
	atomic_store_explicit(&slots->conf_version, 1, memory_order_release);
	for (i = 0; i < N; i++)
		bell_ring_always(m[0].circle.bell_fd[i]);
	for (i = 0; i < N; i++) {
		must(pthread_join(m[i].thread, NULL) == 0, "pthread_join");
		failed += m[i].status != CIRCLE_OK;
		(void)printf("member %u: %llu rounds, %llu waits for space\n",
		    i, (unsigned long long)rounds_of(&m[i]),
		    (unsigned long long)score_get(&score_proc(
		    &m[i].circle.own_zone)->ring_full_waits));
	}
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
