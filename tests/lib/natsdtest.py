# SPDX-License-Identifier: BSD-2-Clause
"""Process tests: start a real natsd on a free port and speak bytes to it.

A test program registers scenarios with a Suite and calls its main().  Each
scenario runs with 1, 2 and 4 workers; one that says "pairs" runs with both
ends in one worker and, from two workers up, with the ends in different ones.
One natsd per configuration and number of workers serves many scenarios.

Environment:
  NATSD             the program under test (default: ./natsd, build/natsd)
  NATSD_REFERENCE   a nats-server to run the same scenarios against (a Server
                    may also be told its reference, to have both at once)
  NATSD_TEST_SLOW   factor for every deadline (valgrind, sanitizers)
  NATSD_TEST_KEEP   keep the scratch folders

Exit status of a test program: 0 passed, 1 failed, 77 skipped.
"""

import argparse
import array
import errno
import fcntl
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

SLOW = float(os.environ.get("NATSD_TEST_SLOW", "1"))
TIMEOUT = 20.0 * SLOW
REFERENCE = os.environ.get("NATSD_REFERENCE", "")

SIOCOUTQ = 0x5411

C0 = b'CONNECT {"verbose":false,"pedantic":false}\r\n'
C1 = b'CONNECT {"verbose":false,"pedantic":false,"protocol":1}\r\n'
CH = b'CONNECT {"verbose":false,"pedantic":false,"headers":true}\r\n'
CN = (b'CONNECT {"verbose":false,"pedantic":false,"headers":true,'
      b'"no_responders":true}\r\n')
CV = b'CONNECT {"verbose":true,"pedantic":false}\r\n'
CP = b'CONNECT {"verbose":false,"pedantic":true}\r\n'
CE = b'CONNECT {"verbose":false,"pedantic":false,"echo":false}\r\n'
CNE = (b'CONNECT {"verbose":false,"pedantic":false,"headers":true,'
       b'"no_responders":true,"echo":false}\r\n')
PING = b"PING\r\n"
PONG = b"PONG\r\n"


def auth(user, password):
    return ('CONNECT {"verbose":false,"pedantic":false,"user":"%s",'
            '"pass":"%s"}\r\n' % (user, password)).encode()


def err(text):
    return ("-ERR '%s'\r\n" % text).encode()


class Failure(AssertionError):
    """What a scenario raises when natsd did not do what it should."""


class Skip(Exception):
    """Raised by a scenario that cannot run here."""


def check(cond, text, *args):
    if not cond:
        raise Failure(text % args if args else text)


def equal(got, want, what="value"):
    check(got == want, "%s: expected %r, got %r", what, want, got)


def show(data, most=400):
    """bytes as a literal, cut in the middle when long"""
    data = bytes(data)
    if len(data) <= most:
        return repr(data)
    half = most // 2
    return "%r... (%d bytes) ...%r" % (data[:half], len(data), data[-half:])


def wait_for(cond, what, timeout=None, step=0.005):
    """Poll until cond() is true; its value is returned."""
    end = time.monotonic() + (timeout or TIMEOUT)
    while True:
        value = cond()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure("waited in vain for " + what)
        time.sleep(step)


# ---------------------------------------------------------------- processes

def proc_stat(pid):
    """(state, ppid, session, start time) of a process, None if it is gone"""
    try:
        with open("/proc/%d/stat" % pid, "rb") as file:
            text = file.read()
    except OSError:
        return None
    rest = text[text.rindex(b")") + 2:].split()
    return rest[0].decode(), int(rest[1]), int(rest[3]), int(rest[19])


def alive(pid):
    stat = proc_stat(pid)
    return stat is not None and stat[0] not in "ZX"


def all_pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def children(pid):
    found = []
    for other in all_pids():
        stat = proc_stat(other)
        if stat and stat[1] == pid and stat[0] not in "ZX":
            found.append(other)
    return sorted(found)


def related(sid, word):
    """Processes of that session, or with that word in their command line
    (whoever detaches has a session of its own)."""
    found = []
    for pid in all_pids():
        stat = proc_stat(pid)
        if not stat or stat[0] in "ZX" or pid == os.getpid():
            continue
        try:
            with open("/proc/%d/cmdline" % pid, "rb") as file:
                line = file.read()
        except OSError:
            line = b""
        if stat[2] == sid or word.encode() in line:
            found.append(pid)
    return found


