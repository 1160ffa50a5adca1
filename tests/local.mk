# Tests.  C programs by module, process tests, lint, and Python programs that
# start the natsd just built.  Exit status 77 means skipped.

TEST_EXTENSIONS = .sh .py
AM_TESTS_ENVIRONMENT = \
	NATSD='$(abs_builddir)/natsd'; export NATSD; \
	top_srcdir='$(abs_srcdir)'; export top_srcdir; \
	top_builddir='$(abs_builddir)'; export top_builddir; \
	CLIENT_BUILD_DIR=$${CLIENT_BUILD_DIR-'$(abs_builddir)/clients'}; \
	export CLIENT_BUILD_DIR; \
	MANDOC='$(MANDOC)'; export MANDOC; \
	PYTHONDONTWRITEBYTECODE=1; export PYTHONDONTWRITEBYTECODE; \
	ASAN_OPTIONS=allocator_may_return_null=1:$${ASAN_OPTIONS-}; \
	export ASAN_OPTIONS; \
	CK_DEFAULT_TIMEOUT=$${CK_DEFAULT_TIMEOUT-120}; \
	export CK_DEFAULT_TIMEOUT;
# No test may hang the others for ever.
TEST_TIMEOUT = 1800
LOG_COMPILER = timeout -k 10 $(TEST_TIMEOUT)
SH_LOG_COMPILER = timeout -k 10 $(TEST_TIMEOUT) $(SHELL)
# A daemon leaves what lives as long as it does to the kernel.
PY_LOG_COMPILER = env ASAN_OPTIONS="$$ASAN_OPTIONS:detect_leaks=0" \
	timeout -k 10 $(TEST_TIMEOUT) $(PYTHON)

# Of all C tests; the programs that are installed have their own.
AM_CPPFLAGS += -I$(srcdir)/tests $(CHECK_CFLAGS)
LDADD = libnatsd.a $(CONFUSE_LIBS) $(CHECK_LIBS) -lm -lpthread

unit_tests = \
	%D%/unit/test_bell \
	%D%/unit/test_buf \
	%D%/unit/test_cell \
	%D%/unit/test_chan \
	%D%/unit/test_cid \
	%D%/unit/test_connect \
	%D%/unit/test_drop \
	%D%/unit/test_emit \
	%D%/unit/test_escape \
	%D%/unit/test_hash \
	%D%/unit/test_info \
	%D%/unit/test_log \
	%D%/unit/test_lastwords \
	%D%/unit/test_logpipe \
	%D%/unit/test_loop \
	%D%/unit/test_match \
	%D%/unit/test_mem \
	%D%/unit/test_oom \
	%D%/unit/test_options \
	%D%/unit/test_out \
	%D%/unit/test_parse \
	%D%/unit/test_perr \
	%D%/unit/test_plan \
	%D%/unit/test_quiesce \
	%D%/unit/test_ring \
	%D%/unit/test_sandbox \
	%D%/unit/test_scan \
	%D%/unit/test_score \
	%D%/unit/test_sha256 \
	%D%/unit/test_sigtext \
	%D%/unit/test_slots \
	%D%/unit/test_strnum \
	%D%/unit/test_subject \
	%D%/unit/test_subs \
	%D%/unit/test_tcp \
	%D%/unit/test_trie \
	%D%/unit/test_wheel \
	%D%/unit/test_zone
if HAVE_CHECK
check_PROGRAMS += $(unit_tests)
TESTS += $(unit_tests)
endif

plain_tests = \
	%D%/proc/fences \
	%D%/proc/readonly \
	%D%/proc/ring_circle \
	%D%/proc/ring_threads \
	%D%/proc/sealed \
	%D%/proc/trie_model \
	%D%/proc/trie_threads \
	%D%/unit/test_conf \
	%D%/unit/test_conf_diff \
	%D%/unit/test_conf_errors \
	%D%/unit/test_conf_fuzz \
	%D%/unit/test_snapshot
