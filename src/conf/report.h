/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The errors of one load, collected so that they can be handed out sorted by
 * their place in the file, and so that a repeated parse can take back those
 * of the parse before.
 */
#ifndef CONF_REPORT_H
#define CONF_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"

/* More errors than this are not kept. */
#define REPORT_MAX 200

struct report_item {
	uint32_t order; /* output line of conf/prep.h; 0 sorts first */
	uint32_t seq;
	bool warning;
	char *text;
};

struct report {
	struct report_item item[REPORT_MAX];
	uint32_t nitems;
	uint32_t nerrors; /* items that are no warnings, and the lost ones */
	bool lost;	  /* some were not kept */
};

void report_init(struct report *r);
void report_fini(struct report *r);

/* Adds a text, formatted as by printf(3). */
void report_add(struct report *r, bool warning, uint32_t order,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* Takes back all items from number `from` (an earlier nitems) on. */
void report_rewind(struct report *r, uint32_t from);

/* Moves the items of src, which is then empty, behind those of dst. */
void report_move(struct report *dst, struct report *src);

/* Calls fn for all items in the order of the file. */
void report_flush(struct report *r, conf_error_fn *fn, void *ctx);

#endif
