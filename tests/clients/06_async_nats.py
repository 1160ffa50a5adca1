#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""async-nats."""

import os
import sys

sys.dont_write_bytecode = True
from clients import main, need, run_program  # noqa: E402


def cargo_home(place):
    """A home of its own for what cargo downloads, with the user's settings."""
    home = place.path("cargo")
    theirs = os.path.join(os.environ.get("CARGO_HOME") or
                          os.path.expanduser("~/.cargo"), "config.toml")
    os.makedirs(home, exist_ok=True)
    if os.path.exists(theirs) and \
            not os.path.lexists(os.path.join(home, "config.toml")):
        os.symlink(theirs, os.path.join(home, "config.toml"))
    return home


def build(place):
    cargo = need("cargo", (1, 89))
    env = {"CARGO_HOME": cargo_home(place),
           "CARGO_TARGET_DIR": place.path("target")}
    place.copy("Cargo.toml", "src/common.rs", "src/depth.rs", "src/main.rs")
    place.fetch(cargo, "fetch", "--quiet", env=env,
                key=place.text("Cargo.toml"))
    place.make(cargo, "build", "--quiet", "--offline", env=env)
    return run_program([place.path("target", "debug", "behaviours")],
                       depth=True)


if __name__ == "__main__":
    sys.exit(main("async-nats", "async_nats", build))
