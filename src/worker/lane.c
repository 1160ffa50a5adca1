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
 * (1:1, 8 subjects at random, 16 bytes: 115 ns per message by the long way.)
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "proto/emit.h"
#include "worker/worker_priv.h"

#define LANE_ENTRIES 1024u /* all sizes of a few subjects, say */
#define LANE_WAYS 4u
#define LANE_SEEN 1024u
#define LANE_LINE OUT_SLACK /* longer lines take the long way */
#define LANE_MISSES 64u /* in a row: these lines do not come again */
#define LANE_RUN 8u /* longer runs too: there they cost less */

struct lane_entry {
	uint64_t view; /* 0: empty */
	uint32_t size; /* of the payload, with CR LF */
	uint16_t line_len;
	uint16_t head_len;
	uint32_t skip; /* header bytes that the receiver does not get */
	bool hpub;
	bool reply;
	struct client *to;
	struct sub *sub;
	uint8_t line[LANE_LINE]; /* as the publisher sends it */
	uint8_t head[LANE_LINE]; /* as the receiver gets it */
};

struct lane {
	uint32_t hash[LANE_ENTRIES]; /* of the line of each entry */
	struct lane_entry entry[LANE_ENTRIES];
	uint32_t seen[LANE_SEEN]; /* hashes of lines seen once */
	uint32_t misses; /* in a row */
	uint32_t missed; /* hash of the line at hand, 0: not looked for */
	uint32_t length; /* of the line before: the next one's, most likely */
};

int
lane_init(struct worker *w)
{
	w->lane = calloc(1, sizeof *w->lane);
	return w->lane == NULL ? -1 : 0;
}

/* May this client's messages go the short way? */
static bool
lane_open(const struct client *c)
{
	return !c->verbose && !c->pedantic && c->authorized &&
	    !log_trace_on();
}

/* The length of the control line at p, 0 if none of LANE_LINE bytes ends
 * there.  A guess that ends in LF may hold another one: such a line is not
 * among those kept, and is not learnt (lane_learn() is told the length). */
static inline uint32_t
line_length(struct lane *l, const uint8_t *p, size_t len)
{
	const uint8_t *lf;

	if (l->length != 0 && l->length <= len && p[l->length - 1] == '\n')
		return l->length;
	lf = memchr(p, '\n', len < LANE_LINE ? len : LANE_LINE);
	l->length = lf == NULL || lf - p < 8 ? 0 : (uint32_t)(lf - p) + 1;
	return l->length;
}

/* Are the n >= 8 bytes the same?  Those at the end first: there lines of one
 * kind differ. */
static inline bool
same_line(const uint8_t *a, const uint8_t *b, size_t n)
{
	size_t i;

	if (hash_load64(a + n - 8) != hash_load64(b + n - 8))
		return false;
	for (i = 0; i + 8 < n; i += 8)
		if (hash_load64(a + i) != hash_load64(b + i))
			return false;
	return true;
}

static inline uint32_t
lane_set(uint32_t hash)
{
	return hash % (LANE_ENTRIES / LANE_WAYS) * LANE_WAYS;
}

/* Which of its set has that hash, -1 if none: no branch tells them apart, for
 * it would be guessed wrong most of the time. */
static inline int
lane_way(const struct lane *l, uint32_t hash)
{
	const uint32_t *h = &l->hash[lane_set(hash)];
	unsigned i, hit = 0;

	for (i = 0; i < LANE_WAYS; i++)
		hit |= (unsigned)(h[i] == hash) << i;
	return __builtin_ffs((int)hit) - 1;
}

/* ---- using it -------------------------------------------------------- */

/* What is known of the message at p, which is whole and ends as it should;
 * NULL: nothing, or it needs the long way. */
static inline const struct lane_entry *
lane_find(struct worker *w, const struct client *c, const uint8_t *p,
    size_t len)
{
	struct lane *l = w->lane;
	uint32_t n = line_length(l, p, len), hash;
	const struct lane_entry *e;
	const uint8_t *end;
	int way;

	if (n == 0)
		return NULL;
	l->missed = hash = (uint32_t)hash_bytes(p, n, 0);
	if ((way = lane_way(l, hash)) < 0)
		return NULL;
	e = &l->entry[lane_set(hash) + (uint32_t)way];
	if (e->view != w->matcher.view || e->line_len != n ||
	    len - n < e->size || !same_line(e->line, p, n))
		return NULL;
	l->missed = 0;
	end = p + n + e->size;
	if (end[-2] != '\r' || end[-1] != '\n' || (e->hpub && !c->headers) ||
	    (e->reply && c->no_responders) || (!c->echo && e->to == c))
		return NULL;
	return e;
}

/* How many of them stand there in a row, up to most. */
static inline uint32_t
lane_count(const struct lane_entry *e, const uint8_t *p, size_t len,
    uint32_t most)
{
	size_t stride = (size_t)e->line_len + e->size, at = stride;
	uint32_t n = 1;

	while (n < most && len - at >= stride &&
	    same_line(p, p + at, e->line_len) &&
	    p[at + stride - 2] == '\r' && p[at + stride - 1] == '\n') {
		at += stride;
		n++;
	}
	return n;
}

