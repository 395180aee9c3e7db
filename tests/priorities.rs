//! Priorities, end to end: what is urgent goes first, also after a kill.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod support;

use bbq_client::Message;
use serde_json::json;
use support::Server;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_urgent_goes_first_also_after_a_kill() {
    let mut server = Server::start().await;
    server.run(&["queue", "create", "q"]).await.ok();
    server.run(&["publish", "q", "a", "b"]).await.ok();
    server.run(&["publish", "q", "c", "d", "--priority", "9"]).await.ok();
    server.run(&["publish", "q", "e", "--priority", "4"]).await.ok();
    let held = server.run(&["receive", "q", "--json"]).await.json().remove(0);
    assert_eq!(held["sequence"], 3);
    server.kill().await;
    let server = server.restart().await;
    server.run(&["publish", "q", "f", "--priority", "4"]).await.ok();
    let shown = server.run(&["queue", "show", "q", "--json"]).await.json().remove(0);
    assert_eq!((&shown["ready"], &shown["leased"]), (&json!(5), &json!(1)));
    assert_eq!(server.run(&["subscribe", "q", "--count", "5"]).await.ok(), "d\ne\nf\na\nb\n");
    server.run(&["ack", "q", held["receipt"].as_str().unwrap()]).await.ok();
    let shown = server.run(&["queue", "show", "q", "--json"]).await.json().remove(0);
    assert_eq!((&shown["ready"], &shown["leased"], &shown["bytes"]), (&json!(0), &json!(0), &json!(0)));
    let client = server.client().await;
    let why = client.publish("q", Message::new("x").priority(10)).await.unwrap_err().to_string();
    assert!(why.contains("priority") && why.contains("0 to 9"), "{why}");
}
