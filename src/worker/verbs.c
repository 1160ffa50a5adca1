/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a client says, verb by verb.
 *
 * A handler returns the bytes it has used, 0 if the message is not whole or
 * the client has to wait before it: it is then called again with the same
 * bytes, and more.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "proto/connect.h"
#include "proto/perr.h"
#include "proto/subject.h"
#include "worker/worker_priv.h"

#define NOTE_LEN 64 /* of a line in the log */

static const struct slice none;

/* Replies stay in order: before +OK, PONG or -ERR the 503s of what went to
 * other workers must be back.  False: the client waits for them. */
static bool
settled(struct worker *w, struct client *c)
{
	uint64_t slots = c->asked & w->usable;

	c->asked = 0;
	if (slots == 0)
		return true;
	if (client_hold(w, c, WAIT_BARRIER, slots))
		peer_ask(w, slots, c->waiting->number);
	return false;
}

/* What was confirmed before this SUB, UNSUB, PING or CONNECT is delivered
 * first.  False: that has closed the client. */
static bool
drained(struct worker *w, struct client *c)
{
	if (!w->drained) {
		w->drained = true;
		peer_drain(w);
	}
	return c->state == CLIENT_OPEN;
}

/* What counts as activity for pings. */
static inline void
active(const struct worker *w, struct client *c)
{
	atomic_store_explicit(&c->score->last_ms, w->now_ms,
	    memory_order_relaxed);
}

static void
reply(struct worker *w, struct client *c, const char *text, size_t len)
{
	if (log_trace_on())
		trace_out(w, c, (const uint8_t *)text, len - 2);
	client_write(w, c, text, len);
}

static void
reply_ok(struct worker *w, struct client *c)
{
	if (c->verbose)
		reply(w, c, "+OK\r\n", 5);
}

/* An error instead of the operation; 0 if the client waits before it. */
static size_t
refuse(struct worker *w, struct client *c, enum perr e, struct slice arg,
    struct slice arg2, size_t used)
{
	if (!settled(w, c))
		return 0;
	client_error(w, c, e, arg, arg2);
	return used;
}

/* What of the line at p may stand in the log: its beginning, and of what may
 * be a CONNECT, with its secrets, the verb alone. */
static struct slice
line_note(const uint8_t *p, size_t len)
{
	static const char empty[] = "an empty line";
	bool secret = p[0] == 'C' || p[0] == 'c';
	struct slice note = { p, 0 };
	uint8_t ch;

	for (; note.len < len && note.len < NOTE_LEN; note.len++) {
		ch = p[note.len];
		if (ch == '\n' || (secret && ((ch | 0x20) < 'a' ||
		    (ch | 0x20) > 'z')))
			break;
	}
	while (note.len > 0 && p[note.len - 1] == '\r')
		note.len--;
	if (note.len == 0) {
		note.p = (const uint8_t *)empty;
		note.len = sizeof empty - 1;
	}
	return note;
}

/* An error that closes, at the line p; the log shows it. */
static size_t
refuse_line(struct worker *w, struct client *c, enum perr e,
    const uint8_t *p, size_t len)
{
	return refuse(w, c, e, line_note(p, len), none, len);
}

/* ---- PUB, HPUB ------------------------------------------------------- */

enum trailer { TRAILER_CRLF, TRAILER_LF, TRAILER_MORE, TRAILER_BAD };

/* What stands behind a payload that ends at `at`.  A bare LF is accepted for
 * people at nc; not behind a CR that the size counts in, for then the size is
 * wrong. */
static enum trailer
trailer(const uint8_t *p, size_t len, size_t at, size_t size)
{
	if (len <= at)
		return TRAILER_MORE;
	if (p[at] == '\n')
		return size > 0 && p[at - 1] == '\r' ? TRAILER_BAD :
		    TRAILER_LF;
	if (p[at] != '\r')
		return TRAILER_BAD;
	if (len == at + 1)
		return TRAILER_MORE;
	return p[at + 1] == '\n' ? TRAILER_CRLF : TRAILER_BAD;
}

static const uint8_t crlf[2] = { '\r', '\n' };

static inline uint32_t
load16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof v);
	return v;
}

