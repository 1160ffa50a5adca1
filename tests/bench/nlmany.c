/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * natsload conns, subs, churn: large numbers of connections and
 * subscriptions, what they cost and how fast they come and go; and the
 * unrelated subscriptions that other loads want to have beside them.
 * In the end messages show that the subscriptions are really there.
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

#include "nl.h"

#define PIECE 1000		/* subscriptions per write */
#define CHURN_LIVE 100		/* live ones per connection */
#define CHURN_AHEAD 4		/* batches sent before a PONG is awaited */

struct greet {			/* a connection being opened */
	int fd;
	int state;		/* 0 connecting, 1 INFO came, 2 PONG came */
	uint64_t start;
	char tail[8];
	size_t ntail;
};

static struct greet *greets;
static uint32_t *open_lat;
static uint8_t *hit;		/* per subscription: messages that came */
static uint64_t hit_max;
static _Atomic uint64_t hits;

static void
hit_one(uint64_t n)
{
	if (hit == NULL || n >= hit_max || hit[n]++)
		nl_die("a message came twice or unasked (%llu)",
		    (unsigned long long)n);
	hits++;
}

static void
got_load(uint32_t idx, const char *buf)
{
	const char *p = buf;
	int a, b;

	(void)idx;
	for (; (p = strstr(p, "MSG load.")) != NULL; p++)
		if (sscanf(p, "MSG load.%d.%d ", &a, &b) == 2)
			hit_one((uint64_t)a * 1000 + (uint64_t)b);
		else if (sscanf(p, "MSG load.%d.x", &a) == 1)
			hit_one((uint64_t)a);
}

/* The subject of background subscription number i. */
static const char *
load_subject(uint64_t i)
{
	static char buf[64];

	if (nl_o.bg_unique)
		snprintf(buf, sizeof buf, "load.%07llu.x",
		    (unsigned long long)i);
	else
		snprintf(buf, sizeof buf, "load.%04llu.%03llu",
		    (unsigned long long)i / 1000,
		    (unsigned long long)i % 1000);
	return buf;
}

static void
got_conn(uint32_t idx, const char *buf)
{
	const char *p = buf;
	unsigned n;

	for (; (p = strstr(p, "MSG conn.")) != NULL; p++)
		if (sscanf(p, "MSG conn.%u ", &n) == 1) {
			if (n != idx)
				nl_die("message for %u came to %u", n, idx);
			hit_one(n);
		}
}

static void
await_hits(uint64_t want)
{
	uint64_t start = nl_now();

	while (hits < want) {
		nl_sleep(0.001);
		if ((double)(nl_now() - start) / 1e9 > nl_o.timeout)
			nl_die("%llu of %llu messages are missing",
			    (unsigned long long)(want - hits),
			    (unsigned long long)want);
	}
}

/* Publishes to every step-th of n subscriptions: each must get its one. */
static void
verify(const char *kind, uint64_t n, uint64_t step)
{
	struct nl_conn c = { .buf = NULL };
	uint64_t i, want = 0;

	hit = nl_alloc(n);
	hit_max = n;
	nl_open(&c, -1, -1);
	for (i = 0; i < n; i += step, want++) {
		if (*kind == 'c')
			nl_sendf(c.fd, "PUB conn.%06llu 1\r\nx\r\n",
			    (unsigned long long)i);
		else
			nl_sendf(c.fd, "PUB %s 1\r\nx\r\n",
			    load_subject(i));
		if (want % 100 == 99) {
			nl_sendf(c.fd, "PING\r\n");
			nl_pong(&c);
		}
	}
	await_hits(want);
	nl_close(&c);
}

static size_t
load_piece(char *buf, uint64_t from, uint64_t to)
{
	size_t len = 0;
	uint64_t i;

	for (i = from; i < to; i++)
		len += (size_t)sprintf(buf + len, "SUB %s %llu\r\n",
		    load_subject(i), (unsigned long long)i + 1);
	return len;
}

