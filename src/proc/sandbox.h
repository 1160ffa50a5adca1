/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What every process of natsd gives up.
 */
#ifndef PROC_SANDBOX_H
#define PROC_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>

/* Master, as root, after binding: setgroups, setgid, setuid; checks that it
 * cannot go back.  group "" = that of the user.  0 or -1/errno; ENOENT: no
 * such user or group. */
int sandbox_drop_user(const char *user, const char *group);
/* Every process: PR_SET_DUMPABLE 0 (unless core_dumps), no_new_privs, no
 * capabilities.  0 or -1/errno. */
int sandbox_seal(bool core_dumps);
/* CPUs this process may use: affinity and cgroup v1/v2 quota counted,
 * rounded up, at least 1. */
uint32_t sandbox_usable_cpus(void);
/* The part of it that reads the quota: a file as /proc/self/cgroup and the
 * place where cgroups are mounted; 0 = no limit found. */
uint32_t sandbox_cgroup_cpus(const char *cgroup_file, const char *mount);

#endif
