/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All behaviours with libnats: several connections, each publishing to all.
 * A behaviour returns from its function at the first thing that is wrong.
 */
#include <nats/nats.h>

#include <ctype.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "behaviours.h"

enum {
	JOBS = 50,		/* messages from each to a queue group */
	DRAINED = 200,		/* and to the connection that is drained */
	LARGE = 1 << 20
};

const char *url;
natsConnection *conns[CONNECTIONS];
static natsSubscription *subs[CONNECTIONS];
static atomic_int reconnects;
static char reason[500];

bool
fail(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(reason, sizeof(reason), format, ap);
	va_end(ap);
	return false;
}

bool
reaches(atomic_int *counter, int value, const char *what)
{
	int waited_ms;

	for (waited_ms = 0; waited_ms < TIMEOUT_MS; waited_ms++) {
		if (atomic_load(counter) >= value)
			return true;
		nats_Sleep(1);
	}
	return fail("%d %s of %d", atomic_load(counter), what, value);
}

static void
on_reconnect(natsConnection *nc, void *arg)
{
	(void)nc;
	(void)arg;
	atomic_fetch_add(&reconnects, 1);
}

static void
on_close(natsConnection *nc, void *arg)
{
	(void)nc;
	atomic_store((atomic_int *)arg, 1);
}

static natsStatus
connect_to(natsConnection **nc, atomic_int *closed)
{
	natsOptions *opts;
	natsStatus s;

	s = natsOptions_Create(&opts);
	if (s != NATS_OK)
		return s;
	natsOptions_SetURL(opts, url);
	natsOptions_SetMaxReconnect(opts, -1);
	natsOptions_SetReconnectWait(opts, 50);
	natsOptions_SetReconnectJitter(opts, 1, 1);
	natsOptions_SetReconnectedCB(opts, on_reconnect, NULL);
	if (closed != NULL)
		natsOptions_SetClosedCB(opts, on_close, closed);
	s = natsConnection_Connect(nc, opts);
	natsOptions_Destroy(opts);
	return s;
}

bool
flush(void)
{
	int i;

	for (i = 0; i < CONNECTIONS; i++)
		TRY(natsConnection_FlushTimeout(conns[i], TIMEOUT_MS));
	return true;
}

static void
unsubscribe(void)
{
	int i;

	for (i = 0; i < CONNECTIONS; i++) {
		natsSubscription_Destroy(subs[i]);
		subs[i] = NULL;
	}
}

static bool
subscribe_all(const char *subject)
{
	int i;

	for (i = 0; i < CONNECTIONS; i++)
		TRY(natsConnection_SubscribeSync(&subs[i], conns[i], subject));
	return flush();
}

const char *
text(natsMsg *msg)
{
	static char buf[100];

	snprintf(buf, sizeof(buf), "%.*s", natsMsg_GetDataLength(msg),
	    natsMsg_GetData(msg));
	return buf;
}

static bool
publish_numbered(const char *subject, int count)
{
	char line[40];
	int i, n;

	for (i = 0; i < CONNECTIONS; i++) {
		for (n = 0; n < count; n++) {
			snprintf(line, sizeof(line), "%d %d", i, n);
			TRY(natsConnection_PublishString(conns[i], subject,
			    line));
		}
	}
	return true;
}

/*
 * Each connection publishes; each subscription gets everything, what is from
 * one publisher in order.
 */
static bool
exchange(const char *subject, int count)
{
	int next[CONNECTIONS], from, i, n, number;
	natsMsg *msg;

	if (!publish_numbered(subject, count))
		return false;
	for (i = 0; i < CONNECTIONS; i++) {
		memset(next, 0, sizeof(next));
		for (n = 0; n < CONNECTIONS * count; n++) {
			TRY(natsSubscription_NextMsg(&msg, subs[i],
			    TIMEOUT_MS));
			if (sscanf(text(msg), "%d %d", &from, &number) != 2)
				return fail("got %s", text(msg));
			natsMsg_Destroy(msg);
			if (number != next[from]++)
				return fail("message %d of %d", number, from);
		}
	}
	return true;
}

static bool
publish_subscribe(void)
{
	return subscribe_all("all") && exchange("all", 100);
}

static bool
match(const char *pattern, const char *const *want)
{
	static const char *const published[] = { "wild", "wild.a", "wild.a.c",
		"wild.b.c", "wild.a.b.c", "other.a.c", "wild.end.c", NULL };
	natsMsg *msg;
	int i, n;

	if (!subscribe_all(pattern))
		return false;
	for (n = 0; published[n] != NULL; n++)
		TRY(natsConnection_PublishString(conns[0], published[n], ""));
	for (i = 0; i < CONNECTIONS; i++) {
		for (n = 0; want[n] != NULL; n++) {
			TRY(natsSubscription_NextMsg(&msg, subs[i],
			    TIMEOUT_MS));
			if (strcmp(natsMsg_GetSubject(msg), want[n]) != 0)
				return fail("%s: %s instead of %s", pattern,
				    natsMsg_GetSubject(msg), want[n]);
			natsMsg_Destroy(msg);
		}
	}
	unsubscribe();
	return true;
}

