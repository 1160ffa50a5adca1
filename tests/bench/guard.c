/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * What tests/bench/guard.py counts instructions of: one load, so many times,
 * in one process and without chance.
 *
 *	guard LOAD COUNT
 *	guard --about		compiler, architecture, kind of build
 *
 *	parse	control lines of messages
 *	match	a subject's interest, of more subjects than the cache holds
 *	ring	records from one slot to another
 *	local	messages from one client of a worker to another
 *	lane	the same, their lines one of eight at random
 *	sizes	the same, payloads of 16 to 256 bytes at random
 *	walk	the same, 20,000 subjects under one wildcard
 *	fanout	messages from one client of a worker to 50 others
 *	deal	to a queue group of 4
 *
 * From local on they run worker_main() in here, linked with --wrap: each time
 * that it would wait, drive() plays the master and the clients first.
 */
#include <config.h>

#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/loop.h"
#include "base/log.h"
#include "conf/conf.h"
#include "lib/shmpair.h"
#include "lib/tries.h"
#include "master/zones.h"
#include "proc/chan.h"
#include "proc/heritage.h"
#include "proc/sandbox.h"
#include "proto/parse.h"
#include "worker/match.h"
#include "worker/msg.h"
#include "worker/worker.h"

#define LINE_MAX_BYTES 4096
#define SUBJECTS 5000	/* ten times what the match cache holds */
#define PATTERNS 20000
#define RECORD 64
#define RECORDS 16	/* published at a time */
#define CLIENTS_MAX 64
#define FANOUT 50
#define TEAM 4
#define FLOCK 256	/* messages that a publisher writes at a time */
#define ALTERNATING 4096 /* messages, before they come again */
#define WALKED 20000	/* subjects */
#define MESSAGE_MAX 300

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif
#ifdef CRASH_POINTS
#define POINTS 1
#else
#define POINTS 0
#endif
#ifdef __OPTIMIZE__
#define OPTIMIZED 1
#else
#define OPTIMIZED 0
#endif

int __real_loop_wait(struct loop *, int);
int __wrap_loop_wait(struct loop *, int);
void __wrap_heritage_close_rest(struct heritage *, const int *, uint32_t);
int __wrap_sandbox_seal(bool);
ssize_t __wrap_getrandom(void *, size_t, unsigned);

