/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The subject index: what a walk finds, compared with a plain list of
 * patterns; references, generations, growth, a full zone, broken zones.
 */
#include <config.h>

#include <errno.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "lib/unit.h"
#include "shm/trie.h"
#include "shm/trie_priv.h"
#include "shm/zone.h"

#define SEED UINT64_C(0x1234567890abcdef)
#define INDEX_BYTES (UINT64_C(64) << 20)
#define TOKENS_MAX 4096
#define HITS_MAX 65536

struct hit {
	struct trie_ref ref;
	uint32_t members; /* 0: plain */
	uint32_t namelen;
	uint8_t name[64];
	uint32_t namehash;
};

static struct zone_fds fds;
static struct zone zone_rw;
static struct zone zone_ro;
static struct slots_shm slots; /* all spare: nobody holds anything back */
static struct quiesce_view view;
static struct trie *trie;
static struct trie_reader reader;
static struct hit hits[HITS_MAX];
static uint32_t nhits;

/* ---- helpers ---- */

static uint32_t
rnd(uint64_t *state, uint32_t n)
{
	*state += HASH_K0;
	return (uint32_t)(hash_mix(*state, HASH_K1) >> 32) % n;
}

static uint32_t
split(const char *subject, struct token *tok)
{
	const char *p = subject, *dot;
	uint32_t n = 0;

	for (;;) {
		dot = strchr(p, '.');
		tok[n].p = (const uint8_t *)p;
		tok[n].len = (uint32_t)(dot ? (size_t)(dot - p) : strlen(p));
		tok[n].hash = (uint32_t)hash_bytes(p, tok[n].len, SEED);
		n++;
		if (dot == NULL)
			return n;
		p = dot + 1;
	}
}

static enum trie_status
add_account(uint32_t account, const char *pattern, struct trie_ref *ref)
{
	static struct token tok[TOKENS_MAX];
	uint32_t n = split(pattern, tok);

	return trie_add_plain(trie, account, tok, n, ref);
}

static struct trie_ref
add(const char *pattern)
{
	struct trie_ref ref;

	ck_assert_int_eq(add_account(1, pattern, &ref), TRIE_OK);
	return ref;
}

static enum trie_status
add_group_n(const char *pattern, const void *name, uint32_t len,
    struct trie_ref *ref)
{
	static struct token tok[TOKENS_MAX];
	uint32_t n = split(pattern, tok);

	return trie_add_group(trie, 1, tok, n, name, len, ref);
}

static struct trie_ref
add_group(const char *pattern, const char *name)
{
	struct trie_ref ref;

	ck_assert_int_eq(add_group_n(pattern, name, (uint32_t)strlen(name),
	    &ref), TRIE_OK);
	return ref;
}

static void
on_plain(void *ctx, struct trie_ref node)
{
	(void)ctx;
	ck_assert_uint_lt(nhits, HITS_MAX);
	hits[nhits++] = (struct hit){ .ref = node };
}

static void
on_group(void *ctx, struct trie_ref cell, uint32_t namehash,
    const uint8_t *name, uint32_t namelen, uint32_t members)
{
	struct hit *h = &hits[nhits];

	(void)ctx;
	ck_assert_uint_lt(nhits, HITS_MAX);
	nhits++;
	*h = (struct hit){ .ref = cell, .members = members,
	    .namelen = namelen, .namehash = namehash };
	memcpy(h->name, name, namelen < sizeof h->name ? namelen :
	    sizeof h->name);
}

static const struct trie_match_ops ops = { on_plain, on_group };

static int
match_account(uint32_t account, const char *subject)
{
	static struct token tok[TOKENS_MAX];
	uint32_t n = split(subject, tok);

	nhits = 0;
	return trie_match(&reader, account, tok, n, &ops, NULL);
}

static uint32_t
match(const char *subject)
{
	ck_assert_int_eq(match_account(1, subject), 0);
	return nhits;
}

static uint64_t
gens(uint32_t account, const char *subject)
{
	static struct token tok[TOKENS_MAX];
	uint32_t n = split(subject, tok);
	struct trie_gens g;

	trie_gens_of(SEED, account, tok, n, &g);
	return trie_gens_sum(&reader, &g);
}

static void
settle(void)
{
	int i;

	for (i = 0; i < 64; i++)
		ck_assert_uint_eq(trie_reclaim(trie), 0);
}

/* The same with a reader that passes its quiescent states meanwhile. */
static void
settle_as(struct own_shm *own)
{
	int i;

	for (i = 0; i < 64; i++) {
		(void)trie_reclaim(trie);
		quiesce_pass(own);
	}
}

static void
open_trie(uint64_t limit)
{
	ck_assert_int_eq(trie_new(&zone_rw, SEED, &view, limit, &trie), 0);
	ck_assert_int_eq(trie_reader_attach(&reader, &zone_ro, SEED), 0);
}

static void
setup(void)
{
	ck_assert_int_eq(zone_create("test-index", TRIE_MAGIC,
	    trie_shm_size(INDEX_BYTES), &fds), 0);
	ck_assert_int_eq(zone_map_rw(&fds, TRIE_MAGIC, &zone_rw), 0);
	ck_assert_int_eq(zone_map_ro(&fds, TRIE_MAGIC, &zone_ro), 0);
	trie_shm_init(zone_rw.base, INDEX_BYTES, 0);
	view = (struct quiesce_view){ .slots = &slots, .self = 0 };
	open_trie(INDEX_BYTES);
}

static void
teardown(void)
{
	trie_free(&trie);
	zone_unmap(&zone_rw);
	zone_unmap(&zone_ro);
	zone_close(&fds);
}

/* A new process in the slot, after the master has emptied the zone. */
static void
succeed(void)
{
	trie_free(&trie);
	ck_assert_int_eq(zone_punch(&fds, trie_head_size(),
	    zone_rw.size - trie_head_size()), 0);
	open_trie(INDEX_BYTES);
}

/* ---- single facts ---- */

