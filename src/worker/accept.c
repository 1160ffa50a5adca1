/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * New connections: how many this worker takes, and how many there may be.
 *
 * All workers wait for the same listening sockets (EPOLLEXCLUSIVE), accept
 * one connection per turn, and take the sockets out of their set while they
 * have more than 17/16 of the live workers' mean plus one: left alone, the
 * kernel gives nearly all of them to one worker.
 */
#include <config.h>

#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "proto/info.h"
#include "shm/crash.h"
#include "worker/worker_priv.h"

#define BIT(slot) (UINT64_C(1) << (slot))
#define PAUSE_FIRST_MS 10
#define PAUSE_MAX_MS 1000
/* Descriptors for those that are told to go, until they have read it. */
#define LEAVING 16
/* Accepting has recovered when nothing has failed for so long. */
#define RECOVERED_MS 2000
/* The level of the protocol that is spoken, not natsd's own version: clients
 * switch features on it. */
#define INFO_VERSION "2.9.25-natsd" PACKAGE_VERSION

/* ---- lines of the scoreboard ----------------------------------------- */

static int
line_grow(struct worker *w)
{
	uint32_t cap = w->nclient_cap == 0 ? 64 : w->nclient_cap * 2;
	struct client **nc;
	uint32_t *nf;

	if ((nc = realloc(w->client, cap * sizeof *nc)) == NULL)
		return -1;
	memset(nc + w->nclient_cap, 0,
	    (cap - w->nclient_cap) * sizeof *nc);
	w->client = nc;
	if ((nf = realloc(w->free_line, cap * sizeof *nf)) == NULL)
		return -1;
	w->free_line = nf;
	w->nclient_cap = cap;
	return 0;
}

static int
line_get(struct worker *w, uint32_t *line)
{
	if (w->nfree_line > 0) {
		*line = w->free_line[--w->nfree_line];
		return 0;
	}
	if (w->lines_used >= w->slots->nlines)
		return -1;
	if (w->lines_used == w->nclient_cap && line_grow(w) != 0)
		return -1;
	*line = w->lines_used++;
	return 0;
}

void
accept_line_free(struct worker *w, uint32_t line)
{
	w->free_line[w->nfree_line++] = line;
}

/* ---- admission ------------------------------------------------------- */

static uint64_t
connections_of(const struct worker *w, slotno s)
{
	return score_get(&score_proc(&w->zown[s])->connections);
}

/* Over the live slots whose number can be true, which are left in *slots: any
 * other one would keep everybody from accepting. */
static uint64_t
total(const struct worker *w, uint64_t *slots)
{
	uint64_t live = slots_live(w->slots) | BIT(w->self), sum = 0, n;

	*slots = live;
	for (; live != 0; live &= live - 1) {
		n = connections_of(w, (slotno)__builtin_ctzll(live));
		if (n > w->slots->nlines)
			*slots &= ~(live & -live);
		else
			sum += n;
	}
	return sum;
}

uint64_t
accept_total(const struct worker *w)
{
	uint64_t slots;

	return total(w, &slots);
}

/* What INFO calls our address: client_advertise, or the listener's. */
static void
info_address(const struct worker *w, struct info *i, char *host, size_t len)
{
	const char *adv = w->conf.client_advertise, *colon;
	size_t n;

	i->host = w->info_host;
	i->port = (uint16_t)w->info_port;
	if (adv[0] == '\0')
		return;
	colon = strrchr(adv, ':');
	if (colon != NULL && strchr(colon, ']') != NULL)
		colon = NULL; /* inside [address] */
	n = colon != NULL ? (size_t)(colon - adv) : strlen(adv);
	if (n >= 2 && adv[0] == '[' && adv[n - 1] == ']') {
		adv++;
		n -= 2;
	}
	(void)snprintf(host, len, "%.*s", (int)n, adv);
	i->host = host;
	if (colon != NULL)
		i->port = (uint16_t)atoi(colon + 1);
}

static size_t
info_line(const struct worker *w, const char *ip, uint32_t num, char *line,
    size_t len)
{
	char host[CONF_NAME_MAX];
	struct info i;

	memset(&i, 0, sizeof i);
	info_address(w, &i, host, sizeof host);
	i.server_id = w->server_id;
	i.server_name = w->conf.server_name;
	i.version = INFO_VERSION;
	i.go = NATSD_COMPILER;
	i.headers = !w->conf.no_header_support;
	i.auth_required = w->conf.auth_required;
	i.max_payload = w->conf.max_payload;
	i.client_id = num == 0 ? 0 : worker_cid(w, num);
	i.client_ip = ip;
	i.worker = w->self;
	return info_format(&i, line, len);
}

