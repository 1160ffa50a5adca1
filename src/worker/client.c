/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A client's connection: life, input, timers.
 *
 * Life: OPEN -> LINGER (an error, with or without a text; input is thrown away
 * until end of file, so that a reset does not overtake what is queued; or that
 * end was read and the replies to what came before it are still to leave) ->
 * DOOMED (marked) -> gone at the end of the iteration.  OPEN -> DOOMED directly when there is
 * nothing to say.
 */
#include <config.h>

#include <sys/epoll.h>
#include <sys/uio.h>

#include <netinet/in.h>

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdutil.h"
#include "base/panic.h"
#include "base/tcp.h"
#include "shm/crash.h"
#include "worker/worker_priv.h"

#define BIT(slot) (UINT64_C(1) << (slot))
#define LINGER_MS 1000
#define FIRST_PING_MS 2000
#define GRANT_MS 100
/* Subscriptions of clients that are gone, taken off in one iteration: a
 * millisecond or two, however many there are. */
#define UNSUBSCRIBE_MAX 4096
/* Of one read(): whoever made more is read less at a time. */
#define CHANGES_MANY 128
#define RTT_REFRESH_MS 3600000u

/* ---- lists ----------------------------------------------------------- */

static struct client *
linked(const struct worker *w, uint32_t link)
{
	return link == 0 ? NULL : w->client[link - 1];
}

struct client *
client_first(const struct worker *w, enum client_list l)
{
	return linked(w, w->list[l].first);
}

/* That of a list it is in, or about to be. */
static inline struct client_link *
link_of(struct client *c, enum client_list l)
{
	if (l < LIST_WAIT)
		return &c->link[l];
	return l == LIST_WAIT ? &c->waiting->link : &c->stall->link;
}

struct client *
client_next(const struct worker *w, struct client *c, enum client_list l)
{
	return linked(w, link_of(c, l)->next);
}

struct client *
client_walk(const struct worker *w, uint32_t *line)
{
	while (*line < w->lines_used)
		if (w->client[(*line)++] != NULL)
			return w->client[*line - 1];
	return NULL;
}

void
client_list_add(struct worker *w, struct client *c, enum client_list l)
{
	struct client_head *head = &w->list[l];
	uint32_t self = c->line + 1;
	struct client_link *k;

	if (client_listed(c, l))
		return;
	c->in_list |= (uint8_t)(1u << l);
	k = link_of(c, l);
	k->next = 0;
	k->prev = head->last;
	if (head->last != 0)
		link_of(linked(w, head->last), l)->next = self;
	else
		head->first = self;
	head->last = self;
}

void
client_list_del(struct worker *w, struct client *c, enum client_list l)
{
	struct client_head *head = &w->list[l];
	struct client_link *k;

	if (!client_listed(c, l))
		return;
	c->in_list &= (uint8_t)~(1u << l);
	k = link_of(c, l);
	if (k->next != 0)
		link_of(linked(w, k->next), l)->prev = k->prev;
	else
		head->last = k->prev;
	if (k->prev != 0)
		link_of(linked(w, k->prev), l)->next = k->next;
	else
		head->first = k->next;
}

/* Take the first off a list; NULL when all that stood there as the round
 * began are through: those that come back go to the end. */
static struct client *
next_of_round(struct worker *w, enum client_list l, uint32_t round)
{
	struct client *c = client_first(w, l);

	if (c == NULL || c->round == round)
		return NULL;
	c->round = round;
	client_list_del(w, c, l);
	return c;
}

struct client *
client_find(struct worker *w, uint32_t line, uint32_t num)
{
	struct client *c;

	if (line >= w->nclient_cap || (c = w->client[line]) == NULL ||
	    c->num != num)
		return NULL;
	return c;
}

/* A link-local address is one of a link, which the scoreboard has no room for:
 * the socket knows it. */
static void
add_zone(const struct client *c, char *out, size_t len)
{
	struct sockaddr_in6 sin6;
	socklen_t salen = sizeof sin6;
	char name[IF_NAMESIZE];
	size_t n = strlen(out);

	if (getpeername(c->lfd.fd, (struct sockaddr *)&sin6, &salen) != 0 ||
	    sin6.sin6_family != AF_INET6 || sin6.sin6_scope_id == 0)
		return;
	if (if_indextoname(sin6.sin6_scope_id, name) != NULL)
		(void)snprintf(out + n, len - n, "%%%s", name);
	else
		(void)snprintf(out + n, len - n, "%%%u",
		    (unsigned)sin6.sin6_scope_id);
}

