/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the subject index costs: a match that no cache answers, with 2, 8 and
 * 48 slots; bytes of a subscription; changes per second.  Zones as the daemon
 * makes them, in one process, so that nothing but the walks is measured.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/hash.h"
#include "shm/trie.h"

#define SEED UINT64_C(0x5bd1e995cafef00d)
#define ACCOUNT 1
#define SLOTS 48
#define INTERESTED 2 /* slots whose tries match; the others' do not */
#define INDEX_BYTES (UINT64_C(1) << 30)
#define TOKENS 8
#define SUBJECTS 4096 /* different ones, of the match that repeats none */
#define ROUNDS 40 /* the best one counts */
#define WALKS 60000 /* of one slot, per round */
#define CHURN 400000
#define RECLAIM_EVERY 64 /* changes in one iteration of a worker */

struct slot {
	struct zone rw, ro;
	struct trie *trie;
	struct trie_reader reader;
};

struct subject {
	char text[40];
	struct token tok[TOKENS];
	uint32_t n;
};

static struct slots_shm slots; /* all spare: nobody holds cells back */
static struct quiesce_view view = { .slots = &slots, .self = SLOTS_NONE };
static struct slot slot[SLOTS];
static cellno *cells[SLOTS]; /* of the unrelated subscriptions */
static uint32_t have[SLOTS];
static uint64_t hits;

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

/* Our own time: others may be at work on the machine. */
static double
now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void
split(struct subject *s)
{
	const char *p = s->text, *dot;

	for (s->n = 0; s->n < TOKENS; p = dot + 1) {
		struct token *tok = &s->tok[s->n++];

		dot = strchr(p, '.');
		tok->p = (const uint8_t *)p;
		tok->len = (uint32_t)(dot != NULL ? (size_t)(dot - p) :
						    strlen(p));
		tok->hash = (uint32_t)hash_bytes(p, tok->len, SEED);
		if (dot == NULL)
			return;
	}
}

static struct subject *
make(struct subject *s, const char *text)
{
	(void)snprintf(s->text, sizeof s->text, "%s", text);
	split(s);
	return s;
}

/* The n-th unrelated subscription of a slot. */
static struct subject *
make_other(struct subject *s, uint32_t at, uint32_t n)
{
	(void)snprintf(s->text, sizeof s->text, "app.dev%u.%u.status", at, n);
	split(s);
	return s;
}

static cellno
add(struct slot *sl, const struct subject *s)
{
	struct trie_ref ref;

	if (trie_add_plain(sl->trie, ACCOUNT, s->tok, s->n, &ref) != TRIE_OK) {
		fprintf(stderr, "indexbench: the index is full\n");
		exit(1);
	}
	return ref.cell;
}

static void
open_slot(uint32_t n)
{
	struct slot *sl = &slot[n];
	struct zone_fds fds;
	struct subject s;

	if (zone_create("indexbench", TRIE_MAGIC, trie_shm_size(INDEX_BYTES),
		&fds) == -1 ||
	    zone_map_rw(&fds, TRIE_MAGIC, &sl->rw) == -1 ||
	    zone_map_ro(&fds, TRIE_MAGIC, &sl->ro) == -1)
		die("indexbench: zone");
	zone_close(&fds);
	trie_shm_init(sl->rw.base, INDEX_BYTES, n);
	if (trie_new(&sl->rw, SEED, &view, INDEX_BYTES, &sl->trie) == -1 ||
	    trie_reader_attach(&sl->reader, &sl->ro, SEED) == -1)
		die("indexbench: trie");
	if (n >= INTERESTED)
		return;
	(void)add(sl, make(&s, "foo.bar.baz"));
	(void)add(sl, make(&s, "orders.*.new"));
	(void)add(sl, make(&s, "logs.>"));
}

/* As many unrelated subscriptions in each of the first n slots as make
 * `total`. */
static void
fill(uint32_t n, uint32_t total)
{
	struct subject s;
	uint32_t i, each = total / n;

	for (i = 0; i < n; i++) {
		if (have[i] >= each)
			continue;
		cells[i] = realloc(cells[i], each * sizeof *cells[i]);
		if (cells[i] == NULL)
			die("indexbench");
		for (; have[i] < each; have[i]++)
			cells[i][have[i]] = add(&slot[i],
			    make_other(&s, i, have[i]));
		(void)trie_reclaim(slot[i].trie);
	}
}

static void
clear(uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n; i++) {
		while (have[i] > 0) {
			trie_del_plain(slot[i].trie, ACCOUNT,
			    cells[i][--have[i]]);
			if (have[i] % RECLAIM_EVERY == 0)
				(void)trie_reclaim(slot[i].trie);
		}
	}
}

static void
on_plain(void *ctx, struct trie_ref node)
{
	(void)ctx;
	(void)node;
	hits++;
}

static void
on_group(void *ctx, struct trie_ref cell, uint32_t namehash,
    const uint8_t *name, uint32_t namelen, uint32_t members)
{
	(void)ctx;
	(void)cell;
	(void)namehash;
	(void)name;
	(void)namelen;
	hits += members;
}

static void
match(uint32_t nslots, const struct subject *s)
{
	static const struct trie_match_ops ops = { on_plain, on_group };
	uint32_t i;

	for (i = 0; i < nslots; i++) {
		if (trie_match(&slot[i].reader, ACCOUNT, s->tok, s->n, &ops,
			NULL) == -1) {
			fprintf(stderr, "indexbench: broken trie\n");
			exit(1);
		}
	}
}

