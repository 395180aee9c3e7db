package bbq.client;

import java.nio.charset.StandardCharsets;
import java.time.Duration;

/**
 * How to give messages back.
 *
 * @param delay how long they wait before their next attempt; the queue's backoff if null
 * @param deadLetter whether to dead-letter them now instead of another attempt
 * @param reason kept with dead-lettered messages; at most 1 KiB
 */
public record Nack(Duration delay, boolean deadLetter, String reason) {
  /** The longest reason that the client makes itself, below the server's bound of 1 KiB. */
  private static final int REASON_BYTES_MAX = 1_000;

  /** Back into the queue, with its own backoff. */
  public static Nack now() {
    return new Nack(null, false, "");
  }

  /** Back into the queue after so long. */
  public static Nack after(Duration delay) {
    return new Nack(delay, false, "");
  }

  /** Back into the queue, with its own backoff, because of what was thrown. */
  static Nack because(Throwable thrown) {
    byte[] reason = thrown.toString().getBytes(StandardCharsets.UTF_8);
    int length = Math.min(reason.length, REASON_BYTES_MAX);
    // A character is whole or not there: none begins within one.
    while (length < reason.length && (reason[length] & 0xc0) == 0x80) {
      length--;
    }
    return new Nack(null, false, new String(reason, 0, length, StandardCharsets.UTF_8));
  }

  /** To the dead-letter queue, with a reason. */
  public static Nack toDeadLetters(String reason) {
    return new Nack(null, true, reason);
  }
}
