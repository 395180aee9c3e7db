//! Headers and control frames that no honest client sends.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

#[path = "support/transport/mod.rs"]
mod support;

use bbq::transport::h3::H3Settings;
use support::client::{Client, Raw, reset_code};
use support::frames::{self, DATA, HEADERS, head};
use support::{Server, Setup, eventually, within};

const EXCESSIVE_LOAD: u64 = 0x107;
const REQUEST_REJECTED: u64 = 0x10b;
const MESSAGE_ERROR: u64 = 0x10e;
const REQUEST_INCOMPLETE: u64 = 0x10d;
const QPACK_FAILED: u64 = 0x200;

const UNKNOWN: u64 = 0x21 + 0x1f * 3;

#[tokio::test]
async fn a_headers_frame_of_12_mib_is_refused_by_its_length() {
    let (server, _events) = Server::start();
    let raw = Raw::connect(&server).await;
    let (_send, mut recv) = raw.send(&head(HEADERS, 12 << 20)).await;
    assert_eq!(reset_code(&mut recv).await, EXCESSIVE_LOAD, "before any of it came");
    assert!(raw.connection.close_reason().is_none());
}

#[tokio::test]
async fn a_header_of_a_mebibyte_is_refused_and_one_of_8_kib_is_not() {
    let (server, _events) = Server::start();
    let raw = Raw::connect(&server).await;
    let long = "v".repeat(1 << 20);
    let (mut send, mut recv) = raw.connection.open_bi().await.unwrap();
    // The server may stop us before we are through.
    let _ = send.write_all(&frames::call_with("/t/Echo", &[("long", &long)])).await;
    assert_eq!(reset_code(&mut recv).await, EXCESSIVE_LOAD);

    let mut client = Client::connect(&server).await;
    let mut request = Client::request("/t/Echo");
    request.headers_mut().insert("long", "v".repeat(8 << 10).parse().unwrap());
    assert_eq!(client.send(request, b"ok").await.unwrap().body, b"ok");
}

/// Each field counts for 32 bytes more than it takes on the wire.
#[tokio::test]
async fn headers_that_only_decode_to_too_much_are_refused() {
    let (server, _events) = Server::start();
    let raw = Raw::connect(&server).await;
    let names: Vec<String> = (0..300).map(|index| format!("f{index}")).collect();
    let many: Vec<(&str, &str)> =
        names.iter().map(|name| (name.as_str(), "0123456789012345678901234")).collect();
    let call = frames::call_with("/t/Echo", &many);
    assert!(call.len() < 16 * 1024, "short enough on the wire: {}", call.len());
    let mut recv = raw.send_all(&call).await;
    assert_eq!(reset_code(&mut recv).await, EXCESSIVE_LOAD);
}

#[tokio::test]
async fn malformed_requests_are_message_errors() {
    let (server, mut events) = Server::start();
    let raw = Raw::connect(&server).await;
    let good = frames::fields("/t/Echo");
    let mut bad = Vec::new();
    for again in
        [(":path", "/t/Echo"), (":method", "POST"), (":scheme", "https"), (":authority", "localhost")]
    {
        bad.push([vec![again], good.clone()].concat());
    }
    for missing in 0..4 {
        let mut fields = good.clone();
        fields.remove(missing);
        bad.push(fields);
    }
    bad.push([good.clone(), vec![(":path", "/late")]].concat());
    bad.push([vec![(":status", "200")], good.clone()].concat());
    for field in [
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("Upper", "case"),
        ("line", "feed\n"),
        ("host", "elsewhere"),
    ] {
        bad.push([good.clone(), vec![field]].concat());
    }
    bad.push(good.iter().map(|&(name, value)| (name, if name == "te" { "gzip" } else { value })).collect());
    for fields in bad {
        let mut recv = raw.send_all(&frames::frame(HEADERS, &frames::section(&fields))).await;
        assert_eq!(reset_code(&mut recv).await, MESSAGE_ERROR, "{fields:?}");
    }
    assert!(events.try_recv().is_err(), "the service was never called");
    assert!(raw.connection.close_reason().is_none());
}

#[tokio::test]
async fn references_to_a_dynamic_table_that_we_never_offered_end_the_connection() {
    let (server, _events) = Server::start();
    let raw = Raw::connect(&server).await;
    let _stream = raw.send_all(&frames::frame(HEADERS, &[0, 0, 0x80])).await;
    assert_eq!(raw.closed().await, QPACK_FAILED);
}

