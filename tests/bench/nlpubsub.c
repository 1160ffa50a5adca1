/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * natsload pubsub: senders at full speed, receivers that check everything.
 *
 * All messages of a run have the same length, so a sender owns a few batches
 * built before the start, and puts only a new number into each message before
 * it sends a batch again; a receiver steps from message to message without
 * looking for line ends.  A payload is: sender (4 bytes), subject (4), number
 * (8), a fixed pattern, and from 24 bytes on the number once more at the end.
 * A receiver compares the whole control line and the whole payload.
 */
#include <config.h>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nl.h"

#define STAMP 16
#define CTL_MAX 16384		/* what may be left over of other lines */
#define POLL_MAX 64

struct tx {
	struct nl_conn c;
	uint32_t id;
	uint64_t stamped;	/* messages put into batches so far */
	uint64_t target;
	char **pool;
	size_t npool, cur, off, len;
	int done;
};

struct rx {
	struct nl_conn c;
	uint32_t id;
	uint64_t *next;		/* per sender: number expected (or after) */
	char *left;
	size_t nleft;
	int pongs;
};

struct rx_thread {
	pthread_t tid;
	int ep;
	char *buf;
	size_t cap;
};

static struct tx *txs;
static struct rx *rxs;
static char *lines;		/* control lines as receivers see them */
static size_t line_len, msg_len, pub_len, pub_line_len, per_batch;
static char *pattern;
static uint8_t **seen;		/* queue: per sender and number */
static uint64_t expected;
static _Atomic uint64_t total;
static uint64_t end_ns;
static int done_fd = -1;

static const char *
sid_of(int subject)
{
	static _Thread_local char buf[16];

	if (nl_o.subjects == 1 || nl_o.wild || nl_o.pairs)
		return "1";
	snprintf(buf, sizeof buf, "%d", 1000000 + subject);
	return buf;
}

static int
msg_line(char *buf, size_t size, int subject)
{
	return snprintf(buf, size, "MSG b.%06d %s %d\r\n", subject,
	    sid_of(subject), nl_o.size);
}

static void
plan(void)
{
	char buf[128];
	int i, n;

	line_len = (size_t)msg_line(buf, sizeof buf, 0);
	msg_len = line_len + (size_t)nl_o.size + 2;
	lines = nl_alloc((size_t)nl_o.subjects * line_len + 1);
	for (i = 0; i < nl_o.subjects; i++) {
		msg_line(buf, sizeof buf, i);
		memcpy(lines + (size_t)i * line_len, buf, line_len);
	}
	n = snprintf(buf, sizeof buf, "PUB b.%06d %d\r\n", 0, nl_o.size);
	pub_line_len = nl_o.relay ? line_len : (size_t)n;
	pub_len = pub_line_len + (size_t)nl_o.size + 2;
	per_batch = nl_o.batch / pub_len;
	if (per_batch == 0)
		per_batch = 1;
	pattern = nl_alloc((size_t)nl_o.size);
	for (i = 0; i < nl_o.size; i++)
		pattern[i] = (char)('a' + (i * 7 + i / 26) % 26);
}

static void
tx_build(char *p, uint32_t id, uint32_t subject)
{
	char line[128];

	if (nl_o.relay)
		msg_line(line, sizeof line, (int)subject);
	else
		snprintf(line, sizeof line, "PUB b.%06u %d\r\n", subject,
		    nl_o.size);
	memcpy(p, line, pub_line_len);
	p += pub_line_len;
	memcpy(p, pattern, (size_t)nl_o.size);
	memcpy(p, &id, 4);
	memcpy(p + 4, &subject, 4);
	memcpy(p + nl_o.size, "\r\n", 2);
}

static void
tx_init(struct tx *t, uint32_t id)
{
	size_t i, j, want;
	uint32_t subject = 0;

	t->id = id;
	nl_open_tx(&t->c);
	nl_nonblock(t->c.fd);
	t->c.hold_pong = 1;
	want = nl_o.subjects > 1 && !nl_o.pairs ?
	    4 * (size_t)nl_o.subjects / per_batch + 1 : 1;
	t->npool = want;
	t->pool = nl_alloc(want * sizeof *t->pool);
	for (i = 0; i < want; i++) {
		t->pool[i] = nl_alloc(per_batch * pub_len);
		for (j = 0; j < per_batch; j++) {
			if (nl_o.pairs)
				subject = id;
			else if (nl_o.subjects > 1)
				subject = (uint32_t)(nl_rand() %
				    (uint64_t)nl_o.subjects);
			tx_build(t->pool[i] + j * pub_len, id, subject);
		}
	}
}

