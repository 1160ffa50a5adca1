// SPDX-License-Identifier: BSD-2-Clause

import io.nats.client.Connection;
import io.nats.client.ConnectionListener.Events;
import io.nats.client.Message;
import io.nats.client.Subscription;
import io.nats.client.impl.Headers;
import io.nats.client.impl.NatsMessage;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** All behaviours with jnats: several connections, each publishing to all. */
public final class Behaviours extends Basics {
	private interface Behaviour {
		void run() throws Exception;
	}

	private final String url;
	private final List<Client> clients = new ArrayList<>();
	private final List<Connection> conns = new ArrayList<>();
	private final List<Subscription> subs = new ArrayList<>();
	private boolean good = true;

	private Behaviours(String url) {
		this.url = url;
	}

	/** The barrier: what went before it on any connection is in force. */
	private void flush() throws Exception {
		for (Connection nc : conns)
			nc.flush(TIMEOUT);
	}

	private void subscribeAll(String subject) throws Exception {
		for (Connection nc : conns)
			subs.add(nc.subscribe(subject));
		flush();
	}

	private void unsubscribe() {
		subs.forEach(Subscription::unsubscribe);
		subs.clear();
	}

	private void publishNumbered(String subject, int count) {
		for (int from = 0; from < CONNECTIONS; from++)
			for (int n = 0; n < count; n++)
				conns.get(from).publish(subject,
				    (from + " " + n).getBytes());
	}

	/**
	 * Each connection publishes; each subscription gets everything, what
	 * is from one publisher in order.
	 */
	private void exchange(String subject, int count) throws Exception {
		publishNumbered(subject, count);
		for (Subscription sub : subs) {
			int[] following = new int[CONNECTIONS];
			for (int i = 0; i < CONNECTIONS * count; i++) {
				String[] words = text(next(sub)).split(" ");
				int from = Integer.parseInt(words[0]);
				int n = Integer.parseInt(words[1]);
				check(n == following[from]++, "order: " + n +
				    " of " + from);
			}
		}
	}

	private void publishSubscribe() throws Exception {
		subscribeAll("all");
		exchange("all", 100);
	}

	private void match(String pattern, String... want) throws Exception {
		subscribeAll(pattern);
		for (String subject : List.of("wild", "wild.a", "wild.a.c",
		    "wild.b.c", "wild.a.b.c", "other.a.c", "wild.end.c"))
			conns.get(0).publish(subject, EMPTY);
		for (Subscription sub : subs) {
			for (String subject : want) {
				String got = next(sub).getSubject();
				check(got.equals(subject), pattern + ": " +
				    got + " instead of " + subject);
			}
		}
		unsubscribe();
	}

	private void wildcards() throws Exception {
		match("wild.*.c", "wild.a.c", "wild.b.c", "wild.end.c");
		match("wild.>", "wild.a", "wild.a.c", "wild.b.c",
		    "wild.a.b.c", "wild.end.c");
	}

	private void queueGroups() throws Exception {
		int count = 50;
		BlockingQueue<String> jobs = new LinkedBlockingQueue<>();
		Set<String> seen = new HashSet<>();
		AtomicInteger[] shares = new AtomicInteger[CONNECTIONS];
		for (int i = 0; i < CONNECTIONS; i++) {
			AtomicInteger share = shares[i] = new AtomicInteger();
			conns.get(i).createDispatcher(msg -> {
				share.incrementAndGet();
				jobs.add(text(msg));
			}).subscribe("jobs", "group");
		}
		flush();
		publishNumbered("jobs", count);
		for (int i = 0; i < CONNECTIONS * count; i++) {
			String job = jobs.poll(TIMEOUT.toMillis(),
			    TimeUnit.MILLISECONDS);
			check(job != null, "only " + i + " messages");
			check(seen.add(job), job + " came twice");
		}
		flush();
		flush();
		check(jobs.isEmpty(), "a message came twice");
		for (AtomicInteger share : shares)
			check(share.get() > 0, Arrays.toString(shares));
	}

	private void requestReply() throws Exception {
		for (int to = 0; to < CONNECTIONS; to++) {
			Connection nc = conns.get(to);
			nc.createDispatcher(msg -> nc.publish(msg.getReplyTo(),
			    text(msg).toUpperCase().getBytes()))
			    .subscribe("service." + to);
		}
		flush();
		for (int from = 0; from < CONNECTIONS; from++) {
			for (int to = 0; to < CONNECTIONS; to++) {
				Message msg = conns.get(from).request(
				    "service." + to,
				    ("from " + from).getBytes(), TIMEOUT);
				check(msg != null, "no reply");
				check(text(msg).equals("FROM " + from),
				    "reply " + text(msg));
			}
		}
	}

