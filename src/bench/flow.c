/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * natsbench: a flow from publishers to subscribers, its threads and its end.
 */
#include <config.h>

#include <stdatomic.h>
#include <stdlib.h>

#include "bench/bench.h"
#include "bench/flow_priv.h"
#include "bench/proc.h"
#include "bench/report.h"

#define LOOK_NS 1000000		/* the main thread looks after that */
#define SHOW_NS 100000000	/* ... and shows it */
#define SENT_AT (UINT64_C(1) << 20)
#define ULL unsigned long long

void
flow_init(struct flow *f)
{
	struct flow zero = { .pubs = bench_o.pubs };

	*f = zero;
	f->subs = bench_o.subs;
	f->queue = bench_o.queue;
	f->pairs = bench_o.pairs;
	f->wildcard = bench_o.wildcard;
	f->check = !bench_o.no_check;
	f->first = bench_o.first;
	f->send_threads = bench_o.send_threads;
	f->receive_threads = bench_o.receive_threads;
	f->block = bench_o.block;
	f->rate = bench_o.rate;
	f->shape.subject = bench_o.subject;
	f->shape.subjects = bench_o.subjects;
	f->shape.size_min = bench_o.size_min;
	f->shape.size_max = bench_o.size_max;
	f->shape.headers = bench_o.headers;
	f->shape.relay = bench_o.relay;
}

static void
open_subscribers(struct flow *f)
{
	int i;

	f->rxs = bench_alloc((size_t)f->subs * sizeof *f->rxs);
	for (i = 0; i < f->subs; i++)
		flow_rx_open(f, &f->rxs[i], (uint32_t)i);
	for (i = 0; i < f->subs && f->txs != NULL; i++)
		(void)conn_await_pong(&f->rxs[i].c);
}

static void
check_server(const struct flow *f)
{
	if (conn_server.max_payload > 0 &&
	    f->shape.size_max + 4096 * (f->shape.headers > 0) >
	    conn_server.max_payload)
		bench_die("the server takes %llu bytes in a message "
		    "at most", (ULL)conn_server.max_payload);
	if (f->shape.headers > 0 && !conn_server.headers && !f->shape.relay)
		bench_die("the server does not take headers");
}

void
flow_open(struct flow *f)
{
	int others = f->pubs == 0; /* publish: natsbench sub */
	int i;

	if (others)
		f->pubs = SHAPE_PUBS_MAX / 100;
	else
		f->txs = bench_alloc((size_t)f->pubs * sizeof *f->txs);
	if (f->pairs) {
		f->subs = f->shape.subjects = f->pubs;
		f->wildcard = 0;
	}
	f->shape.one_sid = f->pairs || f->wildcard;
	shape_init(&f->shape);
	open_subscribers(f);
	for (i = 0; i < f->pubs && !others; i++)
		flow_tx_open(f, &f->txs[i], (uint32_t)i);
	conn_close_spare();
	check_server(f);
	if (f->rate == 0 || others)
		return;
	f->sent_mask = SENT_AT / (f->pubs > 8 ? 8 : 1) - 1;
	f->sent_at = bench_alloc((size_t)f->pubs * sizeof *f->sent_at);
	for (i = 0; i < f->pubs; i++)
		f->sent_at[i] = bench_alloc((f->sent_mask + 1) *
		    sizeof **f->sent_at);
}

static void
start_receiving(struct flow *f)
{
	int i;

	f->nrt = f->receive_threads < f->subs ? f->receive_threads : f->subs;
	f->rt = bench_alloc((size_t)f->nrt * sizeof *f->rt);
	for (i = 0; i < f->nrt; i++) {
		f->rt[i].f = f;
		f->rt[i].first = i;
		flow_rx_prepare(&f->rt[i]);
		if (pthread_create(&f->rt[i].tid, NULL, flow_rx_run,
		    &f->rt[i]) != 0)
			bench_die("cannot create a thread");
	}
}

