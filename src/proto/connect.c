/* SPDX-License-Identifier: BSD-2-Clause */
/* CONNECT options; used by the workers. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/connect.h"
#include "proto/json.h"

/* No known key is longer. */
#define KEY_MAX 16

/* As many as there are options of one kind. */
#define NBOOLS 7
#define NSTRINGS 10

static const struct bool_key {
	const char *name;
	size_t offset;
} bool_keys[NBOOLS] = {
	{ "verbose", offsetof(struct connect_opts, verbose) },
	{ "pedantic", offsetof(struct connect_opts, pedantic) },
	{ "echo", offsetof(struct connect_opts, echo) },
	{ "headers", offsetof(struct connect_opts, headers) },
	{ "no_responders", offsetof(struct connect_opts, no_responders) },
	{ "tls_required", offsetof(struct connect_opts, tls_required) },
	{ "new_account", offsetof(struct connect_opts, new_account) },
};

static const struct string_key {
	const char *name;
	size_t offset;
	bool hidden; /* not for anybody's eyes */
	bool credential; /* what authentication compares */
} string_keys[NSTRINGS] = {
	{ "user", offsetof(struct connect_opts, user), false, true },
	{ "pass", offsetof(struct connect_opts, pass), true, true },
	{ "auth_token", offsetof(struct connect_opts, auth_token), true, true },
	{ "nkey", offsetof(struct connect_opts, nkey), true, false },
	{ "sig", offsetof(struct connect_opts, sig), true, false },
	{ "jwt", offsetof(struct connect_opts, jwt), true, false },
	{ "name", offsetof(struct connect_opts, name), false, false },
	{ "lang", offsetof(struct connect_opts, lang), false, false },
	{ "version", offsetof(struct connect_opts, version), false, false },
	{ "account", offsetof(struct connect_opts, account), false, false },
};

/* A document being decoded: new values until it is known to be good. */
struct decoding {
	struct connect_opts opts; /* the strings are those of the old ones */
	struct connect_str str[NSTRINGS];
	bool given[NSTRINGS];
	int error; /* errno, if not the document's fault */
};

/* A redacted copy being written. */
struct redaction {
	const uint8_t *done; /* the input in front of it has been copied */
	char *out;
	size_t len, size;
};

static bool *
bool_at(struct connect_opts *o, size_t i)
{
	return (bool *)((char *)o + bool_keys[i].offset);
}

static struct connect_str *
string_at(struct connect_opts *o, size_t i)
{
	return (struct connect_str *)((char *)o + string_keys[i].offset);
}

/* Any string may hold a secret, if only by mistake. */
static void
string_wipe(struct connect_str *s)
{
	if (s->p != NULL)
		explicit_bzero(s->p, s->len);
	free(s->p);
	s->p = NULL;
	s->len = 0;
}

void
connect_init(struct connect_opts *o)
{
	memset(o, 0, sizeof *o);
	o->verbose = true;
	o->pedantic = true;
	o->echo = true;
}

void
connect_fini(struct connect_opts *o)
{
	size_t i;

	for (i = 0; i < NSTRINGS; i++)
		string_wipe(string_at(o, i));
}

void
connect_free(struct connect_opts **op)
{
	if (*op == NULL)
		return;
	connect_fini(*op);
	free(*op);
	*op = NULL;
}

void
connect_keep_credentials(struct connect_opts *o)
{
	size_t i;

	for (i = 0; i < NSTRINGS; i++)
		if (!string_keys[i].credential)
			string_wipe(string_at(o, i));
}

int
connect_str_set(struct connect_str *s, const char *text, size_t len)
{
	if (len == 0)
		return 0;
	if ((s->p = malloc(len)) == NULL)
		return -1;
	memcpy(s->p, text, len);
	s->len = (uint32_t)len;
	return 0;
}

