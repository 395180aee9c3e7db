//! The broker over a real store, without a network.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration as StdDuration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::task::JoinHandle;

mod looks;

use super::*;
use crate::store::{self, StoreOptions};
use crate::types::{
    Consumer, Content, DeliveryMode, Durability, Duration, Facts, Full, Limits, Measure, Overflow, Priority,
    QueueName, QueueSettings, Receipt, ReceiptFailure, Retry, Sequence,
};

mod dead_letters;
mod lapses;
mod room;

struct Rig {
    handle: Handle,
    task: JoinHandle<Result<(), Stopped>>,
}

impl Rig {
    fn open(path: &Path) -> Self {
        Self::with(path, &StoreOptions::default(), Settings::default())
    }

    fn with(path: &Path, options: &StoreOptions, settings: Settings) -> Self {
        let (handle, broker) = start(Self::store(path, options), settings).unwrap();
        Self { handle, task: tokio::spawn(broker.run()) }
    }

    /// Opens a directory. A reader of a broker that was killed may hold it until its read is done.
    fn store(path: &Path, options: &StoreOptions) -> store::Opened {
        for _ in 0..2000 {
            match store::open(path, options) {
                Err(store::OpenError::Locked { .. }) => std::thread::sleep(StdDuration::from_millis(10)),
                opened => return opened.unwrap(),
            }
        }
        panic!("{} is still locked", path.display())
    }

    async fn create(&self, settings: QueueSettings) -> QueueName {
        let name: QueueName = "jobs".parse().unwrap();
        self.handle.create(name.clone(), settings).await.unwrap();
        name
    }

    async fn publish(&self, queue: &QueueName, bodies: &[&str]) -> Sequence {
        let messages = bodies.iter().map(|body| Content(Bytes::copy_from_slice(body.as_bytes()))).collect();
        self.handle.publish(queue.clone(), messages, Vec::new()).await.unwrap().first
    }

    async fn subscribe(&self, queue: &QueueName, messages: u32) -> Subscription {
        self.handle.subscribe(queue.clone(), terms(messages)).await.unwrap()
    }

    async fn receive(&self, queue: &QueueName, messages: u32) -> Vec<Delivery> {
        let (deliveries, handout) =
            self.handle.receive(queue.clone(), terms(messages), async {}).await.unwrap();
        handout.keep();
        deliveries
    }

    async fn settle(&self, queue: &QueueName, receipt: Receipt, what: Settlement) -> Option<ReceiptFailure> {
        let refused = self.handle.settle(queue.clone(), vec![Ok(receipt)], what).await.unwrap();
        refused.first().map(|&(_, why)| why)
    }

    async fn stop(self) {
        self.handle.drain().await;
        self.handle.stop();
        self.task.await.unwrap().unwrap();
    }
}

fn nack(retry: Retry) -> Settlement {
    Settlement::Nack { retry, reason: "".into() }
}

fn terms(messages: u32) -> Terms {
    let credit = Credit { messages, bytes: 16 << 20 };
    Terms { credit, lease_duration: None, consumer: Arc::new(Consumer::default()) }
}

/// The next `count` deliveries as (body, attempt).
async fn next(subscription: &mut Subscription, count: usize) -> Vec<(String, u32)> {
    let mut got = Vec::new();
    while got.len() < count {
        let batch = tokio::time::timeout(StdDuration::from_secs(20), subscription.next());
        let batch = batch.await.expect("a delivery within 20 s").expect("the stream stands").unwrap();
        got.extend(batch.iter().map(summary));
    }
    got
}

fn summary(delivery: &Delivery) -> (String, u32) {
    let body = String::from_utf8(delivery.message.content.0.to_vec()).unwrap();
    (body, delivery.receipt.attempt.0)
}

fn pairs(bodies: &[&str], attempt: u32) -> Vec<(String, u32)> {
    bodies.iter().map(|&body| (body.to_owned(), attempt)).collect()
}

#[tokio::test]
async fn what_an_idle_stream_held_goes_to_the_next_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let queue = rig.create(QueueSettings::default()).await;
    let mut first = rig.subscribe(&queue, 100).await;
    rig.publish(&queue, &["a", "b", "c"]).await;
    assert_eq!(next(&mut first, 3).await, pairs(&["a", "b", "c"], 1));
    let mut second = rig.subscribe(&queue, 100).await;
    drop(first);
    assert_eq!(next(&mut second, 3).await, pairs(&["a", "b", "c"], 2));
    rig.stop().await;
}