void
client_address(const struct client *c, char out[CLIENT_ADDRESS_MAX])
{
	const struct in6_addr *a = (const void *)c->score->addr;

	out[0] = '\0';
	if (c->unix_peer)
		return;
	if (IN6_IS_ADDR_V4MAPPED(a))
		(void)inet_ntop(AF_INET, c->score->addr + 12, out,
		    CLIENT_ADDRESS_MAX);
	else
		(void)inet_ntop(AF_INET6, a, out, CLIENT_ADDRESS_MAX);
	if (IN6_IS_ADDR_LINKLOCAL(a))
		add_zone(c, out, CLIENT_ADDRESS_MAX);
}

const char *
client_name(const struct worker *w, const struct client *c)
{
	static char text[512];
	char addr[CLIENT_ADDRESS_MAX];
	int port = (int)atomic_load_explicit(&c->score->port,
	    memory_order_relaxed);
	size_t n;

	client_address(c, addr);
	n = (size_t)snprintf(text, sizeof text, strchr(addr, ':') != NULL ?
	    "[%s]:%d - cid:%llu" : "%s:%d - cid:%llu",
	    addr[0] != '\0' ? addr : "unix", port,
	    (unsigned long long)worker_cid(w, c->num));
	if (c->connected && c->score->lang[0] != '\0')
		(void)snprintf(text + n, sizeof text - n,
		    " - \"v%s:%s:%s\"", c->score->version, c->score->lang,
		    c->score->name);
	return text;
}

/* ---- life ------------------------------------------------------------ */

static void client_event(struct loop *loop, struct loop_fd *lfd,
    uint32_t events);
static void client_timer(struct loop *loop, struct loop_timer *t);

static void
score_peer(struct client *c, const struct sockaddr_storage *addr)
{
	const struct sockaddr_in6 *in6 = (const void *)addr;
	const struct sockaddr_in *in = (const void *)addr;
	struct score_conn_shm *s = c->score;
	uint16_t port = 0;

	memset(s->addr, 0, sizeof s->addr);
	if (addr->ss_family == AF_INET) {
		s->addr[10] = s->addr[11] = 0xff;
		memcpy(s->addr + 12, &in->sin_addr, 4);
		port = ntohs(in->sin_port);
	} else if (addr->ss_family == AF_INET6) {
		memcpy(s->addr, &in6->sin6_addr, 16);
		port = ntohs(in6->sin6_port);
	}
	atomic_store_explicit(&s->port, port, memory_order_relaxed);
	atomic_store_explicit(&s->transport, c->unix_peer,
	    memory_order_relaxed);
}

static void
score_open(struct worker *w, struct client *c,
    const struct sockaddr_storage *addr)
{
	struct score_conn_shm *s = score_conn(&w->zown[w->self], c->line);

	memset((void *)s, 0, sizeof *s);
	c->score = s;
	score_peer(c, addr);
	atomic_store_explicit(&s->cid, worker_cid(w, c->num),
	    memory_order_relaxed);
	atomic_store_explicit(&s->start_ns, clock_real_ns(),
	    memory_order_relaxed);
	atomic_store_explicit(&s->last_ms, w->now_ms, memory_order_relaxed);
	atomic_store_explicit(&s->state, SCORE_OPEN, memory_order_release);
}

static void
defaults(struct worker *w, struct client *c)
{
	struct connect_opts o;

	connect_init(&o);
	c->verbose = o.verbose;
	c->pedantic = o.pedantic;
	c->echo = o.echo;
	c->authorized = !w->conf.auth_required;
}

struct client *
client_new(struct worker *w, int fd, const struct sockaddr_storage *addr,
    bool unix_peer, uint32_t line)
{
	struct client *c;
	int error;

	if ((c = calloc(1, sizeof *c)) == NULL)
		goto fail;
	c->who.ops = &client_subscriber_ops;
	c->lfd.fd = fd;
	c->lfd.events = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP |
	    EPOLLET;
	c->lfd.cb = client_event;
	loop_timer_init(&c->timer, client_timer);
	if (loop_add(&w->loop, &c->lfd) != 0)
		goto fail;
	c->line = line;
	c->num = ++w->next_num;
	c->unix_peer = unix_peer;
	score_open(w, c, addr);
	defaults(w, c);
	c->last_progress_ms = (uint32_t)w->now_ms;
	c->counted = true;
	w->client[line] = c;
	client_timer_start(w, c);
	return c;
fail:
	error = errno;
	free(c);
	errno = error;
	return NULL;
}

void
client_unsubscribe(struct worker *w, struct client *c)
{
	if (c->subs.n == 0)
		return;
	score_sub(&w->score->subscriptions, c->subs.n);
	subs_del_all(&w->subs, &c->subs, ACCOUNT_DEFAULT);
	match_changed(&w->matcher);
	atomic_store_explicit(&c->score->subscriptions, 0,
	    memory_order_relaxed);
}

