/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Control messages between master and child: a SOCK_SEQPACKET socketpair,
 * each packet a head and up to CHAN_BODY_MAX bytes, with at most one
 * descriptor (SCM_RIGHTS).  End of file tells either side that the other is
 * gone.  What a child sends is input to the master: checked, never followed.
 */
#ifndef PROC_CHAN_H
#define PROC_CHAN_H

#include <stddef.h>
#include <stdint.h>

#define CHAN_BODY_MAX 512

enum chan_type {
	/* child to master */
	CHAN_READY = 1, /* mapped and sealed; waits for CHAN_GO */
	CHAN_ACK = 2, /* arg: configuration version in effect */
	CHAN_COMPLAINT = 3, /* arg: slot whose zones are broken; body: text */
	/* master to child */
	CHAN_GO = 16, /* the live bit is set: accept */
	CHAN_CONF = 17, /* arg: version; fd: snapshot */
	CHAN_STOP = 18, /* flush, close clients, leave with status 0 */
	CHAN_LISTEN = 19 /* arg: number of a listener; fd: its new socket */
};

struct chan_msg {
	uint32_t type;
	uint32_t len; /* of body */
	uint64_t arg;
	int fd; /* -1 = none; the receiver owns it */
	char body[CHAN_BODY_MAX];
};

int chan_pair(int fds[2]);
/* Non-blocking; 0 or -1/errno (EAGAIN: full). `fd` -1 or passed on. */
int chan_send(int chan, enum chan_type type, uint64_t arg, const void *body,
    size_t len, int fd);
/* 1: one message; 0: end of file; -1/errno (EAGAIN: none now, EPROTO: not a
 * message). */
int chan_recv(int chan, struct chan_msg *m);

#endif
