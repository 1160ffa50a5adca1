#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Corners of the engine: who waits is woken, who is closed harms nobody."""

import os
import re
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
from natsdtest import *  # noqa: E402,F403

suite = Suite("corners of the engine")

# rings of 256 KiB with two workers: a message above 128 KiB goes in pieces
SMALL = {"ring_memory": "3MB", "max_pending": "64MB", "watchdog": "0",
         "write_deadline": "60s"}
PENDING = {"max_pending": 1048576, "max_payload": 200000}


def cpu_seconds(pid):
    with open("/proc/%d/stat" % pid, "rb") as file:
        text = file.read()
    rest = text[text.rindex(b")") + 2:].split()
    return (int(rest[11]) + int(rest[12])) / os.sysconf("SC_CLK_TCK")


def expect_idle(server):
    """No worker does anything while nothing happens."""
    pids = server.worker_pids()
    time.sleep(0.3)
    before, begun = [cpu_seconds(pid) for pid in pids], time.monotonic()
    time.sleep(0.7)
    span = time.monotonic() - begun
    for pid, was in zip(pids, before):
        used = (cpu_seconds(pid) - was) / span
        check(used < 0.2, "an idle worker uses %d %% of a CPU", used * 100)


def numbered(subject, count, size):
    return b"".join(pub(subject, b"%d " % n + b"x" * size)
                    for n in range(count))


def read_numbers(client, count):
    for n in range(count):
        got = client.message()
        equal(int(got.payload.split()[0]), n, "number of a message")


@suite.scenario("an oversized message that fits at once: nobody sleeps over "
                "it", pairs=True, conf=SMALL, reference=False)
def oversized_at_once(env):
    subject = env.subj()
    a, b = env.pair()
    a.sub(subject + b" 1")
    begun = time.monotonic()
    for n in range(50):
        body = b"%d " % n + b"y" * 150000
        b.send(pub(subject, body) + PING)
        b.expect(PONG)
        a.expect(msg(subject, b"1", body))
    took = time.monotonic() - begun
    check(took < 2 * SLOW, "50 round trips took %.1f s", took)


@suite.scenario("a group's only member is full and drops: its worker goes on",
                pairs=True, reference=False,
                conf=dict(PENDING, no_fast_producer_stall=True))
def full_member(env):
    subject = env.subj()
    lazy = env.client(C0, rcvbuf=16384)
    publisher = env.near(lazy)
    friend = env.on(lazy.worker)
    lazy.sub(subject + b" q 1")
    for n in range(300):
        publisher.pub(subject, b"%d " % n + b"x" * 20000)
    publisher.expect_nothing()
    friend.expect_nothing()
    lazy.abandon()


@suite.scenario("a group's other member gets what a full one drops",
                pairs=True, reference=False,
                conf=dict(PENDING, no_fast_producer_stall=True))
def full_member_passed_over(env):
    subject = env.subj()
    lazy = env.client(C0, rcvbuf=16384)
    good = env.on(lazy.worker)
    publisher = env.near(lazy)
    lazy.sub(subject + b" q 1")
    good.sub(subject + b" q 1")
    count = 0
    for n in range(0, 2000, 20):
        publisher.send(b"".join(pub(subject, b"%d " % k + b"x" * 20000)
                                for k in range(n, n + 20)))
        publisher.expect_nothing()
        got = [int(m.payload.split()[0]) for m in good.messages()]
        equal(got, sorted(got), "order")
        count += len(got)
    # the lazy one takes what its sockets hold and 3/4 of max_pending
    check(count > 1300, "only %d of 2000 reached the one that reads", count)
    lazy.abandon()


@suite.scenario("a publisher that its own message closes: others get it whole",
                conf=PENDING, reference=False)
def closes_itself(env):
    subject = env.subj()
    first = env.client()
    first.sub(subject + b" 1")
    # subscribed last, served first
    own = env.on(first.worker, C0, rcvbuf=16384)
    own.sub(subject + b" 1")
    size = 150000
    received = Background(first.until, b"the end\r\n")

    def write():
        try:
            for n in range(200):
                head = b"PUB %s %d\r\n" % (subject, size)
                own.sock.sendall(head + bytes([65 + n % 26]) * 70000)
                own.sock.sendall(bytes([65 + n % 26]) * (size - 70000) +
                                 b"\r\n")
        except OSError:
            return
        raise Failure("the one that does not read was not closed")

    own.sock.settimeout(20 * SLOW)
    write()
    other = env.on(first.worker)
    other.pub(subject, b"the end")
    got = received.done()
    whole = re.findall(rb"MSG \S+ 1 150000\r\n([A-Z])([A-Z]+)\r\n", got)
    for n, (letter, rest) in enumerate(whole):
        check(rest == letter * (size - 1), "message %d is spoilt", n)
    equal(len(got), len(whole) * len(msg(subject, b"1", b"x" * size)) +
          len(msg(subject, b"1", b"the end")), "bytes received")


