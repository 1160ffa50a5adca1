#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""natsd-protocol(7) says what is true: its sessions are played, and its lists
compared with what natsd is made of."""

import os
import re
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
from natsdtest import *  # noqa: E402,F403

suite = Suite("natsd-protocol(7)")

TOP = os.environ.get("top_srcdir") or os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "..", "..")


def read(*path):
    with open(os.path.join(TOP, *path)) as file:
        return file.read()


PAGE = read("man", "natsd-protocol.7")


def plain(text):
    """What mdoc makes of a piece of text."""
    for code, char in ((r"\(dq", '"'), (r"\-", "-"), (r"\&", ""),
                       (r"\e", "\\")):
        text = text.replace(code, char)
    return text


def part(name):
    """The lines between the comments NAME begin and NAME end."""
    found = re.search(r'^\.\\" %s begin$(.*)^\.\\" %s end$' % (name, name),
                      PAGE, re.M | re.S)
    check(found, "no part %r in the page", name)
    return found.group(1)


def items(name):
    """(item, text below it) of the list in a part."""
    return [(plain(item), text) for item, text in re.findall(
        r"^\.It (?:Li|Sy) (.*)\n((?:(?!\.It |\.El).*\n)*)", part(name), re.M)]


# ------------------------------------------------------------------ sessions

CONF_PLACE = {"user": "authorization", "password": "authorization"}


def sessions():
    """(configuration, line end, lines) of each session in the page."""
    found = []
    for words, lines in re.findall(
            r'^\.\\" session(.*)\n\.Bd -literal.*\n((?:.*\n)*?)\.Ed$', PAGE,
            re.M):
        conf, end = {}, "\n"
        for word in words.split():
            if word == "crlf":
                end = "\r\n"
                continue
            name, value = word.split("=")
            where = conf
            if name in CONF_PLACE:
                where = conf.setdefault(CONF_PLACE[name], {})
            where[name] = int(value) if value.isdigit() else value
        found.append((conf, end, plain(lines).splitlines()))
    return found


def pattern(line):
    """What the line stands for, "..." being anything."""
    parts = [re.escape(part) for part in line.split("...")]
    return re.compile(r"[^\r\n]*".join(parts).encode() + b"\r\n")


class Play:
    """A session and its connections, which open when first named."""

    def __init__(self, env, conf):
        self.env, self.clients, self.closed = env, {}, set()
        self.server = env.own_server(conf) if conf else env.server

    def client(self, number):
        made = self.clients.get(number)
        if made is None:
            if self.clients:
                made = self.env.near(self.client("1"), None, self.server)
            else:
                made = self.env.client(None, self.server, info=False)
                self.first = made.line()
                made.info = json.loads(self.first[5:].decode())
                made.worker = made.info["worker"]
            self.clients[number] = made
        return made

    def line(self, text, end):
        """One line of the page."""
        told = re.fullmatch(r"([12]?)> ?(.*)", text)
        answer = re.fullmatch(r"([12]): ?(.*)", text)
        if told:
            self.client(told.group(1) or "1").send(
                (told.group(2) + end).encode())
        elif text.startswith("INFO "):
            self.client("1")
            self.agree(self.first, text.replace("}", "} "))
        elif answer:
            self.agree(self.client(answer.group(1)).line(), answer.group(2))
        elif text == "(closed)":
            self.client("1").expect_eof()
            self.closed.add("1")
        else:
            self.agree(self.client("1").line(), text)

    def agree(self, got, text):
        check(pattern(text).fullmatch(got), "the page says %r, natsd %s",
              text, show(got))

    def nothing_more(self):
        for number, client in self.clients.items():
            if number not in self.closed:
                client.expect_nothing()


def register(number, conf, end, lines):
    two = any(line.startswith("2>") for line in lines)
    first = next(line for line in lines if line[:1] in "12>")

    @suite.scenario("session %d: %s" % (number, first), pairs=two,
                    reference=False)
    def play(env):
        """Each line of it."""
        session = Play(env, conf)
        for line in lines:
            session.line(line, end)
        session.nothing_more()


FOUND = sessions()
for index, one in enumerate(FOUND):
    register(index + 1, *one)


@suite.scenario("every display with an answer is played", workers=(1,),
                reference=False)
def complete(env):
    """A session that lacks its comment would be left out silently."""
    shown = re.findall(r"^\.Bd -literal.*\n((?:.*\n)*?)\.Ed$", PAGE, re.M)
    shown = [text for text in shown if re.search(r"^[12]?>( |$)", text, re.M)]
    equal(len(FOUND), len(shown), "number of sessions")
    check(len(FOUND) >= 15, "only %d sessions", len(FOUND))
    verbs = {line.split("> ")[1].split(" ")[0].upper()
             for _, _, lines in FOUND for line in lines if "> " in line}
    for verb in re.findall(r'^VERB\(\w+, "([^"]+)"',
                           read("src", "proto", "verbs.def"), re.M):
        check(verb in verbs, "no session with %s", verb)


# --------------------------------------------------------------------- lists

def error_table():
    """[(text or None, reason or None, closes)] from perr.c."""
    source = read("src", "proto", "perr.c")
    table = source.split("perr_desc table[PERR_COUNT] = {")[1]
    table = table[:table.index("\n};")]
    found = []
    for name, entry in re.findall(r"\[PERR_(\w+)\] = \{(.*?)\}", table, re.S):
        if name == "NONE":
            continue
        entry = re.sub(r'"\s+"', "", entry)
        fields = {key: value.replace('\\"', '"') for key, value in re.findall(
            r'\.(\w+) = "((?:[^"\\]|\\.)*)"', entry)}
        text = fields.get("first")
        if text and "second" in fields:
            text += ("R" if "Reply" in text else "S") + fields["second"]
        if text and "third" in fields:
            text += "Q" + fields["third"]
        found.append((text, fields.get("reason"), "closes = true" in entry))
    check(len(found) > 15, "perr.c was not understood")
    return found


@suite.scenario("the error texts are those of perr.c", workers=(1,),
                reference=False)
def errors(env):
    want = {text: closes for text, _, closes in error_table() if text}
    listed = items("errors")
    equal(sorted(name for name, _ in listed), sorted(want), "error texts")
    for name, text in listed:
        equal(text.splitlines()[0], "Closes." if want[name] else
              "Stays open.", name)


@suite.scenario("the silent errors are those of perr.c", workers=(1,),
                reference=False)
def silent(env):
    want = [reason for text, reason, _ in error_table() if not text]
    equal(sorted(name for name, _ in items("silent")), sorted(want),
          "reasons")


SILENT = (
    (b"CONNECT {\r\n",
     "malformed JSON, or a value of the wrong type: CONNECT with 1 bytes"),
    (b"SUB news\r\n", "wrong number of arguments: SUB news"),
    (b"PUB a x\r\n", "bad or missing size: PUB a x"),
    (b"-ERR 'no'\r\n", "error from the client: 'no'"),
    (b"HPUB a 0 0\r\n\r\n", "headers are not enabled: HPUB a 0 0"),
)


def logged(env, data, answer, text):
    """Say it; whether the log has the text for it.  Of many lines a second
    it has some only."""
    client = env.client(None)
    client.send(data)
    equal(client.until_eof(), answer, "answer to %s" % show(data))
    tail = " - cid:%d - %s" % (client.info["client_id"], text)
    try:
        return wait_for(lambda: any(
            "[ERR]" in line and line.endswith(tail)
            for line in env.server.log().splitlines()), "the log", 0.5)
    except Failure:
        return False


@suite.scenario("the log says why a client was closed without a word",
                workers=(2,), reference=False)
def reasons(env):
    equal(len(SILENT), len(items("silent")), "cases")
    for data, text in SILENT:
        wait_for(lambda: logged(env, data, b"", text), "%r logged" % text)


TOLD = (
    (b"hello\r\n", "Unknown Protocol Operation: hello"),
    (b"CONECT {\"pass\":\"x\"}\r\n", "Unknown Protocol Operation: CONECT"),
    (b"\r\n", "Unknown Protocol Operation: an empty line"),
    (b"PUB a 1\r\nxyz\r\n", "Unknown Protocol Operation: no line end behind "
     "a payload of 1 bytes"),
    (b"PUB a 1048577\r\n", "Maximum Payload Violation: 1048577 bytes, "
     "max_payload is 1048576"),
    (b'CONNECT {"protocol":7}\r\n', "invalid client protocol: 7"),
    (b'CONNECT {"account":"x","user":"me"}\r\n', "Authorization Violation: "
     "account and new_account are not supported - User \"me\""),
)


@suite.scenario("the log says more than the client is told", workers=(2,),
                reference=False)
def details(env):
    for data, text in TOLD:
        told = err(text.split(": ")[0])
        wait_for(lambda: logged(env, data, told, text), "%r logged" % text)


@suite.scenario("each option named is in natsd.conf(5)", workers=(1,),
                reference=False)
def options(env):
    manual = read("man", "natsd.conf.5")
    known = set(re.findall(r"^\.It Ic (\w+)", manual, re.M))
    named = set()
    for line in re.findall(r"^\.(?:It )?Ic (.*)$", PAGE, re.M):
        named |= set(re.findall(r"\w+", line))
    named.discard("authorization")  # a section
    check(len(named) > 15, "only %s", sorted(named))
    check(named <= known, "not in natsd.conf(5): %s", sorted(named - known))
    for conf, _, _ in FOUND:
        for name in conf:
            check(name in known | {"authorization"}, "no option %s", name)


@suite.scenario("the fields of INFO are those that are sent", workers=(1,),
                reference=False)
def info(env):
    server = env.own_server({"authorization": {"token": "t"}})
    sent = set(env.client(None, server).info)
    equal(sorted(name for name, _ in items("info")), sorted(sent), "fields")
    missing = {"auth_required", "client_ip"}
    equal(set(env.client(None, unix=True).info), sent - missing,
          "fields on a Unix-domain socket without credentials")


@suite.scenario("the options of CONNECT are those that are read",
                workers=(1,), reference=False)
def connect(env):
    source = read("src", "proto", "connect.c")
    known = re.findall(r'\{ "(\w+)", offsetof\(struct connect_opts', source)
    known += re.findall(r'strcmp\(name, "(\w+)"\) == 0', source)
    equal(sorted(name for name, _ in items("connect")), sorted(known),
          "options")


@suite.scenario("the differences have ids, as where they are tested",
                workers=(1,), reference=False)
def differences(env):
    listed = [name.split(" No ", 1) for name, _ in items("differences")]
    numbers = [number for number, _ in listed]
    equal(numbers, sorted(set(numbers)), "ids")
    for number in numbers:
        check(re.fullmatch(r"D\d\d", number), "id %s", number)
    try:
        tested = read("tests", "diff", "DIFFERENCES")
    except FileNotFoundError:
        raise Skip("no tests/diff/DIFFERENCES")
    equal(dict(one for one in listed if one[0] < "D41"),
          dict(re.findall(r"^(D\d\d)  (.*)$", tested, re.M)),
          "what tests/diff compares")


if __name__ == "__main__":
    sys.exit(suite.main())
