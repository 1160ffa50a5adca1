/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signals of the master: events of a signalfd, dispatched by the one table
 * below.  README and natsd(8) print the same table.
 */
#include <config.h>

#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <unistd.h>

#include "master/master_priv.h"

#include "master/mlog.h"

/* Seconds after which a child that was told to leave is ended. */
#define CHILD_LEAVE_S 5

static void
on_reopen(struct master *m)
{
	(void)m; /* children log through us and have nothing to reopen */
	mlog_reopen();
}

static void
on_lame_duck(struct master *m)
{
	(void)m;
	log_warnx("Ignored: there is no lame duck mode in this version");
}

static void
on_stop(struct master *m)
{
	master_stop(m, 0);
}

static void
log_state(const struct child *c)
{
	static const char *const states[] = { "", "starting", "live" };
	struct master *m = c->m;

	log_notice("worker %u (pid %d): %s for %" PRIu64 " s, %" PRIu64
	    " connections, quiescence %" PRIu64 ", still for %" PRIu64
	    " ms, waits for %#" PRIx64, c->slot, (int)c->pid,
	    states[c->state], (loop_now(&m->loop) - c->born_ms) / 1000,
	    zones_connections(&m->zones, c->slot),
	    zones_quiescence(&m->zones, c->slot), c->still_ms,
	    zones_waits_for(&m->zones, c->slot));
}

static void
on_quit(struct master *m)
{
	uint32_t i;

	for (i = 0; i < m->zones.geo.nslots; i++) {
		if (m->child[i].state == CHILD_NONE)
			continue;
		log_state(&m->child[i]);
		if (m->conf.core_dumps)
			(void)kill(m->child[i].pid, SIGABRT);
	}
	/* The children see our ends of their channels close. */
	m->exit_status = 2;
	m->finished = true;
}

static const struct {
	int signo;
	const char *name; /* NULL: not worth a line */
	void (*act)(struct master *m);
} actions[] = {
	{ SIGHUP, "hangup", reload_start },
	{ SIGUSR1, "user defined signal 1", on_reopen },
	{ SIGUSR2, "user defined signal 2", on_lame_duck },
	{ SIGINT, "interrupt", on_stop },
	{ SIGTERM, "terminated", on_stop },
	{ SIGQUIT, "quit", on_quit },
	{ SIGCHLD, NULL, reap_children },
};

/* SIGXFSZ: a log file at its limit must not end the daemon. */
static const int ignored[] = { SIGPIPE, SIGWINCH, SIGTTIN, SIGTTOU, SIGXFSZ };

#define NACTIONS (sizeof actions / sizeof actions[0])

int
signals_block(void)
{
	sigset_t set;
	size_t i;

	sigemptyset(&set);
	for (i = 0; i < NACTIONS; i++) {
		/* A parent may have left them ignored, SIGCHLD above all. */
		(void)signal(actions[i].signo, SIG_DFL);
		sigaddset(&set, actions[i].signo);
	}
	for (i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
		(void)signal(ignored[i], SIG_IGN);
	return sigprocmask(SIG_BLOCK, &set, NULL);
}

int
signals_asked_to_stop(void)
{
	static const int stops[] = { SIGTERM, SIGINT, SIGQUIT };
	sigset_t set;
	size_t i;

	if (sigpending(&set) == -1)
		return 0;
	for (i = 0; i < sizeof stops / sizeof stops[0]; i++) {
		if (sigismember(&set, stops[i]) == 1)
			return stops[i];
	}
	return 0;
}

static void
dispatch(struct master *m, int signo)
{
	size_t i;

	for (i = 0; i < NACTIONS; i++) {
		if (actions[i].signo != signo)
			continue;
		if (actions[i].name != NULL)
			log_notice("Trapped \"%s\" signal", actions[i].name);
		actions[i].act(m);
		return;
	}
}

static void
signal_cb(struct loop *loop, struct loop_fd *lfd, uint32_t events)
{
	struct signalfd_siginfo si;

	(void)events;
	while (read(lfd->fd, &si, sizeof si) == (ssize_t)sizeof si)
		dispatch(loop->ctx, (int)si.ssi_signo);
}

/* The master, for its children; set once, before the first fork. */
static pid_t master_pid;

int
signals_open(struct master *m)
{
	sigset_t set;
	size_t i;

	master_pid = getpid();
	sigemptyset(&set);
	for (i = 0; i < NACTIONS; i++)
		sigaddset(&set, actions[i].signo);
	m->signals.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (m->signals.fd == -1)
		return -1;
	m->signals.events = EPOLLIN;
	m->signals.cb = signal_cb;
	return loop_add(&m->loop, &m->signals);
}

/* A child's end of its channel, and the listeners that it shares with all;
 * set once, in the child. */
static int child_chan = -1;
static const struct listen_set *child_listeners;

/*
 * SIGTERM in a child, from somebody or by the death of the master: the end of
 * its channel, which it knows how to act on, and a limit to the time it takes.
 * Without a master nobody shall listen any more, not even one that is stopped
 * and has the sockets still: a new natsd may want the addresses at once.
 * With that of proc/lastwords.c the only handler: what it calls is safe in one.
 */
static void
child_term(int signo)
{
	int saved = errno;

	(void)signo;
	if (getppid() != master_pid)
		listen_stop(child_listeners);
	(void)shutdown(child_chan, SHUT_RD);
	(void)alarm(CHILD_LEAVE_S);
	errno = saved;
}

void
signals_reset_child(int chan, const struct listen_set *listeners)
{
	/* A terminal sends SIGINT and SIGQUIT to the whole group: the master
	 * alone decides. */
	static const int child_ignored[] = { SIGHUP, SIGUSR1, SIGUSR2, SIGINT,
		SIGQUIT, SIGPIPE, SIGWINCH, SIGTTIN, SIGTTOU };
	struct sigaction term = { .sa_handler = child_term,
		.sa_flags = SA_RESTART };
	sigset_t none;
	size_t i;

	for (i = 0; i < sizeof child_ignored / sizeof child_ignored[0]; i++)
		(void)signal(child_ignored[i], SIG_IGN);
	/* What ends it, which a parent may have left ignored: the alarm of
	 * child_term(), and the watchdog's signal. */
	(void)signal(SIGALRM, SIG_DFL);
	(void)signal(SIGABRT, SIG_DFL);
	child_chan = chan;
	child_listeners = listeners;
	sigemptyset(&term.sa_mask);
	(void)sigaction(SIGTERM, &term, NULL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	/* If the master dies, one that is stuck must not stay: it has the
	 * listening sockets. */
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
	if (getppid() != master_pid) /* it has died before that */
		(void)raise(SIGTERM);
}
