#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""One worker goes mad, the others do not notice much: tests/proc/inject.c lets
a chosen worker flip bits and store words anywhere it may write, and send wild
records, control messages and doorbells.  Meanwhile clients of the others talk
to each other, and everything that they say to each other is checked.

In turn every worker goes mad, for some hundred injections of one kind or of
all; it dies of that, is killed for it, or is killed here when it is through.

Environment:
  NATSD_INJECTIONS  how many in all (default 1000)
  NATSD_TEST_SEED   seed; it is printed
  NATSD_INJECT_KINDS  only these profiles: index,own,ring,record,request,all
"""

import collections
import os
import random
import re
import select
import signal
import socket
import sys
import threading
import time
import zlib

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
from natsdtest import *  # noqa: E402,F403

suite = Suite("containment", workers=(4,))

# Rings of 64 KiB: messages of 33 KB and more go in fragments.
CONF = {"ring_memory": "3MB", "index_memory": "16MB", "max_pending": "64MB",
        "write_deadline": "60s", "watchdog": "2s", "memory_max": "256MB"}

SEED = int(os.environ.get("NATSD_TEST_SEED", str(random.randrange(1 << 30))))
INJECTIONS = int(os.environ.get("NATSD_INJECTIONS", "1000"))

# A place whose workers die young is given a rest, and ten deaths of one in a
# minute end the daemon.
YOUNG = 7.0
# Pace: some let the others see each single fault, some come at once.
INTERVALS_US = (2, 20, 200, 1000)

# So they are spread over several servers.
SERVERS = 3
MEMORY_MAX = 256 << 20  # of one server, all told

NAMES = ("index-flip", "index-word", "own-flip", "own-word", "ring-flip",
         "ring-word", "record", "record-again", "bells", "control", "log",
         "greedy", "silent", "heads")


def mask(*words):
    return sum(1 << n for n, name in enumerate(NAMES)
               if name.startswith(words))


PROFILES = {"index": mask("index"), "own": mask("own"), "ring": mask("ring"),
            "record": mask("record"),
            "request": mask("bells", "control", "log"),
            "all": mask(*NAMES[:-3])}

READY = re.compile(r"worker (\d+) ready \(pid (\d+)\)")
ENDED = re.compile(r"worker (\d+) \(pid (\d+)\) ((?:killed by|exited with)"
                   r"[^,]*),")
MASTER = re.compile(r"^\[\d+/master\] \S+ \S+ \[\w+\] (.*)")
COMPLAINT = re.compile(r"worker (\d+) \(pid (\d+)\) complains of (?:worker|"
                       r"slot) (\d+)(?: \(pid (\d+)\))?[^:]*: (.*)")
FELLED = re.compile(r"killing worker (\d+) \(pid (\d+)\): (.*)")
FELLED_TOO = re.compile(r"worker (\d+) \(pid (\d+)\)[: ](.*), killing it")

def inject_program():
    build = os.environ.get("top_builddir") or \
        os.path.dirname(program() or "./natsd")
    path = os.environ.get("NATSD_INJECT_PROGRAM") or \
        os.path.join(build, "tests", "proc", "natsd_inject")
    if not os.access(path, os.X_OK):
        raise Skip("no natsd with the fault injector (%s)" % path)
    return os.path.abspath(path)


class MadServer(Server):
    """natsd whose workers go mad when told to; follows its log."""

    def __init__(self, *args, **kwargs):
        self.program = inject_program()
        self.log_at = 0
        self.alive = {}  # slot: pid
        self.born = {}  # pid: when it was seen
        self.dead = {}  # pid: how it ended
        self.complaints = []
        self.felled = {}
        self.said = []  # the master's own lines
        super().__init__(*args, deaths=True, **kwargs)

    def command(self):
        return [self.program] + super().command()[1:]

    def spawn(self):
        os.environ["NATSD_INJECT"] = self.path("inject")
        try:
            super().spawn()
        finally:
            del os.environ["NATSD_INJECT"]

    def follow(self):
        """What the log says since the last call."""
        with open(self.err_path, "rb") as file:
            file.seek(self.log_at)
            data = file.read()
        data = data[:data.rfind(b"\n") + 1]
        self.log_at += len(data)
        for line in data.decode(errors="replace").split("\n"):
            found = MASTER.match(line)
            if found:
                self.take(found.group(1))

    def take(self, line):
        self.said.append(line)
        found = READY.search(line)
        if found:
            slot, pid = int(found.group(1)), int(found.group(2))
            self.alive[slot] = pid
            self.born[pid] = time.monotonic()
        found = ENDED.search(line)
        if found:
            slot, pid = int(found.group(1)), int(found.group(2))
            if self.alive.get(slot) == pid:
                del self.alive[slot]
            self.dead[pid] = found.group(3)
        found = COMPLAINT.search(line)
        if found:
            self.complaints.append((int(found.group(2)),
                                    int(found.group(4) or 0),
                                    found.group(5)))
        found = FELLED.search(line) or FELLED_TOO.search(line)
        if found:
            self.felled[int(found.group(2))] = found.group(3)

    def all_up(self):
        self.follow()
        return len(self.alive) == self.workers

    def arm(self, pid, seed, kinds, interval_us, count):
        path = self.path("inject")
        with open(path + ".new", "w") as file:
            file.write("%d %d %d %d %d\n" % (pid, seed, kinds, interval_us,
                                             count))
        os.chmod(path + ".new", 0o644)
        os.rename(path + ".new", path)

    def injected(self, pid):
        """How many of each kind so far, and how many are left."""
        try:
            with open(self.path("inject.%d" % pid)) as file:
                words = file.read().split()
        except OSError:
            return collections.Counter(), None
        found = collections.Counter()
        for name, count in zip(words[::2], words[1::2]):
            found[name] = int(count)
        left = found.pop("left", None)
        return found, left

    def forget(self, pid):
        for name in ("inject", "inject.%d" % pid):
            try:
                os.unlink(self.path(name))
            except OSError:
                pass


# ------------------------------------------------------------------ traffic

class Cell:
    """The clients of one worker: one that publishes and asks, one that reads
    everything, one that is in the queue group and answers."""

    count = 0

    def __init__(self, slot, clients):
        Cell.count += 1
        self.id = Cell.count
        self.slot = slot
        self.publisher, self.reader, self.member = clients
        self.sent = 0  # numbered messages
        self.queued = 0
        self.pongs = self.pings = 0
        self.next = {}  # reader: of each publisher
        self.wanted = {}  # publisher: replies outstanding
        self.churned = 0

    def clients(self):
        return (self.publisher, self.reader, self.member)


class Traffic:
    """All that sane workers' clients say to each other, step by step."""

    def __init__(self, server, chance):
        self.server, self.chance = server, chance
        self.tag = b"%08x" % chance.randrange(1 << 32)
        self.v = b"sane." + self.tag
        self.o = b"mad." + self.tag
        self.cells = {}
        self.got = set()  # of the queue group
        self.checked = collections.Counter()
        self.forged = self.foreign = 0
        self.slowest = 0

    # placing

    def populate(self):
        """A cell in every worker that has none."""
        need = {slot: 3 for slot in self.server.alive
                if slot not in self.cells}
        made = {slot: [] for slot in need}
        surplus = []
        end = time.monotonic() + TIMEOUT
        try:
            while any(len(made[slot]) < 3 for slot in need):
                client = self.server.client()
                if len(made.get(client.worker, (0,) * 3)) < 3:
                    made[client.worker].append(client)
                    continue
                surplus.append(client)
                if len(surplus) > 150:
                    for one in surplus:
                        one.abandon()
                    surplus = []
                    time.sleep(0.02)
                check(time.monotonic() < end, "no connection in workers %r",
                      [s for s in need if len(made[s]) < 3])
        finally:
            for one in surplus:
                one.abandon()
        for slot, clients in made.items():
            self.begin(Cell(slot, clients))

    def begin(self, cell):
        cell.publisher.connect(CN)
        cell.publisher.sub(b"_INBOX.%s.%d.* 5" % (self.tag, cell.id))
        cell.reader.connect(CH)
        cell.reader.sub(self.v + b".t.* 1", self.v + b".m.%d 7" % cell.id,
                        self.o + b".> 9")
        cell.member.connect(CH)
        cell.member.sub(self.v + b".q.* group 2",
                        self.v + b".r.%d 3" % cell.id)
        for other in self.cells.values():
            cell.next[other.id] = other.sent
            other.next[cell.id] = 0
        cell.next[cell.id] = 0
        self.cells[cell.slot] = cell

    def drop(self, slot):
        cell = self.cells.pop(slot)
        for client in cell.clients():
            client.abandon()

    # a step

    def payload(self, cell, number, size):
        body = b"%s %d %d " % (self.tag, cell.id, number)
        body += bytes([97 + number % 26]) * size
        return body + b" %08x" % zlib.crc32(body)

    def genuine(self, data):
        """(publisher, number) of a payload of ours, else None."""
        if not data.startswith(self.tag + b" ") or \
                b"%08x" % zlib.crc32(data[:-9]) != data[-8:]:
            return None
        words = data.split(b" ", 3)
        return int(words[1]), int(words[2])

    def say(self, cell, others):
        chance = self.chance
        out = []
        sizes = [chance.choice((0, 10, 100, 2000)) for _ in range(12)]
        if chance.random() < 0.2:
            sizes.append(chance.choice((20000, 40000, 150000)))
        for size in sizes:
            out.append(pub(self.v + b".t.%d" % cell.id,
                           self.payload(cell, cell.sent, size)))
            cell.sent += 1
        for _ in range(6):
            out.append(pub(self.v + b".q.%d" % cell.id,
                           self.payload(cell, cell.queued, 20)))
            cell.queued += 1
        for other in others:
            cell.churned += 1
            reply = b"_INBOX.%s.%d.%d" % (self.tag, cell.id, cell.churned)
            cell.wanted[reply] = True
            out.append(pub(self.v + b".r.%d" % other.id,
                           self.payload(cell, cell.churned, 5), reply))
        # PONG has to wait for every worker, the mad one too
        for other in self.cells.values():
            out.append(pub(self.v + b".m.%d" % other.id,
                           self.payload(cell, 0, 10),
                           b"_INBOX.%s.%d.m" % (self.tag, cell.id)))
        # interest that comes and goes, of all kinds
        out.append(b"SUB %s.c.%d.%d.* %d\r\n" % (
            self.v, cell.id, cell.churned, 1000 + cell.churned))
        out.append(b"SUB %s.c.%d.> g%d %d\r\n" % (
            self.v, cell.id, cell.churned, 500000 + cell.churned))
        out.append(PING)
        out.append(b"UNSUB %d\r\nUNSUB %d\r\n" % (
            1000 + cell.churned, 500000 + cell.churned))
        out.append(PING)
        cell.pings += 2
        self.send(cell.publisher, b"".join(out))

    def send(self, client, data):
        client.backlog = getattr(client, "backlog", b"") + data
        self.push(client)

    def push(self, client):
        client.sock.settimeout(0)
        try:
            sent = client.sock.send(client.backlog)
        except BlockingIOError:
            return
        client.backlog = client.backlog[sent:]

    def sane(self, mad):
        return [cell for slot, cell in self.cells.items() if slot != mad]

    def step(self, mad):
        """Everybody but the mad one says something, and hears it all."""
        cells = self.sane(mad)
        queued = set()
        begun = time.monotonic()
        for cell in cells:
            before = cell.queued
            self.say(cell, cells)
            queued.update((cell.id, n) for n in range(before, cell.queued))
        ids = {cell.id: cell for cell in cells}

        def missing():
            found = []
            for cell in cells:
                if cell.pongs < cell.pings:
                    found.append("%d PONG to worker %d" % (
                        cell.pings - cell.pongs, cell.slot))
                if cell.wanted:
                    found.append("%d replies to worker %d" % (
                        len(cell.wanted), cell.slot))
                for key, other in ids.items():
                    if cell.next[key] < other.sent:
                        found.append("%d of %d messages from worker %d to %d"
                                     % (other.sent - cell.next[key],
                                        other.sent, other.slot, cell.slot))
            if not queued <= self.got:
                found.append("%d of the queue group" %
                             len(queued - self.got))
            return found
        self.listen(cells, missing)
        self.checked["queue"] += len(queued)
        self.got -= queued
        self.slowest = max(self.slowest, time.monotonic() - begun)

    def listen(self, cells, missing):
        end = time.monotonic() + TIMEOUT
        of = {client.sock: (cell, client) for cell in cells
              for client in cell.clients()}
        while missing():
            check(time.monotonic() < end, "in vain waited for: %s",
                  "; ".join(missing()))
            busy = [sock for sock, (_, client) in of.items()
                    if getattr(client, "backlog", b"")]
            readable, writable, _ = select.select(list(of), busy, [], 0.2)
            for sock in writable:
                self.push(of[sock][1])
            for sock in readable:
                cell, client = of[sock]
                try:
                    more = client.fill(end)
                except (BlockingIOError, socket.timeout):
                    continue
                self.parse(cell, client)
                check(more, "%r was cut off", client)

    def parse(self, cell, client):
        buf, pos = client.buf, 0
        while True:
            eol = buf.find(b"\r\n", pos)
            if eol < 0:
                check(len(buf) - pos < 5000, "%r: no line: %s", client,
                      show(buf[pos:]))
                break
            line = bytes(buf[pos:eol])
            words = line.split(b" ")
            if words[0] not in (b"MSG", b"HMSG"):
                self.said(cell, client, line)
                pos = eol + 2
                continue
            size = int(words[-1])
            start = eol + 2
            if len(buf) < start + size + 2:
                break
            check(buf[start + size:start + size + 2] == b"\r\n",
                  "%r: message without its end: %s", client, show(line))
            self.heard(cell, client, words, bytes(buf[start:start + size]))
            pos = start + size + 2
        del buf[:pos]

    def said(self, cell, client, line):
        if line == b"PONG":
            cell.pongs += 1
        elif line == b"PING":
            self.send(client, PONG)
        else:
            raise Failure("%r: got %s" % (client, show(line)))

    def heard(self, cell, client, words, data):
        headed = words[0] == b"HMSG"
        check(len(words) in ((5, 6) if headed else (4, 5)),
              "%r: control line %r", client, words)
        subject, sid = words[1], words[2]
        reply = words[3] if len(words) == (6 if headed else 5) else None
        head = int(words[-2]) if headed else 0
        check(head <= len(data), "%r: %r", client, words)
        key = self.genuine(data[head:])
        patterns = {
            cell.publisher: {b"5": b"_INBOX.%s.%d." % (self.tag, cell.id)},
            cell.reader: {b"1": self.v + b".t.",
                          b"7": self.v + b".m.%d" % cell.id,
                          b"9": self.o + b"."},
            cell.member: {b"2": self.v + b".q.",
                          b"3": self.v + b".r.%d" % cell.id}}[client]
        if client is cell.publisher and sid not in patterns and \
                int(sid) >= 1000:
            patterns[sid] = self.v + b".c.%d." % cell.id
        check(sid in patterns, "%r: a sid that it does not have: %r", client,
              words)
        check(subject.startswith(patterns[sid]),
              "%r: %s does not match what sid %s stands for", client,
              show(subject), sid.decode())
        if sid == b"9":
            self.foreign += 1
        elif sid == b"7" or subject.endswith(b".m"):
            pass  # nobody answers; 503 if it has gone mad
        elif key is None and not headed:
            self.forged += data != b"no"  # which the noise asks
        elif sid == b"1":
            self.in_order(cell, client, subject, key)
        elif sid == b"2":
            check(key not in self.got, "%r: twice: %r", client, key)
            self.got.add(key)
        elif sid == b"3":
            self.send(client, pub(reply, data))
        elif sid == b"5":
            check(not headed, "%r: %r %s", client, words, show(data))
            check(subject in cell.wanted, "%r: no such reply is wanted: %r",
                  client, words)
            del cell.wanted[subject]
            self.checked["replies"] += 1

    def in_order(self, cell, client, subject, key):
        if key is None or subject != self.v + b".t.%d" % key[0]:
            self.forged += 1
            return
        if key[0] not in cell.next:
            return  # of one whose worker is gone
        equal(key[1], cell.next[key[0]], "%r: number of publisher %d" % (
            client, key[0]))
        cell.next[key[0]] += 1
        self.checked["messages"] += 1


