/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cells: pieces of 64 bytes of a zone, named by a 32-bit number, handed out
 * densely from number 1 upward by the one process that writes the zone.  A
 * cell given up is retired first, may be reused when no reader can still be
 * looking at it (shm/quiesce.h), and then gets a higher serial.
 */
#ifndef SHM_CELL_H
#define SHM_CELL_H

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define CELL_SIZE 64

typedef uint32_t cellno; /* 0 = none */

/*
 * The first words of every cell.  All are written by the zone's process
 * alone.
 *
 * serial: counts the uses of this cell, over processes of the slot too; set
 *	when the cell is handed out, before anything points at it, and
 *	unchanged until it is handed out again.  0: never used.
 * meta: what the cell is and the length of its text, cell_meta(); set before
 *	anything points at the cell, constant until it is reused.
 * cont: the cell in which the text goes on, or 0; constant likewise.
 * link: of a node in use, a hint at its literal children (trie_priv.h).  Of
 *	a retired or free cell, the next one in the writer's list.  A reader
 *	that still stands on a retired node takes the link for a hint and may
 *	look in vain for children, no more.
 *
 * True at every instant: a cell that anything points at has been complete
 * before that pointer was stored (release), and stays as it is, but for the
 * words that its own struct says may change, until every reader that could
 * have seen the pointer has passed a quiescent state.  If the writer dies
 * between two stores, cells handed out and not yet linked are lost until the
 * master empties the zone, which makes every cell unused again.
 * Full: cell_take() has none, one client's error.
 */
struct cell_head_shm {
	_Atomic uint32_t serial;
	_Atomic uint32_t meta;
	_Atomic uint32_t cont;
	_Atomic uint32_t link;
};
static_assert(sizeof(struct cell_head_shm) == 16, "cell layout");
static_assert(ATOMIC_INT_LOCK_FREE == 2, "32-bit atomics must be lock-free");

/* First in, first out, chained by the cells' link words. */
struct cell_list {
	cellno first;
	cellno last;
	uint32_t n;
};

/* The writer's private handle. */
struct cells {
	uint8_t *base; /* where number 0 would lie */
	cellno max; /* numbers are below this */
	cellno high; /* highest number handed out */
	uint32_t serial_first; /* of a cell's first use */
	uint32_t serial_top; /* highest handed out */
	_Atomic uint32_t *top; /* the same, kept for the successor */
	struct cell_list idle; /* may be handed out */
	struct cell_list open; /* retired, batch still open */
	struct cell_list closed; /* retired, waiting for readers */
};

/* Takes over an empty area of `max` cells (number 0 included).  `top` is a
 * word outside of what the master empties: the highest serial that any
 * process of this slot has handed out. */
void cells_init(struct cells *c, void *base, cellno max,
    _Atomic uint32_t *top);
/* A cell with a new serial, its other words as its last use left them; 0 if
 * there is none. */
cellno cell_take(struct cells *c);
/* Nothing points at it any more; readers may still stand on it. */
void cell_retire(struct cells *c, cellno no);
/* Close the batch of retired cells (there is no closed one); then, when all
 * readers have passed, make the closed batch available, oldest first. */
void cells_close(struct cells *c);
void cells_release(struct cells *c);

static inline void *
cell_at(const struct cells *c, cellno no)
{
	return c->base + (size_t)no * CELL_SIZE;
}

static inline uint32_t
cell_meta(uint32_t kind, uint32_t len)
{
	return kind << 24 | len;
}

#define CELL_TEXT_MAX 0xffffffu

static inline uint32_t
cell_kind(uint32_t meta)
{
	return meta >> 24;
}

static inline uint32_t
cell_len(uint32_t meta)
{
	return meta & CELL_TEXT_MAX;
}

#endif
