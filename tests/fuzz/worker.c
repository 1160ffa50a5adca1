/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzz target: two whole workers in one process, with their zones, rings and
 * sockets, on a clock that moves only when it is told to.  The input is a list
 * of steps; a byte says what (high half) and who (low half):
 *
 *	0 say		a byte n, n bytes: what that client sends
 *	1 line		what it sends, up to a newline
 *	2 turn		that worker runs an iteration (low bit of who)
 *	3 hear		that client reads all there is
 *	4 leave		it closes, resets or half-closes
 *	5 come		a new one in its place, greeting or not
 *	6 wait		the clock moves on
 *	7 many		a byte n, a byte for the size: n equal messages,
 *			as many as 512 KB hold
 *	8 reload	another configuration, for both workers
 *	9 polite	the polite publisher sends a message
 *
 * The polite publisher is in worker 0, polite readers are in both; the others
 * cannot know their subject.  In the end every reader has got every message,
 * in order, and both workers leave with nothing left behind.
 *
 * Linked with --wrap for the clock, for what would sleep, seal or close, and
 * for zone_map_rw and zone_map_ro, since a worker never unmaps its zones.
 */
#include "worker/worker.c"

#include <sys/socket.h>
#include <sys/un.h>

#include <fcntl.h>
#include <stdio.h>

#include "base/fdutil.h"
#include "fuzz/fuzz.h"
#include "master/zones.h"
#include "worker/record.h"

#define WORKERS 2
#define CLIENTS 6 /* rude ones */
#define READERS 2
#define MAPS_MAX 64
#define POLITE_MAX 64
#define INPUT_MAX 4096

enum step {
	STEP_SAY, STEP_LINE, STEP_TURN, STEP_HEAR, STEP_LEAVE, STEP_COME,
	STEP_WAIT, STEP_MANY, STEP_RELOAD, STEP_POLITE
};

/* A polite client: what it has heard and not yet understood. */
struct polite {
	int fd;
	uint8_t *in;
	size_t len, cap;
	unsigned messages; /* that came, in order */
	unsigned pongs;
};

static struct zones zones;
static struct conf confs[4];
static struct worker *worker[WORKERS];
static int master_end[WORKERS]; /* of the control channels */
static struct sockaddr_un address[WORKERS];
static socklen_t address_len[WORKERS];
static int client[CLIENTS];
static struct polite publisher, reader[READERS];
static char subject[32];
static uint32_t sent_size[POLITE_MAX];
static unsigned nsent;
static uint64_t now_ns, conf_version;
static bool mapping; /* for a worker */
static struct zone maps[MAPS_MAX];
static unsigned nmaps;

static void polite_hear(struct polite *p);

/* ---- what is not as in a process of its own ------------------------------ */

uint64_t __wrap_clock_mono_ns(void);
uint64_t __wrap_clock_mono_ms(void);
uint64_t __wrap_clock_real_ns(void);
int __real_loop_wait(struct loop *loop, int timeout_ms);
int __wrap_loop_wait(struct loop *loop, int timeout_ms);
int __wrap_sandbox_seal(bool core_dumps);
void __wrap_heritage_close_rest(struct heritage *h, const int *keep,
    uint32_t nkeep);
ssize_t __wrap_getrandom(void *p, size_t len, unsigned flags);
int __real_zone_map_rw(const struct zone_fds *fds, uint32_t magic,
    struct zone *z);
int __wrap_zone_map_rw(const struct zone_fds *fds, uint32_t magic,
    struct zone *z);
int __real_zone_map_ro(const struct zone_fds *fds, uint32_t magic,
    struct zone *z);
int __wrap_zone_map_ro(const struct zone_fds *fds, uint32_t magic,
    struct zone *z);

uint64_t
__wrap_clock_mono_ns(void)
{
	return now_ns;
}

uint64_t
__wrap_clock_mono_ms(void)
{
	return now_ns / 1000000;
}

uint64_t
__wrap_clock_real_ns(void)
{
	return now_ns;
}

int
__wrap_loop_wait(struct loop *loop, int timeout_ms)
{
	(void)timeout_ms;
	return __real_loop_wait(loop, 0);
}

int
__wrap_sandbox_seal(bool core_dumps)
{
	(void)core_dumps;
	return 0;
}

void
__wrap_heritage_close_rest(struct heritage *h, const int *keep,
    uint32_t nkeep)
{
	(void)h;
	(void)keep;
	(void)nkeep;
}

