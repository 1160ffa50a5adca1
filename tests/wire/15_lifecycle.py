#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Signals, reload, pid file, detaching, processes that die."""

import contextlib
import os
import re
import signal
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
from natsdtest import *  # noqa: E402,F403

suite = Suite("lifecycle")

NO = err("Authorization Violation")


def traffic(env, a, b, subject, count=1):
    """b's messages reach a, which is subscribed with sid 1"""
    for n in range(count):
        b.pub(subject, b"%d" % n)
        a.expect(msg(subject, b"1", b"%d" % n))


def all_workers(server, count):
    """Wait until so many different workers take connections."""
    def look():
        server.slots = None
        held = []
        found = set()
        try:
            for _ in range(40 * count):
                held.append(server.client())
                found.add(held[-1].worker)
                if len(found) >= count:
                    return found
        except (Failure, OSError):
            return None
        finally:
            for client in held:
                client.abandon()
        return None
    return wait_for(look, "%d workers that serve" % count, step=0.05)


# stopping

@suite.scenario("SIGTERM and SIGINT: end of file without a byte, exit 0")
def stop(env):
    for number in (signal.SIGTERM, signal.SIGINT):
        server = env.own_server()
        clients = [env.client(c, server) for c in (C0, C1, None)]
        clients += env.each(server=server)
        clients[0].sub(b"a 1")
        server.stop(number)
        for client in clients:
            client.expect_eof()
        log = server.log()
        check("Server Exiting" in log or not log, "log:\n%s", log)


@suite.scenario("what was confirmed is flushed before the end", pairs=True)
def flush(env):
    server = env.own_server()
    subject = env.subj()
    a, b = env.pair(server=server)
    a.sub(subject + b" 1")
    b.send(pub(subject, b"m" * 500) * 1000 + PING)
    b.expect(PONG)
    server.raise_signal(signal.SIGTERM)
    a.expect(msg(subject, b"1", b"m" * 500) * 1000)
    a.expect_eof()
    equal(server.wait_exit(), 1 if REFERENCE else 0, "exit status")
    server.nothing_left()
    server.kill()
    server.remove()


@suite.scenario("a SIGTERM to all of them: what was confirmed is flushed",
                workers=(2,), pairs=True, reference=False)
def flush_all(env):
    server = env.own_server()
    subject = env.subj()
    a = env.client(C0, server, rcvbuf=16384)
    b = env.near(a, C0, server)
    a.sub(subject + b" 1")
    b.send(pub(subject, b"m" * 50000) * 200 + PING)
    b.expect(PONG)
    workers = server.worker_pids()
    for pid in workers:
        os.kill(pid, signal.SIGTERM)
    wait_for(lambda: server.log().count("channel has ended: leaving") == 2,
             "the workers to leave")
    server.raise_signal(signal.SIGTERM)
    server.wait_log("Initiating Shutdown")
    a.expect(msg(subject, b"1", b"m" * 50000) * 200)
    a.expect_eof()
    equal(server.wait_exit(), 0, "exit status")
    server.nothing_left()
    server.kill()
    server.remove()


@suite.scenario("clients that do not read do not delay the end",
                reference=False)
def stuck(env):
    server = env.own_server()
    subject = env.subj()
    lazy = env.client(C0, server, rcvbuf=16384)
    lazy.sub(subject + b" 1")
    b = env.client(C0, server)
    b.send(pub(subject, b"m" * 60000) * 300 + PING)
    b.expect(PONG)
    begun = time.monotonic()
    server.stop()
    check(time.monotonic() - begun < 15 * SLOW, "took %.1f s",
          time.monotonic() - begun)


@suite.scenario("who comes back at once does not meet what is leaving",
                workers=(2, 4), reference=False)
def stop_listening(env):
    server = env.own_server()
    clients = env.each(server=server)
    with contextlib.ExitStack() as late:
        for client in clients[1:]:
            late.enter_context(Stopped(pid_of(server, client.worker)))
        server.raise_signal(signal.SIGTERM)
        clients[0].expect_eof()
        # a worker that has not heard of the end yet must not take it
        for address in server.address, server.socket_path:
            try:
                Client(address, info=False).abandon()
            except ConnectionRefusedError:
                continue
            raise Failure("a connection to a natsd that leaves: %s" %
                          (address,))
    for client in clients[1:]:
        client.expect_eof()
    equal(server.wait_exit(), 0, "exit status")
    server.nothing_left()
    server.kill()
    server.remove()


