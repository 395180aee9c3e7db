package bbq.client;

import java.time.Duration;
import java.util.function.BiConsumer;

/**
 * What a subscription may differ in from the defaults.
 *
 * @param maxInFlight the most messages held unsettled: 1 to 10,000; 0 means 100
 * @param maxInFlightBytes the most bytes held unsettled; 0 means 16 MiB. One message always fits
 * @param lease how long each lease lasts: 1 s to 12 h; null means what the queue says. Set it where the clocks of server and client may
 *     differ by half of that: extending in time needs the length, and otherwise it is read from both clocks
 * @param consumerName what {@code bbq leases} shows; at most 128 bytes
 * @param autoExtend whether leases are extended at half their time until their delivery is settled
 * @param onError is told what {@code run} would keep to itself: what a handler threw, and what a settlement failed with, of {@code run}
 *     or of the handler, after which the message may come again; null writes it to the logger {@code bbq.client}
 */
public record SubscribeOptions(
    int maxInFlight,
    long maxInFlightBytes,
    Duration lease,
    String consumerName,
    boolean autoExtend,
    BiConsumer<Delivery, Throwable> onError) {
  /** The defaults. */
  public static SubscribeOptions defaults() {
    return new SubscribeOptions(0, 0, null, "", true, null);
  }

  /** With another number of messages in flight. */
  public SubscribeOptions maxInFlight(int messages) {
    return new SubscribeOptions(messages, maxInFlightBytes, lease, consumerName, autoExtend, onError);
  }

  /** With another number of bytes in flight. */
  public SubscribeOptions maxInFlightBytes(long bytes) {
    return new SubscribeOptions(maxInFlight, bytes, lease, consumerName, autoExtend, onError);
  }

  /** With leases of this length. */
  public SubscribeOptions lease(Duration length) {
    return new SubscribeOptions(maxInFlight, maxInFlightBytes, length, consumerName, autoExtend, onError);
  }

  /** With a name. */
  public SubscribeOptions consumerName(String name) {
    return new SubscribeOptions(maxInFlight, maxInFlightBytes, lease, name, autoExtend, onError);
  }

  /** With leases extended, or not. */
  public SubscribeOptions autoExtend(boolean extend) {
    return new SubscribeOptions(maxInFlight, maxInFlightBytes, lease, consumerName, extend, onError);
  }

  /** With someone who hears of errors. */
  public SubscribeOptions onError(BiConsumer<Delivery, Throwable> listener) {
    return new SubscribeOptions(maxInFlight, maxInFlightBytes, lease, consumerName, autoExtend, listener);
  }
}
