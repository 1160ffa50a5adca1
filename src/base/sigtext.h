/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text made in a signal handler: nothing here allocates, locks, looks at the
 * locale or calls a library.  What has no room is cut.
 */
#ifndef BASE_SIGTEXT_H
#define BASE_SIGTEXT_H

#include <stddef.h>
#include <stdint.h>

struct sigtext {
	char *p; /* borrowed; no NUL behind it */
	size_t len, max;
};

void sigtext_init(struct sigtext *t, char *p, size_t max);
/* s up to its NUL or to len bytes, whichever comes first. */
void sigtext_str(struct sigtext *t, const char *s);
void sigtext_strn(struct sigtext *t, const char *s, size_t len);
/* Decimal; hexadecimal without "0x" or leading zeros. */
void sigtext_num(struct sigtext *t, uint64_t n);
void sigtext_hex(struct sigtext *t, uint64_t n);
/* 16 bytes of an IPv6 address, or of an IPv4 address mapped into one, as
 * inet_ntop(3) writes them (RFC 5952). */
void sigtext_addr(struct sigtext *t, const uint8_t addr[16]);

#endif
