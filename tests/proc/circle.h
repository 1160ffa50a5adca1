/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A member of a circle: takes messages from the ring of the one before it,
 * checks them, and passes them to the one behind it; sends some of its own
 * and knows them when they come round.  The same code runs as processes
 * (ring_circle.c, whose members get killed) and as threads (ring_threads.c).
 */
#ifndef TESTS_CIRCLE_H
#define TESTS_CIRCLE_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/bell.h"
#include "shm/own.h"
#include "shm/ring.h"
#include "shm/slots.h"
#include "shm/zone.h"

#define CIRCLE_OWN 9 /* messages each member has under way */
#define CIRCLE_BODY 6000 /* bytes of the largest */

/* What went wrong; a member says it on stderr too. */
enum circle_status {
	CIRCLE_OK = 0,
	CIRCLE_BROKEN = 2, /* a ring was broken */
	CIRCLE_CONTENT = 3, /* a record's bytes were not what was sent */
	CIRCLE_ORDER = 4, /* repeated, reordered, or lost without a death */
	CIRCLE_ASLEEP = 5, /* nobody woke us up for work that was there */
	CIRCLE_SYSTEM = 6
};

/* Filled by the caller up to `epoll`; the zones' mappings are borrowed. */
struct circle {
	const struct slots_shm *slots; /* conf_version != 0: stop */
	uint32_t n; /* members */
	slotno self;
	uint32_t incarnation;
	struct own_shm *own;
	struct zone own_zone;
	const struct own_shm *own_prev, *own_next;
	struct zone ring_in, ring_out;
	int bell_fd[SLOTS_MAX];

	int epoll;
	struct ring_tx tx;
	struct ring_rx rx;
	struct bell bell_prev, bell_next;
	uint64_t membership, live;
	uint32_t inc_prev, inc_next;
	bool next_live, parked;
	uint64_t era; /* membership in which our messages were sent */
	uint64_t to_send; /* of them, not yet sent */
	uint64_t sent;
	struct {
		uint32_t incarnation;
		uint64_t era, seq;
	} last[SLOTS_MAX]; /* seen from each origin */
};

/* Attach to the rings; before the slot is live. */
enum circle_status circle_attach(struct circle *c);
/* Until the stop word is set.  Rounds made are counted in the scoreboard's
 * in_msgs, records passed on in out_msgs, waits for space in
 * ring_full_waits. */
enum circle_status circle_run(struct circle *c);

#endif
