// SPDX-License-Identifier: BSD-2-Clause

import io.nats.client.Connection;
import io.nats.client.ConnectionListener.Events;
import io.nats.client.Consumer;
import io.nats.client.ErrorListener;
import io.nats.client.Nats;
import io.nats.client.Options;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;

/** A connection and what has happened to it. */
final class Client extends Basics implements AutoCloseable {
	final Connection nc;
	final List<Events> events = new CopyOnWriteArrayList<>();
	final List<String> errors = new CopyOnWriteArrayList<>();
	final List<Exception> exceptions = new CopyOnWriteArrayList<>();
	final List<Consumer> slow = new CopyOnWriteArrayList<>();

	private final class Listener implements ErrorListener {
		@Override
		public void errorOccurred(Connection conn, String text) {
			errors.add(text);
		}

		@Override
		public void exceptionOccurred(Connection conn,
		    Exception exception) {
			exceptions.add(exception);
		}

		@Override
		public void slowConsumerDetected(Connection conn,
		    Consumer consumer) {
			slow.add(consumer);
		}
	}

	static Options.Builder options() {
		return new Options.Builder().maxReconnects(-1)
		    .reconnectWait(Duration.ofMillis(50))
		    .reconnectJitter(Duration.ofMillis(10));
	}

	Client(String url, Options.Builder options) throws Exception {
		options.server(url).errorListener(new Listener())
		    .connectionListener((conn, event) -> events.add(event));
		try {
			nc = Nats.connect(options.build());
		} catch (IOException error) {
			throw new IOException(error + ", server: " + errors +
			    ", " + exceptions, error);
		}
	}

	Client(String url) throws Exception {
		this(url, options());
	}

	@Override
	public void close() {
		try {
			nc.close();
		} catch (InterruptedException error) {
			Thread.currentThread().interrupt();
		}
	}

	int count(Events event) {
		return (int)events.stream().filter(event::equals).count();
	}

	/** The barrier: what went before it is in force. */
	void flush() throws Exception {
		nc.flush(TIMEOUT);
	}

	/** A request is answered by "no responders", not by silence. */
	void nobody(String subject) throws Exception {
		try {
			nc.request(subject, EMPTY).get(TIMEOUT.toMillis(),
			    TimeUnit.MILLISECONDS);
			check(false, "somebody answers " + subject);
		} catch (CancellationException expected) {
			// this is how the library reports it
		} catch (ExecutionException error) {
			check(error.getMessage().contains("503"),
			    error.toString());
		}
	}
}
