/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Routing: who gets a run, reserved in all rings before it goes anywhere.
 *
 * The usual case, plain interest alone, takes a run as a whole.  What needs a
 * decision for each message (queue groups, a 503 that is wanted) is taken one
 * by one with the same result of the match, or dealt out (deal.c).
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "proto/emit.h"
#include "worker/plan.h"
#include "worker/worker_priv.h"

#define BIT(slot) (UINT64_C(1) << (slot))

/* Is there room for a record of len bytes?  Nobody else may be ahead. */
static bool
room_for(struct worker *w, slotno s, uint32_t len)
{
	struct peer *p = &w->peer[s];

	if ((w->parked & BIT(s)) != 0 || p->outbox.len > 0)
		return false;
	if (ring_tx_fits(&p->tx, len))
		return true;
	p->need = len;
	score_add(&w->score->ring_full_waits, 1);
	return false;
}

/* Inlined, so that width is a constant: copies that run over into what the
 * next one overwrites.  How many went. */
static inline uint32_t
put_short(uint8_t *dst, const struct msg *m, size_t len, size_t width)
{
	const size_t stride = m->stride, total = m->count * len;
	const uint8_t *src = m->body;
	uint32_t i, n;

	if (total < width || m->safe - src < (ptrdiff_t)width)
		return 0;
	n = (uint32_t)((total - width) / len) + 1;
	i = (uint32_t)((size_t)(m->safe - src - (ptrdiff_t)width) / stride) +
	    1;
	n = i < n ? i : n;
	for (i = 0; i < n; i++, src += stride, dst += len)
		memcpy(dst, src, width);
	return n;
}

static void
put_bodies(uint8_t *dst, const struct msg *m)
{
	const size_t len = (size_t)m->size + 2;
	const uint8_t *src = m->body;
	uint32_t i = 0;

	if (m->count > 1 && len <= 32)
		i = put_short(dst, m, len, 32);
	else if (m->count > 1 && len <= 64)
		i = put_short(dst, m, len, 64);
	src += i * m->stride;
	dst += i * len;
	for (; i < m->count; i++, src += m->stride, dst += len)
		memcpy(dst, src, len);
}

void
route_write(struct worker *w, const struct plan_part *p, uint32_t head_len)
{
	struct peer *peer = &w->peer[p->slot];
	uint32_t body = p->m->count * (p->m->size + 2);
	uint8_t *rec;

	rec = (uint8_t *)ring_tx_reserve(&peer->tx, head_len + body);
	if (rec == NULL) {
		peer_broken(w, p->slot, "no room where there was some");
		return;
	}
	plan_head_write(p, body, rec);
	put_bodies(rec + head_len, p->m);
	ring_tx_commit(&peer->tx, head_len + body);
	w->dirty |= BIT(p->slot);
	score_add(&w->score->ring_msgs_out, p->m->count);
}

void
route_part(const struct worker *w, struct plan_part *p, const struct msg *m,
    const struct match *x, slotno slot)
{
	memset(p, 0, sizeof *p);
	p->m = m;
	p->x = x;
	p->slot = slot;
	p->target = w->peer[slot].incarnation;
	p->plain = (x->plain_slots & BIT(slot)) != 0;
}

/* Own plain nodes of a result: they stand together. */
static const struct match_plain *
own_nodes(const struct worker *w, const struct match *x, uint32_t *n)
{
	uint32_t i = 0, k;

	*n = 0;
	if ((x->plain_slots & BIT(w->self)) == 0)
		return NULL;
	while (x->plain[i].slot != w->self)
		i++;
	for (k = i; k < x->nplain && x->plain[k].slot == w->self; k++)
		;
	*n = k - i;
	return &x->plain[i];
}

static bool
deliver_own(struct worker *w, struct msg *m, const struct match *x)
{
	const struct match_plain *node;
	uint32_t n;

	if ((node = own_nodes(w, x, &n)) == NULL)
		return false;
	return deliver_plain(w, m, node, n);
}

/* ---- oversized ------------------------------------------------------- */

/* One message whose record for some slot is larger than half a ring: it takes
 * its turn in all its rings or in none. */
