#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Command line, -t, exit status, and the texts of a wrong file."""

import os
import json
import re
import shutil
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
from natsdtest import *  # noqa: E402,F403

suite = Suite("command line", workers=(1,))


class Folder:
    """A scratch folder with a configuration file."""

    def __init__(self, text=""):
        self.dir = tempfile.mkdtemp(prefix="natsd-test-")
        self.file = os.path.join(self.dir, "natsd.conf")
        with open(self.file, "w") as file:
            file.write(text)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.dir, ignore_errors=True)


def check_file(text, *flags):
    """natsd -t on such a file: status, stdout, stderr, name of the file"""
    with Folder(text) as folder:
        status, out, errors = run("-t", *flags, "-c", folder.file)
        return status, out, errors, folder.file


@suite.scenario("--version, in all its spellings", reference=False)
def version(env):
    for args in (["--version"], ["-v"], ["-version"], ["version"]):
        status, out, errors = run(*args)
        equal(status, 0, "exit status of %s" % args)
        check(re.fullmatch(r"natsd: v\d+\.\d+\.\d+\S*\n", out),
              "%s prints %r", args, out)
        equal(errors, "", "stderr of %s" % args)
    status, out, _ = run("--version", "--version")
    equal(status, 0, "exit status of --version --version")
    check(len(out.splitlines()) > 1, "--version twice prints %r", out)


@suite.scenario("--help", reference=False)
def usage(env):
    for args in (["--help"], ["-h"], ["-help"], ["help"]):
        status, out, errors = run(*args)
        equal(status, 0, "exit status of %s" % args)
        equal(errors, "", "stderr of %s" % args)
        for word in ("--port", "--config", "--workers", "--daemonize",
                     "4222", "natsd.conf", "natsd(8)", "natsd.conf(5)"):
            check(word in out, "%s does not tell of %s:\n%s", args, word, out)


@suite.scenario("usage errors: exit 2 and a word on stderr", reference=False)
def wrong_usage(env):
    for args, word in ((["--no-such-flag"], "no-such-flag"),
                       (["-Z"], "Z"), (["-p", "abc"], "abc"),
                       (["-p", "70000"], "70000"), (["-p"], "p"),
                       (["-w", "x"], "x"), (["-w", "-3"], "-3"),
                       (["-w", "49"], "49"), (["-p", "12x"], "12x"),
                       (["serve"], "unrecognized command"),
                       (["-c"], "c")):
        status, out, errors = run(*args)
        equal(status, 2, "exit status of %s (stderr %r)" % (args, errors))
        check(word in errors, "%s says %r", args, errors)


@suite.scenario("flags of nats-server that natsd does not carry",
                reference=False)
def not_carried(env):
    for args in (["-js"], ["--jetstream"], ["-sd", "/tmp"],
                 ["--store_dir", "/tmp"], ["--profile", "6060"]):
        status, _, errors = run(*args)
        equal(status, 2, "exit status of %s" % args)
        check(len(errors.split()) > 4, "%s says %r", args, errors)


@suite.scenario("-t of a good file", reference=False)
def good(env):
    status, out, errors, name = check_file(
        "# comment\nport = 4333 /* here */\nmax_payload = 2MB // there\n")
    equal(status, 0, "exit status; stderr %r" % errors)
    check(re.search(r"natsd: configuration file %s is valid "
                    r"\(sha256:[0-9a-f]{64}\)" % re.escape(name), errors),
          "stderr %r", errors)
    status, out, errors, name = check_file("port = 4333\n", "-q")
    equal((status, out, errors), (0, "", ""), "with -q")


@suite.scenario("-t of every example file that is installed",
                reference=False)
def examples(env):
    here = os.path.dirname(os.path.abspath(__file__))
    path = os.path.join(here, "..", "..", "natsd.conf")
    if not os.path.exists(path):
        raise Skip("no natsd.conf in the source tree")
    status, _, errors = run("-t", "-c", path)
    equal(status, 0, "exit status; stderr %s" % errors)


