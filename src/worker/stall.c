/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Publishers that are held back.  A reader elsewhere can say so only when it
 * has the messages, and a whole ring of them may be on their way by then.  So
 * who was held back lately is read in small pieces, the next one when the
 * reader's worker has taken the one before.  All that ends when the reader has
 * little pending: its line in its worker's scoreboard says so, for which
 * nobody has to send anything.
 */
#include <config.h>

#include "base/clock.h"
#include "worker/worker_priv.h"

/* So long after its stall it is read in pieces, of what nats-server reads. */
#define STALL_LATELY_MS 1000
#define STALL_PIECE (64u << 10)
/* Part of max_pending at which a reader needs more. */
#define STALL_LITTLE 8
/* How often is looked what a reader elsewhere has: nobody rings for it. */
#define STALL_LOOK_MS 1

/* What that reader has pending, as its worker says (relaxed: a little old). */
static uint64_t
pending(const struct worker *w, slotno slot, uint32_t line)
{
	const struct score_conn_shm *s;

	if (slot != w->self && (w->usable & (UINT64_C(1) << slot)) == 0)
		return 0;
	s = score_conn(&w->zown[slot], line);
	return s == NULL ? 0 :
	    atomic_load_explicit(&s->pending_bytes, memory_order_relaxed);
}

static bool
lately(const struct worker *w, const struct client *c)
{
	return c->stall_until_ms != 0 && (c->stall_until_ms > w->now_ms ||
	    w->now_ms - c->stall_until_ms < STALL_LATELY_MS);
}

void
stall(struct worker *w, struct client *c, uint32_t ms, slotno slot,
    uint32_t line)
{
	if (c->state != CLIENT_OPEN)
		return;
	/* Of several readers it waits for the one that is worst off. */
	if (!lately(w, c) || pending(w, slot, line) >=
	    pending(w, c->stall_slot, c->stall_line)) {
		c->stall_slot = (uint8_t)slot;
		c->stall_line = line;
		c->stall_mark = ring_tx_mark(&w->peer[slot].tx);
	}
	if (c->stall_until_ms < w->now_ms)
		c->stall_until_ms = w->now_ms;
	c->stall_until_ms += ms;
	if (c->stall_until_ms > w->now_ms + STALL_MOST_MS)
		c->stall_until_ms = w->now_ms + STALL_MOST_MS;
	if (!client_listed(c, LIST_STALLED))
		score_add(&w->score->stalled_clients, 1);
	client_list_del(w, c, LIST_READY);
	client_list_add(w, c, LIST_STALLED);
}

/* Everything it sent that reader's worker has come there; a worker that takes
 * nothing is not waited for longer than the stall is news. */
static bool
arrived(struct worker *w, const struct client *c)
{
	return c->stall_slot == w->self || !lately(w, c) ||
	    (w->usable & (UINT64_C(1) << c->stall_slot)) == 0 ||
	    ring_tx_passed(&w->peer[c->stall_slot].tx, c->stall_mark);
}

static bool
may_go_on(struct worker *w, struct client *c)
{
	if (pending(w, c->stall_slot, c->stall_line) <=
	    w->conf.max_pending / STALL_LITTLE && arrived(w, c)) {
		c->stall_until_ms = 0;
		return true;
	}
	return c->stall_until_ms <= w->now_ms && arrived(w, c);
}

void
stall_release(struct worker *w)
{
	struct client *c, *next;

	for (c = client_first(w, LIST_STALLED); c != NULL; c = next) {
		next = client_next(w, c, LIST_STALLED);
		if (!may_go_on(w, c))
			continue;
		client_list_del(w, c, LIST_STALLED);
		if (c->readable && c->wait == WAIT_NONE)
			client_list_add(w, c, LIST_READY);
	}
}

int
stall_timeout(const struct worker *w)
{
	const struct client *c;
	uint64_t first = UINT64_MAX, now = clock_mono_ms();

	for (c = client_first(w, LIST_STALLED); c != NULL;
	    c = client_next(w, c, LIST_STALLED)) {
		if (c->stall_slot != w->self)
			return STALL_LOOK_MS;
		if (c->stall_until_ms < first)
			first = c->stall_until_ms;
	}
	if (first == UINT64_MAX)
		return -1;
	return first <= now ? 0 : (int)(first - now);
}

bool
stall_holds(const struct client *c)
{
	return c->wait == WAIT_RING && client_listed(c, LIST_STALLED);
}

size_t
stall_read_max(const struct worker *w, const struct client *c, size_t most)
{
	return most > STALL_PIECE && lately(w, c) ? STALL_PIECE : most;
}

void
stall_after_read(struct worker *w, struct client *c)
{
	if (!lately(w, c) || c->stall_slot == w->self ||
	    c->state != CLIENT_OPEN || client_listed(c, LIST_STALLED))
		return;
	c->stall_mark = ring_tx_mark(&w->peer[c->stall_slot].tx);
	client_list_add(w, c, LIST_STALLED);
}
