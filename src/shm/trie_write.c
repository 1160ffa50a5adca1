/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writing a trie: the slot's own process alone, by stores that never wait.
 * What is new is made whole where nobody can reach it, then linked by one
 * release store; what goes is unlinked by one store and retired.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>

#include "shm/trie_priv.h"

#include "base/panic.h"
#include "shm/crash.h"

struct trie {
	const struct zone *zone;
	struct trie_shm *head;
	uint64_t seed;
	const struct quiesce_view *view;
	uint64_t limit;
	struct cells cells;
	struct edges edges;
	bool waiting; /* a closed batch waits for the processes in note */
	struct quiesce_note note;
};

/* A pattern as the trie stores it: level 0 is the account's root, level i
 * the token i - 1. */
struct pattern {
	uint32_t account;
	uint32_t root_hash;
	const struct token *tok;
	uint32_t n;
};

/* Where a pattern's path ends in the trie, and what was made for the rest. */
struct path {
	cellno node; /* deepest one; 0: not even the root */
	uint32_t levels; /* how many levels exist */
	cellno top; /* first of the new nodes, not linked yet; 0: none */
};

static uint32_t
get(const _Atomic uint32_t *word)
{
	return atomic_load_explicit(word, memory_order_relaxed);
}

/* In cells that nothing points at yet. */
static void
set(_Atomic uint32_t *word, uint32_t value)
{
	atomic_store_explicit(word, value, memory_order_relaxed);
}

/* Release: the cell that the number names, and what hangs below it, is
 * complete; pairs with get_link() in trie_read.c.  Counts use it too. */
static void
set_link(_Atomic uint32_t *word, uint32_t value)
{
	atomic_store_explicit(word, value, memory_order_release);
}

static struct trie_node_shm *
node_at(const struct trie *t, cellno no)
{
	return cell_at(&t->cells, no);
}

static struct trie_group_shm *
group_at(const struct trie *t, cellno no)
{
	return cell_at(&t->cells, no);
}

static uint32_t
kind_at(const struct trie *t, cellno no)
{
	return cell_kind(get(&node_at(t, no)->cell.meta));
}

/* ---- life ---- */

int
trie_new(const struct zone *zone, uint64_t hash_seed,
    const struct quiesce_view *view, uint64_t limit, struct trie **tp)
{
	struct trie_reader r;
	struct trie_root_shm *root;
	struct trie *t;

	if (trie_reader_attach(&r, zone, hash_seed) == -1)
		return -1;
	root = (void *)(zone->base + (r.first - zone->base));
	if (atomic_load_explicit(&root->table, memory_order_relaxed) != 0) {
		errno = EBUSY; /* a predecessor's, not emptied */
		return -1;
	}
	if ((t = calloc(1, sizeof *t)) == NULL)
		return -1;
	t->zone = zone;
	t->head = (void *)zone->base;
	t->seed = hash_seed;
	t->view = view;
	t->limit = limit;
	cells_init(&t->cells, root, (cellno)r.cells, &t->head->serial_top);
	edges_init(&t->edges, &r, &root->table);
	*tp = t;
	return 0;
}

void
trie_free(struct trie **tp)
{
	free(*tp);
	*tp = NULL;
}

uint64_t
trie_bytes(const struct trie *t)
{
	return (uint64_t)t->cells.high * CELL_SIZE + t->edges.bytes;
}

void
trie_set_limit(struct trie *t, uint64_t limit)
{
	t->limit = limit;
}

cellno
trie_cells(const struct trie *t)
{
	return t->cells.high;
}

static uint64_t
room_left(const struct trie *t)
{
	uint64_t bytes = trie_bytes(t);

	return bytes < t->limit ? t->limit - bytes : 0;
}

/* ---- generations ---- */

static void
gen_raise(_Atomic uint64_t *count)
{
	/* Release: covers the change; pairs with trie_gens_sum() and
	 * trie_bumps() in trie_read.c. */
	atomic_store_explicit(count, atomic_load_explicit(count,
	    memory_order_relaxed) + 1, memory_order_release);
}

/* The generation of a node's pattern: of the whole, if it is literal, else
 * of its literal prefix, two tokens at most. */
