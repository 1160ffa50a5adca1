/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The behaviours in depth with libnats: each has a server of its own, with a
 * proxy.  What is opened here is taken apart by put_away().
 */
#include <nats/nats.h>

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "behaviours.h"

enum {
	CLIENTS = 200,		/* in one run of the program */
	SUBS = 10010,		/* in one behaviour */
	NUMBERS = 1 << 21	/* messages under load */
};

/* Leaves a behaviour when a step has said why. */
#define STEP(cond)                                                         \
	do {                                                               \
		if (!(cond))                                               \
			return false;                                      \
	} while (0)

struct client {
	natsConnection *nc;
	atomic_int errors, cuts, reconnects, closed, notices;
	atomic_int error;	/* the last that the error callback had */
};

struct extra {
	char url[64], url6[64], path[200], proxy[64];
};

/* Never used again in the same run: callbacks may come late. */
static struct client pool[CLIENTS];
static int opened, put_away_to;
static natsSubscription *listeners[SUBS];
static int nlisteners;
static struct extra server;

/* ---- the harness ------------------------------------------------------- */

/* Gives an order; the answer, until the next call. */
static const char *
ask(const char *format, ...)
{
	static char answer[600];
	va_list ap;

	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	putchar('\n');
	if (fgets(answer, sizeof(answer), stdin) == NULL)
		answer[0] = '\0';
	answer[strcspn(answer, "\n")] = '\0';
	return answer;
}

static bool
start(const char *conf)
{
	const char *answer = ask("server %s", conf);

	if (sscanf(answer, "%63s %63s %199s %63s", server.url, server.url6,
	    server.path, server.proxy) != 4)
		return fail("server: %s", answer);
	return true;
}

static bool
ordered(const char *order)
{
	const char *answer = ask("%s", order);

	return strcmp(answer, "ok") == 0 || fail("%s: %s", order, answer);
}

static bool
logged(int count, const char *what)
{
	int found = atoi(ask("logged %d %s", count, what));

	return found >= count || fail("%s is %d times in the log", what,
	    found);
}

/* ---- connections ------------------------------------------------------- */

static void
on_error(natsConnection *nc, natsSubscription *sub, natsStatus s, void *arg)
{
	struct client *c = arg;

	(void)nc;
	(void)sub;
	atomic_store(&c->error, (int)s);
	atomic_fetch_add(&c->errors, 1);
}

static void
on_cut(natsConnection *nc, void *arg)
{
	(void)nc;
	atomic_fetch_add(&((struct client *)arg)->cuts, 1);
}

static void
on_reconnect(natsConnection *nc, void *arg)
{
	(void)nc;
	atomic_fetch_add(&((struct client *)arg)->reconnects, 1);
}

static void
on_close(natsConnection *nc, void *arg)
{
	(void)nc;
	atomic_fetch_add(&((struct client *)arg)->closed, 1);
}

/* Other servers, or lame duck mode. */
static void
on_notice(natsConnection *nc, void *arg)
{
	(void)nc;
	atomic_fetch_add(&((struct client *)arg)->notices, 1);
}

static natsOptions *
options(const char *address, struct client *c)
{
	natsOptions *opts;

	if (natsOptions_Create(&opts) != NATS_OK)
		return NULL;
	natsOptions_SetURL(opts, address);
	natsOptions_SetMaxReconnect(opts, -1);
	natsOptions_SetReconnectWait(opts, 20);
	natsOptions_SetReconnectJitter(opts, 1, 1);
	natsOptions_SetErrorHandler(opts, on_error, c);
	natsOptions_SetDisconnectedCB(opts, on_cut, c);
	natsOptions_SetReconnectedCB(opts, on_reconnect, c);
	natsOptions_SetClosedCB(opts, on_close, c);
	natsOptions_SetDiscoveredServersCB(opts, on_notice, c);
	natsOptions_SetLameDuckModeCB(opts, on_notice, c);
	return opts;
}

/* A new connection, NULL if it is refused; set adds options, or is NULL. */
static struct client *
open_client(const char *address, void (*set)(natsOptions *))
{
	struct client *c = &pool[opened];
	const char *why;
	natsOptions *opts;
	natsStatus s;

	if (opened == CLIENTS || (opts = options(address, c)) == NULL) {
		fail("too many connections");
		return NULL;
	}
	if (set != NULL)
		set(opts);
	s = natsConnection_Connect(&c->nc, opts);
	natsOptions_Destroy(opts);
	opened++;
	if (s == NATS_OK)
		return c;
	c->nc = NULL;
	atomic_store(&c->error, (int)s);
	why = nats_GetLastError(NULL);
	fail("connecting to %s: %s, %s", address, natsStatus_GetText(s),
	    why == NULL ? "" : why);
	return NULL;
}

/* Several with the same options, the last of them in c[]. */
static bool
open_clients(struct client **c, int count, const char *address,
    void (*set)(natsOptions *))
{
	int i;

	for (i = 0; i < count; i++)
		STEP((c[i] = open_client(address, set)) != NULL);
	return true;
}

static bool
flushed(struct client *c)
{
	TRY(natsConnection_FlushTimeout(c->nc, TIMEOUT_MS));
	return true;
}

/* The subscription that was just made; sub is read when it is there. */
static natsSubscription *
keep(natsStatus s, natsSubscription *const *sub)
{
	if (s != NATS_OK) {
		fail("subscribing: %s", natsStatus_GetText(s));
		return NULL;
	}
	return listeners[nlisteners++] = *sub;
}

/* A subscription that is in force, in a queue group or not. */
static natsSubscription *
subscribe(struct client *c, const char *subject, const char *queue)
{
	natsSubscription *sub = NULL;
	natsStatus s;

	s = queue == NULL ?
	    natsConnection_SubscribeSync(&sub, c->nc, subject) :
	    natsConnection_QueueSubscribeSync(&sub, c->nc, subject, queue);
	if (keep(s, &sub) == NULL || !flushed(c))
		return NULL;
	return sub;
}

static bool
publish(struct client *c, const char *subject, const char *data)
{
	TRY(natsConnection_PublishString(c->nc, subject, data));
	return true;
}

static void
unsubscribe_all(void)
{
	while (nlisteners > 0)
		natsSubscription_Destroy(listeners[--nlisteners]);
}

