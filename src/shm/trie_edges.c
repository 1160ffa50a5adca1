/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The edge table of a trie, writer's side: put, drop, and growth (or
 * shrinking, or getting rid of tombstones) by filling a new table aside, a
 * few entries with every change, and switching by one store.
 *
 * Small tables double; large ones grow by a quarter or less and are kept
 * fuller, for bytes: between 0.65 and 0.8, that is 10 to 12.3 bytes an edge.
 * Each size has two fixed places, so that one may still wait for its last
 * readers while the other is used.
 */
#include <config.h>

#include "shm/trie_priv.h"

#include "base/panic.h"
#include "shm/crash.h"

/* Up to so many pages (32,768 entries) sizes double, load stays <= 25/32 and
 * begins at 1/2 or less; beyond, four sizes per doubling. */
#define SMALL_PAGES 64
/* A table of up to so many entries is filled at once: some 20 us. */
#define FILL_AT_ONCE 4096
/* Else so many per change: done before the old one is 1.6 % fuller. */
#define FILL_STEP 64
/* Pages given back per call of edges_clear(). */
#define CLEAR_STEP 1024

/* ---- places ---- */

static uint32_t
size_after(uint32_t pages)
{
	uint32_t step;

	if (pages < SMALL_PAGES)
		return pages * 2;
	step = (UINT32_C(1) << (31 - __builtin_clz(pages))) / 4;
	return pages + step;
}

/* Does a new table of so many pages take n edges with room to grow? */
static bool
size_suits(uint32_t pages, uint64_t n)
{
	uint64_t entries = (uint64_t)pages * EDGES_PER_PAGE;

	if (pages < SMALL_PAGES)
		return n * 2 <= entries;
	return n * 32 <= entries * 21;
}

uint64_t
edges_layout(uint64_t cells, struct edges_place *place, uint32_t *nplaces)
{
	uint64_t page = 0;
	uint32_t pages = 1, n = 0, i;

	for (;;) {
		ASSERT(n + 2 <= EDGES_PLACES);
		for (i = 0; i < 2; i++) {
			place[n++] = (struct edges_place){
			    .page = (uint32_t)page, .pages = pages };
			page += pages;
		}
		if (size_suits(pages, cells))
			break;
		pages = size_after(pages);
	}
	*nplaces = n;
	return page;
}

void
edges_init(struct edges *ed, const struct trie_reader *r,
    _Atomic uint64_t *word)
{
	uint32_t i;

	*ed = (struct edges){ .zone = r->zone, .word = word,
	    .colour = r->colour };
	(void)edges_layout(r->cells, ed->place, &ed->nplaces);
	for (i = 0; i < ed->nplaces; i++)
		ed->place[i].page += (uint32_t)(r->tables / ZONE_PAGE);
}

static uint64_t
place_bytes(const struct edges_place *pl)
{
	return (uint64_t)pl->pages * ZONE_PAGE;
}

/* A free place for n edges, not much larger than it must be. */
static bool
place_find(struct edges *ed, uint64_t n, uint64_t room, uint32_t *found)
{
	uint32_t i, tried = 0;

	for (i = 0; i < ed->nplaces && tried < 8; i++) {
		if (!size_suits(ed->place[i].pages, n))
			continue;
		if (place_bytes(&ed->place[i]) > room)
			return false;
		tried++;
		if (ed->place[i].state == EDGES_FREE) {
			*found = i;
			return true;
		}
	}
	return false;
}

static void
table_open(struct edges *ed, struct edges_table *tab, uint32_t place)
{
	struct edges_place *pl = &ed->place[place];

	pl->state = EDGES_USED;
	ed->bytes += place_bytes(pl);
	*tab = (struct edges_table){ .n = pl->pages * EDGES_PER_PAGE,
	    .place = place, .colour = ed->colour };
	tab->e = (_Atomic uint64_t *)(void *)(ed->zone->base +
	    (size_t)pl->page * ZONE_PAGE);
}

