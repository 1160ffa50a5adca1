/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers to text and back; used in every process. */
#include <config.h>

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/strnum.h"

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)

static const struct {
	const char *name;
	uint64_t ns;
} units[] = {
	{ "ns", 1 },
	{ "us", NS_PER_US },
	{ "\xc2\xb5s", NS_PER_US }, /* micro sign */
	{ "\xce\xbcs", NS_PER_US }, /* Greek mu */
	{ "ms", NS_PER_MS },
	{ "s", NS_PER_S },
	{ "m", 60 * NS_PER_S },
	{ "h", 3600 * NS_PER_S },
	{ "d", 86400 * NS_PER_S },
};

/* "00" to "99" */
static const char pairs[] = "00010203040506070809"
			    "10111213141516171819"
			    "20212223242526272829"
			    "30313233343536373839"
			    "40414243444546474849"
			    "50515253545556575859"
			    "60616263646566676869"
			    "70717273747576777879"
			    "80818283848586878889"
			    "90919293949596979899";

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

int
num_parse_u32_9(const uint8_t *p, size_t len, uint32_t *out)
{
	uint32_t v = 0;
	size_t i;

	if (len == 0 || len > 9)
		return -1;
	for (i = 0; i < len; i++) {
		if ((uint8_t)(p[i] - '0') > 9)
			return -1;
		v = v * 10 + (uint32_t)(p[i] - '0');
	}
	*out = v;
	return 0;
}

size_t
num_format_u32(uint8_t *out, uint32_t v)
{
	uint8_t tmp[NUM_U32_MAX];
	size_t pos = sizeof tmp;

	while (v >= 100) {
		pos -= 2;
		memcpy(tmp + pos, pairs + v % 100 * 2, 2);
		v /= 100;
	}
	if (v >= 10) {
		pos -= 2;
		memcpy(tmp + pos, pairs + v * 2, 2);
	} else
		tmp[--pos] = (uint8_t)('0' + v);
	memcpy(out, tmp + pos, sizeof tmp - pos);
	return sizeof tmp - pos;
}

/*
 * Reads the digits at *sp, at least one, and moves *sp behind them; 0, or -1
 * with errno.
 */
static int
scan_u64(const char **sp, uint64_t *out)
{
	const char *s = *sp;
	uint64_t v = 0;

	if (!is_digit(*s)) {
		errno = EINVAL;
		return -1;
	}
	for (; is_digit(*s); s++) {
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v)) {
			errno = ERANGE;
			return -1;
		}
	}
	*sp = s;
	*out = v;
	return 0;
}

int
num_parse_i64(const char *s, int64_t *out)
{
	bool negative = *s == '-';
	uint64_t v;

	if (negative)
		s++;
	if (scan_u64(&s, &v) == -1)
		return -1;
	if (*s != '\0') {
		errno = EINVAL;
		return -1;
	}
	if (v > (uint64_t)INT64_MAX + (negative ? 1 : 0)) {
		errno = ERANGE;
		return -1;
	}
	/* Negate as unsigned: -INT64_MIN does not exist. */
	*out = (int64_t)(negative ? 0 - v : v);
	return 0;
}

/* The factor of a size suffix, 0 if there is no such suffix. */
static uint64_t
size_factor(const char *suffix)
{
	static const char letters[] = "kmgtpe";
	const char *letter;
	uint64_t factor = 1, step;

	if (*suffix == '\0')
		return 1;
	letter = strchr(letters, tolower((unsigned char)*suffix));
	if (letter == NULL)
		return 0;
	suffix++;
	if (*suffix == '\0')
		step = 1000;
	else if (strcasecmp(suffix, "b") == 0 || strcasecmp(suffix, "i") == 0 ||
	    strcasecmp(suffix, "ib") == 0)
		step = 1024;
	else
		return 0;
	for (; letter >= letters; letter--)
		factor *= step;
	return factor;
}

int
num_parse_size(const char *s, uint64_t *out)
{
	uint64_t v, factor;

	if (scan_u64(&s, &v) == -1)
		return -1;
	if ((factor = size_factor(s)) == 0) {
		errno = EINVAL;
		return -1;
	}
	if (__builtin_mul_overflow(v, factor, &v)) {
		errno = ERANGE;
		return -1;
	}
	*out = v;
	return 0;
}

