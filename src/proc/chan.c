/* SPDX-License-Identifier: BSD-2-Clause */
/* The control socketpair; one end in the master, the other in a child. */
#include <config.h>

#include <sys/socket.h>
#include <sys/uio.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "proc/chan.h"

/* More than we take, so that what is too much is seen and closed. */
#define FDS_MAX 4

struct chan_head {
	uint32_t type;
	uint32_t len;
	uint64_t arg;
};

union fd_control {
	struct cmsghdr align;
	char space[CMSG_SPACE(FDS_MAX * sizeof(int))];
};

int
chan_pair(int fds[2])
{
	return socketpair(AF_UNIX,
	    SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds);
}

int
chan_send(int chan, enum chan_type type, uint64_t arg, const void *body,
    size_t len, int fd)
{
	struct chan_head head = { (uint32_t)type, (uint32_t)len, arg };
	struct iovec iov[2] = { { &head, sizeof head },
		{ (void *)body, len } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	union fd_control control;
	struct cmsghdr *cmsg;
	ssize_t n;

	if (len > CHAN_BODY_MAX) {
		errno = EMSGSIZE;
		return -1;
	}
	if (fd != -1) {
		memset(&control, 0, sizeof control);
		msg.msg_control = control.space;
		msg.msg_controllen = CMSG_SPACE(sizeof fd);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof fd);
		memcpy(CMSG_DATA(cmsg), &fd, sizeof fd);
	}
	do
		n = sendmsg(chan, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n == -1 && errno == EINTR);
	return n == -1 ? -1 : 0;
}

/* The first descriptor that came; all others are closed. */
static int
take_fd(struct msghdr *msg)
{
	struct cmsghdr *cmsg;
	size_t i, n;
	int fd, first = -1;

	for (cmsg = CMSG_FIRSTHDR(msg); cmsg != NULL;
	    cmsg = CMSG_NXTHDR(msg, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET ||
		    cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof fd;
		for (i = 0; i < n; i++) {
			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof fd,
			    sizeof fd);
			if (first == -1)
				first = fd;
			else
				(void)close(fd);
		}
	}
	return first;
}

int
chan_recv(int chan, struct chan_msg *m)
{
	struct chan_head head;
	struct iovec iov[2] = { { &head, sizeof head },
		{ m->body, sizeof m->body } };
	union fd_control control;
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2,
		.msg_control = control.space,
		.msg_controllen = sizeof control.space };
	ssize_t n;
	int fd;

	memset(&head, 0, sizeof head);
	do
		n = recvmsg(chan, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (n == -1 && errno == EINTR);
	if (n == -1)
		return errno == ECONNRESET ? 0 : -1;
	fd = take_fd(&msg);
	if (n == 0) { /* an empty packet, which nobody sends, is the same */
		if (fd != -1)
			(void)close(fd);
		return 0;
	}
	if ((size_t)n < sizeof head || (msg.msg_flags & MSG_TRUNC) != 0 ||
	    head.len != (size_t)n - sizeof head) {
		if (fd != -1)
			(void)close(fd);
		errno = EPROTO;
		return -1;
	}
	m->type = head.type;
	m->len = head.len;
	m->arg = head.arg;
	m->fd = fd;
	return 1;
}
