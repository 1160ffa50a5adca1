/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * No process of a real natsd can write another's memory.  The whole daemon
 * runs in here, linked with --wrap: where the master and each worker have
 * sealed themselves in, each looks at what it has mapped and open, and then
 * tries what we know to write to the zones of the others, or to make them
 * writable, and to get at the other processes.  Then another process of the
 * same user tries from outside.  readonly.c has more ways, with a stand-in.
 *
 * With core_dumps = on the processes are open to each other, as natsd.conf(5)
 * says, but the mappings still hold.
 */
#include <config.h>

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "conf/conf.h"
#include "master/master.h"
#include "master/options.h"
#include "master/zones.h"
#include "proc/sandbox.h"

#define WORKERS 3
#define MEMBERS (1 + WORKERS) /* the master is 0 */
#define SLOTS (WORKERS + ZONES_SPARE_SLOTS)
#define DEADLINE_S 60
#define MAPPINGS_MAX 4096
#define FDS_TRIED 600 /* of a process, with pidfd_getfd */
#define MARK 0x5a
#define PREFIX "/memfd:natsd-"

/* One line of /proc/PID/maps. */
struct mapping {
	uintptr_t from, to;
	bool writable, executable, shared;
	char name[64]; /* of a zone: without the prefix; else "" */
};

struct list {
	unsigned n;
	struct mapping m[MAPPINGS_MAX];
};

struct member {
	_Atomic int32_t pid;
	_Atomic uint64_t target; /* a byte of a zone that it may write */
	_Atomic uint32_t slot;
};

/* What all processes of the test share; never one of the daemon's zones. */
struct stage {
	_Atomic uint32_t workers; /* that have sealed themselves in */
	_Atomic uint32_t done; /* that have tried everything */
	_Atomic uint32_t ready; /* the master says that all are up */
	_Atomic uint32_t uid, gid; /* it runs as */
	_Atomic uint32_t core_dumps;
	_Atomic uint32_t tried, gave_way;
	struct member member[MEMBERS];
};

int __real_sandbox_seal(bool core_dumps);
int __wrap_sandbox_seal(bool core_dumps);
struct master;
void __real_master_ready(struct master *m);
void __wrap_master_ready(struct master *m);

static struct stage *stage;
static struct list maps;
static const char *who; /* tries */

/* ---- findings ---------------------------------------------------------- */

static void complain(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));

static void
complain(const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	(void)printf("FAIL: %s (pid %d): %s\n", who, (int)getpid(), text);
	(void)fflush(stdout);
	atomic_fetch_add(&stage->gave_way, 1);
}

/* One attempt, on what; gave_way is bad. */
static void
attempt(bool gave_way, const char *how, const char *what)
{
	atomic_fetch_add(&stage->tried, 1);
	if (gave_way)
		complain("%s: %s was not refused", what, how);
}

static void
nap(void)
{
	(void)nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
}

/* Until the counter has come up to it; false after the deadline. */
static bool
await(_Atomic uint32_t *counter, uint32_t value)
{
	time_t end = time(NULL) + DEADLINE_S;

	while (atomic_load(counter) < value) {
		if (time(NULL) > end)
			return false;
		nap();
	}
	return true;
}

/* ---- what is mapped and open ------------------------------------------- */

static void
parse_line(const char *line)
{
	struct mapping *m = &maps.m[maps.n];
	char perms[5], path[256] = "";

	if (maps.n == MAPPINGS_MAX)
		return;
	if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %*s %*s %*s %255s",
	    &m->from, &m->to, perms, path) < 3)
		return;
	m->writable = perms[1] == 'w';
	m->executable = perms[2] == 'x';
	m->shared = perms[3] == 's';
	m->name[0] = '\0';
	if (strncmp(path, PREFIX, strlen(PREFIX)) == 0)
		(void)snprintf(m->name, sizeof m->name, "%.60s",
		    path + strlen(PREFIX));
	maps.n++;
}

static bool
read_maps(pid_t pid)
{
	char path[64], line[512];
	FILE *f;

	(void)snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
	maps.n = 0;
	if ((f = fopen(path, "re")) == NULL)
		return false;
	while (fgets(line, sizeof line, f) != NULL)
		parse_line(line);
	(void)fclose(f);
	return maps.n > 0;
}

static const struct mapping *
find(const char *name, bool writable)
{
	unsigned i;

	for (i = 0; i < maps.n; i++)
		if (strcmp(maps.m[i].name, name) == 0 &&
		    maps.m[i].writable == writable)
			return &maps.m[i];
	return NULL;
}

