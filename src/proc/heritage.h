/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exactly what crosses the fork.  Everything else of the master's is closed
 * or not inherited.  The child maps what it needs, closes the zones'
 * descriptors, and only then reads a byte that came from a client.
 */
#ifndef PROC_HERITAGE_H
#define PROC_HERITAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/slots.h"
#include "shm/zone.h"

#define HERITAGE_LISTEN_MAX 64
#define HERITAGE_ID_LEN 56
/* Exit status of a child that would only fail again: not respawned. */
#define HERITAGE_EXIT_NO_RESPAWN 3

struct conf;

struct heritage_listen {
	int fd;
	bool unix_socket;
};

struct heritage {
	enum slot_role role;
	slotno slot;
	uint32_t incarnation;
	uint32_t nslots; /* worker slots, spare ones included */
	uint32_t nworkers; /* how many of them are meant to serve */
	const struct conf *conf; /* the child's copy of the configuration */
	uint64_t conf_version;
	char server_id[HERITAGE_ID_LEN + 1];
	char info_host[256]; /* what INFO says: first TCP listener */
	int info_port;
	int chan; /* our end of the control socketpair, proc/chan.h */
	int log; /* where log records go, proc/logpipe.h */
	uint32_t nlisten;
	struct heritage_listen listen[HERITAGE_LISTEN_MAX];
	int bell[SLOTS_MAX]; /* eventfds, one per slot; kept */
	/* Descriptors of the zones: to be mapped, then closed. */
	struct zone_fds control;
	struct zone_fds index[SLOTS_MAX];
	struct zone_fds own[SLOTS_MAX];
	/* ring[from * nslots + to] */
	const struct zone_fds *ring;
};

static inline const struct zone_fds *
heritage_ring(const struct heritage *h, slotno from, slotno to)
{
	return &h->ring[(uint32_t)from * h->nslots + to];
}

/* Close every descriptor of zones and whatever else is not chan, log,
 * listeners, bells, 0-2 or in keep[0..nkeep) (epoll sets made meanwhile). */
void heritage_close_rest(struct heritage *h, const int *keep, uint32_t nkeep);

#endif