@suite.scenario("who waits for two rings does not spin for one",
                conf=SMALL, workers=(4,), reference=False)
def no_spin(env):
    subject = env.subj()
    publisher = env.client()
    slots = [s for s in env.server.worker_slots() if s != publisher.worker]
    readers = [env.on(s) for s in slots[:2]]
    for reader in readers:
        reader.sub(subject + b" 1")
    count = 800
    hearers = []
    with Stopped(pid_of(env.server, slots[1])):
        with Stopped(pid_of(env.server, slots[0])):
            sender = Background(publisher.send,
                                numbered(subject, count, 2000) + PING)
            time.sleep(0.5)
        # one of the two rings has room now, the other has not
        hearers.append(Background(read_numbers, readers[0], count))
        time.sleep(0.3)
        pid = pid_of(env.server, publisher.worker)
        before, begun = cpu_seconds(pid), time.monotonic()
        time.sleep(1)
        used = (cpu_seconds(pid) - before) / (time.monotonic() - begun)
        check(used < 0.3, "the worker that waits uses %d %% of a CPU",
              used * 100)
    hearers.append(Background(read_numbers, readers[1], count))
    for task in hearers + [sender]:
        task.done()
    publisher.expect(PONG)


@suite.scenario("a publisher that waits for a ring is not stale",
                workers=(2,), reference=False,
                conf=dict(SMALL, ping_interval="1s", ping_max=2))
def waits_not_stale(env):
    subject = env.subj()
    a = env.client()
    b = env.on(a.worker, other=True)
    a.sub(subject + b" 1")
    with Stopped(pid_of(env.server, a.worker)):
        sender = Background(b.send, numbered(subject, 1500, 2000))
        time.sleep(5)
        check(not b.hung_up(), "the publisher was closed")
    read_numbers(a, 1500)
    sender.done()


@suite.scenario("large payloads that end in a bare LF, cut anywhere",
                pairs=True, reference=False)
def bare_lf(env):
    subject = env.subj()
    a, b = env.pair()
    a.sub(subject + b" 1")
    for size in (40000, 200000):
        body = b"z" * size
        line = b"PUB %s %d\n" % (subject, size)
        whole = line + body + b"\n"
        for cut in (len(line) + 100, len(whole) - 1):
            # nothing behind it
            b.send(whole[:cut])
            time.sleep(0.05)
            b.send(whole[cut:])
            a.expect(msg(subject, b"1", body))
            # the next line behind it at once
            b.send(whole[:cut])
            time.sleep(0.05)
            b.send(whole[cut:] + PING)
            a.expect(msg(subject, b"1", body))
            b.expect(PONG)


@suite.scenario("all replies leave after a half-close", pairs=True,
                conf=SMALL, reference=False)
def half_close(env):
    subject = env.subj()
    a, b = env.pair()
    a.sub(subject + b" 1")
    count, body = 300, b"w" * 100000
    sender = Background(b.send, pub(subject, body) * count)
    sender.done()
    b.expect_nothing()
    a.send(PING)
    a.half_close()
    got = a.until_eof()
    equal(len(got), count * len(msg(subject, b"1", body)) + len(PONG),
          "bytes that came before the end")
    check(got.endswith(PONG), "no PONG at the end")


@suite.scenario("the socket takes the last large message: no deadline runs",
                pairs=True, reference=False,
                conf={"write_deadline": "1s", "max_pending": "64MB"})
def no_deadline_left(env):
    pairs = [env.pair() for _ in range(8)]
    subject = env.subj()
    for number, (a, b) in enumerate(pairs):
        a.sub(subject + b".%d 1" % number)
    count, body = 60, b"v" * 90000

    def read(client, number):
        left = count * len(msg(subject + b".%d" % number, b"1", body))
        end = client.deadline()
        while left > 0:
            check(client.fill(end, 65536), "closed with %d to come", left)
            left -= len(client.buf)
            client.buf.clear()

    tasks = [Background(read, a, n) for n, (a, _) in enumerate(pairs)]

    def write(client, number):
        for _ in range(count):
            client.pub(subject + b".%d" % number, body)

    tasks += [Background(write, b, n) for n, (_, b) in enumerate(pairs)]
    for task in tasks:
        task.done()
    time.sleep(2.5)
    for a, _ in pairs:
        check(not a.hung_up(), "one that had read all was closed:\n%s",
              env.server.log()[-500:])


