/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Quiescent states: the counter by which each process says that it holds no
 * pointer into another's zone, and the notes by which a writer waits for all
 * of them without waiting for any.  Every child; the counter has one writer.
 */
#include <config.h>

#include "shm/quiesce.h"

/*
 * Release: all that was read before is done before the counter moves (pairs
 * with counter_get()).  Fence: the next look at another's zone comes after
 * the store; pairs with quiesce_note(): either the writer sees the new count
 * or we see its unlinking.
 */
static void
counter_set(struct own_shm *own, uint64_t value)
{
	atomic_store_explicit(&own->quiescence, value, memory_order_release);
	atomic_thread_fence(memory_order_seq_cst);
}

static uint64_t
counter_own(const struct own_shm *own)
{
	return atomic_load_explicit(&own->quiescence, memory_order_relaxed);
}

/* Acquire: what that process read before is read; pairs with counter_set(). */
static uint64_t
counter_get(const struct own_shm *own)
{
	return atomic_load_explicit(&own->quiescence, memory_order_acquire);
}

/* Even whatever a predecessor that died has left. */
void
quiesce_online(struct own_shm *own)
{
	counter_set(own, (counter_own(own) | 1) + 1);
}

void
quiesce_pass(struct own_shm *own)
{
	counter_set(own, counter_own(own) + 2);
}

void
quiesce_offline(struct own_shm *own)
{
	counter_set(own, counter_own(own) | 1);
}

static bool
serves(const struct slots_shm *slots, unsigned n)
{
	uint32_t state = atomic_load_explicit(&slots->slot[n].state,
	    memory_order_acquire);

	return state != SLOT_SPARE && state != SLOT_DEAD;
}

void
quiesce_note(const struct quiesce_view *v, struct quiesce_note *note)
{
	unsigned n;

	/* What was unlinked before is unlinked for whoever moves its counter
	 * after our look at it; pairs with counter_set(). */
	atomic_thread_fence(memory_order_seq_cst);
	note->members = 0;
	for (n = 0; n < SLOTS_MAX; n++) {
		if (n == v->self || v->own[n] == NULL ||
		    !serves(v->slots, n))
			continue;
		note->incarnation[n] = slots_incarnation(v->slots, (slotno)n);
		note->counter[n] = counter_get(v->own[n]);
		if ((note->counter[n] & 1) == 0)
			note->members |= UINT64_C(1) << n;
	}
}

static bool
has_passed(const struct quiesce_view *v, const struct quiesce_note *note,
    unsigned n)
{
	uint64_t now;

	if (v->own[n] == NULL || !serves(v->slots, n) ||
	    slots_incarnation(v->slots, (slotno)n) != note->incarnation[n])
		return true;
	now = counter_get(v->own[n]);
	return (now & 1) != 0 || now != note->counter[n];
}

bool
quiesce_passed(const struct quiesce_view *v, struct quiesce_note *note)
{
	uint64_t left = note->members;
	unsigned n;

	while (left != 0) {
		n = (unsigned)__builtin_ctzll(left);
		left &= left - 1;
		if (has_passed(v, note, n))
			note->members &= ~(UINT64_C(1) << n);
	}
	return note->members == 0;
}
