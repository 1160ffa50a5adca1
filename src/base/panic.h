/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Assertions for our own bugs; on in every build.  A failed one logs its
 * place at FATAL and aborts: the core shows the state, the master restarts
 * the worker.  Never for bytes that came from a socket or another's zone.
 */
#ifndef BASE_PANIC_H
#define BASE_PANIC_H

/* Aborts unless cond holds; cond is evaluated exactly once. */
#define ASSERT(cond)                                         \
	do {                                                 \
		if (__builtin_expect(!(cond), 0))            \
			panic_at(__FILE__, __LINE__, #cond); \
	} while (0)

/* Marks a place that control can never reach. */
#define UNREACHED() panic_at(__FILE__, __LINE__, "unreachable code reached")

/* Logs the place and what was violated, then aborts; use the macros. */
_Noreturn void panic_at(const char *file, int line, const char *what);

#endif
