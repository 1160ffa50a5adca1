/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Protocol errors: code, wire text, whether the connection survives, and the
 * reason for the log.  perr alone turns a status into wire text
 * (as nats-server sends it: clients compare them).
 */
#ifndef PROTO_PERR_H
#define PROTO_PERR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum perr {
	PERR_NONE = 0,
	/* with a text, closing */
	PERR_UNKNOWN_OP,
	PERR_CONTROL_LINE,
	PERR_MAX_PAYLOAD,
	PERR_AUTH_VIOLATION,
	PERR_AUTH_TIMEOUT,
	PERR_PROTOCOL_VERSION,
	PERR_NORESP_HEADERS,
	PERR_MAX_CONNECTIONS,
	PERR_STALE,
	/* with a text, staying open */
	PERR_MAX_SUBS,
	PERR_SUBJECT,
	PERR_PUB_SUBJECT,
	PERR_PUB_DENIED, /* arg: subject */
	PERR_REPLY_DENIED, /* arg: reply */
	PERR_SUB_DENIED, /* arg: subject */
	PERR_SUB_DENIED_QUEUE, /* arg: subject, arg2: queue */
	PERR_SUB_TOKENS, /* arg: subject */
	/* silent, closing: bad JSON, argument count, size, -ERR from the
	 * client, HPUB without headers */
	PERR_SILENT_JSON,
	PERR_SILENT_ARGS,
	PERR_SILENT_SIZE,
	PERR_SILENT_CLIENT_ERR,
	PERR_SILENT_NO_HEADERS,
	PERR_COUNT
};

bool perr_closes(enum perr e);
/* Whether its text has room for arguments. */
bool perr_has_args(enum perr e);
/* For logs: "Unknown Protocol Operation", "wrong number of arguments", ... */
const char *perr_reason(enum perr e);
/* The whole line `-ERR '...'\r\n` with Go-quoted arguments into out; length,
 * 0 if silent.  An argument that makes it longer than outlen is cut. */
struct perr_arg {
	const uint8_t *p;
	size_t len;
};
size_t perr_line(enum perr e, const struct perr_arg *arg,
    const struct perr_arg *arg2, char *out, size_t outlen);

#endif
