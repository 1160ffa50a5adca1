/* SPDX-License-Identifier: BSD-2-Clause */
/* Makes, reads and cleans the zones; in the master. */
#include <config.h>

#include <sys/random.h>

#include <errno.h>
#include <inttypes.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "master/zones.h"

#include "base/fdutil.h"
#include "base/log.h"
#include "conf/conf.h"
#include "shm/bell.h"
#include "shm/crash.h"
#include "shm/own.h"
#include "shm/ring.h"
#include "shm/score.h"
#include "shm/trie.h"

/* More lines than max_connections: those that were refused keep one until
 * they have read why. */
#define LINES_LEAVING 256
/* A short message grows to about twice its size on its way out of a ring. */
#define RING_OF_PENDING 8
/* Connection lines where max_connections is unlimited: untouched lines cost
 * address space alone. */
#define LINES_UNLIMITED (UINT32_C(1) << 20)

uint32_t
zones_descriptors(uint32_t nworkers)
{
	uint32_t n = nworkers + ZONES_SPARE_SLOTS;

	/* Two per zone: control, index and own, rings; a bell per slot. */
	return 2 * (1 + 2 * n + n * (n - 1)) + n;
}

static size_t
round_to_pages(size_t size)
{
	return (size + ZONE_PAGE - 1) & ~(size_t)(ZONE_PAGE - 1);
}

static void
forget_all(struct zones *z)
{
	static const struct zone_fds none = { -1, -1 };
	int i;

	memset(z, 0, sizeof *z);
	z->control = none;
	for (i = 0; i < SLOTS_MAX; i++) {
		z->index[i] = z->own[i] = none;
		z->bell[i] = -1;
	}
}

uint64_t
zones_ring_size(const struct conf *conf, uint32_t nslots, uint64_t *need)
{
	uint64_t size = ring_size_for(conf->ring_memory, nslots, need);

	/* What lies in a ring is on its way to a reader before he can hold
	 * back anybody: not more than he may have pending. */
	while (size > RING_MIN && size > conf->max_pending / RING_OF_PENDING)
		size /= 2;
	return size;
}

static int
set_geometry(struct zones *z, const struct conf *conf, uint32_t nworkers,
    char *err, size_t errlen)
{
	struct slots_geometry *g = &z->geo;
	uint64_t need = 0;

	g->nslots = nworkers + ZONES_SPARE_SLOTS;
	g->nlines = conf->max_connections != 0 ?
	    conf->max_connections + LINES_LEAVING :
						 LINES_UNLIMITED;
	g->index_bytes = conf->index_memory;
	g->ring_bytes = zones_ring_size(conf, g->nslots, &need);
	if (g->ring_bytes == 0) {
		snprintf(err, errlen, "ring_memory is too small for %" PRIu32
		    " workers: at least %" PRIu64 " bytes are needed",
		    nworkers, need);
		return -1;
	}
	if (getrandom(&g->hash_seed, sizeof g->hash_seed, 0) !=
	    sizeof g->hash_seed) {
		snprintf(err, errlen, "no random numbers: %s",
		    strerror(errno));
		return -1;
	}
	return 0;
}

static int
create_control(struct zones *z)
{
	if (zone_create("natsd-control", SLOTS_MAGIC, slots_shm_size(),
		&z->control) == -1 ||
	    zone_map_rw(&z->control, SLOTS_MAGIC, &z->control_map) == -1)
		return -1;
	z->slots = (struct slots_shm *)z->control_map.base;
	slots_shm_init(z->slots, &z->geo);
	return 0;
}

static int
create_slot(struct zones *z, slotno n)
{
	struct zone map;
	char name[32];

	snprintf(name, sizeof name, "natsd-index-%u", n);
	if (zone_create(name, TRIE_MAGIC, trie_shm_size(z->geo.index_bytes),
		&z->index[n]) == -1 ||
	    zone_map_rw(&z->index[n], TRIE_MAGIC, &map) == -1)
		return -1;
	trie_shm_init(map.base, z->geo.index_bytes, n);
	zone_unmap(&map);
	snprintf(name, sizeof name, "natsd-own-%u", n);
	if (zone_create(name, OWN_MAGIC, own_shm_size(z->geo.nlines),
		&z->own[n]) == -1 ||
	    zone_map_ro(&z->own[n], OWN_MAGIC, &z->own_map[n]) == -1)
		return -1;
	return (z->bell[n] = bell_create()) == -1 ? -1 : 0;
}

static int
create_ring(struct zones *z, uint32_t from, uint32_t to)
{
	struct zone_fds *fds = &z->ring[from * z->geo.nslots + to];
	struct zone map;
	char name[48];

	snprintf(name, sizeof name, "natsd-ring-%u-%u", from, to);
	if (zone_create(name, RING_MAGIC, ring_shm_size(z->geo.ring_bytes),
		fds) == -1 ||
	    zone_map_rw(fds, RING_MAGIC, &map) == -1)
		return -1;
	ring_shm_init((struct ring_shm *)map.base, z->geo.ring_bytes);
	zone_unmap(&map);
	return 0;
}

static int
create_all(struct zones *z)
{
	uint32_t i, j, n = z->geo.nslots;

	/* Not "or die": sockets and pid file are to be removed. */
	if ((z->ring = calloc((size_t)n * n, sizeof *z->ring)) == NULL)
		return -1;
	for (i = 0; i < n * n; i++)
		z->ring[i].rw = z->ring[i].ro = -1;
	if (create_control(z) == -1)
		return -1;
	for (i = 0; i < n; i++) {
		if (create_slot(z, (slotno)i) == -1)
			return -1;
		for (j = 0; j < n; j++) {
			if (j != i && create_ring(z, i, j) == -1)
				return -1;
		}
	}
	return 0;
}

