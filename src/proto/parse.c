/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The parser of control lines, used by the workers
 * for every byte a client sends outside of payloads.
 *
 * What a line means is defined byte by byte: the first byte at which
 * something is wrong decides the error.  Beyond the verb nothing but the line
 * end, a misplaced CR and the length can end the scan, so the code may look
 * at the line as a whole and still gives the answer of that byte.
 */
#include <config.h>

#include <assert.h>
#include <string.h>

#include "base/scan.h"
#include "base/strnum.h"
#include "proto/parse.h"

#define TOKENS_MAX 4

/* What follows a verb; see verbs.def. */
enum kind { KIND_IGNORED, KIND_JSON, KIND_TEXT, KIND_TOKENS };

/* The arguments of a whole line. */
struct args {
	struct slice all; /* without the blanks in front and the line end */
	struct slice tok[TOKENS_MAX];
	unsigned n; /* tokens; TOKENS_MAX + 1: more than there is room for */
};

/* Fills *op from the arguments, whose number is right. */
typedef enum perr take_fn(const struct args *args, struct parse_op *op);

struct verb_desc {
	const char *name;
	size_t len;
	enum verb verb;
	enum kind kind;
	unsigned min, max; /* tokens */
	take_fn *take;
};

static take_fn take_nothing, take_arg;
static take_fn take_pub, take_hpub, take_sub, take_unsub;

