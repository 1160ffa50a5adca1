# SPDX-License-Identifier: BSD-2-Clause
"""The behaviours in depth with nats-py: most have a server of their own, with
a proxy in front of it."""

import asyncio
import contextlib
import json
import time

import nats.micro
from common import (CONNECTIONS, TIMEOUT, ask, connect, flush, nobody,
                    unsubscribe, until)
from nats import errors
from nats.micro.request import (ERROR_CODE_HEADER, ERROR_HEADER,
                                ServiceError)
from nats.micro.service import (ServiceInfo, ServicePing, ServiceStats,
                                ServiceVerb, control_subject)

USER, PASSWORD, TOKEN = "alice", "s3cr3t pass", "t0ken"


class Scene:
    """A server with a configuration, and connections that are closed at the
    end; without one, the main server."""

    def __init__(self, conf=None):
        self.conf = conf
        self.url = self.ipv6 = self.proxy = None
        self.clients = []

    async def __aenter__(self):
        if self.conf:
            answer = await ask(f"server {self.conf}")
            self.url, self.ipv6, _, self.proxy = answer.split()
        return self

    async def __aexit__(self, *_):
        for client in self.clients:
            await client.nc.close()

    async def open(self, url=None, **options):
        self.clients.append(await connect(url or self.url, **options))
        return self.clients[-1]

    async def several(self, count, **options):
        return [await self.open(**options) for _ in range(count)]

    async def refused(self, text, **options):
        """Nobody is let in with these options."""
        try:
            await self.open(allow_reconnect=False, **options)
        except errors.Error as error:
            assert text in str(error), f"refused with {error!r}"
        else:
            assert False, f"let in, instead of {text}"


async def logged(count, text):
    found = int(await ask(f"logged {count} {text}"))
    assert found >= count, f"{text} is {found} times in the log"


async def calm(client):
    """It works, and nothing has happened to it."""
    await flush([client.nc])
    assert not client.errors, f"errors {client.errors}"
    assert not client.cuts, "it was cut"


async def reported(client, text):
    await until(lambda: client.reported(text),
                f"error {text}, only {client.errors}")


async def given_up(client, text):
    """The library has closed it for good, because of this."""
    await until(lambda: client.ends, f"close after {text}")
    assert text in str(client.nc.last_error).lower(), \
        f"closed by {client.nc.last_error!r} instead of {text}"


async def came_back(client):
    await until(lambda: client.cuts, "disconnect")
    await until(lambda: client.reconnects, "reconnect")


async def messages(sub, *payloads):
    """These come next."""
    for want in payloads:
        msg = await sub.next_msg(TIMEOUT)
        assert msg.data == want, f"{msg.data[:40]} instead of {want[:40]}"


async def meet(clients):
    """Each publishes once and gets all of it."""
    subs = [await client.nc.subscribe("meet") for client in clients]
    await flush([client.nc for client in clients])
    want = [b"%d" % number for number in range(len(clients))]
    for client, data in zip(clients, want):
        await client.nc.publish("meet", data)
    for sub in subs:
        got = [(await sub.next_msg(TIMEOUT)).data for _ in clients]
        assert sorted(got) == sorted(want), f"got {got}"
    await unsubscribe(subs)


# ----------------------------------------------------------- connect options

async def credentials():
    async with Scene("user") as scene:
        clients = await scene.several(2, user=USER, password=PASSWORD)
        await meet(clients)
        for wrong in ({}, {"token": TOKEN},
                      {"user": USER, "password": PASSWORD + "x"},
                      {"user": USER.upper(), "password": PASSWORD}):
            await scene.refused("Authorization Violation", **wrong)
        await calm(clients[0])
    async with Scene("token") as scene:
        clients = [await scene.open(token=TOKEN), await scene.open(
            scene.url.replace("//", f"//{TOKEN}@"))]
        await meet(clients)
        for wrong in ({}, {"token": TOKEN + "x"},
                      {"user": TOKEN, "password": ""}):
            await scene.refused("Authorization Violation", **wrong)


async def verbose(client):
    sub = await client.nc.subscribe("verbose")
    for _ in range(10):
        await client.nc.publish("verbose", b"x")
    await messages(sub, *[b"x"] * 10)
    await sub.unsubscribe()
    await logged(1, '"verbose": true')
    await calm(client)


