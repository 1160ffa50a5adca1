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
#include "proc/chan.h"

/* Time that a child has to get ready, if the watchdog has less. */
#define WATCH_START_MS 10000
#define COMPLAINT_MS 60000
#define OOM_LOOK_MS 60000
/* An accuser waits so long for another one; so long it is remembered; the
 * accusation by one alone that the other does not survive. */
#define FORGIVE_MS 1000
#define FORGOTTEN_MS 10000
#define LAST_WARNING 3
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

/* ---- complaints --------------------------------------------------------
 *
 * Who finds another's zones broken says so; but a worker gone mad says so too,
 * and may believe it: with its consumed position spoiled, a sane one's ring
 * is garbage to it.  The master follows no reference in a zone, so it goes by
 * who says it:
 *
 *	two accuse the same one		it is killed
 *	one accuses two others		the accuser is killed
 *	one accuses one			after FORGIVE_MS the accuser is told to
 *					begin anew; the third time the other
 *					is killed
 *	there are only two workers	the other is killed
 *
 * The last two cost one worker a minute for each that complains, at most.  An
 * accusation ends with the life of either, or FORGOTTEN_MS after it was made.
 */

static uint32_t
count(uint64_t set)
{
	return (uint32_t)__builtin_popcountll(set);
}

/* Slots that are accused by that one right now. */
static uint64_t
accused_by(const struct master *m, slotno slot)
{
	uint64_t set = 0;
	uint32_t i;

	for (i = 0; i < m->zones.geo.nslots; i++)
		if (m->child[i].state == CHILD_LIVE && !m->child[i].killed &&
		    (m->child[i].accusers >> slot & 1) != 0)
			set |= UINT64_C(1) << i;
	return set;
}

void
watch_forget(struct child *c)
{
	uint32_t i;

	c->accusers = 0;
	for (i = 0; i < c->m->zones.geo.nslots; i++)
		c->m->child[i].accusers &= ~(UINT64_C(1) << c->slot);
}

/* The accuser is told to begin anew, or the accusation has got old. */
static void
settle(struct child *c, uint64_t now)
{
	struct master *m = c->m;
	uint64_t set, age;
	slotno s;

	for (set = c->accusers; set != 0; set &= set - 1) {
		s = (slotno)__builtin_ctzll(set);
		age = now - c->accused_ms[s];
		if (age >= FORGOTTEN_MS) {
			c->accusers &= ~(UINT64_C(1) << s);
			c->accusations[s] = 0;
		}
		if (age < FORGIVE_MS || (c->forgiven >> s & 1) != 0)
			continue;
		c->forgiven |= UINT64_C(1) << s;
		if (chan_send(m->child[s].chan.fd, CHAN_FORGIVE,
		    chan_process(c->slot, c->incarnation), NULL, 0, -1) == -1)
			log_errno("cannot tell worker %u to begin anew with "
			    "worker %u", s, c->slot);
	}
}

static void
note(struct child *other, slotno by, uint64_t now)
{
	uint64_t bit = UINT64_C(1) << by;

	if ((other->accusers & bit) == 0)
		other->accusations[by] = 0;
	else if ((other->forgiven & bit) == 0)
		return; /* the same again */
	other->accusers |= bit;
	other->forgiven &= ~bit;
	other->accused_ms[by] = now;
	other->accusations[by]++;
}

/* On one's word alone: a liar must not fell them all. */
static bool
may_fell(struct child *c, const struct child *other, uint64_t now)
{
	struct master *m = c->m;
	uint64_t last = m->felled_ms[c->slot];

	if (m->nworkers > 2 && other->accusations[c->slot] < LAST_WARNING)
		return false;
	if (last == 0 || now - last >= COMPLAINT_MS) {
		m->felled_ms[c->slot] = now;
		return true;
	}
	log_limited(&c->complaint_limit, LOG_LVL_WARN, "worker %u is left "
	    "alone: worker %u has cost another one within the last minute",
	    other->slot, c->slot);
	return false;
}

static void
judge(struct child *c, struct child *other, uint64_t now)
{
	if (count(other->accusers) >= 2) {
		log_err("killing worker %u (pid %d): %u others have found its "
		    "shared memory broken", other->slot, (int)other->pid,
		    count(other->accusers));
		child_kill(other);
	} else if (count(accused_by(c->m, c->slot)) >= 2) {
		log_err("killing worker %u (pid %d): it alone finds the shared "
		    "memory of %u others broken", c->slot, (int)c->pid,
		    count(accused_by(c->m, c->slot)));
		child_kill(c);
	} else if (may_fell(c, other, now)) {
		log_err("killing worker %u (pid %d): worker %u has found its "
		    "shared memory broken", other->slot, (int)other->pid,
		    c->slot);
		child_kill(other);
	}
}

void
watch_complaint(struct child *c, uint64_t whom, const char *text)
{
	struct master *m = c->m;
	uint32_t accused = (uint32_t)whom;
	uint64_t now = loop_now(&m->loop);
	struct child *other;

	if (accused >= m->zones.geo.nslots || accused == c->slot) {
		log_limited(&c->complaint_limit, LOG_LVL_ERR,
		    "worker %u (pid %d) complains of slot %" PRIu32 ", which "
		    "is nonsense: %s", c->slot, (int)c->pid, accused, text);
		return;
	}
	other = &m->child[accused];
	log_limited(&c->complaint_limit, LOG_LVL_ERR,
	    "worker %u (pid %d) complains of worker %u (pid %d): %s", c->slot,
	    (int)c->pid, accused, (int)other->pid, text);
	if (whom != chan_process(accused, other->incarnation) ||
	    c->state != CHILD_LIVE || c->killed ||
	    other->state != CHILD_LIVE || other->killed)
		return;
	note(other, c->slot, now);
	judge(c, other, now);
}

/* ---- want of memory ---------------------------------------------------- */

/* What has long been killed for want of memory is not why a worker is killed
 * now. */
static void
forget_kills(struct master *m, uint64_t now)
{
	if (now - m->oom_ms < OOM_LOOK_MS)
		return;
	m->oom_ms = now;
	(void)oom_look(&m->oom, OOM_PATH, now);
}

/* ---- the timer ---------------------------------------------------------- */

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
		if (c->killed || c->felled)
			continue;
		settle(c, now);
		if (c->state == CHILD_LIVE)
			watch_live(c, step, (awaited >> i & 1) != 0);
		else if (c->state == CHILD_STARTING)
			watch_starting(c, step);
	}
	forget_kills(m, now);
	m->watch_ms = now;
	loop_timer_set(loop, timer, now + WATCH_MS);
}
