/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Forks the children: what crosses the fork, and when the next attempt is
 * due.  In the master, and in the child up to its entry function.
 */
#include <config.h>

#include <sys/resource.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "master/master_priv.h"

#include "base/fdutil.h"
#include "base/panic.h"
#include "master/mlog.h"
#include "proc/chan.h"
#include "proc/lastwords.h"
#include "proc/logpipe.h"
#include "shm/crash.h"
#include "worker/worker.h"

/* Free descriptor numbers a child must find below its limit. */
#define NOFILE_SLACK 64

/* Seconds before the next start, by failures in a row. */
static const uint8_t backoff_s[] = { 0, 1, 2, 4, 8, 16, 30 };
#define BACKOFF_LAST (sizeof backoff_s - 1)

uint64_t
spawn_backoff_ms(struct place *p, uint64_t lived_ms)
{
	uint64_t ms;

	if (lived_ms >= MASTER_LONG_LIFE_MS)
		p->fails = 0;
	ms = backoff_s[p->fails] * UINT64_C(1000);
	if (p->fails < BACKOFF_LAST)
		p->fails++;
	return ms;
}

static void
fill_heritage(const struct child *c, int chan, int log, struct heritage *h)
{
	struct master *m = c->m;
	const struct zones *z = &m->zones;
	uint32_t i;

	memset(h, 0, sizeof *h);
	h->role = SLOT_ROLE_WORKER;
	h->slot = c->slot;
	h->incarnation = c->incarnation;
	h->nslots = z->geo.nslots;
	h->nworkers = m->nworkers;
	h->conf = &m->conf;
	h->conf_version = m->conf_version;
	memcpy(h->server_id, m->server_id, sizeof h->server_id);
	memcpy(h->info_host, m->listeners.info_host, sizeof h->info_host);
	h->info_port = m->listeners.info_port;
	h->chan = chan;
	h->log = log;
	h->nlisten = m->listeners.n;
	for (i = 0; i < m->listeners.n; i++) {
		h->listen[i].fd = m->listeners.l[i].fd;
		h->listen[i].unix_socket = m->listeners.l[i].unix_socket;
	}
	memcpy(h->bell, z->bell, sizeof h->bell);
	h->control = z->control;
	memcpy(h->index, z->index, sizeof h->index);
	memcpy(h->own, z->own, sizeof h->own);
	h->ring = z->ring;
}

/*
 * The child closes what is the master's and the other children's at once,
 * before anything can go wrong: while it holds an end, nobody sees that end
 * closed.  The zones are closed by heritage_close_rest() when they are mapped.
 */
static void
close_masters(struct master *m)
{
	int i;

	for (i = 0; i < SLOTS_MAX; i++) {
		fd_close(&m->child[i].chan.fd);
		fd_close(&m->child[i].log.fd);
	}
	mlog_close();
	fd_close(&m->signals.fd);
	fd_close(&m->pidfile.fd);
	fd_close(&m->portsfile.fd);
	fd_close(&m->daemon_fd);
	fd_close(&m->snapshot_fd);
	loop_fini(&m->loop);
}

/* Lowers the limit to what the configuration says, as far as descriptors that
 * are open only for now leave room for new ones. */
static void
limit_nofile(const struct master *m, int highest)
{
	struct rlimit rl;
	rlim_t n = m->worker_nofile;

	if (n == 0 || getrlimit(RLIMIT_NOFILE, &rl) == -1)
		return;
	if (n < (rlim_t)highest + NOFILE_SLACK)
		n = (rlim_t)highest + NOFILE_SLACK;
	if (n < rl.rlim_cur) {
		rl.rlim_cur = n;
		(void)setrlimit(RLIMIT_NOFILE, &rl);
	}
}

static _Noreturn void
child_main(const struct child *c, int chan, int log)
{
	struct master *m = c->m;
	static struct heritage h;

	fill_heritage(c, chan, log, &h);
	close_masters(m);
	log_set_role(c->role);
	logpipe_use(log);
	signals_reset_child(chan, &m->listeners);
	if (lastwords_install() == -1)
		log_warn("what kills this worker will not be told");
	limit_nofile(m, chan > log ? chan : log);
	CRASH_ARM_ENV(h.incarnation);
	_exit(worker_main(&h));
}

