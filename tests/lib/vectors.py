# SPDX-License-Identifier: BSD-2-Clause
"""The test vectors of the protocol, each with a name (V001 and so on).

A vector is a list of steps (connection, piece, piece ...), each piece being
written by itself, and the answers in order, per connection.  "closed" names
the connections that the server closes afterwards.  What nats-server 2.9.10
answered is in "answers"; where natsd is to answer otherwise (as 2.15.1 does,
or for a reason of its own) that is in "natsd".
"""

import re

from natsdtest import C0, C1, CE, CH, CN, CP, CV, auth

OPEN = "open"
CLOSE = "close"

CONFIGS = {
    "K0": {},
    "K1": {"authorization": {"user": "u", "password": "p", "timeout": 1}},
    "K2": {"authorization": {"token": "s3cr3t"}},
    "K4": {"max_payload": 16},
    "K5": {"max_control_line": 64},
    "K6": {"max_subscriptions": 2},
    "K7": {"max_connections": 2},
    "K8": {"ping_interval": "1s", "ping_max": 2},
    "K10": {"no_header_support": True},
    "K11": {"max_subscription_tokens": 3},
}


class AnyOrder:
    """Pieces of an answer whose order is open."""

    def __init__(self, *parts):
        self.parts = parts
        self.length = sum(map(len, parts))

    def matches(self, got):
        for part in self.parts:
            if part not in got:
                return False
            got = got.replace(part, b"", 1)
        return not got

    def __repr__(self):
        return "in any order %r" % (self.parts,)


class Match:
    """An answer with several legal forms; ends in PONG."""

    def __init__(self, pattern):
        self.pattern = pattern

    def matches(self, got):
        return re.fullmatch(self.pattern, got) is not None

    def __repr__(self):
        return "match of %r" % self.pattern


class Vector:
    def __init__(self, number, config, case, steps, answers, closed="",
                 natsd=None, natsd_closed=None, either=False):
        self.number, self.config, self.case = number, config, case
        self.steps = [(step[0], list(step[1:])) for step in steps]
        self.answers, self.closed = answers, closed
        self.natsd = answers if natsd is None else natsd
        self.natsd_closed = closed if natsd_closed is None else natsd_closed
        self.either = either


