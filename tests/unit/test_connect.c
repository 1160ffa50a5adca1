/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the CONNECT options and of the JSON reader behind them.
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/unit.h"
#include "proto/connect.h"
#include "proto/json.h"

#define MUTATIONS 100000

static struct connect_opts opts;

static void
setup(void)
{
	connect_init(&opts);
}

static void
teardown(void)
{
	connect_fini(&opts);
}

/* Parses a copy that ends where its memory ends. */
static int
parse_n(const void *json, size_t len)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);
	int r;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, json, len);
	r = connect_parse(copy, len, &opts);
	ck_assert_int_eq(connect_json_valid(copy, len) || r == -1, true);
	free(copy);
	return r;
}

static int
parse(const char *json)
{
	return parse_n(json, strlen(json));
}

static void
assert_str(struct connect_str s, const char *want)
{
	ck_assert_uint_eq(s.len, strlen(want));
	if (s.len == 0)
		ck_assert_ptr_null(s.p);
	else
		ck_assert_mem_eq(s.p, want, s.len);
}

START_TEST(test_defaults)
{
	ck_assert(opts.verbose && opts.pedantic && opts.echo);
	ck_assert(!opts.headers && !opts.no_responders && !opts.tls_required &&
	    !opts.new_account);
	ck_assert_int_eq(opts.protocol, 0);
	assert_str(opts.user, "");
	ck_assert_uint_eq(connect_bytes(&opts), 0);
	ck_assert_int_eq(parse("{}"), 0);
	ck_assert_int_eq(parse("null"), 0);
	ck_assert_int_eq(parse(" \t\r\n{ } \t\r\n"), 0);
	ck_assert_int_eq(parse(" null "), 0);
	ck_assert(opts.verbose && opts.pedantic && opts.echo);
}
END_TEST

START_TEST(test_all_keys)
{
	ck_assert_int_eq(parse("{\"verbose\":false,\"pedantic\":false,"
	    "\"echo\":false,\"headers\":true,\"no_responders\":true,"
	    "\"tls_required\":true,\"new_account\":true,\"protocol\":1,"
	    "\"user\":\"u\",\"pass\":\"p\",\"auth_token\":\"t\","
	    "\"nkey\":\"n\",\"sig\":\"s\",\"jwt\":\"j\",\"name\":\"na\","
	    "\"lang\":\"la\",\"version\":\"ve\",\"account\":\"ac\"}"), 0);
	ck_assert(!opts.verbose && !opts.pedantic && !opts.echo);
	ck_assert(opts.headers && opts.no_responders && opts.tls_required &&
	    opts.new_account);
	ck_assert_int_eq(opts.protocol, 1);
	assert_str(opts.user, "u");
	assert_str(opts.pass, "p");
	assert_str(opts.auth_token, "t");
	assert_str(opts.nkey, "n");
	assert_str(opts.sig, "s");
	assert_str(opts.jwt, "j");
	assert_str(opts.name, "na");
	assert_str(opts.lang, "la");
	assert_str(opts.version, "ve");
	assert_str(opts.account, "ac");
	ck_assert_uint_eq(connect_bytes(&opts), 14);
}
END_TEST

START_TEST(test_keys_fold)
{
	ck_assert_int_eq(parse("{\"VERBOSE\":false,\"No_Responders\":true,"
	    "\"NAME\":\"x\",\"PrOtOcOl\":7}"), 0);
	ck_assert(!opts.verbose);
	ck_assert(opts.no_responders);
	assert_str(opts.name, "x");
	ck_assert_int_eq(opts.protocol, 7);
	ck_assert_int_eq(parse("{\"\\u0065ch\\u006F\":false,"
	    "\"\\u006e\\u006f\\u005f\\u0072\\u0065\\u0073\\u0070\\u006f\\u006e"
	    "\\u0064\\u0065\\u0072\\u0073\":false}"), 0);
	ck_assert(!opts.echo);
	ck_assert(!opts.no_responders);
}
END_TEST

