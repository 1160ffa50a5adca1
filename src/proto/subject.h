/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Subjects: validate, split, match.
 */
#ifndef PROTO_SUBJECT_H
#define PROTO_SUBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/token.h"

/* Split at dots and hash each token with `seed`.  Returns the number of
 * tokens, 0 if one is empty (the subject then matches nothing) or if there
 * are more than max. */
uint32_t subject_split(const uint8_t *p, size_t len, uint64_t seed,
    struct token *tok, uint32_t max);
/* A valid subscription pattern: no empty token, `>` alone only at the end. */
bool subject_valid_pattern(const uint8_t *p, size_t len);
/* A publish subject that pedantic accepts: no empty token, no token that is
 * just `*` or `>`. */
bool subject_valid_literal(const uint8_t *p, size_t len);
uint32_t subject_tokens(const uint8_t *p, size_t len);
/* Does the pattern match the subject?  For tests and for
 * what is not worth an index. */
bool subject_match(const uint8_t *pat, size_t patlen, const uint8_t *sub,
    size_t sublen);
/* Reserved for clients.  Few begin so that a closer look is needed. */
bool subject_reserved_publish_slow(const uint8_t *p, size_t len);
bool subject_reserved_reply_slow(const uint8_t *p, size_t len);
static inline bool
subject_reserved_publish(const uint8_t *p, size_t len)
{
	return len > 0 && (p[0] == '_' || p[0] == '$') &&
	    subject_reserved_publish_slow(p, len);
}
static inline bool
subject_reserved_reply(const uint8_t *p, size_t len)
{
	return len > 0 && (p[0] == '_' || p[0] == '$') &&
	    subject_reserved_reply_slow(p, len);
}

#endif
