/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Matching over several slots against a plain list of patterns, while the
 * interest changes: memo, cache, generations, membership.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/tries.h"
#include "lib/unit.h"
#include "worker/match.h"
#include "worker/msg.h"

#define SLOTS 3
#define SELF 1
#define MODEL_MAX 150

struct entry { /* of the model */
	bool used;
	slotno slot;
	char queue; /* 0: plain */
	char pattern[64];
	cellno cell;
};

static struct tries t;
static struct matcher mt;
static struct entry model[MODEL_MAX];
static uint64_t dice;
static int nbroken;

static void
on_broken(void *ctx, slotno slot)
{
	ck_assert_ptr_eq(ctx, &mt);
	ck_assert_uint_ne(slot, SELF);
	nbroken++;
}

static struct slice
slice(const char *text)
{
	struct slice s = { (const uint8_t *)text, (uint32_t)strlen(text) };

	return s;
}

static void
setup(void)
{
	slotno s;

	tries_new(&t, SLOTS);
	memset(&mt, 0, sizeof mt);
	memset(model, 0, sizeof model);
	mt.slots = &t.slots;
	mt.self = SELF;
	mt.hash_seed = TRIES_SEED;
	mt.broken = on_broken;
	mt.ctx = &mt;
	for (s = 0; s < SLOTS; s++)
		tries_check(trie_reader_attach(&mt.reader[s], &t.ro[s],
		    TRIES_SEED));
	mt.readable = (UINT64_C(1) << SLOTS) - 1;
	tries_check(match_init(&mt, TRIES_TOKENS));
	(void)match_look(&mt);
	dice = 1;
	nbroken = 0;
}

static void
teardown(void)
{
	match_fini(&mt);
	tries_free(&t);
}

/* A change of somebody's interest, as its worker would make it. */
static cellno
add(slotno slot, const char *pattern, char queue)
{
	static struct token tok[TRIES_TOKENS];
	uint32_t n = tries_split(pattern, tok);
	const uint8_t name = (uint8_t)queue;
	struct trie_ref ref;

	if (queue != 0)
		tries_check(trie_add_group(t.trie[slot], ACCOUNT_DEFAULT, tok,
		    n, &name, 1, &ref));
	else
		tries_check(trie_add_plain(t.trie[slot], ACCOUNT_DEFAULT, tok,
		    n, &ref));
	if (slot == SELF)
		match_changed(&mt);
	return ref.cell;
}

static void
del(slotno slot, cellno cell, char queue)
{
	if (queue != 0)
		trie_del_group(t.trie[slot], ACCOUNT_DEFAULT, cell);
	else
		trie_del_plain(t.trie[slot], ACCOUNT_DEFAULT, cell);
	if (slot == SELF)
		match_changed(&mt);
}

static bool
matches(const struct entry *e, const char *subject)
{
	return e->used && subject_match((const uint8_t *)e->pattern,
	    strlen(e->pattern), (const uint8_t *)subject, strlen(subject));
}

/* Members of a group in one slot, by the result. */
static uint64_t
members(const struct match *m, char queue, slotno slot)
{
	const uint8_t name = (uint8_t)queue;
	const struct match_group *g = match_group_named(m, &name, 1);
	uint64_t sum = 0;
	uint32_t i;

	for (i = g == NULL ? 0 : g->first; i != 0; i = m->part[i - 1].next)
		if (m->part[i - 1].slot == slot)
			sum += m->part[i - 1].members;
	if (g != NULL)
		ck_assert_int_eq(sum != 0, (g->slots >> slot & 1) != 0);
	return sum;
}

static bool
has_node(const struct match *m, slotno slot, cellno cell)
{
	uint32_t i;

	for (i = 0; i < m->nplain; i++)
		if (m->plain[i].slot == slot && m->plain[i].ref.cell == cell)
			return true;
	return false;
}

