/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Queued messages that are thrown away, the oldest first.
 */
#ifndef WORKER_DROP_H
#define WORKER_DROP_H

#include <stddef.h>
#include <stdint.h>

struct out;
struct out_pool;

struct drop_sum {
	uint64_t msgs;
	uint64_t bytes; /* headers and payload */
};

/*
 * Throw messages away from the front of what is queued, until at least `want`
 * bytes have gone or there is none left; adds them to *sum and returns the
 * number of bytes that went.  The one that is partly sent stays, and so does
 * whatever is no message (PONG, +OK, -ERR, INFO, PING), in its order.  Without
 * memory it ends early; what is queued is sound all the same.
 */
size_t drop_oldest(struct out_pool *pool, struct out *out, size_t want,
    struct drop_sum *sum);

#endif
