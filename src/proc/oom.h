/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether a process that was killed may have been killed by the kernel for
 * want of memory; in the master.
 */
#ifndef PROC_OOM_H
#define PROC_OOM_H

#include <stdbool.h>
#include <stdint.h>

enum oom_verdict {
	OOM_UNKNOWN, /* the kernel's counter cannot be read */
	OOM_NONE,    /* it has killed nobody since the last look */
	OOM_SOME     /* it has killed somebody, or had a moment ago */
};

/* So long it is remembered: several may have been killed, who are reaped one
 * after another. */
#define OOM_KEEP_MS 1000

struct oom {
	bool known;
	uint64_t kills; /* at the last look */
	bool some; /* they have once become more */
	uint64_t some_ms; /* when that was seen last */
};

/*
 * Looks at oom_kill in /proc/vmstat (Linux 4.13), which counts those of the
 * machine and of all control groups; the file may be hidden (ProcSubset=pid
 * of systemd.exec(5)).  path is that file, named for tests; now_ms is a
 * loop_now().  To be asked now and then without need, or what it says is about
 * all the time since the last look.
 */
enum oom_verdict oom_look(struct oom *oom, const char *path, uint64_t now_ms);

#define OOM_PATH "/proc/vmstat"

#endif
