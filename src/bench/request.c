/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * natsbench request: requests and their replies, some at a time on each of some
 * connections; others answer, as a queue group if they are several.  Each reply
 * must bring back the payload of its request, once.
 */
#include <config.h>

#include <sys/epoll.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/addr.h"
#include "bench/bench.h"
#include "bench/commands.h"
#include "bench/conn.h"
#include "bench/hist.h"
#include "bench/proc.h"
#include "bench/report.h"
#include "bench/shape.h"

#define SIZE_MAX_BYTES 16384 /* a message must fit into CONN_BUF, with ease */
#define SHOW_NS 100000000
#define FREE 0

struct slot {		/* a request under way */
	uint64_t id;	/* FREE: none */
	uint64_t sent_at;
};

struct side {		/* requesters or responders */
	pthread_t tid;
	struct conn *conns;
	int n, ep;
	double cpu;
};

struct requester {
	struct slot *slots;
	int *unused, nunused;
};

static struct side askers, answerers;
static struct requester *requesters;
static struct hist lat;
static _Atomic int stop, no_more;
static _Atomic uint64_t asked, answered;
static uint64_t target;
static char inbox[64];		/* prefix of all */
static char *payload;		/* behind the id */
static size_t size;
static size_t request_line, reply_line;	/* bytes before the payload */
static char *out;
static size_t out_cap;

/* The forms of all lines; numbers have a fixed width, so each form has. */
static int
put_request(char *to, int conn, int slot)
{
	return sprintf(to, "PUB %s.request %s.%06d.%08d %zu\r\n",
	    bench_o.subject, inbox, conn, slot, size);
}

static int
put_request_seen(char *to, int conn, int slot)
{
	return sprintf(to, "MSG %s.request 1 %s.%06d.%08d %zu\r\n",
	    bench_o.subject, inbox, conn, slot, size);
}

static int
put_reply(char *to, const char *reply_to, int len)
{
	return sprintf(to, "PUB %.*s %zu\r\n", len, reply_to, size);
}

static int
put_reply_seen(char *to, int conn, int slot)
{
	return sprintf(to, "MSG %s.%06d.%08d 1 %zu\r\n", inbox, conn, slot,
	    size);
}

static void
unexpected(const char *what, const char *p, size_t n)
{
	char text[100];

	(void)snprintf(text, sizeof text, "%.*s",
	    (int)(n < 90 ? n : 90), p);
	text[strcspn(text, "\r\n")] = '\0';
	if (strncmp(p, "HMSG ", 5) == 0)
		bench_die("no responders, or another header: %s", text);
	bench_die("%s: %s", what, text);
}

/* The bytes of a message of a known form at pos, 0: it is not there yet;
 * passes over control lines. */
static size_t
message(struct conn *c, size_t line, size_t *pos)
{
	size_t len = line + size + 2, n;
	uint32_t pongs = 0;

	while (*pos < c->have) {
		if (c->buf[*pos] == 'M')
			return c->have - *pos >= len ? len : 0;
		if (c->buf[*pos] == 'H')
			unexpected("reply", c->buf + *pos, c->have - *pos);
		n = conn_control(c, c->buf + *pos, c->have - *pos, &pongs);
		if (n == 0)
			return 0;
		*pos += n;
	}
	return 0;
}

/* Checks a request and appends its reply. */
static size_t
answer(const char *msg, char *to)
{
	static char expected[512];
	static size_t head, to_len;
	int n;

	if (head == 0) {
		(void)put_request_seen(expected, 0, 0);
		to_len = strlen(inbox) + 1 + 6 + 1 + 8;
		head = strlen("MSG ") + strlen(bench_o.subject) +
		    strlen(".request 1 ");
	}
	if (memcmp(msg, expected, head + strlen(inbox)) != 0 ||
	    !shape_same(msg + request_line + 8, payload, size - 8) ||
	    memcmp(msg + request_line + size, "\r\n", 2) != 0)
		unexpected("damaged request", msg, request_line);
	n = put_reply(to, msg + head, (int)to_len);
	memcpy(to + n, msg + request_line, size + 2);
	return (size_t)n + size + 2;
}

static void
serve(struct conn *c)
{
	static char *reply;
	static size_t cap;
	size_t pos = 0, len = 0;

	if (reply == NULL) { /* one thread serves all */
		cap = 65536 + 2 * (size + 512);
		reply = bench_alloc(cap);
	}
	(void)conn_fill(c);
	while (message(c, request_line, &pos) > 0) {
		len += answer(c->buf + pos, reply + len);
		pos += request_line + size + 2;
		if (len > 65536) {
			conn_send(c->fd, reply, len);
			len = 0;
		}
	}
	conn_keep(c, pos);
	conn_send(c->fd, reply, len);
}

