/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading a trie: any process, over its own zone or another's.  No lock, no
 * atomic read-modify-write, no retry; every number read is checked before it
 * is followed, and a walk ends after a bounded number of steps, whatever the
 * zone holds.
 */
#include <config.h>

#include <errno.h>

#include "shm/trie_priv.h"

/* Branches that wait in one frame of walk(); at most one per token. */
#define WALK_PENDING 128
/* Three of them make a subject's walk: 15 ns of 45 less than by calls. */
#define ALWAYS_INLINE __attribute__((always_inline))
/* Entries probed that count as one step: a good table needs fewer. */
#define PROBES_PER_STEP 16

static uint32_t
get(const _Atomic uint32_t *word)
{
	return atomic_load_explicit(word, memory_order_relaxed);
}

/* Acquire: the cell that the number names is complete; pairs with the release
 * stores in trie_write.c that link one. */
static cellno
get_link(const _Atomic uint32_t *word)
{
	return atomic_load_explicit(word, memory_order_acquire);
}

static bool
broken(struct trie_look *l)
{
	l->budget = -1;
	return false;
}

/* ---- texts ---- */

/* memcmp() for the few bytes that a token has, inline. */
static inline ALWAYS_INLINE bool
same(const uint8_t *a, const uint8_t *b, uint32_t n)
{
	if (n >= 8) {
		for (uint32_t i = 0; i + 8 < n; i += 8)
			if (hash_load64(a + i) != hash_load64(b + i))
				return false;
		return hash_load64(a + n - 8) == hash_load64(b + n - 8);
	}
	if (n >= 4)
		return hash_load32(a) == hash_load32(b) &&
		    hash_load32(a + n - 4) == hash_load32(b + n - 4);
	while (n-- > 0)
		if (a[n] != b[n])
			return false;
	return true;
}

static const struct trie_cont_shm *
cont_at(struct trie_look *l, cellno no)
{
	const struct trie_cont_shm *c = trie_look_cell(l, no);

	if (c == NULL || --l->budget < 0 ||
	    cell_kind(get(&c->cell.meta)) != TRIE_CONT) {
		(void)broken(l);
		return NULL;
	}
	return c;
}

static __attribute__((noinline)) bool
same_rest(struct trie_look *l, cellno cont, const uint8_t *p, uint32_t len)
{
	const struct trie_cont_shm *c;
	uint32_t n;

	for (; len > 0; p += n, len -= n) {
		if ((c = cont_at(l, cont)) == NULL)
			return false;
		n = len < TRIE_CONT_TEXT ? len : TRIE_CONT_TEXT;
		if (memcmp(c->text, p, n) != 0)
			return false;
		cont = get(&c->cell.cont);
	}
	return true;
}

bool
trie_look_rest(struct trie_look *l, cellno cont, uint8_t *out, uint32_t len)
{
	const struct trie_cont_shm *c;
	uint32_t n;

	for (; len > 0; out += n, len -= n) {
		if ((c = cont_at(l, cont)) == NULL)
			return false;
		n = len < TRIE_CONT_TEXT ? len : TRIE_CONT_TEXT;
		memcpy(out, c->text, n);
		cont = get(&c->cell.cont);
	}
	return true;
}

/* Is the key the text that starts with `head` bytes in its cell? */
static inline ALWAYS_INLINE bool
same_text(struct trie_look *l, const struct trie_key *key,
    const uint8_t *text, uint32_t head, const struct cell_head_shm *cell)
{
	if (key->len <= head)
		return same(text, key->p, key->len);
	return same(text, key->p, head) && same_rest(l, get(&cell->cont),
	    key->p + head, key->len - head);
}

/* ---- edges ---- */

/* Hashes of children and of groups may be equal: the kind tells. */
static inline ALWAYS_INLINE bool
is_child(struct trie_look *l, cellno no, cellno parent, uint32_t kind,
    const struct trie_key *key)
{
	const struct trie_node_shm *nd = trie_look_cell(l, no);

	if (nd == NULL)
		return broken(l);
	return get(&nd->cell.meta) == cell_meta(kind, key->len) &&
	    get(&nd->parent) == parent && get(&nd->hash) == key->hash &&
	    same_text(l, key, nd->token, TRIE_NODE_TEXT, &nd->cell);
}

