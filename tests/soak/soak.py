#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Keeps a natsd under random load and random misfortune, judges each delivery,
and gives an account of every message at the end.

  soak.py [--time 10m] [--seed TEXT] [--workers N] [--conns N]
          [--chaos kill,reload,... | none] [--epoch SECONDS] [--pace SECONDS]

--time      90s, 10m, 8h
--seed      the same seed makes the same clients say the same things, as far
            as what they hear, and when, does not change it
--workers   of natsd, 4
--chaos     kinds of misfortune, all of them if not said: %s
--epoch     seconds between two accounts (5)
--pace      mean seconds between two misfortunes (2)

Exit status: 0 all accounted for, 1 not, 77 no natsd to test.
"""

import argparse
import os
import random
import re
import resource
import signal
import sys
import tempfile
import time
import traceback

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]
from natsdtest import SLOW, Failure, Server, program  # noqa: E402
from chaos import KINDS, Chaos, Health, Log  # noqa: E402
from judge import Violation  # noqa: E402
from network import NEAR, Network, Unavailable  # noqa: E402
from play import Play, Ways  # noqa: E402

PENDING = 24 << 20
# Small rings, impatient timers; room enough for those who read.
CONF = {
    "max_payload": "1MB", "max_pending": PENDING, "write_deadline": "5s",
    "ping_interval": "5s", "ping_max": 3, "watchdog": "4s",
    "memory_max": "400MB", "max_connections": 3000, "debug": True,
    "logfile_size_limit": "64MB", "logfile_max_num": 4,
}


def ring_size(memory, workers):
    """As ring.h and natsd.conf(5) have it."""
    size = memory // ((workers + 2) * (workers + 1))
    power = 1 << 16
    while power * 2 <= min(size, 4 << 20):
        power *= 2
    return power


class Soak:
    """One run."""

    def __init__(self, seed, workers=4, seconds=600.0, conns=0, chaos=True,
                 epoch=5.0, pace=2.0, lossy=False, conf=None, say=None,
                 keep=True):
        self.seed, self.workers, self.seconds = seed, workers, seconds
        self.conns = conns or 16 + 6 * workers
        self.kinds = (KINDS if chaos is True else
                      () if chaos is False else tuple(chaos))
        self.epoch, self.pace = epoch, pace
        self.say = say or (lambda text: print("    " + text, flush=True))
        self.lossy, self.keep = lossy, keep
        memory = (workers + 2) * (workers + 1) << 16
        self.ring = ring_size(memory, workers)
        self.conf = dict(CONF, ring_memory="%dKB" % (memory >> 10),
                         **conf or {})
        self.verdict = "not run"
        self.network = self.server = self.play = None
        self.chaos = self.health = self.log = None
        self.begun = time.monotonic()
        self.took = 0.0

    def start(self):
        ways = None
        if self.lossy:
            try:
                self.network = Network(self.seed)
            except Unavailable as why:
                self.say("no network namespace, no loss and no delay: %s" %
                         why)
        conf = dict(self.conf)
        if self.network:
            conf["listen"] = ["127.0.0.1:-1", NEAR + ":-1"]
        self.server = Server({}, self.workers, deaths=True, start=False)
        log_path = self.server.path("natsd.log")
        if self.network:
            conf["listen"].append("unix:" + self.server.socket_path)
        conf["log_file"] = log_path
        self.server.write_conf(conf)
        self.server.start()
        self.server.conf = conf
        self.log = Log(log_path)
        if self.network:
            address = next(a for a in self.server.addresses if a[0] == NEAR)
            ways = (address, self.network.socket)
        self.play = Play(Ways(self.server, ways), self.seed, self.conns,
                         self.workers, 1 << 20, self.ring // 2, self.log,
                         max_pending=PENDING)
        self.log.read()
        self.chaos = Chaos(self.server, self.play, self.log, self.seed,
                           self.kinds, self.pace, self.network, self.say)
        self.play.chaos = self.chaos
        self.health = Health(self.server, self.play, self.chaos)

    def run(self):
        end = time.monotonic() + self.seconds
        told = time.monotonic()
        while time.monotonic() < end:
            self.play.run_epoch(min(self.epoch,
                                    max(0.5, end - time.monotonic())))
            if not self.chaos.drops:
                self.play.judge.drops_allowed = False
            self.health.sample(self.play.epochs % 8 == 1)
            if time.monotonic() - told > 30:
                told = time.monotonic()
                self.progress()
        self.chaos.end()
        self.health.trend()
        self.play.finish()

    def progress(self):
        n = self.play.judge.account.n
        self.say("%4d s: %d epochs, %d messages, %d deliveries, %d deaths, "
                 "%d MB" % (time.monotonic() - self.begun, self.play.epochs,
                            n["messages"], n["delivered"],
                            len(self.log.deaths),
                            self.health.samples[-1][1] >> 20))

    def main(self):
        """True if nothing was wrong; self.verdict says what was."""
        self.begun = time.monotonic()
        fine = False
        try:
            self.start()
            self.run()
            self.took = time.monotonic() - self.begun
            self.stop()
            self.verdict = "all accounted for"
            fine = True
        except (Violation, Failure) as error:
            self.took = time.monotonic() - self.begun
            self.verdict = "%s" % error
            where = traceback.extract_tb(error.__traceback__)[-4:]
            self.say("VIOLATION: %s" % error)
            for frame in where:
                self.say("  %s:%d %s" % (os.path.basename(frame.filename),
                                         frame.lineno, frame.name))
            if self.play:
                for line in self.play.judge.trail:
                    self.say("  before: " + line)
            if self.keep:
                self.keep_log()
            if self.log:
                self.log.read()
                for line in self.log.last[-30:]:
                    self.say("  log: " + line)
        finally:
            if self.play:
                self.account()
            if self.chaos and self.chaos.rude:
                self.chaos.rude.kill()
                self.chaos.rude.wait()
            if self.server:
                self.server.kill()
                self.server.remove()
            if self.network:
                self.network.close()
        return fine

    def keep_log(self):
        """The end of natsd's log, for whoever looks for the reason."""
        try:
            with open(self.log.path, "rb") as log:
                log.seek(max(0, os.stat(self.log.path).st_size - (4 << 20)))
                text = log.read()
            path = os.path.join(tempfile.gettempdir(), "natsd-soak-%s.log" %
                                re.sub(r"\W", "_", str(self.seed)))
            with open(path, "wb") as kept:
                kept.write(text)
            self.say("  the log is kept: " + path)
        except (OSError, AttributeError):
            pass

    def stop(self):
        self.server.allowed |= {name for name in os.listdir(self.server.dir)
                                if name.startswith("natsd.log")}
        # Sanitizers write to standard error; to some of what we did too.
        said = self.server.log()
        if "runtime error:" in said or "AddressSanitizer" in said and \
                "SIGSEGV" not in self.chaos.done:
            raise Violation("on standard error: %s" % said[-3000:])
        self.server.stop()

    # the account

    def account(self):
        say, play, chaos = self.say, self.play, self.chaos
        n, lost = play.judge.account.n, play.judge.account.lost
        say("messages sent          %12d" % n["messages"])
        say("  confirmed by PONG    %12d" % (n["messages"] -
                                             n["unconfirmed"]))
        say("  cut off before it    %12d" % n["unconfirmed"])
        say("  nobody subscribed    %12d" % n["no interest"])
        say("deliveries due         %12d   (subscriptions, and groups)" %
            n["due"])
        say("  delivered            %12d" % n["delivered"])
        for reason in sorted(lost):
            say("  lost                 %12d   %s" % (lost[reason], reason))
        say("  unaccounted          %12d" % (
            n["due"] - n["delivered"] - sum(lost.values())))
        say("SUB or UNSUB on its way%12d   delivered, %d not" % (
            n["in between, delivered"], n["in between, not delivered"]))
        say("passed on in a group   %12d   to a member that came later" %
            n["passed on to a later member"])
        say("requests for a 503     %12d   %d got one, %d might have" % (
            n["requests"], n["503 received"], n["503 not due for certain"]))
        say("connections            %12d   in %d epochs" % (
            play.connects, play.epochs))
        for why in sorted(play.ends):
            say("  ended                %12d   %s" % (play.ends[why], why))
        if chaos:
            say("deaths of workers      %12d   %d reloads, %d wrong ones, %d "
                "rotations" % (len(self.log.deaths), self.log.reloaded,
                               self.log.refused, self.log.reopened))
            say("misfortunes            " + (", ".join(
                "%s %d" % item for item in sorted(chaos.done.items())) or
                "none"))
            if chaos.excused:
                say("the watchdog's own     %12d   the machine stood still, "
                    "or was overloaded" % chaos.excused)
            say("rude clients           %12d   deaf ones cut off: %d" % (
                chaos.rude_count, chaos.cut))
        if self.network:
            say("packets forwarded, lost %s; connections that vanished: %d" %
                (" ".join("%d" % c for c in self.network.counts()),
                 self.network.vanished))
        samples = self.health.samples if self.health else []
        if samples:
            for at, name in ((1, "memory (PSS)"), (2, "  zones")):
                say("%-22s %9d KB   at first, %d at most, %d at last" % (
                    name, samples[0][at] >> 10,
                    max(s[at] for s in samples) >> 10, samples[-1][at] >> 10))
        if self.health and self.health.idle_cpu:
            say("CPU when quiet         %10.1f %%   at most" %
                (100 * max(self.health.idle_cpu)))
        say("judge                  %9d MB   %.0f deliveries a second" % (
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
            n["delivered"] / max(1, self.took)))


