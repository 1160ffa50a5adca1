/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * natsbench: the report.
 */
#include <config.h>

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/report.h"

#define ENTRIES_MAX 160
#define LINES_MAX 64
#define TEXT_MAX 256
#define BAR 30
#define BUFFERS 8 /* texts of one printf() */

struct entry {
	char key[48];
	double num;
	char *str; /* NULL: a number */
};

struct line {
	const char *label;
	char text[TEXT_MAX];
};

static struct entry entries[ENTRIES_MAX];
static struct line lines[LINES_MAX];
static int nentries, nlines, bar_shown;

static struct entry *
entry(const char *key)
{
	struct entry *e = &entries[nentries];

	if (nentries == ENTRIES_MAX - 1)
		return e; /* the last one is for those that are too many */
	nentries++;
	(void)snprintf(e->key, sizeof e->key, "%s", key);
	return e;
}

void
report_num(const char *key, double v)
{
	struct entry *e = entry(key);

	e->num = isfinite(v) ? v : 0;
	e->str = NULL;
}

void
report_str(const char *key, const char *v)
{
	struct entry *e = entry(key);

	e->str = strdup(v);
}

void
report_line(const char *label, const char *fmt, ...)
{
	va_list ap;

	if (nlines == LINES_MAX)
		return;
	lines[nlines].label = label;
	va_start(ap, fmt);
	(void)vsnprintf(lines[nlines].text, TEXT_MAX, fmt, ap);
	va_end(ap);
	nlines++;
}

void
report_hist(const char *name, const char *label, const struct hist *h)
{
	static const struct {
		const char *tag;
		double q;
	} qs[] = { { "p50", 0.5 }, { "p90", 0.9 }, { "p99", 0.99 },
		{ "p999", 0.999 }, { "max", 1 } };
	double us[5];
	char key[48];
	int i;

	if (h->n == 0)
		return;
	for (i = 0; i < 5; i++) {
		us[i] = (double)hist_quantile(h, qs[i].q) / 1e3;
		(void)snprintf(key, sizeof key, "%s_%s_us", name, qs[i].tag);
		report_num(key, us[i]);
	}
	(void)snprintf(key, sizeof key, "%s_mean_us", name);
	report_num(key, (double)h->sum / 1e3 / (double)h->n);
	(void)snprintf(key, sizeof key, "%s_count", name);
	report_num(key, (double)h->n);
	report_line(label, "p50 %.0f  p90 %.0f  p99 %.0f  p99.9 %.0f  "
	    "max %.0f us", us[0], us[1], us[2], us[3], us[4]);
}

static char *
buffer(void)
{
	static char text[BUFFERS][32];
	static int at;

	return text[at++ % BUFFERS];
}

const char *
report_count(double v)
{
	char digits[32], *to = buffer(), *p = to;
	int i, n;

	if (fabs(v) < 100 && v != floor(v)) {
		(void)snprintf(to, 32, "%.3g", v);
		return to;
	}
	n = snprintf(digits, sizeof digits, "%.0f", v);
	for (i = 0; i < n && p < to + 30; i++) {
		if (i > 0 && (n - i) % 3 == 0 && digits[i - 1] != '-')
			*p++ = ',';
		*p++ = digits[i];
	}
	*p = '\0';
	return to;
}

const char *
report_bytes(double v)
{
	static const char *const units[] = { "B", "KB", "MB", "GB", "TB" };
	char *to = buffer();
	int i = 0;

	while (fabs(v) >= 9999.5 && i < 4) {
		v /= 1024;
		i++;
	}
	(void)snprintf(to, 32, fabs(v) < 99.95 && i > 0 ? "%.1f %s" : "%.0f %s",
	    v, units[i]);
	return to;
}

static void
put_string(const char *s)
{
	(void)putchar('"');
	for (; *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			(void)printf("\\%c", c);
		else if (c < ' ' || c >= 0x7f)
			(void)printf("\\u%04x", c);
		else
			(void)putchar(c);
	}
	(void)putchar('"');
}

static void
put_json(const char *failure)
{
	int i;

	(void)putchar('{');
	for (i = 0; i < nentries; i++) {
		put_string(entries[i].key);
		(void)putchar(':');
		if (entries[i].str != NULL)
			put_string(entries[i].str);
		else
			(void)printf("%.12g", entries[i].num);
		(void)putchar(',');
	}
	if (failure != NULL) {
		(void)printf("\"ok\":false,\"error\":");
		put_string(failure);
	} else
		(void)printf("\"ok\":true");
	(void)printf("}\n");
}

void
report_end(void)
{
	int i;

	report_progress_end();
	if (bench_o.json) {
		put_json(NULL);
	} else {
		for (i = 0; i < nlines; i++)
			(void)printf("%-18s %s\n", lines[i].label,
			    lines[i].text);
	}
	if (fflush(stdout) == EOF || ferror(stdout)) {
		perror("natsbench: standard output");
		exit(1);
	}
}

void
report_failure(const char *why)
{
	report_progress_end();
	(void)fprintf(stderr, "natsbench: %s\n", why);
	if (bench_o.json) {
		put_json(why);
		(void)fflush(stdout);
	}
}

void
report_progress(double part, double per_s, const char *unit)
{
	char bar[BAR + 1];
	int i, n;

	if (bench_o.no_progress || bench_o.json || !isatty(STDERR_FILENO))
		return;
	if (part > 1)
		part = 1;
	n = part < 0 ? 0 : (int)(part * BAR);
	for (i = 0; i < BAR; i++)
		bar[i] = i < n ? '=' : i == n ? '>' : ' ';
	bar[BAR] = '\0';
	(void)fprintf(stderr, "\r[%s] ", bar);
	if (part >= 0)
		(void)fprintf(stderr, "%3.0f %%  ", part * 100);
	(void)fprintf(stderr, "%s %s/s\033[K", report_count(per_s), unit);
	bar_shown = 1;
}

void
report_progress_end(void)
{
	if (bar_shown)
		(void)fprintf(stderr, "\r\033[K");
	bar_shown = 0;
}
