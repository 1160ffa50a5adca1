#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""PONG as a barrier over all workers, for SUB, UNSUB and PUB."""

import os
import random
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
from natsdtest import *  # noqa: E402,F403

suite = Suite("barriers")


@suite.scenario("SUB is in force after its PONG (S28)", pairs=True)
def subscribed(env):
    base = env.subj("b")
    a, b = env.pair()
    for n in range(200):
        subject = b"%s.%d" % (base, n)
        a.send(b"SUB %s %d\r\n" % (subject, n) + PING)
        a.expect(PONG)
        b.send(pub(subject, b"") + PING)
        b.expect(PONG)
        a.expect(msg(subject, b"%d" % n, b""))
    a.expect_nothing()


@suite.scenario("SUB in any worker is seen from every other")
def all_ways(env):
    base = env.subj("w")
    clients = env.each() + env.each()
    for turn in range(15):
        for n, client in enumerate(clients):
            subject = b"%s.%d.%d" % (base, turn, n)
            sid = b"%d" % (turn * 100 + n)
            kind = (b"", b"q ")[turn % 2]
            client.sub(subject + b" " + kind + sid)
            for other in clients:
                other.send(pub(subject, b"from"))
            for other in clients:
                if other is not client:
                    other.expect_nothing()
            client.expect(msg(subject, sid, b"from") * len(clients))


@suite.scenario("what was confirmed before UNSUB still arrives (drain)",
                pairs=True)
def drain(env):
    subject = env.subj()
    a, b = env.pair()
    for n in range(200):
        sid = b"%d" % n
        a.sub(subject + b" " + sid)
        b.send(pub(subject, b"m") * (1 + n % 30) + PING)
        b.expect(PONG)
        a.send(b"UNSUB " + sid + b"\r\n" + PING)
        a.expect(msg(subject, sid, b"m") * (1 + n % 30) + PONG)


@suite.scenario("what was confirmed before SUB does not arrive", pairs=True)
def too_early(env):
    subject = env.subj()
    a, b = env.pair()
    keeper = env.near(b)
    keeper.sub(subject + b" 1")
    for n in range(200):
        b.send(pub(subject, b"early") * 3 + PING)
        b.expect(PONG)
        a.send(b"SUB %s %d\r\n" % (subject, n) + PING)
        a.expect(PONG)
        a.send(b"UNSUB %d\r\n" % n + PING)
        a.expect(PONG)
    keeper.expect(msg(subject, b"1", b"early") * 600)


@suite.scenario("PONG of a publisher: queued before the receiver's PONG",
                pairs=True)
def queued(env):
    subject = env.subj()
    a, b = env.pair()
    a.sub(subject + b" 1")
    for n in range(300):
        b.send(pub(subject, b"%d" % n) + PING)
        b.expect(PONG)
        a.send(PING)
        a.expect(msg(subject, b"1", b"%d" % n) + PONG)


@suite.scenario("drain while other messages flow", pairs=True)
def drain_busy(env):
    subject, noise = env.subj(), env.subj("noise")
    a, b = env.pair()
    listener, maker = env.near(b), env.near(a)
    listener.sub(noise + b" 1")
    running = [True]

    def make_noise():
        while running[0]:
            maker.send(pub(noise, b"n" * 1000) * 100)
            maker.expect_nothing()

    def hear():
        count = 0
        while True:
            got = listener.message()
            count += 1
            if got.payload == b"end":
                return count

    hearing = Background(hear)
    noisy = Background(make_noise)
    try:
        for n in range(100):
            sid = b"%d" % n
            a.sub(subject + b" " + sid)
            b.send(pub(subject, b"m") * 50 + PING)
            b.expect(PONG)
            a.send(b"UNSUB " + sid + b"\r\n" + PING)
            a.expect(msg(subject, sid, b"m") * 50 + PONG)
    finally:
        running[0] = False
    noisy.done()
    maker.pub(noise, b"end")
    hearing.done()


@suite.scenario("close after a publish: the message is not lost", pairs=True)
def last_words(env):
    subject = env.subj()
    a, b = env.pair()
    a.sub(subject + b" 1")
    for n in range(50):
        last = env.server.connect_on(b.worker, C0)
        last.pub(subject, b"%d" % n)
        last.close()
        a.expect(msg(subject, b"1", b"%d" % n))


@suite.scenario("1000 subscriptions and one PING", pairs=True)
def storm(env):
    base = env.subj("st")
    a, b = env.pair()
    for turn in range(5):
        a.send(b"".join(b"SUB %s.%d %d\r\n" % (base, n, n)
                        for n in range(1000)) + PING)
        a.expect(PONG)
        b.send(pub(base + b".0") + pub(base + b".999") + PING)
        b.expect(PONG)
        a.expect(msg(base + b".0", b"0") + msg(base + b".999", b"999"))
        a.send(b"".join(b"UNSUB %d\r\n" % n for n in range(1000)) + PING)
        a.expect(PONG)
        b.send(pub(base + b".0") + pub(base + b".999") + PING)
        b.expect(PONG)
        a.expect_nothing()


