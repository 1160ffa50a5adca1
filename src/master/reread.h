/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads the configuration file again, in a process of its own: the lexer of
 * libconfuse ends its process when it gets no memory, and that must not be the
 * master.
 */
#ifndef MASTER_REREAD_H
#define MASTER_REREAD_H

#include <stdbool.h>

struct conf;
struct conf_override;

/*
 * As conf_load(), whose errors and warnings report() logs in that process and
 * are in our log when this returns.  0, or -1 after a message.  It waits for a
 * file that cannot be read no longer than 5 s, and not when natsd is to stop.
 */
int reread(const char *path, const struct conf_override *over,
    void (*report)(void *ctx, bool warning, const char *text),
    struct conf *conf);

#endif
