#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""It keeps working: workers die by all kinds of deaths, one after the other,
under a load whose every message is accounted for; what they say last; and
the master's own death, at each step of the clean-up after a worker too.

NATSD_KILLS       deaths in the long run (default 8)
NATSD_TEST_SEED   of the random choices"""

import calendar
import importlib.util
import os
import random
import re
import selectors
import signal
import struct
import subprocess
import sys
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from natsdtest import *  # noqa: E402,F403


def neighbour(name):
    """Another test program, for what it has."""
    spec = importlib.util.spec_from_file_location(
        "t" + name, os.path.join(HERE, name + ".py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


kill = neighbour("21_kill")

suite = Suite("kills", workers=(4,))

SEED = kill.SEED
KILLS = int(os.environ.get("NATSD_KILLS", "8"))
MANY = KILLS >= 100
CONF = {"ring_memory": "4MB" if not MANY else "8MB", "max_pending": "64MB",
        "write_deadline": "120s", "watchdog": "1s", "debug": True,
        "logtime_utc": True, "max_payload": 1048576,
        "ping_interval": "1h"}
# A worker that has lived for less is followed after a while only, and ten
# deaths of one place within a minute end the daemon.
PLACE_REST = 6.9
WINDOW = 30 * SLOW

DEATH = (r"\[\d+/master\] (\S+ \S+) \[ERR\] worker (\d+) \(pid (\d+)\) "
         r"(killed by signal (\d+)|exited with status \d+)[^,]*, "
         r"(\d+) connections lost, .*?; place (\d+)")
READY = r"\[\d+/master\] (\S+ \S+) \[INF\] worker (\d+) ready \(pid (\d+)\)"


def stamp(text):
    """The time of a line of the log, in seconds since 1970."""
    whole, micros = text.split(".")
    return calendar.timegm(time.strptime(whole, "%Y/%m/%d %H:%M:%S")) + \
        int(micros) / 1e6


def percentiles(values):
    """ "p50 p90 p99 max" in milliseconds"""
    values = sorted(values)
    if not values:
        return "none"
    found = ["%.1f" % (1000 * values[min(len(values) - 1,
                                         int(len(values) * part))])
             for part in (0.5, 0.9, 0.99)]
    return "p50 %s, p90 %s, p99 %s, max %.1f ms (%d)" % (
        found[0], found[1], found[2], 1000 * values[-1], len(values))


class Log:
    """The server's log, read on from where it was read last."""

    def __init__(self, server):
        self.server = server
        self.pos = 0
        self.rest = ""
        self.deaths = []  # (time, slot, signal, place); pids come again
        self.ready = []   # (time, slot)
        self.live = {}    # slot: pid of who serves
        self.spare = 0
        self.bad = []

    def look(self):
        with open(self.server.err_path, errors="replace") as file:
            file.seek(self.pos)
            text = self.rest + file.read()
            self.pos = file.tell()
        lines = text.split("\n")
        self.rest = lines.pop()
        for line in lines:
            self.take(line)

    def take(self, line):
        found = re.match(DEATH, line)
        if found:
            self.deaths.append((stamp(found.group(1)), int(found.group(2)),
                                int(found.group(5) or 0),
                                int(found.group(7))))
            self.live.pop(int(found.group(2)), None)
            return
        found = re.match(READY, line)
        if found:
            self.ready.append((stamp(found.group(1)), int(found.group(2))))
            self.live[int(found.group(2))] = int(found.group(3))
        elif re.search(r"slot \d+ is spare", line):
            self.spare += 1
        elif kill.BAD.search(line) or re.search(
                r"make no sense|complains|dropped \d+ log|out of memory|"
                r"no slot is spare|Slow Consumer|crash loop", line):
            self.bad.append(line)


# ----------------------------------------------------------------- the world
#
# One thread, one selector, all connections.  Each publishing connection has
# a stream of numbered messages; whoever has subscribed before a number was
# sent gets it once, in order, as long as both connections live.

