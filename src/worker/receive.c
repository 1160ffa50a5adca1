/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A message that another worker sent here.  The record is foreign memory,
 * treated as a packet: its head is read once into a local, every length is
 * checked against what is there, and only then used.
 */
#include <config.h>

#include <string.h>

#include "worker/worker_priv.h"

#define BIT(slot) (UINT64_C(1) << (slot))
#define PAD8(n) (((uint64_t)(n) + 7) & ~UINT64_C(7))
#define GROUP_CELLS_MAX 256

/* A record taken apart. */
struct received {
	struct rec_msg_shm r;
	const uint8_t *refs; /* r.nplain of them */
	const uint8_t *groups; /* r.ngroups of them */
	const uint8_t *groups_end;
	struct msg m;
};

/* One group of a record. */
struct received_group {
	const uint8_t *name;
	uint32_t namelen;
	const uint8_t *refs;
	uint32_t nrefs;
};

/* The group at *at, or false if it does not lie before end. */
static bool
next_group(const uint8_t **at, const uint8_t *end, struct received_group *g)
{
	struct rec_group_shm h;
	uint64_t len;

	if ((size_t)(end - *at) < sizeof h)
		return false;
	memcpy(&h, *at, sizeof h);
	if (h.namelen == 0 || h.namelen > TRIE_QNAME_MAX ||
	    h.nrefs > RECORD_REFS_MAX)
		return false;
	len = PAD8(h.namelen) + h.nrefs * sizeof(struct rec_ref_shm);
	if ((size_t)(end - *at) - sizeof h < len)
		return false;
	g->name = *at + sizeof h;
	g->namelen = h.namelen;
	g->refs = g->name + PAD8(h.namelen);
	g->nrefs = h.nrefs;
	*at += sizeof h + len;
	return true;
}

static int
take_apart(const uint8_t *rec, uint32_t len, struct received *x)
{
	const uint8_t *at = rec + sizeof x->r, *end = rec + len;
	struct received_group g;
	uint64_t bodies;
	uint32_t i;

	if (len < sizeof x->r)
		return -1;
	memcpy(&x->r, rec, sizeof x->r);
	if (x->r.nplain > RECORD_REFS_MAX || x->r.count == 0 ||
	    x->r.hdr_size > x->r.size || x->r.origin_slot >= SLOTS_MAX ||
	    x->r.subject_len == 0 ||
	    x->r.nplain * sizeof(struct rec_ref_shm) > (size_t)(end - at))
		return -1;
	x->refs = at;
	at += x->r.nplain * sizeof(struct rec_ref_shm);
	x->groups = at;
	for (i = 0; i < x->r.ngroups; i++)
		if (!next_group(&at, end, &g))
			return -1;
	x->groups_end = at;
	bodies = (uint64_t)x->r.count * ((uint64_t)x->r.size + 2);
	if ((uint64_t)(end - at) != (uint64_t)x->r.subject_len +
	    x->r.reply_len + bodies)
		return -1;
	x->m.subject.p = at;
	x->m.subject.len = x->r.subject_len;
	x->m.reply.p = at + x->r.subject_len;
	x->m.reply.len = x->r.reply_len;
	x->m.body = x->m.reply.p + x->r.reply_len;
	x->m.safe = end;
	return 0;
}

static void
fill_msg(struct received *x)
{
	struct msg *m = &x->m;
	const struct rec_msg_shm *r = &x->r;

	m->account = r->account;
	m->count = r->count;
	m->hdr_size = r->hdr_size;
	m->size = r->size;
	m->stride = (size_t)r->size + 2;
	m->stall_ms = 0;
	m->from.slot = r->origin_slot;
	m->from.incarnation = r->origin_incarnation;
	m->from.line = r->origin_line;
	m->from.num = r->origin_num;
	m->from.ticket = r->ticket;
	m->from.echo = (r->flags & RECORD_F_ECHO) != 0;
	m->from.ask = (r->flags & RECORD_F_ASK) != 0;
}

/* References as given; false if one is stale or unknown. */
static bool
live_refs(const struct worker *w, const uint8_t *p, uint32_t n,
    struct trie_ref *out)
{
	struct rec_ref_shm r;
	uint32_t i;

	for (i = 0; i < n; i++) {
		memcpy(&r, p + i * sizeof r, sizeof r);
		out[i].cell = r.cell;
		out[i].serial = r.serial;
		if (!trie_ref_live(w->trie, out[i]))
			return false;
	}
	return true;
}

/* Are all references of the record good?  Else the own interest is matched
 * anew and used alone. */
static bool
all_live(const struct worker *w, const struct received *x)
{
	struct trie_ref ref[RECORD_REFS_MAX];
	const uint8_t *at = x->groups;
	struct received_group g;
	uint32_t i;

	if ((x->r.flags & RECORD_F_REFS) == 0 ||
	    !live_refs(w, x->refs, x->r.nplain, ref))
		return false;
	for (i = 0; i < x->r.ngroups; i++)
		if (!next_group(&at, x->groups_end, &g) ||
		    !live_refs(w, g.refs, g.nrefs, ref))
			return false;
	return true;
}

/* Whether the references of the record are used (true), or *own. */
static bool
interest_here(struct worker *w, const struct received *x,
    const struct match **own)
{
	*own = NULL;
	if (all_live(w, x))
		return true;
	*own = match_own(&w->matcher, x->m.account, x->m.subject);
	if ((*own)->failed)
		log_limited(&w->limit_peer, LOG_LVL_ERR,
		    "message lost for some: out of memory");
	return false;
}

