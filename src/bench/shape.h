/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * What the messages of a flow look like, on their way to the server and back.
 *
 * A payload begins with its stamp (8 bytes: publisher and number) and ends with
 * the stamp once more, mixed with the subject's number; a fixed pattern lies
 * between.  Below 16 bytes there is no second stamp, below 8 none at all: then
 * messages are counted only.  So a payload tells where it begins, where it
 * ends, which it is and whither it was sent.
 *
 * Publishers own blocks of messages built before the start and put only the
 * stamps into them; subscribers compare what comes with the line they expect,
 * in the buffer where recv() has put it.
 */
#ifndef BENCH_SHAPE_H
#define BENCH_SHAPE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SHAPE_SEQ_BITS 40
#define SHAPE_SEQ_MAX ((UINT64_C(1) << SHAPE_SEQ_BITS) - 1)
#define SHAPE_PUBS_MAX 100000
#define SHAPE_SUBJECTS_MAX 1000000
#define SHAPE_STAMP 8
#define SHAPE_SALT UINT64_C(0x9e3779b97f4a7c15)

struct shape {
	/* Set by the flow. */
	const char *subject;	/* prefix */
	int subjects;
	int one_sid;		/* a subscriber has one subscription */
	size_t size_min, size_max;
	int headers;
	int relay;		/* publish what subscribers expect */
	/* Made by shape_init(). */
	char *lines;		/* per subject: all before the payload's length,
				   or before the payload if it is fixed */
	size_t line_len;
	int fixed;		/* all payloads have one length */
	char *tail;		/* not fixed: what follows the length */
	size_t tail_len;
	char *pattern;
	size_t msg_len;		/* fixed: the whole message */
};

struct shape_block {
	char *data;
	uint32_t n;
	uint32_t *at;		/* of each message: its payload */
	uint32_t *end;		/* ... and its end */
	uint32_t *size;		/* ... and the payload's bytes */
	uint32_t *subject;
};

void shape_init(struct shape *);
void shape_fini(struct shape *);

/* SUB lines (with their CRLF) for the subjects from..to-1; a new string. */
char *shape_sub(const struct shape *, int from, int to, int wildcard,
    const char *group);

/* A block of about that many bytes, one message at least, for subject `only`
 * or, if that is -1, for any at random. */
void shape_block_init(const struct shape *, struct shape_block *,
    size_t bytes, int only);
void shape_block_fini(struct shape_block *);

static inline uint64_t
shape_stamp(uint32_t pub, uint64_t seq)
{
	return (uint64_t)pub << SHAPE_SEQ_BITS | seq;
}

/* What the payload ends with. */
static inline uint64_t
shape_last(uint64_t stamp, int subject)
{
	return stamp ^ (SHAPE_SALT * (2 * (uint64_t)subject + 1));
}

/* Puts the stamps of n messages, from number seq on, into those of the block
 * from `first` on. */
void shape_stamp_block(const struct shape *, struct shape_block *,
    uint32_t first, uint32_t n, uint32_t pub, uint64_t seq);

static inline uint64_t
shape_load64(const char *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return v;
}

/* memcmp() == 0 of what is mostly shorter than 64 bytes. */
static inline int
shape_same(const char *a, const char *b, size_t n)
{
	if (n < 8 || n > 64)
		return memcmp(a, b, n) == 0;
	while (n > 8) {
		if (shape_load64(a) != shape_load64(b))
			return 0;
		a += 8;
		b += 8;
		n -= 8;
	}
	/* The last 8, some of them again. */
	return shape_load64(a + n - 8) == shape_load64(b + n - 8);
}

/* The subject (0..subjects-1) of the line at p (line_len bytes are there), or
 * -1: it is not what we expect. */
int shape_subject(const struct shape *, const char *p);

/* Compares a piece of a payload of that size and of the CRLF behind it, from
 * offset off (8 or more; 0 without a stamp) on. */
int shape_same_payload(const struct shape *, const char *p, size_t off,
    size_t n, size_t size, uint64_t last);

#endif
