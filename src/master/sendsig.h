/* SPDX-License-Identifier: BSD-2-Clause */
/* natsd --signal: controls a natsd that runs. */
#ifndef MASTER_SENDSIG_H
#define MASTER_SENDSIG_H

/*
 * Sends the signal of "reload", "reopen", "quit", "term" or "stop", optionally
 * followed by "=" and a pid or pid file; else the process that holds the lock
 * of pid_file ("" : the built-in path).  Says on stderr what went wrong.  The
 * exit status.
 */
int sendsig(const char *text, const char *pid_file);

#endif
