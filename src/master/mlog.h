/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The log as the master has it: the target that the configuration names, and
 * beside it whoever waits for the start.
 */
#ifndef MASTER_MLOG_H
#define MASTER_MLOG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/log.h"

struct conf;

/*
 * Opens the target and directs this process's log there; called again, it
 * changes over.  detached: there is no stderr, syslog stands in for it.  0,
 * or -1 with a text in err: then nothing has changed.
 */
int mlog_open(const struct conf *conf, bool detached, char *err,
    size_t errlen);

/* Whether two configurations log to the same place in the same way. */
bool mlog_same(const struct conf *a, const struct conf *b);

/* Give the log file to the user that the daemon will run as. */
void mlog_chown(const struct conf *conf, const char *user);

/* Opens the file anew (after logrotate) and logs how that went. */
void mlog_reopen(void);

/* While the daemon starts, until mlog_started(), errors are also told to the
 * waiting process (fd of daemon_detach()) or, without one, to stderr. */
void mlog_starting(int daemon_fd);
void mlog_started(void);

/* Writes a record of a child. */
void mlog_write(enum log_level lvl, const char *role, int pid,
    const char *text, size_t len);

void mlog_close(void);

#endif
