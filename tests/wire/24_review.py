#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The master's corners: closed descriptors, limits, leaks, odd moments."""

import contextlib
import os
import re
import resource
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
from natsdtest import *  # noqa: E402,F403

suite = Suite("review", workers=(2,))


def descriptors(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


def spawn(server, setup, args=()):
    """Start natsd with setup() run in the new process before it."""
    with open(server.err_path, "ab") as log:
        server.proc = subprocess.Popen(
            server.command() + list(args), stdin=subprocess.DEVNULL,
            stdout=log, stderr=log, cwd=server.dir, start_new_session=True,
            preexec_fn=setup)
    server.pid = server.proc.pid


def close_standard():
    for fd in range(3):
        os.close(fd)


def ignore_ends():
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    signal.signal(signal.SIGABRT, signal.SIG_IGN)


@suite.scenario("SIGALRM and SIGABRT ignored at the start end a worker all "
                "the same", reference=False)
def ignored_ends(env):
    server = env.own_server(start=False)
    spawn(server, ignore_ends)
    server.wait_ready()
    for pid in server.worker_pids():
        with open("/proc/%d/status" % pid) as file:
            found = re.search(r"^SigIgn:\s*([0-9a-f]+)$", file.read(), re.M)
        for number in (signal.SIGALRM, signal.SIGABRT):
            check(not int(found.group(1), 16) >> number - 1 & 1,
                  "worker %d ignores signal %d", pid, number)


@suite.scenario("0, 1 and 2 closed at the start", reference=False)
def closed_standard(env):
    server = env.own_server(start=False)
    spawn(server, close_standard)
    server.wait_ready()
    env.client(C0, server).expect_nothing()
    for pid in server.tree():
        for fd in range(3):
            equal(os.readlink("/proc/%d/fd/%d" % (pid, fd)), "/dev/null",
                  "descriptor %d" % fd)


@suite.scenario("-d with 0, 1 and 2 closed", reference=False)
def closed_detached(env):
    server = env.own_server(start=False)
    log = server.path("log")
    pid_path = server.path("natsd.pid")
    server.allowed.add("log")
    spawn(server, close_standard, ["-d", "-l", log, "-P", pid_path])
    equal(server.proc.wait(TIMEOUT), 0, "exit status")
    server.proc = None
    with open(pid_path) as file:
        server.pid = int(file.read())
    server.wait_ready()
    env.client(C0, server).expect_nothing()


@suite.scenario("a log file at the limit of file sizes", workers=(1,),
                reference=False)
def file_size(env):
    size = 16 << 20  # the zones are smaller
    server = env.own_server(start=False)
    log = server.path("log")
    server.allowed.add("log")
    with open(log, "wb") as file:
        file.truncate(size - 100)
    server.write_conf({"log_file": log, "index_memory": "1MB",
                       "max_connections": 100, "ring_memory": "1MB"})
    spawn(server, lambda: resource.setrlimit(resource.RLIMIT_FSIZE,
                                             (size, size)))
    server.wait_ready()
    equal(os.stat(log).st_size, size, "size of the log")
    for _ in range(5):
        server.raise_signal(signal.SIGHUP)
        env.client(C0, server).expect_nothing()


@suite.scenario("reloads and deaths leave no descriptor", reference=False,
                workers=(8,))
def no_leaks(env):
    server = env.own_server(deaths=True)
    server.reload()
    worker = server.worker_pids()[0]
    before = descriptors(server.pid), descriptors(worker)
    for number in range(50):
        server.reload({"max_payload": 1000 + number}, good=True)
        if number % 10 == 0:
            server.write("max_payload = nonsense\n")
            server.raise_signal(signal.SIGHUP)
            server.wait_log("nonsense")
    equal((descriptors(server.pid), descriptors(worker)), before,
          "descriptors of master and worker after reloads")
    # each place is forgiven one death without delay
    for pid in server.worker_pids():
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: len(re.findall(r"worker \d+ ready", server.log())) >= 16,
             "all successors")
    wait_for(lambda: descriptors(server.pid) == before[0],
             "the master to have as many descriptors as before")
    for client in env.each(server=server):
        client.expect_nothing()


@suite.scenario("48 workers, the smallest rings, all of them die",
                reference=False, workers=(48,))
def many_workers(env):
    server = env.own_server({"ring_memory": "154MB", "memory_max": "128MB",
                             "max_connections": 2000}, deaths=True)
    subject = env.subj()
    a, b = env.pair(server=server)
    a.sub(subject + b" 1")
    b.pub(subject)
    a.expect(msg(subject, b"1"))
    for pid in server.worker_pids():
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: len(re.findall(r"worker \d+ ready", server.log())) >= 96,
             "all successors")
    a, b = env.pair(server=server)
    a.sub(subject + b" 1")
    b.pub(subject)
    a.expect(msg(subject, b"1"))


