/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The listening sockets: opened by the master before it gives up its
 * privileges, kept over respawn and reload, shared by all workers.
 */
#ifndef MASTER_LISTEN_H
#define MASTER_LISTEN_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proc/heritage.h"

struct conf;

#define LISTEN_TEXT_MAX 320

struct listener {
	int fd;
	bool unix_socket;
	int port; /* TCP: the one really bound */
	char host[256]; /* TCP: numeric, without [] */
	char text[LISTEN_TEXT_MAX]; /* "127.0.0.1:4222", "[::1]:4222",
				       "unix:/path" */
	/* Unix: the file to remove, if it is still ours. */
	char path[108];
	dev_t dev;
	ino_t ino;
};

struct listen_set {
	uint32_t n;
	bool in_use; /* listen_open() failed: somebody has an address */
	struct listener l[HERITAGE_LISTEN_MAX];
	char info_host[256]; /* first TCP listener as configured */
	int info_port;
};

/* Opens all listeners of conf; 0, or -1 with a text in err (and nothing
 * open).  A name is resolved, which may take as long as the resolver likes;
 * of several addresses of one name it is enough that one can be bound. */
int listen_open(struct listen_set *set, const struct conf *conf, char *err,
    size_t errlen);

/* Options of the sockets that follow the configuration, after a reload. */
void listen_reload(const struct listen_set *set, const struct conf *conf);

/*
 * Whether the file of a Unix socket was gone, or another one that nobody
 * listens at is in its place, and there is a new socket and file now: l->fd is
 * another one, which is to be handed to the workers.  What cannot be made again
 * is logged.
 */
bool listen_renew(struct listener *l, const struct conf *conf);

/* Takes no more connections, for every process that has the sockets: who is
 * cut by one worker and comes back at once is refused, and not taken by another
 * that is about to leave. */
void listen_stop(const struct listen_set *set);

/* Closes all and removes the files of Unix sockets that are still ours. */
void listen_close(struct listen_set *set);

#endif