static const struct {
	const char *pattern;
	const char *subject;
	bool matches;
} facts[] = {
	{ "a", "a", true },
	{ "a", "b", false },
	{ "a", "a.b", false },
	{ "a.b", "a", false },
	{ "*", "a", true },
	{ "*", "a.b", false },
	{ ">", "a", true },
	{ ">", "a.b.c.d", true },
	{ "a.>", "a", false },
	{ "a.>", "a.b", true },
	{ "a.>", "a.b.c", true },
	{ "a.>", "b.c", false },
	{ "a.*", "a.b", true },
	{ "a.*", "a", false },
	{ "a.*.c", "a.b.c", true },
	{ "a.*.c", "a.b.d", false },
	{ "*.*", "a.b", true },
	{ "*.b.>", "a.b.c", true },
	{ "*.b.>", "a.b", false },
	{ "*.*.*", "a.b.c", true },
	/* wildcard characters inside tokens are ordinary */
	{ "a*", "a*", true },
	{ "a*", "ab", false },
	{ "b>r.x", "b>r.x", true },
	{ "**", "**", true },
	{ "**", "a", false },
	{ ">>", ">>", true },
	{ "*>", "a>", false },
	{ "a.>b", "a.>b", true },
	{ "a.>b", "a.c", false },
	/* in a published subject they are literal even alone */
	{ "a.*", "a.*", true },
	{ "a.>", "a.>", true },
	{ "a.b", "a.*", false },
	{ "a.b", "a.>", false },
	{ "*.b", "*.b", true },
	{ ">", ">", true },
	{ "*", ">", true },
};

START_TEST(one_pattern_one_subject)
{
	struct trie_ref ref = add(facts[_i].pattern);
	char text[64];
	size_t len;

	ck_assert_uint_eq(match(facts[_i].subject), facts[_i].matches);
	if (facts[_i].matches) {
		ck_assert_uint_eq(hits[0].ref.cell, ref.cell);
		ck_assert_uint_eq(hits[0].ref.serial, ref.serial);
	}
	len = trie_subject(trie, ref.cell, text, sizeof text);
	ck_assert_uint_eq(len, strlen(facts[_i].pattern));
	ck_assert_mem_eq(text, facts[_i].pattern, len);
	ck_assert_int_eq(trie_valid(trie), 0);
	trie_del_plain(trie, 1, ref.cell);
	ck_assert_uint_eq(match(facts[_i].subject), 0);
	ck_assert_int_eq(trie_valid(trie), 0);
}
END_TEST

START_TEST(nothing_matches_in_an_empty_zone)
{
	ck_assert_uint_eq(match("a.b"), 0);
	ck_assert_uint_eq(trie_bytes(trie), 0);
	ck_assert_uint_eq(trie_cells(trie), 0);
	ck_assert_int_eq(trie_valid(trie), 0);
}
END_TEST

START_TEST(accounts_are_apart)
{
	struct trie_ref one, two;

	ck_assert_int_eq(add_account(1, "a.b", &one), TRIE_OK);
	ck_assert_int_eq(add_account(2, "a.>", &two), TRIE_OK);
	ck_assert_int_eq(match_account(1, "a.b"), 0);
	ck_assert_uint_eq(nhits, 1);
	ck_assert_uint_eq(hits[0].ref.cell, one.cell);
	ck_assert_int_eq(match_account(2, "a.b"), 0);
	ck_assert_uint_eq(nhits, 1);
	ck_assert_uint_eq(hits[0].ref.cell, two.cell);
	ck_assert_int_eq(match_account(0, "a.b"), 0);
	ck_assert_uint_eq(nhits, 0);
	trie_del_plain(trie, 2, two.cell);
	ck_assert_int_eq(match_account(1, "a.b"), 0);
	ck_assert_uint_eq(nhits, 1);
}
END_TEST

START_TEST(subscribers_are_counted)
{
	struct trie_ref a = add("x.y"), b = add("x.y");

	ck_assert_uint_eq(a.cell, b.cell);
	ck_assert_uint_eq(a.serial, b.serial);
	ck_assert_uint_eq(match("x.y"), 1);
	trie_del_plain(trie, 1, a.cell);
	ck_assert_uint_eq(match("x.y"), 1);
	ck_assert(trie_ref_live(trie, a));
	trie_del_plain(trie, 1, a.cell);
	ck_assert_uint_eq(match("x.y"), 0);
	ck_assert(!trie_ref_live(trie, a));
}
END_TEST

/* ---- against a model ---- */

#define MODEL_MAX 600

struct entry {
	char pattern[256];
	char group[64]; /* "": plain */
	uint32_t count;
	struct trie_ref ref;
};

static struct entry model[MODEL_MAX];
static uint32_t nmodel;

static bool
pattern_matches(const char *pat, const char *sub)
{
	size_t pl, sl;

	for (;;) {
		pl = strcspn(pat, ".");
		sl = strcspn(sub, ".");
		if (pl == 1 && *pat == '>' && pat[1] == '\0')
			return true;
		if (!(pl == 1 && *pat == '*') &&
		    (pl != sl || memcmp(pat, sub, pl) != 0))
			return false;
		pat += pl;
		sub += sl;
		if (*pat == '\0' || *sub == '\0')
			return *pat == *sub;
		pat++;
		sub++;
	}
}

static const char *const words[] = {
	"a", "b", "c", "a*", ">>", "x>", "twenty-four-bytes-long-a",
	"twenty-five-bytes-long-ab", "_",
	("a-token-that-needs-a-cell-and-a-continuation-and-then-one-more-of-"
	"them-so-that-chains-are-walked"),
};
#define NWORDS ((uint32_t)(sizeof words / sizeof *words))

static void
random_subject(uint64_t *state, char *out, bool pattern)
{
	uint32_t n = 1 + rnd(state, 4), i, w;
	char *p = out;

	for (i = 0; i < n; i++) {
		w = rnd(state, 14);
		if (i > 0)
			*p++ = '.';
		if (p - out > 100)
			w = 0;
		if (w >= 10 && w < 13)
			w = rnd(state, 3);
		if (pattern && rnd(state, 4) == 0)
			p += sprintf(p, "*");
		else if (pattern && i == n - 1 && rnd(state, 4) == 0)
			p += sprintf(p, ">");
		else if (w < NWORDS)
			p += sprintf(p, "%s", words[w]);
		else
			p += sprintf(p, "n%u", rnd(state, 20));
	}
}

static struct entry *
model_find(const char *pattern, const char *group)
{
	uint32_t i;

	for (i = 0; i < nmodel; i++)
		if (strcmp(model[i].pattern, pattern) == 0 &&
		    strcmp(model[i].group, group) == 0)
			return &model[i];
	return NULL;
}

