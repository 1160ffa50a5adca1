/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line: every spelling, every error, and secrets in argv. */
#include <config.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/unit.h"
#include "master/options.h"

#define ARGS_MAX 12

static struct options o;
static char err[512];
static char *argv[ARGS_MAX + 1];

/* Parses "natsd" and up to ten arguments; argv is writable, as a real one. */
static int
parse(const char *const *args)
{
	int argc = 0;

	err[0] = '\0';
	argv[argc++] = strdup("natsd");
	while (*args != NULL)
		argv[argc++] = strdup(*args++);
	argv[argc] = NULL;
	return options_parse(argc, argv, &o, err, sizeof err);
}

#define PARSE(...) parse((const char *const[]){ __VA_ARGS__, NULL })
#define OK(...) ck_assert_msg(PARSE(__VA_ARGS__) == 0, "refused: %s", err)
#define BAD(...) ck_assert_int_eq(PARSE(__VA_ARGS__), -1)

static void
teardown(void)
{
	int i;

	options_fini(&o);
	for (i = 0; i <= ARGS_MAX; i++) {
		free(argv[i]);
		argv[i] = NULL;
	}
}

START_TEST(nothing_given_is_a_run_with_nothing_set)
{
	ck_assert_int_eq(parse((const char *const[]){ NULL }), 0);
	ck_assert_int_eq(o.mode, OPTIONS_RUN);
	ck_assert(!o.daemonize && !o.quiet);
	ck_assert_ptr_null(o.config);
	ck_assert_ptr_null(o.over.addr);
	ck_assert_int_eq(o.over.debug, -1);
	ck_assert_int_eq(o.over.workers, -1);
	ck_assert(o.over.port == INT64_MIN);
}
END_TEST

START_TEST(one_or_two_dashes_with_or_without_equals)
{
	static const char *const spellings[][2] = {
		{ "-p", "4333" }, { "--p", "4333" }, { "-port", "4333" },
		{ "--port", "4333" }, { "-p=4333", NULL },
		{ "--port=4333", NULL },
	};
	size_t i;

	for (i = 0; i < sizeof spellings / sizeof spellings[0]; i++) {
		teardown();
		ck_assert_int_eq(parse((const char *const[]){
			spellings[i][0], spellings[i][1], NULL }), 0);
		ck_assert(o.over.port == 4333);
	}
}
END_TEST

/* Every flag with an argument, and where it goes. */
static const struct {
	const char *flag;
	size_t off;
} texts[] = {
#define TEXT(flag, member) { flag, offsetof(struct options, member) }
	TEXT("-a", over.addr), TEXT("--addr", over.addr),
	TEXT("--net", over.addr), TEXT("-n", over.server_name),
	TEXT("--name", over.server_name),
	TEXT("--server_name", over.server_name),
	TEXT("-P", over.pid_file), TEXT("--pid", over.pid_file),
	TEXT("-c", config), TEXT("--config", config),
	TEXT("--client_advertise", over.client_advertise),
	TEXT("--ports_file_dir", over.ports_file_dir),
	TEXT("-l", over.log_file), TEXT("--log", over.log_file),
	TEXT("--user", over.user_pass_user),
	TEXT("--pass", over.user_pass_pass), TEXT("--auth", over.auth_token),
	TEXT("-u", over.run_as), TEXT("--run_as", over.run_as),
	TEXT("-sl", signal), TEXT("--signal", signal),
};

START_TEST(texts_arrive_where_they_belong)
{
	OK(texts[_i].flag, "some text");
	ck_assert_str_eq(*(const char **)((char *)&o + texts[_i].off),
	    "some text");
}
END_TEST

START_TEST(values_may_look_like_flags_or_hold_equals)
{
	OK("--pass", "-D", "--user=a=b");
	ck_assert_str_eq(o.over.user_pass_pass, "-D");
	ck_assert_str_eq(o.over.user_pass_user, "a=b");
	ck_assert_int_eq(o.over.debug, -1);
}
END_TEST

static const struct {
	const char *flag;
	size_t off;
} switches[] = {
	TEXT("-D", over.debug), TEXT("--debug", over.debug),
	TEXT("-V", over.trace), TEXT("--trace", over.trace),
	TEXT("-T", over.logtime), TEXT("--logtime", over.logtime),
	TEXT("--logtime_utc", over.logtime_utc), TEXT("-s", over.syslog),
	TEXT("--syslog", over.syslog), TEXT("-DV", over.debug),
	TEXT("-DV", over.trace),
};

START_TEST(switches_are_on_when_named_and_take_a_value_with_equals)
{
	static const char *const values[] = { "true", "1", "T", "false", "0",
		"F" };
	const int *member = (int *)((char *)&o + switches[_i].off);
	char arg[64];
	size_t i;

	OK(switches[_i].flag);
	ck_assert_int_eq(*member, 1);
	for (i = 0; i < 6; i++) {
		teardown();
		snprintf(arg, sizeof arg, "%s=%s", switches[_i].flag,
		    values[i]);
		OK(arg);
		ck_assert_int_eq(*member, i < 3);
	}
	teardown();
	snprintf(arg, sizeof arg, "%s=maybe", switches[_i].flag);
	BAD(arg);
	ck_assert_ptr_nonnull(strstr(err, "invalid boolean value \"maybe\""));
}
END_TEST