/* What must be so, or the figures mean nothing. */
#define MUST(cond)                                                        \
	do {                                                              \
		if (!(cond)) {                                            \
			(void)fprintf(stderr, "guard: line %d: %s (%s)\n", \
			    __LINE__, #cond, strerror(errno));            \
			exit(1);                                          \
		}                                                         \
	} while (0)

/* ---- parse, match, ring ------------------------------------------------ */

static void
run_parse(uint64_t count)
{
	static const char *const lines[] = { "PUB b.000000 16\r\n",
		"PUB orders.eu.new 128\r\n",
		"PUB svc.request _INBOX.abcdefghijklmnop.00000042 64\r\n",
		"HPUB b.000000 12 140\r\n" };
	static uint8_t input[4][256]; /* payloads follow, as a rule */
	struct parse_op op;
	enum perr err;
	uint64_t i, sum = 0;

	for (i = 0; i < 4; i++) {
		memset(input[i], 'x', sizeof input[i]);
		memcpy(input[i], lines[i], strlen(lines[i]));
	}
	for (i = 0; i < count; i++) {
		MUST(parse_line(input[i % 4], sizeof input[0],
		    LINE_MAX_BYTES, &op, &err) == PARSE_OP);
		sum += op.size + op.subject.len;
	}
	MUST(sum > 0 || count == 0);
}

static void
put_subject(char *to, size_t cap, uint32_t n)
{
	(void)snprintf(to, cap, "dev.%u.site%u.status", n % 1000, n / 1000);
}

static void
run_match(uint64_t count)
{
	static struct tries t;
	static struct matcher mt;
	static struct token tok[TRIES_TOKENS];
	static char subject[SUBJECTS][48];
	struct trie_ref ref;
	struct slice s;
	uint64_t i, found = 0, dice = 1;
	char text[48];

	tries_new(&t, 2);
	for (i = 0; i < PATTERNS; i++) {
		put_subject(text, sizeof text, (uint32_t)i);
		MUST(trie_add_plain(t.trie[i % 2], ACCOUNT_DEFAULT, tok,
		    tries_split(text, tok), &ref) == TRIE_OK);
	}
	MUST(trie_add_plain(t.trie[0], ACCOUNT_DEFAULT, tok,
	    tries_split("dev.*.*.status", tok), &ref) == TRIE_OK);
	for (i = 0; i < SUBJECTS; i++)
		put_subject(subject[i], sizeof subject[i],
		    tries_rnd(&dice, PATTERNS));
	mt.slots = &t.slots;
	mt.hash_seed = TRIES_SEED;
	for (i = 0; i < 2; i++)
		MUST(trie_reader_attach(&mt.reader[i], &t.ro[i],
		    TRIES_SEED) == 0);
	mt.readable = 3;
	MUST(match_init(&mt, TRIES_TOKENS) == 0);
	(void)match_look(&mt);
	for (i = 0; i < count; i++) {
		s.p = (const uint8_t *)subject[i % SUBJECTS];
		s.len = (uint32_t)strlen((const char *)s.p);
		found += match_find(&mt, ACCOUNT_DEFAULT, s)->nplain;
	}
	MUST(found == 2 * count);
}

static void
run_ring(uint64_t count)
{
	static struct shmpair p;
	static struct ring_tx tx;
	static struct ring_rx rx;
	const struct ring_rec_shm *got;
	struct ring_rec_shm *rec;
	uint64_t limit, sent = 0, seen = 0;
	uint32_t len, kind, i;

	shmpair_new(&p, RING_MIN);
	shmpair_tx(&p, &tx);
	shmpair_rx(&p, &rx);
	while (sent < count) {
		for (i = 0; i < RECORDS && sent < count; i++, sent++) {
			MUST((rec = ring_tx_reserve(&tx, RECORD)) != NULL);
			rec->kind = 1;
			memset(rec + 1, (int)sent, RECORD - sizeof *rec);
			ring_tx_commit(&tx, RECORD);
		}
		MUST(ring_tx_publish(&tx));
		MUST(ring_rx_look(&rx, &limit) == RING_OK);
		while (ring_rx_next(&rx, limit, &got, &len, &kind) == RING_OK)
			seen++;
		(void)ring_rx_release(&rx);
	}
	MUST(seen == count);
}

/* ---- a worker in here -------------------------------------------------- */

static enum { START, OPEN, GREET, SEND, STOP } step;

static struct client_end {
	int fd;
	int ready;	/* has its PONG */
	uint64_t got;	/* bytes behind it */
	char said[4096];
	size_t nsaid;
} end[CLIENTS_MAX];	/* 0 publishes */

/* A load of the worker: what is published, again and again, and who gets it. */
struct load {
	const char *name;
	const char *sub;	/* what each subscriber says */
	int subscribers;
	bool shared;		/* one of them gets a message, not all */
	uint32_t count;		/* different messages */
	void (*make)(uint32_t i, uint64_t *dice, char *line, unsigned *size);
};

static struct zones zones;
static int chan[2];
static struct sockaddr_un address;
static const struct load *load;
static int nends, nready;
static uint64_t to_send, sent, due;
static char *messages;
static size_t *place;		/* where each begins, and the end */
static unsigned *gives;		/* bytes that a subscriber gets of it */

/* Zones and all: the same in every run. */
ssize_t
__wrap_getrandom(void *buf, size_t len, unsigned flags)
{
	(void)flags;
	memset(buf, 0x5a, len);
	return (ssize_t)len;
}

/* Our ends stay open, and we may open more. */
void
__wrap_heritage_close_rest(struct heritage *h, const int *keep, uint32_t n)
{
	(void)h;
	(void)keep;
	(void)n;
}

int
__wrap_sandbox_seal(bool core_dumps)
{
	(void)core_dumps;
	return 0;
}

static void
open_ends(void)
{
	int i;

	for (i = 0; i < nends; i++) {
		MUST((end[i].fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK,
		    0)) != -1);
		MUST(connect(end[i].fd, (struct sockaddr *)&address,
		    sizeof address) == 0);
	}
}

static void
put(int i, const char *text, size_t len)
{
	MUST(send(end[i].fd, text, len, 0) == (ssize_t)len);
}

