/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unsent output: what goes in comes out of the socket, whole and in order,
 * however it was cut, and all memory comes back.
 */
#include <config.h>

#include <sys/socket.h>

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "lib/unit.h"
#include "worker/out.h"

#define LARGEST 300000

static struct out_pool pool;
static struct out out;
static int fd[2];
static uint64_t dice;
static uint8_t bytes[LARGEST];

static uint32_t
rnd(uint32_t n)
{
	dice += HASH_K0;
	return (uint32_t)(hash_mix(dice, HASH_K1) >> 32) % n;
}

/* Byte number `at` of the stream that all tests write. */
static uint8_t
stream(size_t at)
{
	return (uint8_t)(at * 131 + at / 251);
}

static const uint8_t *
piece(size_t from, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		bytes[i] = stream(from + i);
	return bytes;
}

/* Read once; it has to be the stream from *at on.  False: nothing there. */
static bool
read_some(size_t *at, size_t most)
{
	static uint8_t buf[65536];
	ssize_t n, i;

	n = read(fd[1], buf, most < sizeof buf ? most : sizeof buf);
	if (n == -1) {
		ck_assert_int_eq(errno, EAGAIN);
		return false;
	}
	for (i = 0; i < n; i++)
		if (buf[i] != stream(*at + (size_t)i))
			ck_abort_msg("byte %zu is wrong", *at + (size_t)i);
	*at += (size_t)n;
	return true;
}

static void
setup(void)
{
	memset(&pool, 0, sizeof pool);
	memset(&out, 0, sizeof out);
	dice = 1;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0,
	    fd), 0);
}

static void
teardown(void)
{
	out_clear(&pool, &out);
	ck_assert_uint_eq(out.bytes, 0);
	ck_assert_uint_eq(pool.used, 0);
	out_pool_fini(&pool);
	(void)close(fd[0]);
	(void)close(fd[1]);
}

static size_t
some_size(void)
{
	switch (rnd(6)) {
	case 0:
		return 1 + rnd(LARGEST - 1);
	case 1:
		return OUT_BIG - 200 + rnd(400);
	case 2:
		return OUT_SMALL - 200 + rnd(400);
	default:
		return 1 + rnd(300);
	}
}

/* Append or fill in place, with OUT_SLACK scribbled over. */
static void
put(size_t *in)
{
	size_t n = some_size();
	uint8_t *dst;

	if (rnd(2) == 0) {
		ck_assert_int_eq(out_append(&pool, &out, piece(*in, n), n), 0);
	} else {
		dst = out_room(&pool, &out, n);
		ck_assert_ptr_nonnull(dst);
		memset(dst, 0xee, n + OUT_SLACK);
		memcpy(dst, piece(*in, n), n);
		out_took(&out, n);
	}
	*in += n;
}

START_TEST(what_goes_in_comes_out)
{
	size_t in = 0, at = 0;
	enum out_status st;
	int i;

	dice = (uint64_t)_i + 1;
	for (i = 0; i < 400; i++) {
		if (out.bytes < 2 * LARGEST)
			put(&in);
		if (rnd(3) == 0) {
			st = out_write(&pool, &out, fd[0], NULL, NULL);
			ck_assert_int_ne(st, OUT_ERROR);
			ck_assert_int_eq(st == OUT_DONE, out.bytes == 0);
		}
		if (rnd(2) == 0)
			(void)read_some(&at, 1 + rnd(65536));
		ck_assert_uint_ge(in, at + out.bytes);
	}
	while (out_write(&pool, &out, fd[0], NULL, NULL) == OUT_BLOCKED)
		ck_assert(read_some(&at, 65536));
	while (read_some(&at, 65536))
		;
	ck_assert_uint_eq(at, in);
	ck_assert_uint_eq(out.bytes, 0);
	ck_assert_uint_eq(pool.used, 0);
}
END_TEST

/* Two pieces of the caller's behind what is queued; he keeps what the socket
 * has refused. */
START_TEST(extra_follows_what_is_queued)
{
	size_t in = 0, at = 0, sent, len[2];
	struct out_extra x = { { NULL }, { 0 } };
	uint8_t *own = malloc(2 * LARGEST);
	int i;

	ck_assert_ptr_nonnull(own);
	dice = (uint64_t)_i + 100;
	for (i = 0; i < 100; i++) {
		if (rnd(2) == 0)
			put(&in);
		len[0] = 1 + rnd(200);
		len[1] = some_size();
		memcpy(own, piece(in, len[0]), len[0]);
		memcpy(own + len[0], piece(in + len[0], len[1]), len[1]);
		in += len[0] + len[1];
		x.p[0] = own;
		x.p[1] = own + len[0];
		x.len[0] = len[0];
		x.len[1] = len[1];
		if (out_write(&pool, &out, fd[0], &x, &sent) == OUT_DONE)
			ck_assert_uint_eq(sent, len[0] + len[1]);
		else
			ck_assert_uint_lt(sent, len[0] + len[1]);
		if (sent > 0)
			ck_assert_uint_eq(out.bytes, 0);
		ck_assert_int_eq(out_append_rest(&pool, &out, &x, sent), 0);
		while (out.bytes > LARGEST) {
			(void)read_some(&at, 65536);
			(void)out_write(&pool, &out, fd[0], NULL, NULL);
		}
	}
	while (out_write(&pool, &out, fd[0], NULL, NULL) == OUT_BLOCKED)
		ck_assert(read_some(&at, 65536));
	while (read_some(&at, 65536))
		;
	ck_assert_uint_eq(at, in);
	free(own);
}
END_TEST

