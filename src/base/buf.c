/* SPDX-License-Identifier: BSD-2-Clause */
/* Growable byte buffer with a hard maximum; used in every process. */
#include <config.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

#include "base/panic.h"

#define CAP_MIN 64

void
buf_init(struct buf *buf, size_t max)
{
	memset(buf, 0, sizeof *buf);
	buf->max = max;
}

void
buf_fini(struct buf *buf)
{
	free(buf->data);
	buf_init(buf, buf->max);
}

/* The capacity to allocate for need bytes, CAP_MIN * 2^n but at most max. */
static size_t
grown_cap(const struct buf *buf, size_t need)
{
	size_t cap = buf->cap < CAP_MIN ? CAP_MIN : buf->cap;

	while (cap < need && cap <= buf->max / 2)
		cap *= 2;
	return cap < need || cap > buf->max ? buf->max : cap;
}

int
buf_reserve(struct buf *buf, size_t n)
{
	uint8_t *data;
	size_t cap;

	if (n <= buf->cap - buf->len)
		return 0;
	if (n > buf->max - buf->len) {
		errno = ENOBUFS;
		return -1;
	}
	cap = grown_cap(buf, buf->len + n);
	if ((data = realloc(buf->data, cap)) == NULL) {
		errno = ENOMEM;
		return -1;
	}
	buf->data = data;
	buf->cap = cap;
	return 0;
}

int
buf_append(struct buf *buf, const void *p, size_t n)
{
	if (n == 0)
		return 0;
	if (buf_reserve(buf, n) == -1)
		return -1;
	memcpy(buf->data + buf->len, p, n);
	buf->len += n;
	return 0;
}

int
buf_appendf(struct buf *buf, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0 || buf_reserve(buf, (size_t)n + 1) == -1)
		return -1;
	va_start(ap, fmt);
	n = vsnprintf(
	    (char *)buf->data + buf->len, buf->cap - buf->len, fmt, ap);
	va_end(ap);
	if (n < 0)
		return -1;
	buf->len += (size_t)n;
	return 0;
}

void
buf_consume(struct buf *buf, size_t n)
{
	ASSERT(n <= buf->len);
	buf->len -= n;
	if (n > 0 && buf->len > 0)
		memmove(buf->data, buf->data + n, buf->len);
}

void
buf_reset(struct buf *buf)
{
	buf->len = 0;
}

void
buf_trim(struct buf *buf)
{
	if (buf->len == 0)
		buf_fini(buf);
}