static inline ALWAYS_INLINE bool
is_group(struct trie_look *l, cellno no, cellno node,
    const struct trie_key *key)
{
	const struct trie_group_shm *g = trie_look_cell(l, no);

	if (g == NULL)
		return broken(l);
	return get(&g->cell.meta) == cell_meta(TRIE_GROUP, key->len) &&
	    get(&g->node) == node && get(&g->hash) == key->hash &&
	    same_text(l, key, g->name, TRIE_GROUP_TEXT, &g->cell);
}

/* The next entry with that hash from *i on; 0 when there is none. */
static inline ALWAYS_INLINE cellno
look(struct trie_look *l, uint32_t hash, uint32_t *i, uint32_t *probes)
{
	uint64_t e;

	for (;;) {
		/* Acquire: the cell is complete; pairs with entry_set() in
		 * trie_edges.c. */
		e = atomic_load_explicit(&l->edges[*i], memory_order_acquire);
		if (++*i == l->nedges)
			*i = 0;
		if ((uint32_t)(e >> 32) == hash && edge_cell(e) != 0)
			return edge_cell(e);
		if (e == 0)
			return 0;
		if (++*probes % PROBES_PER_STEP == 0 &&
		    (--l->budget < 0 || *probes > l->nedges)) {
			(void)broken(l);
			return 0;
		}
	}
}

static inline ALWAYS_INLINE cellno
look_child(struct trie_look *l, cellno parent, uint32_t kind,
    const struct trie_key *key)
{
	uint32_t hash = edge_hash(parent, key->hash), probes = 0, i;
	cellno no;

	if (l->nedges == 0)
		return 0;
	i = edge_home(hash, l->nedges, l->colour);
	while ((no = look(l, hash, &i, &probes)) != 0)
		if (is_child(l, no, parent, kind, key))
			return no;
		else if (++probes > l->nedges || l->budget < 0) {
			(void)broken(l);
			return 0;
		}
	return 0;
}

cellno
trie_look_child(struct trie_look *l, cellno parent, uint32_t kind,
    const struct trie_key *key)
{
	return look_child(l, parent, kind, key);
}

cellno
trie_look_group(struct trie_look *l, cellno node, const struct trie_key *name)
{
	uint32_t hash = edge_hash_group(node, name->hash), probes = 0, i;
	cellno no;

	if (l->nedges == 0)
		return 0;
	i = edge_home(hash, l->nedges, l->colour);
	while ((no = look(l, hash, &i, &probes)) != 0)
		if (is_group(l, no, node, name))
			return no;
		else if (++probes > l->nedges || l->budget < 0) {
			(void)broken(l);
			return 0;
		}
	return 0;
}

/* ---- reader's handle ---- */

int
trie_reader_attach(struct trie_reader *r, const struct zone *zone,
    uint64_t hash_seed)
{
	const struct trie_shm *head = (const void *)zone->base;
	uint64_t cells, tables, size, colour, start = trie_head_size();

	if (zone->size < start)
		goto bad;
	cells = head->cells;
	tables = head->tables;
	size = head->size;
	if (size > zone->size || tables > size || tables < start ||
	    tables % ZONE_PAGE != 0 || cells > (tables - start) / CELL_SIZE ||
	    cells == 0 || cells > UINT32_MAX)
		goto bad;
	colour = head->colour;
	if (colour >= TRIE_COLOURS ||
	    (tables - start) / CELL_SIZE < cells + colour)
		goto bad;
	*r = (struct trie_reader){ .zone = zone, .hash_seed = hash_seed,
	    .cells = cells, .tables = tables, .size = size,
	    .base = zone->base, .first = zone->base + start + colour * CELL_SIZE,
	    .colour = (uint32_t)colour };
	return 0;
bad:
	errno = EPROTO;
	return -1;
}