/* The length of the unit's name at s and its nanoseconds; 0 if none. */
static size_t
scan_unit(const char *s, uint64_t *ns)
{
	size_t i, len = 0;

	while (s[len] != '\0' && !is_digit(s[len]) && s[len] != '.')
		len++;
	for (i = 0; i < sizeof units / sizeof units[0]; i++) {
		if (strlen(units[i].name) == len &&
		    memcmp(s, units[i].name, len) == 0) {
			*ns = units[i].ns;
			return len;
		}
	}
	return 0;
}

/*
 * Reads one number with its unit (seconds if bare and last) from *sp and adds
 * it to *total; 0, or -1 with errno.
 */
static int
scan_duration_part(const char **sp, bool first, uint64_t *total)
{
	const char *s = *sp, *fraction = NULL;
	uint64_t v, ns = NS_PER_S, digit_ns;
	size_t len;

	if (scan_u64(&s, &v) == -1)
		return -1;
	if (*s == '.') {
		fraction = ++s;
		while (is_digit(*s))
			s++;
	}
	if (s == fraction || (*s == '\0' && !first))
		goto invalid;
	if (*s != '\0') {
		if ((len = scan_unit(s, &ns)) == 0)
			goto invalid;
		s += len;
	}
	if (__builtin_mul_overflow(v, ns, &v) ||
	    __builtin_add_overflow(*total, v, total))
		goto range;
	/* Digits below a nanosecond add nothing. */
	for (digit_ns = ns; fraction != NULL && is_digit(*fraction);
	     fraction++) {
		v = (uint64_t)(*fraction - '0') * digit_ns / 10;
		digit_ns /= 10;
		if (__builtin_add_overflow(*total, v, total))
			goto range;
	}
	*sp = s;
	return 0;
invalid:
	errno = EINVAL;
	return -1;
range:
	errno = ERANGE;
	return -1;
}

int
num_parse_duration_ns(const char *s, uint64_t *out_ns)
{
	uint64_t total = 0;
	bool first = true;

	do {
		if (scan_duration_part(&s, first, &total) == -1)
			return -1;
		first = false;
	} while (*s != '\0');
	*out_ns = total;
	return 0;
}

/* Writes "V[.fraction]suffix" where V is ns in units of unit; the length. */
static int
format_fraction(
    char *out, size_t outlen, uint64_t ns, uint64_t unit, const char *suffix)
{
	char digits[24];
	int width = 0;
	uint64_t u;
	size_t len;

	for (u = unit; u > 1; u /= 10)
		width++;
	if (ns % unit == 0)
		return snprintf(out, outlen, "%llu%s",
		    (unsigned long long)(ns / unit), suffix);
	len = (size_t)snprintf(digits, sizeof digits, "%0*llu", width,
	    (unsigned long long)(ns % unit));
	while (digits[len - 1] == '0')
		digits[--len] = '\0';
	return snprintf(out, outlen, "%llu.%s%s",
	    (unsigned long long)(ns / unit), digits, suffix);
}

size_t
num_format_duration(char *out, size_t outlen, uint64_t ns)
{
	char seconds[24];
	uint64_t s = ns / NS_PER_S;
	int n;

	if (ns == 0)
		n = snprintf(out, outlen, "0s");
	else if (ns < NS_PER_US)
		n = format_fraction(out, outlen, ns, 1, "ns");
	else if (ns < NS_PER_MS)
		n = format_fraction(out, outlen, ns, NS_PER_US, "us");
	else if (ns < NS_PER_S)
		n = format_fraction(out, outlen, ns, NS_PER_MS, "ms");
	else if (s < 60)
		n = format_fraction(out, outlen, ns, NS_PER_S, "s");
	else {
		format_fraction(seconds, sizeof seconds, ns % (60 * NS_PER_S),
		    NS_PER_S, "s");
		if (s < 3600)
			n = snprintf(out, outlen, "%llum%s",
			    (unsigned long long)(s / 60), seconds);
		else
			n = snprintf(out, outlen, "%lluh%llum%s",
			    (unsigned long long)(s / 3600),
			    (unsigned long long)(s / 60 % 60), seconds);
	}
	if (n < 0)
		return 0;
	return (size_t)n < outlen ? (size_t)n : outlen - 1;
}