/* May a worker in that slot have this zone writable?  Readable at all? */
static bool
is_own(const char *name, uint32_t slot)
{
	unsigned from, to;

	if (sscanf(name, "ring-%u-%u", &from, &to) == 2)
		return from == slot;
	return (sscanf(name, "own-%u", &from) == 1 ||
	    sscanf(name, "index-%u", &from) == 1) && from == slot;
}

static bool
is_readable(const char *name, uint32_t slot)
{
	unsigned from, to;

	return sscanf(name, "ring-%u-%u", &from, &to) != 2 || to == slot ||
	    from == slot;
}

static void
must_map(const char *name, bool writable)
{
	if (find(name, writable) == NULL)
		complain("natsd-%s is not mapped %s", name, writable ?
		    "writable" : "for reading");
}

/* All the zones that a worker in that slot needs are there. */
static void
check_present(uint32_t slot)
{
	char name[64];
	unsigned i;

	must_map("control", false);
	for (i = 0; i < SLOTS; i++) {
		(void)snprintf(name, sizeof name, "own-%u", i);
		must_map(name, i == slot);
		(void)snprintf(name, sizeof name, "index-%u", i);
		must_map(name, i == slot);
		if (i == slot)
			continue;
		(void)snprintf(name, sizeof name, "ring-%u-%u", i, slot);
		must_map(name, false);
		(void)snprintf(name, sizeof name, "ring-%u-%u", slot, i);
		must_map(name, true);
	}
}

/* Nothing is shared writable but what is that process' alone. */
static void
check_mappings(bool master, uint32_t slot)
{
	const struct mapping *m;
	unsigned i;

	for (i = 0; i < maps.n; i++) {
		m = &maps.m[i];
		if (!m->shared || m->from == (uintptr_t)stage)
			continue;
		if (m->executable)
			complain("shared mapping natsd-%s is executable",
			    m->name);
		if (m->writable && (master ? strcmp(m->name, "control") != 0 :
		    !is_own(m->name, slot)))
			complain("natsd-%s is mapped writable", m->name);
		if (!master && !is_readable(m->name, slot))
			complain("natsd-%s is mapped: none of its business",
			    m->name);
	}
	if (!master)
		check_present(slot);
}

/* No descriptor of a zone is open. */
static void
check_descriptors(pid_t pid)
{
	char dir[64], path[400], to[256];
	struct dirent *e;
	ssize_t n;
	DIR *d;

	(void)snprintf(dir, sizeof dir, "/proc/%d/fd", (int)pid);
	if ((d = opendir(dir)) == NULL) {
		complain("%s: %s", dir, strerror(errno));
		return;
	}
	while ((e = readdir(d)) != NULL) {
		(void)snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		if ((n = readlink(path, to, sizeof to - 1)) == -1)
			continue;
		to[n] = '\0';
		if (strncmp(to, "/memfd:", 7) == 0)
			complain("%s is open: %s", path, to);
	}
	(void)closedir(d);
}

/* ---- attempts on a mapping of one's own -------------------------------- */

static sigjmp_buf fault;

static void
on_fault(int number)
{
	(void)number;
	siglongjmp(fault, 1);
}

static bool
stores(volatile uint8_t *p)
{
	struct sigaction sa = { .sa_handler = on_fault }, old;
	volatile bool stored = false;

	(void)sigaction(SIGSEGV, &sa, &old);
	if (sigsetjmp(fault, 1) == 0) {
		*p = MARK;
		stored = true;
	}
	(void)sigaction(SIGSEGV, &old, NULL);
	return stored;
}

static bool
protects(uint8_t *p, size_t len)
{
	return mprotect(p, len, PROT_READ | PROT_WRITE) == 0 ||
	    mprotect(p, len, PROT_WRITE) == 0 ||
	    mprotect(p, len, PROT_READ | PROT_WRITE | PROT_EXEC) == 0;
}

/* A second mapping of the same, then that one grown. */
static bool
remaps(uint8_t *p, size_t len)
{
	uint8_t *twin, *grown;
	size_t size = len;
	bool gave_way;

	twin = mremap(p, 0, len, MREMAP_MAYMOVE);
	if (twin == MAP_FAILED)
		return false;
	gave_way = protects(twin, len);
	grown = mremap(twin, len, 2 * len, MREMAP_MAYMOVE);
	if (grown != MAP_FAILED) {
		twin = grown;
		size = 2 * len;
		gave_way = gave_way || protects(twin, size);
	}
	(void)munmap(twin, size);
	return gave_way;
}

