/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The --signal flag.  It never searches by name, as nats-server does: workers
 * carry the same one, and there may be several daemons.
 */
#include <config.h>

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "master/sendsig.h"

#include "base/strnum.h"
#include "master/options.h"
#include "master/pidfile.h"

#define PID_PATH NATSD_RUNSTATEDIR "/natsd/natsd.pid"

static const struct {
	const char *name;
	int signo;
	const char *why_not;
} commands[] = {
	{ "reload", SIGHUP, NULL },
	{ "reopen", SIGUSR1, NULL },
	{ "quit", SIGINT, NULL },
	{ "term", SIGTERM, NULL },
	{ "stop", SIGKILL, NULL },
	{ "ldm", 0, "there is no lame duck mode in this version" },
	{ "upgrade", 0, "there is no upgrade in place in this version" },
	{ "status", 0, "there is no control socket in this version" },
};

static int
fail(const char *what, const char *text, const char *rest)
{
	fprintf(stderr, "natsd: %s%s%s\n", what, text, rest);
	return EXIT_FAILED;
}

/* The signal's number; 0 after a message. */
static int
find_command(const char *name, size_t len)
{
	char text[64];
	size_t i;

	for (i = 0; i < sizeof commands / sizeof commands[0]; i++) {
		if (strlen(commands[i].name) != len ||
		    memcmp(commands[i].name, name, len) != 0)
			continue;
		if (commands[i].why_not != NULL)
			fail("signal not sent: ", commands[i].why_not, "");
		return commands[i].signo;
	}
	snprintf(text, sizeof text, "%.*s", (int)(len > 60 ? 60 : len), name);
	fail("unknown signal \"", text, "\"");
	return 0;
}

/* The process to signal; 0 after a message. */
static pid_t
find_process(const char *target, const char *pid_file)
{
	const char *path = pid_file;
	pid_t pid;
	int64_t n;

	if (target != NULL && num_parse_i64(target, &n) == 0) {
		if (n > 1 && n <= INT32_MAX)
			return (pid_t)n;
		fail("invalid pid: ", target, "");
		return 0;
	}
	if (target != NULL)
		path = target;
	else if (*path == '\0')
		path = PID_PATH;
	if ((pid = pidfile_holder(path)) > 0)
		return pid;
	if (pid == 0)
		fail("no natsd running: nobody holds the pid file \"", path,
		    "\"");
	else if (target != NULL)
		fail("invalid pid: ", target, "");
	else
		fprintf(stderr, "natsd: no natsd running: cannot read the "
		    "pid file \"%s\": %s; name a pid or pid file with "
		    "-sl <cmd>=<pid or file>\n", path, strerror(errno));
	return 0;
}

int
sendsig(const char *text, const char *pid_file)
{
	size_t len = strcspn(text, "=");
	const char *target = text[len] == '=' ? text + len + 1 : NULL;
	int signo;
	pid_t pid;

	if ((signo = find_command(text, len)) == 0 ||
	    (pid = find_process(target, pid_file)) == 0)
		return EXIT_FAILED;
	if (kill(pid, signo) == 0)
		return EXIT_OK;
	if (errno == ESRCH)
		return fail("no natsd running", "", "");
	fprintf(stderr, "natsd: cannot signal process %ld: %s\n", (long)pid,
	    strerror(errno));
	return EXIT_FAILED;
}
