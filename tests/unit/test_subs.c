/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The worker's own subscriptions against a plain list of them: by sid, by
 * cell, in the trie; what they cost comes back.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/tries.h"
#include "lib/unit.h"
#include "worker/msg.h"
#include "worker/subs.h"

#define OWNERS 3
#define MODEL_MAX 3000
#define SID_MAX 64

struct owner {
	struct subscriber who; /* no calls here: only its address counts */
	struct sub_map map;
};

struct entry { /* of the model */
	int owner; /* -1: free */
	bool group;
	char sid[SID_MAX];
	char pattern[64];
	subno no;
};

static struct tries t;
static struct trie_reader reader;
static struct subs subs;
static struct owner owner[OWNERS];
static struct entry model[MODEL_MAX];
static uint64_t dice;

static struct slice
slice(const char *text)
{
	struct slice s = { (const uint8_t *)text, (uint32_t)strlen(text) };

	return s;
}

static void
setup(void)
{
	int i;

	tries_new(&t, 1);
	tries_check(trie_reader_attach(&reader, &t.ro[0], TRIES_SEED));
	tries_check(subs_init(&subs, t.trie[0], TRIES_SEED, TRIES_BYTES));
	memset(owner, 0, sizeof owner);
	for (i = 0; i < MODEL_MAX; i++)
		model[i].owner = -1;
	dice = 1;
}

static void
teardown(void)
{
	int o;

	for (o = 0; o < OWNERS; o++)
		subs_del_all(&subs, &owner[o].map, ACCOUNT_DEFAULT);
	subs_fini(&subs);
	tries_free(&t);
}

static enum trie_status
add(int o, const char *pattern, const char *queue, const char *sid,
    subno *made)
{
	static struct token tok[TRIES_TOKENS];
	struct sub_new n;

	memset(&n, 0, sizeof n);
	n.who = &owner[o].who;
	n.map = &owner[o].map;
	n.account = ACCOUNT_DEFAULT;
	n.ntok = tries_split(pattern, tok);
	n.tok = tok;
	n.sid = slice(sid);
	if (queue != NULL)
		n.queue = slice(queue);
	return subs_add(&subs, &n, made);
}

static subno
find(int o, const char *sid)
{
	return subs_find(&subs, &owner[o].map, slice(sid));
}

/* ---- what a walk finds ---- */

static uint64_t seen_plain, seen_members;

static void
on_plain(void *ctx, struct trie_ref node)
{
	subno no;

	(void)ctx;
	ck_assert(trie_ref_live(t.trie[0], node));
	no = subs_of_cell(&subs, node.cell);
	ck_assert_uint_ne(no, 0);
	for (; no != 0; no = subs_at(&subs, no)->next) {
		ck_assert_uint_eq(subs_at(&subs, no)->flags & SUB_GROUP, 0);
		seen_plain++;
	}
}

static void
on_group(void *ctx, struct trie_ref cell, uint32_t hash, const uint8_t *name,
    uint32_t len, uint32_t members)
{
	const subno *member;
	uint32_t n, i;

	(void)ctx;
	(void)hash;
	ck_assert(trie_ref_live(t.trie[0], cell));
	ck_assert_uint_eq(len, 1);
	ck_assert_int_eq(name[0], 'q');
	/* A group's cell is no list of plain subscribers. */
	ck_assert_uint_eq(subs_of_cell(&subs, cell.cell), 0);
	member = subs_members(&subs, cell.cell, &n);
	ck_assert_uint_eq(n, members);
	for (i = 0; i < n; i++) {
		ck_assert_uint_ne(subs_at(&subs, member[i])->flags &
		    SUB_GROUP, 0);
		ck_assert_uint_eq(subs_at(&subs, member[i])->prev, i);
	}
	seen_members += members;
}

static void
compare_match(const char *subject)
{
	static const struct trie_match_ops ops = { on_plain, on_group };
	static struct token tok[TRIES_TOKENS];
	uint64_t plain = 0, members = 0;
	const struct entry *e;

	for (e = model; e < model + MODEL_MAX; e++)
		if (e->owner >= 0 && subject_match((const uint8_t *)e->pattern,
		    strlen(e->pattern), (const uint8_t *)subject,
		    strlen(subject))) {
			if (e->group)
				members++;
			else
				plain++;
		}
	seen_plain = seen_members = 0;
	ck_assert_int_eq(trie_match(&reader, ACCOUNT_DEFAULT, tok,
	    tries_split(subject, tok), &ops, NULL), 0);
	ck_assert_uint_eq(seen_plain, plain);
	ck_assert_uint_eq(seen_members, members);
}

