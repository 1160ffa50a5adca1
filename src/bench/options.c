/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * natsbench: the command line.  One table has all options, with the commands
 * that take them; what a command does not use is an error.
 */
#include <config.h>

#include <ctype.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/commands.h"
#include "bench/options.h"
#include "bench/shape.h"

#define PAYLOAD_MAX (64 << 20)

struct bench_opts bench_o = {
	.server = "nats://127.0.0.1:4222", .subject = "b", .pubs = 1,
	.subs = 1, .subjects = 1, .size_min = 16, .size_max = 16,
	.block = 131072, .send_threads = 1, .receive_threads = 1,
	.warm = -1, .inflight = 1, .responders = 1, .other_conns = 4,
	.count = 100000, .stalled = 1, .settle = -1, .timeout = 10,
};

/* Bits of the commands. */
enum {
	PUB = 1, SUB = 2, PUBSUB = 4, LATENCY = 8, REQUEST = 16, CHURN = 32,
	STALL = 64, FIREHOSE = 128, IDLE = 256, CONNECT = 512, SUBS = 1024,
	SUBPING = 2048,
	FLOWS = PUB | PUBSUB | LATENCY | CHURN | STALL | FIREHOSE,
	RECEIVE = FLOWS & ~PUB, ALL = 4095
};

static const struct command {
	const char *name;
	int bit;
	void (*run)(void);
	const char *help;
} commands[] = {
	{ "pub", PUB, command_pub, "publish, whoever may receive it" },
	{ "sub", SUB, command_sub, "receive what natsbench pub sends" },
	{ "pubsub", PUBSUB, command_pubsub,
	    "publish and receive as fast as it goes" },
	{ "latency", LATENCY, command_latency,
	    "publish at a rate; time from publisher to subscriber" },
	{ "request", REQUEST, command_request, "requests and replies" },
	{ "connect", CONNECT, command_connect,
	    "open connections, one subscription each" },
	{ "idle", IDLE, command_idle, "... and what they cost when idle" },
	{ "subs", SUBS, command_subs, "load distinct subscriptions" },
	{ "subping", SUBPING, command_subping,
	    "SUB with a PING, until the PONG" },
	{ "churn", CHURN, command_churn,
	    "pubsub alone, then beside SUB and UNSUB, or connects" },
	{ "stall", STALL, command_stall,
	    "pubsub alone, then beside readers that do not read" },
	{ "firehose", FIREHOSE, command_firehose,
	    "latency alone, then beside a flow at full speed" },
};

enum kind { INT, U64, REAL, TEXT, FLAG, SIZE, PLACE, BYTES };

