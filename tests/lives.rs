//! Times to live, end to end: of a queue's messages all, and of a message its own.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::Server;
use support::waiting::eventually;

async fn shown(server: &Server, queue: &str) -> Value {
    server.run(&["queue", "show", queue, "--json"]).await.json().remove(0)
}

/// Waits until nothing is left in a queue.
async fn until_empty(server: &Server, queue: &str) {
    let what = format!("{queue} to be empty");
    eventually(&what, async || (shown(server, queue).await["ready"] == 0).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_gets_in_time_is_dead_lettered_with_the_reason() {
    let server = Server::start().await;
    server.run(&["queue", "create", "dead"]).await.ok();
    let create = ["queue", "create", "jobs", "--time-to-live", "1h", "--dead-letter-queue", "dead", "--json"];
    let made = server.run(&create).await.json().remove(0);
    assert_eq!(made["settings"]["time_to_live"], "1h");
    server.run(&["publish", "jobs", "short", "--ttl", "50ms", "--attr", "kind=a"]).await.ok();
    server.run(&["publish", "jobs", "long"]).await.ok();
    let letter = server.run(&["subscribe", "dead", "--count", "1", "--json"]).await.json().remove(0);
    assert_eq!(letter["body"], "short");
    assert_eq!(
        letter["attributes"],
        json!({
            "kind": "a", "bbq-dead-letter-queue": "jobs", "bbq-dead-letter-reason": "time_to_live",
            "bbq-dead-letter-attempts": "0", "bbq-dead-letter-sequence": "1",
        })
    );
    assert_eq!(server.run(&["subscribe", "jobs", "--count", "1"]).await.ok(), "long\n");
    let (_, metrics) = server.get("/metrics").await;
    assert!(metrics.lines().any(|line| line == "bbq_messages_expired_total 1"), "{metrics}");
}

/// A queue in use gets a time to live, which counts for what is there, and loses it again.
#[tokio::test(flavor = "multi_thread")]
async fn a_time_to_live_may_come_and_go_while_a_queue_is_in_use() {
    let server = Server::start().await;
    server.run(&["queue", "create", "q"]).await.ok();
    server.run(&["publish", "q", "a", "b"]).await.ok();
    server.run(&["queue", "update", "q", "--time-to-live", "10ms"]).await.ok();
    until_empty(&server, "q").await;
    server.run(&["queue", "update", "q", "--time-to-live", "0s"]).await.ok();
    assert_eq!(shown(&server, "q").await["settings"]["time_to_live"], Value::Null);
    server.run(&["publish", "q", "c"]).await.ok();
    assert_eq!(server.run(&["subscribe", "q", "--count", "1"]).await.ok(), "c\n");
}

/// Time goes on while the server is down, whether it was stopped, and bodies are on disk only, or killed.
#[tokio::test(flavor = "multi_thread")]
async fn time_goes_on_while_the_server_is_down() {
    let mut server = Server::start().await;
    server.run(&["queue", "create", "q"]).await.ok();
    server.run(&["queue", "create", "line", "--ordering", "fifo"]).await.ok();
    for queue in ["q", "line"] {
        server.run(&["publish", queue, "first", "--ttl", "1s"]).await.ok();
        server.run(&["publish", queue, "second", "--ttl", "1s"]).await.ok();
        server.run(&["publish", queue, "last", "--ttl", "1h"]).await.ok();
    }
    server.kill().await;
    let mut server = server.restart().await;
    server.run(&["publish", "q", "third", "--ttl", "1s"]).await.ok();
    assert!(server.stop().await.success());
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let server = server.restart().await;
    for queue in ["q", "line"] {
        assert_eq!(server.run(&["subscribe", queue, "--count", "1"]).await.ok(), "last\n");
        until_empty(&server, queue).await;
    }
}
