package bbq.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import bbq.v1.AdminServiceGrpc.AdminServiceBlockingStub;
import bbq.v1.AdminServiceGrpc.AdminServiceImplBase;
import bbq.v1.CreateTokenRequest;
import bbq.v1.CreateTokenResponse;
import bbq.v1.DeleteQueueRequest;
import bbq.v1.DeleteQueueResponse;
import bbq.v1.GetQueueRequest;
import bbq.v1.GetQueueResponse;
import com.google.protobuf.Any;
import com.google.rpc.RetryInfo;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.StreamObserver;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.function.Function;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Which calls of the control plane are made again. */
@Timeout(300)
class AdminTest extends AdminServiceImplBase {
  private static final GetQueueRequest GET = GetQueueRequest.getDefaultInstance();
  private static final DeleteQueueRequest DELETE = DeleteQueueRequest.getDefaultInstance();
  private static final CreateTokenRequest CREATE = CreateTokenRequest.getDefaultInstance();
  private final Queue<String> made = new ConcurrentLinkedQueue<>();
  /** What the calls end with, one after the other: success once there is none. */
  private final Queue<Throwable> failures = new ConcurrentLinkedQueue<>();
  private Server server;
  private Client client;

  @BeforeEach
  void serve() throws Exception {
    server = Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create()).addService(this).build().start();
    client = Client.connect(Profile.of("http://127.0.0.1:" + server.getPort(), null, null));
  }

  @AfterEach
  void end() {
    client.close();
    server.shutdownNow();
  }

  @Test
  void whatIsTheSameTwiceIsMadeAgainAlsoIfItsAnswerIsLost() {
    failures.add(Status.UNAVAILABLE.asRuntimeException());
    client.admin(calls -> calls.getQueue(GET));
    assertEquals(List.of("get", "get"), List.copyOf(made));
  }

  @Test
  void whatIsNotTheSameTwiceIsMadeAgainOnlyIfNothingHappened() {
    failures.add(full());
    client.admin(calls -> calls.deleteQueue(DELETE));
    failures.add(Status.UNAVAILABLE.asRuntimeException());
    fails(Status.Code.UNAVAILABLE, calls -> calls.deleteQueue(DELETE));
    assertEquals(List.of("delete", "delete", "delete"), List.copyOf(made));
  }

  @Test
  void whatMakesSeveralCallsIsCalledAgainOnlyIfThatDoesNothingTwice() {
    failures.add(Status.UNAVAILABLE.asRuntimeException());
    client.admin(calls -> {
      calls.getQueue(GET);
      return calls.createToken(CREATE);
    });
    assertEquals(List.of("get", "get", "create"), List.copyOf(made));
    made.clear();
    fails(Status.Code.RESOURCE_EXHAUSTED, calls -> {
      calls.createToken(CREATE);
      failures.add(full());
      return calls.getQueue(GET);
    });
    assertEquals(List.of("create", "get"), List.copyOf(made));
  }

  @Override
  public void getQueue(GetQueueRequest request, StreamObserver<GetQueueResponse> answer) {
    answer("get", answer, GetQueueResponse.getDefaultInstance());
  }

  @Override
  public void deleteQueue(DeleteQueueRequest request, StreamObserver<DeleteQueueResponse> answer) {
    answer("delete", answer, DeleteQueueResponse.getDefaultInstance());
  }

  @Override
  public void createToken(CreateTokenRequest request, StreamObserver<CreateTokenResponse> answer) {
    answer("create", answer, CreateTokenResponse.getDefaultInstance());
  }

  private <R> void answer(String call, StreamObserver<R> answer, R response) {
    made.add(call);
    Throwable failure = failures.poll();
    if (failure != null) {
      answer.onError(failure);
      return;
    }
    answer.onNext(response);
    answer.onCompleted();
  }

  private void fails(Status.Code code, Function<AdminServiceBlockingStub, Object> call) {
    CallException error = assertThrows(CallException.class, () -> client.admin(call));
    assertEquals(code, error.code());
  }

  /** What the server says when it did nothing and another try may succeed. */
  private static Throwable full() {
    return StatusProto.toStatusRuntimeException(com.google.rpc.Status.newBuilder()
        .setCode(Status.Code.RESOURCE_EXHAUSTED.value())
        .addDetails(Any.pack(RetryInfo.getDefaultInstance()))
        .build());
  }
}
