/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Growable byte buffer with a hard maximum.  Bytes are appended at the end
 * and consumed at the front.  Memory at most doubles with each growth and is
 * kept until buf_fini() or buf_trim().
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

struct buf {
	uint8_t *data; /* NULL while nothing is allocated */
	size_t len;    /* bytes in use; invariant: len <= cap <= max */
	size_t cap;    /* bytes allocated */
	size_t max;    /* never allocates more */
};

/* Makes an empty buffer that may hold max bytes; allocates nothing. */
void buf_init(struct buf *buf, size_t max);

/* Releases the memory; the buffer is then as after buf_init(). */
void buf_fini(struct buf *buf);

/*
 * Makes room for n bytes behind data + len, so that the caller may write
 * them and add to len.  0, or -1 with errno ENOBUFS if len + n would exceed
 * max, ENOMEM if there is no memory; the contents are then unchanged.
 */
int buf_reserve(struct buf *buf, size_t n);

/* Appends n bytes of p, which is not part of the buffer; as buf_reserve(). */
int buf_append(struct buf *buf, const void *p, size_t n);

/*
 * Appends formatted text without its terminating NUL (room for the NUL must
 * be free too, below max); as buf_reserve(), and -1 with errno of vsnprintf().
 */
int buf_appendf(struct buf *buf, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Drops the first n bytes, n <= len, and moves the rest to the front. */
void buf_consume(struct buf *buf, size_t n);

/* Empties the buffer, keeping its memory. */
void buf_reset(struct buf *buf);

/* Gives memory back if the buffer is empty. */
void buf_trim(struct buf *buf);

#endif