@suite.scenario("stop in the middle of traffic", reference=False)
def busy_stop(env):
    for _ in range(3):
        server = env.own_server()
        subject = env.subj()
        subscribers = env.each(server=server)
        for client in subscribers:
            client.sub(subject + b" 1")
        publishers = env.each(server=server)

        def publish(client):
            try:
                while True:
                    client.sock.sendall(pub(subject, b"m" * 300) * 100)
            except OSError:
                pass

        def read(client):
            try:
                while client.fill(time.monotonic() + 60):
                    client.buf.clear()
            except OSError:
                pass

        tasks = [Background(publish, c) for c in publishers] + \
            [Background(read, c) for c in subscribers]
        time.sleep(0.1)
        server.stop()
        for task in tasks:
            task.done()


@suite.scenario("stop while it starts: nothing is left", reference=False)
def early_stop(env):
    for turn in range(12):
        server = env.own_server(start=False)
        server.write_conf({"pid_file": server.path("natsd.pid")})
        server.spawn()
        time.sleep(turn * 0.002)
        server.raise_signal(signal.SIGTERM)
        # before main() has begun the signal kills as it kills anything
        status = server.wait_exit()
        check(status in (0, -signal.SIGTERM), "exit status %d", status)
        server.nothing_left()
        server.kill()
        server.remove()


# reload

@suite.scenario("SIGHUP: max_payload (S12)", reference=False)
def reload_payload(env):
    server = env.own_server({"max_payload": 1000})
    old = env.each(C1, server=server)
    for client in old:
        client.send(pub(b"a", b"x" * 1000) + PING)
        client.expect(PONG)
    server.reload({"max_payload": 500})
    server.wait_log("Reloaded: max_payload = 500")
    for client in old:
        client.expect_nothing()
        client.send(pub(b"a", b"x" * 500) + PING)
        client.expect(PONG)
        client.send(pub(b"a", b"x" * 501))
        client.expect(err("Maximum Payload Violation"))
        client.expect_eof()
    for client in env.each(None, server=server):
        equal(client.info["max_payload"], 500, "max_payload in INFO")
    server.reload({"max_payload": 2000})
    client = env.client(C0, server)
    equal(client.info["max_payload"], 2000, "max_payload in INFO")
    client.send(pub(b"a", b"x" * 2000) + PING)
    client.expect(PONG)


@suite.scenario("SIGHUP: max_connections lowered (S13)", reference=False)
def reload_connections(env):
    server = env.own_server({"max_connections": 50})
    clients = [env.client(C0, server) for _ in range(10)]
    server.reload({"max_connections": 4})
    closed = []

    def look():
        for client in clients:
            if client not in closed and client.hung_up():
                closed.append(client)
        return len(closed) >= 6
    wait_for(look, "six connections to be closed")
    for client in clients:
        if client in closed:
            client.expect(err("maximum connections exceeded"))
            client.expect_eof()
        else:
            client.expect_nothing()
    equal(len(closed), 6, "closed connections")
    extra = env.client(None, server)
    extra.expect(err("maximum connections exceeded"))


@suite.scenario("SIGHUP: password changed (S10), added, removed",
                reference=False)
def reload_password(env):
    def conf(password):
        return {"authorization": {"user": "u", "password": password}}

    server = env.own_server(conf("one"))
    old = env.each(auth("u", "one"), server=server)
    server.reload(conf("two"))
    for client in old:
        client.expect(NO)
        client.expect_eof()
    new = env.each(auth("u", "two"), server=server)
    bad = env.client(None, server)
    bad.send(auth("u", "one"))
    bad.expect(NO)
    server.reload(dict(conf("two"), max_payload=5000))
    for client in new:
        client.expect_nothing()
    server.reload({})
    for client in new:
        client.expect_nothing()
    plain = env.each(C0, server=server)
    silent = env.client(None, server)
    server.reload(conf("three"))
    for client in plain + [silent]:
        client.expect(NO)
        client.expect_eof()
    for client in new:
        # a user name that is no longer valid: closed, with or without text
        check(client.until_eof() in (b"", NO), "text at the end")
    for client in env.each(auth("u", "three"), server=server):
        client.expect_nothing()
    log = server.log()
    for secret in ("one", "two", "three"):
        check('"%s"' % secret not in log and "= " + secret not in log,
              "password in the log:\n%s", log)