class Link:
    """One connection; on_message() is its role's."""

    def __init__(self, world):
        self.world = world
        client = world.server.client(CN, timeout=60 * SLOW)
        self.sock, self.worker = client.sock, client.worker
        self.buf = client.buf
        self.sock.setblocking(False)
        self.out = bytearray()
        self.eof = False
        self.doomed = False
        self.number = world.next_number()
        self.lonely = b"%s.lonely.%d" % (world.base, self.number)
        self.pongs = 0   # wanted
        self.seen = 0    # pongs that came
        world.add(self)
        self.send(b"SUB %s 9\r\n" % self.lonely)
        self.subs = 1
        self.begin()

    def __repr__(self):
        return "%s %d (worker %d)" % (type(self).__name__, self.number,
                                      self.worker)

    def begin(self):
        pass

    def sub(self, line):
        self.send(b"SUB " + line + b"\r\n")
        self.subs += 1

    def ping(self):
        self.send(PING)
        self.pongs += 1

    def send(self, data):
        if self.eof:
            return
        self.out += data
        self.flush()

    def flush(self):
        try:
            while self.out:
                sent = self.sock.send(self.out[:1 << 18])
                del self.out[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self.ended()
            return
        self.world.want(self)

    def readable(self):
        try:
            data = self.sock.recv(1 << 19)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.ended()
            return
        self.buf += data
        self.parse()

    def ended(self):
        if self.eof:
            return
        self.eof = True
        self.world.gone(self)
        self.on_end()

    def parse(self):
        buf, pos = self.buf, 0
        while True:
            eol = buf.find(b"\r\n", pos)
            if eol < 0:
                break
            line = bytes(buf[pos:eol])
            if line == b"PONG":
                self.seen += 1
                check(self.seen <= self.pongs, "%r: a PONG too many", self)
                pos = eol + 2
                self.on_pong()
                continue
            if line == b"PING":
                pos = eol + 2
                self.send(PONG)
                continue
            words = line.split(b" ")
            check(words[0] in (b"MSG", b"HMSG"), "%r: broken stream: %s",
                  self, show(line))
            size = int(words[-1])
            start = eol + 2
            if len(buf) < start + size + 2:
                break
            check(buf[start + size:start + size + 2] == b"\r\n",
                  "%r: message without its end", self)
            body = bytes(buf[start:start + size])
            pos = start + size + 2
            self.world.messages += 1
            headed = words[0] == b"HMSG"
            reply = words[3] if len(words) == (6 if headed else 5) else None
            self.on_message(words[1], words[2], reply, body, headed)
        del buf[:pos]

    def on_message(self, subject, sid, reply, body, headed):
        raise Failure("%r: unexpected message %s" % (self, show(subject)))

    def on_pong(self):
        pass

    def on_end(self):
        pass

    def step(self):
        """Something of its own to do, if it has."""

    def idle(self):
        return self.seen == self.pongs and not self.out


class Stream:
    """What one publishing connection has sent."""

    def __init__(self, link, group):
        self.link, self.group = link, group
        self.sent = self.confirmed = 0
        self.settled_at = 0  # settles that have found it without its link
        # of a group: what members got of it since the last settle and before
        self.taken, self.taken_before = set(), set()
        self.settled = 0   # what is below is accounted for
        self.excused = 0   # what is below may have died with a worker

    def missing(self):
        """Confirmed, not explained by a death, and not there."""
        return self.confirmed - self.excused - \
            sum(1 for number in self.taken if number >= self.excused)

    def settle(self):
        """All that will come has come: how many went with a dead worker."""
        lost = self.sent - self.settled - \
            sum(1 for number in self.taken if number >= self.settled)
        self.settled = self.excused = self.sent
        self.taken, self.taken_before = set(), self.taken
        return lost


class Publisher(Link):
    """Batches of numbered messages, each with a PING behind it."""

    group = False

    def begin(self):
        kind = b"q" if self.group else b"p"
        self.subject = b"%s.%s.%d" % (self.world.base, kind, self.number)
        self.stream = Stream(self, self.group)
        self.world.streams[self.number] = self.stream
        self.rest_until = 0

    def step(self):
        world = self.world
        if not self.idle() or world.paused or \
                time.monotonic() < self.rest_until:
            return
        chance = world.chance
        data = []
        for _ in range(chance.randrange(1, 12)):
            size = chance.choice((0, 10, 100, 2000))
            if chance.random() < 0.01:
                size = chance.choice((40000, 150000, 600000))
            data.append(pub(self.subject, b"%d " % self.stream.sent +
                            b"x" * size))
            self.stream.sent += 1
        self.send(b"".join(data))
        self.ping()

    def on_pong(self):
        self.stream.confirmed = self.stream.sent
        self.rest_until = time.monotonic() + \
            self.world.chance.uniform(0, self.world.rest)


class GroupPublisher(Publisher):
    group = True


class Reader(Link):
    """Gets all of every publisher, in order and without a gap."""

    def begin(self):
        self.next = {}   # stream: next number
        self.since = None  # stream: sent when our subscription was confirmed
        self.sub(b"%s.p.* 1" % self.world.base)
        self.ping()

    def on_pong(self):
        if self.since is None:
            self.since = {number: stream.sent for number, stream in
                          self.world.streams.items() if not stream.group}

    def on_message(self, subject, sid, reply, body, headed):
        stream = int(subject.rsplit(b".", 1)[1])
        head, filling = body.split(b" ", 1)
        number = int(head)
        check(filling.count(b"x") == len(filling), "%r: wrong payload", self)
        want = self.next.get(stream)
        if want is None:
            # those of before the subscription may miss, no others
            most = self.world.streams[stream].sent if self.since is None \
                else self.since.get(stream, 0)
            check(number <= most, "%r: the first of stream %d is %d, not at "
                  "most %d", self, stream, number, most)
        else:
            equal(number, want, "%r: number of stream %d" % (self, stream))
        self.next[stream] = number + 1

    def behind(self):
        """Streams of which something confirmed has not come."""
        found = []
        for number, stream in self.world.streams.items():
            if stream.group or self.since is None:
                continue
            first = self.since.get(number, 0)
            if stream.confirmed > max(first, self.next.get(number, 0)):
                found.append((number, self.next.get(number),
                              stream.confirmed))
        return found


class Member(Link):
    """One of the queue group; over all of them nothing comes twice."""

    def begin(self):
        self.last = {}
        self.sub(b"%s.q.* workers 1" % self.world.base)
        self.ping()

    def on_message(self, subject, sid, reply, body, headed):
        stream = self.world.streams[int(subject.rsplit(b".", 1)[1])]
        number = int(body.split(b" ", 1)[0])
        check(number not in stream.taken and
              number not in stream.taken_before,
              "%r: %d of stream %d came twice", self, number,
              stream.link.number)
        stream.taken.add(number)


class Responder(Link):
    """Answers requests, in a queue group."""

    def begin(self):
        self.sub(b"%s.r r 1" % self.world.base)
        self.ping()

    def on_message(self, subject, sid, reply, body, headed):
        self.send(pub(reply, body))


class Requester(Link):
    """One request after the other; each has one answer, except where a death
    may have taken it along."""

    def begin(self):
        self.inbox = b"%s.i.%d" % (self.world.base, self.number)
        self.sub(self.inbox + b".* 1")
        self.asked = self.answered = 0
        self.at = 0
        self.deaths = 0

    def step(self):
        world = self.world
        if self.asked > self.answered:
            if time.monotonic() < self.at + 5 * SLOW or world.suspended:
                return
            check(world.deaths != self.deaths, "%r: request %d without an "
                  "answer, and nobody had died", self, self.asked)
            world.lost_requests += 1
            self.answered = self.asked
        if world.paused:
            return
        self.asked += 1
        self.at = time.monotonic()
        self.deaths = world.deaths_begun()
        self.send(pub(world.base + b".r", b"%d" % self.asked,
                      b"%s.%d" % (self.inbox, self.asked)))

    def on_message(self, subject, sid, reply, body, headed):
        number = int(subject.rsplit(b".", 1)[1])
        check(number == self.asked, "%r: answer %d to request %d", self,
              number, self.asked)
        check(self.answered < self.asked, "%r: two answers to %d", self,
              number)
        if headed:
            check(body.startswith(b"NATS/1.0 503"), "%r: %s", self,
                  show(body))
            self.world.unanswered += 1
        else:
            equal(body, b"%d" % number, "%r: answer" % self)
            self.world.answers += 1
        self.answered = number

    def idle(self):
        return super().idle() and self.asked == self.answered


class Churner(Link):
    """Subscriptions that come and go."""

    def begin(self):
        self.lap = 0

    def step(self):
        if not self.idle() or self.world.paused:
            return
        chance, base = self.world.chance, self.world.base
        self.lap += 1
        lines = []
        for sid in range(100, 100 + chance.randrange(1, 60)):
            lines.append(b"SUB %s.c.%d.%s %d\r\nUNSUB %d\r\n" % (
                base, chance.randrange(1000),
                chance.choice((b"a", b"*", b">", b"a.*.b",
                               b"g g%d" % (sid % 7))), sid, sid))
        self.send(b"".join(lines))
        self.ping()


class Asker(Link):
    """Asks the subjects of the dead until nobody answers for them."""

    def begin(self):
        self.inbox = b"%s.a.%d" % (self.world.base, self.number)
        self.sub(self.inbox + b".* 1")
        self.lap = 0
        self.open = {}    # subject: since
        self.refused = {}  # subject: when
        self.pending = []

    def ask(self, subjects):
        now = time.monotonic()
        self.open = {subject: now for subject in subjects}
        self.refused = {}

    def step(self):
        if not self.open or not self.idle():
            return
        self.pending = list(self.open)
        self.lap += 1
        data = [pub(subject, b"?", b"%s.%d" % (self.inbox, n))
                for n, subject in enumerate(self.pending)]
        self.send(b"".join(data))
        self.ping()

    def on_message(self, subject, sid, reply, body, headed):
        check(headed and body.startswith(b"NATS/1.0 503"), "%r: %s", self,
              show(body))
        asked = self.pending[int(subject.rsplit(b".", 1)[1])]
        self.open.pop(asked, None)
        self.refused.setdefault(asked, time.time())


ROLES = (Reader, Publisher, Member, GroupPublisher, Responder, Requester,
         Churner, Asker)


class World:
    def __init__(self, env, server, sets):
        self.env, self.server = env, server
        self.base = env.subj("w%d" % random.randrange(1 << 30))
        self.chance = random.Random(SEED)
        self.selector = selectors.DefaultSelector()
        self.links = []
        self.streams = {}
        self.counter = 0
        self.paused = self.suspended = False
        self.rest = 0.02
        self.deaths = 0
        self.death_under_way = False
        self.messages = self.answers = self.unanswered = 0
        self.lost_requests = self.lost_group = 0
        self.wanted = [role for role in ROLES for _ in range(sets)]

    def deaths_begun(self):
        """Before a death: one that happens from now on makes a difference."""
        return self.deaths if not self.death_under_way else -1

    def next_number(self):
        self.counter += 1
        return self.counter

    def add(self, link):
        self.links.append(link)
        self.selector.register(link.sock, selectors.EVENT_READ, link)

    def want(self, link):
        """Which events it waits for."""
        events = selectors.EVENT_READ
        if link.out:
            events |= selectors.EVENT_WRITE
        self.selector.modify(link.sock, events, link)

    def gone(self, link):
        self.selector.unregister(link.sock)
        link.sock.close()
        self.links.remove(link)
        check(link.doomed, "%r was cut off", link)

    def fill(self):
        """Clients come back, each as what it was."""
        have = {}
        for link in self.links:
            have[type(link)] = have.get(type(link), 0) + 1
        for role in self.wanted:
            if have.get(role, 0) > 0:
                have[role] -= 1
            else:
                role(self)

    def step(self, timeout=0.002):
        for link in list(self.links):
            if not link.eof:
                link.step()
        for key, events in self.selector.select(timeout):
            link = key.data
            if not link.eof and events & selectors.EVENT_WRITE:
                link.flush()
            if not link.eof and events & selectors.EVENT_READ:
                link.readable()

    def until(self, cond, what, timeout=None):
        end = time.monotonic() + (timeout or WINDOW)
        while not cond():
            check(time.monotonic() < end, "waited in vain for %s", what)
            self.step()

    def run(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.step()

    def of(self, role):
        return [link for link in self.links if isinstance(link, role)]

    # accounts

    def missing(self):
        """Group messages that were confirmed, that no known death explains,
        and that nobody has got."""
        return sum(stream.missing() for stream in self.streams.values()
                   if stream.group)

    def settle(self):
        """Publishers pause; then everybody has got everything."""
        self.paused = True
        self.until(lambda: all(link.idle() for link in self.links
                               if not link.doomed), "all to be idle")
        self.until(lambda: not any(reader.behind() for reader in
                                   self.of(Reader)),
                   "what was confirmed to come")
        self.until(lambda: self.missing() <= 0, "what groups were sent")
        self.paused = False
        self.forget()

    def forget(self):
        """What is settled needs no account any more."""
        live = {link.number for link in self.links}
        for number, stream in list(self.streams.items()):
            if stream.group:
                self.lost_group += stream.settle()
            if number in live:
                continue
            stream.settled_at += 1
            if stream.settled_at > 1:
                del self.streams[number]
                for reader in self.of(Reader):
                    reader.next.pop(number, None)
                    reader.since.pop(number, None)

    def excuse_groups(self):
        """A worker has died: of what groups were sent until now some may
        have gone with it."""
        for stream in self.streams.values():
            stream.excused = stream.sent


# --------------------------------------------------- what zones and words say

def own_zone(server, slot):
    """(connections, subscriptions) of a slot's scoreboard; None if we may not
    look.  See struct own_shm and score_proc_shm."""
    folder = "/proc/%d/fd" % server.pid
    head = 4 * 128 + 64 * 256
    head = (head + 4095) // 4096 * 4096
    try:
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if os.readlink(path).startswith("/memfd:natsd-own-%d " % slot):
                with open(path, "rb") as file:
                    file.seek(head)
                    words = struct.unpack("<18Q", file.read(144))
                return words[0], words[2]
    except OSError:
        pass
    return None


def scoreboard(server, slots):
    """The sums over slots, or None."""
    found = [own_zone(server, slot) for slot in slots]
    if None in found:
        return None
    return sum(one[0] for one in found), sum(one[1] for one in found)


# What a zone may occupy when nobody uses it: its head, which outlives all
# processes, and the pages that each process touches at its start.
HEADS = {"control": 1 << 13, "index": (17 << 12) + (4 << 12),
         "own": (5 << 12) + (2 << 12), "ring": 2 << 12}


def descriptors(pid):
    try:
        return len(os.listdir("/proc/%d/fd" % pid))
    except OSError:
        return 0


def resident(pid):
    with open("/proc/%d/status" % pid) as file:
        return int(re.search(r"VmRSS:\s+(\d+) kB", file.read()).group(1))


# ----------------------------------------------------------------- many kills

class Killer:
    """Kills one after the other and measures how it goes on."""

    def __init__(self, world, log, workers):
        self.world, self.log, self.workers = world, log, workers
        self.rested = {}  # place: when its last process died
        self.place = {}   # slot: place of who serves there
        self.to_ready = []  # kill to the successor's "ready"
        self.to_503 = []    # kill to the last survivor's 503
        self.signals = {}
        self.kinds = [(signal.SIGKILL, 50), (signal.SIGABRT, 15),
                      (signal.SIGSTOP, 5)]
        if not is_sanitized(program()):
            self.kinds += [(signal.SIGSEGV, 20), (signal.SIGBUS, 10)]
        self.guess_places()

    def guess_places(self):
        """The first processes start in the order of the places."""
        for _, slot in self.log.ready:
            self.place[slot] = slot

    def victim(self):
        """The slot of one whose successor comes at once, or None."""
        now = time.monotonic()
        found = [slot for slot in sorted(self.log.live) if
                 now - self.rested.get(self.place[slot], -100) > PLACE_REST]
        return self.world.chance.choice(found) if found else None

    def number(self):
        return self.world.chance.choices(*zip(*self.kinds))[0]

    def once(self, number=None):
        world, log = self.world, self.log
        log.look()
        world.until(lambda: self.victim() is not None, "somebody to kill")
        slot = self.victim()
        if number is None:
            number = self.number()
        lonely = [link.lonely for link in world.links
                  if link.worker == slot][:3]
        for link in world.links:
            link.doomed = link.doomed or link.worker == slot
        world.death_under_way = True
        world.suspended = number == signal.SIGSTOP
        begun = time.time()
        before = self.strike(slot, number)
        self.signals[number] = self.signals.get(number, 0) + 1
        for asker in world.of(Asker):
            if asker.worker != slot:
                asker.ask(lonely)
        self.await_death(slot, number, before)
        if number == signal.SIGSTOP:  # until then it was only slow
            begun = log.deaths[-1][0]
        self.await_refusals(begun, slot)
        self.await_successor(begun, before)
        world.until(lambda: not any(link.doomed for link in world.links),
                    "the end of the dead one's connections")
        world.deaths += 1
        world.death_under_way = world.suspended = False
        world.excuse_groups()
        world.fill()

    def strike(self, slot, number):
        """How many were dead and how many had become ready before it."""
        before = len(self.log.deaths), len(self.log.ready)
        os.kill(self.log.live[slot], number)
        return before

    def await_death(self, slot, number, before):
        log = self.log
        self.world.until(lambda: log.look() or len(log.deaths) > before[0],
                         "the death of %d by %d" % (slot, number))
        want = signal.SIGKILL if number == signal.SIGSTOP else number
        equal(len(log.deaths), before[0] + 1, "deaths")
        equal(log.deaths[-1][1:3], (slot, want), "slot and signal of a death")
        equal(log.deaths[-1][3], self.place[slot], "place of a death")

    def await_refusals(self, begun, slot):
        world = self.world
        askers = [link for link in world.of(Asker) if link.worker != slot]
        world.until(lambda: not any(one.open for one in askers
                                    if not one.eof), "503 everywhere")
        last = [when for one in askers for when in one.refused.values()]
        if last:
            self.to_503.append(max(last) - begun)

    def await_successor(self, begun, before):
        log = self.log
        self.world.until(lambda: log.look() or len(log.ready) > before[1],
                         "a successor")
        equal(len(log.ready), before[1] + 1, "successors")
        place = self.place.pop(log.deaths[-1][1])
        self.place[log.ready[-1][1]] = place
        self.rested[place] = time.monotonic()
        self.to_ready.append(log.ready[-1][0] - begun)


def mesh(world):
    """Everybody in every worker reaches everybody: no ring is stuck."""
    log = Log(world.server)
    log.look()
    slots = sorted(log.live)
    kill.Traffic(world.env, world.server, slots,
                 (0, 2000, 300000)).finish()


def counters_agree(world, log):
    """Scoreboards and the world know the same numbers."""
    live = sorted(log.live)
    if scoreboard(world.server, live) is None:
        print("    scoreboard: this user may not look at it")
        return
    want = (len(world.links), sum(link.subs for link in world.links))
    wait_for(lambda: scoreboard(world.server, live) == want,
             "connections and subscriptions %r; now %r" % (
                 want, scoreboard(world.server, live)))


def all_idle_die(world, killer, log):
    """Each worker once more, with no client: the zones are as at the start."""
    for link in list(world.links):
        link.doomed = True
        world.selector.unregister(link.sock)
        link.sock.close()
    world.links.clear()
    world.wanted = []
    for slot in sorted(log.live):
        place = killer.place[slot]
        wait_for(lambda: time.monotonic() - killer.rested.get(place, -100) >
                 PLACE_REST, "the place to be rested", 10)
        begun = time.time()
        before = killer.strike(slot, signal.SIGKILL)
        killer.await_death(slot, signal.SIGKILL, before)
        killer.await_successor(begun, before)
        # they die faster than slots are cleaned, and there are two spare ones
        world.until(lambda: log.look() or log.spare == len(log.deaths),
                    "all slots to be spare")


@suite.scenario("many deaths of all kinds, every message accounted for",
                conf=CONF, workers=(4,) if not MANY else (8,),
                reference=False)
def many_kills(env):
    server = env.own_server(deaths=True)
    try:
        all_of_them(env, server)
    except Exception:
        print("the end of the log:\n%s" % server.log()[-5000:])
        raise


def all_of_them(env, server):
    log = Log(server)
    wait_for(lambda: log.look() or len(log.ready) == env.workers,
             "all workers")
    first = sum(kill.zone_bytes(server).values())
    fds, rss = descriptors(server.pid), resident(server.pid)
    world = World(env, server, env.workers if not MANY else 4)
    killer = Killer(world, log, env.workers)
    world.fill()
    kinds = [kind for kind, _ in killer.kinds]
    begun = time.monotonic()
    for lap in range(KILLS):
        world.run(world.chance.uniform(0, 0.15))
        killer.once(kinds[lap] if lap < len(kinds) else None)
        world.settle()
        if lap % 50 == 49:
            counters_agree(world, log)
            print("    %d deaths after %d s, %d messages; zones %d KB; ready "
                  "%s; 503 %s" % (
                      lap + 1, time.monotonic() - begun, world.messages,
                      sum(kill.zone_bytes(server).values()) / 1024,
                      percentiles(killer.to_ready),
                      percentiles(killer.to_503)), flush=True)
        check(not log.bad, "in the log: %r", log.bad)
    counters_agree(world, log)
    loaded = sum(kill.zone_bytes(server).values())
    mesh(world)
    for client in env.clients:
        client.close()
    env.clients.clear()
    all_idle_die(world, killer, log)
    check(not log.bad, "in the log: %r", log.bad)
    last = sum(kill.zone_bytes(server).values())
    print("    deaths by signal: %s" % " ".join(
        "%d:%d" % (int(n), c) for n, c in sorted(killer.signals.items())))
    print("    messages delivered %d, requests answered %d, refused %d, lost "
          "with a dead worker %d, group messages lost with one %d" % (
              world.messages, world.answers, world.unanswered,
              world.lost_requests, world.lost_group))
    print("    successor ready after: %s" % percentiles(killer.to_ready))
    print("    503 from all survivors after: %s" % percentiles(killer.to_503))
    print("    zones: %d KB at first, %d under load, %d at last" % (
        first / 1024, loaded / 1024, last / 1024))
    print("    master: descriptors %d -> %d, resident %d -> %d KB" % (
        fds, descriptors(server.pid), rss, resident(server.pid)))
    for name, size in kill.zone_bytes(server).items():
        most = HEADS.get(name.split("-")[0], 0)
        check(size <= most, "zone %s occupies %d bytes", name, size)
    wait_for(lambda: descriptors(server.pid) == fds, "the descriptors to be "
             "%d again, not %d" % (fds, descriptors(server.pid)))
    check(is_sanitized(program()) or resident(server.pid) < rss + 1024,
          "the master grew from %d KB to "
          "%d KB", rss, resident(server.pid))
    quick = sorted(killer.to_ready)[len(killer.to_ready) // 2]
    check(quick < 0.5 * SLOW, "half of the successors took more than %.3f s",
          quick)
    quick = sorted(killer.to_503)[len(killer.to_503) // 2]
    check(quick < 0.5 * SLOW, "half of the 503s took more than %.3f s", quick)


@suite.scenario("what the dead had confirmed arrives, though the reader's "
                "worker stood still", conf=dict(CONF, watchdog="0"),
                workers=(2, 4), reference=False)
def published_is_delivered(env):
    server = env.own_server(deaths=True)
    slots = kill.slots_now(server)
    subject = env.subj()
    reader = env.on(slots[1], server=server)
    reader.sub(subject + b" 1", subject + b".q q 2")
    publisher = env.on(slots[0], server=server)
    want = []
    with Stopped(pid_of(server, slots[1])):
        for number in range(40):
            want += [(subject, b"%d" % number), (subject + b".q",
                                                 b"%d" % number)]
            publisher.send(pub(subject, b"%d" % number) +
                           pub(subject + b".q", b"%d" % number) + PING)
            publisher.expect(PONG)
        os.kill(pid_of(server, slots[0]), signal.SIGKILL)
        publisher.expect_eof()
        server.wait_log(r"worker %d \(pid \d+\) killed by signal 9" %
                        slots[0])
    for told, body in want:
        got = reader.message()
        equal((got.subject, got.payload), (told, body), "message")
    reader.expect_nothing()
    kill.all_slots_spare(server)
    kill.Traffic(env, server, kill.slots_now(server)).finish()


def crash_loop(env):
    """A minute, so only in the long run: one that dies whenever it has lived
    long enough for its successor to start at once."""
    server = env.own_server(deaths=True)
    log = Log(server)
    for number in range(1, 11):
        wait_for(lambda: log.look() or len(log.ready) == number, "a worker")
        born = time.monotonic()
        wait_for(lambda: time.monotonic() > born + 5.1, "five seconds", 10)
        os.kill(log.live[log.ready[-1][1]], signal.SIGKILL)
    server.wait_log(r"killed by signal 9, 0 connections lost, not restarting")
    server.wait_log(r"\[FTL\] crash loop: worker place 0 has died 10 times "
                    "within 60 seconds, giving up")
    equal(server.wait_exit(), 1, "exit status")
    server.nothing_left()
    server.kill()
    server.remove()


if MANY:
    suite.scenario("ten deaths of one place within a minute end natsd",
                   conf=CONF, workers=(1,), reference=False)(crash_loop)


# ------------------------------------------------------------- crash points

# Points of the master, each with how often a start passes it for a worker.
MASTER = {"spawn.started": 1, "spawn.forked": 1, "child.live": 1,
          "slots.live": 1, "reap.dead": 0, "reap.bells": 0, "reap.clear": 0,
          "zones.index-cleared": 0, "zones.own-cleared": 0,
          "zones.ring-cleared": 0, "reap.cleared": 0, "reap.spare": 0}
# Of a worker that cleans up behind another; passed once for each other one
# at the start or not.
SURVIVOR = {"peer.drained": 0, "peer.forgotten": 0, "peer.come": 1}
SERVING = ("client.read", "client.flushed")
ACCEPT = ("accept.counted",)


@suite.scenario("every crash point of the sources is run by a test",
                reference=False)
def all_points(env):
    top = os.environ.get("top_srcdir") or os.path.join(HERE, "..", "..")
    found = set()
    for folder, _, names in os.walk(os.path.join(top, "src")):
        for name in names:
            if name.endswith((".c", ".h")):
                with open(os.path.join(folder, name)) as file:
                    found.update(re.findall(r'\bCRASH_POINT\("([^"]+)"\)',
                                            file.read()))
    check(len(found) > 30, "no crash points in %s", top)
    mine = kill.INDEX + kill.GROWTH + kill.RING + kill.LARGE + SERVING + \
        ACCEPT + tuple(SURVIVOR) + tuple(MASTER)
    equal(sorted(mine), sorted(found), "crash points in tests and sources")


@suite.scenario("killed while it reads, flushes or accepts", conf=kill.CONF,
                workers=(2,), reference=False)
def die_serving(env):
    kill.die_at_each(env, SERVING)
    server = kill.CrashServer("accept.counted:3@1", dict(kill.CONF),
                              env.workers, deaths=True)
    env.servers.append(server)

    def one_more():
        try:
            env.client(None, server)
        except Failure:
            pass  # the one that was being accepted
        return re.search("killed by signal 9", server.log())
    wait_for(one_more, "one that dies accepting")
    for client in env.clients:
        client.abandon()
    env.clients.clear()
    kill.all_slots_spare(server)
    kill.Traffic(env, server, kill.slots_now(server)).finish()
    kill.clean(server)


def die_behind_another(env, name):
    """The one in slot 0 dies at what it does about the death of another."""
    passed = SURVIVOR[name] * (env.workers - 1)
    server = kill.CrashServer("%s:%d@1" % (name, passed + 1),
                              dict(kill.CONF), env.workers, deaths=True)
    env.servers.append(server)
    slots = kill.slots_now(server)
    lonely = env.subj("lonely." + name)
    for slot in (0, 1):
        env.on(slot, server=server).sub(lonely + b" 1")
    traffic = kill.Traffic(env, server, slots)
    pids = [pid_of(server, 0), pid_of(server, 1)]
    start = len(server.log())
    os.kill(pids[1], signal.SIGKILL)
    server.wait_log(r"worker 0 \(pid %d\) killed by signal 9" % pids[0],
                    start, 60 * SLOW)
    kill.successor(server, start, 2)
    traffic.slot_lost(0)
    traffic.slot_lost(1)
    traffic.finish([0, 1])
    kill.responders_gone(env, server, [slot for slot in slots if slot > 1],
                         lonely)
    kill.all_slots_spare(server)
    kill.Traffic(env, server, kill.slots_now(server)).finish()
    kill.clean(server)
    for client in env.clients:
        client.abandon()
    env.clients.clear()
    env.servers.remove(server)
    server.stop()


@suite.scenario("killed while it cleans up behind another worker",
                conf=kill.CONF, workers=(4,), reference=False)
def die_cleaning(env):
    for name in SURVIVOR:
        try:
            die_behind_another(env, name)
        except Failure as error:
            raise Failure("killed at %s: %s" % (name, error))


# ------------------------------------------------------------ master's death

LEAVE = 8 * SLOW  # 3 s to flush, 5 s until the alarm


def master_conf(server, **more):
    """On a port and with a pid file that stay the same."""
    return dict(server.conf, listen=["127.0.0.1:%d" % server.address[1],
                                     "unix:" + server.socket_path],
                pid_file=server.path("natsd.pid"), **more)


def fixed(server):
    """Start it, learn a port that is free, and start it there."""
    server.start()
    conf = master_conf(server)
    server.raise_signal(signal.SIGTERM)
    server.wait_exit()
    server.write_conf(conf)
    server.allowed.add("natsd.pid")
    return server.start()


def start_again(server):
    """Another natsd in its place; seconds until it is ready."""
    for name in os.listdir(server.dir):
        if name.endswith(".ports"):
            os.unlink(server.path(name))
    begun = time.monotonic()
    server.start()
    with open(server.path("natsd.pid")) as file:
        equal(file.read(), "%d\n" % server.pid, "pid file")
    return time.monotonic() - begun


def serves(env, server):
    slots = kill.slots_now(server)
    kill.Traffic(env, server, slots).finish()
    unix = env.client(C0, server, unix=True)
    unix.expect_nothing()


@suite.scenario("kill -9 of the master under load: what was confirmed "
                "arrives, the workers leave, another starts at once",
                conf=CONF, workers=(4,), reference=False)
def master_under_load(env):
    server = fixed(env.own_server(start=False, deaths=True))
    slots = kill.slots_now(server)
    traffic = kill.Traffic(env, server, slots)
    wait_for(lambda: all(one.confirmed > 50 for one in traffic.publishers),
             "some traffic")
    # one that does not read, with much that waits for it
    lazy = env.on(slots[0], server=server)
    lazy.sub(b"lazy 1")
    flood = env.on(slots[-1], server=server)
    flood.send(pub(b"lazy", b"x" * 100000) * 200 + PING)
    flood.expect(PONG)
    workers = server.worker_pids()
    confirmed = {one.subject: one.confirmed for one in traffic.publishers}
    begun = time.monotonic()
    os.kill(server.pid, signal.SIGKILL)
    server.proc.wait()
    took = start_again(server)
    wait_for(lambda: not any(alive(pid) for pid in workers),
             "the old workers to leave", LEAVE)
    left = time.monotonic() - begun
    for one in traffic.publishers + traffic.readers:
        wait_for(lambda: one.dead, "%r to be cut off" % one.client)
        one.task.done()
    for reader in traffic.readers:
        for subject, count in confirmed.items():
            check(reader.next.get(subject, 0) >= count, "%r has %d of %d "
                  "that were confirmed of %r", reader.client,
                  reader.next.get(subject, 0), count, subject)
    print("    new one ready after %.3f s, old workers gone by %.3f s" % (
        took, left))
    check(took < LEAVE, "the new one took %.3f s", took)
    for client in env.clients:
        client.abandon()
    env.clients.clear()
    serves(env, server)


@suite.scenario("the master dies while a worker hangs: it keeps nobody from "
                "starting", conf=CONF, workers=(2,), reference=False)
def master_and_hanging(env):
    server = fixed(env.own_server(start=False, deaths=True))
    workers = server.worker_pids()
    client = env.client(C0, server)
    with Stopped(workers[0]):
        os.kill(server.pid, signal.SIGKILL)
        server.proc.wait()
        wait_for(lambda: not alive(workers[1]), "the other worker to leave",
                 LEAVE)
        took = start_again(server)
        check(alive(workers[0]), "it was to hang")
        serves(env, server)
    print("    new one ready after %.3f s" % took)
    wait_for(lambda: not alive(workers[0]), "the hanging one to leave", LEAVE)
    client.expect_eof()


@suite.scenario("the master dies while all workers hang: a new one waits for "
                "them", conf=CONF, workers=(2,), reference=False)
def master_and_all_hanging(env):
    server = fixed(env.own_server(start=False, deaths=True))
    workers = server.worker_pids()
    os.unlink(server.ports_path())
    start = len(server.log())
    with Stopped(workers[0]), Stopped(workers[1]):
        old = server.pid
        os.kill(old, signal.SIGKILL)
        server.proc.wait()
        server.spawn()
        server.wait_log("natsd with pid %d was killed: waiting for its "
                        "workers to leave" % old, start)
    server.wait_ready()
    wait_for(lambda: not any(alive(pid) for pid in workers),
             "the old workers to leave", LEAVE)
    serves(env, server)
    # if somebody has the address for good, it says so, if later
    second = env.own_server(dict(server.conf, pid_file=None), start=False)
    second.spawn()
    equal(second.wait_exit(), 1, "exit status of a second one")
    check("Address already in use" in second.log(), "log:\n%s", second.log())
    second.kill()
    second.remove()
    env.servers.remove(second)


@suite.scenario("SIGTERM while it waits for a predecessor's workers: the end "
                "of a start as at any other moment", conf=CONF, workers=(2,),
                reference=False)
def stopped_waiting(env):
    server = fixed(env.own_server(start=False, deaths=True))
    workers = server.worker_pids()
    os.unlink(server.ports_path())
    start = len(server.log())
    with Stopped(workers[0]), Stopped(workers[1]):
        os.kill(server.pid, signal.SIGKILL)
        server.proc.wait()
        server.spawn()
        server.wait_log("waiting for its workers to leave", start)
        server.raise_signal(signal.SIGTERM)
        equal(server.wait_exit(), 0, "exit status")
    server.wait_log("stopped before it was ready", start)
    check("[FTL]" not in server.log()[start:], "log:\n%s", server.log())
    wait_for(lambda: not any(alive(pid) for pid in workers),
             "the old workers to leave", LEAVE)
    check(not os.path.exists(server.path("natsd.pid")), "a pid file is left")
    server.kill()
    server.remove()
    env.servers.remove(server)


@suite.scenario("killed between fork and all the rest: no worker stays",
                conf=CONF, workers=(2,), reference=False)
def master_at_start(env):
    for name in ("spawn.started", "spawn.forked", "child.live"):
        server = kill.CrashServer("%s:2@0" % name, dict(CONF), env.workers,
                                  deaths=True, start=False)
        env.servers.append(server)
        server.spawn()
        equal(server.wait_exit(), -signal.SIGKILL, "exit status at " + name)
        wait_for(lambda: not server.members(), "all to leave at " + name,
                 LEAVE)
        server.kill()
        server.remove()
        env.servers.remove(server)


def master_dies_at(env, name):
    server = kill.CrashServer("", dict(kill.CONF), env.workers, deaths=True,
                              start=False)
    env.servers.append(server)
    server.start()
    conf = master_conf(server)
    server.raise_signal(signal.SIGTERM)
    server.wait_exit()
    server.write_conf(conf)
    server.allowed.add("natsd.pid")
    server.point = "%s:%d@0" % (name, MASTER[name] * env.workers + 1)
    server.start()
    traffic = kill.Traffic(env, server, kill.slots_now(server))
    wait_for(lambda: all(one.confirmed for one in traffic.publishers),
             "some traffic")
    workers = server.worker_pids()
    os.kill(workers[0], signal.SIGKILL)
    equal(server.wait_exit(), -signal.SIGKILL, "the master's end")
    server.point = ""
    took = start_again(server)
    wait_for(lambda: not any(alive(pid) for pid in workers),
             "the old workers to leave", LEAVE)
    for one in traffic.publishers + traffic.readers:
        wait_for(lambda: one.dead, "%r to be cut off" % one.client)
        one.task.done()
    for client in env.clients:
        client.abandon()
    env.clients.clear()
    serves(env, server)
    env.servers.remove(server)
    for client in env.clients:
        client.abandon()
    env.clients.clear()
    server.stop()
    return took


@suite.scenario("the master dies at each step after a worker's death",
                workers=(2,), reference=False)
def master_at_each(env):
    took = []
    for name in MASTER:
        try:
            took.append(master_dies_at(env, name))
        except Failure as error:
            raise Failure("killed at %s: %s" % (name, error))
    print("    new ones ready after %s" % percentiles(took))


# --------------------------------------------------------------- last words

NAMED = (b'CONNECT {"verbose":false,"pedantic":false,"lang":"test",'
         b'"version":"1.2","name":"last one"}\r\n')


def resolve(path, line):
    """The functions of a backtrace, by addr2line; None without it."""
    name = os.path.basename(path)
    places = re.findall(re.escape(name) + r"\+(0x[0-9a-f]+)", line)
    check(places, "no place of %s in %r", name, line)
    try:
        done = subprocess.run(["addr2line", "-f", "-i", "-e", path] + places,
                              stdout=subprocess.PIPE, timeout=60 * SLOW)
    except FileNotFoundError:
        return None
    return done.stdout.decode().split("\n")[::2]


def last_words(env, how, number, conf=None):
    """One dies in the middle of a client's input; what it says."""
    server = kill.CrashServer("client.read:3/%s@1" % how,
                              dict(conf or kill.CONF), env.workers,
                              deaths=True)
    env.servers.append(server)
    client = server.connect_on(0)
    port = client.sock.getsockname()[1]
    env.keep(client)
    client.send(NAMED + PING)
    client.expect(PONG)
    begun = time.monotonic()
    while not client.hung_up():
        check(time.monotonic() < begun + TIMEOUT, "it does not die")
        try:
            client.send(PING)
        except OSError:
            break
        time.sleep(0.02)
    pid = pid_of(server, 0)
    death = server.wait_log(
        r"worker 0 \(pid %d\) killed by signal (\d+)[^,]*, 1 connections "
        r"lost, restarting; place 0, serving cid:(\d+)\n" % pid)
    equal(int(death.group(1)), number, "signal; log:\n" + server.log())
    equal(int(death.group(2)), client.info["client_id"], "client id")
    words = re.findall(r"\[%d/w0\] .*\[FTL\] (.*)" % pid, server.log())
    client.abandon()
    env.clients.remove(client)
    kill.all_slots_spare(server)
    env.servers.remove(server)
    server.stop()
    whom = 'last words: serving 127.0.0.1:%d - cid:%d - ' \
        '"v1.2:test:last one"' % (port, client.info["client_id"])
    return server, words, whom


@suite.scenario("last words: signal, client and backtrace", workers=(2,),
                reference=False)
def say_it(env):
    for how, number, first in (
            ("segv", signal.SIGSEGV,
             r"signal 11 \(SIGSEGV\), address 0x10$"),
            ("abort", signal.SIGABRT, r"signal 6 \(SIGABRT\) of its own$"),
            ("overflow", signal.SIGSEGV,
             r"signal 11 \(SIGSEGV\), address 0x7[0-9a-f]+$"),
            ("mash", signal.SIGABRT, r"signal 6 \(SIGABRT\) of its own$"),
            ("panic", signal.SIGABRT, r"signal 6 \(SIGABRT\) of its own$")):
        if is_sanitized(kill.crash_program()) and \
                how in ("segv", "overflow", "mash"):
            continue
        server, words, whom = last_words(env, how, number)
        if how == "panic":
            check(re.match(r"assertion failed: crash_left != 0 "
                           r"\(.*crash\.c:\d+\)", words[0]),
                  "%s: %r", how, words)
            words.pop(0)
        check(re.match("last words: " + first, words[0]), "%s: %r", how,
              words)
        equal(words[1], whom, how)
        check(len(words) > 2 or how == "mash", "%s: no backtrace: %r", how,
              words)
        if how == "mash":
            continue  # there may be nothing left to walk over
        functions = resolve(server.program, words[2])
        if functions is None:
            continue
        want = {"overflow": ["overflow"]}.get(
            how, ["crash_point", "client_read", "worker_main"])
        for name in want:
            check(name in functions, "%s: no %s in %r", how, name, functions)


@suite.scenario("last words of one that runs in circles (watchdog)",
                workers=(2,), reference=False)
def say_circles(env):
    server, words, whom = last_words(env, "hang", signal.SIGABRT)
    equal(words[0], "last words: signal 6 (SIGABRT) from process %d" %
          server.pid, "hang")
    equal(words[1], whom, "hang")
    functions = resolve(server.program, words[2])
    check(functions is None or "client_read" in functions,
          "not in the backtrace: %r", functions)


@suite.scenario("one killed by SIGKILL: whom it served", workers=(2,),
                reference=False)
def served(env):
    last_words(env, "kill", signal.SIGKILL)


@suite.scenario("last words of one that dies over what another has sent",
                conf=kill.CONF, workers=(2,), reference=False)
def say_peer(env):
    server = kill.CrashServer("ring.release:1/abort@1", dict(kill.CONF),
                              env.workers, deaths=True)
    env.servers.append(server)
    slots = kill.slots_now(server)
    reader = env.on(0, server=server)
    reader.sub(env.subj() + b" 1")
    env.on(slots[1], server=server).pub(env.subj(), b"poison")
    server.wait_log(r"\[FTL\] last words: serving what worker %d has sent\n" %
                    slots[1])
    server.wait_log(r"worker 0 \(pid \d+\) killed by signal 6.*; place 0\n")
    reader.expect_eof()


@suite.scenario("last words of one that was only sent a signal",
                conf=kill.CONF, workers=(2,), reference=False)
def say_idle(env):
    server = env.own_server(deaths=True)
    pid = pid_of(server, kill.slots_now(server)[0])
    number, name = signal.SIGBUS, "SIGBUS"
    if is_sanitized(program()):
        number, name = signal.SIGABRT, "SIGABRT"
    os.kill(pid, number)
    server.wait_log(r"\[%d/w\d\] .*last words: signal %d \(%s\) from "
                    r"process %d\n" % (pid, number, name, os.getpid()))
    server.wait_log(r"\[%d/w\d\] .*last words: serving nobody\n" % pid)
    server.wait_log(r"\[%d/w\d\] .*last words: backtrace.* natsd\+0x" % pid)
    server.wait_log(r"\(pid %d\) killed by signal %d" % (pid, number))


if __name__ == "__main__":
    print("seed %d (NATSD_TEST_SEED), %d kills (NATSD_KILLS)" % (SEED, KILLS))
    sys.exit(suite.main())
