# SPDX-License-Identifier: BSD-2-Clause
# Builds ring_threads and trie_threads, and what they need, with
# ThreadSanitizer, in a folder of their own.  Called by tsan.sh there with:
# srcdir, builddir (where config.h is).
#
# x+release.o is x.c with its release stores made relaxed, x+acquire.o with its
# acquire loads: programs of them are broken, and must be reported.
TSAN_CC = cc
TSAN_CFLAGS = -O1 -g
flags = -std=gnu11 -D_GNU_SOURCE -I$(srcdir)/src -I$(srcdir)/tests \
	-I$(builddir) -fsanitize=thread -Wno-unknown-warning-option -Wno-tsan
# Enough for some seconds; what is broken shows in fewer.
rounds = 3000
steps = 250000

shm = bell cell crash own quiesce ring score slots trie trie_edges trie_read \
	trie_write zone
base = buf clock escape fdutil log logtarget mem panic
common = $(shm:=.o) $(base:=.o)
circle = ring_threads.o circle.o $(common)
churn = trie_threads.o $(common)
programs = ring_threads ring_produced ring_looked ring_consumed \
	trie_threads trie_linked trie_followed trie_counted

all: $(programs)

ring_threads: $(circle)
# ring_tx_publish() is inline in circle.c.
ring_produced: $(circle:circle.o=circle+release.o)
# ring_rx_look()
ring_looked: $(circle:ring.o=ring+acquire.o)
# ring_rx_release()
ring_consumed: $(circle:ring.o=ring+release.o)

trie_threads: $(churn)
# set_link(), entry_set(), fill_finish()
trie_linked: $(patsubst trie_%.o,trie_%+release.o,$(filter trie_write.o \
	trie_edges.o,$(churn))) $(filter-out trie_write.o trie_edges.o,$(churn))
# look(), get_link(), look_open()
trie_followed: $(churn:trie_read.o=trie_read+acquire.o)
# counter_set()
trie_counted: $(churn:quiesce.o=quiesce+release.o)

$(programs):
	$(TSAN_CC) $(flags) $(TSAN_CFLAGS) -o $@ $^ -lpthread

compile = $(TSAN_CC) $(flags) $(TSAN_CFLAGS) -DROUNDS=$(rounds) \
	-DSTEPS=$(steps) -MMD -MP -c -o $@
vpath %.c $(srcdir)/src/shm $(srcdir)/src/base $(srcdir)/tests/proc
%+release.o: %.c
	$(compile) -DWEAK_RELEASE -include $(srcdir)/tests/proc/weak.h $<
%+acquire.o: %.c
	$(compile) -DWEAK_ACQUIRE -include $(srcdir)/tests/proc/weak.h $<
%.o: %.c
	$(compile) $<

-include $(wildcard *.d)

.PHONY: all