static uint32_t
gen_of_node(const struct trie *t, uint32_t account, cellno no)
{
	uint32_t first = 0, second = 0, prefix = 0, hash;
	uint64_t row = 0;
	bool literal = true;

	for (; kind_at(t, no) != TRIE_ROOT; no = get(&node_at(t, no)->parent)) {
		hash = get(&node_at(t, no)->hash);
		row = trie_row_hash(row, hash);
		if (kind_at(t, no) == TRIE_LITERAL) {
			prefix = prefix < 2 ? prefix + 1 : 2;
			second = first;
			first = hash;
		} else {
			prefix = 0;
			literal = false;
		}
	}
	if (literal)
		return trie_gen_index(t->seed, account, TRIE_GEN_WHOLE, row);
	row = 0;
	if (prefix > 1)
		row = trie_row_hash(row, second);
	if (prefix > 0)
		row = trie_row_hash(row, first);
	return trie_gen_index(t->seed, account, prefix, row);
}

/* After the change is visible. */
static void
count_change(struct trie *t, uint32_t gen)
{
	CRASH_POINT("trie-changed");
	gen_raise(&t->head->gens[trie_gen_place(gen, t->edges.colour)]);
	CRASH_POINT("trie-generation-raised");
	gen_raise(&t->head->bumps);
}

/* ---- texts ---- */

static uint32_t
text_cells(uint32_t len, uint32_t head)
{
	if (len <= head)
		return 0;
	return (len - head + TRIE_CONT_TEXT - 1) / TRIE_CONT_TEXT;
}

/* Stores a text in a new cell with `room` bytes at `text`, and in as many
 * others as it needs. */
static void
text_store(struct trie *t, struct cell_head_shm *cell, uint8_t *text,
    uint32_t room, const struct trie_key *key)
{
	uint32_t left = key->len, n = left < room ? left : room;
	const uint8_t *p = key->p;
	struct trie_cont_shm *c;
	cellno no;

	if (n != 0)
		memcpy(text, p, n);
	set(&cell->cont, 0);
	while ((left -= n) != 0) {
		p += n;
		n = left < TRIE_CONT_TEXT ? left : TRIE_CONT_TEXT;
		no = cell_take(&t->cells);
		ASSERT(no != 0); /* see reserve() */
		c = cell_at(&t->cells, no);
		set(&c->cell.meta, cell_meta(TRIE_CONT, n));
		set(&c->cell.cont, 0);
		memcpy(c->text, p, n);
		set(&cell->cont, no);
		cell = &c->cell;
	}
}

static void
text_retire(struct trie *t, struct cell_head_shm *cell)
{
	cellno no, next;

	for (no = get(&cell->cont); no != 0; no = next) {
		next = get(&((struct trie_cont_shm *)
		    cell_at(&t->cells, no))->cell.cont);
		cell_retire(&t->cells, no);
	}
}

/* ---- looking up ---- */

static void
look_own(const struct trie *t, struct trie_look *l)
{
	*l = (struct trie_look){ .cells = t->cells.base,
	    .ncells = t->cells.max, .edges = t->edges.cur.e,
	    .nedges = t->edges.cur.n, .colour = t->edges.colour,
	    .budget = INT64_MAX };
}

static uint32_t
level_kind(const struct pattern *pat, uint32_t level)
{
	const struct token *tok;

	if (level == 0)
		return TRIE_ROOT;
	tok = &pat->tok[level - 1];
	if (tok->len == 1 && tok->p[0] == '*')
		return TRIE_STAR;
	if (tok->len == 1 && tok->p[0] == '>' && level == pat->n)
		return TRIE_TAIL;
	return TRIE_LITERAL;
}

static struct trie_key
level_key(const struct pattern *pat, uint32_t level)
{
	const struct token *tok;

	if (level == 0)
		return (struct trie_key){ (const void *)&pat->account,
		    sizeof pat->account, pat->root_hash };
	tok = &pat->tok[level - 1];
	return (struct trie_key){ tok->p, tok->len, tok->hash };
}

