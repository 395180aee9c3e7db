package bbq.client;

import bbq.client.Connection.Repeat;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.MethodType;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/** The calls of the control plane that a function of the caller's makes in one go, the last of which may fail. */
final class AdminCalls implements ClientInterceptor {
  /** Calls that do more, or fail, the second time. */
  private static final Set<String> ONCE =
      Set.of("DeleteQueue", "PurgeQueue", "DeleteTopic", "Unbind", "CreateToken", "RevokeToken");
  private final List<MethodDescriptor<?, ?>> made = new ArrayList<>();

  @Override
  public synchronized <Q, R> ClientCall<Q, R> interceptCall(MethodDescriptor<Q, R> method, CallOptions options, Channel next) {
    made.add(method);
    return next.newCall(method, options);
  }

  /** Nothing was made yet: the function is called, or called again. */
  synchronized void begin() {
    made.clear();
  }

  /** After which failures of the last call the function may be called again; what it did before would then be done again too. */
  synchronized Repeat repeat() {
    if (made.isEmpty()) {
      return Repeat.UNPROCESSED;
    }
    MethodDescriptor<?, ?> last = made.get(made.size() - 1);
    if (!made.subList(0, made.size() - 1).stream().allMatch(AdminCalls::isTheSameTwice)) {
      return Repeat.NEVER;
    }
    return isTheSameTwice(last) ? Repeat.ANYTIME : Repeat.UNPROCESSED;
  }

  private static boolean isTheSameTwice(MethodDescriptor<?, ?> method) {
    return method.getType() == MethodType.UNARY && !ONCE.contains(method.getBareMethodName());
  }
}
