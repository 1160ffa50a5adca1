/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzz target: what another worker could do to this one.  Slot 0 is the other
 * one, slot 1 ours.  The input is a list of steps; each begins with a byte:
 *
 *	message		a RECORD_MSG that is whole, then damaged
 *	raw		any bytes as a record
 *	garbage		any bytes into the ring, any position published
 *	index		bytes of its subject index are overwritten
 *	own		its consumed position jumps
 *	successor	it dies and another one takes its slot
 *
 * After each step our worker drains, matches and answers.  It must live; what
 * it delivers lies in the record and belongs to the subscription that gets it,
 * and what it sends is well formed.
 */
#include <config.h>

#include <unistd.h>

/* Small: many are made and thrown away. */
#define TRIES_BYTES (UINT64_C(64) << 10)

#include "fuzz/fuzz.h"
#include "lib/shmpair.h"
#include "lib/tries.h"
#include "worker/record.h"
#include "worker/worker_priv.h"

#define FROM 0
#define TO 1
#define READERS 4
#define REFS_MAX 16
#define RECORD_MAX 8192

enum step {
	STEP_MESSAGE, STEP_RAW, STEP_GARBAGE, STEP_INDEX, STEP_OWN,
	STEP_SUCCESSOR, STEP_REFUSED, STEP_FRAGMENT, STEPS
};

struct reader {
	struct subscriber who;
	struct sub_map map;
	uint32_t takes; /* messages, at most */
	uint64_t sum; /* of what it has read, so that it is read */
};

static struct tries t;
static struct shmpair pair; /* own zones, and the ring to us */
static struct zone_fds out_fds;
static struct zone out_rw, out_ro; /* the ring from us */
static struct ring_rx out; /* as the other worker reads it */
static struct worker *w;
static struct score_proc_shm score;
static struct reader reader[READERS];
static struct trie_ref ref[REFS_MAX];
static unsigned nrefs;
static uint32_t incarnation; /* of the other worker */
static int bell_fd = -1;

static void
no_log(void *ctx, enum log_level lvl, const char *role, int pid,
    const char *text, size_t len)
{
	(void)ctx;
	(void)lvl;
	(void)role;
	(void)pid;
	FUZZ_CHECK(strlen(text) == len);
}

/* ---- subscribers --------------------------------------------------------- */

static bool
reader_accepts(const struct worker *worker, const struct subscriber *who,
    const struct sub *s, const struct msg *m)
{
	const struct reader *r = (const struct reader *)(const void *)who;

	(void)worker;
	(void)s;
	(void)m;
	return r->takes > 0;
}

static void
read_all(struct reader *r, const uint8_t *p, size_t len)
{
	for (; len > 0; len--)
		r->sum += *p++;
}

static uint32_t
reader_deliver(struct worker *worker, struct subscriber *who,
    const struct sub *s, struct msg *m, uint32_t first, uint32_t n)
{
	struct reader *r = (struct reader *)(void *)who;
	char pattern[256];
	uint32_t i;
	size_t len;

	len = trie_subject(worker->trie, s->cell, pattern, sizeof pattern);
	FUZZ_CHECK(subject_match((const uint8_t *)pattern, len, m->subject.p,
	    m->subject.len));
	FUZZ_CHECK(subject_valid_word(m->subject.p, m->subject.len));
	FUZZ_CHECK(subject_valid_word(m->reply.p, m->reply.len));
	FUZZ_CHECK(first + n <= m->count && m->hdr_size <= m->size);
	FUZZ_CHECK(m->subject.len > 0);
	FUZZ_CHECK(m->body + (m->count - 1) * m->stride + m->size + 2 <=
	    m->safe);
	m->stall_ms = m->size % 8;
	read_all(r, m->subject.p, m->subject.len);
	read_all(r, m->reply.p, m->reply.len);
	for (i = first; i < first + n && r->takes > 0; i++, r->takes--)
		read_all(r, m->body + i * m->stride, m->size + 2);
	return i - first;
}

static void
reader_finished(struct worker *worker, struct subscriber *who, uint32_t n)
{
	struct reader *r = (struct reader *)(void *)who;

	subs_del(&worker->subs, &r->map, ACCOUNT_DEFAULT, n);
	match_changed(&worker->matcher);
}

