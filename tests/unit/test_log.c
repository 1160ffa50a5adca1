/* SPDX-License-Identifier: BSD-2-Clause */
/* Unit tests of base/log and base/logtarget. */
#include <config.h>

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "base/log.h"
#include "base/logtarget.h"
#include "lib/unit.h"

#define STAMP \
	"[0-9]{4}/[0-9]{2}/[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6} "

static char last[LOG_TEXT_MAX + 1], last_role[32];
static enum log_level last_lvl;
static int last_pid, nevents;
static char dir[64], path[96], err[256];

static void
remember(void *ctx, enum log_level lvl, const char *role, int pid,
    const char *text, size_t len)
{
	ck_assert_ptr_eq(ctx, &nevents);
	ck_assert_uint_le(len, LOG_TEXT_MAX);
	memcpy(last, text, len);
	last[len] = '\0';
	snprintf(last_role, sizeof last_role, "%s", role);
	last_lvl = lvl;
	last_pid = pid;
	nevents++;
	errno = EIO; /* a sink may do that */
}

static void
setup(void)
{
	log_set_sink(remember, &nevents);
	log_set_role("w3");
	snprintf(dir, sizeof dir, "/tmp/natsd-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/log", dir);
}

static void
teardown(void)
{
	struct dirent *ent;
	DIR *d = opendir(dir);

	while ((ent = readdir(d)) != NULL)
		(void)unlinkat(dirfd(d), ent->d_name, 0);
	closedir(d);
	rmdir(dir);
}

START_TEST(test_levels)
{
	errno = ENOENT;
	log_err("a %d", 1);
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_str_eq(last, "a 1");
	ck_assert_str_eq(last_role, "w3");
	ck_assert_int_eq(last_pid, getpid());
	ck_assert_int_eq(last_lvl, LOG_LVL_ERR);
	log_errno("b");
	ck_assert_str_eq(last, "b: No such file or directory");
	ck_assert_int_eq(last_lvl, LOG_LVL_ERR);
	log_warn("c");
	ck_assert_str_eq(last, "c: No such file or directory");
	log_warnx("d");
	ck_assert_str_eq(last, "d");
	ck_assert_int_eq(last_lvl, LOG_LVL_WARN);
	log_notice("e");
	ck_assert_int_eq(last_lvl, LOG_LVL_NOTICE);
	log_info("f");
	ck_assert_int_eq(last_lvl, LOG_LVL_INFO);
	log_client("g");
	ck_assert_int_eq(last_lvl, LOG_LVL_CLIENT);
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_int_eq(nevents, 7);
}
END_TEST

START_TEST(test_debug_trace)
{
	int evaluated = 0;

	log_debug("%d", ++evaluated);
	log_trace("%d", ++evaluated);
	ck_assert_int_eq(evaluated, 0);
	log_debug("x");
	log_trace("x");
	log_at(LOG_LVL_DEBUG, "x");
	ck_assert_int_eq(nevents, 0);
	ck_assert(!log_debug_on() && !log_trace_on());
	log_set_debug(true);
	log_debug("x");
	ck_assert_int_eq(last_lvl, LOG_LVL_DEBUG);
	ck_assert(log_debug_on() && !log_trace_on());
	log_set_trace(true);
	log_trace("x");
	ck_assert_int_eq(last_lvl, LOG_LVL_TRACE);
	log_set_debug(false);
	log_debug("x");
	ck_assert_int_eq(nevents, 2);
}
END_TEST

START_TEST(test_escapes)
{
	log_info("%s", "a\nb\rc\td\x1b[31m\x7f\xc3\xa9");
	ck_assert_str_eq(last, "a\\x0ab\\x0dc\\x09d\\x1b[31m\\x7f\xc3\xa9");
}
END_TEST