/* Forks with both pairs open; the pid in the master, or -1 with errno. */
static pid_t
fork_child(struct child *c, const int chan[2], const int log[2])
{
	pid_t pid;

	if ((pid = fork()) == 0) {
		(void)close(chan[0]);
		(void)close(log[0]);
		child_main(c, chan[1], log[1]);
	}
	return pid;
}

static void
init_child(struct child *c, struct place *p, slotno slot)
{
	struct master *m = p->m;

	ASSERT(c->state == CHILD_NONE);
	memset(c, 0, sizeof *c);
	c->m = m;
	c->slot = slot;
	c->place = p->index;
	c->incarnation = ++m->incarnation;
	c->chan.fd = c->log.fd = -1;
	c->conf_sent = c->conf_acked = m->conf_version;
	c->counter = zones_quiescence(&m->zones, slot);
	loop_timer_init(&c->fell_timer, watch_fell_timer);
	snprintf(c->role, sizeof c->role, "w%u", slot);
}

/*
 * A process gone mad may have written over the constants of its zones: its
 * peers have long attached them, but no new one could.  They are put right,
 * and it is ended.
 */
static void
mend_zones(struct master *m)
{
	uint64_t mended = zones_mend(&m->zones);
	struct child *c;
	uint32_t i;

	for (i = 0; i < m->zones.geo.nslots; i++) {
		c = &m->child[i];
		if ((mended >> i & 1) == 0 || c->state == CHILD_NONE ||
		    c->killed)
			continue;
		log_err("killing worker %u (pid %d): it has written over the "
		    "heads of its shared memory", c->slot, (int)c->pid);
		child_kill(c);
	}
}

/* 0 or -1 with errno; the slot is then spare again. */
static int
start_child(struct place *p, slotno slot)
{
	struct master *m = p->m;
	struct child *c = &m->child[slot];
	int chan[2] = { -1, -1 }, log[2] = { -1, -1 };

	mend_zones(m);
	init_child(c, p, slot);
	slots_start(m->zones.slots, slot, c->incarnation, SLOT_ROLE_WORKER);
	CRASH_POINT("spawn.started");
	if (chan_pair(chan) == -1 || logpipe_pair(log) == -1 ||
	    (c->pid = fork_child(c, chan, log)) == -1)
		goto fail;
	fd_close(&chan[1]);
	fd_close(&log[1]);
	c->chan.fd = chan[0];
	c->log.fd = log[0];
	CRASH_POINT("spawn.forked");
	c->born_ms = loop_now(&m->loop);
	c->state = CHILD_STARTING;
	slots_set_pid(m->zones.slots, slot, (uint32_t)c->pid);
	log_debug("worker %u (pid %d) started", slot, (int)c->pid);
	if (child_watch(c) == -1) {
		log_errno("cannot watch worker %u", slot);
		child_kill(c);
	}
	return 0;
fail:
	fd_close(&chan[0]);
	fd_close(&chan[1]);
	fd_close(&log[0]);
	fd_close(&log[1]);
	slots_set_dead(m->zones.slots, slot);
	slots_set_spare(m->zones.slots, slot);
	return -1;
}

void
spawn_place(struct place *p)
{
	struct master *m = p->m;
	uint64_t delay;
	slotno slot;

	if (m->stopping || p->retired)
		return;
	slot = slots_find_spare(m->zones.slots);
	if (slot == SLOTS_NONE) {
		if (!p->waiting)
			log_warnx("no slot is spare: the next worker waits "
			    "until the others have let go of a dead one's");
		p->waiting = true;
		return;
	}
	p->waiting = false;
	if (start_child(p, slot) == 0)
		return;
	delay = spawn_backoff_ms(p, 0);
	if (delay == 0)
		delay = 1000; /* the reason has not gone away yet */
	log_errno("cannot start worker %u, trying again in %u s", slot,
	    (unsigned)(delay / 1000));
	loop_timer_set(&m->loop, &p->timer, loop_now(&m->loop) + delay);
}

void
spawn_waiting(struct master *m)
{
	uint32_t i;

	for (i = 0; i < m->nworkers; i++) {
		if (m->place[i].waiting)
			spawn_place(&m->place[i]);
	}
}

void
spawn_timer(struct loop *loop, struct loop_timer *timer)
{
	(void)loop;
	spawn_place(LOOP_EMBEDDED(timer, struct place, timer));
}
