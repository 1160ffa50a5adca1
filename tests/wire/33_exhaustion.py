#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What a machine can run out of: descriptors, memory, disk, a log that takes
something, the right time.  And too much of everything: connections,
subscriptions, publishers that no consumer follows.

natsd_fault (tests/proc/fault.c) is a natsd whose calls fail when told so; its
place can be named by NATSD_FAULT_PROGRAM.  NATSD_TEST_FULL makes the long ones
long: every call of a start fails once, 60,000 connections, a million
subscriptions.
"""

import errno
import json
import mmap
import os
import random
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
from natsdtest import *  # noqa: E402,F403

suite = Suite("exhaustion")

MB = 1 << 20
FULL = bool(os.environ.get("NATSD_TEST_FULL"))
SEED = int(os.environ.get("NATSD_TEST_SEED", str(random.randrange(1 << 30))))
TOO_MANY = err("maximum connections exceeded")
TROUBLE = "Temporary Client Accept Error"

MEMORY, MAP, FD, ACCEPT, WATCH, FORK = (1 << n for n in range(6))


class Faults:
    """What fails in which process: struct fault of fault.c."""

    FORMAT = "<iIIIQQQQQq"

    def __init__(self, path):
        with open(path, "wb") as file:
            file.write(b"\0" * mmap.PAGESIZE)
        self.file = open(path, "r+b")
        self.map = mmap.mmap(self.file.fileno(), mmap.PAGESIZE)

    def get(self):
        return struct.unpack_from(self.FORMAT, self.map)

    def watch(self, pid):
        """Count that process's allocations."""
        self.clear()
        struct.pack_into("<i", self.map, 0, pid)
        struct.pack_into("<QQ", self.map, 40, 0, 0)

    def set(self, kinds, nth, error=errno.ENOMEM, more=False):
        """Call number nth from now on fails, and with more all behind it."""
        self.clear()
        struct.pack_into("<III", self.map, 4, kinds, error, more)
        struct.pack_into("<QQ", self.map, 24, 0, 0)
        struct.pack_into("<Q", self.map, 16, nth)

    def clear(self):
        struct.pack_into("<Q", self.map, 16, 0)

    def jump(self, seconds):
        struct.pack_into("<q", self.map, 56, int(seconds * 1e9))

    @property
    def fired(self):
        return self.get()[6]

    @property
    def left(self):
        """Allocations that were not freed, of the process watched."""
        return self.get()[7] - self.get()[8]


class FaultServer(Server):
    """A natsd whose calls can be made to fail."""

    def __init__(self, conf=None, workers=1, **kwargs):
        here = os.path.dirname(program(""))
        self.program = os.environ.get("NATSD_FAULT_PROGRAM") or \
            os.path.join(here, "tests", "proc", "natsd_fault")
        if not os.access(self.program, os.X_OK):
            raise Skip("no natsd_fault beside natsd")
        self.faults = None
        super().__init__(conf, workers, **kwargs)

    def command(self):
        return [self.program] + super().command()[1:]

    def spawn(self):
        if self.faults is None:
            self.allowed.add("faults")
            self.faults = Faults(self.path("faults"))
        os.environ["NATSD_FAULT"] = self.path("faults")
        try:
            super().spawn()
        finally:
            del os.environ["NATSD_FAULT"]


def fault_server(env, conf=None, **kwargs):
    made = FaultServer(env.conf if conf is None else conf,
                       workers=env.workers, **kwargs)
    env.servers.append(made)
    return made


class Others:
    """Two clients in each worker that must not notice anything."""

    made = 0

    def __init__(self, env, server):
        Others.made += 1
        self.subject, self.count = env.subj("others%d" % Others.made), 0
        self.clients = env.each(server=server)
        for client in self.clients:
            client.sub(self.subject + b" 1", self.subject + b" q 2")
        self.worst = 0

    def fine(self):
        begun = time.monotonic()
        text = b"%d" % self.count
        sender = self.clients[self.count % len(self.clients)]
        self.count += 1
        sender.pub(self.subject, text)
        got = []
        for client in self.clients:
            message = client.message()
            equal(message.payload, text, "payload")
            got.append(message.sid)
        for client in self.clients:
            got += [message.sid for message in client.messages()]
        equal(sorted(got), [b"1"] * len(self.clients) + [b"2"],
              "subscriptions that got the message")
        self.worst = max(self.worst, time.monotonic() - begun)


def cpu_ms(pids):
    """CPU time of those processes so far."""
    ticks = 0
    for pid in pids:
        try:
            with open("/proc/%d/stat" % pid, "rb") as file:
                rest = file.read().rsplit(b")", 1)[1].split()
        except OSError:
            continue
        ticks += int(rest[11]) + int(rest[12])
    return ticks * 1000 // os.sysconf("SC_CLK_TCK")


def calm(server, most=0.5, during=1.0):
    """Not a busy loop: CPU for so much of the time at most."""
    before = cpu_ms(server.tree())
    time.sleep(during)
    used = (cpu_ms(server.tree()) - before) / 1000
    check(used < most * during, "%.2f s CPU in %.1f s with nothing to do",
          used, during)


def lines(server, pattern, start=0):
    return re.findall(pattern, server.log()[start:])


# -------------------------------------------------------------- descriptors

def turned_away(server, unix=False):
    """Whether a new connection is sent away (as it should be), or the
    connection."""
    client = server.client(unix=unix)
    try:
        client.send(C0 + PING)
    except OSError:
        pass  # the answer is there all the same
    got = client.line()
    if got == PONG:
        return client
    equal(got, TOO_MANY, "answer to one for whom there is no descriptor")
    client.expect_eof()
    return None


def fill_up(env, server, most=2000):
    crowd = []
    for n in range(most):
        client = turned_away(server, n % 2 == 1)
        if client is None:
            return crowd
        crowd.append(env.keep(client))
    raise Failure("%d connections, and never too many" % most)


@suite.scenario("no descriptor is left: told so, and nobody else notices",
                workers=(1, 2), reference=False)