static void
drop_in(struct worker *w, struct client *c)
{
	if (c->in == NULL)
		return;
	w->mem_in -= c->in->cap;
	free(c->in);
	c->in = NULL;
}

static void
drop_big(struct worker *w, struct client *c)
{
	if (c->big == NULL)
		return;
	w->mem_in -= c->big->cap;
	w->pool.freed += c->big->cap;
	free(c->big);
	c->big = NULL;
}

/* It goes on, or is closed; it is off LIST_WAIT. */
static void
wait_end(struct client *c)
{
	free(c->waiting);
	c->waiting = NULL;
	c->wait = WAIT_NONE;
}

/* No more input is taken from it, and it is no connection any more.  The
 * input stays: a message in it may be on its way to others right now. */
static void
retire(struct worker *w, struct client *c)
{
	client_list_del(w, c, LIST_WAIT);
	client_list_del(w, c, LIST_STALLED);
	wait_end(c);
	stall_end(c);
	if (c->counted) {
		c->counted = false;
		score_sub(&w->score->connections, 1);
	}
}

void
client_close(struct worker *w, struct client *c, const char *reason)
{
	if (c->state == CLIENT_DOOMED)
		return;
	if (c->state == CLIENT_OPEN)
		log_debug("%s - Client connection closed: %s",
		    client_name(w, c), reason);
	retire(w, c);
	c->state = CLIENT_DOOMED;
	client_list_add(w, c, LIST_DOOMED);
}

void
client_fail(struct worker *w, struct client *c, const char *reason)
{
	char text[128];

	(void)snprintf(text, sizeof text, "%s: %s", reason, strerror(errno));
	client_close(w, c, text);
}

void
client_no_memory(struct worker *w, struct client *c)
{
	if (c->state == CLIENT_DOOMED)
		return;
	log_limited(&w->limit_client, LOG_LVL_WARN,
	    "%s - closed: there is no memory for what it needs",
	    client_name(w, c));
	client_close(w, c, "Out of Memory");
}

/* The last is queued: take nothing more, let it read that for so long, then
 * close. */
static void
linger(struct worker *w, struct client *c, const char *reason, uint64_t ms)
{
	if (c->state != CLIENT_OPEN)
		return;
	log_debug("%s - Client connection closed: %s", client_name(w, c),
	    reason);
	retire(w, c);
	if (c->subs.n <= UNSUBSCRIBE_MAX)
		client_unsubscribe(w, c);
	c->state = CLIENT_LINGER;
	client_list_add(w, c, LIST_FLUSH);
	if (c->blocked && w->conf.write_deadline_ms > ms)
		ms = w->conf.write_deadline_ms;
	loop_timer_set(&w->loop, &c->timer, w->now_ms + ms);
}

/* What the client is told, as it stands at the beginning of scratch, n bytes;
 * or why, if it is told nothing.  What is no part of that text follows. */
static void
log_error(struct worker *w, struct client *c, enum perr e, struct slice arg,
    size_t n)
{
	const char *text = perr_reason(e);
	size_t len = strlen(text);

	if (n > 0) {
		text = (const char *)w->scratch + strlen("-ERR '");
		len = n - strlen("-ERR ''\r\n");
	}
	if (perr_has_args(e))
		arg.len = 0;
	log_limited(&w->limit_client, LOG_LVL_CLIENT, "%s - %.*s%s%.*s",
	    client_name(w, c), (int)(len < 512 ? len : 512), text,
	    arg.len > 0 ? ": " : "", (int)(arg.len < 256 ? arg.len : 256),
	    (const char *)arg.p);
}

void
client_error(struct worker *w, struct client *c, enum perr e,
    struct slice arg, struct slice arg2)
{
	struct perr_arg a = { arg.p, arg.len }, b = { arg2.p, arg2.len };
	size_t n;

	n = perr_line(e, &a, &b, (char *)w->scratch, w->scratch_size);
	log_error(w, c, e, arg, n);
	if (n > 0) {
		if (log_trace_on())
			trace_out(w, c, w->scratch, n - 2);
		client_write(w, c, w->scratch, n);
	}
	/* Without a text too: messages may be queued that it was promised. */
	if (perr_closes(e))
		linger(w, c, perr_reason(e), LINGER_MS);
}

/* It holds nothing any more but its subscriptions. */
static void
let_go(struct worker *w, struct client *c)
{
	enum client_list l;

	slow_gone(w, c);
	drop_big(w, c);
	drop_in(w, c);
	/* What is queued leaves if the socket takes it at once. */
	client_flush(w, c);
	out_clear(&w->pool, &c->out);
	client_tell_pending(c);
	if (!c->unix_peer)
		tcp_set_patience(c->lfd.fd, w->conf.write_deadline_ms >
		    LINGER_MS ? w->conf.write_deadline_ms : LINGER_MS);
	loop_timer_cancel(&w->loop, &c->timer);
	loop_close(&w->loop, &c->lfd);
	if (c->bigmsg != NULL)
		big_client_gone(c->bigmsg);
	for (l = 0; l < LISTS; l++)
		if (l != LIST_DOOMED)
			client_list_del(w, c, l);
	atomic_store_explicit(&c->score->state, SCORE_FREE,
	    memory_order_release);
}

