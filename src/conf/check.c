/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Checks of options against each other and against the host: all that a
 * start does before it binds.  Used by the master.
 */
#include <config.h>

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/check.h"

#include "conf/conf.h"
#include "conf/opt.h"
#include "conf/prep.h"
#include "conf/report.h"

/* As in shm/ring.h and master/zones.h: the rings of all ordered pairs of
 * slots, two spare ones included. */
#define RING_MIN (UINT64_C(64) << 10)
#define SPARE_SLOTS 2
/* Descriptors of a worker that are no clients, besides one per other slot. */
#define WORKER_FDS 64
#define PAYLOAD_NOTICE (8U << 20)
#define AUTH_TIMEOUT_NOTICE_MS 60000

/* What is checked, and how its places are found. */
struct check {
	const struct conf *conf;
	const struct draft *draft; /* or NULL */
	const struct prep *prep;   /* or NULL */
	struct report *report;
};

static void complain(const struct check *c, bool warning, const char *name,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* The option of that name; those of authorization begin with a dot. */
static const struct opt *
find(const char *name)
{
	return *name == '.' ? opt_get(OPT_AUTHORIZATION, name + 1) :
	    opt_get(OPT_TOP, name);
}

/* Adds an error or a warning about an option, with its place. */
static void
complain(const struct check *c, bool warning, const char *name,
    const char *fmt, ...)
{
	unsigned i = opt_index(find(name));
	uint32_t order = c->draft != NULL ? c->draft->line[i] : 0;
	uint32_t line = c->conf->opt_line[i];
	const char *file = c->conf->file;
	char place[CONF_PATH_MAX + 32], text[CONF_PATH_MAX + 512];
	va_list ap;

	if (c->prep != NULL && order != 0) {
		file = prep_file(c->prep, order);
		line = prep_line(c->prep, order);
	}
	if (line != 0)
		snprintf(place, sizeof place, "%s:%u: ", file, line);
	else
		snprintf(place, sizeof place, "%s%s", file,
		    *file == '\0' ? "" : ": ");
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	report_add(c->report, warning, order, "%s%s%s: %s", place,
	    *name == '.' ? "authorization" : "", name, text);
}

/* Whether an option has a value worth to be checked. */
static bool
is_good(const struct check *c, const char *name)
{
	return c->draft == NULL || !c->draft->bad[opt_index(find(name))];
}

static void
check_payload(const struct check *c)
{
	const struct conf *conf = c->conf;
	char payload[32], pending[32];

	if (!is_good(c, "max_payload"))
		return;
	if (conf->max_payload > PAYLOAD_NOTICE)
		complain(c, true, "max_payload", "Maximum payloads over 8.00 "
		    "MB are generally discouraged and could lead to poor "
		    "performance");
	if (!is_good(c, "max_pending") ||
	    conf->max_payload <= conf->max_pending)
		return;
	opt_format(find("max_payload"), conf, payload, sizeof payload);
	opt_format(find("max_pending"), conf, pending, sizeof pending);
	complain(c, false, "max_payload", "found %s, expected at most "
	    "max_pending, which is %s", payload, pending);
}

static void
check_authorization(const struct check *c)
{
	const struct conf *conf = c->conf;
	bool user = *conf->auth_user != '\0';
	bool password = *conf->auth_password != '\0';
	bool token = *conf->auth_token != '\0';

	if (token && (user || password))
		complain(c, false, ".token", "found together with a user or "
		    "password, expected only one of both");
	if (password && !user && is_good(c, ".user"))
		complain(c, false, ".password", "found without a user");
	if (user && !password && is_good(c, ".password"))
		complain(c, false, ".user", "found without a password");
	if (conf->auth_timeout_ms > AUTH_TIMEOUT_NOTICE_MS)
		complain(c, true, ".timeout", "over 60s: clients that never "
		    "log in are kept that long");
}

/* NULL if there is such a directory, else what is wrong with it. */
static const char *
directory_error(const char *path)
{
	struct stat st;

	if (stat(path, &st) == -1)
		return strerror(errno);
	return S_ISDIR(st.st_mode) ? NULL : strerror(ENOTDIR);
}

static void
check_directories(const struct check *c)
{
	const struct conf *conf = c->conf;
	char dir[CONF_PATH_MAX];
	const char *error;
	char *slash;

	if (*conf->ports_file_dir != '\0' &&
	    (error = directory_error(conf->ports_file_dir)) != NULL)
		complain(c, false, "ports_file_dir", "found \"%s\", expected a "
		    "directory: %s", conf->ports_file_dir, error);
	if (*conf->log_file == '\0')
		return;
	snprintf(dir, sizeof dir, "%s", conf->log_file);
	if ((slash = strrchr(dir, '/')) == NULL)
		strcpy(dir, ".");
	else
		slash[slash == dir] = '\0';
	if ((error = directory_error(dir)) != NULL)
		complain(c, false, "log_file", "found \"%s\", expected a file "
		    "in a directory that exists: %s", conf->log_file, error);
}

/* Only root changes its identity, so only then the names matter. */
static void
check_identity(const struct check *c)
{
	const struct conf *conf = c->conf;
	bool group_given = c->draft->given[opt_index(find("group"))];

	if (geteuid() != 0)
		return;
	if (conf->user_given && is_good(c, "user") &&
	    getpwnam(conf->user) == NULL)
		complain(c, false, "user", "found \"%s\", expected a user of "
		    "this host", conf->user);
	if (group_given && is_good(c, "group") && *conf->group != '\0' &&
	    getgrnam(conf->group) == NULL)
		complain(c, false, "group", "found \"%s\", expected a group of "
		    "this host", conf->group);
}

/* "found X, expected at least Y for N workers". */
static void
too_little(const struct check *c, const char *name, uint64_t needed,
    uint32_t n, const char *why)
{
	struct conf scratch = *c->conf;
	const struct opt *opt = find(name);
	char found[32], expected[32];
	uint64_t unit = needed > 16 << 20 ? 1 << 20 : 1 << 16;

	/* Whole megabytes read better than the exact figure, unless it is
	 * small: then in units of the smallest ring. */
	needed = (needed + unit - 1) / unit * unit;
	opt_format(opt, &scratch, found, sizeof found);
	memcpy((char *)&scratch + opt->off, &needed, sizeof needed);
	opt_format(opt, &scratch, expected, sizeof expected);
	complain(c, false, name, "found %s, expected at least %s for %u "
	    "worker%s (%s)", found, expected, n, n == 1 ? "" : "s", why);
}

static void
check_memory(const struct check *c, uint32_t n)
{
	const struct conf *conf = c->conf;
	uint64_t rings = (uint64_t)(n + SPARE_SLOTS) * (n + 1);
	uint64_t share = (uint64_t)conf->max_payload * 4 / 3 + 1;
	char why[96];

	if (is_good(c, "ring_memory") && conf->ring_memory < rings * RING_MIN) {
		snprintf(why, sizeof why, "%llu rings of at least 64KB",
		    (unsigned long long)rings);
		too_little(c, "ring_memory", rings * RING_MIN, n, why);
	}
	if (is_good(c, "memory_max") && is_good(c, "max_payload") &&
	    conf->memory_max < share * n)
		too_little(c, "memory_max", share * n, n,
		    "three quarters of each one's share have to hold a "
		    "message of max_payload");
}

static void
check_descriptors(const struct check *c, uint32_t n)
{
	const struct conf *conf = c->conf;
	uint64_t need = (conf->max_connections + n - 1) / n + WORKER_FDS + n;
	unsigned i = opt_index(find("max_connections"));
	struct rlimit rl;

	if (!is_good(c, "max_connections") || conf->max_connections == 0)
		return;
	if (conf->worker_rlimit_nofile != 0 &&
	    conf->worker_rlimit_nofile < need) {
		complain(c, true, "worker_rlimit_nofile", "found %u; "
		    "max_connections = %u needs %llu descriptors in each of "
		    "%u workers", conf->worker_rlimit_nofile,
		    conf->max_connections, (unsigned long long)need, n);
		return;
	}
	/* root may raise the limit; nobody has asked for the default */
	if (geteuid() == 0 || c->conf->opt_line[i] == 0 || getrlimit(RLIMIT_NOFILE, &rl) == -1 ||
	    rl.rlim_max == RLIM_INFINITY || rl.rlim_max >= need)
		return;
	complain(c, true, "max_connections", "found %u; this needs %llu "
	    "descriptors in each of %u workers, the limit (RLIMIT_NOFILE) is "
	    "%llu", conf->max_connections, (unsigned long long)need, n,
	    (unsigned long long)rl.rlim_max);
}

void
check_draft(const struct draft *d, const struct prep *prep,
    struct report *report)
{
	struct check c = { &d->conf, d, prep, report };

	check_payload(&c);
	check_authorization(&c);
	check_directories(&c);
	check_identity(&c);
	if (d->conf.workers != 0) {
		check_memory(&c, d->conf.workers);
		check_descriptors(&c, d->conf.workers);
	}
}

int
conf_check_workers(const struct conf *conf, uint32_t n, conf_error_fn *fn,
    void *ctx)
{
	struct report report;
	struct check c = { conf, NULL, NULL, &report };
	int rc;

	report_init(&report);
	check_memory(&c, n);
	check_descriptors(&c, n);
	rc = report.nerrors == 0 ? 0 : -1;
	report_flush(&report, fn, ctx);
	report_fini(&report);
	return rc;
}
