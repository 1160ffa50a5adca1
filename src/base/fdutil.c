/* SPDX-License-Identifier: BSD-2-Clause */
/* Small helpers for file descriptors; used in every process. */
#include <config.h>

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fdutil.h"

void
fd_close(int *fd)
{
	int saved = errno;

	if (*fd != -1)
		(void)close(*fd);
	*fd = -1;
	errno = saved;
}

int
fd_set_nonblock(int fd)
{
	int flags;

	if ((flags = fcntl(fd, F_GETFL)) == -1)
		return -1;
	return fcntl(fd, F_SETFL, flags | O_NONBLOCK) == -1 ? -1 : 0;
}

int
fd_set_cloexec(int fd)
{
	int flags;

	if ((flags = fcntl(fd, F_GETFD)) == -1)
		return -1;
	return fcntl(fd, F_SETFD, flags | FD_CLOEXEC) == -1 ? -1 : 0;
}

int
fd_keep_standard(void)
{
	int fd;

	/* open(2) gives the lowest number: this one, for those below are in
	 * use. */
	for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) == -1 && errno == EBADF &&
		    open("/dev/null", O_RDWR) == -1)
			return -1;
	}
	return 0;
}

int
fd_write_all(int fd, const void *p, size_t len)
{
	struct pollfd pfd = { .fd = fd, .events = POLLOUT };
	const char *pos = p;
	ssize_t n;

	while (len > 0) {
		if ((n = write(fd, pos, len)) >= 0) {
			pos += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN) {
			if (poll(&pfd, 1, -1) == -1 && errno != EINTR)
				return -1;
		} else if (errno != EINTR)
			return -1;
	}
	return 0;
}

/* Reads until end of file or cap bytes; the count, or -1 with errno. */
static ssize_t
read_upto(int fd, char *data, size_t cap)
{
	size_t len = 0;
	ssize_t n;

	while (len < cap) {
		if ((n = read(fd, data + len, cap - len)) == 0)
			break;
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -1;
		len += (size_t)n;
	}
	return (ssize_t)len;
}

int
fd_read_file(const char *path, size_t max, char **datap, size_t *lenp)
{
	struct stat st;
	char *data = NULL;
	ssize_t n;
	int fd;

	if ((fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)) ==
	    -1)
		return -1;
	if (fstat(fd, &st) == -1)
		goto fail;
	if (!S_ISREG(st.st_mode)) {
		errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
		goto fail;
	}
	if (max > SIZE_MAX - 2 || (uintmax_t)st.st_size > max) {
		errno = EFBIG;
		goto fail;
	}
	/* One byte more than the size, so as to notice a file that grows. */
	if ((data = malloc((size_t)st.st_size + 2)) == NULL)
		goto fail;
	if ((n = read_upto(fd, data, (size_t)st.st_size + 1)) == -1)
		goto fail;
	if (n > st.st_size) {
		errno = EFBIG;
		goto fail;
	}
	data[n] = '\0';
	fd_close(&fd);
	*datap = data;
	*lenp = (size_t)n;
	return 0;
fail:
	fd_close(&fd);
	free(data);
	return -1;
}