START_TEST(test_long_text)
{
	static char s[10000];

	memset(s, 'x', 9999);
	log_info("%s", s);
	ck_assert_uint_eq(strlen(last), LOG_TEXT_MAX);
	memset(s, '\n', 9999);
	log_info("%s", s);
	ck_assert_uint_eq(strlen(last), LOG_TEXT_MAX);
	ck_assert_str_eq(last + LOG_TEXT_MAX - 4, "\\x0a");
}
END_TEST

START_TEST(test_limit)
{
	struct log_limit limit = { 0 }, other = { 0 };
	int i;

	for (i = 0; i < 100; i++)
		log_limited(&limit, LOG_LVL_CLIENT, "line %d", i);
	/* The clock may have passed into another second meanwhile. */
	ck_assert_int_ge(nevents, LOG_LIMIT_LINES);
	ck_assert_int_le(nevents, 2 * LOG_LIMIT_LINES + 1);
	log_limited(&other, LOG_LVL_CLIENT, "unrelated");
	ck_assert_str_eq(last, "unrelated");
	/* As if the second were over. */
	limit.suppressed = 7;
	limit.window_start_ms -= 1000;
	log_limited(&limit, LOG_LVL_CLIENT, "again");
	ck_assert_str_eq(last, "again");
	ck_assert_uint_eq(limit.suppressed, 0);
	limit.suppressed = 3;
	log_limited_flush(&limit, LOG_LVL_CLIENT);
	ck_assert_str_eq(last, "suppressed 3 similar messages");
	i = nevents;
	log_limited_flush(&limit, LOG_LVL_CLIENT);
	ck_assert_int_eq(nevents, i);
}
END_TEST

START_TEST(test_fatal)
{
	errno = ENOENT;
	fatal("cannot go on");
}
END_TEST

START_TEST(test_fatalx)
{
	fatalx("cannot go on");
}
END_TEST

/* The contents of a file, which the caller frees. */
static char *
slurp(const char *name)
{
	char *data;
	size_t len;

	ck_assert_int_eq(fd_read_file(name, 1 << 20, &data, &len), 0);
	return data;
}

static void
check_match(const char *text, const char *pattern)
{
	regex_t re;

	ck_assert_int_eq(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
	ck_assert_msg(regexec(&re, text, 0, NULL, 0) == 0,
	    "\"%s\" does not match \"%s\"", text, pattern);
	regfree(&re);
}

static void
check_file(const char *pattern)
{
	char *data = slurp(path);

	check_match(data, pattern);
	free(data);
}

static struct log_target *
open_file(uint64_t size_limit, uint32_t max_num)
{
	struct log_target_conf conf = {
		.kind = LOG_TARGET_FILE,
		.path = path,
		.logtime = true,
		.logfile_size_limit = size_limit,
		.logfile_max_num = max_num,
	};
	struct log_target *t = log_target_open(&conf, err, sizeof err);

	ck_assert_msg(t != NULL, "%s", err);
	return t;
}

START_TEST(test_file)
{
	struct log_target *t = open_file(0, 0);
	struct stat st;

	log_set_sink(log_target_sink, t);
	log_set_role("master");
	log_notice("Server is ready");
	log_target_write(t, LOG_LVL_CLIENT, "w12", 99, "rude", 4);
	log_target_write(t, LOG_LVL_DEBUG, "", 99, "cut here", 3);
	check_file("^\\[[0-9]+/master\\] " STAMP "\\[INF\\] Server is ready\n"
		   "\\[99/w12\\] " STAMP "\\[ERR\\] rude\n"
		   "\\[99\\] " STAMP "\\[DBG\\] cut\n$");
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0137, 0);
	ck_assert_uint_eq(log_target_dropped(t), 0);
	log_target_close(&t);
	ck_assert_ptr_null(t);
	log_target_close(&t);
}
END_TEST

