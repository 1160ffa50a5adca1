/* SPDX-License-Identifier: BSD-2-Clause */
/* Unit tests of base/scan. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "base/scan.h"
#include "lib/unit.h"

static uint32_t
equal_slowly(const uint8_t *p, uint8_t c)
{
	uint32_t bits = 0;
	int i;

	for (i = 0; i < SCAN_BYTES; i++)
		bits |= (uint32_t)(p[i] == c) << i;
	return bits;
}

static uint32_t
blank_slowly(const uint8_t *p)
{
	uint32_t bits = 0;
	int i;

	for (i = 0; i < SCAN_BYTES; i++)
		bits |= (uint32_t)(p[i] <= ' ') << i;
	return bits;
}

static void
check(const uint8_t *p, uint8_t c)
{
	ck_assert_uint_eq(scan_equal(p, c), equal_slowly(p, c));
	ck_assert_uint_eq(scan_equal_words(p, c), equal_slowly(p, c));
	ck_assert_uint_eq(scan_blank(p), blank_slowly(p));
	ck_assert_uint_eq(scan_blank_words(p), blank_slowly(p));
}

/* Each byte in each place, beside bytes that differ from it by one and by
 * the top bit: there carries and borrows would show. */
START_TEST(test_every_byte)
{
	uint8_t bytes[SCAN_BYTES];
	int value, at, i;

	for (value = 0; value < 256; value++)
		for (at = 0; at < SCAN_BYTES; at++) {
			for (i = 0; i < SCAN_BYTES; i++)
				bytes[i] = (uint8_t)(i == at ? value :
				    i % 3 == 0 ? value + 1 : i % 3 == 1 ?
				    value - 1 : value ^ 0x80);
			check(bytes, (uint8_t)value);
			check(bytes, (uint8_t)~value);
		}
}
END_TEST

START_TEST(test_at_random)
{
	static const uint8_t some[] = { ' ', '\n', '\r', '\t', '.', 0, 0x21,
		0x7f, 0x80, 0xa0, 0xff, 'a' };
	/* Of its size exactly: the address sanitizer sees any read beyond. */
	uint8_t *bytes = malloc(SCAN_BYTES);
	int round, i;

	ck_assert_ptr_nonnull(bytes);
	srandom(1);
	for (round = 0; round < 20000; round++) {
		for (i = 0; i < SCAN_BYTES; i++)
			bytes[i] = some[(size_t)random() % sizeof some];
		check(bytes, some[(size_t)round % sizeof some]);
	}
	free(bytes);
}
END_TEST

/* A part of them, at the end of an allocation. */
START_TEST(test_parts)
{
	uint8_t bytes[SCAN_BYTES], *part;
	uint32_t n, i, want;
	int round;

	srandom(2);
	for (round = 0; round < 2000; round++) {
		n = SCAN_IN_LEAST + (uint32_t)round % (SCAN_BYTES -
		    SCAN_IN_LEAST + 1);
		ck_assert_ptr_nonnull(part = malloc(n));
		for (i = 0; i < n; i++)
			part[i] = random() % 4 == 0 ? '.' : (uint8_t)random();
		memset(bytes, 0, sizeof bytes);
		memcpy(bytes, part, n);
		want = equal_slowly(bytes, '.');
		ck_assert_uint_eq(scan_equal_in(part, n, '.'), want);
		ck_assert_uint_eq(scan_equal_in_words(part, n, '.'), want);
		free(part);
	}
}
END_TEST

START_TEST(test_words)
{
	uint32_t v[4] = { 7, 8, 7, UINT32_C(0x80000000) };

	ck_assert_uint_eq(scan_word4(v, 7), 5);
	ck_assert_uint_eq(scan_word4(v, 8), 2);
	ck_assert_uint_eq(scan_word4(v, UINT32_C(0x80000000)), 8);
	ck_assert_uint_eq(scan_word4(v, 0), 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("scan");
	TCase *tc = tcase_create("scan");

	tcase_add_test(tc, test_every_byte);
	tcase_add_test(tc, test_at_random);
	tcase_add_test(tc, test_parts);
	tcase_add_test(tc, test_words);
	suite_add_tcase(s, tc);
	return unit_run(s);
}