START_TEST(test_unknown_keys)
{
	ck_assert_int_eq(parse("{\"x\":{\"y\":[1,{\"verbose\":false}]},"
	    "\"import\":5,\"export\":{\"a\":null},\"remote_account\":[],"
	    "\"proxy_sig\":0,\"\":1,\"verbos\":0,\"verbosee\":0,"
	    "\"echo\\u0000\":0,\"\\u0000\":0,"
	    "\"verbose__________\":0,\"a_key_longer_than_any_known_one\":0,"
	    "\"a_key_that_is_longer_than_any_known_key_of_a_client_and_even_"
	    "longer_than_such_a_key_if_escaped_throughout_____\":0}"), 0);
	ck_assert(opts.verbose && opts.echo);
}
END_TEST

START_TEST(test_duplicates)
{
	ck_assert_int_eq(parse("{\"verbose\":false,\"verbose\":true,"
	    "\"name\":\"first\",\"NAME\":\"second\",\"protocol\":1,"
	    "\"protocol\":0,\"user\":\"x\",\"user\":\"\"}"), 0);
	ck_assert(opts.verbose);
	assert_str(opts.name, "second");
	assert_str(opts.user, "");
	ck_assert_int_eq(opts.protocol, 0);
}
END_TEST

START_TEST(test_nulls)
{
	ck_assert_int_eq(parse("{\"verbose\":false,\"name\":\"n\","
	    "\"protocol\":1}"), 0);
	ck_assert_int_eq(parse("{\"verbose\":null,\"name\":null,"
	    "\"protocol\":null,\"pass\":null,\"x\":null}"), 0);
	ck_assert(!opts.verbose);
	assert_str(opts.name, "n");
	ck_assert_int_eq(opts.protocol, 1);
}
END_TEST

