/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The other workers.  Everything that goes there takes the ring; what a drain
 * has to send and finds no room for waits in a private outbox of at most a
 * ring's size, ahead of the publishers.  Barriers are numbers and never lost.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proc/chan.h"
#include "proto/subject.h"
#include "shm/crash.h"
#include "worker/worker_priv.h"

#define BIT(slot) (UINT64_C(1) << (slot))
/* Longest message that a peer may send in pieces: 64 MB, its control line and
 * references. */
#define ASSEMBLY_MAX ((size_t)(64u << 20) + (4u << 20))

/* So much is said at once, while the drain goes on: until its publisher hears
 * of it, up to a ring more of his messages comes. */
#define STALL_SOON_MS 10

/* Patience with a peer that works and takes or answers nothing, and at how many
 * looks it must have made an iteration since the last one. */
#define OWED_MS 2000
#define OWED_LAPS 4

/* ---- attach ---------------------------------------------------------- */

static int
attach_rings(struct worker *w, const struct heritage *h, struct peer *p)
{
	struct zone tx, rx;

	if (zone_map_rw(heritage_ring(h, w->self, p->slot), RING_MAGIC,
	    &tx) != 0 ||
	    zone_map_ro(heritage_ring(h, p->slot, w->self), RING_MAGIC,
	    &rx) != 0)
		return -1;
	if (ring_tx_attach(&p->tx, &tx, w->own, w->self, w->peer_own[p->slot],
	    p->slot) != 0 ||
	    ring_rx_attach(&p->rx, &rx, w->own, w->self, w->peer_own[p->slot],
	    p->slot) != 0)
		return -1;
	return 0;
}

int
peer_attach(struct worker *w, const struct heritage *h)
{
	struct peer *p;
	slotno s;

	for (s = 0; s < w->nslots; s++) {
		p = &w->peer[s];
		p->slot = s;
		if (s == w->self)
			continue;
		if (attach_rings(w, h, p) != 0) {
			/* Its predecessor may have spoiled it: we do without
			 * this one. */
			if (errno != EPROTO)
				return -1;
			log_warnx("ring between workers %u and %u makes no "
			    "sense: not used", w->self, s);
			continue;
		}
		bell_attach(&p->bell, h->bell[s], w->peer_own[s]);
		buf_init(&p->outbox, p->tx.size);
		buf_init(&p->assembly, ASSEMBLY_MAX);
		p->attached = true;
	}
	return 0;
}

void
peer_fini(struct worker *w)
{
	slotno s;

	for (s = 0; s < w->nslots; s++) {
		big_target_gone(w, s);
		buf_fini(&w->peer[s].outbox);
		buf_fini(&w->peer[s].assembly);
	}
}

/* ---- who is there ---------------------------------------------------- */

/* Nothing more comes from it or is owed to it. */
static void
forget(struct worker *w, struct peer *p)
{
	w->usable &= ~BIT(p->slot);
	w->pump &= ~BIT(p->slot);
	big_target_gone(w, p->slot);
	buf_reset(&p->outbox);
	buf_reset(&p->assembly);
	buf_trim(&p->assembly);
	p->assembly_total = 0;
	ring_tx_unwant(&p->tx);
	p->room.since_ms = p->reply.since_ms = 0;
	/* A slot whose live bit falls counts as having answered. */
	p->answered = p->asked_sent = p->asked;
	p->answer = p->answer_sent = 0;
}

static void drain(struct worker *w, struct peer *p);
static void send_stall(struct worker *w, struct peer *p);

static void
peer_gone(struct worker *w, struct peer *p)
{
	/* What it had published is still delivered: its client may have the
	 * PONG. */
	drain(w, p);
	CRASH_POINT("peer.drained");
	ring_rx_peer_changed(&p->rx);
	forget(w, p);
	CRASH_POINT("peer.forgotten");
	p->incarnation = 0;
}

static void
peer_come(struct worker *w, struct peer *p, uint32_t incarnation)
{
	p->incarnation = incarnation;
	p->need = sizeof(struct ring_rec_shm);
	p->broken = false;
	w->complained &= ~BIT(p->slot);
	ring_tx_peer_changed(&p->tx);
	CRASH_POINT("peer.come");
	w->usable |= BIT(p->slot);
	w->matcher.readable |= BIT(p->slot);
}

