#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""libnats, the C client."""

import subprocess
import sys

sys.dont_write_bytecode = True
from clients import Missing, main, need, run_program  # noqa: E402


def build(place):
    compiler = need("cc")
    config = need("pkg-config")
    done = subprocess.run([config, "--cflags", "--libs", "libnats"],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True)
    if done.returncode:
        raise Missing("there is no libnats")
    place.copy("behaviours.c", "behaviours.h", "depth.c")
    place.make(compiler, "-std=gnu11", "-O1", "-Wall", "-Wextra",
               "-D_GNU_SOURCE", "-o", "behaviours", "behaviours.c",
               "depth.c", *done.stdout.split(), "-lpthread")
    return run_program([place.path("behaviours")], depth=True)


if __name__ == "__main__":
    sys.exit(main("libnats", "libnats", build))
