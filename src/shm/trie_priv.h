/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the trie module share: layout of an index zone, the edge
 * table, hashes.
 *
 * An index zone: head (never emptied) | cells | places for edge tables.
 * Cell number 0 is none, so its 64 bytes hold the word that says which edge
 * table is in use: behind the head all zeros means an empty trie.
 */
#ifndef SHM_TRIE_PRIV_H
#define SHM_TRIE_PRIV_H

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/hash.h"
#include "shm/cell.h"
#include "shm/trie.h"

/* Hashed generations: with 50,000 changes per second each one still changes
 * only some six times; 64 KiB in the head of each index zone. */
#define TRIE_GENS 8192

/* Zones are alike down to the offsets, and a match looks at the same place of
 * each: with 48 of them all those lines would fall into one set of the first
 * cache (48 slots: 1.7 us a match, so 1.2).  So each zone has a colour, by
 * which its cells, edges and generations are shifted, a line each. */
#define TRIE_COLOURS 64

/*
 * The head of an index zone.
 *
 * head: zone.h.  cells, tables, size, colour are written by the master
 *	before the first fork and constant; readers check them once, at attach.
 * serial_top: the zone's process; the highest serial of any cell, raised
 *	before a cell gets it.  A successor starts above, so that no reference
 *	into a predecessor's trie is ever taken for one of its own.
 * bumps, gens: the zone's process; only grow, over processes too.
 *
 * A change of interest is visible in cells and edges first, then its
 * generation is raised, then bumps, each by a release store.  True at every
 * instant: who has loaded (acquire) a value of bumps sees all generations
 * and all structure up to that change.  If the writer dies in between, a
 * change may be visible and not counted; then its slot falls out of the live
 * word, membership changes, and every kept result is void anyway.  Nobody
 * starts these words afresh; they cannot be full.
 */
struct trie_shm {
	struct zone_head_shm head;
	uint64_t cells; /* cell numbers are below this */
	uint64_t tables; /* offset of the places for edge tables */
	uint64_t size; /* of what the module uses of the zone */
	uint64_t colour; /* below TRIE_COLOURS */
	alignas(NATSD_CACHELINE) _Atomic uint32_t serial_top;
	alignas(NATSD_CACHELINE) _Atomic uint64_t bumps;
	alignas(NATSD_CACHELINE) _Atomic uint64_t gens[TRIE_GENS];
};
static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit atomics must be lock-free");
static_assert(sizeof(struct trie_shm) ==
    3 * NATSD_CACHELINE + TRIE_GENS * 8, "index head layout");
static_assert(offsetof(struct trie_shm, serial_top) == TRIE_CONSTANTS,
    "index head layout");

/*
 * Where cell 0 would lie.
 *
 * table: the edge table in use: its number of pages (high half) and its
 *	first page in the zone (low half); 0: none, the trie is empty.  The
 *	zone's process alone writes it, by one release store, when the new
 *	table holds every edge that the old one holds.  If it dies before,
 *	the old table is complete; after, the new one is.  The old one stays
 *	as it is until every reader has passed a quiescent state.
 */
struct trie_root_shm {
	_Atomic uint64_t table;
	uint8_t unused[CELL_SIZE - 8];
};
static_assert(sizeof(struct trie_root_shm) == CELL_SIZE, "root layout");

enum trie_kind { /* cell_kind() */
	TRIE_ROOT = 1, /* of an account */
	TRIE_LITERAL,
	TRIE_STAR,
	TRIE_TAIL, /* `>` */
	TRIE_GROUP,
	TRIE_CONT
};

#define TRIE_NODE_TEXT 24
#define TRIE_GROUP_TEXT 28
#define TRIE_CONT_TEXT 48

/*
 * A node of the trie: the patterns that start with the tokens from the root
 * to here.  All words are written by the zone's process.
 *
 * cell: kind and token length in meta; in link a hint at the literal
 *	children (HINT_COUNT), raised before a child is linked and lowered
 *	after it is unlinked: a reader need not look for one that the hint
 *	does not admit.
 * parent (0 for the root of an account), hash (of the token, or of the
 *	account), token: constant from before the node is linked until the
 *	cell is reused.
 * star, tail: the `*` and the `>` child, 0 if none; group: the first group
 *	cell.  One release store links a child that is complete, with all
 *	below it; one store unlinks.
 * plain: number of plain subscribers; readers ask only whether it is 0.
 *
 * Literal children and roots are found by the edge table.  True at every
 * instant: a node that can be reached is complete, and the path to it lives
 * at least as long.  A node without interest and children may be reachable
 * for a moment, or for ever if the writer dies then: it matches nothing.
 * The whole trie dies with its writer: the master empties the zone behind
 * its head.  Full: cell.h.
 */