static bool
receive_plain(struct worker *w, struct received *x, bool refs,
    const struct match *own)
{
	struct match_plain node[RECORD_REFS_MAX];
	struct trie_ref ref[RECORD_REFS_MAX];
	uint32_t i;

	if (!refs)
		return deliver_plain(w, &x->m, own->plain, own->nplain);
	if (!live_refs(w, x->refs, x->r.nplain, ref))
		return false;
	for (i = 0; i < x->r.nplain; i++) {
		node[i].ref = ref[i];
		node[i].slot = w->self;
	}
	return deliver_plain(w, &x->m, node, x->r.nplain);
}

/* The cells here of one group; how many. */
static uint32_t
group_here(const struct worker *w, const struct received_group *g, bool refs,
    const struct match *own, cellno cell[GROUP_CELLS_MAX])
{
	struct trie_ref ref[RECORD_REFS_MAX];
	const struct match_group *mg;
	uint32_t n = 0, i;

	if (refs) {
		if (!live_refs(w, g->refs, g->nrefs, ref))
			return 0;
		for (; n < g->nrefs; n++)
			cell[n] = ref[n].cell;
		return n;
	}
	mg = match_group_named(own, g->name, g->namelen);
	for (i = mg == NULL ? 0 : mg->first; i != 0 && n < GROUP_CELLS_MAX;
	    i = own->part[i - 1].next)
		cell[n++] = own->part[i - 1].ref.cell;
	return n;
}

/* Groups that nobody here took go on to another slot; the duty to refuse goes
 * along with a single one. */
static void
pass_on(struct worker *w, struct received *x, uint64_t untaken,
    uint32_t nuntaken, bool taken)
{
	const uint8_t *at = x->groups;
	struct received_group g;
	bool ask = x->m.from.ask && !taken, passed = false;
	uint32_t i;

	x->m.from.ask = ask && nuntaken == 1;
	for (i = 0; i < x->r.ngroups && i < 64; i++) {
		if (!next_group(&at, x->groups_end, &g))
			break;
		if ((untaken & BIT(i)) != 0 && route_pass_on(w, &x->m,
		    g.name, g.namelen, x->r.tried, x->r.nslots))
			passed = true;
	}
	if (ask && !passed)
		peer_send_refused(w, &x->m, x->r.nslots);
}

/* A run, or one message for plain subscribers and groups. */
static void
receive_once(struct worker *w, struct received *x)
{
	const struct match *own;
	bool refs = interest_here(w, x, &own);
	cellno cell[GROUP_CELLS_MAX];
	const uint8_t *at = x->groups;
	struct received_group g;
	uint64_t untaken = 0;
	uint32_t i, n = 0;
	bool taken = false;

	if (x->r.flags & RECORD_F_PLAIN)
		taken = receive_plain(w, x, refs, own);
	for (i = 0; i < x->r.ngroups; i++) {
		if (!next_group(&at, x->groups_end, &g))
			break;
		if (deliver_group(w, &x->m, cell,
		    group_here(w, &g, refs, own, cell)))
			taken = true;
		else if (i < 64) {
			untaken |= BIT(i);
			n++;
		}
	}
	deliver_finish(w);
	if (n > 0 || (x->m.from.ask && !taken))
		pass_on(w, x, untaken, n, taken);
}

/* A run that was dealt out to this slot is dealt on among the members here;
 * false: it is to be taken one by one. */
static bool
receive_dealt(struct worker *w, struct received *x)
{
	const struct match *own;
	bool refs = interest_here(w, x, &own);
	cellno cell[GROUP_CELLS_MAX];
	const uint8_t *at = x->groups;
	struct received_group g;

	return next_group(&at, x->groups_end, &g) && deal_received(w, &x->m,
	    cell, group_here(w, &g, refs, own, cell));
}

static void
receive_runs(struct worker *w, struct received *x)
{
	uint32_t n = x->m.count;

	if (n == 1 || x->r.ngroups == 0) {
		receive_once(w, x);
		return;
	}
	if (receive_dealt(w, x))
		return;
	for (x->m.count = 1; n > 0; n--, x->m.body += x->m.stride)
		receive_once(w, x);
}

int
receive_msg(struct worker *w, slotno from, const uint8_t *rec, uint32_t len)
{
	struct received x;

	if (take_apart(rec, len, &x) != 0)
		return -1;
	fill_msg(&x);
	/* A run is for plain interest or for one group; refusals are decided
	 * message by message. */
	if (x.r.count > 1 && (x.m.from.ask || x.r.ngroups > 1 ||
	    (x.r.ngroups == 1 && (x.r.flags & RECORD_F_PLAIN) != 0)))
		return -1;
	/* Its worker may have read of a longer max_control_line before us. */
	if (worker_scratch(w, (uint64_t)x.r.subject_len + x.r.reply_len) != 0) {
		log_limited(&w->limit_peer, LOG_LVL_ERR,
		    "message lost: out of memory");
		return 0;
	}
	score_add(&w->score->ring_msgs_in, x.r.count);
	receive_runs(w, &x);
	if (x.m.stall_ms > 0)
		peer_stall(w, from, &x.m.from, x.m.stall_ms);
	return 0;
}
