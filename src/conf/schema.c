/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * natsd.conf by libconfuse.  All options are texts to the library: it finds
 * name and value, opt.c makes numbers and truth values of them, so that a bad
 * value does not end the parse and all of them are listed.  Its messages are
 * replaced by ones that say what was found, what was expected and how to
 * write it.  Used by the master.
 */
#include <config.h>

#include <confuse.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/schema.h"

#include "base/escape.h"
#include "conf/hint.h"
#include "conf/opt.h"
#include "conf/prep.h"
#include "conf/report.h"

/* Unknown names that are listed; each costs another parse. */
#define UNKNOWN_MAX 32
#define SHOWN_MAX 64
/* Values of a list; none needs so many. */
#define LIST_MAX 1000

/* libconfuse has no context pointer, and a static scanner anyway. */
static struct parse {
	struct prep *prep;
	struct report soft;   /* errors of this pass, taken back for another */
	struct report *fixed; /* errors that stay */
	struct draft *draft;
	uint32_t auth_line; /* of the section authorization, 0 = not seen */
	bool again;	    /* an unknown statement was blanked */
	bool failed;	    /* the error that ended the pass is reported */
} parse;

/* Adds an error at a line of the text. */
static void soft_error(uint32_t line, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void fixed_error(uint32_t line, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void
add_error(struct report *report, uint32_t line, const char *fmt, va_list ap)
{
	char text[1024];

	vsnprintf(text, sizeof text, fmt, ap);
	report_add(report, false, line, "%s:%u: %s",
	    prep_file(parse.prep, line), prep_line(parse.prep, line), text);
}

static void
soft_error(uint32_t line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_error(&parse.soft, line, fmt, ap);
	va_end(ap);
}

static void
fixed_error(uint32_t line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_error(parse.fixed, line, fmt, ap);
	va_end(ap);
}

static enum opt_section
section_of(const cfg_t *cfg)
{
	return strcmp(cfg->name, "authorization") == 0 ? OPT_AUTHORIZATION :
	    OPT_TOP;
}

static const char *
section_prefix(enum opt_section section)
{
	return section == OPT_AUTHORIZATION ? "authorization." : "";
}

/* Whether the option was set before, other than by adding to its list. */
static bool
is_repeated(const cfg_opt_t *cfg_opt, const struct opt *opt)
{
	return parse.draft->given[opt_index(opt)] &&
	    (opt->type != OPT_LISTEN || cfg_opt->nvalues <= 1);
}

/*
 * Called by the library for each value; a failure would end the parse, so
 * only a list without end is one: the library's time for it is quadratic.
 */
static int
on_value(cfg_t *cfg, cfg_opt_t *cfg_opt, const char *value, void *result)
{
	enum opt_section section = section_of(cfg);
	const struct opt *opt = opt_get(section, cfg_opt->name);
	unsigned i = opt_index(opt);
	uint32_t line = (uint32_t)cfg->line;
	uint32_t listeners = parse.draft->conf.nlisten;
	char err[1024];

	*(const char **)result = value;
	if (cfg_opt->nvalues > LIST_MAX) {
		soft_error(line, "%s: found more than %d values", cfg_opt->name,
		    LIST_MAX);
		parse.failed = true;
		return -1;
	}
	if (is_repeated(cfg_opt, opt)) {
		soft_error(line, "%s%s: found a second time, expected only "
		    "once (first in line %u of %s)", section_prefix(section),
		    cfg_opt->name, prep_line(parse.prep,
		    parse.draft->line[i]), prep_file(parse.prep,
		    parse.draft->line[i]));
		return 0;
	}
	if (!parse.draft->given[i])
		parse.draft->line[i] = line;
	parse.draft->given[i] = true;
	if (opt_set(opt, parse.draft, value, err, sizeof err) == -1) {
		parse.draft->bad[i] = true;
		soft_error(line, "%s%s: %s", section_prefix(section),
		    cfg_opt->name, err);
	} else if (parse.draft->conf.nlisten > listeners)
		parse.draft->conf.listen[listeners].line = line;
	return 0;
}

/* Called by the library at the end of a section authorization. */
static int
on_section(cfg_t *cfg, cfg_opt_t *cfg_opt)
{
	(void)cfg_opt;
	if (parse.auth_line != 0)
		soft_error((uint32_t)cfg->line, "authorization: found a "
		    "second section, expected only one (the first ends in "
		    "line %u of %s)", prep_line(parse.prep, parse.auth_line),
		    prep_file(parse.prep, parse.auth_line));
	else
		parse.auth_line = (uint32_t)cfg->line;
	return 0;
}

/* The token shown in a message: short and printable. */
static const char *
shown(uint32_t i, char out[SHOWN_MAX * ESCAPE_GO_FACTOR + 8])
{
	const struct prep_token *token = &parse.prep->tokens[i];
	const char *text = prep_text(parse.prep, i);
	size_t len = token->len;

	if (token->kind == PREP_STRING) {
		text++;
		len -= 2;
	}
	escape_go_quote(out, SHOWN_MAX * ESCAPE_GO_FACTOR + 1,
	    (const uint8_t *)text, len > SHOWN_MAX ? SHOWN_MAX : len);
	if (len > SHOWN_MAX)
		strcat(out, "...");
	return out;
}

/*
 * The last token up to line `line` that reads `name`, or the number of
 * tokens.  Blanked ones do not count.
 */
static uint32_t
find_token(const char *name, uint32_t line)
{
	const struct prep *prep = parse.prep;
	uint32_t i, found = prep->ntokens;
	size_t len = strlen(name);

	for (i = 0; i < prep->ntokens && prep->tokens[i].line <= line; i++) {
		const struct prep_token *token = &prep->tokens[i];
		const char *text = prep_text(prep, i);

		if (token->kind == ' ')
			continue;
		if ((token->len == len && memcmp(text, name, len) == 0) ||
		    (token->kind == PREP_STRING && token->len == len + 2 &&
			memcmp(text + 1, name, len) == 0))
			found = i;
	}
	return found;
}

/* The first statement with that name in that line, or number of tokens. */
static uint32_t
find_statement(const char *name, uint32_t line)
{
	const struct prep *prep = parse.prep;
	uint32_t i;

	for (i = 0; i < prep->ntokens; i++) {
		if (prep->tokens[i].line != line ||
		    prep->tokens[i].kind != PREP_WORD ||
		    !prep_is(prep, i, name))
			continue;
		if (i == 0 || strchr("=+,", prep->tokens[i - 1].kind) == NULL)
			break;
	}
	return i;
}

static int
kind_at(uint32_t i)
{
	return i < parse.prep->ntokens ? parse.prep->tokens[i].kind : 0;
}

/* The text behind name i, to be quoted in a hint; "value" if none. */
static const char *
value_at(uint32_t i, char out[SHOWN_MAX * ESCAPE_GO_FACTOR + 8])
{
	int kind = kind_at(i);

	if (kind != PREP_WORD && kind != PREP_STRING)
		return "value";
	return shown(i, out);
}

/* "key: value" and "key:value": how it is to be written; false if not so. */
static bool
explain_colon(enum opt_section section, const char *name, uint32_t i,
    uint32_t line)
{
	const char *colon = strchr(name, ':');
	const struct opt *opt;
	char key[64], value[SHOWN_MAX * ESCAPE_GO_FACTOR + 8];

	if (colon == NULL || (size_t)(colon - name) >= sizeof key)
		return false;
	memcpy(key, name, (size_t)(colon - name));
	key[colon - name] = '\0';
	opt = opt_find(section, key);
	if (opt == NULL && strcmp(key, "authorization") != 0 &&
	    hint_unsupported(section, key))
		fixed_error(line, "%s%s: not supported by natsd",
		    section_prefix(section), key);
	else if (kind_at(i + 1) == '{')
		fixed_error(line, "found \"%s\", expected a section; write %s "
		    "{ ... } without the colon", name, key);
	else
		fixed_error(line, "found \"%s:\", expected \"%s =\"; write %s "
		    "= %s", key, key, key, opt == NULL ||
		    (opt->flags & OPT_SECRET) || colon[1] != '\0' ?
		    "value" : value_at(i + 1, value));
	return true;
}

/* An option that the library does not know. */
static void
explain_unknown(enum opt_section section, const char *name, uint32_t i,
    uint32_t line)
{
	char text[SHOWN_MAX * ESCAPE_GO_FACTOR + 8];
	const char *similar;

	if (explain_colon(section, name, i, line))
		return;
	escape_go_quote(text, SHOWN_MAX * ESCAPE_GO_FACTOR + 1,
	    (const uint8_t *)name,
	    strlen(name) > SHOWN_MAX ? SHOWN_MAX : strlen(name));
	if (hint_unsupported(section, name))
		fixed_error(line, "%s%s: not supported by natsd",
		    section_prefix(section), text);
	else if (strcmp(name, "include") == 0)
		fixed_error(line, "found \"include\" without parentheses; "
		    "write include(\"file\")");
	else if (section == OPT_AUTHORIZATION &&
	    opt_find(OPT_TOP, name) != NULL)
		fixed_error(line, "found \"%s\" inside of authorization; it "
		    "belongs outside", text);
	else if (section == OPT_TOP &&
	    opt_find(OPT_AUTHORIZATION, name) != NULL)
		fixed_error(line, "found \"%s\", expected an option; it "
		    "belongs into authorization { ... }", text);
	else if ((similar = hint_similar(section, name)) != NULL)
		fixed_error(line, "found \"%s\", expected an option; did you "
		    "mean %s?", text, similar);
	else
		fixed_error(line, "found \"%s\", expected an option of "
		    "natsd.conf(5)", text);
}

/* Whether token i is near a secret, and perhaps a part of it. */
static bool
is_secret_near(uint32_t i)
{
	const struct prep *prep = parse.prep;
	uint32_t j;

	if (i >= prep->ntokens)
		return true; /* unclear, so say less */
	for (j = i > 3 ? i - 3 : 0; j <= i; j++)
		if (prep->tokens[j].line == prep->tokens[i].line &&
		    (prep_is(prep, j, "password") || prep_is(prep, j, "pass") ||
			prep_is(prep, j, "token")))
			return true;
	return false;
}

/* Reports an unknown name; blanks its statement, so that the rest is read. */
static void
on_unknown(const cfg_t *cfg, const char *name)
{
	uint32_t line = (uint32_t)cfg->line;
	uint32_t i = find_statement(name, line);
	/* It may stand in quotes, as no name should. */
	uint32_t at = i < parse.prep->ntokens ? i : find_token(name, line);

	if (is_secret_near(at) && kind_at(at + 1) != '=' &&
	    strchr(name, ':') == NULL &&
	    !hint_unsupported(section_of(cfg), name))
		fixed_error(line, "found more text behind a secret; write the "
		    "whole value in quotes");
	else
		explain_unknown(section_of(cfg), name, i, line);
	parse.again = i < parse.prep->ntokens &&
	    prep_blank(parse.prep, i) == 0;
}

/* name and then no equals sign. */
static void
on_no_equals(const cfg_t *cfg, const char *name)
{
	uint32_t line = (uint32_t)cfg->line, i = find_token(name, line);
	enum opt_section section = section_of(cfg);
	const struct opt *opt = opt_find(section, name);
	char found[SHOWN_MAX * ESCAPE_GO_FACTOR + 8];
	char value[SHOWN_MAX * ESCAPE_GO_FACTOR + 8];

	/* A value may read like the name. */
	if (i > 0 && i < parse.prep->ntokens &&
	    prep_is(parse.prep, i - 1, name))
		i--;
	if (i + 1 >= parse.prep->ntokens)
		soft_error(line, "%s: expected '='", name);
	else if (opt != NULL && (opt->flags & OPT_SECRET))
		soft_error(parse.prep->tokens[i].line, "%s: expected '='; "
		    "write %s = \"...\"", name, name);
	else if (prep_is(parse.prep, i + 1, ":"))
		soft_error(parse.prep->tokens[i].line, "%s: found ':', "
		    "expected '='; write %s = %s", name, name,
		    value_at(i + 2, value));
	else
		soft_error(parse.prep->tokens[i].line, "%s: found \"%s\", "
		    "expected '='; write %s = %s", name, shown(i + 1, found),
		    name, value_at(i + 1, value));
}

/* A token that may not stand where it does. */
static void
on_unexpected(const cfg_t *cfg, const char *name)
{
	char found[SHOWN_MAX * ESCAPE_GO_FACTOR + 8];
	uint32_t line = (uint32_t)cfg->line, i = find_token(name, line);
	const char *expected = "an option", *hint = "";
	int before;

	if (i >= parse.prep->ntokens) {
		soft_error(line, "found something unexpected");
		return;
	}
	before = i > 0 ? kind_at(i - 1) : 0;
	if (before == '=' || before == PREP_APPEND) {
		expected = "a value";
		if (kind_at(i) == '{')
			hint = "; this option is no list";
	} else if (before == ',')
		expected = "a value or '}'";
	else if (kind_at(i) == PREP_WORD || kind_at(i) == PREP_STRING)
		expected = "',' or '}'";
	else if (i > 0 && *prep_text(parse.prep, i - 1) == '[')
		hint = "; lists are written {a, b}";
	else if (kind_at(i) == '=')
		hint = "; write a value that contains '=' in quotes";
	soft_error(line, "found \"%s\", expected %s%s",
	    is_secret_near(i) && kind_at(i) != '=' ? "..." : shown(i, found),
	    expected, hint);
}

/* The name that a message of the library has in quotes. */
static void
quoted_name(const char *text, char *name, size_t size)
{
	const char *from = strpbrk(text, "`'"), *to = strrchr(text, '\'');

	*name = '\0';
	if (from != NULL && to > from)
		snprintf(name, size, "%.*s", (int)(to - from - 1), from + 1);
}

/* Called by the library for the error that ends its parse. */
static void
on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	char text[2048], name[2048];
	uint32_t line = (uint32_t)cfg->line;

	if (parse.failed)
		return;
	parse.failed = true;
	vsnprintf(text, sizeof text, fmt, ap);
	quoted_name(text, name, sizeof name);
	if (strstr(fmt, "no such option") != NULL)
		on_unknown(cfg, name);
	else if (strstr(fmt, "missing equal sign") != NULL)
		on_no_equals(cfg, name);
	else if (strstr(fmt, "unexpected token") != NULL)
		on_unexpected(cfg, name);
	else if (strstr(fmt, "missing opening brace") != NULL)
		soft_error(line, "%s: expected '{'; write %s { ... } without "
		    "'=' or ':'", name, name);
	else if (strstr(fmt, "append to non-list") != NULL)
		soft_error(line, "%s: found \"+=\", expected '='; only lists "
		    "can be added to", name);
	else if (strstr(fmt, "premature end") != NULL)
		soft_error(line, "found the end of the file, expected the "
		    "rest of an option");
	else
		soft_error(line, "%s", text);
}

static cfg_opt_t
text_option(const char *name, bool list)
{
	cfg_opt_t one = CFG_STR_CB(0, 0, CFGF_NODEFAULT, on_value);
	cfg_opt_t many = CFG_STR_LIST_CB(0, 0, CFGF_NODEFAULT, on_value);

	if (list) {
		many.name = name;
		return many;
	}
	one.name = name;
	return one;
}

/* The library's table of a section; size has to hold all, and the end. */
static unsigned
make_options(enum opt_section section, cfg_opt_t *out)
{
	static const cfg_opt_t end = CFG_END();
	const struct opt *opt;
	unsigned n = 0;

	for (opt = opt_table; opt < opt_table + opt_count; opt++) {
		if (opt->section != section)
			continue;
		out[n++] = text_option(opt->name, opt->type == OPT_LISTEN);
		if (opt->alias != NULL)
			out[n++] = text_option(opt->alias,
			    opt->type == OPT_LISTEN);
	}
	out[n] = end;
	return n;
}

/*
 * The library has ended its parse without a word: a name was empty, or it had
 * no memory.  The line it has come to is known to the innermost section.
 */
static void
explain_silence(cfg_t *cfg)
{
	int line = cfg->line;
	cfg_t *auth;

	/* First, for the library complains when there is no section. */
	parse.failed = true;
	auth = cfg_getsec(cfg, "authorization");
	if (auth != NULL && auth->line > line)
		line = auth->line;
	soft_error((uint32_t)line, "found an empty name, expected an option");
}

/* One pass of the library over the text. */
static int
run_library(void)
{
	cfg_opt_t top[2 * CONF_OPTIONS_MAX + 2], auth[2 * CONF_OPTIONS_MAX + 2];
	cfg_opt_t section = CFG_SEC("authorization", auth, CFGF_NODEFAULT);
	static const cfg_opt_t end = CFG_END();
	cfg_t *cfg = NULL;
	FILE *fp = NULL;
	unsigned n;
	int rc = -1;

	make_options(OPT_AUTHORIZATION, auth);
	n = make_options(OPT_TOP, top);
	section.validcb = on_section;
	top[n] = section;
	top[n + 1] = end;
	if ((cfg = cfg_init(top, CFGF_NONE)) == NULL ||
	    (cfg->filename = strdup(prep_file(parse.prep, 1))) == NULL ||
	    (fp = fmemopen(parse.prep->text.data, parse.prep->text.len,
		"r")) == NULL)
		goto out;
	cfg_set_error_function(cfg, on_error);
	errno = 0;
	rc = cfg_parse_fp(cfg, fp) == CFG_SUCCESS ? 0 : -1;
	if (rc == -1 && errno == EINVAL && !parse.failed)
		explain_silence(cfg);
out:
	if (fp != NULL)
		fclose(fp);
	if (cfg != NULL)
		cfg_free(cfg);
	return rc;
}

int
schema_parse(struct prep *prep, struct report *report, struct draft *d)
{
	unsigned tries = 0;
	int rc = -1;

	memset(&parse, 0, sizeof parse);
	parse.prep = prep;
	parse.fixed = report;
	parse.draft = d;
	do {
		report_fini(&parse.soft);
		opt_defaults(d);
		parse.auth_line = 0;
		parse.again = false;
		parse.failed = false;
		rc = run_library();
	} while (parse.again && ++tries < UNKNOWN_MAX);
	if (rc == -1 && !parse.failed)
		report_add(report, false, 0, "%s: cannot be parsed: out of "
		    "memory", prep_file(prep, 1));
	report_move(report, &parse.soft);
	return rc;
}