static void
refresh(struct worker *w)
{
	uint64_t live = slots_live(w->slots);
	uint32_t inc;
	struct peer *p;
	slotno s;

	for (s = 0; s < w->nslots; s++) {
		p = &w->peer[s];
		if (!p->attached)
			continue;
		inc = slots_incarnation(w->slots, s);
		if (p->incarnation != 0 &&
		    ((live & BIT(s)) == 0 || inc != p->incarnation))
			peer_gone(w, p);
		if (p->incarnation == 0 && (live & BIT(s)) != 0)
			peer_come(w, p, inc);
	}
}

void
peer_look(struct worker *w)
{
	(void)match_look(&w->matcher);
	while (w->membership != w->matcher.membership) {
		w->membership = w->matcher.membership;
		refresh(w);
		/* The set that may be read has changed, and membership may
		 * have once more. */
		(void)match_look(&w->matcher);
	}
}

/* Once; peer_watch() tries again. */
static void
complain(struct worker *w, slotno slot, const char *what)
{
	if ((w->complained & BIT(slot)) == 0 && chan_send(w->chan.fd,
	    CHAN_COMPLAINT, chan_process(slot, w->peer[slot].incarnation),
	    what, strlen(what), -1) == 0)
		w->complained |= BIT(slot);
}

void
peer_broken(struct worker *w, slotno slot, const char *what)
{
	struct peer *p = &w->peer[slot];

	if (slot == w->self) /* nobody else writes it: a new one is better */
		fatalx("worker %u: %s makes no sense", slot, what);
	log_limited(&w->limit_peer, LOG_LVL_ERR,
	    "zones of worker %u make no sense: %s; ignored until it is "
	    "replaced", slot, what);
	p->broken = true;
	w->matcher.readable &= ~BIT(slot);
	w->matcher.view++;
	/* What it has left in its ring is skipped when its successor comes. */
	(void)ring_rx_break(&p->rx);
	forget(w, p);
	p->broken_how = what;
	complain(w, slot, what);
}

void
peer_forgive(struct worker *w, uint64_t whom)
{
	slotno slot = (slotno)(whom & 0xff);
	struct peer *p = &w->peer[slot < SLOTS_MAX ? slot : 0];

	if (!p->broken || p->incarnation == 0 ||
	    whom != chan_process(p->slot, p->incarnation))
		return;
	/* What it has left in its ring is skipped. */
	ring_rx_peer_changed(&p->rx);
	peer_come(w, p, p->incarnation);
	w->matcher.view++;
	log_info("worker %u is talked to again", slot);
}

/* One that stands still is the master's business (watch.c there).  But in each
 * iteration that it makes it takes all there is, and answers; we have emptied
 * its ring before each look. */
static bool
owed_too_long(const struct worker *w, struct peer_owes *o, bool owes,
    uint64_t mark, uint64_t quiescence)
{
	if (!owes) {
		o->since_ms = 0;
		return false;
	}
	if (o->since_ms == 0 || o->mark != mark) {
		o->since_ms = w->now_ms;
		o->mark = mark;
		o->quiescence = quiescence;
		o->laps = 0;
		return false;
	}
	if (quiescence - o->quiescence >= 2) {
		o->quiescence = quiescence;
		o->laps++;
	}
	return w->now_ms - o->since_ms >= OWED_MS && o->laps >= OWED_LAPS;
}

static void
watch_one(struct worker *w, struct peer *p)
{
	uint64_t quiescence = atomic_load_explicit(
	    &w->peer_own[p->slot]->quiescence, memory_order_relaxed);

	(void)ring_tx_look(&p->tx, 0);
	if (owed_too_long(w, &p->room, p->tx.consumed != p->tx.published,
	    p->tx.consumed, quiescence) ||
	    owed_too_long(w, &p->reply, p->asked_sent != p->answered,
	    p->answered, quiescence))
		peer_broken(w, p->slot, "it works, and does not take or "
		    "answer what it is sent");
}

void
peer_watch(struct worker *w)
{
	uint64_t set;
	slotno s;

	for (set = w->usable; set != 0; set &= set - 1)
		watch_one(w, &w->peer[__builtin_ctzll(set)]);
	/* The channel may have been full. */
	for (s = 0; s < w->nslots; s++)
		if (w->peer[s].broken && w->peer[s].incarnation != 0)
			complain(w, s, w->peer[s].broken_how);
}

/* ---- drain ----------------------------------------------------------- */