# text of a file, line of the error, words of the message
WRONG = [
    ("no_such_option = 1\n", 1, ["no_such_option"]),
    ("# one\n// two\n/* three\n four */\nno_such_option = 1\n", 5,
     ["no_such_option"]),
    ("max_payload: 5\n", 1, ["write max_payload = 5"]),
    ("port = 4222\nmax_payload = lots\n", 2, ["max_payload", "lots"]),
    ("\nmax_connections = -x\n", 2, ["max_connections"]),
    ("ping_interval = 5 parsecs\n", 1, []),
    ("ping_interval = 5parsecs\n", 1, ["ping_interval", "5parsecs"]),
    ("debug = maybe\n", 1, ["debug", "maybe"]),
    ("max_payload = 128MB\n", 1, ["max_payload"]),
    ("max_payload = 0\n", 1, ["max_payload"]),
    ("max_payload = -1\n", 1, ["max_payload"]),
    ("max_payload = 8MB\n\n# x\nmax_pending = 1MB\n", None,
     ["max_payload", "max_pending"]),
    ("port = 70000\n", 1, ["port", "70000"]),
    ("listen = {\"127.0.0.1:99999\"}\n", 1, ["99999"]),
    ("listen = {\"127.0.0.1:4222\", \"127.0.0.1:4222\"}\n", 1, ["4222"]),
    ("workers = 49\n", 1, ["workers", "48"]),
    ("max_subscription_tokens = 256\n", 1, ["max_subscription_tokens"]),
    ("server_name = \"a b\"\n", 1, ["server_name"]),
    ("authorization {\n\tuser = u\n\tpassword = p\n", 1, []),
    ("authorization { user = u password = p\n token = t }\n", None,
     ["token"]),
    ("authorization { password = p }\n", None, ["user"]),
    ("\n/* endless\n\n", 2, []),
    ("server_name = \"endless\n\n\n", 1, []),
    ("pid_file = ${NO_SUCH_VARIABLE_HERE}\n", 1, ["NO_SUCH_VARIABLE_HERE"]),
    ("authorization { user = a*b password = c }\n", 1, ["*"]),
    ("authorization { user = u password = pa#ss }\n", 1, ["#"]),
    ("port = 4222\nport = 4223\n", 2, ["port"]),
    ("max_payload = 1MB }\n", 1, []),
    ("syslog_facility = kitchen\n", 1, ["kitchen"]),
    ("jetstream = on\n", 1, ["not supported by natsd"]),
    ("jetstream { }\n", 1, ["not supported by natsd"]),
    ("ring_memory = 1KB\nworkers = 4\n", None, ["ring_memory"]),
]


@suite.scenario("-t of wrong files: FILE:LINE: text, exit 78",
                reference=False)
def wrong(env):
    bad = []
    for text, line, words in WRONG:
        status, _, errors, name = check_file(text)
        want = "natsd: %s:%s: " % (name, "" if line is None else line)
        pattern = re.escape(want) if line else \
            re.escape("natsd: " + name + ":") + r"\d+: "
        if status != 78:
            bad.append("%r: exit status %d, stderr %r" % (text, status,
                                                         errors))
        elif not re.search(pattern, errors):
            bad.append("%r: no %r in %r" % (text, want, errors))
        else:
            for word in words:
                if word not in errors:
                    bad.append("%r: no %r in %r" % (text, word, errors))
    check(not bad, "%d of %d:\n    %s", len(bad), len(WRONG),
          "\n    ".join(bad))


@suite.scenario("all semantic errors are listed", reference=False)
def several(env):
    status, _, errors, name = check_file(
        "max_payload = 128MB\nport = 70000\nserver_name = \"a b\"\n")
    equal(status, 78, "exit status")
    for line in (1, 2, 3):
        check("%s:%d: " % (name, line) in errors, "line %d is missing: %s",
              line, errors)


@suite.scenario("the same error at start, same exit status",
                reference=False)
def at_start(env):
    with Folder("# x\nmax_payload = lots\n") as folder:
        status, _, errors = run("-c", folder.file)
        equal(status, 78, "exit status")
        check(folder.file + ":2: " in errors, "stderr %r", errors)


@suite.scenario("no file, a folder, an unreadable name", reference=False)
def no_file(env):
    with Folder() as folder:
        for path in (folder.dir, os.path.join(folder.dir, "missing.conf"),
                     "/dev/null/x"):
            for flags in (["-t"], []):
                status, _, errors = run(*flags, "-c", path)
                equal(status, 78, "exit status for %s (%r)" % (path, errors))
                check(path in errors, "stderr %r", errors)


@suite.scenario("include, environment, sizes and durations",
                reference=False)