struct trie_node_shm {
	struct cell_head_shm cell;
	_Atomic uint32_t parent;
	_Atomic uint32_t star;
	_Atomic uint32_t tail;
	_Atomic uint32_t group;
	_Atomic uint32_t plain;
	_Atomic uint32_t hash;
	uint8_t token[TRIE_NODE_TEXT];
};
static_assert(sizeof(struct trie_node_shm) == CELL_SIZE, "node layout");

/*
 * The hint: in its low bits the number of literal children (one that has been
 * HINT_COUNT stays: no longer known), above them a bit for each of 8 classes
 * of children, by hash, set by the first of a class and kept until the node has
 * no child at all.  One store by the zone's process has both; if it dies before
 * the edge is there, or after it has gone, readers look in vain, no more.  Where
 * many subjects pass a node with few branches the bits save the look into the
 * edge table, which is large beside many other subscriptions.
 */
#define HINT_COUNT UINT32_C(0xffffff)

static inline uint32_t
hint_bit(uint32_t hash)
{
	return (HINT_COUNT + 1) << (hash >> 29);
}

static inline uint32_t
hint_add(uint32_t hint, uint32_t hash)
{
	if ((hint & HINT_COUNT) != HINT_COUNT)
		hint++;
	return hint | hint_bit(hash);
}

static inline uint32_t
hint_drop(uint32_t hint)
{
	uint32_t count = hint & HINT_COUNT;

	if (count == HINT_COUNT)
		return hint;
	return count == 1 ? 0 : hint - 1;
}

/*
 * A queue group at a node.  All words are written by the zone's process.
 *
 * cell: kind and length of the name in meta.
 * node, hash (of the name), name: constant from before it is linked until
 *	the cell is reused.
 * next: the next group of the node, 0 at the end.  Unlinking stores the next
 *	one into the predecessor's word; the word of the unlinked cell stays,
 *	so that a reader standing there goes on.
 * prev: the predecessor, 0 for the first; the writer's own.
 * members: above 0 while linked; 0 matches nothing.
 *
 * True at every instant: following next from the node's group word ends, and
 * passes every group that is linked during the whole walk.  Crash, successor
 * and full as for nodes.
 */
struct trie_group_shm {
	struct cell_head_shm cell;
	_Atomic uint32_t node;
	_Atomic uint32_t next;
	_Atomic uint32_t prev;
	_Atomic uint32_t members;
	_Atomic uint32_t hash;
	uint8_t name[TRIE_GROUP_TEXT];
};
static_assert(sizeof(struct trie_group_shm) == CELL_SIZE, "group layout");

/*
 * The rest of a token or of a name that is too long for its cell, in as many
 * cells as it takes, chained by cell.cont.  Written before the cell it
 * belongs to is linked, constant until it is reused; unlinked with it.
 */
struct trie_cont_shm {
	struct cell_head_shm cell;
	uint8_t text[TRIE_CONT_TEXT];
};
static_assert(sizeof(struct trie_cont_shm) == CELL_SIZE, "text layout");

/* ---- the edge table ---------------------------------------------------
 *
 * Open addressing, linear probing: entries of 64 bits, hash in the high
 * half, cell in the low half, from (parent, token) to child and from (node,
 * group name) to group cell.  An entry is written by one release store, by
 * the zone's process, and moved never: 0 is an entry never used, a tombstone
 * one whose edge was removed.  True at every instant: between the place where
 * the search for an edge begins and its entry no entry is 0 (a tombstone goes
 * back to 0 only when the entry after it is 0, so that no search went past).
 */
#define EDGE_TOMB (UINT64_C(1) << 32)
#define EDGES_PER_PAGE (ZONE_PAGE / 8)
#define EDGES_PLACES 192

static inline uint32_t
edge_cell(uint64_t e)
{
	return (uint32_t)e;
}

static inline uint64_t
edge_make(uint32_t hash, cellno no)
{
	return (uint64_t)hash << 32 | no;
}

/* Hash of an edge from its parent and its token's hash, which is seeded and
 * well mixed already; parents are small numbers, spread over all bits. */
static inline uint32_t
edge_hash(cellno parent, uint32_t token_hash)
{
	return parent * UINT32_C(0x9e3779b1) ^ token_hash;
}

static inline uint32_t
edge_hash_group(cellno node, uint32_t name_hash)
{
	return ~(node * UINT32_C(0x85ebca77)) ^ name_hash;
}

/* Where the search for a hash begins in a table of n entries. */
static inline uint32_t
edge_home(uint32_t hash, uint32_t n, uint32_t colour)
{
	return (uint32_t)(((uint64_t)(hash ^ colour << 26) * n) >> 32);
}

enum edges_place_state {
	EDGES_FREE = 0, /* all zeros */
	EDGES_USED,
	EDGES_OPEN, /* retired, batch still open */
	EDGES_CLOSED, /* retired, waiting for readers */
	EDGES_CLEARING /* being given back */
};

