# SPDX-License-Identifier: BSD-2-Clause
"""Sessions that are played every time: feature by feature, what was once
wrong, and the test vectors (tests/lib/vectors.py).
"""

from natsdtest import C0, C1, CE, CH, CN, CNE, CP, CV, auth, hpub, pub
from session import CLOSE, OPEN, Session
from vectors import VECTORS

TOKEN = b'CONNECT {"verbose":false,"pedantic":false,"auth_token":"%s"}\r\n'
HEAD = b"NATS/1.0\r\nA: b\r\n\r\n"

FEATURES = [
    Session("plain", ("A", OPEN), ("B", C0), ("A", b"SUB > 1\r\n"),
            ("B", pub(b"a.b") + pub(b"$SYS.a") + pub(b"_INBOX.x")),
            ("B", CLOSE), ("A", C1 + b"PING\r\nPONG\r\n+OK\r\nINFO {}\r\n"),
            name="all verbs"),
    Session("plain", ("A", b"SUB a.* 1\r\nSUB a.> 2\r\nSUB > 3\r\n"
                           b"SUB *.b 4\r\nSUB *.* 5\r\nSUB a.b.> 6\r\n"
                           b"SUB a*.b 7\r\nSUB a.>b 8\r\nSUB *.*.* 9\r\n"),
            ("B", C0 + b"".join(pub(subject) for subject in (
                b"a", b"a.b", b"a.b.c", b"b.b", b"a*.b", b"a.>b", b"a.*",
                b"a.>", b"a..b", b".a", b"a.", b"."))),
            name="wildcards"),
    Session("plain", ("A", C0 + b"SUB a q q1\r\nSUB a q q2\r\n"),
            ("B", C0 + b"SUB a.* q q1\r\nSUB * q q2\r\nSUB a r r1\r\n"),
            ("C", C0 + b"SUB a 1\r\nSUB > q q3\r\n"),
            ("D", C0 + b"".join(pub(b"a", b"%d" % number)
                                for number in range(20)) + pub(b"a.x")),
            ("B", b"UNSUB q1\r\nUNSUB q2\r\n"), ("A", CLOSE),
            ("D", pub(b"a", b"once more") + pub(b"a.x")),
            ("C", CLOSE), ("D", pub(b"a", b"nobody") + pub(b"a.x")),
            name="queue groups"),
    Session("plain", ("A", CE + b"SUB a 1\r\nSUB a q q1\r\n"),
            ("B", C0 + b"SUB a q q2\r\nSUB a 1\r\n"),
            ("A", pub(b"a", b"1") + pub(b"a", b"2")),
            ("B", CLOSE), ("A", pub(b"a", b"3")),
            ("C", C0 + pub(b"a", b"4")), name="echo"),
    Session("plain", ("A", CH + b"SUB a 1\r\n"), ("B", C0 + b"SUB a 1\r\n"),
            ("C", CH + hpub(b"a", HEAD, b"body", b"r") +
             hpub(b"a", HEAD, b"") + hpub(b"a", b"", b"x") +
             hpub(b"a", b"junk", b"x") + pub(b"a", b"plain")),
            ("B", CH + hpub(b"a", HEAD, b"x")), ("A", C0 + pub(b"a")),
            name="headers"),
    Session("plain", ("A", CN + b"SUB in.* 1\r\nSUB in.1 q q1\r\n"),
            ("A", pub(b"a", b"x", b"in.1") + hpub(b"a", HEAD, b"x", b"in.2") +
             pub(b"a", b"x", b"out.1") + pub(b"a", b"x", b"in.a.b")),
            ("B", C0 + b"SUB a q q2\r\n"), ("A", pub(b"a", b"x", b"in.1")),
            ("B", pub(b"in.1", b"answer")), ("B", CLOSE),
            ("A", pub(b"a", b"x", b"in.1")), name="no responders"),
    Session("plain", ("A", CNE + b"SUB r 1\r\nSUB a 2\r\nSUB b q q1\r\n"),
            ("B", CNE + b"SUB b q q2\r\n"), ("B", pub(b"b", b"x", b"r")),
            ("A", pub(b"a", b"x", b"r") + pub(b"r", b"x", b"r") +
             pub(b"b", b"x", b"r")), ("B", CLOSE),
            ("A", pub(b"b", b"x", b"r")),
            name="no responders, no echo"),
    Session("plain", ("A", CN + b"SUB r 1\r\nSUB a q q1\r\nUNSUB q1 2\r\n"),
            ("B", CN + b"SUB r 1\r\n"),
            ("B", b"".join(pub(b"a", b"%d" % number, b"r")
                           for number in range(4))),
            name="no responders, queue member with a max"),
    Session("plain", ("A", CV + b"SUB a 1\r\nSUB a 1\r\nSUB a. 2\r\n"
                           b"UNSUB 9\r\nUNSUB 1 2\r\n" + pub(b"a") +
                      pub(b"_GR_.x") + pub(b"a", b"x", b"_R_.x") + pub(b"a") +
                      pub(b"a") + b"PONG\r\n+OK\r\nINFO {}\r\n"),
            name="verbose"),
    Session("plain", ("A", CP + b"SUB > 1\r\n" + pub(b"a.*") + pub(b"a..b") +
                      pub(b">") + pub(b"a.b", b"x", b"r..*") + pub(b"a*.b")),
            name="pedantic"),
    Session("plain", ("A", CP + b"SUB > 1\r\n"), ("A", b"PUB a.> 3\r\nab"),
            ("A", b"c\r\n" + pub(b"$NRG.x") + pub(b"$NRG.") + pub(b"$NRG")),
            name="pedantic, in pieces"),
    Session("plain", ("A", C0 + b"SUB a 1\r\nSUB a 2\r\nSUB a 3\r\n"
                           b"SUB a 4\r\nUNSUB 1 3\r\nUNSUB 2 1\r\n"
                           b"UNSUB 3 0\r\nUNSUB 4 x\r\n"),
            ("B", C0 + b"".join(pub(b"a", b"%d" % number)
                                for number in range(5))),
            ("A", b"SUB b 1\r\nSUB a 2\r\nUNSUB 2 2\r\nUNSUB 2 5\r\n"),
            ("B", b"".join(pub(b"a", b"%d" % number)
                           for number in range(5, 12)) + pub(b"b")),
            ("A", b"UNSUB 2 4\r\nUNSUB 1\r\n"), ("B", pub(b"a") + pub(b"b")),
            name="UNSUB with a max"),
    Session("plain", ("A", C0 + b"SUB a 1\r\nUNSUB 1 30\r\n"),
            ("B", C0 + b"PUB a 2\r\nxx\r\n" * 50), ("A", b"SUB a 1\r\n"),
            ("B", b"PUB a 2\r\nyy\r\n" * 3), name="a run over a max"),
    Session("plain", ("A", C0 + b"SUB a 1\r\nSUB b q q1\r\n"),
            ("A", CV + b"SUB a 1\r\n"), ("B", C0 + pub(b"a") + pub(b"b")),
            ("A", CE), ("A", pub(b"a") + b"SUB a 1\r\n" + pub(b"a")),
            ("B", pub(b"a")), ("A", b"CONNECT {\r\n"), name="CONNECT again"),
    Session("plain", ("A", C0 + b"SUB a 1\r\n"), ("B", C0 + b"PUB a 10\r\n01"),
            ("C", C0 + pub(b"a", b"c")), ("B", b"234567"),
            ("A", b"UNSUB 1\r\nSUB a 2\r\n"), ("B", b"89\r\nPUB a 4\r\nxy"),
            ("B", CLOSE), ("C", pub(b"a", b"d")), name="closed in a payload"),
    Session("plain", ("A", C0 + b"SUB a 1\r\n"), ("B", C0 + pub(b"a") +
                                                   b"SUB a 1\r\nPUB a"),
            ("B", CLOSE), ("C", CN + b"SUB r 1\r\n"), ("A", CLOSE),
            ("C", pub(b"a", b"x", b"r")), name="closed in a line"),
    Session("plain", ("A", b"SUB a _sys_ 1\r\nSUB a..b 1\r\nSUB a.>.b 1\r\n"
                           b"SUB >.a 1\r\nSUB . 1\r\nSUB * _sys_ 2\r\n"
                           b"SUB \xff\x00\"\\\x7f\xc2\xa0\xc3\xa9 _sys_ 3\r\n"
                           + pub(b"_GR_.\"\\\x01\x07\x0b\xff\xe2\x80\xa8") +
                           pub(b"_GR_.") + pub(b"_R_.x") +
                           pub(b"x", b"y", b"_R_.") +
                           pub(b"x", b"y", b"_GR_.a'b") +
                           pub(b"x", b"y", b"_GR_.") +
                           pub(b"x", b"y", b"$JS.ACK.\xf0\x9f\x98\x80") +
                           pub(b"x", b"y", b"$JS.ACK.")),
            name="errors that leave it open"),
    Session("user", ("A", auth("u", "p") + b"SUB a 1\r\n"),
            ("B", auth("u", "x")), ("C", b"PING\r\n"), ("D", b"INFO {}\r\n"),
            ("E", b"CONNECT {}\r\n"), ("A", pub(b"a") + CV + pub(b"a")),
            ("A", b'CONNECT {"pass":null}\r\nCONNECT {"pass":"P"}\r\n'),
            name="user and password"),
    Session("user", ("A", b"c"), ("B", b"coNNect" + auth("u", "p")[7:]),
            ("A", b"ONNECT\t"), ("A", auth("u", "p")[8:] + pub(b"a")),
            ("C", b"CONNECT {\r\n"), ("D", b"Cx"),
            ("E", b'CONNECT {"user":"u","pass":"p","protocol":3}\r\n'),
            name="credentials in pieces"),
    Session("token", ("A", TOKEN % b"s3cr3t" + b"SUB a 1\r\n" + pub(b"a")),
            ("B", TOKEN % b"s3cr3T"), ("C", TOKEN % b""), ("D", C0),
            ("A", TOKEN % b"s3cr3t" + pub(b"a") + b"SUB a 1\r\n" + pub(b"a")),
            ("A", TOKEN % b"x"), name="token"),
    Session("payload", ("A", CH + b"SUB a 1\r\n" + pub(b"a", b"x" * 16)),
            ("B", CH + hpub(b"a", b"h" * 8, b"y" * 8) +
             hpub(b"a", b"h" * 8, b"y" * 9)), ("A", pub(b"a", b"x" * 17)),
            ("C", C0 + b"PUB a 999999999\r\n"), name="max_payload"),
    Session("line", ("A", C0 + b"SUB " + b"a" * 148 + b" 1\r\n" +
                     b"SUB " + b"b" * 149 + b" 1\r\n"),
            ("B", C0 + b"SUB " + b"c" * 151), ("C", b"PING" + b" " * 150 +
                                               b"\r\nPING" + b" " * 151),
            ("D", C0 + b"PUB " + b" " * 146 + b"a 0\r\n\r\n" +
             b"PUB  " + b" " * 148 + b"a 0\r\n\r\n"),
            ("E", b"-ERR " + b"x" * 160 + b"\r\n"), name="max_control_line"),
    Session("subs", ("A", C0 + b"SUB a 1\r\nSUB a 2\r\nSUB a 3\r\n"
                           b"SUB a 1\r\nUNSUB 1 1\r\nSUB a 4\r\n" + pub(b"a") +
                           b"SUB b 4\r\nSUB b. 5\r\nSUB c _sys_ 6\r\n" +
                           pub(b"b") + pub(b"a")),
            ("B", C0 + b"SUB a 1\r\nSUB a q q1\r\nSUB a q q2\r\n"),
            name="max_subscriptions"),
    Session("tokens", ("A", C0 + b"SUB a.b.c 1\r\nSUB a.b.> 2\r\n"
                             b"SUB a.b.c.d 3\r\nSUB ... 4\r\n"
                             b"SUB a.b.c.> q 5\r\nSUB .. 6\r\n" +
                       pub(b"a.b.c.d") + pub(b"a.b.c")),
            name="max_subscription_tokens"),
    Session("headers", ("A", CH + b"SUB a 1\r\n" + pub(b"a")),
            ("B", CN), ("A", hpub(b"a", HEAD)), name="no_header_support"),
    Session("connections", ("A", C0), ("B", C0), ("C", b"SUB a 1\r\n"),
            ("D", OPEN), ("C", pub(b"a")), ("A", CLOSE),
            ("E", C0 + pub(b"a")), name="max_connections"),
    Session("plain", ("A", C0 + b"SUB a 1\r\n"),
            ("B", C0 + pub(b"a", b"x" * 100000)),
            ("C", C0 + pub(b"a", b"y" * 1048576)),
            ("B", C0 + b"PUB a 1048577\r\n" + b"z" * 2000),
            name="large payloads"),
    Session("plain", ("A", C0 + b"".join(
        b"SUB a.%s %d\r\n" % (b"*" if number % 2 else b">", number)
        for number in range(40)) + b"".join(
            b"SUB *.b g%d g%d\r\n" % (number, number)
            for number in range(20))), ("B", C0 + pub(b"a.b") * 3),
            name="many subscriptions for one message"),
]

# What the two once answered differently.
FOUND = [
    Session("plain", ("A", b"-ERR \r\nPING\r\n")),
    Session("plain", ("A", b"-ERR \t\r\n")),
    # Output was dropped when an error without a text closed.
    Session("plain", ("A", C0 + b"".join(b"SUB a %d\r\n" % sid
                                         for sid in range(60))),
            ("B", C0 + pub(b"a", b"x" * 17000) * 2),
            ("A", pub(b"a") + b"HPUB", b" x\r\n")),
]

# Those of the vectors that wait for a timer stay where they are.
TIMED = {"V186", "V187", "V216"}
NAMES = {"K0": "plain", "K1": "user", "K2": "token", "K4": "payload",
         "K6": "subs", "K10": "headers", "K11": "tokens"}


def from_vector(vector):
    session = Session(NAMES.get(vector.config, vector.config),
                      name=vector.number)
    session.steps = [(conn, tuple(pieces)) for conn, pieces in vector.steps]
    return session


SESSIONS = FEATURES + FOUND + [from_vector(vector) for vector in VECTORS
                               if vector.number not in TIMED]