/* Subscriptions of those that are gone, within the budget. */
static bool
unsubscribed(struct worker *w, struct client *c, uint32_t *budget)
{
	uint32_t before = c->subs.n;
	bool all = subs_del_some(&w->subs, &c->subs, ACCOUNT_DEFAULT, budget);

	if (c->subs.n != before) {
		score_sub(&w->score->subscriptions, before - c->subs.n);
		match_changed(&w->matcher);
	}
	return all;
}

static void
client_free(struct worker *w, struct client *c)
{
	client_list_del(w, c, LIST_DOOMED);
	w->client[c->line] = NULL;
	accept_line_free(w, c->line);
	connect_free(&c->credentials);
	free(c);
	w->pool.freed += sizeof *c;
}

void
client_error_note(struct worker *w, struct client *c, enum perr e,
    const char *fmt, ...)
{
	struct slice note = { NULL, 0 }, none = { NULL, 0 };
	char text[256];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (n > 0) {
		note.p = (const uint8_t *)text;
		note.len = (uint32_t)strlen(text);
	}
	client_error(w, c, e, note, none);
}

void
client_reap(struct worker *w)
{
	uint32_t budget = UNSUBSCRIBE_MAX;
	struct client *c, *next;

	for (c = client_first(w, LIST_DOOMED); c != NULL; c = next) {
		next = client_next(w, c, LIST_DOOMED);
		worker_serves(w, c);
		if (c->lfd.fd != -1)
			let_go(w, c);
		/* Nothing is delivered to it, whatever others may find. */
		if (unsubscribed(w, c, &budget))
			client_free(w, c);
		worker_serves(w, NULL);
	}
}

/* ---- timers ---------------------------------------------------------- */

static uint64_t
jitter(struct worker *w, uint64_t ms)
{
	return ms + worker_random(w) % (ms / 5 + 1);
}

void
client_timer_start(struct worker *w, struct client *c)
{
	uint64_t ms = w->conf.ping_interval_ms;

	if (!c->authorized)
		ms = w->conf.auth_timeout_ms;
	else if (c->connected) {
		c->first_ping = true;
		ms = jitter(w, ms < FIRST_PING_MS ? ms : FIRST_PING_MS);
	}
	loop_timer_set(&w->loop, &c->timer, w->now_ms + ms);
}

static void
ping(struct worker *w, struct client *c)
{
	if (c->pings_out + 1u > w->conf.ping_max) {
		score_add(&w->score->stale_connections, 1);
		client_error_note(w, c, PERR_STALE, "%u PINGs not answered",
		    c->pings_out);
		return;
	}
	c->pings_out++;
	c->ping_sent_ns = clock_mono_ns();
	if (log_trace_on())
		trace_out(w, c, (const uint8_t *)"PING", 4);
	client_write(w, c, "PING\r\n", 6);
	/* Many are due at once: no chunk of output is to be held for each. */
	client_flush_early(w, c);
}

static void
ping_due(struct worker *w, struct client *c)
{
	uint64_t interval = w->conf.ping_interval_ms;
	bool quiet = w->now_ms - score_get(&c->score->last_ms) >= interval;
	/* As nats-server: an hour after the last PING. */
	bool refresh = c->rtt_known &&
	    w->now_ms > c->ping_sent_ns / 1000000 + RTT_REFRESH_MS;

	/* If its input waits, its silence is ours: so may its PONG. */
	if (c->wait == WAIT_NONE && (c->first_ping || quiet || refresh)) {
		ping(w, c);
		c->first_ping = false;
	}
	if (c->state == CLIENT_OPEN)
		loop_timer_set(&w->loop, &c->timer, w->now_ms + interval);
}

static void
client_timer(struct loop *loop, struct loop_timer *t)
{
	struct worker *w = loop->ctx;
	struct client *c = LOOP_EMBEDDED(t, struct client, timer);

	if (c->state == CLIENT_LINGER)
		client_close(w, c, "lingered");
	else if (c->state != CLIENT_OPEN)
		return;
	else if (c->readable && c->wait == WAIT_NONE && !c->granted) {
		/* What it has sent is not read yet; when we were stopped, or
		 * slow, its CONNECT or PONG may be among it. */
		c->granted = true;
		loop_timer_set(loop, t, w->now_ms + GRANT_MS);
		return;
	} else if (!c->authorized) {
		score_add(&w->score->auth_errors, 1);
		client_error_note(w, c, PERR_AUTH_TIMEOUT,
		    "no CONNECT within %llums",
		    (unsigned long long)w->conf.auth_timeout_ms);
	} else
		ping_due(w, c);
	c->granted = false;
}