static cellno
level_find(const struct trie *t, struct trie_look *l, cellno parent,
    const struct pattern *pat, uint32_t level)
{
	uint32_t kind = level_kind(pat, level);
	struct trie_key key;

	if (kind == TRIE_STAR)
		return get(&node_at(t, parent)->star);
	if (kind == TRIE_TAIL)
		return get(&node_at(t, parent)->tail);
	key = level_key(pat, level);
	if (level > 0 && (get(&node_at(t, parent)->cell.link) &
	    hint_bit(key.hash)) == 0)
		return 0;
	return trie_look_child(l, parent, kind, &key);
}

static void
path_find(const struct trie *t, const struct pattern *pat, struct path *path)
{
	struct trie_look l;
	cellno no;

	look_own(t, &l);
	*path = (struct path){ 0 };
	while (path->levels <= pat->n) {
		no = level_find(t, &l, path->node, pat, path->levels);
		if (no == 0)
			return;
		path->node = no;
		path->levels++;
	}
}

/* ---- making ---- */

/* Room for all that an addition makes, so that nothing fails half-way. */
static bool
reserve(struct trie *t, uint64_t cells, uint32_t edges)
{
	uint64_t fresh = cells > t->cells.idle.n ? cells - t->cells.idle.n : 0;
	uint64_t room = room_left(t);

	if (t->cells.high + fresh >= t->cells.max)
		return false;
	if (fresh != 0 && fresh > room / CELL_SIZE)
		return false;
	return edges == 0 ||
	    edges_reserve(&t->edges, edges, room - fresh * CELL_SIZE);
}

/* For what is missing of the path, and more. */
static bool
path_reserve(struct trie *t, const struct pattern *pat,
    const struct path *path, uint64_t cells, uint32_t edges)
{
	uint32_t level, kind;

	for (level = path->levels; level <= pat->n; level++) {
		struct trie_key key = level_key(pat, level);

		kind = level_kind(pat, level);
		if (key.len > CELL_TEXT_MAX)
			return false;
		cells += 1 + text_cells(key.len, TRIE_NODE_TEXT);
		edges += kind == TRIE_ROOT || kind == TRIE_LITERAL;
	}
	return cells == 0 || reserve(t, cells, edges);
}

static cellno
node_make(struct trie *t, cellno parent, uint32_t kind,
    const struct trie_key *key)
{
	cellno no = cell_take(&t->cells);
	struct trie_node_shm *nd = node_at(t, no);

	ASSERT(no != 0); /* see reserve() */
	set(&nd->cell.meta, cell_meta(kind, key->len));
	set(&nd->cell.link, 0);
	set(&nd->parent, parent);
	set(&nd->star, 0);
	set(&nd->tail, 0);
	set(&nd->group, 0);
	set(&nd->plain, 0);
	set(&nd->hash, key->hash);
	text_store(t, &nd->cell, nd->token, TRIE_NODE_TEXT, key);
	return no;
}

/* Links a complete node below its parent. */
static void
node_link(struct trie *t, cellno no)
{
	struct trie_node_shm *nd = node_at(t, no);
	cellno parent = get(&nd->parent);
	struct trie_node_shm *up = node_at(t, parent);

	switch (cell_kind(get(&nd->cell.meta))) {
	case TRIE_STAR:
		set_link(&up->star, no);
		break;
	case TRIE_TAIL:
		set_link(&up->tail, no);
		break;
	case TRIE_LITERAL:
		/* Before the edge: without it nobody looks. */
		set_link(&up->cell.link, hint_add(get(&up->cell.link),
		    get(&nd->hash)));
		CRASH_POINT("trie-hint-raised");
		/* FALLTHROUGH */
	default:
		edges_put(&t->edges, edge_hash(parent, get(&nd->hash)), no);
	}
}

/* Makes the missing levels; all but the topmost are linked. */
static void
path_make(struct trie *t, const struct pattern *pat, struct path *path)
{
	struct trie_key key;
	cellno no;

	for (; path->levels <= pat->n; path->levels++) {
		key = level_key(pat, path->levels);
		no = node_make(t, path->node, level_kind(pat, path->levels),
		    &key);
		if (path->top == 0)
			path->top = no;
		else
			node_link(t, no);
		path->node = no;
	}
	CRASH_POINT("trie-path-made");
}

