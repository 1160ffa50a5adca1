/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of protocol errors: texts as nats-server sends them. */
#include <config.h>

#include <string.h>

#include "base/escape.h"
#include "base/panic.h"
#include "proto/perr.h"

/*
 * The text is first, or first "arg" if second is set, or first "arg" second
 * "arg2" if third is set, each part followed by what comes next; the last
 * part closes the quotation.  No text: silent.
 */
struct perr_desc {
	const char *first, *second, *third;
	const char *reason; /* NULL: the text */
	bool closes;
};

static const struct perr_desc table[PERR_COUNT] = {
	[PERR_NONE] = { .reason = "no error" },
	[PERR_UNKNOWN_OP] = { .first = "Unknown Protocol Operation",
	    .closes = true },
	[PERR_CONTROL_LINE] = { .first = "maximum control line exceeded",
	    .closes = true },
	[PERR_MAX_PAYLOAD] = { .first = "Maximum Payload Violation",
	    .closes = true },
	[PERR_AUTH_VIOLATION] = { .first = "Authorization Violation",
	    .closes = true },
	[PERR_AUTH_TIMEOUT] = { .first = "Authentication Timeout",
	    .closes = true },
	[PERR_PROTOCOL_VERSION] = { .first = "invalid client protocol",
	    .closes = true },
	[PERR_NORESP_HEADERS] = {
	    .first = "no responders requires headers support",
	    .closes = true },
	[PERR_MAX_CONNECTIONS] = { .first = "maximum connections exceeded",
	    .closes = true },
	[PERR_STALE] = { .first = "Stale Connection", .closes = true },

	[PERR_MAX_SUBS] = { .first = "maximum subscriptions exceeded" },
	[PERR_SUBJECT] = { .first = "Invalid Subject" },
	[PERR_PUB_SUBJECT] = { .first = "Invalid Publish Subject" },
	[PERR_PUB_DENIED] = {
	    .first = "Permissions Violation for Publish to \"",
	    .second = "\"",
	    .reason = "Permissions Violation for Publish" },
	[PERR_REPLY_DENIED] = {
	    .first = "Permissions Violation for Publish with Reply of \"",
	    .second = "\"",
	    .reason = "Permissions Violation for Publish with Reply" },
	[PERR_SUB_DENIED] = {
	    .first = "Permissions Violation for Subscription to \"",
	    .second = "\"",
	    .reason = "Permissions Violation for Subscription" },
	[PERR_SUB_DENIED_QUEUE] = {
	    .first = "Permissions Violation for Subscription to \"",
	    .second = "\" using queue \"",
	    .third = "\"",
	    .reason = "Permissions Violation for Subscription using queue" },
	[PERR_SUB_TOKENS] = {
	    .first = "Permissions Violation for Subscription to \"",
	    .second = "\", too many tokens",
	    .reason = "Permissions Violation for Subscription, "
		"too many tokens" },

	[PERR_SILENT_JSON] = { .reason = "malformed JSON, or a value of the wrong "
	    "type", .closes = true },
	[PERR_SILENT_ARGS] = { .reason = "wrong number of arguments",
	    .closes = true },
	[PERR_SILENT_SIZE] = { .reason = "bad or missing size",
	    .closes = true },
	[PERR_SILENT_CLIENT_ERR] = { .reason = "error from the client",
	    .closes = true },
	[PERR_SILENT_NO_HEADERS] = { .reason = "headers are not enabled",
	    .closes = true },
};

/* Text under construction; len + reserve never exceeds size. */
struct line {
	char *out;
	size_t len, size;
	size_t reserve; /* bytes that fixed parts still need */
};

static const struct perr_desc *
describe(enum perr e)
{
	ASSERT((unsigned)e < PERR_COUNT);
	return &table[e];
}

bool
perr_closes(enum perr e)
{
	return describe(e)->closes;
}

bool
perr_has_args(enum perr e)
{
	return describe(e)->second != NULL;
}

const char *
perr_reason(enum perr e)
{
	const struct perr_desc *desc = describe(e);

	return desc->reason != NULL ? desc->reason : desc->first;
}

/* The fixed parts were reserved before, so they always fit. */
static void
put_fixed(struct line *line, const char *text)
{
	size_t n = text != NULL ? strlen(text) : 0;

	if (n > 0)
		memcpy(line->out + line->len, text, n);
	line->len += n;
	line->reserve -= n;
}

/*
 * The NUL that escape_go_quote() adds may fall on a reserved byte, which is
 * written later: there always is one, the line end.
 */
static void
put_arg(struct line *line, const struct perr_arg *arg)
{
	if (arg != NULL)
		line->len += escape_go_quote(line->out + line->len,
		    line->size - line->len - line->reserve + 1, arg->p,
		    arg->len);
}

static size_t
text_len(const char *text)
{
	return text != NULL ? strlen(text) : 0;
}

size_t
perr_line(enum perr e, const struct perr_arg *arg, const struct perr_arg *arg2,
    char *out, size_t outlen)
{
	const struct perr_desc *desc = describe(e);
	struct line line = { .out = out, .size = outlen };

	if (desc->first == NULL)
		return 0;
	line.reserve = strlen("-ERR ''\r\n") + strlen(desc->first) +
	    text_len(desc->second) + text_len(desc->third);
	if (line.reserve > outlen)
		return 0;
	put_fixed(&line, "-ERR '");
	put_fixed(&line, desc->first);
	if (desc->second != NULL) {
		put_arg(&line, arg);
		put_fixed(&line, desc->second);
	}
	if (desc->third != NULL) {
		put_arg(&line, arg2);
		put_fixed(&line, desc->third);
	}
	put_fixed(&line, "'\r\n");
	return line.len;
}
