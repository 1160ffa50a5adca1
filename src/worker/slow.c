/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Slow consumers: clients that do not take what is queued for them, and what
 * the configuration wants done about it (slow_consumer): they are closed, or
 * messages for them are dropped, the newest or the oldest.
 *
 * Who drops makes nobody wait: with such a policy no publisher is held back.
 * What is no message (PONG, +OK, -ERR) is never dropped; it is queued on top
 * of max_pending, up to a limit.  A client that takes nothing at all for
 * write_deadline is closed whatever the policy: it is most likely dead, and
 * what it was partly sent holds memory.
 */
#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/drop.h"
#include "worker/worker_priv.h"

/* At least so much is thrown away at a time, unless max_pending is small: what
 * is partly sent has to be found and kept first. */
#define DROP_BATCH (64u << 10)
#define DROP_SHARE 8
/* Lines that are no messages may go so far beyond max_pending. */
#define LINES_SHARE 4
#define LINES_LEAST (64u << 10)
/* It keeps up again when nothing was dropped for so long. */
#define CALM_MS 1000
/* While that goes on, the log says so. */
#define AGAIN_MS 60000

/* From the first message that is dropped for a client until it keeps up. */
struct client_drops {
	struct client_drops *next, **prev; /* all of the worker's */
	struct client *client;
	uint64_t msgs, bytes; /* headers and payload */
	uint64_t begun_ms;
	uint64_t last_ms; /* something was dropped */
	uint64_t said_ms; /* in the log */
	uint64_t tried_ms; /* to write */
};

/* Milliseconds as "3.2", seconds. */
struct seconds {
	char text[24];
};

static struct seconds
seconds(uint64_t ms)
{
	struct seconds s;

	(void)snprintf(s.text, sizeof s.text, "%" PRIu64 ".%" PRIu64,
	    ms / 1000, ms % 1000 / 100);
	return s;
}

/* Since when it has taken nothing. */
static struct seconds
idle(const struct worker *w, const struct client *c)
{
	return seconds(client_no_progress_ms(w, c));
}

/* ---- closed ---------------------------------------------------------- */

void
slow_pending(struct worker *w, struct client *c)
{
	score_add(&w->score->slow_consumers, 1);
	log_limited(&w->limit_slow, LOG_LVL_INFO,
	    "%s - Slow Consumer Detected: MaxPending of %" PRIu64 " Exceeded "
	    "with %zu total bytes, nothing taken for %s s: closed",
	    client_name(w, c), w->conf.max_pending, c->out.bytes,
	    idle(w, c).text);
	client_close(w, c, "Slow Consumer (Pending Bytes)");
	/* It would count against memory_max, for which others would pay. */
	out_clear(&w->pool, &c->out);
}

void
slow_deadline(struct worker *w, struct client *c)
{
	if (c->authorized)
		score_add(&w->score->slow_consumers, 1);
	log_limited(&w->limit_slow, LOG_LVL_INFO,
	    "%s - Slow Consumer Detected: WriteDeadline of %" PRIu64 "ms "
	    "exceeded with %zu total bytes, nothing taken for %s s: closed",
	    client_name(w, c), w->conf.write_deadline_ms, c->out.bytes,
	    idle(w, c).text);
	client_close(w, c, "Slow Consumer (Write Deadline)");
}

/* ---- counted and named ----------------------------------------------- */

static const char *
which(const struct worker *w)
{
	return w->conf.slow_consumer == CONF_SLOW_OLDEST ? "oldest" : "newest";
}

static void
say_begin(struct worker *w, struct client *c)
{
	/* nats-server does not count those of no_fast_producer_stall. */
	if (!slow_drops(w)) {
		log_limited(&w->limit_slow, LOG_LVL_INFO,
		    "%s - Slow Consumer: 3/4 of MaxPending of %" PRIu64
		    " Exceeded with %zu total bytes, nothing taken for %s s: "
		    "its newest messages are dropped (no_fast_producer_stall)",
		    client_name(w, c), w->conf.max_pending, c->out.bytes,
		    idle(w, c).text);
		return;
	}
	score_add(&w->score->slow_consumers, 1);
	log_limited(&w->limit_slow, LOG_LVL_INFO,
	    "%s - Slow Consumer Detected: MaxPending of %" PRIu64 " Exceeded "
	    "with %zu total bytes, nothing taken for %s s: its %s messages "
	    "are dropped", client_name(w, c), w->conf.max_pending,
	    c->out.bytes, idle(w, c).text, which(w));
}

static void
say(struct worker *w, const struct client_drops *d, uint64_t until_ms,
    const char *what)
{
	log_limited(&w->limit_slow, LOG_LVL_INFO,
	    "%s - Slow Consumer: dropped %" PRIu64 " messages, %" PRIu64
	    " bytes in %s s, %s", client_name(w, d->client), d->msgs,
	    d->bytes, seconds(until_ms - d->begun_ms).text, what);
}

