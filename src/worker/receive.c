/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A message that another worker sent here.  The record is foreign memory,
 * treated as a packet: its head, references, groups, subject and reply are
 * copied, every length is checked against what is there, and only then used.
 * A reference is taken only for what it says: a cell whose pattern matches the
 * subject, a group of that name.  Bodies are used where they lie, except for
 * their line ends (client_out.c).
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "proto/subject.h"
#include "worker/worker_priv.h"

#define BIT(slot) (UINT64_C(1) << (slot))
#define PAD8(n) (((uint64_t)(n) + 7) & ~UINT64_C(7))
#define GROUP_CELLS_MAX 256
/* Longest subject and reply: those of the longest max_control_line. */
#define NAMES_MAX (1u << 20)
/* Of longer ones the memory is given back. */
#define NAMES_KEPT (1u << 10)

enum taken {
	TAKE_OK,
	TAKE_BROKEN, /* no sane worker has written this */
	TAKE_NO_MEMORY
};

/* A record taken apart. */
struct received {
	struct rec_msg_shm r;
	const uint8_t *refs; /* r.nplain of them */
	const uint8_t *groups; /* r.ngroups of them */
	const uint8_t *groups_end;
	struct record_names *names; /* where they lie */
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

/* Where names that end like these are kept: in front of them is the record's
 * head. */
static struct record_names *
names_place(struct worker *w, const uint8_t *end)
{
	return &w->names[hash_mix(hash_load64(end - 8), HASH_K1) >>
	    (64 - RECORD_NAMES_BITS)];
}

/* Is it the same as before?  Compared with the copy, which alone is used. */
static bool
same_names(const struct record_names *h, const struct rec_msg_shm *r,
    const uint8_t *p, size_t len)
{
	return h->len == len && h->nplain == r->nplain &&
	    h->flags == r->flags && h->ngroups == r->ngroups &&
	    h->subject_len == r->subject_len &&
	    h->reply_len == r->reply_len && memcmp(h->p, p, len) == 0;
}

/* References, groups, subject and reply into our own memory: what is checked
 * there stays as it is.  -1: no memory. */
static int
keep_names(struct record_names *h, const struct rec_msg_shm *r,
    const uint8_t *p, size_t len)
{
	uint8_t *np;

	if (same_names(h, r, p, len))
		return 0;
	h->view = 0;
	if (len > h->cap || (h->cap > NAMES_KEPT && len <= NAMES_KEPT)) {
		size_t cap = len > NAMES_KEPT ? len : NAMES_KEPT;

		if ((np = realloc(h->p, cap)) == NULL)
			return -1;
		h->p = np;
		h->cap = cap;
	}
	memcpy(h->p, p, len);
	h->len = len;
	h->nplain = r->nplain;
	h->flags = r->flags;
	h->ngroups = r->ngroups;
	h->subject_len = r->subject_len;
	h->reply_len = r->reply_len;
	return 0;
}

/* Where its parts lie in our copy; -1 if they do not fill it. */
static int
find_parts(const struct record_names *h, struct received *x)
{
	const uint8_t *at = h->p, *end = h->p + h->len;
	struct received_group g;
	uint32_t i;

	if (x->r.nplain * sizeof(struct rec_ref_shm) > (size_t)(end - at))
		return -1;
	x->refs = at;
	at += x->r.nplain * sizeof(struct rec_ref_shm);
	x->groups = at;
	for (i = 0; i < x->r.ngroups; i++)
		if (!next_group(&at, end, &g))
			return -1;
	x->groups_end = at;
	if ((uint64_t)(end - at) !=
	    (uint64_t)x->r.subject_len + x->r.reply_len)
		return -1;
	x->m.subject.p = at;
	x->m.subject.len = x->r.subject_len;
	x->m.reply.p = at + x->r.subject_len;
	x->m.reply.len = x->r.reply_len;
	return 0;
}

/* The fixed part of the record, and that its bodies fit behind it. */
static bool
head_valid(const struct worker *w, slotno from, const struct rec_msg_shm *r,
    uint64_t room)
{
	/* Below 2^64, whatever the two are. */
	uint64_t bodies = (uint64_t)r->count * ((uint64_t)r->size + 2);

	if (r->nplain > RECORD_REFS_MAX || r->count == 0 ||
	    r->hdr_size > r->size || bodies > room ||
	    r->account != ACCOUNT_DEFAULT || r->origin_slot >= w->nslots ||
	    r->subject_len == 0 || r->subject_len > room - bodies ||
	    r->subject_len > NAMES_MAX || r->reply_len > NAMES_MAX)
		return false;
	/* Of somebody else's only what he says to have passed on. */
	if (r->origin_slot != from && (r->tried & BIT(from)) == 0)
		return false;
	/* A run is for plain interest or for one group; refusals are decided
	 * message by message. */
	return r->count == 1 || ((r->flags & RECORD_F_ASK) == 0 &&
	    (r->ngroups == 0 || (r->ngroups == 1 &&
	    (r->flags & RECORD_F_PLAIN) == 0)));
}

static enum taken
take_apart(struct worker *w, slotno from, const uint8_t *rec, uint32_t len,
    struct received *x)
{
	const uint8_t *names = rec + sizeof x->r, *end = rec + len;