static bool
start_big(struct worker *w, struct client *c, struct plan_part *part,
    const uint32_t *head_len, uint32_t n, struct route_result *r)
{
	uint32_t i, body = part[0].m->size + 2;
	struct bigmsg *b;
	uint8_t *head;

	for (i = 0; i < n; i++)
		if (w->peer[part[i].slot].big != NULL ||
		    (w->parked & BIT(part[i].slot)) != 0)
			r->wait_slots |= BIT(part[i].slot);
	if (r->wait_slots != 0)
		return false;
	if ((b = big_new(w, c, part[0].m->body, body)) == NULL)
		goto nomem;
	for (i = 0; i < n; i++) {
		if ((head = malloc(head_len[i])) == NULL)
			goto nomem;
		plan_head_write(&part[i], body, head);
		big_target(b, part[i].slot, head, head_len[i]);
	}
	c->bigmsg = b;
	return true;
nomem:
	big_free(w, &b);
	client_no_memory(w, c);
	return false;
}

/* ---- plain interest alone -------------------------------------------- */

uint32_t
route_fits(struct worker *w, slotno s, const struct msg *m, uint32_t head_len,
    bool *big)
{
	struct ring_tx *tx = &w->peer[s].tx;
	uint32_t one = m->size + 2, n, room;

	if ((uint64_t)head_len + one > ring_tx_max(tx)) {
		*big = true;
		return 0;
	}
	if (!room_for(w, s, head_len + one))
		return 0;
	if (m->count == 1)
		return 1;
	/* At most a quarter of a ring goes as one run. */
	room = ring_tx_room(tx);
	if (room > tx->size / 4)
		room = (uint32_t)(tx->size / 4);
	if (room < head_len + one)
		return 1;
	n = (room - head_len) / one;
	return n < m->count ? n : m->count;
}

static void
route_plain(struct worker *w, struct client *c, struct msg *m,
    const struct match *x, struct route_result *r)
{
	uint64_t remote = x->plain_slots & w->usable & ~BIT(w->self), set;
	struct plan_part part[SLOTS_MAX];
	uint32_t head_len[SLOTS_MAX], n = 0, count = m->count, k, i;
	bool big = false;

	for (set = remote; set != 0; set &= set - 1, n++) {
		slotno s = (slotno)__builtin_ctzll(set);

		route_part(w, &part[n], m, x, s);
		head_len[n] = plan_head_len(&part[n]);
		k = route_fits(w, s, m, head_len[n], &big);
		if (k == 0 && !big)
			r->wait_slots |= BIT(s);
		else if (k < count)
			count = k;
	}
	if (big) {
		m->count = 1;
		r->wait_slots = 0;
		if (!start_big(w, c, part, head_len, n, r))
			return;
		n = 0;
	} else if (r->wait_slots != 0)
		return;
	else
		m->count = count;
	for (i = 0; i < n; i++)
		route_write(w, &part[i], head_len[i]);
	(void)deliver_own(w, m, x);
	deliver_finish(w);
	if (big)
		big_start(w, c->bigmsg);
	r->routed = m->count;
}

/* ---- message by message ---------------------------------------------- */

/* Cells of a group in one slot; the number of them, at most max. */
static uint32_t
group_cells(const struct match *x, const struct match_group *g, slotno slot,
    cellno *cell, uint32_t max)
{
	uint32_t i, n = 0;

	for (i = g->first; i != 0 && n < max; i = x->part[i - 1].next)
		if (x->part[i - 1].slot == slot)
			cell[n++] = x->part[i - 1].ref.cell;
	return n;
}

#define GROUP_CELLS_MAX 256

/* Weight of a part in the choice of a slot: its members; of the own ones
 * those that would take it if the publisher itself may be one of them. */
static uint32_t
part_weight(const struct worker *w, const struct msg *m,
    const struct match_part *p)
{
	cellno cell = p->ref.cell;

	if (p->slot != w->self || m->from.echo || m->from.slot != w->self)
		return p->members;
	return deliver_members(w, m, &cell, 1);
}

/* A slot at random by its number of members, out of `slots`. */
static slotno
choose_slot(struct worker *w, const struct msg *m, const struct match *x,
    const struct match_group *g, uint64_t slots)
{
	uint64_t sum = 0, at;
	uint32_t i, weight;

	for (i = g->first; i != 0; i = x->part[i - 1].next)
		if (slots & BIT(x->part[i - 1].slot))
			sum += part_weight(w, m, &x->part[i - 1]);
	if (sum == 0)
		return SLOTS_NONE;
	at = worker_random(w) % sum;
	for (i = g->first; i != 0; i = x->part[i - 1].next) {
		if ((slots & BIT(x->part[i - 1].slot)) == 0)
			continue;
		weight = part_weight(w, m, &x->part[i - 1]);
		if (at < weight)
			return x->part[i - 1].slot;
		at -= weight;
	}
	return SLOTS_NONE;
}

