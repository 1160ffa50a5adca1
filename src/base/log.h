/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Logging: one event, one line.  Formats a text, escapes what could break the
 * line and hands it to the process's sink.  The sink of the master writes to
 * a log target (logtarget.h), that of a child sends a record to the master.
 * All functions preserve errno; none allocates memory.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Longest text of one event after escaping, in bytes; the rest is cut. */
#define LOG_TEXT_MAX 2048

enum log_level {
	LOG_LVL_FATAL,	/* this process is ending */
	LOG_LVL_ERR,	/* something was lost, somebody has to act */
	LOG_LVL_WARN,	/* degraded */
	LOG_LVL_NOTICE, /* life cycle and reload; text level INF */
	LOG_LVL_INFO,	/* other normal events */
	LOG_LVL_DEBUG,	/* for developers, off by default */
	LOG_LVL_TRACE,	/* the protocol, off by default */
	LOG_LVL_CLIENT, /* error caused by one client: text level ERR, syslog
			   priority warning, so that no peer pages anybody */
};

/*
 * Receives every event that is logged.  text is escaped, has len bytes and no
 * newline, and is borrowed for the call; role may be empty, never NULL.
 */
typedef void log_sink_fn(void *ctx, enum log_level lvl, const char *role,
    int pid, const char *text, size_t len);

/* At most LOG_LIMIT_LINES lines a second pass; all zeros is a fresh one. */
struct log_limit {
	uint64_t window_start_ms;
	uint32_t count;	     /* lines that passed in this window */
	uint32_t suppressed; /* lines that did not pass and are unreported */
};

#define LOG_LIMIT_LINES 5

/* Only log.c writes these; read them through the functions below. */
extern bool log_debug_enabled, log_trace_enabled;

/* Directs this process's events to fn; NULL means the default, stderr. */
void log_set_sink(log_sink_fn *fn, void *ctx);

/* Sets the role shown with each event ("master", "w3"); copied, 15 bytes. */
void log_set_role(const char *role);

/* Switches the levels DEBUG and TRACE; both are off at first. */
void log_set_debug(bool on);
void log_set_trace(bool on);

/* Whether such an event would be shown: ask before costly preparations. */
static inline bool
log_debug_on(void)
{
	return log_debug_enabled;
}

static inline bool
log_trace_on(void)
{
	return log_trace_enabled;
}

/* The three letters that stand for a level in the log: "ERR". */
const char *log_level_text(enum log_level lvl);

/*
 * Log at the level of the name; printf-like.  log_errno() is ERR, log_warn()
 * WARN, both append ": " and the text of errno; log_err() and log_warnx() do
 * not.  log_client() is for errors that one client has caused.
 */
void log_err(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_errno(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warnx(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_notice(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_client(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Logs at a level that the caller computed. */
void log_at(enum log_level lvl, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* The arguments are evaluated only if it will be shown: a connection's name
 * takes longer to write than a small message to deliver. */
#define log_debug(...) \
	(log_debug_on() ? log_at(LOG_LVL_DEBUG, __VA_ARGS__) : (void)0)
#define log_trace(...) \
	(log_trace_on() ? log_at(LOG_LVL_TRACE, __VA_ARGS__) : (void)0)

/*
 * Logs at FATAL and ends the process with exit(1).  fatal() appends the text
 * of errno, fatalx() does not.  Only for start-up and for a child that cannot
 * go on; never because of bytes that came from a peer.
 */
_Noreturn void fatal(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));
_Noreturn void fatalx(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));

/*
 * Logs what a peer can provoke: LOG_LIMIT_LINES lines a second per limit
 * object pass, the others are counted.  The count is logged as "suppressed N
 * similar messages" before the first line of a later second, or by
 * log_limited_flush(), which a timer may call.
 */
void log_limited(struct log_limit *limit, enum log_level lvl, const char *fmt,
    ...) __attribute__((format(printf, 3, 4)));
void log_limited_flush(struct log_limit *limit, enum log_level lvl);

#endif
