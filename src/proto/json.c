/* SPDX-License-Identifier: BSD-2-Clause */
/* The JSON reader for CONNECT and INFO lines; used by the workers. */
#include <config.h>

#include <string.h>

#include "proto/json.h"

/* What is left of the input.  Functions that fail leave p anywhere. */
struct cursor {
	const uint8_t *p, *end;
};

/* Open brackets around a value, a bit each: set for an object. */
struct nesting {
	uint8_t object[(JSON_DEPTH_MAX + 7) / 8];
	size_t depth;
};

/* What value_step() found. */
enum step { STEP_BAD, STEP_OPENED, STEP_DONE };

static void
skip_blanks(struct cursor *c)
{
	while (c->p < c->end && (*c->p == ' ' || *c->p == '\t' ||
	    *c->p == '\r' || *c->p == '\n'))
		c->p++;
}

/* Takes the byte b if it comes next. */
static bool
accept(struct cursor *c, uint8_t b)
{
	if (c->p == c->end || *c->p != b)
		return false;
	c->p++;
	return true;
}

/* As accept(), blanks in front allowed. */
static bool
accept_after_blanks(struct cursor *c, uint8_t b)
{
	skip_blanks(c);
	return accept(c, b);
}

static bool
accept_word(struct cursor *c, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(c->end - c->p) < n || memcmp(c->p, word, n) != 0)
		return false;
	c->p += n;
	return true;
}

static bool
is_digit(uint8_t b)
{
	return b >= '0' && b <= '9';
}

/* The value of a hexadecimal digit, or -1. */
static int
hex_digit(uint8_t b)
{
	if (is_digit(b))
		return b - '0';
	b |= 0x20;
	return b >= 'a' && b <= 'f' ? b - 'a' + 10 : -1;
}

/* Behind the backslash. */
static bool
skip_escape(struct cursor *c)
{
	int i;

	if (c->p == c->end)
		return false;
	if (*c->p++ != 'u')
		return memchr("\"\\/bfnrt", c->p[-1], 8) != NULL;
	for (i = 0; i < 4; i++, c->p++)
		if (c->p == c->end || hex_digit(*c->p) == -1)
			return false;
	return true;
}

static bool
skip_string(struct cursor *c)
{
	uint8_t b;

	if (!accept(c, '"'))
		return false;
	while (c->p < c->end) {
		b = *c->p++;
		if (b == '"')
			return true;
		if (b < 0x20 || (b == '\\' && !skip_escape(c)))
			return false;
	}
	return false;
}

static bool
skip_digits(struct cursor *c)
{
	const uint8_t *first = c->p;

	while (c->p < c->end && is_digit(*c->p))
		c->p++;
	return c->p > first;
}

static bool
skip_number(struct cursor *c)
{
	(void)accept(c, '-');
	if (!accept(c, '0') && !skip_digits(c))
		return false;
	if (accept(c, '.') && !skip_digits(c))
		return false;
	if (accept(c, 'e') || accept(c, 'E')) {
		if (!accept(c, '+'))
			(void)accept(c, '-');
		return skip_digits(c);
	}
	return true;
}

/* The type of the value that begins with b; what is no value is a number. */
static enum json_type
type_of(uint8_t b)
{
	switch (b) {
	case '{':
		return JSON_OBJECT;
	case '[':
		return JSON_ARRAY;
	case '"':
		return JSON_STRING;
	case 't':
		return JSON_TRUE;
	case 'f':
		return JSON_FALSE;
	case 'n':
		return JSON_NULL;
	default:
		return JSON_NUMBER;
	}
}

static bool
skip_scalar(struct cursor *c, enum json_type type)
{
	switch (type) {
	case JSON_STRING:
		return skip_string(c);
	case JSON_TRUE:
		return accept_word(c, "true");
	case JSON_FALSE:
		return accept_word(c, "false");
	case JSON_NULL:
		return accept_word(c, "null");
	default:
		return skip_number(c);
	}
}

/* A member's name and the colon behind it. */
static bool
skip_key(struct cursor *c)
{
	skip_blanks(c);
	return skip_string(c) && accept_after_blanks(c, ':');
}

static bool
in_object(const struct nesting *nest)
{
	size_t i = nest->depth - 1;

	return (nest->object[i / 8] >> i % 8 & 1) != 0;
}

static bool
push(struct nesting *nest, bool object)
{
	size_t i = nest->depth;

	/* One level is the object at the top, which is not noted here. */
	if (i == JSON_DEPTH_MAX - 1)
		return false;
	nest->object[i / 8] &= (uint8_t)~(1u << i % 8);
	nest->object[i / 8] |= (uint8_t)((unsigned)object << i % 8);
	nest->depth++;
	return true;
}

/*
 * Takes a scalar or an empty bracket whole (STEP_DONE), or of a bracket as
 * much as stands in front of its first value (STEP_OPENED).
 */
static enum step
value_step(struct cursor *c, struct nesting *nest)
{
	enum json_type type;
	bool object;

	skip_blanks(c);
	if (c->p == c->end)
		return STEP_BAD;
	type = type_of(*c->p);
	if (type != JSON_OBJECT && type != JSON_ARRAY)
		return skip_scalar(c, type) ? STEP_DONE : STEP_BAD;
	c->p++;
	object = type == JSON_OBJECT;
	if (!push(nest, object))
		return STEP_BAD;
	if (accept_after_blanks(c, object ? '}' : ']')) {
		nest->depth--;
		return STEP_DONE;
	}
	return object && !skip_key(c) ? STEP_BAD : STEP_OPENED;
}

