/* SPDX-License-Identifier: BSD-2-Clause */
/* --dump_config: the configuration in effect, as a file; used by the master. */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "conf/conf.h"

#include "base/buf.h"
#include "base/fdutil.h"
#include "conf/addr.h"
#include "conf/opt.h"

#define DUMP_MAX (256 << 10)

/* Appends a text in quotes that reads back as it is. */
static int
append_quoted(struct buf *buf, const char *text)
{
	int rc = buf_append(buf, "\"", 1);

	for (; rc == 0 && *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < ' ' || c == 0x7f)
			rc = buf_appendf(buf, "\\x%02x", c);
		else if (strchr("\"\\$", c) != NULL)
			rc = buf_appendf(buf, "\\%c", c);
		else
			rc = buf_append(buf, text, 1);
	}
	return rc == 0 ? buf_append(buf, "\"", 1) : -1;
}

static int
append_listen(struct buf *buf, const struct conf *conf)
{
	char text[ADDR_TEXT_MAX];
	uint32_t i;

	if (buf_appendf(buf, "listen = {") == -1)
		return -1;
	for (i = 0; i < conf->nlisten; i++) {
		addr_format(&conf->listen[i], text, sizeof text);
		if ((i > 0 && buf_append(buf, ", ", 2) == -1) ||
		    append_quoted(buf, text) == -1)
			return -1;
	}
	return buf_append(buf, "}\n", 2);
}

static int
append_option(struct buf *buf, const struct opt *opt, const struct conf *conf)
{
	char value[CONF_PATH_MAX + 1];

	if (opt->type == OPT_LISTEN)
		return append_listen(buf, conf);
	if (opt->type == OPT_HOST || opt->type == OPT_PORT)
		return 0;
	opt_format(opt, conf, value, sizeof value);
	/* Empty credentials are none, and an error when written. */
	if (*value == '\0' && (opt->flags & OPT_NOT_EMPTY))
		return 0;
	/* Only a name that was given has to exist on this host. */
	if (!conf->user_given && opt->section == OPT_TOP &&
	    (strcmp(opt->name, "user") == 0 ||
		strcmp(opt->name, "group") == 0) &&
	    buf_append(buf, "# ", 2) == -1)
		return -1;
	if (buf_appendf(buf, "%s%s = ",
		opt->section == OPT_AUTHORIZATION ? "  " : "",
		opt->name) == -1)
		return -1;
	if (opt->type == OPT_STRING ? append_quoted(buf, value) == -1 :
		buf_appendf(buf, "%s", value) == -1)
		return -1;
	return buf_append(buf, "\n", 1);
}

static int
append_section(struct buf *buf, enum opt_section section,
    const struct conf *conf)
{
	const struct opt *opt;

	for (opt = opt_table; opt < opt_table + opt_count; opt++)
		if (opt->section == section &&
		    append_option(buf, opt, conf) == -1)
			return -1;
	return 0;
}

int
conf_dump(const struct conf *conf, int fd)
{
	struct buf buf;
	int rc = -1;

	buf_init(&buf, DUMP_MAX);
	if (buf_appendf(&buf, "# natsd %s%s%s%s\n", *conf->file == '\0' ?
		"built-in defaults" : "from ", conf->file,
		*conf->digest == '\0' ? "" : " ", conf->digest) == 0 &&
	    append_section(&buf, OPT_TOP, conf) == 0 &&
	    buf_appendf(&buf, "authorization {\n") == 0 &&
	    append_section(&buf, OPT_AUTHORIZATION, conf) == 0 &&
	    buf_appendf(&buf, "}\n") == 0)
		rc = fd_write_all(fd, buf.data, buf.len);
	buf_fini(&buf);
	return rc;
}
