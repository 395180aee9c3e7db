package bbq.client;

import bbq.v1.ReceiptFailure;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;

/** The leases of one subscription: those of deliveries that are held are extended at half their time. It gives nothing back. */
final class Leases {
  /** The shortest lease there is. */
  static final Duration LEASE_MIN = Duration.ofSeconds(1);
  /**
   * The longest that is believed of a lease whose length is not known: it is read from two clocks, and extending too often costs less
   * than extending too late.
   */
  static final Duration LEASE_GUESS_MAX = Duration.ofSeconds(30);

  /** The call that extends, which is worth nothing after {@code within}. */
  interface Extending {
    List<ReceiptFailure> extend(List<String> receipts, Duration within);
  }

  private record Lease(long halfNanos, long due) {}

  private final Extending extending;
  private final ScheduledExecutorService timer;
  private final Executor calls;
  private final LongSupplier clock;
  private final Map<String, Lease> held = new HashMap<>();
  private ScheduledFuture<?> alarm;
  private long rings = Long.MAX_VALUE;

  Leases(Extending extending, ScheduledExecutorService timer, Executor calls, LongSupplier clock) {
    this.extending = extending;
    this.timer = timer;
    this.calls = calls;
    this.clock = clock;
  }

  /** How long a lease that ends at {@code expiresAt} by the server's clock lasts, guessed low. */
  static Duration guess(Instant expiresAt, Instant now) {
    Duration left = Duration.between(now, expiresAt);
    if (left.compareTo(LEASE_MIN) < 0) {
      return LEASE_MIN;
    }
    return left.compareTo(LEASE_GUESS_MAX) > 0 ? LEASE_GUESS_MAX : left;
  }

  /** Keeps a lease of this length until it is released. */
  synchronized void hold(String receipt, Duration length) {
    long half = Math.max(length.toNanos(), LEASE_MIN.toNanos()) / 2;
    put(receipt, half, half);
  }

  /** Keeps it no longer. */
  synchronized void release(String receipt) {
    held.remove(receipt);
  }

  /** Forgets all: their stream has ended, and they with it. */
  synchronized void clear() {
    held.clear();
    if (alarm != null) {
      alarm.cancel(false);
    }
    rings = Long.MAX_VALUE;
  }

  /** One call for all that is due now, or nearly. */
  void extendDue() {
    long now = clock.getAsLong();
    Map<String, Lease> due = new HashMap<>();
    synchronized (this) {
      rings = Long.MAX_VALUE;
      held.forEach((receipt, lease) -> {
        if (lease.due() <= now + lease.halfNanos() / 4) {
          due.put(receipt, lease);
        }
      });
    }
    boolean extended = false;
    List<ReceiptFailure> failures = List.of();
    if (!due.isEmpty()) {
      long within = due.values().stream().mapToLong(Lease::halfNanos).min().getAsLong();
      try {
        failures = extending.extend(new ArrayList<>(due.keySet()), Duration.ofNanos(within));
        extended = true;
      } catch (BbqException error) {
        // Tried again soon, as long as the lease may last.
      }
    }
    synchronized (this) {
      failures.forEach(failure -> held.remove(failure.getReceipt()));
      for (Map.Entry<String, Lease> entry : due.entrySet()) {
        long half = entry.getValue().halfNanos();
        if (held.containsKey(entry.getKey())) {
          put(entry.getKey(), half, extended ? half : half / 4);
        }
      }
      held.values().forEach(lease -> ring(lease.due()));
    }
  }

  private void put(String receipt, long half, long delay) {
    long due = clock.getAsLong() + delay;
    held.put(receipt, new Lease(half, due));
    ring(due);
  }

  private void ring(long at) {
    if (at >= rings) {
      return;
    }
    if (alarm != null) {
      alarm.cancel(false);
    }
    rings = at;
    try {
      alarm = timer.schedule(() -> calls.execute(this::extendDue), at - clock.getAsLong(), TimeUnit.NANOSECONDS);
    } catch (RejectedExecutionException closed) {
      held.clear();
    }
  }
}
