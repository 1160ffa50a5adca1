/* SPDX-License-Identifier: BSD-2-Clause */
/* Unit tests of conf: what it refuses, and how it says so. */
#include <config.h>

#include <sys/resource.h>
#include <sys/stat.h>

#include "lib/unit.h"
#include "test_conf.h"

#define N(a) ((int)(sizeof(a) / sizeof(a)[0]))
#define SIZE "expected a size such as 64KB from "

/* Everything that is said, each line behind "c.conf:". */
static const struct {
	const char *text, *want;
} refused[] = {
	/* the way of nats-server to write it */
	{ "\nport: 4222",
	    "2: found \"port:\", expected \"port =\"; write port = 4222" },
	{ "port:4222",
	    "1: found \"port:\", expected \"port =\"; write port = value" },
	{ "port : 4222", "1: port: found ':', expected '='; write port = 4222" },
	{ "port 4222",
	    "1: port: found \"4222\", expected '='; write port = 4222" },
	{ "authorization: { user: a }", "1: found \"authorization:\", expected "
	    "a section; write authorization { ... } without the colon" },
	{ "authorization = { user = a }", "1: authorization: expected '{'; "
	    "write authorization { ... } without '=' or ':'" },
	{ "slow_consumer = drop", "1: slow_consumer: found \"drop\", expected "
	    "close, drop_newest or drop_oldest" },
	{ "port = 5;", "1: port: found \"5;\", expected a port from 1 to 65535, "
	    "or -1 for a free one; write no ';' at the end" },
	{ "\nlisten = [ \"a:1\", \"b:2\" ]",
	    "2: found '[', expected a value; lists are written {a, b}" },
	{ "listen = [\"a:1\"]",
	    "1: found '[', expected a value; lists are written {a, b}" },
	{ "listen = [a:1, b:2]",
	    "1: found '[', expected a value; lists are written {a, b}" },
	{ "include ./f",
	    "1: found \"include\" without parentheses; write include(\"file\")" },
	{ "include(f)", "1: include: found f, expected a file name in quotes; "
	    "write include(\"file\")" },
	{ "MAX_PAYLOAD = 5",
	    "1: found \"MAX_PAYLOAD\", expected an option; did you mean "
	    "max_payload?" },
	/* names */
	{ "max_paylaod = 5\nping_intervall = 5s",
	    "1: found \"max_paylaod\", expected an option; did you mean "
	    "max_payload?\n2: found \"ping_intervall\", expected an option; "
	    "did you mean ping_interval?" },
	{ "zzzzzz = 1",
	    "1: found \"zzzzzz\", expected an option of natsd.conf(5)" },
	{ "cluster {\n name = x\n a { b = c }\n}\nport = x\nleafnodes { }",
	    "1: cluster: not supported by natsd\n"
	    "5: port: found \"x\", expected a port from 1 to 65535, or -1 for a "
	    "free one\n6: leafnodes: not supported by natsd" },
	{ "include(\"a\\\nb\" x)", "2: include: found \"a\\?b\", expected a "
	  "file name in quotes; write include(\"file\")" },
	{ "port = 1\n'' = 2", "2: found an empty name, expected an option" },
	{ "\n\"\"", "2: found an empty name, expected an option" },
	{ "authorization {\n\"\" = x }", "2: found an empty name, expected an "
	  "option" },
	{ "accounts A { users a { password = b } }",
	    "1: accounts: not supported by natsd" },
	{ "server_tags = {\"a\", \"b\"} http = \"127.0.0.1:8222\"",
	    "1: server_tags: not supported by natsd\n"
	    "1: http: not supported by natsd" },
	{ "authorization { users a { password = b } }",
	    "1: authorization.users: not supported by natsd" },
	{ "authorization { token = a\n foo bar { }\n users x { } }",
	    "2: found \"foo\", expected an option of natsd.conf(5)\n"
	    "3: authorization.users: not supported by natsd" },
	{ "password = x", "1: found \"password\", expected an option; it "
	    "belongs into authorization { ... }" },
	{ "authorization { port = 5 }",
	    "1: found \"port\" inside of authorization; it belongs outside" },
	{ "jetstream: enabled", "1: jetstream: not supported by natsd" },
	/* values */
	{ "port = 70000\nmax_payload = 0\nmax_payload = 65MB\nmax_pending = 010x"
	  "\nworkers = 49\ndebug = 1\nwatchdog = 1ms",
	    "1: port: found \"70000\", expected a port from 1 to 65535, or -1 "
	    "for a free one\n"
	    "2: max_payload: found \"0\", " SIZE "1 to 64MB\n"
	    "3: max_payload: found a second time, expected only once (first in "
	    "line 2 of c.conf)\n"
	    "4: max_pending: found \"010x\", " SIZE "1 to 1TB\n"
	    "5: workers: found \"49\", expected a number from 0 to 48\n"
	    "6: debug: found \"1\", expected on or off (true, false, yes, no)\n"
	    "7: watchdog: found \"1ms\", expected a duration such as 10s from "
	    "100ms to 24h0m0s, or 0" },
	{ "max_payload = -1", "1: max_payload: found \"-1\", " SIZE "1 to 64MB" },
	{ "max_connections = -2", "1: max_connections: found \"-2\", expected a "
	    "number from 0 to 2147483647, or -1" },
	{ "max_pending = 99999999999999999999999",
	    "1: max_pending: found \"99999999999999999999999\", " SIZE
	    "1 to 1TB" },
	{ "ping_interval = 0\nwrite_deadline = 5y\nping_interval = 1",
	    "1: ping_interval: found \"0\", expected a duration such as 10s "
	    "from 1ms to 87600h0m0s\n2: write_deadline: found \"5y\", expected "
	    "a duration such as 10s from 1ms to 24h0m0s\n"
	    "3: ping_interval: found a second time, expected only once (first "
	    "in line 1 of c.conf)" },
	{ "server_name = 'a b'",
	    "1: server_name: found \"a b\", expected a name without spaces" },
	{ "syslog_facility = mail", "1: syslog_facility: found \"mail\", "
	    "expected auth, authpriv, cron, daemon, local0 to local7 or user" },
	{ "max_subscription_tokens = 256", "1: max_subscription_tokens: found "
	    "\"256\", expected a number from 0 to 255" },
	{ "pid_file = \"a\\nb\"", "1: pid_file: found \"a\\nb\", expected a "
	    "path without control characters" },
	{ "user = \"\"", "1: user: found \"\", expected a text that is not "
	    "empty" },
	{ "client_advertise = \"a:0\"", "1: client_advertise: found \"a:0\", "
	    "expected host or host:port with a port from 1 to 65535" },
	/* addresses */
	{ "listen = {\"unix:x\", \"::1:5\", \"1.2.3:5\", \"h\", \":5\", \"\", "
	  "\"h:\", \"h:x\", \"a b:5\", \"h:-2\", \"[::g]:5\"}",
	    "1: listen: found \"unix:x\", expected an absolute path, as in "
	    "\"unix:/run/natsd/nats\"\n"
	    "1: listen: found \"::1:5\", expected an address of IPv6 in "
	    "brackets, as in \"[::1]:4222\"\n"
	    "1: listen: found \"1.2.3:5\", expected an address of IPv4\n"
	    "1: listen: found \"h\", expected \"host:port\", \"[v6]:port\", "
	    "\"port\" or \"unix:/path\"\n"
	    "1: listen: found \":5\", expected \"host:port\", \"[v6]:port\", "
	    "\"port\" or \"unix:/path\"\n"
	    "1: listen: found \"\", expected \"host:port\", \"[v6]:port\", "
	    "\"port\" or \"unix:/path\"\n"
	    "1: listen: found \"h:\", expected a port from 1 to 65535, or -1 "
	    "for a free one\n"
	    "1: listen: found \"h:x\", expected a port from 1 to 65535, or -1 "
	    "for a free one\n"
	    "1: listen: found \"a b:5\", expected a host name or an address\n"
	    "1: listen: found \"h:-2\", expected a port from 1 to 65535, or -1 "
	    "for a free one\n"
	    "1: listen: found \"[::g]:5\", expected an address of IPv6" },
	{ "listen = {\"a:1\", \"b:1\",\n\"a:1\"}",
	    "2: listen: found \"a:1\", expected each address only once" },
	{ "listen = {\"a:1\"} listen = \"b:2\"",
	    "1: listen: found a second time, expected only once (first in line "
	    "1 of c.conf)" },
	{ "host = 'a b'",
	    "1: host: found \"a b\", expected a host name or an address" },
	/* syntax */
	{ "\nauthorization {\n user = a\n\n", "2: '{' is not closed: found the "
	    "end of the file, expected '}'" },
	{ "pid_file = \"x\ndebug = \"on\"\n", "1: string is not closed: found "
	    "the end of the line, expected \"" },
	{ "pid_file = 'x", "1: string is not closed: found the end of the "
	    "line, expected '" },
	{ "\n/* x\n\n", "2: comment is not closed: found the end of the file, "
	    "expected */" },
	{ "debug = on\n}", "2: found '}' without an opening '{'" },
	{ "listen = {\n(}", "2: found '}', expected the end of the '(' of line "
	    "2" },
	{ "pid_file = pa#ss", "1: found '#' right behind a word; write the "
	    "value in quotes, or a space before the comment" },
	{ "pid_file = foo.*", "1: found '*' outside of quotes; write the value "
	    "in quotes" },
	{ "pid_file = a+b", "1: found '+' outside of quotes; write the value "
	    "in quotes" },
	{ "pid_file = a\"b\"", "1: found a quote right behind a word; write the "
	    "whole value in quotes" },
	{ "pid_file = \"a\"b", "1: found text right behind a closing quote" },
	{ "pid_file = a\001", "1: found the control character 0x01, expected "
	    "text" },
	{ "debug = on\r", "1: found the control character 0x0d, expected text" },
	{ "pid_file = \"a\\0b\"", "1: found the escape \\0 in a string, "
	    "expected an octal one from \\1 to \\377 or a hexadecimal one from "
	    "\\x01 to \\xff; write \\\\ for a backslash" },
	{ "pid_file = \"a\\x00b\"", "1: found the escape \\x00 in a string, "
	    "expected an octal one from \\1 to \\377 or a hexadecimal one from "
	    "\\x01 to \\xff; write \\\\ for a backslash" },
	{ "port = {1, 2}",
	    "1: found \"{\", expected a value; this option is no list" },
	{ "port = = 2", "1: found \"=\", expected a value" },
	{ "pid_file = a=b", "1: found \"=\", expected an option; write a "
	    "value that contains '=' in quotes" },
	{ "port += 2", "1: port: found \"+=\", expected '='; only lists can be "
	    "added to" },
	{ "listen = {\"a:1\" \"b:2\"}", "1: found \"b:2\", expected ',' or '}'" },
	{ "\nport =\n\n", "4: found the end of the file, expected the rest of "
	    "an option" },
	/* a bad value before a bad end: both */
	{ "debug = 1\nport 5", "1: debug: found \"1\", expected on or off "
	    "(true, false, yes, no)\n2: port: found \"5\", expected '='; write "
	    "port = 5" },
	/* environment */
	{ "pid_file = \"${NATSD_TEST_NO}\"\nserver_name = ${NATSD_TEST_NO}",
	    "1: environment variable NATSD_TEST_NO is not set; set it, or write "
	    "${NATSD_TEST_NO:-default}\n"
	    "2: environment variable NATSD_TEST_NO is not set; set it, or write "
	    "${NATSD_TEST_NO:-default}" },
	{ "pid_file = \"${NATSD_TEST_NO\"", "1: found \"${\" without a closing "
	    "brace on its line, expected ${NAME} or ${NAME:-default}" },
	{ "pid_file = \"${1}\"", "1: found another form of \"${\", expected "
	    "${NAME} or ${NAME:-default}" },
	{ "pid_file = a${HOME}", "1: found '$' outside of quotes; write the "
	    "value in quotes" },
	/* options against each other */
	{ "max_pending = 512KB", "max_payload: found 1MB, expected at most "
	    "max_pending, which is 512KB" },
	{ "authorization { user = a password = b\ntoken = c }",
	    "2: authorization.token: found together with a user or password, "
	    "expected only one of both" },
	{ "authorization { password = b }",
	    "1: authorization.password: found without a user" },
	{ "authorization { user = b }",
	    "1: authorization.user: found without a password" },
	{ "authorization { token = \"\" }",
	    "1: authorization.token: expected a text that is not empty" },
	{ "authorization { token = t }\nauthorization { timeout = 3s }",
	    "2: authorization: found a second section, expected only one (the "
	    "first ends in line 1 of c.conf)" },
	{ "log_file = /nonexistent/x\nports_file_dir = c.conf",
	    "1: log_file: found \"/nonexistent/x\", expected a file in a "
	    "directory that exists: No such file or directory\n"
	    "2: ports_file_dir: found \"c.conf\", expected a directory: Not a "
	    "directory" },
	{ "workers = 8\nring_memory = 1MB", "2: ring_memory: found 1MB, "
	    "expected at least 5760KB for 8 workers (90 rings of at least 64KB)" },
	{ "workers = 4 memory_max = 2MB max_payload = 1MB", "1: memory_max: "
	    "found 2MB, expected at least 5504KB for 4 workers (three quarters of "
	    "each one's share have to hold a message of max_payload)" },
};

