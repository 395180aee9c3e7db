//! Who comes and goes beside the keepers: visitors, queues that are made and removed, settings that change, backups, transactions.

use std::collections::HashMap;
use std::time::Duration;

use bbq_client::proto;
use bbq_client::proto::publish_request::Target;
use rand::RngExt as _;

use super::kinds::{Kind, seconds};
use super::{Actor, BATCH, QUEUES, name};

/// A transaction takes so many messages, at the most.
const TAKEN: u32 = 10;

impl Actor {
    /// A consumer that holds a few messages of some queue for a moment, and goes without a word.
    pub(super) async fn visit(mut self) {
        loop {
            self.pause().await;
            let queue = name(self.rng.random_range(0..QUEUES));
            let starting =
                self.client.subscribe(&queue).max_in_flight(self.rng.random_range(1..10)).start().await;
            let Some(stream) = self.ok(starting) else { continue };
            self.count(|done| &done.streams, 1);
            self.pause().await;
            drop(stream);
        }
    }

    /// Queues, topics and bindings that are made, used and removed.
    pub(super) async fn come_and_go(mut self) {
        for round in 0_u64.. {
            self.pause().await;
            let (queue, topic) = (format!("passing-{round}"), format!("topic-{round}"));
            if self.ok(self.client.create_queue(&queue, proto::QueueSettings::default()).await).is_none() {
                continue;
            }
            let binding =
                proto::Binding { queue: queue.clone(), pattern: "*".to_owned(), attributes: HashMap::new() };
            self.ok(self.client.create_topic(&topic).await);
            self.ok(self.client.bind(&topic, binding.clone()).await);
            for _ in 0..5 {
                let messages: Vec<_> = (0..BATCH).map(|_| self.message(1)).collect();
                self.ok(self.client.publish_all_to_topic(&topic, "key", messages).await);
            }
            self.receive(&queue, BATCH).await;
            if self.rng.random() {
                self.ok(self.client.purge_queue(&queue).await);
            }
            self.ok(self.client.unbind(&topic, binding).await);
            self.ok(self.client.delete_topic(&topic).await);
            self.ok(self.client.delete_queue(&queue).await);
            self.count(|done| &done.changes, 1);
        }
    }

    /// Settings of queues in use; purges; pauses that end.
    pub(super) async fn change_settings(mut self) {
        loop {
            self.pause().await;
            let queue = self.rng.random_range(0..QUEUES);
            let name = name(queue);
            let kind = Kind::of(queue);
            let mut changed = kind.settings(self.pace);
            let field = match self.rng.random_range(0..4) {
                0 => {
                    changed.lease_duration = seconds(self.rng.random_range(2..20));
                    "lease_duration"
                }
                // What is handed out once has no second attempt.
                1 if kind != Kind::AtMostOnce => {
                    changed.max_attempts = self.rng.random_range(2..6);
                    "max_attempts"
                }
                1 | 2 => {
                    self.ok(self.client.purge_queue(&name).await);
                    continue;
                }
                _ => {
                    changed.paused = true;
                    "paused"
                }
            };
            let update = self.client.update_queue(&name, changed.clone(), vec![field.to_owned()]).await;
            self.ok(update);
            if field == "paused" {
                self.pause().await;
                changed.paused = false;
                self.ok(self.client.update_queue(&name, changed, vec![field.to_owned()]).await);
            }
            self.count(|done| &done.changes, 1);
        }
    }

    /// Backups, read to their end and thrown away.
    pub(super) async fn back_up(mut self) {
        loop {
            self.pause().await;
            tokio::time::sleep(self.pace.wave / 6).await;
            let Some(mut pieces) = self.ok(self.client.backup().await) else { continue };
            loop {
                match self.ok(pieces.next().await) {
                    Some(Some(_)) => {}
                    Some(None) => {
                        self.count(|done| &done.backups, 1);
                        break;
                    }
                    None => break,
                }
            }
        }
    }

    /// Takes messages of one queue and puts as many into another, both or neither. Half of the transactions could be repeated.
    pub(super) async fn transact(mut self) {
        loop {
            self.pause().await;
            if self.ebbs() {
                continue;
            }
            let (from, to) = (self.rng.random_range(0..QUEUES), self.rng.random_range(0..QUEUES));
            let (wait, lease) = (self.pace.pause / 4, Duration::from_secs(5));
            let receiving = self.client.receive(&name(from), TAKEN, wait, Some(lease)).await;
            let Some(deliveries) = self.ok(receiving) else { continue };
            self.count(|done| &done.delivered, u64::try_from(deliveries.len()).expect("a few"));
            let receipts = deliveries.iter().map(|delivery| delivery.receipt().to_owned());
            let receipts: Vec<_> = receipts.filter(|receipt| !receipt.is_empty()).collect();
            if receipts.is_empty() {
                continue;
            }
            let publish = proto::PublishRequest {
                target: Some(Target::Queue(name(to))),
                routing_key: String::new(),
                messages: receipts.iter().map(|_| self.message(to).into()).collect(),
            };
            let transaction_id = match self.rng.random() {
                true => format!("{:x}", self.rng.random::<u64>()),
                false => String::new(),
            };
            let request = proto::TransactRequest {
                acks: vec![proto::AckRequest { queue: name(from), receipts }],
                publishes: vec![publish],
                transaction_id,
            };
            if self.ok(self.client.transact(request).await).is_some() {
                self.count(|done| &done.transactions, 1);
            }
        }
    }
}
