/* SPDX-License-Identifier: BSD-2-Clause */
/* The slot table: allowed transitions, live word, membership. */
#include <config.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "lib/unit.h"
#include "shm/slots.h"

static struct slots_shm *s;

static const struct slots_geometry geometry = {
	.hash_seed = 0x123456789abcdefu,
	.nslots = 4,
	.nlines = 1000,
	.ring_bytes = 1 << 20,
	.index_bytes = 1 << 30,
};

static void
setup(void)
{
	s = aligned_alloc(NATSD_CACHELINE, slots_shm_size());
	ck_assert_ptr_nonnull(s);
	memset((void *)s, 0, slots_shm_size());
	slots_shm_init(s, &geometry);
}

static void
teardown(void)
{
	free(s);
	s = NULL;
}

START_TEST(starts_empty)
{
	ck_assert_uint_eq(s->hash_seed, geometry.hash_seed);
	ck_assert_uint_eq(s->nslots, 4);
	ck_assert_uint_eq(s->nlines, 1000);
	ck_assert_uint_eq(s->ring_bytes, 1 << 20);
	ck_assert_uint_eq(s->index_bytes, 1 << 30);
	ck_assert_uint_eq(slots_live(s), 0);
	ck_assert_uint_eq(slots_membership(s), 0);
	ck_assert_uint_eq(slots_find_spare(s), 0);
	ck_assert(slots_valid(s));
}
END_TEST

START_TEST(life_of_a_slot)
{
	slots_start(s, 2, 77, SLOT_ROLE_WORKER);
	ck_assert_uint_eq(slots_state(s, 2), SLOT_STARTING);
	ck_assert_uint_eq(slots_incarnation(s, 2), 77);
	ck_assert_uint_eq(s->slot[2].role, SLOT_ROLE_WORKER);
	ck_assert_uint_eq(s->slot[2].pid, 0);
	slots_set_pid(s, 2, 4242);
	ck_assert_uint_eq(s->slot[2].pid, 4242);
	ck_assert_uint_eq(slots_live(s), 0);
	ck_assert_uint_eq(slots_membership(s), 0);

	slots_set_live(s, 2);
	ck_assert_uint_eq(slots_live(s), 4);
	ck_assert_uint_eq(slots_membership(s), 1);
	ck_assert(slots_valid(s));

	slots_set_leaving(s, 2);
	ck_assert_uint_eq(slots_state(s, 2), SLOT_LEAVING);
	ck_assert_uint_eq(slots_live(s), 4);
	ck_assert_uint_eq(slots_membership(s), 1);
	ck_assert(slots_valid(s));

	slots_set_dead(s, 2);
	ck_assert_uint_eq(slots_state(s, 2), SLOT_DEAD);
	ck_assert_uint_eq(slots_live(s), 0);
	ck_assert_uint_eq(slots_membership(s), 2);
	ck_assert_uint_eq(s->slot[2].pid, 0);
	ck_assert(slots_valid(s));

	slots_set_spare(s, 2);
	ck_assert_uint_eq(slots_state(s, 2), SLOT_SPARE);
	ck_assert_uint_eq(slots_incarnation(s, 2), 77);
	ck_assert_uint_eq(slots_membership(s), 2);
	slots_start(s, 2, 78, SLOT_ROLE_WORKER);
	ck_assert_uint_eq(slots_incarnation(s, 2), 78);
}
END_TEST

START_TEST(death_before_live_raises_membership_too)
{
	slots_start(s, 1, 5, SLOT_ROLE_WORKER);
	slots_set_dead(s, 1);
	ck_assert_uint_eq(slots_live(s), 0);
	ck_assert_uint_eq(slots_membership(s), 1);
}
END_TEST

START_TEST(others_bits_stay)
{
	uint32_t i;

	for (i = 0; i < SLOTS_MAX; i++) {
		slots_start(s, (slotno)i, i + 1, SLOT_ROLE_WORKER);
		slots_set_live(s, (slotno)i);
	}
	ck_assert_uint_eq(slots_live(s), UINT64_MAX);
	slots_set_dead(s, 63);
	slots_set_dead(s, 0);
	ck_assert_uint_eq(slots_live(s), UINT64_MAX >> 2 << 1);
	ck_assert_uint_eq(slots_membership(s), SLOTS_MAX + 2);
	ck_assert(slots_valid(s));
}
END_TEST

