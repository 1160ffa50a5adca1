/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Event loop of one process: epoll for descriptors, a wheel for timers.
 * Signals come in through a signalfd like any other descriptor.
 *
 *	loop_poll() = loop_wait() + loop_dispatch()
 *
 * The two halves are there for a caller that must act between waking up and
 * running callbacks.  Callbacks may add, change and delete any descriptor or
 * timer, their own included, and may free the object it is embedded in after
 * that: an event still waiting for a deleted descriptor is dropped.
 *
 * Not thread-safe; an epoll descriptor must not be used across fork(): a
 * child makes its own loop (loop_fini() in the child only closes).
 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct epoll_event;
struct loop;
struct loop_fd;
struct loop_timer;

/* Events taken from the kernel at once. */
#define LOOP_EVENTS_MAX 256

/* What the loop was made for is loop->ctx. */
typedef void loop_fd_cb(struct loop *loop, struct loop_fd *lfd,
    uint32_t events);
typedef void loop_timer_cb(struct loop *loop, struct loop_timer *timer);

/* From a descriptor or timer to what it is embedded in. */
#define LOOP_EMBEDDED(p, type, member) \
	((type *)(void *)((char *)(p) - offsetof(type, member)))

/*
 * A watched descriptor, embedded by the caller, who fills all members before
 * loop_add() and may change cb at any time.
 */
struct loop_fd {
	int fd;
	uint32_t events; /* EPOLL*, passed on to the kernel unchanged */
	loop_fd_cb *cb;	 /* gets the events that epoll reported */
};

/* A timer, embedded by the caller; loop_timer_init() before first use. */
struct loop_timer {
	struct loop_timer *next;
	struct loop_timer **at; /* what points to it; NULL: not set */
	uint64_t due_ms;	/* clock_mono_ms() time, as it was asked for */
	loop_timer_cb *cb;
};

/*
 * The wheel.  A bucket of level n is 8^n ms wide and holds the timers that
 * are rounded up to its end; the farther a timer, the higher its level.  A
 * timer stays in its bucket, and goes off with all that are there.
 */
#define LOOP_LEVELS 7
#define LOOP_BUCKETS 64

struct loop {
	void *ctx; /* the caller's, who sets it after loop_init() */
	int epfd;
	uint64_t now_ms;	    /* as of the last loop_wait() */
	struct epoll_event *events; /* LOOP_EVENTS_MAX of them */
	int nevents;		    /* filled by loop_wait() */
	int next_event;		    /* first one not yet dispatched */
	struct loop_timer *overdue; /* go off in loop_dispatch() */
	uint64_t filled[LOOP_LEVELS]; /* bit per bucket that holds timers */
	struct loop_timer *bucket[LOOP_LEVELS][LOOP_BUCKETS];
};

/* Makes a loop; 0, or -1 with errno (nothing is left behind). */
int loop_init(struct loop *loop);

/* Releases the loop, not the descriptors; timers count as cancelled. */
void loop_fini(struct loop *loop);

/* Starts to watch lfd->fd, borrowed until loop_del(); as epoll_ctl(2). */
int loop_add(struct loop *loop, struct loop_fd *lfd);

/* Watches for other events (not with EPOLLEXCLUSIVE); as epoll_ctl(2). */
int loop_mod(struct loop *loop, struct loop_fd *lfd, uint32_t events);

/*
 * Stops watching; call before closing the descriptor.  Pending events for it
 * are dropped.  Harmless if it is not watched or its fd is -1.
 */
void loop_del(struct loop *loop, struct loop_fd *lfd);

/*
 * The same, and closes it; fd becomes -1.  With the last copy of a descriptor
 * the kernel forgets that it was watched, which saves a system call: not for
 * one that another process or descriptor shares.
 */
void loop_close(struct loop *loop, struct loop_fd *lfd);

/* Prepares a timer that is not set. */
void loop_timer_init(struct loop_timer *timer, loop_timer_cb *cb);

/*
 * Sets the timer, or moves it, to due_ms (see loop_now()); it goes off once.
 * Never early, and late by an eighth of the time until then at most: by
 * nothing below 62 ms, less than 8 ms below 496 ms, less than 64 ms below
 * 3.9 s, and so on; what is due at a multiple of that many ms is exact.  So
 * timers that are far off go off together.
 */
void loop_timer_set(
    struct loop *loop, struct loop_timer *timer, uint64_t due_ms);

/* Cancels the timer if it is set. */
void loop_timer_cancel(struct loop *loop, struct loop_timer *timer);

static inline bool
loop_timer_is_set(const struct loop_timer *timer)
{
	return timer->at != NULL;
}

/* The time of the last loop_wait() (or loop_init()), as clock_mono_ms(). */
static inline uint64_t
loop_now(const struct loop *loop)
{
	return loop->now_ms;
}

/* Milliseconds until the first timer goes off, 0 if overdue, -1 if none. */
int loop_next_timeout(const struct loop *loop);

/*
 * Waits until an event arrives, the first timer is due or timeout_ms has
 * passed (-1: no limit, 0: only looks).  The number of events, 0 also when a
 * signal interrupted, or -1 with errno.  Events of an earlier wait that were
 * not dispatched are lost if they were edge-triggered.
 */
int loop_wait(struct loop *loop, int timeout_ms);

/* Runs the callbacks of the last wait, then those of the timers that were due
 * then, in no particular order. */
void loop_dispatch(struct loop *loop);

/* Waits and dispatches; 0, or -1 with errno of loop_wait(). */
int loop_poll(struct loop *loop, int timeout_ms);

#endif