static bool
reader_fits(const struct worker *worker, const struct subscriber *who,
    const struct sub *s, const struct msg *m)
{
	(void)worker;
	(void)who;
	(void)s;
	(void)m;
	return true;
}

static bool
reader_dropped(struct worker *worker, struct subscriber *who,
    const struct sub *s, const struct msg *m)
{
	(void)worker;
	(void)who;
	(void)s;
	(void)m;
	return false;
}

static const struct subscriber_ops reader_ops = { reader_accepts,
	reader_fits, reader_dropped, reader_deliver, reader_finished };

static struct slice
slice(const char *text)
{
	struct slice s = { (const uint8_t *)text, (uint32_t)strlen(text) };

	return s;
}

static void
subscribe(int r, const char *pattern, const char *queue, uint32_t max)
{
	static struct token tok[TRIES_TOKENS];
	struct sub_new n;
	char sid[16];
	subno no;

	memset(&n, 0, sizeof n);
	(void)snprintf(sid, sizeof sid, "%u", nrefs);
	n.who = &reader[r].who;
	n.map = &reader[r].map;
	n.account = ACCOUNT_DEFAULT;
	n.ntok = tries_split(pattern, tok);
	n.tok = tok;
	n.sid = slice(sid);
	n.queue = slice(queue);
	FUZZ_CHECK(subs_add(&w->subs, &n, &no) == TRIE_OK);
	subs_at(&w->subs, no)->max = max;
	match_changed(&w->matcher);
	/* The serial is what a sender would find by a walk. */
	ref[nrefs].cell = subs_at(&w->subs, no)->cell;
	for (ref[nrefs].serial = 0; ref[nrefs].serial < 64 &&
	    !trie_ref_live(t.trie[TO], ref[nrefs]);)
		ref[nrefs].serial++;
	nrefs++;
}

static void
subscribe_all(void)
{
	static struct token tok[TRIES_TOKENS];
	struct trie_ref other;
	uint32_t n;

	subscribe(0, "a.b", "", 0);
	subscribe(0, "a.*", "", 3);
	subscribe(1, "a.>", "", 0);
	subscribe(1, "a.b", "q", 0);
	subscribe(2, "a.*", "q", 2);
	subscribe(2, "longer.subject.than.a.cell", "another", 0);
	subscribe(3, ">", "q", 0);
	subscribe(3, "inbox.*", "", 1);
	/* The other one has members too: messages are passed on to it. */
	n = tries_split("a.b", tok);
	FUZZ_CHECK(trie_add_group(t.trie[FROM], ACCOUNT_DEFAULT, tok, n,
	    (const uint8_t *)"q", 1, &other) == TRIE_OK);
	FUZZ_CHECK(trie_add_plain(t.trie[FROM], ACCOUNT_DEFAULT, tok, n,
	    &other) == TRIE_OK);
}

/* ---- setup --------------------------------------------------------------- */

static void
on_broken(void *ctx, slotno slot)
{
	FUZZ_CHECK(slot == FROM);
	peer_broken(ctx, slot, "its subject index");
}

static void
setup_matcher(void)
{
	struct matcher *mt = &w->matcher;
	slotno s;

	mt->slots = &t.slots;
	mt->self = TO;
	mt->hash_seed = TRIES_SEED;
	mt->broken = on_broken;
	mt->ctx = w;
	for (s = 0; s < 2; s++)
		tries_check(trie_reader_attach(&mt->reader[s], &t.ro[s],
		    TRIES_SEED));
	mt->readable = 3;
	tries_check(match_init(mt, TRIES_TOKENS));
}

static void
setup_peer(void)
{
	struct peer *p = &w->peer[FROM];

	shmpair_new(&pair, RING_MIN);
	shmpair_check(zone_create("ring", RING_MAGIC, ring_shm_size(RING_MIN),
	    &out_fds));
	shmpair_check(zone_map_rw(&out_fds, RING_MAGIC, &out_rw));
	shmpair_check(zone_map_ro(&out_fds, RING_MAGIC, &out_ro));
	ring_shm_init((struct ring_shm *)(void *)out_rw.base, RING_MIN);
	p->slot = FROM;
	shmpair_rx(&pair, &p->rx);
	tries_check(ring_tx_attach(&p->tx, &out_rw, pair.own[TO], TO,
	    pair.seen[FROM], FROM));
	tries_check(ring_rx_attach(&out, &out_ro, pair.own[FROM], FROM,
	    pair.seen[TO], TO));
	bell_attach(&p->bell, bell_fd, pair.seen[FROM]);
	buf_init(&p->outbox, p->tx.size);
	buf_init(&p->assembly, 1 << 20);
	p->attached = true;
}

