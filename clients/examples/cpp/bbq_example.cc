// A consumer in C++, over HTTP/2 with what tools/generate-client makes: publish, subscribe, ack, cancel, and get back at once
// what the cancelled stream still held.
//
//   bbq_example ADDRESS CA_FILE TOKEN QUEUE

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <grpcpp/grpcpp.h>

#include "bbq/v1/admin_service.grpc.pb.h"
#include "bbq/v1/queue_service.grpc.pb.h"

namespace {

using bbq::v1::AdminService;
using bbq::v1::QueueService;

// How long a call may take. Without a deadline a call waits for ever for a server that is not there.
constexpr std::chrono::seconds kPatience{30};

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(path + ": can't be read");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// TLS with the server's own authority, and the bearer token with every call.
std::shared_ptr<grpc::Channel> Connect(const std::string& address, const std::string& ca_file, const std::string& token) {
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = ReadFile(ca_file);
  auto credentials = grpc::CompositeChannelCredentials(grpc::SslCredentials(tls), grpc::AccessTokenCredentials(token));
  grpc::ChannelArguments arguments;
  // One body may have 4 MiB, the most that gRPC takes by default for a whole response.
  arguments.SetMaxReceiveMessageSize(32 << 20);
  // A stream that waits for messages must notice by itself that the server is gone.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 10'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5'000);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  return grpc::CreateCustomChannel(address, credentials, arguments);
}

void Check(const grpc::Status& status, const std::string& what) {
  if (!status.ok()) {
    throw std::runtime_error(what + ": code " + std::to_string(status.error_code()) + ": " + status.error_message());
  }
}

// One unary call with a deadline: Call(*stub, &QueueService::Stub::Publish, request).
template <typename Stub, typename Request, typename Response>
Response Call(Stub& stub, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
              const Request& request) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kPatience);
  Response response;
  Check((stub.*method)(&context, request, &response), Request::descriptor()->name());
  return response;
}

void Ack(QueueService::Stub& queues, const std::string& queue, const std::string& receipt) {
  bbq::v1::AckRequest request;
  request.set_queue(queue);
  request.add_receipts(receipt);
  // The call succeeds even if a receipt no longer counts; then it says so here.
  const auto answer = Call(queues, &QueueService::Stub::Ack, request);
  for (const auto& failure : answer.failures()) {
    throw std::runtime_error("not acked: " + bbq::v1::ReceiptFailureReason_Name(failure.reason()));
  }
}

void Show(const std::string& how, const bbq::v1::Delivery& delivery) {
  std::cout << how << " " << delivery.sequence() << " " << delivery.message().body() << ", attempt " << delivery.attempt()
            << std::endl;
}

void Run(const std::string& address, const std::string& ca_file, const std::string& token, const std::string& queue) {
  auto channel = Connect(address, ca_file, token);
  auto admin = AdminService::NewStub(channel);
  auto queues = QueueService::NewStub(channel);

  bbq::v1::CreateQueueRequest create;
  create.set_name(queue);
  Call(*admin, &AdminService::Stub::CreateQueue, create);

  bbq::v1::PublishRequest publish;
  publish.set_queue(queue);
  for (const char* body : {"one", "two", "three"}) publish.add_messages()->set_body(body);
  const auto published = Call(*queues, &QueueService::Stub::Publish, publish);
  std::cout << "published " << published.results_size() << std::endl;

  // The stream has no deadline: it lasts until one side ends it.
  grpc::ClientContext stream_context;
  bbq::v1::SubscribeRequest subscribe;
  subscribe.set_queue(queue);
  subscribe.set_consumer_name("cpp-example");
  auto stream = queues->Subscribe(&stream_context, subscribe);
  std::vector<bbq::v1::Delivery> held;
  bbq::v1::SubscribeResponse response;
  while (held.size() < 3 && stream->Read(&response)) {
    for (const auto& delivery : response.deliveries()) {
      Show("delivered", delivery);
      held.push_back(delivery);
    }
  }
  if (held.size() < 3) Check(stream->Finish(), "Subscribe");
  Ack(*queues, queue, held.front().receipt());
  std::cout << "acked " << held.front().sequence() << std::endl;

  // The cancel gives back what is not acked. Reading to the end is what gRPC wants before Finish.
  stream_context.TryCancel();
  while (stream->Read(&response)) {
  }
  if (stream->Finish().error_code() != grpc::StatusCode::CANCELLED) throw std::runtime_error("Subscribe: not cancelled");
  std::cout << "cancelled" << std::endl;

  for (int left = 2; left > 0;) {
    bbq::v1::ReceiveRequest receive;
    receive.set_queue(queue);
    receive.set_max_messages(left);
    receive.mutable_wait()->set_seconds(20);
    const auto received = Call(*queues, &QueueService::Stub::Receive, receive);
    if (received.deliveries().empty()) throw std::runtime_error("Receive: nothing came back");
    for (const auto& delivery : received.deliveries()) {
      Show("received", delivery);
      Ack(*queues, queue, delivery.receipt());
      left -= 1;
    }
  }

  bbq::v1::GetQueueRequest get;
  get.set_name(queue);
  const auto stats = Call(*admin, &AdminService::Stub::GetQueue, get).queue().stats();
  std::cout << "left " << stats.ready() + stats.leased() << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::cerr << "usage: bbq_example ADDRESS CA_FILE TOKEN QUEUE" << std::endl;
    return EXIT_FAILURE;
  }
  try {
    Run(argv[1], argv[2], argv[3], argv[4]);
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << std::endl;
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
}
