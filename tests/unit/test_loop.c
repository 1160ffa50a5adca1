/* SPDX-License-Identifier: BSD-2-Clause */
/* Unit tests of base/loop (its timers: test_wheel.c), and of base/clock and base/fdutil on the way. */
#include <config.h>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdutil.h"
#include "base/loop.h"
#include "lib/unit.h"

#define NFDS 8

static struct loop loop;

static void
setup(void)
{
	ck_assert_int_eq(loop_init(&loop), 0);
}

static void
teardown(void)
{
	loop_fini(&loop);
}

struct watch {
	struct loop_fd lfd;
	int calls;
	uint32_t events;
	struct watch *victim; /* deleted by the callback */
	bool close_victim; /* and closed */
};

static void
on_event(struct loop *l, struct loop_fd *lfd, uint32_t events)
{
	struct watch *w = LOOP_EMBEDDED(lfd, struct watch, lfd);

	ck_assert_ptr_eq(l, &loop);
	w->calls++;
	w->events = events;
	if (w->victim != NULL) {
		if (w->close_victim) {
			loop_close(&loop, &w->victim->lfd);
			ck_assert_int_eq(w->victim->lfd.fd, -1);
		} else
			loop_del(&loop, &w->victim->lfd);
		/* What the loop still pointed to would now be garbage. */
		memset(&w->victim->lfd, 0xff, sizeof w->victim->lfd);
		w->victim = NULL;
	}
}

/* Watches a new eventfd that counts initval. */
static void
watch_new(struct watch *w, unsigned initval, uint32_t events)
{
	memset(w, 0, sizeof *w);
	w->lfd.fd = eventfd(initval, EFD_CLOEXEC | EFD_NONBLOCK);
	ck_assert_int_ne(w->lfd.fd, -1);
	w->lfd.events = events;
	w->lfd.cb = on_event;
	ck_assert_int_eq(loop_add(&loop, &w->lfd), 0);
}

static void
watch_end(struct watch *w)
{
	loop_close(&loop, &w->lfd);
}

START_TEST(test_events)
{
	struct watch w;

	watch_new(&w, 0, EPOLLIN);
	ck_assert_int_eq(loop_poll(&loop, 0), 0);
	ck_assert_int_eq(w.calls, 0);
	ck_assert_int_eq(eventfd_write(w.lfd.fd, 1), 0);
	ck_assert_int_eq(loop_poll(&loop, -1), 0);
	ck_assert_int_eq(w.calls, 1);
	ck_assert_uint_eq(w.events, EPOLLIN);
	ck_assert_int_eq(loop_mod(&loop, &w.lfd, EPOLLOUT), 0);
	ck_assert_uint_eq(w.lfd.events, EPOLLOUT);
	ck_assert_int_eq(loop_poll(&loop, -1), 0);
	ck_assert_uint_eq(w.events, EPOLLOUT);
	loop_del(&loop, &w.lfd);
	loop_del(&loop, &w.lfd);
	ck_assert_int_eq(loop_poll(&loop, 0), 0);
	ck_assert_int_eq(w.calls, 2);
	fd_close(&w.lfd.fd);
}
END_TEST

START_TEST(test_flags_unchanged)
{
	struct watch w;

	watch_new(&w, 1, EPOLLIN | EPOLLET | EPOLLEXCLUSIVE);
	ck_assert_int_eq(loop_poll(&loop, 0), 0);
	ck_assert_int_eq(loop_poll(&loop, 0), 0);
	ck_assert_int_eq(w.calls, 1); /* edge-triggered */
	ck_assert_int_eq(loop_mod(&loop, &w.lfd, EPOLLIN), -1);
	ck_assert_int_eq(errno, EINVAL);
	watch_end(&w);
}
END_TEST

START_TEST(test_split)
{
	struct watch w;

	watch_new(&w, 1, EPOLLIN);
	ck_assert_int_eq(loop_wait(&loop, -1), 1);
	ck_assert_int_eq(w.calls, 0);
	loop_dispatch(&loop);
	ck_assert_int_eq(w.calls, 1);
	/* The same events are not run twice. */
	loop_dispatch(&loop);
	ck_assert_int_eq(w.calls, 1);
	/* Deleting between the halves drops the event. */
	ck_assert_int_eq(loop_wait(&loop, -1), 1);
	loop_del(&loop, &w.lfd);
	loop_dispatch(&loop);
	ck_assert_int_eq(w.calls, 1);
	fd_close(&w.lfd.fd);
}
END_TEST

START_TEST(test_delete_in_callback)
{
	struct watch w[NFDS];
	int fds[NFDS], i, calls = 0;

	/* Each deletes its neighbour: whatever the order, half of them run. */
	for (i = 0; i < NFDS; i++)
		watch_new(&w[i], 1, EPOLLIN);
	for (i = 0; i < NFDS; i++) {
		fds[i] = w[i].lfd.fd;
		w[i].victim = &w[i ^ 1];
		w[i].close_victim = _i == 1;
	}
	ck_assert_int_eq(loop_poll(&loop, -1), 0);
	for (i = 0; i < NFDS; i++)
		calls += w[i].calls;
	ck_assert_int_eq(calls, NFDS / 2);
	for (i = 0; i < NFDS; i++)
		/* Closed by the callback, or still open. */
		ck_assert_int_eq(close(fds[i]), _i == 1 && w[i].calls == 0 ?
		    -1 : 0);
}
END_TEST

