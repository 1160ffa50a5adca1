/* SPDX-License-Identifier: BSD-2-Clause */
/* Small helpers for file descriptors. */
#ifndef BASE_FDUTIL_H
#define BASE_FDUTIL_H

#include <stddef.h>

/* Closes *fd unless it is -1 and leaves -1 there; keeps errno. */
void fd_close(int *fd);

/* Sets O_NONBLOCK (FD_CLOEXEC); 0, or -1 with errno of fcntl(2). */
int fd_set_nonblock(int fd);
int fd_set_cloexec(int fd);

/*
 * At the start of a program: descriptors 0, 1 and 2 that its caller has closed
 * get /dev/null, so that nothing opened later is taken for standard output.
 * 0, or -1 with errno of open(2).
 */
int fd_keep_standard(void);

/*
 * Writes all len bytes, repeating short and interrupted writes; waits when fd
 * is non-blocking.  0, or -1 with errno of write(2).
 */
int fd_write_all(int fd, const void *p, size_t len);

/*
 * Reads a whole regular file of at most max bytes into new memory: *datap has
 * *lenp bytes and a NUL behind them, and belongs to the caller (free()).  0,
 * or -1 with errno: EISDIR or EINVAL for what is not a regular file, EFBIG
 * beyond max, ENOMEM, or that of open(2) and read(2).  Never blocks on a FIFO.
 */
int fd_read_file(const char *path, size_t max, char **datap, size_t *lenp);

#endif
