package bbq.conformance;

import static bbq.conformance.Check.fails;
import static bbq.conformance.Check.holds;
import static bbq.conformance.Check.same;
import static bbq.conformance.Check.stale;
import static bbq.conformance.Check.take;
import static bbq.conformance.Check.until;
import static bbq.conformance.Check.untilCounts;

import bbq.client.CallException;
import bbq.client.Client;
import bbq.client.Delivery;
import bbq.client.Nack;
import bbq.client.Profile;
import bbq.client.Publisher;
import bbq.client.SubscribeOptions;
import bbq.client.Subscription;
import bbq.v1.AckRequest;
import bbq.v1.CreateQueueRequest;
import bbq.v1.CreateTokenRequest;
import bbq.v1.GetQueueRequest;
import bbq.v1.Grant;
import bbq.v1.Message;
import bbq.v1.Ordering;
import bbq.v1.Permission;
import bbq.v1.PublishResult;
import bbq.v1.QueueSettings;
import bbq.v1.ReceiptFailure;
import bbq.v1.TransactRequest;
import bbq.v1.UpdateQueueRequest;
import com.fasterxml.jackson.databind.JsonNode;
import com.google.protobuf.ByteString;
import com.google.protobuf.FieldMask;
import io.grpc.Status;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;

/** The scenarios of clients/conformance/scenarios.md, in its order and words. */
record Scenarios(Host host, Client client, String queue, int messages, int subscriptions) {
  private static final SubscribeOptions TEN_MINUTES = SubscribeOptions.defaults().lease(Duration.ofMinutes(10));
  private static final Duration LONG = Duration.ofSeconds(30);

  void run(String scenario) throws Exception {
    switch (scenario) {
      case "publish-consume" -> publishConsume();
      case "cancel" -> cancel();
      case "restart", "kill" -> comesBack(scenario);
      case "lease-expiry" -> leaseExpiry();
      case "lease-extension" -> leaseExtension();
      case "stale-receipt" -> staleReceipt();
      case "handler" -> handler();
      case "refusals" -> refusals();
      case "errors" -> errors();
      case "large-body" -> largeBody();
      case "binary-bodies" -> binaryBodies();
      case "unicode" -> unicode();
      case "deadline" -> deadline();
      case "idle" -> idle();
      default -> throw new AssertionError("there is no scenario " + scenario);
    }
  }

  private void publishConsume() throws Exception {
    create(queue);
    List<CompletableFuture<PublishResult>> confirmed = new ArrayList<>();
    try (Publisher publisher = client.publisher(queue)) {
      for (int i = 0; i < messages; i++) {
        confirmed.add(publisher.publish(String.valueOf(i)));
      }
    }
    for (int i = 0; i < messages; i++) {
      same(i + 1L, confirmed.get(i).get(60, TimeUnit.SECONDS).getSequence(), "the sequence of " + i);
    }
    Subscription subscription = client.subscribe(queue, SubscribeOptions.defaults().maxInFlight(500));
    Set<Integer> acked = new HashSet<>();
    List<CompletableFuture<Void>> settled = new ArrayList<>();
    while (acked.size() < messages) {
      Delivery delivery = take(subscription);
      int i = Integer.parseInt(delivery.text());
      boolean again = i % 100 == 0;
      if (again && delivery.attempt() == 1) {
        settled.add(delivery.nackAsync(Nack.now()));
        continue;
      }
      same(again ? 2 : 1, delivery.attempt(), "the attempt at " + i);
      holds(acked.add(i), i + " came twice");
      settled.add(delivery.ackAsync());
    }
    CompletableFuture.allOf(settled.toArray(CompletableFuture[]::new)).get(60, TimeUnit.SECONDS);
    untilCounts(client, queue, 0, 0);
    subscription.close();
    untilCounts(client, queue, 0, 0, 0);
  }

  private void cancel() {
    create(queue);
    client.publishAll(queue, numbered(10));
    Subscription first = client.subscribe(queue, TEN_MINUTES.maxInFlight(10));
    take(first, 10).subList(0, 3).forEach(Delivery::ack);
    first.cancel();
    try (Client other = Client.connect(Profile.find())) {
      List<Delivery> rest = take(other.subscribe(queue, TEN_MINUTES), 7);
      same(List.of(4L, 5L, 6L, 7L, 8L, 9L, 10L), rest.stream().map(Delivery::sequence).toList(), "what came back");
      rest.forEach(delivery -> same(2, delivery.attempt(), "the attempt"));
      rest.subList(0, 6).forEach(Delivery::ack);
    }
    try (Subscription third = client.subscribe(queue, TEN_MINUTES)) {
      Delivery last = take(third);
      same(List.of(10L, 3), List.of(last.sequence(), last.attempt()), "the last one");
      last.ack();
      untilCounts(client, queue, 0, 0);
    }
  }

