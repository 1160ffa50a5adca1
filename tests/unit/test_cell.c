/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cells: dense numbers, reuse oldest first and only when released, serials
 * that never come back.
 */
#include <config.h>

#include <signal.h>
#include <stdalign.h>
#include <stdlib.h>

#include "lib/unit.h"
#include "shm/cell.h"

#define CELLS 100

static alignas(CELL_SIZE) uint8_t area[CELLS * CELL_SIZE];
static _Atomic uint32_t top;
static struct cells cells;

static uint32_t
serial(cellno no)
{
	struct cell_head_shm *h = cell_at(&cells, no);

	return h->serial;
}

static void
setup(void)
{
	size_t i;

	for (i = 0; i < sizeof area; i++)
		area[i] = 0;
	cells_init(&cells, area, CELLS, &top);
}

START_TEST(numbers_are_dense_and_end)
{
	cellno i;

	for (i = 1; i < CELLS; i++)
		ck_assert_uint_eq(cell_take(&cells), i);
	ck_assert_uint_eq(cell_take(&cells), 0);
	ck_assert_uint_eq(cell_take(&cells), 0);
	ck_assert_uint_eq(cells.high, CELLS - 1);
}
END_TEST

START_TEST(oldest_first_and_only_when_released)
{
	cellno i;

	for (i = 1; i <= 10; i++)
		(void)cell_take(&cells);
	cell_retire(&cells, 5);
	cell_retire(&cells, 3);
	ck_assert_uint_eq(cell_take(&cells), 11);
	cells_close(&cells);
	cell_retire(&cells, 9);
	ck_assert_uint_eq(cell_take(&cells), 12);
	cells_release(&cells);
	ck_assert_uint_eq(cells.idle.n, 2);
	ck_assert_uint_eq(cells.open.n, 1);
	cells_close(&cells);
	ck_assert_uint_eq(cell_take(&cells), 5);
	cells_release(&cells);
	ck_assert_uint_eq(cell_take(&cells), 3);
	ck_assert_uint_eq(cell_take(&cells), 9);
	ck_assert_uint_eq(cell_take(&cells), 13);
	/* nothing retired: closing and releasing do nothing */
	cells_close(&cells);
	cells_release(&cells);
	ck_assert_uint_eq(cell_take(&cells), 14);
}
END_TEST

START_TEST(each_use_has_a_higher_serial)
{
	cellno no = cell_take(&cells);
	uint32_t before = serial(no), i;

	ck_assert_uint_ne(before, 0);
	for (i = 0; i < 1000; i++) {
		cell_retire(&cells, no);
		ck_assert_uint_eq(serial(no), before);
		cells_close(&cells);
		cells_release(&cells);
		ck_assert_uint_eq(cell_take(&cells), no);
		ck_assert_uint_gt(serial(no), before);
		before = serial(no);
		ck_assert_uint_ge(top, before);
	}
}
END_TEST

START_TEST(a_successor_starts_above)
{
	uint32_t before, process;
	cellno no;

	for (process = 0; process < 20; process++) {
		before = top;
		setup();
		no = cell_take(&cells);
		ck_assert_uint_gt(serial(no), before);
		cell_retire(&cells, no);
		cells_close(&cells);
		cells_release(&cells);
		(void)cell_take(&cells);
	}
}
END_TEST

START_TEST(serials_go_round_without_zero)
{
	cellno a, b;

	top = UINT32_MAX - 1;
	setup();
	a = cell_take(&cells);
	ck_assert_uint_eq(serial(a), UINT32_MAX);
	cell_retire(&cells, a);
	cells_close(&cells);
	cells_release(&cells);
	ck_assert_uint_eq(cell_take(&cells), a);
	ck_assert_uint_eq(serial(a), 1);
	ck_assert_uint_eq(top, 1);
	b = cell_take(&cells);
	ck_assert_uint_eq(serial(b), UINT32_MAX);
	ck_assert_uint_eq(top, 1);
	top = UINT32_MAX;
	setup();
	ck_assert_uint_eq(cells.serial_first, 1);
}
END_TEST

START_TEST(a_cell_never_taken_is_not_retired)
{
	cell_retire(&cells, 7);
}
END_TEST

START_TEST(meta_holds_kind_and_length)
{
	uint32_t m = cell_meta(5, 12345);

	ck_assert_uint_eq(cell_kind(m), 5);
	ck_assert_uint_eq(cell_len(m), 12345);
}
END_TEST

static Suite *
cell_suite(void)
{
	Suite *s = suite_create("cell");
	TCase *tc = tcase_create("cells");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, numbers_are_dense_and_end);
	tcase_add_test(tc, oldest_first_and_only_when_released);
	tcase_add_test(tc, each_use_has_a_higher_serial);
	tcase_add_test(tc, a_successor_starts_above);
	tcase_add_test(tc, serials_go_round_without_zero);
	tcase_add_test(tc, meta_holds_kind_and_length);
	tcase_add_test_raise_signal(tc, a_cell_never_taken_is_not_retired,
	    SIGABRT);
	suite_add_tcase(s, tc);
	return s;
}

int
main(void)
{
	return unit_run(cell_suite());
}
