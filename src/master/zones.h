/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All zones and bells of the daemon, made by the master before its first
 * fork.  It maps the control zone for writing and every own zone for reading;
 * of these it reads fixed counters alone and follows no reference.
 */
#ifndef MASTER_ZONES_H
#define MASTER_ZONES_H

#include <stddef.h>
#include <stdint.h>

#include "shm/slots.h"
#include "shm/zone.h"

struct conf;

/* Slots beyond the workers: for successors while those of the dead are still
 * being cleaned. */
#define ZONES_SPARE_SLOTS 2

struct zones {
	struct slots_geometry geo;
	struct zone_fds control;
	struct zone control_map;
	struct slots_shm *slots; /* in control_map */
	struct zone_fds index[SLOTS_MAX];
	struct zone_fds own[SLOTS_MAX];
	struct zone own_map[SLOTS_MAX];
	struct zone_fds *ring; /* [from * nslots + to], from != to */
	int bell[SLOTS_MAX]; /* -1 beyond nslots */
};

/* Descriptors that zones_create() opens for so many workers. */
uint32_t zones_descriptors(uint32_t nworkers);

/* Data bytes of each ring: what ring_memory allows (as ring_size_for(), 0 if
 * that is too little), or less where a client may have little pending. */
uint64_t zones_ring_size(const struct conf *conf, uint32_t nslots,
    uint64_t *need);

/* 0, or -1 with a text in err. */
int zones_create(struct zones *z, const struct conf *conf, uint32_t nworkers,
    char *err, size_t errlen);

/* Unmaps and closes all; also what zones_create() has left half done. */
void zones_destroy(struct zones *z);

/* Gives back all pages behind the heads of a dead slot's index, own and
 * outgoing ring zones. */
void zones_clear_slot(struct zones *z, slotno slot);

/* Puts the constants in the heads of all own, index and ring zones right; the
 * slots whose processes, gone mad, had written over theirs. */
uint64_t zones_mend(const struct zones *z);

/* Fixed counters of a slot, read as they are now. */
uint64_t zones_quiescence(const struct zones *z, slotno slot);
uint64_t zones_waits_for(const struct zones *z, slotno slot);
uint64_t zones_connections(const struct zones *z, slotno slot);
uint64_t zones_serving(const struct zones *z, slotno slot);

/* Wakes whoever serves in the slots in the mask. */
void zones_ring_bells(const struct zones *z, uint64_t mask);

#endif
