/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * natsload: connections.  Opening with the full handshake, in a wanted worker
 * where the server's INFO tells which one serves ("worker":N); the lines that
 * may come between messages; a thread that answers PING on idle connections.
 */
#include <config.h>

#include <sys/epoll.h>
#include <sys/socket.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nl.h"

#define SPARE_MAX 4096
#define ANY_WORKER (-1)
#define NL_RELAY_TX (-2)	/* to the relay's port for senders */

static int spare[SPARE_MAX];	/* open, in the wrong worker */
static int nspare;
static int tx_worker = ANY_WORKER;
static int drain_ep = -1;
static void (*drain_msg)(uint32_t, const char *);

static void
tcp_addr(struct sockaddr_in *sin, int port)
{
	memset(sin, 0, sizeof *sin);
	sin->sin_family = AF_INET;
	sin->sin_port = htons((uint16_t)port);
	if (inet_pton(AF_INET, nl_o.host, &sin->sin_addr) != 1)
		nl_die("not an IPv4 address: %s", nl_o.host);
}

static int
tcp_socket(int flags)
{
	int fd, one = 1;

	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
	if (fd == -1)
		nl_die("socket: %s", strerror(errno));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return fd;
}

/* A connected blocking socket. */
int
nl_tcp(int port)
{
	struct sockaddr_in sin;
	int fd;

	tcp_addr(&sin, port);
	fd = tcp_socket(0);
	if (connect(fd, (struct sockaddr *)&sin, sizeof sin) == -1)
		nl_die("connect %s:%d: %s", nl_o.host, port, strerror(errno));
	return fd;
}

/* A non-blocking socket that is being connected. */
int
nl_tcp_start(int port)
{
	struct sockaddr_in sin;
	int fd;

	tcp_addr(&sin, port);
	fd = tcp_socket(SOCK_NONBLOCK);
	if (connect(fd, (struct sockaddr *)&sin, sizeof sin) == -1 &&
	    errno != EINPROGRESS)
		nl_die("connect %s:%d: %s", nl_o.host, port, strerror(errno));
	return fd;
}

void
nl_nonblock(int fd)
{
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

/* Sends all of it, waiting for room where need be. */
void
nl_send(int fd, const void *data, size_t len)
{
	struct pollfd pfd = { .fd = fd, .events = POLLOUT };
	const char *p = data;
	ssize_t n;

	while (len > 0) {
		n = send(fd, p, len, MSG_NOSIGNAL);
		if (n == -1 && errno == EAGAIN) {
			if (poll(&pfd, 1, (int)(nl_o.timeout * 1e3)) == 0)
				nl_die("server takes nothing more");
			continue;
		}
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			nl_die("send: %s", strerror(errno));
		p += n;
		len -= (size_t)n;
	}
}

void
nl_sendf(int fd, const char *fmt, ...)
{
	char buf[4096];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(buf, sizeof buf, fmt, ap);
	va_end(ap);
	nl_send(fd, buf, (size_t)n);
}

/* Reads what is there behind what the buffer has; 0: nothing for now. */
size_t
nl_fill(struct nl_conn *c)
{
	ssize_t n;

	n = recv(c->fd, c->buf + c->have, c->cap - c->have, 0);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n == -1)
		nl_die("receive: %s", strerror(errno));
	if (n == 0)
		nl_die("the server closed a connection (slow consumer?)");
	c->have += (size_t)n;
	return (size_t)n;
}

/*
 * Looks at a line that is no message: answers PING, counts PONG, passes over
 * INFO and +OK.  Returns its length, 0 if it is not complete; anything else
 * ends the run.
 */
size_t
nl_control(struct nl_conn *c, const char *p, size_t len, int *pongs)
{
	const char *eol;

	if ((eol = memchr(p, '\n', len)) == NULL) {
		if (len > 8192)
			nl_die("unknown bytes from server: %.60s", p);
		return 0;
	}
	if (strncmp(p, "PING", 4) == 0 && c->hold_pong)
		c->owes_pong = 1;
	else if (strncmp(p, "PING", 4) == 0)
		nl_send(c->fd, "PONG\r\n", 6);
	else if (strncmp(p, "PONG", 4) == 0)
		(*pongs)++;
	else if (strncmp(p, "INFO ", 5) != 0 && strncmp(p, "+OK", 3) != 0)
		nl_die("server says: %.*s",
		    (int)(eol - p < 100 ? eol - p : 100), p);
	return (size_t)(eol - p) + 1;
}

/*
 * Waits for a PONG, and returns how many came at once; what is in the buffer
 * must not be messages.
 */
int
nl_pong(struct nl_conn *c)
{
	struct pollfd pfd = { .fd = c->fd, .events = POLLIN };
	int pongs = 0;
	size_t n, pos;

	for (;;) {
		pos = 0;
		while (pos < c->have && (n = nl_control(c, c->buf + pos,
		    c->have - pos, &pongs)) != 0)
			pos += n;
		c->have -= pos;
		memmove(c->buf, c->buf + pos, c->have);
		if (pongs)
			break;
		if (poll(&pfd, 1, (int)(nl_o.timeout * 1e3)) == 0)
			nl_die("no PONG in %g s", nl_o.timeout);
		nl_fill(c);
	}
	return pongs;
}