#[tokio::test]
async fn frames_before_the_headers_are_bounded() {
    let (server, _events) = Server::start();
    let raw = Raw::connect(&server).await;
    let (_send, mut recv) = raw.send(&head(UNKNOWN, 1 << 30)).await;
    assert_eq!(reset_code(&mut recv).await, EXCESSIVE_LOAD);
    let flood = frames::frame(UNKNOWN, b"").repeat(20_000);
    let (mut send, mut recv) = raw.connection.open_bi().await.unwrap();
    let _ = send.write_all(&flood).await;
    assert_eq!(reset_code(&mut recv).await, EXCESSIVE_LOAD);
}

#[tokio::test]
async fn headers_that_do_not_come_are_not_waited_for() {
    let h3 = H3Settings { header_timeout_ms: 50, ..H3Settings::default() };
    let (server, _events) = Server::with(Setup { h3, ..Setup::default() });
    let raw = Raw::connect(&server).await;
    let (_send, mut recv) = raw.send(&frames::call("/t/Echo")[..10]).await;
    assert_eq!(reset_code(&mut recv).await, REQUEST_REJECTED, "nothing was processed");
}

#[tokio::test]
async fn a_long_control_frame_ends_the_connection() {
    let (server, _events) = Server::start();
    let mut raw = Raw::connect(&server).await;
    // Ignored, whatever it means.
    raw.control.write_all(&frames::frame(UNKNOWN, &[0; 1000])).await.unwrap();
    raw.control.write_all(&head(UNKNOWN, 1 << 30)).await.unwrap();
    assert_eq!(raw.closed().await, EXCESSIVE_LOAD);
}

#[tokio::test]
async fn a_header_frame_cut_by_the_end_is_incomplete_and_costs_no_other_call() {
    let (server, _events) = Server::start();
    let raw = Raw::connect(&server).await;
    let mut recv = raw.send_all(&[head(HEADERS, 100), vec![0; 50]].concat()).await;
    assert_eq!(reset_code(&mut recv).await, REQUEST_INCOMPLETE);
    let good = raw.send_all(&[frames::call("/t/Echo"), frames::data(b"fine")].concat()).await;
    let mut good = good;
    assert_eq!(support::client::response_frames(&mut good).await[1], (DATA, b"fine".to_vec()));
}

#[tokio::test]
async fn connections_beyond_the_limit_are_refused() {
    let h3 = H3Settings { connections_max: 2, ..H3Settings::default() };
    let (server, _events) = Server::with(Setup { h3, ..Setup::default() });
    let first = Raw::connect(&server).await;
    let _second = Raw::connect(&server).await;
    let endpoint = support::client::endpoint(&server, None);
    let refused = within("an answer", endpoint.connect(server.address, "localhost").unwrap()).await;
    assert!(matches!(refused, Err(quinn::ConnectionError::ConnectionClosed(_))), "{refused:?}");
    first.connection.close(0_u32.into(), b"");
    eventually("there is room again", || server.counts.open_connections() == 1).await;
    eventually("its task is over", || server.drain.connections() == 1).await;
    let _third = Raw::connect(&server).await;
}

/// With no handshake allowed to be open, every address has to prove itself first; honest clients just do.
#[tokio::test]
async fn addresses_are_validated_by_retry_when_busy() {
    let h3 = H3Settings { half_open_max: 0, ..H3Settings::default() };
    let (server, _events) = Server::with(Setup { h3, ..Setup::default() });
    let mut client = Client::connect(&server).await;
    assert_eq!(client.call("/t/Echo", b"x").await.body, b"x");
    let (silent, _connecting) = first_packet(&server).await;
    let mut answer = [0; 2048];
    within("an answer", silent.recv_from(&mut answer)).await.unwrap();
    assert_eq!(answer[0] & 0xf0, 0xf0, "a Retry packet");
    assert_eq!(server.drain.connections(), 1, "which costs the server nothing");
}

/// Sends the server a client's first packet from a socket that will pass no answer back.
async fn first_packet(server: &Server) -> (tokio::net::UdpSocket, quinn::Connecting) {
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let endpoint = support::client::endpoint(server, None);
    let connecting = endpoint.connect(silent.local_addr().unwrap(), "localhost").unwrap();
    let mut packet = [0; 2048];
    let (length, _) = within("a packet", silent.recv_from(&mut packet)).await.unwrap();
    silent.send_to(&packet[..length], server.address).await.unwrap();
    (silent, connecting)
}

#[tokio::test]
async fn a_handshake_that_stops_is_given_up() {
    let h3 = H3Settings { handshake_timeout_ms: 2_000, ..H3Settings::default() };
    let (server, _events) = Server::with(Setup { h3, ..Setup::default() });
    let _silent = first_packet(&server).await;
    eventually("the handshake begins", || server.drain.connections() == 1).await;
    eventually("and is given up", || server.drain.connections() == 0).await;
}
