/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The master's life: what is opened in which order, the loop, and the end.
 * All that needs privileges comes before they are given up, all zones before
 * the first fork.  It reads no byte that came from a client.
 */
#include <config.h>

#include <sys/resource.h>
#include <sys/types.h>

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "master/master.h"

#include "base/clock.h"
#include "base/fdutil.h"
#include "base/mem.h"
#include "master/bound.h"
#include "master/daemon.h"
#include "master/master_priv.h"
#include "master/mlog.h"
#include "master/options.h"
#include "proc/lastwords.h"
#include "proc/sandbox.h"
#include "proto/info.h"
#include "shm/crash.h"

/* Descriptors beside zones, listeners and children. */
#define NOFILE_MASTER 64
/* Descriptors of a worker beside its connections, bells and listeners. */
#define NOFILE_WORKER 64
/* Connections that an unlimited worker is prepared for; with the others below
 * fs.nr_open, beyond which not even root may go. */
#define NOFILE_UNLIMITED 1000000

/* An address that somebody has may be that of a natsd that was killed: its
 * workers let go of it as soon as they run.  If its pid file says so, for as
 * long as a worker may take to leave, and a bit. */
#define IN_USE_LOOK_MS 20
#define IN_USE_MS 500
#define IN_USE_STALE_MS 6000

/* Long enough for every text of the files that fill one. */
#define ERR_MAX 2400

/* Says why the daemon does not start. */
static int
fail(const char *text)
{
	log_at(LOG_LVL_FATAL, "%s", text);
	return -1;
}

static int
fail_errno(const char *what)
{
	log_at(LOG_LVL_FATAL, "%s: %s", what, strerror(errno));
	return -1;
}

uint32_t
master_live_workers(const struct master *m)
{
	uint32_t i, n = 0;

	for (i = 0; i < m->zones.geo.nslots; i++)
		n += m->child[i].state == CHILD_LIVE;
	return n;
}

/* ---- start ----------------------------------------------------------- */

static struct master *
new_master(const struct options *opt, const struct conf *conf,
    const char *program)
{
	struct master *m = mem_alloc_or_die(sizeof *m);
	uint32_t i;

	m->opt = opt;
	m->program = program;
	m->conf = *conf;
	m->conf_version = 1;
	m->snapshot_fd = m->daemon_fd = m->signals.fd = m->loop.epfd = -1;
	m->pidfile.fd = m->portsfile.fd = -1;
	for (i = 0; i < SLOTS_MAX; i++) {
		m->child[i].m = m;
		m->child[i].chan.fd = m->child[i].log.fd = -1;
	}
	for (i = 0; i < CONF_WORKERS_MAX; i++) {
		m->place[i].m = m;
		m->place[i].index = i;
		loop_timer_init(&m->place[i].timer, spawn_timer);
	}
	loop_timer_init(&m->grave_timer, reap_grave_timer);
	loop_timer_init(&m->watch_timer, watch_timer);
	loop_timer_init(&m->reload_timer, reload_timer);
	return m;
}

static int
open_log(struct master *m)
{
	char err[1024];

	log_set_role("master");
	if (mlog_open(&m->conf, m->detached, err, sizeof err) == -1) {
		if (m->daemon_fd != -1)
			daemon_tell(m->daemon_fd, err);
		else
			fprintf(stderr, "natsd: %s\n", err);
		return -1;
	}
	mlog_starting(m->daemon_fd);
	log_set_debug(m->conf.debug);
	log_set_trace(m->conf.trace);
	return 0;
}

uint32_t
master_workers(const struct conf *conf)
{
	uint32_t n = conf->workers != 0 ? conf->workers :
					  sandbox_usable_cpus();

	return n < CONF_WORKERS_MAX ? n : CONF_WORKERS_MAX;
}

static void
log_start(const struct master *m, const struct master_warnings *warnings)
{
	struct bound bound;
	char text[256];
	uint32_t i;

	bound_compute(&m->conf, m->nworkers, &bound);
	(void)bound_format(&bound, text, sizeof text);
	log_notice("Starting natsd");
	log_notice("  Version:  %s", PACKAGE_VERSION);
	log_notice("  Name:     %s", m->conf.server_name[0] != '\0' ?
		m->conf.server_name : m->server_id);
	log_notice("  ID:       %s", m->server_id);
	log_notice("  Workers:  %u", m->nworkers);
	log_notice("  %s", text);
	if (m->conf.file[0] != '\0')
		log_notice("Using configuration file: %s (%s)", m->conf.file,
		    m->conf.digest);
	for (i = 0; i < warnings->n; i++)
		log_warnx("%s", warnings->text[i]);
	if (m->conf.listen_defaulted)
		log_notice("Listening on the loopback address only: neither "
		    "a listen address nor credentials are configured");
}

