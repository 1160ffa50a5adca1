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

/* Writes it whole into dir; 0, or -1 with a text in err. */
int portsfile_write(struct portsfile *pf, const char *dir,
    const char *program, const struct listen_set *set, char *err,
    size_t errlen);

/* Removes the file (empties it where that is forbidden). */
void portsfile_remove(struct portsfile *pf);

#endif
