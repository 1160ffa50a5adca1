# SPDX-License-Identifier: BSD-2-Clause
"""How natsd reads what a connection says.

Not to judge an answer: the harness must know how much it has to wait for,
which sids are in queue groups, and what nats-server is to be told instead
where natsd differs on purpose (allowed.py).
"""

import json
import re

import allowed

JSON, TEXT, TOKENS, IGNORED = range(4)

VERBS = [(b"CONNECT", JSON), (b"PING", IGNORED), (b"PONG", IGNORED),
         (b"PUB", TOKENS), (b"HPUB", TOKENS), (b"SUB", TOKENS),
         (b"UNSUB", TOKENS), (b"INFO", JSON), (b"+OK", IGNORED),
         (b"-ERR", TEXT)]

BOOLS = ("verbose", "pedantic", "echo", "headers", "no_responders",
         "tls_required", "new_account")
STRINGS = ("user", "pass", "auth_token", "nkey", "sig", "jwt", "name", "lang",
           "version", "account")
KNOWN = {**{key: bool for key in BOOLS}, **{key: str for key in STRINGS},
         "protocol": int}

PING = b"PING\r\n"


class Limits:
    """What a configuration means to one connection."""

    def __init__(self, conf):
        auth = conf.get("authorization", {})
        self.line = conf.get("max_control_line", 4096)
        self.payload = conf.get("max_payload", 1048576)
        self.headers = not conf.get("no_header_support", False)
        self.user = auth.get("user")
        self.password = auth.get("password")
        self.token = auth.get("token")

    @property
    def auth(self):
        return self.user is not None or self.token is not None

    def good(self, options):
        if self.token is not None:
            return options.get("auth_token") == self.token
        return not self.auth or (options.get("user") == self.user and
                                 options.get("pass") == self.password)


def bad_constant(word):
    raise ValueError(word)