static void
rx_init(struct rx *r, uint32_t id)
{
	int i, from = 0, to = nl_o.subjects;

	r->id = id;
	r->next = nl_alloc((size_t)nl_o.pubs * sizeof *r->next);
	r->left = nl_alloc(msg_len + CTL_MAX);
	nl_open_rx(&r->c);
	if (nl_o.relay)
		return;
	if (nl_o.pairs) {
		from = (int)id;
		to = from + 1;
	}
	if (nl_o.wild)
		nl_sendf(r->c.fd, "SUB b.* 1\r\n");
	for (i = from; i < to && !nl_o.wild; i++)
		nl_sendf(r->c.fd, "SUB b.%06d %s%s\r\n", i,
		    nl_o.queue ? "q " : "", sid_of(i));
	nl_send(r->c.fd, "PING\r\n", 6);
	nl_pong(&r->c);
	if (r->c.have > CTL_MAX)
		nl_die("unknown bytes from the server");
	memcpy(r->left, r->c.buf, r->nleft = r->c.have);
	r->c.have = 0;
}

/* Puts the next messages' numbers into the next batch; 0 at the end. */
static int
tx_next(struct tx *t)
{
	size_t i, n = per_batch;
	uint64_t seq;
	char *p;

	if (t->stamped == t->target)
		return 0;
	if (n > t->target - t->stamped)
		n = t->target - t->stamped;
	t->cur = (t->cur + 1) % t->npool;
	p = t->pool[t->cur] + pub_line_len;
	for (i = 0; i < n; i++, p += pub_len) {
		seq = t->stamped + i;
		memcpy(p + 8, &seq, 8);
		if (nl_o.size >= 24)
			memcpy(p + nl_o.size - 8, &seq, 8);
	}
	t->stamped += n;
	t->off = 0;
	t->len = n * pub_len;
	return 1;
}

/* Sends until the socket is full or all is out. */
static void
tx_push(struct tx *t)
{
	ssize_t n;

	for (;;) {
		if (t->off == t->len && t->c.owes_pong) {
			nl_send(t->c.fd, "PONG\r\n", 6);
			t->c.owes_pong = 0;
		}
		if (t->off == t->len && !tx_next(t)) {
			t->done = 1;
			t->off = t->len = 0;
			return;
		}
		n = send(t->c.fd, t->pool[t->cur] + t->off, t->len - t->off,
		    MSG_NOSIGNAL);
		if (n == -1 && errno == EAGAIN)
			return;
		if (n == -1)
			nl_die("send: %s", strerror(errno));
		t->off += (size_t)n;
	}
}

static void
tx_listen(struct tx *t)
{
	int pongs = 0;
	size_t n;

	if (nl_fill(&t->c) == 0)
		return;
	while (t->c.have && (n = nl_control(&t->c, t->c.buf, t->c.have,
	    &pongs)) != 0) {
		t->c.have -= n;
		memmove(t->c.buf, t->c.buf + n, t->c.have);
	}
}

/* Without receivers the run ends when the server has taken everything. */
static void
tx_barrier(struct tx *t)
{
	char c;

	if (nl_o.subs > 0)
		return;
	if (nl_o.relay) {
		shutdown(t->c.fd, SHUT_WR);
		if (poll(&(struct pollfd){ t->c.fd, POLLIN, 0 }, 1,
		    (int)(nl_o.timeout * 1e3)) != 1 ||
		    recv(t->c.fd, &c, 1, 0) != 0)
			nl_die("relay did not take everything");
		close(t->c.fd);
		nl_open_tx(&t->c);
		nl_nonblock(t->c.fd);
		return;
	}
	nl_send(t->c.fd, "PING\r\n", 6);
	nl_pong(&t->c);
}

static void *
tx_run(void *arg)
{
	struct pollfd pfd[POLL_MAX];
	struct tx *of[POLL_MAX], *t;
	int first = (int)(intptr_t)arg, i, n;

	for (;;) {
		n = 0;
		for (i = first; i < nl_o.pubs; i += nl_o.sthreads) {
			t = &txs[i];
			if (!t->done)
				tx_push(t);
			if (!t->done && n < POLL_MAX) {
				of[n] = t;
				pfd[n].fd = t->c.fd;
				pfd[n++].events = POLLIN | POLLOUT;
			}
		}
		if (n == 0)
			break;
		if (poll(pfd, (nfds_t)n, (int)(nl_o.timeout * 1e3)) == 0)
			nl_die("the server takes nothing more");
		for (i = 0; i < n; i++)
			if (pfd[i].revents & (POLLIN | POLLERR | POLLHUP))
				tx_listen(of[i]);
	}
	for (i = first; i < nl_o.pubs; i += nl_o.sthreads)
		tx_barrier(&txs[i]);
	return NULL;
}

