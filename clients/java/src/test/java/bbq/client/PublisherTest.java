package bbq.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import bbq.v1.Message;
import bbq.v1.PublishRequest;
import bbq.v1.PublishResult;
import com.google.protobuf.ByteString;
import io.grpc.Status;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** Which messages share a call, whom an error reaches, and what a close waits for. */
@Timeout(300)
class PublisherTest {
  /** How long what must happen may take, and how long a close waits that is to see it. */
  private static final long BOUND_S = 60;
  private static final Duration BOUND = Duration.ofSeconds(BOUND_S);


  @ParameterizedTest
  @CsvSource({
    "INVALID_ARGUMENT, DELAY_IN_ORDER",
    "FAILED_PRECONDITION, PRIORITY_IN_FIFO",
    "FAILED_PRECONDITION, NOT_BY_KEY",
    "FAILED_PRECONDITION, DEDUPLICATION_OFF",
    "RESOURCE_EXHAUSTED, LIMIT_EXCEEDED",
    "RESOURCE_EXHAUSTED, REQUEST_TOO_LARGE",
    "RESOURCE_EXHAUSTED, TOO_MANY_DELAYED_MESSAGES",
  })
  void oneMessageThatIsRefusedFailsAlone(String code, String reason) throws Exception {
    try (Server server = Server.shut(); Client client = server.client()) {
      server.refuses = bodies -> bodies.contains("bad");
      server.code = Status.Code.valueOf(code);
      server.reason = reason;
      Publisher publisher = client.publisher("q");
      CompletableFuture<PublishResult> first = held(server, publisher);
      var confirmed = Stream.of("a", "b", "bad", "d", "e").map(publisher::publish).toList();
      server.gate.countDown();
      assertEquals("1", outcome(first));
      assertEquals(List.of("2", "3", reason, "4", "5"), confirmed.stream().map(PublisherTest::outcome).toList());
      assertEquals(5, server.publishes.stream().mapToInt(List::size).max().orElse(0));
      CallException error = assertThrows(CallException.class, publisher::flush);
      assertEquals(reason, error.reason().orElseThrow());
    }
  }

  @Test
  void whatIsAboutAllOfACallIsNotTriedMessageByMessage() throws Exception {
    try (Server server = Server.shut(); Client client = server.client()) {
      server.refuses = bodies -> !bodies.contains("first");
      server.code = Status.Code.RESOURCE_EXHAUSTED;
      server.reason = "QUEUE_FULL";
      Publisher publisher = client.publisher("q");
      held(server, publisher);
      var confirmed = Stream.of("a", "b").map(publisher::publish).toList();
      server.gate.countDown();
      assertEquals(List.of("QUEUE_FULL", "QUEUE_FULL"), confirmed.stream().map(PublisherTest::outcome).toList());
      assertEquals(2, server.publishes.size());
    }
  }

  @Test
  void aCallEndsAtItsBoundOfBytesAsTheyAreOnTheWire() throws Exception {
    Message message = Message.newBuilder().setBody(ByteString.copyFromUtf8("body")).putAttributes("ключ", "значение").build();
    int bytes = PublishRequest.newBuilder().addMessages(message).build().getSerializedSize();
    try (Server server = Server.shut(); Client client = server.client()) {
      Publisher publisher = client.publisher("q", new Publisher.Options(1_000, 3 * bytes, 1, 10_000));
      held(server, publisher);
      for (int i = 0; i < 7; i++) {
        publisher.publish(message);
      }
      server.gate.countDown();
      publisher.flush();
      assertEquals(List.of(1, 3, 3, 1), server.publishes.stream().map(List::size).toList());
    }
  }

  @Test
  void closingTheClientWaitsForWhatPublishersTookAndThenNothingIsTaken() throws Exception {
    try (Server server = Server.shut()) {
      Client client = server.client();
      Publisher publisher =
          client.withDeadline(Duration.ofMinutes(10)).publisher("q", new Publisher.Options(2, 1024, 1, 10_000));
      var confirmed = Stream.of("a", "b", "c", "d", "e").map(publisher::publish).toList();
      CompletableFuture<Void> closing = closing(client, publisher);
      assertClosed("client", assertThrows(CallException.class, () -> publisher.publish("late")));
      server.gate.countDown();
      closing.get(BOUND_S, TimeUnit.SECONDS);
      assertEquals(List.of("1", "2", "3", "4", "5"), confirmed.stream().map(PublisherTest::outcome).toList());
      assertClosed("client", assertThrows(CallException.class, () -> client.publish("q", "late")));
      assertClosed("client", assertThrows(CallException.class, () -> client.publisher("q").publish("late")));
      assertClosed("client", assertThrows(CallException.class, () -> client.subscribe("q")));
      assertClosed("client", assertThrows(CallException.class, () -> client.ack("q", List.of("r1"))));
    }
  }

  @Test
  void closingTheClientTellsThatAMessageWhichWasTakenIsNotConfirmed() throws Exception {
    try (Server server = withoutQueue()) {
      Client client = server.client();
      Publisher publisher = client.publisher("q");
      publisher.publish("a");
      CompletableFuture<Void> closing = closing(client, publisher);
      server.gate.countDown();
      Throwable error = assertThrows(ExecutionException.class, () -> closing.get(BOUND_S, TimeUnit.SECONDS)).getCause();
      assertEquals("QUEUE_NOT_FOUND", ((CallException) error).reason().orElseThrow());
      Client other = server.client();
      assertEquals("QUEUE_NOT_FOUND", outcome(other.publisher("q").publish("told")));
      other.close();
    }
  }

