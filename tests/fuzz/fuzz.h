/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the fuzz targets share.  A target is one file with the function that
 * libFuzzer calls; main.c makes the same file a program that takes inputs
 * from files.  A target aborts when something is not as it must be.
 */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(cond)                                             \
	do {                                                         \
		if (!(cond))                                         \
			fuzz_failed(__FILE__, __LINE__, #cond);      \
	} while (0)

static inline _Noreturn void
fuzz_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: not true: %s\n", file, line, what);
	abort();
}

/* Memory of exactly that size (at least one byte), so that the sanitizer sees
 * whoever reads behind it. */
static inline void *
fuzz_alloc(size_t len)
{
	void *p = malloc(len > 0 ? len : 1);

	FUZZ_CHECK(p != NULL);
	return p;
}

static inline uint8_t *
fuzz_copy(const void *p, size_t len)
{
	uint8_t *copy = fuzz_alloc(len);

	if (len > 0)
		memcpy(copy, p, len);
	return copy;
}

/* ---- the input as a stream of choices --------------------------------- */

struct fuzz_in {
	const uint8_t *p;
	size_t len;
};

/* The next byte; 0 when there is none. */
static inline uint8_t
fuzz_byte(struct fuzz_in *in)
{
	if (in->len == 0)
		return 0;
	in->len--;
	return *in->p++;
}

static inline uint32_t
fuzz_word(struct fuzz_in *in)
{
	uint32_t v = 0;
	int i;

	for (i = 0; i < 4; i++)
		v |= (uint32_t)fuzz_byte(in) << 8 * i;
	return v;
}

/* All up to the next byte `stop`, which is skipped, or to the end. */
static inline struct fuzz_in
fuzz_until(struct fuzz_in *in, uint8_t stop)
{
	const uint8_t *at = in->len == 0 ? NULL : memchr(in->p, stop, in->len);
	struct fuzz_in part = { in->p, at == NULL ? in->len :
	    (size_t)(at - in->p) };
	size_t skip = part.len + (at != NULL);

	in->p += skip;
	in->len -= skip;
	return part;
}

/* ---- random numbers that depend on the input alone --------------------- */

static inline uint64_t
fuzz_seed(const uint8_t *p, size_t len)
{
	uint64_t h = UINT64_C(1469598103934665603);

	for (; len > 0; p++, len--)
		h = (h ^ *p) * UINT64_C(1099511628211);
	return h | 1;
}

static inline size_t
fuzz_random(uint64_t *state, size_t n)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (size_t)(*state >> 11) % n;
}

#endif