START_TEST(test_refused)
{
	char want[4096] = "", *copy = strdup(refused[_i].want), *line;

	for (line = strtok(copy, "\n"); line != NULL;
	    line = strtok(NULL, "\n")) {
		/* an option that was not given has no line */
		strcat(want, *line >= '0' && *line <= '9' ? "c.conf:" :
		    "c.conf: ");
		strcat(want, line);
		strcat(want, "\n");
	}
	free(copy);
	unsetenv("NATSD_TEST_NO");
	conf.workers = 12345;
	ck_assert_int_eq(load(refused[_i].text), -1);
	ck_assert_str_eq(said, want);
	/* untouched at failure */
	ck_assert_uint_eq(conf.workers, 12345);
}
END_TEST

static const char *const bcrypts[] = { "2a", "2b", "2x", "2y" };

START_TEST(test_bcrypt)
{
	char text[256];

	snprintf(text, sizeof text, "authorization { user = a\npassword = "
	    "\"$%s$11$natsdExampleSaltValueugCO\" }", bcrypts[_i]);
	ck_assert_int_eq(load(text), -1);
	ck_assert_str_eq(said, "c.conf:2: authorization.password: expected "
	    "plain text: this version of natsd does not support bcrypt "
	    "hashes\n");
}
END_TEST

