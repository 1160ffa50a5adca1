#!/bin/sh
# Makes configure and the rest of the autotools output in the source folder.
# contrib/dev builds without leaving any of it here.
set -eu
cd "$(dirname "$0")"
mkdir -p .build-aux
exec autoreconf --force --install
