/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Matching (in a worker).  The view says whether anything relevant can have
 * changed; in the same view the result at hand holds without a check.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "proto/subject.h"
#include "worker/match.h"

#define CACHE_WAYS 2
#define CACHE_MISSES 64u /* in a row: these subjects do not come again */

int
match_init(struct matcher *mt, uint32_t max_tokens)
{
	mt->view = 1;
	mt->cache = calloc(MATCH_CACHE, sizeof *mt->cache);
	if (mt->cache == NULL)
		return -1;
	return match_set_tokens(mt, max_tokens);
}

static void
result_fini(struct match *m)
{
	free(m->plain);
	free(m->group);
	free(m->part);
	free(m->names);
	memset(m, 0, sizeof *m);
}

void
match_fini(struct matcher *mt)
{
	uint32_t i;

	for (i = 0; mt->cache != NULL && i < MATCH_CACHE; i++)
		result_fini(&mt->cache[i].m);
	free(mt->cache);
	free(mt->tok);
	free(mt->last_subject);
	result_fini(&mt->memo);
	result_fini(&mt->own);
}

int
match_set_tokens(struct matcher *mt, uint32_t max_tokens)
{
	struct token *nt;

	if (max_tokens <= mt->captok)
		return 0;
	if ((nt = realloc(mt->tok, max_tokens * sizeof *nt)) == NULL)
		return -1;
	mt->tok = nt;
	mt->captok = max_tokens;
	return 0;
}

uint32_t
match_split(struct matcher *mt, struct slice subject)
{
	return subject_split(subject.p, subject.len, mt->hash_seed, mt->tok,
	    mt->captok);
}

/* ---- the view -------------------------------------------------------- */

bool
match_look(struct matcher *mt)
{
	uint64_t membership = slots_membership(mt->slots), live, set, bumps;
	bool changed = membership != mt->membership, raise = changed;
	slotno s;

	/* The live word is loaded after membership: who has seen a membership
	 * has at least its live word.  Stored in the same order reversed by
	 * slots_set_dead() and slots_set_live() in slots.c. */
	live = slots_live(mt->slots) & mt->readable;
	if (live != mt->live)
		raise = true;
	if (changed)
		mt->rooted = 0;
	mt->membership = membership;
	mt->live = live;
	for (set = live; set != 0; set &= set - 1) {
		s = (slotno)__builtin_ctzll(set);
		bumps = trie_bumps(&mt->reader[s]);
		if (bumps != mt->bumps[s]) {
			mt->bumps[s] = bumps;
			mt->rooted &= ~(UINT64_C(1) << s);
			raise = true;
		}
	}
	if (raise)
		mt->view++;
	return changed;
}

void
match_changed(struct matcher *mt)
{
	mt->bumps[mt->self] = trie_bumps(&mt->reader[mt->self]);
	mt->rooted &= ~(UINT64_C(1) << mt->self);
	mt->view++;
}

/* ---- a walk ---------------------------------------------------------- */

struct walk {
	struct match *m;
	slotno slot;
};

static int
grow(void **p, uint32_t *cap, uint32_t need, size_t size)
{
	uint32_t n = *cap == 0 ? 8 : *cap;
	void *np;

	while (n < need)
		n *= 2;
	if ((np = realloc(*p, n * size)) == NULL)
		return -1;
	*p = np;
	*cap = n;
	return 0;
}

#define GROW(m, arr, cap, need) \
	((need) <= (m)->cap ? 0 : \
	grow((void **)&(m)->arr, &(m)->cap, (need), sizeof *(m)->arr))

static void
walk_plain(void *ctx, struct trie_ref node)
{
	struct walk *w = ctx;
	struct match *m = w->m;

	if (GROW(m, plain, capplain, m->nplain + 1) != 0) {
		m->failed = true;
		return;
	}
	m->plain[m->nplain].ref = node;
	m->plain[m->nplain].slot = w->slot;
	m->nplain++;
	m->plain_slots |= UINT64_C(1) << w->slot;
}

static struct match_group *
group_get(struct match *m, uint32_t hash, const uint8_t *name, uint32_t len)
{
	struct match_group *g;
	uint32_t i;

	for (i = 0; i < m->ngroup; i++) {
		g = &m->group[i];
		if (g->hash == hash && g->namelen == len &&
		    memcmp(m->names + g->name, name, len) == 0)
			return g;
	}
	if (GROW(m, group, capgroup, m->ngroup + 1) != 0 ||
	    GROW(m, names, capnames, m->nnames + len) != 0)
		return NULL;
	g = &m->group[m->ngroup++];
	memset(g, 0, sizeof *g);
	g->name = m->nnames;
	g->namelen = len;
	g->hash = hash;
	memcpy(m->names + m->nnames, name, len);
	m->nnames += len;
	return g;
}

