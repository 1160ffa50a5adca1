#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Checks that mandoc has nothing to say about the manual pages.
set -eu
cd "${top_srcdir:-$(dirname "$0")/../..}/man"

mandoc=${MANDOC:-mandoc}
if ! command -v "$mandoc" >/dev/null; then
	echo "skipped: mandoc is not installed"
	exit 77
fi
# Whether other manuals are installed here is not the fault of ours.
said=$("$mandoc" -T lint *.[1-9] | grep -v 'referenced manual not found' || :)
if [ -n "$said" ]; then
	printf '%s\n' "$said"
	exit 1
fi
