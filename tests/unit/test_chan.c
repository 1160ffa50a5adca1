/* SPDX-License-Identifier: BSD-2-Clause */
/* The control channel: messages, descriptors, ends, and what is no message. */
#include <config.h>

#include <sys/socket.h>
#include <sys/uio.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/unit.h"
#include "proc/chan.h"

static int ends[2];
static struct chan_msg msg;

static void
setup(void)
{
	ck_assert_int_eq(chan_pair(ends), 0);
	memset(&msg, 0, sizeof msg);
}

static void
teardown(void)
{
	(void)close(ends[0]);
	(void)close(ends[1]);
}

static bool
is_open(int fd)
{
	return fcntl(fd, F_GETFD) != -1;
}

/* How many descriptors below 100 are open. */
static int
count_open(void)
{
	int fd, n = 0;

	for (fd = 0; fd < 100; fd++)
		n += is_open(fd);
	return n;
}

START_TEST(message_arrives_whole)
{
	ck_assert_int_eq(chan_send(ends[0], CHAN_COMPLAINT,
		UINT64_C(0x123456789a), "text", 4, -1), 0);
	ck_assert_int_eq(chan_recv(ends[1], &msg), 1);
	ck_assert_uint_eq(msg.type, CHAN_COMPLAINT);
	ck_assert_uint_eq(msg.arg, UINT64_C(0x123456789a));
	ck_assert_uint_eq(msg.len, 4);
	ck_assert_mem_eq(msg.body, "text", 4);
	ck_assert_int_eq(msg.fd, -1);
	ck_assert_int_eq(chan_recv(ends[1], &msg), -1);
	ck_assert_int_eq(errno, EAGAIN);
}
END_TEST

START_TEST(messages_keep_their_order_both_ways)
{
	uint64_t i;

	for (i = 0; i < 5; i++)
		ck_assert_int_eq(chan_send(ends[1], CHAN_ACK, i, NULL, 0, -1),
		    0);
	ck_assert_int_eq(chan_send(ends[0], CHAN_GO, 0, NULL, 0, -1), 0);
	for (i = 0; i < 5; i++) {
		ck_assert_int_eq(chan_recv(ends[0], &msg), 1);
		ck_assert_uint_eq(msg.type, CHAN_ACK);
		ck_assert_uint_eq(msg.arg, i);
	}
	ck_assert_int_eq(chan_recv(ends[1], &msg), 1);
	ck_assert_uint_eq(msg.type, CHAN_GO);
	ck_assert_uint_eq(msg.len, 0);
}
END_TEST

START_TEST(longest_body_passes_and_a_longer_one_is_refused)
{
	char body[CHAN_BODY_MAX + 1];

	memset(body, 'x', sizeof body);
	ck_assert_int_eq(chan_send(ends[0], CHAN_COMPLAINT, 0, body,
		CHAN_BODY_MAX, -1), 0);
	ck_assert_int_eq(chan_recv(ends[1], &msg), 1);
	ck_assert_uint_eq(msg.len, CHAN_BODY_MAX);
	ck_assert_mem_eq(msg.body, body, CHAN_BODY_MAX);
	ck_assert_int_eq(chan_send(ends[0], CHAN_COMPLAINT, 0, body,
		sizeof body, -1), -1);
	ck_assert_int_eq(errno, EMSGSIZE);
}
END_TEST

START_TEST(descriptor_is_handed_over)
{
	int p[2];
	char c;

	ck_assert_int_eq(pipe(p), 0);
	ck_assert_int_eq(chan_send(ends[0], CHAN_CONF, 7, NULL, 0, p[1]), 0);
	ck_assert_int_eq(close(p[1]), 0);
	ck_assert_int_eq(chan_recv(ends[1], &msg), 1);
	ck_assert_int_ne(msg.fd, -1);
	ck_assert_int_ne(fcntl(msg.fd, F_GETFD) & FD_CLOEXEC, 0);
	ck_assert_int_eq(write(msg.fd, "z", 1), 1);
	ck_assert_int_eq(read(p[0], &c, 1), 1);
	ck_assert_int_eq(c, 'z');
	(void)close(msg.fd);
	(void)close(p[0]);
}
END_TEST

START_TEST(closed_end_reads_as_end_of_file)
{
	ck_assert_int_eq(chan_send(ends[0], CHAN_STOP, 0, NULL, 0, -1), 0);
	ck_assert_int_eq(close(ends[0]), 0);
	ck_assert_int_eq(chan_recv(ends[1], &msg), 1); /* still delivered */
	ck_assert_int_eq(chan_recv(ends[1], &msg), 0);
	ck_assert_int_eq(chan_recv(ends[1], &msg), 0);
	ck_assert_int_eq(chan_send(ends[1], CHAN_ACK, 0, NULL, 0, -1), -1);
	ck_assert_int_eq(errno, EPIPE);
	ends[0] = -1;
}
END_TEST

