/* SPDX-License-Identifier: BSD-2-Clause */
/* Escapes of Go's %q; used by the workers for error texts and traces. */
#include <config.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/escape.h"

/*
 * Ranges of characters beyond ASCII that are not printable: controls, spaces
 * other than ' ', format characters, private use and what will never be
 * assigned.  Code points without a character yet are treated as printable:
 * which ones these are changes with every Unicode version.
 */
static const struct {
	uint32_t first, last;
} unprintable[] = {
	{ 0x80, 0xa0 },
	{ 0xad, 0xad },
	{ 0x600, 0x605 },
	{ 0x61c, 0x61c },
	{ 0x6dd, 0x6dd },
	{ 0x70f, 0x70f },
	{ 0x890, 0x891 },
	{ 0x8e2, 0x8e2 },
	{ 0x1680, 0x1680 },
	{ 0x180e, 0x180e },
	{ 0x2000, 0x200f },
	{ 0x2028, 0x202f },
	{ 0x205f, 0x206f },
	{ 0x3000, 0x3000 },
	{ 0xd800, 0xf8ff },
	{ 0xfdd0, 0xfdef },
	{ 0xfeff, 0xfeff },
	{ 0xfff0, 0xfffb },
	{ 0xfffe, 0xffff },
	{ 0x110bd, 0x110bd },
	{ 0x110cd, 0x110cd },
	{ 0x13430, 0x1343f },
	{ 0x1bca0, 0x1bca3 },
	{ 0x1d173, 0x1d17a },
	{ 0x1fffe, 0x1ffff },
	{ 0x2fffe, 0x2ffff },
	{ 0x3fffe, 0xe00ff },
	{ 0xe01f0, 0x10ffff },
};

static bool
is_printable(uint32_t rune)
{
	size_t i;

	for (i = 0; i < sizeof unprintable / sizeof unprintable[0]; i++) {
		if (rune < unprintable[i].first)
			return true;
		if (rune <= unprintable[i].last)
			return false;
	}
	return true;
}

/*
 * Decodes the UTF-8 sequence of two to four bytes at p: its length, or 0 if
 * it is cut, overlong, a surrogate or too large.
 */
static size_t
decode_utf8(const uint8_t *p, size_t len, uint32_t *rune)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t i, n;
	uint32_t r;

	if ((p[0] & 0xe0) == 0xc0) {
		n = 2;
		r = p[0] & 0x1fu;
	} else if ((p[0] & 0xf0) == 0xe0) {
		n = 3;
		r = p[0] & 0x0fu;
	} else if ((p[0] & 0xf8) == 0xf0) {
		n = 4;
		r = p[0] & 0x07u;
	} else
		return 0;
	if (n > len)
		return 0;
	for (i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		r = r << 6 | (p[i] & 0x3fu);
	}
	if (r < least[n] || r > 0x10ffff || (r >= 0xd800 && r <= 0xdfff))
		return 0;
	*rune = r;
	return n;
}

/* The letter behind the backslash for an ASCII byte, '\0' if it has none. */
static char
named_escape(uint8_t c)
{
	static const char names[] = "abtnvfr"; /* 7 to 13 */

	if (c >= 7 && c <= 13)
		return names[c - 7];
	return c == '"' || c == '\\' ? (char)c : '\0';
}

/*
 * Writes the escape of the character at p to tmp (NUL-terminated); returns
 * how many bytes it took.
 */
static size_t
escape_one(char tmp[16], const uint8_t *p, size_t len)
{
	uint32_t rune;
	size_t n;

	if (*p < 0x80) {
		if (named_escape(*p) != '\0')
			snprintf(tmp, 16, "\\%c", named_escape(*p));
		else if (*p < 0x20 || *p == 0x7f)
			snprintf(tmp, 16, "\\x%02x", *p);
		else
			snprintf(tmp, 16, "%c", *p);
		return 1;
	}
	if ((n = decode_utf8(p, len, &rune)) == 0) {
		snprintf(tmp, 16, "\\x%02x", *p);
		return 1;
	}
	if (is_printable(rune)) {
		memcpy(tmp, p, n);
		tmp[n] = '\0';
	} else if (rune < 0x10000)
		snprintf(tmp, 16, "\\u%04x", (unsigned)rune);
	else
		snprintf(tmp, 16, "\\U%08x", (unsigned)rune);
	return n;
}

size_t
escape_go_quote(char *out, size_t outlen, const uint8_t *p, size_t len)
{
	char tmp[16];
	size_t n = 0, used, add;

	if (outlen == 0)
		return 0;
	while (len > 0) {
		used = escape_one(tmp, p, len);
		add = strlen(tmp);
		if (n + add >= outlen)
			break;
		memcpy(out + n, tmp, add);
		n += add;
		p += used;
		len -= used;
	}
	out[n] = '\0';
	return n;
}
