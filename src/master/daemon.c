/* SPDX-License-Identifier: BSD-2-Clause */
/* The -d flag; before anything of the master exists. */
#include <config.h>

#include <sys/types.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "master/daemon.h"

#include "base/fdutil.h"

/* On the pipe: lines of text for stderr, and this byte for "ready". */
#define READY '\001'

/* Copies what the daemon says; the exit status. */
static int
wait_ready(int fd)
{
	char data[4096];
	ssize_t n;
	char *mark;

	for (;;) {
		n = read(fd, data, sizeof data);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return 1;
		mark = memchr(data, READY, (size_t)n);
		if (mark != NULL)
			n = mark - data;
		(void)fd_write_all(STDERR_FILENO, data, (size_t)n);
		if (mark != NULL)
			return 0;
	}
}

static int
redirect_stdio(void)
{
	int fd, i;

	if ((fd = open("/dev/null", O_RDWR | O_CLOEXEC)) == -1)
		return -1;
	for (i = 0; i < 3; i++) {
		if (dup2(fd, i) == -1)
			return -1;
	}
	if (fd > 2)
		fd_close(&fd);
	return 0;
}

/* The one in between: no longer a group leader, soon gone. */
static void
detach_child(int fd)
{
	pid_t pid;

	if (setsid() == -1 || (pid = fork()) == -1) {
		dprintf(fd, "natsd: cannot detach: %s\n", strerror(errno));
		_exit(1);
	}
	if (pid > 0)
		_exit(0);
	if (redirect_stdio() == -1) {
		dprintf(fd, "natsd: cannot open /dev/null: %s\n",
		    strerror(errno));
		_exit(1);
	}
}

int
daemon_detach(void)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) == -1)
		return -1;
	if ((pid = fork()) == -1) {
		fd_close(&fds[0]);
		fd_close(&fds[1]);
		return -1;
	}
	if (pid == 0) {
		fd_close(&fds[0]);
		detach_child(fds[1]);
		return fds[1];
	}
	fd_close(&fds[1]);
	while (waitpid(pid, NULL, 0) == -1 && errno == EINTR)
		continue;
	_exit(wait_ready(fds[0]));
}

void
daemon_tell(int fd, const char *text)
{
	if (fd != -1)
		dprintf(fd, "natsd: %s\n", text);
}

void
daemon_ready(int *fdp)
{
	static const char ready = READY;

	if (*fdp != -1)
		(void)fd_write_all(*fdp, &ready, 1);
	fd_close(fdp);
}
