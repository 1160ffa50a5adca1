/* SPDX-License-Identifier: BSD-2-Clause */
/* Unit tests of base/buf. */
#include <config.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "lib/unit.h"

static struct buf buf;

static void
teardown(void)
{
	buf_fini(&buf);
}

START_TEST(test_append_consume)
{
	buf_init(&buf, 1000);
	ck_assert_ptr_null(buf.data);
	ck_assert_int_eq(buf_append(&buf, "hello ", 6), 0);
	ck_assert_int_eq(buf_append(&buf, "world", 5), 0);
	ck_assert_int_eq(buf_append(&buf, NULL, 0), 0);
	ck_assert_uint_eq(buf.len, 11);
	ck_assert_mem_eq(buf.data, "hello world", 11);
	buf_consume(&buf, 6);
	ck_assert_uint_eq(buf.len, 5);
	ck_assert_mem_eq(buf.data, "world", 5);
	buf_consume(&buf, 0);
	buf_consume(&buf, 5);
	ck_assert_uint_eq(buf.len, 0);
}
END_TEST

START_TEST(test_hard_maximum)
{
	char bytes[101];

	memset(bytes, 'x', sizeof bytes);
	buf_init(&buf, 100);
	errno = 0;
	ck_assert_int_eq(buf_append(&buf, bytes, 101), -1);
	ck_assert_int_eq(errno, ENOBUFS);
	ck_assert_uint_eq(buf.len, 0);
	ck_assert_int_eq(buf_append(&buf, bytes, 100), 0);
	ck_assert_uint_le(buf.cap, 100);
	errno = 0;
	ck_assert_int_eq(buf_append(&buf, bytes, 1), -1);
	ck_assert_int_eq(errno, ENOBUFS);
	ck_assert_uint_eq(buf.len, 100);
	ck_assert_int_eq(buf_reserve(&buf, (size_t)-1), -1);
}
END_TEST

START_TEST(test_grows_one_by_one)
{
	size_t i;

	buf_init(&buf, 5000);
	for (i = 0; i < 5000; i++)
		ck_assert_int_eq(buf_append(&buf, &(char){ (char)i }, 1), 0);
	for (i = 0; i < 5000; i++)
		ck_assert_int_eq((char)buf.data[i], (char)i);
	ck_assert_uint_eq(buf.cap, 5000);
}
END_TEST

START_TEST(test_appendf)
{
	buf_init(&buf, 16);
	ck_assert_int_eq(buf_appendf(&buf, "%d-%s", 12, "ab"), 0);
	ck_assert_uint_eq(buf.len, 5);
	ck_assert_mem_eq(buf.data, "12-ab", 5);
	ck_assert_int_eq(buf_appendf(&buf, "%s", "0123456789"), 0);
	ck_assert_int_eq(buf_appendf(&buf, "%s", "x"), -1);
	ck_assert_mem_eq(buf.data, "12-ab0123456789", 15);
}
END_TEST

START_TEST(test_reset_trim)
{
	buf_init(&buf, 100);
	ck_assert_int_eq(buf_append(&buf, "abc", 3), 0);
	buf_trim(&buf);
	ck_assert_uint_eq(buf.len, 3);
	buf_reset(&buf);
	ck_assert_uint_eq(buf.len, 0);
	ck_assert_ptr_nonnull(buf.data);
	buf_trim(&buf);
	ck_assert_ptr_null(buf.data);
	ck_assert_int_eq(buf_append(&buf, "abc", 3), 0);
}
END_TEST

START_TEST(test_consume_too_much)
{
	buf_init(&buf, 100);
	ck_assert_int_eq(buf_append(&buf, "abc", 3), 0);
	buf_consume(&buf, 4);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("buf");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, NULL, teardown);
	tcase_add_test(tc, test_append_consume);
	tcase_add_test(tc, test_hard_maximum);
	tcase_add_test(tc, test_grows_one_by_one);
	tcase_add_test(tc, test_appendf);
	tcase_add_test(tc, test_reset_trim);
	tcase_add_test_raise_signal(tc, test_consume_too_much, SIGABRT);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
