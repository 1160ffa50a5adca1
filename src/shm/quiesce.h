/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Quiescent states: points of a process' loop where it holds no pointer into
 * another's zone.  The counter lies in the process' own zone: +2 at each
 * quiescent state, odd while offline (asleep).
 *
 * A writer that retires cells makes a full fence and notes the counters of
 * all slots not yet reaped; the batch may be reused when each noted one was
 * odd or has changed.  A reader makes a full fence after each store to its
 * counter and before its next look at another's zone.
 */
#ifndef SHM_QUIESCE_H
#define SHM_QUIESCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shm/own.h"
#include "shm/slots.h"

/* Reader side, by the owner of `own`. */
void quiesce_online(struct own_shm *own); /* odd -> even */
void quiesce_pass(struct own_shm *own); /* even, +2 */
void quiesce_offline(struct own_shm *own); /* even -> odd */

/* Writer side: the counters as noted for one batch. */
struct quiesce_note {
	uint64_t members; /* slots noted; those noted odd are left out */
	uint64_t counter[SLOTS_MAX];
	uint32_t incarnation[SLOTS_MAX];
};

/* What a writer must see of the others.  own[n] may be NULL (not mapped). */
struct quiesce_view {
	const struct slots_shm *slots;
	const struct own_shm *own[SLOTS_MAX];
	slotno self; /* left out: it knows itself to be done; SLOTS_NONE if none */
};

/* Full fence, then note every slot whose state is neither SPARE nor DEAD. */
void quiesce_note(const struct quiesce_view *v, struct quiesce_note *note);
/* Has everybody noted passed (or gone: another incarnation, spare, dead)?
 * Removes from note->members those that have; true when none is left. */
bool quiesce_passed(const struct quiesce_view *v, struct quiesce_note *note);

#endif
