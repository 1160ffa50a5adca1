/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Histogram of times in nanoseconds, as HdrHistogram has it: each power of two
 * has 128 buckets of one width, so that any value is told to within 0.8 %.
 * The greatest value is kept exactly.  One thread writes; others read when it
 * has ended.
 */
#ifndef BENCH_HIST_H
#define BENCH_HIST_H

#include <stdint.h>

#define HIST_SUB 128
#define HIST_BUCKETS (HIST_SUB * 58)

struct hist {
	uint64_t n, max, sum;
	uint64_t bucket[HIST_BUCKETS];
};

static inline uint32_t
hist_index(uint64_t v)
{
	uint32_t shift;

	if (v < 2 * HIST_SUB)
		return (uint32_t)v;
	shift = 63 - (uint32_t)__builtin_clzll(v) - 7;
	return shift * HIST_SUB + (uint32_t)(v >> shift);
}

static inline void
hist_add(struct hist *h, uint64_t v)
{
	h->bucket[hist_index(v)]++;
	h->n++;
	h->sum += v;
	if (v > h->max)
		h->max = v;
}

/* Adds what the second one holds to the first. */
void hist_merge(struct hist *, const struct hist *);

/* The value that a part q (0 to 1) of all are not above: the upper end of its
 * bucket, at most the greatest; 0 if there is none. */
uint64_t hist_quantile(const struct hist *, double q);

#endif
