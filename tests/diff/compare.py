# SPDX-License-Identifier: BSD-2-Clause
"""What two servers answered, made comparable and compared.

Left open by the protocol, and taken out of what is compared:
  the order of the copies of one message on one connection;
  which member of a queue group gets a message, and so where it stands;
  the order of messages of different connections between two steps;
  which of several subscriptions to the reply a 503 is for.
"""

from collections import Counter

import allowed


class Stream:
    """What one connection received, in a form that can be compared."""

    def __init__(self, plan, conn, taken, theirs, note):
        self.events, rest, self.end = taken
        self.plan, self.conn, self.theirs = plan, conn, theirs
        self.note = note
        self.events = list(self.events)
        if rest:
            self.events.append(("rest", rest))
        self.pool = Counter()
        self.wrong = []
        self.windows()
        if theirs:
            self.events = [event for event in self.events
                           if not self.newer(event)]
            self.drop_hidden()
            self.events = [self.as_ours(event) for event in self.events]
        else:
            self.events = [self.checked(event) for event in self.events]
        self.events = [self.labelled(event) for event in self.events]
        self.take_pool()

    # nats-server's

    @staticmethod
    def newer(event):
        """What 2.9 does not say yet: INFO behind the first PONG (2.12), and
        events of the server in the account of its clients."""
        return (event[0].startswith("INFO ") and
                '"connect_info":true' in event[0]) or \
            event[:2] == ("MSG", b"$SYS.ACCOUNT.CLIENT.AUTH.ERR")

    def drop_hidden(self):
        """What it answered to what natsd has not been told."""
        kept = []
        pongs = 0
        hidden = dict(self.plan.grammars[self.conn].hidden)
        until = None
        for event in self.events:
            if event == ("PONG",):
                if pongs in hidden:
                    until = hidden[pongs]
                elif pongs == until:
                    until = None
                    pongs += 1
                    continue
                pongs += 1
            if until is None:
                kept.append(event)
            elif event not in (("PONG",), ("+OK",)):
                self.wrong.append("hidden %r" % (event,))
        self.events = kept

    def as_ours(self, event):
        if event[0] == "-ERR":
            return "-ERR", allowed.reserved_nrg_error(event[1])
        if event[0] != "MSG":
            return event
        _, subject, sid, reply, header, payload, sizes = event
        if not all(allowed.canonical(size) for size in sizes):
            self.note("D05")
        if header and reply is None and self.answers(subject) and \
                allowed.status(header, payload):
            return "503", subject, reply
        return "MSG", subject, sid, reply, header, payload

    # natsd's

    def checked(self, event):
        if event[0] != "MSG":
            return event
        _, subject, sid, reply, header, payload, sizes = event
        if not all(allowed.canonical(size) for size in sizes):
            self.wrong.append("size %r" % (sizes,))
        named = allowed.status_subject(header, payload) if header else None
        if named is None or not self.asked(named, subject):
            return "MSG", subject, sid, reply, header, payload
        self.note("D01")
        return "503", subject, reply

    def asked(self, subject, reply):
        return (subject, reply) in self.plan.grammars[self.conn].requests

    def answers(self, reply):
        return any(reply == other for _, other in
                   self.plan.grammars[self.conn].requests)

    # both

    def labelled(self, event):
        if event[0] != "MSG":
            return event
        label = self.plan.labels.get((self.conn, event[2]))
        if label is None:
            return event
        return ("QMSG", event[1], label) + event[3:]

    def take_pool(self):
        """Messages that may as well go to another connection."""
        kept = []
        for event in self.events:
            if event[0] == "QMSG" and event[2] in self.plan.spread:
                # A member without headers gets none.
                self.pool[event[:4] + event[5:]] += 1
            else:
                kept.append(event)
        self.events = kept

    def windows(self):
        """Numbers of PONGs behind which messages of several connections
        may be mixed."""
        self.mixed = set()
        for step in self.plan.steps:
            if step.conn == self.conn and len(step.others) > 1:
                self.mixed.add(self.before(step))
        if len(self.plan.others[self.conn]) > 1:
            self.mixed.add(None)

    def before(self, step):
        """PONGs that this connection had seen when the step began."""
        count = 0
        for other in self.plan.steps:
            if other is step:
                return count
            if other.conn == self.conn:
                count = other.pongs
        return count

    def ordered(self):
        """The events, those without order sorted."""
        made = []
        group = []
        pongs = 0
        last = self.plan.grammars[self.conn].pongs

        def flush():
            mixed = pongs in self.mixed or \
                (None in self.mixed and pongs == last)
            made.extend(sort_messages(group, mixed))
            group.clear()

        for event in self.events:
            if event[0] in ("MSG", "QMSG"):
                group.append(event)
                continue
            flush()
            made.append(event)
            pongs += event == ("PONG",)
        flush()
        return made


