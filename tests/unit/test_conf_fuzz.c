/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unit tests of conf: thousands of damaged files.  None may end the process,
 * each refusal says why, and a good file is read as before afterwards.
 */
#include <config.h>

#include <malloc.h>

#include "lib/unit.h"
#include "test_conf.h"

static const char good[] =
    "# comment\n"
    "listen = {\"127.0.0.1:4222\", /* inside */ \"[::1]:4222\",\n"
    "  \"unix:/run/n.sock\"} // end\n"
    "server_name = \"${NATSD_TEST_NO:-hub-1}\" max_payload = 2MB\n"
    "max_pending = 64MB ping_interval = 1m30s debug = on trace = off\n"
    "authorization { user = 'a b' password = \"x\\x41\\102\\\"#\"\n"
    "  timeout = 2s }\n"
    "pid_file = /run/natsd.pid include(\"none*.conf\")\n";

/* Pieces that mean something to one of the scanners. */
static const char *const pieces[] = { "\"", "'", "{", "}", "(", ")", "=", "+=",
	",", "#", "//", "/*", "*/", "\\", "\n", "\r\n", "${", "${A}", "*", "+",
	"include(\"c.conf\")", "include", "[", "]", ":", ";", "\\0", "\\x", " ",
	"\\777", "\377", "\001", "|", "authorization", "cluster { a = b }",
	"listen += \"a:1\"", "port: 1", "a", "0", "-1", "\xef\xbb\xbf" };

static uint64_t seed;

static unsigned
roll(size_t n)
{
	seed = seed * UINT64_C(6364136223846793005) +
	    UINT64_C(1442695040888963407);
	return (unsigned)((seed >> 33) % n);
}

/* Damages the text in place; there is room for 64 bytes more per call. */
static void
mutate(char *text)
{
	size_t len = strlen(text), at = roll(len + 1), n;
	const char *piece = pieces[roll(sizeof pieces / sizeof pieces[0])];

	switch (roll(5)) {
	case 0: /* cut off */
		text[at] = '\0';
		break;
	case 1: /* remove some */
		n = roll(20);
		if (n > len - at)
			n = len - at;
		memmove(text + at, text + at + n, len - at - n + 1);
		break;
	case 2: /* overwrite one */
		if (at < len)
			text[at] = (char)(1 + roll(255));
		break;
	default: /* insert */
		n = strlen(piece);
		memmove(text + at + n, text + at, len - at + 1);
		memcpy(text + at, piece, n);
	}
}

static void
try(const char *text)
{
	int rc = load(text);

	if (rc == 0)
		ck_assert_uint_eq(nsaid, nwarned);
	else
		ck_assert_msg(nsaid > nwarned, "refused without reason: %s",
		    text);
	ck_assert_msg(strstr(said, "out of memory") == NULL, "%s", text);
}

START_TEST(test_mutated)
{
	char text[sizeof good + 64 * 8];
	int i, k;

	seed = (uint64_t)_i;
	for (i = 0; i < 400; i++) {
		strcpy(text, good);
		for (k = (int)roll(8); k >= 0; k--)
			mutate(text);
		try(text);
	}
	ck_loads(good);
	ck_assert_str_eq(conf.server_name, "hub-1");
	ck_assert_str_eq(conf.auth_password, "xAB\"#");
	ck_assert_uint_eq(conf.nlisten, 3);
}
END_TEST

/* A file that ends too early anywhere is never taken for another one. */
START_TEST(test_truncated)
{
	char text[sizeof good];
	size_t len;

	for (len = 0; len < sizeof good; len++) {
		memcpy(text, good, len);
		text[len] = '\0';
		try(text);
	}
}
END_TEST

/* All bytes, also NUL, at each place. */
START_TEST(test_bytes)
{
	char text[sizeof good];
	size_t at;

	for (at = 0; at < sizeof good - 1; at++) {
		memcpy(text, good, sizeof good);
		text[at] = (char)(at * 37);
		said[0] = '\0';
		write_bytes("b.conf", text, sizeof good - 1);
		if (conf_load("b.conf", NULL, collect, NULL, &conf) == -1)
			ck_assert_str_ne(said, "");
	}
}
END_TEST

START_TEST(test_garbage)
{
	char text[512];
	int i;
	size_t k, len;

	seed = 1000 + (uint64_t)_i;
	for (i = 0; i < 400; i++) {
		len = roll(sizeof text);
		for (k = 0; k < len; k++)
			text[k] = (char)roll(256);
		write_bytes("g.conf", text, len);
		conf_load("g.conf", NULL, collect, NULL, &conf);
		said[0] = '\0';
	}
}
END_TEST

/* Long words, lines, lists and deep braces. */
START_TEST(test_extremes)
{
	static char text[1 << 20];
	size_t len;

	memset(text, 'a', sizeof text - 1);
	ck_assert_int_eq(load(text), -1);
	memcpy(text, "pid_file = ", 11);
	ck_assert_int_eq(load(text), -1);
	ck_assert_ptr_nonnull(strstr(said, "expected at most 1023 bytes"));
	memset(text, '{', sizeof text - 1);
	ck_assert_int_eq(load(text), -1);
	memset(text, '\n', sizeof text - 1);
	ck_loads(text);
	memset(text, '"', sizeof text - 1);
	ck_assert_int_eq(load(text), -1);
	strcpy(text, "listen = {");
	for (len = 10; len < 500000; len += 2)
		memcpy(text + len, "a,", 2);
	strcpy(text + len, "a}");
	ck_assert_int_eq(load(text), -1);
	ck_assert_uint_le(nsaid, 201 + 1);
}
END_TEST

#ifndef __SANITIZE_ADDRESS__
/* Thousands of loads, good and bad ones, leave no memory behind. */
START_TEST(test_no_leak)
{
	size_t settled = 0;
	int i;

	for (i = 0; i < 3000; i++) {
		load(i % 3 == 0 ? good : i % 3 == 1 ? "cluster { a = b }\nx" :
		    "authorization { user = \"x\" token = y }\nport = 1 2");
		if (i == 1000)
			settled = mallinfo2().uordblks;
	}
	ck_assert_uint_le(mallinfo2().uordblks, settled + 4096);
}
END_TEST
#endif

static Suite *
suite(void)
{
	Suite *s = suite_create("conf_fuzz");
	TCase *tc = tcase_create("fuzz");

	tcase_add_checked_fixture(tc, enter_scratch, leave_scratch);
	tcase_add_loop_test(tc, test_mutated, 0, 10);
	tcase_add_test(tc, test_truncated);
	tcase_add_test(tc, test_bytes);
	tcase_add_loop_test(tc, test_garbage, 0, 4);
	tcase_add_test(tc, test_extremes);
#ifndef __SANITIZE_ADDRESS__
	tcase_add_test(tc, test_no_leak);
#endif
	suite_add_tcase(s, tc);
	return s;
}

int
main(void)
{
	return unit_run(suite());
}
