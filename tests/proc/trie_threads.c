/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The index with its writer and two readers as threads of one process over
 * one mapping, where ThreadSanitizer sees what they do.
 */
#include <config.h>

#include <pthread.h>

#include "lib/triechurn.h"

#define INDEX_BYTES (UINT64_C(8) << 20)
#ifndef STEPS /* tsan.sh has its own */
#define STEPS 1000000
#endif
#define READERS 2

static struct zone_fds fds;
static struct zone zone;
static struct slots_shm slots;
static struct own_shm own[1 + READERS];
static struct quiesce_view view;
static struct churn churn;
static _Atomic uint32_t done;
static _Atomic uint64_t rounds[1 + READERS];

static void *
reader_run(void *arg)
{
	unsigned n = (unsigned)(uintptr_t)arg;
	struct churn_reader r = { .random = n };

	CHURN_CHECK(trie_reader_attach(&r.trie, &zone, CHURN_SEED) == 0);
	quiesce_online(&own[n]);
	while (atomic_load(&done) == 0) {
		churn_check(&r);
		if (churn_random(&r.random, 16) == 0) {
			quiesce_offline(&own[n]);
			quiesce_online(&own[n]);
		} else
			quiesce_pass(&own[n]);
		atomic_fetch_add(&rounds[n], 1);
	}
	quiesce_offline(&own[n]);
	return NULL;
}

static void *
writer_run(void *arg)
{
	unsigned n;

	for (n = 1; n <= READERS; n++)
		while (atomic_load(&rounds[n]) < 100 ||
		    churn.steps < STEPS)
			churn_step(&churn);
	atomic_store(&done, 1);
	return arg;
}

int
main(void)
{
	pthread_t thread[1 + READERS];
	struct trie *trie;
	uintptr_t n;

	CHURN_CHECK(zone_create("index", TRIE_MAGIC,
	    trie_shm_size(INDEX_BYTES), &fds) == 0);
	CHURN_CHECK(zone_map_rw(&fds, TRIE_MAGIC, &zone) == 0);
	trie_shm_init(zone.base, INDEX_BYTES, 0);
	view = (struct quiesce_view){ .slots = &slots, .self = 0 };
	for (n = 0; n <= READERS; n++) {
		slots_start(&slots, (slotno)n, (uint32_t)n + 1,
		    SLOT_ROLE_WORKER);
		slots_set_live(&slots, (slotno)n);
		view.own[n] = &own[n];
	}
	CHURN_CHECK(trie_new(&zone, CHURN_SEED, &view, INDEX_BYTES,
	    &trie) == 0);
	churn_init(&churn, trie, 1);
	for (n = 1; n <= READERS; n++)
		CHURN_CHECK(pthread_create(&thread[n], NULL, reader_run,
		    (void *)n) == 0);
	CHURN_CHECK(pthread_create(&thread[0], NULL, writer_run, NULL) == 0);
	for (n = 0; n <= READERS; n++)
		CHURN_CHECK(pthread_join(thread[n], NULL) == 0);
	for (n = 0; n < 64; n++)
		CHURN_CHECK(trie_reclaim(trie) == 0);
	CHURN_CHECK(trie_valid(trie) == 0);
	trie_free(&trie);
	zone_unmap(&zone);
	zone_close(&fds);
	return 0;
}
