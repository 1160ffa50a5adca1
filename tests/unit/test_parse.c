/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the control line parser: the protocol's single lines, all cuts, the limits, and mutated lines against a slow parser that
 * follows the definition byte by byte.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/unit.h"
#include "proto/parse.h"

#define LIMIT 4096
#define MUTATIONS 150000
#define GARBAGE 30000

/* --- the slow parser --- */

enum ref_kind { IGNORED, JSON, TEXT, TOKENS };

static const struct ref_verb {
	const char *name;
	enum verb verb;
	enum ref_kind kind;
} ref_verbs[] = {
	{ "CONNECT", VERB_CONNECT, JSON },
	{ "PING", VERB_PING, IGNORED },
	{ "PONG", VERB_PONG, IGNORED },
	{ "PUB", VERB_PUB, TOKENS },
	{ "HPUB", VERB_HPUB, TOKENS },
	{ "SUB", VERB_SUB, TOKENS },
	{ "UNSUB", VERB_UNSUB, TOKENS },
	{ "INFO", VERB_INFO, JSON },
	{ "+OK", VERB_OK, IGNORED },
	{ "-ERR", VERB_ERR, TEXT },
};

#define NVERBS (sizeof ref_verbs / sizeof ref_verbs[0])

struct result {
	enum parse_status status;
	enum perr err;
	struct parse_op op;
};

static struct slice
cut(const uint8_t *from, const uint8_t *to)
{
	struct slice s = { from, (uint32_t)(to - from) };

	return s;
}

static bool
blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

static bool
number(struct slice s, uint32_t *out)
{
	uint32_t v = 0, i;

	if (s.len < 1 || s.len > 9)
		return false;
	for (i = 0; i < s.len; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		v = v * 10 + (uint32_t)(s.p[i] - '0');
	}
	*out = v;
	return true;
}

static enum perr
ref_tokens(struct slice *tok, unsigned n, struct parse_op *op)
{
	switch (op->verb) {
	case VERB_PUB:
		if (n != 2 && n != 3)
			return PERR_SILENT_ARGS;
		op->subject = tok[0];
		if (n == 3)
			op->reply = tok[1];
		return number(tok[n - 1], &op->size) ? PERR_NONE :
		    PERR_SILENT_SIZE;
	case VERB_HPUB:
		if (n != 3 && n != 4)
			return PERR_SILENT_ARGS;
		op->subject = tok[0];
		if (n == 4)
			op->reply = tok[1];
		if (!number(tok[n - 2], &op->hdr_size) ||
		    !number(tok[n - 1], &op->size) || op->hdr_size > op->size)
			return PERR_SILENT_SIZE;
		return PERR_NONE;
	case VERB_SUB:
		if (n != 2 && n != 3)
			return PERR_SILENT_ARGS;
		op->subject = tok[0];
		if (n == 3)
			op->queue = tok[1];
		op->sid = tok[n - 1];
		return PERR_NONE;
	case VERB_UNSUB:
		if (n != 1 && n != 2)
			return PERR_SILENT_ARGS;
		op->sid = tok[0];
		op->max_given = n == 2;
		if (n == 2 && !number(tok[1], &op->max))
			op->max = 0;
		return PERR_NONE;
	default:
		ck_abort_msg("verb without tokens");
	}
	return PERR_NONE;
}

/* The line's arguments are arg[0..lf). */
static enum perr
ref_line(const struct ref_verb *v, const uint8_t *arg, const uint8_t *lf,
    struct parse_op *op)
{
	struct slice tok[5000];
	const uint8_t *end = lf, *p;
	unsigned n = 0;

	if (v->kind == IGNORED)
		return PERR_NONE;
	if (end > arg && end[-1] == '\r')
		end--;
	if (end > arg && end[-1] == '\r')
		return PERR_SILENT_ARGS;
	while (arg < end && blank(*arg))
		arg++;
	if (v->kind == JSON || v->kind == TEXT) {
		op->arg = cut(arg, end);
		return PERR_NONE;
	}
	for (p = arg; p < end; p++) {
		if (blank(*p))
			continue;
		if (p == arg || blank(p[-1]))
			tok[n++] = cut(p, p);
		tok[n - 1].len++;
	}
	return ref_tokens(tok, n, op);
}

static struct result
verdict(enum parse_status status, enum perr err)
{
	struct result r;

	memset(&r, 0, sizeof r);
	r.status = status;
	r.err = err;
	return r;
}

