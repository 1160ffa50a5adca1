/* SPDX-License-Identifier: BSD-2-Clause */
/* Unit tests of conf: values, defaults, listeners, the command line. */
#include <config.h>

#include <arpa/inet.h>
#include <ctype.h>
#include <sys/socket.h>

#include "test_conf.h"

#include "conf/addr.h"
#include "conf/opt.h"
#include "lib/unit.h"

#define N(a) ((int)(sizeof(a) / sizeof(a)[0]))
#define MB (UINT64_C(1) << 20)

START_TEST(test_defaults)
{
	ck_assert_int_eq(conf_load(NULL, NULL, collect, NULL, &conf), 0);
	ck_assert_uint_eq(nsaid, 0);
	ck_assert_str_eq(conf.user, "natsd");
	ck_assert_str_eq(conf.group, "natsd");
	ck_assert(!conf.user_given);
	ck_assert_uint_eq(conf.workers, 0);
	ck_assert_uint_eq(conf.ring_memory, 256 * MB);
	ck_assert_uint_eq(conf.index_memory, 1024 * MB);
	ck_assert_uint_eq(conf.memory_max, 1024 * MB);
	ck_assert_uint_eq(conf.watchdog_ms, 10000);
	ck_assert_uint_eq(conf.worker_rlimit_nofile, 0);
	ck_assert_uint_eq(conf.listen_backlog, 4096);
	ck_assert(!conf.core_dumps);
	ck_assert_uint_eq(conf.max_connections, 65536);
	ck_assert_uint_eq(conf.max_subscriptions, 0);
	ck_assert_uint_eq(conf.max_subscription_tokens, 0);
	ck_assert_uint_eq(conf.max_payload, MB);
	ck_assert_uint_eq(conf.max_pending, 64 * MB);
	ck_assert_uint_eq(conf.max_control_line, 4096);
	ck_assert_uint_eq(conf.ping_interval_ms, 120000);
	ck_assert_uint_eq(conf.ping_max, 2);
	ck_assert_uint_eq(conf.write_deadline_ms, 10000);
	ck_assert(!conf.no_fast_producer_stall && !conf.no_header_support);
	ck_assert_uint_eq(conf.slow_consumer, CONF_SLOW_CLOSE);
	ck_assert(!conf.auth_required);
	ck_assert_uint_eq(conf.auth_timeout_ms, 2000);
	ck_assert_uint_eq(conf.log_target, CONF_LOG_STDERR);
	ck_assert_str_eq(conf.syslog_facility, "daemon");
	ck_assert(conf.logtime && !conf.logtime_utc);
	ck_assert(!conf.debug && !conf.trace);
	ck_assert_str_eq(conf.file, "");
	ck_assert_str_eq(conf.digest, "");
	ck_assert(conf.listen_defaulted);
}
END_TEST