static bool
writes_mem(pid_t pid, uintptr_t at)
{
	uint8_t mark = MARK;
	char path[64];
	bool gave_way;
	int fd;

	(void)snprintf(path, sizeof path, "/proc/%d/mem", (int)pid);
	if ((fd = open(path, O_RDWR | O_CLOEXEC)) == -1)
		return false;
	gave_way = pwrite(fd, &mark, 1, (off_t)at) == 1;
	(void)close(fd);
	return gave_way;
}

static bool
writes_vm(pid_t pid, uintptr_t at)
{
	uint8_t mark = MARK;
	struct iovec from = { &mark, 1 }, to = { (void *)at, 1 };

	return process_vm_writev(pid, &from, 1, &to, 1, 0) == 1;
}

static bool
reads_vm(pid_t pid, uintptr_t at)
{
	uint8_t byte;
	struct iovec from = { (void *)at, 1 }, to = { &byte, 1 };

	return process_vm_readv(pid, &to, 1, &from, 1, 0) == 1;
}

static bool
kernel_stores(uint8_t *p)
{
	int fd[2];
	bool gave_way;

	if (pipe(fd) == -1)
		return true;
	gave_way = write(fd[1], "Z", 1) != 1 || read(fd[0], p, 1) == 1;
	(void)close(fd[0]);
	(void)close(fd[1]);
	return gave_way;
}

static bool
opens_mapping(pid_t pid, const struct mapping *m)
{
	char path[128];
	int fd;

	(void)snprintf(path, sizeof path,
	    "/proc/%d/map_files/%" PRIxPTR "-%" PRIxPTR, (int)pid, m->from,
	    m->to);
	if ((fd = open(path, O_RDWR | O_CLOEXEC)) == -1)
		return false;
	(void)close(fd);
	return true;
}

static void
try_mapping(const struct mapping *m)
{
	uint8_t *base = (uint8_t *)m->from, *p = (uint8_t *)m->to - 1;
	size_t len = m->to - m->from;
	uint8_t before = *p;

	attempt(stores(p), "a store", m->name);
	attempt(protects(base, len), "mprotect", m->name);
	attempt(remaps(base, len), "mremap", m->name);
	attempt(syscall(SYS_remap_file_pages, base, len, 0, 0, 0) == 0 &&
	    protects(base, len), "remap_file_pages", m->name);
	attempt(writes_mem(getpid(), (uintptr_t)p), "/proc/self/mem",
	    m->name);
	attempt(writes_vm(getpid(), (uintptr_t)p), "process_vm_writev",
	    m->name);
	attempt(kernel_stores(p), "read()", m->name);
	attempt(madvise(p + 1 - ZONE_PAGE, ZONE_PAGE, MADV_REMOVE) == 0,
	    "madvise", m->name);
	attempt(opens_mapping(getpid(), m), "/proc/self/map_files", m->name);
	attempt(stores(p), "a store after all that", m->name);
	if (*p != before)
		complain("natsd-%s has changed", m->name);
}

/* All that is shared and not to be written. */
static void
try_mappings(void)
{
	unsigned i, n = 0;

	for (i = 0; i < maps.n; i++) {
		if (maps.m[i].shared && !maps.m[i].writable &&
		    maps.m[i].name[0] != '\0') {
			try_mapping(&maps.m[i]);
			n++;
		}
	}
	if (n == 0)
		complain("nothing is mapped for reading");
}

/* ---- attempts on another process --------------------------------------- */

/* Something in that folder of /proc can be opened. */
static bool
opens_folder(pid_t pid, const char *name)
{
	char dir[64], path[400];
	struct dirent *e;
	bool gave_way = false;
	int fd;
	DIR *d;

	(void)snprintf(dir, sizeof dir, "/proc/%d/%s", (int)pid, name);
	if ((d = opendir(dir)) == NULL)
		return false;
	while (!gave_way && (e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		if ((fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) ==
		    -1)
			continue;
		gave_way = true;
		(void)close(fd);
	}
	(void)closedir(d);
	return gave_way;
}

/* Without reading the folder, a name may still be guessed. */
static bool
opens_descriptor(pid_t pid)
{
	char path[64];
	int i, fd;

	for (i = 3; i < FDS_TRIED; i++) {
		(void)snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid,
		    i);
		if (chmod(path, 0666) == 0)
			return true;
		if ((fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK)) != -1) {
			(void)close(fd);
			return true;
		}
	}
	return false;
}

