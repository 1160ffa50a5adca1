/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Creates zones (master), maps them for writing or reading (master and
 * children) and gives their pages back.
 */
#include <config.h>

#include <sys/mman.h>
#include <sys/stat.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shm/zone.h"

#include "base/fdutil.h"
#include "base/log.h"
#include "base/panic.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3; older ones say EINVAL */
#endif

/* Larger than any zone we make; keeps sums of sizes far from overflow. */
#define ZONE_SIZE_MAX ((size_t)1 << 46)

static_assert(ATOMIC_INT_LOCK_FREE == 2, "32-bit atomics must be lock-free");
static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit atomics must be lock-free");
static_assert(sizeof(struct zone_head_shm) == 16, "zone head layout");

static int
open_memfd(const char *name)
{
	int fd;

	fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING |
	    MFD_NOEXEC_SEAL);
	if (fd == -1 && errno == EINVAL)
		fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return fd;
}

static int
open_readonly(int fd)
{
	char path[sizeof "/proc/self/fd/-2147483648"];
	int ro;

	(void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	if (ro == -1)
		log_errno("cannot open %s read-only%s", path,
		    errno == ENOENT ? " (is /proc mounted?)" : "");
	return ro;
}

static size_t
round_to_pages(size_t size)
{
	return (size + ZONE_PAGE - 1) & ~(size_t)(ZONE_PAGE - 1);
}

void
zone_head_init(struct zone_head_shm *head, uint32_t magic, size_t size)
{
	head->magic = magic;
	head->layout = ZONE_LAYOUT;
	head->size = round_to_pages(size);
}

/* Writes the first bytes of a zone; 0 or -1/errno. */
static int
write_start(int fd, const void *p, size_t len)
{
	ssize_t n = pwrite(fd, p, len, 0);

	if (n == -1)
		return -1;
	if ((size_t)n != len) {
		errno = EIO;
		return -1;
	}
	return 0;
}

static int
write_head(int fd, uint32_t magic, size_t size)
{
	struct zone_head_shm head;

	zone_head_init(&head, magic, size);
	return write_start(fd, &head, sizeof head);
}

int
zone_create(const char *name, uint32_t magic, size_t size,
    struct zone_fds *fds)
{
	int rw = -1, ro = -1;

	if (size < sizeof(struct zone_head_shm) || size > ZONE_SIZE_MAX) {
		errno = EINVAL;
		return -1;
	}
	size = round_to_pages(size);
	if ((rw = open_memfd(name)) == -1)
		return -1;
	if (ftruncate(rw, (off_t)size) == -1 ||
	    write_head(rw, magic, size) == -1)
		goto fail;
	/* Another user that finds a way to the file may not write it. */
	if (fchmod(rw, S_IRUSR) == -1)
		goto fail;
	if (fcntl(rw, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW |
	    F_SEAL_SEAL) == -1)
		goto fail;
	if ((ro = open_readonly(rw)) == -1)
		goto fail;
	fds->rw = rw;
	fds->ro = ro;
	return 0;
fail:
	fd_close(&rw);
	return -1;
}

/* Is what lies at the start of a mapping of size bytes one of our zones? */
static bool
head_ok(const struct zone_head_shm *head, uint32_t magic, size_t size)
{
	return head->magic == magic && head->layout == ZONE_LAYOUT &&
	    head->size == size;
}

static int
map(int fd, int prot, uint32_t magic, struct zone *z)
{
	struct stat st;
	size_t size;
	void *p;
	int e;

	if (fstat(fd, &st) == -1)
		return -1;
	if (st.st_size < (off_t)ZONE_PAGE ||
	    (uintmax_t)st.st_size > ZONE_SIZE_MAX) {
		errno = EPROTO;
		return -1;
	}
	size = (size_t)st.st_size;
	p = mmap(NULL, size, prot, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -1;
	if (madvise(p, size, MADV_DONTDUMP) == -1 ||
	    madvise(p, size, MADV_DONTFORK) == -1)
		goto fail;
	if (!head_ok(p, magic, size)) {
		errno = EPROTO;
		goto fail;
	}
	z->base = p;
	z->size = size;
	z->writable = (prot & PROT_WRITE) != 0;
	return 0;
fail:
	e = errno;
	(void)munmap(p, size);
	errno = e;
	return -1;
}

int
zone_map_rw(const struct zone_fds *fds, uint32_t magic, struct zone *z)
{
	return map(fds->rw, PROT_READ | PROT_WRITE, magic, z);
}

int
zone_map_ro(const struct zone_fds *fds, uint32_t magic, struct zone *z)
{
	return map(fds->ro, PROT_READ, magic, z);
}

int
zone_write_head(const struct zone_fds *fds, uint32_t magic)
{
	struct stat st;

	if (fstat(fds->rw, &st) == -1)
		return -1;
	return write_head(fds->rw, magic, (size_t)st.st_size);
}

int
zone_mend(const struct zone_fds *fds, const void *want, size_t len)
{
	uint8_t have[NATSD_CACHELINE];

	ASSERT(len <= sizeof have);
	if (pread(fds->ro, have, len, 0) == (ssize_t)len &&
	    memcmp(have, want, len) == 0)
		return 0;
	return write_start(fds->rw, want, len) == -1 ? -1 : 1;
}

void
zone_unmap(struct zone *z)
{
	if (z->base != NULL)
		(void)munmap(z->base, z->size);
	z->base = NULL;
	z->size = 0;
	z->writable = false;
}

/* Whole pages within a zone of `size` bytes; anything else is our bug. */
static void
assert_range(size_t off, size_t len, size_t size)
{
	ASSERT(off % ZONE_PAGE == 0 && len % ZONE_PAGE == 0);
	ASSERT(off <= size && len <= size - off);
}

int
zone_remove(const struct zone *z, size_t off, size_t len)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), from, to;

	assert_range(off, len, z->size);
	ASSERT(z->writable);
	/* Where pages are larger than ours, the edges are only cleared. */
	from = (off + page - 1) & ~(page - 1);
	to = (off + len) & ~(page - 1);
	if (from >= to) {
		memset(z->base + off, 0, len);
		return 0;
	}
	memset(z->base + off, 0, from - off);
	memset(z->base + to, 0, off + len - to);
	return madvise(z->base + from, to - from, MADV_REMOVE);
}

int
zone_punch(const struct zone_fds *fds, size_t off, size_t len)
{
	ASSERT(off % ZONE_PAGE == 0 && len % ZONE_PAGE == 0);
	if (len == 0)
		return 0;
	return fallocate(fds->rw, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
	    (off_t)off, (off_t)len);
}

void
zone_close(struct zone_fds *fds)
{
	fd_close(&fds->rw);
	fd_close(&fds->ro);
}
