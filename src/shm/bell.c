/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rings and arms bells; in every child, and the master rings all of them
 * after a membership change.
 *
 * Why nobody is missed: both sides store, make a full fence, and look.
 *
 *	sleeper				waker
 *	asleep = odd			produced = pos
 *	full fence			full fence
 *	look at produced		look at asleep
 *
 * Of the two fences one comes first in the single order that all full fences
 * have, so at least one of them sees what the other has stored: either the
 * sleeper finds the record and does not sleep, or the waker finds the count
 * odd and rings.  The eventfd remembers a ring that comes between the look
 * and epoll_wait().  tests/model/bell.pml checks it.
 *
 * The waker keeps the value of the count at which it rang last and rings only
 * once for each: until the sleeper has run there is nothing to add.
 */
#include <config.h>

#include <sys/eventfd.h>

#include <errno.h>
#include <unistd.h>

#include "shm/bell.h"

#include "shm/crash.h"

int
bell_create(void)
{
	return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

void
bell_attach(struct bell *b, int fd, const struct own_shm *sleeper)
{
	b->fd = fd;
	b->asleep = &sleeper->asleep;
	b->rung = 0; /* even: no count of a sleeper */
	b->rings = 0;
}

void
bell_ring_always(int fd)
{
	uint64_t one = 1, old;

	/*
	 * Nobody reads it, so its counter would need centuries to fill, unless
	 * somebody writes large numbers on purpose: a full one makes no edge.
	 */
	if (write(fd, &one, sizeof one) == -1 && errno == EAGAIN) {
		if (read(fd, &old, sizeof old) == -1)
			return;
		(void)!write(fd, &one, sizeof one);
	}
}

bool
bell_ring_nofence(struct bell *b)
{
	uint32_t asleep;

	/* Relaxed: the full fence before it carries the order. */
	asleep = atomic_load_explicit(b->asleep, memory_order_relaxed);
	if ((asleep & 1) == 0 || asleep == b->rung)
		return false;
	CRASH_POINT("bell.ring");
	b->rung = asleep;
	b->rings++;
	bell_ring_always(b->fd);
	return true;
}

bool
bell_ring(struct bell *b)
{
	bell_fence(); /* pairs with bell_arm() */
	return bell_ring_nofence(b);
}

void
bell_arm(struct own_shm *own)
{
	uint32_t asleep;

	asleep = atomic_load_explicit(&own->asleep, memory_order_relaxed);
	/* The next odd one, a new one even if a predecessor died asleep:
	 * for the old one everybody may have rung already. */
	atomic_store_explicit(&own->asleep, (asleep + 1) | 1,
	    memory_order_relaxed);
	CRASH_POINT("bell.arm");
	/* Full: the count before the looks that follow; pairs with
	 * bell_ring() and with bell_fence() before bell_ring_nofence(). */
	atomic_thread_fence(memory_order_seq_cst);
}

void
bell_disarm(struct own_shm *own)
{
	uint32_t asleep;

	asleep = atomic_load_explicit(&own->asleep, memory_order_relaxed);
	/* Relaxed: seen late it costs somebody one needless write. */
	if (asleep & 1)
		atomic_store_explicit(&own->asleep, asleep + 1,
		    memory_order_relaxed);
}