START_TEST(test_file_without_time)
{
	struct log_target_conf conf = { .kind = LOG_TARGET_FILE, .path = path };
	struct log_target *t = log_target_open(&conf, err, sizeof err);

	log_target_write(t, LOG_LVL_WARN, "master", 1, "x", 1);
	check_file("^\\[1/master\\] \\[WRN\\] x\n$");
	log_target_close(&t);
}
END_TEST

START_TEST(test_file_fails)
{
	struct log_target_conf conf = { .kind = LOG_TARGET_FILE };
	char wrong[128];

	snprintf(wrong, sizeof wrong, "%s/no/log", dir);
	conf.path = wrong;
	ck_assert_ptr_null(log_target_open(&conf, err, sizeof err));
	check_match(err, "no/log.*No such file or directory");
}
END_TEST

START_TEST(test_reopen)
{
	struct log_target *t = open_file(0, 0);
	char moved[128], *data;

	snprintf(moved, sizeof moved, "%s.1", path);
	log_target_write(t, LOG_LVL_INFO, "m", 1, "one", 3);
	ck_assert_int_eq(rename(path, moved), 0);
	log_target_write(t, LOG_LVL_INFO, "m", 1, "two", 3);
	ck_assert_int_eq(log_target_reopen(t, err, sizeof err), 0);
	log_target_write(t, LOG_LVL_INFO, "m", 1, "three", 5);
	data = slurp(moved);
	check_match(data, "one\n.*two\n$");
	free(data);
	check_file("^[^\n]*three\n$");
	/* A failed one leaves the old file in use. */
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	ck_assert_int_eq(log_target_reopen(t, err, sizeof err), -1);
	log_target_write(t, LOG_LVL_INFO, "m", 1, "four", 4);
	ck_assert_uint_eq(log_target_dropped(t), 0);
	ck_assert_int_eq(rmdir(path), 0);
	log_target_close(&t);
}
END_TEST

/* The number of files in the scratch folder whose name starts so. */
static int
count_files(const char *prefix)
{
	struct dirent *ent;
	DIR *d = opendir(dir);
	int n = 0;

	while ((ent = readdir(d)) != NULL)
		n += strncmp(ent->d_name, prefix, strlen(prefix)) == 0;
	closedir(d);
	return n;
}

START_TEST(test_rotation)
{
	struct log_target *t = open_file(1000, 0);
	int i;

	for (i = 0; i < 100; i++)
		log_target_write(t, LOG_LVL_INFO, "m", 1, "some text", 9);
	ck_assert_int_ge(count_files("log."), 4);
	check_file("Rotated log, backup saved as \"/tmp/natsd-test-[^\"]*"
		   "/log\\.[0-9.]{29}\"\n");
	log_target_close(&t);
}
END_TEST

START_TEST(test_rotation_purges)
{
	struct log_target *t;
	char other[128];
	int i, fd;

	/* Not ours: similar names stay. */
	snprintf(other, sizeof other, "%s.2020.txt", path);
	fd = open(other, O_CREAT | O_WRONLY, 0600);
	fd_close(&fd);
	t = open_file(1000, 3);
	for (i = 0; i < 200; i++)
		log_target_write(t, LOG_LVL_INFO, "m", 1, "some text", 9);
	ck_assert_int_eq(count_files("log"), 4);
	ck_assert_int_eq(access(other, F_OK), 0);
	check_file("Purged log file \"log\\.[0-9.]{29}\"\n");
	log_target_close(&t);
}
END_TEST

START_TEST(test_disk_full)
{
	struct rlimit limit, saved;
	struct log_target *t = open_file(0, 0);
	int i;

	log_target_write(t, LOG_LVL_INFO, "m", 1, "before", 6);
	/* A limit on the size of files stands in for the full disk. */
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &saved), 0);
	limit = saved;
	limit.rlim_cur = 60; /* in the midst of the second line */
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	for (i = 0; i < 10; i++)
		log_target_write(t, LOG_LVL_INFO, "m", 1, "lost", 4);
	ck_assert_uint_eq(log_target_dropped(t), 10);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &saved), 0);
	log_target_write(t, LOG_LVL_INFO, "m", 1, "after", 5);
	log_target_write(t, LOG_LVL_INFO, "m", 1, "later", 5);
	check_file("^[^\n]* before\n[^\n]*\n[^\n]*dropped 10 log records\n"
		   "[^\n]* after\n[^\n]* later\n$");
	ck_assert_uint_eq(log_target_dropped(t), 10);
	log_target_close(&t);
}
END_TEST

