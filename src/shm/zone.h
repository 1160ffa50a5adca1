/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Zones: memfds made by the master, each with exactly one writing process.
 * See src/README for the rules.
 */
#ifndef SHM_ZONE_H
#define SHM_ZONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NATSD_CACHELINE 128 /* too much wastes a little, too little a lot */
#define ZONE_PAGE 4096
#define ZONE_LAYOUT 3 /* raised when a struct in any zone changes */

/*
 * The first bytes of every zone: what it is and how large.
 *
 * Written by: the master, before the zone's descriptors leave zone_create();
 * constant afterwards.  The zone's writer could change it, gone mad: it is
 * checked once, at mapping, and zone_write_head() and zone_mend() store the
 * same values again.
 * At every instant: all three fields are right, since nobody but the master
 * has the zone while they are written first, unless its writer has gone mad.
 * Publication: by the fork, or by the message that carries the descriptor.
 * Started afresh by: nobody; it outlives all processes but the master, and
 * lies in the head, which is never punched.
 * Capacity: one per zone.
 */
struct zone_head_shm {
	uint32_t magic;
	uint32_t layout;
	uint64_t size; /* of the whole zone, bytes */
};

/* The descriptors of one zone: the master alone keeps them; a child maps
 * what it needs and closes both. */
struct zone_fds {
	int rw;
	int ro; /* O_RDONLY reopen: its mappings can never become writable */
};

/* A process-private mapping. */
struct zone {
	uint8_t *base;
	size_t size;
	bool writable;
};

/*
 * Master: create a zone of `size` bytes (rounded up to pages): memfd,
 * truncated, sealed against shrinking and growing, its head written, all the
 * rest zeros.  `name` is for /proc/PID/maps.  The descriptors are the
 * caller's, see zone_close().  0, or -1 with errno: EINVAL for a size that
 * is too small or absurd, those of memfd_create(2), ftruncate(2), fcntl(2),
 * and that of open(2), which is also logged, for without /proc there is no
 * read-only descriptor.
 */
int zone_create(const char *name, uint32_t magic, size_t size,
    struct zone_fds *fds);
/*
 * Master, when a slot becomes spare: write magic, layout and size anew, for a
 * process gone mad may have written over them.  0 or -1/errno.
 */
int zone_write_head(const struct zone_fds *fds, uint32_t magic);
/* The head of a zone that was made with that magic and size. */
void zone_head_init(struct zone_head_shm *head, uint32_t magic, size_t size);
/*
 * Master, at any time: if the first len bytes of the zone, constants of its
 * head, are not those at `want`, write them anew.  1 if so, 0 if all was
 * right, or -1/errno.
 */
int zone_mend(const struct zone_fds *fds, const void *want, size_t len);
/*
 * Map it for writing (master and the zone's one writer) or for reading.  The
 * mapping stays when the descriptors are closed, is in no core dump and is
 * not inherited by fork.  0, or -1 with errno: EPROTO if magic, layout or
 * size are not those of such a zone, else that of fstat(2), mmap(2).  For
 * another's zone EPROTO says that its writer is broken, not the caller.
 */
int zone_map_rw(const struct zone_fds *fds, uint32_t magic, struct zone *z);
int zone_map_ro(const struct zone_fds *fds, uint32_t magic, struct zone *z);
/* Accepts a zone that was unmapped before or is all zeros. */
void zone_unmap(struct zone *z);
/*
 * Give pages back: the owner by its mapping, the master by descriptor.
 * Offset and length are multiples of ZONE_PAGE (asserted); what was given
 * back reads as zeros, in every process, at once.  0 or -1/errno.
 */
int zone_remove(const struct zone *z, size_t off, size_t len);
int zone_punch(const struct zone_fds *fds, size_t off, size_t len);
/* Leaves -1 in both. */
void zone_close(struct zone_fds *fds);

#endif
