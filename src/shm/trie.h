/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The part of the subject index that one slot's process writes: a trie of
 * patterns, one root per account, readable by all without lock or retry.
 * The reasoning: src/README, section 4.
 *
 * It holds interest only (plain yes or no, queue groups with member counts);
 * who the subscribers are is private to the worker.
 */
#ifndef SHM_TRIE_H
#define SHM_TRIE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/token.h"
#include "shm/cell.h"
#include "shm/quiesce.h"
#include "shm/zone.h"

#define TRIE_MAGIC 0x4e545249u
#define TRIE_QNAME_MAX 65535

/* (cell, serial): the serial tells reuses of one cell apart. */
struct trie_ref {
	cellno cell;
	uint32_t serial;
};

struct trie; /* the writer's private handle */

enum trie_status {
	TRIE_OK = 0,
	TRIE_FULL, /* limit reached: one client's error */
	TRIE_NOMEM
};

/* Index zone of the given budget: cells, edge tables (virtual), head. */
size_t trie_shm_size(uint64_t index_bytes);
/* Master, before the first fork and when it has emptied a dead slot's zone:
 * the constants of the head alone.  Each zone's number shifts its contents by
 * some cache lines, so that those of many slots do not meet in one set. */
void trie_shm_init(void *zone_base, uint64_t index_bytes, uint32_t number);
/* The first bytes of the zone: its head and what trie_shm_init() has written,
 * constant afterwards. */
#define TRIE_CONSTANTS NATSD_CACHELINE
/* Bytes of the head, never punched. */
size_t trie_head_size(void);

/* ---- writer ---------------------------------------------------------- */
/* `zone` is the own index zone, empty behind its head (a successor begins
 * with an empty trie; generations and bumps lie in the head and go on
 * growing).  `limit` bounds cells and tables in bytes.  zone and view are
 * kept and must outlive the trie.  0, or -1: EPROTO (bad head), EBUSY (not
 * emptied), ENOMEM. */
int trie_new(const struct zone *zone, uint64_t hash_seed,
    const struct quiesce_view *view, uint64_t limit, struct trie **tp);
void trie_free(struct trie **tp);
/* Bytes of cells ever handed out (their pages stay) and of tables in use,
 * retired ones included until they are given back: what the limit bounds. */
uint64_t trie_bytes(const struct trie *t);
/* Lower or raise what cells and tables may take. */
void trie_set_limit(struct trie *t, uint64_t limit);

/* One more plain subscriber of the pattern tok[0..n).  `*` and `>` alone in
 * a token are wildcards.  The node's reference is returned; for the first
 * subscriber structure, then generation, then bumps are stored.  TRIE_FULL
 * and TRIE_NOMEM leave everything as it was. */
enum trie_status trie_add_plain(struct trie *t, uint32_t account,
    const struct token *tok, uint32_t n, struct trie_ref *node);
/* One less; the last one unlinks the node and its empty ancestors. */
void trie_del_plain(struct trie *t, uint32_t account, cellno node);
/* One more or one less member of queue group `name` at the pattern.  The
 * reference is that of the group's cell, which says its node. */
enum trie_status trie_add_group(struct trie *t, uint32_t account,
    const struct token *tok, uint32_t n, const uint8_t *name,
    uint32_t namelen, struct trie_ref *group);
void trie_del_group(struct trie *t, uint32_t account, cellno group);
/* Batches of retired cells: call once per iteration; cheap when there are
 * none.  Returns the slots that hold back the oldest batch (0 = none). */
uint64_t trie_reclaim(struct trie *t);
/* Pattern of a node or group cell of our own, for logs: bytes written, the
 * beginning if it does not fit; not terminated. */
size_t trie_subject(const struct trie *t, cellno cell, char *out,
    size_t outlen);
/* Own cell: still the one the reference means? (plain node or group) */
bool trie_ref_live(const struct trie *t, struct trie_ref ref);
/* A live own cell: does its pattern match these tokens?  Is it that of a group
 * of that name?  (Long texts are told by their hashes.) */
bool trie_ref_matches(const struct trie *t, struct trie_ref ref,
    const struct token *tok, uint32_t n);
bool trie_ref_named(const struct trie *t, struct trie_ref ref,
    const uint8_t *name, uint32_t namelen);
/* Highest cell number handed out so far, for arrays indexed by cell. */
cellno trie_cells(const struct trie *t);
/* Self-check for tests: 0 or -1. */
int trie_valid(const struct trie *t);

/* ---- reader ---------------------------------------------------------- */
/* Another's (or the own) trie, mapped read-only.  Everything read is input:
 * a bad reference or a walk beyond its budget makes the walk return -1. */
struct trie_reader {
	const struct zone *zone;
	uint64_t hash_seed;
	uint64_t cells; /* how many the zone can hold: bounds references */
	uint64_t tables; /* byte offset of the edge tables */
	uint64_t size; /* end of the edge tables */
	const uint8_t *base; /* of the mapping */
	const uint8_t *first; /* where cell 0 would lie */
	uint32_t colour; /* of the zone, see trie_priv.h */
};

int trie_reader_attach(struct trie_reader *r, const struct zone *zone,
    uint64_t hash_seed);

/* One matching pattern's interest. */
struct trie_match_ops {
	/* A node with plain subscribers. */
	void (*plain)(void *ctx, struct trie_ref node);
	/* A group cell; the name lies in foreign memory and is copied into
	 * `name` (0 < namelen <= TRIE_QNAME_MAX, checked) valid for the call.
	 * namehash is (uint32_t)hash_bytes(name, namelen, hash_seed), but
	 * input all the same. */
	void (*group)(void *ctx, struct trie_ref cell, uint32_t namehash,
	    const uint8_t *name, uint32_t namelen, uint32_t members);
};

/* Walk the trie for the literal subject tok[0..n) (n >= 1, no empty token;
 * `*` and `>` in it are literal bytes that only wildcards and equal-looking
 * wildcard children match: a published `*` token is matched by the `*` child
 * alone).  0, or -1 if the zone is broken. */
int trie_match(const struct trie_reader *r, uint32_t account,
    const struct token *tok, uint32_t n, const struct trie_match_ops *ops,
    void *ctx);
/* The same in two steps: the root of an account, 0 if there is none, which
 * holds as long as bumps do; and the walk from there. */
int trie_root(const struct trie_reader *r, uint32_t account, cellno *root);
int trie_match_from(const struct trie_reader *r, cellno root,
    const struct token *tok, uint32_t n, const struct trie_match_ops *ops,
    void *ctx);

/* Bumps: counts all changes of a trie.  Acquire. */
uint64_t trie_bumps(const struct trie_reader *r);

/* Generations: which of the hashed counters a subject depends on. */
struct trie_gens {
	uint32_t idx[4]; /* whole, two tokens, one, none */
};
void trie_gens_of(uint64_t hash_seed, uint32_t account,
    const struct token *tok, uint32_t n, struct trie_gens *g);
/* Sum of the four in one slot's trie.  Who keeps a result notes the sum
 * before the walk that finds it: a change in between then voids it. */
uint64_t trie_gens_sum(const struct trie_reader *r, const struct trie_gens *g);

#endif
