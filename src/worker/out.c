/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unsent output (in a worker, for its connections).  Two chunk sizes are kept
 * in free lists: small for a line or two, big for what one read() of a busy
 * publisher becomes.  Anything larger is made to measure and freed.
 */
#include <config.h>

#include <sys/types.h>
#include <sys/uio.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker/out.h"

#define POOL_SMALL_MAX 1024 /* chunks kept: 4 MiB */
#define POOL_BIG_MAX 64 /* 4.5 MiB */
#define POOL_PART_MAX 4096 /* 256 KiB */
#define POOL_BLOCK_MAX 32 /* 4 MiB */
/* A part of a block is referred to from this fraction on, else copied: so a
 * connection keeps at most that many times its bytes in memory. */
#define PART_SHARE 8
#define OUT_ALIGN 64u /* what a cache line and the kernel's copies like */
#define IOV_MAX_OUT 64

struct out_chunk *
out_chunk_new(struct out_pool *pool, size_t need)
{
	struct out_chunk *k, **list = NULL;
	uint32_t *n = NULL;
	size_t size;

	if (need <= OUT_SMALL - sizeof *k) {
		size = OUT_SMALL - sizeof *k;
		list = &pool->small;
		n = &pool->nsmall;
	} else if (need <= OUT_BIG - sizeof *k) {
		size = OUT_BIG - sizeof *k;
		list = &pool->big;
		n = &pool->nbig;
	} else
		size = (need + OUT_ALIGN - 1) & ~(size_t)(OUT_ALIGN - 1);
	if (list != NULL && *list != NULL) {
		k = *list;
		*list = k->next;
		(*n)--;
	} else if ((k = aligned_alloc(OUT_ALIGN, sizeof *k + size)) == NULL)
		return NULL;
	k->next = NULL;
	k->data = k->own;
	k->block = NULL;
	k->size = (uint32_t)size;
	k->start = k->end = k->whole = 0;
	pool->used += sizeof *k + size;
	return k;
}

/* What refers to a part of a block. */
static struct out_chunk *
part_new(struct out_pool *pool)
{
	struct out_chunk *k = pool->part;

	if (k != NULL) {
		pool->part = k->next;
		pool->npart--;
	} else if ((k = aligned_alloc(OUT_ALIGN, sizeof *k)) == NULL)
		return NULL;
	pool->used += sizeof *k;
	return k;
}

static void
part_free(struct out_pool *pool, struct out_chunk *k)
{
	pool->used -= sizeof *k;
	if (pool->npart == POOL_PART_MAX) {
		free(k);
		return;
	}
	k->next = pool->part;
	pool->part = k;
	pool->npart++;
}

void
out_chunk_free(struct out_pool *pool, struct out_chunk *k)
{
	if (k->block != NULL) {
		out_block_drop(pool, &k->block);
		part_free(pool, k);
		return;
	}
	pool->used -= sizeof *k + k->size;
	if (k->size == OUT_SMALL - sizeof *k &&
	    pool->nsmall < POOL_SMALL_MAX) {
		k->next = pool->small;
		pool->small = k;
		pool->nsmall++;
	} else if (k->size == OUT_BIG - sizeof *k &&
	    pool->nbig < POOL_BIG_MAX) {
		k->next = pool->big;
		pool->big = k;
		pool->nbig++;
	} else {
		pool->freed += sizeof *k + k->size;
		free(k);
	}
}

static void
link_chunk(struct out *out, struct out_chunk *k)
{
	if (out->last == NULL)
		out->first = k;
	else
		out->last->next = k;
	out->last = k;
}

uint8_t *
out_room(struct out_pool *pool, struct out *out, size_t n)
{
	struct out_chunk *k = out->last;
	size_t want = n + OUT_SLACK;

	if (k != NULL && k->size - k->end >= want)
		return k->data + k->end;
	/* What is queued already will not be the last of it. */
	if (k != NULL && want < OUT_BIG - sizeof *k)
		want = OUT_BIG - sizeof *k;
	if ((k = out_chunk_new(pool, want)) == NULL)
		return NULL;
	link_chunk(out, k);
	return k->data;
}

