#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Workers die at random moments and at named points, under load: the others'
clients lose nothing, what was confirmed arrives, the dead are replaced, their
slots and their memory come back."""

import os
import random
import re
import signal
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
from natsdtest import *  # noqa: E402,F403

suite = Suite("kill", workers=(2, 4))

CONF = {"ring_memory": "3MB", "max_pending": "64MB", "write_deadline": "60s",
        "watchdog": "1s", "debug": True}
BIG = dict(CONF, max_payload=8388608, watchdog="0")

SEED = int(os.environ.get("NATSD_TEST_SEED", str(random.randrange(1 << 30))))
BAD = re.compile(BAD_LOG.pattern.replace("|killed by signal", ""))
READY = r"worker (\d+) ready \(pid (\d+)\)"


def crash_program():
    """natsd with crash points: the one beside the tests, or the one under
    test if it was configured so."""
    build = os.environ.get("top_builddir") or \
        os.path.dirname(program() or "./natsd")
    path = os.environ.get("NATSD_CRASH") or \
        os.path.join(build, "tests", "proc", "natsd_crash")
    if not os.access(path, os.X_OK):
        raise Skip("no natsd with crash points (%s)" % path)
    return os.path.abspath(path)


class CrashServer(Server):
    """Its first process in slot 0 dies at that point."""

    def __init__(self, point, *args, **kwargs):
        self.program = crash_program()
        self.point = point
        super().__init__(*args, **kwargs)

    def command(self):
        return [self.program] + super().command()[1:]

    def spawn(self):
        os.environ["NATSD_CRASH_POINT"] = self.point
        try:
            super().spawn()
        finally:
            del os.environ["NATSD_CRASH_POINT"]


def slots_now(server):
    """Slots of all workers, when all are up."""
    wait_for(lambda: len(server.worker_pids()) == server.workers,
             "all workers")
    server.slots = None
    return server.worker_slots()


def clean(server):
    bad = BAD.search(server.log())
    check(not bad, "in the log:\n%s", server.log()[-4000:])


# ------------------------------------------------------------------ traffic

class Publisher:
    """Numbered messages with a barrier behind each batch, until stopped or
    cut off."""

    def __init__(self, client, subject, sizes):
        self.client, self.subject, self.sizes = client, subject, sizes
        self.sent = self.confirmed = 0
        self.stop = self.dead = False
        self.random = random.Random(SEED + client.worker)
        self.task = None

    def start(self):
        self.task = Background(self.run)

    def run(self):
        try:
            while not self.stop:
                self.batch(self.random.randrange(
                    1, 40 if max(self.sizes) < 100000 else 5))
        except (Failure, OSError):
            if not self.client.eof and not self.client.hung_up():
                raise
            self.dead = True

    def batch(self, count):
        data = []
        room = 36 << 20  # well below max_pending
        for _ in range(count):
            size = self.random.choice(self.sizes)
            room -= size
            if room < 0:
                break
            data.append(pub(self.subject, b"%d " % self.sent + b"x" * size))
            self.sent += 1
        self.client.send(b"".join(data) + PING)
        equal(self.client.event(), PONG, "to a publisher")
        self.confirmed = self.sent


class Reader:
    """Wants every publisher's messages in order and without a gap."""

    def __init__(self, client):
        self.client = client
        self.next = {}
        self.goal = None
        self.dead = False
        self.task = None

    def start(self):
        self.task = Background(self.run)

    def reached(self):
        return self.goal is not None and all(
            self.next.get(key, 0) >= count for key, count in
            self.goal.items())

    def run(self):
        end = time.monotonic() + 90 * SLOW
        while not self.reached():
            try:
                more = self.client.fill(time.monotonic() + 0.05, 1 << 20)
            except OSError:
                more = True
            self.parse()
            if not more:
                self.dead = True
                return
            check(time.monotonic() < end, "%r: waiting for %r, have %r",
                  self.client, self.goal, self.next)

    def parse(self):
        buf = self.client.buf
        pos = 0
        while True:
            eol = buf.find(b"\r\n", pos)
            if eol < 0:
                break
            line = bytes(buf[pos:eol])
            if line == b"PING":
                self.client.sock.sendall(PONG)
                pos = eol + 2
                continue
            check(line.startswith(b"MSG "), "%r: broken stream: %s",
                  self.client, show(line))
            words = line.split(b" ")
            start, size = eol + 2, int(words[-1])
            if len(buf) < start + size + 2:
                break
            check(buf[start + size:start + size + 2] == b"\r\n",
                  "%r: message without its end", self.client)
            number, filling = bytes(buf[start:start + size]).split(b" ")
            check(filling.count(b"x") == len(filling), "%r: wrong payload",
                  self.client)
            want = self.next.get(words[1], 0)
            equal(int(number), want, "%r: number of %s" % (
                self.client, show(words[1])))
            self.next[words[1]] = want + 1
            pos = start + size + 2
        del buf[:pos]