/* The result is what the model says, of the slots in `mask`. */
static void
compare(const struct match *m, const char *subject, uint64_t mask)
{
	uint64_t want[SLOTS]['d'] = { { 0 } }, plain = 0;
	const struct entry *e;
	uint32_t i;
	slotno s;
	char q;

	ck_assert(!m->failed);
	for (e = model; e < model + MODEL_MAX; e++) {
		if (!matches(e, subject) || (mask >> e->slot & 1) == 0)
			continue;
		want[e->slot][(int)e->queue]++;
		if (e->queue != 0)
			continue;
		plain |= UINT64_C(1) << e->slot;
		ck_assert(has_node(m, e->slot, e->cell));
	}
	ck_assert_uint_eq(m->plain_slots, plain);
	for (s = 0; s < SLOTS; s++)
		for (q = 'a'; q < 'd'; q++)
			ck_assert_uint_eq(members(m, q, s), want[s][(int)q]);
	/* Each node once, slot by slot. */
	for (i = 1; i < m->nplain; i++) {
		ck_assert_uint_le(m->plain[i - 1].slot, m->plain[i].slot);
		ck_assert(m->plain[i - 1].slot != m->plain[i].slot ||
		    m->plain[i - 1].ref.cell != m->plain[i].ref.cell);
	}
	for (i = 0; i < m->nplain; i++)
		ck_assert_uint_ne(plain >> m->plain[i].slot & 1, 0);
}

static void
change(void)
{
	struct entry *e = &model[tries_rnd(&dice, MODEL_MAX)];

	if (e->used) {
		del(e->slot, e->cell, e->queue);
		e->used = false;
		return;
	}
	e->slot = (slotno)tries_rnd(&dice, SLOTS);
	e->queue = tries_rnd(&dice, 3) == 0 ?
	    (char)('a' + (int)tries_rnd(&dice, 3)) : 0;
	tries_subject(&dice, true, e->pattern);
	e->cell = add(e->slot, e->pattern, e->queue);
	e->used = true;
}

START_TEST(agrees_with_a_plain_list)
{
	char subject[64];
	uint32_t i, k;

	dice = (uint64_t)_i + 1;
	for (i = 0; i < 1000; i++) {
		for (k = tries_rnd(&dice, 3); k > 0; k--)
			change();
		(void)match_look(&mt);
		for (k = 0; k < 4; k++) {
			tries_subject(&dice, false, subject);
			compare(match_find(&mt, ACCOUNT_DEFAULT,
			    slice(subject)), subject, 7);
		}
		compare(match_own(&mt, ACCOUNT_DEFAULT, slice(subject)),
		    subject, 1 << SELF);
		for (k = 0; k < SLOTS; k++)
			(void)trie_reclaim(t.trie[k]);
	}
	ck_assert_uint_gt(mt.hits, 0);
	ck_assert_int_eq(nbroken, 0);
}
END_TEST

START_TEST(the_second_use_is_kept_and_unrelated_changes_do_not_matter)
{
	char inbox[64];
	uint64_t walks;
	uint32_t i;

	(void)add(0, "app.y.z", 0);
	(void)add(2, "app.y.*", 'a');
	(void)match_look(&mt);
	/* First use walks, another subject voids the memo, second use keeps. */
	for (i = 0; i < 2; i++) {
		(void)match_find(&mt, ACCOUNT_DEFAULT, slice("app.y.z"));
		(void)match_find(&mt, ACCOUNT_DEFAULT, slice("other"));
	}
	walks = mt.walks;
	for (i = 0; i < 200; i++) {
		(void)snprintf(inbox, sizeof inbox, "_INBOX.%u.x", i);
		(void)add((slotno)(i % SLOTS), inbox, 0);
		(void)match_look(&mt);
		compare(match_find(&mt, ACCOUNT_DEFAULT, slice("nothing")),
		    "nothing", 7);
		ck_assert_uint_eq(match_find(&mt, ACCOUNT_DEFAULT,
		    slice("app.y.z"))->nplain, 1);
	}
	/* "nothing" and the like at most twice; generations are hashed, so
	 * some of the others may meet. */
	ck_assert_uint_le(mt.walks - walks, 40);
}
END_TEST

START_TEST(any_related_change_is_seen)
{
	static const char *const related[] = { "app.y.z", "app.y.*", "app.*.z",
	    "*.y.z", "app.>", ">", "app.y.>", "*.*.*" };
	const struct match *m;
	uint32_t i, before;
	cellno cell;
	slotno s;

	for (s = 0; s < SLOTS; s++)
		for (i = 0; i < sizeof related / sizeof *related; i++) {
			(void)match_look(&mt);
			m = match_find(&mt, ACCOUNT_DEFAULT, slice("app.y.z"));
			before = m->nplain;
			cell = add(s, related[i], 0);
			(void)match_look(&mt);
			m = match_find(&mt, ACCOUNT_DEFAULT, slice("app.y.z"));
			ck_assert_uint_eq(m->nplain, before + 1);
			del(s, cell, 0);
			(void)match_look(&mt);
			m = match_find(&mt, ACCOUNT_DEFAULT, slice("app.y.z"));
			ck_assert_uint_eq(m->nplain, before);
		}
}
END_TEST