START_TEST(test_merge)
{
	ck_assert_int_eq(parse("{\"verbose\":true,\"echo\":false,"
	    "\"user\":\"u\",\"pass\":\"secret\",\"name\":\"a\"}"), 0);
	ck_assert_int_eq(parse("{\"verbose\":false,\"name\":\"\"}"), 0);
	ck_assert(!opts.verbose && !opts.echo && opts.pedantic);
	assert_str(opts.user, "u");
	assert_str(opts.pass, "secret");
	assert_str(opts.name, "");
	/* A failure leaves all as it was. */
	ck_assert_int_eq(parse("{\"echo\":true,\"user\":\"v\",\"x\":}"), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert(!opts.echo);
	assert_str(opts.user, "u");
	ck_assert_int_eq(parse("{\"auth_token\":\"t\",\"jwt\":\"j\","
	    "\"nkey\":\"n\",\"sig\":\"s\",\"lang\":\"c\"}"), 0);
	connect_keep_credentials(&opts);
	assert_str(opts.user, "u");
	assert_str(opts.pass, "secret");
	assert_str(opts.auth_token, "t");
	ck_assert_uint_eq(connect_bytes(&opts), 8);
}
END_TEST

START_TEST(test_set_and_free)
{
	struct connect_opts *o = malloc(sizeof *o);

	ck_assert_ptr_nonnull(o);
	connect_init(o);
	ck_assert_int_eq(connect_str_set(&o->user, "", 0), 0);
	assert_str(o->user, "");
	ck_assert_int_eq(connect_str_set(&o->user, "me", 2), 0);
	assert_str(o->user, "me");
	connect_free(&o);
	ck_assert_ptr_null(o);
	connect_free(&o);
}
END_TEST

static const struct {
	const char *json; /* the value of "name" */
	const char *want; /* NULL: an error */
} strings[] = {
	{ "\"\"", "" },
	{ "\"plain\"", "plain" },
	{ "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t" },
	{ "\"\\u0041\\u00e9\\u20AC\"", "A\xc3\xa9\xe2\x82\xac" },
	{ "\"\\uD83D\\uDE00\"", "\xf0\x9f\x98\x80" },
	{ "\"\\udbff\\udfff\"", "\xf4\x8f\xbf\xbf" },
	{ "\"\\ud83d\"", "\xef\xbf\xbd" },
	{ "\"\\ud83dx\"", "\xef\xbf\xbdx" },
	{ "\"\\ud83d\\n\"", "\xef\xbf\xbd\n" },
	{ "\"\\ud83d\\u0041\"", "\xef\xbf\xbd" "A" },
	{ "\"\\ud83d\\ud83d\\ude00\"", "\xef\xbf\xbd\xf0\x9f\x98\x80" },
	{ "\"\\ude00\\ud83d\"", "\xef\xbf\xbd\xef\xbf\xbd" },
	{ "\"\\uffff\"", "\xef\xbf\xbf" },
	{ "\"\xff\xfe\"", "\xff\xfe" },
	{ "\"\xc3\xa9\x7f\"", "\xc3\xa9\x7f" },
	{ "\"a\x01" "b\"", NULL },
	{ "\"a\nb\"", NULL },
	{ "\"a\tb\"", NULL },
	{ "\"a", NULL },
	{ "\"a\\\"", NULL },
	{ "\"\\x41\"", NULL },
	{ "\"\\'\"", NULL },
	{ "\"\\u12\"", NULL },
	{ "\"\\u123g\"", NULL },
	{ "\"\\U0041\"", NULL },
	{ "\"\\", NULL },
	{ "\"\\u00", NULL },
	{ "'a'", NULL },
	{ "a", NULL },
	{ "5", NULL },
	{ "true", NULL },
	{ "{}", NULL },
	{ "[\"a\"]", NULL },
};

START_TEST(test_string_values)
{
	char json[100];

	snprintf(json, sizeof json, "{\"name\":%s}", strings[_i].json);
	ck_assert_int_eq(parse(json), strings[_i].want != NULL ? 0 : -1);
	assert_str(opts.name, strings[_i].want != NULL ? strings[_i].want : "");
}
END_TEST

START_TEST(test_nul_in_string)
{
	static const char raw[] = "{\"name\":\"a\0b\"}";

	ck_assert_int_eq(parse("{\"name\":\"a\\u0000b\"}"), 0);
	ck_assert_uint_eq(opts.name.len, 3);
	ck_assert_mem_eq(opts.name.p, "a\0b", 3);
	ck_assert_int_eq(parse_n(raw, sizeof raw - 1), -1);
}
END_TEST

static const struct {
	const char *json; /* the value of "protocol" */
	bool good;
	int64_t want;
} numbers[] = {
	{ "0", true, 0 },
	{ "1", true, 1 },
	{ "-1", true, -1 },
	{ "-0", true, 0 },
	{ "2", true, 2 },
	{ "9223372036854775807", true, INT64_MAX },
	{ "-9223372036854775808", true, INT64_MIN },
	{ "9223372036854775808", false, 0 },
	{ "-9223372036854775809", false, 0 },
	{ "99999999999999999999999", false, 0 },
	{ "1.0", false, 0 },
	{ "1.5", false, 0 },
	{ "1e0", false, 0 },
	{ "1E2", false, 0 },
	{ "01", false, 0 },
	{ "+1", false, 0 },
	{ "-", false, 0 },
	{ "--1", false, 0 },
	{ ".5", false, 0 },
	{ "1.", false, 0 },
	{ "1e", false, 0 },
	{ "0x1", false, 0 },
	{ "NaN", false, 0 },
	{ "Infinity", false, 0 },
	{ "1 2", false, 0 },
	{ "\"1\"", false, 0 },
	{ "true", false, 0 },
	{ "[1]", false, 0 },
	{ "", false, 0 },
};

START_TEST(test_number_values)
{
	char json[100];

	opts.protocol = 77;
	snprintf(json, sizeof json, "{\"protocol\": %s }", numbers[_i].json);
	ck_assert_int_eq(parse(json), numbers[_i].good ? 0 : -1);
	ck_assert_int_eq(opts.protocol, numbers[_i].good ? numbers[_i].want :
	    77);
}
END_TEST

static const struct {
	const char *json;
	bool valid; /* as a document */
} documents[] = {
	{ "{}", true },
	{ "{\"a\":0,\"b\":-0.5e+10,\"c\":1E-2,\"d\":[],\"e\":{}}", true },
	{ "{\"a\":[[],[[]],{\"b\":[{}]}]}", true },
	{ "{\"a\" : [ 1 , 2 ] , \"b\" : { \"c\" : null } }", true },
	{ "{\"a\":true,\"b\":false,\"c\":null}", true },
	{ "{\"\":\"\"}", true },
	{ "null", true },
	{ "", false },
	{ " ", false },
	{ "{", false },
	{ "}", false },
	{ "[]", false },
	{ "0", false },
	{ "true", false },
	{ "\"a\"", false },
	{ "nul", false },
	{ "nulll", false },
	{ "null{}", false },
	{ "{}{}", false },
	{ "{} x", false },
	{ "{},", false },
	{ "{,}", false },
	{ "{\"a\":1,}", false },
	{ "{\"a\":1 \"b\":2}", false },
	{ "{\"a\":[1,]}", false },
	{ "{\"a\":[,1]}", false },
	{ "{\"a\":[1 2]}", false },
	{ "{\"a\":[1}", false },
	{ "{\"a\":[1}]", false },
	{ "{\"a\":{\"b\":1]}", false },
	{ "{\"a\":{\"b\"}}", false },
	{ "{\"a\":{b:1}}", false },
	{ "{\"a\":{\"b\":1,}}", false },
	{ "{\"a\":{1:1}}", false },
	{ "{\"a\":{\"b\":}}", false },
	{ "{\"a\"}", false },
	{ "{\"a\":}", false },
	{ "{\"a\",1}", false },
	{ "{\"a\"=1}", false },
	{ "{a:1}", false },
	{ "{'a':1}", false },
	{ "{\"a\":tru}", false },
	{ "{\"a\":TRUE}", false },
	{ "{\"a\":truefalse}", false },
	{ "{\"a\":undefined}", false },
	{ "{\"a\":01}", false },
	{ "{\"a\":1.e5}", false },
	{ "{\"a\":\"\\q\"}", false },
	{ "{\"\\q\":1}", false },
	{ "{/*c*/}", false },
	{ "\xef\xbb\xbf{}", false },
	{ "{\"a\":1}\f", false },
	{ "{\"a\":\v1}", false },
	/* wrong types of known keys are no matter of syntax */
	{ "{\"verbose\":1}", true },
};

START_TEST(test_syntax)
{
	const char *json = documents[_i].json;

	ck_assert_int_eq(connect_json_valid((const uint8_t *)json,
	    strlen(json)), documents[_i].valid);
	if (!documents[_i].valid)
		ck_assert_int_eq(parse(json), -1);
}
END_TEST

/* Whatever stands in front of the end is no document. */
START_TEST(test_cut)
{
	static const char json[] = "{\"a\":[1,{\"b\":\"\\u00e9\\n\"},-1.5e3],"
	    "\"name\":\"x\",\"verbose\":false}";
	size_t n;

	for (n = 0; n < sizeof json - 1; n++)
		ck_assert_int_eq(parse_n(json, n), -1);
	ck_assert_int_eq(parse_n(json, n), 0);
}
END_TEST

START_TEST(test_wrong_types)
{
	static const char *const values[] = { "\"true\"", "1", "0", "{}",
	    "[]", "[true]" };
	static const char *const keys[] = { "verbose", "pedantic", "echo",
	    "headers", "no_responders", "tls_required", "new_account" };
	char json[100];
	size_t i, k;

	for (i = 0; i < 7; i++)
		for (k = 0; k < 6; k++) {
			snprintf(json, sizeof json, "{\"%s\":%s}", keys[i],
			    values[k]);
			ck_assert_int_eq(parse(json), -1);
		}
}
END_TEST

/* Nested as deep as allowed, and once more. */
static void
nest(size_t depth, const char *open, const char *close, bool good)
{
	size_t len = depth * (strlen(open) + strlen(close)) + 1, i, n;
	char *json = malloc(len + 1);

	ck_assert_ptr_nonnull(json);
	for (i = n = 0; i < depth; i++) {
		memcpy(json + n, open, strlen(open));
		n += strlen(open);
	}
	json[n++] = '1';
	for (i = 0; i < depth; i++) {
		memcpy(json + n, close, strlen(close));
		n += strlen(close);
	}
	json[0] = '{';
	json[n - 1] = '}';
	ck_assert_int_eq(parse_n(json, n), good ? 0 : -1);
	free(json);
}

START_TEST(test_depth)
{
	static const size_t depths[] = { 1, 2, 9, 1000, JSON_DEPTH_MAX };
	size_t i;

	for (i = 0; i < sizeof depths / sizeof depths[0]; i++)
		nest(depths[i], "{\"a\":", "}", true);
	nest(JSON_DEPTH_MAX + 1, "{\"a\":", "}", false);
}
END_TEST

START_TEST(test_depth_arrays)
{
	size_t i, n = JSON_DEPTH_MAX - 1;
	char *json = malloc(2 * n + 20);

	ck_assert_ptr_nonnull(json);
	for (i = 0; i < 2; i++, n++) {
		strcpy(json, "{\"a\":");
		memset(json + 5, '[', n);
		memset(json + 5 + n, ']', n);
		json[5 + 2 * n] = '}';
		ck_assert_int_eq(parse_n(json, 2 * n + 6), i == 0 ? 0 : -1);
	}
	free(json);
}
END_TEST

START_TEST(test_long_strings)
{
	static const size_t lens[] = { 1, 2, 15, 16, 17, 1000, 100000 };
	size_t i, k, n;

	for (i = 0; i < sizeof lens / sizeof lens[0]; i++) {
		char *json = malloc(6 * lens[i] + 20);

		ck_assert_ptr_nonnull(json);
		n = (size_t)sprintf(json, "{\"name\":\"");
		for (k = 0; k < lens[i]; k++)
			n += (size_t)sprintf(json + n, "%s", i % 2 == 0 ?
			    "\\u0061" : "a");
		n += (size_t)sprintf(json + n, "\"}");
		ck_assert_int_eq(parse_n(json, n), 0);
		ck_assert_uint_eq(opts.name.len, lens[i]);
		for (k = 0; k < lens[i]; k++)
			ck_assert_int_eq(opts.name.p[k], 'a');
		free(json);
	}
}
END_TEST

static const struct {
	const char *in, *want;
} redactions[] = {
	{ "{}", "{}" },
	{ "null", "null" },
	{ "{\"user\":\"u\",\"pass\":\"p\"}",
	    "{\"user\":\"u\",\"pass\":\"[REDACTED]\"}" },
	{ " {\"PASS\" : \"p\\\"q\" , \"name\":\"n\"} ",
	    " {\"PASS\" : \"[REDACTED]\" , \"name\":\"n\"} " },
	{ "{\"auth_token\":\"t\",\"jwt\":\"j\",\"sig\":\"s\",\"nkey\":\"n\"}",
	    "{\"auth_token\":\"[REDACTED]\",\"jwt\":\"[REDACTED]\","
	    "\"sig\":\"[REDACTED]\",\"nkey\":\"[REDACTED]\"}" },
	{ "{\"p\\u0061ss\":\"p\",\"pass\":[\"p\",1],\"pass\":7}",
	    "{\"p\\u0061ss\":\"[REDACTED]\",\"pass\":\"[REDACTED]\","
	    "\"pass\":\"[REDACTED]\"}" },
	{ "{\"x\":{\"pass\":\"p\"}}", "{\"x\":{\"pass\":\"p\"}}" },
	{ "{\"pass\":\"p\"", "[malformed]" },
	{ "{\"pass\":\"p\"} x", "[malformed]" },
	{ "\"pass\"", "[malformed]" },
	{ "", "[malformed]" },
	/* a type error is still well-formed */
	{ "{\"verbose\":1,\"pass\":\"p\"}",
	    "{\"verbose\":1,\"pass\":\"[REDACTED]\"}" },
};

START_TEST(test_redact)
{
	const char *in = redactions[_i].in, *want = redactions[_i].want;
	char out[200];
	size_t n, room;

	n = connect_redact((const uint8_t *)in, strlen(in), out, sizeof out);
	ck_assert_uint_eq(n, strlen(want));
	ck_assert_mem_eq(out, want, n);
	for (room = 0; room < n; room++) {
		out[room] = '#';
		ck_assert_uint_eq(connect_redact((const uint8_t *)in,
		    strlen(in), out, room), room);
		ck_assert_int_eq(out[room], '#');
		ck_assert_mem_eq(out, want, room);
	}
}
END_TEST

static uint64_t seed = UINT64_C(0x9e3779b97f4a7c15);

static uint32_t
rnd(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 32) % below;
}

