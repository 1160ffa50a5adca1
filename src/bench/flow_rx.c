/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * natsbench: subscribers.
 *
 * A thread reads much at a time into one buffer, which stays in the CPU's
 * cache, and checks the messages where they lie.  Of a short message that has
 * come in part only, this part waits in its connection's buffer; a long one's
 * payload is checked piece by piece.
 */
#include <config.h>

#include <sys/epoll.h>
#include <sys/socket.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/flow_priv.h"

#define READ_BYTES 262144
#define PIECEWISE 4096	/* payloads above are checked piece by piece */
#define LINE_MAX_BYTES 4608
#define ULL unsigned long long

void
flow_rx_open(struct flow *f, struct flow_rx *r, uint32_t id)
{
	int from = f->pairs ? (int)id : 0, i;
	char *text;

	r->f = f;
	r->id = id;
	r->next = bench_alloc((size_t)f->pubs * sizeof *r->next);
	if (f->queue)
		r->sum = bench_alloc((size_t)f->pubs * sizeof *r->sum);
	if (f->txs == NULL) /* others publish, since we do not know when */
		for (i = 0; i < f->pubs; i++)
			r->next[i] = FLOW_UNSEEN;
	conn_open_sub(&r->c);
	text = shape_sub(&f->shape, from,
	    f->pairs ? from + 1 : f->shape.subjects, f->wildcard,
	    f->queue ? "natsbench" : "");
	conn_send(r->c.fd, text, strlen(text));
	free(text);
	conn_send(r->c.fd, "PING\r\n", 6);
}

void
flow_rx_close(struct flow_rx *r)
{
	conn_close(&r->c);
	free(r->next);
	free(r->sum);
	free(r->c.buf);
}