/* The reservation that has been longest without a byte makes room. */
static void
memory_deadline(struct worker *w)
{
	struct client *c, *oldest = NULL, *first = NULL;
	uint32_t line = 0;

	for (c = client_first(w, LIST_WAIT); c != NULL;
	    c = client_next(w, c, LIST_WAIT))
		if (c->wait == WAIT_MEMORY) {
			first = c;
			break;
		}
	if (first == NULL ||
	    w->now_ms - first->waiting->since_ms < w->conf.write_deadline_ms)
		return;
	while ((c = client_walk(w, &line)) != NULL)
		if (c->state == CLIENT_OPEN && c->big != NULL &&
		    c->big->len < c->big->cap && (oldest == NULL ||
		    c->big->since_ms < oldest->big->since_ms))
			oldest = c;
	first->waiting->since_ms = w->now_ms;
	if (oldest == NULL)
		return;
	log_limited(&w->limit_client, LOG_LVL_WARN,
	    "%s - closed: memory_max is reached and its payload does not come",
	    client_name(w, oldest));
	client_close(w, oldest, "Out of Memory");
}

static size_t
unsent(const struct client *c)
{
	return c->out.bytes;
}

/* Input that waits: parked, or of a message that is not whole. */
static size_t
unread(const struct client *c)
{
	return (c->in != NULL ? c->in->cap : 0) +
	    (c->big != NULL ? c->big->cap : 0);
}

static struct client *
with_most(struct worker *w, size_t (*bytes)(const struct client *))
{
	struct client *c, *most = NULL;
	uint32_t line = 0;

	while ((c = client_walk(w, &line)) != NULL)
		if (c->state != CLIENT_DOOMED && bytes(c) > 0 &&
		    (most == NULL || bytes(c) > bytes(most)))
			most = c;
	return most;
}

/* Whoever reads least is closed; NULL if nobody has anything to read. */
/* What those that are closed already have pending is nobody else's fault. */
static void
empty_doomed(struct worker *w)
{
	struct client *c;

	for (c = client_first(w, LIST_DOOMED); c != NULL;
	    c = client_next(w, c, LIST_DOOMED)) {
		if (c->lfd.fd == -1 || c->out.bytes == 0)
			continue;
		client_flush_early(w, c);
		out_clear(&w->pool, &c->out);
	}
}

static struct client *
close_slowest(struct worker *w)
{
	struct client *c = with_most(w, unsent);

	if (c == NULL)
		return NULL;
	score_add(&w->score->slow_consumers, 1);
	log_limited(&w->limit_client, LOG_LVL_WARN,
	    "%s - closed: memory_max is reached and it has most pending (%zu "
	    "bytes)", client_name(w, c), unsent(c));
	client_close(w, c, "Slow Consumer (Pending Bytes)");
	out_clear(&w->pool, &c->out);
	return c;
}

void
client_relieve(struct worker *w)
{
	struct client *c, *next;

	/* Who lingers stays in the list: client_flush_all() ends it. */
	for (c = client_first(w, LIST_FLUSH); c != NULL; c = next) {
		next = client_next(w, c, LIST_FLUSH);
		if (!c->blocked && c->state == CLIENT_OPEN)
			client_flush_early(w, c);
	}
	empty_doomed(w);
	while (worker_crowded(w) && close_slowest(w) != NULL)
		;
}

/* All of memory_max is used: whoever reads least pays; where all read, whoever
 * has most input waiting. */
static void
memory_over(struct worker *w)
{
	struct client *c;

	empty_doomed(w);
	while (worker_memory(w) == MEMORY_OVER) {
		if ((c = close_slowest(w)) == NULL) {
			if ((c = with_most(w, unread)) == NULL)
				return;
			log_limited(&w->limit_client, LOG_LVL_WARN,
			    "%s - closed: memory_max is reached and it has "
			    "most input waiting (%zu bytes)",
			    client_name(w, c), unread(c));
			client_close(w, c, "Out of Memory");
		}
		drop_big(w, c);
		drop_in(w, c);
	}
}

static void
write_deadlines(struct worker *w)
{
	struct client *c, *next;

	for (c = client_first(w, LIST_BLOCKED); c != NULL; c = next) {
		next = client_next(w, c, LIST_BLOCKED);
		if (c->out.bytes == 0 || c->state != CLIENT_OPEN ||
		    client_no_progress_ms(w, c) <=
		    w->conf.write_deadline_ms || client_progress(w, c))
			continue;
		slow_deadline(w, c);
		out_clear(&w->pool, &c->out);
	}
}