@suite.scenario("SIGHUP: a bad file changes nothing (S14)", reference=False)
def reload_bad(env):
    server = env.own_server({"max_payload": 1000})
    clients = env.each(server=server)
    good = server.text()
    for bad, pattern in (
            (good + "max_payload = banana\n", r"natsd.conf:\d+: "),
            (good + "no_such_option = 1\n", r"natsd.conf:\d+: .*no_such_opt"),
            (good.replace("1000", "128MB"), r"natsd.conf:\d+: .*max_payload"),
            (good + "authorization {\n", r"natsd.conf:\d+: "),
            ("max_payload: 10\n", r"natsd.conf:1: "),
            ("\x00\x01\x02", r"natsd.conf")):
        start = len(server.log())
        server.write(bad)
        server.reload(good=False)
        server.wait_log("Failed to reload server configuration: .*" + pattern,
                        start)
        for client in clients:
            client.send(pub(b"a", b"x" * 1000) + PING)
            client.expect(PONG)
    os.unlink(server.conf_path)
    server.reload(good=False)
    os.mkdir(server.conf_path)
    server.reload(good=False)
    os.rmdir(server.conf_path)
    for client in clients:
        client.expect_nothing()
    server.write(good.replace("1000", "900"))
    server.reload()
    clients[0].send(pub(b"a", b"x" * 901))
    clients[0].expect(err("Maximum Payload Violation"))


def stop_reader(server, known):
    """SIGHUP until the process that reads the file is stopped meanwhile."""
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        start = len(server.log())
        server.raise_signal(signal.SIGHUP)
        while "eload" not in server.log()[start:]:
            for pid in children(server.pid):
                if pid in known:
                    continue
                try:
                    os.kill(pid, signal.SIGSTOP)
                except OSError:
                    continue
                if alive(pid):
                    return pid
    raise Failure("the process that reads the file was never caught")


@suite.scenario("SIGHUP: what reads the file hangs", workers=(1,),
                reference=False)
def reload_hangs(env):
    server = env.own_server({"max_payload": 1000})
    client = env.client(C0, server)
    known = server.worker_pids()
    # as long as it may be: it takes its time
    server.write(server.text() + "# text\n" * 120000)
    start = len(server.log())
    reader = stop_reader(server, known)
    try:
        client.expect_nothing()
        server.wait_log("Failed to reload server configuration: reading the "
                        "configuration takes too long", start)
        wait_for(lambda: not alive(reader), "its end")
    finally:
        try:
            os.kill(reader, signal.SIGCONT)
        except OSError:
            pass
    equal(server.worker_pids(), known, "workers")
    server.reload({"max_payload": 900})
    # whoever stops natsd does not wait for it
    server.write(server.text() + "# text\n" * 120000)
    reader = stop_reader(server, known)
    begun = time.monotonic()
    server.raise_signal(signal.SIGTERM)
    equal(server.wait_exit(), 0, "exit status")
    check(time.monotonic() - begun < 3 * SLOW, "the stop took its time")
    client.expect_eof()
    server.nothing_left()
    server.kill()
    server.remove()


@suite.scenario("SIGHUP: what needs a restart is named, the rest applied",
                reference=False)
def reload_restart(env):
    server = env.own_server({"max_payload": 1000})
    client = env.client(C0, server)
    server.write(server.text().replace("127.0.0.1:-1", "127.0.0.1:1")
                 .replace("1000", "500"))
    start = len(server.log())
    server.reload()
    server.wait_log(r"natsd.conf:\d+: listen: changed, takes effect at the "
                    r"next restart", start)
    client.send(pub(b"a", b"x" * 501))
    client.expect(err("Maximum Payload Violation"))
    equal(env.client(C0, server).info["max_payload"], 500, "max_payload")


@suite.scenario("SIGHUP: limits of lines, subscriptions and tokens",
                reference=False)
