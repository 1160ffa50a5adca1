/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * natsbench: the server's address.
 */
#include <config.h>

#include <sys/un.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/addr.h"
#include "bench/bench.h"

/* Connections of one loopback address: there are about 28,000 free ports. */
#define PER_SOURCE 20000

static struct sockaddr_storage to;
static socklen_t to_len;
static char text[300];
static unsigned made;

static const char *
set_unix(const char *path)
{
	struct sockaddr_un *sun = (struct sockaddr_un *)&to;

	if (strlen(path) >= sizeof sun->sun_path)
		return "the path is too long";
	sun->sun_family = AF_UNIX;
	(void)snprintf(sun->sun_path, sizeof sun->sun_path, "%s", path);
	to_len = sizeof *sun;
	(void)snprintf(text, sizeof text, "unix:%s", path);
	return NULL;
}

/* USER:PASSWORD or TOKEN; copies live as long as the program. */
static void
set_credentials(const char *s, size_t len)
{
	char *copy = strndup(s, len), *colon;

	if (copy == NULL || bench_o.user != NULL || bench_o.token != NULL)
		return;
	if ((colon = strchr(copy, ':')) == NULL) {
		bench_o.token = copy;
		return;
	}
	*colon = '\0';
	bench_o.user = copy;
	if (bench_o.password == NULL)
		bench_o.password = colon + 1;
}

/* HOST, HOST:PORT, [V6], [V6]:PORT; several colons are an IPv6 address. */
static const char *
split_port(char *host, char **h, const char **port)
{
	char *end, *colon;

	*h = host;
	*port = "4222";
	if (host[0] == '[') {
		if ((end = strchr(host, ']')) == NULL)
			return "there is no ]";
		*end++ = '\0';
		*h = host + 1;
		if (*end == ':')
			*port = end + 1;
		else if (*end != '\0')
			return "something follows the ]";
		return NULL;
	}
	colon = strchr(host, ':');
	if (colon != NULL && strchr(colon + 1, ':') == NULL) {
		*colon = '\0';
		*port = colon + 1;
	}
	return NULL;
}

static const char *
resolve(const char *host, const char *port)
{
	struct addrinfo hints, *found;
	int error;

	memset(&hints, 0, sizeof hints);
	hints.ai_socktype = SOCK_STREAM;
	hints.ai_flags = AI_NUMERICSERV;
	error = getaddrinfo(*host != '\0' ? host : "127.0.0.1", port, &hints,
	    &found);
	if (error != 0)
		return gai_strerror(error);
	memcpy(&to, found->ai_addr, found->ai_addrlen);
	to_len = found->ai_addrlen;
	freeaddrinfo(found);
	(void)snprintf(text, sizeof text,
	    strchr(host, ':') != NULL ? "nats://[%s]:%s" : "nats://%s:%s",
	    host, port);
	return NULL;
}

const char *
addr_set(const char *server)
{
	char host[256], *h, *slash;
	const char *at, *port, *why;

	if (strncmp(server, "unix:", 5) == 0) {
		server += 5;
		return set_unix(strncmp(server, "//", 2) == 0 ? server + 2 :
								server);
	}
	if (server[0] == '/')
		return set_unix(server);
	if (strncmp(server, "tls://", 6) == 0)
		return "TLS is not supported";
	if (strncmp(server, "nats://", 7) == 0)
		server += 7;
	else if (strstr(server, "://") != NULL)
		return "only nats:// and unix: are known";
	if ((at = strrchr(server, '@')) != NULL) {
		set_credentials(server, (size_t)(at - server));
		server = at + 1;
	}
	if ((size_t)snprintf(host, sizeof host, "%s", server) >= sizeof host)
		return "the name is too long";
	if ((slash = strchr(host, '/')) != NULL)
		*slash = '\0';
	if ((why = split_port(host, &h, &port)) != NULL)
		return why;
	return resolve(h, port);
}

const char *
addr_text(void)
{
	return text;
}

/* Many connections to a loopback address come from several of them. */
static void
choose_source(int fd)
{
	struct sockaddr_in sin, *dst = (struct sockaddr_in *)&to;
	int one = 1;

	if (to.ss_family != AF_INET || made < PER_SOURCE ||
	    ntohl(dst->sin_addr.s_addr) >> 24 != 127)
		return;
	memset(&sin, 0, sizeof sin);
	sin.sin_family = AF_INET;
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK + made / PER_SOURCE);
	(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one,
	    sizeof one);
	(void)bind(fd, (struct sockaddr *)&sin, sizeof sin);
}

int
addr_connect(int flags)
{
	int fd, one = 1, saved;

	fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
	if (fd == -1)
		return -1;
	if (to.ss_family != AF_UNIX) {
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one,
		    sizeof one);
		choose_source(fd);
	}
	made++;
	if (connect(fd, (struct sockaddr *)&to, to_len) == 0 ||
	    errno == EINPROGRESS)
		return fd;
	saved = errno;
	(void)close(fd);
	errno = saved;
	return -1;
}