/* Wide enough for the usual control line, in a register of every processor
 * with SSE2 or NEON; elsewhere the compiler makes words of it. */
typedef uint64_t edge_vec __attribute__((vector_size(16)));

#define EDGE sizeof(edge_vec)

/* What stands between two messages of a run: CR LF and the control line, by
 * its first and its last bytes.  mask: which of the first are compared. */
struct edge {
	edge_vec first, mask, last;
};

static inline edge_vec
load_edge(const uint8_t *p)
{
	edge_vec v;

	memcpy(&v, p, sizeof v);
	return v;
}

static struct edge
edge_of(const uint8_t *line, size_t len)
{
	uint8_t text[2 * EDGE] = "\r\n", mask[EDGE] = { 0 };
	struct edge e;

	memcpy(text + 2, line, len);
	memset(mask, 0xff, len + 2 < EDGE ? len + 2 : EDGE);
	e.mask = load_edge(mask);
	e.first = load_edge(text) & e.mask;
	e.last = len + 2 < EDGE ? e.first : load_edge(text + 2 + len - EDGE);
	return e;
}

/* Not zero in what is different.  Inlined, so that two is a constant. */
static inline edge_vec
differs(const struct edge *e, const uint8_t *line, size_t len, bool two)
{
	edge_vec d = load_edge(line - 2);

	if (!two)
		return (d & e->mask) ^ e->first;
	return (d ^ e->first) | (load_edge(line + len - EDGE) ^ e->last);
}

/* How many of the messages from p on, of which there are `most`, have the same
 * line; whether the last one's trailer is CR LF has not been seen.  Without a
 * branch for each: they nearly always agree. */
static inline uint32_t
run_scan(const uint8_t *p, uint32_t most, size_t len, size_t stride, bool two)
{
	const struct edge e = edge_of(p, len);
	const uint8_t *at = p + stride;
	uint32_t n = 1;
	edge_vec d;

	for (; n + 4 <= most; n += 4, at += 4 * stride) {
		d = differs(&e, at, len, two) |
		    differs(&e, at + stride, len, two) |
		    differs(&e, at + 2 * stride, len, two) |
		    differs(&e, at + 3 * stride, len, two);
		if ((d[0] | d[1]) != 0)
			break;
	}
	for (; n < most; n++, at += stride) {
		d = differs(&e, at, len, two);
		if ((d[0] | d[1]) != 0)
			break;
	}
	return n;
}

/* The same for a line of any length. */
static uint32_t
run_scan_any(const uint8_t *p, uint32_t most, size_t len, size_t stride)
{
	const uint8_t *at = p + stride;
	uint32_t n = 1;

	while (n < most && load16(at - 2) == load16(crlf) &&
	    memcmp(p, at, len) == 0) {
		at += stride;
		n++;
	}
	return n;
}

/* Whole messages from p on with the same control line, at least 1. */
static uint32_t
run_length(const uint8_t *p, size_t len, const struct parse_op *op)
{
	size_t line_len = op->line_len, stride = line_len + op->size + 2;
	uint32_t n, most;

	/* Lines that differ mostly do so at the end. */
	if (len < 2 * stride || hash_load64(p + line_len - 8) !=
	    hash_load64(p + stride + line_len - 8))
		return 1;
	most = (uint32_t)(len / stride);
	/* What is loaded of the last message lies in front of its end. */
	if (line_len + 2 < EDGE && stride + 2 >= EDGE)
		n = run_scan(p, most, line_len, stride, false);
	else if (line_len + 2 >= EDGE && line_len + 2 <= 2 * EDGE)
		n = run_scan(p, most, line_len, stride, true);
	else
		n = run_scan_any(p, most, line_len, stride);
	if (n > 1 && load16(p + n * stride - 2) != load16(crlf))
		n--;
	return n;
}

/* Pedantic: the error comes with the control line, once, and the message goes
 * its way all the same.  False: the client waits before it. */
static bool
publish_warn(struct worker *w, struct client *c, const struct parse_op *op)
{
	if (!c->pedantic || c->warned ||
	    subject_valid_literal(op->subject.p, op->subject.len))
		return true;
	if (!settled(w, c))
		return false;
	c->warned = true;
	client_error(w, c, PERR_PUB_SUBJECT, op->subject, none);
	return true;
}

