/* SPDX-License-Identifier: BSD-2-Clause */
/* A member of the circle; see circle.h. */
#include <config.h>

#include <sys/epoll.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "circle.h"

#include "shm/score.h"

/* Long enough that only a lost wake-up ever ends a sleep. */
#define SLEEP_MS 20000
#define KIND 1u

struct message {
	struct ring_rec_shm rec;
	uint32_t target; /* incarnation it is meant for */
	uint32_t origin_incarnation;
	uint32_t origin;
	uint32_t hops;
	uint64_t era;
	uint64_t seq;
	uint8_t body[];
};

static enum circle_status
complain(const struct circle *c, enum circle_status status, const char *what)
{
	(void)fprintf(stderr, "member %u/%u: %s\n", c->self, c->incarnation,
	    what);
	return status;
}

static slotno
prev_of(const struct circle *c)
{
	return (slotno)((c->self + c->n - 1) % c->n);
}

static slotno
next_of(const struct circle *c)
{
	return (slotno)((c->self + 1) % c->n);
}

static uint64_t
mix(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdu;
	x ^= x >> 33;
	return x;
}

static uint64_t
seed_of(uint32_t origin, uint64_t era, uint64_t seq)
{
	return mix(origin + 1 + (era << 40) + (seq << 8));
}

static uint32_t
body_len(uint64_t seed)
{
	return (uint32_t)(seed % 3 == 0 ? mix(seed) % 32 :
	    mix(seed) % (CIRCLE_BODY + 1));
}

enum circle_status
circle_attach(struct circle *c)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	slotno prev = prev_of(c), next = next_of(c);

	if ((c->epoll = epoll_create1(EPOLL_CLOEXEC)) == -1 ||
	    epoll_ctl(c->epoll, EPOLL_CTL_ADD, c->bell_fd[c->self], &ev) == -1)
		return complain(c, CIRCLE_SYSTEM, "epoll");
	if (ring_tx_attach(&c->tx, &c->ring_out, c->own, c->self, c->own_next,
	    next) == -1 ||
	    ring_rx_attach(&c->rx, &c->ring_in, c->own, c->self, c->own_prev,
	    prev) == -1 || c->tx.broken || c->rx.broken)
		return complain(c, CIRCLE_BROKEN, "cannot attach");
	bell_attach(&c->bell_prev, c->bell_fd[prev], c->own_prev);
	bell_attach(&c->bell_next, c->bell_fd[next], c->own_next);
	bell_disarm(c->own);
	c->inc_prev = slots_incarnation(c->slots, prev);
	c->inc_next = slots_incarnation(c->slots, next);
	c->membership = c->live = c->era = 0;
	return CIRCLE_OK;
}

/* ---- sending ----------------------------------------------------------- */

static void
flush(struct circle *c)
{
	if (ring_tx_publish(&c->tx))
		(void)bell_ring(&c->bell_next);
}

static struct message *
reserve(struct circle *c, uint32_t bodylen)
{
	struct message *m;

	m = (struct message *)(void *)ring_tx_reserve(&c->tx,
	    (uint32_t)sizeof *m + bodylen);
	if (m != NULL) {
		m->rec.len = (uint32_t)sizeof *m + bodylen;
		m->rec.kind = KIND;
		m->target = c->inc_next;
		CRASH_POINT("circle.fill");
	}
	return m;
}

static bool
send_own(struct circle *c)
{
	uint64_t seed = seed_of(c->self, c->era, c->sent + 1);
	uint32_t len = body_len(seed), i;
	struct message *m;

	if ((m = reserve(c, len)) == NULL)
		return false;
	m->origin = c->self;
	m->origin_incarnation = c->incarnation;
	m->hops = 0;
	m->era = c->era;
	m->seq = ++c->sent;
	for (i = 0; i < len; i++)
		m->body[i] = (uint8_t)(seed + i);
	ring_tx_commit(&c->tx, (uint32_t)sizeof *m + len);
	c->to_send--;
	return true;
}

