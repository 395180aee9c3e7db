//! Retries and dead letters, end to end: delays, attempts, the dead-letter queue and the way back.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod support;

use std::time::Duration;

use bbq_client::{Client, Nack, proto};
use serde_json::json;
use support::raw::{Raw, refusal};
use support::{Server, eventually, within};
use tonic::Code;

/// A queue that gives up after two attempts, and the queue that takes what it gave up.
async fn server() -> Server {
    let server = Server::start().await;
    server.run(&["queue", "create", "dead"]).await.ok();
    let create = ["queue", "create", "jobs", "--max-attempts", "2", "--dead-letter-queue", "dead"];
    server.run(&create).await.ok();
    server
}

async fn depth(client: &Client, queue: &str) -> proto::QueueStats {
    client.get_queue(queue).await.unwrap().stats.unwrap()
}

/// Leases all that is ready and nacks it.
async fn nack_all(client: &Client, queue: &str, how: &Nack) -> usize {
    let held = within("receiving", client.receive(queue, 1000, Duration::ZERO, None)).await.unwrap();
    let receipts: Vec<_> = held.iter().map(|delivery| delivery.receipt().to_owned()).collect();
    if !receipts.is_empty() {
        assert_eq!(client.nack(queue, &receipts, how).await.unwrap(), []);
    }
    receipts.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_too_often_is_dead_lettered_and_redriven() {
    let server = server().await;
    let client = server.client().await;
    server.run(&["publish", "jobs", "--attr", "kind=a", "one", "two"]).await.ok();
    assert_eq!(nack_all(&client, "jobs", &Nack::new()).await, 2);
    assert_eq!(nack_all(&client, "jobs", &Nack::new()).await, 2);
    assert_eq!((depth(&client, "jobs").await.ready, depth(&client, "jobs").await.dead), (0, 0));
    let letters = server.run(&["peek", "dead", "--json"]).await.json();
    assert_eq!(letters.len(), 2);
    assert_eq!(
        letters[1]["attributes"],
        json!({
            "kind": "a", "bbq-dead-letter-queue": "jobs", "bbq-dead-letter-reason": "max_attempts",
            "bbq-dead-letter-attempts": "2", "bbq-dead-letter-sequence": "2",
        })
    );
    assert_eq!(letters[1]["body"], "two");
    let moved = server.run(&["redrive", "dead", "--count", "1", "--json"]).await.json();
    assert_eq!(moved, [json!({"queue": "dead", "moved": 1})]);
    assert_eq!((depth(&client, "dead").await.ready, depth(&client, "jobs").await.ready), (1, 1));
    let back = server.run(&["peek", "jobs", "--json"]).await.json().remove(0);
    assert_eq!((&back["body"], &back["attributes"]), (&json!("one"), &json!({"kind": "a"})));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_gives_up_with_a_reason_also_after_a_restart() {
    let mut server = server().await;
    server.run(&["publish", "jobs", "a", "b", "c"]).await.ok();
    // Bodies are on disk after this.
    assert!(server.stop().await.success());
    let server = server.restart().await;
    let client = server.client().await;
    let poison = Nack::dead_letter("poison");
    while depth(&client, "jobs").await.ready > 0 {
        nack_all(&client, "jobs", &poison).await;
    }
    let letters = server.run(&["subscribe", "dead", "--count", "3", "--json"]).await.json();
    let reasons = letters.iter().map(|letter| &letter["attributes"]["bbq-dead-letter-reason"]);
    assert!(reasons.eq([&json!("poison"), &json!("poison"), &json!("poison")]), "{letters:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_death_and_burial_loses_nothing() {
    let mut server = Server::start().await;
    let create = ["queue", "create", "jobs", "--max-attempts", "1", "--dead-letter-queue", "dead"];
    server.run(&create).await.ok();
    server.run(&["publish", "jobs", "a", "b"]).await.ok();
    let client = server.client().await;
    assert_eq!(nack_all(&client, "jobs", &Nack::new()).await, 2);
    assert_eq!(depth(&client, "jobs").await.dead, 2, "they wait for the queue");
    let states = server.run(&["peek", "jobs", "--state", "dead", "--json"]).await.json();
    assert_eq!(states.len(), 2);
    server.kill().await;
    let server = server.restart().await;
    server.run(&["queue", "create", "dead"]).await.ok();
    assert_eq!(server.run(&["subscribe", "dead", "--count", "2"]).await.ok(), "a\nb\n");
    let client = server.client().await;
    assert_eq!(depth(&client, "jobs").await.dead, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nacked_message_waits_for_its_time() {
    let server = Server::start().await;
    let create = ["queue", "create", "jobs", "--retry-initial", "1h", "--retry-multiplier", "2", "--json"];
    let made = server.run(&create).await.json().remove(0);
    let backoff = json!({"initial": "1h", "multiplier": 2.0, "max": "12h"});
    assert_eq!(made["settings"]["retry_backoff"], backoff);
    server.run(&["publish", "jobs", "a", "b"]).await.ok();
    let client = server.client().await;
    let held = client.receive("jobs", 2, Duration::ZERO, None).await.unwrap();
    let receipt = |at: usize| [held[at].receipt().to_owned()];
    client.nack("jobs", &receipt(0), &Nack::new()).await.unwrap();
    client.nack("jobs", &receipt(1), &Nack::after(Duration::from_millis(1))).await.unwrap();
    let again = server.run(&["subscribe", "jobs", "--count", "1", "--json"]).await.json().remove(0);
    assert_eq!((&again["body"], &again["attempt"]), (&json!("b"), &json!(2)));
    let stats = depth(&client, "jobs").await;
    assert_eq!((stats.ready, stats.delayed, stats.leased), (0, 1, 0));
    let delayed = server.run(&["peek", "jobs", "--state", "delayed", "--json"]).await.json();
    assert_eq!(delayed[0]["body"], "a");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letter_queues_that_make_no_sense_are_refused() {
    let server = server().await;
    let why = server.run(&["queue", "update", "dead", "--dead-letter-queue", "jobs"]).await.refused();
    assert!(why.contains("dead -> jobs -> dead"), "{why}");
    let why = server.run(&["queue", "delete", "dead"]).await.refused();
    assert!(why.contains("jobs") && why.contains("bbq queue update"), "{why}");
    let mut raw = Raw::connect(&server).await;
    let delete = proto::DeleteQueueRequest { name: "dead".to_owned() };
    let (code, reason, ..) = refusal(raw.admin.delete_queue(delete).await);
    assert_eq!((code, reason.as_str()), (Code::FailedPrecondition, "QUEUE_IN_USE"));
    server.run(&["queue", "update", "jobs", "--dead-letter-queue", ""]).await.ok();
    server.run(&["queue", "delete", "dead"]).await.ok();
}

/// What waits for a dead-letter queue would wait for ever if there were none any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_whose_dead_wait_keeps_its_dead_letter_queue() {
    let server = server().await;
    server
        .run(&["queue", "create", "early", "--max-attempts", "1", "--dead-letter-queue", "later"])
        .await
        .ok();
    let client = server.client().await;
    client.publish("early", "a").await.unwrap();
    assert_eq!(nack_all(&client, "early", &Nack::new()).await, 1);
    let without = ["queue", "update", "early", "--dead-letter-queue", ""];
    let why = server.run(&without).await.refused();
    assert!(why.contains("1 in the state dead") && why.contains("bbq queue create later"), "{why}");
    server.run(&["queue", "update", "early", "--max-attempts", "2"]).await.ok();
    server.run(&["queue", "create", "later"]).await.ok();
    eventually("the move", async || (depth(&client, "later").await.ready == 1).then_some(())).await;
    server.run(&without).await.ok();
}

/// A redrive goes by the limits of where it moves to, and says how far it came.
#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_ends_where_there_is_no_room() {
    let server = server().await;
    let client = server.client().await;
    client.publish_all("jobs", ["a", "b", "c"].map(Into::into).into()).await.unwrap();
    assert_eq!(nack_all(&client, "jobs", &Nack::dead_letter("")).await, 3);
    server.run(&["queue", "update", "jobs", "--max-messages", "2"]).await.ok();
    let redrive = ["redrive", "dead"];
    let why = server.run(&redrive).await.refused();
    let says = "2 messages were moved: queue jobs is full: it holds 2 messages, 1 message came";
    assert!(why.contains(says), "{why}");
    assert_eq!((depth(&client, "dead").await.ready, depth(&client, "jobs").await.ready), (1, 2));
    assert_eq!(server.run(&["subscribe", "jobs", "--count", "1"]).await.ok(), "a\n");
    server.run(&redrive).await.ok();
    assert_eq!(server.run(&["subscribe", "jobs", "--count", "2"]).await.ok(), "b\nc\n");
    // By bytes, and where not even one fits.
    server.run(&["queue", "create", "tight", "--max-bytes", "10"]).await.ok();
    server.run(&["publish", "dead", &"x".repeat(20)]).await.ok();
    let why = server.run(&["redrive", "dead", "--target", "tight"]).await.refused();
    assert!(why.contains("never fit into 10 bytes"), "{why}");
    assert_eq!((depth(&client, "dead").await.ready, depth(&client, "tight").await.ready), (1, 0));
    // One that drops its oldest takes everything.
    server.run(&["queue", "update", "tight", "--overflow", "drop-oldest"]).await.ok();
    server.run(&["redrive", "dead", "--target", "tight"]).await.ok();
    assert_eq!((depth(&client, "dead").await.ready, depth(&client, "tight").await.ready), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_takes_what_came_from_one_queue_and_leaves_the_rest() {
    let server = server().await;
    server.run(&["queue", "create", "other", "--dead-letter-queue", "dead"]).await.ok();
    let client = server.client().await;
    for n in 0..300 {
        let queue = if n % 2 == 0 { "jobs" } else { "other" };
        client.publish(queue, n.to_string()).await.unwrap();
        nack_all(&client, queue, &Nack::dead_letter("")).await;
    }
    server.run(&["publish", "dead", "own"]).await.ok();
    let redriven = server.run(&["redrive", "dead", "--source", "other", "--json"]).await;
    assert!(redriven.stderr.contains("150 from jobs, and --source is other"), "{redriven:?}");
    assert_eq!(redriven.json(), [json!({"queue": "dead", "moved": 150, "left": 151})]);
    assert_eq!((depth(&client, "dead").await.ready, depth(&client, "other").await.ready), (151, 150));
    let moved = server.run(&["redrive", "dead", "--target", "other", "--json"]).await.json();
    assert_eq!(moved[0]["moved"], 151, "with a target, what came from nowhere goes too");
    assert_eq!(depth(&client, "other").await.ready, 301);
}

/// Nothing moved is a puzzle without the reason.
#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_says_why_messages_stay() {
    let server = server().await;
    let client = server.client().await;
    server.run(&["publish", "dead", "held"]).await.ok();
    let hour = Some(Duration::from_secs(3600));
    let held = within("one", client.receive("dead", 1, Duration::ZERO, hour)).await.unwrap();
    assert_eq!(held.len(), 1);
    client.publish("jobs", "from one that goes").await.unwrap();
    nack_all(&client, "jobs", &Nack::dead_letter("")).await;
    server.run(&["queue", "delete", "jobs"]).await.ok();
    server.run(&["publish", "dead", "own", "own too"]).await.ok();
    let output = server.run(&["redrive", "dead"]).await;
    let expected = "\
4 messages were left there:
  1 leased or delayed; redrive again when they are ready
  2 published there directly; --target QUEUE moves them
  1 from jobs, which is gone; --target QUEUE moves them elsewhere, or create it again
";
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), expected));
    assert_eq!(output.stdout, "0 messages moved out of dead\n");
    drop(held);
}

/// All of a dead-letter queue is looked at, however much of it stays, and others are served meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_finds_the_one_behind_many_that_stay() {
    const STAYING: u64 = 110_000;
    let server = server().await;
    server.run(&["queue", "create", "other"]).await.ok();
    let client = server.client().await;
    for _ in 0..STAYING / 10_000 {
        client.publish_all("dead", vec!["own".into(); 10_000]).await.unwrap();
    }
    assert_eq!(redrive(&client, "nothing", async || {}).await, 0);
    client.publish("jobs", "failed").await.unwrap();
    assert_eq!(nack_all(&client, "jobs", &Nack::dead_letter("")).await, 1);

    let mut others = 0;
    let moved = redrive(&client, "jobs", async || {
        others += 1;
        if others % 100 == 1 {
            client.publish("other", "meanwhile").await.unwrap();
        }
    });
    assert_eq!(moved.await, 1);
    assert!(others > 2 * STAYING / 256, "{others} steps are too few to let others in between");
    assert_eq!((depth(&client, "dead").await.ready, depth(&client, "jobs").await.ready), (STAYING, 1));
    // What was stepped over is in its place.
    let mut first = Vec::new();
    while first.len() < 1000 {
        // Fewer, where the rest has to be read from disk first.
        let more =
            within("receiving", client.receive("dead", 1000, Duration::from_secs(1), None)).await.unwrap();
        first.extend(more.iter().map(bbq_client::Delivery::sequence));
    }
    assert!(first.iter().copied().eq(1..=u64::try_from(first.len()).unwrap()), "{first:?}");
}

/// Redrives what came from one queue; says how much that was.
async fn redrive(client: &Client, source: &str, mut meanwhile: impl AsyncFnMut()) -> u64 {
    let request = proto::RedriveMessagesRequest {
        queue: "dead".to_owned(),
        source_queue: source.to_owned(),
        ..proto::RedriveMessagesRequest::default()
    };
    let mut answers = client.redrive(request).await.unwrap();
    let mut moved = 0;
    while let Some(progress) = within("progress", answers.next()).await.unwrap() {
        moved = progress.moved;
        meanwhile().await;
    }
    moved
}
