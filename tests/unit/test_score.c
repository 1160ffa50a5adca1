/* SPDX-License-Identifier: BSD-2-Clause */
/* The scoreboard: where lines lie, how they open and close, texts. */
#include <config.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "lib/unit.h"
#include "shm/own.h"
#include "shm/score.h"

#define NLINES 37

static struct zone_fds fds;
static struct zone rw, ro;

static void
setup(void)
{
	ck_assert_int_eq(zone_create("own", OWN_MAGIC, own_shm_size(NLINES),
	    &fds), 0);
	ck_assert_int_eq(zone_map_rw(&fds, OWN_MAGIC, &rw), 0);
	ck_assert_int_eq(zone_map_ro(&fds, OWN_MAGIC, &ro), 0);
}

static void
teardown(void)
{
	zone_unmap(&rw);
	zone_unmap(&ro);
	zone_close(&fds);
}

START_TEST(lines_lie_apart_and_inside)
{
	uintptr_t end, next;
	uint32_t i;

	ck_assert_uint_eq(own_head_size() % ZONE_PAGE, 0);
	ck_assert_uint_ge(own_head_size(), sizeof(struct own_shm));
	ck_assert_uint_eq(own_shm_size(NLINES),
	    own_head_size() + score_shm_size(NLINES));
	ck_assert_ptr_eq(score_proc(&rw), rw.base + own_head_size());
	end = (uintptr_t)(score_proc(&rw) + 1);
	for (i = 0; i < NLINES; i++) {
		next = (uintptr_t)score_conn(&rw, i);
		ck_assert_uint_eq(next, end);
		ck_assert_uint_eq(next % SCORE_ALIGN, 0);
		end = (uintptr_t)(score_conn(&rw, i) + 1);
	}
	ck_assert_uint_le(end, (uintptr_t)rw.base + rw.size);
	ck_assert_ptr_null(score_conn(&rw, UINT32_MAX));
	ck_assert_ptr_null(score_conn(&rw, NLINES + ZONE_PAGE));
}
END_TEST

START_TEST(counters_count)
{
	struct score_proc_shm *proc = score_proc(&rw);
	const struct score_proc_shm *seen = score_proc(&ro);

	score_add(&proc->in_msgs, 5);
	score_add(&proc->in_msgs, 7);
	score_add(&proc->connections, 3);
	score_sub(&proc->connections, 2);
	ck_assert_uint_eq(score_get(&seen->in_msgs), 12);
	ck_assert_uint_eq(score_get(&seen->connections), 1);
	ck_assert_uint_eq(score_get(&seen->out_msgs), 0);
}
END_TEST

START_TEST(a_line_opens_and_closes)
{
	struct score_conn_shm *conn = score_conn(&rw, 3);
	const struct score_conn_shm *seen = score_conn(&ro, 3);

	ck_assert_uint_eq(score_conn_state(seen), SCORE_FREE);
	score_conn_clear(conn);
	score_add(&conn->cid, 99);
	score_text(conn->name, SCORE_NAME, "tester", 6);
	score_conn_open(conn);
	ck_assert_uint_eq(score_conn_state(seen), SCORE_OPEN);
	ck_assert_uint_eq(score_get(&seen->cid), 99);
	ck_assert_str_eq(seen->name, "tester");
	ck_assert_uint_eq(score_conn_state(score_conn(&ro, 2)), SCORE_FREE);
	ck_assert_uint_eq(score_conn_state(score_conn(&ro, 4)), SCORE_FREE);
	score_conn_close(conn);
	ck_assert_uint_eq(score_conn_state(seen), SCORE_FREE);
	score_conn_clear(conn);
	ck_assert_uint_eq(score_get(&seen->cid), 0);
	ck_assert_str_eq(seen->name, "");
}
END_TEST

START_TEST(an_open_line_is_not_opened_again)
{
	struct score_conn_shm *conn = score_conn(&rw, 0);

	score_conn_open(conn);
	score_conn_open(conn);
}
END_TEST

START_TEST(an_open_line_is_not_cleared)
{
	struct score_conn_shm *conn = score_conn(&rw, 0);

	score_conn_open(conn);
	score_conn_clear(conn);
}
END_TEST

START_TEST(texts_are_cut_and_padded)
{
	char dst[SCORE_LANG], src[200];
	size_t i;

	memset(dst, 'z', sizeof dst);
	score_text(dst, sizeof dst, NULL, 0);
	for (i = 0; i < sizeof dst; i++)
		ck_assert_int_eq(dst[i], 0);
	memset(src, 'a', sizeof src);
	score_text(dst, sizeof dst, src, SCORE_LANG - 1);
	ck_assert_uint_eq(strlen(dst), SCORE_LANG - 1);
	score_text(dst, sizeof dst, src, sizeof src);
	ck_assert_uint_eq(strlen(dst), SCORE_LANG - 1);
	/* Two bytes of UTF-8 over the edge: both go. */
	memcpy(src + SCORE_LANG - 2, "\xc3\xa9", 2);
	score_text(dst, sizeof dst, src, sizeof src);
	ck_assert_uint_eq(strlen(dst), SCORE_LANG - 2);
	/* Nothing but continuation bytes: nothing is left. */
	memset(src, 0x80, sizeof src);
	score_text(dst, sizeof dst, src, sizeof src);
	ck_assert_uint_eq(strlen(dst), 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("score");
	TCase *tc = tcase_create("score");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, lines_lie_apart_and_inside);
	tcase_add_test(tc, counters_count);
	tcase_add_test(tc, a_line_opens_and_closes);
	tcase_add_test_raise_signal(tc, an_open_line_is_not_opened_again,
	    SIGABRT);
	tcase_add_test_raise_signal(tc, an_open_line_is_not_cleared, SIGABRT);
	tcase_add_test(tc, texts_are_cut_and_padded);
	suite_add_tcase(s, tc);
	return unit_run(s);
}
