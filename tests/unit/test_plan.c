/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A message from one worker to another: what plan.c writes is what receive.c
 * delivers; what makes no sense is refused, and no byte behind it is read.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/tries.h"
#include "lib/unit.h"
#include "worker/plan.h"
#include "worker/record.h"
#include "worker/worker_priv.h"

#define FROM 0 /* the sender's slot */
#define TO 1 /* the receiver's */
#define GOT_MAX 65536

/* A subscriber that writes down what it gets. */
struct reader {
	struct subscriber who;
	struct sub_map map;
	uint32_t taken; /* messages */
	uint32_t takes; /* so many at most */
	char got[GOT_MAX]; /* "subject|reply|body;" */
	size_t len;
};

static struct tries t;
static struct worker *w;
static struct score_proc_shm score;
static struct reader reader[4];
static uint64_t dice;

/* ---- the receiver ---- */

static bool
reader_accepts(const struct worker *worker, const struct subscriber *who,
    const struct sub *s, const struct msg *m)
{
	const struct reader *r = (const struct reader *)(const void *)who;

	(void)worker;
	(void)s;
	(void)m;
	return r->taken < r->takes;
}

static void
note(struct reader *r, const void *p, size_t len, const char *end)
{
	if (r->len + len + 1 >= GOT_MAX)
		return;
	if (len > 0)
		memcpy(r->got + r->len, p, len);
	r->len += len;
	r->got[r->len++] = *end;
	r->got[r->len] = '\0';
}

static uint32_t
reader_deliver(struct worker *worker, struct subscriber *who,
    const struct sub *s, struct msg *m, uint32_t first, uint32_t n)
{
	struct reader *r = (struct reader *)(void *)who;
	uint32_t i;

	for (i = first; i < first + n; i++) {
		if (!reader_accepts(worker, who, s, m))
			return i - first;
		r->taken++;
		note(r, m->subject.p, m->subject.len, "|");
		note(r, m->reply.p, m->reply.len, "|");
		/* With its CR LF, which has to be there. */
		note(r, m->body + i * m->stride, m->size + 2, ";");
	}
	return n;
}

static void
reader_finished(struct worker *worker, struct subscriber *who, uint32_t n)
{
	struct reader *r = (struct reader *)(void *)who;

	subs_del(&worker->subs, &r->map, ACCOUNT_DEFAULT, n);
}

static bool
reader_fits(const struct worker *worker, const struct subscriber *who,
    const struct sub *s, const struct msg *m)
{
	(void)worker;
	(void)who;
	(void)s;
	(void)m;
	return true;
}

static bool
reader_dropped(struct worker *worker, struct subscriber *who,
    const struct sub *s, const struct msg *m)
{
	(void)worker;
	(void)who;
	(void)s;
	(void)m;
	return false;
}

static const struct subscriber_ops reader_ops = { reader_accepts,
	reader_fits, reader_dropped, reader_deliver, reader_finished };

static void
on_broken(void *ctx, slotno slot)
{
	(void)ctx;
	ck_abort_msg("slot %u is broken", slot);
}

static void
setup_matcher(void)
{
	struct matcher *mt = &w->matcher;
	slotno s;

	mt->slots = &t.slots;
	mt->self = TO;
	mt->hash_seed = TRIES_SEED;
	mt->broken = on_broken;
	for (s = 0; s < 2; s++)
		tries_check(trie_reader_attach(&mt->reader[s], &t.ro[s],
		    TRIES_SEED));
	mt->readable = 3;
	tries_check(match_init(mt, TRIES_TOKENS));
	(void)match_look(mt);
}