static const struct verb_desc verbs[] = {
#define VERB(id, name, kind, min, max, take) \
	{ name, sizeof name - 1, VERB_##id, KIND_##kind, min, max, take },
#include "proto/verbs.def"
#undef VERB
};

#define NVERBS (sizeof verbs / sizeof verbs[0])

static_assert(NVERBS == VERB_ERR + 1, "one line in verbs.def for each verb");

static inline bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

static inline uint8_t
upper(uint8_t c)
{
	return c >= 'a' && c <= 'z' ? (uint8_t)(c - 'a' + 'A') : c;
}

static inline struct slice
slice_of(const uint8_t *p, const uint8_t *end)
{
	return (struct slice){ p, (uint32_t)(end - p) };
}

static inline bool
slice_number(struct slice s, uint32_t *out)
{
	return num_parse_u32_9(s.p, s.len, out) == 0;
}

/* Field by field: for a whole the compiler takes a slow string instruction, or
 * makes one empty slice and loads it again before it is there. */
static inline void
op_clear_rest(struct parse_op *op)
{
	op->queue.p = op->sid.p = op->arg.p = NULL;
	op->queue.len = op->sid.len = op->arg.len = 0;
	op->hdr_size = op->max = 0;
	op->max_given = false;
}

static inline void
op_clear(struct parse_op *op)
{
	op_clear_rest(op);
	op->subject.p = op->reply.p = NULL;
	op->subject.len = op->reply.len = 0;
	op->size = 0;
	op->usual = false;
}

static enum perr
take_nothing(const struct args *args, struct parse_op *op)
{
	(void)args;
	(void)op;
	return PERR_NONE;
}

static enum perr
take_arg(const struct args *args, struct parse_op *op)
{
	op->arg = args->all;
	return PERR_NONE;
}

static enum perr
take_pub(const struct args *args, struct parse_op *op)
{
	op->subject = args->tok[0];
	if (args->n == 3)
		op->reply = args->tok[1];
	if (!slice_number(args->tok[args->n - 1], &op->size))
		return PERR_SILENT_SIZE;
	return PERR_NONE;
}

static enum perr
take_hpub(const struct args *args, struct parse_op *op)
{
	op->subject = args->tok[0];
	if (args->n == 4)
		op->reply = args->tok[1];
	if (!slice_number(args->tok[args->n - 2], &op->hdr_size) ||
	    !slice_number(args->tok[args->n - 1], &op->size) ||
	    op->hdr_size > op->size)
		return PERR_SILENT_SIZE;
	return PERR_NONE;
}

static enum perr
take_sub(const struct args *args, struct parse_op *op)
{
	op->subject = args->tok[0];
	if (args->n == 3)
		op->queue = args->tok[1];
	op->sid = args->tok[args->n - 1];
	return PERR_NONE;
}

static enum perr
take_unsub(const struct args *args, struct parse_op *op)
{
	op->sid = args->tok[0];
	if (args->n == 2) {
		op->max_given = true;
		/* What is no number is no error: it leaves 0. */
		(void)slice_number(args->tok[1], &op->max);
	}
	return PERR_NONE;
}

static void
split(struct args *args)
{
	const uint8_t *p = args->all.p, *end = p + args->all.len, *tok;

	args->n = 0;
	for (;;) {
		while (p < end && is_blank(*p))
			p++;
		if (p == end)
			return;
		tok = p;
		while (p < end && !is_blank(*p))
			p++;
		if (args->n == TOKENS_MAX) {
			args->n++;
			return;
		}
		args->tok[args->n++] = slice_of(tok, p);
	}
}

/*
 * Finds the verb that p[0..len) begins with.  PARSE_OP and *descp; PARSE_MORE
 * if the input is the beginning of a verb; else PARSE_ERROR.
 */
static enum parse_status
find_verb(const uint8_t *p, size_t len, const struct verb_desc **descp)
{
	enum parse_status status = PARSE_ERROR;
	size_t i, n;

	for (i = 0; i < NVERBS; i++) {
		const struct verb_desc *desc = &verbs[i];

		for (n = 0; n < len && n < desc->len; n++)
			if (upper(p[n]) != (uint8_t)desc->name[n])
				break;
		if (n == desc->len) {
			*descp = desc;
			return PARSE_OP;
		}
		if (n == len)
			status = PARSE_MORE;
	}
	return status;
}

/* Is there a CR before end that neither a CR nor an LF follows? */
static bool
has_stray_cr(const uint8_t *p, const uint8_t *end)
{
	p = memchr(p, '\r', (size_t)(end - p));
	if (p == NULL)
		return false;
	while (p < end && *p == '\r')
		p++;
	/* The scan ends at an LF or at the end of what has arrived. */
	return p < end;
}

/*
 * Looks for the end of the line whose arguments begin at p, of which len
 * bytes have arrived.  PARSE_OP: *lfp is the LF; PARSE_ERROR: *err.  No more
 * than limit bytes of arguments, CR and LF need to be looked at, and whether a
 * CR belongs to the arguments depends on what follows it.
 */
static enum parse_status
find_end(const uint8_t *p, size_t len, size_t limit, bool strict_cr,
    const uint8_t **lfp, enum perr *err)
{
	size_t window = len < limit + 2 ? len : limit + 2, used;
	const uint8_t *lf = memchr(p, '\n', window);

	used = lf != NULL ? (size_t)(lf - p) : window;
	if (strict_cr && has_stray_cr(p, p + used)) {
		*err = PERR_UNKNOWN_OP;
		return PARSE_ERROR;
	}
	if (used > limit + 1 || (used == limit + 1 && p[limit] != '\r')) {
		*err = PERR_CONTROL_LINE;
		return PARSE_ERROR;
	}
	*lfp = lf;
	return lf != NULL ? PARSE_OP : PARSE_MORE;
}

/* Makes sense of the whole line whose arguments are p[0..end). */
static enum perr
parse_args(const struct verb_desc *desc, const uint8_t *p, const uint8_t *end,
    struct parse_op *op)
{
	struct args args;

	if (end > p && end[-1] == '\r')
		end--;
	/*
	 * Of several CRs at the end the others belong to the last argument.
	 * None may hold one, but the peer gets no text for a bad argument.
	 */
	if (desc->kind != KIND_IGNORED && end > p && end[-1] == '\r')
		return PERR_SILENT_ARGS;
	while (p < end && is_blank(*p))
		p++;
	args.all = slice_of(p, end);
	args.n = 0;
	if (desc->kind == KIND_TOKENS) {
		split(&args);
		if (args.n < desc->min || args.n > desc->max)
			return PERR_SILENT_ARGS;
	}
	return desc->take(&args, op);
}

static __attribute__((noinline)) enum parse_status
parse_any(const uint8_t *p, size_t len, uint32_t max_control_line,
    struct parse_op *op, enum perr *err)
{
	const struct verb_desc *desc = NULL;
	const uint8_t *lf = NULL, *arg;
	struct parse_op found;
	enum parse_status status;
	enum perr bad;

	*err = PERR_UNKNOWN_OP;
	if ((status = find_verb(p, len, &desc)) != PARSE_OP)
		return status;
	arg = p + desc->len;
	if (arg == p + len)
		return PARSE_MORE;
	/* The blank that ends the verb is no part of what is limited. */
	if (desc->kind != KIND_IGNORED && is_blank(*arg))
		arg++;
	else if (desc->kind == KIND_TOKENS || desc->kind == KIND_TEXT)
		return PARSE_ERROR;
	status = find_end(arg, (size_t)(p + len - arg), max_control_line,
	    desc->kind != KIND_IGNORED, &lf, err);
	if (status != PARSE_OP)
		return status;
	op_clear(&found);
	found.verb = desc->verb;
	found.line_len = (uint32_t)(lf + 1 - p);
	if ((bad = parse_args(desc, arg, lf, &found)) != PERR_NONE) {
		*err = bad;
		return PARSE_ERROR;
	}
	*op = found;
	return PARSE_OP;
}

/*
 * The first byte in [p, end) that is no more than a blank, or end.  Eight
 * bytes at a time: subtracting 0x21 borrows into the top bit of a byte below
 * it, unless that bit was set before; only bytes above the first hit can be
 * wrong.
 */
static inline const uint8_t *
token_end(const uint8_t *p, const uint8_t *end)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	uint64_t word;

	for (; end - p >= 8; p += 8) {
		memcpy(&word, p, sizeof word);
		word = (word - UINT64_C(0x2121212121212121)) & ~word &
		    UINT64_C(0x8080808080808080);
		if (word != 0)
			return p + (__builtin_ctzll(word) >> 3);
	}
#endif
	while (p < end && *p > ' ')
		p++;
	return p;
}