/* Where the limit stays too low; checked with the configuration already,
 * except for root, who might have raised it. */
static void
warn_nofile(const struct master *m, rlim_t limit, rlim_t beside)
{
	rlim_t share = (m->conf.max_connections + m->nworkers - 1) /
	    m->nworkers + beside;

	if (geteuid() != 0 || limit >= share)
		return;
	log_warnx("the limit of open files, %ju, is below the %ju that a "
	    "worker needs for its share of max_connections: raise it (ulimit "
	    "-n, LimitNOFILE=) or lower max_connections", (uintmax_t)limit,
	    (uintmax_t)share);
}

/* What the workers are allowed; not less than `least`. */
static rlim_t
workers_limit(const struct conf *conf, rlim_t least)
{
	if (conf->worker_rlimit_nofile >= least)
		return conf->worker_rlimit_nofile;
	log_notice("worker_rlimit_nofile = %ju is less than the %ju that "
	    "natsd itself needs, which are allowed",
	    (uintmax_t)conf->worker_rlimit_nofile, (uintmax_t)least);
	return least;
}

/* Raises the limit of open files as far as it is needed and allowed.  Each
 * worker may come to hold all connections, when it is the last one. */
static int
raise_nofile(struct master *m)
{
	const struct conf *conf = &m->conf;
	struct rlimit rl;
	rlim_t beside = SLOTS_MAX + m->listeners.n + NOFILE_WORKER;
	rlim_t master, worker;

	master = zones_descriptors(m->nworkers) + 2 * m->nworkers +
	    m->listeners.n + NOFILE_MASTER;
	worker = beside + (conf->max_connections != 0 ?
		conf->max_connections : NOFILE_UNLIMITED);
	if (conf->worker_rlimit_nofile != 0) {
		/* The same for all of them, whatever numbers they begin with:
		 * see others_have_fewer() in accept.c. */
		worker = workers_limit(conf, master + NOFILE_WORKER);
		m->worker_nofile = worker;
	}
	if (worker < master)
		worker = master;
	if (getrlimit(RLIMIT_NOFILE, &rl) == -1)
		return fail_errno("getrlimit");
	if (rl.rlim_cur >= worker)
		return 0;
	rl.rlim_cur = worker;
	if (rl.rlim_max < worker)
		rl.rlim_max = worker; /* for root alone */
	if (setrlimit(RLIMIT_NOFILE, &rl) == 0)
		return 0;
	(void)getrlimit(RLIMIT_NOFILE, &rl);
	rl.rlim_cur = rl.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &rl);
	warn_nofile(m, rl.rlim_cur, beside);
	return 0;
}

/* Asked to stop before there is a loop that could see it: as it would act. */
static void
stop_early(struct master *m, int signo)
{
	m->exit_status = signo == SIGQUIT ? 2 : EXIT_OK;
	m->finished = true;
}

/* Opens them, waiting for a predecessor's workers if they seem to have the
 * addresses; 0, also if asked to stop meanwhile, or -1 with a text in err. */
static int
open_or_wait(struct master *m, char *err, size_t errlen)
{
	static const struct timespec nap = { 0, IN_USE_LOOK_MS * 1000000L };
	pid_t left_by = m->pidfile.left_by;
	uint64_t end = clock_mono_ms() +
	    (left_by != 0 ? IN_USE_STALE_MS : IN_USE_MS);
	bool told = left_by == 0;
	int signo;

	while (listen_open(&m->listeners, &m->conf, err, errlen) == -1) {
		if (!m->listeners.in_use || clock_mono_ms() >= end)
			return -1;
		if ((signo = signals_asked_to_stop()) != 0) {
			stop_early(m, signo);
			return 0;
		}
		if (!told)
			log_notice("natsd with pid %ld was killed: waiting "
			    "for its workers to leave", (long)left_by);
		told = true;
		(void)nanosleep(&nap, NULL);
	}
	return 0;
}