  private void comesBack(String how) {
    create(queue);
    client.publishAll(queue, numbered(20));
    Subscription subscription = client.subscribe(queue, TEN_MINUTES.maxInFlight(5));
    Set<Long> acked = new HashSet<>();
    for (Delivery delivery : take(subscription, 5).subList(0, 2)) {
      delivery.ack();
      acked.add(delivery.sequence());
    }
    host.ask(how);
    while (acked.size() < 20) {
      Delivery delivery = take(subscription);
      holds(acked.add(delivery.sequence()), delivery.sequence() + " was acked and came again");
      delivery.ack();
    }
    until("the client publishes again", () -> {
      try {
        client.publish(queue, "again");
        return true;
      } catch (CallException error) {
        same(Status.Code.UNAVAILABLE, error.code(), error.getMessage());
        return false;
      }
    });
    Delivery last = take(subscription);
    same("again", last.text(), "the last one");
    last.ack();
    untilCounts(client, queue, 0, 0);
    subscription.close();
  }

  private void leaseExpiry() {
    create(queue, QueueSettings.newBuilder().setLeaseDuration(seconds(1)));
    client.publish(queue, "one");
    Delivery first = receive();
    long since = System.nanoTime();
    Delivery second = receive();
    holds(System.nanoTime() - since >= 900_000_000L, "it came back before its lease ended");
    same(List.of(first.sequence(), 2), List.of(second.sequence(), second.attempt()), "the second delivery");
    stale("SUPERSEDED", first::nack);
    stale("SUPERSEDED", () -> first.extend(Duration.ofSeconds(1)));
    same(List.of("SUPERSEDED"), whys(client.ack(queue, List.of(first.receipt()))), "the late ack");
    second.ack();

    client.publish(queue, "two");
    Delivery third = receive();
    client.admin(calls -> calls.updateQueue(UpdateQueueRequest.newBuilder()
        .setName(queue)
        .setSettings(QueueSettings.newBuilder().setPaused(true))
        .setUpdateMask(FieldMask.newBuilder().addPaths("paused"))
        .build()));
    untilCounts(client, queue, 1, 0);
    stale("EXPIRED", () -> third.extend(Duration.ofSeconds(1)));
    third.ack();
    untilCounts(client, queue, 0, 0);
  }

  private void leaseExtension() {
    create(queue, QueueSettings.newBuilder().setLeaseDuration(seconds(20)));
    client.publish(queue, "one");
    Subscription subscription = client.subscribe(queue);
    Delivery held = take(subscription);
    same(Optional.empty(), subscription.next(Duration.ofSeconds(35)), "what was delivered again");
    untilCounts(client, queue, 0, 1);
    held.ack();
    subscription.close();
  }

  private void staleReceipt() {
    String other = queue + "-2";
    create(queue);
    create(other);
    client.publishAll(queue, List.of(Client.message("one"), Client.message("two")));
    Subscription subscription = client.subscribe(queue, TEN_MINUTES);
    List<Delivery> both = take(subscription, 2);
    Delivery second = both.get(1);
    both.get(0).ack();
    List<String> settled = List.of(both.get(0).receipt());
    same(List.of(), whys(client.ack(queue, settled)), "ack again");
    same(List.of("GONE"), whys(client.nack(queue, settled, Nack.now())), "nack of what is settled");
    same(List.of("GONE"), whys(client.extend(queue, settled, null)), "extend of what is settled");
    same(List.of("UNKNOWN"), whys(client.ack(queue, List.of("not-a-receipt"))), "ack of nothing");
    same(List.of("UNKNOWN"), whys(client.ack(other, List.of(second.receipt()))), "ack in another queue");
    subscription.close();
    Subscription again = client.subscribe(queue, TEN_MINUTES);
    Delivery latest = take(again);
    stale("SUPERSEDED", second::ack);
    AckRequest old = AckRequest.newBuilder().setQueue(queue).addReceipts(second.receipt()).build();
    fails("ABORTED", "STALE_RECEIPT", () -> client.transact(TransactRequest.newBuilder().addAcks(old).build()));
    latest.ack();
    again.close();
  }

