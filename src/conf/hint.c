/* SPDX-License-Identifier: BSD-2-Clause */
/* Help with names that are no option of natsd; used by the master. */
#include <config.h>

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "conf/hint.h"

#define NAME_MAX_LEN 40

/* Options of nats-server at the top level that natsd does not have. */
static const char *const unsupported_top[] = {
	"accounts", "allow_non_tls", "cluster", "cluster_advertise",
	"connect_error_reports", "control_socket", "default_js_domain",
	"default_sentinel", "disable_sublist_cache", "gateway", "gateways",
	"http", "http_base_path", "http_port", "https", "https_port",
	"jetstream", "jetstream_max_disk", "lame_duck_duration",
	"lame_duck_grace_period", "leafnodes", "leaf", "leafnode", "mappings",
	"maps", "max_closed_clients", "monitor_port", "mqtt", "no_auth_user",
	"no_sublist_cache", "no_sys_acc", "no_system", "no_system_account",
	"ocsp", "ocsp_cache", "operator", "operators", "prof_port", "profile",
	"prof_block_rate", "proxies", "proxy_protocol",
	"reconnect_error_reports", "remote_syslog", "resolver",
	"resolver_pinned_accounts", "resolver_preload", "resolver_tls", "root",
	"roots", "server_metadata", "server_tags", "store_dir",
	"strict_jetstream", "system", "system_account", "tls", "trace_headers",
	"trace_verbose", "trusted", "trusted_keys", "users", "websocket", "ws",
	"write_timeout",
};

/* The same in the section authorization. */
static const char *const unsupported_auth[] = {
	"auth_callout", "default_permission", "default_permissions", "nkey",
	"permissions", "proxy_required", "users",
};

bool
hint_unsupported(enum opt_section section, const char *name)
{
	const char *const *names = section == OPT_TOP ? unsupported_top :
	    unsupported_auth;
	size_t i, n = section == OPT_TOP ?
	    sizeof unsupported_top / sizeof unsupported_top[0] :
	    sizeof unsupported_auth / sizeof unsupported_auth[0];

	for (i = 0; i < n; i++)
		if (strcasecmp(names[i], name) == 0)
			return true;
	return false;
}

static size_t
min3(size_t a, size_t b, size_t c)
{
	size_t m = a < b ? a : b;

	return m < c ? m : c;
}

/* Letters to insert, delete, replace or swap to make b from a. */
static size_t
distance(const char *a, const char *b)
{
	size_t row[3][NAME_MAX_LEN + 1];
	size_t la = strlen(a), lb = strlen(b), i, j;
	size_t *two = row[0], *one = row[1], *cur = row[2], *swap;

	for (j = 0; j <= lb; j++)
		one[j] = j;
	for (i = 1; i <= la; i++) {
		cur[0] = i;
		for (j = 1; j <= lb; j++) {
			cur[j] = min3(one[j] + 1, cur[j - 1] + 1,
			    one[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1] && two[j - 2] + 1 < cur[j])
				cur[j] = two[j - 2] + 1;
		}
		swap = two;
		two = one;
		one = cur;
		cur = swap;
	}
	return one[lb];
}

/* Keeps `candidate` if it is nearer to name than *best_distance. */
static void
consider(const char *name, const char *candidate, const char **best,
    size_t *best_distance)
{
	size_t d;

	if (candidate == NULL)
		return;
	if (strcasecmp(name, candidate) == 0)
		d = 0;
	else
		d = distance(name, candidate);
	if (d < *best_distance) {
		*best = candidate;
		*best_distance = d;
	}
}

const char *
hint_similar(enum opt_section section, const char *name)
{
	const char *best = NULL;
	size_t len = strlen(name), best_distance;
	unsigned i;

	if (len == 0 || len > NAME_MAX_LEN)
		return NULL;
	/* A third of the letters may be wrong. */
	best_distance = len < 3 ? 1 : len / 3 + 1;
	for (i = 0; i < opt_count; i++) {
		if (opt_table[i].section != section)
			continue;
		consider(name, opt_table[i].name, &best, &best_distance);
		consider(name, opt_table[i].alias, &best, &best_distance);
	}
	if (section == OPT_TOP)
		consider(name, "authorization", &best, &best_distance);
	return best;
}
