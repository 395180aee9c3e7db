//! Uploads over HTTP/3: whole ones pass however they are framed, cut ones never look whole.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

#[path = "support/transport/mod.rs"]
mod support;

use support::client::{Raw, reset_code, response_frames};
use support::frames::{self, DATA, HEADERS, head};
use support::probe::{Event, next};
use support::{Server, within};
use tonic::Code;

const FRAME_UNEXPECTED: u64 = 0x105;
const REQUEST_INCOMPLETE: u64 = 0x10d;
const EXCESSIVE_LOAD: u64 = 0x107;
const CLIENT_CODES: [u32; 3] = [0, 0x100, 0x10c];

const UNKNOWN: u64 = 0x21 + 0x1f * 7;

fn called() -> Event {
    Event::Called("/t/Echo".to_owned())
}

async fn echoes(raw: &Raw, events: &mut support::Events, more: &[u8], expected: &[u8]) {
    let mut recv = raw.send_all(&[&frames::call("/t/Echo"), more].concat()).await;
    assert_eq!(next(events).await, called());
    assert_eq!(next(events).await, Event::Uploaded(expected.len()));
    let data: Vec<u8> = response_frames(&mut recv)
        .await
        .into_iter()
        .filter(|(kind, _)| *kind == DATA)
        .flat_map(|(_, payload)| payload)
        .collect();
    assert_eq!(data, expected);
    assert_eq!(next(events).await, Event::BodyDropped("/t/Echo".to_owned()));
}

#[tokio::test]
async fn an_empty_data_frame_is_nothing_wherever_it_stands() {
    let (server, mut events) = Server::start();
    let raw = Raw::connect(&server).await;
    let (empty, ab, cd) = (frames::data(b""), frames::data(b"ab"), frames::data(b"cd"));
    for order in [
        vec![&empty, &ab, &cd],
        vec![&ab, &empty, &cd],
        vec![&ab, &cd, &empty],
        vec![&empty, &empty, &ab, &empty, &empty, &cd, &empty],
    ] {
        let body: Vec<u8> = order.into_iter().flatten().copied().collect();
        echoes(&raw, &mut events, &body, b"abcd").await;
    }
    echoes(&raw, &mut events, &empty, b"").await;
}

#[tokio::test]
async fn unknown_frames_and_trailers_are_skipped() {
    let (server, mut events) = Server::start();
    let raw = Raw::connect(&server).await;
    let grease = frames::frame(UNKNOWN, b"grease");
    let trailers = frames::frame(HEADERS, &frames::section(&[("x", "y")]));
    let body = [
        grease.clone(),
        frames::data(b"ab"),
        frames::frame(UNKNOWN, b""),
        frames::data(b"cd"),
        trailers,
        grease,
    ]
    .concat();
    echoes(&raw, &mut events, &body, b"abcd").await;
    let before = [frames::frame(UNKNOWN, &[1; 100]), frames::call("/t/Echo"), frames::data(b"x")].concat();
    let mut recv = raw.send_all(&before).await;
    assert_eq!(response_frames(&mut recv).await[1], (DATA, b"x".to_vec()));
}