START_TEST(value_of_a_switch_needs_the_equals_sign)
{
	BAD("-T", "false");
	ck_assert_str_eq(err, "unrecognized command: \"false\"");
}
END_TEST

START_TEST(last_of_two_wins)
{
	OK("-p", "1", "-p", "2", "-D", "-D=false", "-d", "-f");
	ck_assert(o.over.port == 2);
	ck_assert_int_eq(o.over.debug, 0);
	ck_assert(!o.daemonize);
	teardown();
	OK("--foreground", "--daemonize");
	ck_assert(o.daemonize);
}
END_TEST

START_TEST(numbers_and_sizes)
{
	OK("-p", "-1", "-w", "48", "--log_size_limit", "10MB",
	    "--max_traced_msg_len=64");
	ck_assert(o.over.port == -1);
	ck_assert(o.over.workers == 48);
	ck_assert(o.over.log_size_limit == 10 * 1024 * 1024);
	ck_assert(o.over.max_traced_msg_len == 64);
	teardown();
	OK("-p", "0");
	ck_assert(o.over.port == 0);
}
END_TEST

static const char *const bad_values[][2] = {
	{ "-p", "x" }, { "-p", "" }, { "-p", "65536" }, { "-p", "-2" },
	{ "-p", "1.5" }, { "-p", "99999999999999999999" }, { "-w", "many" },
	{ "-w", "-1" }, { "-w", "49" },
	{ "--max_traced_msg_len", "1k" },
	{ "--max_traced_msg_len", "-1" }, { "--log_size_limit", "big" },
	{ "--log_size_limit", "-5" },
};

START_TEST(bad_value_is_named_with_its_flag)
{
	const char *flag = bad_values[_i][0];
	char want[64];

	BAD(flag, bad_values[_i][1]);
	snprintf(want, sizeof want, "invalid value \"%s\" for flag -%s:",
	    bad_values[_i][1], flag + strspn(flag, "-"));
	ck_assert_msg(strstr(err, want) == err, "%s", err);
}
END_TEST

START_TEST(missing_argument_is_said)
{
	BAD("-c");
	ck_assert_str_eq(err, "flag -c needs an argument: <file>");
}
END_TEST

/* Flags that nats-server knows; a part of what natsd says about each. */
static const char *const not_carried[][2] = {
	{ "-m", "monitoring" }, { "--http_port", "monitoring" },
	{ "-ms", "monitoring" }, { "--https_port", "monitoring" },
	{ "-r", "remote syslog" }, { "--remote_syslog", "remote syslog" },
	{ "-VV", "system account" }, { "-DVV", "system account" },
	{ "--tls", "TLS" }, { "--tlscert", "TLS" }, { "--tlskey", "TLS" },
	{ "--tlsverify", "TLS" }, { "--tlscacert", "TLS" },
	{ "--help_tls", "TLS" }, { "--cluster", "cluster" },
	{ "--cluster_listen", "cluster" }, { "--cluster_name", "cluster" },
	{ "--cluster_advertise", "cluster" }, { "--routes", "cluster" },
	{ "--no_advertise", "cluster" }, { "--connect_retries", "cluster" },
	{ "-js", "JetStream" }, { "--jetstream", "JetStream" },
	{ "-sd", "JetStream" }, { "--store_dir", "JetStream" },
	{ "--profile", "perf" }, { "--control", "control socket" },
};

START_TEST(flag_not_carried_says_why)
{
	char want[64];

	BAD(not_carried[_i][0], "x");
	snprintf(want, sizeof want, "flag -%s is not supported: ",
	    not_carried[_i][0] + strspn(not_carried[_i][0], "-"));
	ck_assert_msg(strstr(err, want) == err, "%s", err);
	ck_assert_ptr_nonnull(strstr(err, not_carried[_i][1]));
}
END_TEST

static const char *const unknown[] = { "-x", "--nonsense", "-po", "--por",
	"--ports", "-DV2", "-p4222", "--PORT", "--conf", "--tl" };

START_TEST(unknown_flag_and_abbreviation_are_errors)
{
	BAD(unknown[_i], "x");
	ck_assert_msg(strstr(err, "unknown flag -") == err, "%s", err);
}
END_TEST

START_TEST(syntax_that_names_no_flag)
{
	BAD("--=x");
	ck_assert_str_eq(err, "bad flag syntax: --=x");
	teardown();
	BAD("-");
	ck_assert_str_eq(err, "unrecognized command: \"-\"");
	teardown();
	BAD("serve");
	ck_assert_str_eq(err, "unrecognized command: \"serve\"");
	teardown();
	BAD("--", "-D");
	ck_assert_str_eq(err, "unrecognized command: \"-D\"");
}
END_TEST

