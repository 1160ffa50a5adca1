/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A child's log records on their way to the master, which alone owns file,
 * syslog and rotation.  SOCK_SEQPACKET; a full one drops and counts, it never
 * blocks a worker.
 */
#ifndef PROC_LOGPIPE_H
#define PROC_LOGPIPE_H

#include <stddef.h>
#include <stdint.h>

#include "base/log.h"

int logpipe_pair(int fds[2]);
/* Child: make log_*() write there ("dropped N log records" comes first once
 * there is room again). */
void logpipe_use(int fd);
/* Child: a record of a process that is ending, which waits a moment for room.
 * Safe in a signal handler; text may not be NUL-terminated, at most
 * LOG_TEXT_MAX bytes. */
void logpipe_urgent(enum log_level lvl, const char *text, size_t len);
/* Master: next record; 1, 0 at end of file, -1/EAGAIN.  `text` ends in NUL. */
int logpipe_read(int fd, enum log_level *lvl, char *text, size_t textlen);

#endif
