/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Numbers to text and back: the protocol's decimal sizes, and the sizes and
 * durations of the configuration.  No locale, no octal, no sign unless said.
 */
#ifndef BASE_STRNUM_H
#define BASE_STRNUM_H

#include <stddef.h>
#include <stdint.h>

/* Longest output of num_format_u32() and num_format_duration() (with NUL). */
#define NUM_U32_MAX 10
#define NUM_DURATION_MAX 32

/*
 * Parses exactly len bytes, one to nine digits.  0, or -1 for anything else;
 * *out is then untouched.
 */
int num_parse_u32_9(const uint8_t *p, size_t len, uint32_t *out);

/* Writes v in decimal without NUL, at most NUM_U32_MAX bytes; the length. */
size_t num_format_u32(uint8_t *out, uint32_t v);

/*
 * Parses a whole string: an optional '-', digits, nothing else.  0, or -1 with
 * errno EINVAL or ERANGE; so too the two below.
 */
int num_parse_i64(const char *s, int64_t *out);

/*
 * Parses a size or count: digits and an optional suffix in any case, k m g t
 * p e (powers of 1000) or kb ki kib, mb mi mib, ... (powers of 1024).
 */
int num_parse_size(const char *s, uint64_t *out);

/*
 * Parses a duration: one or more of a decimal number (a fraction is allowed)
 * and a unit, ns us ms s m h d, as in 1h30m; a bare number means seconds.
 */
int num_parse_duration_ns(const char *s, uint64_t *out_ns);

/*
 * Writes a duration as clients and logs of NATS show it ("10s", "2m0s",
 * "1h30m0s", "1.5s", "300ms", "0s") with NUL; the length.  outlen must be at
 * least NUM_DURATION_MAX for the text to be never cut.
 */
size_t num_format_duration(char *out, size_t outlen, uint64_t ns);

#endif
