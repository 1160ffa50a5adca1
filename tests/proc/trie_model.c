/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The index over real processes: one writes, two read all the time and check
 * every result.  The writer is killed at each named crash point: the readers
 * go on over what it left; then its slot is declared dead, its zone emptied
 * when they have passed two quiescent states, and a successor serves.
 *
 * Built with the index' sources and CRASH_POINTS defined.
 */
#include <config.h>

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "lib/triechurn.h"
#include "shm/crash.h"

#define INDEX_BYTES (UINT64_C(8) << 20)
#define READERS 2
#define WRITER 0 /* its slot; readers have 1 and up */
#define DEADLINE_S 120

/* What all processes of the test share. */
struct stage {
	struct slots_shm slots;
	struct own_shm own[1 + READERS];
	_Atomic uint64_t rounds[1 + READERS]; /* while the writer is live */
	_Atomic uint32_t ready; /* incarnation of the writer that serves */
	_Atomic uint32_t stop;
};

static struct stage *stage;
static struct zone_fds fds;
static uint32_t incarnation;
static pid_t reader_pid[1 + READERS];

static void
nap(void)
{
	(void)nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
}

/* ---- a reader ---- */

static void
reader_main(slotno self)
{
	struct churn_reader r = { .random = self };
	struct zone zone;

	CHURN_CHECK(zone_map_ro(&fds, TRIE_MAGIC, &zone) == 0);
	CHURN_CHECK(trie_reader_attach(&r.trie, &zone, CHURN_SEED) == 0);
	quiesce_online(&stage->own[self]);
	while (atomic_load(&stage->stop) == 0) {
		if (slots_live(&stage->slots) >> WRITER & 1) {
			churn_check(&r);
			atomic_fetch_add(&stage->rounds[self], 1);
		}
		if (churn_random(&r.random, 64) == 0) {
			quiesce_offline(&stage->own[self]);
			nap();
			quiesce_online(&stage->own[self]);
		} else
			quiesce_pass(&stage->own[self]);
	}
	quiesce_offline(&stage->own[self]);
}

static void
reader_start(slotno self)
{
	slots_start(&stage->slots, self, 1000u + self, SLOT_ROLE_WORKER);
	slots_set_live(&stage->slots, self);
	if ((reader_pid[self] = fork()) == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		reader_main(self);
		_exit(0);
	}
	CHURN_CHECK(reader_pid[self] > 0);
}

/* ---- the writer ---- */

static void
writer_finish(struct churn *c)
{
	uint64_t before = c->steps;

	/* Readers that nap or run pass in their time; nobody is stuck. */
	while (trie_reclaim(c->trie) != 0)
		nap();
	CHURN_CHECK(trie_valid(c->trie) == 0);
	while (c->steps < before + 1000)
		churn_step(c);
	CHURN_CHECK(trie_valid(c->trie) == 0);
	trie_free(&c->trie);
}

/* Until stopped, or killed at the crash point. */
static void
writer_main(const char *crash)
{
	static struct churn churn;
	struct quiesce_view view = { .slots = &stage->slots,
		.self = WRITER };
	struct trie *trie;
	struct zone zone;
	slotno n;

	for (n = 0; n <= READERS; n++)
		view.own[n] = &stage->own[n];
	CHURN_CHECK(zone_map_rw(&fds, TRIE_MAGIC, &zone) == 0);
	CHURN_CHECK(trie_new(&zone, CHURN_SEED, &view, INDEX_BYTES,
	    &trie) == 0);
	churn_init(&churn, trie, incarnation);
	while (churn.steps < 2000)
		churn_step(&churn);
	crash_arm(crash);
	atomic_store(&stage->ready, incarnation);
	while (atomic_load(&stage->stop) == 0)
		churn_step(&churn);
	writer_finish(&churn);
	zone_unmap(&zone);
}

static pid_t
writer_start(const char *crash)
{
	pid_t pid;

	slots_start(&stage->slots, WRITER, ++incarnation, SLOT_ROLE_WORKER);
	if ((pid = fork()) == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		writer_main(crash);
		_exit(0);
	}
	CHURN_CHECK(pid > 0);
	while (atomic_load(&stage->ready) != incarnation)
		nap();
	slots_set_live(&stage->slots, WRITER);
	return pid;
}