async def no_echo(quiet, other):
    """What it publishes goes to others, also within a queue group."""
    subs = [await client.nc.subscribe("echo", queue)
            for client in (quiet, other) for queue in ("", "group")]
    await flush([quiet.nc, other.nc])
    for _ in range(20):
        await quiet.nc.publish("echo", b"quiet")
    await flush([quiet.nc])
    await other.nc.publish("echo", b"other")
    await messages(subs[0], b"other")
    for sub in subs[2:]:
        await messages(sub, *[b"quiet"] * 20)
    await unsubscribe(subs)


async def options():
    async with Scene("trace") as scene:
        other = await scene.open(name='the "name"')
        await logged(1, r'"name": "the \"name\""')
        await verbose(await scene.open(verbose=True))
        await no_echo(await scene.open(no_echo=True), other)
        if scene.ipv6 != "-":
            six = await scene.open(scene.ipv6)
            assert six.nc.client_ip == "::1", f"{six.nc.client_ip}"
            await meet([six, other])
        client = await scene.open(pedantic=True)
        sub = await client.nc.subscribe("pedantic.*")
        await client.nc.publish("pedantic.1", b"x")
        await messages(sub, b"x")
        await calm(client)
        # a wildcard is no subject to publish to; this library gives up then
        await client.nc.publish("pedantic.*")
        await given_up(client, "invalid publish subject")
        await calm(other)


async def without_headers():
    async with Scene("noheaders") as scene:
        clients = await scene.several(2)
        sub = await clients[0].nc.subscribe("plain")
        await clients[0].nc.flush()
        await clients[0].nc.flush()
        await clients[1].nc.publish("plain", b"x")
        await messages(sub, b"x")
        # nobody can be told that there is no responder
        with contextlib.suppress(errors.TimeoutError):
            await clients[0].nc.request("nobody", timeout=0.1)
            assert False, "somebody answers"
        # this library does not look whether the server takes headers
        await clients[1].nc.publish("plain", b"y", headers={"a": "b"})
        await came_back(clients[1])
        await clients[1].nc.publish("plain", b"z")
        await messages(sub, b"z")
        assert not clients[0].cuts, "the wrong one was cut"


async def connect_options():
    await credentials()
    await options()
    await without_headers()


# ------------------------------------------------------------- server errors

async def violations():
    """Those of permissions are reported, and the connection stays."""
    async with Scene("limits") as scene:
        client = await scene.open()
        await client.nc.publish("_GR_.x")
        await reported(client, 'permissions violation for publish to "_gr_.x')
        for reply in "_R_.x", "$JS.ACK.x":
            await client.nc.publish("a", reply=reply)
            await reported(client, "permissions violation for publish with "
                           f'reply of "{reply.lower()}"')
        sub = await client.nc.subscribe("foo", queue="_sys_")
        await reported(client, "permissions violation for subscription to "
                       '"foo" using queue "_sys_"')
        await sub.unsubscribe()
        await flush([client.nc])
        assert len(client.errors) == 4 and not client.cuts, \
            f"{client.errors}, {client.cuts} cuts"


async def too_many():
    """One subscription too many ends the connection, says this library;
    one connection too many is refused."""
    async with Scene("limits") as scene:
        client = (await scene.several(3))[0]
        for _ in range(30):
            await scene.refused("maximum connections exceeded")
        for number in range(5):
            await client.nc.subscribe(f"limit.{number}")
        await client.nc.flush()
        await client.nc.flush()
        assert not client.ends, f"closed by {client.nc.last_error!r}"
        await client.nc.subscribe("limit.5")
        await given_up(client, "maximum subscriptions exceeded")
        end = time.monotonic() + TIMEOUT
        while True:
            try:
                await scene.open(allow_reconnect=False)
                break
            except errors.Error:
                assert time.monotonic() < end, "no place is free"


async def protocol_errors():
    async with Scene("trace") as scene:
        for line, text in (
                ("SUB foo..bar 99", "invalid subject"),
                ("PUB foo " + "x" * 5000, "maximum control line exceeded"),
                ("PUB foo 99999999", "maximum payload violation"),
                ("SUBSCRIBE foo", "unknown protocol operation")):
            client = await scene.open(scene.proxy)
            await ask("say " + line)
            await given_up(client, text)