/* Nowhere in any message, whatever the mistake. */
static const char *const leaks[] = {
	"authorization { user = a password = s3cret s3cret2 }",
	"authorization { user = a password: s3cret }",
	"authorization { user = a password s3cret }",
	"authorization { user = a password:s3cret }",
	"authorization { user = a password : s3cret }",
	"authorization { user = a password = s3cret#x }",
	"authorization { user = a password = s3cret*x }",
	"authorization { user = a password = \"s3cret }",
	"authorization { user = a password = {s3cret, x} }",
	"authorization { user = a password = {} s3cret }",
	"authorization { user = a password = = s3cret }",
	"authorization { user = a password += s3cret }",
	"authorization { user = a password = \"s3cret\"s3cret }",
	"authorization { user = a password = ${X:s3cret} }",
	"authorization { user = a password = \"${X?s3cret\" }",
	"authorization { token = s3cret token = s3cret }",
	"authorization { token = s3cret, s3cret }",
	"authorization { token = \"$2a$s3cret\" }",
	"authorization { token = \"\\0s3cret\" }",
	"authorization { pass s3cret = 5 }",
	"authorization { user = a password =x \"s3cret\" }",
	"authorization { user = a password = \\ \"s3cret\\n\" }",
};

START_TEST(test_secrets_hidden)
{
	ck_assert_int_eq(load(leaks[_i]), -1);
	ck_assert_msg(strstr(said, "s3cret") == NULL, "%s\n%s", leaks[_i],
	    said);
}
END_TEST

