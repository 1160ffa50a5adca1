// SPDX-License-Identifier: BSD-2-Clause

import io.nats.client.AuthenticationException;
import io.nats.client.Connection;
import io.nats.client.ConnectionListener.Events;
import io.nats.client.Dispatcher;
import io.nats.client.Message;
import io.nats.client.MessageHandler;
import io.nats.client.Options;
import io.nats.client.Subscription;
import io.nats.client.api.ServerInfo;
import io.nats.client.impl.Headers;
import io.nats.service.Discovery;
import io.nats.service.EndpointStats;
import io.nats.service.Group;
import io.nats.service.InfoResponse;
import io.nats.service.PingResponse;
import io.nats.service.Service;
import io.nats.service.ServiceEndpoint;
import io.nats.service.ServiceMessage;
import io.nats.service.ServiceMessageHandler;
import io.nats.service.StatsResponse;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * The behaviours in depth with jnats: most have a server of their own, with a
 * proxy in front of it.
 */
final class Depth extends Basics {
	private static final String USER = "alice";
	private static final String PASSWORD = "s3cr3t pass";
	private static final String TOKEN = "t0ken";
	private static final Duration SOON = Duration.ofMillis(100);

	private final String mainUrl;

	Depth(String mainUrl) {
		this.mainUrl = mainUrl;
	}

	/** A server with a configuration, and its connections until the end. */
	private static final class Scene implements AutoCloseable {
		final String url, ipv6, proxy;
		final List<Client> clients =
		    Collections.synchronizedList(new ArrayList<>());

		Scene(String conf) throws Exception {
			String[] words = ask("server " + conf).split(" ");
			url = words[0];
			ipv6 = words[1];
			proxy = words[3];
		}

		Client open(String url, Options.Builder options)
		    throws Exception {
			Client client = new Client(url, options);
			clients.add(client);
			return client;
		}

		Client open(Options.Builder options) throws Exception {
			return open(url, options);
		}

		Client open() throws Exception {
			return open(url, Client.options());
		}

		Client proxied() throws Exception {
			return open(proxy, Client.options());
		}

		List<Client> several(int count) throws Exception {
			List<Client> found = new ArrayList<>();
			while (found.size() < count)
				found.add(open());
			return found;
		}

		private Exception why(Options.Builder options) {
			try {
				open(options.connectionTimeout(
				    Duration.ofSeconds(1)));
				return null;
			} catch (Exception error) {
				return error;
			}
		}

		/** Nobody is let in with these; what the reasons are. */
		List<Exception> refused(Options.Builder... all)
		    throws Exception {
			// the library waits for its deadline each time
			List<CompletableFuture<Exception>> tries =
			    Arrays.stream(all).map(options ->
			    CompletableFuture.supplyAsync(() -> why(options)))
			    .collect(Collectors.toList());
			List<Exception> found = new ArrayList<>();
			for (CompletableFuture<Exception> one : tries)
				found.add(one.get());
			check(!found.contains(null), "let in");
			return found;
		}

		@Override
		public void close() {
			clients.forEach(Client::close);
		}
	}

	private static void logged(int count, String text) throws Exception {
		int found = Integer.parseInt(
		    ask("logged " + count + " " + text));
		check(found >= count, text + " is " + found +
		    " times in the log");
	}

	/** It works, and nothing has happened to it. */
	private static void calm(Client client) throws Exception {
		client.flush();
		check(client.errors.isEmpty(), "errors " + client.errors);
		check(client.count(Events.DISCONNECTED) == 0, "it was cut");
	}

	private static void reported(Client client, String text)
	    throws Exception {
		until(text, () -> client.errors.contains(text));
	}

	private static void cameBack(Client client) throws Exception {
		until("disconnect",
		    () -> client.count(Events.DISCONNECTED) > 0);
		until("reconnect", () -> client.count(Events.RESUBSCRIBED) > 0);
	}

	/** These come next. */
	private static void payloads(Subscription sub, List<String> want)
	    throws Exception {
		for (String text : want) {
			String got = text(next(sub));
			check(got.equals(text), got + " instead of " + text);
		}
	}

	private static void sizes(Subscription sub, int... want)
	    throws Exception {
		for (int size : want) {
			int got = next(sub).getData().length;
			check(got == size, got + " bytes instead of " + size);
		}
	}

