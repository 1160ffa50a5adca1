# SPDX-License-Identifier: BSD-2-Clause
"""A session that goes wrong, made as short as it will go."""

import time

from session import Session


def shrink(session, wrong, seconds=40.0, tries=1500):
    """wrong(session) says whether it still goes wrong."""
    state = State(wrong, seconds, tries)
    best = session
    while True:
        before = best.size()
        for attempt in (drop_connections, drop_steps, drop_cuts,
                        drop_commands, drop_bytes, plainer):
            best = attempt(best, state)
        if best.size() >= before or state.over():
            return best


class State:
    def __init__(self, wrong, seconds, tries):
        self.wrong, self.tries = wrong, tries
        self.end = time.monotonic() + seconds
        self.seen = set()

    def over(self):
        return self.tries <= 0 or time.monotonic() > self.end

    def good(self, session):
        """Whether that session may take the place of the one before."""
        key = session.key()
        if self.over() or key in self.seen or not session.steps:
            return False
        self.seen.add(key)
        self.tries -= 1
        try:
            return self.wrong(session)
        except (AssertionError, OSError):
            return False


def having(session, steps):
    made = Session(session.config, name=session.name)
    made.steps = list(steps)
    return made


def drop_connections(session, state):
    for name in sorted({conn for conn, _ in session.steps}):
        less = having(session, [step for step in session.steps
                                if step[0] != name])
        if state.good(less):
            session = less
    return session


def drop_steps(session, state):
    count = max(1, len(session.steps) // 2)
    while count:
        at = 0
        while at < len(session.steps):
            less = having(session, session.steps[:at] +
                          session.steps[at + count:])
            if state.good(less):
                session = less
            else:
                at += count
        count //= 2
    return session


def drop_cuts(session, state):
    whole = having(session, [
        (conn, pieces if isinstance(pieces[0], str) else (b"".join(pieces),))
        for conn, pieces in session.steps])
    if state.good(whole):
        return whole
    for number, (conn, pieces) in enumerate(session.steps):
        at = 1
        while at < len(session.steps[number][1]):
            pieces = session.steps[number][1]
            less = replaced(session, number, pieces[:at - 1] + (
                pieces[at - 1] + pieces[at],) + pieces[at + 1:])
            if state.good(less):
                session = less
            else:
                at += 1
    return session


def replaced(session, number, pieces):
    steps = list(session.steps)
    steps[number] = (steps[number][0], tuple(pieces))
    return having(session, steps)


def drop_commands(session, state):
    """Lines, alone or with the one that follows (a payload)."""
    for number in range(len(session.steps)):
        for count in (8, 4, 2, 1):
            session = drop_lines(session, number, count, state)
    return session


def drop_lines(session, number, count, state):
    piece = 0
    while piece < len(session.steps[number][1]):
        at = 0
        while True:
            pieces = session.steps[number][1]
            if isinstance(pieces[piece], str):
                return session
            lines = pieces[piece].splitlines(keepends=True)
            if at >= len(lines):
                break
            left = b"".join(lines[:at] + lines[at + count:])
            less = replaced(session, number, pieces[:piece] + (left,) +
                            pieces[piece + 1:])
            if (left or len(pieces) > 1) and state.good(less):
                session = less
            else:
                at += 1
        piece += 1
    return session


def drop_bytes(session, state):
    for number in range(len(session.steps)):
        piece = 0
        while piece < len(session.steps[number][1]):
            pieces = session.steps[number][1]
            if isinstance(pieces[piece], str):
                break
            session = drop_runs(session, number, piece, state)
            piece += 1
    return session


def drop_runs(session, number, piece, state):
    count = max(1, len(session.steps[number][1][piece]) // 2)
    while count:
        at = 0
        while at < len(session.steps[number][1][piece]):
            pieces = session.steps[number][1]
            data = pieces[piece]
            left = data[:at] + data[at + count:]
            less = replaced(session, number, pieces[:piece] + (left,) +
                            pieces[piece + 1:])
            if (left or len(pieces) > 1) and state.good(less):
                session = less
            else:
                at += count
        count //= 2
    return session


def plainer(session, state):
    """The usual configuration, if it does as well."""
    if session.config != "plain":
        other = having(session, session.steps)
        other.config = "plain"
        if state.good(other):
            return other
    return session
