/* SPDX-License-Identifier: BSD-2-Clause */
/* The child that reads the configuration file for a reload. */
#include <config.h>

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "master/reread.h"

#include "base/fdutil.h"
#include "base/log.h"
#include "conf/conf.h"
#include "master/mlog.h"
#include "proc/logpipe.h"

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

/* The child's messages, to the end of file. */
static void
copy_log(int fd)
{
	char text[LOG_TEXT_MAX + 1];
	enum log_level lvl;

	while (logpipe_read(fd, &lvl, text, sizeof text) == 1)
		mlog_write(lvl, "master", (int)getpid(), text, strlen(text));
}

static int
wait_for(pid_t pid, int log, const struct result *res, struct conf *conf)
{
	int status;
	pid_t got;

	while ((got = waitpid(pid, &status, 0)) == -1 && errno == EINTR)
		continue;
	copy_log(log);
	if (got == -1 || !res->done)
		return fail("the process that reads the file has ended early; "
		    "perhaps it got no memory");
	if (!res->good)
		return -1; /* it has said why */
	*conf = res->conf;
	return 0;
}

int
reread(const char *path, const struct conf_override *over,
    void (*report)(void *ctx, bool warning, const char *text),
    struct conf *conf)
{
	struct result *res;
	int log[2] = { -1, -1 }, status;
	pid_t pid;

	res = mmap(NULL, sizeof *res, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (res == MAP_FAILED)
		return fail(strerror(errno));
	if (logpipe_pair(log) == -1 || (pid = fork()) == -1)
		status = fail(strerror(errno));
	else if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		logpipe_use(log[1]);
		res->good = conf_load(path, over, report, NULL,
		    &res->conf) == 0;
		res->done = true;
		_exit(0);
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