class Model:
    """What must be delivered, in the plainest words: subscriptions of all
    clients, with groups, limits and echo."""

    def __init__(self):
        self.subs = {}  # (client, sid) -> [tokens, group, left]

    def sub(self, client, sid, pattern, group):
        self.subs.setdefault((client, sid),
                             [pattern.split(b"."), group, None])

    def unsub(self, client, sid, most=None):
        if most is None:
            self.subs.pop((client, sid), None)
        elif (client, sid) in self.subs:
            self.subs[client, sid][2] = most

    @staticmethod
    def matches(pattern, subject):
        for at, token in enumerate(pattern):
            if token == b">":
                return len(subject) > at
            if at >= len(subject) or token not in (b"*", subject[at]):
                return False
        return len(pattern) == len(subject)

    def receivers(self, subject):
        """(plain keys, group -> keys) that a message concerns"""
        tokens = subject.split(b".")
        plain, groups = set(), {}
        for key, (pattern, group, _) in self.subs.items():
            if not self.matches(pattern, tokens):
                continue
            if group:
                groups.setdefault(group, set()).add(key)
            else:
                plain.add(key)
        return plain, groups

    def took(self, key):
        left = self.subs[key][2]
        if left is not None:
            self.subs[key][2] = left - 1
            if left == 1:
                del self.subs[key]


def step(env, model, dice, clients, base):
    """One random change of the subscriptions, confirmed by a PONG."""
    number = dice.randrange(len(clients))
    sid = b"%d" % dice.randint(1, 8)
    tokens = [dice.choice((b"a", b"b", b"*")) for _ in range(dice.randint(1,
                                                                      3))]
    if dice.random() < 0.3:
        tokens.append(b">")
    group = dice.choice((None, None, b"g", b"h"))
    if (number, sid) in model.subs:
        # a limit only for a fresh subscription: the count starts with it
        model.unsub(number, sid)
        lines = b"UNSUB %s\r\n" % sid
    else:
        pattern = base + b"." + b".".join(tokens)
        model.sub(number, sid, pattern, group)
        lines = b"SUB %s %s%s\r\n" % (pattern, group + b" " if group
                                      else b"", sid)
        if dice.random() < 0.3:
            most = dice.randint(1, 4)
            model.unsub(number, sid, most)
            lines += b"UNSUB %s %d\r\n" % (sid, most)
    clients[number].send(lines)
    clients[number].expect_nothing()


@suite.scenario("random changes over all workers against a plain model")
def random_model(env):
    dice = random.Random(env.number)
    base = env.subj("m")
    clients = env.each() + env.each()
    publishers = env.each()
    model = Model()
    for turn in range(250):
        step(env, model, dice, clients, base)
        # few subjects, so that results of earlier matches are at hand
        subject = base + b"." + b".".join(
            dice.choice((b"a", b"b")) for _ in range(dice.randint(1, 3)))
        publisher = dice.choice(publishers)
        text = b"%d" % turn
        plain, groups = model.receivers(subject)
        publisher.send(pub(subject, text))
        publisher.expect_nothing()
        got = []
        for number, client in enumerate(clients):
            for one in client.messages():
                equal((one.subject, one.payload), (subject, text), "message")
                got.append((number, one.sid))
        equal(len(got), len(set(got)), "copies for one subscription")
        check(plain <= set(got), "turn %d, %s: not delivered to %s", turn,
              subject, plain - set(got))
        rest = set(got) - plain
        for group, members in groups.items():
            equal(len(rest & members), 1,
                  "turn %d, %s: deliveries to group %s" % (turn, subject,
                                                           group))
            rest -= members
        check(not rest, "turn %d, %s: delivered to %s", turn, subject, rest)
        for key in got:
            model.took(key)


@suite.scenario("one publisher, one subject, subscribers come and go",
                pairs=True)
def hot_subject(env):
    subject = env.subj()
    a, b = env.pair()
    forms = [subject, b"s.*", b"s.>", b"*.%d" % env.number, b">"]
    for n in range(150):
        form = forms[n % len(forms)]
        group = b"q " if n % 3 == 0 else b""
        b.send(pub(subject, b"before") + PING)
        b.expect(PONG)
        a.send(b"SUB %s %s%d\r\n" % (form, group, n) + PING)
        a.expect(PONG)
        b.send(pub(subject, b"now") * 3 + PING)
        b.expect(PONG)
        a.send(b"UNSUB %d\r\n" % n + PING)
        a.expect(msg(subject, b"%d" % n, b"now") * 3 + PONG)


if __name__ == "__main__":
    sys.exit(suite.main())
