# SPDX-License-Identifier: BSD-2-Clause
"""Sessions, as they are written down, and what they mean.

    Session("small",
            ("A", b"SUB a 1\\r\\n"),
            ("B", b"PUB a 1\\r\\n", b"x\\r\\n"),
            ("B", CLOSE))

A session has a configuration and steps.  A step is what one connection sends,
in one or more pieces, while the others are silent; or OPEN, or CLOSE (the
connection shuts down its sending side and waits for the end).  Where a PING
can be sent at the end of a step, the harness sends one and waits for the PONG;
where the step ends in the middle of a command it is put in front of that.
"""

from grammar import Grammar, Limits, PING

OPEN = "open"
CLOSE = "close"

AUTH = {"timeout": 3600}

CONFIGS = {
    "plain": {},
    "user": {"authorization": dict(AUTH, user="u", password="p")},
    "token": {"authorization": dict(AUTH, token="s3cr3t")},
    "payload": {"max_payload": 16},
    "line": {"max_control_line": 150},
    "subs": {"max_subscriptions": 2},
    "tokens": {"max_subscription_tokens": 3},
    "headers": {"no_header_support": True},
    "connections": {"max_connections": 3},
    "small": {"max_payload": 40, "max_control_line": 160,
              "max_subscriptions": 4, "max_subscription_tokens": 4},
    # The least room between natsd's workers: messages wait, or go in pieces.
    "rings": {"ring_memory": "3MB"},
    # Of the test vectors.
    "K5": {"max_control_line": 64},
    "K7": {"max_connections": 2},
}


class Session:
    def __init__(self, config, *steps, name=""):
        self.config, self.name = config, name
        self.steps = [(step[0], tuple(step[1:])) for step in steps]

    def literal(self):
        lines = ['    Session("%s",' % self.config]
        for conn, pieces in self.steps:
            parts = []
            for piece in pieces:
                parts.append(piece.upper() if isinstance(piece, str)
                             else literal(piece))
            lines.append('            ("%s", %s),' % (conn, ", ".join(parts)))
        return "\n".join(lines)[:-1] + "),"

    def key(self):
        return (self.config, tuple(self.steps))

    def size(self):
        """What shrinking makes smaller."""
        sent = sum(len(piece) for _, pieces in self.steps
                   for piece in pieces if isinstance(piece, bytes))
        cuts = sum(len(pieces) for _, pieces in self.steps)
        return len({conn for conn, _ in self.steps}), len(self.steps), \
            sent, cuts

    def pieces(self):
        return max([len(pieces) for _, pieces in self.steps], default=1)


def literal(data):
    """bytes as Python has them; runs of one byte as a product."""
    run = longest_run(data)
    if run[1] < 60:
        return repr(data)
    at, count = run
    parts = []
    if at:
        parts.append(literal(data[:at]))
    parts.append("%r * %d" % (data[at:at + 1], count))
    if at + count < len(data):
        parts.append(literal(data[at + count:]))
    return " + ".join(parts)


def longest_run(data):
    best = (0, 0)
    at = 0
    while at < len(data):
        end = at
        byte = data[at]
        while end < len(data) and data[end] == byte:
            end += 1
        if end - at > best[1]:
            best = (at, end - at)
        at = end
    return best


class Step:
    """What both servers are to get, and what to wait for."""

    __slots__ = ("conn", "action", "pieces", "theirs", "pongs",
                 "their_pongs", "closed", "others")

    def __init__(self, conn, action, others):
        self.conn, self.action, self.others = conn, action, others
        self.pieces = []
        self.theirs = b""
        self.pongs = self.their_pongs = 0
        self.closed = False


