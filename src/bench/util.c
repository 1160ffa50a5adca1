/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * natsbench: failure, memory, clocks, chance and signals.
 */
#include <config.h>

#include <sys/resource.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/report.h"

#define NS UINT64_C(1000000000)

static pthread_mutex_t dying = PTHREAD_MUTEX_INITIALIZER;
static volatile sig_atomic_t interrupted;

void
bench_die(const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	(void)pthread_mutex_lock(&dying); /* for ever, if not the first */
	report_failure(text);
	_exit(1);
}

void *
bench_alloc(size_t size)
{
	void *p = calloc(1, size > 0 ? size : 1);

	if (p == NULL)
		bench_die("no memory for %zu bytes", size);
	return p;
}

uint64_t
bench_now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS + (uint64_t)ts.tv_nsec;
}

void
bench_sleep_until(uint64_t at)
{
	struct timespec ts;

	ts.tv_sec = (time_t)(at / NS);
	ts.tv_nsec = (long)(at % NS);
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) ==
	    EINTR)
		;
}

void
bench_sleep(double secs)
{
	if (secs > 0)
		bench_sleep_until(bench_now() + (uint64_t)(secs * 1e9));
}

uint64_t
bench_random(void)
{
	static _Thread_local uint64_t x = UINT64_C(88172645463325252);

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

double
bench_thread_cpu(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

double
bench_own_cpu(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void
on_signal(int number)
{
	if (interrupted) {
		(void)signal(number, SIG_DFL);
		(void)raise(number);
	}
	interrupted = 1;
}

int
bench_interrupted(void)
{
	return interrupted;
}

void
bench_catch_signals(void)
{
	struct sigaction sa;

	memset(&sa, 0, sizeof sa);
	sa.sa_handler = on_signal;
	sa.sa_flags = SA_RESTART;
	(void)sigaction(SIGINT, &sa, NULL);
	(void)sigaction(SIGTERM, &sa, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
}
