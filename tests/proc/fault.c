/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A natsd whose memory, descriptors and clock fail when a test says so: this
 * file takes the place of the calls below in natsd_fault, by --wrap at its
 * link and, without sanitizers, by malloc() and friends of its own, so that
 * those of the libraries fail too.
 *
 * The test says so in a file that NATSD_FAULT names, and that all processes
 * of the daemon map (struct fault; tests/wire/33_exhaustion.py has the same).
 * It can be changed at any time, for one process or for all.
 */
#include <config.h>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define SANITIZED 1
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

/* Bits of fault.kinds. */
enum {
	FAULT_MEMORY = 1, /* malloc() and friends */
	FAULT_MAP = 2,	  /* mmap() */
	FAULT_FD = 4,	  /* whatever makes a descriptor, but accept4() */
	FAULT_ACCEPT = 8,
	FAULT_WATCH = 16, /* epoll_ctl() that adds */
	FAULT_FORK = 32,
};

struct fault {
	_Atomic int32_t pid;	/* whose calls; 0: everybody's */
	_Atomic uint32_t kinds; /* which calls */
	_Atomic uint32_t error; /* the errno that they set */
	_Atomic uint32_t more;	/* not only one: all from there on */
	_Atomic uint64_t nth;	/* the first that fails; 0: none */
	_Atomic uint64_t calls; /* that were asked of since all this was set */
	_Atomic uint64_t fired; /* that failed */
	_Atomic uint64_t allocs, frees; /* of that pid */
	_Atomic int64_t real_ns; /* CLOCK_REALTIME is off by so much */
};

static struct fault *shm;
/* In calls of the C library that do not survive a failure themselves. */
static bool spared;

int __real_open(const char *path, int flags, ...);

/* Whether this call is one that fails. */
static bool
fails(uint32_t kind)
{
	uint64_t nth, n;
	int32_t pid;

	if (shm == NULL || spared || (shm->kinds & kind) == 0 ||
	    (nth = shm->nth) == 0)
		return false;
	if ((pid = shm->pid) != 0 && pid != getpid())
		return false;
	n = atomic_fetch_add(&shm->calls, 1) + 1;
	if (n < nth || (n > nth && shm->more == 0))
		return false;
	atomic_fetch_add(&shm->fired, 1);
	errno = (int)shm->error;
	return true;
}

static void __attribute__((constructor))
attach(void)
{
	const char *path = getenv("NATSD_FAULT");
	void *p;
	int fd;

	if (path == NULL || (fd = __real_open(path, O_RDWR | O_CLOEXEC)) == -1)
		return;
	p = mmap(NULL, sizeof *shm, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	(void)close(fd);
	if (p != MAP_FAILED)
		shm = p;
}

/* ---- memory ---------------------------------------------------------- */

#ifdef SANITIZED
#define REAL(name) __real_##name
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
void __real_free(void *p);
#else
#define REAL(name) __libc_##name
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t align, size_t size);
void __libc_free(void *p);
#define __libc_aligned_alloc __libc_memalign
#endif

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);
void __wrap_free(void *p);

static void
count(_Atomic uint64_t *n)
{
	if (shm->pid != 0 && shm->pid == getpid())
		atomic_fetch_add(n, 1);
}

static void *
made(void *p)
{
	if (shm != NULL && p != NULL)
		count(&shm->allocs);
	return p;
}

void *
__wrap_malloc(size_t size)
{
	return fails(FAULT_MEMORY) ? NULL : made(REAL(malloc)(size));
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return fails(FAULT_MEMORY) ? NULL : made(REAL(calloc)(n, size));
}

void *
__wrap_realloc(void *p, size_t size)
{
	void *np;

	if (fails(FAULT_MEMORY))
		return NULL;
	np = REAL(realloc)(p, size);
	return p == NULL ? made(np) : np;
}

void *
__wrap_aligned_alloc(size_t align, size_t size)
{
	return fails(FAULT_MEMORY) ? NULL :
	    made(REAL(aligned_alloc)(align, size));
}

void
__wrap_free(void *p)
{
	if (shm != NULL && p != NULL)
		count(&shm->frees);
	REAL(free)(p);
}

#ifndef SANITIZED
void *
malloc(size_t size)
{
	return __wrap_malloc(size);
}

