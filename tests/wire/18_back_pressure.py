#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Full rings: the publisher waits, nothing is lost, others go on."""

import os
import signal
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
from natsdtest import *  # noqa: E402,F403

suite = Suite("back-pressure")

SMALL = {"ring_memory": "3MB", "max_pending": "64MB", "watchdog": "0",
         "write_deadline": "60s"}


def numbered(subject, first, count, size):
    return b"".join(pub(subject, b"%d " % n + b"x" * size)
                    for n in range(first, first + count))


def read_numbers(client, count):
    for n in range(count):
        got = client.message()
        equal(int(got.payload.split()[0]), n, "number of a message")


@suite.scenario("a worker stands still with its ring full", conf=SMALL,
                workers=(2, 4), reference=False)
def full_ring(env):
    subject, local = env.subj(), env.subj("local")
    a = env.client()
    b = env.on(a.worker, other=True)
    friends = env.on(b.worker), env.on(b.worker)
    a.sub(subject + b" 1")
    friends[0].sub(local + b" 1")
    count, size = 1500, 2000
    with Stopped(pid_of(env.server, a.worker)):
        sender = Background(b.send, numbered(subject, 0, count, size) + PING)
        # those beside the publisher go on while it waits
        end = time.monotonic() + 1
        n = 0
        while time.monotonic() < end:
            friends[1].pub(local, b"%d" % n)
            friends[0].expect(msg(local, b"1", b"%d" % n))
            n += 1
        check(not b.hung_up(), "the publisher was closed")
        b.sock.setblocking(False)
        try:
            early = b.sock.recv(100)
        except BlockingIOError:
            early = b""
        b.sock.setblocking(True)
        equal(early, b"", "answer while its message has no room")
    read_numbers(a, count)
    sender.done()
    b.expect(PONG)
    a.expect_nothing()


@suite.scenario("two publishers and other subjects behind a full ring",
                conf=SMALL, workers=(2, 4), reference=False)
def two_publishers(env):
    subject = env.subj()
    a = env.client()
    publishers = [env.on(a.worker, other=True) for _ in range(2)]
    readers = [env.on(p.worker) for p in publishers]
    for number in range(2):
        a.sub(subject + b".%d %d" % (number, number))
        readers[number].sub(subject + b".%d 7" % number)
    with Stopped(pid_of(env.server, a.worker)):
        senders = [Background(p.send, numbered(subject + b".%d" % number, 0,
                                               1000, 2000) + PING)
                   for number, p in enumerate(publishers)]
        time.sleep(0.3)
    hearers = [Background(read_numbers, r, 1000) for r in readers]
    counts = [0, 0]
    for _ in range(2000):
        got = a.message()
        number = int(got.sid)
        equal(int(got.payload.split()[0]), counts[number], "number")
        counts[number] += 1
    for task in senders + hearers:
        task.done()
    for p in publishers:
        p.expect(PONG)


@suite.scenario("nobody gets a message twice or not at all", conf=SMALL,
                workers=(2, 4), reference=False)
def all_or_nothing(env):
    subject = env.subj()
    subscribers = env.each()
    for client in subscribers:
        client.sub(subject + b" 1")
    b = env.on(subscribers[0].worker, other=True)
    readers = [Background(read_numbers, c, 1500) for c in subscribers]
    with Stopped(pid_of(env.server, subscribers[0].worker)):
        sender = Background(b.send, numbered(subject, 0, 1500, 2000) + PING)
        time.sleep(0.3)
    for task in readers + [sender]:
        task.done()
    b.expect(PONG)
    for client in subscribers:
        client.expect_nothing()


@suite.scenario("the worker with the full ring dies", conf=SMALL,
                workers=(2, 4), reference=False)
def dies(env):
    server = env.own_server(deaths=True)
    subject = env.subj()
    a = env.client(server=server)
    b = env.on(a.worker, other=True, server=server)
    reader = env.on(b.worker, server=server)
    a.sub(subject + b" 1")
    reader.sub(subject + b" 1")
    hearing = Background(read_numbers, reader, 1500)
    pid = pid_of(server, a.worker)
    with Stopped(pid):
        sender = Background(b.send, numbered(subject, 0, 1500, 2000) + PING)
        time.sleep(0.3)
        os.kill(pid, signal.SIGKILL)
        a.expect_eof()
        hearing.done()
        sender.done()
        b.expect(PONG)
    reader.expect_nothing()


@suite.scenario("the publisher dies while it waits", conf=SMALL,
                workers=(2, 4), reference=False)
def publisher_dies(env):
    subject = env.subj()
    a = env.client()
    b = env.on(a.worker, other=True)
    a.sub(subject + b" 1")
    b.timeout = 0.5
    with Stopped(pid_of(env.server, a.worker)):
        try:
            b.send(numbered(subject, 0, 20000, 2000))
        except (Failure, OSError):
            pass
        b.reset()
        c = env.on(a.worker, other=True)
        c.send(PING)
        c.expect(PONG)
    c.send(pub(subject, b"end") + PING)
    c.expect(PONG)
    n = 0
    while True:
        got = a.message()
        if got.payload == b"end":
            break
        equal(int(got.payload.split()[0]), n, "number of a message")
        n += 1


