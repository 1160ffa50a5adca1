/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rings between workers, the parts that are not in everybody's way.  Runs
 * in workers; the master only makes the zones.
 *
 * Why nobody waits for ever is the bell's reasoning (bell.c) once more, the
 * other way round:
 *
 *	producer			consumer
 *	wants_space = odd		consumed = pos
 *	full fence			full fence
 *	look at consumed		look at wants_space
 *
 * At least one of the two sees what the other has stored.  A producer that
 * does not find its room leaves something in the ring that the consumer has
 * still to read, so there is another release after this one, and the last of
 * them leaves the ring empty: half free for certain, and any record fits.
 * tests/model/space.pml checks it.
 */
#include <config.h>

#include <assert.h>
#include <errno.h>

#include "shm/ring.h"

/* The data begin one page into the zone. */
#define RING_DATA ((size_t)ZONE_PAGE)

static_assert(sizeof(struct ring_rec_shm) == RING_ALIGN, "record layout");
static_assert(offsetof(struct ring_shm, size) == 16, "ring layout");
static_assert(offsetof(struct ring_shm, produced) == NATSD_CACHELINE,
    "ring layout");
static_assert(sizeof(struct ring_shm) == 2 * NATSD_CACHELINE, "ring layout");
static_assert(sizeof(struct ring_shm) <= ZONE_PAGE, "ring layout");
static_assert(RING_MIN / 4 % ZONE_PAGE == 0, "a quarter is whole pages");
static_assert(RING_MAX <= UINT32_MAX, "a record's length is 32 bits");

/* ---- master ----------------------------------------------------------- */

size_t
ring_shm_size(uint64_t data_bytes)
{
	return RING_DATA + (size_t)data_bytes;
}

void
ring_shm_init(struct ring_shm *r, uint64_t data_bytes)
{
	r->size = data_bytes;
	atomic_store_explicit(&r->produced, 0, memory_order_relaxed);
}

uint64_t
ring_size_for(uint64_t ring_memory, uint32_t nslots, uint64_t *need)
{
	uint64_t rings, size;

	ASSERT(nslots >= 1 && nslots <= SLOTS_MAX);
	rings = (uint64_t)nslots * (nslots - 1);
	*need = rings * RING_MIN;
	if (ring_memory < *need)
		return 0;
	size = RING_MAX;
	while (size > RING_MIN && size > ring_memory / (rings ? rings : 1))
		size /= 2;
	return size;
}

/* ---- producer --------------------------------------------------------- */

/*
 * Data bytes of a ring zone, 0 if it is none.  By the size of the file, which
 * is sealed, and not by what the zone's writer lets us read.
 */
static uint64_t
data_size(const struct zone *zone)
{
	uint64_t size;

	if (zone->size <= RING_DATA)
		return 0;
	size = zone->size - RING_DATA;
	if (size < RING_MIN || size > RING_MAX || (size & (size - 1)) != 0)
		return 0;
	return size;
}

/* Is a position a record's boundary in [from, from + size]? */
static bool
within(uint64_t pos, uint64_t from, uint64_t size)
{
	return pos % RING_ALIGN == 0 && pos - from <= size;
}

int
ring_tx_attach(struct ring_tx *tx, const struct zone *zone,
    struct own_shm *self_own, slotno self, const struct own_shm *peer_own,
    slotno peer)
{
	uint64_t size = data_size(zone), produced, consumed;

	ASSERT(self < SLOTS_MAX && peer < SLOTS_MAX);
	if (size == 0 || !zone->writable) {
		errno = EPROTO;
		return -1;
	}
	*tx = (struct ring_tx){ .size = size, .zone = *zone, .past = true };
	tx->shm = (struct ring_shm *)(void *)zone->base;
	tx->data = zone->base + RING_DATA;
	tx->consumed_shm = &peer_own->peer[self].consumed;
	tx->wants_space = &self_own->peer[peer].wants_space;
	ring_tx_unwant(tx); /* a predecessor may have died waiting */
	produced = atomic_load_explicit(&tx->shm->produced,
	    memory_order_relaxed);
	/* Acquire: the consumer's last reads; pairs with ring_rx_release(). */
	consumed = atomic_load_explicit(tx->consumed_shm,
	    memory_order_acquire);
	tx->broken = consumed % RING_ALIGN != 0;
	consumed -= consumed % RING_ALIGN;
	if (!within(produced, consumed, size)) {
		produced = consumed;
		/* Release: pairs with ring_rx_look(); covers nothing new. */
		atomic_store_explicit(&tx->shm->produced, produced,
		    memory_order_release);
	}
	tx->consumed = consumed;
	tx->head = tx->published = produced;
	return 0;
}

