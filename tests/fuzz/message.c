/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzz target: from PUB and HPUB to MSG and HMSG.  natsd does not look into a
 * header block: it is the first hdr_size bytes of the payload.  What a client
 * publishes is emitted with the header, without it, and as a 503; a plain
 * reader of what the server says must find the same parts again.  Errors with
 * the client's words in them must stay one line.
 */
#include <config.h>

#include "fuzz/fuzz.h"
#include "proto/emit.h"
#include "proto/parse.h"

#define WORDS_MAX 6

/* A message as a client reads it. */
struct heard {
	struct slice word[WORDS_MAX];
	unsigned n;
	uint32_t hdr, size;
	const uint8_t *payload;
};

static bool
equal(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 ||
	    memcmp(a.p, b.p, a.len) == 0);
}

static bool
is_word(struct slice a, const char *text)
{
	return a.len == strlen(text) && memcmp(a.p, text, a.len) == 0;
}

static uint32_t
number(struct slice s)
{
	uint32_t i, v = 0;

	FUZZ_CHECK(s.len > 0 && s.len <= 9);
	for (i = 0; i < s.len; i++) {
		FUZZ_CHECK(s.p[i] >= '0' && s.p[i] <= '9');
		v = v * 10 + (s.p[i] - '0');
	}
	FUZZ_CHECK(*s.p != '0' || s.len == 1);
	return v;
}

/* Takes the line p[0..len) apart at its blanks. */
static void
hear_line(const uint8_t *p, size_t len, struct heard *h)
{
	const uint8_t *end = p + len - 2, *stop;

	FUZZ_CHECK(len > 2 && memcmp(end, "\r\n", 2) == 0);
	memset(h, 0, sizeof *h);
	for (;; p = stop + 1) {
		stop = memchr(p, ' ', (size_t)(end - p));
		if (stop == NULL)
			stop = end;
		FUZZ_CHECK(h->n < WORDS_MAX && stop > p);
		h->word[h->n].p = p;
		h->word[h->n++].len = (uint32_t)(stop - p);
		if (stop == end)
			break;
	}
	h->size = number(h->word[h->n - 1]);
	if (is_word(h->word[0], "HMSG"))
		h->hdr = number(h->word[h->n - 2]);
	else
		FUZZ_CHECK(is_word(h->word[0], "MSG"));
}

static void
check_line(const struct parse_op *op, struct slice sid, bool headers)
{
	size_t max = emit_msg_max(op->subject.len, sid.len, op->reply.len), n;
	uint8_t *out = fuzz_alloc(max);
	uint32_t size = op->size - (headers ? 0 : op->hdr_size);
	struct heard h;
	unsigned words;

	n = headers ? emit_hmsg(out, op->subject, sid, op->reply,
	    op->hdr_size, size) : emit_msg(out, op->subject, sid, op->reply,
	    size);
	FUZZ_CHECK(n <= max);
	hear_line(out, n, &h);
	words = 4 + headers + (op->reply.len > 0);
	FUZZ_CHECK(h.n == words && h.size == size);
	FUZZ_CHECK(is_word(h.word[0], headers ? "HMSG" : "MSG"));
	FUZZ_CHECK(!headers || h.hdr == op->hdr_size);
	FUZZ_CHECK(equal(h.word[1], op->subject) && equal(h.word[2], sid));
	FUZZ_CHECK(op->reply.len == 0 || equal(h.word[3], op->reply));
	free(out);
}

/* A 503 is a whole message with a header block that names the subject. */
static void
check_503(const struct parse_op *op, struct slice sid)
{
	static const char head[] = "NATS/1.0 503\r\nNats-Subject: ";
	size_t max = emit_503_max(op->subject.len, sid.len, op->reply.len), n;
	uint8_t *out = fuzz_alloc(max), *lf;
	struct heard h;

	n = emit_503(out, op->reply, sid, op->subject);
	FUZZ_CHECK(n <= max && (lf = memchr(out, '\n', n)) != NULL);
	hear_line(out, (size_t)(lf + 1 - out), &h);
	h.payload = lf + 1;
	FUZZ_CHECK(is_word(h.word[0], "HMSG") && h.n == 5);
	FUZZ_CHECK(equal(h.word[1], op->reply) && equal(h.word[2], sid));
	FUZZ_CHECK(h.hdr == h.size);
	FUZZ_CHECK((size_t)(h.payload - out) + h.size + 2 == n);
	FUZZ_CHECK(memcmp(out + n - 6, "\r\n\r\n\r\n", 6) == 0);
	FUZZ_CHECK(h.size == sizeof head - 1 + op->subject.len + 4);
	FUZZ_CHECK(memcmp(h.payload, head, sizeof head - 1) == 0);
	FUZZ_CHECK(memcmp(h.payload + sizeof head - 1, op->subject.p,
	    op->subject.len) == 0);
	free(out);
}

/* As long as it may be, and cut. */
static void
check_error(enum perr e, struct slice a, struct slice b, size_t size)
{
	struct perr_arg arg = { a.p, a.len }, arg2 = { b.p, b.len };
	char *out = fuzz_alloc(size);
	size_t n = perr_line(e, &arg, &arg2, out, size), i;

	FUZZ_CHECK(n <= size);
	if (n > 0) {
		FUZZ_CHECK(n > 9 && memcmp(out, "-ERR '", 6) == 0 &&
		    memcmp(out + n - 3, "'\r\n", 3) == 0);
		for (i = 0; i < n - 2; i++)
			FUZZ_CHECK((uint8_t)out[i] >= 0x20 && out[i] != 0x7f);
	}
	free(out);
}

static void
check_errors(const struct parse_op *op, struct slice other)
{
	size_t whole = 4 * (size_t)(op->subject.len + other.len) + 200;
	size_t cut = 80 + (op->size + op->subject.len) % 120;

	check_error(PERR_PUB_DENIED, op->subject, other, whole);
	check_error(PERR_SUB_DENIED_QUEUE, op->subject, other, whole);
	check_error(PERR_SUB_DENIED_QUEUE, op->subject, other, cut);
	check_error(PERR_SUB_TOKENS, op->subject, other, cut);
}

/* The whole message, if it has come, keeps its parts. */
static void
check_message(const struct parse_op *op, struct slice sid)
{
	check_line(op, sid, true);
	check_line(op, sid, false);
	if (op->reply.len > 0)
		check_503(op, sid);
	check_errors(op, op->reply);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice sid = { (const uint8_t *)"1", 1 };
	struct parse_op op;
	enum perr err;
	size_t at = 0;

	if (size > 4096)
		return 0;
	while (at < size && parse_line(data + at, size - at, 1024, &op,
	    &err) == PARSE_OP) {
		at += op.line_len;
		if (op.verb == VERB_SUB) {
			sid = op.sid;
			check_errors(&op, op.queue);
		}
		if (op.verb != VERB_PUB && op.verb != VERB_HPUB)
			continue;
		check_message(&op, sid);
		at += op.size + 2;
	}
	return 0;
}
