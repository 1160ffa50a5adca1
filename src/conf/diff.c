/* SPDX-License-Identifier: BSD-2-Clause */
/* What a reload changes; used by the master. */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "conf/conf.h"

#include "conf/addr.h"
#include "conf/opt.h"

/* Room for the text of every value. */
#define VALUE_MAX (CONF_LISTEN_MAX * (ADDR_TEXT_MAX + 4) + 3)

static bool
is_listen(const struct opt *opt)
{
	return opt->type == OPT_LISTEN || opt->type == OPT_HOST ||
	    opt->type == OPT_PORT;
}

/* One address alone, several as a list. */
static void
format_listen(const struct conf *conf, char *out, size_t outlen)
{
	char text[ADDR_TEXT_MAX];
	size_t len = 0;
	uint32_t i;

	if (conf->nlisten == 1) {
		addr_format(&conf->listen[0], out, outlen);
		return;
	}
	len = (size_t)snprintf(out, outlen, "{");
	for (i = 0; i < conf->nlisten; i++) {
		addr_format(&conf->listen[i], text, sizeof text);
		len += (size_t)snprintf(out + len, outlen - len, "%s\"%s\"",
		    i == 0 ? "" : ", ", text);
	}
	snprintf(out + len, outlen - len, "}");
}

static bool
listen_equal(const struct conf *a, const struct conf *b)
{
	uint32_t i;

	if (a->nlisten != b->nlisten)
		return false;
	for (i = 0; i < a->nlisten; i++)
		if (!addr_equal(&a->listen[i], &b->listen[i]))
			return false;
	return true;
}

/* The line of the first of the three options that make the listeners. */
static uint32_t
listen_line(const struct conf *conf)
{
	uint32_t i;

	for (i = 0; i < opt_count; i++)
		if (is_listen(&opt_table[i]) && conf->opt_line[i] != 0)
			return conf->opt_line[i];
	return 0;
}

void
conf_diff(const struct conf *oldc, const struct conf *newc, conf_diff_fn *fn,
    void *ctx)
{
	char name[64], oldv[VALUE_MAX], newv[VALUE_MAX];
	const struct opt *opt;

	for (opt = opt_table; opt < opt_table + opt_count; opt++) {
		if (is_listen(opt) || opt_equal(opt, oldc, newc))
			continue;
		snprintf(name, sizeof name, "%s%s",
		    opt->section == OPT_AUTHORIZATION ? "authorization." : "",
		    opt->name);
		opt_format(opt, oldc, oldv, sizeof oldv);
		opt_format(opt, newc, newv, sizeof newv);
		fn(ctx, name, oldv, newv, (opt->flags & OPT_RESTART) != 0,
		    newc->opt_line[opt_index(opt)]);
	}
	if (!listen_equal(oldc, newc)) {
		format_listen(oldc, oldv, sizeof oldv);
		format_listen(newc, newv, sizeof newv);
		fn(ctx, "listen", oldv, newv, true, listen_line(newc));
	}
}

void
conf_keep_restart(struct conf *next, const struct conf *running)
{
	const struct opt *opt;

	for (opt = opt_table; opt < opt_table + opt_count; opt++)
		if ((opt->flags & OPT_RESTART) && !is_listen(opt))
			memcpy((char *)next + opt->off,
			    (const char *)running + opt->off, opt->size);
	next->user_given = running->user_given;
	next->nlisten = running->nlisten;
	memcpy(next->listen, running->listen, sizeof next->listen);
	next->listen_defaulted = running->listen_defaulted;
}