static void
path_publish(struct trie *t, const struct path *path)
{
	if (path->top != 0)
		node_link(t, path->top);
	CRASH_POINT("trie-path-published");
}

static struct pattern
pattern_of(const struct trie *t, uint32_t account, const struct token *tok,
    uint32_t n)
{
	return (struct pattern){ account, trie_account_hash(t->seed, account),
	    tok, n };
}

/* ---- unmaking ---- */

static void
node_unlink(struct trie *t, cellno no)
{
	struct trie_node_shm *nd = node_at(t, no);
	cellno parent = get(&nd->parent);
	struct trie_node_shm *up = node_at(t, parent);
	uint32_t kind = cell_kind(get(&nd->cell.meta));

	if (kind == TRIE_STAR)
		set_link(&up->star, 0);
	else if (kind == TRIE_TAIL)
		set_link(&up->tail, 0);
	else
		edges_drop(&t->edges, edge_hash(parent, get(&nd->hash)), no);
	if (kind == TRIE_LITERAL)
		set_link(&up->cell.link, hint_drop(get(&up->cell.link)));
}

static bool
node_empty(const struct trie_node_shm *nd)
{
	return get(&nd->plain) == 0 && get(&nd->group) == 0 &&
	    get(&nd->star) == 0 && get(&nd->tail) == 0 &&
	    get(&nd->cell.link) == 0;
}

/* From the leaf up: what a reader meets on the way matches nothing. */
static void
path_prune(struct trie *t, cellno no)
{
	struct trie_node_shm *nd;
	cellno parent;

	for (; no != 0; no = parent) {
		nd = node_at(t, no);
		if (!node_empty(nd))
			return;
		parent = get(&nd->parent);
		node_unlink(t, no);
		CRASH_POINT("trie-node-unlinked");
		text_retire(t, &nd->cell);
		cell_retire(&t->cells, no);
	}
}

/* Structure, then generations, then bumps; then what is left to do. */
static void
changed(struct trie *t, uint32_t gen)
{
	count_change(t, gen);
	edges_tend(&t->edges, room_left(t));
}

/* ---- plain interest ---- */

enum trie_status
trie_add_plain(struct trie *t, uint32_t account, const struct token *tok,
    uint32_t n, struct trie_ref *node)
{
	struct pattern pat = pattern_of(t, account, tok, n);
	struct trie_node_shm *nd;
	struct path path;
	uint32_t count;

	path_find(t, &pat, &path);
	if (!path_reserve(t, &pat, &path, 0, 0))
		return TRIE_FULL;
	path_make(t, &pat, &path);
	nd = node_at(t, path.node);
	count = get(&nd->plain) + 1;
	set_link(&nd->plain, count);
	path_publish(t, &path);
	if (count == 1)
		changed(t, gen_of_node(t, account, path.node));
	*node = (struct trie_ref){ path.node, get(&nd->cell.serial) };
	return TRIE_OK;
}

void
trie_del_plain(struct trie *t, uint32_t account, cellno node)
{
	struct trie_node_shm *nd = node_at(t, node);
	uint32_t count = get(&nd->plain), gen;

	ASSERT(node != 0 && node <= t->cells.high && count != 0);
	set_link(&nd->plain, count - 1);
	if (count > 1)
		return;
	gen = gen_of_node(t, account, node);
	path_prune(t, node);
	changed(t, gen);
}

/* ---- groups ---- */

static cellno
group_make(struct trie *t, cellno node, const struct trie_key *name)
{
	cellno no = cell_take(&t->cells);
	struct trie_group_shm *g = group_at(t, no);

	ASSERT(no != 0); /* see reserve() */
	set(&g->cell.meta, cell_meta(TRIE_GROUP, name->len));
	set(&g->cell.link, 0);
	set(&g->node, node);
	set(&g->prev, 0);
	set(&g->members, 1);
	set(&g->hash, name->hash);
	text_store(t, &g->cell, g->name, TRIE_GROUP_TEXT, name);
	return no;
}

