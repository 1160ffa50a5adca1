/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control zone: slot table, live word, membership.  Written by the
 * master alone, read by all.
 */
#ifndef SHM_SLOTS_H
#define SHM_SLOTS_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shm/zone.h"

#define SLOTS_MAX 64
#define SLOTS_MAGIC 0x4e534c54u
#define SLOTS_NONE 0xffu

typedef uint8_t slotno;

enum slot_state { /* stored as uint32_t */
	SLOT_SPARE = 0,
	SLOT_STARTING = 1,
	SLOT_LIVE = 2,
	SLOT_LEAVING = 3, /* still live in the live word; not used yet */
	SLOT_DEAD = 4 /* reaped, its zones not yet given back */
};

enum slot_role {
	SLOT_ROLE_NONE = 0,
	SLOT_ROLE_WORKER = 1
};

/*
 * One slot: which process serves in it, if any.
 *
 * Written by: the master alone.
 * At every instant: incarnation, pid and role belong to the state's process
 * or, while the state is still SPARE, to the one about to start; pid is 0
 * from before the fork until it is known, and after the reaping.
 * Publication: incarnation (release), then state (release).
 * Started afresh by: slots_start().
 */
struct slot_shm {
	_Atomic uint32_t pid;
	_Atomic uint32_t incarnation; /* counted over the daemon's life */
	_Atomic uint32_t state;
	_Atomic uint32_t role;
};

/*
 * The control zone.
 *
 * Written by: the master alone.  If it dies every child drains and leaves,
 * and the next master makes a new zone.
 * At every instant: a set bit of `live` belongs to a slot in state LIVE,
 * LEAVING, or DEAD (reaped, the bit about to go): state is stored first when
 * the bit comes and first when it goes.  Between the stores of live and
 * membership readers may use the new live word in the old membership; they
 * find the new membership at their next look and void what they kept.
 * Publication: state, live, membership, each by release, in this order.
 * Started afresh by: nobody; counters go on growing.
 * Capacity: SLOTS_MAX; none spare: slots_find_spare() says SLOTS_NONE.
 */
struct slots_shm {
	struct zone_head_shm head;
	/* Constant after the first fork. */
	uint64_t hash_seed;
	uint32_t nslots; /* worker slots, spare ones included; 0..nslots-1 */
	uint32_t nlines; /* connection lines in each own zone */
	uint64_t ring_bytes; /* data bytes of each ring, a power of two */
	uint64_t index_bytes; /* size of each index zone */
	/* The live word: bit n is set while slot n serves.  Stored before
	 * membership, both by the master alone. */
	alignas(NATSD_CACHELINE) _Atomic uint64_t live;
	alignas(NATSD_CACHELINE) _Atomic uint64_t membership;
	_Atomic uint64_t conf_version;
	alignas(NATSD_CACHELINE) struct slot_shm slot[SLOTS_MAX];
};

struct slots_geometry {
	uint64_t hash_seed;
	uint32_t nslots;
	uint32_t nlines;
	uint64_t ring_bytes;
	uint64_t index_bytes;
};

/* For zone_create() with SLOTS_MAGIC. */
size_t slots_shm_size(void);
/* Master, before the first fork: fill the constants. */
void slots_shm_init(struct slots_shm *s, const struct slots_geometry *g);

/* Readers.  live is loaded with acquire after membership's acquire load, so
 * that whoever has seen a membership has seen at least its live word. */
static inline uint64_t
slots_membership(const struct slots_shm *s)
{
	/* Pairs with set_live_word() in slots.c. */
	return atomic_load_explicit(&s->membership, memory_order_acquire);
}

static inline uint64_t
slots_live(const struct slots_shm *s)
{
	/* Pairs with set_live_word() in slots.c. */
	return atomic_load_explicit(&s->live, memory_order_acquire);
}

static inline uint32_t
slots_incarnation(const struct slots_shm *s, slotno n)
{
	/* Pairs with slots_start() in slots.c. */
	return atomic_load_explicit(&s->slot[n].incarnation,
	    memory_order_acquire);
}

/* An enum slot_state. */
static inline uint32_t
slots_state(const struct slots_shm *s, slotno n)
{
	/* Pairs with set_state() in slots.c. */
	return atomic_load_explicit(&s->slot[n].state, memory_order_acquire);
}

/*
 * Master: table transitions, asserted against a table of the allowed ones.
 * start: SPARE->STARTING with pid 0 and a new incarnation; live: STARTING->
 * LIVE, bit set, membership raised; leaving: LIVE->LEAVING; dead: STARTING,
 * LIVE or LEAVING->DEAD, bit cleared, membership raised, pid 0; spare:
 * DEAD->SPARE.
 */
void slots_start(struct slots_shm *s, slotno n, uint32_t incarnation,
    enum slot_role role);
void slots_set_pid(struct slots_shm *s, slotno n, uint32_t pid);
void slots_set_live(struct slots_shm *s, slotno n);
void slots_set_leaving(struct slots_shm *s, slotno n);
void slots_set_dead(struct slots_shm *s, slotno n);
void slots_set_spare(struct slots_shm *s, slotno n);
/* First spare worker slot or SLOTS_NONE. */
slotno slots_find_spare(const struct slots_shm *s);
/* Self-check, when no change is under way: live word and states agree. */
bool slots_valid(const struct slots_shm *s);

#endif
