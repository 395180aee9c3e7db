package bbq.client;

/** The profile is missing or wrong. */
public final class ProfileException extends BbqException {
  private static final long serialVersionUID = 1L;

  ProfileException(String message) {
    super(message, null);
  }
}