void
put_away(void)
{
	unsubscribe_all();
	for (; put_away_to < opened; put_away_to++)
		natsConnection_Destroy(pool[put_away_to].nc);
}

/* ---- what is wanted ---------------------------------------------------- */

/* The connection works, and nothing has happened to it. */
static bool
calm(struct client *c)
{
	STEP(flushed(c));
	if (c->errors > 0)
		return fail("unexpected error: %s",
		    natsStatus_GetText((natsStatus)c->error));
	if (c->cuts > 0 || c->closed > 0)
		return fail("unexpected disconnect");
	return true;
}

/* The error callback has that error, for the so-manieth time. */
static bool
want_error(struct client *c, int times, natsStatus want)
{
	STEP(reaches(&c->errors, times, "errors"));
	return c->error == (int)want || fail("error %s instead of %s",
	    natsStatus_GetText((natsStatus)c->error),
	    natsStatus_GetText(want));
}

/* The library has given up, for the reason that the server gave. */
static bool
want_closed(struct client *c, const char *want)
{
	const char *why;

	STEP(reaches(&c->closed, 1, "connections closed"));
	(void)natsConnection_GetLastError(c->nc, &why);
	return strcasestr(why, want) != NULL ||
	    fail("closed by %s instead of %s", why, want);
}

static bool
want_data(natsSubscription *sub, const void *data, int len)
{
	natsMsg *msg;
	bool good;

	TRY(natsSubscription_NextMsg(&msg, sub, TIMEOUT_MS));
	good = natsMsg_GetDataLength(msg) == len &&
	    (data == NULL || memcmp(natsMsg_GetData(msg), data,
	    (size_t)len) == 0);
	if (!good)
		fail("%d bytes, %s, instead of %.*s",
		    natsMsg_GetDataLength(msg), text(msg), len < 80 &&
		    data != NULL ? len : 0, (const char *)data);
	natsMsg_Destroy(msg);
	return good;
}

static bool
want(natsSubscription *sub, const char *data)
{
	return want_data(sub, data, (int)strlen(data));
}

static bool
want_number(natsSubscription *sub, int n)
{
	char line[20];

	return want_data(sub, line, snprintf(line, sizeof(line), "%d", n));
}

/* Each publishes once; each gets everything. */
static bool
meet(struct client **c, int count)
{
	natsSubscription *subs[16];
	natsMsg *msg;
	char line[20];
	int seen, i, n;

	for (i = 0; i < count; i++)
		STEP((subs[i] = subscribe(c[i], "meet", NULL)) != NULL);
	for (i = 0; i < count; i++) {
		snprintf(line, sizeof(line), "%d", i);
		STEP(publish(c[i], "meet", line));
	}
	for (i = 0; i < count; i++) {
		for (seen = n = 0; n < count; n++) {
			TRY(natsSubscription_NextMsg(&msg, subs[i],
			    TIMEOUT_MS));
			seen |= 1 << atoi(text(msg));
			natsMsg_Destroy(msg);
		}
		if (seen != (1 << count) - 1)
			return fail("%d got %x", i, seen);
		TRY(natsSubscription_Unsubscribe(subs[i]));
	}
	return true;
}


/* ---- connect-options --------------------------------------------------- */

static void
as_alice(natsOptions *opts)
{
	natsOptions_SetUserInfo(opts, "alice", "s3cr3t pass");
}

static void
as_other(natsOptions *opts)
{
	natsOptions_SetUserInfo(opts, "alice", "other");
}

static void
with_token(natsOptions *opts)
{
	natsOptions_SetToken(opts, "t0ken");
}

static void
with_wrong_token(natsOptions *opts)
{
	natsOptions_SetToken(opts, "t0ke");
}

/* The library is told that it may not. */
static bool
no_entry(void (*set)(natsOptions *))
{
	struct client *c = &pool[opened];

	if (open_client(server.url, set) != NULL)
		return fail("let in");
	return c->error == NATS_CONNECTION_AUTH_FAILED ||
	    fail("refused by %s", natsStatus_GetText((natsStatus)c->error));
}

static bool
credentials(void)
{
	struct client *c[2];
	char address[100];

	STEP(start("user"));
	STEP((c[0] = open_client(server.url, as_alice)) != NULL);
	snprintf(address, sizeof(address), "nats://alice:s3cr3t pass@%s",
	    server.url + strlen("nats://"));
	STEP((c[1] = open_client(address, NULL)) != NULL);
	STEP(meet(c, 2));
	STEP(no_entry(NULL) && no_entry(as_other) && no_entry(with_token));
	STEP(start("token"));
	STEP((c[0] = open_client(server.url, with_token)) != NULL);
	snprintf(address, sizeof(address), "nats://t0ken@%s",
	    server.url + strlen("nats://"));
	STEP((c[1] = open_client(address, NULL)) != NULL);
	STEP(meet(c, 2));
	return no_entry(NULL) && no_entry(with_wrong_token) &&
	    no_entry(as_alice);
}

static void
named(natsOptions *opts)
{
	natsOptions_SetName(opts, "a name");
	natsOptions_SetCustomInboxPrefix(opts, "my.inbox");
}

static void
verbose(natsOptions *opts)
{
	natsOptions_SetVerbose(opts, true);
}

static void
pedantic(natsOptions *opts)
{
	natsOptions_SetPedantic(opts, true);
}

static void
no_echo(natsOptions *opts)
{
	natsOptions_SetNoEcho(opts, true);
}

static void
old_requests(natsOptions *opts)
{
	natsOptions_UseOldRequestStyle(opts, true);
}

static void
no_responders_off(natsOptions *opts)
{
	natsOptions_DisableNoResponders(opts, true);
	natsOptions_SetSendAsap(opts, true);
}

/* What it publishes goes to others, be it in a queue group. */
static bool
quiet(struct client *other)
{
	natsSubscription *own, *member, *plain, *far;
	struct client *c;
	int i;

	STEP((c = open_client(server.url, no_echo)) != NULL);
	STEP((own = subscribe(c, "echo", NULL)) != NULL);
	STEP((member = subscribe(c, "echo", "group")) != NULL);
	STEP((plain = subscribe(other, "echo", NULL)) != NULL);
	STEP((far = subscribe(other, "echo", "group")) != NULL);
	for (i = 0; i < 20; i++)
		STEP(publish(c, "echo", "quiet"));
	STEP(flushed(c) && publish(other, "echo", "other"));
	for (i = 0; i < 20; i++)
		STEP(want(plain, "quiet") && want(far, "quiet"));
	return want(own, "other");
}

