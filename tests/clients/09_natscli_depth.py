#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The nats command line tool in depth: what it makes of options, errors and
limits of the server, cut connections, services, measurements."""

import concurrent.futures
import contextlib
import json
import re
import subprocess
import sys
import time

sys.dont_write_bytecode = True
from clients import (  # noqa: E402
    CONFS, ONLY, Extra, Failure, Shell, check, equal, main, nats_tool,
    put_away, wait_for)
from natsdtest import C0  # noqa: E402

MANY = 5000
ALICE = ("--user", "alice", "--password", "s3cr3t pass")


class Setup:
    """Where a behaviour finds its servers."""

    def __init__(self, tool, workers):
        self.tool, self.workers = tool, workers

    @contextlib.contextmanager
    def server(self, conf):
        """A shell for the time that its server runs."""
        with put_away(Extra(self.workers, conf)) as broker:
            shell = Shell(self.tool, broker)
            try:
                yield shell
            finally:
                shell.stop()
            broker.finish()


def subscriber(shell, subject, *args, url=None):
    """One that is in force."""
    before = len(shell.broker.log())
    tool = shell.start("sub", subject, "--raw", *args, url=url)
    shell.in_force(subject, 1, before)
    return tool


def wait_line(tool, line, what=None):
    wait_for(lambda: line in tool.lines(), what or "the line %r" % line)


def fails(shell, why, *args, url=None):
    said = "\n".join(shell.run(*args, status=1, url=url))
    check(why in said, "nats %s says %r", " ".join(args), said)


def connect_options(setup):
    with setup.server("user") as shell:
        tool = subscriber(shell, "a", *ALICE, "--count", "2")
        shell.run("pub", "a", "one", *ALICE)
        shell.run("pub", "a", "two", url=shell.broker.url.replace(
            "//", "//alice:s3cr3t%20pass@"))
        equal(tool.end(), ["one", "two"], "messages")
        for wrong in ([], ["--user", "alice", "--password", "s3cr3t"],
                      ["--user", "bob", "--password", "s3cr3t pass"]):
            fails(shell, "Authorization Violation", "pub", "a", "x", *wrong)
    with setup.server("token") as shell:
        shell.run("pub", "a", "x", "--token", "t0ken")
        fails(shell, "Authorization Violation", "pub", "a", "x",
              "--token", "t0ke")
    with setup.server("trace") as shell:
        broker = shell.broker
        url = "nats://[::1]:%d" % broker.port if broker.ipv6 else None
        tool = subscriber(shell, "a", "--count", "1", url=url)
        shell.run("pub", "a", "x", "--connection-name", "my tool")
        equal(tool.end(), ["x"], "messages")
        equal(broker.logged(1, '"name":"my tool"'), 1, "connections")
    with setup.server("noheaders") as shell:
        shell.run("pub", "a", "x")
        fails(shell, "headers not supported", "pub", "a", "x", "-H", "A:b")


def server_errors(setup):
    with setup.server("limits") as shell:
        for args in (("_GR_.x",), ("a", "--reply", "_R_.x")):
            fails(shell, "Permissions Violation for Publish", "pub", *args,
                  "x")
        fails(shell, "maximum subscriptions exceeded", "sub",
              *("s.%d" % n for n in range(6)))
        wait_for(shell.broker.idle, "all to be gone")
        held = [shell.broker.client(C0) for _ in range(3)]
        for _ in range(3):
            fails(shell, "maximum connections exceeded", "pub", "a", "x")
        for client in held:
            client.close()
        shell.run("pub", "a", "x")


def max_payload(setup):
    with setup.server("small") as shell:
        tool = subscriber(shell, "max", "--count", "2")
        shell.run("pub", "max", "x" * 1000)
        fails(shell, "maximum payload exceeded", "pub", "max", "x" * 1001)
        shell.broker.reload(CONFS["larger"])
        shell.run("pub", "max", "y" * 5000)
        equal(tool.end(), ["x" * 1000, "y" * 5000], "messages")
        shell.broker.reload(CONFS["smaller"])
        fails(shell, "maximum payload exceeded", "pub", "max", "x" * 501)


def slow_consumer(setup):
    """It is cut because nothing takes what the server has for it; when it
    is back it gets messages again."""
    with setup.server("trace") as shell:
        broker = shell.broker
        tool = subscriber(shell, "bulk", url=broker.proxy.url)
        broker.proxy.stall()
        broker.reload(CONFS["slow"])
        shell.run("pub", "bulk", "x" * 60000, "--count", "300", "--quiet")
        check(broker.logged(1, "Slow Consumer Detected"), "never cut")
        broker.reload(CONFS["trace"])
        before = len(broker.log())
        broker.proxy.heal()
        shell.in_force("bulk", 1, before)
        shell.run("pub", "bulk", "again")
        wait_line(tool, "again")
        check(b"Disconnected" in tool.output, "it says nothing")


def ping_timeout(setup):
    """It answers the server's own PINGs."""
    with setup.server("pings") as shell:
        tool = subscriber(shell, "quiet", "--count", "1")
        check(shell.broker.logged(4, "->> [PING]") >= 4, "no PINGs")
        check(shell.broker.logged(4, "<<- [PONG]") >= 4, "no PONGs")
        shell.run("pub", "quiet", "x")
        equal(tool.end(), ["x"], "messages")