/* Where a group's message goes: another slot, or a member here (*member). */
static slotno
choose(struct worker *w, const struct msg *m, const struct match *x,
    const struct match_group *g, subno *member)
{
	uint64_t slots = g->slots & (w->usable | BIT(w->self));
	cellno cell[GROUP_CELLS_MAX];
	uint32_t n;
	slotno s;

	*member = 0;
	while ((s = choose_slot(w, m, x, g, slots)) == w->self) {
		n = group_cells(x, g, s, cell, GROUP_CELLS_MAX);
		if ((*member = deliver_pick(w, m, cell, n)) != 0)
			return s;
		slots &= ~BIT(s);
	}
	return s;
}

#define GROUPS_INLINE 16

struct single {
	slotno *choice; /* of each group */
	subno *member;
	slotno choice_in[GROUPS_INLINE];
	subno member_in[GROUPS_INLINE];
	void *heap;
	uint64_t remote;
};

static int
single_plan(struct worker *w, const struct msg *m, const struct match *x,
    struct single *s)
{
	uint32_t g;

	s->choice = s->choice_in;
	s->member = s->member_in;
	s->heap = NULL;
	if (x->ngroup > GROUPS_INLINE) {
		s->heap = malloc(x->ngroup * (sizeof *s->member +
		    sizeof *s->choice));
		if (s->heap == NULL)
			return -1;
		s->member = s->heap;
		s->choice = (slotno *)(s->member + x->ngroup);
	}
	s->remote = x->plain_slots & w->usable & ~BIT(w->self);
	for (g = 0; g < x->ngroup; g++) {
		s->choice[g] = choose(w, m, x, &x->group[g], &s->member[g]);
		if (s->choice[g] != SLOTS_NONE && s->choice[g] != w->self)
			s->remote |= BIT(s->choice[g]);
	}
	return 0;
}

/* To the own subscribers: plain ones first, then the chosen members. */
static bool
single_own(struct worker *w, struct msg *m, const struct match *x,
    const struct single *s)
{
	bool taken = deliver_own(w, m, x);
	cellno cell[GROUP_CELLS_MAX];
	uint32_t g, n;

	for (g = 0; g < x->ngroup; g++) {
		if (s->choice[g] != SLOTS_NONE && s->choice[g] != w->self)
			continue;
		if (s->member[g] != 0 && deliver_one(w, m, s->member[g])) {
			taken = true;
			continue;
		}
		n = group_cells(x, &x->group[g], w->self, cell,
		    GROUP_CELLS_MAX);
		if (s->member[g] != 0 && deliver_group(w, m, cell, n))
			taken = true;
		else
			deliver_dropped(w, m, cell, n);
	}
	return taken;
}

static void
single_ask(struct worker *w, struct client *c, const struct msg *m,
    uint64_t remote, bool taken)
{
	if (!m->from.ask || taken)
		return;
	if (remote == 0)
		route_no_responders(w, c, m->subject, m->reply);
	else
		c->asked |= remote;
}

/* The records of a message for its other slots, or what it waits for. */
static bool
single_reserve(struct worker *w, struct client *c, struct plan_part *part,
    uint32_t *head_len, uint32_t n, struct route_result *r)
{
	uint32_t i, one = part[0].m->size + 2;

	for (i = 0; i < n; i++)
		if ((uint64_t)head_len[i] + one >
		    ring_tx_max(&w->peer[part[i].slot].tx))
			return start_big(w, c, part, head_len, n, r);
	for (i = 0; i < n; i++)
		if (!room_for(w, part[i].slot, head_len[i] + one))
			r->wait_slots |= BIT(part[i].slot);
	return r->wait_slots == 0;
}

/* m->count is 1. */
static bool
route_single(struct worker *w, struct client *c, struct msg *m,
    const struct match *x, struct route_result *r)
{
	struct plan_part part[SLOTS_MAX];
	uint32_t head_len[SLOTS_MAX], n = 0, i;
	struct single s;
	uint64_t set;
	bool ok = false, taken;

	if (single_plan(w, m, x, &s) != 0) {
		client_no_memory(w, c);
		return false;
	}
	for (set = s.remote; set != 0; set &= set - 1, n++) {
		route_part(w, &part[n], m, x, (slotno)__builtin_ctzll(set));
		part[n].choice = s.choice;
		part[n].ask = m->from.ask;
		part[n].nslots = (uint32_t)__builtin_popcountll(s.remote);
		head_len[n] = plan_head_len(&part[n]);
	}
	if (n > 0 && !single_reserve(w, c, part, head_len, n, r))
		goto out;
	taken = single_own(w, m, x, &s);
	if (c->bigmsg != NULL) {
		if (taken)
			big_no_ask(c->bigmsg);
		big_start(w, c->bigmsg);
		n = 0;
	}
	for (i = 0; i < n; i++) {
		part[i].ask = m->from.ask && !taken;
		route_write(w, &part[i], head_len[i]);
	}
	single_ask(w, c, m, s.remote, taken);
	deliver_finish(w);
	ok = true;
out:
	free(s.heap);
	return ok;
}