static int
take_refused(struct worker *w, const uint8_t *rec, uint32_t len)
{
	struct rec_refused_shm r;
	struct slice subject, reply;
	uint8_t *names;
	int status = -1;

	if (len < sizeof r)
		return -1;
	memcpy(&r, rec, sizeof r);
	len -= (uint32_t)sizeof r;
	if ((uint64_t)r.subject_len + r.reply_len != len || len == 0)
		return -1;
	/* Checked where it cannot change: it goes into a control line. */
	if ((names = malloc(len)) == NULL)
		return 0;
	memcpy(names, rec + sizeof r, len);
	subject = (struct slice){ names, r.subject_len };
	reply = (struct slice){ names + r.subject_len, r.reply_len };
	if (subject_valid_word(names, len)) {
		refuse_received(w, r.origin_line, r.origin_num, r.ticket,
		    r.nslots, subject, reply);
		status = 0;
	}
	free(names);
	return status;
}

static int
take_barrier(struct worker *w, struct peer *p, const uint8_t *rec,
    uint32_t len, uint32_t kind)
{
	struct rec_barrier_shm r;

	if (len != sizeof r)
		return -1;
	memcpy(&r, rec, sizeof r);
	if (kind == RECORD_QUESTION) {
		if (r.number <= p->answer)
			return -1; /* they grow */
		p->answer = r.number;
		w->pump |= BIT(p->slot);
	} else if (r.number > p->asked_sent)
		return -1;
	else if (r.number > p->answered)
		p->answered = r.number;
	return 0;
}

static int
take_stall(struct worker *w, slotno from, const uint8_t *rec, uint32_t len)
{
	struct rec_stall_shm r;
	struct client *c;

	if (len != sizeof r)
		return -1;
	memcpy(&r, rec, sizeof r);
	c = client_find(w, r.origin_line, r.origin_num);
	if (c != NULL)
		stall(w, c, r.stall_ms, from, r.reader_line);
	return 0;
}

static int
take(struct worker *w, struct peer *p, const uint8_t *rec, uint32_t len,
    uint32_t kind)
{
	uint32_t target;

	/* Every kind has its target behind the head. */
	if (len < sizeof(struct ring_rec_shm) + sizeof target)
		return -1;
	memcpy(&target, rec + sizeof(struct ring_rec_shm), sizeof target);
	if (target != w->incarnation)
		return 0; /* for our predecessor */
	switch (kind) {
	case RECORD_MSG:
		return receive_msg(w, p->slot, rec, len);
	case RECORD_FRAGMENT:
		return big_receive(w, p->slot, rec, len);
	case RECORD_REFUSED:
		return take_refused(w, rec, len);
	case RECORD_QUESTION:
	case RECORD_ANSWER:
		return take_barrier(w, p, rec, len, kind);
	case RECORD_STALL:
		return take_stall(w, p->slot, rec, len);
	default:
		return -1;
	}
}

static void
drain(struct worker *w, struct peer *p)
{
	const struct ring_rec_shm *rec;
	enum ring_status st;
	uint32_t len, kind;
	uint64_t limit;

	if (p->broken)
		return;
	w->draining = p->slot + 1u;
	st = ring_rx_look(&p->rx, &limit);
	while (st == RING_OK) {
		st = ring_rx_next(&p->rx, limit, &rec, &len, &kind);
		if (st == RING_OK && take(w, p, (const uint8_t *)rec, len,
		    kind) != 0)
			st = RING_BROKEN;
	}
	send_stall(w, p);
	p->stall_said_ms = 0;
	if (st == RING_BROKEN)
		peer_broken(w, p->slot, "a record in its ring");
	if (ring_rx_release(&p->rx))
		bell_ring_always(p->bell.fd);
	w->draining = 0;
}

void
peer_drain(struct worker *w)
{
	slotno s;

	for (s = 0; s < w->nslots; s++)
		if (w->peer[s].attached && w->peer[s].incarnation != 0)
			drain(w, &w->peer[s]);
}

bool
peer_pending(struct worker *w)
{
	slotno s;

	for (s = 0; s < w->nslots; s++)
		if (w->peer[s].attached && w->peer[s].incarnation != 0 &&
		    !w->peer[s].broken && ring_rx_pending(&w->peer[s].rx))
			return true;
	return slots_membership(w->slots) != w->membership;
}

/* ---- send ------------------------------------------------------------ */

