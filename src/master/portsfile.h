/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ports file, <program>_<pid>.ports: a JSON object with the URLs to
 * connect to, for test rigs that let natsd pick its port.
 */
#ifndef MASTER_PORTSFILE_H
#define MASTER_PORTSFILE_H

#include <stddef.h>

struct listen_set;

struct portsfile {
	int fd; /* -1: none */
	char path[2048];
};

/* Makes it, empty, in dir, which may be forbidden ground later; 0, or -1 with a
 * text in err. */
int portsfile_open(struct portsfile *pf, const char *dir,
    const char *program, char *err, size_t errlen);

/* Writes it, at once, when everybody serves: a file with contents says that
 * the server is ready.  Nothing if there is none.  0, or -1 as above. */
int portsfile_fill(struct portsfile *pf, const struct listen_set *set,
    char *err, size_t errlen);

/* Removes the file (empties it where that is forbidden). */
void portsfile_remove(struct portsfile *pf);

#endif
