/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The log targets; in the master.  The syslog socket is spoken to directly:
 * syslog(3) would wait for a stalled syslogd, and could only show our own pid
 * where the line belongs to a child.
 */
#include <config.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/logtarget.h"

#include "base/clock.h"
#include "base/fdutil.h"

#define SYSLOG_PATH "/dev/log"
#define SYSLOG_TAG "natsd"
#define FILE_MODE 0640
#define PREFIX_MAX 128

/*
 * How long a reader of stderr that has stalled may hold us up: once, until it
 * reads again.  Long enough for a pager to be scheduled.
 */
#define STDERR_PATIENCE_MS 20

struct log_target {
	struct log_target_conf conf; /* conf.path is ours */
	int fd;			     /* -1: closed (syslog), 2: stderr */
	bool colour;		     /* stderr is a terminal */
	bool journal;		     /* stderr is systemd's journal */
	bool may_block;		     /* stderr is no regular file */
	bool midline;	    /* a line was cut, the next starts with \n */
	uint64_t size;	    /* FILE: bytes in it */
	uint64_t rotate_at; /* FILE: rotate when larger, 0: never */
	uint64_t dropped;   /* all events lost */
	uint64_t reported;  /* those of them that were reported */
};

static const struct {
	const char *name;
	int value;
} facilities[] = {
	{ "auth", LOG_AUTH },
	{ "authpriv", LOG_AUTHPRIV },
	{ "cron", LOG_CRON },
	{ "daemon", LOG_DAEMON },
	{ "local0", LOG_LOCAL0 },
	{ "local1", LOG_LOCAL1 },
	{ "local2", LOG_LOCAL2 },
	{ "local3", LOG_LOCAL3 },
	{ "local4", LOG_LOCAL4 },
	{ "local5", LOG_LOCAL5 },
	{ "local6", LOG_LOCAL6 },
	{ "local7", LOG_LOCAL7 },
	{ "user", LOG_USER },
};

static const struct {
	int priority;
	const char *colour; /* parameters of the SGR sequence */
} levels[] = {
	[LOG_LVL_FATAL] = { LOG_CRIT, "31" },
	[LOG_LVL_ERR] = { LOG_ERR, "31" },
	[LOG_LVL_WARN] = { LOG_WARNING, "0;93" },
	[LOG_LVL_NOTICE] = { LOG_NOTICE, "32" },
	[LOG_LVL_INFO] = { LOG_INFO, "32" },
	[LOG_LVL_DEBUG] = { LOG_DEBUG, "36" },
	[LOG_LVL_TRACE] = { LOG_DEBUG, "33" },
	[LOG_LVL_CLIENT] = { LOG_WARNING, "31" },
};

int
log_facility_parse(const char *name, int *facility)
{
	size_t i;

	for (i = 0; i < sizeof facilities / sizeof facilities[0]; i++) {
		if (strcmp(name, facilities[i].name) == 0) {
			*facility = facilities[i].value;
			return 0;
		}
	}
	return -1;
}

int
log_syslog_priority(enum log_level lvl)
{
	if ((size_t)lvl >= sizeof levels / sizeof levels[0])
		return LOG_ERR;
	return levels[lvl].priority;
}

/* Logs an event of the target itself, in the role of the master. */
static void __attribute__((format(printf, 3, 4)))
note(struct log_target *target, enum log_level lvl, const char *fmt, ...)
{
	char text[LOG_TEXT_MAX];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	if ((size_t)n >= sizeof text)
		n = sizeof text - 1;
	log_target_write(target, lvl, "master", (int)getpid(), text, (size_t)n);
}

/* Whether stderr is the journal's stream, as systemd.exec(5) describes. */
static bool
is_journal(const struct stat *st)
{
	const char *env = getenv("JOURNAL_STREAM");
	uintmax_t dev, ino;

	if (env == NULL || sscanf(env, "%ju:%ju", &dev, &ino) != 2)
		return false;
	return dev == (uintmax_t)st->st_dev && ino == (uintmax_t)st->st_ino;
}

static void
open_stderr(struct log_target *target)
{
	struct stat st;

	target->fd = STDERR_FILENO;
	target->may_block = true;
	if (fstat(STDERR_FILENO, &st) == -1)
		return; /* writes will fail and be counted */
	target->may_block = !S_ISREG(st.st_mode);
	target->journal = is_journal(&st);
	target->colour = isatty(STDERR_FILENO) == 1;
}

