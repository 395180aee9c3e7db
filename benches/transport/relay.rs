//! The relay: the transport and the generated services, and nothing behind them.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::task::{Context, Poll};
use std::time::SystemTime;

use bbq::service::proto;
use bbq::service::proto::queue_service_server::{QueueService, QueueServiceServer};
use bbq::transport::h2::{self, H2Settings};
use bbq::transport::h3::{self, H3Settings};
use bbq::transport::quic::{self, QuicSettings};
use bbq::transport::tls::{ServerIdentity, generate_if_absent};

use bbq::transport::{Drain, Unobserved, bind_pair};
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::{Response as Answer, Status};

/// Answers on their way to one subscriber. Beyond that publishers wait.
const ANSWERS: usize = 64;

type Sent = Result<proto::SubscribeResponse, Status>;

/// Passes what is published on to who subscribes.
#[derive(Clone, Default)]
struct Relay {
    subscribers: Arc<RwLock<Vec<mpsc::Sender<Sent>>>>,
    next: Arc<AtomicUsize>,
    sequence: Arc<AtomicU64>,
}

impl Relay {
    /// Each subscriber's share of the messages, with what a queue adds to them.
    fn deal(&self, messages: Vec<Bytes>, first: u64, hands: usize) -> Vec<Vec<proto::Delivery>> {
        let mut dealt = vec![Vec::new(); hands];
        let since = SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let now = prost_types::Timestamp {
            seconds: since.as_secs().try_into().unwrap(),
            nanos: since.subsec_nanos().try_into().unwrap(),
        };
        for (sequence, message) in (first..).zip(messages) {
            let place = self.next.fetch_add(1, Ordering::Relaxed) % hands;
            dealt[place].push(proto::Delivery {
                receipt: format!("1.{sequence:x}.1.1"),
                sequence,
                attempt: 1,
                published_at: Some(now),
                lease_expires_at: Some(now),
                message,
            });
        }
        dealt
    }
}

#[tonic::async_trait]
impl QueueService for Relay {
    type SubscribeStream = ReceiverStream<Sent>;

    async fn publish(
        &self,
        request: tonic::Request<proto::PublishRequest>,
    ) -> Result<Answer<proto::PublishResponse>, Status> {
        let messages = request.into_inner().messages;
        let count = messages.len() as u64;
        let first = self.sequence.fetch_add(count, Ordering::Relaxed) + 1;
        let subscribers = self.subscribers.read().unwrap().clone();
        let dealt = self.deal(messages, first, subscribers.len());
        for (subscriber, deliveries) in subscribers.into_iter().zip(dealt) {
            if !deliveries.is_empty() {
                // At the end of a run some have left.
                let _ = subscriber.send(Ok(proto::SubscribeResponse { deliveries })).await;
            }
        }
        let result = |sequence| proto::PublishResult { sequence, ..Default::default() };
        Ok(Answer::new(proto::PublishResponse { results: (first..first + count).map(result).collect() }))
    }

    async fn subscribe(
        &self,
        _: tonic::Request<proto::SubscribeRequest>,
    ) -> Result<Answer<Self::SubscribeStream>, Status> {
        let (sender, receiver) = mpsc::channel(ANSWERS);
        self.subscribers.write().unwrap().push(sender);
        Ok(Answer::new(ReceiverStream::new(receiver)))
    }

    async fn ack(&self, _: tonic::Request<proto::AckRequest>) -> Result<Answer<proto::AckResponse>, Status> {
        Ok(Answer::new(proto::AckResponse::default()))
    }

    async fn receive(
        &self,
        _: tonic::Request<proto::ReceiveRequest>,
    ) -> Result<Answer<proto::ReceiveResponse>, Status> {
        Ok(Answer::new(proto::ReceiveResponse::default()))
    }

    async fn nack(
        &self,
        _: tonic::Request<proto::NackRequest>,
    ) -> Result<Answer<proto::NackResponse>, Status> {
        Ok(Answer::new(proto::NackResponse::default()))
    }

    async fn extend(
        &self,
        _: tonic::Request<proto::ExtendRequest>,
    ) -> Result<Answer<proto::ExtendResponse>, Status> {
        Ok(Answer::new(proto::ExtendResponse::default()))
    }

    async fn transact(
        &self,
        _: tonic::Request<proto::TransactRequest>,
    ) -> Result<Answer<proto::TransactResponse>, Status> {
        Ok(Answer::new(proto::TransactResponse::default()))
    }
}

/// Says of every queue that it is there and empty: all that `bbq bench` asks of the control plane.
#[derive(Clone)]
struct Empty;

impl NamedService for Empty {
    const NAME: &'static str = "bbq.v1.AdminService";
}

impl tower_service::Service<Request<Body>> for Empty {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        let answer = proto::GetQueueResponse { queue: Some(proto::Queue::default()) };
        let mut frame = BytesMut::new();
        frame.put_u8(0);
        frame.put_u32(answer.encoded_len().try_into().unwrap());
        answer.encode(&mut frame).unwrap();
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
        let body = Full::new(frame.freeze()).with_trailers(ready(Some(Ok(trailers))));
        let response = Response::builder().header("content-type", "application/grpc");
        ready(Ok(response.body(Body::new(body)).unwrap()))
    }
}

/// Serves until it is killed, with the server's own defaults; writes `client.toml` and says that it is ready.
pub fn serve(directory: &Path) {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let files = generate_if_absent(directory, &[]).unwrap().server_files();
        let identity = ServerIdentity::load(&files).unwrap();
        let pair = bind_pair("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = pair.address().unwrap();
        let endpoint = quic::endpoint(pair.udp, &identity, &QuicSettings::default()).unwrap();
        let queues = QueueServiceServer::new(Relay::default()).max_decoding_message_size(usize::MAX);
        let routes = Routes::new(queues.max_encoding_message_size(usize::MAX)).add_service(Empty).prepare();
        let (drain, nobody) = (Drain::new(), Arc::new(Unobserved));
        let over_h3 =
            h3::serve(endpoint, routes.clone(), H3Settings::default(), drain.clone(), nobody.clone());
        let port = Some(address.port());
        let over_h2 =
            h2::serve_tls(pair.tcp, &identity, routes, H2Settings::default(), port, drain, nobody).unwrap();
        let profile = format!("url = \"https://{address}\"\nca = \"ca.pem\"\ntoken = \"none\"\n");
        std::fs::write(directory.join("client.toml"), profile).unwrap();
        println!("ready");
        tokio::join!(over_h3, over_h2);
    });
}
