/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Last words of children that die in all kinds of ways: what the master reads,
 * and that the signal stays the cause of death.
 */
#include <config.h>

#include <sys/wait.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/panic.h"
#include "lib/unit.h"
#include "proc/lastwords.h"
#include "proc/logpipe.h"

#define LINES 16

static int ends[2];
static char line[LINES][LOG_TEXT_MAX + 1];
static int nlines;
static int status;

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || \
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED true /* it catches faults before us */
#else
#define SANITIZED false
#endif

static void
who_knows(const void *ctx, struct sigtext *t)
{
	sigtext_str(t, ctx);
}

/* A pointer into nowhere, as a smashed process may have it. */
static void
who_crashes(const void *ctx, struct sigtext *t)
{
	sigtext_str(t, "half of it ");
	sigtext_strn(t, ctx, 8);
}

static void
who_hangs(const void *ctx, struct sigtext *t)
{
	(void)ctx;
	(void)t;
	for (;;)
		__asm__ volatile("" ::: "memory");
}

static void
fault(void)
{
	uintptr_t nowhere = 24;

	__asm__ volatile("" : "+r"(nowhere));
	*(volatile char *)nowhere = 1;
}

static void
signalled(void)
{
	(void)kill(getpid(), SIGBUS);
	for (;;)
		(void)pause();
}

static void
asserted(void)
{
	ASSERT(nlines < 0);
}

static void
fill_pipe_and_fault(void)
{
	int i;

	for (i = 0; i < 10000; i++)
		log_info("%01000d", i);
	fault();
}

/* The child's life, its lines and its end; it is reaped before the lines are
 * read, as the master does. */
static void
live_and_die(void (*act)(void), lastwords_who_fn *who, const char *ctx,
    bool read_early)
{
	struct pollfd pfd;
	enum log_level lvl;
	pid_t pid;
	char text[LOG_TEXT_MAX + 1];

	ck_assert_int_eq(logpipe_pair(ends), 0);
	lastwords_prepare();
	if ((pid = fork()) == 0) {
		(void)close(ends[0]);
		logpipe_use(ends[1]);
		if (lastwords_install() != 0)
			_exit(9);
		lastwords_set_who(who, ctx);
		act();
		_exit(8);
	}
	(void)close(ends[1]);
	nlines = 0;
	pfd.fd = ends[0];
	pfd.events = POLLIN;
	if (!read_early)
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	for (;;) {
		ck_assert_int_ge(poll(&pfd, 1, 20000), 1);
		switch (logpipe_read(ends[0], &lvl, text, sizeof text)) {
		case 1:
			if (lvl == LOG_LVL_FATAL && nlines < LINES)
				strcpy(line[nlines++], text);
			continue;
		case 0:
			break;
		default:
			ck_assert_int_eq(errno, EAGAIN);
			continue;
		}
		break;
	}
	if (read_early)
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	(void)close(ends[0]);
}

static void
died_of(int signo)
{
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), signo);
}

static bool
starts(int n, const char *with)
{
	return n < nlines && strncmp(line[n], with, strlen(with)) == 0;
}

static void
has_backtrace(int n)
{
#ifdef HAVE_UNWIND
	ck_assert_int_eq(nlines, n + 1);
	ck_assert_msg(starts(n, "last words: backtrace "), "%s", line[n]);
	ck_assert_ptr_nonnull(strstr(line[n], "test_lastwords+0x"));
#else
	ck_assert_int_eq(nlines, n);
#endif
}

START_TEST(fault_tells_all)
{
	if (SANITIZED)
		return;
	live_and_die(fault, who_knows, "the client", false);
	died_of(SIGSEGV);
	ck_assert_str_eq(line[0],
	    "last words: signal 11 (SIGSEGV), address 0x18");
	ck_assert_str_eq(line[1], "last words: serving the client");
	has_backtrace(2);
}
END_TEST

START_TEST(signal_tells_its_sender)
{
	if (SANITIZED)
		return;
	live_and_die(signalled, who_knows, "the client", false);
	died_of(SIGBUS);
	ck_assert_str_eq(line[0], "last words: signal 7 (SIGBUS) of its own");
	has_backtrace(2);
}
END_TEST

START_TEST(assertion_comes_first)
{
	live_and_die(asserted, who_knows, "the client", false);
	died_of(SIGABRT);
	ck_assert(starts(0, "assertion failed: nlines < 0 ("));
	ck_assert_str_eq(line[1], "last words: signal 6 (SIGABRT) of its own");
	ck_assert_str_eq(line[2], "last words: serving the client");
	has_backtrace(3);
}
END_TEST

START_TEST(fault_in_the_last_words)
{
	if (SANITIZED)
		return;
	live_and_die(abort, who_crashes, (const char *)16, false);
	died_of(SIGABRT);
	ck_assert_str_eq(line[0], "last words: signal 6 (SIGABRT) of its own");
	has_backtrace(1);
}
END_TEST

START_TEST(last_words_end)
{
	uint64_t begun = clock_mono_ms();

	live_and_die(abort, who_hangs, NULL, false);
	died_of(SIGABRT);
	ck_assert_str_eq(line[0], "last words: signal 6 (SIGABRT) of its own");
	ck_assert_int_eq(nlines, 1);
	/* alarm(2) is rounded; a loaded machine may take longer. */
	ck_assert_uint_ge(clock_mono_ms() - begun,
	    LASTWORDS_S * 1000 - 500);
}
END_TEST

START_TEST(full_pipe_does_not_keep_it)
{
	if (SANITIZED)
		return;
	live_and_die(fill_pipe_and_fault, who_knows, "the client", false);
	died_of(SIGSEGV);
}
END_TEST

START_TEST(full_pipe_waits_for_the_reader)
{
	if (SANITIZED)
		return;
	live_and_die(fill_pipe_and_fault, who_knows, "the client", true);
	died_of(SIGSEGV);
	ck_assert_int_ge(nlines, 1);
	ck_assert(starts(0, "last words: signal 11 (SIGSEGV)"));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("lastwords");
	TCase *tc = tcase_create("core");

	tcase_add_test(tc, fault_tells_all);
	tcase_add_test(tc, signal_tells_its_sender);
	tcase_add_test(tc, assertion_comes_first);
	tcase_add_test(tc, fault_in_the_last_words);
	tcase_add_test(tc, last_words_end);
	tcase_add_test(tc, full_pipe_does_not_keep_it);
	tcase_add_test(tc, full_pipe_waits_for_the_reader);
	suite_add_tcase(s, tc);
	return unit_run(s);
}
