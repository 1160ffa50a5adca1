/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A run for one queue group and nobody else, dealt out: each message goes to a
 * member of its own, drawn as if it came alone, but who is drawn several times
 * gets his as one run, in their order.
 *
 * Taken one by one (route.c) are: groups with members that have a max, since
 * the draw of a message then depends on what became of the one before; with
 * two members in one connection here, since order holds over both; where one
 * might not take all it is dealt; with very many members, and large payloads,
 * since nothing would be gained; and where a message may be larger than half a
 * ring, which goes in fragments (big.c).
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "worker/plan.h"
#include "worker/record.h"
#include "worker/worker_priv.h"

#define BIT(slot) (UINT64_C(1) << (slot))

#define DEAL_LEAST 4u /* messages that are worth it */
#define DEAL_MOST 2048u /* at a time */
#define DEAL_BYTES (128u << 10) /* of their bodies */
#define DEAL_MEMBERS 256u
#define NOBODY UINT16_MAX

/* Targets are numbered: members of this worker first, then slots. */
#define TARGETS (DEAL_MEMBERS + SLOTS_MAX)

struct deal {
	uint32_t nmembers;
	subno member[DEAL_MEMBERS]; /* those here that take messages */
	/* The others' share of the draw: up to sum[k] it is slot[k]. */
	uint32_t nslots;
	slotno slot[SLOTS_MAX];
	uint64_t sum[SLOTS_MAX];
	uint64_t total;
	uint32_t room[SLOTS_MAX]; /* messages that still fit */
	uint32_t head_len[SLOTS_MAX];
	/* What each target got, as lists in order of the messages. */
	uint16_t first[TARGETS];
	uint16_t next[DEAL_MOST];
	uint16_t to[DEAL_MOST];
	uint8_t bodies[DEAL_BYTES + OUT_SLACK];
};

int
deal_init(struct worker *w)
{
	w->deal = malloc(sizeof *w->deal);
	return w->deal == NULL ? -1 : 0;
}

/* ---- the draw -------------------------------------------------------- */

static bool
add_members(struct worker *w, const struct msg *m, cellno cell)
{
	struct deal *d = w->deal;
	const struct sub *s;
	const subno *member;
	uint32_t i, n;

	member = subs_members(&w->subs, cell, &n);
	if (n > DEAL_MEMBERS - d->nmembers || n > m->count)
		return false;
	for (i = 0; i < n; i++) {
		s = subs_at(&w->subs, member[i]);
		if (s->max != 0 || s->who->mark == w->mark)
			return false;
		s->who->mark = w->mark;
		if (!s->who->ops->accepts(w, s->who, s, m))
			continue;
		/* What it could not take would be lost. */
		if (!s->who->ops->fits(w, s->who, s, m))
			return false;
		d->member[d->nmembers++] = member[i];
	}
	return true;
}

static void
add_slot(struct deal *d, slotno s, uint32_t members)
{
	if (d->nslots == 0 || d->slot[d->nslots - 1] != s) {
		d->slot[d->nslots] = s;
		d->room[d->nslots] = UINT32_MAX;
		d->nslots++;
	}
	d->total += members;
	d->sum[d->nslots - 1] = d->total;
}

/* Does a message fit into the ring to s as one piece, whatever references go
 * along?  Asked before the first draw: who is drawn and cannot be served must
 * not be drawn again. */
static bool
one_piece(const struct worker *w, const struct msg *m,
    const struct match_group *g, slotno s)
{
	uint64_t head = sizeof(struct rec_msg_shm) +
	    sizeof(struct rec_group_shm) + g->namelen + RING_ALIGN +
	    RECORD_REFS_MAX * sizeof(struct rec_ref_shm);

	return head + m->subject.len + m->reply.len + m->size + 2 <=
	    ring_tx_max(&w->peer[s].tx);
}

/* Whom the messages of a group may go to; false: take them one by one. */
static bool
who_may(struct worker *w, const struct msg *m, const struct match *x,
    const struct match_group *g)
{
	const struct match_part *p;
	struct deal *d = w->deal;
	uint32_t i;

	d->nmembers = d->nslots = 0;
	w->mark++;
	for (i = g->first; i != 0; i = p->next) {
		p = &x->part[i - 1];
		if (p->slot == w->self && !add_members(w, m, p->ref.cell))
			return false;
	}
	d->total = d->nmembers;
	for (i = g->first; i != 0; i = p->next) {
		p = &x->part[i - 1];
		if (p->slot == w->self || (w->usable & BIT(p->slot)) == 0)
			continue;
		if (!one_piece(w, m, g, p->slot))
			return false;
		add_slot(d, p->slot, p->members);
	}
	return d->total > 0;
}

/* A number below n, which is far below 2^32. */
static uint32_t
draw(struct worker *w, uint64_t n)
{
	return (uint32_t)(((worker_random(w) >> 32) * n) >> 32);
}

/* May one more go to slot number k?  Its record grows by one message. */
static bool
take_room(struct worker *w, struct plan_part *part, uint32_t k,
    struct route_result *r)
{
	struct deal *d = w->deal;
	bool big = false;

