# SPDX-License-Identifier: BSD-2-Clause
"""Sessions from a seed: valid, nearly valid and invalid input."""

import random

from grammar import Grammar, Limits
from session import CLOSE, CONFIGS, OPEN, Session

WEIGHTS = {"plain": 66, "user": 4, "token": 2, "payload": 3, "line": 6,
           "subs": 4, "tokens": 3, "headers": 3, "connections": 1, "small": 8,
           "rings": 10}

TOKENS = [b"a", b"b", b"foo", b"A", b"x1", b"\xc3\xa9", b"\xff", b"a*",
          b">b", b"**", b"b>r", b"\x00", b"\x0b", b"\"", b"\\", b"'",
          b"\xc2\xa0", b"\x7f", b"longer-token-with-more-than-16-bytes",
          b"01", b"$", b"_", b"{}", b"~" * 70]
RESERVED = [b"_R_.x", b"_R_.", b"_GR_.x", b"_GR_.", b"_GR_.a.b", b"$NRG.x",
            b"$NRG.", b"$NRG", b"$NRG.a.b", b"$JS.ACK.x", b"$JS.ACK.",
            b"$JS.a", b"$SYS.a", b"_INBOX.a", b"_R_", b"$SRV.PING",
            b"$JS.API.INFO"]
BLANKS = [b"  ", b"\t", b" \t ", b"   ", b"\t\t"]
SIZES = [b"00%d", b"0%d", b"%09d", b"%010d", b"+%d", b"-%d", b"%d.0", b"%dx",
         b"0x%x", b"%d\x00", b"1%d", b"99999999%d", b"\xef\xbc%d"]
LINE_ENDS = [b"\n", b"\r\r\n", b"\r", b"\n\r", b"\r\n\r\n", b" \r\n",
             b"\t\n", b"\n\n", b" \r \n", b""]
GARBAGE = [b"Z", b"\r\n", b"\n", b" ", b" PING\r\n", b"GET / HTTP/1.1\r\n\r\n",
           b"\x16\x03\x01", b"MSG a 1 1\r\nx\r\n", b"HMSG a 1 0 0\r\n\r\n",
           b"HMSG\r\n", b"HM", b"RS+ a\r\n", b"LS+ a\r\n", b"A+ a\r\n",
           b"RMSG a 1\r\n", b"-ERR\r\n", b"-ERR \r\n", b"-ERR x\r\n",
           b"-ERR \n", b"-ERR 'x' y\r\n", b"+OKAY\r\n", b"+ok\n", b"+O",
           b"PINGS\r\n", b"PIX", b"PUBS a 1\r\n", b"PUB\r\n", b"PUB \r\n",
           b"PUB \n", b"SUB\n", b"SUB \n", b"UNSUB \r\n", b"UNSUB\t\n",
           b"HPUB \n", b"CONNECT\r\n", b"CONNECT\n", b"CONNECT \r\n",
           b"INFO\r\n", b"INFO\n", b"INFO {}\r\n", b"INFO{}\n",
           b"INFO null\r\n", b"INFO []\r\n", b"INFO x\r\n",
           b"INFO {\"port\":\"x\"}\r\n", b"INFO {\"x\":5,\"port\":4}\r\n",
           b"INFO {\"PROTO\":\"1\"}\r\n", b"PONG junk\r\n", b"pong\n",
           b"ping  \r\r\n", b"PING\r junk\n", b"Ping" + b"x" * 200 + b"\r\n",
           b"PING" + b" " * 5000 + b"\n", b"+OK" + b"y" * 4200 + b"\r\n",
           b"PONG" + b"z" * 4090 + b"\r\n"]