static int
open_listeners(struct master *m)
{
	char err[ERR_MAX];
	uint32_t i;

	if (open_or_wait(m, err, sizeof err) == -1)
		return fail(err);
	for (i = 0; !m->finished && i < m->listeners.n; i++)
		log_notice("Listening for client connections on %s",
		    m->listeners.l[i].text);
	return 0;
}

static int
open_files(struct master *m)
{
	char err[ERR_MAX];

	if (m->conf.ports_file_dir[0] != '\0' &&
	    portsfile_open(&m->portsfile, m->conf.ports_file_dir, m->program,
		err, sizeof err) == -1)
		return fail(err);
	return 0;
}

/* Before the listeners: "already running" says more than "in use". */
static int
open_pidfile(struct master *m)
{
	char err[ERR_MAX];

	if (m->conf.pid_file[0] != '\0' &&
	    pidfile_open(&m->pidfile, m->conf.pid_file, err,
		sizeof err) == -1)
		return fail(err);
	return 0;
}

/* Who to become; 0, or -1 after a message. */
static int
choose_user(const struct conf *conf, const char **user, const char **group)
{
	*user = conf->user;
	*group = conf->group;
	if (getpwnam(*user) == NULL) {
		if (conf->user_given) {
			log_at(LOG_LVL_FATAL, "there is no user \"%s\" to run "
			    "as: create it or name another (user, -u)",
			    *user);
			return -1;
		}
		log_notice("there is no user \"%s\" to run as, using "
		    "\"nobody\"", *user);
		*user = "nobody";
		*group = "";
		return 0;
	}
	if (**group != '\0' && getgrnam(*group) == NULL) {
		if (conf->user_given) {
			log_at(LOG_LVL_FATAL, "there is no group \"%s\" to "
			    "run as: create it or name another (group, -u)",
			    *group);
			return -1;
		}
		*group = "";
	}
	return 0;
}

static int
drop_privileges(struct master *m)
{
	const char *user, *group;

	if (geteuid() != 0) {
		if (m->conf.user_given)
			log_notice("not started as root: user \"%s\" is "
			    "ignored", m->conf.user);
	} else {
		if (choose_user(&m->conf, &user, &group) == -1)
			return -1;
		mlog_chown(&m->conf, user);
		if (sandbox_drop_user(user, group) == -1) {
			log_at(LOG_LVL_FATAL, "cannot become user \"%s\": %s",
			    user, strerror(errno));
			return -1;
		}
		if (getuid() == 0)
			log_warnx("running as root, as the configuration "
			    "demands");
		else
			log_debug("running as user \"%s\"", user);
	}
	if (sandbox_seal(m->conf.core_dumps) == -1)
		return fail_errno("cannot give up privileges");
	return 0;
}

static int
start(struct master *m)
{
	char err[ERR_MAX];
	uint32_t i;

	if (open_pidfile(m) == -1 || open_listeners(m) == -1)
		return -1;
	if (m->finished)
		return 0; /* by stop_early() */
	if (raise_nofile(m) == -1)
		return -1;
	if (zones_create(&m->zones, &m->conf, m->nworkers, err,
		sizeof err) == -1)
		return fail(err);
	atomic_store_explicit(&m->zones.slots->conf_version, m->conf_version,
	    memory_order_relaxed);
	if (open_files(m) == -1 || drop_privileges(m) == -1)
		return -1;
	if (loop_init(&m->loop) == -1)
		return fail_errno("cannot make the event loop");
	m->loop.ctx = m;
	if (signals_open(m) == -1)
		return fail_errno("cannot watch for signals");
	(void)oom_look(&m->oom, OOM_PATH, loop_now(&m->loop));
	lastwords_prepare();
	CRASH_ARM_ENV(0);
	m->watch_ms = loop_now(&m->loop);
	loop_timer_set(&m->loop, &m->watch_timer, m->watch_ms + 1000);
	for (i = 0; i < m->nworkers; i++)
		spawn_place(&m->place[i]);
	return 0;
}

void
master_ready(struct master *m)
{
	char err[ERR_MAX];

	if (portsfile_fill(&m->portsfile, &m->listeners, err, sizeof err) ==
	    -1) {
		/* Who asked for it waits for it. */
		(void)fail(err);
		master_stop(m, EXIT_FAILED);
		return;
	}
	m->ready = true;
	log_notice("Server is ready");
	mlog_started();
	daemon_ready(&m->daemon_fd);
}