  private void handler() throws Exception {
    create(queue);
    client.publish(queue, "one");
    List<Long> times = Collections.synchronizedList(new ArrayList<>());
    try (Subscription subscription = client.subscribe(queue)) {
      CompletableFuture<Void> running = CompletableFuture.runAsync(() -> subscription.run(
          delivery -> {
            times.add(System.nanoTime());
            if (delivery.attempt() == 1) {
              delivery.nack(Nack.after(Duration.ofSeconds(1)));
            }
          },
          1));
      until("it comes again", () -> times.size() == 2);
      holds(times.get(1) - times.get(0) >= 900_000_000L, "it came back before its delay was over");
      untilCounts(client, queue, 0, 0);
      subscription.close();
      running.get(60, TimeUnit.SECONDS);
    }
    same(2, times.size(), "how often it came");
  }

  private void refusals() {
    create(queue);
    fails("NOT_FOUND", "QUEUE_NOT_FOUND", () -> client.publish(queue + "-none", "x"));
    fails("NOT_FOUND", "QUEUE_NOT_FOUND", () -> client.subscribe(queue + "-none").next());
    fails("ALREADY_EXISTS", "QUEUE_EXISTS", () -> create(queue, QueueSettings.newBuilder().setMaxAttempts(7)));
    fails("INVALID_ARGUMENT", "INVALID_FIELD", () -> create("bad name"));
    create(queue + "-fifo", QueueSettings.newBuilder().setOrdering(Ordering.ORDERING_FIFO));
    Message urgent = Message.newBuilder().setPriority(5).build();
    fails("FAILED_PRECONDITION", "PRIORITY_IN_FIFO", () -> client.publish(queue + "-fifo", urgent));
    Message once = Message.newBuilder().setDeduplicationId("x").build();
    fails("FAILED_PRECONDITION", "DEDUPLICATION_OFF", () -> client.publish(queue, once));
    create(queue + "-small", QueueSettings.newBuilder().setMaxMessages(1));
    fails("RESOURCE_EXHAUSTED", "QUEUE_FULL", () -> client.publishAll(queue + "-small", numbered(2)));
    refusedWith("wrong", "UNAUTHENTICATED", "BAD_TOKEN");
    refusedWith(null, "UNAUTHENTICATED", "NO_TOKEN");
    Grant grant = Grant.newBuilder().setPermission(Permission.PERMISSION_CONSUME).setQueues(queue).build();
    CreateTokenRequest request = CreateTokenRequest.newBuilder().setName(queue + "-token").addGrants(grant).build();
    refusedWith(client.admin(calls -> calls.createToken(request)).getSecret(), "PERMISSION_DENIED", "PERMISSION_MISSING");
  }

  private void refusedWith(String token, String code, String reason) {
    try (Client other = Client.connect(Profile.find().withToken(token))) {
      fails(code, reason, () -> other.publish(queue, "x"));
    }
  }

  private void errors() {
    JsonNode answer = host.ask("errors");
    Profile profile = Profile.load(Path.of(answer.get("profile").textValue()));
    Set<String> codes = new HashSet<>();
    try (Client whole = Client.connect(profile)) {
      // It connects with the first call, which is none of the cases.
      fails("INTERNAL", "any", () -> whole.publish("none", "x"));
      Client client = whole.withDeadline(Duration.ofSeconds(20));
      for (JsonNode row : answer.get("cases")) {
        String name = row.get("queue").textValue();
        CallException error =
            fails(row.get("code").textValue(), row.get("reason").textValue(), () -> client.publish(name, "x"));
        Long retry = row.get("retry_ms").isNull() ? null : row.get("retry_ms").longValue();
        same(retry, error.retryAfter().map(Duration::toMillis).orElse(null), "when to retry " + name);
        codes.add(row.get("code").textValue());
      }
    }
    same(12, codes.size(), "how many codes there are");
  }

  private void largeBody() {
    create(queue);
    byte[] body = new byte[4_194_304];
    for (int k = 0; k < body.length; k++) {
      body[k] = (byte) (k * 31L % 251);
    }
    client.publish(queue, body);
    Subscription subscription = client.subscribe(queue);
    Delivery delivery = take(subscription);
    holds(Arrays.equals(body, delivery.body()), "the body has changed");
    delivery.nack();
    subscription.close();
    Delivery again = receive();
    holds(Arrays.equals(body, again.body()), "the body has changed");
    again.ack();
    fails("RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED", () -> client.publish(queue, new byte[body.length + 1]));
    client.publish(queue, "after");
    Delivery after = receive();
    same("after", after.text(), "what came after");
    after.ack();
  }

