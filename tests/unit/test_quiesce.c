/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Quiescent states: whom a note waits for, and what ends the waiting.
 */
#include <config.h>

#include <stdlib.h>

#include "lib/unit.h"
#include "shm/quiesce.h"

static struct slots_shm slots;
static struct own_shm own[4];
static struct quiesce_view view;
static struct quiesce_note note;

/* Slot 0 is the writer; 1, 2 and 3 have a process each, online. */
static void
setup(void)
{
	slotno n;

	slots = (struct slots_shm){ 0 };
	view = (struct quiesce_view){ .slots = &slots, .self = 0 };
	note = (struct quiesce_note){ 0 };
	for (n = 0; n < 4; n++) {
		own[n] = (struct own_shm){ 0 };
		quiesce_online(&own[n]);
		view.own[n] = &own[n];
		slots_start(&slots, n, 100u + n, SLOT_ROLE_WORKER);
		slots_set_live(&slots, n);
	}
}

static void
replace(slotno n)
{
	slots_set_dead(&slots, n);
	slots_set_spare(&slots, n);
	slots_start(&slots, n, 200u + n, SLOT_ROLE_WORKER);
}

START_TEST(the_counter_moves)
{
	struct own_shm o = { 0 };

	quiesce_online(&o);
	ck_assert_uint_eq(o.quiescence, 2);
	quiesce_pass(&o);
	ck_assert_uint_eq(o.quiescence, 4);
	quiesce_offline(&o);
	ck_assert_uint_eq(o.quiescence, 5);
	quiesce_online(&o);
	ck_assert_uint_eq(o.quiescence, 6);
}
END_TEST

/* Whatever parity a predecessor that died has left. */
START_TEST(online_is_even_and_offline_odd_from_any_count)
{
	struct own_shm o = { 0 };
	uint64_t before;

	for (before = 0; before < 4; before++) {
		o.quiescence = before;
		quiesce_online(&o);
		ck_assert_uint_eq(o.quiescence % 2, 0);
		ck_assert_uint_gt(o.quiescence, before);
		o.quiescence = before;
		quiesce_offline(&o);
		ck_assert_uint_eq(o.quiescence % 2, 1);
	}
}
END_TEST

START_TEST(all_others_must_pass)
{
	quiesce_note(&view, &note);
	ck_assert_uint_eq(note.members, 0xe);
	ck_assert(!quiesce_passed(&view, &note));
	quiesce_pass(&own[2]);
	ck_assert(!quiesce_passed(&view, &note));
	ck_assert_uint_eq(note.members, 0xa);
	/* the writer's own counter says nothing */
	quiesce_pass(&own[0]);
	ck_assert(!quiesce_passed(&view, &note));
	quiesce_pass(&own[1]);
	quiesce_pass(&own[3]);
	ck_assert(quiesce_passed(&view, &note));
	ck_assert_uint_eq(note.members, 0);
	ck_assert(quiesce_passed(&view, &note));
}
END_TEST

START_TEST(nobody_waits_for_a_sleeper)
{
	quiesce_offline(&own[1]);
	quiesce_note(&view, &note);
	ck_assert_uint_eq(note.members, 0xc);
	quiesce_pass(&own[2]);
	/* going to sleep is a quiescent state; so is having been asleep */
	quiesce_offline(&own[3]);
	ck_assert(quiesce_passed(&view, &note));
	quiesce_online(&own[1]);
	quiesce_note(&view, &note);
	ck_assert_uint_eq(note.members, 0x6);
	quiesce_offline(&own[1]);
	quiesce_online(&own[1]);
	quiesce_pass(&own[2]);
	ck_assert(quiesce_passed(&view, &note));
}
END_TEST

START_TEST(the_dead_hold_nothing_back)
{
	quiesce_note(&view, &note);
	slots_set_dead(&slots, 1);
	ck_assert(!quiesce_passed(&view, &note));
	ck_assert_uint_eq(note.members, 0xc);
	slots_set_dead(&slots, 2);
	slots_set_spare(&slots, 2);
	/* another process, which has not moved its counter */
	replace(3);
	ck_assert(quiesce_passed(&view, &note));
	quiesce_note(&view, &note);
	ck_assert_uint_eq(note.members, 0x8);
}
END_TEST

START_TEST(a_starting_and_a_leaving_process_count)
{
	replace(1);
	slots_set_leaving(&slots, 2);
	quiesce_note(&view, &note);
	ck_assert_uint_eq(note.members, 0xe);
}
END_TEST

START_TEST(a_slot_not_mapped_is_left_out)
{
	view.own[3] = NULL;
	quiesce_note(&view, &note);
	ck_assert_uint_eq(note.members, 0x6);
	view.own[3] = &own[3];
	quiesce_note(&view, &note);
	view.own[3] = NULL;
	quiesce_pass(&own[1]);
	quiesce_pass(&own[2]);
	ck_assert(quiesce_passed(&view, &note));
}
END_TEST

START_TEST(without_self_all_count)
{
	view.self = SLOTS_NONE;
	quiesce_note(&view, &note);
	ck_assert_uint_eq(note.members, 0xf);
}
END_TEST

static Suite *
quiesce_suite(void)
{
	Suite *s = suite_create("quiesce");
	TCase *tc = tcase_create("states");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, the_counter_moves);
	tcase_add_test(tc, online_is_even_and_offline_odd_from_any_count);
	tcase_add_test(tc, all_others_must_pass);
	tcase_add_test(tc, nobody_waits_for_a_sleeper);
	tcase_add_test(tc, the_dead_hold_nothing_back);
	tcase_add_test(tc, a_starting_and_a_leaving_process_count);
	tcase_add_test(tc, a_slot_not_mapped_is_left_out);
	tcase_add_test(tc, without_self_all_count);
	suite_add_tcase(s, tc);
	return s;
}

int
main(void)
{
	return unit_run(quiesce_suite());
}