static void
start_sending(struct flow *f)
{
	int i;

	if (f->txs == NULL)
		return;
	f->ntt = f->send_threads < f->pubs ? f->send_threads : f->pubs;
	if (f->rate > 0)
		f->ntt = 1;
	f->tt = bench_alloc((size_t)f->ntt * sizeof *f->tt);
	for (i = 0; i < f->pubs; i++) {
		struct flow_tx *t = &f->txs[i];

		t->seq0 = atomic_load(&t->seq);
		t->target = f->msgs > 0 ? t->seq0 + f->msgs : SHAPE_SEQ_MAX;
		t->done = 0;
	}
	for (i = 0; i < f->ntt; i++) {
		f->tt[i].f = f;
		f->tt[i].first = i;
		if (pthread_create(&f->tt[i].tid, NULL,
		    f->rate > 0 ? flow_tx_paced : flow_tx_run,
		    &f->tt[i]) != 0)
			bench_die("cannot create a thread");
	}
}

void
flow_start(struct flow *f, uint64_t msgs, double secs)
{
	f->msgs = msgs;
	f->secs = secs;
	f->end_ns = 0;
	atomic_store(&f->stop, 0);
	atomic_store(&f->sent, 0);
	f->cpu0 = proc_cpu();
	f->own0 = bench_own_cpu();
	f->start_ns = bench_now();
	start_receiving(f);
	start_sending(f);
}

void
flow_stop(struct flow *f)
{
	atomic_store(&f->stop, 1);
}

static uint64_t
published(const struct flow *f)
{
	uint64_t sum = 0;
	int i;

	for (i = 0; i < f->pubs && f->txs != NULL; i++)
		sum += atomic_load_explicit(&f->txs[i].seq,
		    memory_order_relaxed) - f->txs[i].seq0;
	return sum;
}

uint64_t
flow_delivered(const struct flow *f)
{
	uint64_t sum = 0;
	int i;

	if (f->subs == 0)
		return published(f);
	for (i = 0; i < f->nrt; i++)
		sum += atomic_load_explicit(&f->rt[i].delivered,
		    memory_order_acquire);
	return sum;
}

static uint64_t
copies(const struct flow *f)
{
	return f->subs == 0 || f->queue || f->pairs ? 1 : (uint64_t)f->subs;
}

static void
show(const struct flow *f, uint64_t now, uint64_t delivered)
{
	double secs = (double)(now - f->start_ns) / 1e9, part = -1;

	if (f->quiet)
		return;
	if (f->secs > 0)
		part = secs / f->secs;
	if (f->msgs > 0 && f->txs != NULL)
		part = (double)published(f) /
		    (double)(f->msgs * (uint64_t)f->pubs);
	else if (f->msgs > 0)
		part = (double)delivered /
		    (double)(f->msgs * (uint64_t)f->subs);
	report_progress(part, (double)delivered / secs, "msgs");
}

/* Whether everything has come; ends the program if it never will. */
static int
complete(struct flow *f, uint64_t delivered)
{
	uint64_t expected;

	if (f->txs == NULL) {
		if (f->msgs > 0 && delivered >= f->msgs * (uint64_t)f->subs)
			return 1;
		return atomic_load(&f->stop);
	}
	if (atomic_load(&f->sent) < f->ntt)
		return 0;
	expected = published(f) * copies(f);
	if (delivered > expected)
		bench_die("%llu messages came, %llu too many",
		    (ULL)delivered, (ULL)(delivered - expected));
	return delivered == expected;
}

static void
give_up(const struct flow *f, uint64_t delivered)
{
	uint64_t expected = published(f) * copies(f);

	if (f->txs == NULL)
		bench_die("%llu of %llu messages came, then none for %g s",
		    (ULL)delivered, (ULL)(f->msgs * (uint64_t)f->subs),
		    bench_o.timeout);
	bench_die("%llu of %llu messages are missing (none came for %g s)",
	    (ULL)(expected - delivered), (ULL)expected, bench_o.timeout);
}

int
flow_wait_until(struct flow *f, uint64_t until)
{
	uint64_t now, delivered, last = 0, moved, shown = 0;

	if (f->end_ns != 0)
		return 1;
	moved = bench_now();
	for (;;) {
		now = bench_now();
		delivered = flow_delivered(f);
		if (complete(f, delivered))
			break;
		if (now >= until)
			return 0;
		if (bench_interrupted() || (f->secs > 0 &&
		    (double)(now - f->start_ns) / 1e9 >= f->secs))
			flow_stop(f);
		if (delivered != last || (f->txs != NULL &&
		    atomic_load(&f->sent) < f->ntt) ||
		    (f->txs == NULL && delivered == 0)) {
			last = delivered;
			moved = now;
		}
		if ((double)(now - moved) / 1e9 > bench_o.timeout)
			give_up(f, delivered);
		if (now - shown > SHOW_NS) {
			show(f, now, delivered);
			shown = now;
		}
		bench_sleep_until(now + LOOK_NS);
	}
	f->end_ns = bench_now();
	f->res.server_cpu = proc_cpu() - f->cpu0;
	f->res.own_cpu = bench_own_cpu() - f->own0;
	return 1;
}