/* Puts the writing end of a new pipe in the place of stderr. */
static int
pipe_stderr(int *saved)
{
	int p[2];

	ck_assert_int_eq(pipe(p), 0);
	*saved = dup(STDERR_FILENO);
	ck_assert_int_ne(dup2(p[1], STDERR_FILENO), -1);
	close(p[1]);
	return p[0];
}

static struct log_target *
open_stderr(void)
{
	struct log_target_conf conf = {
		.kind = LOG_TARGET_STDERR,
		.logtime = true,
		.logtime_utc = true,
	};

	return log_target_open(&conf, err, sizeof err);
}

START_TEST(test_stderr)
{
	char line[256];
	struct log_target *t;
	int saved, fd = pipe_stderr(&saved);
	ssize_t n;

	t = open_stderr();
	log_target_write(t, LOG_LVL_TRACE, "w0", 5, "text", 4);
	log_target_close(&t);
	n = read(fd, line, sizeof line - 1);
	dup2(saved, STDERR_FILENO);
	ck_assert_int_gt(n, 0);
	line[n] = '\0';
	check_match(line, "^\\[5/w0\\] " STAMP "\\[TRC\\] text\n$");
}
END_TEST

START_TEST(test_stderr_journal)
{
	char line[256], stream[64];
	struct log_target *t;
	struct stat st;
	int saved, fd = pipe_stderr(&saved);
	ssize_t n;

	fstat(STDERR_FILENO, &st);
	snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t)st.st_dev,
	    (uintmax_t)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	t = open_stderr();
	log_target_write(t, LOG_LVL_CLIENT, "w0", 5, "text", 4);
	log_target_close(&t);
	n = read(fd, line, sizeof line - 1);
	dup2(saved, STDERR_FILENO);
	ck_assert_int_gt(n, 0);
	line[n] = '\0';
	ck_assert_str_eq(line, "<4>[5/w0] [ERR] text\n");
}
END_TEST

START_TEST(test_stderr_stalled)
{
	struct log_target *t;
	char text[1000], line[64 * 1024];
	int i, saved, fd = pipe_stderr(&saved);

	/* Nobody reads: this must end, and everything else be counted. */
	memset(text, 'x', sizeof text);
	t = open_stderr();
	for (i = 0; i < 1000; i++)
		log_target_write(t, LOG_LVL_INFO, "w0", 5, text, sizeof text);
	ck_assert_uint_gt(log_target_dropped(t), 500);
	fd_set_nonblock(fd);
	while (read(fd, line, sizeof line) > 0)
		continue;
	log_target_write(t, LOG_LVL_INFO, "w0", 5, "again", 5);
	i = (int)read(fd, line, sizeof line - 1);
	dup2(saved, STDERR_FILENO);
	log_target_close(&t);
	ck_assert_int_gt(i, 0);
	line[i] = '\0';
	check_match(line, "\\[WRN\\] dropped [0-9]+ log records\n.*again\n$");
}
END_TEST

static int
syslog_socket(const char *at)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	snprintf(sun.sun_path, sizeof sun.sun_path, "%s", at);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sun, sizeof sun), 0);
	return fd;
}

static void
check_syslog(int fd, const char *pattern)
{
	char line[4096];
	ssize_t n = recv(fd, line, sizeof line - 1, MSG_DONTWAIT);

	ck_assert_int_gt(n, 0);
	line[n] = '\0';
	check_match(line, pattern);
}