static bool
answers_nobody(struct client *c, natsStatus wanted, int timeout)
{
	natsMsg *msg;
	natsStatus s;

	s = natsConnection_RequestString(&msg, c->nc, "nobody", "", timeout);
	return s == wanted || fail("a request to nobody: %s",
	    natsStatus_GetText(s));
}

/* CONNECT, ten messages with their subscription, and its end. */
static bool
acknowledged(struct client *c)
{
	natsSubscription *sub;
	int i;

	STEP((sub = subscribe(c, "verbose", NULL)) != NULL);
	for (i = 0; i < 10; i++)
		STEP(publish(c, "verbose", "x"));
	for (i = 0; i < 10; i++)
		STEP(want(sub, "x"));
	TRY(natsSubscription_Unsubscribe(sub));
	return calm(c) && logged(13, "->> [+OK]");
}

static bool
other_protocol(struct client *c)
{
	char *ip;
	bool good;

	TRY(natsConnection_GetClientIP(c->nc, &ip));
	good = strcmp(ip, "::1") == 0;
	free(ip);
	return good || fail("the address of the client");
}

/* The server complains of a wildcard in a published subject, and the library
 * gives up; other subjects are in order. */
static bool
strict(void)
{
	natsSubscription *sub;
	struct client *c;

	STEP((c = open_client(server.url, pedantic)) != NULL);
	STEP((sub = subscribe(c, "pedantic.*", NULL)) != NULL);
	STEP(publish(c, "pedantic.1", "x") && want(sub, "x") && calm(c));
	STEP(publish(c, "pedantic.*", "x"));
	return want_closed(c, "invalid publish subject");
}

static bool
flags(void)
{
	struct client *c[5];
	int count = 4;

	STEP(start("trace"));
	STEP((c[0] = open_client(server.url, named)) != NULL);
	STEP((c[1] = open_client(server.url, verbose)) != NULL);
	STEP((c[2] = open_client(server.url, old_requests)) != NULL);
	STEP((c[3] = open_client(server.url, no_responders_off)) != NULL);
	if (strcmp(server.url6, "-") != 0) {
		STEP((c[4] = open_client(server.url6, NULL)) != NULL);
		STEP(other_protocol(c[4]));
		count++;
	}
	STEP(acknowledged(c[1]) && quiet(c[0]) && meet(c, count));
	STEP(answers_nobody(c[0], NATS_NO_RESPONDERS, TIMEOUT_MS));
	STEP(answers_nobody(c[2], NATS_NO_RESPONDERS, TIMEOUT_MS));
	STEP(answers_nobody(c[3], NATS_TIMEOUT, 100));
	STEP(strict() && calm(c[0]) && calm(c[2]) && calm(c[3]));
	return logged(1, "\"name\":\"a name\"") &&
	    logged(1, "<<- [SUB my.inbox.");
}

static bool
headers_off(void)
{
	struct client *c[2];
	natsMsg *msg;
	natsStatus s;

	STEP(start("noheaders") && open_clients(c, 2, server.url, NULL));
	s = natsConnection_HasHeaderSupport(c[0]->nc);
	if (s != NATS_NO_SERVER_SUPPORT)
		return fail("header support: %s", natsStatus_GetText(s));
	TRY(natsMsg_Create(&msg, "headed", NULL, "x", 1));
	TRY(natsMsgHeader_Set(msg, "A", "b"));
	s = natsConnection_PublishMsg(c[0]->nc, msg);
	natsMsg_Destroy(msg);
	if (s != NATS_NO_SERVER_SUPPORT)
		return fail("headers: %s", natsStatus_GetText(s));
	/* without headers nobody can be told that there is no responder */
	return answers_nobody(c[0], NATS_TIMEOUT, 100) && meet(c, 2) &&
	    calm(c[0]);
}

static bool
connect_options(void)
{
	return credentials() && flags() && headers_off();
}

/* ---- server-errors ----------------------------------------------------- */

/* Those of permissions are reported and the connection stays; after one
 * subscription too many the library gives up. */
static bool
violations(void)
{
	natsSubscription *sub;
	struct client *c;
	char subject[20];
	int i;

	STEP(start("limits"));
	STEP((c = open_client(server.url, NULL)) != NULL);
	STEP(publish(c, "_GR_.x", "x"));
	STEP(want_error(c, 1, NATS_NOT_PERMITTED));
	TRY(natsConnection_PublishRequestString(c->nc, "a", "_R_.x", "x"));
	STEP(want_error(c, 2, NATS_NOT_PERMITTED));
	STEP((sub = subscribe(c, "foo.bar", "_sys_")) != NULL);
	STEP(want_error(c, 3, NATS_NOT_PERMITTED));
	TRY(natsSubscription_Unsubscribe(sub));
	for (i = 0; i < 5; i++) {
		snprintf(subject, sizeof(subject), "limit.%d", i);
		STEP((sub = subscribe(c, subject, NULL)) != NULL);
		STEP(publish(c, subject, "x") && want(sub, "x"));
	}
	if (c->errors != 3 || c->cuts != 0)
		return fail("%d errors", c->errors);
	TRY(natsConnection_SubscribeSync(&sub, c->nc, "limit.5"));
	STEP(keep(NATS_OK, &sub) != NULL);
	return want_closed(c, "maximum subscriptions exceeded");
}

/* One more than there may be is told so; if the library reads it at once with
 * INFO, it forgets what it was told. */
static bool
turned_away(void)
{
	struct client *c = &pool[opened];
	const char *why;

	if (open_client(server.url, NULL) != NULL)
		return fail("let in");
	why = nats_GetLastError(NULL);
	return (c->error == NATS_ERR && strstr(why,
	    "maximum connections exceeded") != NULL) ||
	    (c->error == NATS_PROTOCOL_ERROR && strstr(why,
	    "got ''") != NULL) || fail("turned away by %s, %s",
	    natsStatus_GetText((natsStatus)c->error), why);
}

