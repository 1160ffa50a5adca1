/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of the control lines the server sends. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/unit.h"
#include "proto/emit.h"

static struct slice
slice(const char *s)
{
	return (struct slice){ (const uint8_t *)s, (uint32_t)strlen(s) };
}

/* A slice whose memory ends where it ends; to be freed. */
static struct slice
exact(size_t len, uint8_t fill)
{
	uint8_t *p = len > 0 ? malloc(len) : NULL;
	size_t i;

	for (i = 0; i < len; i++)
		p[i] = (uint8_t)(fill + i % 20);
	return (struct slice){ p, (uint32_t)len };
}

static void
drop(struct slice s)
{
	free((void *)(uintptr_t)s.p);
}

static void
assert_text(const uint8_t *out, size_t n, const char *want)
{
	ck_assert_uint_eq(n, strlen(want));
	ck_assert_mem_eq(out, want, n);
}

START_TEST(test_msg)
{
	const struct slice none = { NULL, 0 };
	uint8_t out[256];
	size_t n;

	n = emit_msg(out, slice("foo"), slice("1"), none, 5);
	assert_text(out, n, "MSG foo 1 5\r\n");
	n = emit_msg(out, slice("foo.*"), slice("a.b->"), slice("a..>"), 0);
	assert_text(out, n, "MSG foo.* a.b-> a..> 0\r\n");
	n = emit_msg(out, slice("_INBOX.abcdefghijklmnopqrstuvwxyz.0123"),
	    slice("12"), slice("reply.to.abcdefghijklmn"), UINT32_MAX);
	assert_text(out, n, "MSG _INBOX.abcdefghijklmnopqrstuvwxyz.0123 12 "
	    "reply.to.abcdefghijklmn 4294967295\r\n");
}
END_TEST

START_TEST(test_hmsg)
{
	const struct slice none = { NULL, 0 };
	uint8_t out[256];
	size_t n;

	n = emit_hmsg(out, slice("foo"), slice("1"), none, 22, 27);
	assert_text(out, n, "HMSG foo 1 22 27\r\n");
	n = emit_hmsg(out, slice("foo"), slice("1"), slice("rep"), 12, 14);
	assert_text(out, n, "HMSG foo 1 rep 12 14\r\n");
}
END_TEST

START_TEST(test_sizes)
{
	static const uint32_t sizes[] = { 0, 1, 9, 10, 11, 99, 100, 101, 999,
	    1000, 9999, 10000, 99999, 100000, 1048576, 9999999, 10000000,
	    99999999, 100000000, 999999999, 1000000000, UINT32_MAX };
	const struct slice none = { NULL, 0 };
	char want[64];
	uint8_t out[64];
	size_t i, n;

	for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		snprintf(want, sizeof want, "MSG s 7 %lu\r\n",
		    (unsigned long)sizes[i]);
		n = emit_msg(out, slice("s"), slice("7"), none, sizes[i]);
		assert_text(out, n, want);
	}
}
END_TEST

/* Every length of every part, in memory that ends where it may end. */
START_TEST(test_lengths)
{
	struct slice subject, sid = exact(3, 'a'), reply;
	uint8_t *out;
	size_t i, k, max, n;

	for (i = 1; i < 70; i++)
		for (k = 0; k < 70; k += 1 + k / 9) {
			subject = exact(i, 'A');
			reply = exact(k, 'h');
			max = emit_msg_max(i, 3, k);
			out = malloc(max);
			ck_assert_ptr_nonnull(out);
			n = emit_msg(out, subject, sid, reply, UINT32_MAX);
			ck_assert_uint_eq(n, 4 + i + 1 + 3 + 1 +
			    (k > 0 ? k + 1 : 0) + 10 + 2);
			ck_assert_mem_eq(out, "MSG ", 4);
			ck_assert_mem_eq(out + 4, subject.p, i);
			ck_assert_mem_eq(out + 4 + i, " abc ", 5);
			if (k > 0)
				ck_assert_mem_eq(out + i + 9, reply.p, k);
			ck_assert_mem_eq(out + n - 12, "4294967295\r\n", 12);
			n = emit_hmsg(out, subject, sid, reply, UINT32_MAX,
			    UINT32_MAX);
			ck_assert_uint_le(n, max);
			ck_assert_mem_eq(out + 5, subject.p, i);
			free(out);
			drop(subject);
			drop(reply);
		}
	drop(sid);
}
END_TEST

START_TEST(test_no_responders)
{
	uint8_t out[256];
	size_t n;

	n = emit_503(out, slice("r"), slice("7"), slice("foo"));
	assert_text(out, n, "HMSG r 7 35 35\r\n"
	    "NATS/1.0 503\r\nNats-Subject: foo\r\n\r\n\r\n");
	n = emit_503(out, slice("in.9"), slice("7"), slice("foo..b"));
	assert_text(out, n, "HMSG in.9 7 38 38\r\n"
	    "NATS/1.0 503\r\nNats-Subject: foo..b\r\n\r\n\r\n");
}
END_TEST

START_TEST(test_no_responders_lengths)
{
	struct slice subject, sid = exact(20, '0'), reply;
	uint8_t *out;
	size_t i, n;

	for (i = 1; i < 5000; i += 1 + i / 4) {
		subject = exact(i, 'A');
		reply = exact(i, 'a');
		out = malloc(emit_503_max(i, 20, i));
		ck_assert_ptr_nonnull(out);
		n = emit_503(out, reply, sid, subject);
		ck_assert_uint_le(n, emit_503_max(i, 20, i));
		ck_assert_mem_eq(out + n - 6 - i, subject.p, i);
		ck_assert_mem_eq(out + n - 6, "\r\n\r\n\r\n", 6);
		free(out);
		drop(subject);
		drop(reply);
	}
	drop(sid);
}
END_TEST

static Suite *
emit_suite(void)
{
	Suite *s = suite_create("emit");
	TCase *tc = tcase_create("emit");

	tcase_add_test(tc, test_msg);
	tcase_add_test(tc, test_hmsg);
	tcase_add_test(tc, test_sizes);
	tcase_add_test(tc, test_lengths);
	tcase_add_test(tc, test_no_responders);
	tcase_add_test(tc, test_no_responders_lengths);
	suite_add_tcase(s, tc);
	return s;
}

int
main(void)
{
	return unit_run(emit_suite());
}