static const struct option_def {
	const char *name;
	char letter;
	enum kind kind;
	void *to;
	int cmds;
	const char *arg, *help;
} defs[] = {
	{ "server", 's', TEXT, &bench_o.server, ALL, "URL",
	    "nats://HOST:PORT, HOST:PORT or unix:PATH\n"
	    "($NATS_URL, or else nats://127.0.0.1:4222)" },
	{ "user", 0, TEXT, &bench_o.user, ALL, "NAME", "user to log in as" },
	{ "password", 0, TEXT, &bench_o.password, ALL, "WORD",
	    "the user's password" },
	{ "token", 0, TEXT, &bench_o.token, ALL, "WORD",
	    "token to log in with" },
	{ "pid", 'p', INT, &bench_o.pid, ALL, "PID",
	    "the server's process: measure CPU and memory of it\n"
	    "and its children" },
	{ "json", 'j', FLAG, &bench_o.json, ALL, NULL,
	    "print one JSON object (as without a terminal)" },
	{ "text", 0, FLAG, &bench_o.text, ALL, NULL,
	    "print lines for people (as on a terminal)" },
	{ "no-progress", 0, FLAG, &bench_o.no_progress, ALL, NULL,
	    "no progress bar" },
	{ "timeout", 0, REAL, &bench_o.timeout, ALL, "SECS",
	    "give up after so long without progress (10)" },
	{ "place", 0, PLACE, &bench_o.place, ALL & ~(IDLE | CONNECT | SUBS | SUBPING),
	    "WHERE", "same, cross or any: publishers and subscribers in\n"
	    "one worker of natsd, in two, or anywhere (any)" },
	{ "subject", 0, TEXT, &bench_o.subject, ALL, "NAME",
	    "what all subjects begin with (b)" },
	{ "msgs", 'n', U64, &bench_o.msgs, FLOWS | SUB | REQUEST | SUBPING,
	    "N", "messages of each publisher (sub: for each subscriber;\n"
	    "request: of all; subping: SUBs); without -d, that many" },
	{ "duration", 'd', REAL, &bench_o.secs, FLOWS | SUB | REQUEST | IDLE |
	    SUBPING,
	    "SECS", "as many as fit in so many seconds (5)" },
	{ "warm-up", 0, REAL, &bench_o.warm, FLOWS, "SECS",
	    "before measuring (a tenth of the run, 2 at most)" },
	{ "size", 0, SIZE, &bench_o.size_min, FLOWS | SUB | REQUEST,
	    "BYTES", "of payload, or FROM..TO at random (16)" },
	{ "pubs", 0, INT, &bench_o.pubs, FLOWS, "N", "publishers (1)" },
	{ "subs", 0, INT, &bench_o.subs, RECEIVE | SUB, "N",
	    "subscribers; each gets everything (1)" },
	{ "pairs", 0, FLAG, &bench_o.pairs, RECEIVE & ~(STALL | FIREHOSE),
	    NULL, "publisher i to subscriber i alone" },
	{ "queue", 0, FLAG, &bench_o.queue, (RECEIVE | SUB) & ~FIREHOSE,
	    NULL, "the subscribers are one queue group" },
	{ "subjects", 0, INT, &bench_o.subjects, FLOWS | SUB, "N",
	    "subjects, one at random for each message (1)" },
	{ "wildcard", 0, FLAG, &bench_o.wildcard, RECEIVE | SUB, NULL,
	    "subscribe to a wildcard, not to each subject" },
	{ "headers", 0, INT, &bench_o.headers, FLOWS | SUB, "N",
	    "header lines of 27 bytes in each message (0)" },
	{ "rate", 'r', U64, &bench_o.rate, FLOWS, "N",
	    "messages per second of all publishers together\n"
	    "(latency 10000, firehose 1000, else full speed)" },
	{ "no-check", 0, FLAG, &bench_o.no_check, FLOWS | SUB, NULL,
	    "count messages only" },
	{ "first", 0, INT, &bench_o.first, PUB, "N",
	    "number of the first publisher, if several natsbench\n"
	    "publish to one natsbench sub (0)" },
	{ "inflight", 'c', INT, &bench_o.inflight, REQUEST | CONNECT | IDLE,
	    "N", "at a time: requests of each connection (1),\n"
	    "connections being opened (256)" },
	{ "connections", 'C', INT, &bench_o.connections,
	    REQUEST | CONNECT | IDLE | SUBS, "N",
	    "connections (connect, idle: 1000; request: 1; subs: 4)" },
	{ "responders", 0, INT, &bench_o.responders, REQUEST, "N",
	    "connections that answer, a queue group (1)" },
	{ "count", 0, U64, &bench_o.count, SUBS, "N",
	    "subscriptions (100000)" },
	{ "changes", 0, U64, &bench_o.changes, CHURN, "N",
	    "SUB and UNSUB per second (10000, or 0 with --connects)" },
	{ "connects", 0, U64, &bench_o.connects, CHURN, "N",
	    "connections per second, opened and closed (0)" },
	{ "stalled", 0, INT, &bench_o.stalled, STALL, "N",
	    "readers that do not read (1)" },
	{ "apart", 0, FLAG, &bench_o.apart, STALL, NULL,
	    "they have a subject and a publisher of their own" },
	{ "others", 0, U64, &bench_o.others, ALL & ~SUBS, "N",
	    "load so many unrelated subscriptions first (0)" },
	{ "other-conns", 0, INT, &bench_o.other_conns, ALL & ~SUBS, "N",
	    "connections that hold them (4)" },
	{ "settle", 0, REAL, &bench_o.settle, ALL, "SECS",
	    "rest before memory is measured (2; idle: 3, since\n"
	    "a server's first PING comes a while after CONNECT)" },
	{ "send-threads", 0, INT, &bench_o.send_threads, FLOWS, "N",
	    "threads that publish (1)" },
	{ "receive-threads", 0, INT, &bench_o.receive_threads, RECEIVE | SUB,
	    "N", "threads that receive (1)" },
	{ "block", 0, BYTES, &bench_o.block, FLOWS, "BYTES",
	    "written at a time (128K)" },
	{ "relay", 0, FLAG, &bench_o.relay, FLOWS & ~(CHURN | STALL), NULL,
	    "the server only copies bytes to all its subscribers:\n"
	    "publish what subscribers expect to see" },
};

