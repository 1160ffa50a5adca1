/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fault injector: natsd with a worker that goes mad on demand.  Linked before
 * the library, with some functions wrapped, so that nothing of
 * it is in the product.
 *
 * NATSD_INJECT names a file that every worker looks at several times a second.
 * It has one line:
 *
 *	PID SEED KINDS INTERVAL_US COUNT
 *
 * The worker with that pid makes COUNT injections, one each INTERVAL_US, of
 * the kinds whose bits are set in KINDS (bit n: number n of the table below),
 * by a random generator of that seed.  NATSD_INJECT.PID then says how many of
 * each kind there were, after each injection anew.
 *
 * An injection touches only what a worker may touch: its own zones, records
 * in its own rings, bells, its ends of the control channel and the log pipe.
 * Its private memory stays right: all else that it does, it does as always.
 */
#include <config.h>

#include <sys/socket.h>
#include <sys/uio.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "proc/chan.h"
#include "proc/logpipe.h"
#include "shm/trie_priv.h"
#include "worker/worker_priv.h"

#define LOOK_MS 20
#define STORM 200
#define AT_ONCE_MAX 100 /* injections made up for a slow iteration */

bool __real_ring_rx_release(struct ring_rx *rx);
bool __wrap_ring_rx_release(struct ring_rx *rx);
void __real_peer_pump(struct worker *w);
void __wrap_peer_pump(struct worker *w);
void __real_logpipe_use(int fd);
void __wrap_logpipe_use(int fd);

static int log_fd = -1;
static uint64_t rnd;
static uint32_t kinds;
static uint64_t interval_us, left, next_us, look_ms;
static int report_fd = -1;
static struct loop_timer waker;
static bool greedy; /* never says that it has taken anything */
static bool silent; /* never answers a question */

void
__wrap_logpipe_use(int fd)
{
	log_fd = fd;
	__real_logpipe_use(fd);
}

bool
__wrap_ring_rx_release(struct ring_rx *rx)
{
	return greedy ? false : __real_ring_rx_release(rx);
}

/* ---- chance ------------------------------------------------------------ */

static uint64_t
chance(void)
{
	rnd ^= rnd << 13;
	rnd ^= rnd >> 7;
	rnd ^= rnd << 17;
	return rnd * UINT64_C(0x2545f4914f6cdd1d);
}

static uint64_t
below(uint64_t n)
{
	return n == 0 ? 0 : (chance() >> 16) % n;
}

/* A word that may mean something: limits, sizes, numbers of cells. */
static uint64_t
odd_word(const struct worker *w)
{
	static const uint64_t some[] = { 0, 1, 2, 7, 8, 63, 64, 4096, 65536,
		INT32_MAX, UINT32_MAX, UINT64_C(1) << 32, INT64_MAX,
		UINT64_MAX, UINT64_MAX - 7 };

	switch (below(5)) {
	case 0:
		return some[below(sizeof some / sizeof some[0])];
	case 1:
		return below(trie_cells(w->trie) + 2);
	case 2:
		return below(UINT64_C(1) << below(63));
	case 3: /* two numbers of cells, or a hash and one */
		return chance() << 32 | below(trie_cells(w->trie) + 2);
	default:
		return chance();
	}
}

static void
fill(uint8_t *p, size_t n)
{
	for (; n > 0; n--)
		*p++ = (uint8_t)chance();
}

/* ---- places ------------------------------------------------------------ */

/* A piece of a zone: what is worth a fault lies in a few of them. */
struct piece {
	uint8_t *p;
	size_t len;
};

static void
flip(struct piece at)
{
	if (at.len > 0)
		at.p[below(at.len)] ^= (uint8_t)(1u << below(8));
}

static void
store(const struct worker *w, struct piece at)
{
	uint64_t word = odd_word(w);
	size_t n = below(2) == 0 ? 4 : 8;

	if (at.len >= 8)
		memcpy(at.p + below(at.len / n) * n, &word, n);
}

