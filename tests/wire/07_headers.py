#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Headers over workers; stripped for those that do not know them."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
from natsdtest import *  # noqa: E402,F403

suite = Suite("headers")

HEADER = b"NATS/1.0\r\nBar: Baz\r\nbar: twice\r\n\r\n"


@suite.scenario("passed on unchanged, with and without body", pairs=True)
def unchanged(env):
    subject = env.subj()
    a, b = env.pair(CH)
    a.sub(subject + b" 1")
    b.send(hpub(subject, HEADER, b"hello") + hpub(subject, HEADER, b"") +
           hpub(subject, HEADER, b"hello", b"re.ply") +
           hpub(subject, b"NATS/1.0 404 No Messages\r\n\r\n", b""))
    a.expect(hmsg(subject, b"1", HEADER, b"hello") +
             hmsg(subject, b"1", HEADER, b"") +
             hmsg(subject, b"1", HEADER, b"hello", b"re.ply") +
             hmsg(subject, b"1", b"NATS/1.0 404 No Messages\r\n\r\n", b""))


@suite.scenario("cut off for a receiver without headers", pairs=True)
def cut(env):
    subject = env.subj()
    a, b = env.pair(C0, CH)
    a.sub(subject + b" 1")
    b.send(hpub(subject, HEADER, b"hello", b"re") +
           hpub(subject, HEADER, b""))
    a.expect(msg(subject, b"1", b"hello", b"re") + msg(subject, b"1", b""))


@suite.scenario("both kinds of receivers for one message")
def both(env):
    subject = env.subj()
    headed, plain = env.each(CH), env.each(C0)
    for client in headed + plain:
        client.sub(subject + b" 1")
    b = env.client(CH)
    b.send(hpub(subject, HEADER, b"body") * 10 + pub(subject, b"pub") + PING)
    b.expect(PONG)
    for client in headed:
        client.expect(hmsg(subject, b"1", HEADER, b"body") * 10 +
                      msg(subject, b"1", b"pub"))
    for client in plain:
        client.expect(msg(subject, b"1", b"body") * 10 +
                      msg(subject, b"1", b"pub"))


@suite.scenario("header size 0 is a plain message", pairs=True)
def zero(env):
    subject = env.subj()
    a, b = env.pair(CH)
    a.sub(subject + b" 1")
    b.send(hpub(subject, b"", b"ok") + hpub(subject, b"", b""))
    a.expect(msg(subject, b"1", b"ok") + msg(subject, b"1", b""))


@suite.scenario("header bytes are not looked at", pairs=True)
def opaque(env):
    subject = env.subj()
    a, b = env.pair(CH)
    a.sub(subject + b" 1")
    b.send(hpub(subject, bytes(range(256)), bytes(range(255, -1, -1))))
    a.expect(hmsg(subject, b"1", bytes(range(256)),
                  bytes(range(255, -1, -1))))


@suite.scenario("runs of equal header lines, sizes and lengths", pairs=True)
def runs(env):
    subject = env.subj()
    a, b = env.pair(CH)
    c = env.near(b, C0)
    a.sub(subject + b" 1")
    c.sub(subject + b" 1")
    sent, headed, plain = [], [], []
    for n in range(600):
        # equal totals, header lengths that change every few messages
        head = b"NATS/1.0\r\nN: " + b"n" * (n // 7 % 5) + b"\r\n\r\n"
        body = b"%0*d" % (60 - len(head), n)
        sent.append(hpub(subject, head, body))
        headed.append(hmsg(subject, b"1", head, body))
        plain.append(msg(subject, b"1", body))
    b.send(b"".join(sent) + PING)
    b.expect(PONG)
    a.expect(b"".join(headed))
    c.expect(b"".join(plain))


@suite.scenario("large headers", pairs=True)
def large(env):
    subject = env.subj()
    a, b = env.pair(CH)
    c = env.near(b, C0)
    a.sub(subject + b" 1")
    c.sub(subject + b" 1")
    head = b"NATS/1.0\r\nBig: " + b"h" * 500000 + b"\r\n\r\n"
    b.send(hpub(subject, head, b"b" * 400000) + PING)
    b.expect(PONG)
    a.expect(hmsg(subject, b"1", head, b"b" * 400000))
    c.expect(msg(subject, b"1", b"b" * 400000))


@suite.scenario("queue group of members with and without headers",
                pairs=True)
def group(env):
    subject = env.subj()
    a, b = env.pair(CH, C0)
    a.sub(subject + b" q 1")
    b.sub(subject + b" q 1")
    p = env.near(a, CH)
    p.send(b"".join(hpub(subject, HEADER, b"%d" % n) for n in range(100)) +
           PING)
    p.expect(PONG)
    mine, theirs = a.messages(), b.messages()
    equal(sorted(int(m.payload) for m in mine + theirs), list(range(100)),
          "messages")
    check(all(m.header == HEADER for m in mine), "header lost")
    check(all(m.header is None for m in theirs), "header not cut")


if __name__ == "__main__":
    sys.exit(suite.main())
