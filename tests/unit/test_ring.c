/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rings: records against a simple model, wrapping, full rings, the space
 * protocol, successors on both sides, and garbage in the other's memory.
 */
#include <config.h>

#include <sys/stat.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "lib/shmpair.h"
#include "lib/unit.h"

#define SIZE RING_MIN
#define REC (uint32_t)sizeof(struct ring_rec_shm)
#define LAPS_START ((uint64_t)1 << 40) /* a position in old age */

/* For inner loops: ck_assert() writes to a file each time. */
#define MUST(cond)                                                \
	do {                                                      \
		if (!(cond))                                      \
			ck_abort_msg("line %d: %s", __LINE__, #cond); \
	} while (0)

static struct shmpair p;
static struct ring_tx tx;
static struct ring_rx rx;
static uint64_t seed;

static void
setup(void)
{
	shmpair_new(&p, SIZE);
	shmpair_tx(&p, &tx);
	shmpair_rx(&p, &rx);
	seed = 88172645463325252u;
}

static void
teardown(void)
{
	shmpair_free(&p);
}

static uint64_t
rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed * 2685821657736338717u;
}

/* Both sides anew, with positions as given. */
static void
attach_at(uint64_t produced, uint64_t consumed)
{
	p.ring->produced = produced;
	p.own[1]->peer[0].consumed = consumed;
	shmpair_tx(&p, &tx);
	shmpair_rx(&p, &rx);
	ring_tx_peer_changed(&tx);
}

/* A record of len bytes, filled from its number. */
static bool
put(uint32_t len, uint32_t number)
{
	struct ring_rec_shm *rec;

	MUST(ring_tx_fits(&tx, len) == (len <= ring_tx_room(&tx)));
	if ((rec = ring_tx_reserve(&tx, len)) == NULL)
		return false;
	MUST((const uint8_t *)rec >= p.data);
	MUST((uint8_t *)rec + len <= p.data + SIZE);
	MUST((uintptr_t)rec % 8 == 0);
	rec->len = len;
	rec->kind = number | 1u << 31;
	memset(rec + 1, (int)(number & 0xff), len - REC);
	ring_tx_commit(&tx, len);
	return true;
}

/* The next record must be that one. */
static void
get(uint64_t limit, uint32_t len, uint32_t number)
{
	const struct ring_rec_shm *rec;
	const uint8_t *body;
	uint32_t gotlen, kind, i;

	MUST(ring_rx_next(&rx, limit, &rec, &gotlen, &kind) ==
	    RING_OK);
	MUST(gotlen == len);
	MUST(kind == (number | 1u << 31));
	body = (const uint8_t *)(rec + 1);
	for (i = 0; i < len - REC; i++)
		if (body[i] != (number & 0xff))
			ck_abort_msg("record %u, byte %u", number, i);
}

static enum ring_status
next(void)
{
	const struct ring_rec_shm *rec;
	uint32_t len, kind;
	uint64_t limit;

	if (ring_rx_look(&rx, &limit) == RING_BROKEN)
		return RING_BROKEN;
	return ring_rx_next(&rx, limit, &rec, &len, &kind);
}

static void
drain(void)
{
	enum ring_status status;

	while ((status = next()) == RING_OK)
		;
	MUST(status == RING_EMPTY);
	(void)ring_rx_release(&rx);
}

START_TEST(nothing_is_seen_before_publish)
{
	uint64_t limit;

	ck_assert(!ring_rx_pending(&rx));
	ck_assert_int_eq(ring_rx_look(&rx, &limit), RING_EMPTY);
	ck_assert(!ring_tx_publish(&tx));
	ck_assert(put(100, 1));
	ck_assert(!ring_rx_pending(&rx));
	ck_assert_int_eq(next(), RING_EMPTY);
	ck_assert(put(8, 2));
	ck_assert(ring_tx_publish(&tx));
	ck_assert(!ring_tx_publish(&tx));
	ck_assert(ring_rx_pending(&rx));
	ck_assert_int_eq(ring_rx_look(&rx, &limit), RING_OK);
	ck_assert_uint_eq(limit, 104 + 8);
	get(limit, 100, 1);
	get(limit, 8, 2);
	ck_assert_int_eq(next(), RING_EMPTY);
	ck_assert(!ring_rx_pending(&rx));
	ck_assert_uint_eq(p.seen[1]->peer[0].consumed, 0);
	ck_assert(!ring_rx_release(&rx));
	ck_assert_uint_eq(p.seen[1]->peer[0].consumed, 112);
}
END_TEST

