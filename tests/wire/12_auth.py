#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""User and password, token, the time allowed; verbs before CONNECT."""

import os
import re
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
from natsdtest import *  # noqa: E402,F403

suite = Suite("auth")

USER = {"authorization": {"user": "u", "password": "p w#'x", "timeout": 2}}
TOKEN = {"authorization": {"token": "s3cr3t", "timeout": 2}}
SHORT = {"authorization": {"user": "u", "password": "p",
                           "timeout": "500ms"}}

NO = err("Authorization Violation")


def connect(text):
    return b"CONNECT {\"verbose\":false" + text + b"}\r\n"


def refused(env, data, answer=NO):
    client = env.client(connect=None)
    equal(client.info.get("auth_required"), True, "auth_required")
    client.send(data)
    client.expect(answer)
    client.expect_eof()


@suite.scenario("user and password", conf=USER)
def user(env):
    client = env.client(connect=None)
    equal(client.info.get("auth_required"), True, "auth_required")
    client.connect(connect(b',"user":"u","pass":"p w#\'x"'))
    client.sub(env.subj() + b" 1")
    client.pub(env.subj())
    client.expect(msg(env.subj(), b"1"))
    # other credentials are not looked at
    env.client(connect(b',"user":"u","pass":"p w#\'x","auth_token":"z"'))
    # escapes in JSON
    env.client(connect(br',"user":"\u0075","pass":"p\u0020w#\u0027x"'))
    for text in (b"", b',"user":"u"', b',"user":"u","pass":""',
                 b',"user":"U","pass":"p w#\'x"',
                 b',"user":"u","pass":"P w#\'x"',
                 b',"user":"u","pass":"p w#\'x "',
                 b',"user":"u","pass":"p w#\'"',
                 b',"user":"u\\u0000","pass":"p w#\'x"',
                 b',"user":"u","pass":"p w#\'x\\u0000"',
                 b',"auth_token":"p w#\'x"', b',"pass":"p w#\'x"'):
        refused(env, connect(text) + PING)


@suite.scenario("token", conf=TOKEN)
def token(env):
    env.client(connect(b',"auth_token":"s3cr3t"')).expect_nothing()
    env.client(connect(b',"auth_token":"s3cr3t","user":"u","pass":"x"'))
    for text in (b"", b',"auth_token":"s3cr3"', b',"auth_token":"s3cr3tt"',
                 b',"auth_token":"S3CR3T"', b',"auth_token":""',
                 b',"user":"s3cr3t"', b',"user":"s3cr3t","pass":"s3cr3t"'):
        refused(env, connect(text) + PING)


@suite.scenario("first verb other than CONNECT", conf=USER)
def first_verb(env):
    for data in (b"PING\r\n", b"P", b"\r\n", b"Z", b" ", b"PUB a 1\r\nx\r\n",
                 b"SUB a 1\r\n", b"INFO {}\r\n", b"+OK\r\n", b"\x16\x03\x01"):
        refused(env, data)
    for data in (b"CX", b"cZ", b"CONNECX", b"CO NNECT {}\r\n"):
        refused(env, data, err("Unknown Protocol Operation"))
    refused(env, b"CONNECT {x}\r\n", b"")
    refused(env, b"CONNECT\r\n", b"")


@suite.scenario("nothing of a refused connection is done", pairs=True,
                conf=USER)
def nothing_done(env):
    subject = env.subj()
    good = connect(b',"user":"u","pass":"p w#\'x"')
    a = env.client(good)
    a.sub(subject + b" 1")
    b = env.near(a, connect=None)
    b.send(connect(b',"user":"u","pass":"no"') + pub(subject) + PING)
    b.expect(NO)
    b.expect_eof()
    c = env.near(a, connect=None)
    c.send(pub(subject) + good)
    c.expect(NO)
    a.expect_nothing()


@suite.scenario("order of checks", conf=USER)
def checks(env):
    refused(env, connect(b',"user":"u","pass":"x","protocol":9'))
    good = b',"user":"u","pass":"p w#\'x"'
    refused(env, connect(good + b',"protocol":9'),
            err("invalid client protocol"))
    refused(env, connect(good + b',"account":"x","protocol":9'))
    refused(env, connect(good + b',"no_responders":true'),
            err("no responders requires headers support"))


@suite.scenario("second CONNECT", conf=USER)
def second(env):
    good = b',"user":"u","pass":"p w#\'x"'
    client = env.client(connect(good))
    client.send(b'CONNECT {"verbose":true}\r\n')
    client.expect(b"+OK\r\n")
    client.send(b"CONNECT {}\r\n")
    client.expect(b"+OK\r\n")
    client.send(b'CONNECT {"verbose":false,"pass":"no"}\r\n' + PING)
    client.expect(NO)
    client.expect_eof()


@suite.scenario("authentication timeout", conf=SHORT)
def timeout(env):
    begun = time.monotonic()
    silent = [env.client(connect=None) for _ in range(5)]
    partial = env.client(connect=None)
    partial.send(b'CONNECT {"verbose":fal')
    slow = env.client(connect=None)
    good = env.client(auth("u", "p"))
    for client in silent + [partial]:
        client.expect(err("Authentication Timeout"))
        client.expect_eof()
    check(time.monotonic() - begun >= 0.4, "cut off too early")
    slow.until_eof()
    good.expect_nothing()


@suite.scenario("credentials are in no log line", conf=USER, reference=False)
def secrets(env):
    server = env.own_server({"authorization": {
        "user": "u", "password": "hush-hush", "timeout": 2},
        "debug": True, "trace": True})
    client = env.client(auth("u", "hush-hush"), server)
    client.sub(b"a 1")
    bad = env.client(None, server)
    bad.send(auth("u", "guess-me"))
    bad.expect(NO)
    bad.expect_eof()
    token = env.client(None, server)
    token.send(b'CONNECT {"auth_token":"my-token","jwt":"my-jwt",'
               b'"sig":"my-sig"}\r\n')
    token.expect(NO)
    token.expect_eof()
    server.wait_log("authentication error")
    for word in ("hush-hush", "guess-me", "my-token", "my-jwt"):
        check(word not in server.log(), "%s is in the log:\n%s", word,
              server.log())


@suite.scenario("a traced CONNECT ends where it ends", reference=False,
                conf={}, workers=(1,))
def traced(env):
    server = env.own_server({"debug": True, "trace": True})
    begin = r"\[TRC\] \S+ - cid:\d+ - <<- \[CONNECT "
    # a long one first: the short ones must not show what is left of it
    long = b'CONNECT {"verbose":false,"pass":"s","name":"%s"}\r\n' % (
        b"long" * 500)
    whole = r'\{"verbose":false,"pass":"\[REDACTED\]","name":"(long)+'
    client = env.client(long, server)
    line = server.wait_log(begin + whole + ".*").group(0)
    check(re.search(whole + r"(l|lo|lon)?\]?$", line),
          "more than the CONNECT: %s", line)
    client.send(b"CONNECT {}\r\n")
    check(server.wait_log(begin + r"\{\}.*").group(0).endswith("{}]"),
          "more than the CONNECT:\n%s", server.log())
    client.send(b"CONNECT null\r\n" + PING)
    check(server.wait_log(begin + "null.*").group(0).endswith("null]"),
          "more than the CONNECT:\n%s", server.log())


@suite.scenario("no authentication: credentials are ignored", conf={})
def none(env):
    client = env.client(auth("any", "thing"))
    check("auth_required" not in client.info, "auth_required in INFO")
    env.client(connect=None).expect_nothing()


if __name__ == "__main__":
    sys.exit(suite.main())
