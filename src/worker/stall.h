/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Publishers that are held back, because a reader that does read cannot
 * follow.  Who is held back, and for how long, client_out.c says.
 */
#ifndef WORKER_STALL_H
#define WORKER_STALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shm/slots.h"
#include "worker/client.h"

struct worker;

/* Since somebody was held back, until he is read long enough after that. */
struct client_stall {
	struct client_link link; /* LIST_STALLED */
	uint64_t until_ms; /* 0: it is over */
	uint32_t line; /* the reader's, in the scoreboard of its slot */
	uint32_t mark; /* the last record in the ring to that slot */
	slotno slot;
};

/* Longer than that at once nobody is held back. */
#define STALL_MOST_MS 100

/* Do not read from it for so long, in milliseconds on top of what is left:
 * the reader with that scoreboard line of that slot cannot follow.  At most
 * STALL_MOST_MS from now, and no longer than the reader has much pending.
 * Not at all if there is no memory to note it. */
void stall(struct worker *w, struct client *c, uint32_t ms, slotno slot,
    uint32_t line);
/* Those whose time or reason is over may be read again. */
void stall_release(struct worker *w);
/* Milliseconds until the next one may be read again, -1 = nobody waits. */
int stall_timeout(const struct worker *w);

/* Its parked input waits longer than the ring wants: others pass it. */
bool stall_holds(const struct client *c);
/* How much is read at once of one that was held back lately; or else most. */
size_t stall_read_max(const struct worker *w, struct client *c, size_t most);
/* It was read: one held back lately by a reader elsewhere waits until what
 * it sent has come there. */
void stall_after_read(struct worker *w, struct client *c);
/* It is held back no more; it is off LIST_STALLED. */
void stall_end(struct client *c);

#endif
