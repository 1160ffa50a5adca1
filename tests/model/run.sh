#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Checks the models with spin, all their states, as they are and with each of
# the faults that they must find.
#
#   run.sh [MODEL ...]     none: all of them
#
# A model's head comment names the functions that it stands for, by name(),
# which must exist in src/, and below "Broken on purpose" its faults, one a
# line, which -D puts in.
set -eu

models=$(cd "$(dirname "$0")" && pwd)
src=$models/../../src
failed=0

# The comment at the head of a model.
head_of () {
	sed -n '2,/\*\//p' "$models/$1.pml"
}

# Names that are not those of a function, or of a macro, in src/.
lint_names () {
	for name in $(head_of "$1" | grep -o '[a-z_0-9]*()' | tr -d '()' |
	    sort -u); do
		grep -Eqr --include='*.[ch]' \
		    "(^|[ *])$name\(" "$src" && continue
		echo "$1.pml stands for $name(), which src/ does not have"
		failed=1
	done
}

faults_of () {
	head_of "$1" | sed -n 's/^ \*	\([A-Z][A-Z_]*\)  *.*/\1/p'
}

# Each fault is in the model, and what looks like one is in the head.
lint_faults () {
	faults_of "$1" | sort >"$work/listed"
	sed -n 's/^#if[n]*def \([A-Z_]*\)$/\1/p' "$models/$1.pml" |
	    grep -v '^TWO$' | sort -u >"$work/used"
	cmp -s "$work/listed" "$work/used" && return
	echo "$1.pml: faults in its head and in its text differ:"
	diff "$work/listed" "$work/used" || :
	failed=1
}

number () {
	sed -n "s/^ *\([0-9]*\) $1.*/\1/p" pan.out
}

# check MODEL EXPECTED [FLAG ...]
check () {
	model=$1
	expected=$2
	shift 2
	rm -f pan* ./*.trail
	spin -a "$@" "$models/$model.pml" >spin.out 2>&1 ||
	    { cat spin.out; exit 1; }
	# A fault is found long before all states are seen.
	optimize=-O0
	test "$expected" = breaks || optimize=-O1
	$CC $optimize -w -DSAFETY -DMEMLIM=1000 -o pan pan.c
	./pan -m200000 -w21 -n >pan.out 2>&1 || :
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
	printf '%-8s %-22s %s, %s states\n' "$model" "${*:-as it is}" \
	    "$result" "$(number 'states, stored')"
	if test "$result" != "$expected"; then
		echo "  expected: $expected"
		cat pan.out
		failed=1
	fi
}

check_model () {
	check "$1" holds
	case $1 in
	index)
		check index holds -DTWO
		;;
	esac
	for fault in $(faults_of "$1"); do
		# Of two readers one is not waited for.
		case $fault in
		ONE_READER)
			check "$1" breaks -D$fault -DTWO
			;;
		*)
			check "$1" breaks -D$fault
			;;
		esac
	done
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
test $# -gt 0 || set -- bell space ring index view live barrier
# What needs no spin goes first.
for model in "$@"; do
	lint_names "$model"
	lint_faults "$model"
done
test $failed -eq 0 || exit 1
command -v spin >/dev/null || { echo "spin is not installed"; exit 77; }
CC=${CC:-cc}
command -v "${CC%% *}" >/dev/null || { echo "no C compiler"; exit 77; }
for model in "$@"; do
	check_model "$model"
done
exit $failed
