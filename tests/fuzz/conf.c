/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzz target: natsd.conf, the whole way of conf_load().  The input is a few
 * files: a line "%%name" begins the next one; the first is natsd.conf.  They
 * lie in memory: nothing else can be included.  A refusal says why; what was
 * accepted can be dumped and read again without a difference.
 *
 * Linked with --wrap for fd_read_file, glob and globfree.
 */
#include <config.h>

#include <sys/mman.h>

#include <errno.h>
#include <fnmatch.h>
#include <glob.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "conf/conf.h"
#include "conf/snapshot.h"
#include "fuzz/fuzz.h"

#define FILES_MAX 8

struct file {
	struct fuzz_in name, text;
};

/* What one load said. */
struct verdict {
	unsigned errors, warnings;
	bool memory;
};

static struct file files[FILES_MAX];
static size_t nfiles;
/* A file that includes itself may be read very often. */
static unsigned reads;

int __wrap_fd_read_file(const char *path, size_t max, char **datap,
    size_t *lenp);
int __wrap_glob(const char *pattern, int flags,
    int (*errfn)(const char *, int), glob_t *found);
void __wrap_globfree(glob_t *found);

/* ---- files in memory ---------------------------------------------------- */

static bool
named(const struct file *f, const char *path)
{
	return strlen(path) == f->name.len &&
	    memcmp(path, f->name.p, f->name.len) == 0;
}

int
__wrap_fd_read_file(const char *path, size_t max, char **datap, size_t *lenp)
{
	size_t i;

	for (i = 0; i < nfiles && !named(&files[i], path); i++)
		;
	if (i == nfiles || ++reads > 64) {
		errno = ENOENT;
		return -1;
	}
	FUZZ_CHECK(files[i].text.len <= max);
	*lenp = files[i].text.len;
	*datap = fuzz_alloc(*lenp + 1);
	memcpy(*datap, files[i].text.p, *lenp);
	(*datap)[*lenp] = '\0';
	return 0;
}

int
__wrap_glob(const char *pattern, int flags, int (*errfn)(const char *, int),
    glob_t *found)
{
	char name[64];
	size_t i;

	(void)flags;
	(void)errfn;
	found->gl_pathc = 0;
	found->gl_pathv = calloc(FILES_MAX, sizeof *found->gl_pathv);
	FUZZ_CHECK(found->gl_pathv != NULL);
	for (i = 0; i < nfiles; i++) {
		if (files[i].name.len >= sizeof name)
			continue;
		memcpy(name, files[i].name.p, files[i].name.len);
		name[files[i].name.len] = '\0';
		if (strcmp(pattern, name) == 0 ||
		    fnmatch(pattern, name, FNM_PATHNAME) == 0)
			found->gl_pathv[found->gl_pathc++] = strdup(name);
	}
	return found->gl_pathc == 0 ? GLOB_NOMATCH : 0;
}

void
__wrap_globfree(glob_t *found)
{
	size_t i;

	for (i = 0; i < found->gl_pathc; i++)
		free(found->gl_pathv[i]);
	free(found->gl_pathv);
}

static void
take_files(struct fuzz_in in)
{
	static const uint8_t first[] = "natsd.conf";
	struct file *f = files;
	struct fuzz_in line;

	f->name.p = first;
	f->name.len = sizeof first - 1;
	f->text.p = in.p;
	f->text.len = 0;
	nfiles = 1;
	while (in.len > 0) {
		line = fuzz_until(&in, '\n');
		if (line.len > 2 && memcmp(line.p, "%%", 2) == 0 &&
		    nfiles < FILES_MAX) {
			f = &files[nfiles++];
			f->name.p = line.p + 2;
			f->name.len = line.len - 2;
			f->text.p = in.p;
			f->text.len = 0;
		} else
			f->text.len = (size_t)(in.p - f->text.p);
	}
	reads = 0;
}

/* ---- checks --------------------------------------------------------- */

/* The text itself, not one that shows an input. */
static bool
ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && strcmp(text + n - m, end) == 0;
}

static void
hear(void *ctx, bool warning, const char *text)
{
	struct verdict *v = ctx;

	FUZZ_CHECK(*text != '\0' && strchr(text, '\n') == NULL);
	v->errors += !warning;
	v->warnings += warning;
	v->memory = v->memory || strcmp(text, "out of memory") == 0 ||
	    ends_with(text, ": cannot be parsed: out of memory");
}

static bool
try(const char *path, struct conf *conf)
{
	struct verdict v = { 0, 0, false };
	int rc = conf_load(path, NULL, hear, &v, conf);

	FUZZ_CHECK((rc == 0) == (v.errors == 0));
	FUZZ_CHECK(!v.memory);
	return rc == 0;
}

static void
differ(void *ctx, const char *name, const char *oldv, const char *newv,
    bool restart, uint32_t line)
{
	(void)ctx;
	(void)restart;
	(void)line;
	/* What the dump does not tell cannot be the same again. */
	if (strcmp(oldv, "[REDACTED]") == 0 || strcmp(newv, "[REDACTED]") == 0)
		return;
	fprintf(stderr, "%s: \"%s\" was dumped, \"%s\" read\n", name, oldv,
	    newv);
	abort();
}

/* The dump of a configuration, as memory. */
static struct fuzz_in
dump(const struct conf *conf)
{
	int fd = memfd_create("dump", MFD_CLOEXEC);
	struct fuzz_in text;
	off_t len;

	FUZZ_CHECK(fd != -1 && conf_dump(conf, fd) == 0);
	len = lseek(fd, 0, SEEK_END);
	text.len = (size_t)len;
	text.p = fuzz_alloc(text.len);
	FUZZ_CHECK(pread(fd, (void *)(uintptr_t)text.p, text.len, 0) == len);
	close(fd);
	return text;
}

static void
check_dump(const struct conf *conf)
{
	static struct conf again;
	struct fuzz_in text = dump(conf);

	take_files(text);
	FUZZ_CHECK(try("natsd.conf", &again));
	conf_diff(conf, &again, differ, NULL);
	free((void *)(uintptr_t)text.p);
}

static void
check_snapshot(const struct conf *conf)
{
	static struct conf copy;
	uint64_t version = 0;
	int fd = snapshot_make(conf, 7);

	FUZZ_CHECK(fd != -1 && snapshot_read(fd, &copy, &version) == 0);
	FUZZ_CHECK(version == 7);
	FUZZ_CHECK(memcmp(conf, &copy, sizeof copy) == 0);
	close(fd);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	static struct conf conf;

	if (size > 8192)
		return 0;
	(void)setenv("A", "word", 1);
	(void)setenv("B", "two words \"\\", 1);
	take_files(in);
	if (!try("natsd.conf", &conf))
		return 0;
	check_snapshot(&conf);
	check_dump(&conf);
	return 0;
}
