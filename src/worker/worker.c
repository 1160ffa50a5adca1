/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A worker's life: attach to the zones, seal itself in, serve, leave.  One
 * iteration of its loop is that of src/README, section 5:
 *
 *	wait -> drain the rings -> events -> read and route -> publish rings,
 *	ring bells -> flush -> quiescent state
 */
#include <config.h>

#include <sys/epoll.h>

#include <errno.h>
#ifdef HAVE_MALLOC_TRIM
#include <malloc.h>
#endif
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/tcp.h"
#include "conf/snapshot.h"
#include "proc/chan.h"
#include "proc/lastwords.h"
#include "proc/sandbox.h"
#include "shm/bell.h"
#include "shm/quiesce.h"
#include "worker/worker.h"
#include "worker/worker_priv.h"

/* Any peer could steal a ring of our bell.  A width of the loop's buckets. */
#define SLEEP_MAX_MS 1024
#define TICK_MS 100
#define LEAVE_MS 3000 /* to flush what there is */
/* So much freed since the last time is worth a walk over the heap. */
#define GIVE_BACK_BYTES (UINT64_C(4) << 20)
#define GIVE_BACK_MS 2000

/* ---- attach ---------------------------------------------------------- */

static int
map_zones(struct worker *w, const struct heritage *h)
{
	slotno s;

	if (zone_map_ro(&h->control, SLOTS_MAGIC, &w->zcontrol) != 0)
		return -1;
	w->slots = (const struct slots_shm *)(const void *)w->zcontrol.base;
	for (s = 0; s < w->nslots; s++) {
		if ((s == w->self ?
		    zone_map_rw(&h->own[s], OWN_MAGIC, &w->zown[s]) :
		    zone_map_ro(&h->own[s], OWN_MAGIC, &w->zown[s])) != 0 ||
		    zone_map_ro(&h->index[s], TRIE_MAGIC,
		    &w->zindex[s]) != 0)
			return -1;
		w->peer_own[s] = (const struct own_shm *)(const void *)
		    w->zown[s].base;
	}
	w->own = (struct own_shm *)(void *)w->zown[w->self].base;
	return zone_map_rw(&h->index[w->self], TRIE_MAGIC, &w->ztrie);
}

static void
index_broken(void *ctx, slotno slot)
{
	peer_broken(ctx, slot, "its subject index");
}

static int
attach_index(struct worker *w)
{
	uint64_t seed = w->slots->hash_seed;
	struct matcher *mt = &w->matcher;
	slotno s;

	w->quiesce.slots = w->slots;
	memcpy(w->quiesce.own, w->peer_own, sizeof w->quiesce.own);
	w->quiesce.self = w->self;
	if (trie_new(&w->ztrie, seed, &w->quiesce, w->conf.index_memory,
	    &w->trie) != 0 ||
	    subs_init(&w->subs, w->trie, seed, w->conf.index_memory) != 0)
		return -1;
	mt->slots = w->slots;
	mt->self = w->self;
	mt->hash_seed = seed;
	mt->broken = index_broken;
	mt->ctx = w;
	for (s = 0; s < w->nslots; s++)
		if (trie_reader_attach(&mt->reader[s], &w->zindex[s],
		    seed) != 0)
			return -1;
	mt->readable = UINT64_C(1) << w->self;
	return match_init(mt, w->conf.max_control_line / 2 + 2);
}

int
worker_scratch(struct worker *w, uint64_t len)
{
	uint64_t size = len + UINT16_MAX + 4096; /* with the longest sid */
	uint8_t *np;

	if (size <= w->scratch_size)
		return 0;
	if ((np = realloc(w->scratch, size)) == NULL)
		return -1;
	w->scratch = np;
	w->scratch_size = size;
	return 0;
}

/* The input buffer, with room for so much in front of what is read. */
static int
size_inbuf(struct worker *w, size_t front)
{
	uint8_t *np;

	front = (front + WORKER_PAGE - 1) & ~(size_t)(WORKER_PAGE - 1);
	if (front <= w->inbuf_front)
		return 0;
	np = aligned_alloc(WORKER_PAGE, front + WORKER_READ + WORKER_PAGE);
	if (np == NULL)
		return -1;
	free(w->inbuf);
	w->inbuf = np;
	w->inbuf_front = front;
	return 0;
}