static void
model_add(uint64_t *state)
{
	struct entry e = { .count = 1 };
	struct entry *have;

	random_subject(state, e.pattern, true);
	if (rnd(state, 3) == 0)
		(void)sprintf(e.group, "%s%u", rnd(state, 4) ? "g" :
		    "a-group-name-that-does-not-fit-in-one-cell-",
		    rnd(state, 4));
	have = model_find(e.pattern, e.group);
	if (have == NULL && nmodel == MODEL_MAX)
		return;
	e.ref = e.group[0] != '\0' ? add_group(e.pattern, e.group) :
	    add(e.pattern);
	if (have == NULL) {
		model[nmodel++] = e;
		return;
	}
	ck_assert_uint_eq(have->ref.cell, e.ref.cell);
	ck_assert_uint_eq(have->ref.serial, e.ref.serial);
	have->count++;
}

static void
model_del(uint64_t *state)
{
	struct entry *e;

	if (nmodel == 0)
		return;
	e = &model[rnd(state, nmodel)];
	ck_assert(trie_ref_live(trie, e->ref));
	if (e->group[0] != '\0')
		trie_del_group(trie, 1, e->ref.cell);
	else
		trie_del_plain(trie, 1, e->ref.cell);
	if (--e->count > 0)
		return;
	ck_assert(!trie_ref_live(trie, e->ref));
	*e = model[--nmodel];
}

static bool
hit_is(const struct hit *h, const struct entry *e)
{
	if (h->ref.cell != e->ref.cell || h->ref.serial != e->ref.serial)
		return false;
	if (e->group[0] == '\0')
		return h->members == 0;
	return h->members == e->count && h->namelen == strlen(e->group) &&
	    memcmp(h->name, e->group, h->namelen) == 0 && h->namehash ==
	    (uint32_t)hash_bytes(e->group, h->namelen, SEED);
}

/* The walk finds what the list says; returns a signature of the result. */
static uint64_t
model_check(const char *subject)
{
	uint32_t i, k, want = 0;
	uint64_t sig = 0;

	(void)match(subject);
	for (i = 0; i < nmodel; i++) {
		if (!pattern_matches(model[i].pattern, subject))
			continue;
		want++;
		for (k = 0; k < nhits && !hit_is(&hits[k], &model[i]); k++)
			;
		ck_assert_msg(k < nhits, "%s: not found: %s %s", subject,
		    model[i].pattern, model[i].group);
		sig += hash_mix((uint64_t)hits[k].ref.cell << 32 |
		    hits[k].ref.serial, HASH_K0 + hits[k].members);
	}
	ck_assert_msg(want == nhits, "%s: %u found, not %u", subject, nhits,
	    want);
	return sig;
}

struct cached {
	char subject[256];
	uint64_t gens;
	uint64_t bumps;
	uint64_t sig;
};

/* Equal generations, equal result. */
static void
cached_check(struct cached *c)
{
	uint64_t sum = gens(1, c->subject), bumps = trie_bumps(&reader);
	uint64_t sig = model_check(c->subject);

	if (sig != c->sig) {
		ck_assert_msg(sum != c->gens, "%s: same generations",
		    c->subject);
		ck_assert_uint_ne(bumps, c->bumps);
	}
	c->gens = sum;
	c->bumps = bumps;
	c->sig = sig;
}

START_TEST(random_changes_agree_with_a_list)
{
	static struct cached cache[24];
	uint64_t state = (uint64_t)_i * 7919 + 1;
	uint32_t step, i, grow = 3;
	char subject[256];

	nmodel = 0;
	for (i = 0; i < 24; i++) {
		random_subject(&state, cache[i].subject, false);
		cached_check(&cache[i]);
	}
	for (step = 0; step < 6000; step++) {
		if (step % 1000 == 0)
			grow = 1 + rnd(&state, 4);
		if (rnd(&state, 5) < grow)
			model_add(&state);
		else
			model_del(&state);
		cached_check(&cache[rnd(&state, 24)]);
		random_subject(&state, subject, false);
		(void)model_check(subject);
		if (rnd(&state, 8) == 0)
			ck_assert_uint_eq(trie_reclaim(trie), 0);
		if (step % 500 == 0)
			ck_assert_int_eq(trie_valid(trie), 0);
	}
	while (nmodel > 0)
		model_del(&state);
	ck_assert_int_eq(trie_valid(trie), 0);
	for (i = 0; i < 24; i++)
		cached_check(&cache[i]);
}
END_TEST

/* ---- sizes ---- */

START_TEST(many_subjects_grow_and_shrink_the_table)
{
	enum { N = 60000 };
	static struct trie_ref ref[N];
	char subject[64];
	uint64_t full, high;
	uint32_t i, round;

	for (round = 0; round < 2; round++) {
		for (i = 0; i < N; i++) {
			(void)sprintf(subject, "app.dev.%u.status", i);
			ref[i] = add(subject);
			if (i % 64 == 0)
				(void)trie_reclaim(trie);
		}
		ck_assert_int_eq(trie_valid(trie), 0);
		settle();
		full = trie_bytes(trie);
		ck_assert_uint_lt(full / N, 160);
		if (round == 0)
			high = trie_cells(trie);
		/* the cells of the first round served the second one */
		ck_assert_uint_eq(trie_cells(trie), high);
		for (i = 0; i < N; i++) {
			(void)sprintf(subject, "app.dev.%u.status", i);
			ck_assert_uint_eq(match(subject), 1);
			ck_assert_uint_eq(hits[0].ref.cell, ref[i].cell);
		}
		(void)sprintf(subject, "app.dev.%u.status", N);
		ck_assert_uint_eq(match(subject), 0);
		for (i = 0; i < N; i++) {
			trie_del_plain(trie, 1, ref[i].cell);
			if (i % 64 == 0)
				(void)trie_reclaim(trie);
		}
		settle();
		ck_assert_int_eq(trie_valid(trie), 0);
		/* and the table is small again */
		ck_assert_uint_lt(trie_bytes(trie), high * CELL_SIZE + 65536);
		ck_assert_uint_eq(match("app.dev.1.status"), 0);
	}
}
END_TEST

