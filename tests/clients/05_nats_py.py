#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""nats-py."""

import os
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
from clients import Missing, main, run_program  # noqa: E402


def python_with_pip():
    for path in (sys.executable, shutil.which("python3")):
        if path and subprocess.run([path, "-m", "pip", "--version"],
                                   stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL
                                   ).returncode == 0:
            return path
    raise Missing("python3 has no pip")


def build(place):
    packages = place.path("packages")
    listed = os.path.join(place.source, "requirements.txt")
    python = python_with_pip()
    place.fetch(python, "-m", "pip", "install", "--quiet", "--upgrade",
                "--disable-pip-version-check", "--no-cache-dir",
                "--target", packages, "-r", listed,
                key=place.text("requirements.txt"))
    return run_program([python, os.path.join(place.source, "behaviours.py")],
                       {"PYTHONPATH": packages, "PYTHONUNBUFFERED": "1",
                        "PYTHONDONTWRITEBYTECODE": "1"}, depth=True)


if __name__ == "__main__":
    sys.exit(main("nats-py", "nats_py", build))