#define NDEFS (sizeof defs / sizeof defs[0])
#define NCOMMANDS (sizeof commands / sizeof commands[0])
#define LONG_ONLY 1000

static int given[NDEFS];

static void wrong(const char *, ...)
    __attribute__((noreturn, format(printf, 1, 2)));

static void
wrong(const char *fmt, ...)
{
	va_list ap;

	(void)fprintf(stderr, "natsbench: ");
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fprintf(stderr, "\nnatsbench -h tells the commands, "
	    "natsbench COMMAND -h the options\n");
	exit(2);
}

static void
help_option(const struct option_def *d)
{
	char left[40];
	const char *p = d->help, *nl;

	(void)snprintf(left, sizeof left, "%c%c%s --%s%s%s",
	    d->letter ? '-' : ' ', d->letter ? d->letter : ' ',
	    d->letter ? "," : " ", d->name, d->arg != NULL ? " " : "",
	    d->arg != NULL ? d->arg : "");
	while ((nl = strchr(p, '\n')) != NULL) {
		(void)printf("  %-24s %.*s\n", left, (int)(nl - p), p);
		left[0] = '\0';
		p = nl + 1;
	}
	(void)printf("  %-24s %s\n", left, p);
}

static void
help(const struct command *cmd)
{
	size_t i;

	if (cmd != NULL) {
		(void)printf("usage: natsbench %s [options]\n%s\n\n",
		    cmd->name, cmd->help);
		for (i = 0; i < NDEFS; i++)
			if (defs[i].cmds & cmd->bit)
				help_option(&defs[i]);
		exit(0);
	}
	(void)printf("usage: natsbench COMMAND [options]\n"
	    "Puts load on a NATS server, checks what comes back, and "
	    "measures.\n\n");
	for (i = 0; i < NCOMMANDS; i++)
		(void)printf("  %-10s %s\n", commands[i].name,
		    commands[i].help);
	(void)printf("\nnatsbench COMMAND -h tells its options; "
	    "see natsbench(1).\n\nOptions of all commands:\n");
	for (i = 0; i < NDEFS; i++)
		if (defs[i].cmds == ALL)
			help_option(&defs[i]);
	exit(0);
}

static const struct command *
find(const char *name)
{
	size_t i;

	for (i = 0; i < NCOMMANDS; i++)
		if (strcmp(name, commands[i].name) == 0)
			return &commands[i];
	wrong("there is no command \"%s\"", name);
}

/* A number with K, M or G behind it (of 1024), NULL if that is none. */
static const char *
number(const char *s, double *v, int scaled)
{
	static const char units[] = "KMG";
	const char *unit, *end = s;
	char digits[40];

	/* No strtod(): 16..256 begins with 16, not with 16. */
	while (isdigit((unsigned char)*end) ||
	    (*end == '.' && isdigit((unsigned char)end[1])))
		end++;
	if (end == s || (size_t)(end - s) >= sizeof digits)
		return NULL;
	memcpy(digits, s, (size_t)(end - s));
	digits[end - s] = '\0';
	*v = strtod(digits, NULL);
	if (scaled && *end != '\0' &&
	    (unit = strchr(units, toupper((unsigned char)*end))) != NULL) {
		*v *= (double)(UINT64_C(1) << (10 * (unit - units + 1)));
		end++;
		if (toupper((unsigned char)*end) == 'B')
			end++;
	} else if (scaled && (*end == 'B' || *end == 'b'))
		end++;
	return end;
}

static size_t
bytes(const struct option_def *d, const char *arg, const char **end)
{
	double v;

	if ((*end = number(arg, &v, 1)) == NULL)
		wrong("--%s %s: not a size", d->name, arg);
	if (v > PAYLOAD_MAX)
		wrong("--%s %s: more than 64 MB", d->name, arg);
	return (size_t)v;
}

