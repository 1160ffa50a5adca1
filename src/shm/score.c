/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The scoreboard's place in an own zone; written by the zone's owner, read by
 * the master (the process' line) and by other workers (what a reader has
 * pending, and how many connections each has).
 */
#include <config.h>

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "shm/score.h"

#include "base/panic.h"

static_assert(sizeof(struct score_proc_shm) == 2 * NATSD_CACHELINE,
    "score process line layout");
static_assert(offsetof(struct score_proc_shm, serving) == 19 * 8,
    "score process line layout");
static_assert(sizeof(struct score_conn_shm) == 3 * SCORE_ALIGN,
    "score connection line layout");
static_assert(offsetof(struct score_conn_shm, addr) == 104 &&
    offsetof(struct score_conn_shm, name) == 124 &&
    offsetof(struct score_conn_shm, version) == 176,
    "score connection line layout");

/* Lines begin behind the process' line. */
#define SCORE_LINES sizeof(struct score_proc_shm)

size_t
score_shm_size(uint32_t nlines)
{
	return SCORE_LINES + (size_t)nlines * sizeof(struct score_conn_shm);
}

struct score_proc_shm *
score_proc(const struct zone *own)
{
	return (struct score_proc_shm *)(void *)(own->base +
	    own_head_size());
}

struct score_conn_shm *
score_conn(const struct zone *own, uint32_t line)
{
	size_t off = own_head_size() + score_shm_size(line);

	if (off > own->size || own->size - off < sizeof(struct score_conn_shm))
		return NULL;
	return (struct score_conn_shm *)(void *)(own->base + off);
}

void
score_conn_open(struct score_conn_shm *conn)
{
	ASSERT(atomic_load_explicit(&conn->state, memory_order_relaxed) ==
	    SCORE_FREE);
	/* Release: all of the line that was filled before; pairs with the
	 * acquire load in score_conn_state() in score.h. */
	atomic_store_explicit(&conn->state, SCORE_OPEN, memory_order_release);
}

void
score_conn_close(struct score_conn_shm *conn)
{
	atomic_store_explicit(&conn->state, SCORE_FREE, memory_order_relaxed);
	/* Release fence: whoever sees a word that the next connection writes
	 * sees FREE or later; pairs with the acquire fence that a reader puts
	 * between the line's words and a second look at the state. */
	atomic_thread_fence(memory_order_release);
}

void
score_conn_clear(struct score_conn_shm *conn)
{
	ASSERT(atomic_load_explicit(&conn->state, memory_order_relaxed) ==
	    SCORE_FREE);
	memset((void *)conn, 0, sizeof *conn);
}

void
score_text(char *dst, size_t size, const void *src, size_t len)
{
	const uint8_t *s = src;

	if (len > size - 1) {
		len = size - 1;
		/* Not in the middle of a UTF-8 sequence. */
		while (len > 0 && (s[len] & 0xc0) == 0x80)
			len--;
	}
	if (len > 0)
		memcpy(dst, s, len);
	memset(dst + len, 0, size - len);
}
