#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Bad input: each gets its error, the others notice nothing, memory is
bounded.  NATSD_TEST_FULL makes the large ones larger."""

import os
import random
import resource
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
from natsdtest import *  # noqa: E402,F403

suite = Suite("bad input")

FULL = bool(os.environ.get("NATSD_TEST_FULL"))
UNKNOWN = err("Unknown Protocol Operation")
LINE = err("maximum control line exceeded")
PAYLOAD = err("Maximum Payload Violation")
MB = 1 << 20


class Others:
    """A pair of clients that must notice nothing."""

    def __init__(self, env):
        self.subject = env.subj("others")
        self.a, self.b = env.pair()
        self.a.sub(self.subject + b" 1")
        self.count = 0

    def fine(self):
        self.count += 1
        text = b"%d" % self.count
        self.b.pub(self.subject, text)
        self.a.expect(msg(self.subject, b"1", text))


def rude(env, data, answer, connect=C0, mode="whole"):
    """Send to a fresh connection; it must answer so and close."""
    client = env.server.client(connect, unix=mode == "bytes")
    try:
        try:
            if mode == "bytes":
                client.send_bytewise(data)
            else:
                client.send(data)
        except OSError:
            pass
        got = client.until_eof()
        check(got == answer, "sent %s, expected %s, got %s", show(data),
              show(answer), show(got))
    finally:
        client.abandon()


GARBAGE = [
    b"\x00", b"\xff\xfe\xfd", b"\n", b"\r\n", b" ", b"\t", b"@", b"pub",
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00",
    b"SSH-2.0-OpenSSH_9.2\r\n", b"PUBLISH a 1\r\n", b"SUBS a 1\r\n",
    b"UNSUBB 1\r\n", b"PINGPONG", b"HPUBB a 1 1\r\n", b"MSG a 1 1\r\nx\r\n",
    b"HMSG a 1 0 0\r\n\r\n", b"HMSG a 1 1 1\r\n", b"RMSG", b"LS+ a\r\n",
    b"A+ x\r\n", b"+ERR\r\n", b"-OK\r\n", b"-ERR\r\n", b"PUB\r\n",
    b"SUB\r\n", b"UNSUB\n", b"HPUB\r\n", b"PUB\n", b"QUIT\r\n",
]


@suite.scenario("garbage is an unknown operation, at its first wrong byte",
                pairs=True)
def garbage(env):
    others = Others(env)
    for data in GARBAGE:
        if data in (b"pub", b"PINGPONG"):
            continue  # the beginning of something
        if REFERENCE and data.startswith(b"HMSG"):
            continue
        for mode in ("whole", "bytes"):
            rude(env, data, UNKNOWN, mode=mode)
        others.fine()


SILENT = [
    b"PUB a -1\r\n", b"PUB a +1\r\nx\r\n", b"PUB a 1.0\r\nx\r\n",
    b"PUB a 0x1\r\nx\r\n", b"PUB a 1e3\r\n", b"PUB a 2147483648\r\n",
    b"PUB a 4294967297\r\nx\r\n", b"PUB a 18446744073709551617\r\nx\r\n",
    b"PUB a 99999999999999999999999999\r\n", b"PUB a 0000000001\r\nx\r\n",
    b"PUB a b c 1\r\nx\r\n", b"PUB a \r\n", b"PUB \r\n", b"PUB  \t \r\n",
    b"PUB a b\r\n", b"PUB a 1\xff\r\nx\r\n", b"PUB a \x001\r\nx\r\n",
    b"HPUB a 1 -1\r\n", b"HPUB a -1 1\r\n", b"HPUB a 2 1\r\n",
    b"HPUB a 4294967296 4294967297\r\n", b"HPUB a 1\r\n",
    b"HPUB a b c 1 1\r\n", b"HPUB a x 1\r\n", b"HPUB \r\n",
    b"SUB a\r\n", b"SUB a b c d\r\n", b"SUB \r\n", b"SUB  \t\r\n",
    b"UNSUB \r\n", b"UNSUB 1 2 3\r\n",
    b"-ERR 'x'\r\n", b"-ERR \r\n", b"INFO\r\n", b"INFO {\r\n",
    b"CONNECT\r\n", b"CONNECT \r\n", b"CONNECT {\r\n", b"CONNECT {]\r\n",
    b"CONNECT {\"a\":}\r\n", b"CONNECT {\"verbose\":tru}\r\n",
    b"CONNECT {\"verbose\":1}\r\n", b"CONNECT {\"name\":\"\\u12\"}\r\n",
    b"CONNECT {\"name\":\"x}\r\n", b"CONNECT {\"name\":\"\\x41\"}\r\n",
    b"CONNECT {\"protocol\":1e400}\r\n", b"CONNECT {\"protocol\":1.5}\r\n",
    b"CONNECT {\"protocol\":99999999999999999999}\r\n",
    b"CONNECT {\"protocol\":\"1\"}\r\n", b"CONNECT {} {}\r\n",
    b"CONNECT {\"a\":1,}\r\n", b"CONNECT {'a':1}\r\n", b"CONNECT 5\r\n",
    b"CONNECT \"x\"\r\n", b"CONNECT [{}]\r\n", b"CONNECT {\"a\" 1}\r\n",
    b"CONNECT {\"user\":[]}\r\n", b"CONNECT {\"a\":01}\r\n",
    b"CONNECT {\"a\":-}\r\n", b"CONNECT {\"a\":+1}\r\n",
    b"CONNECT {\"a\":.5}\r\n", b"CONNECT {\"a\":\"\x00\"}\r\n",
]


@suite.scenario("wrong arguments, sizes and JSON close silently", pairs=True)
def silent(env):
    others = Others(env)
    for data in SILENT + [b"PUB \n", b"SUB \t\n"] * (not REFERENCE):
        for mode in ("whole", "bytes"):
            rude(env, data, b"", CH, mode)
        others.fine()


TRAILERS = [
    b"PUB %s 2\r\nokk\r\n", b"PUB %s 2\r\nok\rx", b"PUB %s 2\r\nokx\n",
    b"PUB %s 0\r\nx", b"PUB %s 0\r\n\rx", b"PUB %s 3\r\nok\r\nPING\r\n",
    b"PUB %s 1\r\nxPUB", b"HPUB %s 1 2\r\nokk\r\n", b"HPUB %s 0 0\r\nPING",
]


@suite.scenario("wrong payload trailers: error, nothing delivered",
                pairs=True)
def trailers(env):
    others = Others(env)
    for data in TRAILERS:
        for mode in ("whole", "bytes"):
            rude(env, data % others.subject, UNKNOWN, CH, mode)
        others.fine()


@suite.scenario("what is queued arrives before the end", pairs=True)
def queued(env):
    subject = env.subj()
    block = b"y" * 60000
    for last, answer in ((b"HPUB x\r\n", b""), (b"CONNECT {\r\n", b""),
                         (b"PUB a x\r\n", b""), (b"-ERR 'x'\r\n", b""),
                         (b"Z", UNKNOWN)):
        lazy = env.client(C0, rcvbuf=16384)
        publisher = env.near(lazy)
        lazy.sub(subject + b" 1")
        # More than the kernel takes from natsd while nobody reads.
        publisher.send(pub(subject, block) * 100)
        publisher.expect_nothing()
        lazy.send(pub(b"nobody") + last)
        got = lazy.until_eof()
        equal(len(got), len(msg(subject, b"1", block)) * 100 + len(answer),
              "bytes before the end by " + show(last))
        publisher.close()


@suite.scenario("half a line, then close; half a line, then silence",
                pairs=True)
def halves(env):
    others = Others(env)
    held = []
    for data in (b"P", b"PIN", b"CONN", b"CONNECT {\"verb", b"SUB fo",
                 b"SUB %s 1\r" % others.subject, b"UNSUB ", b"PUB a",
                 b"PUB %s 10\r\n012" % others.subject,
                 b"PUB %s 3\r\nabc" % others.subject,
                 b"PUB %s 3\r\nabc\r" % others.subject,
                 b"HPUB a 12 14\r\nNATS/"):
        client = env.server.client(CH)
        client.send(data)
        client.close()
        others.fine()
        held.append(env.client(CH))
        held[-1].send(data)
        others.fine()
    for client in held:
        check(not client.hung_up(), "%r: closed", client)
        client.reset()
    others.fine()


@suite.scenario("endless lines end at max_control_line", pairs=True)
def endless(env):
    others = Others(env)
    for start in (b"SUB ", b"PUB ", b"HPUB ", b"UNSUB ", b"CONNECT ",
                  b"CONNECT {\"name\":\"", b"-ERR ", b"INFO "):
        rude(env, start + b"z" * 200000, LINE)
        others.fine()
    if not REFERENCE:
        for start in (b"PING", b"PONG ", b"+OK"):
            rude(env, start + b"z" * 200000, LINE)
        for start in (b"SUB", b"PUB", b"CONNECT"):
            rude(env, start + b" " * 200000, LINE)
        others.fine()


@suite.scenario("JSON as deep as a line allows", pairs=True,
                conf={"max_control_line": "1MB"})
def deep(env):
    others = Others(env)
    depth = 400000
    for opening in (b"[", b"{\"a\":"):
        rude(env, b"CONNECT {\"x\":" + opening * (depth // len(opening)) +
             b"\r\n", b"")
        others.fine()
    client = env.client(connect=None)
    client.send(b'CONNECT {"verbose":false,"x":' + b"[" * 1000 + b"]" * 1000 +
                b"}\r\n" + PING)
    client.expect(PONG)
    client.send(b'CONNECT {"verbose":false,' +
                b",".join(b'"k%d":%d' % (n, n) for n in range(50000)) +
                b"}\r\n" + PING)
    client.expect(PONG)


@suite.scenario("sizes above max_payload", pairs=True)
def oversize(env):
    others = Others(env)
    for data in (b"PUB a 1048577\r\n", b"PUB a 999999999\r\n",
                 b"HPUB a 0 999999999\r\n", b"HPUB a 999999999 999999999\r\n",
                 b"PUB a b 67108865\r\n"):
        rude(env, data, PAYLOAD, CH)
        others.fine()


@suite.scenario("random bytes, and protocol with random damage", pairs=True)
def fuzz(env):
    others = Others(env)
    dice = random.Random(4711 + env.number)
    valid = [b"PING\r\n", b"PONG\r\n", b"SUB f.* 1\r\n", b"SUB f.> q 2\r\n",
             b"UNSUB 1 5\r\n", b"UNSUB 2\r\n", b"PUB f.a 3\r\nabc\r\n",
             b"PUB f.b r.1 0\r\n\r\n", b"HPUB f.c 12 14\r\nNATS/1.0\r\n\r\nok"
             b"\r\n", b'CONNECT {"headers":true,"no_responders":true}\r\n']
    for turn in range(150):
        data = bytearray(b"".join(dice.choice(valid)
                                  for _ in range(dice.randint(1, 12))))
        for _ in range(dice.randint(0, 4)):
            at = dice.randrange(len(data))
            kind = dice.random()
            if kind < 0.4:
                data[at] = dice.randrange(256)
            elif kind < 0.7:
                del data[at:at + dice.randint(1, 3)]
            else:
                data[at:at] = bytes(dice.randrange(256)
                                    for _ in range(dice.randint(1, 5)))
            if not data:
                break
        client = env.server.client(CH)
        try:
            pos = 0
            while pos < len(data):
                step = dice.randint(1, len(data))
                client.send(data[pos:pos + step])
                pos += step
        except OSError:
            pass
        client.close()
        if turn % 10 == 0:
            others.fine()
    others.fine()


@suite.scenario("bare LF everywhere, as nc sends it", pairs=True,
                reference=False)
def netcat(env):
    subject = env.subj()
    a, b = env.pair(connect=None)
    a.send(b"CONNECT {\"verbose\":false}\nSUB %s 1\nPING\n" % subject)
    a.expect(PONG)
    b.send(b"CONNECT {}\nPUB %s 5\nhello\nPUB %s re.ply 0\n\nPING\n" %
           (subject, subject))
    b.expect(b"+OK\r\n+OK\r\n+OK\r\nPONG\r\n")
    a.expect(msg(subject, b"1", b"hello") +
             msg(subject, b"1", b"", b"re.ply"))
    # CRLF and LF mixed, cut at every byte
    c = env.near(a, connect=None, unix=True)
    c.send_bytewise(b'CONNECT {"verbose":false,"headers":true}\n'
                    b"PUB %s 3\r\nabc\nPUB %s 3\nabc\r\n"
                    b"HPUB %s 12 13\nNATS/1.0\r\n\r\nx\nPING\n" %
                    (subject, subject, subject))
    c.expect(PONG)
    a.expect(msg(subject, b"1", b"abc") * 2 + msg(subject, b"1", b"x"))
    # a payload that ends in LF or CR itself
    c.send(b"PUB %s 4\r\nabc\n\nPUB %s 4\nabc\n\r\nPING\n" %
           (subject, subject))
    c.expect(PONG)
    a.expect(msg(subject, b"1", b"abc\n") * 2)


@suite.scenario("connections that say nothing", workers=(1, 4))
def mute(env):
    count = 10000 if FULL else 2000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count + 200:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE,
                               (min(hard, count + 1000), hard))
        except (ValueError, OSError):
            pass
        if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < count + 200:
            raise Skip("too few descriptors")
    server = env.own_server({})
    others = Others.__new__(Others)
    others.subject, others.count = env.subj("others"), 0
    others.a = env.client(server=server)
    others.b = env.near(others.a, server=server)
    others.a.sub(others.subject + b" 1")
    before = memory(server.tree())
    crowd = []
    try:
        for n in range(count):
            crowd.append(server.client())
            if n % 500 == 0:
                others.fine()
        others.fine()
        after = memory(server.tree())
        if before is not None and after is not None and not REFERENCE:
            each = (after - before) / count
            check(each <= 4096, "%d bytes for each silent connection", each)
    finally:
        for client in crowd:
            client.abandon()
    others.fine()
    # all of them are gone: as many come in again
    crowd = [server.client() for _ in range(200)]
    for client in crowd:
        client.close()
    others.fine()


def publish_part(client, subject):
    client.send(b"PUB %s 1000000\r\n" % subject + b"x" * 900000)


@suite.scenario("partial payloads are bounded by memory_max", workers=(1, 2),
                pairs=True, reference=False,
                conf={"memory_max": "32MB", "max_pending": "8MB",
                      "write_deadline": "1s"})
def partial(env):
    others = Others(env)
    before = memory(env.server.tree())
    crowd = [env.server.client(C0) for _ in range(120)]
    try:
        for client in crowd:
            client.timeout = 0.05
            try:
                publish_part(client, others.subject)
            except (Failure, OSError):
                pass
            others.fine()
        after = memory(env.server.tree())
        if before is not None and after is not None:
            check(after - before <= 48 * MB, "memory grew by %d MB",
                  (after - before) / MB)
        # small messages pass all the time, and a large one in the end
        others.fine()
    finally:
        for client in crowd:
            client.abandon()
    others.b.pub(others.subject, b"y" * 1000000)
    others.a.expect(msg(others.subject, b"1", b"y" * 1000000))
    others.fine()


@suite.scenario("clients that never read are bounded by memory_max",
                workers=(1, 2), pairs=True, reference=False,
                conf={"memory_max": "32MB", "max_pending": "8MB",
                      "write_deadline": "1s"})
def unread(env):
    others = Others(env)
    subject = env.subj()
    before = memory(env.server.tree())
    lazy = [env.server.client(C0, rcvbuf=16384) for _ in range(30)]
    try:
        for client in lazy:
            client.sub(subject + b" 1")
        publisher = env.client()
        for _ in range(100):
            publisher.send(pub(subject, b"z" * 60000))
            publisher.expect_nothing()
            others.fine()
        after = memory(env.server.tree())
        if before is not None and after is not None:
            check(after - before <= 64 * MB, "memory grew by %d MB",
                  (after - before) / MB)
    finally:
        for client in lazy:
            client.abandon()
    others.fine()


@suite.scenario("a full index: error for that client alone", workers=(1, 2),
                reference=False, conf={"index_memory": "4MB"})
def full_index(env):
    full = err("maximum subscriptions exceeded")
    others = Others(env) if env.workers == 1 else None
    a = env.client()
    made = 0
    errors = 0
    while not errors:
        check(made < 200000, "%d subscriptions in 4 MB", made)
        a.send(b"".join(b"SUB full.%d.%d %d\r\n" % (env.number, n, n)
                        for n in range(made, made + 5000)) + PING)
        made += 5000
        while True:
            got = a.event()
            if got == PONG:
                break
            equal(got, full, "answer to a SUB")
            errors += 1
    check(made - errors > 1000, "only %d subscriptions", made - errors)
    a.pub(b"full.%d.0" % env.number)
    a.expect(msg(b"full.%d.0" % env.number, b"0"))
    if others:
        others.fine()
    else:
        b = env.on(a.worker, other=True)
        b.sub(env.subj() + b" 1")
        a.pub(env.subj())
        b.expect(msg(env.subj(), b"1"))
    a.send(b"".join(b"UNSUB %d\r\n" % n for n in range(made)) + PING)
    a.expect(PONG)

    def again():
        a.send(b"SUB new.%d n\r\nUNSUB n\r\n" % env.number + PING)
        return a.line() == PONG or a.line() != PONG
    wait_for(again, "room for a subscription")


if __name__ == "__main__":
    sys.exit(suite.main())
