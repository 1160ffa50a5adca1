#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What networks do: peers that vanish, reset, dribble or take nothing,
addresses and socket files that go away, queues that overflow."""

import contextlib
import ctypes
import errno
import fcntl
import os
import platform
import re
import signal
import socket
import stat
import struct
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
from natsdtest import *  # noqa: E402,F403

suite = Suite("network")

libc = ctypes.CDLL(None, use_errno=True)

CLONE_NEWNET = 0x40000000
SO_ATTACH_FILTER = 26
SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914
SIOCSIFADDR, SIOCSIFNETMASK = 0x8916, 0x891c
IFF_UP = 1
TCP_REPAIR = 19
TCP_USER_TIMEOUT = 18
SYS_PIDFD_OPEN, SYS_PIDFD_GETFD = 434, 438

STALE = err("Stale Connection")
# found after 0.9 s
FAST = {"ping_interval": "300ms", "ping_max": 2, "write_deadline": "1s",
        "debug": True}
# after 2 s: others who are asked have time to answer
STEADY = {"ping_interval": "500ms", "ping_max": 3, "write_deadline": "1s",
          "debug": True}
LAZY = {"write_deadline": "300ms", "debug": True, "max_payload": "100KB"}


# ------------------------------------------------------------ what networks do

def deaf(client):
    """From now on the peer hears nothing of that client, and it nothing of
    the peer: its kernel drops all that comes, unacknowledged."""
    drop_all = struct.pack("HBBI", 0x06, 0, 0, 0)  # BPF_RET | BPF_K, 0
    program = ctypes.create_string_buffer(drop_all)
    try:
        client.sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER,
                               struct.pack("HL", 1,
                                           ctypes.addressof(program)))
    except PermissionError:
        raise Skip("no right to filter what a socket gets")
    client.eof = True  # nobody asks it for more


def gone(client):
    """Its kernel forgets the connection without a word, as after a crash."""
    try:
        client.sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    except PermissionError:
        raise Skip("no right to drop a connection silently (TCP_REPAIR)")
    client.abandon()


def kernel_end(server, port):
    """The kernel's line of the server's end of a TCP connection from that
    port: (state, inode); inode 0 if no process has it any more."""
    for name in ("tcp", "tcp6"):
        try:
            with open("/proc/thread-self/net/" + name) as file:
                lines = file.read().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            words = line.split()
            if words[1].endswith(":%04X" % server.address[1]) and \
                    words[2].endswith(":%04X" % port):
                return int(words[3], 16), int(words[9])
    return None


def forgotten(server, port):
    """Nothing of the server's end is left, but perhaps a TIME_WAIT."""
    end = kernel_end(server, port)
    return end is None or end[0] == 6


def server_socket(server, client):
    """A copy of the worker's socket for that client."""
    if os.geteuid() != 0:
        raise Skip("only root can look at a worker's sockets")
    port = client.sock.getsockname()[1]
    inode = wait_for(lambda: kernel_end(server, port), "its socket")[1]
    for pid in server.worker_pids():
        for name in os.listdir("/proc/%d/fd" % pid):
            try:
                link = os.readlink("/proc/%d/fd/%s" % (pid, name))
            except OSError:
                continue
            if link != "socket:[%d]" % inode:
                continue
            pidfd = libc.syscall(SYS_PIDFD_OPEN, pid, 0)
            fd = libc.syscall(SYS_PIDFD_GETFD, pidfd, int(name), 0)
            number = ctypes.get_errno()
            os.close(pidfd)
            if fd < 0:
                raise Skip("no copy of a worker's socket: " +
                           os.strerror(number))
            return socket.socket(fileno=fd)
    raise Failure("no worker has the socket of %r" % client)


