/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a child maps read-only stays so.  A forked child with the credentials
 * of a worker (another user if started by root, its parent not dumpable) maps
 * a zone for reading, closes the descriptors, and then tries everything we
 * know to write to it or to make the mapping writable.  One child for each
 * way; the parent looks whether the zone has changed.
 */
#include <config.h>

#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <linux/userfaultfd.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shm/own.h"
#include "shm/zone.h"

#define MAGIC 0x524f4e4cu
#define PAGES 16
#define NOBODY 65534
#define MARK 0x5a

/* A child's findings. */
enum {
	HELD = 0, /* the attempt was refused */
	GAVE_WAY = 100, /* it was not */
	NO_TEST = 101 /* not possible here */
};

static struct zone_fds fds;
static struct zone zone; /* the child's read-only mapping */
static pid_t parent;

static void
must(int ok, const char *what)
{
	if (!ok) {
		perror(what);
		_exit(NO_TEST);
	}
}

static uint8_t *
target(void)
{
	return zone.base + 2 * ZONE_PAGE;
}

/* ---- the attempts ------------------------------------------------------ */

static int
store(void)
{
	*(volatile uint8_t *)target() = MARK;
	return GAVE_WAY; /* not reached: SIGSEGV */
}

static int
protect(void)
{
	if (mprotect(target(), ZONE_PAGE, PROT_READ | PROT_WRITE) == 0)
		return GAVE_WAY;
	if (mprotect(zone.base, zone.size, PROT_WRITE) == 0)
		return GAVE_WAY;
	return mprotect(zone.base, zone.size,
	    PROT_READ | PROT_WRITE | PROT_EXEC) == 0 ? GAVE_WAY : HELD;
}

static int
unprotect(void *p)
{
	if (p == MAP_FAILED)
		return HELD;
	return mprotect(p, ZONE_PAGE, PROT_READ | PROT_WRITE) == 0 ?
	    GAVE_WAY : HELD;
}

/* Double it (a size of 0 makes a second mapping), grow a part of it over the
 * next, move a part elsewhere; then protect. */
static int
remap(void)
{
	size_t four = 4 * ZONE_PAGE;
	void *place;

	place = mmap(NULL, four, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
	    0);
	must(place != MAP_FAILED, "mmap");
	if (unprotect(mremap(zone.base, 0, four, MREMAP_MAYMOVE)) != HELD ||
	    unprotect(mremap(zone.base + four, ZONE_PAGE, four,
	    MREMAP_MAYMOVE)) != HELD)
		return GAVE_WAY;
	return unprotect(mremap(zone.base + 2 * four, four, four,
	    MREMAP_MAYMOVE | MREMAP_FIXED, place));
}

/* Grown mappings reach beyond the file, not into something writable. */
static int
grow(void)
{
	void *p;

	p = mremap(zone.base, zone.size, 4 * zone.size, MREMAP_MAYMOVE);
	if (p == MAP_FAILED)
		return HELD;
	return mprotect(p, 4 * zone.size, PROT_READ | PROT_WRITE) == 0 ?
	    GAVE_WAY : HELD;
}

static int
file_pages(void)
{
	if (syscall(SYS_remap_file_pages, zone.base, 4 * ZONE_PAGE, 0, 1, 0)
	    == -1)
		return HELD;
	return mprotect(zone.base, ZONE_PAGE, PROT_READ | PROT_WRITE) == 0 ?
	    GAVE_WAY : HELD;
}

static int
proc_mem(void)
{
	uint8_t mark = MARK;
	int fd = open("/proc/self/mem", O_RDWR);

	if (fd == -1)
		return HELD;
	return pwrite(fd, &mark, 1, (off_t)(uintptr_t)target()) == 1 ?
	    GAVE_WAY : HELD;
}

static int
vm_writev(void)
{
	uint8_t mark = MARK;
	struct iovec from = { &mark, 1 }, to = { target(), 1 };

	return process_vm_writev(getpid(), &from, 1, &to, 1, 0) == 1 ?
	    GAVE_WAY : HELD;
}

/* The kernel as our hand: system calls that store where we point. */
static int
read_into(void)
{
	int p[2];

	must(pipe(p) == 0, "pipe");
	must(write(p[1], "Z", 1) == 1, "write");
	if (read(p[0], target(), 1) == 1)
		return GAVE_WAY;
	must(socketpair(AF_UNIX, SOCK_STREAM, 0, p) == 0, "socketpair");
	must(write(p[1], "Z", 1) == 1, "write");
	if (recv(p[0], target(), 1, 0) == 1)
		return GAVE_WAY;
	return fstat(0, (struct stat *)(void *)target()) == 0 ?
	    GAVE_WAY : HELD;
}