void
client_tick(struct worker *w)
{
	write_deadlines(w);
	memory_deadline(w);
	slow_tick(w);
}

/* ---- waiting --------------------------------------------------------- */

bool
client_hold(struct worker *w, struct client *c, enum client_why why,
    uint64_t slots)
{
	struct client_wait *k;

	k = malloc(sizeof *k +
	    (why == WAIT_BARRIER ? SLOTS_MAX * sizeof *k->number : 0));
	if (k == NULL) {
		client_no_memory(w, c);
		return false;
	}
	k->slots = slots;
	k->since_ms = w->now_ms;
	c->waiting = k;
	c->wait = (uint8_t)why;
	worker_tick_soon(w);
	if (why == WAIT_RING)
		w->parked |= slots;
	client_list_add(w, c, LIST_WAIT);
	client_list_del(w, c, LIST_READY);
	return true;
}

static bool
room_for_big(const struct worker *w, uint32_t need)
{
	return worker_memory(w) == MEMORY_OK &&
	    w->mem_in + w->pool.used + need <= w->mem_share;
}

bool
client_released(struct worker *w, struct client *c)
{
	uint64_t set;
	slotno s;

	switch (c->wait) {
	case WAIT_RING:
		if ((c->waiting->slots & w->parked) != 0)
			return false; /* others are before it */
		for (set = c->waiting->slots; set != 0; set &= set - 1)
			if (!peer_ready(w, (slotno)__builtin_ctzll(set)))
				return false;
		return true;
	case WAIT_BARRIER:
		for (set = c->waiting->slots; set != 0; set &= set - 1) {
			s = (slotno)__builtin_ctzll(set);
			if (!peer_answered(w, s, c->waiting->number[s]))
				return false;
		}
		return true;
	case WAIT_BIG:
		return c->bigmsg == NULL;
	case WAIT_MEMORY:
		/* Or never, after a reload: start_big() says so. */
		return c->need > w->mem_share || room_for_big(w, c->need);
	default:
		return true;
	}
}

void
client_resume_waiting(struct worker *w)
{
	uint32_t round = ++w->round;
	struct client *c;

	stall_release(w);
	w->parked = 0;
	while ((c = next_of_round(w, LIST_WAIT, round)) != NULL) {
		if (stall_holds(c))
			client_list_add(w, c, LIST_WAIT);
		else if (client_released(w, c))
			client_resume(w, c);
		else {
			client_list_add(w, c, LIST_WAIT);
			if (c->wait == WAIT_RING)
				w->parked |= c->waiting->slots;
		}
	}
}

bool
client_may_resume(struct worker *w)
{
	uint64_t parked = w->parked;
	struct client *c;

	w->parked = 0;
	for (c = client_first(w, LIST_WAIT); c != NULL;
	    c = client_next(w, c, LIST_WAIT)) {
		if (stall_holds(c))
			continue;
		if (client_released(w, c))
			break;
		if (c->wait == WAIT_RING)
			w->parked |= c->waiting->slots;
	}
	w->parked = parked;
	return c != NULL;
}

/* ---- input ----------------------------------------------------------- */

/* Room for so many bytes; NULL (and the client is closed): no memory. */
static struct client_input *
input_new(struct worker *w, struct client *c, size_t cap)
{
	struct client_input *in = malloc(sizeof *in + cap);

	if (in == NULL) {
		client_no_memory(w, c);
		return NULL;
	}
	in->len = 0;
	in->cap = (uint32_t)cap;
	w->mem_in += cap;
	return in;
}

/* Keep what was not used; p may lie in c->in. */
static void
keep_input(struct worker *w, struct client *c, const uint8_t *p, size_t len)
{
	struct client_input *in;

	if (len == 0) {
		drop_in(w, c);
		return;
	}
	/* What lies in it fits. */
	if (c->in == NULL || len > c->in->cap) {
		if ((in = input_new(w, c, len)) == NULL)
			return;
		drop_in(w, c);
		c->in = in;
	}
	memmove(c->in->data, p, len);
	c->in->len = (uint32_t)len;
}

/* The message that begins at p is not whole and large: a buffer of its
 * size, reserved as a whole. */