/* The verb the first n bytes are; *partial if they only begin one. */
static const struct ref_verb *
ref_verb(const uint8_t *p, size_t n, bool *partial)
{
	char name[16] = "";
	size_t i;

	*partial = false;
	for (i = 0; i < n; i++)
		name[i] = (char)(p[i] >= 'a' && p[i] <= 'z' ? p[i] - 32 : p[i]);
	for (i = 0; i < NVERBS; i++) {
		if (strlen(ref_verbs[i].name) < n ||
		    memcmp(ref_verbs[i].name, name, n) != 0)
			continue;
		if (strlen(ref_verbs[i].name) == n)
			return &ref_verbs[i];
		*partial = true;
	}
	return NULL;
}

static struct result
reference(const uint8_t *p, size_t len, uint32_t limit)
{
	const struct ref_verb *v = NULL;
	struct result r;
	size_t i, arg = 0, used;
	bool partial, in_args = false;

	for (i = 0; i < len; i++) {
		if (v == NULL) {
			v = ref_verb(p, i + 1, &partial);
			if (v == NULL && !partial)
				return verdict(PARSE_ERROR, PERR_UNKNOWN_OP);
			continue;
		}
		if (!in_args) {
			in_args = true;
			arg = i;
			if (v->kind != IGNORED && blank(p[i])) {
				arg = i + 1;
				continue;
			}
			if (v->kind == TEXT || v->kind == TOKENS)
				return verdict(PARSE_ERROR, PERR_UNKNOWN_OP);
		}
		if (p[i] == '\n') {
			r = verdict(PARSE_OP, PERR_NONE);
			r.op.verb = v->verb;
			r.op.line_len = (uint32_t)(i + 1);
			r.err = ref_line(v, p + arg, p + i, &r.op);
			if (r.err != PERR_NONE)
				r.status = PARSE_ERROR;
			return r;
		}
		if (v->kind != IGNORED && i > arg && p[i - 1] == '\r' &&
		    p[i] != '\r')
			return verdict(PARSE_ERROR, PERR_UNKNOWN_OP);
		used = i + 1 - arg;
		if (p[i] == '\r')
			used--; /* perhaps of the line end */
		if (used > limit)
			return verdict(PARSE_ERROR, PERR_CONTROL_LINE);
	}
	return verdict(PARSE_MORE, PERR_NONE);
}

/* --- comparison --- */

static const char *
show(const uint8_t *p, size_t len)
{
	static char text[800];
	size_t i, n = 0;

	for (i = 0; i < len && n < sizeof text - 8; i++) {
		if (p[i] >= ' ' && p[i] <= '~')
			text[n++] = (char)p[i];
		else
			n += (size_t)snprintf(text + n, 8, "\\x%02x", p[i]);
	}
	text[n] = '\0';
	return text;
}

/* Parses a copy that ends where its memory ends; slices point into p. */
static struct result
parse_exact(const uint8_t *p, size_t len, uint32_t limit)
{
	struct result r = verdict(PARSE_OP, PERR_NONE);
	struct slice *s[] = { &r.op.subject, &r.op.reply, &r.op.queue,
	    &r.op.sid, &r.op.arg };
	uint8_t *copy = malloc(len);
	size_t i;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, p, len);
	memset(&r.op, 0xa5, sizeof r.op);
	r.status = parse_line(copy, len, limit, &r.op, &r.err);
	for (i = 0; r.status == PARSE_OP && i < sizeof s / sizeof s[0]; i++)
		if (s[i]->p != NULL) {
			ck_assert(s[i]->p >= copy);
			ck_assert(s[i]->p + s[i]->len <= copy + r.op.line_len);
			s[i]->p = p + (s[i]->p - copy);
		}
	free(copy);
	return r;
}

static bool
slices_equal(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || a.p == b.p);
}

static bool
results_equal(const struct result *a, const struct result *b)
{
	const struct parse_op *x = &a->op, *y = &b->op;

	if (a->status != b->status)
		return false;
	if (a->status == PARSE_MORE)
		return true;
	if (a->status == PARSE_ERROR)
		return a->err == b->err;
	return x->verb == y->verb && x->line_len == y->line_len &&
	    slices_equal(x->subject, y->subject) &&
	    slices_equal(x->reply, y->reply) &&
	    slices_equal(x->queue, y->queue) && slices_equal(x->sid, y->sid) &&
	    slices_equal(x->arg, y->arg) && x->hdr_size == y->hdr_size &&
	    x->size == y->size && x->max_given == y->max_given &&
	    x->max == y->max;
}