/* Opens the log file in place of the one that may be open; 0 or -1. */
static int
open_file(struct log_target *target)
{
	struct stat st;
	int fd;

	/* A FIFO without a reader would block us; it is refused instead. */
	fd = open(target->conf.path,
	    O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
	    FILE_MODE);
	if (fd == -1)
		return -1;
	if (fstat(fd, &st) == -1) {
		fd_close(&fd);
		return -1;
	}
	fd_close(&target->fd);
	target->fd = fd;
	target->midline = false;
	target->size = st.st_size > 0 ? (uint64_t)st.st_size : 0;
	target->rotate_at = target->conf.logfile_size_limit;
	return 0;
}

/* Connects to syslogd in place of the socket that may be open; 0 or -1. */
static int
open_syslog(struct log_target *target)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd;

	fd_close(&target->fd);
	if (strlen(target->conf.path) >= sizeof sun.sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(sun.sun_path, target->conf.path);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return -1;
	if (connect(fd, (struct sockaddr *)&sun, sizeof sun) == -1) {
		fd_close(&fd);
		return -1;
	}
	target->fd = fd;
	return 0;
}

/* Opens what the configuration names; 0, or -1 with a text in err. */
static int
open_kind(struct log_target *target, char *err, size_t errlen)
{
	switch (target->conf.kind) {
	case LOG_TARGET_STDERR:
		open_stderr(target);
		return 0;
	case LOG_TARGET_SYSLOG:
		(void)open_syslog(target); /* tried again at each write */
		return 0;
	case LOG_TARGET_FILE:
		if (open_file(target) == 0)
			return 0;
		snprintf(err, errlen, "cannot open log file \"%s\": %s",
		    target->conf.path, strerror(errno));
		return -1;
	}
	snprintf(err, errlen, "no such kind of log target");
	return -1;
}

struct log_target *
log_target_open(const struct log_target_conf *conf, char *err, size_t errlen)
{
	struct log_target *target;
	const char *path = conf->path;

	if (conf->kind == LOG_TARGET_STDERR || path == NULL)
		path = conf->kind == LOG_TARGET_SYSLOG ? SYSLOG_PATH : "";
	if ((target = calloc(1, sizeof *target)) == NULL)
		goto nomem;
	target->fd = -1;
	target->conf = *conf;
	if ((target->conf.path = strdup(path)) == NULL)
		goto nomem;
	if (open_kind(target, err, errlen) == -1) {
		log_target_close(&target);
		return NULL;
	}
	return target;
nomem:
	snprintf(err, errlen, "cannot open the log: %s", strerror(ENOMEM));
	free(target);
	return NULL;
}

void
log_target_close(struct log_target **targetp)
{
	struct log_target *target = *targetp;

	*targetp = NULL;
	if (target == NULL)
		return;
	if (target->conf.kind != LOG_TARGET_STDERR)
		fd_close(&target->fd);
	free((char *)target->conf.path);
	free(target);
}

int
log_target_reopen(struct log_target *target, char *err, size_t errlen)
{
	return open_kind(target, err, errlen);
}

uint64_t
log_target_dropped(const struct log_target *target)
{
	return target->dropped;
}

/* Formats "YYYY/MM/DD HH:MM:SS.mmmmmm "; the length. */
static size_t
format_time(const struct log_target *target, char *out, size_t outlen)
{
	uint64_t now = clock_real_ns();
	time_t sec = (time_t)(now / 1000000000u);
	struct tm tm;
	size_t n;

	if ((target->conf.logtime_utc ? gmtime_r(&sec, &tm) :
					localtime_r(&sec, &tm)) == NULL)
		return 0;
	if ((n = strftime(out, outlen, "%Y/%m/%d %H:%M:%S", &tm)) == 0)
		return 0;
	n += (size_t)snprintf(out + n, outlen - n, ".%06u ",
	    (unsigned)(now % 1000000000u / 1000u));
	return n;
}

