/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel's count of processes killed for want of memory. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/unit.h"
#include "proc/oom.h"

static char path[] = "/tmp/natsd-oom-XXXXXX";

static void
write_counter(const char *text)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fprintf(f, "nr_free_pages 5\n%spswpin 0\n", text), 0);
	ck_assert_int_eq(fclose(f), 0);
}

static void
setup(void)
{
	int fd = mkstemp(path);

	ck_assert_int_ne(fd, -1);
	(void)close(fd);
}

static void
teardown(void)
{
	(void)unlink(path);
}

START_TEST(more_than_before_is_some)
{
	struct oom oom = { 0 };

	write_counter("oom_kill 7\n");
	/* the first look */
	ck_assert_int_eq(oom_look(&oom, path, 5000), OOM_UNKNOWN);
	ck_assert_int_eq(oom_look(&oom, path, 5000), OOM_NONE);
	write_counter("oom_kill 9\n");
	ck_assert_int_eq(oom_look(&oom, path, 5000), OOM_SOME);
	ck_assert_int_eq(oom_look(&oom, path, 9000), OOM_NONE);
}
END_TEST

START_TEST(several_are_killed_at_once)
{
	struct oom oom = { 0 };

	write_counter("oom_kill 7\n");
	(void)oom_look(&oom, path, 5000);
	write_counter("oom_kill 9\n");
	ck_assert_int_eq(oom_look(&oom, path, 6000), OOM_SOME);
	ck_assert_int_eq(oom_look(&oom, path, 6000), OOM_SOME);
	ck_assert_int_eq(oom_look(&oom, path, 6000 + OOM_KEEP_MS), OOM_SOME);
	ck_assert_int_eq(oom_look(&oom, path, 6001 + OOM_KEEP_MS), OOM_NONE);
}
END_TEST

START_TEST(without_a_counter_nothing_is_known)
{
	struct oom oom = { 0 };

	write_counter("oom_kill 7\n");
	(void)oom_look(&oom, path, 5000);
	write_counter("");
	ck_assert_int_eq(oom_look(&oom, path, 5000), OOM_UNKNOWN);
	write_counter("oom_kill 8\n");
	ck_assert_int_eq(oom_look(&oom, path, 5000), OOM_UNKNOWN);
	ck_assert_int_eq(oom_look(&oom, "/nonexistent", 5000), OOM_UNKNOWN);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("oom");
	TCase *tc = tcase_create("oom");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, more_than_before_is_some);
	tcase_add_test(tc, several_are_killed_at_once);
	tcase_add_test(tc, without_a_counter_nothing_is_known);
	suite_add_tcase(s, tc);
	return unit_run(s);
}
