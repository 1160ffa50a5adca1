#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Measures NATS servers against each other, in turns, on this machine.

For each load and round every server is started afresh on a free port, loaded
by natsload, and stopped; the table shows medians over the rounds.  CPU is
utime + stime of the server's whole process tree, memory is the PSS of that
tree.  A run in which a message was lost, doubled, out of order or damaged
counts as failed and is shown as such.

  run.py --build build --natsd build/natsd
  run.py --build build --natsd build/natsd --loads 1:1-16,rr-1 --rounds 7
  run.py --build build --servers relay,nats,natsd@workers=2:place=cross

Servers: relay, nats (nats-server), natsd, natsd@KEY=VALUE:... with
  workers=N    configuration option
  place=P      any, same or cross: both ends in one worker or in two
  bin=PATH     another binary; for nats too (nats@bin=PATH)
  name=TEXT    heading of the column
"""
import argparse
import datetime
import json
import os
import platform
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

NS, US, BYTES, PERS, SECS, PCT = "ns", "us", "B", "/s", "s", "%"

# What of a result is shown: key, unit.  The first one is compared.
CPU = [("cpu_ns", NS), ("msgs_per_s", PERS), ("own_cpu_ns", NS)]
LAT = [("lat_p50_us", US), ("lat_p99_us", US), ("cpu_ns", NS)]
RR = [("cpu_ns", NS), ("rtt_p50_us", US), ("rtt_p99_us", US)]
CONNS = [("cpu_ns", NS), ("seconds", SECS), ("bytes", BYTES),
         ("idle_cpu_percent", PCT), ("open_p50_us", US),
         ("open_p99_us", US)]
SUBS = [("bg_bytes", BYTES), ("bg_seconds", SECS), ("bg_cpu_ns", NS)]
SUBLAT = [("sub_p50_us", US), ("sub_p99_us", US), ("unsub_p50_us", US),
          ("cpu_ns", NS)]
CHURN = [("cpu_ns", NS), ("changes_per_s", PERS)]


def load(text, mode, args, show, slow=None, fast=None, relay=False):
    """slow, fast: messages per sender for nats-server; for the others."""
    return dict(text=text, mode=mode, args=args.split(), show=show,
                slow=slow, fast=fast, relay=relay)


M = 1000000
LOADS = {
    "pub-16": load("publish only, 16 B", "pubsub", "--subs 0", CPU,
                   8 * M, 40 * M, True),
    "1:1-16": load("1:1, 16 B", "pubsub", "", CPU, 4 * M, 24 * M, True),
    "1:1-128": load("1:1, 128 B", "pubsub", "--size 128", CPU,
                    2 * M, 8 * M, True),
    "1:1-1k": load("1:1, 1 KB", "pubsub", "--size 1024", CPU,
                   M // 2, 2 * M, True),
    "1:1-64k": load("1:1, 64 KB", "pubsub", "--size 65536", CPU,
                    20000, 40000, True),
    "1:1-1m": load("1:1, 1 MB", "pubsub", "--size 1048576", CPU,
                   1500, 3000, True),
    "1:10-16": load("1:10, 16 B", "pubsub", "--subs 10", CPU,
                    M, 5 * M, True),
    "1:1000-128": load("1:1000, 128 B", "pubsub", "--subs 1000 --size 128",
                       CPU, 10000, 20000, True),
    "10:10-16": load("10:10, 16 B", "pubsub", "--pubs 10 --subs 10", CPU,
                     M // 10, M // 2),
    "pairs-4": load("4 pairs, 16 B", "pubsub", "--pubs 4 --pairs", CPU,
                    M, 6 * M),
    "queue-4:4": load("queue 4:4, 16 B", "pubsub",
                      "--pubs 4 --subs 4 --queue", CPU, M // 2, 3 * M),
    "rr-1": load("request-reply, 1 at a time", "rr", "--count 15000", RR),
    "rr-32": load("request-reply, 32 at a time", "rr",
                  "--count 100000 --inflight 32", RR),
    "paced-1:1": load("paced 10,000 msg/s, 1:1", "paced",
                      "--rate 10000 --secs 3", LAT, relay=True),
    "paced-1:10": load("paced 10,000 msg/s, 1:10", "paced",
                       "--rate 10000 --secs 3 --subs 10", LAT, relay=True),
    "conns": load("10,000 clients connect, one subscription each", "conns",
                  "--conns 10000 --inflight 256 --secs 5", CONNS),
    "subs-1m": load("1 M distinct subscriptions", "subs",
                    "--background 1000000", SUBS),
    "subs-1m-x": load("1 M, distinct in the token before the last", "subs",
                      "--background 1000000 --bg-unique", SUBS),
    "sublat": load("SUB+PING", "sublat", "--count 5000", SUBLAT),
    "sublat-1m": load("SUB+PING beside 1 M subscriptions", "sublat",
                      "--count 5000 --background 1000000", SUBLAT),
    "churn": load("SUB+UNSUB, as fast as it goes", "churn", "--secs 2",
                  CHURN),
    "churn-50k": load("50,000 SUB and UNSUB per second", "churn",
                      "--secs 3 --rate 50000", CHURN),
    "match-1k": load("1:1 16 B over 1,000 subjects, beside 1 k others",
                     "pubsub", "--subjects 1000 --background 1000", CPU,
                     2 * M, 10 * M),
    "match-100k": load("the same beside 100 k others", "pubsub",
                       "--subjects 1000 --background 100000", CPU,
                       2 * M, 10 * M),
    "match-1m": load("the same beside 1 M others", "pubsub",
                     "--subjects 1000 --background 1000000", CPU,
                     2 * M, 10 * M),
    "walk": load("100,000 subjects under one wildcard", "pubsub",
                 "--subjects 100000 --wild", CPU, M, 6 * M),
    "walk-spread": load("the same, 1,000 subscriptions in each worker",
                        "pubsub", "--subjects 100000 --wild "
                        "--background 48000 --bg-conns 48", CPU, M, 4 * M),
}
DEFAULT = ["pub-16", "1:1-16", "1:1-128", "1:1-1k", "1:1-64k", "1:10-16",
           "pairs-4", "queue-4:4", "rr-1", "rr-32", "paced-1:1", "conns",
           "subs-1m", "subs-1m-x", "sublat", "sublat-1m", "churn", "churn-50k",
           "match-1k", "match-100k", "match-1m"]


def raise_nofile():
    """Root may go above the hard limit, others take what they have."""
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (200000, 200000))
    except (ValueError, OSError):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def free_port():
    """A port that is free, and so is the one after it."""
    while True:
        a, b = socket.socket(), socket.socket()
        try:
            a.bind(("127.0.0.1", 0))
            port = a.getsockname()[1]
            b.bind(("127.0.0.1", port + 1))
            return port
        except (OSError, OverflowError):
            continue
        finally:
            a.close()
            b.close()


class Server:
    """One server of the comparison; knows how to start and stop it."""

    def __init__(self, spec, opts):
        kind, _, rest = spec.partition("@")
        self.kind, self.opts, self.proc = kind, opts, None
        self.set = dict(x.split("=", 1) for x in rest.split(":") if x)
        if kind not in ("relay", "nats", "natsd"):
            sys.exit("run.py: unknown server %s" % spec)
        self.name = self.set.get("name", spec)
        self.place = self.set.get("place", "any")
        default = {"relay": os.path.join(opts.build, "natsrelay"),
                   "nats": opts.nats, "natsd": opts.natsd}[kind]
        self.bin = self.set.get("bin", default)

    def config(self):
        lines = ['listen = {"127.0.0.1:%d"}' % self.port]
        if "workers" in self.set:
            lines.append("workers = " + self.set["workers"])
        lines += self.opts.conf
        path = os.path.join(self.dir.name, "natsd.conf")
        with open(path, "w") as f:
            f.write("\n".join(lines) + "\n")
        return path

    def command(self):
        if self.kind == "relay":
            return [self.bin, str(self.port), str(self.opts.relay_read)]
        if self.kind == "nats":
            return [self.bin, "-p", str(self.port), "-a", "127.0.0.1"]
        return [self.bin, "-c", self.config()] + self.opts.natsd_args

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
                        time.sleep(0.2)
                        return
            except OSError:
                time.sleep(0.02)
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
        out = subprocess.run([self.bin, "--version"], text=True,
                             capture_output=True)
        return (out.stdout or out.stderr).strip().split("\n")[0]


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


def perf_start(server, name, opts):
    out = os.path.join(opts.perf, "%s-%s.data" % (
        name.replace(":", "_"), server.kind))
    pids = ",".join(map(str, tree(server.proc.pid)))
    proc = subprocess.Popen(
        ["perf", "record", "-e", "cpu-clock", "-F", "1999", "-g", "-o", out,
         "-p", pids], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    return proc, out


def perf_stop(proc, out):
    proc.send_signal(signal.SIGINT)
    proc.wait()
    text = subprocess.run(
        ["perf", "report", "--stdio", "--no-children", "-g", "none",
         "--percent-limit", "1", "--sort", "symbol", "-i", out],
        capture_output=True, text=True).stdout
    lines = [x for x in text.split("\n") if x.strip() and x[0] != "#"]
    print("\n".join(lines[:25]))


def run_once(server, name, opts):
    """Starts the server, puts the load on it, stops it; the result."""
    ld = LOADS[name]
    cmd = [os.path.join(opts.build, "natsload")] + ld["args"]
    count = ld["slow"] if server.kind == "nats" else ld["fast"]
    if count:
        count = max(int(count * opts.scale), 1)
        cmd += ["--msgs", str(count), "--warm", str(count // 20)]
    try:
        server.start()
    except (OSError, RuntimeError) as e:
        return {"ok": False, "error": str(e)}
    try:
        cmd += ["--port", str(server.port), "--pid", str(server.proc.pid)]
        cmd += ["--place", server.place] + opts.load_args
        if server.kind == "relay":
            cmd.append("--relay")
        cmd.append(ld["mode"])
        if opts.perf:
            rec = perf_start(server, name, opts)
        out = subprocess.run(cmd, capture_output=True, text=True,
                             timeout=opts.limit)
        if opts.perf:
            perf_stop(*rec)
        try:
            res = json.loads(out.stdout)
        except ValueError:
            res = {"ok": False, "error": "natsload: " +
                   (out.stdout + out.stderr)[-200:]}
        if server.proc.poll() is not None:
            res = {"ok": False, "error": "server ended with %s: %s" % (
                server.proc.returncode, server.log_text())}
        elif not res["ok"] and server.kind == "natsd":
            res["log"] = server.log_text()
        res["command"] = " ".join(cmd)
        return res
    except subprocess.TimeoutExpired:
        return {"ok": False, "error": "took more than %d s" % opts.limit}
    finally:
        server.stop()


def fmt(v, unit):
    if unit in (PERS, BYTES) or v >= 1000:
        return "{:,.0f}".format(v)
    return "%.3g" % v if v < 100 else "%.0f" % v


def ratio(a, b):
    return "%.2f" % (a / b) if a is not None and b else ""


def median(results, key):
    got = [r[key] for r in results if r.get("ok") and key in r]
    return statistics.median(got) if got else None


def rows(name, servers, results):
    """Lines of the table for one load."""
    out = []
    nats = next((s for s in servers if s.kind == "nats"), None)
    relay = next((s for s in servers if s.kind == "relay"), None)
    ours = [s for s in servers if s.kind == "natsd"]
    for i, (key, unit) in enumerate(LOADS[name]["show"]):
        row = [LOADS[name]["text"] if i == 0 else "", "%s" % key]
        med = {}
        for s in servers:
            med[s] = median(results[s.name], key)
            bad = sum(not r["ok"] for r in results[s.name])
            cell = "-" if med[s] is None else fmt(med[s], unit)
            if bad and i == 0:
                cell += " (%d FAILED)" % bad
            row.append(cell)
        for s in ours:
            row.append(ratio(med.get(nats), med[s]))
            row.append(ratio(med[s], med.get(relay)))
        out.append(row)
    return out


def heading(servers):
    head = ["load", "figure"] + [s.name for s in servers]
    for s in servers:
        if s.kind == "natsd":
            head += ["nats / " + s.name, s.name + " / relay"]
    return head


def table(head, body):
    width = [max(len(r[i]) for r in [head] + body) for i in range(len(head))]
    lines = []
    for n, r in enumerate([head] + body):
        lines.append("| " + " | ".join(
            c.ljust(w) if i < 2 else c.rjust(w)
            for i, (c, w) in enumerate(zip(r, width))) + " |")
        if n == 0:
            lines.append("|" + "|".join("-" * (w + 2) for w in width) + "|")
    return "\n".join(lines)


def machine():
    model = platform.processor()
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return "%s, %d CPUs, Linux %s" % (model, os.cpu_count(),
                                      platform.release())


def arguments():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--build", default=".",
                   help="folder that holds natsload and natsrelay")
    p.add_argument("--natsd", help="natsd binary")
    p.add_argument("--nats", default="nats-server",
                   help="nats-server binary")
    p.add_argument("--servers", help="comma-separated; default relay,nats "
                   "and, if given, natsd")
    p.add_argument("--loads", help="comma-separated, or all; known: " +
                   " ".join(LOADS))
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--scale", type=float, default=1,
                   help="factor on the number of messages")
    p.add_argument("--conf", action="append", default=[],
                   help="line for natsd's configuration (repeatable)")
    p.add_argument("--natsd-args", type=str.split, default=[],
                   help="more arguments for natsd")
    p.add_argument("--load-args", type=str.split, default=[],
                   help="more arguments for natsload")
    p.add_argument("--relay-read", type=int, default=32768,
                   help="bytes that the relay reads at once")
    p.add_argument("--limit", type=int, default=300,
                   help="seconds that one run may take")
    p.add_argument("--perf", help="profile the servers, data to this folder")
    p.add_argument("--json", help="write all results to this file")
    p.add_argument("--md", help="append the table to this file")
    return p.parse_args()


def measure(opts, servers, names):
    everything, body = {}, []
    for name in names:
        here = [s for s in servers
                if s.kind != "relay" or LOADS[name]["relay"]]
        results = {s.name: [] for s in servers}
        for n in range(opts.rounds):
            for s in here if n % 2 == 0 else here[::-1]:
                res = run_once(s, name, opts)
                results[s.name].append(res)
                key, unit = LOADS[name]["show"][0]
                print("%-11s %d/%d %-20s %s" % (
                    name, n + 1, opts.rounds, s.name,
                    "%s %s" % (fmt(res.get(key, 0), unit), unit)
                    if res["ok"] else "FAILED: %s" % res["error"]),
                    file=sys.stderr, flush=True)
        everything[name] = results
        body += rows(name, servers, results)
    return everything, body


def main():
    opts = arguments()
    opts.build = os.path.abspath(opts.build)
    if opts.natsd:
        opts.natsd = os.path.abspath(opts.natsd)
    sub = os.path.join(opts.build, "tests", "bench")
    if os.path.exists(os.path.join(sub, "natsload")):
        opts.build = sub
    spec = opts.servers or ("relay,nats,natsd" if opts.natsd
                            else "relay,nats")
    servers = [Server(s, opts) for s in spec.split(",")]
    names = list(LOADS) if opts.loads == "all" else \
        opts.loads.split(",") if opts.loads else DEFAULT
    for name in names:
        if name not in LOADS:
            sys.exit("run.py: unknown load %s" % name)
    raise_nofile()
    everything, body = measure(opts, servers, names)
    text = "%s\n%s; load average %s\n%s\nmedians of %d rounds; %s\n\n%s\n" % (
        datetime.datetime.now(datetime.timezone.utc).strftime(
            "%Y-%m-%d %H:%M UTC"),
        machine(), "%.1f %.1f %.1f" % os.getloadavg(),
        "; ".join("%s: %s" % (s.name, s.version()) for s in servers),
        opts.rounds, " ".join(sys.argv), table(heading(servers), body))
    print(text)
    if opts.md:
        with open(opts.md, "a") as f:
            f.write(text + "\n")
    if opts.json:
        with open(opts.json, "w") as f:
            json.dump({"machine": machine(), "command": sys.argv,
                       "loads": everything}, f, indent=1)
    bad = sum(not r["ok"] for res in everything.values()
              for rs in res.values() for r in rs)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
