/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rings: one single-producer single-consumer byte ring per ordered pair of
 * worker slots.  The data and the produced position lie in the producer's
 * ring zone, the consumed position in the consumer's own zone.
 *
 * A record is contiguous, 8-byte aligned and starts with struct ring_rec_shm.
 * A pad record (made here, never shown to the consumer's caller) fills the
 * end.  Nothing becomes visible before ring_tx_publish().
 *
 * Producer: reserve, fill, commit (any number of times), publish, ring.
 * Consumer: look, next (any number of times), use, release, ring if asked to.
 */
#ifndef SHM_RING_H
#define SHM_RING_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/panic.h"
#include "shm/crash.h"
#include "shm/own.h"
#include "shm/slots.h"
#include "shm/zone.h"

#define RING_MAGIC 0x4e52494eu
#define RING_MIN ((uint64_t)64 << 10)
#define RING_MAX ((uint64_t)4 << 20)
#define RING_ALIGN 8u

/*
 * First bytes of every record; what follows belongs to the caller.
 *
 * Written by: the producer, before the record is published.
 * At every instant: between consumed and produced stand whole records, one
 * behind the other, none over the end; a pad record reaches exactly to it.
 * What lies elsewhere means nothing.
 * Publication: all of it, then the produced position.
 * Started afresh by: nobody; the next lap overwrites it.
 * Capacity: half of the ring.
 */
struct ring_rec_shm {
	uint32_t len; /* of the whole record with this header, unpadded */
	uint32_t kind; /* the caller's; RING_PAD is ours */
};
#define RING_PAD 0u

/*
 * Head of a ring zone (one page, never punched); the data follow it.
 *
 * Written by: the producer alone; size and head by the master once.  The
 * consumed position lies in the consumer's own zone (own_peer_shm).
 * At every instant: consumed <= produced <= consumed + size, both multiples
 * of 8, both only grow, over all processes that serve in the two slots.  A
 * producer that dies has published whole records or nothing: what stands
 * behind produced is unreachable.  A consumer that dies leaves consumed at
 * or before what it has used; its successor begins at produced.
 * Publication: record bytes, then produced (release), then the full fence
 * and the bell.
 * Started afresh by: ring_tx_attach() of the successor, which goes on from
 * produced, or from consumed if produced makes no sense; the master has
 * punched the data, when all consumers had drained them.
 * Capacity: size bytes; full: ring_tx_reserve() says NULL, the caller parks
 * its client and asks to be rung (ring_tx_want()).
 */
struct ring_shm {
	struct zone_head_shm head;
	uint64_t size; /* data bytes, a power of two; for people who look */
	alignas(NATSD_CACHELINE) _Atomic uint64_t produced;
};

/* For zone_create() with RING_MAGIC. */
size_t ring_shm_size(uint64_t data_bytes);
/* Master, before the first fork. */
void ring_shm_init(struct ring_shm *r, uint64_t data_bytes);
/*
 * Data bytes of each ring: ring_memory over the rings of nslots worker slots
 * (spare ones included: N + 2 slots have (N+2)(N+1) rings), rounded down to a
 * power of two within [RING_MIN, RING_MAX]; 0 if it is too little for
 * RING_MIN.  *need gets the smallest ring_memory that would do.
 */
uint64_t ring_size_for(uint64_t ring_memory, uint32_t nslots, uint64_t *need);

enum ring_status {
	RING_OK,
	RING_EMPTY,
	RING_BROKEN /* the other side's position or a record makes no sense */
};

/* ---- producer --------------------------------------------------------- */

struct ring_tx {
	uint8_t *data;
	uint64_t size;
	uint64_t head; /* private: up to here committed */
	uint64_t consumed; /* private copy of the consumer's */
	uint64_t at; /* where the reserved record stands */
	uint32_t at_len; /* its length, 0 = none is reserved */
	bool broken; /* the consumer's position made no sense */
	bool past; /* pages behind the first quarter were touched */
	uint8_t trimmed; /* calls of ring_tx_trim() since the last commit */
	uint64_t published; /* last value stored */
	struct ring_shm *shm;
	const _Atomic uint64_t *consumed_shm;
	_Atomic uint32_t *wants_space; /* in our own zone */
	struct zone zone; /* for giving idle pages back */
};

/*
 * `zone`: the ring zone from slot `self` to slot `peer`, mapped for writing;
 * peer_own: the consumer's own zone, self_own: ours.  All are kept.  Produces
 * on from the produced position if it lies in [consumed, consumed + size],
 * else from consumed.  0, or -1 with EPROTO if the zone is no ring.
 */
int ring_tx_attach(struct ring_tx *tx, const struct zone *zone,
    struct own_shm *self_own, slotno self, const struct own_shm *peer_own,
    slotno peer);
/*
 * A new process serves in the consumer's slot (call it when that slot is live:
 * the new one has set its position by then): forget the private copy, and
 * that the old one was broken.
 */
void ring_tx_peer_changed(struct ring_tx *tx);
/* Slow parts of the inline functions below. */
bool ring_tx_look(struct ring_tx *tx, uint64_t bytes);
bool ring_tx_quiet(struct ring_tx *tx, uint64_t bytes);

/* Largest record this ring ever takes in one piece: half of it. */
static inline uint32_t
ring_tx_max(const struct ring_tx *tx)
{
	return (uint32_t)(tx->size / 2);
}

static inline uint64_t
ring_align(uint64_t len)
{
	return (len + RING_ALIGN - 1) & ~(uint64_t)(RING_ALIGN - 1);
}

/*
 * Would a record of len bytes fit now (pad included)?  Loads the consumer's
 * position only if the private copy says no.  Never while broken, nor for a
 * len beyond ring_tx_max() or below a header; always in an empty ring.
 */
static inline bool
ring_tx_fits(struct ring_tx *tx, uint32_t len)
{
	uint64_t bytes = ring_align(len);
	uint64_t to_end = tx->size - (tx->head & (tx->size - 1));

	if (len < sizeof(struct ring_rec_shm) || len > tx->size / 2)
		return false;
	if (bytes > to_end)
		bytes += to_end;
	if (bytes <= tx->size - (tx->head - tx->consumed) && !tx->broken)
		return true;
	return ring_tx_look(tx, bytes);
}

/* Where the ring stands, for ring_tx_passed() within the next 16 GiB. */
static inline uint32_t
ring_tx_mark(const struct ring_tx *tx)
{
	return (uint32_t)(tx->head / 8);
}

/* Has the consumer taken all that stood before that mark? */
bool ring_tx_passed(struct ring_tx *tx, uint32_t mark);

/* Longest record that fits now, 0 if none does. */
uint32_t ring_tx_room(struct ring_tx *tx);

/*
 * Room for a record of len bytes, or NULL if it does not fit.  The caller
 * fills it, header too, and commits; a reservation that is not committed is
 * forgotten by the next one.
 */
static inline struct ring_rec_shm *
ring_tx_reserve(struct ring_tx *tx, uint32_t len)
{
	uint64_t idx = tx->head & (tx->size - 1);
	uint64_t bytes = ring_align(len), to_end = tx->size - idx;
	struct ring_rec_shm *pad;

	tx->at_len = 0;
	if (!ring_tx_fits(tx, len))
		return NULL;
	tx->at = tx->head;
	tx->at_len = len;
	/* A quiet ring starts again instead of touching one more page. */
	if (bytes > to_end || (idx >= tx->size / 4 &&
	    (idx ^ (idx + bytes)) / ZONE_PAGE != 0 &&
	    ring_tx_quiet(tx, to_end + bytes))) {
		pad = (struct ring_rec_shm *)(void *)(tx->data + idx);
		pad->len = (uint32_t)to_end;
		pad->kind = RING_PAD;
		CRASH_POINT("ring.pad");
		tx->at += to_end;
	}
	return (struct ring_rec_shm *)(void *)(tx->data +
	    (tx->at & (tx->size - 1)));
}

/*
 * The record reserved last is complete, with len bytes (as reserved, or less;
 * its kind is set and not RING_PAD); it is published with the next ones.
 */
static inline void
ring_tx_commit(struct ring_tx *tx, uint32_t len)
{
	uint64_t idx = tx->at & (tx->size - 1);
	struct ring_rec_shm *rec;

	ASSERT(len >= sizeof(struct ring_rec_shm) && len <= tx->at_len);
	rec = (struct ring_rec_shm *)(void *)(tx->data + idx);
	ASSERT(rec->kind != RING_PAD);
	rec->len = len;
	CRASH_POINT("ring.commit");
	tx->head = tx->at + ring_align(len);
	tx->at_len = 0;
	tx->trimmed = 0;
	if (idx + len > tx->size / 4)
		tx->past = true;
}

/*
 * Make all that was committed visible; true if there was anything: then the
 * consumer's bell is to be rung.  Nobody sleeps with something unpublished.
 */
static inline bool
ring_tx_publish(struct ring_tx *tx)
{
	if (tx->head == tx->published)
		return false;
	tx->published = tx->head;
	CRASH_POINT("ring.publish");
	/* Release: the records' bytes; pairs with ring_rx_look() in ring.c. */
	atomic_store_explicit(&tx->shm->produced, tx->published,
	    memory_order_release);
	CRASH_POINT("ring.published");
	return true;
}

/*
 * Space protocol: publish, arm (a new odd wants_space, full fence), then look
 * again with ring_tx_fits() for the very record that waits, then sleep; the
 * consumer rings when half of the ring is free.  Half free does not mean that
 * a large record fits (the end may be in its way): who is rung and finds that
 * it does not arms again, and will be rung again, at last when the ring is
 * empty, where every record fits.  Disarm when served.
 */
void ring_tx_want(struct ring_tx *tx);
void ring_tx_unwant(struct ring_tx *tx);
/* Loads the consumer's position; false while broken. */
bool ring_tx_half_free(struct ring_tx *tx);
/*
 * For a timer.  If nothing is in flight: the first call after a commit gives
 * all pages of the data but the first quarter back, the second, with nothing
 * committed since, that quarter too; further ones cost nothing.
 */
void ring_tx_trim(struct ring_tx *tx);

/* ---- consumer --------------------------------------------------------- */

struct ring_rx {
	const uint8_t *data;
	uint64_t size;
	uint64_t tail; /* private: up to here read */
	bool broken; /* the producer's position or a record made no sense */
	uint32_t wants_rung; /* value at which we rang last */
	uint64_t released; /* last value stored */
	uint64_t produced; /* private copy of the producer's, checked */
	const struct ring_shm *shm;
	_Atomic uint64_t *consumed_shm; /* in our own zone */
	const _Atomic uint32_t *wants_space; /* in the producer's own zone */
};

/*
 * `zone`: the ring zone from slot `peer` to slot `self`, mapped for reading;
 * peer_own: the producer's own zone, self_own: ours.  Starts at the produced
 * position: what lies before was our predecessor's.  Before the slot is live.
 * 0, or -1 with EPROTO if the zone is no ring.
 */
int ring_rx_attach(struct ring_rx *rx, const struct zone *zone,
    struct own_shm *self_own, slotno self, const struct own_shm *peer_own,
    slotno peer);
/*
 * The process in the producer's slot is gone: call it when its live bit is
 * gone, after the last drain of what it had published; at the latest for a
 * new incarnation.  Forgets that the ring was broken, and then skips what
 * stands in it.  Harmless if called twice.
 */
void ring_rx_peer_changed(struct ring_rx *rx);
/*
 * Anything there, or anything wrong (look at it)?  Loads the producer's
 * position; false while broken.
 */
bool ring_rx_pending(const struct ring_rx *rx);
/*
 * Position up to which the producer has published (validated, cached).
 * RING_OK, RING_EMPTY (nothing beyond what was read; *produced is set too) or
 * RING_BROKEN.
 */
enum ring_status ring_rx_look(struct ring_rx *rx, uint64_t *produced);

/* Marks the ring broken; always RING_BROKEN. */
static inline enum ring_status
ring_rx_break(struct ring_rx *rx)
{
	rx->broken = true;
	return RING_BROKEN;
}

/*
 * Next record before `limit` (a position from ring_rx_look()).  RING_OK:
 * *rec, *len and *kind (read once, checked: aligned, at least the header,
 * inside what is published, not over the end, at most half of the ring).  The
 * record is foreign memory: every word is read once into a local, checked,
 * then used.  It stays readable until ring_rx_release().
 */
static inline enum ring_status
ring_rx_next(struct ring_rx *rx, uint64_t limit,
    const struct ring_rec_shm **recp, uint32_t *lenp, uint32_t *kindp)
{
	const struct ring_rec_shm *rec;
	uint64_t avail, to_end, bytes;
	uint32_t len, kind;

	for (;;) { /* twice at most: a pad ends where the ring ends */
		if (rx->broken)
			return RING_BROKEN;
		avail = limit - rx->tail;
		if (avail == 0 || avail > rx->produced - rx->tail)
			return RING_EMPTY;
		to_end = rx->size - (rx->tail & (rx->size - 1));
		rec = (const struct ring_rec_shm *)(const void *)(rx->data +
		    (rx->tail & (rx->size - 1)));
		len = __atomic_load_n(&rec->len, __ATOMIC_RELAXED);
		kind = __atomic_load_n(&rec->kind, __ATOMIC_RELAXED);
		bytes = ring_align(len);
		if (len < sizeof *rec || bytes > avail || bytes > to_end)
			return ring_rx_break(rx);
		if (kind != RING_PAD)
			break;
		if (bytes != to_end)
			return ring_rx_break(rx);
		rx->tail += bytes;
	}
	if (len > rx->size / 2)
		return ring_rx_break(rx);
	rx->tail += bytes;
	*recp = rec;
	*lenp = len;
	*kindp = kind;
	return RING_OK;
}

/*
 * Give the space of all that was read back to the producer.  True if the
 * producer wants to be rung (its wants_space is odd, not rung yet, and half
 * of the ring is free now).
 */
bool ring_rx_release(struct ring_rx *rx);
/* Self-check, for tests and who doubts: everything published is well formed. */
bool ring_rx_valid(const struct ring_rx *rx);

#endif
