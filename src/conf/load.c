/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a file and the command line to struct conf; used by the master at its
 * start and at each reload.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"

#include "base/sha256.h"
#include "conf/addr.h"
#include "conf/check.h"
#include "conf/opt.h"
#include "conf/prep.h"
#include "conf/report.h"
#include "conf/schema.h"

/* All that is known while one configuration is loaded. */
struct load {
	struct draft draft;
	struct prep prep;
	struct report report;
	const struct conf_override *o;
};

void
conf_override_init(struct conf_override *o)
{
	memset(o, 0, sizeof *o);
	o->port = INT64_MIN;
	o->workers = o->log_size_limit = o->max_traced_msg_len = -1;
	o->syslog = o->debug = o->trace = o->logtime = o->logtime_utc = -1;
}

/* Sets an option from the command line. */
static void
override(struct load *load, enum opt_section section, const char *name,
    const char *value)
{
	const struct opt *opt = opt_get(section, name);
	unsigned i = opt_index(opt);
	char err[1024];

	if (value == NULL)
		return;
	load->draft.given[i] = true;
	load->draft.bad[i] = false;
	load->draft.line[i] = 0;
	if (opt_set(opt, &load->draft, value, err, sizeof err) == 0)
		return;
	load->draft.bad[i] = true;
	report_add(&load->report, false, 0, "command line: %s: %s", name, err);
}

static void
override_number(struct load *load, const char *name, int64_t value)
{
	char text[32];

	if (value < 0)
		return;
	snprintf(text, sizeof text, "%lld", (long long)value);
	override(load, OPT_TOP, name, text);
}

static void
override_bool(struct load *load, const char *name, int value)
{
	if (value >= 0)
		override(load, OPT_TOP, name, value ? "on" : "off");
}

/* user[:group] */
static void
override_identity(struct load *load, const char *run_as)
{
	const char *colon;
	char *user;

	if (run_as == NULL)
		return;
	colon = strchr(run_as, ':');
	if ((user = strndup(run_as, strcspn(run_as, ":"))) == NULL) {
		report_add(&load->report, false, 0, "out of memory");
		return;
	}
	override(load, OPT_TOP, "user", user);
	/* Without a group, that of the user, not one of the file. */
	override(load, OPT_TOP, "group", colon == NULL ? "" : colon + 1);
	free(user);
}

/* Credentials of the command line replace those of the file. */
static void
override_authorization(struct load *load)
{
	static const char *const names[] = { "user", "password", "token" };
	const struct conf_override *o = load->o;
	struct conf *conf = &load->draft.conf;
	size_t i;

	if (o->user_pass_user == NULL && o->user_pass_pass == NULL &&
	    o->auth_token == NULL)
		return;
	memset(conf->auth_user, 0, sizeof conf->auth_user);
	memset(conf->auth_password, 0, sizeof conf->auth_password);
	memset(conf->auth_token, 0, sizeof conf->auth_token);
	for (i = 0; i < sizeof names / sizeof names[0]; i++) {
		unsigned k = opt_index(opt_get(OPT_AUTHORIZATION, names[i]));

		load->draft.line[k] = 0;
		load->draft.bad[k] = false;
	}
	override(load, OPT_AUTHORIZATION, "user", o->user_pass_user);
	override(load, OPT_AUTHORIZATION, "password", o->user_pass_pass);
	override(load, OPT_AUTHORIZATION, "token", o->auth_token);
}

static void
override_listen(struct load *load)
{
	const struct conf_override *o = load->o;
	const char *expected;

	if (o->addr != NULL && (expected = addr_check_host(o->addr)) != NULL)
		report_add(&load->report, false, 0, "command line: addr: "
		    "found \"%s\", expected %s", o->addr, expected);
	if (o->port != INT64_MIN && (o->port < -1 || o->port > 65535))
		report_add(&load->report, false, 0, "command line: port: "
		    "found %lld, expected a port from 1 to 65535, or -1 for a "
		    "free one", (long long)o->port);
}

