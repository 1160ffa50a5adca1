/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A strict reader of JSON texts (RFC 8259) that arrive whole in memory.  It
 * builds nothing: it hands out the members of the object at the top as pieces
 * of the input.  Bytes in strings need not be valid UTF-8.
 */
#ifndef PROTO_JSON_H
#define PROTO_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Deepest nesting of objects and arrays, the one at the top included. */
#define JSON_DEPTH_MAX 10000

enum json_type {
	JSON_OBJECT, JSON_ARRAY, JSON_STRING, JSON_NUMBER, JSON_TRUE,
	JSON_FALSE, JSON_NULL
};

/* A well-formed value and where it lies in the input. */
struct json_value {
	enum json_type type;
	const uint8_t *p; /* first byte; the quote of a string */
	size_t len;
};

/* One member; false ends the walk. */
typedef bool json_member_fn(void *ctx, const struct json_value *key,
    const struct json_value *value);

/*
 * Calls fn (unless NULL) for each member of the object that the text is, in
 * order; for none if the text is null.  false if fn returned it, or if the
 * text is malformed, neither object nor null, or too deep; members in front of
 * the flaw have then been handed out.
 */
bool json_walk(const uint8_t *p, size_t len, json_member_fn *fn, void *ctx);

/*
 * Decodes a JSON_STRING into out, which must have room for value->len bytes;
 * the length.  Escaped surrogates without their other half become U+FFFD.
 */
size_t json_decode(const struct json_value *value, uint8_t *out);

/* A JSON_NUMBER without fraction and exponent, in range; else false. */
bool json_integer(const struct json_value *value, int64_t *out);

#endif
