/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages thrown away from unsent output: what leaves is always whole, in
 * order, with every line that is no message, and the oldest are missing.  A
 * model beside the queue knows where everything begins.
 */
#include <config.h>

#include <sys/socket.h>

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "lib/unit.h"
#include "worker/drop.h"
#include "worker/out.h"

#define UNITS_MAX 200000
#define LARGEST 300000

/* A message or line as it was queued. */
struct unit {
	uint32_t len, size;
	uint32_t number; /* what its bytes are made of */
	bool msg;
};

/* A connection and what it is to get. */
struct conn {
	struct out out;
	int fd[2];
	struct unit *unit;
	uint32_t head, tail; /* of the units that are queued */
	uint32_t begun; /* bytes of the first that have been sent */
	uint8_t *want; /* what has been sent and not been read */
	size_t wanted, cap;
};

static struct out_pool pool;
static struct conn conn[2];
static uint64_t dice;
static uint8_t bytes[LARGEST + 100];

static uint32_t
rnd(uint32_t n)
{
	dice += HASH_K0;
	return (uint32_t)(hash_mix(dice, HASH_K1) >> 32) % n;
}

static size_t
head_of(const struct unit *u, char *head, size_t size)
{
	static const char *const lines[] = { "PONG\r\n", "+OK\r\n",
		"-ERR 'Invalid Subject MSG a 1 5'\r\n", "PING\r\n" };
	uint32_t hdr = u->size / 2;

	if (!u->msg)
		return (size_t)snprintf(head, size, "%s",
		    lines[u->number % 4]);
	if (u->number % 3 == 0)
		return (size_t)snprintf(head, size, "HMSG s.%u 7 %u %u\r\n",
		    u->number, hdr, u->size);
	if (u->number % 3 == 1)
		return (size_t)snprintf(head, size, "MSG s.%u 12 r.7 %u\r\n",
		    u->number, u->size);
	return (size_t)snprintf(head, size, "MSG 5 1 %u\r\n", u->size);
}

/* The bytes of a unit; payloads are full of what looks like lines. */
static size_t
render(const struct unit *u, uint8_t *dst)
{
	static const char junk[] = "\r\nMSG a 1 99\r\nPONG\r\nHMSG x y 1 2";
	char head[100];
	size_t n = head_of(u, head, sizeof head), i;

	memcpy(dst, head, n);
	if (!u->msg)
		return n;
	for (i = 0; i < u->size; i++)
		dst[n + i] = (uint8_t)junk[(u->number + i) %
		    (sizeof junk - 1)];
	memcpy(dst + n + u->size, "\r\n", 2);
	return n + u->size + 2;
}

static struct unit
unit_new(bool msg, uint32_t size, uint32_t number)
{
	struct unit u = { 0, msg ? size : 0, number, msg };
	char head[100];

	u.len = (uint32_t)head_of(&u, head, sizeof head);
	if (msg)
		u.len += size + 2;
	return u;
}

static void
model_add(struct conn *c, struct unit u)
{
	ck_assert_uint_lt(c->tail, UNITS_MAX);
	c->unit[c->tail++] = u;
}

/* So many bytes of what is queued have been written. */
static void
model_sent(struct conn *c, size_t n)
{
	uint32_t k;

	if (c->wanted + n > c->cap) {
		c->cap = 2 * (c->wanted + n);
		ck_assert_ptr_nonnull(c->want = realloc(c->want, c->cap));
	}
	while (n > 0) {
		const struct unit *u = &c->unit[c->head];

		(void)render(u, bytes);
		k = u->len - c->begun;
		if (k > n)
			k = (uint32_t)n;
		memcpy(c->want + c->wanted, bytes + c->begun, k);
		c->wanted += k;
		c->begun += k;
		n -= k;
		if (c->begun == u->len) {
			c->head++;
			c->begun = 0;
		}
	}
}

/* The first n messages that have not begun to leave are gone; their bytes in
 * the queue, and of their headers and payload. */
