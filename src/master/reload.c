/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reload: the whole new file is read and checked, then all of it is in force,
 * in the master and by one snapshot in every child; or nothing is.
 */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "master/master_priv.h"

#include "base/fdutil.h"
#include "base/strnum.h"
#include "conf/snapshot.h"
#include "master/mlog.h"
#include "master/options.h"
#include "master/reread.h"

/* Patience with a child's acknowledgement if there is no watchdog. */
#define ACK_MS 10000

static void
fail(const char *text)
{
	log_err("Failed to reload server configuration: %s", text);
}

static void
report(void *ctx, bool warning, const char *text)
{
	(void)ctx;
	if (warning)
		log_warnx("%s", text);
	else
		fail(text);
}

/* Names that nats-server logs in a way of their own. */
static const struct {
	const char *name;
	const char *text; /* what is logged instead of "Reloaded: name" */
	bool value; /* " = value" follows */
} irregular[] = {
	{ "client_advertise", "Reload: client_advertise", true },
	{ "authorization.user", "Reloaded: authorization username", false },
	{ "authorization.password", "Reloaded: authorization password",
	    false },
	{ "authorization.token", "Reloaded: authorization token", false },
	{ "authorization.timeout", "Reloaded: authorization timeout", true },
};

/* Switches are logged as nats-server does it. */
static const char *
plain_value(const char *value)
{
	if (strcmp(value, "on") == 0)
		return "true";
	return strcmp(value, "off") == 0 ? "false" : value;
}

static void
log_live_change(const char *name, const char *value)
{
	size_t i;

	value = plain_value(value);
	for (i = 0; i < sizeof irregular / sizeof irregular[0]; i++) {
		if (strcmp(irregular[i].name, name) != 0)
			continue;
		if (irregular[i].value)
			log_notice("%s = %s", irregular[i].text, value);
		else
			log_notice("%s", irregular[i].text);
		return;
	}
	log_notice("Reloaded: %s = %s", name, value);
}

static void
log_change(void *ctx, const char *name, const char *oldv, const char *newv,
    bool restart, uint32_t line)
{
	const struct conf *next = ctx;

	if (!restart)
		log_live_change(name, newv);
	else if (line > 0)
		log_warnx("%s:%u: %s: changed, takes effect at the next "
		    "restart (running: %s)", next->file, line, name, oldv);
	else
		log_warnx("%s: %s: changed, takes effect at the next restart "
		    "(running: %s)", next->file, name, oldv);
}

/* Connections have their places in zones that were made at the start. */
static void
warn_room(const struct master *m, const struct conf *next)
{
	uint32_t room = m->zones.geo.nlines;

	if (next->max_connections == m->conf.max_connections ||
	    (next->max_connections != 0 && next->max_connections <= room))
		return;
	log_warnx("max_connections: until the next restart a worker has room "
	    "for %" PRIu32 " connections", room);
}

/* The new file in the place that log lines and the master's own files have. */
static int
apply_log(const struct master *m, const struct conf *next)
{
	char err[1024];

	if (!mlog_same(&m->conf, next) &&
	    mlog_open(next, m->detached, err, sizeof err) == -1) {
		fail(err);
		return -1;
	}
	return 0;
}

static void
apply_ports(struct master *m, const struct conf *next)
{
	char err[2304];

	if (strcmp(m->conf.ports_file_dir, next->ports_file_dir) == 0)
		return;
	portsfile_remove(&m->portsfile);
	if (next->ports_file_dir[0] != '\0' &&
	    (portsfile_open(&m->portsfile, next->ports_file_dir, m->program,
		err, sizeof err) == -1 ||
		portsfile_fill(&m->portsfile, &m->listeners, err,
		    sizeof err) == -1))
		log_err("%s", err);
}

static void
finish(struct master *m)
{
	m->reloading = false;
	loop_timer_cancel(&m->loop, &m->reload_timer);
	log_notice("Reloaded server configuration (%s)", m->conf.digest);
	if (m->reload_again) {
		m->reload_again = false;
		reload_start(m);
	}
}

void
reload_check(struct master *m)
{
	uint32_t i;

	if (!m->reloading || m->stopping)
		return;
	for (i = 0; i < m->zones.geo.nslots; i++) {
		if (m->child[i].state == CHILD_LIVE &&
		    m->child[i].conf_acked < m->conf_version)
			return;
	}
	finish(m);
}

void
reload_send(struct child *c)
{
	struct master *m = c->m;

	if (c->conf_sent == m->conf_version)
		return;
	/* Nobody waits for one that leaves to take it. */
	if (child_send(c, CHAN_CONF, m->conf_version, m->snapshot_fd,
		"the configuration") == -1)
		c->conf_acked = m->conf_version;
	c->conf_sent = m->conf_version;
}

