/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The watchdog: a child whose quiescence counter stands still is killed, and
 * so is one whose zones another finds broken.  In the master.
 */
#include <config.h>

#include <inttypes.h>

#include "master/master_priv.h"

#include "base/strnum.h"

#define WATCH_MS 1000
/* A later look than that was kept from us, by a stop of the whole group, a
 * machine that slept or one with too much to do; the workers are given the
 * time until the next look, for they may have fared no better. */
#define WATCH_LATE_MS (3 * WATCH_MS / 2)
/* Patience while a live peer waits for it, and the least that there is: with
 * sleepers and ourselves waking once a second, two looks in a row may find the
 * same sleep, three may not. */
#define WATCH_AWAITED_MS 2000
/* Time that a child has to get ready, if the watchdog has less. */
#define WATCH_START_MS 10000
#define COMPLAINT_MS 60000

/* Slots that some live peer waits for. */
static uint64_t
awaited_slots(const struct master *m)
{
	uint64_t mask = 0;
	uint32_t i;

	for (i = 0; i < m->zones.geo.nslots; i++) {
		if (m->child[i].state == CHILD_LIVE)
			mask |= zones_waits_for(&m->zones, (slotno)i) &
			    ~(UINT64_C(1) << i);
	}
	return mask;
}

static void
fell(struct child *c, const char *why)
{
	char span[NUM_DURATION_MAX];

	num_format_duration(span, sizeof span,
	    c->still_ms / 100 * UINT64_C(100000000));
	log_err("worker %u (pid %d) made no progress for %s%s, killing it",
	    c->slot, (int)c->pid, span, why);
	child_kill(c);
}

static void
watch_live(struct child *c, uint64_t step, bool awaited)
{
	uint64_t limit = c->m->conf.watchdog_ms;
	uint64_t counter = zones_quiescence(&c->m->zones, c->slot);

	if (counter != c->counter) {
		c->counter = counter;
		c->still_ms = 0;
		return;
	}
	c->still_ms += step;
	if (limit == 0)
		return;
	if (limit < WATCH_AWAITED_MS)
		limit = WATCH_AWAITED_MS;
	if (c->still_ms >= limit)
		fell(c, "");
	else if (awaited && c->still_ms >= WATCH_AWAITED_MS)
		fell(c, " while another worker waited for it");
}

static void
watch_starting(struct child *c, uint64_t step)
{
	uint64_t limit = c->m->conf.watchdog_ms;

	c->still_ms += step;
	if (limit == 0)
		return;
	if (c->still_ms >= (limit > WATCH_START_MS ? limit : WATCH_START_MS))
		fell(c, " at its start");
}

/* What the time since the last look counts for.  Looks that are late in a row
 * count a little, else nobody would be watched while the machine is slow. */
static uint64_t
time_to_count(struct master *m, uint64_t step)
{
	bool late = step > WATCH_LATE_MS, again = late && m->watch_late;

	m->watch_late = late;
	if (!late)
		return step;
	return again ? WATCH_MS : 0;
}

void
watch_timer(struct loop *loop, struct loop_timer *timer)
{
	struct master *m = loop->ctx;
	uint64_t now = loop_now(loop), step, awaited;
	struct child *c;
	uint32_t i;

	if (m->stopping)
		return; /* the stop has its own patience */
	step = time_to_count(m, now - m->watch_ms);
	awaited = awaited_slots(m);
	for (i = 0; i < m->zones.geo.nslots; i++) {
		c = &m->child[i];
		if (c->killed)
			continue;
		if (c->state == CHILD_LIVE)
			watch_live(c, step, (awaited >> i & 1) != 0);
		else if (c->state == CHILD_STARTING)
			watch_starting(c, step);
	}
	m->watch_ms = now;
	loop_timer_set(loop, timer, now + WATCH_MS);
}

void
watch_complaint(struct child *c, uint64_t accused, const char *text)
{
	struct master *m = c->m;
	uint64_t now = loop_now(&m->loop), last = m->felled_ms[c->slot];
	struct child *other;

	if (accused >= m->zones.geo.nslots || accused == c->slot) {
		log_limited(&c->complaint_limit, LOG_LVL_ERR,
		    "worker %u complains of slot %" PRIu64 ", which is "
		    "nonsense: %s", c->slot, accused, text);
		return;
	}
	other = &m->child[accused];
	log_limited(&c->complaint_limit, LOG_LVL_ERR,
	    "worker %u complains of worker %" PRIu64 ": %s", c->slot, accused,
	    text);
	if (other->state != CHILD_LIVE || other->killed)
		return;
	if (last != 0 && now - last < COMPLAINT_MS) {
		/* A liar must not fell them all. */
		log_limited(&c->complaint_limit, LOG_LVL_WARN,
		    "worker %" PRIu64 " is left alone: worker %u has cost "
		    "another one within the last minute", accused, c->slot);
		return;
	}
	m->felled_ms[c->slot] = now;
	log_err("killing worker %" PRIu64 " (pid %d): worker %u has found its "
	    "shared memory broken", accused, (int)other->pid, c->slot);
	child_kill(other);
}
