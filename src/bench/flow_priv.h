/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * natsbench: what the files of flow share.
 */
#ifndef BENCH_FLOW_PRIV_H
#define BENCH_FLOW_PRIV_H

#include "bench/flow.h"

#define FLOW_UNSEEN UINT64_MAX

struct flow_tx {
	struct conn c;
	struct flow *f;
	uint32_t id;
	_Atomic uint64_t seq;	/* messages stamped so far, in all runs */
	uint64_t seq0, target;	/* of this run */
	struct shape_block *blocks;
	uint32_t nblocks, cur;
	uint32_t at;		/* paced: next message of the block */
	size_t off, len;	/* of the block, being sent */
	int done;
	uint32_t pings;		/* sent so far */
};

struct flow_rx {
	struct conn c;
	struct flow *f;
	uint32_t id;
	uint64_t *next;		/* per publisher: number expected (queue: the
				   least possible) */
	uint64_t *sum;		/* queue: per publisher, of all numbers */
	uint64_t got;
	/* A payload of which a part has come. */
	int in_payload;
	size_t pay_off, pay_size;
	uint64_t pay_last;
	uint32_t pay_pub;
	uint64_t pay_seq;
};

/* flow_tx.c */
void flow_tx_open(struct flow *, struct flow_tx *, uint32_t id);
void flow_tx_close(struct flow_tx *);
void *flow_tx_run(void *);	/* full speed; a struct flow_tx_thread */
void *flow_tx_paced(void *);

/* flow_rx.c */
void flow_rx_open(struct flow *, struct flow_rx *, uint32_t id);
void flow_rx_close(struct flow_rx *);
void flow_rx_prepare(struct flow_rx_thread *);
void *flow_rx_run(void *);	/* a struct flow_rx_thread */
void flow_rx_release(struct flow_rx_thread *);
uint64_t flow_mix(uint64_t seq); /* what the sums of a queue add */

#endif
