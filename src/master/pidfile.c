/* SPDX-License-Identifier: BSD-2-Clause */
/* The pid file of the master, and the look at it by natsd --signal. */
#include <config.h>

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "master/pidfile.h"

#include "base/fdutil.h"

#define PIDFILE_MODE 0644

static int
lock_file(int fd, int cmd, struct flock *fl)
{
	memset(fl, 0, sizeof *fl);
	fl->l_type = F_WRLCK;
	fl->l_whence = SEEK_SET;
	return fcntl(fd, cmd, fl);
}

/* Whether path still names the file that fd has open: its last holder may
 * have removed it between our open and our lock. */
static bool
is_same(int fd, const char *path)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && stat(path, &b) == 0 &&
	    a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static int
open_locked(const char *path, struct flock *fl)
{
	int fd;

	memset(fl, 0, sizeof *fl);
	for (;;) {
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW |
		    O_NONBLOCK | O_NOCTTY, PIDFILE_MODE);
		if (fd == -1)
			return -1;
		if (lock_file(fd, F_SETLK, fl) == -1) {
			if (errno == EACCES || errno == EAGAIN) {
				(void)lock_file(fd, F_GETLK, fl);
				errno = EAGAIN;
			}
			fd_close(&fd);
			if (errno == EAGAIN && fl->l_type == F_UNLCK)
				continue; /* it has just gone */
			return -1;
		}
		if (is_same(fd, path))
			return fd;
		fd_close(&fd);
	}
}

static int
fail_open(const char *path, const struct flock *fl, char *err, size_t errlen)
{
	if (errno == EAGAIN)
		snprintf(err, errlen, "natsd is already running with pid %ld: "
		    "it holds the pid file \"%s\"", (long)fl->l_pid, path);
	else if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)
		snprintf(err, errlen, "cannot write the pid file \"%s\": %s",
		    path, strerror(errno));
	else
		snprintf(err, errlen, "cannot write the pid file \"%s\": %s; "
		    "create its folder, start as a user who may write there, "
		    "or name another file (pid_file, -P)", path,
		    strerror(errno));
	return -1;
}

/* The number in a file that nobody holds: its writer was killed. */
static pid_t
read_stale(int fd)
{
	char text[32], *end;
	ssize_t n = pread(fd, text, sizeof text - 1, 0);
	long pid;

	if (n <= 0)
		return 0;
	text[n] = '\0';
	pid = strtol(text, &end, 10);
	return pid > 0 && pid <= INT_MAX && *end == '\n' ? (pid_t)pid : 0;
}

int
pidfile_open(struct pidfile *pf, const char *path, char *err, size_t errlen)
{
	struct flock fl;
	char text[32];
	int fd, n;

	pf->fd = -1;
	pf->left_by = 0;
	if ((fd = open_locked(path, &fl)) == -1)
		return fail_open(path, &fl, err, errlen);
	pf->left_by = read_stale(fd);
	n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
	/* In place: whoever reads must never find no file.  The mode is set,
	 * whatever the umask says; another's file keeps its own. */
	(void)!fchmod(fd, PIDFILE_MODE);
	errno = ENOSPC; /* what a short write means */
	if (pwrite(fd, text, (size_t)n, 0) != n || ftruncate(fd, n) == -1) {
		fail_open(path, &fl, err, errlen);
		(void)unlink(path);
		fd_close(&fd);
		return -1;
	}
	pf->fd = fd;
	snprintf(pf->path, sizeof pf->path, "%s", path);
	return 0;
}

void
pidfile_remove(struct pidfile *pf)
{
	if (pf->fd == -1)
		return;
	if (is_same(pf->fd, pf->path) && unlink(pf->path) == -1)
		(void)!ftruncate(pf->fd, 0);
	fd_close(&pf->fd);
}

pid_t
pidfile_holder(const char *path)
{
	struct flock fl;
	int fd;

	if ((fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)) ==
	    -1)
		return -1;
	if (lock_file(fd, F_GETLK, &fl) == -1) {
		fd_close(&fd);
		return -1;
	}
	fd_close(&fd);
	return fl.l_type == F_UNLCK ? 0 : fl.l_pid;
}
