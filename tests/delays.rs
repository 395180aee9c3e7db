//! Messages that are published with a delay, end to end.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod support;

use std::time::Duration;

use bbq_client::proto::{self, publish_request::Target};
use serde_json::Value;
use support::raw::{Raw, refusal};
use support::{Server, within};
use tonic::Code;

fn message(body: &'static str, seconds: i64) -> proto::Message {
    let delay = (seconds > 0).then_some(prost_types::Duration { seconds, nanos: 0 });
    proto::Message { body: bytes::Bytes::from_static(body.as_bytes()), delay, ..Default::default() }
}

fn request(target: Target, messages: Vec<proto::Message>) -> proto::PublishRequest {
    proto::PublishRequest { target: Some(target), messages, ..Default::default() }
}

fn queue(name: &str) -> Target {
    Target::Queue(name.to_owned())
}

/// What is in a queue: ready, delayed.
async fn counts(server: &Server, queue: &str) -> (Value, Value) {
    let shown = server.run(&["queue", "show", queue, "--json"]).await.json().remove(0);
    (shown["ready"].clone(), shown["delayed"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delayed_message_waits_for_its_time_also_across_a_kill() {
    let mut server = Server::start().await;
    server.run(&["queue", "create", "q"]).await.ok();
    server.run(&["publish", "q", "late", "--delay", "1h", "--priority", "3"]).await.ok();
    server.run(&["publish", "q", "now"]).await.ok();
    assert_eq!(server.run(&["subscribe", "q", "--count", "1"]).await.ok(), "now\n");
    let published = tokio::time::Instant::now();
    server.run(&["publish", "q", "soon", "--delay", "1500ms"]).await.ok();
    server.kill().await;
    let mut server = server.restart().await;
    let soon = within("the delay", server.run(&["subscribe", "q", "--count", "1", "--json"])).await;
    let soon = soon.json().remove(0);
    assert_eq!((&soon["body"], &soon["attempt"]), (&"soon".into(), &1.into()));
    assert!(published.elapsed() >= Duration::from_millis(1500), "{soon}");
    let age = |field: &str| soon[field].as_str().unwrap().to_owned();
    assert!(age("published_at") < age("lease_expires_at"), "{soon}");
    // What waits is on disk only after this.
    assert!(server.stop().await.success());
    let server = server.restart().await;
    assert_eq!(counts(&server, "q").await, (0.into(), 1.into()));
    let late = server.run(&["peek", "q", "--state", "delayed", "--json"]).await.json().remove(0);
    assert_eq!((&late["body"], &late["attempts"]), (&"late".into(), &0.into()));
    let client = server.client().await;
    let none = client.receive("q", 1, Duration::ZERO, None).await.unwrap();
    assert!(none.is_empty(), "an hour has not passed");
    server.run(&["queue", "purge", "q"]).await.ok();
    assert_eq!(counts(&server, "q").await, (0.into(), 0.into()));
}

/// Its time comes while somebody waits, and it is delivered without anything else that would wake the server.
#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_consumer_gets_a_delayed_message_at_its_time() {
    let server = Server::start().await;
    server.run(&["queue", "create", "q"]).await.ok();
    let client = server.client().await;
    let begun = tokio::time::Instant::now();
    let delayed = bbq_client::Message::new("a").delay(Duration::from_millis(700));
    client.publish("q", delayed).await.unwrap();
    let got = client.receive("q", 1, Duration::from_secs(30), None).await.unwrap();
    assert_eq!(got[0].message().body, "a");
    assert!(begun.elapsed() >= Duration::from_millis(600), "it came after {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delay_is_refused_where_messages_keep_their_order() {
    let server = Server::start().await;
    server.run(&["queue", "create", "line", "--ordering", "fifo"]).await.ok();
    server.run(&["queue", "create", "any"]).await.ok();
    server.run(&["topic", "create", "t"]).await.ok();
    for queue in ["line", "any"] {
        server.run(&["topic", "bind", "t", queue]).await.ok();
    }
    let mut raw = Raw::connect(&server).await;
    let messages = || vec![message("a", 0), message("b", 5)];
    let topic = || Target::Topic("t".to_owned());
    let transact = proto::TransactRequest {
        publishes: vec![request(queue("any"), messages()), request(queue("line"), messages())],
        ..Default::default()
    };
    for (code, reason, _, text) in [
        refusal(raw.queues.publish(request(queue("line"), messages())).await),
        refusal(raw.queues.publish(request(topic(), messages())).await),
        refusal(raw.queues.transact(transact).await),
    ] {
        assert_eq!((code, reason.as_str()), (Code::InvalidArgument, "DELAY_IN_ORDER"));
        assert!(text.contains("queue line") && text.contains("UNORDERED"), "{text}");
    }
    assert_eq!(counts(&server, "any").await, (0.into(), 0.into()), "all or nothing");
    raw.queues.publish(request(topic(), vec![message("c", 0)])).await.unwrap();
    raw.queues.publish(request(queue("any"), messages())).await.unwrap();
    assert_eq!(counts(&server, "any").await, (2.into(), 1.into()));
}

/// What waits costs memory, so there is a bound; what is settled gives its place back.
#[tokio::test(flavor = "multi_thread")]
async fn there_are_no_more_delayed_messages_than_there_may_be() {
    let mut server = Server::start_with(&["--set", "broker.delayed_messages_max=3"]).await;
    server.run(&["queue", "create", "q"]).await.ok();
    server.run(&["queue", "create", "p"]).await.ok();
    server.run(&["topic", "create", "t"]).await.ok();
    server.run(&["topic", "bind", "t", "p"]).await.ok();
    let mut raw = Raw::connect(&server).await;
    raw.queues.publish(request(queue("q"), vec![message("a", 1), message("b", 3600)])).await.unwrap();
    let two = || vec![message("c", 60), message("d", 60), message("e", 0)];
    let topic = Target::Topic("t".to_owned());
    for outcome in [
        raw.queues.publish(request(queue("p"), two())).await,
        raw.queues.publish(request(topic, two())).await,
    ] {
        let (code, reason, _, text) = refusal(outcome);
        assert_eq!((code, reason.as_str()), (Code::ResourceExhausted, "TOO_MANY_DELAYED_MESSAGES"));
        assert!(text.contains("hold 2 messages") && text.contains("broker.delayed_messages_max"), "{text}");
    }
    assert_eq!(counts(&server, "p").await, (0.into(), 0.into()));
    assert_eq!(server.run(&["subscribe", "q", "--count", "1"]).await.ok(), "a\n");
    raw.queues.publish(request(queue("p"), two())).await.unwrap();
    server.run(&["publish", "p", "f", "--delay", "1m"]).await.refused();
    server.kill().await;
    let server = server.restart().await;
    server.run(&["publish", "p", "f", "--delay", "1m"]).await.refused();
    server.run(&["queue", "purge", "p"]).await.ok();
    server.run(&["publish", "p", "f", "--delay", "1m"]).await.ok();
}
