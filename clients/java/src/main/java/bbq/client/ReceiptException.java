package bbq.client;

import bbq.v1.ReceiptFailure;
import bbq.v1.ReceiptFailureReason;

/** A receipt settled, or extended, nothing. */
public final class ReceiptException extends BbqException {
  private static final long serialVersionUID = 1L;
  private final String receipt;
  private final ReceiptFailureReason why;

  ReceiptException(ReceiptFailure failure) {
    super("receipt " + failure.getReceipt() + " changed nothing: " + explain(failure.getReason()), null);
    this.receipt = failure.getReceipt();
    this.why = failure.getReason();
  }

  /** The receipt as it was sent. */
  public String receipt() {
    return receipt;
  }

  /** Why. */
  public ReceiptFailureReason why() {
    return why;
  }

  private static String explain(ReceiptFailureReason why) {
    return switch (why) {
      case RECEIPT_FAILURE_REASON_SUPERSEDED -> "a later attempt at the message holds, or held, it";
      case RECEIPT_FAILURE_REASON_EXPIRED -> "its lease ended, and the message waits for its next delivery";
      case RECEIPT_FAILURE_REASON_GONE -> "the message has been settled, dead-lettered, purged or dropped";
      case RECEIPT_FAILURE_REASON_UNKNOWN -> "it is not a receipt of this queue";
      case RECEIPT_FAILURE_REASON_UNSPECIFIED, UNRECOGNIZED -> "the server does not say why";
    };
  }
}