static void
setup(void)
{
	int i;

	tries_new(&t, 2);
	w = calloc(1, sizeof *w);
	ck_assert_ptr_nonnull(w);
	memset(&score, 0, sizeof score);
	memset(reader, 0, sizeof reader);
	for (i = 0; i < 4; i++) {
		reader[i].who.ops = &reader_ops;
		reader[i].takes = UINT32_MAX;
	}
	w->self = TO;
	w->incarnation = TO + 1;
	w->nslots = 2;
	w->score = &score;
	w->rnd = 88172645463325252u;
	w->slots = &t.slots;
	w->trie = t.trie[TO];
	tries_check(subs_init(&w->subs, t.trie[TO], TRIES_SEED, TRIES_BYTES));
	setup_matcher();
	tries_check(refuse_init(w));
	dice = 1;
}

static void
teardown(void)
{
	int i;

	for (i = 0; i < 4; i++)
		subs_del_all(&w->subs, &reader[i].map, ACCOUNT_DEFAULT);
	subs_fini(&w->subs);
	match_fini(&w->matcher);
	refuse_fini(w);
	receive_fini(w);
	free(w->scratch);
	free(w);
	tries_free(&t);
}

static struct slice
slice(const char *text)
{
	struct slice s = { (const uint8_t *)text, (uint32_t)strlen(text) };

	return s;
}

static subno
sub(int r, const char *pattern, const char *queue)
{
	static struct token tok[TRIES_TOKENS];
	static unsigned number;
	struct sub_new n;
	char sid[16];
	subno no;

	memset(&n, 0, sizeof n);
	(void)snprintf(sid, sizeof sid, "%u", ++number);
	n.who = &reader[r].who;
	n.map = &reader[r].map;
	n.account = ACCOUNT_DEFAULT;
	n.ntok = tries_split(pattern, tok);
	n.tok = tok;
	n.sid = slice(sid);
	if (queue != NULL)
		n.queue = slice(queue);
	ck_assert_int_eq(subs_add(&w->subs, &n, &no), TRIE_OK);
	match_changed(&w->matcher);
	return no;
}

/* ---- the sender ---- */

struct sent {
	struct msg m;
	struct plan_part part;
	slotno choice[16];
	uint8_t *rec; /* a block of exactly its length */
	uint32_t len;
};

/* A record as the worker in FROM would write it, by what is known now. */
static void
plan(struct sent *s, const char *subject, const char *reply, const char *body,
    uint32_t count)
{
	uint32_t one = (uint32_t)strlen(body), head, i;
	const struct match *x;

	memset(s, 0, sizeof *s);
	(void)match_look(&w->matcher);
	s->m.account = ACCOUNT_DEFAULT;
	s->m.count = count;
	s->m.subject = slice(subject);
	s->m.reply = slice(reply);
	s->m.size = one;
	s->m.from.slot = FROM;
	s->m.from.incarnation = FROM + 1;
	s->m.from.echo = true;
	x = match_find(&w->matcher, ACCOUNT_DEFAULT, s->m.subject);
	ck_assert_uint_le(x->ngroup, 16);
	s->part.m = &s->m;
	s->part.x = x;
	s->part.slot = TO;
	s->part.target = TO + 1;
	s->part.plain = (x->plain_slots >> TO & 1) != 0;
	s->part.nslots = 1;
	if (x->ngroup > 0)
		s->part.choice = s->choice;
	for (i = 0; i < x->ngroup; i++)
		s->choice[i] = TO;
	head = plan_head_len(&s->part);
	s->len = head + count * (one + 2);
	s->rec = malloc(s->len);
	ck_assert_ptr_nonnull(s->rec);
	plan_head_write(&s->part, s->len - head, s->rec);
	for (i = 0; i < count; i++) {
		memcpy(s->rec + head + i * (one + 2), body, one);
		memcpy(s->rec + head + i * (one + 2) + one, "\r\n", 2);
	}
}

static struct rec_msg_shm
head_of(const struct sent *s)
{
	struct rec_msg_shm r;

	memcpy(&r, s->rec, sizeof r);
	return r;
}

static void
receive(const struct sent *s)
{
	ck_assert_int_eq(receive_msg(w, FROM, s->rec, s->len), 0);
}