/* Errors that stand in the way of a message, and +OK; once a message.
 * False: the client waits before them. */
static bool
publish_replies(struct worker *w, struct client *c,
    const struct parse_op *op, bool *deliver)
{
	enum perr e = PERR_NONE;

	*deliver = true;
	if (c->replied)
		return true;
	if (subject_reserved_publish(op->subject.p, op->subject.len))
		e = PERR_PUB_DENIED;
	else if (op->reply.len > 0 &&
	    subject_reserved_reply(op->reply.p, op->reply.len))
		e = PERR_REPLY_DENIED;
	if (e == PERR_NONE && !c->verbose)
		return true;
	if (!settled(w, c))
		return false;
	if (e != PERR_NONE) {
		client_error(w, c, e, e == PERR_PUB_DENIED ? op->subject :
		    op->reply, none);
		*deliver = false;
		return true;
	}
	reply_ok(w, c);
	c->replied = true;
	return true;
}

static void
message(const struct worker *w, const struct client *c,
    const struct parse_op *op, const uint8_t *p, const uint8_t *safe,
    struct msg *m)
{
	memset(m, 0, sizeof *m);
	m->account = ACCOUNT_DEFAULT;
	m->count = 1;
	m->subject = op->subject;
	m->reply = op->reply;
	m->hdr_size = op->hdr_size;
	m->size = op->size;
	m->body = p + op->line_len;
	m->stride = (size_t)op->line_len + op->size + 2;
	m->safe = safe;
	m->from.slot = w->self;
	m->from.incarnation = w->incarnation;
	m->from.line = c->line;
	m->from.num = c->num;
	m->from.echo = c->echo;
	m->from.ask = c->no_responders && op->reply.len > 0;
}

static void
trace_publish(const struct worker *w, const struct client *c,
    const struct parse_op *op, const uint8_t *p)
{
	trace_in(w, c, op->verb == VERB_HPUB ? "HPUB" : "PUB",
	    "%.*s%s%.*s %u", (int)op->subject.len,
	    (const char *)op->subject.p, op->reply.len > 0 ? " " : "",
	    (int)op->reply.len, (const char *)op->reply.p, op->size);
	trace_payload(w, c, "<<-", p + op->line_len, op->size);
}

/* Send a run; the messages that went. */
static uint32_t
publish(struct worker *w, struct client *c, struct msg *m)
{
	struct route_result r;

	route_run(w, c, m, &r);
	if (r.routed > 0) {
		score_add(&w->score->in_msgs, r.routed);
		score_add(&w->score->in_bytes, (uint64_t)r.routed * m->size);
		score_add(&c->score->in_msgs, r.routed);
		score_add(&c->score->in_bytes, (uint64_t)r.routed * m->size);
		c->replied = c->warned = false;
	}
	if (c->state != CLIENT_OPEN)
		return r.routed;
	if (m->stall_ms > 0)
		stall(w, c, m->stall_ms, w->self, m->stall_line);
	if (c->bigmsg != NULL)
		(void)client_hold(w, c, WAIT_BIG, 0);
	else if (r.wait_slots != 0)
		(void)client_hold(w, c, WAIT_RING, r.wait_slots);
	return r.routed;
}

/* A payload that ends in a bare LF: a copy that ends as it should. */
static size_t
publish_bare(struct worker *w, struct client *c, struct msg *m, size_t used)
{
	uint8_t *copy = malloc((size_t)m->size + 2);
	uint32_t n;

	if (copy == NULL) {
		client_no_memory(w, c);
		return 0;
	}
	memcpy(copy, m->body, m->size);
	memcpy(copy + m->size, "\r\n", 2);
	m->body = copy;
	m->safe = copy + m->size + 2;
	n = publish(w, c, m);
	free(copy);
	return n == 0 ? 0 : used;
}

static size_t
refuse_size(struct worker *w, struct client *c, const struct parse_op *op,
    size_t used)
{
	if (!settled(w, c))
		return 0;
	client_error_note(w, c, PERR_MAX_PAYLOAD, "%lu bytes, max_payload is "
	    "%lu", (unsigned long)op->size,
	    (unsigned long)w->conf.max_payload);
	return used;
}