static void
setup(void)
{
	int i;

	if (bell_fd == -1) {
		FUZZ_CHECK((bell_fd = bell_create()) != -1);
		log_set_sink(no_log, NULL);
	}
	tries_new(&t, 2);
	w = calloc(1, sizeof *w);
	FUZZ_CHECK(w != NULL);
	memset(&score, 0, sizeof score);
	memset(reader, 0, sizeof reader);
	for (i = 0; i < READERS; i++) {
		reader[i].who.ops = &reader_ops;
		reader[i].takes = i == 2 ? 5 : UINT32_MAX;
	}
	w->self = TO;
	w->incarnation = TO + 1;
	w->nslots = 2;
	w->score = &score;
	w->rnd = 88172645463325252u;
	w->slots = &t.slots;
	w->own = pair.own[TO];
	w->trie = t.trie[TO];
	w->chan.fd = -1;
	w->mem_share = 1 << 20;
	incarnation = FROM + 1;
	nrefs = 0;
	tries_check(subs_init(&w->subs, t.trie[TO], TRIES_SEED, 8 << 20));
	setup_matcher();
	tries_check(refuse_init(w));
	tries_check(deal_init(w));
	setup_peer();
	w->own = pair.own[TO];
	subscribe_all();
	peer_look(w);
	FUZZ_CHECK(w->peer[FROM].incarnation == incarnation);
}

static void
teardown(void)
{
	int i;

	peer_fini(w);
	for (i = 0; i < READERS; i++)
		subs_del_all(&w->subs, &reader[i].map, ACCOUNT_DEFAULT);
	FUZZ_CHECK(trie_valid(t.trie[TO]) == 0);
	subs_fini(&w->subs);
	match_fini(&w->matcher);
	refuse_fini(w);
	receive_fini(w);
	free(w->deal);
	free(w->scratch);
	free(w);
	tries_free(&t);
	zone_unmap(&out_rw);
	zone_unmap(&out_ro);
	zone_close(&out_fds);
	shmpair_free(&pair);
}

/* ---- the other worker --------------------------------------------------- */

/* A record under construction. */
struct record {
	uint8_t p[RECORD_MAX];
	size_t len;
};

static void
put(struct record *r, const void *p, size_t len)
{
	if (len > sizeof r->p - r->len)
		len = sizeof r->p - r->len;
	memcpy(r->p + r->len, p, len);
	r->len += len;
}

static void
put_input(struct record *r, struct fuzz_in *in, size_t len)
{
	uint8_t c;

	for (; len > 0; len--) {
		c = fuzz_byte(in);
		put(r, &c, 1);
	}
}

/* Where the ring's next record goes: a pad first, if it does not fit. */
static uint64_t
ring_place(size_t len)
{
	/* Garbage may have left it between two records. */
	uint64_t at = ring_align(atomic_load(&pair.ring->produced));
	uint64_t idx = at & (pair.size - 1), left = pair.size - idx;
	struct ring_rec_shm pad = { (uint32_t)left, RING_PAD };

	if (ring_align(len) <= left)
		return at;
	memcpy(pair.data + idx, &pad, sizeof pad);
	return at + left;
}

/* Into the ring, with a length that is right unless the record is raw. */
static void
publish(struct record *r, uint32_t kind, bool raw)
{
	struct ring_rec_shm head = { (uint32_t)r->len, kind };
	uint64_t at = ring_place(r->len);

	if (!raw)
		memcpy(r->p, &head, sizeof head);
	memcpy(pair.data + (at & (pair.size - 1)), r->p, r->len);
	atomic_store(&pair.ring->produced, at + ring_align(r->len));
}

static void
damage(struct record *r, struct fuzz_in *in)
{
	unsigned n = fuzz_byte(in) % 4;

	for (; n > 0 && r->len > 0; n--) {
		size_t at = fuzz_byte(in) % r->len;

		r->p[at] = fuzz_byte(in);
	}
}