/* Throwing its pages away would be a write too. */
static int
discard(void)
{
	if (madvise(target(), ZONE_PAGE, MADV_REMOVE) == 0)
		return GAVE_WAY;
#ifdef MADV_POPULATE_WRITE
	if (madvise(target(), ZONE_PAGE, MADV_POPULATE_WRITE) == 0)
		return GAVE_WAY;
#endif
	(void)madvise(target(), ZONE_PAGE, MADV_DONTNEED);
	return target()[0] == 0 ? HELD : GAVE_WAY;
}

static int
user_fault(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	int fd;

	fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	if (fd == -1)
		return HELD;
	if (ioctl(fd, UFFDIO_API, &api) == -1)
		return HELD;
	reg.range.start = (uintptr_t)(zone.base + 8 * ZONE_PAGE);
	reg.range.len = ZONE_PAGE;
	return ioctl(fd, UFFDIO_REGISTER, &reg) == 0 ? GAVE_WAY : HELD;
}

/* This very process, traced by a child of its own. */
static int
poke(void)
{
	long mark = MARK;
	int status, result;
	pid_t pid;

	if ((pid = fork()) == 0) {
		result = HELD;
		if (ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) == 0) {
			(void)waitpid(getppid(), &status, __WALL);
			if (ptrace(PTRACE_POKEDATA, getppid(), target(),
			    (void *)mark) == 0)
				result = GAVE_WAY;
			(void)ptrace(PTRACE_DETACH, getppid(), NULL, NULL);
		}
		_exit(result);
	}
	must(pid != -1, "fork");
	while (waitpid(pid, &status, 0) == -1)
		must(errno == EINTR, "waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : HELD;
}

/* ---- files ------------------------------------------------------------- */

/* Can a file be opened for writing that is our zone? */
static int
writable_file(const char *path)
{
	struct zone_head_shm head;
	void *p;
	int fd;

	if ((fd = open(path, O_RDWR)) == -1)
		return HELD;
	if (pread(fd, &head, sizeof head, 0) != sizeof head ||
	    head.magic != MAGIC)
		return HELD; /* some other file */
	p = mmap(NULL, ZONE_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return p != MAP_FAILED ? GAVE_WAY : HELD;
}

/* Every name in a folder of /proc. */
static int
folder(const char *dir)
{
	char path[400];
	struct dirent *e;
	DIR *d;

	if ((d = opendir(dir)) == NULL)
		return HELD;
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		if (writable_file(path) == GAVE_WAY)
			return GAVE_WAY;
	}
	(void)closedir(d);
	return HELD;
}

static int
own_descriptors(void)
{
	return folder("/proc/self/fd");
}

static int
own_mappings(void)
{
	return folder("/proc/self/map_files");
}

static int
parents_descriptors(void)
{
	char dir[64], path[128];

	(void)snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)parent,
	    fds.rw);
	if (writable_file(path) == GAVE_WAY || chmod(path, 0666) == 0)
		return GAVE_WAY;
	(void)snprintf(dir, sizeof dir, "/proc/%d/fd", (int)parent);
	if (folder(dir) == GAVE_WAY)
		return GAVE_WAY;
	(void)snprintf(dir, sizeof dir, "/proc/%d/map_files", (int)parent);
	return folder(dir);
}

static int
parents_descriptor_taken(void)
{
#if defined(SYS_pidfd_open) && defined(SYS_pidfd_getfd)
	int pidfd = (int)syscall(SYS_pidfd_open, parent, 0);

	if (pidfd == -1)
		return HELD;
	return syscall(SYS_pidfd_getfd, pidfd, fds.rw, 0) != -1 ?
	    GAVE_WAY : HELD;
#else
	return HELD;
#endif
}

static int
parents_memory(void)
{
	uint8_t mark = MARK;
	struct iovec from = { &mark, 1 }, to = { &mark, 1 };
	char path[64];

	/* An address that the parent has: the child is its copy. */
	if (process_vm_writev(parent, &from, 1, &to, 1, 0) == 1)
		return GAVE_WAY;
	(void)snprintf(path, sizeof path, "/proc/%d/mem", (int)parent);
	return open(path, O_RDWR) != -1 ? GAVE_WAY : HELD;
}

/* While the read-only descriptor is still open it gives nothing either. */
static int
readonly_descriptor(void)
{
	char path[64];

	(void)snprintf(path, sizeof path, "/proc/self/fd/%d", fds.ro);
	if (mmap(NULL, ZONE_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fds.ro,
	    0) != MAP_FAILED)
		return GAVE_WAY;
	if (fcntl(fds.ro, F_SETFL, O_RDWR) == 0 &&
	    (fcntl(fds.ro, F_GETFL) & O_ACCMODE) != O_RDONLY)
		return GAVE_WAY;
	if (pwrite(fds.ro, "Z", 1, 2 * ZONE_PAGE) == 1 ||
	    fallocate(fds.ro, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
	    ZONE_PAGE) == 0 || ftruncate(fds.ro, 0) == 0)
		return GAVE_WAY;
	/* As another user; the same one could change the file's mode, which
	 * is why descriptors are closed before a client is served. */
	return geteuid() == NOBODY ? writable_file(path) : HELD;
}

