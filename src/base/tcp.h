/* SPDX-License-Identifier: BSD-2-Clause */
/* Options of TCP sockets: how long the kernel waits for a silent peer. */
#ifndef BASE_TCP_H
#define BASE_TCP_H

#include <stdint.h>

/*
 * What every connection of ours has; accept(2) hands the options of a
 * listening socket on, so that it is enough to set them there.
 *
 * TCP_NODELAY.  A peer from which nothing has come for idle_ms is probed every
 * idle_ms, `probes` times (SO_KEEPALIVE; whole seconds, and what tcp(7) has
 * room for).  One that acknowledges nothing of what was sent, or keeps its
 * window shut, for (probes + 1) x idle_ms, but least_ms at least, is given up
 * (TCP_USER_TIMEOUT, RFC 5482): its socket then fails with ETIMEDOUT.  Both
 * keep TCP's own limits (tcp_retries2, 15 minutes) from being the only ones.
 */
void tcp_set_options(int fd, uint64_t idle_ms, uint32_t probes,
    uint64_t least_ms);

/*
 * Before a close(2): the kernel may go on for so long without progress to
 * send what is queued, not for minutes.
 */
void tcp_set_patience(int fd, uint64_t ms);

#endif
