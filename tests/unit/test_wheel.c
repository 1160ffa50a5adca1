/* SPDX-License-Identifier: BSD-2-Clause */
/* The timers of base/loop, by a clock of our own. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/loop.h"
#include "lib/unit.h"

#define NTIMERS 10000
#define STEPS 20000
#define DAY_MS UINT64_C(86400000)

static uint64_t clock_ms;
static struct loop loop;

/* These take the place of base/clock.c. */
uint64_t
clock_mono_ms(void)
{
	return clock_ms;
}

uint64_t
clock_mono_ns(void)
{
	return clock_ms * 1000000;
}

uint64_t
clock_real_ns(void)
{
	return clock_ms * 1000000;
}

struct alarm {
	struct loop_timer timer;
	uint64_t set_ms, due_ms;
	int rings;
	struct alarm *cancel, *move; /* by the callback */
	bool again;
};

static struct alarm alarms[NTIMERS];
static uint64_t rings;

/* How late one may be that was set so long before. */
static uint64_t
tolerance(uint64_t ahead)
{
	uint64_t width = 1;

	while (ahead >= 62 * width)
		width *= 8;
	return width - 1;
}

static void
set(struct alarm *a, uint64_t due_ms)
{
	a->set_ms = loop_now(&loop);
	a->due_ms = due_ms;
	loop_timer_set(&loop, &a->timer, due_ms);
	ck_assert(loop_timer_is_set(&a->timer));
	ck_assert_uint_eq(a->timer.due_ms, due_ms);
}

static void
on_alarm(struct loop *l, struct loop_timer *t)
{
	struct alarm *a = LOOP_EMBEDDED(t, struct alarm, timer);

	ck_assert_ptr_eq(l, &loop);
	ck_assert(!loop_timer_is_set(t));
	ck_assert_uint_ge(clock_ms, a->due_ms);
	a->rings++;
	rings++;
	if (a->cancel != NULL)
		loop_timer_cancel(l, &a->cancel->timer);
	if (a->move != NULL)
		set(a->move, clock_ms + 50);
	if (a->again)
		set(a, clock_ms);
}

static void
setup(void)
{
	int i;

	clock_ms = 123456789;
	ck_assert_int_eq(loop_init(&loop), 0);
	memset(alarms, 0, sizeof alarms);
	rings = 0;
	for (i = 0; i < NTIMERS; i++)
		loop_timer_init(&alarms[i].timer, on_alarm);
	srandom(1);
}

static void
teardown(void)
{
	loop_fini(&loop);
}

static void
poll_at(uint64_t ms)
{
	clock_ms = ms;
	ck_assert_int_eq(loop_poll(&loop, 0), 0);
	ck_assert_uint_eq(loop_now(&loop), ms);
}

/* Sleeps until the loop says; false if nothing is set. */
static bool
sleep_once(void)
{
	int ms = loop_next_timeout(&loop);

	if (ms == -1)
		return false;
	poll_at(clock_ms + (uint64_t)ms);
	return true;
}

START_TEST(test_none)
{
	ck_assert_int_eq(loop_next_timeout(&loop), -1);
	loop_timer_cancel(&loop, &alarms[0].timer);
	set(&alarms[0], clock_ms + 1000);
	loop_timer_cancel(&loop, &alarms[0].timer);
	ck_assert(!loop_timer_is_set(&alarms[0].timer));
	ck_assert_int_eq(loop_next_timeout(&loop), -1);
	poll_at(clock_ms + DAY_MS);
	ck_assert_uint_eq(rings, 0);
}
END_TEST

/* Alone, it is what the loop waits for, and in time. */
START_TEST(test_one)
{
	uint64_t ahead, late, begun;

	for (ahead = 0; ahead < 200000; ahead += 1 + ahead / 50) {
		begun = clock_ms;
		set(&alarms[0], begun + ahead);
		rings = 0;
		ck_assert(sleep_once());
		ck_assert_uint_eq(rings, 1);
		late = clock_ms - (begun + ahead);
		ck_assert_uint_le(late, tolerance(ahead));
		ck_assert_uint_le(late, ahead / 8);
		ck_assert(!sleep_once());
		clock_ms += (uint64_t)random() % 1000;
		poll_at(clock_ms);
	}
}
END_TEST

