/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzz target: the parser of control lines.  One byte chooses
 * max_control_line, the rest is what a client sends.  It is parsed whole, in
 * random pieces, byte by byte, and with the verbs written otherwise so that
 * the fast way for PUB and HPUB is not taken: each time with the same result.
 */
#include <config.h>

#include "fuzz/fuzz.h"
#include "proto/parse.h"

#define INPUT_MAX 4096
#define STEPS_MAX 1024
#define VERB_MAX 7 /* bytes of the longest verb */

static const uint32_t limits[] = { 4096, 4096, 64, 16, 5, 0, 512, 1024 };

static const unsigned verb_len[] = { 7, 4, 4, 3, 4, 3, 5, 4, 3, 4 };

/* A slice by its place in the input. */
struct place {
	size_t at;
	uint32_t len;
};

/* What one line was found to be. */
struct step {
	enum verb verb;
	size_t at;
	uint32_t line_len, hdr_size, size, max;
	bool max_given;
	struct place subject, reply, queue, sid, arg;
};

/* All that was found in one input, up to what ended it. */
struct trace {
	struct step step[STEPS_MAX];
	unsigned n;
	enum parse_status last;
	enum perr err;
	size_t at; /* where the line that ended it begins */
};

enum way { WHOLE, PIECES, BYTES, SLOWLY };

static struct place
place_of(struct slice s, const uint8_t *line, const struct step *step,
    bool token)
{
	struct place place = { 0, s.len };
	uint32_t i;

	if (s.len == 0)
		return place;
	FUZZ_CHECK(s.p >= line && s.len <= step->line_len &&
	    (size_t)(s.p - line) <= step->line_len - s.len);
	for (i = 0; i < s.len; i++) {
		FUZZ_CHECK(s.p[i] != '\n');
		FUZZ_CHECK(!token || (s.p[i] != ' ' && s.p[i] != '\t' &&
		    s.p[i] != '\r'));
	}
	place.at = step->at + (size_t)(s.p - line);
	return place;
}

/* The bytes behind the verb and its blank, without the line end. */
static uint32_t
limited_part(const uint8_t *line, const struct step *step)
{
	uint32_t n = step->line_len - 1 - verb_len[step->verb];

	if (n > 0 && line[step->line_len - 2] == '\r')
		n--;
	return n;
}

static void
check_op(const struct parse_op *op, const uint8_t *line, size_t len,
    uint32_t limit, struct step *step)
{
	bool pub = op->verb == VERB_PUB || op->verb == VERB_HPUB;

	FUZZ_CHECK(op->line_len >= 4 && op->line_len <= len);
	FUZZ_CHECK(line[op->line_len - 1] == '\n');
	FUZZ_CHECK(memchr(line, '\n', op->line_len - 1) == NULL);
	step->verb = op->verb;
	step->line_len = op->line_len;
	step->hdr_size = op->hdr_size;
	step->size = op->size;
	step->max = op->max;
	step->max_given = op->max_given;
	step->subject = place_of(op->subject, line, step, true);
	step->reply = place_of(op->reply, line, step, true);
	step->queue = place_of(op->queue, line, step, true);
	step->sid = place_of(op->sid, line, step, true);
	step->arg = place_of(op->arg, line, step, false);
	FUZZ_CHECK(limited_part(line, step) <= limit + 1);
	FUZZ_CHECK(op->hdr_size <= op->size && op->size <= 999999999);
	FUZZ_CHECK((pub || op->verb == VERB_SUB) == (op->subject.len > 0));
	FUZZ_CHECK((op->verb == VERB_SUB || op->verb == VERB_UNSUB) ==
	    (op->sid.len > 0));
	FUZZ_CHECK(pub || (op->size == 0 && op->reply.len == 0));
	FUZZ_CHECK(op->verb == VERB_UNSUB || !op->max_given);
	FUZZ_CHECK(op->max_given || op->max == 0);
}