/* Does the largest message fit?  If not, ask to be rung. */
static bool
have_room(struct circle *c)
{
	uint32_t most = (uint32_t)sizeof(struct message) + CIRCLE_BODY;

	if (!c->next_live)
		return true; /* it is dropped */
	if (!ring_tx_fits(&c->tx, most)) {
		flush(c);
		ring_tx_want(&c->tx);
		if (!ring_tx_fits(&c->tx, most)) {
			if (!c->parked)
				score_add(&score_proc(&c->own_zone)->
				    ring_full_waits, 1);
			c->parked = true;
			return false;
		}
	}
	if (c->parked)
		ring_tx_unwant(&c->tx);
	c->parked = false;
	return true;
}

/* ---- receiving --------------------------------------------------------- */

static enum circle_status
check_content(struct circle *c, const struct message *m, uint32_t len)
{
	uint64_t seed = seed_of(m->origin, m->era, m->seq);
	uint32_t i;

	if (len < sizeof *m || m->origin >= c->n ||
	    len != sizeof *m + body_len(seed))
		return complain(c, CIRCLE_CONTENT, "wrong head");
	len -= (uint32_t)sizeof *m;
	for (i = 0; i < len; i++)
		if (m->body[i] != (uint8_t)(seed + i))
			return complain(c, CIRCLE_CONTENT, "wrong body");
	return CIRCLE_OK;
}

/* Each once and in order; one may be missing only if somebody has died since
 * they were sent. */
static enum circle_status
check_order(struct circle *c, const struct message *m)
{
	uint64_t expected;

	if (c->last[m->origin].incarnation != m->origin_incarnation ||
	    c->last[m->origin].era != m->era) {
		if (c->last[m->origin].era > m->era)
			return complain(c, CIRCLE_ORDER, "an older era");
		c->last[m->origin].incarnation = m->origin_incarnation;
		c->last[m->origin].era = m->era;
		c->last[m->origin].seq = 0;
	}
	expected = c->last[m->origin].seq + 1;
	c->last[m->origin].seq = m->seq;
	if (m->seq < expected)
		return complain(c, CIRCLE_ORDER, "repeated or reordered");
	if (m->seq > expected && slots_membership(c->slots) == m->era)
		return complain(c, CIRCLE_ORDER, "lost");
	return CIRCLE_OK;
}

static void
pass_on(struct circle *c, const struct message *m, uint32_t len)
{
	struct message *out;

	if (!c->next_live ||
	    (out = reserve(c, len - (uint32_t)sizeof *m)) == NULL)
		return;
	out->origin = m->origin;
	out->origin_incarnation = m->origin_incarnation;
	out->hops = m->hops + 1;
	out->era = m->era;
	out->seq = m->seq;
	memcpy(out->body, m->body, len - sizeof *m);
	ring_tx_commit(&c->tx, len);
	score_add(&score_proc(&c->own_zone)->out_msgs, 1);
}

static enum circle_status
take(struct circle *c, const struct message *m, uint32_t len)
{
	enum circle_status status;

	if (len < sizeof *m)
		return complain(c, CIRCLE_CONTENT, "short record");
	if (m->target != c->incarnation)
		return CIRCLE_OK; /* our predecessor's */
	if ((status = check_content(c, m, len)) != CIRCLE_OK ||
	    (status = check_order(c, m)) != CIRCLE_OK)
		return status;
	if (m->origin != c->self) {
		pass_on(c, m, len);
		return CIRCLE_OK;
	}
	/* Round the circle; one of another era or process ends here. */
	if (m->origin_incarnation == c->incarnation && m->era == c->era) {
		if (m->hops != c->n - 1)
			return complain(c, CIRCLE_CONTENT, "wrong hops");
		score_add(&score_proc(&c->own_zone)->in_msgs, 1);
		c->to_send++;
	}
	return CIRCLE_OK;
}