static bool
too_many(void)
{
	struct client *c[3];
	int i;

	STEP(start("limits") && open_clients(c, 3, server.url, NULL));
	for (i = 0; i < 20; i++)
		STEP(turned_away());
	natsConnection_Destroy(c[0]->nc);
	c[0]->nc = NULL;
	/* the server may not know of it yet */
	for (i = 0; (c[0] = open_client(server.url, NULL)) == NULL; i++) {
		STEP(i < 20);
		nats_Sleep(10);
	}
	return meet(c, 3);
}

/* What the server says to a line, and that the library gives up. */
static bool
said(const char *line, const char *why)
{
	struct client *c;

	STEP((c = open_client(server.proxy, NULL)) != NULL);
	ask("say %s", line);
	return want_closed(c, why);
}

static bool
protocol_errors(void)
{
	char line[5000];

	memset(line, 'x', sizeof(line));
	memcpy(line, "PUB ", 4);
	line[sizeof(line) - 1] = '\0';
	return start("trace") && said("SUB foo..bar 99", "invalid subject") &&
	    said(line, "maximum control line exceeded") &&
	    said("SUBSCRIBE foo", "unknown protocol operation");
}

/* The library tries again with the old one and gives up. */
static bool
new_password(void)
{
	struct client *c;

	STEP(start("user"));
	STEP((c = open_client(server.url, as_alice)) != NULL);
	STEP(ordered("reload user2"));
	STEP(want_closed(c, "authorization violation"));
	STEP(want_error(c, 1, NATS_CONNECTION_AUTH_FAILED));
	STEP((c = open_client(server.url, as_other)) != NULL);
	return calm(c);
}

/* One whose PONGs never come is told, and reconnects. */
static bool
stale(void)
{
	natsSubscription *sub;
	struct client *c;

	STEP(start("pings"));
	STEP((c = open_client(server.proxy, NULL)) != NULL);
	STEP((sub = subscribe(c, "stale", NULL)) != NULL);
	STEP(ordered("mute"));
	STEP(reaches(&c->cuts, 1, "disconnects"));
	STEP(ordered("heal") && logged(1, "-ERR 'Stale Connection'"));
	return reaches(&c->reconnects, 1, "reconnects") &&
	    publish(c, "stale", "x") && want(sub, "x");
}

static bool
server_errors(void)
{
	return violations() && too_many() && protocol_errors() &&
	    new_password() && stale();
}

/* ---- max-payload ------------------------------------------------------- */

static const char zeros[1 << 16];

static bool
publish_size(struct client *c, int size, natsStatus wanted)
{
	natsStatus s = natsConnection_Publish(c->nc, "max", zeros, size);

	return s == wanted || fail("%d bytes: %s", size,
	    natsStatus_GetText(s));
}

/* A message of that size, its header included. */
static bool
publish_headed(struct client *c, int size, natsStatus wanted)
{
	const int header = (int)strlen("NATS/1.0\r\nA: b\r\n\r\n");
	natsMsg *msg;
	natsStatus s;

	TRY(natsMsg_Create(&msg, "max", NULL, zeros, size - header));
	TRY(natsMsgHeader_Set(msg, "A", "b"));
	s = natsConnection_PublishMsg(c->nc, msg);
	natsMsg_Destroy(msg);
	return s == wanted || fail("%d bytes with header: %s", size,
	    natsStatus_GetText(s));
}

/* The library keeps to the limit that INFO gave; sub gets what it lets by. */
static bool
limited(struct client *c, int limit, natsSubscription *sub)
{
	if (natsConnection_GetMaxPayload(c->nc) != limit)
		return fail("max_payload %d instead of %d",
		    (int)natsConnection_GetMaxPayload(c->nc), limit);
	return publish_size(c, limit + 1, NATS_MAX_PAYLOAD) &&
	    publish_size(c, limit, NATS_OK) && want_data(sub, NULL, limit);
}

/* INFO tells the limit, once; what is in force is the server's. */
static bool
max_payload(void)
{
	struct client *first, *second, *third;
	natsSubscription *sub;

	STEP(start("small"));
	STEP((first = open_client(server.url, NULL)) != NULL);
	STEP((sub = subscribe(first, "max", NULL)) != NULL);
	STEP(limited(first, 1000, sub));
	STEP(publish_headed(first, 1001, NATS_MAX_PAYLOAD));
	STEP(publish_headed(first, 1000, NATS_OK));
	STEP(want_data(sub, NULL, 982) && calm(first));
	STEP(ordered("reload larger"));
	STEP((second = open_client(server.url, NULL)) != NULL);
	STEP(limited(first, 1000, sub) && limited(second, 5000, sub));
	STEP(ordered("reload smaller"));
	STEP(publish_size(first, 500, NATS_OK) && want_data(sub, NULL, 500));
	STEP(publish_size(second, 501, NATS_OK));
	STEP(want_closed(second, "maximum payload violation"));
	STEP((third = open_client(server.url, NULL)) != NULL);
	return limited(third, 500, sub) && calm(first);
}

/* ---- slow-consumer ----------------------------------------------------- */

static atomic_int doors_open, handled;

static void
on_pending(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *arg)
{
	(void)nc;
	(void)sub;
	(void)arg;
	natsMsg_Destroy(msg);
	while (!atomic_load(&doors_open))
		nats_Sleep(1);
	atomic_fetch_add(&handled, 1);
}

/* Messages beyond a subscription's limit are dropped by the library, which
 * says so. */
static bool
pending_limits(void)
{
	natsSubscription *sub;
	struct client *c;
	int64_t dropped;
	int i;

	STEP((c = open_client(url, NULL)) != NULL);
	STEP(keep(natsConnection_Subscribe(&sub, c->nc, "pending",
	    on_pending, NULL), &sub) != NULL);
	TRY(natsSubscription_SetPendingLimits(sub, 10, -1));
	STEP(flushed(c));
	for (i = 0; i < 100; i++)
		TRY(natsConnection_PublishString(conns[0], "pending", "x"));
	STEP(flush() && flushed(c));
	STEP(want_error(c, 1, NATS_SLOW_CONSUMER));
	TRY(natsSubscription_GetDropped(sub, &dropped));
	atomic_store(&doors_open, 1);
	if (dropped < 80 || dropped > 90)
		return fail("%d dropped", (int)dropped);
	STEP(reaches(&handled, 100 - (int)dropped, "messages"));
	TRY(natsConnection_PublishString(conns[0], "pending", "last"));
	return reaches(&handled, 101 - (int)dropped, "messages");
}

