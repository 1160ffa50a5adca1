/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzz target: the JSON of CONNECT and INFO.  What is well-formed is decided
 * a second time by a plain recursive reader; decoded options must survive
 * being written as JSON again; redaction must hide what it has to and nothing
 * else; the server's own INFO must be well-formed whatever stands in it.
 */
#include <config.h>

#include "fuzz/fuzz.h"
#include "proto/connect.h"
#include "proto/info.h"

/* ---- a second opinion --------------------------------------------------- */

static bool model_value(struct fuzz_in *in);

static void
model_blanks(struct fuzz_in *in)
{
	while (in->len > 0 && strchr(" \t\r\n", *in->p) != NULL && *in->p != 0)
		fuzz_byte(in);
}

static bool
model_take(struct fuzz_in *in, const char *text)
{
	size_t n = strlen(text);

	if (in->len < n || memcmp(in->p, text, n) != 0)
		return false;
	in->p += n;
	in->len -= n;
	return true;
}

static bool
model_hex(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ||
	    (c >= 'A' && c <= 'F');
}

static bool
model_string(struct fuzz_in *in)
{
	uint8_t c;
	int i;

	if (!model_take(in, "\""))
		return false;
	while (in->len > 0) {
		if ((c = fuzz_byte(in)) == '"')
			return true;
		if (c < 0x20)
			return false;
		if (c != '\\')
			continue;
		c = fuzz_byte(in);
		if (c == 0 || strchr("\"\\/bfnrtu", c) == NULL)
			return false;
		for (i = 0; c == 'u' && i < 4; i++)
			if (!model_hex(fuzz_byte(in)))
				return false;
	}
	return false;
}

static size_t
model_digits(struct fuzz_in *in)
{
	size_t n = 0;

	for (; in->len > 0 && *in->p >= '0' && *in->p <= '9'; n++)
		fuzz_byte(in);
	return n;
}

static bool
model_number(struct fuzz_in *in)
{
	(void)model_take(in, "-");
	if (!model_take(in, "0") && model_digits(in) == 0)
		return false;
	if (model_take(in, ".") && model_digits(in) == 0)
		return false;
	if (model_take(in, "e") || model_take(in, "E")) {
		if (!model_take(in, "+"))
			(void)model_take(in, "-");
		return model_digits(in) > 0;
	}
	return true;
}

/* What stands between brackets, the opening one taken. */
static bool
model_list(struct fuzz_in *in, const char *close, bool keys)
{
	model_blanks(in);
	if (model_take(in, close))
		return true;
	do {
		model_blanks(in);
		if (keys) {
			if (!model_string(in))
				return false;
			model_blanks(in);
			if (!model_take(in, ":"))
				return false;
		}
		if (!model_value(in))
			return false;
		model_blanks(in);
	} while (model_take(in, ","));
	return model_take(in, close);
}

static bool
model_value(struct fuzz_in *in)
{
	model_blanks(in);
	if (model_take(in, "{"))
		return model_list(in, "}", true);
	if (model_take(in, "["))
		return model_list(in, "]", false);
	if (in->len > 0 && *in->p == '"')
		return model_string(in);
	return model_take(in, "true") || model_take(in, "false") ||
	    model_take(in, "null") || model_number(in);
}

static bool
model_valid(const uint8_t *p, size_t len)
{
	struct fuzz_in in = { p, len };

	model_blanks(&in);
	if (!model_take(&in, "null") &&
	    (!model_take(&in, "{") || !model_list(&in, "}", true)))
		return false;
	model_blanks(&in);
	return in.len == 0;
}

/* ---- options and back --------------------------------------------------- */

struct text {
	char *p;
	size_t len, size;
};

static void
put(struct text *t, const void *p, size_t len)
{
	FUZZ_CHECK(len <= t->size - t->len);
	memcpy(t->p + t->len, p, len);
	t->len += len;
}

static void
put_string(struct text *t, const char *key, const struct connect_str *s)
{
	char hex[8];
	uint32_t i;

	put(t, ",\"", 2);
	put(t, key, strlen(key));
	put(t, "\":\"", 3);
	for (i = 0; i < s->len; i++) {
		uint8_t c = (uint8_t)s->p[i];

		if (c < 0x20 || c == '"' || c == '\\') {
			snprintf(hex, sizeof hex, "\\u%04X", c);
			put(t, hex, 6);
		} else
			put(t, &c, 1);
	}
	put(t, "\"", 1);
}

static void
put_options(struct text *t, const struct connect_opts *o)
{
	char head[512];
	int n;

	n = snprintf(head, sizeof head, "{\"verbose\":%d,\"pedantic\":%d,"
	    "\"echo\":%d,\"headers\":%d,\"no_responders\":%d,"
	    "\"tls_required\":%d,\"new_account\":%d,\"protocol\":%lld",
	    o->verbose, o->pedantic, o->echo, o->headers, o->no_responders,
	    o->tls_required, o->new_account, (long long)o->protocol);
	/* The numbers of the booleans become words. */
	for (char *p = head; p < head + n; p++) {
		if (*p != ':' || strncmp(p - 9, "protocol\"", 9) == 0) {
			put(t, p, 1);
			continue;
		}
		put(t, p[1] == '1' ? ":true" : ":false", p[1] == '1' ? 5 : 6);
		p++;
	}
	put_string(t, "user", &o->user);
	put_string(t, "pass", &o->pass);
	put_string(t, "auth_token", &o->auth_token);
	put_string(t, "nkey", &o->nkey);
	put_string(t, "sig", &o->sig);
	put_string(t, "jwt", &o->jwt);
	put_string(t, "name", &o->name);
	put_string(t, "lang", &o->lang);
	put_string(t, "version", &o->version);
	put_string(t, "account", &o->account);
	put(t, "}", 1);
}

