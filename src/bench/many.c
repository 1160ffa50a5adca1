/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * natsbench idle, connect, subs, subping, and the unrelated subscriptions that other
 * commands want to have beside them: what large numbers cost.  In the end a
 * message to each connection, or to some subscriptions, shows that they are
 * really there.
 */
#include <config.h>

#include <sys/epoll.h>
#include <sys/socket.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/addr.h"
#include "bench/bench.h"
#include "bench/commands.h"
#include "bench/conn.h"
#include "bench/hist.h"
#include "bench/proc.h"
#include "bench/report.h"

#define PIECE 1000		/* subscriptions in one write */
#define FLOCK 100		/* messages before a PING when checking */
#define CHECKED 1000		/* subscriptions that get a message, of all */

struct greet {			/* a connection that is being opened */
	struct conn c;
	int greeted;		/* INFO came, and we have answered */
	uint64_t start;
	char *buf;		/* what has come of it */
	size_t have;
};

static struct hist open_lat;
static uint8_t *hit;		/* how often each has got its message */
static uint64_t nhit;
static _Atomic uint64_t hits;
static struct conn *holders;	/* of the subscriptions */

/* The subject of a subscription, or of a connection. */
static int
subject_of(char *to, size_t cap, uint64_t n)
{
	return snprintf(to, cap, "%s.many.%04llu.%04llu", bench_o.subject,
	    (unsigned long long)n / 1000, (unsigned long long)n % 1000);
}

static void
on_line(struct conn *c, const char *line)
{
	unsigned long long a, b;
	char key[300];
	uint64_t n;

	(void)snprintf(key, sizeof key, "MSG %s.many.", bench_o.subject);
	if (strncmp(line, key, strlen(key)) != 0 ||
	    sscanf(line + strlen(key), "%llu.%llu ", &a, &b) != 2)
		bench_die("a message came unasked: %s", line);
	n = a * 1000 + b;
	if (hit == NULL || n >= nhit || hit[n]++ > 0)
		bench_die("a message came twice or unasked (%llu)",
		    (unsigned long long)n);
	if (c->idx != UINT32_MAX && c->idx != n)
		bench_die("the message for connection %llu came to %u",
		    (unsigned long long)n, c->idx);
	atomic_fetch_add(&hits, 1);
}

static void
await_hits(uint64_t want)
{
	uint64_t start = bench_now();

	while (atomic_load(&hits) < want) {
		bench_sleep(0.0005);
		if ((double)(bench_now() - start) / 1e9 > bench_o.timeout)
			bench_die("%llu of %llu messages are missing",
			    (unsigned long long)(want - atomic_load(&hits)),
			    (unsigned long long)want);
	}
}

/* Publishes to every step-th of n: each must get its one. */
static void
verify(uint64_t n, uint64_t step)
{
	struct conn c = { .fd = -1 };
	char subject[300];
	uint64_t i, want = 0;

	hit = bench_alloc(n);
	nhit = n;
	conn_open(&c);
	for (i = 0; i < n; i += step) {
		(void)subject_of(subject, sizeof subject, i);
		conn_sendf(c.fd, "PUB %s 1\r\nx\r\n", subject);
		if (++want % FLOCK == 0) {
			conn_ping(&c);
			await_hits(want);
		}
	}
	conn_ping(&c);
	await_hits(want);
	conn_close(&c);
	free(c.buf);
}

/* One write with the SUBs from..to-1. */
static size_t
put_subs(char *buf, uint64_t from, uint64_t to)
{
	char subject[300];
	size_t len = 0;
	uint64_t i;

	for (i = from; i < to; i++) {
		(void)subject_of(subject, sizeof subject, i);
		len += (size_t)sprintf(buf + len, "SUB %s %llu\r\n", subject,
		    (unsigned long long)i + 1);
	}
	return len;
}

static double
load(uint64_t n, int nconns)
{
	char *buf = bench_alloc(PIECE * (strlen(bench_o.subject) + 64));
	uint64_t start = bench_now(), i, to;
	int k;

	for (i = 0; i < n && !bench_interrupted(); i = to) {
		to = i + PIECE < n ? i + PIECE : n;
		conn_send(holders[i / PIECE % (uint64_t)nconns].fd, buf,
		    put_subs(buf, i, to));
		if (i / PIECE % 16 == 0)
			report_progress((double)i / (double)n, (double)i /
			    ((double)(bench_now() - start) / 1e9),
			    "subscriptions");
	}
	for (k = 0; k < nconns; k++)
		conn_ping(&holders[k]);
	report_progress_end();
	free(buf);
	return (double)(bench_now() - start) / 1e9;
}

