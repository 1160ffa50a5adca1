/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What all processes together take at most, by the configuration: the sum
 * that natsd.conf(5) gives, for the log and for natsd -t.
 */
#ifndef MASTER_BOUND_H
#define MASTER_BOUND_H

#include <stddef.h>
#include <stdint.h>

struct conf;

/* Of one connection: its record, its line in the scoreboard, and what of
 * subscriptions and answers it has for itself. */
#define BOUND_CONNECTION 2048
/* Of one process: the program, its fixed buffers, the free ones that it keeps
 * (out.c), and what it may be over its share before it looks. */
#define BOUND_PROCESS (UINT64_C(32) << 20)

/* Bytes. */
struct bound {
	uint64_t rings;		/* and as much that waits for room in them */
	uint64_t messages;	/* memory_max */
	uint64_t subscriptions; /* index_memory of each worker */
	uint64_t large;		/* messages that come in pieces, 0 if none can */
	uint64_t connections;	/* 0 if max_connections is unlimited */
	uint64_t processes;
	uint64_t total;
};

void bound_compute(const struct conf *conf, uint32_t nworkers,
    struct bound *b);

/* "Memory:   at most 3.4GB: ..."; the length, cut to what fits. */
size_t bound_format(const struct bound *b, char *out, size_t outlen);

#endif
