// SPDX-License-Identifier: BSD-2-Clause

// What all behaviours with @nats-io/transport-node need.
import assert from "node:assert/strict";
import readline from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { RequestError } from "@nats-io/nats-core";
import { connect } from "@nats-io/transport-node";

export const connections = 6;
export const timeout = 30000;
const input = readline.createInterface({ input: process.stdin })[
	Symbol.asyncIterator]();

/* A connection and what has happened to it. */
export class Client {
	events = [];
	end = null; /* once closed: why */

	static async open(url, options) {
		const client = new Client();
		client.nc = await connect({
			servers: url ?? process.argv[2],
			maxReconnectAttempts: -1,
			reconnectTimeWait: 50,
			reconnectJitter: 0,
			...options,
		});
		client.nc.closed().then((error) => client.end = { error });
		client.listen();
		return client;
	}

	async listen() {
		for await (const event of this.nc.status())
			this.events.push(event);
	}

	count(type) {
		return this.events.filter((e) => e.type === type).length;
	}

	errors() {
		return this.events.filter((e) => e.type === "error")
			.map((e) => e.error);
	}
}

/* Fails unless the promise is settled in time. */
export function soon(promise, what) {
	let timer;
	const late = new Promise((_, reject) => {
		timer = setTimeout(() => reject(new Error(`no ${what}`)),
			timeout);
	});
	return Promise.race([promise, late]).finally(() =>
		clearTimeout(timer));
}

export async function until(condition, what) {
	const end = Date.now() + timeout;
	while (!condition()) {
		assert.ok(Date.now() < end, `no ${what}`);
		await sleep(5);
	}
}

/* Has the harness do something; its answer. */
export async function ask(order) {
	console.log(order);
	return (await input.next()).value;
}

export function hangUp() {
	input.return();
	process.stdin.destroy();
}

/* The barrier: what went before it on any of them is in force. */
export function flush(conns) {
	return soon(Promise.all(conns.map((nc) => nc.flush())), "flush");
}

/* The next messages of a subscription; it may be iterated only once. */
const iterators = new WeakMap();
export async function take(sub, count) {
	const found = [];
	const messages = iterators.get(sub) ?? sub[Symbol.asyncIterator]();
	iterators.set(sub, messages);
	while (found.length < count) {
		const { value } = await soon(messages.next(),
			`message ${found.length} of ${count}`);
		found.push(value);
	}
	return found;
}

export function unsubscribe(subs) {
	subs.forEach((sub) => sub.unsubscribe());
}

export async function nobody(nc, subject) {
	await assert.rejects(nc.request(subject, "", { timeout }), (error) =>
		error instanceof RequestError && error.isNoResponders());
}
