//! Order and turns, end to end: FIFO under consumers that die, a single active consumer, a pause, settings in use.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bbq_client::{Client, Delivery, Nack, Subscription};
use serde_json::json;
use support::{Server, eventually, within};
use tokio::sync::Mutex;

const QUEUE: &str = "q";

async fn subscribe(client: &Client, in_flight: u32) -> Subscription {
    let builder = client.subscribe(QUEUE).max_in_flight(in_flight).auto_extend(false);
    within("subscribing", builder.start()).await.unwrap()
}

async fn next(from: &mut Subscription) -> Delivery {
    within("a delivery", from.next()).await.unwrap().unwrap()
}

fn number(delivery: &Delivery) -> usize {
    std::str::from_utf8(delivery.body()).unwrap().parse().unwrap()
}

/// What was acked, and the latest error of what was not.
#[derive(Default)]
struct Acks {
    counted: Vec<usize>,
    failed: BTreeMap<usize, String>,
}

/// What counts is what was acked: in order, each once, whoever died in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifo_holds_while_consumers_die_and_the_server_is_killed() {
    const MESSAGES: usize = 300;
    const ROUNDS_MAX: usize = 500;
    let mut server = Server::start().await;
    server.run(&["queue", "create", QUEUE, "--ordering", "fifo"]).await.ok();
    let client = server.client().await;
    client.publish_all(QUEUE, (0..MESSAGES).map(|n| n.to_string().into()).collect()).await.unwrap();
    let acks = Arc::new(Mutex::new(Acks::default()));
    for round in 0..=ROUNDS_MAX {
        let stats = server.client().await.get_queue(QUEUE).await.unwrap().stats.unwrap();
        if stats.ready + stats.leased == 0 {
            break;
        }
        assert!(round < ROUNDS_MAX, "{stats:?} are left");
        let clients = [server.client().await, server.client().await, server.client().await];
        let workers = clients.map(|client| tokio::spawn(work(client, round, Arc::clone(&acks))));
        for worker in workers {
            within("a round", worker).await.unwrap();
        }
        if round % 4 == 3 {
            server.kill().await;
            server = server.restart().await;
        }
    }
    let Acks { counted, failed } = &*acks.lock().await;
    println!("without an ack that is known to count: {failed:?}");
    assert!(counted.is_sorted_by(|earlier, later| earlier < later), "{counted:?}");
    let lost: Vec<_> = (0..MESSAGES).filter(|n| !counted.contains(n) && !failed.contains_key(n)).collect();
    assert!(lost.is_empty(), "{lost:?} are gone, and nobody acked them");
    assert!(counted.len() > MESSAGES * 9 / 10, "only {} acks counted", counted.len());
}