static void
check_perr(enum perr err)
{
	char line[256];
	size_t n;

	FUZZ_CHECK(err > PERR_NONE && err < PERR_COUNT && perr_closes(err));
	FUZZ_CHECK(perr_reason(err) != NULL);
	n = perr_line(err, NULL, NULL, line, sizeof line);
	FUZZ_CHECK(n == 0 || (n > 8 && memcmp(line, "-ERR '", 6) == 0 &&
	    memcmp(line + n - 3, "'\r\n", 3) == 0));
}

/* Parses what has arrived of one line, in memory of just that size. */
static enum parse_status
parse_copy(const uint8_t *p, size_t len, uint32_t limit, enum way way,
    struct trace *t, struct step *step)
{
	uint8_t *copy = fuzz_copy(p, len);
	enum parse_status status;
	struct parse_op op;

	if (way == SLOWLY && (*copy == 'P' || *copy == 'H'))
		*copy |= 0x20;
	memset(&op, 0xa5, sizeof op);
	t->err = PERR_NONE;
	status = parse_line(copy, len, limit, &op, &t->err);
	if (status == PARSE_OP)
		check_op(&op, copy, len, limit, step);
	else if (status == PARSE_ERROR)
		check_perr(t->err);
	else
		FUZZ_CHECK(len <= (size_t)VERB_MAX + 1 + limit + 1);
	free(copy);
	return status;
}

static size_t
next_piece(enum way way, size_t left, uint64_t *rnd)
{
	if (way == BYTES)
		return 1;
	if (way != PIECES)
		return left;
	return 1 + fuzz_random(rnd, left < 40 ? left : 40);
}

static void
parse_all(const uint8_t *p, size_t len, uint32_t limit, enum way way,
    uint64_t rnd, struct trace *t)
{
	size_t have = 0;
	struct step *step;

	memset(t, 0, sizeof *t);
	t->last = PARSE_MORE;
	while (t->n < STEPS_MAX && t->at < len) {
		if (have <= t->at || t->last == PARSE_MORE) {
			if (have == len)
				break;
			have += next_piece(way, len - have, &rnd);
			if (have <= t->at)
				continue;
		}
		step = &t->step[t->n];
		step->at = t->at;
		t->last = parse_copy(p + t->at, have - t->at, limit, way, t,
		    step);
		if (t->last == PARSE_ERROR)
			break;
		if (t->last == PARSE_MORE)
			continue;
		t->n++;
		t->at += step->line_len;
		if (step->verb == VERB_PUB || step->verb == VERB_HPUB)
			t->at += step->size + 2;
	}
	if (t->last != PARSE_ERROR)
		t->err = PERR_NONE;
}

static bool
same_place(struct place a, struct place b)
{
	return a.at == b.at && a.len == b.len;
}

static void
check_same(const struct trace *a, const struct trace *b)
{
	const struct step *x, *y;
	unsigned i;

	FUZZ_CHECK(a->n == b->n);
	FUZZ_CHECK(a->at == b->at);
	FUZZ_CHECK(a->last == b->last);
	FUZZ_CHECK(a->err == b->err);
	for (i = 0; i < a->n; i++) {
		x = &a->step[i];
		y = &b->step[i];
		FUZZ_CHECK(x->verb == y->verb && x->at == y->at &&
		    x->line_len == y->line_len && x->size == y->size &&
		    x->hdr_size == y->hdr_size && x->max == y->max &&
		    x->max_given == y->max_given);
		FUZZ_CHECK(same_place(x->subject, y->subject) &&
		    same_place(x->reply, y->reply) &&
		    same_place(x->queue, y->queue) &&
		    same_place(x->sid, y->sid) && same_place(x->arg, y->arg));
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct trace whole, other;
	uint32_t limit;
	enum way way;

	if (size < 2 || size > INPUT_MAX)
		return 0;
	limit = limits[*data % (sizeof limits / sizeof *limits)];
	data++;
	size--;
	parse_all(data, size, limit, WHOLE, 0, &whole);
	for (way = PIECES; way <= SLOWLY; way++) {
		if (way == BYTES && size > 512)
			continue; /* takes the square of its time */
		parse_all(data, size, limit, way, fuzz_seed(data, size),
		    &other);
		check_same(&whole, &other);
	}
	return 0;
}
