/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For tests: the index zones of a few slots in one process, each with its
 * writer and as everybody else sees it; all slots serve.
 */
#ifndef TESTS_TRIES_H
#define TESTS_TRIES_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "proto/subject.h"
#include "shm/quiesce.h"
#include "shm/slots.h"
#include "shm/trie.h"
#include "shm/zone.h"

#define TRIES_MAX 4
#define TRIES_SEED UINT64_C(0x1234567890abcdef)
#ifndef TRIES_BYTES
#define TRIES_BYTES (UINT64_C(16) << 20)
#endif
#define TRIES_TOKENS 512

struct tries {
	uint32_t n;
	struct slots_shm slots;
	struct quiesce_view view[TRIES_MAX]; /* nobody holds anything back */
	struct zone_fds fds[TRIES_MAX];
	struct zone rw[TRIES_MAX], ro[TRIES_MAX];
	struct trie *trie[TRIES_MAX];
};

static inline void
tries_check(int rc)
{
	if (rc != 0)
		abort();
}

static inline void
tries_new(struct tries *t, uint32_t n)
{
	uint32_t i;

	memset(t, 0, sizeof *t);
	t->n = n;
	t->slots.nslots = n;
	t->slots.hash_seed = TRIES_SEED;
	for (i = 0; i < n; i++) {
		tries_check(zone_create("index", TRIE_MAGIC,
		    trie_shm_size(TRIES_BYTES), &t->fds[i]));
		tries_check(zone_map_rw(&t->fds[i], TRIE_MAGIC, &t->rw[i]));
		tries_check(zone_map_ro(&t->fds[i], TRIE_MAGIC, &t->ro[i]));
		trie_shm_init(t->rw[i].base, TRIES_BYTES, i);
		t->view[i].slots = &t->slots;
		t->view[i].self = (slotno)i;
		tries_check(trie_new(&t->rw[i], TRIES_SEED, &t->view[i],
		    TRIES_BYTES, &t->trie[i]));
		slots_start(&t->slots, (slotno)i, i + 1, SLOT_ROLE_WORKER);
		slots_set_live(&t->slots, (slotno)i);
	}
}

static inline void
tries_free(struct tries *t)
{
	uint32_t i;

	for (i = 0; i < t->n; i++) {
		trie_free(&t->trie[i]);
		zone_unmap(&t->rw[i]);
		zone_unmap(&t->ro[i]);
		zone_close(&t->fds[i]);
	}
}

static inline uint32_t
tries_split(const char *subject, struct token *tok)
{
	return subject_split((const uint8_t *)subject, strlen(subject),
	    TRIES_SEED, tok, TRIES_TOKENS);
}

static inline uint32_t
tries_rnd(uint64_t *state, uint32_t n)
{
	*state += HASH_K0;
	return (uint32_t)(hash_mix(*state, HASH_K1) >> 32) % n;
}

/* A subject or pattern of one to four tokens out of few: at most 40 bytes. */
static inline void
tries_subject(uint64_t *state, bool pattern, char *out)
{
	static const char *const word[] = { "a", "b", "c", "longer", "*" };
	uint32_t n = 1 + tries_rnd(state, 4), i;

	*out = '\0';
	for (i = 0; i < n; i++) {
		if (i > 0)
			strcat(out, ".");
		if (pattern && i == n - 1 && tries_rnd(state, 6) == 0)
			strcat(out, ">");
		else
			strcat(out, word[tries_rnd(state, pattern ? 5 : 4)]);
	}
}

#endif