/* Churn over an old population: tombstones do not pile up. */
/* An add that needs many edges while a smaller table is being filled: what is
 * still to be copied into that one must find its place too. */
START_TEST(many_tokens_while_the_table_shrinks)
{
	enum { COUNT_SHORT = 12000, LONG = 40, TOKENS = 200 };
	static struct trie_ref ref[COUNT_SHORT], lref[LONG];
	static char longs[LONG][TOKENS * 8];
	uint32_t left = 1000 + (uint32_t)_i * 512, i, j;
	char text[32];
	size_t len;

	for (i = 0; i < COUNT_SHORT; i++) {
		(void)snprintf(text, sizeof text, "s.%u", i);
		ref[i] = add(text);
	}
	settle();
	for (i = COUNT_SHORT; i > left; i--)
		trie_del_plain(trie, 1, ref[i - 1].cell);
	for (i = 0; i < LONG; i++) {
		for (j = 0, len = 0; j < TOKENS; j++)
			len += (size_t)snprintf(longs[i] + len,
			    sizeof longs[i] - len, "%s%u-%u", j ? "." : "",
			    i, j);
		lref[i] = add(longs[i]);
	}
	ck_assert_int_eq(trie_valid(trie), 0);
	for (i = 0; i < LONG; i++) {
		ck_assert_uint_eq(match(longs[i]), 1);
		trie_del_plain(trie, 1, lref[i].cell);
	}
	settle();
	ck_assert_uint_eq(match("s.999"), 1);
	ck_assert_int_eq(trie_valid(trie), 0);
}
END_TEST

START_TEST(churn_keeps_the_size)
{
	char subject[64];
	struct trie_ref ref;
	uint64_t bytes;
	uint32_t i;

	for (i = 0; i < 1000; i++) {
		(void)sprintf(subject, "fixed.%u", i);
		(void)add(subject);
	}
	for (i = 0; i < 200000; i++) {
		(void)sprintf(subject, "_INBOX.%u", i);
		ref = add(subject);
		trie_del_plain(trie, 1, ref.cell);
		if (i % 16 == 0)
			(void)trie_reclaim(trie);
		if (i == 100000) {
			settle();
			bytes = trie_bytes(trie);
		}
	}
	settle();
	ck_assert_uint_le(trie_bytes(trie), bytes);
	ck_assert_int_eq(trie_valid(trie), 0);
	ck_assert_uint_eq(match("fixed.999"), 1);
}
END_TEST

static const uint32_t lengths[] = { 1, 3, 4, 7, 8, 9, 23, 24, 25, 71, 72, 73,
	120, 3000, 65000 };

START_TEST(long_tokens)
{
	uint32_t len = lengths[_i];
	char *a = calloc(1, len + 3), *b = calloc(1, len + 3);
	struct trie_ref ref;
	char *text = malloc(len + 2);

	ck_assert(a != NULL && b != NULL && text != NULL);
	memset(a, 'q', len);
	memcpy(b, a, len);
	b[len - 1] = 'r';
	strcat(a, ".x");
	strcat(b, ".x");
	ref = add(a);
	ck_assert_uint_eq(match(a), 1);
	ck_assert_uint_eq(match(b), 0);
	b[len - 1] = 'q';
	b[0] = 'r';
	ck_assert_uint_eq(match(b), 0);
	ck_assert_uint_eq(trie_subject(trie, ref.cell, text, len + 2),
	    len + 2);
	ck_assert_mem_eq(text, a, len + 2);
	/* a short buffer gets the beginning */
	memset(text, 0, len + 2);
	ck_assert_uint_eq(trie_subject(trie, ref.cell, text, len), len);
	ck_assert_mem_eq(text, a, len);
	ck_assert_int_eq(text[len], 0);
	trie_del_plain(trie, 1, ref.cell);
	ck_assert_int_eq(trie_valid(trie), 0);
	free(a);
	free(b);
	free(text);
}
END_TEST

START_TEST(long_group_names)
{
	uint32_t len = lengths[_i];
	uint8_t *name = malloc(len);
	struct trie_ref ref, again, other;

	ck_assert_ptr_nonnull(name);
	memset(name, 'q', len);
	ck_assert_int_eq(add_group_n("a.b", name, len, &ref), TRIE_OK);
	ck_assert_int_eq(add_group_n("a.b", name, len, &again), TRIE_OK);
	ck_assert_uint_eq(ref.cell, again.cell);
	name[len - 1] = 'r';
	ck_assert_int_eq(add_group_n("a.b", name, len, &other), TRIE_OK);
	ck_assert_uint_ne(ref.cell, other.cell);
	ck_assert_uint_eq(match("a.b"), 2);
	ck_assert_uint_eq(hits[0].namelen, len);
	ck_assert_uint_eq(hits[1].namelen, len);
	ck_assert_uint_eq(hits[0].members + hits[1].members, 3);
	trie_del_group(trie, 1, ref.cell);
	trie_del_group(trie, 1, other.cell);
	ck_assert_uint_eq(match("a.b"), 1);
	ck_assert_uint_eq(hits[0].members, 1);
	trie_del_group(trie, 1, ref.cell);
	ck_assert_uint_eq(match("a.b"), 0);
	ck_assert_int_eq(trie_valid(trie), 0);
	free(name);
}
END_TEST

START_TEST(group_name_too_long)
{
	uint8_t *name = calloc(1, TRIE_QNAME_MAX + 1);
	struct trie_ref ref = { 0 };

	ck_assert_ptr_nonnull(name);
	ck_assert_int_eq(add_group_n("a", name, TRIE_QNAME_MAX + 1, &ref),
	    TRIE_FULL);
	ck_assert_int_eq(add_group_n("a", name, TRIE_QNAME_MAX, &ref),
	    TRIE_OK);
	ck_assert_uint_eq(match("a"), 1);
	ck_assert_uint_eq(hits[0].namelen, TRIE_QNAME_MAX);
	free(name);
}
END_TEST

