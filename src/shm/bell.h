/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bells: one eventfd per slot, edge-triggered and never read, wakes a
 * sleeping process.  `asleep` is a count in the sleeper's own zone, odd while
 * it sleeps: sleeper: make odd, full fence, look again, sleep; waker: publish,
 * full fence, ring if the count is odd and not the value rung last.
 * Why nobody is missed is explained in bell.c.
 */
#ifndef SHM_BELL_H
#define SHM_BELL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shm/own.h"

/* Waker's private handle of one sleeper's bell. */
struct bell {
	int fd; /* eventfd */
	const _Atomic uint32_t *asleep; /* in the sleeper's zone */
	uint32_t rung; /* value of asleep at which we rang last */
	uint64_t rings; /* writes made, for counters */
};

/* Master: a new eventfd, EFD_NONBLOCK|EFD_CLOEXEC, or -1 with errno. */
int bell_create(void);
/* Waker: fd is borrowed and has to outlive *b, as has the sleeper's zone. */
void bell_attach(struct bell *b, int fd, const struct own_shm *sleeper);
/*
 * After publishing.  bell_ring() has the full fence in itself; with several
 * bells call bell_fence() once and bell_ring_nofence() for each.  True if it
 * made the write, false if the sleeper is awake or was rung for this sleep.
 */
bool bell_ring(struct bell *b);
static inline void
bell_fence(void)
{
	/* Full: what was published before the looks at asleep that follow;
	 * pairs with bell_arm() in bell.c. */
	atomic_thread_fence(memory_order_seq_cst);
}
bool bell_ring_nofence(struct bell *b);
/* Rings whoever it is, asleep or not (the master after a membership change). */
void bell_ring_always(int fd);

/*
 * Sleeper: arm (a new odd count, full fence); then look at everything again;
 * then sleep (at most 1 s: any peer can read the eventfd and so steal a ring)
 * or not; disarm (even).  A new process in a slot may begin with either.
 */
void bell_arm(struct own_shm *own);
void bell_disarm(struct own_shm *own);

#endif