START_TEST(test_all_options)
{
	ck_loads("user = root group = root\n"
	    "workers = 3 ring_memory = 64MB index_memory = 2GB\n"
	    "memory_max = 512MB watchdog = 0 worker_rlimit_nofile = 100K\n"
	    "listen_backlog = 1024 pid_file = /run/x.pid\n"
	    "ports_file_dir = \".\" core_dumps = yes\n"
	    "server_name = 'hub-1' client_advertise = \"a.example:4333\"\n"
	    "max_connections = 1k max_subscriptions = 2K\n"
	    "max_subscription_tokens = 16\n"
	    "max_payload = 64mb max_pending = 65MiB max_control_line = 8kib\n"
	    "ping_interval = 1m30s ping_max = 5 write_deadline = 1500ms\n"
	    "no_fast_producer_stall = true no_header_support = on\n"
	    "slow_consumer = Drop_Oldest\n"
	    "log_file = ./x.log logfile_size_limit = 1GB\n"
	    "logfile_max_num = 9 syslog = on syslog_facility = local7\n"
	    "logtime = No logtime_utc = TRUE debug = on trace = on\n"
	    "max_traced_msg_len = 64\n"
	    "authorization { user = \"a b\" password = 'x#\"$' timeout = 1 }");
	ck_assert_str_eq(conf.user, "root");
	ck_assert(conf.user_given);
	ck_assert_uint_eq(conf.workers, 3);
	ck_assert_uint_eq(conf.ring_memory, 64 * MB);
	ck_assert_uint_eq(conf.index_memory, 2048 * MB);
	ck_assert_uint_eq(conf.memory_max, 512 * MB);
	ck_assert_uint_eq(conf.watchdog_ms, 0);
	ck_assert_uint_eq(conf.worker_rlimit_nofile, 100000);
	ck_assert_uint_eq(conf.listen_backlog, 1024);
	ck_assert_str_eq(conf.pid_file, "/run/x.pid");
	ck_assert_str_eq(conf.ports_file_dir, ".");
	ck_assert(conf.core_dumps);
	ck_assert_str_eq(conf.server_name, "hub-1");
	ck_assert_str_eq(conf.client_advertise, "a.example:4333");
	ck_assert_uint_eq(conf.max_connections, 1000);
	ck_assert_uint_eq(conf.max_subscriptions, 2000);
	ck_assert_uint_eq(conf.max_subscription_tokens, 16);
	ck_assert_uint_eq(conf.max_payload, 64 * MB);
	ck_assert_uint_eq(conf.max_pending, 65 * MB);
	ck_assert_uint_eq(conf.max_control_line, 8192);
	ck_assert_uint_eq(conf.ping_interval_ms, 90000);
	ck_assert_uint_eq(conf.ping_max, 5);
	ck_assert_uint_eq(conf.write_deadline_ms, 1500);
	ck_assert(conf.no_fast_producer_stall && conf.no_header_support);
	ck_assert_uint_eq(conf.slow_consumer, CONF_SLOW_OLDEST);
	ck_assert_str_eq(conf.log_file, "./x.log");
	ck_assert_uint_eq(conf.log_target, CONF_LOG_FILE);
	ck_assert(conf.log_syslog);
	ck_assert_uint_eq(conf.logfile_size_limit, 1024 * MB);
	ck_assert_uint_eq(conf.logfile_max_num, 9);
	ck_assert_str_eq(conf.syslog_facility, "local7");
	ck_assert(!conf.logtime && conf.logtime_utc);
	ck_assert(conf.debug && conf.trace);
	ck_assert_uint_eq(conf.max_traced_msg_len, 64);
	ck_assert(conf.auth_required);
	ck_assert_str_eq(conf.auth_user, "a b");
	ck_assert_str_eq(conf.auth_password, "x#\"$");
	ck_assert_uint_eq(conf.auth_timeout_ms, 1000);
	ck_assert_str_eq(conf.file, "c.conf");
	ck_assert_int_eq(strncmp(conf.digest, "sha256:", 7), 0);
	ck_assert_uint_eq(strlen(conf.digest), 71);
}
END_TEST

/* The other names of options reach the same fields. */
START_TEST(test_aliases)
{
	ck_loads("pidfile = a max_conn = 5 max_subs = 6 max_sub_tokens = 7\n"
	    "logfile = b log_size_limit = 8 log_max_num = 9\n"
	    "net = \"::1\" port = 10\n"
	    "authorization { username = u pass = p }\n");
	ck_assert_str_eq(conf.pid_file, "a");
	ck_assert_uint_eq(conf.max_connections, 5);
	ck_assert_uint_eq(conf.max_subscriptions, 6);
	ck_assert_uint_eq(conf.max_subscription_tokens, 7);
	ck_assert_str_eq(conf.log_file, "b");
	ck_assert_uint_eq(conf.logfile_size_limit, 8);
	ck_assert_uint_eq(conf.logfile_max_num, 9);
	ck_assert_uint_eq(conf.nlisten, 1);
	ck_assert_str_eq(conf.listen[0].host, "::1");
	ck_assert_int_eq(conf.listen[0].port, 10);
	ck_assert_str_eq(conf.auth_user, "u");
	ck_assert_str_eq(conf.auth_password, "p");
}
END_TEST

START_TEST(test_unlimited)
{
	ck_loads("max_connections = -1 max_subscriptions = -1");
	ck_assert_uint_eq(conf.max_connections, 0);
	ck_assert_uint_eq(conf.max_subscriptions, 0);
	ck_loads("max_connections = 0");
	ck_assert_uint_eq(conf.max_connections, 0);
}
END_TEST

