/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The worker's own subscriptions.  Records lie in chunks, named by number;
 * those of one cell form a list; a connection finds its own by sid.
 */
#include <config.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/panic.h"
#include "worker/subs.h"

#define CHUNK_SUBS (1u << SUBS_CHUNK_BITS)
#define HEAD_CELLS (1u << SUBS_HEAD_BITS)
#define MAP_MIN 4u

static_assert(sizeof(struct sub) == 56, "a subscription costs 56 bytes");

int
subs_init(struct subs *s, struct trie *trie, uint64_t hash_seed,
    uint64_t limit)
{
	memset(s, 0, sizeof *s);
	s->trie = trie;
	s->hash_seed = hash_seed;
	s->limit = limit;
	s->used = 0; /* number 0 means none */
	return 0;
}

void
subs_fini(struct subs *s)
{
	uint32_t i;

	for (i = 0; i < s->nchunks; i++)
		free(s->chunk[i]);
	free(s->chunk);
	for (i = 0; i < s->nheads; i++)
		free(s->head[i]);
	free(s->head);
	for (i = 1; i <= s->nteams; i++)
		free(s->team[i].member);
	free(s->team);
	free(s->finished);
	memset(s, 0, sizeof *s);
}

/* Memory of ours and the trie's together stays below the limit. */
static bool
may_take(const struct subs *s, uint64_t bytes)
{
	return s->bytes + trie_bytes(s->trie) + bytes <= s->limit;
}

static int
chunk_grow(struct subs *s)
{
	struct sub **nc, *k;
	uint32_t cap;

	if (!may_take(s, CHUNK_SUBS * sizeof *k))
		return TRIE_FULL;
	if (s->nchunks == s->capchunks) {
		cap = s->capchunks == 0 ? 16 : s->capchunks * 2;
		nc = realloc(s->chunk, cap * sizeof *nc);
		if (nc == NULL)
			return TRIE_NOMEM;
		s->bytes += (uint64_t)(cap - s->capchunks) * sizeof *nc;
		s->chunk = nc;
		s->capchunks = cap;
	}
	if ((k = calloc(CHUNK_SUBS, sizeof *k)) == NULL)
		return TRIE_NOMEM;
	s->chunk[s->nchunks++] = k;
	s->bytes += CHUNK_SUBS * sizeof *k;
	return TRIE_OK;
}

static enum trie_status
sub_alloc(struct subs *s, subno *np)
{
	int st;

	if (s->free != 0) {
		*np = s->free;
		s->free = subs_at(s, s->free)->next;
		return TRIE_OK;
	}
	if (s->used + 1 >= s->nchunks * CHUNK_SUBS &&
	    (st = chunk_grow(s)) != TRIE_OK)
		return (enum trie_status)st;
	*np = ++s->used;
	return TRIE_OK;
}

static void
sub_free(struct subs *s, subno n)
{
	struct sub *sub = subs_at(s, n);

	if (sub->flags & SUB_SID_HEAP) {
		s->bytes -= sub->sid_len;
		free(sub->sid.heap);
	}
	memset(sub, 0, sizeof *sub);
	sub->next = s->free;
	s->free = n;
}

/* ---- cells ----------------------------------------------------------- */

/* The list head of a cell; NULL if there is no memory for it. */
static subno *
cell_head(struct subs *s, cellno cell)
{
	uint32_t h = cell >> SUBS_HEAD_BITS, n;
	subno **nh;

	if (h >= s->nheads) {
		n = (h + 16) & ~15u;
		if ((nh = realloc(s->head, n * sizeof *nh)) == NULL)
			return NULL;
		memset(nh + s->nheads, 0, (n - s->nheads) * sizeof *nh);
		s->bytes += (uint64_t)(n - s->nheads) * sizeof *nh;
		s->head = nh;
		s->nheads = n;
	}
	if (s->head[h] == NULL) {
		s->head[h] = calloc(HEAD_CELLS, sizeof **s->head);
		if (s->head[h] == NULL)
			return NULL;
		s->bytes += HEAD_CELLS * sizeof **s->head;
	}
	return &s->head[h][cell & (HEAD_CELLS - 1)];
}