/* Buffers that follow max_control_line. */
static int
size_buffers(struct worker *w)
{
	size_t line = w->conf.max_control_line;

	if (size_inbuf(w, 2 * line + WORKER_LARGE) != 0)
		return -1;
	/* A quoted subject takes four bytes for one. */
	if (worker_scratch(w, 4 * line) != 0)
		return -1;
	return match_set_tokens(&w->matcher, (uint32_t)line / 2 + 2);
}

static void
conf_apply(struct worker *w)
{
	w->mem_share = w->conf.memory_max / w->nworkers;
	log_set_debug(w->conf.debug);
	log_set_trace(w->conf.trace);
}

/* ---- control --------------------------------------------------------- */

static void
leave(struct worker *w)
{
	struct client *c;
	uint32_t line = 0;

	if (w->state == WORKER_LEAVING)
		return;
	w->state = WORKER_LEAVING;
	w->leave_by_ms = clock_mono_ms() + LEAVE_MS;
	accept_stop(w);
	/* No -ERR: end of file alone makes every client reconnect. */
	while ((c = client_walk(w, &line)) != NULL)
		client_list_add(w, c, LIST_FLUSH);
}

/* Clients whose credentials are no longer good are told so and closed. */
static void
conf_recheck_clients(struct worker *w, const struct conf *old)
{
	bool timeouts = w->conf.ping_interval_ms != old->ping_interval_ms ||
	    w->conf.ping_max != old->ping_max ||
	    w->conf.write_deadline_ms != old->write_deadline_ms;
	struct client *c;
	uint32_t line = 0;

	if (w->conf.max_connections != old->max_connections)
		accept_trim(w);
	while ((c = client_walk(w, &line)) != NULL) {
		client_recheck(w, c);
		/* New ones have them from the listening socket. */
		if (timeouts && !c->unix_peer)
			tcp_set_options(c->lfd.fd, w->conf.ping_interval_ms,
			    w->conf.ping_max, w->conf.write_deadline_ms);
	}
}

static void
conf_new(struct worker *w, int fd, uint64_t version)
{
	static struct conf next, old;
	uint64_t v;

	if (snapshot_read(fd, &next, &v) != 0 || v != version) {
		log_warn("configuration snapshot %llu is unusable",
		    (unsigned long long)version);
		return;
	}
	old = w->conf;
	w->conf = next;
	if (size_buffers(w) != 0) {
		w->conf = old;
		log_warn("no memory for the new configuration");
		return;
	}
	w->conf_version = version;
	conf_apply(w);
	conf_recheck_clients(w, &old);
	match_changed(&w->matcher); /* what was kept of lines is void */
	if (chan_send(w->chan.fd, CHAN_ACK, version, NULL, 0, -1) != 0)
		log_warn("cannot acknowledge configuration %llu",
		    (unsigned long long)version);
}

static void
chan_event(struct loop *loop, struct loop_fd *lfd, uint32_t events)
{
	struct worker *w = loop->ctx;
	struct chan_msg m;
	int r, error;

	/* A new configuration comes as a descriptor. */
	accept_reserve_use(w);
	while ((r = chan_recv(lfd->fd, &m)) == 1) {
		if (m.type == CHAN_GO && w->state == WORKER_STARTING) {
			w->state = WORKER_SERVING;
			accept_start(w);
		} else if (m.type == CHAN_CONF && m.fd != -1)
			conf_new(w, m.fd, m.arg);
		else if (m.type == CHAN_LISTEN && m.fd != -1) {
			accept_replace(w, m.arg, m.fd);
			m.fd = -1;
		} else if (m.type == CHAN_STOP)
			leave(w);
		else if (m.type == CHAN_FORGIVE)
			peer_forgive(w, m.arg);
		if (m.fd != -1)
			(void)close(m.fd);
	}
	error = errno;
	if (w->state == WORKER_SERVING)
		accept_reserve_keep(w);
	if (r == 0 || (error != EAGAIN && error != EPROTO)) {
		/* The master is gone, or a SIGTERM has shut it: so are we, as
		 * soon as it is decent. */
		if (!w->chan_eof)
			log_notice("the control channel has ended: leaving");
		w->chan_eof = true;
		loop_del(&w->loop, &w->chan);
		/* Both directions are shut: it is the master.  A new one may
		 * want the addresses, which one of us who is stopped has. */
		if ((events & EPOLLHUP) != 0)
			accept_shut(w);
		leave(w);
	}
}

