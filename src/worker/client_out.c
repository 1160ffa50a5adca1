/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A client connection as a subscriber: MSG and HMSG into its output, the
 * flushes, slow consumers.
 */
#include <config.h>

#include <sys/ioctl.h>

#include <linux/sockios.h>

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "proto/emit.h"
#include "worker/worker_priv.h"

/* A reader that has taken nothing for so long holds back nobody. */
#define STALL_PROGRESS_MS 100
/* Each message holds its publisher back, up to a limit for as much as
 * nats-server reads at once; stall() has one for all of them. */
#define STALL_MS 2
#define STALL_FULL_MS 5
#define STALL_SLICE_MS 10
#define STALL_SLICE (64u << 10)
/* What may come before a publisher in this worker is held back: several are
 * read of at once, and one connection may get a message many times. */
#define STALL_ROOM ((uint64_t)16 << 20)
/* Fixed-size copies: what is shorter is copied with what stands behind it. */
#define COPY_SHORT 32
#define COPY_MEDIUM OUT_SLACK

/* What one message of a run becomes for one kind of receiver. */
struct shape {
	const uint8_t *line;
	size_t line_len;
	const uint8_t *body; /* of message 0 */
	size_t body_len; /* with CR LF */
	size_t stride;
	const uint8_t *safe;
	bool foreign; /* the body lies in another's memory */
};

/* Inlined, so that width is a constant; what does not change stays out of
 * memory that the stores might alias. */
static inline void
fill_fixed(uint8_t *dst, const struct shape *sh, uint32_t n, size_t width)
{
	const size_t line_len = sh->line_len, stride = sh->stride;
	const size_t unit = line_len + sh->body_len;
	const uint8_t *src = sh->body;
	uint8_t line[COPY_MEDIUM];
	uint32_t i;

	memcpy(line, sh->line, width);
	for (i = 0; i < n; i++) {
		memcpy(dst, line, width);
		memcpy(dst + line_len, src, width);
		dst += unit;
		src += stride;
	}
}

/* n messages, the first at sh->body, to dst (with OUT_SLACK behind). */
static void
fill_all(uint8_t *dst, const struct shape *sh, uint32_t n)
{
	size_t most = sh->line_len > sh->body_len ? sh->line_len :
	    sh->body_len;
	const uint8_t *src = sh->body;
	uint32_t i, fast = 0;

	/* Fixed copies run over what they copy: allowed inside `safe`. */
	if (n == 1 && most <= COPY_MEDIUM && sh->safe - src >= COPY_MEDIUM) {
		fill_fixed(dst, sh, 1, COPY_MEDIUM);
		return;
	}
	if (most <= COPY_MEDIUM && sh->safe - src >= COPY_MEDIUM) {
		fast = (uint32_t)((size_t)(sh->safe - src - COPY_MEDIUM) /
		    sh->stride) + 1;
		if (fast > n)
			fast = n;
		if (most <= COPY_SHORT)
			fill_fixed(dst, sh, fast, COPY_SHORT);
		else
			fill_fixed(dst, sh, fast, COPY_MEDIUM);
		dst += fast * (sh->line_len + sh->body_len);
		src += fast * sh->stride;
	}
	for (i = fast; i < n; i++) {
		memcpy(dst, sh->line, sh->line_len);
		dst += sh->line_len;
		memcpy(dst, src, sh->body_len);
		dst += sh->body_len;
		src += sh->stride;
	}
}

/* What another worker has in its ring may change while it is copied: a message
 * whose end is not where it says would spoil all that follows. */
static void
fill(uint8_t *dst, const struct shape *sh, uint32_t n)
{
	const size_t unit = sh->line_len + sh->body_len;

	fill_all(dst, sh, n);
	for (; sh->foreign && n > 0; n--, dst += unit)
		memcpy(dst + unit - 2, "\r\n", 2);
}

/* Is there room for n more bytes within max_pending?  What the socket takes
 * now does not count. */
