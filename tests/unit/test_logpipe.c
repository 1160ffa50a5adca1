/* SPDX-License-Identifier: BSD-2-Clause */
/* Log records through the pipe: level, text, loss, and a broken child's. */
#include <config.h>

#include <sys/socket.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/unit.h"
#include "proc/logpipe.h"

static int ends[2];
static enum log_level lvl;
static char text[LOG_TEXT_MAX + 1];

static void
setup(void)
{
	ck_assert_int_eq(logpipe_pair(ends), 0);
	logpipe_use(ends[1]);
	memset(text, 0, sizeof text);
}

static void
teardown(void)
{
	log_set_sink(NULL, NULL);
	(void)close(ends[0]);
	(void)close(ends[1]);
}

static int
read_one(void)
{
	return logpipe_read(ends[0], &lvl, text, sizeof text);
}

START_TEST(record_keeps_level_and_text)
{
	log_warnx("ring to %u is full", 3);
	log_client("127.0.0.1:5 - cid:1 - Parser Error");
	ck_assert_int_eq(read_one(), 1);
	ck_assert_int_eq(lvl, LOG_LVL_WARN);
	ck_assert_str_eq(text, "ring to 3 is full");
	ck_assert_int_eq(read_one(), 1);
	ck_assert_int_eq(lvl, LOG_LVL_CLIENT);
	ck_assert_str_eq(text, "127.0.0.1:5 - cid:1 - Parser Error");
	ck_assert_int_eq(read_one(), -1);
	ck_assert_int_eq(errno, EAGAIN);
}
END_TEST

START_TEST(longest_text_arrives_whole)
{
	char longest[LOG_TEXT_MAX];

	memset(longest, 'y', sizeof longest);
	log_info("%.*s", (int)sizeof longest, longest);
	ck_assert_int_eq(read_one(), 1);
	ck_assert_uint_ge(strlen(text), LOG_TEXT_MAX - 1);
	ck_assert_mem_eq(text, longest, strlen(text));
}
END_TEST

START_TEST(reader_with_little_room_gets_the_start)
{
	log_info("0123456789");
	ck_assert_int_eq(logpipe_read(ends[0], &lvl, text, 5), 1);
	ck_assert_str_eq(text, "0123");
	ck_assert_int_eq(read_one(), -1);
}
END_TEST

START_TEST(full_pipe_drops_and_says_how_many)
{
	char want[64];
	int sent = 10000, got = 0, status;

	for (got = 0; got < sent; got++) {
		errno = 4711;
		log_info("record %d", got);
		ck_assert_int_eq(errno, 4711);
	}
	for (got = 0; (status = read_one()) == 1; got++)
		ck_assert_int_eq(lvl, LOG_LVL_INFO);
	ck_assert_int_eq(status, -1);
	ck_assert_int_gt(got, 0);
	ck_assert_int_lt(got, sent);
	log_info("again");
	snprintf(want, sizeof want, "dropped %d log records", sent - got);
	ck_assert_int_eq(read_one(), 1);
	ck_assert_int_eq(lvl, LOG_LVL_WARN);
	ck_assert_str_eq(text, want);
	ck_assert_int_eq(read_one(), 1);
	ck_assert_str_eq(text, "again");
	log_info("and no more");
	ck_assert_int_eq(read_one(), 1);
	ck_assert_str_eq(text, "and no more");
}
END_TEST

START_TEST(what_is_in_the_pipe_outlives_its_writer)
{
	log_err("last words");
	ck_assert_int_eq(close(ends[1]), 0);
	ck_assert_int_eq(read_one(), 1);
	ck_assert_int_eq(lvl, LOG_LVL_ERR);
	ck_assert_str_eq(text, "last words");
	ck_assert_int_eq(read_one(), 0);
	ends[1] = -1;
}
END_TEST

START_TEST(gone_reader_costs_the_writer_nothing)
{
	ck_assert_int_eq(close(ends[0]), 0);
	ends[0] = -1;
	log_err("to nobody"); /* no SIGPIPE either */
	log_err("to nobody");
}
END_TEST

/* Sends raw bytes: level, length as said, text. */
static void
send_raw(uint32_t level, uint32_t said, const char *body, size_t len)
{
	char data[256];

	memcpy(data, &level, 4);
	memcpy(data + 4, &said, 4);
	memcpy(data + 8, body, len);
	ck_assert_int_eq(send(ends[1], data, 8 + len, 0), (ssize_t)(8 + len));
}

START_TEST(text_of_a_broken_child_is_made_printable)
{
	send_raw(LOG_LVL_INFO, 9, "a\nb\r\033[1m\177", 9);
	ck_assert_int_eq(read_one(), 1);
	ck_assert_str_eq(text, "a?b??[1m?");
}
END_TEST

START_TEST(nul_in_a_text_does_not_hide_what_follows)
{
	send_raw(LOG_LVL_INFO, 3, "a\0b", 3);
	ck_assert_int_eq(read_one(), 1);
	ck_assert_str_eq(text, "a?b");
}
END_TEST

START_TEST(length_of_a_broken_child_is_not_believed)
{
	send_raw(LOG_LVL_INFO, UINT32_MAX, "abc", 3);
	ck_assert_int_eq(read_one(), 1);
	ck_assert_str_eq(text, "abc");
	send_raw(LOG_LVL_INFO, 1, "abc", 3);
	ck_assert_int_eq(read_one(), 1);
	ck_assert_str_eq(text, "a");
}
END_TEST

START_TEST(level_of_a_broken_child_is_an_error)
{
	send_raw(4711, 1, "x", 1);
	ck_assert_int_eq(read_one(), 1);
	ck_assert_int_eq(lvl, LOG_LVL_ERR);
}
END_TEST

START_TEST(packet_without_head_is_an_empty_record)
{
	ck_assert_int_eq(send(ends[1], "abc", 3, 0), 3);
	ck_assert_int_eq(read_one(), 1);
	ck_assert_str_eq(text, "");
}
END_TEST

static Suite *
logpipe_suite(void)
{
	Suite *s = suite_create("logpipe");
	TCase *tc = tcase_create("logpipe");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, record_keeps_level_and_text);
	tcase_add_test(tc, longest_text_arrives_whole);
	tcase_add_test(tc, reader_with_little_room_gets_the_start);
	tcase_add_test(tc, full_pipe_drops_and_says_how_many);
	tcase_add_test(tc, what_is_in_the_pipe_outlives_its_writer);
	tcase_add_test(tc, gone_reader_costs_the_writer_nothing);
	tcase_add_test(tc, text_of_a_broken_child_is_made_printable);
	tcase_add_test(tc, nul_in_a_text_does_not_hide_what_follows);
	tcase_add_test(tc, length_of_a_broken_child_is_not_believed);
	tcase_add_test(tc, level_of_a_broken_child_is_an_error);
	tcase_add_test(tc, packet_without_head_is_an_empty_record);
	suite_add_tcase(s, tc);
	return s;
}

int
main(void)
{
	return unit_run(logpipe_suite());
}
