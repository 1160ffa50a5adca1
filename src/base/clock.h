/* SPDX-License-Identifier: BSD-2-Clause */
/* The clocks: monotonic for intervals and timers, real for people. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Time since an arbitrary point in the past; never goes back. */
uint64_t clock_mono_ns(void);
uint64_t clock_mono_ms(void);

/* Nanoseconds since 1970-01-01 UTC; jumps when the clock is set. */
uint64_t clock_real_ns(void);

#endif
