package bbq.client;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptors;
import io.grpc.ConnectivityState;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.MetadataUtils;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * One server's channel, which connects again when it is lost, and the way that every call is made: its deadline, and after which
 * failures it is repeated.
 *
 * <p>Always true: a call that would do its work twice is repeated only if the server certainly did nothing.
 */
final class Connection {
  /** Which failures allow a call to be made again. */
  enum Repeat {
    /** Doing it twice is doing it once. */
    ANYTIME,
    /** Doing it twice does it twice: only if the server certainly did nothing. */
    UNPROCESSED,
    /** It was preceded by what doing it twice does twice. */
    NEVER;

    /** Whether a call that failed so may be made again. */
    boolean allows(CallException error) {
      if (error.isFinal() || this == NEVER) {
        return false;
      }
      return error.isUnprocessed() || (this == ANYTIME && error.code() == Status.Code.UNAVAILABLE);
    }
  }

  private static final int PORT = 6789;
  /** The largest answer that is read: the server's stay below 4 MiB unless a single message is larger. */
  private static final int RESPONSE_MAX = 64 * 1024 * 1024;
  /** A silent connection is checked so often (grpc-java allows no less), and lost if the answer takes longer than the second. */
  private static final long PING_S = 10;
  private static final long PING_TIMEOUT_S = 7;
  /** How long one attempt to connect may take. */
  private static final Duration CONNECT = Duration.ofSeconds(5);
  /** Asks whether anybody answers: everybody may, and any answer will do. */
  private static final MethodDescriptor<byte[], byte[]> PROBE = MethodDescriptor.<byte[], byte[]>newBuilder()
      .setType(MethodDescriptor.MethodType.UNARY)
      .setFullMethodName("grpc.health.v1.Health/Check")
      .setRequestMarshaller(new Bytes())
      .setResponseMarshaller(new Bytes())
      .build();
  /** How often a call is tried. */
  private static final int TRIES = 6;

  final String url;
  /** For the generated stubs: every call says who is asking. */
  final Channel channel;
  /** Where settlements, extensions and publishers make their calls; once it is closed they fail where they are made. */
  final ExecutorService calls = new ThreadPoolExecutor(
      0, Integer.MAX_VALUE, 60, TimeUnit.SECONDS, new SynchronousQueue<>(), daemon("bbq-call"), (call, pool) -> call.run());
  final ScheduledExecutorService timer = Executors.newSingleThreadScheduledExecutor(daemon("bbq-timer"));
  private final ManagedChannel managed;
  private volatile boolean closed;

