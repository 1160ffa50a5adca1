/* SPDX-License-Identifier: BSD-2-Clause */
/* Unit tests of base/strnum. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/strnum.h"
#include "lib/unit.h"

#define N(a) ((int)(sizeof(a) / sizeof(a)[0]))
#define S UINT64_C(1000000000)

static const struct {
	const char *text;
	int rc;
	uint32_t value;
} u32s[] = {
	{ "0", 0, 0 },
	{ "7", 0, 7 },
	{ "007", 0, 7 },
	{ "999999999", 0, 999999999 },
	{ "000000001", 0, 1 },
	{ "", -1, 0 },
	{ "1000000000", -1, 0 },
	{ "0000000001", -1, 0 },
	{ "-1", -1, 0 },
	{ "+1", -1, 0 },
	{ "1 ", -1, 0 },
	{ "1a", -1, 0 },
	{ "/", -1, 0 },
	{ ":", -1, 0 },
};

START_TEST(test_u32)
{
	const char *text = u32s[_i].text;
	uint32_t out = 12345;

	ck_assert_int_eq(
	    num_parse_u32_9((const uint8_t *)text, strlen(text), &out),
	    u32s[_i].rc);
	ck_assert_uint_eq(out, u32s[_i].rc == 0 ? u32s[_i].value : 12345);
}
END_TEST

START_TEST(test_format_u32)
{
	uint8_t out[NUM_U32_MAX];
	char want[16];
	uint64_t v;
	int n;

	for (v = 0; v <= UINT32_MAX; v = v * 3 / 2 + 1) {
		n = snprintf(want, sizeof want, "%" PRIu64, v);
		ck_assert_uint_eq(num_format_u32(out, (uint32_t)v), n);
		ck_assert_mem_eq(out, want, n);
	}
	for (v = 1; v <= UINT32_MAX; v *= 10) {
		n = snprintf(want, sizeof want, "%" PRIu64, v - 1);
		ck_assert_uint_eq(num_format_u32(out, (uint32_t)(v - 1)), n);
		ck_assert_mem_eq(out, want, n);
	}
	ck_assert_uint_eq(num_format_u32(out, UINT32_MAX), 10);
	ck_assert_mem_eq(out, "4294967295", 10);
}
END_TEST

static const struct {
	const char *text;
	int err;
	int64_t value;
} i64s[] = {
	{ "0", 0, 0 },
	{ "-0", 0, 0 },
	{ "010", 0, 10 },
	{ "9223372036854775807", 0, INT64_MAX },
	{ "-9223372036854775808", 0, INT64_MIN },
	{ "9223372036854775808", ERANGE, 0 },
	{ "-9223372036854775809", ERANGE, 0 },
	{ "99999999999999999999999", ERANGE, 0 },
	{ "", EINVAL, 0 },
	{ "-", EINVAL, 0 },
	{ "--1", EINVAL, 0 },
	{ "+1", EINVAL, 0 },
	{ " 1", EINVAL, 0 },
	{ "1 ", EINVAL, 0 },
	{ "0x10", EINVAL, 0 },
};

START_TEST(test_i64)
{
	int64_t out = 12345;

	errno = 0;
	ck_assert_int_eq(
	    num_parse_i64(i64s[_i].text, &out), i64s[_i].err == 0 ? 0 : -1);
	ck_assert_int_eq(errno, i64s[_i].err);
	ck_assert_int_eq(out, i64s[_i].err == 0 ? i64s[_i].value : 12345);
}
END_TEST

static const struct {
	const char *text;
	int err;
	uint64_t value;
} sizes[] = {
	{ "0", 0, 0 },
	{ "4096", 0, 4096 },
	{ "64k", 0, 64000 },
	{ "64K", 0, 64000 },
	{ "64kb", 0, 65536 },
	{ "64KB", 0, 65536 },
	{ "1ki", 0, 1024 },
	{ "1KiB", 0, 1024 },
	{ "1m", 0, 1000000 },
	{ "1MB", 0, 1048576 },
	{ "2gib", 0, UINT64_C(2147483648) },
	{ "1t", 0, UINT64_C(1000000000000) },
	{ "1PB", 0, UINT64_C(1) << 50 },
	{ "15EiB", 0, UINT64_C(15) << 60 },
	{ "16EiB", ERANGE, 0 },
	{ "18446744073709551615", 0, UINT64_MAX },
	{ "18446744073709551616", ERANGE, 0 },
	{ "", EINVAL, 0 },
	{ "k", EINVAL, 0 },
	{ "-1", EINVAL, 0 },
	{ "1.5k", EINVAL, 0 },
	{ "1 k", EINVAL, 0 },
	{ "1b", EINVAL, 0 },
	{ "1kk", EINVAL, 0 },
	{ "1kbb", EINVAL, 0 },
	{ "1x", EINVAL, 0 },
};

START_TEST(test_size)
{
	uint64_t out = 12345;

	errno = 0;
	ck_assert_int_eq(
	    num_parse_size(sizes[_i].text, &out), sizes[_i].err == 0 ? 0 : -1);
	ck_assert_int_eq(errno, sizes[_i].err);
	ck_assert_uint_eq(out, sizes[_i].err == 0 ? sizes[_i].value : 12345);
}
END_TEST

static const struct {
	const char *text;
	int err;
	uint64_t ns;
} durations[] = {
	{ "0", 0, 0 },
	{ "0s", 0, 0 },
	{ "10", 0, 10 * S },
	{ "10s", 0, 10 * S },
	{ "300ms", 0, 300000000 },
	{ "7us", 0, 7000 },
	{ "7\xc2\xb5s", 0, 7000 },
	{ "1ns", 0, 1 },
	{ "1h30m", 0, 5400 * S },
	{ "2d", 0, 172800 * S },
	{ "1d2h3m4s5ms6us7ns", 0, 93784 * S + 5006007 },
	{ "1.5h", 0, 5400 * S },
	{ "1.5", 0, S + S / 2 },
	{ "0.000000001s", 0, 1 },
	{ "1.0000000019s", 0, S + 1 },
	{ "", EINVAL, 0 },
	{ "s", EINVAL, 0 },
	{ "1.", EINVAL, 0 },
	{ "1.s", EINVAL, 0 },
	{ ".5s", EINVAL, 0 },
	{ "1h30", EINVAL, 0 },
	{ "-1s", EINVAL, 0 },
	{ "1 s", EINVAL, 0 },
	{ "1x", EINVAL, 0 },
	{ "1S", EINVAL, 0 },
	{ "213503d", 0, UINT64_C(213503) * 86400 * S },
	{ "213503d1000000h", ERANGE, 0 },
	{ "99999999999999999999", ERANGE, 0 },
};

START_TEST(test_duration)
{
	uint64_t out = 12345;

	errno = 0;
	ck_assert_int_eq(num_parse_duration_ns(durations[_i].text, &out),
	    durations[_i].err == 0 ? 0 : -1);
	ck_assert_int_eq(errno, durations[_i].err);
	ck_assert_uint_eq(
	    out, durations[_i].err == 0 ? durations[_i].ns : 12345);
}
END_TEST

static const struct {
	uint64_t ns;
	const char *text;
} shown[] = {
	{ 0, "0s" },
	{ 1, "1ns" },
	{ 999, "999ns" },
	{ 1500, "1.5us" },
	{ 300000000, "300ms" },
	{ 1100000, "1.1ms" },
	{ S, "1s" },
	{ 10 * S, "10s" },
	{ S + S / 2, "1.5s" },
	{ S + 1, "1.000000001s" },
	{ 120 * S, "2m0s" },
	{ 90 * S + S / 4, "1m30.25s" },
	{ 3600 * S, "1h0m0s" },
	{ 5400 * S, "1h30m0s" },
	{ UINT64_MAX, "5124095h34m33.709551615s" },
};

START_TEST(test_format_duration)
{
	char out[NUM_DURATION_MAX];
	uint64_t back;

	ck_assert_uint_eq(num_format_duration(out, sizeof out, shown[_i].ns),
	    strlen(shown[_i].text));
	ck_assert_str_eq(out, shown[_i].text);
	ck_assert_int_eq(num_parse_duration_ns(out, &back), 0);
	ck_assert_uint_eq(back, shown[_i].ns);
	ck_assert_uint_le(num_format_duration(out, 3, shown[_i].ns), 2);
	ck_assert_uint_le(strlen(out), 2);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("strnum");
	TCase *tc = tcase_create("all");

	tcase_add_loop_test(tc, test_u32, 0, N(u32s));
	tcase_add_test(tc, test_format_u32);
	tcase_add_loop_test(tc, test_i64, 0, N(i64s));
	tcase_add_loop_test(tc, test_size, 0, N(sizes));
	tcase_add_loop_test(tc, test_duration, 0, N(durations));
	tcase_add_loop_test(tc, test_format_duration, 0, N(shown));
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
