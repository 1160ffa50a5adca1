/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of a worker share.
 */
#ifndef WORKER_WORKER_PRIV_H
#define WORKER_WORKER_PRIV_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/sigtext.h"
#include "conf/conf.h"
#include "proc/heritage.h"
#include "shm/own.h"
#include "shm/score.h"
#include "shm/slots.h"
#include "shm/trie.h"
#include "worker/cid.h"
#include "worker/client.h"
#include "worker/match.h"
#include "worker/msg.h"
#include "worker/out.h"
#include "worker/peer.h"
#include "worker/stall.h"
#include "worker/subs.h"

/* Bytes that one read() may bring; one read() a client and iteration. */
#define WORKER_READ (256u << 10)
#define WORKER_READ_TIGHT (4u << 10) /* when memory is scarce */
/* Of who subscribes and unsubscribes much: that takes a microsecond each, a
 * message some ten nanoseconds, and all others of the worker wait. */
#define WORKER_READ_CHANGES (16u << 10)
#define WORKER_PAGE 4096u
/* Unsent output above this is flushed at once. */
#define WORKER_FLUSH_EARLY (64u << 10)
/* A payload from this size on leaves by writev from where it lies, and one
 * that is not whole gets a buffer of its own. */
#define WORKER_LARGE (16u << 10)
/* A run of so many bytes is built once and written to all its receivers with
 * one sid from there, in pieces of about WORKER_PIECE, which an OUT_BLOCK
 * holds with any usual sid. */
#define WORKER_BLOCK_MIN (16u << 10)
#define WORKER_PIECE (64u << 10)

enum worker_state {
	WORKER_STARTING, /* mapped; waits for the master's CHAN_GO */
	WORKER_SERVING,
	WORKER_LEAVING /* flushes what it has and ends */
};

/* receive.c: what stands in front of the bodies of a record, copied out of the
 * other's reach.  It often comes again soon, and was found good then. */
#define RECORD_NAMES_BITS 4
#define RECORD_NAMES (1 << RECORD_NAMES_BITS)

struct record_names {
	uint8_t *p;
	size_t len, cap;
	uint64_t view; /* in which it was judged; 0: it was not */
	bool good; /* its references may be used */
	uint8_t nplain, flags;
	uint32_t ngroups, subject_len, reply_len;
};

struct refusals;
struct deal;
struct lane;
struct client_drops;

struct worker_listener {
	struct loop_fd lfd;
	bool unix_socket;
	bool watched; /* is in the epoll set */
};

/* Since an accept() failed for want of descriptors or memory. */
struct accept_trouble {
	bool noted; /* in the log */
	uint64_t last_ms;
	uint64_t failed, shed; /* attempts; connections turned away */
};

