/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command line, from one table that --help prints too.  Not getopt: it
 * takes abbreviations, so that a flag added later changes what an old command
 * line means, and would need every letter declared twice.
 */
#include <config.h>

#include <gnu/libc-version.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "master/options.h"

#include "base/mem.h"
#include "base/strnum.h"

#define CONFIG_PATH NATSD_SYSCONFDIR "/natsd/natsd.conf"
#define NAMES_MAX 3

enum kind {
	KIND_TEXT, /* const char * */
	KIND_SECRET, /* the same, overwritten in argv */
	KIND_PORT, /* int64_t, -1 to 65535 */
	KIND_COUNT, /* int64_t */
	KIND_WORKERS, /* int64_t, 0 to CONF_WORKERS_MAX */
	KIND_SIZE, /* int64_t, with a suffix */
	KIND_BOOL, /* bool */
	KIND_TRISTATE, /* int: -1 = not given */
	KIND_MODE, /* enum options_mode, value in `mode` */
	KIND_SPECIAL /* handled by name */
};

enum group { GROUP_SERVER, GROUP_PROCESS, GROUP_LOGGING, GROUP_AUTH,
	GROUP_COMMON, GROUP_COUNT };

static const char *const group_names[GROUP_COUNT] = {
	"Server", "Process", "Logging", "Authorization", "Common",
};

struct flag {
	const char *name[NAMES_MAX];
	const char *arg; /* NULL: boolean */
	const char *help;
	size_t off; /* of the member in struct options */
	enum kind kind;
	enum group group;
	enum options_mode mode;
};

#define AT(member) offsetof(struct options, member)
#define OVER(member) offsetof(struct options, over.member)

static const struct flag flags[] = {
	{ { "a", "addr", "net" }, "host",
	    "client listen address (default: see listen in natsd.conf)",
	    OVER(addr), KIND_TEXT, GROUP_SERVER, 0 },
	{ { "p", "port" }, "port",
	    "client port; -1 or 0 picks a free one (default: 4222)",
	    OVER(port), KIND_PORT, GROUP_SERVER, 0 },
	{ { "n", "name", "server_name" }, "name",
	    "server name (default: the server id)", OVER(server_name),
	    KIND_TEXT, GROUP_SERVER, 0 },
	{ { "client_advertise" }, "host:port",
	    "address told to clients instead of the listen address",
	    OVER(client_advertise), KIND_TEXT, GROUP_SERVER, 0 },
	{ { "ports_file_dir" }, "dir",
	    "write natsd_<pid>.ports there (default: none)",
	    OVER(ports_file_dir), KIND_TEXT, GROUP_SERVER, 0 },
	{ { "c", "config" }, "file",
	    "configuration file (default: see below)", AT(config), KIND_TEXT,
	    GROUP_SERVER, 0 },
	{ { "t" }, NULL, "test the configuration and exit", 0, KIND_MODE,
	    GROUP_SERVER, OPTIONS_TEST },
	{ { "q" }, NULL, "with -t: print errors only", AT(quiet), KIND_BOOL,
	    GROUP_SERVER, 0 },
	{ { "dump_config" }, NULL,
	    "print the effective configuration and exit", 0, KIND_MODE,
	    GROUP_SERVER, OPTIONS_DUMP },
	{ { "f", "foreground" }, NULL, "stay attached (default)", 0,
	    KIND_SPECIAL, GROUP_PROCESS, 0 },
	{ { "d", "daemonize" }, NULL,
	    "detach once the server is ready (default: off)", AT(daemonize),
	    KIND_BOOL, GROUP_PROCESS, 0 },
	{ { "w", "workers" }, "n",
	    "worker processes, 0 = one per usable CPU (default: 0)",
	    OVER(workers), KIND_WORKERS, GROUP_PROCESS, 0 },
	{ { "u", "run_as" }, "user[:group]",
	    "identity after start as root (default: natsd)", OVER(run_as),
	    KIND_TEXT, GROUP_PROCESS, 0 },
	{ { "P", "pid" }, "file", "pid file (default: none)",
	    OVER(pid_file), KIND_TEXT, GROUP_PROCESS, 0 },
	{ { "sl", "signal" }, "cmd[=pid|file]",
	    "signal a running natsd: reload reopen quit term stop",
	    AT(signal), KIND_TEXT, GROUP_PROCESS, 0 },
	{ { "l", "log" }, "file", "log to a file (default: stderr)",
	    OVER(log_file), KIND_TEXT, GROUP_LOGGING, 0 },
	{ { "s", "syslog" }, NULL, "log to syslog (default: off)",
	    OVER(syslog), KIND_TRISTATE, GROUP_LOGGING, 0 },
	{ { "T", "logtime" }, NULL, "time stamps in the log (default: on)",
	    OVER(logtime), KIND_TRISTATE, GROUP_LOGGING, 0 },
	{ { "logtime_utc" }, NULL, "time stamps in UTC (default: off)",
	    OVER(logtime_utc), KIND_TRISTATE, GROUP_LOGGING, 0 },
	{ { "D", "debug" }, NULL, "debug messages (default: off)",
	    OVER(debug), KIND_TRISTATE, GROUP_LOGGING, 0 },
	{ { "V", "trace" }, NULL, "trace the protocol (default: off)",
	    OVER(trace), KIND_TRISTATE, GROUP_LOGGING, 0 },
	{ { "DV" }, NULL, "debug and trace", 0, KIND_SPECIAL, GROUP_LOGGING,
	    0 },
	{ { "log_size_limit" }, "size",
	    "rotate the log file beyond this size (default: 0 = never)",
	    OVER(log_size_limit), KIND_SIZE, GROUP_LOGGING, 0 },
	{ { "max_traced_msg_len" }, "n",
	    "cut traced payloads (default: 0 = at 1024 bytes)",
	    OVER(max_traced_msg_len), KIND_COUNT, GROUP_LOGGING, 0 },
	{ { "user" }, "name", "user required of clients (default: none)",
	    OVER(user_pass_user), KIND_SECRET, GROUP_AUTH, 0 },
	{ { "pass" }, "password", "its password (default: none)",
	    OVER(user_pass_pass), KIND_SECRET, GROUP_AUTH, 0 },
	{ { "auth" }, "token", "token required of clients (default: none)",
	    OVER(auth_token), KIND_SECRET, GROUP_AUTH, 0 },
	{ { "h", "help" }, NULL, "print this text and exit", 0, KIND_MODE,
	    GROUP_COMMON, OPTIONS_HELP },
	{ { "v", "version" }, NULL,
	    "print the version and exit; twice: with details", 0, KIND_MODE,
	    GROUP_COMMON, OPTIONS_VERSION },
};

