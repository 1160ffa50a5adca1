/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Index zones: size and head (master), and which generations a subject
 * depends on (workers).
 */
#include <config.h>

#include "shm/trie_priv.h"

#define CELLS_MAX (UINT64_C(1) << 31) /* so that any table has < 2^32 entries */

static size_t
page_up(size_t n)
{
	return (n + ZONE_PAGE - 1) & ~(size_t)(ZONE_PAGE - 1);
}

/* Whole pages of cells, number 0 included. */
static uint64_t
cells_of(uint64_t index_bytes)
{
	uint64_t n = index_bytes / CELL_SIZE;

	if (n > CELLS_MAX - ZONE_PAGE)
		n = CELLS_MAX - ZONE_PAGE;
	return page_up((n + 1) * CELL_SIZE) / CELL_SIZE;
}

size_t
trie_head_size(void)
{
	return page_up(sizeof(struct trie_shm));
}

static size_t
tables_off(uint64_t index_bytes)
{
	return trie_head_size() + cells_of(index_bytes) * CELL_SIZE +
	    TRIE_COLOURS * CELL_SIZE;
}

size_t
trie_shm_size(uint64_t index_bytes)
{
	struct edges_place place[EDGES_PLACES];
	uint32_t n;

	return tables_off(index_bytes) +
	    edges_layout(cells_of(index_bytes), place, &n) * ZONE_PAGE;
}

void
trie_shm_init(void *zone_base, uint64_t index_bytes, uint32_t number)
{
	struct trie_shm *head = zone_base;

	head->cells = cells_of(index_bytes);
	head->tables = tables_off(index_bytes);
	head->size = trie_shm_size(index_bytes);
	head->colour = number % TRIE_COLOURS;
}

/* Index of the generation of the first n tokens as prefix. */
static uint32_t
prefix_index(uint64_t seed, uint32_t account, const struct token *tok,
    unsigned n)
{
	uint64_t row = 0;
	unsigned i;

	for (i = n; i > 0; i--)
		row = trie_row_hash(row, tok[i - 1].hash);
	return trie_gen_index(seed, account, n, row);
}

/* A pattern with a wildcard and a literal prefix of so many tokens matches
 * only subjects with more: where there are none, the fourth counts twice,
 * which leaves sums as telling as before. */
void
trie_gens_of(uint64_t seed, uint32_t account, const struct token *tok,
    uint32_t n, struct trie_gens *g)
{
	uint64_t row = 0;
	uint32_t i;

	for (i = n; i > 0; i--)
		row = trie_row_hash(row, tok[i - 1].hash);
	g->idx[0] = trie_gen_index(seed, account, TRIE_GEN_WHOLE, row);
	g->idx[3] = trie_gen_index(seed, account, TRIE_GEN_NONE, 0);
	g->idx[2] = n < 2 ? g->idx[3] :
	    prefix_index(seed, account, tok, TRIE_GEN_ONE);
	g->idx[1] = n < 3 ? g->idx[3] :
	    prefix_index(seed, account, tok, TRIE_GEN_TWO);
}
