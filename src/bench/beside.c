/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * natsbench churn, stall, firehose: what a flow has to suffer from others.
 * Each runs it alone first, then beside them.
 */
#include <config.h>

#include <sys/socket.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/addr.h"
#include "bench/bench.h"
#include "bench/commands.h"
#include "bench/flow.h"
#include "bench/report.h"

#define LIVE_SUBS 100	/* that churn leaves, of each kind */
#define LIVE_CONNS 100
/* For readers apart that do not read: more than a server keeps for them, and
 * then no more, or it would be the publisher that is measured. */
#define FEED_BYTES (UINT64_C(128) << 20)
#define PAIRS_MAX 400	/* in one write */
#define AHEAD 4		/* writes whose PONG has not come */
#define STEP 0.002	/* seconds between looks at the clock */

struct churn {
	pthread_t tid;
	struct conn c;
	struct conn live[LIVE_CONNS];
	uint64_t next;		/* subscription */
	uint64_t changes, connects;
	uint64_t asked, answered; /* PING, PONG */
	_Atomic int stop;
};

static int
by_default(uint64_t *what, uint64_t value)
{
	if (*what != 0)
		return 0;
	*what = value;
	return 1;
}

/* SUBs, each with an UNSUB of the oldest one that is there. */
static void
change(struct churn *ch, int pairs)
{
	static char buf[PAIRS_MAX * 80];
	size_t len = 0;
	int i;

	for (i = 0; i < pairs; i++, ch->next++) {
		len += (size_t)sprintf(buf + len,
		    "SUB %s.churn.%llu.x %llu\r\n", bench_o.subject,
		    (unsigned long long)ch->next,
		    (unsigned long long)ch->next + 1);
		ch->changes++;
		if (ch->next < LIVE_SUBS)
			continue;
		len += (size_t)sprintf(buf + len, "UNSUB %llu\r\n",
		    (unsigned long long)(ch->next - LIVE_SUBS) + 1);
		ch->changes++;
	}
	len += (size_t)sprintf(buf + len, "PING\r\n");
	conn_send(ch->c.fd, buf, len);
	for (ch->asked++; ch->asked - ch->answered >= AHEAD;)
		ch->answered += conn_await_pong(&ch->c);
}

static void
reconnect(struct churn *ch)
{
	struct conn *c = &ch->live[ch->connects % LIVE_CONNS];

	if (ch->connects >= LIVE_CONNS)
		conn_close(c);
	conn_open(c);
	conn_sendf(c->fd, "SUB %s.conn.%llu 1\r\n", bench_o.subject,
	    (unsigned long long)ch->connects);
	ch->connects++;
}

static void *
churn_run(void *arg)
{
	struct churn *ch = arg;
	uint64_t start = bench_now();
	double secs, due;

	while (!atomic_load(&ch->stop)) {
		secs = (double)(bench_now() - start) / 1e9;
		due = secs * (double)bench_o.changes - (double)ch->changes;
		if (due >= 2)
			change(ch, due < 2 * PAIRS_MAX ? (int)due / 2 :
							 PAIRS_MAX);
		if ((double)ch->connects < secs * (double)bench_o.connects)
			reconnect(ch);
		else if (due < 2 * PAIRS_MAX)
			bench_sleep(STEP);
	}
	return NULL;
}

static void
churn_begin(struct churn *ch)
{
	conn_open(&ch->c);
	if (pthread_create(&ch->tid, NULL, churn_run, ch) != 0)
		bench_die("cannot create a thread");
}

static void
churn_end(struct churn *ch)
{
	uint64_t i;

	atomic_store(&ch->stop, 1);
	(void)pthread_join(ch->tid, NULL);
	while (ch->answered < ch->asked)
		ch->answered += conn_await_pong(&ch->c);
	conn_close(&ch->c);
	for (i = 0; i < LIVE_CONNS && i < ch->connects; i++) {
		conn_close(&ch->live[i]);
		free(ch->live[i].buf);
	}
}

/* How the throughput of the second run compares with the first one. */
static void
compare(const struct flow_result *alone, const struct flow_result *beside)
{
	double a, b, part;

	a = alone->secs > 0 ? (double)alone->delivered / alone->secs : 0;
	b = beside->secs > 0 ? (double)beside->delivered / beside->secs : 0;
	part = a > 0 ? b / a : 0;
	report_num("throughput_kept", part);
	report_line("throughput kept", "%.1f %%", part * 100);
}

static struct flow_result
run_alone(struct flow *f)
{
	flow_open(f);
	traffic_report_server();
	traffic_warm_up(f);
	traffic_run(f);
	traffic_report(f, "alone_", " alone");
	return f->res;
}

