/* SPDX-License-Identifier: BSD-2-Clause */
/* Options of TCP sockets; errors do no harm and are not told. */
#include <config.h>

#include <sys/socket.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <limits.h>

#include "base/tcp.h"

/* tcp(7): larger values are EINVAL. */
#define KEEPIDLE_MAX 32767
#define KEEPCNT_MAX 127

static void
set(int fd, int level, int name, int value)
{
	(void)setsockopt(fd, level, name, &value, sizeof value);
}

void
tcp_set_patience(int fd, uint64_t ms)
{
	set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT,
	    ms < INT_MAX ? (int)ms : INT_MAX);
}

/* Seconds, rounded up. */
static int
seconds(uint64_t ms)
{
	uint64_t s = ms / 1000 + (ms % 1000 != 0);

	if (s == 0)
		return 1;
	return s < KEEPIDLE_MAX ? (int)s : KEEPIDLE_MAX;
}

void
tcp_set_options(int fd, uint64_t idle_ms, uint32_t probes, uint64_t least_ms)
{
	uint64_t n = probes + UINT64_C(1);
	uint64_t patience = idle_ms <= INT_MAX / n ? idle_ms * n : INT_MAX;

	set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set(fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds(idle_ms));
	set(fd, IPPROTO_TCP, TCP_KEEPINTVL, seconds(idle_ms));
	set(fd, IPPROTO_TCP, TCP_KEEPCNT,
	    probes < KEEPCNT_MAX ? (int)probes : KEEPCNT_MAX);
	set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	tcp_set_patience(fd, patience > least_ms ? patience : least_ms);
}