/* Loads n subscriptions through so many connections, and reports it. */
static void
load_and_report(uint64_t n, int nconns)
{
	double cpu, memory, secs, all = (double)n;
	int i;

	holders = bench_alloc((size_t)nconns * sizeof *holders);
	for (i = 0; i < nconns; i++)
		conn_open(&holders[i]);
	traffic_report_server();
	if (bench_o.pid != 0)
		bench_sleep(bench_o.settle);
	memory = proc_memory();
	cpu = proc_cpu();
	secs = load(n, nconns);
	cpu = proc_cpu() - cpu;
	for (i = 0; i < nconns; i++) {
		holders[i].idx = UINT32_MAX;
		holders[i].on_line = on_line;
		conn_watch(&holders[i]);
	}
	report_num("subs", all);
	report_num("subs_seconds", secs);
	report_num("subs_per_s", all / secs);
	report_line("subscriptions", "%s in %.3f s, %s/s", report_count(all),
	    secs, report_count(all / secs));
	if (bench_o.pid == 0)
		return;
	bench_sleep(bench_o.settle);
	memory = proc_memory() - memory;
	report_num("sub_cpu_ns", cpu * 1e9 / all);
	report_num("sub_bytes", memory / all);
	report_str("memory_kind", proc_memory_kind());
	report_line("  each", "%s ns of CPU, %s bytes (%s)",
	    report_count(cpu * 1e9 / all), report_count(memory / all),
	    proc_memory_kind());
}

void
many_load_others(void)
{
	if (bench_o.others > 0)
		load_and_report(bench_o.others, bench_o.other_conns);
}

void
command_subs(void)
{
	uint64_t n = bench_o.count;

	if (bench_o.others > 0)
		bench_die("subs does not go with --others");
	load_and_report(n, bench_o.connections);
	traffic_report_server();
	verify(n, n / CHECKED + 1);
	report_line("checked", "%s of them got the message sent to them, once",
	    report_count((double)((n + n / CHECKED) / (n / CHECKED + 1))));
}

/* Nanoseconds from a line with a PING to the PONG. */
static uint64_t
time_pong(struct conn *c, const char *line)
{
	uint64_t start = bench_now();

	conn_send(c->fd, line, strlen(line));
	(void)conn_await_pong(c);
	return bench_now() - start;
}

void
command_subping(void)
{
	static struct hist sub, unsub;
	struct conn c = { .fd = -1 };
	char line[400];
	uint64_t start, n = 0;
	double cpu, secs = 0;

	conn_open(&c);
	traffic_report_server();
	cpu = proc_cpu();
	for (start = bench_now(); !bench_interrupted() &&
	    (bench_o.msgs == 0 || n < bench_o.msgs) &&
	    (bench_o.secs == 0 || secs < bench_o.secs); n++) {
		(void)snprintf(line, sizeof line,
		    "SUB %s.ping.%llu.x %llu\r\nPING\r\n", bench_o.subject,
		    (unsigned long long)n, (unsigned long long)n + 1);
		hist_add(&sub, time_pong(&c, line));
		(void)snprintf(line, sizeof line, "UNSUB %llu\r\nPING\r\n",
		    (unsigned long long)n + 1);
		hist_add(&unsub, time_pong(&c, line));
		secs = (double)(bench_now() - start) / 1e9;
	}
	cpu = proc_cpu() - cpu;
	conn_close(&c);
	free(c.buf);
	report_num("seconds", secs);
	report_hist("sub", "SUB to PONG", &sub);
	report_hist("unsub", "UNSUB to PONG", &unsub);
	if (bench_o.pid == 0)
		return;
	report_num("server_cpu_ns", cpu * 1e9 / (2 * (double)n));
	report_line("server CPU", "%s us for each",
	    report_count(cpu * 1e6 / (2 * (double)n)));
}

/* Opening one connection, step by step. */

static void
greet_start(int ep, struct greet *g, uint32_t i)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = g };

	g->c.idx = i;
	g->c.on_line = on_line;
	g->start = bench_now();
	if ((g->c.fd = addr_connect(SOCK_NONBLOCK)) == -1)
		bench_die("connection %u: cannot connect to %s: %s", i,
		    addr_text(), strerror(errno));
	if (epoll_ctl(ep, EPOLL_CTL_ADD, g->c.fd, &ev) == -1)
		bench_die("epoll_ctl: %s", strerror(errno));
}

/* CONNECT, SUB and PING in one write. */
static void
greet_answer(const struct greet *g)
{
	char buf[8192], subject[300];
	const char *text;
	size_t len;

	text = conn_greeting(&len);
	if (len > sizeof buf - 400)
		bench_die("the credentials are too long");
	memcpy(buf, text, len - 6); /* without its PING */
	(void)subject_of(subject, sizeof subject, g->c.idx);
	len += (size_t)sprintf(buf + len - 6, "SUB %s 1\r\nPING\r\n",
	    subject) - 6;
	conn_send(g->c.fd, buf, len);
}

