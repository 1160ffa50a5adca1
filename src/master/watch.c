/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The watchdog: a child whose quiescence counter stands still is killed, and
 * so is one whose zones another finds broken.  In the master.
 */
#include <config.h>

#include <inttypes.h>
#include <signal.h>

#include "master/master_priv.h"

#include "base/strnum.h"

#define WATCH_MS 1000
/* No look counts for more: when we were stopped ourselves, or the machine
 * slept, nobody else is to blame. */
#define WATCH_STEP_MAX_MS (3 * WATCH_MS / 2)
/* Patience while a live peer waits for it, and the least that there is: with
 * sleepers and ourselves waking once a second, two looks in a row may find the
 * same sleep, three may not. */
#define WATCH_AWAITED_MS 2000
/* Time that a child has to get ready, if the watchdog has less. */
#define WATCH_START_MS 10000
#define COMPLAINT_MS 60000
/* So long one that hangs has to say where (and to leave a core, if it may). */
#define FELL_MS 200
#define FELL_CORE_MS 3000

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
	/* One that runs in circles leaves its last words; one that is stopped
	 * or stuck in the kernel cannot. */
	c->felled = true;
	(void)kill(c->pid, SIGABRT);
	loop_timer_set(&c->m->loop, &c->fell_timer, loop_now(&c->m->loop) +
	    (c->m->conf.core_dumps ? FELL_CORE_MS : FELL_MS));
}

void
watch_fell_timer(struct loop *loop, struct loop_timer *timer)
{
	(void)loop;
	child_kill(LOOP_EMBEDDED(timer, struct child, fell_timer));
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

void
watch_timer(struct loop *loop, struct loop_timer *timer)
{
	struct master *m = loop->ctx;
	uint64_t now = loop_now(loop), step = now - m->watch_ms;
	uint64_t awaited;
	struct child *c;
	uint32_t i;

	if (m->stopping)
		return; /* the stop has its own patience */
	if (step > WATCH_STEP_MAX_MS)
		step = WATCH_STEP_MAX_MS;
	awaited = awaited_slots(m);
	for (i = 0; i < m->zones.geo.nslots; i++) {
		c = &m->child[i];
		if (c->killed || c->felled)
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