/* A time that is not 0 never becomes 0, which may mean "off". */
START_TEST(test_tiny_duration)
{
	ck_loads("write_deadline = 1ns");
	ck_assert_uint_eq(conf.write_deadline_ms, 1);
	ck_loads("authorization { timeout = 0.5 }");
	ck_assert_uint_eq(conf.auth_timeout_ms, 500);
}
END_TEST

static bool
can_bind(const struct in6_addr *address)
{
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6 };
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	bool ok;

	if (fd == -1)
		return false;
	sin6.sin6_addr = *address;
	ok = bind(fd, (struct sockaddr *)&sin6, sizeof sin6) == 0;
	close(fd);
	return ok;
}

/* The listeners as one text, in their order. */
static const char *
listeners(void)
{
	static char out[4096];
	char text[ADDR_TEXT_MAX];
	uint32_t i;

	out[0] = '\0';
	for (i = 0; i < conf.nlisten; i++) {
		addr_format(&conf.listen[i], text, sizeof text);
		if (i > 0)
			strcat(out, " ");
		strcat(out, text);
	}
	return out;
}

/* In `want`, L stands for loopback and A for any address, with the port. */
static void
check_listeners(const char *want)
{
	char text[256];

	if (*want == 'L')
		snprintf(text, sizeof text, can_bind(&in6addr_loopback) ?
			"127.0.0.1:%s [::1]:%s" : "127.0.0.1:%s", want + 1,
		    want + 1);
	else if (*want == 'A')
		snprintf(text, sizeof text, can_bind(&in6addr_any) ?
			"0.0.0.0:%s [::]:%s" : "0.0.0.0:%s", want + 1,
		    want + 1);
	else
		snprintf(text, sizeof text, "%s", want);
	ck_assert_str_eq(listeners(), text);
	ck_assert_int_eq(conf.listen_defaulted, *want == 'L');
}

#define AUTH "authorization { token = t }"
#define NONE INT64_MIN

static const struct {
	const char *text, *addr;
	int64_t port;
	const char *want;
} listens[] = {
	{ "", NULL, NONE, "L4222" },
	{ AUTH, NULL, NONE, "A4222" },
	{ "port = 5", NULL, NONE, "L5" },
	{ "port = -1", NULL, NONE, "L0" },
	{ "port = 0 " AUTH, NULL, NONE, "A0" },
	{ "host = 10.0.0.1", NULL, NONE, "10.0.0.1:4222" },
	{ "host = \"[::1]\" port = 7", NULL, NONE, "[::1]:7" },
	{ "host = a.example.com port = 7", NULL, NONE, "a.example.com:7" },
	{ "listen = 77", NULL, NONE, "L77" },
	{ "listen = 77 " AUTH, NULL, NONE, "A77" },
	{ "listen = 77 host = h", NULL, NONE, "h:77" },
	{ "listen = {\"1.2.3.4:5\", \"[fe80::1%lo]:6\"} host = h port = 9",
	    NULL, NONE, "1.2.3.4:5 [fe80::1%lo]:6" },
	{ "listen = {\"unix:/run/n.sock\"}", NULL, NONE, "unix:/run/n.sock" },
	{ "listen = {\"unix:/n\", \"0.0.0.0:-1\"}", NULL, NONE,
	    "unix:/n 0.0.0.0:0" },
	{ "listen = {\"127.0.0.1:1\"} listen += \"127.0.0.1:2\"", NULL, NONE,
	    "127.0.0.1:1 127.0.0.1:2" },
	/* from here on with a command line */
	{ "", "1.2.3.4", NONE, "1.2.3.4:4222" },
	{ "", "[::1]", 9, "[::1]:9" },
	{ "", NULL, 9, "L9" },
	{ "", NULL, -1, "L0" },
	{ "", NULL, 0, "L0" },
	{ AUTH, NULL, 9, "A9" },
	{ "host = h port = 8", NULL, 9, "h:9" },
	{ "host = h port = 8", "k", NONE, "k:8" },
	{ "listen = {\"a:1\", \"b:2\", \"unix:/u\"}", NULL, 9,
	    "a:9 b:9 unix:/u" },
	{ "listen = {\"a:1\", \"a:2\"}", NULL, 9, "a:9" },
	{ "listen = {\"a:1\", \"b:2\", \"unix:/u\"}", "c", NONE,
	    "unix:/u c:1" },
	{ "listen = {\"unix:/u\"}", "c", 9, "unix:/u c:9" },
};