struct edges_place {
	uint32_t page; /* first, in the zone */
	uint32_t pages;
	uint32_t cleared; /* pages given back so far */
	uint32_t state;
};

struct edges_table {
	_Atomic uint64_t *e; /* NULL: none */
	uint32_t n; /* entries */
	uint32_t live;
	uint32_t used; /* live ones and tombstones */
	uint32_t place;
	uint32_t colour;
};

/* The writer's private handle. */
struct edges {
	const struct zone *zone;
	_Atomic uint64_t *word; /* trie_root_shm.table */
	struct edges_table cur; /* readers use it */
	struct edges_table next; /* being filled aside */
	uint32_t cursor; /* entries of cur copied into next */
	uint32_t nplaces;
	uint32_t nretired; /* places open, closed or clearing */
	uint64_t bytes; /* of all places that are not free */
	uint32_t colour;
	struct edges_place place[EDGES_PLACES];
};

/* Lays the places of the tables out that `cells` cells may need, from page 0
 * of their area; returns the pages of the area. */
uint64_t edges_layout(uint64_t cells, struct edges_place *place,
    uint32_t *nplaces);
void edges_init(struct edges *ed, const struct trie_reader *r,
    _Atomic uint64_t *word);
/* Makes sure that n more edges can be put; `room` is how many bytes more
 * tables may take. */
bool edges_reserve(struct edges *ed, uint32_t n, uint64_t room);
void edges_put(struct edges *ed, uint32_t hash, cellno no);
void edges_drop(struct edges *ed, uint32_t hash, cellno no);
/* After a change: begin or carry on growth, shrinking, clean-up. */
void edges_tend(struct edges *ed, uint64_t room);
/* Retired tables, as cells_close() and cells_release(). */
bool edges_retired_open(const struct edges *ed);
void edges_close(struct edges *ed);
void edges_release(struct edges *ed);
/* Gives some pages of released tables back; cheap when there are none. */
void edges_clear(struct edges *ed);

/* ---- looking up, by readers and by the writer ---- */
struct trie_look {
	const uint8_t *cells;
	uint64_t ncells;
	const _Atomic uint64_t *edges;
	uint32_t nedges;
	uint32_t colour;
	int64_t budget; /* steps left */
};

/* A token or a group name as it is looked for. */
struct trie_key {
	const uint8_t *p;
	uint32_t len;
	uint32_t hash;
};

/* The child found by (parent, kind, key), 0 if there is none.  Sets the
 * budget below 0 if the zone makes no sense. */
cellno trie_look_child(struct trie_look *l, cellno parent, uint32_t kind,
    const struct trie_key *key);
cellno trie_look_group(struct trie_look *l, cellno node,
    const struct trie_key *name);
static inline const void *
trie_look_cell(const struct trie_look *l, cellno no)
{
	if (no == 0 || no >= l->ncells)
		return NULL;
	return l->cells + (size_t)no * CELL_SIZE;
}
/* Copies the rest of a text, `len` bytes that go on in cell `cont`; false if
 * the zone makes no sense. */
bool trie_look_rest(struct trie_look *l, cellno cont, uint8_t *out,
    uint32_t len);

/* ---- hashes ---- */
static inline uint32_t
trie_account_hash(uint64_t seed, uint32_t account)
{
	return (uint32_t)(hash_mix(seed ^ HASH_K1, account ^ HASH_K0) >> 32);
}

static inline uint32_t
trie_name_hash(uint64_t seed, const uint8_t *name, uint32_t len)
{
	return (uint32_t)hash_bytes(name, len, seed);
}

/* Prepends a token to a row of tokens: built from the last one on. */
static inline uint64_t
trie_row_hash(uint64_t row, uint32_t token_hash)
{
	return row * HASH_K1 + token_hash + 1;
}

/* Where a generation lies in a zone of that colour. */
static inline uint32_t
trie_gen_place(uint32_t idx, uint32_t colour)
{
	return (idx ^ colour * 8) % TRIE_GENS;
}

/* Which generation: of a whole literal (TRIE_GEN_WHOLE), or of a literal
 * prefix of so many tokens. */
enum { TRIE_GEN_NONE = 0, TRIE_GEN_ONE = 1, TRIE_GEN_TWO = 2,
	TRIE_GEN_WHOLE = 3 };

static inline uint32_t
trie_gen_index(uint64_t seed, uint32_t account, unsigned which, uint64_t row)
{
	uint64_t h = hash_mix(seed ^ HASH_K0,
	    ((uint64_t)account << 2 | which) ^ HASH_K1);

	return (uint32_t)(hash_mix(row ^ h, HASH_K1) >> 32) % TRIE_GENS;
}

#endif
