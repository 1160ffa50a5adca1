/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of all options, and their values from and to text. */
#include <config.h>

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "conf/opt.h"

#include "base/escape.h"
#include "base/panic.h"
#include "base/strnum.h"
#include "conf/addr.h"

#define KB UINT64_C(1024)
#define MB (1024 * KB)
#define GB (1024 * MB)
#define TB (1024 * GB)
#define DAY_MS (UINT64_C(86400) * 1000)

static opt_check_fn check_name, check_host, check_secret, check_facility;
static opt_check_fn check_path;

#define AT(field) offsetof(struct conf, field), \
	sizeof(((struct conf *)NULL)->field)
#define STRING(name, alias, field, flags, def, check) \
	{ name, alias, OPT_TOP, OPT_STRING, flags, AT(field), 0, 0, def, check, \
	    NULL }
#define BOOL(name, alias, field, flags, def) \
	{ name, alias, OPT_TOP, OPT_BOOL, flags, AT(field), 0, 1, def, NULL, \
	    NULL }
#define U32(name, alias, field, flags, min, max, def) \
	{ name, alias, OPT_TOP, OPT_U32, flags, AT(field), min, max, def, \
	    NULL, NULL }
#define U64(name, alias, field, flags, min, max, def) \
	{ name, alias, OPT_TOP, OPT_U64, flags, AT(field), min, max, def, \
	    NULL, NULL }
#define MS(name, field, flags, min, max, def) \
	{ name, NULL, OPT_TOP, OPT_MS, flags, AT(field), min, max, def, \
	    NULL, NULL }
#define SECRET(name, alias, field, flags) \
	{ name, alias, OPT_AUTHORIZATION, OPT_STRING, \
	    OPT_NOT_EMPTY | (flags), AT(field), 0, 0, "", check_secret, NULL }
#define CHOICE(name, field, flags, words, def) \
	{ name, NULL, OPT_TOP, OPT_CHOICE, flags, AT(field), 0, 0, def, NULL, \
	    words }

/* As in enum conf_slow. */
static const char *const slow_words[] = { "close", "drop_newest",
	"drop_oldest", NULL };