struct worker {
	slotno self;
	uint32_t incarnation;
	uint32_t nslots;
	uint32_t nworkers;
	enum worker_state state;
	struct conf conf;
	uint64_t conf_version;
	struct loop loop;
	uint64_t now_ms;
	/* zones */
	struct zone zcontrol;
	struct zone zown[SLOTS_MAX];
	struct zone zindex[SLOTS_MAX]; /* read-only, the own one too */
	struct zone ztrie; /* the own index zone, writable */
	const struct slots_shm *slots;
	struct own_shm *own;
	const struct own_shm *peer_own[SLOTS_MAX];
	struct quiesce_view quiesce;
	struct score_proc_shm *score;
	/* subjects */
	struct trie *trie;
	struct subs subs;
	struct matcher matcher;
	/* the others */
	struct peer peer[SLOTS_MAX];
	uint64_t usable; /* slots that something can be sent to */
	uint64_t pump; /* slots for which something waits in peer_pump() */
	uint64_t dirty; /* rings with unpublished records */
	uint64_t parked; /* rings that somebody waits for */
	uint64_t membership; /* that peer_look() has acted on */
	/* clients */
	struct client **client; /* by line */
	uint32_t nclient_cap;
	uint32_t *free_line; /* stack */
	uint32_t nfree_line, lines_used;
	uint32_t next_num;
	struct client_head list[LISTS];
	uint32_t round; /* of passes over lists */
	bool drained; /* since the last read() */
	uint32_t mark; /* deliver.c, deal.c: stamp of a run */
	struct out_pool pool;
	uint64_t mem_in; /* private input bytes, reservations included */
	uint64_t mem_freed; /* pool.freed when the kernel last got some */
	uint64_t mem_freed_ms; /* when that was */
	uint64_t mem_share;
	uint8_t *inbuf; /* the one big buffer; see worker_in() */
	size_t inbuf_front;
	uint8_t *scratch; /* lines being made: 3 x max_control_line + 1 KiB */
	size_t scratch_size;
	struct out_block *block; /* a run as those with one sid get it */
	const uint8_t *block_body; /* of which message on, NULL: nothing */
	uint32_t block_n; /* messages */
	bool block_shared; /* this run has several receivers here */
	uint8_t line[64]; /* that the receiver before has got, if it was short */
	size_t line_len;
	bool receiving; /* it lies in another worker's memory */
	struct record_names names[RECORD_NAMES]; /* by their last bytes */
	uint64_t rnd; /* state of the queue choice */
	struct loop_timer tick;
	/* process */
	struct loop_fd chan;
	struct loop_fd bell;
	uint32_t nlisten;
	struct worker_listener listener[HERITAGE_LISTEN_MAX];
	struct loop_timer accept_timer; /* after a failed accept */
	uint32_t accept_pause_ms; /* now, 0 = none */
	uint32_t accept_next_ms; /* the next one's length */
	struct accept_trouble trouble;
	uint32_t places; /* connections that there are descriptors for */
	int reserve; /* a descriptor kept back, -1: there was none */
	bool chan_eof;
	uint64_t leave_by_ms;
	char server_id[HERITAGE_ID_LEN + 1];
	char info_host[256];
	int info_port;
	struct log_limit limit_client, limit_accept, limit_peer, limit_slow;
	/* For the last words: the client that is read or flushed, and 1 + the
	 * slot whose ring is drained. */
	const struct client *serving;
	uint32_t draining;
	uint64_t complained; /* slots complained of */
	struct refusals *refusals; /* refuse.c */
	struct deal *deal; /* deal.c: of the run at hand */
	struct lane *lane; /* lane.c: lines seen lately */
	struct client_drops *drops; /* slow.c: all there are */
};

/* Cheap random numbers for the choice of queue members (xorshift). */
static inline uint64_t
worker_random(struct worker *w)
{
	uint64_t x = w->rnd;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	w->rnd = x;
	return x;
}

static inline uint64_t
worker_cid(const struct worker *w, uint32_t num)
{
	return cid_make(w->incarnation, num);
}

/* Where a read() goes: on a page of its own, since the kernel copies to an odd
 * address at half the speed.  What the client had before goes in front. */
static inline uint8_t *
worker_in(const struct worker *w)
{
	return w->inbuf + w->inbuf_front;
}

/* Say whom we serve from now on, NULL = nobody: once for each read() or flush,
 * before it; for our last words and for whoever finds us dead. */
static inline void
worker_serves(struct worker *w, const struct client *c)
{
	w->serving = c;
	atomic_store_explicit(&w->score->serving,
	    c != NULL ? worker_cid(w, c->num) : 0, memory_order_relaxed);
}

/* How long its socket has taken nothing; right for 49 days, of which
 * write_deadline is one at most. */
static inline uint32_t
client_no_progress_ms(const struct worker *w, const struct client *c)
{
	return (uint32_t)w->now_ms - c->last_progress_ms;
}

/* serving.c: a lastwords_who_fn; ctx is the worker. */
void serving_who(const void *ctx, struct sigtext *t);

enum memory_level { MEMORY_OK, MEMORY_TIGHT, MEMORY_OVER };
static inline enum memory_level
worker_memory(const struct worker *w)
{
	uint64_t used = w->mem_in + w->pool.used;

	if (used > w->mem_share)
		return MEMORY_OVER;
	return used > w->mem_share / 4 * 3 ? MEMORY_TIGHT : MEMORY_OK;
}

/* All of it is used, and mostly by output: a wide fan-out may not wait for the
 * end of the iteration. */
static inline bool
worker_crowded(const struct worker *w)
{
	return w->mem_in + w->pool.used > w->mem_share &&
	    w->pool.used > w->mem_share / 2;
}

