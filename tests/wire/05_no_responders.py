#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""No responders: the 503, exactly once, whoever was or was not there."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
from natsdtest import *  # noqa: E402,F403

suite = Suite("no responders")


def names(env):
    """a subject to ask, a subject for the reply"""
    return env.subj("ask"), b"_INBOX.%d" % env.number


@suite.scenario("nobody there: one 503 before the PONG")
def nobody(env):
    subject, inbox = names(env)
    for client in env.each(CN):
        client.sub(inbox + b" 7")
        client.send(pub(subject, b"ok", inbox) + PING)
        client.expect(no_responders(inbox, b"7", subject) + PONG)
        client.expect_nothing()


@suite.scenario("wildcard reply subscription")
def wildcard(env):
    subject, inbox = names(env)
    client = env.client(CN)
    client.sub(inbox + b".* 7")
    client.send(pub(subject, b"ok", inbox + b".9") + PING)
    client.expect(no_responders(inbox + b".9", b"7", subject) + PONG)


@suite.scenario("somebody there: no 503", pairs=True)
def somebody(env):
    subject, inbox = names(env)
    a, b = env.pair(C0, CN)
    a.sub(subject + b" 1")
    b.sub(inbox + b" 7")
    b.send(pub(subject, b"ok", inbox) * 50 + PING)
    b.expect(PONG)
    a.expect(msg(subject, b"1", b"ok", inbox) * 50)
    b.expect_nothing()


@suite.scenario("queue member there: no 503", pairs=True)
def member(env):
    subject, inbox = names(env)
    a, b = env.pair(C0, CN)
    a.sub(subject + b" q 1")
    b.sub(inbox + b" 7")
    b.send(pub(subject, b"ok", inbox) * 20 + PING)
    b.expect(PONG)
    a.expect(msg(subject, b"1", b"ok", inbox) * 20)


@suite.scenario("subscriber gone by UNSUB", pairs=True)
def unsubscribed(env):
    subject, inbox = names(env)
    a, b = env.pair(C0, CN)
    b.sub(inbox + b" 7")
    for n in range(100):
        sid = b"%d" % n
        queue = b"q " if n % 2 else b""
        a.sub(subject + b" " + queue + sid)
        b.send(pub(subject, b"ok", inbox) + PING)
        b.expect(PONG)
        a.send(b"UNSUB " + sid + b"\r\n" + PING)
        a.expect(msg(subject, sid, b"ok", inbox) + PONG)
        b.send(pub(subject, b"ok", inbox) + PING)
        b.expect(no_responders(inbox, b"7", subject) + PONG)


@suite.scenario("subscriber gone by closing", pairs=True)
def closed(env):
    subject, inbox = names(env)
    a, b = env.pair(C0, CN)
    b.sub(inbox + b" 7")
    a.sub(subject + b" 1")
    a.close()
    want = no_responders(inbox, b"7", subject) + PONG
    b.send(pub(subject, b"ok", inbox) + PING)
    b.expect(want)


@suite.scenario("used-up limit: refused where the subscriber is",
                pairs=True)
def used_up(env):
    subject, inbox = names(env)
    a, b = env.pair(C0, CN)
    b.sub(inbox + b" 7")
    for n in range(50):
        sid = b"%d" % n
        a.send(b"SUB %s %s\r\nUNSUB %s 1\r\n" % (subject, sid, sid) + PING)
        a.expect(PONG)
        # both are matched before the first is delivered
        b.send(pub(subject, b"1st", inbox) + pub(subject, b"2nd", inbox) +
               PING)
        b.expect(no_responders(inbox, b"7", subject) + PONG)
        a.expect(msg(subject, sid, b"1st", inbox))
    a.expect_nothing()


