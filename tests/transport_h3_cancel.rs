//! The end of a call over HTTP/3 by its client: noticed at once, idle or not.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

#[path = "support/transport/mod.rs"]
mod support;

use std::time::Duration;

use bbq::transport::h3::H3Settings;
use bbq::transport::quic::QuicSettings;
use support::client::Raw;
use support::frames;
use support::probe::{Event, next, until};
use support::{Server, Setup, eventually, within};

const EXCESSIVE_LOAD: u64 = 0x107;

fn called(path: &str) -> Event {
    Event::Called(path.to_owned())
}

fn body_dropped(path: &str) -> Event {
    Event::BodyDropped(path.to_owned())
}

fn future_dropped(path: &str) -> Event {
    Event::FutureDropped(path.to_owned())
}

/// Waits for the response's first byte: from then on the stream is idle.
async fn idle(recv: &mut quinn::RecvStream) {
    let mut byte = [0];
    within("headers", recv.read_exact(&mut byte)).await.unwrap();
}

#[tokio::test]
async fn stop_sending_ends_an_idle_stream_whatever_its_code() {
    let (server, mut events) = Server::start();
    let raw = Raw::connect(&server).await;
    for code in [0_u32, 0x100, 0x10c, 0xdead] {
        let mut recv = raw.send_all(&frames::call("/t/Idle")).await;
        idle(&mut recv).await;
        assert_eq!(next(&mut events).await, called("/t/Idle"));
        recv.stop(code.into()).unwrap();
        assert_eq!(next(&mut events).await, body_dropped("/t/Idle"), "code {code:#x}");
    }
    eventually("no stream is left", || server.counts.open_streams() == 0).await;
}

#[tokio::test]
async fn a_reset_of_an_unfinished_upload_ends_an_idle_stream_whatever_its_code() {
    let (server, mut events) = Server::start();
    let raw = Raw::connect(&server).await;
    for code in [0_u32, 0x100, 0x10c, 0xdead] {
        let (mut send, mut recv) = raw.send(&frames::call("/t/Idle")).await;
        idle(&mut recv).await;
        assert_eq!(next(&mut events).await, called("/t/Idle"));
        send.reset(code.into()).unwrap();
        assert_eq!(next(&mut events).await, body_dropped("/t/Idle"), "code {code:#x}");
    }
}

#[tokio::test]
async fn a_call_that_was_never_answered_ends_with_either() {
    let (server, mut events) = Server::start();
    let raw = Raw::connect(&server).await;
    let mut recv = raw.send_all(&frames::call("/t/Hang")).await;
    assert_eq!(next(&mut events).await, called("/t/Hang"));
    recv.stop(0_u32.into()).unwrap();
    assert_eq!(next(&mut events).await, future_dropped("/t/Hang"));

    let (mut send, _recv) = raw.send(&frames::call("/t/Hang")).await;
    assert_eq!(next(&mut events).await, called("/t/Hang"));
    send.reset(0_u32.into()).unwrap();
    assert_eq!(next(&mut events).await, future_dropped("/t/Hang"));
    eventually("no stream is left", || server.counts.open_streams() == 0).await;
}

/// The upload is read in a task of the handler's own, and the reset must reach both it and the call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_reaches_the_call_and_a_reader_elsewhere() {
    let (server, mut events) = Server::start();
    let raw = Raw::connect(&server).await;
    let (mut send, _recv) = raw.send(&frames::call("/t/Reader")).await;
    assert_eq!(next(&mut events).await, called("/t/Reader"));
    for _ in 0..20 {
        send.write_all(&frames::data(b"abc")).await.unwrap();
        assert_eq!(next(&mut events).await, Event::Chunk(3));
    }
    send.reset(7_u32.into()).unwrap();
    let mut both = [next(&mut events).await, next(&mut events).await];
    both.sort_by_key(|event| format!("{event:?}"));
    assert_eq!(both, [future_dropped("/t/Reader"), Event::UploadFailed(tonic::Code::Aborted)]);
}

#[tokio::test]
async fn a_stop_reaches_a_stream_whose_upload_nobody_reads() {
    let (server, mut events) = Server::start();
    let raw = Raw::connect(&server).await;
    let (_send, mut recv) = raw.send(&[frames::call("/t/Idle"), frames::data(&[0; 1000])].concat()).await;
    idle(&mut recv).await;
    recv.stop(1_u32.into()).unwrap();
    until(&mut events, &body_dropped("/t/Idle")).await;
}