class Traffic:
    """A publisher and a reader in every worker."""

    def __init__(self, env, server, slots, sizes=(0, 10, 100, 2000)):
        base = env.subj("t%d" % random.randrange(1 << 30))
        self.readers = [Reader(env.on(s, server=server)) for s in slots]
        self.publishers = []
        for reader in self.readers:
            reader.client.sub(base + b".* 1")
        for slot in slots:
            client = env.on(slot, server=server)
            self.publishers.append(Publisher(client, base + b".%d" % slot,
                                             sizes))
        for one in self.readers + self.publishers:
            one.start()

    def slot_lost(self, slot):
        """The connections of that worker have ended."""
        wait_for(lambda: all(one.dead for one in self.of(slot)),
                 "the connections of worker %d to end" % slot)

    def of(self, slot):
        return [one for one in self.readers + self.publishers
                if one.client.worker == slot]

    def finish(self, dead=()):
        """Everybody but those in the dead slots has got everything."""
        for one in self.publishers:
            one.stop = True
        for one in self.publishers:
            one.task.done()
        goal = {one.subject: one.confirmed for one in self.publishers}
        for one in self.readers:
            one.goal = goal
        for one in self.readers:
            one.task.done(120 * SLOW)
        for one in self.readers + self.publishers:
            equal(one.dead, one.client.worker in dead,
                  "%r was cut off" % one.client)
        for one in self.readers:
            if one.dead:
                continue
            for p in self.publishers:
                check(one.next.get(p.subject, 0) <= p.sent,
                      "more came than was sent")
            one.client.expect_nothing()


def responders_gone(env, server, slots, subject):
    """503 for what only dead workers' clients had subscribed to."""
    for slot in slots:
        asker = env.on(slot, CN, server=server)
        inbox = b"_INBOX.%d.%d" % (env.number, slot)
        asker.sub(inbox + b" 7")
        asker.send(pub(subject, b"x", inbox) + PING)
        asker.expect(no_responders(inbox, b"7", subject) + PONG)


def successor(server, start, count=1, begun=None):
    """Wait until as many "ready" stand in the log behind start: seconds
    since it begun."""
    begun = begun or time.monotonic()
    wait_for(lambda: len(re.findall(READY, server.log()[start:])) >= count,
             "a successor", step=0.002)
    return time.monotonic() - begun


def all_slots_spare(server):
    """Each worker that died has left a clean slot."""
    deaths = len(re.findall(r"worker \d+ \(pid \d+\) (?:killed|exited)",
                            server.log()))
    wait_for(lambda: len(re.findall(r"slot \d+ is spare", server.log())) ==
             deaths, "%d slots to become spare" % deaths)
    return deaths


# ------------------------------------------------------------ random moments

def kill_under_load(env, number, victims=2):
    server = env.own_server(deaths=True)
    chance = random.Random(SEED + number)
    originals = list(slots_now(server))
    took = []
    for slot in chance.sample(originals, victims):
        slots = slots_now(server)
        lonely = env.subj("lonely.%d" % slot)
        alone = env.on(slot, server=server)
        alone.sub(lonely + b" 1")
        traffic = Traffic(env, server, slots)
        time.sleep(chance.uniform(0.05, 0.4))
        start = len(server.log())
        begun = time.monotonic()
        os.kill(pid_of(server, slot), number)
        if number == signal.SIGSTOP:  # counted from its end
            server.wait_log("killed by signal 9", start)
            begun = None
        took.append(successor(server, start, begun=begun))
        traffic.slot_lost(slot)
        time.sleep(0.1)
        traffic.finish([slot])
        alone.expect_eof()
        responders_gone(env, server, [s for s in slots if s != slot], lonely)
    all_slots_spare(server)
    if number != signal.SIGSEGV:  # which sanitizers tell of
        clean(server)
    took.sort()
    print("    successors served after %s s" %
          " ".join("%.3f" % t for t in took))
    check(took[0] < SLOW, "the successor took %.3f s", took[0])
    # everybody reaches everybody
    Traffic(env, server, slots_now(server)).finish()


