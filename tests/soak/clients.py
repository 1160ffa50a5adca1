# SPDX-License-Identifier: BSD-2-Clause
"""Connections of the judge: all in one process, none of them ever waits.

A Conn keeps the list of the replies that are due (+OK, -ERR, PONG, 503s in
between), since natsd owes them in the order of the lines.
"""

import collections
import errno
import json
import os
import select
import socket
import struct
import time

from judge import ID, NEVER, payload

HEADER = b"NATS/1.0\r\nNumber: %08x\r\nX: y\r\n\r\n"
STALE = b"-ERR 'Stale Connection'\r\n"
INVALID_PUB = b"-ERR 'Invalid Publish Subject'\r\n"

# What a reply that is due consists of: its bytes; what it confirms; the 503s
# that may come before it.
Due = collections.namedtuple("Due", "line subs unsubs limits msgs asks")


class Conn:
    """One connection."""

    count = 0

    def __init__(self, crowd, address, make=socket.socket, verbose=False,
                 pedantic=False, headers=True, echo=True, asks=False,
                 brisk=True, rcvbuf=0, kind="client"):
        Conn.count += 1
        self.number = Conn.count
        self.crowd, self.judge = crowd, crowd.judge
        self.verbose, self.pedantic = verbose, pedantic
        self.headers, self.echo, self.asks = headers, echo, asks
        self.brisk, self.kind = brisk, kind
        self.address = address
        self.sids, self.free, self.next_sid = {}, [], 1
        self.last = {}
        self.backlog = 0  # bytes on their way to it, by an estimate
        self.swamped = False  # in this epoch they were too many, or unknown
        self.lost = 0  # when
        self.why = ""
        self.ghost = False
        self.last_number = 0  # the last message sent before it ended
        self.expects_end = ""  # reason, if it is to end
        self.slot = self.cid = None
        self.ready = False
        self.info = {}
        self.out = collections.deque()
        self.out_bytes = 0
        self.buf = bytearray()
        self.due = collections.deque()
        self.waiting = []  # 503s asked for since the last reply due
        self.open_subs, self.open_unsubs = [], []
        self.open_limits, self.open_msgs = [], []
        self.reading = True
        self.quota = NEVER  # bytes that a slow one may still read
        self.born = time.monotonic()
        self.inbox = b"i.%d." % self.number
        self.sock = make(socket.AF_UNIX if isinstance(address, str)
                         else socket.AF_INET, socket.SOCK_STREAM)
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.sock.setblocking(False)
        code = self.sock.connect_ex(address)
        if code not in (0, errno.EINPROGRESS, errno.EAGAIN):
            self.sock.close()
            raise OSError(code, os.strerror(code))
        if not isinstance(address, str):
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.mask = select.EPOLLIN | select.EPOLLOUT
        crowd.add(self)
        self.hello()

    def __repr__(self):
        flags = "".join(letter for letter, on in zip("vphna", (
            self.verbose, self.pedantic, self.headers, not self.echo,
            self.asks)) if on)
        return "#%d(%s cid %s worker %s%s)" % (
            self.number, self.kind + (" " + flags if flags else ""), self.cid,
            self.slot, " lost" if self.lost else "")

    # saying something

    def hello(self):
        """CONNECT, and the inbox that every one has."""
        self.connect_line()
        self.sub(self.inbox + b">")
        self.ping()

    def connect_line(self):
        text = json.dumps({
            "verbose": self.verbose, "pedantic": self.pedantic,
            "headers": self.headers, "echo": self.echo, "protocol": 1,
            "no_responders": self.asks, "name": "soak %d" % self.number})
        self.push(b"CONNECT %s\r\n" % text.encode())
        self.ok()

    def again(self):
        """A second CONNECT: all subscriptions are gone."""
        for sub in list(self.sids.values()):
            self.judge.unsubscribe(sub)
            self.open_unsubs.append(sub)
        self.connect_line()
        sid = b"%d" % self.next_sid
        self.next_sid += 1
        self.sub(self.inbox + b">", sid=sid)

    def push(self, data):
        self.out.append(data)
        self.out_bytes += len(data)
        self.crowd.talkers.add(self)

    def reply(self, line):
        self.due.append(Due(line, (), (), (), (), self.waiting))
        self.waiting = []

    def ok(self, msg=None):
        if self.verbose:
            self.due.append(Due(b"+OK\r\n", (), (), (),
                                (msg,) if msg else (), self.waiting))
            self.waiting = []

    def ping(self):
        """A barrier behind all that was said."""
        self.push(b"PING\r\n")
        self.due.append(Due(b"PONG\r\n", self.open_subs, self.open_unsubs,
                            self.open_limits, self.open_msgs, self.waiting))
        self.waiting = []
        self.open_subs, self.open_unsubs = [], []
        self.open_limits, self.open_msgs = [], []

    def sub(self, pattern, queue=None, sid=None):
        if sid is None:
            if self.free:
                sid = self.free.pop()
            else:
                sid = b"%d" % self.next_sid
                self.next_sid += 1
        sub = self.judge.subscribe(self, sid, pattern, queue)
        self.push(b"SUB %s %s\r\n" % (pattern, sid) if queue is None else
                  b"SUB %s %s %s\r\n" % (pattern, queue, sid))
        self.ok()
        self.open_subs.append(sub)
        return sub

    def sub_again(self, sub, pattern):
        """A sid that is taken: nothing may come of it."""
        self.push(b"SUB %s %s\r\n" % (pattern, sub.sid))
        self.ok()

    def unsub(self, sub):
        self.judge.unsubscribe(sub)
        self.push(b"UNSUB %s\r\n" % sub.sid)
        self.ok()
        self.open_unsubs.append(sub)

    def limit(self, sub, most):
        self.judge.limit(sub, most)
        self.push(b"UNSUB %s %d\r\n" % (sub.sid, most))
        self.ok()
        self.open_limits.append((sub, most))

    def publish(self, plan):
        """Messages: (subject, reply or True for one of its own, with header,
        size) each."""
        judge, parts = self.judge, []
        size_sum = 0
        sent = judge.tick()
        interest = None
        told = None
        for subject, reply, header, size in plan:
            if subject is not told:
                if told is not None:
                    self.expect_backlog(interest, size_sum)
                    size_sum = 0
                told = subject
                interest = judge.interest(subject)
            number = judge.number + 1
            # Who asks for 503s is answered at its inbox, which is known to
            # be in force.
            if reply is True or size < ID or (reply and self.asks):
                reply = b"%s%08x" % (self.inbox, number)
            head = HEADER % number if header and self.headers else None
            msg = judge.publish(self, subject, reply, head, size, interest,
                                sent)
            if head is None:
                if reply is None:
                    parts.append(b"PUB %s %d\r\n" % (subject, size))
                else:
                    parts.append(b"PUB %s %s %d\r\n" % (subject, reply, size))
            else:
                parts.append(b"HPUB %s %s%d %d\r\n%s" % (
                    subject, reply + b" " if reply else b"", len(head),
                    len(head) + size, head))
            parts.append(payload(number, size))
            parts.append(b"\r\n")
            self.open_msgs.append(msg)
            size_sum += size + 40
            if self.pedantic and invalid(subject):
                self.reply(INVALID_PUB)
            if self.verbose:
                self.ok(msg)
            if self.asks and reply is not None and \
                    reply.startswith(self.inbox):
                msg.asks = True
                self.waiting.append(msg)
        if told is not None:
            self.expect_backlog(interest, size_sum)
        self.push(b"".join(parts))

    @staticmethod
    def expect_backlog(interest, size):
        for conn, times in interest.share.items():
            conn.backlog += times * size

    # hearing something

    def parse(self):
        buf, pos, judge = self.buf, 0, self.judge
        end = len(buf)
        while True:
            eol = buf.find(b"\r\n", pos)
            if eol < 0:
                break
            first = buf[pos]
            if first == 77 or first == 72:  # MSG, HMSG
                line = bytes(buf[pos:eol])
                words = line.split(b" ")
                try:
                    if first == 77:
                        total, head = int(words[-1]), 0
                        reply = words[3] if len(words) == 5 else None
                        sound = words[0] == b"MSG" and len(words) in (4, 5)
                    else:
                        total, head = int(words[-1]), int(words[-2])
                        reply = words[3] if len(words) == 6 else None
                        sound = words[0] == b"HMSG" and len(words) in (5, 6)
                except (ValueError, IndexError):
                    sound = False
                if not sound:
                    judge.fail("%r: the stream is broken: %r", self,
                               line[:200])
                start = eol + 2
                stop = start + total
                if stop + 2 > end:
                    break
                if buf[stop:stop + 2] != b"\r\n":
                    judge.fail("%r: a message without its end: %r", self,
                               line)
                if head:
                    header = bytes(buf[start:start + head])
                    if header.startswith(b"NATS/1.0 503"):
                        judge.no_responders(
                            self, line, words[2], reply or words[1], header,
                            self.due[0].asks if self.due else self.waiting)
                    else:
                        judge.arrived(self, line, words[1], words[2], reply,
                                      header, buf[start + head:stop])
                else:
                    judge.arrived(self, line, words[1], words[2], reply, None,
                                  buf[start:stop])
                self.crowd.arrivals += 1
                pos = stop + 2
                continue
            line = bytes(buf[pos:eol + 2])
            pos = eol + 2
            if first == 73:  # INFO
                self.got_info(line)
            elif line == b"PING\r\n":
                self.push(b"PONG\r\n")
            else:
                self.replied(line)
        if pos:
            del buf[:pos]

    def got_info(self, line):
        self.info = json.loads(line[5:].decode())
        self.cid = self.info.get("client_id")
        self.slot = self.info.get("worker", 0)

    def replied(self, line):
        judge = self.judge
        if line.startswith(b"-ERR") and self.expects_end and not (
                self.due and self.due[0].line == line):
            return
        if line == STALE and (not self.brisk or self.kind == "lossy"):
            self.expects_end = "stale connection"
            return
        if not self.due or self.due[0].line != line:
            judge.fail("%r: %r is not due, but %r", self, line,
                       self.due[0].line if self.due else None)
        due = self.due.popleft()
        for msg in due.asks:
            if msg.refused is None:
                msg.refused = False
        if line == b"+OK\r\n":
            for msg in due.msgs:
                msg.acked = True
            return
        if line != b"PONG\r\n":
            return
        now = judge.tick()
        for msg in due.msgs:
            msg.conf = now
        for sub in due.subs:
            judge.in_force(sub)
        for sub, most in due.limits:
            if sub.over == NEVER:
                judge.limited(sub, most)
        for sub in due.unsubs:
            if sub.over == NEVER:
                judge.over(sub)
        self.ready = True

    # the socket

    def write(self):
        out = self.out
        while out:
            try:
                sent = self.sock.sendmsg(
                    [out[i] for i in range(min(len(out), 50))])
            except BlockingIOError:
                return
            except OSError:
                # whatever natsd has sent before is still to be read
                out.clear()
                self.out_bytes = 0
                return
            self.out_bytes -= sent
            while sent:
                if sent >= len(out[0]):
                    sent -= len(out.popleft())
                else:
                    out[0] = memoryview(out[0])[sent:]
                    sent = 0

    def read(self):
        """What there is, up to a bound; False at the end of file."""
        most = int(min(1 << 18, self.quota))
        if most <= 0:
            return True
        try:
            data = self.sock.recv(most)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not data:
            return False
        self.quota -= len(data)
        self.buf += data
        self.parse()
        return True

    def idle(self):
        return not self.due and not self.out

    def half_close(self):
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             struct.pack("ii", 1, 0))