/* First in the list of its node. */
static void
group_link(struct trie *t, cellno no)
{
	struct trie_group_shm *g = group_at(t, no);
	struct trie_node_shm *nd = node_at(t, get(&g->node));
	cellno first = get(&nd->group);

	set(&g->next, first);
	if (first != 0)
		set(&group_at(t, first)->prev, no);
	edges_put(&t->edges, edge_hash_group(get(&g->node), get(&g->hash)),
	    no);
	CRASH_POINT("trie-group-made");
	set_link(&nd->group, no);
}

static void
group_unlink(struct trie *t, cellno no)
{
	struct trie_group_shm *g = group_at(t, no);
	cellno prev = get(&g->prev), next = get(&g->next);

	if (prev == 0)
		set_link(&node_at(t, get(&g->node))->group, next);
	else
		set_link(&group_at(t, prev)->next, next);
	CRASH_POINT("trie-group-unlinked");
	if (next != 0)
		set(&group_at(t, next)->prev, prev);
	edges_drop(&t->edges, edge_hash_group(get(&g->node), get(&g->hash)),
	    no);
	text_retire(t, &g->cell);
	cell_retire(&t->cells, no);
}

static cellno
group_find(const struct trie *t, const struct pattern *pat,
    const struct path *path, const struct trie_key *name)
{
	struct trie_look l;

	if (path->levels <= pat->n ||
	    get(&node_at(t, path->node)->group) == 0)
		return 0;
	look_own(t, &l);
	return trie_look_group(&l, path->node, name);
}

enum trie_status
trie_add_group(struct trie *t, uint32_t account, const struct token *tok,
    uint32_t n, const uint8_t *name, uint32_t namelen,
    struct trie_ref *group)
{
	struct pattern pat = pattern_of(t, account, tok, n);
	struct trie_key key = { name, namelen,
	    trie_name_hash(t->seed, name, namelen) };
	struct path path;
	cellno no;

	if (namelen == 0 || namelen > TRIE_QNAME_MAX)
		return TRIE_FULL;
	path_find(t, &pat, &path);
	if ((no = group_find(t, &pat, &path, &key)) != 0) {
		set_link(&group_at(t, no)->members,
		    get(&group_at(t, no)->members) + 1);
	} else {
		if (!path_reserve(t, &pat, &path,
		    1 + text_cells(namelen, TRIE_GROUP_TEXT), 1))
			return TRIE_FULL;
		path_make(t, &pat, &path);
		no = group_make(t, path.node, &key);
		group_link(t, no);
		path_publish(t, &path);
	}
	changed(t, gen_of_node(t, account, path.node));
	*group = (struct trie_ref){ no, get(&group_at(t, no)->cell.serial) };
	return TRIE_OK;
}

void
trie_del_group(struct trie *t, uint32_t account, cellno group)
{
	struct trie_group_shm *g = group_at(t, group);
	uint32_t count = get(&g->members), gen;
	cellno node = get(&g->node);

	ASSERT(group != 0 && group <= t->cells.high &&
	    kind_at(t, group) == TRIE_GROUP && count != 0);
	set_link(&g->members, count - 1);
	gen = gen_of_node(t, account, node);
	if (count == 1) {
		group_unlink(t, group);
		path_prune(t, node);
	}
	changed(t, gen);
}

/* ---- reuse ---- */

static void
batch_release(struct trie *t)
{
	cells_release(&t->cells);
	edges_release(&t->edges);
	t->waiting = false;
}

uint64_t
trie_reclaim(struct trie *t)
{
	if (t->waiting && quiesce_passed(t->view, &t->note))
		batch_release(t);
	if (!t->waiting &&
	    (t->cells.open.n != 0 || edges_retired_open(&t->edges))) {
		cells_close(&t->cells);
		edges_close(&t->edges);
		quiesce_note(t->view, &t->note);
		t->waiting = true;
	}
	edges_clear(&t->edges);
	return t->waiting ? t->note.members : 0;
}

/* ---- own cells ---- */

bool
trie_ref_live(const struct trie *t, struct trie_ref ref)
{
	if (ref.cell == 0 || ref.cell > t->cells.high ||
	    get(&node_at(t, ref.cell)->cell.serial) != ref.serial)
		return false;
	/* A retired cell keeps its serial, but counts nobody. */
	switch (kind_at(t, ref.cell)) {
	case TRIE_LITERAL:
	case TRIE_STAR:
	case TRIE_TAIL:
		return get(&node_at(t, ref.cell)->plain) != 0;
	case TRIE_GROUP:
		return get(&group_at(t, ref.cell)->members) != 0;
	default:
		return false;
	}
}