static size_t
refuse_trailer(struct worker *w, struct client *c, const struct parse_op *op,
    size_t used)
{
	if (!settled(w, c))
		return 0;
	client_error_note(w, c, PERR_UNKNOWN_OP, "no line end behind a payload "
	    "of %lu bytes", (unsigned long)op->size);
	return used;
}

/* Each +OK and trace stands before its MSG, each 503 is asked for on its own:
 * no runs of these. */
static bool
run_allowed(const struct client *c, const struct parse_op *op)
{
	return !c->verbose && !c->pedantic && !log_trace_on() &&
	    (!c->no_responders || op->reply.len == 0);
}

static size_t
do_pub(struct worker *w, struct client *c, const struct parse_op *op,
    const uint8_t *p, size_t len, const uint8_t *safe)
{
	size_t at = (size_t)op->line_len + op->size;
	uint32_t sent, count = 1;
	enum trailer end;
	bool deliver;
	struct msg m;

	if (op->verb == VERB_HPUB && !c->headers)
		return refuse_line(w, c, PERR_SILENT_NO_HEADERS, p, len);
	if (op->size > w->conf.max_payload)
		return refuse_size(w, c, op, len);
	if (!publish_warn(w, c, op))
		return 0;
	end = trailer(p, len, at, op->size);
	if (end == TRAILER_BAD)
		return refuse_trailer(w, c, op, len);
	if (end == TRAILER_MORE) {
		c->need = (uint32_t)at + 2;
		return 0;
	}
	active(w, c);
	if (log_trace_on() && !c->replied)
		trace_publish(w, c, op, p);
	if (!publish_replies(w, c, op, &deliver))
		return 0;
	if (!deliver)
		c->warned = false;
	if (!deliver || c->state != CLIENT_OPEN)
		return at + (end == TRAILER_CRLF ? 2 : 1);
	if (end == TRAILER_CRLF) {
		count = run_allowed(c, op) ? run_length(p, len, op) : 1;
		if (count == 1 && lane_pass(w, c, op, p + at + 2, safe))
			return at + 2;
	}
	message(w, c, op, p, safe, &m);
	if (end == TRAILER_LF)
		return publish_bare(w, c, &m, at + 1);
	m.count = count;
	sent = publish(w, c, &m);
	if (sent > 0)
		lane_learn(w, op, p);
	return sent * (at + 2);
}

/* ---- SUB, UNSUB ------------------------------------------------------ */

/* The checks of a SUB, in nats-server's order.  PERR_NONE: go on; *dup: the
 * sid is taken. */
static enum perr
sub_check(struct worker *w, struct client *c, const struct parse_op *op,
    bool *dup)
{
	static const char sys[] = "_sys_";

	*dup = false;
	if (op->queue.len == sizeof sys - 1 &&
	    memcmp(op->queue.p, sys, sizeof sys - 1) == 0)
		return PERR_SUB_DENIED_QUEUE;
	if (w->conf.max_subscription_tokens > 0 && subject_tokens(
	    op->subject.p, op->subject.len) > w->conf.max_subscription_tokens)
		return PERR_SUB_TOKENS;
	if (w->conf.max_subscriptions > 0 &&
	    c->subs.n >= w->conf.max_subscriptions)
		return PERR_MAX_SUBS;
	if (subs_find(&w->subs, &c->subs, op->sid) != 0) {
		*dup = true;
		return PERR_NONE;
	}
	if (!subject_valid_pattern(op->subject.p, op->subject.len))
		return PERR_SUBJECT;
	return PERR_NONE;
}

static enum perr
subscribe(struct worker *w, struct client *c, const struct parse_op *op)
{
	enum trie_status st;
	struct sub_new n;
	subno made;

	memset(&n, 0, sizeof n);
	n.who = &c->who;
	n.map = &c->subs;
	n.account = ACCOUNT_DEFAULT;
	n.ntok = match_split(&w->matcher, op->subject);
	n.tok = w->matcher.tok;
	n.queue = op->queue;
	n.sid = op->sid;
	if (n.ntok == 0)
		return PERR_SUBJECT;
	if ((st = subs_add(&w->subs, &n, &made)) != TRIE_OK) {
		if (st == TRIE_NOMEM)
			log_limited(&w->limit_peer, LOG_LVL_WARN,
			    "out of memory: a subscription is refused");
		else
			log_limited(&w->limit_peer, LOG_LVL_WARN,
			    "index_memory (%llu bytes) is used up: "
			    "subscriptions are refused",
			    (unsigned long long)w->conf.index_memory);
		return PERR_MAX_SUBS;
	}
	match_changed(&w->matcher);
	score_add(&w->score->subscriptions, 1);
	atomic_store_explicit(&c->score->subscriptions, c->subs.n,
	    memory_order_relaxed);
	return PERR_NONE;
}