def descriptors(env):
    server = env.own_server({"worker_rlimit_nofile": 64})
    others = Others(env, server)
    crowd = fill_up(env, server)
    print("    %d connections" % len(crowd))
    check(len(crowd) >= 30 * env.workers, "only %d connections", len(crowd))
    for n in range(100):
        check(turned_away(server, n % 2 == 0) is None,
              "there is a descriptor again")
    others.fine()
    calm(server)
    count = len(lines(server, TROUBLE))
    check(1 <= count <= env.workers, "%d lines in the log", count)
    # a configuration comes as a descriptor
    pids = server.worker_pids()
    server.reload({"worker_rlimit_nofile": 64, "max_payload": 5000})
    crowd[0].send(b"PUB x 6000\r\n")
    crowd[0].expect(err("Maximum Payload Violation"))
    equal(server.worker_pids(), pids, "workers")
    # room again
    for client in crowd[:10]:
        client.abandon()
    client = wait_for(lambda: turned_away(server), "a descriptor to be free")
    client.abandon()
    for client in crowd[10:]:
        client.expect_nothing()
        client.abandon()
    wait_for(lambda: len(lines(server, TROUBLE)) == len(lines(
        server, r"connections are accepted again: \d+ attempts had failed, "
        r"\d+ connections were turned away")), "each to say that it is over")
    others.fine()
    # and once more
    start = len(server.log())
    crowd = fill_up(env, server)
    server.wait_log(TROUBLE, start)
    others.fine()


@suite.scenario("no descriptor is left, and a worker dies: its successor "
                "takes them", workers=(2, 4), reference=False)
def descriptors_death(env):
    server = env.own_server({"worker_rlimit_nofile": 64}, deaths=True)
    crowd = fill_up(env, server)
    start = len(server.log())
    os.kill(server.worker_pids()[0], signal.SIGKILL)
    server.wait_log(r"worker \d+ ready", start)
    for _ in range(20):
        client = turned_away(server)
        check(client is not None, "turned away by one worker, while another "
              "has room")
        env.keep(client)
    client.sub(b"successor 1")
    for other in crowd:
        if other.worker != client.worker and not other.hung_up():
            other.pub(b"successor", b"here")
            client.expect(msg(b"successor", b"1", b"here"))
            break
    for other in crowd:
        other.abandon()


@suite.scenario("accept() fails", workers=(1, 2), reference=False)
def accept_fails(env):
    server = fault_server(env)
    others = Others(env, server)
    for number in (errno.EMFILE, errno.ENOBUFS):
        start = len(server.log())
        server.faults.set(ACCEPT, 1, number, more=True)
        client = server.client(info=False)
        others.fine()
        server.wait_log(TROUBLE, start)
        calm(server, 0.3, 0.5)
        others.fine()
        check(not client.hung_up(), "closed")
        server.faults.clear()
        client.read_info()
        client.connect().close()
        check(1 <= len(lines(server, TROUBLE, start)) <= env.workers,
              "lines in the log:\n%s", server.log()[start:])
        server.wait_log(r"accepted again", start)
    # one time only
    for number in (errno.EINTR, errno.ECONNABORTED, errno.ENOMEM):
        server.faults.set(ACCEPT, 1, number)
        client = server.client(C0)
        equal(server.faults.fired, 1, "calls that failed")
        client.close()
    for number in (errno.EMFILE, errno.ENFILE):
        for client in others.clients:
            client.expect_nothing()
        server.faults.set(ACCEPT, 1, number)
        client = turned_away(server)
        equal(server.faults.fired, 1, "calls that failed")
        if client:
            client.close()
        check(env.workers > 1 or client is None, "accepted all the same")
    others.fine()


@suite.scenario("a connection that cannot be watched", workers=(1, 2),
                reference=False)
def watch_fails(env):
    server = fault_server(env)
    others = Others(env, server)
    for number in (errno.ENOSPC, errno.ENOMEM):
        server.faults.set(WATCH, 1, number)
        check(turned_away(server) is None, "served")
        equal(server.faults.fired, 1, "calls that failed")
        server.client(C0).close()
    others.fine()


@suite.scenario("too few descriptors to start", workers=(1, 2),
                reference=False)
def too_few_to_start(env):
    server = env.own_server({}, start=False)
    done = subprocess.run(
        ["sh", "-c", "ulimit -n 24 && exec \"$@\"", "sh"] + server.command(),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, timeout=TIMEOUT, preexec_fn=unprivileged)
    text = done.stdout.decode()
    equal(done.returncode, 1, "exit status; %s" % text)
    check("raise the limit of open files" in text, "no advice in %s", text)
    server.remove()
    env.servers.remove(server)