START_TEST(many_groups_at_one_node)
{
	enum { N = 5000 };
	static struct trie_ref ref[N];
	struct trie_ref tmp;
	uint64_t state = 5;
	char name[32];
	uint32_t i, k;

	(void)add("q.x");
	for (i = 0; i < N; i++) {
		(void)sprintf(name, "group-%u", i);
		ref[i] = add_group("q.x", name);
	}
	ck_assert_uint_eq(match("q.x"), N + 1);
	for (i = N - 1; i > 0; i--) {
		k = rnd(&state, i + 1);
		tmp = ref[i];
		ref[i] = ref[k];
		ref[k] = tmp;
	}
	for (i = 0; i < N; i++) {
		trie_del_group(trie, 1, ref[i].cell);
		if (i % 1000 == 0) {
			ck_assert_uint_eq(match("q.x"), N - i);
			ck_assert_int_eq(trie_valid(trie), 0);
		}
		if (i % 7 == 0)
			(void)trie_reclaim(trie);
	}
	ck_assert_uint_eq(match("q.x"), 1);
	ck_assert_int_eq(trie_valid(trie), 0);
}
END_TEST

START_TEST(thousands_of_tokens)
{
	enum { N = 2000 };
	static char a[2 * N + 2], s[2 * N + 2];
	struct trie_ref ra, rs;
	uint32_t i;

	for (i = 0; i < N; i++) {
		memcpy(a + 2 * i, "a.", 2);
		memcpy(s + 2 * i, "*.", 2);
	}
	a[2 * N - 1] = s[2 * N - 1] = '\0';
	ra = add(a);
	rs = add(s);
	ck_assert_uint_eq(match(a), 2);
	/* "a.a.*", "a.a.a.>" and so on: a branch waits at every token */
	for (i = 1; i < N; i++) {
		s[0] = 'a';
		memcpy(s, a, 2 * i);
		s[2 * i] = i % 2 ? '*' : '>';
		s[2 * i + 1] = '\0';
		(void)add(s);
	}
	/* the two, every "a.a.>", and the one "*" that ends at the end */
	ck_assert_uint_eq(match(a), 2 + (N / 2 - 1) + 1);
	trie_del_plain(trie, 1, ra.cell);
	trie_del_plain(trie, 1, rs.cell);
	ck_assert_int_eq(trie_valid(trie), 0);
}
END_TEST

/* Every combination of a literal and `*`: the walk meets each node once and
 * stays within its budget. */
START_TEST(all_combinations)
{
	char s[32];
	uint32_t i, k;

	for (i = 0; i < 1 << 12; i++) {
		for (k = 0; k < 12; k++)
			memcpy(s + 2 * k, i >> k & 1 ? "*." : "a.", 2);
		s[23] = '\0';
		(void)add(s);
	}
	ck_assert_uint_eq(match("a.a.a.a.a.a.a.a.a.a.a.a"), 1 << 12);
	ck_assert_uint_eq(match("a.a.a.a.a.a.b.a.a.a.a.a"), 1 << 11);
}
END_TEST

/* ---- full ---- */

START_TEST(full_is_an_error_and_changes_nothing)
{
	static struct trie_ref ref[20000], tmp;
	char s[64];
	uint64_t bytes, bumps;
	uint32_t n = 0, i;

	trie_set_limit(trie, 256 << 10);
	for (;; n++) {
		ck_assert_uint_lt(n, 20000);
		(void)sprintf(s, "some.%u.thing", n);
		if (add_account(1, s, &ref[n]) != TRIE_OK)
			break;
		(void)trie_reclaim(trie);
	}
	ck_assert_uint_gt(n, 1000);
	ck_assert_uint_le(trie_bytes(trie), 256 << 10);
	settle();
	bytes = trie_bytes(trie);
	bumps = trie_bumps(&reader);
	ck_assert_int_eq(add_account(1, "t.w.o.m.o.r.e.t.h.a.n.f.i.t", &tmp),
	    TRIE_FULL);
	ck_assert_int_eq(add_group_n("some.1.thing", s, sizeof s, &tmp),
	    TRIE_FULL);
	ck_assert_uint_eq(trie_bytes(trie), bytes);
	ck_assert_uint_eq(trie_bumps(&reader), bumps);
	ck_assert_int_eq(trie_valid(trie), 0);
	for (i = 0; i < n; i++) {
		(void)sprintf(s, "some.%u.thing", i);
		ck_assert_uint_eq(match(s), 1);
	}
	/* known patterns need nothing */
	ck_assert_int_eq(add_account(1, "some.7.thing", &tmp), TRIE_OK);
	/* what goes makes room for others */
	for (i = 10; i < 20; i++)
		trie_del_plain(trie, 1, ref[i].cell);
	settle();
	ck_assert_int_eq(add_account(1, "t.w.o.m.o.r.e.t.h.a.n.f.i.t", &tmp),
	    TRIE_OK);
	ck_assert_int_eq(trie_valid(trie), 0);
	/* and so does a higher limit */
	trie_set_limit(trie, 1 << 20);
	for (i = 0; i < 100; i++) {
		(void)sprintf(s, "another.%u.thing", i);
		(void)add(s);
	}
	ck_assert_uint_eq(match("another.99.thing"), 1);
}
END_TEST

/* As with any budget from too small up: never more than it, never broken. */
START_TEST(every_small_limit_is_kept)
{
	uint64_t limit = (uint64_t)_i * 3100;
	struct trie_ref ref;
	char s[256];
	uint32_t i;

	trie_set_limit(trie, limit);
	for (i = 0; i < 300; i++) {
		(void)sprintf(s, "a.b%u.%s.c%u", i % 7, words[i % NWORDS], i);
		(void)add_account(1, s, &ref);
		(void)add_group_n(s, s, i % 60, &ref);
		ck_assert_uint_le(trie_bytes(trie), limit);
		ck_assert_int_eq(trie_valid(trie), 0);
		(void)trie_reclaim(trie);
	}
}
END_TEST

/* ---- references ---- */

START_TEST(a_hint_admits_every_child)
{
	uint32_t hash[3] = { 0, UINT32_C(0x20000000), UINT32_MAX };
	uint32_t hint = 0, i;

	for (i = 0; i < 3; i++)
		hint = hint_add(hint, hash[i]);
	ck_assert_uint_eq(hint & HINT_COUNT, 3);
	for (i = 0; i < 3; i++)
		ck_assert(hint & hint_bit(hash[i]));
	ck_assert(!(hint & hint_bit(UINT32_C(0x40000000))));
	ck_assert_uint_eq(hint_drop(hint_drop(hint)) & HINT_COUNT, 1);
	ck_assert_uint_eq(hint_drop(hint_drop(hint_drop(hint))), 0);
}
END_TEST

