/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For tests of the index: a writer that adds and removes patterns for ever,
 * and a reader that checks what it finds meanwhile: patterns that are always
 * there, subjects that never match, and, of those that come and go, that
 * each hit is the pattern it must be (a cell reused too early is not).
 */
#ifndef TESTS_TRIECHURN_H
#define TESTS_TRIECHURN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/hash.h"
#include "shm/trie.h"
#include "shm/trie_priv.h"

#define CHURN_SEED UINT64_C(0xfeedbeef12345678)
#define CHURN_POP 3000
#define CHURN_FORMS 6
#define CHURN_LONG "a-token-of-more-than-one-cell-which-is-long-enough-for-" \
	"two-continuations-at-least-since-this-is-where-reuse-would-show"

#define CHURN_CHECK(cond)                                                 \
	do {                                                              \
		if (!(cond)) {                                            \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, \
			    #cond);                                       \
			abort();                                          \
		}                                                         \
	} while (0)

static inline uint32_t
churn_split(const char *subject, struct token *tok)
{
	const char *p = subject, *dot;
	uint32_t n = 0;

	for (;;) {
		dot = strchr(p, '.');
		tok[n].p = (const uint8_t *)p;
		tok[n].len = (uint32_t)(dot ? (size_t)(dot - p) : strlen(p));
		tok[n].hash = (uint32_t)hash_bytes(p, tok[n].len,
		    CHURN_SEED);
		n++;
		if (dot == NULL)
			return n;
		p = dot + 1;
	}
}

static inline uint32_t
churn_random(uint64_t *state, uint32_t n)
{
	*state += HASH_K0;
	return (uint32_t)(hash_mix(*state, HASH_K1) >> 32) % n;
}

/* ---- the writer ---- */

struct churn {
	struct trie *trie;
	uint64_t random;
	uint64_t steps;
	uint32_t on;
	bool shrinking;
	struct trie_ref ref[CHURN_POP][CHURN_FORMS]; /* cell 0: not there */
};

static inline struct trie_ref
churn_add(struct churn *c, const char *pattern, const char *group)
{
	struct token tok[16];
	uint32_t n = churn_split(pattern, tok);
	struct trie_ref ref = { 0, 0 };

	/* TRIE_FULL may come when readers hold cells back. */
	if (group != NULL)
		(void)trie_add_group(c->trie, 1, tok, n,
		    (const uint8_t *)group, (uint32_t)strlen(group), &ref);
	else
		(void)trie_add_plain(c->trie, 1, tok, n, &ref);
	return ref;
}

static inline void
churn_init(struct churn *c, struct trie *trie, uint64_t seed)
{
	memset(c, 0, sizeof *c);
	c->trie = trie;
	c->random = seed;
	CHURN_CHECK(churn_add(c, "const.a", NULL).cell != 0);
	CHURN_CHECK(churn_add(c, "const.*.x", NULL).cell != 0);
	CHURN_CHECK(churn_add(c, "const.deep.>", NULL).cell != 0);
	CHURN_CHECK(churn_add(c, "const.g", "first").cell != 0);
	CHURN_CHECK(churn_add(c, "const.g", CHURN_LONG).cell != 0);
	CHURN_CHECK(churn_add(c, "const.g", CHURN_LONG).cell != 0);
}

static inline struct trie_ref
churn_form(struct churn *c, uint32_t k, uint32_t form)
{
	static const char *const forms[CHURN_FORMS] = { "leaf", "*", ">",
		CHURN_LONG, "leaf", "*" };
	char s[256], name[256];

	(void)snprintf(s, sizeof s, "churn.%u.%s", k, forms[form]);
	if (form < 4)
		return churn_add(c, s, NULL);
	(void)snprintf(name, sizeof name, "group.%u.%s", k,
	    form == 5 ? CHURN_LONG : "");
	return churn_add(c, s, name);
}

/* One change; reclaims as a worker's loop does, every so often. */
static inline void
churn_step(struct churn *c)
{
	uint32_t k = churn_random(&c->random, CHURN_POP);
	uint32_t form = churn_random(&c->random, CHURN_FORMS);
	struct trie_ref *ref = &c->ref[k][form];
	bool remove = churn_random(&c->random, 8) < (c->shrinking ? 7 : 1);

	if (ref->cell == 0 && !remove) {
		*ref = churn_form(c, k, form);
		c->on += ref->cell != 0;
	} else if (ref->cell != 0 && remove) {
		CHURN_CHECK(trie_ref_live(c->trie, *ref));
		if (form < 4)
			trie_del_plain(c->trie, 1, ref->cell);
		else
			trie_del_group(c->trie, 1, ref->cell);
		ref->cell = 0;
		c->on--;
	}
	if (c->on > CHURN_POP * CHURN_FORMS * 3 / 4)
		c->shrinking = true;
	else if (c->on < CHURN_POP * CHURN_FORMS / 50)
		c->shrinking = false;
	if (++c->steps % 16 == 0)
		(void)trie_reclaim(c->trie);
}

