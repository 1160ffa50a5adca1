# SPDX-License-Identifier: BSD-2-Clause
"""A network of our own: two namespaces, and between them a forwarder that
loses, delays and swallows packets.

The whole run moves into a fresh network namespace; a second one has the far
ends.  Both meet in tun devices, which a process of ours reads and writes: it
works without a netem in the kernel, can make one connection vanish, and all
of it goes with the processes.  Needs CAP_SYS_ADMIN and /dev/net/tun.
"""

import ctypes
import fcntl
import heapq
import os
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import time

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454ca
IFF_TUN_NO_PI = 0x1001
SYN, ACK = 0x02, 0x10  # flags of TCP
NEAR, FAR = "10.255.1.1", "10.255.1.2"
LIBC = ctypes.CDLL(None, use_errno=True)


class Unavailable(Exception):
    """No such network here; the reason is the text."""


def call(name, *args):
    if getattr(LIBC, name)(*args) != 0:
        code = ctypes.get_errno()
        raise OSError(code, "%s: %s" % (name, os.strerror(code)))


def own_namespace():
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def tun(name):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH", name, IFF_TUN_NO_PI))
    return fd


def ip(*args):
    subprocess.run(("ip",) + args, check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


class Network:
    """NEAR is here, FAR behind the forwarder."""

    def __init__(self, seed, loss=0.01, delay=0.003):
        try:
            call("unshare", CLONE_NEWNET)
            ip("link", "set", "lo", "up")
            self.near = own_namespace()
            a = tun(b"natsd0")
            ip("addr", "add", NEAR + "/24", "dev", "natsd0")
            ip("link", "set", "natsd0", "mtu", "9000", "up")
            call("unshare", CLONE_NEWNET)
            self.far = own_namespace()
            b = tun(b"natsd1")
            ip("addr", "add", FAR + "/24", "dev", "natsd1")
            ip("link", "set", "natsd1", "mtu", "9000", "up")
            self.enter(self.near)
        except (OSError, subprocess.CalledProcessError) as error:
            detail = getattr(error, "stderr", None)
            raise Unavailable("%s %s" % (error, detail or "")) from None
        mine, theirs = socket.socketpair(socket.AF_UNIX,
                                         socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                mine.close()
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                Forwarder(a, b, theirs, seed, loss, delay).run()
                status = 0
            finally:
                os._exit(status)
        theirs.close()
        os.close(a)
        os.close(b)
        self.control = mine
        self.vanished = 0

    @staticmethod
    def enter(namespace):
        call("setns", namespace, CLONE_NEWNET)

    def socket(self, family, kind):
        """One of the far side."""
        self.enter(self.far)
        try:
            return socket.socket(family, kind)
        finally:
            self.enter(self.near)

    def vanish(self, sock):
        """From now on nothing of that connection arrives, neither way."""
        port = sock.getsockname()[1]
        self.control.send(b"v%d" % port)
        self.control.recv(100)
        self.vanished += 1

    def weather(self, loss, delay):
        self.control.send(b"w%f %f" % (loss, delay))
        self.control.recv(100)

    def counts(self):
        """Packets forwarded and lost."""
        self.control.send(b"c")
        return tuple(int(n) for n in self.control.recv(100).split())

    def close(self):
        self.control.close()
        os.waitpid(self.pid, 0)


class Forwarder:
    """The process in the middle."""

    def __init__(self, a, b, control, seed, loss, delay):
        self.ends = {a: b, b: a}
        self.control = control
        self.rng = random.Random("network %s" % seed)
        self.loss, self.delay = loss, delay
        self.dead = set()  # ports on the far side
        self.queue = []
        self.number = self.passed = self.lost = 0

    def run(self):
        poll = select.poll()
        for fd in list(self.ends) + [self.control.fileno()]:
            poll.register(fd, select.POLLIN)
        for fd in self.ends:
            os.set_blocking(fd, False)
        while True:
            wait = None
            if self.queue:
                wait = max(0, (self.queue[0][0] - time.monotonic()) * 1000)
            for fd, _ in poll.poll(wait):
                if fd == self.control.fileno():
                    if not self.told():
                        return
                else:
                    self.take(fd)
            self.deliver()

    def told(self):
        data = self.control.recv(100)
        if not data:
            return False
        if data[:1] == b"v":
            self.dead.add(int(data[1:]))
        elif data[:1] == b"w":
            self.loss, self.delay = (float(n) for n in data[1:].split())
        self.control.send(b"%d %d" % (self.passed, self.lost))
        return True

    def take(self, fd):
        for _ in range(64):
            try:
                packet = os.read(fd, 65536)
            except OSError:
                return
            head = (packet[0] & 15) * 4
            ports = ()
            if packet[0] >> 4 == 4 and packet[9] == 6:
                ports = struct.unpack_from(">HH", packet, head)
                if packet[head + 13] & (SYN | ACK) == SYN:
                    # Another connection, from a port that is free again.
                    self.dead.discard(ports[0])
            if self.rng.random() < self.loss or \
                    not self.dead.isdisjoint(ports):
                self.lost += 1
                continue
            self.number += 1
            due = time.monotonic() + self.rng.expovariate(
                1 / self.delay if self.delay else 1e9)
            heapq.heappush(self.queue, (due, self.number, self.ends[fd],
                                        packet))

    def deliver(self):
        now = time.monotonic()
        while self.queue and self.queue[0][0] <= now:
            _, _, fd, packet = heapq.heappop(self.queue)
            try:
                os.write(fd, packet)
            except OSError:
                pass
            self.passed += 1


if __name__ == "__main__":
    sys.exit("part of soak.py")