class Noise(threading.Thread):
    """The clients of the mad one: they publish and ask, so that there is
    something to spoil; what becomes of them is nobody's business."""

    def __init__(self, traffic, cell, ids, chance):
        super().__init__(daemon=True)
        self.traffic, self.cell, self.ids = traffic, cell, ids
        self.chance = chance
        self.ending = False
        self.start()

    def batch(self, number):
        t, chance = self.traffic, self.chance
        out = []
        for _ in range(chance.randrange(1, 8)):
            subject = t.o + b".%d.%d" % (self.cell.id, chance.randrange(5))
            out.append(pub(subject, b"m" * chance.choice((0, 9, 90, 900))))
        if chance.random() < 0.1:
            out.append(pub(t.o + b".big", b"M" * 50000))
        if chance.random() < 0.5:
            out.append(pub(t.v + b".r.%d" % chance.choice(self.ids), b"no",
                           b"_INBOX.%s.%d.x" % (t.tag, self.cell.id)))
            out.append(pub(t.o + b"nobody", b"", b"_INBOX.%s.%d.y" % (
                t.tag, self.cell.id)))
        out.append(b"SUB %s.n%d.* %d\r\nSUB %s.%d.> q%d %d\r\n" % (
            t.o, number % 50, number + 10, t.o, number % 7, number % 5,
            number + 1000000))
        if number > 30:
            out.append(b"UNSUB %d\r\nUNSUB %d\r\n" % (
                number - 20, number + 1000000 - 30))
        return b"".join(out) + PING

    def run(self):
        number = 0
        try:
            while not self.ending:
                number += 1
                self.cell.publisher.sock.settimeout(0.2)
                self.cell.publisher.sock.sendall(self.batch(number))
                time.sleep(0.004)
                for client in self.cell.clients():
                    client.sock.settimeout(0)
                    try:
                        while client.sock.recv(1 << 18):
                            pass
                    except BlockingIOError:
                        pass
        except OSError:
            pass


