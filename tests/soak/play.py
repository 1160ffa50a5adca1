# SPDX-License-Identifier: BSD-2-Clause
"""What the judged clients do: random SUB, UNSUB and PUB on few subjects, so
that wildcards and groups overlap, in all the shapes that natsd has a way of
its own for (runs, alternating lines, messages larger than half a ring, bursts
to a queue group, wide fan-out), in epochs with a barrier at the end of each.
"""

import os
import random
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
from natsdtest import SLOW  # noqa: E402
from clients import Conn, Crowd  # noqa: E402
from judge import NEVER, Judge, Violation  # noqa: E402

TOKENS = (b"a", b"b", b"c")
LONG = b"a-token-that-has-no-room-in-one-cell-of-the-index-of-64-bytes"
QUEUES = (b"q1", b"q2", b"q3", b"q4")
STEADY = (b"q1", b"q2")  # their members do not refuse, if they can help it
# Subjects that the wildcards of s do not reach: with groups only, with few
# subscribers, with hardly any.
GROUPED = [b"g.x.%d" % n for n in range(6)]
SPARSE = [b"t.x.%d" % n for n in range(12)]
RARE = [b"r.x.%d" % n for n in range(14)]
# One subscriber at a time: lines that are kept.
LONE = [b"o.x.%d" % n for n in range(16)]
LOUD = b"l.loud"  # strangers may be subscribed to it too
BACKLOG = 6 << 20  # of one connection, before everybody waits
MOST_SUBS = 10


class Ways:
    """The addresses of a server, and how to make sockets for each."""

    def __init__(self, server, lossy=None):
        self.plain = [server.address, server.address]
        if server.unix:
            self.plain.append(server.socket_path)
        self.lossy = lossy  # (address, socket maker) or None


