/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One connection of a client: input, output, state, limits.
 */
#ifndef WORKER_CLIENT_H
#define WORKER_CLIENT_H

#include <sys/socket.h>

#include <assert.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "proto/connect.h"
#include "proto/perr.h"
#include "worker/msg.h"
#include "worker/out.h"
#include "worker/subs.h"

struct worker;
struct bigmsg;
struct client_stall;
struct score_conn_shm;
struct client_drops;

enum client_state {
	CLIENT_OPEN,
	CLIENT_LINGER, /* what is queued leaves, input is thrown away */
	CLIENT_DOOMED /* marked; taken apart at the end of the iteration */
};

/* Why its input waits. */
enum client_why {
	WAIT_NONE = 0,
	WAIT_RING, /* parked: no room in a ring */
	WAIT_BARRIER, /* for answers, before its next reply */
	WAIT_BIG, /* its oversized message is under way */
	WAIT_MEMORY /* for room for a large payload */
};

enum client_list {
	LIST_READY, /* may have something to read */
	LIST_FLUSH, /* has output of this iteration */
	LIST_BLOCKED, /* its socket takes no more for now */
	LIST_DOOMED,
	/* Of these the link is in client_wait and client_stall. */
	LIST_WAIT, /* see enum client_why; in order */
	LIST_STALLED, /* held back for a while */
	LISTS
};

/* Lists go by scoreboard lines, plus 1: half of what pointers take. */
struct client_link {
	uint32_t next, prev; /* 0 = none */
};

struct client_head {
	uint32_t first, last;
};

/* Input that is kept; cap counts in w->mem_in. */
struct client_input {
	uint32_t len, cap;
	uint64_t since_ms; /* large message: its last byte has come */
	uint8_t data[];
};

/* While its input waits: from client_hold() until it goes on or is closed. */
struct client_wait {
	struct client_link link; /* LIST_WAIT */
	uint64_t slots; /* WAIT_RING: rings; WAIT_BARRIER: who answers */
	uint64_t since_ms;
	uint64_t number[]; /* WAIT_BARRIER: see peer_ask() */
};

/* There are many that do nothing: what one has only while it waits, is held
 * back or loses messages lies elsewhere, and goes when that is over. */
struct client {
	struct subscriber who; /* first: see client_of() */
	struct loop_fd lfd;
	struct loop_timer timer; /* authentication, ping, linger */
	struct client_link link[LIST_WAIT]; /* of those before it */
	uint32_t round; /* the pass over a list that has seen it last */
	uint8_t in_list; /* bit per list */
	uint8_t state;
	uint8_t wait; /* an enum client_why */
	uint8_t pings_out;
	/* options of CONNECT in force, and two as they were asked for: the
	 * configuration may be against them, and change */
	bool verbose : 1;
	bool pedantic : 1;
	bool echo : 1;
	bool headers : 1;
	bool no_responders : 1;
	bool asked_headers : 1;
	bool asked_no_responders : 1;
	bool connected : 1; /* CONNECT was accepted */
	bool authorized : 1;
	bool eof : 1; /* nothing more will come */
	bool to_end : 1; /* is read until there is nothing, not to a short read */
	bool blocked : 1; /* the socket refused bytes */
	bool rtt_known : 1;
	bool unix_peer : 1;
	bool half_closed : 1; /* our side is shut */
	bool ended : 1; /* its end of file was read */
	bool readable : 1; /* there may be more to read */
	bool warned : 1; /* Invalid Publish Subject of the message at hand */
	bool replied : 1; /* its +OK is out */
	bool first_ping : 1; /* the next ping goes out whatever happens */
	bool counted : 1; /* among the connections */
	bool changing : 1; /* its last read() brought many SUBs or UNSUBs */
	bool granted : 1; /* its timer was put off once */
	bool ponged : 1; /* its last read() brought a PING */
	uint32_t line; /* scoreboard line, and index in w->client */
	uint32_t num;
	uint32_t ticket;
	uint32_t need; /* bytes of the message that is not whole, or 0 */
	uint32_t last_progress_ms; /* the socket took something: low bits */
	uint32_t refused_ms; /* the same of when it refused last */
	int kernel_queue; /* bytes in its send queue when last looked at */
	struct score_conn_shm *score;
	struct sub_map subs;
	struct out out;
	uint64_t asked; /* slots that got asking messages since last PONG */
	uint64_t ping_sent_ns; /* the last one */
	struct connect_opts *credentials; /* of CONNECT, if they matter */
	/* Each NULL if there is none.  A partial line or message, or all that
	 * followed when it was parked; a large message, read straight there */
	struct client_input *in, *big;
	struct bigmsg *bigmsg; /* on its way through the rings */
	struct client_wait *waiting; /* while wait is not WAIT_NONE */
	struct client_stall *stall; /* stall.c: held back, or lately */
	struct client_drops *drops; /* slow.c: while messages are dropped */
};
static_assert(sizeof(struct client) <= 264, "an idle connection is small");

