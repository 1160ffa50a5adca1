/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The worker's own subscriptions: private records, kept in step with its trie
 * in shared memory.  From a node's or group cell's number to the local
 * subscribers; from a connection's sid to its subscription.
 */
#ifndef WORKER_SUBS_H
#define WORKER_SUBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/parse.h"
#include "shm/trie.h"

struct subscriber;
struct worker;

typedef uint32_t subno; /* 0 = none */

#define SUB_SID_INLINE 20

enum sub_flag {
	SUB_GROUP = 1, /* member of a queue group: cell is the group's */
	SUB_SID_HEAP = 2,
	SUB_FINISHED = 4 /* has reached its max, waits for removal */
};

struct sub {
	struct subscriber *who;
	uint64_t delivered; /* messages since SUB */
	uint32_t max; /* 0 = none */
	cellno cell;
	/* Plain: others of the same cell.  Member of a group: prev is its
	 * place among the members. */
	subno next, prev;
	uint16_t sid_len;
	uint8_t flags;
	uint8_t spare;
	union {
		uint8_t in[SUB_SID_INLINE];
		uint8_t *heap;
	} __attribute__((packed, aligned(4))) sid;
};

/* sid -> subscription of one connection: open addressing, or one inline. */
struct sub_map {
	union {
		subno *slots; /* cap of them */
		subno one; /* if cap is 0; 0 = none */
	};
	uint32_t cap;
	uint32_t n;
};

/* The members of a queue group at one cell: any of them in one step. */
struct sub_team {
	subno *member;
	uint32_t n, cap;
};

struct subs {
	struct sub **chunk; /* SUBS_PER_CHUNK each */
	uint32_t nchunks, capchunks;
	subno free; /* list by next */
	uint32_t used; /* highest number handed out */
	uint32_t n; /* subscriptions there are */
	/* Per cell, in chunks: first subscription, or SUB_TEAM and the number
	 * of its team. */
	subno **head;
	uint32_t nheads;
	struct sub_team *team; /* from 1 on */
	uint32_t nteams, capteams;
	uint32_t free_team; /* list by n */
	uint64_t bytes; /* private memory of all this and the maps */
	uint64_t limit; /* of that and the trie together */
	struct trie *trie;
	uint64_t hash_seed;
	subno *finished; /* reached their max in this delivery */
	uint32_t nfinished, capfinished;
};

#define SUBS_CHUNK_BITS 10
#define SUBS_HEAD_BITS 12

int subs_init(struct subs *s, struct trie *trie, uint64_t hash_seed,
    uint64_t limit);
void subs_fini(struct subs *s);

static inline struct sub *
subs_at(const struct subs *s, subno n)
{
	return &s->chunk[n >> SUBS_CHUNK_BITS]
	    [n & ((1u << SUBS_CHUNK_BITS) - 1)];
}

#define SUB_TEAM 0x80000000u

static inline subno
subs_head(const struct subs *s, cellno cell)
{
	uint32_t h = cell >> SUBS_HEAD_BITS;

	if (h >= s->nheads || s->head[h] == NULL)
		return 0;
	return s->head[h][cell & ((1u << SUBS_HEAD_BITS) - 1)];
}

/* First plain subscription of a node of the own trie; the others by next.
 * 0 = none, or a group's cell. */
static inline subno
subs_of_cell(const struct subs *s, cellno cell)
{
	subno head = subs_head(s, cell);

	return head & SUB_TEAM ? 0 : head;
}

/* The members of a group's cell, *n of them; NULL and 0 if it is none. */
static inline const subno *
subs_members(const struct subs *s, cellno cell, uint32_t *n)
{
	subno head = subs_head(s, cell);

	if ((head & SUB_TEAM) == 0) {
		*n = 0;
		return NULL;
	}
	*n = s->team[head & ~SUB_TEAM].n;
	return s->team[head & ~SUB_TEAM].member;
}

static inline struct slice
sub_sid(const struct sub *s)
{
	struct slice r;

	r.p = s->flags & SUB_SID_HEAP ? s->sid.heap : s->sid.in;
	r.len = s->sid_len;
	return r;
}

struct sub_new {
	struct subscriber *who;
	struct sub_map *map;
	uint32_t account;
	const struct token *tok;
	uint32_t ntok;
	struct slice queue; /* len 0: plain */
	struct slice sid;
};

/* A new subscription, visible in the trie when this returns.  TRIE_FULL or
 * TRIE_NOMEM leave everything as it was. */
enum trie_status subs_add(struct subs *s, const struct sub_new *n,
    subno *made);
/* Out of the trie, its cell's list, the map; the record is free again. */
void subs_del(struct subs *s, struct sub_map *map, uint32_t account, subno n);
subno subs_find(const struct subs *s, const struct sub_map *map,
    struct slice sid);
/* Walk of a map: *pos starts at 0; 0 = no more.  Deleting what was returned
 * is allowed only by subs_del_all(). */
subno subs_walk(const struct sub_map *map, uint32_t *pos);
void subs_del_all(struct subs *s, struct sub_map *map, uint32_t account);
/* So many of them, which are counted off; true if none is left. */
bool subs_del_some(struct subs *s, struct sub_map *map, uint32_t account,
    uint32_t *budget);
/* Note a subscription that has reached its max, to be removed after the
 * delivery: a walk over its cell is under way.  Without memory for the note it
 * stays, takes nothing more, and is noted again when it is offered more. */
void subs_finish(struct subs *s, subno n);

#endif