	private void headers() throws Exception {
		Headers want = new Headers();
		want.add("Colour", "red", "dark green");
		want.add("X-Number", "17");
		subscribeAll("headed");
		for (Connection nc : conns)
			nc.publish(NatsMessage.builder().subject("headed")
			    .headers(want).data("body").build());
		for (Subscription sub : subs) {
			for (int i = 0; i < CONNECTIONS; i++) {
				Message msg = next(sub);
				check(want.equals(msg.getHeaders()) &&
				    text(msg).equals("body"), "got " +
				    msg.getHeaders() + " " + text(msg));
			}
		}
	}

	private void nobody(String subject) throws Exception {
		for (Client client : clients)
			client.nobody(subject);
	}

	private void noResponders() throws Exception {
		long start = System.nanoTime();
		nobody("nobody.there");
		check(System.nanoTime() - start < TIMEOUT.toNanos() / 2,
		    "requests timed out");
	}

	private void largePayload() throws Exception {
		byte[] data = new byte[(int)conns.get(0).getMaxPayload()];
		check(data.length == 1 << 20, "max_payload " + data.length);
		for (int i = 0; i < data.length; i++)
			data[i] = (byte)(i * 7 >> 3);
		subscribeAll("large");
		for (Connection nc : conns)
			nc.publish("large", data);
		for (Subscription sub : subs)
			for (int i = 0; i < CONNECTIONS; i++)
				check(Arrays.equals(next(sub).getData(), data),
				    "the payload has changed");
	}

	private void drain() throws Exception {
		int count = 200;
		AtomicInteger got = new AtomicInteger();
		Connection nc = new Client(url).nc;
		nc.createDispatcher(msg -> got.incrementAndGet())
		    .subscribe("drained");
		nc.flush(TIMEOUT);
		publishNumbered("drained", count);
		flush();
		check(nc.drain(TIMEOUT).get(TIMEOUT.toMillis(),
		    TimeUnit.MILLISECONDS), "drain failed");
		check(nc.getStatus() == Connection.Status.CLOSED,
		    "not closed");
		check(got.get() == CONNECTIONS * count, got + " messages");
		nobody("drained");
	}

	private int resubscribed() {
		return clients.stream().mapToInt(
		    client -> client.count(Events.RESUBSCRIBED)).sum();
	}

	/** Has connections cut and sees that their subscriptions return. */
	private void comeBack(String order) throws Exception {
		subscribeAll("back");
		int before = resubscribed();
		int cut = Integer.parseInt(ask(order));
		until("reconnects",
		    () -> resubscribed() >= before + cut);
		flush();
		exchange("back", 10);
	}

	private void attempt(String name, Behaviour behaviour) {
		try {
			behaviour.run();
			System.out.println("ok " + name);
		} catch (Exception error) {
			error.printStackTrace();
			System.out.println("not ok " + name + " - " + error);
			good = false;
		}
		unsubscribe();
	}

	private boolean all() throws Exception {
		for (int i = 0; i < CONNECTIONS; i++)
			clients.add(new Client(url));
		clients.forEach(client -> conns.add(client.nc));
		attempt("publish-subscribe", this::publishSubscribe);
		attempt("wildcards", this::wildcards);
		attempt("queue-groups", this::queueGroups);
		attempt("request-reply", this::requestReply);
		attempt("headers", this::headers);
		attempt("no-responders", this::noResponders);
		attempt("large-payload", this::largePayload);
		attempt("drain", this::drain);
		attempt("worker-killed", () -> comeBack("kill"));
		attempt("server-restarted", () -> comeBack("restart"));
		Depth depth = new Depth(url);
		attempt("connect-options", depth::connectOptions);
		attempt("server-errors", depth::serverErrors);
		attempt("max-payload", depth::maxPayload);
		attempt("slow-consumer", depth::slowConsumer);
		attempt("ping-timeout", depth::pingTimeout);
		attempt("reconnect-buffered", depth::reconnectBuffered);
		attempt("drain-under-load", depth::drainUnderLoad);
		attempt("many-subscriptions", depth::manySubscriptions);
		attempt("request-many", depth::requestMany);
		attempt("services", depth::services);
		attempt("async-info", depth::asyncInfo);
		for (Connection nc : conns)
			nc.close();
		return good;
	}

	public static void main(String[] args) throws Exception {
		System.exit(new Behaviours(args[0]).all() ? 0 : 1);
	}
}
