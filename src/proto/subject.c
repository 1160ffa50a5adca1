/* SPDX-License-Identifier: BSD-2-Clause */
/* Subjects; used by the workers. */
#include <config.h>

#include <string.h>

#include "base/hash.h"
#include "base/scan.h"
#include "proto/subject.h"

struct prefix {
	const char *text;
	size_t len;
	bool longer; /* reserved only if something follows */
};

#define PREFIX(text, longer) { text, sizeof text - 1, longer }

static const struct prefix reserved_publish[] = {
	PREFIX("_GR_.", true),
	PREFIX("$NRG.", false),
};

static const struct prefix reserved_reply[] = {
	PREFIX("_R_.", false),
	PREFIX("_GR_.", true),
	PREFIX("$JS.ACK.", true),
};

/* The first dot in [p, end), or end; eight bytes at a time, as a token. */
static inline const uint8_t *
token_end(const uint8_t *p, const uint8_t *end)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	uint64_t word;

	for (; end - p >= 8; p += 8) {
		word = hash_load64(p) ^ UINT64_C(0x2e2e2e2e2e2e2e2e);
		/* Borrows make only bytes above the first zero wrong. */
		word = (word - UINT64_C(0x0101010101010101)) & ~word &
		    UINT64_C(0x8080808080808080);
		if (word != 0)
			return p + (__builtin_ctzll(word) >> 3);
	}
#endif
	while (p < end && *p != '.')
		p++;
	return p;
}

static inline bool
is_lone(const uint8_t *p, const uint8_t *stop, uint8_t c)
{
	return stop - p == 1 && *p == c;
}

static inline void
token_set(struct token *tok, const uint8_t *p, const uint8_t *stop,
    uint64_t seed)
{
	tok->p = p;
	tok->len = (uint32_t)(stop - p);
	tok->hash = (uint32_t)hash_bytes(p, tok->len, seed);
}

/* The usual subject, of SCAN_IN_LEAST to SCAN_BYTES - 1 bytes. */
static uint32_t
split_short(const uint8_t *p, uint32_t len, uint64_t seed, struct token *tok,
    uint32_t max)
{
	uint32_t ends = scan_equal_in(p, len, '.') | 1u << len, at = 0, n = 0;
	uint32_t stop;

	for (; ends != 0; ends &= ends - 1, at = stop + 1) {
		stop = (uint32_t)__builtin_ctz(ends);
		if (stop == at || n == max)
			return 0;
		token_set(&tok[n++], p + at, p + stop, seed);
	}
	return n;
}

uint32_t
subject_split(const uint8_t *p, size_t len, uint64_t seed, struct token *tok,
    uint32_t max)
{
	const uint8_t *end = p + len, *stop;
	uint32_t n = 0;

	if (len >= SCAN_IN_LEAST && len < SCAN_BYTES)
		return split_short(p, (uint32_t)len, seed, tok, max);
	for (;; p = stop + 1) {
		stop = token_end(p, end);
		if (stop == p || n == max)
			return 0;
		token_set(&tok[n++], p, stop, seed);
		if (stop == end)
			return n;
	}
}

bool
subject_valid_pattern(const uint8_t *p, size_t len)
{
	const uint8_t *end = p + len, *stop;

	for (;; p = stop + 1) {
		stop = token_end(p, end);
		if (stop == p)
			return false;
		if (stop == end)
			return true;
		if (is_lone(p, stop, '>'))
			return false;
	}
}

bool
subject_valid_literal(const uint8_t *p, size_t len)
{
	const uint8_t *end = p + len, *stop;

	for (;; p = stop + 1) {
		stop = token_end(p, end);
		if (stop == p || is_lone(p, stop, '*') || is_lone(p, stop, '>'))
			return false;
		if (stop == end)
			return true;
	}
}

uint32_t
subject_tokens(const uint8_t *p, size_t len)
{
	uint32_t n = 1;
	size_t i;

	for (i = 0; i < len; i++)
		n += p[i] == '.';
	return n;
}

/* Has the subject a token, and no empty one? */
static bool
all_tokens_filled(const uint8_t *p, const uint8_t *end)
{
	const uint8_t *stop;

	for (;; p = stop + 1) {
		stop = token_end(p, end);
		if (stop == p)
			return false;
		if (stop == end)
			return true;
	}
}

static bool
token_equal(const uint8_t *a, const uint8_t *a_stop, const uint8_t *b,
    const uint8_t *b_stop)
{
	return a_stop - a == b_stop - b &&
	    memcmp(a, b, (size_t)(a_stop - a)) == 0;
}

bool
subject_match(const uint8_t *pat, size_t patlen, const uint8_t *sub,
    size_t sublen)
{
	const uint8_t *pat_end = pat + patlen, *sub_end = sub + sublen;
	const uint8_t *pat_stop, *sub_stop;

	if (!subject_valid_pattern(pat, patlen) ||
	    !all_tokens_filled(sub, sub_end))
		return false;
	for (;; pat = pat_stop + 1, sub = sub_stop + 1) {
		pat_stop = token_end(pat, pat_end);
		sub_stop = token_end(sub, sub_end);
		if (is_lone(pat, pat_stop, '>'))
			return true; /* valid, so it is the last */
		if (!is_lone(pat, pat_stop, '*') &&
		    !token_equal(pat, pat_stop, sub, sub_stop))
			return false;
		if (pat_stop == pat_end || sub_stop == sub_end)
			return pat_stop == pat_end && sub_stop == sub_end;
	}
}

static bool
is_reserved(const struct prefix *prefix, size_t n, const uint8_t *p,
    size_t len)
{
	for (; n > 0; n--, prefix++)
		if (len >= prefix->len + prefix->longer &&
		    memcmp(p, prefix->text, prefix->len) == 0)
			return true;
	return false;
}

bool
subject_reserved_publish_slow(const uint8_t *p, size_t len)
{
	return is_reserved(reserved_publish,
	    sizeof reserved_publish / sizeof reserved_publish[0], p, len);
}

bool
subject_reserved_reply_slow(const uint8_t *p, size_t len)
{
	return is_reserved(reserved_reply,
	    sizeof reserved_reply / sizeof reserved_reply[0], p, len);
}
