package bbq.client;

import bbq.v1.QueueServiceGrpc;
import bbq.v1.SubscribeRequest;
import bbq.v1.SubscribeResponse;
import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.Status;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;

/**
 * Messages as they come, each leased to this subscription: loop over it, take the {@link #next()}, or {@link #run} a handler.
 *
 * <p>It opens its call again, with backoff, when the connection is lost or the server is unavailable; any other error is thrown by
 * whoever takes, and so is a certificate that is not accepted. {@link #cancel} ends it at once, and the server gives back what is held; {@link #close} sends what is on its way to be
 * settled first. Safe for use by many threads.
 *
 * <p>Always true: what was delivered on a stream that has ended is not handed out any more, as the server has given it back.
 */
public final class Subscription implements Iterable<Delivery>, AutoCloseable {
  private static final Logger LOGGER = System.getLogger("bbq.client");
  /** What the server takes for 0. */
  private static final int IN_FLIGHT_DEFAULT = 100;
  /** A stream that lasted so long was a success: the next one is opened without a long wait. */
  private static final Duration STEADY = Duration.ofSeconds(10);

  /** What handles a message: acked when it returns, nacked with what it throws for a reason, unless it settles the message itself. */
  public interface Handler {
    /** Handles one. */
    void handle(Delivery delivery) throws Exception;
  }

  private final Client client;
  private final Connection connection;
  private final Settler settler;
  private final SubscribeOptions options;
  private final Leases leases;
  private final Backoff backoff = new Backoff();
  private final Deque<Delivery> ready = new ArrayDeque<>();
  private Stream stream;
  private CallException error;
  private boolean ended;
  /** Whether there was a server at the first stream; before that it is the opener's failure that there is none. */
  private boolean stands;

  private Subscription(Client client, Connection connection, Settler settler, SubscribeOptions options) {
    this.client = client;
    this.connection = connection;
    this.settler = settler;
    this.options = options;
    Leases.Extending extending =
        (receipts, within) -> client.withDeadline(within).extend(settler.queue(), receipts, options.lease());
    this.leases =
        options.autoExtend() ? new Leases(extending, connection.timer, connection.calls, System::nanoTime) : null;
  }

  /** Opens the stream, waiting for its beginning no longer than {@code deadline}. */
  static Subscription open(
      Client client, Connection connection, Settler settler, SubscribeOptions options, Duration deadline) {
    connection.connect(deadline);
    Subscription subscription = new Subscription(client, connection, settler, options);
    Stream first = subscription.start();
    CompletableFuture<Void> opened = first.opened.orTimeout(deadline.toNanos(), TimeUnit.NANOSECONDS);
    try {
      Client.await(opened);
    } catch (BbqException failed) {
      subscription.cancel();
      throw failed;
    }
    return subscription;
  }

  /** Waits for the next message; none when the subscription was ended. Throws the error that ended it. */
  public Optional<Delivery> next() {
    return next(Duration.ofNanos(Long.MAX_VALUE));
  }

  /** The same, waiting no longer than {@code timeout}. */
  public synchronized Optional<Delivery> next(Duration timeout) {
    long end = System.nanoTime() + timeout.toNanos();
    while (ready.isEmpty() && error == null && !ended) {
      long left = end - System.nanoTime();
      if (left <= 0) {
        return Optional.empty();
      }
      try {
        TimeUnit.NANOSECONDS.timedWait(this, left);
      } catch (InterruptedException interrupted) {
        throw Connection.interrupted();
      }
    }
    if (ready.isEmpty() && error != null) {
      throw error;
    }
    Delivery delivery = ready.poll();
    if (delivery != null && stream != null) {
      stream.ask();
    }
    return Optional.ofNullable(delivery);
  }

  /** Goes on until the subscription ends. Leaving the loop does not end it: {@link #close} does. */
  @Override
  public Iterator<Delivery> iterator() {
    return new Iterator<>() {
      private Optional<Delivery> next = Optional.empty();

      @Override
      public boolean hasNext() {
        if (next.isEmpty()) {
          next = Subscription.this.next();
        }
        return next.isPresent();
      }

      @Override
      public Delivery next() {
        if (!hasNext()) {
          throw new NoSuchElementException();
        }
        Delivery delivery = next.get();
        next = Optional.empty();
        return delivery;
      }
    };
  }

  /** Handles messages, {@code concurrency} at a time, until the subscription ends. */
  public void run(Handler handler, int concurrency) {
    List<CompletableFuture<Void>> workers = new ArrayList<>();
    for (int worker = 0; worker < concurrency; worker++) {
      workers.add(CompletableFuture.runAsync(() -> forEach(delivery -> handle(handler, delivery)), connection.calls));
    }
    Client.await(CompletableFuture.allOf(workers.toArray(CompletableFuture[]::new)));
  }

  /** Ends the subscription at once. */
  public void cancel() {
    Stream last;
    synchronized (this) {
      ended = true;
      last = stream;
      forget(false);
    }
    if (last != null) {
      last.call.cancel("the subscription was cancelled", null);
    }
  }