static void
send_info(struct worker *w, struct client *c)
{
	char line[2048], ip[CLIENT_ADDRESS_MAX];
	size_t n;

	client_address(c, ip);
	n = info_line(w, ip, c->num, line, sizeof line);
	if (log_trace_on())
		trace_out(w, c, (const uint8_t *)line, n > 3 ? n - 3 : n);
	client_write(w, c, line, n);
}

/* Count oneself, full fence, sum, step back if over: never exceeded, at worst
 * one refused too many. */
static bool
within_limit(struct worker *w)
{
	atomic_thread_fence(memory_order_seq_cst);
	return w->conf.max_connections == 0 ||
	    accept_total(w) <= w->conf.max_connections;
}

/* There is no place for it, but it is told so: the answer that one beyond
 * max_connections gets, without a client. */
static void
turn_away(struct worker *w, int fd)
{
	char text[2048];
	size_t n = info_line(w, "", 0, text, sizeof text - 128);

	n += perr_line(PERR_MAX_CONNECTIONS, NULL, NULL, text + n,
	    sizeof text - n);
	if (write(fd, text, n) == (ssize_t)n)
		(void)shutdown(fd, SHUT_WR);
	(void)close(fd);
}

static void
no_place(struct worker *w, int fd, const char *why)
{
	log_limited(&w->limit_accept, LOG_LVL_ERR,
	    "maximum connections exceeded: %s", why);
	turn_away(w, fd);
}

static void
too_many(struct worker *w, struct client *c)
{
	client_error_note(w, c, PERR_MAX_CONNECTIONS, "max_connections is %lu",
	    (unsigned long)w->conf.max_connections);
}

/* ---- too few descriptors --------------------------------------------- */

/*
 * One descriptor is kept back.  When it is the last, its place takes a
 * connection just long enough to tell it that it cannot stay: else it would
 * hang in the kernel's queue until it loses patience.  It is a file of its
 * own, not a duplicate, since the system's table of files may be what is full.
 */
void
accept_reserve_keep(struct worker *w)
{
	if (w->reserve == -1)
		w->reserve = bell_create();
}

void
accept_reserve_use(struct worker *w)
{
	fd_close(&w->reserve);
}

/* Has a live worker fewer connections?  Then this is for him: all have the
 * same limit. */
static bool
others_have_fewer(const struct worker *w)
{
	uint64_t live = slots_live(w->slots), mine;
	slotno s;

	mine = score_get(&w->score->connections);
	for (; live != 0; live &= live - 1) {
		s = (slotno)__builtin_ctzll(live);
		if (s != w->self && score_get(&score_proc(
		    &w->zown[s])->connections) < mine)
			return true;
	}
	return false;
}

/* Descriptors that connections may have, out of what the limit leaves. */
static uint32_t
count_places(const struct worker *w)
{
	/* Standard ones, channel, log, epoll, the one kept back, and that of
	 * a new configuration. */
	rlim_t others = 3 + 3 + 2 + w->nslots + w->nlisten + LEAVING;
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == -1 ||
	    rl.rlim_cur == RLIM_INFINITY)
		return UINT32_MAX;
	if (rl.rlim_cur <= others)
		return 1;
	return rl.rlim_cur - others < UINT32_MAX ?
	    (uint32_t)(rl.rlim_cur - others) : UINT32_MAX;
}

static inline bool
places_taken(const struct worker *w, uint32_t beside)
{
	return score_get(&w->score->connections) >=
	    (uint64_t)w->places + beside;
}

/* Once for each time of trouble, not once for each connection. */
static void
note_trouble(struct worker *w, int error)
{
	struct accept_trouble *t = &w->trouble;

	t->last_ms = w->now_ms;
	t->failed++;
	if (t->noted)
		return;
	t->noted = true;
	if (error == EMFILE || error == ENFILE)
		log_err("Temporary Client Accept Error(%s): with %" PRIu64
		    " connections here no descriptor is left, new ones are "
		    "turned away; raise %s", strerror(error),
		    score_get(&w->score->connections), error == EMFILE ?
		    "worker_rlimit_nofile or lower max_connections" :
		    "fs.file-max");
	else
		log_err("Temporary Client Accept Error(%s): trying again "
		    "after 10 ms to 1 s", strerror(error));
}

