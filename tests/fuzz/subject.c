/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzz target: validation, splitting and matching of subjects, against the
 * plainest model there is.  Lines of the input are taken in pairs: a pattern
 * and a subject.
 */
#include <config.h>

#include "base/hash.h"
#include "fuzz/fuzz.h"
#include "fuzz/model.h"
#include "proto/subject.h"

#define TOKENS_MAX 64
#define SEED UINT64_C(42)

static void
check_split(const struct fuzz_in *s)
{
	struct token tok[TOKENS_MAX];
	uint32_t max, n, i, model = model_tokens(s->p, s->len);
	struct model_token part;
	bool filled = true;

	for (i = 0; i < model; i++)
		if (model_token(s->p, s->len, i).len == 0)
			filled = false;
	for (max = 0; max <= TOKENS_MAX; max = max == 0 ? 1 : max * 4) {
		n = subject_split(s->p, s->len, SEED, tok, max);
		FUZZ_CHECK(n == (filled && model <= max ? model : 0));
		for (i = 0; i < n; i++) {
			part = model_token(s->p, s->len, i);
			FUZZ_CHECK(tok[i].p == part.p);
			FUZZ_CHECK(tok[i].len == part.len);
			FUZZ_CHECK(tok[i].hash == (uint32_t)hash_bytes(part.p,
			    part.len, SEED));
		}
	}
	FUZZ_CHECK(subject_tokens(s->p, s->len) == model);
}

static bool
starts(const struct fuzz_in *s, const char *prefix, size_t more)
{
	size_t n = strlen(prefix);

	return s->len >= n + more && memcmp(s->p, prefix, n) == 0;
}

static void
check_alone(const struct fuzz_in *s)
{
	bool pattern = subject_valid_pattern(s->p, s->len);
	bool literal = subject_valid_literal(s->p, s->len);

	check_split(s);
	FUZZ_CHECK(pattern == model_valid_pattern(s->p, s->len));
	FUZZ_CHECK(literal == model_valid_literal(s->p, s->len));
	FUZZ_CHECK(!literal || pattern);
	/* A literal subject matches itself, and > matches it. */
	if (literal) {
		FUZZ_CHECK(subject_match(s->p, s->len, s->p, s->len));
		FUZZ_CHECK(subject_match((const uint8_t *)">", 1, s->p,
		    s->len));
	}
	FUZZ_CHECK(subject_reserved_publish(s->p, s->len) ==
	    (starts(s, "_GR_.", 1) || starts(s, "$NRG.", 0)));
	FUZZ_CHECK(subject_reserved_reply(s->p, s->len) ==
	    (starts(s, "_R_.", 0) || starts(s, "_GR_.", 1) ||
	    starts(s, "$JS.ACK.", 1)));
}

static struct fuzz_in
own_line(struct fuzz_in *in, uint8_t **memory)
{
	struct fuzz_in line = fuzz_until(in, '\n');

	*memory = fuzz_copy(line.p, line.len);
	line.p = *memory;
	return line;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size }, pattern, subject;
	uint8_t *a, *b;

	if (size > 1024)
		return 0;
	while (in.len > 0) {
		pattern = own_line(&in, &a);
		subject = own_line(&in, &b);
		check_alone(&pattern);
		check_alone(&subject);
		FUZZ_CHECK(subject_match(pattern.p, pattern.len, subject.p,
		    subject.len) == model_match(pattern.p, pattern.len,
		    subject.p, subject.len));
		free(a);
		free(b);
	}
	return 0;
}
