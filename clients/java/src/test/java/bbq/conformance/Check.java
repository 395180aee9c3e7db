package bbq.conformance;

import bbq.client.BbqException;
import bbq.client.CallException;
import bbq.client.Client;
import bbq.client.Delivery;
import bbq.client.ReceiptException;
import bbq.client.Subscription;
import bbq.v1.GetQueueRequest;
import bbq.v1.QueueStats;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.function.BooleanSupplier;

/** What must hold, and waiting for it with a bound. */
final class Check {
  /** The longest that anything which must happen may take. */
  static final Duration BOUND = Duration.ofSeconds(60);

  private Check() {}

  static void holds(boolean what, String otherwise) {
    if (!what) {
      throw new AssertionError(otherwise);
    }
  }

  static void same(Object wanted, Object found, String what) {
    holds(Objects.equals(wanted, found), what + ": wanted " + wanted + ", found " + found);
  }

  /** Repeats until it holds. */
  static void until(String what, BooleanSupplier holds) {
    long end = System.nanoTime() + BOUND.toNanos();
    while (!holds.getAsBoolean()) {
      holds(System.nanoTime() < end, "not within " + BOUND + ": " + what);
      pause(20);
    }
  }

  static void pause(long ms) {
    try {
      Thread.sleep(ms);
    } catch (InterruptedException interrupted) {
      throw new AssertionError(interrupted);
    }
  }

  /** The next deliveries of a subscription. */
  static List<Delivery> take(Subscription subscription, int count, Duration within) {
    long end = System.nanoTime() + within.toNanos();
    List<Delivery> taken = new ArrayList<>();
    while (taken.size() < count) {
      Duration left = Duration.ofNanos(end - System.nanoTime());
      taken.add(subscription.next(left).orElseThrow(
          () -> new AssertionError("only " + taken.size() + " of " + count + " deliveries within " + within)));
    }
    return taken;
  }

  static List<Delivery> take(Subscription subscription, int count) {
    return take(subscription, count, BOUND);
  }

  static Delivery take(Subscription subscription) {
    return take(subscription, 1).get(0);
  }

  /** The queue's counts become these; -1 stands for any number of consumers. */
  static void untilCounts(Client client, String queue, long ready, long leased, long consumers) {
    GetQueueRequest request = GetQueueRequest.newBuilder().setName(queue).build();
    until("ready, leased, consumers of " + queue + " are " + List.of(ready, leased, consumers), () -> {
      QueueStats stats = client.admin(calls -> calls.getQueue(request)).getQueue().getStats();
      boolean consuming = consumers < 0 || stats.getConsumers() == consumers;
      return stats.getReady() == ready && stats.getLeased() == leased && consuming;
    });
  }

  static void untilCounts(Client client, String queue, long ready, long leased) {
    untilCounts(client, queue, ready, leased, -1);
  }

  /** A call fails with this code and, unless that is "any", this reason; null is none. */
  static CallException fails(String code, String reason, Runnable call) {
    CallException error = failure(CallException.class, code, call);
    same(code, error.code().name(), "the code of: " + error.getMessage());
    if (!"any".equals(reason)) {
      same(reason, error.reason().orElse(null), "the reason of: " + error.getMessage());
    }
    return error;
  }

  /** A receipt fails for this reason. */
  static void stale(String why, Runnable call) {
    ReceiptException error = failure(ReceiptException.class, why, call);
    same("RECEIPT_FAILURE_REASON_" + why, error.why().name(), error.getMessage());
  }

  private static <E extends BbqException> E failure(Class<E> type, String wanted, Runnable call) {
    try {
      call.run();
    } catch (BbqException error) {
      holds(type.isInstance(error), "wanted " + wanted + ", failed with " + error);
      return type.cast(error);
    }
    throw new AssertionError("succeeded; wanted " + wanted);
  }
}