static void
cell_link(struct subs *s, subno *head, subno n)
{
	struct sub *sub = subs_at(s, n);

	sub->prev = 0;
	sub->next = *head;
	if (*head != 0)
		subs_at(s, *head)->prev = n;
	*head = n;
}

static void
cell_unlink(struct subs *s, subno n)
{
	struct sub *sub = subs_at(s, n);

	if (sub->prev != 0)
		subs_at(s, sub->prev)->next = sub->next;
	else
		*cell_head(s, sub->cell) = sub->next;
	if (sub->next != 0)
		subs_at(s, sub->next)->prev = sub->prev;
}

/* ---- teams ----------------------------------------------------------- */

/* An empty one; 0 without memory. */
static uint32_t
team_new(struct subs *s)
{
	struct sub_team *nt;
	uint32_t t = s->free_team, cap;

	if (t != 0) {
		s->free_team = s->team[t].n;
		s->team[t].n = 0;
		return t;
	}
	if (s->nteams + 1 >= s->capteams) {
		cap = s->capteams == 0 ? 16 : s->capteams * 2;
		if ((nt = realloc(s->team, cap * sizeof *nt)) == NULL)
			return 0;
		s->bytes += (uint64_t)(cap - s->capteams) * sizeof *nt;
		s->team = nt;
		s->capteams = cap;
	}
	t = ++s->nteams;
	memset(&s->team[t], 0, sizeof s->team[t]);
	return t;
}

static void
team_free(struct subs *s, uint32_t t)
{
	s->bytes -= (uint64_t)s->team[t].cap * sizeof(subno);
	free(s->team[t].member);
	memset(&s->team[t], 0, sizeof s->team[t]);
	s->team[t].n = s->free_team;
	s->free_team = t;
}

static int
team_grow(struct subs *s, struct sub_team *team)
{
	uint32_t cap = team->cap == 0 ? 2 : team->cap * 2;
	subno *nm = realloc(team->member, cap * sizeof *nm);

	if (nm == NULL)
		return -1;
	s->bytes += (uint64_t)(cap - team->cap) * sizeof *nm;
	team->member = nm;
	team->cap = cap;
	return 0;
}

static int
team_join(struct subs *s, subno *head, subno n)
{
	uint32_t t = *head & ~SUB_TEAM;
	struct sub_team *team;

	if (*head == 0 && (t = team_new(s)) == 0)
		return -1;
	team = &s->team[t];
	if (team->n == team->cap && team_grow(s, team) != 0) {
		if (*head == 0)
			team_free(s, t);
		return -1;
	}
	*head = SUB_TEAM | t;
	subs_at(s, n)->prev = team->n;
	team->member[team->n++] = n;
	return 0;
}

/* The last member takes the place of who leaves. */
static void
team_leave(struct subs *s, subno n)
{
	subno *head = cell_head(s, subs_at(s, n)->cell), last;
	struct sub_team *team = &s->team[*head & ~SUB_TEAM];

	last = team->member[--team->n];
	team->member[subs_at(s, n)->prev] = last;
	subs_at(s, last)->prev = subs_at(s, n)->prev;
	if (team->n == 0) {
		team_free(s, *head & ~SUB_TEAM);
		*head = 0;
	}
}

/* ---- sids ------------------------------------------------------------ */

static uint32_t
sid_hash(const struct subs *s, struct slice sid)
{
	return (uint32_t)hash_bytes(sid.p, sid.len, s->hash_seed);
}

static bool
sid_equal(const struct sub *sub, struct slice sid)
{
	struct slice own = sub_sid(sub);

	return own.len == sid.len && memcmp(own.p, sid.p, sid.len) == 0;
}

static void
map_put(const struct subs *s, subno *slots, uint32_t cap, subno n)
{
	uint32_t i = sid_hash(s, sub_sid(subs_at(s, n))) & (cap - 1);

	while (slots[i] != 0)
		i = (i + 1) & (cap - 1);
	slots[i] = n;
}

static void
slots_free(struct subs *s, struct sub_map *map)
{
	if (map->cap == 0)
		return;
	s->bytes -= (uint64_t)map->cap * sizeof *map->slots;
	free(map->slots);
}