/* NULL: no memory for it; only the scoreboard knows then. */
static struct client_drops *
begin(struct worker *w, struct client *c)
{
	struct client_drops *d = calloc(1, sizeof *d);

	say_begin(w, c);
	if (d == NULL)
		return NULL;
	d->client = c;
	d->begun_ms = d->said_ms = d->tried_ms = w->now_ms;
	d->next = w->drops;
	d->prev = &w->drops;
	if (d->next != NULL)
		d->next->prev = &d->next;
	w->drops = d;
	c->drops = d;
	worker_tick_soon(w);
	return d;
}

static void
end(struct client_drops *d)
{
	*d->prev = d->next;
	if (d->next != NULL)
		d->next->prev = d->prev;
	d->client->drops = NULL;
	free(d);
}

static void
note(struct worker *w, struct client *c, uint64_t msgs, uint64_t bytes)
{
	struct client_drops *d = c->drops;

	score_add(&w->score->dropped_msgs, msgs);
	score_add(&w->score->dropped_bytes, bytes);
	score_add(&c->score->dropped_msgs, msgs);
	score_add(&c->score->dropped_bytes, bytes);
	if (d == NULL && (d = begin(w, c)) == NULL)
		return;
	d->msgs += msgs;
	d->bytes += bytes;
	d->last_ms = w->now_ms;
}

void
slow_dropped(struct worker *w, struct client *c, uint64_t n, uint64_t size)
{
	note(w, c, n, n * size);
}

void
slow_tick(struct worker *w)
{
	struct client_drops *d, *next;

	for (d = w->drops; d != NULL; d = next) {
		next = d->next;
		if (d->client->out.bytes <= w->conf.max_pending / 2 &&
		    w->now_ms - d->last_ms >= CALM_MS) {
			say(w, d, d->last_ms, "keeps up again");
			end(d);
		} else if (w->now_ms - d->said_ms >= AGAIN_MS) {
			say(w, d, w->now_ms, "and still does not keep up");
			d->said_ms = w->now_ms;
		}
	}
}

void
slow_gone(struct worker *w, struct client *c)
{
	if (c->drops == NULL)
		return;
	say(w, c->drops, c->drops->last_ms, "and left");
	end(c->drops);
}

/* ---- dropped --------------------------------------------------------- */

/* Once in a millisecond a socket that has refused bytes is tried again: it
 * says that there is room only when much is free. */
static void
try_to_write(struct worker *w, struct client *c)
{
	if (c->blocked && c->drops != NULL) {
		if (c->drops->tried_ms == w->now_ms)
			return;
		c->drops->tried_ms = w->now_ms;
	}
	client_flush_early(w, c);
}

/* How many fit. */
static uint32_t
fit(const struct worker *w, const struct client *c, size_t unit, uint32_t n)
{
	uint64_t max = w->conf.max_pending, k;

	/* As large as a payload may be, it may have a line too. */
	if (c->out.bytes == 0 && unit <= w->conf.max_payload + 65536u &&
	    unit > max)
		return 1;
	if (c->out.bytes >= max)
		return 0;
	k = (max - c->out.bytes) / unit;
	return k < n ? (uint32_t)k : n;
}

/* Throw away what is in the way of n messages. */
static void
make_room(struct worker *w, struct client *c, size_t unit, uint32_t n)
{
	uint64_t max = w->conf.max_pending, most = max / DROP_SHARE, want;
	struct drop_sum sum = { 0, 0 };

	if (unit > max)
		return; /* it would not fit even then */
	want = n < max / unit ? n * unit : max / unit * unit;
	if (c->out.bytes + want <= max)
		return; /* the socket has taken some meanwhile */
	want = c->out.bytes + want - max;
	if (want < DROP_BATCH && want < most)
		want = most < DROP_BATCH ? most : DROP_BATCH;
	(void)drop_oldest(&w->pool, &c->out, want, &sum);
	if (sum.msgs > 0)
		note(w, c, sum.msgs, sum.bytes);
}

uint32_t
slow_room(struct worker *w, struct client *c, size_t unit, uint32_t n)
{
	uint32_t k;

	if (c->state != CLIENT_OPEN)
		return 0;
	if ((k = fit(w, c, unit, n)) == n)
		return n;
	try_to_write(w, c);
	if (c->state != CLIENT_OPEN)
		return 0;
	if ((k = fit(w, c, unit, n)) == n ||
	    w->conf.slow_consumer == CONF_SLOW_NEWEST)
		return k;
	make_room(w, c, unit, n);
	return fit(w, c, unit, n);
}

bool
slow_room_line(struct worker *w, struct client *c, size_t len)
{
	uint64_t most = w->conf.max_pending / LINES_SHARE;

	most = w->conf.max_pending + (most > LINES_LEAST ? most : LINES_LEAST);
	if (c->out.bytes + len <= most)
		return true;
	try_to_write(w, c);
	if (c->state != CLIENT_OPEN)
		return false;
	if (c->out.bytes + len <= most)
		return true;
	slow_pending(w, c);
	return false;
}
