/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The INFO line, used by the workers, and the server id,
 * made by the master before the first fork.
 */
#include <config.h>

#include <sys/random.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/strnum.h"
#include "proto/info.h"

#define ID_PREFIX 0x68 /* becomes an N */
#define ID_RANDOM 32
#define ID_RAW (1 + ID_RANDOM + 2)

/* Text under construction; once something did not fit, nothing does. */
struct text {
	char *out;
	size_t len, size;
	bool overflow;
};

static void
put_bytes(struct text *t, const void *p, size_t n)
{
	if (t->overflow || n > t->size - t->len) {
		t->overflow = true;
		return;
	}
	memcpy(t->out + t->len, p, n);
	t->len += n;
}

static void
put_str(struct text *t, const char *s)
{
	put_bytes(t, s, strlen(s));
}

/* For escapes and huge numbers only. */
static void __attribute__((format(printf, 2, 3)))
putf(struct text *t, const char *fmt, ...)
{
	char tmp[64];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(tmp, sizeof tmp, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof tmp)
		t->overflow = true;
	else
		put_bytes(t, tmp, (size_t)n);
}

static void
put_number(struct text *t, uint64_t n)
{
	uint8_t digits[NUM_U32_MAX];

	if (n > UINT32_MAX)
		putf(t, "%llu", (unsigned long long)n);
	else
		put_bytes(t, digits, num_format_u32(digits, (uint32_t)n));
}

/*
 * The length of the UTF-8 sequence beyond ASCII at s, or 0 if it is not
 * valid.  The NUL at the end of the string is no continuation.
 */
static size_t
utf8_len(const uint8_t *s)
{
	/* What the second byte may be shuts out overlong forms and the like. */
	uint8_t low = 0x80, high = 0xbf;
	size_t i, n;

	if (*s >= 0xc2 && *s <= 0xdf)
		n = 2;
	else if (*s >= 0xe0 && *s <= 0xef)
		n = 3;
	else if (*s >= 0xf0 && *s <= 0xf4)
		n = 4;
	else
		return 0;
	if (*s == 0xe0)
		low = 0xa0;
	else if (*s == 0xed)
		high = 0x9f;
	else if (*s == 0xf0)
		low = 0x90;
	else if (*s == 0xf4)
		high = 0x8f;
	if (s[1] < low || s[1] > high)
		return 0;
	for (i = 2; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

/* How many characters at s stand for themselves in JSON. */
static size_t
plain_len(const uint8_t *s)
{
	size_t n = 0;

	while (s[n] >= 0x20 && s[n] < 0x7f && s[n] != '"' && s[n] != '\\')
		n++;
	return n;
}

/* The string in quotes; clients insist on valid UTF-8. */
static void
put_json(struct text *t, const char *str)
{
	const uint8_t *s = (const uint8_t *)str;
	size_t n;

	put_str(t, "\"");
	for (; *s != '\0'; s += n) {
		if ((n = plain_len(s)) > 0) {
			put_bytes(t, s, n);
			continue;
		}
		n = 1;
		if (*s == '"' || *s == '\\')
			putf(t, "\\%c", *s);
		else if (*s < 0x20 || *s == 0x7f)
			putf(t, "\\u%04x", *s);
		else if ((n = utf8_len(s)) > 0)
			put_bytes(t, s, n);
		else {
			put_str(t, "\\ufffd");
			n = 1;
		}
	}
	put_str(t, "\"");
}

static void
put_key(struct text *t, const char *key)
{
	put_str(t, "\"");
	put_str(t, key);
	put_str(t, "\":");
}

static void
put_string_field(struct text *t, const char *key, const char *value)
{
	put_key(t, key);
	put_json(t, value);
	put_str(t, ",");
}

static void
put_number_field(struct text *t, const char *key, uint64_t n)
{
	put_key(t, key);
	put_number(t, n);
	put_str(t, ",");
}

size_t
info_format(const struct info *i, char *out, size_t outlen)
{
	struct text t = { .out = out, .size = outlen };
	const char *name = i->server_name;

	put_str(&t, "INFO {");
	put_string_field(&t, "server_id", i->server_id);
	put_string_field(&t, "server_name", *name != '\0' ? name :
	    i->server_id);
	put_string_field(&t, "version", i->version);
	put_str(&t, "\"proto\":1,");
	put_string_field(&t, "go", i->go);
	put_string_field(&t, "host", i->host);
	put_number_field(&t, "port", i->port);
	put_str(&t, i->headers ? "\"headers\":true," : "\"headers\":false,");
	if (i->auth_required)
		put_str(&t, "\"auth_required\":true,");
	put_number_field(&t, "max_payload", i->max_payload);
	if (i->client_id != 0)
		put_number_field(&t, "client_id", i->client_id);
	if (*i->client_ip != '\0')
		put_string_field(&t, "client_ip", i->client_ip);
	put_str(&t, "\"worker\":");
	put_number(&t, i->worker);
	put_str(&t, "} \r\n");
	return t.overflow ? 0 : t.len;
}

/* CRC-16 with polynomial 0x1021, starting from 0, high bit first. */
static uint16_t
crc16(const uint8_t *p, size_t len)
{
	unsigned crc = 0;
	int bit;

	for (; len > 0; len--, p++) {
		crc ^= (unsigned)*p << 8;
		for (bit = 0; bit < 8; bit++)
			crc = (crc << 1 ^ (crc & 0x8000 ? 0x1021 : 0)) & 0xffff;
	}
	return (uint16_t)crc;
}

/* Five bytes become eight characters; ID_RAW is a multiple of five. */
static void
base32(const uint8_t raw[ID_RAW], char *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
	uint64_t group;
	int i, k, shift;

	for (i = 0; i < ID_RAW; i += 5) {
		group = 0;
		for (k = 0; k < 5; k++)
			group = group << 8 | raw[i + k];
		for (shift = 35; shift >= 0; shift -= 5)
			*out++ = digits[group >> shift & 31];
	}
	*out = '\0';
}

int
info_new_server_id(char id[INFO_ID_LEN + 1])
{
	uint8_t raw[ID_RAW];
	uint16_t crc;
	ssize_t n;

	/* So few bytes come whole once they come at all. */
	do
		n = getrandom(raw + 1, ID_RANDOM, 0);
	while (n == -1 && errno == EINTR);
	if (n != ID_RANDOM)
		return -1;
	raw[0] = ID_PREFIX;
	crc = crc16(raw, 1 + ID_RANDOM);
	raw[1 + ID_RANDOM] = (uint8_t)crc;
	raw[2 + ID_RANDOM] = (uint8_t)(crc >> 8);
	base32(raw, id);
	return 0;
}