/* Much data, no more at a time than what a reader may leave unread. */
static bool
publish_bulk(struct client *c, natsSubscription *reader)
{
	enum { ROUNDS = 40, BATCH = 8 };
	int i, n;

	for (n = 0; n < ROUNDS; n++) {
		for (i = 0; i < BATCH; i++)
			TRY(natsConnection_Publish(c->nc, "bulk", zeros,
			    sizeof(zeros)));
		for (i = 0; i < BATCH; i++)
			STEP(want_data(reader, NULL, sizeof(zeros)));
	}
	return true;
}

/* Skips the data up to a message of another kind. */
static bool
want_again(natsSubscription *sub)
{
	natsMsg *msg;
	int len;

	do {
		TRY(natsSubscription_NextMsg(&msg, sub, TIMEOUT_MS));
		len = natsMsg_GetDataLength(msg);
		natsMsg_Destroy(msg);
	} while (len == (int)sizeof(zeros));
	return len == 5 || fail("a message of %d bytes", len);
}

/* The server cuts one that reads nothing; it comes back. */
static bool
slow_reader(void)
{
	natsSubscription *bulk, *quick;
	struct client *slow, *c[2];

	STEP(start("slow"));
	STEP((slow = open_client(server.proxy, NULL)) != NULL);
	STEP(open_clients(c, 2, server.url, NULL));
	STEP((bulk = subscribe(slow, "bulk", NULL)) != NULL);
	STEP((quick = subscribe(c[1], "bulk", NULL)) != NULL);
	STEP(ordered("stall") && publish_bulk(c[0], quick));
	STEP(logged(1, "Slow Consumer Detected") && ordered("heal"));
	STEP(reaches(&slow->reconnects, 1, "reconnects") && flushed(slow));
	STEP(publish(c[0], "bulk", "again") && want_again(bulk));
	return calm(c[0]) && calm(c[1]);
}

static bool
slow_consumer(void)
{
	return pending_limits() && slow_reader();
}

/* ---- ping-timeout ------------------------------------------------------ */

static void
with_pings(natsOptions *opts)
{
	natsOptions_SetPingInterval(opts, 200);
	natsOptions_SetMaxPingsOut(opts, 2);
	natsOptions_SetTimeout(opts, 1000);
}

/* The clients of one that hangs notice by their own PINGs and go elsewhere,
 * or to its successor. */
static bool
deaf_server(void)
{
	struct client *c[CONNECTIONS];
	int hung, cuts, i;

	STEP(start("hang"));
	STEP(open_clients(c, CONNECTIONS, server.url, with_pings));
	STEP(meet(c, CONNECTIONS));
	hung = atoi(ask("hang"));
	STEP(reaches(&c[0]->cuts, 1, "disconnects"));
	if (atoi(ask("logged 0 killing it")) > 0)
		return fail("the connection was cut by the server");
	for (i = cuts = 0; i < CONNECTIONS; i++) {
		if (c[i]->cuts > 0)
			STEP(reaches(&c[i]->reconnects, 1, "reconnects"));
		STEP(flushed(c[i]));
		cuts += c[i]->cuts > 0;
	}
	if (cuts != hung)
		return fail("%d of %d notice", cuts, hung);
	return meet(c, CONNECTIONS);
}

static bool
server_pings(void)
{
	struct client *c[3];

	STEP(start("pings") && open_clients(c, 3, server.url, NULL));
	STEP(logged(12, "->> [PING]") && logged(14, "<<- [PONG]"));
	return calm(c[0]) && calm(c[1]) && calm(c[2]);
}

static bool
ping_timeout(void)
{
	return deaf_server() && server_pings();
}

/* ---- reconnect-buffered ------------------------------------------------ */

static bool
publish_numbers(struct client *c, const char *subject, int count)
{
	char line[20];
	int n;

	for (n = 0; n < count; n++) {
		snprintf(line, sizeof(line), "%d", n);
		STEP(publish(c, subject, line));
	}
	return true;
}

/* The rest of what a subscription with a maximum may still have. */
static bool
up_to_max(struct client *c, natsSubscription *sub, int left)
{
	natsMsg *msg;
	natsStatus s;
	int i;

	for (i = 0; i < 20; i++)
		STEP(publish(c, "ten", "x"));
	STEP(flushed(c));
	for (i = 0; i < left; i++)
		STEP(want(sub, "x"));
	s = natsSubscription_NextMsg(&msg, sub, 100);
	return s == NATS_MAX_DELIVERED_MSGS || s == NATS_INVALID_SUBSCRIPTION ||
	    s == NATS_TIMEOUT || fail("one more: %s", natsStatus_GetText(s));
}

/* What is published while there is no connection goes out when there is one
 * again, after the subscriptions. */
static bool
buffered(void)
{
	natsSubscription *own, *far, *ten;
	struct client *cut, *other;
	int n;

	STEP(start("plain"));
	STEP((cut = open_client(server.proxy, NULL)) != NULL);
	STEP((other = open_client(server.url, NULL)) != NULL);
	STEP((own = subscribe(cut, "buffered", NULL)) != NULL);
	STEP((far = subscribe(other, "buffered", NULL)) != NULL);
	STEP((ten = subscribe(cut, "ten", NULL)) != NULL);
	TRY(natsSubscription_AutoUnsubscribe(ten, 10));
	STEP(flushed(cut));
	for (n = 0; n < 4; n++)
		STEP(publish(other, "ten", "x") && want(ten, "x"));
	if (atoi(ask("cut")) != 1)
		return fail("nothing was cut");
	STEP(reaches(&cut->cuts, 1, "disconnects"));
	STEP(publish_numbers(cut, "buffered", 1000) && ordered("heal"));
	STEP(reaches(&cut->reconnects, 1, "reconnects"));
	for (n = 0; n < 1000; n++)
		STEP(want_number(own, n) && want_number(far, n));
	return up_to_max(other, ten, 6);
}

static void
small_buffer(natsOptions *opts)
{
	natsOptions_SetReconnectBufSize(opts, 1000);
}