def reconnect_buffered(setup):
    """What is published while there is no connection comes later; what was
    under way when it was cut may be lost, nothing comes twice."""
    with setup.server("trace") as shell:
        broker = shell.broker
        tool = subscriber(shell, "cut")
        publisher = shell.start("pub", "cut", "{{Count}}", "--templates",
                                "--count", "100", "--sleep", "10ms",
                                url=broker.proxy.url)
        wait_line(tool, "20")
        equal(broker.proxy.cut(), 1, "connections cut")
        wait_for(lambda: b"Disconnected" in publisher.output, "a disconnect")
        broker.proxy.heal()
        publisher.end()
        wait_line(tool, "100")
        got = [int(line) for line in tool.lines()]
        equal(got, sorted(set(got)), "order")
        check(len(got) >= 90, "only %d messages", len(got))


def drain_under_load(setup):
    """One of two repliers is told to drain.  The tool does not wait for the
    end of that, so the last request that came to it may have no answer."""
    count = 500
    with setup.server("trace") as shell:
        repliers = [shell.start("reply", "load", "here") for _ in range(2)]
        shell.in_force("load", 2)
        shell.broker.reload(CONFS["plain"])
        tool = shell.start("request", "load", "x", "--raw", "--count",
                           str(count), "--timeout", "2s")
        wait_for(lambda: len(tool.lines()) >= 50, "replies")
        repliers[0].interrupt()
        repliers[0].end(status=None)
        got = tool.end()
        equal(set(got), {"here"}, "replies")
        check(len(got) in (count - 1, count), "%d replies", len(got))


def many_subscriptions(setup):
    with setup.server("plain") as shell:
        subjects = ["many.%d" % n for n in range(1, MANY + 1)]
        tool = shell.start("sub", *subjects, "many.probe",
                           "--subjects-only")

        def there():
            said = shell.run("request", "many.probe", "x", "--timeout",
                             "100ms", status=None)
            return "No responders" not in "\n".join(said)
        wait_for(there, "the last subscription")
        shell.run("pub", "many.{{Count}}", "x", "--templates", "--count",
                  str(MANY), "--quiet")

        def seen():
            return re.findall(r'"(many\.\d+)"', "\n".join(tool.lines()))
        wait_for(lambda: len(seen()) >= MANY, "all messages", step=0.05)
        equal(sorted(seen()), sorted(subjects), "subjects")
        tool.interrupt()
        tool.end(status=None)
        fails_softly(shell, "many.1")


def fails_softly(shell, subject):
    said = "\n".join(shell.run("request", subject, "x", status=None))
    check("No responders" in said, "a request says %r", said)


def request_many(setup):
    with setup.server("trace") as shell:
        for n in range(3):
            shell.start("reply", "many", "from %d" % n, "--queue", "q%d" % n)
        shell.in_force("many", 3)
        want = ["from 0", "from 1", "from 2"]
        for args in (["--replies", "3"],
                     ["--replies", "0", "--timeout", "1s"]):
            equal(sorted(shell.run("request", "many", "x", "--raw", *args)),
                  want, "replies")
        responder = shell.broker.client(C0)
        responder.sub(b"stream 1")
        tool = shell.start("request", "stream", "x", "--raw",
                           "--wait-for-empty")
        reply = responder.message().reply
        for n in range(20):
            responder.pub(reply, b"%d" % n)
        responder.pub(reply, b"")
        equal(tool.end(), [str(n) for n in range(20)] + ["nil body"],
              "replies")
        responder.close()


