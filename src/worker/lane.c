/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The short way for messages that do not come in runs: control lines seen
 * lately, and what became of them.  A line that was seen twice, whose messages
 * go to one plain subscription of one client here and nowhere else, is kept
 * with the control line that this client gets.  The next message that begins
 * with the same bytes is copied behind it: no parsing, no match, no routing.
 *
 * An entry holds in the view in which it was made (match.h): same view, same
 * interest, so the same receiver.  Whatever could make another difference is
 * asked for each message, or for each read(): lane_open().  Anything unusual
 * is left to the long way.
 *
 * Lines at random make branches that are guessed wrong, each of them as dear
 * as forty instructions: so the end of a line, the place of its entry and the
 * copies are found and made without branches that depend on them.
 *
 * (1:1, 8 subjects at random, 16 bytes: 115 ns per message by the long way.)
 */
#include <config.h>

#include <assert.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/scan.h"
#include "proto/emit.h"
#include "worker/worker_priv.h"

#define LANE_ENTRIES 1024u /* all sizes of a few subjects, say */
#define LANE_WAYS 4u /* see scan_word4() */
#define LANE_SEEN 1024u
#define LANE_LINE OUT_SLACK /* longer lines take the long way */
#define LANE_LEAST 8u /* shorter ones too */
#define LANE_SHORT SCAN_BYTES
#define LANE_WORDS (LANE_LINE / 8)
#define LANE_SETS (LANE_ENTRIES / LANE_WAYS)
#define LANE_MISSES 64u /* in a row: these lines do not come again */
#define LANE_RUN 8u /* longer runs take the long way: there they cost less */
#define LANE_PEEK 16u /* one message in so many may begin such a run */
#define LANE_MEDIUM 256u /* payloads up to here: copied without a branch */
#define LANE_HEAD (3 * LANE_LINE) /* room to make a line that may be longer */
#define SID_FAST 16u /* longer ones take a call of memcpy(), and more */
#define ALWAYS_INLINE __attribute__((always_inline))

/* What a publisher must be, or may not be, for an entry to hold. */
enum { LANE_HEADERS = 1, LANE_NO_REPLY = 2 };

/* The line as the publisher sends it is kept as words that cover it, at its
 * beginning and, overlapping them, at its end: four up to LANE_SHORT bytes,
 * else eight.  Two lines of one length are equal if their words are.  Two
 * cache lines: with payloads of many sizes these are many entries. */
struct lane_entry {
	alignas(64) uint64_t word[4]; /* the others: struct lane */
	uint64_t view; /* 0: empty */
	struct client *to;
	struct sub *sub;
	uint32_t body_len; /* of what the receiver gets behind its head */
	uint8_t line_len;
	uint8_t head_len;
	uint8_t needs; /* LANE_HEADERS, LANE_NO_REPLY */
	alignas(64) uint8_t head[LANE_LINE]; /* as the receiver gets it */
};
static_assert(LANE_LINE <= UINT8_MAX, "lengths of lines are bytes");
static_assert(sizeof(struct lane_entry) == 128, "two cache lines");

/* What says where the next message begins is apart from the entries, and so
 * in the first cache: nothing that follows need wait for an entry. */
struct lane_set {
	alignas(32) uint32_t hash[LANE_WAYS]; /* of the line, 0: empty */
	uint32_t in_len[LANE_WAYS]; /* of the whole message, as it is sent */
};

struct lane {
	struct lane_set set[LANE_SETS];
	struct lane_entry entry[LANE_ENTRIES];
	uint64_t more[LANE_ENTRIES][4]; /* words of longer lines */
	uint32_t seen[LANE_SEEN]; /* hashes of lines seen once */
	uint32_t misses; /* in a row */
	bool missed; /* the line at hand was looked for and not found */
};

/* Messages on their way from a publisher.  Those to one receiver are
 * accounted for together, when another one's turn comes or there are no more:
 * lane_settle(). */
struct lane_flow {
	const uint8_t *p, *end; /* what is left of the input */
	const uint8_t *next; /* message, if the one at p is known */
	uint64_t view; /* now */
	/* Not accounted for: messages, and what of their bytes is no payload.
	 * (Apart, or gcc 12 adds them as vectors that it keeps in memory.) */
	uint32_t msgs;
	uint32_t lacks; /* of the publisher: LANE_HEADERS, LANE_NO_REPLY */
	uint64_t lines;
	const uint8_t *from; /* where they begin */
	uint64_t heads;
	struct client *to; /* NULL: nobody yet */
	uint8_t *start, *at, *limit; /* in its output */
	uint32_t lens; /* of bodies, or-ed together */
};