def extras(env):
    with Folder() as folder:
        with open(os.path.join(folder.dir, "more.conf"), "w") as file:
            file.write("max_payload = 1234\n")
        with open(folder.file, "w") as file:
            file.write("include(\"more.conf\")\nping_interval = 1m30s\n"
                       "server_name = ${NATSD_TEST_NAME:-fallback}\n"
                       "max_connections = 1K\n")
        status, _, errors = run("-t", "-c", folder.file)
        equal(status, 0, "exit status (%s)" % errors)
        with open(os.path.join(folder.dir, "more.conf"), "w") as file:
            file.write("\n\nmax_payload = nothing\n")
        status, _, errors = run("-t", "-c", folder.file)
        equal(status, 78, "exit status")
        check("more.conf:3: " in errors, "stderr %r", errors)


@suite.scenario("-t tells the most memory, with the rings as they will be",
                reference=False)
def memory_bound(env):
    for text, rings in (("", "240MB"),  # twice 6 * 5 rings of 4 MB
                        ("max_pending = 1MB\n", "7.5MB"),
                        ("max_pending = 100KB\nmax_payload = 10KB\n",
                         "3.8MB")):
        status, out, errors, _ = check_file("workers = 4\n" + text)
        equal(status, 0, "exit status (%s)" % errors)
        check(" %s rings," % rings in out + errors, "%r: %r %r", text, out,
              errors)
    # What no message can need is not spoken of.
    for text, large in (("", None), ("max_payload = 3MB\n", " 36MB large ")):
        status, out, errors, _ = check_file("workers = 4\n" + text)
        equal(status, 0, "exit status (%s)" % errors)
        check(large in out + errors if large else
              "large" not in out + errors, "%r: %r %r", text, out, errors)


@suite.scenario("--dump_config without a file has no blank at a line's end",
                reference=False, workers=(1,))
def dump_defaults(env):
    with Folder("") as folder:
        status, out, errors = run("--dump_config", "-c", folder.file)
    equal(status, 0, "exit status (%s)" % errors)
    check(out.startswith("# natsd from "), "the head is %r", out[:80])
    check(not re.search(" $", out, re.M), "a blank ends a line of:\n%s", out)
    if os.path.exists("/etc/natsd/natsd.conf"):
        return
    status, out, errors = run("--dump_config")
    equal(status, 0, "exit status (%s)" % errors)
    check(not re.search(" $", out, re.M), "a blank ends a line of:\n%s", out)


@suite.scenario("--dump_config shows what is in force, but no secret",
                reference=False)
def dump(env):
    with Folder("max_payload = 2MB\n"
                "authorization { user = carol password = hush-hush }\n") \
            as folder:
        status, out, errors = run("--dump_config", "-c", folder.file,
                                  "-p", "4555")
        equal(status, 0, "exit status (%s)" % errors)
        check("hush-hush" not in out, "the password is shown:\n%s", out)
        for word in ("[REDACTED]", "carol", "4555", "max_pending",
                     "write_deadline", "2097152"):
            check(word in out or word == "2097152" and "2MB" in out,
                  "no %s in:\n%s", word, out)
        # what it prints is a configuration
        with open(folder.file, "w") as file:
            file.write(out)
        status, _, errors = run("-t", "-c", folder.file)
        equal(status, 0, "exit status of -t with it (%s)" % errors)


@suite.scenario("--signal", reference=False)
def signals(env):
    server = env.own_server(start=False)
    pid = server.path("natsd.pid")
    log = server.path("natsd.log")
    server.allowed |= {"natsd.log"}
    server.write_conf({"pid_file": pid, "log_file": log})
    server.start()
    client = env.client(C0, server)
    target = ["=%d" % server.pid, "=" + pid]
    for how in target:
        start = os.path.getsize(log)
        status, out, errors = run("--signal", "reload" + how)
        equal(status, 0, "exit status of reload%s (%s)" % (how, errors))
        server.wait_log("Reloaded server configuration", start, path=log)
        equal(run("-sl", "reopen" + how)[0], 0, "exit status of reopen")
        server.wait_log("File log re-opened", start, path=log)
    start = os.path.getsize(log)
    equal(run("-c", server.conf_path, "--signal", "reload")[0], 0,
          "exit status with the pid file of the configuration")
    server.wait_log("Reloaded server configuration", start, path=log)
    status, _, errors = run("--signal", "dance=" + pid)
    equal(status, 1, "exit status of an unknown signal")
    check('unknown signal "dance"' in errors, "stderr %r", errors)
    status, _, errors = run("--signal", "reload=12x4")
    equal(status, 1, "exit status of a bad pid")
    check("invalid pid: 12x4" in errors, "stderr %r", errors)
    client.expect_nothing()
    equal(run("--signal=quit=" + pid)[0], 0, "exit status of quit")
    client.expect_eof()
    equal(server.wait_exit(), 0, "exit status of natsd")
    server.nothing_left()
    with open(pid, "w") as file:
        file.write("%d\n" % os.getpid())
    status, _, errors = run("--signal", "quit=" + pid)
    equal(status, 1, "exit status with a pid file that nobody holds")
    check("no natsd running" in errors, "stderr %r", errors)
    server.kill()
    server.remove()


