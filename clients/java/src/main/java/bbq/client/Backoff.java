package bbq.client;

import java.time.Duration;
import java.util.concurrent.ThreadLocalRandom;

/** Delays between tries: a random part of a bound that doubles, up to 100 ms first, up to 5 s in the end. */
final class Backoff {
  private static final long INITIAL_MS = 100;
  private static final long MAX_MS = 5_000;
  private long bound = INITIAL_MS;

  /** The next delay: at least what the server asked for. */
  Duration delay(CallException error) {
    long jittered = ThreadLocalRandom.current().nextLong(bound + 1);
    bound = Math.min(bound * 2, MAX_MS);
    return error.retryAfter().orElse(Duration.ZERO).plusMillis(jittered);
  }

  /** Starts over after a success. */
  void reset() {
    bound = INITIAL_MS;
  }
}