static_assert(SID_FAST <= SUB_SID_INLINE, "sids are copied as a whole");

int
lane_init(struct worker *w)
{
	w->lane = aligned_alloc(alignof(struct lane), sizeof *w->lane);
	if (w->lane == NULL)
		return -1;
	memset(w->lane, 0, sizeof *w->lane);
	return 0;
}

/* May this client's messages go the short way? */
static bool
lane_open(const struct client *c)
{
	return !c->verbose && !c->pedantic && c->authorized &&
	    !log_trace_on();
}

/* ---- lines ----------------------------------------------------------- */

/* The length of the control line that begins the LANE_LINE bytes at p; 0: it
 * does not end there. */
static inline uint32_t
line_length(const uint8_t *p)
{
	uint32_t ends = scan_equal(p, '\n');

	if (ends != 0)
		return (uint32_t)__builtin_ctz(ends) + 1;
	ends = scan_equal(p + SCAN_BYTES, '\n');
	return ends == 0 ? 0 : SCAN_BYTES + (uint32_t)__builtin_ctz(ends) + 1;
}

/* The words of a short line, of LANE_LEAST bytes or more. */
struct short_line {
	uint64_t a, b, c, d;
};

static inline struct short_line
short_words(const uint8_t *p, size_t n)
{
	/* Up to 16 bytes: the first and the last word, twice. */
	return (struct short_line){ hash_load64(p),
	    hash_load64(p + (n < 16 ? n - 8 : 8)),
	    hash_load64(p + (n < 16 ? 0 : n - 16)),
	    hash_load64(p + n - 8) };
}

static inline uint32_t
short_hash(const struct short_line *v)
{
	/* Turned, so that bytes that change alike do not cancel out. */
	uint64_t h = hash_mix(v->a ^ (v->d << 21 | v->d >> 43) ^ HASH_K0,
	    v->b ^ (v->c << 43 | v->c >> 21) ^ HASH_K1);

	return (uint32_t)(h >> 32) | 1u << 31;
}

static inline bool
short_equal(const struct short_line *v, const struct lane_entry *e)
{
	return v->a == e->word[0] && v->b == e->word[1] &&
	    v->c == e->word[2] && v->d == e->word[3];
}

static void
long_words(const uint8_t *p, size_t n, uint64_t word[LANE_WORDS])
{
	unsigned i;

	for (i = 0; i < 4; i++) {
		word[i] = hash_load64(p + 8 * i);
		word[4 + i] = hash_load64(p + n - 32 + 8 * i);
	}
}

/* Never 0. */
static uint32_t
long_hash(const uint64_t word[LANE_WORDS])
{
	uint64_t h = 0;
	unsigned i;

	for (i = 0; i < LANE_WORDS; i += 2)
		h = hash_mix(word[i] ^ HASH_K0 ^ h, word[i + 1] ^ HASH_K1);
	return (uint32_t)(h >> 32) | 1u << 31;
}

/* The place that may be that line's in its set: no branch tells them apart,
 * for it would be guessed wrong most of the time. */
static inline uint32_t
lane_way(const struct lane_set *set, uint32_t hash)
{
	return (uint32_t)__builtin_ctz(scan_word4(set->hash, hash) |
	    1u << (LANE_WAYS - 1));
}

/* ---- using it -------------------------------------------------------- */

/* An entry that a line may have, and how far it is to the next message. */
struct lane_hit {
	const struct lane_entry *e; /* NULL: it has none */
	size_t in_len;
};

static inline struct lane_hit
lane_hit(const struct lane *l, uint32_t hash)
{
	const struct lane_set *set = &l->set[hash % LANE_SETS];
	uint32_t way = lane_way(set, hash);

	return (struct lane_hit){ &l->entry[hash % LANE_SETS * LANE_WAYS +
	    way], set->in_len[way] };
}

