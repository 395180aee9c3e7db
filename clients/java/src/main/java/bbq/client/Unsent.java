package bbq.client;

import io.grpc.Attributes;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ClientStreamTracer;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.ForwardingClientCallListener.SimpleForwardingClientCallListener;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;

/** The cause of a failure that says that the call never left this side, so that it certainly did nothing; its own cause is why. */
final class Unsent extends Exception {
  private static final long serialVersionUID = 1L;

  private Unsent(Throwable why) {
    super(why);
  }

  /** Gives this cause to the calls of a channel that fail before a connection has taken them. */
  static final class Marks implements ClientInterceptor {
    @Override
    public <Q, R> ClientCall<Q, R> interceptCall(MethodDescriptor<Q, R> method, CallOptions options, Channel next) {
      Sending sending = new Sending();
      return new SimpleForwardingClientCall<>(next.newCall(method, options.withStreamTracerFactory(sending))) {
        @Override
        public void start(Listener<R> listener, Metadata headers) {
          super.start(sending.marked(listener), headers);
        }
      };
    }
  }

  /** Learns of one call whether a connection took it. */
  private static final class Sending extends ClientStreamTracer.Factory {
    private volatile boolean sent;

    @Override
    public ClientStreamTracer newClientStreamTracer(ClientStreamTracer.StreamInfo info, Metadata headers) {
      return new ClientStreamTracer() {
        @Override
        public void streamCreated(Attributes transport, Metadata sentHeaders) {
          sent = true;
        }
      };
    }

    <R> ClientCall.Listener<R> marked(ClientCall.Listener<R> listener) {
      return new SimpleForwardingClientCallListener<>(listener) {
        @Override
        public void onClose(Status status, Metadata trailers) {
          super.onClose(sent || status.isOk() ? status : status.withCause(new Unsent(status.getCause())), trailers);
        }
      };
    }
  }
}