START_TEST(an_uncommitted_reservation_is_forgotten)
{
	struct ring_rec_shm *rec;
	uint64_t limit;

	ck_assert_ptr_nonnull(rec = ring_tx_reserve(&tx, 5000));
	rec->kind = 7;
	ck_assert(!ring_tx_publish(&tx));
	ck_assert(put(50, 3));
	ck_assert(ring_tx_publish(&tx));
	ck_assert_int_eq(ring_rx_look(&rx, &limit), RING_OK);
	get(limit, 50, 3);
	ck_assert_int_eq(next(), RING_EMPTY);
}
END_TEST

START_TEST(a_commit_may_be_shorter)
{
	struct ring_rec_shm *rec;
	uint64_t limit;

	ck_assert_ptr_nonnull(rec = ring_tx_reserve(&tx, 5000));
	rec->kind = 1u << 31 | 9;
	memset(rec + 1, 9, 92);
	ring_tx_commit(&tx, 100);
	ck_assert(put(20, 10));
	ring_tx_publish(&tx);
	ck_assert_int_eq(ring_rx_look(&rx, &limit), RING_OK);
	get(limit, 100, 9);
	get(limit, 20, 10);
}
END_TEST

START_TEST(a_commit_may_not_be_longer)
{
	struct ring_rec_shm *rec = ring_tx_reserve(&tx, 100);

	rec->kind = 1;
	ring_tx_commit(&tx, 101);
}
END_TEST

START_TEST(a_commit_needs_a_reservation)
{
	ck_assert(put(100, 1));
	ring_tx_commit(&tx, 100);
}
END_TEST

START_TEST(a_refused_reservation_replaces_one_before)
{
	struct ring_rec_shm *rec = ring_tx_reserve(&tx, 100);

	rec->kind = 1;
	ck_assert_ptr_null(ring_tx_reserve(&tx, SIZE));
	ring_tx_commit(&tx, 100);
}
END_TEST

START_TEST(a_caller_may_not_make_pads)
{
	struct ring_rec_shm *rec = ring_tx_reserve(&tx, 100);

	rec->kind = RING_PAD;
	ring_tx_commit(&tx, 100);
}
END_TEST

START_TEST(sizes_that_never_fit)
{
	ck_assert_uint_eq(ring_tx_max(&tx), SIZE / 2);
	ck_assert(!ring_tx_fits(&tx, 0));
	ck_assert(!ring_tx_fits(&tx, 7));
	ck_assert(ring_tx_fits(&tx, 8));
	ck_assert(ring_tx_fits(&tx, SIZE / 2));
	ck_assert(!ring_tx_fits(&tx, SIZE / 2 + 1));
	ck_assert(!ring_tx_fits(&tx, UINT32_MAX));
	ck_assert_ptr_null(ring_tx_reserve(&tx, UINT32_MAX));
	ck_assert_ptr_null(ring_tx_reserve(&tx, 0));
}
END_TEST

START_TEST(an_empty_ring_takes_any_record)
{
	uint64_t pos;

	for (pos = 0; pos < SIZE; pos += 8 * 61) {
		attach_at(LAPS_START + pos, LAPS_START + pos);
		ck_assert(ring_tx_fits(&tx, SIZE / 2));
		ck_assert_uint_eq(ring_tx_room(&tx), SIZE / 2);
		ck_assert(put(SIZE / 2, 1));
		ring_tx_publish(&tx);
		ck_assert(ring_rx_valid(&rx));
		drain();
	}
}
END_TEST

