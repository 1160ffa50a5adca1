/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who is interested in a subject: a walk over the tries of all live slots,
 * its result kept (src/README, section 4): one at hand, and a small cache
 * checked by generations.
 */
#ifndef WORKER_MATCH_H
#define WORKER_MATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/token.h"
#include "proto/parse.h"
#include "shm/slots.h"
#include "shm/trie.h"

/* A part of a queue group: one cell of one slot's trie. */
struct match_part {
	struct trie_ref ref;
	uint32_t members;
	uint32_t next; /* part number + 1 of the same group, 0 = last */
	slotno slot;
};

struct match_group {
	uint32_t name; /* offset in names */
	uint32_t namelen;
	uint32_t hash;
	uint32_t first, last; /* part number + 1 */
	uint64_t slots;
};

struct match_plain {
	struct trie_ref ref;
	slotno slot;
};

/* The result; arrays grow and are kept.  Plain nodes stand slot by slot. */
struct match {
	uint64_t plain_slots; /* slots with plain subscribers */
	struct match_plain *plain;
	struct match_group *group;
	struct match_part *part;
	uint8_t *names;
	uint32_t nplain, ngroup, npart, nnames;
	uint32_t capplain, capgroup, cappart, capnames;
	bool failed; /* no memory: it lacks something */
};

#define MATCH_CACHE 512 /* entries; a worker's subjects that repeat */
#define MATCH_SEEN 1024 /* hashes of subjects seen once */
#define MATCH_SUBJECT_MAX 256 /* longer subjects are not kept */

struct match_entry {
	struct match m;
	struct trie_gens gens;
	uint64_t sum; /* of the generations over all live slots */
	uint64_t view; /* in which it was found valid */
	uint64_t membership;
	uint32_t account;
	uint32_t len; /* 0 = empty */
	uint8_t subject[MATCH_SUBJECT_MAX];
};

struct matcher {
	/* the view */
	uint64_t view;
	uint64_t membership;
	uint64_t live;
	uint64_t bumps[SLOTS_MAX];
	/* roots of one account, as found since bumps changed last */
	cellno root[SLOTS_MAX];
	uint64_t rooted; /* slots whose root is known */
	uint32_t root_account;
	/* what is walked */
	const struct slots_shm *slots;
	struct trie_reader reader[SLOTS_MAX];
	uint64_t readable; /* slots whose trie is attached and not broken */
	slotno self;
	uint64_t hash_seed;
	void (*broken)(void *ctx, slotno slot); /* a zone makes no sense */
	void *ctx;
	/* splitting */
	struct token *tok;
	uint32_t captok;
	/* the one at hand */
	struct match memo;
	const struct match *last; /* memo or a cache entry's */
	uint64_t last_view;
	uint32_t last_account;
	uint8_t *last_subject; /* copy */
	uint32_t last_len, cap_last;
	/* the cache */
	struct match_entry *cache;
	uint32_t tag[MATCH_CACHE]; /* hashes of the subjects in the cache */
	uint32_t seen[MATCH_SEEN];
	uint32_t misses; /* in a row */
	/* the own trie alone */
	struct match own;
	uint64_t walks, hits; /* counters */
};

int match_init(struct matcher *mt, uint32_t max_tokens);
void match_fini(struct matcher *mt);
/* Longest subject in tokens from now on (max_control_line was raised). */
int match_set_tokens(struct matcher *mt, uint32_t max_tokens);

/* After each read(), before the first match of what it brought: load
 * membership, live word and bumps.  True if membership has changed. */
bool match_look(struct matcher *mt);
/* The own trie has changed. */
void match_changed(struct matcher *mt);

/* Interest of all live slots; valid until the next call.  Never NULL; empty
 * for a subject with an empty token. */
const struct match *match_find(struct matcher *mt, uint32_t account,
    struct slice subject);
/* Interest of the own slot alone. */
const struct match *match_own(struct matcher *mt, uint32_t account,
    struct slice subject);
/* A group of a result by its name, or NULL. */
const struct match_group *match_group_named(const struct match *m,
    const uint8_t *name, uint32_t len);
/* Split a pattern or subject into mt->tok. */
uint32_t match_split(struct matcher *mt, struct slice subject);

#endif