class Network:
    """A network namespace for this thread and what it starts meanwhile."""

    def __enter__(self):
        self.old = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        if libc.unshare(CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            os.close(self.old)
            raise Skip("no network of its own: " + os.strerror(number))
        self.flags("lo", True)
        return self

    def __exit__(self, *_):
        check(libc.setns(self.old, CLONE_NEWNET) == 0, "setns: %s",
              os.strerror(ctypes.get_errno()))
        os.close(self.old)

    def flags(self, name, up):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            request = struct.pack("16sH14x", name.encode(), 0)
            flags = struct.unpack("16sH14x", fcntl.ioctl(
                sock, SIOCGIFFLAGS, request))[1]
            flags = flags | IFF_UP if up else flags & ~IFF_UP
            fcntl.ioctl(sock, SIOCSIFFLAGS,
                        struct.pack("16sH14x", name.encode(), flags))

    def add(self, address):
        """An address on the loopback interface, as lo:1."""
        def request(text):
            return struct.pack("16sHH4s8x", b"lo:1", socket.AF_INET, 0,
                               socket.inet_aton(text))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            fcntl.ioctl(sock, SIOCSIFADDR, request(address))
            fcntl.ioctl(sock, SIOCSIFNETMASK, request("255.255.255.255"))

    def remove(self):
        self.flags("lo:1", False)

    def add6(self, address):
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            try:
                fcntl.ioctl(sock, SIOCSIFADDR, struct.pack(
                    "16sIi", socket.inet_pton(socket.AF_INET6, address), 64,
                    socket.if_nametoindex("lo")))
            except OSError as error:
                raise Skip("no IPv6 here: %s" % error)


def have_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False


def no_interest(asker, number, subject):
    """Nobody subscribes to the subject any more."""
    inbox = b"_INBOX.%d" % number
    asker.sub(inbox + b" 7")
    asker.send(pub(subject, b"x", inbox))
    got = asker.message()
    equal((got.subject, (got.header or b"")[:12]), (inbox, b"NATS/1.0 503"),
          "answer where nobody subscribes")
    asker.send(b"UNSUB 7\r\n")


def closed(server, client, start, reason):
    return server.wait_log(r"cid:%d\b.*%s" % (client.info["client_id"],
                                              reason), start)


# ------------------------------------------------------------ half-open peers

@suite.scenario("a peer that vanishes is found by PINGs", pairs=True,
                workers=(2,), conf=FAST, reference=False)
def vanishes(env):
    server, subject = env.server, env.subj()
    start = len(server.log())
    a, b = env.pair()
    idle = env.near(a)
    a.sub(subject + b" 1", subject + b" q 2")
    port = a.sock.getsockname()[1]
    idle_port = idle.sock.getsockname()[1]
    deaf(a)
    deaf(idle)
    # what it was sent is unacknowledged from here on
    b.pub(subject, b"lost")
    for client in (a, idle):
        closed(server, client, start, "Stale Connection")
    no_interest(env.near(a, CN), env.number, subject)
    # nor does the kernel keep what nobody acknowledges
    for number in (port, idle_port):
        wait_for(lambda: forgotten(server, number), "the kernel to give up")
    for client in (a, idle):
        client.reset()


@suite.scenario("a peer whose host has started again", pairs=True,
                workers=(2,), conf=FAST, reference=False)
def rebooted(env):
    server, subject = env.server, env.subj()
    start = len(server.log())
    a, b = env.pair(C0, CN)
    a.sub(subject + b" 1")
    gone(a)
    b.pub(subject, b"lost")  # is answered by a reset
    closed(server, a, start, "closed: (Read|Write) Error: .*[Rr]eset")
    no_interest(b, env.number, subject)


@suite.scenario("a silent peer is not waited for before CONNECT",
                workers=(1,), reference=False, conf={
                    "authorization": {"user": "u", "password": "p",
                                      "timeout": "300ms"},
                    "write_deadline": "300ms", "debug": True})
def silent(env):
    server = env.server
    start = len(server.log())
    client = env.client(connect=None)
    client.send(b'CONNECT {"us')
    port = client.sock.getsockname()[1]
    deaf(client)
    closed(server, client, start, "Authentication Timeout")
    wait_for(lambda: forgotten(server, port), "the kernel to give up")
    client.reset()


@suite.scenario("a peer that sends but takes nothing is given up by the "
                "kernel", workers=(1,), reference=False,
                conf=STEADY)
def takes_nothing(env):
    server, subject = env.server, env.subj()
    start = len(server.log())
    client = env.client(rcvbuf=2048)
    client.sub(subject + b" 1")
    client.send(pub(subject, b"x" * 1000) * 10)
    # Busy, so nobody asks it; and what it is owed is all in the kernel.
    end = time.monotonic() + TIMEOUT
    while not client.hung_up():
        check(time.monotonic() < end, "a peer that takes nothing is kept")
        try:
            client.sock.send(pub(b"elsewhere"))
        except OSError:
            break
        time.sleep(0.02)
    closed(server, client, start, "closed: Read Error: .*timed out")
    client.abandon()


def options(sock):
    def get(name, level=socket.IPPROTO_TCP):
        return sock.getsockopt(level, name)
    return (get(socket.TCP_NODELAY) != 0,
            get(socket.SO_KEEPALIVE, socket.SOL_SOCKET) != 0,
            get(socket.TCP_KEEPIDLE), get(socket.TCP_KEEPINTVL),
            get(socket.TCP_KEEPCNT), get(TCP_USER_TIMEOUT))


@suite.scenario("keepalive and TCP_USER_TIMEOUT follow the options",
                workers=(2,), reference=False)
def socket_options(env):
    server = env.own_server()

    def all_have(clients, *want):
        for client in clients:
            with server_socket(server, client) as sock:
                equal(options(sock), (True, True) + want, "options of %r" %
                      client)

    old = env.each(server=server)
    all_have(old, 120, 120, 2, 360000)
    server.reload({"ping_interval": "1500ms", "ping_max": 4})
    all_have(old + env.each(server=server), 2, 2, 4, 10000)
    # as far as tcp(7) goes
    server.reload({"ping_interval": "87600h", "ping_max": 1073741824})
    all_have(old + env.each(server=server), 32767, 32767, 127, 2147483647)
    server.reload({"ping_interval": "1ms", "ping_max": 1,
                   "write_deadline": "1ms"})
    fresh = env.client(connect=None, server=server, info=False)
    fresh.abandon()


# ------------------------------------------------------------- resets

def in_connect(client):
    client.send(b'CONNECT {"verbose":fal')


def in_line(client):
    client.connect()
    client.send(b"PUB a.subject.that.does.not.e")


def in_payload(client):
    client.connect()
    client.send(b"PUB reset 5000\r\nhalf of it")


def in_large_payload(client):
    client.connect()
    client.send(b"HPUB reset 10 1000000\r\n" + b"h" * 100000)


def subscribed(client):
    client.connect()
    client.sub(b"reset.> 1", b"reset.* q 2", b"other 3")
    client.send(b"UNSUB 1 5\r\n")


def with_pending(client):
    client.connect()
    client.sub(b"reset 1")
    client.send(pub(b"reset", b"y" * 50000) * 40)


def in_linger(client):
    client.connect()
    client.send(b"NONSENSE\r\n" + b"more" * 1000)


def after_oversize(client):
    client.connect()
    client.send(b"PUB reset 9999999\r\n" + b"x" * 100000)


def with_pongs(client):
    client.connect()
    client.send(PING * 2000)


def half_closed(client):
    client.connect()
    client.send(pub(b"reset") + PING)
    client.half_close()


STAGES = (in_connect, in_line, in_payload, in_large_payload, subscribed,
          with_pending, in_linger, after_oversize, with_pongs, half_closed)
FEW = 40


def descriptors(server):
    """Open descriptors of each worker; None where they may not be seen."""
    try:
        return [len(os.listdir("/proc/%d/fd" % pid))
                for pid in server.worker_pids()]
    except PermissionError:
        return None


@suite.scenario("a reset at every stage leaves nothing behind",
                workers=(1, 2), reference=False)
def resets(env):
    server = env.own_server({"max_connections": FEW, "debug": True,
                             "memory_max": "16MB", "ring_memory": "16MB"})
    server.worker_slots()
    pids = server.worker_pids()
    server.worker_slots()
    wait_for(lambda: room(server, FEW), "the connections to end")
    before = descriptors(server)
    for stage in (None,) + STAGES:
        for n in range(12):
            if stage is None:
                # perhaps before it is accepted; INFO is never read
                client = server.client(info=False)
            else:
                client = server.client()
                stage(client)
            if n % 3 == 2:  # or the server has acted on it first
                time.sleep(0.01)
            client.reset()
    equal(server.worker_pids(), pids, "workers")
    wait_for(lambda: room(server, FEW), "all connections to be free again")
    wait_for(lambda: descriptors(server) == before, "the descriptors %r, "
             "which are %r" % (before, descriptors(server)))
    a = env.client(CN, server)
    b = env.near(a, CN, server=server)
    for number, subject in enumerate((b"reset", b"reset.a", b"other")):
        no_interest(a, number, subject)
    # no reservation of memory either
    a.sub(b"big 1")
    for _ in range(8):
        b.pub(b"big", b"z" * 1000000)
    a.expect(msg(b"big", b"1", b"z" * 1000000) * 8)


def room(server, count):
    """Whether so many connections are let in."""
    made = [server.client() for _ in range(count)]
    try:
        for client in made:
            client.send(PING)
        for client in made:
            # verbose until it says otherwise, but PONG is PONG
            if client.line() != PONG:
                return False
        return True
    finally:
        for client in made:
            client.close()


@suite.scenario("a reset while the PONG waits for other workers",
                workers=(2,), reference=False,
                conf={"watchdog": "0", "debug": True})
def in_barrier(env):
    server, subject = env.server, env.subj()
    start = len(server.log())
    a = env.client()
    a.sub(subject + b" 1")
    b, c = (env.on(a.worker, CN, other=True) for _ in range(2))
    own = env.subj("own")
    b.sub(own + b" 5")
    with Stopped(pid_of(server, a.worker)):
        b.send(pub(subject, b"m", own) + PING)
        c.send(pub(own, b"here") + PING)
        c.expect(PONG)
        equal(b.message().payload, b"here", "payload")
        b.reset()
    a.expect(msg(subject, b"1", b"m", own))
    closed(server, b, start, "closed: (Read|Write) Error")
    no_interest(c, env.number, own)


@suite.scenario("a reset while its message waits for room", workers=(2,),
                reference=False, conf={"watchdog": "0", "debug": True,
                                       "ring_memory": "1MB"})
def parked(env):
    server, subject = env.server, env.subj()
    start = len(server.log())
    a = env.client()
    a.sub(subject + b" 1")
    b, c = (env.on(a.worker, CN, other=True) for _ in range(2))
    own = env.subj("own")
    b.sub(own + b" 5")
    with Stopped(pid_of(server, a.worker)):
        b.sock.setblocking(False)
        data = pub(subject, b"p" * 5000)
        sent = 0
        # until nobody takes more: ring and sockets are full
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            try:
                sent += b.sock.send(data)
                end = time.monotonic() + 0.3
            except BlockingIOError:
                time.sleep(0.01)
        check(sent > 100000, "only %d bytes were taken", sent)
        b.reset()
        c.expect_nothing()
    closed(server, b, start, "closed: (Read|Write) Error")
    no_interest(c, env.number, own)
    # what is whole of it has arrived, in order and once
    c.pub(subject, b"last")
    count = 0
    while True:
        got = a.message()
        if got.payload == b"last":
            break
        equal(got.payload, b"p" * 5000, "payload")
        count += 1
    check(count <= sent // len(data) + 1, "%d messages of %d bytes", count,
          sent)


# ------------------------------------------------------------- zero windows

@suite.scenario("the socket of a slow consumer does not outlive it for long",
                workers=(1,), conf=LAZY, reference=False)
def orphan(env):
    server, subject = env.server, env.subj()
    start = len(server.log())
    lazy = env.client(rcvbuf=4096)
    publisher = env.client()
    lazy.sub(subject + b" 1")
    port = lazy.sock.getsockname()[1]
    publisher.send(pub(subject, b"x" * 60000) * 200)
    publisher.expect_nothing()
    closed(server, lazy, start, "WriteDeadline")
    wait_for(lambda: forgotten(server, port), "the kernel to give up")
    lazy.abandon()


@suite.scenario("a shut window and small messages end as stale",
                workers=(1,), conf=FAST, reference=False)
def small_messages(env):
    server, subject = env.server, env.subj()
    start = len(server.log())
    lazy = env.client(rcvbuf=2048)
    publisher = env.client()
    lazy.sub(subject + b" 1")
    port = lazy.sock.getsockname()[1]
    for _ in range(10):
        publisher.pub(subject, b"y" * 1000)
    publisher.abandon()
    closed(server, lazy, start, "Stale Connection")
    wait_for(lambda: forgotten(server, port), "the kernel to give up")
    lazy.abandon()


@suite.scenario("natsd ends though a reader takes nothing", workers=(1,),
                reference=False)
def end(env):
    server = env.own_server({"write_deadline": "1s", "max_payload": "100KB"})
    subject = env.subj()
    lazy = env.client(C0, server, rcvbuf=4096)
    publisher = env.client(C0, server)
    lazy.sub(subject + b" 1")
    port = lazy.sock.getsockname()[1]
    publisher.send(pub(subject, b"x" * 60000) * 200)
    publisher.expect_nothing()
    server.raise_signal(signal.SIGTERM)
    equal(server.wait_exit(), 0, "exit status")
    check("does not leave" not in server.log(), "log:\n%s", server.log())
    server.nothing_left()
    wait_for(lambda: forgotten(server, port), "the kernel to give up")
    for client in (lazy, publisher):
        client.abandon()
    server.remove()


# ------------------------------------------------------------- dribbles

def dribble(clients, data, step):
    """A byte of the data from each, again and again, until all are cut."""
    pos = 0
    end = time.monotonic() + TIMEOUT
    while any(not client.hung_up() for client in clients):
        check(time.monotonic() < end, "one that dribbles is kept")
        for client in clients:
            with contextlib.suppress(OSError):
                client.sock.send(data[pos % len(data):][:1])
        pos += 1
        time.sleep(step)


@suite.scenario("CONNECT a byte at a time is no CONNECT in time",
                workers=(1,), reference=False, conf={
                    "authorization": {"user": "u", "password": "p",
                                      "timeout": "500ms"}})
def slow_connect(env):
    begun = time.monotonic()
    clients = [env.client(connect=None) for _ in range(10)]
    dribble(clients, b'CONNECT {"user":"u","pass":"p","name":"' + b"n" * 3000,
            0.01)
    check(time.monotonic() - begun >= 0.4, "cut too early")
    for client in clients:
        equal(client.until_eof(), err("Authentication Timeout"), "answer")


@suite.scenario("many that dribble slow down nobody, and end as stale",
                pairs=True, workers=(2,), conf=STEADY, reference=False)
def slow_payload(env):
    server, subject = env.server, env.subj()
    lines = (b"PUB %s 60000\r\n" % subject, b"PUB %s 500000\r\n" % subject,
             b"SUB ", b"PIN")
    clients = [env.client()]
    while len(clients) < 40:
        clients.append(env.near(clients[0]))
    b = env.near(clients[0])
    a = env.near(b)
    a.sub(subject + b" 1")
    for number, client in enumerate(clients):
        client.send(lines[number % len(lines)])
    slow = Background(dribble, clients, b"d", 0.02)
    turns = 0
    while slow.is_alive():
        for client in (a, b):
            client.born = 0  # PINGs are answered
        b.pub(subject, b"%d" % turns)
        got = a.message()
        equal(got.payload, b"%d" % turns, "payload")
        turns += 1
        b.send(PING)
        while b.event() != PONG:
            pass
    slow.done()
    check(turns > 20, "only %d round trips beside them", turns)
    for client in clients:
        client.abandon()


@suite.scenario("reservations of those who dribble make room for others",
                workers=(1,), reference=False,
                conf={"memory_max": "4MB", "write_deadline": "300ms",
                      "debug": True})
def slow_reservations(env):
    server, subject = env.server, env.subj()
    start = len(server.log())
    a, b = env.pair()
    a.sub(subject + b" 1")
    clients = [env.client() for _ in range(8)]
    for client in clients:
        client.send(b"PUB %s 1000000\r\n" % subject + b"d" * 20000)
    # more than there is room for: some wait, and others hold what they wait
    # for, a byte at a time
    stop = []

    def send_bytes():
        while not stop:
            for client in clients:
                with contextlib.suppress(OSError):
                    client.sock.send(b"d")
            time.sleep(0.02)

    slow = Background(send_bytes)
    b.pub(subject, b"e" * 900000)
    a.expect(msg(subject, b"1", b"e" * 900000))
    stop.append(True)
    slow.done()
    server.wait_log("memory_max is reached and its payload does not come",
                    start)
    for client in clients:
        client.abandon()


# ------------------------------------------------------------- IPv6

@suite.scenario("IPv6: INFO, log and ports file", workers=(1,),
                reference=False)
def ipv6(env):
    if not have_ipv6():
        raise Skip("no IPv6")
    server = env.own_server(start=False, unix=False)
    server.write_conf({"listen": ["[::1]:-1"], "debug": True})
    server.start()
    equal(server.addresses[0][0], "::1", "address in the ports file")
    client = env.client(server=server)
    equal((client.info["host"], client.info["client_ip"]), ("::1", "::1"),
          "addresses in INFO")
    server.wait_log(r"Listening for client connections on \[::1\]:%d\b" %
                    server.address[1])
    server.wait_log(r"\[::1\]:%d - cid:%d - Client connection created" % (
        client.sock.getsockname()[1], client.info["client_id"]))


@suite.scenario("[::] is IPv6 alone, and beside 0.0.0.0 on one port",
                workers=(1,), reference=False)
def any_address(env):
    if not have_ipv6():
        raise Skip("no IPv6")
    server = env.own_server(start=False, unix=False)
    server.write_conf({"listen": ["[::]:-1"]})
    server.start()
    port = server.address[1]
    env.keep(Client(("::1", port)).connect())
    try:
        Client(("127.0.0.1", port))
        raise Failure("[::] takes IPv4 too")
    except ConnectionRefusedError:
        pass
    server.stop()
    server = env.own_server(start=False, unix=False)
    server.write_conf({"listen": ["0.0.0.0:%d" % port, "[::]:%d" % port]})
    server.start()
    six = env.keep(Client(("::1", port)).connect())
    four = env.keep(Client(("127.0.0.1", port)).connect())
    equal((six.info["client_ip"], four.info["client_ip"]),
          ("::1", "127.0.0.1"), "client_ip")


def refused(env, listen, *words, **kwargs):
    """A start that fails, and says these words."""
    server = (kwargs.pop("make", None) or env.own_server)(
        start=False, unix=False)
    server.write_conf({"listen": listen})
    server.spawn()
    equal(server.wait_exit(), 1, "exit status; log:\n" + server.log())
    text = server.log()
    for word in words:
        check(word in text, "no %r in:\n%s", word, text)
    server.kill()
    server.remove()


@suite.scenario("a link-local address and its zone", workers=(1,),
                reference=False)
def link_local(env):
    with Network() as net:
        net.add6("fe80::1")
        refused(env, ["[fe80::1]:-1"], "[fe80::1]:", "needs the zone")
        refused(env, ["[fe80::1%nosuch]:-1"], "[fe80::1%nosuch]:")
        server = env.own_server(start=False, unix=False)
        server.write_conf({"listen": ["[fe80::1%lo]:-1"], "debug": True})
        # the address is usable when it is known to be nobody else's
        wait_for(lambda: bindable(("fe80::1%lo", 0)), "the address")
        server.start()
        equal(server.addresses[0][0], "fe80::1%25lo", "host in the URL of the "
              "ports file (RFC 6874)")
        scope = socket.if_nametoindex("lo")
        client = env.keep(Client(("fe80::1", server.address[1], 0, scope)))
        client.connect()
        equal(client.info["client_ip"], "fe80::1%lo", "client_ip")
        server.wait_log(r"\[fe80::1%%lo\]:%d - cid:" %
                        client.sock.getsockname()[1])


def bindable(address):
    info = socket.getaddrinfo(*address)[0]
    with socket.socket(info[0]) as probe:
        try:
            probe.bind(info[4])
            return True
        except OSError:
            return False


NO_IPV6 = r"""
import ctypes, os, struct, sys
number = int(sys.argv[1])
# socket(AF_INET6, ...) fails with EAFNOSUPPORT, everything else is allowed
code = b"".join(struct.pack("HBBI", *one) for one in (
    (0x20, 0, 0, 0),            # load the number of the call
    (0x15, 0, 3, number),       # another one: allow
    (0x20, 0, 0, 16),           # load the first argument
    (0x15, 0, 1, 10),           # no AF_INET6: allow
    (0x06, 0, 0, 0x50000 | 97), # EAFNOSUPPORT
    (0x06, 0, 0, 0x7fff0000)))
program = ctypes.create_string_buffer(code)
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(38, 1, 0, 0, 0)
filter = ctypes.create_string_buffer(struct.pack(
    "HL", 6, ctypes.addressof(program)))
if libc.prctl(22, 2, filter) != 0:
    sys.exit("no seccomp")
os.execv(sys.argv[2], sys.argv[2:])
"""


class NoIPv6(Server):
    """A natsd on a kernel without IPv6."""

    def command(self):
        number = {"x86_64": "41", "aarch64": "198"}.get(platform.machine())
        if number is None or sys.byteorder != "little":
            raise Skip("the number of socket(2) is not known here")
        return [sys.executable, "-c", NO_IPV6, number] + super().command()


@suite.scenario("a kernel without IPv6", workers=(1,), reference=False)
def no_ipv6(env):
    def make(**kwargs):
        made = NoIPv6({}, workers=1, **kwargs)
        env.servers.append(made)
        return made

    refused(env, ["[::1]:-1"], "[::1]:", "this host has no IPv6", make=make)
    server = make(start=False, unix=False)
    server.write("port = -1\nworkers = 1\nports_file_dir = \"%s\"\n" %
                 server.dir)
    server.start()
    equal([host for host, _ in server.addresses], ["127.0.0.1"], "listeners")
    env.client(server=server)


# ------------------------------------------------------------- addresses

@suite.scenario("an address goes away and comes back", workers=(2,),
                conf=STEADY, reference=False)
def address_goes(env):
    with Network() as net:
        net.add("10.9.9.9")
        server = env.own_server(start=False)
        server.write_conf(dict(STEADY, listen=["10.9.9.9:-1", "127.0.0.1:-1"]))
        server.start()
        away, here = server.addresses
        start = len(server.log())
        subject = env.subj()
        a = Client(away).connect()
        a.sub(subject + b" 1")
        b = env.keep(Client(here).connect(CN))
        b.pub(subject, b"there")
        a.expect(msg(subject, b"1", b"there"))
        net.remove()
        closed(server, a, start, "Stale Connection|closed: (Read|Write) Error")
        a.abandon()
        b = env.keep(Client(here).connect(CN))
        no_interest(b, env.number, subject)
        with socket.socket() as probe:
            probe.settimeout(0.2)
            try:
                probe.connect(away)
                raise Failure("an address that is gone answers")
            except OSError:
                pass
        env.keep(Client(here).connect())
        server.reload()
        net.add("10.9.9.9")
        c = env.keep(Client(away).connect())
        c.born = 0  # on a slow machine a PING may come before the message
        c.sub(subject + b" 1")
        env.keep(Client(here).connect()).pub(subject, b"back")
        c.expect(msg(subject, b"1", b"back"))


@suite.scenario("an address that no interface has", workers=(1,),
                reference=False)
def no_address(env):
    # TEST-NET-1 and the documentation prefix: nobody has those
    refused(env, ["127.0.0.1:-1", "192.0.2.77:-1"], "192.0.2.77:",
            "no interface of this host has it")
    if have_ipv6():
        refused(env, ["[2001:db8::77]:-1"], "[2001:db8::77]:",
                "no interface of this host has it")


# ------------------------------------------------------------- the backlog

@suite.scenario("more connections than listen_backlog holds come later",
                workers=(1, 2), reference=False)
def overflow(env):
    server = env.own_server({"listen_backlog": 8, "watchdog": "0"})
    pids = server.worker_pids()
    made = []
    with contextlib.ExitStack() as stack:
        for pid in pids:
            stack.enter_context(Stopped(pid))
        # nine are queued; the others' kernel asks again after a second
        for _ in range(18):
            sock = socket.socket()
            sock.setblocking(False)
            check(sock.connect_ex(server.address) in (0, errno.EINPROGRESS),
                  "connect")
            made.append(sock)
        for sock in made[:5]:  # some have no patience
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                            b"\1\0\0\0\0\0\0\0")
            sock.close()
    for sock in made[5:]:
        sock.settimeout(TIMEOUT)
        text = sock.recv(5)
        equal(text, b"INFO ", "what a late connection gets")
        sock.close()
    equal(server.worker_pids(), pids, "workers")
    env.client(server=server).expect_nothing()


