//! Room, over a real store: in a queue, in a transaction's and a topic's queues, and among what is known one by one.

use super::*;
use crate::types::{Attributes, Ordering, RoutingKey, SettingsField, TopicName};

/// Messages without attributes.
fn plain(bodies: usize) -> Routable {
    let messages = vec![Content(Bytes::from_static(b"m")); bodies];
    Routable { messages, facts: Vec::new(), attributes: vec![Attributes::default(); bodies] }
}

impl Rig {
    async fn limit(&self, queue: &QueueName, messages: u64) {
        let patch = Patch {
            fields: vec![SettingsField::MaxMessages, SettingsField::Overflow],
            settings: limited(messages, 0, Overflow::DropOldest),
        };
        self.handle.update(queue.clone(), patch).await.unwrap();
    }

    async fn depth(&self, queue: &QueueName) -> Depth {
        self.handle.show(queue.clone()).await.unwrap().depth
    }
}

/// More than one step takes, from memory and from disk; for a topic as for a queue.
#[tokio::test]
async fn a_queue_far_beyond_its_new_limit_is_trimmed_in_steps() {
    for to_topic in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let rig = Rig::open(dir.path());
        let queue = rig.create(QueueSettings::default()).await;
        rig.publish(&queue, &["a"; 80_000]).await;
        rig.stop().await;

        let rig = Rig::open(dir.path());
        rig.publish(&queue, &["b"; 80_000]).await;
        rig.limit(&queue, 10).await;
        if to_topic {
            let topic: TopicName = "all".parse().unwrap();
            rig.handle.create_topic(topic.clone()).await.unwrap();
            let binding = NamedBinding {
                queue: queue.clone(),
                pattern: "#".parse().unwrap(),
                attributes: Attributes::default(),
            };
            rig.handle.bind(topic.clone(), binding).await.unwrap();
            let key: RoutingKey = "k".parse().unwrap();
            let went = rig.handle.publish_to_topic(topic, key, plain(3)).await.unwrap();
            assert_eq!(went.iter().map(|result| result.routed.len()).sum::<usize>(), 3);
        } else {
            assert_eq!(rig.publish(&queue, &["m"; 3]).await, Sequence(160_001));
        }
        assert_eq!(rig.depth(&queue).await.ready, 10);
        rig.stop().await;
    }
}

/// What has gone beyond the limit by other ways is no reason for more to go than has to.
#[tokio::test]
async fn what_a_transaction_acks_makes_room_for_what_it_publishes() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let queue = rig.create(QueueSettings::default()).await;
    rig.publish(&queue, &["a"; 15]).await;
    let held = rig.receive(&queue, 10).await;
    rig.limit(&queue, 10).await;
    let receipts = held.iter().map(|delivery| Ok(delivery.receipt)).collect();
    let transactional = Transactional {
        id: None,
        acks: vec![(queue.clone(), receipts)],
        publishes: vec![(Target::Queue(queue.clone()), plain(1))],
    };
    rig.handle.transact(transactional).await.unwrap();
    let depth = rig.depth(&queue).await;
    assert_eq!((depth.ready, depth.leased), (6, 0), "five were ready, and all fits");
    rig.stop().await;
}

/// A late ack still counts, so what it names must not make room for what comes with it.
#[tokio::test]
async fn what_a_transaction_acks_does_not_go_before_it_is_acked() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let queue = rig.create(limited(2, 0, Overflow::DropOldest)).await;
    rig.publish(&queue, &["a", "b"]).await;
    let held = rig.receive(&queue, 1).await;
    let receipt = held[0].receipt;
    assert_eq!(rig.settle(&queue, receipt, nack(Retry::Backoff)).await, None);
    let transactional = Transactional {
        id: None,
        acks: vec![(queue.clone(), vec![Ok(receipt)])],
        publishes: vec![(Target::Queue(queue.clone()), plain(2))],
    };
    rig.handle.transact(transactional).await.unwrap();
    let got: Vec<_> = rig.receive(&queue, 10).await.iter().map(summary).collect();
    assert_eq!(got, pairs(&["m", "m"], 1));
    rig.stop().await;
}

/// The same rules as for a publish.
#[tokio::test]
async fn a_transaction_publishes_what_its_queue_has_a_use_for() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let fifo = QueueSettings { ordering: Ordering::Fifo, ..QueueSettings::default() };
    let queue = rig.create(fifo).await;
    let urgent = Facts { priority: Priority::new(3).unwrap(), ..Facts::default() };
    let routable = Routable { facts: vec![(0, urgent)], ..plain(1) };
    let publishes = vec![(Target::Queue(queue.clone()), routable)];
    let refused = rig.handle.transact(Transactional { id: None, acks: Vec::new(), publishes }).await;
    assert_eq!(refused, Err(BrokerError::NoPriorities(queue.clone())));
    // Field 3 of a message on the wire.
    let keyed = Routable { messages: vec![Content(Bytes::from_static(b"\x1a\x01k"))], ..plain(1) };
    assert!(ordering_key(&keyed.messages[0]).is_some());
    let publishes = vec![(Target::Queue(queue.clone()), keyed)];
    rig.handle.delete(queue.clone()).await.unwrap();
    rig.create(QueueSettings::default()).await;
    let refused = rig.handle.transact(Transactional { id: None, acks: Vec::new(), publishes }).await;
    assert_eq!(refused, Err(BrokerError::NoKeys(queue)));
    rig.stop().await;
}

/// What is stepped over is read first, and a consumer that does not want to wait is not kept for all of it.
#[tokio::test]
async fn a_receive_is_answered_before_all_that_it_does_not_get_was_read() {
    const KEYED: &str = "\u{1a}\u{1}k";
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let queue = rig.create(QueueSettings { ordering: Ordering::ByKey, ..QueueSettings::default() }).await;
    rig.publish(&queue, &[KEYED; 300]).await;
    rig.stop().await;

    let one_by_one = Settings { read_ahead_total_bytes: 0, ..Settings::default() };
    let rig = Rig::with(dir.path(), &StoreOptions::default(), one_by_one);
    assert_eq!(rig.receive(&queue, 1).await.len(), 1);
    assert_eq!(rig.receive(&queue, 1).await.len(), 0);
    let depth = rig.depth(&queue).await;
    assert!((16..299).contains(&depth.parked), "{depth:?}");
    rig.stop().await;
}

/// Nothing more is handed out until something is settled; then it goes on by itself.
#[tokio::test]
async fn no_more_messages_are_known_one_by_one_than_may_be() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::with(
        dir.path(),
        &StoreOptions::default(),
        Settings { touched_messages_max: 3, ..Settings::default() },
    );
    let queue = rig.create(QueueSettings::default()).await;
    rig.publish(&queue, &["a", "b", "c", "d", "e"]).await;
    let mut stream = rig.handle.subscribe(queue.clone(), terms(10)).await.unwrap();
    let held =
        tokio::time::timeout(StdDuration::from_secs(20), stream.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(held.iter().map(summary).collect::<Vec<_>>(), pairs(&["a", "b", "c"], 1));
    let depth = rig.depth(&queue).await;
    assert_eq!((depth.ready, depth.leased), (2, 3));
    for delivery in held {
        assert_eq!(rig.settle(&queue, delivery.receipt, Settlement::Ack).await, None);
    }
    assert_eq!(next(&mut stream, 2).await, pairs(&["d", "e"], 1));
    rig.stop().await;
}