size_t
connect_bytes(const struct connect_opts *o)
{
	const char *base = (const char *)o;
	const struct connect_str *s;
	size_t i, sum = 0;

	for (i = 0; i < NSTRINGS; i++) {
		s = (const struct connect_str *)(base + string_keys[i].offset);
		sum += s->len;
	}
	return sum;
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Decodes a key, in small letters; "" if it is too long to be a known one. */
static void
fold_key(const struct json_value *key, char folded[KEY_MAX + 1])
{
	uint8_t raw[6 * KEY_MAX + 2];
	size_t i, n = 0;

	if (key->len <= sizeof raw)
		n = json_decode(key, raw);
	if (n > KEY_MAX || memchr(raw, '\0', n) != NULL)
		n = 0;
	for (i = 0; i < n; i++)
		folded[i] = lower((char)raw[i]);
	folded[n] = '\0';
}

/* The index in bool_keys, or NBOOLS. */
static size_t
find_bool(const char *name)
{
	size_t i;

	for (i = 0; i < NBOOLS; i++)
		if (strcmp(bool_keys[i].name, name) == 0)
			break;
	return i;
}

/* The index in string_keys, or NSTRINGS. */
static size_t
find_string(const char *name)
{
	size_t i;

	for (i = 0; i < NSTRINGS; i++)
		if (strcmp(string_keys[i].name, name) == 0)
			break;
	return i;
}

static bool
take_bool(bool *out, const struct json_value *value)
{
	if (value->type != JSON_TRUE && value->type != JSON_FALSE)
		return false;
	*out = value->type == JSON_TRUE;
	return true;
}

/* Only as much memory is kept as the decoded string needs. */
static bool
take_string(struct decoding *d, size_t i, const struct json_value *value)
{
	struct connect_str *s = &d->str[i];
	char *p, *fitting;

	if (value->type != JSON_STRING)
		return false;
	string_wipe(s);
	d->given[i] = true;
	if (value->len == 2)
		return true;
	if ((p = malloc(value->len)) == NULL) {
		d->error = ENOMEM;
		return false;
	}
	s->p = p;
	s->len = (uint32_t)json_decode(value, (uint8_t *)p);
	if (s->len < value->len / 2 &&
	    (fitting = malloc(s->len)) != NULL) {
		/* Not realloc(): it would leave a copy behind. */
		memcpy(fitting, p, s->len);
		explicit_bzero(p, s->len);
		free(p);
		s->p = fitting;
	}
	return true;
}

static bool
take_member(void *ctx, const struct json_value *key,
    const struct json_value *value)
{
	struct decoding *d = ctx;
	char name[KEY_MAX + 1];
	size_t i;

	if (value->type == JSON_NULL)
		return true;
	fold_key(key, name);
	if ((i = find_bool(name)) < NBOOLS)
		return take_bool(bool_at(&d->opts, i), value);
	if ((i = find_string(name)) < NSTRINGS)
		return take_string(d, i, value);
	if (strcmp(name, "protocol") == 0)
		return json_integer(value, &d->opts.protocol);
	return true;
}

int
connect_parse(const uint8_t *json, size_t len, struct connect_opts *o)
{
	struct decoding d;
	size_t i;

	memset(&d, 0, sizeof d);
	d.opts = *o;
	if (!json_walk(json, len, take_member, &d)) {
		for (i = 0; i < NSTRINGS; i++)
			string_wipe(&d.str[i]);
		errno = d.error != 0 ? d.error : EINVAL;
		return -1;
	}
	for (i = 0; i < NSTRINGS; i++) {
		if (!d.given[i])
			continue;
		string_wipe(string_at(o, i));
		*string_at(&d.opts, i) = d.str[i];
	}
	*o = d.opts;
	return 0;
}

bool
connect_json_valid(const uint8_t *json, size_t len)
{
	return json_walk(json, len, NULL, NULL);
}

static void
redact_copy(struct redaction *r, const void *p, size_t n)
{
	size_t room = r->size - r->len;

	if (n > room)
		n = room;
	if (n > 0)
		memcpy(r->out + r->len, p, n);
	r->len += n;
}

static bool
redact_member(void *ctx, const struct json_value *key,
    const struct json_value *value)
{
	static const char mask[] = "\"[REDACTED]\"";
	struct redaction *r = ctx;
	char name[KEY_MAX + 1];
	size_t i;

	fold_key(key, name);
	if ((i = find_string(name)) < NSTRINGS && string_keys[i].hidden) {
		redact_copy(r, r->done, (size_t)(value->p - r->done));
		redact_copy(r, mask, sizeof mask - 1);
		r->done = value->p + value->len;
	}
	return true;
}

size_t
connect_redact(const uint8_t *json, size_t len, char *out, size_t outlen)
{
	static const char malformed[] = "[malformed]";
	struct redaction r = { json, out, 0, outlen };

	if (!json_walk(json, len, NULL, NULL))
		redact_copy(&r, malformed, sizeof malformed - 1);
	else {
		(void)json_walk(json, len, redact_member, &r);
		redact_copy(&r, r.done, (size_t)(json + len - r.done));
	}
	return r.len;
}