#define NFLAGS (sizeof flags / sizeof flags[0])

#define NO_MONITOR "there is no HTTP monitoring in this version"
#define NO_TLS "there is no TLS in this version"
#define NO_CLUSTER "there are no cluster routes in this version"
#define NO_JETSTREAM "JetStream is not part of natsd, a core broker"
#define NO_CONTROL "there is no control socket in this version"

/* Flags of nats-server, or planned ones, that are not carried. */
static const struct {
	const char *name, *why;
} refused[] = {
	{ "m", NO_MONITOR }, { "http_port", NO_MONITOR },
	{ "ms", NO_MONITOR }, { "https_port", NO_MONITOR },
	{ "r", "there is no remote syslog; use -s with the local one" },
	{ "remote_syslog",
	    "there is no remote syslog; use -s with the local one" },
	{ "VV", "there is no system account whose messages it would add; "
		"use -V" },
	{ "DVV", "there is no system account whose messages it would add; "
		 "use -DV" },
	{ "tls", NO_TLS }, { "tlscert", NO_TLS }, { "tlskey", NO_TLS },
	{ "tlsverify", NO_TLS }, { "tlscacert", NO_TLS },
	{ "help_tls", NO_TLS },
	{ "cluster", NO_CLUSTER }, { "cluster_listen", NO_CLUSTER },
	{ "cluster_name", NO_CLUSTER }, { "cluster_advertise", NO_CLUSTER },
	{ "routes", NO_CLUSTER }, { "no_advertise", NO_CLUSTER },
	{ "connect_retries", NO_CLUSTER },
	{ "js", NO_JETSTREAM }, { "jetstream", NO_JETSTREAM },
	{ "sd", NO_JETSTREAM }, { "store_dir", NO_JETSTREAM },
	{ "profile", "pprof is a tool for Go programs; use perf(1)" },
	{ "control", NO_CONTROL },
};

/* What is being parsed. */
struct parse {
	int argc;
	char **argv;
	int pos; /* next argument */
	struct options *o;
	char *err;
	size_t errlen;
};

