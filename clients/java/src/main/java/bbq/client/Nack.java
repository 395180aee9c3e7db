package bbq.client;

import java.time.Duration;

/**
 * How to give messages back.
 *
 * @param delay how long they wait before their next attempt; the queue's backoff if null
 * @param deadLetter whether to dead-letter them now instead of another attempt
 * @param reason kept with dead-lettered messages; at most 1 KiB
 */
public record Nack(Duration delay, boolean deadLetter, String reason) {
  /** Back into the queue, with its own backoff. */
  public static Nack now() {
    return new Nack(null, false, "");
  }

  /** Back into the queue after so long. */
  public static Nack after(Duration delay) {
    return new Nack(delay, false, "");
  }

  /** To the dead-letter queue, with a reason. */
  public static Nack toDeadLetters(String reason) {
    return new Nack(null, true, reason);
  }
}
