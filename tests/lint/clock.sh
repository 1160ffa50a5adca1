#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Nothing but the times in the log goes by the clock that may jump: what waits
# or expires goes by CLOCK_MONOTONIC (base/clock.h).  The rest is a seed of
# random numbers and what the scoreboard shows.
set -eu
cd "${top_srcdir:-$(dirname "$0")/../..}/src"

allowed='^base/clock\.[ch]:|^base/logtarget\.c:'
allowed="$allowed|^worker/worker\.c:.*w->rnd = hash_mix\(clock_real_ns"
allowed="$allowed|^worker/client\.c:.*s->start_ns, clock_real_ns"
allowed="$allowed|^shm/score\.h:.*start_ns; /\* CLOCK_REALTIME"
found=$(find . -name bench -prune -o -name '*.[ch]' -print | LC_ALL=C sort |
    xargs grep -nE \
    'CLOCK_REALTIME|CLOCK_TAI|clock_real_ns|gettimeofday|[^a-z_]time\(' |
    sed 's|^\./||' | grep -vE "$allowed" || true)
# Timers of the kernel that follow that clock, and waits with a point in time.
found="$found$(find . -name bench -prune -o -name '*.[ch]' -print |
    xargs grep -nE \
    'timerfd_create|timer_create|_timedwait|mq_timed' || true)"
if [ -n "$found" ]; then
	printf '%s\n' "$found" >&2
	exit 1
fi
