//! Clients of a simulated broker: they publish, consume, settle and administer, and what the seed says is cancelled at an await.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bbq::broker::{Credit, Delivery, Handle, Patch, Settlement, Terms, Window};
use bbq::types::{
    self, Consumer, Content, DeduplicationId, DeliveryMode, Durability, Facts, Limits, Overflow, Priority,
    QueueName, QueueSettings, Retry, RetryBackoff, Sequence, SettingsField,
};
use futures_util::StreamExt as _;
use rand::RngExt as _;
use rand::rngs::SmallRng;

use super::schedule::Schedule;
use crate::history::{
    self, Call, Delivered, Event, Id, Kind, Lease, Mode, Outcome, Promise, Queue, Verdict, Witness, content,
};

/// Queues whose messages are accounted for, and what each promises.
pub const QUEUES: [(Queue, Promise); 4] = [
    ("orders", Promise::PLAIN),
    ("clicks", Promise::PLAIN),
    ("letters", Promise::PLAIN),
    ("ticks", Promise { mode: Mode::AtMostOnce, ..Promise::PLAIN }),
];

/// Queues of all kinds where anything may happen to a message. What counts there is that nothing breaks.
const OTHERS: [&str; 5] = ["lined", "retried", "dropped", "remembered", "dead"];

const DRAIN_LEASE_MS: u64 = 30_000;

/// Producers pause while a queue has more.
const BACKLOG_MAX: u64 = 150;

/// What the clients of all lives of a seed share.
#[derive(Clone)]
pub struct Crowd {
    pub witness: Arc<Witness>,
    /// BUFFERED confirms are promises only if nothing worse than a kill happens.
    pub buffered: bool,
    ids: Arc<AtomicU64>,
}

/// A client, in one life.
#[derive(Clone)]
pub struct Client {
    crowd: Crowd,
    handle: Handle,
    schedule: Schedule,
    /// The simulated wall clock, in milliseconds.
    now: Arc<dyn Fn() -> u64 + Send + Sync>,
}

fn name(queue: &str) -> QueueName {
    queue.parse().expect("a good name")
}

fn terms(messages: u32, lease_ms: u64) -> Terms {
    let credit = Credit { messages, bytes: 1 << 20 };
    Terms { credit, lease_duration: Some(types::Duration(lease_ms)), consumer: Arc::new(Consumer::default()) }
}

impl Crowd {
    pub fn new(buffered: bool) -> Self {
        Self { witness: Arc::new(Witness::new(QUEUES)), buffered, ids: Arc::default() }
    }

    fn settings(&self, queue: &str) -> QueueSettings {
        let plain = QueueSettings::default();
        match queue {
            "clicks" if self.buffered => QueueSettings { durability: Durability::Buffered, ..plain },
            "lined" => QueueSettings { ordering: types::Ordering::Fifo, ..plain },
            "ticks" => QueueSettings { delivery: DeliveryMode::AtMostOnce, ..plain },
            "retried" => QueueSettings {
                max_attempts: 2,
                dead_letter_queue: Some(name("dead")),
                retry_backoff: Some(RetryBackoff {
                    initial: types::Duration(20),
                    multiplier_thousandths: 2000,
                    max: types::Duration(200),
                }),
                ..plain
            },
            "dropped" => QueueSettings {
                limits: Limits { messages: 30, bytes: 20_000, overflow: Overflow::DropOldest },
                ..plain
            },
            "remembered" => QueueSettings {
                deduplication_window: types::Duration(2000),
                single_active_consumer: true,
                ..plain
            },
            _ => plain,
        }
    }
}

impl Client {
    pub fn new(
        crowd: &Crowd,
        handle: &Handle,
        schedule: &Schedule,
        now: Arc<dyn Fn() -> u64 + Send + Sync>,
    ) -> Self {
        Self { crowd: crowd.clone(), handle: handle.clone(), schedule: schedule.clone(), now }
    }

