package bbq.client;

import bbq.client.Connection.Repeat;
import bbq.v1.AckRequest;
import bbq.v1.AdminServiceGrpc;
import bbq.v1.AdminServiceGrpc.AdminServiceBlockingStub;
import bbq.v1.ExtendRequest;
import bbq.v1.Message;
import bbq.v1.NackRequest;
import bbq.v1.PublishRequest;
import bbq.v1.PublishResponse;
import bbq.v1.PublishResult;
import bbq.v1.QueueServiceGrpc;
import bbq.v1.ReceiptFailure;
import bbq.v1.ReceiveRequest;
import bbq.v1.RoutedMessage;
import bbq.v1.TransactRequest;
import com.google.protobuf.ByteString;
import io.grpc.ClientInterceptors;
import io.grpc.Status;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Function;
import java.util.stream.Stream;

/**
 * A client of one server. Safe for use by many threads.
 *
 * <p>Each call may take 30 s, or what {@link #withDeadline} says. A call that failed because the server was not reached, or said that it
 * did nothing, is repeated within that time with backoff and jitter; those that do their work only once however often they are made (all
 * but publishing, receiving and transactions) also after a lost connection.
 */
public final class Client implements AutoCloseable {
  /** How long a call may take unless the client is told otherwise. */
  public static final Duration DEADLINE = Duration.ofSeconds(30);
  /** The most receipts of one Ack, Nack or Extend. */
  private static final int RECEIPTS_MAX = 10_000;
  /** How long {@code close} waits for what publishers took: losing that loses messages. */
  private static final Duration CLOSE_PUBLISHERS = Duration.ofSeconds(10);
  /** How long {@code close} waits for settlements: losing one only brings its message again. */
  private static final Duration CLOSE_SETTLERS = Duration.ofSeconds(1);
  /** How long what was cut takes to fail. */
  private static final Duration CLOSE_CUT = Duration.ofSeconds(1);

  private final Connection connection;
  private final Duration deadline;
  private final Unfinished unfinished;
  /** By queue. A settlement takes the deadline of the client that its message was delivered to. */
  private final Map<String, Settler> settlers = new ConcurrentHashMap<>();

  /** What has to be finished, of all clients of one connection, before it is closed. */
  private record Unfinished(Set<Settler> settlers, Set<Publisher> publishers) {
    Unfinished() {
      this(ConcurrentHashMap.newKeySet(), ConcurrentHashMap.newKeySet());
    }
  }

  private Client(Connection connection, Duration deadline, Unfinished unfinished) {
    this.connection = connection;
    this.deadline = deadline;
    this.unfinished = unfinished;
  }

  /** Connects to the server that the profile names; throws if it cannot be reached. */
  public static Client connect(Profile profile) {
    Client client = connectLazily(profile);
    try {
      client.connection.connect(DEADLINE);
    } catch (CallException unreachable) {
      client.connection.close();
      throw unreachable;
    }
    return client;
  }

  /** The same, but connects with the first call. */
  public static Client connectLazily(Profile profile) {
    return new Client(new Connection(profile), DEADLINE, new Unfinished());
  }

  /** A client on the same connection whose calls may take so long. */
  public Client withDeadline(Duration other) {
    return new Client(connection, other, unfinished);
  }

  /** Where this client connects to, as the profile has it. */
  public String url() {
    return connection.url;
  }

  /** A message with a body and nothing else; {@link Message#newBuilder()} makes all others. */
  public static Message message(String body) {
    return Message.newBuilder().setBody(ByteString.copyFromUtf8(body)).build();
  }

  /** A message with a body and nothing else. */
  public static Message message(byte[] body) {
    return Message.newBuilder().setBody(ByteString.copyFrom(body)).build();
  }

  /** Publishes one message and returns its number in the queue once it is confirmed. */
  public long publish(String queue, Message message) {
    return publishAll(queue, List.of(message)).get(0).getSequence();
  }

  /** The same, of a body alone. */
  public long publish(String queue, String body) {
    return publish(queue, message(body));
  }

  /** The same, of a body alone. */
  public long publish(String queue, byte[] body) {
    return publish(queue, message(body));
  }

