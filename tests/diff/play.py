# SPDX-License-Identifier: BSD-2-Clause
"""A session played to a server: what each connection received."""

import array
import fcntl
import json
import select
import socket
import termios
import time

from natsdtest import SLOW, Server, check

PATIENCE = 5.0 * SLOW  # for an answer that must come
SPARE = 8  # connections of a kind that are kept for later
SIOCOUTQ = termios.TIOCOUTQ


class Wire:
    """One connection; reads events: tuples of a word and what follows."""

    def __init__(self, address):
        self.buf = bytearray()
        self.pos = 0
        self.events = []
        self.pongs = 0
        self.eof = False
        self.reset = False
        self.unix = isinstance(address, str)
        if self.unix:
            self.sock = socket.socket(socket.AF_UNIX)
        else:
            self.sock = socket.socket(socket.AF_INET)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.settimeout(PATIENCE)
        try:
            self.sock.connect(address)
            while b"\n" not in self.buf:
                more = self.sock.recv(1 << 12)
                check(more, "no INFO but end of file")
                self.buf += more
            at = self.buf.index(b"\n") + 1
            check(self.buf.startswith(b"INFO "), "no INFO: %r", self.buf)
            self.info = json.loads(self.buf[5:at].decode())
        except BaseException:
            self.sock.close()
            raise
        self.worker = self.info.get("worker", 0)
        self.pos = at
        self.parse()

    # receiving

    def parse(self):
        buf = self.buf
        while True:
            end = buf.find(b"\r\n", self.pos)
            if end < 0:
                return
            line = bytes(buf[self.pos:end])
            end += 2
            if line.startswith((b"MSG ", b"HMSG ")):
                event, end = self.message(line, end)
                if event is None:
                    return
                self.events.append(event)
            elif line == b"PONG":
                self.pongs += 1
                self.events.append(("PONG",))
            elif line == b"PING":
                pass  # to know the round trip time, or whether we live
            elif line.startswith(b"-ERR "):
                self.events.append(("-ERR", line[5:]))
            else:
                self.events.append((line.decode("latin-1"),))
            self.pos = end

    def message(self, line, end):
        words = line.split(b" ")
        headed = words[0] == b"HMSG"
        least = 5 if headed else 4
        try:
            total = int(words[-1])
            head = int(words[-2]) if headed else 0
        except ValueError:
            total = -1
        if total < 0 or len(words) not in (least, least + 1):
            return ("bad", line), end
        if len(self.buf) < end + total + 2:
            return None, end
        body = bytes(self.buf[end:end + total])
        if self.buf[end + total:end + total + 2] != b"\r\n":
            return ("bad", line, body), end
        reply = words[3] if len(words) > least else None
        sizes = tuple(words[-2:] if headed else words[-1:])
        return ("MSG", words[1], words[2], reply,
                body[:head] if headed else None, body[head:],
                sizes), end + total + 2

    def read(self, timeout):
        """Read once; False if nothing came in time."""
        self.sock.settimeout(max(timeout, 0.0001))
        try:
            data = self.sock.recv(1 << 18)
        except (socket.timeout, BlockingIOError):
            return False
        except (ConnectionResetError, BrokenPipeError):
            self.reset = True
            data = b""
        if data:
            self.buf += data
            self.parse()
        else:
            self.eof = True
            self.sock.close()
        return True

    def wait(self, done):
        """Read until done() or the end; False if neither came."""
        end = time.monotonic() + PATIENCE
        while not self.eof and not done():
            if not self.read(end - time.monotonic()) and \
                    time.monotonic() >= end:
                return False
        return True

    # sending

    def send(self, pieces):
        """Piece by piece; each is read before the next, on a Unix socket."""
        self.sock.settimeout(PATIENCE)
        for number, piece in enumerate(pieces):
            if number and self.unix and not self.eof:
                self.taken()
            if self.eof:
                return
            try:
                self.push(piece)
            except (BrokenPipeError, ConnectionResetError):
                return

    def push(self, piece):
        """Send all; read meanwhile, lest both sides wait."""
        if len(piece) < 30000:
            self.sock.sendall(piece)
            return
        view = memoryview(piece)
        poll = select.poll()
        poll.register(self.sock, select.POLLIN | select.POLLOUT)
        while view and not self.eof:
            ready = poll.poll(PATIENCE * 1000)
            check(ready, "no progress in sending")
            if ready[0][1] & ~select.POLLOUT:
                self.read(0)
            if ready[0][1] & select.POLLOUT and not self.eof:
                self.sock.setblocking(False)
                try:
                    view = view[self.sock.send(view):]
                except BlockingIOError:
                    pass

    def taken(self):
        left = array.array("i", [0])
        end = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.ioctl(self.sock, SIOCOUTQ, left)
            except OSError:
                return
            if left[0] == 0 or hung_up(self.sock):
                return
            check(time.monotonic() < end, "input is not read")

    def finish(self):
        """No more from us; all that still comes."""
        if self.eof:
            return True
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        return self.wait(lambda: False)

    def abandon(self):
        self.sock.close()
        self.eof = True

    @property
    def rest(self):
        return bytes(self.buf[self.pos:])


def hung_up(sock):
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    return bool(poll.poll(0))


class Result:
    """What came of one play."""

    def __init__(self):
        self.wires = {}
        self.late = []  # what was waited for in vain
        self.info = None

    def take(self, conn, wire):
        end = "reset" if wire.reset else "eof" if wire.eof else "open"
        self.wires[conn] = (wire.events, wire.rest, end)


