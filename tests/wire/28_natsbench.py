#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""natsbench: every command against natsd, what it finds against a server that
makes mistakes, and what it says to wrong arguments and dead servers."""

import os
import pty
import re
import socketserver
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
from natsdtest import *  # noqa: E402,F403

suite = Suite("natsbench")
ONE = dict(workers=(1,), reference=False)


def tool():
    path = os.environ.get("NATSBENCH") or os.path.join(
        os.path.dirname(os.path.abspath(program())), "natsbench")
    if not os.path.exists(path):
        raise Skip("no natsbench to test (set NATSBENCH)")
    return path


def call(*args, timeout=None, env=None):
    """status, stdout, stderr"""
    full = dict(os.environ, **(env or {}))
    if not env:
        full.pop("NATS_URL", None)
    done = subprocess.run([tool()] + [str(arg) for arg in args],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=timeout or TIMEOUT,
                          env=full)
    return (done.returncode, done.stdout.decode(), done.stderr.decode())


def url(server):
    return "nats://%s:%d" % server.address


def bench(env, *args, server=None, timeout=20 * SLOW):
    """A run that must succeed; its figures."""
    server = server or env.server
    status, out, err_text = call(
        *args, "-s", url(server), "-p", server.pid, "--timeout", timeout,
        "--json", "--settle", "0.05", timeout=3 * timeout)
    equal((status, err_text), (0, ""), " ".join(map(str, args)) + ": " + out)
    found = json.loads(out)
    equal((found["ok"], found["command"]), (True, args[0]), "result")
    return found


def pubsub(env, count, *args):
    found = bench(env, "pubsub", *args)
    equal(found["messages"], count, "messages of pubsub " +
          " ".join(map(str, args)))
    check(found["msgs_per_s"] > 0 and found["seconds"] > 0 and
          found["server_cpu_ns"] >= 0 and found["server_memory"] > 0 and
          found["own_cpu_ns"] > 0, "figures: %r", found)
    return found


# ------------------------------------------------------------ every command

@suite.scenario("publish only")
def publish(env):
    found = bench(env, "pub", "-n", 20000, "--pubs", 2)
    equal(found["published"], 40000, "published")


@suite.scenario("1:1 of many sizes")
def sizes(env):
    for size, count in ((16, 20000), (0, 3000), (7, 3000), (8, 3000),
                        (15, 3000), (17, 3000), (23, 3000), (24, 3000),
                        (128, 3000), ("1K", 3000), (4096, 1000),
                        (4097, 1000), ("64K", 300), ("1M", 20)):
        pubsub(env, count, "-n", count, "--size", size)


@suite.scenario("sizes at random, subjects at random, headers")
def at_random(env):
    pubsub(env, 20000, "-n", 20000, "--size", "16..256")
    pubsub(env, 3000, "-n", 3000, "--size", "8-20000", "--subjects", 8)
    pubsub(env, 10000, "-n", 10000, "--subjects", 8, "--headers", 3)
    pubsub(env, 10000, "-n", 10000, "--headers", 1, "--size", "8..300")
    pubsub(env, 200000, "-n", 200000, "--subjects", 20000, "--wildcard")
    pubsub(env, 3000, "-n", 3000, "--no-check", "--headers", 2)


@suite.scenario("1:N, N:M, pairs, queue group")
def many_to_many(env):
    pubsub(env, 50000, "-n", 5000, "--subs", 10)
    pubsub(env, 40000, "-n", 200, "--subs", 200, "--size", 128)
    pubsub(env, 200000, "-n", 2000, "--pubs", 10, "--subs", 10)
    pubsub(env, 200000, "-n", 2000, "--pubs", 10, "--subs", 10,
           "--send-threads", 2, "--receive-threads", 3)
    pubsub(env, 20000, "-n", 5000, "--pubs", 4, "--pairs")
    pubsub(env, 20000, "-n", 5000, "--pubs", 4, "--subs", 4, "--queue")


@suite.scenario("both ends in one worker, and in two", workers=(2, 4),
                reference=False)
def places(env):
    for place in "same", "cross", "any":
        pubsub(env, 5000, "-n", 5000, "--place", place)
        found = bench(env, "request", "-n", 200, "--place", place)
        equal(found["requests"], 200, "requests")


@suite.scenario("a place that one worker does not have", workers=(1,),
                reference=False)
def no_place(env):
    status, _, said = call("pubsub", "-s", url(env.server), "--place",
                           "cross", "-n", 10)
    equal(status, 1, "status")
    check("wanted worker" in said, "said %r", said)


@suite.scenario("for a time")
def for_a_time(env):
    found = bench(env, "pubsub", "-d", 0.3)
    check(found["messages"] > 1000 and 0.25 < found["seconds"] < 15 * SLOW,
          "%r", found)


@suite.scenario("latency and requests")
def latencies(env):
    found = bench(env, "latency", "-d", 0.4, "--rate", 2000, "--subs", 3)
    equal(found["lat_count"], found["messages"], "times")
    equal(found["messages"], 3 * found["published"], "messages")
    check(found["published"] > 100, "%r", found)
    for name in "p50", "p90", "p99", "p999", "max", "mean":
        check(found["lat_%s_us" % name] > 0, "%s: %r", name, found)
    check(found["lat_p50_us"] <= found["lat_p99_us"] <= found["lat_max_us"],
          "%r", found)
    for args in ((), ("-c", 32), ("-c", 8, "-C", 4, "--responders", 3),
                 ("--size", 1000, "-c", 3)):
        found = bench(env, "request", "-n", 500, *args)
        equal((found["requests"], found["lat_count"]), (500, 500), "requests")
    bench(env, "request", "-d", 0.1)


@suite.scenario("connections and subscriptions")
def many(env):
    found = bench(env, "connect", "-C", 300)
    equal((found["connections"], found["open_count"]), (300, 300), "opened")
    found = bench(env, "idle", "-C", 50, "-d", 0.1)
    check("conn_bytes" in found and found["idle_cpu_percent"] >= 0, "%r",
          found)
    found = bench(env, "subs", "--count", 5000, "-C", 3)
    equal(found["subs"], 5000, "subscriptions")
    found = bench(env, "subping", "-n", 200)
    equal((found["sub_count"], found["unsub_count"]), (200, 200), "times")
    found = bench(env, "pubsub", "-n", 5000, "--others", 3000)
    equal((found["subs"], found["messages"]), (3000, 5000), "figures")


@suite.scenario("beside others")
def beside(env):
    found = bench(env, "churn", "-d", 0.3, "--rate", 20000)
    check(found["changes_per_s"] > 100, "%r", found)
    equal(found["connects_per_s"], 0, "connects")
    found = bench(env, "churn", "-d", 0.3, "--rate", 20000, "--connects", 100)
    check(found["connects_per_s"] > 5, "%r", found)
    found = bench(env, "firehose", "-d", 0.3)
    check(found["alone_lat_count"] > 50 and found["beside_lat_count"] > 50
          and found["hose_messages"] > 1000, "%r", found)
    found = bench(env, "stall", "-d", 0.3, "--rate", 20000, "--stalled", 2,
                  "--apart")
    equal(found["stalled"], 2, "stalled")
    found = bench(env, "stall", "-d", 0.3, "--rate", 20000)
    check(found["beside_messages"] > 100, "%r", found)


@suite.scenario("pub and sub in two processes")
def two_processes(env):
    server = env.server
    args = ["-s", url(server), "--subject", "two", "-n", "3000", "--json"]
    sub = subprocess.Popen([tool(), "sub", "--subs", "2"] + args,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        # Messages that came before both had subscribed are missing at one of
        # them, so publish until both have got what they wait for.
        end = time.monotonic() + TIMEOUT
        while sub.poll() is None and time.monotonic() < end:
            equal(call("pub", *args, "--warm-up", 0)[0], 0, "pub")
            try:
                sub.wait(0.2)
            except subprocess.TimeoutExpired:
                pass
        out, said = sub.communicate(timeout=TIMEOUT)
    finally:
        sub.kill()
    equal((sub.returncode, said), (0, b""), "sub: %r" % out)
    check(json.loads(out)["messages"] >= 6000, "%r", out)


@suite.scenario("interrupted", workers=(2,))
def interrupted(env):
    watch = env.client()
    watch.sub(b"interrupt.* 1")
    proc = subprocess.Popen(
        [tool(), "pubsub", "-s", url(env.server), "-d", "600", "--json",
         "--subject", "interrupt", "--warm-up", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        watch.message()
        watch.abandon()
        proc.send_signal(signal.SIGINT)
        out, said = proc.communicate(timeout=TIMEOUT)
    finally:
        proc.kill()
    equal((proc.returncode, said), (0, b""), "status")
    check(json.loads(out)["messages"] > 0, "%r", out)


# ------------------------------------------------- addresses and credentials

@suite.scenario("Unix sockets and forms of addresses", **ONE)
def addresses(env):
    server = env.server
    path = server.socket_path
    for form in ("unix:" + path, "unix://" + path, path,
                 "127.0.0.1:%d" % server.address[1],
                 "nats://localhost:%d" % server.address[1],
                 "nats://127.0.0.1:%d/" % server.address[1]):
        status, out, said = call("pubsub", "-s", form, "-n", 1000)
        equal((status, said), (0, ""), form)
        equal(json.loads(out)["messages"], 1000, form)
    status, _, said = call("pubsub", "-n", 1000,
                           env={"NATS_URL": url(server)})
    equal((status, said), (0, ""), "NATS_URL")


@suite.scenario("user and password, or a token", **ONE)
def credentials(env):
    server = env.own_server({"authorization": {"user": "joe",
                                               "password": "a\"b\\c"}})
    here = "127.0.0.1:%d" % server.address[1]
    for args in (("-s", here, "--user", "joe", "--password", 'a"b\\c'),
                 ("-s", 'nats://joe:a"b\\c@' + here)):
        status, _, said = call("pubsub", "-n", 100, *args)
        equal((status, said), (0, ""), repr(args))
    for args, word in (((), "give --user"),
                       (("--user", "joe", "--password", "x"),
                        "check --user")):
        status, out, said = call("pubsub", "-n", 100, "-s", here, *args)
        equal(status, 1, "status")
        check("refuses" in said and word in said, "said %r", said)
        check(word in json.loads(out)["error"], "JSON %r", out)
    server = env.own_server({"authorization": {"token": "secret"}})
    here = "127.0.0.1:%d" % server.address[1]
    for args in (("-s", here, "--token", "secret"),
                 ("-s", "nats://secret@" + here)):
        equal(call("connect", "-C", 5, *args)[0], 0, repr(args))
    equal(call("connect", "-C", 5, "-s", here)[0], 1, "without the token")


# ------------------------------------------------------------- wrong usage

@suite.scenario("wrong arguments", **ONE)
def wrong(env):
    for args, word in (
            ((), "which command"), (("fly",), "no command"),
            (("pubsub", "more"), "more"), (("pubsub", "--nonsense"), "option"),
            (("pubsub", "-n"), "option"),
            (("pubsub", "-n", "x"), "--msgs x"),
            (("pubsub", "-n", "-5"), "--msgs -5"),
            (("pubsub", "-n", "1.5"), "whole"),
            (("pubsub", "--size", "9..3"), "range"),
            (("pubsub", "--size", "1T"), "--size"),
            (("pubsub", "--size", "1..20"), "--no-check"),
            (("pubsub", "--size", "999M"), "64 MB"),
            (("pubsub", "--subs", "0"), "--subs 0"),
            (("pubsub", "--place", "here"), "same, cross or any"),
            (("pubsub", "--count", "3"), "does not take --count"),
            (("pub", "--subs", "3"), "does not take --subs"),
            (("idle", "-n", "3"), "does not take --msgs"),
            (("pubsub", "--pairs", "--queue"), "--pairs"),
            (("pubsub", "--subject", "a b"), "--subject"),
            (("pubsub", "--subject", "a.*"), "--subject"),
            (("pubsub", "--password", "x"), "needs --user"),
            (("latency", "--size", "4"), "8 bytes"),
            (("pubsub", "--headers", "100"), "at most 99"),
            (("pubsub", "--relay", "--pubs", "2"), "one publisher")):
        status, out, said = call(*args)
        equal((status, out), (2, ""), repr(args))
        check(word in said and "natsbench -h" in said, "%r said %r", args,
              said)
    for args, words in ((("-h",), ("pubsub", "firehose", "--pid")),
                        (("latency", "--help"), ("--rate", "--subs")),
                        (("-V",), ("natsbench 0",))):
        status, out, said = call(*args)
        equal((status, said), (0, ""), repr(args))
        for word in words:
            check(word in out, "%r: no %s in %r", args, word, out)


@suite.scenario("no such server", **ONE)
def nobody(env):
    free = socket.socket()
    free.bind(("127.0.0.1", 0))
    here = "127.0.0.1:%d" % free.getsockname()[1]
    for server, words in ((here, ("cannot connect", here, "refused")),
                          ("unix:/nonexistent/sock", ("cannot connect",)),
                          ("nats://[::1", ("]",)),
                          ("host:port", ("server host:port",)),
                          ("http://x", ("nats://",)),
                          ("tls://x", ("TLS",))):
        for command in ("pubsub", "connect", "request", "subs"):
            status, out, said = call(command, "-s", server, "--json")
            equal(status, 1, server)
            for word in words:
                check(word in said, "%s: %r", server, said)
            equal(json.loads(out)["ok"], False, out)
    free.close()
    status, _, said = call("pubsub", "-s", url(env.server), "-p", 4194304)
    equal(status, 1, "no such process")
    check("no process" in said, "%r", said)


@suite.scenario("a terminal gets lines and a progress bar", **ONE)
def terminal(env):
    master, slave = pty.openpty()
    proc = subprocess.Popen([tool(), "pubsub", "-s", url(env.server), "-d",
                             "0.5"], stdout=slave, stderr=slave)
    os.close(slave)
    seen = b""
    try:
        while True:
            try:
                piece = os.read(master, 65536)
            except OSError:
                break
            if not piece:
                break
            seen += piece
    finally:
        os.close(master)
        status = proc.wait(TIMEOUT)
    equal(status, 0, "status")
    text = seen.decode()
    check(re.search(r"\[=*> *\] +\d+ %", text), "no bar: %r", text)
    check(re.search(r"\nthroughput +[\d,]+ msgs/s", text), "%r", text)
    check("{" not in text, "JSON: %r", text)


# --------------------------------------------------- a server with faults

class Faulty:
    """A NATS server with one thread for each connection, that makes a mistake
    with message number `at`."""

    def __init__(self, fault, at=100, info=b"", greet=None):
        self.fault, self.at = fault, at
        self.lock = threading.Lock()
        self.subs = []
        self.count = 0
        self.turn = 0
        self.held = None
        self.greeting = greet if greet is not None else (
            b'INFO {"server_id":"x","version":"2","proto":1,"headers":true,'
            b'"max_payload":1048576' + info + b'}\r\n')
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                outer.serve(self.request)

        class Tcp(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request, address):
                pass  # natsbench has hung up

        self.tcp = Tcp(("127.0.0.1", 0), Handler)
        self.url = "127.0.0.1:%d" % self.tcp.server_address[1]
        threading.Thread(target=self.tcp.serve_forever, args=(0.02,),
                         daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tcp.shutdown()
        self.tcp.server_close()

    def serve(self, sock):
        sock.sendall(self.greeting)
        file = sock.makefile("rb")
        for line in file:
            words = line.split()
            verb = words[0] if words else b""
            if verb == b"PING" and self.fault != "deaf":
                sock.sendall(b"PONG\r\n")
            elif verb == b"CONNECT" and self.fault == "refuse":
                sock.sendall(b"-ERR 'Authorization Violation'\r\n")
                return
            elif verb == b"SUB":
                with self.lock:
                    self.subs.append((sock, words[1], words[-1],
                                      len(words) > 3))
            elif verb == b"PUB":
                body = file.read(int(words[-1]) + 2)
                with self.lock:
                    self.publish(words[1], words[2:-1], body)

    def matching(self, subject):
        found = [sub for sub in self.subs if sub[1] == subject or (
            sub[1].endswith(b".*") and
            subject.rpartition(b".")[0] == sub[1][:-2])]
        group = [sub for sub in found if sub[3]]
        if group:
            self.turn += 1
            if self.fault != "both members" or self.count != self.at:
                group = [group[self.turn % len(group)]]
        return [sub for sub in found if not sub[3]] + group

    def publish(self, subject, reply, body):
        self.count += 1
        for sock, _, sid, _ in self.matching(subject):
            sock.sendall(b"".join(self.mistake(subject, sid, reply, body)))

    def mistake(self, subject, sid, reply, body):
        """What this subscriber gets for the message."""
        whole = self.message(subject, sid, reply, body)
        if self.held:
            held, self.held = self.held, None
            return [whole, held]
        if self.count != self.at:
            return [whole]
        payload = bytearray(body)
        fault = self.fault
        if fault == "lose":
            return []
        if fault == "double":
            return [whole, whole]
        if fault == "swap":
            self.held = whole
            return []
        if fault.startswith("byte"):
            payload[int(fault.split()[1])] ^= 1
        elif fault == "short":
            payload = payload[:-3] + b"\r\n"
        elif fault == "shift":
            payload = payload[-3:-2] + payload[:-3] + b"\r\n"
        elif fault == "subject":
            subject = subject[:-1] + (b"1" if subject[-1:] == b"0" else b"0")
        elif fault == "sid":
            sid += b"1"
        elif fault == "garbage":
            return [whole, b"WHAT is this\r\n"]
        elif fault == "error":
            return [b"-ERR 'Slow Consumer'\r\n"]
        elif fault == "close":
            for sock, *_ in self.subs:
                sock.shutdown(socket.SHUT_RDWR)
            return []
        return [self.message(subject, sid, reply, bytes(payload))]

    def message(self, subject, sid, reply, body):
        words = [b"MSG", subject, sid] + reply + [b"%d" % (len(body) - 2)]
        return b" ".join(words) + b"\r\n" + body


def finds(fault, words, *args, command="pubsub", at=100, **kwargs):
    """natsbench must fail over that fault and say one of these words."""
    with Faulty(fault, at, **kwargs) as server:
        status, out, said = call(
            command, "-s", server.url, "-n", 300, "--timeout", SLOW, "--json",
            *(("--warm-up", 0) if command != "request" else ()), *args)
    equal(status, 1, "status with fault %r %r: %s" % (fault, args, out))
    check(re.search(words, said), "fault %r %r: %r", fault, args, said)
    found = json.loads(out)
    equal(found["ok"], False, "ok")
    check(found["error"] in said, "error %r, said %r", found["error"], said)


@suite.scenario("a server without fault, as a control", **ONE)
def no_fault(env):
    for args in ((), ("--subs", 2), ("--queue", "--subs", 2),
                 ("--size", "16..300"), ("--size", "6000"),
                 ("--subjects", 5), ("--subjects", 5, "--wildcard")):
        with Faulty("", 0) as server:
            status, out, said = call("pubsub", "-s", server.url, "-n", 300,
                                     "--json", *args)
            equal((status, said), (0, ""), repr(args))
    with Faulty("", 0) as server:
        equal(call("request", "-s", server.url, "-n", 300)[0], 0, "request")


@suite.scenario("loss, duplicates and disorder are found", **ONE)
def order(env):
    for args in ((), ("--size", 128), ("--size", "16..300"), ("--subs", 2),
                 ("--size", 8), ("--size", 6000), ("--subjects", 5),
                 ("--pubs", 2), ("--rate", 10000), ("--pubs", 2, "--pairs")):
        finds("lose", "in place of|missing", *args)
        finds("double", "came again", *args)
        finds("swap", "in place of|came again", *args)
    for args in (("--size", 4),):
        finds("lose", "1 of 300 messages are missing", *args)
        finds("double", "1 too many", *args)
    finds("lose", "missing", at=300)
    finds("double", "too many|came again", at=300)


@suite.scenario("faults of a queue group are found", **ONE)
def group(env):
    finds("lose", "missing", "--queue", "--subs", 3)
    finds("double", "came again", "--queue", "--subs", 3)
    finds("both members", "too many|several members", "--queue", "--subs", 3)


@suite.scenario("damage is found", **ONE)
def damage(env):
    for size, bytes_at in ((16, (0, 5, 7, 8, 15, 16, 17)),
                           (128, (0, 8, 60, 119, 120, 127, 129)),
                           (6000, (0, 8, 3000, 5990, 5999, 6001)),
                           (12, (3, 9)), (5, (2,))):
        for at in bytes_at:
            finds("byte %d" % at, "damaged|in place of|came again|publisher",
                  "--size", size)
    for args in ((), ("--size", "20..300"), ("--size", 6000),
                 ("--subjects", 7), ("--subjects", 7, "--wildcard")):
        for fault in "shift", "subject", "sid", "garbage":
            if fault != "sid" or args != ("--size", 6000):
                finds(fault, "damaged|in place of|no message|publisher",
                      *args)
        finds("short", "damaged|no message", *args)


@suite.scenario("faults with requests are found", **ONE)
def replies(env):
    finds("lose", "no reply", command="request")
    finds("double", "twice|damaged", command="request", at=100)
    finds("double", "twice|damaged", "-c", 5, command="request", at=101)
    for fault in "byte 3", "byte 12", "short", "subject", "sid":
        finds(fault, "damaged|twice|no message|no reply", command="request")


@suite.scenario("servers that end or refuse", **ONE)
def ends(env):
    finds("close", "closed")
    finds("close", "closed", command="request")
    finds("close", "closed|missing", "--subs", 2)
    finds("error", "Slow Consumer")
    finds("refuse", "refuses us.*give --user")
    finds("refuse", "check --user", "--user", "a", "--password", "b")
    finds("deaf", "does not answer a PING")
    finds("", "no NATS server: it greets with \"HTTP/1.1",
          greet=b"HTTP/1.1 400 Bad Request\r\n")
    finds("", "does not greet", greet=b"")
    finds("", "closed|no message", greet=b"\0" * 70000)
    finds("", "wants TLS", info=b',"tls_required":true')
    finds("", "at most", "--size", "2M")
    finds("", "names no worker", "--place", "same")


@suite.scenario("a server that is killed", workers=(1,), reference=False)
def killed(env):
    for args in (("pubsub",), ("pub",), ("latency",), ("request",),
                 ("idle", "-C", "20")):
        server = Server({}, 1, deaths=True)
        watch = server.client(C0)
        watch.sub(b"b.> 1", b"_INBOX.> 2")
        proc = subprocess.Popen(
            [tool(), *args, "-s", url(server), "-d", "600", "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            if args[0] != "idle":
                watch.message()
            watch.abandon()
            server.kill()
            out, said = proc.communicate(timeout=TIMEOUT)
        finally:
            proc.kill()
            server.kill()
            server.remove()
        equal(proc.returncode, 1, "status of %s" % args[0])
        check(re.search(b"closed|cannot connect", said), "%r said %r",
              args, said)
        equal(json.loads(out)["ok"], False, out)


if __name__ == "__main__":
    sys.exit(suite.main())