/* Where in the n bytes from `at` on of what is appended does a message begin,
 * when one ends to_end bytes from its start and then every `unit` bytes? */
static uint32_t
first_whole(size_t at, size_t n, size_t to_end, size_t unit)
{
	size_t next = to_end;

	if (at > to_end)
		next += (at - to_end + unit - 1) / unit * unit;
	return next - at <= n ? (uint32_t)(next - at) : OUT_NONE;
}

static int
append(struct out_pool *pool, struct out *out, const uint8_t *src, size_t len,
    size_t to_end, size_t unit)
{
	const struct out_chunk *last;
	size_t n, at = 0;
	uint8_t *dst;

	while (at < len) {
		n = len - at;
		last = out->last;
		if (last != NULL && last->size - last->end > OUT_SLACK) {
			if (n > last->size - last->end - OUT_SLACK)
				n = last->size - last->end - OUT_SLACK;
		} else if (n > OUT_BIG - sizeof(struct out_chunk) - OUT_SLACK)
			n = OUT_BIG - sizeof(struct out_chunk) - OUT_SLACK;
		if ((dst = out_room(pool, out, n)) == NULL)
			return -1;
		memcpy(dst, src + at, n);
		out_took(out, n);
		if (out->last != last)
			out->last->whole = first_whole(at, n, to_end, unit);
		at += n;
	}
	return 0;
}

int
out_append(struct out_pool *pool, struct out *out, const void *p, size_t len)
{
	return append(pool, out, p, len, 0, len);
}

int
out_append_rest(struct out_pool *pool, struct out *out,
    const struct out_extra *x, size_t sent)
{
	size_t all = 0, left, skip;
	int i;

	for (i = 0; i < OUT_PARTS; i++)
		all += x->len[i];
	left = all - sent;
	for (i = 0; i < OUT_PARTS; i++) {
		skip = sent < x->len[i] ? sent : x->len[i];
		sent -= skip;
		if (append(pool, out, x->p[i] + skip, x->len[i] - skip,
		    left == all ? 0 : left, all) != 0)
			return -1;
		left -= x->len[i] - skip;
	}
	/* A part before the last one may have begun the chunk. */
	if (out->last != NULL && out->last->whole == OUT_NONE)
		out->last->whole = out->last->end;
	return 0;
}

/* ---- blocks ---------------------------------------------------------- */

struct out_block *
out_block_new(struct out_pool *pool)
{
	struct out_block *b = pool->block;

	if (b != NULL) {
		pool->block = b->next;
		pool->nblock--;
	} else {
		b = aligned_alloc(OUT_ALIGN, sizeof *b + OUT_BLOCK +
		    OUT_SLACK);
		if (b == NULL)
			return NULL;
	}
	b->next = NULL;
	b->refs = 1;
	b->size = OUT_BLOCK;
	pool->used += sizeof *b + OUT_BLOCK + OUT_SLACK;
	return b;
}

void
out_block_drop(struct out_pool *pool, struct out_block **bp)
{
	struct out_block *b = *bp;

	*bp = NULL;
	if (b == NULL || --b->refs > 0)
		return;
	pool->used -= sizeof *b + OUT_BLOCK + OUT_SLACK;
	if (pool->nblock == POOL_BLOCK_MAX) {
		pool->freed += sizeof *b + OUT_BLOCK + OUT_SLACK;
		free(b);
		return;
	}
	b->next = pool->block;
	pool->block = b;
	pool->nblock++;
}

int
out_append_block(struct out_pool *pool, struct out *out, struct out_block *b,
    size_t at, size_t len, size_t unit)
{
	size_t to_end = (unit - at % unit) % unit;
	struct out_chunk *k;

	/* A small rest must not keep a whole block. */
	if (len < b->size / PART_SHARE)
		return append(pool, out, b->data + at, len, to_end, unit);
	if ((k = part_new(pool)) == NULL)
		return -1;
	k->next = NULL;
	k->data = b->data;
	k->block = b;
	b->refs++;
	k->start = (uint32_t)at;
	k->end = k->size = (uint32_t)(at + len);
	k->whole = (uint32_t)(at + to_end);
	link_chunk(out, k);
	out->bytes += len;
	return 0;
}