static void
set_size(const struct option_def *d, const char *arg)
{
	const char *end;

	bench_o.size_min = bench_o.size_max = bytes(d, arg, &end);
	if (strncmp(end, "..", 2) == 0)
		bench_o.size_max = bytes(d, end + 2, &end);
	else if (*end == '-')
		bench_o.size_max = bytes(d, end + 1, &end);
	if (*end != '\0' || bench_o.size_max < bench_o.size_min)
		wrong("--%s %s: give a size as 1K, or a range as 16..256",
		    d->name, arg);
}

static void
set_place(const char *arg)
{
	static const char *const names[] = { "any", "same", "cross" };
	int i;

	for (i = 0; i < 3; i++) {
		if (strcmp(arg, names[i]) == 0) {
			bench_o.place = i;
			return;
		}
	}
	wrong("--place %s: give same, cross or any", arg);
}

static void
set_number(const struct option_def *d, const char *arg)
{
	const char *end;
	double v;

	if ((end = number(arg, &v, 0)) == NULL || *end != '\0' ||
	    v > (d->kind == INT ? 2e9 : 1e15))
		wrong("--%s %s: not a number that makes sense", d->name, arg);
	if (d->kind != REAL && strchr(arg, '.') != NULL)
		wrong("--%s %s: give a whole number", d->name, arg);
	if (d->kind == INT)
		*(int *)d->to = (int)v;
	else if (d->kind == U64)
		*(uint64_t *)d->to = (uint64_t)v;
	else
		*(double *)d->to = v;
}

static void
set(size_t i, const char *arg)
{
	const struct option_def *d = &defs[i];
	const char *end;

	given[i] = 1;
	switch (d->kind) {
	case FLAG:
		*(int *)d->to = 1;
		break;
	case TEXT:
		*(const char **)d->to = arg;
		break;
	case PLACE:
		set_place(arg);
		break;
	case SIZE:
		set_size(d, arg);
		break;
	case BYTES:
		*(size_t *)d->to = bytes(d, arg, &end);
		if (*end != '\0')
			wrong("--%s %s: not a size", d->name, arg);
		break;
	default:
		set_number(d, arg);
	}
}

static int
is_given(const char *name)
{
	size_t i;

	for (i = 0; i < NDEFS; i++)
		if (strcmp(name, defs[i].name) == 0)
			return given[i];
	return 0;
}

/* Subjects are made of it; long ones would not fit into their buffers. */
static void
check_subject(void)
{
	const char *s = bench_o.subject;

	if (*s == '\0' || strlen(s) > 64 || strpbrk(s, " \t\r\n*>") != NULL ||
	    *s == '.' || s[strlen(s) - 1] == '.' || strstr(s, "..") != NULL)
		wrong("--subject \"%s\": give 1 to 64 bytes without "
		    "wildcards and blanks", s);
}

static void
at_least_one(const char *name, int v, int most)
{
	if (v < 1 || v > most)
		wrong("--%s %d: give 1 to %d", name, v, most);
}

static void
check_numbers(void)
{
	at_least_one("pubs", bench_o.pubs, SHAPE_PUBS_MAX);
	at_least_one("subs", bench_o.subs, 1000000);
	at_least_one("subjects", bench_o.subjects, SHAPE_SUBJECTS_MAX);
	at_least_one("send-threads", bench_o.send_threads, 256);
	at_least_one("receive-threads", bench_o.receive_threads, 256);
	at_least_one("inflight", bench_o.inflight, 99999999);
	at_least_one("connections", bench_o.connections, 999999);
	at_least_one("responders", bench_o.responders, 100000);
	at_least_one("other-conns", bench_o.other_conns, 100000);
	at_least_one("stalled", bench_o.stalled, 100000);
	if (bench_o.headers > 99)
		wrong("--headers %d: at most 99", bench_o.headers);
	if (bench_o.first + bench_o.pubs > SHAPE_PUBS_MAX)
		wrong("--first %d: too high", bench_o.first);
	if (bench_o.count < 1 || bench_o.count > 10000000 ||
	    bench_o.others > 10000000)
		wrong("at most 10,000,000 subscriptions");
	if (bench_o.block < 1)
		bench_o.block = 1;
	if (bench_o.timeout < 0.001)
		wrong("--timeout: too short");
}