static bool
same_string(const struct connect_str *a, const struct connect_str *b)
{
	return a->len == b->len &&
	    (a->len == 0 || memcmp(a->p, b->p, a->len) == 0);
}

static void
check_same_open(const struct connect_opts *a, const struct connect_opts *b)
{
	FUZZ_CHECK(a->verbose == b->verbose && a->pedantic == b->pedantic &&
	    a->echo == b->echo && a->headers == b->headers &&
	    a->no_responders == b->no_responders &&
	    a->tls_required == b->tls_required &&
	    a->new_account == b->new_account && a->protocol == b->protocol);
	FUZZ_CHECK(same_string(&a->user, &b->user) &&
	    same_string(&a->name, &b->name) &&
	    same_string(&a->lang, &b->lang) &&
	    same_string(&a->version, &b->version) &&
	    same_string(&a->account, &b->account));
}

static void
check_same_hidden(const struct connect_opts *a, const struct connect_opts *b)
{
	FUZZ_CHECK(same_string(&a->pass, &b->pass) &&
	    same_string(&a->auth_token, &b->auth_token) &&
	    same_string(&a->nkey, &b->nkey) && same_string(&a->sig, &b->sig) &&
	    same_string(&a->jwt, &b->jwt));
}

static void
check_round(const struct connect_opts *o)
{
	struct text t = { NULL, 0, 1024 + 6 * connect_bytes(o) };
	struct connect_opts again;

	t.p = fuzz_alloc(t.size);
	put_options(&t, o);
	connect_init(&again);
	FUZZ_CHECK(connect_parse((uint8_t *)t.p, t.len, &again) == 0);
	check_same_open(o, &again);
	check_same_hidden(o, &again);
	FUZZ_CHECK(connect_bytes(o) == connect_bytes(&again));
	connect_keep_credentials(&again);
	FUZZ_CHECK(again.pass.len == o->pass.len &&
	    again.auth_token.len == o->auth_token.len &&
	    again.sig.len == 0 && again.jwt.len == 0 && again.name.len == 0);
	connect_fini(&again);
	free(t.p);
}

static bool
masked(const struct connect_str *s)
{
	static const char mask[] = "[REDACTED]";

	return s->len == 0 || (s->len == sizeof mask - 1 &&
	    memcmp(s->p, mask, s->len) == 0);
}

static void
check_redacted(const uint8_t *p, size_t len, const struct connect_opts *o)
{
	size_t size = 3 * len + 64, n, cut = len / 2;
	char *out = fuzz_alloc(size), *less = fuzz_alloc(cut);
	struct connect_opts open;

	n = connect_redact(p, len, out, size);
	FUZZ_CHECK(n <= size);
	FUZZ_CHECK(connect_redact(p, len, less, cut) == (n < cut ? n : cut));
	FUZZ_CHECK(memcmp(out, less, n < cut ? n : cut) == 0);
	FUZZ_CHECK(model_valid(p, len) ==
	    model_valid((uint8_t *)out, n));
	if (o != NULL) {
		connect_init(&open);
		FUZZ_CHECK(connect_parse((uint8_t *)out, n, &open) == 0);
		check_same_open(o, &open);
		FUZZ_CHECK(masked(&open.pass) && masked(&open.auth_token) &&
		    masked(&open.nkey) && masked(&open.sig) &&
		    masked(&open.jwt));
		connect_fini(&open);
	}
	free(less);
	free(out);
}

/* ---- INFO ------------------------------------------------------------- */

static void
check_info(const uint8_t *p, size_t len)
{
	struct info info = { .server_id = "N", .version = "2", .go = "gcc",
		.host = "0.0.0.0", .port = 4222, .max_payload = 1 };
	size_t size = 12 * len + 1024, n, less;
	char *name = fuzz_alloc(len + 1), *out = fuzz_alloc(size);

	memcpy(name, p, len);
	name[len] = '\0';
	info.server_name = name;
	info.client_ip = name;
	n = info_format(&info, out, size);
	FUZZ_CHECK(n > 10 && n <= size && memcmp(out, "INFO {", 6) == 0 &&
	    memcmp(out + n - 4, "} \r\n", 4) == 0);
	FUZZ_CHECK(memchr(out, '\n', n) == out + n - 1);
	FUZZ_CHECK(model_valid((uint8_t *)out + 5, n - 8));
	/* Without room for all there is nothing. */
	less = len % n;
	free(out);
	out = fuzz_alloc(less);
	FUZZ_CHECK(info_format(&info, out, less) == 0);
	free(out);
	free(name);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct connect_opts o, before;
	bool valid;
	int rc;

	if (size > 4096)
		return 0;
	connect_init(&o);
	before = o;
	valid = connect_json_valid(data, size);
	FUZZ_CHECK(valid == model_valid(data, size));
	rc = connect_parse(data, size, &o);
	FUZZ_CHECK(rc == 0 || rc == -1);
	FUZZ_CHECK(rc == -1 || valid);
	if (rc == -1) {
		check_same_open(&o, &before);
		check_same_hidden(&o, &before);
		check_redacted(data, size, NULL);
	} else {
		check_round(&o);
		check_redacted(data, size, &o);
		/* A second CONNECT like the first one changes nothing. */
		FUZZ_CHECK(connect_parse(data, size, &o) == 0);
		check_round(&o);
	}
	connect_fini(&o);
	check_info(data, size);
	return 0;
}
