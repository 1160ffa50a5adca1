/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Quoting of bytes that came from a peer, for error texts and the log: the
 * escapes of Go's %q verb, which nats-server uses in its error texts.
 */
#ifndef BASE_ESCAPE_H
#define BASE_ESCAPE_H

#include <stddef.h>
#include <stdint.h>

/* Most bytes that one input byte can become. */
#define ESCAPE_GO_FACTOR 4

/*
 * Escapes len bytes of p into out, without outer quotes: " and \ by a
 * backslash, \a \b \f \n \r \t \v by name, other control bytes, DEL and bytes
 * that are not valid UTF-8 as \xhh, valid but not printable characters as
 * \uhhhh or \Uhhhhhhhh; all else unchanged.  The output is cut before the
 * first character that does not fit whole, and a NUL follows it if outlen is
 * not 0.  The length without the NUL.  With outlen > ESCAPE_GO_FACTOR * len
 * nothing is ever cut.
 */
size_t escape_go_quote(char *out, size_t outlen, const uint8_t *p, size_t len);

#endif