def seconds(text):
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if not found:
        raise argparse.ArgumentTypeError("not a time: %r" % text)
    return float(found.group(1)) * {"": 1, "s": 1, "m": 60,
                                    "h": 3600}[found.group(2)]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__ % ", ".join(KINDS),
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--time", type=seconds, default=600.0)
    parser.add_argument("--seed")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--conns", type=int, default=0)
    parser.add_argument("--chaos", default=",".join(KINDS))
    parser.add_argument("--epoch", type=float, default=5.0)
    parser.add_argument("--pace", type=float, default=2.0)
    parser.add_argument("--no-network", action="store_true",
                        help="no namespace, no lossy connections")
    args = parser.parse_args()
    if program("") is None:
        print("SKIP: no natsd to test (set NATSD)")
        return 77
    seed = args.seed or "%x" % random.getrandbits(32)
    kinds = [kind for kind in args.chaos.split(",") if kind != "none"]
    for kind in kinds:
        if kind not in KINDS:
            parser.error("no such kind of misfortune: %s" % kind)
    again = "soak.py --seed %s --workers %d --time %gs --chaos %s --epoch " \
        "%g --pace %g" % (seed, args.workers, args.time,
                          ",".join(kinds) or "none", args.epoch, args.pace)
    print(again, flush=True)
    run = Soak(seed, args.workers, args.time, args.conns, kinds or False,
               args.epoch, args.pace, not args.no_network)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    fine = run.main()
    print("%s: %s" % ("PASS" if fine else "FAIL", run.verdict))
    if not fine:
        print("again: " + again)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