  @Test
  void whoWasToldOfAnErrorIsNotToldAgainByClosing() throws Exception {
    try (Server server = withoutQueue()) {
      Client client = server.client();
      Publisher publisher = client.publisher("q");
      CountDownLatch told = new CountDownLatch(1);
      CountDownLatch began = new CountDownLatch(1);
      var handled = publisher.publish("a").handle((result, error) -> {
        told.countDown();
        return await(began);
      });
      server.gate.countDown();
      assertTrue(await(told));
      CompletableFuture<Void> closing = closing(client, publisher);
      began.countDown();
      assertTrue(handled.get(BOUND_S, TimeUnit.SECONDS));
      closing.get(BOUND_S, TimeUnit.SECONDS);
    }
  }

  @Test
  void closingAPublisherFlushesItAndLeavesTheClientOpen() throws Exception {
    try (Server server = Server.open(); Client client = server.client()) {
      Publisher publisher = client.publisher("q");
      CompletableFuture<PublishResult> confirmed = publisher.publish("a");
      publisher.close();
      assertTrue(confirmed.isDone());
      assertClosed("publisher", assertThrows(CallException.class, () -> publisher.publish("late")));
      assertEquals(2, client.publish("q", "b"));
    }
  }

  @ParameterizedTest
  @EnumSource(Waiting.class)
  void whatIsCalledWhenAMessageIsConfirmedDoesNotWaitForItself(Waiting how) throws Exception {
    try (Server server = Server.shut(); Client client = server.client()) {
      Publisher publisher = client.publisher("q", new Publisher.Options(2, 1024, 1, 5));
      CompletableFuture<PublishResult> first = publisher.publish("a");
      CompletableFuture<Boolean> waited = new CompletableFuture<>();
      List<CompletableFuture<PublishResult>> others = new ArrayList<>();
      first.thenRun(() -> {
        how.call(client, publisher);
        waited.complete(others.stream().allMatch(CompletableFuture::isDone));
      }).whenComplete((done, error) -> waited.complete(false));
      Stream.of("b", "c", "d", "e").map(publisher::publish).forEach(others::add);
      server.gate.countDown();
      assertTrue(waited.get(BOUND_S, TimeUnit.SECONDS), "it did not wait for the others");
      assertEquals(List.of("2", "3", "4", "5"), others.stream().map(PublisherTest::outcome).toList());
    }
  }

  @Test
  void whoIsToldThatAMessageIsConfirmedMayWaitForRoom() throws Exception {
    try (Server server = Server.shut(); Client client = server.client()) {
      Publisher publisher = client.publisher("q", new Publisher.Options(1, 1024, 1, 2));
      CompletableFuture<PublishResult> last =
          publisher.publish("a").thenCompose(first -> Stream.of("c", "d", "e").map(publisher::publish).toList().get(2));
      publisher.publish("b");
      server.gate.countDown();
      assertEquals("5", outcome(last));
    }
  }

  private enum Waiting {
    FLUSH {
      @Override
      void call(Client client, Publisher publisher) {
        publisher.flush();
      }
    },
    CLOSE {
      @Override
      void call(Client client, Publisher publisher) {
        publisher.close();
      }
    },
    CLOSE_THE_CLIENT {
      @Override
      void call(Client client, Publisher publisher) {
        client.close(BOUND);
      }
    };

    abstract void call(Client client, Publisher publisher);
  }

  private static Server withoutQueue() throws Exception {
    Server server = Server.shut();
    server.refuses = bodies -> true;
    server.code = Status.Code.NOT_FOUND;
    server.reason = "QUEUE_NOT_FOUND";
    return server;
  }

  /** Holds the call with a message of its own, so that others share the next one. */
  private static CompletableFuture<PublishResult> held(Server server, Publisher publisher) throws InterruptedException {
    CompletableFuture<PublishResult> first = publisher.publish("first");
    assertTrue(server.arrived.await(BOUND_S, TimeUnit.SECONDS), "nothing was published");
    return first;
  }

  /** Closes the client, and returns when that has begun. */
  private static CompletableFuture<Void> closing(Client client, Publisher publisher) {
    CompletableFuture<Void> closing = CompletableFuture.runAsync(() -> client.close(BOUND));
    while (!publisher.isClosed() && !closing.isDone()) {
      Thread.onSpinWait();
    }
    return closing;
  }

  private static boolean await(CountDownLatch latch) {
    try {
      return latch.await(BOUND_S, TimeUnit.SECONDS);
    } catch (InterruptedException interrupted) {
      return false;
    }
  }

  private static void assertClosed(String what, CallException error) {
    assertEquals(Status.Code.CANCELLED, error.code());
    assertEquals("the " + what + " was closed", error.getMessage());
  }

  /** Its number, or the reason of its error. */
  private static String outcome(CompletableFuture<PublishResult> confirmed) {
    try {
      return String.valueOf(confirmed.orTimeout(BOUND_S, TimeUnit.SECONDS).join().getSequence());
    } catch (CompletionException failed) {
      return ((CallException) failed.getCause()).reason().orElseThrow();
    }
  }
}