	private static List<String> numbers(int from, int to) {
		return IntStream.range(from, to).mapToObj(Integer::toString)
		    .collect(Collectors.toList());
	}

	private static void publish(Client client, String subject,
	    List<String> texts) {
		for (String text : texts)
			client.nc.publish(subject, text.getBytes());
	}

	/** Each publishes once and gets all of it. */
	private static void meet(List<Client> clients) throws Exception {
		List<Subscription> subs = new ArrayList<>();
		for (Client client : clients) {
			subs.add(client.nc.subscribe("meet"));
			client.flush();
		}
		List<String> want = numbers(0, clients.size());
		for (int n = 0; n < clients.size(); n++)
			publish(clients.get(n), "meet", want.subList(n, n + 1));
		for (Subscription sub : subs) {
			List<String> got = new ArrayList<>();
			while (got.size() < want.size())
				got.add(text(next(sub)));
			Collections.sort(got);
			check(got.equals(want), "got " + got);
			sub.unsubscribe();
		}
	}

	// ---- connect options

	private static Options.Builder user(String user, String password) {
		return Client.options().userInfo(user.toCharArray(),
		    password.toCharArray());
	}

	private static Options.Builder token(String token) {
		return Client.options().token(token.toCharArray());
	}

	private static void unauthorized(List<Exception> reasons) {
		for (Exception reason : reasons)
			check(reason.getCause() instanceof
			    AuthenticationException, "refused: " + reason);
	}

	private static void credentials() throws Exception {
		try (Scene s = new Scene("user")) {
			Client client = s.open(user(USER, PASSWORD));
			meet(List.of(client, s.open(user(USER, PASSWORD))));
			check(client.nc.getServerInfo().isAuthRequired(),
			    "no auth_required");
			unauthorized(s.refused(Client.options(), token(TOKEN),
			    user(USER, "s3cr3t"), user("Alice", PASSWORD)));
			calm(client);
		}
		try (Scene s = new Scene("token")) {
			meet(List.of(s.open(token(TOKEN)), s.open(
			    s.url.replace("//", "//" + TOKEN + "@"),
			    Client.options())));
			unauthorized(s.refused(Client.options(),
			    token("t0ke"), user(TOKEN, "")));
		}
	}

	/** What it publishes goes to others, also within a queue group. */
	private static void noEcho(Client quiet, Client other)
	    throws Exception {
		List<Subscription> subs = new ArrayList<>();
		for (Client client : List.of(quiet, other)) {
			subs.add(client.nc.subscribe("echo"));
			subs.add(client.nc.subscribe("echo", "group"));
			client.flush();
		}
		List<String> said = Collections.nCopies(20, "quiet");
		publish(quiet, "echo", said);
		quiet.flush();
		publish(other, "echo", List.of("other"));
		payloads(subs.get(0), List.of("other"));
		payloads(subs.get(2), said);
		payloads(subs.get(3), said);
		subs.forEach(Subscription::unsubscribe);
	}

	private static void verbose(Client client) throws Exception {
		Subscription sub = client.nc.subscribe("verbose");
		publish(client, "verbose", numbers(0, 10));
		payloads(sub, numbers(0, 10));
		calm(client);
		// CONNECT, SUB, 10 PUB
		long count = client.nc.getStatistics().getOKs();
		check(count == 12, count + " times +OK");
		logged(1, "\"verbose\":true");
	}

	/**
	 * A wildcard is no subject to publish to: the server says so, and
	 * delivers.
	 */
	private static void pedantic(Client client) throws Exception {
		Subscription sub = client.nc.subscribe("pedantic.*");
		publish(client, "pedantic.1", List.of("x"));
		payloads(sub, List.of("x"));
		calm(client);
		publish(client, "pedantic.*", List.of("y"));
		reported(client, "Invalid Publish Subject");
		payloads(sub, List.of("y"));
		check(client.errors.size() == 1, "errors " + client.errors);
	}