static bool
room_pending(struct worker *w, struct client *c, size_t n)
{
	if (c->state != CLIENT_OPEN)
		return false;
	if (c->out.bytes + n <= w->conf.max_pending)
		return true;
	client_flush_early(w, c);
	if (c->state != CLIENT_OPEN)
		return false;
	if (c->out.bytes + n <= w->conf.max_pending ||
	    (c->out.bytes == 0 && n <= w->conf.max_payload + 65536))
		return true;
	slow_pending(w, c);
	return false;
}

/* Bytes that the kernel holds for the peer. */
static int
kernel_queue(const struct client *c)
{
	int n;

	return ioctl(c->lfd.fd, SIOCOUTQ, &n) == 0 ? n : 0;
}

/* The socket says that there is room only when much of it is free: what the
 * kernel still holds tells sooner that it reads. */
bool
client_progress(struct worker *w, struct client *c)
{
	int n = kernel_queue(c);

	if (n >= c->kernel_queue)
		return false;
	c->kernel_queue = n;
	c->last_progress_ms = (uint32_t)w->now_ms;
	return true;
}

/* From how many pending bytes on a publisher is held back.  Until he hears of
 * it several reads of his are on their way, or two rings full if he is in
 * another worker; unless messages are dropped instead. */
static uint64_t
stall_from(const struct worker *w, const struct msg *m)
{
	uint64_t max = w->conf.max_pending, room = max / 4;

	if (w->conf.no_fast_producer_stall)
		return max - room;
	if (m->from.slot != w->self)
		return room;
	if (room < STALL_ROOM)
		room = STALL_ROOM < max - room ? STALL_ROOM : max - room;
	return max - room;
}

/* Above that the publisher is held back, or loses the message if the
 * configuration says so; false: do not queue. */
static bool
stall_check(struct worker *w, struct client *c, struct msg *m, size_t n,
    uint32_t count)
{
	uint64_t from = stall_from(w, m), max = w->conf.max_pending;
	uint32_t ms;

	if (c->out.bytes + n <= from)
		return true;
	/* Not more than once in a millisecond: there may be a million of small
	 * messages. */
	if (!c->blocked || c->refused_ms != (uint32_t)clock_mono_ms())
		client_flush_early(w, c);
	if (c->state != CLIENT_OPEN || c->out.bytes + n <= from)
		return c->state == CLIENT_OPEN;
	if (w->conf.no_fast_producer_stall)
		return false;
	if (client_no_progress_ms(w, c) > STALL_PROGRESS_MS)
		return true;
	ms = c->out.bytes + n >= max ? STALL_FULL_MS : STALL_MS;
	ms = count < STALL_SLICE_MS / ms ? ms * count : STALL_SLICE_MS;
	if (m->stall_ms == 0 || c->out.bytes > m->stall_bytes) {
		m->stall_line = c->line;
		m->stall_bytes = c->out.bytes;
	}
	m->stall_ms += ms + (uint32_t)(n / STALL_SLICE) * STALL_SLICE_MS;
	if (c->score != NULL)
		score_add(&c->score->stalls, 1);
	return true;
}

/* How many of n messages of `unit` bytes may be queued now. */
static uint32_t
admit(struct worker *w, struct client *c, struct msg *m, size_t unit,
    uint32_t n)
{
	if (__builtin_expect(worker_crowded(w), false))
		client_relieve(w);
	if (slow_drops(w))
		return slow_room(w, c, unit, n);
	return room_pending(w, c, n * unit) &&
	    stall_check(w, c, m, n * unit, n) ? n : 0;
}

/* The socket takes no more for now: its write deadline runs. */
static void
block(struct worker *w, struct client *c)
{
	int n = kernel_queue(c);

	if (!client_listed(c, LIST_BLOCKED) || n < c->kernel_queue)
		c->last_progress_ms = (uint32_t)w->now_ms;
	c->kernel_queue = n;
	c->refused_ms = (uint32_t)clock_mono_ms();
	worker_tick_soon(w);
	c->blocked = true;
	client_list_add(w, c, LIST_BLOCKED);
}

/* All has gone. */
static void
unblock(struct worker *w, struct client *c)
{
	c->blocked = false;
	client_list_del(w, c, LIST_BLOCKED);
}

/* Straight from where it lies, as much as the socket takes; *sent bytes of it
 * went.  False: closed, or all is gone. */