START_TEST(a_full_ring_says_so_and_recovers)
{
	uint64_t limit;
	uint32_t n = 0, i;

	while (put(1000, n))
		n++;
	ck_assert_uint_eq(n, SIZE / 1000);
	ck_assert_uint_lt(ring_tx_room(&tx), 1000);
	while (put(8, n))
		n++;
	ck_assert_uint_eq(ring_tx_room(&tx), 0);
	ck_assert_uint_eq(tx.head, SIZE);
	ring_tx_publish(&tx);
	ck_assert_int_eq(ring_rx_look(&rx, &limit), RING_OK);
	for (i = 0; i < SIZE / 1000; i++)
		get(limit, 1000, i);
	ck_assert(!put(8, 0)); /* read is not released */
	ring_rx_release(&rx);
	ck_assert(put(1000, 0));
	for (; i < n; i++)
		get(limit, 8, i);
	ck_assert_int_eq(next(), RING_EMPTY);
	ring_tx_publish(&tx);
	ck_assert(ring_rx_valid(&rx));
	drain();
}
END_TEST

START_TEST(limit_is_respected)
{
	const struct ring_rec_shm *rec;
	uint64_t first, second;
	uint32_t len, kind;

	put(64, 1);
	ring_tx_publish(&tx);
	ck_assert_int_eq(ring_rx_look(&rx, &first), RING_OK);
	put(64, 2);
	ring_tx_publish(&tx);
	get(first, 64, 1);
	ck_assert_int_eq(ring_rx_next(&rx, first, &rec, &len, &kind),
	    RING_EMPTY);
	ck_assert_int_eq(ring_rx_look(&rx, &second), RING_OK);
	get(second, 64, 2);
	/* One from before, and one that was never published. */
	ck_assert_int_eq(ring_rx_next(&rx, first, &rec, &len, &kind),
	    RING_EMPTY);
	ck_assert_int_eq(ring_rx_next(&rx, second + 64, &rec, &len, &kind),
	    RING_EMPTY);
	ck_assert(!rx.broken);
}
END_TEST

/* ---- random operations against a queue --------------------------------- */

#define MODEL 20000

static struct { uint32_t len, number; } model[MODEL];

START_TEST(random_operations_against_a_model)
{
	uint32_t head = 0, seen = 0, tail = 0, number = 0, len;
	uint64_t limit, step, max;

	if (_i > 0)
		attach_at(UINT64_MAX - SIZE * 4 + 1, UINT64_MAX - SIZE * 4 + 1);
	max = _i == 2 ? SIZE / 2 : 2000;
	for (step = 0; step < 200000; step++) {
		switch (rnd() % 8) {
		case 0: case 1: case 2:
			len = REC + (uint32_t)(rnd() % (max - REC + 1));
			if (rnd() % 2)
				len = REC + len % 64;
			if (head - tail < MODEL && put(len, number)) {
				model[head % MODEL].len = len;
				model[head++ % MODEL].number = number++;
			}
			break;
		case 3:
			(void)ring_tx_reserve(&tx, (uint32_t)(rnd() % max));
			break;
		case 4:
			MUST(ring_tx_publish(&tx) == (seen != head));
			seen = head;
			break;
		case 5: case 6:
			if (tail == seen)
				break;
			MUST(ring_rx_look(&rx, &limit) == RING_OK);
			get(limit, model[tail % MODEL].len,
			    model[tail % MODEL].number);
			tail++;
			break;
		default:
			(void)ring_rx_release(&rx);
			if (rnd() % 16 == 0)
				ring_tx_trim(&tx);
			break;
		}
		MUST(tx.head - p.ring->produced <= SIZE);
		MUST(!tx.broken && !rx.broken);
	}
	MUST(ring_rx_valid(&rx));
	ck_assert_uint_gt(number, 1000);
}
END_TEST

/* ---- pages ------------------------------------------------------------- */

static uint64_t
pages(void)
{
	struct stat st;

	ck_assert_int_eq(fstat(p.ring_fds.rw, &st), 0);
	return (uint64_t)st.st_blocks * 512 / ZONE_PAGE;
}

START_TEST(a_quiet_ring_stays_in_its_first_quarter)
{
	uint32_t i;

	for (i = 0; i < 10000; i++) {
		MUST(put(100 + i % 300, i));
		ring_tx_publish(&tx);
		drain();
	}
	/* Head, a quarter, and what reached over its edge. */
	MUST(pages() <= 1 + SIZE / 4 / ZONE_PAGE + 1);
	ck_assert_uint_gt(tx.head, 10 * SIZE);
}
END_TEST

