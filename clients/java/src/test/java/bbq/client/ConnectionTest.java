package bbq.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.Status;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.function.Executable;

/** How connecting fails, and what a call says that never left. */
@Timeout(300)
class ConnectionTest {
  private static final Profile NOBODY = Profile.of("http://127.0.0.1:1", null, null);

  @Test
  void noServerFailsTheConnecting() {
    CallException error = unprocessed(Status.Code.UNAVAILABLE, () -> Client.connect(NOBODY));
    assertTrue(error.getMessage().contains("is the server running? start it with `bbq serve`"), error.getMessage());
  }

  @Test
  void aLazyClientFailsWithItsFirstCallAndReachesAServerThatComesLater() throws Exception {
    try (Server server = Server.open();
        Proxy proxy = new Proxy(0);
        Client client = Client.connectLazily(Profile.of("http://127.0.0.1:" + proxy.port(), null, null))) {
      unprocessed(Status.Code.UNAVAILABLE, () -> client.publish("q", "x"));
      unprocessed(Status.Code.UNAVAILABLE, () -> client.subscribe("q"));
      proxy.become(server.port());
      assertEquals(1, client.publish("q", "x"));
    }
  }

  @Test
  void anAttemptThatNobodyAnswersFailsAfterItsTimeAndNothingWasSent() throws Exception {
    try (ServerSocket silent = new ServerSocket(0, 50, InetAddress.getLoopbackAddress())) {
      for (String scheme : new String[] {"http", "https"}) {
        Profile profile = Profile.of(scheme + "://127.0.0.1:" + silent.getLocalPort(), null, null);
        CallException error = unprocessed(Status.Code.UNAVAILABLE, () -> Client.connect(profile));
        String said = "cannot reach " + profile.url() + ": no answer within 5 s; is the server running there?";
        assertEquals(said, error.getMessage());
      }
    }
  }

  @Test
  void aCallThatIsNotConnectedBeforeItsDeadlineSaysThatNothingWasSent() throws Exception {
    try (ServerSocket silent = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
        Client client = Client.connectLazily(Profile.of("https://127.0.0.1:" + silent.getLocalPort(), null, null))) {
      Client hasty = client.withDeadline(Duration.ofMillis(50));
      for (Executable call : new Executable[] {() -> hasty.publish("q", "x"), () -> hasty.subscribe("q")}) {
        CallException error = unprocessed(Status.Code.DEADLINE_EXCEEDED, call);
        assertTrue(error.getMessage().endsWith("before the deadline; nothing was sent"), error.getMessage());
      }
    }
  }

  @Test
  void aSubscriptionWhoseFirstOpenMeetsAServerThatIsGoingAwayGoesOnTrying() throws Exception {
    try (Server server = Server.open(); Client client = server.client()) {
      server.refusals.set(2);
      try (Subscription subscription = client.subscribe("q", SubscribeOptions.defaults().autoExtend(false))) {
        assertEquals("r1", subscription.next(Duration.ofSeconds(60)).orElseThrow().receipt());
      }
    }
  }

  @Test
  void aCertificateThatIsNotAcceptedEndsSubscriptionsAndCallsAtTheFirstTry() throws Exception {
    try (Server server = Server.secure("ours"); Server other = Server.secure("another"); Proxy proxy = new Proxy(server.port())) {
      Profile profile = Profile.of("https://127.0.0.1:" + proxy.port(), Server.pem("ours.pem"), null);
      try (Client client = Client.connect(profile);
          Subscription subscription = client.subscribe("q", SubscribeOptions.defaults().autoExtend(false))) {
        subscription.next();
        proxy.become(other.port());
        refused(unprocessed(Status.Code.UNAVAILABLE, subscription::next));
        refused(unprocessed(Status.Code.UNAVAILABLE, () -> client.publish("q", "x")));
        refused(unprocessed(Status.Code.UNAVAILABLE, () -> Client.connect(profile)));
      }
    }
  }

  @Test
  void whatIsCalledAfterClosingDidNothingAndWhatClosingCutMayHave() throws Exception {
    try (Server server = Server.shut()) {
      Client client = server.client();
      CompletableFuture<Long> cut = CompletableFuture.supplyAsync(() -> client.publish("q", "x"));
      assertTrue(server.arrived.await(60, TimeUnit.SECONDS), "nothing was published");
      client.close();
      CallException error = (CallException)
          assertThrows(ExecutionException.class, () -> cut.get(60, TimeUnit.SECONDS)).getCause();
      assertEquals(Status.Code.CANCELLED, error.code());
      assertFalse(error.isUnprocessed());
      assertEquals("the client was closed; whether the call had an effect is not known", error.getMessage());
      unprocessed(Status.Code.CANCELLED, () -> client.publish("q", "x"));
      unprocessed(Status.Code.CANCELLED, () -> client.publisher("q").publish("x"));
      server.gate.countDown();
    }
  }

  private static CallException unprocessed(Status.Code code, Executable call) {
    CallException error = assertThrows(CallException.class, call);
    assertEquals(code, error.code(), error.getMessage());
    assertTrue(error.isUnprocessed(), error.getMessage());
    return error;
  }

  private static void refused(CallException error) {
    assertTrue(error.getMessage().contains("the profile's `ca` is not what signed this server's certificate"), error.getMessage());
    assertFalse(Connection.Repeat.ANYTIME.allows(error));
  }
}
