#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Scenarios of what nats-server does over time (S), or does since a later
version (N), and all error texts that it has in common with natsd.

What is said and answered at once is in lib/vectors.py.  All of these can run
against a nats-server (NATSD_REFERENCE), 2.9 or newer.

These numbers are not there, for there is nothing of the kind in natsd:
  S07 S08          lame duck mode
  S09 S11 N05 N08 N09   permissions, lists of users
  S15 to S19       TLS
  S20 S21          nkeys
  S24 S25 S26      accounts
  S29 S30          allow_responses
  N06              max_connections 0 is no limit, as natsd.conf(5) says
  N07              no_auth_user
Nor, for the same reasons, V164 and V191 to V215 in lib/vectors.py.

Nor are these errors of nats-server: errors of accounts (maximum account active connections
exceeded, Failed Account Registration), of account limits (maximum
subscriptions exceeded as an end), of TLS (Secure Connection - TLS Required,
Connection throttling is active), of JWTs (User Authentication Expired,
Revoked, Account Authentication Expired), of permissions (Subscription to "S"
alone and with a sid; Publish to "S" other than for reserved subjects), and of
ports between servers (attempted to connect to ...).
"""

import os
import signal
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
from natsdtest import *  # noqa: E402,F403

suite = Suite("scenarios")

K8 = {"ping_interval": "1s", "ping_max": 2}
TWO = {"max_connections": 2}
USER = {"authorization": {"user": "u", "password": "p"}}
FULL = err("maximum connections exceeded")
NO = err("Authorization Violation")


def follows(env, *version):
    """Whether that is how the server is meant to behave: natsd follows the
    newest, a nats-server its own version."""
    if not REFERENCE:
        return True
    text = env.client(None).info["version"]
    return [int(part) for part in text.split(".")[:2]] >= list(version)


@suite.scenario("S01: the third of two connections", conf=TWO)
def s01(env):
    first, second = env.client(C0), env.client(C0)
    third = env.client(None)
    third.expect(FULL)
    third.expect_eof()
    first.close()

    def again():
        client = env.client(None)
        try:
            client.connect(C0)
        except (Failure, OSError):
            client.abandon()
            return None
        return client
    wait_for(again, "the place of the one that left").expect_nothing()
    second.expect_nothing()


@suite.scenario("S02, S03: the first PING, and none without CONNECT",
                conf={}, workers=(2,))
def s02(env):
    begun = time.monotonic()
    told, silent = env.client(None), env.client(None)
    told.send(C1)
    told.born = silent.born = begun + 1000  # PINGs are what is tested
    told.expect(PING)
    took = time.monotonic() - begun
    check(1.9 <= took <= 2.5 + SLOW, "first PING after %.2f s", took)
    check(silent.quiet_until(begun + 5), "PING without CONNECT")
    silent.expect_nothing()


@suite.scenario("S04, S05: PINGs answered; PONGs nobody asked for", conf=K8,
                workers=(2,))
def s04(env):
    good, eager, plain = [env.client(None) for _ in range(3)]
    begun = time.monotonic()
    for client in (good, eager, plain):
        client.born = begun + 1000
        client.send(C1)
    eager.send(PONG * 5)
    for _ in range(4):
        good.expect(PING)
        good.send(PONG)
    check(time.monotonic() - begun >= 3.9, "four PINGs in %.1f s",
          time.monotonic() - begun)
    good.expect_nothing()
    for client in (eager, plain):
        client.expect(PING + PING + err("Stale Connection"))
        client.expect_eof()


@suite.scenario("S06: SIGTERM or SIGINT: end of file without any byte")
def s06(env):
    for number in (signal.SIGTERM, signal.SIGINT):
        server = env.own_server({})
        clients = [env.client(connect, server)
                   for connect in (C0, CH, None, CN)]
        server.stop(number)
        for client in clients:
            client.expect_eof()


@suite.scenario("S10: reload: password changed")
def s10(env):
    for old, new, connect in (
            (USER, {"user": "u", "password": "q"}, auth("u", "p")),
            ({"authorization": {"token": "t"}}, {"token": "s"},
             b'CONNECT {"verbose":false,"auth_token":"t"}\r\n')):
        server = env.own_server(old)
        clients = env.each(connect, server=server)
        server.reload({"authorization": new})
        for client in clients:
            text = client.until_eof()
            # A user of nats-server that has no list of them is closed
            # silently; natsd does not (D48 in natsd-protocol(7)).
            check(text == NO or (not text and REFERENCE and old is USER),
                  "it ends by %s", show(text))


@suite.scenario("S12: reload: max_payload lowered")
def s12(env):
    server = env.own_server({"max_payload": 1000})
    clients = env.each(C1, server=server)
    if REFERENCE and follows(env, 2, 12):
        for client in clients:
            client.line()  # N02
    server.reload({"max_payload": 500})
    for client in clients:
        client.expect_nothing()
        client.send(pub(b"a", b"x" * 501))
        client.expect(err("Maximum Payload Violation"))
        client.expect_eof()


@suite.scenario("S13: reload: max_connections 1 with two clients")
def s13(env):
    server = env.own_server({"max_connections": 10})
    clients = [env.client(C0, server) for _ in range(2)]
    server.reload({"max_connections": 1})
    wait_for(lambda: any(client.hung_up() for client in clients),
             "one to be closed")
    closed = [client for client in clients if client.hung_up()]
    equal(len(closed), 1, "closed connections")
    closed[0].expect(FULL)
    closed[0].expect_eof()
    clients.remove(closed[0])
    clients[0].expect_nothing()


@suite.scenario("S14: reload: a broken file")
def s14(env):
    server = env.own_server({"max_payload": 1000})
    clients = env.each(server=server)
    server.write("max_payload {\n")
    server.reload(good=False)
    for client in clients:
        client.send(b"PUB a 1000\r\n" + b"x" * 1000 + b"\r\n")
        client.expect_nothing()


@suite.scenario("S22: write_deadline", pairs=True,
                conf={"write_deadline": "300ms"})
def s22(env):
    lazy = env.client(C0, rcvbuf=16384)
    publisher = env.near(lazy)
    subject = env.subj()
    lazy.sub(subject + b" 1")
    block = b"y" * 60000
    for _ in range(200):
        publisher.pub(subject, block)
    publisher.expect_nothing()
    # Reading would be progress; the sign of its end is its interest's.
    asker = env.near(publisher, CN)
    inbox = b"_INBOX.%d" % env.number
    asker.sub(inbox + b" 7")

    def gone():
        asker.send(pub(subject, b"x", inbox) + PING)
        return asker.event() != PONG and asker.event() == PONG
    wait_for(gone, "the slow one to be cut", step=0.05)
    text = lazy.until_eof()
    check(len(text) < 200 * len(block), "it got everything")
    check(b"-ERR" not in text, "-ERR at the end")


@suite.scenario("S23: max_pending", pairs=True, workers=(1, 2),
                conf={"max_pending": 1048576, "max_payload": 100000})
def s23(env):
    lazy = env.client(C0, rcvbuf=16384)
    publisher = env.near(lazy)
    subject = env.subj()
    lazy.sub(subject + b" 1")
    block = b"y" * 60000
    for _ in range(200):
        publisher.pub(subject, block)
    publisher.expect_nothing()
    text = lazy.until_eof()
    check(len(text) < 200 * len(block), "it got everything")
    check(b"-ERR" not in text, "-ERR at the end")


@suite.scenario("S27: client_advertise",
                conf={"client_advertise": "foo.example:4333"})
def s27(env):
    info = env.client(None).info
    equal((info["host"], info["port"]), ("foo.example", 4333), "INFO")


@suite.scenario("S28: PONG after SUB and after PUB, 200 times", pairs=True)
def s28(env):
    a, b = env.pair()
    for number in range(200):
        subject = env.subj("b%d" % number)
        a.send(b"SUB %s S%d\r\n" % (subject, number) + PING)
        a.expect(PONG)
        b.send(pub(subject) + PING)
        b.expect(PONG)
        a.expect(msg(subject, b"S%d" % number))


@suite.scenario("S31: half-close behind two PINGs")
def s31(env):
    client = env.client(None)
    client.send(C0 + PING + PING)
    client.half_close()
    client.expect(PONG + PONG)
    client.expect_eof()


@suite.scenario("S32: requests to services that are not there", pairs=True)
def s32(env):
    client, _ = env.pair(CN)
    client.sub(b"r 1")
    for subject in (b"$JS.API.INFO", b"$SRV.PING"):
        client.send(pub(subject, b"", b"r") + PING)
        if follows(env, 2, 12):
            head = b"NATS/1.0 503\r\nNats-Subject: %s\r\n\r\n" % subject
        else:
            head = b"NATS/1.0 503\r\n\r\n"
        client.expect(hmsg(b"r", b"1", head, b"") + PONG)


@suite.scenario("N01: the 503 names the subject")
def n01(env):
    client = env.client(CN)
    client.send(b"SUB r 7\r\nPUB foo r 2\r\nok\r\n" + PING)
    if follows(env, 2, 12):
        client.expect(b"HMSG r 7 35 35\r\nNATS/1.0 503\r\n"
                      b"Nats-Subject: foo\r\n\r\n\r\n" + PONG)
    else:
        client.expect(b"HMSG r 7 16 16\r\nNATS/1.0 503\r\n\r\n\r\n" + PONG)


@suite.scenario("N02: no second INFO, or one behind the first PONG")
def n02(env):
    client = env.client(None)
    client.send(C1 + PING)
    client.expect(PONG)
    if REFERENCE and follows(env, 2, 12):
        check(b'"connect_info":true' in client.line(), "no connect_info")
    client.expect_nothing()


@suite.scenario("N03: a second CONNECT drops the subscriptions")
def n03(env):
    subject = env.subj()
    client = env.client(C0)
    client.send(b"SUB %s 1\r\n" % subject + C0 + pub(subject, b"ok") + PING)
    if not follows(env, 2, 14):
        client.expect(msg(subject, b"1", b"ok"))
    client.expect(PONG)


@suite.scenario("N04: $NRG. is reserved")
def n04(env):
    client = env.client(C0)
    client.send(b"PUB $NRG.x 1\r\nx\r\n" + PING)
    if follows(env, 2, 11):
        client.expect(err('Permissions Violation for Publish to "$NRG.x"'))
    client.expect(PONG)


# Section 5: the text, the configuration, what causes it, and whether the
# connection is closed.

LINE = {"max_control_line": 64}
ERRORS = [
    ("Unknown Protocol Operation", {}, b"FOO\r\n", True),
    ("Unknown Protocol Operation", {}, b"PUB a 1\r\nxyz\r\n", True),
    ("maximum control line exceeded", LINE, b"SUB " + b"a" * 80, True),
    ("maximum control line exceeded", LINE,
     b"CONNECT {" + b" " * 80 + b"}\r\n", True),
    ("Maximum Payload Violation", {"max_payload": 10}, b"PUB a 11\r\n", True),
    ("Authorization Violation", USER, auth("u", "q"), True),
    ("Authorization Violation", USER, b"CONNECT {}\r\n", True),
    ("Authorization Violation", USER, PING, True),
    ("Authorization Violation", {}, b'CONNECT {"account":"a"}\r\n', True),
    ("Authorization Violation", {}, b'CONNECT {"new_account":true}\r\n',
     True),
    ("Authentication Timeout", {"authorization": dict(
        USER["authorization"], timeout=1)}, b"CONNECT", True),
    ("invalid client protocol", {}, b'CONNECT {"protocol":2}\r\n', True),
    ("no responders requires headers support", {},
     b'CONNECT {"no_responders":true}\r\n', True),
    ("no responders requires headers support", {"no_header_support": True},
     b'CONNECT {"no_responders":true,"headers":true}\r\n', True),
    ("maximum subscriptions exceeded", {"max_subscriptions": 1},
     C0 + b"SUB a 1\r\nSUB b 2\r\n", False),
    ("Invalid Subject", {}, C0 + b"SUB a..b 1\r\n", False),
    ("Invalid Publish Subject", {}, CP + pub(b"a..b"), False),
    ("Invalid Publish Subject", {}, CP + pub(b"a.*"), False),
    ('Permissions Violation for Publish to "_GR_.a\\"b"', {},
     C0 + pub(b'_GR_.a"b'), False),
    ('Permissions Violation for Publish with Reply of "_R_.a\\\\b"', {},
     C0 + pub(b"a", b"x", b"_R_.a\\b"), False),
    ('Permissions Violation for Publish with Reply of "$JS.ACK.\\xff"', {},
     C0 + pub(b"a", b"x", b"$JS.ACK.\xff"), False),
    ('Permissions Violation for Publish with Reply of "_GR_.\\x01\u00e9"',
     {}, C0 + pub(b"a", b"x", b"_GR_.\x01\xc3\xa9"), False),
    ('Permissions Violation for Subscription to "a" using queue "_sys_"', {},
     C0 + b"SUB a _sys_ 1\r\n", False),
    ('Permissions Violation for Subscription to "a.b.c", too many tokens',
     {"max_subscription_tokens": 2}, C0 + b"SUB a.b.c 1\r\n", False),
]


@suite.scenario("the errors of Stale Connection",
                conf={"ping_interval": "300ms", "ping_max": 1})
def stale(env):
    client = env.client(None)
    client.born = time.monotonic() + 1000
    client.send(C0)
    client.expect(PING + err("Stale Connection"))
    client.expect_eof()


def register(conf):
    mine = [row for row in ERRORS if row[1] == conf]

    @suite.scenario("the errors of %s" % (
        ", ".join(conf) or "the default configuration"), conf=conf)
    def errors(env):
        for text, _, data, closed in mine:
            client = env.client(None)
            client.send(data)
            client.expect(("-ERR '%s'\r\n" % text).encode())
            if closed:
                client.expect_eof()
            else:
                client.expect_nothing()


for number, row in enumerate(ERRORS):
    if row[1] not in [other[1] for other in ERRORS[:number]]:
        register(row[1])

if __name__ == "__main__":
    sys.exit(suite.main())
