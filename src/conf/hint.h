/* SPDX-License-Identifier: BSD-2-Clause */
/* What to say about a name that is no option of natsd. */
#ifndef CONF_HINT_H
#define CONF_HINT_H

#include <stdbool.h>
#include <stddef.h>

#include "conf/opt.h"

/* Whether nats-server has such an option, and natsd does not. */
bool hint_unsupported(enum opt_section section, const char *name);

/* The option that was probably meant, or NULL; NULL too for a section. */
const char *hint_similar(enum opt_section section, const char *name);

#endif
