package bbq.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * The control plane: queues, topics, tokens, and a look inside.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class AdminServiceGrpc {

  private AdminServiceGrpc() {}

  public static final java.lang.String SERVICE_NAME = "bbq.v1.AdminService";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<bbq.v1.CreateQueueRequest,
      bbq.v1.CreateQueueResponse> getCreateQueueMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "CreateQueue",
      requestType = bbq.v1.CreateQueueRequest.class,
      responseType = bbq.v1.CreateQueueResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<bbq.v1.CreateQueueRequest,
      bbq.v1.CreateQueueResponse> getCreateQueueMethod() {
    io.grpc.MethodDescriptor<bbq.v1.CreateQueueRequest, bbq.v1.CreateQueueResponse> getCreateQueueMethod;
    if ((getCreateQueueMethod = AdminServiceGrpc.getCreateQueueMethod) == null) {
      synchronized (AdminServiceGrpc.class) {
        if ((getCreateQueueMethod = AdminServiceGrpc.getCreateQueueMethod) == null) {
          AdminServiceGrpc.getCreateQueueMethod = getCreateQueueMethod =
              io.grpc.MethodDescriptor.<bbq.v1.CreateQueueRequest, bbq.v1.CreateQueueResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "CreateQueue"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.CreateQueueRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.CreateQueueResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AdminServiceMethodDescriptorSupplier("CreateQueue"))
              .build();
        }
      }
    }
    return getCreateQueueMethod;
  }

  private static volatile io.grpc.MethodDescriptor<bbq.v1.GetQueueRequest,
      bbq.v1.GetQueueResponse> getGetQueueMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "GetQueue",
      requestType = bbq.v1.GetQueueRequest.class,
      responseType = bbq.v1.GetQueueResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<bbq.v1.GetQueueRequest,
      bbq.v1.GetQueueResponse> getGetQueueMethod() {
    io.grpc.MethodDescriptor<bbq.v1.GetQueueRequest, bbq.v1.GetQueueResponse> getGetQueueMethod;
    if ((getGetQueueMethod = AdminServiceGrpc.getGetQueueMethod) == null) {
      synchronized (AdminServiceGrpc.class) {
        if ((getGetQueueMethod = AdminServiceGrpc.getGetQueueMethod) == null) {
          AdminServiceGrpc.getGetQueueMethod = getGetQueueMethod =
              io.grpc.MethodDescriptor.<bbq.v1.GetQueueRequest, bbq.v1.GetQueueResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "GetQueue"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.GetQueueRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.GetQueueResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AdminServiceMethodDescriptorSupplier("GetQueue"))
              .build();
        }
      }
    }
    return getGetQueueMethod;
  }

  private static volatile io.grpc.MethodDescriptor<bbq.v1.ListQueuesRequest,
      bbq.v1.ListQueuesResponse> getListQueuesMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ListQueues",
      requestType = bbq.v1.ListQueuesRequest.class,
      responseType = bbq.v1.ListQueuesResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<bbq.v1.ListQueuesRequest,
      bbq.v1.ListQueuesResponse> getListQueuesMethod() {
    io.grpc.MethodDescriptor<bbq.v1.ListQueuesRequest, bbq.v1.ListQueuesResponse> getListQueuesMethod;
    if ((getListQueuesMethod = AdminServiceGrpc.getListQueuesMethod) == null) {
      synchronized (AdminServiceGrpc.class) {
        if ((getListQueuesMethod = AdminServiceGrpc.getListQueuesMethod) == null) {
          AdminServiceGrpc.getListQueuesMethod = getListQueuesMethod =
              io.grpc.MethodDescriptor.<bbq.v1.ListQueuesRequest, bbq.v1.ListQueuesResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ListQueues"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.ListQueuesRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.ListQueuesResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AdminServiceMethodDescriptorSupplier("ListQueues"))
              .build();
        }
      }
    }
    return getListQueuesMethod;
  }

  private static volatile io.grpc.MethodDescriptor<bbq.v1.UpdateQueueRequest,
      bbq.v1.UpdateQueueResponse> getUpdateQueueMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "UpdateQueue",
      requestType = bbq.v1.UpdateQueueRequest.class,
      responseType = bbq.v1.UpdateQueueResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<bbq.v1.UpdateQueueRequest,
      bbq.v1.UpdateQueueResponse> getUpdateQueueMethod() {
    io.grpc.MethodDescriptor<bbq.v1.UpdateQueueRequest, bbq.v1.UpdateQueueResponse> getUpdateQueueMethod;
    if ((getUpdateQueueMethod = AdminServiceGrpc.getUpdateQueueMethod) == null) {
      synchronized (AdminServiceGrpc.class) {
        if ((getUpdateQueueMethod = AdminServiceGrpc.getUpdateQueueMethod) == null) {
          AdminServiceGrpc.getUpdateQueueMethod = getUpdateQueueMethod =
              io.grpc.MethodDescriptor.<bbq.v1.UpdateQueueRequest, bbq.v1.UpdateQueueResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "UpdateQueue"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.UpdateQueueRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.UpdateQueueResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AdminServiceMethodDescriptorSupplier("UpdateQueue"))
              .build();
        }
      }
    }
    return getUpdateQueueMethod;
  }

  private static volatile io.grpc.MethodDescriptor<bbq.v1.DeleteQueueRequest,
      bbq.v1.DeleteQueueResponse> getDeleteQueueMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "DeleteQueue",
      requestType = bbq.v1.DeleteQueueRequest.class,
      responseType = bbq.v1.DeleteQueueResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<bbq.v1.DeleteQueueRequest,
      bbq.v1.DeleteQueueResponse> getDeleteQueueMethod() {
    io.grpc.MethodDescriptor<bbq.v1.DeleteQueueRequest, bbq.v1.DeleteQueueResponse> getDeleteQueueMethod;
    if ((getDeleteQueueMethod = AdminServiceGrpc.getDeleteQueueMethod) == null) {
      synchronized (AdminServiceGrpc.class) {
        if ((getDeleteQueueMethod = AdminServiceGrpc.getDeleteQueueMethod) == null) {
          AdminServiceGrpc.getDeleteQueueMethod = getDeleteQueueMethod =
              io.grpc.MethodDescriptor.<bbq.v1.DeleteQueueRequest, bbq.v1.DeleteQueueResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "DeleteQueue"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.DeleteQueueRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.DeleteQueueResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AdminServiceMethodDescriptorSupplier("DeleteQueue"))
              .build();
        }
      }
    }
    return getDeleteQueueMethod;
  }

  private static volatile io.grpc.MethodDescriptor<bbq.v1.PurgeQueueRequest,
      bbq.v1.PurgeQueueResponse> getPurgeQueueMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "PurgeQueue",
      requestType = bbq.v1.PurgeQueueRequest.class,
      responseType = bbq.v1.PurgeQueueResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<bbq.v1.PurgeQueueRequest,
      bbq.v1.PurgeQueueResponse> getPurgeQueueMethod() {
    io.grpc.MethodDescriptor<bbq.v1.PurgeQueueRequest, bbq.v1.PurgeQueueResponse> getPurgeQueueMethod;
    if ((getPurgeQueueMethod = AdminServiceGrpc.getPurgeQueueMethod) == null) {
      synchronized (AdminServiceGrpc.class) {
        if ((getPurgeQueueMethod = AdminServiceGrpc.getPurgeQueueMethod) == null) {
          AdminServiceGrpc.getPurgeQueueMethod = getPurgeQueueMethod =
              io.grpc.MethodDescriptor.<bbq.v1.PurgeQueueRequest, bbq.v1.PurgeQueueResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "PurgeQueue"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.PurgeQueueRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.PurgeQueueResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AdminServiceMethodDescriptorSupplier("PurgeQueue"))
              .build();
        }
      }
    }
    return getPurgeQueueMethod;
  }

  private static volatile io.grpc.MethodDescriptor<bbq.v1.PeekMessagesRequest,
      bbq.v1.PeekMessagesResponse> getPeekMessagesMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "PeekMessages",
      requestType = bbq.v1.PeekMessagesRequest.class,
      responseType = bbq.v1.PeekMessagesResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<bbq.v1.PeekMessagesRequest,
      bbq.v1.PeekMessagesResponse> getPeekMessagesMethod() {
    io.grpc.MethodDescriptor<bbq.v1.PeekMessagesRequest, bbq.v1.PeekMessagesResponse> getPeekMessagesMethod;
    if ((getPeekMessagesMethod = AdminServiceGrpc.getPeekMessagesMethod) == null) {
      synchronized (AdminServiceGrpc.class) {
        if ((getPeekMessagesMethod = AdminServiceGrpc.getPeekMessagesMethod) == null) {
          AdminServiceGrpc.getPeekMessagesMethod = getPeekMessagesMethod =
              io.grpc.MethodDescriptor.<bbq.v1.PeekMessagesRequest, bbq.v1.PeekMessagesResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "PeekMessages"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.PeekMessagesRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.PeekMessagesResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AdminServiceMethodDescriptorSupplier("PeekMessages"))
              .build();
        }
      }
    }
    return getPeekMessagesMethod;
  }

  private static volatile io.grpc.MethodDescriptor<bbq.v1.ListLeasesRequest,
      bbq.v1.ListLeasesResponse> getListLeasesMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ListLeases",
      requestType = bbq.v1.ListLeasesRequest.class,
      responseType = bbq.v1.ListLeasesResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<bbq.v1.ListLeasesRequest,
      bbq.v1.ListLeasesResponse> getListLeasesMethod() {
    io.grpc.MethodDescriptor<bbq.v1.ListLeasesRequest, bbq.v1.ListLeasesResponse> getListLeasesMethod;
    if ((getListLeasesMethod = AdminServiceGrpc.getListLeasesMethod) == null) {
      synchronized (AdminServiceGrpc.class) {
        if ((getListLeasesMethod = AdminServiceGrpc.getListLeasesMethod) == null) {
          AdminServiceGrpc.getListLeasesMethod = getListLeasesMethod =
              io.grpc.MethodDescriptor.<bbq.v1.ListLeasesRequest, bbq.v1.ListLeasesResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ListLeases"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.ListLeasesRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.ListLeasesResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AdminServiceMethodDescriptorSupplier("ListLeases"))
              .build();
        }
      }
    }
    return getListLeasesMethod;
  }

  private static volatile io.grpc.MethodDescriptor<bbq.v1.RedriveMessagesRequest,
      bbq.v1.RedriveMessagesResponse> getRedriveMessagesMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "RedriveMessages",
      requestType = bbq.v1.RedriveMessagesRequest.class,
      responseType = bbq.v1.RedriveMessagesResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
  public static io.grpc.MethodDescriptor<bbq.v1.RedriveMessagesRequest,
      bbq.v1.RedriveMessagesResponse> getRedriveMessagesMethod() {
    io.grpc.MethodDescriptor<bbq.v1.RedriveMessagesRequest, bbq.v1.RedriveMessagesResponse> getRedriveMessagesMethod;
    if ((getRedriveMessagesMethod = AdminServiceGrpc.getRedriveMessagesMethod) == null) {
      synchronized (AdminServiceGrpc.class) {
        if ((getRedriveMessagesMethod = AdminServiceGrpc.getRedriveMessagesMethod) == null) {
          AdminServiceGrpc.getRedriveMessagesMethod = getRedriveMessagesMethod =
              io.grpc.MethodDescriptor.<bbq.v1.RedriveMessagesRequest, bbq.v1.RedriveMessagesResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "RedriveMessages"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.RedriveMessagesRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.RedriveMessagesResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AdminServiceMethodDescriptorSupplier("RedriveMessages"))
              .build();
        }
      }
    }
    return getRedriveMessagesMethod;
  }

  private static volatile io.grpc.MethodDescriptor<bbq.v1.CreateTopicRequest,
      bbq.v1.CreateTopicResponse> getCreateTopicMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "CreateTopic",
      requestType = bbq.v1.CreateTopicRequest.class,
      responseType = bbq.v1.CreateTopicResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<bbq.v1.CreateTopicRequest,
      bbq.v1.CreateTopicResponse> getCreateTopicMethod() {
    io.grpc.MethodDescriptor<bbq.v1.CreateTopicRequest, bbq.v1.CreateTopicResponse> getCreateTopicMethod;
    if ((getCreateTopicMethod = AdminServiceGrpc.getCreateTopicMethod) == null) {
      synchronized (AdminServiceGrpc.class) {
        if ((getCreateTopicMethod = AdminServiceGrpc.getCreateTopicMethod) == null) {
          AdminServiceGrpc.getCreateTopicMethod = getCreateTopicMethod =
              io.grpc.MethodDescriptor.<bbq.v1.CreateTopicRequest, bbq.v1.CreateTopicResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "CreateTopic"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.CreateTopicRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.CreateTopicResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AdminServiceMethodDescriptorSupplier("CreateTopic"))
              .build();
        }
      }
    }
    return getCreateTopicMethod;
  }

  private static volatile io.grpc.MethodDescriptor<bbq.v1.ListTopicsRequest,
      bbq.v1.ListTopicsResponse> getListTopicsMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ListTopics",
      requestType = bbq.v1.ListTopicsRequest.class,
      responseType = bbq.v1.ListTopicsResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<bbq.v1.ListTopicsRequest,
      bbq.v1.ListTopicsResponse> getListTopicsMethod() {
    io.grpc.MethodDescriptor<bbq.v1.ListTopicsRequest, bbq.v1.ListTopicsResponse> getListTopicsMethod;
    if ((getListTopicsMethod = AdminServiceGrpc.getListTopicsMethod) == null) {
      synchronized (AdminServiceGrpc.class) {
        if ((getListTopicsMethod = AdminServiceGrpc.getListTopicsMethod) == null) {
          AdminServiceGrpc.getListTopicsMethod = getListTopicsMethod =
              io.grpc.MethodDescriptor.<bbq.v1.ListTopicsRequest, bbq.v1.ListTopicsResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ListTopics"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.ListTopicsRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.ListTopicsResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AdminServiceMethodDescriptorSupplier("ListTopics"))
              .build();
        }
      }
    }
    return getListTopicsMethod;
  }

  private static volatile io.grpc.MethodDescriptor<bbq.v1.DeleteTopicRequest,
      bbq.v1.DeleteTopicResponse> getDeleteTopicMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "DeleteTopic",
      requestType = bbq.v1.DeleteTopicRequest.class,
      responseType = bbq.v1.DeleteTopicResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<bbq.v1.DeleteTopicRequest,
      bbq.v1.DeleteTopicResponse> getDeleteTopicMethod() {
    io.grpc.MethodDescriptor<bbq.v1.DeleteTopicRequest, bbq.v1.DeleteTopicResponse> getDeleteTopicMethod;
    if ((getDeleteTopicMethod = AdminServiceGrpc.getDeleteTopicMethod) == null) {
      synchronized (AdminServiceGrpc.class) {
        if ((getDeleteTopicMethod = AdminServiceGrpc.getDeleteTopicMethod) == null) {
          AdminServiceGrpc.getDeleteTopicMethod = getDeleteTopicMethod =
              io.grpc.MethodDescriptor.<bbq.v1.DeleteTopicRequest, bbq.v1.DeleteTopicResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "DeleteTopic"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.DeleteTopicRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.DeleteTopicResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AdminServiceMethodDescriptorSupplier("DeleteTopic"))
              .build();
        }
      }
    }
    return getDeleteTopicMethod;
  }

  private static volatile io.grpc.MethodDescriptor<bbq.v1.BindRequest,
      bbq.v1.BindResponse> getBindMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Bind",
      requestType = bbq.v1.BindRequest.class,
      responseType = bbq.v1.BindResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<bbq.v1.BindRequest,
      bbq.v1.BindResponse> getBindMethod() {
    io.grpc.MethodDescriptor<bbq.v1.BindRequest, bbq.v1.BindResponse> getBindMethod;
    if ((getBindMethod = AdminServiceGrpc.getBindMethod) == null) {
      synchronized (AdminServiceGrpc.class) {
        if ((getBindMethod = AdminServiceGrpc.getBindMethod) == null) {
          AdminServiceGrpc.getBindMethod = getBindMethod =
              io.grpc.MethodDescriptor.<bbq.v1.BindRequest, bbq.v1.BindResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Bind"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.BindRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.BindResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AdminServiceMethodDescriptorSupplier("Bind"))
              .build();
        }
      }
    }
    return getBindMethod;
  }

  private static volatile io.grpc.MethodDescriptor<bbq.v1.UnbindRequest,
      bbq.v1.UnbindResponse> getUnbindMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Unbind",
      requestType = bbq.v1.UnbindRequest.class,
      responseType = bbq.v1.UnbindResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<bbq.v1.UnbindRequest,
      bbq.v1.UnbindResponse> getUnbindMethod() {
    io.grpc.MethodDescriptor<bbq.v1.UnbindRequest, bbq.v1.UnbindResponse> getUnbindMethod;
    if ((getUnbindMethod = AdminServiceGrpc.getUnbindMethod) == null) {
      synchronized (AdminServiceGrpc.class) {
        if ((getUnbindMethod = AdminServiceGrpc.getUnbindMethod) == null) {
          AdminServiceGrpc.getUnbindMethod = getUnbindMethod =
              io.grpc.MethodDescriptor.<bbq.v1.UnbindRequest, bbq.v1.UnbindResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Unbind"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.UnbindRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.UnbindResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AdminServiceMethodDescriptorSupplier("Unbind"))
              .build();
        }
      }
    }
    return getUnbindMethod;
  }

  private static volatile io.grpc.MethodDescriptor<bbq.v1.WatchStatsRequest,
      bbq.v1.WatchStatsResponse> getWatchStatsMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "WatchStats",
      requestType = bbq.v1.WatchStatsRequest.class,
      responseType = bbq.v1.WatchStatsResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
  public static io.grpc.MethodDescriptor<bbq.v1.WatchStatsRequest,
      bbq.v1.WatchStatsResponse> getWatchStatsMethod() {
    io.grpc.MethodDescriptor<bbq.v1.WatchStatsRequest, bbq.v1.WatchStatsResponse> getWatchStatsMethod;
    if ((getWatchStatsMethod = AdminServiceGrpc.getWatchStatsMethod) == null) {
      synchronized (AdminServiceGrpc.class) {
        if ((getWatchStatsMethod = AdminServiceGrpc.getWatchStatsMethod) == null) {
          AdminServiceGrpc.getWatchStatsMethod = getWatchStatsMethod =
              io.grpc.MethodDescriptor.<bbq.v1.WatchStatsRequest, bbq.v1.WatchStatsResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "WatchStats"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.WatchStatsRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.WatchStatsResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AdminServiceMethodDescriptorSupplier("WatchStats"))
              .build();
        }
      }
    }
    return getWatchStatsMethod;
  }

  private static volatile io.grpc.MethodDescriptor<bbq.v1.CreateTokenRequest,
      bbq.v1.CreateTokenResponse> getCreateTokenMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "CreateToken",
      requestType = bbq.v1.CreateTokenRequest.class,
      responseType = bbq.v1.CreateTokenResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<bbq.v1.CreateTokenRequest,
      bbq.v1.CreateTokenResponse> getCreateTokenMethod() {
    io.grpc.MethodDescriptor<bbq.v1.CreateTokenRequest, bbq.v1.CreateTokenResponse> getCreateTokenMethod;
    if ((getCreateTokenMethod = AdminServiceGrpc.getCreateTokenMethod) == null) {
      synchronized (AdminServiceGrpc.class) {
        if ((getCreateTokenMethod = AdminServiceGrpc.getCreateTokenMethod) == null) {
          AdminServiceGrpc.getCreateTokenMethod = getCreateTokenMethod =
              io.grpc.MethodDescriptor.<bbq.v1.CreateTokenRequest, bbq.v1.CreateTokenResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "CreateToken"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.CreateTokenRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.CreateTokenResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AdminServiceMethodDescriptorSupplier("CreateToken"))
              .build();
        }
      }
    }
    return getCreateTokenMethod;
  }

  private static volatile io.grpc.MethodDescriptor<bbq.v1.ListTokensRequest,
      bbq.v1.ListTokensResponse> getListTokensMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ListTokens",
      requestType = bbq.v1.ListTokensRequest.class,
      responseType = bbq.v1.ListTokensResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<bbq.v1.ListTokensRequest,
      bbq.v1.ListTokensResponse> getListTokensMethod() {
    io.grpc.MethodDescriptor<bbq.v1.ListTokensRequest, bbq.v1.ListTokensResponse> getListTokensMethod;
    if ((getListTokensMethod = AdminServiceGrpc.getListTokensMethod) == null) {
      synchronized (AdminServiceGrpc.class) {
        if ((getListTokensMethod = AdminServiceGrpc.getListTokensMethod) == null) {
          AdminServiceGrpc.getListTokensMethod = getListTokensMethod =
              io.grpc.MethodDescriptor.<bbq.v1.ListTokensRequest, bbq.v1.ListTokensResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ListTokens"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.ListTokensRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.ListTokensResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AdminServiceMethodDescriptorSupplier("ListTokens"))
              .build();
        }
      }
    }
    return getListTokensMethod;
  }

  private static volatile io.grpc.MethodDescriptor<bbq.v1.RevokeTokenRequest,
      bbq.v1.RevokeTokenResponse> getRevokeTokenMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "RevokeToken",
      requestType = bbq.v1.RevokeTokenRequest.class,
      responseType = bbq.v1.RevokeTokenResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<bbq.v1.RevokeTokenRequest,
      bbq.v1.RevokeTokenResponse> getRevokeTokenMethod() {
    io.grpc.MethodDescriptor<bbq.v1.RevokeTokenRequest, bbq.v1.RevokeTokenResponse> getRevokeTokenMethod;
    if ((getRevokeTokenMethod = AdminServiceGrpc.getRevokeTokenMethod) == null) {
      synchronized (AdminServiceGrpc.class) {
        if ((getRevokeTokenMethod = AdminServiceGrpc.getRevokeTokenMethod) == null) {
          AdminServiceGrpc.getRevokeTokenMethod = getRevokeTokenMethod =
              io.grpc.MethodDescriptor.<bbq.v1.RevokeTokenRequest, bbq.v1.RevokeTokenResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "RevokeToken"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.RevokeTokenRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.RevokeTokenResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AdminServiceMethodDescriptorSupplier("RevokeToken"))
              .build();
        }
      }
    }
    return getRevokeTokenMethod;
  }

  private static volatile io.grpc.MethodDescriptor<bbq.v1.BackupRequest,
      bbq.v1.BackupResponse> getBackupMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Backup",
      requestType = bbq.v1.BackupRequest.class,
      responseType = bbq.v1.BackupResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
  public static io.grpc.MethodDescriptor<bbq.v1.BackupRequest,
      bbq.v1.BackupResponse> getBackupMethod() {
    io.grpc.MethodDescriptor<bbq.v1.BackupRequest, bbq.v1.BackupResponse> getBackupMethod;
    if ((getBackupMethod = AdminServiceGrpc.getBackupMethod) == null) {
      synchronized (AdminServiceGrpc.class) {
        if ((getBackupMethod = AdminServiceGrpc.getBackupMethod) == null) {
          AdminServiceGrpc.getBackupMethod = getBackupMethod =
              io.grpc.MethodDescriptor.<bbq.v1.BackupRequest, bbq.v1.BackupResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Backup"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.BackupRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  bbq.v1.BackupResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AdminServiceMethodDescriptorSupplier("Backup"))
              .build();
        }
      }
    }
    return getBackupMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static AdminServiceStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<AdminServiceStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<AdminServiceStub>() {
        @java.lang.Override
        public AdminServiceStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new AdminServiceStub(channel, callOptions);
        }
      };
    return AdminServiceStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static AdminServiceBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<AdminServiceBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<AdminServiceBlockingV2Stub>() {
        @java.lang.Override
        public AdminServiceBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new AdminServiceBlockingV2Stub(channel, callOptions);
        }
      };
    return AdminServiceBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static AdminServiceBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<AdminServiceBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<AdminServiceBlockingStub>() {
        @java.lang.Override
        public AdminServiceBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new AdminServiceBlockingStub(channel, callOptions);
        }
      };
    return AdminServiceBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static AdminServiceFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<AdminServiceFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<AdminServiceFutureStub>() {
        @java.lang.Override
        public AdminServiceFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new AdminServiceFutureStub(channel, callOptions);
        }
      };
    return AdminServiceFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * The control plane: queues, topics, tokens, and a look inside.
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * Makes a queue. One that is there with the same settings is a success.
     * </pre>
     */
    default void createQueue(bbq.v1.CreateQueueRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.CreateQueueResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getCreateQueueMethod(), responseObserver);
    }

    /**
     * <pre>
     * A queue's settings and what is in it.
     * </pre>
     */
    default void getQueue(bbq.v1.GetQueueRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.GetQueueResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getGetQueueMethod(), responseObserver);
    }

    /**
     * <pre>
     * All queues that the caller may see, by name, a page at a time.
     * </pre>
     */
    default void listQueues(bbq.v1.ListQueuesRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.ListQueuesResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getListQueuesMethod(), responseObserver);
    }

    /**
     * <pre>
     * Changes settings of a queue in use; `ordering` and `delivery` only while it is empty.
     * </pre>
     */
    default void updateQueue(bbq.v1.UpdateQueueRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.UpdateQueueResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getUpdateQueueMethod(), responseObserver);
    }

    /**
     * <pre>
     * Removes a queue and all that is in it; its streams and waiting Receive calls end with NOT_FOUND.
     * </pre>
     */
    default void deleteQueue(bbq.v1.DeleteQueueRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.DeleteQueueResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getDeleteQueueMethod(), responseObserver);
    }

    /**
     * <pre>
     * Removes all messages that nobody holds.
     * </pre>
     */
    default void purgeQueue(bbq.v1.PurgeQueueRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.PurgeQueueResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getPurgeQueueMethod(), responseObserver);
    }

    /**
     * <pre>
     * Shows messages in every state and changes nothing.
     * </pre>
     */
    default void peekMessages(bbq.v1.PeekMessagesRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.PeekMessagesResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getPeekMessagesMethod(), responseObserver);
    }

    /**
     * <pre>
     * Who holds what, since when, until when.
     * </pre>
     */
    default void listLeases(bbq.v1.ListLeasesRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.ListLeasesResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getListLeasesMethod(), responseObserver);
    }

    /**
     * <pre>
     * Moves dead-lettered messages back to where they came from.
     * </pre>
     */
    default void redriveMessages(bbq.v1.RedriveMessagesRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.RedriveMessagesResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getRedriveMessagesMethod(), responseObserver);
    }

    /**
     * <pre>
     * Makes a topic. One that is there already is a success.
     * </pre>
     */
    default void createTopic(bbq.v1.CreateTopicRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.CreateTopicResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getCreateTopicMethod(), responseObserver);
    }

    /**
     * <pre>
     * All topics with their bindings, by name, a page at a time.
     * </pre>
     */
    default void listTopics(bbq.v1.ListTopicsRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.ListTopicsResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getListTopicsMethod(), responseObserver);
    }

    /**
     * <pre>
     * Removes a topic and its bindings.
     * </pre>
     */
    default void deleteTopic(bbq.v1.DeleteTopicRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.DeleteTopicResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getDeleteTopicMethod(), responseObserver);
    }

    /**
     * <pre>
     * Lets a queue take what a topic gets.
     * </pre>
     */
    default void bind(bbq.v1.BindRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.BindResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getBindMethod(), responseObserver);
    }

    /**
     * <pre>
     * Takes a binding back.
     * </pre>
     */
    default void unbind(bbq.v1.UnbindRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.UnbindResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getUnbindMethod(), responseObserver);
    }

    /**
     * <pre>
     * Depths, rates, ages and consumers at a chosen interval.
     * </pre>
     */
    default void watchStats(bbq.v1.WatchStatsRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.WatchStatsResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getWatchStatsMethod(), responseObserver);
    }

    /**
     * <pre>
     * Makes a bearer token. Its secret is shown this once.
     * </pre>
     */
    default void createToken(bbq.v1.CreateTokenRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.CreateTokenResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getCreateTokenMethod(), responseObserver);
    }

    /**
     * <pre>
     * All tokens, without their secrets.
     * </pre>
     */
    default void listTokens(bbq.v1.ListTokensRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.ListTokensResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getListTokensMethod(), responseObserver);
    }

    /**
     * <pre>
     * Ends a token for every call that begins from now on.
     * </pre>
     */
    default void revokeToken(bbq.v1.RevokeTokenRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.RevokeTokenResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getRevokeTokenMethod(), responseObserver);
    }

    /**
     * <pre>
     * A consistent copy of everything, without stopping.
     * </pre>
     */
    default void backup(bbq.v1.BackupRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.BackupResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getBackupMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service AdminService.
   * <pre>
   * The control plane: queues, topics, tokens, and a look inside.
   * </pre>
   */
  public static abstract class AdminServiceImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return AdminServiceGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service AdminService.
   * <pre>
   * The control plane: queues, topics, tokens, and a look inside.
   * </pre>
   */
  public static final class AdminServiceStub
      extends io.grpc.stub.AbstractAsyncStub<AdminServiceStub> {
    private AdminServiceStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected AdminServiceStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new AdminServiceStub(channel, callOptions);
    }

    /**
     * <pre>
     * Makes a queue. One that is there with the same settings is a success.
     * </pre>
     */
    public void createQueue(bbq.v1.CreateQueueRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.CreateQueueResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getCreateQueueMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * A queue's settings and what is in it.
     * </pre>
     */
    public void getQueue(bbq.v1.GetQueueRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.GetQueueResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getGetQueueMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * All queues that the caller may see, by name, a page at a time.
     * </pre>
     */
    public void listQueues(bbq.v1.ListQueuesRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.ListQueuesResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getListQueuesMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Changes settings of a queue in use; `ordering` and `delivery` only while it is empty.
     * </pre>
     */
    public void updateQueue(bbq.v1.UpdateQueueRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.UpdateQueueResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getUpdateQueueMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Removes a queue and all that is in it; its streams and waiting Receive calls end with NOT_FOUND.
     * </pre>
     */
    public void deleteQueue(bbq.v1.DeleteQueueRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.DeleteQueueResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getDeleteQueueMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Removes all messages that nobody holds.
     * </pre>
     */
    public void purgeQueue(bbq.v1.PurgeQueueRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.PurgeQueueResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getPurgeQueueMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Shows messages in every state and changes nothing.
     * </pre>
     */
    public void peekMessages(bbq.v1.PeekMessagesRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.PeekMessagesResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getPeekMessagesMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Who holds what, since when, until when.
     * </pre>
     */
    public void listLeases(bbq.v1.ListLeasesRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.ListLeasesResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getListLeasesMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Moves dead-lettered messages back to where they came from.
     * </pre>
     */
    public void redriveMessages(bbq.v1.RedriveMessagesRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.RedriveMessagesResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncServerStreamingCall(
          getChannel().newCall(getRedriveMessagesMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Makes a topic. One that is there already is a success.
     * </pre>
     */
    public void createTopic(bbq.v1.CreateTopicRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.CreateTopicResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getCreateTopicMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * All topics with their bindings, by name, a page at a time.
     * </pre>
     */
    public void listTopics(bbq.v1.ListTopicsRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.ListTopicsResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getListTopicsMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Removes a topic and its bindings.
     * </pre>
     */
    public void deleteTopic(bbq.v1.DeleteTopicRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.DeleteTopicResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getDeleteTopicMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Lets a queue take what a topic gets.
     * </pre>
     */
    public void bind(bbq.v1.BindRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.BindResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getBindMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Takes a binding back.
     * </pre>
     */
    public void unbind(bbq.v1.UnbindRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.UnbindResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getUnbindMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Depths, rates, ages and consumers at a chosen interval.
     * </pre>
     */
    public void watchStats(bbq.v1.WatchStatsRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.WatchStatsResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncServerStreamingCall(
          getChannel().newCall(getWatchStatsMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Makes a bearer token. Its secret is shown this once.
     * </pre>
     */
    public void createToken(bbq.v1.CreateTokenRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.CreateTokenResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getCreateTokenMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * All tokens, without their secrets.
     * </pre>
     */
    public void listTokens(bbq.v1.ListTokensRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.ListTokensResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getListTokensMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Ends a token for every call that begins from now on.
     * </pre>
     */
    public void revokeToken(bbq.v1.RevokeTokenRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.RevokeTokenResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getRevokeTokenMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * A consistent copy of everything, without stopping.
     * </pre>
     */
    public void backup(bbq.v1.BackupRequest request,
        io.grpc.stub.StreamObserver<bbq.v1.BackupResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncServerStreamingCall(
          getChannel().newCall(getBackupMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service AdminService.
   * <pre>
   * The control plane: queues, topics, tokens, and a look inside.
   * </pre>
   */
  public static final class AdminServiceBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<AdminServiceBlockingV2Stub> {
    private AdminServiceBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected AdminServiceBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new AdminServiceBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Makes a queue. One that is there with the same settings is a success.
     * </pre>
     */
    public bbq.v1.CreateQueueResponse createQueue(bbq.v1.CreateQueueRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getCreateQueueMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * A queue's settings and what is in it.
     * </pre>
     */
    public bbq.v1.GetQueueResponse getQueue(bbq.v1.GetQueueRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getGetQueueMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * All queues that the caller may see, by name, a page at a time.
     * </pre>
     */
    public bbq.v1.ListQueuesResponse listQueues(bbq.v1.ListQueuesRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getListQueuesMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Changes settings of a queue in use; `ordering` and `delivery` only while it is empty.
     * </pre>
     */
    public bbq.v1.UpdateQueueResponse updateQueue(bbq.v1.UpdateQueueRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getUpdateQueueMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Removes a queue and all that is in it; its streams and waiting Receive calls end with NOT_FOUND.
     * </pre>
     */
    public bbq.v1.DeleteQueueResponse deleteQueue(bbq.v1.DeleteQueueRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getDeleteQueueMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Removes all messages that nobody holds.
     * </pre>
     */
    public bbq.v1.PurgeQueueResponse purgeQueue(bbq.v1.PurgeQueueRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getPurgeQueueMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Shows messages in every state and changes nothing.
     * </pre>
     */
    public bbq.v1.PeekMessagesResponse peekMessages(bbq.v1.PeekMessagesRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getPeekMessagesMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Who holds what, since when, until when.
     * </pre>
     */
    public bbq.v1.ListLeasesResponse listLeases(bbq.v1.ListLeasesRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getListLeasesMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Moves dead-lettered messages back to where they came from.
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<?, bbq.v1.RedriveMessagesResponse>
        redriveMessages(bbq.v1.RedriveMessagesRequest request) {
      return io.grpc.stub.ClientCalls.blockingV2ServerStreamingCall(
          getChannel(), getRedriveMessagesMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Makes a topic. One that is there already is a success.
     * </pre>
     */
    public bbq.v1.CreateTopicResponse createTopic(bbq.v1.CreateTopicRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getCreateTopicMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * All topics with their bindings, by name, a page at a time.
     * </pre>
     */
    public bbq.v1.ListTopicsResponse listTopics(bbq.v1.ListTopicsRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getListTopicsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Removes a topic and its bindings.
     * </pre>
     */
    public bbq.v1.DeleteTopicResponse deleteTopic(bbq.v1.DeleteTopicRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getDeleteTopicMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Lets a queue take what a topic gets.
     * </pre>
     */
    public bbq.v1.BindResponse bind(bbq.v1.BindRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getBindMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Takes a binding back.
     * </pre>
     */
    public bbq.v1.UnbindResponse unbind(bbq.v1.UnbindRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getUnbindMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Depths, rates, ages and consumers at a chosen interval.
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<?, bbq.v1.WatchStatsResponse>
        watchStats(bbq.v1.WatchStatsRequest request) {
      return io.grpc.stub.ClientCalls.blockingV2ServerStreamingCall(
          getChannel(), getWatchStatsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Makes a bearer token. Its secret is shown this once.
     * </pre>
     */
    public bbq.v1.CreateTokenResponse createToken(bbq.v1.CreateTokenRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getCreateTokenMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * All tokens, without their secrets.
     * </pre>
     */
    public bbq.v1.ListTokensResponse listTokens(bbq.v1.ListTokensRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getListTokensMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Ends a token for every call that begins from now on.
     * </pre>
     */
    public bbq.v1.RevokeTokenResponse revokeToken(bbq.v1.RevokeTokenRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getRevokeTokenMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * A consistent copy of everything, without stopping.
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<?, bbq.v1.BackupResponse>
        backup(bbq.v1.BackupRequest request) {
      return io.grpc.stub.ClientCalls.blockingV2ServerStreamingCall(
          getChannel(), getBackupMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service AdminService.
   * <pre>
   * The control plane: queues, topics, tokens, and a look inside.
   * </pre>
   */
  public static final class AdminServiceBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<AdminServiceBlockingStub> {
    private AdminServiceBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected AdminServiceBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new AdminServiceBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Makes a queue. One that is there with the same settings is a success.
     * </pre>
     */
    public bbq.v1.CreateQueueResponse createQueue(bbq.v1.CreateQueueRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getCreateQueueMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * A queue's settings and what is in it.
     * </pre>
     */
    public bbq.v1.GetQueueResponse getQueue(bbq.v1.GetQueueRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getGetQueueMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * All queues that the caller may see, by name, a page at a time.
     * </pre>
     */
    public bbq.v1.ListQueuesResponse listQueues(bbq.v1.ListQueuesRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getListQueuesMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Changes settings of a queue in use; `ordering` and `delivery` only while it is empty.
     * </pre>
     */
    public bbq.v1.UpdateQueueResponse updateQueue(bbq.v1.UpdateQueueRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getUpdateQueueMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Removes a queue and all that is in it; its streams and waiting Receive calls end with NOT_FOUND.
     * </pre>
     */
    public bbq.v1.DeleteQueueResponse deleteQueue(bbq.v1.DeleteQueueRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getDeleteQueueMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Removes all messages that nobody holds.
     * </pre>
     */
    public bbq.v1.PurgeQueueResponse purgeQueue(bbq.v1.PurgeQueueRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getPurgeQueueMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Shows messages in every state and changes nothing.
     * </pre>
     */
    public bbq.v1.PeekMessagesResponse peekMessages(bbq.v1.PeekMessagesRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getPeekMessagesMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Who holds what, since when, until when.
     * </pre>
     */
    public bbq.v1.ListLeasesResponse listLeases(bbq.v1.ListLeasesRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getListLeasesMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Moves dead-lettered messages back to where they came from.
     * </pre>
     */
    public java.util.Iterator<bbq.v1.RedriveMessagesResponse> redriveMessages(
        bbq.v1.RedriveMessagesRequest request) {
      return io.grpc.stub.ClientCalls.blockingServerStreamingCall(
          getChannel(), getRedriveMessagesMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Makes a topic. One that is there already is a success.
     * </pre>
     */
    public bbq.v1.CreateTopicResponse createTopic(bbq.v1.CreateTopicRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getCreateTopicMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * All topics with their bindings, by name, a page at a time.
     * </pre>
     */
    public bbq.v1.ListTopicsResponse listTopics(bbq.v1.ListTopicsRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getListTopicsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Removes a topic and its bindings.
     * </pre>
     */
    public bbq.v1.DeleteTopicResponse deleteTopic(bbq.v1.DeleteTopicRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getDeleteTopicMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Lets a queue take what a topic gets.
     * </pre>
     */
    public bbq.v1.BindResponse bind(bbq.v1.BindRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getBindMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Takes a binding back.
     * </pre>
     */
    public bbq.v1.UnbindResponse unbind(bbq.v1.UnbindRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getUnbindMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Depths, rates, ages and consumers at a chosen interval.
     * </pre>
     */
    public java.util.Iterator<bbq.v1.WatchStatsResponse> watchStats(
        bbq.v1.WatchStatsRequest request) {
      return io.grpc.stub.ClientCalls.blockingServerStreamingCall(
          getChannel(), getWatchStatsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Makes a bearer token. Its secret is shown this once.
     * </pre>
     */
    public bbq.v1.CreateTokenResponse createToken(bbq.v1.CreateTokenRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getCreateTokenMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * All tokens, without their secrets.
     * </pre>
     */
    public bbq.v1.ListTokensResponse listTokens(bbq.v1.ListTokensRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getListTokensMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Ends a token for every call that begins from now on.
     * </pre>
     */
    public bbq.v1.RevokeTokenResponse revokeToken(bbq.v1.RevokeTokenRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getRevokeTokenMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * A consistent copy of everything, without stopping.
     * </pre>
     */
    public java.util.Iterator<bbq.v1.BackupResponse> backup(
        bbq.v1.BackupRequest request) {
      return io.grpc.stub.ClientCalls.blockingServerStreamingCall(
          getChannel(), getBackupMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service AdminService.
   * <pre>
   * The control plane: queues, topics, tokens, and a look inside.
   * </pre>
   */
  public static final class AdminServiceFutureStub
      extends io.grpc.stub.AbstractFutureStub<AdminServiceFutureStub> {
    private AdminServiceFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected AdminServiceFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new AdminServiceFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Makes a queue. One that is there with the same settings is a success.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<bbq.v1.CreateQueueResponse> createQueue(
        bbq.v1.CreateQueueRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getCreateQueueMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * A queue's settings and what is in it.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<bbq.v1.GetQueueResponse> getQueue(
        bbq.v1.GetQueueRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getGetQueueMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * All queues that the caller may see, by name, a page at a time.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<bbq.v1.ListQueuesResponse> listQueues(
        bbq.v1.ListQueuesRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getListQueuesMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Changes settings of a queue in use; `ordering` and `delivery` only while it is empty.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<bbq.v1.UpdateQueueResponse> updateQueue(
        bbq.v1.UpdateQueueRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getUpdateQueueMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Removes a queue and all that is in it; its streams and waiting Receive calls end with NOT_FOUND.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<bbq.v1.DeleteQueueResponse> deleteQueue(
        bbq.v1.DeleteQueueRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getDeleteQueueMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Removes all messages that nobody holds.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<bbq.v1.PurgeQueueResponse> purgeQueue(
        bbq.v1.PurgeQueueRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getPurgeQueueMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Shows messages in every state and changes nothing.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<bbq.v1.PeekMessagesResponse> peekMessages(
        bbq.v1.PeekMessagesRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getPeekMessagesMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Who holds what, since when, until when.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<bbq.v1.ListLeasesResponse> listLeases(
        bbq.v1.ListLeasesRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getListLeasesMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Makes a topic. One that is there already is a success.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<bbq.v1.CreateTopicResponse> createTopic(
        bbq.v1.CreateTopicRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getCreateTopicMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * All topics with their bindings, by name, a page at a time.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<bbq.v1.ListTopicsResponse> listTopics(
        bbq.v1.ListTopicsRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getListTopicsMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Removes a topic and its bindings.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<bbq.v1.DeleteTopicResponse> deleteTopic(
        bbq.v1.DeleteTopicRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getDeleteTopicMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Lets a queue take what a topic gets.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<bbq.v1.BindResponse> bind(
        bbq.v1.BindRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getBindMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Takes a binding back.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<bbq.v1.UnbindResponse> unbind(
        bbq.v1.UnbindRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getUnbindMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Makes a bearer token. Its secret is shown this once.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<bbq.v1.CreateTokenResponse> createToken(
        bbq.v1.CreateTokenRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getCreateTokenMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * All tokens, without their secrets.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<bbq.v1.ListTokensResponse> listTokens(
        bbq.v1.ListTokensRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getListTokensMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Ends a token for every call that begins from now on.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<bbq.v1.RevokeTokenResponse> revokeToken(
        bbq.v1.RevokeTokenRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getRevokeTokenMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_CREATE_QUEUE = 0;
  private static final int METHODID_GET_QUEUE = 1;
  private static final int METHODID_LIST_QUEUES = 2;
  private static final int METHODID_UPDATE_QUEUE = 3;
  private static final int METHODID_DELETE_QUEUE = 4;
  private static final int METHODID_PURGE_QUEUE = 5;
  private static final int METHODID_PEEK_MESSAGES = 6;
  private static final int METHODID_LIST_LEASES = 7;
  private static final int METHODID_REDRIVE_MESSAGES = 8;
  private static final int METHODID_CREATE_TOPIC = 9;
  private static final int METHODID_LIST_TOPICS = 10;
  private static final int METHODID_DELETE_TOPIC = 11;
  private static final int METHODID_BIND = 12;
  private static final int METHODID_UNBIND = 13;
  private static final int METHODID_WATCH_STATS = 14;
  private static final int METHODID_CREATE_TOKEN = 15;
  private static final int METHODID_LIST_TOKENS = 16;
  private static final int METHODID_REVOKE_TOKEN = 17;
  private static final int METHODID_BACKUP = 18;

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
        case METHODID_CREATE_QUEUE:
          serviceImpl.createQueue((bbq.v1.CreateQueueRequest) request,
              (io.grpc.stub.StreamObserver<bbq.v1.CreateQueueResponse>) responseObserver);
          break;
        case METHODID_GET_QUEUE:
          serviceImpl.getQueue((bbq.v1.GetQueueRequest) request,
              (io.grpc.stub.StreamObserver<bbq.v1.GetQueueResponse>) responseObserver);
          break;
        case METHODID_LIST_QUEUES:
          serviceImpl.listQueues((bbq.v1.ListQueuesRequest) request,
              (io.grpc.stub.StreamObserver<bbq.v1.ListQueuesResponse>) responseObserver);
          break;
        case METHODID_UPDATE_QUEUE:
          serviceImpl.updateQueue((bbq.v1.UpdateQueueRequest) request,
              (io.grpc.stub.StreamObserver<bbq.v1.UpdateQueueResponse>) responseObserver);
          break;
        case METHODID_DELETE_QUEUE:
          serviceImpl.deleteQueue((bbq.v1.DeleteQueueRequest) request,
              (io.grpc.stub.StreamObserver<bbq.v1.DeleteQueueResponse>) responseObserver);
          break;
        case METHODID_PURGE_QUEUE:
          serviceImpl.purgeQueue((bbq.v1.PurgeQueueRequest) request,
              (io.grpc.stub.StreamObserver<bbq.v1.PurgeQueueResponse>) responseObserver);
          break;
        case METHODID_PEEK_MESSAGES:
          serviceImpl.peekMessages((bbq.v1.PeekMessagesRequest) request,
              (io.grpc.stub.StreamObserver<bbq.v1.PeekMessagesResponse>) responseObserver);
          break;
        case METHODID_LIST_LEASES:
          serviceImpl.listLeases((bbq.v1.ListLeasesRequest) request,
              (io.grpc.stub.StreamObserver<bbq.v1.ListLeasesResponse>) responseObserver);
          break;
        case METHODID_REDRIVE_MESSAGES:
          serviceImpl.redriveMessages((bbq.v1.RedriveMessagesRequest) request,
              (io.grpc.stub.StreamObserver<bbq.v1.RedriveMessagesResponse>) responseObserver);
          break;
        case METHODID_CREATE_TOPIC:
          serviceImpl.createTopic((bbq.v1.CreateTopicRequest) request,
              (io.grpc.stub.StreamObserver<bbq.v1.CreateTopicResponse>) responseObserver);
          break;
        case METHODID_LIST_TOPICS:
          serviceImpl.listTopics((bbq.v1.ListTopicsRequest) request,
              (io.grpc.stub.StreamObserver<bbq.v1.ListTopicsResponse>) responseObserver);
          break;
        case METHODID_DELETE_TOPIC:
          serviceImpl.deleteTopic((bbq.v1.DeleteTopicRequest) request,
              (io.grpc.stub.StreamObserver<bbq.v1.DeleteTopicResponse>) responseObserver);
          break;
        case METHODID_BIND:
          serviceImpl.bind((bbq.v1.BindRequest) request,
              (io.grpc.stub.StreamObserver<bbq.v1.BindResponse>) responseObserver);
          break;
        case METHODID_UNBIND:
          serviceImpl.unbind((bbq.v1.UnbindRequest) request,
              (io.grpc.stub.StreamObserver<bbq.v1.UnbindResponse>) responseObserver);
          break;
        case METHODID_WATCH_STATS:
          serviceImpl.watchStats((bbq.v1.WatchStatsRequest) request,
              (io.grpc.stub.StreamObserver<bbq.v1.WatchStatsResponse>) responseObserver);
          break;
        case METHODID_CREATE_TOKEN:
          serviceImpl.createToken((bbq.v1.CreateTokenRequest) request,
              (io.grpc.stub.StreamObserver<bbq.v1.CreateTokenResponse>) responseObserver);
          break;
        case METHODID_LIST_TOKENS:
          serviceImpl.listTokens((bbq.v1.ListTokensRequest) request,
              (io.grpc.stub.StreamObserver<bbq.v1.ListTokensResponse>) responseObserver);
          break;
        case METHODID_REVOKE_TOKEN:
          serviceImpl.revokeToken((bbq.v1.RevokeTokenRequest) request,
              (io.grpc.stub.StreamObserver<bbq.v1.RevokeTokenResponse>) responseObserver);
          break;
        case METHODID_BACKUP:
          serviceImpl.backup((bbq.v1.BackupRequest) request,
              (io.grpc.stub.StreamObserver<bbq.v1.BackupResponse>) responseObserver);
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
          getCreateQueueMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              bbq.v1.CreateQueueRequest,
              bbq.v1.CreateQueueResponse>(
                service, METHODID_CREATE_QUEUE)))
        .addMethod(
          getGetQueueMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              bbq.v1.GetQueueRequest,
              bbq.v1.GetQueueResponse>(
                service, METHODID_GET_QUEUE)))
        .addMethod(
          getListQueuesMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              bbq.v1.ListQueuesRequest,
              bbq.v1.ListQueuesResponse>(
                service, METHODID_LIST_QUEUES)))
        .addMethod(
          getUpdateQueueMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              bbq.v1.UpdateQueueRequest,
              bbq.v1.UpdateQueueResponse>(
                service, METHODID_UPDATE_QUEUE)))
        .addMethod(
          getDeleteQueueMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              bbq.v1.DeleteQueueRequest,
              bbq.v1.DeleteQueueResponse>(
                service, METHODID_DELETE_QUEUE)))
        .addMethod(
          getPurgeQueueMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              bbq.v1.PurgeQueueRequest,
              bbq.v1.PurgeQueueResponse>(
                service, METHODID_PURGE_QUEUE)))
        .addMethod(
          getPeekMessagesMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              bbq.v1.PeekMessagesRequest,
              bbq.v1.PeekMessagesResponse>(
                service, METHODID_PEEK_MESSAGES)))
        .addMethod(
          getListLeasesMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              bbq.v1.ListLeasesRequest,
              bbq.v1.ListLeasesResponse>(
                service, METHODID_LIST_LEASES)))
        .addMethod(
          getRedriveMessagesMethod(),
          io.grpc.stub.ServerCalls.asyncServerStreamingCall(
            new MethodHandlers<
              bbq.v1.RedriveMessagesRequest,
              bbq.v1.RedriveMessagesResponse>(
                service, METHODID_REDRIVE_MESSAGES)))
        .addMethod(
          getCreateTopicMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              bbq.v1.CreateTopicRequest,
              bbq.v1.CreateTopicResponse>(
                service, METHODID_CREATE_TOPIC)))
        .addMethod(
          getListTopicsMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              bbq.v1.ListTopicsRequest,
              bbq.v1.ListTopicsResponse>(
                service, METHODID_LIST_TOPICS)))
        .addMethod(
          getDeleteTopicMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              bbq.v1.DeleteTopicRequest,
              bbq.v1.DeleteTopicResponse>(
                service, METHODID_DELETE_TOPIC)))
        .addMethod(
          getBindMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              bbq.v1.BindRequest,
              bbq.v1.BindResponse>(
                service, METHODID_BIND)))
        .addMethod(
          getUnbindMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              bbq.v1.UnbindRequest,
              bbq.v1.UnbindResponse>(
                service, METHODID_UNBIND)))
        .addMethod(
          getWatchStatsMethod(),
          io.grpc.stub.ServerCalls.asyncServerStreamingCall(
            new MethodHandlers<
              bbq.v1.WatchStatsRequest,
              bbq.v1.WatchStatsResponse>(
                service, METHODID_WATCH_STATS)))
        .addMethod(
          getCreateTokenMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              bbq.v1.CreateTokenRequest,
              bbq.v1.CreateTokenResponse>(
                service, METHODID_CREATE_TOKEN)))
        .addMethod(
          getListTokensMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              bbq.v1.ListTokensRequest,
              bbq.v1.ListTokensResponse>(
                service, METHODID_LIST_TOKENS)))
        .addMethod(
          getRevokeTokenMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              bbq.v1.RevokeTokenRequest,
              bbq.v1.RevokeTokenResponse>(
                service, METHODID_REVOKE_TOKEN)))
        .addMethod(
          getBackupMethod(),
          io.grpc.stub.ServerCalls.asyncServerStreamingCall(
            new MethodHandlers<
              bbq.v1.BackupRequest,
              bbq.v1.BackupResponse>(
                service, METHODID_BACKUP)))
        .build();
  }

  private static abstract class AdminServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    AdminServiceBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return bbq.v1.AdminServiceProto.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("AdminService");
    }
  }

  private static final class AdminServiceFileDescriptorSupplier
      extends AdminServiceBaseDescriptorSupplier {
    AdminServiceFileDescriptorSupplier() {}
  }

  private static final class AdminServiceMethodDescriptorSupplier
      extends AdminServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    AdminServiceMethodDescriptorSupplier(java.lang.String methodName) {
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
      synchronized (AdminServiceGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new AdminServiceFileDescriptorSupplier())
              .addMethod(getCreateQueueMethod())
              .addMethod(getGetQueueMethod())
              .addMethod(getListQueuesMethod())
              .addMethod(getUpdateQueueMethod())
              .addMethod(getDeleteQueueMethod())
              .addMethod(getPurgeQueueMethod())
              .addMethod(getPeekMessagesMethod())
              .addMethod(getListLeasesMethod())
              .addMethod(getRedriveMessagesMethod())
              .addMethod(getCreateTopicMethod())
              .addMethod(getListTopicsMethod())
              .addMethod(getDeleteTopicMethod())
              .addMethod(getBindMethod())
              .addMethod(getUnbindMethod())
              .addMethod(getWatchStatsMethod())
              .addMethod(getCreateTokenMethod())
              .addMethod(getListTokensMethod())
              .addMethod(getRevokeTokenMethod())
              .addMethod(getBackupMethod())
              .build();
        }
      }
    }
    return result;
  }
}
