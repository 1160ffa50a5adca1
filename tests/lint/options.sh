#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Checks that every option of the table in src/conf/opt.c stands in natsd.conf
# (set, or as a comment that can be uncommented) and in natsd.conf(5), where
# the item of its name, or that of one of its sections, starts with .It.
set -eu
cd "${top_srcdir:-$(dirname "$0")/../..}"

# The first string of each entry: MACRO("name", or { "name",
options=$(sed -n '/^const struct opt opt_table\[\]/,/^};/p' src/conf/opt.c |
    sed -n 's/^	\([A-Z0-9]*(\|{ \)"\([a-z_]*\)",.*/\2/p' | sort -u)
if [ "$(printf '%s\n' "$options" | wc -l)" -lt 30 ]; then
	echo "src/conf/opt.c: the table of options was not recognised"
	exit 1
fi

bad=0
for option in $options; do
	if ! grep -Eq "^[[:blank:]#]*$option[[:blank:]]*=" natsd.conf; then
		echo "natsd.conf: lacks $option"
		bad=1
	fi
	if ! grep -Eq "^\.It .*\<$option\>" man/natsd.conf.5; then
		echo "man/natsd.conf.5: lacks an item for $option"
		bad=1
	fi
done
exit $bad