#[tokio::test]
async fn what_was_published_and_leased_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let queue = rig.create(QueueSettings::default()).await;
    assert_eq!(rig.publish(&queue, &["a", "b", "c", "d"]).await, Sequence(1));
    let received = rig.receive(&queue, 1).await;
    let mut stream = rig.subscribe(&queue, 1).await;
    assert_eq!(next(&mut stream, 1).await, pairs(&["b"], 1));
    rig.stop().await;

    let rig = Rig::open(dir.path());
    let view = rig.handle.show(queue.clone()).await.unwrap();
    assert_eq!(
        (view.depth.ready, view.depth.leased),
        (3, 1),
        "the lease of Receive stands, the stream's is over"
    );
    let mut stream = rig.subscribe(&queue, 100).await;
    let mut expected = pairs(&["b"], 2);
    expected.extend(pairs(&["c", "d"], 1));
    assert_eq!(next(&mut stream, 3).await, expected);
    let receipt = received.first().unwrap().receipt;
    assert_eq!(rig.settle(&queue, receipt, Settlement::Ack).await, None, "a receipt outlives the process");
    rig.stop().await;
}

/// Dropping the task is as close to a kill as one process gets: no last checkpoint, no drain.
#[tokio::test]
async fn what_was_confirmed_survives_without_a_last_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let queue = rig.create(QueueSettings::default()).await;
    rig.publish(&queue, &["a", "b"]).await;
    let acked = rig.receive(&queue, 1).await.first().unwrap().receipt;
    assert_eq!(rig.settle(&queue, acked, Settlement::Ack).await, None);
    rig.task.abort();
    let _ = rig.task.await;

    let rig = Rig::open(dir.path());
    let mut stream = rig.subscribe(&queue, 100).await;
    assert_eq!(next(&mut stream, 1).await, pairs(&["b"], 1));
    assert_eq!(rig.handle.show(queue.clone()).await.unwrap().depth.messages(), 1);
    rig.stop().await;
}

#[tokio::test]
async fn a_backlog_on_disk_is_delivered_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let queue = rig.create(QueueSettings::default()).await;
    let bodies: Vec<String> = (0..5000).map(|n| format!("message {n}")).collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    rig.publish(&queue, &bodies).await;
    rig.stop().await;

    let settings = Settings { read_ahead_bytes: 4096, ..Settings::default() };
    let rig = Rig::with(dir.path(), &StoreOptions::default(), settings);
    let mut stream = rig.subscribe(&queue, 10_000).await;
    assert_eq!(next(&mut stream, 5000).await, pairs(&bodies, 1));
    drop(stream);
    let mut stream = rig.subscribe(&queue, 10_000).await;
    assert_eq!(next(&mut stream, 5000).await, pairs(&bodies, 2), "what came back is read again");
    rig.stop().await;
}

#[tokio::test]
async fn every_consumer_gets_its_fill_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let queue = rig.create(QueueSettings::default()).await;
    let mut streams = [rig.subscribe(&queue, 10).await, rig.subscribe(&queue, 10).await];
    rig.publish(&queue, &["x"; 25]).await;
    for stream in &mut streams {
        assert_eq!(next(stream, 10).await, pairs(&["x"; 10], 1));
    }
    let depth = rig.handle.show(queue.clone()).await.unwrap().depth;
    assert_eq!((depth.leased, depth.ready), (20, 5));
    rig.stop().await;
}

#[tokio::test]
async fn a_receive_that_is_dropped_gives_its_grant_back_uncounted() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let queue = rig.create(QueueSettings::default()).await;
    rig.publish(&queue, &["a"]).await;
    let (deliveries, handout) = rig.handle.receive(queue.clone(), terms(1), async {}).await.unwrap();
    assert_eq!(deliveries.len(), 1);
    drop(handout);
    let mut stream = rig.subscribe(&queue, 1).await;
    assert_eq!(next(&mut stream, 1).await, pairs(&["a"], 2));
    rig.stop().await;
}

#[tokio::test]
async fn a_receive_waits_for_a_message_and_no_longer_than_it_wants() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let queue = rig.create(QueueSettings::default()).await;
    assert!(rig.receive(&queue, 10).await.is_empty());
    let waiting = rig.handle.receive(queue.clone(), terms(10), std::future::pending());
    let (answer, _) = tokio::join!(waiting, rig.publish(&queue, &["a"]));
    assert_eq!(answer.unwrap().0.len(), 1);
    rig.stop().await;
}

