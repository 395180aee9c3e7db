//! Dead letters, over a real store: in memory or on disk, with or without a queue to go to, over a restart.

use super::super::{attributes, revived};
use super::*;
use crate::types::SettingsField;

fn dead() -> QueueName {
    "dead".parse().unwrap()
}

/// A message with a body of one byte, as the wire has it.
const A: &str = "\n\u{1}a";

fn settings() -> QueueSettings {
    QueueSettings { dead_letter_queue: Some(dead()), ..QueueSettings::default() }
}

impl Rig {
    /// Leases everything that is ready and gives it up.
    async fn give_up(&self, queue: &QueueName) {
        while self.handle.show(queue.clone()).await.unwrap().depth.ready > 0 {
            for delivery in self.receive(queue, 1000).await {
                assert_eq!(self.settle(queue, delivery.receipt, nack(Retry::Never)).await, None);
            }
        }
    }

    /// Bodies in the dead-letter queue, once so many are there.
    async fn buried(&self, count: u64) -> Vec<Content> {
        let mut letters = self.subscribe(&dead(), 1000).await;
        let mut got = Vec::new();
        while (got.len() as u64) < count {
            let batch = tokio::time::timeout(StdDuration::from_secs(20), letters.next());
            let batch = batch.await.expect("a letter within 20 s").expect("the stream stands").unwrap();
            got.extend(batch.into_iter().map(|delivery| delivery.message.content));
        }
        got
    }
}

#[tokio::test]
async fn a_dead_letter_moves_in_the_entry_that_gave_it_up() {
    let dir = tempfile::tempdir().unwrap();
    // No checkpoint: the body stays in memory.
    let options = StoreOptions { checkpoint_interval_ms: 3_600_000, ..StoreOptions::default() };
    let rig = Rig::with(dir.path(), &options, Settings::default());
    rig.handle.create(dead(), QueueSettings::default()).await.unwrap();
    let queue = rig.create(settings()).await;
    rig.publish(&queue, &[A]).await;
    rig.give_up(&queue).await;
    let view = rig.handle.show(queue.clone()).await.unwrap();
    assert_eq!((view.depth.messages(), view.depth.dead), (0, 0), "it is gone when the nack is answered");
    let letters = rig.buried(1).await;
    let note = |key: &str| attributes::value(&letters[0], &format!("bbq-dead-letter-{key}"));
    assert_eq!(["queue", "reason", "attempts", "sequence"].map(note), ["jobs", "nack", "1", "1"].map(Some));
    assert_eq!(revived(&letters[0]), Some((queue, Content(Bytes::from_static(A.as_bytes())))));
    rig.stop().await;
}

/// After a restart bodies are on disk: they are read first, some at a time.
#[tokio::test]
async fn dead_letters_that_lie_on_disk_move_too() {
    let dir = tempfile::tempdir().unwrap();
    let small = Settings { read_ahead_bytes: 600, entry_bytes: 2000, ..Settings::default() };
    let rig = Rig::with(dir.path(), &StoreOptions::default(), small.clone());
    rig.handle.create(dead(), QueueSettings::default()).await.unwrap();
    let queue = rig.create(settings()).await;
    let body = "x".repeat(100);
    rig.publish(&queue, &[body.as_str(); 30]).await;
    rig.stop().await;

    let rig = Rig::with(dir.path(), &StoreOptions::default(), small);
    rig.give_up(&queue).await;
    assert_eq!(rig.buried(30).await.len(), 30);
    assert_eq!(rig.handle.show(queue).await.unwrap().depth.messages(), 0);
    rig.stop().await;
}

#[tokio::test]
async fn the_dead_wait_for_their_queue_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let queue = rig.create(settings()).await;
    rig.publish(&queue, &[A, A]).await;
    rig.give_up(&queue).await;
    assert_eq!(rig.handle.show(queue.clone()).await.unwrap().depth.dead, 2);
    rig.stop().await;

    let rig = Rig::open(dir.path());
    assert_eq!(rig.handle.show(queue.clone()).await.unwrap().depth.dead, 2);
    rig.handle.create(dead(), QueueSettings::default()).await.unwrap();
    assert_eq!(rig.buried(2).await.len(), 2);
    let refused = rig.handle.delete(dead()).await;
    assert_eq!(refused, Err(BrokerError::InUse { queue: dead(), by: queue }));
    rig.stop().await;
}