START_TEST(many_chunks_leave_in_several_calls)
{
	size_t in = 0, at = 0;
	uint8_t *dst;
	int i;

	/* Each in a chunk of its own: more than one writev() takes. */
	for (i = 0; i < 200; i++) {
		dst = out_room(&pool, &out, OUT_BIG);
		ck_assert_ptr_nonnull(dst);
		memcpy(dst, piece(in, 10), 10);
		out_took(&out, 10);
		in += 10;
	}
	ck_assert_int_eq(out_write(&pool, &out, fd[0], NULL, NULL), OUT_DONE);
	while (read_some(&at, 65536))
		;
	ck_assert_uint_eq(at, in);
}
END_TEST

START_TEST(a_peer_that_is_gone_is_an_error)
{
	size_t in = 0;

	put(&in);
	(void)close(fd[1]);
	fd[1] = -1;
	ck_assert_int_eq(out_write(&pool, &out, fd[0], NULL, NULL), OUT_ERROR);
	ck_assert_uint_eq(out.bytes, in);
}
END_TEST

START_TEST(idle_holds_nothing_busy_reuses)
{
	uint64_t used;
	size_t in = 0;

	ck_assert_int_eq(out_append(&pool, &out, piece(in, 10), 10), 0);
	used = pool.used;
	ck_assert_uint_eq(used, OUT_SMALL);
	out_clear(&pool, &out);
	ck_assert_uint_eq(pool.used, 0);
	ck_assert_uint_eq(pool.nsmall, 1);
	ck_assert_int_eq(out_append(&pool, &out, piece(in, 10), 10), 0);
	ck_assert_uint_eq(pool.nsmall, 0);
	ck_assert_uint_eq(pool.used, used);
}
END_TEST

/* Read all that has been written: it has to be the stream's first n bytes. */
static void
drain(struct out *from, int end[2], size_t n)
{
	static uint8_t buf[65536];
	enum out_status st;
	size_t at = 0;
	ssize_t r, i;

	do {
		st = out_write(&pool, from, end[0], NULL, NULL);
		ck_assert_int_ne(st, OUT_ERROR);
		while ((r = read(end[1], buf, sizeof buf)) > 0)
			for (i = 0; i < r; i++, at++)
				if (buf[i] != stream(at))
					ck_abort_msg("byte %zu is wrong", at);
	} while (st == OUT_BLOCKED);
	ck_assert_uint_eq(at, n);
	ck_assert_uint_eq(from->bytes, 0);
}

/* Two connections keep parts of the same blocks, with bytes of their own in
 * between; a block is counted once and comes back with its last holder. */
START_TEST(blocks_are_shared)
{
	struct out other = { NULL, NULL, 0, NULL };
	struct out_block *b;
	uint64_t before;
	int end[2], i;
	size_t in = 0, n;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0,
	    end), 0);
	for (i = 0; i < 5; i++) {
		n = 100 + rnd(200);
		ck_assert_int_eq(out_append(&pool, &out, piece(in, n), n), 0);
		ck_assert_int_eq(out_append(&pool, &other, piece(in, n), n),
		    0);
		in += n;
		before = pool.used;
		n = OUT_BLOCK - rnd(1000);
		ck_assert_ptr_nonnull(b = out_block_new(&pool));
		memcpy(b->data, piece(in, n), n);
		ck_assert_int_eq(out_append_block(&pool, &out, b, 0, n,
		    n), 0);
		/* Of this one the socket has taken the beginning. */
		ck_assert_int_eq(out_append(&pool, &other, b->data, 1000), 0);
		ck_assert_int_eq(out_append_block(&pool, &other, b, 1000,
		    n - 1000, n), 0);
		in += n;
		ck_assert_uint_eq(b->refs, 3);
		ck_assert_uint_lt(pool.used, before + 2 * OUT_BLOCK);
		out_block_drop(&pool, &b);
		ck_assert_ptr_null(b);
	}
	ck_assert_uint_eq(out.bytes, in);
	ck_assert_uint_eq(other.bytes, in);
	drain(&out, fd, in);
	ck_assert_uint_gt(pool.used, 5 * OUT_BLOCK - 5000);
	drain(&other, end, in);
	ck_assert_uint_eq(pool.used, 0);
	(void)close(end[0]);
	(void)close(end[1]);
}
END_TEST

START_TEST(a_small_rest_keeps_no_block)
{
	struct out_block *b = out_block_new(&pool);

	ck_assert_ptr_nonnull(b);
	memcpy(b->data, piece(0, 1000), 1000);
	ck_assert_int_eq(out_append_block(&pool, &out, b, 0, 1000, 1000),
	    0);
	ck_assert_uint_eq(b->refs, 1);
	out_block_drop(&pool, &b);
	ck_assert_uint_eq(pool.used, OUT_SMALL);
	drain(&out, fd, 1000);
}
END_TEST

static Suite *
out_suite(void)
{
	Suite *s = suite_create("out");
	TCase *tc = tcase_create("output");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, what_goes_in_comes_out, 0, 5);
	tcase_add_loop_test(tc, extra_follows_what_is_queued, 0, 3);
	tcase_add_test(tc, many_chunks_leave_in_several_calls);
	tcase_add_test(tc, a_peer_that_is_gone_is_an_error);
	tcase_add_test(tc, idle_holds_nothing_busy_reuses);
	tcase_add_test(tc, blocks_are_shared);
	tcase_add_test(tc, a_small_rest_keeps_no_block);
	suite_add_tcase(s, tc);
	return s;
}

int
main(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	return unit_run(out_suite());
}