def reload_limits(env):
    server = env.own_server()
    clients = env.each(server=server)
    server.reload({"max_control_line": 128, "max_subscriptions": 2,
                   "max_subscription_tokens": 3})
    for client in clients:
        client.send(b"SUB a 1\r\nSUB a.b.c.d 2\r\nSUB b 3\r\nSUB c 4\r\n" +
                    PING + b"SUB " + b"x" * 200 + b" 5\r\n")
        client.expect(
            err('Permissions Violation for Subscription to "a.b.c.d", '
                'too many tokens') + err("maximum subscriptions exceeded") +
            PONG + err("maximum control line exceeded"))
        client.expect_eof()


@suite.scenario("SIGHUP: more connections than there is room for",
                reference=False)
def reload_room(env):
    server = env.own_server({"max_connections": 5})
    server.reload({"max_connections": 261})
    warning = "until the next restart a worker has room for 261 connections"
    check(warning not in server.log(), "warned of what fits")
    server.reload({"max_connections": 262})
    check(warning in server.log(), "no warning")


@suite.scenario("SIGHUP: ping_interval", reference=False)
def reload_ping(env):
    server = env.own_server({"ping_interval": "2s"})
    client = env.client(C0, server)
    server.reload({"ping_interval": "300ms", "ping_max": 1})
    end = client.deadline()
    while not client.eof:
        client.fill(end)
    check(bytes(client.buf).endswith(err("Stale Connection")), "got %s",
          show(client.buf))


@suite.scenario("SIGHUP: debug and trace", reference=False)
def reload_debug(env):
    server = env.own_server()
    client = env.client(C0, server)
    server.reload({"debug": True, "trace": True})
    server.wait_log("Reloaded: debug = true")
    server.wait_log("Reloaded: trace = true")
    client.pub(b"seen.%d" % env.number, b"payload")
    server.wait_log(r"\[TRC\].*<<- \[PUB seen.%d 7\]" % env.number)
    server.reload({})
    server.wait_log("Reloaded: debug = false")
    client.pub(b"unseen.%d" % env.number, b"payload")
    client.expect_nothing()
    env.client(C0, server).expect_nothing()
    check("unseen" not in server.log(), "still traced")


@suite.scenario("many SIGHUPs while messages flow", pairs=True,
                reference=False)
def reload_often(env):
    server = env.own_server()
    subject = env.subj()
    a, b = env.pair(server=server)
    a.sub(subject + b" 1")
    for n in range(15):
        server.reload({"max_payload": 1000 + n})
        server.raise_signal(signal.SIGHUP)
        traffic(env, a, b, subject, 20)
    # the last verdict seen may be that of the signal before
    wait_for(lambda: all(client.info["max_payload"] == 1014
                         for client in env.each(None, server=server)),
             "the last max_payload in every worker", step=0.05)


@suite.scenario("SIGHUP without a file", workers=(1,), reference=False)
def reload_no_file(env):
    server = env.own_server(start=False)
    command = server.command()
    server.command = lambda: [command[0], "-a", "127.0.0.1", "-p", "-1",
                              "-w", "1", "--ports_file_dir", server.dir]
    if os.path.exists("/etc/natsd/natsd.conf") or \
            os.path.exists("/usr/local/etc/natsd/natsd.conf"):
        raise Skip("there is a configuration file in the default place")
    server.start()
    client = env.client(C0, server)
    server.raise_signal(signal.SIGHUP)
    server.wait_log("can only reload config when a file is provided using "
                    "-c or --config")
    client.expect_nothing()


# log

@suite.scenario("SIGUSR1 reopens the log", reference=False)
def reopen(env):
    server = env.own_server(start=False)
    log = server.path("natsd.log")
    server.allowed |= {"natsd.log", "natsd.log.1"}
    server.write_conf({"log_file": log, "debug": True})
    server.start()
    clients = env.each(server=server)
    server.wait_log("Server is ready", path=log)
    os.rename(log, log + ".1")
    server.raise_signal(signal.SIGUSR1)
    server.wait_log("File log re-opened", path=log)
    for client in clients:
        client.send(b"BAD\r\n")
        client.expect(err("Unknown Protocol Operation"))
    server.wait_log("Client connection closed", path=log)
    with open(log + ".1") as file:
        check("Unknown Protocol Operation" not in file.read(),
              "still writes to the old file")
    equal(os.stat(log).st_mode & 0o777, 0o640, "mode of the log file")
    server.raise_signal(signal.SIGUSR1)
    server.wait_log("(?s)File log re-opened.*File log re-opened", path=log)