START_TEST(another_s_change_counts_from_the_next_look_on)
{
	const struct match *m;

	m = match_find(&mt, ACCOUNT_DEFAULT, slice("a"));
	ck_assert_uint_eq(m->nplain, 0);
	(void)add(0, "a", 0);
	m = match_find(&mt, ACCOUNT_DEFAULT, slice("a"));
	ck_assert_uint_eq(m->nplain, 0);
	ck_assert(!match_look(&mt));
	m = match_find(&mt, ACCOUNT_DEFAULT, slice("a"));
	ck_assert_uint_eq(m->nplain, 1);
}
END_TEST

START_TEST(a_dead_slot_s_interest_is_gone)
{
	const struct match *m;
	int i;

	for (i = 0; i < SLOTS; i++)
		(void)add((slotno)i, "a.b", 0);
	(void)match_look(&mt);
	for (i = 0; i < 3; i++) {
		m = match_find(&mt, ACCOUNT_DEFAULT, slice("a.b"));
		(void)match_find(&mt, ACCOUNT_DEFAULT, slice("x"));
	}
	ck_assert_uint_eq(m->plain_slots, 7);
	slots_set_dead(&t.slots, 2);
	ck_assert(match_look(&mt));
	m = match_find(&mt, ACCOUNT_DEFAULT, slice("a.b"));
	ck_assert_uint_eq(m->plain_slots, 3);
	ck_assert_uint_eq(m->nplain, 2);
	ck_assert(!match_look(&mt));
}
END_TEST

START_TEST(a_broken_zone_is_told_once_and_left_out)
{
	const struct match *m;

	(void)add(0, "a.b", 0);
	(void)add(1, "a.b", 0);
	(void)match_look(&mt);
	/* Everything behind the head: nonsense. */
	memset(t.rw[0].base + trie_head_size(), 0x5a, 1 << 20);
	m = match_find(&mt, ACCOUNT_DEFAULT, slice("a.b"));
	ck_assert_int_eq(nbroken, 1);
	(void)match_look(&mt);
	m = match_find(&mt, ACCOUNT_DEFAULT, slice("a.b"));
	ck_assert_uint_eq(m->plain_slots, 2);
	ck_assert_int_eq(nbroken, 1);
	ck_assert_uint_eq(mt.live, 6);
}
END_TEST

START_TEST(what_no_subject_can_be_matches_nothing)
{
	static const char *const bad[] = { "a..b", ".a", "a.", "." };
	char deep[4 * TRIES_TOKENS];
	uint32_t i;

	(void)add(0, ">", 0);
	(void)match_look(&mt);
	for (i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert_uint_eq(match_find(&mt, ACCOUNT_DEFAULT,
		    slice(bad[i]))->nplain, 0);
	for (i = 0; i < TRIES_TOKENS; i++)
		memcpy(deep + 2 * i, "x.", 2);
	deep[2 * TRIES_TOKENS - 1] = '\0';
	ck_assert_uint_eq(match_find(&mt, ACCOUNT_DEFAULT,
	    slice(deep))->nplain, 1);
	ck_assert_uint_eq(match_find(&mt, ACCOUNT_DEFAULT + 1,
	    slice("a"))->nplain, 0);
}
END_TEST

static Suite *
match_suite(void)
{
	Suite *s = suite_create("match");
	TCase *tc = tcase_create("matching");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, agrees_with_a_plain_list, 0, 3);
	tcase_add_test(tc,
	    the_second_use_is_kept_and_unrelated_changes_do_not_matter);
	tcase_add_test(tc, any_related_change_is_seen);
	tcase_add_test(tc, another_s_change_counts_from_the_next_look_on);
	tcase_add_test(tc, a_dead_slot_s_interest_is_gone);
	tcase_add_test(tc, a_broken_zone_is_told_once_and_left_out);
	tcase_add_test(tc, what_no_subject_can_be_matches_nothing);
	suite_add_tcase(s, tc);
	return s;
}

int
main(void)
{
	return unit_run(match_suite());
}
