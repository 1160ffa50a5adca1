/* SPDX-License-Identifier: BSD-2-Clause */
/* The errors of one load of the configuration; used by the master. */
#include <config.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/report.h"

void
report_init(struct report *r)
{
	memset(r, 0, sizeof *r);
}

void
report_fini(struct report *r)
{
	report_rewind(r, 0);
	report_init(r);
}

/* One error, one line, whatever name or value is shown in it. */
static void
make_printable(char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

void
report_add(struct report *r, bool warning, uint32_t order, const char *fmt, ...)
{
	struct report_item *item = &r->item[r->nitems];
	va_list ap;
	char *text;
	int n;

	if (!warning)
		r->nerrors++;
	if (r->nitems == REPORT_MAX) {
		r->lost = true;
		return;
	}
	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n == -1) {
		r->lost = true;
		return;
	}
	make_printable(text);
	item->order = order;
	item->seq = r->nitems++;
	item->warning = warning;
	item->text = text;
}

void
report_rewind(struct report *r, uint32_t from)
{
	while (r->nitems > from) {
		r->nitems--;
		if (!r->item[r->nitems].warning)
			r->nerrors--;
		free(r->item[r->nitems].text);
	}
}

void
report_move(struct report *dst, struct report *src)
{
	uint32_t i;

	for (i = 0; i < src->nitems; i++)
		report_add(dst, src->item[i].warning, src->item[i].order, "%s",
		    src->item[i].text);
	dst->lost |= src->lost;
	report_fini(src);
}

static int
item_cmp(const void *a, const void *b)
{
	const struct report_item *x = a, *y = b;

	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

void
report_flush(struct report *r, conf_error_fn *fn, void *ctx)
{
	uint32_t i;

	qsort(r->item, r->nitems, sizeof r->item[0], item_cmp);
	for (i = 0; i < r->nitems; i++)
		fn(ctx, r->item[i].warning, r->item[i].text);
	if (r->lost)
		fn(ctx, r->nerrors == 0, r->nitems == 0 ? "out of memory" :
		    "further errors are not shown");
}