static void
walk_group(void *ctx, struct trie_ref cell, uint32_t namehash,
    const uint8_t *name, uint32_t namelen, uint32_t members)
{
	struct walk *w = ctx;
	struct match *m = w->m;
	struct match_group *g;
	struct match_part *p;

	(void)namehash; /* another's word: the own hash decides */
	namehash = (uint32_t)hash_bytes(name, namelen, 0);
	g = group_get(m, namehash, name, namelen);
	if (g == NULL || GROW(m, part, cappart, m->npart + 1) != 0) {
		m->failed = true;
		return;
	}
	p = &m->part[m->npart++];
	p->ref = cell;
	p->slot = w->slot;
	p->members = members;
	p->next = 0;
	if (g->last != 0)
		m->part[g->last - 1].next = m->npart;
	else
		g->first = m->npart;
	g->last = m->npart;
	g->slots |= UINT64_C(1) << w->slot;
}

static const struct trie_match_ops walk_ops = { walk_plain, walk_group };

static void
result_reset(struct match *m)
{
	m->plain_slots = 0;
	m->nplain = m->ngroup = m->npart = m->nnames = 0;
	m->failed = false;
}

/* The root of that account's trie in a slot, looked for once as long as
 * nothing changes there; -1: the zone is broken. */
static inline int
root_of(struct matcher *mt, slotno s, uint32_t account, cellno *root)
{
	if (account != mt->root_account) {
		mt->root_account = account;
		mt->rooted = 0;
	}
	if ((mt->rooted & UINT64_C(1) << s) == 0) {
		if (trie_root(&mt->reader[s], account, &mt->root[s]) != 0)
			return -1;
		mt->rooted |= UINT64_C(1) << s;
	}
	*root = mt->root[s];
	return 0;
}

/* Walk the tries of `slots` for the n tokens in mt->tok. */
static void
walk_slots(struct matcher *mt, uint64_t slots, uint32_t account, uint32_t n,
    struct match *m)
{
	struct walk w;
	cellno root;
	uint64_t set;
	slotno s;

	result_reset(m);
	w.m = m;
	for (set = slots; set != 0; set &= set - 1) {
		s = w.slot = (slotno)__builtin_ctzll(set);
		if (root_of(mt, s, account, &root) == 0 && (root == 0 ||
		    trie_match_from(&mt->reader[s], root, mt->tok, n,
		    &walk_ops, &w) == 0))
			continue;
		mt->readable &= ~(UINT64_C(1) << s);
		mt->live &= mt->readable;
		mt->view++;
		mt->broken(mt->ctx, s);
	}
	mt->walks++;
}

/* ---- the cache ------------------------------------------------------- */

static uint64_t
gens_sum(const struct matcher *mt, const struct trie_gens *g)
{
	uint64_t set, sum = 0;

	for (set = mt->live; set != 0; set &= set - 1)
		sum += trie_gens_sum(&mt->reader[__builtin_ctzll(set)], g);
	return sum;
}

/* A kept result that holds in this view, or NULL; *slotp: where one for this
 * subject would go. */
static struct match_entry *
cache_find(struct matcher *mt, uint32_t account, struct slice subject,
    uint32_t hash, struct match_entry **slotp)
{
	struct match_entry *e;
	uint32_t i, set = (hash % (MATCH_CACHE / CACHE_WAYS)) * CACHE_WAYS;

	for (i = 0; i < CACHE_WAYS; i++) {
		e = &mt->cache[set + i];
		if (mt->tag[set + i] == hash && e->len == subject.len &&
		    e->account == account &&
		    memcmp(e->subject, subject.p, subject.len) == 0) {
			*slotp = e;
			if (e->view == mt->view)
				return e;
			if (e->membership != mt->membership ||
			    e->sum != gens_sum(mt, &e->gens))
				return NULL;
			e->view = mt->view;
			return e;
		}
	}
	*slotp = NULL;
	return NULL;
}

/* Where a result for that hash may go: an empty place, else the one not used
 * for longest. */
static struct match_entry *
cache_place(struct matcher *mt, uint32_t hash)
{
	struct match_entry *e = &mt->cache[(hash % (MATCH_CACHE /
	    CACHE_WAYS)) * CACHE_WAYS], *place = e;
	uint32_t i;

	for (i = 1; i < CACHE_WAYS; i++)
		if (e[i].len == 0 ||
		    (place->len != 0 && e[i].view < place->view))
			place = &e[i];
	return place;
}