/* In the order in which --dump_config prints them. */
const struct opt opt_table[] = {
	/* process */
	STRING("user", NULL, user, OPT_RESTART | OPT_NOT_EMPTY, "natsd",
	    check_name),
	STRING("group", NULL, group, OPT_RESTART, "natsd", check_name),
	U32("workers", NULL, workers, OPT_RESTART, 0, CONF_WORKERS_MAX, "0"),
	U64("ring_memory", NULL, ring_memory, OPT_RESTART, 64 * KB, 64 * GB,
	    "256MB"),
	U64("index_memory", NULL, index_memory, OPT_RESTART, MB, TB, "1GB"),
	U64("memory_max", NULL, memory_max, 0, MB, 16 * TB, "1GB"),
	MS("watchdog", watchdog_ms, OPT_OFF, 100, DAY_MS, "10s"),
	U32("worker_rlimit_nofile", NULL, worker_rlimit_nofile,
	    OPT_RESTART | OPT_OFF, 64, 1 << 30, "0"),
	U32("listen_backlog", NULL, listen_backlog, OPT_RESTART, 1, INT32_MAX,
	    "4096"),
	STRING("pid_file", "pidfile", pid_file, OPT_RESTART, "", check_path),
	STRING("ports_file_dir", NULL, ports_file_dir, 0, "", check_path),
	BOOL("core_dumps", NULL, core_dumps, OPT_RESTART, "off"),
	/* identity and listeners */
	STRING("server_name", NULL, server_name, OPT_RESTART, "", check_name),
	STRING("client_advertise", NULL, client_advertise, 0, "",
	    addr_check_advertise),
	{ "listen", NULL, OPT_TOP, OPT_LISTEN, OPT_RESTART, 0, 0, 0, 0, NULL,
	    NULL, NULL },
	{ "host", "net", OPT_TOP, OPT_HOST, OPT_RESTART, 0, 0, 0, 0, NULL,
	    check_host, NULL },
	{ "port", NULL, OPT_TOP, OPT_PORT, OPT_RESTART, 0, 0, 0, 65535, NULL,
	    NULL, NULL },
	/* limits */
	U32("max_connections", "max_conn", max_connections, OPT_UNLIMITED, 0,
	    INT32_MAX, "65536"),
	U32("max_subscriptions", "max_subs", max_subscriptions, OPT_UNLIMITED,
	    0, INT32_MAX, "0"),
	U32("max_subscription_tokens", "max_sub_tokens",
	    max_subscription_tokens, 0, 0, 255, "0"),
	U32("max_payload", NULL, max_payload, OPT_BYTES, 1, 64 * MB, "1MB"),
	U64("max_pending", NULL, max_pending, 0, 1, TB, "64MB"),
	U32("max_control_line", NULL, max_control_line, OPT_BYTES, 64, MB,
	    "4KB"),
	MS("ping_interval", ping_interval_ms, 0, 1, 3650 * DAY_MS, "2m"),
	U32("ping_max", NULL, ping_max, 0, 1, 1 << 30, "2"),
	MS("write_deadline", write_deadline_ms, 0, 1, DAY_MS, "10s"),
	BOOL("no_fast_producer_stall", NULL, no_fast_producer_stall, 0, "off"),
	CHOICE("slow_consumer", slow_consumer, 0, slow_words, "close"),
	BOOL("no_header_support", NULL, no_header_support, OPT_RESTART, "off"),
	/* logging */
	STRING("log_file", "logfile", log_file, 0, "", check_path),
	U64("logfile_size_limit", "log_size_limit", logfile_size_limit, 0, 0,
	    16 * TB, "0"),
	U32("logfile_max_num", "log_max_num", logfile_max_num, 0, 0, INT32_MAX,
	    "0"),
	BOOL("syslog", NULL, log_syslog, 0, "off"),
	STRING("syslog_facility", NULL, syslog_facility, 0, "daemon",
	    check_facility),
	BOOL("logtime", NULL, logtime, 0, "on"),
	BOOL("logtime_utc", NULL, logtime_utc, 0, "off"),
	BOOL("debug", NULL, debug, 0, "off"),
	BOOL("trace", NULL, trace, 0, "off"),
	U32("max_traced_msg_len", NULL, max_traced_msg_len, OPT_BYTES, 0,
	    INT32_MAX, "0"),
	/* authorization */
	SECRET("user", "username", auth_user, 0),
	SECRET("password", "pass", auth_password, OPT_SECRET),
	SECRET("token", NULL, auth_token, OPT_SECRET),
	{ "timeout", NULL, OPT_AUTHORIZATION, OPT_MS, 0, AT(auth_timeout_ms),
	    1, DAY_MS, "2s", NULL, NULL },
};
const unsigned opt_count = sizeof opt_table / sizeof opt_table[0];

_Static_assert(sizeof opt_table / sizeof opt_table[0] <= CONF_OPTIONS_MAX,
    "CONF_OPTIONS_MAX is too small");

/* Names that go into texts and into INFO: no spaces, nothing invisible. */
static const char *
check_name(const char *value)
{
	for (; *value != '\0'; value++)
		if (isspace((unsigned char)*value) ||
		    iscntrl((unsigned char)*value))
			return "a name without spaces";
	return NULL;
}

static const char *
check_path(const char *value)
{
	for (; *value != '\0'; value++)
		if (iscntrl((unsigned char)*value))
			return "a path without control characters";
	return NULL;
}

static const char *
check_host(const char *value)
{
	return *value == '\0' ? NULL : addr_check_host(value);
}

/* Hashes are for a later version; compared as text they would be a trap. */
static const char *
check_secret(const char *value)
{
	if (value[0] == '$' && value[1] == '2' &&
	    strchr("abxy", value[2]) != NULL && value[2] != '\0' &&
	    value[3] == '$')
		return "plain text: this version of natsd does not support "
		       "bcrypt hashes";
	return NULL;
}

