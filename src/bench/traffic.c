/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * natsbench pub, sub, pubsub, latency: one flow.
 */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "bench/addr.h"
#include "bench/bench.h"
#include "bench/commands.h"
#include "bench/flow.h"
#include "bench/proc.h"
#include "bench/report.h"

static void
num(const char *prefix, const char *key, double v)
{
	char name[48];

	(void)snprintf(name, sizeof name, "%s%s", prefix, key);
	report_num(name, v);
}

void
traffic_report_server(void)
{
	static int done;

	if (done++ > 0)
		return;
	report_str("command", bench_o.command);
	report_str("server", addr_text());
	report_str("server_name", conn_server.name);
	report_str("server_version", conn_server.version);
	report_line("server", "%s%s%s", addr_text(),
	    conn_server.version[0] != '\0' ? ", version " : "",
	    conn_server.version);
}

static const char *
label(const char *what, const char *suffix)
{
	static char texts[40][32];
	static int n;
	char *to = texts[n++ % 40];

	(void)snprintf(to, sizeof texts[0], "%s%s", what, suffix);
	return to;
}

static void
report_cpu(const struct flow_result *r, const char *prefix, const char *suffix)
{
	double n = (double)r->delivered;

	num(prefix, "own_cpu_ns", r->own_cpu * 1e9 / n);
	num(prefix, "send_cpu_ns", r->send_cpu * 1e9 / n);
	num(prefix, "receive_cpu_ns", r->receive_cpu * 1e9 / n);
	if (bench_o.pid == 0)
		return;
	num(prefix, "server_cpu_s", r->server_cpu);
	num(prefix, "server_cpu_ns", r->server_cpu * 1e9 / n);
	report_line(label("server CPU", suffix), "%s ns per message, %.2f of a "
	    "core, processes: %d", report_count(r->server_cpu * 1e9 / n),
	    r->secs > 0 ? r->server_cpu / r->secs : 0.0, proc_count());
}

void
traffic_report(const struct flow *f, const char *prefix, const char *suffix)
{
	const struct flow_result *r = &f->res;
	double secs = r->secs > 0 ? r->secs : 1e-9;
	char name[48];

	num(prefix, "published", (double)r->published);
	num(prefix, "messages", (double)r->delivered);
	num(prefix, "bytes", (double)r->bytes);
	num(prefix, "seconds", r->secs);
	num(prefix, "msgs_per_s", (double)r->delivered / secs);
	num(prefix, "bytes_per_s", (double)r->bytes / secs);
	report_line(label("messages", suffix), "%s %s in %.3f s",
	    report_count((double)r->delivered), f->subs == 0 ? "published" :
	    !f->check ? "delivered, not checked" : f->shape.size_min < 8 ?
	    "delivered, too short to check their order" :
	    "delivered, none lost, doubled, out of order or damaged", r->secs);
	report_line(label("throughput", suffix), "%s msgs/s, %s/s of payload",
	    report_count((double)r->delivered / secs),
	    report_bytes((double)r->bytes / secs));
	(void)snprintf(name, sizeof name, "%slat", prefix);
	report_hist(name, label("latency", suffix), &r->lat);
	if (f->rate > 0)
		num(prefix, "late_us", (double)r->late_ns / 1e3);
	num(prefix, "pause_ms", (double)r->pause_ns / 1e6);
	if (!f->shares_cpu)
		report_cpu(r, prefix, suffix);
}

/* What a run is like, for both readers. */
static void
report_load(const struct flow *f)
{
	char size[48];

	if (f->shape.fixed)
		(void)snprintf(size, sizeof size, "%zu", f->shape.size_min);
	else
		(void)snprintf(size, sizeof size, "%zu..%zu",
		    f->shape.size_min, f->shape.size_max);
	report_num("publishers", f->txs != NULL ? f->pubs : 0);
	report_num("subscribers", f->subs);
	report_str("size", size);
	report_line("load", "%s publisher%s, %s %s%s, %s bytes",
	    report_count(f->txs != NULL ? f->pubs : 0),
	    f->pubs == 1 ? "" : "s", report_count(f->subs),
	    f->queue ? "queue member" : "subscriber", f->subs == 1 ? "" : "s",
	    size);
}

static void
report_memory(void)
{
	double bytes;

	if (bench_o.pid == 0)
		return;
	bytes = proc_memory();
	report_num("server_memory", bytes);
	report_str("memory_kind", proc_memory_kind());
	report_line("server memory", "%s (%s)", report_bytes(bytes),
	    proc_memory_kind());
}

void
traffic_warm_up(struct flow *f)
{
	double secs = bench_o.warm;

	if (secs == 0)
		return;
	f->quiet = 1;
	if (secs < 0 && bench_o.msgs > 0)
		flow_start(f, bench_o.msgs / 10 + 1, 0);
	else
		flow_start(f, 0, secs >= 0 ? secs : bench_o.secs < 20 ?
		    bench_o.secs / 10 : 2);
	flow_wait(f);
	flow_join(f);
	if (bench_interrupted())
		bench_die("interrupted before anything was measured");
	f->quiet = 0;
}

void
traffic_run(struct flow *f)
{
	flow_start(f, bench_o.msgs, bench_o.secs);
	flow_wait(f);
	flow_join(f);
}

static void
run(struct flow *f)
{
	flow_open(f);
	traffic_report_server();
	report_load(f);
	traffic_warm_up(f);
	traffic_run(f);
	traffic_report(f, "", "");
	report_memory();
	flow_close(f);
}

void
command_pub(void)
{
	struct flow f;

	flow_init(&f);
	f.subs = 0;
	run(&f);
}

void
command_sub(void)
{
	struct flow f;

	flow_init(&f);
	f.pubs = 0;
	f.rate = 0;
	bench_o.warm = 0;
	run(&f);
}

void
command_pubsub(void)
{
	struct flow f;

	flow_init(&f);
	run(&f);
}

void
command_latency(void)
{
	struct flow f;

	flow_init(&f);
	if (f.rate == 0)
		f.rate = 10000;
	run(&f);
}
