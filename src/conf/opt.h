/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of all options: name, type, range, default, place in struct conf,
 * and what a reload does with it.  Reading, printing, comparing and checking
 * a configuration all go through it.
 */
#ifndef CONF_OPT_H
#define CONF_OPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"

enum opt_type {
	OPT_STRING,
	OPT_BOOL,
	OPT_U32,  /* a count, read as a size */
	OPT_U64,  /* a size */
	OPT_MS,	  /* a duration, kept in milliseconds as uint64_t */
	OPT_CHOICE, /* one of the words, kept as its place, a uint32_t */
	OPT_HOST, /* kept in struct draft until the listeners are known */
	OPT_PORT,
	OPT_LISTEN, /* list */
};

enum opt_section { OPT_TOP, OPT_AUTHORIZATION };

enum opt_flag {
	OPT_RESTART = 1,    /* takes effect at a restart only */
	OPT_SECRET = 2,	    /* never shown */
	OPT_UNLIMITED = 4,  /* -1 is read as 0 */
	OPT_OFF = 8,	    /* 0 is allowed below the range */
	OPT_NOT_EMPTY = 16, /* the text must not be empty */
	OPT_BYTES = 32,	    /* OPT_U32 that counts bytes */
};

/* Checks a text of an option; NULL, or what was expected instead. */
typedef const char *opt_check_fn(const char *value);

struct opt {
	const char *name, *alias;
	enum opt_section section;
	enum opt_type type;
	unsigned flags;
	size_t off, size; /* in struct conf; size of texts, with NUL */
	uint64_t min, max;
	const char *def;
	opt_check_fn *check;
	const char *const *words; /* OPT_CHOICE, up to a NULL */
};

/* A configuration while it is read. */
struct draft {
	struct conf conf;
	char host[CONF_NAME_MAX];
	int32_t port;
	bool host_given, port_given;
	/* Per option of opt_table: given at all, and at which line of the
	 * text of conf/prep.h (0: default or command line). */
	bool given[CONF_OPTIONS_MAX];
	bool bad[CONF_OPTIONS_MAX]; /* its value was refused */
	uint32_t line[CONF_OPTIONS_MAX];
};

extern const struct opt opt_table[];
extern const unsigned opt_count;

/* The option of a section by name or alias, or NULL. */
const struct opt *opt_find(enum opt_section section, const char *name);
/* That option; it has to exist. */
const struct opt *opt_get(enum opt_section section, const char *name);
unsigned opt_index(const struct opt *opt);

/* All options at their defaults, nothing given. */
void opt_defaults(struct draft *d);

/*
 * Sets the option (adds to it, if it is a list) from text.  0, or -1 and a
 * text "found ..., expected ..." in err; *d is unchanged then.
 */
int opt_set(const struct opt *opt, struct draft *d, const char *value,
    char *err, size_t errlen);

/*
 * Writes the value as it stands in a file, without quotes: sizes in the
 * largest unit that keeps them whole, secrets as [REDACTED].  Not for
 * OPT_HOST, OPT_PORT and OPT_LISTEN.  The text is cut to outlen.
 */
void opt_format(const struct opt *opt, const struct conf *conf, char *out,
    size_t outlen);

/* Whether both have the same value; not for the three above. */
bool opt_equal(const struct opt *opt, const struct conf *a,
    const struct conf *b);

#endif