static struct result
assert_as_reference(const uint8_t *p, size_t len, uint32_t limit)
{
	struct result want = reference(p, len, limit);
	struct result got = parse_exact(p, len, limit);

	ck_assert_msg(results_equal(&want, &got),
	    "limit %u: status %d error %d instead of %d %d: %s", limit,
	    got.status, got.err, want.status, want.err, show(p, len));
	return got;
}

/*
 * Every prefix must be MORE, until one is decided; all longer ones are then
 * decided alike.
 */
static void
assert_cuts(const uint8_t *p, size_t len, uint32_t limit)
{
	struct result last = assert_as_reference(p, len, limit), r;
	bool decided = false;
	size_t n;

	for (n = 1; n <= len; n++) {
		r = assert_as_reference(p, n, limit);
		if (r.status == PARSE_MORE)
			ck_assert_msg(!decided, "undecided again at %zu: %s",
			    n, show(p, len));
		else {
			decided = true;
			ck_assert_msg(results_equal(&r, &last),
			    "cut at %zu: %s", n, show(p, len));
		}
	}
	ck_assert_int_eq(decided, last.status != PARSE_MORE);
}

/* --- lines and what they mean --- */

struct line {
	const char *in;
	enum parse_status status;
	enum perr err;
	const char *subject, *reply, *queue, *sid, *arg; /* NULL: empty */
	uint32_t hdr_size, size, max;
	bool max_given;
	enum verb verb;
};

#define OP(v) .status = PARSE_OP, .verb = VERB_##v
#define BAD(e) .status = PARSE_ERROR, .err = PERR_##e
#define MORE .status = PARSE_MORE

