/* SPDX-License-Identifier: BSD-2-Clause */
/* The master's log; set once per process. */
#include <config.h>

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "master/mlog.h"

#include "base/fdutil.h"
#include "base/logtarget.h"
#include "conf/conf.h"
#include "master/daemon.h"

static struct log_target *target;
static enum log_target_kind target_kind;
static bool starting;
static int start_fd = -1;

static enum log_target_kind
kind_of(const struct conf *conf, bool detached)
{
	switch (conf->log_target) {
	case CONF_LOG_FILE:
		return LOG_TARGET_FILE;
	case CONF_LOG_SYSLOG:
		return LOG_TARGET_SYSLOG;
	default:
		return detached ? LOG_TARGET_SYSLOG : LOG_TARGET_STDERR;
	}
}

/* What keeps us from starting, for whoever has started us. */
static void
tell_starter(enum log_level lvl, const char *text)
{
	if (!starting || lvl > LOG_LVL_ERR)
		return;
	if (start_fd != -1)
		daemon_tell(start_fd, text);
	else if (target_kind != LOG_TARGET_STDERR)
		dprintf(STDERR_FILENO, "natsd: %s\n", text);
}

static void
sink(void *ctx, enum log_level lvl, const char *role, int pid,
    const char *text, size_t len)
{
	(void)ctx;
	tell_starter(lvl, text);
	log_target_write(target, lvl, role, pid, text, len);
}

int
mlog_open(const struct conf *conf, bool detached, char *err, size_t errlen)
{
	struct log_target_conf tc = {
		.kind = kind_of(conf, detached),
		.path = NULL,
		.logtime = conf->logtime,
		.logtime_utc = conf->logtime_utc,
		.facility = LOG_DAEMON,
		.logfile_size_limit = conf->logfile_size_limit,
		.logfile_max_num = conf->logfile_max_num,
	};
	struct log_target *next;

	if (tc.kind == LOG_TARGET_FILE)
		tc.path = conf->log_file;
	if (conf->syslog_facility[0] != '\0' &&
	    log_facility_parse(conf->syslog_facility, &tc.facility) == -1) {
		snprintf(err, errlen, "no such syslog facility: \"%s\"",
		    conf->syslog_facility);
		return -1;
	}
	if ((next = log_target_open(&tc, err, errlen)) == NULL)
		return -1;
	log_target_close(&target);
	target = next;
	target_kind = tc.kind;
	log_set_sink(sink, NULL);
	return 0;
}

bool
mlog_same(const struct conf *a, const struct conf *b)
{
	return a->log_target == b->log_target &&
	    strcmp(a->log_file, b->log_file) == 0 &&
	    strcmp(a->syslog_facility, b->syslog_facility) == 0 &&
	    a->logtime == b->logtime && a->logtime_utc == b->logtime_utc &&
	    a->logfile_size_limit == b->logfile_size_limit &&
	    a->logfile_max_num == b->logfile_max_num;
}

void
mlog_chown(const struct conf *conf, const char *user)
{
	struct passwd *pw;
	struct stat st;
	int fd;

	if (target_kind != LOG_TARGET_FILE || (pw = getpwnam(user)) == NULL)
		return;
	fd = open(conf->log_file, O_WRONLY | O_CLOEXEC | O_NOFOLLOW |
	    O_NONBLOCK | O_NOCTTY);
	if (fd == -1)
		return; /* a link or a pipe: whoever made it sees to it */
	/* A second name may be another's file in a folder that others write. */
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1 &&
	    fchown(fd, pw->pw_uid, (gid_t)-1) == -1)
		log_warn("cannot give the log file to user \"%s\"", user);
	fd_close(&fd);
}

void
mlog_reopen(void)
{
	char err[1024];

	if (target_kind != LOG_TARGET_FILE) {
		log_notice("File log re-open ignored, not a file logger");
		return;
	}
	if (log_target_reopen(target, err, sizeof err) == -1)
		log_err("File log not re-opened, the old one stays: %s", err);
	else
		log_notice("File log re-opened");
}

void
mlog_starting(int daemon_fd)
{
	starting = true;
	start_fd = daemon_fd;
}

void
mlog_started(void)
{
	starting = false;
	start_fd = -1;
}

void
mlog_write(enum log_level lvl, const char *role, int pid, const char *text,
    size_t len)
{
	tell_starter(lvl, text);
	log_target_write(target, lvl, role, pid, text, len);
}

void
mlog_close(void)
{
	log_set_sink(NULL, NULL);
	log_target_close(&target);
}
