//! A server whose every call waits for the test to answer it.
//!
//! It speaks HTTP/3 and HTTP/2 with TLS on one port of loopback, and decides nothing.

use std::{
    net::{SocketAddr, UdpSocket},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bbq_client::{
    Client, Pem, Profile, Transport,
    proto::{
        AckRequest, AckResponse, Delivery, ExtendRequest, ExtendResponse, Message, NackRequest, NackResponse,
        PublishRequest, PublishResponse, PublishResult, ReceiveRequest, ReceiveResponse, SubscribeRequest,
        SubscribeResponse, TransactRequest, TransactResponse,
    },
};
use futures_util::Stream;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::{
    net::{TcpListener, UnixListener},
    runtime::Runtime,
    sync::{mpsc, oneshot},
};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream, UnixListenerStream};
use tonic::{
    Request, Response, Status,
    metadata::MetadataMap,
    service::Routes,
    transport::{Identity, Server, ServerTlsConfig},
};

use crate::{http3, ports::lasting_address, within};

#[allow(clippy::all, clippy::pedantic, missing_docs, unused, reason = "generated code")]
mod stubs {
    include!(concat!(env!("OUT_DIR"), "/server/bbq.v1.rs"));
}
use stubs::queue_service_server::{QueueService, QueueServiceServer};

/// A call that waits for its answer.
pub struct Call<Q, A> {
    pub request: Q,
    pub metadata: MetadataMap,
    answer: oneshot::Sender<Result<A, Status>>,
}

impl<Q, A> Call<Q, A> {
    pub fn answer(self, answer: Result<A, Status>) {
        let _ = self.answer.send(answer);
    }

    /// Resolves once the server's side of the call was dropped.
    pub async fn cancelled(mut self) {
        within(self.answer.closed()).await;
    }
}

/// The server's end of a subscription.
pub struct Feed {
    pub request: SubscribeRequest,
    responses: mpsc::Sender<Result<SubscribeResponse, Status>>,
}

impl Feed {
    /// Sends messages with these sequences, `r<sequence>` for a receipt.
    pub async fn deliver(&self, sequences: impl IntoIterator<Item = u64>) {
        let deliveries = sequences.into_iter().map(delivery).collect();
        within(self.responses.send(Ok(SubscribeResponse { deliveries }))).await.unwrap();
    }

    pub async fn end(self, status: Status) {
        within(self.responses.send(Err(status))).await.unwrap();
    }

    /// Resolves once the server's side of the stream was dropped.
    pub async fn cancelled(self) {
        within(self.responses.closed()).await;
    }
}

pub fn delivery(sequence: u64) -> Delivery {
    Delivery {
        receipt: format!("r{sequence}"),
        sequence,
        attempt: 1,
        message: Some(Message { body: format!("m{sequence}").into(), ..Message::default() }),
        ..Delivery::default()
    }
}

/// The test's side.
pub struct Fake {
    pub address: SocketAddr,
    pub publishes: mpsc::UnboundedReceiver<Call<PublishRequest, PublishResponse>>,
    pub receives: mpsc::UnboundedReceiver<Call<ReceiveRequest, ReceiveResponse>>,
    pub acks: mpsc::UnboundedReceiver<Call<AckRequest, AckResponse>>,
    pub nacks: mpsc::UnboundedReceiver<Call<NackRequest, NackResponse>>,
    pub extends: mpsc::UnboundedReceiver<Call<ExtendRequest, ExtendResponse>>,
    pub feeds: mpsc::UnboundedReceiver<Feed>,
    /// How many of the next subscriptions are turned away, as by a server that drains.
    pub turned_away: Arc<AtomicU32>,
    certificate: Certificate,
    endpoint: Option<quinn::Endpoint>,
    routes: Routes,
    /// All of the server runs here, so that all of it can go at once.
    runtime: Option<Runtime>,
}

#[derive(Clone)]
pub struct Certificate {
    pub pem: String,
    pub key: String,
    pub chain: Vec<CertificateDer<'static>>,
    pub key_der: Arc<PrivateKeyDer<'static>>,
}

impl Certificate {
    pub fn new() -> Self {
        let made =
            rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        Self {
            pem: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
            chain: vec![made.cert.der().clone()],
            key_der: Arc::new(PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap()),
        }
    }

