/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * natsrelay: the floor under every broker.  One epoll process that copies
 * each byte that the one publisher sends to every subscriber, and parses
 * nothing but the handshake: who has sent SUB is a subscriber, who begins a
 * message is the publisher, and what comes from him is never looked at again.
 * natsbench --relay publishes what subscribers expect to see.
 *
 *	natsrelay PORT [bytes per read]
 *
 * A read is written to all at once from the one buffer, without a look whether
 * they have room.  As long as reads bring much, the next one follows without
 * epoll_wait() in between; half a buffer or less, and there would be nothing.
 * When a subscriber has no room, nothing is read until it has.
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
#define LINES_MAX 65536
#define READ_BYTES 131072
#define TURNS 16 /* reads of the publisher before others are looked at */

#define INFO "INFO {\"server_id\":\"relay\",\"server_name\":\"relay\"," \
	"\"version\":\"0\",\"proto\":1,\"headers\":true," \
	"\"max_payload\":67108864}\r\n"

enum role { GREETED, SUBSCRIBER, PUBLISHER, GONE };

struct peer {
	int fd;
	enum role role;
	int at;			/* in subs[] */
	size_t off;		/* of the buffer, sent to this subscriber */
	char lines[512];	/* a line of which a part has come */
	size_t nlines;
	struct peer *next;	/* GONE: freed when all events are done */
};

static struct peer *subs[SUBS_MAX], *pub, *gone;
static int nsubs, waiting, ep, lfd;
static char *buf;
static size_t cap = READ_BYTES, len;

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
watch(int op, struct peer *p, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = p };

	if (epoll_ctl(ep, op, p != NULL ? p->fd : lfd, &ev) == -1)
		die("epoll_ctl");
}

static void
accept_one(void)
{
	struct peer *p;
	int fd, one = 1;

	if ((fd = accept4(lfd, NULL, NULL, SOCK_NONBLOCK)) == -1)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (write(fd, INFO, sizeof INFO - 1) != sizeof INFO - 1 ||
	    (p = calloc(1, sizeof *p)) == NULL) {
		close(fd);
		return;
	}
	p->fd = fd;
	watch(EPOLL_CTL_ADD, p, EPOLLIN);
}

static void
resume(void)
{
	if (waiting == 0 && pub != NULL)
		watch(EPOLL_CTL_MOD, pub, EPOLLIN);
}

static void
drop(struct peer *p)
{
	if (p->role == SUBSCRIBER) {
		if (p->off < len)
			waiting--;
		subs[p->at] = subs[--nsubs];
		subs[p->at]->at = p->at;
		resume();
	}
	if (p == pub)
		pub = NULL;
	close(p->fd);
	p->role = GONE;
	p->next = gone;
	gone = p;
}

static void
free_gone(void)
{
	struct peer *p;

	while ((p = gone) != NULL) {
		gone = p->next;
		free(p);
	}
}

/* Sends what this subscriber lacks of the buffer; -1: it is gone. */
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

/* What is in the buffer goes to everybody. */
static void
copy(void)
{
	int i;

	for (i = nsubs - 1; i >= 0; i--) {
		subs[i]->off = 0;
		if (push(subs[i]) == -1) {
			subs[i]->off = len;
			drop(subs[i]);
		} else if (subs[i]->off < len) {
			waiting++;
			watch(EPOLL_CTL_MOD, subs[i], EPOLLIN | EPOLLOUT);
		}
	}
	if (waiting > 0)
		watch(EPOLL_CTL_MOD, pub, 0);
}

static void
relay(void)
{
	ssize_t n;
	int turn;

	for (turn = 0; turn < TURNS && waiting == 0; turn++) {
		if ((n = read(pub->fd, buf, cap)) <= 0) {
			if (n == -1 && errno == EAGAIN)
				return;
			/* The end is answered: all has been taken. */
			if (n == 0)
				(void)!write(pub->fd, "PONG\r\n", 6);
			drop(pub);
			return;
		}
		len = (size_t)n;
		copy();
		if (len <= cap / 2)
			return;
	}
}

static void
subscribe(struct peer *p)
{
	if (p->role == SUBSCRIBER || nsubs == SUBS_MAX)
		return;
	p->role = SUBSCRIBER;
	p->at = nsubs;
	p->off = len;
	subs[nsubs++] = p;
}

/* A peer that is no publisher has sent something; -1: it is gone. */
static int
handshake(struct peer *p)
{
	char *eol, *s = p->lines;
	ssize_t n;

	n = read(p->fd, p->lines + p->nlines, sizeof p->lines - p->nlines);
	if (n <= 0)
		return n == -1 && errno == EAGAIN ? 0 : -1;
	p->nlines += (size_t)n;
	if (p->role == GREETED && (*s == 'M' || *s == 'H')) {
		p->role = PUBLISHER;
		pub = p;
		memcpy(buf, s, p->nlines);
		len = p->nlines;
		copy();
		return 0;
	}
	while ((eol = memchr(s, '\n', p->nlines - (size_t)(s - p->lines))) !=
	    NULL) {
		if (*s == 'S')
			subscribe(p);
		if (*s == 'P' && s[1] == 'I')
			(void)!send(p->fd, "PONG\r\n", 6, MSG_NOSIGNAL);
		s = eol + 1;
	}
	p->nlines -= (size_t)(s - p->lines);
	memmove(p->lines, s, p->nlines);
	return p->nlines == sizeof p->lines ? -1 : 0;
}

static void
serve(struct peer *p, uint32_t events)
{
	int bad = 0;

	if (p->role == GONE)
		return;
	if (p == pub) {
		relay();
		return;
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		bad = handshake(p) == -1;
	if (!bad && p->role == SUBSCRIBER && events & EPOLLOUT &&
	    p->off < len) {
		bad = push(p) == -1;
		if (!bad && p->off == len) {
			waiting--;
			watch(EPOLL_CTL_MOD, p, EPOLLIN);
			resume();
		}
	}
	if (bad)
		drop(p);
}

int
main(int argc, char *argv[])
{
	struct epoll_event ev[64];
	int n, i;

	if (argc < 2) {
		fprintf(stderr, "usage: natsrelay port [bytes per read]\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	if (argc > 2)
		cap = strtoul(argv[2], NULL, 10);
	if (cap < sizeof pub->lines || (buf = malloc(cap)) == NULL ||
	    (ep = epoll_create1(0)) == -1)
		die("start");
	lfd = listen_on(atoi(argv[1]));
	watch(EPOLL_CTL_ADD, NULL, EPOLLIN);
	for (;;) {
		n = epoll_wait(ep, ev, 64, -1);
		for (i = 0; i < n; i++) {
			if (ev[i].data.ptr == NULL)
				accept_one();
			else
				serve(ev[i].data.ptr, ev[i].events);
		}
		free_gone();
	}
}
