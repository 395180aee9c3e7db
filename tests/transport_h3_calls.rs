//! Calls over HTTP/3: what a client sees of answers, errors and refusals.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

#[path = "support/transport/mod.rs"]
mod support;

use bbq::transport::quic::QuicSettings;
use bytes::Buf as _;
use http::Request;
use support::client::{Client, Raw, reset_code, response_frames};
use support::frames::{self, HEADERS};
use support::probe::{Event, until};
use support::{Server, Setup, within};

const NO_ERROR: u64 = 0x100;
const INTERNAL_ERROR: u64 = 0x102;
const REQUEST_CANCELLED: u64 = 0x10c;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_comes_back_with_trailers() {
    let (server, _events) = Server::start();
    let mut client = Client::connect(&server).await;
    for size in [0, 5, 1024, 1025, 100_000, 3_000_000] {
        let answer = client.call("/t/Echo", &vec![7; size]).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers["content-type"], "application/grpc");
        assert_eq!(answer.body, vec![7; size]);
        assert_eq!(answer.trailers["grpc-status"], "0");
        assert!(answer.headers.get("alt-svc").is_none(), "HTTP/3 has nothing to announce");
    }
}

#[tokio::test]
async fn another_content_type_gets_415_and_another_method_405() {
    let (server, _events) = Server::start();
    let mut client = Client::connect(&server).await;
    let json = Request::post("https://localhost/t/Echo").header("content-type", "application/json");
    assert_eq!(client.send(json.body(()).unwrap(), b"{}").await.unwrap().status, 415);
    let none = Request::post("https://localhost/t/Echo");
    assert_eq!(client.send(none.body(()).unwrap(), b"").await.unwrap().status, 415);
    let get = Request::get("https://localhost/t/Echo").header("content-type", "application/grpc");
    assert_eq!(client.send(get.body(()).unwrap(), b"").await.unwrap().status, 405);
}

/// The places of calls that have ended are given back in lots; a connection with all but one place held never waits for a lot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_free_place_is_enough_for_any_number_of_calls() {
    for streams_max in [2, 16, 100] {
        let quic = QuicSettings { streams_max, ..QuicSettings::default() };
        let (server, _events) = Server::with(Setup { quic, ..Setup::default() });
        let raw = Raw::connect(&server).await;
        let mut held = Vec::new();
        for _ in 1..streams_max {
            held.push(raw.send(&frames::call("/t/Idle")).await);
        }
        for _ in 0..2 * streams_max {
            let mut recv = raw.send_all(&frames::call("/t/Echo")).await;
            response_frames(&mut recv).await;
        }
    }
}

/// Envoy with an HTTP/3 upstream does not understand trailers-only answers.
#[tokio::test]
async fn an_error_goes_out_as_headers_and_then_trailers() {
    let (server, _events) = Server::start();
    let mut client = Client::connect(&server).await;
    let answer = client.call("/t/Fail", b"").await;
    assert_eq!(answer.status, 200);
    for name in ["grpc-status", "grpc-message", "grpc-status-details-bin"] {
        assert!(answer.headers.get(name).is_none(), "{name} is no header");
    }
    assert_eq!(answer.trailers["grpc-status"], "5");
    assert_eq!(answer.trailers["grpc-message"], "no%20such%20queue");
    assert_eq!(answer.trailers["grpc-status-details-bin"], "d2h5");

    let raw = Raw::connect(&server).await;
    let mut recv = raw.send_all(&frames::call("/t/Fail")).await;
    let kinds: Vec<u64> = response_frames(&mut recv).await.into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [HEADERS, HEADERS]);
}

/// GREASE is legal, and some peers take it for something else at the end of a stream.
#[tokio::test]
async fn an_answer_has_frames_of_no_other_kind() {
    let (server, _events) = Server::start();
    let raw = Raw::connect(&server).await;
    let mut recv = raw.send_all(&[frames::call("/t/Echo"), frames::data(b"hi")].concat()).await;
    let kinds: Vec<u64> = response_frames(&mut recv).await.into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [HEADERS, frames::DATA, HEADERS]);
}