static bool
write_now(struct worker *w, struct client *c, const struct out_extra *x,
    size_t *sent)
{
	enum out_status st;

	*sent = 0;
	if (c->blocked)
		return true;
	peer_publish(w);
	st = out_write(&w->pool, &c->out, c->lfd.fd, x, sent);
	if (st == OUT_ERROR) {
		client_fail(w, c, "Write Error");
		return false;
	}
	c->last_progress_ms = (uint32_t)w->now_ms;
	if (st == OUT_DONE)
		unblock(w, c);
	client_tell_pending(c);
	return st != OUT_DONE;
}

static bool
write_large(struct worker *w, struct client *c, const struct shape *sh,
    const uint8_t *body)
{
	struct out_extra x = { { sh->line, body, (const uint8_t *)"\r\n" },
	    { sh->line_len, sh->body_len - 2, 2 } };
	size_t sent;

	if (!write_now(w, c, &x, &sent))
		return c->state == CLIENT_OPEN;
	if (out_append_rest(&w->pool, &c->out, &x, sent) != 0) {
		client_no_memory(w, c);
		return false;
	}
	block(w, c);
	return true;
}

/* The block of this run, as the receiver before may have left it: its first
 * line is its key.  One that somebody still refers to is left to him. */
static int
make_block(struct worker *w, const struct shape *sh, uint32_t n)
{
	if (w->block_body == sh->body && w->block_n == n &&
	    memcmp(w->block->data, sh->line, sh->line_len) == 0)
		return 0;
	w->block_body = NULL;
	if (w->block != NULL && w->block->refs > 1)
		out_block_drop(&w->pool, &w->block);
	if (w->block == NULL &&
	    (w->block = out_block_new(&w->pool)) == NULL)
		return -1;
	fill(w->block->data, sh, n);
	w->block_body = sh->body;
	w->block_n = n;
	return 0;
}

/* Has the receiver before got the same line?  (Only a guess for what follows:
 * make_block() looks itself.) */
static bool
line_again(struct worker *w, const struct shape *sh)
{
	if (sh->line_len == w->line_len &&
	    memcmp(w->line, sh->line, sh->line_len) == 0)
		return true;
	w->line_len = 0;
	if (sh->line_len <= sizeof w->line) {
		memcpy(w->line, sh->line, sh->line_len);
		w->line_len = sh->line_len;
	}
	return false;
}

/* A run that is too short to be written from a block: from the second receiver
 * with that sid on it is made once and copied as a whole. */
static void
put_run(struct worker *w, const struct shape *sh, uint8_t *dst, uint32_t n)
{
	if (n > 1 && w->block_shared && line_again(w, sh) &&
	    make_block(w, sh, n) == 0)
		memcpy(dst, w->block->data,
		    n * (sh->line_len + sh->body_len));
	else
		fill(dst, sh, n);
}

/* Up to n messages from sh->body on; how many were queued. */
static uint32_t
write_slices(struct worker *w, struct client *c, struct msg *m,
    struct shape *sh, uint32_t n)
{
	size_t unit = sh->line_len + sh->body_len, most;
	uint32_t done = 0, k;
	uint8_t *dst;

	most = n == 1 || unit >= WORKER_FLUSH_EARLY ||
	    sh->body_len >= WORKER_LARGE ? 1 : WORKER_FLUSH_EARLY / unit;
	while (done < n) {
		k = n - done < most ? n - done : (uint32_t)most;
		if ((k = admit(w, c, m, unit, k)) == 0)
			return done;
		if (sh->body_len >= WORKER_LARGE) {
			if (!write_large(w, c, sh, sh->body))
				return done;
		} else {
			dst = out_room(&w->pool, &c->out, k * unit);
			if (dst == NULL) {
				client_no_memory(w, c);
				return done;
			}
			put_run(w, sh, dst, k);
			out_took(&c->out, k * unit);
			if (c->out.bytes >= WORKER_FLUSH_EARLY && !c->blocked)
				client_flush_early(w, c);
			else
				client_list_add(w, c, LIST_FLUSH);
		}
		sh->body += k * sh->stride;
		done += k;
	}
	return done;
}