  /** Publishes messages, all or none, in order: at most 10,000, and what fits the server's {@code limits.request_bytes}. */
  public List<PublishResult> publishAll(String queue, List<Message> messages) {
    return publish(PublishRequest.newBuilder().setQueue(queue).addAllMessages(messages).build());
  }

  /** Publishes messages with one routing key to a topic, all or none: for each the queues that took it, none if no binding matches. */
  public List<List<RoutedMessage>> publishToTopic(String topic, String routingKey, List<Message> messages) {
    PublishRequest.Builder request = PublishRequest.newBuilder().setTopic(topic).setRoutingKey(routingKey);
    return publish(request.addAllMessages(messages).build()).stream().map(PublishResult::getRoutedList).toList();
  }

  /** Settles and publishes over several queues of one namespace, both or neither. Safe to repeat with the same transaction id. */
  public List<PublishResponse> transact(TransactRequest request) {
    Repeat repeat = request.getTransactionId().isEmpty() ? Repeat.UNPROCESSED : Repeat.ANYTIME;
    return connection.unary(QueueServiceGrpc.getTransactMethod(), request, repeat, deadline).getPublishesList();
  }

  /** Many messages to one queue, few calls. */
  public Publisher publisher(String queue) {
    return publisher(queue, Publisher.Options.defaults());
  }

  /** The same, with options of its own. */
  public Publisher publisher(String queue, Publisher.Options options) {
    return new Publisher(this, unfinished.publishers(), queue, options, connection.calls);
  }

  /** Messages as they come. */
  public Subscription subscribe(String queue) {
    return subscribe(queue, SubscribeOptions.defaults());
  }

  /** The same, with options of its own. */
  public Subscription subscribe(String queue, SubscribeOptions options) {
    return Subscription.open(this, connection, settler(queue), options, deadline);
  }

  /**
   * Waits up to {@code wait} (60 s at most) for messages and returns at most {@code max} (1,000 at most) of them, none if none came.
   * They are leased by deadline alone, for what the queue says, and extended by nobody.
   */
  public List<Delivery> receive(String queue, int max, Duration wait) {
    return receive(ReceiveRequest.newBuilder().setQueue(queue).setMaxMessages(max).setWait(Times.wire(wait)).build());
  }

  /** The same, with all that can be asked for. */
  public List<Delivery> receive(ReceiveRequest request) {
    Duration patience = deadline.plus(Times.duration(request.getWait()));
    Settler settler = settler(request.getQueue());
    return connection.unary(QueueServiceGrpc.getReceiveMethod(), request, Repeat.UNPROCESSED, patience)
        .getDeliveriesList().stream()
        .map(wire -> new Delivery(wire, this, settler, null))
        .toList();
  }

  /** Settles messages for good. Returns the receipts that settled nothing; the others did. */
  public List<ReceiptFailure> ack(String queue, List<String> receipts) {
    AckRequest.Builder request = AckRequest.newBuilder().setQueue(queue);
    return inParts(receipts, part -> connection
        .unary(QueueServiceGrpc.getAckMethod(), request.clone().addAllReceipts(part).build(), Repeat.ANYTIME, deadline)
        .getFailuresList());
  }

  /** Gives messages back for another attempt. Returns the receipts that gave nothing back; the others did. */
  public List<ReceiptFailure> nack(String queue, List<String> receipts, Nack how) {
    NackRequest.Builder request =
        NackRequest.newBuilder().setQueue(queue).setDeadLetter(how.deadLetter()).setReason(how.reason());
    if (how.delay() != null) {
      request.setDelay(Times.wire(how.delay()));
    }
    return inParts(receipts, part -> connection
        .unary(QueueServiceGrpc.getNackMethod(), request.clone().addAllReceipts(part).build(), Repeat.ANYTIME, deadline)
        .getFailuresList());
  }

  /** Moves the end of leases to {@code lease} from now, or to what the queue says if null. Returns the receipts that extended nothing. */
  public List<ReceiptFailure> extend(String queue, List<String> receipts, Duration lease) {
    ExtendRequest.Builder request = ExtendRequest.newBuilder().setQueue(queue);
    if (lease != null) {
      request.setLeaseDuration(Times.wire(lease));
    }
    return inParts(receipts, part -> connection
        .unary(QueueServiceGrpc.getExtendMethod(), request.clone().addAllReceipts(part).build(), Repeat.ANYTIME, deadline)
        .getFailuresList());
  }