/* A whole record into the ring, if there is room. */
static bool
put_record(struct worker *w, struct peer *p, const void *rec, uint32_t len)
{
	void *dst = ring_tx_reserve(&p->tx, len);

	if (dst == NULL) {
		p->need = len;
		return false;
	}
	memcpy(dst, rec, len);
	ring_tx_commit(&p->tx, len);
	w->dirty |= BIT(p->slot);
	return true;
}

bool
peer_send(struct worker *w, slotno slot, const void *rec, uint32_t len)
{
	struct peer *p = &w->peer[slot];
	uint32_t padded = (len + 7) & ~7u;
	static const uint8_t zeros[8];

	if ((w->usable & BIT(slot)) == 0)
		return false;
	/* What fits into no ring must not stand in p->need: who is parked
	 * would wait for that room for ever. */
	if (p->outbox.len == 0 && len <= ring_tx_max(&p->tx) &&
	    put_record(w, p, rec, len))
		return true;
	if (len > ring_tx_max(&p->tx) ||
	    p->outbox.len + padded > p->outbox.max ||
	    buf_reserve(&p->outbox, padded) != 0) {
		score_add(&w->score->drain_drops, 1);
		return false;
	}
	(void)buf_append(&p->outbox, rec, len);
	(void)buf_append(&p->outbox, zeros, padded - len);
	w->pump |= BIT(slot);
	return true;
}

void
peer_send_refused(struct worker *w, const struct msg *m, uint32_t nslots)
{
	slotno to = m->from.slot;
	struct rec_refused_shm r;
	struct buf b;

	if (to == w->self) { /* passed on until it came back */
		refuse_received(w, m->from.line, m->from.num, m->from.ticket,
		    nslots, m->subject, m->reply);
		return;
	}
	if (to >= w->nslots ||
	    w->peer[to].incarnation != m->from.incarnation)
		return;
	memset(&r, 0, sizeof r);
	r.head.len = (uint32_t)sizeof r + m->subject.len + m->reply.len;
	r.head.kind = RECORD_REFUSED;
	r.target = m->from.incarnation;
	r.origin_line = m->from.line;
	r.origin_num = m->from.num;
	r.ticket = m->from.ticket;
	r.nslots = nslots;
	r.subject_len = m->subject.len;
	r.reply_len = m->reply.len;
	buf_init(&b, r.head.len);
	if (buf_append(&b, &r, sizeof r) == 0 &&
	    buf_append(&b, m->subject.p, m->subject.len) == 0 &&
	    (m->reply.len == 0 ||
	    buf_append(&b, m->reply.p, m->reply.len) == 0))
		(void)peer_send(w, to, b.data, (uint32_t)b.len);
	else
		score_add(&w->score->drain_drops, 1);
	buf_fini(&b);
}

static void
send_stall(struct worker *w, struct peer *p)
{
	const struct msg_origin *to = &p->stall_to;
	struct rec_stall_shm r;

	if (p->stall_ms == 0)
		return;
	memset(&r, 0, sizeof r);
	r.head.len = sizeof r;
	r.head.kind = RECORD_STALL;
	r.target = to->incarnation;
	r.origin_line = to->line;
	r.origin_num = to->num;
	r.stall_ms = p->stall_ms;
	p->stall_said_ms += p->stall_ms;
	r.reader_line = p->stall_line;
	p->stall_ms = 0;
	if (to->slot < w->nslots && to->slot != w->self &&
	    w->peer[to->slot].incarnation == to->incarnation)
		(void)peer_send(w, to->slot, &r, sizeof r);
}

void
peer_stall(struct worker *w, slotno from, const struct msg *m)
{
	const struct msg_origin *to = &m->from;
	struct peer *p = &w->peer[from];

	if (p->stall_to.slot != to->slot || p->stall_to.line != to->line ||
	    p->stall_to.num != to->num) {
		send_stall(w, p);
		p->stall_said_ms = 0;
	}
	p->stall_to = *to;
	/* More at once stall() does not take. */
	if (p->stall_said_ms >= STALL_MOST_MS)
		return;
	p->stall_line = m->stall_line;
	p->stall_ms += m->stall_ms;
	if (p->stall_ms >= STALL_SOON_MS) {
		send_stall(w, p);
		peer_publish(w);
	}
}

