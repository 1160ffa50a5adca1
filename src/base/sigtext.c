/* SPDX-License-Identifier: BSD-2-Clause */
/* Text for the last words of a process, made inside a signal handler. */
#include <config.h>

#include "base/sigtext.h"

#define GROUPS 8 /* of an IPv6 address */

void
sigtext_init(struct sigtext *t, char *p, size_t max)
{
	t->p = p;
	t->len = 0;
	t->max = max;
}

static void
put(struct sigtext *t, char c)
{
	if (t->len < t->max)
		t->p[t->len++] = c;
}

void
sigtext_strn(struct sigtext *t, const char *s, size_t len)
{
	for (; len > 0 && *s != '\0'; len--)
		put(t, *s++);
}

void
sigtext_str(struct sigtext *t, const char *s)
{
	sigtext_strn(t, s, SIZE_MAX);
}

static void
put_number(struct sigtext *t, uint64_t n, unsigned base)
{
	static const char digits[] = "0123456789abcdef";
	char text[20];
	int i = 0;

	do {
		text[i++] = digits[n % base];
		n /= base;
	} while (n != 0);
	while (i > 0)
		put(t, text[--i]);
}

void
sigtext_num(struct sigtext *t, uint64_t n)
{
	put_number(t, n, 10);
}

void
sigtext_hex(struct sigtext *t, uint64_t n)
{
	put_number(t, n, 16);
}

static unsigned
group(const uint8_t addr[16], int i)
{
	return (unsigned)addr[2 * i] << 8 | addr[2 * i + 1];
}

/* The longest run of zero groups, the first of several; its length is 0 if
 * there is none of two or more. */
static int
zero_run(const uint8_t addr[16], int *start)
{
	int i, n = 0, best = 0;

	*start = -1;
	for (i = 0; i < GROUPS; i++) {
		n = group(addr, i) == 0 ? n + 1 : 0;
		if (n > best && n > 1) {
			best = n;
			*start = i - n + 1;
		}
	}
	return best;
}

static int
is_mapped(const uint8_t addr[16])
{
	int i;

	for (i = 0; i < 10; i++)
		if (addr[i] != 0)
			return 0;
	return addr[10] == 0xff && addr[11] == 0xff;
}

void
sigtext_addr(struct sigtext *t, const uint8_t addr[16])
{
	int i, start, run;

	if (is_mapped(addr)) {
		for (i = 12; i < 16; i++) {
			sigtext_num(t, addr[i]);
			if (i < 15)
				put(t, '.');
		}
		return;
	}
	run = zero_run(addr, &start);
	for (i = 0; i < GROUPS; i++) {
		if (i == start) {
			sigtext_str(t, "::");
			i += run - 1;
			continue;
		}
		sigtext_hex(t, group(addr, i));
		if (i + 1 < GROUPS && i + 1 != start)
			put(t, ':');
	}
}