/* The table in use, or none; false if the word makes no sense. */
static inline ALWAYS_INLINE bool
look_open(const struct trie_reader *r, struct trie_look *l)
{
	const struct trie_root_shm *root = (const void *)r->first;
	/* Acquire: every entry of the table; pairs with fill_finish(). */
	uint64_t word = atomic_load_explicit(&root->table,
	    memory_order_acquire);
	uint64_t off = (word & UINT32_MAX) * ZONE_PAGE;
	uint64_t len = (word >> 32) * ZONE_PAGE;

	l->cells = r->first;
	l->ncells = r->cells;
	l->colour = r->colour;
	l->budget = (int64_t)(r->cells * 2 + 65536);
	l->edges = NULL;
	l->nedges = 0;
	if (word == 0)
		return true;
	if (off < r->tables || off > r->size || len > r->size - off ||
	    len == 0 || len / 8 > UINT32_MAX)
		return false;
	l->edges = (const void *)(r->base + off);
	l->nedges = (uint32_t)(len / 8);
	return true;
}

/* ---- the walk ---- */

struct walk {
	struct trie_look look;
	const struct token *tok;
	uint32_t n;
	const struct trie_match_ops *ops;
	void *ctx;
};

struct pending {
	cellno node;
	uint32_t depth; /* tokens matched */
	cellno parent;
	uint32_t kind; /* enum trie_kind */
};

static __attribute__((noinline)) bool
tell_long_group(struct walk *w, struct trie_ref ref,
    const struct trie_group_shm *g, uint32_t len, uint32_t members)
{
	uint8_t name[TRIE_QNAME_MAX];

	if (len > sizeof name)
		return broken(&w->look);
	memcpy(name, g->name, TRIE_GROUP_TEXT);
	if (!trie_look_rest(&w->look, get(&g->cell.cont),
	    name + TRIE_GROUP_TEXT, len - TRIE_GROUP_TEXT))
		return false;
	w->ops->group(w->ctx, ref, get(&g->hash), name, len, members);
	return true;
}

static bool
tell_group(struct walk *w, cellno no, cellno node,
    const struct trie_group_shm *g)
{
	struct trie_ref ref = { no, get(&g->cell.serial) };
	uint32_t members = get(&g->members);
	uint32_t meta = get(&g->cell.meta);
	uint8_t name[TRIE_GROUP_TEXT];

	if (cell_kind(meta) != TRIE_GROUP || get(&g->node) != node ||
	    cell_len(meta) == 0)
		return broken(&w->look);
	if (members == 0)
		return true;
	if (cell_len(meta) > TRIE_GROUP_TEXT)
		return tell_long_group(w, ref, g, cell_len(meta), members);
	memcpy(name, g->name, sizeof name);
	w->ops->group(w->ctx, ref, get(&g->hash), name, cell_len(meta),
	    members);
	return true;
}

/* A chain that bites its tail is found soon, before its groups were told so
 * often that they fill the caller's memory: it meets the cell at which it was
 * at some power of two. */
static __attribute__((noinline)) bool
tell_groups(struct walk *w, cellno no, cellno node)
{
	const struct trie_group_shm *g;
	uint32_t n = 0, power = 1;
	cellno mark = 0;

	for (; no != 0; no = get_link(&g->next)) {
		g = trie_look_cell(&w->look, no);
		if (g == NULL || no == mark || --w->look.budget < 0)
			return broken(&w->look);
		if (!tell_group(w, no, node, g))
			return false;
		if (++n == power) {
			power *= 2;
			mark = no;
		}
	}
	return true;
}

/* The interest of one node that matches. */
static inline ALWAYS_INLINE bool
tell(struct walk *w, cellno no, const struct trie_node_shm *nd)
{
	struct trie_ref ref = { no, get(&nd->cell.serial) };
	cellno group;

	if (get(&nd->plain) != 0)
		w->ops->plain(w->ctx, ref);
	group = get_link(&nd->group);
	return group == 0 || tell_groups(w, group, no);
}

static bool
tell_tail(struct walk *w, cellno no, cellno parent)
{
	const struct trie_node_shm *nd = trie_look_cell(&w->look, no);

	if (nd == NULL || cell_kind(get(&nd->cell.meta)) != TRIE_TAIL ||
	    get(&nd->parent) != parent)
		return broken(&w->look);
	return tell(w, no, nd);
}

/* Only a child of its parent, of the kind that the link says: so there is one
 * way to each node, and two cannot double at each token. */
