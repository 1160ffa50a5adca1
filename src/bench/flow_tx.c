/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * natsbench: publishers.
 *
 * A thread with one publisher uses blocking writes: one system call for each
 * block, where poll() would be a second one.  What the server says to
 * publishers is read by the watch thread.
 */
#include <config.h>

#include <sys/prctl.h>
#include <sys/socket.h>

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/flow_priv.h"

#define BLOCKS_RANDOM 16 /* at least, if sizes or subjects are random */
#define BLOCKS_MAX 4096

static uint32_t
count_blocks(const struct flow *f, const struct flow_tx *t)
{
	uint64_t want = 1;

	if (!f->shape.fixed)
		want = BLOCKS_RANDOM;
	if (f->shape.subjects > 1 && !f->pairs)
		want = 4 * (uint64_t)f->shape.subjects / t->blocks[0].n +
		    BLOCKS_RANDOM;
	return want < BLOCKS_MAX ? (uint32_t)want : BLOCKS_MAX;
}

static void
open_conn(struct flow_tx *t)
{
	conn_open_pub(&t->c);
	conn_timeouts(t->c.fd);
	t->c.defers_pong = 1;
	conn_watch(&t->c);
}

void
flow_tx_open(struct flow *f, struct flow_tx *t, uint32_t id)
{
	int only = f->pairs ? (int)id : f->shape.subjects == 1 ? 0 : -1;
	uint32_t i;

	t->f = f;
	t->id = id;
	open_conn(t);
	t->blocks = bench_alloc(BLOCKS_MAX * sizeof *t->blocks);
	shape_block_init(&f->shape, &t->blocks[0], f->block, only);
	t->nblocks = count_blocks(f, t);
	for (i = 1; i < t->nblocks; i++)
		shape_block_init(&f->shape, &t->blocks[i], f->block, only);
}

void
flow_tx_close(struct flow_tx *t)
{
	uint32_t i;

	conn_close_watched(&t->c);
	for (i = 0; i < t->nblocks; i++)
		shape_block_fini(&t->blocks[i]);
	free(t->blocks);
	free(t->c.buf);
}

/* Puts the next messages' stamps into the next block; 0 at the end. */
static int
tx_next(struct flow_tx *t)
{
	uint64_t seq = atomic_load_explicit(&t->seq, memory_order_relaxed);
	struct shape_block *b;
	uint64_t n;

	if (seq == t->target ||
	    atomic_load_explicit(&t->f->stop, memory_order_relaxed))
		return 0;
	t->cur = t->cur + 1 == t->nblocks ? 0 : t->cur + 1;
	b = &t->blocks[t->cur];
	n = b->n < t->target - seq ? b->n : t->target - seq;
	shape_stamp_block(&t->f->shape, b, 0, (uint32_t)n,
	    (uint32_t)t->f->first + t->id, seq);
	atomic_store_explicit(&t->seq, seq + n, memory_order_relaxed);
	t->off = 0;
	t->len = b->end[n - 1];
	return 1;
}

/* Between two blocks: what the server waits for. */
static void
answer_ping(struct flow_tx *t)
{
	if (!atomic_load_explicit(&t->c.owes_pong, memory_order_relaxed))
		return;
	atomic_store(&t->c.owes_pong, 0);
	conn_send(t->c.fd, "PONG\r\n", 6);
}

static void
sent_or_die(const struct flow_tx *t, ssize_t n)
{
	if (n != -1 || errno == EAGAIN || errno == EINTR)
		return;
	/* If the server has said why, the watch thread ends us with that. */
	bench_sleep(0.1);
	bench_die("the server closed the connection of publisher %u (%s)",
	    t->id, strerror(errno));
}

/* The one publisher of a thread. */
static void
run_one(struct flow_tx *t)
{
	uint64_t last;
	ssize_t n;

	while (tx_next(t)) {
		last = 0;
		while (t->off < t->len) {
			n = send(t->c.fd, t->blocks[t->cur].data + t->off,
			    t->len - t->off, MSG_NOSIGNAL);
			if (n > 0) {
				t->off += (size_t)n;
				last = 0;
				continue;
			}
			sent_or_die(t, n);
			if (last == 0)
				last = bench_now();
			if (!t->f->may_block &&
			    (double)(bench_now() - last) / 1e9 >
			    bench_o.timeout)
				bench_die("the server takes nothing more");
		}
		answer_ping(t);
	}
}

/* One write of a publisher among several; 0: it has no room now. */
static int
push(struct flow_tx *t)
{
	ssize_t n;

	if (t->off == t->len) {
		answer_ping(t);
		if (!tx_next(t)) {
			t->off = t->len = 0;
			t->done = 1;
			return 0;
		}
	}
	n = send(t->c.fd, t->blocks[t->cur].data + t->off, t->len - t->off,
	    MSG_NOSIGNAL | MSG_DONTWAIT);
	sent_or_die(t, n);
	if (n > 0)
		t->off += (size_t)n;
	return t->off == t->len;
}