static void
table_retire(struct edges *ed, struct edges_table *tab)
{
	ed->place[tab->place].state = EDGES_OPEN;
	ed->nretired++;
	*tab = (struct edges_table){ 0 };
}

/* ---- entries ---- */

static uint64_t
entry_get(const struct edges_table *tab, uint32_t i)
{
	return atomic_load_explicit(&tab->e[i], memory_order_relaxed);
}

/* Release: covers the cell that the entry names and all below it; pairs with
 * the acquire load in look() in trie_read.c. */
static void
entry_set(struct edges_table *tab, uint32_t i, uint64_t e)
{
	atomic_store_explicit(&tab->e[i], e, memory_order_release);
}

static uint32_t
table_home(const struct edges_table *tab, uint64_t e)
{
	return edge_home((uint32_t)(e >> 32), tab->n, tab->colour);
}

/* Puts e unless it is there. */
static void
table_put(struct edges_table *tab, uint64_t e)
{
	uint32_t i = table_home(tab, e), to = tab->n;
	uint64_t have;

	while ((have = entry_get(tab, i)) != 0) {
		if (have == e)
			return;
		if (edge_cell(have) == 0 && to == tab->n)
			to = i;
		if (++i == tab->n)
			i = 0;
	}
	if (to == tab->n) {
		to = i;
		tab->used++;
	}
	tab->live++;
	entry_set(tab, to, e);
}

/* Tombstones before an entry that is 0 keep no search going. */
static void
table_sweep(struct edges_table *tab, uint32_t i)
{
	while (edge_cell(entry_get(tab, i)) == 0 && entry_get(tab, i) != 0) {
		entry_set(tab, i, 0);
		tab->used--;
		i = i == 0 ? tab->n - 1 : i - 1;
	}
}

static bool
table_drop(struct edges_table *tab, uint64_t e)
{
	uint32_t i = table_home(tab, e);
	uint64_t have;

	while ((have = entry_get(tab, i)) != e) {
		if (have == 0)
			return false;
		if (++i == tab->n)
			i = 0;
	}
	entry_set(tab, i, EDGE_TOMB);
	tab->live--;
	if (entry_get(tab, i + 1 == tab->n ? 0 : i + 1) == 0)
		table_sweep(tab, i);
	return true;
}

/* ---- filling a new table aside ---- */

static void
fill_finish(struct edges *ed)
{
	const struct edges_place *pl = &ed->place[ed->next.place];
	struct edges_table old = ed->cur;

	ASSERT(ed->next.live == old.live);
	CRASH_POINT("edges-filled");
	/* Release: covers all entries of the new table; pairs with
	 * look_open() in trie_read.c. */
	atomic_store_explicit(ed->word, (uint64_t)pl->pages << 32 | pl->page,
	    memory_order_release);
	CRASH_POINT("edges-switched");
	ed->cur = ed->next;
	ed->next = (struct edges_table){ 0 };
	if (old.e != NULL)
		table_retire(ed, &old);
}

static void
fill_step(struct edges *ed, uint32_t n)
{
	uint32_t end = ed->cur.n;
	uint64_t e;

	if (end - ed->cursor > n)
		end = ed->cursor + n;
	for (; ed->cursor < end; ed->cursor++) {
		e = entry_get(&ed->cur, ed->cursor);
		if (edge_cell(e) != 0)
			table_put(&ed->next, e);
	}
	CRASH_POINT("edges-filling");
	if (ed->cursor == ed->cur.n)
		fill_finish(ed);
}

/* Begins a table for n edges; the first steps are taken here. */
static bool
fill_begin(struct edges *ed, uint64_t n, uint64_t room)
{
	uint32_t place;

	if (!place_find(ed, n, room, &place))
		return false;
	table_open(ed, &ed->next, place);
	ed->cursor = 0;
	fill_step(ed, ed->cur.n <= FILL_AT_ONCE ? ed->cur.n : FILL_STEP);
	return true;
}

/* ---- for trie_write.c ---- */