static void
welcome(struct worker *w, int fd, const struct sockaddr_storage *addr,
    bool unix_socket)
{
	static const struct slice nothing;
	struct client *c;
	uint32_t line;
	bool short_of;

	if (line_get(w, &line) != 0) {
		no_place(w, fd, w->lines_used >= w->slots->nlines ?
		    "no scoreboard line is free" : "out of memory");
		return;
	}
	if ((c = client_new(w, fd, addr, unix_socket, line)) == NULL) {
		accept_line_free(w, line);
		no_place(w, fd, strerror(errno));
		return;
	}
	score_add(&w->score->connections, 1);
	CRASH_POINT("accept.counted");
	score_add(&w->score->total_connections, 1);
	log_debug("%s - Client connection created", client_name(w, c));
	send_info(w, c);
	/* No chunk of output is held for each of many; and it is in a packet
	 * of its own: libnats takes the first line of a read for INFO and
	 * forgets the rest. */
	client_flush_early(w, c);
	short_of = places_taken(w, 1);
	if (short_of) {
		note_trouble(w, EMFILE);
		w->trouble.shed++;
		client_error(w, c, PERR_MAX_CONNECTIONS, nothing, nothing);
	} else if (!within_limit(w))
		too_many(w, c);
}

/* ---- listening ------------------------------------------------------- */

/* We take no more for now: those that have fewer may be asleep with the
 * sockets out of their set, and nothing else would wake them.  The fence
 * pairs with bell_arm() before the last accept_balance() in worker.c. */
static void
hand_over(struct worker *w)
{
	uint64_t live = slots_live(w->slots);
	slotno s;

	bell_fence();
	for (; live != 0; live &= live - 1) {
		s = (slotno)__builtin_ctzll(live);
		if (s < w->nslots && w->peer[s].attached)
			(void)bell_ring_nofence(&w->peer[s].bell);
	}
}

static void
watch(struct worker *w, bool on)
{
	struct worker_listener *l;
	bool changed = false;
	uint32_t i;

	for (i = 0; i < w->nlisten; i++) {
		l = &w->listener[i];
		if (l->watched == on)
			continue;
		if (!on)
			loop_del(&w->loop, &l->lfd);
		else if (loop_add(&w->loop, &l->lfd) != 0) {
			log_limited(&w->limit_accept, LOG_LVL_ERR,
			    "cannot watch a listening socket: %s",
			    strerror(errno));
			continue;
		}
		l->watched = on;
		changed = true;
	}
	if (changed && !on)
		hand_over(w);
}

/* More than our share of the connections? */
static bool
above_share(const struct worker *w)
{
	uint64_t slots, all = total(w, &slots), mine, n;

	n = (uint64_t)__builtin_popcountll(slots);
	if (n < 2)
		return false;
	mine = score_get(&w->score->connections);
	/* mine > 17/16 of the mean + 1, without a division */
	return mine > 0 && (mine - 1) * n * 16 > all * 17;
}

/* Is there one whose number of connections cannot be true? */
static void
look_at_numbers(struct worker *w)
{
	uint64_t slots, set;

	(void)total(w, &slots);
	set = w->usable & slots_live(w->slots) & ~slots;
	for (; set != 0; set &= set - 1)
		peer_broken(w, (slotno)__builtin_ctzll(set),
		    "its number of connections");
}

void
accept_balance(struct worker *w)
{
	if (w->state == WORKER_SERVING)
		watch(w, w->accept_pause_ms == 0 && !above_share(w) &&
		    !(places_taken(w, 0) && others_have_fewer(w)));
}

static void
pause_over(struct loop *loop, struct loop_timer *t)
{
	struct worker *w = loop->ctx;

	(void)t;
	w->accept_pause_ms = 0;
}

/* ---- accept() fails -------------------------------------------------- */

/* Take one and send it away; false: not even that works. */
static bool
shed(struct worker *w, struct worker_listener *l)
{
	bool done = true;
	int fd;

	if (w->reserve == -1)
		return false;
	accept_reserve_use(w);
	fd = accept4(l->lfd.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd != -1) {
		turn_away(w, fd);
		w->trouble.shed++;
	} else
		done = errno == EAGAIN || errno == ECONNABORTED;
	accept_reserve_keep(w);
	return done;
}

void
accept_tick(struct worker *w)
{
	struct accept_trouble *t = &w->trouble;

	look_at_numbers(w);
	if (w->state != WORKER_SERVING)
		return;
	accept_reserve_keep(w);
	if (!t->noted || w->now_ms - t->last_ms < RECOVERED_MS)
		return;
	log_notice("connections are accepted again: %" PRIu64 " attempts had "
	    "failed, %" PRIu64 " connections were turned away", t->failed,
	    t->shed);
	memset(t, 0, sizeof *t);
}

/* No descriptor or memory for it.  Who has more connections than another
 * leaves it to him for a while; who has not, sends it away. */