#define SYSLOG_STAMP "[A-Z][a-z]{2} [ 0-9][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2} "

START_TEST(test_syslog)
{
	struct log_target_conf conf = {
		.kind = LOG_TARGET_SYSLOG,
		.path = path,
		.logtime = true,
		.facility = LOG_LOCAL3,
	};
	struct log_target *t;
	int fd = syslog_socket(path), i;

	t = log_target_open(&conf, err, sizeof err);
	ck_assert_ptr_nonnull(t);
	log_target_write(t, LOG_LVL_CLIENT, "w1", 77, "rude", 4);
	check_syslog(fd, "^<156>" SYSLOG_STAMP "natsd\\[77\\]: rude$");
	log_target_write(t, LOG_LVL_NOTICE, "master", 78, "ready", 5);
	check_syslog(fd, "^<157>" SYSLOG_STAMP "natsd\\[78\\]: ready$");
	/* Nobody reads: no waiting. */
	for (i = 0; i < 5000; i++)
		log_target_write(t, LOG_LVL_INFO, "w1", 77, "flood", 5);
	ck_assert_uint_gt(log_target_dropped(t), 0);
	/* syslogd goes, and comes back. */
	fd_close(&fd);
	unlink(path);
	log_target_write(t, LOG_LVL_INFO, "w1", 77, "lost", 4);
	fd = syslog_socket(path);
	log_target_write(t, LOG_LVL_FATAL, "master", 78, "back", 4);
	check_syslog(fd, "^<156>.*: dropped [0-9]+ log records$");
	check_syslog(fd, "^<154>.*natsd\\[78\\]: back$");
	ck_assert_int_eq(log_target_reopen(t, err, sizeof err), 0);
	fd_close(&fd);
	log_target_close(&t);
}
END_TEST

START_TEST(test_facility)
{
	int f = -1;

	ck_assert_int_eq(log_facility_parse("daemon", &f), 0);
	ck_assert_int_eq(f, LOG_DAEMON);
	ck_assert_int_eq(log_facility_parse("local7", &f), 0);
	ck_assert_int_eq(f, LOG_LOCAL7);
	ck_assert_int_eq(log_facility_parse("local8", &f), -1);
	ck_assert_int_eq(log_facility_parse("", &f), -1);
	ck_assert_int_eq(f, LOG_LOCAL7);
}
END_TEST

START_TEST(test_default_sink)
{
	char line[256];
	int saved, fd = pipe_stderr(&saved);
	ssize_t n;

	log_set_sink(NULL, NULL);
	log_err("early");
	n = read(fd, line, sizeof line - 1);
	dup2(saved, STDERR_FILENO);
	ck_assert_int_gt(n, 0);
	line[n] = '\0';
	check_match(line, "^\\[[0-9]+/w3\\] \\[ERR\\] early\n$");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("log");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_levels);
	tcase_add_test(tc, test_debug_trace);
	tcase_add_test(tc, test_escapes);
	tcase_add_test(tc, test_long_text);
	tcase_add_test(tc, test_limit);
	tcase_add_test(tc, test_file);
	tcase_add_test(tc, test_file_without_time);
	tcase_add_test(tc, test_file_fails);
	tcase_add_test(tc, test_reopen);
	tcase_add_test(tc, test_rotation);
	tcase_add_test(tc, test_rotation_purges);
	tcase_add_test(tc, test_disk_full);
	tcase_add_test(tc, test_stderr);
	tcase_add_test(tc, test_stderr_journal);
	tcase_add_test(tc, test_stderr_stalled);
	tcase_add_test(tc, test_syslog);
	tcase_add_test(tc, test_facility);
	tcase_add_test(tc, test_default_sink);
	suite_add_tcase(suite, tc);
	tc = tcase_create("exit");
	tcase_add_exit_test(tc, test_fatal, 1);
	tcase_add_exit_test(tc, test_fatalx, 1);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