static __attribute__((noinline)) struct lane_hit
look_long(const struct lane *l, const uint8_t *p, size_t n)
{
	uint64_t word[LANE_WORDS];
	struct lane_hit hit;

	long_words(p, n, word);
	hit = lane_hit(l, long_hash(word));
	if (memcmp(word, hit.e->word, sizeof hit.e->word) != 0 ||
	    memcmp(word + 4, l->more[hit.e - l->entry],
	    sizeof l->more[0]) != 0)
		hit.e = NULL;
	return hit;
}

/* What is known of the line of n bytes at p. */
static inline struct lane_hit
lane_look(const struct lane *l, const uint8_t *p, size_t n)
{
	struct short_line v;
	struct lane_hit hit;

	if (n > LANE_SHORT)
		return look_long(l, p, n);
	v = short_words(p, n);
	hit = lane_hit(l, short_hash(&v));
	if (!short_equal(&v, hit.e))
		hit.e = NULL;
	return hit;
}

static inline bool
ends_well(const uint8_t *end)
{
	uint16_t last, crlf;

	memcpy(&last, end - 2, sizeof last);
	memcpy(&crlf, "\r\n", sizeof crlf);
	return last == crlf;
}

/* What is known of the message that is next, which is whole and ends as it
 * should; NULL: nothing, or it needs the long way. */
static inline ALWAYS_INLINE const struct lane_entry *
lane_find(struct lane *l, struct lane_flow *f)
{
	struct lane_hit hit;
	size_t n;

	if (f->p >= f->end || (n = line_length(f->p)) < LANE_LEAST)
		return NULL;
	hit = lane_look(l, f->p, n);
	if (hit.e == NULL || hit.e->line_len != n || hit.e->view != f->view) {
		l->missed = true;
		return NULL;
	}
	if ((size_t)(f->end - f->p) < hit.in_len ||
	    (hit.e->needs & f->lacks) != 0)
		return NULL;
	f->next = f->p + hit.in_len;
	return ends_well(f->next) ? hit.e : NULL;
}

/* Has a run of more than LANE_RUN messages begun, the first of which is
 * known? */
static __attribute__((noinline)) bool
lane_run(const struct lane_flow *f, size_t line_len)
{
	size_t stride = (size_t)(f->next - f->p), i;

	if ((size_t)(f->end - f->p) / stride <= LANE_RUN)
		return false;
	for (i = 1; i <= LANE_RUN; i++)
		if (memcmp(f->p, f->p + i * stride, line_len) != 0)
			return false;
	return true;
}

/* n bytes up to LANE_MEDIUM, by four copies of 64; what is shorter takes
 * OUT_SLACK bytes. */
static inline void
copy_medium(uint8_t *dst, const uint8_t *src, size_t n)
{
	size_t last = n > 64 ? n - 64 : 0, second = last < 64 ? last : 64;
	size_t third = last < 128 ? last : 128;

	memcpy(dst, src, 64);
	memcpy(dst + second, src + second, 64);
	memcpy(dst + third, src + third, 64);
	memcpy(dst + last, src + last, 64);
}

/* Copies of fixed size run over what follows; see fill().  Where some are
 * longer all of them are: a branch that is guessed wrong costs more. */
static inline void
lane_copy(uint8_t *dst, const uint8_t *src, size_t n, uint32_t lens)
{
	if (lens <= OUT_SLACK)
		memcpy(dst, src, OUT_SLACK);
	else if (n <= LANE_MEDIUM)
		copy_medium(dst, src, n);
	else
		memcpy(dst, src, n);
}

/* One message to the receiver at hand, who has room for it.  What the entry
 * says is loaded before the stores, which might change it for all that the
 * compiler knows. */
static inline ALWAYS_INLINE void
lane_put(struct lane_flow *f, const struct lane_entry *e)
{
	size_t head_len = e->head_len, body_len = e->body_len;
	const uint8_t *next = f->next;

	e->sub->delivered++;
	f->msgs++;
	f->lines += e->line_len;
	f->heads += head_len;
	f->lens |= e->body_len;
	memcpy(f->at, e->head, LANE_LINE);
	lane_copy(f->at + head_len, next - body_len, body_len, f->lens);
	f->at += head_len + body_len;
	f->p = next;
}

/* Messages from f->p on, as long as they go to the same receiver and find
 * room.  e is the first one's entry, NULL: to be found.  The entry of the one
 * that is next, NULL: it takes the long way. */