# ------------------------------------------------------------------- a life

def until_pong(client):
    """What the one before has asked may still come in front of it."""
    end = client.deadline()
    while not client.buf.endswith(PONG):
        check(client.fill(end), "%r: no PONG", client)
    client.buf.clear()


class Run:
    """One server; its workers go mad one after the other."""

    def __init__(self, server, chance, young=YOUNG):
        self.server = server
        self.chance = chance
        self.young = young
        self.traffic = Traffic(server, self.chance)
        self.injected = collections.Counter()
        self.ends = collections.Counter()
        self.complaints = collections.Counter()
        self.lives = self.steps = 0
        self.peak = 0

    def settle(self):
        """All workers are up, with clients in each."""
        wait_for(self.server.all_up, "all workers; up are %r" %
                 self.server.alive, 60 * SLOW)
        self.traffic.populate()

    def victims(self, mad):
        return {slot: pid for slot, pid in self.server.alive.items()
                if slot != mad}

    def bounded(self):
        """Nobody spins, and nobody keeps what the mad ones have cost."""
        server = self.server
        wait_for(lambda: not self.busy(), "the workers to sleep")
        pss = memory(server.tree())
        if pss is not None:
            check(pss < MEMORY_MAX, "memory: %d MB", pss >> 20)

    def busy(self):
        """Does any worker use more than a tenth of a CPU when idle?"""
        before = self.ticks()
        time.sleep(0.3)
        after = self.ticks()
        return any(after[pid] - before[pid] > 0.03 * os.sysconf("SC_CLK_TCK")
                   for pid in before if pid in after)

    def ticks(self):
        found = {}
        for pid in self.server.tree():
            try:
                with open("/proc/%d/stat" % pid) as file:
                    text = file.read()
            except OSError:
                continue
            words = text[text.rindex(")") + 2:].split()
            found[pid] = int(words[11]) + int(words[12])
        return found

    def life(self, number, profile, count, interval_us, patience=0.7):
        server, traffic = self.server, self.traffic
        self.settle()
        # A worker that dies young is started later.
        mad = min(server.alive, key=lambda s: server.born[server.alive[s]])
        pid = server.alive[mad]
        while time.monotonic() - server.born[pid] < self.young:
            self.step(None)
        victims = self.victims(mad)
        cell = traffic.cells[mad]
        cell.member.send(b"UNSUB 2\r\n" + PING)
        until_pong(cell.member)
        ids = [other.id for other in traffic.sane(mad)]
        seed = self.chance.randrange(1 << 32)
        noise = Noise(traffic, cell, ids, random.Random(seed))
        text = "life %d: worker %d, %s, seed %d" % (
            number, mad, profile, seed)
        try:
            server.arm(pid, seed, PROFILES.get(profile) or mask(profile),
                       interval_us, count)
            end = self.rage(mad, pid, victims, patience)
        except BaseException:
            server.follow()
            print("\n    ".join(["    " + text] + server.said[-20:]),
                  flush=True)
            raise
        finally:
            noise.ending = True
            found, _ = server.injected(pid)
            self.injected += found
            server.forget(pid)
        self.ends[end] += 1
        self.lives += 1
        for by, of, what in server.complaints:
            if of == pid and by != pid:
                self.complaints[what] += 1
        server.complaints.clear()
        noise.join(5)
        if self.lives % 8 == 0:
            self.bounded()
        traffic.drop(mad)
        if os.environ.get("NATSD_TEST_VERBOSE"):
            print("    %s: %d injections, %s" % (
                text, sum(found.values()), end), flush=True)

    def step(self, mad):
        self.traffic.step(mad)
        self.steps += 1
        self.server.follow()

    def rage(self, mad, pid, victims, patience):
        """Until it is dead: how it ended."""
        server = self.server
        end = time.monotonic() + 30 * SLOW
        through = None
        while pid not in server.dead:
            self.step(mad)
            equal(self.victims(mad).items() & victims.items(),
                  victims.items(), "victims; log:\n" + server.log()[-3000:])
            found, left = server.injected(pid)
            now = time.monotonic()
            if left == 0 and through is None:
                through = now
            if through and now - through > patience:
                os.kill(pid, signal.SIGKILL)
                wait_for(lambda: server.follow() or pid in server.dead,
                         "the end of the mad one")
                return "killed by the test"
            check(now < end, "worker %d neither dies nor injects", mad)
        for _ in range(2):
            self.step(mad)
        equal(self.victims(mad).items() & victims.items(), victims.items(),
              "victims; log:\n" + server.log()[-3000:])
        if pid in server.felled:
            return "felled: " + re.sub(r"worker \d+|\d+", "N",
                                       server.felled[pid])[:50]
        return server.dead[pid]


