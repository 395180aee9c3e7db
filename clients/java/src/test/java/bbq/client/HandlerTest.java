package bbq.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.Status;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What becomes of a message that a handler was given, and who hears of what went wrong. */
@Timeout(300)
class HandlerTest {
  @Test
  void anAckThatChangedNothingIsTold() throws Exception {
    try (Server server = Server.open()) {
      server.stale = true;
      List<String> told = run(server, delivery -> {}, 1);
      assertEquals(1, told.size());
      assertTrue(told.get(0).startsWith("r1 bbq.client.ReceiptException: receipt r1 changed nothing"), told.get(0));
    }
  }

  @Test
  void whatAHandlerThrowsIsToldAndIsTheReasonOfTheNack() throws Exception {
    try (Server server = Server.open()) {
      List<String> told = run(
          server,
          delivery -> {
            throw new IOException("no such customer");
          },
          1);
      assertEquals(List.of("r1 java.io.IOException: no such customer"), told);
      assertEquals("java.io.IOException: no such customer", server.nacks.element().getReason());
    }
  }

  @Test
  void whatAHandlerSettlesItselfIsSettledOnceAndWhatBecameOfThatIsToldOnce() throws Exception {
    List<Subscription.Handler> handlers = List.of(
        delivery -> {
          assertThrows(ReceiptException.class, delivery::ack);
          assertThrows(ReceiptException.class, delivery::ack);
          assertThrows(ReceiptException.class, delivery::nack);
        },
        Delivery::ack);
    for (Subscription.Handler handler : handlers) {
      try (Server server = Server.open()) {
        server.stale = true;
        List<String> told = run(server, handler, 1);
        assertEquals(1, told.size(), told.toString());
        assertTrue(told.get(0).startsWith("r1 bbq.client.ReceiptException: receipt r1 changed nothing"), told.get(0));
        assertEquals(List.of(1, 0), List.of(server.acks.size(), server.nacks.size()));
      }
    }
  }

  @Test
  void aSettlementWithoutAnAnswerMayBeTriedAgainButNotTurnedRound() throws Exception {
    try (Server server = Server.open(); Client client = server.client()) {
      Delivery delivery = client.receive("q", 1, Duration.ZERO).get(0);
      server.unanswered = true;
      assertEquals(Status.Code.INTERNAL, assertThrows(CallException.class, delivery::nack).code());
      server.unanswered = false;
      assertThrows(CallException.class, delivery::ack);
      assertThrows(CallException.class, () -> delivery.nack(Nack.after(Duration.ofSeconds(1))));
      delivery.nack();
      delivery.nack();
      assertEquals(List.of(0, 2), List.of(server.acks.size(), server.nacks.size()));
    }
  }

  @Test
  void closingASubscriptionWaitsForSettlementsOnTheirWay() throws Exception {
    try (Server server = Server.shut(); Client client = server.client()) {
      Subscription subscription = client.subscribe("q");
      CompletableFuture<Void> acked = subscription.next().orElseThrow().ackAsync();
      Thread closing = new Thread(subscription::close);
      closing.start();
      while (closing.getState() != Thread.State.WAITING && closing.isAlive()) {
        Thread.onSpinWait();
      }
      assertTrue(closing.isAlive(), "it was closed before the ack was answered");
      server.gate.countDown();
      acked.get(60, TimeUnit.SECONDS);
      closing.join();
    }
  }

  @Test
  void whatIsCalledWhenASettlementIsAnsweredDoesNotWaitForItself() throws Exception {
    try (Server server = Server.shut(); Client client = server.client()) {
      Subscription subscription = client.subscribe("q");
      Delivery first = subscription.next().orElseThrow();
      List<Delivery> others = Stream.generate(() -> client.receive("q", 1, Duration.ZERO).get(0)).limit(3).toList();
      List<CompletableFuture<Void>> settled = new ArrayList<>();
      CompletableFuture<Boolean> waited = new CompletableFuture<>();
      first.ackAsync().thenRun(() -> {
        client.receive("q", 1, Duration.ZERO).get(0).ack();
        subscription.close();
        waited.complete(settled.stream().allMatch(CompletableFuture::isDone));
      });
      settled.add(others.get(0).ackAsync());
      settled.add(others.get(1).nackAsync(Nack.now()));
      settled.add(others.get(2).ackAsync());
      server.gate.countDown();
      assertTrue(waited.get(60, TimeUnit.SECONDS), "it did not wait for the others");
    }
  }

  @Test
  void aReasonHasAtMostAThousandBytesAndWholeCharacters() {
    assertEquals("short", reason("short"));
    assertEquals("x".repeat(1_000), reason("x".repeat(5_000)));
    assertEquals("x" + "🔥".repeat(249), reason("x" + "🔥".repeat(500)));
    assertEquals("a?", reason("a\ud83d"));
  }

  @Test
  void aSettlementTakesTheDeadlineOfTheClientThatItsMessageWasDeliveredTo() throws Exception {
    try (Server server = Server.open(); Client client = server.client()) {
      Delivery first = client.withDeadline(Duration.ofHours(1)).receive("q", 1, Duration.ZERO).get(0);
      Delivery second = client.withDeadline(Duration.ofMinutes(10)).receive("q", 1, Duration.ZERO).get(0);
      Delivery third = client.receive("q", 1, Duration.ZERO).get(0);
      for (Delivery delivery : List.of(first, second, third)) {
        delivery.ack();
      }
      // Between those of the others, however slow this machine is.
      List<Long> left = List.copyOf(server.ackSeconds);
      assertTrue(left.get(0) > 600 && left.get(1) <= 600 && left.get(1) > 30 && left.get(2) <= 30, left.toString());
    }
  }

  private static String reason(String message) {
    return Nack.because(new Exception() {
      private static final long serialVersionUID = 1L;

      @Override
      public String toString() {
        return message;
      }
    }).reason();
  }

  /** Lets the handler have the one message, and returns what {@code onError} was told: so many things. */
  private static List<String> run(Server server, Subscription.Handler handler, int things) throws Exception {
    Queue<String> told = new ConcurrentLinkedQueue<>();
    CountDownLatch all = new CountDownLatch(things);
    SubscribeOptions options = SubscribeOptions.defaults().onError((delivery, error) -> {
      told.add(delivery.receipt() + " " + error);
      all.countDown();
    });
    try (Client client = server.client(); Subscription subscription = client.subscribe("q", options)) {
      CompletableFuture<Void> running = CompletableFuture.runAsync(() -> subscription.run(handler, 2));
      assertTrue(all.await(60, TimeUnit.SECONDS), "it is not told");
      subscription.close();
      running.get(60, TimeUnit.SECONDS);
    }
    return List.copyOf(told);
  }
}
