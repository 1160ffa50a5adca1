# SPDX-License-Identifier: BSD-2-Clause
"""What all behaviours with nats-py need."""

import asyncio
import sys
import time

import nats
from nats.errors import NoRespondersError

CONNECTIONS = 6
TIMEOUT = 30


class Client:
    """A connection and what has happened to it."""

    def __init__(self):
        self.nc = None
        self.errors = []
        self.cuts = self.reconnects = self.ends = 0

    async def open(self, url, **options):
        async def error(error):
            self.errors.append(error)

        async def cut():
            self.cuts += 1

        async def back():
            self.reconnects += 1

        async def end():
            self.ends += 1

        options = {"max_reconnect_attempts": -1, "reconnect_time_wait": 0.05,
                   **options}
        self.nc = await nats.connect(
            url, error_cb=error, disconnected_cb=cut, reconnected_cb=back,
            closed_cb=end, **options)
        return self

    def reported(self, text):
        """How many errors with that text the library has reported."""
        return sum(text in str(error).lower() for error in self.errors)


async def connect(url=None, **options):
    return await Client().open(url or sys.argv[1], **options)


async def until(condition, what):
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end, f"no {what}"
        await asyncio.sleep(0.005)


async def ask(order):
    """Have the harness do something; its answer."""
    print(order)
    line = await asyncio.get_running_loop().run_in_executor(
        None, sys.stdin.readline)
    return line.strip()


async def nobody(nc, subject):
    try:
        await nc.request(subject, b"", TIMEOUT)
        assert False, f"somebody answers {subject}"
    except NoRespondersError:
        pass


async def flush(conns):
    """The barrier: what went before it on any of these connections is in
    force.  (The PING of this library's flush() overtakes what is buffered.)"""
    for nc in conns:
        await nobody(nc, "barrier")


async def unsubscribe(subs):
    for sub in subs:
        await sub.unsubscribe()
