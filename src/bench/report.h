/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * What a run has found: for people as lines, or as one JSON object.  All calls
 * but report_failure() come from the main thread.
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "bench/hist.h"

/* Members of the JSON object; keys are literals, texts are copied. */
void report_num(const char *key, double);
void report_str(const char *key, const char *);

/* Members `name`_p50_us, _p90_us, _p99_us, _p999_us, _max_us, _mean_us and
 * `name`_count, and a line. */
void report_hist(const char *name, const char *label, const struct hist *);

/* A line for people: label and text. */
void report_line(const char *label, const char *, ...)
    __attribute__((format(printf, 2, 3)));

/* Prints everything, with "ok":true. */
void report_end(void);

/* Prints why the run has failed, from any thread, with "ok":false. */
void report_failure(const char *);

/* What people write: 1,234,567 or 12.3 k; each a buffer of a few. */
const char *report_count(double);
const char *report_bytes(double);

/* A bar with a rate on a terminal's stderr; part is 0 to 1, or below 0 if
 * unknown.  report_progress_end() wipes it. */
void report_progress(double part, double per_s, const char *unit);
void report_progress_end(void);

#endif
