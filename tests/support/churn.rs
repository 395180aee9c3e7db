//! A hundred queues of all kinds under churn: backlogs that rise and fall, streams that come and go, settings that change.
//!
//! Each queue has a keeper that follows a wave: it publishes while the queue is below it, and consumes while it is above. So
//! what is stored is the same again after each wave, and what keeps growing grows for no reason.

use std::collections::HashMap;
use std::f64::consts::TAU;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bbq_client::{Client, Error, Message, Nack, Profile, Transport, proto};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How many queues have a keeper.
pub const QUEUES: usize = 100;
/// Where dead letters go. Its keeper only consumes.
const DEAD: &str = "dead";
/// How many consumers come and go beside the keepers.
const VISITORS: usize = 16;
/// A keeper publishes or takes so many messages at once, at the most.
const BATCH: u64 = 50;

/// How much churn there is.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How long a backlog takes to rise and fall once.
    pub wave: Duration,
    /// The height of a wave, in messages of one queue.
    pub crest: u32,
    /// The longest that a keeper pauses between two things that it does.
    pub pause: Duration,
}

/// What was done so far, by everybody together.
#[derive(Debug, Default)]
pub struct Done {
    pub published: AtomicU64,
    pub delivered: AtomicU64,
    pub acked: AtomicU64,
    pub streams: AtomicU64,
    pub changes: AtomicU64,
    pub errors: AtomicU64,
}

/// The churn, running. Dropping it ends it wherever it is.
pub struct Churn {
    pub done: Arc<Done>,
    ebb: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

/// The settings of a queue: each kind is there several times.
fn settings(queue: usize) -> proto::QueueSettings {
    let plain = proto::QueueSettings { lease_duration: seconds(10), ..proto::QueueSettings::default() };
    let retrying = |settings| proto::QueueSettings {
        max_attempts: 3,
        dead_letter_queue: DEAD.to_owned(),
        retry_backoff: Some(proto::RetryBackoff { initial: seconds(1), multiplier: 2.0, max: None }),
        ..settings
    };
    match queue % 10 {
        0 => proto::QueueSettings { ordering: proto::Ordering::Fifo.into(), ..plain },
        1 => proto::QueueSettings { delivery: proto::DeliveryMode::AtMostOnce.into(), ..plain },
        2 => proto::QueueSettings { durability: proto::Durability::Buffered.into(), ..plain },
        3 => proto::QueueSettings { single_active_consumer: true, ..plain },
        4 => retrying(plain),
        5 => {
            proto::QueueSettings { max_messages: 500, overflow: proto::Overflow::DropOldest.into(), ..plain }
        }
        6 => proto::QueueSettings { max_bytes: 1 << 20, overflow: proto::Overflow::Reject.into(), ..plain },
        7 => proto::QueueSettings { deduplication_window: seconds(30), ..plain },
        8 => retrying(proto::QueueSettings {
            delivery: proto::DeliveryMode::AtLeastOnce.into(),
            durability: proto::Durability::Buffered.into(),
            ..plain
        }),
        _ => plain,
    }
}

fn name(queue: usize) -> String {
    format!("queue-{queue:03}")
}

impl Churn {
    /// Makes the queues and sets everybody going, over both transports.
    pub async fn start(profile: &Profile, pace: Pace, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let clients = [Transport::Http3, Transport::Http2].map(|transport| {
            let profile = Profile { transport, ..profile.clone() };
            Client::connect_lazily(&profile).expect("a good profile").with_deadline(Duration::from_secs(20))
        });
        let admin = &clients[0];
        admin.create_queue(DEAD, proto::QueueSettings::default()).await.expect("a queue");
        for queue in 0..QUEUES {
            admin.create_queue(&name(queue), settings(queue)).await.expect("a queue");
        }
        let (done, ebb) = (Arc::new(Done::default()), Arc::new(AtomicBool::new(false)));
        let mut tasks = JoinSet::new();
        let started = Instant::now();
        let mut actor = |at: usize| Actor {
            client: clients[at % 2].clone(),
            done: Arc::clone(&done),
            ebb: Arc::clone(&ebb),
            pace,
            started,
            rng: StdRng::seed_from_u64(rng.random()),
        };
        for queue in 0..QUEUES {
            tasks.spawn(actor(queue).keep(queue));
        }
        tasks.spawn(actor(0).bury());
        for visitor in 0..VISITORS {
            tasks.spawn(actor(visitor).visit());
        }
        tasks.spawn(actor(0).come_and_go());
        tasks.spawn(actor(1).change_settings());
        Self { done, ebb, tasks }
    }

    /// Lets all backlogs fall to nothing from now on.
    pub fn ebb(&self) {
        self.ebb.store(true, Ordering::Relaxed);
    }

    /// Ends it, and waits until everybody has gone. Panics if one of them did.
    pub async fn end(mut self) {
        self.tasks.abort_all();
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                assert!(error.is_cancelled(), "{error}");
            }
        }
    }
}

/// Somebody who does something, again and again.
struct Actor {
    client: Client,
    done: Arc<Done>,
    ebb: Arc<AtomicBool>,
    pace: Pace,
    started: Instant,
    rng: StdRng,
}

impl Actor {
    async fn pause(&mut self) {
        let pause = self.pace.pause.mul_f64(self.rng.random_range(0.1..1.0));
        tokio::time::sleep(pause).await;
    }

    fn count(&self, counter: impl Fn(&Done) -> &AtomicU64, by: u64) {
        counter(&self.done).fetch_add(by, Ordering::Relaxed);
    }