/// Takes some messages one after the other, acks most of them, and goes away with the rest.
async fn work(client: Client, round: usize, acks: Arc<Mutex<Acks>>) {
    let mut subscription = subscribe(&client, 7).await;
    for step in 0..30 {
        let Ok(delivery) = tokio::time::timeout(Duration::from_millis(300), subscription.next()).await else {
            return;
        };
        let delivery = delivery.unwrap().unwrap();
        if (step + round) % 11 == 5 {
            // Some fail: they come again before all that follow them.
            let _ = delivery.nack_with(Nack::new()).await;
            continue;
        }
        let n = number(&delivery);
        // One ack at a time, so that they are noted in the order in which they counted.
        let mut acks = acks.lock().await;
        match within("an ack", delivery.ack()).await {
            Ok(()) => {
                acks.failed.remove(&n);
                // An ack of what somebody else has acked meanwhile is no error: the message is gone, as it should be.
                if !acks.counted.contains(&n) {
                    acks.counted.push(n);
                }
            }
            // Mostly a nack of what is before it has taken it back. If the answer got lost, it counted.
            Err(error) => _ = acks.failed.insert(n, error.to_string()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nack_takes_back_what_was_delivered_after_it() {
    let server = Server::start().await;
    server.run(&["queue", "create", QUEUE, "--ordering", "fifo"]).await.ok();
    server.run(&["publish", QUEUE, "0", "1", "2"]).await.ok();
    let client = server.client().await;
    let mut stream = subscribe(&client, 3).await;
    let held = [next(&mut stream).await, next(&mut stream).await, next(&mut stream).await];
    let [first, second, third] = held;
    first.ack().await.unwrap();
    second.nack_with(Nack::new()).await.unwrap();
    let late = third.ack().await.unwrap_err();
    assert!(late.to_string().contains("later attempt"), "{late}");
    let again = [next(&mut stream).await, next(&mut stream).await];
    assert_eq!(again.each_ref().map(number), [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_consumer_takes_over_when_the_active_one_leaves() {
    let server = Server::start().await;
    server.run(&["queue", "create", QUEUE, "--single-active-consumer"]).await.ok();
    let clients = [server.client().await, server.client().await];
    let mut first = subscribe(&clients[0], 10).await;
    let mut second = subscribe(&clients[1], 10).await;
    server.run(&["publish", QUEUE, "0", "1"]).await.ok();
    let held = [next(&mut first).await, next(&mut first).await];
    for delivery in held {
        delivery.ack().await.unwrap();
    }
    // The one that leaves holds nothing.
    drop(first);
    eventually("one consumer is left", async || {
        let stats = clients[1].get_queue(QUEUE).await.unwrap().stats.unwrap();
        (stats.consumers == 1).then_some(())
    })
    .await;
    server.run(&["publish", QUEUE, "2"]).await.ok();
    assert_eq!(number(&next(&mut second).await), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_queue_goes_on_where_it_was() {
    let mut server = Server::start().await;
    server.run(&["queue", "create", QUEUE]).await.ok();
    server.run(&["queue", "pause", QUEUE]).await.ok();
    server.run(&["publish", QUEUE, "0"]).await.ok();
    let client = server.client().await;
    assert_eq!(client.receive(QUEUE, 1, Duration::ZERO, None).await.unwrap().len(), 0);
    server.kill().await;
    let server = server.restart().await;
    let shown = server.run(&["queue", "show", QUEUE, "--json"]).await.json().remove(0);
    assert_eq!((&shown["settings"]["paused"], &shown["ready"]), (&json!(true), &json!(1)));
    let client = server.client().await;
    let mut waiting = subscribe(&client, 1).await;
    server.run(&["queue", "resume", QUEUE]).await.ok();
    assert_eq!(number(&next(&mut waiting).await), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_change_while_the_queue_is_in_use() {
    let server = Server::start().await;
    server.run(&["queue", "create", QUEUE]).await.ok();
    server.run(&["publish", QUEUE, "0"]).await.ok();
    let update = ["queue", "update", QUEUE, "--max-attempts", "3", "--durability", "buffered", "--json"];
    let changed = server.run(&update).await.json().remove(0);
    assert_eq!(
        (&changed["settings"]["max_attempts"], &changed["settings"]["durability"]),
        (&json!(3), &json!("buffered"))
    );
    let why = server.run(&["queue", "update", QUEUE, "--ordering", "fifo"]).await.refused();
    assert!(why.contains("ordering") && why.contains("drain or purge"), "{why}");
    let why = server.run(&["queue", "update", QUEUE]).await.refused();
    assert!(why.contains("nothing to change"), "{why}");
    server.run(&["queue", "purge", QUEUE]).await.ok();
    server.run(&["queue", "update", QUEUE, "--ordering", "fifo", "--max-attempts", "0"]).await.ok();
    let shown = server.run(&["queue", "show", QUEUE, "--json"]).await.json().remove(0);
    assert_eq!(
        (&shown["settings"]["ordering"], shown["settings"].get("max_attempts")),
        (&json!("fifo"), None)
    );
}
