/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages larger than half a ring travel in pieces of a quarter.  One such
 * message at a time per ring; it is whole here before its first piece leaves
 * and takes its turn in all its rings or in none.  The receiver gives nothing
 * to anybody before the last piece has come.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "shm/crash.h"
#include "worker/worker_priv.h"

#define BIT(slot) (UINT64_C(1) << (slot))

struct big_part {
	uint8_t *head; /* the record without the body */
	uint32_t head_len;
	uint32_t sent; /* of head and body */
};

struct bigmsg {
	struct client *c; /* its input waits; NULL: it is gone */
	void *memory; /* counts in w->mem_in */
	uint32_t memory_len;
	const uint8_t *body; /* in memory */
	uint32_t body_len;
	uint64_t targets; /* not yet served */
	struct big_part part[SLOTS_MAX];
};

struct bigmsg *
big_new(struct worker *w, struct client *c, const uint8_t *body, uint32_t len)
{
	struct bigmsg *b;

	if ((b = calloc(1, sizeof *b)) == NULL)
		return NULL;
	b->c = c;
	b->body_len = len;
	if (c->big != NULL && body >= c->big->data &&
	    body < c->big->data + c->big->cap) {
		/* What it was read into goes along, and stays counted. */
		b->memory = c->big;
		b->memory_len = c->big->cap;
		b->body = body;
		c->big = NULL;
		return b;
	}
	if ((b->memory = malloc(len)) == NULL) {
		free(b);
		return NULL;
	}
	memcpy(b->memory, body, len);
	b->memory_len = len;
	b->body = b->memory;
	w->mem_in += len;
	return b;
}

void
big_free(struct worker *w, struct bigmsg **bp)
{
	struct bigmsg *b = *bp;
	uint32_t i;

	if (b == NULL)
		return;
	*bp = NULL;
	for (i = 0; i < SLOTS_MAX; i++) {
		free(b->part[i].head);
		if (w->peer[i].big == b)
			w->peer[i].big = NULL;
	}
	w->mem_in -= b->memory_len;
	w->pool.freed += b->memory_len;
	if (b->c != NULL && b->c->bigmsg == b)
		b->c->bigmsg = NULL;
	free(b->memory);
	free(b);
}

void
big_target(struct bigmsg *b, slotno slot, uint8_t *head, uint32_t head_len)
{
	b->part[slot].head = head;
	b->part[slot].head_len = head_len;
	b->targets |= BIT(slot);
}

void
big_no_ask(struct bigmsg *b)
{
	struct rec_msg_shm r;
	uint64_t set;
	slotno s;

	for (set = b->targets; set != 0; set &= set - 1) {
		s = (slotno)__builtin_ctzll(set);
		memcpy(&r, b->part[s].head, sizeof r);
		r.flags &= (uint8_t)~RECORD_F_ASK;
		memcpy(b->part[s].head, &r, sizeof r);
	}
}

void
big_start(struct worker *w, struct bigmsg *b)
{
	uint64_t set;
	slotno s;

	for (set = b->targets; set != 0; set &= set - 1) {
		s = (slotno)__builtin_ctzll(set);
		w->peer[s].big = b;
		w->pump |= BIT(s);
		score_add(&w->score->ring_msgs_out, 1);
	}
}

/* One target is served or gone; the last one frees the message. */
static void
target_done(struct worker *w, struct bigmsg *b, slotno slot)
{
	w->peer[slot].big = NULL;
	b->targets &= ~BIT(slot);
	if (b->targets == 0)
		big_free(w, &b);
}

/* Copy bytes off .. off + len of head and body. */
static void
copy_piece(const struct bigmsg *b, const struct big_part *p, uint32_t off,
    uint32_t len, uint8_t *dst)
{
	uint32_t n;

	if (off < p->head_len) {
		n = p->head_len - off < len ? p->head_len - off : len;
		memcpy(dst, p->head + off, n);
		dst += n;
		off += n;
		len -= n;
	}
	if (len > 0)
		memcpy(dst, b->body + (off - p->head_len), len);
}

void
big_pump(struct worker *w, slotno slot)
{
	struct peer *peer = &w->peer[slot];
	struct bigmsg *b = peer->big;
	struct big_part *p = &b->part[slot];
	uint32_t total = p->head_len + b->body_len, most, n;
	struct rec_fragment_shm f;
	uint8_t *rec;

	most = (uint32_t)(peer->tx.size / 4 - sizeof f);
	while (p->sent < total) {
		n = total - p->sent < most ? total - p->sent : most;
		rec = (uint8_t *)ring_tx_reserve(&peer->tx,
		    (uint32_t)sizeof f + n);
		if (rec == NULL) {
			peer->need = (uint32_t)sizeof f + n;
			return;
		}
		f.head.len = (uint32_t)sizeof f + n;
		f.head.kind = RECORD_FRAGMENT;
		f.target = peer->incarnation;
		f.total = total;
		f.offset = p->sent;
		f.len = n;
		memcpy(rec, &f, sizeof f);
		copy_piece(b, p, p->sent, n, rec + sizeof f);
		ring_tx_commit(&peer->tx, (uint32_t)sizeof f + n);
		w->dirty |= BIT(slot);
		p->sent += n;
		CRASH_POINT("big.fragment");
	}
	target_done(w, b, slot);
}

void
big_target_gone(struct worker *w, slotno slot)
{
	if (w->peer[slot].big != NULL)
		target_done(w, w->peer[slot].big, slot);
}

void
big_client_gone(struct bigmsg *b)
{
	/* The message was accepted: it goes on its way without him. */
	b->c = NULL;
}

int
big_receive(struct worker *w, slotno from, const uint8_t *rec, uint32_t len)
{
	struct peer *p = &w->peer[from];
	struct rec_fragment_shm f;
	struct buf whole;
	int r;

	if (len < sizeof f)
		return -1;
	memcpy(&f, rec, sizeof f);
	if (f.len != len - sizeof f || f.offset > f.total ||
	    f.len > f.total - f.offset || f.len == 0 ||
	    f.total > p->assembly.max)
		return -1;
	if (f.offset == 0) {
		buf_reset(&p->assembly);
		if (buf_reserve(&p->assembly, f.total) != 0) {
			log_limited(&w->limit_peer, LOG_LVL_ERR,
			    "message of %u bytes lost: out of memory",
			    f.total);
			return 0;
		}
		p->assembly_total = f.total;
	} else if (f.offset != p->assembly.len ||
	    f.total != p->assembly_total)
		return 0; /* a tail without its head */
	if (buf_append(&p->assembly, rec + sizeof f, f.len) != 0)
		return 0;
	CRASH_POINT("big.assembly");
	if (p->assembly.len < f.total)
		return 0;
	/* Ours now: the peer may be found broken, and forgotten, meanwhile. */
	whole = p->assembly;
	buf_init(&p->assembly, whole.max);
	p->assembly_total = 0;
	r = receive_msg(w, from, whole.data, f.total);
	buf_fini(&whole);
	return r;
}