#[tokio::test]
async fn a_call_that_comes_byte_by_byte_is_whole() {
    let (server, mut events) = Server::start();
    let raw = Raw::connect(&server).await;
    let (mut send, mut recv) = raw.send(&[]).await;
    let call = [frames::call("/t/Echo"), frames::data(&[9; 70]), frames::data(b"!")].concat();
    for byte in call {
        send.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    send.finish().unwrap();
    assert_eq!(next(&mut events).await, called());
    assert_eq!(next(&mut events).await, Event::Uploaded(71));
    response_frames(&mut recv).await;
}

/// tonic takes CANCELLED for a clean end of the upload, so a cut one must be ABORTED.
#[tokio::test]
async fn an_upload_that_is_reset_is_aborted_wherever_it_is_cut() {
    let (server, mut events) = Server::start();
    let raw = Raw::connect(&server).await;
    let body = [frames::data(b"first"), frames::data(b"second")].concat();
    for length in 0..=body.len() {
        let code = CLIENT_CODES[length % CLIENT_CODES.len()];
        let (mut send, _recv) = raw.send(&[&frames::call("/t/Reader"), &body[..length]].concat()).await;
        assert_eq!(next(&mut events).await, Event::Called("/t/Reader".to_owned()));
        send.reset(code.into()).unwrap();
        let (mut failed, mut dropped) = (false, false);
        while !(failed && dropped) {
            match next(&mut events).await {
                Event::Chunk(_) => {}
                Event::UploadFailed(Code::Aborted) => failed = true,
                Event::FutureDropped(_) => dropped = true,
                other => panic!("cut after {length} bytes: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn an_upload_that_ends_inside_a_frame_is_aborted_wherever_it_is_cut() {
    let (server, mut events) = Server::start();
    let raw = Raw::connect(&server).await;
    let body = frames::data(&[5; 100]);
    for length in 1..body.len() {
        let mut recv = raw.send_all(&[&frames::call("/t/Echo"), &body[..length]].concat()).await;
        assert_eq!(next(&mut events).await, called());
        assert_eq!(next(&mut events).await, Event::UploadFailed(Code::Aborted), "after {length} bytes");
        let kinds: Vec<u64> = response_frames(&mut recv).await.into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, [HEADERS, HEADERS], "the handler may still say why");
    }
    assert!(raw.connection.close_reason().is_none(), "the other calls go on");
}

#[tokio::test]
async fn an_upload_shorter_or_longer_than_announced_is_aborted() {
    let (server, mut events) = Server::start();
    let raw = Raw::connect(&server).await;
    for (announced, failed) in [("4", false), ("5", true), ("3", true)] {
        let call = frames::call_with("/t/Echo", &[("content-length", announced)]);
        let _recv = raw.send_all(&[call, frames::data(b"abcd")].concat()).await;
        assert_eq!(next(&mut events).await, called());
        let ended = next(&mut events).await;
        let expected = if failed { Event::UploadFailed(Code::Aborted) } else { Event::Uploaded(4) };
        assert_eq!(ended, expected, "announced {announced}");
        if !failed {
            assert_eq!(next(&mut events).await, Event::BodyDropped("/t/Echo".to_owned()));
        }
    }
}

#[tokio::test]
async fn an_upload_whose_connection_is_lost_is_aborted() {
    let (server, mut events) = Server::start();
    let raw = Raw::connect(&server).await;
    let (_send, _recv) = raw.send(&[frames::call("/t/Reader"), frames::data(b"ab")].concat()).await;
    assert_eq!(next(&mut events).await, Event::Called("/t/Reader".to_owned()));
    assert_eq!(next(&mut events).await, Event::Chunk(2));
    raw.connection.close(0_u32.into(), b"");
    let mut both = [next(&mut events).await, next(&mut events).await];
    both.sort_by_key(|event| format!("{event:?}"));
    assert_eq!(both[1], Event::UploadFailed(Code::Aborted));
}

#[tokio::test]
async fn a_stream_that_ends_before_its_headers_is_incomplete() {
    let (server, _events) = Server::start();
    let raw = Raw::connect(&server).await;
    let call = frames::call("/t/Echo");
    for length in 0..call.len() {
        let mut recv = raw.send_all(&call[..length]).await;
        assert_eq!(reset_code(&mut recv).await, REQUEST_INCOMPLETE, "after {length} bytes");
    }
    assert!(raw.connection.close_reason().is_none());
}

#[tokio::test]
async fn frames_that_may_not_stand_on_a_request_stream_end_the_connection() {
    for bad in [
        frames::data(b"before headers"),
        [frames::call("/t/Echo"), frames::frame(frames::SETTINGS, b"")].concat(),
        [frames::call("/t/Echo"), frames::frame(0x07, &[0])].concat(),
        [frames::call("/t/Echo"), frames::frame(0x08, &[0])].concat(),
        [frames::call("/t/Echo"), frames::frame(HEADERS, &[0, 0]), frames::data(b"after trailers")].concat(),
    ] {
        let (server, _events) = Server::start();
        let raw = Raw::connect(&server).await;
        let _stream = raw.send(&bad).await;
        assert_eq!(raw.closed().await, FRAME_UNEXPECTED, "{bad:?}");
    }
}

#[tokio::test]
async fn trailers_that_are_too_long_are_refused() {
    let (server, mut events) = Server::start();
    let raw = Raw::connect(&server).await;
    let (_send, mut recv) = raw.send(&[frames::call("/t/Reader"), head(HEADERS, 1 << 20)].concat()).await;
    assert_eq!(next(&mut events).await, Event::Called("/t/Reader".to_owned()));
    assert_eq!(reset_code(&mut recv).await, EXCESSIVE_LOAD);
}

/// A claim is believed and waited for, not allocated.
#[tokio::test]
async fn a_data_frame_may_claim_a_gibibyte_and_costs_nothing() {
    let (server, mut events) = Server::start();
    let raw = Raw::connect(&server).await;
    let before = support::resident_kib();
    let mut streams = Vec::new();
    for _ in 0..100 {
        streams.push(raw.send(&[frames::call("/t/Reader"), head(DATA, 1 << 30), vec![1; 10]].concat()).await);
        loop {
            if next(&mut events).await == Event::Chunk(10) {
                break;
            }
        }
    }
    let grown = support::resident_kib().saturating_sub(before);
    assert!(grown < 64 * 1024, "grew by {grown} KiB");
    let (mut send, _recv) = streams.pop().unwrap();
    within("a reset", async { send.reset(0_u32.into()) }).await.unwrap();
}