static const char *
check_facility(const char *value)
{
	static const char names[][10] = { "auth", "authpriv", "cron", "daemon",
		"local0", "local1", "local2", "local3", "local4", "local5",
		"local6", "local7", "user" };
	size_t i;

	for (i = 0; i < sizeof names / sizeof names[0]; i++)
		if (strcmp(value, names[i]) == 0)
			return NULL;
	return "auth, authpriv, cron, daemon, local0 to local7 or user";
}

const struct opt *
opt_find(enum opt_section section, const char *name)
{
	const struct opt *opt;

	for (opt = opt_table; opt < opt_table + opt_count; opt++)
		if (opt->section == section &&
		    (strcmp(opt->name, name) == 0 ||
			(opt->alias != NULL && strcmp(opt->alias, name) == 0)))
			return opt;
	return NULL;
}

const struct opt *
opt_get(enum opt_section section, const char *name)
{
	const struct opt *opt = opt_find(section, name);

	ASSERT(opt != NULL);
	return opt;
}

unsigned
opt_index(const struct opt *opt)
{
	return (unsigned)(opt - opt_table);
}

void
opt_defaults(struct draft *d)
{
	char err[256];
	unsigned i;

	/* All bytes, padding too: snapshots are copies of the bytes. */
	memset(d, 0, sizeof *d);
	for (i = 0; i < opt_count; i++) {
		const struct opt *opt = &opt_table[i];

		if (opt->def == NULL || *opt->def == '\0')
			continue;
		if (opt_set(opt, d, opt->def, err, sizeof err) == -1)
			UNREACHED();
	}
	d->port = ADDR_PORT_DEFAULT;
}

static void *
field(const struct opt *opt, struct conf *conf)
{
	return (char *)conf + opt->off;
}

static const void *
field_const(const struct opt *opt, const struct conf *conf)
{
	return (const char *)conf + opt->off;
}

/* "found X, expected Y" with an X that is short, printable and no secret. */
static int
wrong(const struct opt *opt, const char *value, const char *expected,
    char *err, size_t errlen)
{
	size_t len = strlen(value), shown = len > 64 ? 64 : len;
	char text[64 * ESCAPE_GO_FACTOR + 1];
	const char *hint = "";

	if (opt->flags & OPT_SECRET) {
		snprintf(err, errlen, "expected %s", expected);
		return -1;
	}
	escape_go_quote(text, sizeof text, (const uint8_t *)value, shown);
	if (len > 0 && value[len - 1] == ';')
		hint = "; write no ';' at the end";
	else if (*value == '[' && opt->type != OPT_LISTEN)
		hint = "; lists are written {a, b}";
	snprintf(err, errlen, "found \"%s%s\", expected %s%s", text,
	    shown < len ? "..." : "", expected, hint);
	return -1;
}

/* Writes a size in the largest unit that keeps it whole. */
static void
format_size(uint64_t v, char *out, size_t outlen)
{
	static const char units[][3] = { "", "KB", "MB", "GB", "TB" };
	size_t i = 0;

	while (v != 0 && v % 1024 == 0 && i < 4) {
		v /= 1024;
		i++;
	}
	snprintf(out, outlen, "%llu%s", (unsigned long long)v, units[i]);
}

static bool
is_bytes(const struct opt *opt)
{
	return opt->type == OPT_U64 || (opt->flags & OPT_BYTES) != 0;
}

static void
format_number(const struct opt *opt, uint64_t v, char *out, size_t outlen)
{
	if (opt->type == OPT_MS)
		num_format_duration(out, outlen, v * 1000000);
	else if (is_bytes(opt))
		format_size(v, out, outlen);
	else
		snprintf(out, outlen, "%llu", (unsigned long long)v);
}

