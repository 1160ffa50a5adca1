#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""UNSUB, with and without a maximum, and publishers in all workers."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
from natsdtest import *  # noqa: E402,F403

suite = Suite("unsub")


@suite.scenario("exactly max messages out of one batch", pairs=True)
def batch(env):
    subject = env.subj()
    a, b = env.pair()
    a.send(b"SUB %s 1\r\nUNSUB 1 7\r\n" % subject + PING)
    a.expect(PONG)
    b.send(pub(subject, b"same") * 500 + PING)
    b.expect(PONG)
    a.expect(msg(subject, b"1", b"same") * 7)
    a.expect_nothing()


@suite.scenario("limits of several subscriptions in one batch", pairs=True)
def several(env):
    subject = env.subj()
    a, b = env.pair()
    limits = {1: 3, 2: 10, 3: 250, 4: 1}
    for sid, most in limits.items():
        a.send(b"SUB %s %d\r\nUNSUB %d %d\r\n" % (subject, sid, sid, most))
    a.sub(subject + b" 5")
    limits[5] = 500
    b.send(b"".join(pub(subject, b"%d" % n) for n in range(500)) + PING)
    b.expect(PONG)
    got = a.messages()
    for sid, most in limits.items():
        equal([int(m.payload) for m in got if m.sid == b"%d" % sid],
              list(range(most)), "messages of sid %d" % sid)
    order = [int(m.payload) for m in got]
    equal(order, sorted(order), "order over the subscriptions")


@suite.scenario("publishers in every worker together")
def publishers(env):
    subject = env.subj()
    a = env.client()
    a.send(b"SUB %s 1\r\nUNSUB 1 100\r\n" % subject + PING)
    a.expect(PONG)
    others = env.each() + env.each()
    for client in others:
        client.send(pub(subject, b"x") * 60)
    for client in others:
        client.expect_nothing()
    got = a.messages()
    equal(len(got), min(100, 60 * len(others)), "messages")


@suite.scenario("messages before the UNSUB count", pairs=True)
def before(env):
    subject = env.subj()
    a, b = env.pair()
    a.sub(subject + b" 1")
    b.send(pub(subject) * 3 + PING)
    b.expect(PONG)
    a.expect(msg(subject, b"1") * 3)
    a.send(b"UNSUB 1 5\r\n" + PING)
    a.expect(PONG)
    b.send(pub(subject) * 10 + PING)
    b.expect(PONG)
    a.expect(msg(subject, b"1") * 2)
    a.expect_nothing()


@suite.scenario("max not above the count removes at once", pairs=True)
def at_once(env):
    subject = env.subj()
    a, b = env.pair()
    for line in (b"UNSUB 1 3", b"UNSUB 1 0", b"UNSUB 1 abc", b"UNSUB 1 -1",
                 b"UNSUB 1 1000000000", b"UNSUB 1"):
        a.sub(subject + b" 1")
        b.send(pub(subject) * 3 + PING)
        b.expect(PONG)
        a.send(line + b"\r\n" + PING)
        a.expect(msg(subject, b"1") * 3 + PONG)
        b.send(pub(subject) + PING)
        b.expect(PONG)
        a.expect_nothing()


@suite.scenario("a later max replaces the earlier", pairs=True)
def replaced(env):
    subject = env.subj()
    a, b = env.pair()
    a.send(b"SUB %s 1\r\nUNSUB 1 1\r\nUNSUB 1 4\r\n" % subject + PING)
    a.expect(PONG)
    b.send(pub(subject) * 10 + PING)
    b.expect(PONG)
    a.expect(msg(subject, b"1") * 4)
    a.expect_nothing()


@suite.scenario("the sid is free again after the last message", pairs=True)
def reuse(env):
    subject = env.subj()
    other = env.subj("other")
    a, b = env.pair()
    for _ in range(50):
        a.send(b"SUB %s 1\r\nUNSUB 1 1\r\n" % subject + PING)
        a.expect(PONG)
        b.pub(subject)
        a.expect(msg(subject, b"1"))
        a.sub(other + b" 1")
        b.send(pub(subject, b"no") + pub(other, b"yes") + PING)
        b.expect(PONG)
        a.expect(msg(other, b"1", b"yes"))
        a.send(b"UNSUB 1\r\n" + PING)
        a.expect(PONG)


@suite.scenario("after the PONG of UNSUB nothing is delivered", pairs=True)
def barrier(env):
    subject = env.subj()
    a, b = env.pair()
    for n in range(200):
        a.sub(b"%s %d" % (subject, n))
        a.send(b"UNSUB %d\r\n" % n + PING)
        a.expect(PONG)
        b.send(pub(subject, b"late") + PING)
        b.expect(PONG)
    a.expect_nothing()


@suite.scenario("each request with its own inbox and max 1", pairs=True)
def old_requests(env):
    subject = env.subj()
    a, b = env.pair()
    a.sub(subject + b" 1")
    for n in range(300):
        inbox = b"_INBOX.%d.%d" % (env.number, n)
        b.send(b"SUB %s %d\r\nUNSUB %d 1\r\n" % (inbox, n, n) +
               pub(subject, b"?", inbox))
        a.expect(msg(subject, b"1", b"?", inbox))
        a.send(pub(inbox, b"!") * 2)
        b.expect(msg(inbox, b"%d" % n, b"!"))
    a.expect_nothing()
    b.expect_nothing()


@suite.scenario("second CONNECT drops the subscriptions", pairs=True,
                reference=False)
def second_connect(env):
    subject = env.subj()
    a, b = env.pair()
    a.sub(subject + b" 1", subject + b" q 2")
    a.send(C0 + PING)
    a.expect(PONG)
    b.send(pub(subject) + PING)
    b.expect(PONG)
    a.expect_nothing()
    a.sub(subject + b" 1")
    b.pub(subject)
    a.expect(msg(subject, b"1"))


if __name__ == "__main__":
    sys.exit(suite.main())