  private void binaryBodies() {
    create(queue);
    byte[] all = new byte[256];
    for (int k = 0; k < all.length; k++) {
      all[k] = (byte) k;
    }
    List<byte[]> bodies = List.of(
        new byte[0], all, new byte[1_000], new byte[] {(byte) 0xff, (byte) 0xfe, (byte) 0xc3, 0x28}, new byte[] {13, 10, 13, 10});
    client.publishAll(queue, bodies.stream().map(Client::message).toList());
    Subscription subscription = client.subscribe(queue);
    List<Delivery> deliveries = take(subscription, bodies.size());
    for (int i = 0; i < bodies.size(); i++) {
      holds(Arrays.equals(bodies.get(i), deliveries.get(i).body()), "body " + i + " has changed");
    }
    deliveries.forEach(Delivery::ack);
    subscription.close();
  }

  private void unicode() {
    create(queue);
    Map<String, String> attributes = Map.of(
        "ключ", "значение", "emoji", "🔥🍖", "combining", "e\u0301", "empty", "", "rtl", "שלום", "nul", "a\0b",
        "漢字 and spaces", "値\n2");
    ByteString fire = ByteString.copyFrom("🔥", StandardCharsets.UTF_8);
    client.publish(queue, Message.newBuilder().setBody(fire).putAllAttributes(attributes).build());
    Subscription subscription = client.subscribe(queue);
    Delivery delivery = take(subscription);
    same(fire, delivery.message().getBody(), "the body");
    same(attributes, delivery.attributes(), "the attributes");
    delivery.ack();
    subscription.close();
  }

  private void deadline() {
    create(queue);
    client.publish(queue, "well");
    host.ask("pause");
    long since = System.nanoTime();
    fails("DEADLINE_EXCEEDED", "any", () -> client.withDeadline(Duration.ofSeconds(1)).publish(queue, "late"));
    long took = (System.nanoTime() - since) / 1_000_000;
    holds(took >= 900 && took <= 25_000, "it took " + took + " ms");
    host.ask("resume");
    client.admin(calls -> calls.getQueue(GetQueueRequest.newBuilder().setName(queue).build()));
  }

  private void idle() {
    create(queue);
    SubscribeOptions one = SubscribeOptions.defaults().maxInFlight(1);
    List<Subscription> all = IntStream.range(0, subscriptions).mapToObj(i -> client.subscribe(queue, one)).toList();
    untilCounts(client, queue, 0, 0, subscriptions);
    client.publishAll(queue, numbered(subscriptions));
    List<Delivery> deliveries = all.stream().map(Check::take).toList();
    same(subscriptions, (int) deliveries.stream().map(Delivery::sequence).distinct().count(), "how many messages came");
    List<CompletableFuture<Void>> settled = deliveries.stream().map(Delivery::ackAsync).toList();
    settled.forEach(CompletableFuture::join);
    untilCounts(client, queue, 0, 0);
    all.forEach(Subscription::close);
    untilCounts(client, queue, 0, 0, 0);
  }

  private void create(String name) {
    create(name, QueueSettings.newBuilder());
  }

  private void create(String name, QueueSettings.Builder settings) {
    CreateQueueRequest request = CreateQueueRequest.newBuilder().setName(name).setSettings(settings).build();
    client.admin(calls -> calls.createQueue(request));
  }

  private Delivery receive() {
    List<Delivery> deliveries = client.receive(queue, 1, LONG);
    same(1, deliveries.size(), "how many were received");
    return deliveries.get(0);
  }

  private static List<Message> numbered(int count) {
    return IntStream.range(0, count).mapToObj(i -> Client.message(String.valueOf(i))).toList();
  }

  private static List<String> whys(List<ReceiptFailure> failures) {
    return failures.stream().map(failure -> failure.getReason().name().replace("RECEIPT_FAILURE_REASON_", "")).toList();
  }

  private static com.google.protobuf.Duration seconds(long seconds) {
    return com.google.protobuf.Duration.newBuilder().setSeconds(seconds).build();
  }
}