static void
start_big(struct worker *w, struct client *c, const uint8_t *p, size_t len)
{
	uint32_t need = c->need;

	if (need > w->mem_share) {
		log_limited(&w->limit_client, LOG_LVL_ERR,
		    "%s - closed: a message of %u bytes is more than this "
		    "worker's share of memory_max (%llu)", client_name(w, c),
		    need, (unsigned long long)w->mem_share);
		client_close(w, c, "Out of Memory");
		return;
	}
	if (!room_for_big(w, need)) {
		keep_input(w, c, p, len);
		(void)client_hold(w, c, WAIT_MEMORY, 0);
		return;
	}
	if ((c->big = input_new(w, c, need)) == NULL)
		return;
	c->big->len = (uint32_t)len;
	c->big->since_ms = w->now_ms;
	memcpy(c->big->data, p, len);
	drop_in(w, c);
}

/* Act on p[0..len); keep the rest. */
static void
process(struct worker *w, struct client *c, const uint8_t *p, size_t len,
    const uint8_t *safe)
{
	size_t used;

	c->need = 0;
	used = verbs_process(w, c, p, len, safe);
	if (c->state != CLIENT_OPEN)
		return;
	if (c->wait == WAIT_NONE && c->need > WORKER_LARGE)
		start_big(w, c, p + used, len - used);
	else
		keep_input(w, c, p + used, len - used);
}

/* The large message is whole.  True if it was used; *more: its last byte was
 * not, which then stands behind a bare LF and is the next line's first. */
static bool
process_big(struct worker *w, struct client *c, bool *more, uint8_t *next)
{
	uint8_t *p = c->big->data;
	size_t have = c->big->len, used;

	*more = false;
	*next = p[have - 1];
	used = verbs_process(w, c, p, have, p + have);
	if (used == 0 || c->state != CLIENT_OPEN)
		return false;
	*more = used < have;
	drop_big(w, c); /* unless it goes on through the rings */
	return true;
}

/* With its CR LF, or with a bare LF. */
static bool
big_whole(const struct client *c)
{
	const struct client_input *big = c->big;

	return big != NULL && (big->len == big->cap ||
	    (big->len == big->cap - 1 && big->data[big->len - 1] == '\n'));
}

/* Put a byte in front of the input that waits. */
static int
unread_byte(struct worker *w, struct client *c, uint8_t byte)
{
	size_t len = c->in != NULL ? c->in->len : 0;
	struct client_input *in = input_new(w, c, len + 1);

	if (in == NULL)
		return -1;
	in->data[0] = byte;
	if (len > 0)
		memcpy(in->data + 1, c->in->data, len);
	in->len = (uint32_t)len + 1;
	drop_in(w, c);
	c->in = in;
	return 0;
}

void
client_resume(struct worker *w, struct client *c)
{
	bool more;
	uint8_t next;

	worker_serves(w, c);
	wait_end(c);
	w->drained = false;
	peer_look(w);
	if (big_whole(c)) {
		if (!process_big(w, c, &more, &next))
			return;
		if (more && unread_byte(w, c, next) != 0)
			return;
	}
	if (c->state == CLIENT_OPEN && c->wait == WAIT_NONE && c->in != NULL)
		process(w, c, c->in->data, c->in->len,
		    c->in->data + c->in->len);
	if (c->state == CLIENT_OPEN && c->wait == WAIT_NONE && c->readable &&
	    !client_listed(c, LIST_STALLED))
		client_list_add(w, c, LIST_READY);
}

static void
input_end(struct worker *w, struct client *c, ssize_t n)
{
	if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
		c->readable = errno == EINTR;
		return;
	}
	c->readable = false;
	c->ended = n == 0;
	if (n == -1)
		client_fail(w, c, "Read Error");
	else if (c->out.bytes == 0)
		client_close(w, c, "Client Closed");
	else if (c->state == CLIENT_OPEN)
		/* Half-closed: it gets what is queued for it. */
		linger(w, c, "Client Closed", w->conf.write_deadline_ms);
}

/* Into the large message's buffer, and what follows into the big one. */
static void
read_big(struct worker *w, struct client *c, size_t most)
{
	uint32_t rest = c->big->cap - c->big->len;
	uint8_t *in = worker_in(w);
	struct iovec iov[2];
	size_t asked = rest + most;
	bool more;
	ssize_t n;

	iov[0].iov_base = c->big->data + c->big->len;
	iov[0].iov_len = rest;
	iov[1].iov_base = in;
	iov[1].iov_len = most;
	n = readv(c->lfd.fd, iov, 2);
	if (n <= 0) {
		input_end(w, c, n);
		return;
	}
	c->readable = (size_t)n == asked || c->to_end;
	c->big->since_ms = w->now_ms;
	peer_look(w);
	if ((size_t)n < rest) {
		c->big->len += (uint32_t)n;
		n = 0;
		if (!big_whole(c))
			return;
	} else {
		c->big->len = c->big->cap;
		n -= rest;
	}
	if (process_big(w, c, &more, in - 1) && more) {
		in--;
		n++;
	}
	if (c->state != CLIENT_OPEN || n == 0)
		return;
	if (c->wait != WAIT_NONE || c->big != NULL)
		keep_input(w, c, in, (size_t)n);
	else
		process(w, c, in, (size_t)n, in + n + OUT_SLACK);
}