def pairs_of(data):
    """The members of a JSON object in order, none for null; ValueError."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        made = json.loads(text, object_pairs_hook=Pairs,
                          parse_constant=bad_constant)
    except RecursionError:
        raise ValueError("deep")
    if made is None:
        return []
    if not isinstance(made, Pairs):
        raise ValueError("no object")
    return made.items


class Pairs(dict):
    """An object that keeps its duplicates."""

    def __init__(self, items):
        super().__init__(items)
        self.items = items


def kind_of(value):
    return dict if isinstance(value, Pairs) else type(value)


def size_of(token):
    return int(token) if re.fullmatch(rb"[0-9]{1,9}", token) else None


def literal_subject(subject):
    return not {b"", b"*", b">"} & set(subject.split(b"."))


class Grammar:
    """One connection.  feed() says what nats-server is to be told; closed,
    pongs and rest say what to wait for."""

    def __init__(self, limits):
        self.limits = limits
        self.rest = b""  # of a command that is not whole
        self.closed = False  # natsd closes after what came so far
        self.why = ""
        self.pongs = 0  # natsd's, so far
        self.their_pongs = 0
        self.hidden = []  # pairs of their PONGs: what is between is dropped
        self.options = {}
        self.connected = False
        self.authorized = not limits.auth
        self.subs = []  # sids that may be in use, in order
        self.queues = {}  # sid: names of its queues
        self.limited = set()  # sids with an UNSUB max
        self.requests = set()  # (subject, reply) of what was published
        self.used = set()  # entries of the table
        self.warned = False  # of a publish that is not whole yet
        self.unclear = False  # what nats-server is to be told

    @property
    def ready(self):
        """Whether a PING would be answered."""
        return not self.closed and not self.rest and self.authorized

    def note(self, ident):
        self.used.add(ident)

    def feed(self, data):
        out = []
        self.rest += data
        pos = 0
        while pos < len(self.rest) and not self.closed:
            used, theirs = self.command(self.rest, pos)
            if used == 0:
                break
            out.append(self.rest[pos:pos + used] if theirs is None
                       else theirs)
            pos += used
        if self.closed:
            self.rest = b""
        else:
            self.rest = self.rest[pos:]
        return b"".join(out)

    def close(self, why):
        self.closed = True
        self.why = why

    def fail(self, why, data, pos, theirs=None):
        """natsd closes; nats-server gets the same, or what is given."""
        self.close(why)
        return len(data) - pos, theirs

    def silent(self, why, data, pos, entry=None):
        if entry:
            self.note(entry)
        return self.fail(why, data, pos, allowed.SILENT if entry else None)

    def unknown(self, data, pos, entry=None):
        if entry:
            self.note(entry)
        return self.fail("Unknown Protocol Operation", data, pos,
                         allowed.UNKNOWN if entry else None)

    def command(self, data, pos):
        """One command: bytes used (0: not whole), and what nats-server gets
        (None: the same)."""
        self.warned = False
        if not self.authorized and data[pos:pos + 1] not in (b"C", b"c"):
            return self.fail("Authorization Violation", data, pos)
        found = self.verb(data, pos)
        if found is None:
            # To nats-server the beginning of HMSG is no error yet.
            head = data[pos:pos + 4].upper()
            return self.unknown(data, pos, "D11" if len(head) > 1 and
                                b"HMSG".startswith(head) else None)
        verb, kind = found
        if not verb:
            return 0, None
        return self.line(verb, kind, data, pos)

    @staticmethod
    def verb(data, pos):
        """The verb and its kind; ("", 0) if not whole; None if there is no
        such verb."""
        more = False
        head = data[pos:pos + 7].upper()
        for verb, kind in VERBS:
            if head.startswith(verb):
                return verb, kind
            more = more or verb.startswith(head)
        return (b"", 0) if more else None

    def line(self, verb, kind, data, pos):
        limit = self.limits.line
        at = pos + len(verb)
        if at == len(data):
            return 0, None
        blank = data[at:at + 1] in (b" ", b"\t")
        if kind != IGNORED and blank:
            at += 1
        elif kind in (TOKENS, TEXT):
            return self.unknown(data, pos)
        window = data[at:at + limit + 2]
        lf = window.find(b"\n")
        used = lf if lf >= 0 else len(window)
        if kind != IGNORED and re.search(rb"\r[^\r]", window[:used]):
            return self.unknown(data, pos, "D09")
        if used > limit + 1 or (used == limit + 1 and
                                window[limit:limit + 1] != b"\r"):
            return self.too_long(data, pos, at, kind)
        if lf < 0:
            return 0, None
        whole = at + lf + 1 - pos
        arg = window[:lf]
        if kind != IGNORED and not arg.strip(b" \t"):
            return self.empty(verb, data, pos, "D13")
        if arg.endswith(b"\r"):
            arg = arg[:-1]
        if kind != IGNORED and arg.endswith(b"\r"):
            return self.silent("arguments", data, pos, "D10")
        arg = arg.lstrip(b" \t")
        return getattr(self, "do_" + VERB_NAMES[verb])(
            arg, whole, data, pos)

    def empty(self, verb, data, pos, entry):
        if verb == b"-ERR":
            self.note(entry)
            return self.fail("-ERR", data, pos, b"-ERR x\r\n")
        return self.silent("no arguments", data, pos, entry)

    def too_long(self, data, pos, at, kind):
        entry = allowed.line_too_long(data[at:], self.limits.line,
                                      kind == IGNORED)
        theirs = None
        if entry:
            self.note(entry)
            theirs = allowed.too_long(self.limits.line)
        return self.fail("maximum control line exceeded", data, pos, theirs)

    # What ignores its arguments.

    def do_ping(self, arg, whole, data, pos):
        self.pongs += 1
        self.their_pongs += 1
        return whole, None

    def do_pong(self, arg, whole, data, pos):
        return whole, None

    do_ok = do_pong

    def do_err(self, arg, whole, data, pos):
        theirs = None
        if len(data) > pos + whole:
            self.note("D14")
            theirs = data[pos:pos + whole]
        return self.fail("-ERR", data, pos, theirs)

    # Publishing.

    def do_pub(self, arg, whole, data, pos):
        words = re.split(rb"[ \t]+", arg.strip(b" \t"))
        if len(words) not in (2, 3):
            return self.silent("arguments", data, pos)
        size = size_of(words[-1])
        if size is None:
            return self.silent("size", data, pos)
        return self.payload(b"PUB", words, size, whole, data, pos)

    def do_hpub(self, arg, whole, data, pos):
        words = re.split(rb"[ \t]+", arg.strip(b" \t"))
        if len(words) not in (3, 4):
            return self.silent("arguments", data, pos)
        hsize, size = size_of(words[-2]), size_of(words[-1])
        if hsize is None or size is None or hsize > size:
            return self.silent("size", data, pos)
        if not self.headers():
            return self.silent("headers", data, pos)
        return self.payload(b"HPUB", words, size, whole, data, pos)

    def headers(self):
        return self.limits.headers and self.options.get("headers", False)

    def payload(self, verb, words, size, whole, data, pos):
        if size > self.limits.payload:
            return self.fail("Maximum Payload Violation", data, pos)
        at = pos + whole + size
        end = data[at:at + 2]
        payload = data[pos + whole:at]
        if not end or end == b"\r":
            self.warned = self.options.get("pedantic", True) and \
                not literal_subject(words[0])
            return 0, None
        bare = end[:1] == b"\n"
        if (bare and payload.endswith(b"\r")) or \
                not (bare or end == b"\r\n"):
            return self.unknown(data, pos)
        used = whole + size + (1 if bare else 2)
        self.requests.add((words[0], words[1]))
        subject = allowed.reserved_nrg(words[0])
        if subject is not None:
            self.note("D04")
            words = [subject] + words[1:]
            if len(b" ".join(words)) > self.limits.line:
                self.unclear = True
        if bare:
            self.note("D12")
        if subject is None and not bare:
            return used, None
        return used, verb + b" " + b" ".join(words) + b"\r\n" + payload + \
            b"\r\n"

    # Subscriptions.

    def do_sub(self, arg, whole, data, pos):
        words = re.split(rb"[ \t]+", arg.strip(b" \t"))
        if len(words) not in (2, 3):
            return self.silent("arguments", data, pos)
        sid = words[-1]
        if sid not in self.subs:
            self.subs.append(sid)
        if len(words) == 3:
            self.queues.setdefault(sid, set()).add(words[1])
        return whole, None

    def do_unsub(self, arg, whole, data, pos):
        words = re.split(rb"[ \t]+", arg.strip(b" \t"))
        if len(words) not in (1, 2):
            return self.silent("arguments", data, pos)
        if len(words) == 2 and size_of(words[1]):
            self.limited.add(words[0])
        elif words[0] in self.subs:
            self.subs.remove(words[0])
        return whole, None

    # JSON.

    def do_connect(self, arg, whole, data, pos):
        again = b""
        if self.connected and self.subs:
            self.note("D03")
            again = PING + allowed.connect_again(self.subs) + PING
            self.hidden.append((self.their_pongs, self.their_pongs + 1))
            self.their_pongs += 2
            self.subs = []
        theirs = self.options_of(arg)
        if theirs is not None:
            theirs = b"CONNECT " + theirs + b"\r\n"
        else:
            theirs = data[pos:pos + whole]
        if self.closed:
            return len(data) - pos, again + theirs + data[pos + whole:]
        return whole, again + theirs

    def options_of(self, arg):
        """Take the options; what nats-server gets instead, or None."""
        try:
            pairs = pairs_of(arg)
        except ValueError:
            self.close("JSON")
            return None
        options = dict(self.options)
        mine = []
        other = False
        for key, value in pairs:
            if allowed.folded_option(key, KNOWN):
                self.note("D17")
                other = True
                continue
            if allowed.server_option(key, value):
                self.note("D16")
                other = True
                continue
            mine.append((key, value))
            name = key.lower() if key.isascii() else ""
            if value is None or name not in KNOWN:
                continue
            if kind_of(value) is not KNOWN[name] or (
                    name == "protocol" and not -1 << 63 <= value < 1 << 63):
                self.close("JSON")
                return None
            options[name] = value
        self.options = options
        self.check(options)
        return json_text(mine) if other else None

    def check(self, options):
        if not self.limits.good(options) or options.get("account") or \
                options.get("new_account"):
            self.close("Authorization Violation")
        elif options.get("protocol", 0) not in (0, 1):
            self.close("invalid client protocol")
        elif options.get("no_responders") and not self.headers():
            self.close("no responders requires headers support")
        else:
            self.connected = self.authorized = True

    def do_info(self, arg, whole, data, pos):
        try:
            pairs = pairs_of(arg)
        except ValueError:
            return self.silent("JSON", data, pos)
        if allowed.info_differs([(key, value) for key, value in pairs]):
            self.note("D15")
            return whole, b"INFO {}\r\n"
        return whole, None


VERB_NAMES = {b"CONNECT": "connect", b"PING": "ping", b"PONG": "pong",
              b"PUB": "pub", b"HPUB": "hpub", b"SUB": "sub",
              b"UNSUB": "unsub", b"INFO": "info", b"+OK": "ok",
              b"-ERR": "err"}


def json_text(pairs):
    """An object with these members, duplicates too."""
    return b"{" + b",".join(
        json.dumps(key).encode() + b":" + json.dumps(value).encode()
        for key, value in pairs) + b"}"