static void
bell_event(struct loop *loop, struct loop_fd *lfd, uint32_t events)
{
	(void)loop;
	(void)lfd; /* it has woken us: that was all it is for */
	(void)events;
}

/* What slow readers, large messages and crowds had comes back to the kernel.
 * free() does that only for what ends the heap, and there a client or a chunk
 * of one that stays will lie: a worker would keep its largest size for ever.
 * Not all the time: pages that are wanted again cost a fault each. */
static void
give_back(struct worker *w)
{
	if (w->pool.freed - w->mem_freed < GIVE_BACK_BYTES ||
	    w->now_ms - w->mem_freed_ms < GIVE_BACK_MS)
		return;
	w->mem_freed = w->pool.freed;
	w->mem_freed_ms = w->now_ms;
#ifdef HAVE_MALLOC_TRIM
	(void)malloc_trim(0);
#endif
}

static void
tick(struct loop *loop, struct loop_timer *t)
{
	struct worker *w = loop->ctx;
	slotno s;

	client_tick(w);
	peer_watch(w);
	accept_tick(w);
	give_back(w);
	log_limited_flush(&w->limit_client, LOG_LVL_INFO);
	log_limited_flush(&w->limit_slow, LOG_LVL_INFO);
	for (s = 0; s < w->nslots; s++)
		if (w->peer[s].attached && w->peer[s].incarnation != 0)
			ring_tx_trim(&w->peer[s].tx);
	atomic_store_explicit(&w->score->memory, w->mem_in + w->pool.used,
	    memory_order_relaxed);
	atomic_store_explicit(&w->score->index_cells, trie_cells(w->trie),
	    memory_order_relaxed);
	/* At a whole SLEEP_MAX_MS if nothing is urgent: where pings are. */
	loop_timer_set(loop, t, client_first(w, LIST_BLOCKED) == NULL &&
	    client_first(w, LIST_WAIT) == NULL && w->drops == NULL ?
	    (w->now_ms / SLEEP_MAX_MS + 1) * SLEEP_MAX_MS :
	    w->now_ms + TICK_MS);
}

void
worker_tick_soon(struct worker *w)
{
	if (w->tick.due_ms > w->now_ms + TICK_MS)
		loop_timer_set(&w->loop, &w->tick, w->now_ms + TICK_MS);
}

static int
watch_process(struct worker *w, const struct heritage *h)
{
	w->chan.fd = h->chan;
	w->chan.events = EPOLLIN;
	w->chan.cb = chan_event;
	w->bell.fd = h->bell[w->self];
	w->bell.events = EPOLLIN | EPOLLET;
	w->bell.cb = bell_event;
	loop_timer_init(&w->tick, tick);
	if (loop_add(&w->loop, &w->chan) != 0 ||
	    loop_add(&w->loop, &w->bell) != 0)
		return -1;
	loop_timer_set(&w->loop, &w->tick, w->now_ms + TICK_MS);
	return 0;
}

/* ---- life ------------------------------------------------------------ */

static struct worker *
worker_new(const struct heritage *h)
{
	struct worker *w;

	if ((w = calloc(1, sizeof *w)) == NULL)
		return NULL;
	w->self = h->slot;
	w->incarnation = h->incarnation;
	w->nslots = h->nslots;
	w->nworkers = h->nworkers > 0 ? h->nworkers : 1;
	w->state = WORKER_STARTING;
	w->conf = *h->conf;
	w->conf_version = h->conf_version;
	memcpy(w->server_id, h->server_id, sizeof w->server_id);
	memcpy(w->info_host, h->info_host, sizeof w->info_host);
	w->info_port = h->info_port;
	w->rnd = hash_mix(clock_real_ns(), (uint64_t)getpid()) | 1;
	if (loop_init(&w->loop) != 0) {
		free(w);
		return NULL;
	}
	w->loop.ctx = w;
	w->now_ms = clock_mono_ms();
	return w;
}

