/* SPDX-License-Identifier: BSD-2-Clause */
/* Log records of a child, written in the child and read in the master. */
#include <config.h>

#include <sys/socket.h>
#include <sys/uio.h>

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "proc/logpipe.h"

/* A process that ends waits so long for room, and no longer. */
#define URGENT_MS 250

struct logpipe_head {
	uint32_t level;
	uint32_t len;
};

static int pipe_fd = -1; /* child: our end */
static uint64_t dropped; /* records lost since the last one that went */

int
logpipe_pair(int fds[2])
{
	return socketpair(AF_UNIX,
	    SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds);
}

static bool
send_record(enum log_level lvl, const char *text, size_t len)
{
	struct logpipe_head head = { (uint32_t)lvl, (uint32_t)len };
	struct iovec iov[2] = { { &head, sizeof head }, { (void *)text, len } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t n;

	do
		n = sendmsg(pipe_fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n == -1 && errno == EINTR);
	return n != -1;
}

void
logpipe_urgent(enum log_level lvl, const char *text, size_t len)
{
	struct pollfd pfd = { .fd = pipe_fd, .events = POLLOUT };

	if (pipe_fd == -1 || send_record(lvl, text, len))
		return;
	/* The master reads as fast as it can: once is enough. */
	if (errno == EAGAIN && poll(&pfd, 1, URGENT_MS) > 0)
		(void)send_record(lvl, text, len);
}

/* A log_sink_fn; log.c keeps errno. */
static void
pipe_sink(void *ctx, enum log_level lvl, const char *role, int pid,
    const char *text, size_t len)
{
	char report[64];
	int n;

	(void)ctx;
	(void)role; /* the master knows whose end it reads */
	(void)pid;
	if (len > LOG_TEXT_MAX)
		len = LOG_TEXT_MAX;
	if (lvl == LOG_LVL_FATAL) { /* nothing comes after it */
		logpipe_urgent(lvl, text, len);
		return;
	}
	if (dropped > 0) {
		n = snprintf(report, sizeof report, "dropped %llu log records",
		    (unsigned long long)dropped);
		if (!send_record(LOG_LVL_WARN, report, (size_t)n)) {
			dropped++;
			return;
		}
		dropped = 0;
	}
	if (!send_record(lvl, text, len))
		dropped++;
}

void
logpipe_use(int fd)
{
	pipe_fd = fd;
	dropped = 0;
	log_set_sink(pipe_sink, NULL);
}

/* The child has escaped its text; a broken child may not have. */
static void
make_printable(char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			text[i] = '?';
	}
}

int
logpipe_read(int fd, enum log_level *lvl, char *text, size_t textlen)
{
	struct logpipe_head head;
	struct iovec iov[2] = { { &head, sizeof head },
		{ text, textlen - 1 } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	size_t len;
	ssize_t n;

	memset(&head, 0, sizeof head);
	do
		n = recvmsg(fd, &msg, MSG_DONTWAIT);
	while (n == -1 && errno == EINTR);
	if (n == -1)
		return errno == ECONNRESET ? 0 : -1;
	if (n == 0)
		return 0;
	len = (size_t)n < sizeof head ? 0 : (size_t)n - sizeof head;
	if (len > head.len)
		len = head.len;
	make_printable(text, len);
	text[len] = '\0';
	*lvl = head.level <= LOG_LVL_CLIENT ? (enum log_level)head.level :
					      LOG_LVL_ERR;
	return 1;
}