#[tokio::test]
async fn an_at_most_once_message_is_gone_when_it_is_handed_out() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let settings = QueueSettings { delivery: DeliveryMode::AtMostOnce, ..QueueSettings::default() };
    let queue = rig.create(settings).await;
    rig.publish(&queue, &["a", "b", "c"]).await;
    let mut first = rig.subscribe(&queue, 1).await;
    assert_eq!(
        next(&mut first, 3).await,
        pairs(&["a", "b", "c"], 1),
        "credit comes back when the stream is read on"
    );
    drop(first);
    assert_eq!(rig.handle.show(queue.clone()).await.unwrap().depth.messages(), 0);
    rig.stop().await;
}

#[tokio::test]
async fn a_buffered_queue_confirms_and_delivers() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let settings = QueueSettings { durability: Durability::Buffered, ..QueueSettings::default() };
    let queue = rig.create(settings).await;
    let mut stream = rig.subscribe(&queue, 1).await;
    rig.publish(&queue, &["a"]).await;
    assert_eq!(next(&mut stream, 1).await, pairs(&["a"], 1));
    rig.stop().await;
}

#[tokio::test]
async fn an_expired_lease_is_redelivered() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let settings = QueueSettings { lease_duration: Duration::seconds(1), ..QueueSettings::default() };
    let queue = rig.create(settings).await;
    rig.publish(&queue, &["a"]).await;
    let held = rig.receive(&queue, 1).await.first().unwrap().receipt;
    let mut stream = rig.subscribe(&queue, 1).await;
    assert_eq!(next(&mut stream, 1).await, pairs(&["a"], 2));
    assert_eq!(rig.settle(&queue, held, Settlement::Ack).await, Some(ReceiptFailure::Superseded));
    rig.stop().await;
}

#[tokio::test]
async fn deleting_a_queue_ends_its_streams() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let queue = rig.create(QueueSettings::default()).await;
    let mut stream = rig.subscribe(&queue, 1).await;
    rig.publish(&queue, &["a", "b"]).await;
    next(&mut stream, 1).await;
    assert_eq!(rig.handle.delete(queue.clone()).await, Ok(2));
    assert_eq!(stream.next().await.unwrap().unwrap_err(), BrokerError::NoQueue(queue.clone()));
    let gone = rig.handle.publish(queue.clone(), vec![Content(Bytes::new())], Vec::new()).await;
    assert_eq!(gone, Err(BrokerError::NoQueue(queue)));
    rig.stop().await;
}

#[tokio::test]
async fn a_drain_ends_streams_and_gives_back_without_counting() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let queue = rig.create(QueueSettings::default()).await;
    rig.publish(&queue, &["a"]).await;
    let mut stream = rig.subscribe(&queue, 1).await;
    next(&mut stream, 1).await;
    rig.handle.drain().await;
    assert_eq!(stream.next().await.unwrap().unwrap_err(), BrokerError::Draining);
    assert_eq!(rig.handle.subscribe(queue.clone(), terms(1)).await.err(), Some(BrokerError::Draining));
    assert_eq!(rig.publish(&queue, &["b"]).await, Sequence(2), "calls in flight still finish");
    let page = rig
        .handle
        .peek(queue, Window { from: Sequence(0), count: 10 }, Some(MessageState::Ready), 1 << 20)
        .await
        .unwrap();
    let uncounted: Vec<_> =
        page.items.iter().map(|peeked| peeked.touch.as_ref().map(|touch| touch.uncounted)).collect();
    assert_eq!(uncounted, [Some(1), None]);
    rig.stop().await;
}

#[tokio::test]
async fn replaying_the_journal_gives_the_same_states() {
    let dir = tempfile::tempdir().unwrap();
    let hashes = dir.path().join("hashes");
    let data = dir.path().join("data");
    let settings = Settings { state_hashes: Some(hashes.clone()), ..Settings::default() };
    let options = StoreOptions { checkpoint_interval_ms: 3_600_000, ..StoreOptions::default() };
    for _ in 0..3 {
        let rig = Rig::with(&data, &options, settings.clone());
        let queue = rig.create(QueueSettings::default()).await;
        rig.publish(&queue, &["a", "b", "c"]).await;
        let first = rig.receive(&queue, 2).await;
        for (delivery, what) in first.iter().zip([Settlement::Ack, nack(Retry::Backoff)]) {
            rig.settle(&queue, delivery.receipt, what).await;
        }
        rig.task.abort();
        let _ = rig.task.await;
    }
    let text = std::fs::read_to_string(hashes).unwrap();
    let mut seen = std::collections::BTreeMap::new();
    for line in text.lines() {
        let (index, hash) = line.split_once(' ').unwrap();
        let index: u64 = index.parse().unwrap();
        assert_eq!(*seen.entry(index).or_insert(hash), hash, "entry {index} replayed to another state");
    }
    assert!(seen.len() < text.lines().count(), "nothing was replayed");
}