static int __attribute__((format(printf, 2, 3)))
fail(struct parse *p, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p->err, p->errlen, fmt, ap);
	va_end(ap);
	return -1;
}

static bool
is_text(const struct flag *f)
{
	return f->kind == KIND_TEXT || f->kind == KIND_SECRET;
}

static const struct flag *
find_flag(const char *name, size_t len)
{
	const char *n;
	size_t i, j;

	for (i = 0; i < NFLAGS; i++) {
		for (j = 0; j < NAMES_MAX; j++) {
			n = flags[i].name[j];
			if (n != NULL && strlen(n) == len &&
			    memcmp(n, name, len) == 0)
				return &flags[i];
		}
	}
	return NULL;
}

static int
fail_unknown(struct parse *p, const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < sizeof refused / sizeof refused[0]; i++) {
		if (strlen(refused[i].name) == len &&
		    memcmp(refused[i].name, name, len) == 0)
			return fail(p, "flag -%s is not supported: %s",
			    refused[i].name, refused[i].why);
	}
	return fail(p, "unknown flag -%.*s", (int)len, name);
}

/* The spellings that Go's flag package takes; -1 for others. */
static int
parse_bool(const char *s)
{
	static const char *const yes[] = { "1", "t", "T", "true", "TRUE",
		"True" };
	static const char *const no[] = { "0", "f", "F", "false", "FALSE",
		"False" };
	size_t i;

	for (i = 0; i < sizeof yes / sizeof yes[0]; i++) {
		if (strcmp(s, yes[i]) == 0)
			return 1;
		if (strcmp(s, no[i]) == 0)
			return 0;
	}
	return -1;
}

static bool
in_range(enum kind kind, int64_t n)
{
	switch (kind) {
	case KIND_PORT:
		return n >= -1 && n <= 65535;
	case KIND_WORKERS:
		return n >= 0 && n <= CONF_WORKERS_MAX;
	default:
		return n >= 0 && n <= INT32_MAX;
	}
}

static int
set_number(struct parse *p, const struct flag *f, const char *value,
    int64_t *out)
{
	const char *name = f->name[0];
	uint64_t size;
	int64_t n;

	if (f->kind == KIND_SIZE) {
		if (num_parse_size(value, &size) == -1 || size > INT64_MAX)
			return fail(p, "invalid value \"%s\" for flag -%s: "
			    "not a size such as 1000 or 64MB", value, name);
		*out = (int64_t)size;
		return 0;
	}
	if (num_parse_i64(value, &n) == -1)
		return fail(p, "invalid value \"%s\" for flag -%s: not a "
		    "number", value, name);
	if (!in_range(f->kind, n))
		return fail(p, "invalid value \"%s\" for flag -%s: out of "
		    "range", value, name);
	*out = n;
	return 0;
}

static int
set_bool(struct parse *p, const struct flag *f, const char *value)
{
	struct options *o = p->o;
	char *member = (char *)o + f->off;
	int on = value == NULL ? 1 : parse_bool(value);

	if (on == -1)
		return fail(p, "invalid boolean value \"%s\" for flag -%s",
		    value, f->name[0]);
	if (f->kind == KIND_BOOL)
		*(bool *)member = on;
	else if (f->kind == KIND_TRISTATE)
		*(int *)member = on;
	else if (f->kind == KIND_MODE) {
		if (f->mode == OPTIONS_VERSION && on)
			o->version_count++;
		if (on && o->mode != OPTIONS_HELP)
			o->mode = f->mode;
	} else if (f->name[0][0] == 'f')
		o->daemonize = !on;
	else
		o->over.debug = o->over.trace = on;
	return 0;
}

static int
set_value(struct parse *p, const struct flag *f, char *value)
{
	char *member = (char *)p->o + f->off;

	if (!is_text(f))
		return set_number(p, f, value, (int64_t *)member);
	free(*(char **)member);
	*(char **)member = mem_strdup_or_die(value);
	if (f->kind == KIND_SECRET && *value != '\0') {
		explicit_bzero(value, strlen(value));
		value[0] = 'x';
	}
	return 0;
}

static int
parse_flag(struct parse *p, char *arg)
{
	char *name = arg + (arg[1] == '-' ? 2 : 1);
	size_t len = strcspn(name, "=");
	char *value = name[len] == '=' ? name + len + 1 : NULL;
	const struct flag *f;

	if (len == 0)
		return fail(p, "bad flag syntax: %s", arg);
	if ((f = find_flag(name, len)) == NULL)
		return fail_unknown(p, name, len);
	if (f->arg == NULL)
		return set_bool(p, f, value);
	if (value == NULL) {
		if (p->pos >= p->argc)
			return fail(p, "flag -%s needs an argument: <%s>",
			    f->name[0], f->arg);
		value = p->argv[p->pos++];
	}
	return set_value(p, f, value);
}