static void
put_refs(struct record *r, struct fuzz_in *in, unsigned n)
{
	struct rec_ref_shm one;
	uint8_t c;

	for (; n > 0; n--) {
		c = fuzz_byte(in);
		one.cell = ref[c % nrefs].cell;
		one.serial = ref[c % nrefs].serial;
		if (c >= 128)
			one.cell = fuzz_byte(in);
		put(r, &one, sizeof one);
	}
}

static void
put_groups(struct record *r, struct fuzz_in *in, unsigned n)
{
	static const char *const names[] = { "q", "another", "none", "qq" };
	static const uint8_t zeros[8];
	struct rec_group_shm g;
	const char *name;
	uint8_t c;

	for (; n > 0; n--) {
		c = fuzz_byte(in);
		name = names[c & 3];
		g.namelen = (uint32_t)strlen(name);
		g.nrefs = c >> 2 & 3;
		put(r, &g, sizeof g);
		put(r, name, g.namelen);
		put(r, zeros, (8 - g.namelen % 8) % 8);
		put_refs(r, in, g.nrefs);
	}
}

static void
step_message(struct fuzz_in *in)
{
	static const char *const subjects[] = { "a.b", "a.c", "a.b.c",
		"longer.subject.than.a.cell", "inbox.1", "a..b", "a.*", ">" };
	static struct record r;
	struct rec_msg_shm h;
	const char *subject;
	uint8_t c = fuzz_byte(in);
	unsigned i;

	memset(&h, 0, sizeof h);
	h.target = w->incarnation;
	h.account = ACCOUNT_DEFAULT;
	h.flags = fuzz_byte(in) & 15;
	h.count = (c & 3) + 1;
	h.nplain = c >> 2 & 3;
	h.ngroups = c >> 4 & 3;
	h.origin_slot = c >> 6 & 1;
	h.origin_incarnation = c & 128 ? incarnation : TO + 1;
	subject = subjects[fuzz_byte(in) & 7];
	h.subject_len = (uint32_t)strlen(subject);
	h.reply_len = fuzz_byte(in) & 1 ? 7 : 0;
	h.size = fuzz_byte(in);
	h.hdr_size = h.size / 2;
	h.nslots = fuzz_byte(in) & 3;
	r.len = 0;
	put(&r, &h, sizeof h);
	put_refs(&r, in, h.nplain);
	put_groups(&r, in, h.ngroups);
	put(&r, subject, h.subject_len);
	put(&r, "inbox.1", h.reply_len);
	for (i = 0; i < h.count * (h.size + 2); i++)
		put(&r, i % (h.size + 2) == h.size ? "\r" :
		    i % (h.size + 2) == h.size + 1 ? "\n" : "x", 1);
	damage(&r, in);
	publish(&r, RECORD_MSG, false);
}

static void
step_raw(struct fuzz_in *in)
{
	uint8_t how = fuzz_byte(in);
	static struct record r;

	r.len = 0;
	put(&r, &(struct ring_rec_shm){ 0, 0 }, sizeof(struct ring_rec_shm));
	if ((how & 128) == 0)
		put(&r, &w->incarnation, sizeof w->incarnation);
	put_input(&r, in, fuzz_byte(in));
	publish(&r, how & 15, (how & 64) != 0);
}

static void
step_refused(struct fuzz_in *in)
{
	struct rec_refused_shm h;
	static struct record r;

	memset(&h, 0, sizeof h);
	h.target = w->incarnation;
	h.origin_line = fuzz_byte(in);
	h.origin_num = fuzz_byte(in);
	h.ticket = fuzz_byte(in);
	h.nslots = fuzz_byte(in);
	h.subject_len = fuzz_byte(in);
	h.reply_len = fuzz_byte(in);
	r.len = 0;
	put(&r, &h, sizeof h);
	put_input(&r, in, h.subject_len + h.reply_len);
	damage(&r, in);
	publish(&r, RECORD_REFUSED, false);
}

/* A piece of a message: the bytes of the whole come from the input. */
static void
step_fragment(struct fuzz_in *in)
{
	struct rec_fragment_shm f;
	static struct record r;

	memset(&f, 0, sizeof f);
	f.target = w->incarnation;
	f.total = fuzz_byte(in) * 2u;
	f.offset = fuzz_byte(in);
	f.len = fuzz_byte(in);
	r.len = 0;
	put(&r, &f, sizeof f);
	put_input(&r, in, f.len);
	damage(&r, in);
	publish(&r, RECORD_FRAGMENT, false);
}