static size_t
do_sub(struct worker *w, struct client *c, const struct parse_op *op)
{
	enum perr e;
	bool dup;

	if (!drained(w, c))
		return op->line_len;
	if (c->verbose && !settled(w, c))
		return 0;
	if (log_trace_on())
		trace_in(w, c, "SUB", "%.*s %.*s%s%.*s", (int)op->subject.len,
		    (const char *)op->subject.p, (int)op->queue.len,
		    (const char *)op->queue.p, op->queue.len > 0 ? " " : "",
		    (int)op->sid.len, (const char *)op->sid.p);
	active(w, c);
	e = sub_check(w, c, op, &dup);
	if (e == PERR_NONE && !dup)
		e = subscribe(w, c, op);
	if (e != PERR_NONE)
		return refuse(w, c, e, op->subject, op->queue, op->line_len);
	reply_ok(w, c);
	return op->line_len;
}

static size_t
do_unsub(struct worker *w, struct client *c, const struct parse_op *op)
{
	struct sub *s;
	subno n;

	if (!drained(w, c))
		return op->line_len;
	if (c->verbose && !settled(w, c))
		return 0;
	if (log_trace_on())
		trace_in(w, c, "UNSUB", op->max_given ? "%.*s %u" : "%.*s",
		    (int)op->sid.len, (const char *)op->sid.p, op->max);
	active(w, c);
	n = subs_find(&w->subs, &c->subs, op->sid);
	if (n != 0) {
		s = subs_at(&w->subs, n);
		if (op->max > s->delivered)
			s->max = op->max;
		else
			c->who.ops->finished(w, &c->who, n);
		match_changed(&w->matcher);
	}
	reply_ok(w, c);
	return op->line_len;
}

/* ---- PING, PONG ------------------------------------------------------ */

static size_t
do_ping(struct worker *w, struct client *c, const struct parse_op *op)
{
	if (!drained(w, c))
		return op->line_len;
	if (!settled(w, c))
		return 0;
	if (log_trace_on())
		trace_in(w, c, "PING", NULL);
	active(w, c);
	reply(w, c, "PONG\r\n", 6);
	c->ponged = true;
	return op->line_len;
}

static size_t
do_pong(struct worker *w, struct client *c, const struct parse_op *op)
{
	if (log_trace_on())
		trace_in(w, c, "PONG", NULL);
	if (c->pings_out > 0 && c->ping_sent_ns != 0) {
		atomic_store_explicit(&c->score->rtt_ns, clock_mono_ns() -
		    c->ping_sent_ns, memory_order_relaxed);
		c->rtt_known = true;
	}
	c->pings_out = 0;
	return op->line_len;
}

/* ---- CONNECT --------------------------------------------------------- */

/* Compare without telling by the time how much of it is right. */
static bool
secret_equal(const char *want, const struct connect_str *got)
{
	size_t len = strlen(want), i;
	uint8_t diff = len != got->len;

	for (i = 0; i < got->len; i++)
		diff |= (uint8_t)(got->p[i] ^ want[len == 0 ? 0 : i % len]);
	return diff == 0;
}

static bool
credentials_good(const struct worker *w, const struct connect_opts *o)
{
	bool user, pass;

	if (!w->conf.auth_required)
		return true;
	if (w->conf.auth_token[0] != '\0')
		return secret_equal(w->conf.auth_token, &o->auth_token);
	user = secret_equal(w->conf.auth_user, &o->user);
	pass = secret_equal(w->conf.auth_password, &o->pass);
	return user & pass;
}

