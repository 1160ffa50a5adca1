/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * natsload: clock, CPU time and memory of a process tree, and the result as
 * one JSON object on standard output.
 */
#include <config.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "nl.h"

#define TREE_MAX 1024

struct proc {
	int pid, ppid;
	unsigned long long ticks; /* user and system, reaped children's too */
};

static struct proc procs[65536];
static int in_tree[TREE_MAX];
static int no_pss;
static int out_any;

/* Prints the failure as the result and ends the program. */
void
nl_die(const char *fmt, ...)
{
	char text[512], *p;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	for (p = text; *p; p++)
		if (*p == '"' || *p == '\\' || !isprint((unsigned char)*p))
			*p = '.';
	printf("%s\"ok\":false,\"error\":\"%s\"}\n", out_any ? "," : "{", text);
	fflush(stdout);
	_exit(1);
}

void *
nl_alloc(size_t size)
{
	void *p;

	if ((p = calloc(1, size ? size : 1)) == NULL)
		nl_die("no memory for %zu bytes", size);
	return p;
}

/* Monotonic time in nanoseconds. */
uint64_t
nl_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void
nl_sleep(double seconds)
{
	struct timespec ts;

	ts.tv_sec = (time_t)seconds;
	ts.tv_nsec = (long)((seconds - (double)ts.tv_sec) * 1e9);
	while (nanosleep(&ts, &ts) == -1 && errno == EINTR)
		;
}

/* xorshift; one sequence per thread, the same in every run. */
uint64_t
nl_rand(void)
{
	static _Thread_local uint64_t x = 88172645463325252u;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

static int
proc_read(int pid, struct proc *p)
{
	unsigned long long ut, st, cut, cst;
	char path[64], buf[1024], *s;
	size_t n;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	if ((f = fopen(path, "r")) == NULL)
		return -1;
	n = fread(buf, 1, sizeof buf - 1, f);
	fclose(f);
	buf[n] = '\0';
	if ((s = strrchr(buf, ')')) == NULL)
		return -1;
	if (sscanf(s + 2, "%*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u "
	    "%llu %llu %llu %llu", &p->ppid, &ut, &st, &cut, &cst) != 5)
		return -1;
	p->pid = pid;
	p->ticks = ut + st + cut + cst;
	return 0;
}

/* Fills in_tree[] with indexes into procs[] of the root and all below it. */
static int
tree_scan(void)
{
	struct dirent *e;
	int n = 0, found = 0, i, j;
	DIR *d;

	if ((d = opendir("/proc")) == NULL)
		nl_die("/proc: %s", strerror(errno));
	while ((e = readdir(d)) != NULL && n < 65536)
		if (isdigit((unsigned char)e->d_name[0]) &&
		    proc_read(atoi(e->d_name), &procs[n]) == 0)
			n++;
	closedir(d);
	for (i = 0; i < n; i++)
		if (procs[i].pid == nl_o.pid)
			in_tree[found++] = i;
	for (j = 0; j < found; j++)
		for (i = 0; i < n && found < TREE_MAX; i++)
			if (procs[i].ppid == procs[in_tree[j]].pid)
				in_tree[found++] = i;
	if (found == 0)
		nl_die("no process %d", nl_o.pid);
	return found;
}

/* CPU seconds used so far by the server's whole process tree; 0 without. */
double
nl_tree_cpu(void)
{
	unsigned long long ticks = 0;
	int n, i;

	if (nl_o.pid == 0)
		return 0;
	n = tree_scan();
	for (i = 0; i < n; i++)
		ticks += procs[in_tree[i]].ticks;
	return (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

/* Sums the "kB" lines with these names in a file of /proc; -1: unreadable. */
static double
proc_kb(int pid, const char *file, const char *n1, const char *n2)
{
	char path[64], line[256], name[64];
	double sum = 0;
	long kb;
	int any = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
	if ((f = fopen(path, "r")) == NULL)
		return -1;
	while (fgets(line, sizeof line, f) != NULL) {
		if (sscanf(line, "%63[^:]: %ld", name, &kb) != 2)
			continue;
		if (strcmp(name, n1) == 0 || (n2 && strcmp(name, n2) == 0)) {
			sum += (double)kb;
			any = 1;
		}
	}
	fclose(f);
	return any ? sum : -1;
}

static double
tree_kb(int n)
{
	double sum = 0, kb;
	int i, pid;

	for (i = 0; i < n; i++) {
		pid = procs[in_tree[i]].pid;
		if (no_pss)
			kb = proc_kb(pid, "status", "RssAnon", "RssShmem");
		else
			kb = proc_kb(pid, "smaps_rollup", "Pss", NULL);
		if (kb < 0)
			return -1;
		sum += kb;
	}
	return sum;
}

/* Bytes of memory of the server's process tree, shared pages counted once. */
double
nl_tree_mem(void)
{
	double kb;
	int n;

	if (nl_o.pid == 0)
		return 0;
	n = tree_scan();
	if ((kb = tree_kb(n)) < 0 && !no_pss) {
		no_pss = 1;
		kb = tree_kb(n);
	}
	if (kb < 0)
		nl_die("memory of process %d cannot be read", nl_o.pid);
	return kb * 1024;
}

const char *
nl_mem_kind(void)
{
	return no_pss ? "RssAnon+RssShmem" : "PSS";
}

void
nl_out_num(const char *name, double v)
{
	printf("%s\"%s\":%.10g", out_any ? "," : "{", name, v);
	out_any = 1;
}

void
nl_out_str(const char *name, const char *v)
{
	printf("%s\"%s\":\"%s\"", out_any ? "," : "{", name, v);
	out_any = 1;
}

static int
lat_cmp(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* Percentiles in microseconds of n samples in nanoseconds; sorts them. */
void
nl_out_lat(const char *name, uint32_t *lat, size_t n)
{
	static const struct { const char *tag; double q; } qs[] = {
		{ "p50", 0.5 }, { "p90", 0.9 }, { "p99", 0.99 },
		{ "p999", 0.999 }, { "max", 1.0 },
	};
	char key[64];
	size_t i, at;

	if (n == 0)
		return;
	qsort(lat, n, sizeof *lat, lat_cmp);
	for (i = 0; i < sizeof qs / sizeof qs[0]; i++) {
		at = (size_t)(qs[i].q * (double)n);
		if (at >= n)
			at = n - 1;
		snprintf(key, sizeof key, "%s_%s_us", name, qs[i].tag);
		nl_out_num(key, lat[at] / 1e3);
	}
}

void
nl_out_end(void)
{
	printf("%s\"ok\":true}\n", out_any ? "," : "{");
	fflush(stdout);
}
