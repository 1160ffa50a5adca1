#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Listeners: IPv4, IPv6 and Unix sockets, several at once."""

import contextlib
import os
import socket
import stat
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
from natsdtest import *  # noqa: E402,F403

suite = Suite("listeners")


def have_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False


@suite.scenario("TCP, TCP again, IPv6 and two Unix sockets at once",
                reference=False)
def several(env):
    server = env.own_server(start=False, unix=False)
    paths = [server.path("one.sock"), server.path("two.sock")]
    listen = ["127.0.0.1:-1", "127.0.0.1:0"]
    if have_ipv6():
        listen.append("[::1]:-1")
    server.write_conf({"listen": listen + ["unix:" + p for p in paths]})
    server.start()
    equal(len(server.addresses), len(listen), "addresses in the ports file")
    equal(len(set(server.addresses)), len(listen), "different addresses")
    everyone = [env.keep(Client(address).connect())
                for address in server.addresses + paths]
    if have_ipv6():
        found = [c for c in everyone if c.info.get("client_ip") == "::1"]
        equal(len(found), 1, "clients from ::1")
    subject = env.subj()
    for client in everyone:
        client.sub(subject + b" 1")
    for client in everyone:
        client.pub(subject, b"all")
    for client in everyone:
        client.expect(msg(subject, b"1", b"all") * len(everyone))
        client.expect_nothing()
    for path in paths:
        check(stat.S_ISSOCK(os.stat(path).st_mode), "%s is no socket", path)


@suite.scenario("Unix socket alone", reference=False)
def unix_only(env):
    server = env.own_server(start=False, unix=False)
    server.write_conf({"listen": ["unix:" + server.socket_path]})
    server.start()
    a = env.keep(Client(server.socket_path).connect())
    b = env.keep(Client(server.socket_path).connect())
    subject = env.subj()
    a.sub(subject + b" 1")
    b.pub(subject, b"x" * 500000)
    a.expect(msg(subject, b"1", b"x" * 500000))


@suite.scenario("every worker serves every listener", reference=False)
def all_workers(env):
    for unix in (False, True):
        for slot in env.server.worker_slots():
            env.on(slot, unix=unix).expect_nothing()


@suite.scenario("Unix and TCP clients, both directions", pairs=True,
                reference=False)
def crossing(env):
    subject = env.subj()
    a = env.client(unix=True)
    b = env.near(a)
    c = env.near(b, unix=True)
    for client in (a, b, c):
        client.sub(subject + b" 1")
    for client in (a, b, c):
        client.pub(subject, b"m" * 100000)
    for client in (a, b, c):
        client.expect(msg(subject, b"1", b"m" * 100000) * 3)


@suite.scenario("a stale socket file is replaced, a live one is not",
                workers=(1,), reference=False)
def stale(env):
    server = env.own_server(start=False)
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(server.socket_path)
    server.start()
    env.client(server=server, unix=True).expect_nothing()
    second = env.own_server(start=False, unix=False)
    second.write_conf({"listen": ["unix:" + server.socket_path]})
    second.spawn()
    equal(second.wait_exit(), 1, "exit status")
    check(server.socket_path in second.log(), "log:\n%s", second.log())
    env.client(server=server, unix=True).expect_nothing()
    second.kill()
    second.remove()


@suite.scenario("something else at the socket's path is left alone",
                workers=(1,), reference=False)
def in_the_way(env):
    server = env.own_server(start=False)
    with open(server.socket_path, "w") as file:
        file.write("precious")
    server.spawn()
    equal(server.wait_exit(), 1, "exit status")
    check(server.socket_path in server.log(), "log:\n%s", server.log())
    with open(server.socket_path) as file:
        equal(file.read(), "precious", "the file")
    server.kill()
    server.remove()


@suite.scenario("without address and credentials: loopback only",
                workers=(1,), reference=False)
def loopback(env):
    server = env.own_server(start=False, unix=False)
    server.write("port = -1\nworkers = 1\nports_file_dir = \"%s\"\n" %
                 server.dir)
    server.start()
    for host, _ in server.addresses:
        check(host in ("127.0.0.1", "::1", "localhost"), "listens on %s",
              host)
    server.wait_log("loopback")


@suite.scenario("with credentials: all addresses", workers=(1,),
                reference=False)
def everywhere(env):
    server = env.own_server(start=False, unix=False)
    server.write("port = -1\nworkers = 1\nports_file_dir = \"%s\"\n"
                 "authorization { user = u password = p }\n" % server.dir)
    server.start()
    client = env.keep(Client(("127.0.0.1", server.addresses[0][1])))
    equal(client.info["host"], "0.0.0.0", "host in INFO")
    client.connect(auth("u", "p"))


@suite.scenario("the log names the listeners", reference=False)
def named(env):
    server = env.own_server()
    server.wait_log(r"Listening for client connections on 127\.0\.0\.1:%d" %
                    server.address[1])
    server.wait_log("Listening for client connections on .*client.sock")


def completed(server, tries):
    """How many of so many connects the kernel completes by itself."""
    made = [socket.socket() for _ in range(tries)]
    done = 0
    for sock in made:
        sock.settimeout(0.5)
        try:
            sock.connect(server.address)
            done += 1
        except TimeoutError:
            pass
    for sock in made:
        sock.close()
    return done


@suite.scenario("listen_backlog: what waits while nobody accepts",
                workers=(1, 2), reference=False)
def backlog(env):
    for value, want in ((1, 2), (4096, 6)):
        server = env.own_server({"listen_backlog": value, "watchdog": "0"})
        server.worker_slots()  # all of them accept, and nobody waits
        with contextlib.ExitStack() as stack:
            for pid in server.worker_pids():
                stack.enter_context(Stopped(pid))
            equal(completed(server, 6), want, "connects with listen_backlog "
                  "= %d" % value)


@suite.scenario("worker_rlimit_nofile is each worker's limit",
                workers=(1, 2), reference=False)
def descriptors(env):
    server = env.own_server({"worker_rlimit_nofile": 700,
                             "max_connections": 100})
    for pid in server.worker_pids():
        with open("/proc/%d/limits" % pid) as file:
            limits = next(line for line in file
                          if line.startswith("Max open files"))
        equal(limits.split()[3], "700", "soft limit of %d" % pid)
    check("worker_rlimit_nofile" not in server.log(), "log:\n%s",
          server.log())
    # too little for natsd itself: more is allowed, and said
    server = env.own_server({"worker_rlimit_nofile": 64})
    found = server.wait_log(r"worker_rlimit_nofile = 64 is less than the "
                            r"(\d+) that natsd itself needs")
    for pid in server.worker_pids():
        with open("/proc/%d/limits" % pid) as file:
            limits = next(line for line in file
                          if line.startswith("Max open files"))
        equal(limits.split()[3], found.group(1), "soft limit of %d" % pid)


if __name__ == "__main__":
    sys.exit(suite.main())