static size_t
model_drop(struct conn *c, uint64_t n, uint64_t *size)
{
	uint32_t from = c->begun > 0 ? c->head + 1 : c->head, i, to = from;
	size_t gone = 0;

	for (i = from; i < c->tail; i++) {
		if (n > 0 && c->unit[i].msg) {
			n--;
			gone += c->unit[i].len;
			*size += c->unit[i].size;
		} else
			c->unit[to++] = c->unit[i];
	}
	ck_assert_uint_eq(n, 0);
	c->tail = to;
	return gone;
}

static size_t
model_bytes(const struct conn *c)
{
	size_t n = 0;
	uint32_t i;

	for (i = c->head; i < c->tail; i++)
		n += c->unit[i].len;
	return n - c->begun;
}

/* ---- what is done to a queue ----------------------------------------- */

static uint32_t
some_size(void)
{
	switch (rnd(12)) {
	case 0:
		return rnd(LARGEST);
	case 1:
	case 2:
		return OUT_BIG - 300 + rnd(400);
	case 3:
		return OUT_SMALL - 300 + rnd(400);
	default:
		return rnd(200);
	}
}

/* A slice of a run, in one contiguous room. */
static void
put_slice(struct conn *c)
{
	uint32_t size = rnd(300), n = 1 + rnd(60), number = rnd(1000);
	struct unit u = unit_new(true, size, number);
	uint8_t *dst = out_room(&pool, &c->out, n * u.len);

	ck_assert_ptr_nonnull(dst);
	memset(dst, 0xee, n * u.len + OUT_SLACK);
	for (; n > 0; n--) {
		dst += render(&u, dst);
		out_took(&c->out, u.len);
		model_add(c, u);
	}
}

static void
put_line(struct conn *c)
{
	struct unit u = unit_new(false, 0, rnd(1000));

	(void)render(&u, bytes);
	ck_assert_int_eq(out_append(&pool, &c->out, bytes, u.len), 0);
	model_add(c, u);
}

/* Written at once behind what is queued; the rest is copied. */
static void
put_large(struct conn *c, bool blocked)
{
	struct unit u = unit_new(true, some_size(), rnd(1000));
	size_t before = c->out.bytes, sent = 0, line;
	struct out_extra x;
	char head[100];

	line = head_of(&u, head, sizeof head);
	model_add(c, u);
	x = (struct out_extra){ { bytes, bytes + line, bytes + u.len - 2 },
	    { line, u.len - line - 2, 2 } };
	(void)render(&u, bytes);
	if (!blocked) {
		if (out_write(&pool, &c->out, c->fd[0], &x, &sent) !=
		    OUT_DONE)
			ck_assert_int_eq(out_append_rest(&pool, &c->out, &x,
			    sent), 0);
		model_sent(c, before + u.len - c->out.bytes);
	} else
		ck_assert_int_eq(out_append_rest(&pool, &c->out, &x, 0), 0);
}

/* A run that both connections get, as client_out.c does it. */
static void
put_block(bool blocked)
{
	struct unit u = unit_new(true, rnd(600), rnd(1000));
	uint32_t n = 1 + rnd(OUT_BLOCK / u.len - 1), i, k;
	struct out_block *b = out_block_new(&pool);
	struct out_extra x = { { NULL }, { 0 } };
	size_t len = n * u.len, sent, before;

	ck_assert_ptr_nonnull(b);
	for (i = 0; i < n; i++)
		(void)render(&u, b->data + i * u.len);
	for (k = 0; k < 2; k++) {
		struct conn *c = &conn[k];

		for (i = 0; i < n; i++)
			model_add(c, u);
		sent = 0;
		before = c->out.bytes;
		x.p[0] = b->data;
		x.len[0] = len;
		if (!blocked)
			(void)out_write(&pool, &c->out, c->fd[0], &x, &sent);
		if (sent < len)
			ck_assert_int_eq(out_append_block(&pool, &c->out, b,
			    sent, len - sent, u.len), 0);
		model_sent(c, before + len - c->out.bytes);
	}
	out_block_drop(&pool, &b);
}

static void
write_some(struct conn *c)
{
	size_t before = c->out.bytes;

	ck_assert_int_ne(out_write(&pool, &c->out, c->fd[0], NULL, NULL),
	    OUT_ERROR);
	model_sent(c, before - c->out.bytes);
}

