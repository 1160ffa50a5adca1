/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The slot table's changes, made by the master alone: what may follow what.
 * When it makes them, reap.c and spawn.c say.
 */
#include <config.h>

#include <assert.h>
#include <stddef.h>

#include "shm/slots.h"

#include "base/panic.h"
#include "shm/crash.h"

static_assert(sizeof(struct slot_shm) == 16, "slot layout");
static_assert(offsetof(struct slots_shm, hash_seed) == 16 &&
    offsetof(struct slots_shm, nslots) == 24 &&
    offsetof(struct slots_shm, nlines) == 28 &&
    offsetof(struct slots_shm, ring_bytes) == 32 &&
    offsetof(struct slots_shm, index_bytes) == 40, "slot table layout");
static_assert(offsetof(struct slots_shm, live) == NATSD_CACHELINE,
    "slot table layout");
static_assert(offsetof(struct slots_shm, membership) == 2 * NATSD_CACHELINE,
    "slot table layout");
static_assert(offsetof(struct slots_shm, slot) == 3 * NATSD_CACHELINE,
    "slot table layout");
static_assert(sizeof(struct slots_shm) ==
    3 * NATSD_CACHELINE + SLOTS_MAX * sizeof(struct slot_shm),
    "slot table layout");
static_assert(SLOTS_MAX <= 64, "the live word has a bit for each slot");

#define STATES (SLOT_DEAD + 1)

/* allowed[from] has a bit for each state that may follow. */
static const uint8_t allowed[STATES] = {
	[SLOT_SPARE] = 1 << SLOT_STARTING,
	[SLOT_STARTING] = 1 << SLOT_LIVE | 1 << SLOT_DEAD,
	[SLOT_LIVE] = 1 << SLOT_LEAVING | 1 << SLOT_DEAD,
	[SLOT_LEAVING] = 1 << SLOT_DEAD,
	[SLOT_DEAD] = 1 << SLOT_SPARE,
};

size_t
slots_shm_size(void)
{
	return sizeof(struct slots_shm);
}

void
slots_shm_init(struct slots_shm *s, const struct slots_geometry *g)
{
	ASSERT(g->nslots >= 1 && g->nslots <= SLOTS_MAX);
	s->hash_seed = g->hash_seed;
	s->nslots = g->nslots;
	s->nlines = g->nlines;
	s->ring_bytes = g->ring_bytes;
	s->index_bytes = g->index_bytes;
}

static void
set_state(struct slots_shm *s, slotno n, enum slot_state to)
{
	uint32_t from;

	ASSERT(n < SLOTS_MAX);
	from = atomic_load_explicit(&s->slot[n].state, memory_order_relaxed);
	ASSERT(from < STATES && (allowed[from] & 1 << to) != 0);
	/* Release: incarnation, role and whatever was done to the slot's
	 * zones before; pairs with slots_state() in slots.h. */
	atomic_store_explicit(&s->slot[n].state, (uint32_t)to,
	    memory_order_release);
}

/* The live word, then membership: in this order and always both. */
static void
set_live_word(struct slots_shm *s, uint64_t live)
{
	uint64_t m;

	/* Release: state and incarnation of the slot; pairs with
	 * slots_live() in slots.h. */
	atomic_store_explicit(&s->live, live, memory_order_release);
	CRASH_POINT("slots.live");
	m = atomic_load_explicit(&s->membership, memory_order_relaxed);
	/* Release: the live word; pairs with slots_membership() in slots.h. */
	atomic_store_explicit(&s->membership, m + 1, memory_order_release);
}

void
slots_start(struct slots_shm *s, slotno n, uint32_t incarnation,
    enum slot_role role)
{
	ASSERT(n < SLOTS_MAX);
	atomic_store_explicit(&s->slot[n].pid, 0, memory_order_relaxed);
	atomic_store_explicit(&s->slot[n].role, (uint32_t)role,
	    memory_order_relaxed);
	/* Release: nothing of the predecessor is seen after it; pairs with
	 * slots_incarnation() in slots.h. */
	atomic_store_explicit(&s->slot[n].incarnation, incarnation,
	    memory_order_release);
	set_state(s, n, SLOT_STARTING);
}

void
slots_set_pid(struct slots_shm *s, slotno n, uint32_t pid)
{
	ASSERT(n < SLOTS_MAX);
	atomic_store_explicit(&s->slot[n].pid, pid, memory_order_relaxed);
}

void
slots_set_live(struct slots_shm *s, slotno n)
{
	uint64_t live;

	set_state(s, n, SLOT_LIVE);
	live = atomic_load_explicit(&s->live, memory_order_relaxed);
	set_live_word(s, live | (uint64_t)1 << n);
}

void
slots_set_leaving(struct slots_shm *s, slotno n)
{
	set_state(s, n, SLOT_LEAVING);
}

void
slots_set_dead(struct slots_shm *s, slotno n)
{
	uint64_t live;

	/* State first: who sees the bit cleared also sees it DEAD. */
	set_state(s, n, SLOT_DEAD);
	live = atomic_load_explicit(&s->live, memory_order_relaxed);
	set_live_word(s, live & ~((uint64_t)1 << n));
	atomic_store_explicit(&s->slot[n].pid, 0, memory_order_relaxed);
}

void
slots_set_spare(struct slots_shm *s, slotno n)
{
	ASSERT(n < SLOTS_MAX);
	atomic_store_explicit(&s->slot[n].role, SLOT_ROLE_NONE,
	    memory_order_relaxed);
	set_state(s, n, SLOT_SPARE);
}

slotno
slots_find_spare(const struct slots_shm *s)
{
	uint32_t i;

	for (i = 0; i < s->nslots && i < SLOTS_MAX; i++)
		if (slots_state(s, (slotno)i) == SLOT_SPARE)
			return (slotno)i;
	return SLOTS_NONE;
}

bool
slots_valid(const struct slots_shm *s)
{
	uint64_t live = slots_live(s);
	uint32_t i, state;
	bool bit;

	if (s->nslots < 1 || s->nslots > SLOTS_MAX)
		return false;
	for (i = 0; i < SLOTS_MAX; i++) {
		state = slots_state(s, (slotno)i);
		bit = (live >> i & 1) != 0;
		if (state >= STATES)
			return false;
		if (bit != (state == SLOT_LIVE || state == SLOT_LEAVING))
			return false;
	}
	return true;
}