/* worker.c: the tick is due soon: somebody waits or is blocked. */
void worker_tick_soon(struct worker *w);

/* accept.c */
int accept_init(struct worker *w, const struct heritage *h);
void accept_start(struct worker *w); /* the live bit is set */
void accept_balance(struct worker *w); /* each iteration */
/* Once in a while: are all numbers of connections possible, is what kept us
 * from accepting over? */
void accept_tick(struct worker *w);
void accept_stop(struct worker *w);
/* Listener i has a new socket; takes fd.  What waits at the old one is taken
 * in before that is closed. */
void accept_replace(struct worker *w, uint64_t i, int fd);
/* Let go of the descriptor that is kept back, for one that must find room;
 * keep one again. */
void accept_reserve_use(struct worker *w);
void accept_reserve_keep(struct worker *w);
/* Nobody listens any more, in no process that has the sockets. */
void accept_shut(struct worker *w);
uint64_t accept_total(const struct worker *w); /* over all workers */
void accept_line_free(struct worker *w, uint32_t line);
/* max_connections was lowered: close the surplus. */
void accept_trim(struct worker *w);

/* verbs.c: act on what lies at p[0..len), which may be read up to `safe`;
 * the number of bytes used.  Less than len: the rest is not whole, or the
 * client waits (c->wait), or is no longer open. */
size_t verbs_process(struct worker *w, struct client *c, const uint8_t *p,
    size_t len, const uint8_t *safe);

/* lane.c */
int lane_init(struct worker *w);
/* Messages from p on whose control lines are known, as verbs_process(); the
 * bytes used: what follows is not known, not whole, or not usual. */
size_t lane_take(struct worker *w, struct client *c, const uint8_t *p,
    size_t len, const uint8_t *safe);
/* The message at `line`, where lane_take() stopped, went the long way: keep
 * where to, if it is simple and the line comes again. */
void lane_learn(struct worker *w, const struct parse_op *op,
    const uint8_t *line);
/* One whole message, with CR LF up to `end`, to its one receiver here, if that
 * is all there is to do; false: nothing was done, it takes the long way. */
bool lane_pass(struct worker *w, struct client *c, const struct parse_op *op,
    const uint8_t *end, const uint8_t *safe);

/* route.c */
struct route_result {
	uint32_t routed; /* messages of the run that are on their way */
	uint64_t wait_slots; /* not all: rings without room */
};
/* Send a run where it belongs.  `c` is the publishing client. */
void route_run(struct worker *w, struct client *c, struct msg *m,
    struct route_result *r);
/* Pieces of it for deal.c.  What slot gets of a message, as far as plain
 * interest goes. */
struct plan_part;
void route_part(const struct worker *w, struct plan_part *p,
    const struct msg *m, const struct match *x, slotno slot);
/* How many of a run fit into the ring to s behind a head of that length; 0
 * with *big set: not even one ever would. */
uint32_t route_fits(struct worker *w, slotno s, const struct msg *m,
    uint32_t head_len, bool *big);
/* A record whose room was found. */
void route_write(struct worker *w, const struct plan_part *p,
    uint32_t head_len);
/* One message for a group that nobody here took: to another slot.  False if
 * there is none. */
bool route_pass_on(struct worker *w, const struct msg *m,
    const uint8_t *name, uint32_t namelen, uint64_t tried, uint32_t nslots);
/* 503 to a client, if it has a subscription for the reply. */
void route_no_responders(struct worker *w, struct client *c,
    struct slice subject, struct slice reply);

/* deal.c */
int deal_init(struct worker *w);
/* Deal the beginning of a run out if it is for one queue group alone.  False:
 * it is to be taken one by one; else r->routed has grown, or r->wait_slots
 * says why not further. */
bool deal_run(struct worker *w, struct msg *m, const struct match *x,
    struct route_result *r);
/* The same for a run from another slot, among the members at n cells here. */
bool deal_received(struct worker *w, struct msg *m, const cellno *cell,
    uint32_t n);

/* receive.c: a record of kind RECORD_MSG, whole, from another slot */
int receive_msg(struct worker *w, slotno from, const uint8_t *rec,
    uint32_t len);