static bool
has_room(const struct edges_table *tab, uint32_t n)
{
	return tab->e == NULL ||
	    (uint64_t)tab->used + n <= (uint64_t)tab->n / 16 * 15;
}

/* The same for the table being filled: what is still to be copied needs its
 * place there too, so that the filling, and every search, comes to an end. */
static bool
next_has_room(const struct edges *ed, uint32_t n)
{
	return ed->next.e == NULL ||
	    has_room(&ed->next, ed->cur.live - ed->next.live + n);
}

bool
edges_reserve(struct edges *ed, uint32_t n, uint64_t room)
{
	if (ed->cur.e != NULL && has_room(&ed->cur, n) &&
	    next_has_room(ed, n))
		return true;
	/* Rare: no memory to grow until now, or many tokens at once. */
	if (ed->next.e != NULL)
		fill_step(ed, ed->cur.n);
	if (ed->cur.e != NULL && has_room(&ed->cur, n))
		return true;
	if (!fill_begin(ed, (uint64_t)ed->cur.live + n, room))
		return false;
	if (ed->next.e != NULL)
		fill_step(ed, ed->cur.n);
	return true;
}

void
edges_put(struct edges *ed, uint32_t hash, cellno no)
{
	table_put(&ed->cur, edge_make(hash, no));
	if (ed->next.e != NULL)
		table_put(&ed->next, edge_make(hash, no));
}

void
edges_drop(struct edges *ed, uint32_t hash, cellno no)
{
	bool found = table_drop(&ed->cur, edge_make(hash, no));

	ASSERT(found);
	if (ed->next.e != NULL)
		(void)table_drop(&ed->next, edge_make(hash, no));
}

static bool
wants_another(const struct edges_table *tab)
{
	if ((uint64_t)tab->used * 32 >= (uint64_t)tab->n * 25)
		return true;
	return tab->n > EDGES_PER_PAGE && tab->live < tab->n / 8;
}

void
edges_tend(struct edges *ed, uint64_t room)
{
	if (ed->next.e != NULL)
		fill_step(ed, FILL_STEP);
	else if (ed->cur.e != NULL && wants_another(&ed->cur))
		(void)fill_begin(ed, ed->cur.live, room);
}

bool
edges_retired_open(const struct edges *ed)
{
	uint32_t i;

	for (i = 0; ed->nretired != 0 && i < ed->nplaces; i++)
		if (ed->place[i].state == EDGES_OPEN)
			return true;
	return false;
}

static void
places_advance(struct edges *ed, uint32_t from, uint32_t to)
{
	uint32_t i;

	for (i = 0; ed->nretired != 0 && i < ed->nplaces; i++)
		if (ed->place[i].state == from)
			ed->place[i].state = to;
}

void
edges_close(struct edges *ed)
{
	places_advance(ed, EDGES_OPEN, EDGES_CLOSED);
}

void
edges_release(struct edges *ed)
{
	places_advance(ed, EDGES_CLOSED, EDGES_CLEARING);
}

static void
place_clear(struct edges *ed, struct edges_place *pl)
{
	uint32_t n = pl->pages - pl->cleared;
	size_t off = (size_t)(pl->page + pl->cleared) * ZONE_PAGE;

	if (n > CLEAR_STEP)
		n = CLEAR_STEP;
	if (zone_remove(ed->zone, off, (size_t)n * ZONE_PAGE) == -1)
		memset(ed->zone->base + off, 0, (size_t)n * ZONE_PAGE);
	pl->cleared += n;
	if (pl->cleared < pl->pages)
		return;
	pl->cleared = 0;
	pl->state = EDGES_FREE;
	ed->bytes -= place_bytes(pl);
	ed->nretired--;
}

void
edges_clear(struct edges *ed)
{
	uint32_t i;

	if (ed->nretired == 0)
		return;
	for (i = 0; i < ed->nplaces; i++)
		if (ed->place[i].state == EDGES_CLEARING) {
			place_clear(ed, &ed->place[i]);
			return;
		}
}
