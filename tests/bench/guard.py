#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Instructions per message of nine loads, against those recorded.

Each load of tests/bench/guard runs twice under callgrind, with few and with
more messages; the difference is what a message takes, whatever the start
takes.  More than 5 % above what guard.counts says is a failure: something on
the way of every message has become dearer.  More than 5 % below is one too, so
that the record follows.  `contrib/dev guard-record` writes what is found.

Counts depend on the compiler: with another one, another major version of it,
another architecture or another kind of build they are shown only.

Exit status: 0 passed, 1 failed, 77 skipped (no valgrind; a failure with
CI=true).
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

# load: messages of the short run, and of the long one
LOADS = {"parse": (2000, 22000), "match": (5000, 25000),
         "ring": (1600, 33600), "local": (2560, 12800),
         "lane": (8192, 20480), "sizes": (8192, 20480),
         "walk": (2560, 7680), "fanout": (512, 1536),
         "deal": (2560, 12800)}
SLACK = 0.05
HERE = os.path.dirname(os.path.abspath(__file__))

# glibc has several memcpy(); the same one on every CPU.
ENV = dict(os.environ, GLIBC_TUNABLES="glibc.cpu.hwcaps=-AVX512F,-AVX512VL,"
           "-AVX2,-AVX,-AVX2_Usable,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM")


def instructions(guard, load, count):
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
         guard, load, str(count)], stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=300, env=ENV)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or not found:
        sys.exit("guard.py: %s %d: status %d\n%s" % (
            load, count, done.returncode, done.stderr[-3000:]))
    return int(found.group(1))


def builder(guard):
    """Compiler, architecture, kind of build, and the flags that matter."""
    said = subprocess.run([guard, "--about"], capture_output=True, text=True,
                          check=True).stdout.split()
    return " ".join(said[:3] + [flag for flag in said[3:] if
                                flag.startswith(("-O", "-m", "-flto"))])


def measure(guard):
    """instructions per message of each load"""
    with ThreadPoolExecutor(2) as pool:
        runs = {(load, n): pool.submit(instructions, guard, load, n)
                for load, both in LOADS.items() for n in both}
        return {load: (runs[load, b].result() - runs[load, a].result()) /
                (b - a) for load, (a, b) in LOADS.items()}


def read_counts(path):
    """what built it, and the counts"""
    about, counts = "", {}
    with open(path) as file:
        for line in file:
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            if words[0] == "built":
                about = " ".join(words[1:])
            else:
                counts[words[0]] = float(words[1])
    return about, counts


def write_counts(path, about, counts):
    with open(path, "w") as file:
        file.write("# Instructions per message, by tests/bench/guard.py; "
                   "contrib/dev guard-record writes it.\nbuilt %s\n" % about)
        for load, count in counts.items():
            file.write("%s %.1f\n" % (load, count))


def compare(counts, recorded, binding):
    """Shows all; the number of those that are too far off."""
    bad = 0
    for load, count in counts.items():
        was = recorded.get(load)
        change = count / was - 1 if was else 0
        off = was is None or abs(change) > SLACK
        bad += off
        print("%s: %-7s %9.1f instructions per message, %s" % (
            ("FAIL" if binding else "differs") if off else "PASS", load,
            count, "recorded %.1f: %+.1f %%" % (was, 100 * change)
            if was else "not recorded"))
    return bad


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--record", action="store_true",
                        help="write what is found")
    parser.add_argument("--guard", default=os.path.join(
        os.environ.get("top_builddir", "."), "tests", "bench", "guard"))
    parser.add_argument("--counts", default=os.path.join(
        HERE, "guard.counts"))
    args = parser.parse_args()
    if not shutil.which("valgrind"):
        print("skipped: valgrind is not installed")
        return 1 if os.environ.get("CI") == "true" else 77
    about = builder(args.guard)
    if "sanitized" in about:
        print("skipped: a build with sanitizers")
        return 77
    counts = measure(os.path.abspath(args.guard))
    if args.record:
        write_counts(args.counts, about, counts)
        print("".join("%s %.1f\n" % one for one in counts.items()), end="")
        return 0
    built, recorded = read_counts(args.counts)
    binding = built == about
    if not binding:
        print("built by %s, recorded with %s: shown only" % (about, built))
    bad = compare(counts, recorded, binding)
    if bad and binding:
        print("If this is meant: contrib/dev guard-record, and say why.")
    return 1 if bad and binding else 0


if __name__ == "__main__":
    sys.exit(main())
