// SPDX-License-Identifier: BSD-2-Clause

import io.nats.client.Message;
import io.nats.client.Subscription;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.time.Duration;

/** What all behaviours need. */
class Basics {
	static final int CONNECTIONS = 6;
	static final Duration TIMEOUT = Duration.ofSeconds(30);
	static final byte[] EMPTY = new byte[0];
	private static final BufferedReader input =
	    new BufferedReader(new InputStreamReader(System.in));

	interface Condition {
		boolean holds() throws Exception;
	}

	static void check(boolean condition, String text) {
		if (!condition)
			throw new IllegalStateException(text);
	}

	static void until(String what, Condition condition) throws Exception {
		long end = System.nanoTime() + TIMEOUT.toNanos();
		while (!condition.holds()) {
			check(System.nanoTime() < end, "no " + what);
			Thread.sleep(2);
		}
	}

	/** Has the harness do something; its answer. */
	static String ask(String order) throws IOException {
		System.out.println(order);
		return input.readLine();
	}

	static Message next(Subscription sub) throws Exception {
		Message msg = sub.nextMessage(TIMEOUT);
		check(msg != null, "no message");
		return msg;
	}

	static String text(Message msg) {
		return new String(msg.getData());
	}
}