/// A stream that is full, not idle: the response waits for the client's window.
#[tokio::test]
async fn a_stop_ends_a_stream_that_waits_for_its_window() {
    let (server, mut events) = Server::start();
    let raw = Raw::connect(&server).await;
    let mut recv = raw.send_all(&frames::call("/t/Flood")).await;
    idle(&mut recv).await;
    recv.stop(1_u32.into()).unwrap();
    until(&mut events, &body_dropped("/t/Flood")).await;
}

#[tokio::test]
async fn a_closed_connection_ends_all_its_calls() {
    let (server, mut events) = Server::start();
    let raw = Raw::connect(&server).await;
    let mut idle_recv = raw.send_all(&frames::call("/t/Idle")).await;
    idle(&mut idle_recv).await;
    let _hang = raw.send_all(&frames::call("/t/Hang")).await;
    until(&mut events, &called("/t/Hang")).await;
    raw.connection.close(0_u32.into(), b"");
    let mut ends = [next(&mut events).await, next(&mut events).await];
    ends.sort_by_key(|event| format!("{event:?}"));
    assert_eq!(ends, [body_dropped("/t/Idle"), future_dropped("/t/Hang")]);
    eventually("nothing is left", || {
        server.counts.open_streams() == 0 && server.counts.open_connections() == 0
    })
    .await;
    eventually("no task is left", || server.drain.connections() == 0).await;
}

/// The client's process is gone or its network is: nothing more comes, not even a close.
#[tokio::test]
async fn a_silent_client_is_noticed_by_the_idle_timeout() {
    let quic = QuicSettings { idle_timeout_ms: 4_000, keep_alive_ms: 500, ..QuicSettings::default() };
    let (server, mut events) = Server::with(Setup { quic, ..Setup::default() });
    // The client's runtime stops with everything in it; its socket stays open and silent.
    let client = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let raw = {
        let _context = client.enter();
        let server = &server;
        let (sent, received) = tokio::sync::oneshot::channel();
        let endpoint = support::client::endpoint(server, None);
        let address = server.address;
        client.spawn(async move {
            let connection = support::client::connect(&endpoint, address).await;
            let (mut send, recv) = connection.open_bi().await.unwrap();
            send.write_all(&frames::call("/t/Idle")).await.unwrap();
            send.finish().unwrap();
            let _ = sent.send((endpoint, connection, send, recv));
        });
        within("the call", received).await.unwrap()
    };
    assert_eq!(next(&mut events).await, called("/t/Idle"));
    // Keep-alives hold the connection while the client answers them.
    assert!(tokio::time::timeout(Duration::from_secs(6), events.recv()).await.is_err());
    client.shutdown_background();
    assert_eq!(next(&mut events).await, body_dropped("/t/Idle"));
    eventually("no connection is left", || server.counts.open_connections() == 0).await;
    // Its handles belong to the stopped runtime; dropping them would send a close through a dead driver.
    std::mem::forget(raw);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_cancelled_too_fast_end_the_connection() {
    let h3 = H3Settings { early_cancels_burst: 50, early_cancels_per_second: 1, ..H3Settings::default() };
    let (server, mut events) = Server::with(Setup { h3, ..Setup::default() });
    let raw = Raw::connect(&server).await;
    for _ in 0..200 {
        let Ok((mut send, mut recv)) = raw.connection.open_bi().await else { break };
        if send.write_all(&frames::call("/t/Hang")).await.is_err() {
            break;
        }
        let _ = recv.stop(0_u32.into());
        let _ = send.reset(0_u32.into());
    }
    assert_eq!(raw.closed().await, EXCESSIVE_LOAD);
    eventually("no stream is left", || server.counts.open_streams() == 0).await;
    while let Ok(event) = events.try_recv() {
        assert!(event == called("/t/Hang") || event == future_dropped("/t/Hang"));
    }
}

/// Long polls that end and consumers that leave are not an attack.
#[tokio::test]
async fn cancelling_answered_calls_is_never_too_fast() {
    let h3 = H3Settings { early_cancels_burst: 5, early_cancels_per_second: 1, ..H3Settings::default() };
    let (server, mut events) = Server::with(Setup { h3, ..Setup::default() });
    let raw = Raw::connect(&server).await;
    for _ in 0..50 {
        let mut recv = raw.send_all(&frames::call("/t/Idle")).await;
        idle(&mut recv).await;
        recv.stop(0_u32.into()).unwrap();
        until(&mut events, &body_dropped("/t/Idle")).await;
    }
    assert!(raw.connection.close_reason().is_none());
}