static const struct line lines[] = {
	/* CONNECT and INFO */
	{ "CONNECT {}\r\n", OP(CONNECT), .arg = "{}" },
	{ "connect{}\r\n", OP(CONNECT), .arg = "{}" },
	{ "CoNnEcT{}\n", OP(CONNECT), .arg = "{}" },
	{ "CONNECT\t{\"verbose\":false}\n", OP(CONNECT),
	    .arg = "{\"verbose\":false}" },
	{ "CONNECT {\"verbose\":false} \r\n", OP(CONNECT),
	    .arg = "{\"verbose\":false} " },
	{ "CONNECT \t  null\r\n", OP(CONNECT), .arg = "null" },
	{ "CONNECT\r\n", OP(CONNECT) },
	{ "CONNECT\n", OP(CONNECT) },
	{ "CONNECT \t \r\n", OP(CONNECT) },
	{ "CONNECTx\n", OP(CONNECT), .arg = "x" },
	{ "CONNECT {\r\n", OP(CONNECT), .arg = "{" },
	{ "CONNECT {}", MORE },
	{ "CONNECT {\"us", MORE },
	{ "CONNECT {}\r{", BAD(UNKNOWN_OP) },
	{ "CONNECT\rx", BAD(UNKNOWN_OP) },
	{ "INFO {}\r\n", OP(INFO), .arg = "{}" },
	{ "info{}\r\n", OP(INFO), .arg = "{}" },
	{ "INFO x\r\n", OP(INFO), .arg = "x" },
	{ "INFO\r\n", OP(INFO) },
	/* PING, PONG, +OK, -ERR */
	{ "PING\r\n", OP(PING) },
	{ "pInG\r\n", OP(PING) },
	{ "PING\n", OP(PING) },
	{ "PING  junk\r\r\n", OP(PING) },
	{ "PINGjunk\rjunk\r\n", OP(PING) },
	{ "PONG\r\n", OP(PONG) },
	{ "pong x\n", OP(PONG) },
	{ "+OK\r\n", OP(OK) },
	{ "+ok whatever\n", OP(OK) },
	{ "-ERR 'x'\r\n", OP(ERR), .arg = "'x'" },
	{ "-err\t\t two words \n", OP(ERR), .arg = "two words " },
	{ "-ERR\r\n", BAD(UNKNOWN_OP) },
	{ "-ERR\n", BAD(UNKNOWN_OP) },
	{ "-ERR'x'\r\n", BAD(UNKNOWN_OP) },
	{ "-ERR \r\n", OP(ERR) },
	{ "-ERR  \n", OP(ERR) },
	{ "PING", MORE },
	{ "PING\r", MORE },
	{ " PING\r\n", BAD(UNKNOWN_OP) },
	{ "\r\n", BAD(UNKNOWN_OP) },
	{ "\n", BAD(UNKNOWN_OP) },
	{ "PIX", BAD(UNKNOWN_OP) },
	{ "Z", BAD(UNKNOWN_OP) },
	{ "MSG foo 1 2\r\nok\r\n", BAD(UNKNOWN_OP) },
	{ "HMSG foo 1 2 2\r\nok\r\n", BAD(UNKNOWN_OP) },
	{ "HM", BAD(UNKNOWN_OP) },
	{ "H", MORE },
	{ "RS+ foo\r\n", BAD(UNKNOWN_OP) },
	{ "GET / HTTP/1.1\r\n\r\n", BAD(UNKNOWN_OP) },
	{ "\x16\x03\x01\x02", BAD(UNKNOWN_OP) },
	{ "\x0bOK\r\n", BAD(UNKNOWN_OP) }, /* + but for bit 5 */
	{ "\rERR x\r\n", BAD(UNKNOWN_OP) }, /* - but for bit 5 */
	/* PUB */
	{ "PUB foo 5\r\nhello\r\n", OP(PUB), .subject = "foo", .size = 5 },
	{ "PUB foo 5\r\n", OP(PUB), .subject = "foo", .size = 5 },
	{ "PUB f 0\n", OP(PUB), .subject = "f" },
	{ "PUB foo bar 5\r\nhello\r\n", OP(PUB), .subject = "foo",
	    .reply = "bar", .size = 5 },
	{ "PUB some.rather.long.subject _INBOX.with.a.long.name 123456\r\n",
	    OP(PUB), .subject = "some.rather.long.subject",
	    .reply = "_INBOX.with.a.long.name", .size = 123456 },
	{ "PUB foo 0\r\n\r\n", OP(PUB), .subject = "foo" },
	{ "pub\t foo \t bar  2 \r\nok\r\n", OP(PUB), .subject = "foo",
	    .reply = "bar", .size = 2 },
	{ "pub foo 2\r\n", OP(PUB), .subject = "foo", .size = 2 },
	{ "PUB\tfoo\t2\t\n", OP(PUB), .subject = "foo", .size = 2 },
	{ "PUB  foo 2\r\n", OP(PUB), .subject = "foo", .size = 2 },
	{ "PUB foo 2 \r\n", OP(PUB), .subject = "foo", .size = 2 },
	{ "PUB foo  2\r\n", OP(PUB), .subject = "foo", .size = 2 },
	{ "PUB foo 2\nok\r\n", OP(PUB), .subject = "foo", .size = 2 },
	{ "PUB foo 002\r\nok\r\n", OP(PUB), .subject = "foo", .size = 2 },
	{ "PUB foo 000000002\r\n", OP(PUB), .subject = "foo", .size = 2 },
	{ "PUB foo 999999999\r\n", OP(PUB), .subject = "foo",
	    .size = 999999999 },
	{ "PUB foo 1048577\r\n", OP(PUB), .subject = "foo", .size = 1048577 },
	{ "PUB foo. 1\r\n", OP(PUB), .subject = "foo.", .size = 1 },
	{ "PUB foo..b a..> 1\r\n", OP(PUB), .subject = "foo..b",
	    .reply = "a..>", .size = 1 },
	{ "PUB \xc3\xa9.\xff 1\r\n", OP(PUB), .subject = "\xc3\xa9.\xff",
	    .size = 1 },
	{ "PUB a\x01\x0b\x0c\xa0z 1\r\n", OP(PUB),
	    .subject = "a\x01\x0b\x0c\xa0z", .size = 1 },
	{ "PUB foo 0000000002\r\n", BAD(SILENT_SIZE) },
	{ "PUB foo 2x\r\n", BAD(SILENT_SIZE) },
	{ "PUB foo -1\r\n", BAD(SILENT_SIZE) },
	{ "PUB foo +1\r\n", BAD(SILENT_SIZE) },
	{ "PUB foo 1.0\r\n", BAD(SILENT_SIZE) },
	{ "PUB foo bar\r\n", BAD(SILENT_SIZE) },
	{ "PUB foo\r\n", BAD(SILENT_ARGS) },
	{ "PUB foo \r\n", BAD(SILENT_ARGS) },
	{ "PUB foo bar baz 2\r\n", BAD(SILENT_ARGS) },
	{ "PUB foo bar baz a b c 2\r\n", BAD(SILENT_ARGS) },
	{ "PUB \r\n", BAD(SILENT_ARGS) },
	{ "PUB \n", BAD(SILENT_ARGS) },
	{ "PUB\r\n", BAD(UNKNOWN_OP) },
	{ "PUB\n", BAD(UNKNOWN_OP) },
	{ "PUBS foo 2\r\n", BAD(UNKNOWN_OP) },
	{ "PUB foo 1\r\r\nx\r\n", BAD(SILENT_ARGS) },
	{ "PUB fo\ro 1\r\n", BAD(UNKNOWN_OP) },
	{ "PUB fo\ro 1\n", BAD(UNKNOWN_OP) },
	{ "PUB foo\r 1\r\n", BAD(UNKNOWN_OP) },
	{ "PUB foo 1\r ", BAD(UNKNOWN_OP) },
	{ "PUB foo 1\r", MORE },
	{ "PUB foo 1\r\r", MORE },
	{ "PUB foo 1", MORE },
	{ "PUB foo ", MORE },
	{ "PUB ", MORE },
	{ "PUB", MORE },
	{ "P", MORE },
	/* HPUB */
	{ "HPUB foo 22 27\r\nNATS/1.0\r\n", OP(HPUB), .subject = "foo",
	    .hdr_size = 22, .size = 27 },
	{ "HPUB foo rep 12 14\r\n", OP(HPUB), .subject = "foo",
	    .reply = "rep", .hdr_size = 12, .size = 14 },
	{ "hpub\tfoo  rep\t12 14 \n", OP(HPUB), .subject = "foo",
	    .reply = "rep", .hdr_size = 12, .size = 14 },
	{ "HPUB foo 12 12\r\n", OP(HPUB), .subject = "foo", .hdr_size = 12,
	    .size = 12 },
	{ "HPUB foo 0 2\r\n", OP(HPUB), .subject = "foo", .size = 2 },
	{ "HPUB foo 0 0\r\n", OP(HPUB), .subject = "foo" },
	{ "HPUB foo 14 12\r\n", BAD(SILENT_SIZE) },
	{ "HPUB foo x 14\r\n", BAD(SILENT_SIZE) },
	{ "HPUB foo 14 x\r\n", BAD(SILENT_SIZE) },
	{ "HPUB foo rep x 14\r\n", BAD(SILENT_SIZE) },
	{ "HPUB foo 0000000001 2\r\n", BAD(SILENT_SIZE) },
	{ "HPUB foo 1 0000000002\r\n", BAD(SILENT_SIZE) },
	{ "HPUB foo 12\r\n", BAD(SILENT_ARGS) },
	{ "HPUB foo\r\n", BAD(SILENT_ARGS) },
	{ "HPUB foo a b 12 14\r\n", BAD(SILENT_ARGS) },
	{ "HPUB foo 12 14\r\r\n", BAD(SILENT_ARGS) },
	{ "HPUB foo 12\r 14\r\n", BAD(UNKNOWN_OP) },
	{ "HPUB\r\n", BAD(UNKNOWN_OP) },
	{ "HPUBS foo 1 2\r\n", BAD(UNKNOWN_OP) },
	{ "HPUB foo 12 1", MORE },
	/* SUB and UNSUB */
	{ "SUB foo 1\r\n", OP(SUB), .subject = "foo", .sid = "1" },
	{ "SUB foo grp 7\r\n", OP(SUB), .subject = "foo", .queue = "grp",
	    .sid = "7" },
	{ "sub \t foo \t 7 \r\n", OP(SUB), .subject = "foo", .sid = "7" },
	{ "SUB foo a.b-*>\r\n", OP(SUB), .subject = "foo", .sid = "a.b-*>" },
	{ "SUB foo a..> 1\n", OP(SUB), .subject = "foo", .queue = "a..>",
	    .sid = "1" },
	{ "SUB foo\r\n", BAD(SILENT_ARGS) },
	{ "SUB foo q 1 2\r\n", BAD(SILENT_ARGS) },
	{ "SUB \r\n", BAD(SILENT_ARGS) },
	{ "SUB\r\n", BAD(UNKNOWN_OP) },
	{ "SUBZ foo 1\r\n", BAD(UNKNOWN_OP) },
	{ "SUB fo\ro 1\r\n", BAD(UNKNOWN_OP) },
	{ "SUB foo 1\r\r\n", BAD(SILENT_ARGS) },
	{ "UNSUB 1\r\n", OP(UNSUB), .sid = "1" },
	{ "unsub\t1 \n", OP(UNSUB), .sid = "1" },
	{ "UNSUB 1 5\r\n", OP(UNSUB), .sid = "1", .max_given = true,
	    .max = 5 },
	{ "UNSUB 1 999999999\r\n", OP(UNSUB), .sid = "1", .max_given = true,
	    .max = 999999999 },
	{ "UNSUB 1 0\r\n", OP(UNSUB), .sid = "1", .max_given = true },
	{ "UNSUB 1 abc\r\n", OP(UNSUB), .sid = "1", .max_given = true },
	{ "UNSUB 1 -1\r\n", OP(UNSUB), .sid = "1", .max_given = true },
	{ "UNSUB 1 1000000000\r\n", OP(UNSUB), .sid = "1",
	    .max_given = true },
	{ "UNSUB 1 2 3\r\n", BAD(SILENT_ARGS) },
	{ "UNSUB \r\n", BAD(SILENT_ARGS) },
	{ "UNSUB\r\n", BAD(UNKNOWN_OP) },
	{ "UNSUBS 1\r\n", BAD(UNKNOWN_OP) },
	{ "UNSUX", BAD(UNKNOWN_OP) },
};