START_TEST(test_delete_self)
{
	struct watch w;
	int fd;

	watch_new(&w, 1, EPOLLIN);
	fd = w.lfd.fd;
	w.victim = &w;
	ck_assert_int_eq(loop_poll(&loop, -1), 0);
	ck_assert_int_eq(loop_poll(&loop, 0), 0);
	ck_assert_int_eq(w.calls, 1);
	close(fd);
}
END_TEST

START_TEST(test_add_fails)
{
	struct loop_fd lfd = { .fd = -1, .events = EPOLLIN };

	ck_assert_int_eq(loop_add(&loop, &lfd), -1);
	ck_assert_int_eq(errno, EBADF);
	errno = 77;
	loop_del(&loop, &lfd);
	ck_assert_int_eq(errno, 77);
}
END_TEST

static int fired;

static void
on_timer(struct loop *l, struct loop_timer *t)
{
	ck_assert_ptr_eq(l, &loop);
	ck_assert(!loop_timer_is_set(t));
	fired++;
}

START_TEST(test_timer_ends_wait)
{
	struct loop_timer t;
	uint64_t start = clock_mono_ms();

	loop_timer_init(&t, on_timer);
	loop_timer_set(&loop, &t, start + 20);
	while (fired == 0)
		ck_assert_int_eq(loop_poll(&loop, -1), 0);
	ck_assert_uint_ge(clock_mono_ms(), start + 20);
}
END_TEST

START_TEST(test_fini_forgets_timers)
{
	struct loop_timer due, later;

	loop_timer_init(&due, on_timer);
	loop_timer_init(&later, on_timer);
	loop_timer_set(&loop, &due, 1);
	loop_timer_set(&loop, &later, loop_now(&loop) + 100000);
	ck_assert_int_eq(loop_wait(&loop, 0), 0);
	loop_fini(&loop);
	ck_assert(!loop_timer_is_set(&due));
	ck_assert(!loop_timer_is_set(&later));
	ck_assert_int_eq(loop_init(&loop), 0);
}
END_TEST

START_TEST(test_clock)
{
	uint64_t a = clock_mono_ns(), b = clock_mono_ns();

	ck_assert_uint_le(a, b);
	ck_assert_uint_ge(clock_mono_ms(), b / 1000000);
	/* After 2020. */
	ck_assert_uint_gt(clock_real_ns(), UINT64_C(1577836800000000000));
}
END_TEST

START_TEST(test_fdutil)
{
	char path[] = "/tmp/natsd-test-XXXXXX", *data = NULL;
	size_t len = 0;
	int fd = mkstemp(path), p[2];

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(fd_write_all(fd, "hello", 5), 0);
	ck_assert_int_eq(fd_set_cloexec(fd), 0);
	ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
	errno = 77;
	fd_close(&fd);
	fd_close(&fd);
	ck_assert_int_eq(fd, -1);
	ck_assert_int_eq(errno, 77);
	ck_assert_int_eq(fd_read_file(path, 4, &data, &len), -1);
	ck_assert_int_eq(errno, EFBIG);
	ck_assert_ptr_null(data);
	ck_assert_int_eq(fd_read_file(path, 5, &data, &len), 0);
	ck_assert_uint_eq(len, 5);
	ck_assert_str_eq(data, "hello");
	free(data);
	unlink(path);
	ck_assert_int_eq(fd_read_file(path, 5, &data, &len), -1);
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_int_eq(fd_read_file("/tmp", 5, &data, &len), -1);
	ck_assert_int_eq(errno, EISDIR);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_eq(fd_read_file(path, 5, &data, &len), -1);
	ck_assert_int_eq(errno, EINVAL);
	unlink(path);
	ck_assert_int_eq(pipe(p), 0);
	ck_assert_int_eq(fd_set_nonblock(p[0]), 0);
	ck_assert_int_eq(read(p[0], path, 1), -1);
	ck_assert_int_eq(errno, EAGAIN);
	fd_close(&p[0]);
	fd_close(&p[1]);
	ck_assert_int_eq(fd_set_nonblock(-1), -1);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("loop");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_events);
	tcase_add_test(tc, test_flags_unchanged);
	tcase_add_test(tc, test_split);
	tcase_add_loop_test(tc, test_delete_in_callback, 0, 2);
	tcase_add_test(tc, test_delete_self);
	tcase_add_test(tc, test_add_fails);
	tcase_add_test(tc, test_timer_ends_wait);
	tcase_add_test(tc, test_fini_forgets_timers);
	tcase_add_test(tc, test_clock);
	tcase_add_test(tc, test_fdutil);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
