//! Clients: quinn by the byte, h3 for whole calls, and TLS for tonic's channel.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http::{HeaderMap, Request, Response};
use quinn::crypto::rustls::QuicClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::frames;
use super::{Server, within};

pub struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

pub fn tls(ca: &CertificateDer<'static>, alpn: &[u8], identity: Option<Identity>) -> rustls::ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(ca.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        Some(Identity { chain, key }) => builder.with_client_auth_cert(chain, key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    config
}

/// A client's endpoint; dropping it does not tell the server.
pub fn endpoint(server: &Server, identity: Option<Identity>) -> quinn::Endpoint {
    endpoint_with(tls(&server.ca, b"h3", identity))
}

pub fn endpoint_with(tls: rustls::ClientConfig) -> quinn::Endpoint {
    let crypto = QuicClientConfig::try_from(tls).unwrap();
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    let mut transport = quinn::TransportConfig::default();
    transport.max_idle_timeout(Some(Duration::from_secs(60).try_into().unwrap()));
    config.transport_config(Arc::new(transport));
    let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    endpoint.set_default_client_config(config);
    endpoint
}

pub async fn connect(endpoint: &quinn::Endpoint, address: SocketAddr) -> quinn::Connection {
    within("a connection", endpoint.connect(address, "localhost").unwrap()).await.unwrap()
}

/// A connection that speaks HTTP/3 only as far as the test does.
pub struct Raw {
    pub endpoint: quinn::Endpoint,
    pub connection: quinn::Connection,
    pub control: quinn::SendStream,
}

impl Raw {
    pub async fn connect(server: &Server) -> Self {
        let endpoint = endpoint(server, None);
        let connection = connect(&endpoint, server.address).await;
        let mut control = connection.open_uni().await.unwrap();
        control.write_all(&[0]).await.unwrap();
        control.write_all(&frames::frame(frames::SETTINGS, &[])).await.unwrap();
        Self { endpoint, connection, control }
    }

    /// Opens a stream and sends `bytes`, without ending it.
    pub async fn send(&self, bytes: &[u8]) -> (quinn::SendStream, quinn::RecvStream) {
        let (mut send, recv) = within("a stream", self.connection.open_bi()).await.unwrap();
        send.write_all(bytes).await.unwrap();
        (send, recv)
    }

    /// Opens a stream, sends `bytes` and ends it.
    pub async fn send_all(&self, bytes: &[u8]) -> quinn::RecvStream {
        let (mut send, recv) = self.send(bytes).await;
        send.finish().unwrap();
        recv
    }

    /// The HTTP/3 code with which the server closed the connection.
    pub async fn closed(&self) -> u64 {
        match within("the end of the connection", self.connection.closed()).await {
            quinn::ConnectionError::ApplicationClosed(close) => close.error_code.into_inner(),
            other => panic!("closed otherwise: {other:?}"),
        }
    }
}

/// The code with which a response was reset.
pub async fn reset_code(recv: &mut quinn::RecvStream) -> u64 {
    match within("the end of the response", recv.read_to_end(1 << 24)).await {
        Err(quinn::ReadToEndError::Read(quinn::ReadError::Reset(code))) => code.into_inner(),
        other => panic!("not reset: {other:?}"),
    }
}

/// The frames of a whole response, as (kind, payload).
pub async fn response_frames(recv: &mut quinn::RecvStream) -> Vec<(u64, Vec<u8>)> {
    let bytes = within("the end of the response", recv.read_to_end(1 << 24)).await.unwrap();
    let mut rest = Bytes::from(bytes);
    let mut found = Vec::new();
    while !rest.is_empty() {
        let kind = take_varint(&mut rest);
        let length = take_varint(&mut rest) as usize;
        found.push((kind, rest.split_to(length).to_vec()));
    }
    found
}

fn take_varint(bytes: &mut Bytes) -> u64 {
    let length = 1 << (bytes[0] >> 6);
    let mut value = u64::from(bytes.get_u8() & 0x3f);
    for _ in 1..length {
        value = (value << 8) | u64::from(bytes.get_u8());
    }
    value
}

/// A whole HTTP/3 client; its connection lives as long as it does.
pub struct Client {
    pub endpoint: quinn::Endpoint,
    pub connection: quinn::Connection,
    pub sender: h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>,
    pub driver: tokio::task::JoinHandle<h3::error::ConnectionError>,
}

/// What a whole call brought.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: HeaderMap,
}

impl Client {
    pub async fn connect(server: &Server) -> Self {
        Self::with(endpoint(server, None), server.address).await
    }

    pub async fn with(endpoint: quinn::Endpoint, address: SocketAddr) -> Self {
        let connection = connect(&endpoint, address).await;
        let (mut driver, sender) =
            h3::client::new(h3_quinn::Connection::new(connection.clone())).await.unwrap();
        let driver = tokio::spawn(async move { std::future::poll_fn(|cx| driver.poll_close(cx)).await });
        Self { endpoint, connection, sender, driver }
    }

    pub fn request(path: &str) -> Request<()> {
        Request::post(format!("https://localhost{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .unwrap()
    }

    pub async fn call(&mut self, path: &str, body: &[u8]) -> Answer {
        self.send(Self::request(path), body).await.unwrap()
    }

    pub async fn send(
        &mut self,
        request: Request<()>,
        body: &[u8],
    ) -> Result<Answer, h3::error::StreamError> {
        let mut stream = within("a stream", self.sender.send_request(request)).await?;
        if !body.is_empty() {
            stream.send_data(Bytes::copy_from_slice(body)).await?;
        }
        stream.finish().await?;
        let response: Response<()> = within("the response", stream.recv_response()).await?;
        let mut body = Vec::new();
        while let Some(mut data) = within("the body", stream.recv_data()).await? {
            body.extend_from_slice(&data.copy_to_bytes(data.remaining()));
        }
        let trailers = within("the trailers", stream.recv_trailers()).await?.unwrap_or_default();
        let (parts, ()) = response.into_parts();
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body, trailers })
    }
}
