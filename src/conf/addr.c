/* SPDX-License-Identifier: BSD-2-Clause */
/* Listen addresses; used by the master while it loads the configuration. */
#include <config.h>

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "conf/addr.h"

#include "base/fdutil.h"
#include "base/strnum.h"
#include "conf/opt.h"

static const char expected_address[] =
    "\"host:port\", \"[v6]:port\", \"port\" or \"unix:/path\"";
static const char expected_port[] =
    "a port from 1 to 65535, or -1 for a free one";
static const char expected_host[] = "a host name or an address";

static bool
parse_port(const char *text, int32_t *port)
{
	int64_t v;

	if (num_parse_i64(text, &v) == -1 || v < -1 || v > 65535)
		return false;
	*port = v == -1 ? 0 : (int32_t)v;
	return true;
}

/* An address of IPv6 without brackets, perhaps with a zone. */
static bool
is_ipv6(const char *host)
{
	char text[INET6_ADDRSTRLEN];
	size_t len = strcspn(host, "%");
	struct in6_addr in6;

	if (len >= sizeof text || strcmp(host + len, "%") == 0)
		return false;
	memcpy(text, host, len);
	text[len] = '\0';
	return inet_pton(AF_INET6, text, &in6) == 1;
}

static bool
is_name(const char *host)
{
	for (; *host != '\0'; host++)
		if (!isalnum((unsigned char)*host) &&
		    strchr("-._", *host) == NULL)
			return false;
	return true;
}

/* A host without brackets. */
static const char *
check_bare(const char *host)
{
	struct in_addr in;

	if (*host == '\0' || strlen(host) >= CONF_NAME_MAX)
		return expected_host;
	if (strchr(host, ':') != NULL)
		return is_ipv6(host) ? NULL : "an address of IPv6";
	if (strspn(host, "0123456789.") == strlen(host))
		return inet_pton(AF_INET, host, &in) == 1 ? NULL :
		    "an address of IPv4";
	return is_name(host) ? NULL : expected_host;
}

const char *
addr_check_host(const char *host)
{
	char bare[CONF_NAME_MAX];
	size_t len = strlen(host);

	if (*host != '[')
		return check_bare(host);
	if (len < 3 || host[len - 1] != ']' || len - 2 >= sizeof bare)
		return expected_host;
	memcpy(bare, host + 1, len - 2);
	bare[len - 2] = '\0';
	return is_ipv6(bare) ? NULL : "an address of IPv6";
}

/* Splits host:port at the last colon; *portp is NULL if there is none. */
static const char *
split(const char *text, char host[CONF_NAME_MAX], const char **portp)
{
	const char *colon = strrchr(text, ':');
	size_t len = strlen(text);

	*portp = NULL;
	if (colon != NULL && strchr(colon, ']') == NULL) {
		*portp = colon + 1;
		len = (size_t)(colon - text);
	}
	if (*text == '[' && len >= 2 && text[len - 1] == ']') {
		text++;
		len -= 2;
	} else if (memchr(text, ':', len) != NULL)
		return "an address of IPv6 in brackets, as in \"[::1]:4222\"";
	if (len >= CONF_NAME_MAX)
		return expected_host;
	memcpy(host, text, len);
	host[len] = '\0';
	return NULL;
}

static const char *
parse_unix(const char *path, struct conf_listen *out)
{
	if (*path != '/')
		return "an absolute path, as in \"unix:/run/natsd/nats\"";
	if (strlen(path) >= sizeof out->path)
		return "a path of at most 107 bytes";
	memset(out, 0, sizeof *out);
	out->kind = CONF_LISTEN_UNIX;
	strcpy(out->path, path);
	return NULL;
}

const char *
addr_parse(const char *text, struct conf_listen *out)
{
	struct conf_listen l;
	const char *port, *error;

	if (strncmp(text, "unix:", 5) == 0)
		return parse_unix(text + 5, out);
	if (*text == '\0')
		return expected_address;
	memset(&l, 0, sizeof l);
	l.kind = CONF_LISTEN_TCP;
	if (strspn(text, "-0123456789") == strlen(text)) {
		if (!parse_port(text, &l.port))
			return expected_port;
		*out = l;
		return NULL;
	}
	if ((error = split(text, l.host, &port)) != NULL)
		return error;
	if (port == NULL || *l.host == '\0')
		return expected_address;
	if (!parse_port(port, &l.port))
		return expected_port;
	if ((error = check_bare(l.host)) != NULL)
		return error;
	*out = l;
	return NULL;
}

const char *
addr_check_advertise(const char *text)
{
	char host[CONF_NAME_MAX];
	const char *port, *error;
	int32_t n;

	if (*text == '\0')
		return NULL;
	if ((error = split(text, host, &port)) != NULL ||
	    (error = check_bare(host)) != NULL)
		return error;
	if (port != NULL && (!parse_port(port, &n) || n == 0))
		return "host or host:port with a port from 1 to 65535";
	return NULL;
}

