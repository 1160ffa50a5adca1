/* SPDX-License-Identifier: BSD-2-Clause */
/* Bells: who is rung, how often, and that an edge arrives each time. */
#include <config.h>

#include <sys/epoll.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/unit.h"
#include "shm/bell.h"
#include "shm/own.h"

static struct own_shm *own;
static struct bell bell;
static int fd, ep;

static void
setup(void)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };

	own = aligned_alloc(NATSD_CACHELINE, sizeof *own);
	ck_assert_ptr_nonnull(own);
	memset((void *)own, 0, sizeof *own);
	fd = bell_create();
	ck_assert_int_ge(fd, 0);
	ep = epoll_create1(EPOLL_CLOEXEC);
	ck_assert_int_ge(ep, 0);
	ck_assert_int_eq(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev), 0);
	bell_attach(&bell, fd, own);
}

static void
teardown(void)
{
	(void)close(ep);
	(void)close(fd);
	free(own);
}

static int
edge(void)
{
	struct epoll_event ev;

	return epoll_wait(ep, &ev, 1, 0);
}

START_TEST(descriptor_flags)
{
	ck_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	ck_assert(fcntl(fd, F_GETFL) & O_NONBLOCK);
}
END_TEST

START_TEST(who_is_awake_is_not_rung)
{
	ck_assert(!bell_ring(&bell));
	ck_assert_int_eq(edge(), 0);
	bell_arm(own);
	bell_disarm(own);
	ck_assert(!bell_ring(&bell));
	ck_assert_uint_eq(bell.rings, 0);
}
END_TEST

START_TEST(a_sleeper_is_rung_once_per_sleep)
{
	uint32_t last = 0;
	int i;

	for (i = 1; i <= 5; i++) {
		bell_arm(own);
		ck_assert_uint_eq(own->asleep & 1, 1);
		ck_assert_uint_gt(own->asleep, last);
		last = own->asleep;
		ck_assert(bell_ring(&bell));
		ck_assert(!bell_ring(&bell));
		ck_assert(!bell_ring_nofence(&bell));
		ck_assert_uint_eq(bell.rings, (uint64_t)i);
		ck_assert_int_eq(edge(), 1); /* never read, still an edge */
		ck_assert_int_eq(edge(), 0);
		bell_disarm(own);
		ck_assert_uint_eq(own->asleep & 1, 0);
		bell_disarm(own); /* once more does nothing */
		ck_assert_uint_eq(own->asleep, last + 1);
	}
}
END_TEST

START_TEST(each_waker_rings_for_itself)
{
	struct bell other;

	bell_attach(&other, fd, own);
	bell_arm(own);
	ck_assert(bell_ring(&bell));
	ck_assert_int_eq(edge(), 1);
	ck_assert(bell_ring(&other));
	ck_assert_int_eq(edge(), 1);
}
END_TEST

START_TEST(a_successor_of_one_who_died_asleep_is_rung)
{
	bell_arm(own);
	ck_assert(bell_ring(&bell));
	/* Dies here.  The next process arms without having disarmed. */
	bell_arm(own);
	ck_assert_uint_eq(own->asleep & 1, 1);
	ck_assert(bell_ring(&bell));
}
END_TEST

START_TEST(the_count_wraps)
{
	own->asleep = UINT32_MAX;
	ck_assert(bell_ring(&bell));
	bell_disarm(own);
	ck_assert_uint_eq(own->asleep, 0);
	bell_arm(own);
	ck_assert_uint_eq(own->asleep, 1);
	ck_assert(bell_ring(&bell));
	own->asleep = UINT32_MAX;
	bell_arm(own);
	ck_assert_uint_eq(own->asleep, 1);
}
END_TEST

START_TEST(always_rings_always)
{
	bell_ring_always(fd);
	ck_assert_int_eq(edge(), 1);
	bell_ring_always(fd);
	ck_assert_int_eq(edge(), 1);
}
END_TEST

START_TEST(a_counter_filled_on_purpose_does_not_silence_it)
{
	uint64_t max = UINT64_MAX - 1;

	ck_assert_int_eq(write(fd, &max, sizeof max), sizeof max);
	ck_assert_int_eq(edge(), 1);
	bell_ring_always(fd);
	ck_assert_int_eq(edge(), 1);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("bell");
	TCase *tc = tcase_create("bell");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, descriptor_flags);
	tcase_add_test(tc, who_is_awake_is_not_rung);
	tcase_add_test(tc, a_sleeper_is_rung_once_per_sleep);
	tcase_add_test(tc, each_waker_rings_for_itself);
	tcase_add_test(tc, a_successor_of_one_who_died_asleep_is_rung);
	tcase_add_test(tc, the_count_wraps);
	tcase_add_test(tc, always_rings_always);
	tcase_add_test(tc, a_counter_filled_on_purpose_does_not_silence_it);
	suite_add_tcase(s, tc);
	return unit_run(s);
}
