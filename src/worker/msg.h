/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A message on its way through a worker, and the two small interfaces at its
 * ends: whoever publishes states an origin, whoever subscribes is a
 * subscriber.  A client connection is one kind of each.
 */
#ifndef WORKER_MSG_H
#define WORKER_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/parse.h"
#include "shm/slots.h"

struct worker;
struct sub;

/* The only account there is; each one has an index root of its own. */
#define ACCOUNT_DEFAULT 1u

/* Who published: slot, its incarnation, and the publisher there. */
struct msg_origin {
	slotno slot;
	bool echo; /* false: never back to the publisher itself */
	bool ask; /* wants a 503 if nobody takes it */
	uint32_t incarnation;
	uint32_t line; /* the publisher's place in that worker's tables */
	uint32_t num; /* and its number, which is never used again */
	uint32_t ticket; /* numbers the asking messages of a publisher */
};

/*
 * A run of `count` messages with the same subject, reply and sizes.  Message
 * i is at body + i * stride: size bytes (headers first), then CR LF.  Memory
 * is borrowed; up to 64 bytes behind each message may be read if they lie
 * before `safe`.
 */
struct msg {
	uint32_t account;
	uint32_t count;
	struct slice subject;
	struct slice reply;
	uint32_t hdr_size;
	uint32_t size; /* with the headers, without CR LF */
	const uint8_t *body;
	size_t stride;
	const uint8_t *safe;
	struct msg_origin from;
	/* result: readers ask to hold its publisher back; the one that has most
	 * pending, and how much */
	uint32_t stall_ms;
	uint32_t stall_line;
	uint64_t stall_bytes;
};

/* Of a part of it. */
static inline void
msg_take_stall(struct msg *m, const struct msg *part)
{
	m->stall_ms = part->stall_ms;
	m->stall_line = part->stall_line;
	m->stall_bytes = part->stall_bytes;
}

struct subscriber;

struct subscriber_ops {
	/* Would this subscription take a message from that origin now? */
	bool (*accepts)(const struct worker *w, const struct subscriber *who,
	    const struct sub *s, const struct msg *m);
	/* All of the run, however much is pending for it? */
	bool (*fits)(const struct worker *w, const struct subscriber *who,
	    const struct sub *s, const struct msg *m);
	/* A message of a group went to nobody.  True: for it is too slow to
	 * take it; that is counted then. */
	bool (*dropped)(struct worker *w, struct subscriber *who,
	    const struct sub *s, const struct msg *m);
	/* Messages first .. first + n - 1 of the run; the number taken. */
	uint32_t (*deliver)(struct worker *w, struct subscriber *who,
	    const struct sub *s, struct msg *m, uint32_t first, uint32_t n);
	/* A subscription has reached its max: remove it. */
	void (*finished)(struct worker *w, struct subscriber *who, uint32_t n);
};

struct subscriber {
	const struct subscriber_ops *ops;
	uint32_t mark; /* deliver.c, deal.c: seen in this run */
};

#endif
