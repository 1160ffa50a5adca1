/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * The server's address: nats://[USER[:PASSWORD]@]HOST[:PORT], the same without
 * "nats://", TOKEN@HOST, unix:PATH, unix://PATH or /PATH.
 */
#ifndef BENCH_ADDR_H
#define BENCH_ADDR_H

#include <sys/socket.h>

/* Resolves the server option; credentials in it become those of bench_o unless
 * they are set.  Returns NULL or what is wrong (a static text). */
const char *addr_set(const char *server);

/* As people write it, without credentials. */
const char *addr_text(void);

/* A new socket of the right family that is being connected: non-blocking, or
 * blocking and connected; with flags of socket(2).  -1 and errno. */
int addr_connect(int flags);

#endif