/* It no longer knows how many there are: not few, then. */
START_TEST(a_hint_of_very_many_children_stays)
{
	uint32_t hint = hint_add(HINT_COUNT - 1, 7);

	ck_assert_uint_eq(hint & HINT_COUNT, HINT_COUNT);
	hint = hint_add(hint, UINT32_MAX);
	ck_assert_uint_eq(hint, HINT_COUNT | hint_bit(7) |
	    hint_bit(UINT32_MAX));
	ck_assert_uint_eq(hint_drop(hint), hint);
}
END_TEST

START_TEST(references_of_a_reused_cell_are_dead)
{
	struct trie_ref a = add("a"), b;

	trie_del_plain(trie, 1, a.cell);
	settle();
	do {
		b = add("b");
		ck_assert(!trie_ref_live(trie, a));
		ck_assert(a.cell != b.cell || a.serial != b.serial);
		trie_del_plain(trie, 1, b.cell);
		settle();
	} while (a.cell != b.cell);
	ck_assert(!trie_ref_live(trie, (struct trie_ref){ 0, 0 }));
	ck_assert(!trie_ref_live(trie, (struct trie_ref){ UINT32_MAX, 1 }));
}
END_TEST

START_TEST(a_successor_repeats_no_reference)
{
	struct trie_ref first = add("a"), ref, group;
	uint32_t old[16] = { 0 }, process, i;
	uint64_t bumps, sum;

	old[0] = first.serial;
	for (process = 1; process < 10; process++) {
		for (i = 0; i < process * 3; i++) {
			trie_del_plain(trie, 1, add("b").cell);
			settle();
		}
		for (i = 0; i < 8; i++)
			if (trie_ref_live(trie, (struct trie_ref){ i, 1 }))
				ck_assert_uint_eq(process, 1);
		bumps = trie_bumps(&reader);
		sum = gens(1, "a");
		succeed();
		ck_assert_uint_eq(match("a"), 0);
		/* these go on */
		ck_assert_uint_eq(trie_bumps(&reader), bumps);
		ck_assert_uint_eq(gens(1, "a"), sum);
		ref = add("a");
		group = add_group("a", "g");
		for (i = 0; i < process; i++) {
			ck_assert_uint_ne(ref.serial, old[i]);
			ck_assert_uint_ne(group.serial, old[i]);
		}
		old[process] = ref.serial;
		ck_assert(!trie_ref_live(trie, first));
	}
}
END_TEST

START_TEST(a_zone_not_emptied_is_refused)
{
	struct trie *second = NULL;

	(void)add("a");
	ck_assert_int_eq(trie_new(&zone_rw, SEED, &view, INDEX_BYTES,
	    &second), -1);
	ck_assert_int_eq(errno, EBUSY);
	ck_assert_ptr_null(second);
}
END_TEST

/* ---- generations ---- */

static const struct {
	const char *pattern;
	const char *subject;
	bool concerns;
} concerns[] = {
	{ "app.x", "app.x", true },
	{ "app.x", "app.y", false },
	{ "app.x", "app.x.z", false },
	{ "app.x.z", "app.x", false },
	{ "_INBOX.17.x", "app.x", false },
	{ "app.*", "app.x", true },
	{ "app.*", "bpp.x", false },
	{ "app.>", "app.x.y.z", true },
	{ "app.x.*", "app.x.y", true },
	{ "app.x.*", "app.y.y", false },
	{ "app.x.y.*", "app.x.y.z", true },
	{ "app.x.>", "app.x.y", true },
	{ "app.*.y", "app.x.y", true },
	{ "*.x", "app.x", true },
	{ "*", "app", true },
	{ ">", "app", true },
	{ ">", "app.x.y", true },
	{ "app.>", "app", false },
};

START_TEST(generations_say_what_a_change_concerns)
{
	const char *sub = concerns[_i].subject;
	uint64_t before = gens(1, sub), bumps = trie_bumps(&reader);
	struct trie_ref ref = add(concerns[_i].pattern), group;
	uint64_t first = gens(1, sub), second;

	ck_assert_uint_eq(first != before, concerns[_i].concerns);
	ck_assert_uint_ne(trie_bumps(&reader), bumps);
	/* a second plain subscriber changes nothing for others */
	bumps = trie_bumps(&reader);
	(void)add(concerns[_i].pattern);
	ck_assert_uint_eq(gens(1, sub), first);
	ck_assert_uint_eq(trie_bumps(&reader), bumps);
	trie_del_plain(trie, 1, ref.cell);
	ck_assert_uint_eq(gens(1, sub), first);
	/* each member of a group does */
	group = add_group(concerns[_i].pattern, "g");
	second = gens(1, sub);
	ck_assert_uint_eq(second != first, concerns[_i].concerns);
	(void)add_group(concerns[_i].pattern, "g");
	ck_assert_uint_eq(gens(1, sub) != second, concerns[_i].concerns);
	second = gens(1, sub);
	trie_del_group(trie, 1, group.cell);
	ck_assert_uint_eq(gens(1, sub) != second, concerns[_i].concerns);
	second = gens(1, sub);
	trie_del_group(trie, 1, group.cell);
	ck_assert_uint_eq(gens(1, sub) != second, concerns[_i].concerns);
	second = gens(1, sub);
	trie_del_plain(trie, 1, ref.cell);
	ck_assert_uint_eq(gens(1, sub) != second, concerns[_i].concerns);
	/* another account's are others */
	before = gens(2, sub);
	(void)add(concerns[_i].pattern);
	ck_assert_uint_eq(gens(2, sub), before);
}
END_TEST

/* ---- readers hold cells back ---- */

START_TEST(a_reader_holds_cells_back)
{
	static struct own_shm own;
	struct trie_ref a, b;
	uint32_t i;

	slots_start(&slots, 3, 7, SLOT_ROLE_WORKER);
	view.own[3] = &own;
	quiesce_online(&own);
	a = add("a");
	trie_del_plain(trie, 1, a.cell);
	for (i = 0; i < 5; i++)
		ck_assert_uint_eq(trie_reclaim(trie), UINT64_C(1) << 3);
	b = add("a");
	ck_assert_uint_ne(a.cell, b.cell);
	trie_del_plain(trie, 1, b.cell);
	quiesce_pass(&own);
	/* the first batch is free, the second one waits */
	ck_assert_uint_eq(trie_reclaim(trie), UINT64_C(1) << 3);
	b = add("a");
	ck_assert_uint_le(b.cell, 2);
	ck_assert_uint_ne(a.serial, b.serial);
	quiesce_offline(&own);
	ck_assert_uint_eq(trie_reclaim(trie), 0);
	slots_set_dead(&slots, 3);
	slots_set_spare(&slots, 3);
	view.own[3] = NULL;
}
END_TEST