void
addr_format(const struct conf_listen *l, char *out, size_t outlen)
{
	if (l->kind == CONF_LISTEN_UNIX)
		snprintf(out, outlen, "unix:%s", l->path);
	else
		snprintf(out, outlen,
		    strchr(l->host, ':') != NULL ? "[%s]:%d" : "%s:%d",
		    l->host, (int)l->port);
}

bool
addr_equal(const struct conf_listen *a, const struct conf_listen *b)
{
	return a->kind == b->kind && a->port == b->port &&
	    strcmp(a->host, b->host) == 0 && strcmp(a->path, b->path) == 0;
}

/* Whether an address of this host can be bound at all. */
static bool
has_address(const struct in6_addr *address)
{
	struct sockaddr_in6 sin6;
	bool ok;
	int fd;

	if ((fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0)) == -1)
		return false;
	memset(&sin6, 0, sizeof sin6);
	sin6.sin6_family = AF_INET6;
	sin6.sin6_addr = *address;
	ok = bind(fd, (struct sockaddr *)&sin6, sizeof sin6) == 0;
	fd_close(&fd);
	return ok;
}

/* The list while it is made. */
struct list {
	struct conf_listen item[CONF_LISTEN_MAX];
	uint32_t n;
	bool full;
};

/* Adds a listener unless it is there already. */
static void
add(struct list *list, const struct conf_listen *l)
{
	uint32_t i;

	for (i = 0; i < list->n; i++)
		if (addr_equal(&list->item[i], l) &&
		    (l->kind == CONF_LISTEN_UNIX || l->port != 0))
			return;
	if (list->n == CONF_LISTEN_MAX) {
		list->full = true;
		return;
	}
	list->item[list->n++] = *l;
}

static void
add_host(struct list *list, const struct conf_listen *l, const char *host)
{
	struct conf_listen copy = *l;

	memset(copy.host, 0, sizeof copy.host);
	snprintf(copy.host, sizeof copy.host, "%s", host);
	add(list, &copy);
}

/* Adds a TCP listener; without a host, the address rule decides. */
static void
add_tcp(struct list *list, struct draft *d, const struct conf_listen *l)
{
	if (*l->host != '\0')
		add(list, l);
	else if (d->host_given)
		add_host(list, l, d->host);
	else if (d->conf.auth_required) {
		add_host(list, l, "0.0.0.0");
		if (has_address(&in6addr_any))
			add_host(list, l, "::");
	} else {
		/* Nobody said who may connect: those on this host. */
		d->conf.listen_defaulted = true;
		add_host(list, l, "127.0.0.1");
		if (has_address(&in6addr_loopback))
			add_host(list, l, "::1");
	}
}

/* The port of the first TCP listener of the file. */
static int32_t
first_port(const struct draft *d)
{
	uint32_t i;

	for (i = 0; i < d->conf.nlisten; i++)
		if (d->conf.listen[i].kind == CONF_LISTEN_TCP)
			return d->conf.listen[i].port;
	return d->port;
}

/* The host of the command line, without brackets. */
static void
override_host(struct draft *d, const char *addr)
{
	size_t len = strlen(addr);

	if (*addr == '[' && len > 2) {
		addr++;
		len -= 2;
	}
	memset(d->host, 0, sizeof d->host);
	snprintf(d->host, sizeof d->host, "%.*s", (int)len, addr);
	d->host_given = true;
}

bool
addr_resolve(struct draft *d, const struct conf_override *o)
{
	struct list list = { .n = 0 };
	struct conf_listen l;
	bool tcp = d->conf.nlisten == 0;
	uint32_t i;

	memset(&l, 0, sizeof l);
	l.kind = CONF_LISTEN_TCP;
	l.port = first_port(d);
	if (o->port != INT64_MIN) {
		l.port = o->port == -1 ? 0 : (int32_t)o->port;
		tcp = true;
	}
	if (o->addr != NULL) {
		override_host(d, o->addr);
		tcp = true;
	}
	for (i = 0; i < d->conf.nlisten; i++) {
		struct conf_listen *item = &d->conf.listen[i];

		if (item->kind == CONF_LISTEN_UNIX)
			add(&list, item);
		else if (o->addr == NULL) {
			if (o->port != INT64_MIN)
				item->port = l.port;
			add_tcp(&list, d, item);
			tcp = false;
		}
	}
	if (tcp)
		add_tcp(&list, d, &l);
	memset(d->conf.listen, 0, sizeof d->conf.listen);
	memcpy(d->conf.listen, list.item, list.n * sizeof list.item[0]);
	d->conf.nlisten = list.n;
	return !list.full;
}