    pub fn quic(&self) -> quinn::ServerConfig {
        let mut tls =
            rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_protocol_versions(&[&rustls::version::TLS13])
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(self.chain.clone(), self.key_der.clone_key())
                .unwrap();
        tls.alpn_protocols = vec![b"h3".to_vec()];
        quinn::ServerConfig::with_crypto(Arc::new(
            quinn::crypto::rustls::QuicServerConfig::try_from(tls).unwrap(),
        ))
    }

    pub fn profile(&self, address: SocketAddr, transport: Transport) -> Profile {
        Profile {
            ca: Some(Pem::Inline(self.pem.clone())),
            token: Some("secret".into()),
            transport,
            ..Profile::new(format!("https://{address}"))
        }
    }
}

impl Fake {
    pub async fn start() -> Self {
        Self::start_at(None, Certificate::new()).await
    }

    /// Takes the server down and brings a new one up in its place. Calls in flight break off.
    pub async fn restart(mut self) -> Self {
        self.stop().await;
        Self::start_at(Some(self.address), self.certificate.clone()).await
    }

    /// The same with another certificate, which none of the clients knows.
    pub async fn restart_as_somebody_else(mut self) -> Self {
        self.stop().await;
        Self::start_at(Some(self.address), Certificate::new()).await
    }

