/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Checked size arithmetic, and allocation for start-up code that cannot go on
 * without memory.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>

/* *out = a + b (a * b); false, and *out untouched, if that overflows. */
static inline bool
mem_add(size_t a, size_t b, size_t *out)
{
	size_t sum;

	if (__builtin_add_overflow(a, b, &sum))
		return false;
	*out = sum;
	return true;
}

static inline bool
mem_mul(size_t a, size_t b, size_t *out)
{
	size_t product;

	if (__builtin_mul_overflow(a, b, &product))
		return false;
	*out = product;
	return true;
}

/*
 * Start-up only: zeroed memory for size bytes, or for n elements of size
 * bytes each, or a copy of the string; fatal() when there is none.  The
 * caller owns the result and releases it with free().
 */
void *mem_alloc_or_die(size_t size);
void *mem_array_or_die(size_t n, size_t size);
char *mem_strdup_or_die(const char *s);

#endif