START_TEST(test_listen)
{
	struct conf_override o;

	conf_override_init(&o);
	o.addr = listens[_i].addr;
	o.port = listens[_i].port;
	ck_assert_msg(load_with(listens[_i].text, &o) == 0, "%s: %s",
	    listens[_i].text, said);
	check_listeners(listens[_i].want);
}
END_TEST

START_TEST(test_listen_max)
{
	char text[4096] = "listen = {";
	int i;

	for (i = 0; i < CONF_LISTEN_MAX; i++)
		sprintf(text + strlen(text), "%s\"127.0.0.1:%d\"",
		    i == 0 ? "" : ", ", i + 1);
	strcat(text, "}");
	ck_loads(text);
	ck_assert_uint_eq(conf.nlisten, CONF_LISTEN_MAX);
	strcpy(text + strlen(text) - 1, ", \"127.0.0.1:999\"}");
	ck_assert_int_eq(load(text), -1);
	ck_assert_ptr_nonnull(strstr(said, "expected at most 32 addresses"));
}
END_TEST

START_TEST(test_override)
{
	struct conf_override o;

	conf_override_init(&o);
	o.server_name = "cmd";
	o.pid_file = "cmd.pid";
	o.client_advertise = "cmd:1";
	o.ports_file_dir = ".";
	o.log_file = "cmd.log";
	o.workers = 2;
	o.log_size_limit = 5;
	o.max_traced_msg_len = 6;
	o.syslog = 0;
	o.debug = 1;
	o.trace = 0;
	o.logtime = 0;
	o.logtime_utc = 1;
	ck_assert_int_eq(load_with("server_name = file pid_file = file.pid\n"
	    "client_advertise = \"file:1\" ports_file_dir = /nonexistent\n"
	    "log_file = /nonexistent/x workers = 48 ring_memory = 64MB\n"
	    "log_size_limit = 1 max_traced_msg_len = 1 syslog = on\n"
	    "trace = on logtime = on\n", &o), 0);
	ck_assert_str_eq(conf.server_name, "cmd");
	ck_assert_str_eq(conf.pid_file, "cmd.pid");
	ck_assert_str_eq(conf.client_advertise, "cmd:1");
	ck_assert_str_eq(conf.ports_file_dir, ".");
	ck_assert_str_eq(conf.log_file, "cmd.log");
	ck_assert_uint_eq(conf.workers, 2);
	ck_assert_uint_eq(conf.logfile_size_limit, 5);
	ck_assert_uint_eq(conf.max_traced_msg_len, 6);
	ck_assert(!conf.log_syslog && conf.debug && !conf.trace);
	ck_assert(!conf.logtime && conf.logtime_utc);
}
END_TEST

START_TEST(test_override_authorization)
{
	struct conf_override o;

	conf_override_init(&o);
	o.auth_token = "tok";
	ck_assert_int_eq(load_with("authorization { user = u password = p }",
	    &o), 0);
	ck_assert_str_eq(conf.auth_token, "tok");
	ck_assert_str_eq(conf.auth_user, "");
	ck_assert_str_eq(conf.auth_password, "");
	ck_assert(conf.auth_required);
	o.auth_token = NULL;
	o.user_pass_user = "cu";
	o.user_pass_pass = "cp";
	ck_assert_int_eq(load_with("authorization { token = t }", &o), 0);
	ck_assert_str_eq(conf.auth_token, "");
	ck_assert_str_eq(conf.auth_user, "cu");
	ck_assert_str_eq(conf.auth_password, "cp");
}
END_TEST

START_TEST(test_override_identity)
{
	struct conf_override o;

	conf_override_init(&o);
	o.run_as = "root";
	ck_assert_int_eq(load_with("user = root group = root", &o), 0);
	ck_assert_str_eq(conf.user, "root");
	/* not the one of the file, but that of the user */
	ck_assert_str_eq(conf.group, "");
	ck_assert(conf.user_given);
	o.run_as = "root:root";
	ck_assert_int_eq(load_with("", &o), 0);
	ck_assert_str_eq(conf.group, "root");
	ck_loads("user = root");
	ck_assert_str_eq(conf.group, "");
}
END_TEST