static bool
wildcards(void)
{
	static const char *const one[] = { "wild.a.c", "wild.b.c",
		"wild.end.c", NULL };
	static const char *const many[] = { "wild.a", "wild.a.c", "wild.b.c",
		"wild.a.b.c", "wild.end.c", NULL };

	return match("wild.*.c", one) && match("wild.>", many);
}

static atomic_int jobs_seen;
static atomic_int jobs[CONNECTIONS][JOBS];
static atomic_int shares[CONNECTIONS];

static void
on_job(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *arg)
{
	int from = 0, n = 0;

	(void)nc;
	(void)sub;
	sscanf(natsMsg_GetData(msg), "%d %d", &from, &n);
	atomic_fetch_add(&jobs[from][n], 1);
	atomic_fetch_add((atomic_int *)arg, 1);
	atomic_fetch_add(&jobs_seen, 1);
	natsMsg_Destroy(msg);
}

static bool
queue_groups(void)
{
	int i, n;

	for (i = 0; i < CONNECTIONS; i++)
		TRY(natsConnection_QueueSubscribe(&subs[i], conns[i], "jobs",
		    "group", on_job, &shares[i]));
	if (!flush() || !publish_numbered("jobs", JOBS) ||
	    !reaches(&jobs_seen, CONNECTIONS * JOBS, "messages") ||
	    !flush() || !flush())
		return false;
	for (i = 0; i < CONNECTIONS; i++) {
		if (shares[i] == 0)
			return fail("member %d got nothing", i);
		for (n = 0; n < JOBS; n++) {
			if (jobs[i][n] != 1)
				return fail("message %d of %d came %d times",
				    n, i, jobs[i][n]);
		}
	}
	return true;
}

static void
on_request(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *arg)
{
	char reply[100];
	int i;

	(void)sub;
	(void)arg;
	snprintf(reply, sizeof(reply), "%s", natsMsg_GetData(msg));
	for (i = 0; reply[i] != '\0'; i++)
		reply[i] = (char)toupper((unsigned char)reply[i]);
	natsConnection_PublishString(nc, natsMsg_GetReply(msg), reply);
	natsMsg_Destroy(msg);
}

static bool
request_reply(void)
{
	char subject[40], question[40], answer[40];
	natsMsg *msg;
	int from, to;

	for (to = 0; to < CONNECTIONS; to++) {
		snprintf(subject, sizeof(subject), "service.%d", to);
		TRY(natsConnection_Subscribe(&subs[to], conns[to], subject,
		    on_request, NULL));
	}
	if (!flush())
		return false;
	for (from = 0; from < CONNECTIONS; from++) {
		snprintf(question, sizeof(question), "from %d", from);
		snprintf(answer, sizeof(answer), "FROM %d", from);
		for (to = 0; to < CONNECTIONS; to++) {
			snprintf(subject, sizeof(subject), "service.%d", to);
			TRY(natsConnection_RequestString(&msg, conns[from],
			    subject, question, TIMEOUT_MS));
			if (strcmp(text(msg), answer) != 0)
				return fail("reply %s", text(msg));
			natsMsg_Destroy(msg);
		}
	}
	return true;
}

static bool
same_headers(natsMsg *msg)
{
	const char **values;
	const char *value;
	int count;

	TRY(natsMsgHeader_Values(msg, "Colour", &values, &count));
	if (count != 2 || strcmp(values[0], "red") != 0 ||
	    strcmp(values[1], "dark green") != 0)
		return fail("%d values of Colour", count);
	free((void *)values);
	TRY(natsMsgHeader_Get(msg, "X-Number", &value));
	if (strcmp(value, "17") != 0 || strcmp(text(msg), "body") != 0)
		return fail("X-Number %s, body %s", value, text(msg));
	return true;
}

static bool
headers(void)
{
	natsMsg *msg;
	int i, n;

	if (!subscribe_all("headed"))
		return false;
	TRY(natsMsg_Create(&msg, "headed", NULL, "body", 4));
	TRY(natsMsgHeader_Add(msg, "Colour", "red"));
	TRY(natsMsgHeader_Add(msg, "Colour", "dark green"));
	TRY(natsMsgHeader_Set(msg, "X-Number", "17"));
	for (i = 0; i < CONNECTIONS; i++)
		TRY(natsConnection_PublishMsg(conns[i], msg));
	natsMsg_Destroy(msg);
	for (i = 0; i < CONNECTIONS; i++) {
		for (n = 0; n < CONNECTIONS; n++) {
			TRY(natsSubscription_NextMsg(&msg, subs[i],
			    TIMEOUT_MS));
			if (!same_headers(msg))
				return false;
			natsMsg_Destroy(msg);
		}
	}
	return true;
}

