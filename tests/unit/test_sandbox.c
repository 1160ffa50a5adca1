/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Privileges and CPUs.  What gives something up for good runs in a process of
 * its own; what needs root is left out without it.  heritage_close_rest() is
 * here too: it is the same kind of thing.
 */
#include <config.h>

#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <linux/capability.h>

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/unit.h"
#include "proc/heritage.h"
#include "proc/sandbox.h"

static char root[] = "/tmp/test_sandbox.XXXXXX";

/* Runs fn in a child; its result is the exit status. */
static int
in_child(int (*fn)(void))
{
	pid_t pid = fork();
	int status;

	ck_assert_int_ne(pid, -1);
	if (pid == 0)
		_exit(fn());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* ---- seal ------------------------------------------------------------ */

static int
try_seal(void)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2];

	if (sandbox_seal(false) == -1)
		return 1;
	if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
		return 2;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return 3;
	if (syscall(SYS_capget, &head, data) == -1)
		return 4;
	if ((data[0].effective | data[0].permitted | data[1].effective |
		data[1].permitted) != 0)
		return 5;
	return sandbox_seal(false) == 0 ? 0 : 6; /* a second time, too */
}

START_TEST(sealed_process_has_nothing_left)
{
	ck_assert_int_eq(in_child(try_seal), 0);
}
END_TEST

static int
try_seal_with_cores(void)
{
	if (sandbox_seal(true) == -1)
		return 1;
	return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1 ? 0 : 2;
}

START_TEST(option_keeps_core_dumps)
{
	ck_assert_int_eq(in_child(try_seal_with_cores), 0);
}
END_TEST

/* ---- user ------------------------------------------------------------ */

static int
try_unknown_user(void)
{
	errno = 0;
	if (sandbox_drop_user("no such user", "") != -1)
		return 1;
	return errno == ENOENT ? 0 : 2;
}

START_TEST(unknown_user_is_an_error)
{
	ck_assert_int_eq(in_child(try_unknown_user), 0);
}
END_TEST

static int
try_unknown_group(void)
{
	struct passwd *pw = getpwuid(getuid());

	errno = 0;
	if (pw == NULL)
		return 0;
	if (sandbox_drop_user(pw->pw_name, "no such group") != -1)
		return 1;
	return errno == ENOENT ? 0 : 2;
}

START_TEST(unknown_group_is_an_error)
{
	ck_assert_int_eq(in_child(try_unknown_group), 0);
}
END_TEST

static int
try_drop(void)
{
	struct passwd *pw = getpwnam("nobody");
	uid_t uid = pw->pw_uid;
	gid_t groups[2];

	if (sandbox_drop_user("nobody", "") == -1)
		return 1;
	if (getuid() != uid || geteuid() != uid)
		return 2;
	if (setuid(0) != -1 || seteuid(0) != -1 || setgid(0) != -1)
		return 3;
	if (getgroups(2, groups) != 1 || groups[0] != getgid())
		return 4;
	return 0;
}

START_TEST(root_becomes_another_for_good)
{
	if (geteuid() != 0 || getpwnam("nobody") == NULL)
		return;
	ck_assert_int_eq(in_child(try_drop), 0);
}
END_TEST

static int
try_drop_without_root(void)
{
	if (geteuid() == 0 && sandbox_drop_user("nobody", "") == -1)
		return 1;
	errno = 0;
	if (sandbox_drop_user("root", "") != -1)
		return 2;
	return errno == EPERM ? 0 : 3;
}

START_TEST(others_cannot_become_root)
{
	if (getpwnam("nobody") == NULL)
		return;
	ck_assert_int_eq(in_child(try_drop_without_root), 0);
}
END_TEST

/* ---- CPUs ------------------------------------------------------------ */

static int
try_affinity(void)
{
	cpu_set_t set, one;
	int cpu;

	if (sched_getaffinity(0, sizeof set, &set) == -1)
		return 1;
	if (sandbox_usable_cpus() > (uint32_t)CPU_COUNT(&set))
		return 2;
	for (cpu = 0; !CPU_ISSET(cpu, &set); cpu++)
		continue;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof one, &one) == -1)
		return 3;
	return sandbox_usable_cpus() == 1 ? 0 : 4;
}

START_TEST(affinity_counts)
{
	ck_assert_int_eq(in_child(try_affinity), 0);
}
END_TEST

static void
make_dir(const char *path)
{
	char full[256];

	snprintf(full, sizeof full, "%s/%s", root, path);
	ck_assert(mkdir(full, 0700) == 0 || errno == EEXIST);
}