void receive_fini(struct worker *w);

/* big.c: messages larger than half a ring */
struct bigmsg *big_new(struct worker *w, struct client *c,
    const uint8_t *body, uint32_t len);
/* Takes `head` over. */
void big_target(struct bigmsg *b, slotno slot, uint8_t *head,
    uint32_t head_len);
/* Somebody here took it: nobody needs to refuse it any more. */
void big_no_ask(struct bigmsg *b);
void big_start(struct worker *w, struct bigmsg *b);
void big_pump(struct worker *w, slotno slot);
void big_target_gone(struct worker *w, slotno slot);
void big_client_gone(struct bigmsg *b);
void big_free(struct worker *w, struct bigmsg **bp);
/* A piece from another slot; -1 if it makes no sense. */
int big_receive(struct worker *w, slotno from, const uint8_t *rec,
    uint32_t len);

/* deliver.c */
/* To the plain subscribers of own nodes.  True if anybody took any. */
bool deliver_plain(struct worker *w, struct msg *m,
    const struct match_plain *node, uint32_t n);
/* The member of a group whose turn it is, over n cells of one name in the own
 * trie; 0 if nobody here would take the message. */
subno deliver_pick(struct worker *w, const struct msg *m,
    const cellno *cell, uint32_t n);
/* How many of them would take it. */
uint32_t deliver_members(const struct worker *w, const struct msg *m,
    const cellno *cell, uint32_t n);
/* A run to one subscription; the number taken. */
uint32_t deliver_run(struct worker *w, struct msg *m, subno n);
/* One message to one subscription; true if it was taken. */
bool deliver_one(struct worker *w, struct msg *m, subno n);
/* One message to a member of a group: to one at random or, if that does not
 * take it, to the others in cyclic order.  True if one has taken it. */
bool deliver_group(struct worker *w, struct msg *m, const cellno *cell,
    uint32_t n);
/* Remove the subscriptions that have reached their max. */
void deliver_finish(struct worker *w);

/* Nobody took a message of a group: the first member here that is too slow for
 * it has lost it. */
void deliver_dropped(struct worker *w, const struct msg *m,
    const cellno *cell, uint32_t n);

/* slow.c: clients that do not take what is queued for them.  Is there a policy
 * that drops messages, so that nobody waits and nobody is closed for
 * max_pending? */
static inline bool
slow_drops(const struct worker *w)
{
	return w->conf.slow_consumer != CONF_SLOW_CLOSE;
}
/* It has more than max_pending; or has made no progress for write_deadline:
 * say so in the log, count it, close it. */
void slow_pending(struct worker *w, struct client *c);
void slow_deadline(struct worker *w, struct client *c);
/* With such a policy: how many of n messages of `unit` bytes may be queued
 * now.  The others it does not get. */
uint32_t slow_room(struct worker *w, struct client *c, size_t unit,
    uint32_t n);
/* What is no message is queued in any case, within reason: else it is
 * closed. */
bool slow_room_line(struct worker *w, struct client *c, size_t len);
/* It did not get n messages of `size` bytes each. */
void slow_dropped(struct worker *w, struct client *c, uint64_t n,
    uint64_t size);
/* Each tick: who keeps up again, or is dropped for still? */
void slow_tick(struct worker *w);
/* It goes. */
void slow_gone(struct worker *w, struct client *c);

/* refuse.c: 503s that wait for several slots */
void refuse_received(struct worker *w, uint32_t line, uint32_t num,
    uint32_t ticket, uint32_t nslots, struct slice subject,
    struct slice reply);
int refuse_init(struct worker *w);
void refuse_fini(struct worker *w);

/* trace.c */
void trace_in(const struct worker *w, const struct client *c,
    const char *verb, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void trace_payload(const struct worker *w, const struct client *c,
    const char *dir, const uint8_t *p, size_t len);
void trace_out(const struct worker *w, const struct client *c,
    const uint8_t *line, size_t len);

/* Room for lines with so many bytes of subject and reply; -1: no memory. */
int worker_scratch(struct worker *w, uint64_t len);

extern const struct subscriber_ops client_subscriber_ops;

#endif
