/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What stands in a ring.  Every record starts with struct ring_rec_shm
 * (length and kind) and the target's incarnation: a successor in the target's
 * slot skips what was meant for its predecessor.  Written by the producer
 * before it publishes, constant afterwards; the receiver treats it as a
 * packet: every word is read once, checked, then used.
 */
#ifndef WORKER_RECORD_H
#define WORKER_RECORD_H

#include <assert.h>
#include <stdint.h>

#include "shm/ring.h"

enum record_kind { /* 0 is RING_PAD */
	RECORD_MSG = 1,
	RECORD_FRAGMENT, /* a piece of a RECORD_MSG too large for the ring */
	RECORD_REFUSED, /* nobody here took a message that asks for a 503 */
	RECORD_QUESTION, /* barrier: answer when all before it was drained */
	RECORD_ANSWER,
	RECORD_STALL /* hold this publisher back */
};

/* At most so many references travel with a message; else none. */
#define RECORD_REFS_MAX 16

enum record_flag {
	RECORD_F_PLAIN = 1, /* for the plain subscribers */
	RECORD_F_REFS = 2, /* references are given, else match anew */
	RECORD_F_ECHO = 4, /* the publisher may get its own */
	RECORD_F_ASK = 8 /* send RECORD_REFUSED if nobody takes it */
};

/* struct rec_msg_shm, then nplain references, then ngroups groups (struct
 * rec_group_shm, name, padded to 8, references), subject, reply, then count
 * bodies of size + 2 bytes. */
struct rec_msg_shm {
	struct ring_rec_shm head;
	uint32_t target; /* incarnation meant */
	uint32_t count;
	uint32_t account;
	uint8_t flags;
	uint8_t origin_slot;
	uint8_t nplain;
	uint8_t pad;
	uint32_t origin_incarnation;
	uint32_t origin_line;
	uint32_t origin_num;
	uint32_t ticket;
	uint32_t nslots; /* slots that a message with a ticket went to */
	uint32_t ngroups;
	uint32_t hdr_size;
	uint32_t size;
	uint32_t subject_len;
	uint32_t reply_len;
	uint64_t tried; /* slots that passed its group on */
};
static_assert(sizeof(struct rec_msg_shm) == 72, "record layout");

struct rec_ref_shm {
	uint32_t cell;
	uint32_t serial;
};

struct rec_group_shm {
	uint32_t namelen;
	uint32_t nrefs;
};

struct rec_fragment_shm {
	struct ring_rec_shm head;
	uint32_t target;
	uint32_t total; /* of the whole RECORD_MSG */
	uint32_t offset; /* of this piece in it */
	uint32_t len; /* bytes that follow */
};

struct rec_refused_shm {
	struct ring_rec_shm head;
	uint32_t target;
	uint32_t origin_line;
	uint32_t origin_num;
	uint32_t ticket;
	uint32_t nslots;
	uint32_t subject_len;
	uint32_t reply_len;
	uint32_t pad;
};

struct rec_barrier_shm { /* question and answer */
	struct ring_rec_shm head;
	uint32_t target;
	uint32_t pad;
	uint64_t number;
};

/* By whose reader the origin is held back: that line of the sender's
 * scoreboard is looked at, whatever it is (score_conn() knows its bounds). */
struct rec_stall_shm {
	struct ring_rec_shm head;
	uint32_t target;
	uint32_t origin_line;
	uint32_t origin_num;
	uint32_t stall_ms;
	uint32_t reader_line;
	uint32_t pad;
};

#endif