/* A whole run, from the block that it shares with the other receivers. */
static uint32_t
write_block(struct worker *w, struct client *c, struct msg *m,
    struct shape *sh, uint32_t n)
{
	size_t unit = sh->line_len + sh->body_len, len = n * unit, sent;
	uint32_t k = admit(w, c, m, unit, n);
	struct out_extra x;

	if (k < n)
		return k == 0 ? 0 : write_slices(w, c, m, sh, k);
	if (make_block(w, sh, n) != 0)
		goto nomem;
	x = (struct out_extra){ { w->block->data }, { len } };
	if (!write_now(w, c, &x, &sent))
		return c->state == CLIENT_OPEN ? n : 0;
	if (out_append_block(&w->pool, &c->out, w->block, sent,
	    len - sent, unit) != 0)
		goto nomem;
	block(w, c);
	return n;
nomem:
	client_no_memory(w, c);
	return 0;
}

static bool
wants_block(const struct worker *w, const struct shape *sh, uint32_t n)
{
	size_t len = n * (sh->line_len + sh->body_len);

	return w->block_shared && n > 1 && len >= WORKER_BLOCK_MIN &&
	    len <= OUT_BLOCK && len <= w->conf.max_pending / 4;
}

/* The control line for this receiver; it stays for the next one with the
 * same sid. */
static void
shape_line(struct worker *w, const struct client *c, const struct sub *s,
    const struct msg *m, struct shape *sh)
{
	struct slice sid = sub_sid(s);

	sh->body = m->body;
	sh->body_len = m->size + 2;
	sh->stride = m->stride;
	sh->safe = m->safe;
	sh->foreign = w->receiving;
	sh->line = w->scratch;
	if (m->hdr_size > 0 && c->headers) {
		sh->line_len = emit_hmsg(w->scratch, m->subject, sid,
		    m->reply, m->hdr_size, m->size);
		return;
	}
	sh->body += m->hdr_size;
	sh->body_len -= m->hdr_size;
	sh->line_len = emit_msg(w->scratch, m->subject, sid, m->reply,
	    m->size - m->hdr_size);
}

static bool
is_publisher(const struct worker *w, const struct client *c,
    const struct msg *m)
{
	return m->from.slot == w->self && m->from.num == c->num &&
	    m->from.line == c->line && m->from.incarnation == w->incarnation;
}

/* Would n messages like that stay within max_pending, and with the longest
 * line that they may get? */
static bool
client_holds(const struct worker *w, const struct client *c,
    const struct sub *s, const struct msg *m, uint32_t n)
{
	uint64_t unit = emit_msg_max(m->subject.len, s->sid_len,
	    m->reply.len) + m->size + 2;

	return c->out.bytes + n * unit <= w->conf.max_pending;
}

/* May it get a message from there at all? */
static bool
client_may(const struct worker *w, const struct client *c, const struct msg *m)
{
	return c->state == CLIENT_OPEN &&
	    (m->from.echo || !is_publisher(w, c, m));
}

static bool
client_accepts(const struct worker *w, const struct subscriber *who,
    const struct sub *s, const struct msg *m)
{
	const struct client *c = (const struct client *)(const void *)who;

	if (!client_may(w, c, m))
		return false;
	if (!c->blocked || w->conf.slow_consumer == CONF_SLOW_OLDEST)
		return true;
	if (w->conf.slow_consumer == CONF_SLOW_NEWEST)
		return client_holds(w, c, s, m, 1);
	/* stall_check() would drop it. */
	return !w->conf.no_fast_producer_stall ||
	    c->out.bytes + m->size <= w->conf.max_pending / 4 * 3;
}

static bool
client_fits(const struct worker *w, const struct subscriber *who,
    const struct sub *s, const struct msg *m)
{
	const struct client *c = (const struct client *)(const void *)who;

	return w->conf.slow_consumer != CONF_SLOW_NEWEST ||
	    client_holds(w, c, s, m, m->count);
}