static void
rx_order(struct rx *r, uint32_t pub, uint64_t seq)
{
	uint64_t next = r->next[pub];

	if (!nl_o.queue) {
		if (seq != next)
			nl_die("receiver %u, sender %u: message %llu came "
			    "in place of %llu", r->id, pub,
			    (unsigned long long)seq, (unsigned long long)next);
	} else {
		if (seq < next)
			nl_die("queue member %u, sender %u: message %llu "
			    "came after %llu", r->id, pub,
			    (unsigned long long)seq,
			    (unsigned long long)next - 1);
		if (seq >= nl_o.msgs + nl_o.warm || seen[pub][seq]++)
			nl_die("sender %u: message %llu came twice", pub,
			    (unsigned long long)seq);
	}
	r->next[pub] = seq + 1;
}

/* One whole message: 1 good, 0 something else than a message. */
static int
rx_message(struct rx *r, const char *p)
{
	const char *pay = p + line_len;
	uint32_t pub, subject;
	uint64_t seq, tail;

	memcpy(&pub, pay, 4);
	memcpy(&subject, pay + 4, 4);
	memcpy(&seq, pay + 8, 8);
	if (p[0] != 'M')
		return 0;
	if (pub >= (uint32_t)nl_o.pubs || subject >= (uint32_t)nl_o.subjects ||
	    memcmp(p, lines + subject * line_len, line_len) != 0 ||
	    memcmp(pay + nl_o.size, "\r\n", 2) != 0)
		nl_die("damaged message: %.40s", p);
	if (nl_o.size >= 24) {
		memcpy(&tail, pay + nl_o.size - 8, 8);
		if (tail != seq || memcmp(pay + STAMP, pattern + STAMP,
		    (size_t)nl_o.size - STAMP - 8) != 0)
			nl_die("damaged payload in message %llu",
			    (unsigned long long)seq);
	}
	rx_order(r, pub, seq);
	return 1;
}

/* Takes all complete messages and lines; returns the bytes used up. */
static size_t
rx_scan(struct rx *r, const char *buf, size_t len, uint64_t *count)
{
	size_t pos = 0, n;

	while (pos < len) {
		if (len - pos >= msg_len && rx_message(r, buf + pos)) {
			pos += msg_len;
			(*count)++;
			continue;
		}
		if (buf[pos] == 'M')
			break;
		if ((n = nl_control(&r->c, buf + pos, len - pos,
		    &r->pongs)) == 0)
			break;
		pos += n;
	}
	return pos;
}

static void
rx_read(struct rx_thread *t, struct rx *r)
{
	uint64_t count = 0, sum;
	size_t have, used;
	ssize_t n;

	memcpy(t->buf, r->left, r->nleft);
	n = recv(r->c.fd, t->buf + r->nleft, t->cap - r->nleft, MSG_DONTWAIT);
	if (n == -1 && errno == EAGAIN)
		return;
	if (n <= 0)
		nl_die("receiver %u: %s", r->id, n ? strerror(errno) :
		    "closed by the server (slow consumer?)");
	have = r->nleft + (size_t)n;
	used = rx_scan(r, t->buf, have, &count);
	r->nleft = have - used;
	if (r->nleft > msg_len + CTL_MAX)
		nl_die("receiver %u: unknown bytes", r->id);
	memcpy(r->left, t->buf + used, r->nleft);
	if (count == 0)
		return;
	sum = atomic_fetch_add(&total, count) + count;
	if (sum > expected)
		nl_die("more messages than were sent");
	if (sum == expected) {
		end_ns = nl_now();
		eventfd_write(done_fd, 1);
	}
}

static void *
rx_run(void *arg)
{
	struct rx_thread *t = arg;
	struct epoll_event ev[64];
	uint64_t last = 0;
	int n, i;

	for (;;) {
		n = epoll_wait(t->ep, ev, 64, (int)(nl_o.timeout * 1e3));
		if (n == 0 && last == total)
			nl_die("%llu of %llu messages are missing",
			    (unsigned long long)(expected - total),
			    (unsigned long long)expected);
		if (n == 0)
			last = total;
		for (i = 0; i < n; i++) {
			if (ev[i].data.ptr == NULL)
				return NULL;
			rx_read(t, ev[i].data.ptr);
			if (nl_o.lag_us)
				nl_sleep(nl_o.lag_us / 1e6);
		}
	}
}