static bool
is_text(uint32_t meta, uint32_t have_hash, const uint8_t *text, uint32_t room,
    const struct trie_key *key)
{
	return cell_len(meta) == key->len && have_hash == key->hash &&
	    memcmp(text, key->p, key->len < room ? key->len : room) == 0;
}

/* Tokens of the pattern that ends at that node; n + 1 if there are more. */
static uint32_t
depth_of(const struct trie *t, cellno no, uint32_t n)
{
	uint32_t depth = 0;

	for (; kind_at(t, no) != TRIE_ROOT && depth <= n; depth++)
		no = get(&node_at(t, no)->parent);
	return depth;
}

bool
trie_ref_matches(const struct trie *t, struct trie_ref ref,
    const struct token *tok, uint32_t n)
{
	const struct trie_node_shm *nd;
	struct trie_key key;
	cellno no = ref.cell;

	if (kind_at(t, no) == TRIE_GROUP)
		no = get(&group_at(t, no)->node);
	if (kind_at(t, no) == TRIE_TAIL) {
		no = get(&node_at(t, no)->parent);
		if (depth_of(t, no, n) >= n)
			return false;
		n = depth_of(t, no, n);
	}
	for (; kind_at(t, no) != TRIE_ROOT; no = get(&nd->parent), n--) {
		nd = node_at(t, no);
		if (n == 0)
			return false;
		if (kind_at(t, no) == TRIE_STAR)
			continue;
		key = (struct trie_key){ tok[n - 1].p, tok[n - 1].len,
			tok[n - 1].hash };
		if (!is_text(get(&nd->cell.meta), get(&nd->hash), nd->token,
		    TRIE_NODE_TEXT, &key))
			return false;
	}
	return n == 0;
}

bool
trie_ref_named(const struct trie *t, struct trie_ref ref, const uint8_t *name,
    uint32_t namelen)
{
	const struct trie_group_shm *g = group_at(t, ref.cell);
	struct trie_key key = { name, namelen,
	    trie_name_hash(t->seed, name, namelen) };

	return kind_at(t, ref.cell) == TRIE_GROUP && is_text(
	    get(&g->cell.meta), get(&g->hash), g->name, TRIE_GROUP_TEXT,
	    &key);
}

/* Writes a text so that it ends at end, as far as it lies in [0, outlen). */
static void
text_copy(const struct trie *t, const struct trie_node_shm *nd, char *out,
    size_t outlen, size_t end)
{
	uint32_t len = cell_len(get(&nd->cell.meta)), i = 0, n;
	uint32_t room = TRIE_NODE_TEXT;
	const uint8_t *p = nd->token;
	const struct trie_cont_shm *c;
	cellno cont = get(&nd->cell.cont);
	size_t pos = end - len;

	for (;;) {
		n = len - i < room ? len - i : room;
		if (pos + i < outlen)
			memcpy(out + pos + i, p, pos + i + n <= outlen ? n :
			    outlen - pos - i);
		if ((i += n) == len)
			return;
		c = cell_at(&t->cells, cont);
		p = c->text;
		room = TRIE_CONT_TEXT;
		cont = get(&c->cell.cont);
	}
}

size_t
trie_subject(const struct trie *t, cellno cell, char *out, size_t outlen)
{
	const struct trie_node_shm *nd;
	size_t total = 0, end;
	cellno no;

	if (kind_at(t, cell) == TRIE_GROUP)
		cell = get(&group_at(t, cell)->node);
	for (no = cell; kind_at(t, no) != TRIE_ROOT; no = get(&nd->parent)) {
		nd = node_at(t, no);
		total += cell_len(get(&nd->cell.meta)) + (total != 0);
	}
	end = total;
	for (no = cell; kind_at(t, no) != TRIE_ROOT; no = get(&nd->parent)) {
		nd = node_at(t, no);
		text_copy(t, nd, out, outlen, end);
		end -= cell_len(get(&nd->cell.meta));
		if (end > 0 && --end < outlen)
			out[end] = '.';
	}
	return total < outlen ? total : outlen;
}