def started(env, *args, conf=None):
    """A natsd with just these arguments and a ports file."""
    server = env.own_server(start=False, unix=False)
    head = [program(), "--ports_file_dir", server.dir]
    if conf is not None:
        server.write(conf)
        head += ["-c", server.conf_path]
    server.command = lambda: head + list(args)
    return server.start()


@suite.scenario("flags, with one dash, two dashes and =", reference=False)
def spellings(env):
    for args in (["-a", "127.0.0.1", "-p", "-1", "-w", "1"],
                 ["-addr", "127.0.0.1", "-port", "0", "-workers", "1"],
                 ["--addr=127.0.0.1", "--port=-1", "--workers=1"],
                 ["-a=127.0.0.1", "-p=-1", "-w=1", "-D=false"],
                 ["--net", "127.0.0.1", "-p=0", "-w=1", "-f"],
                 ["-p", "-1", "-w", "1", "-DV"]):
        server = started(env, *args)
        client = env.client(C0, server)
        client.expect_nothing()
        traced = args[-1] == "-DV"
        client.pub(b"traced", b"hello")
        client.expect_nothing()
        if traced:
            server.wait_log(r"\[TRC\].*<<- \[PUB traced 5\]")
        client.close()
        server.stop()


@suite.scenario("flags win over the file", reference=False)
def wins(env):
    server = started(
        env, "-p", "-1", "-a", "127.0.0.1", "-w", "2", "-n", "from-flag",
        "--client_advertise", "foo.example:4333",
        conf="port = 1\nserver_name = from-file\nworkers = 1\n"
             "max_payload = 777\n")
    server.workers = 2
    client = env.client(C0, server)
    equal(client.info["server_name"], "from-flag", "server_name")
    equal(client.info["max_payload"], 777, "max_payload")
    equal((client.info["host"], client.info["port"]),
          ("foo.example", 4333), "advertised (S27)")
    equal(len(server.worker_slots()), 2, "workers")


@suite.scenario("--user, --pass and --auth; not to be seen in ps",
                reference=False)
def credentials(env):
    server = started(env, "-a", "127.0.0.1", "-p", "-1", "-w", "1",
                     "--user", "alice", "--pass", "s3cret-word")
    client = env.client(auth("alice", "s3cret-word"), server)
    client.expect_nothing()
    bad = env.client(None, server)
    bad.send(auth("alice", "no"))
    bad.expect(err("Authorization Violation"))
    for pid in server.tree():
        with open("/proc/%d/cmdline" % pid, "rb") as file:
            check(b"s3cret-word" not in file.read(), "password in cmdline")
    server.stop()
    server = started(env, "-a", "127.0.0.1", "-p", "-1", "-w", "1",
                     "--auth", "tok-en-word")
    env.client(b'CONNECT {"verbose":false,"auth_token":"tok-en-word"}\r\n',
               server).expect_nothing()


@suite.scenario("ports file and pid file by flag, removed at the end",
                reference=False)
def files(env):
    server = env.own_server(start=False, unix=False)
    pid = server.path("by-flag.pid")
    server.command = lambda: [
        program(), "-a", "127.0.0.1", "-p", "-1", "-w", "1", "-P", pid,
        "--ports_file_dir", server.dir]
    server.start()
    with open(server.ports_path()) as file:
        ports = json.load(file)
    equal(ports["nats"], ["nats://127.0.0.1:%d" % server.address[1]],
          "ports file")
    with open(pid) as file:
        equal(int(file.read()), server.pid, "pid file")


@suite.scenario("log file by flag", reference=False)
def log_flag(env):
    server = env.own_server(start=False, unix=False)
    log = server.path("by-flag.log")
    server.allowed.add("by-flag.log")
    server.command = lambda: [
        program(), "-a", "127.0.0.1", "-p", "-1", "-w", "1", "-l", log,
        "--ports_file_dir", server.dir]
    server.start()
    server.wait_log("Server is ready", path=log)
    with open(log) as file:
        line = file.readline()
    check(re.match(r"\[\d+\S*\] \d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6} "
                   r"\[INF\] ", line), "log line %r", line)


if __name__ == "__main__":
    sys.exit(suite.main())