/* ---- end ------------------------------------------------------------- */

void
master_check_stopped(struct master *m)
{
	uint32_t i;

	for (i = 0; i < SLOTS_MAX; i++) {
		if (m->child[i].state != CHILD_NONE)
			return;
	}
	m->finished = true;
}

static void
kill_all(struct master *m)
{
	uint32_t i;

	for (i = 0; i < SLOTS_MAX; i++)
		child_kill(&m->child[i]);
}

static void
stop_timer(struct loop *loop, struct loop_timer *timer)
{
	struct master *m = loop->ctx;
	struct child *c;
	uint32_t i;
	bool again = false;

	for (i = 0; i < SLOTS_MAX; i++) {
		c = &m->child[i];
		if (c->state == CHILD_NONE)
			continue;
		again = again || !c->killed;
		log_err("worker %u (pid %d) does not leave%s", c->slot,
		    (int)c->pid, c->killed ? ", leaving it behind" :
					     ", killing it");
	}
	kill_all(m);
	if (again)
		loop_timer_set(loop, timer, loop_now(loop) + MASTER_STOP_MS);
	else
		m->finished = true; /* stuck in the kernel */
}

void
master_stop(struct master *m, int exit_status)
{
	struct child *c;
	uint32_t i;

	if (m->stopping) {
		kill_all(m); /* asked twice: at once */
		return;
	}
	log_notice("Initiating Shutdown...");
	m->stopping = true;
	m->exit_status = exit_status;
	listen_stop(&m->listeners);
	for (i = 0; i < SLOTS_MAX; i++) {
		c = &m->child[i];
		if (c->state != CHILD_NONE)
			(void)child_send(c, CHAN_STOP, 0, -1, "the end");
	}
	loop_timer_init(&m->stop_timer, stop_timer);
	loop_timer_set(&m->loop, &m->stop_timer,
	    loop_now(&m->loop) + MASTER_STOP_MS);
	master_check_stopped(m);
}

static void
finish(struct master *m)
{
	/* The sockets' files go first: who finds no pid file may start. */
	listen_close(&m->listeners);
	portsfile_remove(&m->portsfile);
	pidfile_remove(&m->pidfile);
	log_notice("Server Exiting..");
	mlog_close();
}

static void
free_master(struct master *m)
{
	uint32_t i;

	for (i = 0; i < SLOTS_MAX; i++) {
		fd_close(&m->child[i].chan.fd);
		fd_close(&m->child[i].log.fd);
	}
	fd_close(&m->snapshot_fd);
	fd_close(&m->signals.fd);
	zones_destroy(&m->zones);
	loop_fini(&m->loop);
	fd_close(&m->daemon_fd);
	explicit_bzero(&m->conf, sizeof m->conf);
	free(m);
}

static int
run(struct master *m)
{
	while (!m->finished) {
		if (loop_poll(&m->loop, -1) == -1 && errno != EINTR) {
			log_errno("cannot wait for events");
			return EXIT_FAILED;
		}
	}
	return m->exit_status;
}

static void
tell_unready(const struct master *m)
{
	static const char text[] = "stopped before it was ready";

	log_notice("%s", text);
	daemon_tell(m->daemon_fd, text);
}

/* From the first message in the log to the last. */
static int
live(struct master *m, const struct master_warnings *warnings)
{
	int status = EXIT_FAILED;

	if (signals_block() == -1 || open_log(m) == -1)
		return status;
	m->nworkers = master_workers(&m->conf);
	if (info_new_server_id(m->server_id) == -1)
		fail("no random numbers for the server id");
	else {
		log_start(m, warnings);
		if (start(m) == 0)
			status = run(m);
		if (status == EXIT_OK && !m->ready)
			tell_unready(m);
	}
	finish(m);
	return status;
}

int
master_main(const struct options *opt, const struct conf *conf,
    const char *program, const struct master_warnings *warnings)
{
	struct master *m = new_master(opt, conf, program);
	int status = EXIT_FAILED;

	m->detached = opt->daemonize;
	if (m->detached && (m->daemon_fd = daemon_detach()) == -1)
		fprintf(stderr, "natsd: cannot detach: %s\n",
		    strerror(errno));
	else
		status = live(m, warnings);
	free_master(m);
	return status;
}
