//! An upload that was cut is never a message, wherever it was cut and whatever cut it.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod support;

#[allow(dead_code, clippy::cast_possible_truncation, reason = "shared with the tests of the transport")]
#[path = "support/transport/frames.rs"]
mod frames;

use std::sync::Arc;

use bbq_client::Client;
use bbq_client::proto::{Message, PublishRequest, QueueSettings, publish_request::Target};
use prost::Message as _;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use support::{Server, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const PUBLISH: &str = "/bbq.v1.QueueService/Publish";

/// Two messages, so that a cut may fall between them: where one is whole and the other has not begun.
fn grpc_frame() -> Vec<u8> {
    let message = |byte: u8| Message { body: vec![byte; 300].into(), ..Default::default() };
    let request = PublishRequest {
        target: Some(Target::Queue("q".to_owned())),
        messages: vec![message(b'a'), message(b'b')],
        ..Default::default()
    };
    let encoded = request.encode_to_vec();
    let length = u32::try_from(encoded.len()).unwrap();
    [&[0][..], &length.to_be_bytes(), &encoded].concat()
}

/// Places to cut: in the frame's head, after it, in the first message, between the two, and before the last byte.
fn cuts(whole: &[u8]) -> Vec<usize> {
    let between = whole.iter().position(|&byte| byte == b'b').unwrap();
    vec![0, 3, 5, 100, between - 4, between, whole.len() - 1]
}

/// Both calls are over, and nothing came of those that were cut.
async fn nothing_was_published(client: &Client, what: &str) {
    let stats = client.get_queue("q").await.unwrap().stats.unwrap();
    assert_eq!(stats.ready + stats.leased, 0, "{what}");
}

/// Waits until the server has no call under way, so that nothing can still come of any.
async fn no_calls(server: &Server) {
    support::eventually("no call is under way", async || {
        let (_, metrics) = server.get("/metrics").await;
        let counts = metrics.lines().filter(|line| line.starts_with("bbq_streams{"));
        let mut counts = counts.map(|line| line.rsplit(' ').next());
        counts.all(|count| count == Some("0")).then_some(())
    })
    .await;
}

async fn server_with_queue() -> (Server, Client, String) {
    let server = Server::start().await;
    let client = server.client().await;
    client.create_queue("q", QueueSettings::default()).await.unwrap();
    let token = format!("Bearer {}", server.profile().token.unwrap());
    (server, client, token)
}

fn tls(server: &Server, alpn: &[u8]) -> rustls::ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(server.data().join("ca.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    config
}

/// A QUIC connection that speaks HTTP/3 as far as a test does. The control stream must stay open.
async fn http3(server: &Server) -> (quinn::Endpoint, quinn::Connection, quinn::SendStream) {
    let crypto = QuicClientConfig::try_from(tls(server, b"h3")).unwrap();
    let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(crypto)));
    let connecting = endpoint.connect(server.address, "localhost").unwrap();
    let connection = within("a connection", connecting).await.unwrap();
    let mut control = connection.open_uni().await.unwrap();
    control.write_all(&[&[0][..], &frames::frame(frames::SETTINGS, &[])].concat()).await.unwrap();
    (endpoint, connection, control)
}

