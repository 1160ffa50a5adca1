# SPDX-License-Identifier: BSD-2-Clause
"""Real clients against a running natsd.

Each client library has a small program that opens several connections, goes
through all behaviours and prints "ok NAME" or "not ok NAME - why" for each.
This module builds that program in the build folder, runs it with several
numbers of workers, sees that the connections are spread over the workers,
and does what the program asks for on its standard output:

  kill      kill -9 the worker that serves its first connection
  restart   stop the server and start it again on the same port

The answer, a line on its standard input, is the number of connections that
were cut.  These concern the main server.  For behaviours in depth a program
has an extra one, with a proxy in front of it:

  server CONF    start it with a configuration of CONFS; the answer is its
                 address, that for IPv6 or -, its Unix-domain socket or -,
                 and the address of the proxy.  "none" only stops it
  reload CONF    give it another configuration
  logged N TEXT  wait until its log has the text that many times; how many
  infos          how many INFO lines the connection with most of them has got
  hang           stop the process behind the program's first direct connection
                 to it, until the watchdog comes (3 s); how many connections
                 that concerns
  down, up       stop it; start it again on the same port
  cut            close the connections through the proxy and refuse new ones;
                 how many
  heal           the proxy does again what proxies do
  mute           the proxy throws away what clients send
  stall          the proxy reads nothing more from the server for those that
                 are connected now
  say TEXT       send a line on each connection through the proxy, as if the
                 client had

A behaviour that a library cannot have is answered by "skip NAME - why"; the
program has to be known for that.

Environment, besides that of natsdtest:
  CLIENT_BUILD_DIR  where programs and packages go (default: build/clients)
  CI                "true": a missing toolchain is a failure
  BEHAVIOURS        only these, by programs that take names as arguments
"""

import contextlib
import fcntl
import hashlib
import os
import queue
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from natsdtest import (  # noqa: E402
    BAD_LOG, REFERENCE, SLOW, TIMEOUT, Failure, Server, check, equal, program,
    wait_for)
from proxy import Proxy  # noqa: E402

BEHAVIOURS = ("publish-subscribe", "wildcards", "queue-groups",
              "request-reply", "headers", "no-responders", "large-payload",
              "drain", "worker-killed", "server-restarted")

DEPTH = ("connect-options", "server-errors", "max-payload", "slow-consumer",
         "ping-timeout", "reconnect-buffered", "drain-under-load",
         "many-subscriptions", "request-many", "services", "async-info")

TRACE = {"trace": True, "max_traced_msg_len": 32}
CONFS = {
    "plain": {},
    "trace": TRACE,
    "user": {**TRACE, "authorization": {"user": "alice",
                                        "password": "s3cr3t pass"}},
    "user2": {**TRACE, "authorization": {"user": "alice",
                                         "password": "other"}},
    "token": {**TRACE, "authorization": {"token": "t0ken"}},
    "noheaders": {**TRACE, "no_header_support": True},
    "limits": {**TRACE, "max_connections": 3, "max_subscriptions": 5},
    "small": {**TRACE, "max_payload": 1000},
    "smaller": {**TRACE, "max_payload": 500},
    "larger": {**TRACE, "max_payload": 5000},
    "slow": {"max_pending": "1MB", "max_payload": "64KB",
             "write_deadline": "2s"},
    "pings": {**TRACE, "ping_interval": "500ms", "ping_max": 2},
    "hang": {**TRACE, "watchdog": "3s"},
    "subs": {"max_subscriptions": 10000},
}

CI = os.environ.get("CI") == "true"
ONLY = os.environ.get("BEHAVIOURS", "").split()
RUN_LIMIT = 180 * SLOW
BUILD_LIMIT = 1100


class Missing(Exception):
    """This client cannot be tested on this machine."""


# ------------------------------------------------------------------ building

def need(tool, least=None, show="--version", env=None):
    """The path of a tool, which has to be of that version or later."""
    path = shutil.which(tool)
    if not path:
        raise Missing("there is no " + tool)
    if least:
        done = subprocess.run([path, show], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True,
                              env=dict(os.environ, **(env or {})))
        found = re.search(r"(\d+)\.(\d+)", done.stdout)
        have = tuple(map(int, found.groups())) if found else (0, 0)
        if have < least:
            raise Missing("%s is version %d.%d, needed is %d.%d" %
                          (tool, *have, *least))
    return path


