/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The INFO line and the server id.
 */
#ifndef PROTO_INFO_H
#define PROTO_INFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INFO_ID_LEN 56

struct info {
	const char *server_id; /* 56 characters */
	const char *server_name; /* "" = the id */
	const char *version; /* NATS level announced, e.g. "2.9.25-natsd0.1" */
	const char *go; /* compiler id, never empty */
	const char *host;
	uint16_t port;
	bool headers;
	bool auth_required;
	uint32_t max_payload;
	uint64_t client_id;
	const char *client_ip; /* "" = left out */
	uint32_t worker; /* extra field: number of the serving worker's slot */
};

/* "INFO {...} \r\n" into out; length, or 0 if outlen is too small. */
size_t info_format(const struct info *i, char *out, size_t outlen);
/* A fresh server id: shape of a server's public nkey (N..., base32 of prefix
 * 0x68, 32 random bytes, CRC-16), NUL-terminated. 0 or -1 (no randomness). */
int info_new_server_id(char id[INFO_ID_LEN + 1]);

#endif