static const struct lane_entry *
lane_stream(struct lane *l, struct lane_flow *all, const struct lane_entry *e)
{
	struct lane_flow f = *all; /* in registers, out of the stores' reach */

	for (;; e = NULL) {
		if (e == NULL && (e = lane_find(l, &f)) == NULL)
			break;
		if (e->to != f.to ||
		    (size_t)(f.limit - f.at) < e->head_len + e->body_len)
			break;
		if (f.msgs % LANE_PEEK == 0) {
			*all = f;
			if (lane_run(all, e->line_len)) {
				e = NULL;
				break;
			}
		}
		lane_put(&f, e);
	}
	*all = f;
	return e;
}

/* Room for n bytes to a receiver, without a thought of flushing or limits;
 * NULL: the long way sees to that.  *most: so many may go without it. */
static inline uint8_t *
lane_room(struct worker *w, const struct client *c, struct client *to,
    size_t n, size_t *most)
{
	uint64_t limit = w->conf.max_pending / 2;
	const struct out_chunk *k;

	if (limit > WORKER_FLUSH_EARLY - 1)
		limit = WORKER_FLUSH_EARLY - 1;
	if (to->state != CLIENT_OPEN || (!c->echo && to == c) ||
	    to->out.bytes + n > limit || worker_crowded(w))
		return NULL;
	*most = (size_t)(limit - to->out.bytes);
	/* What out_room() would find, without a call. */
	k = to->out.last;
	if (k != NULL && k->size - k->end >= n + OUT_SLACK)
		return k->data + k->end;
	return out_room(&w->pool, &to->out, n);
}

/* Turn to the receiver of the next message; false: it takes the long way. */
static bool
lane_turn(struct worker *w, struct lane_flow *f, const struct client *c,
    const struct lane_entry *e)
{
	struct client *to = e->to;
	size_t most, room;

	f->start = lane_room(w, c, to, e->head_len + e->body_len, &most);
	if (f->start == NULL)
		return false;
	room = to->out.last->size - to->out.last->end - OUT_SLACK;
	f->to = to;
	f->at = f->start;
	f->limit = f->start + (room < most ? room : most);
	return true;
}

/* What has gone to the receiver is his. */
static void
lane_settle(struct worker *w, const struct client *c, struct lane_flow *f)
{
	size_t in = (size_t)(f->p - f->from), out;
	struct client *to = f->to;

	if (f->msgs == 0)
		return;
	out = (size_t)(f->at - f->start);
	out_took(&to->out, out);
	client_list_add(w, to, LIST_FLUSH);
	out -= f->heads + 2 * f->msgs;
	score_add(&w->score->out_msgs, f->msgs);
	score_add(&w->score->out_bytes, out);
	score_add(&to->score->out_msgs, f->msgs);
	score_add(&to->score->out_bytes, out);
	in -= f->lines + 2 * f->msgs;
	score_add(&w->score->in_msgs, f->msgs);
	score_add(&w->score->in_bytes, in);
	score_add(&c->score->in_msgs, f->msgs);
	score_add(&c->score->in_bytes, in);
	f->msgs = f->lines = f->heads = 0;
	f->from = f->p;
}

/* Where lines never come again, only one in sixteen is looked for. */
static inline bool
lane_try(struct lane *l)
{
	return l->misses++ < LANE_MISSES || l->misses % 16 == 0;
}

static __attribute__((noinline)) size_t
take(struct worker *w, struct client *c, const uint8_t *p, size_t len,
    const uint8_t *safe)
{
	struct lane_flow f = { .p = p, .from = p, .view = w->matcher.view };
	const struct lane_entry *e = NULL;

	/* What is read and copied runs over the end of a message. */
	f.end = safe - LANE_LINE < p + len ? safe - LANE_LINE : p + len;
	f.lacks = (c->headers ? 0 : LANE_HEADERS) |
	    (c->no_responders ? LANE_NO_REPLY : 0);
	do {
		e = lane_stream(w->lane, &f, e);
		lane_settle(w, c, &f);
	} while (e != NULL && lane_turn(w, &f, c, e));
	if (f.p != p) {
		w->lane->misses = 0;
		atomic_store_explicit(&c->score->last_ms, w->now_ms,
		    memory_order_relaxed);
	}
	return (size_t)(f.p - p);
}