/* Handshake: INFO is answered by all at once. */
static void
greet(int i)
{
	static const char hello[] =
	    "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n";
	struct client_end *e = &end[i];
	int greeted = e->nsaid > 0;
	ssize_t n;

	n = recv(e->fd, e->said + e->nsaid, sizeof e->said - e->nsaid - 1, 0);
	if (n <= 0)
		return;
	e->nsaid += (size_t)n;
	if (!greeted) {
		put(i, hello, sizeof hello - 1);
		if (i > 0)
			put(i, load->sub, strlen(load->sub));
		put(i, "PING\r\n", 6);
	}
	if (!e->ready && strstr(e->said, "PONG\r\n") != NULL) {
		e->ready = 1;
		nready++;
	}
}

static void
drain(struct client_end *e)
{
	static char buf[262144];
	ssize_t n;

	while ((n = recv(e->fd, buf, sizeof buf, 0)) > 0)
		e->got += (uint64_t)n;
	MUST(n == -1 && errno == EAGAIN);
}

/* Whether all that was sent has come. */
static bool
arrived(void)
{
	uint64_t got = 0;
	bool all = true;
	int i;

	for (i = 1; i < nends; i++) {
		drain(&end[i]);
		got += end[i].got;
		MUST(end[i].got <= due);
		if (end[i].got < due)
			all = false;
	}
	return load->shared ? got == due : all;
}

/* Writes the next flock when the one before has come; true: all has. */
static bool
pass_on(void)
{
	uint32_t at, n, i;

	if (!arrived())
		return false;
	if (sent == to_send)
		return true;
	at = (uint32_t)(sent % load->count);
	n = load->count - at < FLOCK ? load->count - at : FLOCK;
	if (n > to_send - sent)
		n = (uint32_t)(to_send - sent);
	put(0, messages + place[at], place[at + n] - place[at]);
	for (i = at; i < at + n; i++)
		due += gives[i];
	sent += n;
	return false;
}

/* Plays all others, a step before each wait of the worker. */
static void
drive(void)
{
	struct chan_msg m;
	int i;

	switch (step) {
	case START:
		MUST(chan_recv(chan[0], &m) == 1 && m.type == CHAN_READY);
		slots_set_live(zones.slots, 0);
		MUST(chan_send(chan[0], CHAN_GO, 0, NULL, 0, -1) == 0);
		step = OPEN;
		return;
	case OPEN:
		open_ends();
		step = GREET;
		return;
	case GREET:
		for (i = 0; i < nends; i++)
			greet(i);
		if (nready == nends)
			step = SEND;
		return;
	case SEND:
		if (!pass_on())
			return;
		MUST(chan_send(chan[0], CHAN_STOP, 0, NULL, 0, -1) == 0);
		step = STOP;
		return;
	case STOP:
		return;
	}
}

int
__wrap_loop_wait(struct loop *loop, int timeout)
{
	drive();
	/* Nothing comes by itself: whoever has nothing to do is at its end. */
	return __real_loop_wait(loop, timeout < 20 ? timeout : 20);
}

static void
no_errors(void *ctx, bool warning, const char *text)
{
	(void)ctx;
	if (!warning)
		(void)fprintf(stderr, "guard: %s\n", text);
}

/* A listener without a name in any folder. */
static int
listen_here(void)
{
	int fd;

	address.sun_family = AF_UNIX;
	(void)snprintf(address.sun_path + 1, sizeof address.sun_path - 1,
	    "natsd-guard-%d", (int)getpid());
	MUST((fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)) != -1);
	MUST(bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
	MUST(listen(fd, CLIENTS_MAX) == 0);
	return fd;
}

static void
make_same(uint32_t i, uint64_t *dice, char *line, unsigned *size)
{
	(void)i;
	(void)dice;
	(void)strcpy(line, "b.000000");
	*size = 16;
}

static void
make_lanes(uint32_t i, uint64_t *dice, char *line, unsigned *size)
{
	(void)i;
	(void)sprintf(line, "b.%06u", tries_rnd(dice, 8));
	*size = 16;
}

static void
make_sizes(uint32_t i, uint64_t *dice, char *line, unsigned *size)
{
	make_same(i, dice, line, size);
	*size = 16 + tries_rnd(dice, 241);
}

static void
make_walked(uint32_t i, uint64_t *dice, char *line, unsigned *size)
{
	(void)dice;
	(void)sprintf(line, "b.%06u", i);
	*size = 16;
}