static struct piece
index_piece(const struct worker *w)
{
	const struct trie_reader *r = &w->matcher.reader[w->self];
	uint8_t *base = w->ztrie.base, *cells = base + (r->first - r->base);
	uint64_t table = ((struct trie_root_shm *)(void *)cells)->table;
	uint64_t off = (table & UINT32_MAX) * ZONE_PAGE;
	uint64_t len = (table >> 32) * ZONE_PAGE;
	struct trie_shm *head = (void *)base;

	switch (below(8)) {
	case 0: /* the word that says which table is in use */
		return (struct piece){ cells, 8 };
	case 1:
	case 2:
		if (off < w->ztrie.size && len <= w->ztrie.size - off)
			return (struct piece){ base + off, len };
		return (struct piece){ cells, 8 };
	case 3: /* generations, bumps; seldom the constants */
		if (below(20) == 0)
			return (struct piece){ base, TRIE_CONSTANTS };
		return below(2) == 0 ? (struct piece){ (uint8_t *)&head->bumps,
		    8 } : (struct piece){ (uint8_t *)head->gens,
		    sizeof head->gens };
	default:
		return (struct piece){ cells + CELL_SIZE,
		    (size_t)trie_cells(w->trie) * CELL_SIZE };
	}
}

static struct piece
own_piece(const struct worker *w)
{
	struct own_shm *own = w->own;
	struct own_peer_shm *peer = &own->peer[below(w->nslots)];

	switch (below(8)) {
	case 0:
		return (struct piece){ (uint8_t *)&own->quiescence, 8 };
	case 1:
		return (struct piece){ (uint8_t *)&own->asleep, 8 };
	case 2:
		return (struct piece){ (uint8_t *)&own->waits_for, 8 };
	case 3:
	case 4:
		return (struct piece){ (uint8_t *)&peer->consumed, 8 };
	case 5:
		return (struct piece){ (uint8_t *)&peer->wants_space, 8 };
	case 6:
		return (struct piece){ (uint8_t *)w->score, sizeof *w->score };
	default:
		if (below(20) == 0)
			return (struct piece){ (uint8_t *)own, 16 };
		return (struct piece){ (uint8_t *)own, sizeof *own +
		    16 * sizeof(struct score_conn_shm) };
	}
}

/* Another worker that something can be sent to; NULL: there is none. */
static struct peer *
some_peer(struct worker *w)
{
	uint64_t set = w->usable;
	unsigned n = (unsigned)__builtin_popcountll(set);

	if (n == 0)
		return NULL;
	for (n = (unsigned)below(n); n > 0; n--)
		set &= set - 1;
	return &w->peer[__builtin_ctzll(set)];
}

/* Half of the time the last records, which may be being read just now. */
static struct piece
ring_piece(struct worker *w)
{
	struct peer *p = some_peer(w);
	struct ring_tx *tx;
	uint64_t n, idx;

	if (p == NULL)
		return (struct piece){ NULL, 0 };
	tx = &p->tx;
	if (below(5) == 0)
		return (struct piece){ (uint8_t *)&tx->shm->produced, 8 };
	if (below(20) == 0)
		return (struct piece){ (uint8_t *)tx->shm, sizeof *tx->shm };
	n = tx->head - tx->consumed;
	if (n == 0 || below(4) == 0)
		n = tx->size < tx->head ? tx->size : tx->head;
	idx = (tx->head - n) & (tx->size - 1);
	return (struct piece){ tx->data + idx,
	    n < tx->size - idx ? n : tx->size - idx };
}

/* ---- records ------------------------------------------------------------ */

#define RECORD_MOST 8192

struct record {
	uint8_t p[RECORD_MOST];
	size_t len;
};

static void
put(struct record *r, const void *p, size_t n)
{
	if (n > sizeof r->p - r->len)
		n = sizeof r->p - r->len;
	memcpy(r->p + r->len, p, n);
	r->len += n;
}

static void
put_chance(struct record *r, size_t n)
{
	uint8_t c;

	for (; n > 0; n--) {
		c = (uint8_t)chance();
		put(r, &c, 1);
	}
}