ssize_t
__wrap_getrandom(void *p, size_t len, unsigned flags)
{
	(void)flags;
	memset(p, 0x5a, len);
	return (ssize_t)len;
}

static int
mapped(int rc, const struct zone *z)
{
	if (rc == 0 && mapping) {
		FUZZ_CHECK(nmaps < MAPS_MAX);
		maps[nmaps++] = *z;
	}
	return rc;
}

int
__wrap_zone_map_rw(const struct zone_fds *fds, uint32_t magic, struct zone *z)
{
	return mapped(__real_zone_map_rw(fds, magic, z), z);
}

int
__wrap_zone_map_ro(const struct zone_fds *fds, uint32_t magic, struct zone *z)
{
	return mapped(__real_zone_map_ro(fds, magic, z), z);
}

static void
no_log(void *ctx, enum log_level lvl, const char *role, int pid,
    const char *text, size_t len)
{
	(void)ctx;
	(void)role;
	(void)pid;
	FUZZ_CHECK(strlen(text) == len);
	/* Neither would a peer's zones make no sense here, nor memory end. */
	FUZZ_CHECK(lvl != LOG_LVL_ERR || strstr(text, "sense") == NULL);
}

/* ---- the master's part --------------------------------------------------- */

static void
hear_conf(void *ctx, bool warning, const char *text)
{
	(void)ctx;
	(void)warning;
	(void)text;
}

/* Small rings and little memory, and what a reload may change of it. */
static void
make_confs(void)
{
	unsigned i;

	FUZZ_CHECK(conf_load(NULL, NULL, hear_conf, NULL, &confs[0]) == 0);
	confs[0].ring_memory = 6 * RING_MIN;
	confs[0].index_memory = 256 << 10;
	confs[0].max_connections = 40;
	confs[0].max_subscriptions = 100;
	confs[0].max_payload = 200000;
	confs[0].max_pending = 1 << 20;
	confs[0].memory_max = 4 << 20;
	confs[0].max_control_line = 1024;
	confs[0].write_deadline_ms = 2000;
	for (i = 1; i < 4; i++)
		confs[i] = confs[0];
	confs[1].trace = confs[1].debug = true;
	confs[1].no_fast_producer_stall = true;
	confs[1].max_control_line = 4096;
	confs[2].max_subscriptions = 3;
	confs[2].max_subscription_tokens = 4;
	confs[2].max_payload = 100;
	confs[2].slow_consumer = CONF_SLOW_NEWEST;
	confs[2].max_pending = 70000;
	confs[3].no_header_support = true;
	confs[3].slow_consumer = CONF_SLOW_OLDEST;
	confs[3].max_pending = 100000;
	confs[3].memory_max = 1 << 20;
}

static int
listener(unsigned i)
{
	struct sockaddr_un *a = &address[i];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
	    0);

	memset(a, 0, sizeof *a);
	a->sun_family = AF_UNIX;
	address_len[i] = sizeof *a;
	/* An abstract name that the kernel chooses. */
	FUZZ_CHECK(fd != -1 && bind(fd, (struct sockaddr *)a,
	    sizeof(sa_family_t)) == 0 && listen(fd, 64) == 0);
	FUZZ_CHECK(getsockname(fd, (struct sockaddr *)a,
	    &address_len[i]) == 0);
	return fd;
}

static void
worker_begin(unsigned i)
{
	struct heritage *h = calloc(1, sizeof *h);
	int chan[2];

	FUZZ_CHECK(h != NULL && chan_pair(chan) == 0);
	master_end[i] = chan[0];
	slots_start(zones.slots, (slotno)i, i + 1, SLOT_ROLE_WORKER);
	h->role = SLOT_ROLE_WORKER;
	h->slot = (slotno)i;
	h->incarnation = i + 1;
	h->nslots = zones.geo.nslots;
	h->nworkers = WORKERS;
	h->conf = &confs[0];
	h->conf_version = 1;
	memset(h->server_id, 'N', HERITAGE_ID_LEN);
	strcpy(h->info_host, "0.0.0.0");
	h->chan = chan[1];
	h->log = -1;
	h->nlisten = 1;
	h->listen[0].fd = listener(i);
	h->listen[0].unix_socket = true;
	memcpy(h->bell, zones.bell, sizeof h->bell);
	h->control = zones.control;
	memcpy(h->index, zones.index, sizeof h->index);
	memcpy(h->own, zones.own, sizeof h->own);
	h->ring = zones.ring;
	mapping = true;
	worker[i] = worker_new(h);
	FUZZ_CHECK(worker[i] != NULL);
	worker[i]->rnd = 88172645463325252u + i;
	worker_start(worker[i], h);
	mapping = false;
	free(h);
	slots_set_live(zones.slots, (slotno)i);
	FUZZ_CHECK(chan_send(chan[0], CHAN_GO, 0, NULL, 0, -1) == 0);
}

