/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pass over the text of natsd.conf that comes before libconfuse: reads
 * the file and what it includes into one text without comments, checks what
 * the library would get wrong, and keeps for every line of that text its
 * place in the files.  The tokens are kept too, for good error texts.
 */
#ifndef CONF_PREP_H
#define CONF_PREP_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct report;

/* Largest file, and largest text after all includes. */
#define PREP_SIZE_MAX (16 << 20)
/* Deepest nesting of include(); the first file has depth 0. */
#define PREP_DEPTH_MAX 10
/* Most files that one configuration may be made of. */
#define PREP_FILES_MAX 4096

enum prep_kind {
	PREP_WORD = 'w',   /* without quotes */
	PREP_STRING = 's', /* with quotes, len counts them */
	PREP_APPEND = '+', /* += ; others: the character itself */
};

struct prep_token {
	uint32_t pos, len; /* in prep.text */
	uint32_t line;	   /* of prep.text, from 1 */
	int kind;	   /* enum prep_kind or one of = { } ( ) , */
};

struct prep_line {
	uint32_t file; /* index into prep.files */
	uint32_t line;
};

struct prep {
	struct buf text; /* ends with a newline */
	struct prep_token *tokens;
	uint32_t ntokens, cap_tokens;
	struct prep_line *lines; /* [0] is line 1 of the text */
	uint32_t nlines, cap_lines;
	char **files;
	uint32_t nfiles, cap_files;
};

/*
 * Reads `path` and all it includes.  0, or -1 after at least one error was
 * added to `report`.  In both cases prep_fini() has to follow.
 */
int prep_read(struct prep *prep, const char *path, struct report *report);
void prep_fini(struct prep *prep);

/* File and line of a line of the text; never fails. */
const char *prep_file(const struct prep *prep, uint32_t line);
uint32_t prep_line(const struct prep *prep, uint32_t line);

/* The text of token i (not terminated); whether it equals s. */
const char *prep_text(const struct prep *prep, uint32_t i);
int prep_is(const struct prep *prep, uint32_t i, const char *s);

/*
 * Blanks the statement whose name is token i (name = value, name = {list},
 * name [title] {section}), so that a parser no longer sees it, keeping the
 * line breaks.  0, or -1 if no statement can be made out; nothing is changed
 * then.
 */
int prep_blank(struct prep *prep, uint32_t i);

#endif