static enum circle_status
drain(struct circle *c, bool *did)
{
	const struct ring_rec_shm *rec;
	enum circle_status status = CIRCLE_OK;
	enum ring_status rs;
	uint32_t len, kind;
	uint64_t limit;

	rs = ring_rx_look(&c->rx, &limit);
	while (rs == RING_OK && status == CIRCLE_OK && have_room(c)) {
		rs = ring_rx_next(&c->rx, limit, &rec, &len, &kind);
		if (rs != RING_OK)
			break;
		*did = true;
		status = take(c, (const struct message *)(const void *)rec,
		    len);
	}
	if (rs == RING_BROKEN)
		return complain(c, CIRCLE_BROKEN, "broken record");
	flush(c);
	if (ring_rx_release(&c->rx))
		(void)bell_ring(&c->bell_prev);
	return status;
}

/* ---- life -------------------------------------------------------------- */

static enum circle_status
look_at_members(struct circle *c)
{
	uint64_t membership = slots_membership(c->slots);
	slotno prev = prev_of(c), next = next_of(c);
	uint64_t all = ((uint64_t)1 << c->n) - 1;

	if (membership == c->membership)
		return CIRCLE_OK;
	c->membership = membership;
	c->live = slots_live(c->slots);
	c->next_live = (c->live >> next & 1) != 0;
	if ((c->live >> prev & 1) != 0 &&
	    c->inc_prev != slots_incarnation(c->slots, prev)) {
		c->inc_prev = slots_incarnation(c->slots, prev);
		ring_rx_peer_changed(&c->rx);
	}
	if (c->next_live && c->inc_next != slots_incarnation(c->slots, next)) {
		c->inc_next = slots_incarnation(c->slots, next);
		ring_tx_peer_changed(&c->tx);
		if (c->tx.broken)
			return complain(c, CIRCLE_BROKEN, "position of next");
	}
	if (c->live == all) {
		c->era = membership;
		c->sent = 0;
		c->to_send = CIRCLE_OWN;
	}
	return CIRCLE_OK;
}

/* All that a dead one has published is read before its zones are emptied. */
static void
quiescent(struct circle *c)
{
	if ((c->live >> prev_of(c) & 1) != 0 || !ring_rx_pending(&c->rx))
		atomic_store_explicit(&c->own->quiescence,
		    atomic_load_explicit(&c->own->quiescence,
		    memory_order_relaxed) + 2, memory_order_release);
}

static bool
stopped(const struct circle *c)
{
	return atomic_load_explicit(&c->slots->conf_version,
	    memory_order_acquire) != 0;
}

static bool
anything_to_do(struct circle *c)
{
	if (slots_membership(c->slots) != c->membership || stopped(c))
		return true;
	if (ring_rx_pending(&c->rx) || (c->to_send > 0 && c->next_live))
		return have_room(c);
	return false;
}

static enum circle_status
wait_for_bell(struct circle *c)
{
	struct epoll_event ev;
	uint64_t membership = c->membership;
	int n = 0;

	bell_arm(c->own);
	if (!anything_to_do(c)) {
		do
			n = epoll_wait(c->epoll, &ev, 1, SLEEP_MS);
		while (n == -1 && errno == EINTR);
		if (n == 0 && membership == slots_membership(c->slots) &&
		    anything_to_do(c)) {
			bell_disarm(c->own);
			return complain(c, CIRCLE_ASLEEP, "lost wake-up");
		}
	}
	bell_disarm(c->own);
	return n == -1 ? complain(c, CIRCLE_SYSTEM, "epoll_wait") : CIRCLE_OK;
}

enum circle_status
circle_run(struct circle *c)
{
	enum circle_status status = CIRCLE_OK;
	bool did;

	while (status == CIRCLE_OK && !stopped(c)) {
		did = false;
		if ((status = look_at_members(c)) != CIRCLE_OK ||
		    (status = drain(c, &did)) != CIRCLE_OK)
			break;
		while (c->to_send > 0 && c->next_live && have_room(c) &&
		    send_own(c))
			did = true;
		flush(c);
		if (c->tx.broken)
			return complain(c, CIRCLE_BROKEN, "position of next");
		quiescent(c);
		if (!did)
			status = wait_for_bell(c);
	}
	if (status == CIRCLE_OK && !ring_rx_valid(&c->rx))
		status = complain(c, CIRCLE_BROKEN, "not valid at the end");
	(void)close(c->epoll);
	return status;
}
