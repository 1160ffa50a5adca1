#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""nats bench: ten subscribers, each of whom gets all that ten publish; and
ten that ask a service of three."""

import re
import sys

sys.dont_write_bytecode = True
from clients import (  # noqa: E402
    SLOW, Broker, Shell, check, equal, main, nats_tool, put_away)

CLIENTS = 10
EACH = 10000
SIZE = 16
SERVERS = 3
REQUESTS = 500


def finished(tool, rates):
    """It has ended without complaint, and so many have told their rate."""
    said = "\n".join(tool.end(120 * SLOW))
    print(said)
    check(not re.search(r"(?i)error|slow consumer|disconnect", said),
          "nats bench complains")
    equal(len(re.findall(r"\[\d+\] [\d,]+ msgs/sec", said)), rates,
          "clients that finished")


def numbers(clients, each):
    return ["--clients", str(clients), "--msgs", str(clients * each),
            "--size", "%dB" % SIZE, "--no-progress"]


def publish_subscribe(shell):
    subscribers = shell.start("bench", "sub", "numbers",
                              *numbers(CLIENTS, EACH))
    shell.in_force("numbers", CLIENTS)
    shell.broker.reload({})
    publishers = shell.start("bench", "pub", "numbers",
                             *numbers(CLIENTS, EACH))
    finished(publishers, CLIENTS)
    finished(subscribers, CLIENTS)


def service(shell):
    """All requests are answered, each of them once: who asks counts."""
    server = shell.start("bench", "service", "serve", "asked",
                         *numbers(SERVERS, 1))
    shell.in_force("asked", SERVERS)
    shell.broker.reload({})
    asking = shell.start("bench", "service", "request", "asked",
                         *numbers(CLIENTS, REQUESTS))
    finished(asking, CLIENTS)
    equal(len(re.findall(r"\(%s msgs\)" % REQUESTS,
                         "\n".join(asking.lines()))), CLIENTS,
          "clients that had all answers")
    check(not re.search(r"(?i)error|disconnect", server.text()),
          "the service complains:\n%s", server.text())
    server.kill()
    said = "\n".join(shell.run("bench", "service", "request", "asked",
                               *numbers(1, 1), status=1))
    check("no responders" in said, "without a service it says\n%s", said)


def build(place):
    tool = nats_tool(place)

    def one(workers):
        # The trace tells that all have subscribed and is off from then on.
        for bench in publish_subscribe, service:
            with put_away(Broker(workers, {"trace": True})) as broker:
                shell = Shell(tool, broker)
                try:
                    bench(shell)
                finally:
                    shell.stop()
                broker.finish()
    return one


if __name__ == "__main__":
    sys.exit(main("nats bench", "natscli", build))