/* Whether it goes off so late that the workers may not have run either, as a
 * look of the watchdog may, see WATCH_LATE_MS.  They get more time, once. */
static bool
was_late(struct master *m, struct loop_timer *timer)
{
	uint64_t now = loop_now(&m->loop);

	if (m->reload_late || now - timer->due_ms <= WATCH_LATE_MS / 2)
		return false;
	m->reload_late = true;
	loop_timer_set(&m->loop, timer, now + WATCH_MS);
	return true;
}

void
reload_timer(struct loop *loop, struct loop_timer *timer)
{
	struct master *m = loop->ctx;
	bool kill = m->conf.watchdog_ms != 0;
	struct child *c;
	uint32_t i;

	if (m->stopping)
		return; /* the stop has its own patience */
	if (was_late(m, timer))
		return;
	for (i = 0; i < m->zones.geo.nslots; i++) {
		c = &m->child[i];
		if (c->state != CHILD_LIVE || c->killed ||
		    c->conf_acked >= m->conf_version)
			continue;
		log_err("worker %u (pid %d) has not taken the new "
		    "configuration%s", c->slot, (int)c->pid,
		    kill ? ", killing it" : "; there is no watchdog to end "
		    "it");
		if (kill)
			child_kill(c);
	}
	if (!kill)
		finish(m);
}

/* A socket whose file somebody has removed, to everybody who has the old one:
 * who is only starting reads it when it has started. */
static void
renew_listener(struct master *m, uint32_t n)
{
	struct child *c;
	uint32_t i;

	if (!listen_renew(&m->listeners.l[n], &m->conf))
		return;
	for (i = 0; i < m->zones.geo.nslots; i++) {
		c = &m->child[i];
		if (c->state != CHILD_NONE && !c->killed)
			(void)child_send(c, CHAN_LISTEN, n,
			    m->listeners.l[n].fd, "a socket");
	}
}

/* To everybody who serves; who is only starting gets it when ready. */
static void
distribute(struct master *m)
{
	uint64_t patience = m->conf.watchdog_ms != 0 ? m->conf.watchdog_ms :
						       ACK_MS;
	uint32_t i;

	if (patience < WATCH_AWAITED_MS)
		patience = WATCH_AWAITED_MS;
	m->reloading = true;
	m->reload_late = false;
	loop_timer_set(&m->loop, &m->reload_timer,
	    loop_now(&m->loop) + patience);
	for (i = 0; i < m->zones.geo.nslots; i++) {
		if (m->child[i].state == CHILD_LIVE)
			reload_send(&m->child[i]);
	}
	reload_check(m);
}

static void
commit(struct master *m, struct conf *next, int snapshot)
{
	fd_close(&m->snapshot_fd);
	m->snapshot_fd = snapshot;
	apply_ports(m, next);
	m->conf = *next;
	listen_reload(&m->listeners, next);
	m->conf_version++;
	/* Release: nothing but a number that says "there is a newer one". */
	atomic_store_explicit(&m->zones.slots->conf_version, m->conf_version,
	    memory_order_release);
	log_set_debug(m->conf.debug);
	log_set_trace(m->conf.trace);
}

static void
reload_file(struct master *m, struct conf *next, struct conf *kept)
{
	uint32_t i;
	int snapshot;

	if (reread(m->conf.file, &m->opt->over, report, next) == -1)
		return;
	*kept = *next;
	conf_keep_restart(kept, &m->conf);
	if (conf_check_workers(kept, m->nworkers, report, NULL) == -1)
		return;
	if ((snapshot = snapshot_make(kept, m->conf_version + 1)) == -1) {
		fail(strerror(errno));
		return;
	}
	if (apply_log(m, kept) == -1) {
		fd_close(&snapshot);
		return;
	}
	conf_diff(&m->conf, next, log_change, next);
	warn_room(m, kept);
	commit(m, kept, snapshot);
	/* Before the configuration: what acknowledges that listens there. */
	for (i = 0; i < m->listeners.n; i++)
		renew_listener(m, i);
	distribute(m);
}

void
reload_start(struct master *m)
{
	struct conf *next;

	if (m->stopping)
		return;
	if (m->conf.file[0] == '\0') {
		fail("can only reload config when a file is provided using -c "
		    "or --config");
		return;
	}
	if (m->reloading) {
		m->reload_again = true; /* one after another */
		return;
	}
	if ((next = calloc(2, sizeof *next)) == NULL) {
		fail(strerror(errno));
		return;
	}
	reload_file(m, &next[0], &next[1]);
	explicit_bzero(next, 2 * sizeof *next);
	free(next);
}