void
flow_wait(struct flow *f)
{
	(void)flow_wait_until(f, UINT64_MAX);
}

/* Of a queue's messages each must have come once, to one member. */
static void
check_queue(const struct flow *f)
{
	uint64_t sum, want, got, i;
	int p, s;

	for (p = 0; p < f->pubs && f->txs != NULL; p++) {
		uint64_t n = atomic_load(&f->txs[p].seq);

		sum = want = got = 0;
		for (s = 0; s < f->subs; s++)
			sum += f->rxs[s].sum[p];
		for (i = 0; i < n; i++)
			want += flow_mix(i);
		if (sum != want)
			bench_die("queue, publisher %d: some messages came to "
			    "several members, others to none", p);
	}
}

static void
join_receivers(struct flow *f, uint64_t *first, uint64_t *last)
{
	struct flow_result *res = &f->res;
	int i;

	for (i = 0; i < f->subs; i++)
		conn_send(f->rxs[i].c.fd, "PING\r\n", 6);
	for (i = 0; i < f->nrt; i++) {
		struct flow_rx_thread *t = &f->rt[i];

		(void)pthread_join(t->tid, NULL);
		res->receive_cpu += t->cpu;
		res->bytes += t->payload;
		if (t->pause_ns > res->pause_ns)
			res->pause_ns = t->pause_ns;
		if (t->first_ns != 0 && (*first == 0 || t->first_ns < *first))
			*first = t->first_ns;
		if (t->last_ns > *last)
			*last = t->last_ns;
		if (t->lat != NULL)
			hist_merge(&res->lat, t->lat);
	}
}

/* What came between the end of the wait and the PONGs. */
static void
check_surplus(const struct flow *f)
{
	uint64_t delivered = flow_delivered(f), expected;
	int i;

	if (f->txs == NULL)
		return;
	expected = published(f) * copies(f);
	if (delivered != expected)
		bench_die("%llu messages came, %llu too many", (ULL)delivered,
		    (ULL)(delivered - expected));
	for (i = 0; i < f->subs; i++)
		if (f->rxs[i].c.have > 0 || f->rxs[i].in_payload)
			bench_die("subscriber %d: bytes behind the last "
			    "message", i);
	if (f->queue && f->check)
		check_queue(f);
}

void
flow_join(struct flow *f)
{
	struct flow_result *res = &f->res, zero = { 0 };
	double server = res->server_cpu, own = res->own_cpu;
	uint64_t first = 0, last = 0;
	int i;

	*res = zero;
	res->server_cpu = server;
	res->own_cpu = own;
	for (i = 0; i < f->ntt; i++) {
		(void)pthread_join(f->tt[i].tid, NULL);
		res->send_cpu += f->tt[i].cpu;
	}
	join_receivers(f, &first, &last);
	check_surplus(f);
	if (f->subs == 0)
		last = f->end_ns;
	if (f->txs != NULL)
		first = f->start_ns;
	res->secs = last > first ? (double)(last - first) / 1e9 : 0;
	res->published = published(f);
	res->delivered = flow_delivered(f);
	res->late_ns = atomic_load(&f->late_ns);
	if (f->subs == 0)
		res->bytes = res->published * f->shape.size_min;
	for (i = 0; i < f->nrt; i++)
		flow_rx_release(&f->rt[i]);
	free(f->rt);
	free(f->tt);
	f->rt = NULL;
	f->tt = NULL;
	f->nrt = f->ntt = 0;
	f->runs++;
	report_progress_end();
}

void
flow_close(struct flow *f)
{
	int i;

	for (i = 0; i < f->subs; i++)
		flow_rx_close(&f->rxs[i]);
	for (i = 0; i < f->pubs && f->txs != NULL; i++) {
		flow_tx_close(&f->txs[i]);
		if (f->sent_at != NULL)
			free(f->sent_at[i]);
	}
	shape_fini(&f->shape);
}
