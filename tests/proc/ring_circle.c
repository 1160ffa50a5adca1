/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages round a circle of processes.  This program is their master: it
 * kills members at every named crash point of the rings and bells, and at
 * random moments, clears up after them as the real one does (live bit, two
 * quiescent states of the others, empty zones, slot spare), starts successors
 * in the same slots, and wants to see everybody's messages come round again,
 * none twice, none out of order, none lost but by a death, nobody asleep with
 * work to do.
 */
#include <config.h>

#include <sys/prctl.h>
#include <sys/wait.h>

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "circle.h"

#include "shm/crash.h"
#include "shm/score.h"

#define N 5
#define RANDOM_KILLS 300
#define DEADLINE_S 120 /* for any one condition, on a machine under load */

static const char *const points[] = {
	"ring.pad", "ring.commit", "ring.publish", "ring.published",
	"ring.release", "ring.released", "ring.want", "bell.arm", "bell.ring",
	"circle.fill"
};
#define NPOINTS (sizeof points / sizeof points[0])

static struct {
	struct zone_fds control, own[N], ring[N]; /* ring[i]: from i to i + 1 */
	struct slots_shm *slots;
	struct zone own_seen[N];
	int bell[N];
	pid_t pid[N]; /* 0 = none */
	uint32_t incarnation;
	uint64_t seed;
} master;

static void
kill_all(void)
{
	uint32_t i;

	for (i = 0; i < N; i++)
		if (master.pid[i] > 0) {
			(void)kill(master.pid[i], SIGKILL);
			(void)waitpid(master.pid[i], NULL, 0);
		}
}

static _Noreturn void __attribute__((format(printf, 1, 2)))
give_up(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
	kill_all();
	exit(EXIT_FAILURE);
}

static void
must(bool ok, const char *what)
{
	if (!ok)
		give_up("%s: %s", what, strerror(errno));
}

static uint64_t
rnd(void)
{
	master.seed ^= master.seed << 13;
	master.seed ^= master.seed >> 7;
	master.seed ^= master.seed << 17;
	return master.seed * 2685821657736338717u;
}

static void
tick(void)
{
	const struct timespec ts = { .tv_nsec = 200000 };

	(void)nanosleep(&ts, NULL);
}

static void
ring_all_bells(void)
{
	uint32_t i;

	for (i = 0; i < N; i++)
		bell_ring_always(master.bell[i]);
}

/* ---- members ----------------------------------------------------------- */

static void
map_ro(const struct zone_fds *fds, uint32_t magic, struct zone *z)
{
	if (zone_map_ro(fds, magic, z) == -1)
		_exit(CIRCLE_SYSTEM);
}

static void
map_rw(const struct zone_fds *fds, uint32_t magic, struct zone *z)
{
	if (zone_map_rw(fds, magic, z) == -1)
		_exit(CIRCLE_SYSTEM);
}

/* The child: own zones for writing, the others' for reading. */
static _Noreturn void
member(slotno self, uint32_t incarnation, const char *crash, int ready)
{
	static struct circle c;
	struct zone control, prev, next;
	enum circle_status status;
	uint32_t i;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	map_ro(&master.control, SLOTS_MAGIC, &control);
	map_rw(&master.own[self], OWN_MAGIC, &c.own_zone);
	map_rw(&master.ring[self], RING_MAGIC, &c.ring_out);
	map_ro(&master.ring[(self + N - 1) % N], RING_MAGIC, &c.ring_in);
	map_ro(&master.own[(self + N - 1) % N], OWN_MAGIC, &prev);
	map_ro(&master.own[(self + 1) % N], OWN_MAGIC, &next);
	c.slots = (const struct slots_shm *)(const void *)control.base;
	c.n = N;
	c.self = self;
	c.incarnation = incarnation;
	c.own = (struct own_shm *)(void *)c.own_zone.base;
	c.own_prev = (const struct own_shm *)(const void *)prev.base;
	c.own_next = (const struct own_shm *)(const void *)next.base;
	for (i = 0; i < N; i++)
		c.bell_fd[i] = master.bell[i];
	if ((status = circle_attach(&c)) == CIRCLE_OK &&
	    write(ready, "r", 1) == 1) {
		crash_arm(crash);
		status = circle_run(&c);
	}
	_exit((int)status);
}

