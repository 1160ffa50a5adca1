#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Queue groups over all workers: one member each time, chosen evenly."""

import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
from natsdtest import *  # noqa: E402,F403

suite = Suite("queue groups")


def collect(clients):
    """Messages of each, after everything published has been queued."""
    return [client.messages() for client in clients]


def once(got, count):
    """Every message of 0..count-1 exactly once over all receivers."""
    seen = sorted(int(m.payload) for messages in got for m in messages)
    equal(seen, list(range(count)), "messages received once each")


@suite.scenario("exactly one member gets each message", pairs=True)
def exactly_one(env):
    subject = env.subj()
    a, b = env.pair()
    members = [a, b, env.near(a), env.near(b)]
    for member in members:
        member.sub(subject + b" q 1")
    publisher = env.client()
    publisher.send(b"".join(pub(subject, b"%d" % n) for n in range(400)))
    publisher.expect_nothing()
    got = collect(members)
    once(got, 400)
    for messages in got:
        check(45 <= len(messages) <= 170, "shares %r",
              [len(m) for m in got])


@suite.scenario("shares are even over workers: 3 members, 3000 messages")
def shares(env):
    subject = env.subj()
    # two members in one worker and one in another: not 2 to 1 by worker
    first = env.client()
    second = env.on(first.worker)
    third = env.on(first.worker, other=env.workers > 1)
    for member in (first, second, third):
        member.sub(subject + b" q 1")
    publisher = env.client()
    for start in range(0, 3000, 100):
        publisher.send(b"".join(pub(subject, b"%d" % n)
                                for n in range(start, start + 100)))
    publisher.expect_nothing()
    got = collect((first, second, third))
    once(got, 3000)
    for messages in got:
        check(850 <= len(messages) <= 1150, "shares %r",
              [len(m) for m in got])


def in_order(messages):
    """What one connection got of one publisher stands in its order."""
    last = -1
    for m in messages:
        check(int(m.payload) > last, "%r after %d", m, last)
        last = int(m.payload)


LONG = 20000


def long_run(env, members):
    """Messages with equal control lines, as many as a read() takes."""
    subject = env.subj()
    for member, lines in members:
        member.sub(*[subject + line for line in lines])
    publisher = env.client()
    sender = Background(publisher.send, b"".join(
        pub(subject, b"%016d" % n) for n in range(LONG)) + PING)
    publisher.expect(PONG)
    sender.done()
    got = collect([member for member, _ in members])
    once(got, LONG)
    for messages in got:
        in_order(messages)
    return [len(messages) for messages in got]


@suite.scenario("a long run is dealt out, each share in order", pairs=True)
def dealt(env):
    a, b = env.pair()
    shares = long_run(env, [(client, [b" q 1"])
                            for client in (a, b, env.near(a), env.near(b))])
    for share in shares:
        check(LONG / 4 * 0.9 <= share <= LONG / 4 * 1.1, "shares %r", shares)


@suite.scenario("the same through small rings", pairs=True, workers=(2, 4),
                conf={"ring_memory": "3MB"})
def dealt_tight(env):
    a, b = env.pair()
    long_run(env, [(a, [b" q 1"]), (b, [b" q 1"])])


@suite.scenario("two memberships of a connection: one order", pairs=True)
def dealt_twice(env):
    a, b = env.pair()
    long_run(env, [(a, [b" q 1", b" q 2"]), (b, [b" q 1", b" q 22"])])


@suite.scenario("a long run with a limited member", pairs=True)
def dealt_limited(env):
    subject = env.subj()
    a, b = env.pair()
    a.send(b"SUB %s q 1\r\nUNSUB 1 7\r\n" % subject)
    a.expect_nothing()
    b.sub(subject + b" q 1")
    publisher = env.client()
    publisher.send(b"".join(pub(subject, b"%04d" % n) for n in range(2000)))
    publisher.expect_nothing()
    got = a.messages()
    equal(len(got), 7, "messages of the limited member")
    theirs = []
    end = time.monotonic() + TIMEOUT
    while len(theirs) < 1993 and time.monotonic() < end:
        theirs += b.messages()
    once([got, theirs], 2000)


@suite.scenario("single messages are shared evenly too", pairs=True)
def singles(env):
    subject = env.subj()
    a, b = env.pair()
    publisher = env.near(a)
    for member in (a, b):
        member.sub(subject + b" q 1")
    for n in range(100):
        publisher.send(pub(subject, b"%d" % n) + PING)
        publisher.expect(PONG)
    got = collect((a, b))
    once(got, 100)
    check(min(map(len, got)) >= 25, "shares %r", [len(m) for m in got])


@suite.scenario("several memberships of one connection count each",
                pairs=True)
def weights(env):
    subject = env.subj()
    a, b = env.pair()
    a.sub(*[b"%s q %d" % (subject, sid) for sid in (1, 2, 3)])
    b.sub(subject + b" q 1")
    publisher = env.client()
    publisher.send(b"".join(pub(subject, b"%d" % n) for n in range(1200)))
    publisher.expect_nothing()
    got = collect((a, b))
    once(got, 1200)
    check(780 <= len(got[0]) <= 1020, "shares %r", [len(m) for m in got])


