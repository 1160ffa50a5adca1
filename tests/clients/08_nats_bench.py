#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""nats bench: ten subscribers, each of whom gets all that ten publish."""

import re
import sys

sys.dont_write_bytecode = True
from clients import (  # noqa: E402
    SLOW, Broker, Shell, check, equal, main, nats_tool)

CLIENTS = 10
EACH = 10000
SIZE = 16


def bench(shell, broker):
    numbers = ["--clients", str(CLIENTS), "--msgs", str(CLIENTS * EACH),
               "--size", "%dB" % SIZE, "--no-progress"]
    subscribers = shell.start("bench", "sub", "numbers", *numbers)
    shell.in_force("numbers", CLIENTS)
    broker.reload({"listen": ["127.0.0.1:%d" % broker.port]})
    publishers = shell.start("bench", "pub", "numbers", *numbers)
    for tool in publishers, subscribers:
        said = "\n".join(tool.end(120 * SLOW))
        print(said)
        check(not re.search(r"(?i)error|slow consumer|disconnect", said),
              "nats bench complains")
        equal(len(re.findall(r"\[\d+\] [\d,]+ msgs/sec", said)), CLIENTS,
              "clients that finished")


def build(place):
    tool = nats_tool(place)

    def one(workers):
        # The trace tells that all have subscribed and is off from then on.
        broker = Broker(workers, {"trace": True})
        shell = Shell(tool, broker)
        try:
            bench(shell, broker)
            broker.finish()
        finally:
            shell.stop()
            broker.kill()
            broker.remove()
    return one


if __name__ == "__main__":
    sys.exit(main("nats bench", "natscli", build))
