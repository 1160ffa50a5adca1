/* SPDX-License-Identifier: BSD-2-Clause */
/* The clocks, used in every process; both are served by the vDSO. */
#include <config.h>

#include <time.h>

#include "base/clock.h"

static uint64_t
read_clock(clockid_t id)
{
	struct timespec ts;

	/* Cannot fail: both clocks exist on every Linux. */
	(void)clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t
clock_mono_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t
clock_mono_ms(void)
{
	return read_clock(CLOCK_MONOTONIC) / 1000000u;
}

uint64_t
clock_real_ns(void)
{
	return read_clock(CLOCK_REALTIME);
}
