/* SPDX-License-Identifier: BSD-2-Clause */
/* Event loop over epoll with timers in a binary heap; in every process. */
#include <config.h>

#include <sys/epoll.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/loop.h"

#include "base/clock.h"
#include "base/fdutil.h"
#include "base/mem.h"
#include "base/panic.h"

#define HEAP_CAP_MIN 64

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

void
loop_fini(struct loop *loop)
{
	size_t i;

	for (i = 0; i < loop->ntimers; i++)
		loop->heap[i]->heap_pos = 0;
	free(loop->heap);
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

void
loop_del(struct loop *loop, struct loop_fd *lfd)
{
	int i, saved = errno;

	if (lfd->fd != -1)
		(void)epoll_ctl(loop->epfd, EPOLL_CTL_DEL, lfd->fd, NULL);
	for (i = loop->next_event; i < loop->nevents; i++) {
		if (loop->events[i].data.ptr == lfd)
			loop->events[i].data.ptr = NULL;
	}
	errno = saved;
}

static void
heap_put(struct loop *loop, size_t i, struct loop_timer *timer)
{
	loop->heap[i] = timer;
	timer->heap_pos = i + 1;
}

/* Moves the timer that belongs at i or above up to its place. */
static void
sift_up(struct loop *loop, size_t i, struct loop_timer *timer)
{
	size_t parent;

	while (i > 0) {
		parent = (i - 1) / 2;
		if (loop->heap[parent]->due_ms <= timer->due_ms)
			break;
		heap_put(loop, i, loop->heap[parent]);
		i = parent;
	}
	heap_put(loop, i, timer);
}

/* Moves the timer that belongs at i or below down to its place. */
static void
sift_down(struct loop *loop, size_t i, struct loop_timer *timer)
{
	size_t child;

	while ((child = 2 * i + 1) < loop->ntimers) {
		if (child + 1 < loop->ntimers &&
		    loop->heap[child + 1]->due_ms < loop->heap[child]->due_ms)
			child++;
		if (timer->due_ms <= loop->heap[child]->due_ms)
			break;
		heap_put(loop, i, loop->heap[child]);
		i = child;
	}
	heap_put(loop, i, timer);
}

static void
sift(struct loop *loop, size_t i, struct loop_timer *timer)
{
	if (i > 0 && timer->due_ms < loop->heap[(i - 1) / 2]->due_ms)
		sift_up(loop, i, timer);
	else
		sift_down(loop, i, timer);
}

static int
heap_grow(struct loop *loop)
{
	struct loop_timer **heap;
	size_t cap, size;

	cap = loop->heap_cap == 0 ? HEAP_CAP_MIN : loop->heap_cap * 2;
	if (!mem_mul(cap, sizeof *heap, &size) ||
	    (heap = realloc(loop->heap, size)) == NULL) {
		errno = ENOMEM;
		return -1;
	}
	loop->heap = heap;
	loop->heap_cap = cap;
	return 0;
}

void
loop_timer_init(struct loop_timer *timer, loop_timer_cb *cb, void *ctx)
{
	memset(timer, 0, sizeof *timer);
	timer->cb = cb;
	timer->ctx = ctx;
}

int
loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t due_ms)
{
	if (timer->heap_pos != 0) {
		timer->due_ms = due_ms;
		sift(loop, timer->heap_pos - 1, timer);
		return 0;
	}
	if (loop->ntimers == loop->heap_cap && heap_grow(loop) == -1)
		return -1;
	timer->due_ms = due_ms;
	loop->ntimers++;
	sift_up(loop, loop->ntimers - 1, timer);
	return 0;
}

void
loop_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
	struct loop_timer *last;
	size_t i;

	if (timer->heap_pos == 0)
		return;
	i = timer->heap_pos - 1;
	ASSERT(i < loop->ntimers && loop->heap[i] == timer);
	timer->heap_pos = 0;
	last = loop->heap[--loop->ntimers];
	if (last != timer)
		sift(loop, i, last);
}

int
loop_next_timeout(const struct loop *loop)
{
	uint64_t now, left;

	if (loop->ntimers == 0)
		return -1;
	now = clock_mono_ms();
	if (loop->heap[0]->due_ms <= now)
		return 0;
	left = loop->heap[0]->due_ms - now;
	return left > INT_MAX ? INT_MAX : (int)left;
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
	loop->now_ms = clock_mono_ms();
	if (n == -1)
		return errno == EINTR ? 0 : -1;
	loop->nevents = n;
	return n;
}

/* Fires the timers that are due now; each at most once a round. */
static void
run_timers(struct loop *loop)
{
	struct loop_timer *timer;
	size_t left = loop->ntimers;

	for (; left > 0 && loop->ntimers > 0; left--) {
		timer = loop->heap[0];
		if (timer->due_ms > loop->now_ms)
			break;
		loop_timer_cancel(loop, timer);
		timer->cb(timer);
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
			lfd->cb(lfd, ev->events);
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
