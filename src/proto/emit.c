/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the workers put before and around messages.
 * Once per delivery, so no formatting functions.
 */
#include <config.h>

#include <string.h>

#include "base/strnum.h"
#include "proto/emit.h"

static const char head_503[] = "NATS/1.0 503\r\nNats-Subject: ";
static const char tail_503[] = "\r\n\r\n";

/*
 * Copies n bytes; what is short, as most parts of a line are, without a call:
 * two moves that overlap.  The end of the copy.
 */
static inline uint8_t *
put(uint8_t *out, const uint8_t *p, size_t n)
{
	if (n > 32)
		memcpy(out, p, n);
	else if (n >= 16) {
		memcpy(out, p, 16);
		memcpy(out + n - 16, p + n - 16, 16);
	} else if (n >= 8) {
		memcpy(out, p, 8);
		memcpy(out + n - 8, p + n - 8, 8);
	} else if (n >= 4) {
		memcpy(out, p, 4);
		memcpy(out + n - 4, p + n - 4, 4);
	} else if (n > 0) {
		/* First, middle and last cover up to three bytes. */
		out[n / 2] = p[n / 2];
		out[n - 1] = p[n - 1];
		out[0] = p[0];
	}
	return out + n;
}

static inline uint8_t *
put_token(uint8_t *out, struct slice s)
{
	out = put(out, s.p, s.len);
	*out++ = ' ';
	return out;
}

static inline uint8_t *
put_crlf(uint8_t *out)
{
	memcpy(out, "\r\n", 2);
	return out + 2;
}

size_t
emit_msg(uint8_t *out, struct slice subject, struct slice sid,
    struct slice reply, uint32_t size)
{
	uint8_t *p = out;

	memcpy(p, "MSG ", 4);
	p = put_token(p + 4, subject);
	p = put_token(p, sid);
	if (reply.len > 0)
		p = put_token(p, reply);
	p += num_format_u32(p, size);
	return (size_t)(put_crlf(p) - out);
}

size_t
emit_hmsg(uint8_t *out, struct slice subject, struct slice sid,
    struct slice reply, uint32_t hdr, uint32_t size)
{
	uint8_t *p = out;

	memcpy(p, "HMSG ", 5);
	p = put_token(p + 5, subject);
	p = put_token(p, sid);
	if (reply.len > 0)
		p = put_token(p, reply);
	p += num_format_u32(p, hdr);
	*p++ = ' ';
	p += num_format_u32(p, size);
	return (size_t)(put_crlf(p) - out);
}

size_t
emit_503(uint8_t *out, struct slice reply, struct slice sid,
    struct slice subject)
{
	const struct slice none = { NULL, 0 };
	uint32_t size = (uint32_t)(sizeof head_503 - 1 + sizeof tail_503 - 1) +
	    subject.len;
	uint8_t *p = out;

	p += emit_hmsg(p, reply, sid, none, size, size);
	memcpy(p, head_503, sizeof head_503 - 1);
	p = put(p + sizeof head_503 - 1, subject.p, subject.len);
	memcpy(p, tail_503, sizeof tail_503 - 1);
	return (size_t)(put_crlf(p + sizeof tail_503 - 1) - out);
}