	private static void options() throws Exception {
		try (Scene s = new Scene("trace")) {
			Client other = s.open(Client.options()
			    .connectionName("the name"));
			logged(1, "\"name\":\"the name\"");
			verbose(s.open(Client.options().verbose()));
			noEcho(s.open(Client.options().noEcho()), other);
			if (!s.ipv6.equals("-")) {
				Client six = s.open(s.ipv6, Client.options());
				String ip = six.nc.getServerInfo()
				    .getClientIp();
				check(ip.equals("::1"), "client_ip " + ip);
				meet(List.of(six, other));
			}
			pedantic(s.open(Client.options().pedantic()));
			calm(other);
		}
	}

	/** This library insists on headers, unless told not to. */
	private static void withoutHeaders() throws Exception {
		try (Scene s = new Scene("noheaders")) {
			String why = s.refused(Client.options()).toString();
			check(why.contains("no responders requires headers"),
			    why);
			Client client = s.open(Client.options().noHeaders()
			    .noNoResponders());
			Subscription sub = client.nc.subscribe("plain");
			publish(client, "plain", List.of("x"));
			payloads(sub, List.of("x"));
			try {
				client.nc.publish("plain",
				    new Headers().add("a", "b"), EMPTY);
				check(false, "published with headers");
			} catch (IllegalArgumentException expected) {
				calm(client);
			}
			// nobody can be told that there is no responder
			check(client.nc.request("nobody", EMPTY, SOON) == null,
			    "somebody answers");
		}
	}

	void connectOptions() throws Exception {
		credentials();
		options();
		withoutHeaders();
	}

	// ---- server errors

	/** This library reports them all and keeps the connection. */
	private static void violations() throws Exception {
		String violation = "Permissions Violation for ";
		try (Scene s = new Scene("limits")) {
			Client client = s.open();
			client.nc.publish("_GR_.x", EMPTY);
			reported(client, violation + "Publish to \"_GR_.x\"");
			for (String reply : List.of("_R_.x", "$JS.ACK.x")) {
				client.nc.publish("a", reply, EMPTY);
				reported(client, violation +
				    "Publish with Reply of \"" + reply + "\"");
			}
			client.nc.subscribe("foo", "_sys_");
			reported(client, violation + "Subscription to " +
			    "\"foo\" using queue \"_sys_\"");
			client.flush();
			check(client.errors.size() == 4 &&
			    client.count(Events.DISCONNECTED) == 0,
			    client.errors + ", " + client.events);
		}
	}

	private static void tooMany() throws Exception {
		try (Scene s = new Scene("limits")) {
			List<Client> clients = s.several(3);
			Client client = clients.get(0);
			Options.Builder[] more = new Options.Builder[10];
			Arrays.setAll(more, n -> Client.options());
			// it does not like both lines in one read
			for (Exception why : s.refused(more))
				check(why.toString().matches(
				    ".*(maximum connections exceeded|" +
				    "Read past initial info message).*"),
				    "refused: " + why);
			logged(10, "maximum connections exceeded");
			List<Subscription> subs = new ArrayList<>();
			for (int n = 0; n < 5; n++)
				subs.add(client.nc.subscribe("limit." + n));
			calm(client);
			Subscription excess = client.nc.subscribe("limit.5");
			reported(client, "maximum subscriptions exceeded");
			client.nc.publish("limit.5", EMPTY);
			for (int n = 0; n < 5; n++) {
				publish(client, "limit." + n, List.of("x"));
				payloads(subs.get(n), List.of("x"));
			}
			check(excess.getPendingMessageCount() == 0,
			    "a sixth subscription");
			clients.get(1).close();
			until("free place", () -> s.why(Client.options()) ==
			    null);
		}
	}

	/** A line that the server does not like; whether it closes then. */
	private static void said(Scene s, String line, String text,
	    boolean closes) throws Exception {
		Client client = s.proxied();
		Subscription sub = client.nc.subscribe("said");
		calm(client);
		ask("say " + line);
		reported(client, text);
		if (closes)
			cameBack(client);
		publish(client, "said", List.of("x"));
		payloads(sub, List.of("x"));
		check(client.count(Events.DISCONNECTED) == (closes ? 1 : 0),
		    text + ": " + client.events);
		client.close();
	}

