# Load generator and byte relay for tests/bench/run.py, and what the subject
# index costs by itself.  Not run by check.

noinst_PROGRAMS += %D%/natsload %D%/natsrelay
%C%_natsload_SOURCES = %D%/natsload.c %D%/nl.h %D%/nlconn.c %D%/nllat.c \
	%D%/nlmany.c %D%/nlpubsub.c %D%/nlutil.c
%C%_natsload_LDADD = -lpthread
%C%_natsrelay_SOURCES = %D%/natsrelay.c
%C%_natsrelay_LDADD =
noinst_PROGRAMS += %D%/indexbench
%C%_indexbench_SOURCES = %D%/indexbench.c
%C%_indexbench_LDADD = libnatsd.a
EXTRA_DIST += %D%/run.py