static int
map_resize(struct subs *s, struct sub_map *map, uint32_t cap)
{
	subno *slots;
	uint32_t i;

	if ((slots = calloc(cap, sizeof *slots)) == NULL)
		return -1;
	if (map->cap == 0 && map->n == 1)
		map_put(s, slots, cap, map->one);
	for (i = 0; i < map->cap; i++)
		if (map->slots[i] != 0)
			map_put(s, slots, cap, map->slots[i]);
	s->bytes += (uint64_t)cap * sizeof *slots;
	slots_free(s, map);
	map->slots = slots;
	map->cap = cap;
	return 0;
}

/* Make room for one more; -1 without memory. */
static int
map_reserve(struct subs *s, struct sub_map *map)
{
	if (map->n == 0 && map->cap == 0)
		return 0;
	if (map->cap == 0)
		return map_resize(s, map, MAP_MIN);
	if ((map->n + 1) * 4 > map->cap * 3)
		return map_resize(s, map, map->cap * 2);
	return 0;
}

static void
map_add(struct subs *s, struct sub_map *map, subno n)
{
	if (map->cap == 0)
		map->one = n;
	else
		map_put(s, map->slots, map->cap, n);
	map->n++;
}

/* Close the gap at i: entries that probed over it move back. */
static void
map_close_gap(const struct subs *s, struct sub_map *map, uint32_t i)
{
	uint32_t mask = map->cap - 1, j = i, want;

	for (;;) {
		map->slots[i] = 0;
		for (;;) {
			j = (j + 1) & mask;
			if (map->slots[j] == 0)
				return;
			want = sid_hash(s, sub_sid(subs_at(s,
			    map->slots[j]))) & mask;
			if (((j - want) & mask) >= ((j - i) & mask))
				break;
		}
		map->slots[i] = map->slots[j];
		i = j;
	}
}

static void
map_free(struct subs *s, struct sub_map *map)
{
	slots_free(s, map);
	memset(map, 0, sizeof *map);
}

static void
map_del(struct subs *s, struct sub_map *map, subno n)
{
	uint32_t i;

	map->n--;
	if (map->cap == 0) {
		map->one = 0;
		return;
	}
	if (map->n == 0) {
		map_free(s, map);
		return;
	}
	i = sid_hash(s, sub_sid(subs_at(s, n))) & (map->cap - 1);
	while (map->slots[i] != n)
		i = (i + 1) & (map->cap - 1);
	map_close_gap(s, map, i);
	if (map->cap > 64 && map->n * 8 < map->cap)
		(void)map_resize(s, map, map->cap / 4);
}

subno
subs_find(const struct subs *s, const struct sub_map *map, struct slice sid)
{
	uint32_t i;

	if (map->n == 0)
		return 0;
	if (map->cap == 0)
		return sid_equal(subs_at(s, map->one), sid) ? map->one : 0;
	i = sid_hash(s, sid) & (map->cap - 1);
	while (map->slots[i] != 0) {
		if (sid_equal(subs_at(s, map->slots[i]), sid))
			return map->slots[i];
		i = (i + 1) & (map->cap - 1);
	}
	return 0;
}

subno
subs_walk(const struct sub_map *map, uint32_t *pos)
{
	if (map->cap == 0)
		return (*pos)++ == 0 ? map->one : 0;
	while (*pos < map->cap)
		if (map->slots[(*pos)++] != 0)
			return map->slots[*pos - 1];
	return 0;
}

/* ---- add and remove -------------------------------------------------- */

static int
sid_store(struct subs *s, struct sub *sub, struct slice sid)
{
	sub->sid_len = (uint16_t)sid.len;
	if (sid.len <= SUB_SID_INLINE) {
		memcpy(sub->sid.in, sid.p, sid.len);
		return 0;
	}
	if ((sub->sid.heap = malloc(sid.len)) == NULL)
		return -1;
	memcpy(sub->sid.heap, sid.p, sid.len);
	sub->flags |= SUB_SID_HEAP;
	s->bytes += sid.len;
	return 0;
}