/* A reference into the other's index: a cell of his as it really is, mostly. */
static struct rec_ref_shm
some_ref(const struct worker *w, slotno to)
{
	const struct trie_reader *t = &w->matcher.reader[to];
	struct rec_ref_shm ref = { (uint32_t)below(64) + 1, 0 };
	const struct cell_head_shm *cell;

	cell = (const void *)(t->first + (size_t)ref.cell * CELL_SIZE);
	ref.serial = cell->serial;
	if (below(8) == 0)
		ref.serial ^= 1u << below(32);
	if (below(16) == 0)
		ref.cell = (uint32_t)odd_word(w);
	return ref;
}

/* A token of his index, or of nobody's. */
static void
put_token(struct record *r, const struct worker *w, slotno to)
{
	const struct trie_reader *t = &w->matcher.reader[to];
	const struct trie_node_shm *nd = (const void *)(t->first +
	    (below(64) + 1) * CELL_SIZE);
	uint32_t len = cell_len(nd->cell.meta);

	if (len > 0 && len <= TRIE_NODE_TEXT && below(4) != 0)
		put(r, nd->token, len);
	else if (below(8) == 0)
		put_chance(r, 1 + below(8));
	else
		put(r, "injected", 1 + below(8));
}

static uint32_t
put_subject(struct record *r, const struct worker *w, slotno to)
{
	size_t before = r->len;
	uint64_t n = 1 + below(4);

	while (n-- > 0) {
		put_token(r, w, to);
		if (n > 0)
			put(r, ".", 1);
	}
	if (below(16) == 0)
		put(r, "\r\n-ERR 'x'\r\n", 12);
	return (uint32_t)(r->len - before);
}

static void
put_group(struct record *r, const struct worker *w, slotno to)
{
	static const uint8_t zeros[8];
	struct rec_group_shm g = { 1, (uint32_t)below(3) };
	struct rec_ref_shm ref;
	uint32_t i;

	if (below(16) == 0)
		g.namelen = (uint32_t)odd_word(w);
	if (below(16) == 0)
		g.nrefs = (uint32_t)odd_word(w);
	put(r, &g, sizeof g);
	put(r, "q", 1);
	put(r, zeros, 7);
	for (i = 0; i < g.nrefs && i < 16; i++) {
		ref = some_ref(w, to);
		put(r, &ref, sizeof ref);
	}
}

/* A message with forged references, subject, origin, counts. */
static void
make_msg(struct record *r, struct worker *w, const struct peer *p)
{
	struct rec_msg_shm h;
	struct rec_ref_shm ref;
	uint32_t i;

	memset(&h, 0, sizeof h);
	h.target = p->incarnation;
	h.count = 1 + (uint32_t)below(3);
	h.account = ACCOUNT_DEFAULT;
	h.flags = (uint8_t)below(16);
	h.origin_slot = (uint8_t)below(w->nslots);
	h.origin_incarnation = below(2) == 0 ? w->incarnation :
	    p->incarnation;
	h.origin_line = (uint32_t)below(32);
	h.origin_num = (uint32_t)below(256);
	h.ticket = (uint32_t)below(64);
	h.nslots = (uint32_t)below(4);
	h.nplain = (uint8_t)below(4);
	h.ngroups = (uint32_t)below(3);
	h.size = (uint32_t)below(100);
	h.hdr_size = below(4) == 0 ? (uint32_t)below(h.size + 1) : 0;
	h.tried = below(2) == 0 ? 0 : chance();
	r->len = sizeof h;
	for (i = 0; i < h.nplain; i++) {
		ref = some_ref(w, p->slot);
		put(r, &ref, sizeof ref);
	}
	for (i = 0; i < h.ngroups; i++)
		put_group(r, w, p->slot);
	h.subject_len = put_subject(r, w, p->slot);
	h.reply_len = below(2) == 0 ? 0 : put_subject(r, w, p->slot);
	for (i = 0; i < h.count; i++) {
		put_chance(r, h.size);
		put(r, below(8) == 0 ? "xx" : "\r\n", 2);
	}
	memcpy(r->p, &h, sizeof h);
}