START_TEST(test_files)
{
	static const struct {
		const char *path, *want;
	} files[] = {
		{ "none", "none: cannot read the configuration: No such file or "
		    "directory\n" },
		{ ".", ".: cannot read the configuration: it is a directory, "
		    "expected a file\n" },
		{ "fifo", "fifo: cannot read the configuration: it is not a "
		    "regular file\n" },
		{ "/dev/null", "/dev/null: cannot read the configuration: it is "
		    "not a regular file\n" },
		{ "huge", "huge: cannot read the configuration: it is larger "
		    "than 16 MB, or grows while it is read\n" },
		{ "nul", "nul:2: found a NUL byte, expected text\n" },
		{ "loop", "loop: cannot read the configuration: Too many levels "
		    "of symbolic links\n" },
	};
	size_t i;

	ck_assert_int_eq(mkfifo("fifo", 0600), 0);
	write_bytes("huge", "x", 1);
	ck_assert_int_eq(truncate("huge", (16 << 20) + 1), 0);
	write_bytes("nul", "\n\0\n", 3);
	ck_assert_int_eq(symlink("loop", "loop"), 0);
	for (i = 0; i < sizeof files / sizeof files[0]; i++) {
		said[0] = '\0';
		ck_assert_int_eq(conf_load(files[i].path, NULL, collect, NULL,
		    &conf), -1);
		ck_assert_str_eq(said, files[i].want);
	}
}
END_TEST