/* ---- tests ---- */

START_TEST(a_run_arrives_as_it_was_sent)
{
	struct sent s;

	(void)sub(0, "a.b", NULL);
	(void)sub(1, "a.*", NULL);
	plan(&s, "a.b", "re.ply", "hello", 3);
	ck_assert_uint_eq(head_of(&s).head.len, s.len);
	ck_assert_uint_eq(head_of(&s).head.kind, RECORD_MSG);
	ck_assert_uint_eq(head_of(&s).target, TO + 1);
	ck_assert_uint_eq(head_of(&s).nplain, 2);
	receive(&s);
	ck_assert_str_eq(reader[0].got, "a.b|re.ply|hello\r\n;"
	    "a.b|re.ply|hello\r\n;a.b|re.ply|hello\r\n;");
	ck_assert_str_eq(reader[1].got, reader[0].got);
	ck_assert_uint_eq(score_get(&score.ring_msgs_in), 3);
	free(s.rec);
}
END_TEST

START_TEST(empty_bodies_and_no_reply)
{
	struct sent s;

	(void)sub(0, "a", NULL);
	plan(&s, "a", "", "", 2);
	receive(&s);
	ck_assert_str_eq(reader[0].got, "a||\r\n;a||\r\n;");
	free(s.rec);
}
END_TEST

/* Plain subscribers, and one member of each group. */
START_TEST(groups_get_one_each)
{
	struct sent s;
	int i;

	(void)sub(0, "a.b", NULL);
	(void)sub(1, "a.b", "a group whose name is longer than a cell holds");
	(void)sub(2, "a.*", "a group whose name is longer than a cell holds");
	(void)sub(3, "a.>", "q");
	for (i = 0; i < 100; i++) {
		plan(&s, "a.b", "", "x", 1);
		ck_assert_uint_eq(head_of(&s).ngroups, 2);
		receive(&s);
		free(s.rec);
	}
	ck_assert_uint_eq(reader[0].taken, 100);
	ck_assert_uint_eq(reader[1].taken + reader[2].taken, 100);
	ck_assert_uint_gt(reader[1].taken, 20);
	ck_assert_uint_gt(reader[2].taken, 20);
	ck_assert_uint_eq(reader[3].taken, 100);
}
END_TEST

START_TEST(a_member_that_does_not_take_it_is_passed_over)
{
	struct sent s;
	int i;

	for (i = 0; i < 3; i++)
		(void)sub(i, "a.b", "q");
	reader[0].takes = reader[2].takes = 0;
	for (i = 0; i < 20; i++) {
		plan(&s, "a.b", "", "x", 1);
		receive(&s);
		free(s.rec);
	}
	ck_assert_uint_eq(reader[1].taken, 20);
	/* Nobody at all: no harm. */
	reader[1].takes = 0;
	plan(&s, "a.b", "", "x", 1);
	receive(&s);
	free(s.rec);
}
END_TEST

/* More references than travel: the receiver matches anew. */
START_TEST(many_patterns_go_without_references)
{
	char pattern[64], subject[] = "a.b.c.d.e";
	struct sent s;
	uint32_t i, k;

	for (i = 0; i < 20; i++) {
		/* 20 of the 32 patterns with a star here and there. */
		(void)strcpy(pattern, subject);
		for (k = 0; k < 5; k++)
			if (i >> k & 1)
				pattern[2 * k] = '*';
		(void)sub(0, pattern, NULL);
	}
	plan(&s, subject, "", "x", 1);
	ck_assert_uint_eq(head_of(&s).flags & RECORD_F_REFS, 0);
	ck_assert_uint_eq(head_of(&s).nplain, 0);
	receive(&s);
	ck_assert_uint_eq(reader[0].taken, 20);
	free(s.rec);
}
END_TEST

/* Between sending and receiving the interest changes: who is there now gets
 * it, once. */