async def new_password():
    async with Scene("user") as scene:
        client = await scene.open(user=USER, password=PASSWORD)
        await ask("reload user2")
        await given_up(client, "authorization failed")
        assert isinstance(client.nc.last_error, errors.AuthorizationError)
        await calm(await scene.open(user=USER, password="other"))


async def stale():
    """One whose PONGs do not arrive is told, and connects again."""
    async with Scene("pings") as scene:
        client = await scene.open(scene.proxy)
        sub = await client.nc.subscribe("stale")
        await calm(client)
        await ask("mute")
        await until(lambda: client.cuts, "disconnect")
        await ask("heal")
        # not by the end of file that follows the error
        assert not client.reported("eof"), f"{client.errors}"
        await logged(1, "Stale Connection")
        await came_back(client)
        await client.nc.publish("stale", b"x")
        await messages(sub, b"x")


async def server_errors():
    await violations()
    await too_many()
    await protocol_errors()
    await new_password()
    await stale()


# --------------------------------------------------------------- max_payload

async def limit_is(client, limit):
    assert client.nc.max_payload == limit, f"{client.nc.max_payload}"
    try:
        await client.nc.publish("max", bytes(limit + 1))
        assert False, "beyond the limit"
    except errors.MaxPayloadError:
        await client.nc.publish("max", bytes(limit))


async def sizes(sub, *want):
    await messages(sub, *map(bytes, want))


async def max_payload():
    """INFO tells the limit, once; what is in force is the server's."""
    async with Scene("small") as scene:
        first = await scene.open()
        sub = await first.nc.subscribe("max")
        await flush([first.nc])
        await limit_is(first, 1000)
        size = 1000 - len("NATS/1.0\r\nA: b\r\n\r\n")
        await first.nc.publish("max", bytes(size), headers={"A": "b"})
        await sizes(sub, 1000, size)
        await calm(first)
        await ask("reload larger")
        second = await scene.open()
        await limit_is(first, 1000)
        await sizes(sub, 1000)
        await limit_is(second, 5000)
        await sizes(sub, 5000)
        await ask("reload smaller")
        await first.nc.publish("max", bytes(500))
        await sizes(sub, 500)
        await calm(second)
        await second.nc.publish("max", bytes(501))
        await given_up(second, "maximum payload violation")
        await first.nc.force_reconnect()
        await came_back(first)
        await flush([first.nc])
        await limit_is(first, 500)
        await sizes(sub, 500)


# ------------------------------------------------------------ slow consumers

async def pending_limits():
    """What is beyond those of a subscription is dropped by the library, which
    says so."""
    async with Scene() as scene:
        client, other = await scene.several(2)
        free, got = asyncio.Event(), []

        async def take(msg):
            await free.wait()
            got.append(msg.data)

        await client.nc.subscribe("pending", cb=take, pending_msgs_limit=10)
        byte = await client.nc.subscribe("pending", pending_bytes_limit=50)
        await flush([client.nc])
        for _ in range(100):
            await other.nc.publish("pending", b"12345")
        await flush([other.nc, client.nc])
        await until(lambda: len(client.errors) >= 90 + 91 - 1,
                    f"90 + 91 errors, only {len(client.errors)}")
        assert all(isinstance(error, errors.SlowConsumerError)
                   for error in client.errors), f"{client.errors}"
        dropped = sum(error.sub is not byte for error in client.errors)
        free.set()
        assert byte.pending_bytes == 45, f"{byte.pending_bytes} bytes wait"
        await messages(byte, *[b"12345"] * 9)
        await other.nc.publish("pending", b"last")
        await messages(byte, b"last")
        await until(lambda: b"last" in got, "message after those dropped")
        assert len(got) == 101 - dropped, f"{len(got)}, {dropped} dropped"
        assert not client.cuts, "it was cut"


async def slow_reader():
    """The server cuts one that does not read; it comes back."""
    async with Scene("slow") as scene:
        slow = await scene.open(scene.proxy)
        others = await scene.several(2)
        bulk = await slow.nc.subscribe("bulk")
        quick = await others[1].nc.subscribe("bulk")
        await flush([slow.nc, others[1].nc])
        await ask("stall")
        for _ in range(300):
            # this one must keep pace, in the same thread
            await others[0].nc.publish("bulk", bytes(1 << 16))
            await sizes(quick, 1 << 16)
        await logged(1, "Slow Consumer Detected")
        await ask("heal")
        await came_back(slow)
        await flush([slow.nc])
        await others[0].nc.publish("bulk", b"again")
        while True:
            msg = await bulk.next_msg(TIMEOUT)
            if msg.data == b"again":
                break
            assert len(msg.data) == 1 << 16, f"{len(msg.data)} bytes"
        await calm(others[0])
        await calm(others[1])


