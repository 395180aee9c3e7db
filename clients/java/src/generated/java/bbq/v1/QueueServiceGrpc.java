package bbq.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * The data plane: what producers and consumers call.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class QueueServiceGrpc {

  private QueueServiceGrpc() {}

  public static final java.lang.String SERVICE_NAME = "bbq.v1.QueueService";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<bbq.v1.PublishRequest,
      bbq.v1.PublishResponse> getPublishMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Publish",
      requestType = bbq.v1.PublishRequest.class,
      responseType = bbq.v1.PublishResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<bbq.v1.PublishRequest,
      bbq.v1.PublishResponse> getPublishMethod() {
    io.grpc.MethodDescriptor<bbq.v1.PublishRequest, bbq.v1.PublishResponse> getPublishMethod;
    if ((getPublishMethod = QueueServiceGrpc.getPublishMethod) == null) {
      synchronized (QueueServiceGrpc.class) {
        if ((getPublishMethod = QueueServiceGrpc.getPublishMethod) == null) {
          QueueServiceGrpc.getPublishMethod = getPublishMethod =
              io.grpc.MethodDescriptor.<bbq.v1.PublishRequest, bbq.v1.PublishResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Publish"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.PublishRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.PublishResponse.getDefaultInstance()))
              .setSchemaDescriptor(new QueueServiceMethodDescriptorSupplier("Publish"))
              .build();
        }
      }
    }
    return getPublishMethod;
  }

  private static volatile io.grpc.MethodDescriptor<bbq.v1.SubscribeRequest,
      bbq.v1.SubscribeResponse> getSubscribeMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Subscribe",
      requestType = bbq.v1.SubscribeRequest.class,
      responseType = bbq.v1.SubscribeResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
  public static io.grpc.MethodDescriptor<bbq.v1.SubscribeRequest,
      bbq.v1.SubscribeResponse> getSubscribeMethod() {
    io.grpc.MethodDescriptor<bbq.v1.SubscribeRequest, bbq.v1.SubscribeResponse> getSubscribeMethod;
    if ((getSubscribeMethod = QueueServiceGrpc.getSubscribeMethod) == null) {
      synchronized (QueueServiceGrpc.class) {
        if ((getSubscribeMethod = QueueServiceGrpc.getSubscribeMethod) == null) {
          QueueServiceGrpc.getSubscribeMethod = getSubscribeMethod =
              io.grpc.MethodDescriptor.<bbq.v1.SubscribeRequest, bbq.v1.SubscribeResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Subscribe"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.SubscribeRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.SubscribeResponse.getDefaultInstance()))
              .setSchemaDescriptor(new QueueServiceMethodDescriptorSupplier("Subscribe"))
              .build();
        }
      }
    }
    return getSubscribeMethod;
  }

  private static volatile io.grpc.MethodDescriptor<bbq.v1.ReceiveRequest,
      bbq.v1.ReceiveResponse> getReceiveMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Receive",
      requestType = bbq.v1.ReceiveRequest.class,
      responseType = bbq.v1.ReceiveResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<bbq.v1.ReceiveRequest,
      bbq.v1.ReceiveResponse> getReceiveMethod() {
    io.grpc.MethodDescriptor<bbq.v1.ReceiveRequest, bbq.v1.ReceiveResponse> getReceiveMethod;
    if ((getReceiveMethod = QueueServiceGrpc.getReceiveMethod) == null) {
      synchronized (QueueServiceGrpc.class) {
        if ((getReceiveMethod = QueueServiceGrpc.getReceiveMethod) == null) {
          QueueServiceGrpc.getReceiveMethod = getReceiveMethod =
              io.grpc.MethodDescriptor.<bbq.v1.ReceiveRequest, bbq.v1.ReceiveResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Receive"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.ReceiveRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.ReceiveResponse.getDefaultInstance()))
              .setSchemaDescriptor(new QueueServiceMethodDescriptorSupplier("Receive"))
              .build();
        }
      }
    }
    return getReceiveMethod;
  }

  private static volatile io.grpc.MethodDescriptor<bbq.v1.AckRequest,
      bbq.v1.AckResponse> getAckMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Ack",
      requestType = bbq.v1.AckRequest.class,
      responseType = bbq.v1.AckResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<bbq.v1.AckRequest,
      bbq.v1.AckResponse> getAckMethod() {
    io.grpc.MethodDescriptor<bbq.v1.AckRequest, bbq.v1.AckResponse> getAckMethod;
    if ((getAckMethod = QueueServiceGrpc.getAckMethod) == null) {
      synchronized (QueueServiceGrpc.class) {
        if ((getAckMethod = QueueServiceGrpc.getAckMethod) == null) {
          QueueServiceGrpc.getAckMethod = getAckMethod =
              io.grpc.MethodDescriptor.<bbq.v1.AckRequest, bbq.v1.AckResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Ack"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.AckRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.AckResponse.getDefaultInstance()))
              .setSchemaDescriptor(new QueueServiceMethodDescriptorSupplier("Ack"))
              .build();
        }
      }
    }
    return getAckMethod;
  }

  private static volatile io.grpc.MethodDescriptor<bbq.v1.NackRequest,
      bbq.v1.NackResponse> getNackMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Nack",
      requestType = bbq.v1.NackRequest.class,
      responseType = bbq.v1.NackResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<bbq.v1.NackRequest,
      bbq.v1.NackResponse> getNackMethod() {
    io.grpc.MethodDescriptor<bbq.v1.NackRequest, bbq.v1.NackResponse> getNackMethod;
    if ((getNackMethod = QueueServiceGrpc.getNackMethod) == null) {
      synchronized (QueueServiceGrpc.class) {
        if ((getNackMethod = QueueServiceGrpc.getNackMethod) == null) {
          QueueServiceGrpc.getNackMethod = getNackMethod =
              io.grpc.MethodDescriptor.<bbq.v1.NackRequest, bbq.v1.NackResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Nack"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.NackRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.NackResponse.getDefaultInstance()))
              .setSchemaDescriptor(new QueueServiceMethodDescriptorSupplier("Nack"))
              .build();
        }
      }
    }
    return getNackMethod;
  }

  private static volatile io.grpc.MethodDescriptor<bbq.v1.ExtendRequest,
      bbq.v1.ExtendResponse> getExtendMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Extend",
      requestType = bbq.v1.ExtendRequest.class,
      responseType = bbq.v1.ExtendResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<bbq.v1.ExtendRequest,
      bbq.v1.ExtendResponse> getExtendMethod() {
    io.grpc.MethodDescriptor<bbq.v1.ExtendRequest, bbq.v1.ExtendResponse> getExtendMethod;
    if ((getExtendMethod = QueueServiceGrpc.getExtendMethod) == null) {
      synchronized (QueueServiceGrpc.class) {
        if ((getExtendMethod = QueueServiceGrpc.getExtendMethod) == null) {
          QueueServiceGrpc.getExtendMethod = getExtendMethod =
              io.grpc.MethodDescriptor.<bbq.v1.ExtendRequest, bbq.v1.ExtendResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Extend"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.ExtendRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.ExtendResponse.getDefaultInstance()))
              .setSchemaDescriptor(new QueueServiceMethodDescriptorSupplier("Extend"))
              .build();
        }
      }
    }
    return getExtendMethod;
  }

  private static volatile io.grpc.MethodDescriptor<bbq.v1.TransactRequest,
      bbq.v1.TransactResponse> getTransactMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Transact",
      requestType = bbq.v1.TransactRequest.class,
      responseType = bbq.v1.TransactResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<bbq.v1.TransactRequest,
      bbq.v1.TransactResponse> getTransactMethod() {
    io.grpc.MethodDescriptor<bbq.v1.TransactRequest, bbq.v1.TransactResponse> getTransactMethod;
    if ((getTransactMethod = QueueServiceGrpc.getTransactMethod) == null) {
      synchronized (QueueServiceGrpc.class) {
        if ((getTransactMethod = QueueServiceGrpc.getTransactMethod) == null) {
          QueueServiceGrpc.getTransactMethod = getTransactMethod =
              io.grpc.MethodDescriptor.<bbq.v1.TransactRequest, bbq.v1.TransactResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Transact"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.TransactRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.TransactResponse.getDefaultInstance()))
              .setSchemaDescriptor(new QueueServiceMethodDescriptorSupplier("Transact"))
              .build();
        }
      }
    }
    return getTransactMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static QueueServiceStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<QueueServiceStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<QueueServiceStub>() {
        @java.lang.Override
        public QueueServiceStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new QueueServiceStub(channel, callOptions);
        }
      };
    return QueueServiceStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static QueueServiceBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<QueueServiceBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<QueueServiceBlockingV2Stub>() {
        @java.lang.Override
        public QueueServiceBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new QueueServiceBlockingV2Stub(channel, callOptions);
        }
      };
    return QueueServiceBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static QueueServiceBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<QueueServiceBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<QueueServiceBlockingStub>() {
        @java.lang.Override
        public QueueServiceBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new QueueServiceBlockingStub(channel, callOptions);
        }
      };
    return QueueServiceBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static QueueServiceFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<QueueServiceFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<QueueServiceFutureStub>() {
        @java.lang.Override
        public QueueServiceFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new QueueServiceFutureStub(channel, callOptions);
        }
      };
    return QueueServiceFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * The data plane: what producers and consumers call.
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * Stores messages, all or none, in order. The reply says that they survive what the queue's durability promises.
     * </pre>
     */
    default void publish(bbq.v1.PublishRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.PublishResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getPublishMethod(), responseObserver);
    }

    /**
     * <pre>
     * Delivers messages as they come, each leased to this stream. When the stream ends, what it still holds is ready again.
     * </pre>
     */
    default void subscribe(bbq.v1.SubscribeRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.SubscribeResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getSubscribeMethod(), responseObserver);
    }

    /**
     * <pre>
     * Waits for messages and returns them leased by deadline alone.
     * </pre>
     */
    default void receive(bbq.v1.ReceiveRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.ReceiveResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getReceiveMethod(), responseObserver);
    }

    /**
     * <pre>
     * Settles messages for good.
     * </pre>
     */
    default void ack(bbq.v1.AckRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.AckResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getAckMethod(), responseObserver);
    }

    /**
     * <pre>
     * Gives messages back for another attempt.
     * </pre>
     */
    default void nack(bbq.v1.NackRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.NackResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getNackMethod(), responseObserver);
    }

    /**
     * <pre>
     * Moves the end of leases to `lease_duration` from now.
     * </pre>
     */
    default void extend(bbq.v1.ExtendRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.ExtendResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getExtendMethod(), responseObserver);
    }

    /**
     * <pre>
     * Settles and publishes over several queues of one namespace, both or neither.
     * </pre>
     */
    default void transact(bbq.v1.TransactRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.TransactResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getTransactMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service QueueService.
   * <pre>
   * The data plane: what producers and consumers call.
   * </pre>
   */
  public static abstract class QueueServiceImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return QueueServiceGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service QueueService.
   * <pre>
   * The data plane: what producers and consumers call.
   * </pre>
   */
  public static final class QueueServiceStub
      extends io.grpc.stub.AbstractAsyncStub<QueueServiceStub> {
    private QueueServiceStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected QueueServiceStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new QueueServiceStub(channel, callOptions);
    }

    /**
     * <pre>
     * Stores messages, all or none, in order. The reply says that they survive what the queue's durability promises.
     * </pre>
     */
    public void publish(bbq.v1.PublishRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.PublishResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getPublishMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Delivers messages as they come, each leased to this stream. When the stream ends, what it still holds is ready again.
     * </pre>
     */
    public void subscribe(bbq.v1.SubscribeRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.SubscribeResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncServerStreamingCall(
          getChannel().newCall(getSubscribeMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Waits for messages and returns them leased by deadline alone.
     * </pre>
     */
    public void receive(bbq.v1.ReceiveRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.ReceiveResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getReceiveMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Settles messages for good.
     * </pre>
     */
    public void ack(bbq.v1.AckRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.AckResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getAckMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Gives messages back for another attempt.
     * </pre>
     */
    public void nack(bbq.v1.NackRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.NackResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getNackMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Moves the end of leases to `lease_duration` from now.
     * </pre>
     */
    public void extend(bbq.v1.ExtendRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.ExtendResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getExtendMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Settles and publishes over several queues of one namespace, both or neither.
     * </pre>
     */
    public void transact(bbq.v1.TransactRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.TransactResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getTransactMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service QueueService.
   * <pre>
   * The data plane: what producers and consumers call.
   * </pre>
   */
  public static final class QueueServiceBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<QueueServiceBlockingV2Stub> {
    private QueueServiceBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected QueueServiceBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new QueueServiceBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Stores messages, all or none, in order. The reply says that they survive what the queue's durability promises.
     * </pre>
     */
    public bbq.v1.PublishResponse publish(bbq.v1.PublishRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getPublishMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Delivers messages as they come, each leased to this stream. When the stream ends, what it still holds is ready again.
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<?, bbq.v1.SubscribeResponse>
        subscribe(bbq.v1.SubscribeRequest request) {
      return io.grpc.stub.ClientCalls.blockingV2ServerStreamingCall(
          getChannel(), getSubscribeMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Waits for messages and returns them leased by deadline alone.
     * </pre>
     */
    public bbq.v1.ReceiveResponse receive(bbq.v1.ReceiveRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getReceiveMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Settles messages for good.
     * </pre>
     */
    public bbq.v1.AckResponse ack(bbq.v1.AckRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getAckMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Gives messages back for another attempt.
     * </pre>
     */
    public bbq.v1.NackResponse nack(bbq.v1.NackRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getNackMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Moves the end of leases to `lease_duration` from now.
     * </pre>
     */
    public bbq.v1.ExtendResponse extend(bbq.v1.ExtendRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getExtendMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Settles and publishes over several queues of one namespace, both or neither.
     * </pre>
     */
    public bbq.v1.TransactResponse transact(bbq.v1.TransactRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getTransactMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service QueueService.
   * <pre>
   * The data plane: what producers and consumers call.
   * </pre>
   */
  public static final class QueueServiceBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<QueueServiceBlockingStub> {
    private QueueServiceBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected QueueServiceBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new QueueServiceBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Stores messages, all or none, in order. The reply says that they survive what the queue's durability promises.
     * </pre>
     */
    public bbq.v1.PublishResponse publish(bbq.v1.PublishRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getPublishMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Delivers messages as they come, each leased to this stream. When the stream ends, what it still holds is ready again.
     * </pre>
     */
    public java.util.Iterator<bbq.v1.SubscribeResponse> subscribe(
        bbq.v1.SubscribeRequest request) {
      return io.grpc.stub.ClientCalls.blockingServerStreamingCall(
          getChannel(), getSubscribeMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Waits for messages and returns them leased by deadline alone.
     * </pre>
     */
    public bbq.v1.ReceiveResponse receive(bbq.v1.ReceiveRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getReceiveMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Settles messages for good.
     * </pre>
     */
    public bbq.v1.AckResponse ack(bbq.v1.AckRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getAckMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Gives messages back for another attempt.
     * </pre>
     */
    public bbq.v1.NackResponse nack(bbq.v1.NackRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getNackMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Moves the end of leases to `lease_duration` from now.
     * </pre>
     */
    public bbq.v1.ExtendResponse extend(bbq.v1.ExtendRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getExtendMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Settles and publishes over several queues of one namespace, both or neither.
     * </pre>
     */
    public bbq.v1.TransactResponse transact(bbq.v1.TransactRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getTransactMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service QueueService.
   * <pre>
   * The data plane: what producers and consumers call.
   * </pre>
   */
  public static final class QueueServiceFutureStub
      extends io.grpc.stub.AbstractFutureStub<QueueServiceFutureStub> {
    private QueueServiceFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected QueueServiceFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new QueueServiceFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Stores messages, all or none, in order. The reply says that they survive what the queue's durability promises.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<bbq.v1.PublishResponse> publish(
        bbq.v1.PublishRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getPublishMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Waits for messages and returns them leased by deadline alone.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<bbq.v1.ReceiveResponse> receive(
        bbq.v1.ReceiveRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getReceiveMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Settles messages for good.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<bbq.v1.AckResponse> ack(
        bbq.v1.AckRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getAckMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Gives messages back for another attempt.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<bbq.v1.NackResponse> nack(
        bbq.v1.NackRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getNackMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Moves the end of leases to `lease_duration` from now.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<bbq.v1.ExtendResponse> extend(
        bbq.v1.ExtendRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getExtendMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Settles and publishes over several queues of one namespace, both or neither.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<bbq.v1.TransactResponse> transact(
        bbq.v1.TransactRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getTransactMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_PUBLISH = 0;
  private static final int METHODID_SUBSCRIBE = 1;
  private static final int METHODID_RECEIVE = 2;
  private static final int METHODID_ACK = 3;
  private static final int METHODID_NACK = 4;
  private static final int METHODID_EXTEND = 5;
  private static final int METHODID_TRANSACT = 6;

  private static final class MethodHandlers<Req, Resp> implements
      io.grpc.stub.ServerCalls.UnaryMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.ServerStreamingMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.ClientStreamingMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.BidiStreamingMethod<Req, Resp> {
    private final AsyncService serviceImpl;
    private final int methodId;

    MethodHandlers(AsyncService serviceImpl, int methodId) {
      this.serviceImpl = serviceImpl;
      this.methodId = methodId;
    }

    @java.lang.Override
    @java.lang.SuppressWarnings("unchecked")
    public void invoke(Req request, io.grpc.stub.StreamObserver<Resp> responseObserver) {
      switch (methodId) {
        case METHODID_PUBLISH:
          serviceImpl.publish((bbq.v1.PublishRequest) request,
              (io.grpc.stub.StreamObserver<bbq.v1.PublishResponse>) responseObserver);
          break;
        case METHODID_SUBSCRIBE:
          serviceImpl.subscribe((bbq.v1.SubscribeRequest) request,
              (io.grpc.stub.StreamObserver<bbq.v1.SubscribeResponse>) responseObserver);
          break;
        case METHODID_RECEIVE:
          serviceImpl.receive((bbq.v1.ReceiveRequest) request,
              (io.grpc.stub.StreamObserver<bbq.v1.ReceiveResponse>) responseObserver);
          break;
        case METHODID_ACK:
          serviceImpl.ack((bbq.v1.AckRequest) request,
              (io.grpc.stub.StreamObserver<bbq.v1.AckResponse>) responseObserver);
          break;
        case METHODID_NACK:
          serviceImpl.nack((bbq.v1.NackRequest) request,
              (io.grpc.stub.StreamObserver<bbq.v1.NackResponse>) responseObserver);
          break;
        case METHODID_EXTEND:
          serviceImpl.extend((bbq.v1.ExtendRequest) request,
              (io.grpc.stub.StreamObserver<bbq.v1.ExtendResponse>) responseObserver);
          break;
        case METHODID_TRANSACT:
          serviceImpl.transact((bbq.v1.TransactRequest) request,
              (io.grpc.stub.StreamObserver<bbq.v1.TransactResponse>) responseObserver);
          break;
        default:
          throw new AssertionError();
      }
    }

    @java.lang.Override
    @java.lang.SuppressWarnings("unchecked")
    public io.grpc.stub.StreamObserver<Req> invoke(
        io.grpc.stub.StreamObserver<Resp> responseObserver) {
      switch (methodId) {
        default:
          throw new AssertionError();
      }
    }
  }

  public static final io.grpc.ServerServiceDefinition bindService(AsyncService service) {
    return io.grpc.ServerServiceDefinition.builder(getServiceDescriptor())
        .addMethod(
          getPublishMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              bbq.v1.PublishRequest,
              bbq.v1.PublishResponse>(
                service, METHODID_PUBLISH)))
        .addMethod(
          getSubscribeMethod(),
          io.grpc.stub.ServerCalls.asyncServerStreamingCall(
            new MethodHandlers<
              bbq.v1.SubscribeRequest,
              bbq.v1.SubscribeResponse>(
                service, METHODID_SUBSCRIBE)))
        .addMethod(
          getReceiveMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              bbq.v1.ReceiveRequest,
              bbq.v1.ReceiveResponse>(
                service, METHODID_RECEIVE)))
        .addMethod(
          getAckMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              bbq.v1.AckRequest,
              bbq.v1.AckResponse>(
                service, METHODID_ACK)))
        .addMethod(
          getNackMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              bbq.v1.NackRequest,
              bbq.v1.NackResponse>(
                service, METHODID_NACK)))
        .addMethod(
          getExtendMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              bbq.v1.ExtendRequest,
              bbq.v1.ExtendResponse>(
                service, METHODID_EXTEND)))
        .addMethod(
          getTransactMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              bbq.v1.TransactRequest,
              bbq.v1.TransactResponse>(
                service, METHODID_TRANSACT)))
        .build();
  }

  private static abstract class QueueServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    QueueServiceBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return bbq.v1.QueueServiceProto.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("QueueService");
    }
  }

  private static final class QueueServiceFileDescriptorSupplier
      extends QueueServiceBaseDescriptorSupplier {
    QueueServiceFileDescriptorSupplier() {}
  }

  private static final class QueueServiceMethodDescriptorSupplier
      extends QueueServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    QueueServiceMethodDescriptorSupplier(java.lang.String methodName) {
      this.methodName = methodName;
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.MethodDescriptor getMethodDescriptor() {
      return getServiceDescriptor().findMethodByName(methodName);
    }
  }

  private static volatile io.grpc.ServiceDescriptor serviceDescriptor;

  public static io.grpc.ServiceDescriptor getServiceDescriptor() {
    io.grpc.ServiceDescriptor result = serviceDescriptor;
    if (result == null) {
      synchronized (QueueServiceGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new QueueServiceFileDescriptorSupplier())
              .addMethod(getPublishMethod())
              .addMethod(getSubscribeMethod())
              .addMethod(getReceiveMethod())
              .addMethod(getAckMethod())
              .addMethod(getNackMethod())
              .addMethod(getExtendMethod())
              .addMethod(getTransactMethod())
              .build();
        }
      }
    }
    return result;
  }
}