#define NLINES (sizeof lines / sizeof lines[0])

static void
assert_slice(struct slice got, const char *want, const char *in)
{
	size_t len = want != NULL ? strlen(want) : 0;

	ck_assert_msg(got.len == len &&
	    (len == 0 || memcmp(got.p, want, len) == 0), "%s", in);
}

START_TEST(test_meaning)
{
	const struct line *l = &lines[_i];
	size_t len = strlen(l->in);
	struct result r = parse_exact((const uint8_t *)l->in, len, LIMIT);
	const char *lf = memchr(l->in, '\n', len);

	ck_assert_msg(r.status == l->status, "status %d: %s", r.status, l->in);
	if (r.status == PARSE_ERROR)
		ck_assert_msg(r.err == l->err, "error %d: %s", r.err, l->in);
	if (r.status != PARSE_OP)
		return;
	ck_assert_int_eq(r.op.verb, l->verb);
	ck_assert_ptr_nonnull(lf);
	ck_assert_uint_eq(r.op.line_len, lf + 1 - l->in);
	assert_slice(r.op.subject, l->subject, l->in);
	assert_slice(r.op.reply, l->reply, l->in);
	assert_slice(r.op.queue, l->queue, l->in);
	assert_slice(r.op.sid, l->sid, l->in);
	assert_slice(r.op.arg, l->arg, l->in);
	ck_assert_uint_eq(r.op.hdr_size, l->hdr_size);
	ck_assert_uint_eq(r.op.size, l->size);
	ck_assert_int_eq(r.op.max_given, l->max_given);
	ck_assert_uint_eq(r.op.max, l->max);
}
END_TEST