# ------------------------------------------------------------- Unix sockets

def inode(path):
    found = os.lstat(path)
    return found.st_dev, found.st_ino


@suite.scenario("a deleted Unix socket is made again by a reload",
                workers=(1, 2), reference=False)
def deleted(env):
    server = env.own_server()
    path, subject = server.socket_path, env.subj()
    old = [env.on(slot, unix=True, server=server)
           for slot in server.worker_slots()]
    for client in old:
        client.sub(subject + b" 1")
    os.unlink(path)
    old[0].pub(subject, b"on")
    for client in old:
        client.expect(msg(subject, b"1", b"on"))
    try:
        Client(path)
        raise Failure("a deleted socket answers")
    except FileNotFoundError:
        pass
    for turn in range(2):
        start = len(server.log())
        server.reload()
        server.wait_log("Listening for client connections on unix:%s again" %
                        re.escape(path), start)
        equal(stat.S_IMODE(os.lstat(path).st_mode), 0o666, "mode")
        # every worker takes connections there
        for slot in server.worker_slots():
            env.on(slot, unix=True, server=server).pub(subject, b"new")
        for client in old:
            client.expect(msg(subject, b"1", b"new") *
                          len(server.worker_slots()))
        os.unlink(path)
    server.reload()
    made = inode(path)
    # nothing is touched that is as it was
    server.reload()
    equal(inode(path), made, "the socket's file")