@suite.scenario("SIGUSR1 without a log file", reference=False)
def reopen_nothing(env):
    server = env.own_server()
    server.raise_signal(signal.SIGUSR1)
    server.wait_log("File log re-open ignored, not a file logger")
    env.client(C0, server).expect_nothing()


@suite.scenario("a log file that cannot be opened again", reference=False)
def reopen_fails(env):
    server = env.own_server(start=False)
    os.mkdir(server.path("logs"))
    log = server.path("logs/natsd.log")
    server.allowed |= {"gone"}
    server.write_conf({"log_file": log})
    server.start()
    os.rename(server.path("logs"), server.path("gone"))
    server.raise_signal(signal.SIGUSR1)
    client = env.client(C0, server)
    client.expect_nothing()


@suite.scenario("signals to a worker change nothing", reference=False)
def worker_signals(env):
    server = env.own_server()
    clients = env.each(server=server)
    for pid in server.worker_pids():
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGUSR1,
                       signal.SIGPIPE, signal.SIGWINCH):
            os.kill(pid, number)
    for client in clients:
        client.expect_nothing()
    for client in clients:
        client.expect_nothing()


# pid file and detaching

@suite.scenario("pid file: held, refused to a second, removed")
def pid_file(env):
    server = env.own_server(start=False)
    pid = server.path("natsd.pid")
    if REFERENCE:
        raise Skip("leaves its pid file")
    server.write_conf({"pid_file": pid})
    server.start()
    with open(pid) as file:
        equal(file.read(), "%d\n" % server.pid, "pid file")
    equal(os.stat(pid).st_mode & 0o777, 0o644, "mode of the pid file")
    second = env.own_server({"pid_file": pid}, start=False)
    second.spawn()
    equal(second.wait_exit(), 1, "exit status of the second")
    check(re.search(r"\b%d\b" % server.pid, second.log()),
          "its message does not name pid %d: %s", server.pid, second.log())
    second.nothing_left()
    second.kill()
    second.remove()
    with open(pid) as file:
        equal(file.read(), "%d\n" % server.pid, "pid file")
    env.client(C0, server).expect_nothing()


@suite.scenario("a stale pid file is no obstacle", workers=(1,),
                reference=False)
def stale_pid(env):
    server = env.own_server(start=False)
    pid = server.path("natsd.pid")
    with open(pid, "w") as file:
        file.write("1\n" * 20)
    server.write_conf({"pid_file": pid})
    server.start()
    with open(pid) as file:
        equal(file.read(), "%d\n" % server.pid, "pid file")


@suite.scenario("a pid file that cannot be written", workers=(1,),
                reference=False)
def bad_pid(env):
    server = env.own_server(start=False)
    pid = server.path("no/such/folder/natsd.pid")
    server.write_conf({"pid_file": pid})
    server.spawn()
    equal(server.wait_exit(), 1, "exit status")
    check(pid in server.log(), "the message does not name it: %s",
          server.log())
    server.nothing_left()
    server.kill()
    server.remove()


@suite.scenario("an occupied port", reference=False)
def occupied(env):
    first = env.own_server()
    port = first.address[1]
    for flags in ([], ["-d"]):
        second = env.own_server(start=False, unix=False, args=flags)
        second.allowed |= {"natsd.log"}
        second.write_conf({"listen": ["127.0.0.1:%d" % port]})
        second.spawn()
        equal(second.wait_exit(), 1, "exit status")
        check(re.search(r'Error listening on port: 127\.0\.0\.1:%d, ".+"' %
                        port, second.log()), "log:\n%s", second.log())
        second.nothing_left()
        second.kill()
        second.remove()
    env.client(C0, first).expect_nothing()