/* Waits if there are several, or else blocks in recv(). */
static void
each_ready(struct side *s, void (*use)(struct conn *))
{
	struct epoll_event ev[64];
	int n, i;

	if (s->n == 1) {
		use(&s->conns[0]);
		return;
	}
	n = epoll_wait(s->ep, ev, 64, 100);
	for (i = 0; i < n; i++)
		use(ev[i].data.ptr);
}

static void *
answer_run(void *arg)
{
	(void)arg;
	while (!atomic_load(&stop))
		each_ready(&answerers, serve);
	answerers.cpu = bench_thread_cpu();
	return NULL;
}

/* One more request of a connection, if it may; the bytes appended. */
static size_t
ask(int conn, char *to)
{
	struct requester *r = &requesters[conn];
	uint64_t id;
	int slot, n;

	if (r->nunused == 0 || atomic_load(&asked) == target ||
	    atomic_load(&no_more))
		return 0;
	slot = r->unused[--r->nunused];
	id = atomic_fetch_add(&asked, 1) + 1;
	n = put_request(to, conn, slot);
	memcpy(to + n, &id, 8);
	memcpy(to + n + 8, payload, size - 8);
	memcpy(to + n + size, "\r\n", 2);
	r->slots[slot].id = id;
	r->slots[slot].sent_at = bench_now();
	return (size_t)n + size + 2;
}

static void
ask_all(struct conn *c)
{
	size_t len = 0, n;

	while ((n = ask((int)c->idx, out + len)) > 0) {
		len += n;
		if (len > out_cap - (size + 512)) {
			conn_send(c->fd, out, len);
			len = 0;
		}
	}
	conn_send(c->fd, out, len);
}

static void
take_reply(struct conn *c, const char *msg, uint64_t now)
{
	struct requester *r = &requesters[c->idx];
	char expected[512], digits[9];
	uint64_t id;
	int slot;

	memcpy(digits, msg + strlen("MSG ") + strlen(inbox) + 8, 8);
	digits[8] = '\0';
	slot = atoi(digits);
	(void)put_reply_seen(expected, (int)c->idx,
	    slot >= 0 && slot < bench_o.inflight ? slot : 0);
	id = shape_load64(msg + reply_line);
	if (memcmp(msg, expected, reply_line) != 0 ||
	    !shape_same(msg + reply_line + 8, payload, size - 8) ||
	    memcmp(msg + reply_line + size, "\r\n", 2) != 0)
		unexpected("damaged reply", msg, reply_line);
	if (r->slots[slot].id != id)
		bench_die("a reply came twice, or to another request");
	hist_add(&lat, now - r->slots[slot].sent_at);
	r->slots[slot].id = FREE;
	r->unused[r->nunused++] = slot;
	atomic_fetch_add(&answered, 1);
}

static void
take_replies(struct conn *c)
{
	size_t pos = 0;
	uint64_t now;

	if (conn_fill(c) == 0)
		return;
	now = bench_now();
	while (message(c, reply_line, &pos) > 0) {
		take_reply(c, c->buf + pos, now);
		pos += reply_line + size + 2;
	}
	conn_keep(c, pos);
	ask_all(c);
}

static void *
ask_run(void *arg)
{
	int i;

	(void)arg;
	for (i = 0; i < askers.n; i++)
		ask_all(&askers.conns[i]);
	while (!atomic_load(&stop))
		each_ready(&askers, take_replies);
	askers.cpu = bench_thread_cpu();
	return NULL;
}

static void
open_side(struct side *s, int n, void (*open_one)(struct conn *, int))
{
	struct epoll_event ev = { .events = EPOLLIN };
	int i;

	s->n = n;
	s->conns = bench_alloc((size_t)n * sizeof *s->conns);
	if ((s->ep = epoll_create1(EPOLL_CLOEXEC)) == -1)
		bench_die("epoll_create1: %s", strerror(errno));
	for (i = 0; i < n; i++) {
		open_one(&s->conns[i], i);
		s->conns[i].idx = (uint32_t)i;
		conn_ping(&s->conns[i]);
		conn_timeouts(s->conns[i].fd);
		ev.data.ptr = &s->conns[i];
		if (epoll_ctl(s->ep, EPOLL_CTL_ADD, s->conns[i].fd, &ev) == -1)
			bench_die("epoll_ctl: %s", strerror(errno));
	}
}

static void
open_answerer(struct conn *c, int i)
{
	(void)i;
	conn_open_sub(c);
	conn_sendf(c->fd, "SUB %s.request %s 1\r\n", bench_o.subject,
	    bench_o.responders > 1 ? "natsbench" : "");
}