static void
make_refused(struct record *r, struct worker *w, const struct peer *p)
{
	struct rec_refused_shm h;

	memset(&h, 0, sizeof h);
	h.target = p->incarnation;
	h.origin_line = (uint32_t)below(32);
	h.origin_num = (uint32_t)below(256);
	h.ticket = (uint32_t)below(64);
	h.nslots = (uint32_t)below(4);
	r->len = sizeof h;
	h.subject_len = put_subject(r, w, p->slot);
	h.reply_len = put_subject(r, w, p->slot);
	memcpy(r->p, &h, sizeof h);
}

static void
make_barrier(struct record *r, const struct peer *p)
{
	struct rec_barrier_shm h;

	memset(&h, 0, sizeof h);
	h.target = p->incarnation;
	h.number = below(4) == 0 ? chance() : below(64);
	r->len = 0;
	put(r, &h, sizeof h);
}

static void
make_stall(struct record *r, const struct peer *p)
{
	struct rec_stall_shm h;

	memset(&h, 0, sizeof h);
	h.target = p->incarnation;
	h.origin_line = (uint32_t)below(32);
	h.origin_num = (uint32_t)below(256);
	h.stall_ms = (uint32_t)(below(2) == 0 ? below(20) : chance());
	r->len = 0;
	put(r, &h, sizeof h);
}

static void
make_fragment(struct record *r, const struct peer *p)
{
	struct rec_fragment_shm h;

	memset(&h, 0, sizeof h);
	h.target = p->incarnation;
	h.len = 1 + (uint32_t)below(500);
	h.offset = below(2) == 0 ? 0 : (uint32_t)below(1000);
	h.total = below(4) == 0 ? (uint32_t)chance() : h.offset + h.len +
	    (uint32_t)below(2) * 100;
	r->len = 0;
	put(r, &h, sizeof h);
	put_chance(r, h.len);
}

static void
damage(struct worker *w, struct record *r)
{
	struct piece all = { r->p + 8, r->len - 8 };
	uint64_t n = below(4);

	if (r->len <= 16)
		return;
	for (; n > 0; n--)
		if (below(2) == 0)
			flip(all);
		else
			store(w, all);
}

/* Into the ring by the rules; of the head the length is right, mostly. */
static void
commit(struct worker *w, struct peer *p, const struct record *r,
    uint32_t kind)
{
	struct ring_rec_shm *rec;

	rec = ring_tx_reserve(&p->tx, (uint32_t)r->len);
	if (rec == NULL)
		return;
	memcpy(rec, r->p, r->len);
	rec->kind = kind != RING_PAD ? kind : RECORD_MSG;
	ring_tx_commit(&p->tx, (uint32_t)r->len);
	rec->kind = kind;
	if (below(32) == 0)
		rec->len = (uint32_t)odd_word(w);
	w->dirty |= UINT64_C(1) << p->slot;
}

static void
inject_record(struct worker *w)
{
	struct peer *p = some_peer(w);
	static struct record r;
	uint32_t kind = (uint32_t)below(RECORD_STALL + 2);

	if (p == NULL)
		return;
	switch (kind) {
	case RECORD_MSG:
		make_msg(&r, w, p);
		break;
	case RECORD_FRAGMENT:
		make_fragment(&r, p);
		break;
	case RECORD_REFUSED:
		make_refused(&r, w, p);
		break;
	case RECORD_QUESTION:
	case RECORD_ANSWER:
		make_barrier(&r, p);
		break;
	case RECORD_STALL:
		make_stall(&r, p);
		break;
	default: /* pads in the wrong place, and kinds that there are not */
		r.len = 16;
		fill(r.p, r.len);
		memcpy(r.p + 8, &p->incarnation, 4);
	}
	if (below(2) == 0)
		damage(w, &r);
	commit(w, p, &r, kind);
}

