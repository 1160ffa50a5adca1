#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Measures NATS servers against each other, in turns, on this machine.

For each load and round every server is started afresh on a free port, loaded
by natsbench, and stopped; the table shows medians over the rounds.  CPU is
utime + stime of the server's whole process tree, memory is the PSS of that
tree.  A run in which a message was lost, doubled, out of order or damaged
counts as failed and is shown as such.

  make bench                    all of it (about half an hour)
  make bench BENCH_QUICK=1      about two minutes, for a first look
  make bench ROUNDS=9 LOADS=1:1-16,rr-1 NATS_SERVERS="/opt/a /opt/b"

The servers: natsd with its default of one worker per CPU, natsd with one
worker ("1w"), natsrelay (copies bytes, no broker can need less), nats-server
if it is found, and each of NATS_SERVERS.  Goals that compare with the relay,
which is one process, look at the natsd with one worker; all others at the one
with the defaults.  There, where a load has two ends only, each second round
puts them into different workers, and the figure is what connections that come
to any worker have on average.
"""
import argparse
import datetime
import json
import os
import platform
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

NS, US, MS, BYTES, PERS, PCT, PART = "ns", "us", "ms", "B", "/s", "%", "x"


# ------------------------------------------------------------------ the loads

class Goal:
    """What a figure of natsd is compared with, and how it should be."""

    def __init__(self, kind, limit, other=None):
        self.kind, self.limit, self.other = kind, limit, other

    def text(self):
        return {"relay": "<= %g relay", "peer": "peer >= %g",
                "most": "<= %g peer", "own": "<= %%g x (%s)" % self.other,
                "abs": "<= %g"}[self.kind] % self.limit


def relay(limit):
    """natsd with one worker takes at most so much of the relay's."""
    return Goal("relay", limit)


def peer(limit):
    """Each peer takes at least so many times natsd's."""
    return Goal("peer", limit)


def most(limit):
    """natsd takes at most that part of each peer's."""
    return Goal("most", limit)


def own(limit, other):
    """natsd takes at most so many times what it takes with another load."""
    return Goal("own", limit, other)


def at_most(limit):
    return Goal("abs", limit)


class Load:
    """Arguments of natsbench, and the figures that are shown.  A figure is
    (key, unit, goals...); the first one is what a load is known by."""

    def __init__(self, text, args, *figures, relayed=False, two_ends=False,
                 secs=None, servers="all"):
        self.text, self.args, self.figures = text, args.split(), figures
        self.relayed, self.two_ends, self.secs = relayed, two_ends, secs
        self.servers = servers


def cpu(*goals):
    return ("server_cpu_ns", NS) + goals


