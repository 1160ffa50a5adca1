#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Verbose and pedantic connections, both ends in any worker."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
from natsdtest import *  # noqa: E402,F403

suite = Suite("verbose and pedantic")

OK = b"+OK\r\n"
VERBOSE = b'CONNECT {"verbose":true,"pedantic":false,"headers":true}\r\n'
BOTH = b'CONNECT {"verbose":true,"pedantic":true,"headers":true}\r\n'


@suite.scenario("one +OK each, in order with PONGs", pairs=True)
def acknowledged(env):
    subject = env.subj()
    a, b = env.pair(C0, VERBOSE)
    a.sub(subject + b" 1")
    b.send((b"SUB x.%d 1\r\n" % env.number + PING + pub(subject, b"one") +
            b"UNSUB 1\r\n" + hpub(subject, b"NATS/1.0\r\n\r\n", b"two") +
            PONG + b"UNSUB 1 5\r\n" + b"+OK\r\n" + PING) * 20)
    b.expect((OK + PONG + OK * 4 + PONG) * 20)
    a.expect((msg(subject, b"1", b"one") + msg(subject, b"1", b"two")) * 20)


@suite.scenario("+OK before the own message", pairs=True)
def own(env):
    subject = env.subj()
    a, b = env.pair(C0, VERBOSE)
    a.sub(subject + b" 1")
    b.send(b"SUB %s 1\r\n" % subject)
    b.expect(OK)
    b.send(pub(subject, b"same") * 50)
    b.expect((OK + msg(subject, b"1", b"same")) * 50)
    a.expect(msg(subject, b"1", b"same") * 50)


@suite.scenario("errors take the place of +OK")
def errors(env):
    b = env.client(VERBOSE)
    b.send(b"SUB a..b 1\r\nSUB a 1\r\nSUB b 1\r\nSUB foo _sys_ 2\r\n"
           b"PUB _GR_.x 1\r\nx\r\nPUB a $JS.ACK.x 1\r\nx\r\n" + PING)
    b.expect(err("Invalid Subject") + OK + OK +
             err('Permissions Violation for Subscription to "foo" using '
                 'queue "_sys_"') +
             err('Permissions Violation for Publish to "_GR_.x"') +
             err('Permissions Violation for Publish with Reply of '
                 '"$JS.ACK.x"') + PONG)


@suite.scenario("pedantic: error and delivery", pairs=True)
def pedantic(env):
    base = env.subj("p")
    a, b = env.pair(C0, BOTH)
    a.sub(base + b".> 1")
    for bad in (b".*", b".a.>", b".>", b".*.x"):
        b.send(pub(base + bad, b"m"))
        b.expect(err("Invalid Publish Subject") + OK)
        a.expect(msg(base + bad, b"1", b"m"))
    for bad in (b"..x", b"."):
        b.send(pub(base + bad, b"m"))
        b.expect(err("Invalid Publish Subject") + OK)
    for good in (b".a*", b".>b", b".**"):
        b.send(pub(base + good, b"m"))
        b.expect(OK)
        a.expect(msg(base + good, b"1", b"m"))
    a.expect_nothing()


@suite.scenario("pedantic: the error once, though the payload comes later",
                pairs=True, reference=False)
def split(env):
    base = env.subj("p")
    a, b = env.pair(C0, BOTH)
    a.sub(base + b".> 1")
    b.send(PING)
    b.expect(PONG)
    # the error may come with the line or with the payload
    for piece in (b"PUB %s.* 5\r\n" % base, b"he", b"llo\r", b"\n" + PING):
        b.send(piece)
        if not piece.endswith(PING):
            a.expect_nothing()
    b.expect(err("Invalid Publish Subject") + OK + PONG)
    a.expect(msg(base + b".*", b"1", b"hello"))


@suite.scenario("not pedantic: empty tokens reach nobody", pairs=True)
def lax(env):
    base = env.subj("p")
    a, b = env.pair()
    a.sub(base + b".> 1", b"> 2")
    b.send(pub(base + b"..x") + pub(base + b".") + pub(b"." + base) + PING)
    b.expect(PONG)
    a.expect_nothing()
    a.send(b"UNSUB 2\r\n")
    a.expect_nothing()


@suite.scenario("quoting in error texts")
def quoting(env):
    b = env.client()
    for raw, quoted in ((b'a"b', 'a\\"b'), (b"a\\b", "a\\\\b"),
                        (b"\x01\x7f", "\\x01\\x7f"),
                        (b"\xff", "\\xff"), (b"\x07\x08\x0c\x0b",
                                             "\\a\\b\\f\\v"),
                        ("é".encode(), "é"), (b"it's", "it's"),
                        ("\u00a0".encode(), "\\u00a0"),
                        (b"\xc3", "\\xc3"), (b"\xf0\x9f\x98\x80", "😀")):
        b.send(b"PUB _GR_." + raw + b" 1\r\nx\r\n" + PING)
        b.expect(err('Permissions Violation for Publish to "_GR_.%s"' %
                     quoted) + PONG)


if __name__ == "__main__":
    sys.exit(suite.main())