START_TEST(trim_gives_pages_back)
{
	uint64_t all;
	uint32_t i;

	for (i = 0; i < SIZE / 1024; i++)
		ck_assert(put(1024, i));
	ring_tx_publish(&tx);
	all = pages();
	ck_assert_uint_ge(all, SIZE / ZONE_PAGE);
	ring_tx_trim(&tx); /* in flight: nothing happens */
	ck_assert_uint_eq(pages(), all);
	ck_assert(ring_rx_valid(&rx));
	drain();
	ring_tx_trim(&tx);
	ck_assert_uint_le(pages(), 1 + SIZE / 4 / ZONE_PAGE);
	ck_assert_uint_gt(pages(), 1);
	ring_tx_trim(&tx);
	ck_assert_uint_eq(pages(), 1);
	ring_tx_trim(&tx);
	for (i = 0; i < 1000; i++) {
		ck_assert(put(900, i));
		ring_tx_publish(&tx);
		drain();
	}
	ring_tx_trim(&tx);
	ring_tx_trim(&tx);
	ck_assert_uint_eq(pages(), 1);
}
END_TEST

START_TEST(trim_leaves_what_is_committed)
{
	ck_assert(put(100, 5));
	ring_tx_trim(&tx);
	ring_tx_trim(&tx);
	ring_tx_publish(&tx);
	ck_assert_int_eq(next(), RING_OK);
}
END_TEST

/* ---- space ------------------------------------------------------------- */

static void
fill(void)
{
	while (put(1024, 1))
		;
	ring_tx_publish(&tx);
	ck_assert(!ring_tx_half_free(&tx));
}

START_TEST(who_wants_space_is_rung_when_half_is_free)
{
	uint64_t limit;
	uint32_t i;
	int rung = 0;

	fill();
	ring_tx_want(&tx);
	ck_assert_uint_eq(p.seen[0]->peer[1].wants_space & 1, 1);
	ck_assert(!ring_tx_fits(&tx, 1024));
	ck_assert_int_eq(ring_rx_look(&rx, &limit), RING_OK);
	for (i = 0; i < SIZE / 1024; i++) {
		get(limit, 1024, 1);
		if (ring_rx_release(&rx)) {
			rung++;
			ck_assert_uint_eq(i + 1, SIZE / 1024 / 2);
			ck_assert(ring_tx_half_free(&tx));
		}
	}
	ck_assert_int_eq(rung, 1);
	ring_tx_unwant(&tx);
	ck_assert_uint_eq(p.seen[0]->peer[1].wants_space & 1, 0);
}
END_TEST

START_TEST(a_mark_is_passed_when_all_before_it_was_taken)
{
	static const uint64_t starts[] = { 0, LAPS_START,
		((uint64_t)1 << 35) - 4096 /* where a mark wraps */ };
	uint64_t limit;
	uint32_t mark;

	attach_at(starts[_i], starts[_i]);
	ck_assert(ring_tx_passed(&tx, ring_tx_mark(&tx)));
	ck_assert(put(5000, 1));
	mark = ring_tx_mark(&tx);
	ck_assert(put(5000, 2));
	ring_tx_publish(&tx);
	ck_assert(!ring_tx_passed(&tx, mark));
	ck_assert_int_eq(ring_rx_look(&rx, &limit), RING_OK);
	get(limit, 5000, 1);
	ck_assert(!ring_tx_passed(&tx, mark)); /* not released */
	(void)ring_rx_release(&rx);
	ck_assert(ring_tx_passed(&tx, mark));
	ck_assert(!ring_tx_passed(&tx, ring_tx_mark(&tx)));
}
END_TEST