/* Read at most so much; it has to be what was to come. */
static bool
read_some(struct conn *c, size_t most)
{
	static uint8_t buf[65536];
	ssize_t n;

	n = read(c->fd[1], buf, most < sizeof buf ? most : sizeof buf);
	if (n == -1) {
		ck_assert_int_eq(errno, EAGAIN);
		return false;
	}
	ck_assert_uint_le((size_t)n, c->wanted);
	if (memcmp(buf, c->want, (size_t)n) != 0)
		ck_abort_msg("wrong bytes");
	c->wanted -= (size_t)n;
	memmove(c->want, c->want + n, c->wanted);
	return n > 0;
}

static void
drop_some(struct conn *c)
{
	size_t want = rnd(3) == 0 ? rnd(300) : rnd(200000), gone, left;
	struct drop_sum sum = { 3, 4 };
	uint64_t size = 0;

	gone = drop_oldest(&pool, &c->out, want, &sum);
	ck_assert_uint_eq(model_drop(c, sum.msgs - 3, &size), gone);
	ck_assert_uint_eq(sum.bytes - 4, size);
	left = model_bytes(c);
	ck_assert_uint_eq(c->out.bytes, left);
	/* Not enough: only because nothing is left that may go. */
	if (gone < want) {
		sum.msgs = 0;
		(void)drop_oldest(&pool, &c->out, 1, &sum);
		ck_assert_uint_eq(sum.msgs, 0);
	}
}

/* ---- fixture --------------------------------------------------------- */

static void
setup(void)
{
	int i;

	memset(&pool, 0, sizeof pool);
	memset(conn, 0, sizeof conn);
	for (i = 0; i < 2; i++) {
		ck_assert_int_eq(socketpair(AF_UNIX,
		    SOCK_STREAM | SOCK_NONBLOCK, 0, conn[i].fd), 0);
		conn[i].unit = malloc(UNITS_MAX * sizeof *conn[i].unit);
		ck_assert_ptr_nonnull(conn[i].unit);
	}
}

static void
teardown(void)
{
	int i;

	for (i = 0; i < 2; i++) {
		out_clear(&pool, &conn[i].out);
		(void)close(conn[i].fd[0]);
		(void)close(conn[i].fd[1]);
		free(conn[i].unit);
		free(conn[i].want);
	}
	ck_assert_uint_eq(pool.used, 0);
	out_pool_fini(&pool);
}

static void
finish(struct conn *c)
{
	while (c->out.bytes > 0) {
		write_some(c);
		while (read_some(c, 65536))
			;
	}
	while (read_some(c, 65536))
		;
	ck_assert_uint_eq(c->wanted, 0);
	ck_assert_uint_eq(c->head, c->tail);
	ck_assert_ptr_null(c->out.first);
	ck_assert_ptr_null(c->out.kept);
}

/* ---- tests ----------------------------------------------------------- */

static void
step(struct conn *c)
{
	switch (rnd(9)) {
	case 0:
	case 1:
		put_slice(c);
		break;
	case 2:
		put_line(c);
		break;
	case 3:
		put_large(c, c->out.bytes > 0 && rnd(2) == 0);
		break;
	case 4:
		put_block(c->out.bytes > 0 && conn[0].out.bytes > 0 &&
		    conn[1].out.bytes > 0 && rnd(2) == 0);
		break;
	case 5:
		write_some(c);
		break;
	case 6:
		(void)read_some(c, 1 + rnd(60000));
		break;
	default:
		drop_some(c);
		break;
	}
}

/* What a queue becomes in the long run: rounds in which it is mostly filled,
 * mostly read, mostly dropped from. */
START_TEST(whatever_is_dropped_the_rest_is_whole)
{
	int i, k, mood = 0;

	dice = (uint64_t)_i + 1;
	for (i = 0; i < 1500; i++) {
		struct conn *c = &conn[rnd(2)];

		if (i % 20 == 0)
			mood = (int)rnd(4);
		if (c->out.bytes > 3 << 20)
			drop_some(c);
		step(c);
		if (mood == 1)
			drop_some(c);
		if (mood == 2) {
			(void)read_some(c, 1 + rnd(3000));
			write_some(c);
		}
		if (mood == 3)
			put_line(c);
	}
	for (k = 0; k < 2; k++)
		finish(&conn[k]);
}
END_TEST

