/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fan-out to the subscribers of this worker: which of them get a run, in
 * which order.  How a subscriber takes it is its own business (msg.h).
 */
#include <config.h>

#include "worker/worker_priv.h"

/* Order holds over all subscriptions of a connection: does one subscriber
 * stand twice among them? */
static bool
has_twins(struct worker *w, const struct match_plain *node, uint32_t n)
{
	const struct sub *s;
	uint32_t i, mark = ++w->mark;
	subno no;

	for (i = 0; i < n; i++) {
		no = subs_of_cell(&w->subs, node[i].ref.cell);
		for (; no != 0; no = s->next) {
			s = subs_at(&w->subs, no);
			if (s->who->mark == mark)
				return true;
			s->who->mark = mark;
		}
	}
	return false;
}

/* Messages first .. first + n - 1 to one subscription. */
static uint32_t
give(struct worker *w, struct msg *m, subno no, uint32_t first, uint32_t n)
{
	struct sub *s = subs_at(&w->subs, no);
	uint32_t took;

	if (s->max != 0) {
		if (s->delivered >= s->max) {
			subs_finish(&w->subs, no);
			return 0;
		}
		if (n > s->max - s->delivered)
			n = (uint32_t)(s->max - s->delivered);
	}
	took = s->who->ops->deliver(w, s->who, s, m, first, n);
	s->delivered += took;
	if (s->max != 0 && s->delivered >= s->max)
		subs_finish(&w->subs, no);
	return took;
}

static bool
give_all(struct worker *w, struct msg *m, const struct match_plain *node,
    uint32_t n, uint32_t first, uint32_t count)
{
	bool taken = false;
	uint32_t i;
	subno no;

	for (i = 0; i < n; i++) {
		no = subs_of_cell(&w->subs, node[i].ref.cell);
		while (no != 0) {
			if (give(w, m, no, first, count) > 0)
				taken = true;
			no = subs_at(&w->subs, no)->next;
		}
	}
	return taken;
}

/* A run that several receivers share goes in pieces that are still hot in the
 * cache when the last of them gets his. */
static uint32_t
piece(const struct msg *m)
{
	size_t unit = m->subject.len + m->reply.len + m->size + 32;

	return unit >= WORKER_PIECE ? 1 : (uint32_t)(WORKER_PIECE / unit);
}

bool
deliver_plain(struct worker *w, struct msg *m, const struct match_plain *node,
    uint32_t n)
{
	uint32_t first, count, most = m->count;
	bool taken = false;
	subno no;

	/* Nearly always there is one. */
	if (n == 1) {
		no = subs_of_cell(&w->subs, node->ref.cell);
		if (no == 0)
			return false;
		if (subs_at(&w->subs, no)->next == 0)
			return give(w, m, no, 0, m->count) > 0;
	}
	w->block_shared = m->count > 1;
	if (m->count > 1 && has_twins(w, node, n))
		most = 1;
	else if (w->block_shared)
		most = piece(m);
	for (first = 0; first < m->count; first += count) {
		count = m->count - first < most ? m->count - first : most;
		if (give_all(w, m, node, n, first, count))
			taken = true;
	}
	w->block_body = NULL;
	w->block_shared = false;
	out_block_drop(&w->pool, &w->block);
	return taken;
}

uint32_t
deliver_run(struct worker *w, struct msg *m, subno n)
{
	return give(w, m, n, 0, m->count);
}

bool
deliver_one(struct worker *w, struct msg *m, subno n)
{
	return give(w, m, n, 0, 1) > 0;
}

static uint32_t
members(const struct worker *w, const cellno *cell, uint32_t n)
{
	uint32_t i, k, sum = 0;

	for (i = 0; i < n; i++) {
		(void)subs_members(&w->subs, cell[i], &k);
		sum += k;
	}
	return sum;
}

/* Member number `at` over all cells; 0 if there are fewer. */
static subno
member(const struct worker *w, const cellno *cell, uint32_t n, uint32_t at)
{
	const subno *m;
	uint32_t i, k;

	for (i = 0; i < n; i++) {
		m = subs_members(&w->subs, cell[i], &k);
		if (at < k)
			return m[at];
		at -= k;
	}
	return 0;
}

static bool
would_take(const struct worker *w, const struct sub *s, const struct msg *m)
{
	if (s->max != 0 && s->delivered >= s->max)
		return false;
	return s->who->ops->accepts(w, s->who, s, m);
}

uint32_t
deliver_members(const struct worker *w, const struct msg *m,
    const cellno *cell, uint32_t n)
{
	uint32_t all = members(w, cell, n), i, sum = 0;

	for (i = 0; i < all; i++)
		if (would_take(w, subs_at(&w->subs, member(w, cell, n, i)),
		    m))
			sum++;
	return sum;
}

subno
deliver_pick(struct worker *w, const struct msg *m, const cellno *cell,
    uint32_t n)
{
	uint32_t all = members(w, cell, n), at, i;
	subno no;

	if (all == 0)
		return 0;
	at = (uint32_t)(worker_random(w) % all);
	for (i = 0; i < all; i++) {
		no = member(w, cell, n, (at + i) % all);
		if (would_take(w, subs_at(&w->subs, no), m))
			return no;
	}
	return 0;
}

bool
deliver_group(struct worker *w, struct msg *m, const cellno *cell, uint32_t n)
{
	uint32_t all = members(w, cell, n), at, i;
	subno no;

	if (all == 0)
		return false;
	at = (uint32_t)(worker_random(w) % all);
	for (i = 0; i < all; i++) {
		no = member(w, cell, n, (at + i) % all);
		if (would_take(w, subs_at(&w->subs, no), m) &&
		    deliver_one(w, m, no))
			return true;
	}
	return false;
}

void
deliver_dropped(struct worker *w, const struct msg *m, const cellno *cell,
    uint32_t n)
{
	uint32_t all = members(w, cell, n), i;
	const struct sub *s;

	for (i = 0; i < all; i++) {
		s = subs_at(&w->subs, member(w, cell, n, i));
		if (s->who->ops->dropped(w, s->who, s, m))
			return;
	}
}

void
deliver_finish(struct worker *w)
{
	struct sub *s;
	uint32_t i;
	subno no;

	for (i = 0; i < w->subs.nfinished; i++) {
		no = w->subs.finished[i];
		s = subs_at(&w->subs, no);
		s->who->ops->finished(w, s->who, no);
	}
	if (w->subs.nfinished > 0) {
		w->subs.nfinished = 0;
		match_changed(&w->matcher);
	}
}
