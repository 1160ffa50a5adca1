/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * natsload rr, paced, sublat: latencies.
 *
 * rr keeps a number of requests under way on one connection while a second
 * one answers.  paced sends at a fixed rate and stamps each message with the
 * time just before its write.  sublat subscribes and waits for the PONG.
 */
#include <config.h>

#include <sys/epoll.h>
#include <sys/prctl.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "nl.h"

#define INBOX "_INBOX.ABCDEFGHIJKLMNOPQRSTUV"
#define REQ_LINE "MSG rr.req 1 " INBOX ".00000000 16\r\n"
#define REP_LINE "MSG " INBOX ".00000000 1 16\r\n"
#define REQ_LEN (sizeof REQ_LINE - 1 + 18)
#define REP_LEN (sizeof REP_LINE - 1 + 18)
#define ID_IN_REQ (sizeof "MSG rr.req 1 " INBOX "." - 1)
#define ID_IN_REP (sizeof "MSG " INBOX "." - 1)
#define OUT_MAX 65536

static struct nl_conn req_c, rep_c;
static uint32_t *lat;
static uint64_t *sent_at;
static uint8_t *answered;
static _Atomic int stop;

static size_t
rr_reply(const char *msg, char *out)
{
	int n;

	if (memcmp(msg, REQ_LINE, ID_IN_REQ) != 0)
		nl_die("not the request expected: %.60s", msg);
	n = sprintf(out, "PUB " INBOX ".%.8s 16\r\n", msg + ID_IN_REQ);
	memcpy(out + n, msg + REQ_LEN - 18, 18);
	return (size_t)n + 18;
}

/* Takes messages of one length off a connection's buffer. */
static size_t
take(struct nl_conn *c, size_t len, size_t *pos)
{
	size_t n;
	int pongs = 0;

	for (;;) {
		if (*pos == c->have)
			return 0;
		if (c->buf[*pos] == 'M')
			return c->have - *pos >= len ? len : 0;
		n = nl_control(c, c->buf + *pos, c->have - *pos, &pongs);
		if (n == 0)
			return 0;
		*pos += n;
	}
}

static void
keep_rest(struct nl_conn *c, size_t pos)
{
	c->have -= pos;
	memmove(c->buf, c->buf + pos, c->have);
}

static void *
rr_answer(void *arg)
{
	static char out[OUT_MAX];
	size_t pos, len;

	(void)arg;
	while (!stop) {
		nl_fill(&rep_c);
		pos = len = 0;
		while (take(&rep_c, REQ_LEN, &pos)) {
			len += rr_reply(rep_c.buf + pos, out + len);
			pos += REQ_LEN;
			if (len > OUT_MAX - 256) {
				nl_send(rep_c.fd, out, len);
				len = 0;
			}
		}
		keep_rest(&rep_c, pos);
		nl_send(rep_c.fd, out, len);
	}
	return NULL;
}

static size_t
rr_request(char *out, uint64_t id)
{
	int n;

	n = sprintf(out, "PUB rr.req " INBOX ".%08llu 16\r\n",
	    (unsigned long long)id);
	memcpy(out + n, &id, 8);
	memset(out + n + 8, 'r', 8);
	memcpy(out + n + 16, "\r\n", 2);
	sent_at[id] = nl_now();
	return (size_t)n + 18;
}

static void
rr_got(const char *msg, uint64_t now)
{
	char text[9];
	uint64_t id, stamp;

	memcpy(text, msg + ID_IN_REP, 8);
	text[8] = '\0';
	id = strtoull(text, NULL, 10);
	memcpy(&stamp, msg + REP_LEN - 18, 8);
	if (memcmp(msg, REP_LINE, ID_IN_REP) != 0 || id != stamp ||
	    id >= nl_o.count)
		nl_die("not the reply expected: %.60s", msg);
	if (answered[id]++)
		nl_die("two replies to one request");
	lat[id] = (uint32_t)(now - sent_at[id]);
}

