#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""PINGs of the server, Stale Connection."""

import os
import socket
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
from natsdtest import *  # noqa: E402,F403

suite = Suite("keepalive")

FAST = {"ping_interval": "400ms", "ping_max": 2}
STALE = err("Stale Connection")


@suite.scenario("unanswered PINGs end in Stale Connection", conf=FAST)
def stale(env):
    begun = time.monotonic()
    clients = [env.client(connect) for connect in (C0, C1, None)]
    # PONGs nobody asked for are no credit
    clients.append(env.client(C0))
    clients[-1].send(PONG * 5)
    for client in clients:
        client.born = begun + 1000  # PINGs are what is tested
        client.expect(PING + PING + STALE)
        client.expect_eof()
    check(time.monotonic() - begun >= 1.1, "cut off after %.1f s",
          time.monotonic() - begun)


@suite.scenario("answered PINGs keep it open", conf=FAST)
def answered(env):
    clients = env.each()
    for _ in range(5):
        for client in clients:
            client.born = time.monotonic() + 1000
            client.expect(PING)
            client.send(PONG)
    for client in clients:
        client.born = 0
        client.expect_nothing()


@suite.scenario("a client that sends is not asked", pairs=True, conf=FAST)
def active(env):
    subject = env.subj()
    a, b = env.pair()
    first = b"x"
    # the first PING after CONNECT comes in any case
    b.born = time.monotonic() + 1000
    b.expect(PING)
    b.send(PONG)
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        b.pub(subject, first)
        try:
            b.fill(time.monotonic() + 0.05)
        except socket.timeout:
            pass
    check(b.buf.count(PING) <= 1, "asked %d times", b.buf.count(PING))
    a.abandon()


@suite.scenario("messages instead of PONGs do not help", pairs=True,
                conf=FAST, reference=False)
def no_pong(env):
    subject = env.subj()
    a, b = env.pair()
    # b never reads PINGs, a publishes to it: what it is sent is no activity
    b.sub(subject + b" 1")
    end = time.monotonic() + 20
    sent = 0
    while time.monotonic() < end and not b.hung_up():
        a.send(pub(subject, b"noise"))
        a.born = 0
        a.expect_nothing()
        sent += 1
        time.sleep(0.02)
    text = b.until_eof()
    check(text.endswith(STALE), "ends in %s", show(text[-100:]))
    equal(text.count(PING), 2, "PINGs")


@suite.scenario("default: first PING after two seconds (S02)", conf={})
def first(env):
    begun = time.monotonic()
    client = env.client(connect=None)
    client.send(C1)
    quiet = env.client(connect=None)
    client.born = begun + 1000
    client.expect(PING)
    took = time.monotonic() - begun
    check(1.9 <= took <= 2.6 * SLOW + 1, "first PING after %.2f s", took)
    quiet.born = time.monotonic() + 1000
    quiet.expect_nothing()


if __name__ == "__main__":
    sys.exit(suite.main())
