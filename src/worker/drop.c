/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages out of the middle of unsent output (in a worker, for clients that
 * do not take theirs; policy: slow.c).
 *
 * Output is chunks of bytes, and nobody notes where a message ends in them: it
 * would cost something for each message of clients that read.  It can be found
 * out, for it is our own text: from the beginning of a message, its control
 * line tells where the next one begins.  What is noted is one beginning per
 * chunk (struct out_chunk, `whole`), which is a store when a chunk is new.
 * From there a walk leads over what has been sent, which is still in memory
 * while the chunk is, to the first message that has not begun to leave.
 *
 * What has to stay in front (the rest of a message that is partly sent, lines
 * that are no messages) is gathered in chunks ahead of the first message that
 * may go, and out->kept is the last of them: so the next call neither walks
 * nor copies it again.
 */
#include <config.h>

#include <stdbool.h>
#include <string.h>

#include "worker/drop.h"
#include "worker/out.h"

/* A message or line as it stands in the queue. */
struct unit {
	uint64_t len; /* all of it */
	uint64_t size; /* of headers and payload */
	bool msg;
};

/* What has to stay in front. */
struct front {
	struct out_chunk *first, *last;
};

static bool
is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static void
unit_of(struct unit *u, bool msg, uint64_t line, uint64_t size)
{
	u->msg = msg;
	u->size = msg ? size : 0;
	u->len = line + (msg ? size + 2 : 0);
}

/* The one at k->data + off, whose line goes on in the next chunks; -1: it does
 * not end. */
static int
measure_split(const struct out_chunk *k, uint32_t off, bool msg,
    struct unit *u)
{
	uint64_t line = 0, number = 0;
	uint8_t c;

	for (; k != NULL; k = k->next, off = k == NULL ? 0 : k->start) {
		for (; off < k->end; off++) {
			c = k->data[off];
			line++;
			if (c == ' ')
				number = 0;
			else if (is_digit(c))
				number = number * 10 + (uint64_t)(c - '0');
			else if (c == '\n') {
				unit_of(u, msg, line, number);
				return 0;
			}
		}
	}
	return -1;
}

/* The one that begins at k->data + off, which is before k->end. */
static int
measure(const struct out_chunk *k, uint32_t off, struct unit *u)
{
	const uint8_t *p = k->data + off, *lf, *d;
	bool msg = *p == 'M' || *p == 'H'; /* MSG, HMSG: nothing else is */
	uint64_t number = 0, unit = 1;

	lf = memchr(p, '\n', k->end - off);
	if (lf == NULL)
		return measure_split(k, off, msg, u);
	/* Its last word, which CR LF follows. */
	for (d = lf - 2; msg && d > p && is_digit(*d); d--, unit *= 10)
		number += (uint64_t)(*d - '0') * unit;
	unit_of(u, msg, (uint64_t)(lf - p) + 1, number);
	return 0;
}

/* Where the first one begins at or behind k->start; false: none does.  It may
 * be k->end, where the next chunk's first one does. */
static bool
first_begin(struct out_chunk *k)
{
	struct unit u;

	while (k->whole < k->start) {
		if (measure(k, k->whole, &u) != 0 ||
		    u.len > k->end - k->whole)
			return false;
		k->whole += (uint32_t)u.len;
	}
	return k->whole != OUT_NONE;
}

static void
front_add(struct front *f, struct out_chunk *k)
{
	if (f->last == NULL)
		f->first = k;
	else
		f->last->next = k;
	f->last = k;
}

/* Contiguous room for n bytes behind what is kept in front, NULL (ENOMEM). */
static uint8_t *
front_room(struct out_pool *pool, struct front *f, size_t n)
{
	struct out_chunk *k = f->last;

	if (k != NULL && k->block == NULL && k->size - k->end >= n)
		return k->data + k->end;
	/* After one that is full, one that takes more. */
	if (k != NULL && k->block == NULL && n < OUT_BIG - sizeof *k)
		n = OUT_BIG - sizeof *k;
	if ((k = out_chunk_new(pool, n)) == NULL)
		return NULL;
	front_add(f, k);
	return k->data;
}

