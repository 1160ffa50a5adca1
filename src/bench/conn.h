/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Connections with the full handshake, in a wanted worker where the server's
 * INFO tells which one serves ("worker":N, as natsd does); the lines that may
 * come between messages; a thread that reads connections nobody else reads.
 */
#ifndef BENCH_CONN_H
#define BENCH_CONN_H

#include <stddef.h>
#include <stdint.h>

#define CONN_BUF 65536
#define CONN_SAID 160	/* of a line, enough to know it */
#define CONN_LINE_MAX 65536 /* a server's line; an INFO may have many URLs */

struct conn {
	int fd;
	int worker;	/* as INFO says, -1 unknown */
	char *buf;	/* CONN_BUF bytes, of which `have` are not looked at */
	size_t have;
	/* Of those that the watch thread reads. */
	void (*on_line)(struct conn *, const char *); /* of a message */
	uint32_t idx;
	_Atomic int owes_pong;	/* somebody else writes: he shall answer */
	int defers_pong;
	_Atomic uint32_t pongs;
	_Atomic int may_close;	/* the server may; then closed becomes true */
	_Atomic int closed;
	char said[CONN_SAID]; /* a line of which a part has come */
	size_t nsaid;
};

/* The server, as the INFO of the first connection describes it. */
struct conn_server {
	char name[80], version[48];
	uint64_t max_payload;
	int headers, auth, known;
};

extern struct conn_server conn_server;

/* Opens one for a subscriber or a publisher, as --place wants them; the
 * surplus that went to other workers stays open until conn_close_spare(), so
 * that the server's evenness brings the next one elsewhere. */
void conn_open_sub(struct conn *);
void conn_open_pub(struct conn *);
void conn_open(struct conn *); /* anywhere */
void conn_close(struct conn *);
void conn_close_spare(void);

/* CONNECT with the credentials and a PING; its length. */
const char *conn_greeting(size_t *len);

/* Looks at an INFO; ends the program if we cannot use that server. */
void conn_info(const char *line, size_t len);

/* Ends the program over an -ERR or over anything else that is no line of the
 * protocol. */
void conn_complain(const char *line, size_t len) __attribute__((noreturn));

/* Sends all of it, waiting for room where need be. */
void conn_send(int fd, const void *, size_t);
void conn_sendf(int fd, const char *, ...)
    __attribute__((format(printf, 2, 3)));

/* Reads behind what the buffer has; 0: nothing for now. */
size_t conn_fill(struct conn *);

/* Looks at a line that is no message: answers PING, counts PONG, passes over
 * INFO and +OK.  Its length; 0: not complete. */
size_t conn_control(struct conn *, const char *, size_t, uint32_t *pongs);

/* Waits for PONGs (nothing but control lines may come); how many. */
uint32_t conn_await_pong(struct conn *);
void conn_ping(struct conn *); /* PING, and waits for its PONG */

/* Puts what lies behind pos to the front of the buffer. */
void conn_keep(struct conn *, size_t pos);

/* Has the watch thread read it from now on: it answers PINGs (or sets
 * owes_pong if defers_pong), counts PONGs, ends the program when the server
 * closes it (unless it may), and hands the lines of messages to on_line. */
void conn_watch(struct conn *);

/* Closes one that is watched, when the watch thread has let go of it. */
void conn_close_watched(struct conn *);

/* Waits until the watch thread has counted so many PONGs on it. */
void conn_await_watched(struct conn *, uint32_t pongs);

void conn_nonblock(int fd);
void conn_timeouts(int fd); /* blocking calls return after a while */

#endif