def services(setup):
    with setup.server("trace") as shell:
        tools = [shell.start("service", "serve", "echo") for _ in range(2)]
        wait_for(lambda: len(instances(shell)) == 2, "two instances")
        for n in range(5):
            equal(shell.run("service", "request", "echo", "echo",
                            "question %d" % n, "--raw")[0],
                  "question %d" % n, "reply")
        listed = said_json(shell, "service", "list", "--json")
        equal([one["endpoints"][0]["subject"] for one in listed],
              ["echo.echo"] * 2, "endpoints")
        ids = {one["id"] for one in listed}
        stats = said_json(shell, "service", "stats", "echo", "--json")
        equal({one["id"] for one in stats}, ids, "instances")
        equal(sum(one["endpoints"][0]["num_requests"] for one in stats), 5,
              "requests")
        info = said_json(shell, "service", "info", "echo", "--json")
        check(info["info"]["id"] in ids, "information on %r", info)
        pings = shell.run("service", "ping", "--timeout", "1s")
        equal({line.split()[1] for line in pings}, ids, "who answers")
        for tool in tools:
            tool.kill()
        wait_for(lambda: "no service instances" in "\n".join(
            shell.run("service", "list", status=None)), "them to be gone")


def instances(shell):
    return re.findall(r'"id": "(\w+)"', "\n".join(
        shell.run("service", "list", "--json", status=None)))


def said_json(shell, *args):
    return json.loads("\n".join(shell.run(*args)))


def async_info(setup):
    """A reload brings no INFO, and nobody waits for one."""
    with setup.server("trace") as shell:
        tool = subscriber(shell, "a", "--count", "1")
        shell.broker.reload(CONFS["larger"])
        shell.run("pub", "a", "x")
        equal(tool.end(), ["x"], "messages")
        equal(shell.broker.infos(), 1, "INFO lines")


def round_trips(setup):
    with setup.server("plain") as shell:
        url = shell.broker.url
        found = said_json(shell, "rtt", "--json")[0]["results"][0]
        check(found["address"] == url and 0 < found["rtt"] < 10 ** 10,
              "rtt says %r", found)
        said = "\n".join(shell.run("latency", "--server-b", url,
                                   "--duration", "1s", "--rate", "500"))
        rate = re.search(r"Actual Msgs/Sec: ([\d,]+)", said)
        check(rate and 50 < int(rate.group(1).replace(",", "")) <= 1000 and
              re.search(r"Median Latency : [\d.]+(µs|ms)", said),
              "latency says %s", said)
        # on a busy machine it may complain of the time, not of failure
        said = shell.run("server", "check", "connection",
                         "--connect-critical", "20s", "--rtt-critical",
                         "20s", "--req-critical", "20s", status=None)
        check(re.match(r"(OK|WARNING) Connection", said[0]),
              "check says %r", said)
        said = "\n".join(shell.run("account", "info"))
        for line in (r"Headers Supported: true", r"Maximum Payload: 1.0 MiB",
                     r"JetStream is not supported"):
            check(re.search(line, said), "no %r in\n%s", line, said)


BEHAVIOURS = (
    connect_options, server_errors, max_payload, slow_consumer, ping_timeout,
    reconnect_buffered, drain_under_load, many_subscriptions, request_many,
    services, async_info, round_trips)


def tell(behaviour, setup):
    """Whether a behaviour is good, and says so."""
    name = behaviour.__name__.replace("_", "-")
    if ONLY and name not in ONLY:
        return True
    begun = time.monotonic()
    try:
        behaviour(setup)
    except (Failure, OSError, ValueError, LookupError,
            subprocess.SubprocessError) as error:
        print("  not ok %s - %s" % (name, error), flush=True)
        return False
    print("  ok %s (%.1f s)" % (name, time.monotonic() - begun), flush=True)
    return True


def build(place):
    tool = nats_tool(place)

    def one(workers):
        # Most of the time one process waits for another: two at a time.
        with concurrent.futures.ThreadPoolExecutor(2) as executor:
            results = list(executor.map(
                lambda behaviour: tell(behaviour, Setup(tool, workers)),
                BEHAVIOURS))
        check(all(results), "%d behaviours are not ok", results.count(False))
    return one


if __name__ == "__main__":
    sys.exit(main("nats in depth", "natscli", build))