class Side:
    """A server of one configuration, used for many sessions."""

    def __init__(self, conf, workers=1, reference=""):
        self.workers = workers
        self.reference = reference
        most = conf.get("max_connections")
        self.limited = most is not None
        watched = workers > 1 and not reference
        if self.limited and watched:
            # Not before the monitors are there.
            conf = dict(conf, max_connections=None)
        self.server = Server(conf, workers=workers, reference=reference)
        self.pools = {}
        self.monitors = []
        self.slots = [0]
        if watched:
            self.watch(conf)
            if self.limited:
                self.drop_pools()
                self.server.reload(dict(conf,
                                        max_connections=most + workers))
        self.by_slot = {wire.worker: wire for wire in self.monitors}

    def watch(self, conf):
        """A connection to each worker, by which to see that it has taken
        what the others have sent it."""
        self.slots = self.server.worker_slots()
        self.monitors = [self.open_on(slot, True) for slot in self.slots]
        for monitor in self.monitors:
            self.authorize(monitor, conf)

    def drop_pools(self):
        for wires in self.pools.values():
            for wire in wires:
                wire.finish()
                wire.abandon()
        self.pools = {}

    @staticmethod
    def authorize(wire, conf):
        auth = conf.get("authorization")
        if auth:
            wire.send([('CONNECT {"verbose":false,"user":"%s","pass":"%s",'
                        '"auth_token":"%s"}\r\n' % (
                            auth.get("user", ""), auth.get("password", ""),
                            auth.get("token", ""))).encode()])

    def address(self, unix):
        if unix and not self.reference:
            return self.server.socket_path
        return self.server.address

    def open_on(self, slot, unix):
        """A fresh connection to the process in that slot; those that come to
        others meanwhile are kept for later."""
        if slot is None or self.workers == 1:
            return Wire(self.address(unix))
        pool = self.pools.setdefault((slot, unix), [])
        for _ in range(100 * self.workers):
            if pool:
                break
            wire = Wire(self.address(unix))
            self.pools.setdefault((wire.worker, unix), []).append(wire)
        check(pool, "no connection to worker %d", slot)
        found = pool.pop()
        # Workers are kept even: what one hoards the others lack.
        for other in self.pools.values():
            while len(other) > SPARE:
                other.pop(0).abandon()
        return found

    def settle(self, slots, rounds=1):
        """What other workers have sent to these has arrived there."""
        for _ in range(rounds):
            monitors = [self.by_slot[slot] for slot in slots]
            for monitor in monitors:
                monitor.sock.sendall(b"PING\r\n")
            for monitor in monitors:
                want = monitor.pongs + 1
                check(monitor.wait(lambda: monitor.pongs >= want) and
                      not monitor.eof, "worker %d does not answer",
                      monitor.worker)
                monitor.events.clear()
                del monitor.buf[:monitor.pos]
                monitor.pos = 0

    def play(self, plan, placement=None, unix=False):
        """placement: the worker's slot of each connection, by name."""
        run = Run(self, plan, placement or {}, unix)
        try:
            return run.all()
        finally:
            run.abandon()

    def alive(self):
        return self.server.proc.poll() is None

    def stop(self):
        for wires in list(self.pools.values()) + [self.monitors]:
            for wire in wires:
                wire.abandon()
        self.server.stop()

    def kill(self):
        self.server.kill()
        self.server.remove()


class Run:
    def __init__(self, side, plan, placement, unix):
        self.side, self.plan, self.unix = side, plan, unix
        self.placement = placement
        self.ours = not side.reference
        self.wires = {}
        self.result = Result()

    def open(self, conn):
        slot = None if self.side.limited else self.placement.get(conn)
        wire = self.side.open_on(slot, self.unix)
        self.wires[conn] = wire
        if self.result.info is None and not wire.unix:
            # client_ip is the only field that a Unix socket lacks.
            self.result.info = wire.info
        return wire

    def all(self):
        for number, step in enumerate(self.plan.steps):
            self.step(number, step)
        if self.side.monitors:
            # A message may have been passed on from one to another.
            self.side.settle(self.side.slots, 2)
        for conn, wire in self.wires.items():
            grammar = self.plan.grammars[conn]
            if not self.ours and grammar.rest and not wire.eof:
                wire.send([grammar.rest])
            if not wire.finish():
                self.result.late.append("end of %s" % conn)
            self.result.take(conn, wire)
        return self.result

    def step(self, number, step):
        wire = self.wires.get(step.conn)
        if wire is None:
            wire = self.open(step.conn)
        elif step.others and self.side.monitors and not wire.eof:
            self.side.settle([wire.worker])
        if wire.eof:
            return
        if step.action is None and not (step.closed and not step.pieces):
            data = step.pieces if self.ours else [step.theirs]
            wire.send([piece for piece in data if piece])
        elif step.action == "close":
            if not self.ours and step.theirs:
                wire.send([step.theirs])
            if not wire.finish():
                self.result.late.append("end of %s in step %d" %
                                        (step.conn, number))
            return
        pongs = step.pongs if self.ours else step.their_pongs
        if step.closed:
            good = wire.wait(lambda: False)
        else:
            good = wire.wait(lambda: wire.pongs >= pongs)
        if not good:
            self.result.late.append("answer to %s in step %d" %
                                    (step.conn, number))

    def abandon(self):
        for wire in self.wires.values():
            if not wire.eof:
                wire.abandon()