  Connection(Profile profile) {
    url = profile.url();
    managed = target(profile)
        .maxInboundMessageSize(RESPONSE_MAX)
        .keepAliveTime(PING_S, TimeUnit.SECONDS)
        .keepAliveTimeout(PING_TIMEOUT_S, TimeUnit.SECONDS)
        .keepAliveWithoutCalls(true)
        .intercept(new Unsent.Marks())
        .build();
    Metadata headers = new Metadata();
    if (profile.token() != null) {
      headers.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + profile.token());
    }
    channel = ClientInterceptors.intercept(managed, MetadataUtils.newAttachHeadersInterceptor(headers));
  }

  /** Connects, if there is no connection, within {@code patience}; throws if nobody answers. */
  void connect(Duration patience) {
    unconnected(patience).ifPresent(error -> {
      throw error;
    });
  }

  /** Makes a call, again where {@code repeat} allows it, within {@code deadline}. */
  <Q, R> R unary(MethodDescriptor<Q, R> method, Q request, Repeat repeat, Duration deadline) {
    return repeated(() -> repeat, deadline, options -> ClientCalls.blockingUnaryCall(channel, method, options, request));
  }

  /** Makes what is a call of the generated stubs, in the same way; {@code repeat} is asked when it has failed. */
  <R> R repeated(Supplier<Repeat> repeat, Duration deadline, Function<CallOptions, R> call) {
    long end = System.nanoTime() + deadline.toNanos();
    Backoff backoff = new Backoff();
    for (int tries = 1; ; tries++) {
      Optional<CallException> unconnected = unconnected(left(end));
      CallException error;
      if (unconnected.isPresent()) {
        // None of the caller's calls was made in this try.
        error = unconnected.get();
      } else {
        try {
          return call.apply(CallOptions.DEFAULT.withDeadlineAfter(left(end).toNanos(), TimeUnit.NANOSECONDS));
        } catch (StatusRuntimeException failed) {
          error = error(failed);
        }
      }
      boolean again = (unconnected.isPresent() ? Repeat.UNPROCESSED : repeat.get()).allows(error);
      Duration delay = backoff.delay(error);
      if (!again || tries == TRIES || System.nanoTime() + delay.toNanos() >= end) {
        throw error;
      }
      sleep(delay);
    }
  }

  private static Duration left(long end) {
    return Duration.ofNanos(Math.max(end - System.nanoTime(), 1));
  }

  /** Connects, if there is no connection, in one attempt that lasts no longer than {@code patience}; why not, or none. */
  private Optional<CallException> unconnected(Duration patience) {
    if (closed) {
      return Optional.of(CallException.closed("client"));
    }
    if (managed.getState(false) == ConnectivityState.READY) {
      return Optional.empty();
    }
    reconnect();
    boolean hasTime = patience.compareTo(CONNECT) >= 0;
    Duration attempt = hasTime ? CONNECT : patience;
    try {
      CallOptions options = CallOptions.DEFAULT.withDeadlineAfter(attempt.toNanos(), TimeUnit.NANOSECONDS);
      ClientCalls.blockingUnaryCall(managed, PROBE, options, new byte[0]);
      return Optional.empty();
    } catch (StatusRuntimeException failed) {
      return closed ? Optional.of(CallException.closed("client")) : unanswered(CallException.from(failed), hasTime);
    }
  }

  /** What a probe that failed says of the connection; {@code hadTime} if it was a whole attempt. */
  private Optional<CallException> unanswered(CallException error, boolean hadTime) {
    if (error.code() == Status.Code.DEADLINE_EXCEEDED) {
      if (!hadTime) {
        return Optional.of(CallException.unconnected(url));
      }
      if (managed.getState(false) == ConnectivityState.CONNECTING) {
        // The next try is an attempt of its own.
        managed.enterIdle();
      }
      return Optional.of(CallException.unreachable(url, CONNECT));
    }
    // All else is an answer, or the call itself will meet it; an interrupt ends both.
    return error.isUnreached() || error.code() == Status.Code.CANCELLED ? Optional.of(error) : Optional.empty();
  }

  /** Begins a call whose answers go to {@code listener}, and asks for the first; the caller asks for the others, and cancels it. */
  static <Q, R> void start(ClientCall<Q, R> call, Q request, ClientCall.Listener<R> listener) {
    call.start(listener, new Metadata());
    call.request(1);
    call.sendMessage(request);
    call.halfClose();
  }

  /** Lets the next call connect, however often that has failed: how long to wait is decided here. */
  void reconnect() {
    if (managed.getState(false) == ConnectivityState.TRANSIENT_FAILURE) {
      managed.enterIdle();
    }
  }

  CallException error(StatusRuntimeException failed) {
    CallException error = CallException.from(failed);
    if (!closed) {
      return error;
    }
    return error.isUnprocessed() ? CallException.closed("client") : CallException.cutByClosing(failed);
  }

  boolean isClosed() {
    return closed;
  }

  /** Cancels every call and closes; waits, for a second at most, until the server knows. */
  void close() {
    closed = true;
    managed.shutdownNow();
    timer.shutdownNow();
    calls.shutdown();
    try {
      managed.awaitTermination(1, TimeUnit.SECONDS);
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
    }
  }

  private static void sleep(Duration delay) {
    try {
      Thread.sleep(delay.toMillis());
    } catch (InterruptedException interrupted) {
      throw interrupted();
    }
  }

  /** What a call that waits ends with when its thread is interrupted. */
  static CallException interrupted() {
    Thread.currentThread().interrupt();
    return new CallException(Status.Code.CANCELLED, "the thread was interrupted");
  }

  /** What is sent as it is. */
  private static final class Bytes implements MethodDescriptor.Marshaller<byte[]> {
    @Override
    public InputStream stream(byte[] value) {
      return new ByteArrayInputStream(value);
    }

    @Override
    public byte[] parse(InputStream stream) {
      try {
        return stream.readAllBytes();
      } catch (IOException broken) {
        throw new UncheckedIOException(broken);
      }
    }
  }

  private static ThreadFactory daemon(String name) {
    return work -> {
      Thread thread = new Thread(work, name);
      thread.setDaemon(true);
      return thread;
    };
  }

  /** What a profile means, checked. */
  private static ManagedChannelBuilder<?> target(Profile profile) {
    if ("http3".equals(profile.transport())) {
      throw wrong(profile, "grpc-java has no HTTP/3; use transport = \"auto\" or \"http2\"");
    }
    if ((profile.clientCertificate() == null) != (profile.clientKey() == null)) {
      throw wrong(profile, "`client_certificate` and `client_key` go together");
    }
    String url = profile.url();
    if (url.startsWith("unix:")) {
      String path = url.replaceFirst("^unix:(//)?", "");
      return Grpc.newChannelBuilder("unix:" + path, InsecureChannelCredentials.create()).overrideAuthority("localhost");
    }
    URI uri = parse(profile);
    int port = uri.getPort() == -1 ? PORT : uri.getPort();
    String host = uri.getHost();
    if (uri.getScheme().equals("https")) {
      return Grpc.newChannelBuilderForAddress(host, port, tls(profile));
    }
    if (!host.matches("localhost|127\\.\\d+\\.\\d+\\.\\d+|\\[::1]")) {
      throw wrong(profile, "http would send everything in the clear; it is for loopback only");
    }
    return Grpc.newChannelBuilderForAddress(host, port, InsecureChannelCredentials.create());
  }

  private static URI parse(Profile profile) {
    try {
      URI uri = URI.create(profile.url());
      if (uri.getHost() != null && ("https".equals(uri.getScheme()) || "http".equals(uri.getScheme()))) {
        return uri;
      }
    } catch (IllegalArgumentException notOne) {
      // Said below.
    }
    throw wrong(profile, "`url` must be https://host:port, http://127.0.0.1:port or unix:/path");
  }

  private static io.grpc.ChannelCredentials tls(Profile profile) {
    TlsChannelCredentials.Builder tls = TlsChannelCredentials.newBuilder();
    try {
      if (profile.ca() != null) {
        tls.trustManager(stream(profile.ca()));
      }
      if (profile.clientCertificate() != null) {
        tls.keyManager(stream(profile.clientCertificate()), stream(profile.clientKey()));
      }
    } catch (IOException error) {
      throw wrong(profile, "a certificate or key cannot be used: " + error.getMessage());
    }
    return tls.build();
  }

  private static InputStream stream(String pem) {
    return new ByteArrayInputStream(Profile.pem(pem).getBytes(StandardCharsets.UTF_8));
  }

  private static ProfileException wrong(Profile profile, String why) {
    return new ProfileException("the profile for " + profile.url() + ": " + why);
  }
}
