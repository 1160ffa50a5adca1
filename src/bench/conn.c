/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * natsbench: connections.
 */
#include <config.h>

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/addr.h"
#include "bench/bench.h"
#include "bench/conn.h"

#define SPARE_MAX 4096
#define ANY (-1)

struct conn_server conn_server;

static int spare[SPARE_MAX];	/* open, in the wrong worker */
static int nspare;
static int sub_worker = ANY, pub_worker = ANY;
static char *greeting;
static size_t greeting_len;
static int watch_ep = -1;

void
conn_nonblock(int fd)
{
	(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

void
conn_timeouts(int fd)
{
	struct timeval tv = { .tv_usec = 100000 };

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv);
}

void
conn_complain(const char *line, size_t len)
{
	const char *eol = memchr(line, '\n', len);
	size_t n = eol != NULL ? (size_t)(eol - line) : len;
	char text[120];
	size_t i;

	if (n > sizeof text - 1)
		n = sizeof text - 1;
	if (n > 0 && line[n - 1] == '\r')
		n--;
	for (i = 0; i < n; i++)
		text[i] = line[i] < ' ' || line[i] > '~' ? '.' : line[i];
	text[n] = '\0';
	if (strncasecmp(text, "-ERR 'Authorization", 19) == 0)
		bench_die("the server refuses us (%s): "
		    "%s --user and --password, or --token", text + 5,
		    bench_o.user != NULL || bench_o.token != NULL ?
		    "check" : "give");
	if (strncmp(text, "-ERR ", 5) == 0)
		bench_die("the server says %s", text + 5);
	bench_die("the server sends what is no message: \"%.60s\"", text);
}

static void
die_closed(int error)
{
	/* If the server has said why, whoever reads that ends us. */
	bench_sleep(0.05);
	if (error == 0 || error == EPIPE || error == ECONNRESET)
		bench_die("the server closed a connection");
	bench_die("connection to the server: %s", strerror(error));
}

void
conn_send(int fd, const void *data, size_t len)
{
	struct pollfd pfd = { .fd = fd, .events = POLLOUT };
	const char *p = data;
	ssize_t n;

	while (len > 0) {
		n = send(fd, p, len, MSG_NOSIGNAL);
		if (n == -1 && errno == EAGAIN) {
			if (poll(&pfd, 1, (int)(bench_o.timeout * 1e3)) == 0)
				bench_die("the server takes nothing more");
			continue;
		}
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			die_closed(errno);
		p += n;
		len -= (size_t)n;
	}
}

void
conn_sendf(int fd, const char *fmt, ...)
{
	char buf[4096];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(buf, sizeof buf, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof buf)
		bench_die("line too long");
	conn_send(fd, buf, (size_t)n);
}

size_t
conn_fill(struct conn *c)
{
	ssize_t n;

	n = recv(c->fd, c->buf + c->have, CONN_BUF - c->have, 0);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		die_closed(n == 0 ? 0 : errno);
	c->have += (size_t)n;
	return (size_t)n;
}

void
conn_keep(struct conn *c, size_t pos)
{
	c->have -= pos;
	memmove(c->buf, c->buf + pos, c->have);
}

size_t
conn_control(struct conn *c, const char *p, size_t len, uint32_t *pongs)
{
	static const char *const verbs[] = { "PING", "PONG", "INFO", "+OK",
		"-ERR" };
	const char *eol = memchr(p, '\n', len);
	size_t i, n;

	if (eol == NULL) {
		for (i = 0; i < 5; i++) {
			n = strlen(verbs[i]);
			if (memcmp(p, verbs[i], len < n ? len : n) == 0)
				break;
		}
		if (i == 5 || len > CONN_LINE_MAX)
			conn_complain(p, len);
		return 0;
	}
	n = (size_t)(eol - p) + 1;
	if (n >= 5 && memcmp(p, "PING", 4) == 0) {
		if (c->defers_pong)
			atomic_store(&c->owes_pong, 1);
		else
			conn_send(c->fd, "PONG\r\n", 6);
	} else if (n >= 5 && memcmp(p, "PONG", 4) == 0)
		(*pongs)++;
	else if ((n < 5 || memcmp(p, "INFO ", 5) != 0) &&
	    (n < 4 || memcmp(p, "+OK", 3) != 0))
		conn_complain(p, n);
	return n;
}

uint32_t
conn_await_pong(struct conn *c)
{
	struct pollfd pfd = { .fd = c->fd, .events = POLLIN };
	uint32_t pongs = 0;
	size_t n, pos;

	for (;;) {
		for (pos = 0; pos < c->have; pos += n)
			if ((n = conn_control(c, c->buf + pos, c->have - pos,
			    &pongs)) == 0)
				break;
		conn_keep(c, pos);
		if (pongs > 0)
			return pongs;
		if (poll(&pfd, 1, (int)(bench_o.timeout * 1e3)) == 0)
			bench_die("the server does not answer a PING in %g s",
			    bench_o.timeout);
		(void)conn_fill(c);
	}
}

void
conn_ping(struct conn *c)
{
	conn_send(c->fd, "PING\r\n", 6);
	(void)conn_await_pong(c);
}

/* The value of a member of an INFO, NULL: it has none.  No parser of JSON:
 * names with a quote and a colon stand in no string of an INFO. */
static const char *
member(const char *line, const char *name)
{
	char key[64];
	const char *p;

	(void)snprintf(key, sizeof key, "\"%s\":", name);
	p = strstr(line, key);
	return p != NULL ? p + strlen(key) : NULL;
}

static int
is_true(const char *line, const char *name)
{
	const char *p = member(line, name);

	return p != NULL && strncmp(p, "true", 4) == 0;
}

static void
copy_string(const char *line, const char *name, char *to, size_t size)
{
	const char *p = member(line, name);
	size_t n = 0;

	if (p == NULL || *p++ != '"')
		return;
	while (n < size - 1 && p[n] != '"' && p[n] >= ' ')
		n++;
	memcpy(to, p, n);
	to[n] = '\0';
}

/* The worker that an INFO names. */
static int
worker_of(const char *line)
{
	const char *p = member(line, "worker");

	return p != NULL ? atoi(p) : ANY;
}

void
conn_info(const char *line, size_t len)
{
	const char *p;

	if (len < 5 || strncmp(line, "INFO ", 5) != 0) {
		if (strncmp(line, "-ERR", 4) == 0)
			conn_complain(line, len);
		bench_die("that is no NATS server: it greets with \"%.*s\"",
		    (int)(len > 40 ? 40 : strcspn(line, "\r\n")), line);
	}
	if (is_true(line, "tls_required"))
		bench_die("the server wants TLS, which is not supported");
	if (conn_server.known)
		return;
	conn_server.known = 1;
	copy_string(line, "server_name", conn_server.name,
	    sizeof conn_server.name);
	copy_string(line, "version", conn_server.version,
	    sizeof conn_server.version);
	if ((p = member(line, "max_payload")) != NULL)
		conn_server.max_payload = strtoull(p, NULL, 10);
	conn_server.headers = is_true(line, "headers");
	conn_server.auth = is_true(line, "auth_required");
}

/* Appends a member with a JSON string to the greeting. */
static size_t
put_member(char *to, const char *name, const char *value)
{
	size_t n;

	if (value == NULL)
		return 0;
	n = (size_t)sprintf(to, ",\"%s\":\"", name);
	for (; *value != '\0'; value++) {
		if (*value == '"' || *value == '\\')
			to[n++] = '\\';
		if ((unsigned char)*value < ' ')
			n += (size_t)sprintf(to + n, "\\u%04x", *value);
		else
			to[n++] = *value;
	}
	to[n++] = '"';
	return n;
}

static size_t
escaped_max(const char *s)
{
	return s != NULL ? 6 * strlen(s) : 0;
}

const char *
conn_greeting(size_t *len)
{
	char *p;

	if (greeting == NULL) {
		greeting = bench_alloc(512 + escaped_max(bench_o.user) +
		    escaped_max(bench_o.password) +
		    escaped_max(bench_o.token));
		p = greeting;
		p += sprintf(p, "CONNECT {\"verbose\":false,"
		    "\"pedantic\":false,\"protocol\":1,\"lang\":\"c\","
		    "\"version\":\"%s\",\"name\":\"natsbench\","
		    "\"headers\":true,\"no_responders\":true,\"echo\":true",
		    PACKAGE_VERSION);
		p += put_member(p, "user", bench_o.user);
		p += put_member(p, "pass", bench_o.password);
		p += put_member(p, "auth_token", bench_o.token);
		p += sprintf(p, "}\r\nPING\r\n");
		greeting_len = (size_t)(p - greeting);
	}
	*len = greeting_len;
	return greeting;
}

static void
await_info(struct conn *c)
{
	struct pollfd pfd = { .fd = c->fd, .events = POLLIN };
	char *eol;

	do {
		if (poll(&pfd, 1, (int)(bench_o.timeout * 1e3)) == 0)
			bench_die("%s does not greet with an INFO: "
			    "no NATS server?", addr_text());
		if (c->have == CONN_BUF)
			conn_complain(c->buf, 60);
		(void)conn_fill(c);
		eol = memchr(c->buf, '\n', c->have);
	} while (eol == NULL);
	*eol = '\0';
	conn_info(c->buf, (size_t)(eol - c->buf));
	c->worker = worker_of(c->buf);
	conn_keep(c, (size_t)(eol - c->buf) + 1);
}

static void
open_once(struct conn *c)
{
	c->have = 0;
	if ((c->fd = addr_connect(0)) == -1)
		bench_die("cannot connect to %s: %s", addr_text(),
		    strerror(errno));
	await_info(c);
}

/* Opens one in that worker (ANY) and not in the other (ANY: no matter). */
static void
open_in(struct conn *c, int want, int avoid)
{
	const char *text;
	size_t len;

	if (c->buf == NULL)
		c->buf = bench_alloc(CONN_BUF);
	for (;;) {
		open_once(c);
		if ((want == ANY || c->worker == want) &&
		    (avoid == ANY || c->worker != avoid))
			break;
		if (nspare == SPARE_MAX)
			bench_die("no connection comes to the wanted worker: "
			    "has the server several?");
		spare[nspare++] = c->fd;
	}
	text = conn_greeting(&len);
	conn_send(c->fd, text, len);
	(void)conn_await_pong(c);
}

void
conn_open(struct conn *c)
{
	open_in(c, ANY, ANY);
}

void
conn_open_sub(struct conn *c)
{
	if (bench_o.place == BENCH_ANY) {
		open_in(c, ANY, ANY);
		return;
	}
	open_in(c, sub_worker, ANY);
	if (c->worker == ANY)
		bench_die("--place: the server's INFO names no worker");
	sub_worker = c->worker;
}

void
conn_open_pub(struct conn *c)
{
	if (bench_o.place == BENCH_ANY) {
		open_in(c, ANY, ANY);
	} else if (bench_o.place == BENCH_SAME) {
		conn_open_sub(c);
	} else {
		open_in(c, pub_worker, sub_worker);
		if (c->worker == ANY)
			bench_die("--place: the server's INFO names no "
			    "worker");
		pub_worker = c->worker;
	}
}

void
conn_close(struct conn *c)
{
	if (c->fd != -1)
		(void)close(c->fd);
	c->fd = -1;
}

void
conn_close_spare(void)
{
	while (nspare > 0)
		(void)close(spare[--nspare]);
}

/* A line that came on a watched connection, with a NUL in place of its LF. */
static void
watched_line(struct conn *c, const char *line, size_t len)
{
	if (strncmp(line, "-ERR", 4) == 0)
		conn_complain(line, len);
	if (strncmp(line, "PONG", 4) == 0)
		atomic_fetch_add(&c->pongs, 1);
	else if (strncmp(line, "PING", 4) == 0 && c->defers_pong)
		atomic_store(&c->owes_pong, 1);
	else if (strncmp(line, "PING", 4) == 0)
		conn_send(c->fd, "PONG\r\n", 6);
	else if (c->on_line != NULL && strncmp(line, "MSG ", 4) == 0)
		c->on_line(c, line);
}

/* Lines may be cut in two: the beginning waits in `said`. */
static void
watched_data(struct conn *c, char *p, size_t len)
{
	char *end = p + len, *eol, *from;
	size_t n, room;

	for (; p < end; p = eol + 1) {
		eol = memchr(p, '\n', (size_t)(end - p));
		n = (size_t)((eol != NULL ? eol : end) - p);
		from = p;
		if (eol == NULL || c->nsaid > 0) {
			room = sizeof c->said - 1 - c->nsaid;
			memcpy(c->said + c->nsaid, p, n < room ? n : room);
			c->nsaid += n < room ? n : room;
			from = c->said;
			n = c->nsaid;
		}
		if (eol == NULL)
			return;
		from[n] = '\0';
		watched_line(c, from, n);
		c->nsaid = 0;
	}
}

static void
watched_read(struct conn *c)
{
	static char buf[65536];
	ssize_t n;

	n = recv(c->fd, buf, sizeof buf, MSG_DONTWAIT);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 && c->may_close) {
		(void)epoll_ctl(watch_ep, EPOLL_CTL_DEL, c->fd, NULL);
		atomic_store(&c->closed, 1);
		return;
	}
	if (n <= 0)
		bench_die("the server closed a connection%s%s",
		    n == 0 ? "" : ": ", n == 0 ? "" : strerror(errno));
	watched_data(c, buf, (size_t)n);
}

