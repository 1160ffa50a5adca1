/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whom a worker serves, for its last words: in a signal handler, out of what
 * may be damaged.
 */
#include <config.h>

#include "worker/worker_priv.h"

/* As client_name(): "IP:PORT - cid:N - "v:lang:name"". */
static void
put_client(const struct worker *w, const struct client *c, struct sigtext *t)
{
	const struct score_conn_shm *s = c->score;

	if (c->unix_peer)
		sigtext_str(t, "unix");
	else
		sigtext_addr(t, s->addr);
	sigtext_str(t, ":");
	sigtext_num(t, atomic_load_explicit(&s->port, memory_order_relaxed));
	sigtext_str(t, " - cid:");
	sigtext_num(t, worker_cid(w, c->num));
	if (!c->connected || s->lang[0] == '\0')
		return;
	sigtext_str(t, " - \"v");
	sigtext_strn(t, s->version, sizeof s->version);
	sigtext_str(t, ":");
	sigtext_strn(t, s->lang, sizeof s->lang);
	sigtext_str(t, ":");
	sigtext_strn(t, s->name, sizeof s->name);
	sigtext_str(t, "\"");
}

void
serving_who(const void *ctx, struct sigtext *t)
{
	const struct worker *w = ctx;

	/* Rings are drained for one client too: before its SUB or PING. */
	if (w->draining != 0) {
		sigtext_str(t, "what worker ");
		sigtext_num(t, w->draining - 1);
		sigtext_str(t, " has sent");
	}
	if (w->serving != NULL) {
		if (w->draining != 0)
			sigtext_str(t, ", for ");
		put_client(w, w->serving, t);
	} else if (w->draining == 0)
		sigtext_str(t, "nobody");
}