async def slow_consumer():
    await pending_limits()
    await slow_reader()


# --------------------------------------------------------------------- pings

async def deaf_server():
    """Its clients notice by their own PINGs and go to another worker, or to
    the successor."""
    async with Scene("hang") as scene:
        clients = await scene.several(
            CONNECTIONS, ping_interval=0.2, max_outstanding_pings=2,
            connect_timeout=TIMEOUT)
        await meet(clients)
        cut = int(await ask("hang"))
        await until(lambda: sum(client.cuts for client in clients) >= cut,
                    f"{cut} that notice")
        for client in clients:
            # the end of file of the worker's death would be an error
            assert not client.cuts or not client.errors, f"{client.errors}"
        await until(lambda: sum(client.reconnects
                                for client in clients) >= cut,
                    f"{cut} reconnects")
        await meet(clients)


async def server_pings():
    async with Scene("pings") as scene:
        clients = await scene.several(3)
        await logged(9, "->> [PING]")
        await logged(9, "<<- [PONG]")
        for client in clients:
            await calm(client)


async def ping_timeout():
    await deaf_server()
    await server_pings()


# ---------------------------------------------------------------- reconnects

async def buffered():
    """What is published while there is no connection goes out when there is
    one again, after the subscriptions."""
    async with Scene("trace") as scene:
        cut, other = await scene.open(scene.proxy), await scene.open()
        own = await cut.nc.subscribe("buffered")
        far = await other.nc.subscribe("buffered")
        ten = await cut.nc.subscribe("ten")
        await ten.unsubscribe(10)
        await flush([cut.nc, other.nc])
        for _ in range(4):
            await other.nc.publish("ten", b"x")
        await messages(ten, *[b"x"] * 4)
        await ask("cut")
        await until(lambda: cut.cuts, "disconnect")
        texts = [b"%d" % number for number in range(1000)]
        for text in texts:
            await cut.nc.publish("buffered", text)
        await ask("heal")
        await until(lambda: cut.reconnects, "reconnect")
        await messages(own, *texts)
        await messages(far, *texts)
        for _ in range(20):
            await other.nc.publish("ten", b"x")
        await messages(ten, *[b"x"] * 6)
        await flush([other.nc, cut.nc])
        await nobody(other.nc, "ten")
        assert ten.pending_msgs == 0, "an eleventh"


async def buffer_full():
    """The library does not keep more than it was told."""
    async with Scene("plain") as scene:
        client = await scene.open(pending_size=1000)
        sub = await client.nc.subscribe("full")
        await flush([client.nc])
        await ask("down")
        await until(lambda: client.cuts, "disconnect")
        kept = 0
        with contextlib.suppress(errors.OutboundBufferLimitError):
            while kept < 1000:
                await client.nc.publish("full", b"0123456789")
                kept += 1
        assert 0 < kept < 1000, f"{kept} messages kept"
        await ask("up")
        await until(lambda: client.reconnects, "reconnect")
        await client.nc.publish("full", b"last")
        await messages(sub, *[b"0123456789"] * kept, b"last")


async def reconnect_buffered():
    await buffered()
    await buffer_full()


# -------------------------------------------------------------------- drains

async def publish_until(publisher, leaving, took):
    """Publish as fast as it goes until those that leave amid it have left;
    how many messages."""
    total, last, drains = 0, None, []
    while last is None or total < last:
        await publisher.nc.publish("load", b"%d" % total)
        total += 1
        if total % 200 == 0:
            # no more under way than what the library keeps
            await asyncio.sleep(0)
            await until(lambda: total - len(took) < 100000, "progress")
        if not drains and total >= 2000 and took:
            drains = [asyncio.create_task(client.nc.drain())
                      for client in leaving]
        if last is None and all(client.ends for client in leaving):
            last = total + 2000
    await asyncio.wait_for(asyncio.gather(*drains), TIMEOUT)
    return total