/* Once more what stands at the end of the ring, with a few faults. */
static void
inject_again(struct worker *w)
{
	struct peer *p = some_peer(w);
	static struct record r;
	uint64_t idx, n;
	uint32_t kind;

	if (p == NULL)
		return;
	n = 16 + below(600);
	if (n > p->tx.head)
		n = p->tx.head;
	idx = ((p->tx.head - n) & (p->tx.size - 1)) & ~UINT64_C(7);
	if (n < 16 || idx + n > p->tx.size)
		return;
	r.len = 0;
	put(&r, p->tx.data + idx, n);
	memcpy(&kind, r.p + 4, sizeof kind);
	memcpy(r.p + 8, &p->incarnation, 4);
	damage(w, &r);
	commit(w, p, &r, below(2) == 0 ? kind : RECORD_MSG);
}

/* ---- requests --------------------------------------------------------- */

static void
inject_bells(struct worker *w)
{
	uint64_t n = STORM, value, count;
	struct peer *p;

	while (n-- > 0 && (p = some_peer(w)) != NULL) {
		value = below(20) == 0 ? UINT64_MAX - 1 : 1;
		if (below(20) == 0)
			(void)!read(p->bell.fd, &count, sizeof count);
		else
			(void)!write(p->bell.fd, &value, sizeof value);
	}
}

/* A packet with descriptors, to a socket of ours. */
static void
send_packet(int fd, const void *p, size_t n, int nfds)
{
	struct iovec iov = { (void *)(uintptr_t)p, n };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(8 * sizeof(int))];
	} control;
	struct cmsghdr *c;
	int i, one = report_fd;

	if (nfds > 0) {
		memset(&control, 0, sizeof control);
		msg.msg_control = control.space;
		msg.msg_controllen = CMSG_SPACE((size_t)nfds * sizeof one);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN((size_t)nfds * sizeof one);
		for (i = 0; i < nfds; i++)
			memcpy(CMSG_DATA(c) + (size_t)i * sizeof one, &one,
			    sizeof one);
	}
	(void)sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void
inject_chan(struct worker *w)
{
	static const uint32_t types[] = { CHAN_READY, CHAN_ACK,
		CHAN_COMPLAINT, CHAN_COMPLAINT };
	struct {
		uint32_t type, len;
		uint64_t arg;
		uint8_t body[2048];
	} m;

	fill(m.body, sizeof m.body);
	m.type = types[below(4)];
	m.len = (uint32_t)below(CHAN_BODY_MAX + 1);
	m.arg = below(4) == 0 ? chance() : below(w->nslots);
	if (m.type == CHAN_COMPLAINT && m.arg < w->nslots && below(4) != 0)
		m.arg = chan_process((uint32_t)m.arg,
		    w->peer[m.arg].incarnation);
	/* What nobody may send ends this process: seldom. */
	if (below(100) == 0)
		m.type = (uint32_t)odd_word(w);
	if (below(100) == 0) {
		m.len = (uint32_t)odd_word(w);
		send_packet(w->chan.fd, &m, below(sizeof m), 0);
		return;
	}
	send_packet(w->chan.fd, &m, 16 + m.len, below(4) == 0 ?
	    (int)below(8) : 0);
}

static void
inject_log(struct worker *w)
{
	struct {
		uint32_t level, len;
		uint8_t text[4096];
	} m;

	(void)w;
	fill(m.text, sizeof m.text);
	m.level = (uint32_t)(below(2) == 0 ? below(8) : chance());
	m.len = (uint32_t)(below(2) == 0 ? below(200) : chance());
	send_packet(log_fd, &m, below(16) == 0 ? below(sizeof m) :
	    below(200), below(16) == 0 ? (int)below(8) : 0);
}

static void
inject_index_flip(struct worker *w)
{
	flip(index_piece(w));
}

static void
inject_index_word(struct worker *w)
{
	store(w, index_piece(w));
}

static void
inject_own_flip(struct worker *w)
{
	flip(own_piece(w));
}

static void
inject_own_word(struct worker *w)
{
	store(w, own_piece(w));
}

static void
inject_ring_flip(struct worker *w)
{
	flip(ring_piece(w));
}