static void
rx_start(struct rx_thread *t, int first)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int i;

	if ((t->ep = epoll_create1(EPOLL_CLOEXEC)) == -1)
		nl_die("epoll_create1: %s", strerror(errno));
	t->cap = 4 * msg_len > 131072 ? 4 * msg_len : 131072;
	t->cap += CTL_MAX;
	t->buf = nl_alloc(t->cap);
	epoll_ctl(t->ep, EPOLL_CTL_ADD, done_fd, &ev);
	for (i = first; i < nl_o.subs; i += nl_o.rthreads) {
		ev.data.ptr = &rxs[i];
		epoll_ctl(t->ep, EPOLL_CTL_ADD, rxs[i].c.fd, &ev);
	}
	if (pthread_create(&t->tid, NULL, rx_run, t) != 0)
		nl_die("no thread");
}

/* Sends that many messages per sender; returns the seconds it took. */
static double
phase(uint64_t msgs)
{
	struct rx_thread *rt;
	pthread_t *st;
	uint64_t start, copies;
	int i;

	copies = nl_o.queue || nl_o.pairs ? 1 : (uint64_t)nl_o.subs;
	if (nl_o.subs == 0)
		copies = 0;
	expected += msgs * (uint64_t)nl_o.pubs * copies;
	done_fd = eventfd(0, EFD_CLOEXEC);
	rt = nl_alloc((size_t)nl_o.rthreads * sizeof *rt);
	st = nl_alloc((size_t)nl_o.sthreads * sizeof *st);
	for (i = 0; i < nl_o.rthreads && nl_o.subs > 0; i++)
		rx_start(&rt[i], i);
	for (i = 0; i < nl_o.pubs; i++) {
		txs[i].target += msgs;
		txs[i].done = 0;
	}
	start = nl_now();
	for (i = 0; i < nl_o.sthreads; i++)
		if (pthread_create(&st[i], NULL, tx_run,
		    (void *)(intptr_t)i) != 0)
			nl_die("no thread");
	for (i = 0; i < nl_o.sthreads; i++)
		pthread_join(st[i], NULL);
	if (nl_o.subs == 0)
		end_ns = nl_now();
	for (i = 0; i < nl_o.rthreads && nl_o.subs > 0; i++) {
		pthread_join(rt[i].tid, NULL);
		close(rt[i].ep);
		free(rt[i].buf);
	}
	close(done_fd);
	free(rt);
	free(st);
	return (double)(end_ns - start) / 1e9;
}

/* Nothing may follow the last message but the answer to a PING. */
static void
rx_finish(struct rx *r)
{
	char c;

	if (r->nleft > 0)
		nl_die("receiver %u: bytes behind the last message", r->id);
	if (!nl_o.relay) {
		nl_send(r->c.fd, "PING\r\n", 6);
		nl_pong(&r->c);
	} else if (recv(r->c.fd, &c, 1, MSG_DONTWAIT) != -1)
		nl_die("receiver %u: bytes behind the last message", r->id);
}

static double
own_cpu(void)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	return (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
	    (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6;
}

static void
report(double secs, double cpu, double own)
{
	double n;

	n = (double)nl_o.msgs * nl_o.pubs;
	if (nl_o.subs > 0 && !nl_o.queue && !nl_o.pairs)
		n *= nl_o.subs;
	nl_out_num("messages", n);
	nl_out_num("seconds", secs);
	nl_out_num("msgs_per_s", n / secs);
	nl_out_num("cpu_s", cpu);
	nl_out_num("cpu_ns", cpu * 1e9 / n);
	nl_out_num("own_cpu_ns", own * 1e9 / n);
	if (nl_o.subs > 0)
		nl_out_num("rx_worker", rxs[0].c.worker);
	nl_out_num("tx_worker", txs[0].c.worker);
}

void
nl_pubsub(void)
{
	double cpu, own, secs;
	int i;

	if (nl_o.pairs)
		nl_o.subjects = nl_o.subs = nl_o.pubs;
	plan();
	txs = nl_alloc((size_t)nl_o.pubs * sizeof *txs);
	rxs = nl_alloc((size_t)nl_o.subs * sizeof *rxs);
	seen = nl_alloc((size_t)nl_o.pubs * sizeof *seen);
	for (i = 0; i < nl_o.pubs; i++)
		seen[i] = nl_alloc(nl_o.queue ? nl_o.msgs + nl_o.warm : 1);
	for (i = 0; i < nl_o.subs; i++)
		rx_init(&rxs[i], (uint32_t)i);
	for (i = 0; i < nl_o.pubs; i++)
		tx_init(&txs[i], (uint32_t)i);
	nl_close_spare();
	if (nl_o.warm)
		phase(nl_o.warm);
	cpu = nl_tree_cpu();
	own = own_cpu();
	secs = phase(nl_o.msgs);
	own = own_cpu() - own;
	nl_sleep(0.02);
	cpu = nl_tree_cpu() - cpu;
	for (i = 0; i < nl_o.subs; i++)
		rx_finish(&rxs[i]);
	report(secs, cpu, own);
}
