/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * natsbench: histogram of times.
 */
#include <config.h>

#include "bench/hist.h"

void
hist_merge(struct hist *to, const struct hist *from)
{
	uint32_t i;

	for (i = 0; i < HIST_BUCKETS; i++)
		to->bucket[i] += from->bucket[i];
	to->n += from->n;
	to->sum += from->sum;
	if (from->max > to->max)
		to->max = from->max;
}

/* The greatest value that falls into a bucket. */
static uint64_t
upper_end(uint32_t i)
{
	uint32_t shift;

	if (i < 2 * HIST_SUB)
		return i;
	shift = i / HIST_SUB - 1;
	return ((uint64_t)(i - shift * HIST_SUB + 1) << shift) - 1;
}

uint64_t
hist_quantile(const struct hist *h, double q)
{
	uint64_t rank, below = 0, v;
	uint32_t i;

	if (h->n == 0)
		return 0;
	rank = (uint64_t)(q * (double)h->n + 0.999999);
	if (rank < 1)
		rank = 1;
	if (rank > h->n)
		rank = h->n;
	for (i = 0; i < HIST_BUCKETS; i++) {
		below += h->bucket[i];
		if (below >= rank) {
			v = upper_end(i);
			return v < h->max ? v : h->max;
		}
	}
	return h->max;
}