START_TEST(who_arms_again_is_rung_again)
{
	uint64_t limit;
	uint32_t i, last;

	fill();
	ck_assert_int_eq(ring_rx_look(&rx, &limit), RING_OK);
	for (i = 0; i < SIZE / 1024 / 2; i++)
		get(limit, 1024, 1);
	ring_tx_want(&tx);
	last = p.seen[0]->peer[1].wants_space;
	ck_assert(ring_rx_release(&rx));
	get(limit, 1024, 1);
	ck_assert(!ring_rx_release(&rx));
	ring_tx_want(&tx);
	ck_assert_uint_eq(p.seen[0]->peer[1].wants_space, last + 2);
	get(limit, 1024, 1);
	ck_assert(ring_rx_release(&rx));
	ring_tx_unwant(&tx);
	get(limit, 1024, 1);
	ck_assert(!ring_rx_release(&rx));
}
END_TEST

START_TEST(a_successor_does_not_inherit_a_wish)
{
	fill();
	ring_tx_want(&tx);
	shmpair_tx(&p, &tx);
	ck_assert_uint_eq(p.seen[0]->peer[1].wants_space & 1, 0);
}
END_TEST

/* ---- successors -------------------------------------------------------- */

START_TEST(a_producer_goes_on_where_its_predecessor_stood)
{
	uint64_t limit;

	put(100, 1);
	ring_tx_publish(&tx);
	put(100, 2); /* dies before publishing */
	shmpair_tx(&p, &tx);
	put(60, 3);
	ring_tx_publish(&tx);
	ck_assert_int_eq(ring_rx_look(&rx, &limit), RING_OK);
	get(limit, 100, 1);
	get(limit, 60, 3);
	ck_assert_int_eq(next(), RING_EMPTY);
}
END_TEST

START_TEST(a_consumer_starts_at_the_produced_position)
{
	uint64_t limit;

	put(100, 1);
	ring_tx_publish(&tx);
	ck_assert_int_eq(next(), RING_OK); /* and dies, nothing released */
	put(100, 2);
	shmpair_rx(&p, &rx);
	ring_tx_peer_changed(&tx);
	ck_assert_int_eq(next(), RING_EMPTY);
	ring_tx_publish(&tx);
	ck_assert_int_eq(ring_rx_look(&rx, &limit), RING_OK);
	get(limit, 100, 2);
	ring_rx_release(&rx);
	ck_assert(ring_tx_fits(&tx, SIZE / 2));
	ck_assert_uint_eq(tx.consumed == tx.head, 0);
	ck_assert(!tx.broken);
}
END_TEST

START_TEST(a_produced_position_without_sense_is_replaced)
{
	static const uint64_t bad[] = { 4, SIZE + 8, 2 * SIZE,
	    (uint64_t)-8, (uint64_t)1 << 63 };
	uint64_t limit;

	put(100, 1);
	ring_tx_publish(&tx);
	drain();
	p.ring->produced += bad[_i];
	ck_assert_int_eq(ring_rx_look(&rx, &limit), RING_BROKEN);
	ck_assert_int_eq(next(), RING_BROKEN);
	ck_assert(!ring_rx_pending(&rx));
	ring_rx_peer_changed(&rx); /* it is gone */
	shmpair_tx(&p, &tx); /* the next one */
	ck_assert_uint_eq(p.ring->produced, 104);
	ring_rx_peer_changed(&rx);
	put(100, 1);
	ring_tx_publish(&tx);
	ck_assert_int_eq(next(), RING_OK);
	ck_assert_int_eq(next(), RING_EMPTY);
}
END_TEST

START_TEST(records_without_sense_are_skipped_after_the_change)
{
	put(100, 1);
	put(100, 2);
	put(100, 3);
	((struct ring_rec_shm *)(void *)(p.data + 104))->len = 4;
	ring_tx_publish(&tx);
	ck_assert_int_eq(next(), RING_OK);
	ck_assert_int_eq(next(), RING_BROKEN);
	ck_assert(!ring_rx_valid(&rx));
	ring_rx_peer_changed(&rx);
	ck_assert_uint_eq(p.own[1]->peer[0].consumed, 312);
	shmpair_tx(&p, &tx);
	put(100, 4);
	ring_tx_publish(&tx);
	ck_assert_int_eq(next(), RING_OK);
	ck_assert_int_eq(next(), RING_EMPTY);
}
END_TEST