static double
load_all(struct nl_conn *c)
{
	static char buf[PIECE * 64];
	uint64_t start, i, to;
	size_t len;
	int k;

	start = nl_now();
	for (i = 0, k = 0; i < nl_o.background; i = to, k++) {
		to = i + PIECE;
		if (to > nl_o.background)
			to = nl_o.background;
		len = load_piece(buf, i, to);
		nl_send(c[k % nl_o.bg_conns].fd, buf, len);
	}
	for (k = 0; k < nl_o.bg_conns; k++)
		nl_send(c[k].fd, "PING\r\n", 6);
	for (k = 0; k < nl_o.bg_conns; k++)
		nl_pong(&c[k]);
	return (double)(nl_now() - start) / 1e9;
}

/* Loads the unrelated subscriptions, and reports what they cost. */
void
nl_background(void)
{
	double cpu, mem, secs, n = (double)nl_o.background;
	struct nl_conn *c;
	int i;

	if (nl_o.background == 0)
		return;
	nl_drain_start(got_load);
	c = nl_alloc((size_t)nl_o.bg_conns * sizeof *c);
	for (i = 0; i < nl_o.bg_conns; i++)
		nl_open(&c[i], -1, -1);
	nl_sleep(nl_o.settle);
	mem = nl_tree_mem();
	cpu = nl_tree_cpu();
	secs = load_all(c);
	cpu = nl_tree_cpu() - cpu;
	for (i = 0; i < nl_o.bg_conns; i++)
		nl_drain_add(c[i].fd, (uint32_t)i);
	nl_sleep(nl_o.settle);
	mem = nl_tree_mem() - mem;
	nl_out_num("bg_subs", n);
	nl_out_num("bg_seconds", secs);
	nl_out_num("bg_subs_per_s", n / secs);
	nl_out_num("bg_cpu_ns", cpu * 1e9 / n);
	nl_out_num("bg_bytes", mem / n);
	nl_out_str("bg_mem_kind", nl_mem_kind());
}

void
nl_subs(void)
{
	if (nl_o.background == 0)
		nl_die("subs needs --background N");
	verify("load", nl_o.background, nl_o.background / 1000 + 1);
}

/* Opening one connection, step by step. */

static void
greet_start(int ep, uint32_t i)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u32 = i };
	struct greet *g = &greets[i];

	g->start = nl_now();
	g->fd = nl_tcp_start(nl_o.port);
	if (epoll_ctl(ep, EPOLL_CTL_ADD, g->fd, &ev) == -1)
		nl_die("epoll_ctl: %s", strerror(errno));
}

static int
greet_pong(struct greet *g, const char *buf, size_t len)
{
	char all[8200];
	size_t n = g->ntail + len;

	memcpy(all, g->tail, g->ntail);
	memcpy(all + g->ntail, buf, len);
	if (memmem(all, n, "-ERR", 4) != NULL)
		nl_die("server says: %.60s", all);
	if (memmem(all, n, "PONG\r\n", 6) != NULL)
		return 1;
	g->ntail = n < 5 ? n : 5;
	memcpy(g->tail, all + n - g->ntail, g->ntail);
	return 0;
}

/* Something came for connection i; 1: it is open and subscribed. */
static int
greet_read(int ep, uint32_t i)
{
	struct greet *g = &greets[i];
	char buf[8192];
	ssize_t n;

	n = recv(g->fd, buf, sizeof buf - 1, 0);
	if (n == -1 && errno == EAGAIN)
		return 0;
	if (n <= 0)
		nl_die("connection %u: %s", i, n ? strerror(errno) : "closed");
	if (g->state == 0) {
		if (memchr(buf, '\n', (size_t)n) == NULL)
			return 0;
		nl_sendf(g->fd, NL_CONNECT "SUB conn.%06u 1\r\nPING\r\n", i);
		g->state = 1;
		return 0;
	}
	if (!greet_pong(g, buf, (size_t)n))
		return 0;
	g->state = 2;
	open_lat[i] = (uint32_t)(nl_now() - g->start);
	epoll_ctl(ep, EPOLL_CTL_DEL, g->fd, NULL);
	nl_drain_add(g->fd, i);
	return 1;
}