def summed(runs, name):
    return sum((getattr(run, name) for run in runs), collections.Counter())


def total(runs, name):
    return sum(summed(runs, name).values())


def listed(counter):
    return ", ".join("%d %s" % (n, text) for text, n in counter.most_common())


def tell(runs, seconds):
    print("    %d injections in %.0f s, %d lives, %d steps: %s" % (
        total(runs, "injected"), seconds, total(runs, "ends"),
        sum(run.steps for run in runs), listed(summed(runs, "injected"))))
    print("    ends: " + listed(summed(runs, "ends")))
    print("    complaints of the mad ones by others: " +
          listed(summed(runs, "complaints")))
    print("    checked: %s; of the mad ones %d, forged %d; slowest step "
          "%.2f s" % (
              listed(sum((run.traffic.checked for run in runs),
                         collections.Counter())),
              sum(run.traffic.foreign for run in runs),
              sum(run.traffic.forged for run in runs),
              max(run.traffic.slowest for run in runs)), flush=True)


@suite.scenario("one that takes nothing, one that answers nothing", conf=CONF,
                reference=False)
def mute(env):
    server = MadServer(CONF, workers=env.workers)
    env.servers.append(server)
    run = Run(server, random.Random(SEED), young=0)
    for number, kind in enumerate(("greedy", "silent")):
        run.life(number + 1, kind, 1, 1000, patience=15 * SLOW)
    run.settle()
    run.step(None)
    tell([run], 0)
    equal(set(run.complaints), {"it works, and does not take or answer what "
                                "it is sent"}, "complaints")
    equal(sum(run.ends.values()), 2, "ends")
    check(all(end.startswith("felled: N others") for end in run.ends),
          "ends: %r", run.ends)


