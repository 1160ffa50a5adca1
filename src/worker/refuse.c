/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * 503s that need more than one slot's refusal.  A message that asks carries
 * the number of slots it went to; when all of them have refused, nobody took
 * it.  One slot, the usual case, needs no state; for the others a small table
 * of partial refusals, the oldest out.
 */
#include <config.h>

#include <stdlib.h>

#include "worker/worker_priv.h"

#define REFUSALS 1024 /* partial ones kept; a power of two */

struct refusal {
	uint32_t line, num, ticket;
	uint32_t count;
};

struct refusals {
	struct refusal e[REFUSALS];
	uint32_t next; /* oldest */
};

int
refuse_init(struct worker *w)
{
	w->refusals = calloc(1, sizeof *w->refusals);
	return w->refusals == NULL ? -1 : 0;
}

void
refuse_fini(struct worker *w)
{
	free(w->refusals);
	w->refusals = NULL;
}

/* Count one more; true if that was the last one. */
static bool
count(struct refusals *t, uint32_t line, uint32_t num, uint32_t ticket,
    uint32_t nslots)
{
	struct refusal *e;
	uint32_t i;

	for (i = 0; i < REFUSALS; i++) {
		e = &t->e[i];
		if (e->count == 0 || e->num != num || e->ticket != ticket ||
		    e->line != line)
			continue;
		if (++e->count < nslots)
			return false;
		e->count = 0;
		return true;
	}
	e = &t->e[t->next++ % REFUSALS];
	e->line = line;
	e->num = num;
	e->ticket = ticket;
	e->count = 1;
	return false;
}

void
refuse_received(struct worker *w, uint32_t line, uint32_t num,
    uint32_t ticket, uint32_t nslots, struct slice subject,
    struct slice reply)
{
	struct client *c = client_find(w, line, num);

	/* Another worker says so: only who has asked gets an answer. */
	if (c == NULL || c->state != CLIENT_OPEN || !c->no_responders ||
	    ticket - 1 >= c->ticket)
		return;
	if (nslots > 1 && !count(w->refusals, line, num, ticket, nslots))
		return;
	route_no_responders(w, c, subject, reply);
}
