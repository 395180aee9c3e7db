//! Consumers: streams and Receive calls, and what becomes of what they get.

use std::sync::Arc;
use std::time::Duration;

use bbq::broker::{Credit, Delivery, Settlement, Terms};
use bbq::types::{self, Consumer, Retry};
use futures_util::StreamExt as _;
use rand::RngExt as _;

use super::clients::Client;
use super::messages;
use super::queues::{dead_letters, name};
use crate::history::{Call, Delivered, Event, Kind, Lease, Outcome, Queue, Verdict};

/// How a consumer wants its messages.
pub fn terms(messages: u32, lease_ms: u64) -> Terms {
    let credit = Credit { messages, bytes: 1 << 20 };
    Terms { credit, lease_duration: Some(types::Duration(lease_ms)), consumer: Arc::new(Consumer::default()) }
}

impl Client {
    pub(super) async fn subscribe(self, queue: Queue) {
        loop {
            let (credit, lease_ms) = self.draw(|rng| (rng.random_range(1..20), rng.random_range(1000..1500)));
            let call = self.crowd.witness.open(queue, Kind::Stream, lease_ms);
            let subscribing = self.handle.subscribe(name(queue), terms(credit, lease_ms));
            if let Some(Ok(mut stream)) = self.schedule.unless_cancelled(subscribing).await {
                for _ in 0..self.draw(|rng| rng.random_range(1..20)) {
                    let patience = Duration::from_millis(self.draw(|rng| rng.random_range(1..300)));
                    let Ok(Some(Ok(batch))) = tokio::time::timeout(patience, stream.next()).await else {
                        break;
                    };
                    let leases: Vec<_> =
                        batch.iter().map(|delivery| self.delivered(queue, call, delivery)).collect();
                    for (lease, delivery) in leases.into_iter().zip(&batch) {
                        self.decide(queue, lease, delivery).await;
                    }
                    if self.draw(|rng| rng.random_ratio(1, 10)) {
                        self.pause(1800).await;
                    }
                }
                self.record(Event::Ended { call });
            }
            self.pause(20).await;
        }
    }

    pub(super) async fn receive(self, queue: Queue) {
        loop {
            let (most, lease_ms) = self.draw(|rng| (rng.random_range(1..10), rng.random_range(1000..1500)));
            let call = self.crowd.witness.open(queue, Kind::Receive, lease_ms);
            let wait = Duration::from_millis(self.draw(|rng| rng.random_range(0..200)));
            let receiving = self.handle.receive(name(queue), terms(most, lease_ms), tokio::time::sleep(wait));
            if let Some(Ok((taken, handout))) = self.schedule.unless_cancelled(receiving).await {
                self.record(Event::Answered { call });
                let leases: Vec<_> =
                    taken.iter().map(|delivery| self.delivered(queue, call, delivery)).collect();
                handout.keep();
                for (lease, delivery) in leases.into_iter().zip(&taken) {
                    self.decide(queue, lease, delivery).await;
                }
            }
            self.pause(50).await;
        }
    }

    pub(super) fn delivered(&self, queue: Queue, call: Call, delivery: &Delivery) -> Lease {
        let receipt = delivery.receipt;
        self.seen(receipt.sequence.0 << 8 | u64::from(receipt.attempt.0));
        let lease = Lease { queue, sequence: delivery.message.sequence.0, attempt: receipt.attempt.0 };
        let (id, content) = messages::read(&delivery.message.content);
        let until = delivery.lease_expires_at.map_or(0, |until| until.0);
        let epoch = if until == 0 { 0 } else { receipt.epoch.0 };
        let at = self.now();
        self.clocks.told(delivery.message.published_at.0);
        let letter = messages::letter(&delivery.message.content);
        self.record(Event::Delivered(Delivered { lease, letter, epoch, call, id, content, until, at }));
        lease
    }

    /// Acks most, nacks some, leaves a few.
    async fn decide(&self, queue: Queue, lease: Lease, delivery: &Delivery) {
        if delivery.lease_expires_at.is_none() {
            return;
        }
        match self.draw(|rng| rng.random_range(0..40)) {
            0..30 => self.settle(queue, lease, delivery, Verdict::Ack).await,
            30..36 => self.settle(queue, lease, delivery, Verdict::Nack).await,
            36 => {
                self.extend(queue, lease, delivery).await;
                self.settle(queue, lease, delivery, Verdict::Ack).await;
            }
            _ => {}
        }
    }

    async fn extend(&self, queue: Queue, lease: Lease, delivery: &Delivery) {
        let longer = self.draw(|rng| rng.random_range(1000..2000));
        let until = self.now() + longer;
        self.record(Event::Extending { lease, until });
        let what = Settlement::Extend(Some(types::Duration(longer)));
        let extending = self.handle.settle(name(queue), vec![Ok(delivery.receipt)], what);
        if let Some(Ok(refused)) = self.schedule.unless_cancelled(extending).await
            && refused.is_empty()
        {
            self.record(Event::Extended { lease, until });
            self.pause(1500).await;
        }
    }

    async fn settle(&self, queue: Queue, lease: Lease, delivery: &Delivery, verdict: Verdict) {
        self.schedule.unless_cancelled(self.settle_to_the_end(queue, lease, delivery, verdict)).await;
    }

    pub(super) async fn settle_to_the_end(
        &self,
        queue: Queue,
        lease: Lease,
        delivery: &Delivery,
        verdict: Verdict,
    ) {
        self.record(Event::Settling { lease, verdict });
        let what = match verdict {
            Verdict::Ack => Settlement::Ack,
            Verdict::Nack => Settlement::Nack { retry: self.retry(queue), reason: "".into() },
        };
        let settling = self.handle.settle(name(queue), vec![Ok(delivery.receipt)], what);
        let Ok(refused) = settling.await else { return };
        let outcome = if refused.is_empty() { Outcome::Done } else { Outcome::Refused };
        self.seen(refused.len() as u64);
        self.record(Event::Settled { lease, verdict, outcome, at: self.now() });
    }

    /// Where there are dead letters, some messages are given up at once.
    fn retry(&self, queue: Queue) -> Retry {
        let give_up = dead_letters(queue).is_some() && self.draw(|rng| rng.random_ratio(1, 3));
        if give_up { Retry::Never } else { Retry::Backoff }
    }

    /// Consumes what nobody keeps account of, badly.
    pub(super) async fn empty(self, queue: &'static str) {
        loop {
            self.pause(90).await;
            let soon = tokio::time::sleep(Duration::from_millis(20));
            let receiving = self.handle.receive(name(queue), terms(8, 1000), soon);
            let Some(Ok((taken, handout))) = self.schedule.unless_cancelled(receiving).await else {
                continue;
            };
            if self.draw(|rng| rng.random_bool(0.8)) {
                handout.keep();
            }
            let receipts = taken.iter().map(|delivery| Ok(delivery.receipt)).collect();
            let what = self.draw(|rng| match rng.random_range(0..4) {
                0 => Settlement::Nack { retry: Retry::Backoff, reason: "no".into() },
                1 => Settlement::Nack { retry: Retry::Never, reason: "never".into() },
                2 => Settlement::Extend(Some(types::Duration(2000))),
                _ => Settlement::Ack,
            });
            let settling = self.handle.settle(name(queue), receipts, what);
            if let Some(Ok(refused)) = self.schedule.unless_cancelled(settling).await {
                self.seen(refused.len() as u64);
            }
        }
    }
}