START_TEST(stale_references_are_matched_anew)
{
	struct sent s;
	subno gone;

	gone = sub(0, "a.b", NULL);
	(void)sub(1, "a.*", NULL);
	plan(&s, "a.b", "", "x", 1);
	subs_del(&w->subs, &reader[0].map, ACCOUNT_DEFAULT, gone);
	match_changed(&w->matcher);
	(void)sub(2, ">", NULL);
	receive(&s);
	ck_assert_uint_eq(reader[0].taken, 0);
	ck_assert_uint_eq(reader[1].taken, 1);
	ck_assert_uint_eq(reader[2].taken, 1);
	free(s.rec);
}
END_TEST

START_TEST(a_max_is_not_exceeded_by_a_run)
{
	struct sent s;
	subno no = sub(0, "a", NULL);

	(void)sub(1, "a", NULL);
	subs_at(&w->subs, no)->max = 5;
	plan(&s, "a", "", "x", 4);
	receive(&s);
	ck_assert_uint_eq(reader[0].taken, 4);
	receive(&s);
	ck_assert_uint_eq(reader[0].taken, 5);
	ck_assert_uint_eq(reader[0].map.n, 0);
	ck_assert_uint_eq(reader[1].taken, 8);
	free(s.rec);
}
END_TEST

/* Somebody who stands twice gets message after message, not run after run. */
START_TEST(twins_keep_the_order)
{
	struct sent s;
	uint8_t *body;
	char want[256] = "";
	int i;

	(void)sub(0, "a.b", NULL);
	(void)sub(0, "a.*", NULL);
	plan(&s, "a.b", "", "?", 4);
	body = s.rec + s.len - 4 * 3;
	for (i = 0; i < 4; i++) {
		body[3 * i] = (uint8_t)('0' + i);
		(void)snprintf(want + strlen(want), 64,
		    "a.b||%d\r\n;a.b||%d\r\n;", i, i);
	}
	receive(&s);
	ck_assert_str_eq(reader[0].got, want);
	free(s.rec);
}
END_TEST

/* A line longer than this worker's own limit (its configuration may be the
 * older one). */
START_TEST(long_subjects_get_room)
{
	char *subject = malloc(300001);
	struct sent s;

	ck_assert_ptr_nonnull(subject);
	memset(subject, 's', 300000);
	subject[300000] = '\0';
	(void)sub(0, ">", NULL);
	plan(&s, subject, "", "x", 1);
	receive(&s);
	ck_assert_uint_eq(reader[0].taken, 1);
	ck_assert_uint_gt(w->scratch_size, 300000 + UINT16_MAX);
	free(s.rec);
	free(subject);
}
END_TEST

/* ---- nonsense ---- */

static void
rich(struct sent *s)
{
	(void)sub(0, "a.b", NULL);
	(void)sub(1, "a.*", NULL);
	(void)sub(2, "a.b", "group");
	(void)sub(3, "a.>", "another group");
	plan(s, "a.b", "re.ply", "some text", 1);
}

START_TEST(every_truncation_is_refused)
{
	struct sent s;
	uint8_t *cut;
	uint32_t n;

	rich(&s);
	receive(&s);
	for (n = 0; n < s.len; n++) {
		/* A block of its own: a byte too far is found. */
		cut = malloc(n > 0 ? n : 1);
		ck_assert_ptr_nonnull(cut);
		memcpy(cut, s.rec, n);
		ck_assert_int_eq(receive_msg(w, FROM, cut, n), -1);
		free(cut);
	}
	ck_assert_uint_eq(reader[0].taken, 1);
	free(s.rec);
}
END_TEST

START_TEST(a_longer_one_is_refused)
{
	struct sent s;
	uint8_t *more;

	rich(&s);
	more = calloc(1, s.len + 64);
	ck_assert_ptr_nonnull(more);
	memcpy(more, s.rec, s.len);
	ck_assert_int_eq(receive_msg(w, FROM, more, s.len + 1), -1);
	ck_assert_int_eq(receive_msg(w, FROM, more, s.len + 64), -1);
	free(more);
	free(s.rec);
}
END_TEST