/* Acknowledgements; a complaint would be a bug. */
static void
master_hear(void)
{
	struct chan_msg m;
	unsigned i;

	for (i = 0; i < WORKERS; i++)
		while (chan_recv(master_end[i], &m) == 1) {
			FUZZ_CHECK(m.type == CHAN_READY || m.type == CHAN_ACK);
			FUZZ_CHECK(m.type != CHAN_ACK ||
			    m.arg <= conf_version);
		}
}

static void
turn(unsigned i)
{
	iteration(worker[i]);
	FUZZ_CHECK(worker[i]->mem_in <= worker[i]->mem_share + (8u << 20));
}

static void
turns(unsigned n)
{
	for (; n > 0; n--) {
		turn(0);
		turn(1);
	}
	master_hear();
}

/* The polite ones hear in time, or they would be taken for dead. */
static void
wait_ms(uint64_t ms)
{
	int i;

	now_ns += ms * 1000000;
	turns(1);
	polite_hear(&publisher);
	for (i = 0; i < READERS; i++)
		polite_hear(&reader[i]);
	turns(1);
}

/* ---- clients ---------------------------------------------------------- */

static int
dial(unsigned i)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
	    0);

	FUZZ_CHECK(fd != -1);
	if (connect(fd, (struct sockaddr *)&address[i], address_len[i]) != 0)
		fd_close(&fd);
	return fd;
}

/* What the socket does not take, though the workers have turned, is lost. */
static void
say(int fd, const void *p, size_t len)
{
	const uint8_t *at = p;
	unsigned tries;
	ssize_t n;

	for (tries = 0; fd != -1 && len > 0 && tries < 8; tries++) {
		if (tries > 0)
			turns(1);
		n = send(fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		} else if (errno != EAGAIN)
			break;
	}
}

static void
hear(int fd)
{
	static uint8_t waste[1 << 16];

	while (fd != -1 && recv(fd, waste, sizeof waste, MSG_DONTWAIT) > 0)
		;
}

static void
polite_say(struct polite *p, const void *text, size_t len)
{
	size_t done = 0;
	unsigned tries;
	ssize_t n;

	for (tries = 0; done < len; tries++) {
		FUZZ_CHECK(tries < 2000);
		n = send(p->fd, (const uint8_t *)text + done, len - done,
		    MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0)
			done += (size_t)n;
		else
			wait_ms(50);
	}
}

/* A MSG is the next one that was sent, whole; its length, 0: not yet whole. */
static size_t
polite_message(struct polite *p, size_t line)
{
	char want[128];
	uint32_t size, i;
	size_t n;

	FUZZ_CHECK(p->messages < nsent);
	size = sent_size[p->messages];
	n = (size_t)snprintf(want, sizeof want, "MSG %s 1 %u\r\n", subject,
	    size);
	FUZZ_CHECK(n == line && memcmp(p->in, want, n) == 0);
	if (p->len < n + size + 2)
		return 0;
	for (i = 0; i < size; i++)
		FUZZ_CHECK(p->in[n + i] == (uint8_t)(p->messages + i));
	FUZZ_CHECK(memcmp(p->in + n + size, "\r\n", 2) == 0);
	p->messages++;
	return n + size + 2;
}

/* The first thing in the input; its length, 0: it is not whole. */
static size_t
polite_event(struct polite *p)
{
	uint8_t *lf = p->len == 0 ? NULL : memchr(p->in, '\n', p->len);
	size_t line;

	if (lf == NULL)
		return 0;
	line = (size_t)(lf + 1 - p->in);
	if (line == 6 && memcmp(p->in, "PING\r\n", 6) == 0)
		say(p->fd, "PONG\r\n", 6);
	else if (line == 6 && memcmp(p->in, "PONG\r\n", 6) == 0)
		p->pongs++;
	else if (line > 4 && memcmp(p->in, "MSG ", 4) == 0)
		return polite_message(p, line);
	else
		FUZZ_CHECK(line > 5 && memcmp(p->in, "INFO ", 5) == 0);
	return line;
}

