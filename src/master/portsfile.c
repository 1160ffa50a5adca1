/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes and removes the ports file; in the master. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "master/portsfile.h"

#include "base/buf.h"
#include "base/fdutil.h"
#include "master/listen.h"

#define PORTSFILE_MAX (64 * 1024)

/* An address to connect to: that of the loopback for "any". */
static const char *
connect_host(const char *host)
{
	if (strcmp(host, "0.0.0.0") == 0)
		return "127.0.0.1";
	return strcmp(host, "::") == 0 ? "::1" : host;
}

/* A path as a JSON string's contents. */
static int
append_json(struct buf *buf, const char *s)
{
	for (; *s != '\0'; s++) {
		if (*s == '"' || *s == '\\') {
			if (buf_appendf(buf, "\\%c", *s) == -1)
				return -1;
		} else if ((unsigned char)*s < 0x20) {
			if (buf_appendf(buf, "\\u%04x", *s) == -1)
				return -1;
		} else if (buf_append(buf, s, 1) == -1)
			return -1;
	}
	return 0;
}

static int
append_url(struct buf *buf, const struct listener *l)
{
	const char *host = connect_host(l->host), *zone = strchr(host, '%');

	if (l->unix_socket) {
		if (buf_append(buf, "\"unix://", 8) == -1 ||
		    append_json(buf, l->path) == -1)
			return -1;
		return buf_append(buf, "\"", 1);
	}
	if (zone != NULL) /* RFC 6874: a URL has %25 for its % */
		return buf_appendf(buf, "\"nats://[%.*s%%25%s]:%d\"",
		    (int)(zone - host), host, zone + 1, l->port);
	return buf_appendf(buf, strchr(host, ':') != NULL ?
		"\"nats://[%s]:%d\"" : "\"nats://%s:%d\"", host, l->port);
}

static int
format_text(struct buf *buf, const struct listen_set *set)
{
	uint32_t i;

	if (buf_append(buf, "{\"nats\":[", 9) == -1)
		return -1;
	for (i = 0; i < set->n; i++) {
		if (i > 0 && buf_append(buf, ",", 1) == -1)
			return -1;
		if (append_url(buf, &set->l[i]) == -1)
			return -1;
	}
	return buf_append(buf, "]}\n", 3);
}

int
portsfile_open(struct portsfile *pf, const char *dir, const char *program,
    char *err, size_t errlen)
{
	pf->fd = -1;
	if (snprintf(pf->path, sizeof pf->path, "%s/%s_%ld.ports", dir,
		program, (long)getpid()) >= (int)sizeof pf->path)
		errno = ENAMETOOLONG;
	else
		pf->fd = open(pf->path, O_WRONLY | O_CREAT | O_TRUNC |
		    O_CLOEXEC | O_NOFOLLOW, 0644);
	if (pf->fd != -1)
		return 0;
	snprintf(err, errlen, "cannot write the ports file \"%s\": %s",
	    pf->path, strerror(errno));
	return -1;
}

int
portsfile_fill(struct portsfile *pf, const struct listen_set *set, char *err,
    size_t errlen)
{
	struct buf buf;
	int status = -1;

	if (pf->fd == -1)
		return 0;
	buf_init(&buf, PORTSFILE_MAX);
	if (format_text(&buf, set) == 0)
		status = fd_write_all(pf->fd, buf.data, buf.len);
	if (status == -1)
		snprintf(err, errlen, "cannot write the ports file \"%s\": "
		    "%s", pf->path, strerror(errno));
	buf_fini(&buf);
	return status;
}

void
portsfile_remove(struct portsfile *pf)
{
	if (pf->fd == -1)
		return;
	if (unlink(pf->path) == -1 && errno != ENOENT)
		(void)!ftruncate(pf->fd, 0);
	fd_close(&pf->fd);
}
