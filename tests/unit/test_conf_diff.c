/* SPDX-License-Identifier: BSD-2-Clause */
/* Unit tests of conf: comparing, keeping and printing configurations. */
#include <config.h>

#include <fcntl.h>

#include "test_conf.h"

#include "conf/opt.h"
#include "lib/unit.h"

#define N(a) ((int)(sizeof(a) / sizeof(a)[0]))

static char changes[64 << 10];

static void
on_change(void *ctx, const char *name, const char *oldv, const char *newv,
    bool restart, uint32_t line)
{
	size_t len = strlen(changes);

	(void)ctx;
	snprintf(changes + len, sizeof changes - len, "%u %s: %s -> %s%s\n",
	    line, name, oldv, newv, restart ? " (restart)" : "");
}

static struct conf before;

/* What differs between two files. */
static const char *
diff(const char *old_text, const char *new_text)
{
	ck_loads(old_text);
	before = conf;
	ck_loads(new_text);
	changes[0] = '\0';
	conf_diff(&before, &conf, on_change, NULL);
	return changes;
}

#define L "listen = \"127.0.0.1:1\"\n"

static const struct {
	const char *oldt, *newt, *want;
} diffs[] = {
	{ L, L "# comment\n", "" },
	{ L, L "max_payload = 1024KB ping_interval = 120", "" },
	{ L, L "\nmax_payload = 2MB",
	    "3 max_payload: 1MB -> 2MB\n" },
	{ L "watchdog = 1m", L "watchdog = 1500ms",
	    "2 watchdog: 1m0s -> 1.5s\n" },
	{ L "debug = on", L, "0 debug: on -> off\n" },
	{ L, L "workers = 2", "2 workers: 0 -> 2 (restart)\n" },
	{ L "server_name = a", L "server_name = b",
	    "2 server_name: a -> b (restart)\n" },
	{ L, L "max_connections = -1", "2 max_connections: 65536 -> 0\n" },
	{ L, "\n\nlisten = {\"127.0.0.1:1\", \"unix:/x\"}",
	    "3 listen: 127.0.0.1:1 -> {\"127.0.0.1:1\", \"unix:/x\"} "
	    "(restart)\n" },
	{ L, "host = \"::1\"\nport = 7",
	    "1 listen: 127.0.0.1:1 -> [::1]:7 (restart)\n" },
	{ L "authorization { user = a password = old }",
	    L "authorization {\n user = b\n password = new timeout = 3s }",
	    "3 authorization.user: a -> b\n"
	    "4 authorization.password: [REDACTED] -> [REDACTED]\n"
	    "4 authorization.timeout: 2s -> 3s\n" },
	{ L "authorization { token = old }", L,
	    "0 authorization.token: [REDACTED] -> \n" },
};

START_TEST(test_diff)
{
	ck_assert_str_eq(diff(diffs[_i].oldt, diffs[_i].newt),
	    diffs[_i].want);
}
END_TEST

/* Credentials alone open the listeners to everybody: a restart, and said. */
START_TEST(test_defaulted_listeners)
{
	diff("", "authorization { token = t }");
	ck_assert_ptr_nonnull(strstr(changes, "127.0.0.1:4222"));
	ck_assert_ptr_nonnull(strstr(changes, "0.0.0.0:4222"));
	ck_assert_ptr_nonnull(strstr(changes, "(restart)"));
}
END_TEST

START_TEST(test_keep_restart)
{
	struct conf next;

	diff(L "user = root workers = 2 server_name = a pid_file = b\n"
	     "no_header_support = on max_payload = 1KB debug = on",
	    "listen = \"127.0.0.1:2\" workers = 3 server_name = c\n"
	    "max_payload = 2KB ring_memory = 64MB");
	next = conf;
	conf_keep_restart(&next, &before);
	ck_assert_uint_eq(next.workers, 2);
	ck_assert_str_eq(next.user, "root");
	ck_assert(next.user_given && next.no_header_support);
	ck_assert_str_eq(next.server_name, "a");
	ck_assert_str_eq(next.pid_file, "b");
	ck_assert_int_eq(next.listen[0].port, 1);
	ck_assert_uint_eq(next.ring_memory, before.ring_memory);
	/* live ones are the new ones */
	ck_assert_uint_eq(next.max_payload, 2048);
	ck_assert(!next.debug);
	changes[0] = '\0';
	conf_diff(&before, &next, on_change, NULL);
	ck_assert(strstr(changes, "(restart)") == NULL);
}
END_TEST

/* Every option of the table is seen by conf_diff(). */
START_TEST(test_diff_sees_all)
{
	const struct opt *opt;

	ck_loads(L);
	for (opt = opt_table; opt < opt_table + opt_count; opt++) {
		if (opt->size == 0)
			continue;
		before = conf;
		*((unsigned char *)&before + opt->off) ^= 1;
		changes[0] = '\0';
		conf_diff(&before, &conf, on_change, NULL);
		ck_assert_msg(strstr(changes, opt->name) != NULL, "%s",
		    opt->name);
	}
}
END_TEST

static void
dump(void)
{
	int fd = open("dump.conf", O_RDWR | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(conf_dump(&conf, fd), 0);
	close(fd);
}

static const char *const dumps[] = {
	"",
	L "max_payload = 12345 ping_interval = 1500ms watchdog = 0",
	"listen = {\"unix:/a b\", \"[::1]:0\"} workers = 3 syslog = on\n"
	"user = root group = root core_dumps = on max_connections = 64K\n",
	"log_file = 'a\"b\\c${X}$' pid_file = \"\\x7e'\" server_name = 'a$b'\n"
	"authorization { user = \"a\\x01b\\n2\\\"\" password = s3cret }",
};

/* The dump, read again, is the same but for the secrets. */
START_TEST(test_dump)
{
	ck_loads(dumps[_i]);
	dump();
	before = conf;
	said[0] = '\0';
	ck_assert_msg(conf_load("dump.conf", NULL, collect, NULL, &conf) == 0,
	    "%s", said);
	changes[0] = '\0';
	conf_diff(&before, &conf, on_change, NULL);
	if (*before.auth_password == '\0')
		ck_assert_str_eq(changes, "");
	else {
		ck_assert_str_eq(conf.auth_password, "[REDACTED]");
		ck_assert_ptr_nonnull(strstr(changes, "authorization.password"));
		ck_assert_ptr_eq(strchr(changes, '\n') + 1,
		    changes + strlen(changes));
	}
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("conf_diff");
	TCase *tc = tcase_create("diff");

	tcase_add_checked_fixture(tc, enter_scratch, leave_scratch);
	tcase_add_loop_test(tc, test_diff, 0, N(diffs));
	tcase_add_test(tc, test_defaulted_listeners);
	tcase_add_test(tc, test_keep_restart);
	tcase_add_test(tc, test_diff_sees_all);
	tcase_add_loop_test(tc, test_dump, 0, N(dumps));
	suite_add_tcase(s, tc);
	return s;
}

int
main(void)
{
	return unit_run(suite());
}