START_TEST(spare_ones_run_out)
{
	slotno i;

	for (i = 0; i < 4; i++) {
		ck_assert_uint_eq(slots_find_spare(s), i);
		slots_start(s, i, 10u + i, SLOT_ROLE_WORKER);
	}
	ck_assert_uint_eq(slots_find_spare(s), SLOTS_NONE);
	slots_set_dead(s, 2);
	ck_assert_uint_eq(slots_find_spare(s), SLOTS_NONE);
	slots_set_spare(s, 2);
	ck_assert_uint_eq(slots_find_spare(s), 2);
}
END_TEST

/* Lead slot 0 by allowed steps to a state. */
static void
lead_to(uint32_t state)
{
	if (state == SLOT_SPARE)
		return;
	slots_start(s, 0, 1, SLOT_ROLE_WORKER);
	if (state == SLOT_LIVE || state == SLOT_LEAVING)
		slots_set_live(s, 0);
	if (state == SLOT_LEAVING)
		slots_set_leaving(s, 0);
	if (state == SLOT_DEAD)
		slots_set_dead(s, 0);
	ck_assert_uint_eq(slots_state(s, 0), state);
}

static const struct { uint32_t from, to; } forbidden[] = {
	{ SLOT_SPARE, SLOT_SPARE },
	{ SLOT_SPARE, SLOT_LIVE },
	{ SLOT_SPARE, SLOT_LEAVING },
	{ SLOT_SPARE, SLOT_DEAD },
	{ SLOT_STARTING, SLOT_SPARE },
	{ SLOT_STARTING, SLOT_STARTING },
	{ SLOT_STARTING, SLOT_LEAVING },
	{ SLOT_LIVE, SLOT_SPARE },
	{ SLOT_LIVE, SLOT_STARTING },
	{ SLOT_LIVE, SLOT_LIVE },
	{ SLOT_LEAVING, SLOT_SPARE },
	{ SLOT_LEAVING, SLOT_STARTING },
	{ SLOT_LEAVING, SLOT_LIVE },
	{ SLOT_LEAVING, SLOT_LEAVING },
	{ SLOT_DEAD, SLOT_STARTING },
	{ SLOT_DEAD, SLOT_LIVE },
	{ SLOT_DEAD, SLOT_LEAVING },
	{ SLOT_DEAD, SLOT_DEAD },
};
#define NFORBIDDEN (int)(sizeof forbidden / sizeof forbidden[0])

START_TEST(forbidden_transitions_abort)
{
	lead_to(forbidden[_i].from);
	switch (forbidden[_i].to) {
	case SLOT_SPARE:
		slots_set_spare(s, 0);
		break;
	case SLOT_STARTING:
		slots_start(s, 0, 2, SLOT_ROLE_WORKER);
		break;
	case SLOT_LIVE:
		slots_set_live(s, 0);
		break;
	case SLOT_LEAVING:
		slots_set_leaving(s, 0);
		break;
	default:
		slots_set_dead(s, 0);
		break;
	}
}
END_TEST

START_TEST(valid_sees_disagreement)
{
	slots_start(s, 1, 1, SLOT_ROLE_WORKER);
	slots_set_live(s, 1);
	ck_assert(slots_valid(s));
	s->live = 0;
	ck_assert(!slots_valid(s));
	s->live = 2;
	s->slot[3].state = 99;
	ck_assert(!slots_valid(s));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("slots");
	TCase *tc = tcase_create("slots");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, starts_empty);
	tcase_add_test(tc, life_of_a_slot);
	tcase_add_test(tc, death_before_live_raises_membership_too);
	tcase_add_test(tc, others_bits_stay);
	tcase_add_test(tc, spare_ones_run_out);
	tcase_add_loop_test_raise_signal(tc, forbidden_transitions_abort,
	    SIGABRT, 0, NFORBIDDEN);
	tcase_add_test(tc, valid_sees_disagreement);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
