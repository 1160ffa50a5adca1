/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Crash points: named places between two stores at which a test kills the
 * process (--enable-crash-points); otherwise they cost nothing.
 */
#ifndef SHM_CRASH_H
#define SHM_CRASH_H

#include <stdint.h>

#ifdef CRASH_POINTS
#define CRASH_POINT(name) crash_point(name)
#define CRASH_ARM_ENV(incarnation) crash_arm_env(incarnation)
#else
#define CRASH_POINT(name) ((void)0)
#define CRASH_ARM_ENV(incarnation) ((void)0)
#endif

/*
 * From now on the n-th passage ("name" or "name:n", n from 1) of that point
 * kills this process by SIGKILL, or what follows a slash behind the number:
 * segv, abort, panic (a failed assertion), overflow (of the stack), mash (of
 * the stack), hang (for the watchdog).  spec is copied; NULL or "" disarms, and
 * so does one that is malformed or longer than 63 bytes.
 */
void crash_arm(const char *spec);

/* Arm what NATSD_CRASH_POINT="name:n/how@incarnation" says, the number and how
 * being optional; the master is incarnation 0; without an incarnation it is for
 * every child.  Use the macro. */
void crash_arm_env(uint32_t incarnation);

/* One passage; use the macro. */
void crash_point(const char *name);

#endif
