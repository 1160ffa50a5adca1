/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cells of a zone: the writer's side.  Dense numbers, a free list in order
 * of retirement, serials that never come back.
 */
#include <config.h>

#include "shm/cell.h"

#include "base/panic.h"
#include "shm/crash.h"

static struct cell_head_shm *
head_at(const struct cells *c, cellno no)
{
	return cell_at(c, no);
}

/* 0 means never used. */
static uint32_t
serial_next(uint32_t serial)
{
	return serial + 1 != 0 ? serial + 1 : 1;
}

static void
list_put(struct cells *c, struct cell_list *l, cellno no)
{
	atomic_store_explicit(&head_at(c, no)->link, 0, memory_order_relaxed);
	if (l->n == 0)
		l->first = no;
	else
		atomic_store_explicit(&head_at(c, l->last)->link, no,
		    memory_order_relaxed);
	l->last = no;
	l->n++;
}

static cellno
list_get(struct cells *c, struct cell_list *l)
{
	cellno no = l->first;

	l->first = atomic_load_explicit(&head_at(c, no)->link,
	    memory_order_relaxed);
	l->n--;
	return no;
}

/* Moves all of `from` behind what is in `to`. */
static void
list_move(struct cells *c, struct cell_list *to, struct cell_list *from)
{
	if (from->n == 0)
		return;
	if (to->n == 0)
		to->first = from->first;
	else
		atomic_store_explicit(&head_at(c, to->last)->link,
		    from->first, memory_order_relaxed);
	to->last = from->last;
	to->n += from->n;
	*from = (struct cell_list){ 0 };
}

void
cells_init(struct cells *c, void *base, cellno max, _Atomic uint32_t *top)
{
	uint32_t before = atomic_load_explicit(top, memory_order_relaxed);

	*c = (struct cells){ .base = base, .max = max, .top = top };
	c->serial_first = serial_next(before);
	c->serial_top = c->serial_first;
	/* Before any cell has it: if we die, the successor starts above. */
	atomic_store_explicit(top, c->serial_top, memory_order_relaxed);
}

static void
serial_raise(struct cells *c, struct cell_head_shm *cell)
{
	uint32_t old = atomic_load_explicit(&cell->serial,
	    memory_order_relaxed);
	uint32_t serial = old == 0 ? c->serial_first : serial_next(old);

	/* By difference: the count may go round. */
	if ((int32_t)(serial - c->serial_top) > 0) {
		c->serial_top = serial;
		atomic_store_explicit(c->top, serial, memory_order_relaxed);
	}
	atomic_store_explicit(&cell->serial, serial, memory_order_relaxed);
}

cellno
cell_take(struct cells *c)
{
	cellno no;

	if (c->idle.n != 0) {
		no = list_get(c, &c->idle);
		CRASH_POINT("cell-reuse");
	} else if (c->high + 1 < c->max)
		no = ++c->high;
	else
		return 0;
	serial_raise(c, head_at(c, no));
	return no;
}

void
cell_retire(struct cells *c, cellno no)
{
	ASSERT(no != 0 && no <= c->high);
	list_put(c, &c->open, no);
}

void
cells_close(struct cells *c)
{
	ASSERT(c->closed.n == 0);
	list_move(c, &c->closed, &c->open);
}

void
cells_release(struct cells *c)
{
	list_move(c, &c->idle, &c->closed);
}