@suite.scenario("SIGHUPs from the first moment on", reference=False)
def early_reload(env):
    server = env.own_server({"max_payload": 1000}, start=False)
    server.spawn()
    wait_for(lambda: "Starting natsd" in server.log(), "the start")
    server.write_conf({"max_payload": 700})
    server.raise_signal(signal.SIGHUP)  # it may be ready before the loop
    while server.read_ports() is None:
        server.raise_signal(signal.SIGHUP)
    server.wait_ready()
    server.wait_log("Reloaded server configuration")
    server.reload({"max_payload": 800})
    for client in env.each(None, server=server):
        equal(client.info["max_payload"], 800, "max_payload")


@suite.scenario("all of natsd stopped while workers owe their "
                "acknowledgement", reference=False)
def stopped_while_reloading(env):
    server = env.own_server({"watchdog": "300ms", "max_payload": 1000},
                            deaths=True)
    clients = env.each(server=server)
    workers = server.worker_pids()
    with contextlib.ExitStack() as stack:
        for pid in workers:
            stack.enter_context(Stopped(pid))
        start = len(server.log())
        server.write_conf({"watchdog": "300ms", "max_payload": 900})
        server.raise_signal(signal.SIGHUP)
        server.wait_log("Reloaded: max_payload = 900", start)
        with Stopped(server.pid):
            time.sleep(3)
        time.sleep(0.3)  # the master runs first
    server.wait_log("Reloaded server configuration", start)
    equal(server.worker_pids(), workers, "workers; log:\n" + server.log())
    for client in clients:
        client.expect_nothing()


@suite.scenario("SIGTERM while a worker owes its acknowledgement",
                reference=False)
def stop_while_reloading(env):
    server = env.own_server({"watchdog": "300ms"}, deaths=True)
    clients = env.each(server=server)
    victim = server.worker_pids()[0]
    os.kill(victim, signal.SIGSTOP)
    try:
        server.raise_signal(signal.SIGHUP)
        server.raise_signal(signal.SIGTERM)
        server.wait_log("Initiating Shutdown")
        time.sleep(2.5)
        check(alive(victim), "killed before its time to leave was over")
    finally:
        os.kill(victim, signal.SIGCONT)
    equal(server.wait_exit(), 0, "exit status")
    for client in clients:
        client.expect_eof()
    check("has not taken" not in server.log(), "log:\n%s", server.log())
    server.kill()
    server.remove()


@suite.scenario("a short watchdog leaves sleepers alone", reference=False)
def short_watchdog(env):
    server = env.own_server({"watchdog": "100ms"}, deaths=True)
    clients = env.each(server=server)
    workers = server.worker_pids()
    for pid in workers + workers:
        for client in clients:
            client.expect_nothing()  # all of them have just been awake
        os.kill(pid, signal.SIGSTOP)
        time.sleep(1.4)  # one look of the master, perhaps two, never three
        os.kill(pid, signal.SIGCONT)
    equal(server.worker_pids(), workers, "workers; log:\n" + server.log())
    os.kill(workers[0], signal.SIGSTOP)
    wait_for(lambda: not alive(workers[0]), "the hanging one to be killed")


def spoil(pid, zone, offset):
    """Overwrite eight bytes of one of its own zones, through its mapping."""
    with open("/proc/%d/maps" % pid) as file:
        line = next(l for l in file if "rw-s" in l and zone in l)
    try:
        with open("/proc/%d/mem" % pid, "r+b", 0) as memory_file:
            memory_file.seek(int(line.split("-")[0], 16) + offset)
            memory_file.write(b"\xff" * 8)
    except PermissionError:
        raise Skip("may not write another process's memory")


@suite.scenario("a worker has overwritten the head of its zone: found when "
                "the next one starts, which starts", reference=False,
                workers=(3,))
def spoilt_head(env):
    for zone, offset in (("natsd-index", 0), ("natsd-index", 16),
                         ("natsd-own", 0), ("natsd-own", 8)):
        server = env.own_server({"core_dumps": True}, deaths=True)
        pids = dict(re.findall(r"worker (\d+) ready \(pid (\d+)\)",
                               server.log()))
        spoil(int(pids["0"]), zone, offset)
        os.kill(int(pids["1"]), signal.SIGKILL)
        server.wait_log(r"worker 4 ready")
        log = server.log()
        check(not re.search(r"exited with status", log), "log:\n%s", log)
        check(not alive(int(pids["0"])), "the mad one still runs")
        check(alive(int(pids["2"])), "an innocent one is gone")
        for client in env.each(server=server):
            client.expect_nothing()


if __name__ == "__main__":
    sys.exit(suite.main())
