#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Rings and index under ThreadSanitizer, as threads of one process: no report.
# And once more with one release or acquire taken away each time: these must
# be reported, or the first would say nothing.
#
# ThreadSanitizer knows loads, stores and their order, but no free-standing
# fence.  Those of the code (bell.c, ring.c, quiesce.c) order a store before a
# later load, which decides whether somebody sleeps or reuses; data never pass
# by them alone, so it finds no fault where there is none.  What the fences
# themselves are for, tests/model and tests/proc/fences check.
#
# Exit status 77: the compiler has no ThreadSanitizer that runs here.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
builddir=$(cd "${top_builddir:-.}" && pwd)
CC=${TSAN_CC:-${CC:-cc}}
programs=$builddir/tsan
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# Its shadow memory needs the usual places of mappings: with more bits of
# randomness than it knows it gives up, unless there is none.
run=
probe () {
	echo 'int main(void) { return 0; }' >"$work/a.c"
	$CC -fsanitize=thread -o "$work/a" "$work/a.c" >"$work/log" 2>&1 ||
	    return 1
	"$work/a" >"$work/log" 2>&1 && return
	run="setarch $(uname -m) -R"
	$run "$work/a" >"$work/log" 2>&1
}

probe || {
	cat "$work/log"
	echo "$CC has no ThreadSanitizer that runs here"
	test "${CI:-}" = true && exit 1
	exit 77
}

mkdir -p "$programs"
"${MAKE:-make}" -s -j 2 -C "$programs" -f "$here/tsan.mk" srcdir="$top" \
    builddir="$builddir" TSAN_CC="$CC"

# 66: reported; 0: ran to its end.
start () {
	status=0
	TSAN_OPTIONS="halt_on_error=1 exitcode=66" timeout 300 \
	    $run "$programs/$1" >"$work/$1.log" 2>&1 || status=$?
}

holds () {
	start "$1"
	if test $status -eq 0; then
		echo "$1: no report"
	else
		echo "$1: exit status $status"
		cat "$work/$1.log"
		failed=1
	fi
}

breaks () {
	start "$1"
	if test $status -eq 66 &&
	    grep -q 'WARNING: ThreadSanitizer: data race' "$work/$1.log"; then
		echo "$1: reported, $(sed -n \
		    's/^SUMMARY: .*data race .* in \(.*\)/in \1/p' \
		    "$work/$1.log")"
	else
		echo "$1: exit status $status, but its race must be reported"
		tail -n 40 "$work/$1.log"
		failed=1
	fi
}

holds ring_threads
for program in ring_produced ring_looked ring_consumed; do
	breaks $program
done
holds trie_threads
for program in trie_linked trie_followed trie_counted; do
	breaks $program
done
exit $failed
