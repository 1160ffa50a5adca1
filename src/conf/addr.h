/* SPDX-License-Identifier: BSD-2-Clause */
/* Listen addresses: from text, to text, and which ones are meant at all. */
#ifndef CONF_ADDR_H
#define CONF_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"

#define ADDR_PORT_DEFAULT 4222

struct draft;

/* Longest text of a listener, with NUL. */
#define ADDR_TEXT_MAX (CONF_NAME_MAX + 16)

/*
 * Reads "host:port", "[v6]:port", "port" or "unix:/path".  A port alone
 * leaves the host empty; -1 is port 0.  NULL, or what is wrong.
 */
const char *addr_parse(const char *text, struct conf_listen *out);

/* A host on its own: NULL, or what is wrong. */
const char *addr_check_host(const char *host);

/* host[:port] as told to clients, or empty: NULL, or what is wrong. */
const char *addr_check_advertise(const char *text);

/* Writes the listener as addr_parse() reads it. */
void addr_format(const struct conf_listen *l, char *out, size_t outlen);

/* Whether two listeners are the same. */
bool addr_equal(const struct conf_listen *a, const struct conf_listen *b);

/*
 * Makes the list of listeners from listen, host and port and the command
 * line.  Credentials have to be known.  False if they are too many.
 */
bool addr_resolve(struct draft *d, const struct conf_override *o);

#endif
