/* SPDX-License-Identifier: BSD-2-Clause */
/* base/tcp.c: what the kernel is told. */
#include <config.h>

#include <sys/socket.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/tcp.h"
#include "lib/unit.h"

static int fd;

static void
setup(void)
{
	fd = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_ge(fd, 0);
}

static void
teardown(void)
{
	(void)close(fd);
}

static int
get(int level, int name)
{
	socklen_t len = sizeof(int);
	int value = -1;

	ck_assert_int_eq(getsockopt(fd, level, name, &value, &len), 0);
	return value;
}

static const struct {
	uint64_t idle_ms;
	uint32_t probes;
	uint64_t least_ms;
	int idle_s, count, patience_ms; /* expected */
} cases[] = {
	{ 120000, 2, 10000, 120, 2, 360000 },
	{ 1500, 4, 1, 2, 4, 7500 }, /* whole seconds, rounded up */
	{ 1500, 4, 10000, 2, 4, 10000 },
	{ 1, 1, 1, 1, 1, 2 },
	/* beyond what the kernel takes */
	{ 32767001, 127, 1, 32767, 127, INT_MAX },
	{ UINT64_C(3650) * 86400000, 1U << 30, 86400000, 32767, 127,
	    INT_MAX },
	{ UINT64_MAX, UINT32_MAX, UINT64_MAX, 32767, 127, INT_MAX },
	{ INT_MAX / 3, 2, 0, 32767, 2, INT_MAX / 3 * 3 },
};

START_TEST(options)
{
	tcp_set_options(fd, cases[_i].idle_ms, cases[_i].probes,
	    cases[_i].least_ms);
	ck_assert_int_ne(get(IPPROTO_TCP, TCP_NODELAY), 0);
	ck_assert_int_ne(get(SOL_SOCKET, SO_KEEPALIVE), 0);
	ck_assert_int_eq(get(IPPROTO_TCP, TCP_KEEPIDLE), cases[_i].idle_s);
	ck_assert_int_eq(get(IPPROTO_TCP, TCP_KEEPINTVL), cases[_i].idle_s);
	ck_assert_int_eq(get(IPPROTO_TCP, TCP_KEEPCNT), cases[_i].count);
	ck_assert_int_eq(get(IPPROTO_TCP, TCP_USER_TIMEOUT),
	    cases[_i].patience_ms);
}
END_TEST

START_TEST(patience)
{
	tcp_set_patience(fd, 1000);
	ck_assert_int_eq(get(IPPROTO_TCP, TCP_USER_TIMEOUT), 1000);
	tcp_set_patience(fd, UINT64_MAX);
	ck_assert_int_eq(get(IPPROTO_TCP, TCP_USER_TIMEOUT), INT_MAX);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("tcp");
	TCase *tc = tcase_create("options");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, options, 0,
	    (int)(sizeof cases / sizeof cases[0]));
	tcase_add_test(tc, patience);
	suite_add_tcase(s, tc);
	return unit_run(s);
}
