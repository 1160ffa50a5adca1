/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel's count of processes killed for want of memory. */
#include <config.h>

#include <inttypes.h>
#include <stdio.h>

#include "proc/oom.h"

static bool
read_kills(const char *path, uint64_t *kills)
{
	char line[128];
	bool found = false;
	FILE *f;

	if ((f = fopen(path, "re")) == NULL)
		return false;
	while (!found && fgets(line, sizeof line, f) != NULL)
		found = sscanf(line, "oom_kill %" SCNu64, kills) == 1;
	fclose(f);
	return found;
}

enum oom_verdict
oom_look(struct oom *oom, const char *path, uint64_t now_ms)
{
	uint64_t kills, before = oom->kills;
	bool known = oom->known;

	if (!(oom->known = read_kills(path, &kills)))
		return OOM_UNKNOWN;
	oom->kills = kills;
	if (!known)
		return OOM_UNKNOWN;
	if (kills != before) {
		oom->some = true;
		oom->some_ms = now_ms;
	}
	return oom->some && now_ms - oom->some_ms <= OOM_KEEP_MS ? OOM_SOME :
								   OOM_NONE;
}
