/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Children that have ended: why, what that means for their place, and the way
 * of their slot back to a spare one.  In the master.
 *
 * A dead slot's index, own and ring zones are emptied when nobody can still
 * look at them.  The live bit goes first; who has begun an iteration before
 * may go on to its end, so everybody must pass two quiescent states after it:
 * the counter (+2 for each) has moved by 4.  A sleeper's counter stands still
 * but its bell was rung: it wakes, and moves on.
 */
#include <config.h>

#include <sys/wait.h>

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "master/master_priv.h"

#include "shm/crash.h"

#define QUIESCE_TWICE 4
#define GRAVE_LOOK_MS 2
#define GRAVE_LOOK_MAX_MS 50

static bool
is_serving(const struct master *m, slotno n)
{
	enum slot_state state = slots_state(m->zones.slots, n);

	return state == SLOT_LIVE || state == SLOT_LEAVING;
}

static void
close_grave(struct master *m, slotno n)
{
	m->grave[n].used = false;
	CRASH_POINT("reap.clear");
	zones_clear_slot(&m->zones, n);
	CRASH_POINT("reap.cleared");
	slots_set_spare(m->zones.slots, n);
	CRASH_POINT("reap.spare");
	log_debug("slot %u is spare", n);
}

static void
open_grave(struct master *m, slotno slot)
{
	struct grave *g = &m->grave[slot];
	uint32_t i;

	memset(g, 0, sizeof *g);
	g->used = true;
	/* Full: the live word before the counters that are noted; pairs with
	 * the fence after each store to a counter in quiesce.c. */
	atomic_thread_fence(memory_order_seq_cst);
	for (i = 0; i < m->zones.geo.nslots; i++) {
		if (!is_serving(m, (slotno)i))
			continue;
		g->waiting |= UINT64_C(1) << i;
		g->counter[i] = zones_quiescence(&m->zones, (slotno)i);
		g->incarnation[i] = slots_incarnation(m->zones.slots,
		    (slotno)i);
	}
	m->grave_looks = 0;
}

/* Forgets who has passed or is gone; true when nobody is left. */
static bool
look_at_grave(struct master *m, struct grave *g)
{
	uint32_t i;

	for (i = 0; i < m->zones.geo.nslots; i++) {
		if ((g->waiting >> i & 1) == 0)
			continue;
		if (!is_serving(m, (slotno)i) ||
		    slots_incarnation(m->zones.slots, (slotno)i) !=
			g->incarnation[i] ||
		    zones_quiescence(&m->zones, (slotno)i) - g->counter[i] >=
			QUIESCE_TWICE)
			g->waiting &= ~(UINT64_C(1) << i);
	}
	return g->waiting == 0;
}

static void
look_at_graves(struct master *m)
{
	uint64_t delay;
	bool left = false, closed = false;
	uint32_t i;

	if (m->stopping)
		return;
	for (i = 0; i < m->zones.geo.nslots; i++) {
		if (!m->grave[i].used)
			continue;
		if (look_at_grave(m, &m->grave[i])) {
			close_grave(m, (slotno)i);
			closed = true;
		} else
			left = true;
	}
	if (left) {
		delay = GRAVE_LOOK_MS * (UINT64_C(1) + m->grave_looks++);
		if (delay > GRAVE_LOOK_MAX_MS)
			delay = GRAVE_LOOK_MAX_MS;
		loop_timer_set(&m->loop, &m->grave_timer,
		    loop_now(&m->loop) + delay);
	}
	if (closed)
		spawn_waiting(m);
}

void
reap_grave_timer(struct loop *loop, struct loop_timer *timer)
{
	(void)timer;
	look_at_graves(loop->ctx);
}

/* "killed by signal 11" or "exited with status 1". */
static void
format_cause(char *out, size_t outlen, int status)
{
	if (WIFSIGNALED(status))
		snprintf(out, outlen, "killed by signal %d%s",
		    WTERMSIG(status),
		    WCOREDUMP(status) ? " (core dumped)" : "");
	else
		snprintf(out, outlen, "exited with status %d",
		    WEXITSTATUS(status));
}

/* Counts a death; true if there were too many in too short a time. */
static bool
count_death(struct place *p, uint64_t now)
{
	p->death_ms[p->deaths % MASTER_LOOP_DEATHS] = now;
	p->deaths++;
	if (p->deaths < MASTER_LOOP_DEATHS)
		return false;
	/* The next one to be overwritten is the oldest of the last ten. */
	return now - p->death_ms[p->deaths % MASTER_LOOP_DEATHS] <
	    MASTER_LOOP_MS;
}

static uint32_t
places_left(const struct master *m)
{
	uint32_t i, n = 0;

	for (i = 0; i < m->nworkers; i++)
		n += !m->place[i].retired;
	return n;
}

