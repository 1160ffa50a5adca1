/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Logging, used in every process.  An event is formatted into a buffer on the
 * stack, escaped into a second one and handed to the sink, so nothing here
 * allocates, locks or fails.
 */
#include <config.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

#include "base/clock.h"

#define ROLE_MAX 16
#define LIMIT_WINDOW_MS 1000

static log_sink_fn stderr_sink;

bool log_debug_enabled, log_trace_enabled;

static log_sink_fn *sink = stderr_sink;
static void *sink_ctx;
static char role_name[ROLE_MAX];

static const char *const level_texts[] = {
	[LOG_LVL_FATAL] = "FTL",
	[LOG_LVL_ERR] = "ERR",
	[LOG_LVL_WARN] = "WRN",
	[LOG_LVL_NOTICE] = "INF",
	[LOG_LVL_INFO] = "INF",
	[LOG_LVL_DEBUG] = "DBG",
	[LOG_LVL_TRACE] = "TRC",
	[LOG_LVL_CLIENT] = "ERR",
};

static void
stderr_sink(void *ctx, enum log_level lvl, const char *role, int pid,
    const char *text, size_t len)
{
	char line[LOG_TEXT_MAX + 64];
	int n;

	(void)ctx;
	n = snprintf(line, sizeof line, "[%d%s%s] [%s] %.*s\n", pid,
	    *role == '\0' ? "" : "/", role, log_level_text(lvl), (int)len,
	    text);
	if (n > 0 && write(STDERR_FILENO, line, (size_t)n) == -1)
		return; /* nobody is left to tell */
}

/* Copies text, replacing control characters by \xHH; returns the length. */
static size_t
escape_text(char *out, size_t outlen, const char *text)
{
	static const char hex[] = "0123456789abcdef";
	const unsigned char *p;
	size_t n = 0;

	for (p = (const unsigned char *)text; *p != '\0'; p++) {
		if (*p >= 0x20 && *p != 0x7f) {
			if (n + 1 > outlen)
				break;
			out[n++] = (char)*p;
			continue;
		}
		if (n + 4 > outlen)
			break;
		out[n++] = '\\';
		out[n++] = 'x';
		out[n++] = hex[*p >> 4];
		out[n++] = hex[*p & 15];
	}
	return n;
}

/* Logs the event; err is the errno to append the text of, 0 for none. */
static void __attribute__((format(printf, 3, 0)))
emit(enum log_level lvl, int err, const char *fmt, va_list ap)
{
	int saved = errno;
	char raw[LOG_TEXT_MAX + 1], text[LOG_TEXT_MAX + 1];
	size_t len;
	int n;

	n = vsnprintf(raw, sizeof raw, fmt, ap);
	if (n < 0) {
		n = 0;
		raw[0] = '\0';
	}
	if (err != 0 && (size_t)n < sizeof raw)
		snprintf(
		    raw + n, sizeof raw - (size_t)n, ": %s", strerror(err));
	len = escape_text(text, sizeof text - 1, raw);
	text[len] = '\0';
	sink(sink_ctx, lvl, role_name, (int)getpid(), text, len);
	errno = saved;
}

void
log_set_sink(log_sink_fn *fn, void *ctx)
{
	sink = fn == NULL ? stderr_sink : fn;
	sink_ctx = fn == NULL ? NULL : ctx;
}

void
log_set_role(const char *role)
{
	snprintf(role_name, sizeof role_name, "%s", role);
}

void
log_set_debug(bool on)
{
	log_debug_enabled = on;
}

void
log_set_trace(bool on)
{
	log_trace_enabled = on;
}

const char *
log_level_text(enum log_level lvl)
{
	if ((size_t)lvl >= sizeof level_texts / sizeof level_texts[0])
		return "???";
	return level_texts[lvl];
}

/* The body of each printf-like function. */
#define EMIT(lvl, err)                       \
	do {                                 \
		va_list ap;                  \
                                             \
		va_start(ap, fmt);           \
		emit((lvl), (err), fmt, ap); \
		va_end(ap);                  \
	} while (0)

void
log_err(const char *fmt, ...)
{
	EMIT(LOG_LVL_ERR, 0);
}

void
log_errno(const char *fmt, ...)
{
	EMIT(LOG_LVL_ERR, errno);
}

void
log_warn(const char *fmt, ...)
{
	EMIT(LOG_LVL_WARN, errno);
}

void
log_warnx(const char *fmt, ...)
{
	EMIT(LOG_LVL_WARN, 0);
}

void
log_notice(const char *fmt, ...)
{
	EMIT(LOG_LVL_NOTICE, 0);
}

void
log_info(const char *fmt, ...)
{
	EMIT(LOG_LVL_INFO, 0);
}

void
log_client(const char *fmt, ...)
{
	EMIT(LOG_LVL_CLIENT, 0);
}

/* Whether events of this level are switched on. */
static bool
level_on(enum log_level lvl)
{
	if (lvl == LOG_LVL_DEBUG)
		return log_debug_enabled;
	if (lvl == LOG_LVL_TRACE)
		return log_trace_enabled;
	return true;
}

void
log_at(enum log_level lvl, const char *fmt, ...)
{
	if (level_on(lvl))
		EMIT(lvl, 0);
}

void
fatal(const char *fmt, ...)
{
	EMIT(LOG_LVL_FATAL, errno);
	exit(1);
}

void
fatalx(const char *fmt, ...)
{
	EMIT(LOG_LVL_FATAL, 0);
	exit(1);
}

void
log_limited_flush(struct log_limit *limit, enum log_level lvl)
{
	uint32_t n = limit->suppressed;

	if (n == 0)
		return;
	limit->suppressed = 0;
	log_at(lvl, "suppressed %u similar message%s", n, n == 1 ? "" : "s");
}

void
log_limited(struct log_limit *limit, enum log_level lvl, const char *fmt, ...)
{
	uint64_t now;

	if (!level_on(lvl))
		return;
	now = clock_mono_ms();
	if (now - limit->window_start_ms >= LIMIT_WINDOW_MS) {
		log_limited_flush(limit, lvl);
		limit->window_start_ms = now;
		limit->count = 0;
	}
	if (limit->count >= LOG_LIMIT_LINES) {
		limit->suppressed++;
		return;
	}
	limit->count++;
	EMIT(lvl, 0);
}
