/* SPDX-License-Identifier: BSD-2-Clause */
/* Opens and closes the listening sockets; in the master. */
#include <config.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <netinet/in.h>

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "master/listen.h"

#include "base/fdutil.h"
#include "base/log.h"
#include "base/tcp.h"
#include "conf/conf.h"

#define SOCK_FLAGS (SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK)
#define UNIX_MODE 0666 /* who may connect is the folder's business */

/* What is being opened. */
struct opening {
	struct listen_set *set;
	const struct conf *conf;
	const struct conf_listen *cl;
	int picked_port; /* by the first listener with port 0 */
	int last_errno; /* why an address of a name could not be bound */
	char *err;
	size_t errlen;
};

static void
format_host_port(char *out, size_t outlen, const char *host, int port)
{
	snprintf(out, outlen, strchr(host, ':') != NULL ? "[%s]:%d" : "%s:%d",
	    host, port);
}

static int
fail(struct opening *o, const char *where, const char *reason)
{
	snprintf(o->err, o->errlen, "Error listening on port: %s, \"%s\"",
	    where, reason);
	return -1;
}

static int
fail_errno(struct opening *o, const char *where, int e)
{
	static const struct {
		int e;
		const char *text;
	} hints[] = {
		{ EACCES, "ports below 1024 need root or "
		    "CAP_NET_BIND_SERVICE" },
		{ EADDRNOTAVAIL, "no interface of this host has it" },
		{ EAFNOSUPPORT, "this host has no IPv6" },
		{ EINVAL, "a link-local address needs the zone of an "
		    "interface, as in [fe80::1%eth0]" },
	};
	char reason[160];
	size_t i;

	o->set->in_use = e == EADDRINUSE;
	for (i = 0; i < sizeof hints / sizeof hints[0]; i++) {
		if (hints[i].e != e || o->cl->kind != CONF_LISTEN_TCP)
			continue;
		snprintf(reason, sizeof reason, "%s: %s", strerror(e),
		    hints[i].text);
		return fail(o, where, reason);
	}
	return fail(o, where, strerror(e));
}

static int
set_option(int fd, int level, int name)
{
	int on = 1;

	return setsockopt(fd, level, name, &on, sizeof on);
}

/* The kernel gives a peer up when natsd would; connections inherit it. */
static void
set_timeouts(int fd, const struct conf *conf)
{
	tcp_set_options(fd, conf->ping_interval_ms, conf->ping_max,
	    conf->write_deadline_ms);
}

/* A bound and listening socket, or -1 with errno. */
static int
open_tcp(const struct conf *conf, const struct sockaddr *sa, socklen_t salen)
{
	int fd;

	if ((fd = socket(sa->sa_family, SOCK_FLAGS, 0)) == -1)
		return -1;
	if (set_option(fd, SOL_SOCKET, SO_REUSEADDR) == -1)
		goto fail;
	set_timeouts(fd, conf);
	if (sa->sa_family == AF_INET6 &&
	    set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY) == -1)
		goto fail;
	if (bind(fd, sa, salen) == -1 ||
	    listen(fd, (int)conf->listen_backlog) == -1)
		goto fail;
	return fd;
fail:
	fd_close(&fd);
	return -1;
}

static void
set_port(struct sockaddr_storage *ss, int port)
{
	if (ss->ss_family == AF_INET6)
		((struct sockaddr_in6 *)ss)->sin6_port =
		    htons((uint16_t)port);
	else
		((struct sockaddr_in *)ss)->sin_port = htons((uint16_t)port);
}

static int
get_port(const struct sockaddr_storage *ss)
{
	if (ss->ss_family == AF_INET6)
		return ntohs(((const struct sockaddr_in6 *)ss)->sin6_port);
	return ntohs(((const struct sockaddr_in *)ss)->sin_port);
}

/* Binds one address; several that pick their port pick the same. */
static int
open_address(struct opening *o, const struct addrinfo *ai)
{
	struct sockaddr_storage ss;
	int fd, port = o->cl->port > 0 ? o->cl->port : 0;

	memset(&ss, 0, sizeof ss);
	memcpy(&ss, ai->ai_addr, ai->ai_addrlen);
	if (port == 0 && o->picked_port != 0) {
		set_port(&ss, o->picked_port);
		fd = open_tcp(o->conf, (struct sockaddr *)&ss,
		    ai->ai_addrlen);
		if (fd != -1 || errno != EADDRINUSE)
			return fd;
	}
	set_port(&ss, port);
	return open_tcp(o->conf, (struct sockaddr *)&ss, ai->ai_addrlen);
}