VECTORS = [
    # 9.1 Connection and CONNECT
    Vector("V001", "K0", "empty CONNECT: verbose and pedantic default to true",
           [("A", b"CONNECT {}\r\nPING\r\n")],
           [("A", b"+OK\r\nPONG\r\n")]),
    Vector("V002", "K0", "no CONNECT at all: defaults apply, verbs work",
           [("A", b"SUB foo 1\r\nPUB foo 2\r\nok\r\nPING\r\n")],
           [("A", b"+OK\r\n+OK\r\nMSG foo 1 2\r\nok\r\nPONG\r\n")]),
    Vector("V003", "K0", "PING before CONNECT",
           [("A", b"PING\r\n")],
           [("A", b"PONG\r\n")]),
    Vector("V004", "K0", "lower case verb, no separator before JSON",
           [("A", b"connect{}\r\nPING\r\n")],
           [("A", b"+OK\r\nPONG\r\n")]),
    Vector("V005", "K0", "tab separator, bare LF",
           [("A", b'CONNECT\t{"verbose":false}\nPING\n')],
           [("A", b"PONG\r\n")]),
    Vector("V006", "K0", "trailing space after JSON",
           [("A", b'CONNECT {"verbose":false} \r\nPING\r\n')],
           [("A", b"PONG\r\n")]),
    Vector("V007", "K0", "JSON null is accepted",
           [("A", b"CONNECT null\r\nPING\r\n")],
           [("A", b"+OK\r\nPONG\r\n")]),
    Vector("V008", "K0", "no argument",
           [("A", b"CONNECT\r\nPING\r\n")],
           [],
           closed="A"),
    Vector("V009", "K0", "malformed JSON",
           [("A", b"CONNECT {\r\nPING\r\n")],
           [],
           closed="A"),
    Vector("V010", "K0", "JSON array",
           [("A", b"CONNECT []\r\nPING\r\n")],
           [],
           closed="A"),
    Vector("V011", "K0", "wrong JSON type",
           [("A", b'CONNECT {"verbose":"true"}\r\nPING\r\n')],
           [],
           closed="A"),
    Vector("V012", "K0", "trailing garbage after JSON",
           [("A", b'CONNECT {"verbose":false} x\r\nPING\r\n')],
           [],
           closed="A"),
    Vector("V013", "K0", "keys match case-insensitively, unknown keys ignored",
           [("A", b'CONNECT {"VERBOSE":false,"x":{"y":[1]}}\r\nPING\r\n')],
           [("A", b"PONG\r\n")]),
    Vector("V014", "K0", "last duplicate key wins",
           [("A", b'CONNECT {"verbose":false,"verbose":true}\r\nPING\r\n')],
           [("A", b"+OK\r\nPONG\r\n")]),
    Vector("V015", "K0", "protocol 2",
           [("A", b'CONNECT {"protocol":2}\r\nPING\r\n')],
           [("A", b"-ERR 'invalid client protocol'\r\n")],
           closed="A"),
    Vector("V016", "K0", "protocol -1",
           [("A", b'CONNECT {"protocol":-1}\r\nPING\r\n')],
           [("A", b"-ERR 'invalid client protocol'\r\n")],
           closed="A"),
    Vector("V017", "K0", "protocol 1, two PINGs",
           [("A", C1 + b"PING\r\nPING\r\n")],
           [("A", b"PONG\r\nPONG\r\n")]),
    Vector("V018", "K0", "no_responders without headers",
           [("A", b'CONNECT {"no_responders":true}\r\nPING\r\n')],
           [("A", b"-ERR 'no responders requires headers support'\r\n")],
           closed="A"),
    Vector("V019", "K0", "account / new_account are rejected",
           [("A", b'CONNECT {"account":"x"}\r\nPING\r\n')],
           [("A", b"-ERR 'Authorization Violation'\r\n")],
           closed="A"),
    Vector("V020", "K0", "new_account",
           [("A", b'CONNECT {"new_account":true}\r\nPING\r\n')],
           [("A", b"-ERR 'Authorization Violation'\r\n")],
           closed="A"),
    Vector("V021", "K0", "JSON string with a raw control character",
           [("A", b'CONNECT {"name":"a\x01b"}\r\nPING\r\n')],
           [],
           closed="A"),
    Vector("V022", "K0", "invalid UTF-8 inside a JSON string is accepted",
           [("A", b'CONNECT {"name":"\xff\xfe","verbose":false}\r\nPING\r\n')],
           [("A", b"PONG\r\n")]),
    Vector("V023", "K0", "credentials ignored when no auth configured",
           [("A", (b'CONNECT {"verbose":false,"user":"x","pass":"y","au'
                   b'th_token":"z"}\r\nPING\r\n'))],
           [("A", b"PONG\r\n")]),
    Vector("V024", "K0", "second CONNECT merges options (echo stays false)",
           [("A", (b'CONNECT {"verbose":true,"echo":false}\r\n'
                   b'CONNECT {"verbose":false}\r\nSUB foo 1\r\n'
                   b'PUB foo 2\r\nok\r\nPING\r\n'))],
           [("A", b"+OK\r\nPONG\r\n")]),
    Vector("V025", "K0", "second CONNECT and existing subscription",
           [("A", (C0 +
                   b"SUB foo 1\r\n" +
                   C0 +
                   b"PUB foo 2\r\nok\r\nPING\r\n"))],
           [("A", b"MSG foo 1 2\r\nok\r\nPONG\r\n")],
           natsd=[("A", b"PONG\r\n")]),
    Vector("V026", "K0", "CONNECT split before CRLF",
           [("A", b'CONNECT {"verbose":true}',
                  b"\r\n")],
           [("A", b"+OK\r\n")]),
    Vector("V027", "K0", "client INFO is ignored",
           [("A", C0 + b"INFO {}\r\nPING\r\n")],
           [("A", b"PONG\r\n")]),
    Vector("V028", "K0", "client INFO with bad JSON",
           [("A", C0 + b"INFO x\r\nPING\r\n")],
           [],
           closed="A"),
    Vector("V029", "K0", "HTTP request on client port",
           [("A", b"GET / HTTP/1.1\r\n\r\n")],
           [("A", b"-ERR 'Unknown Protocol Operation'\r\n")],
           closed="A"),
    Vector("V030", "K0", "TLS ClientHello on a plain port",
           [("A", b"\x16\x03\x01\x02\x00")],
           [("A", b"-ERR 'Unknown Protocol Operation'\r\n")],
           closed="A"),

    # 9.2 PING, PONG, +OK, -ERR
    Vector("V031", "K0", "case-insensitive, CRLF",
           [("A", C0 + b"pInG\r\n")],
           [("A", b"PONG\r\n")]),
    Vector("V032", "K0", "bare LF",
           [("A", C0 + b"PING\n")],
           [("A", b"PONG\r\n")]),
    Vector("V033", "K0", "anything between PING and LF is ignored",
           [("A", C0 + b"PING  junk\r\r\n")],
           [("A", b"PONG\r\n")]),
    Vector("V034", "K0", "pipelined",
           [("A", C0 + b"PING\r\nPING\r\nPING\r\n")],
           [("A", b"PONG\r\nPONG\r\nPONG\r\n")]),
    Vector("V035", "K0", "leading space",
           [("A", C0 + b" PING\r\n")],
           [("A", b"-ERR 'Unknown Protocol Operation'\r\n")],
           closed="A"),
    Vector("V036", "K0", "empty line",
           [("A", C0 + b"\r\n")],
           [("A", b"-ERR 'Unknown Protocol Operation'\r\n")],
           closed="A"),
    Vector("V037", "K0", "unsolicited PONG, +OK accepted silently",
           [("A", C0 + b"PONG\r\n+OK\r\nPING\r\n")],
           [("A", b"PONG\r\n")]),
    Vector("V038", "K0", "-ERR from the client closes the connection",
           [("A", C0 + b"-ERR 'x'\r\nPING\r\n")],
           [],
           closed="A"),
    Vector("V039", "K0", "-ERR without argument is a parse error",
           [("A", C0 + b"-ERR\r\nPING\r\n")],
           [("A", b"-ERR 'Unknown Protocol Operation'\r\n")],
           closed="A"),
    Vector("V040", "K0", "byte-at-a-time",
           [("A", b"P",
                  b"I",
                  b"N",
                  b"G",
                  b"\r",
                  b"\n")],
           [("A", b"PONG\r\n")]),
    Vector("V041", "K0", "wrong letter",
           [("A", C0 + b"PIX")],
           [("A", b"-ERR 'Unknown Protocol Operation'\r\n")],
           closed="A"),
    Vector("V042", "K0", "unknown verb, no newline needed",
           [("A", C0 + b"Z")],
           [("A", b"-ERR 'Unknown Protocol Operation'\r\n")],
           closed="A"),
    Vector("V043", "K0", "MSG from a client",
           [("A", C0 + b"MSG foo 1 2\r\nok\r\n")],
           [("A", b"-ERR 'Unknown Protocol Operation'\r\n")],
           closed="A"),
    Vector("V044", "K0", "server-only verbs",
           [("A", C0 + b"RS+ foo\r\n")],
           [("A", b"-ERR 'Unknown Protocol Operation'\r\n")],
           closed="A"),

    # 9.3 PUB
    Vector("V045", "K0", "basic",
           [("A", C0 + b"SUB > 1\r\nPUB foo 5\r\nhello\r\n")],
           [("A", b"MSG foo 1 5\r\nhello\r\n")]),
    Vector("V046", "K0", "reply subject",
           [("A", C0 + b"SUB > 1\r\nPUB foo bar 5\r\nhello\r\n")],
           [("A", b"MSG foo 1 bar 5\r\nhello\r\n")]),
    Vector("V047", "K0", "empty payload",
           [("A", C0 + b"SUB > 1\r\nPUB foo 0\r\n\r\n")],
           [("A", b"MSG foo 1 0\r\n\r\n")]),
    Vector("V048", "K0", "lower case, tabs and runs of blanks",
           [("A", C0 + b"SUB > 1\r\npub\t foo \t bar  2 \r\nok\r\n")],
           [("A", b"MSG foo 1 bar 2\r\nok\r\n")]),
    Vector("V049", "K0", "bare LF after control line, CRLF after payload",
           [("A", C0 + b"SUB > 1\r\nPUB foo 2\nok\r\n")],
           [("A", b"MSG foo 1 2\r\nok\r\n")]),
    Vector("V050", "K0", "bare LF after payload",
           [("A", C0 + b"SUB > 1\r\nPUB foo 2\r\nok\n")],
           [("A", b"-ERR 'Unknown Protocol Operation'\r\n")],
           closed="A",
           natsd=[("A", b"MSG foo 1 2\r\nok\r\n")], natsd_closed=""),
    Vector("V051", "K0", "payload longer than size",
           [("A", C0 + b"SUB > 1\r\nPUB foo 2\r\nokk\r\n")],
           [("A", b"-ERR 'Unknown Protocol Operation'\r\n")],
           closed="A"),
    Vector("V052", "K0", "payload shorter than size",
           [("A", C0 + b"SUB > 1\r\nPUB foo 3\r\nok\r\nPING\r\n")],
           [("A", b"-ERR 'Unknown Protocol Operation'\r\n")],
           closed="A"),
    Vector("V053", "K0", "binary payload with CRLF inside",
           [("A", C0 + b"SUB > 1\r\nPUB foo 4\r\n\x00\xff\r\n\r\n")],
           [("A", b"MSG foo 1 4\r\n\x00\xff\r\n\r\n")]),
    Vector("V054", "K0", "leading zeros are echoed to the receiver",
           [("A", C0 + b"SUB > 1\r\nPUB foo 002\r\nok\r\n")],
           [("A", b"MSG foo 1 002\r\nok\r\n")],
           natsd=[("A", b"MSG foo 1 2\r\nok\r\n")]),
    Vector("V055", "K0", "9-digit size",
           [("A", C0 + b"SUB > 1\r\nPUB foo 000000002\r\nok\r\n")],
           [("A", b"MSG foo 1 000000002\r\nok\r\n")],
           natsd=[("A", b"MSG foo 1 2\r\nok\r\n")]),
    Vector("V056", "K0", "10-digit size",
           [("A", C0 + b"SUB > 1\r\nPUB foo 0000000002\r\nok\r\n")],
           [],
           closed="A"),
    Vector("V057", "K0", "non-numeric size",
           [("A", C0 + b"SUB > 1\r\nPUB foo 2x\r\nok\r\n")],
           [],
           closed="A"),
    Vector("V058", "K0", "negative size",
           [("A", C0 + b"SUB > 1\r\nPUB foo -1\r\n")],
           [],
           closed="A"),
    Vector("V059", "K0", "missing size",
           [("A", C0 + b"SUB > 1\r\nPUB foo\r\n")],
           [],
           closed="A"),
    Vector("V060", "K0", "reply but no size",
           [("A", C0 + b"SUB > 1\r\nPUB foo bar\r\n")],
           [],
           closed="A"),
    Vector("V061", "K0", "too many arguments",
           [("A", C0 + b"SUB > 1\r\nPUB foo bar baz 2\r\nok\r\n")],
           [],
           closed="A"),
    Vector("V062", "K0", "blank argument line",
           [("A", C0 + b"PUB \r\n")],
           [],
           closed="A"),
    Vector("V063", "K0", "no separator after verb",
           [("A", C0 + b"PUB\r\n")],
           [("A", b"-ERR 'Unknown Protocol Operation'\r\n")],
           closed="A"),
    Vector("V064", "K0", "verb with suffix",
           [("A", C0 + b"PUBS foo 2\r\nok\r\n")],
           [("A", b"-ERR 'Unknown Protocol Operation'\r\n")],
           closed="A"),
    Vector("V065", "K0", "size 0 still needs its CRLF",
           [("A", C0 + b"PUB foo 0\r\nPING\r\n")],
           [("A", b"-ERR 'Unknown Protocol Operation'\r\n")],
           closed="A"),
    Vector("V066", "K0", "two CR before LF: size token is 1\r",
           [("A", C0 + b"PUB foo 1\r\r\nx\r\n")],
           [],
           closed="A"),
    Vector("V067", "K0", "split inside verb, args, payload, CRLF",
           [("A", C0 + b"SUB > 1\r\nPU",
                  b"B foo b",
                  b"ar 5\r",
                  b"\nhe",
                  b"llo",
                  b"\r",
                  b"\n")],
           [("A", b"MSG foo 1 bar 5\r\nhello\r\n")]),
    Vector("V068", "K0", "payload of exactly max_payload",
           [("A", (C0 +
                   b"SUB none 1\r\nPUB foo 1048576\r\n" +
                   b'x' * 1048576 +
                   b"\r\nPING\r\n"))],
           [("A", b"PONG\r\n")]),
    Vector("V069", "K0",
           "max_payload + 1: error comes from the control line alone",
           [("A", C0 + b"PUB foo 1048577\r\n")],
           [("A", b"-ERR 'Maximum Payload Violation'\r\n")],
           closed="A"),
    Vector("V070", "K4", "small max_payload boundary",
           [("A", CV + b"PUB foo 16\r\n0123456789abcdef\r\nPUB foo 17\r\n")],
           [("A", b"+OK\r\n+OK\r\n-ERR 'Maximum Payload Violation'\r\n")],
           closed="A"),

    # 9.4 HPUB
    Vector("V071", "K0", "basic",
           [("A", (CH +
                   b"SUB > 1\r\nHPUB foo 22 27\r\nNATS/1.0\r\n"
                   b"Bar: Baz\r\n\r\nhello\r\n"))],
           [("A", (b"HMSG foo 1 22 27\r\nNATS/1.0\r\nBar: Baz\r\n\r\n"
                   b"hello\r\n"))]),
    Vector("V072", "K0", "reply subject",
           [("A", (CH +
                   b"SUB > 1\r\nHPUB foo rep 12 14\r\nNATS/1.0\r\n\r\n"
                   b"ok\r\n"))],
           [("A", b"HMSG foo 1 rep 12 14\r\nNATS/1.0\r\n\r\nok\r\n")]),
    Vector("V073", "K0", "header only, no payload",
           [("A", CH + b"SUB > 1\r\nHPUB foo 12 12\r\nNATS/1.0\r\n\r\n\r\n")],
           [("A", b"HMSG foo 1 12 12\r\nNATS/1.0\r\n\r\n\r\n")]),
    Vector("V074", "K0", "header length 0 is delivered as MSG",
           [("A", CH + b"SUB > 1\r\nHPUB foo 0 2\r\nok\r\n")],
           [("A", b"MSG foo 1 2\r\nok\r\n")]),
    Vector("V075", "K0", "header bytes are not validated",
           [("A", CH + b"SUB > 1\r\nHPUB foo 5 7\r\nabcdeok\r\n")],
           [("A", b"HMSG foo 1 5 7\r\nabcdeok\r\n")]),
    Vector("V076", "K0", "header size larger than total",
           [("A", CH + b"HPUB foo 14 12\r\n")],
           [],
           closed="A"),
    Vector("V077", "K0", "too few arguments",
           [("A", CH + b"HPUB foo 12\r\n")],
           [],
           closed="A"),
    Vector("V078", "K0", "too many arguments",
           [("A", CH + b"HPUB foo a b 12 14\r\n")],
           [],
           closed="A"),
    Vector("V079", "K0", "bad header size",
           [("A", CH + b"HPUB foo x 14\r\n")],
           [],
           closed="A"),
    Vector("V080", "K0", "CONNECT did not enable headers",
           [("A", C0 + b"HPUB foo 12 14\r\nNATS/1.0\r\n\r\nok\r\n")],
           [],
           closed="A"),
    Vector("V081", "K0", "no CONNECT",
           [("A", b"HPUB foo 12 14\r\n")],
           [],
           closed="A"),
    Vector("V082", "K10", "server without header support",
           [("A", CH + b"HPUB foo 12 14\r\n")],
           [],
           closed="A"),
    Vector("V083", "K4", "total size is what counts against max_payload",
           [("A", CH + b"HPUB foo 12 17\r\n")],
           [("A", b"-ERR 'Maximum Payload Violation'\r\n")],
           closed="A"),
    Vector("V084", "K0", "receiver without headers gets the payload only",
           [("A", C0 + b"SUB foo 1\r\nPING\r\n"),
            ("B", (CH +
                   b"HPUB foo rep 12 14\r\nNATS/1.0\r\n\r\nok\r\n"
                   b"HPUB foo 12 12\r\nNATS/1.0\r\n\r\n\r\n"))],
           [("A", b"PONG\r\n"),
            ("A", b"MSG foo 1 rep 2\r\nok\r\nMSG foo 1 0\r\n\r\n")]),
    Vector("V085", "K0", "header and total 0",
           [("A", CH + b"SUB > 1\r\nHPUB foo 0 0\r\n\r\n")],
           [("A", b"MSG foo 1 0\r\n\r\n")]),
    Vector("V086", "K0", "split inside header and payload",
           [("A", CH + b"SUB > 1\r\nHPUB foo 12 1",
                  b"4\r\nNATS/1",
                  b".0\r\n\r",
                  b"\no",
                  b"k\r\n")],
           [("A", b"HMSG foo 1 12 14\r\nNATS/1.0\r\n\r\nok\r\n")]),

    # 9.5 SUB and UNSUB
    Vector("V087", "K0", "queue form",
           [("A", C0 + b"SUB foo grp 7\r\nPUB foo 1\r\nx\r\n")],
           [("A", b"MSG foo 7 1\r\nx\r\n")]),
    Vector("V088", "K0", "blanks and tabs",
           [("A", C0 + b"sub \t foo \t 7 \r\nPUB foo 1\r\nx\r\n")],
           [("A", b"MSG foo 7 1\r\nx\r\n")]),
    Vector("V089", "K0", "sid is an opaque token",
           [("A", C0 + b"SUB foo a.b-*>\r\nPUB foo 1\r\nx\r\n")],
           [("A", b"MSG foo a.b-*> 1\r\nx\r\n")]),
    Vector("V090", "K0", "missing sid",
           [("A", C0 + b"SUB foo\r\n")],
           [],
           closed="A"),
    Vector("V091", "K0", "too many arguments",
           [("A", C0 + b"SUB foo q 1 2\r\n")],
           [],
           closed="A"),
    Vector("V092", "K0", "no arguments",
           [("A", C0 + b"SUB\r\n")],
           [("A", b"-ERR 'Unknown Protocol Operation'\r\n")],
           closed="A"),
    Vector("V093", "K0", "blank arguments",
           [("A", C0 + b"SUB \r\n")],
           [],
           closed="A"),
    Vector("V094", "K0", "verb with suffix",
           [("A", C0 + b"SUBZ foo 1\r\n")],
           [("A", b"-ERR 'Unknown Protocol Operation'\r\n")],
           closed="A"),
    Vector("V095", "K0", "split at every byte",
           [("A", C0,
                  b"S",
                  b"U",
                  b"B",
                  b" ",
                  b"f",
                  b"o",
                  b"o",
                  b" ",
                  b"1",
                  b"\r",
                  b"\n",
                  b"PUB foo 1\r\nx\r\n")],
           [("A", b"MSG foo 1 1\r\nx\r\n")]),
    Vector("V096", "K0", "duplicate sid: second SUB is ignored",
           [("A", (C0 +
                   b"SUB foo 1\r\nSUB bar 1\r\nPUB bar 1\r\ny\r\n"
                   b"PUB foo 1\r\nx\r\n"))],
           [("A", b"MSG foo 1 1\r\nx\r\n")]),
    Vector("V097", "K0", "duplicate sid with invalid subject: no error",
           [("A", C0 + b"SUB foo 1\r\nSUB bar. 1\r\nPING\r\n")],
           [("A", b"PONG\r\n")]),
    Vector("V098", "K0", "failed SUB leaves the sid free",
           [("A", C0 + b"SUB foo. 1\r\nSUB foo 1\r\nPUB foo 1\r\nx\r\n")],
           [("A", b"-ERR 'Invalid Subject'\r\nMSG foo 1 1\r\nx\r\n")]),
    Vector("V099", "K0", "UNSUB removes",
           [("A", C0 + b"SUB foo 1\r\nUNSUB 1\r\nPUB foo 1\r\nx\r\nPING\r\n")],
           [("A", b"PONG\r\n")]),
    Vector("V100", "K0", "UNSUB of unknown sid",
           [("A", CV + b"UNSUB 9\r\nUNSUB 9 5\r\n")],
           [("A", b"+OK\r\n+OK\r\n+OK\r\n")]),
    Vector("V101", "K0", "UNSUB max",
           [("A", (C0 +
                   b"SUB foo 1\r\nUNSUB 1 2\r\nPUB foo 1\r\nx\r\n"
                   b"PUB foo 1\r\nx\r\nPUB foo 1\r\nx\r\nPING\r\n"))],
           [("A", b"MSG foo 1 1\r\nx\r\nMSG foo 1 1\r\nx\r\nPONG\r\n")]),
    Vector("V102", "K0", "UNSUB max counts messages already delivered",
           [("A", (C0 +
                   b"SUB foo 1\r\nPUB foo 1\r\nx\r\nPUB foo 1\r\nx\r\n"
                   b"UNSUB 1 3\r\nPUB foo 1\r\nx\r\nPUB foo 1\r\nx\r\n"
                   b"PING\r\n"))],
           [("A", (b"MSG foo 1 1\r\nx\r\nMSG foo 1 1\r\nx\r\n"
                   b"MSG foo 1 1\r\nx\r\nPONG\r\n"))]),
    Vector("V103", "K0", "UNSUB max not above delivered count: removed now",
           [("A", (C0 +
                   b"SUB foo 1\r\nPUB foo 1\r\nx\r\nPUB foo 1\r\nx\r\n"
                   b"UNSUB 1 2\r\nPUB foo 1\r\nx\r\nPING\r\n"))],
           [("A", b"MSG foo 1 1\r\nx\r\nMSG foo 1 1\r\nx\r\nPONG\r\n")]),
    Vector("V104", "K0", "later UNSUB max replaces the earlier one",
           [("A", (C0 +
                   b"SUB foo 1\r\nUNSUB 1 1\r\nUNSUB 1 2\r\nPUB foo 1\r\n"
                   b"x\r\nPUB foo 1\r\nx\r\nPUB foo 1\r\nx\r\nPING\r\n"))],
           [("A", b"MSG foo 1 1\r\nx\r\nMSG foo 1 1\r\nx\r\nPONG\r\n")]),
    Vector("V105", "K0", "UNSUB after UNSUB max",
           [("A", (C0 +
                   b"SUB foo 1\r\nUNSUB 1 5\r\nUNSUB 1\r\nPUB foo 1\r\n"
                   b"x\r\nPING\r\n"))],
           [("A", b"PONG\r\n")]),
    Vector("V106", "K0",
           "max 0, non-numeric, negative or more than 9 digits: plain UNSUB",
           [("A", (C0 +
                   b"SUB foo 1\r\nSUB foo 2\r\nSUB foo 3\r\nSUB foo 4\r\n"
                   b"UNSUB 1 0\r\nUNSUB 2 abc\r\nUNSUB 3 -1\r\n"
                   b"UNSUB 4 1000000000\r\nPUB foo 1\r\nx\r\nPING\r\n"))],
           [("A", b"PONG\r\n")]),
    Vector("V107", "K0", "too many arguments",
           [("A", C0 + b"UNSUB 1 2 3\r\n")],
           [],
           closed="A"),
    Vector("V108", "K0", "no arguments",
           [("A", C0 + b"UNSUB\r\n")],
           [("A", b"-ERR 'Unknown Protocol Operation'\r\n")],
           closed="A"),
    Vector("V109", "K0", "sid can be reused after the limit was reached",
           [("A", (C0 +
                   b"SUB foo 1\r\nUNSUB 1 1\r\nPUB foo 1\r\nx\r\n"
                   b"SUB bar 1\r\nPUB bar 1\r\ny\r\nPUB foo 1\r\nx\r\n"
                   b"PING\r\n"))],
           [("A", b"MSG foo 1 1\r\nx\r\nMSG bar 1 1\r\ny\r\nPONG\r\n")]),
    Vector("V110", "K0", "sid is still taken before the limit is reached",
           [("A", (C0 +
                   b"SUB foo 1\r\nUNSUB 1 1\r\nSUB foo 1\r\nPUB foo 1\r\n"
                   b"x\r\nPUB foo 1\r\nx\r\nPING\r\n"))],
           [("A", b"MSG foo 1 1\r\nx\r\nPONG\r\n")]),

    # 9.6 Subjects and wildcards
    Vector("V111", "K0", "invalid subscription subject",
           [("A", C0 + b"SUB foo. 1\r\nPING\r\n")],
           [("A", b"-ERR 'Invalid Subject'\r\nPONG\r\n")]),
    Vector("V112", "K0", "invalid subscription subject",
           [("A", C0 + b"SUB .foo 1\r\nPING\r\n")],
           [("A", b"-ERR 'Invalid Subject'\r\nPONG\r\n")]),
    Vector("V113", "K0", "invalid subscription subject",
           [("A", C0 + b"SUB foo..bar 1\r\nPING\r\n")],
           [("A", b"-ERR 'Invalid Subject'\r\nPONG\r\n")]),
    Vector("V114", "K0", "invalid subscription subject",
           [("A", C0 + b"SUB foo.>.bar 1\r\nPING\r\n")],
           [("A", b"-ERR 'Invalid Subject'\r\nPONG\r\n")]),
    Vector("V115", "K0", "wildcard characters inside tokens are literals",
           [("A", (CP +
                   b"SUB foo*.>x 1\r\nPUB foo*.>x 1\r\na\r\n"
                   b"PUB foob.ax 1\r\nb\r\nPING\r\n"))],
           [("A", b"MSG foo*.>x 1 1\r\na\r\nPONG\r\n")]),
    Vector("V116", "K0", "* matches one token",
           [("A", (C0 +
                   b"SUB foo.* 1\r\nPUB foo 1\r\na\r\nPUB foo.b 1\r\n"
                   b"b\r\nPUB foo.b.c 1\r\nc\r\nPING\r\n"))],
           [("A", b"MSG foo.b 1 1\r\nb\r\nPONG\r\n")]),
    Vector("V117", "K0", "> matches one or more tokens",
           [("A", (C0 +
                   b"SUB foo.> 1\r\nPUB foo 1\r\na\r\nPUB foo.b 1\r\n"
                   b"b\r\nPUB foo.b.c 1\r\nc\r\nPING\r\n"))],
           [("A", b"MSG foo.b 1 1\r\nb\r\nMSG foo.b.c 1 1\r\nc\r\nPONG\r\n")]),
    Vector("V118", "K0", "case-sensitive",
           [("A", C0 + b"SUB FOO 1\r\nPUB foo 1\r\nx\r\nPING\r\n")],
           [("A", b"PONG\r\n")]),
    Vector("V119", "K0", "UTF-8 and arbitrary bytes pass through",
           [("A", (CP +
                   b"SUB \xc3\xa9.\xff 1\r\nPUB \xc3\xa9.\xff 1\r\nx\r\n"))],
           [("A", b"MSG \xc3\xa9.\xff 1 1\r\nx\r\n")]),
    Vector("V120", "K0",
           "publish to invalid subject, not pedantic: dropped silently",
           [("A", (C0 +
                   b"SUB > 1\r\nPUB foo. 1\r\nx\r\nPUB foo..b 1\r\nx\r\n"
                   b"PING\r\n"))],
           [("A", b"PONG\r\n")]),
    Vector("V121", "K0",
           "publish to a wildcard, not pedantic: treated as literal tokens",
           [("A", C0 + b"SUB foo.> 1\r\nPUB foo.* 1\r\nx\r\nPING\r\n")],
           [("A", b"MSG foo.* 1 1\r\nx\r\nPONG\r\n")]),
    Vector("V122", "K0",
           "publish to a wildcard, pedantic: error and still delivered",
           [("A", CP + b"SUB foo.> 1\r\nPUB foo.* 1\r\nx\r\nPING\r\n")],
           [("A", (b"-ERR 'Invalid Publish Subject'\r\nMSG foo.* 1 1\r\n"
                   b"x\r\nPONG\r\n"))]),
    Vector("V123", "K0", "publish to empty token, pedantic",
           [("A", CP + b"PUB foo..b 1\r\nx\r\nPING\r\n")],
           [("A", b"-ERR 'Invalid Publish Subject'\r\nPONG\r\n")]),
    Vector("V124", "K0",
           "pedantic publish split before the payload",
           [("A", CP + b"PUB foo.* 1\r\n",
                  b"x\r\nPING\r\n")],
           [("A", (b"-ERR 'Invalid Publish Subject'\r\n"
                   b"-ERR 'Invalid Publish Subject'\r\nPONG\r\n"))],
           natsd=[("A", b"-ERR 'Invalid Publish Subject'\r\nPONG\r\n")]),
    Vector("V125", "K0", "reply subject is not validated",
           [("A", CP + b"SUB foo 1\r\nPUB foo a..> 1\r\nx\r\n")],
           [("A", b"MSG foo 1 a..> 1\r\nx\r\n")]),
    Vector("V126", "K0", "$SYS, $JS, _INBOX are ordinary subjects",
           [("A", (C0 +
                   b"SUB > 1\r\nPUB $SYS.a 1\r\nx\r\nPUB $JS.a 1\r\nx\r\n"
                   b"PUB _INBOX.a 1\r\nx\r\n"))],
           [("A", (b"MSG $SYS.a 1 1\r\nx\r\nMSG $JS.a 1 1\r\nx\r\n"
                   b"MSG _INBOX.a 1 1\r\nx\r\n"))]),
    Vector("V127", "K0", "reserved reply prefix $JS.ACK.",
           [("A", C0 + b"SUB > 1\r\nPUB foo $JS.ACK.x 1\r\nx\r\nPING\r\n")],
           [("A", (b'-ERR \'Permissions Violation for Publish with Repl'
                   b'y of "$JS.ACK.x"\'\r\nPONG\r\n'))]),
    Vector("V128", "K0", "reserved reply prefix _R_.",
           [("A", C0 + b"SUB > 1\r\nPUB foo _R_.x 1\r\nx\r\nPING\r\n")],
           [("A", (b'-ERR \'Permissions Violation for Publish with Repl'
                   b'y of "_R_.x"\'\r\nPONG\r\n'))]),
    Vector("V129", "K0", "reserved publish prefix _GR_.",
           [("A", C0 + b"SUB > 1\r\nPUB _GR_.x 1\r\nx\r\nPING\r\n")],
           [("A", (b'-ERR \'Permissions Violation for Publish to "_GR_.'
                   b'x"\'\r\nPONG\r\n'))]),
    Vector("V130", "K0", "reserved queue name",
           [("A", C0 + b"SUB foo _sys_ 1\r\nPING\r\n")],
           [("A", (b'-ERR \'Permissions Violation for Subscription to "'
                   b'foo" using queue "_sys_"\'\r\nPONG\r\n'))]),
    Vector("V131", "K0", "queue name is not validated as a subject",
           [("A", CP + b"SUB foo a..> 1\r\nPUB foo 1\r\nx\r\n")],
           [("A", b"MSG foo 1 1\r\nx\r\n")]),
    Vector("V132", "K11", "too many subject tokens",
           [("A", (C0 +
                   b"SUB a.b.c 1\r\nSUB a.b.c.d 2\r\nSUB a.b.c.d q 3\r\n"
                   b"PING\r\n"))],
           [("A", (b'-ERR \'Permissions Violation for Subscription to "'
                   b'a.b.c.d", too many tokens\'\r\n'
                   b'-ERR \'Permissions Violation for Subscription to "'
                   b'a.b.c.d", too many tokens\'\r\nPONG\r\n'))]),

    # 9.7 Delivery
    Vector("V133", "K0", "one copy per matching subscription",
           [("A", (C0 +
                   b"SUB foo 1\r\nSUB * 2\r\nSUB foo 3\r\n"
                   b"PUB foo 1\r\nx\r\n"))],
           [("A", AnyOrder(b"MSG foo 1 1\r\nx\r\n",
                            b"MSG foo 2 1\r\nx\r\n",
                            b"MSG foo 3 1\r\nx\r\n"))]),
    Vector("V134", "K0", "fan-out to two connections",
           [("A", C0 + b"SUB foo 1\r\nPING\r\n"),
            ("B", C0 + b"SUB foo 9\r\nPING\r\n"),
            ("C", C0 + b"PUB foo 1\r\nx\r\nPING\r\n")],
           [("A", b"PONG\r\n"),
            ("B", b"PONG\r\n"),
            ("A", b"MSG foo 1 1\r\nx\r\n"),
            ("B", b"MSG foo 9 1\r\nx\r\n"),
            ("C", b"PONG\r\n")]),
    Vector("V135", "K0", "queue group: exactly one member",
           [("A", (C0 +
                   b"SUB foo q 1\r\nSUB foo q 2\r\nPUB foo 1\r\nx\r\n"
                   b"PING\r\n"))],
           [("A", Match(br"MSG foo [12] 1\r\nx\r\nPONG\r\n"))]),
    Vector("V136", "K0", "queue group plus plain subscription",
           [("A", (C0 +
                   b"SUB foo q 1\r\nSUB foo 2\r\nPUB foo 1\r\nx\r\n"
                   b"PING\r\n"))],
           [("A", b"MSG foo 2 1\r\nx\r\nMSG foo 1 1\r\nx\r\nPONG\r\n")]),
    Vector("V137", "K0", "two groups each get one",
           [("A", C0 + b"SUB foo q 1\r\nSUB foo r 2\r\nPUB foo 1\r\nx\r\n")],
           [("A", AnyOrder(b"MSG foo 1 1\r\nx\r\n",
                            b"MSG foo 2 1\r\nx\r\n"))]),
    Vector("V138", "K0",
           "same group name on overlapping subjects is one group",
           [("A", (C0 +
                   b"SUB foo q 1\r\nSUB * q 1b\r\nPUB foo 1\r\nx\r\n"
                   b"PUB foo 1\r\nx\r\nPUB foo 1\r\nx\r\nPING\r\n"))],
           [("A", Match(br"(MSG foo 1b? 1\r\nx\r\n){3}PONG\r\n"))]),
    Vector("V139", "K0", "echo false",
           [("A", CE + b"SUB foo 1\r\nPUB foo 1\r\nx\r\nPING\r\n")],
           [("A", b"PONG\r\n")]),
    Vector("V140", "K0", "echo false in a queue group: another member is used",
           [("A", C0 + b"SUB foo q 1\r\nPING\r\n"),
            ("B", (CE +
                   b"SUB foo q 2\r\nPUB foo 1\r\nx\r\nPUB foo 1\r\nx\r\n"
                   b"PING\r\n"))],
           [("A", b"PONG\r\n"),
            ("A", b"MSG foo 1 1\r\nx\r\nMSG foo 1 1\r\nx\r\n"),
            ("B", b"PONG\r\n")]),
    Vector("V141", "K0", "verbose: +OK precedes own delivery",
           [("A", CV + b"SUB foo 1\r\nPUB foo 1\r\nx\r\n")],
           [("A", b"+OK\r\n+OK\r\n+OK\r\nMSG foo 1 1\r\nx\r\n")]),
    Vector("V142", "K0", "PONG keeps its place among messages",
           [("A", (C0 +
                   b"SUB foo 1\r\nPUB foo 1\r\nx\r\nPING\r\nPUB foo 1\r\n"
                   b"x\r\nPING\r\n"))],
           [("A", (b"MSG foo 1 1\r\nx\r\nPONG\r\nMSG foo 1 1\r\nx\r\n"
                   b"PONG\r\n"))]),
    Vector("V143", "K0", "queue member with auto-unsubscribe leaves the group",
           [("A", (C0 +
                   b"SUB foo q 1\r\nUNSUB 1 1\r\nPUB foo 1\r\nx\r\n"
                   b"SUB foo q 2\r\nPUB foo 1\r\nx\r\nPUB foo 1\r\nx\r\n"
                   b"PING\r\n"))],
           [("A", (b"MSG foo 1 1\r\nx\r\nMSG foo 2 1\r\nx\r\n"
                   b"MSG foo 2 1\r\nx\r\nPONG\r\n"))]),
    Vector("V144", "K0", "UNSUB only touches the sender's own sids",
           [("A", C0 + b"SUB foo 1\r\nPING\r\n"),
            ("B", C0 + b"UNSUB 1\r\nPUB foo 1\r\nx\r\nPING\r\n")],
           [("A", b"PONG\r\n"),
            ("A", b"MSG foo 1 1\r\nx\r\n"),
            ("B", b"PONG\r\n")]),
    Vector("V145", "K0", "subscriptions vanish with their connection",
           [("A", C0 + b"SUB foo 1\r\nPING\r\n"),
            ("A", CLOSE),
            ("B", CN + b"SUB r 7\r\nPUB foo r 1\r\nx\r\nPING\r\n")],
           [("A", b"PONG\r\n"),
            ("B", b"HMSG r 7 16 16\r\nNATS/1.0 503\r\n\r\n\r\nPONG\r\n")],
           natsd=[("A", b"PONG\r\n"),
                  ("B", (b"HMSG r 7 35 35\r\nNATS/1.0 503\r\n"
                         b"Nats-Subject: foo\r\n\r\n\r\nPONG\r\n"))]),
    Vector("V146", "K0", "partial message is not delivered",
           [("A", C0 + b"SUB foo 1\r\nPING\r\n"),
            ("B", C0 + b"PUB foo 10\r\n01234"),
            ("B", CLOSE),
            ("A", b"PING\r\n")],
           [("A", b"PONG\r\n"),
            ("A", b"PONG\r\n")]),

    # 9.8 No responders
    Vector("V147", "K0", "503 status",
           [("A", CN + b"SUB r 7\r\nPUB foo r 2\r\nok\r\nPING\r\n")],
           [("A", b"HMSG r 7 16 16\r\nNATS/1.0 503\r\n\r\n\r\nPONG\r\n")],
           natsd=[("A", (b"HMSG r 7 35 35\r\nNATS/1.0 503\r\n"
                         b"Nats-Subject: foo\r\n\r\n\r\nPONG\r\n"))]),
    Vector("V148", "K0", "wildcard reply subscription",
           [("A", CN + b"SUB in.* 7\r\nPUB foo in.9 2\r\nok\r\nPING\r\n")],
           [("A", b"HMSG in.9 7 16 16\r\nNATS/1.0 503\r\n\r\n\r\nPONG\r\n")],
           natsd=[("A", (b"HMSG in.9 7 35 35\r\nNATS/1.0 503\r\n"
                         b"Nats-Subject: foo\r\n\r\n\r\nPONG\r\n"))]),
    Vector("V149", "K0", "HPUB request",
           [("A", (CN +
                   b"SUB r 7\r\nHPUB foo r 12 14\r\nNATS/1.0\r\n\r\n"
                   b"ok\r\nPING\r\n"))],
           [("A", b"HMSG r 7 16 16\r\nNATS/1.0 503\r\n\r\n\r\nPONG\r\n")],
           natsd=[("A", (b"HMSG r 7 35 35\r\nNATS/1.0 503\r\n"
                         b"Nats-Subject: foo\r\n\r\n\r\nPONG\r\n"))]),
    Vector("V150", "K0", "no subscription for the reply",
           [("A", CN + b"PUB foo r 2\r\nok\r\nPING\r\n")],
           [("A", b"PONG\r\n")]),
    Vector("V151", "K0", "reply subscription is a queue subscription",
           [("A", CN + b"SUB r q 7\r\nPUB foo r 2\r\nok\r\nPING\r\n")],
           [("A", b"PONG\r\n")]),
    Vector("V152", "K0", "reply subscription on another connection",
           [("A", CN + b"SUB r 7\r\nPING\r\n"),
            ("B", CN + b"PUB foo r 2\r\nok\r\nPING\r\n")],
           [("A", b"PONG\r\n"),
            ("B", b"PONG\r\n")]),
    Vector("V153", "K0", "no_responders not requested",
           [("A", CH + b"SUB r 7\r\nPUB foo r 2\r\nok\r\nPING\r\n")],
           [("A", b"PONG\r\n")]),
    Vector("V154", "K0", "no reply subject",
           [("A", CN + b"SUB r 7\r\nPUB foo 2\r\nok\r\nPING\r\n")],
           [("A", b"PONG\r\n")]),
    Vector("V155", "K0", "503 does not count for auto-unsubscribe",
           [("A", (CN +
                   b"SUB r 7\r\nUNSUB 7 1\r\nPUB foo r 2\r\nok\r\n"
                   b"PUB r 1\r\nx\r\nPUB r 1\r\ny\r\nPING\r\n"))],
           [("A", (b"HMSG r 7 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"
                   b"MSG r 7 1\r\nx\r\nPONG\r\n"))],
           natsd=[("A", (b"HMSG r 7 35 35\r\nNATS/1.0 503\r\n"
                         b"Nats-Subject: foo\r\n\r\n\r\nMSG r 7 1\r\n"
                         b"x\r\nPONG\r\n"))]),
    Vector("V156", "K0", "invalid publish subject also yields 503",
           [("A", CN + b"SUB r 7\r\nPUB foo..b r 2\r\nok\r\nPING\r\n")],
           [("A", b"HMSG r 7 16 16\r\nNATS/1.0 503\r\n\r\n\r\nPONG\r\n")],
           natsd=[("A", (b"HMSG r 7 38 38\r\nNATS/1.0 503\r\n"
                         b"Nats-Subject: foo..b\r\n\r\n\r\nPONG\r\n"))]),
    Vector("V157", "K0", "only own subscription and echo false",
           [("A", (b'CONNECT {"verbose":false,"headers":true,"no_respon'
                   b'ders":true,"echo":false}\r\nSUB r 7\r\nSUB foo 8\r\n'
                   b'PUB foo r 2\r\nok\r\nPING\r\n'))],
           [("A", b"HMSG r 7 16 16\r\nNATS/1.0 503\r\n\r\n\r\nPONG\r\n")],
           natsd=[("A", (b"HMSG r 7 35 35\r\nNATS/1.0 503\r\n"
                         b"Nats-Subject: foo\r\n\r\n\r\nPONG\r\n"))]),
    Vector("V158", "K0", "verbose ordering",
           [("A", (b'CONNECT {"verbose":true,"headers":true,"no_respond'
                   b'ers":true}\r\nSUB r 7\r\nPUB foo r 2\r\nok\r\n'
                   b'PING\r\n'))],
           [("A", (b"+OK\r\n+OK\r\n+OK\r\nHMSG r 7 16 16\r\n"
                   b"NATS/1.0 503\r\n\r\n\r\nPONG\r\n"))],
           natsd=[("A", (b"+OK\r\n+OK\r\n+OK\r\nHMSG r 7 35 35\r\n"
                         b"NATS/1.0 503\r\nNats-Subject: foo\r\n\r\n\r\n"
                         b"PONG\r\n"))]),

    # 9.9 Verbose acknowledgements
    Vector("V159", "K0",
           "one +OK per CONNECT, SUB, PUB, UNSUB; none for PING, PONG",
           [("A", (CV +
                   b"SUB a 1\r\nUNSUB 1\r\nPUB a 1\r\nx\r\nPONG\r\n"
                   b"PING\r\n"))],
           [("A", b"+OK\r\n+OK\r\n+OK\r\n+OK\r\nPONG\r\n")]),
    Vector("V160", "K0", "HPUB is acknowledged",
           [("A", (b'CONNECT {"verbose":true,"headers":true}\r\n'
                   b'HPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\n'))],
           [("A", b"+OK\r\n+OK\r\n")]),
    Vector("V161", "K0", "failed SUB: -ERR instead of +OK",
           [("A", CV + b"SUB a. 1\r\nPING\r\n")],
           [("A", b"+OK\r\n-ERR 'Invalid Subject'\r\nPONG\r\n")]),
    Vector("V162", "K0", "pedantic publish error: -ERR and +OK",
           [("A", b"CONNECT {}\r\nPUB a.* 1\r\nx\r\n")],
           [("A", b"+OK\r\n-ERR 'Invalid Publish Subject'\r\n+OK\r\n")]),
    Vector("V163", "K0", "duplicate sid is acknowledged",
           [("A", CV + b"SUB a 1\r\nSUB b 1\r\n")],
           [("A", b"+OK\r\n+OK\r\n+OK\r\n")]),

    # 9.10 Limits
    Vector("V165", "K0", "argument of exactly max_control_line bytes",
           [("A", C0 + b"SUB " + b'a' * 4094 + b" 1\r\nPING\r\n")],
           [("A", b"PONG\r\n")]),
    Vector("V166", "K0", "argument one byte longer",
           [("A", C0 + b"SUB " + b'a' * 4095 + b" 1\r\nPING\r\n")],
           [("A", b"-ERR 'maximum control line exceeded'\r\n")],
           closed="A"),
    Vector("V167", "K0", "blanks before the first argument do not count",
           [("A", C0 + b"SUB" + b' ' * 5001 + b"a 1\r\nPING\r\n")],
           [("A", b"PONG\r\n")],
           natsd=[("A", b"PONG\r\n"),
                  ("A", b"-ERR 'maximum control line exceeded'\r\n")],
           either=True),
    Vector("V168", "K0", "over-long line is rejected before its end",
           [("A", C0 + b"SUB " + b'a' * 5000)],
           [("A", b"-ERR 'maximum control line exceeded'\r\n")],
           closed="A"),
    Vector("V169", "K5", "applies to CONNECT",
           [("A", (b'CONNECT {"verbose":false,"name":"' +
                   b'a' * 60 +
                   b'"}\r\n'))],
           [("A", b"-ERR 'maximum control line exceeded'\r\n")],
           closed="A"),
    Vector("V170", "K5", "boundary 64 over split reads",
           [("A", C0 + b"SUB " + b'a' * 40,
                  b"aaaaaaaaaaaaaaaaaaaaaa 1",
                  b"\r\nPING\r\n")],
           [("A", b"PONG\r\n")]),
    Vector("V171", "K5", "boundary 65 over split reads, no newline",
           [("A", C0 + b"SUB " + b'a' * 40,
                  b"aaaaaaaaaaaaaaaaaaaaaaaaa")],
           [("A", b"-ERR 'maximum control line exceeded'\r\n")],
           closed="A"),
    Vector("V172", "K6", "max_subscriptions",
           [("A", (C0 +
                   b"SUB a 1\r\nSUB b 2\r\nSUB c 3\r\nUNSUB 1\r\n"
                   b"SUB c 3\r\nPUB c 1\r\nx\r\nPING\r\n"))],
           [("A", (b"-ERR 'maximum subscriptions exceeded'\r\n"
                   b"MSG c 3 1\r\nx\r\nPONG\r\n"))]),
    Vector("V173", "K6", "at the limit even a duplicate sid is refused",
           [("A", C0 + b"SUB a 1\r\nSUB b 2\r\nSUB a 1\r\nPING\r\n")],
           [("A", b"-ERR 'maximum subscriptions exceeded'\r\nPONG\r\n")]),
    Vector("V174", "K7", "max_connections",
           [("A", b"PING\r\n"),
            ("B", b"PING\r\n"),
            ("C", OPEN)],
           [("A", b"PONG\r\n"),
            ("B", b"PONG\r\n"),
            ("C", b"-ERR 'maximum connections exceeded'\r\n")],
           closed="C"),

    # 9.11 Authentication
    Vector("V175", "K1", "good credentials",
           [("A", auth("u", "p") + b"PING\r\n")],
           [("A", b"PONG\r\n")]),
    Vector("V176", "K1", "wrong password",
           [("A", auth("u", "x") + b"PING\r\n")],
           [("A", b"-ERR 'Authorization Violation'\r\n")],
           closed="A"),
    Vector("V177", "K1", "no credentials",
           [("A", C0 + b"PING\r\n")],
           [("A", b"-ERR 'Authorization Violation'\r\n")],
           closed="A"),
    Vector("V178", "K1", "first verb is not CONNECT",
           [("A", b"PING\r\n")],
           [("A", b"-ERR 'Authorization Violation'\r\n")],
           closed="A"),
    Vector("V179", "K1", "garbage first byte",
           [("A", b"Z")],
           [("A", b"-ERR 'Authorization Violation'\r\n")],
           closed="A"),
    Vector("V180", "K1", "first byte C passes, then garbage",
           [("A", b"CX")],
           [("A", b"-ERR 'Unknown Protocol Operation'\r\n")],
           closed="A"),
    Vector("V181", "K1", "bad JSON",
           [("A", b"CONNECT {x}\r\n")],
           [],
           closed="A"),
    Vector("V182", "K1", "auth error outranks protocol error",
           [("A", b'CONNECT {"user":"u","pass":"x","protocol":9}\r\n')],
           [("A", b"-ERR 'Authorization Violation'\r\n")],
           closed="A"),
    Vector("V183", "K1", "account designation after good credentials",
           [("A", b'CONNECT {"user":"u","pass":"p","account":"x"}\r\n')],
           [("A", b"-ERR 'Authorization Violation'\r\n")],
           closed="A"),
    Vector("V184", "K1", "second CONNECT with bad credentials",
           [("A", (auth("u", "p") +
                   b"PING\r\n" +
                   auth("u", "x") +
                   b"PING\r\n"))],
           [("A", b"PONG\r\n-ERR 'Authorization Violation'\r\n")],
           closed="A"),
    Vector("V185", "K1",
           "second CONNECT without credentials keeps the earlier ones",
           [("A", auth("u", "p") + b'CONNECT {"verbose":true}\r\nPING\r\n')],
           [("A", b"+OK\r\nPONG\r\n")]),
    Vector("V186", "K1", "auth timeout (1 s here)",
           [("A", OPEN)],
           [("A", b"-ERR 'Authentication Timeout'\r\n")],
           closed="A"),
    Vector("V187", "K1", "auth timeout with a partial CONNECT",
           [("A", b'CONNECT {"us')],
           [("A", b"-ERR 'Authentication Timeout'\r\n")],
           closed="A"),
    Vector("V188", "K2", "token",
           [("A", (b'CONNECT {"verbose":false,"auth_token":"s3cr3t"}\r\n'
                   b'PING\r\n'))],
           [("A", b"PONG\r\n")]),
    Vector("V189", "K2", "wrong token",
           [("A", b'CONNECT {"auth_token":"x"}\r\n')],
           [("A", b"-ERR 'Authorization Violation'\r\n")],
           closed="A"),
    Vector("V190", "K2", "token sent as user",
           [("A", b'CONNECT {"user":"s3cr3t"}\r\n')],
           [("A", b"-ERR 'Authorization Violation'\r\n")],
           closed="A"),

    # 9.13 Keepalive
    Vector("V216", "K8", "server PINGs unanswered",
           [("A", C1)],
           [("A", b"PING\r\nPING\r\n-ERR 'Stale Connection'\r\n")],
           closed="A")
]