static enum perr
connect_check(const struct worker *w, const struct connect_opts *o)
{
	if (!credentials_good(w, o) || o->account.len > 0 || o->new_account)
		return PERR_AUTH_VIOLATION;
	if (o->protocol < 0 || o->protocol > 1)
		return PERR_PROTOCOL_VERSION;
	if (o->no_responders && (!o->headers || w->conf.no_header_support))
		return PERR_NORESP_HEADERS;
	return PERR_NONE;
}

/* What an earlier CONNECT has said: keys that are absent from this one keep
 * their values.  The credentials move to *o; all else is in the client's bits
 * and on the scoreboard. */
static int
connect_recall(struct client *c, struct connect_opts *o)
{
	const struct score_conn_shm *s = c->score;

	connect_init(o);
	if (c->credentials != NULL)
		*o = *c->credentials;
	free(c->credentials);
	c->credentials = NULL;
	o->verbose = c->verbose;
	o->pedantic = c->pedantic;
	o->echo = c->echo;
	o->headers = c->asked_headers;
	o->no_responders = c->asked_no_responders;
	if (connect_str_set(&o->name, s->name, strlen(s->name)) != 0 ||
	    connect_str_set(&o->lang, s->lang, strlen(s->lang)) != 0)
		return -1;
	return connect_str_set(&o->version, s->version, strlen(s->version));
}

/* For the next CONNECT, and for a reload. */
static int
keep_credentials(struct client *c, struct connect_opts *o)
{
	if ((c->credentials = malloc(sizeof *o)) == NULL)
		return -1;
	connect_keep_credentials(o);
	*c->credentials = *o;
	connect_init(o);
	return 0;
}

static void
apply_headers(const struct worker *w, struct client *c)
{
	c->headers = c->asked_headers && !w->conf.no_header_support;
	c->no_responders = c->asked_no_responders && c->headers;
}

static void
connect_apply(struct worker *w, struct client *c, struct connect_opts *o)
{
	struct score_conn_shm *s = c->score;

	c->verbose = o->verbose;
	c->pedantic = o->pedantic;
	c->echo = o->echo;
	c->asked_headers = o->headers;
	c->asked_no_responders = o->no_responders;
	apply_headers(w, c);
	/* Those of before a first CONNECT stay, but what is kept of lines
	 * (lane.c) has none of the headers that they may get now. */
	if (c->subs.n > 0)
		match_changed(&w->matcher);
	score_text(s->name, sizeof s->name, o->name.p, o->name.len);
	score_text(s->lang, sizeof s->lang, o->lang.p, o->lang.len);
	score_text(s->version, sizeof s->version, o->version.p,
	    o->version.len);
	c->connected = true;
	c->authorized = true;
	c->pings_out = 0;
	client_timer_start(w, c);
	if (w->conf.auth_required && keep_credentials(c, o) != 0)
		client_no_memory(w, c);
}

void
client_recheck(struct worker *w, struct client *c)
{
	static const struct connect_opts no_credentials;

	if (c->state != CLIENT_OPEN)
		return;
	if (!w->conf.auth_required)
		c->authorized = true;
	else if (c->authorized && !credentials_good(w,
	    c->credentials != NULL ? c->credentials : &no_credentials)) {
		client_error_note(w, c, PERR_AUTH_VIOLATION,
		    "the credentials are not valid since the reload");
		return;
	}
	apply_headers(w, c);
}

static void
trace_connect(const struct worker *w, const struct client *c,
    const struct parse_op *op)
{
	char text[512];
	size_t len;

	len = connect_redact(op->arg.p, op->arg.len, text, sizeof text);
	trace_in(w, c, "CONNECT", "%.*s", (int)len, text);
}

static void
refuse_connect(struct worker *w, struct client *c, const struct parse_op *op,
    const struct connect_opts *o, enum perr e)
{
	const struct connect_str *user = &o->user;

	if (e == PERR_AUTH_VIOLATION) {
		score_add(&w->score->auth_errors, 1);
		client_error_note(w, c, e, "%s - User \"%.*s\"",
		    credentials_good(w, o) ?
		    "account and new_account are not supported" :
		    "authentication error", (int)(user->len < 64 ? user->len :
		    64), user->p == NULL ? "" : user->p);
	} else if (e == PERR_PROTOCOL_VERSION)
		client_error_note(w, c, e, "%lld",
		    (long long)o->protocol);
	else if (e == PERR_SILENT_JSON)
		client_error_note(w, c, e, "CONNECT with %lu bytes",
		    (unsigned long)op->arg.len);
	else
		client_error(w, c, e, none, none);
}

