package bbq.client;

import bbq.v1.AckRequest;
import bbq.v1.AckResponse;
import bbq.v1.NackRequest;
import bbq.v1.NackResponse;
import bbq.v1.PublishRequest;
import bbq.v1.PublishResponse;
import bbq.v1.PublishResult;
import bbq.v1.QueueServiceGrpc;
import bbq.v1.ReceiptFailure;
import bbq.v1.ReceiptFailureReason;
import bbq.v1.ReceiveRequest;
import bbq.v1.ReceiveResponse;
import bbq.v1.SubscribeRequest;
import bbq.v1.SubscribeResponse;
import com.google.protobuf.Any;
import com.google.rpc.ErrorInfo;
import io.grpc.Context;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.ServerCredentials;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsServerCredentials;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.StreamObserver;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Predicate;

/** A server over HTTP/2 on loopback, without TLS unless asked for: it refuses what the test says, and keeps what it was asked. */
final class Server extends QueueServiceGrpc.QueueServiceImplBase implements AutoCloseable {
  /** The bodies of each publish, in the order in which they came. */
  final Queue<List<String>> publishes = new ConcurrentLinkedQueue<>();
  final Queue<AckRequest> acks = new ConcurrentLinkedQueue<>();
  final Queue<NackRequest> nacks = new ConcurrentLinkedQueue<>();
  /** How many seconds each Ack had left. */
  final Queue<Long> ackSeconds = new ConcurrentLinkedQueue<>();
  /** Opens when the first publish has come. */
  final CountDownLatch arrived = new CountDownLatch(1);
  /** Publishes and acks wait for it. */
  final CountDownLatch gate;
  /** Which publishes are refused, and how. */
  Predicate<List<String>> refuses = bodies -> false;
  Status.Code code = Status.Code.INVALID_ARGUMENT;
  String reason = "INVALID_FIELD";
  /** Whether receipts settle nothing. */
  boolean stale;
  /** Whether settlements fail, and nothing is said of their receipts. */
  volatile boolean unanswered;
  /** How many subscriptions meet a server that is going away. */
  final AtomicInteger refusals = new AtomicInteger();
  private long sequence;
  private final io.grpc.Server server;

  private Server(CountDownLatch gate, ServerCredentials credentials) throws IOException {
    this.gate = gate;
    server = Grpc.newServerBuilderForPort(0, credentials).addService(this).build().start();
  }

  static Server open() throws IOException {
    return new Server(new CountDownLatch(0), InsecureServerCredentials.create());
  }

  static Server shut() throws IOException {
    return new Server(new CountDownLatch(1), InsecureServerCredentials.create());
  }

  /** With TLS and this certificate of the tests' resources. */
  static Server secure(String name) throws IOException {
    InputStream key = new ByteArrayInputStream(pem(name + ".key").getBytes(StandardCharsets.UTF_8));
    InputStream certificate = new ByteArrayInputStream(pem(name + ".pem").getBytes(StandardCharsets.UTF_8));
    return new Server(new CountDownLatch(0), TlsServerCredentials.create(certificate, key));
  }

  /** A certificate or key of the tests' resources: for tests alone, and trusted by nobody else. */
  static String pem(String name) throws IOException {
    try (InputStream file = Server.class.getResourceAsStream(name)) {
      return new String(file.readAllBytes(), StandardCharsets.UTF_8);
    }
  }

  int port() {
    return server.getPort();
  }

  Client client() {
    return Client.connect(Profile.of("http://127.0.0.1:" + port(), null, null));
  }

  @Override
  public void publish(PublishRequest request, StreamObserver<PublishResponse> answer) {
    List<String> bodies = request.getMessagesList().stream().map(message -> message.getBody().toStringUtf8()).toList();
    publishes.add(bodies);
    arrived.countDown();
    pass();
    if (refuses.test(bodies)) {
      answer.onError(refusal());
      return;
    }
    PublishResponse.Builder response = PublishResponse.newBuilder();
    synchronized (this) {
      bodies.forEach(body -> response.addResults(PublishResult.newBuilder().setSequence(++sequence)));
    }
    answer(answer, response.build());
  }

  @Override
  public void subscribe(SubscribeRequest request, StreamObserver<SubscribeResponse> answer) {
    if (refusals.getAndDecrement() > 0) {
      answer.onError(Status.UNAVAILABLE.asRuntimeException());
      return;
    }
    answer.onNext(SubscribeResponse.newBuilder().addDeliveries(delivery()).build());
  }

  @Override
  public void receive(ReceiveRequest request, StreamObserver<ReceiveResponse> answer) {
    answer(answer, ReceiveResponse.newBuilder().addDeliveries(delivery()).build());
  }

  @Override
  public void ack(AckRequest request, StreamObserver<AckResponse> answer) {
    acks.add(request);
    ackSeconds.add(Context.current().getDeadline().timeRemaining(TimeUnit.SECONDS));
    pass();
    answer(answer, AckResponse.newBuilder().addAllFailures(failures(request.getReceiptsList())).build());
  }

  @Override
  public void nack(NackRequest request, StreamObserver<NackResponse> answer) {
    nacks.add(request);
    if (unanswered) {
      answer.onError(Status.INTERNAL.asRuntimeException());
      return;
    }
    answer(answer, NackResponse.newBuilder().addAllFailures(failures(request.getReceiptsList())).build());
  }

  @Override
  public void close() {
    server.shutdownNow();
  }

  private void pass() {
    try {
      gate.await();
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
    }
  }

  private StatusRuntimeException refusal() {
    ErrorInfo info = ErrorInfo.newBuilder().setReason(reason).setDomain("bbq.v1").build();
    return StatusProto.toStatusRuntimeException(
        com.google.rpc.Status.newBuilder().setCode(code.value()).setMessage(reason).addDetails(Any.pack(info)).build());
  }

  private List<ReceiptFailure> failures(List<String> receipts) {
    ReceiptFailureReason why = ReceiptFailureReason.RECEIPT_FAILURE_REASON_SUPERSEDED;
    return stale
        ? receipts.stream().map(receipt -> ReceiptFailure.newBuilder().setReceipt(receipt).setReason(why).build()).toList()
        : List.of();
  }

  private static bbq.v1.Delivery delivery() {
    return bbq.v1.Delivery.newBuilder().setReceipt("r1").setSequence(1).setAttempt(1).build();
  }

  private static <R> void answer(StreamObserver<R> answer, R response) {
    answer.onNext(response);
    answer.onCompleted();
  }
}