check_PROGRAMS += $(plain_tests)
TESTS += $(plain_tests)

%C%_proc_ring_circle_SOURCES = \
	%D%/proc/ring_circle.c \
	%D%/proc/circle.c \
	%D%/proc/circle.h
%C%_proc_ring_threads_SOURCES = \
	%D%/proc/ring_threads.c \
	%D%/proc/circle.c \
	%D%/proc/circle.h
%C%_unit_test_conf_SOURCES = \
	%D%/unit/test_conf.c \
	%D%/unit/test_conf.h
%C%_unit_test_conf_diff_SOURCES = \
	%D%/unit/test_conf_diff.c \
	%D%/unit/test_conf.h
%C%_unit_test_conf_errors_SOURCES = \
	%D%/unit/test_conf_errors.c \
	%D%/unit/test_conf.h
%C%_unit_test_conf_fuzz_SOURCES = \
	%D%/unit/test_conf_fuzz.c \
	%D%/unit/test_conf.h
%C%_unit_test_snapshot_SOURCES = \
	%D%/unit/test_snapshot.c \
	%D%/unit/test_conf.h
%C%_proc_sealed_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=master_ready \
	-Wl,--wrap=sandbox_seal

# Those that kill themselves or others at named points need a library that has
# these points, whatever configure was told.
check_LIBRARIES = libnatsd-crash.a
libnatsd_crash_a_SOURCES = $(libnatsd_a_SOURCES)
libnatsd_crash_a_CPPFLAGS = $(AM_CPPFLAGS) -DCRASH_POINTS=1
crash_libs = libnatsd-crash.a $(CONFUSE_LIBS) $(CHECK_LIBS) -lm -lpthread
check_PROGRAMS += %D%/proc/natsd_crash
%C%_proc_natsd_crash_SOURCES = src/natsd.c
%C%_proc_natsd_crash_CPPFLAGS = $(AM_CPPFLAGS) -DCRASH_POINTS=1
%C%_proc_natsd_crash_LDADD = $(crash_libs)
# The whole program once more, with calls that fail when a test says so.
check_PROGRAMS += %D%/proc/natsd_fault
%C%_proc_natsd_fault_SOURCES = \
	src/natsd.c \
	%D%/proc/fault.c
%C%_proc_natsd_fault_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc \
	-Wl,--wrap=aligned_alloc,--wrap=free,--wrap=mmap \
	-Wl,--wrap=memfd_create,--wrap=socketpair,--wrap=socket \
	-Wl,--wrap=eventfd,--wrap=epoll_create1,--wrap=signalfd \
	-Wl,--wrap=accept4,--wrap=fork,--wrap=open,--wrap=epoll_ctl \
	-Wl,--wrap=clock_gettime,--wrap=time \
	-Wl,--wrap=getpwnam,--wrap=getgrnam,--wrap=initgroups
%C%_proc_ring_circle_CPPFLAGS = $(AM_CPPFLAGS) -DCRASH_POINTS=1
%C%_proc_ring_circle_LDADD = $(crash_libs)
%C%_proc_trie_model_CPPFLAGS = $(AM_CPPFLAGS) -DCRASH_POINTS=1
%C%_proc_trie_model_LDADD = $(crash_libs)

# natsd with a worker that goes mad on demand: of the library the injector
# wraps some functions, so that nothing of it is in the product.
check_PROGRAMS += %D%/proc/natsd_inject
%C%_proc_natsd_inject_SOURCES = src/natsd.c %D%/proc/inject.c
%C%_proc_natsd_inject_LDADD = libnatsd.a $(CONFUSE_LIBS)
%C%_proc_natsd_inject_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=logpipe_use \
	-Wl,--wrap=peer_pump \
	-Wl,--wrap=ring_rx_release