START_TEST(test_cuts)
{
	static const uint32_t limits[] = { 0, 1, 3, 7, 8, 12, LIMIT };
	const char *in = lines[_i].in;
	size_t i;

	for (i = 0; i < sizeof limits / sizeof limits[0]; i++)
		assert_cuts((const uint8_t *)in, strlen(in), limits[i]);
}
END_TEST

/* Zero bytes are bytes like others in a token. */
START_TEST(test_nul)
{
	static const uint8_t in[] = "PUB a\0b \0 1\r\n";
	struct result r = parse_exact(in, sizeof in - 1, LIMIT);

	ck_assert_int_eq(r.status, PARSE_OP);
	ck_assert_uint_eq(r.op.subject.len, 3);
	ck_assert_uint_eq(r.op.reply.len, 1);
	assert_cuts(in, sizeof in - 1, LIMIT);
}
END_TEST

/* Whatever byte comes next, a verb that cannot go on fails right there. */
START_TEST(test_first_wrong_byte)
{
	const char *name = ref_verbs[_i].name;
	size_t n;
	int c;
	uint8_t in[16];

	for (n = 0; n <= strlen(name); n++)
		for (c = 0; c < 256; c++) {
			memcpy(in, name, n);
			in[n] = (uint8_t)c;
			assert_as_reference(in, n + 1, LIMIT);
		}
	/* Wrong bytes do not wait for others. */
	for (n = 0; n < strlen(name); n++) {
		memcpy(in, name, n);
		in[n] = '!';
		ck_assert_int_eq(parse_exact(in, n + 1, LIMIT).status,
		    PARSE_ERROR);
	}
}
END_TEST

