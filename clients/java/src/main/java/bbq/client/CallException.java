package bbq.client;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.io.FileNotFoundException;
import java.io.Serializable;
import java.net.ConnectException;
import java.security.cert.CertPathBuilderException;
import java.security.cert.CertPathValidatorException;
import java.security.cert.CertificateException;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;

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
  private final Facts facts;

  /**
   * What an exception says besides its code and message.
   *
   * @param unreached there was no connection
   * @param isFinal another try would come to the same, whatever the code says
   */
  private record Facts(String reason, Duration retryAfter, boolean unprocessed, boolean unreached, boolean isFinal)
      implements Serializable {
    static final Facts NONE = new Facts(null, null, false, false, false);
    static final Facts UNPROCESSED = new Facts(null, null, true, false, false);
    static final Facts UNREACHED = new Facts(null, null, true, true, false);
    static final Facts FINAL = new Facts(null, null, false, false, true);
    static final Facts UNPROCESSED_AND_FINAL = new Facts(null, null, true, false, true);
  }

  private CallException(Status.Code code, String message, Facts facts, Throwable cause) {
    super(message, cause);
    this.code = code;
    this.facts = facts;
  }

  CallException(Status.Code code, String message) {
    this(code, message, Facts.NONE, null);
  }

  /** The exception that a call of the generated stubs ended with, as one of these. */
  public static CallException from(StatusRuntimeException error) {
    Status status = error.getStatus();
    Status.Code code = status.getCode();
    boolean unsent = status.getCause() instanceof Unsent;
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
    if (unsent && code == Status.Code.DEADLINE_EXCEEDED) {
      return new CallException(code, "no connection before the deadline; nothing was sent", Facts.UNPROCESSED, error);
    }
    boolean refused = code == Status.Code.RESOURCE_EXHAUSTED && retryAfter != null;
    boolean unreached = unsent && code == Status.Code.UNAVAILABLE;
    Throwable cause = unsent ? status.getCause().getCause() : status.getCause();
    Facts facts = new Facts(reason, retryAfter, refused || unsent, unreached, isOfCertificate(cause));
    return new CallException(code, message(status, cause, facts), facts, error);
  }

  /** No connection could be made in the time that an attempt has; the server did nothing. */
  static CallException unreachable(String url, Duration attempt) {
    String message = "cannot reach " + url + ": no answer within " + attempt.toSeconds() + " s; is the server running there?";
    return new CallException(Status.Code.UNAVAILABLE, message, Facts.UNREACHED, null);
  }

  /** The caller's time was over before there was a connection. */
  static CallException unconnected(String url) {
    String message = "no connection to " + url + " before the deadline; nothing was sent";
    return new CallException(Status.Code.DEADLINE_EXCEEDED, message, Facts.UNPROCESSED, null);
  }

  /** Nothing is taken any more; nothing was sent. */
  static CallException closed(String what) {
    return new CallException(Status.Code.CANCELLED, "the " + what + " was closed", Facts.UNPROCESSED_AND_FINAL, null);
  }

  /** The client was closed while the call was under way. */
  static CallException cutByClosing(Throwable cause) {
    String message = "the client was closed; whether the call had an effect is not known";
    return new CallException(Status.Code.CANCELLED, message, Facts.FINAL, cause);
  }

  /** gRPC's code. */
  public Status.Code code() {
    return code;
  }

  /** A word for programs, from {@code google.rpc.ErrorInfo}: {@code QUEUE_NOT_FOUND}, for example. */
  public Optional<String> reason() {
    return Optional.ofNullable(facts.reason());
  }

  /** How long the server asks to wait before another try, from {@code google.rpc.RetryInfo}. */
  public Optional<Duration> retryAfter() {
    return Optional.ofNullable(facts.retryAfter());
  }

  /** Whether it is certain that the call had no effect, so that even a publish may be repeated. */
  public boolean isUnprocessed() {
    return facts.unprocessed();
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
    return code == Status.Code.INVALID_ARGUMENT || reason().map(OF_ONE_MESSAGE::contains).orElse(false);
  }

  /** Whether there was no connection. */
  boolean isUnreached() {
    return facts.unreached();
  }

  /** Whether another try would come to the same, whatever the code says. */
  boolean isFinal() {
    return facts.isFinal();
  }

  private static Iterable<Any> details(StatusRuntimeException error) {
    com.google.rpc.Status status = StatusProto.fromThrowable(error);
    return status == null ? List.of() : status.getDetailsList();
  }

  /** What the server or gRPC says, and the first cause that says anything, which is the one that names the trouble, with the way out. */
  private static String message(Status status, Throwable cause, Facts facts) {
    String message = status.getDescription() == null ? status.getCode().name() : status.getDescription();
    String why = null;
    Throwable root = null;
    for (Throwable next = cause; next != null; next = next.getCause()) {
      root = next;
      why = next.getMessage() == null ? why : next.getMessage();
    }
    if (why != null) {
      message += ": " + why;
    }
    if (facts.isFinal()) {
      message += "; the profile's `ca` is not what signed this server's certificate, or the host is not in it";
    } else if (root instanceof ConnectException || root instanceof FileNotFoundException) {
      message += "; is the server running? start it with `bbq serve`";
    }
    return message;
  }

  /** Whether the server's certificate, or the client's own, was not accepted: nor will it be the next time. */
  private static boolean isOfCertificate(Throwable failure) {
    for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
      if (cause instanceof CertificateException
          || cause instanceof CertPathBuilderException
          || cause instanceof CertPathValidatorException
          || String.valueOf(cause.getMessage()).toLowerCase(Locale.ROOT).contains("certificate")) {
        return true;
      }
    }
    return false;
  }
}
