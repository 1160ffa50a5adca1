// SPDX-License-Identifier: BSD-2-Clause

// The behaviours in depth with @nats-io/transport-node: most have a server of
// their own, with a proxy in front of it.
import assert from "node:assert/strict";
import { setImmediate as turn } from "node:timers/promises";
import {
	AuthorizationError, headers, InvalidArgumentError,
	PermissionViolationError, ProtocolError, TimeoutError,
} from "@nats-io/nats-core";
import { Svcm } from "@nats-io/services";
import {
	ask, Client, connections, flush, nobody, soon, take, timeout,
	unsubscribe, until,
} from "./common.mjs";

const user = "alice";
const pass = "s3cr3t pass";
const token = "t0ken";

/* A server with a configuration, and connections that are closed at the end;
 * without one, the main server. */
class Scene {
	clients = [];

	static async with(conf, run) {
		const scene = new Scene();
		if (conf !== null)
			[scene.url, scene.ipv6, , scene.proxy] =
				(await ask(`server ${conf}`)).split(" ");
		try {
			await run(scene);
		} finally {
			await Promise.all(scene.clients.map(({ nc }) =>
				nc.close()));
		}
	}

	async open(options, url) {
		this.clients.push(await Client.open(url ?? this.url, options));
		return this.clients.at(-1);
	}

	async several(count, options) {
		const found = [];
		while (found.length < count)
			found.push(await this.open(options));
		return found;
	}

	/* Nobody is let in with these options. */
	refused(kind, text, options) {
		return assert.rejects(
			this.open({ reconnect: false, ...options }),
			(error) => error instanceof kind &&
				text.test(error.message));
	}
}

async function logged(count, text) {
	const found = Number(await ask(`logged ${count} ${text}`));
	assert.ok(found >= count, `${text} is ${found} times in the log`);
}

/* It works, and nothing has happened to it. */
async function calm(client) {
	await flush([client.nc]);
	assert.deepEqual(client.events.filter((e) => e.type !== "ping"), []);
}

/* The next error that the library reports, from the first. */
async function reported(client, number, kind, text) {
	await until(() => client.errors().length > number,
		`${text}, only ${client.errors()}`);
	const error = client.errors()[number];
	assert.ok(error instanceof kind && text.test(error.message),
		`${error} instead of ${text}`);
	return error;
}

async function cameBack(client) {
	await until(() => client.count("disconnect") > 0, "disconnect");
	await until(() => client.count("reconnect") > 0, "reconnect");
}

/* These come next. */
async function payloads(sub, want) {
	const got = await take(sub, want.length);
	assert.deepEqual(got.map((msg) => msg.string()), want);
}

async function sizes(sub, want) {
	const got = await take(sub, want.length);
	assert.deepEqual(got.map((msg) => msg.data.length), want);
}

function numbers(count) {
	return Array.from({ length: count }, (_, n) => `${n}`);
}

/* Each publishes once and gets all of it. */
async function meet(clients) {
	const conns = clients.map(({ nc }) => nc);
	const subs = conns.map((nc) => nc.subscribe("meet"));
	await flush(conns);
	conns.forEach((nc, n) => nc.publish("meet", `${n}`));
	for (const sub of subs) {
		const got = await take(sub, conns.length);
		assert.deepEqual(got.map((msg) => msg.string()).sort(),
			numbers(conns.length));
	}
	unsubscribe(subs);
}

/* ---- connect options ------------------------------------------------- */

async function credentials() {
	const refused = /authorization violation/i;
	await Scene.with("user", async (scene) => {
		const clients = await scene.several(2, { user, pass });
		await meet(clients);
		assert.ok(clients[0].nc.info.auth_required);
		for (const wrong of [{}, { token }, { user, pass: "s3cr3t" },
			{ user: "Alice", pass }])
			await scene.refused(AuthorizationError, refused, wrong);
		await calm(clients[0]);
	});
	await Scene.with("token", async (scene) => {
		await meet(await scene.several(2, { token }));
		for (const wrong of [{}, { token: "t0ke" },
			{ user: token, pass: "" }])
			await scene.refused(AuthorizationError, refused, wrong);
	});
}

/* What it publishes goes to others, also within a queue group. */
async function noEcho(quiet, other) {
	const subs = [quiet, other].flatMap(({ nc }) => [
		nc.subscribe("echo"), nc.subscribe("echo", { queue: "group" }),
	]);
	await flush([quiet.nc, other.nc]);
	for (let n = 0; n < 20; n++)
		quiet.nc.publish("echo", "quiet");
	await flush([quiet.nc]);
	other.nc.publish("echo", "other");
	await payloads(subs[0], ["other"]);
	for (const sub of subs.slice(2))
		await payloads(sub, new Array(20).fill("quiet"));
	unsubscribe(subs);
}