/* All of what a stalled one has may go but what it has begun to read. */
START_TEST(only_what_may_go_goes)
{
	struct drop_sum sum = { 0, 0 };
	struct conn *c = &conn[0];
	uint64_t size = 0;
	uint32_t i;

	dice = (uint64_t)_i + 1;
	for (i = 0; i < 50; i++) {
		put_slice(c);
		put_line(c);
	}
	put_large(c, false); /* fills the socket */
	put_large(c, true);
	while (c->out.bytes < 1 << 20)
		put_slice(c);
	write_some(c);
	(void)drop_oldest(&pool, &c->out, SIZE_MAX, &sum);
	(void)model_drop(c, sum.msgs, &size);
	ck_assert_uint_eq(sum.bytes, size);
	ck_assert_uint_eq(c->out.bytes, model_bytes(c));
	for (i = c->head + (c->begun > 0); i < c->tail; i++)
		ck_assert(!c->unit[i].msg);
	finish(c);
}
END_TEST

/* The socket took the beginning of a message, or of a run in a block: wherever
 * it stopped, that one stays and those behind it go. */
START_TEST(cut_anywhere)
{
	static const uint32_t sizes[] = { 40, 20000, 100000 };
	struct unit u = unit_new(true, sizes[_i % 3], 4);
	struct conn *c = &conn[0];
	struct out_block *b = out_block_new(&pool);
	uint32_t n = (OUT_BLOCK - 1000) / u.len, i, sent;
	struct drop_sum sum = { 0, 0 };
	struct out_extra x;
	uint64_t size;

	ck_assert_ptr_nonnull(b);
	for (i = 0; i < n; i++)
		(void)render(&u, b->data + i * u.len);
	for (sent = 1; sent < u.len; sent += sent < 60 ? 1 : 977) {
		if (_i < 3) {
			x = (struct out_extra){ { b->data, b->data + 10 },
			    { 10, u.len - 10 } };
			ck_assert_int_eq(out_append_rest(&pool, &c->out, &x,
			    sent), 0);
			model_add(c, u);
		} else {
			ck_assert_int_eq(out_append_block(&pool, &c->out, b,
			    sent, n * u.len - sent, u.len), 0);
			for (i = 0; i < n; i++)
				model_add(c, u);
		}
		c->begun = sent;
		put_slice(c);
		size = sum.msgs = 0;
		(void)drop_oldest(&pool, &c->out, rnd(1000), &sum);
		(void)model_drop(c, sum.msgs, &size);
		ck_assert_uint_eq(c->out.bytes, model_bytes(c));
		finish(c);
		c->head = c->tail = 0;
	}
	out_block_drop(&pool, &b);
}
END_TEST

/* Message by message, with lines in between that have to stay: what is in
 * front is not looked at again. */
START_TEST(lines_that_stay_are_passed_once)
{
	struct conn *c = &conn[0];
	struct drop_sum sum = { 0, 0 };
	const struct out_chunk *kept;
	uint64_t size = 0;
	uint32_t i;

	for (i = 0; i < 20000; i++)
		put_line(c);
	put_slice(c);
	ck_assert_uint_gt(drop_oldest(&pool, &c->out, 1, &sum), 0);
	kept = c->out.kept;
	ck_assert_ptr_nonnull(kept);
	while (drop_oldest(&pool, &c->out, 1, &sum) > 0)
		ck_assert_ptr_eq(c->out.kept, kept);
	(void)model_drop(c, sum.msgs, &size);
	finish(c);
}
END_TEST

static Suite *
drop_suite(void)
{
	Suite *s = suite_create("drop");
	TCase *tc = tcase_create("drop");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, whatever_is_dropped_the_rest_is_whole, 0, 8);
	tcase_add_loop_test(tc, only_what_may_go_goes, 0, 3);
	tcase_add_loop_test(tc, cut_anywhere, 0, 6);
	tcase_add_test(tc, lines_that_stay_are_passed_once);
	suite_add_tcase(s, tc);
	return s;
}

int
main(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	return unit_run(drop_suite());
}