DOCUMENTS = [b"{}", b"null", b" {} ", b"{\"verbose\":1}", b"[]", b"{", b"5",
             b"{\"verbose\":\"true\"}", b"{\"verbose\":false} x", b"\"x\"",
             b"{\"verbose\":false,\"verbose\":true}", b"{\"verbose\":null}",
             b"{\"VERBOSE\":false}", b"{\"Echo\":false,\"pedantic\":false}",
             b"{\"x\":{\"y\":[1,{\"z\":null}]},\"verbose\":false}",
             b"{\"protocol\":2}", b"{\"protocol\":-1}", b"{\"protocol\":1.0}",
             b"{\"protocol\":1e0}", b"{\"protocol\":\"1\"}",
             b"{\"protocol\":-0}", b"{\"protocol\":99999999999999999999}",
             b"{\"protocol\":true}", b"{\"name\":5}", b"{\"name\":\"a\x01\"}",
             b"{\"name\":\"\xff\xfe\"}", b"{\"name\":\"\\u0000\"}",
             b"{\"name\":\"\\ud800\"}", b"{\"name\":\"\\x\"}",
             b"{\"name\":\"\\u12\"}", b"{'verbose':true}",
             b"{\"verbose\":false,}", b"{\"account\":\"x\"}",
             b"{\"account\":\"\"}", b"{\"new_account\":true}",
             b"{\"new_account\":false}", b"{\"account\":null}",
             b"{\"no_responders\":true}", b"{\"\\u0076erbose\":false}",
             b"{\"headers\":true,\"no_responders\":true}",
             b"{\"import\":5}", b"{\"export\":\"x\"}",
             b"{\"remote_account\":5}", b"{\"remote_account\":\"x\"}",
             b"{\"import\":null}", b"{\"tls_required\":true}",
             b"{\"\xc5\xbfig\":5}", b"{\"n\xc3\xa4me\":5}",
             b"{\"pa\xc5\xbfs\":true,\"verbose\":false}",
             b"{\"n\xe2\x84\xaaey\":7}", b"{\"jwt\":\"x\",\"nkey\":\"U\"}",
             b"{\"a\":01}", b"{\"a\":-}", b"{\"a\":NaN}", b"{\"a\":1e999}",
             b"{\"a\":" + b"[" * 40 + b"]" * 40 + b"}",
             b"{\"a\":\"" + b"n" * 100 + b"\"}", b"{\"user\":\"x\"}",
             b"{\"sig\":null,\"lang\":\"c\",\"version\":\"1\"}",
             b"{\"verbose\":false,\"echo\":false}\t", b"\t{\"echo\":true}",
             b"{\"auth_token\":\"x\"}", b"{\"verbose\" :\t false}"]


class Speaker:
    """A connection while a session is being made."""

    def __init__(self, name, limits):
        self.name = name
        self.grammar = Grammar(limits)
        self.held = b""  # the end of a step that was cut off
        self.serial = 0
        self.connected = False