void *
calloc(size_t n, size_t size)
{
	return __wrap_calloc(n, size);
}

void *
realloc(void *p, size_t size)
{
	return __wrap_realloc(p, size);
}

void *
aligned_alloc(size_t align, size_t size)
{
	return __wrap_aligned_alloc(align, size);
}

void
free(void *p)
{
	__wrap_free(p);
}
#endif

/* ---- the kernel ------------------------------------------------------ */

/* A call with its arguments, which fails with -1. */
#define WRAP(kind, name, params, args)              \
	int __real_##name params;                   \
	int __wrap_##name params;                   \
	int                                         \
	__wrap_##name params                        \
	{                                           \
		if (fails(kind))                    \
			return -1;                  \
		return __real_##name args;          \
	}

WRAP(FAULT_FD, memfd_create, (const char *name, unsigned flags),
    (name, flags))
WRAP(FAULT_FD, socketpair, (int domain, int type, int protocol, int fds[2]),
    (domain, type, protocol, fds))
WRAP(FAULT_FD, socket, (int domain, int type, int protocol),
    (domain, type, protocol))
WRAP(FAULT_FD, eventfd, (unsigned count, int flags), (count, flags))
WRAP(FAULT_FD, epoll_create1, (int flags), (flags))
WRAP(FAULT_FD, signalfd, (int fd, const sigset_t *mask, int flags),
    (fd, mask, flags))
WRAP(FAULT_ACCEPT, accept4, (int fd, struct sockaddr *addr, socklen_t *len,
    int flags), (fd, addr, len, flags))
WRAP(FAULT_FORK, fork, (void), ())

int __wrap_open(const char *path, int flags, mode_t mode);
int
__wrap_open(const char *path, int flags, mode_t mode)
{
	return fails(FAULT_FD) ? -1 : __real_open(path, flags, mode);
}

int __real_epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev);
int __wrap_epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev);
int
__wrap_epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev)
{
	if (op == EPOLL_CTL_ADD && fails(FAULT_WATCH))
		return -1;
	return __real_epoll_ctl(epfd, op, fd, ev);
}

void *__real_mmap(void *addr, size_t len, int prot, int flags, int fd,
    off_t off);
void *__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd,
    off_t off);
void *
__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	return fails(FAULT_MAP) ? MAP_FAILED :
	    __real_mmap(addr, len, prot, flags, fd, off);
}

/* ---- users (nss_database.c of glibc 2.36 crashes without memory) ------ */

struct passwd *__real_getpwnam(const char *name);
struct passwd *__wrap_getpwnam(const char *name);
struct passwd *
__wrap_getpwnam(const char *name)
{
	struct passwd *pw;

	spared = true;
	pw = __real_getpwnam(name);
	spared = false;
	return pw;
}

struct group *__real_getgrnam(const char *name);
struct group *__wrap_getgrnam(const char *name);
struct group *
__wrap_getgrnam(const char *name)
{
	struct group *gr;

	spared = true;
	gr = __real_getgrnam(name);
	spared = false;
	return gr;
}

int __real_initgroups(const char *user, gid_t group);
int __wrap_initgroups(const char *user, gid_t group);
int
__wrap_initgroups(const char *user, gid_t group)
{
	int status;

	spared = true;
	status = __real_initgroups(user, group);
	spared = false;
	return status;
}

/* ---- the clock ------------------------------------------------------- */

int __real_clock_gettime(clockid_t clock, struct timespec *ts);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ts);
time_t __wrap_time(time_t *t);

int
__wrap_clock_gettime(clockid_t clock, struct timespec *ts)
{
	int status = __real_clock_gettime(clock, ts);
	int64_t ns;

	if (status == 0 && clock == CLOCK_REALTIME && shm != NULL) {
		ns = ts->tv_sec * INT64_C(1000000000) + ts->tv_nsec +
		    shm->real_ns;
		ts->tv_sec = ns / 1000000000;
		ts->tv_nsec = ns % 1000000000;
	}
	return status;
}

time_t
__wrap_time(time_t *t)
{
	struct timespec ts;

	(void)__wrap_clock_gettime(CLOCK_REALTIME, &ts);
	if (t != NULL)
		*t = ts.tv_sec;
	return ts.tv_sec;
}
