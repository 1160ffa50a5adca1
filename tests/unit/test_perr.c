/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of the protocol errors: texts, closing, cut arguments. */
#include <config.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "lib/unit.h"
#include "proto/perr.h"

static const struct {
	enum perr e;
	const char *line; /* for arguments S and Q; NULL: silent */
	bool closes;
} errors[] = {
	{ PERR_UNKNOWN_OP, "-ERR 'Unknown Protocol Operation'\r\n", true },
	{ PERR_CONTROL_LINE, "-ERR 'maximum control line exceeded'\r\n", true },
	{ PERR_MAX_PAYLOAD, "-ERR 'Maximum Payload Violation'\r\n", true },
	{ PERR_AUTH_VIOLATION, "-ERR 'Authorization Violation'\r\n", true },
	{ PERR_AUTH_TIMEOUT, "-ERR 'Authentication Timeout'\r\n", true },
	{ PERR_PROTOCOL_VERSION, "-ERR 'invalid client protocol'\r\n", true },
	{ PERR_NORESP_HEADERS,
	    "-ERR 'no responders requires headers support'\r\n", true },
	{ PERR_MAX_CONNECTIONS, "-ERR 'maximum connections exceeded'\r\n",
	    true },
	{ PERR_STALE, "-ERR 'Stale Connection'\r\n", true },
	{ PERR_MAX_SUBS, "-ERR 'maximum subscriptions exceeded'\r\n", false },
	{ PERR_SUBJECT, "-ERR 'Invalid Subject'\r\n", false },
	{ PERR_PUB_SUBJECT, "-ERR 'Invalid Publish Subject'\r\n", false },
	{ PERR_PUB_DENIED,
	    "-ERR 'Permissions Violation for Publish to \"S\"'\r\n", false },
	{ PERR_REPLY_DENIED, "-ERR 'Permissions Violation for Publish with "
	    "Reply of \"S\"'\r\n", false },
	{ PERR_SUB_DENIED, "-ERR 'Permissions Violation for Subscription to "
	    "\"S\"'\r\n", false },
	{ PERR_SUB_DENIED_QUEUE, "-ERR 'Permissions Violation for "
	    "Subscription to \"S\" using queue \"Q\"'\r\n", false },
	{ PERR_SUB_TOKENS, "-ERR 'Permissions Violation for Subscription to "
	    "\"S\", too many tokens'\r\n", false },
	{ PERR_SILENT_JSON, NULL, true },
	{ PERR_SILENT_ARGS, NULL, true },
	{ PERR_SILENT_SIZE, NULL, true },
	{ PERR_SILENT_CLIENT_ERR, NULL, true },
	{ PERR_SILENT_NO_HEADERS, NULL, true },
};

#define NERRORS (sizeof errors / sizeof errors[0])

static struct perr_arg
arg_of(const char *s)
{
	return (struct perr_arg){ (const uint8_t *)s, strlen(s) };
}

START_TEST(test_texts)
{
	struct perr_arg s = arg_of("S"), q = arg_of("Q");
	const char *want = errors[_i].line;
	char out[256];
	size_t n = perr_line(errors[_i].e, &s, &q, out, sizeof out);

	ck_assert_uint_eq(n, want != NULL ? strlen(want) : 0);
	if (want != NULL)
		ck_assert_mem_eq(out, want, n);
	ck_assert_int_eq(perr_closes(errors[_i].e), errors[_i].closes);
	ck_assert_int_eq(perr_has_args(errors[_i].e),
	    want != NULL && strchr(want, '"') != NULL);
	ck_assert_str_ne(perr_reason(errors[_i].e), "");
}
END_TEST

/* None is forgotten, above or in the table. */
START_TEST(test_complete)
{
	ck_assert_uint_eq(NERRORS, PERR_COUNT - 1);
	ck_assert(!perr_closes(PERR_NONE));
	ck_assert_uint_eq(perr_line(PERR_NONE, NULL, NULL, NULL, 0), 0);
	ck_assert_str_eq(perr_reason(PERR_UNKNOWN_OP),
	    "Unknown Protocol Operation");
}
END_TEST

START_TEST(test_quoting)
{
	struct perr_arg s = arg_of("a\"b\\\x01\xc3\xa9\xff'\xc2\xa0");
	struct perr_arg empty = { NULL, 0 };
	char out[256];
	size_t n = perr_line(PERR_PUB_DENIED, &s, NULL, out, sizeof out);
	static const char want[] = "-ERR 'Permissions Violation for Publish "
	    "to \"a\\\"b\\\\\\x01\xc3\xa9\\xff'\\u00a0\"'\r\n";
	static const char none[] = "-ERR 'Permissions Violation for Publish "
	    "to \"\"'\r\n";

	ck_assert_uint_eq(n, sizeof want - 1);
	ck_assert_mem_eq(out, want, n);
	n = perr_line(PERR_PUB_DENIED, &empty, NULL, out, sizeof out);
	ck_assert_uint_eq(n, sizeof none - 1);
	ck_assert_mem_eq(out, none, n);
	n = perr_line(PERR_PUB_DENIED, NULL, NULL, out, sizeof out);
	ck_assert_uint_eq(n, sizeof none - 1);
	ck_assert_mem_eq(out, none, n);
}
END_TEST

/* In less room the arguments get shorter, the rest stays. */
START_TEST(test_cut)
{
	struct perr_arg s = arg_of("abc\x01""def"), q = arg_of("queue\xff");
	static const char head[] = "-ERR 'Permissions Violation for "
	    "Subscription to \"";
	const size_t fixed = strlen(errors[15].line) - 2;
	const size_t whole = fixed + 10 + 9;
	size_t room, n, most = 0;
	char *out;

	for (room = 0; room < whole + 5; room++) {
		out = malloc(room > 0 ? room : 1);
		ck_assert_ptr_nonnull(out);
		n = perr_line(PERR_SUB_DENIED_QUEUE, &s, &q, out, room);
		if (room < fixed)
			ck_assert_uint_eq(n, 0);
		else {
			ck_assert_uint_ge(n, fixed);
			ck_assert_uint_le(n, room);
			ck_assert_uint_ge(n, most);
			ck_assert_mem_eq(out, head, strlen(head));
			ck_assert_mem_eq(out + n - 4, "\"'\r\n", 4);
			most = n;
		}
		free(out);
	}
	ck_assert_uint_eq(most, whole);
}
END_TEST

/* Not an error of the table: a bug of ours. */
START_TEST(test_unknown)
{
	(void)perr_closes(PERR_COUNT);
}
END_TEST

static Suite *
perr_suite(void)
{
	Suite *s = suite_create("perr");
	TCase *tc = tcase_create("perr");

	tcase_add_loop_test(tc, test_texts, 0, NERRORS);
	tcase_add_test(tc, test_complete);
	tcase_add_test(tc, test_quoting);
	tcase_add_test(tc, test_cut);
	tcase_add_test_raise_signal(tc, test_unknown, SIGABRT);
	suite_add_tcase(s, tc);
	return s;
}

int
main(void)
{
	return unit_run(perr_suite());
}