static inline ALWAYS_INLINE const struct trie_node_shm *
walk_node(struct walk *w, struct pending at)
{
	const struct trie_node_shm *nd = trie_look_cell(&w->look, at.node);

	if (nd == NULL || --w->look.budget < 0 ||
	    cell_kind(get(&nd->cell.meta)) != at.kind ||
	    get(&nd->parent) != at.parent) {
		(void)broken(&w->look);
		return NULL;
	}
	return nd;
}

/* One step down: what matches here is told; the literal child in *lit, the
 * `*` child in *star. */
static inline ALWAYS_INLINE bool
walk_step(struct walk *w, struct pending at, cellno *lit, cellno *star)
{
	const struct trie_node_shm *nd = walk_node(w, at);
	const struct token *tok = &w->tok[at.depth];
	cellno tail;

	*lit = *star = 0;
	if (nd == NULL)
		return false;
	if (at.depth == w->n)
		return tell(w, at.node, nd);
	if ((tail = get_link(&nd->tail)) != 0 && !tell_tail(w, tail, at.node))
		return false;
	*star = get_link(&nd->star);
	if ((get(&nd->cell.link) & hint_bit(tok->hash)) != 0) {
		struct trie_key key = { tok->p, tok->len, tok->hash };

		*lit = look_child(&w->look, at.node, TRIE_LITERAL, &key);
	}
	return w->look.budget >= 0;
}

/*
 * Depth first.  At most one branch per token waits; when a frame has no
 * place for another, the walk goes on in a frame of its own, so that even
 * thousands of tokens take little stack.
 */
static bool
walk(struct walk *w, struct pending at)
{
	struct pending wait[WALK_PENDING], other;
	cellno lit, star;
	uint32_t n = 0;

	for (;;) {
		if (!walk_step(w, at, &lit, &star))
			return false;
		other = (struct pending){ star, at.depth + 1, at.node,
			TRIE_STAR };
		if (lit == 0)
			at = other;
		else {
			at = (struct pending){ lit, at.depth + 1, at.node,
				TRIE_LITERAL };
			if (star != 0 && n < WALK_PENDING)
				wait[n++] = other;
			else if (star != 0) {
				if (!walk(w, at))
					return false;
				at = other;
			}
		}
		if (at.node == 0) {
			if (n == 0)
				return true;
			at = wait[--n];
		}
	}
}

int
trie_root(const struct trie_reader *r, uint32_t account, cellno *root)
{
	struct trie_key key = { (const void *)&account, sizeof account,
	    trie_account_hash(r->hash_seed, account) };
	struct trie_look look;

	if (!look_open(r, &look))
		return -1;
	*root = look_child(&look, 0, TRIE_ROOT, &key);
	return look.budget < 0 ? -1 : 0;
}

int
trie_match_from(const struct trie_reader *r, cellno root,
    const struct token *tok, uint32_t n, const struct trie_match_ops *ops,
    void *ctx)
{
	struct walk w;

	if (root == 0)
		return 0;
	w.tok = tok;
	w.n = n;
	w.ops = ops;
	w.ctx = ctx;
	if (!look_open(r, &w.look))
		return -1;
	return walk(&w, (struct pending){ root, 0, 0, TRIE_ROOT }) ? 0 : -1;
}

int
trie_match(const struct trie_reader *r, uint32_t account,
    const struct token *tok, uint32_t n, const struct trie_match_ops *ops,
    void *ctx)
{
	cellno root;

	if (trie_root(r, account, &root) != 0)
		return -1;
	return trie_match_from(r, root, tok, n, ops, ctx);
}

uint64_t
trie_bumps(const struct trie_reader *r)
{
	const struct trie_shm *head = (const void *)r->base;

	/* Acquire: all that was changed before; pairs with count_change() in
	 * trie_write.c. */
	return atomic_load_explicit(&head->bumps, memory_order_acquire);
}

uint64_t
trie_gens_sum(const struct trie_reader *r, const struct trie_gens *g)
{
	const struct trie_shm *head = (const void *)r->base;
	uint64_t sum = 0;
	unsigned i;

	/* Acquire: the changes they count; pairs with count_change(). */
	for (i = 0; i < 4; i++)
		sum += atomic_load_explicit(&head->gens[
		    trie_gen_place(g->idx[i], r->colour)],
		    memory_order_acquire);
	return sum;
}