/* Every sid of the model is found, and is what it was; no other is there. */
static void
compare_sids(void)
{
	uint32_t count[OWNERS] = { 0 }, pos, n;
	const struct entry *e;
	const struct sub *s;
	int o;

	for (e = model; e < model + MODEL_MAX; e++) {
		if (e->owner < 0)
			continue;
		count[e->owner]++;
		ck_assert_uint_eq(find(e->owner, e->sid), e->no);
		s = subs_at(&subs, e->no);
		ck_assert_ptr_eq(s->who, &owner[e->owner].who);
		ck_assert_uint_eq(sub_sid(s).len, strlen(e->sid));
		ck_assert_mem_eq(sub_sid(s).p, e->sid, strlen(e->sid));
	}
	for (o = 0; o < OWNERS; o++) {
		ck_assert_uint_eq(owner[o].map.n, count[o]);
		for (pos = n = 0; subs_walk(&owner[o].map, &pos) != 0; n++)
			;
		ck_assert_uint_eq(n, count[o]);
	}
	ck_assert_uint_eq(subs.n, count[0] + count[1] + count[2]);
}

static void
model_add(struct entry *e, int number)
{
	int o = (int)tries_rnd(&dice, OWNERS);

	/* Some too long to lie in the record. */
	(void)snprintf(e->sid, sizeof e->sid, tries_rnd(&dice, 4) == 0 ?
	    "a sid that is longer than %d" : "%d", number);
	tries_subject(&dice, true, e->pattern);
	e->group = tries_rnd(&dice, 3) == 0;
	ck_assert_uint_eq(find(o, e->sid), 0);
	ck_assert_int_eq(add(o, e->pattern, e->group ? "q" : NULL, e->sid,
	    &e->no), TRIE_OK);
	e->owner = o;
}

static void
model_del(struct entry *e)
{
	subs_del(&subs, &owner[e->owner].map, ACCOUNT_DEFAULT, e->no);
	ck_assert_uint_eq(find(e->owner, e->sid), 0);
	e->owner = -1;
}

static void
model_del_all(int o)
{
	uint32_t n = owner[o].map.n, budget, took;
	struct entry *e;
	bool all = false;

	if (tries_rnd(&dice, 2) == 0)
		subs_del_all(&subs, &owner[o].map, ACCOUNT_DEFAULT);
	else
		while (!all) {
			budget = took = 1 + (uint32_t)tries_rnd(&dice, 40);
			all = subs_del_some(&subs, &owner[o].map,
			    ACCOUNT_DEFAULT, &budget);
			took -= budget;
			ck_assert_uint_eq(owner[o].map.n, n - took);
			n -= took;
		}
	ck_assert_uint_eq(owner[o].map.n, 0);
	for (e = model; e < model + MODEL_MAX; e++)
		if (e->owner == o)
			e->owner = -1;
}

START_TEST(agrees_with_a_plain_list)
{
	char subject[64];
	uint32_t part;
	int i, grow;

	dice = (uint64_t)_i + 1;
	for (i = 0; i < 12000; i++) {
		grow = i / 2000 % 2 == 0;
		part = tries_rnd(&dice, MODEL_MAX);
		if (model[part].owner >= 0 &&
		    tries_rnd(&dice, 4) >= (grow ? 3 : 1))
			model_del(&model[part]);
		else if (model[part].owner < 0 && grow)
			model_add(&model[part], i);
		if (i % 16 == 0) {
			tries_subject(&dice, false, subject);
			compare_match(subject);
			(void)trie_reclaim(t.trie[0]);
		}
		if (i % 1000 == 0)
			compare_sids();
		if (i == 7000)
			model_del_all(1);
	}
	compare_sids();
	ck_assert_int_eq(trie_valid(t.trie[0]), 0);
}
END_TEST