size_t
lane_take(struct worker *w, struct client *c, const uint8_t *p, size_t len,
    const uint8_t *safe)
{
	w->lane->missed = false;
	if (!lane_open(c) || !lane_try(w->lane) ||
	    safe - p < (ptrdiff_t)LANE_LINE)
		return 0;
	return take(w, c, p, len, safe);
}

/* ---- learning -------------------------------------------------------- */

/* The one plain subscription, of a client here, that gets all there is. */
static inline struct sub *
lone_receiver(struct worker *w, struct slice subject)
{
	const struct match *x = match_find(&w->matcher, ACCOUNT_DEFAULT,
	    subject);
	struct sub *s;
	subno no;

	if (x->failed || x->ngroup != 0 || x->nplain != 1 ||
	    x->plain[0].slot != w->self)
		return NULL;
	no = subs_of_cell(&w->subs, x->plain[0].ref.cell);
	if (no == 0)
		return NULL;
	s = subs_at(&w->subs, no);
	if (s->next != 0 || s->max != 0 ||
	    s->who->ops != &client_subscriber_ops)
		return NULL;
	return s;
}

/* Where in its set a line with that hash goes: where it was, else where
 * something stood that holds no more, else anywhere. */
static uint32_t
lane_place(const struct lane *l, uint32_t hash, uint64_t view)
{
	const struct lane_set *set = &l->set[hash % LANE_SETS];
	const struct lane_entry *e = &l->entry[hash % LANE_SETS * LANE_WAYS];
	uint32_t way, place = (hash >> 16) % LANE_WAYS;

	for (way = 0; way < LANE_WAYS; way++)
		if (set->hash[way] == hash)
			return way;
		else if (e[way].view != view)
			place = way;
	return place;
}

/* The words of a line, zeros behind them; its hash. */
static uint32_t
line_words(const uint8_t *p, size_t n, uint64_t word[LANE_WORDS])
{
	struct short_line v;

	if (n > LANE_SHORT) {
		long_words(p, n, word);
		return long_hash(word);
	}
	v = short_words(p, n);
	memset(word, 0, LANE_WORDS * sizeof *word);
	memcpy(word, &v, sizeof v);
	return short_hash(&v);
}

/* Was a line that is not known looked for before? */
static bool
seen_before(struct lane *l, uint32_t hash, uint32_t way)
{
	uint32_t *seen = &l->seen[hash % LANE_SEEN];

	if (*seen == hash || l->set[hash % LANE_SETS].hash[way] == hash)
		return true;
	*seen = hash;
	return false;
}

/* The line that a receiver gets. */
static size_t
make_head(const struct parse_op *op, const struct client *to,
    const struct sub *s, uint8_t *head)
{
	if (op->hdr_size > 0 && to->headers)
		return emit_hmsg(head, op->subject, sub_sid(s), op->reply,
		    op->hdr_size, op->size);
	return emit_msg(head, op->subject, sub_sid(s), op->reply,
	    op->size - op->hdr_size);
}

static size_t
head_max(const struct parse_op *op, const struct sub *s)
{
	return emit_msg_max(op->subject.len, s->sid_len, op->reply.len);
}

static void
entry_fill(struct lane_entry *e, const struct parse_op *op, struct sub *s)
{
	e->to = client_of(s->who);
	e->sub = s;
	e->line_len = (uint8_t)op->line_len;
	e->body_len = op->size + 2 - (e->to->headers ? 0 : op->hdr_size);
	e->needs = (uint8_t)((op->verb == VERB_HPUB ? LANE_HEADERS : 0) |
	    (op->reply.len > 0 ? LANE_NO_REPLY : 0));
}

void
lane_learn(struct worker *w, const struct parse_op *op, const uint8_t *line)
{
	struct lane *l = w->lane;
	uint64_t word[LANE_WORDS];
	uint8_t head[LANE_HEAD];
	struct lane_entry *e;
	uint32_t hash, way, i;
	size_t head_len;
	struct sub *s;

	if (!l->missed || op->size >= WORKER_LARGE ||
	    op->line_len > LANE_LINE)
		return;
	hash = line_words(line, op->line_len, word);
	way = lane_place(l, hash, w->matcher.view);
	if (!seen_before(l, hash, way) ||
	    (s = lone_receiver(w, op->subject)) == NULL ||
	    head_max(op, s) > sizeof head)
		return;
	head_len = make_head(op, client_of(s->who), s, head);
	if (head_len > LANE_LINE)
		return;
	l->set[hash % LANE_SETS].hash[way] = hash;
	l->set[hash % LANE_SETS].in_len[way] = op->line_len + op->size + 2;
	i = hash % LANE_SETS * LANE_WAYS + way;
	e = &l->entry[i];
	memcpy(e->word, word, sizeof e->word);
	memcpy(l->more[i], word + 4, sizeof l->more[i]);
	memcpy(e->head, head, head_len);
	e->head_len = (uint8_t)head_len;
	e->view = w->matcher.view;
	entry_fill(e, op, s);
}

