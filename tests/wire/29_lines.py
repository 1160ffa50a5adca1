#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Control lines that come again and again, in turns and at random: whatever a
worker keeps of them, each message goes where the interest of the moment sends
it, as its receiver wants it."""

import os
import random
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
from natsdtest import *  # noqa: E402,F403

suite = Suite("lines that come again")

SUBJECTS = 6
SIZES = (0, 1, 16, 63, 64, 65, 200, 3000)
HEADER = b"NATS/1.0\r\nA: b\r\n\r\n"


class Stream:
    """Messages of one publisher, and what a receiver of all of them gets."""

    def __init__(self, env, publisher, headers=True, replies=True, seed=1):
        self.base = env.subj()
        self.publisher, self.count = publisher, 0
        self.headers, self.replies = headers, replies
        self.dice = random.Random(seed)

    def pattern(self):
        return self.base + b".*"

    def send(self, number):
        """Publish so many; (subject, header, payload, reply) of each."""
        sent, data = [], []
        for _ in range(number):
            subject = b"%s.%d" % (self.base, self.dice.randrange(SUBJECTS))
            payload = (b"%d " % self.count).ljust(self.dice.choice(SIZES),
                                                  b".")
            header = HEADER if self.headers and self.dice.randrange(
                4) == 0 else None
            reply = b"to.me" if self.replies and self.dice.randrange(
                4) == 0 else None
            sent.append((subject, header, payload, reply))
            data.append(pub(subject, payload, reply) if header is None else
                        hpub(subject, header, payload, reply))
            self.count += 1
        self.publisher.send(b"".join(data))
        self.publisher.expect_nothing()
        return sent


def want(sent, sid=b"1", headers=True):
    return b"".join(
        msg(subject, sid, payload, reply) if header is None or not headers
        else hmsg(subject, sid, header, payload, reply)
        for subject, header, payload, reply in sent)


def gets(client, sent, sid=b"1", headers=True):
    client.expect(want(sent, sid, headers))
    client.expect_nothing()


@suite.scenario("all kinds of messages in turns", pairs=True)
def kinds(env):
    for connect, headers in ((CH, True), (C0, False)):
        a, publisher = env.pair(connect, CH)
        stream = Stream(env, publisher, seed=2)
        a.sub(stream.pattern() + b" 1")
        for number in (1, 2, 3, 50, 2000):
            gets(a, stream.send(number), headers=headers)
        a.close()


@suite.scenario("other subscribers come and go", pairs=True)
def coming(env):
    a, publisher = env.pair(CH, CH)
    stream = Stream(env, publisher, seed=3)
    a.sub(stream.pattern() + b" 1")
    gets(a, stream.send(300))
    for _ in range(5):
        other = env.near(a, C0)
        other.sub(stream.pattern() + b" 77")
        sent = stream.send(100)
        gets(a, sent)
        gets(other, sent, b"77", False)
        other.close()
        gets(a, stream.send(100))
    a.send(b"UNSUB 1\r\n" + PING)
    a.expect(PONG)
    stream.send(100)
    a.expect_nothing()
    a.sub(stream.pattern() + b" 2")
    gets(a, stream.send(100), b"2")


@suite.scenario("a limit set in the middle holds", pairs=True)
def limit(env):
    a, publisher = env.pair(CH, CH)
    stream = Stream(env, publisher, seed=4)
    a.sub(stream.pattern() + b" 1")
    gets(a, stream.send(200))
    a.send(b"UNSUB 1 250\r\n" + PING)
    a.expect(PONG)
    gets(a, stream.send(100)[:50])
    stream.send(10)
    a.expect_nothing()


@suite.scenario("the receiver changes its mind about headers", pairs=True)
def minds(env):
    a, publisher = env.pair(CH, CH)
    stream = Stream(env, publisher, seed=5)
    for connect, headers in ((CH, True), (C0.replace(
            b"}", b',"headers":false}'), False), (CH, True)):
        a.send(connect)
        a.sub(stream.pattern() + b" 1")
        gets(a, stream.send(300), headers=headers)


@suite.scenario("a first CONNECT after SUB turns headers on", pairs=True)
def late_connect(env):
    a, publisher = env.pair(None, CH)
    subjects = [b"%s.%d" % (env.subj(), n) for n in range(3)]
    a.send(b"SUB %s.* 1\r\n" % env.subj() + PING)
    a.expect(b"+OK\r\n" + PONG)
    lines = b"".join(hpub(subject, HEADER) for subject in subjects) * 60
    publisher.send(lines)
    publisher.expect_nothing()
    a.expect(b"".join(msg(subject, b"1") for subject in subjects) * 60)
    a.connect(CH)
    publisher.send(lines)
    publisher.expect_nothing()
    a.expect(b"".join(hmsg(subject, b"1", HEADER)
                      for subject in subjects) * 60)


@suite.scenario("own messages, with and without echo")
def echo(env):
    both = env.client(CH)
    stream = Stream(env, both, seed=6)
    both.sub(stream.pattern() + b" 1")
    for connect, comes in ((CH, True), (CH.replace(b"}", b',"echo":false}'),
                                        False)):
        both.send(connect)
        both.sub(stream.pattern() + b" 1")
        for _ in range(300):
            subject = b"%s.%d" % (stream.base, stream.count % 3)
            stream.count += 1
            both.send(pub(subject, b"x"))
            if comes:
                both.expect(msg(subject, b"1", b"x"))
        both.expect_nothing()


@suite.scenario("requests in turns: taken, then refused", pairs=True)
def requests(env):
    asker, service = env.pair(CN, CH)
    subjects = [b"%s.%d" % (env.subj(), n) for n in range(3)]
    asker.sub(b"r.%d 9" % env.number)
    service.sub(*[b"%s %d" % (subjects[n], n) for n in range(3)])
    reply = b"r.%d" % env.number

    def ask(times):
        data = [pub(subjects[n % 3], b"q", reply) for n in range(times)]
        asker.send(b"".join(data) + PING)

    ask(60)
    asker.expect(PONG)
    service.expect(b"".join(msg(subjects[n % 3], b"%d" % (n % 3), b"q", reply)
                            for n in range(60)))
    service.send(b"UNSUB 0\r\nUNSUB 1\r\nUNSUB 2\r\n" + PING)
    service.expect(PONG)
    ask(6)
    asker.expect(b"".join(no_responders(reply, b"9", subjects[n % 3])
                          for n in range(6)) + PONG)


@suite.scenario("lines of all lengths to several receivers", pairs=True)
def lengths(env):
    dice = random.Random(7)
    first, publisher = env.pair(CH, CH)
    receivers = [first] + [env.near(first, connect) for connect in (CH, C0)]
    # short subjects, so that the shortest lines are among them
    base = b"abcdefghijklmnopqrstuvwxyz"[env.number % 26:][:1]
    for n, receiver in enumerate(receivers):
        receiver.sub(b"%s%d.* %s" % (base, n, b"1" * (1 + 19 * n)))
    subjects = [(n, b"%s%d.%s" % (base, n, b"x" * size))
                for n in range(3) for size in list(range(1, 20)) + [
                    26, 27, 28, 40, 41, 50, 55, 60]]
    for _ in range(3):
        sent, data = [[], [], []], []
        some = dice.sample(subjects, 6)
        for count in range(1500):
            # now and then all of them, else few in turns
            n, subject = dice.choice(some if count < 1200 else subjects)
            payload = (b"%d " % count).ljust(dice.choice(
                (4, 16, 17, 62, 63, 64, 65, 200, 254, 255, 256, 1000)), b".")
            sent[n].append(msg(subject, b"1" * (1 + 19 * n), payload))
            data.append(pub(subject, payload))
        publisher.send(b"".join(data))
        publisher.expect_nothing()
        for receiver, want_of in zip(receivers, sent):
            receiver.expect(b"".join(want_of))
            receiver.expect_nothing()


@suite.scenario("lines that come once, written in every way", pairs=True)
def once(env):
    publisher = None
    for sid in (b"1", b"s" * 16, b"s" * 17, b"s" * 20, b"s" * 21, b"s" * 60):
        for connect, headers in ((CH, True), (C0, False)):
            if publisher is None:
                a, publisher = env.pair(connect, CH)
            else:
                a = env.near(a, connect)
            base = b"%s.%d.%s" % (env.subj(), headers, sid)
            a.sub(base + b".> " + sid)
            data, wants, count = [], [], 0
            for size in (0, 5, 40, 63, 64, 65, 300, 3000):
                payload = b"p" * size
                for line in (b"PUB %s %d\r\n", b"PUB %s 0%d\r\n",
                             b"PUB %s 00000%d\r\n", b"PUB  %s %d\r\n",
                             b"PUB %s  %d\r\n", b"PUB %s %d \r\n",
                             b"pub %s %d\r\n", b"PUB\t%s\t%d\r\n",
                             b"PUB %s %d\n"):
                    for subject in (b"%s.%d" % (base, count),
                                    b"%s.%d.%s" % (base, count, b"y" * 40)):
                        data.append(line % (subject, size) + payload +
                                    b"\r\n")
                        wants.append(msg(subject, sid, payload))
                        count += 1
                subject = b"%s.%d" % (base, count)
                data.append(pub(subject, payload, b"to.me"))
                wants.append(msg(subject, sid, payload, b"to.me"))
                for line in (b"HPUB %s %d %d\r\n", b"HPUB %s 0%d %d\r\n",
                             b"HPUB %s %d 0%d\r\n"):
                    data.append(line % (subject, len(HEADER), len(HEADER) +
                                        size) + HEADER + payload + b"\r\n")
                    wants.append(
                        hmsg(subject, sid, HEADER, payload) if headers else
                        msg(subject, sid, payload))
                data.append(b"HPUB %s 0 %d\r\n" % (subject, size) + payload +
                            b"\r\n")
                wants.append(msg(subject, sid, payload))
            publisher.send(b"".join(data))
            publisher.expect_nothing()
            a.expect(b"".join(wants))
            a.expect_nothing()


@suite.scenario("what is wrong with a known line is seen", pairs=True)
def wrong(env):
    a = env.client()
    subject = env.subj()
    a.sub(subject + b".* 1")
    known = b"".join(pub(b"%s.%d" % (subject, n % 3), b"0123456789")
                     for n in range(90))
    got = b"".join(msg(b"%s.%d" % (subject, n % 3), b"1", b"0123456789")
                   for n in range(90))
    for bad in (b"PUB %s.0 10\r\n0123456789xx" % subject,
                b"PUB %s.0 10\r\n01234567890\r\n" % subject):
        publisher = env.near(a)
        publisher.send(known + bad + PING)
        publisher.expect(err("Unknown Protocol Operation"))
        publisher.expect_eof()
        a.expect(got)
        a.expect_nothing()
    # without the right to send headers
    publisher = env.near(a, CH)
    line = b"HPUB %s.0 12 12\r\nNATS/1.0\r\n\r\n\r\n" % subject
    publisher.send((line + pub(subject + b".1")) * 60 + PING)
    publisher.expect(PONG)
    a.expect((msg(subject + b".0", b"1", b"") +
              msg(subject + b".1", b"1")) * 60)
    publisher = env.near(a)
    publisher.send(pub(subject + b".1") + line)
    publisher.expect_eof()
    a.expect(msg(subject + b".1", b"1"))
    a.expect_nothing()


if __name__ == "__main__":
    sys.exit(suite.main())