/* The digits [p, end) as slice_number() takes them, without a call. */
static inline bool
digits(const uint8_t *p, const uint8_t *end, uint32_t *out)
{
	uint32_t v = 0, d;

	if (end - p > 9)
		return false;
	for (; p < end; p++) {
		if ((d = (uint32_t)*p - '0') > 9)
			return false;
		v = v * 10 + d;
	}
	*out = v;
	return true;
}

/* Written as num_format_u32() writes it? */
static inline bool
digits_usual(const uint8_t *p, const uint8_t *end)
{
	return *p != '0' || end - p == 1;
}

/* The end of a token that is not empty and not cut; else NULL. */
static inline const uint8_t *
usual_token(const uint8_t *p, const uint8_t *end)
{
	const uint8_t *stop = token_end(p, end);

	return stop == p || stop == end ? NULL : stop;
}

/*
 * PUB and HPUB as every client writes them: capitals, single spaces, nothing
 * wrong.  arg is behind the verb and its space.  false: the general way must
 * have a look.
 */
static inline __attribute__((always_inline)) bool
parse_usual(const uint8_t *p, const uint8_t *arg, const uint8_t *end,
    size_t limit, bool hpub, struct parse_op *op)
{
	const uint8_t *subject_end, *reply, *reply_end, *num, *stop;
	uint32_t hdr_size = 0, size;
	bool usual = true;

	/* Arguments, CR and LF of the longest line allowed. */
	if ((size_t)(end - arg) > limit + 2)
		end = arg + limit + 2;
	if ((subject_end = usual_token(arg, end)) == NULL ||
	    *subject_end != ' ')
		return false;
	num = reply = reply_end = subject_end + 1;
	if ((stop = usual_token(num, end)) == NULL)
		return false;
	if (hpub) {
		/* The token is the reply if two others follow. */
		const uint8_t *next;

		if (*stop != ' ' ||
		    (next = usual_token(stop + 1, end)) == NULL)
			return false;
		if (*next == ' ') {
			reply_end = stop;
			num = stop + 1;
			stop = next;
			if ((next = usual_token(stop + 1, end)) == NULL)
				return false;
		}
		if (!digits(num, stop, &hdr_size))
			return false;
		usual = digits_usual(num, stop);
		num = stop + 1;
		stop = next;
	} else if (*stop == ' ') {
		reply_end = stop;
		num = stop + 1;
		if ((stop = usual_token(num, end)) == NULL)
			return false;
	}
	if (!digits(num, stop, &size) || hdr_size > size ||
	    (size_t)(stop - arg) > limit)
		return false;
	usual = usual && digits_usual(num, stop) && *stop == '\r';
	if (*stop == '\r' && ++stop == end)
		return false;
	if (*stop != '\n')
		return false;
	op_clear(op);
	op->verb = hpub ? VERB_HPUB : VERB_PUB;
	op->usual = usual;
	op->line_len = (uint32_t)(stop + 1 - p);
	op->subject = slice_of(arg, subject_end);
	op->reply = slice_of(reply, reply_end);
	op->hdr_size = hdr_size;
	op->size = size;
	return true;
}

