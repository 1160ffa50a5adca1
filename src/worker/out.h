/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unsent output of a connection: a chain of chunks from the worker's pool.
 * An idle connection holds none.
 */
#ifndef WORKER_OUT_H
#define WORKER_OUT_H

#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>

#define OUT_SMALL 4096u /* with its head: for the odd line */
#define OUT_BIG (72u << 10) /* holds what one read() of 64 KiB becomes */
#define OUT_BLOCK (128u << 10)
/* Bytes behind what was asked for that may be scribbled on. */
#define OUT_SLACK 64u
#define OUT_NONE UINT32_MAX

/* Bytes that several connections are to get: written once, read by all who
 * hold it.  Whoever keeps a part of it unsent refers to it. */
struct out_block {
	struct out_block *next; /* in the pool */
	uint32_t refs;
	uint32_t size; /* of data, with OUT_SLACK behind */
	alignas(64) uint8_t data[];
};

/* A piece of unsent output: memory of its own behind it, or a part of a
 * block (which takes no more: end is size). */
struct out_chunk {
	struct out_chunk *next;
	uint8_t *data;
	struct out_block *block; /* NULL: its own */
	uint32_t size; /* of data */
	uint32_t start; /* first unsent byte */
	uint32_t end; /* behind the last byte */
	/* Where the first message or line begins in data, which may be sent
	 * already; it may be `end`.  OUT_NONE: all is the middle of one. */
	uint32_t whole;
	alignas(64) uint8_t own[];
};

struct out {
	struct out_chunk *first, *last;
	size_t bytes; /* unsent */
	/* drop.c: up to this one there is nothing that may be dropped, and
	 * behind it a message or line begins.  NULL: not known. */
	struct out_chunk *kept;
};

/* Free chunks of the two usual sizes, and what refers to blocks; `used` counts
 * what is handed out, a block once. */
struct out_pool {
	struct out_chunk *small, *big, *part;
	struct out_block *block;
	uint32_t nsmall, nbig, npart, nblock;
	uint64_t used;
	uint64_t freed; /* bytes ever given back to malloc() */
};

/* What is queued in one of these steps are whole messages or lines: drop.c has
 * to find where one ends, and nobody else knows. */

/* Contiguous room for n bytes (and OUT_SLACK to scribble on) at the end, or
 * NULL (ENOMEM).  Follow with out_took() for what was really written. */
uint8_t *out_room(struct out_pool *pool, struct out *out, size_t n);
static inline void
out_took(struct out *out, size_t n)
{
	out->last->end += (uint32_t)n;
	out->bytes += n;
}
/* Copy a line or message of len bytes to the end; 0 or -1 (ENOMEM, part may
 * have been taken). */
int out_append(struct out_pool *pool, struct out *out, const void *p,
    size_t len);
/* A block with room for OUT_BLOCK bytes, held by the caller; NULL (ENOMEM). */
struct out_block *out_block_new(struct out_pool *pool);
/* Let go of it, NULL accepted; *bp becomes NULL. */
void out_block_drop(struct out_pool *pool, struct out_block **bp);
/* Put len bytes of the block from `at` on behind what is queued, without a
 * copy if they are a good part of it; 0 or -1 (ENOMEM, as out_append()).  The
 * block holds messages of `unit` bytes each; if `at` is inside of one, what is
 * before it has been sent and nothing is queued. */
int out_append_block(struct out_pool *pool, struct out *out,
    struct out_block *b, size_t at, size_t len, size_t unit);
enum out_status { OUT_DONE, OUT_BLOCKED, OUT_ERROR };
/* Write what there is; then `extra` straight from the caller's memory (NULL
 * for none; *sent says how much of it went).  OUT_BLOCKED: the socket took
 * no more. */
#define OUT_PARTS 3
struct out_extra {
	const uint8_t *p[OUT_PARTS];
	size_t len[OUT_PARTS];
};
enum out_status out_write(struct out_pool *pool, struct out *out, int fd,
    const struct out_extra *extra, size_t *sent);
/* Copy of what is one message the part that was not sent; 0 or -1 (ENOMEM). */
int out_append_rest(struct out_pool *pool, struct out *out,
    const struct out_extra *x, size_t sent);
void out_clear(struct out_pool *pool, struct out *out);
void out_pool_fini(struct out_pool *pool);

/* For drop.c: a chunk with memory of its own for so much; one that refers to
 * the part of a block that k refers to, up to `end` (NULL: ENOMEM); back into
 * the pool. */
struct out_chunk *out_chunk_new(struct out_pool *pool, size_t need);
struct out_chunk *out_chunk_part(struct out_pool *pool,
    const struct out_chunk *k, uint32_t end);
void out_chunk_free(struct out_pool *pool, struct out_chunk *k);

#endif
