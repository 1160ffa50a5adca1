/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of the INFO line and the server id. */
#include <config.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/unit.h"
#include "proto/connect.h"
#include "proto/info.h"

static struct info
sample(void)
{
	struct info i = {
		.server_id = "NID",
		.server_name = "t",
		.version = "2.9.25-natsd0.1",
		.go = "gcc",
		.host = "0.0.0.0",
		.port = 4222,
		.headers = true,
		.max_payload = 1048576,
		.client_id = 4,
		.client_ip = "127.0.0.1",
		.worker = 2,
	};

	return i;
}

static void
assert_line(const struct info *i, const char *want)
{
	char out[1024];
	size_t n = info_format(i, out, sizeof out);

	ck_assert_uint_eq(n, strlen(want));
	ck_assert_mem_eq(out, want, n);
	/* From "INFO " on, it is an object. */
	ck_assert(connect_json_valid((const uint8_t *)out + 5, n - 5));
}

START_TEST(test_format)
{
	struct info i = sample();

	assert_line(&i, "INFO {\"server_id\":\"NID\",\"server_name\":\"t\","
	    "\"version\":\"2.9.25-natsd0.1\",\"proto\":1,\"go\":\"gcc\","
	    "\"host\":\"0.0.0.0\",\"port\":4222,\"headers\":true,"
	    "\"max_payload\":1048576,\"client_id\":4,"
	    "\"client_ip\":\"127.0.0.1\",\"worker\":2} \r\n");
}
END_TEST

START_TEST(test_format_optional)
{
	struct info i = sample();

	i.server_name = "";
	i.headers = false;
	i.auth_required = true;
	i.client_ip = "";
	i.client_id = UINT64_MAX;
	i.max_payload = UINT32_MAX;
	assert_line(&i, "INFO {\"server_id\":\"NID\",\"server_name\":\"NID\","
	    "\"version\":\"2.9.25-natsd0.1\",\"proto\":1,\"go\":\"gcc\","
	    "\"host\":\"0.0.0.0\",\"port\":4222,\"headers\":false,"
	    "\"auth_required\":true,\"max_payload\":4294967295,"
	    "\"client_id\":18446744073709551615,\"worker\":2} \r\n");
}
END_TEST

START_TEST(test_format_escapes)
{
	struct info i = sample();

	i.server_name = "a\"b\\c\x01\n\x7f\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80";
	i.go = "\xff|\xc3|\xc3\x28|\xc0\x80|\xed\xa0\x80|\xf4\x90\x80\x80|"
	    "\xe2\x82";
	assert_line(&i, "INFO {\"server_id\":\"NID\",\"server_name\":"
	    "\"a\\\"b\\\\c\\u0001\\u000a\\u007f\xc3\xa9\xe2\x82\xac\xf0\x9f\x98"
	    "\x80\",\"version\":\"2.9.25-natsd0.1\",\"proto\":1,\"go\":"
	    "\"\\ufffd|\\ufffd|\\ufffd(|\\ufffd\\ufffd|\\ufffd\\ufffd\\ufffd|"
	    "\\ufffd\\ufffd\\ufffd\\ufffd|\\ufffd\\ufffd\","
	    "\"host\":\"0.0.0.0\",\"port\":4222,\"headers\":true,"
	    "\"max_payload\":1048576,\"client_id\":4,"
	    "\"client_ip\":\"127.0.0.1\",\"worker\":2} \r\n");
}
END_TEST

/* Exactly enough room is enough, less gives nothing. */
START_TEST(test_format_room)
{
	struct info i = sample();
	char big[1024], *out;
	size_t n = info_format(&i, big, sizeof big), room;

	for (room = 0; room <= n; room++) {
		out = malloc(room > 0 ? room : 1);
		ck_assert_ptr_nonnull(out);
		ck_assert_uint_eq(info_format(&i, out, room),
		    room == n ? n : 0);
		if (room == n)
			ck_assert_mem_eq(out, big, n);
		free(out);
	}
}
END_TEST

static uint16_t
crc16(const uint8_t *p, size_t n)
{
	uint32_t crc = 0;
	size_t i, bit;

	for (i = 0; i < n; i++)
		for (bit = 0; bit < 8; bit++) {
			bool top = (crc >> 15 & 1) != (p[i] >> (7 - bit) & 1u);

			crc = (crc << 1 & 0xffff) ^ (top ? 0x1021 : 0);
		}
	return (uint16_t)crc;
}

START_TEST(test_server_id)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
	char id[INFO_ID_LEN + 1], other[INFO_ID_LEN + 1];
	uint8_t raw[35] = { 0 };
	size_t i, bit;

	ck_assert_int_eq(info_new_server_id(id), 0);
	ck_assert_int_eq(info_new_server_id(other), 0);
	ck_assert_str_ne(id, other);
	ck_assert_uint_eq(strlen(id), INFO_ID_LEN);
	ck_assert_int_eq(id[0], 'N');
	for (i = 0; i < INFO_ID_LEN; i++) {
		const char *d = strchr(digits, id[i]);

		ck_assert_ptr_nonnull(d);
		for (bit = 0; bit < 5; bit++)
			if ((d - digits) >> (4 - bit) & 1)
				raw[(5 * i + bit) / 8] |=
				    (uint8_t)(0x80 >> (5 * i + bit) % 8);
	}
	ck_assert_uint_eq(raw[0], 0x68);
	ck_assert_uint_eq(raw[33] | raw[34] << 8, crc16(raw, 33));
	ck_assert_uint_eq(crc16((const uint8_t *)"123456789", 9), 0x31c3);
}
END_TEST

static Suite *
info_suite(void)
{
	Suite *s = suite_create("info");
	TCase *tc = tcase_create("info");

	tcase_add_test(tc, test_format);
	tcase_add_test(tc, test_format_optional);
	tcase_add_test(tc, test_format_escapes);
	tcase_add_test(tc, test_format_room);
	tcase_add_test(tc, test_server_id);
	suite_add_tcase(s, tc);
	return s;
}

int
main(void)
{
	return unit_run(info_suite());
}