def numbers(pid, path):
    """Descriptors of that process that are sockets made at that path."""
    with open("/proc/net/unix") as file:
        inodes = [line.split()[6] for line in file
                  if line.rstrip("\n").endswith(" " + path)]
    found = []
    for name in os.listdir("/proc/%d/fd" % pid):
        try:
            target = os.readlink("/proc/%d/fd/%s" % (pid, name))
        except FileNotFoundError:
            continue
        if target in ["socket:[%s]" % inode for inode in inodes]:
            found.append(int(name))
    return found


@suite.scenario("a socket that is made again keeps its descriptor, which is "
                "what a SIGTERM shuts", workers=(2,), reference=False)
def same_number(env):
    server = env.own_server()
    workers = server.worker_pids()
    try:
        before = [numbers(pid, server.socket_path) for pid in workers]
    except PermissionError:
        raise Skip("needs to see natsd's descriptors")
    equal([len(found) for found in before], [1, 1], "sockets")
    os.unlink(server.socket_path)
    server.reload()
    equal([numbers(pid, server.socket_path) for pid in workers], before,
          "descriptors of the new socket")
    for slot in server.worker_slots():
        env.on(slot, unix=True, server=server).expect_nothing()


@suite.scenario("connections that wait at a deleted socket are served",
                workers=(1, 2), reference=False)
