/* SPDX-License-Identifier: BSD-2-Clause */
/* Keeps the place of a failed assertion and aborts; used in every process. */
#include <config.h>

#include <stdlib.h>

#include "base/panic.h"

#include "base/log.h"

void
panic_at(const char *file, int line, const char *what)
{
	log_at(LOG_LVL_FATAL, "assertion failed: %s (%s:%d)", what, file, line);
	abort();
}