/// How a call over HTTP/3 ends: its `grpc-status`, if the answer has one in plain text, and whether it was reset.
async fn answer(recv: &mut quinn::RecvStream) -> Result<Vec<u8>, quinn::ReadToEndError> {
    within("the end of the call", recv.read_to_end(1 << 20)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_cut_on_http_3_is_never_committed() {
    let (server, client, token) = server_with_queue().await;
    let whole = grpc_frame();
    let head = frames::call_with(PUBLISH, &[("authorization", &token)]);
    let (_endpoint, connection, _control) = http3(&server).await;
    for cut in cuts(&whole) {
        // The stream ends within a DATA frame that promised more.
        let (mut send, mut recv) = connection.open_bi().await.unwrap();
        let partial = [&head[..], &frames::head(frames::DATA, whole.len() as u64), &whole[..cut]].concat();
        send.write_all(&partial).await.unwrap();
        send.finish().unwrap();
        let _ = answer(&mut recv).await;
        nothing_was_published(&client, &format!("FIN within DATA after {cut}")).await;

        // The DATA frame is whole, but the gRPC message in it is not.
        let (mut send, mut recv) = connection.open_bi().await.unwrap();
        send.write_all(&[&head[..], &frames::data(&whole[..cut])].concat()).await.unwrap();
        send.finish().unwrap();
        let _ = answer(&mut recv).await;
        nothing_was_published(&client, &format!("FIN within the message after {cut}")).await;

        // The client resets it.
        let (mut send, mut recv) = connection.open_bi().await.unwrap();
        send.write_all(&partial).await.unwrap();
        send.reset(0x10c_u32.into()).unwrap();
        let _ = answer(&mut recv).await;
        nothing_was_published(&client, &format!("reset after {cut}")).await;
    }
    // The connection goes: none of the streams on it is whole.
    for cut in cuts(&whole) {
        let (endpoint, connection, _control) = http3(&server).await;
        let (mut send, _recv) = connection.open_bi().await.unwrap();
        let partial = [&head[..], &frames::head(frames::DATA, whole.len() as u64), &whole[..cut]].concat();
        send.write_all(&partial).await.unwrap();
        connection.close(0x100_u32.into(), b"");
        within("the close to leave", endpoint.wait_idle()).await;
        nothing_was_published(&client, &format!("close after {cut}")).await;
    }
    no_calls(&server).await;
    nothing_was_published(&client, "after all").await;
    // The same bytes uncut are a publish: what was refused above was refused for the cut.
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    send.write_all(&[&head[..], &frames::data(&whole)].concat()).await.unwrap();
    send.finish().unwrap();
    answer(&mut recv).await.unwrap();
    let stats = client.get_queue("q").await.unwrap().stats.unwrap();
    assert_eq!(stats.ready, 2);
}

/// HTTP/2 by the byte, as far as one call goes.
mod http2 {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const END_STREAM: u8 = 1;
    pub const END_HEADERS: u8 = 4;
    pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    /// A frame's head that promises `length` bytes.
    pub fn head(kind: u8, flags: u8, stream: u32, length: usize) -> Vec<u8> {
        let length = u32::try_from(length).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat()
    }

    pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        [head(kind, flags, stream, payload.len()), payload.to_vec()].concat()
    }

    /// A header block of literals that no table remembers.
    pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, value) in fields {
            out.push(0);
            for text in [name, value] {
                // Longer texts would need a longer prefix.
                assert!(text.len() < 127, "{text}");
                out.push(u8::try_from(text.len()).unwrap());
                out.extend_from_slice(text.as_bytes());
            }
        }
        out
    }
}

async fn http2_connection(server: &Server) -> tokio_rustls::client::TlsStream<tokio::net::TcpStream> {
    let tcp = within("a connection", tokio::net::TcpStream::connect(server.address)).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(tls(server, b"h2")));
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = within("TLS", connector.connect(name, tcp)).await.unwrap();
    let hello = [http2::PREFACE, &http2::frame(http2::SETTINGS, 0, 0, &[])].concat();
    stream.write_all(&hello).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_cut_on_http_2_is_never_committed() {
    let (server, client, token) = server_with_queue().await;
    let whole = grpc_frame();
    let fields = [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", PUBLISH),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("authorization", &token),
    ];
    let call = http2::frame(http2::HEADERS, http2::END_HEADERS, 1, &http2::block(&fields));
    let whole_call = http2::frame(http2::DATA, http2::END_STREAM, 1, &whole);
    let mut stories = Vec::new();
    for cut in cuts(&whole) {
        // The connection goes within a DATA frame that promised more, and would have ended the stream.
        let promised = http2::head(http2::DATA, http2::END_STREAM, 1, whole.len());
        stories.push((format!("lost within DATA after {cut}"), [promised, whole[..cut].to_vec()].concat()));
        // Whole DATA frames, then no more.
        let data = http2::frame(http2::DATA, 0, 1, &whole[..cut]);
        stories.push((format!("lost after DATA of {cut}"), data.clone()));
        // The client resets it.
        let reset = http2::frame(http2::RST_STREAM, 0, 1, &8_u32.to_be_bytes());
        stories.push((format!("reset after {cut}"), [data, reset].concat()));
        // The stream ends, but the gRPC message in it is not whole.
        let ended = http2::frame(http2::DATA, http2::END_STREAM, 1, &whole[..cut]);
        stories.push((format!("ended within the message after {cut}"), ended));
    }
    for (what, sent) in stories {
        let mut stream = http2_connection(&server).await;
        stream.write_all(&[&call[..], &sent].concat()).await.unwrap();
        // The end of our side, then all that the server has to say: it has seen everything when it closes, too.
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        let _ = within(&what, stream.read_to_end(&mut rest)).await;
        nothing_was_published(&client, &what).await;
    }
    no_calls(&server).await;
    nothing_was_published(&client, "after all").await;
    // The same bytes uncut are a publish: what was refused above was refused for the cut.
    let mut stream = http2_connection(&server).await;
    stream.write_all(&[&call[..], &whole_call].concat()).await.unwrap();
    let published = support::eventually("a whole upload is committed", async || {
        let stats = client.get_queue("q").await.unwrap().stats.unwrap();
        (stats.ready > 0).then_some(stats.ready)
    });
    assert_eq!(published.await, 2);
}
