/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzz target: the subject index of one slot against a list of patterns.  A
 * line of the input is a step:
 *
 *	+PATTERN	one more plain subscriber
 *	&NAME PATTERN	one more member of a queue group
 *	-N		the Nth of those that there are leaves
 *	?SUBJECT	who is interested?
 *	#		retired cells come back
 *
 * After each step the subjects asked for last are asked for again; where the
 * answer has changed, generations and bumps must have changed too.
 */
#include <config.h>

/* Small, so that inputs reach its end. */
#define TRIES_BYTES (UINT64_C(64) << 10)

#include "fuzz/fuzz.h"
#include "fuzz/model.h"
#include "lib/tries.h"

#define ENTRIES_MAX 128
#define WATCHED 4
#define NODES_MAX 512
#define ACCOUNT 1u

/* A subscription of the list. */
struct entry {
	struct fuzz_in pattern, group; /* group.len 0: plain */
	struct trie_ref ref;
};

/* What a walk has found. */
struct found {
	struct trie_ref plain[NODES_MAX];
	unsigned nplain;
	uint64_t members; /* of all groups found */
	uint64_t names; /* sum of their hashes, once for each cell */
	unsigned ngroups;
};

/* A subject that was asked for, and the answer at that time. */
struct watched {
	struct fuzz_in subject;
	uint64_t plain, members;
	uint64_t gens, bumps;
};

static struct tries t;
static struct trie_reader reader;
static struct entry entry[ENTRIES_MAX];
static unsigned nentries;
static struct watched watched[WATCHED];
static unsigned nwatched;

static uint32_t
split(const struct fuzz_in *s, struct token *tok)
{
	return subject_split(s->p, s->len, TRIES_SEED, tok, TRIES_TOKENS);
}

/* ---- the index --------------------------------------------------------- */

static void
on_plain(void *ctx, struct trie_ref node)
{
	struct found *f = ctx;

	FUZZ_CHECK(f->nplain < NODES_MAX);
	FUZZ_CHECK(trie_ref_live(t.trie[0], node));
	f->plain[f->nplain++] = node;
}

static void
on_group(void *ctx, struct trie_ref cell, uint32_t namehash,
    const uint8_t *name, uint32_t namelen, uint32_t members)
{
	struct found *f = ctx;

	FUZZ_CHECK(trie_ref_live(t.trie[0], cell));
	FUZZ_CHECK(namehash == (uint32_t)hash_bytes(name, namelen,
	    TRIES_SEED));
	FUZZ_CHECK(members > 0);
	f->members += members;
	f->names += namehash;
	f->ngroups++;
}

static const struct trie_match_ops ops = { on_plain, on_group };

static void
ask(const struct fuzz_in *subject, struct found *f, struct watched *w)
{
	static struct token tok[TRIES_TOKENS];
	struct trie_gens gens;
	uint32_t n = split(subject, tok);

	memset(f, 0, sizeof *f);
	memset(w, 0, sizeof *w);
	w->subject = *subject;
	w->bumps = trie_bumps(&reader);
	if (n == 0)
		return;
	trie_gens_of(TRIES_SEED, ACCOUNT, tok, n, &gens);
	w->gens = trie_gens_sum(&reader, &gens);
	FUZZ_CHECK(trie_match(&reader, ACCOUNT, tok, n, &ops, f) == 0);
}

/* ---- the list ------------------------------------------------------- */

static bool
same_text(const struct fuzz_in *a, const struct fuzz_in *b)
{
	return a->len == b->len && (a->len == 0 ||
	    memcmp(a->p, b->p, a->len) == 0);
}

static bool
interested(const struct entry *e, const struct fuzz_in *subject)
{
	return model_match(e->pattern.p, e->pattern.len, subject->p,
	    subject->len);
}

/* Is there an earlier entry with the same pattern and group? */
static bool
repeated(unsigned i)
{
	unsigned k;

	for (k = 0; k < i; k++)
		if (same_text(&entry[k].pattern, &entry[i].pattern) &&
		    same_text(&entry[k].group, &entry[i].group))
			return true;
	return false;
}

static bool
was_found(const struct found *f, struct trie_ref ref)
{
	unsigned i;

	for (i = 0; i < f->nplain; i++)
		if (f->plain[i].cell == ref.cell &&
		    f->plain[i].serial == ref.serial)
			return true;
	return false;
}