static void
discard(struct worker *w, struct client *c)
{
	ssize_t n = read(c->lfd.fd, worker_in(w), WORKER_READ);

	if (n <= 0)
		input_end(w, c, n);
}

void
client_read(struct worker *w, struct client *c)
{
	size_t most = stall_read_max(w, c, worker_memory(w) != MEMORY_OK ?
	    WORKER_READ_TIGHT : c->changing ? WORKER_READ_CHANGES :
	    WORKER_READ);
	uint64_t changes = w->matcher.view;
	uint8_t *in = worker_in(w);
	size_t carry = c->in != NULL ? c->in->len : 0;
	ssize_t n;

	worker_serves(w, c);
	w->drained = false;
	if (c->state == CLIENT_LINGER) {
		discard(w, c);
		return;
	}
	ASSERT(carry <= w->inbuf_front);
	if (c->big != NULL) {
		read_big(w, c, most);
		return;
	}
	n = read(c->lfd.fd, in, most);
	if (n <= 0) {
		input_end(w, c, n);
		return;
	}
	CRASH_POINT("client.read");
	c->readable = (size_t)n == most || c->to_end;
	peer_look(w);
	if (carry > 0)
		memcpy(in - carry, c->in->data, carry);
	process(w, c, in - carry, carry + (size_t)n, in + n + OUT_SLACK);
	c->changing = w->matcher.view - changes > CHANGES_MANY;
}

/* Where many connect at once no chunk of output is to be held for each; what
 * others have to get before it goes first. */
static void
flush_pong(struct worker *w, struct client *c)
{
	const struct client_head *head = &w->list[LIST_FLUSH];

	if (head->first == c->line + 1 && head->last == head->first &&
	    c->state == CLIENT_OPEN && !c->blocked)
		client_flush_early(w, c);
}

void
client_read_ready(struct worker *w)
{
	uint32_t round = ++w->round;
	struct client *c;

	/* The rest of them in the next iteration if memory is short by then:
	 * client_flush_all() first sees to that. */
	while (worker_memory(w) != MEMORY_OVER &&
	    (c = next_of_round(w, LIST_READY, round)) != NULL) {
		if (c->state == CLIENT_DOOMED || c->wait != WAIT_NONE ||
		    client_listed(c, LIST_STALLED))
			continue;
		c->ponged = false;
		client_read(w, c);
		stall_after_read(w, c);
		if (c->ponged)
			flush_pong(w, c);
		if (c->readable && c->state != CLIENT_DOOMED &&
		    c->wait == WAIT_NONE && !client_listed(c, LIST_STALLED))
			client_list_add(w, c, LIST_READY);
	}
	worker_serves(w, NULL);
}

static void
half_close(struct worker *w, struct client *c)
{
	drop_big(w, c);
	drop_in(w, c);
	if (c->out.bytes > 0 || c->half_closed)
		return;
	c->half_closed = true;
	if (shutdown(c->lfd.fd, SHUT_WR) != 0 ||
	    c->ended || (c->eof && !c->readable))
		client_close(w, c, "Client Closed");
	else if (c->readable)
		client_list_add(w, c, LIST_READY);
}

void
client_flush_all(struct worker *w)
{
	struct client *c;

	while ((c = client_first(w, LIST_FLUSH)) != NULL) {
		client_list_del(w, c, LIST_FLUSH);
		worker_serves(w, c);
		if (!c->blocked)
			client_flush(w, c);
		if (c->state == CLIENT_LINGER)
			half_close(w, c);
	}
	CRASH_POINT("client.flushed");
	worker_serves(w, NULL);
	/* Now that all who read have what there was for them. */
	if (worker_memory(w) == MEMORY_OVER)
		memory_over(w);
}

static void
client_event(struct loop *loop, struct loop_fd *lfd, uint32_t events)
{
	struct worker *w = loop->ctx;
	struct client *c = LOOP_EMBEDDED(lfd, struct client, lfd);

	if (c->state == CLIENT_DOOMED)
		return;
	if (events & EPOLLOUT) {
		c->blocked = false;
		if (c->out.bytes > 0)
			client_list_add(w, c, LIST_FLUSH);
	}
	if (events & (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
		if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
			c->eof = true;
		/* A short read usually tells that there is no more for now,
		 * but not that the end is behind it, nor what is behind a mark
		 * of urgent data, where a read stops. */
		if (events & (EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
			c->to_end = true;
		c->readable = true;
		if (c->wait == WAIT_NONE && !client_listed(c, LIST_STALLED))
			client_list_add(w, c, LIST_READY);
	}
}