START_TEST(test_whole_steps_are_exact)
{
	uint64_t ahead;

	poll_at((clock_ms + 1023) / 1024 * 1024);
	for (ahead = 64; ahead < (uint64_t)62 * 64; ahead += 64) {
		set(&alarms[0], clock_ms + ahead);
		ck_assert_int_eq(loop_next_timeout(&loop), (int)ahead);
	}
	/* As the worker's tick: at the next whole 1,024. */
	poll_at(clock_ms + 77);
	set(&alarms[0], (clock_ms / 1024 + 1) * 1024);
	ck_assert_int_eq(loop_next_timeout(&loop), 1024 - 77);
}
END_TEST

/* Any time, from overdue to days. */
static uint64_t
any_time(void)
{
	uint64_t r = (uint64_t)random();

	if (r % 10 == 0)
		return clock_ms - r % 1000;
	return clock_ms + (r >> 8) % (UINT64_C(1) << (1 + r % 29));
}

/* Sets, moves, cancels; the loop is slept through as it says. */
START_TEST(test_random)
{
	uint64_t want = 0, begun, before;
	struct alarm *a;
	int i;

	for (i = 0; i < STEPS; i++) {
		a = &alarms[random() % 1000];
		if (random() % 4 == 0)
			loop_timer_cancel(&loop, &a->timer);
		else
			set(a, any_time());
		if (random() % 8 != 0)
			continue;
		before = rings;
		begun = clock_ms;
		if (!sleep_once())
			continue;
		/* Nobody wakes up for nothing; those that are farther off
		 * than the wheel goes are looked at. */
		if (clock_ms - begun < DAY_MS / 24)
			ck_assert_uint_gt(rings, before);
	}
	for (i = 0; i < 1000; i++) {
		alarms[i].rings = 0;
		want += loop_timer_is_set(&alarms[i].timer);
	}
	rings = 0;
	while (sleep_once())
		;
	ck_assert_uint_eq(rings, want);
	for (i = 0; i < 1000; i++)
		ck_assert_int_le(alarms[i].rings, 1);
}
END_TEST

/* Each in time, however many others there are; in order but for that. */
START_TEST(test_many)
{
	uint64_t begun = clock_ms, last = 0;
	int i, seen = 0;

	for (i = 0; i < NTIMERS; i++)
		set(&alarms[i], begun + (uint64_t)random() % 150000);
	while (sleep_once()) {
		for (i = 0; i < NTIMERS; i++) {
			if (alarms[i].rings == 0)
				continue;
			ck_assert_uint_le(clock_ms - alarms[i].due_ms,
			    tolerance(alarms[i].due_ms - begun));
			alarms[i].rings = 0;
			seen++;
		}
		ck_assert_uint_gt(clock_ms, last);
		last = clock_ms;
	}
	ck_assert_int_eq(seen, NTIMERS);
}
END_TEST

/* As idle clients do: those of two minutes go off every 4 s. */
START_TEST(test_far_ones_go_together)
{
	uint64_t end = clock_ms + 2 * 120000;
	int i, wakes = 0;

	for (i = 0; i < NTIMERS; i++) {
		poll_at(clock_ms + (uint64_t)(i % 8 == 0));
		set(&alarms[i], clock_ms + 120000);
	}
	for (; clock_ms < end && sleep_once(); wakes++)
		for (i = 0; i < NTIMERS; i++)
			if (!loop_timer_is_set(&alarms[i].timer))
				set(&alarms[i], clock_ms + 120000);
	ck_assert_uint_ge(rings, NTIMERS);
	ck_assert_int_le(wakes, 2 * 120 / 4);
}
END_TEST

START_TEST(test_far_deadline)
{
	uint64_t due = clock_ms + 100 * DAY_MS;
	int wakes = 0;

	set(&alarms[0], due);
	set(&alarms[1], UINT64_MAX);
	while (rings == 0) {
		ck_assert(sleep_once());
		wakes++;
	}
	ck_assert_int_eq(alarms[0].rings, 1);
	ck_assert_uint_ge(clock_ms, due);
	ck_assert_uint_le(clock_ms, due + DAY_MS);
	ck_assert_int_le(wakes, 100 * 24 / 4);
	ck_assert(loop_timer_is_set(&alarms[1].timer));
}
END_TEST