def invalid(subject):
    """What a pedantic client hears about."""
    tokens = subject.split(b".")
    return any(token in (b"", b"*", b">") for token in tokens)


class Crowd:
    """All connections and the one loop that serves them."""

    def __init__(self, judge):
        self.judge = judge
        self.epoll = select.epoll()
        self.conns = {}  # by descriptor
        self.talkers = set()
        self.on_end = None  # called with a Conn whose end was read
        self.arrivals = 0
        self.gap = 0.0  # longest time between two looks
        self.looked = time.monotonic()

    def add(self, conn):
        self.conns[conn.sock.fileno()] = conn
        self.epoll.register(conn.sock.fileno(), conn.mask)

    def remove(self, conn):
        fd = conn.sock.fileno()
        if fd >= 0 and self.conns.pop(fd, None):
            self.epoll.unregister(fd)
        self.talkers.discard(conn)
        conn.sock.close()

    def everyone(self):
        return list(self.conns.values())

    def watch(self, conn, mask):
        if mask != conn.mask:
            conn.mask = mask
            self.epoll.modify(conn.sock.fileno(), mask)

    def settle_mask(self, conn):
        mask = 0
        if conn.reading and conn.quota > 0:
            mask |= select.EPOLLIN
        if conn.out:
            mask |= select.EPOLLOUT
        self.watch(conn, mask)

    def turn(self, timeout=0.0):
        """One look at all of them."""
        for conn in list(self.talkers):
            if conn.sock.fileno() >= 0 and conn.cid is not None:
                conn.write()
                self.settle_mask(conn)
        self.talkers.clear()
        now = time.monotonic()
        self.gap = max(self.gap, now - self.looked)
        self.looked = now
        for fd, events in self.epoll.poll(timeout, 256):
            conn = self.conns.get(fd)
            if conn is None:
                continue
            if events & select.EPOLLOUT:
                conn.write()
            if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                if not conn.reading and not events & (
                        select.EPOLLHUP | select.EPOLLERR):
                    continue
                if not conn.reading:
                    conn.quota, conn.reading = NEVER, True
                if not conn.read():
                    self.ended(conn)
                    continue
            self.settle_mask(conn)

    def ended(self, conn):
        """End of file or reset."""
        self.remove(conn)
        self.judge.conn_lost(conn)
        if self.on_end:
            self.on_end(conn)
