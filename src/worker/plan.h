/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which slot gets what of a message: the records' heads.
 */
#ifndef WORKER_PLAN_H
#define WORKER_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/match.h"
#include "worker/msg.h"

/* What one slot is to get of a message. */
struct plan_part {
	const struct msg *m;
	const struct match *x;
	slotno slot;
	uint32_t target; /* its incarnation */
	bool plain;
	/* Groups it was chosen for: group g if choice[g] == slot. */
	const slotno *choice; /* NULL = none */
	bool ask;
	uint32_t nslots;
	uint64_t tried;
};

/* Bytes of the record without the bodies; a record's bodies follow it. */
uint32_t plan_head_len(const struct plan_part *p);
/* Write them; `body_len` is what follows. */
void plan_head_write(const struct plan_part *p, uint32_t body_len,
    uint8_t *dst);

#endif