async function verbose(client) {
	const sub = client.nc.subscribe("verbose");
	for (const text of numbers(10))
		client.nc.publish("verbose", text);
	await payloads(sub, numbers(10));
	await logged(1, '"verbose":true');
	await calm(client);
}

/* A wildcard is no subject to publish to: the server says so and delivers. */
async function pedantic(client) {
	const sub = client.nc.subscribe("pedantic.*");
	client.nc.publish("pedantic.1", "x");
	await payloads(sub, ["x"]);
	await calm(client);
	client.nc.publish("pedantic.*", "y");
	await reported(client, 0, ProtocolError, /^Invalid Publish Subject$/);
	await payloads(sub, ["y"]);
	await flush([client.nc]);
	assert.equal(client.events.length, 1);
}

async function options() {
	await Scene.with("trace", async (scene) => {
		const other = await scene.open({ name: 'the "name" ü' });
		await logged(1, String.raw`"name":"the \"name\" ü"`);
		await verbose(await scene.open({ verbose: true }));
		await noEcho(await scene.open({ noEcho: true }), other);
		if (scene.ipv6 !== "-") {
			const six = await scene.open({}, scene.ipv6);
			assert.equal(six.nc.info.client_ip, "::1");
			await meet([six, other]);
		}
		await pedantic(await scene.open({ pedantic: true }));
		await calm(other);
	});
}

async function withoutHeaders() {
	await Scene.with("noheaders", async (scene) => {
		const [one, two] = await scene.several(2);
		assert.equal(one.nc.info.headers, false);
		const sub = one.nc.subscribe("plain");
		await flush([one.nc]);
		two.nc.publish("plain", "x");
		await payloads(sub, ["x"]);
		/* Nobody can be told that there is no responder. */
		await assert.rejects(one.nc.request("nobody", "",
			{ timeout: 100 }), TimeoutError);
		/* This library sends them all the same, and is cut. */
		two.nc.publish("plain", "y", { headers: headers() });
		await cameBack(two);
		two.nc.publish("plain", "z");
		await payloads(sub, ["z"]);
		await calm(one);
	});
}

/* ---- server errors --------------------------------------------------- */

/* This library keeps the connection, and ends the subscription that the error
 * is about. */