START_TEST(test_environment)
{
	ck_assert_int_eq(setenv("NATSD_TEST_A", "it's \"q\" #{}=", 1), 0);
	ck_assert_int_eq(setenv("NATSD_TEST_EMPTY", "", 1), 0);
	ck_assert_int_eq(unsetenv("NATSD_TEST_NO"), 0);
	ck_loads("authorization { token = \"a-${NATSD_TEST_A}-b\" }\n"
	    "server_name = ${NATSD_TEST_NO:-hub}\n"
	    "pid_file = '${NATSD_TEST_NO}'\n"
	    "log_file = \"${NATSD_TEST_EMPTY}\"\n"
	    "client_advertise = \"${NATSD_TEST_NO:-h}:1\"\n"
	    "# ${NATSD_TEST_NO}\n");
	ck_assert_str_eq(conf.auth_token, "a-it's \"q\" #{}=-b");
	ck_assert_str_eq(conf.server_name, "hub");
	ck_assert_str_eq(conf.pid_file, "${NATSD_TEST_NO}");
	ck_assert_str_eq(conf.log_file, "");
	ck_assert_str_eq(conf.client_advertise, "h:1");
	ck_loads("server_name = ${NATSD_TEST_EMPTY:-hub}\n");
	ck_assert_str_eq(conf.server_name, "");
}
END_TEST

START_TEST(test_escapes)
{
	ck_loads("authorization { token = \"\\x41\\102\\t\\\"\\\\\\$\\\n"
		 "b'\" } pid_file = 'a\\'b\\\\c\\d\"'");
	ck_assert_str_eq(conf.auth_token, "AB\t\"\\$b'");
	ck_assert_str_eq(conf.pid_file, "a'b\\c\\d\"");
}
END_TEST

START_TEST(test_comments)
{
	ck_loads("# one\n// two /* not open\n/* three\n # \" ' { \n*/ port = 5 "
		 "# four\nlisten = { # five\n \"a:1\", // six\n /* seven */"
		 "\"b:2\" } pid_file /* eight */ = /* nine */ a//b\n"
		 "server_name = \"#no//no/*no*/\"/* */# no newline at the end");
	ck_assert_str_eq(listeners(), "a:1 b:2");
	ck_assert_str_eq(conf.pid_file, "a//b");
	ck_assert_str_eq(conf.server_name, "#no//no/*no*/");
}
END_TEST

/* The line of an option is kept for reload, that of a listener too. */
START_TEST(test_lines)
{
	const struct opt *name = opt_get(OPT_TOP, "server_name");
	const struct opt *debug = opt_get(OPT_TOP, "debug");

	write_bytes("inc.conf", "debug = on\n", 11);
	ck_loads("# one\n/* two\n\n*/\nserver_name = x\ninclude(\"inc.conf\")\n"
		 "listen = {\n# eight\n\"a:1\"}");
	ck_assert_uint_eq(conf.opt_line[opt_index(name)], 5);
	ck_assert_uint_eq(conf.opt_line[opt_index(debug)], 0);
	ck_assert_uint_eq(conf.listen[0].line, 9);
	ck_assert(conf.debug);
}
END_TEST

START_TEST(test_include)
{
	ck_assert_int_eq(system("mkdir -p d/e"), 0);
	write_bytes("d/1.conf", "port = 5\ninclude(\"e/x\")", 23);
	write_bytes("d/2.conf", "debug = on", 10);
	write_bytes("d/e/x", "ping_max = 7 # x", 16);
	setenv("NATSD_TEST_DIR", "d", 1);
	ck_loads("include(\"${NATSD_TEST_DIR}/*.conf\") trace = on\n"
		 "include ( \"none*.conf\" )");
	ck_assert(conf.debug && conf.trace);
	ck_assert_uint_eq(conf.ping_max, 7);
	ck_assert_int_eq(conf.listen[0].port, 5);
}
END_TEST

/* Inside of quotes a line may go on in the next one, as in other values. */
START_TEST(test_include_continued)
{
	write_bytes("long.inc", "port = 5", 8);
	ck_loads("include(\"lo\\\nng.inc\")");
	ck_assert_int_eq(conf.listen[0].port, 5);
	ck_loads("include('lo\\\nng.inc')");
	ck_assert_int_eq(conf.listen[0].port, 5);
}
END_TEST

