#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""natsd and nats-server are told the same; do they answer the same?

    run.py                        the fixed sessions, and some generated ones
    run.py --sessions 20000 --workers 1,2,4 --complete --jobs 2
    run.py --seed N --workers 2   one generated session, to be looked at

The sessions are in sessions.py and come from generate.py; what one means is
in session.py and grammar.py, what is compared in compare.py, and where natsd
differs on purpose in allowed.py.  A failure is made as short as possible and
printed in the form of sessions.py.

natsd is $NATSD (or build/natsd), nats-server that of --reference or of Debian.
"""

import argparse
import ast
import os
import shutil
import signal
import sys
import time
import traceback
from collections import Counter

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
sys.path.insert(0, HERE)

import allowed  # noqa: E402
from compare import Outcome  # noqa: E402
from generate import generate  # noqa: E402
from natsdtest import Failure, program  # noqa: E402
from play import Side  # noqa: E402
from session import CONFIGS, Plan  # noqa: E402
from sessions import SESSIONS  # noqa: E402
from shrink import shrink  # noqa: E402


class Case:
    """A session and how it is played."""

    def __init__(self, name, session, places, unix):
        self.name, self.session = name, session
        self.places, self.unix = places, unix


def fixed_cases():
    made = []
    for number, session in enumerate(SESSIONS):
        name = "session %d%s" % (number, session.name and
                                 " (%s)" % session.name)
        names = sorted({conn for conn, _ in session.steps})
        unix = session.pieces() > 1
        made.append(Case(name + ", together", session,
                         dict.fromkeys(names, 0), unix))
        made.append(Case(name + ", apart", session,
                         {conn: at for at, conn in enumerate(names)}, unix))
    return made


def seeded_case(seed):
    session, places, unix = generate(seed)
    return Case("seed %d" % seed, session, places, unix)


class Bench:
    """The servers of one process, started when needed."""

    def __init__(self, reference):
        self.reference = reference
        self.sides = {}
        self.answers = {}  # nats-server's, by session

    def side(self, config, workers):
        """workers 0: nats-server"""
        key = config, workers
        side = self.sides.get(key)
        if side and not side.alive():
            log = side.server.log()[-3000:]
            side.kill()
            del self.sides[key]
            raise Failure("the server has died:\n" + log)
        if side is None:
            side = self.sides[key] = Side(
                CONFIGS[config], workers or 1,
                "" if workers else self.reference)
        return side

    def ask(self, plan, workers, case):
        side = self.side(plan.session.config, workers)
        places = {conn: side.slots[at % len(side.slots)]
                  for conn, at in case.places.items()}
        return side.play(plan, places, case.unix)

    def theirs(self, plan, case):
        return self.ask(plan, 0, case)

    def stop(self, keep=()):
        for key in list(self.sides):
            if key[1] not in keep:
                side = self.sides.pop(key)
                try:
                    side.stop()
                except BaseException:
                    side.kill()
                    raise


    def kill(self):
        for side in self.sides.values():
            side.kill()
        self.sides = {}


class Verdict:
    def __init__(self, case, workers, wrong, text=""):
        self.case, self.workers = case, workers
        self.wrong, self.text = wrong, text


class Runner:
    """Plays cases in this process."""

    def __init__(self, args):
        self.args = args
        self.bench = Bench(args.reference)
        self.counts = Counter()
        self.used = Counter()
        self.memory = {}

    def plan(self, case):
        plan = Plan(case.session)
        return plan if plan.comparable else None

    def check(self, case, workers, keep=True):
        """Play it; what is wrong."""
        plan = self.plan(case)
        if plan is None:
            self.counts["left out"] += 1
            return []
        theirs = self.memory.get(case.name) if keep else None
        if theirs is None:
            theirs = self.bench.theirs(plan, case)
            if keep and len(self.args.workers) > 1:
                self.memory[case.name] = theirs
        ours = self.bench.ask(plan, workers, case)
        outcome = Outcome(plan, theirs, ours)
        self.counts["played"] += 1
        if not outcome.wrong:
            self.used.update(outcome.used)
        return outcome.wrong

    def again(self, session, case, workers):
        """Whether the session, played as the case is, goes wrong; one that
        does so only once is not what we look for."""
        other = Case("", session, case.places, case.unix)
        return self.check(other, workers, False)

    def run(self, case, workers):
        try:
            wrong = self.check(case, workers)
            if not wrong:
                return None
            repeats = [bool(self.again(case.session, case, workers))
                       for _ in range(3)]
        except (AssertionError, OSError) as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            return Verdict(case, workers, [
                "%s: %s (%s:%d)" % (type(error).__name__, error,
                                    os.path.basename(frame.filename),
                                    frame.lineno)])
        text = "wrong again %d times of 3" % sum(repeats)
        short = case.session
        if sum(repeats) >= 2 and not self.args.no_shrink:
            short = shrink(case.session, lambda one: bool(
                self.again(one, case, workers)))
            wrong = self.again(short, case, workers) or wrong
        elif not any(repeats):
            self.counts["only once"] += 1
        return Verdict(case, workers, wrong, text + "\n  places %r%s\n%s" % (
            {conn: case.places[conn] % workers
             for conn, _ in short.steps if conn in case.places},
            ", Unix sockets" if case.unix else "", short.literal()))


def show(verdict):
    print("FAIL: %s, %d workers: %s" % (
        verdict.case.name, verdict.workers, verdict.text))
    for line in verdict.wrong:
        print("    " + line)
    if verdict.case.name.startswith("seed "):
        print("  again: tests/diff/run.py --%s --workers %d" % (
            verdict.case.name, verdict.workers))
    sys.stdout.flush()


def cases_of(args, job):
    if args.k:
        return [case for case in fixed_cases() if args.k in case.name]
    if args.seed is not None:
        return [seeded_case(seed) for seed in args.seed]
    cases = fixed_cases() if not args.no_fixed else []
    cases = cases[job::args.jobs]
    first = args.first + job
    last = args.first + args.sessions
    return cases + [seeded_case(seed)
                    for seed in range(first, last, args.jobs)]


def work(args, job):
    """One job: its share of the cases; (failures, counts, used)."""
    runner = Runner(args)
    failed = 0
    try:
        cases = cases_of(args, job)
        for workers in args.workers:
            begun = time.monotonic()
            for case in cases:
                verdict = runner.run(case, workers)
                if verdict:
                    failed += 1
                    show(verdict)
                    if failed >= args.most:
                        print("too many failures", flush=True)
                        runner.bench.stop()
                        return failed, runner.counts, runner.used
            took = time.monotonic() - begun
            print("job %d: %d sessions, %d worker%s, %.0f s" % (
                job, len(cases), workers, "" if workers == 1 else "s", took),
                flush=True)
            runner.bench.stop(keep=(0,))
    except BaseException:
        runner.bench.kill()
        raise
    runner.bench.stop()
    return failed, runner.counts, runner.used


children = []


def on_term(*_):
    """The servers must not stay behind."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for pid in children:
        os.kill(pid, signal.SIGTERM)
    sys.exit(1)


