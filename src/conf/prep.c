/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pass before libconfuse (version 3.3 counts lines wrongly behind
 * comments, takes a truncated file for a whole one, drops an unquoted `*`,
 * turns unset variables into empty strings, loses include slots at errors and
 * ends the process when its file is a directory).  Used by the master.
 */
#include <config.h>

#include <ctype.h>
#include <errno.h>
#include <glob.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/prep.h"

#include "base/fdutil.h"
#include "conf/report.h"

#define BRACES_MAX 64
#define PATH_LEN_MAX 1024

/* One file while it is read. */
struct scan {
	struct prep *prep;
	struct report *report;
	uint32_t file; /* index into prep->files */
	uint32_t line; /* of *p, from 1 */
	int depth;     /* of includes */
	const char *p, *end;
	uint32_t nbraces;
	struct {
		char c;
		uint32_t line;
	} brace[BRACES_MAX];
};

static int scan_file(struct prep *prep, struct report *report, const char *path,
    int depth, const struct scan *parent);

/* Adds an error at line `line` of the file that is being read; -1. */
static int fail(const struct scan *scan, uint32_t line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static int
fail(const struct scan *scan, uint32_t line, const char *fmt, ...)
{
	char text[PATH_LEN_MAX + 512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	report_add(scan->report, false, scan->prep->nlines, "%s:%u: %s",
	    scan->prep->files[scan->file], line, text);
	return -1;
}

static int
fail_memory(struct report *report)
{
	report_add(report, false, 0, "out of memory");
	return -1;
}

/* Grows an array of elements of `size` bytes to hold one more than n. */
static int
grow(void **array, uint32_t n, uint32_t *cap, size_t size)
{
	uint32_t bigger = *cap == 0 ? 64 : *cap * 2;
	void *p;

	if (n < *cap)
		return 0;
	if ((p = reallocarray(*array, bigger, size)) == NULL)
		return -1;
	*array = p;
	*cap = bigger;
	return 0;
}

/* Notes that the text goes on with a line of that place. */
static int
push_line(struct prep *prep, uint32_t file, uint32_t line)
{
	if (grow((void **)&prep->lines, prep->nlines, &prep->cap_lines,
		sizeof *prep->lines) == -1)
		return -1;
	prep->lines[prep->nlines].file = file;
	prep->lines[prep->nlines++].line = line;
	return 0;
}

/* Copies n bytes at scan->p, without line breaks, to the text. */
static int
copy(struct scan *scan, size_t n)
{
	if (buf_append(&scan->prep->text, scan->p, n) == -1)
		return errno == ENOBUFS ?
		    fail(scan, scan->line, "more than %d MB of configuration",
			PREP_SIZE_MAX >> 20) :
		    fail_memory(scan->report);
	scan->p += n;
	return 0;
}

/* Ends a line of the text; the next one is line `line` of this file. */
static int
break_line(struct scan *scan, uint32_t line)
{
	if (buf_append(&scan->prep->text, "\n", 1) == -1 ||
	    push_line(scan->prep, scan->file, line) == -1)
		return errno == ENOBUFS ?
		    fail(scan, scan->line, "more than %d MB of configuration",
			PREP_SIZE_MAX >> 20) :
		    fail_memory(scan->report);
	return 0;
}

/* Takes the newline at scan->p over to the text. */
static int
take_newline(struct scan *scan)
{
	scan->p++;
	scan->line++;
	return break_line(scan, scan->line);
}

static size_t
left(const struct scan *scan)
{
	return (size_t)(scan->end - scan->p);
}

/* Appends a token of n bytes, which are the next to be copied. */
static int
push_token(struct scan *scan, int kind, size_t n)
{
	struct prep *prep = scan->prep;
	struct prep_token *token;

	if (grow((void **)&prep->tokens, prep->ntokens, &prep->cap_tokens,
		sizeof *prep->tokens) == -1)
		return fail_memory(scan->report);
	token = &prep->tokens[prep->ntokens++];
	token->pos = (uint32_t)prep->text.len;
	token->len = (uint32_t)n;
	token->line = prep->nlines;
	token->kind = kind;
	return 0;
}

/* Skips a comment that lasts to the end of the line. */
static void
skip_line_comment(struct scan *scan)
{
	while (scan->p < scan->end && *scan->p != '\n')
		scan->p++;
}

static int
skip_block_comment(struct scan *scan)
{
	uint32_t start = scan->line;

	for (scan->p += 2; left(scan) >= 2;) {
		if (scan->p[0] == '*' && scan->p[1] == '/') {
			scan->p += 2;
			/* What stands around it stays apart. */
			return buf_append(&scan->prep->text, " ", 1) == 0 ?
			    0 : fail_memory(scan->report);
		}
		if (*scan->p != '\n')
			scan->p++;
		else if (take_newline(scan) == -1)
			return -1;
	}
	return fail(scan, start,
	    "comment is not closed: found the end of the file, expected */");
}

/* Length of the ${...} at p, or 0 if it does not end on its line. */
static size_t
variable_len(const char *p, const char *end)
{
	const char *q;

	for (q = p; q < end && *q != '\n' && *q != '"'; q++)
		if (*q == '}')
			return (size_t)(q - p) + 1;
	return 0;
}

/*
 * Checks the ${NAME} or ${NAME:-default} at p; *lenp is its length.  A
 * variable that is not set is an error, but does not end the pass.
 */
static int
check_variable(struct scan *scan, const char *p, size_t *lenp)
{
	size_t len = variable_len(p, scan->end), n = 0;
	char name[128];

	if (len == 0)
		return fail(scan, scan->line,
		    "found \"${\" without a closing brace on its line, "
		    "expected ${NAME} or ${NAME:-default}");
	while (isalnum((unsigned char)p[2 + n]) || p[2 + n] == '_')
		n++;
	if (n == 0 || n >= sizeof name || isdigit((unsigned char)p[2]) ||
	    (p[2 + n] != '}' && strncmp(p + 2 + n, ":-", 2) != 0))
		return fail(scan, scan->line,
		    "found another form of \"${\", expected ${NAME} or "
		    "${NAME:-default}");
	memcpy(name, p + 2, n);
	name[n] = '\0';
	if (p[2 + n] == '}' && getenv(name) == NULL)
		fail(scan, scan->line,
		    "environment variable %s is not set; set it, or write "
		    "${%s:-default}",
		    name, name);
	*lenp = len;
	return 0;
}

/*
 * Checks the escape behind the backslash at p: octal and hexadecimal ones
 * must be of one byte and not NUL, which would end the value.  *lenp is the
 * length with the backslash.
 */
static int
check_escape(struct scan *scan, const char *p, size_t *lenp)
{
	size_t n = 1;
	char *stop;
	long v;

	if (isdigit((unsigned char)p[1])) {
		while (isdigit((unsigned char)p[n]))
			n++;
		v = strtol(p + 1, &stop, 8);
		if (n > 4 || stop != p + n || v == 0 || v > 0377)
			goto bad;
	} else if (p[1] == 'x') {
		for (n = 2; n < 4 && isxdigit((unsigned char)p[n]);)
			n++;
		if (n == 2 || strspn(p + 2, "0") >= n - 2)
			goto bad;
	} else
		n = 2;
	*lenp = n;
	return 0;
bad:
	return fail(scan, scan->line,
	    "found the escape %.*s in a string, expected an octal one from "
	    "\\1 to \\377 or a hexadecimal one from \\x01 to \\xff; write "
	    "\\\\ for a backslash",
	    n < 2 ? 2 : n > 16 ? 16 : (int)n, p);
}

/*
 * Takes over what is not plain in a quoted string: an escape, a continued
 * line, a variable.
 */
static int
take_special(struct scan *scan, char quote)
{
	size_t n = 1;

	if (*scan->p == '\\' && left(scan) >= 2) {
		if (scan->p[1] == '\n')
			return copy(scan, 1) == -1 ? -1 : take_newline(scan);
		n = 2;
		if (quote == '"' && check_escape(scan, scan->p, &n) == -1)
			return -1;
	} else if (quote == '"' && *scan->p == '$' && left(scan) >= 2 &&
	    scan->p[1] == '{') {
		if (check_variable(scan, scan->p, &n) == -1)
			return -1;
	}
	return copy(scan, n);
}

static int
take_string(struct scan *scan)
{
	uint32_t start = scan->line, token = scan->prep->ntokens;
	char quote = *scan->p;

	if (push_token(scan, PREP_STRING, 0) == -1 || copy(scan, 1) == -1)
		return -1;
	while (scan->p < scan->end && *scan->p != quote && *scan->p != '\n')
		if (take_special(scan, quote) == -1)
			return -1;
	if (scan->p == scan->end || *scan->p == '\n')
		return fail(scan, start,
		    "string is not closed: found the end of the line, "
		    "expected %c",
		    quote);
	if (copy(scan, 1) == -1)
		return -1;
	scan->prep->tokens[token].len = (uint32_t)scan->prep->text.len -
	    scan->prep->tokens[token].pos;
	return 0;
}

/* Why the character may not stand in an unquoted word, which may be secret. */
static int
fail_word(struct scan *scan, char c)
{
	if (c == '#')
		return fail(scan, scan->line,
		    "found '#' right behind a word; write the value in "
		    "quotes, or a space before the comment");
	if (c == '*' || c == '+' || c == '$')
		return fail(scan, scan->line,
		    "found '%c' outside of quotes; write the value in quotes",
		    c);
	if (c == '"' || c == '\'')
		return fail(scan, scan->line,
		    "found a quote right behind a word; write the whole "
		    "value in quotes");
	return fail(scan, scan->line,
	    "found the control character 0x%02x, expected text",
	    (unsigned char)c);
}

static bool
ends_word(char c)
{
	return strchr(" \t\n={}(),", c) != NULL;
}

static bool
bad_in_word(char c)
{
	return strchr("#*+\"'", c) != NULL || (unsigned char)c < ' ' ||
	    c == 0x7f;
}

static int
take_word(struct scan *scan)
{
	const char *q = scan->p;
	size_t n;

	if (*q == '$' && left(scan) >= 2 && q[1] == '{') {
		if (check_variable(scan, q, &n) == -1)
			return -1;
		q += n;
		if (q < scan->end && !ends_word(*q))
			return fail_word(scan, '$');
	}
	for (; q < scan->end && !ends_word(*q); q++) {
		if (bad_in_word(*q) && *scan->p != '[')
			return fail_word(scan, *q);
		if (bad_in_word(*q))
			break;
		if (*q == '$' && scan->end - q >= 2 && q[1] == '{')
			return fail_word(scan, *q);
	}
	n = (size_t)(q - scan->p);
	/* "[::1]:4222" is a word, "[a, b]" a list of nats-server. */
	if (*scan->p == '[' && (memchr(scan->p, ']', n) == NULL ||
		(q < scan->end && bad_in_word(*q))))
		return fail(scan, scan->line,
		    "found '[', expected a value; lists are written {a, b}");
	if (push_token(scan, PREP_WORD, n) == -1)
		return -1;
	return copy(scan, n);
}

static int
open_brace(struct scan *scan)
{
	if (scan->nbraces == BRACES_MAX)
		return fail(scan, scan->line, "braces are nested too deeply");
	scan->brace[scan->nbraces].c = *scan->p;
	scan->brace[scan->nbraces++].line = scan->line;
	return 0;
}

static int
close_brace(struct scan *scan)
{
	char want = *scan->p == '}' ? '{' : '(';
	uint32_t n = scan->nbraces;

	if (n == 0)
		return fail(scan, scan->line,
		    "found '%c' without an opening '%c'", *scan->p, want);
	if (scan->brace[n - 1].c != want)
		return fail(scan, scan->line,
		    "found '%c', expected the end of the '%c' of line %u",
		    *scan->p, scan->brace[n - 1].c, scan->brace[n - 1].line);
	scan->nbraces--;
	return 0;
}

static int
take_punct(struct scan *scan)
{
	if ((*scan->p == '{' || *scan->p == '(') && open_brace(scan) == -1)
		return -1;
	if ((*scan->p == '}' || *scan->p == ')') && close_brace(scan) == -1)
		return -1;
	if (push_token(scan, *scan->p, 1) == -1)
		return -1;
	return copy(scan, 1);
}

/*
 * Writes the string of the n bytes at p, with their quotes, to out: variables
 * replaced, backslashes gone.  -1 if it is too long.
 */
static int
unquote(const char *p, size_t n, char *out, size_t outlen)
{
	const char *end = p + n - 1, *value, *colon;
	char quote = *p, var[PATH_LEN_MAX];
	size_t len = 0, vlen;

	for (p++; p < end;) {
		value = p++;
		vlen = 1;
		if (*value == '\\' && p < end) {
			value = p++;
			/* The string goes on in the next line. */
			if (*value == '\n')
				continue;
		} else if (quote == '"' && *value == '$' && *p == '{') {
			vlen = (size_t)((char *)memchr(
					    p, '}', (size_t)(end - p)) -
				   p) -
			    1;
			if (vlen >= sizeof var)
				return -1;
			memcpy(var, p + 1, vlen);
			var[vlen] = '\0';
			p += vlen + 2;
			if ((colon = strchr(var, ':')) != NULL)
				var[colon - var] = '\0';
			value = getenv(var);
			if (value == NULL)
				value = colon == NULL ? "" : colon + 2;
			vlen = strlen(value);
		}
		if (len + vlen >= outlen)
			return -1;
		memcpy(out + len, value, vlen);
		len += vlen;
	}
	out[len] = '\0';
	return 0;
}

/* The path of an included file, relative to the file that names it. */
static int
include_path(struct scan *scan, const char *name, char out[PATH_LEN_MAX])
{
	const char *from = scan->prep->files[scan->file];
	const char *slash = strrchr(from, '/');
	int n;

	if (*name == '/' || slash == NULL)
		n = snprintf(out, PATH_LEN_MAX, "%s", name);
	else
		n = snprintf(out, PATH_LEN_MAX, "%.*s/%s", (int)(slash - from),
		    from, name);
	if (n < 0 || n >= PATH_LEN_MAX)
		return fail(scan, scan->line, "include: the path is too long");
	return 0;
}

static int
include_glob(struct scan *scan, const char *pattern)
{
	glob_t found;
	size_t i;
	int rc = 0, status;

	memset(&found, 0, sizeof found);
	status = glob(pattern, GLOB_ERR, NULL, &found);
	/* No folder, no files. */
	if (status == GLOB_NOSPACE)
		rc = fail_memory(scan->report);
	else if (status == GLOB_ABORTED && errno != ENOENT)
		rc = fail(scan, scan->line,
		    "include: cannot read the folder of %s: %s", pattern,
		    strerror(errno));
	else if (status == 0)
		for (i = 0; rc == 0 && i < found.gl_pathc; i++)
			rc = scan_file(scan->prep, scan->report,
			    found.gl_pathv[i], scan->depth + 1, scan);
	globfree(&found);
	return rc;
}

/*
 * Takes back the four tokens of include("name"), whose first is `first`, and
 * reads the files instead.
 */
static int
include(struct scan *scan, uint32_t first)
{
	const struct prep_token *t = scan->prep->tokens + first;
	char name[PATH_LEN_MAX], path[PATH_LEN_MAX];
	char *text = (char *)scan->prep->text.data;
	uint32_t line = scan->line;

	if (unquote(text + t[2].pos, t[2].len, name, sizeof name) == -1)
		return fail(scan, line, "include: the path is too long");
	if (*name == '\0')
		return fail(scan, line, "include: the path is empty");
	if (include_path(scan, name, path) == -1)
		return -1;
	/* The line breaks in the statement stay; its map is kept so. */
	for (text += t[0].pos;
	     text < (char *)scan->prep->text.data + scan->prep->text.len;
	     text++)
		if (*text != '\n')
			*text = ' ';
	scan->prep->ntokens = first;
	if (strpbrk(name, "*?[") != NULL) {
		if (include_glob(scan, path) == -1)
			return -1;
	} else if (scan_file(scan->prep, scan->report, path, scan->depth + 1,
		       scan) == -1)
		return -1;
	return break_line(scan, line);
}

/* After each token: whether it ended an include("name"). */
static int
maybe_include(struct scan *scan)
{
	struct prep *prep = scan->prep;
	uint32_t n = prep->ntokens;
	const struct prep_token *t;
	int before;

	if (n < 4)
		return 0;
	t = prep->tokens + n - 4;
	before = n > 4 ? t[-1].kind : 0;
	if (t[0].kind != PREP_WORD || !prep_is(prep, n - 4, "include") ||
	    t[1].kind != '(' || before == '=' || before == ',')
		return 0;
	if (t[2].kind != PREP_STRING || t[3].kind != ')')
		return fail(scan, scan->line,
		    "include: found %.*s, expected a file name in quotes; "
		    "write include(\"file\")",
		    (int)t[2].len, prep_text(prep, n - 2));
	return include(scan, n - 4);
}

/* Takes what stands at scan->p: white space, a comment or a token. */
static int
take_next(struct scan *scan)
{
	uint32_t before = scan->prep->ntokens;
	char c = *scan->p, next = left(scan) >= 2 ? scan->p[1] : '\0';
	int rc;

	if (c == '\n')
		return take_newline(scan);
	if (c == ' ' || c == '\t')
		return copy(scan, 1);
	if (c == '#' || (c == '/' && next == '/')) {
		skip_line_comment(scan);
		return 0;
	}
	if (c == '/' && next == '*')
		return skip_block_comment(scan);
	if (c == '"' || c == '\'') {
		rc = take_string(scan);
		if (rc == 0 && scan->p < scan->end && !ends_word(*scan->p) &&
		    *scan->p != '#' && *scan->p != '/')
			return fail(scan, scan->line,
			    "found text right behind a closing quote");
	} else if (c == '+' && next == '=')
		rc = push_token(scan, PREP_APPEND, 2) == -1 ? -1 :
							      copy(scan, 2);
	else if (strchr("={}(),", c) != NULL)
		rc = take_punct(scan);
	else
		rc = take_word(scan);
	if (rc == 0 && scan->prep->ntokens > before)
		rc = maybe_include(scan);
	return rc;
}

/* Takes the whole file and checks that nothing is left open. */
static int
scan_text(struct scan *scan)
{
	while (scan->p < scan->end)
		if (take_next(scan) == -1)
			return -1;
	if (scan->nbraces == 0)
		return break_line(scan, scan->line);
	return fail(scan, scan->brace[scan->nbraces - 1].line,
	    "'%c' is not closed: found the end of the file, expected '%c'",
	    scan->brace[scan->nbraces - 1].c,
	    scan->brace[scan->nbraces - 1].c == '{' ? '}' : ')');
}

/* Drops the byte order mark and the CR of CR LF; the new length. */
static size_t
normalize(char *data, size_t len)
{
	size_t i = 0, n = 0;

	if (len >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0)
		i = 3;
	for (; i < len; i++)
		if (data[i] != '\r' || i + 1 == len || data[i + 1] != '\n')
			data[n++] = data[i];
	data[n] = '\0';
	return n;
}

/* The reason why a file cannot be read, for errno. */
static const char *
read_error(int error)
{
	switch (error) {
	case EISDIR:
		return "it is a directory, expected a file";
	case EINVAL:
		return "it is not a regular file";
	case EFBIG:
		return "it is larger than 16 MB, or grows while it is read";
	default:
		return strerror(error);
	}
}

/* Reads one file; an error names the place of the include, if any. */
static int
read_file(struct report *report, const char *path, const struct scan *parent,
    char **datap, size_t *lenp)
{
	int error;

	if (fd_read_file(path, PREP_SIZE_MAX, datap, lenp) == 0)
		return 0;
	error = errno;
	if (parent == NULL)
		report_add(report, false, 0,
		    "%s: cannot read the configuration: %s",
		    path, read_error(error));
	else
		fail(parent, parent->line, "include: cannot read %s: %s", path,
		    read_error(error));
	return -1;
}

/* Enters a file into the list; its index or -1. */
static int64_t
add_file(struct prep *prep, const char *path)
{
	char *copied;

	if (grow((void **)&prep->files, prep->nfiles, &prep->cap_files,
		sizeof *prep->files) == -1 ||
	    (copied = strdup(path)) == NULL)
		return -1;
	prep->files[prep->nfiles] = copied;
	return prep->nfiles++;
}

static int
check_limits(const struct scan *parent)
{
	if (parent->depth == PREP_DEPTH_MAX)
		return fail(parent, parent->line,
		    "include: nested more than %d deep; does a file include "
		    "itself?",
		    PREP_DEPTH_MAX);
	if (parent->prep->nfiles == PREP_FILES_MAX)
		return fail(parent, parent->line, "include: more than %d files",
		    PREP_FILES_MAX);
	return 0;
}

static int
scan_file(struct prep *prep, struct report *report, const char *path, int depth,
    const struct scan *parent)
{
	struct scan scan = {
		.prep = prep, .report = report, .line = 1, .depth = depth
	};
	char *data = NULL, *nul;
	int64_t file;
	size_t len;
	int rc = -1;

	if (parent != NULL && check_limits(parent) == -1)
		return -1;
	if (read_file(report, path, parent, &data, &len) == -1)
		return -1;
	if ((file = add_file(prep, path)) == -1) {
		fail_memory(report);
		goto out;
	}
	scan.file = (uint32_t)file;
	if ((nul = memchr(data, '\0', len)) != NULL) {
		for (scan.p = data; scan.p < nul; scan.p++)
			scan.line += *scan.p == '\n';
		fail(&scan, scan.line, "found a NUL byte, expected text");
		goto out;
	}
	len = normalize(data, len);
	scan.p = data;
	scan.end = data + len;
	/* The text of an included file begins on a line of its own. */
	rc = parent == NULL ? push_line(prep, scan.file, 1) :
			      break_line(&scan, 1);
	if (rc == -1 && parent == NULL)
		fail_memory(report);
	if (rc == 0)
		rc = scan_text(&scan);
out:
	free(data);
	return rc;
}

int
prep_read(struct prep *prep, const char *path, struct report *report)
{
	uint32_t errors = report->nerrors;

	memset(prep, 0, sizeof *prep);
	buf_init(&prep->text, PREP_SIZE_MAX + 1024);
	if (scan_file(prep, report, path, 0, NULL) == -1)
		return -1;
	return report->nerrors == errors ? 0 : -1;
}

void
prep_fini(struct prep *prep)
{
	uint32_t i;

	for (i = 0; i < prep->nfiles; i++)
		free(prep->files[i]);
	free(prep->files);
	free(prep->lines);
	free(prep->tokens);
	buf_fini(&prep->text);
	memset(prep, 0, sizeof *prep);
}

const char *
prep_file(const struct prep *prep, uint32_t line)
{
	if (line == 0 || line > prep->nlines)
		return prep->nfiles > 0 ? prep->files[0] : "";
	return prep->files[prep->lines[line - 1].file];
}

uint32_t
prep_line(const struct prep *prep, uint32_t line)
{
	if (line == 0 || line > prep->nlines)
		return 0;
	return prep->lines[line - 1].line;
}

const char *
prep_text(const struct prep *prep, uint32_t i)
{
	return (const char *)prep->text.data + prep->tokens[i].pos;
}

int
prep_is(const struct prep *prep, uint32_t i, const char *s)
{
	const struct prep_token *token = &prep->tokens[i];

	return strlen(s) == token->len &&
	    memcmp(prep_text(prep, i), s, token->len) == 0;
}

/* The token behind the '{' at i and all up to its '}'; 0 if there is none. */
static uint32_t
skip_braces(const struct prep *prep, uint32_t i)
{
	uint32_t depth = 0;

	for (; i < prep->ntokens; i++) {
		if (prep->tokens[i].kind == '{')
			depth++;
		else if (prep->tokens[i].kind == '}' && --depth == 0)
			return i + 1;
	}
	return 0;
}

static int
kind_at(const struct prep *prep, uint32_t i)
{
	return i < prep->ntokens ? prep->tokens[i].kind : 0;
}

static bool
is_text(int kind)
{
	return kind == PREP_WORD || kind == PREP_STRING;
}

/* The token behind the statement whose name is token i; 0 if unclear. */
static uint32_t
statement_end(const struct prep *prep, uint32_t i)
{
	int next = kind_at(prep, i + 1);
	const char *name = prep_text(prep, i);

	if (next == '=' || next == PREP_APPEND) {
		if (kind_at(prep, i + 2) == '{')
			return skip_braces(prep, i + 2);
		return is_text(kind_at(prep, i + 2)) ? i + 3 : 0;
	}
	if (next == '{')
		return skip_braces(prep, i + 1);
	if (is_text(next) && kind_at(prep, i + 2) == '{')
		return skip_braces(prep, i + 2);
	/* key: value */
	if (is_text(next) && name[prep->tokens[i].len - 1] == ':')
		return i + 2;
	return 0;
}

int
prep_blank(struct prep *prep, uint32_t i)
{
	uint32_t end = statement_end(prep, i);
	char *p, *stop;

	if (end == 0)
		return -1;
	p = (char *)prep->text.data + prep->tokens[i].pos;
	stop = (char *)prep->text.data + prep->tokens[end - 1].pos +
	    prep->tokens[end - 1].len;
	for (; p < stop; p++)
		if (*p != '\n')
			*p = ' ';
	for (; i < end; i++)
		prep->tokens[i].kind = ' ';
	return 0;
}