#define REFUSED(field, value) do { \
	struct rec_msg_shm r = head_of(&s); \
	r.field = (value); \
	memcpy(copy, s.rec, s.len); \
	memcpy(copy, &r, sizeof r); \
	ck_assert_int_eq(receive_msg(w, FROM, copy, s.len), -1); \
} while (0)

START_TEST(bad_words_are_refused)
{
	struct sent s;
	uint8_t *copy;

	rich(&s);
	copy = malloc(s.len);
	ck_assert_ptr_nonnull(copy);
	REFUSED(count, 0);
	REFUSED(count, 2);
	REFUSED(count, UINT32_MAX);
	REFUSED(size, UINT32_MAX);
	REFUSED(size, r.size + 1);
	REFUSED(size, r.size - 1);
	REFUSED(hdr_size, r.size + 1);
	REFUSED(hdr_size, UINT32_MAX);
	REFUSED(subject_len, 0);
	REFUSED(subject_len, UINT32_MAX);
	REFUSED(reply_len, UINT32_MAX);
	REFUSED(reply_len, r.reply_len + 1);
	REFUSED(nplain, 17);
	REFUSED(nplain, 255);
	REFUSED(nplain, 0);
	REFUSED(ngroups, UINT32_MAX);
	REFUSED(ngroups, 3);
	REFUSED(origin_slot, SLOTS_MAX);
	ck_assert_uint_eq(reader[0].taken + reader[1].taken +
	    reader[2].taken + reader[3].taken, 0);
	free(copy);
	free(s.rec);
}
END_TEST

/* Whatever stands there, it ends and reads nothing else. */
START_TEST(random_damage_does_no_harm)
{
	struct sent s;
	uint8_t *copy;
	uint32_t i, k, at;

	rich(&s);
	copy = malloc(s.len);
	ck_assert_ptr_nonnull(copy);
	dice = (uint64_t)_i + 1;
	for (i = 0; i < 20000; i++) {
		memcpy(copy, s.rec, s.len);
		for (k = 1 + tries_rnd(&dice, 4); k > 0; k--) {
			at = tries_rnd(&dice, s.len);
			if (tries_rnd(&dice, 2) == 0)
				copy[at] ^= (uint8_t)(1u <<
				    tries_rnd(&dice, 8));
			else
				copy[at] = (uint8_t)tries_rnd(&dice, 256);
		}
		(void)receive_msg(w, FROM, copy, s.len);
		for (k = 0; k < 4; k++)
			reader[k].len = 0;
	}
	/* It still serves. */
	k = reader[0].taken;
	receive(&s);
	ck_assert_uint_eq(reader[0].taken, k + 1);
	free(copy);
	free(s.rec);
}
END_TEST

/* ---- pieces ---- */

/* One piece of a record, in a block of its own. */
static int
receive_piece(const struct sent *s, uint32_t off, uint32_t len, uint32_t total)
{
	struct rec_fragment_shm f;
	uint8_t *piece = malloc(sizeof f + len);
	int r;

	ck_assert_ptr_nonnull(piece);
	memset(&f, 0, sizeof f);
	f.head.len = (uint32_t)sizeof f + len;
	f.head.kind = RECORD_FRAGMENT;
	f.target = TO + 1;
	f.total = total;
	f.offset = off;
	f.len = len;
	memcpy(piece, &f, sizeof f);
	if (off <= s->len && len <= s->len - off)
		memcpy(piece + sizeof f, s->rec + off, len);
	r = big_receive(w, FROM, piece, (uint32_t)sizeof f + len);
	free(piece);
	return r;
}