RATE = ("msgs_per_s", PERS)
ONE = dict(relayed=True, two_ends=True)
SPREAD = "pubsub --subjects 100000 --wildcard"
LOADS = {
    "pub-16": Load("publish only, 16 B", "pub", cpu(relay(1.5), peer(7)),
                   relayed=True),
    "1:1-16": Load("1:1, 16 B", "pubsub", cpu(relay(1.25), peer(10)), RATE,
                   **ONE),
    "1:1-128": Load("1:1, 128 B", "pubsub --size 128",
                    cpu(relay(1.15), peer(5)), **ONE),
    "1:1-1k": Load("1:1, 1 KB", "pubsub --size 1K",
                   cpu(relay(1.15), peer(3.5)), **ONE),
    "1:1-64k": Load("1:1, 64 KB", "pubsub --size 64K",
                    cpu(relay(1.15), peer(2.8)), **ONE),
    "1:1-1m": Load("1:1, 1 MB", "pubsub --size 1M",
                   cpu(relay(0.75), peer(3.5)), **ONE),
    "1:10-16": Load("1:10, 16 B", "pubsub --subs 10",
                    cpu(relay(1.5), peer(15)), relayed=True),
    "1:1000-128": Load("1:1000, 128 B", "pubsub --subs 1000 --size 128",
                       cpu(relay(1.25), peer(4)), relayed=True),
    "1:1-sizes": Load("1:1, 16 to 256 B at random", "pubsub --size 16..256",
                      cpu(relay(1.6), own(2, "1:1-16")), **ONE),
    "1:1-subjects": Load("1:1, 8 subjects at random, 16 B",
                         "pubsub --subjects 8",
                         cpu(relay(1.6), own(2, "1:1-16")), **ONE),
    "pairs-4": Load("4 pairs, 16 B", "pubsub --pubs 4 --pairs",
                    cpu(peer(10))),
    "queue-4:4": Load("queue group 4:4, 16 B",
                      "pubsub --pubs 4 --subs 4 --queue", cpu(peer(10))),
    "10:10-16": Load("10:10, 16 B", "pubsub --pubs 10 --subs 10",
                     cpu(peer(8))),
    "headers": Load("1:1, 128 B and a header", "pubsub --size 128 "
                    "--headers 1", cpu(peer(5)), two_ends=True),
    "walk": Load("100,000 subjects, one wildcard", SPREAD, cpu(peer(10)),
                 two_ends=True),
    "walk-500k": Load("the same beside 500,000 others",
                      SPREAD + " --others 500000 --settle 0",
                      cpu(own(1.2, "walk")), two_ends=True),
    "rr-1": Load("request-reply", "request", cpu(peer(2.3)),
                 ("lat_p50_us", US, most(0.8)), ("lat_p99_us", US, most(0.4)),
                 two_ends=True),
    "rr-32": Load("request-reply, 32 at a time", "request -c 32",
                  cpu(peer(2.3)), ("lat_p50_us", US, most(0.8)),
                  ("lat_p99_us", US, most(0.4)), two_ends=True),
    "paced-1:1": Load("10,000 msg/s, 1:1", "latency",
                      ("lat_p99_us", US, relay(1.2)), ("lat_p50_us", US),
                      cpu(), secs=3, **ONE),
    "paced-1:10": Load("10,000 msg/s, 1:10", "latency --subs 10",
                       ("lat_p99_us", US, relay(1.2)), ("lat_p50_us", US),
                       cpu(), secs=3, relayed=True),
    "conns": Load("10,000 connections", "idle -C 10000",
                  cpu(peer(4)), ("conn_bytes", BYTES, at_most(700)),
                  ("idle_cpu_percent", PCT, at_most(0.02)),
                  ("open_p99_us", US), secs=5),
    "subs-500k": Load("500,000 subscriptions", "subs --count 500000",
                      ("sub_bytes", BYTES, at_most(150)),
                      ("sub_cpu_ns", NS)),
    "subping": Load("SUB and PING", "subping", ("sub_p50_us", US),
                    ("sub_p99_us", US), cpu()),
    "workers": Load("1:1, 16 B, by place", "pubsub", cpu(), RATE,
                    servers="places"),
    "workers-rr": Load("request-reply, by place", "request", cpu(),
                       ("lat_p50_us", US), ("lat_p99_us", US),
                       servers="places"),
    "churn": Load("1:1, 16 B, beside 50,000 SUB+UNSUB/s",
                  "churn --changes 50000", ("throughput_kept", PART),
                  ("alone_server_cpu_ns", NS), ("beside_server_cpu_ns", NS)),
    "churn-conns": Load("1:1, 16 B, beside 500 connects/s",
                        "churn --connects 500", ("throughput_kept", PART),
                        ("beside_server_cpu_ns", NS)),
    "firehose": Load("1,000 msg/s beside a firehose", "firehose",
                     ("beside_lat_p99_us", US), ("alone_lat_p99_us", US),
                     ("hose_msgs_per_s", PERS), secs=3),
    "stall": Load("1:2, 16 B, one does not read", "stall",
                  ("throughput_kept", PART), ("beside_pause_ms", MS),
                  ("stalled_closed", ""), secs=3),
    "stall-apart": Load("1:1 beside 1:1 that is not read", "stall --apart",
                        ("throughput_kept", PART), ("beside_pause_ms", MS),
                        ("stalled_closed", ""), secs=3),
}

# What makes a quick look quick.
QUICK = {"walk-500k": "--others 100000", "conns": "-C 2000 --settle 0.5 -d 1",
         "subs-500k": "--count 100000 --settle 0.3"}


# ---------------------------------------------------------------- the servers