/* What a number of this option looks like and from where to where it goes. */
static int
wrong_number(const struct opt *opt, const char *value, char *err,
    size_t errlen)
{
	char expected[192], min[NUM_DURATION_MAX], max[NUM_DURATION_MAX];
	const char *what = opt->type == OPT_MS ? "a duration such as 10s" :
	    is_bytes(opt) ? "a size such as 64KB" : "a number";

	format_number(opt, opt->min, min, sizeof min);
	format_number(opt, opt->max, max, sizeof max);
	snprintf(expected, sizeof expected, "%s from %s to %s%s%s", what, min,
	    max, opt->flags & OPT_OFF ? ", or 0" : "",
	    opt->flags & OPT_UNLIMITED ? ", or -1" : "");
	return wrong(opt, value, expected, err, errlen);
}

/* Durations are kept in whole milliseconds, never as 0 unless they are. */
static int
parse_ms(const char *value, uint64_t *out)
{
	uint64_t ns;

	if (num_parse_duration_ns(value, &ns) == -1)
		return -1;
	*out = ns / 1000000 + (ns % 1000000 != 0);
	return 0;
}

static int
set_number(const struct opt *opt, struct draft *d, const char *value,
    char *err, size_t errlen)
{
	uint64_t v;
	int rc;

	if ((opt->flags & OPT_UNLIMITED) && strcmp(value, "-1") == 0) {
		v = 0;
		rc = 0;
	} else if (opt->type == OPT_MS)
		rc = parse_ms(value, &v);
	else
		rc = num_parse_size(value, &v);
	if (rc == -1 || v > opt->max ||
	    (v < opt->min && !(v == 0 && (opt->flags & OPT_OFF))))
		return wrong_number(opt, value, err, errlen);
	if (opt->type == OPT_U32)
		*(uint32_t *)field(opt, &d->conf) = (uint32_t)v;
	else
		*(uint64_t *)field(opt, &d->conf) = v;
	return 0;
}

static int
set_bool(const struct opt *opt, struct draft *d, const char *value, char *err,
    size_t errlen)
{
	static const char names[][6] = { "off", "on", "no", "yes", "false",
		"true" };
	size_t i;

	for (i = 0; i < sizeof names / sizeof names[0]; i++) {
		if (strcasecmp(value, names[i]) == 0) {
			*(bool *)field(opt, &d->conf) = i % 2 == 1;
			return 0;
		}
	}
	return wrong(opt, value, "on or off (true, false, yes, no)", err,
	    errlen);
}

/* "a, b or c" */
static void
format_words(const struct opt *opt, char *out, size_t outlen)
{
	const char *const *word = opt->words;
	size_t len = 0;

	for (*out = '\0'; *word != NULL && len < outlen; word++)
		len += (size_t)snprintf(out + len, outlen - len, "%s%s",
		    word == opt->words ? "" : word[1] != NULL ? ", " : " or ",
		    *word);
}

static int
set_choice(const struct opt *opt, struct draft *d, const char *value,
    char *err, size_t errlen)
{
	char expected[192];
	uint32_t i;

	for (i = 0; opt->words[i] != NULL; i++) {
		if (strcasecmp(value, opt->words[i]) == 0) {
			*(uint32_t *)field(opt, &d->conf) = i;
			return 0;
		}
	}
	format_words(opt, expected, sizeof expected);
	return wrong(opt, value, expected, err, errlen);
}

static int
set_string(const struct opt *opt, struct draft *d, const char *value,
    char *err, size_t errlen)
{
	const char *expected = opt->check == NULL ? NULL : opt->check(value);
	char text[64];

	if (*value == '\0' && (opt->flags & OPT_NOT_EMPTY))
		expected = "a text that is not empty";
	if (expected != NULL)
		return wrong(opt, value, expected, err, errlen);
	if (strlen(value) >= opt->size) {
		snprintf(text, sizeof text, "at most %zu bytes",
		    opt->size - 1);
		return wrong(opt, value, text, err, errlen);
	}
	memset(field(opt, &d->conf), 0, opt->size);
	strcpy(field(opt, &d->conf), value);
	return 0;
}