	private static void protocolErrors() throws Exception {
		try (Scene s = new Scene("trace")) {
			said(s, "SUB foo..bar 99", "Invalid Subject", false);
			said(s, "PUB foo " + "x".repeat(5000),
			    "maximum control line exceeded", true);
			said(s, "PUB foo 99999999",
			    "Maximum Payload Violation", true);
			said(s, "SUBSCRIBE foo",
			    "Unknown Protocol Operation", true);
		}
	}

	/**
	 * The library hears of it, tries again with the old one, hears the
	 * same and gives up.
	 */
	private static void newPassword() throws Exception {
		try (Scene s = new Scene("user")) {
			Client client = s.open(user(USER, PASSWORD)
			    .connectionTimeout(Duration.ofSeconds(1)));
			ask("reload user2");
			reported(client, "Authorization Violation");
			until("end", () -> client.count(Events.CLOSED) == 1);
			calm(s.open(user(USER, "other")));
		}
	}

	/** One whose PONGs do not arrive is told, and connects again. */
	private static void stale() throws Exception {
		try (Scene s = new Scene("pings")) {
			// a CONNECT that goes astray is tried again soon
			Client client = s.open(s.proxy, Client.options()
			    .connectionTimeout(Duration.ofMillis(500)));
			Subscription sub = client.nc.subscribe("stale");
			calm(client);
			ask("mute");
			reported(client, "Stale Connection");
			ask("heal");
			cameBack(client);
			publish(client, "stale", List.of("x"));
			payloads(sub, List.of("x"));
		}
	}

	void serverErrors() throws Exception {
		violations();
		tooMany();
		protocolErrors();
		newPassword();
		stale();
	}

	// ---- max_payload

	private static void refusesPayload(Client client, Headers headers,
	    int size) {
		try {
			client.nc.publish("max", headers, new byte[size]);
			check(false, size + " bytes");
		} catch (IllegalArgumentException expected) {
			// before it is sent
		}
	}

	private static void limitIs(Client client, int limit) {
		long found = client.nc.getMaxPayload();
		check(found == limit, "max_payload " + found);
		refusesPayload(client, null, limit + 1);
		client.nc.publish("max", new byte[limit]);
	}

	/** INFO tells the limit, once; what is in force is the server's. */
	void maxPayload() throws Exception {
		int header = "NATS/1.0\r\nA:b\r\n\r\n".length();
		Headers headers = new Headers().add("A", "b");
		try (Scene s = new Scene("small")) {
			Client first = s.open();
			Subscription sub = first.nc.subscribe("max");
			first.flush();
			limitIs(first, 1000);
			refusesPayload(first, headers, 1001 - header);
			first.nc.publish("max", headers,
			    new byte[1000 - header]);
			sizes(sub, 1000, 1000 - header);
			calm(first);
			ask("reload larger");
			Client second = s.open();
			limitIs(first, 1000);
			sizes(sub, 1000);
			limitIs(second, 5000);
			sizes(sub, 5000);
			ask("reload smaller");
			first.nc.publish("max", new byte[500]);
			sizes(sub, 500);
			calm(second);
			second.nc.publish("max", new byte[501]);
			reported(second, "Maximum Payload Violation");
			cameBack(second);
			limitIs(second, 500);
			sizes(sub, 500);
			first.nc.forceReconnect();
			cameBack(first);
			limitIs(first, 500);
			sizes(sub, 500);
		}
	}

	// ---- slow consumers

	/**
	 * What is beyond the limits of a subscription is dropped by the
	 * library, which says so.
	 */
	private void pendingLimits() throws Exception {
		try (Client client = new Client(mainUrl);
		    Client other = new Client(mainUrl)) {
			Subscription few = client.nc.subscribe("pending");
			Subscription small = client.nc.subscribe("pending");
			few.setPendingLimits(10, -1);
			small.setPendingLimits(-1, 100);
			client.flush();
			publish(other, "pending", numbers(100, 200));
			other.flush();
			client.flush();
			until("slow consumers", () -> client.slow.containsAll(
			    List.of(few, small)));
			check(few.getDroppedCount() == 90,
			    few.getDroppedCount() + " dropped");
			check(small.getDroppedCount() > 0 &&
			    small.getPendingByteCount() < 200,
			    small.getPendingByteCount() + " bytes wait");
			payloads(few, numbers(100, 110));
			publish(other, "pending", List.of("last"));
			payloads(few, List.of("last"));
			check(client.count(Events.DISCONNECTED) == 0,
			    "it was cut");
		}
	}

