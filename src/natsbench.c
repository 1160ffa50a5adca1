/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * natsbench: puts load on a NATS server, checks what comes back, and measures.
 * One process with a thread that publishes, one that receives, one that reads
 * what else comes, and the main thread, which watches them.
 */
#include <config.h>

#include <sys/resource.h>


#include "bench/addr.h"
#include "bench/bench.h"
#include "bench/commands.h"
#include "bench/options.h"
#include "bench/proc.h"
#include "bench/report.h"

/* Root may go above the hard limit, others take what they have. */
static void
raise_nofile(void)
{
	struct rlimit rl = { .rlim_cur = 1000000, .rlim_max = 1000000 };

	if (setrlimit(RLIMIT_NOFILE, &rl) == 0)
		return;
	(void)getrlimit(RLIMIT_NOFILE, &rl);
	rl.rlim_cur = rl.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &rl);
}

int
main(int argc, char *argv[])
{
	void (*run)(void) = options_parse(argc, argv);
	const char *why;

	if ((why = addr_set(bench_o.server)) != NULL)
		bench_die("server %s: %s", bench_o.server, why);
	bench_catch_signals();
	raise_nofile();
	proc_init();
	if (run != command_idle && run != command_connect)
		many_load_others();
	run();
	report_end();
	return 0;
}