async function violations() {
	await Scene.with("limits", async (scene) => {
		const client = await scene.open();
		const { nc } = client;
		nc.publish("_GR_.x");
		let error = await reported(client, 0, PermissionViolationError,
			/^Permissions Violation for Publish to "_GR_\.x"$/);
		assert.equal(error.operation, "publish");
		assert.equal(error.subject, "_GR_.x");
		for (const [n, reply] of ["_R_.x", "$JS.ACK.x"].entries()) {
			nc.publish("a", "", { reply });
			await reported(client, 1 + n, Error, /Reply of "/);
		}
		const sub = nc.subscribe("foo", { queue: "_sys_" });
		error = await reported(client, 3, PermissionViolationError,
			/Subscription to "foo" using queue "_sys_"$/);
		assert.equal(error.queue, "_sys_");
		await assert.rejects(soon(take(sub, 1), "end"),
			PermissionViolationError);
		await assert.rejects(nc.request("_GR_.y", "", { timeout }),
			/Permissions Violation for Publish to "_GR_\.y"/);
		await flush([nc]);
		assert.equal(client.events.length, 5);
	});
}

async function tooMany() {
	await Scene.with("limits", async (scene) => {
		const clients = await scene.several(3);
		const { nc } = clients[0];
		for (let n = 0; n < 30; n++)
			await scene.refused(ProtocolError,
				/^maximum connections exceeded$/);
		const subs = numbers(5).map((n) => nc.subscribe(`limit.${n}`));
		await calm(clients[0]);
		const excess = nc.subscribe("limit.5");
		await reported(clients[0], 0, ProtocolError,
			/^maximum subscriptions exceeded$/);
		nc.publish("limit.5");
		subs.forEach((_, n) => nc.publish(`limit.${n}`, `${n}`));
		for (const [n, sub] of subs.entries())
			await payloads(sub, [`${n}`]);
		assert.equal(excess.getPending(), 0);
		assert.equal(excess.getReceived(), 0);
		assert.equal(clients[0].events.length, 1);
		await clients[1].nc.close();
		await soon((async () => {
			for (;;) {
				try {
					return await scene.open({
						reconnect: false });
				} catch (_) {
					await turn();
				}
			}
		})(), "free place");
	});
}

/* A line that the server does not like; whether it closes then. */
async function said(scene, line, text, closes) {
	const client = await scene.open({}, scene.proxy);
	const sub = client.nc.subscribe("said");
	await calm(client);
	await ask(`say ${line}`);
	await reported(client, 0, ProtocolError, text);
	if (closes)
		await cameBack(client);
	client.nc.publish("said", "x");
	await payloads(sub, ["x"]);
	assert.equal(client.count("disconnect"), closes ? 1 : 0);
	await client.nc.close();
}

async function protocolErrors() {
	await Scene.with("trace", async (scene) => {
		await said(scene, "SUB foo..bar 99", /^Invalid Subject$/,
			false);
		await said(scene, `PUB foo ${"x".repeat(5000)}`,
			/^maximum control line exceeded$/, true);
		await said(scene, "PUB foo 99999999",
			/^Maximum Payload Violation$/, true);
		await said(scene, "SUBSCRIBE foo",
			/^Unknown Protocol Operation$/, true);
	});
}

/* The library hears of it, tries again with the old one, hears the same and
 * gives up. */
async function newPassword() {
	await Scene.with("user", async (scene) => {
		const client = await scene.open({ user, pass });
		await ask("reload user2");
		await reported(client, 0, AuthorizationError, /violation/i);
		await until(() => client.end, "end");
		assert.ok(client.end.error instanceof AuthorizationError);
		await calm(await scene.open({ user, pass: "other" }));
	});
}

/* One whose PONGs do not arrive is told, and connects again. */
async function stale() {
	await Scene.with("pings", async (scene) => {
		/* A CONNECT that goes astray is tried again soon. */
		const client = await scene.open({ timeout: 500 }, scene.proxy);
		const sub = client.nc.subscribe("stale");
		await calm(client);
		await ask("mute");
		await reported(client, 0, ProtocolError, /^Stale Connection$/);
		await ask("heal");
		await cameBack(client);
		client.nc.publish("stale", "x");
		await payloads(sub, ["x"]);
	});
}

/* ---- max_payload ----------------------------------------------------- */

function limitIs(client, limit) {
	assert.equal(client.nc.info.max_payload, limit);
	assert.throws(() => client.nc.publish("max", "x".repeat(limit + 1)),
		InvalidArgumentError);
	client.nc.publish("max", "x".repeat(limit));
}

/* A message of that size, header and all. */
function headed(client, size) {
	const header = headers();
	header.set("A", "b");
	const data = "x".repeat(size - "NATS/1.0\r\nA: b\r\n\r\n".length);
	client.nc.publish("max", data, { headers: header });
}

/* INFO tells the limit, once; what is in force is the server's. */
async function maxPayload() {
	await Scene.with("small", async (scene) => {
		const first = await scene.open();
		const sub = first.nc.subscribe("max");
		await flush([first.nc]);
		limitIs(first, 1000);
		assert.throws(() => headed(first, 1001), InvalidArgumentError);
		headed(first, 1000);
		await sizes(sub, [1000, 982]);
		await calm(first);
		await ask("reload larger");
		const second = await scene.open();
		limitIs(first, 1000);
		await sizes(sub, [1000]);
		limitIs(second, 5000);
		await sizes(sub, [5000]);
		await ask("reload smaller");
		first.nc.publish("max", "x".repeat(500));
		await sizes(sub, [500]);
		await calm(second);
		second.nc.publish("max", "x".repeat(501));
		await reported(second, 0, ProtocolError,
			/^Maximum Payload Violation$/);
		await cameBack(second);
		limitIs(second, 500);
		await sizes(sub, [500]);
		first.nc.reconnect();
		await cameBack(first);
		limitIs(first, 500);
		await sizes(sub, [500]);
	});
}

/* ---- slow consumers -------------------------------------------------- */

/* This library tells of a subscription that is not read, and keeps all. */
async function pendingLimit() {
	await Scene.with(null, async (scene) => {
		const [client, other] = await scene.several(2);
		const sub = client.nc.subscribe("pending", { slow: 10 });
		await flush([client.nc]);
		for (const text of numbers(100))
			other.nc.publish("pending", text);
		await until(() => client.count("slowConsumer") > 0,
			"slow consumer");
		const [event] = client.events;
		assert.ok(event.sub === sub && event.pending > 10);
		await payloads(sub, numbers(100));
		assert.equal(client.count("disconnect"), 0);
	});
}

/* The server cuts one that does not read; it comes back. */
async function slowReader() {
	await Scene.with("slow", async (scene) => {
		const slow = await scene.open({}, scene.proxy);
		const others = await scene.several(2);
		const bulk = slow.nc.subscribe("bulk");
		const quick = others[1].nc.subscribe("bulk");
		await flush([slow.nc, others[1].nc]);
		await ask("stall");
		for (let n = 0; n < 300; n++) {
			/* This one must keep pace, in the same thread. */
			others[0].nc.publish("bulk", new Uint8Array(1 << 16));
			await sizes(quick, [1 << 16]);
		}
		await logged(1, "Slow Consumer Detected");
		await ask("heal");
		await cameBack(slow);
		await flush([slow.nc]);
		others[0].nc.publish("bulk", "again");
		for (let last; last !== 5;) {
			const [msg] = await take(bulk, 1);
			last = msg.data.length;
			assert.ok(last === 5 || last === 1 << 16);
		}
		await calm(others[0]);
		await calm(others[1]);
	});
}

/* ---- pings ----------------------------------------------------------- */

/* Its clients notice by their own PINGs and go to another worker, or to the
 * successor. */
async function deafServer() {
	await Scene.with("hang", async (scene) => {
		const clients = await scene.several(connections,
			{ pingInterval: 200, maxPingOut: 2 });
		const having = (type) => clients.filter((client) =>
			client.count(type) > 0).length;
		await meet(clients);
		const cut = Number(await ask("hang"));
		await until(() => having("staleConnection") === cut,
			`${cut} that notice`);
		await until(() => having("reconnect") === cut,
			`${cut} reconnects`);
		assert.equal(having("disconnect"), cut);
		await meet(clients);
	});
}

async function serverPings() {
	await Scene.with("pings", async (scene) => {
		const clients = await scene.several(3);
		await logged(9, "->> [PING]");
		await logged(9, "<<- [PONG]");
		for (const client of clients)
			await calm(client);
	});
}

/* ---- reconnects ------------------------------------------------------ */

/*
 * Subscriptions come back.  What is published in between this library throws
 * away with each attempt to connect: only the end of it may arrive.
 */
async function reconnectBuffered() {
	await Scene.with("trace", async (scene) => {
		const cut = await scene.open({}, scene.proxy);
		const other = await scene.open();
		const own = cut.nc.subscribe("buffered");
		const far = other.nc.subscribe("buffered");
		const member = cut.nc.subscribe("grouped", { queue: "group" });
		const ten = cut.nc.subscribe("ten", { max: 10 });
		await flush([cut.nc, other.nc]);
		for (let n = 0; n < 4; n++)
			other.nc.publish("ten", `${n}`);
		await payloads(ten, numbers(4));
		await ask("cut");
		await until(() => cut.count("disconnect") > 0, "disconnect");
		for (const text of numbers(1000))
			cut.nc.publish("buffered", text);
		await ask("heal");
		await until(() => cut.count("reconnect") > 0, "reconnect");
		cut.nc.publish("buffered", "last");
		const got = [];
		while (got.at(-1) !== "last")
			got.push((await take(far, 1))[0].string());
		assert.deepEqual(got, [...numbers(1000), "last"]
			.slice(-got.length));
		await payloads(own, got);
		other.nc.publish("grouped", "x");
		await payloads(member, ["x"]);
		for (let n = 4; n < 24; n++)
			other.nc.publish("ten", `${n}`);
		await payloads(ten, numbers(10).slice(4));
		await flush([other.nc, cut.nc]);
		assert.equal(ten.getReceived(), 10);
		await nobody(other.nc, "ten");
	});
}

/* ---- drains ---------------------------------------------------------- */

/*
 * One member of a group and a single subscriber leave while another connection
 * publishes as fast as it can: the group gets all messages, once.
 */
async function drainMembers(publisher, stays, leaves, alone) {
	const group = [];
	const plain = [];
	const into = (list) => ({
		callback: (_, msg) => list.push(Number(msg.string())),
	});
	const sub = stays.nc.subscribe("load",
		{ queue: "group", ...into(group) });
	leaves.nc.subscribe("load", { queue: "group", ...into(group) });
	alone.nc.subscribe("load", into(plain));
	await flush([stays.nc, leaves.nc, alone.nc]);
	let total = 0;
	let last = Infinity;
	let drained;
	while (total < last) {
		publisher.nc.publish("load", `${total++}`);
		if (total % 500 === 0)
			await turn();
		if (!drained && total >= 5000 && group.length > 0) {
			drained = Promise.all([leaves.nc.drain(),
				alone.nc.drain()]);
		}
		if (last === Infinity && leaves.end && alone.end)
			last = total + 5000;
	}
	await soon(drained, "end of the drains");
	await flush([publisher.nc, stays.nc]);
	await until(() => group.length >= total,
		`end: ${group.length} of ${total}`);
	await flush([stays.nc]);
	sub.unsubscribe();
	assert.deepEqual(group.sort((a, b) => a - b),
		Array.from({ length: total }, (_, n) => n));
	assert.ok(plain.every((number, n) => number === n), "a gap");
	assert.ok(plain.length > 0 && plain.length < total);
}

/* What it has published goes out before it closes. */
async function drainPublisher(other, leaves) {
	const sub = other.nc.subscribe("drained");
	await flush([other.nc]);
	for (const text of numbers(5000))
		leaves.nc.publish("drained", text);
	await soon(leaves.nc.drain(), "end of the drain");
	assert.ok(leaves.nc.isClosed());
	await payloads(sub, numbers(5000));
	sub.unsubscribe();
}

async function drainUnderLoad() {
	await Scene.with("plain", async (scene) => {
		const [first, second] = await scene.several(2);
		for (let n = 0; n < 3; n++) {
			await drainMembers(first, second,
				...await scene.several(2));
			await drainPublisher(second, await scene.open());
		}
		await calm(first);
		await calm(second);
	});
}

/* ---- subscriptions --------------------------------------------------- */

/* As many as one connection may have, all of them served; when all are gone,
 * there is room for others. */
async function manySubscriptions() {
	await Scene.with("subs", async (scene) => {
		const [client, other] = await scene.several(2);
		for (const count of [10000, 100]) {
			const subs = numbers(count).map((n) =>
				client.nc.subscribe(`many.${n}`));
			await calm(client);
			for (const n of numbers(count))
				other.nc.publish(`many.${n}`, n);
			for (const [n, sub] of subs.entries())
				await payloads(sub, [`${n}`]);
			unsubscribe(subs);
			await calm(client);
			for (let n = 0; n < count; n += 97)
				await nobody(other.nc, `many.${n}`);
		}
		const subs = numbers(10001).map((n) =>
			client.nc.subscribe(`many.${n}`));
		await reported(client, 0, ProtocolError,
			/^maximum subscriptions exceeded$/);
		unsubscribe(subs);
		await calm(other);
	});
}

/* ---- requests -------------------------------------------------------- */

async function replies(nc, subject, options) {
	const got = [];
	for await (const msg of await nc.requestMany(subject, "", options))
		got.push(msg.string());
	return got;
}

async function askMany(nc) {
	const maxWait = timeout;
	for (const noMux of [false, true]) {
		const some = await replies(nc, "many",
			{ strategy: "count", maxMessages: 5, maxWait, noMux });
		/* Without mux, until its subscription is drained. */
		assert.ok(some.length === 5 || (noMux && some.length === 6));
		assert.deepEqual((await replies(nc, "many",
			{ strategy: "timer", maxWait: 100, noMux })).sort(),
		numbers(connections));
		assert.deepEqual(await replies(nc, "stream",
			{ strategy: "sentinel", maxWait, noMux }),
		[...numbers(50), ""]);
		await assert.rejects(replies(nc, "nobody.there",
			{ strategy: "sentinel", maxWait, noMux }),
		/no responders/);
	}
	assert.deepEqual((await replies(nc, "many",
		{ strategy: "stall", maxWait, stall: 100 })).sort(),
	numbers(connections));
}

async function requestMany() {
	await Scene.with(null, async (scene) => {
		const clients = await scene.several(connections);
		const conns = clients.map(({ nc }) => nc);
		conns.forEach((nc, n) => nc.subscribe("many", {
			callback: (_, msg) => msg.respond(`${n}`),
		}));
		conns[1].subscribe("stream", {
			callback: (_, msg) => {
				numbers(50).forEach((n) => msg.respond(n));
				msg.respond();
			},
		});
		await flush(conns);
		await Promise.all(conns.map(askMany));
	});
}

/* ---- services -------------------------------------------------------- */

const instances = 3;
const doubled = 200;

async function addService(nc, place) {
	const service = await new Svcm(nc).add({
		name: "sums", version: "1.2.3", description: "adds up",
		metadata: { place },
	});
	const group = service.addGroup("sums");
	group.addEndpoint("double", (_, msg) =>
		msg.respond(msg.string().repeat(2)));
	group.addEndpoint("fail", (_, msg) =>
		msg.respondError(400, "cannot", "why"));
	return service;
}

/* Each connection asks it; one in ten requests is for an error. */
async function useService(conns) {
	for (const n of numbers(doubled)) {
		const nc = conns[n % connections];
		let msg = await nc.request("sums.double", n, { timeout });
		assert.equal(msg.string(), n + n);
		if (n % 10 > 0)
			continue;
		msg = await nc.request("sums.fail", "", { timeout });
		assert.equal(msg.headers.get("Nats-Service-Error"), "cannot");
		assert.equal(msg.headers.get("Nats-Service-Error-Code"), "400");
		assert.equal(msg.string(), "why");
	}
}

async function discovery(nc) {
	const all = async (promise) => {
		const got = [];
		for await (const one of await promise)
			got.push(one);
		return got;
	};
	const ask = (maxMessages) => new Svcm(nc).client(
		{ strategy: "count", maxMessages, maxWait: timeout });
	const pings = await all(ask(instances).ping());
	const places = new Set();
	for (const { id } of pings) {
		const [info] = await all(ask(1).info("sums", id));
		assert.equal(info.description, "adds up");
		assert.deepEqual(info.endpoints.map((e) => e.subject),
			["sums.double", "sums.fail"]);
		places.add(info.metadata.place);
	}
	assert.equal(places.size, instances);
	const stats = await all(ask(instances).stats("sums"));
	const asked = [0, 1].map((n) => stats.map((one) =>
		one.endpoints[n].num_requests));
	const sum = (list) => list.reduce((a, b) => a + b);
	assert.ok(asked[0].every((count) => count > 0), `${asked[0]}`);
	assert.deepEqual(asked.map(sum), [doubled, doubled / 10]);
}

async function services() {
	await Scene.with(null, async (scene) => {
		const clients = await scene.several(connections);
		const conns = clients.map(({ nc }) => nc);
		const running = [];
		for (let n = 0; n < instances; n++)
			running.push(await addService(conns[n], `${n}`));
		await flush(conns);
		await useService(conns);
		await Promise.all(conns.map(discovery));
		await Promise.all(running.map((service) => service.stop()));
		await flush(conns);
		for (const subject of ["$SRV.PING", "$SRV.INFO.sums",
			"sums.double"])
			await nobody(conns.at(-1), subject);
	});
}

/* ---- INFO ------------------------------------------------------------ */

/* natsd sends INFO once, whatever changes later; what it says is the same in
 * all workers but for the client's number and the worker's. */
async function asyncInfo() {
	await Scene.with("trace", async (scene) => {
		const clients = await scene.several(4);
		await ask("reload larger");
		await meet(clients);
		const infos = clients.map(({ nc }) => ({ ...nc.info }));
		for (const [n, info] of infos.entries()) {
			await calm(clients[n]);
			assert.equal(await ask(
				`logged 1 cid:${info.client_id} - ->> [INFO `),
			"1");
			assert.equal(info.max_payload, 1 << 20);
			assert.equal(info.client_ip, "127.0.0.1");
			assert.ok(info.headers && info.proto === 1);
			assert.equal(info.connect_urls, undefined);
		}
		const ids = new Set(infos.map((info) => info.client_id));
		assert.equal(ids.size, clients.length);
		for (const info of infos) {
			delete info.client_id;
			delete info.worker;
			assert.deepEqual(info, infos[0]);
		}
	});
}

function inTurn(...steps) {
	return async () => {
		for (const step of steps)
			await step();
	};
}

export const depth = {
	"connect-options": inTurn(credentials, options, withoutHeaders),
	"server-errors": inTurn(violations, tooMany, protocolErrors,
		newPassword, stale),
	"max-payload": maxPayload,
	"slow-consumer": inTurn(pendingLimit, slowReader),
	"ping-timeout": inTurn(deafServer, serverPings),
	"reconnect-buffered": reconnectBuffered,
	"drain-under-load": drainUnderLoad,
	"many-subscriptions": manySubscriptions,
	"request-many": requestMany,
	"services": services,
	"async-info": asyncInfo,
};
