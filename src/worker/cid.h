/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A client's id: no other client of the daemon ever has it.  Each worker
 * counts its own; no word is shared for it.
 *
 * Readers of JSON keep no more than 53 bits, and those in Java take an int: a
 * larger number is 0 for them.  So the clients of the first 63 processes have
 * ids below 2^31, up to the 16 millionth of each, and all have ids below
 * 2^53.  The last bit tells the two kinds apart.
 */
#ifndef WORKER_CID_H
#define WORKER_CID_H

#include <stdint.h>

#define CID_EARLY 64
#define CID_LATE_BITS 20

/* Of the client with that number, from 1, in that incarnation's process. */
static inline uint64_t
cid_make(uint32_t incarnation, uint32_t num)
{
	const uint32_t mask = (UINT32_C(1) << CID_LATE_BITS) - 1;

	if (incarnation < CID_EARLY)
		return ((uint64_t)num * CID_EARLY | incarnation) << 1;
	return ((uint64_t)num << CID_LATE_BITS | (incarnation & mask)) << 1 |
	    1;
}

#endif
