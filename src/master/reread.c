/* SPDX-License-Identifier: BSD-2-Clause */
/* The child that reads the configuration file for a reload. */
#include <config.h>

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "master/reread.h"

#include "base/fdutil.h"
#include "base/log.h"
#include "conf/conf.h"
#include "master/master_priv.h"
#include "master/mlog.h"
#include "proc/logpipe.h"

/* Longer than any file takes that can be read: while we wait nobody is watched
 * and nobody restarted.  Counted in turns, so that a time in which all of natsd
 * was stopped is one of them. */
#define READ_MS 5000
#define TURN_MS 50
/* So long a process may take to end, beyond which it is stuck in the kernel;
 * the next SIGCHLD reaps it. */
#define REAP_MS 500

/* What both see. */
struct result {
	bool done; /* the child came to an end of its own */
	bool good;
	struct conf conf;
};

static int
fail(const char *why)
{
	log_err("Failed to reload server configuration: %s", why);
	return -1;
}

/* The child's messages so far; false at the end of file. */
static bool
copy_log(int fd)
{
	char text[LOG_TEXT_MAX + 1];
	enum log_level lvl;
	int status;

	while ((status = logpipe_read(fd, &lvl, text, sizeof text)) == 1)
		mlog_write(lvl, "master", (int)getpid(), text, strlen(text));
	return status == -1 && errno == EAGAIN;
}

/* Copies what the child says until its end; 0, or -1 after a message: it is
 * not waited for any longer. */
static int
await_end(int log)
{
	struct pollfd pfd = { .fd = log, .events = POLLIN };
	int turns = READ_MS / TURN_MS, n;

	while (turns > 0) {
		n = poll(&pfd, 1, TURN_MS);
		if (n > 0 && !copy_log(log))
			return 0;
		if (n > 0)
			continue;
		if (signals_asked_to_stop() != 0)
			return fail("natsd is about to stop");
		turns--;
	}
	return fail("reading the configuration takes too long");
}

static void
reap(pid_t pid)
{
	static const struct timespec nap = { 0, 1000000L };
	int i;

	for (i = 0; i < REAP_MS && waitpid(pid, NULL, WNOHANG) == 0; i++)
		(void)nanosleep(&nap, NULL);
}

static int
wait_for(pid_t pid, int log, const struct result *res, struct conf *conf)
{
	int status = await_end(log);

	if (status == -1)
		(void)kill(pid, SIGKILL);
	reap(pid);
	if (status == -1)
		return -1;
	if (!res->done)
		return fail("the process that reads the file has ended early; "
		    "perhaps it got no memory");
	if (!res->good)
		return -1; /* it has said why */
	*conf = res->conf;
	return 0;
}

/* In the child. */
static _Noreturn void
read_it(pid_t master, const char *path, const struct conf_override *over,
    void (*report)(void *ctx, bool warning, const char *text),
    struct result *res)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != master) /* it has died before that */
		_exit(1);
	res->good = conf_load(path, over, report, NULL, &res->conf) == 0;
	res->done = true;
	_exit(0);
}

int
reread(const char *path, const struct conf_override *over,
    void (*report)(void *ctx, bool warning, const char *text),
    struct conf *conf)
{
	struct result *res;
	int log[2] = { -1, -1 }, status;
	pid_t master = getpid(), pid;

	res = mmap(NULL, sizeof *res, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (res == MAP_FAILED)
		return fail(strerror(errno));
	if (logpipe_pair(log) == -1 || (pid = fork()) == -1)
		status = fail(strerror(errno));
	else if (pid == 0) {
		logpipe_use(log[1]);
		read_it(master, path, over, report, res);
	} else {
		fd_close(&log[1]);
		status = wait_for(pid, log[0], res, conf);
	}
	fd_close(&log[0]);
	fd_close(&log[1]);
	explicit_bzero(res, sizeof *res);
	(void)munmap(res, sizeof *res);
	return status;
}
