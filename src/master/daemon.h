/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Detaching: the process that was started waits until the detached one says
 * that it is ready, or why it is not, and exits accordingly.
 */
#ifndef MASTER_DAEMON_H
#define MASTER_DAEMON_H

/*
 * Forks twice and starts a new session; standard input, output and error
 * become /dev/null.  Returns in the detached process alone, with the
 * descriptor for the two functions below, or -1 with errno in the first one.
 * The working folder stays, so that relative paths go on meaning the same.
 */
int daemon_detach(void);

/* The waiting process prints the text on its stderr. */
void daemon_tell(int fd, const char *text);

/* The waiting process exits 0; closes *fdp.  If that is closed without it,
 * it exits 1. */
void daemon_ready(int *fdp);

#endif
