/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The own zone of a slot: everything that its process alone writes and that
 * is not index or ring data.  Head (never punched): quiescence counter,
 * asleep count, consumed position and wants_space for each peer, whom it
 * waits for.  Behind the head: scoreboard (shm/score.h).
 */
#ifndef SHM_OWN_H
#define SHM_OWN_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>

#include "shm/slots.h"
#include "shm/zone.h"

#define OWN_MAGIC 0x4e4f574eu

/*
 * What this process tells one peer about the two rings between them.
 *
 * Written by: the zone's process alone, `consumed` as consumer of the peer's
 * ring, `wants_space` as producer of the ring to it.
 * At every instant: consumed <= the peer's produced <= consumed + the ring's
 * size, all counted from the positions' beginning, and consumed is a record's
 * boundary: if this process dies after it has used records and before the
 * store, its successor skips them (they were meant for the dead one).
 * wants_space is odd only if somebody waits or has died waiting.
 * Publication: consumed after the last look at the record (release); then
 * the full fence and the look at wants_space, see ring.c.
 * Started afresh by: the successor's ring_rx_attach(), which sets consumed to
 * the produced position, and ring_tx_attach(), which makes wants_space even.
 * Neither ever starts at 0 again.
 * Capacity: one per peer; 64-bit positions do not wrap in a machine's life.
 */
struct own_peer_shm {
	/* Position up to which this process has consumed the ring from that
	 * peer; only grows, over processes too.  Release; pairs with
	 * ring_tx_room() in ring.c. */
	alignas(NATSD_CACHELINE) _Atomic uint64_t consumed;
	/* Odd while this process, as producer, waits for half of the ring to
	 * that peer to be free (a count, as asleep). */
	alignas(NATSD_CACHELINE) _Atomic uint32_t wants_space;
};

/*
 * Head of an own zone.
 *
 * Written by: the zone's process alone; head by the master once.
 * At every instant: each word stands alone, nobody relates two of them.  If
 * the process dies, quiescence stops changing (the master's slot table then
 * says that it does not count), asleep may stay odd (peers ring an eventfd
 * that nobody waits on, once per value), waits_for may name slots for ever
 * (the master looks at it only while the slot is live).
 * Publication: every word by its own store; orders are stated at the
 * functions in bell.c, quiesce.c and ring.c.
 * Started afresh by: the successor goes on counting from what it finds:
 * quiesce_online(), bell_disarm() or bell_arm(), and 0 into waits_for.
 * Capacity: one entry for each of SLOTS_MAX peers; cannot be full.
 */
struct own_shm {
	struct zone_head_shm head;
	/* Heartbeat and grace periods, see shm/quiesce.h. */
	alignas(NATSD_CACHELINE) _Atomic uint64_t quiescence;
	/* Odd while the process sleeps, see shm/bell.h. */
	alignas(NATSD_CACHELINE) _Atomic uint32_t asleep;
	/* Bits of the slots that this process waits for right now: their
	 * incoming ring is full, or they hold back retired cells. */
	alignas(NATSD_CACHELINE) _Atomic uint64_t waits_for;
	struct own_peer_shm peer[SLOTS_MAX];
};

/* Size of the head in whole pages (never punched, the scoreboard follows),
 * and of a zone with nlines connection lines.  zone_create() with OWN_MAGIC
 * is all that a new one needs: zeros are a valid own_shm. */
size_t own_head_size(void);
size_t own_shm_size(uint32_t nlines);

#endif