#[tokio::test]
async fn binary_metadata_is_accepted_with_and_without_padding() {
    let (server, _events) = Server::start();
    let mut client = Client::connect(&server).await;
    for value in ["AAECAw==", "AAECAw"] {
        let mut request = Client::request("/t/Metadata");
        request.headers_mut().insert("key-bin", value.parse().unwrap());
        let answer = client.send(request, b"").await.unwrap();
        assert_eq!(answer.headers["length"], "4", "{value}");
    }
}

#[tokio::test]
async fn the_service_learns_who_calls() {
    let (server, _events) = Server::start();
    let mut client = Client::connect(&server).await;
    let answer = client.call("/t/Peer", b"").await;
    assert_eq!(answer.headers["transport"], "h3");
    assert_eq!(answer.headers["address"], client.endpoint.local_addr().unwrap().to_string().as_str());
    assert!(answer.headers.get("subject").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_is_internal_and_the_connection_lives_on() {
    let (server, _events) = Server::start();
    let mut client = Client::connect(&server).await;
    let answer = client.call("/t/Panic", b"").await;
    assert_eq!(answer.trailers["grpc-status"], "13");
    let error = client.send(Client::request("/t/PanicBody"), b"").await.unwrap_err();
    assert!(format!("{error:?}").contains("H3_INTERNAL_ERROR"), "{error:?}");
    assert_eq!(client.call("/t/Echo", b"still here").await.body, b"still here");
}

#[tokio::test]
async fn a_panic_after_headers_resets_with_internal_error() {
    let (server, _events) = Server::start();
    let raw = Raw::connect(&server).await;
    let mut recv = raw.send_all(&frames::call("/t/PanicBody")).await;
    assert_eq!(reset_code(&mut recv).await, INTERNAL_ERROR);
}

#[tokio::test]
async fn a_body_that_fails_is_a_status_before_headers_and_a_cancel_after() {
    let (server, _events) = Server::start();
    let mut client = Client::connect(&server).await;
    let answer = client.call("/t/BreakAtOnce", b"").await;
    assert_eq!(answer.trailers["grpc-status"], "4");

    let raw = Raw::connect(&server).await;
    let mut recv = raw.send_all(&frames::call("/t/BreakBody")).await;
    assert_eq!(reset_code(&mut recv).await, REQUEST_CANCELLED);
}

/// The request side of a call that has failed is stopped too.
#[tokio::test]
async fn a_reset_answer_stops_the_upload() {
    let (server, _events) = Server::start();
    let raw = Raw::connect(&server).await;
    let (send, mut recv) = raw.send(&frames::call("/t/BreakBody")).await;
    assert_eq!(reset_code(&mut recv).await, REQUEST_CANCELLED);
    let stopped = within("STOP_SENDING", send.stopped()).await.unwrap();
    assert_eq!(stopped.map(quinn::VarInt::into_inner), Some(REQUEST_CANCELLED));
}

#[tokio::test]
async fn an_answer_before_the_upload_ended_stops_it_without_error() {
    let (server, _events) = Server::start();
    let raw = Raw::connect(&server).await;
    let (send, mut recv) = raw.send(&[frames::call("/t/Early"), frames::head(0, 1 << 20)].concat()).await;
    let kinds: Vec<u64> = response_frames(&mut recv).await.into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [HEADERS, HEADERS], "the answer is whole");
    let stopped = within("STOP_SENDING", send.stopped()).await.unwrap();
    assert_eq!(stopped.map(quinn::VarInt::into_inner), Some(NO_ERROR));
}

/// Stock clients take any STOP_SENDING for the end of the call, so an upload that is nearly through may end in peace.
#[tokio::test]
async fn an_upload_that_ends_right_after_its_answer_is_not_stopped() {
    let (server, _events) = Server::start();
    let raw = Raw::connect(&server).await;
    let (mut send, mut recv) = raw.send(&[frames::call("/t/Early"), frames::data(&[0; 1000])].concat()).await;
    response_frames(&mut recv).await;
    send.write_all(&frames::data(&[0; 1000])).await.unwrap();
    send.finish().unwrap();
    assert_eq!(within("its end", send.stopped()).await.unwrap(), None);
}

/// One that goes on and on is.
#[tokio::test]
async fn a_long_upload_is_stopped_once_it_is_answered() {
    let (server, _events) = Server::start();
    let raw = Raw::connect(&server).await;
    let (mut send, mut recv) = raw.send(&[frames::call("/t/Early"), frames::head(0, 1 << 40)].concat()).await;
    response_frames(&mut recv).await;
    let mut written = 0;
    let stopped = within("STOP_SENDING", async {
        loop {
            match send.write(&[0; 4096]).await {
                Ok(length) => written += length,
                Err(error) => return error,
            }
        }
    });
    assert_eq!(stopped.await, quinn::WriteError::Stopped(quinn::VarInt::from_u64(NO_ERROR).unwrap()));
    assert!(written < 3 << 20, "little more than the window was taken: {written}");
}

#[tokio::test]
async fn headers_leave_before_the_first_message() {
    let (server, mut events) = Server::start();
    let mut client = Client::connect(&server).await;
    let mut stream = client.sender.send_request(Client::request("/t/Idle")).await.unwrap();
    stream.finish().await.unwrap();
    let response = within("headers", stream.recv_response()).await.unwrap();
    assert_eq!(response.status(), 200);
    stream.stop_sending(h3::error::Code::H3_REQUEST_CANCELLED);
    until(&mut events, &Event::BodyDropped("/t/Idle".to_owned())).await;
}

/// A client that reads slowly holds one stream's answer back, and no other's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_blocks_only_its_own_stream() {
    let (server, _events) = Server::start();
    let raw = Raw::connect(&server).await;
    let _unread = raw.send_all(&frames::call("/t/Flood")).await;
    let mut recv = raw.send_all(&[frames::call("/t/Echo"), frames::data(b"quick")].concat()).await;
    let answer = response_frames(&mut recv).await;
    assert_eq!(answer[1], (frames::DATA, b"quick".to_vec()));
}