START_TEST(test_unreadable)
{
	if (geteuid() == 0)
		return;
	write_bytes("x", "", 0);
	ck_assert_int_eq(chmod("x", 0), 0);
	ck_assert_int_eq(conf_load("x", NULL, collect, NULL, &conf), -1);
	ck_assert_str_eq(said, "x: cannot read the configuration: Permission "
	    "denied\n");
}
END_TEST

/* Errors name the file in which they are. */
START_TEST(test_include_places)
{
	static const char in_a[] = "\nport = x\ninclude(\"b\")\nping_max = x";

	ck_assert_int_eq(mkdir("d", 0700), 0);
	write_bytes("d/a", in_a, strlen(in_a));
	write_bytes("d/b", "debug = x", 9);
	ck_assert_int_eq(load("\ninclude(\"d/a\")\ntrace = x"), -1);
	ck_assert_str_eq(said,
	    "d/a:2: port: found \"x\", expected a port from 1 to 65535, or -1 "
	    "for a free one\n"
	    "d/b:1: debug: found \"x\", expected on or off (true, false, yes, "
	    "no)\n"
	    "d/a:4: ping_max: found \"x\", expected a number from 1 to "
	    "1073741824\n"
	    "c.conf:3: trace: found \"x\", expected on or off (true, false, "
	    "yes, no)\n");
	/* an included file is whole by itself */
	write_bytes("d/b", "authorization {", 15);
	ck_assert_int_eq(load("include(\"d/b\") }"), -1);
	ck_assert_str_eq(said, "d/b:1: '{' is not closed: found the end of the "
	    "file, expected '}'\n");
	ck_assert_int_eq(load("\ninclude(\"none\")"), -1);
	ck_assert_str_eq(said, "c.conf:2: include: cannot read none: No such "
	    "file or directory\n");
	ck_assert_int_eq(load("include(\"d\")"), -1);
	ck_assert_str_eq(said, "c.conf:1: include: cannot read d: it is a "
	    "directory, expected a file\n");
	ck_assert_int_eq(load("include(\"\")"), -1);
	ck_assert_str_eq(said, "c.conf:1: include: the path is empty\n");
	ck_assert_int_eq(load("\ninclude(\"c.conf\")"), -1);
	ck_assert_str_eq(said, "c.conf:2: include: nested more than 10 deep; "
	    "does a file include itself?\n");
}
END_TEST

/* Files that include the next one many times would take for ever. */
START_TEST(test_include_bomb)
{
	char name[16], text[4096];
	int i, k;

	for (i = 0; i < 9; i++) {
		text[0] = '\0';
		for (k = 0; k < 100; k++)
			sprintf(text + strlen(text), "include(\"%d\")\n", i + 1);
		snprintf(name, sizeof name, "%d", i);
		write_bytes(name, text, strlen(text));
	}
	write_bytes("9", "", 0);
	ck_assert_int_eq(load("include(\"0\")"), -1);
	ck_assert_ptr_nonnull(strstr(said, "include: more than 4096 files"));
}
END_TEST