/* Where subjects never come again, only one in sixteen is looked for. */
static inline bool
cache_try(struct matcher *mt)
{
	return mt->misses++ < CACHE_MISSES || mt->misses % 16 == 0;
}

/* The cache takes a subject at its second use: replies come once. */
static bool
seen_before(struct matcher *mt, uint32_t hash)
{
	uint32_t *s = &mt->seen[hash % MATCH_SEEN];

	if (*s == hash) {
		mt->misses = 0;
		return true;
	}
	*s = hash;
	return false;
}

static const struct match *
cache_fill(struct matcher *mt, struct match_entry *e, uint32_t account,
    struct slice subject, uint32_t hash, uint32_t n)
{
	/* The sum is taken before the walk: a change meanwhile makes them
	 * unequal at the next look. */
	trie_gens_of(mt->hash_seed, account, mt->tok, n, &e->gens);
	e->sum = gens_sum(mt, &e->gens);
	e->membership = mt->membership;
	e->account = account;
	mt->tag[e - mt->cache] = hash;
	e->len = subject.len;
	memcpy(e->subject, subject.p, subject.len);
	walk_slots(mt, mt->live, account, n, &e->m);
	e->view = mt->view;
	if (e->m.failed)
		e->len = 0;
	return &e->m;
}

static void
memo_note(struct matcher *mt, const struct match *m, uint32_t account,
    struct slice subject)
{
	uint8_t *np;

	mt->last = NULL;
	if (subject.len > mt->cap_last) {
		np = realloc(mt->last_subject, subject.len + 64);
		if (np == NULL)
			return;
		mt->last_subject = np;
		mt->cap_last = subject.len + 64;
	}
	memcpy(mt->last_subject, subject.p, subject.len);
	mt->last_len = subject.len;
	mt->last_account = account;
	mt->last_view = mt->view;
	mt->last = m;
}

static const struct match *
find_walking(struct matcher *mt, uint32_t account, struct slice subject)
{
	uint32_t n = match_split(mt, subject);

	if (n == 0)
		result_reset(&mt->memo);
	else
		walk_slots(mt, mt->live, account, n, &mt->memo);
	return &mt->memo;
}

static const struct match *
find_cached(struct matcher *mt, uint32_t account, struct slice subject)
{
	uint32_t hash = (uint32_t)hash_bytes(subject.p, subject.len,
	    mt->hash_seed + account), n;
	struct match_entry *e, *place = NULL;

	if ((e = cache_find(mt, account, subject, hash, &place)) != NULL) {
		mt->hits++;
		mt->misses = 0;
		return &e->m;
	}
	if (!seen_before(mt, hash) || (n = match_split(mt, subject)) == 0)
		return find_walking(mt, account, subject);
	return cache_fill(mt, place != NULL ? place : cache_place(mt, hash),
	    account, subject, hash, n);
}

const struct match *
match_find(struct matcher *mt, uint32_t account, struct slice subject)
{
	const struct match *m;

	/* Subjects that differ mostly differ at the end. */
	if (mt->last != NULL && mt->last_view == mt->view &&
	    mt->last_len == subject.len && mt->last_account == account &&
	    mt->last_subject[subject.len - 1] == subject.p[subject.len - 1] &&
	    memcmp(mt->last_subject, subject.p, subject.len) == 0)
		return mt->last;
	if (subject.len <= MATCH_SUBJECT_MAX && cache_try(mt))
		m = find_cached(mt, account, subject);
	else
		m = find_walking(mt, account, subject);
	memo_note(mt, m, account, subject);
	if (m->failed)
		mt->last = NULL;
	return m;
}

const struct match *
match_own(struct matcher *mt, uint32_t account, struct slice subject)
{
	uint32_t n = match_split(mt, subject);

	result_reset(&mt->own);
	if (n > 0)
		walk_slots(mt, UINT64_C(1) << mt->self, account, n, &mt->own);
	return &mt->own;
}

const struct match_group *
match_group_named(const struct match *m, const uint8_t *name, uint32_t len)
{
	uint32_t i, hash = (uint32_t)hash_bytes(name, len, 0);

	for (i = 0; i < m->ngroup; i++)
		if (m->group[i].hash == hash && m->group[i].namelen == len &&
		    memcmp(m->names + m->group[i].name, name, len) == 0)
			return &m->group[i];
	return NULL;
}
