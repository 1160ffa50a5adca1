/* SPDX-License-Identifier: BSD-2-Clause */
/* Privileges given up by every process, and the CPUs that are ours. */
#include <config.h>

#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/types.h>

#include <linux/capability.h>

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proc/sandbox.h"

#define CPUS_MAX 8192

/* Looks a number or name up; 0 or -1 with errno ENOENT. */
static int
find_user(const char *name, uid_t *uid, gid_t *gid)
{
	struct passwd *pw;

	errno = 0;
	if ((pw = getpwnam(name)) == NULL) {
		if (errno == 0)
			errno = ENOENT;
		return -1;
	}
	*uid = pw->pw_uid;
	*gid = pw->pw_gid;
	return 0;
}

static int
find_group(const char *name, gid_t *gid)
{
	struct group *gr;

	errno = 0;
	if ((gr = getgrnam(name)) == NULL) {
		if (errno == 0)
			errno = ENOENT;
		return -1;
	}
	*gid = gr->gr_gid;
	return 0;
}

/* True if nothing is left that could bring the old identity back. */
static bool
is_dropped(uid_t uid, gid_t gid)
{
	uid_t ruid, euid, suid;
	gid_t rgid, egid, sgid;

	if (getresuid(&ruid, &euid, &suid) == -1 ||
	    getresgid(&rgid, &egid, &sgid) == -1)
		return false;
	if (ruid != uid || euid != uid || suid != uid || rgid != gid ||
	    egid != gid || sgid != gid)
		return false;
	/* Root stays root on demand only; then there is no way down. */
	return uid == 0 || (setuid(0) == -1 && seteuid(0) == -1);
}

int
sandbox_drop_user(const char *user, const char *group)
{
	uid_t uid;
	gid_t gid;

	if (find_user(user, &uid, &gid) == -1)
		return -1;
	if (group != NULL && *group != '\0' && find_group(group, &gid) == -1)
		return -1;
	if (setgroups(1, &gid) == -1 || setresgid(gid, gid, gid) == -1 ||
	    setresuid(uid, uid, uid) == -1)
		return -1;
	if (!is_dropped(uid, gid)) {
		errno = EPERM;
		return -1;
	}
	return 0;
}

/* Capabilities that came with the process (AmbientCapabilities=). */
static int
drop_capabilities(void)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	memset(data, 0, sizeof data);
	return (int)syscall(SYS_capset, &head, data);
}

int
sandbox_seal(bool core_dumps)
{
	if (prctl(PR_SET_DUMPABLE, core_dumps ? 1 : 0, 0, 0, 0) == -1)
		return -1;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return -1;
	return drop_capabilities();
}

static uint32_t
affinity_cpus(void)
{
	cpu_set_t *set;
	size_t size = CPU_ALLOC_SIZE(CPUS_MAX);
	uint32_t n = 1;
	long online;

	if ((set = CPU_ALLOC(CPUS_MAX)) == NULL)
		return n;
	CPU_ZERO_S(size, set);
	if (sched_getaffinity(0, size, set) == 0)
		n = (uint32_t)CPU_COUNT_S(size, set);
	else if ((online = sysconf(_SC_NPROCESSORS_ONLN)) > 0)
		n = (uint32_t)online;
	CPU_FREE(set);
	return n > 0 ? n : 1;
}

/* ceil(quota / period), 0 for "no limit" and for nonsense. */
static uint32_t
quota_cpus(long long quota, long long period)
{
	long long n;

	if (quota <= 0 || period <= 0)
		return 0;
	n = quota / period + (quota % period != 0);
	return n > CPUS_MAX ? 0 : (uint32_t)n;
}

/* Reads the text of dir/name; false if there is none. */
static bool
read_text(const char *dir, const char *name, char *out, size_t outlen)
{
	char path[PATH_MAX];
	FILE *f;
	bool ok;

	if (snprintf(path, sizeof path, "%s/%s", dir, name) >=
	    (int)sizeof path || (f = fopen(path, "re")) == NULL)
		return false;
	ok = fgets(out, (int)outlen, f) != NULL;
	fclose(f);
	return ok;
}

static uint32_t
dir_quota_v2(const char *dir)
{
	char text[64];
	long long quota, period;

	/* "max 100000" does not scan. */
	if (!read_text(dir, "cpu.max", text, sizeof text) ||
	    sscanf(text, "%lld %lld", &quota, &period) != 2)
		return 0;
	return quota_cpus(quota, period);
}

static uint32_t
dir_quota_v1(const char *dir)
{
	char text[64];
	long long quota, period;

	if (!read_text(dir, "cpu.cfs_quota_us", text, sizeof text) ||
	    sscanf(text, "%lld", &quota) != 1 ||
	    !read_text(dir, "cpu.cfs_period_us", text, sizeof text) ||
	    sscanf(text, "%lld", &period) != 1)
		return 0;
	return quota_cpus(quota, period);
}

/* The smallest quota of a group and all those above it; 0 = none. */
static uint32_t
tree_quota(const char *mount, const char *group,
    uint32_t (*quota)(const char *))
{
	char dir[PATH_MAX];
	uint32_t n, least = 0;
	size_t base = strlen(mount);
	char *slash;

	if (snprintf(dir, sizeof dir, "%s%s", mount, group) >=
	    (int)sizeof dir)
		return 0;
	for (;;) {
		n = quota(dir);
		if (n != 0 && (least == 0 || n < least))
			least = n;
		slash = strrchr(dir, '/');
		if (slash == NULL || strlen(dir) <= base ||
		    slash < dir + base)
			return least;
		*slash = '\0';
	}
}

static bool
has_controller(const char *list, size_t len, const char *name)
{
	size_t n = strlen(name);
	const char *end = list + len, *comma;

	for (;;) {
		comma = memchr(list, ',', (size_t)(end - list));
		if ((size_t)((comma == NULL ? end : comma) - list) == n &&
		    memcmp(list, name, n) == 0)
			return true;
		if (comma == NULL)
			return false;
		list = comma + 1;
	}
}

/* One line of /proc/self/cgroup: "id:controllers:path". */
static uint32_t
line_quota(const char *line, const char *mount)
{
	char dir[PATH_MAX];
	const char *list, *path;

	if ((list = strchr(line, ':')) == NULL ||
	    (path = strchr(++list, ':')) == NULL)
		return 0;
	if (path == list) {
		/* Beside v1 the second version is mounted one level down. */
		snprintf(dir, sizeof dir, "%s/unified", mount);
		if (access(dir, F_OK) == -1)
			snprintf(dir, sizeof dir, "%s", mount);
		return tree_quota(dir, path + 1, dir_quota_v2);
	}
	if (!has_controller(list, (size_t)(path - list), "cpu"))
		return 0;
	snprintf(dir, sizeof dir, "%s/cpu", mount);
	return tree_quota(dir, path + 1, dir_quota_v1);
}

uint32_t
sandbox_cgroup_cpus(const char *cgroup_file, const char *mount)
{
	char line[PATH_MAX + 256];
	uint32_t n, least = 0;
	FILE *f;

	if ((f = fopen(cgroup_file, "re")) == NULL)
		return 0;
	while (fgets(line, sizeof line, f) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		n = line_quota(line, mount);
		if (n != 0 && (least == 0 || n < least))
			least = n;
	}
	fclose(f);
	return least;
}

uint32_t
sandbox_usable_cpus(void)
{
	uint32_t n = affinity_cpus();
	uint32_t quota = sandbox_cgroup_cpus("/proc/self/cgroup",
	    "/sys/fs/cgroup");

	return quota != 0 && quota < n ? quota : n;
}