@suite.scenario("large messages and a stalled subscriber", pairs=True,
                conf=SMALL, reference=False)
def large(env):
    subject = env.subj()
    a, b = env.pair()
    a.sub(subject + b" 1")
    sender = Background(b.send, numbered(subject, 0, 60, 900000) + PING)
    time.sleep(0.3)
    read_numbers(a, 60)
    sender.done()
    b.expect(PONG)


@suite.scenario("a stalled subscriber: all arrives, or a slow consumer",
                pairs=True, reference=False,
                conf=dict(SMALL, max_pending="4MB", write_deadline="5s"))
def stalled(env):
    subject = env.subj()
    a = env.client(C0, rcvbuf=16384)
    b = env.near(a)
    a.sub(subject + b" 1")
    start = len(env.server.log())
    b.send(numbered(subject, 0, 3000, 10000) + PING)
    b.expect(PONG)
    n = 0
    try:
        while n < 3000:
            got = a.message()
            equal(int(got.payload.split()[0]), n, "number of a message")
            n += 1
    except (Failure, OSError):
        check(a.eof, "neither all nor the end; %d came", n)
        env.server.wait_log("Slow Consumer Detected", start)


@suite.scenario("503 and barriers behind a full ring", conf=SMALL,
                workers=(2, 4), reference=False)
def barriers(env):
    subject, inbox = env.subj(), b"_INBOX.%d" % env.number
    a = env.client()
    b = env.on(a.worker, CN, other=True)
    a.send(b"SUB %s 1\r\nUNSUB 1 200\r\n" % subject + PING)
    a.expect(PONG)
    b.sub(inbox + b" 7")
    with Stopped(pid_of(env.server, a.worker)):
        # 200 are taken, 300 are refused there and end in a 503 each
        sender = Background(
            b.send, pub(subject, b"x" * 2000, inbox) * 500 + PING)
        time.sleep(0.3)
    want = msg(subject, b"1", b"x" * 2000, inbox) * 200
    a.expect(want)
    sender.done()
    b.expect(no_responders(inbox, b"7", subject) * 300 + PONG)
    a.expect_nothing()


@suite.scenario("the publisher's worker dies inside a large message",
                conf=SMALL, workers=(2, 4), reference=False)
def origin_dies(env):
    server = env.own_server(dict(SMALL, max_payload="16MB"), deaths=True)
    subject = env.subj()
    a = env.client(server=server)
    b = env.on(a.worker, other=True, server=server)
    a.sub(subject + b" 1")
    b.send(pub(subject, b"first") + PING)
    b.expect(PONG)
    a.expect(msg(subject, b"1", b"first"))
    origin = pid_of(server, b.worker)
    with Stopped(pid_of(server, a.worker)):
        # more than the ring holds: its fragments wait for room
        b.send(pub(subject, b"L" * 15000000))
        b.timeout = 0.5
        b.send(PING)
        os.kill(origin, signal.SIGKILL)
        b.expect_eof(TIMEOUT)
    # nothing of it comes, but what others send does
    a.expect_nothing()
    c = env.on(a.worker, other=True, server=server)
    c.send(pub(subject, b"M" * 10000000) + PING)
    a.expect(msg(subject, b"1", b"M" * 10000000))
    c.expect(PONG)
    a.expect_nothing()


@suite.scenario("input that waits for a ring counts against memory_max",
                workers=(2,), reference=False)
def parked_input(env):
    rings = (env.workers + 2) * (env.workers + 1) * 65536
    server = env.own_server({
        "ring_memory": rings, "max_payload": 65536, "watchdog": "0",
        "memory_max": env.workers << 19, "max_pending": 65536})
    subject = env.subj()
    a = env.client(server=server)
    b = env.on(a.worker, other=True, server=server)
    a.sub(subject + b" 1")
    batch = numbered(subject, 0, 60, 1000)
    many = [env.on(b.worker, server=server) for _ in range(80)]
    with Stopped(pid_of(server, a.worker)):
        for client in many:
            client.send(batch)
            b.send(PING)
            b.expect(PONG)  # who waits for nothing waits for nobody
        wait_for(lambda: b"most input waiting" in server.log().encode(),
                 "somebody to be closed")
    # who is left goes on where he was
    left = [client for client in many if not client.hung_up()]
    check(len(left) >= 5, "only %d of %d are left", len(left), len(many))
    for client in left:
        client.send(PING)
        client.expect(PONG)


@suite.scenario("a receiving worker dies inside a large message",
                conf=SMALL, workers=(2, 4), reference=False)
