#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Limits: connections over all workers, subscriptions, sizes, lines."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
from natsdtest import *  # noqa: E402,F403

suite = Suite("limits")

FULL = err("maximum connections exceeded")
CONNECTIONS = {"max_connections": 6}
SUBSCRIPTIONS = {"max_subscriptions": 10}
PAYLOAD = {"max_payload": 1000}
LINE = {"max_control_line": 100}
TOKENS = {"max_subscription_tokens": 4}


def served(env, unix=False):
    """A new connection, None if it was refused as it should be."""
    client = env.keep(env.server.client(unix=unix))
    client.send(PING)
    line = client.line()
    if line == PONG:
        return client
    equal(line, FULL, "answer to one too many")
    client.expect_eof()
    return None


@suite.scenario("max_connections counts over all workers", conf=CONNECTIONS)
def connections(env):
    clients = [served(env, n % 2 == 1) for n in range(6)]
    check(all(clients), "refused before the limit")
    for n in range(5):
        check(served(env, n % 2 == 1) is None, "one too many is served")
    for client in clients:
        client.expect_nothing()
    clients[3].close()
    wait_for(lambda: served(env), "a place to become free")
    check(served(env) is None, "one too many is served")


@suite.scenario("max_connections is never passed in a rush",
                conf=CONNECTIONS)
def rush(env):
    wait_for(lambda: served(env), "a first place")
    for client in env.clients:
        client.close()
    for _ in range(5):
        tasks = [Background(served, env) for _ in range(20)]
        good = [client for client in (task.done() for task in tasks)
                if client]
        check(len(good) <= 6, "%d connections served", len(good))
        check(len(good) >= 1, "no connection served")
        for client in good:
            client.expect_nothing()
            client.close()


@suite.scenario("max_subscriptions is per connection", conf=SUBSCRIPTIONS)
def subscriptions(env):
    for client in env.each() + env.each():
        client.sub(*[b"%s.%d %d" % (env.subj(), n, n) for n in range(10)])
        client.send(b"SUB over 11\r\nSUB over 12\r\nSUB over q 13\r\n" + PING)
        client.expect(err("maximum subscriptions exceeded") * 3 + PONG)
        client.send(b"UNSUB 3\r\nSUB under.%d 11\r\nSUB over 12\r\n" %
                    env.number + PING)
        client.expect(err("maximum subscriptions exceeded") + PONG)


@suite.scenario("a place is free again after UNSUB max", pairs=True,
                conf=SUBSCRIPTIONS)
def subscriptions_max(env):
    subject = env.subj()
    a, b = env.pair()
    a.sub(*[b"%s.%d %d" % (subject, n, n) for n in range(9)])
    a.send(b"SUB %s 9\r\nUNSUB 9 1\r\n" % subject + PING)
    a.expect(PONG)
    b.pub(subject)
    a.expect(msg(subject, b"9"))
    a.sub(subject + b" 10")
    a.send(b"SUB x 11\r\n")
    a.expect(err("maximum subscriptions exceeded"))


@suite.scenario("max_payload is inclusive and in INFO", pairs=True,
                conf=PAYLOAD)
def payload(env):
    subject = env.subj()
    a, b = env.pair(C0, CH)
    equal(b.info["max_payload"], 1000, "max_payload in INFO")
    a.sub(subject + b" 1")
    b.send(pub(subject, b"x" * 1000))
    b.send(hpub(subject, b"h" * 400, b"y" * 600))
    a.expect(msg(subject, b"1", b"x" * 1000) +
             msg(subject, b"1", b"y" * 600))
    b.send(b"HPUB " + subject + b" 400 1001\r\n")
    b.expect(err("Maximum Payload Violation"))
    b.expect_eof()
    for size in (b"1001", b"999999999"):
        c = env.near(a)
        c.send(pub(subject, b"before") + b"PUB " + subject + b" " + size +
               b"\r\n")
        c.expect(err("Maximum Payload Violation"))
        c.expect_eof()
        a.expect(msg(subject, b"1", b"before"))


@suite.scenario("the error is seen though the payload is under way",
                conf=PAYLOAD, reference=False)
def under_way(env):
    for _ in range(10):
        client = env.client()
        data = b"PUB a 3000000\r\n" + b"x" * 3000000 + b"\r\n"
        def send():
            try:
                client.send(data)
            except OSError:
                pass
        sender = Background(send)
        client.expect(err("Maximum Payload Violation"))
        client.until_eof()
        client.abandon()
        sender.done()


@suite.scenario("max_control_line is inclusive, for every verb", conf=LINE)
def line(env):
    limit = err("maximum control line exceeded")

    def args(length, tail):
        return b"s" * (length - len(tail)) + tail

    env.client().connect(b'CONNECT {"verbose":false,"name":"%s"}\r\n' %
                         (b"n" * (100 - len('{"verbose":false,"name":""}'))))
    long_name = b'{"verbose":false,"name":"%s"}' % (
        b"n" * (101 - len('{"verbose":false,"name":""}')))
    equal(len(long_name), 101, "length")
    cases = [b"CONNECT " + long_name + b"\r\n",
             b"SUB " + args(101, b" 1") + b"\r\n",
             b"UNSUB " + args(101, b" 1") + b"\r\n",
             b"PUB " + args(101, b" 1") + b"\r\nx\r\n",
             b"SUB " + args(101, b"") * 2,
             b"PUB " + args(5000, b"")]
    if not REFERENCE:
        cases += [b"PING" + b" " * 1000 + b"\r\n", b"PONG" + b"x" * 100000,
                  b"+OK" + b"x" * 1000, b"SUB" + b" " * 100000]
    for data in cases:
        client = env.client()
        client.send(data)
        client.expect(limit)
        client.expect_eof()
    client = env.client(b'CONNECT {"verbose":true,"echo":false}\r\n')
    for data in (b"SUB " + args(100, b" 1") + b"\r\n",
                 b"UNSUB " + args(100, b" 1") + b"\r\n",
                 b"PUB " + args(100, b" 1") + b"\r\nx\r\n",
                 b"SUB  " + args(98, b" 2 ") + b"\t\r\n"):
        client.send(data)
        client.expect(b"+OK\r\n")


@suite.scenario("max_subscription_tokens", conf=TOKENS)
def tokens(env):
    client = env.client()
    client.send(b"SUB a.b.c.d 1\r\nSUB a.b.c.> 2\r\nSUB a.b.c.d.e 3\r\n"
                b"SUB a.b.c.d.> 4\r\nPUB a.b.c.d.e 1\r\nx\r\n" + PING)
    many = 'Permissions Violation for Subscription to "%s", too many tokens'
    client.expect(err(many % "a.b.c.d.e") + err(many % "a.b.c.d.>") +
                  msg(b"a.b.c.d.e", b"2") + PONG)


if __name__ == "__main__":
    sys.exit(suite.main())
