package bbq.client;

/** Any failure of a call, a receipt or a profile. */
public abstract sealed class BbqException extends RuntimeException
    permits CallException, ReceiptException, ProfileException {
  private static final long serialVersionUID = 1L;

  BbqException(String message, Throwable cause) {
    super(message, cause);
  }
}