	/** The server cuts one that does not read; it comes back. */
	private static void slowReader() throws Exception {
		int size = 1 << 16;
		try (Scene s = new Scene("slow")) {
			Client slow = s.proxied();
			List<Client> others = s.several(2);
			Client publisher = others.get(0);
			Subscription bulk = slow.nc.subscribe("bulk");
			Subscription quick =
			    others.get(1).nc.subscribe("bulk");
			slow.flush();
			others.get(1).flush();
			ask("stall");
			for (int n = 0; n < 300; n++) {
				publisher.nc.publish("bulk", new byte[size]);
				sizes(quick, size);
			}
			logged(1, "Slow Consumer Detected");
			ask("heal");
			cameBack(slow);
			slow.flush();
			publish(publisher, "bulk", List.of("again"));
			int got;
			while ((got = next(bulk).getData().length) != 5)
				check(got == size, got + " bytes");
			calm(publisher);
			calm(others.get(1));
		}
	}

	void slowConsumer() throws Exception {
		pendingLimits();
		slowReader();
	}

	// ---- pings

	/**
	 * Its clients notice by their own PINGs and go to another worker, or
	 * to the successor.
	 */
	private static void deafServer() throws Exception {
		try (Scene s = new Scene("hang")) {
			List<Client> clients = new ArrayList<>();
			while (clients.size() < CONNECTIONS)
				clients.add(s.open(Client.options()
				    .pingInterval(Duration.ofMillis(200))
				    .maxPingsOut(2)));
			meet(clients);
			int cut = Integer.parseInt(ask("hang"));
			until("reconnects", () -> clients.stream().filter(c ->
			    c.count(Events.RESUBSCRIBED) > 0).count() == cut);
			for (Client client : clients) {
				if (client.count(Events.DISCONNECTED) == 0)
					continue;
				String first = client.exceptions.get(0)
				    .toString();
				check(first.contains("Max outgoing Ping count"),
				    first);
			}
			meet(clients);
		}
	}

	private static void serverPings() throws Exception {
		try (Scene s = new Scene("pings")) {
			List<Client> clients = s.several(3);
			logged(9, "->> [PING]");
			logged(9, "<<- [PONG]");
			for (Client client : clients)
				calm(client);
		}
	}

	void pingTimeout() throws Exception {
		deafServer();
		serverPings();
	}

	// ---- reconnects

	/**
	 * What is published while there is no connection goes out when there
	 * is one again, after the subscriptions.
	 */
	private static void buffered() throws Exception {
		try (Scene s = new Scene("trace")) {
			Client cut = s.proxied();
			Client other = s.open();
			Subscription own = cut.nc.subscribe("buffered");
			Subscription far = other.nc.subscribe("buffered");
			Subscription ten = cut.nc.subscribe("ten");
			ten.unsubscribe(10);
			cut.flush();
			other.flush();
			publish(other, "ten", numbers(0, 4));
			payloads(ten, numbers(0, 4));
			ask("cut");
			until("disconnect",
			    () -> cut.count(Events.DISCONNECTED) > 0);
			publish(cut, "buffered", numbers(0, 1000));
			ask("heal");
			cameBack(cut);
			payloads(own, numbers(0, 1000));
			payloads(far, numbers(0, 1000));
			publish(other, "ten", numbers(4, 24));
			payloads(ten, numbers(4, 10));
			other.flush();
			cut.flush();
			check(!ten.isActive() &&
			    ten.getPendingMessageCount() == 0, "an eleventh");
		}
	}

	/** The library does not keep more than it was told. */
	private static void bufferFull() throws Exception {
		try (Scene s = new Scene("plain")) {
			Client client = s.open(Client.options()
			    .reconnectBufferSize(1000));
			Subscription sub = client.nc.subscribe("full");
			client.flush();
			ask("down");
			until("disconnect",
			    () -> client.count(Events.DISCONNECTED) > 0);
			int kept = 0;
			try {
				for (; kept < 1000; kept++)
					publish(client, "full",
					    List.of("" + kept));
			} catch (IllegalStateException full) {
				check(full.toString().contains("max buffer"),
				    full.toString());
			}
			check(kept > 0 && kept < 1000, kept + " kept");
			ask("up");
			cameBack(client);
			publish(client, "full", List.of("" + kept));
			payloads(sub, numbers(0, kept + 1));
		}
	}

