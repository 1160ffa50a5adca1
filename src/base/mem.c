/* SPDX-License-Identifier: BSD-2-Clause */
/* Allocate-or-die for the start of each process. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#include "base/log.h"

void *
mem_alloc_or_die(size_t size)
{
	return mem_array_or_die(1, size);
}

void *
mem_array_or_die(size_t n, size_t size)
{
	void *p;

	/* At least one byte: NULL must always mean that there is no memory. */
	if (n == 0 || size == 0)
		n = size = 1;
	if ((p = calloc(n, size)) == NULL)
		fatal("cannot allocate %zu times %zu bytes", n, size);
	return p;
}

char *
mem_strdup_or_die(const char *s)
{
	char *copy;

	if ((copy = strdup(s)) == NULL)
		fatal("cannot allocate %zu bytes", strlen(s) + 1);
	return copy;
}
