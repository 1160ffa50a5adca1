#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Checks the models of the sleep and the space protocol with spin, as they are
# and with each of the faults that they must find.
set -eu

command -v spin >/dev/null || { echo "spin is not installed"; exit 77; }
CC=${CC:-cc}
command -v "${CC%% *}" >/dev/null || { echo "no C compiler"; exit 77; }

models=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
failed=0

# check MODEL FAULT EXPECTED: FAULT may be "none".
check () {
	flags=
	test "$2" = none || flags=-D$2
	rm -f pan* ./*.trail
	spin -a $flags "$models/$1.pml" >spin.out 2>&1 ||
	    { cat spin.out; exit 1; }
	$CC -O1 -w -DSAFETY -DMEMLIM=1024 -o pan pan.c
	./pan -m200000 >pan.out 2>&1 || :
	if grep -q 'errors: 0$' pan.out; then
		result=holds
	elif grep -q 'errors: [1-9]' pan.out; then
		result=breaks
	else
		result='is not decided'
	fi
	if test "$result" = holds &&
	    grep -q 'depth too small\|not completed' pan.out; then
		result='is not decided'
	fi
	echo "$1, fault $2: $result"
	if test "$result" != "$3"; then
		echo "  expected: $3"
		cat pan.out
		failed=1
	fi
}

check bell none holds
for fault in SLEEPER_NO_FENCE WAKER_NO_FENCE NO_SECOND_LOOK SAME_COUNT \
    MASTER_SILENT; do
	check bell $fault breaks
done
check space none holds
for fault in PRODUCER_NO_FENCE CONSUMER_NO_FENCE NO_SECOND_LOOK SAME_COUNT \
    UNPUBLISHED; do
	check space $fault breaks
done
exit $failed