START_TEST(a_consumed_position_without_sense_breaks_the_ring)
{
	static const uint64_t bad[] = { 4, 1000 * 8, SIZE, (uint64_t)-8,
	    (uint64_t)1 << 63 };

	while (put(1024, 1))
		;
	ring_tx_publish(&tx);
	p.own[1]->peer[0].consumed = 1024;
	ck_assert(put(1024, 1));
	p.own[1]->peer[0].consumed = bad[_i] == 1000 * 8 ?
	    tx.published + 8 : 1024 + bad[_i];
	ck_assert(!ring_tx_fits(&tx, 1024));
	ck_assert(tx.broken);
	ck_assert_ptr_null(ring_tx_reserve(&tx, 8));
	ck_assert_uint_eq(ring_tx_room(&tx), 0);
	ck_assert(!ring_tx_half_free(&tx));
	ring_tx_trim(&tx);
	/* Still so after a change before the new one has attached. */
	if (bad[_i] != SIZE && bad[_i] != (uint64_t)-8) {
		ring_tx_peer_changed(&tx);
		ck_assert(tx.broken);
	}
	shmpair_rx(&p, &rx);
	ring_tx_publish(&tx);
	ring_tx_peer_changed(&tx);
	ck_assert(!tx.broken);
	ck_assert(put(1024, 1));
}
END_TEST

START_TEST(attach_survives_any_positions)
{
	static const uint64_t v[] = { 0, 3, 8, SIZE, SIZE + 8, 12345,
	    (uint64_t)-8, (uint64_t)-3, (uint64_t)1 << 63 };
	uint64_t produced = v[_i % 9], consumed = v[_i / 9];

	p.ring->produced = produced;
	p.own[1]->peer[0].consumed = consumed;
	shmpair_tx(&p, &tx);
	ck_assert_uint_eq(tx.head % 8, 0);
	ck_assert_uint_le(tx.head - tx.consumed, SIZE);
	ck_assert(tx.broken == (consumed % 8 != 0));
	if (!tx.broken)
		ck_assert_uint_eq(tx.head, produced % 8 == 0 &&
		    produced - consumed <= SIZE ? produced : consumed);
	shmpair_rx(&p, &rx);
	ck_assert(!rx.broken);
	ring_tx_peer_changed(&tx);
	ck_assert(!tx.broken);
	ck_assert(put(SIZE / 2, 1));
	ring_tx_publish(&tx);
	ck_assert_int_eq(next(), RING_OK);
	ck_assert_int_eq(next(), RING_EMPTY);
}
END_TEST

START_TEST(attach_refuses_what_is_no_ring)
{
	struct zone z = p.ring_rw;

	ck_assert_int_eq(ring_tx_attach(&tx, &p.ring_ro, p.own[0], 0,
	    p.seen[1], 1), -1);
	ck_assert_int_eq(errno, EPROTO);
	z.size = ZONE_PAGE;
	ck_assert_int_eq(ring_tx_attach(&tx, &z, p.own[0], 0, p.seen[1], 1),
	    -1);
	z.size = ZONE_PAGE + 3 * ZONE_PAGE;
	ck_assert_int_eq(ring_rx_attach(&rx, &z, p.own[1], 1, p.seen[0], 0),
	    -1);
	z.size = ZONE_PAGE + 2 * RING_MAX;
	ck_assert_int_eq(ring_rx_attach(&rx, &z, p.own[1], 1, p.seen[0], 0),
	    -1);
	ck_assert_int_eq(errno, EPROTO);
}
END_TEST

/* ---- broken records ---------------------------------------------------- */

static const struct { uint32_t len, kind; uint64_t produced; } broken[] = {
	{ 0, 1, 64 },
	{ 7, 1, 64 },
	{ 65, 1, 64 }, /* beyond what is published */
	{ UINT32_MAX, 1, 64 },
	{ UINT32_MAX - 6, 1, SIZE }, /* its rounding would wrap in 32 bits */
	{ SIZE / 2 + 1, 1, SIZE },
	{ 8, RING_PAD, 64 }, /* a pad that ends before the end */
	{ SIZE - 8, RING_PAD, SIZE },
	{ 0, RING_PAD, 64 },
};
#define NBROKEN (int)(sizeof broken / sizeof broken[0])