/* Formats all that precedes the text on stderr or in a file; the length. */
static size_t
format_prefix(const struct log_target *target, enum log_level lvl,
    const char *role, int pid, char out[PREFIX_MAX])
{
	const char *name = log_level_text(lvl);
	size_t n = 0;

	if (target->midline)
		out[n++] = '\n';
	if (target->journal)
		n += (size_t)snprintf(
		    out + n, PREFIX_MAX - n, "<%d>", log_syslog_priority(lvl));
	n += (size_t)snprintf(out + n, PREFIX_MAX - n, "[%d%s%.16s] ", pid,
	    *role == '\0' ? "" : "/", role);
	if (target->conf.logtime && !target->journal)
		n += format_time(target, out + n, PREFIX_MAX - n);
	if (target->colour && !target->journal)
		n += (size_t)snprintf(out + n, PREFIX_MAX - n,
		    "[\033[%sm%s\033[0m] ", levels[lvl].colour, name);
	else
		n += (size_t)snprintf(out + n, PREFIX_MAX - n, "[%s] ", name);
	return n;
}

/* Whether stderr takes a line now, or within our patience. */
static bool
stderr_ready(const struct log_target *target)
{
	struct pollfd pfd = { .fd = target->fd, .events = POLLOUT };
	bool stalled = target->dropped != target->reported;

	if (!target->may_block)
		return true;
	/* A pipe that polls writable takes PIPE_BUF bytes, more than a line. */
	return poll(&pfd, 1, stalled ? 0 : STDERR_PATIENCE_MS) == 1;
}

/* Writes a line to stderr or the file; false if it was not written whole. */
static bool
write_line(struct log_target *target, enum log_level lvl, const char *role,
    int pid, const char *text, size_t len)
{
	char prefix[PREFIX_MAX];
	struct iovec iov[3];
	ssize_t n;

	if (target->conf.kind == LOG_TARGET_STDERR && !stderr_ready(target))
		return false;
	iov[0].iov_base = prefix;
	iov[0].iov_len = format_prefix(target, lvl, role, pid, prefix);
	iov[1].iov_base = (char *)text;
	iov[1].iov_len = len;
	iov[2].iov_base = (char[]){ '\n' };
	iov[2].iov_len = 1;
	do
		n = writev(target->fd, iov, 3);
	while (n == -1 && errno == EINTR);
	if (n <= 0)
		return false;
	target->size += (uint64_t)n;
	target->midline = (size_t)n < iov[0].iov_len + len + 1;
	return !target->midline;
}

/* Sends an event to syslogd; false if it did not take it. */
static bool
send_syslog(struct log_target *target, enum log_level lvl, int pid,
    const char *text, size_t len)
{
	char line[LOG_TEXT_MAX + PREFIX_MAX], stamp[32] = "";
	time_t now = time(NULL);
	struct tm tm;
	int attempt, n;

	if (localtime_r(&now, &tm) != NULL)
		strftime(stamp, sizeof stamp, "%b %e %H:%M:%S ", &tm);
	n = snprintf(line, sizeof line, "<%d>%s" SYSLOG_TAG "[%d]: %.*s",
	    target->conf.facility | log_syslog_priority(lvl), stamp, pid,
	    (int)len, text);
	if (n < 0)
		return false;
	if ((size_t)n >= sizeof line)
		n = sizeof line - 1;
	/* The second attempt is for a syslogd that was restarted. */
	for (attempt = 0; attempt < 2; attempt++) {
		if (target->fd == -1 && open_syslog(target) == -1)
			return false;
		if (send(target->fd, line, (size_t)n, MSG_NOSIGNAL) != -1)
			return true;
		if (errno == EAGAIN || errno == ENOBUFS)
			return false; /* full: this one is lost */
		fd_close(&target->fd);
	}
	return false;
}

static bool
write_event(struct log_target *target, enum log_level lvl, const char *role,
    int pid, const char *text, size_t len)
{
	if (target->conf.kind == LOG_TARGET_SYSLOG)
		return send_syslog(target, lvl, pid, text, len);
	return write_line(target, lvl, role, pid, text, len);
}

/* Whether name is "base.YYYY.MM.DD.hh.mm.ss.nnnnnnnnn". */
static bool
is_backup(const char *name, const char *base)
{
	static const char shape[] = "dddd.dd.dd.dd.dd.dd.ddddddddd";
	size_t i, n = strlen(base);

	if (strncmp(name, base, n) != 0 || name[n] != '.')
		return false;
	for (name += n + 1, i = 0; shape[i] != '\0'; i++) {
		if (shape[i] == 'd' ? name[i] < '0' || name[i] > '9' :
				      name[i] != '.')
			return false;
	}
	return name[i] == '\0';
}

/*
 * Finds the oldest backup of base in the folder, by its name; returns how
 * many backups there are.
 */