#[tokio::test]
async fn many_calls_at_once_are_all_answered() {
    let (server, _events) = Server::start();
    let client = Client::connect(&server).await;
    let mut calls = tokio::task::JoinSet::new();
    for index in 0..500_u32 {
        let mut sender = client.sender.clone();
        calls.spawn(async move {
            let mut stream = sender.send_request(Client::request("/t/Echo")).await.unwrap();
            let body = bytes::Bytes::from(index.to_be_bytes().to_vec());
            stream.send_data(body.clone()).await.unwrap();
            stream.finish().await.unwrap();
            stream.recv_response().await.unwrap();
            let mut echoed = Vec::new();
            while let Some(data) = stream.recv_data().await.unwrap() {
                echoed.extend_from_slice(data.chunk());
            }
            assert_eq!(echoed, body);
        });
    }
    let all = within("500 answers", calls.join_all()).await;
    assert_eq!(all.len(), 500);
    support::eventually("streams are counted down", || server.counts.open_streams() == 0).await;
}

/// h3 forgets a request only once it has decoded its headers, so one that is cut before them must not count for ever.
#[tokio::test]
async fn a_client_that_says_goodbye_is_let_go_when_its_calls_are_over() {
    let (server, mut events) = Server::start();
    let mut raw = Raw::connect(&server).await;
    let mut cut = raw.send_all(&frames::call("/t/Echo")[..10]).await;
    reset_code(&mut cut).await;
    let mut waiting = raw.send_all(&frames::call("/t/Wait")).await;
    until(&mut events, &Event::Called("/t/Wait".to_owned())).await;
    raw.control.write_all(&frames::frame(7, &[0])).await.unwrap();
    server.probe.go.add_permits(1);
    assert_eq!(response_frames(&mut waiting).await[1], (frames::DATA, b"done".to_vec()));
    assert_eq!(raw.closed().await, NO_ERROR);
}
