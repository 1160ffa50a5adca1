/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A configuration as a sealed memfd: what the master hands to its children.
 */
#ifndef CONF_SNAPSHOT_H
#define CONF_SNAPSHOT_H

#include <stdint.h>

struct conf;

/* Sealed memfd with the bytes of *conf and a checked head; fd or -1. */
int snapshot_make(const struct conf *conf, uint64_t version);
/* Read and check (seals, magic, size, every string terminated); does not
 * close fd.  0 or -1/EPROTO. */
int snapshot_read(int fd, struct conf *conf, uint64_t *version);

#endif
