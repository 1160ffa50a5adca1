/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which of 32 bytes are something: a bit for each, the first one's lowest.
 * Without a branch that depends on the bytes, so that lines and tokens of
 * lengths that change cost nothing to guess.  The caller sees to it that all
 * 32 bytes may be read.
 */
#ifndef BASE_SCAN_H
#define BASE_SCAN_H

#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define SCAN_BYTES 32

#define SCAN_ONES UINT64_C(0x0101010101010101)
#define SCAN_LOW7 UINT64_C(0x7f7f7f7f7f7f7f7f)

/* The eight bytes at p as a word whose lowest byte is the first. */
static inline uint64_t
scan_word(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof v);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	v = __builtin_bswap64(v);
#endif
	return v;
}

/* The top bits of all bytes, gathered into eight. */
static inline uint32_t
scan_gather(uint64_t tops)
{
	return (uint32_t)(((tops >> 7 & SCAN_ONES) *
	    UINT64_C(0x0102040810204080)) >> 56);
}

/* The same by words, for machines without SSE2, and for the test.  Seven bits
 * of a byte plus 0x7f carry into its top bit unless they are 0. */
static inline uint32_t
scan_equal_words(const uint8_t *p, uint8_t c)
{
	uint32_t bits = 0;
	unsigned i;
	uint64_t v;

	for (i = 0; i < SCAN_BYTES; i += 8) {
		v = scan_word(p + i) ^ SCAN_ONES * c;
		bits |= scan_gather(~(((v & SCAN_LOW7) + SCAN_LOW7) | v)) << i;
	}
	return bits;
}

static inline uint32_t
scan_equal_in_words(const uint8_t *p, uint32_t n, uint8_t c)
{
	uint32_t bits = 0, i = 0;
	uint64_t v;

	for (;;) {
		v = scan_word(p + i) ^ SCAN_ONES * c;
		bits |= scan_gather(~(((v & SCAN_LOW7) + SCAN_LOW7) | v)) << i;
		if (i + 8 == n)
			return bits;
		i = i + 16 <= n ? i + 8 : n - 8;
	}
}

static inline uint32_t
scan_blank_words(const uint8_t *p)
{
	uint32_t bits = 0;
	unsigned i;
	uint64_t v;

	for (i = 0; i < SCAN_BYTES; i += 8) {
		v = scan_word(p + i);
		bits |= scan_gather(~(((v & SCAN_LOW7) +
		    SCAN_ONES * (0x7f - ' ')) | v)) << i;
	}
	return bits;
}

/* Which of the 32 bytes at p are c. */
static inline uint32_t
scan_equal(const uint8_t *p, uint8_t c)
{
#if defined(__SSE2__)
	const __m128i *v = (const __m128i *)(const void *)p;
	__m128i want = _mm_set1_epi8((char)c);

	return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(
	    _mm_loadu_si128(v), want)) |
	    (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(
	    _mm_loadu_si128(v + 1), want)) << 16;
#else
	return scan_equal_words(p, c);
#endif
}

/* Which of them are no more than a blank: blanks, line ends, controls. */
static inline uint32_t
scan_blank(const uint8_t *p)
{
#if defined(__SSE2__)
	const __m128i *v = (const __m128i *)(const void *)p;
	__m128i most = _mm_set1_epi8(' ');
	__m128i a = _mm_loadu_si128(v), b = _mm_loadu_si128(v + 1);

	return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(
	    _mm_min_epu8(a, most), a)) |
	    (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(
	    _mm_min_epu8(b, most), b)) << 16;
#else
	return scan_blank_words(p);
#endif
}

#define SCAN_IN_LEAST 8

/* Which of n bytes are c, n from SCAN_IN_LEAST to SCAN_BYTES: reads these
 * alone, those in the middle twice. */
static inline uint32_t
scan_equal_in(const uint8_t *p, uint32_t n, uint8_t c)
{
#if defined(__SSE2__)
	__m128i want = _mm_set1_epi8((char)c), a, b;

	if (n < 16) {
		a = _mm_loadl_epi64((const __m128i *)(const void *)p);
		b = _mm_loadl_epi64((const __m128i *)(const void *)(p + n -
		    8));
		return ((uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(
		    a, want)) & 0xff) |
		    (uint32_t)(_mm_movemask_epi8(_mm_cmpeq_epi8(b, want)) &
		    0xff) << (n - 8);
	}
	a = _mm_loadu_si128((const __m128i *)(const void *)p);
	b = _mm_loadu_si128((const __m128i *)(const void *)(p + n - 16));
	return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(a, want)) |
	    (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(b, want)) << (n - 16);
#else
	return scan_equal_in_words(p, n, c);
#endif
}

/* Which of the four words at p are v. */
static inline uint32_t
scan_word4(const uint32_t *p, uint32_t v)
{
#if defined(__SSE2__)
	return (uint32_t)_mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(
	    _mm_loadu_si128((const __m128i *)(const void *)p),
	    _mm_set1_epi32((int)v))));
#else
	return (uint32_t)(p[0] == v) | (uint32_t)(p[1] == v) << 1 |
	    (uint32_t)(p[2] == v) << 2 | (uint32_t)(p[3] == v) << 3;
#endif
}

#endif