/* The answer of the index is that of the list. */
static void
compare(const struct fuzz_in *subject, const struct found *f,
    struct watched *w)
{
	uint64_t members = 0, names = 0;
	unsigned nplain = 0, ngroups = 0, i;
	struct entry *e;

	for (i = 0; i < nentries; i++) {
		e = &entry[i];
		FUZZ_CHECK(trie_ref_live(t.trie[0], e->ref));
		if (!interested(e, subject))
			continue;
		if (e->group.len == 0) {
			FUZZ_CHECK(was_found(f, e->ref));
			nplain += !repeated(i);
			continue;
		}
		members++;
		if (!repeated(i)) {
			ngroups++;
			names += (uint32_t)hash_bytes(e->group.p,
			    e->group.len, TRIES_SEED);
		}
	}
	FUZZ_CHECK(f->nplain == nplain);
	FUZZ_CHECK(f->ngroups == ngroups);
	FUZZ_CHECK(f->members == members);
	FUZZ_CHECK(f->names == names);
	w->plain = nplain;
	w->members = members;
}

/* ---- steps -------------------------------------------------------------- */

static void
step_ask(const struct fuzz_in *subject)
{
	struct watched *w = &watched[nwatched++ % WATCHED];
	struct found f;

	ask(subject, &f, w);
	compare(subject, &f, w);
}

static void
add(const struct fuzz_in *pattern, const struct fuzz_in *group)
{
	static struct token tok[TRIES_TOKENS];
	struct entry *e = &entry[nentries];
	enum trie_status st;
	uint32_t n;

	if (nentries == ENTRIES_MAX ||
	    !subject_valid_pattern(pattern->p, pattern->len) ||
	    (n = split(pattern, tok)) == 0)
		return;
	e->pattern = *pattern;
	e->group.len = 0;
	if (group == NULL)
		st = trie_add_plain(t.trie[0], ACCOUNT, tok, n, &e->ref);
	else {
		e->group = *group;
		st = trie_add_group(t.trie[0], ACCOUNT, tok, n, group->p,
		    (uint32_t)group->len, &e->ref);
	}
	FUZZ_CHECK(st == TRIE_OK || st == TRIE_FULL);
	if (st == TRIE_OK)
		nentries++;
}

static void
step_remove(struct fuzz_in *in)
{
	unsigned i = 0;
	struct entry e;

	while (in->len > 0)
		i = i * 10 + (unsigned)(fuzz_byte(in) - '0') % 10;
	if (nentries == 0)
		return;
	i %= nentries;
	e = entry[i];
	entry[i] = entry[--nentries];
	if (e.group.len == 0)
		trie_del_plain(t.trie[0], ACCOUNT, e.ref.cell);
	else
		trie_del_group(t.trie[0], ACCOUNT, e.ref.cell);
}

static void
step(struct fuzz_in line)
{
	struct fuzz_in group;

	switch (fuzz_byte(&line)) {
	case '+':
		add(&line, NULL);
		break;
	case '&':
		group = fuzz_until(&line, ' ');
		if (group.len > 0)
			add(&line, &group);
		break;
	case '-':
		step_remove(&line);
		break;
	case '?':
		step_ask(&line);
		break;
	default:
		FUZZ_CHECK(trie_reclaim(t.trie[0]) == 0);
	}
}

/* A changed answer was announced. */
static void
check_watched(void)
{
	struct watched now;
	struct found f;
	unsigned i;

	for (i = 0; i < WATCHED && i < nwatched; i++) {
		ask(&watched[i].subject, &f, &now);
		compare(&watched[i].subject, &f, &now);
		if (now.plain != watched[i].plain ||
		    now.members != watched[i].members)
			FUZZ_CHECK(now.gens != watched[i].gens &&
			    now.bumps != watched[i].bumps);
		watched[i] = now;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };

	if (size > 2048)
		return 0;
	tries_new(&t, 1);
	tries_check(trie_reader_attach(&reader, &t.ro[0], TRIES_SEED));
	nentries = nwatched = 0;
	while (in.len > 0) {
		step(fuzz_until(&in, '\n'));
		check_watched();
	}
	FUZZ_CHECK(trie_valid(t.trie[0]) == 0);
	while (nentries > 0)
		step_remove(&(struct fuzz_in){ (const uint8_t *)"0", 1 });
	check_watched();
	FUZZ_CHECK(trie_valid(t.trie[0]) == 0);
	tries_free(&t);
	return 0;
}