async def drain_members(publisher, stays, leaves, alone):
    """One member of a group and a single subscriber leave while another
    connection publishes: the group gets all messages, once."""
    group, plain = [], []

    async def member(msg):
        group.append(int(msg.data))

    async def single(msg):
        plain.append(int(msg.data))

    sub = await stays.nc.subscribe("load", "group", member)
    await leaves.nc.subscribe("load", "group", member)
    await alone.nc.subscribe("load", cb=single)
    await flush([stays.nc, leaves.nc, alone.nc])

    # The drain of this library may give up what comes after its PONG, since
    # its PING overtakes its UNSUB; what has come is counted all the same.
    def came():
        return sum(client.nc.stats["in_msgs"] for client in (stays, leaves))

    before = came()
    total = await publish_until(publisher, (leaves, alone), group)
    await until(lambda: came() - before >= total, "last message")
    await sub.unsubscribe()
    await publisher.nc.flush()
    await stays.nc.flush()
    assert came() - before == total, f"{came() - before} of {total}"
    assert len(set(group)) == len(group), "one came twice"
    assert plain == list(range(len(plain))), "a gap before the drain"
    assert 0 < len(plain) < total, f"{len(plain)} of {total}"


async def drain_publisher(other, leaves):
    """What it has published goes out before it closes."""
    sub = await other.nc.subscribe("drained")
    await flush([other.nc])
    texts = [b"%d" % number for number in range(2000)]
    for text in texts:
        await leaves.nc.publish("drained", text)
    await asyncio.wait_for(leaves.nc.drain(), TIMEOUT)
    assert leaves.nc.is_closed, "not closed"
    await messages(sub, *texts)
    await sub.unsubscribe()


async def drain_under_load():
    async with Scene("plain") as scene:
        first, second = await scene.several(2)
        for _ in range(3):
            await drain_members(first, second, *await scene.several(2))
            await drain_publisher(second, await scene.open())
        await calm(first)
        await calm(second)


# ------------------------------------------------------------- subscriptions

async def many_subscriptions():
    """As many as one connection may have, all of them served; when all are
    gone, there is room for others."""
    async with Scene("subs") as scene:
        client, other = await scene.several(2)
        for count in 10000, 100:
            got = set()

            async def take(msg):
                assert msg.subject == "many.%d" % int(msg.data)
                got.add(int(msg.data))

            subs = [await client.nc.subscribe(f"many.{number}", cb=take)
                    for number in range(count)]
            # the first PING may overtake them
            await client.nc.flush(TIMEOUT)
            await client.nc.flush(TIMEOUT)
            for number in range(count):
                await other.nc.publish(f"many.{number}", b"%d" % number)
            await until(lambda: len(got) == count,
                        f"all messages, only {len(got)}")
            await unsubscribe(subs)
            await client.nc.flush(TIMEOUT)
            await client.nc.flush(TIMEOUT)
            for number in range(0, count, 97):
                await nobody(other.nc, f"many.{number}")
            assert not client.errors, f"errors {client.errors[:3]}"
        await calm(other)


# ------------------------------------------------------------------ requests

async def replies(nc, subject, done, wait=TIMEOUT):
    """Ask once and take answers until these are all, or until none comes for
    so long."""
    got = []
    inbox = nc.new_inbox()
    sub = await nc.subscribe(inbox)
    await nc.publish(subject, reply=inbox)
    with contextlib.suppress(errors.TimeoutError):
        while not got or not done(got):
            got.append(await sub.next_msg(wait))
    await sub.unsubscribe()
    return got


async def ask_many(nc):
    # this library has no function for it
    got = await replies(nc, "many", lambda got: len(got) == 5)
    assert len(got) == 5, f"{len(got)} by count"
    got = await replies(nc, "many", lambda _: False, 0.1)
    assert sorted(msg.data for msg in got) == \
        [b"%d" % number for number in range(CONNECTIONS)], f"by time: {got}"
    got = await replies(nc, "stream", lambda got: not got[-1].data)
    assert [msg.data for msg in got] == \
        [b"%d" % number for number in range(50)] + [b""], f"sentinel: {got}"
    got = await replies(nc, "nobody.there", lambda _: True)
    assert len(got) == 1 and got[0].headers["Status"] == "503", f"{got}"


