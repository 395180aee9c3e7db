package bbq.client;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

/** When leases are extended, with a clock that the test moves and an alarm that it rings. */
class LeasesTest {
  @Test
  void aLeaseOfUnknownLengthIsGuessedLow() {
    Instant now = Instant.ofEpochSecond(100);
    assertEquals(Duration.ofSeconds(20), Leases.guess(now.plusSeconds(20), now));
    assertEquals(Leases.LEASE_GUESS_MAX, Leases.guess(now.plusSeconds(100), now));
    assertEquals(Leases.LEASE_MIN, Leases.guess(now.minusSeconds(100), now));
  }

  @Test
  void whatIsHeldIsExtendedAtHalfItsTimeTogetherUntilItIsReleased() {
    AtomicLong clock = new AtomicLong();
    List<Set<String>> calls = new ArrayList<>();
    ScheduledExecutorService timer = Executors.newSingleThreadScheduledExecutor();
    try {
      Leases leases = new Leases(
          (receipts, within) -> {
            calls.add(Set.copyOf(receipts));
            return List.of();
          },
          timer,
          work -> {},
          clock::get);
      leases.hold("a", Duration.ofSeconds(10));
      leases.hold("b", Duration.ofSeconds(10));
      clock.addAndGet(Duration.ofSeconds(3).toNanos());
      leases.extendDue();
      assertEquals(List.of(), calls);
      clock.addAndGet(Duration.ofSeconds(2).toNanos());
      leases.extendDue();
      assertEquals(List.of(Set.of("a", "b")), calls);
      leases.release("a");
      clock.addAndGet(Duration.ofSeconds(5).toNanos());
      leases.extendDue();
      assertEquals(List.of(Set.of("a", "b"), Set.of("b")), calls);
      leases.clear();
      clock.addAndGet(Duration.ofSeconds(60).toNanos());
      leases.extendDue();
      assertEquals(2, calls.size());
    } finally {
      timer.shutdownNow();
    }
  }
}