/* Nanoseconds of a match over nslots slots, over n subjects in turn. */
static double
time_match(uint32_t nslots, const struct subject *s, uint32_t n)
{
	uint32_t i, k, at = 0, count = WALKS / nslots;
	double best = 0, t;

	for (k = 0; k < ROUNDS; k++) {
		t = now_ns();
		for (i = 0; i < count; i++)
			match(nslots, &s[at++ % n]);
		t = (now_ns() - t) / count;
		if (k == 0 || t < best)
			best = t;
	}
	return best;
}

/* Subjects that the first nslots slots have, in no order. */
static void
pick(struct subject *s, uint32_t nslots)
{
	uint32_t i;

	for (i = 0; i < SUBJECTS; i++) {
		uint32_t at = (uint32_t)random() % nslots;

		(void)make_other(&s[i], at, (uint32_t)random() % have[at]);
	}
}

static void
bench_match(void)
{
	static const uint32_t nslots[] = { 2, 8, 48 };
	static const uint32_t totals[] = { 1000, 100000, 1000000 };
	static struct subject varied[SUBJECTS];
	struct subject lit, star, tail, none;
	uint32_t i, j;

	make(&lit, "foo.bar.baz");
	make(&star, "orders.eu.new");
	make(&tail, "logs.a.b");
	make(&none, "nothing.here.now");
	printf("match, ns\n%5s %9s %8s %8s %8s %8s %8s\n", "slots",
	    "unrelated", "literal", "*", ">", "none", "varied");
	for (i = 0; i < sizeof nslots / sizeof nslots[0]; i++) {
		for (j = 0; j < sizeof totals / sizeof totals[0]; j++) {
			fill(nslots[i], totals[j]);
			pick(varied, nslots[i]);
			printf("%5u %9u %8.0f %8.0f %8.0f %8.0f %8.0f\n",
			    nslots[i], totals[j],
			    time_match(nslots[i], &lit, 1),
			    time_match(nslots[i], &star, 1),
			    time_match(nslots[i], &tail, 1),
			    time_match(nslots[i], &none, 1),
			    time_match(nslots[i], varied, SUBJECTS));
			(void)fflush(stdout);
		}
		clear(nslots[i]);
	}
}

/* Inboxes that come and go beside what is there. */
static double
time_churn(struct slot *sl)
{
	struct subject s;
	double t = now_ns();
	uint32_t i;

	for (i = 0; i < CHURN; i++) {
		(void)snprintf(s.text, sizeof s.text, "_INBOX.%u", i);
		split(&s);
		trie_del_plain(sl->trie, ACCOUNT, add(sl, &s));
		if (i % (RECLAIM_EVERY / 2) == 0)
			(void)trie_reclaim(sl->trie);
	}
	return (now_ns() - t) / (2.0 * CHURN);
}

static void
bench_change(void)
{
	static const uint32_t totals[] = { 1000, 100000, 1000000 };
	struct slot *sl = &slot[SLOTS - 1]; /* empty */
	struct subject s;
	cellno *at;
	double added, churned, deleted;
	uint64_t bytes;
	uint32_t i, k;

	if ((at = calloc(totals[2], sizeof *at)) == NULL)
		die("indexbench");
	printf("\nchanges per second, and bytes of a subscription with two "
	    "nodes of its own\n"
	    "%9s %10s %10s %10s %8s\n", "subs", "add", "del", "churn",
	    "bytes");
	for (k = 0; k < sizeof totals / sizeof totals[0]; k++) {
		uint64_t before = trie_bytes(sl->trie);

		added = now_ns();
		for (i = 0; i < totals[k]; i++) {
			at[i] = add(sl, make_other(&s, SLOTS, i));
			if (i % RECLAIM_EVERY == 0)
				(void)trie_reclaim(sl->trie);
		}
		added = (now_ns() - added) / totals[k];
		for (i = 0; i < 1000; i++)
			(void)trie_reclaim(sl->trie);
		bytes = trie_bytes(sl->trie) - before;
		churned = time_churn(sl);
		deleted = now_ns();
		for (i = 0; i < totals[k]; i++) {
			trie_del_plain(sl->trie, ACCOUNT, at[i]);
			if (i % RECLAIM_EVERY == 0)
				(void)trie_reclaim(sl->trie);
		}
		deleted = (now_ns() - deleted) / totals[k];
		printf("%9u %10.0f %10.0f %10.0f %8.1f\n", totals[k],
		    1e9 / added, 1e9 / deleted, 1e9 / churned,
		    (double)bytes / totals[k]);
		(void)fflush(stdout);
		sl = &slot[SLOTS - 2 - k]; /* a fresh one */
	}
	free(at);
}

int
main(void)
{
	uint32_t i;

	for (i = 0; i < SLOTS; i++)
		open_slot(i);
	bench_match();
	for (i = 0; i < SLOTS; i++) { /* those used above are not empty */
		trie_free(&slot[i].trie);
		zone_unmap(&slot[i].rw);
		zone_unmap(&slot[i].ro);
		free(cells[i]);
		open_slot(i);
	}
	bench_change();
	return hits == 0; /* the walks were not optimised away */
}
