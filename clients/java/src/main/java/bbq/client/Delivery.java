package bbq.client;

import bbq.v1.Message;
import bbq.v1.ReceiptFailure;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;

/**
 * A message, leased to this consumer until it is settled or the lease ends.
 *
 * <p>While one of a subscription is neither settled nor its subscription ended, its lease is extended, unless that was switched off.
 * So each has to be settled some time. One of an at-most-once queue is settled already: acking it does nothing.
 */
public final class Delivery {
  private final bbq.v1.Delivery wire;
  private final Client client;
  private final Settler settler;
  private final Leases leases;
  private CompletableFuture<Void> settled;
  /** How it was settled: an ack has none. */
  private Optional<Nack> verdict = Optional.empty();

  Delivery(bbq.v1.Delivery wire, Client client, Settler settler, Leases leases) {
    this.wire = wire;
    this.client = client;
    this.settler = settler;
    this.leases = leases;
  }

  /** The message as it was published. */
  public Message message() {
    return wire.getMessage();
  }

  /** The message's payload. */
  public byte[] body() {
    return wire.getMessage().getBody().toByteArray();
  }

  /** The message's payload as UTF-8. */
  public String text() {
    return wire.getMessage().getBody().toString(StandardCharsets.UTF_8);
  }

  /** The message's attributes. */
  public Map<String, String> attributes() {
    return wire.getMessage().getAttributesMap();
  }

  /** The queue it came from. */
  public String queue() {
    return settler.queue();
  }

  /** Names this attempt at this message; settles it from anywhere. Empty in an at-most-once queue. */
  public String receipt() {
    return wire.getReceipt();
  }

  /** The message's number in its queue. */
  public long sequence() {
    return wire.getSequence();
  }

  /** 1 for the first delivery, one more for each lease after it. */
  public int attempt() {
    return wire.getAttempt();
  }

  /** When the message was published, by the server's clock. */
  public Instant publishedAt() {
    return Times.instant(wire.getPublishedAt());
  }

  /** When the lease ends unless it is extended, by the server's clock; as of the delivery. None in an at-most-once queue. */
  public Optional<Instant> leaseExpiresAt() {
    return wire.hasLeaseExpiresAt() ? Optional.of(Times.instant(wire.getLeaseExpiresAt())) : Optional.empty();
  }

  /**
   * Settles the message for good, and waits until that is done.
   *
   * <p>The first settlement of a delivery counts: any further one, of either kind, has the outcome of the first. The same one may be
   * tried again if no answer came.
   */
  public void ack() {
    Client.await(ackAsync());
  }

  /** Gives the message back for another attempt, after the queue's backoff, and waits until that is done. */
  public void nack() {
    nack(Nack.now());
  }

  /** Gives the message back in a way of its own, and waits until that is done. */
  public void nack(Nack how) {
    Client.await(nackAsync(how));
  }

  /** Settles the message for good. It is on its way when this returns; what is returned tells what became of it. */
  public CompletableFuture<Void> ackAsync() {
    return settle(Optional.empty());
  }

  /** Gives the message back in a way of its own. It is on its way when this returns. */
  public CompletableFuture<Void> nackAsync(Nack how) {
    return settle(Optional.of(how));
  }

  /** Moves the end of the lease to {@code lease} from now: 1 s to 12 h. */
  public void extend(Duration lease) {
    if (receipt().isEmpty()) {
      return;
    }
    List<ReceiptFailure> failures = client.extend(queue(), List.of(receipt()), lease);
    if (!failures.isEmpty()) {
      throw new ReceiptException(failures.get(0));
    }
  }

  /** Whether it was acked or nacked here. */
  public synchronized boolean isSettled() {
    return settled != null;
  }

  private synchronized CompletableFuture<Void> settle(Optional<Nack> how) {
    if (receipt().isEmpty()) {
      return CompletableFuture.completedFuture(null);
    }
    if (settled == null || (verdict.equals(how) && isUnanswered(settled))) {
      verdict = how;
      settled = settler.settle(receipt(), how);
      if (leases != null) {
        // The lease is kept until the settlement is answered.
        settled.whenComplete((done, error) -> leases.release(receipt()));
      }
    }
    return settled;
  }

  /** Whether it failed, and not because the server said so of its receipt. */
  private static boolean isUnanswered(CompletableFuture<Void> settlement) {
    if (settlement.isCancelled()) {
      return false;
    }
    try {
      settlement.getNow(null);
      return false;
    } catch (CompletionException failed) {
      return failed.getCause() instanceof CallException;
    }
  }
}
