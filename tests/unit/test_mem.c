/* SPDX-License-Identifier: BSD-2-Clause */
/* Unit tests of base/mem and base/panic. */
#include <config.h>

#include <signal.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/panic.h"
#include "lib/unit.h"

START_TEST(test_add)
{
	size_t out = 7;

	ck_assert(mem_add(1, 2, &out));
	ck_assert_uint_eq(out, 3);
	ck_assert(mem_add(SIZE_MAX - 1, 1, &out));
	ck_assert_uint_eq(out, SIZE_MAX);
	out = 7;
	ck_assert(!mem_add(SIZE_MAX, 1, &out));
	ck_assert_uint_eq(out, 7);
}
END_TEST

START_TEST(test_mul)
{
	size_t out = 7;

	ck_assert(mem_mul(6, 7, &out));
	ck_assert_uint_eq(out, 42);
	ck_assert(mem_mul(SIZE_MAX, 0, &out));
	ck_assert_uint_eq(out, 0);
	out = 7;
	ck_assert(!mem_mul(SIZE_MAX / 2 + 1, 2, &out));
	ck_assert_uint_eq(out, 7);
}
END_TEST

START_TEST(test_alloc)
{
	unsigned char *p;
	char *s;
	size_t i;

	p = mem_array_or_die(10, 10);
	for (i = 0; i < 100; i++)
		ck_assert_uint_eq(p[i], 0);
	free(p);
	p = mem_alloc_or_die(0);
	ck_assert_ptr_nonnull(p);
	free(p);
	s = mem_strdup_or_die("abc");
	ck_assert_str_eq(s, "abc");
	free(s);
}
END_TEST

START_TEST(test_die)
{
	/* Not constant, or the compiler warns. */
	volatile size_t huge = SIZE_MAX / 2;

	free(mem_array_or_die(huge, 4));
}
END_TEST

static int assert_arg;

START_TEST(test_assert_passes)
{
	ASSERT(++assert_arg == 1);
	ck_assert_int_eq(assert_arg, 1);
}
END_TEST

START_TEST(test_assert_fires)
{
	ASSERT(assert_arg == 1);
}
END_TEST

START_TEST(test_unreached_fires)
{
	UNREACHED();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("mem");
	TCase *tc = tcase_create("all");

	tcase_add_test(tc, test_add);
	tcase_add_test(tc, test_mul);
	tcase_add_test(tc, test_alloc);
	tcase_add_exit_test(tc, test_die, 1);
	tcase_add_test(tc, test_assert_passes);
	tcase_add_test_raise_signal(tc, test_assert_fires, SIGABRT);
	tcase_add_test_raise_signal(tc, test_unreached_fires, SIGABRT);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
