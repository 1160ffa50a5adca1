# SPDX-License-Identifier: BSD-2-Clause
"""The judge: which subscription must get, may get, or must not get a message.

All that any client sends, and all that comes back, passes one process, so one
clock (a counter) orders it.  What counts is what a client can know: a SUB is
in force for certain from its PONG on, and for certain not before it was sent;
an UNSUB likewise; a message was matched somewhere between its sending and its
PONG.  On one connection the order of its lines decides alone.

An arrival is judged at once (what must not be); what is missing, when an
epoch ends: by then barriers have been answered on every connection, so that
nothing is on its way.  Then the epoch's messages are forgotten, and who comes
later comes from nowhere.

Losses have a reason that the protocol names, or they are violations.
"""

import collections

FILL = bytes((i * 7 + i // 251 * 13 + i // 65521) & 255
             for i in range(1 << 16)) * 33
ID = 8  # hex digits in front of a payload
LINE = 60  # of MSG or HMSG without its subjects, and CR LF, at most
NEVER = float("inf")


class Violation(AssertionError):
    """natsd did what it must not, or failed to do what it must."""


def split_match(pattern, subject):
    """Whether a subscription's subject matches a message's.  Written from
    the protocol alone; natsd's own matcher walks a trie."""
    want, have = pattern.split(b"."), subject.split(b".")
    if b"" in have:
        return False
    for at, token in enumerate(want):
        if token == b">" and at == len(want) - 1:
            return len(have) > at
        if at >= len(have) or token not in (b"*", have[at]):
            return False
    return len(want) == len(have)


def payload(number, size):
    """What a message of that number and size carries."""
    if size < ID:
        return FILL[number % 4093:number % 4093 + size]
    start = number % 4093
    return b"%08x" % number + FILL[start:start + size - ID]


class Sub:
    """One subscription, from SUB to its end."""

    __slots__ = ("conn", "sid", "pattern", "queue", "sent", "eff",
                 "unsub_sent", "over", "count", "max", "left", "max_asked",
                 "plain")

    def __init__(self, conn, sid, pattern, queue, sent):
        self.conn, self.sid = conn, sid
        self.pattern, self.queue = pattern, queue
        self.plain = queue is None
        self.sent, self.eff = sent, NEVER
        self.unsub_sent = NEVER
        self.over = NEVER  # when it was known that nothing comes any more
        self.count = 0  # deliveries
        self.max = None  # of an UNSUB that was sent
        self.max_asked = NEVER  # when
        self.left = None  # deliveries that are still allowed, once known

    def __repr__(self):
        return "%r sid %s %s%s (SUB at %s, in force %s, UNSUB %s, max %s, " \
            "got %d)" % (
                self.conn, self.sid.decode(), self.pattern.decode(),
                "" if self.plain else " queue " + self.queue.decode(),
                self.sent, self.eff, self.unsub_sent, self.max, self.count)

    def spent(self):
        return self.left is not None and self.left <= 0


class Msg:
    """One message, until its epoch is closed."""

    __slots__ = ("id", "pub", "subject", "reply", "header", "size", "sent",
                 "conf", "interest", "got", "asks", "refused", "acked")

    def __init__(self, number, pub, subject, reply, header, size, sent,
                 interest):
        self.id, self.pub = number, pub
        self.subject, self.reply = subject, reply
        self.header, self.size = header, size
        self.sent, self.conf = sent, NEVER
        self.interest = interest
        self.got = []
        self.asks = False  # for a 503
        self.refused = None  # True: 503 came; False: cannot come any more
        self.acked = not pub.verbose

    def __repr__(self):
        return "message %08x of %r on %s (%d bytes, sent at %s, PONG at %s)" \
            % (self.id, self.pub, self.subject.decode(), self.size,
               self.sent, self.conf)


class Interest:
    """Who was subscribed to a subject, as known at one moment."""

    __slots__ = ("version", "plain", "groups", "share", "must")

    def __init__(self, version, subs):
        self.version = version
        self.plain = [sub for sub in subs if sub.plain]
        self.groups = {}
        for sub in subs:
            if not sub.plain:
                self.groups.setdefault(sub.queue, []).append(sub)
        # What each connection may expect of a message.
        self.share = collections.Counter(sub.conn for sub in self.plain)
        for members in self.groups.values():
            for sub in members:
                self.share[sub.conn] += 1 / len(members)
        self.must = {}

    def of(self, conn):
        """The subscriptions of one connection."""
        if conn not in self.share:
            return ()
        return [sub for subs in (self.plain, *self.groups.values())
                for sub in subs if sub.conn is conn]


class Account:
    """Sums over all epochs."""

    def __init__(self):
        self.n = collections.Counter()
        self.lost = collections.Counter()

    def __getitem__(self, key):
        return self.n[key]

    def add(self, key, count=1):
        self.n[key] += count

    def lose(self, reason, count=1):
        self.lost[reason] += count


class Judge:
    """Knows all subscriptions and the messages of this epoch."""

    def __init__(self, half_ring=NEVER):
        self.clock = 0
        self.version = 0
        self.number = 0
        self.first = 1  # number of this epoch's first message
        self.msgs = {}
        self.patterns = {}  # pattern -> its Subs, those gone in this epoch too
        self.subjects = {}  # subject -> patterns that match it
        self.known = {}  # (pattern, subject) -> bool
        self.interests = {}
        self.gone = []  # Subs that end with this epoch
        self.shaky = {}  # queue -> since when a member may refuse
        self.half_ring = half_ring
        self.account = Account()
        self.drops_allowed = False  # no_fast_producer_stall
        self.strangers = False  # whether others publish too
        self.trouble = False  # a worker stood still or died in this epoch
        self.trail = collections.deque(maxlen=40)  # told if all goes wrong

    def tick(self):
        self.clock += 1
        return self.clock

    def note(self, text, *args):
        self.trail.append("%d: %s" % (self.clock, text % args))

    def fail(self, text, *args):
        raise Violation(text % args if args else text)

    # subscriptions

    def match(self, pattern, subject):
        key = (pattern, subject)
        found = self.known.get(key)
        if found is None:
            if len(self.known) > 400000:
                self.known.clear()
            found = self.known[key] = split_match(pattern, subject)
        return found

    def subscribe(self, conn, sid, pattern, queue):
        sub = Sub(conn, sid, pattern, queue, self.tick())
        subs = self.patterns.get(pattern)
        if subs is None:
            subs = self.patterns[pattern] = []
            for subject, found in self.subjects.items():
                if self.match(pattern, subject):
                    found.append(pattern)
        subs.append(sub)
        conn.sids[sid] = sub
        if queue is not None and not conn.echo:
            self.shake(queue)
        self.version += 1
        return sub

    def shake(self, queue):
        """From now on a member may refuse, and a message be passed on."""
        self.shaky.setdefault(queue, self.clock)

    def in_force(self, sub):
        """SUB was answered."""
        sub.eff = self.tick()
        self.version += 1

    def limit(self, sub, most):
        """UNSUB with a maximum was sent."""
        sub.max, sub.max_asked = most, min(sub.max_asked, self.tick())
        if sub.queue is not None:
            self.shake(sub.queue)
        self.version += 1

    def limited(self, sub, most):
        """... and answered: so many may still come."""
        if sub.max == most:
            sub.left = max(0, most - sub.count)
            if sub.left == 0:
                self.over(sub)

    def unsubscribe(self, sub):
        """UNSUB was sent."""
        if sub.unsub_sent == NEVER:
            sub.unsub_sent = self.tick()
            if sub.queue is not None:
                self.shake(sub.queue)
            self.version += 1

    def over(self, sub):
        """Nothing may come any more for that sid: it is free again."""
        if sub.conn.sids.get(sub.sid) is sub:
            del sub.conn.sids[sub.sid]
            sub.conn.free.append(sub.sid)
        sub.over = self.tick()
        self.gone.append(sub)
        self.version += 1

    def conn_lost(self, conn):
        """The connection is no more; what natsd knows of that is unclear
        until conn.ghost is False."""
        conn.lost = self.tick()
        self.note("%r has ended", conn)
        for sub in conn.sids.values():
            if sub.queue is not None:
                self.shake(sub.queue)
        self.version += 1

    def leaves(self, conn):
        """It is about to close: members of groups that refuse."""
        self.note("%r leaves", conn)
        for sub in conn.sids.values():
            if sub.queue is not None:
                self.shake(sub.queue)

    def conn_forgotten(self, conn):
        """At the end of an epoch: natsd has forgotten it."""
        for sub in conn.sids.values():
            sub.over = self.tick()
            self.gone.append(sub)
        conn.sids = {}
        self.version += 1

    def interest(self, subject):
        """Who might get a message that is sent now."""
        found = self.interests.get(subject)
        if found is not None and found.version == self.version:
            return found
        patterns = self.subjects.get(subject)
        if patterns is None:
            patterns = [p for p in self.patterns if self.match(p, subject)]
            self.subjects[subject] = patterns
        found = Interest(self.version, [
            sub for p in patterns for sub in self.patterns[p]
            if sub.over == NEVER and not (sub.plain and sub.conn.lost)])
        self.interests[subject] = found
        return found

    # messages

    def publish(self, conn, subject, reply, header, size, interest, sent):
        self.number += 1
        msg = Msg(self.number, conn, subject, reply, header, size, sent,
                  interest)
        self.msgs[self.number] = msg
        return msg

    def find(self, body, reply, conn, what):
        """The message that is told by the payload or, if that is too short,
        by the reply."""
        try:
            if len(body) >= ID:
                number = int(body[:ID], 16)
            else:
                number = int(reply[reply.rindex(b".") + 1:], 16)
        except (ValueError, AttributeError, TypeError):
            self.fail("%r: a message that nobody sent: %r %r", conn, what,
                      bytes(body[:40]))
        msg = self.msgs.get(number)
        if msg is None:
            self.fail("%r: message %08x came %s: %r", conn, number,
                      "after its epoch was closed" if number < self.first
                      else "that nobody sent", what)
        return msg

    def arrived(self, conn, line, subject, sid, reply, header, body):
        """A MSG or HMSG."""
        sub = conn.sids.get(sid)
        if sub is None:
            self.fail("%r: sid %r is not one of its: %r", conn, sid, line)
        if subject not in self.subjects and self.strangers:
            if not self.match(sub.pattern, subject):
                self.fail("%r does not match, but got %r", sub, line)
            self.account.n["from strangers"] += 1
            self.count(sub, line)
            return
        msg = self.find(body, reply, conn, line)
        size = msg.size
        if msg.subject != subject or msg.reply != reply:
            self.fail("%r: %r is not what was sent: %r, reply %r", conn, line,
                      msg, msg.reply)
        if header != (msg.header if conn.headers else None):
            self.fail("%r: header %r, expected %r: %r", conn, header,
                      msg.header, msg)
        if len(body) != size or body[ID:] != \
                (FILL[msg.id % 4093:msg.id % 4093 + size - ID]
                 if size >= ID else payload(msg.id, size)[ID:]):
            self.fail("%r: payload of %r was damaged (%d bytes)", conn, msg,
                      len(body))
        if (sub.pattern, subject) not in self.known or \
                not self.known[sub.pattern, subject]:
            if not self.match(sub.pattern, subject):
                self.fail("%r does not match, but got %r", sub, msg)
        pub = msg.pub
        if pub is conn:
            self.own_arrived(conn, sub, msg)
        elif msg.conf < sub.sent:
            # What a group's member refuses is passed on, and finds whoever
            # is a member then.
            if sub.queue not in self.shaky:
                self.fail("%r was confirmed before SUB of %r", msg, sub)
            self.account.n["passed on to a later member"] += 1
        got = msg.got
        queue = sub.queue
        for other in got:
            if other is sub:
                self.fail("%r came twice to %r", msg, sub)
            if queue is not None and other.queue == queue:
                self.fail("%r came to two members of a group: %r and %r",
                          msg, other, sub)
        if msg.refused:
            self.fail("%r was answered by 503, but came to %r", msg, sub)
        got.append(sub)
        if queue is None or queue not in self.shaky:
            last = conn.last
            if last.get(pub, 0) > msg.id:
                self.fail("%r: out of order: %r after %08x, by %r", conn, msg,
                          last[pub], sub)
            last[pub] = msg.id
        self.count(sub, msg)
        conn.backlog -= size + 40

    def count(self, sub, what):
        """One more, towards its maximum."""
        sub.count += 1
        if sub.left is not None:
            sub.left -= 1
            if sub.left < 0:
                self.fail("%r got more than its maximum: %r", sub, what)
            if sub.left == 0:
                self.over(sub)

    def own_arrived(self, conn, sub, msg):
        """Lines of one connection have one order."""
        if not conn.echo:
            self.fail("%r: has echo off but got its own %r", conn, msg)
        if sub.sent > msg.sent and sub.queue in self.shaky:
            # Passed on by another worker, back to here.
            self.account.n["passed on to a later member"] += 1
        elif sub.sent > msg.sent or sub.unsub_sent < msg.sent:
            self.fail("%r: own %r came to %r, not subscribed at that line",
                      conn, msg, sub)
        if not msg.acked:
            self.fail("%r: own %r before its +OK", conn, msg)
        if msg.conf != NEVER and (sub.plain or sub.queue not in self.shaky):
            self.fail("%r: own %r after its PONG", conn, msg)

    def no_responders(self, conn, line, sid, reply, header, expected):
        """A 503; expected: the messages that it may belong to now."""
        msg = self.find(b"", reply, conn, line)
        if msg.pub is not conn or msg not in expected:
            self.fail("%r: a 503 at the wrong place: %r for %r", conn, line,
                      msg)
        if msg.refused is not None:
            self.fail("%r: a second 503: %r for %r", conn, line, msg)
        if msg.got:
            self.fail("%r: a 503 for what came to %r: %r", conn, msg.got[0],
                      msg)
        want = b"NATS/1.0 503\r\nNats-Subject: %s\r\n\r\n" % msg.subject
        if header != want or msg.reply != reply:
            self.fail("%r: 503 with %r, expected %r: %r", conn, header, want,
                      msg)
        sub = conn.sids.get(sid)
        if sub is None or not sub.plain or not self.match(sub.pattern, reply):
            self.fail("%r: 503 to sid %r: %r", conn, sid, msg)
        msg.refused = True

    # the end of an epoch

    def certain(self, sub, msg):
        """In force for certain when natsd took the message."""
        if sub.conn is msg.pub:
            return sub.conn.echo and sub.sent < msg.sent < sub.unsub_sent
        return sub.eff < msg.sent and (sub.unsub_sent == NEVER or
                                       msg.conf < sub.unsub_sent)

    def possible(self, sub, msg):
        """Perhaps in force then.  (One that is over is in self.gone.)"""
        if sub.conn is msg.pub:
            return sub.conn.echo and sub.sent < msg.sent < sub.unsub_sent
        return sub.sent < msg.conf and msg.sent < sub.over

    def obliged(self, msg):
        """Plain subscriptions that must have it, and groups of which one
        member must; both without those that have an excuse.  The same for
        all messages of a publisher under the same interest unless somebody
        of it changed meanwhile."""
        interest = msg.interest
        key = (msg.pub, self.version)
        found = interest.must.get(key)
        if found is None:
            calm = all(self.calm(sub) for sub in interest.plain) and \
                all(self.calm(sub) for subs in interest.groups.values()
                    for sub in subs) and not msg.pub.lost
            if not calm:
                found = False
            else:
                plain = {sub for sub in interest.plain
                         if self.certain(sub, msg)}
                queues = [queue for queue, subs in interest.groups.items()
                          if any(self.certain(sub, msg) for sub in subs)]
                found = (plain, queues)
            interest.must[key] = found
        return found

    def calm(self, sub):
        """It has no excuse."""
        return sub.max is None and sub.unsub_sent == NEVER and \
            not sub.conn.lost and not self.may_skip(sub)

    def most_due(self, conn, last):
        """The most bytes that may have waited for one that has ended, when the
        last message sent was that one: all that may have come, and had not."""
        total = 0
        for msg in self.msgs.values():
            if msg.id > last:
                break
            subs = set(self.interest(msg.subject).of(conn))
            subs.update(msg.interest.of(conn))
            subs.difference_update(msg.got)
            total += len(subs) * (LINE + len(msg.subject) + msg.size +
                                  len(msg.reply or b"") +
                                  len(msg.header or b""))
        return total

    def missing(self):
        """Messages that have not come to all who must have them, when it
        might be that they are still passed on."""
        return [msg for msg in self.msgs.values()
                if not self.settle_fast(msg) and self.lacks(msg)]

    def settle_fast(self, msg):
        must = self.obliged(msg)
        if not must:
            return False
        plain, queues = must
        got = msg.got
        if len(got) != len(plain) + len(queues) or not plain.issubset(got):
            return False
        return not queues or all(any(sub.queue == queue for sub in got)
                                 for queue in queues)

    def lacks(self, msg):
        """Groups that owe a message."""
        if msg.conf == NEVER:
            return False
        for queue, subs in msg.interest.groups.items():
            if any(sub.queue == queue for sub in msg.got):
                continue
            if any(self.certain(sub, msg) and self.calm(sub) for sub in subs):
                return True
        return False

    def close_epoch(self):
        """Everything is quiet: who lacks something without a reason?"""
        account, holes = self.account, {}
        for msg in self.msgs.values():
            account.n["messages"] += 1
            if msg.asks:
                self.judge_503(msg)
            if msg.conf != NEVER and self.settle_fast(msg):
                count = len(msg.got)
                account.n["due"] += count
                account.n["delivered"] += count
                if not count and not msg.refused:
                    account.n["no interest"] += 1
                continue
            self.settle(msg, holes)
        self.first = self.number + 1
        self.msgs = {}
        self.interests = {}
        touched = set()
        for sub in self.gone:
            subs = self.patterns[sub.pattern]
            if sub in subs:
                subs.remove(sub)
            touched.add(sub.pattern)
        self.gone = []
        for pattern in touched:
            if not self.patterns[pattern]:
                del self.patterns[pattern]
        if touched:
            self.subjects = {}
        self.version += 1
        self.shaky = {}
        for subs in self.patterns.values():
            for sub in subs:
                if sub.queue is not None and (
                        sub.max is not None or not sub.conn.echo or
                        sub.conn.lost):
                    self.shaky[sub.queue] = self.clock

    def settle(self, msg, holes):
        """One message in detail."""
        account, got = self.account, msg.got
        confirmed = msg.conf != NEVER
        if not confirmed:
            if not msg.pub.lost:
                self.fail("%r: no PONG in all the epoch", msg)
            account.n["unconfirmed"] += 1
        members = {}
        for sub in msg.interest.plain:
            if not self.possible(sub, msg):
                continue
            has = sub in got
            if not self.certain(sub, msg):
                account.n["in between, delivered" if has else
                          "in between, not delivered"] += 1
                continue
            account.n["due"] += 1
            if has:
                account.n["delivered"] += 1
                if (sub, msg.pub) in holes and not self.may_skip(sub):
                    self.fail("%r came to %r, but %r before it did not", msg,
                              sub, holes[sub, msg.pub])
                continue
            account.lose(self.excuse(sub, msg))
            holes.setdefault((sub, msg.pub), msg)
        for queue, subs in msg.interest.groups.items():
            members[queue] = subs
            self.settle_group(msg, queue, subs)
        known = set(msg.interest.plain)
        for sub in got:
            if sub.plain and sub not in known:
                account.n["in between, delivered"] += 1
            if not sub.plain and sub.queue not in members:
                account.n["in between, delivered"] += 1
        if not got and not msg.refused and not members and not \
                msg.interest.plain:
            account.n["no interest"] += 1

    def flooded(self, conn):
        """Whether it may have got what strangers send, of which nobody knows
        how much it is."""
        return self.strangers and any(
            sub.conn is conn and sub.pattern.startswith(b"*")
            for subs in self.patterns.values() for sub in subs)

    def may_skip(self, sub):
        conn = sub.conn
        return self.drops_allowed and (
            conn.swamped or not conn.brisk or self.flooded(conn))

    def excuse(self, sub, msg):
        """Why it is right that a subscription in force did not get it."""
        if msg.conf == NEVER:
            return "publisher's connection lost before its PONG"
        if sub.conn.lost:
            return sub.conn.why or "connection lost"
        if sub.spent() and sub.max_asked < msg.conf:
            return "limit of UNSUB reached"
        if self.may_skip(sub):
            return "dropped for a slow reader (no_fast_producer_stall)"
        self.fail("%r did not get %r", sub, msg)

    def settle_group(self, msg, queue, subs):
        account = self.account
        taker = next((sub for sub in msg.got if sub.queue == queue), None)
        maybe = [sub for sub in subs if self.possible(sub, msg)]
        if taker is None and not maybe:
            return
        owing = [sub for sub in maybe if self.certain(sub, msg) and
                 sub.max is None]
        if not owing:
            account.n["in between, delivered" if taker else
                      "in between, not delivered"] += 1
            return
        account.n["due"] += 1
        if taker is not None:
            account.n["delivered"] += 1
            return
        if msg.conf == NEVER:
            account.lose("publisher's connection lost before its PONG")
            return
        # Who came later may have been chosen too.
        maybe = [sub for pattern in self.subjects.get(msg.subject, ())
                 for sub in self.patterns[pattern]
                 if sub.queue == queue and self.possible(sub, msg)]
        lost = [sub for sub in maybe if sub.conn.lost]
        if lost:
            account.lose("connection of a queue member lost" if not
                         lost[0].conn.why else lost[0].conn.why)
            return
        if any(self.may_skip(sub) for sub in maybe):
            account.lose("dropped for a slow reader (no_fast_producer_stall)")
            return
        if queue in self.shaky and msg.size + len(msg.header or b"") + \
                400 > self.half_ring:
            account.lose("too large to be passed on within a queue group")
            return
        if queue in self.shaky and self.trouble:
            # A drain waits for nobody: what does not fit into its queue
            # while a worker stands still is dropped, and counted.
            account.lose("passed on to a worker that stood still")
            return
        self.fail("%r: nobody of group %s got it; members: %s", msg,
                  queue.decode(), "; ".join(map(repr, maybe)))

    def judge_503(self, msg):
        """A 503 is due if nobody took it, and only then."""
        account = self.account
        account.n["requests"] += 1
        if msg.refused:
            account.n["503 received"] += 1
            takers = [sub for sub in msg.interest.plain
                      if self.certain(sub, msg) and self.calm(sub)]
            for subs in msg.interest.groups.values():
                takers += [sub for sub in subs if self.certain(sub, msg) and
                           self.calm(sub)]
            if takers:
                self.fail("503 for %r, though there was %r", msg, takers[0])
            return
        if msg.got or msg.conf == NEVER:
            return
        maybe = [sub for pattern in self.subjects.get(msg.subject, ())
                 for sub in self.patterns[pattern] if self.possible(sub, msg)]
        # A worker that dies counts as having taken it, and the duty to
        # answer lapses when several groups are passed on.
        if any(sub.conn.lost or self.may_skip(sub) for sub in maybe) or \
                maybe and self.trouble or \
                len({sub.queue for sub in maybe if not sub.plain}) > 1:
            account.n["503 not due for certain"] += 1
            return
        self.fail("no 503 for %r, though nobody got it; on their way then: "
                  "%s", msg, "; ".join(map(repr, maybe)) or "nobody")