/*
 * Broken documents: nothing is read beyond them, and what is refused leaves
 * nothing behind (the sanitizers see both); the three readers agree.
 */
START_TEST(test_mutations)
{
	static const char good[] = "{\"verbose\":false,"
	    "\"name\":\"a\\u00e9\\ud83d\\ude00\","
	    "\"x\":[1,-2.5e3,{\"y\":null}],\"pass\":\"p\",\"pass\":\"q\","
	    "\"protocol\":1,\"user\":\"u\"}";
	static const char often[] = "{}[]\",:\\u0019eE+-.tfn \xff\x01" "dD8c";
	char json[sizeof good], out[400];
	size_t len, i;
	uint32_t n, k;

	for (n = 0; n < MUTATIONS; n++) {
		memcpy(json, good, sizeof good);
		len = sizeof good - 1;
		for (k = rnd(3); k > 0; k--) {
			i = rnd((uint32_t)len);
			if (rnd(3) == 0 && len > 1)
				memmove(json + i, json + i + 1, --len - i);
			else
				json[i] = often[rnd(sizeof often - 1)];
		}
		if (rnd(8) == 0)
			len = rnd((uint32_t)len + 1);
		if (parse_n(json, len) == 0)
			ck_assert(opts.protocol >= 0 || memchr(json, '-', len));
		i = connect_redact((const uint8_t *)json, len, out,
		    sizeof out);
		ck_assert_int_eq(i == 11 && memcmp(out, "[malformed]", 11) == 0,
		    !connect_json_valid((const uint8_t *)json, len));
	}
}
END_TEST

