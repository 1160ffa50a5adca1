#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Checks that each test that the crash table of src/README names, as
# [FOLDER/FILE: NAME], exists: the file, and the beginning of a name of a
# scenario, a test or a crash point in it.
set -eu
cd "${top_srcdir:-$(dirname "$0")/../..}"

named=$(sed -n '/^3\.4 /,/^4\. /p' src/README |
    sed -n 's/.*\[\([a-z]*\/[A-Za-z0-9_]*\.[a-z]*\): \([^]]*\)\].*/\1:\2/p')
if [ "$(printf '%s\n' "$named" | wc -l)" -lt 25 ]; then
	echo "src/README: the crash table was not recognised"
	exit 1
fi

# One line, with the pieces of a name that is longer put together.
whole() {
	tr '\n' ' ' <"$1" | sed 's/" *"//g'
}

bad=0
while IFS= read -r test; do
	file=tests/${test%%:*}
	name=${test#*:}
	if [ ! -f "$file" ]; then
		echo "src/README: there is no $file"
		bad=1
	elif ! whole "$file" | grep -Fq -e "\"$name" -e "TEST($name)"; then
		echo "src/README: $file has no \"$name\""
		bad=1
	fi
done <<END
$named
END
# A row begins in the fifth column; its tests stand below it.
sed -n '/^In zones:/,/^Last words/p' src/README | awk '
function end() {
	if (row != "" && !tested) {
		print "src/README: no test for: " row
		bad = 1
	}
}
/^    [^ ]/ { end(); row = $0; tested = 0 }
/^        \[/ { tested = 1 }
END { end(); exit bad }
' || bad=1
exit $bad
