/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fast 64-bit hash for short keys (subjects, tokens) in private and shared
 * tables.  Multiply-and-fold mixing: two words are multiplied to 128 bits and
 * the halves are xored.  Reads words in the machine's byte order, only inside
 * [p, p + len).  Not for keys where a peer must not find collisions, unless
 * the seed is secret.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Odd random words with about as many ones as zeros. */
#define HASH_K0 UINT64_C(0x9d6ff9af3b7c1e65)
#define HASH_K1 UINT64_C(0xc2b2a9e54f3716d9)

/* Folds two words into one; every result bit depends on all input bits. */
static inline uint64_t
hash_mix(uint64_t a, uint64_t b)
{
#ifdef __SIZEOF_INT128__
	__extension__ typedef unsigned __int128 u128;
	u128 m = (u128)a * b;

	return (uint64_t)m ^ (uint64_t)(m >> 64);
#else
	uint64_t lo = (a & 0xffffffff) * (b & 0xffffffff);
	uint64_t m1 = (a >> 32) * (b & 0xffffffff) + (lo >> 32);
	uint64_t m2 = (a & 0xffffffff) * (b >> 32) + (m1 & 0xffffffff);
	uint64_t hi = (a >> 32) * (b >> 32) + (m1 >> 32) + (m2 >> 32);

	return hi ^ (m2 << 32 | (lo & 0xffffffff));
#endif
}

static inline uint64_t
hash_load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof v);
	return v;
}

static inline uint64_t
hash_load32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof v);
	return v;
}

/* The hash of len bytes at data, which may be NULL if len is 0. */
static inline uint64_t
hash_bytes(const void *data, size_t len, uint64_t seed)
{
	const uint8_t *p = data;
	uint64_t a = 0, b = 0;
	size_t left = len;

	seed ^= HASH_K0;
	for (; left > 16; p += 16, left -= 16)
		seed = hash_mix(
		    hash_load64(p) ^ HASH_K1, hash_load64(p + 8) ^ seed);
	if (left >= 8) {
		a = hash_load64(p);
		b = hash_load64(p + left - 8);
	} else if (left >= 4) {
		a = hash_load32(p);
		b = hash_load32(p + left - 4);
	} else if (left > 0)
		/* One to three bytes: first, middle and last cover them. */
		a = (uint64_t)p[0] << 16 | (uint64_t)p[left / 2] << 8 |
		    p[left - 1];
	return hash_mix(HASH_K0 ^ len, hash_mix(a ^ HASH_K1, b ^ seed));
}

#endif