/* The library does not keep more than it was told. */
static bool
buffer_full(void)
{
	natsSubscription *sub;
	struct client *c;
	natsStatus s;
	int kept = 0, n;

	STEP(start("plain"));
	STEP((c = open_client(server.url, small_buffer)) != NULL);
	STEP((sub = subscribe(c, "full", NULL)) != NULL);
	STEP(ordered("down") && reaches(&c->cuts, 1, "disconnects"));
	while ((s = natsConnection_PublishString(c->nc, "full",
	    "0123456789")) == NATS_OK && kept < 1000)
		kept++;
	if (s != NATS_INSUFFICIENT_BUFFER)
		return fail("after %d: %s", kept, natsStatus_GetText(s));
	STEP(ordered("up") && reaches(&c->reconnects, 1, "reconnects"));
	STEP(publish(c, "full", "last"));
	for (n = 0; n < kept; n++)
		STEP(want(sub, "0123456789"));
	return want(sub, "last");
}

static bool
reconnect_buffered(void)
{
	return buffered() && buffer_full();
}

/* ---- drain-under-load -------------------------------------------------- */

static atomic_uchar seen[NUMBERS];	/* times that a message came */
static atomic_int seen_all, plain_next, plain_wrong;

static int
number_in(natsMsg *msg)
{
	return atoi(text(msg));
}

static void
on_group(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *arg)
{
	char line[20];
	int n;

	(void)nc;
	(void)sub;
	(void)arg;
	snprintf(line, sizeof(line), "%.*s", natsMsg_GetDataLength(msg),
	    natsMsg_GetData(msg));
	n = atoi(line);
	natsMsg_Destroy(msg);
	atomic_fetch_add(&seen[n], 1);
	atomic_fetch_add(&seen_all, 1);
}

static void
on_plain(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *arg)
{
	char line[20];

	(void)nc;
	(void)sub;
	(void)arg;
	snprintf(line, sizeof(line), "%.*s", natsMsg_GetDataLength(msg),
	    natsMsg_GetData(msg));
	natsMsg_Destroy(msg);
	if (atoi(line) != atomic_fetch_add(&plain_next, 1))
		atomic_store(&plain_wrong, 1);
}

/* Publishes as fast as it can, before and while leaves drains, and for some
 * time after that; how many. */
static int
publish_load(struct client *c, struct client *leaves)
{
	char line[20];
	bool draining = false;
	int total, after = 0;

	for (total = 0; after < 10000 && total < NUMBERS; total++) {
		snprintf(line, sizeof(line), "%d", total);
		if (natsConnection_PublishString(c->nc, "load", line) !=
		    NATS_OK)
			return 0;
		/* no more under way than what the library keeps */
		while (total % 1000 == 0 && total - seen_all > 50000)
			nats_Sleep(1);
		if (!draining && total >= 10000 && seen_all > 0) {
			draining = true;
			if (natsConnection_Drain(leaves->nc) != NATS_OK)
				return 0;
		}
		after += leaves->closed;
	}
	return after == 10000 ? total : 0;
}

/* One member of a group leaves while another connection publishes: all
 * messages come, once. */
static bool
drain_member(struct client *publisher, struct client *stays)
{
	natsSubscription *sub;
	struct client *leaves;
	int total, n;

	memset(seen, 0, sizeof(seen));
	seen_all = plain_next = 0;
	STEP((leaves = open_client(server.url, NULL)) != NULL);
	STEP(keep(natsConnection_QueueSubscribe(&sub, stays->nc, "load",
	    "group", on_group, NULL), &sub) != NULL);
	STEP(keep(natsConnection_QueueSubscribe(&sub, leaves->nc, "load",
	    "group", on_group, NULL), &sub) != NULL);
	STEP(keep(natsConnection_Subscribe(&sub, leaves->nc, "load",
	    on_plain, NULL), &sub) != NULL);
	STEP(flushed(stays) && flushed(leaves));
	if ((total = publish_load(publisher, leaves)) == 0)
		return fail("never drained");
	STEP(flushed(publisher) && reaches(&seen_all, total, "messages"));
	STEP(flushed(stays));
	for (n = 0; n < total; n++) {
		if (seen[n] != 1)
			return fail("message %d of %d came %d times", n,
			    total, seen[n]);
	}
	if (plain_wrong || plain_next == 0 || plain_next == total)
		return fail("%d of %d before the drain", plain_next, total);
	unsubscribe_all();
	return true;
}

/* What it has published goes out before it closes. */
static bool
drain_publisher(struct client *other)
{
	natsSubscription *sub;
	struct client *c;
	int n;

	STEP((c = open_client(server.url, NULL)) != NULL);
	STEP((sub = subscribe(other, "drained", NULL)) != NULL);
	STEP(publish_numbers(c, "drained", 20000));
	TRY(natsConnection_Drain(c->nc));
	for (n = 0; n < 20000; n++)
		STEP(want_number(sub, n));
	unsubscribe_all();
	return reaches(&c->closed, 1, "connections closed");
}

static bool
drain_under_load(void)
{
	struct client *c[2];
	int i;

	STEP(start("plain") && open_clients(c, 2, server.url, NULL));
	for (i = 0; i < 3; i++)
		STEP(drain_member(c[0], c[1]) && drain_publisher(c[1]));
	return calm(c[0]) && calm(c[1]);
}

/* ---- many-subscriptions ------------------------------------------------ */

enum { MANY = 10000 };		/* as many as the server allows */

static bool
subscribe_many(struct client *c, natsSubscription **subs)
{
	char subject[20];
	int n;

	for (n = 0; n < MANY; n++) {
		snprintf(subject, sizeof(subject), "many.%d", n);
		STEP(keep(natsConnection_SubscribeSync(&subs[n], c->nc,
		    subject), &subs[n]) != NULL);
	}
	return calm(c);
}

static bool
serve_many(struct client *c, natsSubscription **subs)
{
	char subject[20];
	int n;

	for (n = 0; n < MANY; n++) {
		snprintf(subject, sizeof(subject), "many.%d", n);
		STEP(publish(c, subject, subject));
	}
	for (n = 0; n < MANY; n++) {
		snprintf(subject, sizeof(subject), "many.%d", n);
		STEP(want(subs[n], subject));
	}
	return true;
}

