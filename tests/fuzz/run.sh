#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Builds the fuzz targets and runs libFuzzer, each for FUZZ_SECONDS.
#
#   run.sh [NAME.dict ...]     one target each; none: all of them
#
# With FUZZ_DIR (make fuzz) new inputs, logs and inputs that failed are kept
# there; without (make check) only what failed.  FUZZ_ONLY_BUILD=1 stops
# after the build, which is made by FUZZ_CC in the folder FUZZ_BUILD.  Exit
# status 77: no clang with libFuzzer.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
builddir=${top_builddir:-.}
FUZZ_CC=${FUZZ_CC:-clang}
seconds=${FUZZ_SECONDS:-30}

no_fuzzer() {
	echo "$*"
	[ "${CI:-}" = true ] && exit 1
	exit 77
}

# Whether the compiler makes a program with libFuzzer that runs.
probe() {
	dir=$(mktemp -d)
	echo 'int LLVMFuzzerTestOneInput(const void *p, unsigned long n)
	    { return p == 0 && n > 0; }' >"$dir/a.c"
	rc=0
	{ "$FUZZ_CC" -fsanitize=fuzzer,address,undefined -o "$dir/a" \
	    "$dir/a.c" && "$dir/a" -runs=1; } >"$dir/log" 2>&1 || rc=1
	[ $rc -eq 0 ] || tail -n 3 "$dir/log"
	rm -rf "$dir"
	return $rc
}

build() {
	mkdir -p "$programs"
	# Two tests at once must not build it twice.
	exec 9>"$programs/lock"
	flock 9
	"${MAKE:-make}" -s -j "${FUZZ_JOBS:-2}" -C "$programs" \
	    -f "$here/fuzz.mk" srcdir="$top" \
	    builddir="$(cd "$builddir" && pwd)" FUZZ_CC="$FUZZ_CC" \
	    SOURCES="$FUZZ_SOURCES" CONFUSE_CFLAGS="${CONFUSE_CFLAGS:-}" \
	    CONFUSE_LIBS="${CONFUSE_LIBS:--lconfuse}"
	exec 9>&-
}

fuzz() {
	name=$1
	work=$2
	mkdir -p "$work/corpus/$name" "$work/failed/$name"
	echo "== $name for $seconds s; what fails: $work/failed/$name"
	# A log of its own: thousands of lines.
	"$programs/fuzz_$name" -max_total_time="$seconds" -timeout=25 \
	    -rss_limit_mb=2048 -dict="$here/$name.dict" -print_final_stats=1 \
	    -artifact_prefix="$work/failed/$name/" "$work/corpus/$name" \
	    "$here/corpus/$name" >"$work/$name.log" 2>&1 || {
		tail -n 60 "$work/$name.log"
		for failed in "$work/failed/$name"/*; do
			echo "== $failed"
			od -A d -t x1z "$failed" | head -n 40
		done
		return 1
	}
	grep -E '^(Done|stat::(number|average|new_units|peak))|DONE' \
	    "$work/$name.log"
}

programs=$builddir/${FUZZ_BUILD:-fuzz}
[ -n "${FUZZ_SOURCES:-}" ] || { echo "run me by make"; exit 1; }
case $FUZZ_CC in
*afl*) ;;
*) probe || no_fuzzer "$FUZZ_CC has no libFuzzer" ;;
esac
build
[ -z "${FUZZ_ONLY_BUILD:-}" ] || exit 0
[ $# -gt 0 ] || set -- "$here"/*.dict
work=${FUZZ_DIR:-$(mktemp -d)}
status=0
for dict in "$@"; do
	fuzz "$(basename "$dict" .dict)" "$work" || status=1
done
[ -n "${FUZZ_DIR:-}" ] || [ $status -ne 0 ] || rm -rf "$work"
exit $status