	void reconnectBuffered() throws Exception {
		buffered();
		bufferFull();
	}

	// ---- drains

	private static MessageHandler into(List<Integer> list) {
		return msg -> list.add(Integer.parseInt(text(msg)));
	}

	/**
	 * One member of a group and a single subscriber leave while another
	 * connection publishes as fast as it can: the group gets all messages,
	 * once.
	 */
	private static void drainMembers(Client publisher, Client stays,
	    Client leaves, Client alone) throws Exception {
		List<Integer> group =
		    Collections.synchronizedList(new ArrayList<>());
		List<Integer> plain =
		    Collections.synchronizedList(new ArrayList<>());
		Dispatcher member = stays.nc.createDispatcher(into(group));
		member.subscribe("load", "group");
		leaves.nc.createDispatcher(into(group))
		    .subscribe("load", "group");
		alone.nc.createDispatcher(into(plain)).subscribe("load");
		for (Client client : List.of(stays, leaves, alone))
			client.flush();
		CompletableFuture<Boolean> drains = null;
		int total = 0, last = Integer.MAX_VALUE;
		while (total < last) {
			publish(publisher, "load", List.of("" + total++));
			// no more under way than what the library keeps
			while (total - group.size() > 100000)
				Thread.sleep(1);
			if (drains == null && group.size() > 5000)
				drains = CompletableFuture.allOf(
				    drain(leaves), drain(alone))
				    .thenApply(done -> true);
			if (last == Integer.MAX_VALUE && drains != null &&
			    drains.isDone())
				last = total + 5000;
		}
		drains.get(TIMEOUT.toMillis(), TimeUnit.MILLISECONDS);
		publisher.flush();
		int want = total;
		until("last message", () -> group.size() >= want);
		stays.flush();
		stays.nc.closeDispatcher(member);
		Collections.sort(group);
		check(group.equals(IntStream.range(0, total).boxed()
		    .collect(Collectors.toList())), group.size() + " of " +
		    total + ", " + new HashSet<>(group).size() +
		    " different");
		for (int n = 0; n < plain.size(); n++)
			check(plain.get(n) == n, "a gap before the drain");
		check(plain.size() > 0 && plain.size() < total,
		    plain.size() + " of " + total);
	}

	/** In a thread of its own, for it blocks at first. */
	private static CompletableFuture<Boolean> drain(Client client) {
		return CompletableFuture.supplyAsync(() -> {
			try {
				return client.nc.drain(TIMEOUT).get();
			} catch (Exception error) {
				throw new IllegalStateException(error);
			}
		});
	}

	/** What it has published goes out before it closes. */
	private static void drainPublisher(Client other, Client leaves)
	    throws Exception {
		Subscription sub = other.nc.subscribe("drained");
		other.flush();
		publish(leaves, "drained", numbers(0, 5000));
		check(leaves.nc.drain(TIMEOUT).get(), "drain failed");
		check(leaves.nc.getStatus() == Connection.Status.CLOSED,
		    "not closed");
		payloads(sub, numbers(0, 5000));
		sub.unsubscribe();
	}

	void drainUnderLoad() throws Exception {
		try (Scene s = new Scene("plain")) {
			List<Client> clients = s.several(2);
			Client first = clients.get(0), second = clients.get(1);
			for (int n = 0; n < 3; n++) {
				drainMembers(first, second, s.open(), s.open());
				drainPublisher(second, s.open());
			}
			calm(first);
			calm(second);
		}
	}

	// ---- subscriptions

	private static void many(Client client, Client other, int count)
	    throws Exception {
		List<String> subjects = numbers(0, count).stream()
		    .map(n -> "many." + n).collect(Collectors.toList());
		Set<String> got = Collections.synchronizedSet(new HashSet<>());
		Dispatcher dispatcher = client.nc.createDispatcher(msg -> {
			if (msg.getSubject().equals("many." + text(msg)))
				got.add(msg.getSubject());
		});
		subjects.forEach(dispatcher::subscribe);
		calm(client);
		for (int n = 0; n < count; n++)
			publish(other, subjects.get(n), List.of("" + n));
		until("all messages", () -> got.size() == count);
		subjects.forEach(dispatcher::unsubscribe);
		calm(client);
		for (int n = 0; n < count; n += 97)
			other.nobody(subjects.get(n));
		client.nc.closeDispatcher(dispatcher);
	}