def receiver_dies(env):
    server = env.own_server(dict(SMALL, max_payload="16MB"), deaths=True)
    subject = env.subj()
    a = env.client(server=server)
    b = env.on(a.worker, other=True, server=server)
    others = [client for client in env.each(server=server)
              if client.worker != a.worker]
    for client in [a] + others:
        client.sub(subject + b" 1")
    pid = pid_of(server, a.worker)
    whole = msg(subject, b"1", b"L" * 15000000)
    hearing = [Background(client.expect, whole) for client in others]
    with Stopped(pid):
        b.send(pub(subject, b"L" * 15000000) + PING)
        os.kill(pid, signal.SIGKILL)
        a.expect_eof()
        for task in hearing:
            task.done()
        b.expect(PONG)
    for client in others:
        client.expect_nothing()


@suite.scenario("many publishers at full speed cut no reader that reads",
                pairs=True, workers=(1, 2), reference=False,
                conf={"max_payload": 65536})
def many_fast(env):
    """Short messages in long runs: each read() of a publisher brings many."""
    outrun_reader(env)


@suite.scenario("the same with little room for what a reader has pending",
                pairs=True, workers=(1, 2), reference=False,
                conf={"max_payload": 65536, "max_pending": "32MB"})
def many_fast_little_room(env):
    outrun_reader(env)


@suite.scenario("a reader that can read more holds nobody back",
                workers=(2,), reference=False,
                conf={"max_payload": 65536, "max_pending": "4MB"})
def caught_up(env):
    """Whoever was held back by a reader in another worker is on his way as
    soon as that reader has little pending: not a ring's worth of stalls
    later, 10 ms for each 64 KiB."""
    subject = env.subj()
    a = env.client()
    b = env.on(a.worker, other=True)
    a.sub(subject + b" 1")
    block = pub(subject, b"0123456789abcdef") * 60000
    left = len(msg(subject, b"1", b"0123456789abcdef")) * 60000 * 20
    start = time.monotonic()
    sender = Background(b.send, block * 20 + PING)
    while left > 0:
        a.sock.settimeout(TIMEOUT)
        got = len(a.sock.recv(1 << 20))
        check(got > 0, "the reader was cut with %d bytes to come", left)
        left -= got
    sender.done()
    b.expect(PONG)
    # 37 MB in: 5.9 s if each 64 KiB of it had to wait
    took = time.monotonic() - start
    check(took < 4 * SLOW, "it took %.1f s", took)


@suite.scenario("no ring holds more than an eighth of what may be pending",
                conf={"max_pending": "8MB"}, workers=(2,), reference=False)
def small_rings(env):
    folder = "/proc/%d/fd" % env.server.pid
    sizes = set()
    for fd in os.listdir(folder):
        path = os.path.join(folder, fd)
        if "natsd-ring" in os.readlink(path):
            sizes.add(os.stat(path).st_size)
    check(sizes and all(1 << 20 <= size <= (1 << 20) + 65536
                        for size in sizes), "sizes of rings: %s", sizes)


def outrun_reader(env):
    subject = env.subj()
    reader, first = env.pair()
    publishers = [first] + [env.near(reader) for _ in range(3)]
    reader.sub(subject + b" 1")
    # made before anybody sends, and sent by processes: who reads nothing for
    # 100 ms, because others have the interpreter, is not waited for
    flood = pub(subject, b"0123456789abcdef") * 60000 * 20 + PING
    senders = [send_apart(p, flood) for p in publishers]
    left = len(msg(subject, b"1", b"0123456789abcdef")) * 60000 * 20 * 4
    while left > 0:
        reader.sock.settimeout(TIMEOUT)
        got = len(reader.sock.recv(1 << 18))
        check(got > 0, "the reader was cut with %d bytes to come", left)
        left -= got
        time.sleep(0.005)  # about 50 MB/s: slower than the publishers
    for sender, publisher in zip(senders, publishers):
        equal(os.waitpid(sender, 0)[1], 0, "status of who sends")
        publisher.expect(PONG)


def send_apart(client, data):
    """In a process of its own; its number."""
    pid = os.fork()
    if pid == 0:
        try:
            client.send(data)
            os._exit(0)
        finally:
            os._exit(1)
    return pid


@suite.scenario("a run for a queue group, each larger than half a ring",
                conf={"ring_memory": "1MB"}, workers=(2,), reference=False)
def large_for_group(env):
    subject = env.subj()
    a = env.client()
    b = env.on(a.worker, other=True, unix=True)
    a.sub(subject + b" q 1")
    # 64 KiB rings: four messages are a run, and none fits into one piece
    payload = [b"%d " % n + b"x" * 32700 for n in range(4)]
    with Stopped(pid_of(env.server, b.worker)):
        b.send(b"".join(pub(subject, one) for one in payload))
    a.expect(b"".join(msg(subject, b"1", one) for one in payload))
    b.expect_nothing()


if __name__ == "__main__":
    sys.exit(suite.main())
