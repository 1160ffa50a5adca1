#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Connecting: INFO, CONNECT, PING and PONG, half-close."""

import os
import re
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
from natsdtest import *  # noqa: E402,F403

suite = Suite("connect")


@suite.scenario("INFO comes first and is complete")
def info(env):
    client = env.client(connect=None)
    got = client.info
    check(re.fullmatch(r"N[A-Z2-7]{55}", got["server_id"]),
          "server_id %r", got["server_id"])
    check(re.match(r"\d+\.\d+\.\d+", got["version"]),
          "version %r", got["version"])
    equal(got["proto"], 1, "proto")
    equal(got["headers"], True, "headers")
    equal(got["max_payload"], 1048576, "max_payload")
    check(isinstance(got["go"], str) and got["go"], "go %r", got["go"])
    equal(got["port"], env.server.address[1], "port")
    equal(got["host"], "127.0.0.1", "host")
    equal(got["client_ip"], "127.0.0.1", "client_ip")
    check(isinstance(got["client_id"], int) and got["client_id"] > 0,
          "client_id %r", got["client_id"])
    check(got["client_id"] < 1 << 31, "client_id %r", got["client_id"])
    check(" " not in got["server_name"] and got["server_name"],
          "server_name %r", got["server_name"])
    for absent in ("auth_required", "tls_required", "tls_available", "nonce",
                   "connect_urls", "ldm", "jetstream", "cluster"):
        check(absent not in got, "INFO has %s", absent)
    if not REFERENCE:
        check(isinstance(got["worker"], int), "worker %r", got.get("worker"))


@suite.scenario("INFO line is below 32 KiB and ends in CRLF")
def info_line(env):
    client = env.keep(Client(env.server.address, info=False))
    line = client.line()
    check(line.endswith(b"\r\n"), "INFO ends in %r", line[-2:])
    check(len(line) < 32768, "INFO has %d bytes", len(line))
    client.expect_nothing()


@suite.scenario("same server_id, different client ids in all workers")
def ids(env):
    clients = [env.client(connect=None) for _ in range(12)]
    equal(len({c.info["server_id"] for c in clients}), 1, "server ids")
    equal(len({c.info["client_id"] for c in clients}), 12, "client ids")


@suite.scenario("every worker takes connections", reference=False)
def spread(env):
    slots = env.server.worker_slots()
    equal(len(slots), env.workers, "workers that serve")
    for slot in slots:
        env.on(slot).expect_nothing()


@suite.scenario("connections are spread evenly", reference=False)
def even(env):
    clients = [env.client(connect=None) for _ in range(200)]
    counts = {}
    for client in clients:
        counts[client.worker] = counts.get(client.worker, 0) + 1
    equal(len(counts), env.workers, "workers with connections")
    mean = len(clients) / env.workers
    check(max(counts.values()) <= mean * 1.2 + 2, "counts %r", counts)


@suite.scenario("PING before CONNECT, many PINGs in one write")
def pings(env):
    client = env.client(connect=None)
    client.send(PING * 1000)
    client.expect(PONG * 1000)
    client.expect_nothing()


@suite.scenario("first byte before INFO was read")
def early(env):
    client = env.keep(Client(env.server.address, info=False))
    client.send(C0 + PING)
    client.read_info()
    client.expect(PONG)


@suite.scenario("half-close: input is served, then end of file (S31)")
def half(env):
    client = env.client(connect=None)
    client.send(C0 + PING + PING)
    client.half_close()
    client.expect(PONG + PONG)
    client.expect_eof()


@suite.scenario("messages of a half-closed publisher arrive", pairs=True)
def half_publish(env):
    subject = env.subj()
    a, b = env.pair()
    a.sub(subject + b" 1")
    b.send(b"".join(pub(subject, b"%d" % n) for n in range(100)))
    b.half_close()
    b.expect_eof()
    a.expect(b"".join(msg(subject, b"1", b"%d" % n) for n in range(100)))
    a.expect_nothing()


@suite.scenario("no second INFO between CONNECT and the first PONG")
def one_info(env):
    client = env.client(connect=None)
    client.send(C1 + PING)
    client.expect(PONG)
    client.send(C0 + PING)
    client.expect(PONG)


@suite.scenario("a second CONNECT keeps what it does not name")
def second(env):
    client = env.client(CN[:-3] + b',"echo":false}\r\n')
    client.send(b"CONNECT {}\r\n" + PING)
    client.expect(PONG)  # still neither verbose nor pedantic
    subject, inbox = env.subj(), env.subj() + b".re"
    client.sub(inbox + b" 7")
    client.send(hpub(inbox, b"NATS/1.0\r\n\r\n") +
                pub(subject, b"x", inbox) + PING)
    client.expect(no_responders(inbox, b"7", subject) + PONG)
    client.send(b'CONNECT {"no_responders":false,"echo":true}\r\n')
    client.sub(inbox + b" 7")
    client.send(pub(subject, b"x", inbox) +
                hpub(inbox, b"NATS/1.0\r\n\r\n") + PING)
    client.expect(hmsg(inbox, b"7", b"NATS/1.0\r\n\r\n") + PONG)


@suite.scenario("connections come and go")
def churn(env):
    for _ in range(300):
        client = env.server.client()
        client.send(C0 + PING)
        client.expect(PONG)
        client.abandon()
    env.client().expect_nothing()


if __name__ == "__main__":
    sys.exit(suite.main())