static bool
nobody(const char *subject)
{
	natsStatus s;
	natsMsg *msg;
	int i;

	for (i = 0; i < CONNECTIONS; i++) {
		s = natsConnection_RequestString(&msg, conns[i], subject, "",
		    TIMEOUT_MS);
		if (s != NATS_NO_RESPONDERS)
			return fail("request to %s: %s", subject,
			    natsStatus_GetText(s));
	}
	return true;
}

static bool
no_responders(void)
{
	return nobody("nobody.there");
}

static bool
large_payload(void)
{
	static char data[LARGE];
	natsMsg *msg;
	int i, n;

	if (natsConnection_GetMaxPayload(conns[0]) != LARGE)
		return fail("max_payload is not %d", LARGE);
	for (i = 0; i < LARGE; i++)
		data[i] = (char)(i * 7 >> 3);
	if (!subscribe_all("large"))
		return false;
	for (i = 0; i < CONNECTIONS; i++)
		TRY(natsConnection_Publish(conns[i], "large", data, LARGE));
	for (i = 0; i < CONNECTIONS; i++) {
		for (n = 0; n < CONNECTIONS; n++) {
			TRY(natsSubscription_NextMsg(&msg, subs[i],
			    TIMEOUT_MS));
			if (natsMsg_GetDataLength(msg) != LARGE ||
			    memcmp(natsMsg_GetData(msg), data, LARGE) != 0)
				return fail("the payload has changed");
			natsMsg_Destroy(msg);
		}
	}
	return true;
}

static void
on_drained(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *arg)
{
	(void)nc;
	(void)sub;
	usleep(100);
	atomic_fetch_add((atomic_int *)arg, 1);
	natsMsg_Destroy(msg);
}

static bool
drain(void)
{
	static atomic_int closed, got;
	natsSubscription *sub;
	natsConnection *nc;
	bool done;

	TRY(connect_to(&nc, &closed));
	TRY(natsConnection_Subscribe(&sub, nc, "drained", on_drained, &got));
	TRY(natsConnection_FlushTimeout(nc, TIMEOUT_MS));
	if (!publish_numbered("drained", DRAINED) || !flush())
		return false;
	TRY(natsConnection_Drain(nc));
	done = reaches(&closed, 1, "connections closed");
	natsSubscription_Destroy(sub);
	natsConnection_Destroy(nc);
	if (!done)
		return false;
	if (got != CONNECTIONS * DRAINED)
		return fail("%d messages", got);
	return nobody("drained");
}

/* Has connections cut and sees that their subscriptions return. */
static bool
come_back(const char *order)
{
	char line[40];

	if (!subscribe_all("back"))
		return false;
	atomic_store(&reconnects, 0);
	puts(order);
	if (fgets(line, sizeof(line), stdin) == NULL)
		return fail("no answer");
	return reaches(&reconnects, atoi(line), "reconnects") && flush() &&
	    exchange("back", 10);
}

static bool
worker_killed(void)
{
	return come_back("kill");
}

static bool
server_restarted(void)
{
	return come_back("restart");
}

static const struct behaviour basic[] = {
	{ "publish-subscribe", publish_subscribe },
	{ "wildcards", wildcards },
	{ "queue-groups", queue_groups },
	{ "request-reply", request_reply },
	{ "headers", headers },
	{ "no-responders", no_responders },
	{ "large-payload", large_payload },
	{ "drain", drain },
	{ "worker-killed", worker_killed },
	{ "server-restarted", server_restarted },
	{ NULL, NULL }
};

/* Runs those that are named, or all; whether all were good. */
static bool
run_all(const struct behaviour *b, char **names)
{
	bool good = true;
	char **name;

	for (; b->name != NULL; b++) {
		for (name = names; *name != NULL; name++) {
			if (strcmp(*name, b->name) == 0)
				break;
		}
		if (*names != NULL && *name == NULL)
			continue;
		if (b->run())
			printf("ok %s\n", b->name);
		else {
			printf("not ok %s - %s\n", b->name, reason);
			good = false;
		}
		unsubscribe();
		put_away();
	}
	return good;
}

int
main(int argc, char **argv)
{
	bool good;
	int i;

	if (argc < 2)
		return 2;
	url = argv[1];
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (i = 0; i < CONNECTIONS; i++) {
		if (connect_to(&conns[i], NULL) != NATS_OK) {
			printf("cannot connect to %s\n", url);
			return 1;
		}
	}
	good = run_all(basic, argv + 2);
	good = run_all(depth, argv + 2) && good;
	for (i = 0; i < CONNECTIONS; i++)
		natsConnection_Destroy(conns[i]);
	nats_Close();
	return good ? 0 : 1;
}
