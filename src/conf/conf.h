/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The configuration: one flat struct without pointers, immutable once it is
 * built, so that a snapshot of it (conf/snapshot.h) is a copy of its bytes.
 * Made by conf_load() in the master; read by everybody.
 */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONF_LISTEN_MAX 32
#define CONF_PATH_MAX 1024
#define CONF_NAME_MAX 256
#define CONF_SECRET_MAX 1024
#define CONF_WORKERS_MAX 48
#define CONF_OPTIONS_MAX 64

enum conf_listen_kind { CONF_LISTEN_TCP = 0, CONF_LISTEN_UNIX = 1 };

/* One listener; later it carries its own TLS, authentication and limits. */
struct conf_listen {
	uint32_t kind;
	int32_t port; /* TCP; 0 = pick a free one */
	char host[CONF_NAME_MAX]; /* TCP: address or name as given, no [] */
	char path[108]; /* Unix */
	uint32_t line; /* in the file, 0 = default or command line */
};

/* What happens to a client with more than max_pending to take. */
enum conf_slow {
	CONF_SLOW_CLOSE, /* it is closed */
	CONF_SLOW_NEWEST, /* it does not get what comes */
	CONF_SLOW_OLDEST /* what has waited longest is thrown away */
};

enum conf_log_target { CONF_LOG_STDERR, CONF_LOG_FILE, CONF_LOG_SYSLOG };

struct conf {
	/* process (restart) */
	char user[CONF_NAME_MAX];
	char group[CONF_NAME_MAX]; /* "" = the primary group of user */
	bool user_given; /* by file or command line, not the default */
	uint32_t workers; /* 0 = per usable CPU */
	uint64_t ring_memory;
	uint64_t index_memory;
	uint32_t worker_rlimit_nofile; /* 0 = from max_connections */
	uint32_t listen_backlog;
	char pid_file[CONF_PATH_MAX]; /* "" = none */
	char ports_file_dir[CONF_PATH_MAX];
	bool core_dumps; /* keeps processes dumpable */
	/* identity */
	char server_name[CONF_NAME_MAX]; /* "" = server id */
	char client_advertise[CONF_NAME_MAX]; /* host[:port], "" = none */
	/* listeners */
	uint32_t nlisten;
	struct conf_listen listen[CONF_LISTEN_MAX];
	bool listen_defaulted; /* neither address nor credentials: loopback */
	/* limits */
	uint64_t memory_max;
	uint64_t watchdog_ms; /* 0 = off */
	uint32_t max_connections; /* 0 = unlimited */
	uint32_t max_subscriptions; /* per connection, 0 = unlimited */
	uint32_t max_subscription_tokens; /* 0 = off */
	uint32_t max_payload;
	uint64_t max_pending;
	uint32_t max_control_line;
	uint64_t ping_interval_ms;
	uint32_t ping_max;
	uint64_t write_deadline_ms;
	bool no_fast_producer_stall;
	uint32_t slow_consumer; /* enum conf_slow */
	bool no_header_support;
	/* authorization: user/password or token, plain */
	bool auth_required;
	char auth_user[CONF_SECRET_MAX];
	char auth_password[CONF_SECRET_MAX];
	char auth_token[CONF_SECRET_MAX];
	uint64_t auth_timeout_ms;
	/* logging */
	uint32_t log_target; /* enum conf_log_target; from the two below */
	bool log_syslog;
	char log_file[CONF_PATH_MAX];
	uint64_t logfile_size_limit;
	uint32_t logfile_max_num;
	char syslog_facility[16];
	bool logtime, logtime_utc;
	bool debug, trace;
	uint32_t max_traced_msg_len; /* 0 = all */
	/* where it came from */
	char file[CONF_PATH_MAX]; /* "" = built-in defaults */
	char digest[72]; /* "sha256:<hex>" of the text after includes, or "" */
	/* Per option of conf/opt.h: its line in `file`; 0 = not given there. */
	uint32_t opt_line[CONF_OPTIONS_MAX];
};

/* Values given on the command line; they win over the file at start and at
 * every reload.  NULL / negative = not given. */
struct conf_override {
	const char *addr, *server_name, *pid_file, *client_advertise;
	const char *ports_file_dir, *log_file, *user_pass_user, *user_pass_pass;
	const char *auth_token, *run_as; /* user[:group] */
	int64_t port; /* INT64_MIN = not given; -1 and 0 pick a free one */
	int64_t workers, log_size_limit, max_traced_msg_len; /* -1 = not given */
	int syslog, debug, trace, logtime, logtime_utc; /* -1 = not given */
};
void conf_override_init(struct conf_override *o);

/* Where errors go: FILE:LINE: text, one call each. `warning` ones do not
 * fail the load. */
typedef void conf_error_fn(void *ctx, bool warning, const char *text);

/* Load `file` (NULL: defaults and command line alone), lay `o` over it and
 * run every cross-check that a start does before binding.  0, or -1 after at
 * least one error was reported; *conf is untouched then. */
int conf_load(const char *file, const struct conf_override *o,
    conf_error_fn *fn, void *ctx, struct conf *conf);

/*
 * The checks that need the number of workers: ring_memory, memory_max and
 * descriptors against n workers.  conf_load() makes them when `workers` is
 * not 0; otherwise whoever knows the number of usable CPUs calls this.  0, or
 * -1 after at least one error was reported.
 */
int conf_check_workers(const struct conf *conf, uint32_t n, conf_error_fn *fn,
    void *ctx);

/* Compare: calls `fn` for each changed option: name, text of the old and new
 * value (secrets as [REDACTED]), whether it takes effect only at a restart,
 * and its line in the new file (0 = none). */
typedef void conf_diff_fn(void *ctx, const char *name, const char *oldv,
    const char *newv, bool restart, uint32_t line);
void conf_diff(const struct conf *oldc, const struct conf *newc,
    conf_diff_fn *fn, void *ctx);
/* Copy the options that need a restart from `running` into `next`. */
void conf_keep_restart(struct conf *next, const struct conf *running);
/* --dump_config: the effective configuration, parsable, secrets redacted. */
int conf_dump(const struct conf *conf, int fd);

#endif