@suite.scenario("used-up limits in every worker: one 503")
def used_up_everywhere(env):
    subject, inbox = names(env)
    b = env.client(CN)
    b.sub(inbox + b" 7")
    others = env.each()
    for n in range(20):
        sid = b"%d" % n
        for client in others:
            client.send(b"SUB %s %s\r\nUNSUB %s 1\r\n" % (subject, sid, sid) +
                        PING)
            client.expect(PONG)
        b.send(pub(subject, b"1st", inbox) + pub(subject, b"2nd", inbox) +
               PING)
        b.expect(no_responders(inbox, b"7", subject) + PONG)
        for client in others:
            client.expect(msg(subject, sid, b"1st", inbox))
    b.expect_nothing()


@suite.scenario("one of several left: no 503")
def one_left(env):
    subject, inbox = names(env)
    b = env.client(CN)
    b.sub(inbox + b" 7")
    others = env.each() + env.each()
    for client in others:
        client.sub(subject + b" 1")
    for n, client in enumerate(others[:-1]):
        client.send(b"UNSUB 1\r\n" + PING)
        client.expect(msg(subject, b"1", b"ok", inbox) * n + PONG)
        b.send(pub(subject, b"ok", inbox) + PING)
        b.expect(PONG)
    others[-1].expect(msg(subject, b"1", b"ok", inbox) * (len(others) - 1))
    others[-1].send(b"UNSUB 1\r\n" + PING)
    others[-1].expect(PONG)
    b.send(pub(subject, b"ok", inbox) + PING)
    b.expect(no_responders(inbox, b"7", subject) + PONG)


@suite.scenario("echo off: own subscription is nobody", pairs=True)
def echo_off(env):
    subject, inbox = names(env)
    a, b = env.pair(C0, CNE)
    b.sub(inbox + b" 7", subject + b" 8", subject + b" q 9")
    b.send(pub(subject, b"ok", inbox) + PING)
    b.expect(no_responders(inbox, b"7", subject) + PONG)
    a.sub(subject + b" 1")
    b.send(pub(subject, b"ok", inbox) + PING)
    b.expect(PONG)
    a.expect(msg(subject, b"1", b"ok", inbox))


@suite.scenario("in order with the replies around it", pairs=True)
def order(env):
    subject, inbox = names(env)
    a, b = env.pair(C0, CN)
    a.sub(subject + b".there 1")
    b.sub(inbox + b" 7")
    sent, want = [], []
    for n in range(100):
        lost = subject + b".lost.%d" % n
        sent += [pub(lost, b"x", inbox), PING,
                 pub(subject + b".there", b"x", inbox), PING,
                 pub(lost, b"y", inbox), b"SUB .bad 9\r\n"]
        want += [no_responders(inbox, b"7", lost), PONG, PONG,
                 no_responders(inbox, b"7", lost), err("Invalid Subject")]
    b.send(b"".join(sent))
    b.expect(b"".join(want))
    b.expect_nothing()
    equal(len(a.messages()), 100, "messages")


@suite.scenario("in order with -ERR when a remote refuses", pairs=True)
def order_remote(env):
    subject, inbox = names(env)
    a, b = env.pair(C0, CN)
    b.sub(inbox + b" 7")
    for n in range(20):
        a.send(b"SUB %s %d\r\nUNSUB %d 1\r\n" % (subject, n, n) + PING)
        a.expect(PONG)
        b.send(pub(subject, b"1", inbox) + pub(subject, b"2", inbox) +
               PING + b"SUB .bad 9\r\n" + PING)
        b.expect(no_responders(inbox, b"7", subject) + PONG +
                 err("Invalid Subject") + PONG)
        a.expect(msg(subject, b"%d" % n, b"1", inbox))


@suite.scenario("verbose: after the +OK of its publish", pairs=True)
def verbose(env):
    subject, inbox = names(env)
    a, b = env.pair(C0, b'CONNECT {"verbose":true,"headers":true,'
                    b'"no_responders":true}\r\n')
    ok = b"+OK\r\n"
    b.send(b"SUB " + inbox + b" 7\r\n")
    b.expect(ok)
    lost = no_responders(inbox, b"7", subject)
    b.send(pub(subject, b"x", inbox) + b"UNSUB 99\r\n" + PING)
    b.expect(ok + lost + ok + PONG)
    a.send(b"SUB " + subject + b" 1\r\nUNSUB 1 1\r\n" + PING)
    a.expect(PONG)
    b.send(pub(subject, b"1", inbox) + pub(subject, b"2", inbox) +
           b"UNSUB 99\r\n" + PING)
    b.expect(ok + ok + lost + ok + PONG)


