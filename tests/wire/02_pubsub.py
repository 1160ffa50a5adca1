#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Publish and subscribe: fan-out, wildcards, replies, echo, disconnects."""

import os
import random
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
from natsdtest import *  # noqa: E402,F403

suite = Suite("pubsub")


@suite.scenario("one message", pairs=True)
def one(env):
    subject = env.subj()
    a, b = env.pair()
    a.sub(subject + b" 1")
    b.pub(subject, b"hello")
    a.expect(msg(subject, b"1", b"hello"))
    b.expect_nothing()
    a.expect_nothing()


@suite.scenario("reply subject, empty and binary payloads", pairs=True)
def forms(env):
    subject = env.subj()
    a, b = env.pair()
    a.sub(subject + b" sid.*>")
    every = bytes(range(256)) * 3
    b.send(pub(subject, b"") + pub(subject, b"", b"re.ply") +
           pub(subject, every, b"_INBOX.a..>") + pub(subject, b"\r\n\r\n"))
    a.expect(msg(subject, b"sid.*>", b"") +
             msg(subject, b"sid.*>", b"", b"re.ply") +
             msg(subject, b"sid.*>", every, b"_INBOX.a..>") +
             msg(subject, b"sid.*>", b"\r\n\r\n"))
    a.expect_nothing()


@suite.scenario("fan-out to every worker")
def fanout(env):
    subject = env.subj()
    subscribers = [client for _ in range(3) for client in env.each()]
    for client in subscribers:
        client.sub(subject + b" 7")
    publisher = env.client()
    for n in range(20):
        publisher.pub(subject, b"%d" % n)
    publisher.expect_nothing()
    for client in subscribers:
        client.expect(b"".join(msg(subject, b"7", b"%d" % n)
                               for n in range(20)))
        client.expect_nothing()


@suite.scenario("wide fan-out: 300 subscribers of one subject", pairs=True)
def wide(env):
    subject = env.subj()
    a, b = env.pair()
    subscribers = [a]
    while len(subscribers) < 10:
        subscribers.append(env.near(b))
    for client in subscribers:
        client.sub(*[b"%s %d" % (subject, sid) for sid in range(30)])
    payload = b"p" * 200
    for _ in range(10):
        b.pub(subject, payload)
    b.expect_nothing()
    for client in subscribers:
        got = client.messages()
        equal(len(got), 300, "messages")
        check(all(m.payload == payload for m in got), "payload spoilt")
        counts = {}
        for one_message in got:
            counts[one_message.sid] = counts.get(one_message.sid, 0) + 1
        equal(set(counts.values()), {10}, "messages per sid")


@suite.scenario("publisher receives its own, echo off does not")
def echo(env):
    subject = env.subj()
    a, b = env.client(), env.client(CE)
    for client in (a, b):
        client.sub(subject + b" 1")
    a.send(pub(subject, b"a") + PING)
    a.expect(msg(subject, b"1", b"a") + PONG)
    b.expect(msg(subject, b"1", b"a"))
    b.send(pub(subject, b"b") + PING)
    b.expect(PONG)
    a.expect(msg(subject, b"1", b"b"))


WILD = [
    (b"*", [b"a"], [b"a.b"]),
    (b"a.*", [b"a.b", b"a.*"], [b"a", b"a.b.c"]),
    (b"a.>", [b"a.b", b"a.b.c", b"a.b.c.d"], [b"a"]),
    (b"*.b", [b"a.b", b"x.b"], [b"b", b"a.b.c", b"a.x"]),
    (b"*.*", [b"a.b"], [b"a", b"a.b.c"]),
    (b"*.b.*.d", [b"a.b.c.d"], [b"a.b.c", b"a.c.b.d", b"a.b.c.d.e"]),
    (b"a.*.>", [b"a.b.c", b"a.b.c.d"], [b"a.b", b"b.a.c"]),
    (b"a*", [b"a*"], [b"ab", b"a"]),
    (b"a.b>", [b"a.b>"], [b"a.bc", b"a.b.c"]),
    (b"**", [b"**"], [b"a"]),
    (b"a.>>", [b"a.>>"], [b"a.b", b"a.b.c"]),
]


@suite.scenario("wildcards", pairs=True)
def wildcards(env):
    a, b = env.pair()
    base = env.subj("w")
    lines = []
    for number, (pattern, _, _) in enumerate(WILD):
        # a token of its own in front keeps the patterns apart
        lines.append(b"%s.%d.%s %d" % (base, number, pattern, number))
    a.sub(*lines)
    sent, want = [], []
    for number, (_, hits, misses) in enumerate(WILD):
        for subject in misses + hits:
            full = b"%s.%d.%s" % (base, number, subject)
            sent.append(pub(full, subject))
            if subject in hits:
                want.append(msg(full, b"%d" % number, subject))
    b.send(b"".join(sent))
    b.expect_nothing()
    a.expect(b"".join(want))
    a.expect_nothing()


def matches(pattern, subject):
    """The rule of natsd-protocol(7), SUBJECTS, in the plainest words."""
    pattern, subject = pattern.split(b"."), subject.split(b".")
    for at, token in enumerate(pattern):
        if token == b">":
            return len(subject) > at
        if at >= len(subject) or token not in (b"*", subject[at]):
            return False
    return len(pattern) == len(subject)