static void
worker_start(struct worker *w, struct heritage *h)
{
	int keep[1];

	if (map_zones(w, h) != 0)
		fatal("worker %u: cannot map its zones", w->self);
	w->score = score_proc(&w->zown[w->self]);
	if (attach_index(w) != 0 || peer_attach(w, h) != 0 ||
	    refuse_init(w) != 0 || deal_init(w) != 0 || lane_init(w) != 0 ||
	    size_buffers(w) != 0 || accept_init(w, h) != 0 || watch_process(w, h) != 0)
		fatal("worker %u: cannot start", w->self);
	conf_apply(w);
	keep[0] = w->loop.epfd;
	heritage_close_rest(h, keep, 1);
	if (sandbox_seal(w->conf.core_dumps) != 0)
		fatal("worker %u: cannot seal itself in", w->self);
	quiesce_online(w->own);
	bell_disarm(w->own);
	peer_look(w);
	if (chan_send(w->chan.fd, CHAN_READY, 0, NULL, 0, -1) != 0)
		fatal("worker %u: cannot tell the master", w->self);
}

/* How long may it sleep?  0 if there is something to do. */
static int
sleep_ms(struct worker *w)
{
	int t = SLEEP_MAX_MS, next;

	if (client_first(w, LIST_READY) != NULL ||
	    client_first(w, LIST_DOOMED) != NULL)
		return 0;
	if ((next = stall_timeout(w)) >= 0 && next < t)
		t = next;
	if ((next = loop_next_timeout(&w->loop)) >= 0 && next < t)
		t = next;
	return t;
}

static void
wait_for_events(struct worker *w)
{
	int t = sleep_ms(w);

	if (t == 0) {
		quiesce_pass(w->own);
		(void)loop_wait(&w->loop, 0);
		return;
	}
	/* Arm, then look at everything that a bell would tell of again:
	 * pairs with peer_publish() and drain() in peer.c. */
	bell_arm(w->own);
	accept_balance(w);
	if (peer_want_space(w) || client_may_resume(w) || peer_pending(w))
		t = 0;
	quiesce_offline(w->own);
	(void)loop_wait(&w->loop, t);
	quiesce_online(w->own);
	bell_disarm(w->own);
}

static void
iteration(struct worker *w)
{
	wait_for_events(w);
	w->now_ms = clock_mono_ms();
	w->drained = false;
	peer_look(w);
	peer_drain(w);
	loop_dispatch(&w->loop);
	peer_pump(w);
	client_resume_waiting(w);
	client_read_ready(w);
	peer_pump(w);
	peer_publish(w);
	client_flush_all(w);
	client_reap(w);
	peer_say_waits(w, trie_reclaim(w->trie));
	accept_balance(w);
}

/* Everything that is to go out has gone, or its time is up. */
static bool
may_end(struct worker *w)
{
	uint32_t line = 0;
	struct client *c;

	if (w->state != WORKER_LEAVING)
		return false;
	if (clock_mono_ms() >= w->leave_by_ms)
		return true;
	while ((c = client_walk(w, &line)) != NULL)
		if (c->out.bytes > 0)
			return false;
	return !peer_pending(w);
}

static void
worker_end(struct worker *w)
{
	uint32_t line = 0;
	struct client *c;

	while ((c = client_walk(w, &line)) != NULL) {
		client_close(w, c, "Server Shutdown");
		client_reap(w);
	}
	while (client_first(w, LIST_DOOMED) != NULL)
		client_reap(w);
	peer_publish(w);
	log_debug("leaving");
}

static void
worker_free(struct worker *w)
{
	peer_fini(w);
	refuse_fini(w);
	receive_fini(w);
	free(w->deal);
	free(w->lane);
	match_fini(&w->matcher);
	subs_fini(&w->subs);
	trie_free(&w->trie);
	out_block_drop(&w->pool, &w->block);
	out_pool_fini(&w->pool);
	loop_fini(&w->loop);
	free(w->client);
	free(w->free_line);
	free(w->inbuf);
	free(w->scratch);
	free(w);
}

int
worker_main(struct heritage *h)
{
	struct worker *w;

	(void)signal(SIGPIPE, SIG_IGN);
	if ((w = worker_new(h)) == NULL)
		fatal("cannot start a worker");
	lastwords_set_who(serving_who, w);
	worker_start(w, h);
	while (!may_end(w))
		iteration(w);
	worker_end(w);
	lastwords_set_who(NULL, NULL);
	worker_free(w);
	return 0;
}
