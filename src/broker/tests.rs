//! The broker over a real store, without a network.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration as StdDuration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::task::JoinHandle;

use super::*;
use crate::store::{self, StoreOptions};
use crate::types::{
    Consumer, Content, DeliveryMode, Durability, Duration, QueueName, QueueSettings, Receipt, ReceiptFailure,
    Retry, Sequence,
};

mod dead_letters;

struct Rig {
    handle: Handle,
    task: JoinHandle<Result<(), Stopped>>,
}

impl Rig {
    fn open(path: &Path) -> Self {
        Self::with(path, &StoreOptions::default(), Settings::default())
    }

    fn with(path: &Path, options: &StoreOptions, settings: Settings) -> Self {
        let (handle, broker) = start(store::open(path, options).unwrap(), settings).unwrap();
        Self { handle, task: tokio::spawn(broker.run()) }
    }

    async fn create(&self, settings: QueueSettings) -> QueueName {
        let name: QueueName = "jobs".parse().unwrap();
        self.handle.create(name.clone(), settings).await.unwrap();
        name
    }

    async fn publish(&self, queue: &QueueName, bodies: &[&str]) -> Sequence {
        let messages = bodies.iter().map(|body| Content(Bytes::copy_from_slice(body.as_bytes()))).collect();
        self.handle.publish(queue.clone(), messages).await.unwrap()
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
    let gone = rig.handle.publish(queue.clone(), vec![Content(Bytes::new())]).await;
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
        .peek(queue, Window { from: Sequence(0), count: 10 }, PeekFilter::Ready, 1 << 20)
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
