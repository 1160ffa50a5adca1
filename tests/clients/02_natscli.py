#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The nats command line tool: each command is a connection of its own."""

import re
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
from clients import (  # noqa: E402
    BEHAVIOURS, Broker, Failure, Shell, check, equal, main, nats_tool,
    wait_for)

SUBSCRIBERS = 3
PUBLISHERS = 3


def subscribe(shell, subject, *args):
    before = len(shell.broker.log())
    tools = [shell.start("sub", subject, *args) for _ in range(SUBSCRIBERS)]
    shell.in_force(subject, SUBSCRIBERS, before)
    return tools


def exchange(shell, subject, tools):
    """Several publish; each subscriber gets all, those of one in order."""
    publishers = [shell.start("pub", subject, "%d {{Count}}" % n, "--count",
                              "20", "--templates", "--quiet")
                  for n in range(PUBLISHERS)]
    for tool in publishers:
        tool.end()
    for tool in tools:
        # it may also have said that it was disconnected
        lines = [line for line in tool.end()
                 if re.fullmatch(r"\d \d+", line)]
        equal(len(lines), 20 * PUBLISHERS, "messages")
        for n in range(PUBLISHERS):
            equal([line for line in lines if line.startswith("%d " % n)],
                  ["%d %d" % (n, i) for i in range(1, 21)], "messages")


def publish_subscribe(shell):
    exchange(shell, "all", subscribe(shell, "all", "--raw", "--count",
                                     str(20 * PUBLISHERS)))


def wildcards(shell):
    for pattern, subjects in (
            ("wild.*.c", ["wild.a.c", "wild.b.c", "wild.end.c"]),
            ("wild.>", ["wild.a", "wild.a.c", "wild.b.c", "wild.a.b.c",
                        "wild.end.c"])):
        tools = subscribe(shell, pattern, "--subjects-only", "--count",
                          str(len(subjects)))
        for subject in ("wild", "wild.a", "wild.a.c", "wild.b.c",
                        "wild.a.b.c", "other.a.c", "wild.end.c"):
            shell.run("pub", subject, "x")
        for tool in tools:
            equal(re.findall(r'"([\w.]+)"', "\n".join(tool.end())),
                  subjects, "subjects")


def queue_groups(shell):
    tools = subscribe(shell, "jobs", "--raw", "--queue", "group")
    shell.run("pub", "jobs", "job {{Count}}", "--count", "100",
              "--templates", "--quiet")
    wait_for(lambda: sum(len(tool.lines()) for tool in tools) >= 100,
             "all messages")
    shell.run("request", "barrier", "x", status=None)
    equal(sorted(line for tool in tools for line in tool.lines()),
          sorted("job %d" % n for n in range(1, 101)), "messages")
    for tool in tools:
        check(tool.lines(), "one member got nothing")


def request_reply(shell):
    shell.start("reply", "service", "answer {{Request}}")
    shell.in_force("service", 1)
    for n in range(5):
        equal(shell.run("request", "service", "question %d" % n, "--raw"),
              ["answer question %d" % n], "reply")


def headers(shell):
    tools = subscribe(shell, "headed", "--count", "2")
    for _ in range(2):
        shell.run("pub", "headed", "the body", "-H", "Colour:red",
                  "-H", "Colour:dark green", "-H", "X-Number:17")
    for tool in tools:
        lines = tool.end()
        for line in ("Colour: red", "Colour: dark green", "X-Number: 17",
                     "the body"):
            equal(lines.count(line), 2, "times %r in %r" % (line, lines))


def nobody(shell, subject):
    said = "\n".join(shell.run("request", subject, "x", status=None))
    check("No responders" in said, "a request says %r", said)


def no_responders(shell):
    for _ in range(3):
        nobody(shell, "nobody.there")


def large_payload(shell):
    data = b"0123456789abcdef" * (1 << 16)
    tools = subscribe(shell, "large", "--raw", "--count", str(PUBLISHERS))
    with tempfile.TemporaryFile() as file:
        file.write(data)
        for _ in range(PUBLISHERS):
            file.seek(0)
            shell.start("pub", "large", "--force-stdin", "--quiet",
                        stdin=file).end()
    for tool in tools:
        tool.end()
        equal(tool.output.split(), [data] * PUBLISHERS, "payloads")


def drain(shell):
    """One replier after the other is interrupted and drains; requests are
    answered as long as there is one."""
    tools = [shell.start("reply", "drained", "here") for _ in range(2)]
    shell.in_force("drained", 2)
    for tool in tools:
        equal(shell.run("request", "drained", "x", "--raw", "--count", "20"),
              ["here"] * 20, "replies")
        tool.interrupt()
        check("Draining" in "\n".join(tool.end(status=None)),
              "it does not drain")
    nobody(shell, "drained")


def come_back(shell, cut):
    """The subscriptions of those whose connection is cut return."""
    broker = shell.broker
    tools = subscribe(shell, "back", "--raw", "--count",
                      str(20 * PUBLISHERS))
    before = len(broker.log())
    shell.in_force("back", cut(tools), before)
    exchange(shell, "back", tools)


def worker_killed(shell):
    def cut(tools):
        broker = shell.broker
        serving = [broker.serving(tool.proc.pid) for tool in tools]
        broker.kill_worker(tools[0].proc.pid)
        return serving.count(serving[0])
    come_back(shell, cut)


def server_restarted(shell):
    def cut(tools):
        shell.broker.restart()
        return len(tools)
    come_back(shell, cut)


def build(place):
    tool = nats_tool(place)

    def one(workers):
        broker = Broker(workers, {"trace": True, "max_traced_msg_len": 32})
        shell = Shell(tool, broker)
        bad = 0
        try:
            for name in BEHAVIOURS:
                try:
                    globals()[name.replace("-", "_")](shell)
                    print("  ok " + name, flush=True)
                except (Failure, OSError, subprocess.SubprocessError) as e:
                    print("  not ok %s - %s" % (name, e), flush=True)
                    bad += 1
                shell.stop()
            broker.finish()
            check(not bad, "%d behaviours are not ok", bad)
        finally:
            shell.stop()
            broker.kill()
            broker.remove()
    return one


if __name__ == "__main__":
    sys.exit(main("nats", "natscli", build))