@suite.scenario("SIGKILL under load", conf=CONF, reference=False)
def sigkill(env):
    kill_under_load(env, signal.SIGKILL)


@suite.scenario("SIGSEGV under load", conf=CONF, reference=False)
def sigsegv(env):
    kill_under_load(env, signal.SIGSEGV)


@suite.scenario("SIGSTOP under load: the watchdog", conf=CONF,
                reference=False)
def sigstop(env):
    kill_under_load(env, signal.SIGSTOP, victims=1)


@suite.scenario("two workers die at once", conf=CONF, workers=(4,),
                reference=False)
def two_at_once(env):
    server = env.own_server(deaths=True)
    slots = slots_now(server)
    traffic = Traffic(env, server, slots)
    time.sleep(0.2)
    start = len(server.log())
    for slot in slots[:2]:
        os.kill(pid_of(server, slot), signal.SIGKILL)
    for slot in slots[:2]:
        traffic.slot_lost(slot)
    successor(server, start, 2)
    traffic.finish(slots[:2])
    all_slots_spare(server)
    Traffic(env, server, slots_now(server)).finish()
    clean(server)


# --------------------------------------------------------- slots and memory

def zone_bytes(server):
    """Bytes that each zone occupies, by name; {} if we may not look."""
    found = {}
    folder = "/proc/%d/fd" % server.pid
    try:
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            to = re.match(r"/memfd:natsd-(\S+)", os.readlink(path))
            if to:
                found[to.group(1)] = os.stat(path).st_blocks * 512
    except OSError:
        return {}
    return found


def occupied(zones, slot):
    """What a slot's own zones occupy together."""
    return sum(size for name, size in zones.items()
               if name in ("own-%d" % slot, "index-%d" % slot) or
               name.startswith("ring-%d-" % slot))


def burden(env, server, slot, base):
    """Makes a worker's zones grow: index, scoreboard and rings."""
    subjects = [b"%s.%d.%d" % (base, slot, n) for n in range(10000)]
    for part in range(4):
        client = env.on(slot, server=server)
        client.sub(*[b"%s %d" % (subject, n) for n, subject in
                     enumerate(subjects[part::4])])
    client.send(pub(base + b".all", b"x" * 900) * 200 + PING)
    client.expect(PONG)


@suite.scenario("20 deaths in a row: slots and memory come back", conf=CONF,
                workers=(4,), reference=False)
def twenty(env):
    server = env.own_server(deaths=True)
    base = env.subj("burden")
    peak = []
    fresh = sum(zone_bytes(server).values())
    for lap in range(5):
        slots = slots_now(server)
        for slot in slots:
            env.on(slot, server=server).sub(base + b".all 1")
        for slot in slots:
            burden(env, server, slot, base)
        zones = zone_bytes(server)
        peak.append(sum(zones.values()))
        for victim in slots:
            os.kill(pid_of(server, victim), signal.SIGKILL)
            time.sleep(0.01)
        wait_for(lambda: len(re.findall(READY, server.log())) ==
                 4 * (lap + 2), "four successors", 60 * SLOW)
        all_slots_spare(server)
        for client in env.clients:
            client.abandon()
        env.clients.clear()
    equal(all_slots_spare(server), 20, "deaths")
    slots = slots_now(server)
    # a live worker among them: nobody there yet, so all are nearly empty
    zones = zone_bytes(server)
    if zones:
        left = sum(zones.values())
        print("    zones: fresh %d KB, under load %s KB, at the end %d KB" % (
            fresh / 1024, " ".join("%d" % (p / 1024) for p in peak),
            left / 1024))
        check(min(peak) > fresh + (2 << 20), "the zones did not grow: "
              "%r from %d", peak, fresh)
        check(left < fresh + (1 << 20), "memory did not come back: "
              "%d bytes, %d at the start", left, fresh)
        for slot in set(range(6)) - set(slots):
            check(occupied(zones, slot) <= 256 << 10,
                  "spare slot %d occupies %d bytes", slot,
                  occupied(zones, slot))
    else:
        print("    zones: this user may not look at their memory")
    Traffic(env, server, slots).finish()
    clean(server)


@suite.scenario("one that keeps dying is started ever later", conf=CONF,
                workers=(2,), reference=False)
