/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the master share.  Of a child (place, state):
 *
 *	place: one of the N workers that are meant to serve.  It counts the
 *	deaths of its successive processes and delays the next one.
 *	child: the process that now serves in a slot.
 *
 *	NONE -> STARTING (forked) -> LIVE (said ready) -> NONE (reaped)
 *
 * A dead child's slot is not free before the others have let go of what lies
 * in its zones: see struct grave.
 */
#ifndef MASTER_MASTER_PRIV_H
#define MASTER_MASTER_PRIV_H

#include <sys/resource.h>
#include <sys/types.h>

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "base/loop.h"
#include "conf/conf.h"
#include "master/listen.h"
#include "master/pidfile.h"
#include "master/portsfile.h"
#include "master/zones.h"
#include "proc/chan.h"
#include "proc/heritage.h"
#include "proc/oom.h"
#include "shm/slots.h"

/* Ten deaths of one place in this time end the daemon. */
#define MASTER_LOOP_DEATHS 10
#define MASTER_LOOP_MS 60000
/* A worker that lived so long was not killed by its own start: its successor
 * starts at once.  More than a client takes to come back and kill again. */
#define MASTER_LONG_LIFE_MS 5000
/* Deaths of one place before the daemon was ready that end the start. */
#define MASTER_START_DEATHS 3
#define MASTER_STOP_MS 5000
/* The watchdog looks so often; a later look than that was kept from us, by a
 * stop of the whole group, a machine that slept or one with too much to do; the
 * workers are given the time until the next look, for they may have fared no
 * better. */
#define WATCH_MS 1000
#define WATCH_LATE_MS (3 * WATCH_MS / 2)
/* The least patience that there is, and that while a live peer waits: with
 * sleepers and ourselves waking once a second, two looks in a row may find the
 * same sleep, three may not. */
#define WATCH_AWAITED_MS 2000

enum child_state { CHILD_NONE = 0, CHILD_STARTING, CHILD_LIVE };

struct master;

struct child {
	struct master *m;
	enum child_state state;
	slotno slot;
	uint32_t place;
	uint32_t incarnation;
	pid_t pid;
	char role[12]; /* "w3" */
	struct loop_fd chan; /* fd -1: closed by the child */
	struct loop_fd log;
	uint64_t born_ms;
	bool killed; /* by us */
	bool felled; /* told to say where it hangs and die; then killed */
	struct loop_timer fell_timer;
	/* Watchdog. */
	uint64_t counter; /* quiescence as last seen */
	uint64_t still_ms; /* for so long it has not changed */
	/* Configuration: version sent and acknowledged. */
	uint64_t conf_sent;
	uint64_t conf_acked;
	struct log_limit complaint_limit;
	/* Who has found its zones broken, when, and how often. */
	uint64_t accusers;
	uint64_t forgiven; /* of those, who was told to begin anew */
	uint64_t accused_ms[SLOTS_MAX];
	uint8_t accusations[SLOTS_MAX];
};

struct place {
	struct master *m;
	uint32_t index;
	bool retired; /* its process said: do not start me again */
	bool waiting; /* for a spare slot */
	uint32_t fails; /* in a row, for the delay */
	uint64_t death_ms[MASTER_LOOP_DEATHS]; /* the last ones, a ring */
	uint32_t deaths; /* ever */
	struct loop_timer timer; /* next start */
};

/* A dead slot whose zones others may still look at. */
struct grave {
	bool used;
	uint64_t waiting; /* slots that have not passed twice */
	uint64_t counter[SLOTS_MAX]; /* theirs when it was reaped */
	uint32_t incarnation[SLOTS_MAX];
};

struct master {
	const struct options *opt;
	const char *program;
	struct loop loop;
	struct loop_fd signals;
	struct conf conf; /* the running one */
	uint64_t conf_version;
	int snapshot_fd; /* of that version; -1 before the first reload */
	char server_id[HERITAGE_ID_LEN + 1];
	bool detached;
	int daemon_fd; /* whoever waits for our start, or -1 */
	struct listen_set listeners;
	struct pidfile pidfile;
	struct portsfile portsfile;
	struct zones zones;
	uint32_t nworkers;
	struct place place[CONF_WORKERS_MAX];
	struct child child[SLOTS_MAX];
	uint32_t incarnation; /* last one given */
	rlim_t worker_nofile; /* 0: as ours */
	struct grave grave[SLOTS_MAX];
	struct loop_timer grave_timer;
	uint32_t grave_looks; /* without success, for the delay */
	struct loop_timer watch_timer;
	uint64_t watch_ms; /* last look */
	bool watch_late; /* it was later than it should have been */
	uint64_t felled_ms[SLOTS_MAX]; /* last time a complaint of that slot
					  cost another its life; 0 = never */
	struct oom oom;
	uint64_t oom_ms; /* last look without need */
	bool ready; /* all workers were up once */
	/* Reload. */
	bool reloading; /* not all have acknowledged */
	bool reload_again;
	struct loop_timer reload_timer;
	bool reload_late; /* it went off late once */
	/* End. */
	bool stopping;
	bool finished; /* leave the loop */
	int exit_status;
	struct loop_timer stop_timer;
};

/* spawn.c: the place's next process, now or when a slot is spare. */
void spawn_place(struct place *p);
/* A slot has become spare: start who waits for one. */
void spawn_waiting(struct master *m);
/* How long until the place may start again, and count its failure. */
uint64_t spawn_backoff_ms(struct place *p, uint64_t lived_ms);
void spawn_timer(struct loop *loop, struct loop_timer *timer);

/* child.c: what children say. */
int child_watch(struct child *c);
void child_unwatch(struct child *c);
void child_drain_log(struct child *c);
void child_kill(struct child *c);
/*
 * A message to it; fd -1 or passed on.  0, or -1 if it has shut its end (a
 * SIGTERM of somebody's) or closed it: it is leaving already, which its alarm
 * and the watchdog see to, and may have output to write.  If anything else
 * fails it is killed: what says what could not be sent.
 */
int child_send(struct child *c, enum chan_type type, uint64_t arg, int fd,
    const char *what);

/* reap.c */
void reap_children(struct master *m);
void reap_grave_timer(struct loop *loop, struct loop_timer *timer);

/* watch.c */
void watch_timer(struct loop *loop, struct loop_timer *timer);
void watch_fell_timer(struct loop *loop, struct loop_timer *timer);
void watch_complaint(struct child *c, uint64_t whom, const char *text);
/* It is dead: what it has accused others of is void. */
void watch_forget(struct child *c);

/* reload.c */
void reload_start(struct master *m);
/* The configuration in force, to a child that has another. */
void reload_send(struct child *c);
/* A child has acknowledged or is gone. */
void reload_check(struct master *m);
void reload_timer(struct loop *loop, struct loop_timer *timer);

/* signals.c */
int signals_block(void);
int signals_open(struct master *m);
/* The signal by which somebody wants us to end, if one waits; else 0. */
int signals_asked_to_stop(void);
/* In a child, after the fork; chan is its end of the control channel, and the
 * listeners are kept. */
void signals_reset_child(int chan, const struct listen_set *listeners);

/* master.c */
void master_ready(struct master *m);
void master_stop(struct master *m, int exit_status);
void master_check_stopped(struct master *m);
uint32_t master_live_workers(const struct master *m);

#endif