static const char *
advice(int error)
{
	switch (error) {
	case EMFILE:
		return "; raise the limit of open files (ulimit -n)";
	case EFBIG:
		return "; raise the limit of file sizes (ulimit -f)";
	default:
		return "";
	}
}

int
zones_create(struct zones *z, const struct conf *conf, uint32_t nworkers,
    char *err, size_t errlen)
{
	forget_all(z);
	if (set_geometry(z, conf, nworkers, err, errlen) == -1)
		return -1;
	if (create_all(z) == -1) {
		snprintf(err, errlen, "cannot create the shared memory: %s%s",
		    strerror(errno), advice(errno));
		return -1;
	}
	return 0;
}

void
zones_destroy(struct zones *z)
{
	uint32_t i, n = z->geo.nslots;

	if (n == 0)
		return; /* never begun */
	zone_unmap(&z->control_map);
	zone_close(&z->control);
	for (i = 0; i < n; i++) {
		zone_unmap(&z->own_map[i]);
		zone_close(&z->own[i]);
		zone_close(&z->index[i]);
		fd_close(&z->bell[i]);
	}
	for (i = 0; z->ring != NULL && i < n * n; i++)
		zone_close(&z->ring[i]);
	free(z->ring);
	forget_all(z);
}

/* Empties a zone behind its head, and writes the head's constants again: its
 * dead owner may have spoiled them. */
static void
clear_zone(const struct zone_fds *fds, uint32_t magic, size_t head,
    size_t size)
{
	size = round_to_pages(size);
	if (size > head && zone_punch(fds, head, size - head) == -1)
		log_errno("cannot give memory of a dead worker back");
	if (zone_write_head(fds, magic) == -1)
		log_errno("cannot restore the zone of a dead worker");
}

static void
restore_index_head(struct zones *z, slotno slot)
{
	struct zone map;

	if (zone_map_rw(&z->index[slot], TRIE_MAGIC, &map) == -1) {
		log_errno("cannot restore the index of a dead worker");
		return;
	}
	trie_shm_init(map.base, z->geo.index_bytes, slot);
	zone_unmap(&map);
}

void
zones_clear_slot(struct zones *z, slotno slot)
{
	uint32_t to, n = z->geo.nslots;

	clear_zone(&z->index[slot], TRIE_MAGIC, trie_head_size(),
	    trie_shm_size(z->geo.index_bytes));
	CRASH_POINT("zones.index-cleared");
	restore_index_head(z, slot);
	clear_zone(&z->own[slot], OWN_MAGIC, own_head_size(),
	    own_shm_size(z->geo.nlines));
	CRASH_POINT("zones.own-cleared");
	for (to = 0; to < n; to++) {
		if (to != slot)
			clear_zone(&z->ring[slot * n + to], RING_MAGIC,
			    ZONE_PAGE, ring_shm_size(z->geo.ring_bytes));
		CRASH_POINT("zones.ring-cleared");
	}
}

static bool
mend_slot(const struct zones *z, slotno slot)
{
	static const uint8_t zeros[TRIE_CONSTANTS];
	union {
		struct zone_head_shm head;
		alignas(NATSD_CACHELINE) uint8_t bytes[TRIE_CONSTANTS];
	} want;
	int own, index, ring = 0;
	uint32_t to, n = z->geo.nslots;

	memcpy(want.bytes, zeros, sizeof zeros);
	zone_head_init(&want.head, OWN_MAGIC, own_shm_size(z->geo.nlines));
	own = zone_mend(&z->own[slot], &want, sizeof want.head);
	zone_head_init(&want.head, TRIE_MAGIC,
	    trie_shm_size(z->geo.index_bytes));
	trie_shm_init(&want, z->geo.index_bytes, slot);
	index = zone_mend(&z->index[slot], &want, sizeof want);
	zone_head_init(&want.head, RING_MAGIC,
	    ring_shm_size(z->geo.ring_bytes));
	for (to = 0; to < n; to++)
		if (to != slot)
			ring |= zone_mend(&z->ring[slot * n + to], &want,
			    sizeof want.head);
	if (own == -1 || index == -1 || ring == -1)
		log_errno("cannot restore the zones of slot %u", slot);
	return own == 1 || index == 1 || ring == 1;
}

uint64_t
zones_mend(const struct zones *z)
{
	uint64_t mended = 0;
	uint32_t i;

	for (i = 0; i < z->geo.nslots; i++) {
		if (mend_slot(z, (slotno)i))
			mended |= UINT64_C(1) << i;
	}
	return mended;
}

static const struct own_shm *
own_of(const struct zones *z, slotno slot)
{
	return (const struct own_shm *)z->own_map[slot].base;
}

uint64_t
zones_quiescence(const struct zones *z, slotno slot)
{
	/* Acquire: what was read before the count is done; pairs with the
	 * stores in quiesce.c. */
	return atomic_load_explicit(&own_of(z, slot)->quiescence,
	    memory_order_acquire);
}

uint64_t
zones_waits_for(const struct zones *z, slotno slot)
{
	return atomic_load_explicit(&own_of(z, slot)->waits_for,
	    memory_order_relaxed);
}

uint64_t
zones_connections(const struct zones *z, slotno slot)
{
	return score_get(&score_proc(&z->own_map[slot])->connections);
}

uint64_t
zones_serving(const struct zones *z, slotno slot)
{
	return score_get(&score_proc(&z->own_map[slot])->serving);
}

void
zones_ring_bells(const struct zones *z, uint64_t mask)
{
	uint32_t i;

	for (i = 0; i < z->geo.nslots; i++) {
		if ((mask >> i & 1) != 0)
			bell_ring_always(z->bell[i]);
	}
}
