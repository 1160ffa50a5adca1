/* SPDX-License-Identifier: BSD-2-Clause */
/* What a child drops of the master's, in every child. */
#include <config.h>

#include <stdlib.h>
#include <unistd.h>

#include "proc/heritage.h"

#define KEEP_MAX (3 + 2 + HERITAGE_LISTEN_MAX + SLOTS_MAX)

static int
compare_ints(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

/* Closes first..last, both included. */
static void
close_span(unsigned first, unsigned last)
{
	long max;
	unsigned fd;

	if (first > last || close_range(first, last, 0) == 0)
		return;
	/* Linux before 5.9. */
	if ((max = sysconf(_SC_OPEN_MAX)) < 0)
		max = 65536;
	for (fd = first; fd <= last && fd < (unsigned long)max; fd++)
		(void)close((int)fd);
}

static uint32_t
collect(const struct heritage *h, int fds[KEEP_MAX])
{
	uint32_t i, n = 0;

	for (i = 0; i < 3; i++)
		fds[n++] = (int)i;
	fds[n++] = h->chan;
	fds[n++] = h->log;
	for (i = 0; i < h->nlisten && i < HERITAGE_LISTEN_MAX; i++)
		fds[n++] = h->listen[i].fd;
	for (i = 0; i < h->nslots && i < SLOTS_MAX; i++)
		fds[n++] = h->bell[i];
	return n;
}

/* Forget the numbers, so that nobody uses what is closed. */
static void
forget(struct heritage *h)
{
	static const struct zone_fds none = { -1, -1 };
	uint32_t i;

	h->control = none;
	for (i = 0; i < SLOTS_MAX; i++)
		h->index[i] = h->own[i] = none;
	h->ring = NULL;
}

void
heritage_close_rest(struct heritage *h, const int *keep, uint32_t nkeep)
{
	int own[KEEP_MAX], *fds, *all;
	uint32_t i, n;
	unsigned next = 0;

	n = collect(h, own);
	fds = own;
	if ((all = calloc(n + nkeep, sizeof *all)) != NULL) {
		for (i = 0; i < n; i++)
			all[i] = own[i];
		for (i = 0; i < nkeep; i++)
			all[n++] = keep[i];
		fds = all;
	} else if (nkeep > 0)
		_exit(1); /* no memory for so little: nothing will work */
	qsort(fds, n, sizeof *fds, compare_ints);
	for (i = 0; i < n; i++) {
		if (fds[i] < 0)
			continue;
		if ((unsigned)fds[i] > next)
			close_span(next, (unsigned)fds[i] - 1);
		next = (unsigned)fds[i] + 1;
	}
	close_span(next, ~0u);
	free(all);
	forget(h);
}
