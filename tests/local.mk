# Tests.  C programs by module, process tests, lint, and Python programs that
# start the natsd just built.  Exit status 77 means skipped.

TEST_EXTENSIONS = .sh .py
AM_TESTS_ENVIRONMENT = \
	NATSD='$(abs_builddir)/natsd'; export NATSD; \
	top_srcdir='$(abs_srcdir)'; export top_srcdir; \
	top_builddir='$(abs_builddir)'; export top_builddir; \
	MANDOC='$(MANDOC)'; export MANDOC; \
	PYTHONDONTWRITEBYTECODE=1; export PYTHONDONTWRITEBYTECODE; \
	ASAN_OPTIONS=allocator_may_return_null=1:$${ASAN_OPTIONS-}; \
	export ASAN_OPTIONS; \
	CK_DEFAULT_TIMEOUT=$${CK_DEFAULT_TIMEOUT-120}; \
	export CK_DEFAULT_TIMEOUT;
# No test may hang the others for ever.
TEST_TIMEOUT = 1200
LOG_COMPILER = timeout -k 10 $(TEST_TIMEOUT)
SH_LOG_COMPILER = timeout -k 10 $(TEST_TIMEOUT) $(SHELL)
PY_LOG_COMPILER = timeout -k 10 $(TEST_TIMEOUT) $(PYTHON)

# Of all C tests; the programs that are installed have their own.
AM_CPPFLAGS += -I$(srcdir)/tests $(CHECK_CFLAGS)
LDADD = libnatsd.a $(CONFUSE_LIBS) $(CHECK_LIBS) -lm -lpthread

if HAVE_CHECK
unit_tests = \
	%D%/unit/test_bell \
	%D%/unit/test_buf \
	%D%/unit/test_connect \
	%D%/unit/test_emit \
	%D%/unit/test_escape \
	%D%/unit/test_hash \
	%D%/unit/test_info \
	%D%/unit/test_log \
	%D%/unit/test_loop \
	%D%/unit/test_mem \
	%D%/unit/test_parse \
	%D%/unit/test_perr \
	%D%/unit/test_ring \
	%D%/unit/test_score \
	%D%/unit/test_slots \
	%D%/unit/test_strnum \
	%D%/unit/test_subject \
	%D%/unit/test_trie \
	%D%/unit/test_zone
check_PROGRAMS += $(unit_tests)
TESTS += $(unit_tests)
endif
EXTRA_DIST += \
	%D%/proc/circle.c \
	%D%/proc/circle.h \
	%D%/proc/ring_circle.c \
	%D%/proc/ring_threads.c

if HAVE_PYTHON
process_tests = \
	%D%/wire/01_connect.py \
	%D%/wire/02_pubsub.py \
	%D%/wire/03_vectors.py \
	%D%/wire/04_queue.py \
	%D%/wire/05_no_responders.py \
	%D%/wire/06_unsub_max.py \
	%D%/wire/07_headers.py \
	%D%/wire/08_order.py \
	%D%/wire/09_barriers.py \
	%D%/wire/10_limits.py \
	%D%/wire/11_slow_consumer.py \
	%D%/wire/12_auth.py \
	%D%/wire/13_keepalive.py \
	%D%/wire/14_bad_input.py \
	%D%/wire/15_lifecycle.py \
	%D%/wire/16_listeners.py \
	%D%/wire/17_verbose.py \
	%D%/wire/18_back_pressure.py \
	%D%/wire/19_command_line.py
TESTS += $(process_tests)
endif

lint_tests = \
	%D%/lint/layers.sh \
	%D%/lint/mandoc.sh \
	%D%/lint/options.sh
TESTS += $(lint_tests)

EXTRA_DIST += \
	%D%/lint \
	%D%/wire \
	%D%/lib