/* Enters the socket into the set; 0, or -1 if its address is unknown. */
static int
add_tcp(struct opening *o, int fd)
{
	struct listener *l = &o->set->l[o->set->n];
	struct sockaddr_storage ss;
	socklen_t len = sizeof ss;

	memset(l, 0, sizeof *l);
	if (getsockname(fd, (struct sockaddr *)&ss, &len) == -1)
		return -1;
	if (getnameinfo((struct sockaddr *)&ss, len, l->host, sizeof l->host,
		NULL, 0, NI_NUMERICHOST) != 0) {
		errno = EINVAL;
		return -1;
	}
	l->fd = fd;
	l->port = get_port(&ss);
	format_host_port(l->text, sizeof l->text, l->host, l->port);
	if (o->cl->port <= 0 && o->picked_port == 0)
		o->picked_port = l->port;
	if (o->set->info_port == 0) {
		o->set->info_port = l->port;
		snprintf(o->set->info_host, sizeof o->set->info_host, "%s",
		    o->cl->host[0] == '\0' ? l->host : o->cl->host);
	}
	o->set->n++;
	return 0;
}

/* Whether an earlier entry of the list is the same (hosts files repeat). */
static bool
is_repeated(const struct addrinfo *list, const struct addrinfo *ai)
{
	for (; list != ai; list = list->ai_next) {
		if (list->ai_addrlen == ai->ai_addrlen &&
		    memcmp(list->ai_addr, ai->ai_addr, ai->ai_addrlen) == 0)
			return true;
	}
	return false;
}

static int
open_addresses(struct opening *o, const struct addrinfo *list,
    const char *where)
{
	const struct addrinfo *ai;
	uint32_t before = o->set->n;
	int fd;

	o->last_errno = EADDRNOTAVAIL;
	for (ai = list; ai != NULL; ai = ai->ai_next) {
		if (is_repeated(list, ai))
			continue;
		if (o->set->n == HERITAGE_LISTEN_MAX)
			return fail(o, where, "too many listeners");
		if ((fd = open_address(o, ai)) == -1 || add_tcp(o, fd) == -1) {
			o->last_errno = errno;
			fd_close(&fd);
			/* Half a name is better than none, unless somebody
			 * else has the other half. */
			if (errno == EADDRINUSE || errno == EACCES)
				break;
		}
	}
	if (o->set->n == before || o->last_errno == EADDRINUSE ||
	    o->last_errno == EACCES)
		return fail_errno(o, where, o->last_errno);
	return 0;
}

static int
listen_tcp(struct opening *o)
{
	struct addrinfo hints, *list = NULL;
	const char *host = o->cl->host;
	char where[LISTEN_TEXT_MAX], service[16];
	int e, status;

	memset(&hints, 0, sizeof hints);
	hints.ai_socktype = SOCK_STREAM;
	hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
	format_host_port(where, sizeof where, host, o->cl->port);
	snprintf(service, sizeof service, "%d",
	    o->cl->port > 0 ? o->cl->port : 0);
	if (strcmp(host, "*") == 0 || *host == '\0')
		host = NULL;
	if ((e = getaddrinfo(host, service, &hints, &list)) != 0)
		return fail(o, where, e == EAI_SYSTEM ? strerror(errno) :
							gai_strerror(e));
	status = open_addresses(o, list, where);
	freeaddrinfo(list);
	return status;
}

/* Whether the file of a Unix socket is still the one that we have made. */
static bool
is_ours(const struct listener *l)
{
	struct stat st;

	return lstat(l->path, &st) == 0 && st.st_dev == l->dev &&
	    st.st_ino == l->ino;
}

/*
 * Clears the way for a Unix socket: 0 if there is nothing or was nothing but
 * a socket that nobody listens on, else -1 with errno.
 */
static int
remove_stale(const struct sockaddr_un *sun)
{
	struct stat st;
	int fd, status;

	if (lstat(sun->sun_path, &st) == -1)
		return errno == ENOENT ? 0 : -1;
	if (!S_ISSOCK(st.st_mode)) {
		errno = EEXIST;
		return -1;
	}
	if ((fd = socket(AF_UNIX, SOCK_FLAGS, 0)) == -1)
		return -1;
	status = connect(fd, (const struct sockaddr *)sun, sizeof *sun);
	if (status == -1 && errno == ECONNREFUSED)
		status = unlink(sun->sun_path);
	else if (status == 0 || errno == EAGAIN) {
		errno = EADDRINUSE;
		status = -1;
	}
	fd_close(&fd);
	return status;
}

