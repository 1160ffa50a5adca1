/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * natsload: what its files share.  natsload puts one measured load on a NATS
 * server (or on natsrelay) and prints one JSON object.  It uses nothing of
 * the daemon's own code, so that a fault there cannot hide itself here.
 */
#ifndef NL_H
#define NL_H

#include <stddef.h>
#include <stdint.h>

enum nl_place {
	NL_ANY,		/* wherever the server puts a connection */
	NL_SAME,	/* all of the load's connections in one worker */
	NL_CROSS	/* receivers in one worker, senders in another */
};

struct nl_opts {
	const char *host;
	int port;
	int pid;		/* root of the server's process tree, 0 none */
	int relay;		/* the server is natsrelay: port, port + 1 */
	int pubs, subs;
	int queue;		/* all receivers in one queue group */
	int pairs;		/* sender i to receiver i alone */
	int wild;		/* one wildcard in place of each subject */
	int subjects;		/* sender picks one at random */
	int size;		/* payload bytes */
	int sthreads, rthreads;
	int inflight;
	int lag_us;		/* receivers rest so long after each read */
	int rate;		/* per second */
	int conns;
	int rx_worker;		/* with placement: the receivers' worker */
	double secs;
	double settle;		/* rest before memory is read, seconds */
	double timeout;		/* seconds without progress */
	uint64_t msgs;		/* per sender */
	uint64_t warm;
	uint64_t count;
	uint64_t background;	/* unrelated subscriptions loaded first */
	int bg_conns;
	int bg_unique;		/* distinct token not last: load.N.x */
	size_t batch;		/* bytes per write */
	enum nl_place place;
};

struct nl_conn {
	int fd;
	int worker;		/* as INFO says, -1 unknown */
	int hold_pong;		/* answer PING later, now in mid-message */
	int owes_pong;
	size_t have;		/* bytes in buf not yet looked at */
	char *buf;
	size_t cap;
};

extern struct nl_opts nl_o;

/* nlutil.c: time, process tree, results */
void nl_die(const char *, ...) __attribute__((noreturn, format(printf, 1, 2)));
void *nl_alloc(size_t);
uint64_t nl_now(void);
void nl_sleep(double);
double nl_tree_cpu(void);
double nl_tree_mem(void);
const char *nl_mem_kind(void);
void nl_out_num(const char *, double);
void nl_out_str(const char *, const char *);
void nl_out_lat(const char *, uint32_t *, size_t);
void nl_out_end(void);
uint64_t nl_rand(void);

/* nlconn.c: connections */
int nl_tcp(int);
int nl_tcp_start(int);
void nl_open(struct nl_conn *, int, int);
void nl_open_rx(struct nl_conn *);
void nl_open_tx(struct nl_conn *);
void nl_close(struct nl_conn *);
void nl_close_spare(void);
void nl_nonblock(int);
void nl_send(int, const void *, size_t);
void nl_sendf(int, const char *, ...) __attribute__((format(printf, 2, 3)));
size_t nl_fill(struct nl_conn *);
size_t nl_control(struct nl_conn *, const char *, size_t, int *);
int nl_pong(struct nl_conn *);
void nl_drain_add(int, uint32_t);
void nl_drain_start(void (*)(uint32_t, const char *));

/* nlmany.c */
void nl_background(void);

/* The loads, a function each. */
void nl_pubsub(void);
void nl_rr(void);
void nl_paced(void);
void nl_sublat(void);
void nl_conns(void);
void nl_subs(void);
void nl_churn(void);

#define NL_CONNECT \
	"CONNECT {\"verbose\":false,\"pedantic\":false,\"protocol\":1," \
	"\"lang\":\"c\",\"version\":\"1\",\"name\":\"natsload\"," \
	"\"headers\":true,\"no_responders\":true,\"echo\":true}\r\n"

#endif
