/* SPDX-License-Identifier: BSD-2-Clause */
/* SHA-256 (FIPS 180-4), for digests that operators compare; no secrets. */
#ifndef BASE_SHA256_H
#define BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_LEN 32
#define SHA256_HEX_LEN 65 /* with NUL */

struct sha256 {
	uint32_t h[8];
	uint64_t nbytes; /* hashed so far */
	uint8_t block[64];
};

void sha256_init(struct sha256 *ctx);

/* Adds len bytes of p, which may be NULL if len is 0. */
void sha256_update(struct sha256 *ctx, const void *p, size_t len);

/* Ends the hash; ctx has to be initialised before it is used again. */
void sha256_final(struct sha256 *ctx, uint8_t out[SHA256_LEN]);

/* The hash of len bytes of p as lower-case hexadecimal text. */
void sha256_hex(const void *p, size_t len, char out[SHA256_HEX_LEN]);

#endif
