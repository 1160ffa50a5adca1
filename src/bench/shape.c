/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * natsbench: the form of the messages.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/shape.h"

#define DIGITS 6 /* of a subject's number */
#define FIRST_SID 1000000
#define HEADER_LINE 27 /* "Bench-01: abcdefghijklmno\r\n" */
#define HEADER_MAX (8 + 2 + 2 + 99 * HEADER_LINE)
#define LINE_MAX_BYTES 512

static size_t
header_block(int n, char *to)
{
	char *p = to;
	int i;

	if (n == 0)
		return 0;
	p += sprintf(p, "NATS/1.0\r\n");
	for (i = 1; i <= n; i++)
		p += sprintf(p, "Bench-%02d: abcdefghijklmno\r\n", i);
	p += sprintf(p, "\r\n");
	return (size_t)(p - to);
}

static size_t
header_len(const struct shape *s)
{
	char headers[HEADER_MAX + 16];

	return header_block(s->headers, headers);
}

/* "MSG b.000000 1 " or "HMSG b.000000 1 36 ": all before the length. */
static size_t
msg_start(const struct shape *s, int subject, char *to)
{
	int n;

	n = sprintf(to, "%sMSG %s.%0*d %d ", s->headers > 0 ? "H" : "",
	    s->subject, DIGITS, subject,
	    s->one_sid || s->subjects == 1 ? 1 : FIRST_SID + subject);
	if (s->headers > 0)
		n += sprintf(to + n, "%zu ", header_len(s));
	return (size_t)n;
}

static size_t
pub_start(const struct shape *s, int subject, char *to)
{
	int n;

	if (s->relay)
		return msg_start(s, subject, to);
	n = sprintf(to, "%sPUB %s.%0*d ", s->headers > 0 ? "H" : "",
	    s->subject, DIGITS, subject);
	if (s->headers > 0)
		n += sprintf(to + n, "%zu ", header_len(s));
	return (size_t)n;
}

static char
pattern_at(size_t i)
{
	return (char)('a' + (i * 7 + i / 26) % 26);
}

void
shape_init(struct shape *s)
{
	char line[LINE_MAX_BYTES + HEADER_MAX + 64];
	size_t i, n = 0;
	int k;

	s->fixed = s->size_min == s->size_max;
	s->tail = bench_alloc(HEADER_MAX + 64);
	s->tail_len = (size_t)sprintf(s->tail, "\r\n");
	s->tail_len += header_block(s->headers, s->tail + 2);
	for (k = 0; k < s->subjects; k++) {
		n = msg_start(s, k, line);
		if (s->fixed) {
			n += (size_t)sprintf(line + n, "%zu",
			    header_len(s) + s->size_min);
			memcpy(line + n, s->tail, s->tail_len);
			n += s->tail_len;
		}
		if (k == 0)
			s->lines = bench_alloc((size_t)s->subjects * n + 16);
		memcpy(s->lines + (size_t)k * n, line, n);
	}
	s->line_len = n;
	s->msg_len = n + s->size_min + 2;
	s->pattern = bench_alloc(s->size_max + 16);
	for (i = 0; i < s->size_max + 16; i++)
		s->pattern[i] = pattern_at(i);
}

void
shape_fini(struct shape *s)
{
	free(s->lines);
	free(s->tail);
	free(s->pattern);
}

char *
shape_sub(const struct shape *s, int from, int to, int wildcard,
    const char *group)
{
	size_t each = strlen(s->subject) + strlen(group) + 40;
	char *text, *p;
	int i;

	p = text = bench_alloc(each * (size_t)(wildcard ? 1 : to - from) + 1);
	if (wildcard) {
		(void)sprintf(p, "SUB %s.* %s 1\r\n", s->subject, group);
		return text;
	}
	for (i = from; i < to; i++)
		p += sprintf(p, "SUB %s.%0*d %s %d\r\n", s->subject, DIGITS,
		    i, group,
		    s->one_sid || s->subjects == 1 ? 1 : FIRST_SID + i);
	return text;
}

