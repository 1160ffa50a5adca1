# The byte relay and the comparison of servers, and what the subject index
# costs by itself.  Not run by check.

noinst_PROGRAMS += %D%/natsrelay
%C%_natsrelay_SOURCES = %D%/natsrelay.c
%C%_natsrelay_LDADD =
noinst_PROGRAMS += %D%/indexbench
%C%_indexbench_SOURCES = %D%/indexbench.c
%C%_indexbench_LDADD = libnatsd.a

# Instructions per message, against those recorded.
check_PROGRAMS += %D%/guard
%C%_guard_SOURCES = %D%/guard.c
%C%_guard_CPPFLAGS = $(AM_CPPFLAGS) -DGUARD_CFLAGS='"$(CFLAGS)"'
%C%_guard_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=getrandom \
	-Wl,--wrap=heritage_close_rest \
	-Wl,--wrap=loop_wait \
	-Wl,--wrap=sandbox_seal
%C%_guard_LDADD = libnatsd.a $(CONFUSE_LIBS)
if HAVE_PYTHON
TESTS += %D%/guard.py
endif
EXTRA_DIST += %D%/guard.py %D%/guard.counts

GUARD_COUNTS = $(srcdir)/%D%/guard.counts
guard-record: %D%/guard
	top_builddir=. $(PYTHON) $(srcdir)/%D%/guard.py --record \
	    --counts '$(GUARD_COUNTS)'

EXTRA_DIST += %D%/run.py %D%/plot.py

# Variables: BENCH_QUICK=1, ROUNDS=5, LOADS=1:1-16,rr-1,
# NATS_SERVERS="/path/a /path/b".
bench: natsd natsbench %D%/natsrelay
	BENCH_QUICK='$(BENCH_QUICK)' ROUNDS='$(ROUNDS)' LOADS='$(LOADS)' \
	NATS_SERVERS='$(NATS_SERVERS)' \
	$(PYTHON) $(srcdir)/%D%/run.py --build . --json bench.json

# Draws what make bench has left.
bench-plot:
	$(PYTHON) $(srcdir)/%D%/plot.py bench.json bench.svg

.PHONY: bench bench-plot guard-record
CLEANFILES += bench.json bench.svg