static void
override_all(struct load *load)
{
	const struct conf_override *o = load->o;

	override_listen(load);
	override(load, OPT_TOP, "server_name", o->server_name);
	override(load, OPT_TOP, "pid_file", o->pid_file);
	override(load, OPT_TOP, "client_advertise", o->client_advertise);
	override(load, OPT_TOP, "ports_file_dir", o->ports_file_dir);
	override(load, OPT_TOP, "log_file", o->log_file);
	override_number(load, "workers", o->workers);
	override_number(load, "logfile_size_limit", o->log_size_limit);
	override_number(load, "max_traced_msg_len", o->max_traced_msg_len);
	override_bool(load, "syslog", o->syslog);
	override_bool(load, "debug", o->debug);
	override_bool(load, "trace", o->trace);
	override_bool(load, "logtime", o->logtime);
	override_bool(load, "logtime_utc", o->logtime_utc);
	override_identity(load, o->run_as);
	override_authorization(load);
}

/* What follows from the options. */
static void
derive(struct load *load)
{
	struct draft *d = &load->draft;
	struct conf *conf = &d->conf;
	unsigned i, group = opt_index(opt_get(OPT_TOP, "group"));

	conf->auth_required = *conf->auth_user != '\0' ||
	    *conf->auth_token != '\0';
	conf->user_given = d->given[opt_index(opt_get(OPT_TOP, "user"))];
	if (conf->user_given && !d->given[group])
		memset(conf->group, 0, sizeof conf->group);
	conf->log_target = *conf->log_file != '\0' ? CONF_LOG_FILE :
	    conf->log_syslog ? CONF_LOG_SYSLOG : CONF_LOG_STDERR;
	for (i = 0; i < opt_count; i++) {
		uint32_t line = d->line[i];

		/* A line means nothing without the name of another file. */
		if (line != 0 && load->prep.lines[line - 1].file == 0)
			conf->opt_line[i] = prep_line(&load->prep, line);
	}
	for (i = 0; i < conf->nlisten; i++)
		conf->listen[i].line = prep_line(&load->prep,
		    conf->listen[i].line);
	if (!addr_resolve(d, load->o))
		report_add(&load->report, false, 0, "listen: more than %d "
		    "addresses", CONF_LISTEN_MAX);
}

/* Reads the file; -1 if an error of syntax ended it. */
static int
load_file(struct load *load, const char *file)
{
	char hex[SHA256_HEX_LEN];
	struct conf *conf = &load->draft.conf;
	int rc;

	if (strlen(file) >= sizeof conf->file) {
		report_add(&load->report, false, 0, "%.64s...: the path is "
		    "too long", file);
		return -1;
	}
	if (prep_read(&load->prep, file, &load->report) == -1)
		return -1;
	/* Before the parse, which may blank what it does not know. */
	sha256_hex(load->prep.text.data, load->prep.text.len, hex);
	rc = schema_parse(&load->prep, &load->report, &load->draft);
	strcpy(conf->file, file);
	snprintf(conf->digest, sizeof conf->digest, "sha256:%s", hex);
	return rc;
}

int
conf_load(const char *file, const struct conf_override *o,
    conf_error_fn *fn, void *ctx, struct conf *conf)
{
	struct conf_override none;
	struct load *load;
	int rc = -1;

	if ((load = calloc(1, sizeof *load)) == NULL) {
		fn(ctx, false, "out of memory");
		return -1;
	}
	conf_override_init(&none);
	load->o = o == NULL ? &none : o;
	report_init(&load->report);
	if (file == NULL)
		opt_defaults(&load->draft);
	else if (load_file(load, file) == -1)
		goto out;
	override_all(load);
	derive(load);
	check_draft(&load->draft, file == NULL ? NULL : &load->prep,
	    &load->report);
	if (load->report.nerrors == 0) {
		memcpy(conf, &load->draft.conf, sizeof *conf);
		rc = 0;
	}
out:
	report_flush(&load->report, fn, ctx);
	report_fini(&load->report);
	prep_fini(&load->prep);
	free(load);
	return rc;
}
