/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of subjects: validity, splitting, matching, reserved prefixes. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "lib/unit.h"
#include "proto/subject.h"

#define SEED UINT64_C(0x123456789abcdef0)

static const uint8_t *
bytes(const char *s)
{
	return (const uint8_t *)s;
}

static const struct {
	const char *text;
	uint32_t tokens; /* as subject_split() counts: 0 if one is empty */
	bool pattern, literal;
} subjects[] = {
	{ "foo", 1, true, true },
	{ "a", 1, true, true },
	{ "foo.bar", 2, true, true },
	{ "a.b.c.d.e.f.g.h.i.j", 10, true, true },
	{ "exactly8.exactly8.more_than_eight.x", 4, true, true },
	{ "", 0, false, false },
	{ ".", 0, false, false },
	{ "..", 0, false, false },
	{ "foo.", 0, false, false },
	{ ".foo", 0, false, false },
	{ "foo..bar", 0, false, false },
	{ "12345678.", 0, false, false },
	{ "1234567..", 0, false, false },
	{ "*", 1, true, false },
	{ ">", 1, true, false },
	{ "*.*", 2, true, false },
	{ "foo.*", 2, true, false },
	{ "foo.*.bar", 3, true, false },
	{ "foo.>", 2, true, false },
	{ "foo.>.bar", 3, false, false },
	{ ">.foo", 2, false, false },
	{ ">.>", 2, false, false },
	{ "foo*", 1, true, true },
	{ "b>r.x", 2, true, true },
	{ "**", 1, true, true },
	{ ">>", 1, true, true },
	{ "*>.a", 2, true, true },
	{ ">>.*", 2, true, false },
	{ "\xc3\xa9.\xff", 2, true, true },
	{ "\xae\xae\xae\xae.\x2f\x2d", 2, true, true },
	{ "$SYS.a", 2, true, true },
};

#define NSUBJECTS (sizeof subjects / sizeof subjects[0])

START_TEST(test_validity)
{
	const char *s = subjects[_i].text;
	size_t len = strlen(s);

	ck_assert_int_eq(subject_valid_pattern(bytes(s), len),
	    subjects[_i].pattern);
	ck_assert_int_eq(subject_valid_literal(bytes(s), len),
	    subjects[_i].literal);
	if (subjects[_i].tokens > 0)
		ck_assert_uint_eq(subject_tokens(bytes(s), len),
		    subjects[_i].tokens);
}
END_TEST

START_TEST(test_split)
{
	const char *s = subjects[_i].text;
	uint32_t want = subjects[_i].tokens, i;
	size_t len = strlen(s), at = 0;
	struct token tok[10];

	ck_assert_uint_eq(subject_split(bytes(s), len, SEED, tok, 10), want);
	for (i = 0; i < want; i++) {
		ck_assert_ptr_eq(tok[i].p, bytes(s) + at);
		ck_assert_ptr_null(memchr(tok[i].p, '.', tok[i].len));
		ck_assert_uint_eq(tok[i].hash,
		    (uint32_t)hash_bytes(tok[i].p, tok[i].len, SEED));
		at += tok[i].len + 1;
	}
	if (want > 0) {
		ck_assert_uint_eq(at, len + 1);
		ck_assert_uint_eq(subject_split(bytes(s), len, SEED, tok,
		    want), want);
		ck_assert_uint_eq(subject_split(bytes(s), len, SEED, tok,
		    want - 1), 0);
	}
}
END_TEST

START_TEST(test_token_count)
{
	ck_assert_uint_eq(subject_tokens(bytes("a.b.c.d"), 7), 4);
	ck_assert_uint_eq(subject_tokens(bytes("a.>"), 3), 2);
	ck_assert_uint_eq(subject_tokens(bytes("a..b"), 4), 3);
}
END_TEST

static const struct {
	const char *pattern, *subject;
	bool match;
} matches[] = {
	{ "foo", "foo", true },
	{ "foo", "Foo", false },
	{ "foo", "foo.bar", false },
	{ "foo", "fo", false },
	{ "foo.bar", "foo", false },
	{ "foo.*", "foo.a", true },
	{ "foo.*", "foo", false },
	{ "foo.*", "foo.a.b", false },
	{ "foo.*", "foo.*", true },
	{ "foo.*", "foo.>", true },
	{ "foo.bar", "foo.*", false },
	{ "foo.>", "foo.a", true },
	{ "foo.>", "foo.a.b", true },
	{ "foo.>", "foo", false },
	{ "foo.>", "bar.a", false },
	{ "foo.>", "foo.*", true },
	{ "*.*", "a.b", true },
	{ "*.*", "a", false },
	{ "*.*", "a.b.c", false },
	{ "*.b.*", "a.b.c", true },
	{ "*.b.*", "a.c.c", false },
	{ "*.>", "a.b.c", true },
	{ "*.>", "a", false },
	{ ">", "a", true },
	{ ">", "$SYS.x", true },
	{ ">", "_INBOX.x.y", true },
	{ "*", "$SYS", true },
	{ ">", "a..b", false },
	{ ">", "a.", false },
	{ ">", ".a", false },
	{ ">", "", false },
	{ "*", "", false },
	{ "foo..bar", "foo..bar", false },
	{ ">.a", "b.a", false },
	{ "foo*", "foo*", true },
	{ "foo*", "foob", false },
	{ "b>r", "b>r", true },
	{ "b>r", "bar", false },
	{ "\xff", "\xff", true },
};

START_TEST(test_matching)
{
	const char *p = matches[_i].pattern, *s = matches[_i].subject;

	ck_assert_int_eq(subject_match(bytes(p), strlen(p), bytes(s),
	    strlen(s)), matches[_i].match);
}
END_TEST

