/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Event loop of one process: epoll for descriptors, a binary heap for timers.
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
struct loop_fd;
struct loop_timer;

/* Events taken from the kernel at once. */
#define LOOP_EVENTS_MAX 256

typedef void loop_fd_cb(struct loop_fd *lfd, uint32_t events);
typedef void loop_timer_cb(struct loop_timer *timer);

/*
 * A watched descriptor, embedded by the caller, who fills all members before
 * loop_add() and may change cb and ctx at any time.
 */
struct loop_fd {
	int fd;
	uint32_t events; /* EPOLL*, passed on to the kernel unchanged */
	loop_fd_cb *cb;	 /* gets the events that epoll reported */
	void *ctx;
};

/* A timer, embedded by the caller; loop_timer_init() before first use. */
struct loop_timer {
	uint64_t due_ms; /* clock_mono_ms() time; owned by the loop if set */
	loop_timer_cb *cb;
	void *ctx;
	size_t heap_pos; /* 1 + index in the heap, 0: not set */
};

struct loop {
	int epfd;
	uint64_t now_ms;	    /* as of the last loop_wait() */
	struct epoll_event *events; /* LOOP_EVENTS_MAX of them */
	int nevents;		    /* filled by loop_wait() */
	int next_event;		    /* first one not yet dispatched */
	struct loop_timer **heap;   /* earliest first */
	size_t ntimers;
	size_t heap_cap;
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

/* Prepares a timer that is not set. */
void loop_timer_init(struct loop_timer *timer, loop_timer_cb *cb, void *ctx);

/*
 * Sets the timer, or moves it, to due_ms (see loop_now()); it fires once.
 * 0, or -1 with errno ENOMEM; moving one that is set never fails.  Cost is
 * logarithmic in the number of timers set.
 */
int loop_timer_set(
    struct loop *loop, struct loop_timer *timer, uint64_t due_ms);

/* Cancels the timer if it is set. */
void loop_timer_cancel(struct loop *loop, struct loop_timer *timer);

static inline bool
loop_timer_is_set(const struct loop_timer *timer)
{
	return timer->heap_pos != 0;
}

/* The time of the last loop_wait() (or loop_init()), as clock_mono_ms(). */
static inline uint64_t
loop_now(const struct loop *loop)
{
	return loop->now_ms;
}

/* Milliseconds until the first timer is due, 0 if overdue, -1 if none. */
int loop_next_timeout(const struct loop *loop);

/*
 * Waits until an event arrives, the first timer is due or timeout_ms has
 * passed (-1: no limit, 0: only looks).  The number of events, 0 also when a
 * signal interrupted, or -1 with errno.  Events of an earlier wait that were
 * not dispatched are lost if they were edge-triggered.
 */
int loop_wait(struct loop *loop, int timeout_ms);

/* Runs the callbacks of the last wait, then those of the timers now due. */
void loop_dispatch(struct loop *loop);

/* Waits and dispatches; 0, or -1 with errno of loop_wait(). */
int loop_poll(struct loop *loop, int timeout_ms);

#endif