    /// Breaks all connections off and frees the port.
    pub async fn stop(&mut self) {
        self.close_udp().await;
        let runtime = self.runtime.take().unwrap();
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(Duration::from_secs(10))).await.unwrap();
    }

    /// Frees the UDP port alone, unless it is free.
    pub async fn close_udp(&mut self) {
        let Some(endpoint) = self.endpoint.take() else { return };
        endpoint.close(0x100_u32.into(), b"");
        within(endpoint.wait_idle()).await;
        drop(endpoint);
        // The port is free when the last task that knows the endpoint is gone.
        within(async {
            while UdpSocket::bind(self.address).is_err() {
                // A subscription that nobody has taken from here holds its connection, and that the endpoint.
                let _untaken = self.feeds.try_recv();
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// On a port that nobody else gets while this one is down, unless it must be a certain one.
    async fn start_at(address: Option<SocketAddr>, certificate: Certificate) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let started = runtime.spawn(Self::start_here(address, certificate));
        let mut fake = within(started).await.unwrap();
        fake.runtime = Some(runtime);
        fake
    }

    async fn start_here(address: Option<SocketAddr>, certificate: Certificate) -> Self {
        let (endpoint, listener) = loop {
            let chosen = address.unwrap_or_else(lasting_address);
            match (quinn::Endpoint::server(certificate.quic(), chosen), TcpListener::bind(chosen).await) {
                (Ok(endpoint), Ok(listener)) => break (endpoint, listener),
                // Somebody was quicker: another one, unless it must be this one.
                (Err(error), _) | (_, Err(error)) => assert!(address.is_none(), "{chosen}: {error}"),
            }
        };
        let address = listener.local_addr().unwrap();
        let (publish, publishes) = mpsc::unbounded_channel();
        let (receive, receives) = mpsc::unbounded_channel();
        let (ack, acks) = mpsc::unbounded_channel();
        let (nack, nacks) = mpsc::unbounded_channel();
        let (extend, extends) = mpsc::unbounded_channel();
        let (subscribe, feeds) = mpsc::unbounded_channel();
        let turned_away = Arc::<AtomicU32>::default();
        let service =
            Service { publish, receive, ack, nack, extend, subscribe, turned_away: Arc::clone(&turned_away) };
        let routes = Routes::new(QueueServiceServer::new(service)).prepare();
        tokio::spawn(http3::serve(endpoint.clone(), routes.clone()));
        let identity = Identity::from_pem(&certificate.pem, &certificate.key);
        let server = Server::builder()
            .tls_config(ServerTlsConfig::new().identity(identity))
            .unwrap()
            .add_routes(routes.clone())
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
        Self {
            address,
            publishes,
            receives,
            acks,
            nacks,
            extends,
            feeds,
            turned_away,
            certificate,
            endpoint: Some(endpoint),
            routes,
            runtime: None,
        }
    }

    /// Serves the same without TLS on a Unix socket and on a port of its own.
    pub async fn serve_plain(&mut self, path: &std::path::Path) -> SocketAddr {
        let unix = UnixListenerStream::new(UnixListener::bind(path).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let over_unix = Server::builder().add_routes(self.routes.clone()).serve_with_incoming(unix);
        let over_tcp = Server::builder()
            .add_routes(self.routes.clone())
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(over_unix);
        tokio::spawn(over_tcp);
        address
    }

    pub fn profile(&self, transport: Transport) -> Profile {
        self.certificate.profile(self.address, transport)
    }

    pub async fn client(&self, transport: Transport) -> Client {
        within(Client::connect(self.profile(transport))).await.unwrap()
    }

    pub async fn publish(&mut self) -> Call<PublishRequest, PublishResponse> {
        within(self.publishes.recv()).await.unwrap()
    }

    pub async fn receive(&mut self) -> Call<ReceiveRequest, ReceiveResponse> {
        within(self.receives.recv()).await.unwrap()
    }

    pub async fn ack(&mut self) -> Call<AckRequest, AckResponse> {
        within(self.acks.recv()).await.unwrap()
    }

    pub async fn nack(&mut self) -> Call<NackRequest, NackResponse> {
        within(self.nacks.recv()).await.unwrap()
    }

    pub async fn extend(&mut self) -> Call<ExtendRequest, ExtendResponse> {
        within(self.extends.recv()).await.unwrap()
    }

    pub async fn feed(&mut self) -> Feed {
        within(self.feeds.recv()).await.unwrap()
    }
}

/// A runtime must not be waited for where futures are polled.
impl Drop for Fake {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The answer to a publish of `count` messages, numbered from `first`.
pub fn published(first: u64, count: usize) -> Result<PublishResponse, Status> {
    let result = |sequence| PublishResult { sequence, ..PublishResult::default() };
    Ok(PublishResponse { results: (first..).take(count).map(result).collect() })
}

type Inbox<Q, A> = mpsc::UnboundedSender<Call<Q, A>>;

struct Service {
    publish: Inbox<PublishRequest, PublishResponse>,
    receive: Inbox<ReceiveRequest, ReceiveResponse>,
    ack: Inbox<AckRequest, AckResponse>,
    nack: Inbox<NackRequest, NackResponse>,
    extend: Inbox<ExtendRequest, ExtendResponse>,
    subscribe: mpsc::UnboundedSender<Feed>,
    turned_away: Arc<AtomicU32>,
}

async fn ask<Q, A>(inbox: &Inbox<Q, A>, request: Request<Q>) -> Result<Response<A>, Status> {
    let (metadata, _, request) = request.into_parts();
    let (answer, answered) = oneshot::channel();
    let _ = inbox.send(Call { request, metadata, answer });
    answered.await.map_err(|_| Status::internal("the test did not answer"))?.map(Response::new)
}

#[tonic::async_trait]
impl QueueService for Service {
    type SubscribeStream = Pin<Box<dyn Stream<Item = Result<SubscribeResponse, Status>> + Send>>;

    async fn publish(&self, request: Request<PublishRequest>) -> Result<Response<PublishResponse>, Status> {
        ask(&self.publish, request).await
    }

    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let request = request.into_inner();
        if request.queue == "missing" {
            return Err(Status::not_found("there is no queue \"missing\""));
        }
        let turn_away = |left: u32| left.checked_sub(1);
        if self.turned_away.fetch_update(Ordering::SeqCst, Ordering::SeqCst, turn_away).is_ok() {
            return Err(Status::unavailable("draining"));
        }
        let (responses, stream) = mpsc::channel(16);
        let _ = self.subscribe.send(Feed { request, responses });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn receive(&self, request: Request<ReceiveRequest>) -> Result<Response<ReceiveResponse>, Status> {
        ask(&self.receive, request).await
    }

    async fn ack(&self, request: Request<AckRequest>) -> Result<Response<AckResponse>, Status> {
        ask(&self.ack, request).await
    }

    async fn nack(&self, request: Request<NackRequest>) -> Result<Response<NackResponse>, Status> {
        ask(&self.nack, request).await
    }

    async fn extend(&self, request: Request<ExtendRequest>) -> Result<Response<ExtendResponse>, Status> {
        ask(&self.extend, request).await
    }

    async fn transact(&self, _: Request<TransactRequest>) -> Result<Response<TransactResponse>, Status> {
        Err(Status::unimplemented("Transact is not built yet"))
    }
}
