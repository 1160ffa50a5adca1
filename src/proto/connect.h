/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CONNECT and client INFO: the JSON in them, with the rules of the
 * reference decoder (keys without regard to case, last duplicate wins, null
 * changes nothing, invalid UTF-8 and \u0000 accepted).
 */
#ifndef PROTO_CONNECT_H
#define PROTO_CONNECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A string of the client's: length and bytes (may hold NUL), own memory. */
struct connect_str {
	char *p; /* NULL = empty */
	uint32_t len;
};

struct connect_opts {
	bool verbose, pedantic, echo, headers, no_responders, tls_required;
	bool new_account;
	int64_t protocol;
	struct connect_str user, pass, auth_token, nkey, sig, jwt;
	struct connect_str name, lang, version, account;
};

void connect_init(struct connect_opts *o); /* the defaults of 1.3 */
void connect_fini(struct connect_opts *o);
/* The same for one from malloc(), NULL accepted; *op becomes NULL. */
void connect_free(struct connect_opts **op);
/* Overwrite and free all strings but user, pass and auth_token. */
void connect_keep_credentials(struct connect_opts *o);
/* A string into *s, which held none; 0 or -1 (ENOMEM). */
int connect_str_set(struct connect_str *s, const char *text, size_t len);
/* Bytes of memory the strings take. */
size_t connect_bytes(const struct connect_opts *o);
/* Decode on top of *o (keys that are absent keep their values).  0, or -1 on
 * a JSON error or ENOMEM; *o is then unchanged. */
int connect_parse(const uint8_t *json, size_t len, struct connect_opts *o);
/* Is it well-formed JSON with an object or null at the top (client INFO)? */
bool connect_json_valid(const uint8_t *json, size_t len);
/* For traces: the CONNECT arguments with the values of pass, auth_token, jwt,
 * sig, nkey replaced by "[REDACTED]" (keys in any case, nested not touched;
 * what is not well-formed JSON is shown as "[malformed]"). Length in out, which
 * is not terminated. */
size_t connect_redact(const uint8_t *json, size_t len, char *out,
    size_t outlen);

#endif