    /// Notes a failure. A full queue and one that has gone are part of the churn.
    fn ok<T>(&self, outcome: Result<T, Error>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(Error::ResourceExhausted(_) | Error::NotFound(_) | Error::FailedPrecondition(_)) => None,
            Err(error) => {
                eprintln!("churn: {error}");
                self.count(|done| &done.errors, 1);
                None
            }
        }
    }

    /// How many messages a queue should hold now. Half of the queues rise and fall together, the others one after the other.
    fn wave(&self, queue: usize) -> u64 {
        if self.ebb.load(Ordering::Relaxed) {
            return 0;
        }
        let place = u32::try_from(queue).expect("a few");
        let phase = if place.is_multiple_of(2) { 0.0 } else { f64::from(place) / 100.0 };
        let turns = self.started.elapsed().as_secs_f64() / self.pace.wave.as_secs_f64() + phase;
        let height = f64::from(self.pace.crest) * (0.5 - 0.5 * (turns * TAU).cos());
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and the crest"
        )]
        let height = height as u64;
        height
    }

    fn message(&mut self, queue: usize) -> Message {
        let length = match self.rng.random_range(0..1000) {
            // Stored in parts.
            0 => self.rng.random_range(40_000..200_000),
            1..30 => self.rng.random_range(1_000..20_000),
            _ => self.rng.random_range(20..600),
        };
        let mut body = vec![b'b'; length];
        // Half of the queues hold what can't be compressed.
        if queue.is_multiple_of(2) {
            self.rng.fill(&mut body[..]);
        }
        let mut message = Message::new(body);
        if queue % 10 == 7 {
            message = message.deduplication_id(format!("{:x}", self.rng.random::<u64>()));
        }
        if queue % 10 == 9 {
            message = message.priority(self.rng.random_range(0..10));
        }
        message
    }

    /// Keeps a queue at the height of its wave.
    async fn keep(mut self, queue: usize) {
        let name = name(queue);
        loop {
            self.pause().await;
            let Some(found) = self.ok(self.client.get_queue(&name).await) else { continue };
            let stats = found.stats.expect("a queue has counts");
            let backlog = stats.ready + stats.delayed + stats.leased;
            let wanted = self.wave(queue);
            if backlog < wanted {
                let count = (wanted - backlog).min(BATCH);
                let messages: Vec<_> = (0..count).map(|_| self.message(queue)).collect();
                if self.ok(self.client.publish_all(&name, messages).await).is_some() {
                    self.count(|done| &done.published, count);
                }
            } else if self.rng.random() {
                self.subscribe(&name, (backlog - wanted).min(4 * BATCH)).await;
            } else {
                self.receive(&name, (backlog - wanted).min(4 * BATCH)).await;
            }
        }
    }

    /// Empties the queue of dead letters.
    async fn bury(mut self) {
        loop {
            self.pause().await;
            self.receive(DEAD, 1000).await;
        }
    }

    /// Takes messages from a stream, then cancels it.
    async fn subscribe(&mut self, queue: &str, count: u64) {
        let credit = self.rng.random_range(1..60);
        let starting = self.client.subscribe(queue).max_in_flight(credit).start().await;
        let Some(mut stream) = self.ok(starting) else { return };
        self.count(|done| &done.streams, 1);
        let patience = self.pace.pause;
        for _ in 0..count {
            let Ok(Some(Ok(delivery))) = tokio::time::timeout(patience, stream.next()).await else { break };
            self.count(|done| &done.delivered, 1);
            if delivery.receipt().is_empty() {
                continue;
            }
            match self.rng.random_range(0..100) {
                0 => delivery.nack_later(Nack::new()),
                // Given back when the stream ends.
                1 => drop(delivery),
                _ => {
                    delivery.ack_later();
                    self.count(|done| &done.acked, 1);
                }
            }
        }
        if self.rng.random() {
            stream.close().await;
        }
    }

    /// Takes messages with a long poll.
    async fn receive(&mut self, queue: &str, count: u64) {
        let (most, wait) = (u32::try_from(count.clamp(1, 1000)).expect("a few"), self.pace.pause / 4);
        let receiving = self.client.receive(queue, most, wait, Some(Duration::from_secs(5))).await;
        let Some(deliveries) = self.ok(receiving) else { return };
        self.count(|done| &done.delivered, u64::try_from(deliveries.len()).expect("a few"));
        let mut receipts = Vec::new();
        for delivery in &deliveries {
            // Some are left to their deadline.
            if !delivery.receipt().is_empty() && !self.rng.random_ratio(1, 200) {
                receipts.push(delivery.receipt().to_owned());
            }
        }
        if self.ok(self.client.ack(queue, &receipts).await).is_some() {
            self.count(|done| &done.acked, u64::try_from(receipts.len()).expect("a few"));
        }
    }

    /// A consumer that holds a few messages of some queue for a moment, and goes without a word.
    async fn visit(mut self) {
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
    async fn come_and_go(mut self) {
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
    async fn change_settings(mut self) {
        loop {
            self.pause().await;
            let queue = self.rng.random_range(0..QUEUES);
            let name = name(queue);
            let mut changed = settings(queue);
            let field = match self.rng.random_range(0..4) {
                0 => {
                    changed.lease_duration = seconds(self.rng.random_range(2..20));
                    "lease_duration"
                }
                // What is handed out once has no second attempt.
                1 if queue % 10 != 1 => {
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
}