/* Drops the lowest bit. */
static inline uint64_t
drop_bit(uint64_t bits)
{
	return bits & (bits - 1);
}

/*
 * A PUB as above, of whose arguments n bytes may be read, 32 at least, and
 * whose line ends within 64: where the tokens end is known before the first is
 * looked at.
 */
static inline __attribute__((always_inline)) bool
parse_short(const uint8_t *p, const uint8_t *arg, size_t n, size_t limit,
    struct parse_op *op)
{
	const uint8_t *subject_end, *stop, *num;
	uint64_t ends, second, third;
	uint32_t size;

	/* Of the first three, two are the line end, or one and a reply's; else
	 * see parse_usual(). */
	ends = scan_blank(arg);
	third = drop_bit(drop_bit(ends));
	if (third == 0) {
		if (n <= 2 * SCAN_BYTES)
			return false;
		ends |= (uint64_t)scan_blank(arg + SCAN_BYTES) << SCAN_BYTES;
		if ((third = drop_bit(drop_bit(ends))) == 0)
			return false;
	}
	second = drop_bit(ends);
	subject_end = arg + __builtin_ctzll(ends);
	stop = arg + __builtin_ctzll(second);
	num = subject_end + 1;
	if (*stop == ' ') {
		num = stop + 1;
		stop = arg + __builtin_ctzll(third);
	}
	if (subject_end == arg || *subject_end != ' ' ||
	    num == subject_end + 2 || stop == num ||
	    !digits(num, stop, &size) || (size_t)(stop - arg) > limit ||
	    stop[0] != '\r' || stop[1] != '\n')
		return false;
	op->verb = VERB_PUB;
	op->line_len = (uint32_t)(stop + 2 - p);
	op->subject = slice_of(arg, subject_end);
	op->reply = slice_of(subject_end + 1, num > subject_end + 1 ?
	    num - 1 : num);
	op_clear_rest(op);
	op->size = size;
	op->usual = digits_usual(num, stop);
	return true;
}

static __attribute__((noinline)) enum parse_status
parse_long(const uint8_t *p, size_t len, uint32_t max_control_line,
    struct parse_op *op, enum perr *err)
{
	if (len > 5) {
		if (memcmp(p, "PUB ", 4) == 0) {
			if (parse_usual(p, p + 4, p + len, max_control_line,
			    false, op))
				return PARSE_OP;
		} else if (memcmp(p, "HPUB", 4) == 0 && p[4] == ' ') {
			if (parse_usual(p, p + 5, p + len, max_control_line,
			    true, op))
				return PARSE_OP;
		}
	}
	return parse_any(p, len, max_control_line, op, err);
}

enum parse_status
parse_line(const uint8_t *p, size_t len, uint32_t max_control_line,
    struct parse_op *op, enum perr *err)
{
	/* One comparison of a word. */
	if (len > 4 + SCAN_BYTES && memcmp(p, "PUB ", 4) == 0 &&
	    parse_short(p, p + 4, len - 4, max_control_line, op))
		return PARSE_OP;
	return parse_long(p, len, max_control_line, op, err);
}