class Place:
    """The folder where one client's program and packages are kept."""

    def __init__(self, name):
        top = os.environ.get("CLIENT_BUILD_DIR") or os.path.join(
            os.environ.get("top_builddir") or
            os.path.join(HERE, "..", "..", "build"), "clients")
        self.top = os.path.abspath(top)
        self.source = os.path.join(HERE, name)
        self.dir = os.path.join(self.top, name)
        os.makedirs(self.dir, exist_ok=True)

    def path(self, *names):
        return os.path.join(self.dir, *names)

    @contextlib.contextmanager
    def locked(self):
        """Programs that share this place build one after the other."""
        with open(self.path(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def copy(self, *names):
        """Bring sources here; those that did not change keep their time."""
        for name in names:
            with open(os.path.join(self.source, name), "rb") as file:
                text = file.read()
            there = self.path(name)
            os.makedirs(os.path.dirname(there), exist_ok=True)
            try:
                with open(there, "rb") as file:
                    if file.read() == text:
                        continue
            except OSError:
                pass
            with open(there, "wb") as file:
                file.write(text)

    def make(self, *command, env=None, error=Failure):
        print("# " + " ".join(command), flush=True)
        try:
            done = subprocess.run(
                command, cwd=self.dir, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                env=dict(os.environ, **(env or {})), timeout=BUILD_LIMIT)
        except subprocess.TimeoutExpired:
            raise error("%s takes too long" % command[0])
        if done.returncode:
            print(done.stdout.decode(errors="replace")[-6000:])
            raise error("%s ended with status %d" %
                        (command[0], done.returncode))

    def fetch(self, *command, env=None, key=""):
        """A command that gets packages from a registry; once is enough."""
        mark = self.path(".fetched")
        want = hashlib.sha256(repr((command, key)).encode()).hexdigest()
        try:
            with open(mark) as file:
                if file.read() == want:
                    return
        except OSError:
            pass
        self.make(*command, env=env, error=Missing)
        with open(mark, "w") as file:
            file.write(want)

    def text(self, name):
        with open(os.path.join(self.source, name)) as file:
            return file.read()

    def go(self, flags="-mod=mod -modcacherw"):
        """Go keeps what it downloads, compiles and counts in the build
        folder; the user's settings stay in force."""
        config = os.environ.get("XDG_CONFIG_HOME") or \
            os.path.expanduser("~/.config")
        return {"GOPATH": os.path.join(self.top, "go"),
                "GOMODCACHE": os.path.join(self.top, "go", "mod"),
                "GOCACHE": os.path.join(self.top, "go", "cache"),
                "GOENV": os.environ.get("GOENV") or
                os.path.join(config, "go", "env"),
                "XDG_CONFIG_HOME": os.path.join(self.top, "go", "config"),
                "GOBIN": self.path("bin"), "GOTOOLCHAIN": "local",
                "GOFLAGS": flags, "CGO_ENABLED": "0"}


NATSCLI = "github.com/nats-io/natscli/nats@v0.5.1"


def nats_tool(place):
    """The path of the nats command line tool."""
    go = need("go", (1, 26), "version", place.go())
    place.fetch(go, "install", NATSCLI, env=place.go("-modcacherw"))
    return place.path("bin", "nats")


class Tool:
    """One nats command and what it has said so far."""

    def __init__(self, path, url, args, stdin=None):
        env = {name: value for name, value in os.environ.items()
               if not name.startswith("NATS_")}
        env["XDG_CONFIG_HOME"] = os.path.join(os.path.dirname(path), "config")
        self.args = args
        self.output = b""
        self.proc = subprocess.Popen(
            [path, "--no-context", "--server", url, *args],
            stdin=stdin or subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, env=env, start_new_session=True)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        while True:
            data = self.proc.stdout.read1(1 << 20)
            if not data:
                break
            self.output += data

    def lines(self):
        """All lines but the blank ones."""
        text = self.output.decode(errors="replace")
        return [line for line in text.splitlines() if line]

    def text(self):
        return self.output.decode(errors="replace")[-2000:]

    def end(self, timeout=None, status=0):
        """Wait for its end; what it said."""
        try:
            got = self.proc.wait(timeout or TIMEOUT)
        except subprocess.TimeoutExpired:
            raise Failure("nats %s does not end; it said:\n%s" % (
                " ".join(self.args), self.text()))
        self.reader.join(TIMEOUT)
        check(status is None or got == status,
              "nats %s ended with status %d; it said:\n%s",
              " ".join(self.args), got, self.text())
        return self.lines()

    def interrupt(self):
        self.proc.send_signal(signal.SIGINT)

    def kill(self):
        if self.proc.poll() is None:
            self.proc.kill()
        self.proc.wait()


class Shell:
    """Runs nats commands against one broker."""

    def __init__(self, path, broker):
        self.path, self.broker = path, broker
        self.tools = []

    def start(self, *args, stdin=None, url=None):
        """url: if it is not the usual address of the broker"""
        self.tools.append(Tool(self.path, url or self.broker.url, args,
                               stdin))
        return self.tools[-1]

    def run(self, *args, status=0, url=None):
        return self.start(*args, url=url).end(status=status)

    def in_force(self, subject, count, start=0):
        """Wait until that many connections have subscribed and have the
        PONG that says it is in force everywhere; the trace tells."""
        subscribed = re.compile(r"cid:(\d+) .*<<- \[SUB %s[ \]]" %
                                re.escape(subject))

        def look():
            log = self.broker.log()[start:]
            return sum(re.search(r"cid:%s .*->> \[PONG\]" % found.group(1),
                                 log[found.end():]) is not None
                       for found in subscribed.finditer(log)) >= count
        wait_for(look, "%d subscriptions to %s" % (count, subject))

    def stop(self):
        """End what still runs, so that the next behaviour starts clean."""
        for tool in self.tools:
            tool.kill()
        self.tools = []


# ------------------------------------------------------------------- running

def free_port():
    """One that the kernel gives to nobody who does not ask for it: it must
    still be free after a restart."""
    while True:
        port = random.randrange(10000, 30000)
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


def sockets(pid):
    """inodes of the sockets of a process"""
    found = set()
    try:
        for name in os.listdir("/proc/%d/fd" % pid):
            with contextlib.suppress(OSError):
                link = os.readlink("/proc/%d/fd/%s" % (pid, name))
                if link.startswith("socket:["):
                    found.add(int(link[8:-1]))
    except OSError:
        pass
    return found


def tcp_table(states=("01",)):
    """(local port, remote port, inode) of established connections"""
    rows = []
    for name in ("tcp", "tcp6"):
        try:
            with open("/proc/net/" + name) as file:
                lines = file.read().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            words = line.split()
            if words[3] in states:
                rows.append((int(words[1].rsplit(":", 1)[1], 16),
                             int(words[2].rsplit(":", 1)[1], 16),
                             int(words[9])))
    return rows


class Broker(Server):
    """A natsd on a port that it has again after a restart."""

    def __init__(self, workers, conf=None):
        for tries in range(5):
            self.port = free_port()
            try:
                super().__init__(conf, workers, unix=False, deaths=True)
                break
            except Failure:
                if tries == 4:
                    raise
        self.url = "nats://127.0.0.1:%d" % self.port
        wait_for(self.all_serve, "every worker to take connections")

    def listen(self):
        return ["127.0.0.1:%d" % self.port]

    def write_conf(self, conf):
        """The same addresses, whatever else changes."""
        listen = self.listen()
        super().write_conf({**conf,
                            "listen": listen[0] if REFERENCE else listen})

    def all_serve(self):
        try:
            return self.worker_slots()
        except Failure:
            return None

    def serving(self, pid):
        """The worker behind each connection of a client process, in the
        order in which these were opened."""
        rows = tcp_table()
        mine = sockets(pid)
        local = {row[0]: row[2] for row in rows
                 if row[2] in mine and row[1] == self.port}
        ours = {row[2]: local[row[1]] for row in rows
                if row[0] == self.port and row[1] in local}
        workers = [self.pid] if REFERENCE else self.worker_pids()
        pairs = [(ours[inode], worker) for worker in workers
                 for inode in sockets(worker) if inode in ours]
        return [worker for _, worker in sorted(pairs)]

    def kill_worker(self, pid):
        """kill -9 a worker that serves this client; how many connections
        are cut, and how many workers served it."""
        serving = self.serving(pid)
        check(serving, "the client has no connection")
        if REFERENCE:
            self.restart()
        else:
            os.kill(serving[0], signal.SIGKILL)
        return serving.count(serving[0]), len(set(serving))

    def down(self):
        self.raise_signal(signal.SIGTERM)
        equal(self.wait_exit(), int(bool(REFERENCE)), "exit status")

    def restart(self):
        self.down()
        self.start()

    def finish(self):
        log = self.log().replace("killed by signal 9", "")
        self.stop()
        found = BAD_LOG.search(log)
        check(not found, "in natsd's log:\n%s", log[-6000:])


def has_ipv6():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


class Extra(Broker):
    """One with all kinds of addresses and a proxy."""

    def __init__(self, workers, conf):
        self.ipv6 = not REFERENCE and has_ipv6()
        self.hung = None
        super().__init__(workers, CONFS[conf])
        wait_for(self.idle, "the first connections to be closed")
        self.proxy = Proxy(free_port(), ("127.0.0.1", self.port))

    def listen(self):
        found = super().listen()
        if self.ipv6:
            found.append("[::1]:%d" % self.port)
        return found + ["unix:" + self.socket_path]

    def idle(self):
        """Nobody is connected, or was and is not closed by the server."""
        return not any(row[0] == self.port for row in tcp_table(("01", "08")))

    def urls(self):
        return " ".join((self.url,
                         "nats://[::1]:%d" % self.port if self.ipv6 else "-",
                         "-" if REFERENCE else self.socket_path,
                         self.proxy.url))

    def logged(self, count, text):
        with contextlib.suppress(Failure):
            wait_for(lambda: self.log().count(text) >= count, text)
        return self.log().count(text)

    def infos(self):
        got = re.findall(r" cid:(\d+) - ->> \[INFO ", self.log())
        return max(map(got.count, got), default=0)

    def hang(self, client):
        serving = self.serving(client)
        check(serving, "the client has no connection")
        os.kill(serving[0], signal.SIGSTOP)
        self.hung = serving[0]
        if REFERENCE:
            threading.Timer(2, self.revive).start()
        return serving.count(serving[0])

    def revive(self):
        """What natsd's watchdog does, for a server that has none."""
        self.proc.kill()
        self.proc.wait()
        self.start()

    def finish(self):
        # numbers of processes come again: only if it is still a worker
        if self.hung in self.worker_pids() and not REFERENCE:
            os.kill(self.hung, signal.SIGKILL)
            wait_for(lambda: self.hung not in self.worker_pids(), "its end")
        self.proxy.cut()
        super().finish()


ORDERS = ("server", "reload", "logged", "infos", "hang", "down", "up", "cut",
          "heal", "mute", "stall", "say")


@contextlib.contextmanager
def put_away(broker):
    """Nothing of the broker is left afterwards; when something was wrong
    its log tells more."""
    try:
        yield broker
    except BaseException:
        print("natsd's log:\n" + broker.log()[-4000:])
        raise
    finally:
        broker.kill()
        broker.remove()


class Run:
    """One run of a client's program."""

    def __init__(self, command, broker, env):
        self.broker = broker
        self.extra = None
        self.begun = time.monotonic()
        self.results = {}
        self.skipped = set()
        self.proc = subprocess.Popen(
            command + [broker.url] + ONLY, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            bufsize=1, start_new_session=True, env=dict(os.environ, **env))
        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.proc.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def answer(self, value):
        self.proc.stdin.write("%s\n" % value)
        self.proc.stdin.flush()

    def start_extra(self, conf):
        self.stop_extra()
        if conf == "none":
            return "ok"
        self.extra = Extra(self.broker.workers, conf)
        return self.extra.urls()

    def stop_extra(self):
        extra, self.extra = self.extra, None
        if extra:
            with put_away(extra):
                extra.finish()

    def orders(self, word, rest):
        """The answer to an order that concerns the extra server."""
        extra = self.extra
        if word == "server":
            return self.start_extra(rest)
        if word == "reload":
            extra.reload(CONFS[rest])
        elif word == "logged":
            count, text = rest.split(" ", 1)
            return extra.logged(int(count), text)
        elif word == "infos":
            return extra.infos()
        elif word == "hang":
            return extra.hang(self.proc.pid)
        elif word == "down":
            extra.down()
        elif word == "up":
            extra.start()
        elif word == "cut":
            return extra.proxy.cut()
        elif word == "heal":
            extra.proxy.heal()
        elif word == "mute":
            extra.proxy.muted = True
        elif word == "stall":
            extra.proxy.stall()
        elif word == "say":
            extra.proxy.say(rest.encode() + b"\r\n")
        return "ok"

    def do(self, line):
        broker = self.broker
        word, _, rest = line.partition(" ")
        if line == "kill":
            cut, spread = broker.kill_worker(self.proc.pid)
            check(spread >= min(broker.workers, 2),
                  "all connections are in one of %d workers", broker.workers)
            self.answer(cut)
        elif line == "restart":
            cut = len(wait_for(lambda: broker.serving(self.proc.pid),
                               "connections"))
            broker.restart()
            self.answer(cut)
        elif word in ORDERS:
            self.answer(self.orders(word, rest))
        else:
            took = time.monotonic() - self.begun
            print("  %s%s" % (line, " (%.1f s)" % took if took >= 1 else ""),
                  flush=True)
            self.begun += took
            found = re.match(r"(not ok|ok|skip) ([\w-]+)", line)
            if found and found.group(1) == "skip":
                self.skipped.add(found.group(2))
            elif found:
                good = found.group(1) == "ok"
                self.results[found.group(2)] = good
                if not good and self.extra:
                    print("its server's log:\n" + self.extra.log()[-4000:])

    def to_end(self, names, may_skip):
        end = time.monotonic() + RUN_LIMIT
        try:
            while True:
                try:
                    line = self.lines.get(timeout=end - time.monotonic())
                except (queue.Empty, ValueError):
                    raise Failure("the client does not end")
                if line is None:
                    break
                self.do(line)
            status = self.proc.wait(TIMEOUT)
        finally:
            with contextlib.suppress(OSError):
                os.killpg(self.proc.pid, signal.SIGKILL)
            self.proc.wait()
            self.stop_extra()
        for name in ONLY or names:
            if name in self.skipped and name in may_skip:
                continue
            check(name in self.results, "nothing said of %s", name)
            check(self.results[name], "%s is not ok", name)
        equal(status, 0, "exit status of the client")


def attempt(title, workers, function):
    """One run with that number of workers: whether it was good."""
    begun = time.monotonic()
    broker = None
    print("%s, %d worker%s:" % (title, workers, "s" * (workers > 1)),
          flush=True)
    try:
        broker = function(workers)
        good = True
    except (Failure, OSError, subprocess.SubprocessError) as error:
        print("FAIL: %s" % error)
        good = False
    print("%s %s, workers %d (%.1f s)" % (
        "PASS" if good else "FAIL", title, workers,
        time.monotonic() - begun), flush=True)
    return good


def run_program(command, env=None, depth=False, may_skip=()):
    """A function for main(): runs the program against a fresh broker.
    depth: it has those behaviours too; may_skip: but not these."""
    names = BEHAVIOURS + DEPTH if depth else BEHAVIOURS

    def one(workers):
        with put_away(Broker(workers)) as broker:
            Run(command, broker, env or {}).to_end(names, may_skip)
            broker.finish()
    return one


def main(title, name, build, workers=(1, 2, 4)):
    """Build the client, then run it with each number of workers.  build is
    called with the place and returns a function of the number of workers
    that raises Failure when something does not work."""
    if program() is None:
        print("SKIP: no natsd to test (set NATSD)")
        return 1 if CI else 77
    # who is stopped from outside stops natsd and the client first
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    place = Place(name)
    begun = time.monotonic()
    try:
        with place.locked():
            function = build(place)
    except Missing as error:
        print("%s: %s cannot be tested: %s" % (
            "FAIL" if CI else "SKIP", title, error))
        return 1 if CI else 77
    except Failure as error:
        print("FAIL: %s cannot be built: %s" % (title, error))
        return 1
    print("# built in %.1f s" % (time.monotonic() - begun), flush=True)
    if REFERENCE:
        workers = workers[:1]
    results = [attempt(title, number, function) for number in workers]
    print("%s: %d passed, %d failed" % (title, results.count(True),
                                        results.count(False)))
    return 0 if all(results) else 1
