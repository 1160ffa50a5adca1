/* SPDX-License-Identifier: BSD-2-Clause */
/* Unit tests of base/escape. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "base/escape.h"
#include "lib/unit.h"

#define N(a) ((int)(sizeof(a) / sizeof(a)[0]))
#define IN(s) (s), sizeof(s) - 1

static const struct {
	const char *in;
	size_t len;
	const char *out;
} cases[] = {
	{ IN(""), "" },
	{ IN("foo.bar.*"), "foo.bar.*" },
	{ IN("a\"b\\c'd"), "a\\\"b\\\\c'd" },
	{ IN("\a\b\f\n\r\t\v"), "\\a\\b\\f\\n\\r\\t\\v" },
	{ IN("\0\x01\x1b\x1f\x7f"), "\\x00\\x01\\x1b\\x1f\\x7f" },
	{ IN("\xff\x80"), "\\xff\\x80" },
	{ IN("caf\xc3\xa9"), "caf\xc3\xa9" },
	{ IN("\xe6\x97\xa5\xf0\x9f\x98\x80"), "\xe6\x97\xa5\xf0\x9f\x98\x80" },
	{ IN("\xc2\xa0"), "\\u00a0" },
	{ IN("\xc2\x85"), "\\u0085" },
	{ IN("\xc2\xad"), "\\u00ad" },
	{ IN("\xc2\xa1"), "\xc2\xa1" },
	{ IN("\xe2\x80\xa8"), "\\u2028" },
	{ IN("\xef\xbb\xbf"), "\\ufeff" },
	{ IN("\xee\x80\x80"), "\\ue000" },
	{ IN("\xef\xbf\xbd"), "\xef\xbf\xbd" },
	{ IN("\xf3\xa0\x80\x81"), "\\U000e0001" },
	{ IN("\xf4\x8f\xbf\xbd"), "\\U0010fffd" },
	/* cut, overlong, surrogate, too large */
	{ IN("\xc3"), "\\xc3" },
	{ IN("\xe2\x82"), "\\xe2\\x82" },
	{ IN("\xe2\x82x"), "\\xe2\\x82x" },
	{ IN("\xc0\xaf"), "\\xc0\\xaf" },
	{ IN("\xe0\x80\xaf"), "\\xe0\\x80\\xaf" },
	{ IN("\xed\xa0\x80"), "\\xed\\xa0\\x80" },
	{ IN("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80" },
	{ IN("\xf8\x88\x80\x80\x80"), "\\xf8\\x88\\x80\\x80\\x80" },
};

START_TEST(test_case)
{
	char out[128];
	uint8_t *in = malloc(cases[_i].len + 1);

	memcpy(in, cases[_i].in, cases[_i].len);
	in = realloc(in, cases[_i].len == 0 ? 1 : cases[_i].len);
	ck_assert_uint_eq(escape_go_quote(out, sizeof out, in, cases[_i].len),
	    strlen(cases[_i].out));
	ck_assert_str_eq(out, cases[_i].out);
	free(in);
}
END_TEST

START_TEST(test_cut)
{
	char out[8] = "zzzzzzz";
	const uint8_t in[] = "ab\x01"
			     "c";

	ck_assert_uint_eq(escape_go_quote(out, 0, in, 4), 0);
	ck_assert_int_eq(out[0], 'z');
	ck_assert_uint_eq(escape_go_quote(out, 1, in, 4), 0);
	ck_assert_str_eq(out, "");
	ck_assert_uint_eq(escape_go_quote(out, 6, in, 4), 2);
	ck_assert_str_eq(out, "ab");
	ck_assert_uint_eq(escape_go_quote(out, 7, in, 4), 6);
	ck_assert_str_eq(out, "ab\\x01");
	ck_assert_uint_eq(escape_go_quote(out, 8, in, 4), 7);
	ck_assert_str_eq(out, "ab\\x01c");
}
END_TEST

START_TEST(test_factor)
{
	char out[ESCAPE_GO_FACTOR * 4 + 1];
	uint8_t in[4];
	uint32_t v;

	/* Whatever the bytes, nothing of them is cut. */
	for (v = 0; v < 1u << 18; v++) {
		in[0] = (uint8_t)(0xc0 | v);
		in[1] = (uint8_t)(v >> 6);
		in[2] = (uint8_t)(v >> 10);
		in[3] = (uint8_t)(v >> 8);
		ck_assert_uint_ge(escape_go_quote(out, sizeof out, in, 4), 4);
		ck_assert_uint_eq(
		    strlen(out), escape_go_quote(out, sizeof out, in, 4));
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("escape");
	TCase *tc = tcase_create("all");

	tcase_add_loop_test(tc, test_case, 0, N(cases));
	tcase_add_test(tc, test_cut);
	tcase_add_test(tc, test_factor);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