@suite.scenario("-d: the parent leaves when all is ready", reference=False)
def daemon(env):
    server = env.own_server(start=False, args=["-d"])
    pid, log = server.path("natsd.pid"), server.path("natsd.log")
    server.allowed |= {"natsd.log"}
    server.write_conf({"pid_file": pid, "log_file": log})
    server.spawn()
    equal(server.wait_exit(), 0, "exit status of the parent; stderr:\n" +
          server.log())
    server.proc = None
    # nothing is waited for from here on
    with open(pid) as file:
        server.pid = int(file.read())
    check(server.read_ports(), "no ports file yet")
    server.wait_ready()
    client = env.client(C0, server)
    client.expect_nothing()
    equal(len(server.worker_pids()), env.workers, "workers")
    stat = proc_stat(server.pid)
    check(stat[2] != os.getsid(0), "still in our session")
    check(stat[1] != os.getpid(), "still our child")
    server.raise_signal(signal.SIGTERM)
    client.expect_eof()
    wait_for(lambda: not alive(server.pid), "natsd to end")
    server.nothing_left()
    server.remove()
    server.pid = None


@suite.scenario("-d: the parent says what went wrong", workers=(1,),
                reference=False)
def daemon_fails(env):
    for conf, status, text in (
            ({"pid_file": "/no/such/folder/natsd.pid"}, 1, "/no/such/folder"),
            ({"max_payload": "banana"}, 78, "banana"),
            ({"log_file": "/no/such/folder/natsd.log"}, 78,
             "/no/such/folder")):
        server = env.own_server(conf, start=False, args=["-d"])
        server.spawn()
        equal(server.wait_exit(), status, "exit status; stderr:\n" +
              server.log())
        check(text in server.log(), "stderr does not say it:\n%s",
              server.log())
        server.nothing_left()
        server.kill()
        server.remove()


# processes that die

@suite.scenario("kill -9 of a worker", reference=False, workers=(2, 4))
def worker_dies(env):
    server = env.own_server(deaths=True)
    subject = env.subj()
    inbox = b"_INBOX.%d" % env.number
    clients = env.each(CN, server=server)
    for client in clients:
        client.sub(subject + b".%d 1" % client.worker, subject + b" 4",
                   subject + b".q q 3", inbox + b".%d 2" % client.worker)
    victim = server.worker_pids()[0]
    os.kill(victim, signal.SIGKILL)
    dead = wait_for(lambda: next((c for c in clients if c.hung_up()), None),
                    "a connection to end")
    dead.expect_eof()
    rest = [client for client in clients if client is not dead]
    # its subscriptions go with it
    for client in rest:
        lost = subject + b".%d" % dead.worker
        mine = inbox + b".%d" % client.worker

        def gone():
            client.send(pub(lost, b"x", mine) + PING)
            got = client.event()
            if got == PONG:
                return False
            equal(client.event(), PONG, "after the 503")
            return got
        got = wait_for(gone, "the dead worker's subscriptions to vanish")
        equal(got.header[:12], b"NATS/1.0 503", "header")
    # the others reach each other, and only each other
    for client in rest:
        client.send(pub(subject, b"alive") + PING)
    for client in rest:
        got = []
        while len(got) < len(rest) + 1:
            event = client.event()
            got.append(event)
        equal(sum(isinstance(e, Message) for e in got), len(rest),
              "messages")
    rest[0].send(pub(subject + b".q", b"%d" % env.number) * 30 + PING)
    count = 0
    while True:
        event = rest[0].event()
        if event == PONG:
            break
        count += 1
    count += sum(len(client.messages()) for client in rest[1:])
    equal(count, 30, "messages to the group")
    server.wait_log(r"worker \d+ \(pid %d\) killed by signal 9, "
                    r"1 connections? lost, restarting" % victim)
    slots = all_workers(server, env.workers)
    wait_for(lambda: len(server.worker_pids()) == env.workers,
             "the successor")
    check(victim not in server.worker_pids(), "the dead one is still there")
    # old and new together
    newcomers = [env.on(slot, CN, server=server) for slot in slots]
    ids = [client.info["client_id"] for client in clients + newcomers]
    equal(len(set(ids)), len(ids), "different client ids")
    for client in newcomers:
        client.sub(subject + b".new 1")
    for client in rest + newcomers:
        client.pub(subject + b".new", b"hello")
    for client in newcomers:
        client.expect(msg(subject + b".new", b"1", b"hello") *
                      len(rest + newcomers))
    for client in rest:
        client.expect_nothing()


