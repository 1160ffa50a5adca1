/* SPDX-License-Identifier: BSD-2-Clause */
/* Unit tests of base/hash. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "lib/unit.h"

/*
 * Hashes a copy that ends exactly at the end of its allocation, so that the
 * address sanitizer sees any read beyond it.
 */
static uint64_t
hash_exact(const void *p, size_t len, uint64_t seed)
{
	uint8_t *copy = malloc(len == 0 ? 1 : len);
	uint64_t h;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, p, len);
	h = hash_bytes(copy, len, seed);
	free(copy);
	return h;
}

START_TEST(test_bounds_and_alignment)
{
	uint8_t bytes[80];
	size_t len, at;
	uint64_t want;

	for (at = 0; at < sizeof bytes; at++)
		bytes[at] = (uint8_t)(at * 37);
	for (len = 0; len <= 64; len++) {
		want = hash_exact(bytes, len, 1);
		for (at = 0; at < 16; at++) {
			memmove(bytes + at, bytes, len);
			ck_assert_uint_eq(hash_bytes(bytes + at, len, 1), want);
			memmove(bytes, bytes + at, len);
		}
	}
	ck_assert_uint_eq(hash_bytes(NULL, 0, 1), hash_exact("", 0, 1));
}
END_TEST

static int
bits(uint64_t v)
{
	return __builtin_popcountll(v);
}

START_TEST(test_every_bit_matters)
{
	uint8_t bytes[61] = "orders.eu.de.berlin.4711.created.with.a.tail.of."
			    "more.tokens";
	size_t len, bit;
	uint64_t h;
	long changed = 0, tries = 0;

	for (len = 1; len < sizeof bytes; len++) {
		h = hash_bytes(bytes, len, 5);
		for (bit = 0; bit < len * 8; bit++) {
			bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
			changed += bits(h ^ hash_bytes(bytes, len, 5));
			tries++;
			bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		ck_assert_uint_ne(h, hash_bytes(bytes, len, 6));
		ck_assert_uint_ne(h, hash_bytes(bytes, len - 1, 5));
	}
	/* Half of the 64 bits change on average. */
	ck_assert_int_gt(changed, tries * 31);
	ck_assert_int_lt(changed, tries * 33);
}
END_TEST

#define NKEYS 100000
#define NBUCKETS 4096

START_TEST(test_spreads_subjects)
{
	static unsigned low[NBUCKETS], high[NBUCKETS];
	char key[64];
	uint64_t h;
	int i, n;

	for (i = 0; i < NKEYS; i++) {
		n = snprintf(
		    key, sizeof key, "orders.%d.item.%d", i / 100, i % 100);
		h = hash_bytes(key, (size_t)n, 42);
		low[h % NBUCKETS]++;
		high[h >> 52]++;
	}
	/* 24.4 keys per bucket expected, deviation 4.9. */
	for (i = 0; i < NBUCKETS; i++) {
		ck_assert_uint_gt(low[i], 0);
		ck_assert_uint_lt(low[i], 60);
		ck_assert_uint_gt(high[i], 0);
		ck_assert_uint_lt(high[i], 60);
	}
}
END_TEST

static int
compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

START_TEST(test_no_collisions)
{
	static uint64_t h[NKEYS];
	char key[16];
	int i, n;

	/* Short keys: every number with up to five digits. */
	for (i = 0; i < NKEYS; i++) {
		n = snprintf(key, sizeof key, "%d", i);
		h[i] = hash_bytes(key, (size_t)n, 0);
	}
	qsort(h, NKEYS, sizeof h[0], compare_u64);
	for (i = 1; i < NKEYS; i++)
		ck_assert_uint_ne(h[i - 1], h[i]);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("hash");
	TCase *tc = tcase_create("all");

	tcase_add_test(tc, test_bounds_and_alignment);
	tcase_add_test(tc, test_every_bit_matters);
	tcase_add_test(tc, test_spreads_subjects);
	tcase_add_test(tc, test_no_collisions);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