static bool
takes_descriptor(pid_t pid)
{
#if defined(SYS_pidfd_open) && defined(SYS_pidfd_getfd)
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0), i, fd;
	bool gave_way = false;

	if (pidfd == -1)
		return false;
	for (i = 0; i < FDS_TRIED && !gave_way; i++) {
		fd = (int)syscall(SYS_pidfd_getfd, pidfd, i, 0);
		if (fd == -1)
			continue;
		gave_way = true;
		(void)close(fd);
	}
	(void)close(pidfd);
	return gave_way;
#else
	(void)pid;
	return false;
#endif
}

static bool
traces(pid_t pid)
{
	int status;

	if (ptrace(PTRACE_ATTACH, pid, NULL, NULL) == -1)
		return false;
	(void)waitpid(pid, &status, __WALL);
	(void)ptrace(PTRACE_DETACH, pid, NULL, NULL);
	return true;
}

static void
try_process(const struct member *other, const char *what)
{
	pid_t pid = atomic_load(&other->pid);
	uintptr_t at = (uintptr_t)atomic_load(&other->target);

	attempt(writes_vm(pid, at), "process_vm_writev", what);
	attempt(reads_vm(pid, at), "process_vm_readv", what);
	attempt(writes_mem(pid, at), "/proc/PID/mem", what);
	attempt(opens_folder(pid, "fd"), "/proc/PID/fd", what);
	attempt(opens_folder(pid, "map_files"), "/proc/PID/map_files", what);
	attempt(opens_descriptor(pid), "/proc/PID/fd/N", what);
	attempt(takes_descriptor(pid), "pidfd_getfd", what);
	attempt(traces(pid), "ptrace", what);
}

static void
try_processes(void)
{
	unsigned i;

	for (i = 0; i < MEMBERS; i++)
		if (atomic_load(&stage->member[i].pid) != getpid())
			try_process(&stage->member[i], i == 0 ? "the master" :
			    "a worker");
}

/* ---- in the daemon ----------------------------------------------------- */

static void
enter(struct member *me, uint32_t slot, const struct mapping *mine)
{
	atomic_store(&me->slot, slot);
	atomic_store(&me->target, mine != NULL ? mine->to - 1 : 0);
	atomic_store(&me->pid, getpid());
}

static void
master_tries(void)
{
	who = "master";
	atomic_store(&stage->uid, getuid());
	atomic_store(&stage->gid, getgid());
	if (!read_maps(getpid()))
		complain("cannot read its maps");
	check_mappings(true, 0);
	must_map("control", true);
	enter(&stage->member[0], 0, find("control", true));
	try_mappings();
}

/* By the own zone that it has mapped writable; -1 = none. */
static int
own_slot(void)
{
	char name[64];
	int i;

	for (i = 0; i < SLOTS; i++) {
		(void)snprintf(name, sizeof name, "own-%d", i);
		if (find(name, true) != NULL)
			return i;
	}
	return -1;
}

static void
worker_tries(void)
{
	uint32_t number = atomic_fetch_add(&stage->workers, 1) + 1;
	char name[64];
	int slot;

	who = "worker";
	if (number > WORKERS) {
		complain("there are more than %d workers", WORKERS);
		return;
	}
	if (!read_maps(getpid()) || (slot = own_slot()) == -1) {
		complain("cannot find its zones");
		slot = 0;
	}
	check_mappings(false, (uint32_t)slot);
	check_descriptors(getpid());
	(void)snprintf(name, sizeof name, "index-%d", slot);
	enter(&stage->member[number], (uint32_t)slot, find(name, true));
	try_mappings();
	atomic_fetch_add(&stage->done, 1);
	if (!await(&stage->done, WORKERS))
		complain("the others do not come");
	if (atomic_load(&stage->core_dumps) == 0)
		try_processes();
	/* Nobody becomes a worker that serves before all have tried. */
	atomic_fetch_add(&stage->done, 1);
	if (!await(&stage->done, 2 * WORKERS))
		complain("the others do not end");
}

int
__wrap_sandbox_seal(bool core_dumps)
{
	int result = __real_sandbox_seal(core_dumps);

	if (atomic_load(&stage->member[0].pid) == 0)
		master_tries();
	else
		worker_tries();
	return result;
}