static bool
nobody_left(struct client *c)
{
	char subject[20];
	natsMsg *msg;
	natsStatus s;
	int n;

	for (n = 0; n < MANY; n += 101) {
		snprintf(subject, sizeof(subject), "many.%d", n);
		s = natsConnection_RequestString(&msg, c->nc, subject, "",
		    TIMEOUT_MS);
		if (s != NATS_NO_RESPONDERS)
			return fail("%s is still there: %s", subject,
			    natsStatus_GetText(s));
	}
	return true;
}

/* As many as one connection may have, all of them served; when all are gone,
 * as many again, and one more. */
static bool
many_subscriptions(void)
{
	static natsSubscription *subs[MANY];
	natsSubscription *excess;
	struct client *c[2];
	int round;

	STEP(start("subs") && open_clients(c, 2, server.url, NULL));
	for (round = 0; round < 2; round++) {
		STEP(subscribe_many(c[0], subs) && serve_many(c[1], subs));
		if (round == 1)
			break;
		unsubscribe_all();
		STEP(calm(c[0]) && nobody_left(c[1]));
	}
	STEP(keep(natsConnection_SubscribeSync(&excess, c[0]->nc,
	    "many.excess"), &excess) != NULL);
	/* libnats takes it for fatal */
	return want_closed(c[0], "maximum subscriptions exceeded") &&
	    nobody_left(c[1]);
}

/* ---- request-many ------------------------------------------------------ */

static void
on_many(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *arg)
{
	(void)sub;
	natsConnection_PublishString(nc, natsMsg_GetReply(msg), arg);
	natsMsg_Destroy(msg);
}

/* Fifty answers and an empty one. */
static void
on_stream(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *arg)
{
	char line[20];
	int n;

	(void)sub;
	(void)arg;
	for (n = 0; n < 50; n++) {
		snprintf(line, sizeof(line), "%d", n);
		natsConnection_PublishString(nc, natsMsg_GetReply(msg), line);
	}
	natsConnection_PublishString(nc, natsMsg_GetReply(msg), "");
	natsMsg_Destroy(msg);
}

/* Asks once; the subscription to which the answers come. */
static natsSubscription *
ask_many(natsConnection *nc, const char *subject)
{
	natsSubscription *sub = NULL;
	natsInbox *inbox;
	natsStatus s;

	s = natsInbox_Create(&inbox);
	if (s == NATS_OK)
		s = natsConnection_SubscribeSync(&sub, nc, inbox);
	if (s == NATS_OK)
		s = natsConnection_PublishRequestString(nc, subject, inbox,
		    "");
	natsInbox_Destroy(inbox);
	return keep(s, &sub);
}

static bool
by_count(natsConnection *nc, int count)
{
	natsSubscription *sub;
	natsMsg *msg;
	int found = 0, n;

	STEP((sub = ask_many(nc, "many")) != NULL);
	for (n = 0; n < count; n++) {
		TRY(natsSubscription_NextMsg(&msg, sub, TIMEOUT_MS));
		found |= 1 << number_in(msg);
		natsMsg_Destroy(msg);
	}
	return __builtin_popcount((unsigned int)found) == count ||
	    fail("by count: %x", found);
}

static bool
by_time(natsConnection *nc)
{
	natsSubscription *sub;
	natsMsg *msg;
	natsStatus s;
	int found = 0, count = 0;

	STEP((sub = ask_many(nc, "many")) != NULL);
	while ((s = natsSubscription_NextMsg(&msg, sub, 200)) == NATS_OK) {
		found |= 1 << number_in(msg);
		count++;
		natsMsg_Destroy(msg);
	}
	return (s == NATS_TIMEOUT && count == CONNECTIONS &&
	    found == (1 << CONNECTIONS) - 1) || fail("by time: %x, %s", found,
	    natsStatus_GetText(s));
}

static bool
by_sentinel(natsConnection *nc)
{
	natsSubscription *sub;
	int n;

	STEP((sub = ask_many(nc, "stream")) != NULL);
	for (n = 0; n < 50; n++)
		STEP(want_number(sub, n));
	return want(sub, "");
}

/* One message says that nobody is there. */
static bool
by_nobody(natsConnection *nc)
{
	natsSubscription *sub;
	natsMsg *msg;
	natsStatus s;

	STEP((sub = ask_many(nc, "nobody.there")) != NULL);
	s = natsSubscription_NextMsg(&msg, sub, TIMEOUT_MS);
	if (s == NATS_OK && natsMsg_IsNoResponders(msg))
		s = NATS_NO_RESPONDERS;
	return s == NATS_NO_RESPONDERS || fail("nobody: %s",
	    natsStatus_GetText(s));
}

static bool
request_many(void)
{
	static const char *const names[] = { "0", "1", "2", "3", "4", "5" };
	natsSubscription *sub;
	int i;

	for (i = 0; i < CONNECTIONS; i++)
		STEP(keep(natsConnection_Subscribe(&sub, conns[i], "many",
		    on_many, (void *)names[i]), &sub) != NULL);
	STEP(keep(natsConnection_Subscribe(&sub, conns[1], "stream",
	    on_stream, NULL), &sub) != NULL);
	STEP(flush());
	for (i = 0; i < CONNECTIONS; i++)
		STEP(by_count(conns[i], CONNECTIONS - 1) && by_time(conns[i]) &&
		    by_sentinel(conns[i]) && by_nobody(conns[i]));
	return true;
}

/* ---- services ---------------------------------------------------------- */

enum { INSTANCES = 3, DOUBLED = 200 };

/* This libnats has no services of its own: the subjects and answers are
 * those that others use. */
struct service {
	char id[8];
	atomic_int requests;
};

static struct service instances[INSTANCES] = {
	{ "ID0", 0 }, { "ID1", 0 }, { "ID2", 0 }
};

static void
on_control(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *arg)
{
	struct service *v = arg;
	const char *verb = natsMsg_GetSubject(msg) + strlen("$SRV.");
	char line[300];

	(void)sub;
	if (strncmp(verb, "PING", 4) == 0)
		snprintf(line, sizeof(line), "{\"name\":\"sums\",\"id\":\"%s\","
		    "\"version\":\"1.2.3\","
		    "\"type\":\"io.nats.micro.v1.ping_response\"}", v->id);
	else
		snprintf(line, sizeof(line), "{\"name\":\"sums\",\"id\":\"%s\","
		    "\"version\":\"1.2.3\","
		    "\"type\":\"io.nats.micro.v1.stats_response\","
		    "\"endpoints\":[{\"name\":\"double\","
		    "\"subject\":\"sums.double\",\"queue_group\":\"q\","
		    "\"num_requests\":%d}]}", v->id, v->requests);
	natsConnection_PublishString(nc, natsMsg_GetReply(msg), line);
	natsMsg_Destroy(msg);
}