static void
polite_hear(struct polite *p)
{
	size_t used;
	ssize_t n;

	for (;;) {
		if (p->cap - p->len < 65536) {
			p->cap = p->cap * 2 + 65536;
			p->in = realloc(p->in, p->cap);
			FUZZ_CHECK(p->in != NULL);
		}
		n = recv(p->fd, p->in + p->len, p->cap - p->len, MSG_DONTWAIT);
		FUZZ_CHECK(n != 0 && (n > 0 || errno == EAGAIN));
		if (n < 0)
			return;
		p->len += (size_t)n;
		while ((used = polite_event(p)) > 0) {
			p->len -= used;
			memmove(p->in, p->in + used, p->len);
		}
	}
}

static void
polite_come(struct polite *p, unsigned i, bool reads)
{
	static const char connect_line[] = "CONNECT {\"verbose\":false,"
	    "\"pedantic\":false,\"headers\":true}\r\n";
	char line[128];
	int n = 0;

	memset(p, 0, sizeof *p);
	p->fd = dial(i);
	FUZZ_CHECK(p->fd != -1);
	say(p->fd, connect_line, sizeof connect_line - 1);
	if (reads)
		n = snprintf(line, sizeof line, "SUB %s 1\r\n", subject);
	say(p->fd, line, (size_t)n);
	say(p->fd, "PING\r\n", 6);
	turns(2);
	polite_hear(p);
	FUZZ_CHECK(p->pongs == 1);
}

static void
polite_leave(struct polite *p)
{
	fd_close(&p->fd);
	free(p->in);
}

/* ---- steps -------------------------------------------------------------- */

static const char *const greetings[] = { "",
	"CONNECT {\"verbose\":false,\"pedantic\":false}\r\nSUB a 1\r\n",
	"CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true,"
	"\"pedantic\":false}\r\nSUB a.* 1\r\nSUB r 2\r\n",
	"CONNECT {\"verbose\":true,\"pedantic\":true,\"echo\":false}\r\n"
	"SUB a.> q 1\r\nSUB a q 2\r\n" };

static void
step_come(unsigned who, uint8_t how)
{
	const char *text = greetings[how % 4];
	int *fd = &client[who % CLIENTS];

	fd_close(fd);
	*fd = dial(who % WORKERS);
	say(*fd, text, strlen(text));
}

static void
step_leave(unsigned who, uint8_t how)
{
	struct linger reset = { 1, 0 };
	int *fd = &client[who % CLIENTS];

	if (*fd == -1)
		return;
	if (how % 3 == 0) {
		(void)shutdown(*fd, SHUT_WR);
		return;
	}
	if (how % 3 == 1)
		(void)setsockopt(*fd, SOL_SOCKET, SO_LINGER, &reset,
		    sizeof reset);
	fd_close(fd);
}

/* Small ones, or such as need half of a ring and more. */
static void
step_many(unsigned who, uint8_t n, uint8_t size)
{
	static char text[1 << 19], body[1 << 18];
	int len = size < 192 ? size * 32 : (size - 191) * 3000, line;
	size_t at = 0;

	memset(body, 'm', sizeof body);
	for (; n > 0; n--) {
		line = snprintf(text + at, sizeof text - at,
		    "PUB a%s %d\r\n%.*s\r\n", who & 8 ? " r" : "", len, len,
		    body);
		if (line < 0 || (size_t)line >= sizeof text - at)
			break;
		at += (size_t)line;
	}
	say(client[who % CLIENTS], text, at);
}

static void
step_reload(unsigned which)
{
	int fd = snapshot_make(&confs[which % 4], ++conf_version);
	unsigned i;

	FUZZ_CHECK(fd != -1);
	for (i = 0; i < WORKERS; i++)
		FUZZ_CHECK(chan_send(master_end[i], CHAN_CONF, conf_version,
		    NULL, 0, fd) == 0);
	close(fd);
	turns(1);
}

/* Within what every configuration allows. */
static void
step_polite(uint8_t how)
{
	static const uint32_t sizes[] = { 0, 1, 8, 100, 99, 50, 7, 64 };
	uint8_t text[512];
	uint32_t size = sizes[how & 7], i;
	int n;

	if (nsent == POLITE_MAX)
		return;
	n = snprintf((char *)text, sizeof text, "PUB %s %u\r\n", subject,
	    size);
	for (i = 0; i < size; i++)
		text[n++] = (uint8_t)(nsent + i);
	text[n++] = '\r';
	text[n++] = '\n';
	sent_size[nsent++] = size;
	polite_say(&publisher, text, (size_t)n);
}