static void
grow_meanwhile(void *ctx, struct trie_ref node)
{
	char subject[64];
	uint32_t i;

	on_plain(ctx, node);
	if (nhits > 1)
		return;
	for (i = 0; i < 20000; i++) {
		(void)sprintf(subject, "other.%u", i);
		(void)add(subject);
		ck_assert_uint_le(trie_reclaim(trie), UINT64_C(1) << 3);
	}
}

/* The table it began with stays as it was until the reader has passed. */
START_TEST(a_walk_goes_on_while_the_table_grows)
{
	static const struct trie_match_ops meanwhile = { grow_meanwhile,
		on_group };
	static struct own_shm own;
	struct token tok[3];
	uint32_t n = split("a.b.c", tok);
	uint64_t held;

	slots_start(&slots, 3, 8, SLOT_ROLE_WORKER);
	view.own[3] = &own;
	quiesce_online(&own);
	/* the first is told before the edges of the others are looked up */
	(void)add(">");
	(void)add("a.*.c");
	(void)add("a.b.c");
	nhits = 0;
	ck_assert_int_eq(trie_match(&reader, 1, tok, n, &meanwhile, NULL), 0);
	ck_assert_uint_eq(nhits, 3);
	held = trie_bytes(trie);
	quiesce_pass(&own);
	settle_as(&own);
	ck_assert_uint_lt(trie_bytes(trie), held);
	slots_set_dead(&slots, 3);
	slots_set_spare(&slots, 3);
	view.own[3] = NULL;
}
END_TEST

/* ---- broken zones ---- */

START_TEST(a_broken_head_is_refused)
{
	struct trie_shm *head = (void *)zone_rw.base;
	struct trie_reader r;

	head->cells = UINT64_MAX / 2;
	ck_assert_int_eq(trie_reader_attach(&r, &zone_ro, SEED), -1);
	trie_shm_init(head, INDEX_BYTES, 1);
	head->tables += 8;
	ck_assert_int_eq(trie_reader_attach(&r, &zone_ro, SEED), -1);
	trie_shm_init(head, INDEX_BYTES, 2);
	head->colour = TRIE_COLOURS;
	ck_assert_int_eq(trie_reader_attach(&r, &zone_ro, SEED), -1);
	trie_shm_init(head, INDEX_BYTES, 3);
	head->size = zone_ro.size + ZONE_PAGE;
	ck_assert_int_eq(trie_reader_attach(&r, &zone_ro, SEED), -1);
	trie_shm_init(head, INDEX_BYTES, 4);
	ck_assert_int_eq(trie_reader_attach(&r, &zone_ro, SEED), 0);
}
END_TEST

START_TEST(a_broken_table_word_is_refused)
{
	struct trie_root_shm *root =
	    (void *)(zone_rw.base + (reader.first - zone_ro.base));
	static const uint64_t bad[] = { 1, UINT64_MAX, UINT64_C(1) << 32,
		UINT64_C(1) << 32 | UINT32_MAX, UINT64_C(0xffffffff) << 32 };

	root->table = bad[_i];
	ck_assert_int_eq(match_account(1, "a.b"), -1);
}
END_TEST

START_TEST(circles_end)
{
	struct trie_ref ref = add("a.b"), g = add_group("a.b", "g");
	struct trie_node_shm *nd = (void *)(zone_rw.base +
	    (reader.first - zone_ro.base) + (size_t)ref.cell * CELL_SIZE);
	struct trie_group_shm *gr = (void *)(zone_rw.base +
	    (reader.first - zone_ro.base) + (size_t)g.cell * CELL_SIZE);
	struct token tok[2];
	uint32_t n = split("a.b", tok);

	/* a group that follows itself, with nobody in it */
	gr->members = 0;
	gr->next = g.cell;
	ck_assert_int_eq(trie_match(&reader, 1, tok, n, &ops, NULL), -1);
	gr->next = 0;
	ck_assert_int_eq(trie_match(&reader, 1, tok, n, &ops, NULL), 0);
	/* a group that is a node, a node outside, a table without an end */
	nd->group = ref.cell;
	ck_assert_int_eq(trie_match(&reader, 1, tok, n, &ops, NULL), -1);
	nd->group = UINT32_MAX;
	ck_assert_int_eq(trie_match(&reader, 1, tok, n, &ops, NULL), -1);
	nd->group = 0;
	memset(zone_rw.base + reader.tables, 0xff, ZONE_PAGE);
	ck_assert_int_eq(trie_match(&reader, 1, tok, n, &ops, NULL), -1);
}
END_TEST

/* Two ways to one node would double at each token, a chain that bites its tail
 * would fill the caller's memory: neither is told often. */
START_TEST(a_lie_is_told_few_times)
{
	size_t first = (size_t)(reader.first - zone_ro.base);
	struct trie_ref star = add("*.x"), g = add_group("a.b", "g"), ab, root;
	struct trie_node_shm *nd, *other;
	struct trie_group_shm *gr;
	char subject[128] = "a";
	int i;

	ab = add("a.b");
	gr = (void *)(zone_rw.base + first + (size_t)g.cell * CELL_SIZE);
	gr->next = g.cell;
	ck_assert_int_eq(match_account(1, "a.b"), -1);
	ck_assert_uint_lt(nhits, 8);
	gr->next = 0;
	/* the group of another node */
	gr->node = star.cell;
	ck_assert_int_eq(match_account(1, "a.b"), -1);
	gr->node = ab.cell;
	ck_assert_int_eq(match_account(1, "a.b"), 0);
	/* b is its own child, in both ways: 2^40 walks */
	nd = (void *)(zone_rw.base + first + (size_t)ab.cell * CELL_SIZE);
	root.cell = nd->parent;
	other = (void *)(zone_rw.base + first + (size_t)root.cell * CELL_SIZE);
	nd->star = ab.cell;
	for (i = 0; i < 40; i++)
		strcat(subject, ".b");
	ck_assert_int_eq(match_account(1, subject), -1);
	ck_assert_uint_lt(nhits, 8);
	nd->star = 0;
	/* the star of another node, and a tail */
	other->star = other->star == 0 ? star.cell : other->star;
	ck_assert_int_eq(match_account(1, "a.b"), -1);
	other->star = 0;
	other->tail = star.cell;
	ck_assert_int_eq(match_account(1, "a.b"), -1);
	other->tail = 0;
	ck_assert_int_eq(match_account(1, "a.b"), 0);
}
END_TEST