def memory(pids):
    """Proportional memory of the processes in bytes; None if unreadable."""
    total = 0
    for pid in pids:
        try:
            with open("/proc/%d/smaps_rollup" % pid) as file:
                text = file.read()
        except OSError:
            return None
        found = re.search(r"^Pss:\s+(\d+) kB", text, re.M)
        if not found:
            return None
        total += int(found.group(1)) * 1024
    return total


# ------------------------------------------------------------------ clients

class Message:
    """One MSG or HMSG as it came."""

    def __init__(self, subject, sid, reply, header, payload):
        self.subject, self.sid, self.reply = subject, sid, reply
        self.header, self.payload = header, payload

    def __repr__(self):
        return "Message(%r, %r, %r, %r, %s)" % (
            self.subject, self.sid, self.reply, self.header,
            show(self.payload, 80))


class Client:
    """A raw connection.  Reads INFO unless told not to."""

    def __init__(self, address, info=True, timeout=None, rcvbuf=0):
        self.timeout = timeout or TIMEOUT
        self.address = address
        self.buf = bytearray()
        self.eof = False
        self.info = {}
        self.worker = None
        self.born = time.monotonic()
        if isinstance(address, str):
            self.sock = socket.socket(socket.AF_UNIX)
        elif ":" in address[0]:
            self.sock = socket.socket(socket.AF_INET6)
        else:
            self.sock = socket.socket(socket.AF_INET)
        try:
            if rcvbuf:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF,
                                     rcvbuf)
            self.sock.settimeout(self.timeout)
            self.sock.connect(address)
            if not isinstance(address, str):
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if info:
                self.read_info()
        except BaseException:
            self.sock.close()
            raise

    def __repr__(self):
        return "client %s (worker %s)" % (self.info.get("client_id"),
                                          self.worker)

    def read_info(self):
        line = self.line()
        check(line.startswith(b"INFO "), "expected INFO, got %s", show(line))
        self.info = json.loads(line[5:].decode())
        self.worker = self.info.get("worker", 0)
        return self.info

    # sending

    def send(self, data):
        """All of the data, in as few pieces as the kernel likes."""
        self.sock.settimeout(self.timeout)
        try:
            self.sock.sendall(data)
        except socket.timeout:
            raise Failure("%r: sending %s took too long" % (self, show(data)))

    def drained(self):
        """Whether the peer has taken all that was sent (Unix sockets: read
        by the process; TCP: acknowledged by its kernel)."""
        left = array.array("i", [0])
        fcntl.ioctl(self.sock, SIOCOUTQ, left)
        return left[0] == 0

    def send_bytewise(self, data):
        """One write per byte, each after the one before was taken; the
        middle of something long in larger pieces."""
        pos = 0
        while pos < len(data):
            near = pos < 6000 or len(data) - pos <= 100
            step = 1 if near else min(50000, len(data) - pos - 100)
            try:
                self.sock.sendall(data[pos:pos + step])
            except (BrokenPipeError, ConnectionResetError):
                return
            pos += step
            if isinstance(self.address, str):
                end = time.monotonic() + self.timeout
                while not self.drained():
                    if self.hung_up():
                        return
                    if time.monotonic() > end:
                        raise Failure("natsd does not read byte %d of %s" %
                                      (pos, show(data)))
                    time.sleep(0)
            else:
                time.sleep(0.0003)

    def hung_up(self):
        """Whether the server has closed, without reading anything."""
        poll = select.poll()
        poll.register(self.sock, select.POLLRDHUP)
        return bool(poll.poll(0))

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    # receiving

    def fill(self, end, most=1 << 18):
        """Read once into the buffer; False at end of file."""
        left = end - time.monotonic()
        if left <= 0:
            raise socket.timeout
        self.sock.settimeout(left)
        try:
            data = self.sock.recv(most)
        except (ConnectionResetError, BrokenPipeError):
            data = b""
        if not data:
            self.eof = True
            return False
        self.buf += data
        return True

    def deadline(self, timeout=None):
        return time.monotonic() + (timeout or self.timeout)

    def line(self, timeout=None):
        """One line with its line end."""
        end = self.deadline(timeout)
        while b"\n" not in self.buf:
            try:
                more = self.fill(end)
            except socket.timeout:
                raise Failure("%r: no line, only %s" % (self, show(self.buf)))
            check(more, "%r: end of file after %s", self, show(self.buf))
        at = self.buf.index(b"\n") + 1
        line = bytes(self.buf[:at])
        del self.buf[:at]
        return line

    def pong(self):
        """Answer a PING; the server may have closed since."""
        try:
            self.sock.sendall(PONG)
        except OSError:
            pass

    def strip_ping(self, at):
        """Answer and take out a server's PING in front of position at.
        True: taken out; None: cannot tell yet."""
        if time.monotonic() - self.born < 1.5:
            return False
        start = self.buf.rfind(b"\r\n", 0, at + 1)
        start = 0 if start < 0 else start + 2
        found = bytes(self.buf[start:start + 6])
        if found == PING:
            del self.buf[start:start + 6]
            self.pong()
            return True
        return None if PING.startswith(found) else False

    def expect(self, want, timeout=None):
        """Exactly these bytes come next.  (A PING of the server's own, due
        two seconds after CONNECT, is answered and left out.)"""
        end = self.deadline(timeout)
        while True:
            have = min(len(self.buf), len(want))
            if self.buf[:have] != want[:have]:
                at = next(i for i in range(have) if self.buf[i] != want[i])
                stripped = self.strip_ping(at)
                if stripped:
                    continue
                if stripped is False or have == len(want):
                    raise Failure("%r: expected %s, got %s" % (
                        self, show(want), show(self.buf)))
            elif have == len(want):
                del self.buf[:have]
                return
            try:
                more = self.fill(end)
            except socket.timeout:
                raise Failure("%r: expected %s, got in time only %s" % (
                    self, show(want), show(self.buf)))
            if not more:
                raise Failure("%r: expected %s, got %s and end of file" % (
                    self, show(want), show(self.buf)))

    def expect_nothing(self):
        """Nothing came up to here: a PING is answered by PONG alone."""
        self.send(PING)
        self.expect(PONG)

    barrier = expect_nothing

    def quiet_until(self, end):
        """Whether nothing comes before that moment (time.monotonic())."""
        try:
            while not self.buf and self.fill(end):
                pass
        except socket.timeout:
            return True
        return False

    def expect_eof(self, timeout=None):
        """End of file (or reset) and not a byte before it."""
        rest = self.until_eof(timeout)
        check(not rest, "%r: expected end of file, got %s", self, show(rest))

    def until_eof(self, timeout=None):
        """All that comes until the server closes."""
        end = self.deadline(timeout)
        while not self.eof:
            try:
                self.fill(end)
            except socket.timeout:
                raise Failure("%r: not closed by the server; got %s" %
                              (self, show(self.buf)))
        rest = bytes(self.buf)
        if time.monotonic() - self.born >= 1.5 and rest.startswith(PING):
            rest = rest[len(PING):]
        self.buf.clear()
        return rest

    def until(self, mark, timeout=None):
        """All bytes up to and with the mark."""
        end = self.deadline(timeout)
        start = 0
        while True:
            at = self.buf.find(mark, start)
            if at >= 0:
                data = bytes(self.buf[:at + len(mark)])
                del self.buf[:at + len(mark)]
                return data
            start = max(0, len(self.buf) - len(mark) + 1)
            try:
                more = self.fill(end)
            except socket.timeout:
                raise Failure("%r: waited for %r, got %s" %
                              (self, mark, show(self.buf)))
            check(more, "%r: waited for %r, got %s and end of file",
                  self, mark, show(self.buf))

    def need(self, count, end):
        while len(self.buf) < count:
            try:
                more = self.fill(end, max(1 << 18, count - len(self.buf)))
            except socket.timeout:
                raise Failure("%r: wanted %d bytes, got in time %s" %
                              (self, count, show(self.buf)))
            check(more, "%r: end of file after %s", self, show(self.buf))

    def event(self, timeout=None):
        """The next thing the server says: a Message, or a line.  PINGs of
        the server are answered and left out."""
        end = self.deadline(timeout)
        while True:
            line = self.line(timeout)
            if line == PING:
                self.pong()
                continue
            if not line.startswith((b"MSG ", b"HMSG ")):
                return line
            words = line[:-2].split(b" ")
            headed = words[0] == b"HMSG"
            total = int(words[-1])
            head = int(words[-2]) if headed else 0
            reply = words[3] if len(words) == (6 if headed else 5) else None
            self.need(total + 2, end)
            body = bytes(self.buf[:total])
            check(self.buf[total:total + 2] == b"\r\n",
                  "%r: message without its end: %s", self, show(line))
            del self.buf[:total + 2]
            return Message(words[1], words[2], reply,
                           body[:head] if headed else None, body[head:])

    def message(self, timeout=None):
        got = self.event(timeout)
        check(isinstance(got, Message), "%r: expected a message, got %r",
              self, got)
        return got

    def messages(self, timeout=None):
        """All messages that come before the PONG to a PING sent now."""
        self.send(PING)
        found = []
        while True:
            got = self.event(timeout)
            if got == PONG:
                return found
            check(isinstance(got, Message),
                  "%r: expected messages and PONG, got %r", self, got)
            found.append(got)

    # usual beginnings and ends

    def connect(self, connect=C0):
        self.send(connect + PING)
        if b'"verbose":true' in connect:
            self.expect(b"+OK\r\n")
        self.expect(PONG)
        return self

    def sub(self, *lines):
        """SUB each and wait for the barrier."""
        self.send(b"".join(b"SUB " + line + b"\r\n" for line in lines) + PING)
        self.expect(PONG)

    def pub(self, subject, payload=b"x", reply=None):
        self.send(pub(subject, payload, reply))

    def reset(self):
        """Close at once, with a reset: nobody is asked."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             b"\1\0\0\0\0\0\0\0")
        self.sock.close()
        self.eof = True

    def abandon(self):
        """Close without waiting for the server."""
        self.sock.close()
        self.eof = True

    def close(self, timeout=None):
        """Half-close and wait until the server has closed too: then its
        subscriptions are gone."""
        if self.sock.fileno() < 0:
            return
        try:
            if not self.eof:
                self.half_close()
                end = self.deadline(timeout)
                while self.fill(end):
                    self.buf.clear()
        except OSError:
            pass
        self.sock.close()
        self.eof = True


def pub(subject, payload=b"x", reply=None):
    middle = b" " + reply if reply else b""
    return b"PUB %s%s %d\r\n%s\r\n" % (subject, middle, len(payload), payload)


def hpub(subject, header, payload=b"x", reply=None):
    middle = b" " + reply if reply else b""
    return b"HPUB %s%s %d %d\r\n%s%s\r\n" % (
        subject, middle, len(header), len(header) + len(payload), header,
        payload)


def msg(subject, sid, payload=b"x", reply=None):
    middle = b" " + reply if reply else b""
    return b"MSG %s %s%s %d\r\n%s\r\n" % (
        subject, sid, middle, len(payload), payload)


def hmsg(subject, sid, header, payload=b"x", reply=None):
    middle = b" " + reply if reply else b""
    return b"HMSG %s %s%s %d %d\r\n%s%s\r\n" % (
        subject, sid, middle, len(header), len(header) + len(payload),
        header, payload)


def no_responders(reply, sid, subject):
    """The 503 notification for a publish on subject."""
    head = b"NATS/1.0 503\r\n\r\n"
    if not REFERENCE:
        head = b"NATS/1.0 503\r\nNats-Subject: %s\r\n\r\n" % subject
    return hmsg(reply, sid, head, b"")


def pid_of(server, slot):
    """The process that serves a slot, from the log."""
    found = re.findall(r"worker (\d+) ready \(pid (\d+)\)", server.log())
    for number, pid in reversed(found):
        if int(number) == slot:
            return int(pid)
    raise Failure("no worker %d in the log:\n%s" % (slot, server.log()))


class SmallDisk:
    """A file system of 64 KB, if we may mount one."""

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="natsd-disk-")
        os.chmod(self.dir, 0o777)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k,mode=0777", "tmpfs",
             self.dir], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if done.returncode != 0:
            os.rmdir(self.dir)
            raise Skip("may not mount a small file system")
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", self.dir])
        shutil.rmtree(self.dir, ignore_errors=True)

    def fill(self):
        with open(os.path.join(self.dir, "filler"), "wb", 0) as file:
            try:
                while True:
                    file.write(b"f" * 4096)
            except OSError:
                pass

    def clear(self):
        os.unlink(os.path.join(self.dir, "filler"))


class Stopped:
    """A worker that stands still for the time being."""

    def __init__(self, pid):
        self.pid = pid

    def __enter__(self):
        os.kill(self.pid, signal.SIGSTOP)
        wait_for(lambda: proc_stat(self.pid)[0] == "T", "SIGSTOP")
        return self

    def __exit__(self, *_):
        try:
            os.kill(self.pid, signal.SIGCONT)
        except OSError:
            pass


class Background(threading.Thread):
    """Runs a function in a thread; join() hands on result or exception."""

    def __init__(self, function, *args):
        super().__init__(daemon=True)
        self.function, self.args = function, args
        self.result = self.error = None
        self.start()

    def run(self):
        try:
            self.result = self.function(*self.args)
        except BaseException as error:  # handed on by result_of
            self.error = error

    def done(self, timeout=None):
        self.join(timeout or 6 * TIMEOUT)
        check(not self.is_alive(), "a background task did not end")
        if self.error:
            raise self.error
        return self.result


# ------------------------------------------------------------------- server

def program(reference=None):
    """The program under test, None if there is none.  reference: the
    nats-server to take instead; "" for natsd whatever the environment."""
    if reference is None:
        reference = REFERENCE
    if reference:
        return reference
    here = os.path.dirname(os.path.abspath(__file__))
    top = os.path.dirname(os.path.dirname(here))
    places = [os.environ.get("NATSD")]
    if not places[0]:
        places = ["./natsd", os.path.join(top, "build", "natsd")]
    for path in places:
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return os.path.abspath(path)
    return None


def is_sanitized(path):
    """Whether a sanitizer is in that program: it catches faults before natsd
    could, and keeps what was freed for a while, to find who uses it."""
    with open(path, "rb") as file:
        text = file.read()
    return b"__asan_init" in text or b"__tsan_init" in text


def conf_value(value, reference=False):
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (list, tuple)):
        inner = ", ".join(conf_value(item, reference) for item in value)
        return ("[%s]" if reference else "{%s}") % inner
    bare = r"\d+[KMG]B" if reference else r"[A-Za-z0-9_][A-Za-z0-9_./-]*"
    if re.fullmatch(bare, value):
        return value
    return '"%s"' % value.replace("\\", "\\\\").replace('"', '\\"')


def conf_text(conf, indent="", reference=None):
    """A configuration file; in natsd's spelling, or in nats-server's."""
    if reference is None:
        reference = bool(REFERENCE)
    lines = []
    for key, value in conf.items():
        if isinstance(value, dict):
            lines.append("%s%s {" % (indent, key))
            lines.append(conf_text(value, indent + "\t",
                                   reference).rstrip("\n"))
            lines.append("%s}" % indent)
        elif value is not None:
            lines.append("%s%s %s %s" % (indent, key,
                                         ":" if reference else "=",
                                         conf_value(value, reference)))
    return "\n".join(lines) + "\n"


NATSD_ONLY = ("workers", "ring_memory", "index_memory", "memory_max",
              "watchdog", "worker_rlimit_nofile", "listen_backlog",
              "syslog_facility", "slow_consumer")

BAD_LOG = re.compile(r"AddressSanitizer|LeakSanitizer|runtime error:|"
                     r"ThreadSanitizer|[Aa]ssertion|ASSERT|UNREACHED|"
                     r"killed by signal")


class Server:
    """A natsd in a scratch folder of its own; or a nats-server, the one of
    the environment or the one named as reference ("": natsd all the same).
    """

    def __init__(self, conf=None, workers=1, args=(), unix=True, start=True,
                 deaths=False, reference=None):
        self.reference = REFERENCE if reference is None else reference
        self.dir = tempfile.mkdtemp(prefix="natsd-test-")
        os.chmod(self.dir, 0o777)  # as root natsd becomes another user
        self.conf_path = self.path("natsd.conf")
        self.err_path = self.path("stderr")
        self.socket_path = self.path("client.sock")
        self.pid_path = None
        self.workers = workers
        self.args = list(args)
        self.unix = unix and not self.reference
        self.deaths = deaths
        self.allowed = {"natsd.conf", "stderr"}
        self.proc = None
        self.pid = None
        self.ports = []
        self.surplus = []
        self.slots = None
        self.conf = dict(conf or {})
        self.write_conf(self.conf)
        if start:
            self.start()

    def path(self, name):
        return os.path.join(self.dir, name)

    def write_conf(self, conf):
        full = {"listen": ["127.0.0.1:-1"], "ports_file_dir": self.dir,
                "workers": self.workers}
        if self.unix:
            full["listen"].append("unix:" + self.socket_path)
        if self.reference:
            full["listen"] = full["listen"][0]
        full.update(conf)
        if self.reference:
            for key in NATSD_ONLY:
                full.pop(key, None)
        self.conf = conf
        self.write(conf_text(full, reference=bool(self.reference)))

    def write(self, text):
        """A configuration file as it stands, put in place whole."""
        with open(self.conf_path + ".new", "w") as file:
            file.write(text)
        os.rename(self.conf_path + ".new", self.conf_path)

    def text(self):
        with open(self.conf_path) as file:
            return file.read()

    def command(self):
        path = program(self.reference)
        if path is None:
            raise Skip("no natsd to test (set NATSD)")
        return [path, "-c", self.conf_path] + self.args

    def spawn(self):
        with open(self.err_path, "ab") as log:
            self.proc = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, cwd=self.dir, start_new_session=True)
        self.pid = self.proc.pid

    def start(self):
        try:
            self.spawn()
            self.wait_ready()
        except BaseException:
            self.kill()
            self.remove()
            raise
        return self

    def ports_path(self):
        name = os.path.basename(program(self.reference))
        return self.path("%s_%d.ports" % (name, self.pid))

    def read_ports(self):
        if self.proc and self.proc.poll() is not None:
            raise Failure("natsd ended with status %s:\n%s" % (
                self.proc.returncode, self.log()))
        for name in os.listdir(self.dir):
            if name.endswith("_%d.ports" % self.pid):
                try:
                    with open(self.path(name)) as file:
                        urls = json.load(file)["nats"]
                except (ValueError, KeyError, OSError):
                    return None
                return urls
        return None

    def wait_ready(self):
        urls = wait_for(self.read_ports, "the ports file; log:\n" + self.log())
        self.addresses = []
        for url in urls:
            found = re.fullmatch(r"(?:nats|tls)://\[?([^/\]]*?)\]?:(\d+)", url)
            if found:
                self.addresses.append((found.group(1), int(found.group(2))))
        check(self.addresses or self.conf.get("listen"),
              "no address in the ports file: %r", urls)
        self.address = self.addresses[0] if self.addresses else \
            self.socket_path
        if self.reference:
            self.address = ("127.0.0.1", self.address[1])

    # connections

    def client(self, connect=None, unix=False, **kwargs):
        """A new connection, in whatever worker; handshake if asked."""
        made = Client(self.socket_path if unix and self.unix
                      else self.address, **kwargs)
        if connect:
            made.connect(connect)
        return made

    def connect_on(self, worker, connect=None, other=False, unix=False,
                   **kwargs):
        """A connection served by that worker (with other: by any but it).
        Opens until one is, then closes what is too much; when all tries of a
        round go elsewhere (it may be about to start) another round begins.
        """
        end = time.monotonic() + TIMEOUT / 2
        while True:
            surplus = []
            try:
                for _ in range(40 + 40 * self.workers):
                    made = self.client(unix=unix, **kwargs)
                    if (made.worker == worker) != other:
                        if connect:
                            made.connect(connect)
                        return made
                    surplus.append(made)
            finally:
                for made in surplus:
                    made.abandon()
            check(time.monotonic() < end, "no connection %s worker %s",
                  "outside" if other else "on", worker)
            time.sleep(0.05)

    def worker_slots(self):
        """Numbers of the workers, as INFO gives them."""
        if self.reference:
            return [0]
        if self.slots is None:
            found = []
            held = []
            try:
                for _ in range(100 * self.workers):
                    held.append(self.client())
                    if held[-1].worker not in found:
                        found.append(held[-1].worker)
                    if len(found) == self.workers:
                        break
            finally:
                for made in held:
                    made.abandon()
            check(len(found) == self.workers,
                  "connections reach workers %r, not %d different ones",
                  found, self.workers)
            self.slots = sorted(found)
        return self.slots

    # log and signals

    def log(self):
        try:
            with open(self.err_path, errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    def wait_log(self, pattern, start=0, timeout=None, path=None):
        """Wait for a line that matches; the match is returned."""
        def look():
            if path:
                try:
                    with open(path, errors="replace") as file:
                        text = file.read()
                except OSError:
                    text = ""
            else:
                text = self.log()
            return re.search(pattern, text[start:])
        try:
            return wait_for(look, "log", timeout)
        except Failure:
            raise Failure("no %r in the log:\n%s" % (
                pattern, self.log()[start:]))

    def raise_signal(self, number):
        os.kill(self.pid, number)

    def reload(self, conf=None, good=True):
        """SIGHUP with a new configuration; waits for the verdict."""
        if conf is not None:
            self.write_conf(conf)
        start = len(self.log())
        self.raise_signal(signal.SIGHUP)
        found = self.wait_log(r"Reloaded server configuration|"
                              r"Failed to reload server configuration", start)
        equal(found.group(0).startswith("Reloaded"), good,
              "reload accepted; log:\n%s" % self.log()[start:])

    def worker_pids(self):
        return children(self.pid)

    def tree(self):
        return [self.pid] + self.worker_pids()

    # the end

    def wait_exit(self, timeout=None):
        try:
            return self.proc.wait(timeout or TIMEOUT)
        except subprocess.TimeoutExpired:
            raise Failure("natsd does not end; log:\n" + self.log()[-3000:])

    def stop(self, number=signal.SIGTERM, status=0):
        """Stop it and see that nothing is left of it."""
        try:
            self.raise_signal(number)
            if self.proc:
                got = self.wait_exit()
                # 2.9 says 1 after SIGTERM, as a rule.
                if not (self.reference and number == signal.SIGTERM and
                        got == 1):
                    equal(got, status,
                          "exit status; log:\n" + self.log()[-3000:])
            else:
                wait_for(lambda: not alive(self.pid), "natsd to end")
            self.nothing_left()
            if not self.deaths:
                bad = BAD_LOG.search(self.log())
                check(not bad, "in the log:\n%s", self.log()[-6000:])
        finally:
            self.kill()
            self.remove()

    def members(self):
        """All processes of it that run, detached ones too."""
        return related(self.pid, self.dir)

    def nothing_left(self):
        wait_for(lambda: not self.members(),
                 "the processes %r to leave" % self.members(), 5 * SLOW)
        if self.reference:
            return
        left = set(os.listdir(self.dir)) - self.allowed
        check(not left, "files left behind: %s", sorted(left))

    def kill(self):
        """Whatever still runs of it dies."""
        if self.pid:
            for pid in self.members():
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
            if self.proc:
                self.proc.wait()

    def remove(self):
        if not os.environ.get("NATSD_TEST_KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)


def run(*args, timeout=None, cwd=None, env=None):
    """The program with arguments, to its end: status, stdout, stderr."""
    path = program()
    if path is None:
        raise Skip("no natsd to test (set NATSD)")
    done = subprocess.run([path] + list(args), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=timeout or TIMEOUT, cwd=cwd, env=env)
    return (done.returncode, done.stdout.decode(errors="replace"),
            done.stderr.decode(errors="replace"))


# ------------------------------------------------------------------- runner

class Env:
    """What a scenario gets: the server and its own names and clients."""

    count = 0

    def __init__(self, suite, workers, same, conf):
        self.suite, self.workers, self.same = suite, workers, same
        self.conf = conf
        self.clients = []
        self.servers = []
        Env.count += 1
        self.number = Env.count

    @property
    def server(self):
        return self.suite.shared(self.conf, self.workers)

    def own_server(self, conf=None, **kwargs):
        """A server of this scenario alone; stopped at its end."""
        kwargs.setdefault("workers", self.workers)
        made = Server(self.conf if conf is None else conf, **kwargs)
        self.servers.append(made)
        return made

    def subj(self, name="s"):
        """A subject nobody else uses, as bytes."""
        return b"%s.%d" % (name.encode(), self.number)

    def keep(self, client):
        self.clients.append(client)
        return client

    def client(self, connect=C0, server=None, **kwargs):
        return self.keep((server or self.server).client(connect, **kwargs))

    def on(self, worker, connect=C0, server=None, **kwargs):
        return self.keep((server or self.server).connect_on(
            worker, connect, **kwargs))

    def near(self, client, connect=C0, server=None, **kwargs):
        """A connection in the same worker as that one or, in the runs that
        say so, in another; anywhere in the runs that do not care."""
        if self.same is None:
            return self.client(connect, server, **kwargs)
        return self.on(client.worker, connect, server, other=not self.same,
                       **kwargs)

    def pair(self, connect=C0, other=None, server=None):
        """Two connections, placed as this run asks."""
        first = self.client(connect, server)
        return first, self.near(first, other or connect, server)

    def each(self, connect=C0, server=None, **kwargs):
        """One connection in every worker."""
        server = server or self.server
        return [self.on(slot, connect, server, **kwargs)
                for slot in server.worker_slots()]

    def finish(self, failed):
        for client in self.clients:
            if failed:
                client.abandon()
            else:
                client.close(5 * SLOW)
        for server in self.servers:
            if failed:
                server.kill()
                server.remove()
            elif server.pid and os.path.isdir(server.dir):
                server.stop()


class Suite:
    """The scenarios of one test program."""

    def __init__(self, title, conf=None, workers=(1, 2, 4)):
        self.title = title
        self.conf = conf or {}
        self.workers = workers
        self.scenarios = []
        self.servers = {}
        self.failed = 0
        self.passed = 0
        self.skipped = 0

    def scenario(self, name, pairs=False, conf=None, workers=None,
                 reference=True):
        """Register a function as a scenario.

        pairs: run with both ends in one worker and in different ones.
        conf: configuration of its server; workers: numbers to run with;
        reference: whether nats-server can pass it."""
        def add(function):
            self.scenarios.append((name, function, pairs,
                                   self.conf if conf is None else conf,
                                   workers or self.workers, reference))
            return function
        return add

    def shared(self, conf, workers):
        key = (json.dumps(conf, sort_keys=True), workers)
        server = self.servers.get(key)
        if server and server.proc.poll() is not None:
            server.remove()
            server = None
        if server is None:
            server = self.servers[key] = Server(conf, workers)
        return server

    def report(self, verdict, name, workers, same, text=""):
        place = {None: "", True: ", same worker",
                 False: ", different workers"}[same]
        print("%s: %s (%d worker%s%s)%s" % (
            verdict, name, workers, "" if workers == 1 else "s", place,
            " - " + text if text else ""), flush=True)

    def run_one(self, name, function, workers, same, conf):
        env = Env(self, workers, same, conf)
        begun = time.monotonic()
        failed = True
        try:
            try:
                function(env)
                failed = False
            finally:
                try:
                    env.finish(failed)
                except BaseException:
                    if not failed:
                        raise
        except Skip as why:
            self.skipped += 1
            self.report("SKIP", name, workers, same, str(why))
            return
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.failed += 1
            self.report("FAIL", name, workers, same, "%s: %s" % (
                type(error).__name__, error))
            frames = traceback.extract_tb(error.__traceback__)
            for frame in frames[-4:]:
                print("    %s:%d %s: %s" % (
                    os.path.basename(frame.filename), frame.lineno,
                    frame.name, frame.line))
            key = (json.dumps(conf, sort_keys=True), workers)
            if key in self.servers:
                for line in self.servers[key].log().splitlines()[-8:]:
                    print("    log: " + line)
            sys.stdout.flush()
            return
        self.passed += 1
        took = time.monotonic() - begun
        self.report("PASS", name, workers, same,
                    "%.1f s" % took if took >= 1 else "")

    def stop_all(self):
        for (conf, workers), server in self.servers.items():
            try:
                server.stop()
            except BaseException as error:
                self.failed += 1
                self.report("FAIL", "stop after " + conf, workers, None,
                            str(error))
        self.servers = {}

    def main(self):
        parser = argparse.ArgumentParser(description=self.title)
        parser.add_argument("-k", metavar="WORD", action="append",
                            help="only scenarios with this word in the name")
        parser.add_argument("-w", metavar="N,N", help="numbers of workers")
        parser.add_argument("-l", action="store_true", help="list and leave")
        args = parser.parse_args()
        if args.l:
            for name, *_ in self.scenarios:
                print(name)
            return 0
        if program() is None:
            print("SKIP: no natsd to test (set NATSD)")
            return 77
        numbers = sorted({number for one in self.scenarios
                          for number in one[4]})
        if args.w:
            numbers = [int(number) for number in args.w.split(",")]
        if REFERENCE:
            numbers = [1]
        try:
            for workers in numbers:
                for name, function, pairs, conf, mine, reference in \
                        self.scenarios:
                    if workers not in mine or (REFERENCE and not reference):
                        continue
                    if args.k and not any(word in name for word in args.k):
                        continue
                    places = [None]
                    if pairs:
                        places = [True, False] if workers > 1 else [True]
                    for same in places:
                        self.run_one(name, function, workers, same, conf)
                self.stop_all()
        finally:
            self.stop_all()
        print("%s: %d passed, %d failed, %d skipped" % (
            self.title, self.passed, self.failed, self.skipped))
        if self.failed:
            return 1
        return 0 if self.passed else 77