class Generator:
    def __init__(self, seed):
        self.rng = rng = random.Random(seed)
        self.config = rng.choices(list(WEIGHTS), WEIGHTS.values())[0]
        self.limits = Limits(CONFIGS[self.config])
        # How often something is wrong on purpose, per command.
        self.rude = rng.choices([0, 0.03, 0.12, 0.4], [50, 25, 15, 10])[0]
        self.holds = rng.random() < 0.2
        self.requests = rng.random() < 0.35
        self.verbose = rng.choice([0, 0, 0.3, 1])
        self.depth = rng.choice([1, 2, 2, 3])
        self.dense = rng.random() < 0.08  # in subscriptions
        odd = rng.random() < 0.35
        self.alphabet = rng.sample(TOKENS if odd else TOKENS[:3],
                                   rng.choice([1, 2, 2, 3]))
        self.groups = [b"q", b"r"][:rng.choice([1, 1, 2])]
        if odd and rng.random() < 0.3:
            self.groups.append(rng.choice([b"_sys_", b"a..b", b"*", b">"]))
        self.speakers = []
        self.steps = []
        self.total = 0

    def chance(self, p):
        return self.rng.random() < p

    def pick(self, items):
        return self.rng.choice(items)

    # words

    def subject(self):
        """One that is published to."""
        if self.chance(0.04):
            return self.pick(RESERVED)
        if self.requests and self.chance(0.3):
            return b"nobody"
        words = [self.pick(self.alphabet)
                 for _ in range(self.rng.randint(1, self.depth))]
        if self.chance(0.06):
            words[self.rng.randrange(len(words))] = self.pick(
                [b"", b"*", b">"])
        if self.chance(0.02):
            words += [b"t"] * self.rng.choice([3, 20, 40])
        return b".".join(words) or b"."

    def pattern(self):
        words = [self.pick(self.alphabet)
                 for _ in range(self.rng.randint(1, self.depth))]
        for number in range(len(words)):
            if self.chance(0.25):
                words[number] = b"*"
        if self.chance(0.2):
            words[-1] = b">"
        if self.chance(0.04):
            words[self.rng.randrange(len(words))] = self.pick([b"", b">"])
        if self.chance(0.03):
            return self.pick(RESERVED + [b"$JS.ACK.>", b"$SYS.>", b"_R_.*"])
        if self.chance(0.03):
            words += [b"t"] * self.rng.choice([2, 3, 20])
        return b".".join(words) or b"."

    def reply(self):
        if self.chance(0.06):
            return self.pick(RESERVED)
        if self.chance(0.06):
            return self.pick([b"a..b", b"in.*", b"in.>", b">", b".", b"in."])
        return b"in.%d" % self.rng.randint(1, 3)

    def payload(self, speaker, most):
        speaker.serial += 1
        text = speaker.name.encode() + b"%d." % speaker.serial
        kind = self.rng.random()
        if kind < 0.1:
            text = b""
        elif kind < 0.2:
            text += self.pick([b"\r\n", b"\x00\xff", b"PING\r\n", b"\r",
                               b"\n", b"MSG a 1 1\r\nx\r\n", b"\r\nPONG\r\n"])
        elif kind < 0.23 and self.config == "rings":
            text += b"#" * self.rng.choice([20000, 33000, 40000, 66000,
                                            140000, 300000])
        elif kind < 0.3:
            text += b"." * self.rng.randint(0, 600)
        elif kind < 0.32:
            text += b"-" * self.rng.choice([4000, 9000, 17000, 40000])
        elif kind < 0.321:
            text += b"+" * self.rng.choice([70000, 300000, 1048576])
        if len(text) > most and not self.chance(self.rude / 2 + 0.02):
            text = text[:most]
        return text

    # commands

    def sub(self, speaker):
        kind = self.rng.random()
        if self.dense and kind < 0.5:
            return self.many_subs()
        if self.requests and kind < 0.35:
            return b"SUB %s i%d\r\n" % (
                self.pick([b"in.>", b"in.*", b"in.1", b"in.2"]),
                self.rng.randint(1, 3))
        if kind < 0.55:
            sid = b"%d" % self.rng.randint(1, 5)
            if self.chance(0.05):
                sid = self.pick([b"01", b"a.b", b"*", b"\xff", b"1" * 40])
            return b"SUB %s %s\r\n" % (self.pattern(), sid)
        if kind < 0.65:
            alone = b"alone" + speaker.name.encode()
            return b"SUB %s %s %s1\r\n" % (self.pattern(), alone, alone)
        group = self.pick(self.groups)
        return b"SUB %s %s %s%d\r\n" % (self.pattern(), group, group,
                                        self.rng.randint(1, 3))

    def many_subs(self):
        """More than the references that a message takes to another worker;
        none of them gets a max."""
        made = b""
        for number in range(self.rng.randint(4, 40)):
            group = b"m%d " % self.rng.randint(1, 9) \
                if self.chance(0.3) else b""
            made += b"SUB %s %s%s%d\r\n" % (
                self.pattern(), group, group.strip() or b"many", number)
        return made

    def burst(self, speaker):
        """Messages with one control line, which go as one."""
        line = b"PUB %s %d\r\n" % (self.subject(), 8)
        made = b""
        for _ in range(self.rng.choice([2, 3, 5, 20, 60])):
            speaker.serial += 1
            made += line + speaker.name.encode() + b"%06d." % \
                speaker.serial + b"\r\n"
        return made

    def unsub(self, speaker):
        most = self.pick([b"", b" 1", b" 2", b" 3", b" 0", b" x", b" 10",
                          b" 999999999", b" 1000000000", b" -1", b" 01"])
        kind = self.rng.random()
        if kind < 0.15:
            return b"UNSUB %s%d\r\n" % (self.pick(self.groups),
                                        self.rng.randint(1, 3))
        if kind < 0.25:
            return b"UNSUB alone%s1%s\r\n" % (speaker.name.encode(), most)
        if kind < 0.35 and self.requests:
            return b"UNSUB i%d%s\r\n" % (self.rng.randint(1, 3), most)
        return b"UNSUB %d%s\r\n" % (self.rng.randint(1, 5), most)

    def pub(self, speaker):
        payload = self.payload(speaker, self.limits.payload)
        reply = b""
        if self.chance(0.6 if self.requests else 0.15):
            reply = self.reply() + b" "
        return b"PUB %s %s%s\r\n%s\r\n" % (
            self.subject(), reply, self.digits(len(payload)), payload)

    def hpub(self, speaker):
        header = self.pick([
            b"NATS/1.0\r\n\r\n", b"NATS/1.0\r\nA: b\r\nA: c\r\n\r\n",
            b"NATS/1.0 404\r\n\r\n", b"junk", b"", b"NATS/1.0 503 x\r\n\r\n",
            b"NATS/1.0\r\nLong: " + b"v" * 300 + b"\r\n\r\n"])
        most = max(0, self.limits.payload - len(header))
        payload = self.payload(speaker, most)
        reply = b""
        if self.chance(0.6 if self.requests else 0.15):
            reply = self.reply() + b" "
        return b"HPUB %s %s%s %s\r\n%s%s\r\n" % (
            self.subject(), reply, self.digits(len(header)),
            self.digits(len(header) + len(payload)), header, payload)

    def digits(self, number):
        if self.chance(self.rude / 2 + 0.01):
            return self.pick(SIZES[:3]) % number
        if self.chance(self.rude / 4):
            return self.pick(SIZES) % number
        if self.chance(self.rude / 6):
            return b"%d" % max(0, number + self.pick([-1, 1, 2, 5]))
        return b"%d" % number

    def connect(self, speaker):
        auth = ""
        if self.limits.user is not None:
            auth = ',"user":"u","pass":"p"'
        elif self.limits.token is not None:
            auth = ',"auth_token":"s3cr3t"'
        if self.chance(self.rude) or self.chance(0.01):
            document = self.pick(DOCUMENTS)
            if self.chance(0.5):
                document = document.replace(b"}", auth.encode() + b"}", 1) \
                    if document not in (b"{}", b" {} ") else document
            return b"CONNECT " + document + b"\r\n"
        if auth and self.chance(0.08):
            auth = self.pick(["", ',"user":"u","pass":"x"', ',"user":"s3cr3t"',
                              ',"pass":"p"', ',"auth_token":"S3cr3t"'])
        headers = self.limits.headers and \
            self.chance(0.9 if self.requests else 0.6)
        flags = [("verbose", self.chance(self.verbose)),
                 ("pedantic", self.chance(0.2)), ("echo", self.chance(0.8)),
                 ("headers", headers),
                 ("no_responders", headers and self.requests and
                  self.chance(0.8))]
        text = ",".join('"%s":%s' % (key, str(value).lower())
                        for key, value in flags
                        if self.chance(0.9) or key in ("headers",
                                                       "no_responders"))
        text += self.pick(["", "", ',"protocol":1', ',"name":"n"',
                           ',"lang":"c","version":"1.0","protocol":0'])
        return b"CONNECT {" + (text + auth).strip(",").encode() + b"}\r\n"

    def command(self, speaker):
        kind = self.rng.random()
        if self.chance(self.rude / 4):
            return self.pick(GARBAGE)
        if not speaker.connected:
            speaker.connected = True
            if self.chance(0.9):
                made = self.connect(speaker)
                if self.requests and self.chance(0.6):
                    made += self.sub(speaker)
                return made
        if kind < 0.27:
            made = self.sub(speaker)
        elif kind < 0.37:
            made = self.unsub(speaker)
        elif kind < 0.65:
            made = self.pub(speaker)
        elif kind < 0.69:
            return self.burst(speaker)
        elif kind < 0.86:
            made = self.hpub(speaker) \
                if speaker.grammar.headers() or self.chance(self.rude / 4) \
                else self.pub(speaker)
        elif kind < 0.9:
            made = b"PING\r\n"
        elif kind < 0.93:
            made = self.pick([b"PONG\r\n", b"+OK\r\n", b"INFO {}\r\n",
                              b"pong\r\n"])
        elif kind < 0.945:
            made = self.connect(speaker)
        else:
            made = self.pub(speaker)
        return self.spoil(made)

    def spoil(self, made):
        """Now and then something a little wrong, or only unusual."""
        if self.chance(0.05):
            made = self.cases(made)
        if not self.chance(self.rude):
            return made
        line, end, rest = made.partition(b"\r\n")
        kind = self.rng.randrange(12)
        if kind == 0:
            words = line.split(b" ")
            line = words[0] + self.pick(BLANKS) + \
                self.pick(BLANKS).join(words[1:])
        elif kind == 1:
            end = self.pick(LINE_ENDS)
        elif kind == 2:
            line += self.pick([b" x", b" 5", b" x 5", b" ", b"\t"])
        elif kind == 3:
            line = line.rpartition(b" ")[0]
        elif kind == 4 and rest:
            rest = rest[:-2] + self.pick(LINE_ENDS + [b"\n", b"\n"])
        elif kind == 5:
            return self.flip(made)
        elif kind == 6:
            at = self.rng.randrange(len(line) + 1)
            line = line[:at] + b"\r" + line[at:]
        elif kind == 7:
            verb, blank, args = line.partition(b" ")
            line = verb + b" " * self.rng.choice(
                [2, self.limits.line, self.limits.line + 1,
                 self.limits.line + 50]) + args
        elif kind == 8:
            line = self.lengthen(line)
        elif kind == 9:
            at = self.rng.randrange(len(made))
            return made[:at] + self.pick(GARBAGE) + made[at:]
        elif kind == 10:
            return self.pick(GARBAGE) + made
        elif kind == 11:
            return made[:self.rng.randrange(len(made))]
        return line + end + rest

    def lengthen(self, line):
        """To about max_control_line."""
        verb, blank, args = line.partition(b" ")
        want = self.limits.line + self.rng.choice([-1, 0, 0, 1, 2, 100])
        if not args or len(args) >= want or verb.upper() == b"CONNECT":
            return line
        words = args.split(b" ")
        words[0] += b"l" * (want - len(args))
        return verb + b" " + b" ".join(words)

    def cases(self, made):
        verb, blank, rest = made.partition(b" ")
        return bytes(byte ^ 32 if 65 <= byte <= 90 and self.chance(0.5)
                     else byte for byte in verb) + blank + rest

    def flip(self, made):
        at = self.rng.randrange(len(made))
        kind = self.rng.randrange(3)
        odd = bytes([self.rng.choice([self.rng.randrange(256), 13, 10, 32,
                                      9, 0, 46, 42, 62, 48])])
        if kind == 0:
            return made[:at] + made[at + 1:]
        if kind == 1:
            return made[:at] + odd + made[at:]
        return made[:at] + odd + made[at + 1:]

    # steps

    def session(self):
        rng = self.rng
        names = "ABCDE"[:rng.choices([1, 2, 3, 4, 5],
                                     [22, 32, 24, 12, 10])[0]]
        self.speakers = [Speaker(name, self.limits) for name in names]
        steps = rng.choice([1, 3, 5, 8, 12]) + len(names)
        for number in range(steps):
            alive = [one for one in self.speakers if not one.grammar.closed]
            if not alive:
                break
            # At first each says something, so that there is interest.
            one = alive[number % len(alive)] if number < len(names) \
                else rng.choice(alive)
            self.step(one)
        session = Session(self.config)
        session.steps = self.cut(self.steps)
        return session

    def step(self, speaker):
        rng = self.rng
        if self.chance(0.02):
            self.steps.append((speaker.name, CLOSE))
            speaker.grammar.closed = True
            return
        if self.chance(0.01) and not speaker.connected:
            self.steps.append((speaker.name, OPEN))
            return
        data = speaker.held
        speaker.held = b""
        for _ in range(rng.choice([1, 1, 2, 3, 5, 8])):
            data += self.command(speaker)
            if self.total + len(data) > 60000 and not self.chance(0.05):
                break
        if self.holds and len(data) > 1 and self.chance(0.5):
            at = rng.randrange(1, len(data))
            data, speaker.held = data[:at], data[at:]
        self.total += len(data)
        speaker.grammar.feed(data)
        self.steps.append((speaker.name, data))

    def cut(self, steps):
        """Steps as pieces."""
        style = self.rng.choices(["whole", "some", "bytes"], [45, 50, 5])[0]
        total = sum(len(data) for _, data in steps
                    if isinstance(data, bytes))
        if style == "bytes" and total > 500:
            style = "some"
        made = []
        for name, data in steps:
            if isinstance(data, str) or style == "whole" or len(data) < 2:
                made.append((name, (data,)))
                continue
            if style == "bytes":
                cuts = range(1, len(data))
            else:
                cuts = sorted({self.rng.randrange(1, len(data))
                               for _ in range(self.rng.choice(
                                   [0, 1, 1, 2, 4]))})
            pieces = []
            last = 0
            for at in list(cuts) + [len(data)]:
                pieces.append(data[last:at])
                last = at
            made.append((name, tuple(pieces)))
        return made


def generate(seed):
    """The session of a seed, and how it is played: connection by connection
    a number for the worker, and whether over Unix sockets."""
    made = Generator(seed)
    session = made.session()
    session.name = "seed %d" % seed
    rng = random.Random("place %d" % seed)
    together = rng.random() < 0.2
    first = rng.randrange(64)
    places = {name: first if together else rng.randrange(64)
              for name in "ABCDE"}
    unix = session.pieces() > 1 or rng.random() < 0.3
    return session, places, unix