/// Two consumers with credit for everything get everything, and nobody has to settle first.
#[tokio::test]
async fn what_is_ready_goes_to_consumers_with_credit_however_many_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let queue = rig.create(QueueSettings::default()).await;
    let mut first = rig.subscribe(&queue, 100).await;
    let mut second = rig.subscribe(&queue, 100).await;
    rig.publish(&queue, &["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]).await;
    let (one, two) = tokio::join!(next(&mut first, 5), next(&mut second, 5));
    assert_eq!((one.len(), two.len()), (5, 5));
    rig.stop().await;
}

fn limited(messages: u64, bytes: u64, overflow: Overflow) -> QueueSettings {
    QueueSettings { limits: Limits { messages, bytes, overflow }, ..QueueSettings::default() }
}

fn full(measure: Measure, held: u64, more: u64, limit: u64) -> Full {
    Full { measure, held, more, limit, overflow: Overflow::DropOldest }
}

/// What makes room may lie on disk only, where the sizes have to be read first; what comes behind waits its turn.
#[tokio::test]
async fn the_oldest_messages_make_room_from_memory_and_from_disk() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let queue = rig.create(limited(1000, 1000, Overflow::DropOldest)).await;
    rig.publish(&queue, &["a"; 990]).await;
    rig.publish(&queue, &["0123456789", "b", "c", "d"]).await;
    let depth = rig.handle.show(queue.clone()).await.unwrap().depth;
    assert_eq!((depth.ready, depth.bytes), (991, 1000));
    rig.stop().await;

    let rig = Rig::open(dir.path());
    let held = rig.receive(&queue, 1).await;
    let publishes = (0..20).map(|_| rig.publish(&queue, &["0123456789"; 10]));
    let sequences = futures_util::future::join_all(publishes).await;
    assert!(sequences.windows(2).all(|pair| pair[0] < pair[1]), "they are stored in the order they came");
    let depth = rig.handle.show(queue.clone()).await.unwrap().depth;
    assert_eq!((depth.ready, depth.leased, depth.bytes), (99, 1, 991), "what is leased stays");
    assert_eq!(rig.settle(&queue, held[0].receipt, Settlement::Ack).await, None);
    let too_large = vec![Content(Bytes::from(vec![0; 1001]))];
    let refused = rig.handle.publish(queue.clone(), too_large, Vec::new()).await;
    assert_eq!(refused, Err(BrokerError::Full(queue.clone(), full(Measure::Bytes, 990, 1001, 1000))));
    assert_eq!(
        rig.handle.show(queue).await.unwrap().depth.ready,
        99,
        "a publish that can't fit drops nothing"
    );
    rig.stop().await;
}

#[tokio::test]
async fn what_consumers_hold_makes_no_room() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let queue = rig.create(limited(2, 0, Overflow::DropOldest)).await;
    rig.publish(&queue, &["a", "b"]).await;
    let mut stream = rig.subscribe(&queue, 10).await;
    next(&mut stream, 2).await;
    let refused = rig.handle.publish(queue.clone(), vec![Content(Bytes::new())], Vec::new()).await;
    assert_eq!(refused, Err(BrokerError::Full(queue, full(Measure::Messages, 2, 1, 2))));
    rig.stop().await;
}

#[tokio::test]
async fn ids_are_remembered_across_a_restart_and_no_more_than_there_may_be() {
    let dir = tempfile::tempdir().unwrap();
    let settings = || Settings { deduplication_ids_max: 3, ..Settings::default() };
    let publish = async |rig: &Rig, queue: &QueueName, ids: &[u128]| {
        let messages = ids.iter().map(|_| Content(Bytes::from_static(b"m"))).collect();
        let facts = |id: &u128| Facts { deduplication: Some((*id).into()), ..Facts::default() };
        let facts = (0..).zip(ids.iter().map(facts)).collect();
        let published = rig.handle.publish(queue.clone(), messages, facts).await?;
        Ok::<_, BrokerError>(
            published.sequences(ids.len()).map(|(at, twice)| (at.0, twice)).collect::<Vec<_>>(),
        )
    };
    let rig = Rig::with(dir.path(), &StoreOptions::default(), settings());
    let window = QueueSettings { deduplication_window: Duration::seconds(3600), ..QueueSettings::default() };
    let queue = rig.create(window).await;
    assert_eq!(publish(&rig, &queue, &[1, 2, 1]).await, Ok(vec![(1, false), (2, false), (1, true)]));
    rig.stop().await;

    let rig = Rig::with(dir.path(), &StoreOptions::default(), settings());
    assert_eq!(publish(&rig, &queue, &[2, 3]).await, Ok(vec![(2, true), (3, false)]));
    assert_eq!(publish(&rig, &queue, &[4]).await, Err(BrokerError::TooManyIds { limit: 3 }));
    assert_eq!(
        publish(&rig, &queue, &[3, 1]).await,
        Ok(vec![(3, true), (1, true)]),
        "what is known costs nothing"
    );
    rig.task.abort();
    let _ = rig.task.await;

    let rig = Rig::with(dir.path(), &StoreOptions::default(), settings());
    assert_eq!(publish(&rig, &queue, &[3]).await, Ok(vec![(3, true)]), "the journal remembers too");
    rig.handle.delete(queue.clone()).await.unwrap();
    rig.stop().await;

    let rig = Rig::with(dir.path(), &StoreOptions::default(), settings());
    let plain = rig.create(QueueSettings::default()).await;
    assert_eq!(publish(&rig, &plain, &[3]).await, Err(BrokerError::NoDeduplication(plain.clone())));
    rig.stop().await;
}