START_TEST(costs_come_back)
{
	char sid[64];
	uint64_t before;
	int i, round;
	subno no;

	before = 0;
	for (round = 0; round < 3; round++) {
		for (i = 0; i < 2000; i++) {
			(void)snprintf(sid, sizeof sid,
			    "a rather long subscription id %d", i);
			ck_assert_int_eq(add(i % 2, "a.b", NULL, sid, &no),
			    TRIE_OK);
		}
		subs_del_all(&subs, &owner[0].map, ACCOUNT_DEFAULT);
		for (i = 1; i < 2000; i += 2) {
			(void)snprintf(sid, sizeof sid,
			    "a rather long subscription id %d", i);
			subs_del(&subs, &owner[1].map, ACCOUNT_DEFAULT,
			    find(1, sid));
		}
		ck_assert_uint_eq(subs.n, 0);
		/* Records and heads stay; maps and long sids do not. */
		if (round > 0)
			ck_assert_uint_eq(subs.bytes, before);
		before = subs.bytes;
		ck_assert_ptr_null(owner[0].map.slots);
		ck_assert_ptr_null(owner[1].map.slots);
	}
}
END_TEST

START_TEST(full_is_an_error_and_leaves_all_as_it_was)
{
	char sid[32], pattern[64];
	uint32_t n = 0, before;
	enum trie_status st;
	subno no;

	subs.limit = subs.bytes + trie_bytes(t.trie[0]) + (1u << 20);
	do {
		(void)snprintf(sid, sizeof sid, "%u", n);
		(void)snprintf(pattern, sizeof pattern, "p.%u.x", n);
		st = add(0, pattern, NULL, sid, &no);
		n++;
	} while (st == TRIE_OK && n < 1000000);
	ck_assert_int_eq(st, TRIE_FULL);
	ck_assert_uint_gt(n, 100);
	before = subs.n;
	ck_assert_uint_eq(before, n - 1);
	ck_assert_uint_eq(find(0, sid), 0);
	ck_assert_uint_eq(owner[0].map.n, before);
	ck_assert_int_eq(trie_valid(t.trie[0]), 0);
	ck_assert_uint_le(subs.bytes + trie_bytes(t.trie[0]),
	    subs.limit + 65536);
	/* One less makes room for one more. */
	subs_del(&subs, &owner[0].map, ACCOUNT_DEFAULT, find(0, "5"));
	(void)trie_reclaim(t.trie[0]);
	(void)trie_reclaim(t.trie[0]);
	ck_assert_int_eq(add(0, "p.5.x", NULL, "again", &no), TRIE_OK);
}
END_TEST

START_TEST(who_has_reached_its_max_is_noted_once)
{
	subno a, b;

	ck_assert_int_eq(add(0, "x", NULL, "1", &a), TRIE_OK);
	ck_assert_int_eq(add(0, "x", NULL, "2", &b), TRIE_OK);
	subs_finish(&subs, a);
	subs_finish(&subs, b);
	subs_finish(&subs, a);
	ck_assert_uint_eq(subs.nfinished, 2);
	ck_assert_uint_eq(subs.finished[0], a);
	ck_assert_uint_eq(subs.finished[1], b);
}
END_TEST

START_TEST(a_sid_longer_than_a_record_can_say_is_refused)
{
	char *sid = malloc(70001);
	subno no;

	ck_assert_ptr_nonnull(sid);
	memset(sid, 's', 70000);
	sid[70000] = '\0';
	ck_assert_int_eq(add(0, "x", NULL, sid, &no), TRIE_NOMEM);
	ck_assert_uint_eq(subs.n, 0);
	sid[65535] = '\0';
	ck_assert_int_eq(add(0, "x", NULL, sid, &no), TRIE_OK);
	ck_assert_uint_eq(find(0, sid), no);
	free(sid);
}
END_TEST

static Suite *
subs_suite(void)
{
	Suite *s = suite_create("subs");
	TCase *tc = tcase_create("subscriptions");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, agrees_with_a_plain_list, 0, 4);
	tcase_add_test(tc, costs_come_back);
	tcase_add_test(tc, full_is_an_error_and_leaves_all_as_it_was);
	tcase_add_test(tc, who_has_reached_its_max_is_noted_once);
	tcase_add_test(tc, a_sid_longer_than_a_record_can_say_is_refused);
	suite_add_tcase(s, tc);
	return s;
}

int
main(void)
{
	return unit_run(subs_suite());
}