struct out_chunk *
out_chunk_part(struct out_pool *pool, const struct out_chunk *k, uint32_t end)
{
	struct out_chunk *n = part_new(pool);

	if (n == NULL)
		return NULL;
	n->next = NULL;
	n->data = k->data;
	n->block = k->block;
	n->block->refs++;
	n->start = k->start;
	n->end = n->size = n->whole = end;
	return n;
}

/* ---- writing --------------------------------------------------------- */

/* Take n sent bytes off the front. */
static void
out_consume(struct out_pool *pool, struct out *out, size_t n)
{
	struct out_chunk *k;
	size_t have;

	out->bytes -= n;
	while ((k = out->first) != NULL) {
		have = k->end - k->start;
		if (n < have) {
			k->start += (uint32_t)n;
			return;
		}
		n -= have;
		out->first = k->next;
		if (out->kept == k)
			out->kept = NULL;
		if (out->first == NULL)
			out->last = NULL;
		out_chunk_free(pool, k);
	}
}

static int
out_iov(const struct out *out, const struct out_extra *extra, size_t sent,
    struct iovec *iov)
{
	const struct out_chunk *k;
	int n = 0, i;

	for (k = out->first; k != NULL && n < IOV_MAX_OUT - OUT_PARTS;
	    k = k->next) {
		iov[n].iov_base = (void *)(uintptr_t)(k->data + k->start);
		iov[n].iov_len = k->end - k->start;
		n++;
	}
	if (k != NULL || extra == NULL)
		return n;
	for (i = 0; i < OUT_PARTS; i++) {
		if (sent >= extra->len[i]) {
			sent -= extra->len[i];
			continue;
		}
		iov[n].iov_base = (void *)(uintptr_t)(extra->p[i] + sent);
		iov[n].iov_len = extra->len[i] - sent;
		sent = 0;
		n++;
	}
	return n;
}

enum out_status
out_write(struct out_pool *pool, struct out *out, int fd,
    const struct out_extra *extra, size_t *sent)
{
	struct iovec iov[IOV_MAX_OUT];
	size_t own, gone = 0, all;
	ssize_t r;
	int n, i;

	for (;;) {
		n = out_iov(out, extra, gone, iov);
		if (n == 0)
			break;
		for (all = 0, i = 0; i < n; i++)
			all += iov[i].iov_len;
		r = n == 1 ? write(fd, iov[0].iov_base, iov[0].iov_len) :
		    writev(fd, iov, n);
		if (r == -1) {
			if (errno == EINTR)
				continue;
			if (sent != NULL)
				*sent = gone;
			return errno == EAGAIN ? OUT_BLOCKED : OUT_ERROR;
		}
		own = (size_t)r < out->bytes ? (size_t)r : out->bytes;
		out_consume(pool, out, own);
		gone += (size_t)r - own;
		if ((size_t)r < all) {
			/* A short write: the socket is full, and its edge
			 * comes when it is not. */
			if (sent != NULL)
				*sent = gone;
			return OUT_BLOCKED;
		}
	}
	if (sent != NULL)
		*sent = gone;
	return OUT_DONE;
}

void
out_clear(struct out_pool *pool, struct out *out)
{
	struct out_chunk *k;

	while ((k = out->first) != NULL) {
		out->first = k->next;
		out_chunk_free(pool, k);
	}
	out->last = out->kept = NULL;
	out->bytes = 0;
}

void
out_pool_fini(struct out_pool *pool)
{
	struct out_chunk *k;
	struct out_block *b;

	while ((k = pool->small) != NULL) {
		pool->small = k->next;
		free(k);
	}
	while ((k = pool->big) != NULL) {
		pool->big = k->next;
		free(k);
	}
	while ((k = pool->part) != NULL) {
		pool->part = k->next;
		free(k);
	}
	while ((b = pool->block) != NULL) {
		pool->block = b->next;
		free(b);
	}
	memset(pool, 0, sizeof *pool);
}