/// A publish of messages with priorities.
async fn publish_urgent(rig: &Rig, queue: &QueueName, messages: &[(&str, u32)]) {
    let contents =
        messages.iter().map(|(body, _)| Content(Bytes::copy_from_slice(body.as_bytes()))).collect();
    let facts = |&(_, priority): &(&str, u32)| Facts {
        priority: Priority::new(priority).unwrap(),
        ..Facts::default()
    };
    let facts = (0..).zip(messages.iter().map(facts)).filter(|(_, facts)| !facts.is_none()).collect();
    rig.handle.publish(queue.clone(), contents, facts).await.unwrap();
}

/// Lanes lie on disk and in memory; what is urgent goes first wherever it is.
#[tokio::test]
async fn what_is_urgent_goes_first_from_memory_and_from_disk() {
    let dir = tempfile::tempdir().unwrap();
    let settings = || Settings { read_ahead_bytes: 64, ..Settings::default() };
    let rig = Rig::with(dir.path(), &StoreOptions::default(), settings());
    let queue = rig.create(QueueSettings::default()).await;
    let bodies: Vec<String> = (0..300).map(|n| format!("{}-{n:03}", n % 3)).collect();
    let messages: Vec<_> = (0..).zip(&bodies).map(|(n, body)| (body.as_str(), n % 3)).collect();
    publish_urgent(&rig, &queue, &messages).await;
    let first = rig.receive(&queue, 2).await;
    assert_eq!(first.iter().map(summary).collect::<Vec<_>>(), pairs(&["2-002", "2-005"], 1));
    rig.stop().await;

    let rig = Rig::with(dir.path(), &StoreOptions::default(), settings());
    publish_urgent(&rig, &queue, &[("3-hot", 3), ("2-hot", 2), ("0-hot", 0)]).await;
    assert_eq!(rig.settle(&queue, first[1].receipt, nack(Retry::Backoff)).await, None);
    let mut stream = rig.subscribe(&queue, 1000).await;
    let got: Vec<_> = next(&mut stream, 302).await;
    let mut expected = vec![("3-hot".to_owned(), 1), ("2-005".to_owned(), 2)];
    for urgency in (0..3).rev() {
        let of = bodies.iter().filter(|body| body.starts_with(&urgency.to_string()));
        let of = of.filter(|body| !["2-002", "2-005"].contains(&body.as_str()));
        expected.extend(of.map(|body| (body.clone(), 1)));
        if urgency != 1 {
            expected.push((format!("{urgency}-hot"), 1));
        }
    }
    assert_eq!(got, expected);
    rig.stop().await;
}

/// The least urgent go first, wherever they are.
#[tokio::test]
async fn room_is_made_from_the_least_urgent() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let queue = rig.create(limited(4, 0, Overflow::DropOldest)).await;
    publish_urgent(&rig, &queue, &[("a", 9), ("b", 0), ("c", 5), ("d", 0)]).await;
    rig.stop().await;
    let rig = Rig::open(dir.path());
    publish_urgent(&rig, &queue, &[("e", 0)]).await;
    publish_urgent(&rig, &queue, &[("f", 1), ("g", 0), ("h", 0)]).await;
    let window = Window { from: Sequence(0), count: 10 };
    let page = rig.handle.peek(queue.clone(), window, None, 1 << 20).await.unwrap();
    let bodies: Vec<_> = page.items.iter().map(|peeked| peeked.message.content.0.clone()).collect();
    assert_eq!(bodies, ["a", "f", "g", "h"]);
    assert_eq!(page.next, None);
    rig.stop().await;
}