/* Into the trie and its cell's list. */
static enum trie_status
sub_link(struct subs *s, const struct sub_new *n, subno no)
{
	struct sub *sub = subs_at(s, no);
	struct trie_ref ref;
	enum trie_status st;
	subno *head;

	trie_set_limit(s->trie, s->limit > s->bytes ? s->limit - s->bytes : 0);
	if (n->queue.len > 0) {
		sub->flags |= SUB_GROUP;
		st = trie_add_group(s->trie, n->account, n->tok, n->ntok,
		    n->queue.p, n->queue.len, &ref);
	} else
		st = trie_add_plain(s->trie, n->account, n->tok, n->ntok,
		    &ref);
	if (st != TRIE_OK)
		return st;
	head = cell_head(s, ref.cell);
	if (head == NULL || ((sub->flags & SUB_GROUP) != 0 &&
	    team_join(s, head, no) != 0)) {
		if (sub->flags & SUB_GROUP)
			trie_del_group(s->trie, n->account, ref.cell);
		else
			trie_del_plain(s->trie, n->account, ref.cell);
		return TRIE_NOMEM;
	}
	sub->cell = ref.cell;
	if ((sub->flags & SUB_GROUP) == 0)
		cell_link(s, head, no);
	return TRIE_OK;
}

enum trie_status
subs_add(struct subs *s, const struct sub_new *n, subno *made)
{
	enum trie_status st;
	struct sub *sub;
	subno no;

	if (n->sid.len > UINT16_MAX || map_reserve(s, n->map) != 0)
		return TRIE_NOMEM;
	if ((st = sub_alloc(s, &no)) != TRIE_OK)
		return st;
	sub = subs_at(s, no);
	memset(sub, 0, sizeof *sub);
	sub->who = n->who;
	if (sid_store(s, sub, n->sid) != 0)
		st = TRIE_NOMEM;
	else
		st = sub_link(s, n, no);
	if (st != TRIE_OK) {
		sub_free(s, no);
		return st;
	}
	map_add(s, n->map, no);
	s->n++;
	*made = no;
	return TRIE_OK;
}

/* Everything but the map. */
static void
sub_remove(struct subs *s, uint32_t account, subno n)
{
	struct sub *sub = subs_at(s, n);

	if (sub->flags & SUB_GROUP)
		team_leave(s, n);
	else
		cell_unlink(s, n);
	if (sub->flags & SUB_GROUP)
		trie_del_group(s->trie, account, sub->cell);
	else
		trie_del_plain(s->trie, account, sub->cell);
	sub_free(s, n);
	s->n--;
}

void
subs_del(struct subs *s, struct sub_map *map, uint32_t account, subno n)
{
	map_del(s, map, n);
	sub_remove(s, account, n);
}

void
subs_del_all(struct subs *s, struct sub_map *map, uint32_t account)
{
	uint32_t pos = 0;
	subno n;

	if (map->n == 0)
		return;
	while ((n = subs_walk(map, &pos)) != 0)
		sub_remove(s, account, n);
	map_free(s, map);
}

bool
subs_del_some(struct subs *s, struct sub_map *map, uint32_t account,
    uint32_t *budget)
{
	uint32_t pos = 0, cap;
	subno n;

	while (map->n > 0 && *budget > 0) {
		if ((n = subs_walk(map, &pos)) == 0) {
			pos = 0; /* the table has become smaller */
			continue;
		}
		cap = map->cap;
		subs_del(s, map, account, n);
		(*budget)--;
		/* Another one may have moved to its place. */
		pos = map->cap == cap ? pos - 1 : 0;
	}
	return map->n == 0;
}

void
subs_finish(struct subs *s, subno n)
{
	struct sub *sub = subs_at(s, n);
	uint32_t cap;
	subno *nf;

	if (sub->flags & SUB_FINISHED)
		return;
	if (s->nfinished == s->capfinished) {
		cap = s->capfinished == 0 ? 16 : s->capfinished * 2;
		nf = realloc(s->finished, cap * sizeof *nf);
		if (nf == NULL)
			return;
		s->finished = nf;
		s->capfinished = cap;
	}
	sub->flags |= SUB_FINISHED;
	s->finished[s->nfinished++] = n;
}