/*
 * Behind a value inside brackets: closes those that end here, or moves on to
 * the next value (STEP_OPENED).
 */
static enum step
close_step(struct cursor *c, struct nesting *nest)
{
	bool object;

	while (nest->depth > 0) {
		object = in_object(nest);
		if (accept_after_blanks(c, ','))
			return object && !skip_key(c) ? STEP_BAD : STEP_OPENED;
		if (!accept(c, object ? '}' : ']'))
			return STEP_BAD;
		nest->depth--;
	}
	return STEP_DONE;
}

/* Any value; a loop, as the peer decides how deep it is. */
static bool
skip_value(struct cursor *c, struct json_value *value)
{
	struct nesting nest;
	enum step step;

	nest.depth = 0;
	skip_blanks(c);
	if (c->p == c->end)
		return false;
	value->p = c->p;
	value->type = type_of(*c->p);
	do {
		step = value_step(c, &nest);
		if (step == STEP_DONE)
			step = close_step(c, &nest);
	} while (step == STEP_OPENED);
	value->len = (size_t)(c->p - value->p);
	return step == STEP_DONE;
}

static bool
walk_member(struct cursor *c, json_member_fn *fn, void *ctx)
{
	struct json_value key, value;

	skip_blanks(c);
	key.type = JSON_STRING;
	key.p = c->p;
	if (!skip_string(c))
		return false;
	key.len = (size_t)(c->p - key.p);
	if (!accept_after_blanks(c, ':') || !skip_value(c, &value))
		return false;
	return fn == NULL || fn(ctx, &key, &value);
}

bool
json_walk(const uint8_t *p, size_t len, json_member_fn *fn, void *ctx)
{
	struct cursor c = { p, p + len };

	skip_blanks(&c);
	if (!accept(&c, '{')) {
		if (!accept_word(&c, "null"))
			return false;
	} else if (!accept_after_blanks(&c, '}')) {
		do {
			if (!walk_member(&c, fn, ctx))
				return false;
		} while (accept_after_blanks(&c, ','));
		if (!accept(&c, '}'))
			return false;
	}
	skip_blanks(&c);
	return c.p == c.end;
}

/* Four hexadecimal digits that have been checked. */
static uint32_t
hex4(const uint8_t *p)
{
	return (uint32_t)hex_digit(p[0]) << 12 |
	    (uint32_t)hex_digit(p[1]) << 8 | (uint32_t)hex_digit(p[2]) << 4 |
	    (uint32_t)hex_digit(p[3]);
}

/*
 * The character that the escape at *pp (behind the u) stands for; *pp moves
 * behind it, and behind the low half of a pair of surrogates.
 */
static uint32_t
unicode_escape(const uint8_t **pp)
{
	const uint8_t *p = *pp;
	uint32_t high = hex4(p), low;

	*pp = p += 4;
	if (high < 0xd800 || high > 0xdfff)
		return high;
	/* The string is well-formed: its quote ends any look ahead. */
	if (high <= 0xdbff && p[0] == '\\' && p[1] == 'u') {
		low = hex4(p + 2);
		if (low >= 0xdc00 && low <= 0xdfff) {
			*pp = p + 6;
			return 0x10000 + ((high - 0xd800) << 10) +
			    (low - 0xdc00);
		}
	}
	return 0xfffd;
}

static uint8_t *
put_utf8(uint8_t *out, uint32_t rune)
{
	if (rune < 0x80)
		*out++ = (uint8_t)rune;
	else if (rune < 0x800)
		*out++ = (uint8_t)(0xc0 | rune >> 6);
	else {
		if (rune < 0x10000)
			*out++ = (uint8_t)(0xe0 | rune >> 12);
		else {
			*out++ = (uint8_t)(0xf0 | rune >> 18);
			*out++ = (uint8_t)(0x80 | (rune >> 12 & 0x3f));
		}
		*out++ = (uint8_t)(0x80 | (rune >> 6 & 0x3f));
	}
	if (rune >= 0x80)
		*out++ = (uint8_t)(0x80 | (rune & 0x3f));
	return out;
}

static uint8_t
short_escape(uint8_t b)
{
	switch (b) {
	case 'b':
		return '\b';
	case 'f':
		return '\f';
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	default:
		return b;
	}
}

size_t
json_decode(const struct json_value *value, uint8_t *out)
{
	const uint8_t *p = value->p + 1, *end = value->p + value->len - 1;
	uint8_t *first = out;

	while (p < end) {
		if (*p != '\\')
			*out++ = *p++;
		else if (p[1] != 'u') {
			*out++ = short_escape(p[1]);
			p += 2;
		} else {
			p += 2;
			out = put_utf8(out, unicode_escape(&p));
		}
	}
	return (size_t)(out - first);
}

bool
json_integer(const struct json_value *value, int64_t *out)
{
	const uint8_t *p = value->p, *end = p + value->len;
	bool negative = *p == '-';
	int64_t v = 0;

	if (value->type != JSON_NUMBER)
		return false;
	for (p += negative; p < end; p++) {
		/* Downwards if negative: there is one more number there. */
		if (!is_digit(*p) || __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v,
		    negative ? '0' - *p : *p - '0', &v))
			return false;
	}
	*out = v;
	return true;
}
