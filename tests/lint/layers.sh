#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Checks who includes whom:
#   base < shm < proto, conf, proc < worker, monitor, auth < master < mains
#   bench < natsbench.c: the load generator has nothing of the daemon's
# A file includes its own folder and folders to the left, never a sibling's;
# proto and conf see base only (proc also shm: the zones cross the fork); of a
# child the master sees one header.
set -eu
cd "${top_srcdir:-$(dirname "$0")/../..}/src"

find . -name '*.[ch]' | LC_ALL=C sort | xargs awk '
BEGIN {
	level["base"] = 0; level["shm"] = 1
	level["proto"] = level["conf"] = level["proc"] = 2
	level["worker"] = level["monitor"] = level["auth"] = 3
	level["master"] = 4
	level["bench"] = 0
	main = 5
}
function complain(why) {
	printf "src/%s:%d: %s: %s\n", file, FNR, why, $0
	bad = 1
}
FNR == 1 {
	file = substr(FILENAME, 3)
	dir = file ~ /\// ? file : ""
	sub(/\/.*/, "", dir)
	own = dir == "" ? main : level[dir]
	if (dir != "" && !(dir in level))
		complain("folder without a layer")
}
/^[ \t]*#[ \t]*include[ \t]*"/ {
	header = $0
	sub(/^[^"]*"/, "", header)
	sub(/".*/, "", header)
	to = header
	if (!sub(/\/.*/, "", to) || !(to in level)) {
		complain("include by layer, as \"base/log.h\"")
		next
	}
	if (to == dir)
		next
	if (dir == "bench" || file == "natsbench.c") {
		if (to != "bench")
			complain("natsbench must not see " to)
		next
	}
	if (to == "bench")
		complain("only natsbench.c may see bench")
	if (level[to] >= own)
		complain(dir " must not see " to)
	else if ((dir == "proto" || dir == "conf") && to != "base")
		complain(dir " may see base only")
	else if (dir == "master" && level[to] == 3 && header != to "/" to ".h")
		complain("master may see only " to "/" to ".h")
}
END { exit bad }
'