@suite.scenario("the only worker dies", workers=(1,), reference=False)
def only_worker_dies(env):
    server = env.own_server(deaths=True)
    for _ in range(2):
        client = env.client(C0, server)
        os.kill(server.worker_pids()[0], signal.SIGKILL)
        client.expect_eof()
        new = env.client(C0, server)
        new.sub(env.subj() + b" 1")
        new.pub(env.subj(), b"again")
        new.expect(msg(env.subj(), b"1", b"again"))


@suite.scenario("all workers die, one after the other, under traffic",
                reference=False, workers=(2, 4))
def all_die(env):
    server = env.own_server(deaths=True)
    subject = env.subj()
    stopping = []

    def chatter():
        """Publishes to itself through others; connects again when cut."""
        while not stopping:
            try:
                client = server.client(C0)
                try:
                    client.sub(subject + b" 1")
                    for _ in range(50):
                        client.send(pub(subject, b"m" * 5000) * 4)
                        client.messages()
                finally:
                    client.abandon()
            except (Failure, OSError, ValueError):
                time.sleep(0.01)

    tasks = [Background(chatter) for _ in range(4)]
    for pid in server.worker_pids():
        time.sleep(0.2)
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: len(server.worker_pids()) == env.workers and
                 pid not in server.worker_pids(), "the successor")
    stopping.append(True)
    for task in tasks:
        task.done()
    slots = all_workers(server, env.workers)
    clients = [env.on(slot, C0, server=server) for slot in slots]
    for client in clients:
        client.sub(subject + b".end 1")
    for client in clients:
        client.pub(subject + b".end", b"z")
    for client in clients:
        client.expect(msg(subject + b".end", b"1", b"z") * len(clients))


@suite.scenario("reload reaches the successor of a dead worker",
                reference=False)
def reload_after_death(env):
    server = env.own_server({"max_payload": 1000}, deaths=True)
    server.reload({"max_payload": 700})
    before = server.worker_pids()
    os.kill(before[0], signal.SIGKILL)
    wait_for(lambda: len(server.worker_pids()) == env.workers and
             before[0] not in server.worker_pids(), "the successor")
    all_workers(server, env.workers)
    for client in env.each(None, server=server):
        equal(client.info["max_payload"], 700, "max_payload")


@suite.scenario("kill -9 of the master: the workers leave", reference=False)
def master_dies(env):
    server = env.own_server(start=False, deaths=True)
    pid = server.path("natsd.pid")
    server.write_conf({"pid_file": pid})
    server.start()
    workers = server.worker_pids()
    clients = env.each(server=server)
    os.kill(server.pid, signal.SIGKILL)
    server.wait_exit()
    for client in clients:
        client.expect_eof()
    wait_for(lambda: not any(alive(p) for p in workers),
             "the workers to leave")
    # its locks are gone: another one can take the place
    os.unlink(server.ports_path())
    server.start()
    env.client(C0, server).expect_nothing()


@suite.scenario("a worker that hangs is replaced (watchdog)",
                reference=False, workers=(2,))
def watchdog(env):
    server = env.own_server({"watchdog": "2s"}, deaths=True)
    clients = env.each(server=server)
    victim = server.worker_pids()[0]
    os.kill(victim, signal.SIGSTOP)
    try:
        dead = wait_for(
            lambda: next((c for c in clients if c.hung_up()), None),
            "the hanging worker to be killed")
        check(not alive(victim), "it still runs")
        for client in clients:
            if client is not dead:
                client.expect_nothing()
        all_workers(server, env.workers)
    finally:
        try:
            os.kill(victim, signal.SIGCONT)
        except OSError:
            pass


@suite.scenario("the log tells the life of it", reference=False)
def story(env):
    server = env.own_server()
    for text in ("Starting natsd", "Version:", "Server is ready",
                 r"Listening for client connections on 127\.0\.0\.1:\d+",
                 r"Using configuration file: .*natsd.conf \(sha256:"):
        server.wait_log(text)
    ready = re.findall(r"worker (\d+) ready \(pid (\d+)\)", server.log())
    equal(sorted(int(pid) for _, pid in ready), server.worker_pids(),
          "pids of workers in the log")
    equal(sorted(int(slot) for slot, _ in ready), server.worker_slots(),
          "numbers of workers in the log and in INFO")


if __name__ == "__main__":
    sys.exit(suite.main())