START_TEST(test_command_line)
{
	struct conf_override o;

	conf_override_init(&o);
	o.workers = 49;
	o.port = 65536;
	o.addr = "a b";
	o.server_name = "a b";
	ck_assert_int_eq(conf_load(NULL, &o, collect, NULL, &conf), -1);
	ck_assert_str_eq(said,
	    "command line: addr: found \"a b\", expected a host name or an "
	    "address\n"
	    "command line: port: found 65536, expected a port from 1 to 65535, "
	    "or -1 for a free one\n"
	    "command line: server_name: found \"a b\", expected a name without "
	    "spaces\n"
	    "command line: workers: found \"49\", expected a number from 0 to "
	    "48\n");
	conf_override_init(&o);
	o.user_pass_user = "a";
	o.auth_token = "b";
	ck_assert_int_eq(load_with("", &o), -1);
	ck_assert_ptr_nonnull(strstr(said, "authorization.token: found "
	    "together with a user"));
}
END_TEST

START_TEST(test_identity)
{
	if (geteuid() != 0) {
		/* It will not be used, so it need not exist. */
		ck_loads("user = no-such-user group = no-such-group");
		return;
	}
	ck_assert_int_eq(load("user = no-such-user\ngroup = no-such-group"),
	    -1);
	ck_assert_str_eq(said, "c.conf:1: user: found \"no-such-user\", "
	    "expected a user of this host\nc.conf:2: group: found "
	    "\"no-such-group\", expected a group of this host\n");
}
END_TEST

START_TEST(test_check_workers)
{
	ck_loads("ring_memory = 1MB\nmax_payload = 64MB\nmax_pending = 64MB");
	said[0] = '\0';
	ck_assert_int_eq(conf_check_workers(&conf, 2, collect, NULL), 0);
	ck_assert_str_eq(said, "");
	ck_assert_int_eq(conf_check_workers(&conf, 48, collect, NULL), -1);
	ck_assert_str_eq(said, "c.conf:1: ring_memory: found 1MB, expected at "
	    "least 154MB for 48 workers (2450 rings of at least 64KB)\n"
	    "c.conf: memory_max: found 1GB, expected at least 4097MB for 48 "
	    "workers (three quarters of each one's share have to hold a "
	    "message of max_payload)\n");
	/* descriptors: a warning only */
	ck_loads("max_connections = 100000 worker_rlimit_nofile = 1000");
	said[0] = '\0';
	ck_assert_int_eq(conf_check_workers(&conf, 1, collect, NULL), 0);
	ck_assert_str_eq(said, "warning: c.conf:1: worker_rlimit_nofile: found "
	    "1000; max_connections = 100000 needs 100065 descriptors in each "
	    "of 1 workers\n");
}
END_TEST

/* Nothing of a failed load stays behind in the library. */
START_TEST(test_after_errors)
{
	size_t k;
	int i;

	for (k = 0; k < sizeof refused / sizeof refused[0]; k++) {
		for (i = 0; i < 12; i++)
			ck_assert_int_eq(load(refused[k].text), -1);
		ck_loads("port = 5");
		ck_assert_int_eq(conf.listen[0].port, 5);
	}
}
END_TEST

START_TEST(test_many_errors)
{
	static char text[1 << 20];
	int i;

	for (i = 0; i < 5000; i++)
		strcat(text + i * 10, "debug = 1\n");
	ck_assert_int_eq(load(text), -1);
	ck_assert_uint_eq(nsaid, 201);
	ck_assert_ptr_nonnull(strstr(said, "\nfurther errors are not shown\n"));
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("conf_errors");
	TCase *tc = tcase_create("errors");

	tcase_add_checked_fixture(tc, enter_scratch, leave_scratch);
	tcase_add_loop_test(tc, test_refused, 0, N(refused));
	tcase_add_loop_test(tc, test_bcrypt, 0, N(bcrypts));
	tcase_add_loop_test(tc, test_secrets_hidden, 0, N(leaks));
	tcase_add_test(tc, test_files);
	tcase_add_test(tc, test_unreadable);
	tcase_add_test(tc, test_include_places);
	tcase_add_test(tc, test_include_bomb);
	tcase_add_test(tc, test_command_line);
	tcase_add_test(tc, test_identity);
	tcase_add_test(tc, test_check_workers);
	tcase_add_test(tc, test_after_errors);
	tcase_add_test(tc, test_many_errors);
	suite_add_tcase(s, tc);
	return s;
}

int
main(void)
{
	return unit_run(suite());
}