static int
set_host(const struct opt *opt, struct draft *d, const char *value, char *err,
    size_t errlen)
{
	const char *expected = opt->check(value);
	size_t len = strlen(value);

	if (expected != NULL)
		return wrong(opt, value, expected, err, errlen);
	/* An address of IPv6 may stand in brackets. */
	if (*value == '[' && len > 2) {
		value++;
		len -= 2;
	}
	memset(d->host, 0, sizeof d->host);
	memcpy(d->host, value, len);
	d->host_given = len > 0;
	return 0;
}

static int
set_port(const struct opt *opt, struct draft *d, const char *value, char *err,
    size_t errlen)
{
	int64_t v;

	if (num_parse_i64(value, &v) == -1 || v < -1 || v > (int64_t)opt->max)
		return wrong(opt, value, "a port from 1 to 65535, or -1 for a "
		    "free one", err, errlen);
	d->port = v == -1 ? 0 : (int32_t)v;
	d->port_given = true;
	return 0;
}

static int
add_listen(const struct opt *opt, struct draft *d, const char *value,
    char *err, size_t errlen)
{
	struct conf_listen l;
	const char *expected;
	char text[64];
	uint32_t i;

	memset(&l, 0, sizeof l);
	if (d->conf.nlisten == CONF_LISTEN_MAX) {
		snprintf(text, sizeof text, "at most %d addresses",
		    CONF_LISTEN_MAX);
		return wrong(opt, value, text, err, errlen);
	}
	if ((expected = addr_parse(value, &l)) != NULL)
		return wrong(opt, value, expected, err, errlen);
	for (i = 0; i < d->conf.nlisten; i++)
		if (addr_equal(&d->conf.listen[i], &l) &&
		    (l.kind == CONF_LISTEN_UNIX || l.port != 0))
			return wrong(opt, value, "each address only once", err,
			    errlen);
	d->conf.listen[d->conf.nlisten++] = l;
	return 0;
}

int
opt_set(const struct opt *opt, struct draft *d, const char *value, char *err,
    size_t errlen)
{
	switch (opt->type) {
	case OPT_STRING:
		return set_string(opt, d, value, err, errlen);
	case OPT_CHOICE:
		return set_choice(opt, d, value, err, errlen);
	case OPT_BOOL:
		return set_bool(opt, d, value, err, errlen);
	case OPT_U32:
	case OPT_U64:
	case OPT_MS:
		return set_number(opt, d, value, err, errlen);
	case OPT_HOST:
		return set_host(opt, d, value, err, errlen);
	case OPT_PORT:
		return set_port(opt, d, value, err, errlen);
	case OPT_LISTEN:
		return add_listen(opt, d, value, err, errlen);
	}
	UNREACHED();
}

void
opt_format(const struct opt *opt, const struct conf *conf, char *out,
    size_t outlen)
{
	const void *p = field_const(opt, conf);

	switch (opt->type) {
	case OPT_STRING:
		snprintf(out, outlen, "%s",
		    (opt->flags & OPT_SECRET) && *(const char *)p != '\0' ?
		    "[REDACTED]" : (const char *)p);
		return;
	case OPT_BOOL:
		snprintf(out, outlen, "%s", *(const bool *)p ? "on" : "off");
		return;
	case OPT_CHOICE:
		snprintf(out, outlen, "%s",
		    opt->words[*(const uint32_t *)p]);
		return;
	case OPT_U32:
		format_number(opt, *(const uint32_t *)p, out, outlen);
		return;
	case OPT_U64:
	case OPT_MS:
		format_number(opt, *(const uint64_t *)p, out, outlen);
		return;
	case OPT_HOST:
	case OPT_PORT:
	case OPT_LISTEN:
		break;
	}
	UNREACHED();
}

bool
opt_equal(const struct opt *opt, const struct conf *a, const struct conf *b)
{
	if (opt->type == OPT_STRING)
		return strcmp(field_const(opt, a), field_const(opt, b)) == 0;
	return memcmp(field_const(opt, a), field_const(opt, b), opt->size) ==
	    0;
}
