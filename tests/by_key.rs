//! BY_KEY, end to end: the order of each key while consumers die and the server is killed, and a key that stalls nobody.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bbq_client::{Client, Delivery, Message, Nack, Subscription};
use serde_json::{Value, json};
use support::{Server, eventually, within};
use tokio::sync::Mutex;

const QUEUE: &str = "q";
const KEYS: usize = 7;

/// What was acked, by key.
type Acked = Arc<Mutex<BTreeMap<String, Vec<usize>>>>;

async fn subscribe(client: &Client, in_flight: u32) -> Subscription {
    let builder = client.subscribe(QUEUE).max_in_flight(in_flight).auto_extend(false);
    within("subscribing", builder.start()).await.unwrap()
}

async fn next(from: &mut Subscription) -> Delivery {
    within("a delivery", from.next()).await.unwrap().unwrap()
}

fn message(key: &str, body: &str) -> Message {
    Message { body: body.to_owned().into(), ordering_key: key.to_owned(), ..Message::default() }
}

fn text(delivery: &Delivery) -> &str {
    std::str::from_utf8(delivery.body()).unwrap()
}

async fn server() -> Server {
    let server = Server::start().await;
    server.run(&["queue", "create", QUEUE, "--ordering", "by-key"]).await.ok();
    server
}

async fn shown(server: &Server) -> Value {
    server.run(&["queue", "show", QUEUE, "--json"]).await.json().remove(0)
}

/// What counts is what was acked: of each key in order, each once, whoever died in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_key_keeps_its_order_while_consumers_die_and_the_server_is_killed() {
    const MESSAGES: usize = 420;
    let mut server = server().await;
    let client = server.client().await;
    let all = (0..MESSAGES).map(|n| message(&(n % KEYS).to_string(), &n.to_string())).collect();
    client.publish_all(QUEUE, all).await.unwrap();
    let acked = Acked::default();
    for round in 0.. {
        if count(&acked).await == MESSAGES {
            break;
        }
        assert!(round < 500, "{} of {MESSAGES} were acked", count(&acked).await);
        let clients = [server.client().await, server.client().await, server.client().await];
        let workers = clients.map(|client| tokio::spawn(work(client, round, MESSAGES, Arc::clone(&acked))));
        for worker in workers {
            within("a round", worker).await.unwrap();
        }
        if round % 4 == 3 {
            server.kill().await;
            server = server.restart().await;
        }
    }
    for (key, acked) in acked.lock().await.iter() {
        let key: usize = key.parse().unwrap();
        assert_eq!(*acked, (key..MESSAGES).step_by(KEYS).collect::<Vec<_>>(), "of key {key}");
    }
}

async fn count(acked: &Acked) -> usize {
    acked.lock().await.values().map(Vec::len).sum()
}

/// Takes some messages, acks most of them, and goes away with the rest.
async fn work(client: Client, round: usize, messages: usize, acked: Acked) {
    let mut subscription = subscribe(&client, 9).await;
    for step in 0..40 {
        if count(&acked).await == messages {
            return;
        }
        let Ok(delivery) = tokio::time::timeout(Duration::from_millis(300), subscription.next()).await else {
            return;
        };
        let delivery = delivery.unwrap().unwrap();
        if (step + round) % 11 == 5 {
            // Some fail: they come again before all that follow them of their key.
            let _ = delivery.nack_with(Nack::new()).await;
            continue;
        }
        let (key, n) = (delivery.message().ordering_key.clone(), text(&delivery).parse().unwrap());
        // One ack at a time, so that they are noted in the order in which they counted.
        let mut acked = acked.lock().await;
        if within("an ack", delivery.ack()).await.is_ok() {
            // An ack of what somebody else has acked meanwhile is no error: the message is gone, as it should be.
            let of_key = acked.entry(key).or_default();
            if !of_key.contains(&n) {
                of_key.push(n);
            }
        }
    }
}

/// However much of one key waits in front of the others; and it waits through a kill.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_waits_stalls_nobody_else() {
    const WAITING: usize = 20_000;
    let mut server = server().await;
    let client = server.client().await;
    for batch in 0..WAITING / 5000 {
        let waiting = (0..5000).map(|n| message("slow", &format!("{}", batch * 5000 + n))).collect();
        client.publish_all(QUEUE, waiting).await.unwrap();
    }
    client.publish(QUEUE, message("quick", "quick")).await.unwrap();
    client.publish(QUEUE, message("", "free")).await.unwrap();
    let mut slow = subscribe(&client, 1).await;
    let held = next(&mut slow).await;
    assert_eq!(text(&held), "0");
    let other = server.client().await;
    let mut quick = subscribe(&other, 10).await;
    let others = [next(&mut quick).await, next(&mut quick).await];
    assert_eq!(others.each_ref().map(text), ["quick", "free"]);
    for delivery in others {
        delivery.ack().await.unwrap();
    }
    let stats = shown(&server).await;
    assert_eq!((&stats["parked"], &stats["leased"]), (&json!(WAITING - 1), &json!(1)));
    let parked = server.run(&["peek", QUEUE, "--state", "parked", "--count", "2", "--json"]).await.json();
    assert_eq!([&parked[0]["body"], &parked[1]["body"]], ["1", "2"]);
    server.kill().await;
    // They would be there again as soon as they noticed.
    drop((slow, quick));
    let server = server.restart().await;
    let client = server.client().await;
    let mut slow = subscribe(&client, 100).await;
    for n in 0..200 {
        let delivery = next(&mut slow).await;
        assert_eq!(text(&delivery), n.to_string());
        delivery.ack().await.unwrap();
    }
    drop(slow);
    eventually("nothing is held", async || (shown(&server).await["leased"] == 0).then_some(())).await;
    assert_eq!(server.run(&["queue", "purge", QUEUE, "--json"]).await.json()[0]["purged"], WAITING - 200);
}

/// The last attempt of a poisoned message lets its key go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_key_goes_on_when_its_head_is_dead_lettered() {
    let server = Server::start().await;
    server.run(&["queue", "create", "dead"]).await.ok();
    let create = ["queue", "create", QUEUE, "--ordering", "by-key", "--max-attempts", "2"];
    server.run(&[&create[..], &["--dead-letter-queue", "dead"]].concat()).await.ok();
    server.run(&["publish", QUEUE, "poison", "good", "--key", "k"]).await.ok();
    let client = server.client().await;
    let mut stream = subscribe(&client, 1).await;
    for _ in 0..2 {
        let poisoned = next(&mut stream).await;
        assert_eq!(text(&poisoned), "poison");
        poisoned.nack_with(Nack::new()).await.unwrap();
    }
    assert_eq!(text(&next(&mut stream).await), "good");
    let letter = server.run(&["subscribe", "dead", "--count", "1", "--json"]).await.json().remove(0);
    assert_eq!((&letter["body"], &letter["ordering_key"]), (&json!("poison"), &json!("k")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_where_it_has_no_effect_is_refused() {
    let server = server().await;
    server.run(&["queue", "create", "plain"]).await.ok();
    let why = server.run(&["publish", "plain", "x", "--key", "k"]).await.refused();
    assert!(why.contains("plain") && why.contains("BY_KEY"), "{why}");
    let why = server.run(&["publish", QUEUE, "x", "--priority", "3"]).await.refused();
    assert!(why.contains("keeps an order"), "{why}");
    let why = server.run(&["publish", QUEUE, "x", "--key", &"k".repeat(257)]).await.refused();
    assert!(why.contains("257") && why.contains("256"), "{why}");
}
