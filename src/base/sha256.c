/* SPDX-License-Identifier: BSD-2-Clause */
/* SHA-256, written after FIPS 180-4; used by the master for file digests. */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "base/sha256.h"

static const uint32_t k256[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
	0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
	0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
	0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
	0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
	0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
	0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
	0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t
rotr(uint32_t x, unsigned n)
{
	return x >> n | x << (32 - n);
}

/* Section 6.2.2, step 1: the message schedule of one block. */
static void
schedule(uint32_t w[64], const uint8_t *p)
{
	uint32_t s0, s1;
	int t;

	for (t = 0; t < 16; t++, p += 4)
		w[t] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
		    (uint32_t)p[2] << 8 | p[3];
	for (; t < 64; t++) {
		s0 = rotr(w[t - 15], 7) ^ rotr(w[t - 15], 18) ^ w[t - 15] >> 3;
		s1 = rotr(w[t - 2], 17) ^ rotr(w[t - 2], 19) ^ w[t - 2] >> 10;
		w[t] = w[t - 16] + s0 + w[t - 7] + s1;
	}
}

/* Section 6.2.2, steps 2 to 4. */
static void
compress(uint32_t h[8], const uint8_t *p)
{
	uint32_t v[8], w[64], t1, t2;
	int t;

	schedule(w, p);
	memcpy(v, h, sizeof v);
	for (t = 0; t < 64; t++) {
		t1 = v[7] + (rotr(v[4], 6) ^ rotr(v[4], 11) ^ rotr(v[4], 25)) +
		    ((v[4] & v[5]) ^ (~v[4] & v[6])) + k256[t] + w[t];
		t2 = (rotr(v[0], 2) ^ rotr(v[0], 13) ^ rotr(v[0], 22)) +
		    ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
		memmove(v + 1, v, 7 * sizeof v[0]);
		v[4] += t1;
		v[0] = t1 + t2;
	}
	for (t = 0; t < 8; t++)
		h[t] += v[t];
}

void
sha256_init(struct sha256 *ctx)
{
	static const uint32_t h0[8] = {
		0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
		0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
	};

	memset(ctx, 0, sizeof *ctx);
	memcpy(ctx->h, h0, sizeof ctx->h);
}

void
sha256_update(struct sha256 *ctx, const void *data, size_t len)
{
	const uint8_t *p = data;
	size_t used = ctx->nbytes % sizeof ctx->block, n;

	ctx->nbytes += len;
	while (len > 0) {
		n = sizeof ctx->block - used < len ?
		    sizeof ctx->block - used : len;
		memcpy(ctx->block + used, p, n);
		p += n;
		len -= n;
		if ((used += n) == sizeof ctx->block) {
			compress(ctx->h, ctx->block);
			used = 0;
		}
	}
}

void
sha256_final(struct sha256 *ctx, uint8_t out[SHA256_LEN])
{
	static const uint8_t pad[64] = { 0x80 };
	uint64_t bits = ctx->nbytes * 8;
	size_t used = ctx->nbytes % sizeof ctx->block;
	uint8_t len[8];
	int i;

	for (i = 0; i < 8; i++)
		len[i] = (uint8_t)(bits >> (56 - 8 * i));
	sha256_update(ctx, pad, used < 56 ? 56 - used : 120 - used);
	sha256_update(ctx, len, sizeof len);
	for (i = 0; i < SHA256_LEN; i++)
		out[i] = (uint8_t)(ctx->h[i / 4] >> (24 - 8 * (i % 4)));
}

void
sha256_hex(const void *p, size_t len, char out[SHA256_HEX_LEN])
{
	uint8_t digest[SHA256_LEN];
	struct sha256 ctx;
	int i;

	sha256_init(&ctx);
	sha256_update(&ctx, p, len);
	sha256_final(&ctx, digest);
	for (i = 0; i < SHA256_LEN; i++)
		snprintf(out + 2 * i, 3, "%02x", digest[i]);
}