START_TEST(test_nul_bytes)
{
	ck_assert(subject_match(bytes("a\0b.*"), 5, bytes("a\0b.\0"), 5));
	ck_assert(!subject_match(bytes("a\0b"), 3, bytes("a\0c"), 3));
	ck_assert(subject_valid_literal(bytes("\0"), 1));
}
END_TEST

/* A plain statement of 3.2, by recursion over tokens. */
static bool
slow_match(const char *p, const char *s)
{
	size_t pn = strcspn(p, "."), sn = strcspn(s, ".");

	if (pn == 1 && *p == '>')
		return true;
	if (!(pn == 1 && *p == '*') && (pn != sn || strncmp(p, s, pn) != 0))
		return false;
	if (p[pn] == '\0' || s[sn] == '\0')
		return p[pn] == s[sn];
	return slow_match(p + pn + 1, s + sn + 1);
}

/* All texts of up to five characters from a small alphabet, as pairs. */
START_TEST(test_matching_all)
{
	static const char alphabet[] = "ab.*>";
	static char text[780][6];
	size_t n = 0, first = 0, last, i, k;

	for (k = 0; k < 5; k++)
		snprintf(text[n++], 6, "%c", alphabet[k]);
	while (n < 780) { /* lengths one to four */
		last = n;
		for (i = first; i < last; i++)
			for (k = 0; k < 5; k++)
				snprintf(text[n++], 6, "%.4s%c", text[i],
				    alphabet[k]);
		first = last;
	}
	for (i = 0; i < n; i++)
		for (k = 0; k < n; k++) {
			const uint8_t *p = bytes(text[i]), *s = bytes(text[k]);
			size_t pn = strlen(text[i]), sn = strlen(text[k]);
			struct token tok[4];
			bool want = subject_valid_pattern(p, pn) &&
			    subject_split(s, sn, 0, tok, 4) > 0 &&
			    slow_match(text[i], text[k]);

			if (subject_match(p, pn, s, sn) != want)
				ck_abort_msg("%s %s", text[i], text[k]);
		}
}
END_TEST

/* Tokens of all lengths, in memory that ends where the subject ends. */
START_TEST(test_lengths)
{
	struct token tok[3];
	uint8_t *p;
	size_t a, b;

	for (a = 1; a < 40; a++)
		for (b = 1; b < 40; b++) {
			p = malloc(a + 1 + b);
			ck_assert_ptr_nonnull(p);
			memset(p, 'x', a + 1 + b);
			p[a] = '.';
			ck_assert_uint_eq(subject_split(p, a + 1 + b, SEED,
			    tok, 3), 2);
			ck_assert_uint_eq(tok[0].len, a);
			ck_assert_uint_eq(tok[1].len, b);
			ck_assert_int_eq(tok[0].hash == tok[1].hash, a == b);
			free(p);
		}
}
END_TEST

/* No byte but the dot is taken for one, wherever it stands in a word. */
START_TEST(test_all_bytes)
{
	struct token tok[3];
	uint8_t p[41];
	int c;

	for (c = 0; c < 256; c++) {
		if (c == '.')
			continue;
		memset(p, c, sizeof p);
		ck_assert_uint_eq(subject_split(p, 41, SEED, tok, 3), 1);
		p[20] = '.';
		ck_assert_uint_eq(subject_split(p, 41, SEED, tok, 3), 2);
		ck_assert_uint_eq(tok[0].len, 20);
		ck_assert_uint_eq(tok[0].hash, tok[1].hash);
	}
}
END_TEST

static const struct {
	const char *text;
	bool publish, reply;
} reserved[] = {
	{ "foo", false, false },
	{ "", false, false },
	{ "_GR_", false, false },
	{ "_GR_.", false, false },
	{ "_GR_.x", true, true },
	{ "$NRG", false, false },
	{ "$NRG.", true, false },
	{ "$NRG.x", true, false },
	{ "_R_", false, false },
	{ "_R_.", false, true },
	{ "_R_.x", false, true },
	{ "$JS.ACK", false, false },
	{ "$JS.ACK.", false, false },
	{ "$JS.ACK.x", false, true },
	{ "$JS.API.x", false, false },
	{ "$SYS.x", false, false },
	{ "_INBOX.x", false, false },
	{ "x_GR_.x", false, false },
};

START_TEST(test_reserved_prefixes)
{
	const char *s = reserved[_i].text;

	ck_assert_int_eq(subject_reserved_publish(bytes(s), strlen(s)),
	    reserved[_i].publish);
	ck_assert_int_eq(subject_reserved_reply(bytes(s), strlen(s)),
	    reserved[_i].reply);
}
END_TEST

static Suite *
subject_suite(void)
{
	Suite *s = suite_create("subject");
	TCase *tc = tcase_create("subject");

	tcase_add_loop_test(tc, test_validity, 0, NSUBJECTS);
	tcase_add_loop_test(tc, test_split, 0, NSUBJECTS);
	tcase_add_test(tc, test_token_count);
	tcase_add_test(tc, test_lengths);
	tcase_add_test(tc, test_all_bytes);
	tcase_add_loop_test(tc, test_matching, 0,
	    sizeof matches / sizeof matches[0]);
	tcase_add_test(tc, test_nul_bytes);
	tcase_add_test(tc, test_matching_all);
	tcase_add_loop_test(tc, test_reserved_prefixes, 0,
	    sizeof reserved / sizeof reserved[0]);
	suite_add_tcase(s, tc);
	return s;
}

int
main(void)
{
	return unit_run(subject_suite());
}
