#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""jnats."""

import sys

sys.dont_write_bytecode = True
from clients import main, need, run_program  # noqa: E402

COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:" \
       "copy-dependencies"
SOURCES = ("Basics.java", "Behaviours.java", "Client.java", "Depth.java")


def build(place):
    java = need("java", (11, 0), "-version")
    javac = need("javac")
    maven = need("mvn")
    place.copy(*SOURCES, "pom.xml")
    place.fetch(maven, "-q", "-B", "-Dmaven.repo.local=" + place.path("m2"),
                COPY, "-DoutputDirectory=" + place.path("jars"),
                key=place.text("pom.xml"))
    place.make(javac, "-Xlint:all", "-cp", "jars/*",
               "-d", "classes", *SOURCES)
    path = place.path("classes") + ":" + place.path("jars", "*")
    return run_program([java, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC",
                        "-cp", path, "Behaviours"], depth=True)


if __name__ == "__main__":
    sys.exit(main("jnats", "jnats", build))