def back_off(env):
    server = env.own_server(deaths=True)
    slots = slots_now(server)
    survivor = env.on(slots[0], server=server)
    subject = env.subj()
    survivor.sub(subject + b" 1")
    pid = pid_of(server, slots[1])
    gaps = []
    for _ in range(3):
        start = len(server.log())
        os.kill(pid, signal.SIGKILL)
        found = re.compile(READY)
        begun = time.monotonic()
        n = 0
        while not found.search(server.log()[start:]):
            check(time.monotonic() - begun < 30 * SLOW, "no successor")
            survivor.pub(subject, b"%d" % n)
            survivor.expect(msg(subject, b"1", b"%d" % n))
            n += 1
            time.sleep(0.005)
        gaps.append(time.monotonic() - begun)
        pid = int(found.search(server.log()[start:]).group(2))
    print("    back after %s s" % " ".join("%.2f" % gap for gap in gaps))
    check(gaps[0] < 0.9, "the first successor came after %.2f s", gaps[0])
    check(gaps[1] > 0.9 and gaps[2] > 1.9, "no back-off: %r", gaps)
    server.wait_log("killed by signal 9, .* restarting in 2 s")
    all_slots_spare(server)
    Traffic(env, server, slots_now(server)).finish()


# ------------------------------------------------------------ large messages

@suite.scenario("8 MB messages to a worker that dies", conf=BIG,
                reference=False)
def big_target_dies(env):
    server = env.own_server(deaths=True)
    slots = slots_now(server)
    chance = random.Random(SEED)
    subject = env.subj()
    readers = [Reader(env.on(slot, server=server)) for slot in slots]
    for reader in readers:
        reader.client.sub(subject + b" 1")
        reader.start()
    publisher = Publisher(env.on(slots[0], server=server), subject,
                          (8388000,))
    publisher.batch(1)
    victim = slots[1]
    sender = Background(publisher.batch, 4)
    time.sleep(chance.uniform(0, 0.05))
    pid = pid_of(server, victim)
    if chance.random() < 0.5:
        os.kill(pid, signal.SIGSTOP)  # so that its ring is full when it dies
        time.sleep(0.3)
    os.kill(pid, signal.SIGKILL)
    sender.done()
    publisher.batch(1)
    for reader in readers:
        reader.goal = {subject: publisher.sent}
    for reader in readers:
        reader.task.done(120 * SLOW)
        equal(reader.dead, reader.client.worker == victim,
              "%r was cut off" % reader.client)
    all_slots_spare(server)
    clean(server)
    Traffic(env, server, slots_now(server), (0, 1000000)).finish()


@suite.scenario("a worker dies while it sends 8 MB messages", conf=BIG,
                reference=False)
def big_origin_dies(env):
    server = env.own_server(deaths=True)
    slots = slots_now(server)
    subject = env.subj()
    readers = [Reader(env.on(slot, server=server)) for slot in slots[1:]]
    for reader in readers:
        reader.client.sub(subject + b".* 1")
        reader.start()
    publisher = Publisher(env.on(slots[0], server=server), subject + b".a",
                          (8388000, 3000000))
    publisher.start()
    wait_for(lambda: publisher.confirmed > 0, "the first message", 60 * SLOW)
    time.sleep(random.Random(SEED).uniform(0, 0.2))
    os.kill(pid_of(server, slots[0]), signal.SIGKILL)
    publisher.task.done()
    check(publisher.dead, "the publisher lives")
    # the streams behind it are whole
    other = Publisher(env.on(slots[1], server=server), subject + b".b",
                      (8388000, 10))
    other.batch(3)
    for reader in readers:
        reader.goal = {subject + b".a": publisher.confirmed,
                       subject + b".b": other.confirmed}
    for reader in readers:
        reader.task.done(120 * SLOW)
        equal(reader.dead, False, "%r was cut off" % reader.client)
    all_slots_spare(server)
    clean(server)


# -------------------------------------------------------------- named points

INDEX = ("trie-hint-raised", "trie-path-made", "trie-path-published",
         "trie-changed", "trie-generation-raised", "trie-node-unlinked",
         "trie-group-made", "trie-group-unlinked", "cell-reuse")
GROWTH = ("edges-filling", "edges-filled", "edges-switched")
RING = ("ring.pad", "ring.commit", "ring.publish", "ring.published",
        "ring.release", "ring.released", "bell.arm", "bell.ring")
# The first subscription makes the first edge table, before all is set up.
FEW = {"edges-filling": (5, 200), "edges-filled": (2, 4),
       "edges-switched": (2, 4), "big.fragment": (1, 60),
       "big.assembly": (1, 60), "ring.want": (1, 10),
       "bell.arm": (100, 300), "ring.pad": (1, 10)}
