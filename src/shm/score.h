/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The scoreboard: in each own zone one line for the process and one per
 * connection; plain (relaxed) stores by the owner, read by anybody at no cost
 * to the owner.
 */
#ifndef SHM_SCORE_H
#define SHM_SCORE_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>

#include "shm/own.h"
#include "shm/zone.h"

/* Bytes kept of a client's texts, the NUL included. */
#define SCORE_NAME 40
#define SCORE_LANG 12
#define SCORE_VERSION 16
/* Lines of connections lie at multiples of this: there are many of them, and
 * their one writer has nobody to share a pair of cache lines with. */
#define SCORE_ALIGN 64

/*
 * The process' line.
 *
 * Written by: the zone's process alone, relaxed; never reset by it.
 * At every instant: every word stands for itself; two of them may
 * disagree by what is under way.  If the process dies they stay as they are
 * until the master punches the zone behind its head.  All only grow, except
 * connections, subscriptions, index_cells and memory.
 * Publication: none, a reader gets recent values.
 * Started afresh by: the master (zeros).
 * Capacity: one; 64-bit counts do not wrap.
 */
struct score_proc_shm {
	alignas(NATSD_CACHELINE) _Atomic uint64_t connections;
	_Atomic uint64_t total_connections;
	_Atomic uint64_t subscriptions;
	_Atomic uint64_t in_msgs;
	_Atomic uint64_t in_bytes;
	_Atomic uint64_t out_msgs;
	_Atomic uint64_t out_bytes;
	_Atomic uint64_t slow_consumers;
	_Atomic uint64_t stale_connections;
	_Atomic uint64_t stalled_clients;
	_Atomic uint64_t ring_full_waits;
	_Atomic uint64_t ring_msgs_out;
	_Atomic uint64_t ring_msgs_in;
	_Atomic uint64_t drain_drops; /* pass-on, refused, stall dropped */
	_Atomic uint64_t index_cells;
	_Atomic uint64_t memory; /* private bytes counted against memory_max */
	_Atomic uint64_t auth_errors;
	_Atomic uint64_t dropped_msgs; /* sums of the connections' */
	_Atomic uint64_t dropped_bytes;
	/* Id of the client that is read or flushed right now, 0 = none: the
	 * one value that is no count.  After a death it says whom the process
	 * served. */
	_Atomic uint64_t serving;
};

enum score_conn_state { SCORE_FREE = 0, SCORE_OPEN = 1 };

/*
 * One connection's line.
 *
 * Written by: the zone's process alone.
 * At every instant: a line whose state is OPEN belongs to the connection
 * `cid`; texts and address are constant while it is OPEN, so that a reader
 * who finds OPEN and the same cid before and after copying (acquire load,
 * copy, acquire fence, look again) has a whole line.  Texts end in a NUL,
 * which a careful reader does not rely on.
 * Publication: all fields, then state OPEN (release).
 * Started afresh by: score_conn_close() and score_conn_clear() for the next
 * connection, the master (zeros) for the next process.
 * Capacity: nlines per own zone; none free: `maximum connections exceeded`.
 */
struct score_conn_shm {
	alignas(SCORE_ALIGN) _Atomic uint32_t state;
	_Atomic uint32_t subscriptions;
	_Atomic uint64_t cid;
	_Atomic uint64_t start_ns; /* CLOCK_REALTIME */
	_Atomic uint64_t last_ms; /* last activity, CLOCK_MONOTONIC */
	_Atomic uint64_t rtt_ns;
	_Atomic uint64_t in_msgs, in_bytes, out_msgs, out_bytes;
	/* Unsent output, after each write.  Other workers read it to end the
	 * stall of a publisher: too much or a line that is another's by now
	 * only makes him wait, for a second at most. */
	_Atomic uint64_t pending_bytes;
	_Atomic uint64_t stalls;
	/* Messages that slow_consumer or no_fast_producer_stall have kept from
	 * it, and their bytes as out_bytes has them.  What drop_oldest throws
	 * away is counted in out_msgs too: it was queued. */
	_Atomic uint64_t dropped_msgs, dropped_bytes;
	uint8_t addr[16]; /* peer, IPv4-mapped or IPv6; zeros for Unix */
	_Atomic uint16_t port;
	_Atomic uint16_t transport; /* 0 TCP, 1 Unix */
	char name[SCORE_NAME];
	char lang[SCORE_LANG];
	char version[SCORE_VERSION];
};

/* Bytes that the scoreboard takes behind the head of an own zone. */
size_t score_shm_size(uint32_t nlines);
/* The lines of a mapped own zone (written only through a writable mapping);
 * score_conn() is NULL for a line beyond the zone. */
struct score_proc_shm *score_proc(const struct zone *own);
struct score_conn_shm *score_conn(const struct zone *own, uint32_t line);

/* Owner: zero a line that is FREE; then fill it; then show it; hide it. */
void score_conn_clear(struct score_conn_shm *conn);
void score_conn_open(struct score_conn_shm *conn);
void score_conn_close(struct score_conn_shm *conn);
/* Owner: store a text, cut to size - 1 bytes between UTF-8 sequences, the
 * rest zeros.  Not escaped: whoever shows it does that. */
void score_text(char *dst, size_t size, const void *src, size_t len);

/* An enum score_conn_state. */
static inline uint32_t
score_conn_state(const struct score_conn_shm *conn)
{
	/* Pairs with score_conn_open() in score.c. */
	return atomic_load_explicit(&conn->state, memory_order_acquire);
}

static inline void
score_add(_Atomic uint64_t *c, uint64_t n)
{
	/* One writer: a load and a store, not a locked add. */
	atomic_store_explicit(c, atomic_load_explicit(c,
	    memory_order_relaxed) + n, memory_order_relaxed);
}
static inline void
score_sub(_Atomic uint64_t *c, uint64_t n)
{
	atomic_store_explicit(c, atomic_load_explicit(c,
	    memory_order_relaxed) - n, memory_order_relaxed);
}
static inline uint64_t
score_get(const _Atomic uint64_t *c)
{
	return atomic_load_explicit(c, memory_order_relaxed);
}

#endif