START_TEST(a_record_without_sense_breaks_the_ring)
{
	struct ring_rec_shm *rec = (struct ring_rec_shm *)(void *)p.data;

	rec->len = broken[_i].len;
	rec->kind = broken[_i].kind;
	p.ring->produced = broken[_i].produced;
	ck_assert_int_eq(next(), RING_BROKEN);
	ck_assert(rx.broken);
	ck_assert_int_eq(next(), RING_BROKEN);
	ck_assert(!ring_rx_valid(&rx));
	ck_assert_uint_eq(rx.tail, 0);
}
END_TEST

START_TEST(a_record_over_the_end_breaks_the_ring)
{
	struct ring_rec_shm *rec;

	attach_at(SIZE - 64, SIZE - 64);
	rec = (struct ring_rec_shm *)(void *)(p.data + SIZE - 64);
	rec->len = 72;
	rec->kind = 1;
	p.ring->produced = SIZE + 64;
	ck_assert_int_eq(next(), RING_BROKEN);
}
END_TEST

/* Random bytes and random positions: never a crash, nothing read outside. */
START_TEST(garbage_from_the_producer)
{
	const struct ring_rec_shm *rec;
	uint32_t len, kind, sum = 0, k;
	enum ring_status status;
	uint64_t i, limit, steps;
	int round;

	for (round = 0; round < 300; round++) {
		for (i = 0; i < SIZE; i += 8)
			*(uint64_t *)(void *)(p.data + i) = rnd() % 3 ?
			    (rnd() % 400) | rnd() % 3 << 32 : rnd();
		p.ring->produced = rnd() % 2 ? rnd() :
		    rx.tail + (rnd() % (SIZE + 16) & ~(uint64_t)7);
		p.own[0]->peer[1].wants_space = (uint32_t)rnd();
		status = ring_rx_look(&rx, &limit);
		(void)ring_rx_valid(&rx);
		for (steps = 0; status == RING_OK; steps++) {
			MUST(steps <= SIZE / 8);
			status = ring_rx_next(&rx, limit, &rec, &len, &kind);
			if (status != RING_OK)
				break;
			MUST((const uint8_t *)rec >= rx.data);
			MUST(len >= REC);
			MUST(len <= SIZE / 2);
			MUST((const uint8_t *)rec + len <=
			    rx.data + SIZE);
			for (k = 0; k < len; k++)
				sum += ((const uint8_t *)rec)[k];
		}
		(void)ring_rx_release(&rx);
		ring_rx_peer_changed(&rx);
		MUST(!rx.broken);
	}
	ck_assert_uint_ne(sum, 0);
}
END_TEST

START_TEST(garbage_from_the_consumer)
{
	struct ring_rec_shm *rec;
	uint32_t len, made = 0;
	int round;

	for (round = 0; round < 200000; round++) {
		if (rnd() % 4 == 0)
			p.own[1]->peer[0].consumed = rnd() % 4 == 0 ? rnd() :
			    tx.consumed + (rnd() % SIZE & ~(uint64_t)7);
		len = (uint32_t)(rnd() % (SIZE / 2 + 2));
		MUST(ring_tx_room(&tx) <= SIZE / 2);
		if ((rec = ring_tx_reserve(&tx, len)) != NULL) {
			MUST((const uint8_t *)rec >= p.data);
			MUST((uint8_t *)rec + len <= p.data + SIZE);
			rec->len = len;
			rec->kind = 1;
			memset(rec + 1, 0x55, len - REC);
			ring_tx_commit(&tx, len);
			made++;
		}
		if (rnd() % 2)
			ring_tx_publish(&tx);
		(void)ring_tx_half_free(&tx);
		if (rnd() % 64 == 0)
			ring_tx_trim(&tx);
		MUST(tx.head - tx.consumed <= SIZE);
		if (tx.broken && rnd() % 4 == 0) {
			p.own[1]->peer[0].consumed = p.ring->produced;
			ring_tx_peer_changed(&tx);
			MUST(!tx.broken);
		}
	}
	ck_assert_uint_gt(made, 1000);
}
END_TEST

