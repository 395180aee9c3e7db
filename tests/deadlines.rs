//! A call ends at the deadline that its caller set, by `grpc-timeout`, and leaves nothing half done. Over both wires, by clients
//! that watch no deadline themselves.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod support;

#[allow(dead_code, clippy::cast_possible_truncation, reason = "shared with the tests of the transport")]
#[path = "support/transport/frames.rs"]
mod frames;

#[path = "support/wire_h3.rs"]
mod wire_h3;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use bbq_client::{Transport, proto};
use bytes::{Buf as _, Bytes};
use futures_util::StreamExt as _;
use http::{HeaderMap, Request};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper_util::rt::{TokioExecutor, TokioIo};
use proto::QueueSettings;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use support::{Server, within};
use tokio::net::TcpStream;
use wire_h3::{Raw, message};

const DEADLINE_EXCEEDED: &str = "4";
const OK: &str = "0";

/// A call of which so much of the request is sent.
struct Call<'a> {
    path: &'static str,
    timeout: &'a str,
    sent: Bytes,
    /// Whether that is all of it.
    ends: bool,
}

impl Call<'_> {
    fn head(&self, server: &Server) -> Request<()> {
        Request::post(format!("https://localhost{}", self.path))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-timeout", self.timeout)
            .header("authorization", format!("Bearer {}", server.profile().token.unwrap()))
            .body(())
            .unwrap()
    }

    /// Makes the call, and says with what `grpc-status` it ended.
    async fn status(&self, server: &Server, transport: Transport) -> String {
        let ended = match transport {
            Transport::Http3 => within("an answer", self.over_http_3(server)).await,
            Transport::Http2 => within("an answer", self.over_http_2(server)).await,
            Transport::Auto => panic!("a call here is over one of them"),
        };
        ended["grpc-status"].to_str().unwrap().to_owned()
    }

    async fn over_http_3(&self, server: &Server) -> HeaderMap {
        let raw = Raw::connect_quietly(server).await;
        let connection = h3_quinn::Connection::new(raw.connection.clone());
        let (mut driver, mut sender) = h3::client::new(connection).await.unwrap();
        let driver = tokio::spawn(async move { std::future::poll_fn(|cx| driver.poll_close(cx)).await });
        let mut stream = sender.send_request(self.head(server)).await.unwrap();
        // The answer may be there, and the request stopped, before all was sent.
        let _ = stream.send_data(self.sent.clone()).await;
        if self.ends {
            let _ = stream.finish().await;
        }
        let mut ended = stream.recv_response().await.unwrap().headers().clone();
        if !ended.contains_key("grpc-status") {
            while let Some(mut data) = stream.recv_data().await.unwrap() {
                data.advance(data.remaining());
            }
            ended = stream.recv_trailers().await.unwrap().unwrap();
        }
        driver.abort();
        ended
    }

    async fn over_http_2(&self, server: &Server) -> HeaderMap {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(server.data().join("ca.pem")).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let tcp = TcpStream::connect(server.address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let tls = connector.connect("localhost".try_into().unwrap(), tcp).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tls)).await.unwrap();
        let connection = tokio::spawn(connection);
        let sent = futures_util::stream::iter([Ok::<_, Infallible>(Frame::data(self.sent.clone()))]);
        let body = if self.ends { sent.boxed() } else { sent.chain(futures_util::stream::pending()).boxed() };
        let request = self.head(server).map(|()| StreamBody::new(body));
        let response = sender.send_request(request).await.unwrap();
        let (head, body) = response.into_parts();
        let ended = match head.headers.contains_key("grpc-status") {
            true => head.headers,
            false => body.collect().await.unwrap().trailers().unwrap().clone(),
        };
        connection.abort();
        ended
    }
}

/// Three messages that belong together.
fn together(name: &str) -> Bytes {
    let target = Some(proto::publish_request::Target::Queue("q".to_owned()));
    let part = |n| proto::Message { body: format!("{name}/{n}").into(), ..Default::default() };
    let messages = (0..3).map(part).collect();
    message(&proto::PublishRequest { target, messages, ..Default::default() }).into()
}

async fn with_queue() -> Server {
    let server = Server::start().await;
    server.client().await.create_queue("q", QueueSettings::default()).await.unwrap();
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waits_ends_at_its_deadline() {
    let server = with_queue().await;
    let minute = prost_types::Duration { seconds: 60, nanos: 0 };
    let receive = proto::ReceiveRequest { queue: "q".to_owned(), wait: Some(minute), ..Default::default() };
    let subscribe = proto::SubscribeRequest { queue: "q".to_owned(), ..Default::default() };
    for transport in [Transport::Http3, Transport::Http2] {
        for (path, request) in [
            ("/bbq.v1.QueueService/Receive", message(&receive)),
            // Its answer has begun when its time is over.
            ("/bbq.v1.QueueService/Subscribe", message(&subscribe)),
        ] {
            let call = Call { path, timeout: "200m", sent: request.into(), ends: true };
            assert_eq!(call.status(&server, transport).await, DEADLINE_EXCEEDED, "{path}, {transport:?}");
        }
        server.until_counts("q", 0, 0).await;
    }
}

/// However far a Publish is when its time is over: all of it is there, or nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_publish_whose_deadline_passes_is_never_half_done() {
    let server = with_queue().await;
    let path = "/bbq.v1.QueueService/Publish";
    let mut told = BTreeMap::new();
    for transport in [Transport::Http3, Transport::Http2] {
        // What is cut off by the deadline on its way in is never there.
        let name = format!("cut over {transport:?}");
        let whole = together(&name);
        let call = Call { path, timeout: "200m", sent: whole.slice(..whole.len() - 1), ends: false };
        told.insert(name, call.status(&server, transport).await);
        // What arrives at once has from next to no time to more than enough.
        for n in 0..40_u32 {
            let name = format!("{n} over {transport:?}");
            let timeout = if n == 39 { "1H".to_owned() } else { format!("{}u", 1 + n * n * 10) };
            let call = Call { path, timeout: &timeout, sent: together(&name), ends: true };
            told.insert(name, call.status(&server, transport).await);
        }
    }
    let client = server.client().await;
    let mut parts: BTreeMap<String, usize> = BTreeMap::new();
    let mut last = 0;
    for delivery in client.receive("q", 1000, std::time::Duration::ZERO, None).await.unwrap() {
        let body = String::from_utf8(delivery.body().to_vec()).unwrap();
        let (name, part) = body.split_once('/').unwrap();
        let seen = parts.entry(name.to_owned()).or_default();
        assert_eq!(part, seen.to_string(), "{name}");
        *seen += 1;
        last = last.max(delivery.sequence());
    }
    let found: usize = parts.values().sum();
    assert_eq!(u64::try_from(found).unwrap(), last, "all that is there was looked at");
    let mut exceeded = 0;
    for (name, status) in &told {
        let there = parts.get(name).copied().unwrap_or(0);
        match status.as_str() {
            OK => assert_eq!(there, 3, "{name} was confirmed"),
            DEADLINE_EXCEEDED => assert!([0, 3].contains(&there), "{name}: {there} of 3"),
            other => panic!("{name} ended with {other}"),
        }
        if name.starts_with("cut") {
            assert_eq!((status.as_str(), there), (DEADLINE_EXCEEDED, 0), "{name}");
        }
        exceeded += usize::from(status == DEADLINE_EXCEEDED);
    }
    assert!(parts.len() >= 2, "those with an hour arrived");
    println!("{exceeded} of {} calls ended at their deadline; {} are there", told.len(), parts.len());
}
