# SPDX-License-Identifier: BSD-2-Clause
"""What happens to natsd while it is judged: workers die or stand still, the
configuration changes or is wrong, the log is rotated, readers are slow or
deaf, peers vanish, strangers send garbage.  And what must hold all the time:
each death, each end of a connection and each complaint in the log is one that
was caused; memory, descriptors and slots come back.
"""

import os
import random
import re
import signal
import socket
import subprocess
import sys
import time

from natsdtest import BAD_LOG, SLOW, children, memory, pub
from clients import Conn
from judge import NEVER, Violation

KINDS = ("kill", "freeze", "reload", "rotate", "slow", "deaf", "vanish",
         "rude", "burst", "weather")
HERE = os.path.dirname(os.path.abspath(__file__))

# What reloads change, to and fro.  Nothing that a judged client would feel.
RELOADS = [
    {}, {"max_control_line": 2048}, {"max_subscriptions": 2000},
    {"ping_interval": "6s"}, {"write_deadline": "6s"},
    {"no_fast_producer_stall": True}, {"max_subscription_tokens": 60},
    {"memory_max": "300MB"}, {"max_traced_msg_len": 100},
    {"logfile_size_limit": "200MB"},
]
WRONG = ["max_payload = 0x\n", "workers = -3\n", "nonsense = 1\n", "listen =",
         "max_pending = 1KB\n", "authorization { user = a }\n", "\0\1\2",
         "ping_interval = \"soon\"\n"]

BAD = re.compile(BAD_LOG.pattern.replace("|killed by signal", ""))
DEATH = re.compile(r"worker (\d+) \(pid (\d+)\) (killed by signal \d+"
                   r"|exited with status \d+)")
READY = re.compile(r"worker (\d+) ready \(pid (\d+)\)")
CLOSED = re.compile(r"cid:(\d+)\b.* - Client connection closed: (.*)")
# Level ERR and WRN that are right in their place.
FINE = re.compile(
    r"killed by signal|made no progress for|Failed to reload|"
    r"changed, takes effect at the next|no slot is spare|"
    r"cid:\d+|Client parser error|suppressed \d+ similar|"
    r"dropped \d+ log records|Slow Consumer|killing worker .* written over|"
    r"cannot tell worker|bad control message|cannot send the configuration|"
    r"limit of open files|memory_max is reached|"
    r"last words: (signal \d+ \(\w+\) from process|serving|backtrace)")
NEVER_FINE = re.compile(
    r"make no sense|complains of|found its|has written over|crash loop|"
    r"makes no progress|message lost|cannot restore|unusable|"
    r"cannot give memory|"
    r"last words: signal \d+ \(\w+\)(?! from process)")


class Log:
    """natsd's log file as it grows, over rotations."""

    def __init__(self, path):
        self.path = path
        self.file = None
        self.old = []  # rotated ones that may still get a line
        self.closed = {}  # cid -> reason
        self.ready = {}  # pid -> slot
        self.deaths = {}  # pid -> how
        self.spare = 0
        self.reloaded = self.refused = self.reopened = self.stuck = 0
        self.dropped = 0
        self.lines = 0
        self.last = []
        self.bad = []
        self.started = False

    def read(self):
        for old in list(self.old):
            self.take(old)
            if time.monotonic() > old.until:
                self.old.remove(old)
                old.file.close()
        if self.file is not None:
            self.take(self.file)
        try:
            if self.file is None or self.file.moved(self.path):
                if self.file is not None:
                    self.file.until = time.monotonic() + 20
                    self.old.append(self.file)
                self.file = Follow(self.path)
                self.take(self.file)
        except OSError:
            pass  # not there yet

    def take(self, follow):
        for line in follow.lines():
            self.line(line)

    def line(self, line):
        self.lines += 1
        if "[DBG]" not in line:
            self.last = self.last[-200:] + [line[:400]]
        found = CLOSED.search(line)
        if found:
            if len(self.closed) > 20000:
                for cid in list(self.closed)[:10000]:
                    del self.closed[cid]
            self.closed[int(found.group(1))] = found.group(2)
            return
        if "Server is ready" in line:
            self.started = True
        if "is spare" in line:
            self.spare += 1
        elif "Reloaded server configuration" in line:
            self.reloaded += 1
        elif "Failed to reload server" in line:
            self.refused += 1
        elif "File log re-opened" in line:
            self.reopened += 1
        elif "dropped " in line and "log records" in line:
            self.dropped += int(re.search(r"dropped (\d+)", line).group(1))
        found = READY.search(line)
        if found:
            self.ready[int(found.group(2))] = int(found.group(1))
        found = DEATH.search(line)
        if found:
            self.deaths[int(found.group(2))] = found.group(3)
        if "made no progress for" in line:
            self.stuck += 1
        # A name of a rude client may hold anything.
        named = "cid:" in line
        if not self.started:  # what the configuration makes it say
            return
        if not named and (BAD.search(line) or NEVER_FINE.search(line)) or \
                re.search(r"\[(ERR|WRN|FTL)\]", line) and \
                not FINE.search(line):
            self.bad.append(line)