static void
step_garbage(struct fuzz_in *in)
{
	uint64_t at = atomic_load(&pair.ring->produced);
	unsigned n = fuzz_byte(in), i;

	for (i = 0; i < n; i++)
		pair.data[(at + i) & (pair.size - 1)] = fuzz_byte(in);
	n = fuzz_byte(in);
	atomic_store(&pair.ring->produced, n & 128 ? at + fuzz_word(in) :
	    at + 8 * (n & 127));
}

static void
step_index(struct fuzz_in *in)
{
	const struct zone *z = &t.rw[FROM];
	size_t used = TRIES_BYTES / 8, at = fuzz_word(in);
	unsigned n = fuzz_byte(in) % 8 + 1;

	/* Mostly where something stands: behind the constants of the head. */
	at = at & 1 ? at % z->size : at % used;
	for (; n > 0; n--, at++)
		if (at >= TRIE_CONSTANTS && at < z->size)
			z->base[at] = fuzz_byte(in);
}

/* Its process ends; who comes next finds what it left. */
static void
step_successor(void)
{
	slots_set_dead(&t.slots, FROM);
	peer_look(w);
	FUZZ_CHECK(w->peer[FROM].incarnation == 0);
	slots_set_spare(&t.slots, FROM);
	slots_start(&t.slots, FROM, ++incarnation, SLOT_ROLE_WORKER);
	tries_check(ring_rx_attach(&out, &out_ro, pair.own[FROM], FROM,
	    pair.seen[TO], TO));
	slots_set_live(&t.slots, FROM);
	peer_look(w);
	FUZZ_CHECK(w->peer[FROM].incarnation == incarnation);
	FUZZ_CHECK(!w->peer[FROM].broken);
}

static void
step(struct fuzz_in *in)
{
	switch (fuzz_byte(in) % STEPS) {
	case STEP_MESSAGE:
		step_message(in);
		break;
	case STEP_RAW:
		step_raw(in);
		break;
	case STEP_GARBAGE:
		step_garbage(in);
		break;
	case STEP_INDEX:
		step_index(in);
		break;
	case STEP_OWN:
		atomic_store(&pair.own[FROM]->peer[TO].consumed,
		    (int8_t)fuzz_byte(in) + atomic_load(
		    &pair.own[FROM]->peer[TO].consumed));
		break;
	case STEP_SUCCESSOR:
		step_successor();
		break;
	case STEP_REFUSED:
		step_refused(in);
		break;
	default:
		step_fragment(in);
	}
}

/* ---- our worker -------------------------------------------------------- */

static void
check_sent(void)
{
	const struct ring_rec_shm *rec;
	enum ring_status st;
	uint32_t len, kind;
	uint64_t limit;

	/* Who lies about its position gets what he deserves. */
	if (w->peer[FROM].tx.broken || out.broken)
		return;
	st = ring_rx_look(&out, &limit);
	while (st == RING_OK) {
		st = ring_rx_next(&out, limit, &rec, &len, &kind);
		if (st != RING_OK)
			break;
		FUZZ_CHECK(kind >= RECORD_MSG && kind <= RECORD_STALL);
		FUZZ_CHECK(len <= RING_MIN / 2);
	}
	FUZZ_CHECK(st == RING_EMPTY);
	(void)ring_rx_release(&out);
}

static void
iteration(void)
{
	static const char *const subjects[] = { "a.b", "inbox.1", "x.y.z" };
	bool moved = atomic_load(&pair.own[FROM]->peer[TO].consumed) !=
	    out.released;
	size_t i;

	peer_look(w);
	peer_drain(w);
	for (i = 0; i < 3; i++)
		(void)match_find(&w->matcher, ACCOUNT_DEFAULT,
		    slice(subjects[i]));
	peer_pump(w);
	peer_publish(w);
	(void)peer_want_space(w);
	if (!moved)
		check_sent();
	FUZZ_CHECK(w->peer[FROM].outbox.len <= w->peer[FROM].outbox.max);
	FUZZ_CHECK(w->peer[FROM].assembly.len <= w->peer[FROM].assembly.max);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };

	if (size > 2048)
		return 0;
	setup();
	while (in.len > 0) {
		step(&in);
		iteration();
	}
	/* Whatever it did, its successor is a new beginning. */
	step_successor();
	iteration();
	teardown();
	return 0;
}