/* A SIGKILL that is not ours is the operator's or, mostly, the kernel's. */
static const char *
hint(const struct child *c, int status)
{
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL || c->killed)
		return "";
	switch (oom_look(&c->m->oom, OOM_PATH, loop_now(&c->m->loop))) {
	case OOM_SOME:
		return "; the kernel has killed it, or another process, for "
		    "want of memory";
	case OOM_NONE:
		return "";
	case OOM_UNKNOWN:
		break;
	}
	return "; if nobody else did it, the kernel has killed it for want of "
	    "memory";
}

/* What its zone says as it is found after the death: numbers for the log that
 * nobody follows. */
struct estate {
	uint64_t connections;
	uint64_t serving; /* client id, 0 = none */
};

static void
log_death(const struct child *c, int status, const struct estate *e,
    const char *next)
{
	char cause[64], last[64] = "";

	format_cause(cause, sizeof cause, status);
	if (WIFSIGNALED(status) && e->serving != 0)
		snprintf(last, sizeof last, ", serving cid:%" PRIu64,
		    e->serving);
	log_err("worker %u (pid %d) %s, %" PRIu64 " connections lost, %s; "
	    "place %u%s%s", c->slot, (int)c->pid, cause, e->connections, next,
	    c->place, last, hint(c, status));
}

enum verdict { GO_ON, GIVE_UP_LOOP, GIVE_UP_START, GIVE_UP_NONE_LEFT };

static enum verdict
judge(const struct place *p, bool looping)
{
	if (looping)
		return GIVE_UP_LOOP;
	if (!p->m->ready && (p->retired || p->deaths >= MASTER_START_DEATHS))
		return GIVE_UP_START;
	return places_left(p->m) == 0 ? GIVE_UP_NONE_LEFT : GO_ON;
}

static void
format_next(char *out, size_t outlen, const struct place *p,
    enum verdict verdict, uint64_t delay)
{
	if (p->retired)
		snprintf(out, outlen, "not restarting: it asked for it");
	else if (verdict != GO_ON)
		snprintf(out, outlen, "not restarting");
	else if (delay > 0)
		snprintf(out, outlen, "restarting in %u s",
		    (unsigned)(delay / 1000));
	else
		snprintf(out, outlen, "restarting");
}

static void
give_up(struct place *p, enum verdict verdict, slotno slot)
{
	if (verdict == GIVE_UP_LOOP)
		log_at(LOG_LVL_FATAL, "crash loop: worker place %u has died "
		    "%d times within %d seconds, giving up", p->index,
		    MASTER_LOOP_DEATHS, MASTER_LOOP_MS / 1000);
	else if (verdict == GIVE_UP_START)
		log_at(LOG_LVL_FATAL, "worker %u does not start; see the "
		    "messages before", slot);
	else
		log_at(LOG_LVL_FATAL, "no worker is left, giving up");
	master_stop(p->m, 1);
}

/* What the death of its process means for the place and for the daemon. */
static void
mourn(struct child *c, int status, const struct estate *e)
{
	struct master *m = c->m;
	struct place *p = &m->place[c->place];
	uint64_t now = loop_now(&m->loop), delay;
	enum verdict verdict;
	char next[64];

	p->retired = WIFEXITED(status) &&
	    WEXITSTATUS(status) == HERITAGE_EXIT_NO_RESPAWN;
	verdict = judge(p, count_death(p, now));
	delay = spawn_backoff_ms(p, now - c->born_ms);
	format_next(next, sizeof next, p, verdict, delay);
	log_death(c, status, e, next);
	if (verdict != GO_ON)
		give_up(p, verdict, c->slot);
	else if (delay == 0)
		spawn_place(p);
	else if (!p->retired)
		loop_timer_set(&m->loop, &p->timer, now + delay);
}

static void
bury(struct child *c, int status)
{
	struct master *m = c->m;
	struct estate e = {
		.connections = zones_connections(&m->zones, c->slot),
		.serving = zones_serving(&m->zones, c->slot),
	};
	char cause[64];

	child_drain_log(c);
	child_unwatch(c);
	watch_forget(c);
	loop_timer_cancel(&m->loop, &c->fell_timer);
	CRASH_POINT("reap.dead");
	slots_set_dead(m->zones.slots, c->slot);
	CRASH_POINT("reap.bells");
	zones_ring_bells(&m->zones, ~UINT64_C(0));
	c->state = CHILD_NONE;
	open_grave(m, c->slot);
	if (m->stopping) {
		format_cause(cause, sizeof cause, status);
		if (WIFSIGNALED(status) && !c->killed)
			log_err("worker %u (pid %d) %s while stopping",
			    c->slot, (int)c->pid, cause);
		else
			log_debug("worker %u (pid %d) %s", c->slot,
			    (int)c->pid, cause);
		master_check_stopped(m);
		return;
	}
	mourn(c, status, &e);
	look_at_graves(m);
	reload_check(m);
}

void
reap_children(struct master *m)
{
	uint32_t i;
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (i = 0; i < SLOTS_MAX; i++) {
			if (m->child[i].state != CHILD_NONE &&
			    m->child[i].pid == pid) {
				bury(&m->child[i], status);
				break;
			}
		}
	}
	if (pid == -1 && errno != ECHILD && errno != EINTR)
		log_errno("waitpid");
}