static size_t
random_size(const struct shape *s)
{
	return s->size_min +
	    bench_random() % (s->size_max - s->size_min + 1);
}

void
shape_block_init(const struct shape *s, struct shape_block *b, size_t bytes,
    int only)
{
	size_t most = LINE_MAX_BYTES + s->tail_len + s->size_max + 24;
	char line[LINE_MAX_BYTES], *p;
	uint32_t cap;
	size_t n;
	int subject;

	/* At least this much of each message is what all have. */
	n = pub_start(s, 0, line) + 1 + s->tail_len + s->size_min + 2;
	cap = (uint32_t)(bytes / n + 1);
	b->n = 0;
	b->data = p = bench_alloc(bytes + most);
	b->at = bench_alloc(cap * sizeof *b->at);
	b->end = bench_alloc(cap * sizeof *b->end);
	b->size = bench_alloc(cap * sizeof *b->size);
	b->subject = bench_alloc(cap * sizeof *b->subject);
	do {
		size_t size = random_size(s);

		subject = only >= 0 ? only :
		    (int)(bench_random() % (uint64_t)s->subjects);
		p += pub_start(s, subject, p);
		p += sprintf(p, "%zu", header_len(s) + size);
		memcpy(p, s->tail, s->tail_len);
		p += s->tail_len;
		b->at[b->n] = (uint32_t)(p - b->data);
		b->size[b->n] = (uint32_t)size;
		b->subject[b->n] = (uint32_t)subject;
		memcpy(p, s->pattern, size);
		p += size;
		memcpy(p, "\r\n", 2);
		p += 2;
		b->end[b->n++] = (uint32_t)(p - b->data);
	} while (b->n < cap && (size_t)(p - b->data) + n <= bytes);
}

void
shape_block_fini(struct shape_block *b)
{
	free(b->data);
	free(b->at);
	free(b->end);
	free(b->size);
	free(b->subject);
}

void
shape_stamp_block(const struct shape *s, struct shape_block *b, uint32_t first,
    uint32_t n, uint32_t pub, uint64_t seq)
{
	uint64_t stamp = shape_stamp(pub, seq), last;
	uint32_t i;

	if (s->size_max < SHAPE_STAMP)
		return;
	for (i = first; i < first + n; i++, stamp++) {
		size_t size = b->size[i];
		char *p = b->data + b->at[i];

		if (size >= SHAPE_STAMP)
			memcpy(p, &stamp, 8);
		if (size < 2 * SHAPE_STAMP)
			continue;
		last = shape_last(stamp, (int)b->subject[i]);
		memcpy(p + size - 8, &last, 8);
	}
}

int
shape_subject(const struct shape *s, const char *p)
{
	const char *d;
	int k = 0, i;

	if (s->subjects > 1) {
		d = p + strlen(s->subject) + (s->headers > 0 ? 6 : 5);
		for (i = 0; i < DIGITS; i++)
			k = k * 10 + (d[i] - '0');
		if (k < 0 || k >= s->subjects)
			return -1;
	}
	return shape_same(p, s->lines + (size_t)k * s->line_len,
		   s->line_len) ? k : -1;
}

static size_t
part(size_t off, size_t end, size_t n)
{
	return end - off < n ? end - off : n;
}

int
shape_same_payload(const struct shape *s, const char *p, size_t off, size_t n,
    size_t size, uint64_t last)
{
	size_t body = size >= 2 * SHAPE_STAMP ? size - 8 : size, k;

	if (off < body) {
		k = part(off, body, n);
		if (memcmp(p, s->pattern + off, k) != 0)
			return 0;
		p += k;
		off += k;
		n -= k;
	}
	if (off < size && n > 0) {
		k = part(off, size, n);
		if (memcmp(p, (char *)&last + (off - body), k) != 0)
			return 0;
		p += k;
		off += k;
		n -= k;
	}
	return n == 0 || memcmp(p, &"\r\n"[off - size], n) == 0;
}