void
ring_tx_peer_changed(struct ring_tx *tx)
{
	uint64_t consumed;

	/* Acquire: the consumer's last reads; pairs with ring_rx_attach()
	 * and ring_rx_release(). */
	consumed = atomic_load_explicit(tx->consumed_shm,
	    memory_order_acquire);
	tx->broken = consumed % RING_ALIGN != 0 ||
	    tx->published - consumed > tx->size ||
	    tx->head - consumed > tx->size;
	if (!tx->broken)
		tx->consumed = consumed;
}

/* Load the consumer's position; false if it makes no sense. */
static bool
load_consumed(struct ring_tx *tx)
{
	uint64_t consumed;

	if (tx->broken)
		return false;
	/* Acquire: its reads are done before we overwrite; pairs with
	 * ring_rx_release(). */
	consumed = atomic_load_explicit(tx->consumed_shm,
	    memory_order_acquire);
	/* It only grows, up to what is published. */
	if (!within(consumed, tx->consumed, tx->published - tx->consumed)) {
		tx->broken = true;
		return false;
	}
	tx->consumed = consumed;
	return true;
}

/* Loads the consumer's position: are so many bytes free now? */
bool
ring_tx_look(struct ring_tx *tx, uint64_t bytes)
{
	return load_consumed(tx) &&
	    bytes <= tx->size - (tx->head - tx->consumed);
}

/* Loads the consumer's position: is the ring empty and takes so many bytes? */
bool
ring_tx_quiet(struct ring_tx *tx, uint64_t bytes)
{
	return bytes <= tx->size && load_consumed(tx) &&
	    tx->consumed == tx->head;
}

static uint64_t
room_now(const struct ring_tx *tx)
{
	uint64_t to_end = tx->size - (tx->head & (tx->size - 1));
	uint64_t room = tx->size - (tx->head - tx->consumed);

	/* In front of the end, or behind a pad at the start. */
	if (room > to_end)
		room = room - to_end > to_end ? room - to_end : to_end;
	if (room > tx->size / 2)
		room = tx->size / 2;
	return room;
}

uint32_t
ring_tx_room(struct ring_tx *tx)
{
	if (tx->broken)
		return 0;
	if (room_now(tx) < tx->size / 2 && !load_consumed(tx))
		return 0;
	return (uint32_t)room_now(tx);
}

bool
ring_tx_passed(struct ring_tx *tx, uint32_t mark)
{
	if ((int32_t)((uint32_t)(tx->consumed / 8) - mark) >= 0)
		return true;
	return !load_consumed(tx) ||
	    (int32_t)((uint32_t)(tx->consumed / 8) - mark) >= 0;
}

void
ring_tx_want(struct ring_tx *tx)
{
	uint32_t wants;

	wants = atomic_load_explicit(tx->wants_space, memory_order_relaxed);
	/* A new odd one: for the old one we may have been rung already. */
	atomic_store_explicit(tx->wants_space, (wants + 1) | 1,
	    memory_order_relaxed);
	CRASH_POINT("ring.want");
	/* Full: wants_space before the look that follows; pairs with
	 * ring_rx_release(). */
	atomic_thread_fence(memory_order_seq_cst);
}

void
ring_tx_unwant(struct ring_tx *tx)
{
	uint32_t wants;

	wants = atomic_load_explicit(tx->wants_space, memory_order_relaxed);
	/* Relaxed: seen late it costs the consumer one needless write. */
	if (wants & 1)
		atomic_store_explicit(tx->wants_space, wants + 1,
		    memory_order_relaxed);
}

bool
ring_tx_half_free(struct ring_tx *tx)
{
	return ring_tx_look(tx, tx->size / 2);
}

void
ring_tx_trim(struct ring_tx *tx)
{
	size_t quarter = (size_t)tx->size / 4;

	if (tx->trimmed == 2 || !load_consumed(tx) || tx->consumed != tx->head)
		return;
	tx->at_len = 0; /* what is reserved would be lost */
	if (tx->trimmed++ == 0) {
		/* On failure they stay ours until the next time. */
		if (tx->past)
			tx->past = zone_remove(&tx->zone, RING_DATA + quarter,
			    3 * quarter) == -1;
	} else {
		(void)zone_remove(&tx->zone, RING_DATA, quarter);
	}
}