	if (len < sizeof x->r)
		return TAKE_BROKEN;
	memcpy(&x->r, rec, sizeof x->r);
	if (!head_valid(w, from, &x->r, len - sizeof x->r))
		return TAKE_BROKEN;
	x->m.body = end - (uint64_t)x->r.count * ((uint64_t)x->r.size + 2);
	x->m.safe = end;
	if (memcmp(end - 2, "\r\n", 2) != 0)
		return TAKE_BROKEN;
	/* Its worker may have read of a longer max_control_line before us. */
	x->names = names_place(w, x->m.body);
	if (keep_names(x->names, &x->r, names,
	    (size_t)(x->m.body - names)) != 0 ||
	    worker_scratch(w, (uint64_t)x->r.subject_len +
	    x->r.reply_len) != 0)
		return TAKE_NO_MEMORY;
	if (find_parts(x->names, x) != 0)
		return TAKE_BROKEN;
	if (x->names->view == 0 && (!subject_valid_word(x->m.subject.p,
	    x->m.subject.len) || !subject_valid_word(x->m.reply.p,
	    x->m.reply.len)))
		return TAKE_BROKEN;
	return TAKE_OK;
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

enum refs {
	REFS_GOOD,
	REFS_STALE, /* one is, or none are given: match anew */
	REFS_WRONG /* one is for another subject, or another group */
};

/* `name`: of the group that they are for, NULL for plain ones. */
static enum refs
judge_refs(const struct worker *w, const uint8_t *p, uint32_t n,
    uint32_t ntok, const struct received_group *name)
{
	struct trie_ref ref[RECORD_REFS_MAX];
	uint32_t i;

	if (!live_refs(w, p, n, ref))
		return REFS_STALE;
	for (i = 0; i < n; i++) {
		if (!trie_ref_matches(w->trie, ref[i], w->matcher.tok, ntok))
			return REFS_WRONG;
		if (name != NULL && !trie_ref_named(w->trie, ref[i],
		    name->name, name->namelen))
			return REFS_WRONG;
	}
	return REFS_GOOD;
}

/* Are all references of the record good?  Else the own interest is matched
 * anew and used alone. */
static enum refs
judge_all(struct worker *w, const struct received *x)
{
	const uint8_t *at = x->groups;
	struct received_group g;
	enum refs verdict;
	uint32_t i, n;

	if ((x->r.flags & RECORD_F_REFS) == 0)
		return REFS_STALE;
	/* Too many tokens for our max_control_line: nothing matches. */
	if ((n = match_split(&w->matcher, x->m.subject)) == 0)
		return REFS_STALE;
	verdict = judge_refs(w, x->refs, x->r.nplain, n, NULL);
	for (i = 0; verdict == REFS_GOOD && i < x->r.ngroups; i++) {
		if (!next_group(&at, x->groups_end, &g))
			return REFS_WRONG;
		verdict = judge_refs(w, g.refs, g.nrefs, n, &g);
	}
	return verdict;
}

/* The same, remembered for the next record like this; false: broken. */
static bool
refs_valid(struct worker *w, const struct received *x)
{
	struct record_names *h = x->names;
	enum refs verdict;

	if (h->view == w->matcher.view)
		return true;
	verdict = judge_all(w, x);
	h->view = w->matcher.view;
	h->good = verdict == REFS_GOOD;
	if (verdict == REFS_WRONG)
		h->view = 0;
	return verdict != REFS_WRONG;
}

/* Whether the references of the record are used (true), or *own. */
static bool
interest_here(struct worker *w, const struct received *x,
    const struct match **own)
{
	*own = NULL;
	if (refs_valid(w, x) && x->names->good)
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

/* A message of a group is for nobody. */
static void
lost(struct worker *w, const struct received *x,
    const struct received_group *g)
{
	const struct match *own;
	bool refs = interest_here(w, x, &own);
	cellno cell[GROUP_CELLS_MAX];

	deliver_dropped(w, &x->m, cell, group_here(w, g, refs, own, cell));
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
		if ((untaken & BIT(i)) == 0)
			continue;
		if (route_pass_on(w, &x->m, g.name, g.namelen, x->r.tried,
		    x->r.nslots))
			passed = true;
		else
			lost(w, x, &g);
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

	switch (take_apart(w, from, rec, len, &x)) {
	case TAKE_BROKEN:
		return -1;
	case TAKE_NO_MEMORY:
		log_limited(&w->limit_peer, LOG_LVL_ERR,
		    "message lost: out of memory");
		return 0;
	case TAKE_OK:
		break;
	}
	if (!refs_valid(w, &x))
		return -1;
	fill_msg(&x);
	score_add(&w->score->ring_msgs_in, x.r.count);
	w->receiving = true;
	receive_runs(w, &x);
	w->receiving = false;
	if (x.m.stall_ms > 0)
		peer_stall(w, from, &x.m);
	return 0;
}

void
receive_fini(struct worker *w)
{
	int i;

	for (i = 0; i < RECORD_NAMES; i++)
		free(w->names[i].p);
}