static void
check_together(const struct command *cmd)
{
	size_t i;

	for (i = 0; i < NDEFS; i++)
		if (given[i] && !(defs[i].cmds & cmd->bit))
			wrong("%s does not take --%s", cmd->name,
			    defs[i].name);
	if (bench_o.pairs && (is_given("subs") || bench_o.queue ||
	    is_given("subjects") || bench_o.wildcard))
		wrong("--pairs does not go with --subs, --subjects, "
		    "--wildcard or --queue");
	if (bench_o.relay && (bench_o.pubs > 1 || bench_o.pairs ||
	    bench_o.queue || bench_o.place != BENCH_ANY))
		wrong("--relay goes with one publisher, and not with --pairs, "
		    "--queue or --place");
	if (is_given("password") && bench_o.user == NULL)
		wrong("--password needs --user");
	if (bench_o.no_check && bench_o.rate > 0)
		wrong("--no-check and --rate do not go together");
	if ((cmd->bit & (LATENCY | FIREHOSE) || bench_o.rate > 0) &&
	    bench_o.size_min < SHAPE_STAMP && cmd->bit != PUB)
		wrong("latencies need payloads of 8 bytes or more");
	if (cmd->bit & (LATENCY | FIREHOSE) && bench_o.no_check)
		wrong("%s needs to check messages", cmd->name);
	if (bench_o.size_min < SHAPE_STAMP && !bench_o.no_check &&
	    bench_o.size_max != bench_o.size_min)
		wrong("--size: sizes at random begin at 8 bytes, or order "
		    "cannot be checked (--no-check)");
	if (bench_o.queue && bench_o.size_min < SHAPE_STAMP)
		wrong("--queue needs payloads of 8 bytes or more");
}

static void
fill_defaults(const struct command *cmd)
{
	if (bench_o.connections == 0 && !is_given("connections"))
		bench_o.connections = cmd->bit == REQUEST ? 1 :
		    cmd->bit == SUBS ? 4 : 1000;
	if (cmd->bit & (CONNECT | IDLE) && !is_given("inflight"))
		bench_o.inflight = 256;
	if (bench_o.settle < 0)
		bench_o.settle = cmd->bit == IDLE ? 3 : 2;
	if (bench_o.secs == 0 && bench_o.msgs == 0 && cmd->bit != SUB)
		bench_o.secs = 5;
}

void (*options_parse(int argc, char *argv[]))(void)
{
	struct option longs[NDEFS + 3];
	char shorts[NDEFS * 2 + 8] = "hV", *p = shorts + 2;
	const struct command *cmd = NULL;
	int c, wants_help = 0;
	size_t i;

	memset(longs, 0, sizeof longs);
	for (i = 0; i < NDEFS; i++) {
		longs[i].name = defs[i].name;
		longs[i].has_arg = defs[i].kind == FLAG ? no_argument :
							  required_argument;
		longs[i].val = (int)i + LONG_ONLY;
		if (defs[i].letter == 0)
			continue;
		*p++ = defs[i].letter;
		if (defs[i].kind != FLAG)
			*p++ = ':';
	}
	longs[NDEFS].name = "help";
	longs[NDEFS].val = 'h';
	longs[NDEFS + 1].name = "version";
	longs[NDEFS + 1].val = 'V';
	if (getenv("NATS_URL") != NULL)
		bench_o.server = getenv("NATS_URL");
	while ((c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		if (c == '?')
			wrong("wrong option");
		if (c == 'h')
			wants_help = 1;
		else if (c == 'V') {
			(void)printf("natsbench %s\n", PACKAGE_VERSION);
			exit(0);
		} else if (c >= LONG_ONLY)
			set((size_t)c - LONG_ONLY, optarg);
		else
			for (i = 0; i < NDEFS; i++)
				if (defs[i].letter == c)
					set(i, optarg);
	}
	if (optind < argc)
		cmd = find(argv[optind]);
	if (wants_help)
		help(cmd);
	if (cmd == NULL)
		wrong("which command?");
	if (optind + 1 < argc)
		wrong("what is \"%s\"?", argv[optind + 1]);
	bench_o.command = cmd->name;
	if (!bench_o.text && !isatty(STDOUT_FILENO))
		bench_o.json = 1;
	fill_defaults(cmd);
	check_together(cmd);
	check_numbers();
	check_subject();
	return cmd->run;
}