static void
receive_pieces(const struct sent *s, uint32_t from, uint32_t step)
{
	uint32_t off, n;

	for (off = from; off < s->len; off += n) {
		n = s->len - off < step ? s->len - off : step;
		ck_assert_int_eq(receive_piece(s, off, n, s->len), 0);
	}
}

START_TEST(pieces_make_a_whole)
{
	struct peer *p = &w->peer[FROM];
	struct sent s;

	rich(&s);
	buf_init(&p->assembly, 1 << 20);
	receive_pieces(&s, 0, 7);
	ck_assert_uint_eq(reader[0].taken, 1);
	/* Nothing is kept behind it. */
	ck_assert_ptr_null(p->assembly.data);
	/* A tail without its head, a head without its tail. */
	receive_pieces(&s, 7, 7);
	ck_assert_uint_eq(reader[0].taken, 1);
	ck_assert_int_eq(receive_piece(&s, 0, 10, s.len), 0);
	receive_pieces(&s, 0, 11);
	ck_assert_uint_eq(reader[0].taken, 2);
	/* One left out: lost, but the next one comes. */
	ck_assert_int_eq(receive_piece(&s, 0, 10, s.len), 0);
	receive_pieces(&s, 20, 10);
	ck_assert_uint_eq(reader[0].taken, 2);
	receive_pieces(&s, 0, s.len);
	ck_assert_uint_eq(reader[0].taken, 3);
	buf_fini(&p->assembly);
	free(s.rec);
}
END_TEST

START_TEST(pieces_that_make_no_sense_are_refused)
{
	struct peer *p = &w->peer[FROM];
	struct sent s;

	rich(&s);
	buf_init(&p->assembly, 1 << 20);
	ck_assert_int_eq(receive_piece(&s, 0, 0, s.len), -1);
	ck_assert_int_eq(receive_piece(&s, 0, 10, 9), -1);
	ck_assert_int_eq(receive_piece(&s, 5, 10, 14), -1);
	ck_assert_int_eq(receive_piece(&s, UINT32_MAX, 10, s.len), -1);
	ck_assert_int_eq(receive_piece(&s, 0, 10, UINT32_MAX), -1);
	ck_assert_int_eq(receive_piece(&s, 0, 10, (1 << 20) + 1), -1);
	ck_assert_int_eq(big_receive(w, FROM, s.rec, 23), -1);
	/* Whole, but no message. */
	ck_assert_int_eq(receive_piece(&s, 0, s.len - 1, s.len - 1), -1);
	ck_assert_uint_eq(reader[0].taken, 0);
	receive_pieces(&s, 0, 50);
	ck_assert_uint_eq(reader[0].taken, 1);
	buf_fini(&p->assembly);
	free(s.rec);
}
END_TEST

static Suite *
plan_suite(void)
{
	Suite *s = suite_create("plan");
	TCase *tc = tcase_create("records");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_run_arrives_as_it_was_sent);
	tcase_add_test(tc, empty_bodies_and_no_reply);
	tcase_add_test(tc, groups_get_one_each);
	tcase_add_test(tc, a_member_that_does_not_take_it_is_passed_over);
	tcase_add_test(tc, many_patterns_go_without_references);
	tcase_add_test(tc, stale_references_are_matched_anew);
	tcase_add_test(tc, a_max_is_not_exceeded_by_a_run);
	tcase_add_test(tc, twins_keep_the_order);
	tcase_add_test(tc, long_subjects_get_room);
	tcase_add_test(tc, every_truncation_is_refused);
	tcase_add_test(tc, a_longer_one_is_refused);
	tcase_add_test(tc, bad_words_are_refused);
	tcase_add_loop_test(tc, random_damage_does_no_harm, 0, 3);
	tcase_add_test(tc, pieces_make_a_whole);
	tcase_add_test(tc, pieces_that_make_no_sense_are_refused);
	suite_add_tcase(s, tc);
	return s;
}

int
main(void)
{
	return unit_run(plan_suite());
}
