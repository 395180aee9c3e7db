package bbq.client;

import bbq.v1.ReceiptFailure;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Deque;
import java.util.HashMap;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executor;

/**
 * The settlements of one queue on their way, many to a call: one round of calls in flight while the next one fills.
 *
 * <p>Always true: what was settled before a flush is answered before the flush is.
 */
final class Settler {
  private final Client client;
  private final String queue;
  private final Executor calls;
  /** By how they settle: an ack has none. */
  private Map<Optional<Nack>, List<Entry>> next = new LinkedHashMap<>();
  private final Set<CompletableFuture<Void>> pending = ConcurrentHashMap.newKeySet();
  private final Set<Settler> busy;
  private boolean running;
  /** The round of calls that is being made, and what is known of it and not told: the relay's alone. */
  private Iterator<Map.Entry<Optional<Nack>, List<Entry>>> round = Collections.emptyIterator();
  private final Deque<Runnable> outcomes = new ArrayDeque<>();

  private record Entry(String receipt, CompletableFuture<Void> settled) {}

  /** {@code busy} has it while anything is on its way. */
  Settler(Client client, Set<Settler> busy, String queue, Executor calls) {
    this.client = client;
    this.busy = busy;
    this.queue = queue;
    this.calls = calls;
  }

  String queue() {
    return queue;
  }

  /** Settles one receipt: an ack, or a nack in some way. */
  synchronized CompletableFuture<Void> settle(String receipt, Optional<Nack> how) {
    CompletableFuture<Void> settled = new CompletableFuture<>();
    next.computeIfAbsent(how, key -> new ArrayList<>()).add(new Entry(receipt, settled));
    pending.add(settled);
    busy.add(this);
    settled.whenComplete((done, error) -> answered(settled));
    if (!running) {
      running = true;
      Relay.start(calls, this::step);
    }
    return settled;
  }

  private synchronized void answered(CompletableFuture<Void> settled) {
    pending.remove(settled);
    if (pending.isEmpty()) {
      busy.remove(this);
    }
  }

  /** Completes when all that was given before is answered. */
  CompletableFuture<Void> flush() {
    return CompletableFuture.allOf(pending.toArray(CompletableFuture[]::new)).exceptionally(failed -> null);
  }

  /** Tells one outcome, or else makes one call. */
  private boolean step() {
    Runnable outcome = outcomes.poll();
    if (outcome != null) {
      outcome.run();
      return true;
    }
    if (!round.hasNext() && !take()) {
      return false;
    }
    Map.Entry<Optional<Nack>, List<Entry>> group = round.next();
    settle(group.getKey(), group.getValue());
    return true;
  }

  /** Takes the next round. If there is none the relay is over, and the next one has all to itself from then on. */
  private synchronized boolean take() {
    running = !next.isEmpty();
    round = next.entrySet().iterator();
    next = new LinkedHashMap<>();
    return running;
  }

  private void settle(Optional<Nack> how, List<Entry> entries) {
    List<String> receipts = entries.stream().map(Entry::receipt).toList();
    try {
      List<ReceiptFailure> failures =
          how.isPresent() ? client.nack(queue, receipts, how.get()) : client.ack(queue, receipts);
      Map<String, ReceiptFailure> failed = new HashMap<>();
      failures.forEach(failure -> failed.put(failure.getReceipt(), failure));
      for (Entry entry : entries) {
        ReceiptFailure failure = failed.get(entry.receipt());
        if (failure == null) {
          outcomes.add(() -> entry.settled().complete(null));
        } else {
          outcomes.add(() -> entry.settled().completeExceptionally(new ReceiptException(failure)));
        }
      }
    } catch (RuntimeException error) {
      entries.forEach(entry -> outcomes.add(() -> entry.settled().completeExceptionally(error)));
    }
  }
}
