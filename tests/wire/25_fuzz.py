#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A whole natsd under fire.  Rude clients, made up from a seed, do all that
the protocol does not want; polite ones next to them, in the same workers and
in others, must lose nothing, get nothing twice or out of order, and get each
503 that is due.  No process may die.

  25_fuzz.py [--seconds N] [--seed TEXT] [-w 1,2,4] [--rude N]

Every number of workers takes N seconds (20).  The same seed makes the same
rude clients in the same order; when they meet the others is left to chance.
"""

import argparse
import os
import random
import re
import select
import socket
import struct
import sys
import threading
import time
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
from natsdtest import *  # noqa: E402,F403
from vectors import CLOSE, OPEN, VECTORS  # noqa: E402

# Rings of the smallest size, little memory, impatient timers: what is rare
# otherwise happens all the time.
CONF = {
    "max_pending": "8MB", "ping_interval": "5s", "ping_max": 3,
    "write_deadline": "2s", "ring_memory": "4MB", "memory_max": "128MB",
    "max_connections": 2000, "max_subscriptions": 3000,
}
# What reloads change, back and forth.
RELOADS = [
    {}, {"max_payload": "512KB"}, {"max_control_line": 1024}, {"debug": True},
    {"max_subscriptions": 500}, {"ping_interval": "4s"}, {"trace": True},
    {"no_fast_producer_stall": True}, {"max_subscription_tokens": 20},
]

HELD_MAX = 30  # connections that a rude thread leaves open
BATCH_BYTES = 600000  # of a polite publisher, at most


# ------------------------------------------------------------- the polite

def payload(number, size):
    """Tells its number; the rest depends on it."""
    head = b"%08d" % number
    return head + bytes([97 + number % 26]) * size


class Polite:
    """Connections in every worker, and rounds of what they do."""

    def __init__(self, server, seed):
        self.server = server
        self.rng = random.Random("polite " + seed)
        self.name = b"w.%x" % self.rng.getrandbits(64)
        self.stream = self.name + b".s"
        self.group = self.name + b".g"
        self.service = self.name + b".svc"
        # Too many tokens for a wildcard of theirs.
        self.nobody = self.name + b".x" * 12
        self.number = 0
        self.rounds = self.messages = 0
        slots = server.worker_slots()
        on = server.connect_on
        self.publishers = [on(slot, CH) for slot in slots]
        self.readers = [on(slot, CH) for slot in slots]
        self.members = [on(slot, CH) for slot in slots * 2]
        self.servants = [on(slot, CH) for slot in slots]
        self.askers = [on(slot, CN) for slot in slots]
        for reader in self.readers:
            reader.sub(self.stream + b" s")
        for member in self.members:
            member.sub(b"%s q%s m" % (self.group, self.name))
        for number, servant in enumerate(self.servants):
            servant.sub(b"%s.%d r" % (self.service, number))
        for number, asker in enumerate(self.askers):
            asker.sub(b"%s.in%d.* a" % (self.name, number))

    def batch(self, subject):
        """Numbered messages: the bytes to send, and what comes of them."""
        rng = self.rng
        data, wanted, room = [], [], BATCH_BYTES
        run = rng.random() < 0.3
        size = rng.choice((0, 10, 100, 1000))
        header = reply = None
        for _ in range(rng.randint(1, 60)):
            if not run:
                size = rng.choice((0, 1, 10, 100, 1000, 5000))
                if rng.random() < 0.02:
                    size = rng.choice((17000, 70000, 200000, 400000))
                header = rng.choice((None, None, b"NATS/1.0\r\nA: b\r\n\r\n"))
                reply = rng.choice((None, None, self.name + b".re"))
            if size > room:
                continue
            room -= size
            self.number += 1
            body = payload(self.number, size)
            data.append(hpub(subject, header, body, reply) if header
                        else pub(subject, body, reply))
            wanted.append((subject, reply, header, body))
        return b"".join(data), wanted

    def publish(self, client, data):
        """In pieces; the PONG says that all is on its way."""
        data += PING
        at = 0
        while at < len(data):
            step = self.rng.choice((1, 7, 100, 5000, 1 << 16, 1 << 20))
            if len(data) - at > 20 * step:
                step = len(data) - at
            client.send(data[at:at + step])
            at += step
        got = client.event()
        equal(got, PONG, "%r: after a batch" % client)

    def message(self, client):
        got = client.event()
        check(isinstance(got, Message), "%r: expected a message, got %r",
              client, got)
        return got.subject, got.reply, got.header, got.payload

    def round_stream(self):
        data, wanted = self.batch(self.stream)
        self.publish(self.rng.choice(self.publishers), data)
        for reader in self.readers:
            for want in wanted:
                got = self.message(reader)
                check(got == want, "%r: expected message %s (%d bytes), got "
                      "%s (%d bytes)", reader, show(want[3], 20),
                      len(want[3]), show(got[3], 20), len(got[3]))
        self.messages += len(wanted) * len(self.readers)

    def round_group(self):
        data, wanted = self.batch(self.group)
        self.publish(self.rng.choice(self.publishers), data)
        left = {want[3]: want for want in wanted}
        end = time.monotonic() + TIMEOUT
        while left:
            for member in self.members:
                last = b""
                for got in member.messages():
                    want = left.pop(got.payload, None)
                    check(want == (got.subject, got.reply, got.header,
                                   got.payload),
                          "%r: not expected, or twice: %r", member, got)
                    check(got.payload[:8] > last, "%r: %r after %r", member,
                          got, last)
                    last = got.payload[:8]
            check(time.monotonic() < end, "%d of %d messages did not come "
                  "to the group, first %s", len(left), len(wanted),
                  show(min(left, default=b""), 40))
        self.messages += len(wanted)

    def round_request(self):
        rng = self.rng
        who = rng.randrange(len(self.askers))
        asker, other = self.askers[who], rng.randrange(len(self.servants))
        inbox = b"%s.in%d." % (self.name, who)
        asked, data = [], b""
        for _ in range(rng.randint(1, 20)):
            self.number += 1
            served = rng.random() < 0.5
            subject = b"%s.%d" % (self.service, other) if served \
                else self.nobody
            asked.append((served, b"%s%d" % (inbox, self.number)))
            data += pub(subject, payload(self.number, 20), asked[-1][1])
        # The 503s stand in front of the PONG.
        asker.send(data + PING)
        for served, reply in asked:
            if not served:
                asker.expect(no_responders(reply, b"a", self.nobody))
        equal(asker.event(), PONG, "after requests")
        servant, answers = self.servants[other], b""
        for served, reply in asked:
            if served:
                equal(self.message(servant)[1], reply, "reply subject")
                answers += pub(reply, b"answer to " + reply)
        servant.send(answers + PING)
        equal(servant.event(), PONG, "after answers")
        for served, reply in asked:
            if served:
                equal(self.message(asker)[3], b"answer to " + reply, "answer")
        self.messages += len(asked)

    def round_visitor(self):
        """Somebody new, for a moment."""
        self.number += 1
        subject = b"%s.v%d" % (self.name, self.number)
        client = self.server.client(unix=self.rng.random() < 0.5)
        client.send(C0 + b"SUB %s 1\r\n" % subject + pub(subject) + PING)
        client.expect(msg(subject, b"1") + PONG)
        if self.rng.random() < 0.5:
            client.close()
        else:
            client.abandon()

    def tend(self):
        """Those who had nothing to do answer PINGs too."""
        for client in self.everyone():
            while select.select([client.sock], [], [], 0)[0]:
                check(client.fill(client.deadline()), "%r: end of file after "
                      "%s", client, show(client.buf))
            while client.buf.startswith(PING):
                del client.buf[:len(PING)]
                client.pong()
            check(PING.startswith(client.buf), "%r: not asked for: %s",
                  client, show(client.buf))

    def run(self, until):
        rounds = (self.round_stream, self.round_stream, self.round_group,
                  self.round_request, self.round_visitor)
        tended = 0
        while not until():
            self.rng.choice(rounds)()
            self.rounds += 1
            if time.monotonic() - tended > 0.5:
                self.tend()
                tended = time.monotonic()

    def everyone(self):
        return (self.publishers + self.readers + self.members +
                self.servants + self.askers)

    def nothing_more(self):
        for client in self.everyone():
            client.send(PING)
            equal(client.event(), PONG, "%r: at the end" % client)

    def forgotten(self):
        """Nobody is subscribed any more where the rude ones were."""
        asker, inbox = self.askers[0], self.name + b".in0.last"
        for subject in SUBJECTS:
            def gone():
                asker.send(pub(subject, b"x", inbox) + PING)
                got = asker.event()
                if got == PONG:
                    return False
                equal(asker.event(), PONG, "after the 503")
                return True
            wait_for(gone, "the subscribers of %r to be gone" % subject)


# --------------------------------------------------------------- the rude

SUBJECTS = [b"f.a", b"f.b", b"f.a.b", b"f.c.d.e", b"f", b"f.longer.than.a.cell"
            b".of.the.index.has.room.for.in.its.sixty.four.bytes"]
PATTERNS = SUBJECTS + [b"f.*", b"f.>", b"f.*.b", b"f.a.>", b"f.c.*.*", b"*.a",
                       b"f..a", b"f.", b".f", b"f.>.a", b"f.*x", b"*"]
WORDS = [b"CONNECT ", b"PUB ", b"HPUB ", b"SUB ", b"UNSUB ", b"PING\r\n",
         b"PONG\r\n", b"+OK\r\n", b"-ERR x\r\n", b"INFO {}\r\n", b"\r\n",
         b"\r", b"\n", b" ", b"\t", b"0", b"1", b"-1", b"999999999",
         b"1000000000", b"4294967296", b"\0", b"\xff", b"{", b"}", b'"',
         b"null", b"f.a", b"NATS/1.0\r\n\r\n", b"pub ", b"SUB\t"]
STREAMS = [b"".join(piece for step in vector.steps for piece in step[1]
                    if piece not in (OPEN, CLOSE)) for vector in VECTORS]
CONNECTS = [C0, C1, CH, CN, CV, CP, CE, CNE, b"", b"CONNECT {}\r\n",
            b'CONNECT {"verbose":true,"pedantic":true,"headers":true}\r\n',
            b'CONNECT {"verbose":false,"name":"%s"}\r\n' % (b"n" * 3000)]


class Rude:
    """Makes clients of a seed, one after the other, until told to stop."""

    def __init__(self, server, seed, number, polite):
        self.server, self.number = server, number
        self.seed = "%s/%d" % (seed, number)
        self.stream = polite.stream
        self.rng = None
        self.count = 0
        self.what = ""
        self.held = []
        self.kinds = [getattr(self, name) for name in sorted(dir(self))
                      if name.startswith("kind_")]

    def __repr__(self):
        return "rude client %s/%d (%s)" % (self.seed, self.count, self.what)

    # what is said

    def subject(self):
        if self.rng.random() < 0.9:
            return self.rng.choice(SUBJECTS)
        return b"f.%d" % self.rng.randrange(1000)

    def pattern(self):
        if self.rng.random() < 0.8:
            return self.rng.choice(PATTERNS)
        return b"f.%d.%d" % (self.rng.randrange(50), self.rng.randrange(50))

    def one_line(self):
        rng = self.rng
        dice = rng.random()
        size = rng.choice((0, 0, 1, 10, 100, 1000, 20000, 100000))
        body = rng.choice((b"x", b"\r\n", b"PUB f.a 1\r\n", b"\0")) * size
        body = body[:size]
        reply = rng.choice((None, None, b"f.re", self.subject()))
        if dice < 0.45:
            return pub(self.subject(), body, reply)
        if dice < 0.6:
            return hpub(self.subject(), b"NATS/1.0\r\n\r\n", body, reply)
        sid = b"%d" % rng.randrange(20)
        if dice < 0.8:
            queue = rng.choice((b"", b"", b" q", b" another"))
            return b"SUB %s%s %s\r\n" % (self.pattern(), queue, sid)
        if dice < 0.9:
            most = rng.choice((b"", b" 1", b" 5", b" 0", b" x"))
            return b"UNSUB %s%s\r\n" % (sid, most)
        return rng.choice((PING, PONG, b"+OK\r\n", self.greeting()))

    def greeting(self):
        return self.rng.choice(CONNECTS)

    def session(self, most=40):
        return self.greeting() + b"".join(
            self.one_line() for _ in range(self.rng.randint(1, most)))

    def damage(self, data):
        """A few mutations."""
        rng = self.rng
        data = bytearray(data)
        for _ in range(rng.randint(1, 6)):
            at = rng.randint(0, len(data))
            end = min(len(data), at + rng.choice((1, 2, 10, 100)))
            dice = rng.randrange(6)
            if dice == 0:
                del data[at:end]
            elif dice == 1:
                data[at:at] = rng.choice(WORDS)
            elif dice == 2:
                data[at:end] = rng.choice(WORDS)
            elif dice == 3:
                data[at:at] = data[at:end]
            elif dice == 4 and at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            elif dice == 5:
                del data[at:]
        return bytes(data)

    @staticmethod
    def tame(data):
        """No `>` that would match what the polite ones use."""
        return re.sub(rb"(?<!f\.)(?<!f\.a\.)>", b"}", data)

    # how it is said

    def connect(self):
        unix = self.rng.random() < 0.3
        if unix:
            sock = socket.socket(socket.AF_UNIX)
        else:
            sock = socket.socket(socket.AF_INET)
        if self.rng.random() < 0.3:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(TIMEOUT)
        sock.connect(self.server.socket_path if unix else self.server.address)
        sock.setblocking(False)
        return sock

    def send(self, sock, data, reads=True, limit=0.4, tame=True):
        """Cut at random; False if the server has closed or takes no more."""
        rng = self.rng
        if tame:
            data = self.tame(data)
        pieces = rng.choice((1, 1, 2, 5, 30))
        cuts = sorted(rng.randint(0, len(data)) for _ in range(pieces - 1))
        end = time.monotonic() + limit
        for start, stop in zip([0] + cuts, cuts + [len(data)]):
            while start < stop:
                try:
                    start += sock.send(data[start:stop])
                except BlockingIOError:
                    pass
                except OSError:
                    return False
                if reads and not self.read(sock):
                    return False
                if time.monotonic() > end:
                    return False
                if start < stop:
                    select.select([sock] if reads else [], [sock], [], 0.02)
        return True

    def read(self, sock):
        """What there is; False at end of file."""
        try:
            return sock.recv(1 << 18) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    def end(self, sock, hold=0.2):
        """One of the ways to leave."""
        rng = self.rng
        dice = rng.random()
        if dice < hold:
            self.held.append(sock)
            if len(self.held) > HELD_MAX:
                self.end(self.held.pop(rng.randrange(len(self.held))), 0)
            return
        if dice < 0.5:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                            struct.pack("ii", 1, 0))
        elif dice < 0.75:
            self.half_close(sock)
        sock.close()

    def half_close(self, sock):
        """The server must close too, once it has said what it has to."""
        try:
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            return
        end = time.monotonic() + TIMEOUT
        while self.read(sock):
            check(time.monotonic() < end, "%r: half-closed, but the server "
                  "does not close", self)
            select.select([sock], [], [], 0.1)

    # kinds of rudeness

    def kind_valid(self):
        sock = self.connect()
        self.send(sock, self.session(), reads=self.rng.random() < 0.8)
        self.end(sock)

    def kind_damaged(self):
        sock = self.connect()
        self.send(sock, self.damage(self.session()))
        self.end(sock)

    def kind_vector(self):
        sock = self.connect()
        data = b"".join(self.rng.choice(STREAMS) for _ in range(3))
        if self.rng.random() < 0.7:
            data = self.damage(data)
        self.send(sock, data)
        self.end(sock)

    def kind_garbage(self):
        rng = self.rng
        sock = self.connect()
        if rng.random() < 0.5:
            data = bytes(rng.getrandbits(8) for _ in range(
                rng.choice((1, 10, 1000, 5000))))
        else:
            data = b"".join(rng.choice(WORDS) for _ in range(
                rng.randint(1, 200)))
        self.send(sock, data)
        self.end(sock)

    def kind_silence(self):
        self.end(self.connect(), 0.7)

    def kind_huge_line(self):
        rng = self.rng
        sock = self.connect()
        verb = rng.choice((b"PUB f.a ", b"SUB ", b"CONNECT {", b"-ERR ", b"",
                           b"PING ", b"SUB f."))
        fill = rng.choice((b"x", b"f.", b" ", b"[", b"\r", b"*."))
        size = rng.choice((4000, 4096, 5000, 70000, 1000000))
        self.send(sock, verb + (fill * size)[:size] +
                  rng.choice((b"", b"\r\n", b" 1\r\n")))
        self.end(sock)

    def kind_huge_payload(self):
        rng = self.rng
        sock = self.connect()
        size = rng.choice((100000, 500000, 1000000, 1048576, 1048577,
                           64 << 20, 999999999))
        part = (b"y" * min(size, 2000000))[:rng.choice((0, 10, 60000,
                                                        2000000))]
        line = b"PUB f.a %d\r\n" % size
        if rng.random() < 0.3:
            line = b"HPUB f.a %d %d\r\n" % (rng.choice((size, 12)), size)
        self.send(sock, CH + b"SUB f.> 1\r\n" + line + part + b"\r\n")
        self.end(sock, 0.5)

    def kind_sub_flood(self):
        rng = self.rng
        sock = self.connect()
        data = [C0]
        for number in range(rng.choice((100, 1000, 4000))):
            queue = rng.choice((b"", b" q"))
            data.append(b"SUB f.%d.%d%s %d\r\n" % (
                rng.randrange(100), rng.randrange(100), queue, number))
            if rng.random() < 0.4:
                data.append(b"UNSUB %d%s\r\n" % (
                    rng.randrange(number + 1), rng.choice((b"", b" 2"))))
        self.send(sock, b"".join(data), limit=1)
        self.end(sock)

    def kind_deaf(self):
        """Subscribes to much, never reads."""
        rng = self.rng
        sock = self.connect()
        wide = b"SUB %s 1\r\nSUB %s.* 2\r\n" % (
            self.stream, self.stream.rsplit(b".", 1)[0]) \
            if rng.random() < 0.5 else b""
        data = C0 + wide + b"SUB f.> 3\r\n" + pub(b"f.a", b"z" * 1000) * \
            rng.choice((10, 1000, 4000))
        # The wide ones hear of the others' streams; they answer nothing.
        self.send(sock, data, reads=False, tame=False, limit=0.6)
        self.end(sock, 0.9)

    def kind_crowd(self):
        rng = self.rng
        crowd = [self.connect() for _ in range(rng.choice((5, 30, 100)))]
        for sock in crowd:
            if rng.random() < 0.5:
                self.send(sock, rng.choice((b"P", C0, b"SUB f.a ", b"\r\n",
                                            C0 + b"SUB f.a q 1\r\n",
                                            b"PUB f.a 10\r\nabc")))
        rng.shuffle(crowd)
        for sock in crowd:
            self.end(sock, 0.02)

    def kind_drops(self):
        """A byte at a time."""
        rng = self.rng
        sock = self.connect()
        data = self.tame(self.damage(self.session(3)))[:200]
        for at in range(len(data)):
            try:
                sock.send(data[at:at + 1])
            except OSError:
                break
            if rng.random() < 0.1 and not self.read(sock):
                break
        self.end(sock)

    def kind_questions(self):
        """Requests that nobody, or only its own kind, will answer."""
        rng = self.rng
        sock = self.connect()
        data = [CN, b"SUB f.re 1\r\n"]
        if rng.random() < 0.5:
            data.append(b"SUB f.q q 2\r\nUNSUB 2 %d\r\n" % rng.randint(1, 9))
        for _ in range(rng.randint(1, 100)):
            data.append(pub(rng.choice((b"f.q", b"f.none", b"f.a")),
                            b"?" * rng.choice((1, 100)), b"f.re"))
            if rng.random() < 0.2:
                data.append(PING)
        self.send(sock, b"".join(data))
        self.end(sock)

    def kind_connects(self):
        """CONNECT over and over, JSON damaged."""
        sock = self.connect()
        data = b"".join(self.rng.choice(CONNECTS) for _ in range(5))
        self.send(sock, self.damage(data) if self.rng.random() < 0.7
                  else data)
        self.end(sock)

    # all of it

    def step(self):
        self.count += 1
        self.rng = random.Random("%s/%d" % (self.seed, self.count))
        kind = self.rng.choice(self.kinds)
        self.what = kind.__name__[5:]
        kind()

    def run(self, until):
        try:
            while not until():
                self.step()
        finally:
            for sock in self.held:
                sock.close()
            self.held = []


# ------------------------------------------------------------------ one run

class Run:
    """One number of workers."""

    def __init__(self, workers, seed, seconds, rude):
        self.workers, self.seconds, self.nrude = workers, seconds, rude
        self.seed = "%s/%d" % (seed, workers)
        self.stop = threading.Event()

    def watch(self, server, tasks, pids, rng):
        """Until the time is over or somebody fails; reloads now and then."""
        end = time.monotonic() + self.seconds
        reload_at = time.monotonic() + 2
        while time.monotonic() < end:
            if any(task.error for task in tasks):
                return
            equal(server.worker_pids(), pids, "processes of the workers")
            if time.monotonic() > reload_at:
                server.reload(dict(CONF, **rng.choice(RELOADS)))
                reload_at = time.monotonic() + rng.uniform(0.5, 4)
            time.sleep(0.1)

    def play(self, server):
        polite = Polite(server, self.seed)
        rude = [Rude(server, self.seed, number, polite)
                for number in range(self.nrude)]
        pids = server.worker_pids()
        tasks = [Background(one.run, self.stop.is_set)
                 for one in [polite] + rude]
        try:
            self.watch(server, tasks, pids, random.Random(self.seed))
            self.stop.set()
            for task in tasks:
                task.done()
            polite.nothing_more()
            polite.forgotten()
            equal(server.worker_pids(), pids, "processes of the workers")
        except BaseException:
            self.stop.set()
            print("    at that time: %s" % ", ".join(map(repr, rude)))
            raise
        finally:
            for client in polite.everyone():
                client.abandon()
        return polite, rude

    def main(self):
        server = Server(CONF, self.workers)
        begun = time.monotonic()
        try:
            polite, rude = self.play(server)
            server.stop()
        except BaseException as error:
            for line in server.log().splitlines()[-30:]:
                print("    log: " + line[:300])
            for frame in traceback.extract_tb(error.__traceback__)[-4:]:
                print("    %s:%d %s" % (os.path.basename(frame.filename),
                                        frame.lineno, frame.name))
            print("FAIL: %d worker(s), --seed %s: %s: %s" % (
                self.workers, self.seed.rsplit("/", 1)[0],
                type(error).__name__, error))
            sys.stdout.flush()
            server.kill()
            server.remove()
            return False
        print("PASS: %d worker(s), %.0f s: %d rude clients; %d rounds and %d "
              "messages of the polite ones" % (
                  self.workers, time.monotonic() - begun,
                  sum(one.count for one in rude), polite.rounds,
                  polite.messages), flush=True)
        return True


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--seed", default="%x" % random.getrandbits(32))
    parser.add_argument("-w", default="1,2,4", help="numbers of workers")
    parser.add_argument("--rude", type=int, default=3, help="threads")
    args = parser.parse_args()
    if program() is None or REFERENCE:
        print("SKIP: no natsd to test (set NATSD)")
        return 77
    print("--seed %s" % args.seed, flush=True)
    done = [Run(int(number), args.seed, args.seconds, args.rude).main()
            for number in args.w.split(",")]
    return 0 if all(done) else 1


if __name__ == "__main__":
    sys.exit(main())