START_TEST(full_channel_says_again_and_does_not_block)
{
	int n;

	for (n = 0; n < 1000000; n++) {
		if (chan_send(ends[0], CHAN_GO, 0, NULL, 0, -1) == -1)
			break;
	}
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert_int_gt(n, 0);
	ck_assert_int_eq(chan_recv(ends[1], &msg), 1);
	ck_assert_int_eq(chan_send(ends[0], CHAN_GO, 0, NULL, 0, -1), 0);
}
END_TEST

/* What another might send that never was one of our messages. */
static const struct {
	size_t len;
	uint32_t said; /* body length in the head */
} broken[] = {
	{ 1, 0 }, { 15, 0 }, { 16, 1 }, { 16, UINT32_MAX }, { 20, 3 },
	{ 20, 5 }, { 16 + CHAN_BODY_MAX + 1, CHAN_BODY_MAX + 1 },
	{ 16 + CHAN_BODY_MAX + 1, CHAN_BODY_MAX }, { 4096, 4080 },
};

START_TEST(what_is_no_message_is_a_protocol_error)
{
	char data[4096];
	int before = count_open();

	memset(data, 0, sizeof data);
	data[0] = CHAN_ACK;
	memcpy(data + 4, &broken[_i].said, 4);
	ck_assert_int_eq(send(ends[1], data, broken[_i].len, 0),
	    (ssize_t)broken[_i].len);
	ck_assert_int_eq(chan_recv(ends[0], &msg), -1);
	ck_assert_int_eq(errno, EPROTO);
	/* The next one is read as if nothing had been. */
	ck_assert_int_eq(chan_send(ends[1], CHAN_ACK, 3, NULL, 0, -1), 0);
	ck_assert_int_eq(chan_recv(ends[0], &msg), 1);
	ck_assert_uint_eq(msg.arg, 3);
	ck_assert_int_eq(count_open(), before);
}
END_TEST

/* Sends a packet of len bytes with n copies of fd. */
static void
send_with_fds(size_t len, int fd, int n)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(10 * sizeof(int))];
	} control;
	char data[16] = { CHAN_ACK };
	struct iovec iov = { data, len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;
	int i;

	memset(&control, 0, sizeof control);
	mh.msg_control = control.space;
	mh.msg_controllen = CMSG_SPACE((size_t)n * sizeof fd);
	cmsg = CMSG_FIRSTHDR(&mh);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN((size_t)n * sizeof fd);
	for (i = 0; i < n; i++)
		memcpy(CMSG_DATA(cmsg) + (size_t)i * sizeof fd, &fd,
		    sizeof fd);
	ck_assert_int_eq(sendmsg(ends[1], &mh, 0), (ssize_t)len);
}

START_TEST(surplus_descriptors_do_not_stay_open)
{
	int before = count_open();

	send_with_fds(16, 0, _i);
	ck_assert_int_eq(chan_recv(ends[0], &msg), 1);
	ck_assert_int_ne(msg.fd, -1);
	ck_assert_int_eq(close(msg.fd), 0);
	ck_assert_int_eq(count_open(), before);
}
END_TEST

START_TEST(descriptors_of_a_broken_message_do_not_stay_open)
{
	int before = count_open();

	send_with_fds(3, 0, _i);
	ck_assert_int_eq(chan_recv(ends[0], &msg), -1);
	ck_assert_int_eq(errno, EPROTO);
	ck_assert_int_eq(count_open(), before);
}
END_TEST

static Suite *
chan_suite(void)
{
	Suite *s = suite_create("chan");
	TCase *tc = tcase_create("chan");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, message_arrives_whole);
	tcase_add_test(tc, messages_keep_their_order_both_ways);
	tcase_add_test(tc, longest_body_passes_and_a_longer_one_is_refused);
	tcase_add_test(tc, descriptor_is_handed_over);
	tcase_add_test(tc, closed_end_reads_as_end_of_file);
	tcase_add_test(tc, full_channel_says_again_and_does_not_block);
	tcase_add_loop_test(tc, what_is_no_message_is_a_protocol_error, 0,
	    sizeof broken / sizeof broken[0]);
	tcase_add_loop_test(tc, surplus_descriptors_do_not_stay_open, 1, 8);
	tcase_add_loop_test(tc,
	    descriptors_of_a_broken_message_do_not_stay_open, 1, 8);
	suite_add_tcase(s, tc);
	return s;
}

int
main(void)
{
	return unit_run(chan_suite());
}