static double
greet_all(void)
{
	struct epoll_event ev[256];
	uint32_t next = 0, done = 0, all = (uint32_t)nl_o.conns;
	uint64_t start;
	int ep, n, i;

	if ((ep = epoll_create1(EPOLL_CLOEXEC)) == -1)
		nl_die("epoll_create1: %s", strerror(errno));
	start = nl_now();
	while (done < all) {
		while (next < all && next - done < (uint32_t)nl_o.inflight)
			greet_start(ep, next++);
		n = epoll_wait(ep, ev, 256, (int)(nl_o.timeout * 1e3));
		if (n == 0)
			nl_die("%u of %u connections opened", done, all);
		for (i = 0; i < n; i++)
			done += (uint32_t)greet_read(ep, ev[i].data.u32);
	}
	close(ep);
	return (double)(nl_now() - start) / 1e9;
}

void
nl_conns(void)
{
	double cpu, mem, secs, idle, n = nl_o.conns;

	nl_drain_start(got_conn);
	greets = nl_alloc((size_t)nl_o.conns * sizeof *greets);
	open_lat = nl_alloc((size_t)nl_o.conns * sizeof *open_lat);
	mem = nl_tree_mem();
	cpu = nl_tree_cpu();
	secs = greet_all();
	cpu = nl_tree_cpu() - cpu;
	/* The server's first PING comes up to 2.4 s after CONNECT. */
	nl_sleep(nl_o.settle < 3 ? 3 : nl_o.settle);
	mem = nl_tree_mem() - mem;
	idle = nl_tree_cpu();
	nl_sleep(nl_o.secs);
	idle = nl_tree_cpu() - idle;
	verify("conn", (uint64_t)nl_o.conns, 1);
	nl_out_num("conns", n);
	nl_out_num("seconds", secs);
	nl_out_num("conns_per_s", n / secs);
	nl_out_num("cpu_ns", cpu * 1e9 / n);
	nl_out_num("bytes", mem / n);
	nl_out_str("mem_kind", nl_mem_kind());
	nl_out_num("idle_cpu_percent", 100 * idle / nl_o.secs);
	nl_out_lat("open", open_lat, (size_t)nl_o.conns);
}

/* One batch of SUB, UNSUB pairs: each UNSUB takes the oldest live one. */
static size_t
churn_batch(char *buf, uint64_t *next, int pairs)
{
	size_t len = 0;
	int i;

	for (i = 0; i < pairs; i++, (*next)++) {
		len += (size_t)sprintf(buf + len, "SUB churn.%llu.x %llu\r\n",
		    (unsigned long long)*next, (unsigned long long)*next);
		if (*next >= CHURN_LIVE)
			len += (size_t)sprintf(buf + len, "UNSUB %llu\r\n",
			    (unsigned long long)(*next - CHURN_LIVE));
	}
	return len + (size_t)sprintf(buf + len, "PING\r\n");
}

static uint64_t
churn_run(struct nl_conn *c, double *secs)
{
	static char buf[65536];
	uint64_t start, end, at, now, changes = 0, batches = 0, next = 0;
	uint64_t pongs = 0;
	int pairs;

	pairs = nl_o.rate ? nl_o.rate / 2000 + 1 : 250;
	if (pairs > 400)
		pairs = 400;
	start = nl_now();
	end = start + (uint64_t)(nl_o.secs * 1e9);
	while ((now = nl_now()) < end) {
		at = nl_o.rate ? start + changes * 1000000000u /
		    (uint64_t)nl_o.rate : now;
		if (at > now)
			nl_sleep((double)(at - now) / 1e9);
		nl_send(c->fd, buf, churn_batch(buf, &next, pairs));
		changes += 2 * (uint64_t)pairs;
		batches++;
		while (batches - pongs >= CHURN_AHEAD)
			pongs += (uint64_t)nl_pong(c);
	}
	while (pongs < batches)
		pongs += (uint64_t)nl_pong(c);
	*secs = (double)(nl_now() - start) / 1e9;
	return changes;
}

void
nl_churn(void)
{
	struct nl_conn c = { .buf = NULL };
	double cpu, secs, n;

	nl_open_tx(&c);
	nl_close_spare();
	cpu = nl_tree_cpu();
	n = (double)churn_run(&c, &secs);
	cpu = nl_tree_cpu() - cpu;
	nl_out_num("changes", n);
	nl_out_num("seconds", secs);
	nl_out_num("changes_per_s", n / secs);
	nl_out_num("cpu_s", cpu);
	nl_out_num("cpu_ns", cpu * 1e9 / n);
}