static size_t
do_connect(struct worker *w, struct client *c, const struct parse_op *op)
{
	struct connect_opts o;
	enum perr e;

	if (c->connected && !drained(w, c))
		return op->line_len;
	if (!settled(w, c))
		return 0;
	if (log_trace_on())
		trace_connect(w, c, op);
	/* A second one starts afresh, as nats-server 2.14 does. */
	if (c->connected)
		client_unsubscribe(w, c);
	if (connect_recall(c, &o) != 0)
		client_no_memory(w, c);
	else if (connect_parse(op->arg.p, op->arg.len, &o) != 0)
		refuse_connect(w, c, op, &o, PERR_SILENT_JSON);
	else if ((e = connect_check(w, &o)) != PERR_NONE)
		refuse_connect(w, c, op, &o, e);
	else {
		connect_apply(w, c, &o);
		reply_ok(w, c);
	}
	connect_fini(&o);
	return op->line_len;
}

/* ---- all ------------------------------------------------------------- */

static size_t
do_info(struct worker *w, struct client *c, const struct parse_op *op,
    const uint8_t *p)
{
	if (!connect_json_valid(op->arg.p, op->arg.len))
		return refuse_line(w, c, PERR_SILENT_JSON, p, op->line_len);
	return op->line_len;
}

static size_t
do_err(struct worker *w, struct client *c, const struct parse_op *op)
{
	return refuse(w, c, PERR_SILENT_CLIENT_ERR, op->arg, none,
	    op->line_len);
}

static size_t
dispatch(struct worker *w, struct client *c, const struct parse_op *op,
    const uint8_t *p, size_t len, const uint8_t *safe)
{
	switch (op->verb) {
	case VERB_PUB:
	case VERB_HPUB:
		return do_pub(w, c, op, p, len, safe);
	case VERB_SUB:
		return do_sub(w, c, op);
	case VERB_UNSUB:
		return do_unsub(w, c, op);
	case VERB_PING:
		return do_ping(w, c, op);
	case VERB_PONG:
		return do_pong(w, c, op);
	case VERB_CONNECT:
		return do_connect(w, c, op);
	case VERB_INFO:
		return do_info(w, c, op, p);
	case VERB_ERR:
		return do_err(w, c, op);
	case VERB_OK:
		break;
	}
	return op->line_len;
}

static size_t
refuse_early(struct worker *w, struct client *c, const uint8_t *p, size_t len)
{
	struct slice note = line_note(p, len);

	score_add(&w->score->auth_errors, 1);
	client_error_note(w, c, PERR_AUTH_VIOLATION, "authentication error - "
	    "no CONNECT before: %.*s", (int)note.len, note.p);
	return len;
}

static size_t
one(struct worker *w, struct client *c, const uint8_t *p, size_t len,
    const uint8_t *safe)
{
	struct parse_op op;
	enum perr e = PERR_UNKNOWN_OP;

	/* Until it has shown its credentials it may say CONNECT alone. */
	if (!c->authorized && p[0] != 'C' && p[0] != 'c')
		return refuse_early(w, c, p, len);
	switch (parse_line(p, len, w->conf.max_control_line, &op, &e)) {
	case PARSE_OP:
		return dispatch(w, c, &op, p, len, safe);
	case PARSE_MORE:
		return 0;
	case PARSE_ERROR:
		break;
	}
	return refuse_line(w, c, e, p, len);
}

size_t
verbs_process(struct worker *w, struct client *c, const uint8_t *p,
    size_t len, const uint8_t *safe)
{
	size_t off = 0, used;

	while (off < len && c->state == CLIENT_OPEN && c->wait == WAIT_NONE) {
		off += lane_take(w, c, p + off, len - off, safe);
		if (off == len)
			break;
		used = one(w, c, p + off, len - off, safe);
		if (used == 0)
			break;
		off += used;
	}
	return off;
}
