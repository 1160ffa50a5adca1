/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The client protocol's control lines, from bytes to meaning.  No state: the
 * caller keeps the bytes of an unfinished line and calls again with more, so
 * that the result cannot depend on where the input was cut.
 */
#ifndef PROTO_PARSE_H
#define PROTO_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/perr.h"

enum verb {
	VERB_CONNECT, VERB_PING, VERB_PONG, VERB_PUB, VERB_HPUB, VERB_SUB,
	VERB_UNSUB, VERB_INFO, VERB_OK, VERB_ERR
};

struct slice {
	const uint8_t *p;
	uint32_t len;
};

/* A whole control line; slices point into the input. */
struct parse_op {
	enum verb verb;
	uint32_t line_len; /* with its line end */
	struct slice subject; /* PUB HPUB SUB */
	struct slice reply; /* PUB HPUB; len 0 = none */
	struct slice queue; /* SUB; len 0 = none */
	struct slice sid; /* SUB UNSUB */
	struct slice arg; /* CONNECT, INFO: the JSON; ERR: the text */
	uint32_t hdr_size; /* HPUB, else 0 */
	uint32_t size; /* PUB HPUB: all payload bytes, headers included */
	bool usual; /* PUB HPUB: single blanks, no digit too many, CR LF: what
		     * follows the subject stands in a MSG in the same way */
	bool max_given; /* UNSUB had a second argument */
	uint32_t max; /* UNSUB; 0 = none, zero or unparsable: remove now */
};

enum parse_status {
	PARSE_OP, /* *op filled */
	PARSE_MORE, /* so far so good, the line is not whole */
	PARSE_ERROR /* *err says which */
};

/*
 * Parse the control line at p[0..len), len >= 1; *op is set by PARSE_OP alone,
 * *err means something after PARSE_ERROR.  The result is that of the byte that
 * decides it first, so more bytes never change an error.
 *
 * max_control_line limits what lies between the verb with one blank behind it
 * and the line end: further blanks before the first argument count, as does
 * all behind PING, PONG and +OK (D07 and D08 in natsd-protocol(7)).  A CR
 * anywhere but before the LF is PERR_UNKNOWN_OP in all verbs but these three;
 * only if nothing but more CRs stands between it and the LF it is
 * PERR_SILENT_ARGS (D09 and D10).
 * Sizes are not compared with max_payload here.
 */
enum parse_status parse_line(const uint8_t *p, size_t len,
    uint32_t max_control_line, struct parse_op *op, enum perr *err);

#endif