static void
inject_ring_word(struct worker *w)
{
	store(w, ring_piece(w));
}

static void
inject_greedy(struct worker *w)
{
	(void)w;
	greedy = true;
}

static void
inject_silent(struct worker *w)
{
	(void)w;
	silent = true;
}

static void
inject_heads(struct worker *w)
{
	slotno s;

	for (s = 0; s < w->nslots; s++)
		if (w->peer[s].attached)
			memset((void *)w->peer[s].tx.shm, 0xff,
			    sizeof(struct zone_head_shm));
}

static struct {
	const char *name;
	void (*make)(struct worker *w);
	uint64_t made;
} kind[] = {
	{ "index-flip", inject_index_flip, 0 },
	{ "index-word", inject_index_word, 0 },
	{ "own-flip", inject_own_flip, 0 },
	{ "own-word", inject_own_word, 0 },
	{ "ring-flip", inject_ring_flip, 0 },
	{ "ring-word", inject_ring_word, 0 },
	{ "record", inject_record, 0 },
	{ "record-again", inject_again, 0 },
	{ "bells", inject_bells, 0 },
	{ "control", inject_chan, 0 },
	{ "log", inject_log, 0 },
	/* Once and for all. */
	{ "greedy", inject_greedy, 0 },
	{ "silent", inject_silent, 0 },
	/* Nobody attached sees it: who comes next does. */
	{ "heads", inject_heads, 0 },
};
#define KINDS (sizeof kind / sizeof kind[0])

/* ---- life -------------------------------------------------------------- */

static void
report(void)
{
	char text[512];
	size_t n = 0, i;

	for (i = 0; i < KINDS; i++)
		n += (size_t)snprintf(text + n, sizeof text - n,
		    "%s %" PRIu64 "\n", kind[i].name, kind[i].made);
	n += (size_t)snprintf(text + n, sizeof text - n, "left %-20" PRIu64
	    "\n", left);
	if (report_fd != -1)
		(void)!pwrite(report_fd, text, n, 0);
}

static void
one(struct worker *w)
{
	size_t k;

	do
		k = below(KINDS);
	while ((kinds >> k & 1) == 0);
	kind[k].made++;
	left--;
	report(); /* before: it may be the last thing we do */
	kind[k].make(w);
}

static void
wake(struct loop *loop, struct loop_timer *t)
{
	if (left > 0)
		loop_timer_set(loop, t, loop_now(loop) + 1);
}

/* Is it our turn?  Then arm. */
static void
look(struct worker *w)
{
	const char *path = getenv("NATSD_INJECT");
	unsigned long long seed, interval, count;
	char name[512];
	long pid;
	FILE *f;
	int n;

	if (path == NULL || (f = fopen(path, "re")) == NULL)
		return;
	n = fscanf(f, "%ld %llu %" SCNu32 " %llu %llu", &pid, &seed, &kinds,
	    &interval, &count);
	(void)fclose(f);
	kinds &= (1u << KINDS) - 1;
	if (n != 5 || pid != (long)getpid() || kinds == 0)
		return;
	(void)snprintf(name, sizeof name, "%s.%ld", path, pid);
	report_fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	rnd = hash_mix(seed + 1, HASH_K0) | 1;
	interval_us = interval;
	left = count;
	next_us = clock_mono_ns() / 1000;
	loop_timer_init(&waker, wake);
	loop_timer_set(&w->loop, &waker, w->now_ms + 1);
}

void
__wrap_peer_pump(struct worker *w)
{
	uint64_t now = clock_mono_ns() / 1000;
	int most = AT_ONCE_MAX;
	slotno s;

	if (report_fd == -1 && now / 1000 >= look_ms &&
	    w->state == WORKER_SERVING) {
		look_ms = now / 1000 + LOOK_MS;
		look(w);
	}
	for (; left > 0 && now >= next_us && most > 0; most--) {
		next_us += interval_us;
		one(w);
	}
	for (s = 0; silent && s < w->nslots; s++)
		w->peer[s].answer_sent = w->peer[s].answer;
	__real_peer_pump(w);
}
