/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * natsrelay: the floor under every broker.  One epoll process that copies
 * each byte that the one sender writes to every receiver, and parses nothing.
 * Receivers connect to the port, senders to the port after it; each is
 * greeted with "PONG" so that it knows that it has been accepted.
 *
 *	natsrelay PORT [bytes per read]
 */
#include <config.h>

#include <sys/epoll.h>
#include <sys/socket.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SUBS_MAX 4096

struct peer {
	int fd;
	size_t off;		/* of the buffer, sent to this receiver */
};

static struct peer subs[SUBS_MAX];
static int nsubs, waiting, ep, lfd[2], pub_fd = -1;
static char *buf;
static size_t cap = 131072, len;

static void
die(const char *what)
{
	fprintf(stderr, "natsrelay: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int
listen_on(int port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	int fd, one = 1;

	sin.sin_port = htons((uint16_t)port);
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if ((fd = socket(AF_INET, SOCK_STREAM, 0)) == -1)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, (struct sockaddr *)&sin, sizeof sin) == -1 ||
	    listen(fd, 1024) == -1)
		die("listen");
	return fd;
}

static void
watch(int op, int fd, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.fd = fd };

	if (epoll_ctl(ep, op, fd, &ev) == -1)
		die("epoll_ctl");
}

static void
take(int l)
{
	int fd, one = 1;

	if ((fd = accept4(lfd[l], NULL, NULL, SOCK_NONBLOCK)) == -1)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (write(fd, "PONG\r\n", 6) != 6 || (l == 0 && nsubs == SUBS_MAX)) {
		close(fd);
		return;
	}
	if (l == 1) {
		pub_fd = fd;
	} else {
		subs[nsubs].fd = fd;
		subs[nsubs++].off = len;
	}
	watch(EPOLL_CTL_ADD, fd, EPOLLIN);
}

static void
drop(struct peer *p)
{
	if (p->off < len)
		waiting--;
	close(p->fd);
	*p = subs[--nsubs];
}

/* Sends what this receiver lacks of the buffer; -1: it is gone. */
static int
push(struct peer *p)
{
	ssize_t n;

	n = send(p->fd, buf + p->off, len - p->off, MSG_NOSIGNAL);
	if (n == -1 && errno != EAGAIN)
		return -1;
	if (n > 0)
		p->off += (size_t)n;
	return 0;
}

static void
relay(void)
{
	ssize_t n;
	int i;

	if (waiting > 0)
		return;
	if ((n = read(pub_fd, buf, cap)) <= 0) {
		if (n == -1 && errno == EAGAIN)
			return;
		close(pub_fd);
		pub_fd = -1;
		return;
	}
	len = (size_t)n;
	for (i = nsubs - 1; i >= 0; i--) {
		subs[i].off = 0;
		if (push(&subs[i]) == -1) {
			subs[i].off = len;
			drop(&subs[i]);
		} else if (subs[i].off < len) {
			waiting++;
			watch(EPOLL_CTL_MOD, subs[i].fd, EPOLLIN | EPOLLOUT);
		}
	}
	if (waiting > 0)
		watch(EPOLL_CTL_MOD, pub_fd, 0);
}

/* A receiver has room again, or has gone. */
static void
receiver(int fd, uint32_t events)
{
	struct peer *p = subs;
	char c[64];
	int gone = 0;

	while (p < subs + nsubs && p->fd != fd)
		p++;
	if (p == subs + nsubs)
		return;
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		gone = read(fd, c, sizeof c) == 0 || events & EPOLLERR;
	if (!gone && p->off < len) {
		gone = push(p) == -1;
		if (!gone && p->off == len) {
			waiting--;
			watch(EPOLL_CTL_MOD, fd, EPOLLIN);
		}
	}
	if (gone)
		drop(p);
	if (waiting == 0 && pub_fd != -1)
		watch(EPOLL_CTL_MOD, pub_fd, EPOLLIN);
}

int
main(int argc, char *argv[])
{
	struct epoll_event ev[64];
	int port, n, i;

	if (argc < 2) {
		fprintf(stderr, "usage: natsrelay port [bytes per read]\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	port = atoi(argv[1]);
	if (argc > 2)
		cap = strtoul(argv[2], NULL, 10);
	if ((buf = malloc(cap)) == NULL || (ep = epoll_create1(0)) == -1)
		die("start");
	for (i = 0; i < 2; i++) {
		lfd[i] = listen_on(port + i);
		watch(EPOLL_CTL_ADD, lfd[i], EPOLLIN);
	}
	for (;;) {
		n = epoll_wait(ep, ev, 64, -1);
		for (i = 0; i < n; i++) {
			if (ev[i].data.fd == lfd[0])
				take(0);
			else if (ev[i].data.fd == lfd[1])
				take(1);
			else if (ev[i].data.fd == pub_fd)
				relay();
			else
				receiver(ev[i].data.fd, ev[i].events);
		}
	}
}