process_tests = \
	%D%/diff/run.py \
	%D%/clients/01_libnats.py \
	%D%/clients/02_natscli.py \
	%D%/clients/03_nats_go.py \
	%D%/clients/04_node.py \
	%D%/clients/05_nats_py.py \
	%D%/clients/06_async_nats.py \
	%D%/clients/07_jnats.py \
	%D%/clients/08_nats_bench.py \
	%D%/clients/09_natscli_depth.py \
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
	%D%/wire/19_command_line.py \
	%D%/wire/20_review.py \
	%D%/wire/21_kill.py \
	%D%/wire/22_full.py \
	%D%/wire/23_many.py \
	%D%/wire/24_review.py \
	%D%/wire/25_fuzz.py \
	%D%/wire/26_scenarios.py \
	%D%/wire/27_protocol_manual.py \
	%D%/wire/28_natsbench.py \
	%D%/wire/29_lines.py \
	%D%/wire/30_kills.py \
	%D%/wire/31_slow_policy.py \
	%D%/wire/32_containment.py \
	%D%/wire/33_exhaustion.py \
	%D%/wire/34_judge.py \
	%D%/wire/35_network.py
if HAVE_PYTHON
TESTS += $(process_tests)
endif

script_tests = \
	%D%/lint/clock.sh \
	%D%/lint/crashes.sh \
	%D%/lint/layers.sh \
	%D%/lint/mandoc.sh \
	%D%/lint/options.sh \
	%D%/model/run.sh \
	%D%/proc/tsan.sh
TESTS += $(script_tests)

EXTRA_DIST += $(process_tests) $(script_tests) \
	%D%/clients/async_nats/Cargo.toml \
	%D%/clients/async_nats/src/common.rs \
	%D%/clients/async_nats/src/depth.rs \
	%D%/clients/async_nats/src/main.rs \
	%D%/clients/clients.py \
	%D%/clients/jnats/Basics.java \
	%D%/clients/jnats/Behaviours.java \
	%D%/clients/jnats/Client.java \
	%D%/clients/jnats/Depth.java \
	%D%/clients/jnats/pom.xml \
	%D%/clients/libnats/behaviours.c \
	%D%/clients/libnats/behaviours.h \
	%D%/clients/libnats/depth.c \
	%D%/clients/nats_go/depth.go \
	%D%/clients/nats_go/go.mod \
	%D%/clients/nats_go/go.sum \
	%D%/clients/nats_go/main.go \
	%D%/clients/nats_py/behaviours.py \
	%D%/clients/nats_py/common.py \
	%D%/clients/nats_py/depth.py \
	%D%/clients/nats_py/requirements.txt \
	%D%/clients/node/behaviours.mjs \
	%D%/clients/node/common.mjs \
	%D%/clients/node/depth.mjs \
	%D%/clients/node/package.json \
	%D%/clients/proxy.py \
	%D%/diff/DIFFERENCES \
	%D%/diff/allowed.py \
	%D%/diff/compare.py \
	%D%/diff/generate.py \
	%D%/diff/grammar.py \
	%D%/diff/play.py \
	%D%/diff/session.py \
	%D%/diff/sessions.py \
	%D%/diff/shrink.py \
	%D%/lib/natsdtest.py \
	%D%/lib/shmpair.h \
	%D%/lib/triechurn.h \
	%D%/lib/tries.h \
	%D%/lib/unit.h \
	%D%/lib/vectors.py \
	%D%/model/barrier.pml \
	%D%/model/bell.pml \
	%D%/model/index.pml \
	%D%/model/live.pml \
	%D%/model/ring.pml \
	%D%/model/space.pml \
	%D%/model/view.pml \
	%D%/proc/tsan.mk \
	%D%/proc/weak.h

# What the client tests have built or fetched, of which some is read-only, the
# fuzz targets for libFuzzer, and what tsan.sh has built.
clean-local:
	test ! -d clients || { chmod -R u+w clients && rm -rf clients; }
	rm -rf fuzz tsan
