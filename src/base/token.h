/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A token of a subject: what stands between two dots.  The index takes
 * subjects already split, so that it needs nothing of the protocol layer.
 */
#ifndef BASE_TOKEN_H
#define BASE_TOKEN_H

#include <stdint.h>

struct token {
	const uint8_t *p;
	uint32_t len;
	uint32_t hash; /* of the bytes, with the daemon's hash seed */
};

#endif