  /**
   * Makes a call of the control plane, such as {@code client.admin(calls -> calls.getQueue(request))}, again if the server certainly did
   * nothing; where twice is the same as once, also after a lost connection. What makes several calls is called again as a whole, or, if
   * it would then do something twice, not at all. Of a stream this is its beginning: {@link CallException#from} reads what its iterator
   * throws.
   */
  public <R> R admin(Function<AdminServiceBlockingStub, R> call) {
    AdminCalls made = new AdminCalls();
    AdminServiceBlockingStub stub = AdminServiceGrpc.newBlockingStub(ClientInterceptors.intercept(connection.channel, made));
    return connection.repeated(made::repeat, deadline, options -> {
      made.begin();
      return call.apply(stub.withDeadline(options.getDeadline()));
    });
  }

  /**
   * Waits for settlements on their way, for a second at most, and for what publishers took, for 10 s; then ends every call and
   * subscription of this connection and closes it. The server gives back what was held. Calls after it, also on other clients of the
   * connection, fail with {@code CANCELLED}. Throws, when all is closed, if a message that a publisher had taken was not confirmed.
   */
  @Override
  public void close() {
    close(CLOSE_PUBLISHERS);
  }

  /** The same, waiting so long for what publishers took. */
  void close(Duration publishersMax) {
    List<Publisher> publishers = List.copyOf(unfinished.publishers());
    publishers.forEach(publisher -> publisher.refuse("client"));
    List<Optional<BbqException>> before = publishers.stream().map(Publisher::last).toList();
    Relay.passOn();
    within(CLOSE_SETTLERS, unfinished.settlers().stream().map(Settler::flush));
    within(publishersMax, publishers.stream().map(Publisher::answers));
    connection.close();
    within(CLOSE_CUT, publishers.stream().map(Publisher::answers));
    for (int i = 0; i < publishers.size(); i++) {
      Optional<BbqException> last = publishers.get(i).last();
      if (!last.equals(before.get(i))) {
        throw last.orElseThrow();
      }
    }
  }

  /** Waits for all of it, but no longer than that. An interrupt ends the waiting, not the closing. */
  private static void within(Duration patience, Stream<CompletableFuture<Void>> all) {
    try {
      CompletableFuture.allOf(all.toArray(CompletableFuture[]::new)).get(patience.toNanos(), TimeUnit.NANOSECONDS);
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
    } catch (ExecutionException | TimeoutException late) {
      // A settlement that is not answered by now comes back; of a message that is not, it is told.
    }
  }

  boolean isClosed() {
    return connection.isClosed();
  }

  /** Waits for a result; throws what it failed with as it is. */
  static <T> T await(CompletableFuture<T> future) {
    Relay.passOn();
    try {
      return future.get();
    } catch (InterruptedException interrupted) {
      throw Connection.interrupted();
    } catch (ExecutionException failed) {
      Throwable cause = failed.getCause();
      if (cause instanceof RuntimeException error) {
        throw error;
      }
      if (cause instanceof TimeoutException) {
        throw new CallException(Status.Code.DEADLINE_EXCEEDED, "no answer before the deadline");
      }
      throw new IllegalStateException(cause);
    }
  }

  private List<PublishResult> publish(PublishRequest request) {
    if (request.getMessagesCount() == 0) {
      return List.of();
    }
    List<PublishResult> results = connection
        .unary(QueueServiceGrpc.getPublishMethod(), request, Repeat.UNPROCESSED, deadline)
        .getResultsList();
    if (results.size() != request.getMessagesCount()) {
      throw new CallException(Status.Code.INTERNAL, "the server's answer does not have one result for each message");
    }
    return results;
  }

  private static List<ReceiptFailure> inParts(
      List<String> receipts, Function<List<String>, List<ReceiptFailure>> call) {
    List<ReceiptFailure> failures = new ArrayList<>();
    for (int start = 0; start < receipts.size(); start += RECEIPTS_MAX) {
      failures.addAll(call.apply(receipts.subList(start, Math.min(start + RECEIPTS_MAX, receipts.size()))));
    }
    return failures;
  }

  private Settler settler(String queue) {
    return settlers.computeIfAbsent(queue, name -> new Settler(this, unfinished.settlers(), name, connection.calls));
  }
}
