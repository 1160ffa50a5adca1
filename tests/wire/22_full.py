#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Everything that can be full: the index, the private memory, the rings, the
disk under the log.  One client at most hears of it; all others go on."""

import os
import random
import re
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
from natsdtest import *  # noqa: E402,F403

suite = Suite("full")

MB = 1 << 20
FULL = err("maximum subscriptions exceeded")
INDEX = {"index_memory": "1MB"}
MEMORY = {"memory_max": "8MB", "max_payload": 1048576, "max_pending": "6MB",
          "write_deadline": "2s"}


class Others:
    """Two clients that must not notice anything."""

    def __init__(self, env, near=None, server=None):
        self.subject, self.count = env.subj("others"), 0
        if near is not None:
            self.a, self.b = (env.near(near, server=server) for _ in "ab")
        else:
            self.a, self.b = env.client(server=server), \
                env.client(server=server)
        self.a.sub(self.subject + b" 1", self.subject + b" q 2")
        self.worst = 0

    def fine(self):
        begun = time.monotonic()
        text = b"%d" % self.count
        self.count += 1
        self.b.pub(self.subject, text)
        got = sorted(self.a.message().sid for _ in range(2))
        equal(got, [b"1", b"2"], "subscriptions that got the message")
        self.a.expect_nothing()
        self.b.expect_nothing()
        self.worst = max(self.worst, time.monotonic() - begun)


# ------------------------------------------------------------------- index

def some(client, lines):
    """SUB each; how many were accepted."""
    client.send(b"".join(lines) + PING)
    accepted = len(lines)
    while True:
        got = client.event()
        if got == PONG:
            return accepted
        equal(got, FULL, "answer to a SUB")
        accepted -= 1


def fill(client, line):
    """SUB until nothing more fits for a while (what others have let go comes
    back when all workers have passed); how many were accepted."""
    accepted = number = idle = 0
    while idle < 5:
        count = some(client, [line(n) for n in range(number, number + 200)])
        accepted += count
        number += 200
        if count < 200:
            idle = idle + 1 if count < 20 else 0
            time.sleep(0.01)
        check(accepted < 60000, "%d subscriptions fit", accepted)
    return accepted, number


def index_round(env, others, line):
    """Fill, see who notices, empty."""
    a = env.client()
    b = env.on(a.worker)
    b.sub(env.subj("before") + b" 1")
    count, tried = fill(a, line)
    # the same worker's index: the other one hears it too, and stays
    b.send(b"SUB %s 2\r\n" % (env.subj("x" * 200)) * 3 + PING)
    b.expect(FULL * 3 + PONG)
    for client in (a, b):
        client.expect_nothing()
    # what both have, they keep; publishing needs no room
    a.pub(env.subj("before"), b"still")
    b.expect(msg(env.subj("before"), b"1", b"still"))
    others.fine()
    # another worker's index is another one
    for client in env.each():
        if client.worker != a.worker:
            client.sub(env.subj("elsewhere") + b" 9")
            b.pub(env.subj("elsewhere"))
            client.expect(msg(env.subj("elsewhere"), b"9"))
            client.send(b"UNSUB 9\r\n")
        client.expect_nothing()
    # room again, at once or as soon as all others have passed
    a.send(b"".join(b"UNSUB %d\r\n" % n for n in range(tried)) + PING)
    a.expect(PONG)

    def again():
        b.send(b"SUB %s 5\r\n" % env.subj("after") + PING)
        if b.event() == FULL:
            b.expect(PONG)
            return False
        return True
    wait_for(again, "room after the UNSUBs")
    a.pub(env.subj("after"), b"new")
    b.expect(msg(env.subj("after"), b"5", b"new"))
    others.fine()
    a.close()
    b.close()
    return count


@suite.scenario("the index: the same number fits again and again", conf=INDEX,
                workers=(1, 2), reference=False)
def index(env):
    others = Others(env)
    counts = [index_round(env, others, lambda n: b"SUB full.%d.%d %d\r\n" % (
        env.number, n, n)) for _ in range(3)]
    print("    %s subscriptions in 1 MB" % counts)
    check(min(counts) > 1500, "only %d subscriptions in 1 MB", min(counts))
    check(min(counts) > 0.9 * max(counts), "ever fewer fit: %r", counts)


@suite.scenario("the index: queue groups and long subjects", conf=INDEX,
                workers=(1, 2), reference=False)
def index_groups(env):
    others = Others(env)
    groups = index_round(env, others, lambda n: b"SUB full.%d.%d g%d %d\r\n" %
                         (env.number, n, n, n))
    long = index_round(env, others, lambda n: b"SUB full.%d.%s%d.z %d\r\n" %
                       (env.number, b"y" * 200, n, n))
    print("    %d groups, %d long subjects in 1 MB" % (groups, long))
    check(groups > 800 and long > 300, "so few fit: %d groups, %d long "
          "subjects", groups, long)


@suite.scenario("the index: whoever filled it leaves", conf=INDEX,
                workers=(1, 2), reference=False)
def index_left(env):
    others = Others(env)
    counts = []
    for lap in range(5):
        a = env.client()
        counts.append(fill(a, lambda n: b"SUB left.%d.%d.%d.* %d\r\n" % (
            env.number, lap, n, n))[0])
        a.abandon()
        others.fine()

        def again():
            b = env.server.connect_on(a.worker, C0)
            b.send(b"SUB %s 5\r\n" % env.subj("after") + PING)
            got = b.event()
            b.abandon()
            return got == PONG
        wait_for(again, "room after it has left")
    print("    %s subscriptions of two nodes in 1 MB" % counts)
    check(min(counts) > 900 and counts[-1] > 0.9 * min(counts[:-1]),
          "ever fewer fit: %r", counts)


# ------------------------------------------------------------------ memory

def hold(env, near, size, count):
    """Connections that have begun a payload and do not go on."""
    crowd = []
    for _ in range(count):
        client = env.on(near.worker)
        client.timeout = 0.2 * SLOW
        try:
            client.send(b"PUB nobody %d\r\n" % size + b"h" * (size // 2))
        except (Failure, OSError):
            pass
        crowd.append(client)
    return crowd


@suite.scenario("private memory: a large payload waits for room",
                workers=(1, 2), pairs=True, reference=False,
                conf=dict(MEMORY, write_deadline="60s"))
def large_waits(env):
    subject = env.subj()
    a, b = env.pair()
    others = Others(env, a)
    a.sub(subject + b" 1")
    crowd = hold(env, b, 1000000, 12)
    others.fine()
    body = b"w" * 1000000
    sender = Background(b.send, pub(subject, body) + PING)
    time.sleep(0.3)
    check(not b.hung_up(), "the publisher is cut off")
    a.send(PING)
    a.expect(PONG)  # and no message before it
    others.fine()
    # room: those who held it leave
    for client in crowd:
        client.abandon()
    a.expect(msg(subject, b"1", body))
    sender.done()
    b.expect(PONG)
    others.fine()


@suite.scenario("private memory: who sends nothing more loses his place",
                workers=(1, 2), reference=False, conf=MEMORY)
def silent_loses(env):
    subject = env.subj()
    b = env.client()
    a = env.on(b.worker)
    others = Others(env)
    a.sub(subject + b" 1")
    crowd = hold(env, b, 1000000, 12)
    body = b"w" * 1000000
    sender = Background(b.send, pub(subject, body) + PING)
    a.expect(msg(subject, b"1", body))
    sender.done()
    b.expect(PONG)
    wait_for(lambda: any(client.hung_up() for client in crowd),
             "one of the silent to be closed")
    others.fine()
    for client in crowd:
        client.abandon()


@suite.scenario("private memory: the one with most pending goes",
                workers=(1, 2), reference=False,
                conf=dict(MEMORY, write_deadline="60s", max_pending="64MB"))
def most_pending(env):
    subject = env.subj()
    publisher = env.client()
    lazy = [env.on(publisher.worker, rcvbuf=16384) for _ in range(3)]
    others = Others(env)
    # 1 of 4, 2 of 4, 4 of 4 messages; each far below max_pending
    lazy[0].sub(subject + b".0 1")
    lazy[1].sub(subject + b".0 1", subject + b".1 2")
    lazy[2].sub(subject + b".* 1")
    start = len(env.server.log())
    sent = 0

    def closed():
        """What the log names; the end itself is behind all that is unread."""
        text = env.server.log()[start:]
        return [client.info["client_id"] for client in lazy
                if re.search(r"cid:%d - closed: memory_max is reached and "
                             "it has most" % client.info["client_id"], text)]
    while not closed():
        check(sent < 64 * MB, "nobody was closed after %d bytes", sent)
        for n in range(4):
            publisher.send(pub(subject + b".%d" % n, b"p" * 2000))
        publisher.expect_nothing()
        others.fine()
        sent += 8000
    time.sleep(0.2)
    equal(closed(), [lazy[2].info["client_id"]], "who was closed")
    check(b"-ERR" not in lazy[2].until_eof(), "-ERR to the one closed")
    print("    after %d bytes: %s" % (sent, re.search(
        "closed: memory.*", env.server.log()[start:]).group(0)))
    publisher.expect_nothing()
    others.fine()
    check(others.worst < 2 * SLOW, "somebody waited %.1f s", others.worst)
    # the others read on where they were
    for client, want in ((lazy[0], 1), (lazy[1], 2)):
        got = len(client.messages())
        equal(got, sent // 8000 * want, "messages that came")


@suite.scenario("private memory: what slow readers had comes back",
                workers=(1, 2), reference=False,
                conf={"max_pending": "24MB", "write_deadline": "2s",
                      "memory_max": "400MB"})
def comes_back(env):
    if is_sanitized(program()):
        raise Skip("a sanitizer keeps what was freed")
    server = env.own_server()
    others = Others(env, server=server)
    talker = env.client(server=server)
    others.fine()
    fresh = memory(server.tree())
    if fresh is None:
        raise Skip("this user may not look at the workers' memory")
    subject = env.subj()
    for slot in server.worker_slots():
        for _ in range(4):
            env.on(slot, server=server, rcvbuf=4096).sub(subject + b".> 1")
    for lap in range(12):
        # no two lines alike: a copy for each
        for n in range(20):
            talker.send(b"".join(
                pub(b"%s.%d.%d" % (subject, lap, k), b"x" * (3000 + k))
                for k in range(25)))
        talker.expect_nothing()
        # those who stay have theirs in between
        for _ in range(4):
            env.client(server=server).send(b"PUB foo 15000\r\n" +
                                           b"y" * 14000)
    peak = memory(server.tree())
    check(peak > fresh + 40 * MB, "the readers took %d KB only",
          (peak - fresh) >> 10)
    wait_for(lambda: len(re.findall("Slow Consumer", server.log())) >=
             4 * env.workers, "the slow readers to be cut off")
    wait_for(lambda: memory(server.tree()) < fresh + 20 * MB,
             "the memory to come back", step=0.2)
    others.fine()
    print("    %d MB, with slow readers %d, without them %d" % (
        fresh / MB, peak / MB, memory(server.tree()) / MB))
    for client in env.clients:
        client.abandon()
    env.clients.clear()


# ------------------------------------------------------------------- rings

@suite.scenario("rings of the least size: any message, in order",
                workers=(2, 4), pairs=True, reference=False,
                conf={})
def least_rings(env):
    need = (env.workers + 2) * (env.workers + 1) * 65536
    server = env.own_server({"ring_memory": need, "max_payload": 4 * MB})
    subject, inbox = env.subj(), b"_INBOX.%d" % env.number
    a = env.client(server=server)
    b = env.near(a, CN, server=server)
    c = env.near(b, server=server)
    a.sub(subject + b" 1")
    c.sub(subject + b" 2")
    b.sub(inbox + b" 7")
    chance = random.Random(22)
    sizes = [chance.choice((0, 1, 100, 5000, 16370, 32700, 32768, 65536,
                            70000, 1000000, 4 * MB)) for _ in range(60)]
    data = b"".join(pub(subject, b"s" * size) for size in sizes)
    sender = Background(b.send, data + pub(b"none", b"", inbox) + PING)

    def read(client, sid):
        for size in sizes:
            client.expect(msg(subject, sid, b"s" * size), 60 * SLOW)
        client.expect_nothing()
    reader = Background(read, c, b"2")
    read(a, b"1")
    reader.done()
    sender.done()
    b.expect(no_responders(inbox, b"7", b"none") + PONG)


@suite.scenario("rings: less than the least is refused with the figure",
                workers=(2,), reference=False)
def too_small(env):
    server = env.own_server({"ring_memory": 12 * 65536 - 1}, start=False)
    status, _, errors = run("-c", server.conf_path)
    equal(status, 78, "exit status; %s" % errors)
    check("768KB" in errors, "no figure in %r", errors)
    server.pid = None
    server.remove()


# -------------------------------------------------------------------- disk

def log_a_lot(env, server, others):
    for _ in range(30):
        clients = [server.client(C0) for _ in range(10)]
        for client in clients:
            client.send(b"SUB loud 1\r\nPUB loud 5\r\nhello\r\n" + PING)
            client.expect(msg(b"loud", b"1", b"hello") + PONG)
            client.send(b"UNSUB 1\r\n" + PING)
            client.expect(PONG)
            client.abandon()
        others.fine()
    check(others.worst < 2 * SLOW, "somebody waited %.1f s", others.worst)


@suite.scenario("the disk under the log", workers=(1, 2), reference=False)
def full_disk(env):
    if os.geteuid() != 0:
        raise Skip("needs root to mount a small file system")
    with SmallDisk() as disk:
        path = os.path.join(disk.dir, "log")
        server = env.own_server({"log_file": path, "trace": True,
                                 "debug": True})
        others = Others(env, server=server)
        disk.fill()
        log_a_lot(env, server, others)
        # room again: so is the log
        disk.clear()
        size = os.path.getsize(path)
        wait_for(lambda: others.fine() or os.path.getsize(path) > size + 200,
                 "the log to go on")
        disk.fill()
        # it ends as it should, and starts there too
        for client in env.clients:
            client.abandon()
        server.stop()
        server = env.own_server({"log_file": path})
        Others(env, server=server).fine()
        for client in env.clients:
            client.abandon()
        server.stop()


@suite.scenario("a log that takes nothing: /dev/full", workers=(1, 2),
                reference=False)
def dev_full(env):
    server = env.own_server({"log_file": "/dev/full", "trace": True})
    others = Others(env, server=server)
    log_a_lot(env, server, others)


if __name__ == "__main__":
    sys.exit(suite.main())