uint64_t
flow_mix(uint64_t seq)
{
	seq = (seq + 1) * UINT64_C(0xff51afd7ed558ccd);
	return (seq ^ seq >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
}

static void
wrong_order(const struct flow_rx *r, uint32_t pub, uint64_t seq)
{
	ULL got = seq, due = r->next[pub];
	const char *who = r->f->queue ? "queue member" : "subscriber";

	if (got > due)
		bench_die("%s %u, publisher %u: message %llu came in place of "
		    "%llu: lost or out of order", who, r->id, pub, got, due);
	bench_die("%s %u, publisher %u: message %llu came again or too late, "
	    "%llu was due", who, r->id, pub, got, due);
}

static inline void
check_order(struct flow_rx *r, uint32_t pub, uint64_t seq)
{
	uint64_t next = r->next[pub];

	if (r->f->queue) {
		if (seq < next)
			wrong_order(r, pub, seq);
		r->sum[pub] += flow_mix(seq);
	} else if (seq != next && next != FLOW_UNSEEN &&
	    (r->f->txs != NULL || seq != 0))
		wrong_order(r, pub, seq);
	r->next[pub] = seq + 1;
}

/* A whole message has come. */
static inline void
take(struct flow_rx_thread *t, struct flow_rx *r, size_t size)
{
	r->got++;
	t->count++;
	t->payload += size;
}

static inline void
take_time(struct flow_rx_thread *t, uint32_t pub, uint64_t seq)
{
	struct flow *f = t->f;
	uint64_t at;

	at = __atomic_load_n(&f->sent_at[pub][seq & f->sent_mask],
	    __ATOMIC_ACQUIRE);
	hist_add(t->lat, t->last_ns > at ? t->last_ns - at : 0);
}

static void
damaged(const struct flow_rx *r, const char *what, const char *p, size_t n)
{
	char text[80];
	size_t i;

	for (i = 0; i < n && i < sizeof text - 1; i++)
		text[i] = p[i] < ' ' || p[i] > '~' ? '.' : p[i];
	text[i] = '\0';
	bench_die("subscriber %u: damaged message (%s): \"%s\"%s", r->id, what,
	    text, r->f->txs == NULL ?
	    " (is it one of natsbench? --no-check counts any)" : "");
}

/* The number before a CR at p; sets *len to its digits, 0: none. */
static size_t
number(const char *p, const char *end, size_t *len)
{
	size_t v = 0;
	const char *q = p;

	while (q < end && q - p < 12 && *q >= '0' && *q <= '9')
		v = v * 10 + (size_t)(*q++ - '0');
	*len = (size_t)(q - p);
	return v;
}

/*
 * What precedes the payload: compares it, tells the payload's size and the
 * subject; its length, or 0 if it has not come in whole.
 */
static inline size_t
take_line(const struct flow_rx *r, const char *p, size_t avail, size_t *size,
    int *subject)
{
	const struct shape *s = &r->f->shape;
	size_t n = s->line_len, digits, total, extra;

	if (avail < n)
		return 0;
	if ((*subject = shape_subject(s, p)) == -1)
		damaged(r, "line", p, n);
	if (s->fixed) {
		*size = s->size_min;
		return n;
	}
	total = number(p + n, p + avail, &digits);
	n += digits;
	if (avail < n + s->tail_len)
		return 0;
	extra = s->tail_len - 2;
	if (digits == 0 || total < extra || total - extra < s->size_min ||
	    total - extra > s->size_max ||
	    !shape_same(p + n, s->tail, s->tail_len))
		damaged(r, "size", p, n + s->tail_len);
	*size = total - extra;
	return n + s->tail_len;
}

/* Too short for a stamp: the message is counted and compared. */
static size_t
take_tiny(struct flow_rx_thread *t, struct flow_rx *r, const char *p,
    size_t avail, size_t line, size_t size)
{
	if (avail < line + size + 2)
		return 0;
	if (!shape_same_payload(&r->f->shape, p + line, 0, size + 2, size, 0))
		damaged(r, "content", p, line + size);
	take(t, r, size);
	return line + size + 2;
}

static void
wrong_way(const struct flow_rx *r, uint32_t pub, const char *p, size_t line)
{
	if (pub >= (uint32_t)r->f->pubs)
		damaged(r, "stamp", p, line + 8);
	bench_die("subscriber %u: a message of publisher %u came here, "
	    "which is for subscriber %u", r->id, pub, pub);
}

/* A message, or its beginning if it is long; 0: not enough has come. */
static inline size_t
take_message(struct flow_rx_thread *t, struct flow_rx *r, const char *p,
    size_t avail)
{
	struct flow *f = r->f;
	size_t line, size = 0;
	uint64_t stamp, seq, last;
	uint32_t pub;
	int subject;

	if ((line = take_line(r, p, avail, &size, &subject)) == 0)
		return 0;
	if (size < SHAPE_STAMP)
		return take_tiny(t, r, p, avail, line, size);
	if (avail < line + SHAPE_STAMP ||
	    (avail < line + size + 2 && size <= PIECEWISE))
		return 0;
	stamp = shape_load64(p + line);
	seq = stamp & SHAPE_SEQ_MAX;
	pub = (uint32_t)(stamp >> SHAPE_SEQ_BITS) - (uint32_t)f->first;
	last = shape_last(stamp, subject);
	if (pub >= (uint32_t)f->pubs || (f->pairs && pub != r->id))
		wrong_way(r, pub, p, line);
	if (avail < line + size + 2) {
		r->in_payload = 1;
		r->pay_off = SHAPE_STAMP;
		r->pay_size = size;
		r->pay_last = last;
		r->pay_pub = pub;
		r->pay_seq = seq;
		return line + SHAPE_STAMP;
	}
	p += line + SHAPE_STAMP;
	if (size == 2 * SHAPE_STAMP) {
		if (shape_load64(p) != last || memcmp(p + 8, "\r\n", 2) != 0)
			damaged(r, "content", p - 8, size);
	} else if (!shape_same_payload(&f->shape, p, SHAPE_STAMP,
	    size + 2 - SHAPE_STAMP, size, last))
		damaged(r, "content", p - 8, size);
	check_order(r, pub, seq);
	take(t, r, size);
	if (t->lat != NULL)
		take_time(t, pub, seq);
	return line + SHAPE_STAMP + size - SHAPE_STAMP + 2;
}

/* More of a long payload. */
static size_t
take_payload(struct flow_rx_thread *t, struct flow_rx *r, const char *p,
    size_t avail)
{
	size_t n = r->pay_size + 2 - r->pay_off;

	if (n > avail)
		n = avail;
	if (r->f->check && !shape_same_payload(&r->f->shape, p, r->pay_off, n,
	    r->pay_size, r->pay_last))
		damaged(r, "content of a long one", p, n < 40 ? n : 40);
	r->pay_off += n;
	if (r->pay_off < r->pay_size + 2)
		return n;
	r->in_payload = 0;
	take(t, r, r->pay_size);
	if (r->f->check) {
		check_order(r, r->pay_pub, r->pay_seq);
		if (t->lat != NULL)
			take_time(t, r->pay_pub, r->pay_seq);
	}
	return n;
}

/* With --no-check: any message; what counts is the last number of its line. */
static size_t
take_any(struct flow_rx *r, const char *p, size_t avail)
{
	const char *eol = memchr(p, '\n', avail), *q;
	size_t digits;

	if (eol == NULL) {
		if (avail > LINE_MAX_BYTES)
			damaged(r, "line", p, avail);
		return 0;
	}
	for (q = eol; q > p && q[-1] != ' '; q--)
		;
	r->pay_size = number(q, eol, &digits);
	if (q == p || digits == 0)
		damaged(r, "line", p, (size_t)(eol - p));
	r->pay_off = 0;
	r->in_payload = 1;
	return (size_t)(eol - p) + 1;
}

/*
 * The common case, and the one that must be fast: messages of one length on one
 * subject that follow each other as one publisher has sent them.  Each is
 * compared with what must come; the first one that differs in whatever way is
 * left to take_message().  The bytes used up.
 */
static size_t
take_run(struct flow_rx_thread *t, struct flow_rx *r, const char *buf,
    size_t len)
{
	const struct shape *s = &r->f->shape;
	const char *p = buf, *line = s->lines, *pay;
	size_t msg_len = s->msg_len, line_len = s->line_len;
	size_t size = s->size_min, body = size - 2 * SHAPE_STAMP;
	uint64_t stamp, salt = shape_last(0, 0);
	uint32_t pub;

	if (len < msg_len)
		return 0;
	stamp = shape_load64(p + line_len);
	pub = (uint32_t)(stamp >> SHAPE_SEQ_BITS) - (uint32_t)r->f->first;
	if (pub >= (uint32_t)r->f->pubs ||
	    (stamp & SHAPE_SEQ_MAX) != r->next[pub])
		return 0;
	for (; len >= msg_len; p += msg_len, len -= msg_len, stamp++) {
		pay = p + line_len;
		if (!shape_same(p, line, line_len) ||
		    shape_load64(pay) != stamp ||
		    (body > 0 && !shape_same(pay + SHAPE_STAMP,
		    s->pattern + SHAPE_STAMP, body)) ||
		    shape_load64(pay + size - 8) != (stamp ^ salt) ||
		    memcmp(pay + size, "\r\n", 2) != 0)
			break;
	}
	len = (size_t)(p - buf) / msg_len;
	r->next[pub] += len;
	r->got += len;
	t->count += len;
	t->payload += len * size;
	return (size_t)(p - buf);
}

/* Whether take_run() may be used: nothing but the next number is looked for. */
static int
runs(const struct flow_rx *r)
{
	const struct flow *f = r->f;

	return f->check && f->shape.fixed && f->shape.subjects == 1 &&
	    f->shape.size_min >= 2 * SHAPE_STAMP && !f->queue && !f->pairs &&
	    f->rate == 0;
}

/* Takes all that is complete; the bytes used up. */
static size_t
scan(struct flow_rx_thread *t, struct flow_rx *r, const char *buf, size_t len)
{
	size_t pos = 0, n;
	int fast = runs(r);

	while (pos < len) {
		if (fast && !r->in_payload)
			pos += take_run(t, r, buf + pos, len - pos);
		if (pos == len)
			break;
		if (r->in_payload)
			n = take_payload(t, r, buf + pos, len - pos);
		else if (buf[pos] != 'M' && buf[pos] != 'H')
			n = conn_control(&r->c, buf + pos, len - pos,
			    &t->pongs);
		else if (r->f->check)
			n = take_message(t, r, buf + pos, len - pos);
		else
			n = take_any(r, buf + pos, len - pos);
		if (n == 0)
			break;
		pos += n;
	}
	return pos;
}

static void
note_time(struct flow_rx_thread *t)
{
	uint64_t now = bench_now();

	if (t->first_ns == 0)
		t->first_ns = now;
	else if (now - t->last_ns > t->pause_ns)
		t->pause_ns = now - t->last_ns;
	t->last_ns = now;
}

/* Reads once and looks at what came. */
static void
receive(struct flow_rx_thread *t, struct flow_rx *r)
{
	size_t have, used;
	uint64_t before, last = t->last_ns, first = t->first_ns,
	    pause = t->pause_ns;
	ssize_t n;

	memcpy(t->buf, r->c.buf, r->c.have);
	n = recv(r->c.fd, t->buf + r->c.have, READ_BYTES, 0);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		bench_die("the server closed the connection of subscriber %u "
		    "(%s)", r->id,
		    n == 0 ? "end of file" : strerror(errno));
	note_time(t);
	before = t->count;
	have = r->c.have + (size_t)n;
	used = scan(t, r, t->buf, have);
	r->c.have = have - used;
	if (r->c.have > CONN_BUF)
		damaged(r, "line", t->buf + used, 40);
	memcpy(r->c.buf, t->buf + used, r->c.have);
	if (t->count == before && !r->in_payload) {
		/* Control lines only. */
		t->last_ns = last;
		t->first_ns = first;
		t->pause_ns = pause;
	}
	atomic_store_explicit(&t->bytes, t->payload, memory_order_relaxed);
	atomic_store_explicit(&t->delivered, t->count, memory_order_release);
}

void
flow_rx_prepare(struct flow_rx_thread *t)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct flow *f = t->f;
	int i;

	t->buf = bench_alloc(READ_BYTES + CONN_BUF);
	if (f->rate > 0 && f->txs != NULL)
		t->lat = bench_alloc(sizeof *t->lat);
	t->ep = -1;
	t->pongs_wanted = 0;
	for (i = t->first; i < f->subs; i += f->nrt)
		t->pongs_wanted++;
	i = t->pongs_wanted == 1;
	if (f->txs == NULL && f->runs == 0) /* that of its SUB, too */
		t->pongs_wanted *= 2;
	if (i)
		return;
	if ((t->ep = epoll_create1(EPOLL_CLOEXEC)) == -1)
		bench_die("epoll_create1: %s", strerror(errno));
	for (i = t->first; i < f->subs; i += f->nrt) {
		ev.data.ptr = &f->rxs[i];
		if (epoll_ctl(t->ep, EPOLL_CTL_ADD, f->rxs[i].c.fd, &ev) == -1)
			bench_die("epoll_ctl: %s", strerror(errno));
	}
}

/* Ends when each subscriber has got the PONG that flow_join() asks for. */
void *
flow_rx_run(void *arg)
{
	struct flow_rx_thread *t = arg;
	struct epoll_event ev[64];
	int n, i;

	while (t->pongs < t->pongs_wanted) {
		if (t->ep == -1) {
			receive(t, &t->f->rxs[t->first]);
			continue;
		}
		n = epoll_wait(t->ep, ev, 64, -1);
		for (i = 0; i < n; i++)
			receive(t, ev[i].data.ptr);
	}
	t->cpu = bench_thread_cpu();
	return NULL;
}

void
flow_rx_release(struct flow_rx_thread *t)
{
	if (t->ep != -1)
		(void)close(t->ep);
	free(t->buf);
	free(t->lat);
}