/* All of a load's messages, before the first goes. */
static void
make_messages(void)
{
	char subject[32], *p;
	uint64_t dice = 1;
	uint32_t i;
	unsigned size;

	MUST((messages = malloc((size_t)load->count * MESSAGE_MAX)) != NULL);
	MUST((place = calloc(load->count + 1, sizeof *place)) != NULL);
	MUST((gives = calloc(load->count, sizeof *gives)) != NULL);
	for (i = 0, p = messages; i < load->count; i++) {
		load->make(i, &dice, subject, &size);
		p += sprintf(p, "PUB %s %u\r\n", subject, size);
		memset(p, 'x', size);
		memcpy(p + size, "\r\n", 2);
		p += size + 2;
		place[i + 1] = (size_t)(p - messages);
		gives[i] = (unsigned)snprintf(NULL, 0, "MSG %s 1 %u\r\n",
		    subject, size) + size + 2;
	}
}

static void
run_worker(uint64_t count, const struct load *what)
{
	static struct heritage h;
	static struct conf conf;
	struct conf_override over;
	char err[256];

	conf_override_init(&over);
	over.workers = 1;
	MUST(conf_load(NULL, &over, no_errors, NULL, &conf) == 0);
	conf.ping_interval_ms = 3600000;
	MUST(zones_create(&zones, &conf, 1, err, sizeof err) == 0);
	slots_start(zones.slots, 0, 1, SLOT_ROLE_WORKER);
	MUST(chan_pair(chan) == 0);
	load = what;
	make_messages();
	to_send = count;
	nends = 1 + load->subscribers;
	h.role = SLOT_ROLE_WORKER;
	h.incarnation = 1;
	h.nslots = zones.geo.nslots;
	h.nworkers = 1;
	h.conf = &conf;
	memset(h.server_id, 'N', HERITAGE_ID_LEN);
	h.chan = chan[1];
	h.log = -1;
	h.nlisten = 1;
	h.listen[0].fd = listen_here();
	h.listen[0].unix_socket = true;
	memcpy(h.bell, zones.bell, sizeof h.bell);
	h.control = zones.control;
	memcpy(h.index, zones.index, sizeof h.index);
	memcpy(h.own, zones.own, sizeof h.own);
	h.ring = zones.ring;
	MUST(worker_main(&h) == 0);
	MUST(step == STOP && sent == count);
}

static const struct load worker_loads[] = {
	{ "local", "SUB b.000000 1\r\n", 1, false, FLOCK, make_same },
	{ "lane", "SUB b.* 1\r\n", 1, false, ALTERNATING, make_lanes },
	{ "sizes", "SUB b.000000 1\r\n", 1, false, ALTERNATING, make_sizes },
	{ "walk", "SUB b.* 1\r\n", 1, false, WALKED, make_walked },
	{ "fanout", "SUB b.000000 1\r\n", FANOUT, false, FLOCK, make_same },
	{ "deal", "SUB b.000000 team 1\r\n", TEAM, true, FLOCK, make_same }
};

/* ---- main -------------------------------------------------------------- */

static const struct {
	const char *name;
	void (*run)(uint64_t);
} loads[] = { { "parse", run_parse }, { "match", run_match },
	{ "ring", run_ring } };

/* One line of words: who has built it, for what, how, and with what CFLAGS. */
static void
about(void)
{
#if defined(__clang__)
	(void)printf("clang-%d", __clang_major__);
#elif defined(__GNUC__)
	(void)printf("gcc-%d", __GNUC__);
#else
	(void)printf("cc-0");
#endif
#if defined(__x86_64__)
	(void)printf(" x86_64");
#elif defined(__aarch64__)
	(void)printf(" aarch64");
#else
	(void)printf(" other");
#endif
	(void)printf(" %s %s\n", SANITIZED ? "sanitized" : POINTS ?
	    "crash-points" : OPTIMIZED ? "optimized" : "unoptimized", GUARD_CFLAGS);
}

int
main(int argc, char *argv[])
{
	size_t i;

	if (argc == 2 && strcmp(argv[1], "--about") == 0) {
		about();
		return 0;
	}
	for (i = 0; argc == 3 && i < sizeof loads / sizeof loads[0]; i++) {
		if (strcmp(argv[1], loads[i].name) != 0)
			continue;
		loads[i].run(strtoull(argv[2], NULL, 10));
		return 0;
	}
	for (i = 0; argc == 3 && i < sizeof worker_loads /
	    sizeof worker_loads[0]; i++) {
		if (strcmp(argv[1], worker_loads[i].name) != 0)
			continue;
		run_worker(strtoull(argv[2], NULL, 10), &worker_loads[i]);
		return 0;
	}
	(void)fprintf(stderr, "usage: guard load count | --about\n");
	return 2;
}