/* --- the limit --- */

static const struct limit_case {
	const char *before, *after; /* of the run of 'a' */
	size_t counted; /* bytes besides the run that count */
} limit_cases[] = {
	{ "SUB ", " 1", 2 },
	{ "SUB \t", " 1 ", 4 },
	{ "sub ", " 1", 2 },
	{ "UNSUB ", "", 0 },
	{ "PUB ", " 1", 2 },
	{ "PUB ", " r 123", 6 },
	{ "PUB  ", " 1", 3 },
	{ "pub\t", " 1", 2 },
	{ "HPUB ", " 1 2", 4 },
	{ "HPUB ", " r 1 2", 6 },
	{ "CONNECT ", "", 0 },
	{ "CONNECT", "", 0 },
	{ "INFO  ", " ", 2 },
	{ "-ERR ", "", 0 },
	{ "PING", "", 0 },
	{ "PONG ", " ", 2 },
	{ "+OK", "\rx", 2 },
};

/*
 * Builds a line with total counted bytes, the line end `eol`; its length.
 */
static size_t
build(const struct limit_case *c, size_t total, const char *eol, uint8_t *out)
{
	size_t run = total - c->counted, n = strlen(c->before);

	memcpy(out, c->before, n);
	memset(out + n, 'a', run);
	n += run;
	memcpy(out + n, c->after, strlen(c->after));
	n += strlen(c->after);
	memcpy(out + n, eol, strlen(eol));
	return n + strlen(eol);
}

START_TEST(test_limits)
{
	static const char *const eols[] = { "\r\n", "\n", "\r\nPING\r\n" };
	static const uint32_t limit[] = { 8, 64, 1024, 4096 };
	const struct limit_case *c = &limit_cases[_i];
	uint8_t in[4200];
	struct result r;
	size_t i, k, n;

	for (i = 0; i < 4; i++)
		for (k = 0; k < 3; k++) {
			n = build(c, limit[i], eols[k], in);
			r = assert_as_reference(in, n, limit[i]);
			ck_assert_int_eq(r.status, PARSE_OP);
			n = build(c, limit[i] + 1, eols[k], in);
			r = assert_as_reference(in, n, limit[i]);
			ck_assert_int_eq(r.status, PARSE_ERROR);
			ck_assert_int_eq(r.err, PERR_CONTROL_LINE);
			if (limit[i] <= 64)
				assert_cuts(in, n, limit[i]);
		}
}
END_TEST

/* An endless line is refused as soon as one byte too many is there. */
START_TEST(test_limit_unfinished)
{
	const struct limit_case *c = &limit_cases[_i];
	uint8_t in[200];
	struct result r;
	size_t n;

	n = build(c, 64, "", in);
	ck_assert_int_eq(parse_exact(in, n, 64).status, PARSE_MORE);
	in[n] = '\r';
	ck_assert_int_eq(parse_exact(in, n + 1, 64).status, PARSE_MORE);
	in[n] = 'x';
	r = parse_exact(in, n + 1, 64);
	ck_assert_int_eq(r.status, PARSE_ERROR);
	ck_assert_int_eq(r.err, PERR_CONTROL_LINE);
}
END_TEST

/* Blanks in front of the first argument count, but for the one needed. */
START_TEST(test_limit_blanks)
{
	uint8_t in[6000];
	size_t n;

	memcpy(in, "SUB ", 4);
	memset(in + 4, ' ', 60);
	memcpy(in + 64, "a 12\r\n", 6);
	ck_assert_int_eq(parse_exact(in, 70, 64).status, PARSE_OP);
	ck_assert_int_eq(parse_exact(in, 70, 63).status, PARSE_ERROR);
	memset(in + 4, ' ', 5000);
	memcpy(in + 5004, "a 1\r\n", 5);
	for (n = 4095; n < 5009; n++) {
		struct result r = parse_exact(in, n, LIMIT);

		ck_assert_int_eq(r.status, n - 4 > LIMIT ? PARSE_ERROR :
		    PARSE_MORE);
		if (r.status == PARSE_ERROR)
			ck_assert_int_eq(r.err, PERR_CONTROL_LINE);
	}
}
END_TEST