void
command_churn(void)
{
	static struct flow f;
	static struct flow_result alone;
	static struct churn ch;
	double secs;

	if (bench_o.connects == 0)
		(void)by_default(&bench_o.changes, 10000);
	flow_init(&f);
	alone = run_alone(&f);
	churn_begin(&ch);
	secs = (double)bench_now();
	traffic_run(&f);
	secs = ((double)bench_now() - secs) / 1e9;
	churn_end(&ch);
	traffic_report(&f, "beside_", " beside");
	compare(&alone, &f.res);
	report_num("changes_per_s", (double)ch.changes / secs);
	report_num("connects_per_s", (double)ch.connects / secs);
	report_line("churn", "%s SUB and UNSUB per second, %s connections per "
	    "second", report_count((double)(ch.changes / secs)),
	    report_count((double)(ch.connects / secs)));
	flow_close(&f);
}

/* Subscribes and reads nothing from then on. */
static struct conn *
open_stalled(const char *subject)
{
	struct conn *c;
	int i;

	c = bench_alloc((size_t)bench_o.stalled * sizeof *c);
	for (i = 0; i < bench_o.stalled; i++) {
		conn_open(&c[i]);
		conn_sendf(c[i].fd, "SUB %s.* 1\r\n", subject);
		conn_ping(&c[i]);
	}
	return c;
}

/* Reads all that has waited; whether the server has closed it. */
static int
was_closed(struct conn *c)
{
	struct pollfd pfd = { .fd = c->fd, .events = POLLIN };
	static char buf[262144];
	uint64_t end = bench_now() + 2000000000u;
	ssize_t n;

	(void)send(c->fd, "PING\r\n", 6, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (bench_now() < end) {
		if (poll(&pfd, 1, 300) != 1)
			return 0;
		n = recv(c->fd, buf, sizeof buf, MSG_DONTWAIT);
		if (n == 0 || (n == -1 && errno != EAGAIN))
			return 1;
		if (n >= 6 && memcmp(buf + n - 6, "PONG\r\n", 6) == 0)
			return 0;
	}
	return 0;
}

static void
close_stalled(struct conn *c)
{
	int i, closed = 0;

	for (i = 0; i < bench_o.stalled; i++) {
		closed += was_closed(&c[i]);
		conn_close(&c[i]);
		free(c[i].buf);
	}
	free(c);
	report_num("stalled", bench_o.stalled);
	report_num("stalled_closed", closed);
	report_line("stalled readers", "%d, of which the server closed %d",
	    bench_o.stalled, closed);
}

/* A second flow, at full speed, on subjects of its own. */
static void
second_flow(struct flow *f, const char *subject)
{
	flow_init(f);
	f->shape.subject = subject;
	f->rate = 0;
	f->pubs = 1;
	f->queue = f->pairs = 0;
	f->quiet = 1;
	f->first = 0;
}

static void
end_second_flow(struct flow *f)
{
	flow_stop(f);
	flow_wait(f);
	flow_join(f);
}

void
command_stall(void)
{
	static struct flow f, feed;
	static struct flow_result alone;
	static char apart[256];
	struct conn *stalled;

	flow_init(&f);
	alone = run_alone(&f);
	(void)snprintf(apart, sizeof apart, "%s-apart", bench_o.subject);
	stalled = open_stalled(bench_o.apart ? apart : bench_o.subject);
	if (bench_o.apart) {
		second_flow(&feed, apart);
		feed.subs = 0;
		feed.shape.size_min = feed.shape.size_max = 1024;
		feed.may_block = 1;
		flow_open(&feed);
		flow_start(&feed, FEED_BYTES / (feed.shape.size_min + 1) + 1,
		    0);
		f.shares_cpu = 1;
	}
	traffic_run(&f);
	traffic_report(&f, "beside_", " beside");
	compare(&alone, &f.res);
	report_line("longest pause", "alone %.1f ms, beside %.1f ms",
	    (double)alone.pause_ns / 1e6, (double)f.res.pause_ns / 1e6);
	if (bench_o.apart)
		flow_stop(&feed);
	close_stalled(stalled);
	if (bench_o.apart) {
		end_second_flow(&feed);
		flow_close(&feed);
	}
	flow_close(&f);
}

void
command_firehose(void)
{
	static struct flow paced, hose;
	static char subject[256];
	static struct flow_result alone;

	(void)by_default(&bench_o.rate, 1000);
	flow_init(&paced);
	alone = run_alone(&paced);
	(void)snprintf(subject, sizeof subject, "%s-hose", bench_o.subject);
	second_flow(&hose, subject);
	hose.subs = 1;
	flow_open(&hose);
	flow_start(&hose, 0, 0);
	paced.shares_cpu = 1;
	traffic_run(&paced);
	end_second_flow(&hose);
	traffic_report(&paced, "beside_", " beside");
	traffic_report(&hose, "hose_", " hose");
	report_num("lat_p99_times",
	    (double)hist_quantile(&paced.res.lat, 0.99) /
	    ((double)hist_quantile(&alone.lat, 0.99) + 1));
	flow_close(&hose);
	flow_close(&paced);
}
