/* SPDX-License-Identifier: BSD-2-Clause */
/* The sum of natsd.conf(5), "Memory, all told"; in the master and for -t. */
#include <config.h>

#include <stdbool.h>
#include <stdio.h>

#include "master/bound.h"

#include "conf/conf.h"
#include "master/zones.h"

#define SIZE_MAX_TEXT 24

void
bound_compute(const struct conf *conf, uint32_t nworkers, struct bound *b)
{
	uint64_t n = nworkers, slots = n + ZONES_SPARE_SLOTS, need;
	uint64_t ring = zones_ring_size(conf, (uint32_t)slots, &need);

	b->rings = 2 * slots * (slots - 1) * ring;
	b->messages = conf->memory_max;
	b->subscriptions = n * conf->index_memory;
	/* With its control line; see ring_tx_max(). */
	b->large = conf->max_payload + conf->max_control_line > ring / 2 ?
	    n * (n - 1) * conf->max_payload : 0;
	b->connections = conf->max_connections * (uint64_t)BOUND_CONNECTION;
	b->processes = (n + 1) * BOUND_PROCESS;
	b->total = b->rings + b->messages + b->subscriptions + b->large +
	    b->connections + b->processes;
}

/* "1.5GB": rounded up in the last place, for it is a bound. */
static const char *
format_size(char text[SIZE_MAX_TEXT], uint64_t bytes)
{
	static const char *const units[] = { "KB", "MB", "GB", "TB", "PB" };
	uint64_t unit = 1024, tenths;
	size_t i = 0;

	while (i + 1 < sizeof units / sizeof units[0] && bytes / unit >= 1024) {
		unit *= 1024;
		i++;
	}
	tenths = bytes / unit * 10 + (bytes % unit * 10 + unit - 1) / unit;
	if (tenths % 10 == 0)
		snprintf(text, SIZE_MAX_TEXT, "%llu%s",
		    (unsigned long long)(tenths / 10), units[i]);
	else
		snprintf(text, SIZE_MAX_TEXT, "%llu.%u%s",
		    (unsigned long long)(tenths / 10),
		    (unsigned)(tenths % 10), units[i]);
	return text;
}

size_t
bound_format(const struct bound *b, char *out, size_t outlen)
{
	char s[7][SIZE_MAX_TEXT];
	bool large = b->large != 0; /* most configurations have none */
	int n;

	n = snprintf(out, outlen, "Memory:   at most %s: %s rings, "
	    "%s messages, %s subscriptions, %s%s%s connections%s, "
	    "%s programs", format_size(s[0], b->total),
	    format_size(s[1], b->rings), format_size(s[2], b->messages),
	    format_size(s[3], b->subscriptions),
	    large ? format_size(s[4], b->large) : "",
	    large ? " large messages, " : "",
	    format_size(s[5], b->connections != 0 ? b->connections :
		    BOUND_CONNECTION),
	    b->connections != 0 ? "" : " each, not counted",
	    format_size(s[6], b->processes));
	if (n < 0)
		return 0;
	return (size_t)n < outlen ? (size_t)n : outlen - 1;
}
