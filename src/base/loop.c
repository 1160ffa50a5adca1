/* SPDX-License-Identifier: BSD-2-Clause */
/* Event loop over epoll with timers in a wheel; in every process. */
#include <config.h>

#include <sys/epoll.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/loop.h"

#include "base/clock.h"
#include "base/fdutil.h"
#include "base/panic.h"

#define LEVEL_BITS 3 /* a bucket is as wide as 8 of the level below */
/* Buckets of a level that may be used ahead of now: what is rounded up may not
 * come round to the present one. */
#define AHEAD (LOOP_BUCKETS - 2)

/* Buckets are numbered by time: number i of level n ends at i << shift(n), and
 * lies at i modulo LOOP_BUCKETS.  What goes off up to now_ms has been taken
 * out when now_ms is set. */
static inline unsigned
shift(unsigned level)
{
	return level * LEVEL_BITS;
}

/* The first that ends at ms or later. */
static inline uint64_t
bucket_from(unsigned level, uint64_t ms)
{
	return (ms + (UINT64_C(1) << shift(level)) - 1) >> shift(level);
}

static inline uint64_t
rotate_right(uint64_t bits, uint64_t n)
{
	n %= 64;
	return n == 0 ? bits : bits >> n | bits << (64 - n);
}

int
loop_init(struct loop *loop)
{
	memset(loop, 0, sizeof *loop);
	loop->epfd = -1;
	loop->now_ms = clock_mono_ms();
	loop->events = calloc(LOOP_EVENTS_MAX, sizeof *loop->events);
	if (loop->events == NULL)
		return -1;
	if ((loop->epfd = epoll_create1(EPOLL_CLOEXEC)) == -1) {
		free(loop->events);
		loop->events = NULL;
		return -1;
	}
	return 0;
}

static void
forget(struct loop_timer **list)
{
	struct loop_timer *timer;

	for (; (timer = *list) != NULL; *list = timer->next)
		timer->at = NULL;
}

void
loop_fini(struct loop *loop)
{
	size_t i, j;

	forget(&loop->overdue);
	for (i = 0; i < LOOP_LEVELS; i++)
		for (j = 0; j < LOOP_BUCKETS; j++)
			forget(&loop->bucket[i][j]);
	free(loop->events);
	fd_close(&loop->epfd);
	memset(loop, 0, sizeof *loop);
	loop->epfd = -1;
}

int
loop_add(struct loop *loop, struct loop_fd *lfd)
{
	struct epoll_event ev = { .events = lfd->events, .data.ptr = lfd };

	return epoll_ctl(loop->epfd, EPOLL_CTL_ADD, lfd->fd, &ev);
}

int
loop_mod(struct loop *loop, struct loop_fd *lfd, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = lfd };

	if (epoll_ctl(loop->epfd, EPOLL_CTL_MOD, lfd->fd, &ev) == -1)
		return -1;
	lfd->events = events;
	return 0;
}

static void
drop_events(struct loop *loop, const struct loop_fd *lfd)
{
	int i;

	for (i = loop->next_event; i < loop->nevents; i++) {
		if (loop->events[i].data.ptr == lfd)
			loop->events[i].data.ptr = NULL;
	}
}

void
loop_del(struct loop *loop, struct loop_fd *lfd)
{
	int saved = errno;

	if (lfd->fd != -1)
		(void)epoll_ctl(loop->epfd, EPOLL_CTL_DEL, lfd->fd, NULL);
	drop_events(loop, lfd);
	errno = saved;
}

void
loop_close(struct loop *loop, struct loop_fd *lfd)
{
	drop_events(loop, lfd);
	fd_close(&lfd->fd);
}

/* ---- timers ---------------------------------------------------------- */

static void
push(struct loop_timer **list, struct loop_timer *timer)
{
	timer->next = *list;
	timer->at = list;
	if (*list != NULL)
		(*list)->at = &timer->next;
	*list = timer;
}

static void
unlink_timer(struct loop_timer *timer)
{
	*timer->at = timer->next;
	if (timer->next != NULL)
		timer->next->at = timer->at;
	timer->at = NULL;
}

void
loop_timer_init(struct loop_timer *timer, loop_timer_cb *cb)
{
	memset(timer, 0, sizeof *timer);
	timer->cb = cb;
}

