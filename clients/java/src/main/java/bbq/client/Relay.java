package bbq.client;

import java.util.concurrent.Executor;
import java.util.function.BooleanSupplier;

/**
 * Work in order on one thread of the client's at a time, which also tells what came of it: whoever asked to be told is called there.
 *
 * <p>Always true: who is told may wait for the rest of the work, after {@link #passOn}: another thread goes on with it.
 */
final class Relay implements Runnable {
  /** The work that the current thread is at; one that begins inside another one, as in a pool that is shut down, knows it. */
  private static final ThreadLocal<Relay> CURRENT = new ThreadLocal<>();

  private final Executor threads;
  private final BooleanSupplier step;
  private Relay outer;
  /** Only its thread touches this. */
  private boolean passedOn;

  private Relay(Executor threads, BooleanSupplier step) {
    this.threads = threads;
    this.step = step;
  }

  /** Takes steps until one says that there is nothing left. A step has taken all that it needs of the work before it tells anyone. */
  static void start(Executor threads, BooleanSupplier step) {
    threads.execute(new Relay(threads, step));
  }

  /** Before waiting for anything that the current thread may be at: has another one go on with that. */
  static void passOn() {
    for (Relay own = CURRENT.get(); own != null; own = own.outer) {
      if (!own.passedOn) {
        own.passedOn = true;
        start(own.threads, own.step);
      }
    }
  }

  @Override
  public void run() {
    outer = CURRENT.get();
    CURRENT.set(this);
    try {
      boolean more = true;
      while (more && !passedOn) {
        more = step.getAsBoolean();
      }
    } finally {
      CURRENT.set(outer);
    }
  }
}