static void
open_asker(struct conn *c, int i)
{
	struct requester *r = &requesters[i];
	int k;

	conn_open_pub(c);
	conn_sendf(c->fd, "SUB %s.%06d.* 1\r\n", inbox, i);
	r->slots = bench_alloc((size_t)bench_o.inflight * sizeof *r->slots);
	r->unused = bench_alloc((size_t)bench_o.inflight * sizeof *r->unused);
	for (k = bench_o.inflight - 1; k >= 0; k--)
		r->unused[r->nunused++] = k;
}

static void
prepare(void)
{
	char line[512];
	size_t i;

	if (bench_o.size_max > SIZE_MAX_BYTES || bench_o.size_min < 16 ||
	    bench_o.size_min != bench_o.size_max)
		bench_die("request: --size must be one number, 16 to %d",
		    SIZE_MAX_BYTES);
	size = bench_o.size_min;
	(void)snprintf(inbox, sizeof inbox, "_INBOX.%08x%012llx",
	    (unsigned)getpid(), (unsigned long long)bench_now() &
	    0xffffffffffff);
	payload = bench_alloc(size);
	for (i = 0; i + 8 < size; i++)
		payload[i] = (char)('a' + i % 26);
	request_line = (size_t)put_request_seen(line, 0, 0);
	reply_line = (size_t)put_reply_seen(line, 0, 0);
	out_cap = 65536 + 2 * (size + 512);
	out = bench_alloc(out_cap);
	requesters = bench_alloc((size_t)bench_o.connections *
	    sizeof *requesters);
	target = bench_o.msgs > 0 ? bench_o.msgs : UINT64_MAX;
}

/* Until all that were asked are answered; the seconds it took. */
static double
supervise(uint64_t start)
{
	uint64_t now, done, last = 0, moved = start, shown = 0;
	double secs;

	for (;;) {
		now = bench_now();
		secs = (double)(now - start) / 1e9;
		done = atomic_load(&answered);
		if (bench_interrupted() ||
		    (bench_o.secs > 0 && secs >= bench_o.secs))
			atomic_store(&no_more, 1);
		if (done == target || (atomic_load(&no_more) &&
		    done == atomic_load(&asked)))
			return secs;
		if (done != last)
			moved = now;
		last = done;
		if ((double)(now - moved) / 1e9 > bench_o.timeout)
			bench_die("%llu requests have got no reply (none came "
			    "for %g s)", (unsigned long long)(
			    atomic_load(&asked) - done), bench_o.timeout);
		if (now - shown > SHOW_NS) {
			report_progress(bench_o.msgs > 0 ?
			    (double)done / (double)target :
			    secs / bench_o.secs, (double)done / secs,
			    "requests");
			shown = now;
		}
		bench_sleep_until(now + 1000000);
	}
}

static void
report(double secs, double cpu, double own)
{
	double n = (double)atomic_load(&answered);

	traffic_report_server();
	report_num("requests", n);
	report_num("seconds", secs);
	report_num("requests_per_s", n / secs);
	report_line("requests", "%s in %.3f s, each answered once",
	    report_count(n), secs);
	report_line("throughput", "%s requests/s", report_count(n / secs));
	report_hist("lat", "round trip", &lat);
	report_num("own_cpu_ns", own * 1e9 / n);
	if (bench_o.pid == 0)
		return;
	report_num("server_cpu_s", cpu);
	report_num("server_cpu_ns", cpu * 1e9 / n);
	report_line("server CPU", "%s us per request, %.2f of a core",
	    report_count(cpu * 1e6 / n), cpu / secs);
}

void
command_request(void)
{
	double cpu, own, secs;
	uint64_t start;

	prepare();
	open_side(&answerers, bench_o.responders, open_answerer);
	open_side(&askers, bench_o.connections, open_asker);
	conn_close_spare();
	if (conn_server.max_payload > 0 && size > conn_server.max_payload)
		bench_die("the server takes %llu bytes in a message at most",
		    (unsigned long long)conn_server.max_payload);
	cpu = proc_cpu();
	own = bench_own_cpu();
	start = bench_now();
	if (pthread_create(&answerers.tid, NULL, answer_run, NULL) != 0 ||
	    pthread_create(&askers.tid, NULL, ask_run, NULL) != 0)
		bench_die("cannot create a thread");
	secs = supervise(start);
	cpu = proc_cpu() - cpu;
	own = bench_own_cpu() - own;
	atomic_store(&stop, 1);
	(void)pthread_join(askers.tid, NULL);
	(void)pthread_join(answerers.tid, NULL);
	report_progress_end();
	report(secs, cpu, own);
}