static const struct {
	const char *name;
	int (*attempt)(void);
	int signal; /* that ends the child */
	int keep; /* the read-only descriptor stays open */
} attempts[] = {
	{ "store", store, SIGSEGV, 0 },
	{ "mprotect", protect, 0, 0 },
	{ "mremap and mprotect", remap, 0, 0 },
	{ "growing mremap", grow, 0, 0 },
	{ "remap_file_pages", file_pages, 0, 0 },
	{ "/proc/self/mem", proc_mem, 0, 0 },
	{ "process_vm_writev", vm_writev, 0, 0 },
	{ "read, recv, fstat into it", read_into, 0, 0 },
	{ "madvise", discard, 0, 0 },
	{ "userfaultfd", user_fault, 0, 0 },
	{ "ptrace", poke, 0, 0 },
	{ "own descriptors", own_descriptors, 0, 0 },
	{ "own mappings", own_mappings, 0, 0 },
	{ "the parent's descriptors", parents_descriptors, 0, 0 },
	{ "pidfd_getfd", parents_descriptor_taken, 0, 0 },
	{ "the parent's memory", parents_memory, 0, 0 },
	{ "the read-only descriptor", readonly_descriptor, 0, 1 },
};
#define NATTEMPTS (sizeof attempts / sizeof attempts[0])

/* ---- the test ---------------------------------------------------------- */

/* As a worker does before its first client. */
static void
become_worker(int keep)
{
	int ro = fds.ro;

	must(zone_map_ro(&fds, MAGIC, &zone) == 0, "zone_map_ro");
	must(target()[0] == 0, "zone content");
	(void)close(fds.rw);
	if (!keep)
		(void)close(ro);
	if (geteuid() == 0) {
		must(setgroups(0, NULL) == 0, "setgroups");
		must(setresgid(NOBODY, NOBODY, NOBODY) == 0, "setresgid");
		must(setresuid(NOBODY, NOBODY, NOBODY) == 0, "setresuid");
	}
	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
	/* Dumpable on purpose, where that makes an attempt more likely to
	 * succeed: the mapping itself has to hold. */
	must(prctl(PR_SET_DUMPABLE, 1) == 0, "dumpable");
}

static int
status_of(unsigned i)
{
	int status;
	pid_t pid;

	if ((pid = fork()) == 0) {
		(void)signal(SIGSEGV, SIG_DFL);
		become_worker(attempts[i].keep);
		_exit(attempts[i].attempt());
	}
	if (pid == -1 || waitpid(pid, &status, 0) != pid) {
		perror("fork");
		exit(EXIT_FAILURE);
	}
	return status;
}

/* The zone is as it was: head, then zeros. */
static int
unchanged(const struct zone *rw)
{
	size_t off;

	for (off = sizeof(struct zone_head_shm); off < rw->size; off++)
		if (rw->base[off] != 0)
			return 0;
	return ((const struct zone_head_shm *)(const void *)rw->base)->magic ==
	    MAGIC;
}

int
main(void)
{
	struct zone rw;
	unsigned i;
	int status, failed = 0, held;

	parent = getpid();
	if (zone_create("test", MAGIC, PAGES * ZONE_PAGE, &fds) == -1 ||
	    zone_map_rw(&fds, MAGIC, &rw) == -1) {
		perror("zone");
		return EXIT_FAILURE;
	}
	/* As the master and every child do. */
	if (prctl(PR_SET_DUMPABLE, 0) == -1)
		perror("prctl");
	for (i = 0; i < NATTEMPTS; i++) {
		status = status_of(i);
		if (attempts[i].signal != 0)
			held = WIFSIGNALED(status) &&
			    WTERMSIG(status) == attempts[i].signal;
		else
			held = WIFEXITED(status) &&
			    WEXITSTATUS(status) == HELD;
		if (!unchanged(&rw))
			held = 0;
		(void)printf("%s: %s\n", attempts[i].name,
		    held ? "refused" : "NOT REFUSED");
		(void)fflush(stdout);
		if (!held) {
			(void)fprintf(stderr, "%s: status %x\n",
			    attempts[i].name, (unsigned)status);
			failed++;
		}
	}
	/* The test would notice: the writer's own store is seen. */
	rw.base[2 * ZONE_PAGE] = MARK;
	if (unchanged(&rw))
		failed++;
	/* A leak checker at exit wants to look at us. */
	(void)prctl(PR_SET_DUMPABLE, 1);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