/* ---- the master's part ---- */

static void
readers_await(uint64_t more)
{
	uint64_t from;
	slotno n;

	for (n = 1; n <= READERS; n++) {
		from = atomic_load(&stage->rounds[n]);
		while (atomic_load(&stage->rounds[n]) - from < more) {
			CHURN_CHECK(waitpid(reader_pid[n], NULL,
			    WNOHANG) == 0);
			nap();
		}
	}
}

/* Sleepers do not count as quiescent here: a whole iteration has passed. */
static void
readers_pass_twice(void)
{
	uint64_t from;
	slotno n;

	for (n = 1; n <= READERS; n++) {
		from = atomic_load(&stage->own[n].quiescence);
		while (atomic_load(&stage->own[n].quiescence) - from < 4)
			nap();
	}
}

static void
writer_bury(void)
{
	struct zone zone;

	slots_set_dead(&stage->slots, WRITER);
	readers_pass_twice();
	CHURN_CHECK(zone_map_rw(&fds, TRIE_MAGIC, &zone) == 0);
	CHURN_CHECK(zone_punch(&fds, trie_head_size(),
	    zone.size - trie_head_size()) == 0);
	zone_unmap(&zone);
	slots_set_spare(&stage->slots, WRITER);
}

static void
one_crash(const char *crash)
{
	int status;
	pid_t pid = writer_start(crash);

	CHURN_CHECK(waitpid(pid, &status, 0) == pid);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		fprintf(stderr, "%s: status %#x\n", crash, status);
	CHURN_CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	readers_await(30);
	writer_bury();
}

static void
stage_open(void)
{
	struct zone zone;

	stage = mmap(NULL, sizeof *stage, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHURN_CHECK(stage != MAP_FAILED);
	CHURN_CHECK(zone_create("index", TRIE_MAGIC,
	    trie_shm_size(INDEX_BYTES), &fds) == 0);
	CHURN_CHECK(zone_map_rw(&fds, TRIE_MAGIC, &zone) == 0);
	trie_shm_init(zone.base, INDEX_BYTES, 0);
	zone_unmap(&zone);
}

#ifdef CRASH_POINTS
static const char *const crashes[] = {
	"cell-reuse", "cell-reuse:1000",
	"trie-hint-raised", "trie-hint-raised:777",
	"trie-path-made:50", "trie-path-published:60",
	"trie-changed:70", "trie-generation-raised:80",
	"trie-node-unlinked:10", "trie-node-unlinked:999",
	"trie-group-made:20", "trie-group-unlinked:30",
	"edges-filling:1", "edges-filling:2", "edges-filling:40",
	"edges-filled:1", "edges-filled:3",
	"edges-switched:1", "edges-switched:3",
};

static void
all_crashes(void)
{
	size_t i;

	for (i = 0; i < sizeof crashes / sizeof *crashes; i++)
		one_crash(crashes[i]);
}
#else
static void
all_crashes(void)
{
}
#endif

int
main(void)
{
	int status;
	pid_t pid;
	slotno n;

	(void)alarm(DEADLINE_S);
	stage_open();
	for (n = 1; n <= READERS; n++)
		reader_start(n);
	all_crashes();
	/* without a crash; one reader dies and holds nobody back */
	pid = writer_start(NULL);
	readers_await(20000);
	CHURN_CHECK(kill(reader_pid[READERS], SIGKILL) == 0);
	CHURN_CHECK(waitpid(reader_pid[READERS], NULL, 0) ==
	    reader_pid[READERS]);
	slots_set_dead(&stage->slots, READERS);
	atomic_store(&stage->stop, 1);
	CHURN_CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	for (n = 1; n < READERS; n++)
		CHURN_CHECK(waitpid(reader_pid[n], &status, 0) ==
		    reader_pid[n] && status == 0);
	zone_close(&fds);
	return 0;
}