START_TEST(test_clock_jumps)
{
	static const uint64_t jump[] = { 1, 63, 64, 65, 511, 5000, 65536,
		3600000, DAY_MS, 400 * DAY_MS };
	uint64_t due, want;
	size_t j;
	int i;

	for (j = 0; j < sizeof jump / sizeof jump[0]; j++) {
		rings = want = 0;
		for (i = 0; i < 1000; i++) {
			due = clock_ms + (uint64_t)random() % (2 * jump[j]);
			set(&alarms[i], due);
			want += due + tolerance(due - clock_ms) <=
			    clock_ms + jump[j];
		}
		poll_at(clock_ms + jump[j]);
		ck_assert_uint_ge(rings, want);
		for (i = 0; i < 1000; i++)
			loop_timer_cancel(&loop, &alarms[i].timer);
		ck_assert_int_eq(loop_next_timeout(&loop), -1);
	}
}
END_TEST

/* All due at once: each cancels its neighbour, whatever the order. */
START_TEST(test_cancel_in_callback)
{
	int i;

	for (i = 0; i < 100; i++) {
		set(&alarms[i], clock_ms + 1000 + (uint64_t)i / 10);
		alarms[i].cancel = &alarms[i ^ 1];
	}
	poll_at(clock_ms + 2000);
	ck_assert_uint_eq(rings, 50);
	ck_assert_int_eq(loop_next_timeout(&loop), -1);
}
END_TEST

START_TEST(test_move_in_callback)
{
	int i;

	for (i = 0; i < 100; i++) {
		set(&alarms[i], clock_ms + 1000);
		alarms[i].move = &alarms[i ^ 1];
	}
	poll_at(clock_ms + 2000);
	ck_assert_uint_eq(rings, 50);
	ck_assert_int_eq(loop_next_timeout(&loop), 50);
	poll_at(clock_ms + 50);
	ck_assert_uint_eq(rings, 100);
}
END_TEST

/* Due at once again: neither hangs nor starves the loop. */
START_TEST(test_again_in_callback)
{
	set(&alarms[0], clock_ms - 1);
	set(&alarms[1], clock_ms);
	alarms[0].again = true;
	alarms[0].cancel = &alarms[1];
	ck_assert_int_eq(loop_next_timeout(&loop), 0);
	poll_at(clock_ms);
	ck_assert_int_eq(alarms[0].rings, 1);
	ck_assert_int_eq(loop_next_timeout(&loop), 0);
	poll_at(clock_ms);
	ck_assert_int_eq(alarms[0].rings, 2);
	ck_assert_int_le(alarms[1].rings, 1);
}
END_TEST

/* Between the halves of a round all can still be changed. */
START_TEST(test_cancel_after_wait)
{
	set(&alarms[0], clock_ms + 10);
	set(&alarms[1], clock_ms + 10);
	clock_ms += 10;
	ck_assert_int_eq(loop_wait(&loop, 0), 0);
	ck_assert_uint_eq(rings, 0);
	loop_timer_cancel(&loop, &alarms[0].timer);
	ck_assert_int_eq(loop_next_timeout(&loop), 0);
	set(&alarms[1], clock_ms + 10);
	ck_assert_int_eq(loop_next_timeout(&loop), 10);
	loop_dispatch(&loop);
	ck_assert_uint_eq(rings, 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("wheel");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_none);
	tcase_add_test(tc, test_one);
	tcase_add_test(tc, test_whole_steps_are_exact);
	tcase_add_test(tc, test_random);
	tcase_add_test(tc, test_many);
	tcase_add_test(tc, test_far_ones_go_together);
	tcase_add_test(tc, test_far_deadline);
	tcase_add_test(tc, test_clock_jumps);
	tcase_add_test(tc, test_cancel_in_callback);
	tcase_add_test(tc, test_move_in_callback);
	tcase_add_test(tc, test_again_in_callback);
	tcase_add_test(tc, test_cancel_after_wait);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
