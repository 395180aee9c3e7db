//! A hundred queues of all kinds under churn: backlogs that rise and fall, streams that come and go, settings that change, and
//! now and then a backup.
//!
//! Each queue has a keeper that follows a wave: it publishes while the queue is below it, and consumes while it is above. So
//! what is stored is the same again after each wave, and what keeps growing grows for no reason. Whoever else moves messages
//! from queue to queue only gives the keepers more to do.

#[path = "churn/caretakers.rs"]
mod caretakers;
#[path = "churn/kinds.rs"]
mod kinds;

use std::f64::consts::TAU;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bbq_client::{Client, Error, Message, Nack, Profile, Transport, proto};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::LONG;

pub use kinds::backlog;
use kinds::{DEAD, Kind};

/// How many queues have a keeper.
pub const QUEUES: usize = 100;
/// How many consumers come and go beside the keepers.
const VISITORS: usize = 16;
/// How many carry messages from queue to queue.
const CARRIERS: usize = 4;
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
    pub transactions: AtomicU64,
    /// Dead letters that are gone for good, and those that were sent back.
    pub buried: AtomicU64,
    pub redriven: AtomicU64,
    pub backups: AtomicU64,
    pub errors: AtomicU64,
}

impl Done {
    /// What was done, and how often, but for errors.
    pub fn counts(&self) -> [(&'static str, u64); 9] {
        let Self { published, delivered, acked, streams, changes, .. } = self;
        let Self { transactions, buried, redriven, backups, .. } = self;
        let counts = [
            ("messages published", published),
            ("delivered", delivered),
            ("acked", acked),
            ("streams", streams),
            ("changes", changes),
            ("transactions", transactions),
            ("dead letters buried", buried),
            ("sent back", redriven),
            ("backups", backups),
        ];
        counts.map(|(what, count)| (what, count.load(Ordering::Relaxed)))
    }
}

/// The churn, running. Dropping it ends it wherever it is.
pub struct Churn {
    pub done: Arc<Done>,
    ebb: Arc<AtomicBool>,
    tasks: JoinSet<()>,
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
            Client::connect_lazily(&profile).expect("a good profile").with_deadline(LONG)
        });
        let admin = &clients[0];
        admin.create_queue(DEAD, proto::QueueSettings::default()).await.expect("a queue");
        for queue in 0..QUEUES {
            admin.create_queue(&name(queue), Kind::of(queue).settings(pace)).await.expect("a queue");
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
        tasks.spawn(actor(0).back_up());
        for carrier in 0..CARRIERS {
            tasks.spawn(actor(carrier).transact());
        }
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

    fn ebbs(&self) -> bool {
        self.ebb.load(Ordering::Relaxed)
    }

    /// Notes a failure. A full queue, one that has gone, and a lease that ended are part of the churn.
    fn ok<T>(&self, outcome: Result<T, Error>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(
                Error::ResourceExhausted(_)
                | Error::NotFound(_)
                | Error::FailedPrecondition(_)
                | Error::Aborted(_),
            ) => None,
            Err(error) => {
                eprintln!("churn: {error}");
                self.count(|done| &done.errors, 1);
                None
            }
        }
    }

    /// How many messages a queue should hold now. Half of the queues rise and fall together, the others one after the other.
    fn wave(&self, queue: usize) -> u64 {
        if self.ebbs() {
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
        Kind::of(queue).message(queue, self.pace, &mut self.rng)
    }

    /// Keeps a queue at the height of its wave.
    async fn keep(mut self, queue: usize) {
        let name = name(queue);
        loop {
            self.pause().await;
            let Some(found) = self.ok(self.client.get_queue(&name).await) else { continue };
            let backlog = backlog(&found.stats.expect("a queue has counts"));
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

    /// Empties the queue of dead letters. Some of them go back to where they came from.
    async fn bury(mut self) {
        loop {
            self.pause().await;
            if self.rng.random_ratio(1, 4) && !self.ebbs() {
                self.redrive().await;
            } else {
                let buried = self.receive(DEAD, 1000).await;
                self.count(|done| &done.buried, buried);
            }
        }
    }

    /// Sends dead letters back.
    async fn redrive(&mut self) {
        let request = proto::RedriveMessagesRequest {
            queue: DEAD.to_owned(),
            max_messages: BATCH,
            ..proto::RedriveMessagesRequest::default()
        };
        let Some(mut steps) = self.ok(self.client.redrive(request).await) else { return };
        let mut moved = 0;
        while let Some(Some(step)) = self.ok(steps.next().await) {
            moved = step.moved;
        }
        self.count(|done| &done.redriven, moved);
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

    /// Takes messages with a long poll; says how many are done with.
    async fn receive(&mut self, queue: &str, count: u64) -> u64 {
        let (most, wait) = (u32::try_from(count.clamp(1, 1000)).expect("a few"), self.pace.pause / 4);
        let receiving = self.client.receive(queue, most, wait, Some(Duration::from_secs(5))).await;
        let Some(deliveries) = self.ok(receiving) else { return 0 };
        self.count(|done| &done.delivered, u64::try_from(deliveries.len()).expect("a few"));
        let mut receipts = Vec::new();
        for delivery in &deliveries {
            // Some are left to their deadline.
            if !delivery.receipt().is_empty() && !self.rng.random_ratio(1, 200) {
                receipts.push(delivery.receipt().to_owned());
            }
        }
        if self.ok(self.client.ack(queue, &receipts).await).is_none() {
            return 0;
        }
        let acked = u64::try_from(receipts.len()).expect("a few");
        self.count(|done| &done.acked, acked);
        acked
    }
}