static double
rr_ask(void)
{
	static char out[OUT_MAX];
	uint64_t next = 0, back = 0, start, now;
	size_t len, pos;

	start = nl_now();
	while (back < nl_o.count) {
		len = 0;
		while (next < nl_o.count && len < OUT_MAX - 256 &&
		    next - back < (uint64_t)nl_o.inflight)
			len += rr_request(out + len, next++);
		nl_send(req_c.fd, out, len);
		nl_fill(&req_c);
		now = nl_now();
		pos = 0;
		while (take(&req_c, REP_LEN, &pos)) {
			rr_got(req_c.buf + pos, now);
			pos += REP_LEN;
			back++;
		}
		keep_rest(&req_c, pos);
	}
	return (double)(nl_now() - start) / 1e9;
}

void
nl_rr(void)
{
	double cpu, secs;
	pthread_t t;

	lat = nl_alloc(nl_o.count * sizeof *lat);
	sent_at = nl_alloc(nl_o.count * sizeof *sent_at);
	answered = nl_alloc(nl_o.count);
	nl_open_rx(&rep_c);
	nl_open_tx(&req_c);
	nl_close_spare();
	nl_sendf(rep_c.fd, "SUB rr.req 1\r\nPING\r\n");
	nl_pong(&rep_c);
	nl_sendf(req_c.fd, "SUB " INBOX ".* 1\r\nPING\r\n");
	nl_pong(&req_c);
	if (pthread_create(&t, NULL, rr_answer, NULL) != 0)
		nl_die("no thread");
	cpu = nl_tree_cpu();
	secs = rr_ask();
	cpu = nl_tree_cpu() - cpu;
	stop = 1;
	nl_out_num("requests", (double)nl_o.count);
	nl_out_num("seconds", secs);
	nl_out_num("requests_per_s", (double)nl_o.count / secs);
	nl_out_num("cpu_s", cpu);
	nl_out_num("cpu_ns", cpu * 1e9 / (double)nl_o.count);
	nl_out_lat("rtt", lat, nl_o.count);
}

/* paced */

#define PACED_LINE "MSG paced 1 16\r\n"
#define PACED_LEN (sizeof PACED_LINE - 1 + 18)

static struct nl_conn *paced_rx;
static uint64_t paced_all;
static size_t paced_got;

static void *
paced_send(void *arg)
{
	struct nl_conn *c = arg;
	struct timespec ts;
	const char *line = nl_o.relay ? PACED_LINE : "PUB paced 16\r\n";
	size_t n = strlen(line);
	uint64_t start, at, now, i;
	char buf[128];

	prctl(PR_SET_TIMERSLACK, 1);
	memcpy(buf, line, n);
	memcpy(buf + n + 16, "\r\n", 2);
	start = nl_now() + 1000000;
	for (i = 0; i < paced_all; i++) {
		at = start + i * 1000000000u / (uint64_t)nl_o.rate;
		ts.tv_sec = (time_t)(at / 1000000000u);
		ts.tv_nsec = (long)(at % 1000000000u);
		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts,
		    NULL) == EINTR)
			;
		now = nl_now();
		memcpy(buf + n, &now, 8);
		memcpy(buf + n + 8, &i, 8);
		nl_send(c->fd, buf, n + 18);
	}
	return NULL;
}

static void
paced_read(struct nl_conn *c, uint64_t *next)
{
	uint64_t at, seq, now;
	size_t pos = 0;

	nl_fill(c);
	now = nl_now();
	while (take(c, PACED_LEN, &pos)) {
		memcpy(&at, c->buf + pos + sizeof PACED_LINE - 1, 8);
		memcpy(&seq, c->buf + pos + sizeof PACED_LINE + 7, 8);
		if (memcmp(c->buf + pos, PACED_LINE, sizeof PACED_LINE - 1) ||
		    seq != *next)
			nl_die("message %llu came in place of %llu",
			    (unsigned long long)seq,
			    (unsigned long long)*next);
		(*next)++;
		lat[paced_got++] = (uint32_t)(now - at);
		pos += PACED_LEN;
	}
	keep_rest(c, pos);
}