	/**
	 * As many as one connection may have, all of them served; when all
	 * are gone, there is room for others.
	 */
	void manySubscriptions() throws Exception {
		try (Scene s = new Scene("subs")) {
			Client client = s.open(), other = s.open();
			many(client, other, 10000);
			many(client, other, 100);
			calm(other);
			Dispatcher dispatcher =
			    client.nc.createDispatcher(msg -> { });
			for (int n = 0; n <= 10000; n++)
				dispatcher.subscribe("many." + n);
			reported(client, "maximum subscriptions exceeded");
		}
	}

	// ---- requests

	/**
	 * Ask once and take answers until these are all, or until none comes
	 * for so long.  This library has no function for it.
	 */
	private static List<Message> replies(Client client, String subject,
	    Duration wait, Predicate<List<Message>> done) throws Exception {
		String inbox = client.nc.createInbox();
		Subscription sub = client.nc.subscribe(inbox);
		client.nc.publish(subject, inbox, EMPTY);
		List<Message> got = new ArrayList<>();
		Message msg;
		while ((msg = sub.nextMessage(wait)) != null) {
			got.add(msg);
			if (done.test(got))
				break;
		}
		sub.unsubscribe();
		return got;
	}

	private static List<String> texts(List<Message> msgs) {
		return msgs.stream().map(Basics::text)
		    .collect(Collectors.toList());
	}

	private static void askMany(Client client) throws Exception {
		int count = replies(client, "many", TIMEOUT,
		    got -> got.size() == 5).size();
		check(count == 5, count + " by count");
		List<String> got = texts(replies(client, "many", SOON,
		    all -> false));
		Collections.sort(got);
		check(got.equals(numbers(0, CONNECTIONS)), "by time " + got);
		got = texts(replies(client, "stream", TIMEOUT,
		    all -> all.get(all.size() - 1).getData().length == 0));
		check(got.size() == 51 &&
		    got.subList(0, 50).equals(numbers(0, 50)),
		    "by sentinel " + got);
		List<Message> none = replies(client, "nobody.there", TIMEOUT,
		    all -> true);
		check(none.size() == 1 &&
		    none.get(0).getStatus().isNoResponders(), "nobody " + none);
	}

	private List<Client> mainClients() throws Exception {
		List<Client> clients = new ArrayList<>();
		while (clients.size() < CONNECTIONS)
			clients.add(new Client(mainUrl));
		return clients;
	}

	void requestMany() throws Exception {
		List<Client> clients = mainClients();
		for (int n = 0; n < CONNECTIONS; n++) {
			Connection nc = clients.get(n).nc;
			byte[] data = ("" + n).getBytes();
			nc.createDispatcher(msg -> nc.publish(
			    msg.getReplyTo(), data)).subscribe("many");
		}
		Client streamer = clients.get(1);
		streamer.nc.createDispatcher(msg -> {
			publish(streamer, msg.getReplyTo(), numbers(0, 50));
			streamer.nc.publish(msg.getReplyTo(), EMPTY);
		}).subscribe("stream");
		for (Client client : clients)
			client.flush();
		for (Client client : clients)
			askMany(client);
		clients.forEach(Client::close);
	}

	// ---- services

	private static final int INSTANCES = 3;
	private static final int DOUBLED = 200;

	private static ServiceEndpoint endpoint(String name,
	    ServiceMessageHandler handler) {
		return ServiceEndpoint.builder().endpointName(name)
		    .group(new Group("sums")).handler(handler).build();
	}

	private static Service service(Connection nc, int place) {
		return Service.builder().connection(nc).name("sums")
		    .version("1.2.3").description("adds up")
		    .metadata(Map.of("place", "" + place))
		    .addServiceEndpoint(endpoint("double", msg -> {
			    String text = new String(msg.getData());
			    msg.respond(nc, text + text);
		    })).addServiceEndpoint(endpoint("fail", msg ->
			msg.respondStandardError(nc, "cannot", 400)))
		    .build();
	}

