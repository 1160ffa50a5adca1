#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""slow_consumer: closed, or the newest or oldest messages are dropped; what
comes is whole and in order, and nobody waits for who does not read."""

import os
import re
import struct
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
from natsdtest import *  # noqa: E402,F403

suite = Suite("slow consumer policies", workers=(1, 2))

MAX = 1 << 20
NEWEST = {"slow_consumer": "drop_newest", "max_pending": MAX,
          "max_payload": 300000, "write_deadline": "60s"}
OLDEST = dict(NEWEST, slow_consumer="drop_oldest")
POLICIES = (NEWEST, OLDEST)

OWN_MAGIC = struct.pack("=I", 0x4e4f574e)

BEGIN = (r"cid:(\d+)[^\n]* - Slow Consumer Detected: MaxPending of %d "
         r"Exceeded with (\d+) total bytes, nothing taken for \d+\.\d s: "
         r"its (newest|oldest) messages are dropped" % MAX)
END = (r"cid:(\d+)[^\n]* - Slow Consumer: dropped (\d+) messages, (\d+) bytes "
       r"in (\d+\.\d) s, ")


def both(name, conf=None, **kwargs):
    """A scenario for each of the two that drop."""
    def add(function):
        for policy in POLICIES:
            suite.scenario("%s: %s" % (policy["slow_consumer"], name),
                           conf=dict(policy, **(conf or {})),
                           reference=False, **kwargs)(function)
        return function
    return add


def oldest(env):
    return env.conf["slow_consumer"] == "drop_oldest"


def numbered(first, count, size):
    """Payloads of one size each that say which they are"""
    return [(b"%08d " % n).ljust(size, b"x") for n in range(first,
                                                          first + count)]


def numbers_of(messages, payloads):
    """Their numbers, after a look at every byte"""
    found = []
    for got in messages:
        n = int(got.payload[:8])
        check(got.payload == payloads[n], "message %d is damaged", n)
        found.append(n)
    return found


def gap(env, found, total):
    """One that took nothing meanwhile has lost some in one piece."""
    equal(found, sorted(set(found)), "order")
    equal(found[0], 0, "the first")
    jumps = [i for i in range(1, len(found)) if found[i] != found[i - 1] + 1]
    if oldest(env):
        equal(found[-1], total - 1, "the last")
        equal(len(jumps), 1, "number of gaps")
    else:
        equal(len(jumps), 0, "number of gaps")
        check(found[-1] < total - 1, "nothing was dropped")


def scoreboard(server):
    """Per process: (slow_consumers, stalled_clients, dropped messages, bytes);
    per cid the last two.  The master has the zones open (layout: shm/own.h,
    shm/score.h); None if it does not show them to us."""
    processes, clients, seen = [], {}, set()
    folder = "/proc/%d/fd" % server.pid
    try:
        names = [name for name in os.listdir(folder)
                 if "/memfd:" in os.readlink(os.path.join(folder, name))]
        for name in names:
            with open(os.path.join(folder, name), "rb", 0) as file:
                inode = os.fstat(file.fileno()).st_ino
                if inode in seen or file.read(4) != OWN_MAGIC:
                    continue
                seen.add(inode)
                data = os.pread(file.fileno(), 20480 + 256 + 192 * 300, 0)
            words = struct.unpack_from("=19Q", data, 20480)
            processes.append((words[7], words[9], words[17], words[18]))
            for at in range(20480 + 256, len(data) - 191, 192):
                state, cid = struct.unpack_from("=I4xQ", data, at)
                if state:
                    clients[cid] = struct.unpack_from("=2Q", data, at + 88)
    except OSError:
        return None
    return (processes, clients) if processes else None


def dropped_by_log(server, client, start):
    """What the log says of that client when it keeps up again"""
    cid = client.info["client_id"]
    found = server.wait_log(END.replace(r"(\d+)[^", "%d[^" % cid, 1) +
                            "keeps up again", start)
    return int(found.group(1)), int(found.group(2))


@both("one that reads nothing, beside one that does", pairs=True)
def stalled(env):
    subject, server = env.subj(), env.server
    start = len(server.log())
    before = scoreboard(server)
    lazy = env.client(unix=True)
    publisher = env.near(lazy)
    steady = env.near(publisher)
    lazy.sub(subject + b" 1")
    steady.sub(subject + b" 2")
    size, count = 2000, 2000
    payloads = numbered(0, count, size)
    for at in range(0, count, 100):
        part = payloads[at:at + 100]
        publisher.send(b"".join(pub(subject, one) for one in part))
        # whole and at once, whatever the lazy one does
        steady.expect(b"".join(msg(subject, b"2", one) for one in part))
    publisher.expect_nothing()
    found = server.wait_log(BEGIN, start)
    equal(int(found.group(1)), lazy.info["client_id"], "who")
    equal(found.group(3), "oldest" if oldest(env) else "newest", "which")
    check(int(found.group(2)) <= MAX, "too much was pending: %s",
          found.group(2))
    if before:
        # its counters, while it is there
        now, clients = scoreboard(server)
        msgs, octets = clients[lazy.info["client_id"]]
        check(msgs > 0, "nothing counted for it")
        equal(octets, msgs * size, "bytes for the messages")
        for which, want in ((0, 1), (1, 0), (2, msgs), (3, octets)):
            equal(sum(p[which] for p in now) - sum(p[which] for p in
                                                   before[0]), want,
                  "counter %d of all" % which)
    got = numbers_of(lazy.messages(), payloads)
    gap(env, got, count)
    check(len(got) * size > MAX * 3 // 4, "only %d came", len(got))
    # it goes on as if nothing had been
    publisher.pub(subject, b"more")
    lazy.expect(msg(subject, b"1", b"more"))
    equal(dropped_by_log(server, lazy, start),
          (count - len(got), (count - len(got)) * size), "the log's account")


@both("over TCP, with messages of all sizes", pairs=True)
def sizes(env):
    subject = env.subj()
    lazy = env.client(rcvbuf=16384)
    publisher = env.near(lazy)
    lazy.sub(subject + b".> 1")
    payloads = [(b"%08d " % n).ljust((n * n * 37) % 9000 + 9, b"y")
                for n in range(3000)]
    for at in range(0, 3000, 300):
        publisher.send(b"".join(
            pub(subject + b".%d" % (n % 7), payloads[n],
                b"reply.%d" % n if n % 3 == 0 else None)
            for n in range(at, at + 300)))
        publisher.expect_nothing()
    got = lazy.messages()
    for one in got:
        n = int(one.payload[:8])
        equal((one.subject, one.reply),
              (subject + b".%d" % (n % 7), b"reply.%d" % n if n % 3 == 0
               else None), "subject and reply of %d" % n)
    found = numbers_of(got, payloads)
    equal(found, sorted(set(found)), "order")
    check(len(found) < 3000, "nothing was dropped")
    if oldest(env):
        equal(found[-1], 2999, "the last")


@both("replies come all, in order", pairs=True)
def replies(env):
    subject = env.subj()
    lazy = env.client(CV, unix=True)
    publisher = env.near(lazy)
    lazy.send(b"SUB %s 1\r\n" % subject + PING)
    lazy.expect(b"+OK\r\n" + PONG)
    payloads = numbered(0, 4000, 1000)
    want = []
    for n in range(40):
        publisher.send(b"".join(pub(subject, one) for one in
                                payloads[n * 100:n * 100 + 100]))
        publisher.expect_nothing()
        lazy.send(b"SUB other.%d %d\r\nPING\r\n" % (n, n + 10))
        want += [b"+OK\r\n", PONG]
        if n % 10 == 5:
            lazy.send(b"SUB a..b 9\r\n")
            want.append(err("Invalid Subject"))
    lazy.send(b"UNSUB 1\r\n")
    want.append(b"+OK\r\n")
    said, got = [], []
    while len(said) < len(want):
        one = lazy.event()
        (got if isinstance(one, Message) else said).append(one)
    equal(said, want, "replies")
    gap(env, numbers_of(got, payloads), 4000)
    lazy.expect_nothing()


@both("runs that several share, in blocks", pairs=True)
def blocks(env):
    subject = env.subj()
    lazy = [env.client(unix=True)]
    publisher = env.near(lazy[0])
    lazy += [env.near(publisher, unix=True), env.near(publisher, unix=True)]
    steady = env.near(publisher)
    for n, client in enumerate(lazy + [steady]):
        client.sub(subject + (b" 1" if n % 2 else b" 22"))
    count = 40000
    payloads = numbered(0, count, 64)
    for at in range(0, count, 4000):
        part = payloads[at:at + 4000]
        publisher.send(b"".join(pub(subject, one) for one in part))
        steady.expect(b"".join(msg(subject, b"1", one) for one in part))
    publisher.expect_nothing()
    for client in lazy:
        gap(env, numbers_of(client.messages(), payloads), count)
    publisher.pub(subject, b"more")
    for client in lazy + [steady]:
        client.message()


@both("one that reads a little at a time", pairs=True)
def little(env):
    subject = env.subj()
    slow = env.client(unix=True)
    publisher = env.near(slow)
    slow.sub(subject + b" 1")
    payloads = numbered(0, 20000, 150)
    for at in range(0, 20000, 500):
        publisher.send(b"".join(pub(subject, one) for one in
                                payloads[at:at + 500]))
        publisher.expect_nothing()
        slow.fill(slow.deadline(), 30000)
    found = numbers_of(slow.messages(), payloads)
    equal(found, sorted(set(found)), "order")
    check(len(found) < 20000, "nothing was dropped")
    if oldest(env):
        equal(found[-1], 19999, "the last")
        check(found[-1000:] == list(range(19000, 20000)), "not the latest")


@both("headers, and a receiver without", pairs=True)
def headers(env):
    subject = env.subj()
    lazy = env.client(CH, unix=True)
    publisher = env.near(lazy, CH)
    plain = env.near(publisher, unix=True)
    lazy.sub(subject + b" 1")
    plain.sub(subject + b" 1")
    head = b"NATS/1.0\r\nMSG: a 1 5\r\n\r\n"
    payloads = numbered(0, 3000, 700)
    for at in range(0, 3000, 300):
        publisher.send(b"".join(hpub(subject, head, one) for one in
                                payloads[at:at + 300]))
        publisher.expect_nothing()
    for client, want in ((lazy, head), (plain, None)):
        got = client.messages()
        check(all(one.header == want for one in got), "a header")
        gap(env, numbers_of(got, payloads), 3000)


@both("large payloads", pairs=True)
def large(env):
    subject = env.subj()
    lazy = env.client(unix=True)
    publisher = env.near(lazy)
    steady = env.near(publisher)
    lazy.sub(subject + b" 1")
    steady.sub(subject + b" 1")
    payloads = numbered(0, 40, 150000)
    for one in payloads:
        publisher.pub(subject, one)
        steady.expect(msg(subject, b"1", one))
    publisher.expect_nothing()
    gap(env, numbers_of(lazy.messages(), payloads), 40)


@suite.scenario("drop_newest: what a member of a group cannot take, others do",
                pairs=True, conf=NEWEST, workers=(1, 2, 4), reference=False)
def group(env):
    subject = env.subj()
    lazy = env.client(unix=True)
    publisher = env.near(lazy)
    brisk = [env.near(publisher)]
    if env.workers > 1:
        brisk.append(env.on(lazy.worker, other=True))
    for client in [lazy] + brisk:
        client.sub(subject + b" workers 1")
    total = 12000
    payloads = numbered(0, total, 500)
    found = []
    for at in range(0, total, 300):
        publisher.send(b"".join(pub(subject, one) for one in
                                payloads[at:at + 300]))
        publisher.expect_nothing()
        for client in brisk:
            found += numbers_of(client.messages(), payloads)
    mine = numbers_of(lazy.messages(), payloads)
    equal(mine, sorted(mine), "order of the lazy one's")
    # what was passed on from worker to worker may come late
    for client in brisk:
        found += numbers_of(client.messages(), payloads)
    check(len(mine) < total // (2 * len(brisk)), "the lazy one was not full")
    equal(sorted(mine + found), list(range(total)), "all of them, each once")


@both("a request to one that cannot take it", pairs=True)
def request(env):
    subject, inbox = env.subj(), b"_INBOX.%d" % env.number
    lazy = env.client(unix=True)
    asker = env.near(lazy, CN)
    queue = b" q" if env.same else b""
    lazy.sub(subject + queue + b" 1")
    asker.sub(inbox + b" 7")
    for _ in range(20):
        asker.send(pub(subject, b"z" * 100) * 1000)
        asker.expect_nothing()
    asker.send(pub(subject, b"q" * 2000, inbox) + PING)
    if oldest(env):
        asker.expect(PONG)
    else:
        asker.expect(no_responders(inbox, b"7", subject) + PONG)
    got = lazy.messages()
    equal(any(one.reply for one in got), oldest(env), "the request came")


@suite.scenario("drop_newest: a group of one is named and counted",
                pairs=True, conf=NEWEST, reference=False)
def alone(env):
    subject, server = env.subj(), env.own_server()
    lazy = env.client(unix=True, server=server)
    publisher = env.near(lazy, server=server)
    lazy.sub(subject + b" q 1")
    payloads = numbered(0, 3000, 1000)
    for at in range(0, 3000, 100):
        publisher.send(b"".join(pub(subject, one) for one in
                                payloads[at:at + 100]))
        publisher.expect_nothing()
    server.wait_log(BEGIN)
    left = 3000 - len(numbers_of(lazy.messages(), payloads))
    check(left > 0, "nothing was dropped")
    equal(dropped_by_log(server, lazy, 0), (left, left * 1000),
          "the log's account")


@suite.scenario("drop_oldest: a subscription with a max counts what it lost",
                conf=OLDEST, workers=(1,), reference=False)
def max_oldest(env):
    subject = env.subj()
    lazy = env.client(unix=True)
    publisher = env.near(lazy)
    lazy.send(b"SUB %s 1\r\nUNSUB 1 3000\r\n" % subject + PING)
    lazy.expect(PONG)
    payloads = numbered(0, 4000, 1000)
    publisher.send(b"".join(pub(subject, one) for one in payloads))
    publisher.expect_nothing()
    gap(env, numbers_of(lazy.messages(), payloads), 3000)


@both("one that asks and does not read the answers is closed",
      workers=(1,))
def pongs(env):
    server = env.own_server()
    lazy = env.client(unix=True, server=server)
    lazy.timeout = 2 * SLOW
    try:
        for _ in range(2000):
            lazy.send(PING * 5000)
    except (OSError, Failure):
        pass
    server.wait_log("MaxPending of %d Exceeded with .*: closed" % MAX)
    env.client(server=server).expect_nothing()


@both("one that takes nothing for write_deadline is closed",
      conf={"write_deadline": "500ms"}, pairs=True, workers=(2,))
def deadline(env):
    subject, server = env.subj(), env.own_server()
    lazy = env.client(unix=True, server=server)
    publisher = env.near(lazy, server=server)
    lazy.sub(subject + b" 1")
    publisher.send(pub(subject, b"x" * 10000) * 400)
    publisher.expect_nothing()
    server.wait_log(r"WriteDeadline of 500ms exceeded with \d+ total bytes, "
                    r"nothing taken for \d\.\d s: closed")
    if re.search(BEGIN, server.log()):
        server.wait_log(END + "and left")
    check(len(lazy.until_eof()) <= 3 * MAX, "too much came")


@suite.scenario("close: the log says who, why, how much and how long",
                pairs=True, conf={"max_pending": MAX, "max_payload": 100000},
                reference=False)
def closed(env):
    subject, server = env.subj(), env.server
    start = len(server.log())
    lazy = env.client(unix=True)
    publisher = env.near(lazy)
    lazy.sub(subject + b" 1")
    publisher.send(pub(subject, b"x" * 10000) * 300)
    publisher.expect_nothing()
    found = server.wait_log(
        r"cid:(\d+)[^\n]* - Slow Consumer Detected: MaxPending of %d Exceeded "
        r"with (\d+) total bytes, nothing taken for \d+\.\d s: closed" % MAX,
        start)
    equal(int(found.group(1)), lazy.info["client_id"], "who")
    check(MAX * 3 // 4 < int(found.group(2)) <= MAX, "how much: %s",
          found.group(2))
    lazy.until_eof()


@suite.scenario("no_fast_producer_stall: what is dropped is named too",
                pairs=True, reference=False,
                conf={"max_pending": MAX, "max_payload": 100000,
                      "no_fast_producer_stall": True})
def no_stall(env):
    subject, server = env.subj(), env.server
    start = len(server.log())
    lazy = env.client(unix=True)
    publisher = env.near(lazy)
    lazy.sub(subject + b" 1")
    payloads = numbered(0, 300, 10000)
    publisher.send(b"".join(pub(subject, one) for one in payloads))
    publisher.expect_nothing()
    server.wait_log("3/4 of MaxPending of %d Exceeded .*no_fast_producer_stall"
                    % MAX, start)
    left = 300 - len(numbers_of(lazy.messages(), payloads))
    equal(dropped_by_log(server, lazy, start), (left, left * 10000),
          "the log's account")


@suite.scenario("a reload changes the policy for those that are slow",
                workers=(1, 2), pairs=True, conf=OLDEST, reference=False)
def reload(env):
    policies = [dict(policy, max_payload=300000 + n) for n, policy in
                enumerate((dict(OLDEST, slow_consumer="close"), OLDEST,
                           NEWEST, dict(OLDEST, slow_consumer="close")))]
    server = env.own_server(policies[0])
    subject = env.subj()
    lazy = env.client(unix=True, server=server)
    publisher = env.near(lazy, server=server)
    lazy.sub(subject + b" 1")
    payloads = numbered(0, 6000, 1000)

    def send(first, last):
        for at in range(first, last, 100):
            publisher.send(b"".join(pub(subject, one) for one in
                                    payloads[at:at + 100]))
            publisher.expect_nothing()

    def change(conf):
        server.reload(conf)

        def known():
            made = server.connect_on(lazy.worker)
            made.abandon()
            return made.info["max_payload"] == conf["max_payload"]
        wait_for(known, "the worker to know")

    send(0, 500)
    change(policies[1])
    send(500, 3000)
    check(not lazy.hung_up(), "closed in spite of drop_oldest")
    change(policies[2])
    send(3000, 6000)
    got = numbers_of(lazy.messages(), payloads)
    equal(got, sorted(set(got)), "order")
    check(got[-1] < 3100, "the newest were not dropped")
    check(2500 in got, "the oldest were not dropped")
    start = len(server.log())
    change(policies[3])
    send(0, 4000)
    server.wait_log("MaxPending of %d Exceeded with .*: closed" % MAX, start)
    lazy.until_eof()


if __name__ == "__main__":
    sys.exit(suite.main())