static int
parse_word(struct parse *p, const char *word)
{
	if (strcmp(word, "version") == 0) {
		p->o->version_count++;
		if (p->o->mode != OPTIONS_HELP)
			p->o->mode = OPTIONS_VERSION;
		return 0;
	}
	if (strcmp(word, "help") == 0) {
		p->o->mode = OPTIONS_HELP;
		return 0;
	}
	return fail(p, "unrecognized command: \"%s\"", word);
}

int
options_parse(int argc, char **argv, struct options *o, char *err,
    size_t errlen)
{
	struct parse p = { argc, argv, 1, o, err, errlen };
	bool words_only = false;
	char *arg;

	memset(o, 0, sizeof *o);
	conf_override_init(&o->over);
	while (p.pos < argc) {
		arg = argv[p.pos++];
		if (!words_only && strcmp(arg, "--") == 0)
			words_only = true;
		else if (!words_only && arg[0] == '-' && arg[1] != '\0') {
			if (parse_flag(&p, arg) == -1)
				return -1;
		} else if (parse_word(&p, arg) == -1)
			return -1;
	}
	if (o->signal != NULL && o->mode == OPTIONS_RUN)
		o->mode = OPTIONS_SIGNAL;
	return 0;
}

void
options_fini(struct options *o)
{
	char **member;
	size_t i;

	for (i = 0; i < NFLAGS; i++) {
		if (!is_text(&flags[i]))
			continue;
		member = (char **)((char *)o + flags[i].off);
		if (*member != NULL && flags[i].kind == KIND_SECRET)
			explicit_bzero(*member, strlen(*member));
		free(*member);
		*member = NULL;
	}
}

const char *
options_config_path(const struct options *o)
{
	if (o->config != NULL)
		return o->config;
	return access(CONFIG_PATH, F_OK) == 0 ? CONFIG_PATH : NULL;
}

static void
print_flag(FILE *out, const struct flag *f)
{
	char left[64];
	size_t i, n = 0;

	for (i = 0; i < NAMES_MAX && f->name[i] != NULL; i++)
		n += (size_t)snprintf(left + n, sizeof left - n, "%s%s%s",
		    i == 0 ? "" : ", ",
		    strlen(f->name[i]) > 2 ? "--" : "-", f->name[i]);
	if (f->arg != NULL)
		snprintf(left + n, sizeof left - n, " <%s>", f->arg);
	if (strlen(left) > 31)
		fprintf(out, "  %s\n  %-31s %s\n", left, "", f->help);
	else
		fprintf(out, "  %-31s %s\n", left, f->help);
}

void
options_print_help(FILE *out)
{
	size_t i;
	int g;

	fprintf(out, "Usage: natsd [options]\n");
	for (g = 0; g < GROUP_COUNT; g++) {
		fprintf(out, "\n%s:\n", group_names[g]);
		for (i = 0; i < NFLAGS; i++) {
			if ((int)flags[i].group == g)
				print_flag(out, &flags[i]);
		}
	}
	fprintf(out,
	    "\nThe command line wins over the configuration file, which is\n"
	    "%s unless -c names another.\n"
	    "See natsd(8), natsd.conf(5).\n", CONFIG_PATH);
}

#if defined __clang__
#define COMPILER "clang " __clang_version__
#elif defined __GNUC__
#define COMPILER "gcc " __VERSION__
#else
#define COMPILER "unknown"
#endif

void
options_print_version(FILE *out, bool details)
{
	fprintf(out, "natsd: v%s\n", PACKAGE_VERSION);
	if (!details)
		return;
	fprintf(out, "  compiler:   %s\n", COMPILER);
	fprintf(out, "  C library:  glibc %d.%d, running with %s\n",
	    __GLIBC__, __GLIBC_MINOR__, gnu_get_libc_version());
	fprintf(out, "  config:     %s\n", CONFIG_PATH);
	fprintf(out, "  features:   epoll, memfd zones, eventfd bells%s\n",
#if defined __SANITIZE_ADDRESS__
	    ", address sanitizer");
#else
	    "");
#endif
}
