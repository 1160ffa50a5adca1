#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Many connections and many subscriptions: spread over the workers, light,
and nobody else notices."""

import os
import resource
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
from natsdtest import *  # noqa: E402,F403

suite = Suite("many", workers=(2, 4))

CONNECTIONS = 10000
SUBSCRIPTIONS = 200000
PUBLISHERS = 20
CONF = {"max_connections": 20000}


def need_descriptors(count):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= count:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(hard, count)))
    except (ValueError, OSError):
        raise Skip("%d descriptors are needed, the hard limit is %d" %
                   (count, hard))


class Pair:
    """A well-behaved publisher and subscriber; how long a message takes."""

    def __init__(self, env, server):
        self.subject = env.subj("pair")
        self.a = env.client(server=server)
        self.b = env.on(self.a.worker, server=server, other=True)
        self.a.sub(self.subject + b" 1")

    def trip(self):
        begun = time.perf_counter()
        self.b.pub(self.subject, b"ping")
        self.a.expect(msg(self.subject, b"1", b"ping"))
        return time.perf_counter() - begun

    def trips(self, count=300):
        return sorted(self.trip() for _ in range(count))


def quantiles(times):
    return "p50 %.0f us, p99 %.0f us, max %.1f ms" % (
        times[len(times) // 2] * 1e6, times[len(times) * 99 // 100] * 1e6,
        times[-1] * 1e3)


def gather(env, server, pair, crowd):
    """Connections that subscribe once and then say nothing; trips of the
    pair meanwhile."""
    times = []
    base = env.subj("silent")
    for n in range(CONNECTIONS):
        client = server.client()
        client.send(C0 + b"SUB %s.%d 1\r\n" % (base, n))
        crowd.append(client)
        if n % 25 == 0:
            times.append(pair.trip())
    # a barrier on the last of each worker: all is done
    for slot in {client.worker for client in crowd}:
        last = [client for client in crowd if client.worker == slot][-1]
        last.expect_nothing()
    return base, sorted(times)


@suite.scenario("10,000 connections with one subscription each", conf=CONF,
                reference=False)
def connections(env):
    need_descriptors(CONNECTIONS + 500)
    server = env.own_server(CONF)
    pair = Pair(env, server)
    before = pair.trips()
    small = memory(server.tree())
    begun = time.monotonic()
    crowd = []
    try:
        base, during = gather(env, server, pair, crowd)
        took = time.monotonic() - begun
        counts = [sum(client.worker == slot for client in crowd)
                  for slot in sorted({client.worker for client in crowd})]
        mean = CONNECTIONS / env.workers
        after = pair.trips()
        large = memory(server.tree())
        print("    %.1f s; per worker %s, max/mean %.3f" % (
            took, counts, max(counts) / mean))
        for name, times in (("before", before), ("meanwhile", during),
                            ("after", after)):
            print("    a message, %s: %s" % (name, quantiles(times)))
        if small is not None and large is not None:
            each = (large - small) / CONNECTIONS
            print("    memory of each: %d bytes" % each)
            check(each <= 4096, "%d bytes for each connection", each)
        check(max(counts) / mean <= 1.2, "spread %r", counts)
        check(after[150] <= 3 * before[150] + 0.002 * SLOW,
              "a message takes %.1f ms, before %.1f", after[150] * 1e3,
              before[150] * 1e3)
        # they are there: everyone can be reached
        for n in range(0, CONNECTIONS, 97):
            pair.b.pub(base + b".%d" % n, b"you")
            got = crowd[n].event()
            while not isinstance(got, Message):
                got = crowd[n].event()
            equal(got.payload, b"you", "message")
    finally:
        for client in crowd:
            client.abandon()
    # all are gone: nobody is subscribed any more
    pair.b.expect_nothing()
    asker = env.client(CN, server=server)
    asker.sub(b"_INBOX.m 7")

    def gone():
        asker.send(pub(base + b".%d" % (CONNECTIONS - 1), b"x", b"_INBOX.m") +
                   PING)
        got = asker.event()
        if got == PONG:
            return False
        equal(asker.event(), PONG, "after the 503")
        return True
    wait_for(gone, "the crowd to be gone")
    pair.trips(20)


def add(client, base, number, each):
    client.send(b"".join(b"SUB %s.%d.%d %d\r\n" % (base, number, n, n)
                         for n in range(each)) + PING)
    client.expect(PONG)


@suite.scenario("200,000 subscriptions come and go", conf=CONF,
                reference=False)
def subscriptions(env):
    server = env.own_server({})
    pair = Pair(env, server)
    base = env.subj("many")
    each = SUBSCRIPTIONS // PUBLISHERS
    clients = [env.client(server=server) for _ in range(PUBLISHERS)]
    start = memory(server.tree())
    sizes = []
    for lap in range(3):
        begun = time.monotonic()
        for number, client in enumerate(clients):
            add(client, base, number, each)
        added = time.monotonic() - begun
        times = pair.trips(100)
        full = memory(server.tree())
        # one of each is found among all the others
        for number, client in enumerate(clients):
            sid = number * 37 % each
            pair.b.pub(base + b".%d.%d" % (number, sid), b"found")
            client.expect(msg(base + b".%d.%d" % (number, sid), b"%d" % sid,
                              b"found"))
        begun = time.monotonic()
        for client in clients:
            client.send(b"".join(b"UNSUB %d\r\n" % n for n in range(each)) +
                        PING)
            client.expect(PONG)
        dropped = time.monotonic() - begun
        line = "    added in %.2f s, dropped in %.2f s" % (added, dropped)
        if start is not None:
            empty = memory(server.tree())
            sizes.append(full)
            line += "; memory %.1f, %.1f, %.1f MB (%d bytes each)" % (
                start / 1e6, full / 1e6, empty / 1e6,
                (full - start) / SUBSCRIPTIONS)
            check((full - start) / SUBSCRIPTIONS <= 400,
                  "%d bytes for each", (full - start) / SUBSCRIPTIONS)
        print(line + "; a message: " + quantiles(times))
        check(times[50] < 0.005 * SLOW, "a message takes %.1f ms",
              times[50] * 1e3)
    if sizes and not is_sanitized(program()):
        # the cells of what one read() has dropped are not free yet for what
        # the next one adds, so the first rounds may take some more
        check(sizes[-1] <= 1.05 * sizes[1] + (1 << 20) and
              sizes[-1] <= 1.25 * sizes[0], "memory grows: %r", sizes)
    # nothing is left
    for number, client in enumerate(clients):
        pair.b.pub(base + b".%d.%d" % (number, number * 37 % each), b"lost")
    pair.b.expect_nothing()
    for client in clients:
        client.expect_nothing()


if __name__ == "__main__":
    sys.exit(suite.main())
