//! The drain: calls in flight finish, new ones are refused, all within a bound.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

#[path = "support/transport/mod.rs"]
mod support;

use std::time::Duration;

use bbq::transport::h2::H2Settings;
use bbq::transport::h3::H3Settings;
use support::client::{Client, Raw, reset_code, response_frames};
use support::frames::{self, DATA};
use support::probe::{Event, LONG_ANSWER, until};
use support::{Server, Setup, within};

const NO_ERROR: u64 = 0x100;
const REQUEST_REJECTED: u64 = 0x10b;
const GOAWAY: u64 = 7;

fn called(path: &str) -> Event {
    Event::Called(path.to_owned())
}

/// Reads the server's control stream up to its first GOAWAYs; gives the ids that they announce.
async fn goaways(connection: &quinn::Connection, count: usize) -> Vec<u64> {
    let mut ids = Vec::new();
    loop {
        let mut control = within("a control stream", connection.accept_uni()).await.unwrap();
        let mut kind = [0];
        control.read_exact(&mut kind).await.unwrap();
        if kind[0] != 0 {
            continue;
        }
        while ids.len() < count {
            let frame = within("a control frame", varint(&mut control)).await;
            let length = varint(&mut control).await;
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            control.read_exact(&mut payload).await.unwrap();
            if frame == GOAWAY {
                let bytes = payload.len();
                payload[0] &= 0x3f;
                ids.push(payload.iter().take(bytes).fold(0, |value, byte| (value << 8) | u64::from(*byte)));
            }
        }
        return ids;
    }
}

async fn varint(recv: &mut quinn::RecvStream) -> u64 {
    let mut first = [0];
    recv.read_exact(&mut first).await.unwrap();
    let mut value = u64::from(first[0] & 0x3f);
    for _ in 1..(1 << (first[0] >> 6)) {
        let mut byte = [0];
        recv.read_exact(&mut byte).await.unwrap();
        value = (value << 8) | u64::from(byte[0]);
    }
    value
}

#[tokio::test]
async fn calls_in_flight_finish_and_later_ones_are_rejected_as_unprocessed() {
    let (server, mut events) = Server::start();
    let raw = Raw::connect(&server).await;
    let mut waiting = raw.send_all(&frames::call("/t/Wait")).await;
    until(&mut events, &called("/t/Wait")).await;

    server.drain.begin();
    let ids = goaways(&raw.connection, 2).await;
    assert!(ids[0] > ids[1], "the first leaves room for what is under way: {ids:?}");
    assert_eq!(ids[1], 4, "above the one stream that is processed");

    let mut late = raw.send_all(&frames::call("/t/Echo")).await;
    assert_eq!(reset_code(&mut late).await, REQUEST_REJECTED);

    server.probe.go.add_permits(1);
    assert_eq!(response_frames(&mut waiting).await[1], (DATA, b"done".to_vec()));
    assert_eq!(raw.closed().await, NO_ERROR);
    within("the end", server.served).await.unwrap();
    assert_eq!(server.counts.open_streams(), 0);
    assert_eq!(server.drain.connections(), 0);
}

#[tokio::test]
async fn a_connection_without_calls_is_told_and_closed() {
    let (server, _events) = Server::start();
    let raw = Raw::connect(&server).await;
    support::eventually("it is open", || server.counts.open_connections() == 1).await;
    server.drain.begin();
    assert_eq!(goaways(&raw.connection, 1).await, [0], "nothing was processed");
    assert_eq!(raw.closed().await, NO_ERROR);
    within("the end", server.served).await.unwrap();
}

#[tokio::test]
async fn a_call_that_does_not_finish_is_cut_at_the_bound() {
    let setup = Setup {
        h3: H3Settings { drain_ms: 200, ..H3Settings::default() },
        h2: H2Settings { drain_ms: 200, ..H2Settings::default() },
        ..Setup::default()
    };
    let (server, mut events) = Server::with(setup);
    let raw = Raw::connect(&server).await;
    let _recv = raw.send_all(&frames::call("/t/Idle")).await;
    until(&mut events, &called("/t/Idle")).await;
    server.drain.begin();
    until(&mut events, &Event::BodyDropped("/t/Idle".to_owned())).await;
    assert_eq!(raw.closed().await, NO_ERROR);
    within("the end", server.served).await.unwrap();
}

/// Closing a QUIC connection discards what was not acknowledged, so the close must wait.
#[tokio::test]
async fn the_last_answer_arrives_whole_before_the_close() {
    let (server, mut events) = Server::start();
    let raw = Raw::connect(&server).await;
    let mut waiting = raw.send_all(&frames::call("/t/WaitLong")).await;
    until(&mut events, &called("/t/WaitLong")).await;
    server.drain.begin();
    goaways(&raw.connection, 2).await;
    // Past the grace, so that nothing but the acknowledgement keeps the connection open.
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.probe.go.add_permits(1);
    until(&mut events, &Event::BodyDropped("/t/WaitLong".to_owned())).await;
    let answer = response_frames(&mut waiting).await;
    let bytes: usize = answer.iter().filter(|(kind, _)| *kind == DATA).map(|(_, data)| data.len()).sum();
    assert_eq!(bytes, LONG_ANSWER);
    assert_eq!(raw.closed().await, NO_ERROR);
    within("the end", server.served).await.unwrap();
}

/// A request that was on its way when the drain began is served, not refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_under_load_loses_no_call() {
    let (server, mut events) = Server::start();
    let mut client = Client::connect(&server).await;
    assert_eq!(client.call("/t/Echo", b"warm").await.body, b"warm");
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let mut sender = client.sender.clone();
        calls.spawn(async move {
            let mut served = 0_usize;
            loop {
                let Ok(mut stream) = sender.send_request(Client::request("/t/Echo")).await else {
                    return served;
                };
                let _ = stream.send_data(bytes::Bytes::from_static(b"x")).await;
                let _ = stream.finish().await;
                match stream.recv_response().await {
                    Ok(_) => {
                        assert!(stream.recv_data().await.unwrap().is_some(), "a begun answer is whole");
                        served += 1;
                    }
                    Err(error) => {
                        let error = format!("{error:?}");
                        // A client that was slow to hear the GOAWAY has it by the time of the close.
                        let refused = ["H3_REQUEST_REJECTED", "H3_NO_ERROR"];
                        assert!(refused.iter().any(|code| error.contains(code)), "otherwise: {error}");
                        return served;
                    }
                }
            }
        });
    }
    until(&mut events, &Event::Uploaded(1)).await;
    server.drain.begin();
    let served: usize = within("the calls", calls.join_all()).await.into_iter().sum();
    assert!(served > 0);
    within("the end", server.served).await.unwrap();
    let mut uploaded = 1;
    while let Ok(event) = events.try_recv() {
        uploaded += usize::from(event == Event::Uploaded(1));
    }
    assert_eq!(uploaded, served, "what was processed was answered, and nothing else was");
}

#[tokio::test]
async fn new_connections_are_refused_while_draining() {
    let (server, mut events) = Server::start();
    let raw = Raw::connect(&server).await;
    let _waiting = raw.send_all(&frames::call("/t/Wait")).await;
    until(&mut events, &called("/t/Wait")).await;
    server.drain.begin();
    goaways(&raw.connection, 2).await;
    let endpoint = support::client::endpoint(&server, None);
    let refused = within("an answer", endpoint.connect(server.address, "localhost").unwrap()).await;
    assert!(matches!(refused, Err(quinn::ConnectionError::ConnectionClosed(_))), "{refused:?}");
    server.probe.go.add_permits(1);
    within("the end", server.served).await.unwrap();
}
