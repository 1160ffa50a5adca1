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

#include <stdlib.h>

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
	const struct client_stall *k = c->stall;

	return k != NULL && k->until_ms != 0 && (k->until_ms > w->now_ms ||
	    w->now_ms - k->until_ms < STALL_LATELY_MS);
}

void
stall_end(struct client *c)
{
	free(c->stall);
	c->stall = NULL;
}

void
stall(struct worker *w, struct client *c, uint32_t ms, slotno slot,
    uint32_t line)
{
	struct client_stall *k = c->stall;

	if (c->state != CLIENT_OPEN)
		return;
	if (k == NULL) {
		if ((k = calloc(1, sizeof *k)) == NULL)
			return;
		c->stall = k;
	}
	/* Of several readers it waits for the one that is worst off. */
	if (!lately(w, c) ||
	    pending(w, slot, line) >= pending(w, k->slot, k->line)) {
		k->slot = slot;
		k->line = line;
		k->mark = ring_tx_mark(&w->peer[slot].tx);
	}
	if (k->until_ms < w->now_ms)
		k->until_ms = w->now_ms;
	k->until_ms += ms;
	if (k->until_ms > w->now_ms + STALL_MOST_MS)
		k->until_ms = w->now_ms + STALL_MOST_MS;
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
	const struct client_stall *k = c->stall;

	return k->slot == w->self || !lately(w, c) ||
	    (w->usable & (UINT64_C(1) << k->slot)) == 0 ||
	    ring_tx_passed(&w->peer[k->slot].tx, k->mark);
}

static bool
may_go_on(struct worker *w, struct client *c)
{
	struct client_stall *k = c->stall;

	if (pending(w, k->slot, k->line) <=
	    w->conf.max_pending / STALL_LITTLE && arrived(w, c)) {
		k->until_ms = 0;
		return true;
	}
	return k->until_ms <= w->now_ms && arrived(w, c);
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
	struct client *c;
	uint64_t first = UINT64_MAX, now = clock_mono_ms();

	for (c = client_first(w, LIST_STALLED); c != NULL;
	    c = client_next(w, c, LIST_STALLED)) {
		if (c->stall->slot != w->self)
			return STALL_LOOK_MS;
		if (c->stall->until_ms < first)
			first = c->stall->until_ms;
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
stall_read_max(const struct worker *w, struct client *c, size_t most)
{
	if (c->stall == NULL)
		return most;
	if (!lately(w, c)) {
		stall_end(c);
		return most;
	}
	return most > STALL_PIECE ? STALL_PIECE : most;
}

void
stall_after_read(struct worker *w, struct client *c)
{
	if (!lately(w, c) || c->stall->slot == w->self ||
	    c->state != CLIENT_OPEN || client_listed(c, LIST_STALLED))
		return;
	c->stall->mark = ring_tx_mark(&w->peer[c->stall->slot].tx);
	client_list_add(w, c, LIST_STALLED);
}