static int
info_worker(const char *info)
{
	const char *p;

	if (strncmp(info, "INFO ", 5) != 0)
		nl_die("no INFO but: %.60s", info);
	if ((p = strstr(info, "\"worker\":")) == NULL)
		return ANY_WORKER;
	return atoi(p + 9);
}

static void
open_once(struct nl_conn *c)
{
	char *eol;
	size_t n;

	c->have = 0;
	c->fd = nl_tcp(nl_o.port);
	do {
		nl_fill(c);
		eol = memchr(c->buf, '\n', c->have);
	} while (eol == NULL);
	*eol = '\0';
	c->worker = info_worker(c->buf);
	n = (size_t)(eol - c->buf) + 1;
	c->have -= n;
	memmove(c->buf, c->buf + n, c->have);
}

/*
 * Opens a connection and shakes hands (the relay only greets); in worker
 * `want` (-1 any), not in `avoid` (-1 none).  Connections that came to another
 * worker stay open until nl_close_spare(), so that the server's evenness
 * brings the next one elsewhere.
 */
void
nl_open(struct nl_conn *c, int want, int avoid)
{
	if (c->buf == NULL) {
		c->cap = 65536;
		c->buf = nl_alloc(c->cap);
	}
	if (nl_o.relay) {
		c->worker = ANY_WORKER;
		c->have = 0;
		c->fd = nl_tcp(nl_o.port + (avoid == NL_RELAY_TX));
		nl_pong(c);
		return;
	}
	for (;;) {
		open_once(c);
		if ((want == ANY_WORKER || c->worker == want) &&
		    (avoid == ANY_WORKER || c->worker != avoid))
			break;
		if (nspare == SPARE_MAX)
			nl_die("no connection to the wanted worker");
		spare[nspare++] = c->fd;
	}
	nl_send(c->fd, NL_CONNECT "PING\r\n", sizeof NL_CONNECT "PING\r\n" - 1);
	nl_pong(c);
}

/* A receiver's connection: with placement, all in the first one's worker. */
void
nl_open_rx(struct nl_conn *c)
{
	if (nl_o.place == NL_ANY) {
		nl_open(c, ANY_WORKER, ANY_WORKER);
		return;
	}
	nl_open(c, nl_o.rx_worker, ANY_WORKER);
	if (c->worker == ANY_WORKER)
		nl_die("the server's INFO names no worker");
	nl_o.rx_worker = c->worker;
}

/* A sender's connection: in the receivers' worker, or all in one other. */
void
nl_open_tx(struct nl_conn *c)
{
	if (nl_o.place == NL_ANY)
		nl_open(c, ANY_WORKER,
		    nl_o.relay ? NL_RELAY_TX : ANY_WORKER);
	else if (nl_o.place == NL_SAME)
		nl_open_rx(c);
	else {
		nl_open(c, tx_worker, nl_o.rx_worker);
		tx_worker = c->worker;
	}
}

void
nl_close(struct nl_conn *c)
{
	close(c->fd);
	c->fd = -1;
}

void
nl_close_spare(void)
{
	while (nspare > 0)
		close(spare[--nspare]);
}

static void
drain_read(int fd, uint32_t idx)
{
	static char buf[65536];
	ssize_t r;

	r = recv(fd, buf, sizeof buf - 1, MSG_DONTWAIT);
	if (r == 0 || (r == -1 && errno != EAGAIN))
		nl_die("the server closed an idle connection");
	if (r <= 0)
		return;
	buf[r] = '\0';
	if (strncmp(buf, "-ERR", 4) == 0)
		nl_die("idle connection: %.60s", buf);
	if (memmem(buf, (size_t)r, "PING\r\n", 6) != NULL)
		nl_send(fd, "PONG\r\n", 6);
	if (drain_msg != NULL)
		drain_msg(idx, buf);
}

static void *
drain_run(void *arg)
{
	struct epoll_event ev[256];
	int n, i;

	(void)arg;
	for (;;) {
		n = epoll_wait(drain_ep, ev, 256, -1);
		for (i = 0; i < n; i++)
			drain_read((int)(ev[i].data.u64 & 0xffffffff),
			    (uint32_t)(ev[i].data.u64 >> 32));
	}
	return NULL;
}

/* Has the drain thread, started before, answer this connection's PINGs. */
void
nl_drain_add(int fd, uint32_t idx)
{
	struct epoll_event ev = { .events = EPOLLIN };

	ev.data.u64 = (uint64_t)idx << 32 | (uint32_t)fd;
	if (epoll_ctl(drain_ep, EPOLL_CTL_ADD, fd, &ev) == -1)
		nl_die("epoll_ctl: %s", strerror(errno));
}

/* Starts it; msg() is given what comes, with the connection's number. */
void
nl_drain_start(void (*msg)(uint32_t, const char *))
{
	pthread_t t;

	if (drain_ep != -1)
		return;
	drain_msg = msg;
	if ((drain_ep = epoll_create1(EPOLL_CLOEXEC)) == -1)
		nl_die("epoll_create1: %s", strerror(errno));
	if (pthread_create(&t, NULL, drain_run, NULL) != 0)
		nl_die("no thread");
	pthread_detach(t);
}