	if (d->room[k] == UINT32_MAX) {
		route_part(w, part, part->m, part->x, d->slot[k]);
		part->choice = &d->slot[k];
		d->head_len[k] = plan_head_len(part);
		d->room[k] = route_fits(w, d->slot[k], part->m,
		    d->head_len[k], &big);
	}
	if (d->room[k] == 0) {
		r->wait_slots |= BIT(d->slot[k]);
		return false;
	}
	d->room[k]--;
	return true;
}

/* Draw for the first n messages; how many have found a place.  The one that
 * does not may be drawn again later, like any that has not been sent. */
static uint32_t
draw_all(struct worker *w, const struct msg *m, const struct match *x,
    uint32_t n, struct route_result *r)
{
	struct deal *d = w->deal;
	struct plan_part part;
	uint32_t i, k, at;

	memset(&part, 0, sizeof part);
	part.m = m;
	part.x = x;
	for (i = 0; i < n; i++) {
		at = draw(w, d->total);
		if (at < d->nmembers) {
			d->to[i] = (uint16_t)at;
			continue;
		}
		for (k = 0; at >= d->sum[k]; k++)
			;
		if (!take_room(w, &part, k, r))
			break;
		d->to[i] = (uint16_t)(DEAL_MEMBERS + k);
	}
	return i;
}

/* ---- the deal -------------------------------------------------------- */

static void
make_lists(struct deal *d, uint32_t n)
{
	uint32_t i;

	for (i = 0; i < d->nmembers; i++)
		d->first[i] = NOBODY;
	for (i = 0; i < d->nslots; i++)
		d->first[DEAL_MEMBERS + i] = NOBODY;
	for (i = n; i-- > 0;) {
		d->next[i] = d->first[d->to[i]];
		d->first[d->to[i]] = (uint16_t)i;
	}
}

/* The messages of one target, as a run of their own; false: it has none. */
static bool
gather(struct deal *d, const struct msg *m, uint32_t target, struct msg *run)
{
	size_t len = (size_t)m->size + 2;
	uint8_t *dst = d->bodies;
	const uint8_t *src;
	uint16_t i;

	*run = *m;
	run->count = 0;
	run->body = d->bodies;
	run->stride = len;
	run->safe = d->bodies + sizeof d->bodies;
	for (i = d->first[target]; i != NOBODY; i = d->next[i]) {
		src = m->body + i * m->stride;
		/* Short ones by a copy of fixed size, which takes along what
		 * stands behind them. */
		if (len <= OUT_SLACK && m->safe - src >= OUT_SLACK)
			memcpy(dst, src, OUT_SLACK);
		else
			memcpy(dst, src, len);
		dst += len;
		run->count++;
	}
	return run->count > 0;
}

static void
deal_out(struct worker *w, struct msg *m, const struct match *x, uint32_t n)
{
	struct deal *d = w->deal;
	struct plan_part part;
	struct msg run;
	uint32_t i;

	make_lists(d, n);
	for (i = 0; i < d->nmembers; i++) {
		if (!gather(d, m, i, &run))
			continue;
		/* What a member does not take is lost with its connection,
		 * which then closes, as what it had not read yet. */
		(void)deliver_run(w, &run, d->member[i]);
		msg_take_stall(m, &run);
	}
	for (i = 0; i < d->nslots; i++) {
		if (!gather(d, m, DEAL_MEMBERS + i, &run))
			continue;
		route_part(w, &part, &run, x, d->slot[i]);
		part.choice = &d->slot[i];
		route_write(w, &part, d->head_len[i]);
	}
}

/* At most so many of a run at a time; 0: none. */
static uint32_t
batch(const struct worker *w, const struct msg *m)
{
	uint32_t n = m->count < DEAL_MOST ? m->count : DEAL_MOST;
	uint64_t fit = DEAL_BYTES / ((uint64_t)m->size + 2);

	if (n > fit)
		n = (uint32_t)fit;
	/* With this option each message asks how full its reader is. */
	return n < DEAL_LEAST || w->conf.no_fast_producer_stall ? 0 : n;
}

bool
deal_run(struct worker *w, struct msg *m, const struct match *x,
    struct route_result *r)
{
	uint32_t n = batch(w, m);

	if (n == 0 || m->from.ask || x->plain_slots != 0 || x->ngroup != 1 ||
	    !who_may(w, m, x, &x->group[0]))
		return false;
	n = draw_all(w, m, x, n, r);
	deal_out(w, m, x, n);
	r->routed += n;
	return true;
}

bool
deal_received(struct worker *w, struct msg *m, const cellno *cell, uint32_t n)
{
	struct deal *d = w->deal;
	struct msg rest = *m;
	uint32_t i, k;

	if (batch(w, m) == 0)
		return false;
	d->nmembers = d->nslots = 0;
	w->mark++;
	for (i = 0; i < n; i++)
		if (!add_members(w, m, cell[i]))
			return false;
	if (d->nmembers == 0)
		return false;
	d->total = d->nmembers;
	while (rest.count > 0) {
		if ((n = batch(w, &rest)) == 0)
			n = rest.count;
		for (k = 0; k < n; k++)
			d->to[k] = (uint16_t)draw(w, d->total);
		deal_out(w, &rest, NULL, n);
		rest.body += n * rest.stride;
		rest.count -= n;
	}
	msg_take_stall(m, &rest);
	return true;
}