static void
on_double(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *arg)
{
	struct service *v = arg;
	char line[40];
	int len = natsMsg_GetDataLength(msg);

	(void)sub;
	atomic_fetch_add(&v->requests, 1);
	snprintf(line, sizeof(line), "%.*s%.*s", len, natsMsg_GetData(msg),
	    len, natsMsg_GetData(msg));
	natsConnection_PublishString(nc, natsMsg_GetReply(msg), line);
	natsMsg_Destroy(msg);
}

static bool
add_service(natsConnection *nc, struct service *v)
{
	static const char *const verbs[] = { "PING", "INFO", "STATS" };
	natsSubscription *sub;
	char subject[3][60];
	int i, n;

	for (i = 0; i < 3; i++) {
		snprintf(subject[0], sizeof(subject[0]), "$SRV.%s", verbs[i]);
		snprintf(subject[1], sizeof(subject[1]), "$SRV.%s.sums",
		    verbs[i]);
		snprintf(subject[2], sizeof(subject[2]), "$SRV.%s.sums.%s",
		    verbs[i], v->id);
		for (n = 0; n < 3; n++)
			STEP(keep(natsConnection_Subscribe(&sub, nc,
			    subject[n], on_control, v), &sub) != NULL);
	}
	return keep(natsConnection_QueueSubscribe(&sub, nc, "sums.double",
	    "q", on_double, v), &sub) != NULL;
}

static bool
use_service(void)
{
	char question[20], answer[40];
	natsMsg *msg;
	int n;

	for (n = 0; n < DOUBLED; n++) {
		snprintf(question, sizeof(question), "%d", n);
		snprintf(answer, sizeof(answer), "%d%d", n, n);
		TRY(natsConnection_RequestString(&msg, conns[n % CONNECTIONS],
		    "sums.double", question, TIMEOUT_MS));
		if (strcmp(text(msg), answer) != 0)
			return fail("reply %s", text(msg));
		natsMsg_Destroy(msg);
	}
	return true;
}

/* All instances answer, and have served all requests. */
static bool
discover(natsConnection *nc)
{
	const char *data, *requests;
	natsSubscription *sub;
	natsMsg *msg;
	int n, ids = 0, total = 0, mine;

	STEP((sub = ask_many(nc, "$SRV.STATS.sums")) != NULL);
	for (n = 0; n < INSTANCES; n++) {
		TRY(natsSubscription_NextMsg(&msg, sub, TIMEOUT_MS));
		data = natsMsg_GetData(msg);
		requests = strstr(data, "\"num_requests\":");
		mine = atoi(requests + strlen("\"num_requests\":"));
		if (mine == 0)
			return fail("one instance got nothing");
		total += mine;
		ids |= 1 << atoi(strstr(data, "\"ID") + 3);
		natsMsg_Destroy(msg);
	}
	return (total == DOUBLED && ids == (1 << INSTANCES) - 1) ||
	    fail("%d requests of instances %x", total, ids);
}

static bool
nobody_serves(const char *subject)
{
	natsMsg *msg;
	natsStatus s;

	s = natsConnection_RequestString(&msg, conns[0], subject, "",
	    TIMEOUT_MS);
	return s == NATS_NO_RESPONDERS || fail("%s: %s", subject,
	    natsStatus_GetText(s));
}

static bool
services(void)
{
	natsMsg *msg;
	int n;

	for (n = 0; n < INSTANCES; n++)
		STEP(add_service(conns[n], &instances[n]));
	STEP(flush() && use_service());
	for (n = 0; n < CONNECTIONS; n++) {
		STEP(discover(conns[n]));
		TRY(natsConnection_RequestString(&msg, conns[n],
		    "$SRV.PING.sums.ID1", "", TIMEOUT_MS));
		if (strstr(natsMsg_GetData(msg), "\"id\":\"ID1\"") == NULL)
			return fail("PING of ID1: %s", natsMsg_GetData(msg));
		natsMsg_Destroy(msg);
	}
	unsubscribe_all();
	return flush() && nobody_serves("$SRV.PING") &&
	    nobody_serves("$SRV.PING.sums.ID1") &&
	    nobody_serves("sums.double");
}

/* ---- async-info -------------------------------------------------------- */

static bool
same_info(struct client *c, uint64_t *id)
{
	char **servers;
	int count, infos;

	TRY(natsConnection_GetClientID(c->nc, id));
	TRY(natsConnection_GetDiscoveredServers(c->nc, &servers, &count));
	free(servers);
	infos = atoi(ask("infos"));
	if (infos != 1 || count != 0 || c->notices != 0 ||
	    natsConnection_GetMaxPayload(c->nc) != 1 << 20)
		return fail("%d INFO lines", infos);
	return calm(c);
}

/* natsd sends INFO once; the library waits for no second one. */
static bool
async_info(void)
{
	struct client *c[4];
	uint64_t id[4];
	int i, n;

	STEP(start("trace") && open_clients(c, 4, server.url, NULL));
	STEP(ordered("reload larger") && meet(c, 4));
	STEP(logged(2 * 4, "->> [PONG]"));
	for (i = 0; i < 4; i++) {
		STEP(same_info(c[i], &id[i]));
		for (n = 0; n < i; n++) {
			if (id[n] == id[i])
				return fail("two of the same number");
		}
	}
	return true;
}

const struct behaviour depth[] = {
	{ "connect-options", connect_options },
	{ "server-errors", server_errors },
	{ "max-payload", max_payload },
	{ "slow-consumer", slow_consumer },
	{ "ping-timeout", ping_timeout },
	{ "reconnect-buffered", reconnect_buffered },
	{ "drain-under-load", drain_under_load },
	{ "many-subscriptions", many_subscriptions },
	{ "request-many", request_many },
	{ "services", services },
	{ "async-info", async_info },
	{ NULL, NULL }
};