/* Start a process in a spare slot; it is live when this returns. */
static void
start(slotno slot, const char *crash)
{
	uint32_t incarnation = ++master.incarnation;
	int p[2];
	char c;

	must(pipe(p) == 0, "pipe");
	slots_start(master.slots, slot, incarnation, SLOT_ROLE_WORKER);
	master.pid[slot] = fork();
	must(master.pid[slot] != -1, "fork");
	if (master.pid[slot] == 0)
		member(slot, incarnation, crash, p[1]);
	(void)close(p[1]);
	slots_set_pid(master.slots, slot, (uint32_t)master.pid[slot]);
	if (read(p[0], &c, 1) != 1)
		give_up("slot %u did not start", slot);
	(void)close(p[0]);
	slots_set_live(master.slots, slot);
	ring_all_bells();
}

/* ---- conditions -------------------------------------------------------- */

static uint64_t
rounds_of(uint32_t i)
{
	return score_get(&score_proc(&master.own_seen[i])->in_msgs);
}

/* Nobody may have ended by itself. */
static void
check_alive(void)
{
	pid_t pid;
	int status;
	uint32_t i;

	for (i = 0; i < N; i++) {
		if (master.pid[i] == 0)
			continue;
		pid = waitpid(master.pid[i], &status, WNOHANG);
		if (pid == 0)
			continue;
		master.pid[i] = 0;
		give_up("slot %u ended by itself, status %x", i, status);
	}
}

/* All members' messages come round so many times more. */
static void
wait_for_rounds(uint64_t more)
{
	time_t end = time(NULL) + DEADLINE_S;
	uint64_t goal[N];
	uint32_t i;

	for (i = 0; i < N; i++)
		goal[i] = rounds_of(i) + more;
	for (i = 0; i < N; i++)
		while (rounds_of(i) < goal[i]) {
			check_alive();
			if (time(NULL) > end)
				give_up("slot %u makes no progress", i);
			tick();
		}
}

static void
reap(slotno slot, const char *why)
{
	time_t end = time(NULL) + DEADLINE_S;
	pid_t pid = 0;
	int status;

	while (pid == 0) {
		pid = waitpid(master.pid[slot], &status, WNOHANG);
		if (pid == 0 && time(NULL) > end)
			give_up("slot %u does not die at %s", slot, why);
		if (pid == 0)
			tick();
	}
	master.pid[slot] = 0;
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		give_up("slot %u: status %x instead of %s", slot, status, why);
}

static uint64_t
quiescence_of(uint32_t i)
{
	const struct own_shm *own;

	own = (const struct own_shm *)(const void *)master.own_seen[i].base;
	return atomic_load_explicit(&own->quiescence, memory_order_acquire);
}

/* Every live one passes two quiescent states. */
static void
wait_for_quiescence(void)
{
	time_t end = time(NULL) + DEADLINE_S;
	uint64_t from[N];
	uint32_t i;

	for (i = 0; i < N; i++)
		from[i] = quiescence_of(i);
	for (i = 0; i < N; i++)
		while (master.pid[i] != 0 &&
		    quiescence_of(i) - from[i] < 4) {
			check_alive();
			if (time(NULL) > end)
				give_up("slot %u is never quiescent", i);
			ring_all_bells();
			tick();
		}
}

/* What the real master does with a dead one's slot. */
static void
bury(slotno slot)
{
	slots_set_dead(master.slots, slot);
	ring_all_bells();
	wait_for_quiescence();
	must(zone_punch(&master.own[slot], own_head_size(),
	    master.own_seen[slot].size - own_head_size()) == 0, "zone_punch");
	must(zone_punch(&master.ring[slot], ZONE_PAGE, RING_MIN) == 0,
	    "zone_punch");
	must(zone_write_head(&master.own[slot], OWN_MAGIC) == 0 &&
	    zone_write_head(&master.ring[slot], RING_MAGIC) == 0,
	    "zone_write_head");
	slots_set_spare(master.slots, slot);
	must(slots_valid(master.slots), "slots_valid");
}

/* ---- the test ---------------------------------------------------------- */

