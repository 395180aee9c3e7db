package bbq.client;

import bbq.v1.Message;
import bbq.v1.PublishRequest;
import bbq.v1.PublishResult;
import com.google.protobuf.CodedOutputStream;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executor;

/**
 * Many messages to one queue, few calls. It never waits for a call to fill: what is there goes as soon as a call may be made, and
 * while it is in flight the next one fills. Safe for use by many threads.
 *
 * <p>Always true: with one call in flight messages are stored in the order of {@code publish}; the error of a call reaches the messages
 * that it is about, as a call that is refused because of one message is split until that one is alone; what was taken before a close is
 * answered before it is, also if it is who is told of an answer that closes.
 */
public final class Publisher implements AutoCloseable {
  /**
   * What a publisher may do at once.
   *
   * @param callMessagesMax the most messages of one call: 1 to 10,000
   * @param callBytesMax the most bytes of one call; a larger message goes alone
   * @param callsInFlight how many calls are in flight; more than one hides the round trip, and gives up the order between calls
   * @param unconfirmedMax how many messages may be unconfirmed before {@code publish} waits
   */
  public record Options(int callMessagesMax, int callBytesMax, int callsInFlight, int unconfirmedMax) {
    /** 1,000 messages and 1 MiB a call, one call in flight, 10,000 messages unconfirmed. */
    public static Options defaults() {
      return new Options(1_000, 1024 * 1024, 1, 10_000);
    }
  }

  private record Entry(Message message, CompletableFuture<PublishResult> confirmed) {}

  private final Client client;
  private final String queue;
  private final Options options;
  private final Executor executor;
  private final Set<Publisher> busy;
  private final Deque<Entry> waiting = new ArrayDeque<>();
  /** What is taken, until whoever waits for it was told. */
  private final Set<CompletableFuture<PublishResult>> pending = ConcurrentHashMap.newKeySet();
  private int calls;
  /** What is taken and not answered. */
  private int unconfirmed;
  private BbqException failed;
  /** What the last message that failed did so with. */
  private BbqException last;
  /** Why nothing is taken any more; null while it is. */
  private String closed;

  /** {@code busy} has it while anything is pending. */
  Publisher(Client client, Set<Publisher> busy, String queue, Options options, Executor executor) {
    this.client = client;
    this.busy = busy;
    this.queue = queue;
    this.options = options;
    this.executor = executor;
  }

  /**
   * Waits for room, then takes the message. It is published whether or not anyone waits for what is returned. Throws once the
   * publisher, or its client, was closed.
   */
  public synchronized CompletableFuture<PublishResult> publish(Message message) {
    while (!isClosed() && unconfirmed >= options.unconfirmedMax()) {
      await();
    }
    if (isClosed()) {
      throw CallException.closed(closed != null ? closed : "client");
    }
    CompletableFuture<PublishResult> confirmed = new CompletableFuture<>();
    waiting.add(new Entry(message, confirmed));
    unconfirmed++;
    pending.add(confirmed);
    busy.add(this);
    start();
    return confirmed;
  }

  /** The same, of a body alone. */
  public CompletableFuture<PublishResult> publish(String body) {
    return publish(Client.message(body));
  }

  /** Waits until all that was taken is answered. Throws the first error since the last flush. */
  public void flush() {
    Client.await(answers());
    BbqException first = takeFailed();
    if (first != null) {
      throw first;
    }
  }

  /** Takes nothing any more, and flushes. */
  @Override
  public void close() {
    refuse("publisher");
    flush();
  }

  /** Takes nothing any more. */
  synchronized void refuse(String why) {
    if (closed == null) {
      closed = why;
    }
    notifyAll();
  }

  synchronized boolean isClosed() {
    return closed != null || client.isClosed();
  }

  /** What the last message that failed did so with. */
  synchronized Optional<BbqException> last() {
    return Optional.ofNullable(last);
  }

  /** Completes when all that was taken before is answered. */
  CompletableFuture<Void> answers() {
    return CompletableFuture.allOf(pending.toArray(CompletableFuture[]::new)).exceptionally(failed -> null);
  }

  private synchronized BbqException takeFailed() {
    BbqException first = failed;
    failed = null;
    return first;
  }

  private void await() {
    Relay.passOn();
    try {
      wait();
    } catch (InterruptedException interrupted) {
      throw Connection.interrupted();
    }
  }

  private void start() {
    if (calls < options.callsInFlight() && !waiting.isEmpty()) {
      calls++;
      Relay.start(executor, new Call()::step);
    }
  }

  /** The next call's messages; if there are none the call is over. */
  private synchronized List<Entry> batch() {
    List<Entry> batch = new ArrayList<>();
    long bytes = 0;
    while (!waiting.isEmpty()) {
      bytes += CodedOutputStream.computeMessageSize(PublishRequest.MESSAGES_FIELD_NUMBER, waiting.peek().message());
      boolean full = batch.size() >= options.callMessagesMax() || bytes > options.callBytesMax();
      if (full && !batch.isEmpty()) {
        break;
      }
      batch.add(waiting.poll());
    }
    if (batch.isEmpty()) {
      calls--;
    }
    return batch;
  }

  /** One of the calls in flight, as long as there is something to send. */
  private final class Call {
    /** What is known and not told, in order. */
    private final Deque<Runnable> outcomes = new ArrayDeque<>();
    /** The parts of a call that was refused because of one message, in order. */
    private final Deque<List<Entry>> parts = new ArrayDeque<>();

    /** Tells one outcome, or else makes one call. */
    boolean step() {
      Runnable outcome = outcomes.poll();
      if (outcome != null) {
        outcome.run();
        return true;
      }
      List<Entry> part = parts.isEmpty() ? batch() : parts.poll();
      if (!part.isEmpty()) {
        send(part);
      }
      return !part.isEmpty();
    }

    private void send(List<Entry> part) {
      try {
        List<PublishResult> results = client.publishAll(queue, part.stream().map(Entry::message).toList());
        for (int i = 0; i < part.size(); i++) {
          CompletableFuture<PublishResult> confirmed = part.get(i).confirmed();
          PublishResult result = results.get(i);
          outcomes.add(() -> {
            confirmed.complete(result);
            told(confirmed);
          });
        }
        answered(part.size());
      } catch (CallException error) {
        if (error.isOfOneMessage() && part.size() > 1) {
          // All or none: nothing of it was stored, so the halves may be sent, the first one first.
          parts.push(part.subList(part.size() / 2, part.size()));
          parts.push(part.subList(0, part.size() / 2));
          return;
        }
        failed(error);
        part.forEach(entry -> outcomes.add(() -> {
          entry.confirmed().completeExceptionally(error);
          told(entry.confirmed());
        }));
        answered(part.size());
      }
    }
  }

  /** Before anyone is told: whoever knows of it and closes the client has nothing more to be told. */
  private synchronized void failed(BbqException error) {
    if (failed == null) {
      failed = error;
    }
    last = error;
  }

  private synchronized void answered(int count) {
    unconfirmed -= count;
    notifyAll();
  }

  private synchronized void told(CompletableFuture<PublishResult> confirmed) {
    pending.remove(confirmed);
    if (pending.isEmpty()) {
      busy.remove(this);
    }
  }
}