@suite.scenario("random patterns against a plain model", pairs=True)
def model(env):
    dice = random.Random(env.number)
    base = env.subj("r")
    clients = [env.client() for _ in range(4)]
    publisher = env.near(clients[0])
    words = [b"a", b"b", b"c", b"dd", b"a" * 40]
    live = {}

    def subject(wild):
        tokens = [dice.choice(words + [b"*"] * (2 * wild))
                  for _ in range(dice.randint(1, 4))]
        if wild and dice.random() < 0.25:
            tokens.append(b">")
        return base + b"." + b".".join(tokens)

    for turn in range(12):
        for number, client in enumerate(clients):
            lines = []
            for _ in range(6):
                sid = b"%d" % dice.randint(1, 25)
                if (number, sid) in live:
                    del live[number, sid]
                    lines.append(b"UNSUB %s\r\n" % sid)
                else:
                    live[number, sid] = subject(True)
                    lines.append(b"SUB %s %s\r\n" % (live[number, sid], sid))
            client.send(b"".join(lines))
            client.expect_nothing()
        wanted = {number: [] for number in range(len(clients))}
        for n in range(25):
            target = subject(False)
            text = b"%d.%d" % (turn, n)
            publisher.pub(target, text)
            for (number, sid), pattern in live.items():
                if matches(pattern, target):
                    wanted[number].append((target, sid, text))
        publisher.expect_nothing()
        for number, client in enumerate(clients):
            got = [(m.subject, m.sid, m.payload) for m in client.messages()]
            equal(sorted(got), sorted(wanted[number]),
                  "deliveries in turn %d" % turn)


@suite.scenario("$SYS, _INBOX and odd bytes are ordinary subjects",
                pairs=True)
def odd(env):
    a, b = env.pair()
    base = env.subj("o")
    a.sub(base + b".> 1", b"$SYS." + base + b" 2", b"_INBOX." + base + b".* 3")
    odd_one = base + b".\x01\x7f\xff\xc3\xa9\"'\\\x00."[:-1]
    b.send(pub(odd_one) + pub(b"$SYS." + base) +
           pub(b"_INBOX." + base + b".1"))
    a.expect(msg(odd_one, b"1") + msg(b"$SYS." + base, b"2") +
             msg(b"_INBOX." + base + b".1", b"3"))


@suite.scenario("very long subjects and many tokens", pairs=True)
def long_subjects(env):
    a, b = env.pair()
    base = env.subj("l")
    tall = base + b"." + b".".join([b"t"] * 1500)
    broad = base + b"." + b"w" * 3900
    a.sub(tall + b" 1", broad + b" 2", base + b".> 3")
    b.send(pub(tall) + pub(broad))
    b.expect_nothing()
    got = a.messages()
    equal(sorted((m.subject, m.sid) for m in got),
          sorted([(tall, b"1"), (tall, b"3"), (broad, b"2"),
                  (broad, b"3")]), "deliveries")


@suite.scenario("subscriptions vanish with their connection", pairs=True)
def vanish(env):
    subject = env.subj()
    a, b = env.pair(other=CN)
    b.sub(b"r%d 1" % env.number)
    a.sub(subject + b" 1")
    b.pub(subject, b"x", b"r%d" % env.number)
    a.expect(msg(subject, b"1", b"x", b"r%d" % env.number))
    b.expect_nothing()
    a.reset()

    def gone():
        b.send(pub(subject, b"y", b"r%d" % env.number))
        return b.messages()
    got = wait_for(gone, "the subscription to vanish")
    equal(got[0].header[:12], b"NATS/1.0 503", "header")


@suite.scenario("a message that is not complete is not delivered",
                pairs=True)
def partial(env):
    subject = env.subj()
    a, b = env.pair()
    a.sub(subject + b" 1")
    b.send(pub(subject, b"whole") + b"PUB " + subject + b" 10\r\n01234")
    a.expect(msg(subject, b"1", b"whole"))
    b.close()
    a.expect_nothing()


@suite.scenario("1000 subjects, one message each", pairs=True)
def thousand(env):
    base = env.subj("t")
    a, b = env.pair()
    a.sub(*[b"%s.%d %d" % (base, n, n) for n in range(1000)])
    b.send(b"".join(pub(b"%s.%d" % (base, n), b"%d" % n)
                    for n in range(1000)))
    b.expect_nothing()
    a.expect(b"".join(msg(b"%s.%d" % (base, n), b"%d" % n, b"%d" % n)
                      for n in range(1000)))
    a.expect_nothing()


@suite.scenario("request and reply", pairs=True)
def request(env):
    service = env.subj("svc")
    a, b = env.pair()
    a.sub(service + b" 1")
    b.sub(b"_INBOX.%d.* 2" % env.number)
    for n in range(100):
        inbox = b"_INBOX.%d.%d" % (env.number, n)
        b.pub(service, b"q%d" % n, inbox)
        a.expect(msg(service, b"1", b"q%d" % n, inbox))
        a.pub(inbox, b"a%d" % n)
        b.expect(msg(inbox, b"2", b"a%d" % n))


if __name__ == "__main__":
    sys.exit(suite.main())
