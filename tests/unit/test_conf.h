/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of src/conf share: a scratch folder, files, a loader. */
#ifndef UNIT_TEST_CONF_H
#define UNIT_TEST_CONF_H

#include <check.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/conf.h"

/* All errors and warnings of the last load, a line each. */
static char said[256 << 10];
static unsigned nsaid, nwarned;
static struct conf conf;
static char scratch_dir[64];

static inline void
collect(void *ctx, bool warning, const char *text)
{
	size_t len = strlen(said);

	(void)ctx;
	nsaid++;
	nwarned += warning;
	snprintf(said + len, sizeof said - len, "%s%s\n",
	    warning ? "warning: " : "", text);
}

/* A fixture: every test works in a folder of its own. */
static inline void
enter_scratch(void)
{
	strcpy(scratch_dir, "/tmp/natsd-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(scratch_dir));
	ck_assert_int_eq(chdir(scratch_dir), 0);
}

static inline int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void
leave_scratch(void)
{
	ck_assert_int_eq(chdir("/"), 0);
	ck_assert_int_eq(nftw(scratch_dir, remove_one, 8,
	    FTW_DEPTH | FTW_PHYS), 0);
}

static inline void
write_bytes(const char *path, const void *p, size_t len)
{
	FILE *fp = fopen(path, "w");

	ck_assert_ptr_nonnull(fp);
	ck_assert_uint_eq(fwrite(p, 1, len, fp), len);
	ck_assert_int_eq(fclose(fp), 0);
}

/* Loads that text as c.conf, with that command line (or NULL). */
static inline int
load_with(const char *text, const struct conf_override *o)
{
	said[0] = '\0';
	nsaid = nwarned = 0;
	write_bytes("c.conf", text, strlen(text));
	return conf_load("c.conf", o, collect, NULL, &conf);
}

static inline int
load(const char *text)
{
	return load_with(text, NULL);
}

#define ck_loads(text) \
	ck_assert_msg(load(text) == 0, "%s\nrefused: %s", text, said)

#endif