static inline struct client *
client_of(struct subscriber *who)
{
	return (struct client *)(void *)who;
}

/* A connection that accept() gave; owns fd, unless it is NULL: then there was
 * no memory, errno says of which kind. */
struct client *client_new(struct worker *w, int fd,
    const struct sockaddr_storage *addr, bool unix_peer, uint32_t line);
/* A client by what a record names it, or NULL if it is gone. */
struct client *client_find(struct worker *w, uint32_t line, uint32_t num);

/* Read once and act on it (bounded); called for each of LIST_READY. */
void client_read(struct worker *w, struct client *c);
/* Go on with input that waited. */
void client_resume(struct worker *w, struct client *c);

/* Queue bytes for the client. */
void client_write(struct worker *w, struct client *c, const void *p,
    size_t len);
/* Write what is queued to the socket. */
void client_flush(struct worker *w, struct client *c);
/* The same in the middle of an iteration: rings first (src/README, 5). */
void client_flush_early(struct worker *w, struct client *c);

/* What is pending, to the scoreboard: publishers elsewhere look (stall.c). */
static inline void
client_tell_pending(const struct client *c)
{
	atomic_store_explicit(&c->score->pending_bytes, c->out.bytes,
	    memory_order_relaxed);
}

/* Whether its peer has taken something since this was last asked. */
bool client_progress(struct worker *w, struct client *c);

/* Send an error and log it; close if it is one that closes.  An argument that
 * its text has no room for stands in the log only. */
void client_error(struct worker *w, struct client *c, enum perr e,
    struct slice arg, struct slice arg2);
/* The same for a text without arguments, with a note for the log. */
void client_error_note(struct worker *w, struct client *c, enum perr e,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* Close without a word, logging why. */
void client_close(struct worker *w, struct client *c, const char *reason);
/* The same for an error of its socket, which is in errno. */
void client_fail(struct worker *w, struct client *c, const char *reason);
/* The same when malloc() has failed for it. */
void client_no_memory(struct worker *w, struct client *c);
/* Take apart what was marked. */
void client_reap(struct worker *w);
/* Those that waited and may go on, in their order. */
void client_resume_waiting(struct worker *w);
/* Would that resume anybody?  (Between arming and sleeping.) */
bool client_may_resume(struct worker *w);
/* Read from all that have something; flush all that have output. */
void client_read_ready(struct worker *w);
void client_flush_all(struct worker *w);
/* In the middle of an iteration: what sockets take now leaves and, if that
 * does not do, those that read least are closed. */
void client_relieve(struct worker *w);
/* CONNECT was accepted, or a ping is due: see client.c. */
void client_timer_start(struct worker *w, struct client *c);
/* The configuration is new: are its credentials still good? */
void client_recheck(struct worker *w, struct client *c);
/* Once in 100 ms at most: write deadlines, memory waits. */
void client_tick(struct worker *w);

/* Its input waits: why, and for which slots.  False: there is no memory for
 * that, it is closed. */
bool client_hold(struct worker *w, struct client *c, enum client_why why,
    uint64_t slots);
/* May its input go on? */
bool client_released(struct worker *w, struct client *c);
/* Take it off its subscriptions. */
void client_unsubscribe(struct worker *w, struct client *c);

/* Its peer's address as text, without port and brackets, a link-local one with
 * its zone ("fe80::1%eth0"); "" for a Unix socket. */
#define CLIENT_ADDRESS_MAX (INET6_ADDRSTRLEN + 1 + IF_NAMESIZE)
void client_address(const struct client *c, char out[CLIENT_ADDRESS_MAX]);
/* "IP:PORT - cid:N - "v:lang:name"" for logs; IPv6 in brackets. */
const char *client_name(const struct worker *w, const struct client *c);

static inline bool
client_listed(const struct client *c, enum client_list l)
{
	return (c->in_list & (1u << l)) != 0;
}
void client_list_add(struct worker *w, struct client *c, enum client_list l);
void client_list_del(struct worker *w, struct client *c, enum client_list l);
/* A walk: first, and next of c; NULL at the end. */
struct client *client_first(const struct worker *w, enum client_list l);
struct client *client_next(const struct worker *w, struct client *c,
    enum client_list l);
/* All of them, by their lines: *line starts at 0.  NULL at the end. */
struct client *client_walk(const struct worker *w, uint32_t *line);

#endif
