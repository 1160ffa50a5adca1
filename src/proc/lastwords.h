/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Last words: what a child says, by its log pipe, when it dies of a fault of
 * its own (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS, or SIGABRT, with which
 * ASSERT() and the watchdog end it): the signal, whom it served, a backtrace.
 * Then it dies of that signal all the same, with the registers of the fault.
 *
 * The handler has a stack of its own, calls nothing but what is safe in a
 * handler (and the unwinder, which takes no lock that anybody here holds), has
 * LASTWORDS_S seconds, and survives faults of its own: what it cannot read in a
 * smashed process it leaves out.
 */
#ifndef PROC_LASTWORDS_H
#define PROC_LASTWORDS_H

#include "base/sigtext.h"

#define LASTWORDS_S 2

/*
 * Writes whom this process serves.  In the handler: memory may be damaged, and
 * a fault in here costs this line alone.
 */
typedef void lastwords_who_fn(const void *ctx, struct sigtext *t);

/* Master, once, before the first fork: where programs and libraries lie, and
 * how large a page is. */
void lastwords_prepare(void);

/*
 * Child: catch those signals that nobody has caught before us (a sanitizer
 * has).  After logpipe_use().  0, or -1 with errno of mmap(2), sigaltstack(2)
 * or sigaction(2).
 */
int lastwords_install(void);

/* Child: fn(ctx, ...) tells whom it serves; ctx is kept. */
void lastwords_set_who(lastwords_who_fn *fn, const void *ctx);

#endif