static void
accept_failed(struct worker *w, struct worker_listener *l, int error)
{
	uint32_t ms = w->accept_next_ms;

	if (error == EAGAIN || error == EINTR || error == ECONNABORTED)
		return;
	if (error == EINVAL) { /* listen_stop(): natsd is about to end */
		accept_stop(w);
		return;
	}
	note_trouble(w, error);
	if ((error == EMFILE || error == ENFILE) && !others_have_fewer(w) &&
	    shed(w, l))
		return;
	w->accept_next_ms = ms * 2 < PAUSE_MAX_MS ? ms * 2 : PAUSE_MAX_MS;
	loop_timer_set(&w->loop, &w->accept_timer, w->now_ms + ms);
	w->accept_pause_ms = ms;
	watch(w, false);
}

static void
listener_event(struct loop *loop, struct loop_fd *lfd, uint32_t events)
{
	struct worker *w = loop->ctx;
	struct worker_listener *l = LOOP_EMBEDDED(lfd, struct worker_listener,
	    lfd);
	struct sockaddr_storage addr;
	socklen_t len = sizeof addr;
	int fd;

	(void)events;
	if (w->state != WORKER_SERVING)
		return;
	if (places_taken(w, 0)) {
		/* Since the last look another may have begun to serve. */
		accept_balance(w);
		if (!l->watched)
			return;
	}
	memset(&addr, 0, sizeof addr);
	fd = accept4(lfd->fd, (struct sockaddr *)&addr, &len,
	    SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd == -1)
		accept_failed(w, l, errno);
	else {
		w->accept_next_ms = PAUSE_FIRST_MS;
		welcome(w, fd, &addr, l->unix_socket);
	}
}

static void
unwatch(struct worker *w, struct worker_listener *l)
{
	if (l->watched)
		loop_del(&w->loop, &l->lfd);
	l->watched = false;
}

void
accept_replace(struct worker *w, uint64_t i, int fd)
{
	struct sockaddr_storage addr;
	struct worker_listener *l;
	uint32_t left = w->conf.listen_backlog;
	int old, c;

	if (i >= w->nlisten) { /* accept_stop() was first */
		(void)close(fd);
		return;
	}
	l = &w->listener[i];
	unwatch(w, l);
	old = l->lfd.fd;
	memset(&addr, 0, sizeof addr);
	while (w->state == WORKER_SERVING && left-- > 0 &&
	    (c = accept4(old, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) != -1)
		welcome(w, c, &addr, l->unix_socket);
	/* It keeps its number, by which the SIGTERM handler of the child knows
	 * it; accept_balance() puts it into the set. */
	if (dup3(fd, old, O_CLOEXEC) == -1) {
		log_warn("cannot replace a listening socket");
		(void)close(old);
		l->lfd.fd = fd;
	} else
		(void)close(fd);
}

int
accept_init(struct worker *w, const struct heritage *h)
{
	struct worker_listener *l;
	uint32_t i;

	w->reserve = -1;
	loop_timer_init(&w->accept_timer, pause_over);
	w->accept_next_ms = PAUSE_FIRST_MS;
	w->nlisten = h->nlisten;
	for (i = 0; i < h->nlisten; i++) {
		l = &w->listener[i];
		l->lfd.fd = h->listen[i].fd;
		l->lfd.events = EPOLLIN | EPOLLEXCLUSIVE;
		l->lfd.cb = listener_event;
		l->unix_socket = h->listen[i].unix_socket;
	}
	return line_grow(w);
}

void
accept_start(struct worker *w)
{
	w->places = count_places(w);
	accept_reserve_keep(w);
	watch(w, true);
}

void
accept_shut(struct worker *w)
{
	uint32_t i;

	for (i = 0; i < w->nlisten; i++)
		(void)shutdown(w->listener[i].lfd.fd, SHUT_RDWR);
}

void
accept_stop(struct worker *w)
{
	uint32_t i;

	watch(w, false);
	for (i = 0; i < w->nlisten; i++)
		(void)close(w->listener[i].lfd.fd);
	w->nlisten = 0;
	accept_reserve_use(w);
}

void
accept_trim(struct worker *w)
{
	uint64_t live, before = 0, mine = 0;
	uint32_t line = 0;
	struct client *c;
	slotno s;

	if (w->conf.max_connections == 0)
		return;
	(void)total(w, &live);
	/* Connections of all workers in the order of their slots: those
	 * beyond the limit go, whichever worker looks. */
	for (; live != 0; live &= live - 1) {
		s = (slotno)__builtin_ctzll(live);
		if (s < w->self)
			before += connections_of(w, s);
	}
	while ((c = client_walk(w, &line)) != NULL) {
		if (c->state != CLIENT_OPEN)
			continue;
		if (before + ++mine > w->conf.max_connections)
			too_many(w, c);
	}
}