START_TEST(references_mean_what_they_say)
{
	static const struct {
		const char *pattern, *subject;
		bool matches;
	} c[] = { { "a.b", "a.b", true }, { "a.b", "a.c", false },
		{ "a.b", "a", false }, { "a.b", "a.b.c", false },
		{ "a.*", "a.b", true }, { "a.*", "b.b", false },
		{ "*", "a", true }, { "*.*", "a", false },
		{ ">", "a", true }, { "a.>", "a", false },
		{ "a.>", "a.b.c.d", true }, { "a.*.>", "a.b", false },
		{ "b.>", "a.b", false },
		{ "a.longer-than-the-cell-of-a-node-has-room-for",
		    "a.longer-than-the-cell-of-a-node-has-room-for", true },
		{ "a.longer-than-the-cell-of-a-node-has-room-for",
		    "a.longer-than-the-cell-of-a-node-has-room-foR", false } };
	struct trie_ref plain, group;
	struct token tok[8];
	uint32_t n;

	plain = add(c[_i].pattern);
	group = add_group(c[_i].pattern, "g");
	n = split(c[_i].subject, tok);
	ck_assert_int_eq(trie_ref_matches(trie, plain, tok, n),
	    c[_i].matches);
	ck_assert_int_eq(trie_ref_matches(trie, group, tok, n),
	    c[_i].matches);
	ck_assert(trie_ref_named(trie, group, (const uint8_t *)"g", 1));
	ck_assert(!trie_ref_named(trie, group, (const uint8_t *)"h", 1));
	ck_assert(!trie_ref_named(trie, group, (const uint8_t *)"gg", 2));
	ck_assert(!trie_ref_named(trie, plain, (const uint8_t *)"g", 1));
}
END_TEST

/* Bits flipped and words overwritten anywhere: every walk comes back. */
START_TEST(garbage_never_hurts_the_reader)
{
	uint64_t state = (uint64_t)_i + 99, *words64 = (void *)zone_rw.base;
	size_t head = trie_head_size(), tables = reader.tables, off;
	char s[256];
	uint32_t i, k, word;

	nmodel = 0;
	for (i = 0; i < 300; i++)
		model_add(&state);
	for (i = 0; i < 400; i++) {
		for (k = 0; k < 20; k++) {
			off = rnd(&state, 2) ? head + rnd(&state,
			    trie_cells(trie) * CELL_SIZE) :
			    tables + rnd(&state, 4 * ZONE_PAGE);
			word = rnd(&state, 4) ? rnd(&state, 400) :
			    rnd(&state, UINT32_MAX);
			switch (rnd(&state, 3)) {
			case 0:
				zone_rw.base[off] ^=
				    (uint8_t)(1 << rnd(&state, 8));
				break;
			case 1:
				memcpy(zone_rw.base + off / 4 * 4, &word, 4);
				break;
			default:
				words64[off / 8] = (uint64_t)word << 32 |
				    rnd(&state, 400);
			}
		}
		random_subject(&state, s, false);
		nhits = 0;
		(void)match_account(1, s);
	}
}
END_TEST

static Suite *
trie_suite(void)
{
	Suite *s = suite_create("trie");
	TCase *tc = tcase_create("index");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
#define COUNT(a) (int)(sizeof(a) / sizeof(a)[0])
	tcase_add_test(tc, nothing_matches_in_an_empty_zone);
	tcase_add_loop_test(tc, one_pattern_one_subject, 0, COUNT(facts));
	tcase_add_test(tc, accounts_are_apart);
	tcase_add_test(tc, subscribers_are_counted);
	tcase_add_loop_test(tc, random_changes_agree_with_a_list, 0, 4);
	tcase_add_test(tc, many_subjects_grow_and_shrink_the_table);
	tcase_add_loop_test(tc, many_tokens_while_the_table_shrinks, 0, 8);
	tcase_add_test(tc, churn_keeps_the_size);
	tcase_add_loop_test(tc, long_tokens, 0, COUNT(lengths));
	tcase_add_loop_test(tc, long_group_names, 0, COUNT(lengths));
	tcase_add_test(tc, group_name_too_long);
	tcase_add_test(tc, many_groups_at_one_node);
	tcase_add_test(tc, thousands_of_tokens);
	tcase_add_test(tc, all_combinations);
	tcase_add_test(tc, full_is_an_error_and_changes_nothing);
	tcase_add_loop_test(tc, every_small_limit_is_kept, 0, 14);
	tcase_add_test(tc, a_hint_admits_every_child);
	tcase_add_test(tc, a_hint_of_very_many_children_stays);
	tcase_add_test(tc, references_of_a_reused_cell_are_dead);
	tcase_add_test(tc, a_successor_repeats_no_reference);
	tcase_add_test(tc, a_zone_not_emptied_is_refused);
	tcase_add_loop_test(tc, generations_say_what_a_change_concerns, 0,
	    COUNT(concerns));
	tcase_add_test(tc, a_reader_holds_cells_back);
	tcase_add_test(tc, a_walk_goes_on_while_the_table_grows);
	tcase_add_test(tc, a_broken_head_is_refused);
	tcase_add_loop_test(tc, a_broken_table_word_is_refused, 0, 5);
	tcase_add_test(tc, circles_end);
	tcase_add_test(tc, a_lie_is_told_few_times);
	tcase_add_loop_test(tc, references_mean_what_they_say, 0, 15);
	tcase_add_loop_test(tc, garbage_never_hurts_the_reader, 0, 8);
	suite_add_tcase(s, tc);
	return s;
}

int
main(void)
{
	return unit_run(trie_suite());
}