START_TEST(test_limit_largest)
{
	static const uint8_t in[] = "PUB foo 2\r\nok\r\n";

	ck_assert_int_eq(parse_exact(in, sizeof in - 1, UINT32_MAX).status,
	    PARSE_OP);
	ck_assert_int_eq(parse_exact(in, 9, UINT32_MAX).status, PARSE_MORE);
}
END_TEST

/* --- random --- */

static uint64_t seed = UINT64_C(0x2545f4914f6cdd1d);

static uint32_t
rnd(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 32) % below;
}

static uint8_t
rnd_byte(void)
{
	static const uint8_t often[] = " \t\r\n\r\n  019.x-+{}\0\x0b\x1f\x21"
	    "\x7f\x80\x8d\xa0\xff" "PUBHSNOCIGEpubh";

	if (rnd(4) == 0)
		return (uint8_t)rnd(256);
	return often[rnd(sizeof often - 1)];
}

static size_t
mutate(uint8_t *in, size_t len, size_t room)
{
	size_t at = rnd((uint32_t)len + 1);

	switch (rnd(4)) {
	case 0: /* insert */
		if (len == room)
			return len;
		memmove(in + at + 1, in + at, len - at);
		in[at] = rnd_byte();
		return len + 1;
	case 1: /* delete */
		if (at == len || len == 1)
			return len;
		memmove(in + at, in + at + 1, len - at - 1);
		return len - 1;
	case 2: /* other case */
		if (at < len && ((in[at] | 0x20) >= 'a') &&
		    (in[at] | 0x20) <= 'z')
			in[at] ^= 0x20;
		return len;
	default:
		if (at < len)
			in[at] = rnd_byte();
		return len;
	}
}

START_TEST(test_mutations)
{
	uint8_t in[128];
	size_t len;
	uint32_t i, k;

	for (i = 0; i < MUTATIONS; i++) {
		const char *line = lines[rnd(NLINES)].in;

		len = strlen(line);
		memcpy(in, line, len);
		for (k = rnd(5); k > 0; k--)
			len = mutate(in, len, sizeof in);
		if (rnd(4) == 0)
			len = 1 + rnd((uint32_t)len);
		assert_as_reference(in, len, rnd(3) == 0 ? rnd(40) : LIMIT);
		if (i % 64 == 0)
			assert_cuts(in, len, rnd(40));
	}
}
END_TEST

START_TEST(test_garbage)
{
	uint8_t in[64];
	size_t len, n;
	uint32_t i;

	for (i = 0; i < GARBAGE; i++) {
		len = 1 + rnd(sizeof in);
		for (n = 0; n < len; n++)
			in[n] = rnd_byte();
		/* Half of it behind a verb, or all would fail at once. */
		if (i % 2 == 0) {
			const char *name = ref_verbs[rnd(NVERBS)].name;

			if (strlen(name) < len) {
				memcpy(in, name, strlen(name));
				in[strlen(name)] = ' ';
			}
		}
		assert_as_reference(in, len, rnd(2) == 0 ? rnd(64) : LIMIT);
	}
}
END_TEST

static Suite *
parse_suite(void)
{
	Suite *s = suite_create("parse");
	TCase *tc = tcase_create("lines");

	tcase_add_loop_test(tc, test_meaning, 0, NLINES);
	tcase_add_test(tc, test_nul);
	suite_add_tcase(s, tc);

	tc = tcase_create("cuts");
	tcase_add_loop_test(tc, test_cuts, 0, NLINES);
	tcase_add_loop_test(tc, test_first_wrong_byte, 0, NVERBS);
	suite_add_tcase(s, tc);

	tc = tcase_create("limits");
	tcase_add_loop_test(tc, test_limits, 0,
	    sizeof limit_cases / sizeof limit_cases[0]);
	tcase_add_loop_test(tc, test_limit_unfinished, 0,
	    sizeof limit_cases / sizeof limit_cases[0]);
	tcase_add_test(tc, test_limit_blanks);
	tcase_add_test(tc, test_limit_largest);
	suite_add_tcase(s, tc);

	tc = tcase_create("random");
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_mutations);
	tcase_add_test(tc, test_garbage);
	suite_add_tcase(s, tc);
	return s;
}

int
main(void)
{
	return unit_run(parse_suite());
}
