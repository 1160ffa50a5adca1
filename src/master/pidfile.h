/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pid file: the number and a newline, locked (fcntl) by the master as
 * long as it lives, so that a stale one is told from a live one.  The lock
 * belongs to the process and goes with the first close of any descriptor of
 * the file: nothing else may open it there.
 */
#ifndef MASTER_PIDFILE_H
#define MASTER_PIDFILE_H

#include <sys/types.h>

#include <stddef.h>

struct pidfile {
	int fd; /* -1: none */
	pid_t left_by; /* who has left the file behind, 0 = nobody */
	char path[1024];
};

/* Locks it, looks who has died without removing it, and writes it; 0, or -1
 * with a text for the operator in err. */
int pidfile_open(struct pidfile *pf, const char *path, char *err,
    size_t errlen);

/* Removes the file (empties it where that is forbidden) and unlocks it. */
void pidfile_remove(struct pidfile *pf);

/* The process that holds the lock of the file, 0 if none does, -1 with errno
 * if the file cannot be read. */
pid_t pidfile_holder(const char *path);

#endif
