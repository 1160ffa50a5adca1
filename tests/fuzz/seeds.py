#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Writes first inputs for the fuzz targets: seeds.py FOLDER.

They are the protocol's test vectors, natsd.conf and some steps by hand;
README says how the corpus is made of them."""

import os
import re
import struct
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.join(HERE, "..", "..")
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from vectors import VECTORS  # noqa: E402

SIZE_MAX = 2000

TRIES = [
    "+a.b\n?a.b\n+a.b\n?a.b\n-0\n-0\n?a.b\n",
    "+a.*\n+a.>\n+>\n+*.b\n?a.b\n?a\n?a.b.c\n-2\n?a.b\n#\n-0\n-0\n-0\n",
    "&q a.b\n&q a.b\n&q a.*\n&r a.b\n+a.b\n?a.b\n-0\n?a.b\n-0\n-0\n-0\n",
    "".join("+t%d.x\n?t%d.x\n" % (n, n) for n in range(40)) + "-3\n#\n" * 9,
    "".join("+t.%d\n&q%d t.*\n" % (n, n) for n in range(30)) + "?t.7\n" +
    "-0\n" * 30 + "#\n?t.7\n" + "".join("+u%d.>\n" % n for n in range(30)),
    "&a.name.longer.than.what.a.cell.can.hold.in.itself.so.it.is.in.two x\n"
    "?x\n+" + ".".join("abcdefghijklmnopqrstuvwxyz") + "\n",
    "+*\n?*\n+a.*.c\n?a.*.c\n?a.b.c\n?>\n+>\n?>\n",
]

SUBJECTS = [
    b"foo\nfoo\n", b"foo.*\nfoo.bar\n", b"foo.>\nfoo\nfoo.>\nfoo.a.b\n",
    b"*.*\na.b\n", b">\na\n", b"a..b\na.b\n", b".a\na.\n\n\n",
    b"a.>.b\na.x.b\n", b"_GR_.x\n$NRG.\n_R_.a\n$JS.ACK.x\n",
    b"abcdefgh.ijklmnop.q\nabcdefgh.ijklmnop.q\n", b"a*\na*\n>a\n>a\n",
    b"*\n*\n*.>\n*.*.*\n", b"\xff.\x00\n\xff.\x00\n",
]

CONF = [
    'listen = {"127.0.0.1:4222", /* inside */ "[::1]:4222",\n'
    '  "unix:/run/n.sock"} // end\nserver_name = "${NONE:-hub-1}"\n'
    "max_payload = 2MB max_pending = 64MB ping_interval = 1m30s\n"
    "debug = on trace = off\nauthorization { user = 'a b'\n"
    '  password = "x\\x41\\102\\"#"\n  timeout = 2s }\n',
    'include("a")\ninclude("b*")\nport = 4223\n%%a\ndebug = true\n%%b1\n'
    'server_name = "${A}"\n%%b2\nauthorization { token = "t" }\n',
    'include("natsd.conf")\n', 'include "a"\n', "port: 4222\n",
    "cluster { a = b }\nport = 1\nport = 2\n", "listen += a:1\n",
    'server_name = "${B}"\n', "authorization {\n", "/* open\n",
    "listen = [a, b]\n", "max_payload = 9999999TB\n", "workers = -1\n",
    'user = "nobody:nogroup"\nlog_file = "/tmp/x"\nsyslog = on\n',
]

CONNECTS = [
    b'{"user":"u","pass":"p","name":"n","lang":"c","version":"1",'
    b'"protocol":1,"verbose":false,"headers":true,"echo":false}',
    b'{"PASS":"a","pass":"b","x":{"pass":"c","y":[1,2,{"z":null}]}}',
    b'{"p\\u0061ss":"\\ud83d\\ude00\\ud83d","jwt":"","sig":"s","nkey":"N"}',
    b'{"protocol":-9223372036854775808}', b'{"protocol":1e3}', b"null",
    b' {"name":"\\u0000\\"\\\\\\/\\b\\f\\n\\r\\t"} ', b'{"name":null}',
]


def message(flags=3, count=0, plain=0, groups=0, subject=0, reply=1, size=5,
            slots=1, rest=b""):
    shape = count | plain << 2 | groups << 4 | 128
    return bytes([0, shape, flags, subject, reply, size, slots]) + rest


def raw_message(tail, **words):
    """A RECORD_MSG byte by byte: what a sane worker never writes."""
    values = dict(count=1, account=1, flags=1, slot=0, plain=0, pad=0,
                  incarnation=1, line=0, num=0, ticket=0, nslots=1, groups=0,
                  hdr=0, size=1, subject=3, reply=0, tried=0)
    values.update(words)
    body = struct.pack("<2I4B10IQ", *values.values()) + tail
    return b"\1\1" + bytes([len(body)]) + body


RECORDS = [
    # count * (size + 2) and the names go round to what is there
    raw_message(b"a.bcdefg", count=0xffffffff, size=0xffffffff, reply=6),
    raw_message(b"a.b x\r\n", subject=5, size=0),
    raw_message(b"a.b\nMSG\r\n", reply=4, size=0),
    raw_message(b"a.bxyz"), raw_message(b"a.bx\r\n", account=2),
    raw_message(b"a.bx\r\n", slot=1), raw_message(b"a.bx\r\n", slot=63),
    # a reference to a cell of another subject, to one of a group
    message(subject=3, plain=1, rest=b"\0"),
    message(subject=0, plain=1, rest=b"\5"),
    message(flags=2, subject=3, groups=1, rest=b"\4\4"),
    b"\1\3" + bytes([40]) + struct.pack("<8I", 0, 1, 1, 1, 4, 4, 0, 0) +
    b"a.b\nx\ny\n",
    message(), message(flags=3, plain=2, rest=b"\0\1\0"),
    message(flags=3, plain=1, groups=1, rest=b"\0\4\3\0"),
    message(flags=11, groups=2, rest=b"\4\3\5\5\0"), message(count=3),
    message(flags=9, subject=4, rest=b"\0") + b"\5" + message(subject=3),
    b"\7\10\0\20" + b"x" * 16 + b"\0" + b"\5",
    b"\1\4" + bytes([12]) + b"\0" * 4 + struct.pack("<Q", 1),
    b"\1\5" + bytes([12]) + b"\0" * 12, b"\1\6" + bytes([12]) + b"\1" * 12,
    b"\3" + struct.pack("<I", 0x80) + b"\7" + b"\xff" * 8 + message(),
    b"\4\x80" + message() * 3, b"\2\20" + b"\x10\0\0\0\2\0\0\0" * 2 + b"\4",
    b"\6\1\1\1\1\3\7abcinbox.1",
]

SNAPSHOTS = [b"\0", b"\1", b"\2" + struct.pack("<IB", 64, 0) + b"x",
             b"\0" + struct.pack("<IB", 0, 0) + b"x", b"\x0c"] + [
    b"\0" + struct.pack("<IB", at, 31) + b"\xff" * 32
    for at in range(56, 4000, 320)]

CHANS = [
    b"\x08\0\1\0", b"\x08\0\2\7", b"\x08\x10\3\1" + b"text" * 16,
    b"\x0a\0\x11\1", b"\x0e\0\x11\1", b"\0\1abcd", b"\0\0", b"\x08\xff\1\0",
    b"\x09\2\3\0log text", b"\x01\1abcd", b"\x09\xff\3\0" + b"x" * 1020,
    b"\x09\1\xff\0\n\x1b\x7fz",
]


# Steps of worker.c: "many" of client 0 and 9 (with reply), polite messages,
# time, reloads, and clients that never hear.
WORKERS = [
    b"\x70\x05\x01\x20\x21\x30\x31\x92\x20\x21",
    b"\x70\xff\x40\x93\x70\xff\xff\x93\x20\x20\x21\x65\x91\x66\x93",
    b"\x79\x20\x10\x93\x20\x21\x20\x21\x39\x60\x42\x01\x93",
    b"\x81\x70\x09\x00\x20\x21\x82\x71\x09\x20\x21\x83\x72\x20\x20\x80",
    b"\x40\x00\x41\x01\x42\x02\x20\x21\x50\x03\x51\x02\x52\x01\x93\x20",
    b"\x10PUB a 190000\n" + b"\x70\xff\x19" * 4 + b"\x93\x20\x21\x64\x93\x66",
    b"\x10PUB a 90000\n\x20\x40\x01\x93\x20\x21\x11SUB > 9\n\x70\xff\x20\x93",
    b"\x70\x02\xd0\x93\x20\x21\x20\x21\x93\x79\x01\xe0\x20\x21\x31",
    b"\x70\x04\xfe\x20\x93\x20\x42\x01\x21\x71\x02\xc5\x40\x01\x93\x66",
    b"\x11UNSUB 1 2\n\x70\x05\x01\x12UNSUB 1\n\x13SUB a q 5\n\x20\x21\x79\x09",
]


def steps(vector):
    """A vector as worker.c takes it: who says what, then both turn."""
    names, out = [], b""
    for name, pieces in vector.steps:
        if name not in names:
            names.append(name)
            out += bytes([0x50 + len(names) - 1, 0])
        who = names.index(name)
        for piece in pieces:
            if not isinstance(piece, bytes):
                continue
            for at in range(0, min(len(piece), SIZE_MAX), 255):
                part = piece[at:at + 255]
                out += bytes([who, len(part)]) + part
            out += b"\x20\x21"
    return out + b"\x93\x20\x21\x30\x31"


def sent(vector):
    """What the connections of a vector send, one input each."""
    lines = {}
    for name, pieces in vector.steps:
        data = b"".join(p for p in pieces if isinstance(p, bytes))
        lines[name] = lines.get(name, b"") + data
    return [data for data in lines.values() if 0 < len(data) <= SIZE_MAX]


def conf_texts():
    with open(os.path.join(TOP, "natsd.conf"), "rb") as file:
        text = file.read()
    yield text[:8000]
    # with its examples in effect
    yield re.sub(rb"(?m)^#\s?(?=\w+ *=)", b"", text)[:8000]
    for one in CONF:
        yield one.encode()


def all_seeds():
    streams = [data for vector in VECTORS for data in sent(vector)]
    for data in streams:
        yield "parse", b"\0" + data
        yield "message", data
        for found in re.findall(rb"(?i)CONNECT\s*([^\r\n]+)", data):
            yield "connect", found
    for vector in VECTORS:
        yield "worker", steps(vector)
    for limit in range(2, 8):
        yield "parse", bytes([limit]) + b"PUB foo bar 3\r\nabc\r\nPING\r\n"
    for name, seeds in (("subject", SUBJECTS), ("connect", CONNECTS),
                        ("record", RECORDS), ("snapshot", SNAPSHOTS),
                        ("chan", CHANS), ("conf", conf_texts()),
                        ("worker", WORKERS),
                        ("trie", [text.encode() for text in TRIES])):
        for seed in seeds:
            yield name, seed


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: seeds.py FOLDER")
    for number, (target, data) in enumerate(all_seeds()):
        folder = os.path.join(sys.argv[1], target)
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "seed%04d" % number), "wb") as file:
            file.write(data)


if __name__ == "__main__":
    main()