class Play:
    """A crowd, its random deeds, and the ends of its epochs."""

    def __init__(self, ways, seed, conns=30, workers=1, max_payload=1 << 20,
                 half_ring=NEVER, log=None, volume=1.0,
                 max_pending=NEVER):
        self.ways, self.workers = ways, workers
        self.max_payload = max_payload
        self.volume, self.max_pending = volume, max_pending
        self.rng = random.Random("play %s" % seed)
        self.judge = Judge(half_ring)
        self.crowd = Crowd(self.judge)
        self.crowd.on_end = self.ended
        self.target = conns
        self.chaos = None
        self.log = log  # knows why natsd closed whom
        self.ghosts = []  # ended here, perhaps not yet there
        self.unexplained = []
        self.ends = {}  # reason -> how often
        self.epochs = 0
        self.subjects = self.make_subjects()
        self.prober = None
        self.slow_left = 0
        self.connects = 0
        self.held = 0  # turns in which nobody spoke
        self.seen, self.seen_at = 0, 0.0

    def make_subjects(self):
        found = {b"s." + b".".join(self.rng.choice(TOKENS) for _ in range(n))
                 for n in (1, 2, 2, 3, 3, 3) for _ in range(6)}
        found = sorted(found)
        found += [b"s." + LONG + b".a", b"s.a." + LONG]
        return found

    # choices

    def subject(self):
        dice = self.rng.random()
        if dice < 0.15:
            return self.rng.choice(GROUPED)
        if dice < 0.3:
            return self.rng.choice(SPARSE)
        if dice < 0.33:
            return self.rng.choice(RARE)
        if dice < 0.97:
            return self.rng.choice(self.subjects)
        return self.rng.choice((b"s.*", b"s.a.>", b"s..a", b"s.a.", b".s",
                                b"s.none.%d" % self.rng.randrange(1000),
                                b"s.b*", b"S.a", b"s"))

    def pattern(self):
        rng = self.rng
        subject = rng.choice(self.subjects)
        dice = rng.random()
        if dice < 0.3:
            return subject
        if dice < 0.34:
            return rng.choice((b"s.>", b"*.a", b"s.*", b"s.b*", b"*.*",
                               b"s.none.%d" % rng.randrange(1000)))
        tokens = subject.split(b".")
        for at in range(1, len(tokens)):
            if rng.random() < 0.5:
                tokens[at] = b"*"
        if rng.random() < 0.3:
            tokens = tokens[:rng.randint(2, len(tokens))]
            tokens[-1] = b">"
        return b".".join(tokens)

    def size(self):
        dice = self.rng.random()
        if dice < 0.7:
            return self.rng.choice((0, 1, 7, 8, 9, 16, 16, 64, 100, 128))
        if dice < 0.97:
            return self.rng.randint(8, 2000)
        return self.rng.randint(2000, 20000)

    # connections

    def fill(self):
        """As many connections as there should be."""
        while len(self.crowd.conns) < self.target:
            if not self.add():
                return

    def add(self, **kwargs):
        rng = self.rng
        headers = rng.random() < 0.6
        options = dict(
            verbose=rng.random() < 0.12, pedantic=rng.random() < 0.15,
            headers=headers, echo=rng.random() < 0.8,
            asks=headers and rng.random() < 0.5)
        address, make = rng.choice(self.ways.plain), socket.socket
        if self.ways.lossy and rng.random() < 0.12:
            address, make = self.ways.lossy
            options["kind"] = "lossy"
        options.update(kwargs)
        try:
            conn = Conn(self.crowd, options.pop("address", address),
                        options.pop("make", make), **options)
        except OSError:
            return None
        self.connects += 1
        return conn

    def ended(self, conn):
        """End of file.  Why?"""
        self.ghosts.append(conn)
        conn.ghost = True
        conn.last_number = self.judge.number
        conn.ended_at = time.monotonic()
        if conn.expects_end:
            self.explain(conn, conn.expects_end)
        else:
            self.unexplained.append(conn)

    def explain(self, conn, why):
        conn.why = why
        self.ends[why] = self.ends.get(why, 0) + 1

    def explanations(self, final=False):
        """Every end has a reason, or is a violation."""
        rest = []
        for conn in self.unexplained:
            why = self.chaos and self.chaos.reason(conn)
            if not why and self.log:
                text = self.log.closed.get(conn.cid, "")
                # Where nobody is held back for them, and messages are dropped
                # instead, the brisk have much pending too, and memory_max
                # closes who has most.
                slack = not conn.brisk or conn.kind == "lossy" or \
                    self.judge.drops_allowed or \
                    self.judge.flooded(conn) or \
                    self.crowd.gap > self.chaos.patience()
                if text.startswith("Slow Consumer") and slack:
                    why = "slow consumer"
                elif text.startswith("Slow Consumer (Pending") and \
                        self.judge.most_due(conn, conn.last_number) > \
                        self.max_pending:
                    why = "more due than max_pending"
                elif text.startswith("Out of Memory") and slack:
                    why = "memory_max reached"
                elif not text and slack and self.log.dropped:
                    why = "unknown: natsd's log has lost records"
                elif text.startswith("Stale") and slack:
                    why = "stale connection"
                elif "Connection timed out" in text and slack:
                    # its window stayed shut for ping_interval times
                    # ping_max + 1: the kernel's user timeout
                    why = "took too little for too long"
            if why:
                self.explain(conn, why)
            else:
                rest.append(conn)
        self.unexplained = rest
        if final and rest:
            conn = rest[0]
            raise Violation("%r: natsd cut it off: %s (unread %r)" % (
                conn, self.log.closed.get(conn.cid, "no word in the log")
                if self.log else "", bytes(conn.buf[:200])))

    def leave(self, conn):
        """One goes of itself, in one of the ways."""
        dice = self.rng.random()
        self.judge.leaves(conn)
        if dice < 0.5:
            conn.expects_end = "closed by its client"
            conn.half_close()
            return
        conn.expects_end = "closed by its client at once"
        if dice < 0.8:
            conn.reset()
        self.crowd.ended(conn)

    # deeds

    def speakers(self):
        return [conn for conn in self.crowd.conns.values()
                if conn.ready and not conn.expects_end and
                len(conn.due) < 60 and conn.out_bytes < 1 << 20 and
                conn.kind != "deaf"]

    def step(self):
        """A few of them do something, unless too much is on its way."""
        if self.crowded():
            self.held += 1
            # What was expected need not come (a maximum, echo off, another
            # member of the group): when nothing does, all is here.  Not too
            # soon: on a machine with other work natsd may have to wait for
            # its turn, and what is sent meanwhile makes a slow reader.
            now = time.monotonic()
            if self.crowd.arrivals != self.seen:
                self.seen, self.seen_at = self.crowd.arrivals, now
            elif now - self.seen_at > 0.2:
                for conn in self.crowd.conns.values():
                    conn.swamped = conn.swamped or conn.backlog > 0
                    conn.backlog = 0
            return False
        able = self.speakers()
        if not able:
            return False
        for conn in self.rng.sample(able, min(len(able), 4)):
            self.deed(conn)
            if self.crowded():
                break
        self.fill()
        return True

    def crowded(self):
        """Whether so much is on its way that a reader might be cut off."""
        total = 0
        for conn in self.crowd.conns.values():
            if conn.brisk and conn.backlog > 0:
                if conn.backlog > BACKLOG:
                    conn.swamped = True
                    return True
                total += conn.backlog
        return total > 4 * BACKLOG

    def deed(self, conn):
        rng = self.rng
        for _ in range(rng.choice((1, 1, 2, 4))):
            dice = rng.random()
            if dice < 0.14:
                self.deed_sub(conn)
            elif dice < 0.24:
                self.deed_unsub(conn)
            elif dice < 0.30:
                self.deed_limit(conn)
            elif dice < 0.305:
                conn.again()
            elif dice < 0.31:
                subs = self.subs_of(conn)
                if subs:
                    sub = rng.choice(subs)
                    if sub.max is None and sub.unsub_sent == NEVER:
                        conn.sub_again(sub, self.pattern())
            elif dice < 0.312 and conn.kind != "prober":
                self.leave(conn)
                return
            else:
                self.deed_publish(conn)
        if rng.random() < 0.8:
            conn.ping()

    @staticmethod
    def subs_of(conn):
        """Without the inbox."""
        return [sub for sub in conn.sids.values()
                if not sub.pattern.startswith(b"i.") and
                sub.unsub_sent == NEVER]

    def queue(self, conn, steady=True):
        queue = self.rng.choice(QUEUES)
        if queue in STEADY and not (steady and conn.echo and conn.brisk and
                                    conn.kind != "lossy"):
            return QUEUES[-1]
        return queue

    def deed_sub(self, conn):
        for _ in range(self.rng.choice((1, 1, 1, 3))):
            if len(conn.sids) > MOST_SUBS:
                return self.deed_unsub(conn)
            self.sub_any(conn)
        return None

    def sub_any(self, conn, steady=True):
        rng = self.rng
        dice = rng.random()
        queue = None
        if dice < 0.02:
            pattern = LOUD
        elif dice < 0.14:
            pattern = rng.choice(LONE)
            if any(sub.over == NEVER and sub.unsub_sent == NEVER
                   for sub in self.judge.patterns.get(pattern, ())):
                pattern = rng.choice(SPARSE)
        elif dice < 0.28:
            pattern = rng.choice(GROUPED + [b"g.x.*", b"g.>"])
            queue = self.queue(conn, steady)
        elif dice < 0.36:
            pattern = rng.choice(SPARSE + [b"t.*.1", b"t.x.>"])
        elif dice < 0.46:
            pattern = rng.choice(RARE + [b"r.*.1"])
            if rng.random() < 0.5:
                queue = self.queue(conn, steady)
        else:
            pattern = self.pattern()
            if rng.random() < 0.3:
                queue = self.queue(conn, steady)
        return conn.sub(pattern, queue)

    def deed_unsub(self, conn):
        subs = self.subs_of(conn)
        rare = [sub for sub in subs if sub.pattern.startswith((b"r.", b"o."))]
        if rare and self.rng.random() < 0.6:
            subs = rare
        if subs:
            sub = self.rng.choice(subs)
            if sub.queue in STEADY and self.rng.random() < 0.99:
                return
            conn.unsub(sub)

    def deed_limit(self, conn):
        """A maximum: with the SUB, as a rule, or later."""
        rng = self.rng
        if rng.random() < 0.7:
            if len(conn.sids) > MOST_SUBS + 3:
                return
            sub = self.sub_any(conn, False)
        else:
            subs = [sub for sub in self.subs_of(conn) if sub.max is None and
                    sub.queue not in STEADY]
            if not subs:
                return
            sub = rng.choice(subs)
        conn.limit(sub, rng.choice((0, 1, 1, 2, 5, 30, sub.count + 3,
                                    sub.count + 100)))

    def deed_publish(self, conn):
        rng = self.rng
        dice = rng.random()
        least = 8
        if dice < 0.35:  # single ones
            plan = [(self.subject(), rng.choice((None, None, True, b"s.re")),
                     rng.random() < 0.4, self.size())
                    for _ in range(rng.randint(1, 8))]
        elif dice < 0.62:  # a run
            one = (self.subject(), None, rng.random() < 0.2,
                   max(least, self.size()))
            count = self.scaled(rng.choice((5, 20, 60, 150)))
            if one[3] > 1000:
                count = min(count, 20)
            plan = [one] * count
        elif dice < 0.82:  # a few lines, in turns
            kin = self.lone(conn) if rng.random() < 0.5 else None
            lines = [(rng.choice(kin) if kin else self.subject(), None,
                      rng.random() < 0.3, max(least, self.size()))
                     for _ in range(rng.randint(2, 8))]
            plan = [rng.choice(lines) for _ in range(
                self.scaled(rng.choice((10, 30, 80))))]
            if max(line[3] for line in lines) > 1000:
                plan = plan[:30]
        elif dice < 0.92:  # requests
            plan = [(self.subject() if rng.random() < 0.5 else
                     rng.choice(RARE), True,
                     rng.random() < 0.3, self.size())
                    for _ in range(rng.randint(1, 20))]
        elif dice < 0.975:  # large ones
            size = int(2 ** rng.uniform(14, 17))
            plan = [(self.subject(), None, False, size)] * rng.choice(
                (1, 1, 3, 8))
        elif dice < 0.98:  # the largest
            plan = [(self.subject(), None, False, self.max_payload)]
        else:
            plan = [(LOUD, None, False, rng.choice((16, 500, 3000)))] * \
                self.scaled(60)
        room = 3 << 20
        fits = []
        for one in plan:
            fan = max(1, sum(
                self.judge.interest(one[0]).share.values()) // 4)
            room -= one[3] * fan
            if room < 0 and fits:
                break
            fits.append(one)
        if not conn.asks and conn.headers is False:
            fits = [(s, r, False, n) for s, r, _, n in fits]
        # The whole header counts against max_payload.
        conn.publish(fits)

    def lone(self, conn):
        """Subjects with one subscriber, in the same worker if there are any,
        and now and then in the same connection."""
        own, near, all_of_them = [], [], []
        for subject in LONE:
            for sub in self.judge.patterns.get(subject, ()):
                if sub.over != NEVER or sub.unsub_sent != NEVER:
                    continue
                all_of_them.append(subject)
                if sub.conn is conn:
                    own.append(subject)
                elif sub.conn.slot == conn.slot:
                    near.append(subject)
        if own and self.rng.random() < 0.3:
            return own
        return near or own or all_of_them

    def scaled(self, count):
        return max(1, int(count * self.volume))

    # epochs

    def run_epoch(self, seconds):
        """Some seconds of it, then a close."""
        end = time.monotonic() + seconds
        self.fill()
        while time.monotonic() < end:
            spoke = self.step()
            if self.chaos:
                self.chaos.tick()
            self.crowd.turn(0 if spoke else 0.01)
            if len(self.judge.msgs) > 150000:
                break
        self.close()

    def wait(self, cond, what, seconds=60):
        end = time.monotonic() + seconds * SLOW
        while not cond():
            if self.chaos:
                self.chaos.look()
            self.crowd.turn(0.01)
            if time.monotonic() > end:
                raise Violation("waited in vain for %s" % (
                    what() if callable(what) else what))

    def barrier(self):
        """A PONG from everybody who lives."""
        for conn in self.crowd.everyone():
            if not conn.expects_end:
                conn.ping()

        def late():
            return [conn for conn in self.crowd.everyone()
                    if not conn.idle() or conn.expects_end]
        self.wait(lambda: not late(), lambda: "PONG to %s" % "; ".join(
            "%r: %d due, %d bytes unsent, %d unread" % (
                conn, len(conn.due), conn.out_bytes, len(conn.buf))
            for conn in late()[:5]), 90)

    def close(self):
        """Let everything come to rest, then judge what is missing."""
        if self.chaos:
            self.chaos.rest()
        for conn in self.crowd.everyone():
            conn.quota, conn.reading = NEVER, True
            self.crowd.settle_mask(conn)
        self.barrier()
        gone = self.probe()
        rounds = 0
        while True:
            self.barrier()
            rounds += 1
            if rounds > 1 and not self.judge.missing():
                break
            if rounds > 3 + self.workers:
                break
        self.wait(lambda: self.explanations() or not self.unexplained,
                  lambda: "the reasons of %d ends: %s" % (
                      len(self.unexplained), "; ".join(
                          "%r: %s" % (conn, self.log.closed.get(
                              conn.cid, "no word in the log"))
                          for conn in self.unexplained[:5])),
                  10) if self.unexplained and self.log else None
        self.explanations(True)
        self.judge.close_epoch()
        self.judge.trouble = False
        self.epochs += 1
        for conn in gone:
            self.judge.conn_forgotten(conn)
        # What conn_forgotten() ends belongs to the epoch that begins: it
        # may not be known as interest any more.
        self.judge.close_epoch()
        self.crowd.gap = 0
        for conn in self.crowd.everyone():
            conn.backlog, conn.swamped = 0, False
            conn.last.clear()

    def probe(self):
        """Ask for the inboxes of those who have gone: a 503 says that natsd
        has forgotten them.  Those who vanished may take their time."""
        gone = []
        begun = time.monotonic()
        while True:
            ask = [conn for conn in self.ghosts if conn not in gone]
            if not ask:
                break
            prober = self.prober
            if prober is None or prober.lost:
                prober = self.prober = self.add(
                    asks=True, headers=True, verbose=False, pedantic=False,
                    kind="prober", address=self.ways.plain[0],
                    make=socket.socket)
                if prober is None:
                    raise Violation("no connection for a prober")
                self.wait(lambda p=prober: p.ready or p.lost, "a prober")
                continue
            asked = len(self.judge.msgs)
            prober.publish([(conn.inbox + b"probe", True, False, 0)
                            for conn in ask])
            msgs = prober.open_msgs[-len(ask):]
            prober.ping()
            self.wait(lambda p=prober: p.idle() or p.lost, "the probes", 90)
            for conn, msg in zip(ask, msgs):
                if msg.refused:
                    gone.append(conn)
            assert len(self.judge.msgs) >= asked
            hurry = [conn for conn in ask if conn not in gone and not (
                conn.why.startswith("vanished") and
                time.monotonic() - conn.ended_at < 60 * SLOW)]
            if not hurry:
                break
            if time.monotonic() - begun > 60 * SLOW:
                raise Violation("%r is still subscribed %d s after its end" %
                                (hurry[0], time.monotonic() -
                                 hurry[0].ended_at))
            end = time.monotonic() + 0.05
            self.wait(lambda: time.monotonic() > end, "a moment")
        self.ghosts = [conn for conn in self.ghosts if conn not in gone]
        return gone

    def finish(self):
        for conn in self.crowd.everyone():
            self.crowd.remove(conn)