/* ---- sizes ------------------------------------------------------------- */

static const struct {
	uint64_t memory;
	uint32_t nslots;
	uint64_t size, need;
} sizes[] = {
	{ (uint64_t)256 << 20, 64, RING_MIN, 4032 * RING_MIN },
	{ (uint64_t)256 << 20, 4, RING_MAX, 12 * RING_MIN },
	{ (uint64_t)256 << 20, 10, 2 << 20, 90 * RING_MIN },
	{ 12 * RING_MIN, 4, RING_MIN, 12 * RING_MIN },
	{ 12 * RING_MIN - 1, 4, 0, 12 * RING_MIN },
	{ 12 * 2 * RING_MIN - 1, 4, RING_MIN, 12 * RING_MIN },
	{ 12 * 2 * RING_MIN, 4, 2 * RING_MIN, 12 * RING_MIN },
	{ 0, 2, 0, 2 * RING_MIN },
	{ UINT64_MAX, 64, RING_MAX, 4032 * RING_MIN },
	{ 0, 1, RING_MIN, 0 },
};
#define NSIZES (int)(sizeof sizes / sizeof sizes[0])

START_TEST(size_for_memory)
{
	uint64_t need = 1;

	ck_assert_uint_eq(ring_size_for(sizes[_i].memory, sizes[_i].nslots,
	    &need), sizes[_i].size);
	ck_assert_uint_eq(need, sizes[_i].need);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("ring");
	TCase *tc = tcase_create("ring");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, nothing_is_seen_before_publish);
	tcase_add_test(tc, an_uncommitted_reservation_is_forgotten);
	tcase_add_test(tc, a_commit_may_be_shorter);
	tcase_add_test_raise_signal(tc, a_commit_may_not_be_longer, SIGABRT);
	tcase_add_test_raise_signal(tc, a_commit_needs_a_reservation, SIGABRT);
	tcase_add_test_raise_signal(tc,
	    a_refused_reservation_replaces_one_before, SIGABRT);
	tcase_add_test_raise_signal(tc, a_caller_may_not_make_pads, SIGABRT);
	tcase_add_test(tc, sizes_that_never_fit);
	tcase_add_test(tc, an_empty_ring_takes_any_record);
	tcase_add_test(tc, a_full_ring_says_so_and_recovers);
	tcase_add_test(tc, limit_is_respected);
	tcase_add_loop_test(tc, random_operations_against_a_model, 0, 3);
	tcase_add_test(tc, a_quiet_ring_stays_in_its_first_quarter);
	tcase_add_test(tc, trim_gives_pages_back);
	tcase_add_test(tc, trim_leaves_what_is_committed);
	tcase_add_test(tc, who_wants_space_is_rung_when_half_is_free);
	tcase_add_loop_test(tc, a_mark_is_passed_when_all_before_it_was_taken,
	    0, 3);
	tcase_add_test(tc, who_arms_again_is_rung_again);
	tcase_add_test(tc, a_successor_does_not_inherit_a_wish);
	tcase_add_test(tc, a_producer_goes_on_where_its_predecessor_stood);
	tcase_add_test(tc, a_consumer_starts_at_the_produced_position);
	tcase_add_loop_test(tc, a_produced_position_without_sense_is_replaced,
	    0, 5);
	tcase_add_test(tc, records_without_sense_are_skipped_after_the_change);
	tcase_add_loop_test(tc,
	    a_consumed_position_without_sense_breaks_the_ring, 0, 5);
	tcase_add_loop_test(tc, attach_survives_any_positions, 0, 81);
	tcase_add_test(tc, attach_refuses_what_is_no_ring);
	tcase_add_loop_test(tc, a_record_without_sense_breaks_the_ring, 0,
	    NBROKEN);
	tcase_add_test(tc, a_record_over_the_end_breaks_the_ring);
	tcase_add_test(tc, garbage_from_the_producer);
	tcase_add_test(tc, garbage_from_the_consumer);
	tcase_add_loop_test(tc, size_for_memory, 0, NSIZES);
	suite_add_tcase(s, tc);
	return s;
}

int
main(void)
{
	return unit_run(suite());
}
