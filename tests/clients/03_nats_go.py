#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""nats.go."""

import sys

sys.dont_write_bytecode = True
from clients import main, need, run_program  # noqa: E402


def build(place):
    go = need("go", (1, 26), "version", place.go())
    place.copy("main.go", "depth.go", "go.mod", "go.sum")
    place.fetch(go, "mod", "download", env=place.go(),
                key=place.text("go.mod"))
    place.make(go, "build", "-o", "behaviours", ".", env=place.go())
    return run_program([place.path("behaviours")], depth=True)


if __name__ == "__main__":
    sys.exit(main("nats.go", "nats_go", build))
