/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzz target: what a broken child could send to the master, and the other
 * way round: packets of the control channel and of the log pipe.  The input is
 * a list of packets (how, length, bytes); each is sent raw, with descriptors
 * if so said, and read.
 */
#include <config.h>

#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "fuzz/fuzz.h"
#include "proc/chan.h"
#include "proc/logpipe.h"

#define PACKET_MAX 1024
#define FDS_MAX 3
#define TEXT_MAX 64 /* short, so that a record may not fit */

enum how { HOW_LOG = 1, HOW_FDS = 6, HOW_HEAD = 8 };

static int chan[2] = { -1, -1 }, pipes[2] = { -1, -1 };
static int null = -1;

static void
setup(void)
{
	FUZZ_CHECK(chan_pair(chan) == 0 && logpipe_pair(pipes) == 0);
	FUZZ_CHECK((null = open("/dev/null", O_RDONLY | O_CLOEXEC)) != -1);
}

static void
send_raw(int fd, const void *p, size_t len, unsigned nfds)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control;
	struct iovec iov = { (void *)(uintptr_t)p, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	int fds[FDS_MAX] = { null, null, null };
	struct cmsghdr *cmsg;

	if (nfds > 0) {
		memset(&control, 0, sizeof control);
		msg.msg_control = control.space;
		msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, nfds * sizeof(int));
	}
	FUZZ_CHECK(sendmsg(fd, &msg, MSG_NOSIGNAL) == (ssize_t)len);
}

static void
read_chan(const uint8_t *p, size_t len)
{
	struct chan_msg *m = fuzz_alloc(sizeof *m);
	uint32_t head[2];
	int rc;

	memset(m, 0xa5, sizeof *m);
	errno = 0;
	rc = chan_recv(chan[0], m);
	if (rc == 1) {
		memcpy(head, p, sizeof head);
		FUZZ_CHECK(m->type == head[0] && m->len == head[1]);
		FUZZ_CHECK(m->len <= CHAN_BODY_MAX && m->len <= len);
		FUZZ_CHECK(memcmp(m->body, p + len - m->len, m->len) == 0);
		if (m->fd != -1)
			FUZZ_CHECK(close(m->fd) == 0);
	} else
		FUZZ_CHECK(rc == 0 ? len == 0 : errno == EPROTO);
	FUZZ_CHECK(chan_recv(chan[0], m) == -1 && errno == EAGAIN);
	free(m);
}

static void
read_log(size_t len)
{
	char *text = fuzz_alloc(TEXT_MAX);
	enum log_level level = LOG_LVL_CLIENT + 1;
	size_t i;
	int rc;

	memset(text, 0xa5, TEXT_MAX);
	rc = logpipe_read(pipes[0], &level, text, TEXT_MAX);
	FUZZ_CHECK(rc == (len == 0 ? 0 : 1));
	if (rc == 1) {
		FUZZ_CHECK(level <= LOG_LVL_CLIENT);
		FUZZ_CHECK(memchr(text, '\0', TEXT_MAX) != NULL);
		for (i = 0; text[i] != '\0'; i++)
			FUZZ_CHECK((uint8_t)text[i] >= 0x20 &&
			    text[i] != 0x7f);
	}
	FUZZ_CHECK(logpipe_read(pipes[0], &level, text, TEXT_MAX) == -1);
	free(text);
}

/* With a head whose length is right, if so said: type, length, argument. */
static size_t
make_packet(struct fuzz_in *in, uint8_t how, uint8_t out[PACKET_MAX])
{
	size_t len = fuzz_byte(in) * 4u + (how >> 6), at = 0;
	uint32_t head[4];

	if (how & HOW_HEAD) {
		at = how & HOW_LOG ? 8 : 16;
		memset(head, 0, sizeof head);
		head[0] = fuzz_byte(in);
		head[1] = (uint32_t)len;
		head[2] = fuzz_byte(in);
		memcpy(out, head, at);
		len = len + at > PACKET_MAX ? PACKET_MAX : len + at;
	}
	for (; at < len; at++)
		out[at] = fuzz_byte(in);
	return len;
}

/* The lowest descriptor that is free. */
static int
next_descriptor(void)
{
	int next = dup(null);

	FUZZ_CHECK(next != -1 && close(next) == 0);
	return next;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	static uint8_t packet[PACKET_MAX];
	uint8_t how;
	size_t len;
	int next;

	if (null == -1)
		setup();
	next = next_descriptor();
	while (in.len > 0) {
		how = fuzz_byte(&in);
		len = make_packet(&in, how, packet);
		if (how & HOW_LOG) {
			send_raw(pipes[1], packet, len, 0);
			read_log(len);
		} else {
			send_raw(chan[1], packet, len, (how & HOW_FDS) >> 1);
			read_chan(packet, len);
		}
		/* No packet leaves one behind. */
		FUZZ_CHECK(next_descriptor() == next);
	}
	return 0;
}
