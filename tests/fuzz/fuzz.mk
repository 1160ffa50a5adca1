# SPDX-License-Identifier: BSD-2-Clause
# Builds the fuzz targets in a folder of their own, with another compiler and
# other flags than the rest of the tree.  Called by run.sh and by make fuzz
# with: srcdir, builddir (where config.h is), SOURCES (those of libnatsd.a),
# and in the folder where the programs are to be.
#
#   FUZZ_CC=clang             libFuzzer, AddressSanitizer and UBSan
#   FUZZ_CC=afl-clang-fast    AFL++
FUZZ_CC = clang
FUZZ_SANITIZE = address,undefined
FUZZ_CFLAGS = -O2 -g

targets = chan conf connect message parse record snapshot subject trie worker
flags = -std=gnu11 -D_GNU_SOURCE -I$(srcdir)/src -I$(srcdir)/tests \
	-I$(builddir) $(CONFUSE_CFLAGS) -fno-omit-frame-pointer \
	-fsanitize=$(FUZZ_SANITIZE) -fno-sanitize-recover=all
objects = $(patsubst %.c,%.o,$(filter %.c,$(SOURCES)))
programs = $(targets:%=fuzz_%)
wrapped_conf = fd_read_file glob globfree
wrapped_worker = clock_mono_ms clock_mono_ns clock_real_ns getrandom \
	heritage_close_rest loop_wait sandbox_seal zone_map_ro zone_map_rw

ifneq (,$(findstring afl,$(FUZZ_CC)))
main = main.o
link =
else
# The targets themselves are no place to look for new ways, nor is the inside
# of a digest.
$(filter-out src/base/sha256.o,$(objects)): flags += -fsanitize=fuzzer-no-link
main =
link = -fsanitize=fuzzer
endif

all: $(programs)

$(programs): fuzz_%: %.o $(main) libnatsd.a
	$(FUZZ_CC) $(flags) $(FUZZ_CFLAGS) $(link) -o $@ $*.o $(main) \
	    $(wrapped_$*:%=-Wl,--wrap=%) libnatsd.a $(CONFUSE_LIBS) \
	    -lm -lpthread

libnatsd.a: $(objects)
	rm -f $@
	$(AR) cr $@ $(objects)

$(objects): %.o: $(srcdir)/%.c
	@mkdir -p $(@D)
	$(FUZZ_CC) $(flags) $(FUZZ_CFLAGS) -MMD -MP -c -o $@ $<

$(targets:=.o) main.o: %.o: $(srcdir)/tests/fuzz/%.c
	$(FUZZ_CC) $(flags) $(FUZZ_CFLAGS) -MMD -MP -c -o $@ $<

-include $(objects:.o=.d) $(targets:=.d) main.d

.PHONY: all
