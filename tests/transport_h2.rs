//! Calls over HTTP/2, with TLS and without.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

#[path = "support/transport/mod.rs"]
mod support;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bbq::transport::h2::{self, H2Settings, PlainListener};
use bbq::transport::{BindError, Drain};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use support::probe::{Event, next, until};
use support::{Counts, Probe, Server, Setup, eventually, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_stream::StreamExt as _;
use tonic::body::Body;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tower::ServiceExt as _;

async fn channel(server: &Server) -> Channel {
    let ca = std::fs::read(server.directory.path().join("ca.pem")).unwrap();
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca)).domain_name("localhost");
    let endpoint = Endpoint::from_shared(format!("https://{}", server.address)).unwrap();
    within("a connection", endpoint.tls_config(tls).unwrap().connect()).await.unwrap()
}

fn request(path: &str, body: Body) -> Request<Body> {
    Request::post(path)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)
        .unwrap()
}

fn full(data: &[u8]) -> Body {
    Body::new(http_body_util::Full::new(Bytes::copy_from_slice(data)))
}

async fn send(channel: &Channel, request: Request<Body>) -> Response<Body> {
    within("the response", channel.clone().oneshot(request)).await.unwrap()
}

async fn call(channel: &Channel, path: &str, body: &[u8]) -> (HeaderMap, Bytes, HeaderMap) {
    let (parts, body) = send(channel, request(path, full(body))).await.into_parts();
    let body = within("the body", body.collect()).await.unwrap();
    let trailers = body.trailers().cloned().unwrap_or_default();
    (parts.headers, body.to_bytes(), trailers)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_comes_back_and_http_3_is_announced() {
    let (server, _events) = Server::start();
    let channel = channel(&server).await;
    let (headers, body, trailers) = call(&channel, "/t/Echo", &[7; 300_000]).await;
    assert_eq!(body, vec![7; 300_000]);
    assert_eq!(trailers["grpc-status"], "0");
    assert_eq!(headers["alt-svc"], format!("h3=\":{}\"", server.address.port()).as_str());
}

#[tokio::test]
async fn the_service_learns_who_calls() {
    let (server, _events) = Server::start();
    let (headers, _, _) = call(&channel(&server).await, "/t/Peer", b"").await;
    assert_eq!(headers["transport"], "h2");
    assert!(headers["address"].to_str().unwrap().starts_with("127.0.0.1:"));
}

#[tokio::test]
async fn another_content_type_gets_415() {
    let (server, _events) = Server::start();
    let channel = channel(&server).await;
    let json = Request::post("/t/Echo").header("content-type", "application/json").body(full(b"{}"));
    assert_eq!(send(&channel, json.unwrap()).await.status(), 415);
}

#[tokio::test]
async fn binary_metadata_is_accepted_with_and_without_padding() {
    let (server, _events) = Server::start();
    let channel = channel(&server).await;
    for value in ["AAECAw==", "AAECAw"] {
        let mut request = request("/t/Metadata", Body::empty());
        request.headers_mut().insert("key-bin", value.parse().unwrap());
        assert_eq!(send(&channel, request).await.headers()["length"], "4");
    }
}

#[tokio::test]
async fn a_panic_is_internal_and_the_connection_lives_on() {
    let (server, _events) = Server::start();
    let channel = channel(&server).await;
    let (headers, _, _) = call(&channel, "/t/Panic", b"").await;
    assert_eq!(headers["grpc-status"], "13");
    assert_eq!(call(&channel, "/t/Echo", b"still here").await.1, "still here");
    assert_eq!(server.counts.open_connections(), 1);
}

#[tokio::test]
async fn a_cancelled_idle_stream_is_noticed() {
    let (server, mut events) = Server::start();
    let channel = channel(&server).await;
    let response = send(&channel, request("/t/Idle", Body::empty())).await;
    drop(response);
    until(&mut events, &Event::BodyDropped("/t/Idle".to_owned())).await;

    let unanswered = tokio::spawn(channel.clone().oneshot(request("/t/Hang", Body::empty())));
    until(&mut events, &Event::Called("/t/Hang".to_owned())).await;
    unanswered.abort();
    until(&mut events, &Event::FutureDropped("/t/Hang".to_owned())).await;
    eventually("no stream is left", || server.counts.open_streams() == 0).await;
}

#[tokio::test]
async fn a_lost_connection_ends_all_its_calls() {
    let (server, mut events) = Server::start();
    let channel = channel(&server).await;
    let response = send(&channel, request("/t/Idle", Body::empty())).await;
    drop((response, channel));
    until(&mut events, &Event::BodyDropped("/t/Idle".to_owned())).await;
    eventually("no connection is left", || server.counts.open_connections() == 0).await;
    eventually("no task is left", || server.drain.connections() == 0).await;
}

/// tonic takes CANCELLED, which is what a client's RST_STREAM gives, for a clean end of the upload.
#[tokio::test]
async fn a_cut_upload_is_aborted() {
    let (server, mut events) = Server::start();
    let channel = channel(&server).await;
    let (sender, pieces) = tokio::sync::mpsc::unbounded_channel();
    let pieces = tokio_stream::wrappers::UnboundedReceiverStream::new(pieces);
    let body = http_body_util::StreamBody::new(pieces.map(|data| Ok::<_, Infallible>(Frame::data(data))));
    let calling = tokio::spawn(channel.clone().oneshot(request("/t/Reader", Body::new(body))));
    sender.send(Bytes::from_static(b"half")).unwrap();
    until(&mut events, &Event::Chunk(4)).await;
    calling.abort();
    let mut both = [next(&mut events).await, next(&mut events).await];
    both.sort_by_key(|event| format!("{event:?}"));
    assert_eq!(both[1], Event::UploadFailed(tonic::Code::Aborted), "{both:?}");
}

/// A header block of literals, as HPACK writes them.
fn hpack(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name, value] {
            out.push(u8::try_from(text.len()).unwrap());
            out.extend_from_slice(text.as_bytes());
        }
    }
    out
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[0, 0, length, kind, flags], &stream.to_be_bytes()[..], payload].concat()
}

