#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Every test vector (lib/vectors.py), sent whole and byte by byte.

The vectors of one configuration are one scenario.  Bytewise runs go over a
Unix socket, where the sender sees that each byte was read before the next is
written: every cut is a cut.  NATSD_REFERENCE runs them against nats-server.
"""

import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
from natsdtest import *  # noqa: E402,F403
from vectors import AnyOrder, CLOSE, CONFIGS, Match, OPEN, VECTORS

suite = Suite("vectors")

# These wait for a timer: all are started before any is looked at.
SLOW_ONES = {"V186", "V187", "V216"}

# nats-server answers these differently when they arrive in pieces; natsd must
# not.
QUIRKS = {"V066", "V122", "V123", "V162"}


class Run:
    """One vector under way."""

    def __init__(self, env, vector, bytewise):
        self.env, self.vector, self.bytewise = env, vector, bytewise
        self.clients = {}
        self.reference = bool(REFERENCE)
        answers = vector.answers if self.reference else vector.natsd
        self.left = {}
        for name, answer in answers:
            self.left.setdefault(name, []).append(answer)
        self.closed = vector.closed if self.reference \
            else vector.natsd_closed

    def open(self, name):
        if name in self.clients:
            return self.clients[name]
        pieces = max(len(step[1]) for step in self.vector.steps)
        unix = self.bytewise or pieces > 1
        server = self.env.server
        first = next(iter(self.clients.values()), None)
        if first is None or self.vector.config == "K7" or name == "C":
            client = server.client(unix=unix)
        else:
            client = server.connect_on(first.worker, unix=unix,
                                       other=self.env.same is False)
        self.clients[name] = client
        return client

    def send(self, client, pieces):
        for number, piece in enumerate(pieces):
            if number:
                if isinstance(client.address, str):
                    wait_for(lambda: client.drained() or client.hung_up(),
                             "the piece to be read", step=0)
                else:
                    time.sleep(0.05)
            if self.bytewise:
                client.send_bytewise(piece)
            else:
                client.send(piece)

    def answer(self, name):
        """Read the next answer of that connection."""
        client = self.clients[name]
        want = self.left[name].pop(0)
        if isinstance(want, AnyOrder):
            client.need(want.length, client.deadline())
            got = bytes(client.buf[:want.length])
            del client.buf[:want.length]
            check(want.matches(got), "expected %r, got %s", want, show(got))
        elif isinstance(want, Match):
            got = client.until(PONG)
            check(want.matches(got), "expected %r, got %s", want, show(got))
        elif self.vector.either and not self.reference:
            got = client.event()
            check(got in (want, self.left[name][-1]), "got %s", show(got))
            self.closed = "" if got == want else name
            self.left[name].clear()
        else:
            client.expect(want)

    def start(self):
        for name, pieces in self.vector.steps:
            if pieces == [CLOSE]:
                self.clients.pop(name).close()
                continue
            client = self.open(name)
            if pieces == [OPEN]:
                continue
            self.send(client, pieces)
            whole = b"".join(pieces)
            if len(self.vector.steps) > 1 and whole.endswith(PING) and \
                    self.left.get(name):
                self.answer(name)

    def finish(self):
        for name, client in self.clients.items():
            while self.left.get(name):
                self.answer(name)
        for name, client in self.clients.items():
            if name in self.closed:
                client.expect_eof()
            else:
                client.expect_nothing()

    def close(self):
        for client in self.clients.values():
            client.close(5)


def play(env, vectors, bytewise):
    """Run the vectors; those that wait for timers side by side."""
    wrong = []
    waiting = []

    def attempt(run, step):
        try:
            step()
            return True
        except (AssertionError, OSError) as error:
            sent = "; ".join(
                "%s: %s" % (name, " ".join(piece if isinstance(piece, str)
                                           else show(piece)
                                           for piece in pieces))
                for name, pieces in run.vector.steps)
            wrong.append("%s (%s) sent %s: %s" % (
                run.vector.number, run.vector.case, sent, error))
            return False

    for vector in vectors:
        run = Run(env, vector, bytewise)
        good = attempt(run, run.start)
        if good and vector.number in SLOW_ONES:
            waiting.append(run)
            continue
        if good:
            attempt(run, run.finish)
        run.close()
    for run in waiting:
        attempt(run, run.finish)
        run.close()
    check(not wrong, "%d of %d vectors:\n    %s", len(wrong), len(vectors),
          "\n    ".join(wrong))


def register(config, bytewise):
    mine = [v for v in VECTORS if v.config == config]
    if bytewise:
        mine = [v for v in mine if v.number not in SLOW_ONES and
                not (REFERENCE and v.number in QUIRKS)]
    several = [v for v in mine
               if len({step[0] for step in v.steps}) > 1 and config != "K7"]
    if not mine:
        return
    name = "%s to %s, %s, %s" % (mine[0].number, mine[-1].number, config,
                                 "byte by byte" if bytewise else "whole")

    @suite.scenario(name, pairs=bool(several), conf=CONFIGS[config])
    def vectors(env):
        play(env, several if env.same is False else mine, bytewise)


for bytewise in (False, True):
    for config in CONFIGS:
        register(config, bytewise)

if __name__ == "__main__":
    sys.exit(suite.main())
