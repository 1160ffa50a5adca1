# Fuzz targets.  Here they are plain programs that take their corpus once
# more, whatever the compiler; run.sh and fuzz.mk build them for libFuzzer.

fuzz_targets = \
	%D%/fuzz_chan \
	%D%/fuzz_conf \
	%D%/fuzz_connect \
	%D%/fuzz_message \
	%D%/fuzz_parse \
	%D%/fuzz_record \
	%D%/fuzz_snapshot \
	%D%/fuzz_subject \
	%D%/fuzz_trie \
	%D%/fuzz_worker
check_PROGRAMS += $(fuzz_targets)
TESTS += $(fuzz_targets)

fuzz_common = %D%/main.c %D%/fuzz.h
%C%_fuzz_chan_SOURCES = %D%/chan.c $(fuzz_common)
%C%_fuzz_conf_SOURCES = %D%/conf.c $(fuzz_common)
%C%_fuzz_connect_SOURCES = %D%/connect.c $(fuzz_common)
%C%_fuzz_message_SOURCES = %D%/message.c $(fuzz_common)
%C%_fuzz_parse_SOURCES = %D%/parse.c $(fuzz_common)
%C%_fuzz_record_SOURCES = %D%/record.c $(fuzz_common)
%C%_fuzz_snapshot_SOURCES = %D%/snapshot.c $(fuzz_common)
%C%_fuzz_subject_SOURCES = %D%/subject.c %D%/model.h $(fuzz_common)
%C%_fuzz_trie_SOURCES = %D%/trie.c %D%/model.h $(fuzz_common)
%C%_fuzz_conf_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=fd_read_file \
	-Wl,--wrap=glob \
	-Wl,--wrap=globfree
%C%_fuzz_worker_SOURCES = %D%/worker.c $(fuzz_common)
%C%_fuzz_worker_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=clock_mono_ms \
	-Wl,--wrap=clock_mono_ns \
	-Wl,--wrap=clock_real_ns \
	-Wl,--wrap=getrandom \
	-Wl,--wrap=heritage_close_rest \
	-Wl,--wrap=loop_wait \
	-Wl,--wrap=sandbox_seal \
	-Wl,--wrap=zone_map_ro \
	-Wl,--wrap=zone_map_rw

# One test for each dictionary runs the target of its name with libFuzzer.
FUZZ_SECONDS = 30
FUZZ_DIR = fuzz-work
fuzz_env = \
	FUZZ_SECONDS='$(FUZZ_SECONDS)' FUZZ_SOURCES='$(libnatsd_a_SOURCES)' \
	CONFUSE_CFLAGS='$(CONFUSE_CFLAGS)' CONFUSE_LIBS='$(CONFUSE_LIBS)' \
	top_builddir='$(abs_builddir)'
TEST_EXTENSIONS += .dict
DICT_LOG_COMPILER = env $(fuzz_env) timeout -k 10 $(TEST_TIMEOUT) $(SHELL) \
	$(srcdir)/%D%/run.sh
fuzz_dicts = \
	%D%/chan.dict \
	%D%/conf.dict \
	%D%/connect.dict \
	%D%/message.dict \
	%D%/parse.dict \
	%D%/record.dict \
	%D%/snapshot.dict \
	%D%/subject.dict \
	%D%/trie.dict \
	%D%/worker.dict
TESTS += $(fuzz_dicts)

# make fuzz [FUZZ_SECONDS=3600] [FUZZ_DIR=fuzz-work] [FUZZ_TARGETS="conf"]
FUZZ_TARGETS =
fuzz: config.h
	$(MKDIR_P) '$(FUZZ_DIR)'
	env $(fuzz_env) FUZZ_DIR='$(FUZZ_DIR)' $(SHELL) \
	    $(srcdir)/%D%/run.sh $(FUZZ_TARGETS:=.dict)
FUZZ_CC = clang
FUZZ_BUILD = fuzz
fuzz-build: config.h
	env $(fuzz_env) FUZZ_ONLY_BUILD=1 FUZZ_CC='$(FUZZ_CC)' \
	    FUZZ_BUILD='$(FUZZ_BUILD)' $(SHELL) $(srcdir)/%D%/run.sh
.PHONY: fuzz fuzz-build

EXTRA_DIST += \
	$(fuzz_dicts) \
	%D%/README \
	%D%/corpus \
	%D%/fuzz.mk \
	%D%/run.sh \
	%D%/seeds.py