	/** Each connection asks it; one in ten requests is for an error. */
	private static void useService(List<Client> clients)
	    throws Exception {
		for (int n = 0; n < DOUBLED; n++) {
			Connection nc = clients.get(n % CONNECTIONS).nc;
			Message msg = nc.request("sums.double",
			    ("" + n).getBytes(), TIMEOUT);
			check(msg != null && text(msg).equals("" + n + n),
			    "reply " + msg);
			if (n % 10 > 0)
				continue;
			msg = nc.request("sums.fail", EMPTY, TIMEOUT);
			Headers headers = msg.getHeaders();
			check("cannot".equals(headers.getLast(
			    ServiceMessage.NATS_SERVICE_ERROR)) &&
			    "400".equals(headers.getLast(
			    ServiceMessage.NATS_SERVICE_ERROR_CODE)),
			    "error " + headers);
		}
	}

	private static void discovery(Connection nc) {
		Discovery discovery = new Discovery(nc, TIMEOUT.toMillis(),
		    INSTANCES);
		Set<String> places = new HashSet<>();
		for (PingResponse ping : discovery.ping()) {
			InfoResponse info = discovery.info("sums",
			    ping.getId());
			check(info != null &&
			    info.getDescription().equals("adds up") &&
			    info.getEndpoints().stream().map(one ->
			    one.getSubject()).collect(Collectors.toSet())
			    .equals(Set.of("sums.double", "sums.fail")),
			    "info " + info);
			places.add(info.getMetadata().get("place"));
		}
		check(places.size() == INSTANCES, "instances at " + places);
		long requests = 0, errors = 0;
		for (StatsResponse stats : discovery.stats("sums"))
			for (EndpointStats one : stats.getEndpointStatsList())
				if (one.getName().equals("double")) {
					check(one.getNumRequests() > 0,
					    "one instance got nothing");
					requests += one.getNumRequests();
				} else
					errors += one.getNumRequests();
		check(requests == DOUBLED && errors == DOUBLED / 10,
		    requests + " requests, " + errors + " for errors");
	}

	void services() throws Exception {
		List<Client> clients = mainClients();
		List<Service> running = new ArrayList<>();
		for (int n = 0; n < INSTANCES; n++) {
			running.add(service(clients.get(n).nc, n));
			running.get(n).startService();
			check(running.get(n).isStarted(TIMEOUT.toMillis(),
			    TimeUnit.MILLISECONDS), "not started");
		}
		for (Client client : clients)
			client.flush();
		useService(clients);
		for (Client client : clients)
			discovery(client.nc);
		running.forEach(Service::stop);
		for (Client client : clients)
			client.flush();
		for (String subject : List.of("$SRV.PING", "$SRV.INFO.sums",
		    "sums.double"))
			clients.get(5).nobody(subject);
		clients.forEach(Client::close);
	}

	// ---- INFO

	/**
	 * natsd sends INFO once, whatever changes later; what it says is the
	 * same in all workers but for the client's number.
	 */
	void asyncInfo() throws Exception {
		try (Scene s = new Scene("trace")) {
			List<Client> clients = s.several(4);
			ask("reload larger");
			meet(clients);
			Set<Integer> ids = new HashSet<>();
			Set<String> servers = new HashSet<>();
			for (Client client : clients) {
				calm(client);
				ServerInfo info = client.nc.getServerInfo();
				String found = ask("logged 1 cid:" +
				    info.getClientId() + " - ->> [INFO ");
				check(found.equals("1"), found + " INFO lines");
				check(info.getMaxPayload() == 1 << 20 &&
				    info.getClientIp().equals("127.0.0.1") &&
				    info.isHeadersSupported() &&
				    info.getProtocolVersion() == 1 &&
				    info.getConnectURLs().isEmpty(),
				    info.toString());
				ids.add(info.getClientId());
				servers.add(info.getServerId() +
				    info.getServerName() + info.getVersion());
			}
			check(ids.size() == 4, "client ids " + ids);
			check(servers.size() == 1, "servers " + servers);
		}
	}
}