START_TEST(modes)
{
	OK("-t", "-q", "-c", "f");
	ck_assert_int_eq(o.mode, OPTIONS_TEST);
	ck_assert(o.quiet);
	teardown();
	OK("--dump_config");
	ck_assert_int_eq(o.mode, OPTIONS_DUMP);
	teardown();
	OK("-sl=reload=17");
	ck_assert_int_eq(o.mode, OPTIONS_SIGNAL);
	ck_assert_str_eq(o.signal, "reload=17");
	teardown();
	OK("help");
	ck_assert_int_eq(o.mode, OPTIONS_HELP);
	teardown();
	OK("-h", "-t", "version");
	ck_assert_int_eq(o.mode, OPTIONS_HELP);
}
END_TEST

START_TEST(version_is_counted)
{
	OK("version");
	ck_assert_int_eq(o.mode, OPTIONS_VERSION);
	ck_assert_int_eq(o.version_count, 1);
	teardown();
	OK("-v", "--version");
	ck_assert_int_eq(o.version_count, 2);
}
END_TEST

START_TEST(secrets_are_gone_from_argv)
{
	int i;

	OK("--user", "alice", "--pass=hush", "-auth", "token7", "-n", "plain");
	ck_assert_str_eq(o.over.user_pass_user, "alice");
	ck_assert_str_eq(o.over.user_pass_pass, "hush");
	ck_assert_str_eq(o.over.auth_token, "token7");
	for (i = 1; argv[i] != NULL; i++) {
		ck_assert_ptr_null(strstr(argv[i], "alice"));
		ck_assert_ptr_null(strstr(argv[i], "hush"));
		ck_assert_ptr_null(strstr(argv[i], "token7"));
	}
	ck_assert_str_eq(argv[7], "plain");
}
END_TEST

/* What a print function writes. */
static char *
printed(void (*help)(FILE *), void (*version)(FILE *, bool), bool details)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	ck_assert_ptr_nonnull(f);
	if (help != NULL)
		help(f);
	else
		version(f, details);
	ck_assert_int_eq(fclose(f), 0);
	return text;
}

START_TEST(version_is_one_line_unless_asked_twice)
{
	char *text = printed(NULL, options_print_version, false);

	ck_assert_str_eq(text, "natsd: v" PACKAGE_VERSION "\n");
	free(text);
	text = printed(NULL, options_print_version, true);
	ck_assert_ptr_nonnull(strstr(text, "compiler:"));
	free(text);
}
END_TEST

START_TEST(help_has_every_group_and_the_built_in_path)
{
	static const char *const parts[] = { "\nServer:\n", "\nProcess:\n",
		"\nLogging:\n", "\nAuthorization:\n", "\nCommon:\n",
		"-a, --addr, --net <host>", "--daemonize", "-DV",
		NATSD_SYSCONFDIR "/natsd/natsd.conf", "natsd(8)" };
	char *text = printed(options_print_help, NULL, false);
	size_t i;

	for (i = 0; i < sizeof parts / sizeof parts[0]; i++)
		ck_assert_msg(strstr(text, parts[i]) != NULL, "no %s",
		    parts[i]);
	free(text);
}
END_TEST

#define N(table) (sizeof table / sizeof table[0])

static Suite *
options_suite(void)
{
	Suite *s = suite_create("options");
	TCase *tc = tcase_create("options");

	tcase_add_checked_fixture(tc, NULL, teardown);
	tcase_add_test(tc, nothing_given_is_a_run_with_nothing_set);
	tcase_add_test(tc, one_or_two_dashes_with_or_without_equals);
	tcase_add_loop_test(tc, texts_arrive_where_they_belong, 0, N(texts));
	tcase_add_test(tc, values_may_look_like_flags_or_hold_equals);
	tcase_add_loop_test(tc,
	    switches_are_on_when_named_and_take_a_value_with_equals, 0,
	    N(switches));
	tcase_add_test(tc, value_of_a_switch_needs_the_equals_sign);
	tcase_add_test(tc, last_of_two_wins);
	tcase_add_test(tc, numbers_and_sizes);
	tcase_add_loop_test(tc, bad_value_is_named_with_its_flag, 0,
	    N(bad_values));
	tcase_add_test(tc, missing_argument_is_said);
	tcase_add_loop_test(tc, flag_not_carried_says_why, 0, N(not_carried));
	tcase_add_loop_test(tc, unknown_flag_and_abbreviation_are_errors, 0,
	    N(unknown));
	tcase_add_test(tc, syntax_that_names_no_flag);
	tcase_add_test(tc, modes);
	tcase_add_test(tc, version_is_counted);
	tcase_add_test(tc, secrets_are_gone_from_argv);
	tcase_add_test(tc, version_is_one_line_unless_asked_twice);
	tcase_add_test(tc, help_has_every_group_and_the_built_in_path);
	suite_add_tcase(s, tc);
	return s;
}

int
main(void)
{
	return unit_run(options_suite());
}
