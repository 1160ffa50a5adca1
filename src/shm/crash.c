/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lets tests kill the process they run in at a named point; in every process,
 * for tests only.
 */
#include <config.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shm/crash.h"

static char crash_name[64];
static unsigned long crash_left;

void
crash_arm(const char *spec)
{
	const char *colon;
	size_t len;

	crash_left = 0;
	if (spec == NULL || *spec == '\0')
		return;
	colon = strchr(spec, ':');
	len = colon != NULL ? (size_t)(colon - spec) : strlen(spec);
	if (len >= sizeof crash_name)
		return;
	memcpy(crash_name, spec, len);
	crash_name[len] = '\0';
	crash_left = colon != NULL ? strtoul(colon + 1, NULL, 10) : 1;
}

void
crash_arm_env(uint32_t incarnation)
{
	const char *env = getenv("NATSD_CRASH_POINT"), *at;
	char spec[sizeof crash_name];

	if (env == NULL)
		return;
	at = strchrnul(env, '@');
	if (*at == '@' && strtoul(at + 1, NULL, 10) != incarnation)
		return;
	if ((size_t)(at - env) >= sizeof spec)
		return;
	memcpy(spec, env, (size_t)(at - env));
	spec[at - env] = '\0';
	crash_arm(spec);
}

void
crash_point(const char *name)
{
	if (crash_left == 0 || strcmp(name, crash_name) != 0)
		return;
	if (--crash_left == 0)
		(void)kill(getpid(), SIGKILL);
}