async def request_many():
    async with Scene() as scene:
        conns = [client.nc for client in await scene.several(CONNECTIONS)]
        for number, nc in enumerate(conns):
            async def one(msg, data=b"%d" % number):
                await msg.respond(data)
            await nc.subscribe("many", cb=one)

        async def stream(msg):
            for number in range(50):
                await msg.respond(b"%d" % number)
            await msg.respond(b"")
        await conns[1].subscribe("stream", cb=stream)
        await flush(conns)
        for nc in conns:
            await ask_many(nc)


# ------------------------------------------------------------------ services

INSTANCES, DOUBLED = 3, 200


async def add_service(nc, place):
    async def double(request):
        await request.respond(request.data * 2)

    async def fail(_):
        raise ServiceError("400", "cannot")

    service = await nats.micro.add_service(
        nc, name="sums", version="1.2.3", description="adds up",
        metadata={"place": place})
    group = service.add_group(name="sums")
    await group.add_endpoint(name="double", handler=double)
    await group.add_endpoint(name="fail", handler=fail)
    return service


async def use_service(conns):
    """Each connection asks it; one in ten requests is for an error."""
    for number in range(DOUBLED):
        nc = conns[number % CONNECTIONS]
        text = b"%d" % number
        msg = await nc.request("sums.double", text, TIMEOUT)
        assert msg.data == text * 2, f"reply {msg.data}"
        if number % 10 == 0:
            msg = await nc.request("sums.fail", b"", TIMEOUT)
            assert (msg.headers[ERROR_HEADER] == "cannot" and
                    msg.headers[ERROR_CODE_HEADER] == "400"), \
                f"error {msg.headers}"


async def discover(nc, kind, verb, count, name=None, number=None):
    subject = control_subject(verb, name, number)
    got = await replies(nc, subject, lambda got: len(got) == count)
    assert len(got) == count, f"{subject}: {len(got)} of {count}"
    return [kind.from_dict(json.loads(msg.data)) for msg in got]


async def discovery(nc):
    places = set()
    for ping in await discover(nc, ServicePing, ServiceVerb.PING, INSTANCES):
        info, = await discover(nc, ServiceInfo, ServiceVerb.INFO, 1, "sums",
                               ping.id)
        assert (info.description == "adds up" and
                [one.subject for one in info.endpoints] ==
                ["sums.double", "sums.fail"]), f"{info}"
        places.add(info.metadata["place"])
    assert len(places) == INSTANCES, f"instances at {places}"
    stats = await discover(nc, ServiceStats, ServiceVerb.STATS, INSTANCES,
                           "sums")
    asked = [one.endpoints[0].num_requests for one in stats]
    failed = [one.endpoints[1].num_errors for one in stats]
    assert all(asked) and sum(asked) == DOUBLED, f"{asked} requests"
    assert sum(failed) == DOUBLED // 10, f"{failed} errors"


async def services():
    async with Scene() as scene:
        conns = [client.nc for client in await scene.several(CONNECTIONS)]
        running = [await add_service(nc, str(place))
                   for place, nc in enumerate(conns[:INSTANCES])]
        await flush(conns)
        await use_service(conns)
        for nc in conns:
            await discovery(nc)
        for service in running:
            await service.stop()
        await flush(conns)
        for subject in "$SRV.PING", "$SRV.INFO.sums", "sums.double":
            await nobody(conns[-1], subject)


# ---------------------------------------------------------------------- INFO

async def async_info():
    """natsd sends INFO once, whatever changes later; what it says is the same
    in all workers but for the client's number."""
    async with Scene("trace") as scene:
        clients = await scene.several(4)
        await flush([client.nc for client in clients])
        await ask("reload larger")
        await meet(clients)
        numbers = set()
        for client in clients:
            await calm(client)
            nc = client.nc
            numbers.add(nc.client_id)
            found = await ask(f"logged 1 cid:{nc.client_id} - ->> [INFO ")
            assert found == "1", f"{found} INFO lines"
            assert nc.max_payload == 1 << 20, f"{nc.max_payload}"
            assert nc.client_ip == "127.0.0.1", f"{nc.client_ip}"
            assert nc.connected_server_version.major == 2
            assert not nc.discovered_servers, f"{nc.discovered_servers}"
        assert len(numbers) == len(clients), f"client ids {numbers}"


BEHAVIOURS = (connect_options, server_errors, max_payload, slow_consumer,
              ping_timeout, reconnect_buffered, drain_under_load,
              many_subscriptions, request_many, services, async_info)