/* ---- the reader ---- */

struct churn_reader {
	struct trie_reader trie;
	uint64_t random;
	uint32_t plain;
	uint32_t members;
	const char *k; /* of a subject that comes and goes; else NULL */
	const char *last; /* its last token */
};

static inline bool
churn_text_is(const struct churn_reader *r, const struct trie_node_shm *nd,
    const char *want)
{
	struct trie_look l = { .cells = r->trie.first,
		.ncells = r->trie.cells, .budget = 1000 };
	uint32_t len = cell_len(nd->cell.meta);
	char text[256];

	CHURN_CHECK(len < sizeof text);
	memcpy(text, nd->token, len < TRIE_NODE_TEXT ? len : TRIE_NODE_TEXT);
	if (len > TRIE_NODE_TEXT)
		CHURN_CHECK(trie_look_rest(&l, nd->cell.cont,
		    (uint8_t *)text + TRIE_NODE_TEXT, len - TRIE_NODE_TEXT));
	return len == strlen(want) && memcmp(text, want, len) == 0;
}

/* The node must be one of churn.K.LAST, churn.K.* and churn.K.>.  Now and
 * then the reader lingers first, so that the writer may unlink it. */
static inline void
churn_node_check(struct churn_reader *r, cellno no)
{
	const struct trie_node_shm *nd, *up;

	if (churn_random(&r->random, 64) == 0)
		(void)nanosleep(&(struct timespec){ .tv_nsec = 300000 },
		    NULL);
	nd = (const void *)(r->trie.first + (size_t)no * CELL_SIZE);
	up = (const void *)(r->trie.first + (size_t)nd->parent * CELL_SIZE);
	CHURN_CHECK(churn_text_is(r, up, r->k));
	CHURN_CHECK(churn_text_is(r, nd, r->last) ||
	    churn_text_is(r, nd, "*") || churn_text_is(r, nd, ">"));
}

static inline void
churn_on_plain(void *ctx, struct trie_ref node)
{
	struct churn_reader *r = ctx;

	r->plain++;
	if (r->k != NULL)
		churn_node_check(r, node.cell);
}

static inline void
churn_on_group(void *ctx, struct trie_ref cell, uint32_t namehash,
    const uint8_t *name, uint32_t namelen, uint32_t members)
{
	struct churn_reader *r = ctx;
	const struct trie_group_shm *g;
	char want[256];
	size_t n;

	CHURN_CHECK(namehash ==
	    (uint32_t)hash_bytes(name, namelen, CHURN_SEED));
	r->members += members;
	if (r->k == NULL)
		return;
	g = (const void *)(r->trie.first + (size_t)cell.cell * CELL_SIZE);
	churn_node_check(r, g->node);
	n = (size_t)snprintf(want, sizeof want, "group.%s.", r->k);
	CHURN_CHECK(namelen >= n && memcmp(name, want, n) == 0);
	CHURN_CHECK(members == 1);
}

static inline void
churn_match(struct churn_reader *r, const char *subject)
{
	static const struct trie_match_ops ops = { churn_on_plain,
		churn_on_group };
	struct token tok[16];
	uint32_t n = churn_split(subject, tok);

	r->plain = r->members = 0;
	CHURN_CHECK(trie_match(&r->trie, 1, tok, n, &ops, r) == 0);
}

static inline void
churn_expect(struct churn_reader *r, const char *subject, uint32_t plain,
    uint32_t members)
{
	r->k = NULL;
	churn_match(r, subject);
	CHURN_CHECK(r->plain == plain && r->members == members);
}

static inline void
churn_meet(struct churn_reader *r)
{
	char k[16], s[256];

	(void)snprintf(k, sizeof k, "%u", churn_random(&r->random,
	    CHURN_POP));
	r->k = k;
	r->last = churn_random(&r->random, 2) ? "leaf" : CHURN_LONG;
	(void)snprintf(s, sizeof s, "churn.%s.%s", k, r->last);
	churn_match(r, s);
	CHURN_CHECK(r->plain <= 3 && r->members <= 2);
	r->k = NULL;
}

/* Everything that must hold while a writer is at work. */
static inline void
churn_check(struct churn_reader *r)
{
	uint32_t i;

	churn_expect(r, "const.a", 1, 0);
	churn_expect(r, "const.q.x", 1, 0);
	churn_expect(r, "const.deep.x", 2, 0);
	churn_expect(r, "const.deep.a.b.c", 1, 0);
	churn_expect(r, "const.g", 0, 3);
	churn_expect(r, "const.b", 0, 0);
	churn_expect(r, "const.deep", 0, 0);
	churn_expect(r, "never.there", 0, 0);
	for (i = 0; i < 8; i++)
		churn_meet(r);
}

#endif