def raise_nofile():
    """Root may go above the hard limit, others take what they have."""
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (200000, 200000))
    except (ValueError, OSError):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """One server of the comparison; knows how to start and stop it."""

    def __init__(self, name, kind, path, workers=0, place=None):
        self.name, self.kind, self.path = name, kind, path
        self.workers, self.place = workers, place
        self.proc = None

    def count(self):
        """How many workers it has."""
        return self.workers or len(os.sched_getaffinity(0))

    def command(self):
        if self.kind == "relay":
            return [self.path, str(self.port)]
        if self.kind == "peer":
            return [self.path, "-p", str(self.port), "-a", "127.0.0.1"]
        conf = os.path.join(self.dir.name, "natsd.conf")
        with open(conf, "w") as f:
            f.write('listen = {"127.0.0.1:%d"}\nworkers = %d\n' % (
                self.port, self.workers))
        return [self.path, "-c", conf]

    def start(self):
        self.dir = tempfile.TemporaryDirectory(prefix="natsbench")
        self.port = free_port()
        self.log = open(os.path.join(self.dir.name, "log"), "w+")
        self.proc = subprocess.Popen(
            self.command(), stdin=subprocess.DEVNULL, stdout=self.log,
            stderr=self.log, cwd=self.dir.name)
        end = time.monotonic() + 10
        while time.monotonic() < end and self.proc.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port),
                                              1) as s:
                    if s.recv(4096):
                        time.sleep(0.1)
                        return
            except OSError:
                time.sleep(0.01)
        text = self.log_text()
        self.stop()
        raise RuntimeError("%s does not start: %s" % (self.name, text))

    def log_text(self):
        self.log.flush()
        self.log.seek(0)
        return self.log.read()[-600:].strip()

    def stop(self):
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
            try:
                self.proc.wait(10)
            except subprocess.TimeoutExpired:
                print("run.py: %s had to be killed" % self.name,
                      file=sys.stderr)
                self.proc.kill()
                self.proc.wait()
        self.log.close()
        self.dir.cleanup()

    def version(self):
        if self.kind == "relay":
            return "byte relay"
        out = subprocess.run([self.path, "--version"], text=True,
                             capture_output=True)
        return (out.stdout or out.stderr).strip().split("\n")[0]


def peer_name(path):
    out = subprocess.run([path, "--version"], text=True, capture_output=True)
    found = re.search(r"\d+\.\d+\.\d+\S*", out.stdout + out.stderr)
    return "nats %s" % (found.group(0) if found else os.path.basename(path))