@suite.scenario("one group over all matching patterns, by name", pairs=True)
def merged(env):
    base = env.subj("m")
    a, b = env.pair()
    a.sub(base + b".x q 1")
    b.sub(base + b".* q 2")
    third = env.near(a)
    third.sub(base + b".> q 3")
    elsewhere = env.near(a)
    elsewhere.sub(base + b".y q 4", base + b".y.z q 5")
    publisher = env.client()
    publisher.send(b"".join(pub(base + b".x", b"%d" % n)
                            for n in range(300)))
    publisher.expect_nothing()
    got = collect((a, b, third))
    once(got, 300)
    check(min(map(len, got)) >= 50, "shares %r", [len(m) for m in got])
    equal(elsewhere.messages(), [], "messages of another subject")


@suite.scenario("groups and plain subscriptions each get theirs", pairs=True)
def mixed(env):
    subject = env.subj()
    a, b = env.pair()
    a.sub(subject + b" q 1", subject + b" r 2", subject + b" 3")
    b.sub(subject + b" q 1", subject + b" r 2", subject + b" 3")
    publisher = env.near(a)
    publisher.send(b"".join(pub(subject, b"%d" % n) for n in range(200)))
    publisher.expect_nothing()
    got = collect((a, b))
    for group in (b"1", b"2"):
        once([[m for m in messages if m.sid == group] for messages in got],
             200)
    for messages in got:
        once([[m for m in messages if m.sid == b"3"]], 200)


@suite.scenario("echo off: another member is used", pairs=True)
def echo_off(env):
    subject = env.subj()
    a, b = env.pair(CE, C0)
    a.sub(subject + b" q 1")
    b.sub(subject + b" q 1")
    a.send(b"".join(pub(subject, b"%d" % n) for n in range(50)) + PING)
    a.expect(PONG)
    once(collect((a, b)), 50)
    b.send(b"".join(pub(subject, b"%d" % n) for n in range(100)) + PING)
    got = []
    while True:
        event = b.event()
        if event == PONG:
            break
        got.append(event)
    theirs = a.messages()
    once([got, theirs], 100)
    check(theirs, "the echo-off member is no member for others")


@suite.scenario("echo off as the only member: nobody gets it")
def echo_alone(env):
    subject = env.subj()
    a = env.client(CNE)
    a.sub(subject + b" q 1", b"r%d 2" % env.number)
    a.send(pub(subject, b"x", b"r%d" % env.number) + PING)
    a.expect(no_responders(b"r%d" % env.number, b"2", subject) + PONG)


@suite.scenario("a member that dies leaves the group", pairs=True)
def dying(env):
    subject = env.subj()
    a, b = env.pair()
    a.sub(subject + b" q 1")
    b.sub(subject + b" q 1")
    publisher = env.near(a)
    publisher.send(b"".join(pub(subject, b"%d" % n) for n in range(100)))
    publisher.expect_nothing()
    once(collect((a, b)), 100)
    b.close()
    publisher.send(b"".join(pub(subject, b"%d" % n) for n in range(100)))
    publisher.expect_nothing()
    once(collect((a,)), 100)


@suite.scenario("members come and go while messages flow", pairs=True)
def changing(env):
    subject = env.subj()
    a, b = env.pair()
    keeper = env.near(a)
    keeper.sub(subject + b" q 1")
    total = 0
    gone = []
    for _ in range(20):
        a.sub(subject + b" q 5")
        b.send(b"".join(pub(subject, b"%d" % n)
                        for n in range(total, total + 20)) + PING)
        b.expect(PONG)
        total += 20
        a.send(b"UNSUB 5\r\n")
        gone.append(a.messages())
    once(gone + [keeper.messages()], total)


@suite.scenario("UNSUB max of a member", pairs=True)
def limited(env):
    subject = env.subj()
    a, b = env.pair()
    a.send(b"SUB %s q 1\r\nUNSUB 1 3\r\n" % subject)
    a.expect_nothing()
    b.sub(subject + b" q 1")
    publisher = env.near(b)
    publisher.send(b"".join(pub(subject, b"%d" % n) for n in range(200)))
    publisher.expect_nothing()
    # what the limited one cannot take is passed on and may take a hop more
    got = a.messages()
    equal(len(got), 3, "messages of the limited member")
    theirs = []
    end = time.monotonic() + TIMEOUT
    while len(theirs) < 197 and time.monotonic() < end:
        theirs += b.messages()
    once([got, theirs], 200)


@suite.scenario("queue names are opaque", pairs=True)
def names(env):
    subject = env.subj()
    a, b = env.pair()
    for number, name in enumerate((b"a..b", b"*", b">", b"Q", b"q")):
        a.sub(b"%s %s %d" % (subject, name, number))
        b.sub(b"%s %s %d" % (subject, name, number))
    publisher = env.client()
    publisher.send(pub(subject, b"0") + PING)
    publisher.expect(PONG)
    sids = sorted(m.sid for messages in collect((a, b)) for m in messages)
    equal(sids, [b"0", b"1", b"2", b"3", b"4"], "one per group")


if __name__ == "__main__":
    sys.exit(suite.main())
