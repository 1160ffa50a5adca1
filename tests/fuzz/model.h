/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For fuzz targets: what subjects and patterns mean, written down once more
 * without any thought of speed.
 */
#ifndef FUZZ_MODEL_H
#define FUZZ_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct model_token {
	const uint8_t *p;
	size_t len;
};

static inline uint32_t
model_tokens(const uint8_t *p, size_t len)
{
	uint32_t n = 1;
	size_t i;

	for (i = 0; i < len; i++)
		if (p[i] == '.')
			n++;
	return n;
}

/* Token number i, which there is. */
static inline struct model_token
model_token(const uint8_t *p, size_t len, uint32_t i)
{
	struct model_token t;
	size_t at = 0;

	for (; i > 0; at++)
		if (p[at] == '.')
			i--;
	t.p = p + at;
	for (t.len = 0; at + t.len < len && t.p[t.len] != '.';)
		t.len++;
	return t;
}

static inline bool
model_is(struct model_token t, char c)
{
	return t.len == 1 && *t.p == (uint8_t)c;
}

static inline bool
model_valid_pattern(const uint8_t *p, size_t len)
{
	uint32_t i, n = model_tokens(p, len);

	for (i = 0; i < n; i++) {
		struct model_token t = model_token(p, len, i);

		if (t.len == 0 || (model_is(t, '>') && i + 1 < n))
			return false;
	}
	return true;
}

static inline bool
model_valid_literal(const uint8_t *p, size_t len)
{
	uint32_t i, n = model_tokens(p, len);

	for (i = 0; i < n; i++) {
		struct model_token t = model_token(p, len, i);

		if (t.len == 0 || model_is(t, '>') || model_is(t, '*'))
			return false;
	}
	return true;
}

static inline bool
model_filled(const uint8_t *p, size_t len)
{
	uint32_t i, n = model_tokens(p, len);

	for (i = 0; i < n; i++)
		if (model_token(p, len, i).len == 0)
			return false;
	return true;
}

static inline bool
model_match(const uint8_t *pat, size_t patlen, const uint8_t *sub,
    size_t sublen)
{
	uint32_t np = model_tokens(pat, patlen), ns = model_tokens(sub, sublen);
	uint32_t i;

	if (!model_valid_pattern(pat, patlen) || !model_filled(sub, sublen))
		return false;
	for (i = 0; i < np; i++) {
		struct model_token t = model_token(pat, patlen, i), s;

		if (i == ns)
			return false;
		if (model_is(t, '>'))
			return true;
		s = model_token(sub, sublen, i);
		if (!model_is(t, '*') &&
		    (t.len != s.len || memcmp(t.p, s.p, t.len) != 0))
			return false;
	}
	return np == ns;
}

#endif