static void
run_many(struct flow_tx_thread *th)
{
	struct flow *f = th->f;
	struct pollfd *pfd;
	int i, n, ready = 0;

	pfd = bench_alloc((size_t)f->pubs * sizeof *pfd);
	for (;;) {
		n = 0;
		ready = 0;
		for (i = th->first; i < f->pubs; i += f->ntt) {
			if (!f->txs[i].done && push(&f->txs[i]))
				ready = 1;
			if (f->txs[i].done)
				continue;
			pfd[n].fd = f->txs[i].c.fd;
			pfd[n++].events = POLLOUT;
		}
		if (n == 0)
			break;
		if (!ready && poll(pfd, (nfds_t)n,
		    (int)(bench_o.timeout * 1e3)) == 0)
			bench_die("the server takes nothing more");
	}
	free(pfd);
}

/* Without subscribers the run ends when the server has taken everything.  The
 * relay reads no PING among messages; it answers the end of the stream. */
static void
barrier(struct flow_tx *t)
{
	if (t->f->subs > 0 || t->f->may_block)
		return;
	if (!t->f->shape.relay) {
		conn_send(t->c.fd, "PING\r\n", 6);
		conn_await_watched(&t->c, ++t->pings);
		return;
	}
	t->c.may_close = 1;
	(void)shutdown(t->c.fd, SHUT_WR);
	conn_await_watched(&t->c, ++t->pings);
	conn_close_watched(&t->c);
	open_conn(t);
}

void *
flow_tx_run(void *arg)
{
	struct flow_tx_thread *th = arg;
	struct flow *f = th->f;
	int i;

	if (th->first + f->ntt >= f->pubs)
		run_one(&f->txs[th->first]);
	else
		run_many(th);
	for (i = th->first; i < f->pubs; i += f->ntt)
		barrier(&f->txs[i]);
	th->cpu = bench_thread_cpu();
	atomic_fetch_add(&f->sent, 1);
	return NULL;
}

/* Sends all of it; whether the server had no room for a while. */
static int
send_paced(struct flow_tx *t, const char *p, size_t len)
{
	ssize_t n;

	n = send(t->c.fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	sent_or_die(t, n);
	if (n == (ssize_t)len)
		return 0;
	if (n < 0)
		n = 0;
	conn_send(t->c.fd, p + n, len - (size_t)n);
	return 1;
}

/* Sends one message; 1: the server had no room for a while. */
static int
paced_one(struct flow_tx *t, uint64_t sent_at)
{
	struct flow *f = t->f;
	struct shape_block *b = &t->blocks[t->cur];
	uint64_t seq = atomic_load_explicit(&t->seq, memory_order_relaxed);
	uint32_t from;

	if (t->at == b->n) {
		t->at = 0;
		t->cur = t->cur + 1 == t->nblocks ? 0 : t->cur + 1;
		b = &t->blocks[t->cur];
	}
	shape_stamp_block(&f->shape, b, t->at, 1, (uint32_t)f->first + t->id,
	    seq);
	from = t->at == 0 ? 0 : b->end[t->at - 1];
	__atomic_store_n(&f->sent_at[t->id][seq & f->sent_mask], sent_at,
	    __ATOMIC_RELEASE);
	atomic_store_explicit(&t->seq, seq + 1, memory_order_relaxed);
	answer_ping(t);
	return send_paced(t, b->data + from, b->end[t->at++] - from);
}

/*
 * One thread sends for all publishers in turn.  A message's time is that just
 * before its write; if it was due while the server took nothing, it is the
 * time when it was due, or a server that stops would hide its delays.
 */
void *
flow_tx_paced(void *arg)
{
	struct flow_tx_thread *th = arg;
	struct flow *f = th->f;
	uint64_t start, due, now, held = 0, late = 0, k;
	uint64_t most = f->msgs * (uint64_t)f->pubs;

	(void)prctl(PR_SET_TIMERSLACK, 1);
	start = bench_now() + 1000000;
	for (k = 0; most == 0 || k < most; k++) {
		due = start + (uint64_t)((double)k * 1e9 / (double)f->rate);
		if (atomic_load(&f->stop) || (f->secs > 0 &&
		    (double)(due - start) / 1e9 >= f->secs))
			break;
		now = bench_now();
		if (due > now) {
			bench_sleep_until(due);
			now = bench_now();
		}
		if (now - due > late)
			late = now - due;
		if (paced_one(&f->txs[k % (uint64_t)f->pubs],
		    due < held ? due : now))
			held = bench_now();
	}
	atomic_store(&f->late_ns, late);
	th->cpu = bench_thread_cpu();
	atomic_fetch_add(&f->sent, 1);
	return NULL;
}