void
peer_ask(struct worker *w, uint64_t slots, uint64_t number[SLOTS_MAX])
{
	uint64_t set;
	struct peer *p;

	for (set = slots; set != 0; set &= set - 1) {
		p = &w->peer[__builtin_ctzll(set)];
		if ((w->usable & BIT(p->slot)) == 0) {
			number[p->slot] = p->answered;
			continue;
		}
		number[p->slot] = ++p->asked;
		w->pump |= BIT(p->slot);
	}
}

bool
peer_answered(const struct worker *w, slotno slot, uint64_t number)
{
	return w->peer[slot].answered >= number;
}

/* ---- what waits ------------------------------------------------------ */

static bool
pump_outbox(struct worker *w, struct peer *p)
{
	size_t off = 0;
	uint32_t len;

	while (off < p->outbox.len) {
		memcpy(&len, p->outbox.data + off, sizeof len);
		if (!put_record(w, p, p->outbox.data + off, len))
			break;
		off += (len + 7) & ~7u;
	}
	buf_consume(&p->outbox, off);
	buf_trim(&p->outbox);
	return p->outbox.len == 0;
}

static bool
pump_barrier(struct worker *w, struct peer *p, enum record_kind kind,
    uint64_t number, uint64_t *sent)
{
	struct rec_barrier_shm r;

	if (number == *sent)
		return true;
	memset(&r, 0, sizeof r);
	r.head.len = sizeof r;
	r.head.kind = kind;
	r.target = p->incarnation;
	r.number = number;
	if (!put_record(w, p, &r, sizeof r))
		return false;
	*sent = number;
	return true;
}

static void
pump(struct worker *w, struct peer *p)
{
	bool done = pump_outbox(w, p);

	if (done)
		done = pump_barrier(w, p, RECORD_QUESTION, p->asked,
		    &p->asked_sent);
	if (done)
		done = pump_barrier(w, p, RECORD_ANSWER, p->answer,
		    &p->answer_sent);
	if (p->big != NULL)
		big_pump(w, p->slot);
	if (done && p->big == NULL) {
		w->pump &= ~BIT(p->slot);
		if ((w->parked & BIT(p->slot)) == 0)
			ring_tx_unwant(&p->tx);
	}
}

void
peer_pump(struct worker *w)
{
	uint64_t set;

	for (set = w->pump & w->usable; set != 0; set &= set - 1)
		pump(w, &w->peer[__builtin_ctzll(set)]);
}

void
peer_publish(struct worker *w)
{
	uint64_t set = w->dirty;

	if (set == 0)
		return;
	for (; set != 0; set &= set - 1)
		(void)ring_tx_publish(&w->peer[__builtin_ctzll(set)].tx);
	bell_fence();
	for (set = w->dirty; set != 0; set &= set - 1)
		(void)bell_ring_nofence(&w->peer[__builtin_ctzll(set)].bell);
	w->dirty = 0;
}

/* Half of the ring, and room for what did not fit; or it is broken and
 * nobody waits for it any more. */
static bool
has_space(struct worker *w, struct peer *p)
{
	bool space = ring_tx_half_free(&p->tx) &&
	    ring_tx_fits(&p->tx, p->need);

	if (p->tx.broken) {
		peer_broken(w, p->slot, "its position in our ring");
		return true;
	}
	return space;
}

bool
peer_ready(struct worker *w, slotno slot)
{
	struct peer *p = &w->peer[slot];

	if ((w->usable & BIT(slot)) == 0)
		return true;
	return p->big == NULL && p->outbox.len == 0 && has_space(w, p);
}

void
peer_say_waits(struct worker *w, uint64_t holders)
{
	uint64_t set = ((w->parked | w->pump) & w->usable) | holders;

	/* Relaxed: for the watchdog's eyes alone. */
	if (atomic_load_explicit(&w->own->waits_for,
	    memory_order_relaxed) != set)
		atomic_store_explicit(&w->own->waits_for, set,
		    memory_order_relaxed);
}

bool
peer_want_space(struct worker *w)
{
	uint64_t set = (w->parked | w->pump) & w->usable;
	struct peer *p;
	bool ready = false;

	for (; set != 0; set &= set - 1) {
		p = &w->peer[__builtin_ctzll(set)];
		ring_tx_want(&p->tx);
		/* Who is parked may wait for other rings too: only
		 * client_may_resume() can tell. */
		if (has_space(w, p) && (w->pump & BIT(p->slot)) != 0)
			ready = true;
	}
	return ready;
}
