/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The head of a message's record for one slot: origin, flags, references,
 * groups, subject and reply (record.h).
 */
#include <config.h>

#include <string.h>

#include "worker/plan.h"
#include "worker/record.h"

#define PAD8(n) (((n) + 7u) & ~7u)

static bool
chosen(const struct plan_part *p, uint32_t g)
{
	return p->choice != NULL && p->choice[g] == p->slot;
}

static uint32_t
plain_refs(const struct plan_part *p)
{
	uint32_t i, n = 0;

	if (!p->plain)
		return 0;
	for (i = 0; i < p->x->nplain; i++)
		if (p->x->plain[i].slot == p->slot)
			n++;
	return n;
}

static uint32_t
group_refs(const struct plan_part *p, const struct match_group *g)
{
	uint32_t i, n = 0;

	for (i = g->first; i != 0; i = p->x->part[i - 1].next)
		if (p->x->part[i - 1].slot == p->slot)
			n++;
	return n;
}

/* Do all references fit into a record? */
static bool
refs_travel(const struct plan_part *p)
{
	uint32_t n = plain_refs(p), g;

	for (g = 0; p->choice != NULL && g < p->x->ngroup; g++)
		if (chosen(p, g))
			n += group_refs(p, &p->x->group[g]);
	return n <= RECORD_REFS_MAX;
}

uint32_t
plan_head_len(const struct plan_part *p)
{
	bool refs = refs_travel(p);
	uint32_t g, len = sizeof(struct rec_msg_shm);

	if (refs)
		len += plain_refs(p) * sizeof(struct rec_ref_shm);
	for (g = 0; p->choice != NULL && g < p->x->ngroup; g++) {
		if (!chosen(p, g))
			continue;
		len += sizeof(struct rec_group_shm) +
		    PAD8(p->x->group[g].namelen);
		if (refs)
			len += group_refs(p, &p->x->group[g]) *
			    sizeof(struct rec_ref_shm);
	}
	return len + p->m->subject.len + p->m->reply.len;
}

static uint8_t *
put(uint8_t *dst, const void *src, size_t len)
{
	if (len > 0)
		memcpy(dst, src, len);
	return dst + len;
}

static uint8_t *
put_ref(uint8_t *dst, struct trie_ref ref)
{
	struct rec_ref_shm r;

	r.cell = ref.cell;
	r.serial = ref.serial;
	return put(dst, &r, sizeof r);
}

static uint8_t *
put_group(const struct plan_part *p, const struct match_group *g, bool refs,
    uint8_t *dst)
{
	struct rec_group_shm h;
	uint32_t i;

	h.namelen = g->namelen;
	h.nrefs = refs ? group_refs(p, g) : 0;
	dst = put(dst, &h, sizeof h);
	memset(dst, 0, PAD8(g->namelen));
	(void)put(dst, p->x->names + g->name, g->namelen);
	dst += PAD8(g->namelen);
	for (i = g->first; refs && i != 0; i = p->x->part[i - 1].next)
		if (p->x->part[i - 1].slot == p->slot)
			dst = put_ref(dst, p->x->part[i - 1].ref);
	return dst;
}

static void
fill_head(const struct plan_part *p, bool refs, uint32_t len,
    struct rec_msg_shm *r)
{
	const struct msg *m = p->m;

	memset(r, 0, sizeof *r);
	r->head.len = len;
	r->head.kind = RECORD_MSG;
	r->target = p->target;
	r->count = m->count;
	r->account = m->account;
	r->flags = (uint8_t)((p->plain ? RECORD_F_PLAIN : 0) |
	    (refs ? RECORD_F_REFS : 0) |
	    (m->from.echo ? RECORD_F_ECHO : 0) |
	    (p->ask ? RECORD_F_ASK : 0));
	r->origin_slot = m->from.slot;
	r->nplain = refs ? (uint8_t)plain_refs(p) : 0;
	r->origin_incarnation = m->from.incarnation;
	r->origin_line = m->from.line;
	r->origin_num = m->from.num;
	r->ticket = m->from.ticket;
	r->nslots = p->nslots;
	r->hdr_size = m->hdr_size;
	r->size = m->size;
	r->subject_len = m->subject.len;
	r->reply_len = m->reply.len;
	r->tried = p->tried;
}

void
plan_head_write(const struct plan_part *p, uint32_t body_len, uint8_t *dst)
{
	bool refs = refs_travel(p);
	struct rec_msg_shm r;
	uint8_t *at = dst + sizeof r;
	uint32_t i, g, ngroups = 0;

	for (i = 0; refs && p->plain && i < p->x->nplain; i++)
		if (p->x->plain[i].slot == p->slot)
			at = put_ref(at, p->x->plain[i].ref);
	for (g = 0; p->choice != NULL && g < p->x->ngroup; g++) {
		if (!chosen(p, g))
			continue;
		at = put_group(p, &p->x->group[g], refs, at);
		ngroups++;
	}
	at = put(at, p->m->subject.p, p->m->subject.len);
	at = put(at, p->m->reply.p, p->m->reply.len);
	fill_head(p, refs, (uint32_t)(at - dst) + body_len, &r);
	r.ngroups = ngroups;
	memcpy(dst, &r, sizeof r);
}