void
__wrap_master_ready(struct master *m)
{
	atomic_store(&stage->ready, 1);
	__real_master_ready(m);
}

static void
conf_complaint(void *ctx, bool warning, const char *text)
{
	(void)ctx;
	(void)warning;
	(void)fprintf(stderr, "configuration: %s\n", text);
}

static _Noreturn void
daemon_main(bool core_dumps)
{
	char *argv[] = { strdup("natsd"), strdup("-a"), strdup("127.0.0.1"),
	    strdup("-p"), strdup("-1"), strdup("-w"), strdup("3"), NULL };
	static const struct master_warnings none;
	static struct options opt;
	static struct conf conf;
	char err[1024];

	if (options_parse(7, argv, &opt, err, sizeof err) == -1 ||
	    conf_load(NULL, &opt.over, conf_complaint, NULL, &conf) == -1)
		_exit(EXIT_FAILED);
	conf.core_dumps = core_dumps;
	conf.watchdog_ms = 0; /* they wait for each other before they serve */
	conf.max_connections = 100;
	exit(master_main(&opt, &conf, "natsd", &none));
}

/* ---- outside ----------------------------------------------------------- */

/* As another process of the user that the daemon runs as. */
static void
become_user(void)
{
	uid_t uid = atomic_load(&stage->uid);
	gid_t gid = atomic_load(&stage->gid);

	if (geteuid() != 0 || uid == 0)
		return;
	if (setgroups(0, NULL) == -1 || setresgid(gid, gid, gid) == -1 ||
	    setresuid(uid, uid, uid) == -1)
		complain("cannot become user %u: %s", (unsigned)uid,
		    strerror(errno));
}

static void
outsider(void)
{
	who = "outsider";
	become_user();
	if (getuid() == 0)
		return; /* root may everything */
	if (atomic_load(&stage->core_dumps) == 0)
		try_processes();
	/* What it is the absence of that the others are refused by. */
	else if (!reads_vm(atomic_load(&stage->member[1].pid),
	    (uintptr_t)atomic_load(&stage->member[1].target)))
		(void)printf("core_dumps = on: this system protects "
		    "processes of one user anyhow\n");
}

static void
run_outsider(void)
{
	int status;
	pid_t pid;

	(void)fflush(stdout);
	if ((pid = fork()) == 0) {
		outsider();
		(void)fflush(stdout);
		_exit(0);
	}
	if (pid == -1 || waitpid(pid, &status, 0) != pid || status != 0)
		complain("the outsider failed");
}

/* The daemon as root sees it when it serves. */
static void
look_as_root(void)
{
	const struct member *m;
	unsigned i;

	if (geteuid() != 0)
		return;
	who = "seen by root";
	for (i = 0; i < MEMBERS; i++) {
		m = &stage->member[i];
		if (!read_maps(atomic_load(&m->pid))) {
			complain("no maps of %d", (int)atomic_load(&m->pid));
			continue;
		}
		check_mappings(i == 0, atomic_load(&m->slot));
		if (i > 0)
			check_descriptors(atomic_load(&m->pid));
	}
}

static void
run_daemon(bool core_dumps)
{
	int status;
	pid_t pid;

	memset(stage, 0, sizeof *stage);
	atomic_store(&stage->core_dumps, core_dumps);
	(void)fflush(stdout);
	if ((pid = fork()) == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		daemon_main(core_dumps);
	}
	who = "test";
	if (pid == -1)
		complain("fork: %s", strerror(errno));
	if (!await(&stage->ready, 1))
		complain("the daemon does not get ready");
	else {
		look_as_root();
		run_outsider();
	}
	who = "test";
	(void)kill(pid, SIGTERM);
	if (waitpid(pid, &status, 0) != pid || status != 0)
		complain("the daemon ended with status %x", (unsigned)status);
	(void)printf("core_dumps = %s: %u attempts, %u complaints\n",
	    core_dumps ? "on" : "off", atomic_load(&stage->tried),
	    atomic_load(&stage->gave_way));
}

int
main(void)
{
	uint32_t failed;

	stage = mmap(NULL, sizeof *stage, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (stage == MAP_FAILED) {
		perror("mmap");
		return EXIT_FAILURE;
	}
	run_daemon(false);
	failed = atomic_load(&stage->gave_way);
	run_daemon(true);
	failed += atomic_load(&stage->gave_way);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
