# SPDX-License-Identifier: BSD-2-Clause
"""A TCP proxy between clients and a server that does on request what
networks and sick programs do by themselves."""

import contextlib
import select
import socket
import threading

BUFFER = 1 << 16
POLL_MS = 20


def close(sock):
    """Both ways and at once, whoever waits for it."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()


class Link:
    """One client's connection and the one to the server that belongs to
    it; a thread carries what comes from each side."""

    def __init__(self, proxy, client):
        self.proxy, self.client = proxy, client
        self.stalled = False
        self.writing = threading.Lock()
        self.server = socket.socket()
        self.server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        try:
            self.server.connect(proxy.target)
        except OSError:
            self.cut()
            raise
        for sock in self.client, self.server:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        proxy.links.add(self)
        for function in self.up, self.down:
            threading.Thread(target=self.carry, args=(function,),
                             daemon=True).start()

    def carry(self, function):
        with contextlib.suppress(OSError, ValueError):
            function()
        self.cut()

    def up(self):
        while True:
            data = self.client.recv(BUFFER)
            if not data:
                return
            if not self.proxy.muted:
                self.send(data)

    def send(self, data):
        with self.writing:
            self.server.sendall(data)

    def down(self):
        poll = select.poll()
        poll.register(self.server, select.POLLIN)
        while True:
            if not poll.poll(POLL_MS):
                continue
            while self.stalled:
                select.select([], [], [], POLL_MS / 1000)
            data = self.server.recv(BUFFER)
            if not data:
                return
            self.client.sendall(data)

    def cut(self):
        close(self.client)
        close(self.server)
        self.proxy.links.discard(self)


class Proxy:
    """Listens on a port that it has again after a cut."""

    def __init__(self, port, target):
        self.port, self.target = port, target
        self.muted = False
        self.links = set()
        self.listener = None
        self.listen()
        self.url = "nats://127.0.0.1:%d" % port

    def listen(self):
        self.listener = socket.create_server(("127.0.0.1", self.port),
                                             backlog=128)
        threading.Thread(target=self.serve, args=(self.listener,),
                         daemon=True).start()

    def serve(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError):
                Link(self, client)

    def cut(self):
        """All connections; whoever comes again is refused."""
        if self.listener:
            close(self.listener)
            self.listener = None
        links = list(self.links)
        for link in links:
            link.cut()
        return len(links)

    def heal(self):
        self.muted = False
        for link in list(self.links):
            link.stalled = False
        if not self.listener:
            self.listen()

    def stall(self):
        """Read nothing more from the server for those that are there."""
        for link in list(self.links):
            link.stalled = True

    def say(self, data):
        for link in list(self.links):
            link.send(data)
