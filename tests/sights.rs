//! What people see: tables, facts and sentences; and what they are told beside them.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod support;

use serde_json::json;
use support::Server;

async fn server_with_queue() -> Server {
    let server = Server::start().await;
    server.run(&["queue", "create", "q"]).await.ok();
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_shows_what_is_dead_parked_or_paused_where_something_is() {
    let server = server_with_queue().await;
    let title = async || server.run(&["queue", "list"]).await.ok().lines().next().unwrap().to_owned();
    let plain = title().await;
    assert_eq!(
        plain.split_whitespace().collect::<Vec<_>>(),
        ["NAME", "READY", "DELAYED", "LEASED", "CONSUMERS", "SIZE"]
    );
    server.run(&["queue", "pause", "q"]).await.ok();
    assert!(server.run(&["queue", "list"]).await.ok().contains("paused"));
    assert!(server.run(&["queue", "watch", "--count", "1"]).await.ok().contains("paused"));
    let report = server.run(&["queue", "watch", "q", "--count", "1", "--json"]).await.json().remove(0);
    assert_eq!(report["queues"][0]["paused"], true);
    assert_eq!(server.run(&["queue", "resume", "q"]).await.ok(), "queue q is resumed\n");

    // One that waits for its dead-letter queue, and two behind one of their key.
    let create = ["queue", "create", "keyed", "--ordering", "by-key", "--dead-letter-queue", "none-yet"];
    server.run(&create).await.ok();
    for key in ["k", "k", "k", "other"] {
        server.run(&["publish", "keyed", "x", "--key", key]).await.ok();
    }
    let taken = server.run(&["receive", "keyed", "--max", "4", "--json"]).await.json();
    let receipt = |n: usize| taken[n]["receipt"].as_str().unwrap();
    server.run(&["nack", "keyed", receipt(taken.len() - 1), "--dead-letter"]).await.ok();
    let table = server.run(&["queue", "list"]).await.ok();
    assert!(table.lines().next().unwrap().contains("DEAD"), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
}

/// Ten messages of twelve look like all of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_peek_says_that_more_may_follow_and_goes_on() {
    let server = server_with_queue().await;
    server.run(&["publish", "q", "1", "22", "--count", "6"]).await.ok();
    let first = server.run(&["peek", "q"]).await;
    assert_eq!(first.stdout.lines().count(), 11, "{first:?}");
    let token = first.stderr.split_whitespace().skip_while(|&word| word != "--page-token").nth(1);
    let rest = server.run(&["peek", "q", "--json", "--page-token", token.unwrap()]).await;
    assert_eq!(rest.stderr, "");
    let sequences: Vec<_> = rest.json().iter().map(|message| message["sequence"].as_u64().unwrap()).collect();
    assert_eq!(sequences, [11, 12]);
    let ends_with = |end: &str| first.stdout.lines().any(|line| line.ends_with(end));
    assert!(ends_with("Z  1") && ends_with("Z  22"), "texts stand to the left: {first:?}");
    assert!(!first.stdout.contains("PRIORITY") && !first.stdout.contains("KEY"), "{first:?}");
    server.run(&["publish", "q", "urgent", "--priority", "7"]).await.ok();
    let table = server.run(&["peek", "q", "--count", "20"]).await.ok();
    assert!(table.lines().next().unwrap().contains("PRIORITY") && !table.contains("KEY"), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_shown_from_its_name_on_as_it_is_set() {
    let server = Server::start().await;
    let create = ["queue", "create", "q", "--retry-initial", "1s", "--max-bytes", "1MiB", "--paused"];
    server.run(&create).await.ok();
    let text = server.run(&["queue", "show", "q"]).await.ok();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "name                    q");
    assert_eq!(lines[1], "paused                  true");
    assert!(
        lines.contains(&"retry_initial           1s") && lines.contains(&"max_bytes               1048576"),
        "{text}"
    );
    assert!(!text.contains('{'), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_listed_by_how_their_names_begin() {
    let server = Server::start().await;
    for name in ["team/a", "b"] {
        server.run(&["topic", "create", name]).await.ok();
    }
    let listed = server.run(&["topic", "list", "team/", "--json"]).await.json();
    assert_eq!(listed, [json!({"topic": "team/a"})]);
    assert_eq!(server.run(&["topic", "list", "--json"]).await.json().len(), 2);
    let none = server.run(&["topic", "list", "x"]).await;
    assert_eq!(none.stderr, "no topic has a name that begins with x\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_message_is_not_messages() {
    let server = Server::start().await;
    server.run(&["queue", "create", "q", "--max-messages", "1"]).await.ok();
    server.run(&["publish", "q", "x"]).await.ok();
    let full = server.run(&["publish", "q", "x"]).await.refused();
    assert!(full.contains("it holds 1 message, 1 message came"), "{full}");
    let refused = server.cli(&["publish", "q", "--lines", "-"]).stdin("a\n").run().await.refused();
    assert!(refused.contains("0 messages were published before it"), "{refused}");
    assert_eq!(server.run(&["queue", "purge", "q"]).await.ok(), "1 message removed from q\n");
}
