/* SPDX-License-Identifier: BSD-2-Clause */
/* Unit tests of worker/cid. */
#include <config.h>

#include <stdlib.h>

#include "lib/unit.h"
#include "worker/cid.h"

#define N(a) (sizeof(a) / sizeof(a)[0])

static const uint32_t incarnations[] = { 1, 2, 3, 47, 48, CID_EARLY - 1,
	CID_EARLY, CID_EARLY + 1, 2 * CID_EARLY, 4095, 4096, 1000000,
	(1 << CID_LATE_BITS) - 1 };
static const uint32_t numbers[] = { 1, 2, 3, 63, 64, 65, 127, 128, 65536,
	1 << CID_LATE_BITS, (1 << 24) - 1, 1 << 24, UINT32_MAX / 2,
	UINT32_MAX - 1, UINT32_MAX };

static int
order(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

START_TEST(test_unique)
{
	uint64_t ids[N(incarnations) * N(numbers)];
	size_t i, j, n = 0;

	for (i = 0; i < N(incarnations); i++)
		for (j = 0; j < N(numbers); j++)
			ids[n++] = cid_make(incarnations[i], numbers[j]);
	qsort(ids, n, sizeof ids[0], order);
	ck_assert_uint_gt(ids[0], 0);
	ck_assert_uint_lt(ids[n - 1], UINT64_C(1) << 53);
	for (i = 1; i < n; i++)
		ck_assert_uint_ne(ids[i - 1], ids[i]);
}
END_TEST

START_TEST(test_small)
{
	ck_assert_uint_lt(cid_make(CID_EARLY - 1, (1 << 24) - 1),
	    UINT64_C(1) << 31);
	ck_assert_uint_ge(cid_make(CID_EARLY - 1, 1 << 24),
	    UINT64_C(1) << 31);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("cid");
	TCase *tc = tcase_create("cid");

	tcase_add_test(tc, test_unique);
	tcase_add_test(tc, test_small);
	suite_add_tcase(s, tc);
	return unit_run(s);
}