/// A call without a body: HEADERS with END_HEADERS and END_STREAM.
fn opened(stream: u32, path: &str) -> Vec<u8> {
    frame(1, 5, stream, &hpack(&support::frames::fields(path)))
}

/// RST_STREAM with CANCEL.
fn cancelled(stream: u32) -> Vec<u8> {
    frame(3, 0, stream, &[0, 0, 0, 8])
}

/// A connection after TLS and our preface, which is left to its own devices.
async fn raw(server: &Server) -> TlsStream<TcpStream> {
    let config = support::client::tls(&server.ca, b"h2", None);
    let tcp = TcpStream::connect(server.address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("localhost").unwrap();
    let mut tls = within("a handshake", connector.connect(name, tcp)).await.unwrap();
    tls.write_all(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame(4, 0, 0, &[])[..]].concat()).await.unwrap();
    tls
}

/// Reads until a frame of a kind comes; false if it does not, and the connection ends.
async fn comes(tls: &mut TlsStream<TcpStream>, kind: u8, stream: u32) -> bool {
    loop {
        let mut head = [0; 9];
        if within("a frame", tls.read_exact(&mut head)).await.is_err() {
            return false;
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        within("its payload", tls.read_exact(&mut payload)).await.unwrap();
        if head[3] == kind && head[5..] == stream.to_be_bytes() {
            return true;
        }
    }
}

/// A server that had no time for a moment learns of many calls and of their ends at once. That is no attack.
#[tokio::test]
async fn calls_that_come_cancelled_in_one_piece_cost_no_connection() {
    let (server, _events) = Server::start();
    let mut tls = raw(&server).await;
    let mut bytes = Vec::new();
    for stream in (1..1001).step_by(2) {
        bytes.extend(opened(stream, "/t/Hang"));
        bytes.extend(cancelled(stream));
    }
    bytes.extend(opened(1001, "/t/Idle"));
    tls.write_all(&bytes).await.unwrap();
    assert!(comes(&mut tls, 1, 1001).await, "the connection ended");
}

#[tokio::test]
async fn calls_cancelled_too_fast_end_the_connection() {
    let h2 = H2Settings { early_cancels_burst: 50, early_cancels_per_second: 1, ..H2Settings::default() };
    let (server, mut events) = Server::with(Setup { h2, ..Setup::default() });
    let mut tls = raw(&server).await;
    for stream in (1..401).step_by(2) {
        if tls.write_all(&[opened(stream, "/t/Hang"), cancelled(stream)].concat()).await.is_err() {
            break;
        }
    }
    let mut rest = Vec::new();
    let _ = within("the end", tls.read_to_end(&mut rest)).await;
    eventually("no connection is left", || server.counts.open_connections() == 0).await;
    let mut calls = 0;
    while let Ok(event) = events.try_recv() {
        calls += usize::from(event == Event::Called("/t/Hang".to_owned()));
    }
    assert!((51..=200).contains(&calls), "{calls} calls");
}

/// Long polls that end and consumers that leave are not an attack.
#[tokio::test]
async fn cancelling_answered_calls_is_never_too_fast() {
    let h2 = H2Settings { early_cancels_burst: 5, early_cancels_per_second: 1, ..H2Settings::default() };
    let (server, _events) = Server::with(Setup { h2, ..Setup::default() });
    let mut tls = raw(&server).await;
    for stream in (1..101).step_by(2) {
        tls.write_all(&opened(stream, "/t/Idle")).await.unwrap();
        assert!(comes(&mut tls, 1, stream).await, "the connection ended");
        tls.write_all(&cancelled(stream)).await.unwrap();
    }
}

/// The peer is there as far as TCP knows, and answers nothing: a frozen process, a dead network.
#[tokio::test]
async fn a_silent_client_is_noticed_by_pings() {
    let h2 = H2Settings { keep_alive_ms: 1_500, keep_alive_timeout_ms: 3_000, ..H2Settings::default() };
    let (server, mut events) = Server::with(Setup { h2, ..Setup::default() });
    let mut tls = raw(&server).await;
    tls.write_all(&opened(1, "/t/Idle")).await.unwrap();
    assert_eq!(next(&mut events).await, Event::Called("/t/Idle".to_owned()));
    assert_eq!(next(&mut events).await, Event::BodyDropped("/t/Idle".to_owned()));
    eventually("no connection is left", || server.counts.open_connections() == 0).await;
    let mut rest = Vec::new();
    // It is closed, with or without an alert.
    let _ = within("the end", tls.read_to_end(&mut rest)).await;
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_given_up() {
    let h2 = H2Settings { handshake_timeout_ms: 3_000, handshakes_max: 1, ..H2Settings::default() };
    let (server, _events) = Server::with(Setup { h2, ..Setup::default() });
    let mut mute = TcpStream::connect(server.address).await.unwrap();
    // The only place for a handshake is taken until then.
    let channel = channel(&server).await;
    assert_eq!(call(&channel, "/t/Echo", b"next").await.1, "next");
    assert_eq!(within("its end", mute.read(&mut [0])).await.unwrap(), 0);
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed() {
    let h2 = H2Settings { connections_max: 1, ..H2Settings::default() };
    let (server, _events) = Server::with(Setup { h2, ..Setup::default() });
    let first = channel(&server).await;
    assert_eq!(call(&first, "/t/Echo", b"in").await.1, "in");
    let mut second = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(within("its end", second.read(&mut [0])).await.unwrap_or(0), 0);
    drop(first);
    eventually("there is room again", || server.drain.connections() == 0).await;
    assert_eq!(call(&channel(&server).await, "/t/Echo", b"in").await.1, "in");
}

#[tokio::test]
async fn a_header_list_of_17_kib_is_refused() {
    let (server, mut events) = Server::start();
    let channel = channel(&server).await;
    let mut long = request("/t/Echo", Body::empty());
    long.headers_mut().insert("long", "v".repeat(17 << 10).parse().unwrap());
    let refused = within("an answer", channel.clone().oneshot(long)).await;
    assert!(refused.is_err() || refused.is_ok_and(|response| response.status() == 431));
    assert!(events.try_recv().is_err());
}

#[tokio::test]
async fn a_drain_lets_calls_finish_and_refuses_connections() {
    let (server, mut events) = Server::start();
    let channel = channel(&server).await;
    let waiting = tokio::spawn({
        let channel = channel.clone();
        async move { call(&channel, "/t/Wait", b"").await }
    });
    until(&mut events, &Event::Called("/t/Wait".to_owned())).await;
    server.drain.begin();
    eventually("the port is closed", || std::net::TcpStream::connect(server.address).is_err()).await;
    server.probe.go.add_permits(1);
    let (_, body, trailers) = within("the answer", waiting).await.unwrap();
    assert_eq!(body, "done");
    assert_eq!(trailers["grpc-status"], "0");
    within("the end", server.served).await.unwrap();
    assert_eq!(server.counts.open_streams(), 0);
}

#[tokio::test]
async fn a_call_that_does_not_finish_is_cut_at_the_bound() {
    let h2 = H2Settings { drain_ms: 200, ..H2Settings::default() };
    let (server, mut events) = Server::with(Setup { h2, ..Setup::default() });
    let channel = channel(&server).await;
    let _response = send(&channel, request("/t/Idle", Body::empty())).await;
    server.drain.begin();
    until(&mut events, &Event::BodyDropped("/t/Idle".to_owned())).await;
    within("the end", server.served).await.unwrap();
}

struct Plain {
    drain: Drain,
    counts: Arc<Counts>,
    served: tokio::task::JoinHandle<()>,
}

fn serve_plain(listener: PlainListener) -> (Plain, support::Events) {
    let (probe, events) = Probe::new();
    let (drain, counts) = (Drain::new(), Arc::new(Counts::default()));
    let serving = h2::serve_plain(listener, probe, H2Settings::default(), drain.clone(), counts.clone());
    (Plain { drain, counts, served: tokio::spawn(serving) }, events)
}

#[tokio::test]
async fn loopback_serves_without_tls_and_announces_nothing() {
    let listener = PlainListener::tcp("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.address().unwrap();
    let (server, mut events) = serve_plain(listener);
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let channel = within("a connection", endpoint.connect()).await.unwrap();
    let (headers, body, _) = call(&channel, "/t/Echo", b"plain").await;
    assert_eq!(body, "plain");
    assert!(headers.get("alt-svc").is_none());
    assert_eq!(call(&channel, "/t/Peer", b"").await.0["transport"], "h2c");
    let idle = send(&channel, request("/t/Idle", Body::empty())).await;
    drop(idle);
    until(&mut events, &Event::BodyDropped("/t/Idle".to_owned())).await;
    drop(channel);
    server.drain.begin();
    within("the end", server.served).await.unwrap();
    assert_eq!(server.counts.open_connections(), 0);
}

#[tokio::test]
async fn plain_http_2_is_refused_where_others_can_listen_in() {
    let refused = PlainListener::tcp(SocketAddr::from(([0, 0, 0, 0], 0))).unwrap_err();
    assert!(matches!(refused, BindError::NotLoopback { .. }));
    assert!(refused.to_string().starts_with("0.0.0.0:0 is not a loopback address"));
}

async fn unix_channel(path: PathBuf) -> Channel {
    let connector = tower::service_fn(move |_| {
        let path = path.clone();
        async move { Ok::<_, std::io::Error>(TokioIo::new(tokio::net::UnixStream::connect(path).await?)) }
    });
    Endpoint::from_static("http://unix").connect_with_connector(connector).await.unwrap()
}

#[tokio::test]
async fn a_unix_socket_serves_its_owner_and_goes_with_its_server() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bbq.sock");
    // Left behind by a server that was killed.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let (server, _events) = serve_plain(PlainListener::unix(&path).unwrap());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let taken = PlainListener::unix(&path).unwrap_err().to_string();
    assert!(taken.contains("another server listens there"), "{taken}");

    let channel = unix_channel(path.clone()).await;
    let (headers, _, _) = call(&channel, "/t/Peer", b"").await;
    assert_eq!(headers["address"], "none");
    assert_eq!(headers["transport"], "h2c");
    drop(channel);
    server.drain.begin();
    within("the end", server.served).await.unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("precious");
    std::fs::write(&path, "data").unwrap();
    let refused = PlainListener::unix(&path).unwrap_err().to_string();
    assert!(refused.contains("precious") && refused.contains("is not a socket"), "{refused}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "data");
}