class Follow:
    """A file that is written by others."""

    def __init__(self, path):
        self.file = open(path, errors="replace")
        self.rest = ""
        self.until = 0.0

    def moved(self, path):
        return os.stat(path).st_ino != os.fstat(self.file.fileno()).st_ino

    def lines(self):
        """Those that are whole."""
        while True:
            text = self.file.read(1 << 20)
            if not text:
                return
            lines = (self.rest + text).split("\n")
            self.rest = lines.pop()
            yield from lines


class Chaos:
    """Causes, and knows what it has caused."""

    def __init__(self, server, play, log, seed, kinds=(), pace=3.0,
                 network=None, say=print):
        self.server, self.play, self.log = server, play, log
        self.rng = random.Random("chaos %s" % seed)
        self.kinds = [kind for kind in kinds
                      if kind != "kill" or server.workers > 1] if kinds else []
        if network is None:
            self.kinds = [kind for kind in self.kinds
                          if kind not in ("vanish", "weather")]
        self.pace = pace
        self.network = network
        self.say = say
        self.seed = seed
        self.base = dict(server.conf)
        self.kills = []  # (slot, pid, when)
        self.frozen = {}  # pid -> when to wake it
        self.expected = set()  # pids that are to die
        self.next = time.monotonic() + pace / 2
        self.reloads = self.wrongs = self.rotations = 0
        self.drops = False  # whether no_fast_producer_stall may be on
        self.done = {}
        self.rude = None
        self.rude_count = 0
        self.deaf = []
        self.slow = []
        self.trickled = 0.0
        self.cut = 0
        self.looked = 0.0
        self.excused = 0

    # what was caused

    @staticmethod
    def patience():
        """Longest silence of ours that natsd must put up with."""
        return 2.5

    def reason(self, conn):
        """Whether a worker's death explains the end of a connection."""
        for slot, _, when in self.kills:
            if when < conn.born - 1:
                continue
            if conn.slot is None or conn.slot == slot:
                return "its worker died"
        return ""

    def slot_of(self, pid):
        self.log.read()
        return self.log.ready.get(pid)

    # in the loop

    def tick(self):
        now = time.monotonic()
        self.look()
        if not self.kinds or now < self.next:
            return
        self.next = now + self.rng.uniform(0.3, 1.7) * self.pace
        kind = self.rng.choice(self.kinds)
        done = getattr(self, "do_" + kind)()
        if done is not False:
            self.play.judge.note("%s", kind)
            if kind in ("kill", "freeze"):
                self.play.judge.trouble = True
            self.done[kind] = self.done.get(kind, 0) + 1

    def look(self):
        """What has to be done in time, and the log."""
        now = time.monotonic()
        for pid, when in list(self.frozen.items()):
            if now >= when:
                del self.frozen[pid]
                self.signal(pid, signal.SIGCONT)
        if now - self.trickled > 0.05:
            self.trickled = now
            for conn in self.slow:
                if conn.sock.fileno() >= 0 and conn.quota < 200000:
                    conn.quota += 30000
                    self.play.crowd.settle_mask(conn)
            self.slow = [conn for conn in self.slow if not conn.lost]
        if now - self.looked > 0.25:
            self.looked = now
            self.log.read()
            self.complaints()

    def complaints(self):
        if self.log.bad:
            raise Violation("in the log: %s" % self.log.bad[0])
        if self.server.proc.poll() is not None:
            raise Violation("the master has ended with status %s" %
                            self.server.proc.returncode)
        for pid in set(self.log.deaths) - self.expected:
            if self.log.stuck > self.excused and (
                    self.play.crowd.gap > 1 or
                    os.getloadavg()[0] > 4 * os.cpu_count()):
                # The watchdog cannot know that it was the machine.
                self.excused += 1
                self.expected.add(pid)
                self.kills.append((self.log.ready.get(pid), pid,
                                   time.monotonic() - 3))
                continue
            raise Violation("worker %s died without a reason: %s" % (
                pid, self.log.deaths[pid]))

    @staticmethod
    def signal(pid, number):
        try:
            os.kill(pid, number)
        except OSError:
            pass

    # kinds of it

    def workers(self):
        """Those that live and are not about to die.  The master may have
        other children too."""
        return [pid for pid in children(self.server.pid)
                if pid in self.log.ready and pid not in self.expected]

    def victim(self):
        """One of them that does not stand still."""
        pids = [pid for pid in self.workers() if pid not in self.frozen]
        if len(pids) < self.server.workers:
            return None  # one at a time, as a rule
        # The oldest, so that no place is taken for one that cannot live.
        return min(pids, key=lambda pid: list(self.log.ready).index(pid))

    def do_kill(self):
        pid = self.victim()
        if pid is None:
            return False
        count = 1
        if self.server.workers > 2 and self.rng.random() < 0.15:
            count = 2
        for _ in range(count):
            self.kill(pid)
            pids = self.workers()
            if len(pids) < 2:
                break
            pid = self.rng.choice(pids)
        return True

    def kill(self, pid):
        number = self.rng.choice((signal.SIGKILL, signal.SIGKILL,
                                  signal.SIGSEGV, signal.SIGSTOP))
        self.expected.add(pid)
        self.kills.append((self.log.ready[pid], pid, time.monotonic()))
        self.kills = self.kills[-50:]
        self.signal(pid, number)
        name = signal.Signals(number).name
        self.done[name] = self.done.get(name, 0) + 1

    def do_freeze(self):
        """It stands still for a moment, and lives on."""
        pid = self.victim()
        if pid is None:
            return False
        self.signal(pid, signal.SIGSTOP)
        self.frozen[pid] = time.monotonic() + self.rng.uniform(0.05, 0.7)
        return True

    def do_reload(self):
        if self.reloads + self.wrongs > self.log.reloaded + self.log.refused:
            return False
        if self.rng.random() < 0.3:
            with open(self.server.conf_path) as file:
                sound = file.read()
            self.server.write(sound + self.rng.choice(WRONG))
            self.wrongs += 1
        else:
            change = self.rng.choice(RELOADS)
            if "no_fast_producer_stall" in change:
                self.drops = self.play.judge.drops_allowed = True
            else:
                self.drops = False
            self.server.write_conf(dict(self.base, **change))
            self.reloads += 1
        self.server.raise_signal(signal.SIGHUP)
        return True

    def do_rotate(self):
        if self.rotations > self.log.reopened:
            return False
        path = self.log.path
        os.rename(path, path + ".1")
        self.rotations += 1
        self.server.raise_signal(signal.SIGUSR1)
        return True

    def do_slow(self):
        """Reads a little at a time."""
        conn = self.play.add(kind="slow", brisk=False, rcvbuf=8192,
                             address=self.play.ways.plain[0],
                             make=socket.socket)
        if conn is None:
            return False
        for _ in range(3):
            conn.sub(self.play.pattern())
        conn.ping()
        conn.quota = 30000
        self.slow.append(conn)
        return True

    def do_deaf(self):
        """Reads nothing any more, with more on its way than fits into the
        kernel."""
        if self.deaf:
            return False
        talker = next((c for c in self.play.speakers() if c.brisk and
                       c.kind == "client"), None)
        conn = talker and self.play.add(
            kind="deaf", brisk=False, rcvbuf=8192, make=socket.socket,
            address=self.play.ways.plain[0])
        if not conn:
            return False
        subject = b"l.deaf.%d" % conn.number
        conn.sub(subject)
        conn.sub(self.play.pattern())
        conn.ping()
        self.deaf.append((conn, talker, subject))
        conn.flooded = 0
        return True

    def flood(self):
        """Once the deaf one is subscribed."""
        for conn, talker, subject in self.deaf:
            if conn.flooded or not conn.ready or conn.lost or talker.lost:
                continue
            conn.reading = False
            self.play.crowd.settle_mask(conn)
            conn.flooded = time.monotonic()
            talker.publish([(subject, None, False, 60000)] * 250)
            talker.ping()

    def do_vanish(self):
        """A peer goes without a word: no FIN, no RST, nothing."""
        conns = [conn for conn in self.play.crowd.everyone()
                 if conn.kind == "lossy" and conn.ready]
        if not conns:
            return False
        conn = self.rng.choice(conns)
        self.network.vanish(conn.sock)
        conn.expects_end = "vanished without a word"
        self.play.crowd.ended(conn)
        return True

    def do_weather(self):
        self.network.weather(self.rng.choice((0, 0.01, 0.02, 0.05)),
                             self.rng.choice((0.0005, 0.003, 0.02)))

    def do_rude(self):
        """Strangers, until the epoch ends."""
        self.play.judge.strangers = True
        if self.rude is None:
            port = self.server.addresses[0][1]
            self.rude = subprocess.Popen(
                [sys.executable, os.path.join(HERE, "rude.py"), str(port),
                 self.server.socket_path, str(self.seed), "2"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.tell_rude("go")

    def tell_rude(self, word):
        if self.rude is None:
            return
        try:
            self.rude.stdin.write(word + "\n")
            self.rude.stdin.flush()
            answer = self.rude.stdout.readline()
            self.rude_count = int(answer)
        except (OSError, ValueError):
            raise Violation("the rude clients have ended with status %s" %
                            self.rude.wait()) from None

    def do_burst(self):
        """All at once, as much as there is room for: full rings."""
        play = self.play
        subject = b"s." + self.rng.choice((b"a", b"b", b"c"))
        able = [conn for conn in play.speakers() if conn.brisk]
        fan = max(1, len(play.judge.interest(subject).plain))
        size = self.rng.choice((500, 4000, 30000))
        count = max(1, min(200, (12 << 20) // (fan * size * 4)))
        if play.crowded():
            return False
        for conn in self.rng.sample(able, min(4, len(able))):
            conn.publish([(subject, None, False, size)] * count)
            conn.ping()
        return True

    # coming to rest

    def rest(self):
        """Until all that was begun has come to its end."""
        play = self.play
        self.tell_rude("rest")
        for pid in list(self.frozen):
            self.frozen[pid] = 0
        self.look()
        play.wait(lambda: self.expected <= set(self.log.deaths),
                  lambda: "the master to notice the death of %r" %
                  (self.expected - set(self.log.deaths)), 60)
        play.wait(self.all_serve, "all workers to serve again", 90)
        play.wait(lambda: self.log.reloaded + self.log.refused >=
                  self.reloads + self.wrongs and
                  self.log.refused >= self.wrongs,
                  lambda: "reloads: %d + %d wrong ones; the log has %d, %d" % (
                      self.reloads, self.wrongs, self.log.reloaded,
                      self.log.refused), 30)
        play.wait(lambda: self.log.reopened >= self.rotations,
                  "the log to be re-opened", 30)
        play.wait(lambda: self.log.spare >= len(self.log.deaths) or
                  self.log.dropped,
                  lambda: "slots to become spare again: %d of %d" % (
                      self.log.spare, len(self.log.deaths)), 60)
        self.deaf_end()
        if self.wrongs:
            self.server.write_conf(dict(self.base))

    def all_serve(self):
        self.look()
        return len(self.workers()) == self.server.workers and \
            self.expected <= set(self.log.deaths)

    def deaf_end(self):
        """They are cut, and called by their name."""
        play = self.play
        self.flood()
        for conn, _, _ in self.deaf:
            def over(conn=conn):
                return conn.lost or not conn.flooded or \
                    self.log.closed.get(conn.cid) or self.log.dropped
            play.wait(over, lambda conn=conn: "%r, which reads nothing, to "
                      "be cut off" % conn, 30)
            conn.reading = True
            if not conn.lost:
                play.crowd.settle_mask(conn)
                if not conn.flooded:
                    self.retire(conn)
                else:
                    self.cut += 1
                    play.wait(lambda conn=conn: conn.lost,
                              lambda conn=conn: "the end of %r" % conn, 30)
        self.deaf = []
        # Those who read slowly and were not cut off would become many.
        for conn in self.slow[:-3]:
            self.retire(conn)

    def retire(self, conn):
        if not conn.lost and not conn.expects_end:
            self.play.judge.leaves(conn)
            conn.expects_end = "closed by its client"
            conn.half_close()

    def end(self):
        if self.rude is not None:
            self.tell_rude("rest")
            self.rude.stdin.close()
            self.rude.wait(30)
            self.rude.stdout.close()
            self.rude = None


class Health:
    """What must not grow, looked at when all is quiet."""

    def __init__(self, server, play, chaos):
        self.server, self.play, self.chaos = server, play, chaos
        self.samples = []  # (seconds, PSS, zones, descriptors too many)
        self.begun = time.monotonic()
        self.base = None
        self.idle_cpu = []

    def descriptors(self):
        """Of all workers, beyond one per connection."""
        total = 0
        for pid in self.chaos.workers():
            try:
                total += len(os.listdir("/proc/%d/fd" % pid))
            except OSError:
                return None
        return total - len(self.play.crowd.conns)

    def cpu(self):
        ticks = 0
        for pid in [self.server.pid] + children(self.server.pid):
            try:
                with open("/proc/%d/stat" % pid, "rb") as file:
                    words = file.read().rsplit(b")", 1)[1].split()
            except OSError:
                continue
            ticks += int(words[11]) + int(words[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def zones(self):
        total = 0
        folder = "/proc/%d/fd" % self.server.pid
        try:
            for name in os.listdir(folder):
                path = os.path.join(folder, name)
                if os.readlink(path).startswith("/memfd:natsd"):
                    total += os.stat(path).st_blocks * 512
        except OSError:
            return None
        return total

    def sample(self, deep):
        play = self.play
        spare = self.descriptors()
        if self.base is None:
            self.base = spare
        if spare is not None and not play.ghosts:
            def back():
                return self.descriptors() <= self.base
            play.wait(back, lambda: "descriptors to be closed: %d more than "
                      "connections, %d at the start" % (
                          self.descriptors(), self.base), 60)
        if deep:
            self.quiet()
        self.samples.append((time.monotonic() - self.begun,
                             memory([self.server.pid] +
                                    children(self.server.pid)) or 0,
                             self.zones() or 0, spare or 0))

    def quiet(self):
        """Nobody says anything: no worker has anything to do."""
        play = self.play
        best = NEVER
        for _ in range(4):
            begun, before = time.monotonic(), self.cpu()
            while time.monotonic() < begun + 1:
                play.crowd.turn(0.2)
            best = min(best, (self.cpu() - before) /
                       (time.monotonic() - begun))
            if best < 0.1:
                break
        self.idle_cpu.append(best)
        if best > 0.25:
            raise Violation("natsd takes %.0f %% of a CPU while nobody says "
                            "anything" % (best * 100))

    def trend(self):
        """Whether memory has grown from the second quarter to the last."""
        count = len(self.samples)
        if count < 16:
            return
        for at, name in ((1, "memory"), (2, "zones")):
            early = sorted(s[at] for s in self.samples[count // 4:count // 2])
            late = sorted(s[at] for s in self.samples[-(count // 4):])
            early, late = early[len(early) // 2], late[len(late) // 2]
            # A worker may keep 16 MB that are free, and its pools.
            if late > early * 1.5 + (self.server.workers + 1 << 24):
                raise Violation("%s has grown from %d to %d KB" % (
                    name, early >> 10, late >> 10))


__all__ = ["KINDS", "Chaos", "Conn", "Health", "Log", "pub"]