  /** Waits until all settlements on their way are answered, then ends the subscription. */
  @Override
  public void close() {
    try {
      Client.await(settler.flush());
    } finally {
      cancel();
    }
  }

  private void handle(Handler handler, Delivery delivery) {
    Exception thrown = null;
    Optional<Nack> how = Optional.empty();
    try {
      handler.handle(delivery);
    } catch (Exception failed) {
      thrown = failed;
      tell(delivery, failed);
      how = Optional.of(Nack.because(failed));
    }
    Exception told = thrown;
    // If the handler has settled it, this is how that went.
    how.map(delivery::nackAsync).orElseGet(delivery::ackAsync).whenComplete((done, failed) -> {
      if (failed != null && failed != told) {
        tell(delivery, failed);
      }
    });
  }

  private void tell(Delivery delivery, Throwable failed) {
    if (options.onError() != null) {
      options.onError().accept(delivery, failed);
    } else {
      LOGGER.log(Level.WARNING, "message " + delivery.sequence() + " of " + delivery.queue(), failed);
    }
  }

  private Stream start() {
    SubscribeRequest.Builder request = SubscribeRequest.newBuilder()
        .setQueue(settler.queue())
        .setMaxInFlight(options.maxInFlight())
        .setMaxInFlightBytes(options.maxInFlightBytes())
        .setConsumerName(options.consumerName());
    if (options.lease() != null) {
      request.setLeaseDuration(Times.wire(options.lease()));
    }
    Stream next = new Stream();
    synchronized (this) {
      if (!ended) {
        stream = next;
        Connection.start(next.call, request.build(), next);
      }
    }
    return next;
  }

  private synchronized void take(Stream from, SubscribeResponse response) {
    if (from != stream || ended) {
      return;
    }
    // All are leased by now, so all are held before the first is handed out.
    for (bbq.v1.Delivery wire : response.getDeliveriesList()) {
      if (leases != null && !wire.getReceipt().isEmpty()) {
        Duration lease = options.lease();
        leases.hold(
            wire.getReceipt(),
            lease != null ? lease : Leases.guess(Times.instant(wire.getLeaseExpiresAt()), Instant.now()));
      }
      ready.add(new Delivery(wire, client, settler, leases));
    }
    notifyAll();
    from.asks = true;
    from.ask();
  }

  private synchronized void lost(Stream from, CallException why) {
    if (from != stream || ended) {
      return;
    }
    forget(true);
    // Nobody there is the opener's to hear; a server that is going away is not.
    if ((!stands && why.isUnreached()) || !reopens(why) || connection.isClosed()) {
      from.opened.completeExceptionally(why);
      error = why;
      notifyAll();
      return;
    }
    stands = true;
    from.opened.complete(null);
    if (System.nanoTime() - from.since >= STEADY.toNanos()) {
      backoff.reset();
    }
    try {
      connection.timer.schedule(this::again, backoff.delay(why).toMillis(), TimeUnit.MILLISECONDS);
    } catch (RejectedExecutionException closed) {
      error = why;
      notifyAll();
    }
  }

  private void again() {
    connection.reconnect();
    start();
  }

  /** Without a receipt a message was settled when it was sent, and nobody else gets it. */
  private void forget(boolean keepSettled) {
    stream = null;
    ready.removeIf(delivery -> !keepSettled || !delivery.receipt().isEmpty());
    if (leases != null) {
      leases.clear();
    }
    notifyAll();
  }

  /** Whether opening the stream again may help. */
  private static boolean reopens(CallException error) {
    if (error.isFinal()) {
      return false;
    }
    return switch (error.code()) {
      case UNAVAILABLE, DEADLINE_EXCEEDED -> true;
      case RESOURCE_EXHAUSTED -> error.retryAfter().isPresent();
      default -> false;
    };
  }

  /** One call on the wire. */
  private final class Stream extends ClientCall.Listener<SubscribeResponse> {
    final CompletableFuture<Void> opened = new CompletableFuture<>();
    final long since = System.nanoTime();
    final ClientCall<SubscribeRequest, SubscribeResponse> call =
        connection.channel.newCall(QueueServiceGrpc.getSubscribeMethod(), CallOptions.DEFAULT);
    /** Whether the next response has not been asked for. */
    boolean asks;

    /** Credit bounds what is leased; what is gone once it is sent waits on the wire instead. */
    void ask() {
      int bound = options.maxInFlight() == 0 ? IN_FLIGHT_DEFAULT : options.maxInFlight();
      if (asks && ready.size() <= bound) {
        asks = false;
        call.request(1);
      }
    }

    @Override
    public void onHeaders(Metadata headers) {
      synchronized (Subscription.this) {
        stands = true;
      }
      opened.complete(null);
    }

    @Override
    public void onMessage(SubscribeResponse response) {
      take(this, response);
    }

    @Override
    public void onClose(Status status, Metadata trailers) {
      Status ending = status.isOk() ? Status.UNAVAILABLE.withDescription("the server ended the subscription") : status;
      lost(this, connection.error(ending.asRuntimeException(trailers)));
    }
  }
}
