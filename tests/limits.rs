//! What a queue may hold and what it remembers, end to end: limits with both kinds of overflow, and deduplication.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod support;

use serde_json::json;
use support::Server;
use support::raw::{Raw, refusal};
use tonic::Code;

use bbq_client::proto::{self, publish_request::Target};

fn request(bodies: &[&'static str], id: &str) -> proto::PublishRequest {
    let message = |body: &&'static str| proto::Message {
        body: bytes::Bytes::from_static(body.as_bytes()),
        deduplication_id: id.to_owned(),
        ..Default::default()
    };
    proto::PublishRequest {
        target: Some(Target::Queue("q".to_owned())),
        messages: bodies.iter().map(message).collect(),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_a_publish_and_names_the_way_out() {
    let server = Server::start().await;
    let create = ["queue", "create", "q", "--max-messages", "2", "--json"];
    let made = server.run(&create).await.json().remove(0);
    assert_eq!(
        (&made["settings"]["max_messages"], &made["settings"]["overflow"]),
        (&json!(2), &json!("reject"))
    );
    let mut raw = Raw::connect(&server).await;
    raw.queues.publish(request(&["a"], "")).await.unwrap();
    let (code, reason, _, message) = refusal(raw.queues.publish(request(&["b", "c"], "")).await);
    assert_eq!((code, reason.as_str()), (Code::ResourceExhausted, "QUEUE_FULL"));
    assert!(message.contains("max_messages") && message.contains("DROP_OLDEST"), "{message}");
    let never = refusal(raw.queues.publish(request(&["b", "c", "d"], "")).await).3;
    assert!(never.contains("3 messages at once never fit into 2 messages (max_messages)"), "{never}");
    raw.queues.publish(request(&["b"], "")).await.unwrap();
    assert_eq!(server.run(&["subscribe", "q", "--count", "2"]).await.ok(), "a\nb\n");
    raw.queues.publish(request(&["c"], "")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_are_dropped_also_after_a_restart() {
    let mut server = Server::start().await;
    server.run(&["queue", "create", "q", "--max-messages", "3", "--overflow", "drop-oldest"]).await.ok();
    let never = server.run(&["publish", "q", "a", "b", "c", "d"]).await.refused();
    assert!(!never.contains("DROP_OLDEST") && never.contains("raise the limit"), "{never}");
    server.run(&["publish", "q", "a", "b", "c"]).await.ok();
    server.run(&["publish", "q", "d"]).await.ok();
    server.kill().await;
    let server = server.restart().await;
    server.run(&["publish", "q", "e"]).await.ok();
    let shown = server.run(&["queue", "show", "q", "--json"]).await.json().remove(0);
    assert_eq!(shown["ready"], 3);
    assert_eq!(server.run(&["subscribe", "q", "--count", "3"]).await.ok(), "c\nd\ne\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_twice_is_stored_once_also_after_a_kill() {
    let mut server = Server::start().await;
    let create = ["queue", "create", "q", "--deduplication-window", "1h", "--json"];
    let made = server.run(&create).await.json().remove(0);
    assert_eq!(made["settings"]["deduplication_window"], "1h");
    let mut raw = Raw::connect(&server).await;
    let results = raw.queues.publish(request(&["a", "b"], "x")).await.unwrap().into_inner().results;
    let seen: Vec<_> = results.iter().map(|result| (result.sequence, result.duplicate)).collect();
    assert_eq!(seen, [(1, false), (1, true)], "within one request");
    server.kill().await;
    let server = server.restart().await;
    let publish = ["publish", "q", "c", "--dedup-id", "x", "--json"];
    let again = server.run(&publish).await.json().remove(0);
    assert_eq!(again, json!({"queue": "q", "sequence": 1, "duplicate": true}));
    assert_eq!(server.run(&["subscribe", "q", "--count", "1"]).await.ok(), "a\n");
    assert_eq!(server.run(&publish).await.json()[0]["duplicate"], true, "acked or not");
    server.run(&["queue", "create", "plain"]).await.ok();
    let why = server.run(&["publish", "plain", "c", "--dedup-id", "x"]).await.refused();
    assert!(why.contains("deduplication_window"), "{why}");
}