START_TEST(test_include_section)
{
	write_bytes("token.inc", "token = abc", 11);
	ck_loads("authorization { include('token.inc') timeout = 3s }");
	ck_assert_str_eq(conf.auth_token, "abc");
	ck_assert_uint_eq(conf.auth_timeout_ms, 3000);
}
END_TEST

/* Comments do not count in the digest, values do; variables are as written. */
START_TEST(test_digest)
{
	char first[sizeof conf.digest];

	setenv("NATSD_TEST_A", "x", 1);
	ck_loads("server_name = ${NATSD_TEST_A} # one\n");
	strcpy(first, conf.digest);
	setenv("NATSD_TEST_A", "y", 1);
	ck_loads("server_name = ${NATSD_TEST_A} # another\n");
	ck_assert_str_eq(conf.digest, first);
	ck_loads("server_name = y\n");
	ck_assert_str_ne(conf.digest, first);
}
END_TEST

START_TEST(test_warnings_pass)
{
	ck_loads("max_payload = 9MB authorization { timeout = 61s }");
	ck_assert_uint_eq(nsaid, nwarned);
	ck_assert_ptr_nonnull(strstr(said, "c.conf:1: max_payload: Maximum "
	    "payloads over 8.00 MB"));
	ck_assert_ptr_nonnull(strstr(said, "c.conf:1: authorization.timeout: "
	    "over 60s"));
}
END_TEST

/* The shipped file, as it is and with all that it has in comments. */
START_TEST(test_shipped_file)
{
	const char *top = getenv("top_srcdir");
	char path[1024], line[1024], *p;
	FILE *in, *out;

	if (top == NULL)
		return;
	snprintf(path, sizeof path, "%s/natsd.conf", top);
	ck_assert_msg(conf_load(path, NULL, collect, NULL, &conf) == 0, "%s",
	    said);
	in = fopen(path, "r");
	out = fopen("all.conf", "w");
	ck_assert(in != NULL && out != NULL);
	/* "#name = value" is an option, "# text" is not. */
	while (fgets(line, sizeof line, in) != NULL) {
		p = line[0] == '#' ? line + 1 : line;
		p += strncmp(p, "  ", 2) == 0 ? 2 : 0;
		if (line[0] == '#' && (islower((unsigned char)*p) || *p == '}'))
			line[0] = ' ';
		fputs(line, out);
	}
	fclose(in);
	fclose(out);
	said[0] = '\0';
	if (conf_load("all.conf", NULL, collect, NULL, &conf) == 0) {
		ck_assert_uint_eq(conf.nlisten, 3);
		ck_assert(conf.auth_required);
	}
	/* To root it matters which users this host has. */
	for (p = strtok(said, "\n"); p != NULL; p = strtok(NULL, "\n"))
		ck_assert_msg(strstr(p, "of this host") != NULL, "%s", p);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("conf");
	TCase *tc = tcase_create("values");

	tcase_add_checked_fixture(tc, enter_scratch, leave_scratch);
	tcase_add_test(tc, test_defaults);
	tcase_add_test(tc, test_all_options);
	tcase_add_test(tc, test_aliases);
	tcase_add_test(tc, test_unlimited);
	tcase_add_test(tc, test_tiny_duration);
	tcase_add_loop_test(tc, test_listen, 0, N(listens));
	tcase_add_test(tc, test_listen_max);
	tcase_add_test(tc, test_override);
	tcase_add_test(tc, test_override_authorization);
	tcase_add_test(tc, test_override_identity);
	tcase_add_test(tc, test_environment);
	tcase_add_test(tc, test_escapes);
	tcase_add_test(tc, test_comments);
	tcase_add_test(tc, test_lines);
	tcase_add_test(tc, test_include);
	tcase_add_test(tc, test_include_continued);
	tcase_add_test(tc, test_include_section);
	tcase_add_test(tc, test_digest);
	tcase_add_test(tc, test_warnings_pass);
	tcase_add_test(tc, test_shipped_file);
	suite_add_tcase(s, tc);
	return s;
}

int
main(void)
{
	return unit_run(suite());
}