@suite.scenario("spoiled heads do not keep a new worker out", conf=CONF,
                reference=False)
def heads(env):
    server = MadServer(CONF, workers=env.workers)
    env.servers.append(server)
    run = Run(server, random.Random(SEED))
    run.settle()
    mad, other = sorted(server.alive)[:2]
    pid, dead = server.alive[mad], server.alive[other]
    server.arm(pid, 1, mask("heads"), 1000, 1)
    wait_for(lambda: server.injected(pid)[1] == 0, "the fault")
    server.forget(pid)
    os.kill(dead, signal.SIGKILL)
    wait_for(lambda: server.follow() or {pid, dead} <= set(server.dead),
             "the end of both")
    check("heads" in server.felled.get(pid, ""), "why worker %d was killed: "
          "%r", mad, server.felled)
    for slot in (mad, other):
        run.traffic.drop(slot)
    run.settle()
    run.step(None)


@suite.scenario("a mad worker is contained", conf=CONF, reference=False)
def mad(env):
    chance = random.Random(SEED)
    runs = []
    for _ in range(SERVERS):
        server = MadServer(CONF, workers=env.workers)
        env.servers.append(server)
        runs.append(Run(server, chance))
    profiles = list(PROFILES)
    if os.environ.get("NATSD_INJECT_KINDS"):
        profiles = os.environ["NATSD_INJECT_KINDS"].split(",")
    begun = time.monotonic()
    print("    seed %d" % SEED, flush=True)
    lives = 0
    try:
        while total(runs, "injected") < INJECTIONS:
            run = runs[lives % len(runs)]
            run.life(lives + 1, profiles[lives % len(profiles)],
                     min(200, INJECTIONS - total(runs, "injected")),
                     chance.choice(INTERVALS_US))
            lives += 1
        for run in runs:
            run.settle()
            run.step(None)
            run.bounded()
    finally:
        tell(runs, time.monotonic() - begun)
    for run in runs:
        for cell in run.traffic.cells.values():
            for client in cell.clients():
                client.abandon()


if __name__ == "__main__":
    sys.exit(suite.main())