/* ---- lines that are not known ----------------------------------------- */

static inline void
count_one(struct worker *w, struct client *c, struct client *to,
    uint32_t in, uint32_t out)
{
	struct score_proc_shm *all = w->score;
	struct score_conn_shm *score = c->score;

	score_add(&all->in_msgs, 1);
	score_add(&all->in_bytes, in);
	score_add(&all->out_msgs, 1);
	score_add(&all->out_bytes, out);
	score_add(&score->in_msgs, 1);
	score_add(&score->in_bytes, in);
	score = to->score;
	score_add(&score->out_msgs, 1);
	score_add(&score->out_bytes, out);
}

/* The lines of publisher and receiver differ in the verb and in the sid behind
 * the subject: the rest is copied as it stands, payload and all.  Copies of
 * fixed size run over the end, of what is read and of what is written. */
static inline uint8_t *
put_usual(uint8_t *dst, const struct parse_op *op, const struct sub *s,
    const uint8_t *end)
{
	size_t len = op->subject.len, sid_len = s->sid_len;
	const uint8_t *rest = op->subject.p + len;

	if (op->verb == VERB_HPUB)
		*dst++ = 'H';
	memcpy(dst, "MSG ", 4);
	dst += 4;
	if (len <= 32)
		memcpy(dst, op->subject.p, 32);
	else
		memcpy(dst, op->subject.p, len);
	dst += len;
	*dst++ = ' ';
	memcpy(dst, s->sid.in, SID_FAST);
	dst += sid_len;
	len = (size_t)(end - rest);
	if (len <= OUT_SLACK)
		memcpy(dst, rest, OUT_SLACK);
	else
		memcpy(dst, rest, len);
	return dst + len;
}

/* May that be done? */
static inline bool
is_usual(const struct parse_op *op, const struct sub *s,
    const struct client *to, const uint8_t *end, const uint8_t *safe)
{
	return op->usual && safe - end >= (ptrdiff_t)OUT_SLACK &&
	    s->sid_len <= SID_FAST && (s->flags & SUB_SID_HEAP) == 0 &&
	    (op->verb == VERB_PUB || (op->hdr_size > 0 && to->headers));
}

/* The same for any line, or for a receiver without headers. */
static __attribute__((noinline)) uint8_t *
put_any(uint8_t *dst, const struct parse_op *op, const struct sub *s,
    const struct client *to, const uint8_t *end)
{
	size_t n = op->size + 2 - (to->headers ? 0 : op->hdr_size);

	dst += make_head(op, to, s, dst);
	memcpy(dst, end - n, n);
	return dst + n;
}

bool
lane_pass(struct worker *w, struct client *c, const struct parse_op *op,
    const uint8_t *end, const uint8_t *safe)
{
	uint8_t *dst, *stop;
	struct client *to;
	struct sub *s;
	size_t most;

	if (!lane_open(c) || (op->reply.len > 0 && c->no_responders) ||
	    op->size >= WORKER_LARGE ||
	    (s = lone_receiver(w, op->subject)) == NULL)
		return false;
	to = client_of(s->who);
	dst = lane_room(w, c, to, head_max(op, s) + op->size + 2, &most);
	if (dst == NULL)
		return false;
	if (is_usual(op, s, to, end, safe))
		stop = put_usual(dst, op, s, end);
	else
		stop = put_any(dst, op, s, to, end);
	out_took(&to->out, (size_t)(stop - dst));
	if (!client_listed(to, LIST_FLUSH))
		client_list_add(w, to, LIST_FLUSH);
	s->delivered++;
	count_one(w, c, to, op->size, op->size - (to->headers ? 0 :
	    op->hdr_size));
	if (w->lane->missed)
		lane_learn(w, op, end - op->size - 2 - op->line_len);
	return true;
}
