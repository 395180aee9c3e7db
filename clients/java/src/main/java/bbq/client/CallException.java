package bbq.client;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.net.ConnectException;
import java.net.NoRouteToHostException;
import java.net.UnknownHostException;
import java.time.Duration;
import java.util.Optional;
import java.util.Set;
import javax.net.ssl.SSLHandshakeException;

/** A call failed: the server refused it, it came too late, or the connection was lost. */
public final class CallException extends BbqException {
  private static final long serialVersionUID = 1L;
  /** Refusals that are about some messages of a publish, or about how large it is, under a code that may be about anything. */
  private static final Set<String> OF_ONE_MESSAGE = Set.of(
      "PRIORITY_IN_FIFO",
      "NOT_BY_KEY",
      "DEDUPLICATION_OFF",
      "LIMIT_EXCEEDED",
      "REQUEST_TOO_LARGE",
      "TOO_MANY_DELAYED_MESSAGES",
      "TOO_MANY_DEDUPLICATION_IDS");
  private final Status.Code code;
  private final String reason;
  private final Duration retryAfter;
  private final boolean unprocessed;

  private CallException(
      Status.Code code, String message, String reason, Duration retryAfter, boolean unprocessed, Throwable cause) {
    super(message, cause);
    this.code = code;
    this.reason = reason;
    this.retryAfter = retryAfter;
    this.unprocessed = unprocessed;
  }

  CallException(Status.Code code, String message) {
    this(code, message, null, null, false, null);
  }

  /** The exception that a call of the generated stubs ended with, as one of these. */
  public static CallException from(StatusRuntimeException error) {
    Status status = error.getStatus();
    String reason = null;
    Duration retryAfter = null;
    for (Any detail : details(error)) {
      try {
        if (detail.is(ErrorInfo.class)) {
          reason = detail.unpack(ErrorInfo.class).getReason();
        } else if (detail.is(RetryInfo.class)) {
          retryAfter = Times.duration(detail.unpack(RetryInfo.class).getRetryDelay());
        }
      } catch (InvalidProtocolBufferException broken) {
        // The code and the message stand without it.
        error.addSuppressed(broken);
      }
    }
    boolean refused = status.getCode() == Status.Code.RESOURCE_EXHAUSTED && retryAfter != null;
    Throwable root = root(status);
    boolean unreached = neverConnected(root);
    String message = status.getDescription() == null ? status.getCode().name() : status.getDescription();
    if (root != null) {
      message += ": " + root.getMessage();
    }
    if (root instanceof ConnectException) {
      message += "; is the server running? start it with `bbq serve`";
    }
    return new CallException(status.getCode(), message, reason, retryAfter, refused || unreached, error);
  }

  /** gRPC's code. */
  public Status.Code code() {
    return code;
  }

  /** A word for programs, from {@code google.rpc.ErrorInfo}: {@code QUEUE_NOT_FOUND}, for example. */
  public Optional<String> reason() {
    return Optional.ofNullable(reason);
  }

  /** How long the server asks to wait before another try, from {@code google.rpc.RetryInfo}. */
  public Optional<Duration> retryAfter() {
    return Optional.ofNullable(retryAfter);
  }

  /** Whether it is certain that the call had no effect, so that even a publish may be repeated. */
  public boolean isUnprocessed() {
    return unprocessed;
  }

  /**
   * Whether the same call may succeed later. It says nothing about whether repeating it is safe: a publish that failed so may have
   * happened.
   */
  public boolean isRetryable() {
    return switch (code) {
      case UNAVAILABLE, DEADLINE_EXCEEDED, ABORTED, RESOURCE_EXHAUSTED -> true;
      default -> false;
    };
  }

  /** Whether what was refused is one message, or are some, rather than the whole call, so that the others may be sent without it. */
  boolean isOfOneMessage() {
    return code == Status.Code.INVALID_ARGUMENT || (reason != null && OF_ONE_MESSAGE.contains(reason));
  }

  /** Nothing is taken any more. */
  static CallException closed(String what) {
    return new CallException(Status.Code.CANCELLED, "the " + what + " was closed");
  }

  private static Iterable<Any> details(StatusRuntimeException error) {
    com.google.rpc.Status status = StatusProto.fromThrowable(error);
    return status == null ? java.util.List.of() : status.getDetailsList();
  }

  /** The first cause, which is the one that names the trouble; none if the server itself said it. */
  private static Throwable root(Status status) {
    Throwable root = status.getCause();
    while (root != null && root.getCause() != null) {
      root = root.getCause();
    }
    return root;
  }

  private static boolean neverConnected(Throwable root) {
    return root instanceof ConnectException
        || root instanceof UnknownHostException
        || root instanceof NoRouteToHostException
        || root instanceof SSLHandshakeException
        || root instanceof java.security.cert.CertificateException
        || root instanceof java.security.cert.CertPathBuilderException;
  }
}