static uint32_t
find_oldest(DIR *dir, const char *base, char oldest[NAME_MAX + 1])
{
	struct dirent *ent;
	uint32_t n = 0;

	rewinddir(dir);
	while ((ent = readdir(dir)) != NULL) {
		if (!is_backup(ent->d_name, base))
			continue;
		if (n++ == 0 || strcmp(ent->d_name, oldest) < 0)
			snprintf(oldest, NAME_MAX + 1, "%s", ent->d_name);
	}
	return n;
}

/* Removes the oldest backups beyond logfile_max_num files. */
static void
purge_backups(struct log_target *target)
{
	char folder[PATH_MAX], oldest[NAME_MAX + 1];
	const char *base;
	DIR *dir;

	if (target->conf.logfile_max_num == 0)
		return;
	snprintf(folder, sizeof folder, "%s", target->conf.path);
	if ((base = strrchr(target->conf.path, '/')) == NULL) {
		base = target->conf.path;
		strcpy(folder, ".");
	} else {
		base++;
		folder[base - target->conf.path] = '\0';
	}
	if ((dir = opendir(folder)) == NULL)
		return;
	while (find_oldest(dir, base, oldest) + 1u >
	    target->conf.logfile_max_num) {
		if (unlinkat(dirfd(dir), oldest, 0) == -1) {
			note(target, LOG_LVL_ERR,
			    "cannot purge log file \"%s\": %s", oldest,
			    strerror(errno));
			break;
		}
		note(target, LOG_LVL_NOTICE, "Purged log file \"%s\"", oldest);
	}
	closedir(dir);
}

/* Moves the file aside and starts a new one; purges old ones. */
static void
rotate(struct log_target *target)
{
	char backup[PATH_MAX];
	uint64_t now = clock_real_ns();
	time_t sec = (time_t)(now / 1000000000u);
	struct tm tm;
	size_t n;

	/* Off while we write here, and for good if nothing below helps. */
	target->rotate_at = 0;
	n = (size_t)snprintf(backup, sizeof backup, "%s", target->conf.path);
	if (n >= sizeof backup - 40 || localtime_r(&sec, &tm) == NULL)
		return;
	n += strftime(backup + n, sizeof backup - n, ".%Y.%m.%d.%H.%M.%S", &tm);
	snprintf(backup + n, sizeof backup - n, ".%09u",
	    (unsigned)(now % 1000000000u));
	if (rename(target->conf.path, backup) == -1) {
		note(target, LOG_LVL_ERR, "cannot rotate the log to \"%s\": %s",
		    backup, strerror(errno));
		/* Do not try, and complain, again at every line. */
		target->rotate_at = target->size * 2;
		return;
	}
	if (open_file(target) == -1) {
		/* Go on in the renamed file rather than in none. */
		note(target, LOG_LVL_ERR, "cannot open log file \"%s\": %s",
		    target->conf.path, strerror(errno));
		return;
	}
	target->rotate_at = 0;
	note(target, LOG_LVL_NOTICE, "Rotated log, backup saved as \"%s\"",
	    backup);
	purge_backups(target);
	target->rotate_at = target->conf.logfile_size_limit;
}

void
log_target_write(struct log_target *target, enum log_level lvl,
    const char *role, int pid, const char *text, size_t len)
{
	int saved = errno;
	uint64_t lost = target->dropped - target->reported;
	char report[64];
	int n;

	if (len > LOG_TEXT_MAX)
		len = LOG_TEXT_MAX;
	if ((size_t)lvl >= sizeof levels / sizeof levels[0])
		lvl = LOG_LVL_ERR;
	if (lost > 0) {
		n = snprintf(report, sizeof report,
		    "dropped %" PRIu64 " log records", lost);
		if (write_event(target, LOG_LVL_WARN, "master", (int)getpid(),
			report, (size_t)n))
			target->reported += lost;
	}
	/* Still broken: one attempt for each event is enough. */
	if (target->dropped != target->reported ||
	    !write_event(target, lvl, role, pid, text, len))
		target->dropped++;
	else if (target->rotate_at != 0 && target->size > target->rotate_at)
		rotate(target);
	errno = saved;
}

void
log_target_sink(void *ctx, enum log_level lvl, const char *role, int pid,
    const char *text, size_t len)
{
	log_target_write(ctx, lvl, role, pid, text, len);
}