@suite.scenario("waiting publishers that are closed by others' messages",
                workers=(2, 4), reference=False,
                conf=dict(SMALL, max_pending=1048576, max_payload=200000))
def closed_while_waiting(env):
    subject = env.subj()
    far = env.client()
    far.sub(subject + b" 1")
    good = env.on(far.worker, other=True)

    def read():
        end = far.deadline()
        while far.fill(end, 1 << 20):
            if far.buf.endswith(b"the end\r\n"):
                return
            del far.buf[:-100]

    reading = Background(read)
    lazy = [env.on(good.worker, C0, rcvbuf=16384) for _ in range(6)]
    for client in lazy:
        client.sub(subject + b" 1")
    stop = time.monotonic() + 3

    def write(client):
        client.sock.settimeout(20 * SLOW)
        batch = pub(subject, b"x" * 3000) * 40
        try:
            while time.monotonic() < stop:
                client.sock.sendall(batch)
        except OSError:
            pass

    pid = pid_of(env.server, far.worker)
    tasks = [Background(write, client) for client in lazy + [good]]
    while time.monotonic() < stop:
        with Stopped(pid):
            time.sleep(0.05)
        time.sleep(0.05)
    for task in tasks:
        task.done()
    # the worker serves on: old and new clients
    good.send(pub(subject, b"the end") + PING)
    good.expect(PONG)
    env.on(good.worker).expect_nothing()
    reading.done()
    for client in lazy + [far]:
        client.abandon()
    expect_idle(env.server)


@suite.scenario("an oversized message that cannot be passed on: nobody waits "
                "for its room", workers=(4,), conf=SMALL, reference=False)
def oversized_pass_on(env):
    subject, flood = env.subj(), env.subj("flood")
    # rings that are at their beginning: what is oversized has room in them
    # then, though nobody reads
    server = env.own_server()
    first = env.client(server=server)
    publisher = env.on(first.worker, server=server, other=True)
    slot = [s for s in server.worker_slots()
            if s not in (first.worker, publisher.worker)][0]
    second = env.on(slot, server=server)
    local = env.on(first.worker, server=server)
    # nearly all of the group are in the first one's worker
    first.sub(*[subject + b" q %d" % n for n in range(100)])
    second.sub(flood + b" 1", subject + b" q 2")
    with Stopped(pid_of(server, slot)):
        sender = Background(local.send, numbered(flood, 500, 2000) + PING)
        time.sleep(0.3)
        with Stopped(pid_of(server, first.worker)):
            publisher.pub(subject, b"x" * 40000)  # more than half of a ring
            publisher.expect_nothing()
            first.reset()
        # its worker finds the members gone, and the other one in the slot
        # whose ring is full
        env.on(first.worker, server=server).expect_nothing()
    count = 0
    while count < 500:
        got = second.message()
        if got.sid == b"1":
            equal(int(got.payload.split()[0]), count, "number")
            count += 1
    sender.done()
    local.expect(PONG)


@suite.scenario("all is quiet after trouble", workers=(2, 4),
                reference=False, conf=dict(SMALL, max_payload=8388608))
def quiet(env):
    subject, inbox = env.subj(), b"_INBOX.%d" % env.number
    far = env.client()
    far.sub(subject + b" 1", subject + b".q q 2")
    near = [env.on(far.worker, CN, other=True) for _ in range(4)]
    for client in near:
        client.sub(inbox + b" 7")
    with Stopped(pid_of(env.server, far.worker)):
        # one with an oversized message, one that goes, one that waits for
        # an answer, one that is behind them
        near[0].sock.settimeout(0.5)
        near[1].sock.settimeout(0.5)
        for client, data in ((near[0], pub(subject, b"x" * 3000000)),
                             (near[1], pub(subject, b"y" * 2000) * 2000)):
            try:
                client.sock.sendall(data)
            except OSError:
                pass
        near[2].send(pub(subject + b".q", b"z", inbox) + PING)
        near[3].send(pub(subject + b".none", b"z", inbox) + PING)
        near[3].expect(no_responders(inbox, b"7", subject + b".none") + PONG)
        expect_idle(env.server)
        near[0].reset()
        near[1].reset()
        expect_idle(env.server)
        far.reset()
    near[2].until(PONG)  # far may be gone before or after its message
    near[3].expect_nothing()
    expect_idle(env.server)


if __name__ == "__main__":
    sys.exit(suite.main())
