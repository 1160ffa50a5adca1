#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Order of each publisher's messages, in all sizes, over all ways."""

import os
import random
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
from natsdtest import *  # noqa: E402,F403

suite = Suite("order", conf={"max_payload": "64MB", "max_pending": "256MB",
                             "write_deadline": "60s"})

# rings so small that they are full and wrap all the time
TIGHT = {"max_payload": "4MB", "max_pending": "64MB", "ring_memory": "3MB",
         "write_deadline": "60s"}


def payload(publisher, number, size):
    """A payload of that size that says whose and which it is."""
    head = b"%s %d %d " % (publisher, number, size)
    if len(head) >= size:
        return head
    unit = head + bytes(range(256))
    return (unit * (size // len(unit) + 1))[:size]


def verify(message):
    """(publisher, number) of a payload; every byte of it is looked at"""
    publisher, number, size, _ = message.payload.split(b" ", 3)
    check(message.payload == payload(publisher, int(number), int(size)),
          "payload of %s spoilt", message)
    return publisher, int(number)


def read_all(client, count, copies=1):
    """Read so many messages; those of a publisher come in order, each
    number as often as the client has subscriptions."""
    last = {}
    for _ in range(count * copies):
        publisher, number = verify(client.message())
        seen, times = last.get(publisher, (-1, copies))
        if number == seen:
            check(times < copies, "%r: number %d comes too often",
                  client, number)
            last[publisher] = number, times + 1
        else:
            check(number == seen + 1 and times == copies,
                  "%r: number %d of %s after %d (%d times)", client, number,
                  publisher, seen, times)
            last[publisher] = number, 1
    return True


def sizes(dice, count, large):
    """Mostly small ones, some as large as can be."""
    found = []
    for _ in range(count):
        kind = dice.random()
        if kind < 0.80:
            found.append(dice.randint(1, 200))
        elif kind < 0.97:
            found.append(dice.randint(200, 20000))
        else:
            found.append(dice.randint(20000, large))
    return found


def stream(env, subscribers, publishers, count, large, subject, copies=1):
    """All publishers send at once, all subscribers read at once."""
    readers = [Background(read_all, client, count * len(publishers), copies)
               for client in subscribers]

    def write(client, name, dice):
        batch = []
        for number, size in enumerate(sizes(dice, count, large)):
            batch.append(pub(subject, payload(name, number, size)))
            if len(batch) == 20 or size > 100000:
                client.send(b"".join(batch))
                batch = []
        client.send(b"".join(batch))
        client.expect_nothing()

    writers = [Background(write, client, b"p%d" % number,
                          random.Random(env.number * 10 + number))
               for number, client in enumerate(publishers)]
    for task in writers + readers:
        task.done()
    for client in subscribers:
        client.expect_nothing()


@suite.scenario("mixed sizes up to 1 MB", pairs=True)
def mixed(env):
    subject = env.subj()
    a, b = env.pair()
    a.sub(subject + b" 1")
    stream(env, [a], [b], 600, 1000000, subject)


@suite.scenario("mixed sizes through small rings", pairs=True, conf=TIGHT)
def tight(env):
    subject = env.subj()
    a, b = env.pair()
    a.sub(subject + b" 1")
    stream(env, [a], [b], 600, 1000000, subject)


@suite.scenario("publishers and subscribers in every worker")
def everywhere(env):
    subject = env.subj()
    subscribers = env.each()
    for client in subscribers:
        client.sub(subject + b" 1")
    stream(env, subscribers, env.each(), 150, 300000, subject)


@suite.scenario("everywhere through small rings", conf=TIGHT)
def everywhere_tight(env):
    subject = env.subj()
    subscribers = env.each()
    for client in subscribers:
        client.sub(subject + b" 1")
    stream(env, subscribers, env.each(), 150, 300000, subject)


@suite.scenario("two subscriptions of one connection", pairs=True)
def overlapping(env):
    base = env.subj("o")
    a, b = env.pair()
    a.sub(base + b".x 1", base + b".* 2", base + b".> 3")
    stream(env, [a], [b], 300, 50000, base + b".x", copies=3)


@suite.scenario("plain and group of one connection, runs of equal size",
                pairs=True)
def plain_and_group(env):
    subject = env.subj()
    a, b = env.pair()
    a.sub(subject + b" 1", subject + b" q 2", subject + b" r 3")
    reader = Background(read_all, a, 2000, 3)
    b.send(b"".join(pub(subject, payload(b"p", n, 32))
                    for n in range(2000)))
    b.expect_nothing()
    reader.done()


@suite.scenario("subjects that alternate, one receiver", pairs=True)
def alternating(env):
    base = env.subj("a")
    a, b = env.pair()
    a.sub(*[b"%s.%d %d" % (base, n, n) for n in range(7)])
    reader = Background(read_all, a, 3000)
    dice = random.Random(env.number)
    b.send(b"".join(pub(b"%s.%d" % (base, dice.randint(0, 6)),
                        payload(b"p", n, 32)) for n in range(3000)))
    b.expect_nothing()
    reader.done()


@suite.scenario("a run of equal messages, a large one, a run again",
                pairs=True)
def run_and_large(env):
    subject = env.subj()
    a, b = env.pair()
    a.sub(subject + b" 1")
    reader = Background(read_all, a, 5 * 401)
    number = 0
    for _ in range(5):
        batch = []
        for size in [40] * 200 + [3000000] + [40] * 200:
            batch.append(pub(subject, payload(b"p", number, size)))
            number += 1
        b.send(b"".join(batch))
    b.expect_nothing()
    reader.done()


@suite.scenario("8 MB", pairs=True)
def eight(env):
    subject = env.subj()
    a, b = env.pair()
    a.sub(subject + b" 1")
    reader = Background(read_all, a, 7)
    for number, size in enumerate((10, 8 << 20, 10, 8 << 20, 8 << 20, 10,
                                   1 << 20)):
        b.pub(subject, payload(b"p", number, size))
    b.expect_nothing()
    reader.done()
    a.expect_nothing()


@suite.scenario("60 MB and 64 MB, small ones around them", pairs=True)
def sixty(env):
    subject = env.subj()
    a, b = env.pair()
    a.sub(subject + b" 1")
    reader = Background(read_all, a, 6)
    for number, size in enumerate((10, 60000000, 10, 100000, 64 << 20, 10)):
        b.pub(subject, payload(b"p", number, size))
    b.expect_nothing()
    reader.done()
    a.expect_nothing()


@suite.scenario("large messages of several publishers at once")
def large_crossing(env):
    subject = env.subj()
    subscribers = env.each()
    for client in subscribers:
        client.sub(subject + b" 1")
    publishers = env.each()[:3]
    readers = [Background(read_all, client, 3 * len(publishers))
               for client in subscribers]

    def write(client, name):
        for number in range(3):
            client.pub(subject, payload(name, number, 9000000 + number))
        client.expect_nothing()

    writers = [Background(write, client, b"p%d" % number)
               for number, client in enumerate(publishers)]
    for task in writers + readers:
        task.done()


@suite.scenario("others go on while a large message crosses", pairs=True)
def beside(env):
    subject, other = env.subj(), env.subj("other")
    a, b = env.pair()
    c, d = env.near(b), env.near(a)
    a.sub(subject + b" 1")
    c.sub(other + b" 1")
    reader = Background(read_all, a, 3)

    def large():
        for number in range(3):
            b.pub(subject, payload(b"p", number, 30000000))
        b.expect_nothing()

    writer = Background(large)
    for number in range(200):
        d.pub(other, b"%d" % number)
        c.expect(msg(other, b"1", b"%d" % number))
    writer.done()
    reader.done()


@suite.scenario("a publisher that dies inside a large message", pairs=True)
def dies(env):
    subject = env.subj()
    a, b = env.pair()
    a.sub(subject + b" 1")
    b.pub(subject, payload(b"p", 0, 5000000))
    b.send(b"PUB %s 8000000\r\n" % subject + b"x" * 7999999)
    read_all(a, 1)
    b.close()
    c = env.near(a)
    c.pub(subject, payload(b"q", 0, 9000000))
    read_all(a, 1)
    a.expect_nothing()


@suite.scenario("a subscriber that leaves inside a large message",
                pairs=True)
def leaves(env):
    subject = env.subj()
    a, b = env.pair()
    a.sub(subject + b" 1")
    c = env.near(b)
    c.sub(subject + b" 1")
    reader = Background(read_all, c, 4)
    writer = Background(lambda: [b.pub(subject, payload(b"p", n, 9000000))
                                 for n in range(4)])
    a.need(3000000, a.deadline())
    a.reset()
    writer.done()
    b.expect_nothing()
    reader.done()
    c.expect_nothing()


if __name__ == "__main__":
    sys.exit(suite.main())