static void
build(void)
{
	struct slots_geometry g = { .nslots = N, .ring_bytes = RING_MIN };
	struct zone z;
	uint32_t i;

	must(zone_create("control", SLOTS_MAGIC, slots_shm_size(),
	    &master.control) == 0, "zone_create");
	must(zone_map_rw(&master.control, SLOTS_MAGIC, &z) == 0, "zone_map");
	master.slots = (struct slots_shm *)(void *)z.base;
	slots_shm_init(master.slots, &g);
	for (i = 0; i < N; i++) {
		must(zone_create("own", OWN_MAGIC, own_shm_size(0),
		    &master.own[i]) == 0, "zone_create");
		must(zone_map_ro(&master.own[i], OWN_MAGIC,
		    &master.own_seen[i]) == 0, "zone_map_ro");
		must(zone_create("ring", RING_MAGIC, ring_shm_size(RING_MIN),
		    &master.ring[i]) == 0, "zone_create");
		must(zone_map_rw(&master.ring[i], RING_MAGIC, &z) == 0,
		    "zone_map_rw");
		ring_shm_init((struct ring_shm *)(void *)z.base, RING_MIN);
		zone_unmap(&z);
		must((master.bell[i] = bell_create()) != -1, "bell_create");
	}
}

/* A member dies at the named point, at a random passage of it. */
static void
die_at(const char *point)
{
	slotno slot = (slotno)(rnd() % N), next = (slotno)((slot + 1) % N);
	bool want = strcmp(point, "ring.want") == 0;
	char spec[64];

	(void)snprintf(spec, sizeof spec, "%s:%u", point,
	    want ? 1 : 1 + (uint32_t)(rnd() % 20));
	must(kill(master.pid[slot], SIGKILL) == 0, "kill");
	reap(slot, "SIGKILL");
	bury(slot);
	start(slot, spec);
	/* Its ring becomes full only if the next one stands still. */
	if (want)
		must(kill(master.pid[next], SIGSTOP) == 0, "kill");
	reap(slot, spec);
	if (want)
		must(kill(master.pid[next], SIGCONT) == 0, "kill");
	bury(slot);
	start(slot, NULL);
	wait_for_rounds(20);
}

/* One or two die at a random moment, perhaps neighbours. */
static void
die_any_time(void)
{
	slotno a = (slotno)(rnd() % N), b = (slotno)(rnd() % N);

	wait_for_rounds(rnd() % 3);
	must(kill(master.pid[a], SIGKILL) == 0, "kill");
	reap(a, "SIGKILL");
	if (b != a && rnd() % 2) {
		must(kill(master.pid[b], SIGKILL) == 0, "kill");
		reap(b, "SIGKILL");
		slots_set_dead(master.slots, a);
		ring_all_bells();
		bury(b);
		start(b, NULL);
		/* a's turn, as in bury() but for the live bit. */
		wait_for_quiescence();
		must(zone_punch(&master.ring[a], ZONE_PAGE, RING_MIN) == 0,
		    "zone_punch");
		slots_set_spare(master.slots, a);
	} else {
		bury(a);
	}
	start(a, NULL);
	wait_for_rounds(10);
}

static void
stop_all(void)
{
	uint32_t i;
	int status;

	atomic_store_explicit(&master.slots->conf_version, 1,
	    memory_order_release);
	ring_all_bells();
	for (i = 0; i < N; i++) {
		must(waitpid(master.pid[i], &status, 0) == master.pid[i],
		    "waitpid");
		master.pid[i] = 0;
		if (status != 0)
			give_up("slot %u ended with status %x", i, status);
	}
}

int
main(int argc, char **argv)
{
	uint32_t i, waits = 0;

	master.seed = argc > 1 ? strtoull(argv[1], NULL, 0) :
	    (uint64_t)time(NULL) * 2654435761u + (uint64_t)getpid();
	(void)printf("seed %llu\n", (unsigned long long)master.seed);
	(void)fflush(stdout);
	build();
	for (i = 0; i < N; i++)
		start((slotno)i, NULL);
	wait_for_rounds(200);
	for (i = 0; i < NPOINTS; i++)
		die_at(points[i]);
	for (i = 0; i < RANDOM_KILLS; i++)
		die_any_time();
	wait_for_rounds(200);
	for (i = 0; i < N; i++)
		waits += (uint32_t)score_get(&score_proc(
		    &master.own_seen[i])->ring_full_waits);
	stop_all();
	(void)printf("%u processes, %u waits for space at the end\n",
	    master.incarnation, waits);
	return EXIT_SUCCESS;
}