/* ---- consumer --------------------------------------------------------- */

int
ring_rx_attach(struct ring_rx *rx, const struct zone *zone,
    struct own_shm *self_own, slotno self, const struct own_shm *peer_own,
    slotno peer)
{
	uint64_t size = data_size(zone), produced;

	ASSERT(self < SLOTS_MAX && peer < SLOTS_MAX);
	if (size == 0) {
		errno = EPROTO;
		return -1;
	}
	*rx = (struct ring_rx){ .size = size };
	rx->shm = (const struct ring_shm *)(const void *)zone->base;
	rx->data = zone->base + RING_DATA;
	rx->consumed_shm = &self_own->peer[peer].consumed;
	rx->wants_space = &peer_own->peer[self].wants_space;
	/* Acquire: pairs with ring_tx_publish(). */
	produced = atomic_load_explicit(&rx->shm->produced,
	    memory_order_acquire);
	rx->broken = produced % RING_ALIGN != 0;
	produced -= produced % RING_ALIGN;
	rx->tail = rx->released = rx->produced = produced;
	/* Release: we and our predecessor are done with all before it; pairs
	 * with load_consumed(). */
	atomic_store_explicit(rx->consumed_shm, produced,
	    memory_order_release);
	return 0;
}

void
ring_rx_peer_changed(struct ring_rx *rx)
{
	uint64_t produced;

	rx->wants_rung = 0;
	if (!rx->broken)
		return;
	/* The dead one's successor decides by the same comparison whether it
	 * goes on from produced or from consumed, see ring_tx_attach(). */
	produced = atomic_load_explicit(&rx->shm->produced,
	    memory_order_acquire); /* pairs with ring_tx_publish() */
	if (within(produced, rx->released, rx->size))
		rx->tail = produced;
	else
		rx->tail = rx->released;
	rx->produced = rx->tail;
	rx->broken = false;
	(void)ring_rx_release(rx);
}

bool
ring_rx_pending(const struct ring_rx *rx)
{
	/* Relaxed: only whether to look; ring_rx_look() carries the order. */
	return !rx->broken && atomic_load_explicit(&rx->shm->produced,
	    memory_order_relaxed) != rx->tail;
}

enum ring_status
ring_rx_look(struct ring_rx *rx, uint64_t *producedp)
{
	uint64_t produced;

	if (rx->broken)
		return RING_BROKEN;
	/* Acquire: the records' bytes; pairs with ring_tx_publish(). */
	produced = atomic_load_explicit(&rx->shm->produced,
	    memory_order_acquire);
	if (!within(produced, rx->tail, rx->size))
		return ring_rx_break(rx);
	rx->produced = produced;
	*producedp = produced;
	return produced == rx->tail ? RING_EMPTY : RING_OK;
}

bool
ring_rx_release(struct ring_rx *rx)
{
	uint32_t wants;

	if (rx->tail == rx->released)
		return false;
	CRASH_POINT("ring.release");
	rx->released = rx->tail;
	/* Release: our reads of the records; pairs with load_consumed(). */
	atomic_store_explicit(rx->consumed_shm, rx->released,
	    memory_order_release);
	CRASH_POINT("ring.released");
	/* Full: consumed before the look at wants_space; pairs with
	 * ring_tx_want(). */
	atomic_thread_fence(memory_order_seq_cst);
	wants = atomic_load_explicit(rx->wants_space, memory_order_relaxed);
	if ((wants & 1) == 0 || wants == rx->wants_rung)
		return false;
	/* A stale produced at worst rings early: who waits arms again. */
	if (rx->produced - rx->released > rx->size / 2)
		return false;
	rx->wants_rung = wants;
	return true;
}

bool
ring_rx_valid(const struct ring_rx *rx)
{
	const struct ring_rec_shm *rec;
	struct ring_rx walk = *rx; /* only reads, and moves only its own tail */
	enum ring_status status;
	uint32_t len, kind;
	uint64_t limit;

	if (walk.tail - walk.released > walk.size)
		return false;
	status = ring_rx_look(&walk, &limit);
	while (status == RING_OK)
		status = ring_rx_next(&walk, limit, &rec, &len, &kind);
	return status == RING_EMPTY;
}
