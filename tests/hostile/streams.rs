//! HTTP/3: streams that are opened to be cut, that nobody reads, that hardly come, or that claim more than there is.

use std::time::Duration;

use bbq_client::{Message, Transport, proto};
use proto::QueueSettings;

use crate::frames::{self, HEADERS, head};
use crate::support::{Server, within};
use crate::wire_h3::{Raw, message as message_frame};
use crate::{attack, scale};

const EXCESSIVE_LOAD: u64 = 0x107;
const REQUEST_REJECTED: u64 = 0x10b;
const REQUEST_CANCELLED: quinn::VarInt = quinn::VarInt::from_u32(0x10c);
pub const PUBLISH: &str = "/bbq.v1.QueueService/Publish";

/// The head of a Publish call that has a right to be made.
fn publish(server: &Server) -> Vec<u8> {
    let token = format!("Bearer {}", server.profile().token.unwrap());
    frames::call_with(PUBLISH, &[("authorization", &token)])
}

/// A Publish request of one message as gRPC frames it.
pub fn publish_to(queue: &str) -> Vec<u8> {
    let message = proto::Message { body: "slow".into(), ..Default::default() };
    let target = Some(proto::publish_request::Target::Queue(queue.to_owned()));
    message_frame(&proto::PublishRequest { target, messages: vec![message], ..Default::default() })
}

/// The HTTP/3 code with which the server closed a connection; none if that was lost, and all it says now is that there is no such
/// connection.
async fn closed(raw: &Raw) -> Option<u64> {
    match within("the end of the connection", raw.connection.closed()).await {
        quinn::ConnectionError::ApplicationClosed(close) => Some(close.error_code.into_inner()),
        quinn::ConnectionError::Reset => None,
        other => panic!("closed otherwise: {other:?}"),
    }
}

/// The code with which an answer was reset.
async fn reset(recv: &mut quinn::RecvStream) -> u64 {
    match within("the end of the answer", recv.read_to_end(1 << 20)).await {
        Err(quinn::ReadToEndError::Read(quinn::ReadError::Reset(code))) => code.into_inner(),
        other => panic!("not reset: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rapid_resets_over_http_3_end_in_excessive_load() {
    attack("rapid resets, HTTP/3", &[], async |server: &Server| {
        let call = publish(server);
        let mut told = 0;
        for _ in 0..4 * scale() {
            let raw = Raw::connect(server).await;
            let storm = async {
                while let Ok((mut send, mut recv)) = raw.connection.open_bi().await {
                    if send.write_all(&call).await.is_err() {
                        break;
                    }
                    let _ = send.reset(REQUEST_CANCELLED);
                    let _ = recv.stop(REQUEST_CANCELLED);
                }
            };
            within("the server has had enough", storm).await;
            let code = closed(&raw).await;
            assert!(code.is_none_or(|code| code == EXCESSIVE_LOAD), "{code:?}");
            told += usize::from(code.is_some());
        }
        assert!(told > 0, "nobody was told why");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_never_read_hold_up_nobody() {
    attack("readers that never read", &[], async |server: &Server| {
        let client = server.client_over(Transport::Http2).await;
        client.create_queue("large", QueueSettings::default()).await.unwrap();
        for _ in 0..64 {
            client.publish("large", Message::new(vec![b'x'; 1 << 20])).await.unwrap();
        }
        let mut held = Vec::new();
        for _ in 0..4 {
            let raw = Raw::connect(server).await;
            for _ in 0..16 * scale() {
                let request = proto::SubscribeRequest { queue: "large".to_owned(), ..Default::default() };
                held.push(raw.subscribe(&request).await);
            }
            held.push(raw.subscribe(&proto::SubscribeRequest::default()).await);
            // Its connection lives as long as its streams are held.
            std::mem::forget(raw);
        }
        server.until_counts("large", 0, 64).await;
        drop(held);
        server.until_counts("large", 64, 0).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_a_byte_a_second_end_their_headers_in_time_or_are_rejected() {
    let args = ["--set", "http3.header_timeout_ms=2000"];
    attack("writers of one byte a second, HTTP/3", &args, async |server: &Server| {
        server.client().await.create_queue("slow", QueueSettings::default()).await.unwrap();
        let whole = [publish(server), frames::data(&publish_to("slow"))].concat();
        let raw = Raw::connect(server).await;
        let (mut headers, mut uploads) = (Vec::new(), Vec::new());
        for n in 0..200 * scale().min(5) {
            let (mut send, recv) = within("a stream", raw.connection.open_bi()).await.unwrap();
            let sent = if n % 2 == 0 { 20 } else { whole.len() - 10 };
            send.write_all(&whole[..sent]).await.unwrap();
            if n % 2 == 0 { &mut headers } else { &mut uploads }.push((send, recv, sent));
        }
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            for (send, _, sent) in headers.iter_mut().chain(&mut uploads) {
                let _ = send.write_all(&whole[*sent..=*sent]).await;
                *sent += 1;
            }
        }
        for (_, recv, _) in &mut headers {
            assert_eq!(reset(recv).await, REQUEST_REJECTED);
        }
        let count = u64::try_from(uploads.len()).unwrap();
        for (mut send, mut recv, sent) in uploads {
            send.write_all(&whole[sent..]).await.unwrap();
            send.finish().unwrap();
            let answer = within("an answer", recv.read_to_end(1 << 16)).await.unwrap();
            assert!(!answer.is_empty(), "an upload may take its time");
        }
        server.until_counts("slow", count, 0).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_of_a_gibibyte_are_refused_by_their_length() {
    attack("1 GiB claims", &[], async |server: &Server| {
        const UNKNOWN: u64 = 0x21 + 0x1f * 3;
        let raw = Raw::connect(server).await;
        for n in 0..200 * scale() {
            let kind = if n % 2 == 0 { HEADERS } else { UNKNOWN };
            let (mut send, mut recv) = within("a stream", raw.connection.open_bi()).await.unwrap();
            send.write_all(&head(kind, 1 << 30)).await.unwrap();
            assert_eq!(reset(&mut recv).await, EXCESSIVE_LOAD);
        }
        assert!(raw.connection.close_reason().is_none(), "each costs its own call");
        let mut control = raw.connection.open_uni().await.unwrap();
        // A second control stream is an error of its own; this one is a push stream, which no client may open.
        let _ = control.write_all(&[1]).await;
        let raw = Raw::connect_quietly(server).await;
        let mut control = raw.connection.open_uni().await.unwrap();
        control
            .write_all(&[vec![0], frames::frame(frames::SETTINGS, &[]), head(UNKNOWN, 1 << 30)].concat())
            .await
            .unwrap();
        assert_eq!(closed(&raw).await, Some(EXCESSIVE_LOAD));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn header_bombs_over_http_3_are_refused() {
    attack("header bombs, HTTP/3", &[], async |server: &Server| {
        let names: Vec<String> = (0..300).map(|index| format!("f{index}")).collect();
        let many: Vec<_> = names.iter().map(|name| (name.as_str(), "0123456789012345678901234")).collect();
        let small = frames::call_with(PUBLISH, &many);
        let long = "v".repeat(1 << 20);
        let large = frames::call_with(PUBLISH, &[("long", &long)]);
        let raw = Raw::connect(server).await;
        for n in 0..100 * scale() {
            let (mut send, mut recv) = within("a stream", raw.connection.open_bi()).await.unwrap();
            // The server may stop us before we are through.
            let _ = send.write_all(if n % 2 == 0 { &small } else { &large }).await;
            assert_eq!(reset(&mut recv).await, EXCESSIVE_LOAD);
        }
    })
    .await;
}
