/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the log goes: stderr, a file that is rotated, or the local syslog.
 * Used by the master alone, for its own events and for the records of its
 * children.  Writing never ends or blocks the process: what cannot be written
 * is counted, and the count is logged once writing works again.
 */
#ifndef BASE_LOGTARGET_H
#define BASE_LOGTARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"

struct log_target; /* private */

enum log_target_kind {
	LOG_TARGET_STDERR,
	LOG_TARGET_FILE,
	LOG_TARGET_SYSLOG,
};

struct log_target_conf {
	enum log_target_kind kind;
	const char *path; /* FILE: the file; SYSLOG: the socket, NULL: /dev/log;
			     copied */
	bool logtime;	  /* FILE and STDERR: show the time, */
	bool logtime_utc; /* in UTC instead of local time */
	int facility;	  /* SYSLOG: LOG_DAEMON, ... of syslog.h */
	uint64_t logfile_size_limit; /* FILE: rotate beyond; bytes, 0 = never */
	uint32_t logfile_max_num;    /* FILE: files to keep, the live one
					included; 0 = all */
};

/*
 * Opens the target; NULL on failure, with a text for the operator in err.  A
 * syslog that does not answer is no failure: it may come up later.
 */
struct log_target *log_target_open(
    const struct log_target_conf *conf, char *err, size_t errlen);

/* Closes the target (not stderr) and leaves NULL; accepts NULL. */
void log_target_close(struct log_target **targetp);

/* Writes one event of the process pid in that role; see log_sink_fn. */
void log_target_write(struct log_target *target, enum log_level lvl,
    const char *role, int pid, const char *text, size_t len);

/* The same as a log_sink_fn: ctx is the target. */
void log_target_sink(void *ctx, enum log_level lvl, const char *role, int pid,
    const char *text, size_t len);

/*
 * Opens the file (the syslog socket) anew, after logrotate has moved it.  0,
 * or -1 with a text in err: the old one then stays in use.
 */
int log_target_reopen(struct log_target *target, char *err, size_t errlen);

/* Events lost so far because they could not be written. */
uint64_t log_target_dropped(const struct log_target *target);

/*
 * Looks up a facility of the configuration (auth authpriv cron daemon
 * local0-local7 user); 0, or -1 if there is no such name.
 */
int log_facility_parse(const char *name, int *facility);

/* The priority, LOG_CRIT to LOG_DEBUG of syslog.h, that a level has. */
int log_syslog_priority(enum log_level lvl);

#endif