def sort_key(event):
    return tuple(b"" if part is None else part for part in event[1:]), \
        event[0], tuple(part is None for part in event)


def sort_messages(group, mixed):
    """Messages with nothing else between them."""
    if mixed:
        return sorted(group, key=sort_key)
    made = []
    same = []
    for event in group:
        if same and (same[0][1], same[0][3:]) != (event[1], event[3:]):
            made.extend(sorted(same, key=sort_key))
            same = []
        same.append(event)
    return made + sorted(same, key=sort_key)


def run_of(events, at):
    """How many of the error that may be doubled follow each other there."""
    end = at
    while end < len(events) and events[end] == allowed.TWICE:
        end += 1
    return end - at


def once(theirs, ours, note):
    """Take doubled errors out of theirs, where ours has one."""
    if theirs == ours or allowed.TWICE not in theirs:
        return theirs
    made = []
    at = 0
    while at < len(theirs):
        count = run_of(theirs, at)
        want = run_of(ours, len(made))
        if want < count <= 2 * want:
            note("D06")
            made += [allowed.TWICE] * want
        else:
            made += theirs[at:at + max(count, 1)]
        at += max(count, 1)
    return made


def overtaken(theirs, ours, streams):
    """Whether their reset has overtaken the last that they sent (D18)."""
    if (streams[0].end, streams[1].end) != ("reset", "eof"):
        return False
    whole = [event for event in theirs if event[0] != "rest"]
    return whole == ours[:len(whole)]


def compare_ends(theirs, ours, note):
    """How the two connections ended; what is wrong, or ""."""
    if ours == theirs:
        return ""
    if theirs == "reset" and ours == "eof":
        note("D18")
        return ""
    return "ends by %s, expected %s" % (ours, theirs)


class Outcome:
    """The comparison of two results of one plan."""

    def __init__(self, plan, theirs, ours):
        self.wrong = []
        self.used = set()
        self.overtaken = False
        pools = [Counter(), Counter()]
        if theirs.info and ours.info:
            bad = allowed.compare_info(theirs.info, ours.info, self.used.add)
            if bad:
                self.wrong.append(bad)
        for conn in plan.grammars:
            streams = []
            for number, result in enumerate((theirs, ours)):
                taken = result.wires.get(conn, ([], b"", "none"))
                stream = Stream(plan, conn, taken, number == 0, self.used.add)
                streams.append(stream)
                pools[number] += stream.pool
                self.wrong += ["%s of %s: %s" % (
                    ("nats-server", "natsd")[number], conn, text)
                    for text in stream.wrong]
            self.streams(conn, streams)
        if pools[0] != pools[1] and not (self.overtaken and
                                         not pools[0] - pools[1]):
            self.wrong.append("queue groups: only nats-server %r, only natsd "
                              "%r" % (list((pools[0] - pools[1]).elements()),
                                      list((pools[1] - pools[0]).elements())))
        for number, result in enumerate((theirs, ours)):
            for text in result.late:
                self.wrong.append("%s: no %s" % (
                    ("nats-server", "natsd")[number], text))
        self.used |= plan.used

    def streams(self, conn, streams):
        theirs, ours = [stream.ordered() for stream in streams]
        theirs = once(theirs, ours, self.used.add)
        if theirs != ours and overtaken(theirs, ours, streams):
            self.overtaken = True
        elif theirs != ours:
            at = 0
            while at < min(len(theirs), len(ours)) and \
                    theirs[at] == ours[at]:
                at += 1
            self.wrong.append(
                "%s, event %d:\n      nats-server %s\n      natsd       %s" %
                (conn, at, show(theirs[at:]), show(ours[at:])))
        bad = compare_ends(streams[0].end, streams[1].end,
                           self.used.add)
        if bad:
            self.wrong.append("%s %s" % (conn, bad))


def show(events, most=600):
    if not events:
        return "nothing more"
    text = repr(events)
    return text if len(text) <= most else text[:most] + "..."
