/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A worker: one process that serves connections.  Master sees this header
 * alone.
 */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

struct heritage;

/* Child's entry, called by spawn after the fork.  Maps its zones, seals
 * itself in, says CHAN_READY, serves until CHAN_STOP or until the master is
 * gone; returns the exit status. */
int worker_main(struct heritage *h);

#endif
