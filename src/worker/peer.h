/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The other workers: rings to and from them, bells, barriers, and what a
 * drain has to send.
 */
#ifndef WORKER_PEER_H
#define WORKER_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "shm/bell.h"
#include "shm/ring.h"
#include "worker/msg.h"
#include "worker/record.h"

struct worker;
struct bigmsg;
struct heritage;

/* Something that a peer owes us: since when there was no progress. */
struct peer_owes {
	uint64_t since_ms; /* 0: it owes nothing */
	uint64_t mark; /* how far it was */
	uint64_t quiescence; /* its counter at our last look */
	uint32_t laps; /* looks between which it has worked */
};

struct peer {
	slotno slot;
	bool attached; /* both rings are mapped */
	/* In this drain: how long that publisher is to be held back. */
	struct msg_origin stall_to;
	uint32_t stall_ms; /* 0 = not at all */
	uint32_t stall_said_ms; /* what he was told already */
	uint32_t stall_line; /* by whom */
	bool broken; /* its zones made no sense: ignored until it changes */
	const char *broken_how;
	uint32_t incarnation; /* of the process we talk to, 0 = none */
	struct ring_tx tx;
	struct ring_rx rx;
	struct bell bell;
	uint32_t need; /* length of the record that found no room last */
	/* What a drain had to send and found no room for: records, ahead of
	 * the publishers'. */
	struct buf outbox;
	/* Barriers, as growing numbers. */
	uint64_t asked; /* last question wanted */
	uint64_t asked_sent; /* last one written */
	uint64_t answered; /* last answer received */
	uint64_t answer; /* last question received */
	uint64_t answer_sent;
	/* The one oversized message on its way there, and from there. */
	struct bigmsg *big;
	struct buf assembly;
	uint32_t assembly_total;
	/* That it takes what is in the ring, and answers barriers. */
	struct peer_owes room, reply;
};

int peer_attach(struct worker *w, const struct heritage *h);
void peer_fini(struct worker *w);

/* match_look(), and if membership has changed since the last call: who is
 * new, who is gone. */
void peer_look(struct worker *w);
/* May a publisher that waited for this ring try again?  (Half of it is free,
 * nothing else is ahead, or the slot is gone.) */
bool peer_ready(struct worker *w, slotno slot);

/* Drain every incoming ring up to where it stands now. */
void peer_drain(struct worker *w);
/* Is anything waiting in an incoming ring?  (Between arming and sleeping.) */
bool peer_pending(struct worker *w);
/* Send what waits: outboxes, barriers, pieces of oversized messages. */
void peer_pump(struct worker *w);
/* Make what was committed visible and wake the sleepers. */
void peer_publish(struct worker *w);

/* Ask all of `slots` for a barrier; numbers are kept per peer: the barrier
 * is back when peer_answered() says so. */
void peer_ask(struct worker *w, uint64_t slots, uint64_t number[SLOTS_MAX]);

/* A drain's own records: into the ring, else into the outbox, else dropped
 * and counted. */
void peer_send_refused(struct worker *w, const struct msg *m,
    uint32_t nslots);
/* Hold the publisher of m back, as m->stall_ms says.  What short times add up
 * to is sent when the drain is over, longer ones at once. */
void peer_stall(struct worker *w, slotno from, const struct msg *m);
/* A whole record, its target filled in already; false: dropped. */
bool peer_send(struct worker *w, slotno slot, const void *rec, uint32_t len);
/* Does a barrier's answer stand out?  Number as peer_ask() gave it. */
bool peer_answered(const struct worker *w, slotno slot, uint64_t number);
/* State whom we wait for: full rings, and slots that hold back retired cells
 * of our trie. */
void peer_say_waits(struct worker *w, uint64_t holders);
/* Before sleeping: ask for space where somebody waits for it; true if there
 * is some already for what waits in peer_pump(). */
bool peer_want_space(struct worker *w);
/* The peer's zones make no sense. */
void peer_broken(struct worker *w, slotno slot, const char *what);
/* The master does not find it guilty: begin anew with it. */
void peer_forgive(struct worker *w, uint64_t whom);
/* Once in a while: is there one that works, and does not take or answer what
 * we have sent?  Then it is broken. */
void peer_watch(struct worker *w);

#endif