/* Whether the PONG has come. */
static int
greet_lines(struct greet *g)
{
	char *eol, *p = g->buf;
	size_t n;
	int pong = 0;

	while ((eol = memchr(p, '\n', g->have - (size_t)(p - g->buf))) !=
	    NULL) {
		n = (size_t)(eol - p) + 1;
		if (!g->greeted) {
			*eol = '\0';
			conn_info(p, n - 1);
			greet_answer(g);
			g->greeted = 1;
		} else if (strncmp(p, "PONG", 4) == 0)
			pong = 1;
		else if (strncmp(p, "PING", 4) == 0)
			conn_send(g->c.fd, "PONG\r\n", 6);
		else if (strncmp(p, "INFO ", 5) != 0)
			conn_complain(p, n);
		p += n;
	}
	g->have -= (size_t)(p - g->buf);
	memmove(g->buf, p, g->have);
	return pong;
}

/* Something has come; whether it is open and subscribed now. */
static int
greet_read(int ep, struct greet *g)
{
	ssize_t n;

	if (g->buf == NULL)
		g->buf = bench_alloc(CONN_BUF);
	n = recv(g->c.fd, g->buf + g->have, CONN_BUF - 1 - g->have, 0);
	if (n == -1 && errno == EAGAIN)
		return 0;
	if (n <= 0 && g->have == 0 && !g->greeted)
		bench_die("connection %u: cannot connect to %s: %s", g->c.idx,
		    addr_text(), n == -1 ? strerror(errno) :
		    "the server closed it");
	if (n <= 0)
		bench_die("the server closed connection %u%s%s", g->c.idx,
		    n == -1 ? ": " : "", n == -1 ? strerror(errno) : "");
	g->have += (size_t)n;
	if (!greet_lines(g))
		return 0;
	hist_add(&open_lat, bench_now() - g->start);
	free(g->buf);
	g->buf = NULL;
	(void)epoll_ctl(ep, EPOLL_CTL_DEL, g->c.fd, NULL);
	conn_watch(&g->c);
	return 1;
}

static double
greet_all(struct greet *g, uint32_t all)
{
	struct epoll_event ev[256];
	uint32_t next = 0, done = 0;
	uint64_t start = bench_now();
	double secs;
	int ep, n, i;

	if ((ep = epoll_create1(EPOLL_CLOEXEC)) == -1)
		bench_die("epoll_create1: %s", strerror(errno));
	while (done < all) {
		for (; next < all && next - done < (uint32_t)bench_o.inflight;
		    next++)
			greet_start(ep, &g[next], next);
		n = epoll_wait(ep, ev, 256, (int)(bench_o.timeout * 1e3));
		if (n == 0)
			bench_die("%u of %u connections opened, then nothing "
			    "came for %g s", done, all, bench_o.timeout);
		for (i = 0; i < n; i++)
			done += (uint32_t)greet_read(ep, ev[i].data.ptr);
		secs = (double)(bench_now() - start) / 1e9;
		report_progress((double)done / all, (double)done / secs,
		    "connections");
	}
	(void)close(ep);
	report_progress_end();
	return (double)(bench_now() - start) / 1e9;
}

static void
report_open(double n, double secs, double cpu)
{
	traffic_report_server();
	report_num("connections", n);
	report_num("seconds", secs);
	report_num("connections_per_s", n / secs);
	report_line("connections", "%s with a subscription each, in %.3f s, "
	    "%s/s", report_count(n), secs, report_count(n / secs));
	report_hist("open", "time to open", &open_lat);
	if (bench_o.pid == 0)
		return;
	report_num("server_cpu_s", cpu);
	report_num("server_cpu_ns", cpu * 1e9 / n);
	report_line("server CPU", "%s us to open each",
	    report_count(cpu * 1e6 / n));
}

static struct greet *
open_many(double *memory)
{
	uint32_t n = (uint32_t)bench_o.connections;
	struct greet *g = bench_alloc(n * sizeof *g);
	double cpu, secs;

	/* The server shall have made what it makes once only. */
	many_load_others();
	bench_sleep(0.05);
	*memory = proc_memory();
	cpu = proc_cpu();
	secs = greet_all(g, n);
	cpu = proc_cpu() - cpu;
	report_open(n, secs, cpu);
	return g;
}

void
command_connect(void)
{
	double memory;

	(void)open_many(&memory); /* watched until the end */
	verify((uint64_t)bench_o.connections, 1);
}

void
command_idle(void)
{
	double memory, cpu, n = bench_o.connections;

	(void)open_many(&memory);
	bench_sleep(bench_o.settle);
	memory = proc_memory() - memory;
	cpu = proc_cpu();
	bench_sleep(bench_o.secs);
	cpu = proc_cpu() - cpu;
	verify((uint64_t)bench_o.connections, 1);
	report_num("idle_seconds", bench_o.secs);
	if (bench_o.pid == 0)
		return;
	report_num("conn_bytes", memory / n);
	report_str("memory_kind", proc_memory_kind());
	report_num("idle_cpu_percent", 100 * cpu / bench_o.secs);
	report_line("server memory", "%s bytes for each (%s), what the kernel "
	    "has for sockets left out", report_count(memory / n),
	    proc_memory_kind());
	report_line("idle CPU", "%.3f %% of a core for all of them",
	    100 * cpu / bench_o.secs);
}
