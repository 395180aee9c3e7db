//! HTTP/3 by the byte against the real server: a Subscribe call whose two directions end as the test wants.

#![allow(dead_code, reason = "each test uses a part")]

use std::net::SocketAddr;
use std::sync::Arc;

use bbq_client::{Pem, Profile, proto};
use bytes::{Buf as _, Bytes};
use quinn::crypto::rustls::QuicClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::frames;
use crate::support::{Server, within};

/// A connection that speaks HTTP/3 only as far as the test does.
pub struct Raw {
    pub connection: quinn::Connection,
    profile: Profile,
    /// Closing it would end the connection.
    control: Option<quinn::SendStream>,
    pub endpoint: quinn::Endpoint,
}

/// A client's endpoint that trusts the server of a profile.
pub fn endpoint(profile: &Profile) -> quinn::Endpoint {
    let Some(Pem::File(ca)) = &profile.ca else { panic!("the profile names the authority's file") };
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).expect("the server wrote it")).expect("it is a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("ring knows TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let crypto = QuicClientConfig::try_from(tls).expect("TLS 1.3 fits QUIC");
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    let mut endpoint = quinn::Endpoint::client(any).expect("a socket");
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(crypto)));
    endpoint
}

/// A request as gRPC frames it.
pub fn message(request: &impl prost::Message) -> Vec<u8> {
    let body = request.encode_to_vec();
    let length = u32::try_from(body.len()).expect("a short message").to_be_bytes();
    [&[0], &length[..], &body].concat()
}

impl Raw {
    /// A connection whose calls are made by the byte.
    pub async fn connect(server: &Server) -> Self {
        let mut raw = Self::connect_quietly(server).await;
        let mut control = raw.connection.open_uni().await.expect("a stream");
        control.write_all(&[0]).await.expect("the server reads");
        control.write_all(&frames::frame(frames::SETTINGS, &[])).await.expect("the server reads");
        raw.control = Some(control);
        raw
    }

    /// A connection on which nothing was said yet.
    pub async fn connect_quietly(server: &Server) -> Self {
        let profile = server.profile();
        let endpoint = endpoint(&profile);
        let connecting = endpoint.connect(server.address, "localhost").expect("a good address");
        let connection = within("a connection", connecting).await.expect("the server takes connections");
        Self { connection, profile, control: None, endpoint }
    }

    /// Calls Subscribe, with a whole request, and reads nothing.
    pub async fn subscribe(
        &self,
        request: &proto::SubscribeRequest,
    ) -> (quinn::SendStream, quinn::RecvStream) {
        let token = self.profile.token.as_deref().expect("the profile has a token");
        let bearer = format!("Bearer {token}");
        let fields = [("authorization", bearer.as_str())];
        let call = frames::call_with("/bbq.v1.QueueService/Subscribe", &fields);
        let (mut send, recv) = within("a stream", self.connection.open_bi()).await.expect("a stream");
        let bytes = [call, frames::data(&message(request))].concat();
        send.write_all(&bytes).await.expect("the server reads");
        send.finish().expect("the request is still ours to end");
        (send, recv)
    }

    /// Calls Subscribe and reads to the end; returns `grpc-status` and `grpc-message`.
    pub async fn subscribe_to_the_end(
        &self,
        request: &proto::SubscribeRequest,
        begun: tokio::sync::oneshot::Sender<()>,
    ) -> (String, String) {
        let connection = h3_quinn::Connection::new(self.connection.clone());
        let (mut driver, mut sender) = h3::client::new(connection).await.expect("HTTP/3");
        let driver = tokio::spawn(async move { std::future::poll_fn(|cx| driver.poll_close(cx)).await });
        let token = self.profile.token.as_deref().expect("the profile has a token");
        let head = http::Request::post("https://localhost/bbq.v1.QueueService/Subscribe")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("authorization", format!("Bearer {token}"))
            .body(())
            .expect("a good request");
        let mut stream = within("a stream", sender.send_request(head)).await.expect("a stream");
        stream.send_data(Bytes::from(message(request))).await.expect("the server reads");
        stream.finish().await.expect("the server reads");
        let response = within("the response", stream.recv_response()).await.expect("a response");
        assert_eq!(response.status(), 200);
        begun.send(()).expect("the test waits for it");
        while let Some(data) = within("the stream's end", stream.recv_data()).await.expect("a whole body") {
            assert!(data.remaining() > 0, "a frame of data has data");
        }
        let trailers = within("trailers", stream.recv_trailers()).await.expect("a whole response");
        let trailers = trailers.expect("a response ends with trailers");
        let field = |name| trailers.get(name).map_or("", |value| value.to_str().expect("text")).to_owned();
        driver.abort();
        (field("grpc-status"), field("grpc-message"))
    }
}
