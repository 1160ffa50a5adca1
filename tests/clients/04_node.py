#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""@nats-io/transport-node."""

import sys

sys.dont_write_bytecode = True
from clients import main, need, run_program  # noqa: E402


def build(place):
    node = need("node", (18, 0))
    npm = need("npm")
    place.copy("behaviours.mjs", "common.mjs", "depth.mjs", "package.json")
    place.fetch(npm, "install", "--no-audit", "--no-fund",
                "--no-package-lock", "--ignore-scripts",
                "--cache", place.path("cache"),
                key=place.text("package.json"))
    return run_program([node, place.path("behaviours.mjs")], depth=True)


if __name__ == "__main__":
    sys.exit(main("@nats-io/transport-node", "node", build))