void
route_run(struct worker *w, struct client *c, struct msg *m,
    struct route_result *r)
{
	const struct match *x = match_find(&w->matcher, m->account,
	    m->subject);
	uint32_t count = m->count;

	r->routed = 0;
	r->wait_slots = 0;
	if (__builtin_expect(x->failed, false)) {
		client_no_memory(w, c);
		return;
	}
	if (x->ngroup == 0 && !m->from.ask) {
		route_plain(w, c, m, x, r);
		return;
	}
	while (deal_run(w, m, x, r)) {
		m->body += (size_t)(r->routed - (count - m->count)) *
		    m->stride;
		m->count = count - r->routed;
		if (m->count == 0 || r->wait_slots != 0)
			return;
	}
	m->count = 1;
	while (r->routed < count && c->state == CLIENT_OPEN) {
		if (m->from.ask)
			m->from.ticket = ++c->ticket;
		if (!route_single(w, c, m, x, r))
			return;
		r->routed++;
		m->body += m->stride;
		if (c->bigmsg != NULL)
			return;
		if (r->routed == count || c->state != CLIENT_OPEN)
			return;
		/* A subscription that reached its max has changed the
		 * interest. */
		x = match_find(&w->matcher, m->account, m->subject);
		if (x->failed) {
			client_no_memory(w, c);
			return;
		}
	}
}

bool
route_pass_on(struct worker *w, const struct msg *m, const uint8_t *name,
    uint32_t namelen, uint64_t tried, uint32_t nslots)
{
	const struct match_group *g;
	slotno choice[GROUPS_INLINE], s;
	struct plan_part part;
	const struct match *x;
	uint32_t head_len, body = m->size + 2;
	struct match one;
	uint8_t *rec;
	bool sent;

	(void)match_look(&w->matcher);
	x = match_find(&w->matcher, m->account, m->subject);
	if ((g = match_group_named(x, name, namelen)) == NULL)
		return false;
	s = choose_slot(w, m, x, g, g->slots & w->usable & ~tried &
	    ~BIT(w->self));
	if (s == SLOTS_NONE)
		return false;
	/* A result with this group alone. */
	one = *x;
	one.plain_slots = 0;
	one.nplain = 0;
	one.ngroup = 1;
	one.group = (struct match_group *)(uintptr_t)g;
	choice[0] = s;
	route_part(w, &part, m, &one, s);
	part.choice = choice;
	part.ask = m->from.ask;
	part.nslots = nslots;
	part.tried = tried | BIT(w->self);
	head_len = plan_head_len(&part);
	if ((rec = malloc(head_len + body)) == NULL) {
		score_add(&w->score->drain_drops, 1);
		return false;
	}
	plan_head_write(&part, body, rec);
	memcpy(rec + head_len, m->body, body);
	/* It lies in another's memory, and may have changed since. */
	memcpy(rec + head_len + m->size, "\r\n", 2);
	sent = peer_send(w, s, rec, head_len + body);
	free(rec);
	return sent;
}

void
route_no_responders(struct worker *w, struct client *c, struct slice subject,
    struct slice reply)
{
	const struct match *x = match_own(&w->matcher, ACCOUNT_DEFAULT,
	    reply);
	struct slice sid;
	const struct sub *s;
	uint8_t *line;
	uint32_t i;
	subno no;

	if (x->failed) {
		/* It would wait for an answer in vain. */
		client_no_memory(w, c);
		return;
	}
	for (i = 0; i < x->nplain; i++) {
		no = subs_of_cell(&w->subs, x->plain[i].ref.cell);
		for (; no != 0; no = s->next) {
			s = subs_at(&w->subs, no);
			if (s->who != &c->who)
				continue;
			sid = sub_sid(s);
			line = malloc(emit_503_max(subject.len, sid.len,
			    reply.len));
			if (line == NULL) {
				client_no_memory(w, c);
				return;
			}
			client_write(w, c, line, emit_503(line, reply, sid,
			    subject));
			free(line);
			return;
		}
	}
}
