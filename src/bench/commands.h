/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * The commands of natsbench, a function each, and what they share.
 */
#ifndef BENCH_COMMANDS_H
#define BENCH_COMMANDS_H

/* traffic.c: one flow */
void command_pub(void);
void command_sub(void);
void command_pubsub(void);
void command_latency(void);

/* beside.c: a flow alone, then beside something */
void command_churn(void);
void command_stall(void);
void command_firehose(void);

void command_request(void);	/* request.c */

/* many.c: numbers of connections and subscriptions */
void command_idle(void);
void command_connect(void);
void command_subs(void);
void command_subping(void);

/* Loads the unrelated subscriptions that --others asks for, if any. */
void many_load_others(void);

struct flow;

/* traffic.c: reports what a run of a flow has brought; names begin with
 * prefix, labels of the lines are followed by suffix. */
void traffic_report(const struct flow *, const char *prefix,
    const char *suffix);

/* The run before the measured one, if it is wanted. */
void traffic_warm_up(struct flow *);

/* One measured run, as long as the options say. */
void traffic_run(struct flow *);

/* The server and what it does with how much memory. */
void traffic_report_server(void);

#endif
