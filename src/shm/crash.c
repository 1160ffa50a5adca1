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

#include "base/panic.h"

static char crash_name[64];
static unsigned long crash_left;
static char crash_how; /* first letter of one of the ways */

void
crash_arm(const char *spec)
{
	const char *colon, *slash;
	size_t len;

	crash_left = 0;
	if (spec == NULL || *spec == '\0')
		return;
	slash = strchr(spec, '/');
	crash_how = slash != NULL ? slash[1] : 'k';
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

	crash_arm(NULL); /* a parent's is not ours */
	if (env == NULL)
		return;
	at = strchrnul(env, '@');
	if (*at == '@' ? strtoul(at + 1, NULL, 10) != incarnation :
			 incarnation == 0)
		return;
	if ((size_t)(at - env) >= sizeof spec)
		return;
	memcpy(spec, env, (size_t)(at - env));
	spec[at - env] = '\0';
	crash_arm(spec);
}

/* Not inlined, not a tail call: each takes more of the stack. */
static __attribute__((noinline)) unsigned
overflow(unsigned depth)
{
	volatile char page[4096];

	page[depth % sizeof page] = (char)depth;
	if (depth == ~0u)
		return 0;
	return overflow(depth + 1) + (unsigned)page[0];
}

/* Overwrites its own frame and those of its callers. */
static __attribute__((noinline)) void
smash(void)
{
	volatile char here[16];
	volatile char *p = here;
	size_t i;

	__asm__ volatile("" : "+r"(p)); /* who knows where it points to */
	for (i = 0; i < 1024; i++)
		p[i] = 0x41;
}

static void
die(void)
{
	uintptr_t nowhere = 16;

	__asm__ volatile("" : "+r"(nowhere));
	switch (crash_how) {
	case 's': /* segv */
		*(volatile char *)nowhere = 1;
		break;
	case 'a': /* abort */
		abort();
	case 'p': /* panic */
		ASSERT(crash_left != 0);
		break;
	case 'o': /* overflow */
		(void)overflow(0);
		break;
	case 'm': /* mash */
		smash();
		break;
	case 'h': /* hang */
		for (;;)
			__asm__ volatile("" ::: "memory");
	default:
		(void)kill(getpid(), SIGKILL);
	}
}

void
crash_point(const char *name)
{
	if (crash_left == 0 || strcmp(name, crash_name) != 0)
		return;
	if (--crash_left == 0)
		die();
}