    /// Everybody at once.
    pub fn start_all(&self) {
        let schedule = &self.schedule;
        let starting = self.clone();
        schedule.spawn(async move {
            for queue in QUEUES.map(|(queue, _)| queue).into_iter().chain(OTHERS) {
                // If it is there, it is there.
                let _ = starting.handle.create(name(queue), starting.crowd.settings(queue)).await;
            }
        });
        for (queue, _) in QUEUES {
            schedule.spawn(self.clone().produce(queue));
            schedule.spawn(self.clone().subscribe(queue));
            schedule.spawn(self.clone().receive(queue));
        }
        for queue in OTHERS {
            schedule.spawn(self.clone().fill(queue));
            schedule.spawn(self.clone().empty(queue));
        }
        schedule.spawn(self.clone().administer());
        schedule.spawn(self.clone().watch());
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut SmallRng) -> T) -> T {
        self.schedule.draw(draw)
    }

    async fn pause(&self, most_ms: u64) {
        let pause = self.draw(|rng| rng.random_range(0..=most_ms));
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }

    fn body(&self, id: u64) -> Content {
        let length = self.draw(|rng| match rng.random_range(0..300) {
            0 => rng.random_range(33_000..70_000),
            1..10 => rng.random_range(500..5_000),
            _ => rng.random_range(0..60),
        });
        let mut body = id.to_be_bytes().to_vec();
        body.resize(8 + length, b'x');
        Content(body.into())
    }

    fn seen(&self, what: u64) {
        self.schedule.note(what);
    }

    async fn backlog(&self, queue: Queue) -> u64 {
        self.handle.show(name(queue)).await.map_or(u64::MAX, |view| view.depth.messages())
    }

    async fn produce(self, queue: Queue) {
        loop {
            self.pause(8).await;
            if self.backlog(queue).await > BACKLOG_MAX {
                self.pause(100).await;
                continue;
            }
            let count = self.draw(|rng| if rng.random() { 1 } else { rng.random_range(2..12) });
            let (mut ids, mut messages) = (Vec::new(), Vec::new());
            for _ in 0..count {
                let id = Id(self.crowd.ids.fetch_add(1, Ordering::Relaxed));
                let body = self.body(id.0);
                let content = content(&body.0, &HashMap::new());
                self.crowd.witness.record(Event::Sending {
                    queue,
                    id,
                    content,
                    limits: history::Limits::default(),
                });
                ids.push(id);
                messages.push(body);
            }
            let publishing = self.handle.publish(name(queue), messages, Vec::new());
            let Some(Ok(published)) = self.schedule.unless_cancelled(publishing).await else { continue };
            let sequences = published.sequences(ids.len());
            let confirmed = ids.into_iter().zip(sequences).map(|(id, (sequence, _))| {
                self.seen(sequence.0);
                Event::Confirmed { queue, id, sequence: sequence.0 }
            });
            self.crowd.witness.record_all(confirmed.collect::<Vec<_>>());
        }
    }

    fn delivered(&self, queue: Queue, call: Call, delivery: &Delivery) -> Lease {
        let receipt = delivery.receipt;
        self.seen(receipt.sequence.0 << 8 | u64::from(receipt.attempt.0));
        let lease = Lease { queue, sequence: delivery.message.sequence.0, attempt: receipt.attempt.0 };
        let body = &delivery.message.content.0;
        let id = body.first_chunk().map(|id| Id(u64::from_be_bytes(*id)));
        let until = delivery.lease_expires_at.map_or(0, |until| until.0);
        let epoch = if until == 0 { 0 } else { receipt.epoch.0 };
        let content = content(body, &HashMap::new());
        let delivered = Delivered { lease, epoch, call, id, content, until, at: (self.now)() };
        self.crowd.witness.record(Event::Delivered(delivered));
        lease
    }

    async fn settle(&self, queue: Queue, lease: Lease, delivery: &Delivery, verdict: Verdict) {
        let witness = &self.crowd.witness;
        witness.record(Event::Settling { lease, verdict });
        let what = match verdict {
            Verdict::Ack => Settlement::Ack,
            Verdict::Nack => Settlement::Nack { retry: Retry::Backoff, reason: "".into() },
        };
        let settling = self.handle.settle(name(queue), vec![Ok(delivery.receipt)], what);
        let Some(Ok(refused)) = self.schedule.unless_cancelled(settling).await else { return };
        let outcome = if refused.is_empty() { Outcome::Done } else { Outcome::Refused };
        self.seen(refused.len() as u64);
        witness.record(Event::Settled { lease, verdict, outcome, at: (self.now)() });
    }

    /// Acks most, nacks some, leaves a few.
    async fn decide(&self, queue: Queue, lease: Lease, delivery: &Delivery) {
        if delivery.lease_expires_at.is_none() {
            return;
        }
        match self.draw(|rng| rng.random_range(0..20)) {
            0..16 => self.settle(queue, lease, delivery, Verdict::Ack).await,
            16..18 => self.settle(queue, lease, delivery, Verdict::Nack).await,
            _ => {}
        }
    }

    async fn subscribe(self, queue: Queue) {
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
                self.crowd.witness.record(Event::Ended { call });
            }
            self.pause(20).await;
        }
    }

    async fn receive(self, queue: Queue) {
        loop {
            let (most, lease_ms) = self.draw(|rng| (rng.random_range(1..10), rng.random_range(1000..1500)));
            let call = self.crowd.witness.open(queue, Kind::Receive, lease_ms);
            let wait = Duration::from_millis(self.draw(|rng| rng.random_range(0..200)));
            let receiving = self.handle.receive(name(queue), terms(most, lease_ms), tokio::time::sleep(wait));
            if let Some(Ok((taken, handout))) = self.schedule.unless_cancelled(receiving).await {
                self.crowd.witness.record(Event::Answered { call });
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

    /// Publishes what nobody keeps account of.
    async fn fill(self, queue: Queue) {
        loop {
            self.pause(30).await;
            if self.backlog(queue).await > BACKLOG_MAX {
                self.pause(200).await;
                continue;
            }
            let count = self.draw(|rng| rng.random_range(1_u32..8));
            let messages: Vec<_> = (0..count).map(|_| self.body(0)).collect();
            let mut facts = Vec::new();
            let (id, delay, priority) =
                self.draw(|rng| (rng.random_range(0..40), rng.random_range(0..400), rng.random_range(0..3)));
            let known = match queue {
                "remembered" => Facts { deduplication: Some(DeduplicationId([1, id])), ..Facts::default() },
                "retried" => Facts { delay: types::Duration(delay), ..Facts::default() },
                _ => Facts { priority: Priority::new(priority).unwrap_or_default(), ..Facts::default() },
            };
            if !known.is_none() {
                facts.push((0, known));
            }
            let publishing = self.handle.publish(name(queue), messages, facts);
            if let Some(Ok(published)) = self.schedule.unless_cancelled(publishing).await {
                self.seen(published.first.0);
            }
        }
    }

    /// Consumes what nobody keeps account of, badly.
    async fn empty(self, queue: Queue) {
        loop {
            self.pause(60).await;
            let receiving = self.handle.receive(
                name(queue),
                terms(8, 1000),
                tokio::time::sleep(Duration::from_millis(20)),
            );
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

    /// Purges, pauses, peeks, makes and removes queues.
    async fn administer(self) {
        for round in 0_u64.. {
            self.pause(300).await;
            let queue = OTHERS[self.draw(|rng| rng.random_range(0..OTHERS.len()))];
            let act = self.draw(|rng| rng.random_range(0..6));
            let doing = async {
                match act {
                    0 => self.handle.purge(name(queue)).await.unwrap_or_default(),
                    1 | 2 => {
                        let window = Window { from: Sequence(0), count: 20 };
                        let peeked = self.handle.peek(name(queue), window, None, 10_000).await;
                        peeked.map_or(0, |page| page.items.len() as u64)
                    }
                    3 => {
                        for paused in [true, false] {
                            let settings = QueueSettings { paused, ..QueueSettings::default() };
                            let patch = Patch { fields: vec![SettingsField::Paused], settings };
                            let _ = self.handle.update(name(queue), patch).await;
                            self.pause(50).await;
                        }
                        0
                    }
                    4 => self.handle.delete(name("dropped")).await.unwrap_or_default(),
                    _ => {
                        let passing = name(&format!("passing-{}", round % 7));
                        let _ = self.handle.create(passing.clone(), QueueSettings::default()).await;
                        let bodies = (0..20).map(|_| self.body(0)).collect();
                        let _ = self.handle.publish(passing.clone(), bodies, Vec::new()).await;
                        let _ = self.handle.create(name("dropped"), self.crowd.settings("dropped")).await;
                        self.handle.delete(passing).await.unwrap_or_default()
                    }
                }
            };
            if let Some(done) = self.schedule.unless_cancelled(doing).await {
                self.seen(done);
            }
        }
    }

    /// Watches statistics now and then.
    async fn watch(self) {
        loop {
            self.pause(500).await;
            if let Ok(mut watch) = self.handle.watch().await
                && let Some(Ok(board)) = self.schedule.unless_cancelled(watch.board(None)).await
            {
                self.seen(board.at.0);
            }
        }
    }

    /// Takes all that is left of the queues that are accounted for, with nobody else about, and ends the broker.
    pub async fn drain(self, done: Arc<AtomicU64>) {
        for (queue, _) in QUEUES {
            // Nobody may have come so far as to make it.
            let depth = self.handle.show(name(queue)).await.map_or(0, |view| view.depth.messages());
            self.crowd.witness.record(Event::Draining { queue, depth });
            while !matches!(self.backlog(queue).await, 0 | u64::MAX) {
                let call = self.crowd.witness.open(queue, Kind::Receive, DRAIN_LEASE_MS);
                let second = tokio::time::sleep(Duration::from_secs(1));
                let receiving = self.handle.receive(name(queue), terms(100, DRAIN_LEASE_MS), second);
                let Ok((taken, handout)) = receiving.await else { continue };
                self.crowd.witness.record(Event::Answered { call });
                handout.keep();
                for delivery in &taken {
                    let lease = self.delivered(queue, call, delivery);
                    if delivery.lease_expires_at.is_some() {
                        let verdict = Verdict::Ack;
                        self.crowd.witness.record(Event::Settling { lease, verdict });
                        let acked = self
                            .handle
                            .settle(name(queue), vec![Ok(delivery.receipt)], Settlement::Ack)
                            .await;
                        let Ok(refused) = acked else { continue };
                        let outcome = if refused.is_empty() { Outcome::Done } else { Outcome::Refused };
                        let at = (self.now)();
                        self.crowd.witness.record(Event::Settled { lease, verdict, outcome, at });
                    }
                }
            }
            self.crowd.witness.record(Event::Drained { queue, at: (self.now)() });
        }
        self.handle.drain().await;
        self.handle.stop();
        done.fetch_add(1, Ordering::Relaxed);
    }
}
