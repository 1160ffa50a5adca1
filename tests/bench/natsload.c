/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * natsload: puts one measured load on a NATS server and prints one JSON
 * object.  tests/bench/run.py starts it; by hand:
 *
 *	natsload --port 4222 --pid $(pidof natsd) pubsub --subs 10
 *
 * The exit status is 1 and the object has "ok":false if a message was lost,
 * came twice, out of order or damaged.
 */
#include <config.h>

#include <sys/resource.h>

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nl.h"

struct nl_opts nl_o = {
	.host = "127.0.0.1", .port = 4222, .pubs = 1, .subs = 1,
	.subjects = 1, .size = 16, .sthreads = 1, .rthreads = 1,
	.inflight = 1, .conns = 1000, .rx_worker = -1, .secs = 2,
	.settle = 2, .timeout = 15, .msgs = 1000000, .count = 10000,
	.bg_conns = 4, .batch = 131072,
};

static const struct {
	const char *name;
	void (*run)(void);
} modes[] = {
	{ "pubsub", nl_pubsub }, { "rr", nl_rr }, { "paced", nl_paced },
	{ "sublat", nl_sublat }, { "conns", nl_conns }, { "subs", nl_subs },
	{ "churn", nl_churn },
};

enum kind { K_INT, K_U64, K_DBL, K_STR, K_FLAG, K_PLACE };

static const struct {
	const char *name;
	enum kind kind;
	void *to;
	const char *help;
} opts[] = {
	{ "host", K_STR, &nl_o.host, "IPv4 address (127.0.0.1)" },
	{ "port", K_INT, &nl_o.port, "port (4222)" },
	{ "pid", K_INT, &nl_o.pid, "server's root process, to measure it" },
	{ "relay", K_FLAG, &nl_o.relay, "the server is natsrelay" },
	{ "pubs", K_INT, &nl_o.pubs, "senders" },
	{ "subs", K_INT, &nl_o.subs, "receivers; 0: publish only" },
	{ "queue", K_FLAG, &nl_o.queue, "receivers are one queue group" },
	{ "pairs", K_FLAG, &nl_o.pairs, "sender i to receiver i" },
	{ "wild", K_FLAG, &nl_o.wild, "receivers subscribe a wildcard" },
	{ "subjects", K_INT, &nl_o.subjects, "subjects, used at random" },
	{ "size", K_INT, &nl_o.size, "payload bytes, 16 or more" },
	{ "msgs", K_U64, &nl_o.msgs, "messages per sender" },
	{ "warm", K_U64, &nl_o.warm, "messages per sender before that" },
	{ "batch", K_U64, &nl_o.batch, "bytes per write" },
	{ "senders", K_INT, &nl_o.sthreads, "sending threads" },
	{ "readers", K_INT, &nl_o.rthreads, "receiving threads" },
	{ "lag", K_INT, &nl_o.lag_us, "receivers rest after a read, us" },
	{ "inflight", K_INT, &nl_o.inflight, "rr, conns: at a time" },
	{ "count", K_U64, &nl_o.count, "rr, sublat: how many" },
	{ "rate", K_INT, &nl_o.rate, "paced, churn: per second" },
	{ "secs", K_DBL, &nl_o.secs, "paced, churn, idle time: seconds" },
	{ "conns", K_INT, &nl_o.conns, "conns: connections" },
	{ "background", K_U64, &nl_o.background, "other subscriptions" },
	{ "bg-conns", K_INT, &nl_o.bg_conns, "connections that hold them" },
	{ "bg-unique", K_FLAG, &nl_o.bg_unique,
	    "their subjects are load.N.x, not load.N/1000.N%1000" },
	{ "settle", K_DBL, &nl_o.settle, "rest before memory is read" },
	{ "timeout", K_DBL, &nl_o.timeout, "seconds without progress" },
	{ "place", K_PLACE, &nl_o.place, "any, same or cross: workers" },
};

#define NOPTS (sizeof opts / sizeof opts[0])
#define NMODES (sizeof modes / sizeof modes[0])

static void
usage(void)
{
	size_t i;

	fprintf(stderr, "usage: natsload [options] mode\nmodes:");
	for (i = 0; i < NMODES; i++)
		fprintf(stderr, " %s", modes[i].name);
	fprintf(stderr, "\n");
	for (i = 0; i < NOPTS; i++)
		fprintf(stderr, "  --%-12s %s\n", opts[i].name, opts[i].help);
	exit(2);
}

static void
set_place(const char *arg)
{
	if (strcmp(arg, "any") == 0)
		nl_o.place = NL_ANY;
	else if (strcmp(arg, "same") == 0)
		nl_o.place = NL_SAME;
	else if (strcmp(arg, "cross") == 0)
		nl_o.place = NL_CROSS;
	else
		usage();
}

static void
set(size_t i, const char *arg)
{
	char *end = NULL;

	switch (opts[i].kind) {
	case K_FLAG:
		*(int *)opts[i].to = 1;
		return;
	case K_STR:
		*(const char **)opts[i].to = arg;
		return;
	case K_PLACE:
		set_place(arg);
		return;
	case K_INT:
		*(int *)opts[i].to = (int)strtol(arg, &end, 10);
		break;
	case K_U64:
		*(uint64_t *)opts[i].to = strtoull(arg, &end, 10);
		break;
	case K_DBL:
		*(double *)opts[i].to = strtod(arg, &end);
		break;
	}
	if (end == arg || *end != '\0') {
		fprintf(stderr, "natsload: --%s %s: not a number\n",
		    opts[i].name, arg);
		exit(2);
	}
}

static void
parse(int argc, char *argv[])
{
	struct option longs[NOPTS + 1];
	size_t i;
	int c;

	memset(longs, 0, sizeof longs);
	for (i = 0; i < NOPTS; i++) {
		longs[i].name = opts[i].name;
		longs[i].has_arg = opts[i].kind == K_FLAG ? no_argument :
		    required_argument;
		longs[i].val = (int)i + 1000;
	}
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c < 1000)
			usage();
		set((size_t)c - 1000, optarg);
	}
	if (optind != argc - 1 || nl_o.size < 16 || nl_o.subjects < 1 ||
	    nl_o.pubs < 1 || nl_o.subs < 0 || nl_o.sthreads < 1 ||
	    nl_o.rthreads < 1 || nl_o.inflight < 1 || nl_o.bg_conns < 1)
		usage();
}

/* Root may go above the hard limit, others take what they have. */
static void
raise_nofile(void)
{
	struct rlimit rl = { .rlim_cur = 200000, .rlim_max = 200000 };

	if (setrlimit(RLIMIT_NOFILE, &rl) == 0)
		return;
	getrlimit(RLIMIT_NOFILE, &rl);
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
}

int
main(int argc, char *argv[])
{
	size_t i;

	parse(argc, argv);
	signal(SIGPIPE, SIG_IGN);
	raise_nofile();
	for (i = 0; i < NMODES; i++)
		if (strcmp(argv[optind], modes[i].name) == 0)
			break;
	if (i == NMODES)
		usage();
	nl_out_str("mode", modes[i].name);
	nl_background();
	modes[i].run();
	nl_out_end();
	return 0;
}