static int
bind_unix(int fd, const struct sockaddr_un *sun, uint32_t backlog)
{
	/* Set, not changed afterwards: a path can be replaced meanwhile. */
	mode_t mask = umask(0777 & ~UNIX_MODE);
	int status;

	status = bind(fd, (const struct sockaddr *)sun, sizeof *sun);
	umask(mask);
	return status == -1 ? -1 : listen(fd, (int)backlog);
}

/* Makes the file at l->path and listens there: 0, or -1 with a reason. */
static int
open_unix(struct listener *l, uint32_t backlog, const char **reason)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct stat st;

	l->fd = -1;
	strcpy(sun.sun_path, l->path);
	if (remove_stale(&sun) == -1) {
		*reason = errno == EEXIST ? "File exists and is not a socket" :
					    strerror(errno);
		return -1;
	}
	if ((l->fd = socket(AF_UNIX, SOCK_FLAGS, 0)) == -1 ||
	    bind_unix(l->fd, &sun, backlog) == -1 ||
	    lstat(sun.sun_path, &st) == -1) {
		*reason = strerror(errno);
		fd_close(&l->fd);
		return -1;
	}
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	return 0;
}

static int
listen_unix(struct opening *o)
{
	struct listener *l = &o->set->l[o->set->n];
	const char *reason;

	memset(l, 0, sizeof *l);
	snprintf(l->text, sizeof l->text, "unix:%s", o->cl->path);
	if (o->set->n == HERITAGE_LISTEN_MAX)
		return fail(o, l->text, "too many listeners");
	if (strlen(o->cl->path) >= sizeof l->path)
		return fail_errno(o, l->text, ENAMETOOLONG);
	strcpy(l->path, o->cl->path);
	l->unix_socket = true;
	if (open_unix(l, o->conf->listen_backlog, &reason) == -1) {
		o->set->in_use = errno == EADDRINUSE;
		return fail(o, l->text, reason);
	}
	o->set->n++;
	return 0;
}

/* A host without IPv6 has no "::1", which nobody has asked for by name. */
static bool
may_lack(const struct opening *o)
{
	return o->conf->listen_defaulted && o->set->n > 0 &&
	    (o->last_errno == EADDRNOTAVAIL ||
		o->last_errno == EAFNOSUPPORT);
}

int
listen_open(struct listen_set *set, const struct conf *conf, char *err,
    size_t errlen)
{
	struct opening o = { .set = set, .conf = conf, .err = err,
		.errlen = errlen };
	uint32_t i;
	int status = 0;

	memset(set, 0, sizeof *set);
	for (i = 0; i < conf->nlisten && status == 0; i++) {
		o.cl = &conf->listen[i];
		o.last_errno = 0;
		status = o.cl->kind == CONF_LISTEN_UNIX ? listen_unix(&o) :
							  listen_tcp(&o);
		if (status == -1 && may_lack(&o)) {
			log_debug("%s", err);
			status = 0;
		}
	}
	if (status == 0 && set->n == 0) {
		snprintf(err, errlen, "nothing to listen on is configured");
		status = -1;
	}
	if (status == -1)
		listen_close(set);
	return status;
}

bool
listen_renew(struct listener *l, const struct conf *conf)
{
	struct listener next = *l;
	const char *reason;

	if (!l->unix_socket || is_ours(l))
		return false;
	if (open_unix(&next, conf->listen_backlog, &reason) == -1) {
		log_err("%s: the socket's file is gone and cannot be made "
		    "again: %s", l->text, reason);
		return false;
	}
	log_notice("Listening for client connections on %s again: the "
	    "socket's file was gone", l->text);
	fd_close(&l->fd);
	*l = next;
	return true;
}

static void
remove_file(const struct listener *l)
{
	if (!is_ours(l))
		return;
	/* A stale one does no harm: the next start replaces it. */
	if (unlink(l->path) == -1)
		log_debug("cannot remove \"%s\": %s", l->path,
		    strerror(errno));
}

void
listen_reload(const struct listen_set *set, const struct conf *conf)
{
	uint32_t i;

	for (i = 0; i < set->n; i++) {
		if (!set->l[i].unix_socket)
			set_timeouts(set->l[i].fd, conf);
	}
}

void
listen_stop(const struct listen_set *set)
{
	uint32_t i;

	for (i = 0; i < set->n; i++)
		(void)shutdown(set->l[i].fd, SHUT_RDWR);
}

void
listen_close(struct listen_set *set)
{
	uint32_t i;

	for (i = 0; i < set->n; i++) {
		if (set->l[i].unix_socket)
			remove_file(&set->l[i]);
		fd_close(&set->l[i].fd);
	}
	set->n = 0;
}
