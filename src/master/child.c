/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The master's ends of a child's control channel and log pipe.  All that
 * comes from there is input, checked and never followed.
 */
#include <config.h>

#include <sys/epoll.h>

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "master/master_priv.h"

#include "base/fdutil.h"
#include "master/mlog.h"
#include "proc/chan.h"
#include "proc/logpipe.h"
#include "shm/crash.h"

/* Taken from one child before the others get their turn. */
#define RECORDS_PER_TURN 64
/* A dead child's log pipe holds no more than its socket buffer. */
#define RECORDS_AT_DEATH 100000

void
child_kill(struct child *c)
{
	if (c->state == CHILD_NONE || c->killed)
		return;
	c->killed = true;
	if (kill(c->pid, SIGKILL) == -1)
		log_errno("cannot kill worker %u (pid %d)", c->slot,
		    (int)c->pid);
}

int
child_send(struct child *c, enum chan_type type, uint64_t arg, int fd,
    const char *what)
{
	if (c->chan.fd == -1)
		return -1;
	if (chan_send(c->chan.fd, type, arg, NULL, 0, fd) == 0)
		return 0;
	if (errno == EPIPE)
		return -1;
	log_errno("cannot send %s to worker %u, killing it", what, c->slot);
	child_kill(c);
	return 0;
}

static void
on_ready(struct child *c)
{
	struct master *m = c->m;

	if (c->state != CHILD_STARTING || m->stopping || c->killed)
		return;
	/* It may have been forked with an older configuration: the channel
	 * keeps the order, so it has the new one before it accepts. */
	reload_send(c);
	c->state = CHILD_LIVE;
	c->still_ms = 0;
	/* The bit first: who is told to accept is already heard of. */
	slots_set_live(m->zones.slots, c->slot);
	CRASH_POINT("child.live");
	if (chan_send(c->chan.fd, CHAN_GO, 0, NULL, 0, -1) == -1) {
		log_errno("cannot tell worker %u to go", c->slot);
		child_kill(c);
		return;
	}
	zones_ring_bells(&m->zones, ~UINT64_C(0));
	log_notice("worker %u ready (pid %d)", c->slot, (int)c->pid);
	if (!m->ready && master_live_workers(m) == m->nworkers)
		master_ready(m);
}

static void
on_message(struct child *c, struct chan_msg *msg)
{
	char text[CHAN_BODY_MAX + 1];

	fd_close(&msg->fd); /* no child has anything to hand up */
	switch (msg->type) {
	case CHAN_READY:
		on_ready(c);
		break;
	case CHAN_ACK:
		if (msg->arg <= c->conf_sent && msg->arg > c->conf_acked) {
			c->conf_acked = msg->arg;
			reload_check(c->m);
		}
		break;
	case CHAN_COMPLAINT:
		memcpy(text, msg->body, msg->len);
		text[msg->len] = '\0';
		watch_complaint(c, msg->arg, text);
		break;
	default:
		log_err("worker %u (pid %d) sent an unknown message, killing "
		    "it", c->slot, (int)c->pid);
		child_kill(c);
	}
}

static void
stop_watching(struct child *c, struct loop_fd *lfd)
{
	loop_del(&c->m->loop, lfd);
	fd_close(&lfd->fd);
}

static void
chan_cb(struct loop *loop, struct loop_fd *lfd, uint32_t events)
{
	struct child *c = LOOP_EMBEDDED(lfd, struct child, chan);
	struct chan_msg msg;
	int i, status;

	(void)loop;
	(void)events;
	for (i = 0; i < RECORDS_PER_TURN && lfd->fd != -1; i++) {
		status = chan_recv(lfd->fd, &msg);
		if (status == 1) {
			on_message(c, &msg);
			continue;
		}
		if (status == -1 && errno == EAGAIN)
			return;
		if (status == -1) {
			log_errno("worker %u (pid %d): bad control message, "
			    "killing it", c->slot, (int)c->pid);
			child_kill(c);
		}
		/* It is about to leave; if it does not, the watchdog acts. */
		stop_watching(c, lfd);
	}
}

/* Copies up to n records to the log; false at the end of file. */
static bool
copy_records(struct child *c, int n)
{
	char text[LOG_TEXT_MAX + 1];
	enum log_level lvl;
	int status;

	while (n-- > 0) {
		status = logpipe_read(c->log.fd, &lvl, text, sizeof text);
		if (status == 0)
			return false;
		if (status == -1)
			return errno == EAGAIN;
		mlog_write(lvl, c->role, (int)c->pid, text, strlen(text));
	}
	return true;
}

static void
log_cb(struct loop *loop, struct loop_fd *lfd, uint32_t events)
{
	struct child *c = LOOP_EMBEDDED(lfd, struct child, log);

	(void)loop;
	(void)events;
	if (!copy_records(c, RECORDS_PER_TURN))
		stop_watching(c, lfd);
}

int
child_watch(struct child *c)
{
	c->chan.events = c->log.events = EPOLLIN;
	c->chan.cb = chan_cb;
	c->log.cb = log_cb;
	if (loop_add(&c->m->loop, &c->chan) == -1)
		return -1;
	return loop_add(&c->m->loop, &c->log);
}

void
child_unwatch(struct child *c)
{
	stop_watching(c, &c->chan);
	stop_watching(c, &c->log);
}

void
child_drain_log(struct child *c)
{
	if (c->log.fd != -1)
		(void)copy_records(c, RECORDS_AT_DEATH);
}