static void
make_file(const char *path, const char *text)
{
	char full[256];
	FILE *f;

	snprintf(full, sizeof full, "%s/%s", root, path);
	f = fopen(full, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

static uint32_t
quota(const char *groups)
{
	char file[256];

	make_file("cgroup", groups);
	snprintf(file, sizeof file, "%s/cgroup", root);
	return sandbox_cgroup_cpus(file, root);
}

static void
make_root(void)
{
	strcpy(strrchr(root, '.'), ".XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
	make_dir("a");
	make_dir("a/b");
	make_dir("cpu");
	make_dir("cpu/a");
}

static void
remove_root(void)
{
	char command[64];

	snprintf(command, sizeof command, "rm -rf %s", root);
	ck_assert_int_eq(system(command), 0);
}

START_TEST(no_quota_is_no_limit)
{
	ck_assert_uint_eq(quota("0::/a/b\n"), 0);
	make_file("a/b/cpu.max", "max 100000\n");
	ck_assert_uint_eq(quota("0::/a/b\n"), 0);
	ck_assert_uint_eq(sandbox_cgroup_cpus("/nonexistent", root), 0);
	ck_assert_uint_eq(quota(""), 0);
}
END_TEST

static const struct {
	const char *text;
	uint32_t cpus;
} quotas[] = {
	{ "50000 100000\n", 1 }, { "100000 100000\n", 1 },
	{ "100001 100000\n", 2 }, { "250000 100000\n", 3 },
	{ "800000 100000\n", 8 }, { "200000 50000\n", 4 },
	{ "-1 100000\n", 0 }, { "5 0\n", 0 }, { "\n", 0 }, { "100000\n", 0 },
	{ "9223372036854775807 1\n", 0 },
};

START_TEST(quota_is_rounded_up)
{
	make_file("a/b/cpu.max", quotas[_i].text);
	ck_assert_uint_eq(quota("0::/a/b\n"), quotas[_i].cpus);
}
END_TEST

START_TEST(group_above_may_be_narrower)
{
	make_file("a/b/cpu.max", "800000 100000\n");
	make_file("a/cpu.max", "200000 100000\n");
	ck_assert_uint_eq(quota("0::/a/b\n"), 2);
	make_file("cpu.max", "100000 100000\n");
	ck_assert_uint_eq(quota("0::/a/b\n"), 1);
}
END_TEST

START_TEST(group_not_visible_here_counts_what_is)
{
	make_file("cpu.max", "300000 100000\n");
	ck_assert_uint_eq(quota("0::/somewhere/else\n"), 3);
	ck_assert_uint_eq(quota("0::/\n"), 3);
}
END_TEST

START_TEST(first_version_is_read_too)
{
	make_file("cpu/a/cpu.cfs_quota_us", "150000\n");
	make_file("cpu/a/cpu.cfs_period_us", "100000\n");
	ck_assert_uint_eq(quota("4:memory:/a\n3:cpuacct,cpu:/a\n"), 2);
	ck_assert_uint_eq(quota("3:cpuset:/a\n"), 0);
	make_file("cpu/a/cpu.cfs_quota_us", "-1\n");
	ck_assert_uint_eq(quota("3:cpu,cpuacct:/a\n"), 0);
}
END_TEST

/* ---- heritage -------------------------------------------------------- */

static bool
is_open(int fd)
{
	return fcntl(fd, F_GETFD) != -1;
}

static int
try_close_rest(void)
{
	static struct heritage h;
	int fd[12], keep[2], i;

	for (i = 0; i < 12; i++) {
		if ((fd[i] = open("/dev/null", O_RDWR)) == -1)
			return 1;
	}
	memset(&h, 0, sizeof h);
	h.nslots = 2;
	h.chan = fd[1];
	h.log = fd[3];
	h.nlisten = 1;
	h.listen[0].fd = fd[4];
	h.bell[0] = fd[6];
	h.bell[1] = fd[7];
	h.control.rw = fd[8];
	h.control.ro = fd[9];
	keep[0] = fd[11];
	keep[1] = fd[1]; /* twice does no harm */
	heritage_close_rest(&h, keep, 2);
	for (i = 0; i < 12; i++) {
		bool wanted = i == 1 || i == 3 || i == 4 || i == 6 ||
		    i == 7 || i == 11;

		if (is_open(fd[i]) != wanted)
			return 10 + i;
	}
	for (i = 0; i < 3; i++) {
		if (!is_open(i))
			return 30 + i;
	}
	return h.control.rw == -1 && h.ring == NULL ? 0 : 40;
}

START_TEST(only_what_is_named_stays_open)
{
	ck_assert_int_eq(in_child(try_close_rest), 0);
}
END_TEST

static Suite *
sandbox_suite(void)
{
	Suite *s = suite_create("sandbox");
	TCase *tc = tcase_create("process"), *cpus = tcase_create("cpus");

	tcase_add_test(tc, sealed_process_has_nothing_left);
	tcase_add_test(tc, option_keeps_core_dumps);
	tcase_add_test(tc, unknown_user_is_an_error);
	tcase_add_test(tc, unknown_group_is_an_error);
	tcase_add_test(tc, root_becomes_another_for_good);
	tcase_add_test(tc, others_cannot_become_root);
	tcase_add_test(tc, affinity_counts);
	tcase_add_test(tc, only_what_is_named_stays_open);
	suite_add_tcase(s, tc);
	tcase_add_checked_fixture(cpus, make_root, remove_root);
	tcase_add_test(cpus, no_quota_is_no_limit);
	tcase_add_loop_test(cpus, quota_is_rounded_up, 0,
	    sizeof quotas / sizeof quotas[0]);
	tcase_add_test(cpus, group_above_may_be_narrower);
	tcase_add_test(cpus, group_not_visible_here_counts_what_is);
	tcase_add_test(cpus, first_version_is_read_too);
	suite_add_tcase(s, cpus);
	return s;
}

int
main(void)
{
	return unit_run(sandbox_suite());
}
