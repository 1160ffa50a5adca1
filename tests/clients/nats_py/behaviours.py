# SPDX-License-Identifier: BSD-2-Clause
"""All behaviours with nats-py: several connections, each publishing to all."""

import asyncio
import sys
import traceback

import depth
from common import (CONNECTIONS, TIMEOUT, ask, connect, flush, nobody,
                    unsubscribe, until)

clients = []
conns = []


async def subscribe_all(subject):
    subs = [await nc.subscribe(subject) for nc in conns]
    await flush(conns)
    return subs


async def exchange(subject, subs, count):
    """Each connection publishes; each subscription gets everything, what is
    from one publisher in order."""
    for sender, nc in enumerate(conns):
        for n in range(count):
            await nc.publish(subject, b"%d %d" % (sender, n))
    for sub in subs:
        following = [0] * CONNECTIONS
        for _ in range(CONNECTIONS * count):
            msg = await sub.next_msg(TIMEOUT)
            sender, n = map(int, msg.data.split())
            assert n == following[sender], \
                f"{n} of {sender} instead of {following[sender]}"
            following[sender] += 1


async def publish_subscribe():
    subs = await subscribe_all("all")
    await exchange("all", subs, 100)
    await unsubscribe(subs)


async def wildcards():
    for pattern, subjects in (
            ("wild.*.c", ["wild.a.c", "wild.b.c", "wild.end.c"]),
            ("wild.>", ["wild.a", "wild.a.c", "wild.b.c", "wild.a.b.c",
                        "wild.end.c"])):
        subs = await subscribe_all(pattern)
        for subject in ("wild", "wild.a", "wild.a.c", "wild.b.c",
                        "wild.a.b.c", "other.a.c", "wild.end.c"):
            await conns[0].publish(subject)
        for sub in subs:
            for subject in subjects:
                msg = await sub.next_msg(TIMEOUT)
                assert msg.subject == subject, \
                    f"{pattern}: {msg.subject} instead of {subject}"
        await unsubscribe(subs)


async def queue_groups():
    got = asyncio.Queue()
    subs = []
    for number, nc in enumerate(conns):
        async def take(msg, number=number):
            got.put_nowait((number, msg.data))
        subs.append(await nc.subscribe("jobs", "group", take))
    await flush(conns)
    want = {b"%d %d" % (sender, n)
            for sender in range(CONNECTIONS) for n in range(50)}
    for sender, nc in enumerate(conns):
        for n in range(50):
            await nc.publish("jobs", b"%d %d" % (sender, n))
    seen = [await asyncio.wait_for(got.get(), TIMEOUT) for _ in want]
    await flush(conns)
    await flush(conns)
    assert got.empty(), "a message came twice"
    assert {data for _, data in seen} == want, "a message came twice"
    busy = {number for number, _ in seen}
    assert len(busy) == CONNECTIONS, f"only {busy} got messages"
    await unsubscribe(subs)


async def request_reply():
    async def serve(msg):
        await msg.respond(msg.data.upper())

    subs = [await nc.subscribe(f"service.{number}", cb=serve)
            for number, nc in enumerate(conns)]
    await flush(conns)
    for sender, nc in enumerate(conns):
        for number in range(CONNECTIONS):
            msg = await nc.request(f"service.{number}", b"from %d" % sender,
                                   TIMEOUT)
            assert msg.data == b"FROM %d" % sender, f"reply {msg.data}"
    await unsubscribe(subs)


async def headers():
    # this library has one value per name
    want = {"Colour": "dark green", "X-Number": "17"}
    subs = await subscribe_all("headed")
    for nc in conns:
        await nc.publish("headed", b"body", headers=want)
    for sub in subs:
        for _ in conns:
            msg = await sub.next_msg(TIMEOUT)
            assert msg.headers == want and msg.data == b"body", \
                f"got {msg.headers} {msg.data}"
    await unsubscribe(subs)


async def no_responders():
    for nc in conns:
        await nobody(nc, "nobody.there")


async def large_payload():
    assert conns[0].max_payload == 1 << 20, f"{conns[0].max_payload}"
    data = bytes(range(256)) * 4096
    subs = await subscribe_all("large")
    for nc in conns:
        await nc.publish("large", data)
    for sub in subs:
        for _ in conns:
            msg = await sub.next_msg(TIMEOUT)
            assert msg.data == data, "the payload has changed"
    await unsubscribe(subs)


async def drain():
    got = []

    async def take(msg):
        await asyncio.sleep(0.0001)
        got.append(msg)

    nc = (await connect()).nc
    await nc.subscribe("drained", cb=take)
    await nobody(nc, "barrier")
    for other in conns:
        for _ in range(200):
            await other.publish("drained")
    await flush(conns)
    await asyncio.wait_for(nc.drain(), TIMEOUT)
    assert nc.is_closed, "not closed"
    assert len(got) == CONNECTIONS * 200, f"{len(got)} messages"
    await nobody(conns[0], "drained")


async def come_back(order):
    """Has connections cut and sees that their subscriptions return."""
    subs = await subscribe_all("back")
    before = sum(client.reconnects for client in clients)
    cut = int(await ask(order))
    await until(lambda: sum(client.reconnects for client in clients)
                >= before + cut, f"{cut} reconnects")
    await flush(conns)
    await exchange("back", subs, 10)
    await unsubscribe(subs)


async def worker_killed():
    await come_back("kill")


async def server_restarted():
    await come_back("restart")


async def main():
    status = 0
    for _ in range(CONNECTIONS):
        clients.append(await connect())
        conns.append(clients[-1].nc)
    for behaviour in (publish_subscribe, wildcards, queue_groups,
                      request_reply, headers, no_responders, large_payload,
                      drain, worker_killed, server_restarted,
                      *depth.BEHAVIOURS):
        name = behaviour.__name__.replace("_", "-")
        try:
            await behaviour()
            print("ok", name)
        except Exception as error:
            traceback.print_exc(file=sys.stdout)
            print("not ok", name, "-", repr(error))
            status = 1
    for nc in conns:
        await nc.close()
    return status


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
