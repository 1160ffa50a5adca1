# The byte relay and the comparison of servers, and what the subject index
# costs by itself.  Not run by check.

noinst_PROGRAMS += %D%/natsrelay
%C%_natsrelay_SOURCES = %D%/natsrelay.c
%C%_natsrelay_LDADD =
noinst_PROGRAMS += %D%/indexbench
%C%_indexbench_SOURCES = %D%/indexbench.c
%C%_indexbench_LDADD = libnatsd.a
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

.PHONY: bench bench-plot
CLEANFILES += bench.json bench.svg