static void *
watch_run(void *arg)
{
	struct epoll_event ev[256];
	int n, i;

	(void)arg;
	for (;;) {
		n = epoll_wait(watch_ep, ev, 256, -1);
		for (i = 0; i < n; i++)
			watched_read(ev[i].data.ptr);
	}
	return NULL;
}

void
conn_watch(struct conn *c)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };
	pthread_t thread;

	if (watch_ep == -1) {
		if ((watch_ep = epoll_create1(EPOLL_CLOEXEC)) == -1)
			bench_die("epoll_create1: %s", strerror(errno));
		if (pthread_create(&thread, NULL, watch_run, NULL) != 0)
			bench_die("cannot create a thread");
		(void)pthread_detach(thread);
	}
	if (epoll_ctl(watch_ep, EPOLL_CTL_ADD, c->fd, &ev) == -1)
		bench_die("epoll_ctl: %s", strerror(errno));
}

void
conn_close_watched(struct conn *c)
{
	atomic_store(&c->may_close, 1);
	(void)shutdown(c->fd, SHUT_RDWR);
	while (!atomic_load(&c->closed))
		bench_sleep(0.0001);
	conn_close(c);
	atomic_store(&c->may_close, 0);
	atomic_store(&c->closed, 0);
}

void
conn_await_watched(struct conn *c, uint32_t pongs)
{
	uint64_t start = bench_now();

	while (atomic_load(&c->pongs) < pongs) {
		bench_sleep(0.00005);
		if ((double)(bench_now() - start) / 1e9 > bench_o.timeout)
			bench_die("the server does not answer a PING in %g s",
			    bench_o.timeout);
	}
}