/// What died, and could not be moved before the process did, moves after the next start.
#[tokio::test]
async fn dead_letters_go_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let queue = rig.create(settings()).await;
    rig.publish(&queue, &[A]).await;
    rig.give_up(&queue).await;
    let other: QueueName = "other".parse().unwrap();
    rig.handle.create(other.clone(), QueueSettings::default()).await.unwrap();
    rig.stop().await;

    let rig = Rig::open(dir.path());
    let patch = Patch {
        fields: vec![crate::types::SettingsField::DeadLetterQueue],
        settings: QueueSettings { dead_letter_queue: Some(other.clone()), ..QueueSettings::default() },
    };
    rig.handle.update(queue.clone(), patch).await.unwrap();
    let mut letters = rig.subscribe(&other, 1).await;
    let got =
        tokio::time::timeout(StdDuration::from_secs(20), letters.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(attributes::value(&got[0].message.content, "bbq-dead-letter-queue"), Some("jobs"));
    rig.stop().await;
}

/// The leases are Receive's, so that they outlast the restart that puts the bodies on disk; nothing but the start itself may
/// be needed to go on.
#[tokio::test]
async fn what_was_dying_when_the_process_died_moves_after_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    rig.handle.create(dead(), QueueSettings::default()).await.unwrap();
    let queue = rig.create(settings()).await;
    let body = "x".repeat(100);
    rig.publish(&queue, &[body.as_str(); 200]).await;
    let receipts: Vec<_> = rig.receive(&queue, 200).await.iter().map(|held| Ok(held.receipt)).collect();
    assert_eq!(receipts.len(), 200);
    rig.stop().await;

    let small = Settings { read_ahead_bytes: 200, ..Settings::default() };
    let rig = Rig::with(dir.path(), &StoreOptions::default(), small);
    assert_eq!(rig.handle.settle(queue.clone(), receipts, nack(Retry::Never)).await, Ok(Vec::new()));
    let pending = rig.handle.show(queue.clone()).await.unwrap().depth.dead;
    assert!(pending > 0, "two of them are read at a time");
    rig.task.abort();
    let _ = rig.task.await;

    let rig = Rig::open(dir.path());
    assert_eq!(rig.buried(200).await.len(), 200);
    assert_eq!(rig.handle.show(queue).await.unwrap().depth.messages(), 0);
    rig.stop().await;
}

/// One read at a time for all queues, and each has its turn.
#[tokio::test]
async fn the_dead_of_one_queue_do_not_hold_up_those_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let small = Settings { read_ahead_bytes: 100, ..Settings::default() };
    let rig = Rig::with(dir.path(), &StoreOptions::default(), small.clone());
    rig.handle.create(dead(), QueueSettings::default()).await.unwrap();
    let body = "x".repeat(100);
    let many = rig.create(settings()).await;
    let few: QueueName = "few".parse().unwrap();
    rig.handle.create(few.clone(), settings()).await.unwrap();
    rig.publish(&many, &[body.as_str(); 200]).await;
    rig.publish(&few, &[body.as_str(); 2]).await;
    for queue in [&many, &few] {
        // So that all of them die at once.
        let patch = Patch {
            fields: vec![SettingsField::DeadLetterQueue],
            settings: QueueSettings { dead_letter_queue: Some("none".parse().unwrap()), ..settings() },
        };
        rig.handle.update(queue.clone(), patch).await.unwrap();
    }
    rig.stop().await;

    let rig = Rig::with(dir.path(), &StoreOptions::default(), small);
    for queue in [&many, &few] {
        rig.give_up(queue).await;
    }
    for queue in [&many, &few] {
        let patch = Patch { fields: vec![SettingsField::DeadLetterQueue], settings: settings() };
        rig.handle.update(queue.clone(), patch).await.unwrap();
    }
    let mut letters = rig.subscribe(&dead(), 1000).await;
    let mut from_few = 0;
    let mut from_many = 0;
    while from_few < 2 {
        let batch = tokio::time::timeout(StdDuration::from_secs(20), letters.next());
        for delivery in batch.await.expect("a letter within 20 s").expect("the stream stands").unwrap() {
            match attributes::value(&delivery.message.content, "bbq-dead-letter-queue") {
                Some("few") => from_few += 1,
                _ => from_many += 1,
            }
        }
    }
    assert!(from_many < 100, "{from_many} of the other queue came first");
    rig.stop().await;
}