def unprivileged():
    """Root may raise its limits."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)


# ------------------------------------------------------------------- memory

class Gone(Exception):
    """The client at hand was closed."""


class Player:
    """A client of the session: it may be closed at any time, but as long as
    it is not, it gets all that it should."""

    def __init__(self, server, worker, connect):
        self.client = None
        try:
            self.client = server.connect_on(worker) if worker is not None \
                else server.client()
            self.say(connect)
        except (OSError, Failure):
            if self.client is None or not self.client.eof:
                raise
            raise Gone

    def say(self, data):
        """The replies up to the PONG behind it; Gone if it was closed."""
        client = self.client
        try:
            client.send(data + PING)
        except OSError:
            raise Gone
        found = []
        while True:
            try:
                got = client.event()
            except Failure:
                if client.eof:
                    raise Gone
                raise
            if got == PONG:
                return found
            found.append(got)

    def leave(self):
        if self.client:
            self.client.abandon()


LONG_SID = b"s" * 60
NAMES = (b'CONNECT {"verbose":false,"pedantic":false,"headers":true,'
         b'"no_responders":true,"name":"session","lang":"python",'
         b'"version":"1.2.3","user":"u","pass":"p"}\r\n')


def subscriptions(base):
    """What the receiver of the session asks for: SUB lines."""
    found = [b"%s.plain 1" % base, b"%s.wild.* 2" % base,
             b"%s.> 3" % base, b"%s.long %s" % (base, LONG_SID)]
    found += [b"%s.queue g %d" % (base, n) for n in range(10, 16)]
    found += [b"%s.many.%d %d" % (base, n, n) for n in range(100, 140)]
    found += [b"%s.group.a g%d %d" % (base, n, n) for n in range(200, 220)]
    return found


def publications(base):
    """(what is sent, messages that the receiver gets for it, 503s)"""
    yield pub(base + b".plain", b"x" * 20) * 30, 60, 0
    yield pub(base + b".wild.a") + pub(base + b".wild.b") * 2, 6, 0
    yield pub(base + b".queue", b"y" * 30) * 20, 40, 0
    yield pub(base + b".group.a"), 21, 0
    yield b"".join(pub(base + b".wild.%d" % (n % 4)) for n in range(40)), 80, 0
    yield hpub(base + b".long", b"NATS/1.0\r\nA: b\r\n\r\n"), 2, 0
    yield b"PUB %s.plain 5\r\nhello\n" % base, 2, 0
    yield pub(base + b".plain", b"z" * 20000), 2, 0
    yield pub(base + b".plain", b"Z" * 300000), 2, 0
    yield pub(b"none." + base, b"", b"_INBOX.session"), 0, 1
    yield pub(b"none." + base, b"", b"_INBOX.session") * 3, 0, 3


def session(env, server, here, there):
    """A subscriber in one worker and a publisher in another (None: any);
    returns how many of the two were closed."""
    base = env.subj("session")
    closed = refused = 0
    receiver = sender = None
    try:
        try:
            receiver = Player(server, here, NAMES)
            for got in receiver.say(b"".join(
                    b"SUB " + line + b"\r\n"
                    for line in subscriptions(base))):
                equal(got, err("maximum subscriptions exceeded"),
                      "answer to a SUB")
                refused += 1
        except Gone:
            closed += 1
            if receiver:
                receiver.leave()
            receiver = None
        try:
            sender = Player(server, there, NAMES)
            answers = sender.say(b"SUB _INBOX.session 9\r\n")
            refused += len(answers) * 100
            for data, messages, nobody in publications(base):
                half = len(data) // 2 if len(data) > 10000 else 0
                if half:
                    sender.client.send(data[:half])
                    sender.client.send(data[half:])
                    data = b""
                got = sender.say(data)
                if refused < 100:
                    equal(len(got), nobody, "503s for %s" % show(data))
                if receiver:
                    try:
                        got = receiver.say(b"")
                    except Gone:
                        closed += 1
                        receiver.leave()
                        receiver = None
                        continue
                    if refused == 0 and (here == there or here is None):
                        equal(len(got), messages, "messages for %s" %
                              show(data))
            sender.say(CN)
        except (Gone, OSError):
            closed += 1
        if receiver:
            try:
                receiver.say(b"UNSUB 1\r\nUNSUB 3 1\r\nUNSUB %s\r\n" %
                             LONG_SID)
            except Gone:
                closed += 1
    finally:
        for player in (receiver, sender):
            if player:
                player.leave()
    return closed


def each_fault(env, server, kinds, pid, here, there, others, number):
    """The session again and again, with one call more that succeeds each
    time, until none fails."""
    closed = nth = 0
    faults = server.faults
    while True:
        nth += 1
        faults.set(kinds, nth, number, more=FULL and nth % 7 == 3)
        try:
            session_closed = session(env, server, here, there)
        except Failure as failure:
            faults.clear()
            raise Failure("call %d fails: %s\n%s" % (
                nth, failure, server.log()[-1500:]))
        fired = faults.fired
        faults.clear()
        closed += session_closed
        others.fine()
        if not fired:
            check(session_closed == 0, "closed without a reason")
            return nth - 1, closed
        check(nth < 5000, "no end of calls")


@suite.scenario("malloc() fails: at most the client at hand is closed",
                workers=(1, 2), reference=False)
def malloc_fails(env):
    server = fault_server(env, {"ring_memory": 16 * 65536 * 2,
                                "max_payload": MB})
    others = Others(env, server)
    pids = server.worker_pids()
    slots = server.worker_slots()
    places = [(slot, slot) for slot in slots[:1]]
    if env.workers > 1:
        places = [(slots[0], slots[1])]
    for here, there in places:
        for slot in sorted({here, there}):
            pid = pid_of(server, slot)
            server.faults.watch(pid)
            for _ in range(3):
                equal(session(env, server, here, there), 0, "closed")
            others.fine()
            before = server.faults.left
            calls, closed = each_fault(env, server, MEMORY, pid, here, there,
                                       others, errno.ENOMEM)
            for _ in range(3):
                equal(session(env, server, here, there), 0, "closed")
            wait_for(lambda: server.faults.left - before <= 40,
                     "memory to be given back: %d allocations, before %d" %
                     (server.faults.left, before))
            print("    worker %d: %d calls failed, one after the other; %d "
                  "clients were closed; %+d allocations left" % (
                      slot, calls, closed, server.faults.left - before))
            check(calls >= 20 and closed >= 5, "hardly anything failed")
    equal(server.worker_pids(), pids, "workers")


@suite.scenario("malloc() fails all the time: natsd lives on",
                workers=(1, 2), reference=False)
def malloc_never(env):
    server = fault_server(env)
    others = Others(env, server)
    pids = server.worker_pids()
    for n in (1, 5, 20, 50):
        server.faults.set(MEMORY, n, more=True)
        for _ in range(3):
            try:
                session(env, server, None, None)
            except (Failure, OSError):
                pass
        server.faults.clear()
        check(server.faults.fired, "nothing failed")
        equal(server.worker_pids(), pids, "workers")
        session(env, server, None, None)
    fresh = Others(env, server)
    fresh.fine()


@suite.scenario("malloc() fails in the master: a reload changes nothing",
                workers=(1,), reference=False)
def reload_fails(env):
    # libconfuse ends its process by exit() or abort(): not the master's
    server = fault_server(env, {"max_payload": 1000}, deaths=True)
    others = Others(env, server)
    pids = server.worker_pids()
    kept = works = nth = 0
    while works < 3:
        nth += 1 if nth < 40 or FULL else 13
        server.write_conf({"max_payload": 1000 + nth})
        start = len(server.log())
        server.faults.set(MEMORY | FD | MAP, nth)
        server.raise_signal(signal.SIGHUP)
        found = server.wait_log(r"Reloaded server configuration|"
                                r"Failed to reload server configuration",
                                start)
        fired = server.faults.fired
        server.faults.clear()
        others.fine()
        if found.group(0).startswith("Reloaded"):
            works += not fired
        else:
            kept += 1
        check(nth < 5000, "no end of calls")
    equal(server.worker_pids(), pids, "workers")
    print("    %d reloads failed, the first that did not was number %d" % (
        kept, nth))
    check(kept > 5, "hardly anything failed")


def start_with(env, kinds, nth, number):
    """A start in which that call fails; whether one did, and how it ended."""
    server = FaultServer({"pid_file": "natsd.pid"}, env.workers, start=False)
    env.servers.append(server)
    server.faults = Faults(server.path("faults"))
    server.allowed.update({"faults", "natsd.pid"})
    server.faults.set(kinds, nth, number)
    server.spawn()

    def settled():
        status = server.proc.poll()
        if status is not None:
            return "%d" % status
        return "ready" if "Server is ready" in server.log() else None
    end = wait_for(settled, "a verdict; log:\n" + server.log())
    fired = server.faults.fired
    server.faults.clear()
    if end == "ready":
        server.wait_ready()
        client = server.client(C0)
        client.close()
        server.deaths = True  # of a worker, in whose start it was
        server.stop()
    else:
        good = ["1", "78"]
        if "dynamic memory" in server.log() or "lexer" in server.log():
            good += ["2", "-6"]  # how libconfuse ends its process
        check(end in good, "status %s of a start where call %d fails; "
              "log:\n%s", end, nth, server.log())
        check(len(server.log().strip()) > 10, "status %s, and not a word",
              end)
        server.nothing_left()
        server.remove()
    env.servers.remove(server)
    return fired, end


def starts(env, kinds, number):
    """Starts with ever later failures; all of them, or a sample."""
    chance = random.Random(SEED)
    nth, ends = 0, {}
    while True:
        nth += 1 if FULL else chance.randrange(1, 2 * STEPS[kinds])
        fired, end = start_with(env, kinds, nth, number)
        if not fired:
            check(end == "ready", "status %s, and nothing failed", end)
            print("    %s: fewer than %d calls; ends %s" % (
                os.strerror(number), nth, ends))
            check(ends, "nothing failed")
            return
        ends[end] = ends.get(end, 0) + 1


# Steps of the sample.
STEPS = {MEMORY: 14, FD: 10, MAP: 9, WATCH: 3, FORK: 1}


@suite.scenario("a start in which a call fails", workers=(2,),
                reference=False)
def start_fails(env):
    starts(env, MEMORY, errno.ENOMEM)
    starts(env, FD, errno.EMFILE)
    starts(env, MAP, errno.ENOMEM)
    starts(env, WATCH, errno.ENOSPC)
    starts(env, FORK, errno.EAGAIN)


# ------------------------------------------------- killed for want of memory

class MemoryGroup:
    """A control group of its own with little memory, if we may have one."""

    PLACES = (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
              ("/sys/fs/cgroup", "memory.max"))

    def __init__(self):
        for top, limit in self.PLACES:
            path = os.path.join(top, "natsd-test-%d" % os.getpid())
            try:
                os.mkdir(path)
            except OSError:
                continue
            if os.path.exists(os.path.join(path, limit)):
                self.path, self.limit = path, limit
                return
            os.rmdir(path)
        raise Skip("may not make a control group for memory")

    def write(self, name, text):
        with open(os.path.join(self.path, name), "w") as file:
            file.write(text)

    def take(self, pid, size):
        """The process is of the group; what it takes from now on counts."""
        self.write(self.limit, str(size))
        self.write("cgroup.procs", str(pid))

    def remove(self):
        def gone():
            try:
                os.rmdir(self.path)
            except OSError:
                return False
            return True
        wait_for(gone, "the control group to be empty")


HINT = r"killed by signal 9, \d+ connections lost, restarting; .*%s"


@suite.scenario("the kernel kills a worker for want of memory",
                workers=(2,), reference=False)
def oom(env):
    group = MemoryGroup()
    try:
        server = env.own_server({"max_pending": "64MB"}, deaths=True)
        other = Others(env, server)
        publisher = env.client(server=server)
        lazy = [env.on(publisher.worker, server=server) for _ in range(8)]
        for client in lazy:
            client.sub(b"heap 1")
        pid = pid_of(server, publisher.worker)
        group.take(pid, 8 * MB)
        start = len(server.log())
        try:
            for _ in range(200):
                publisher.send(pub(b"heap", b"o" * 100000) * 5)
                if not alive(pid):
                    break
        except (OSError, Failure):
            pass
        server.wait_log(r"worker %d \(pid %d\) " % (publisher.worker, pid) +
                        HINT % "want of memory", start)
        for client in other.clients:
            if client.worker != publisher.worker:
                client.expect_nothing()
        server.wait_log(r"worker \d+ ready", start)
        server.slots = None
        for client in env.clients:
            client.abandon()
        Others(env, server).fine()
    finally:
        for client in env.clients:
            client.abandon()
        group.remove()


@suite.scenario("somebody kills a worker: no talk of memory, if the kernel "
                "can be asked", workers=(2,), reference=False)
def not_oom(env):
    try:
        with open("/proc/vmstat") as file:
            known = "\noom_kill " in file.read()
    except OSError:
        known = False
    server = env.own_server({}, deaths=True)
    start = len(server.log())
    os.kill(server.worker_pids()[0], signal.SIGKILL)
    server.wait_log(r"killed by signal 9, 0 connections lost, restarting; "
                    r"place \d%s" % (
                        "\n" if known else "; if nobody else did it"), start)


# ---------------------------------------------------------- disk and syslog

def fails_to_start(env, server, status, text):
    server.spawn()
    equal(server.wait_exit(), status, "exit status; log:\n" + server.log())
    check(re.search(text, server.log()), "no %r in the log:\n%s", text,
          server.log())
    server.nothing_left()
    server.remove()
    env.servers.remove(server)


@suite.scenario("a full disk under pid file and ports file", workers=(1,),
                reference=False)
def full_disk(env):
    with SmallDisk() as disk:
        disk.fill()
        pid_file = os.path.join(disk.dir, "pid")
        for args in ((), ("-d",)):
            server = env.own_server({"pid_file": pid_file}, start=False,
                                    args=args)
            fails_to_start(env, server, 1, r"cannot write the pid file "
                           r"\"%s\": No space left on device" % pid_file)
            check(not os.path.exists(pid_file), "an empty pid file is left")
            server = env.own_server({"ports_file_dir": disk.dir},
                                    start=False, args=args)
            fails_to_start(env, server, 1, r"cannot write the ports file "
                           r"\"%s/.*\": No space left on device" % disk.dir)
            equal(os.listdir(disk.dir), ["filler"], "files left")


class LimitedServer(Server):
    """A natsd whose files may not be larger than that."""

    limit = 8 * MB

    def spawn(self):
        saved = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.limit, saved[1]))
        try:
            super().spawn()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, saved)


@suite.scenario("a limit of the size of files", workers=(1,),
                reference=False)
def file_size(env):
    conf = {"debug": True, "index_memory": "1MB", "ring_memory": "1MB",
            "max_connections": 100}
    server = LimitedServer(conf, start=False)
    env.servers.append(server)
    server.limit = 100000
    fails_to_start(env, server, 1, "cannot create the shared memory: File "
                   "too large; raise the limit of file sizes")
    server = LimitedServer(conf, start=False)
    env.servers.append(server)
    server.allowed.update({"log", "log.1"})
    with open(server.path("log"), "wb") as file:
        file.write(b"x" * (server.limit - 8000) + b"\n")
    os.chmod(server.path("log"), 0o666)
    server.write_conf(dict(conf, log_file=server.path("log")))
    server.start()
    others = Others(env, server)
    for _ in range(100):
        server.client(C0).abandon()
    others.fine()
    wait_for(lambda: os.path.getsize(server.path("log")) == server.limit,
             "the log to reach its limit")
    for _ in range(50):
        server.client(C0).abandon()
    others.fine()
    # rotated: there is room again, and the count of what is missing
    os.rename(server.path("log"), server.path("log.1"))
    server.raise_signal(signal.SIGUSR1)
    server.wait_log(r"dropped \d+ log records", path=server.path("log"))
    others.fine()


SYSLOG_WRAP = """
mount --bind %s /dev || exit 77
exec "$@"
"""


class SyslogServer(Server):
    """A natsd in a mount namespace where /dev/log is ours."""

    def __init__(self, *args, **kwargs):
        self.dev = tempfile.mkdtemp(prefix="natsd-dev-")
        os.chmod(self.dev, 0o777)
        if subprocess.run(["unshare", "-m", "true"],
                          stderr=subprocess.DEVNULL).returncode != 0:
            shutil.rmtree(self.dev)
            raise Skip("may not make a mount namespace")
        for name, minor in (("null", 3), ("urandom", 9)):
            try:
                os.mknod(os.path.join(self.dev, name), 0o20666,
                         os.makedev(1, minor))
            except OSError:
                shutil.rmtree(self.dev)
                raise Skip("may not make a device")
        super().__init__(*args, **kwargs)

    def listen(self):
        made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = os.path.join(self.dev, "log")
        if os.path.exists(path):
            os.unlink(path)
        made.bind(path)
        os.chmod(path, 0o666)
        made.settimeout(0.05)
        return made

    def command(self):
        return ["unshare", "-m", "sh", "-c", SYSLOG_WRAP % self.dev,
                "sh"] + super().command()

    def remove(self):
        super().remove()
        shutil.rmtree(self.dev, ignore_errors=True)


def heard(syslog, pattern, timeout=None):
    """Read until a line matches; all that came."""
    found = []

    def look():
        try:
            found.append(syslog.recv(4096).decode())
        except socket.timeout:
            return False
        return re.search(pattern, found[-1])
    wait_for(look, "syslog to say " + pattern, timeout)
    return found


def empty(syslog):
    try:
        while True:
            syslog.recv(4096)
    except socket.timeout:
        pass


@suite.scenario("syslog: absent, come, stuck, gone", workers=(2,),
                reference=False)
def syslog_gone(env):
    server = SyslogServer({"syslog": True, "debug": True}, env.workers)
    env.servers.append(server)
    others = Others(env, server)

    def noise(count=50):
        for _ in range(count):
            server.client(C0).abandon()
        others.fine()
    noise()
    calm(server)
    # it comes up: the count of what is lost, and all from then on
    syslog = server.listen()
    others.fine()
    server.client(C0).abandon()
    found = heard(syslog, "Client connection created")
    check(re.search(r"dropped \d+ log records", found[0]),
          "no count in %r", found[0])
    # it reads no more: nobody waits for it
    noise(300)
    check(others.worst < 2 * SLOW, "somebody waited %.1f s", others.worst)
    calm(server)
    empty(syslog)
    server.client(C0).abandon()
    heard(syslog, r"dropped \d+ log records")
    # it is gone, and a new one comes
    syslog.close()
    noise()
    syslog = server.listen()
    server.client(C0).abandon()
    heard(syslog, r"dropped \d+ log records")
    syslog.close()
    noise(10)


# --------------------------------------------------------------------- time

@suite.scenario("the clock jumps by a day, to and fro", workers=(2,),
                reference=False)
def clock_jumps(env):
    server = fault_server(env, {
        "authorization": {"user": "u", "password": "p", "timeout": "900ms"},
        "ping_interval": "400ms", "ping_max": 3, "write_deadline": "2s",
        "watchdog": "2s", "debug": True})
    named = C0[:-3] + b',"user":"u","pass":"p"}\r\n'
    start = len(server.log())
    pids = server.worker_pids()
    a = env.client(named, server=server)
    mute = env.client(None, server=server)
    begun = time.monotonic()
    pings = step = 0
    while time.monotonic() < begun + 2.5:
        server.faults.jump((86400, -86400, 0, 7e8)[step % 4])
        step += 1
        server.client(named).abandon()
        end = time.monotonic() + 0.1
        try:
            while b"\n" not in a.buf and a.fill(end):
                pass
        except socket.timeout:
            continue
        equal(a.line(), PING, "what comes unasked")
        a.pong()
        pings += 1
    check(3 <= pings <= 8, "%d PINGs in 2.5 s, one is due in 400 ms", pings)
    # the other one has its time, neither less nor more
    equal(mute.until_eof(), err("Authentication Timeout"), "at the end")
    a.send(PING)
    a.until(PONG)
    equal(server.worker_pids(), pids, "workers")
    years = set(re.findall(r"\] (\d{4})/\d\d/", server.log()[start:]))
    server.faults.jump(0)
    check(len(years) > 1, "the clock of the log has not jumped: %r", years)
    check(not lines(server, "made no progress|Slow", start),
          "in the log:\n%s", server.log()[start:])
    print("    %d PINGs; years in the log: %s" % (pings, sorted(years)))


class Suspended:
    """The whole daemon stands still: first the workers, then the master;
    and goes on, first the master, which has the time to misjudge them."""

    def __init__(self, server, lead):
        self.server, self.lead = server, lead

    def __enter__(self):
        self.workers = self.server.worker_pids()
        for pid in self.workers:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(self.lead)
        os.kill(self.server.pid, signal.SIGSTOP)

    def __exit__(self, *_):
        os.kill(self.server.pid, signal.SIGCONT)
        time.sleep(0.3)
        for pid in self.workers:
            try:
                os.kill(pid, signal.SIGCONT)
            except OSError:
                pass


@suite.scenario("all of it is suspended for a while", workers=(2,),
                reference=False)
def suspended(env):
    server = env.own_server({
        "watchdog": "2s", "write_deadline": "1s", "ping_interval": "800ms",
        "ping_max": 2, "authorization": {"timeout": "1s", "user": "u",
                                         "password": "p"}})
    named = C0[:-3] + b',"user":"u","pass":"p"}\r\n'
    pids = server.worker_pids()
    a = env.client(named, server=server)
    b = env.on(a.worker, named, server=server, other=True)
    a.sub(b"s 1")
    start = len(server.log())
    for _ in range(2 if FULL else 1):
        late = env.client(None, server=server)
        with Suspended(server, 1.4):
            late.send(named + PING)
            b.pub(b"s", b"meanwhile")
            time.sleep(3)
        got = a.event()
        equal(got.payload, b"meanwhile", "message")
        # its CONNECT was there in time; nobody had looked
        late.until(PONG)
        late.abandon()
        for client in (a, b):
            client.send(PING)
            equal(client.event(), PONG, "answer")
    time.sleep(1.2)
    equal(server.worker_pids(), pids, "workers; log:\n" +
          server.log()[start:])
    a.send(PING)
    equal(a.event(), PONG, "answer")


# ------------------------------------------------------- too much of all of it

def bench(*args):
    """natsbench in the background; read_bench() gives its object."""
    path = os.path.join(os.path.dirname(program("")), "natsbench")
    if not os.access(path, os.X_OK):
        raise Skip("no natsbench beside natsd")
    return subprocess.Popen([path] + list(args) + ["--json"],
                            stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def read_bench(proc, timeout=300):
    try:
        out, errors = proc.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        proc.kill()
        raise Failure("natsbench does not end")
    equal(proc.returncode, 0, "natsbench's status; " + errors.decode())
    return json.loads(out.decode())


def bound(server):
    """What the log says that it takes at most, in bytes."""
    return said(server.log())[0]


def said(text):
    """The sum and its parts in a line about memory, in bytes."""
    found = re.search(r"Memory:   at most .* programs", text)
    check(found, "no bound of memory in %r", text)
    return [float(number) * 1024 ** (" KMGT".index(unit))
            for number, unit in re.findall(r"([\d.]+)([KMGT])B",
                                           found.group(0))]


@suite.scenario("natsd -t tells the most memory", workers=(1,),
                reference=False)
def told(env):
    chance = random.Random(SEED)
    for _ in range(6):
        n = chance.choice((1, 2, 5, 16, 48))
        conf = {"workers": n, "max_payload": chance.choice((1000, 5 * MB)),
                "memory_max": chance.choice((1, 3)) * 1024 * MB,
                "max_pending": "64MB",
                "ring_memory": chance.choice((160, 1000)) * MB,
                "index_memory": chance.randrange(1, 2000) * MB,
                "max_connections": chance.randrange(1, 100000)}
        server = Server(conf, start=False)
        status, _, errors = run("-t", "-c", server.conf_path)
        server.remove()
        equal(status, 0, "exit status; " + errors)
        rings = (n + 2) * (n + 1)
        ring = max(size for size in (2 ** k for k in range(16, 23))
                   if size * rings <= conf["ring_memory"])
        large = conf["max_payload"] + 4096 > ring / 2
        parts = {"rings": 2 * ring * rings, "messages": conf["memory_max"],
                 "subscriptions": n * conf["index_memory"],
                 "large messages": n * (n - 1) * conf["max_payload"]
                 if large else 0,
                 "connections": 2048 * conf["max_connections"],
                 "programs": 32 * MB * (n + 1)}
        parts = {name: size for name, size in parts.items() if size}
        check(re.search(": %s, with" % ", ".join(
            r"[\d.]+[KMGT]B " + name for name in parts), errors),
            "expected %s: %s", ", ".join(parts), errors)
        got = said(errors)
        equal(len(got), len(parts) + 1, "numbers in " + errors)
        for name, have, want in zip(
                ["total", *parts], got, [sum(parts.values()),
                                         *parts.values()]):
            check(want <= have <= want * 1.1 + 1024, "%s of %r: %d, expected "
                  "%d: %s", name, conf, have, want, errors)


class Probe:
    """PINGs of a client beside the load, and how long they take."""

    def __init__(self, client):
        self.client, self.times, self.stop = client, [], False
        self.task = Background(self.run)

    def run(self):
        while not self.stop:
            begun = time.monotonic()
            self.client.send(PING)
            self.client.until(PONG, 60 * SLOW)
            self.times.append(time.monotonic() - begun)
            time.sleep(0.002)

    def end(self):
        self.stop = True
        self.task.done()
        times = sorted(self.times)
        return times[len(times) // 2], times[len(times) * 99 // 100], \
            times[-1]


def show_probe(what, took, cpu, found):
    print("    %s: %.2f s, %.2f s CPU of natsd; a PING meanwhile: p50 %.1f "
          "ms, p99 %.1f ms, max %.1f ms" % (
              (what, took, cpu / 1e3) + tuple(1e3 * t for t in found)))
    check(found[2] < 2 * SLOW, "a PING took %.1f s", found[2])


def at_once(clients, data):
    """Each sends its data and a PING, at the same time; all are answered."""
    tasks = [Background(client.send, text + PING)
             for client, text in zip(clients, data)]
    for client in clients:
        client.until(PONG, 120 * SLOW)
    for task in tasks:
        task.done()


def come_and_go(env, total, connections):
    server = env.own_server({})
    probe_client = env.client(server=server)
    clients = [env.on(probe_client.worker, server=server)
               for _ in range(connections)]
    each = total // connections
    subs = [b"".join(b"SUB million.%d.%d %d\r\n" % (k, n, n)
                     for n in range(each)) for k in range(connections)]
    unsubs = [b"".join(b"UNSUB %d\r\n" % n for n in range(each))] * \
        connections
    asker = env.client(CN, server=server)
    asker.sub(b"_INBOX.m 7")
    sizes = [memory(server.tree())]

    def nobody(number):
        asker.send(pub(b"million.%d.%d" % (number, each - 1), b"x",
                       b"_INBOX.m") + PING)
        got = asker.event()
        if got == PONG:
            return False
        equal(asker.event(), PONG, "after the 503")
        return True
    for what, data in (("SUB", subs), ("UNSUB", unsubs), ("SUB", subs)):
        probe = Probe(probe_client)
        begun, cpu = time.monotonic(), cpu_ms(server.tree())
        at_once(clients, data)
        took = time.monotonic() - begun
        show_probe("%d %s by %d connections" % (total, what, connections),
                   took, cpu_ms(server.tree()) - cpu, probe.end())
        sizes.append(memory(server.tree()))
        check(took < 60 * SLOW, "that long")
        equal(nobody(connections - 1), what == "UNSUB", "nobody is there")
    probe = Probe(probe_client)
    begun, cpu = time.monotonic(), cpu_ms(server.tree())
    for client in clients:
        client.abandon()
    wait_for(lambda: all(nobody(n) for n in range(connections)),
             "all to be gone", 60 * SLOW)
    took = time.monotonic() - begun
    show_probe("the connections close", took, cpu_ms(server.tree()) - cpu,
               probe.end())
    probe_client.expect_nothing()
    sizes.append(memory(server.tree()))
    if None not in sizes:
        print("    memory: %s MB before, with, without, with, after" %
              ", ".join("%.1f" % (size / 1e6) for size in sizes))
        check(sizes[3] <= sizes[1] * 1.25 + MB, "memory grows: %r", sizes)
        check(max(sizes) < bound(server), "%r: more than natsd says", sizes)


@suite.scenario("a great many subscriptions come and go", workers=(2,),
                reference=False)
def many_subscriptions(env):
    total = 1000000 if FULL else 50000
    come_and_go(env, total, 10)
    for client in env.clients:
        client.abandon()
    come_and_go(env, total, 1)


def latency(server, seconds):
    return bench("latency", "-s", "%s:%d" % server.address, "-d",
                 str(seconds), "-r", "2000", "--subs", "2")


@suite.scenario("a storm of connections beside established ones",
                workers=(2,), reference=False)
def storm(env):
    server = env.own_server({})
    others = Others(env, server)
    seconds = 10 if FULL else 2
    alone = read_bench(latency(server, seconds))
    steady = latency(server, seconds)
    opened = failed = 0
    begun = time.monotonic()
    while steady.poll() is None:
        # as fast as it goes: on several connections at a time
        done = read_bench(bench("connect", "-s", "%s:%d" % server.address,
                                "-C", "500", "--settle", "0"))
        opened += 500
        failed += done.get("failed", 0)
        others.fine()
    took = time.monotonic() - begun
    beside = read_bench(steady)
    equal(failed, 0, "connections that failed")
    print("    %d connections in %.1f s (%.0f/s, opened, used, closed)" % (
        opened, took, opened / took))
    for name, got in (("alone", alone), ("in the storm", beside)):
        print("    a message, %s: p50 %.0f us, p99 %.0f us, max %.1f ms" % (
            name, got["lat_p50_us"], got["lat_p99_us"],
            got["lat_max_us"] / 1e3))
    check(beside["lat_p99_us"] < 500e3 * SLOW, "p99 %.0f us",
          beside["lat_p99_us"])


@suite.scenario("60,000 connections", workers=(4,), reference=False)
def connections(env):
    if not FULL:
        raise Skip("only with NATSD_TEST_FULL; 23_many.py has 10,000")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 17000:
        raise Skip("17000 descriptors are needed")
    if soft < 17000:
        resource.setrlimit(resource.RLIMIT_NOFILE, (17000, hard))
    server = env.own_server({"max_connections": 65000})
    others = Others(env, server)
    before = memory(server.tree())
    begun = time.monotonic()
    tasks = [bench("idle", "-s", "unix:" + server.socket_path, "-C", "15000",
                   "-d", "20", "--subject", "idle%d" % n, "--timeout", "60")
             for n in range(4)]
    most, counts = 0, []
    while any(task.poll() is None for task in tasks):
        most = max(most, memory(server.tree()))
        others.fine()
        time.sleep(0.5)
    took = time.monotonic() - begun
    for task in tasks:
        read_bench(task)
    wait_for(lambda: memory(server.tree()) < before + (most - before) * 0.6,
             "memory to be given back")
    time.sleep(2)
    after = memory(server.tree())
    print("    %.1f s; memory %.1f, %.1f, %.1f MB before, with, after: %d "
          "bytes each; others waited %.1f ms at most" % (
              took, before / 1e6, most / 1e6, after / 1e6,
              (most - before) / 60000, others.worst * 1e3))
    check((most - before) / 60000 < 2048, "that much for each")


def peak(pid):
    """The most that a process ever had in memory, in bytes."""
    with open("/proc/%d/status" % pid) as file:
        found = re.search(r"VmHWM:\s+(\d+) kB", file.read())
    return int(found.group(1)) * 1024


@suite.scenario("a wide fan-out does not pass memory_max for a moment either",
                workers=(1,), reference=False)
def fan_out(env):
    fan_out_of(env, "close")


@suite.scenario("the same where the newest messages are dropped",
                workers=(1,), reference=False)
def fan_out_newest(env):
    fan_out_of(env, "drop_newest")


@suite.scenario("the same where the oldest messages are dropped",
                workers=(1,), reference=False)
def fan_out_oldest(env):
    fan_out_of(env, "drop_oldest")


def end_in_a_crowd(server, pid, publisher):
    """Who is sent away in the same iteration gets his end of file at once:
    not when his time to linger, a second, is over."""
    with socket.socket(socket.AF_UNIX) as rude:
        rude.settimeout(TIMEOUT)
        rude.connect(server.socket_path)
        rude.recv(4096)
        with Stopped(pid):
            rude.sendall(b"FOO\r\n")
            publisher.send(pub(b"wide", b"w" * 16) * 6000)
        start = time.monotonic()
        while rude.recv(4096):
            pass
        took = time.monotonic() - start
    check(took < 0.9 * SLOW, "end of file after %.2f s", took)


def fan_out_of(env, policy):
    server = env.own_server({
        "memory_max": "16MB", "max_payload": 100000, "max_pending": "64MB",
        "index_memory": "2MB", "ring_memory": "1MB",
        "slow_consumer": policy})
    others = Others(env, server)
    pid = pid_of(server, 0)
    # over Unix sockets: there the kernel takes little
    crowd = [env.client(C0, server=server, unix=True) for _ in range(400)]
    for n, client in enumerate(crowd):
        client.sub(b"wide sid%d" % n)
    publisher = env.client(server=server)
    others.fine()
    before = peak(pid)
    end_in_a_crowd(server, pid, publisher)
    reached = 0
    for _ in range(20):
        publisher.send(pub(b"wide", b"w" * 16) * 15000)
        publisher.expect_nothing()
        others.fine()
        reached += "closed: memory_max is reached" in server.log()
        if reached > 1:
            break
    grown = peak(pid) - before
    print("    %.1f MB grown" % (grown / 1e6))
    check(reached, "memory_max was not reached")
    check(grown < 16 * MB + 12 * MB, "%.1f MB grown", grown / 1e6)
    for client in crowd:
        client.abandon()


class Flood:
    """Publishers that follow nobody but the server."""

    def __init__(self, clients, subjects, size):
        self.stop, self.sent, self.closed = False, 0, 0
        self.tasks = [Background(self.run, client, subjects, size)
                      for client in clients]

    def run(self, client, subjects, size):
        data = b"".join(pub(subject, b"f" * size) for subject in subjects)
        data *= max(1, 100000 // len(data))
        client.sock.settimeout(0.2)
        try:
            while not self.stop:
                try:
                    self.sent += client.sock.send(data)
                except socket.timeout:
                    continue
                # whole messages only matter to those who check them
        except OSError:
            self.closed += 1

    def end(self):
        self.stop = True
        for task in self.tasks:
            task.done()


@suite.scenario("all publishers faster than all consumers: memory is bounded",
                workers=(1, 2), reference=False)
def bounded(env):
    seconds = 30 if FULL else 4
    server = env.own_server({
        "memory_max": "24MB", "max_pending": "6MB", "index_memory": "2MB",
        "ring_memory": "1536KB", "max_payload": 100000,
        "max_connections": 200, "write_deadline": "3s"})
    subjects = [b"flood.%d" % n for n in range(3)]
    limit = bound(server)
    base = memory(server.tree())
    if base is None:
        raise Skip("cannot read memory of the processes")
    small = [env.client(server=server) for _ in range(2)]
    large = [env.client(server=server) for _ in range(2)]
    others = Others(env, server)
    readers, most, worst, laps = [], 0, 0, 0
    floods = [Flood(small, subjects, 16), Flood(large, subjects, 60000)]
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            # some read nothing, some a little; who is cut comes back
            readers = [one for one in readers if not one.hung_up()]
            while len(readers) < 30:
                one = env.keep(server.client(rcvbuf=8192))
                one.send(C0 + b"SUB flood.* %d\r\n" % (laps % 1000))
                readers.append(one)
                laps += 1
            for one in readers[::2]:
                try:
                    one.sock.settimeout(0.001)
                    one.sock.recv(4096)
                except OSError:
                    pass
            others.fine()
            most = max(most, memory(server.tree()))
    finally:
        for flood in floods:
            flood.end()
    print("    %.0f MB published, %d readers, %d publishers cut; memory "
          "%.1f MB at first, %.1f MB at most, natsd says %.1f MB; others "
          "waited %.2f s at most" % (
              sum(flood.sent for flood in floods) / 1e6, laps,
              sum(flood.closed for flood in floods), base / 1e6, most / 1e6,
              limit / 1e6, others.worst))
    check(most < limit, "more than natsd says")
    # without the room that each program is given: all that grows
    check(most - base < limit - (env.workers + 1) * 32 * MB + 16 * MB *
          env.workers, "%.1f MB grown", (most - base) / 1e6)
    for client in env.clients:
        if client not in others.clients:
            client.abandon()
    others.fine()


if __name__ == "__main__":
    print("seed %d (NATSD_TEST_SEED)" % SEED)
    sys.exit(suite.main())
