// SPDX-License-Identifier: BSD-2-Clause

// All behaviours with @nats-io/transport-node: several connections, each
// publishing to all.
import assert from "node:assert/strict";
import { headers } from "@nats-io/nats-core";
import {
	ask, Client, connections, flush, hangUp, nobody, soon, take, timeout,
	unsubscribe, until,
} from "./common.mjs";
import { depth } from "./depth.mjs";

const clients = [];
const conns = [];

async function subscribeAll(subject) {
	const subs = conns.map((nc) => nc.subscribe(subject));
	await flush(conns);
	return subs;
}

/*
 * Each connection publishes; each subscription gets everything, what is from
 * one publisher in order.
 */
async function exchange(subject, subs, count) {
	conns.forEach((nc, from) => {
		for (let n = 0; n < count; n++)
			nc.publish(subject, `${from} ${n}`);
	});
	for (const sub of subs) {
		const next = new Array(connections).fill(0);
		for (const msg of await take(sub, connections * count)) {
			const [from, n] = msg.string().split(" ").map(Number);
			assert.equal(n, next[from]++, `order of ${from}`);
		}
	}
}

async function publishSubscribe() {
	const subs = await subscribeAll("all");
	await exchange("all", subs, 100);
	unsubscribe(subs);
}

async function wildcards() {
	const want = {
		"wild.*.c": ["wild.a.c", "wild.b.c", "wild.end.c"],
		"wild.>": ["wild.a", "wild.a.c", "wild.b.c", "wild.a.b.c",
			"wild.end.c"],
	};
	for (const [pattern, subjects] of Object.entries(want)) {
		const subs = await subscribeAll(pattern);
		for (const subject of ["wild", "wild.a", "wild.a.c",
			"wild.b.c", "wild.a.b.c", "other.a.c", "wild.end.c"])
			conns[0].publish(subject);
		for (const sub of subs) {
			const got = await take(sub, subjects.length);
			assert.deepEqual(got.map((m) => m.subject), subjects);
		}
		unsubscribe(subs);
	}
}

async function queueGroups() {
	const count = 50;
	const jobs = [];
	const busy = new Set();
	let done;
	const all = new Promise((resolve) => done = resolve);
	const subs = conns.map((nc, number) => nc.subscribe("jobs", {
		queue: "group",
		callback: (_, msg) => {
			busy.add(number);
			jobs.push(msg.string());
			if (jobs.length === connections * count)
				done();
		},
	}));
	await flush(conns);
	conns.forEach((nc, from) => {
		for (let n = 0; n < count; n++)
			nc.publish("jobs", `${from} ${n}`);
	});
	await soon(all, "end of the messages");
	await flush(conns);
	await flush(conns);
	assert.equal(jobs.length, connections * count);
	assert.equal(new Set(jobs).size, connections * count);
	assert.equal(busy.size, connections, "members with messages");
	unsubscribe(subs);
}

async function requestReply() {
	const subs = conns.map((nc, number) => nc.subscribe(
		`service.${number}`, {
			callback: (_, msg) =>
				msg.respond(msg.string().toUpperCase()),
		}));
	await flush(conns);
	for (const [from, nc] of conns.entries()) {
		for (let to = 0; to < connections; to++) {
			const msg = await nc.request(`service.${to}`,
				`from ${from}`, { timeout });
			assert.equal(msg.string(), `FROM ${from}`);
		}
	}
	unsubscribe(subs);
}

async function withHeaders() {
	const want = headers();
	want.append("Colour", "red");
	want.append("Colour", "dark green");
	want.set("X-Number", "17");
	const subs = await subscribeAll("headed");
	for (const nc of conns)
		nc.publish("headed", "body", { headers: want });
	for (const sub of subs) {
		for (const msg of await take(sub, connections)) {
			assert.deepEqual(msg.headers.values("Colour"),
				["red", "dark green"]);
			assert.equal(msg.headers.get("X-Number"), "17");
			assert.equal(msg.string(), "body");
		}
	}
	unsubscribe(subs);
}

async function noResponders() {
	for (const nc of conns)
		await nobody(nc, "nobody.there");
}

async function largePayload() {
	const data = new Uint8Array(conns[0].info.max_payload);
	assert.equal(data.length, 1 << 20);
	data.forEach((_, i) => data[i] = i * 7 >> 3);
	const subs = await subscribeAll("large");
	for (const nc of conns)
		nc.publish("large", data);
	for (const sub of subs) {
		for (const msg of await take(sub, connections)) {
			assert.ok(Buffer.from(data).equals(msg.data),
				"the payload has changed");
		}
	}
	unsubscribe(subs);
}

async function drain() {
	let got = 0;
	const { nc } = await Client.open();
	const sub = nc.subscribe("drained");
	const reader = (async () => {
		for await (const _ of sub)
			got++;
	})();
	await nc.flush();
	for (const other of conns) {
		for (let n = 0; n < 200; n++)
			other.publish("drained");
	}
	await flush(conns);
	await soon(nc.drain(), "end of the drain");
	await soon(reader, "end of the subscription");
	assert.ok(nc.isClosed());
	assert.equal(got, connections * 200);
	await Promise.all(conns.map((nc) => nobody(nc, "drained")));
}

/* Has connections cut and sees that their subscriptions return. */
async function comeBack(order) {
	const subs = await subscribeAll("back");
	const reconnects = () => clients.filter((client, number) =>
		client.count("reconnect") > before[number]).length;
	const before = clients.map((client) => client.count("reconnect"));
	const cut = Number(await ask(order));
	await until(() => reconnects() >= cut, `${cut} reconnects`);
	await flush(conns);
	await exchange("back", subs, 10);
	unsubscribe(subs);
}

const behaviours = {
	"publish-subscribe": publishSubscribe,
	"wildcards": wildcards,
	"queue-groups": queueGroups,
	"request-reply": requestReply,
	"headers": withHeaders,
	"no-responders": noResponders,
	"large-payload": largePayload,
	"drain": drain,
	"worker-killed": () => comeBack("kill"),
	"server-restarted": () => comeBack("restart"),
};

for (let n = 0; n < connections; n++) {
	clients.push(await Client.open());
	conns.push(clients[n].nc);
}
for (const [name, run] of Object.entries({ ...behaviours, ...depth })) {
	try {
		await run();
		console.log(`ok ${name}`);
	} catch (error) {
		console.log(error);
		console.log(`not ok ${name} - ${error}`);
		process.exitCode = 1;
	}
}
await Promise.all(conns.map((nc) => nc.close()));
hangUp();
