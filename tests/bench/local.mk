# Load generator and byte relay for tests/bench/run.py.  Not run by check.

noinst_PROGRAMS += %D%/natsload %D%/natsrelay
%C%_natsload_SOURCES = %D%/natsload.c %D%/nl.h %D%/nlconn.c %D%/nllat.c \
	%D%/nlmany.c %D%/nlpubsub.c %D%/nlutil.c
%C%_natsload_LDADD = -lpthread
%C%_natsrelay_SOURCES = %D%/natsrelay.c
%C%_natsrelay_LDADD =
EXTRA_DIST += %D%/run.py