class Plan:
    """A session in terms of Step."""

    def __init__(self, session, limits=None):
        self.session = session
        conf = CONFIGS[session.config]
        self.limits = limits or Limits(conf)
        self.grammars = {}
        self.most = conf.get("max_connections")
        self.steps = []
        self.racy = False  # an error comes at a moment that is left open
        self.unclear = False
        self.others = {}  # by connection: who has spoken since it has
        ended = set()
        for conn, pieces in session.steps:
            if conn in ended:
                continue
            grammar = self.grammars.get(conn)
            if grammar is None:
                grammar = self.grammars[conn] = Grammar(self.limits)
                self.others[conn] = set()
                self.admit(grammar, ended)
            elif grammar.closed:
                continue
            self.add(conn, grammar, pieces)
            if pieces[0] == CLOSE:
                ended.add(conn)
        self.label_queues()

    def admit(self, new, ended):
        """Whether there is room for one more connection."""
        held = [conn for conn, grammar in self.grammars.items()
                if conn not in ended and not grammar.closed]
        if self.most and len(held) > self.most:
            new.close("maximum connections exceeded")

    def add(self, conn, grammar, pieces):
        action = pieces[0] if isinstance(pieces[0], str) else None
        step = Step(conn, action, frozenset(self.others[conn]))
        for other in self.others:
            if other != conn:
                self.others[other].add(conn)
        self.others[conn] = set()
        if grammar.closed:
            pass  # there was no room for it
        elif action is None:
            self.fill(step, grammar, pieces)
        elif action == CLOSE and grammar.rest:
            step.theirs = grammar.rest
        step.pongs, step.their_pongs = grammar.pongs, grammar.their_pongs
        step.closed = grammar.closed
        self.steps.append(step)

    def fill(self, step, grammar, pieces):
        data = b"".join(pieces)
        step.theirs = grammar.feed(data)
        self.racy = self.racy or bool(grammar.rest) and grammar.warned
        self.unclear = self.unclear or grammar.unclear
        if not grammar.closed and grammar.authorized:
            # Where its last command begins, if that is in this step.
            at = len(data) - len(grammar.rest)
            if at >= 0:
                rest, grammar.rest = grammar.rest, b""
                step.theirs += grammar.feed(PING)
                grammar.rest = rest
                pieces = insert(pieces, at, PING)
        step.pieces = pieces

    def label_queues(self):
        """Names of queues that some sid has had both of are one label, since
        it cannot be told what a message to that sid was for."""
        parent = {}

        def root(name):
            while parent.setdefault(name, name) != name:
                name = parent[name]
            return name

        for grammar in self.grammars.values():
            for names in grammar.queues.values():
                names = sorted(names)
                for name in names[1:]:
                    parent[root(name)] = root(names[0])
        self.labels = {}  # (connection, sid): label
        self.members = {}  # label: its (connection, sid)
        for conn, grammar in self.grammars.items():
            for sid, names in grammar.queues.items():
                label = root(min(names))
                self.labels[conn, sid] = label
                self.members.setdefault(label, set()).add((conn, sid))
        self.spread = {label for label, members in self.members.items()
                       if len({conn for conn, _ in members}) > 1}

    @property
    def comparable(self):
        """Whether both must answer the same."""
        return not (self.unstable or self.unclear or
                    (self.racy and len(self.grammars) > 1))

    @property
    def unstable(self):
        """Whether the choice of a queue member changes what comes later: a
        member with a max, and others beside it."""
        return any(len(self.members[self.labels[conn, sid]]) > 1
                   for conn, grammar in self.grammars.items()
                   for sid in grammar.limited
                   if (conn, sid) in self.labels)

    @property
    def used(self):
        found = set()
        for grammar in self.grammars.values():
            found |= grammar.used
        return found


def insert(pieces, at, data):
    """The pieces with data put in at an offset of the whole."""
    made = []
    for piece in pieces:
        if data is not None and at <= len(piece):
            made.append(piece[:at] + data + piece[at:])
            data = None
        else:
            made.append(piece)
        at -= len(piece)
    if data is not None:
        made.append(data)
    return tuple(made)