static void
paced_receive(int ep)
{
	struct epoll_event ev[64];
	uint64_t *next;
	int n, i;

	next = nl_alloc((size_t)nl_o.subs * sizeof *next);
	while (paced_got < paced_all * (uint64_t)nl_o.subs) {
		n = epoll_wait(ep, ev, 64, (int)(nl_o.timeout * 1e3));
		if (n == 0)
			nl_die("%llu messages are missing", (unsigned long long)
			    (paced_all * (uint64_t)nl_o.subs - paced_got));
		for (i = 0; i < n; i++)
			paced_read(&paced_rx[ev[i].data.u32],
			    &next[ev[i].data.u32]);
	}
	free(next);
}

static int
paced_open(void)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int i, ep;

	if ((ep = epoll_create1(EPOLL_CLOEXEC)) == -1)
		nl_die("epoll_create1: %s", strerror(errno));
	paced_rx = nl_alloc((size_t)nl_o.subs * sizeof *paced_rx);
	for (i = 0; i < nl_o.subs; i++) {
		nl_open_rx(&paced_rx[i]);
		if (!nl_o.relay) {
			nl_sendf(paced_rx[i].fd, "SUB paced 1\r\nPING\r\n");
			nl_pong(&paced_rx[i]);
		}
		ev.data.u32 = (uint32_t)i;
		epoll_ctl(ep, EPOLL_CTL_ADD, paced_rx[i].fd, &ev);
	}
	return ep;
}

void
nl_paced(void)
{
	struct nl_conn tx = { .buf = NULL };
	pthread_t t;
	double cpu, n;
	int ep;

	paced_all = (uint64_t)(nl_o.secs * nl_o.rate);
	lat = nl_alloc(paced_all * (uint64_t)nl_o.subs * sizeof *lat);
	ep = paced_open();
	nl_open_tx(&tx);
	nl_close_spare();
	cpu = nl_tree_cpu();
	if (pthread_create(&t, NULL, paced_send, &tx) != 0)
		nl_die("no thread");
	paced_receive(ep);
	cpu = nl_tree_cpu() - cpu;
	pthread_join(t, NULL);
	n = (double)paced_all * nl_o.subs;
	nl_out_num("messages", n);
	nl_out_num("cpu_s", cpu);
	nl_out_num("cpu_ns", cpu * 1e9 / n);
	nl_out_lat("lat", lat, paced_got);
}

/* sublat: SUB and PING in one write, until the PONG is there. */
void
nl_sublat(void)
{
	struct nl_conn c = { .buf = NULL };
	uint64_t i, at;
	uint32_t *unsub;
	double cpu;

	lat = nl_alloc(nl_o.count * sizeof *lat);
	unsub = nl_alloc(nl_o.count * sizeof *unsub);
	nl_open_tx(&c);
	nl_close_spare();
	cpu = nl_tree_cpu();
	for (i = 0; i < nl_o.count; i++) {
		at = nl_now();
		nl_sendf(c.fd, "SUB sublat.%llu.x %llu\r\nPING\r\n",
		    (unsigned long long)i, (unsigned long long)i);
		nl_pong(&c);
		lat[i] = (uint32_t)(nl_now() - at);
		at = nl_now();
		nl_sendf(c.fd, "UNSUB %llu\r\nPING\r\n",
		    (unsigned long long)i);
		nl_pong(&c);
		unsub[i] = (uint32_t)(nl_now() - at);
	}
	cpu = nl_tree_cpu() - cpu;
	nl_out_num("count", (double)nl_o.count);
	nl_out_num("cpu_ns", cpu * 1e9 / (double)nl_o.count / 2);
	nl_out_lat("sub", lat, nl_o.count);
	nl_out_lat("unsub", unsub, nl_o.count);
}