static void
step(struct fuzz_in *in)
{
	static const uint64_t waits[] = { 1, 5, 20, 100, 500, 2000, 10000,
		60000 };
	uint8_t c = fuzz_byte(in), n;
	unsigned who = c & 15;
	struct fuzz_in part;

	switch (c >> 4) {
	case STEP_SAY:
		n = fuzz_byte(in);
		part.p = in->p;
		part.len = n < in->len ? n : in->len;
		in->p += part.len;
		in->len -= part.len;
		say(client[who % CLIENTS], part.p, part.len);
		break;
	case STEP_LINE:
		part = fuzz_until(in, '\n');
		say(client[who % CLIENTS], part.p, part.len);
		say(client[who % CLIENTS], "\n", 1);
		break;
	case STEP_HEAR:
		hear(client[who % CLIENTS]);
		break;
	case STEP_LEAVE:
		step_leave(who, fuzz_byte(in));
		break;
	case STEP_COME:
		step_come(who, fuzz_byte(in));
		break;
	case STEP_WAIT:
		wait_ms(waits[who & 7]);
		break;
	case STEP_MANY:
		n = fuzz_byte(in);
		step_many(who, n, fuzz_byte(in));
		break;
	case STEP_RELOAD:
		step_reload(who);
		break;
	case STEP_POLITE:
		step_polite((uint8_t)who);
		break;
	default:
		turn(who & 1);
	}
}

/* ---- all of it --------------------------------------------------------- */

static void
setup(const uint8_t *data, size_t size)
{
	char err[256];
	unsigned i;

	if (confs[0].max_payload == 0) {
		make_confs();
		log_set_sink(no_log, NULL);
		(void)signal(SIGPIPE, SIG_IGN);
	}
	now_ns = UINT64_C(1000000000000);
	conf_version = 1;
	nsent = nmaps = 0;
	/* Nobody can know it, for it depends on all that is said. */
	snprintf(subject, sizeof subject, "polite.%016llx",
	    (unsigned long long)fuzz_seed(data, size));
	/* One worker's spare slots hold the other. */
	FUZZ_CHECK(zones_create(&zones, &confs[0], WORKERS - 1, err,
	    sizeof err) == 0);
	for (i = 0; i < WORKERS; i++)
		worker_begin(i);
	turns(2);
	polite_come(&publisher, 0, false);
	for (i = 0; i < READERS; i++)
		polite_come(&reader[i], i, true);
	for (i = 0; i < CLIENTS; i++) {
		client[i] = -1;
		step_come(i, (uint8_t)(i + 1));
	}
	turns(2);
}

static bool
all_heard(void)
{
	int i;

	for (i = 0; i < READERS; i++)
		if (reader[i].messages < nsent)
			return false;
	return publisher.pongs == 2;
}

/* Everybody gets what is due, however slow the others were. */
static void
check_polite(void)
{
	unsigned i;

	polite_say(&publisher, "PING\r\n", 6);
	for (i = 0; i < 400 && !all_heard(); i++)
		wait_ms(100);
	FUZZ_CHECK(all_heard());
	/* And nothing else. */
	for (i = 0; i < 3; i++)
		wait_ms(20);
}

static void
worker_leave(unsigned i)
{
	struct worker *w = worker[i];
	unsigned n;

	FUZZ_CHECK(chan_send(master_end[i], CHAN_STOP, 0, NULL, 0, -1) == 0);
	for (n = 0; !may_end(w); n++) {
		FUZZ_CHECK(n < 200);
		now_ns += 50000000;
		iteration(w);
	}
	slots_set_dead(zones.slots, (slotno)i);
	worker_end(w);
	FUZZ_CHECK(score_get(&w->score->connections) == 0);
	FUZZ_CHECK(score_get(&w->score->subscriptions) == 0);
	FUZZ_CHECK(w->pool.used == 0 || w->mem_in > 0);
	FUZZ_CHECK(trie_valid(w->trie) == 0);
	fd_close(&w->chan.fd);
	worker_free(w);
	fd_close(&master_end[i]);
}

static void
teardown(void)
{
	unsigned i;

	polite_leave(&publisher);
	for (i = 0; i < READERS; i++)
		polite_leave(&reader[i]);
	for (i = 0; i < CLIENTS; i++)
		fd_close(&client[i]);
	for (i = 0; i < WORKERS; i++)
		worker_leave(i);
	for (i = 0; i < nmaps; i++)
		zone_unmap(&maps[i]);
	zones_destroy(&zones);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };

	if (size > INPUT_MAX)
		return 0;
	setup(data, size);
	while (in.len > 0)
		step(&in);
	check_polite();
	teardown();
	return 0;
}