def peers():
    """nats-server, if it is there, and what NATS_SERVERS names."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
    paths = [shutil.which("nats-server", path=path)]
    paths += os.environ.get("NATS_SERVERS", "").split()
    made = {}
    for one in paths:
        if one and os.path.realpath(one) not in made:
            if not os.access(one, os.X_OK):
                sys.exit("run.py: there is no %s" % one)
            made[os.path.realpath(one)] = Server(peer_name(one), "peer", one)
    return list(made.values())


class Servers:
    def __init__(self, opts):
        self.natsd = Server("natsd", "natsd", opts.natsd)
        self.one = Server("natsd 1w", "natsd", opts.natsd, 1)
        self.relay = Server("relay", "relay", opts.relay)
        self.peers = peers()
        self.places = [self.one] + [
            Server("natsd 4w %s" % place, "natsd", opts.natsd, 4, place)
            for place in ("same", "cross")]

    def of(self, load):
        if load.servers == "places":
            return self.places
        found = [self.natsd, self.one]
        if load.relayed:
            found.append(self.relay)
        return found + self.peers

    def all(self):
        return [self.natsd, self.one, self.relay] + self.peers


# ------------------------------------------------------------------- the runs

def tree(pid):
    """The process and all below it."""
    kids, found = {}, [pid]
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/%s/stat" % name) as f:
                    ppid = int(f.read().rpartition(")")[2].split()[1])
                kids.setdefault(ppid, []).append(int(name))
            except (OSError, ValueError):
                pass
    for p in found:
        found += kids.get(p, [])
    return found


class Perf:
    """A profile of the server during the run, if one is wanted."""

    def __init__(self, opts, server, name):
        self.proc = None
        if not opts.perf:
            return
        self.out = os.path.join(opts.perf, "%s-%s.data" % (
            name.replace(":", "_"), server.name.replace(" ", "_")))
        self.proc = subprocess.Popen(
            ["perf", "record", "-e", "cpu-clock", "-F", "1999", "-g", "-o",
             self.out, "-p", ",".join(map(str, tree(server.proc.pid)))],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.5)

    def stop(self):
        if not self.proc:
            return
        self.proc.send_signal(signal.SIGINT)
        self.proc.wait()
        text = subprocess.run(
            ["perf", "report", "--stdio", "--no-children", "-g", "none",
             "--percent-limit", "1", "--sort", "symbol", "-i", self.out],
            capture_output=True, text=True).stdout
        lines = [x for x in text.split("\n") if x.strip() and x[0] != "#"]
        print("\n".join(lines[:25]))


def place_of(server, load, n):
    """Where the ends of round n are, None: anywhere."""
    if server.kind != "natsd":
        return None
    if server.place:
        return server.place
    if load.two_ends and server.count() > 1:
        return ("same", "cross")[n % 2]
    return None


def arguments_of(server, load, name, n, opts):
    args = [opts.natsbench] + load.args
    if load.args[0] not in ("idle", "subs"):
        args += ["-d", "%g" % ((load.secs or 2) * opts.scale)]
    elif load.secs:
        args += ["-d", "%g" % load.secs]
    if opts.quick:
        args += QUICK.get(name, "").split()
    place = place_of(server, load, n)
    if place:
        args += ["--place", place]
    if server.kind == "relay":
        args.append("--relay")
    return args + ["-s", "127.0.0.1:%d" % server.port, "-p",
                   str(server.proc.pid), "--json"], place


def run_once(server, name, n, opts):
    """Starts the server, puts the load on it, stops it; the result."""
    load = LOADS[name]
    try:
        server.start()
    except (OSError, RuntimeError) as e:
        return {"ok": False, "error": str(e)}
    try:
        cmd, place = arguments_of(server, load, name, n, opts)
        perf = Perf(opts, server, name)
        out = subprocess.run(cmd, capture_output=True, text=True,
                             timeout=opts.limit)
        perf.stop()
        try:
            res = json.loads(out.stdout)
        except ValueError:
            res = {"ok": False, "error": (out.stdout + out.stderr)[-200:]}
        if server.proc.poll() is not None:
            res = {"ok": False, "error": "server ended with %s: %s" % (
                server.proc.returncode, server.log_text())}
        elif not res["ok"]:
            res["log"] = server.log_text()
        res["place"] = place
        return res
    except subprocess.TimeoutExpired:
        return {"ok": False, "error": "took more than %d s" % opts.limit}
    finally:
        server.stop()


def turns(load, servers, rounds):
    """(round, server): all in turns, each second round backwards.  With one
    round only, natsd runs twice if its ends may be in two places."""
    for n in range(rounds):
        for s in servers if n % 2 == 0 else servers[::-1]:
            yield n, s
            if rounds == 1 and not s.place and \
                    place_of(s, load, 1) == "cross":
                yield 1, s


def measure(opts, servers, names):
    """results[load][server]: what natsbench has said, a list over rounds"""
    results = {}
    for name in names:
        load = LOADS[name]
        here = servers.of(load)
        results[name] = {s.name: [] for s in here}
        key, unit = load.figures[0][:2]
        for n, s in turns(load, here, opts.rounds):
            res = run_once(s, name, n, opts)
            results[name][s.name].append(res)
            print("%-12s %d/%d %-14s %s" % (
                name, n + 1, opts.rounds, s.name,
                "%s %s" % (fmt(res.get(key, 0), unit), unit)
                if res["ok"] else "FAILED: %s" % res["error"]),
                file=sys.stderr, flush=True)
    return results


# ------------------------------------------------------------------ the table

def fmt(v, unit):
    if unit == PERS or abs(v) >= 1000:
        return "{:,.0f}".format(v)
    if unit == BYTES:
        return "%.0f" % v
    return "%.3g" % v if abs(v) < 100 else "%.0f" % v


def figure(runs, key, server):
    """The median; of runs in two kinds of places, what connections that come
    to any worker have on average."""
    by_place = {}
    for run in runs:
        if run.get("ok") and key in run:
            by_place.setdefault(run.get("place"), []).append(run[key])
    if not by_place:
        return None
    mid = {p: statistics.median(v) for p, v in by_place.items()}
    if set(mid) == {"same", "cross"}:
        same = 1 / server.count()
        return same * mid["same"] + (1 - same) * mid["cross"]
    return statistics.median(v for vs in by_place.values() for v in vs)


class Figures:
    """All figures: of(load, server, key)."""

    def __init__(self, results, servers):
        self.results, self.servers = results, servers

    def of(self, name, server, key):
        runs = self.results.get(name, {}).get(server.name, [])
        return figure(runs, key, server)

    def bad(self, name, server):
        runs = self.results.get(name, {}).get(server.name, [])
        return sum(not run["ok"] for run in runs)

    def judge(self, name, key, goal):
        """(what the figure is as the goal counts it, met?), or None"""
        s = self.servers
        ours = self.of(name, s.natsd, key)
        if goal.kind == "relay":
            one, floor = (self.of(name, x, key) for x in (s.one, s.relay))
            if one is None or not floor:
                return None
            return one / floor, one <= goal.limit * floor
        if ours is None:
            return None
        if goal.kind == "abs":
            return ours, ours <= goal.limit
        if goal.kind == "own":
            # With one worker: not where the ends are, but what they do.
            mine = self.of(name, s.one, key)
            base = self.of(goal.other, s.one, key)
            if mine is None or not base:
                return None
            return mine / base, mine <= goal.limit * base
        theirs = [self.of(name, p, key) for p in s.peers]
        theirs = [v for v in theirs if v is not None]
        if not theirs or not ours or not min(theirs):
            return None
        if goal.kind == "peer":
            return min(theirs) / ours, min(theirs) >= goal.limit * ours
        return ours / min(theirs), ours <= goal.limit * min(theirs)


def ratio(a, b):
    return "%.2f" % (a / b) if a is not None and b else ""


def verdicts(figs, name, key, goals):
    """Texts, and the same for the JSON."""
    texts, rows = [], []
    for goal in goals:
        found = figs.judge(name, key, goal)
        if found is None:
            continue
        texts.append("%s: %s" % (goal.text(),
                                 "met" if found[1] else "MISSED"))
        rows.append({"goal": goal.text(), "value": found[0],
                     "met": found[1]})
    return ", ".join(texts), rows


def cell(figs, name, server, key, unit, first):
    v = figs.of(name, server, key)
    bad = figs.bad(name, server) if first else 0
    return ("" if v is None else fmt(v, unit)) + (
        " (%d FAILED)" % bad if bad else "")


def main_rows(figs, servers, names, summary):
    out = []
    for name in names:
        load = LOADS[name]
        if load.servers != "all":
            continue
        for i, (key, unit, *goals) in enumerate(load.figures):
            ours = figs.of(name, servers.natsd, key)
            one = figs.of(name, servers.one, key)
            text, rows = verdicts(figs, name, key, goals)
            summary.append({"load": name, "text": load.text, "key": key,
                            "unit": unit, "goals": rows, "figures": {
                                s.name: figs.of(name, s, key)
                                for s in servers.of(load)}})
            out.append(
                [load.text if i == 0 else "", "%s %s" % (key.replace(
                    "server_cpu_ns", "CPU"), unit)] +
                [cell(figs, name, s, key, unit, i == 0)
                 for s in servers.all()] +
                [ratio(one, figs.of(name, servers.relay, key))] +
                [ratio(figs.of(name, p, key), ours) for p in servers.peers] +
                [text])
    return out


def place_rows(figs, servers, names, summary):
    out = []
    for name in names:
        load = LOADS[name]
        if load.servers != "places":
            continue
        for i, (key, unit, *_) in enumerate(load.figures):
            values = [figs.of(name, s, key) for s in servers.places]
            summary.append({"load": name, "text": load.text, "key": key,
                            "unit": unit, "goals": [], "figures": {
                                s.name: v for s, v in
                                zip(servers.places, values)}})
            out.append(
                [load.text if i == 0 else "", "%s %s" % (key.replace(
                    "server_cpu_ns", "CPU"), unit)] +
                [cell(figs, name, s, key, unit, i == 0)
                 for s in servers.places] +
                [ratio(v, values[0]) for v in values[1:]])
    return out


def table(head, body):
    width = [max(len(r[i]) for r in [head] + body) for i in range(len(head))]
    lines = []
    for n, r in enumerate([head] + body):
        lines.append("  ".join(
            c.ljust(w) if i < 2 or head[i] == "goals" else c.rjust(w)
            for i, (c, w) in enumerate(zip(r, width))).rstrip())
        if n == 0:
            lines.append("  ".join("-" * w for w in width))
    return "\n".join(lines)


def tables(figs, servers, names, summary):
    head = ["load", "figure"] + [s.name for s in servers.all()] + [
        "1w/relay"] + ["%s/natsd" % p.name for p in servers.peers] + ["goals"]
    body = main_rows(figs, servers, names, summary)
    text = table(head, body) + "\n" if body else ""
    body = place_rows(figs, servers, names, summary)
    if body:
        text += "\n" + table(
            ["load", "figure"] + [s.name for s in servers.places] +
            ["%s/1w" % s.name[6:] for s in servers.places[1:]], body) + "\n"
    return text


def machine():
    model = platform.processor()
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return "%s, %d CPUs, Linux %s" % (
        model, len(os.sched_getaffinity(0)), platform.release())


def arguments():
    env = os.environ.get
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--build", default="build",
                   help="folder of the programs (build)")
    p.add_argument("--rounds", type=int, default=int(env("ROUNDS") or 0),
                   help="default $ROUNDS, or else 5; quick: 1")
    p.add_argument("--quick", action="store_true",
                   default=env("BENCH_QUICK", "") not in ("", "0"),
                   help="short runs; default if $BENCH_QUICK is set")
    p.add_argument("--loads", default=env("LOADS") or "all",
                   help="comma-separated; known: " + " ".join(LOADS))
    p.add_argument("--scale", type=float, default=0,
                   help="factor on the length of runs")
    p.add_argument("--limit", type=int, default=300,
                   help="seconds that one run may take")
    p.add_argument("--perf", help="profile the servers, data to this folder")
    p.add_argument("--json", help="write all results to this file")
    opts = p.parse_args()
    opts.build = os.path.abspath(opts.build)
    opts.natsd = os.path.join(opts.build, "natsd")
    opts.natsbench = os.path.join(opts.build, "natsbench")
    opts.relay = os.path.join(opts.build, "tests", "bench", "natsrelay")
    for path in opts.natsd, opts.natsbench, opts.relay:
        if not os.access(path, os.X_OK):
            p.error("there is no %s (see --build)" % path)
    opts.rounds = opts.rounds or (1 if opts.quick else 5)
    opts.scale = opts.scale or (0.12 if opts.quick else 1)
    return opts


def main():
    opts = arguments()
    names = list(LOADS) if opts.loads == "all" else opts.loads.split(",")
    for name in names:
        if name not in LOADS:
            sys.exit("run.py: unknown load %s" % name)
    servers = Servers(opts)
    raise_nofile()
    before, begun = os.getloadavg()[0], time.monotonic()
    results = measure(opts, servers, names)
    took = time.monotonic() - begun
    summary = []
    text = tables(Figures(results, servers), servers, names, summary)
    met = [goal["met"] for row in summary for goal in row["goals"]]
    head = {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime(
            "%Y-%m-%d %H:%M UTC"),
        "machine": machine(), "rounds": opts.rounds, "quick": opts.quick,
        "load_average_before": before, "seconds": took,
        "servers": {s.name: {"kind": s.kind, "version": s.version()}
                    for s in servers.all()}}
    print("%s, %s\nload average before %.1f; medians of %d round%s%s, "
          "%.0f s\n%s\n\n%s\n%d of %d goals met" % (
              head["date"], head["machine"], before, opts.rounds,
              "" if opts.rounds == 1 else "s",
              ", quick: a first look only" if opts.quick else "", took,
              "\n".join("%s: %s" % (name, one["version"])
                        for name, one in head["servers"].items()),
              text, sum(met), len(met)))
    if before > 0.5:
        print("Others were at work on this machine: figures are worth little.")
    if opts.json:
        with open(opts.json, "w") as f:
            json.dump(dict(head, summary=summary, runs=results), f, indent=1)
    bad = sum(not run["ok"] for load in results.values()
              for runs in load.values() for run in runs)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