@suite.scenario("only with a reply subscription that is its own and plain",
                pairs=True)
def not_sent(env):
    subject, inbox = names(env)
    a, b = env.pair(CN)
    b.send(pub(subject, b"x", inbox) + PING)
    b.expect(PONG)
    a.sub(inbox + b" 1")
    b.send(pub(subject, b"x", inbox) + PING)
    b.expect(PONG)
    b.sub(inbox + b" q 2")
    b.send(pub(subject, b"x", inbox) + PING)
    b.expect(PONG)
    b.sub(inbox + b" 3")
    b.send(pub(subject, b"x", inbox) + PING)
    b.expect(no_responders(inbox, b"3", subject) + PONG)
    a.expect_nothing()
    c = env.near(a, CH)
    c.sub(inbox + b" 1")
    c.send(pub(subject, b"x", inbox) + pub(subject) + PING)
    c.expect(PONG)


@suite.scenario("one notification, though several subscriptions match")
def only_one(env):
    subject, inbox = names(env)
    b = env.client(CN)
    b.sub(inbox + b" 1", inbox + b" 2", b"> 3")
    b.send(b"UNSUB 3\r\n" + pub(subject, b"x", inbox))
    got = b.messages()
    equal(len(got), 1, "notifications")
    check(got[0].sid in (b"1", b"2"), "sid %r", got[0].sid)


@suite.scenario("does not count for UNSUB max", pairs=True)
def uncounted(env):
    subject, inbox = names(env)
    a, b = env.pair(C0, CN)
    b.send(b"SUB " + inbox + b" 7\r\nUNSUB 7 1\r\n")
    b.send(pub(subject, b"x", inbox) * 3 + PING)
    b.expect(no_responders(inbox, b"7", subject) * 3 + PONG)
    a.pub(inbox, b"answer")
    b.expect(msg(inbox, b"7", b"answer"))
    a.pub(inbox, b"answer")
    a.expect_nothing()
    b.expect_nothing()


@suite.scenario("the reply subscription itself is an answerer")
def itself(env):
    inbox = b"_INBOX.%d" % env.number
    b = env.client(CN)
    b.sub(inbox + b" 7")
    b.send(pub(inbox, b"x", inbox) + PING)
    b.expect(msg(inbox, b"7", b"x", inbox) + PONG)


@suite.scenario("many requests at once, half of them answered", pairs=True)
def many(env):
    subject, inbox = names(env)
    a, b = env.pair(C0, CN)
    a.sub(subject + b".even.* 1")
    b.sub(inbox + b".* 7")
    wanted = []
    for n in range(2000):
        ask = b"%s.%s.%d" % (subject, (b"even", b"odd")[n % 2], n)
        if n % 2:
            wanted.append(no_responders(inbox + b".%d" % n, b"7", ask))
        b.send(pub(ask, b"x" * (n % 100), inbox + b".%d" % n))
    b.send(PING)
    b.expect(b"".join(wanted) + PONG)
    equal(len(a.messages()), 1000, "requests that arrived")


@suite.scenario("HPUB and the largest header", pairs=True)
def header(env):
    subject, inbox = names(env)
    a, b = env.pair(C0, CN)
    b.sub(inbox + b" 7")
    b.send(hpub(subject, b"NATS/1.0\r\nA: " + b"x" * 60000 + b"\r\n\r\n",
                b"body", inbox) + PING)
    b.expect(no_responders(inbox, b"7", subject) + PONG)


if __name__ == "__main__":
    sys.exit(suite.main())