LARGE = ("big.fragment", "big.assembly", "ring.want")


class Doomed:
    """Clients of the worker that is to die, doing all that passes points."""

    def __init__(self, env, server, slot, other, base):
        self.inner = env.on(slot, server=server)
        self.near = env.on(slot, server=server)
        self.outer = env.on(other, server=server)
        self.base = base
        self.outer.sub(base + b".out 1")
        self.inner.sub(base + b".in 1")
        self.outer.timeout = self.near.timeout = 60 * SLOW
        self.stop = False
        self.tasks = []

    def start(self, large):
        size = 2000000 if large else 1500
        self.tasks = [Background(self.churn),
                      Background(self.send, self.near, b".out", size),
                      Background(self.send, self.outer, b".in", size),
                      Background(self.swallow, self.inner),
                      Background(self.swallow, self.outer)]

    def churn(self):
        """SUB, groups, UNSUB; by a client of its own, in lock-step."""
        lap = 0
        try:
            while not self.stop:
                n = 40 << min(lap, 7)
                subs = [b"SUB %s.%d.%d.*.x %d\r\n" % (self.base, lap, i,
                                                    100 + i)
                        for i in range(n)]
                subs += [b"SUB %s.g.%d g%d %d\r\n" % (self.base, i, i, i + 10)
                         for i in range(20)]
                self.inner.send(b"".join(subs))
                time.sleep(0.01)
                self.inner.send(b"".join(b"UNSUB %d\r\n" % i
                                         for i in range(10, n + 100)))
                time.sleep(0.01)
                lap += 1
        except (Failure, OSError, ValueError):
            pass

    def send(self, client, tail, size):
        try:
            while not self.stop:
                client.send(pub(self.base + tail, b"y" * size) * 5)
        except (Failure, OSError, ValueError):
            pass

    def swallow(self, client):
        try:
            while not self.stop:
                try:
                    if not client.fill(time.monotonic() + 0.1, 1 << 20):
                        return
                except socket.timeout:
                    pass
                client.buf.clear()
        except (OSError, ValueError):
            pass

    def end(self):
        self.stop = True
        for task in self.tasks:
            task.done()
        for client in (self.inner, self.near, self.outer):
            client.abandon()


def die_at(env, name, chance):
    least, most = FEW.get(name, (20, 300))  # the beginning passes some
    point = "%s:%d@1" % (name, chance.randrange(least, most + 1))
    server = CrashServer(point, dict(BIG, debug=True), env.workers,
                         deaths=True)
    env.servers.append(server)
    ready = dict(re.findall(READY, server.log()))
    slots = slots_now(server)
    check("0" in ready and 0 in slots, "no worker in slot 0")
    doomed = Doomed(env, server, 0, slots[1], env.subj("doomed." + name))
    lonely = env.subj("lonely." + name)
    doomed.inner.sub(lonely + b" 3")
    rest = Traffic(env, server, slots[1:])
    start = len(server.log())
    doomed.start(name in LARGE)
    try:
        server.wait_log(r"worker 0 \(pid %s\) killed by signal 9" %
                        ready["0"], start, 60 * SLOW)
    except Failure:
        raise Failure("nobody came to " + point)
    finally:
        doomed.end()
    successor(server, start)
    responders_gone(env, server, slots[1:], lonely)
    rest.finish()
    all_slots_spare(server)
    Traffic(env, server, slots_now(server)).finish()
    clean(server)
    env.servers.remove(server)
    for client in env.clients:
        client.abandon()
    env.clients.clear()
    server.stop()


def die_at_each(env, names):
    chance = random.Random(SEED)
    for name in names:
        try:
            die_at(env, name, chance)
        except Failure as error:
            raise Failure("killed at %s: %s" % (name, error))


@suite.scenario("killed inside an index update", reference=False)
def in_index(env):
    die_at_each(env, INDEX)


@suite.scenario("killed while the edge table grows", reference=False)
def in_growth(env):
    die_at_each(env, GROWTH)


@suite.scenario("killed inside a ring write", reference=False)
def in_ring(env):
    die_at_each(env, RING)


@suite.scenario("killed between fragments", reference=False)
def in_fragments(env):
    die_at_each(env, LARGE)


if __name__ == "__main__":
    print("seed %d (NATSD_TEST_SEED)" % SEED)
    sys.exit(suite.main())