def waiting(env):
    server = env.own_server({"watchdog": "0"})
    with contextlib.ExitStack() as stack:
        for pid in server.worker_pids():
            stack.enter_context(Stopped(pid))
        made = [env.keep(Client(server.socket_path, info=False))
                for _ in range(20)]
        os.unlink(server.socket_path)
        server.raise_signal(signal.SIGHUP)
        server.wait_log("on unix:.* again")
    for client in made:
        client.read_info()
        client.connect()


@suite.scenario("a worker that starts meanwhile has the new socket",
                workers=(1,), reference=False)
def fresh_worker(env):
    server = env.own_server(deaths=True)
    os.unlink(server.socket_path)
    server.reload()
    os.kill(server.worker_pids()[0], signal.SIGKILL)
    env.keep(Client(server.socket_path).connect())


@suite.scenario("what stands in a Unix socket's place", workers=(1,),
                reference=False)
def replaced(env):
    server = env.own_server()
    path = server.socket_path
    client = env.client(unix=True, server=server)

    def no_renewal(text):
        made, start = inode(path), len(server.log())
        server.reload()
        server.wait_log("unix:%s: .*%s" % (re.escape(path), text), start)
        equal(inode(path), made, "what was in the way")
        client.expect_nothing()
        env.client(server=server).expect_nothing()

    os.unlink(path)
    with open(path, "w") as file:
        file.write("precious")
    no_renewal("not a socket")
    os.unlink(path)
    # somebody else's, alive; and then dead
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        os.chmod(path, 0o666)  # natsd is another user
        other.listen()
        no_renewal("Address already in use")
    server.reload()
    env.keep(Client(path).connect())
    # a datagram socket is none that could be asked
    os.unlink(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(path)
        os.chmod(path, 0o666)
        no_renewal("wrong type")
        made = inode(path)
        for one in env.clients:
            one.abandon()
        server.raise_signal(signal.SIGTERM)
        equal(server.wait_exit(), 0, "exit status")
        equal(inode(path), made, "the socket of somebody else at the end")
    server.remove()


@suite.scenario("a folder where the socket cannot be made again",
                workers=(1,), reference=False)
def no_permission(env):
    server = env.own_server(start=False, unix=False)
    folder = server.path("folder")
    os.mkdir(folder, 0o755)
    path = os.path.join(folder, "nats")
    server.write_conf({"listen": ["127.0.0.1:-1", "unix:" + path]})
    server.start()
    client = env.keep(Client(path).connect())
    os.unlink(path)
    os.chmod(folder, 0o555)
    start = len(server.log())
    server.reload()
    server.wait_log("unix:.*cannot be made again: Permission denied", start)
    client.expect_nothing()
    os.chmod(folder, 0o777)
    server.reload()
    env.keep(Client(path).connect())
    for one in env.clients:
        one.close()
    server.raise_signal(signal.SIGTERM)
    equal(server.wait_exit(), 0, "exit status")
    equal(os.listdir(folder), [], "files left in the folder")
    server.remove()


# ------------------------------------------------------------- and besides

@suite.scenario("urgent data loses nothing but itself", pairs=True,
                workers=(1, 2))
def urgent(env):
    subject = env.subj()
    # without CONNECT: no PING of the server's for two minutes
    a = env.client()
    b = env.near(a, None)
    a.sub(subject + b" 1")
    with contextlib.ExitStack() as stack:
        # All of it is there when the worker looks: a read stops at the mark,
        # and nothing comes later that would make it look again.
        if not REFERENCE:
            stack.enter_context(Stopped(pid_of(env.server, b.worker)))
        b.send(b"PUB %s 5\r\nhel" % subject)
        b.sock.send(b"!", socket.MSG_OOB)
        b.send(b"lo\r\n" + PING)
    b.expect(b"+OK\r\n" + PONG)
    a.expect(msg(subject, b"1", b"hello"))
    b.send(PING)
    b.expect(PONG)


@suite.scenario("half-closed after PUB: all of it counts", pairs=True,
                workers=(1, 2))
def half_close(env):
    subject = env.subj()
    a, b = env.pair(C0, CN)
    a.sub(subject + b" 1")
    b.send(b"SUB mine 3\r\n" + pub(b"mine", b"z" * 300000) +
           pub(subject, b"big" * 100000) + pub(subject, b"last") + PING +
           b"PUB %s 10\r\ncut" % subject)
    b.half_close()
    equal(b.until_eof(), msg(b"mine", b"3", b"z" * 300000) + PONG, "replies")
    a.expect(msg(subject, b"1", b"big" * 100000) + msg(subject, b"1", b"last"))
    a.expect_nothing()


@suite.scenario("small segments and a small window", pairs=True,
                workers=(2,))
def small_segments(env):
    server, subject = env.server, env.subj()
    client = env.client(connect=None, info=False)
    client.abandon()
    sock = socket.socket()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 88)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    sock.connect(server.address)
    client.sock, client.eof = sock, False
    env.keep(client)
    sock.settimeout(TIMEOUT)
    # INFO in pieces, each taken by itself
    while not client.buf.endswith(b"\n"):
        check(client.fill(client.deadline(), 40), "end of file in INFO")
    client.read_info()
    client.connect()
    client.sub(subject + b" 1")
    other = env.near(client)
    for size in (1, 88, 5000, 100000):
        other.pub(subject, b"s" * size)
        client.expect(msg(subject, b"1", b"s" * size))


@suite.scenario("32 listeners, each with a client in one go", workers=(2,),
                reference=False)
def many_listeners(env):
    server = env.own_server(start=False, unix=False)
    paths = [server.path("%d.sock" % n) for n in range(8)]
    server.write_conf({"listen": ["127.0.0.1:-1"] + ["127.0.0.1:0"] * 23 +
                       ["unix:" + path for path in paths]})
    server.start()
    equal(len(set(server.addresses)), 24, "different TCP listeners")
    subject = env.subj()
    everyone = [env.keep(Client(address).connect())
                for address in server.addresses + paths]
    for client in everyone:
        client.sub(subject + b" 1")
    everyone[0].pub(subject, b"all")
    for client in everyone:
        client.expect(msg(subject, b"1", b"all"))


if __name__ == "__main__":
    sys.exit(suite.main())