/* ---- self-check ---- */

/* Is the node linked where it says? */
static bool
node_valid(const struct trie *t, struct trie_look *l, cellno no)
{
	const struct trie_node_shm *nd = node_at(t, no);
	cellno parent = get(&nd->parent);
	uint32_t kind = cell_kind(get(&nd->cell.meta));
	uint8_t text[4096];
	uint32_t len = cell_len(get(&nd->cell.meta));
	struct trie_key key = { text, len, get(&nd->hash) };

	if (node_empty(nd))
		return false;
	if (kind == TRIE_STAR)
		return get(&node_at(t, parent)->star) == no;
	if (kind == TRIE_TAIL)
		return get(&node_at(t, parent)->tail) == no;
	if (kind != (parent == 0 ? TRIE_ROOT : TRIE_LITERAL))
		return false;
	if (len > sizeof text)
		return true;
	memcpy(text, nd->token, len < TRIE_NODE_TEXT ? len : TRIE_NODE_TEXT);
	if (len > TRIE_NODE_TEXT && !trie_look_rest(l, get(&nd->cell.cont),
	    text + TRIE_NODE_TEXT, len - TRIE_NODE_TEXT))
		return false;
	return trie_look_child(l, parent, kind, &key) == no;
}

/* What a self-check has met. */
struct census {
	struct trie_look look;
	uint64_t cells;
	uint64_t literals; /* literal nodes */
	uint64_t hints; /* sum of the numbers of literal children */
	uint64_t groups;
};

static bool
groups_valid(const struct trie *t, struct census *c, cellno node)
{
	const struct trie_group_shm *g;
	cellno no, prev = 0;

	for (no = get(&node_at(t, node)->group); no != 0; no = get(&g->next)) {
		if (no > t->cells.high || kind_at(t, no) != TRIE_GROUP)
			return false;
		g = group_at(t, no);
		if (get(&g->node) != node || get(&g->prev) != prev ||
		    get(&g->members) == 0)
			return false;
		c->groups++;
		c->cells += 1 + text_cells(cell_len(get(&g->cell.meta)),
		    TRIE_GROUP_TEXT);
		prev = no;
	}
	return true;
}

/* The node, and all `*` and `>` below it that no edge leads to. */
static bool
nodes_valid(const struct trie *t, struct census *c, cellno no)
{
	const struct trie_node_shm *nd;

	for (; no != 0; no = get(&nd->star)) {
		nd = node_at(t, no);
		if (no > t->cells.high || !node_valid(t, &c->look, no) ||
		    !groups_valid(t, c, no))
			return false;
		c->cells += 1 + text_cells(cell_len(get(&nd->cell.meta)),
		    TRIE_NODE_TEXT);
		c->hints += get(&nd->cell.link) & HINT_COUNT;
		if (kind_at(t, no) == TRIE_LITERAL) {
			c->literals++;
			if ((get(&node_at(t, get(&nd->parent))->cell.link) &
			    hint_bit(get(&nd->hash))) == 0)
				return false;
		}
		if (get(&nd->tail) != 0 && !nodes_valid(t, c, get(&nd->tail)))
			return false;
	}
	return true;
}

/* Every edge leads to a valid cell; the numbers of children, groups, edges
 * and cells agree with what was met. */
int
trie_valid(const struct trie *t)
{
	const struct edges_table *tab = &t->edges.cur;
	struct census c = { .cells = (uint64_t)t->cells.idle.n +
	    t->cells.open.n + t->cells.closed.n };
	uint64_t live = 0, groups = 0;
	uint32_t i;
	cellno no;

	look_own(t, &c.look);
	for (i = 0; i < tab->n; i++) {
		no = edge_cell(atomic_load_explicit(&tab->e[i],
		    memory_order_relaxed));
		if (no == 0)
			continue;
		if (no > t->cells.high)
			return -1;
		live++;
		if (kind_at(t, no) == TRIE_GROUP)
			groups++;
		else if (!nodes_valid(t, &c, no))
			return -1;
	}
	return live == tab->live && groups == c.groups &&
	    c.hints == c.literals && c.cells == t->cells.high ? 0 : -1;
}
