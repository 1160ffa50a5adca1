/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * natsbench: a process tree's CPU time and memory.
 *
 * The clock of a process counts utime + stime to the nanosecond, where
 * /proc/PID/stat has ticks of 10 ms: too coarse for idle connections.
 */
#include <config.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/proc.h"

#define TREE_MAX 1024

struct proc {
	int pid, ppid;
	unsigned long long own, reaped; /* ticks, user and system */
};

static struct proc *procs;
static size_t nprocs, procs_cap;
static struct proc tree[TREE_MAX];
static int ntree, no_pss;

static int
proc_read(int pid, struct proc *p)
{
	unsigned long long ut, st, cut, cst;
	char path[64], buf[1024], *s;
	size_t n;
	FILE *f;

	(void)snprintf(path, sizeof path, "/proc/%d/stat", pid);
	if ((f = fopen(path, "r")) == NULL)
		return -1;
	n = fread(buf, 1, sizeof buf - 1, f);
	(void)fclose(f);
	buf[n] = '\0';
	if ((s = strrchr(buf, ')')) == NULL)
		return -1;
	if (sscanf(s + 2, "%*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u "
	    "%llu %llu %llu %llu", &p->ppid, &ut, &st, &cut, &cst) != 5)
		return -1;
	p->pid = pid;
	p->own = ut + st;
	p->reaped = cut + cst;
	return 0;
}

static void
read_all(void)
{
	struct dirent *e;
	DIR *d;

	if ((d = opendir("/proc")) == NULL)
		bench_die("/proc: %s", strerror(errno));
	nprocs = 0;
	while ((e = readdir(d)) != NULL) {
		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		if (nprocs == procs_cap) {
			procs_cap = 2 * procs_cap + 256;
			procs = realloc(procs, procs_cap * sizeof *procs);
			if (procs == NULL)
				bench_die("no memory");
		}
		if (proc_read(atoi(e->d_name), &procs[nprocs]) == 0)
			nprocs++;
	}
	(void)closedir(d);
}

/* Fills tree[] with the root and all below it. */
static void
scan(void)
{
	size_t i;
	int j;

	read_all();
	ntree = 0;
	for (i = 0; i < nprocs; i++)
		if (procs[i].pid == bench_o.pid)
			tree[ntree++] = procs[i];
	if (ntree == 0)
		bench_die("there is no process %d (the server has ended?)",
		    bench_o.pid);
	for (j = 0; j < ntree; j++)
		for (i = 0; i < nprocs && ntree < TREE_MAX; i++)
			if (procs[i].ppid == tree[j].pid)
				tree[ntree++] = procs[i];
}

void
proc_init(void)
{
	if (bench_o.pid != 0)
		scan();
}

int
proc_count(void)
{
	return ntree;
}

static double
cpu_of(const struct proc *p)
{
	double tick = 1.0 / (double)sysconf(_SC_CLK_TCK);
	struct timespec ts;
	clockid_t clock;

	if (clock_getcpuclockid(p->pid, &clock) == 0 &&
	    clock_gettime(clock, &ts) == 0)
		return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9 +
		    (double)p->reaped * tick;
	return (double)(p->own + p->reaped) * tick;
}

double
proc_cpu(void)
{
	double sum = 0;
	int i;

	if (bench_o.pid == 0)
		return 0;
	scan();
	for (i = 0; i < ntree; i++)
		sum += cpu_of(&tree[i]);
	return sum;
}

/* Sums the lines with these names in a file of /proc; -1: unreadable. */
static double
kilobytes(int pid, const char *file, const char *n1, const char *n2)
{
	char path[64], line[256], name[64];
	double sum = 0;
	long kb;
	int any = 0;
	FILE *f;

	(void)snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
	if ((f = fopen(path, "r")) == NULL)
		return -1;
	while (fgets(line, sizeof line, f) != NULL) {
		if (sscanf(line, "%63[^:]: %ld", name, &kb) != 2)
			continue;
		if (strcmp(name, n1) == 0 || strcmp(name, n2) == 0) {
			sum += (double)kb;
			any = 1;
		}
	}
	(void)fclose(f);
	return any ? sum : -1;
}

static double
tree_kilobytes(void)
{
	double sum = 0, kb;
	int i;

	for (i = 0; i < ntree; i++) {
		if (no_pss)
			kb = kilobytes(tree[i].pid, "status", "RssAnon",
			    "RssShmem");
		else
			kb = kilobytes(tree[i].pid, "smaps_rollup", "Pss", "");
		if (kb < 0)
			return -1;
		sum += kb;
	}
	return sum;
}

double
proc_memory(void)
{
	double kb;

	if (bench_o.pid == 0)
		return 0;
	scan();
	if ((kb = tree_kilobytes()) < 0 && !no_pss) {
		no_pss = 1;
		kb = tree_kilobytes();
	}
	if (kb < 0)
		bench_die("the memory of process %d cannot be read",
		    bench_o.pid);
	return kb * 1024;
}

const char *
proc_memory_kind(void)
{
	return no_pss ? "RssAnon+RssShmem" : "PSS";
}
