#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Slow consumers are cut and nobody else notices; fast producers wait."""

import os
import socket
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
from natsdtest import *  # noqa: E402,F403

suite = Suite("slow consumer")

DEADLINE = {"write_deadline": "300ms"}
PENDING = {"max_pending": 1048576, "max_payload": 100000}
ROOMY = {"max_pending": "64MB", "max_payload": "1MB"}

BLOCK = b"x" * 60000


def cut_off(client):
    """The connection ends, without an -ERR; what came is whole or cut at
    the end only."""
    end = client.deadline(60)
    total = 0
    tail = b""
    while True:
        tail = (tail + bytes(client.buf))[-100:]
        total += len(client.buf)
        client.buf.clear()
        try:
            if not client.fill(end):
                break
        except socket.timeout:
            raise Failure("%r: still connected" % client)
    check(b"-ERR" not in tail, "%r: -ERR at the end: %s", client, show(tail))
    return total


def flood(publisher, subject, count=200):
    publisher.send(pub(subject, BLOCK) * count)
    publisher.expect_nothing()


def slow(env, reason):
    subject, other = env.subj(), env.subj("other")
    server = env.server
    start = len(server.log())
    # the slow one first, so that "near" places it against the publisher
    lazy = env.client(C0, rcvbuf=16384)
    publisher = env.near(lazy)
    brisk = env.near(publisher)
    bystander, friend = env.near(lazy), env.near(publisher)
    lazy.sub(subject + b" 1")
    brisk.sub(subject + b" 1")
    bystander.sub(other + b" 1")
    for n in range(20):
        publisher.send(pub(subject, BLOCK) * 10)
        brisk.expect(msg(subject, b"1", BLOCK) * 10)
        friend.pub(other, b"%d" % n)
        bystander.expect(msg(other, b"1", b"%d" % n))
    publisher.expect_nothing()
    # it is given up before it reads a byte
    if REFERENCE:
        time.sleep(1)
    else:
        server.wait_log("Slow Consumer Detected: " + reason, start)
    got = cut_off(lazy)
    check(got < 200 * len(BLOCK), "the slow one got everything")
    # its subscription is gone
    asker = env.near(publisher, CN)
    inbox = b"_INBOX.%d" % env.number
    asker.sub(inbox + b" 7")
    brisk.send(b"UNSUB 1\r\n")
    brisk.expect_nothing()
    asker.send(pub(subject, b"x", inbox) + PING)
    asker.expect(no_responders(inbox, b"7", subject) + PONG)


@suite.scenario("max_pending (S23)", pairs=True, conf=PENDING)
def pending(env):
    if REFERENCE:
        raise Skip("holds the publisher back for seconds")
    slow(env, "MaxPending of 1048576 Exceeded")


@suite.scenario("write_deadline (S22)", pairs=True, conf=DEADLINE)
def deadline(env):
    slow(env, "WriteDeadline of 300ms exceeded")


@suite.scenario("a slow reader over a Unix socket", pairs=True, conf=PENDING,
                reference=False)
def unix(env):
    subject = env.subj()
    lazy = env.client(unix=True)
    publisher = env.near(lazy, unix=True)
    lazy.sub(subject + b" 1")
    flood(publisher, subject)
    cut_off(lazy)


@suite.scenario("many subscriptions of a client that never reads",
                pairs=True, conf=PENDING, reference=False)
def wide(env):
    subject = env.subj()
    lazy = env.client(C0, rcvbuf=16384)
    publisher = env.near(lazy)
    lazy.sub(*[b"%s %d" % (subject, sid) for sid in range(100)])
    brisk = env.near(publisher)
    brisk.sub(subject + b" 1")
    publisher.send(pub(subject, b"y" * 5000) * 100)
    publisher.expect_nothing()
    brisk.expect(msg(subject, b"1", b"y" * 5000) * 100)
    cut_off(lazy)


@suite.scenario("own replies count too: PINGs whose PONGs nobody reads",
                conf=PENDING, reference=False)
def pongs(env):
    lazy = env.client(C0, rcvbuf=16384)
    lazy.timeout = 2 * SLOW
    try:
        for _ in range(2000):
            lazy.send(PING * 5000)
    except (OSError, Failure):
        pass
    env.client().expect_nothing()


@suite.scenario("one that reads is not cut, however fast the publisher",
                pairs=True, conf=ROOMY)
def held_back(env):
    subject = env.subj()
    a, b = env.pair()
    a.sub(subject + b" 1")
    count = 12000
    one = msg(subject, b"1", b"z" * 16000)

    def read():
        left = count * len(one)
        end = a.deadline(120)
        while left:
            check(a.fill(end, 1 << 20), "cut off with %d bytes to come", left)
            # after two seconds natsd sends a PING between the messages
            left += len(PING) * a.buf.count(b"P") - len(a.buf)
            check(left >= 0, "too much came")
            a.buf.clear()

    reading = Background(read)
    batch = pub(subject, b"z" * 16000) * 40
    for _ in range(count // 40):
        b.send(batch)
    b.timeout = 120
    b.expect_nothing()
    reading.done()
    a.expect_nothing()


@suite.scenario("one that takes a little at a time is not cut", pairs=True,
                conf={"write_deadline": "1s"}, workers=(2,), reference=False)
def trickle(env):
    subject = env.subj()
    start = len(env.server.log())
    client = env.client(C0, rcvbuf=4096)
    publisher = env.near(client)
    client.sub(subject + b" 1")
    publisher.send(pub(subject, b"x" * 100000) * 100)
    publisher.expect_nothing()
    # The kernel holds megabytes: its socket does not get writable in this.
    end = time.monotonic() + 4
    while time.monotonic() < end:
        client.fill(client.deadline())
        time.sleep(0.1)
    # It would not see by now that it was.
    said = env.server.log()[start:]
    check("Slow Consumer" not in said, "cut off:\n%s", said)


@suite.scenario("no_fast_producer_stall: dropped for the slow one, in order",
                pairs=True, reference=False,
                conf=dict(PENDING, no_fast_producer_stall=True))
def dropped(env):
    subject = env.subj()
    lazy = env.client(C0, rcvbuf=16384)
    publisher = env.near(lazy)
    lazy.sub(subject + b" 1")
    for n in range(1000):
        publisher.pub(subject, b"%d " % n + b"x" * 20000)
    publisher.expect_nothing()
    numbers = []
    lazy.send(PING)
    while True:
        try:
            got = lazy.event()
        except (Failure, OSError):
            check(lazy.eof, "neither PONG nor end of file")
            break
        if got == PONG:
            break
        numbers.append(int(got.payload.split()[0]))
    equal(numbers, sorted(set(numbers)), "order of what was not dropped")
    check(len(numbers) < 1000, "nothing was dropped")


@suite.scenario("the slow one is cut while it has a partial message to send",
                pairs=True, conf=PENDING, reference=False)
def half_sent(env):
    subject = env.subj()
    lazy = env.client(C0, rcvbuf=16384)
    publisher = env.near(lazy)
    lazy.sub(subject + b" 1")
    lazy.send(b"PUB %s 5000\r\nhalf" % subject)
    flood(publisher, subject)
    cut_off(lazy)
    publisher.expect_nothing()


if __name__ == "__main__":
    sys.exit(suite.main())
