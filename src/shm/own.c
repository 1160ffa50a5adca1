/* SPDX-License-Identifier: BSD-2-Clause */
/* Layout of the own zone of a slot; in every process. */
#include <config.h>

#include <assert.h>
#include <stddef.h>

#include "shm/own.h"

#include "shm/score.h"

static_assert(sizeof(struct own_peer_shm) == 2 * NATSD_CACHELINE,
    "own peer layout");
static_assert(offsetof(struct own_peer_shm, wants_space) == NATSD_CACHELINE,
    "own peer layout");
static_assert(offsetof(struct own_shm, quiescence) == NATSD_CACHELINE,
    "own layout");
static_assert(offsetof(struct own_shm, asleep) == 2 * NATSD_CACHELINE,
    "own layout");
static_assert(offsetof(struct own_shm, waits_for) == 3 * NATSD_CACHELINE,
    "own layout");
static_assert(offsetof(struct own_shm, peer) == 4 * NATSD_CACHELINE,
    "own layout");
static_assert(sizeof(struct own_shm) ==
    (4 + 2 * SLOTS_MAX) * NATSD_CACHELINE, "own layout");

size_t
own_head_size(void)
{
	return (sizeof(struct own_shm) + ZONE_PAGE - 1) &
	    ~(size_t)(ZONE_PAGE - 1);
}

size_t
own_shm_size(uint32_t nlines)
{
	return own_head_size() + score_shm_size(nlines);
}