static Suite *
connect_suite(void)
{
	Suite *s = suite_create("connect");
	TCase *tc = tcase_create("options");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_defaults);
	tcase_add_test(tc, test_all_keys);
	tcase_add_test(tc, test_keys_fold);
	tcase_add_test(tc, test_unknown_keys);
	tcase_add_test(tc, test_duplicates);
	tcase_add_test(tc, test_nulls);
	tcase_add_test(tc, test_merge);
	tcase_add_test(tc, test_set_and_free);
	tcase_add_test(tc, test_wrong_types);
	tcase_add_loop_test(tc, test_redact, 0,
	    sizeof redactions / sizeof redactions[0]);
	suite_add_tcase(s, tc);

	tc = tcase_create("json");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, test_string_values, 0,
	    sizeof strings / sizeof strings[0]);
	tcase_add_test(tc, test_nul_in_string);
	tcase_add_loop_test(tc, test_number_values, 0,
	    sizeof numbers / sizeof numbers[0]);
	tcase_add_loop_test(tc, test_syntax, 0,
	    sizeof documents / sizeof documents[0]);
	tcase_add_test(tc, test_cut);
	tcase_add_test(tc, test_depth);
	tcase_add_test(tc, test_depth_arrays);
	tcase_add_test(tc, test_long_strings);
	suite_add_tcase(s, tc);

	tc = tcase_create("random");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_mutations);
	suite_add_tcase(s, tc);
	return s;
}

int
main(void)
{
	return unit_run(connect_suite());
}