def spawn(args, job):
    """work() in a child; its pid and the pipe with its result."""
    read, write = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        os.close(write)
        children.append(pid)
        return pid, read
    status = 1
    children.clear()
    try:
        os.close(read)
        failed, counts, used = work(args, job)
        os.write(write, repr((failed, dict(counts), dict(used))).encode())
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def collect(pid, read):
    with os.fdopen(read, "rb") as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    children.remove(pid)
    if not text:
        return 1, {}, {}
    return ast.literal_eval(text.decode())


def options():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add("--sessions", type=int, default=300, help="how many generated ones")
    add("--first", type=int, default=0, help="seed of the first one")
    add("--seed", type=int, action="append", help="these alone")
    add("-k", metavar="WORD", help="fixed sessions with this in their name")
    add("--workers", default="1,2,4", help="numbers of workers")
    add("--jobs", type=int, default=2, help="processes at a time")
    add("--most", type=int, default=5, help="failures before giving up")
    add("--reference", default="", help="nats-server to compare with")
    add("--complete", action="store_true",
        help="entries of allowed.py that nothing uses are an error")
    add("--no-fixed", action="store_true", help="generated sessions only")
    add("--no-shrink", action="store_true", help="failures as they are")
    add("--show", action="store_true", help="print the sessions of --seed")
    add("--differences", action="store_true",
        help="print the table of differences")
    args = parser.parse_args()
    args.workers = [int(number) for number in args.workers.split(",")]
    if args.seed is not None or args.k:
        args.jobs = 1
    return args


def find_reference(args):
    if not args.reference:
        path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
        args.reference = shutil.which("nats-server", path=path) or ""
    return args.reference


def main():
    args = options()
    if args.differences:
        sys.stdout.write(allowed.text())
        return 0
    if args.show:
        for seed in args.seed or []:
            case = seeded_case(seed)
            print(case.session.literal())
            print("  places %r, unix %r" % (case.places, case.unix))
        return 0
    with open(os.path.join(HERE, "DIFFERENCES")) as file:
        if file.read() != allowed.text():
            print("DIFFERENCES is not what run.py --differences prints")
            return 1
    missing = "natsd (set NATSD)" if program("") is None else \
        "nats-server" if not find_reference(args) else ""
    if missing:
        print("%s is missing" % missing)
        return 1 if os.environ.get("CI") == "true" else 77
    signal.signal(signal.SIGTERM, on_term)
    begun = time.monotonic()
    if args.jobs == 1:
        results = [work(args, 0)]
    else:
        results = [collect(*child) for child in
                   [spawn(args, job) for job in range(args.jobs)]]
    failed = sum(result[0] for result in results)
    counts, used = Counter(), Counter()
    for _, more, also in results:
        counts.update(more)
        used.update(also)
    print("played %d, left out %d, failed %d, %.0f s" % (
        counts["played"], counts["left out"], failed,
        time.monotonic() - begun))
    print("differences: " + ", ".join("%s %d" % (ident, used[ident])
                                      for ident in sorted(allowed.TABLE)))
    unused = [ident for ident in sorted(allowed.TABLE) if not used[ident]]
    if args.complete and unused:
        print("never used: " + ", ".join(unused))
        failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