/* Is there room for n bytes without a thought of flushing or limits? */
static inline uint8_t *
lane_room(struct worker *w, struct client *to, size_t n)
{
	if (to->state != CLIENT_OPEN ||
	    to->out.bytes + n >= WORKER_FLUSH_EARLY ||
	    to->out.bytes + n > w->conf.max_pending / 2)
		return NULL;
	return out_room(&w->pool, &to->out, n);
}

static inline void
lane_copy(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t *safe)
{
	/* Of fixed size, running over what follows; see fill(). */
	if (n <= OUT_SLACK && safe - src >= (ptrdiff_t)OUT_SLACK)
		memcpy(dst, src, OUT_SLACK);
	else
		memcpy(dst, src, n);
}

/* One message on its way; false: it did not find room. */
static inline bool
lane_put(struct worker *w, const struct lane_entry *e, const uint8_t *p,
    const uint8_t *safe)
{
	size_t body = e->size - e->skip, all = e->head_len + body;
	uint8_t *dst = lane_room(w, e->to, all);

	if (dst == NULL)
		return false;
	memcpy(dst, e->head, LANE_LINE);
	lane_copy(dst + e->head_len, p + e->line_len + e->skip, body, safe);
	out_took(&e->to->out, all);
	if (!client_listed(e->to, LIST_FLUSH))
		client_list_add(w, e->to, LIST_FLUSH);
	e->sub->delivered++;
	score_add(&w->score->out_msgs, 1);
	score_add(&w->score->out_bytes, body - 2);
	score_add(&e->to->score->out_msgs, 1);
	score_add(&e->to->score->out_bytes, body - 2);
	return true;
}

/* Where lines never come again, only one in sixteen is looked for. */
static inline bool
lane_try(struct lane *l)
{
	l->missed = 0;
	return l->misses++ < LANE_MISSES || l->misses % 16 == 0;
}

size_t
lane_take(struct worker *w, struct client *c, const uint8_t *p, size_t len,
    const uint8_t *safe)
{
	const struct lane_entry *e;
	uint64_t msgs = 0, bytes = 0;
	size_t off = 0, stride;
	uint32_t n;

	if (!lane_open(c) || !lane_try(w->lane))
		return 0;
	while ((e = lane_find(w, c, p + off, len - off)) != NULL) {
		n = lane_count(e, p + off, len - off, LANE_RUN + 1);
		if (n > LANE_RUN)
			break;
		stride = (size_t)e->line_len + e->size;
		for (; n > 0 && lane_put(w, e, p + off, safe); n--) {
			off += stride;
			msgs++;
			bytes += e->size - 2;
		}
		if (n > 0)
			break;
	}
	if (msgs > 0) {
		w->lane->misses = 0;
		score_add(&w->score->in_msgs, msgs);
		score_add(&w->score->in_bytes, bytes);
		score_add(&c->score->in_msgs, msgs);
		score_add(&c->score->in_bytes, bytes);
		atomic_store_explicit(&c->score->last_ms, w->now_ms,
		    memory_order_relaxed);
	}
	return off;
}

/* ---- learning -------------------------------------------------------- */

/* Where a line with that hash goes: where it was, else where something stood
 * that holds no more, else anywhere in its set. */
static uint32_t
lane_place(const struct lane *l, uint32_t hash, uint64_t view)
{
	uint32_t set = lane_set(hash), i, place;

	place = set + (hash >> 16) % LANE_WAYS;
	for (i = set; i < set + LANE_WAYS; i++)
		if (l->hash[i] == hash)
			return i;
		else if (l->entry[i].view != view)
			place = i;
	return place;
}

/* The one plain subscription, of a client here, that gets all there is. */
static struct sub *
lone_receiver(struct worker *w, const struct msg *m)
{
	const struct match *x = match_find(&w->matcher, m->account,
	    m->subject);
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

void
lane_learn(struct worker *w, const struct msg *m, const uint8_t *line,
    uint32_t line_len, bool hpub)
{
	struct lane *l = w->lane;
	uint32_t hash = l->missed, *seen, i;
	struct lane_entry *e;
	struct client *to;
	struct sub *s;

	if (hash == 0 || l->length != line_len || m->size >= WORKER_LARGE)
		return;
	i = lane_place(l, hash, w->matcher.view);
	seen = &l->seen[hash % LANE_SEEN];
	if (*seen != hash && l->hash[i] != hash) {
		*seen = hash;
		return;
	}
	if ((s = lone_receiver(w, m)) == NULL)
		return;
	to = client_of(s->who);
	if (emit_msg_max(m->subject.len, s->sid_len, m->reply.len) > LANE_LINE)
		return;
	l->hash[i] = hash;
	e = &l->entry[i];
	e->view = w->matcher.view;
	e->size = m->size + 2;
	e->line_len = (uint16_t)line_len;
	e->skip = to->headers ? 0 : m->hdr_size;
	e->hpub = hpub;
	e->reply = m->reply.len > 0;
	e->to = to;
	e->sub = s;
	memcpy(e->line, line, line_len);
	e->head_len = (uint16_t)(m->hdr_size > 0 && to->headers ?
	    emit_hmsg(e->head, m->subject, sub_sid(s), m->reply, m->hdr_size,
	    m->size) : emit_msg(e->head, m->subject, sub_sid(s), m->reply,
	    m->size - e->skip));
}