void
loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t due_ms)
{
	uint64_t now = loop->now_ms, at = due_ms > now ? due_ms : now;
	unsigned level = 0, i;

	loop_timer_cancel(loop, timer);
	while (level < LOOP_LEVELS - 1 &&
	    at - now >= (uint64_t)AHEAD << shift(level))
		level++;
	/* Farther than the wheel goes: looked at again then. */
	if (at - now > (uint64_t)AHEAD << shift(level))
		at = now + ((uint64_t)AHEAD << shift(level));
	i = bucket_from(level, at) % LOOP_BUCKETS;
	timer->due_ms = due_ms;
	push(&loop->bucket[level][i], timer);
	loop->filled[level] |= UINT64_C(1) << i;
}

/* Nothing is left where `at` points: if that is a bucket, nobody is to wake up
 * for it. */
static void
emptied(struct loop *loop, struct loop_timer **at)
{
	uintptr_t off = (uintptr_t)at - (uintptr_t)loop->bucket;
	size_t i = off / sizeof *at;

	if (off < sizeof loop->bucket)
		loop->filled[i / LOOP_BUCKETS] &=
		    ~(UINT64_C(1) << i % LOOP_BUCKETS);
}

void
loop_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
	struct loop_timer **at = timer->at;

	if (at == NULL)
		return;
	ASSERT(*at == timer);
	unlink_timer(timer);
	if (*at == NULL)
		emptied(loop, at);
}

/* When the first bucket of a level ends that holds timers; UINT64_MAX: none
 * does. */
static uint64_t
first_end(const struct loop *loop, unsigned level)
{
	uint64_t i = bucket_from(level, loop->now_ms);

	if (loop->filled[level] == 0)
		return UINT64_MAX;
	i += (uint64_t)__builtin_ctzll(rotate_right(loop->filled[level], i));
	return i << shift(level);
}

int
loop_next_timeout(const struct loop *loop)
{
	uint64_t now, end = UINT64_MAX, e;
	unsigned level;

	if (loop->overdue != NULL)
		return 0;
	for (level = 0; level < LOOP_LEVELS; level++)
		if ((e = first_end(loop, level)) < end)
			end = e;
	if (end == UINT64_MAX)
		return -1;
	now = clock_mono_ms();
	if (end <= now)
		return 0;
	return end - now > INT_MAX ? INT_MAX : (int)(end - now);
}

/* All of a bucket is due. */
static void
take_bucket(struct loop *loop, unsigned level, unsigned i)
{
	struct loop_timer *timer;

	while ((timer = loop->bucket[level][i]) != NULL) {
		unlink_timer(timer);
		push(&loop->overdue, timer);
	}
	loop->filled[level] &= ~(UINT64_C(1) << i);
}

/* It is now_ms: take all that end until then. */
static void
advance(struct loop *loop, uint64_t now_ms)
{
	uint64_t end;
	unsigned level;

	for (level = 0; level < LOOP_LEVELS; level++)
		while ((end = first_end(loop, level)) <= now_ms)
			take_bucket(loop, level,
			    (end >> shift(level)) % LOOP_BUCKETS);
	loop->now_ms = now_ms;
}

int
loop_wait(struct loop *loop, int timeout_ms)
{
	int n, timeout = timeout_ms, next;

	/* Without a timer, or when only looking, the clock need not be read. */
	if (timeout != 0 && (next = loop_next_timeout(loop)) != -1 &&
	    (timeout == -1 || next < timeout))
		timeout = next;
	loop->next_event = loop->nevents = 0;
	n = epoll_wait(loop->epfd, loop->events, LOOP_EVENTS_MAX, timeout);
	/* Stopped and continued: what has come meanwhile comes before the
	 * timers that have become due meanwhile. */
	if (n == -1 && errno == EINTR)
		n = epoll_wait(loop->epfd, loop->events, LOOP_EVENTS_MAX, 0);
	advance(loop, clock_mono_ms());
	if (n == -1)
		return errno == EINTR ? 0 : -1;
	loop->nevents = n;
	return n;
}

/* What callbacks set meanwhile is for the next round, even if it is due. */
static void
run_timers(struct loop *loop)
{
	struct loop_timer *timer;

	while ((timer = loop->overdue) != NULL) {
		unlink_timer(timer);
		if (timer->due_ms > loop->now_ms)
			loop_timer_set(loop, timer, timer->due_ms);
		else
			timer->cb(loop, timer);
	}
}

void
loop_dispatch(struct loop *loop)
{
	struct epoll_event *ev;
	struct loop_fd *lfd;

	while (loop->next_event < loop->nevents) {
		ev = &loop->events[loop->next_event++];
		if ((lfd = ev->data.ptr) != NULL)
			lfd->cb(loop, lfd, ev->events);
	}
	run_timers(loop);
}

int
loop_poll(struct loop *loop, int timeout_ms)
{
	if (loop_wait(loop, timeout_ms) == -1)
		return -1;
	loop_dispatch(loop);
	return 0;
}
