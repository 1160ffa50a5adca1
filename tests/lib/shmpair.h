/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For tests: zones of two slots with a ring from slot 0 to slot 1, each side
 * with the mappings that its process would have.
 */
#ifndef TESTS_SHMPAIR_H
#define TESTS_SHMPAIR_H

#include <stdint.h>
#include <stdlib.h>

#include "shm/own.h"
#include "shm/ring.h"
#include "shm/zone.h"

struct shmpair {
	struct zone_fds own_fds[2], ring_fds;
	struct zone own_rw[2], own_ro[2], ring_rw, ring_ro;
	struct own_shm *own[2]; /* for the owner */
	const struct own_shm *seen[2]; /* for everybody else */
	struct ring_shm *ring;
	uint8_t *data;
	uint64_t size;
};

static inline void
shmpair_check(int rc)
{
	if (rc != 0)
		abort();
}

static inline void
shmpair_new(struct shmpair *p, uint64_t size)
{
	int i;

	for (i = 0; i < 2; i++) {
		shmpair_check(zone_create("own", OWN_MAGIC, own_shm_size(1),
		    &p->own_fds[i]));
		shmpair_check(zone_map_rw(&p->own_fds[i], OWN_MAGIC,
		    &p->own_rw[i]));
		shmpair_check(zone_map_ro(&p->own_fds[i], OWN_MAGIC,
		    &p->own_ro[i]));
		p->own[i] = (struct own_shm *)(void *)p->own_rw[i].base;
		p->seen[i] = (const struct own_shm *)(const void *)
		    p->own_ro[i].base;
	}
	shmpair_check(zone_create("ring", RING_MAGIC, ring_shm_size(size),
	    &p->ring_fds));
	shmpair_check(zone_map_rw(&p->ring_fds, RING_MAGIC, &p->ring_rw));
	shmpair_check(zone_map_ro(&p->ring_fds, RING_MAGIC, &p->ring_ro));
	p->ring = (struct ring_shm *)(void *)p->ring_rw.base;
	ring_shm_init(p->ring, size);
	p->data = p->ring_rw.base + ZONE_PAGE;
	p->size = size;
}

static inline void
shmpair_free(struct shmpair *p)
{
	int i;

	for (i = 0; i < 2; i++) {
		zone_unmap(&p->own_rw[i]);
		zone_unmap(&p->own_ro[i]);
		zone_close(&p->own_fds[i]);
	}
	zone_unmap(&p->ring_rw);
	zone_unmap(&p->ring_ro);
	zone_close(&p->ring_fds);
}

static inline void
shmpair_tx(struct shmpair *p, struct ring_tx *tx)
{
	shmpair_check(ring_tx_attach(tx, &p->ring_rw, p->own[0], 0, p->seen[1],
	    1));
}

static inline void
shmpair_rx(struct shmpair *p, struct ring_rx *rx)
{
	shmpair_check(ring_rx_attach(rx, &p->ring_ro, p->own[1], 1, p->seen[0],
	    0));
}

#endif