static bool
client_dropped(struct worker *w, struct subscriber *who, const struct sub *s,
    const struct msg *m)
{
	struct client *c = client_of(who);

	/* Any member takes what it is given with drop_oldest, or could not. */
	if (!client_may(w, c, m) ||
	    (w->conf.slow_consumer != CONF_SLOW_OLDEST &&
	    client_accepts(w, who, s, m)))
		return false;
	slow_dropped(w, c, 1, c->headers ? m->size : m->size - m->hdr_size);
	return true;
}

static void
trace_msgs(struct worker *w, struct client *c, const struct shape *sh,
    uint32_t n)
{
	const uint8_t *body = sh->body;
	uint32_t i;

	for (i = 0; i < n; i++, body += sh->stride) {
		trace_out(w, c, sh->line, sh->line_len - 2);
		trace_payload(w, c, "->>", body, sh->body_len - 2);
	}
}

static uint32_t
client_deliver(struct worker *w, struct subscriber *who, const struct sub *s,
    struct msg *m, uint32_t first, uint32_t n)
{
	struct client *c = client_of(who);
	const uint8_t *body;
	struct shape sh;
	uint32_t sent;

	if (!client_may(w, c, m))
		return 0;
	shape_line(w, c, s, m, &sh);
	sh.body += first * sh.stride;
	body = sh.body;
	if (wants_block(w, &sh, n))
		sent = write_block(w, c, m, &sh, n);
	else
		sent = write_slices(w, c, m, &sh, n);
	if (log_trace_on()) {
		sh.body = body;
		trace_msgs(w, c, &sh, sent);
	}
	/* One of a group's may still find another member. */
	if (sent < n && c->state == CLIENT_OPEN &&
	    (s->flags & SUB_GROUP) == 0)
		slow_dropped(w, c, n - sent, sh.body_len - 2);
	score_add(&w->score->out_msgs, sent);
	score_add(&w->score->out_bytes, (uint64_t)sent * (sh.body_len - 2));
	score_add(&c->score->out_msgs, sent);
	score_add(&c->score->out_bytes, (uint64_t)sent * (sh.body_len - 2));
	return sent;
}

static void
client_finished(struct worker *w, struct subscriber *who, uint32_t n)
{
	struct client *c = client_of(who);

	if (log_trace_on()) {
		struct slice sid = sub_sid(subs_at(&w->subs, n));

		log_trace("%s - <-> [DELSUB %.*s]", client_name(w, c),
		    (int)sid.len, (const char *)sid.p);
	}
	subs_del(&w->subs, &c->subs, ACCOUNT_DEFAULT, n);
	score_sub(&w->score->subscriptions, 1);
	atomic_store_explicit(&c->score->subscriptions, c->subs.n,
	    memory_order_relaxed);
}

const struct subscriber_ops client_subscriber_ops = {
	client_accepts, client_fits, client_dropped, client_deliver,
	client_finished
};

/* ---- flushes --------------------------------------------------------- */

void
client_write(struct worker *w, struct client *c, const void *p, size_t len)
{
	if (__builtin_expect(worker_crowded(w), false))
		client_relieve(w);
	if (c->state != CLIENT_OPEN || !(slow_drops(w) ?
	    slow_room_line(w, c, len) : room_pending(w, c, len)))
		return;
	if (out_append(&w->pool, &c->out, p, len) != 0) {
		client_no_memory(w, c);
		return;
	}
	client_list_add(w, c, LIST_FLUSH);
}

void
client_flush(struct worker *w, struct client *c)
{
	size_t before = c->out.bytes;

	if (before == 0 || c->lfd.fd == -1 || c->half_closed)
		return;
	switch (out_write(&w->pool, &c->out, c->lfd.fd, NULL, NULL)) {
	case OUT_DONE:
		unblock(w, c);
		break;
	case OUT_BLOCKED:
		block(w, c);
		break;
	case OUT_ERROR:
		client_fail(w, c, "Write Error");
		out_clear(&w->pool, &c->out);
		return;
	}
	if (c->out.bytes != before)
		c->last_progress_ms = (uint32_t)w->now_ms;
	client_tell_pending(c);
}

void
client_flush_early(struct worker *w, struct client *c)
{
	peer_publish(w);
	client_flush(w, c);
	if (c->out.bytes == 0)
		client_list_del(w, c, LIST_FLUSH);
}
