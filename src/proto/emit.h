/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the server says: control lines into caller's memory.
 */
#ifndef PROTO_EMIT_H
#define PROTO_EMIT_H

#include <stddef.h>
#include <stdint.h>

#include "proto/parse.h"

/* Upper bound of a MSG or HMSG line for these lengths. */
static inline size_t
emit_msg_max(size_t subject, size_t sid, size_t reply)
{
	return subject + sid + reply + 40;
}

/* "MSG subject sid [reply ]size\r\n"; returns its length. */
size_t emit_msg(uint8_t *out, struct slice subject, struct slice sid,
    struct slice reply, uint32_t size);
/* "HMSG subject sid [reply ]hdr size\r\n". */
size_t emit_hmsg(uint8_t *out, struct slice subject, struct slice sid,
    struct slice reply, uint32_t hdr, uint32_t size);
/* The whole 503 as nats-server 2.12 and later send it: HMSG line, header with
 * Nats-Subject, CRLF.  out must hold emit_503_max(). */
static inline size_t
emit_503_max(size_t subject, size_t sid, size_t reply)
{
	return emit_msg_max(reply, sid, 0) + 40 + subject;
}
size_t emit_503(uint8_t *out, struct slice reply, struct slice sid,
    struct slice subject);

#endif