/* Keep the rest of what is partly sent: k up to k->whole, where k is to
 * begin. */
static int
keep_rest(struct out_pool *pool, struct front *f, struct out_chunk *k)
{
	uint32_t n = k->whole - k->start;
	struct out_chunk *part;
	uint8_t *dst;

	if (k->block != NULL) {
		if ((part = out_chunk_part(pool, k, k->whole)) == NULL)
			return -1;
		front_add(f, part);
	} else {
		if ((dst = front_room(pool, f, n)) == NULL)
			return -1;
		memcpy(dst, k->data + k->start, n);
		f->last->end += n;
		if (f->last->whole == 0 || f->last->whole == OUT_NONE)
			f->last->whole = f->last->end;
	}
	k->start = k->whole;
	return 0;
}

/* Take len bytes off, from a beginning to the next; what follows. */
static struct out_chunk *
skip(struct out_pool *pool, struct out_chunk *k, uint64_t len)
{
	struct out_chunk *next;

	while (k != NULL && len >= k->end - k->start) {
		len -= k->end - k->start;
		next = k->next;
		out_chunk_free(pool, k);
		k = next;
	}
	if (k != NULL)
		k->whole = k->start += (uint32_t)len;
	return k;
}

/* A line that is no message moves to the front. */
static int
keep_line(struct out_pool *pool, struct front *f, const struct out_chunk *k,
    uint64_t len)
{
	uint8_t *dst = front_room(pool, f, len);
	uint32_t off = k->start;
	size_t n;

	if (dst == NULL)
		return -1;
	f->last->end += (uint32_t)len;
	for (; len > 0; k = k->next, off = k == NULL ? 0 : k->start) {
		n = k->end - off < len ? k->end - off : (size_t)len;
		memcpy(dst, k->data + off, n);
		dst += n;
		len -= n;
	}
	return 0;
}

/* What stays in front as it is, into f; the first chunk of what may go, which
 * begins with a message or line.  NULL: none. */
static struct out_chunk *
behind_front(const struct out *out, struct front *f)
{
	struct out_chunk *k = out->first, *next;

	f->first = f->last = NULL;
	if (out->kept != NULL) {
		f->first = out->first;
		f->last = out->kept;
		return out->kept->next;
	}
	while (k != NULL && (!first_begin(k) || k->whole == k->end)) {
		next = k->next;
		front_add(f, k);
		k = next;
	}
	return k;
}

/* The queue is f, then k. */
static void
join(struct out_pool *pool, struct out *out, struct front *f,
    struct out_chunk *k)
{
	struct out_chunk *last = k == NULL ? NULL : out->last;

	/* What comes next must not go into a chunk of the front. */
	if (k == NULL && f->last != NULL &&
	    (k = out_chunk_new(pool, 1)) != NULL)
		last = k;
	out->kept = k == NULL ? NULL : f->last;
	if (f->last != NULL) {
		f->last->next = k;
		out->first = f->first;
	} else
		out->first = k;
	out->last = last != NULL ? last : f->last;
}

size_t
drop_oldest(struct out_pool *pool, struct out *out, size_t want,
    struct drop_sum *sum)
{
	struct front f;
	struct out_chunk *k = behind_front(out, &f);
	size_t gone = 0;
	struct unit u;

	if (k != NULL && k->start < k->whole && keep_rest(pool, &f, k) != 0) {
		join(pool, out, &f, k);
		out->kept = NULL; /* k begins in the middle of one */
		return 0;
	}
	while (k != NULL && gone < want) {
		if (k->start == k->end) {
			k = skip(pool, k, 0);
			continue;
		}
		if (measure(k, k->start, &u) != 0 ||
		    u.len > out->bytes - gone)
			break;
		if (u.msg) {
			gone += u.len;
			sum->msgs++;
			sum->bytes += u.size;
		} else if (keep_line(pool, &f, k, u.len) != 0)
			break;
		k = skip(pool, k, u.len);
	}
	out->bytes -= gone;
	join(pool, out, &f, k);
	return gone;
}
