//! Producers and consumers that do everything that can be done with a message, and record it.
//!
//! They end when they are dropped, whatever they are doing: what was not recorded by then may have happened or not.

#[path = "load/keepers.rs"]
mod keepers;
#[path = "load/queues.rs"]
mod queues;
#[path = "load/together.rs"]
mod together;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bbq_client::{Client, Delivery, Error, Message, Profile, Transport};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::JoinSet;

use crate::history::{
    Call, Delivered, Event, Id, Kind, Lease, Letter, Limits, Order, Outcome, Queue, Verdict, Witness,
    content, first_of,
};

use queues::{KEYS, LATE, MORTALS, RANKED};
pub use queues::{QUEUES, settings};
pub use together::create as create_topic;

/// How long some of the messages live that have a time to live: longer than any run.
const LONG_LIFE: Duration = Duration::from_secs(24 * 3600);

/// How long a Receive call leases, in milliseconds.
const CALL_LEASE_MS: std::ops::Range<u64> = 1000..1500;
/// How many publishes without an answer are kept, to be sent again.
const AGAIN_MAX: usize = 50;
/// Producers pause while more than this wait to be consumed, so that a drain ends.
const BACKLOG_MAX: u64 = 5_000;
/// What all producers and consumers of a run share.
#[derive(Clone)]
pub struct Load {
    pub witness: Arc<Witness>,
    ids: Arc<AtomicU64>,
    /// Sent and not yet delivered, roughly.
    backlog: Arc<AtomicU64>,
    /// Messages with a deduplication id whose publish had no answer.
    again: Arc<Mutex<Vec<Unanswered>>>,
    /// Queues whose deletion was confirmed.
    pub deleted: Arc<Mutex<Vec<String>>>,
    directory: Arc<Path>,
    /// Backups that were begun, and the latest that is whole.
    copies: Arc<AtomicU64>,
    pub copy: Arc<Mutex<Option<(u64, PathBuf)>>>,
}

/// A queue, and what should be in it.
type Unanswered = (Queue, Vec<(Id, Message)>);

impl Load {
    /// Keeps its record, and backups, in a directory that it shares with the other processes.
    pub fn new(directory: &Path, process: u32) -> Self {
        Self {
            witness: Arc::new(Witness::beside(QUEUES, process, &directory.join("history"))),
            ids: Arc::new(AtomicU64::new(first_of(process))),
            backlog: Arc::default(),
            again: Arc::default(),
            deleted: Arc::default(),
            directory: directory.into(),
            copies: Arc::default(),
            copy: Arc::default(),
        }
    }

    /// Producers and consumers.
    pub fn start_clients(
        &self,
        profile: &Profile,
        transports: &[Transport],
        rng: &mut StdRng,
    ) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        for &transport in transports {
            let client = over(profile, transport);
            let mut actor = |client: &Client, queue| Actor {
                load: self.clone(),
                client: client.clone(),
                queue,
                rng: StdRng::seed_from_u64(rng.random()),
            };
            tasks.spawn(actor(&client, QUEUES[0].0).announce());
            tasks.spawn(actor(&client, QUEUES[0].0).transact());
            for (queue, promise) in QUEUES {
                let mut actor = |client: &Client| actor(client, queue);
                if promise.dead_letters_of.or(promise.redriven_from).is_none() {
                    tasks.spawn(actor(&client).produce());
                    tasks.spawn(actor(&client).produce_many());
                }
                tasks.spawn(actor(&client).subscribe());
                tasks.spawn(actor(&client).receive());
                tasks.spawn(actor(&client).subscribe_and_close(profile.clone(), transport));
            }
        }
        tasks
    }

    /// Takes all that is left, with nobody else about.
    pub async fn drain(&self, client: &Client, queue: Queue) {
        let witness = &self.witness;
        let depth = depth(client, queue).await;
        witness.record(Event::Draining { queue, depth });
        while self::depth(client, queue).await > 0 {
            let lease = Duration::from_secs(30);
            let call = witness.open(queue, Kind::Receive, millis(lease));
            let taken = client.receive(queue, 1000, Duration::from_secs(1), Some(lease)).await.unwrap();
            witness.record(Event::Answered { call });
            let mut acks = Vec::new();
            for delivery in taken {
                let lease = self.delivered(queue, call, &delivery);
                if !delivery.receipt().is_empty() {
                    witness.record(Event::Settling { lease, verdict: Verdict::Ack });
                    acks.push((lease, delivery.ack()));
                }
            }
            for (lease, ack) in acks {
                ack.await.unwrap();
                witness.record(settled(lease, Verdict::Ack, Outcome::Done));
            }
        }
        witness.record(Event::Drained { queue, at: now() });
    }

    fn delivered(&self, queue: Queue, call: Call, delivery: &Delivery) -> Lease {
        let lease = Lease { queue, sequence: delivery.sequence(), attempt: delivery.attempt() };
        let until = delivery.lease_expires_at().map_or(0, |until| {
            let since = until.duration_since(std::time::UNIX_EPOCH).expect("this century");
            u64::try_from(since.as_millis()).expect("this century")
        });
        let epoch = delivery.receipt().rsplit('.').next().and_then(|text| u32::from_str_radix(text, 16).ok());
        let id = id_of(delivery.attributes());
        let content = as_sent(delivery.body(), delivery.attributes());
        let (epoch, at) = (epoch.unwrap_or(0), now());
        let letter = letter(delivery.attributes());
        self.witness.record(Event::Delivered(Delivered {
            lease,
            letter,
            epoch,
            call,
            id,
            content,
            until,
            at,
        }));
        // Redeliveries count too often; it is a brake, no more.
        let _ = self.backlog.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        lease
    }
}

pub fn id_of(attributes: &HashMap<String, String>) -> Option<Id> {
    attributes.get("id").and_then(|id| id.parse().ok()).map(Id)
}

/// What a dead letter says of its death.
fn letter(attributes: &HashMap<String, String>) -> Option<Letter> {
    let note = |what: &str| attributes.get(&format!("bbq-dead-letter-{what}"));
    Some(Letter { reason: note("reason")?.clone(), attempts: note("attempts")?.parse().ok()? })
}

/// The content of a message without what the server adds to it.
pub fn as_sent(body: &[u8], attributes: &HashMap<String, String>) -> u64 {
    let own = |(name, _): &(&String, &String)| !name.starts_with("bbq-dead-letter-");
    let attributes = attributes.iter().filter(own);
    content(body, &attributes.map(|(name, value)| (name.clone(), value.clone())).collect())
}

/// All that a queue has.
async fn depth(client: &Client, queue: Queue) -> u64 {
    let stats = client.get_queue(queue).await.unwrap().stats.unwrap_or_default();
    stats.ready + stats.leased + stats.delayed + stats.parked + stats.dead
}

fn over(profile: &Profile, transport: Transport) -> Client {
    let profile = Profile { transport, ..profile.clone() };
    Client::connect_lazily(&profile).expect("a good profile").with_deadline(Duration::from_secs(20))
}

fn settled(lease: Lease, verdict: Verdict, outcome: Outcome) -> Event {
    Event::Settled { lease, verdict, outcome, at: now() }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).expect("not that long")
}

/// Milliseconds of the wall clock, which the server's deadlines follow.
fn now() -> u64 {
    bbq::broker::wall_clock().0
}

async fn pause(rng: &mut StdRng) {
    tokio::time::sleep(Duration::from_millis(rng.random_range(1..30))).await;
}

/// One producer or consumer.
struct Actor {
    load: Load,
    client: Client,
    queue: Queue,
    rng: StdRng,
}

impl Actor {
    /// New messages, recorded as about to be sent.
    fn messages(&mut self, count: usize) -> Vec<(Id, Message)> {
        let messages: Vec<_> = (0..count).map(|_| self.message()).collect();
        let sending = |(id, message): &(Id, Message)| {
            let content = content(&message.body, &message.attributes);
            let expires = message.time_to_live.map(|life| now() + millis(life));
            let (key, priority) = (message.ordering_key.parse().ok(), message.priority);
            let due = message.delay.map(|delay| now() + millis(delay));
            let limits = Limits { key, expires, due, priority };
            Event::Sending { queue: self.queue, id: *id, content, limits }
        };
        self.load.witness.record_all(messages.iter().map(sending));
        self.load.backlog.fetch_add(u64::try_from(count).expect("few"), Ordering::Relaxed);
        messages
    }

    fn message(&mut self) -> (Id, Message) {
        let id = Id(self.load.ids.fetch_add(1, Ordering::Relaxed));
        let length = match self.rng.random_range(0..200) {
            // A large message is stored in parts, and one of more than a journal segment has it alone.
            0 => self.rng.random_range(30_000..150_000),
            1..10 => self.rng.random_range(1_000..30_000),
            _ => self.rng.random_range(0..300),
        };
        let mut body = vec![0; length];
        self.rng.fill(&mut body[..]);
        let mut attributes = HashMap::from([("id".to_owned(), id.0.to_string())]);
        if self.rng.random_bool(0.2) {
            attributes.insert("color".to_owned(), format!("{:x}", self.rng.random::<u32>()));
        }
        let mut message = Message { body: body.into(), attributes, ..Message::default() };
        if QUEUES.iter().any(|&(queue, promise)| queue == self.queue && promise.order == Order::ByKey) {
            // Some have none, and are in no order.
            let key = self.rng.random_range(0..=KEYS);
            message.ordering_key = if key == KEYS { String::new() } else { key.to_string() };
        }
        if MORTALS.contains(&self.queue) {
            let long = self.rng.random_bool(0.2);
            let life = if long { LONG_LIFE } else { Duration::from_millis(self.rng.random_range(200..3000)) };
            message.time_to_live = Some(life);
        }
        if self.queue == RANKED {
            message.priority = self.rng.random_range(0..=9);
        }
        if self.queue == LATE && self.rng.random_bool(0.05) {
            message.delay = Some(Duration::from_millis(self.rng.random_range(1..500)));
        }
        (id, message)
    }

    async fn room(&mut self) {
        pause(&mut self.rng).await;
        while self.load.backlog.load(Ordering::Relaxed) > BACKLOG_MAX {
            pause(&mut self.rng).await;
        }
    }

    /// Single messages and batches, one call after the other.
    async fn produce(mut self) {
        loop {
            self.room().await;
            let messages = match self.unanswered() {
                Some(messages) => messages,
                None => self.batch(),
            };
            self.publish(messages).await;
        }
    }

    /// What this queue may have or not, to be sent again; perhaps while it is still under way.
    fn unanswered(&mut self) -> Option<Vec<(Id, Message)>> {
        let again = self.load.again.lock().unwrap();
        let one = again.iter().find(|(queue, _)| *queue == self.queue).filter(|_| self.rng.random_bool(0.3));
        one.map(|(_, messages)| messages.clone())
    }

    /// New messages; some batches can be sent twice without harm.
    fn batch(&mut self) -> Vec<(Id, Message)> {
        let count = if self.rng.random() { 1 } else { self.rng.random_range(2..=40) };
        let mut messages = self.messages(count);
        if self.rng.random_bool(0.3) {
            for (id, message) in &mut messages {
                message.deduplication_id = id.0.to_string();
            }
        }
        messages
    }

    async fn publish(&mut self, messages: Vec<(Id, Message)>) {
        let queue = self.queue;
        let (ids, sent): (Vec<_>, Vec<_>) = messages.iter().cloned().unzip();
        let again = Arc::clone(&self.load.again);
        let safe = messages.iter().all(|(_, message)| !message.deduplication_id.is_empty());
        let forget = |again: &mut Vec<Unanswered>| again.retain(|(_, known)| known[0].0 != ids[0]);
        if safe {
            let mut again = again.lock().unwrap();
            forget(&mut again);
            again.truncate(AGAIN_MAX);
            again.push((queue, messages));
        }
        let events: Vec<_> = match self.client.publish_all(queue, sent).await {
            Ok(published) => {
                forget(&mut again.lock().unwrap());
                let confirmed = |(id, one): (&Id, bbq_client::Published)| Event::Confirmed {
                    queue,
                    id: *id,
                    sequence: one.sequence,
                };
                ids.iter().zip(published).map(confirmed).collect()
            }
            // It may have been stored when it was sent before.
            Err(_) if safe => Vec::new(),
            Err(error) => ids.iter().filter_map(|id| unsent(*id, &error)).collect(),
        };
        self.load.witness.record_all(events);
    }

    /// Many messages in flight.
    async fn produce_many(mut self) {
        let publisher = self.client.publisher(self.queue);
        loop {
            self.room().await;
            let count = self.rng.random_range(1..=60);
            let mut confirmations = Vec::new();
            for (id, message) in self.messages(count) {
                confirmations.push((id, publisher.publish(message).await));
            }
            for (id, confirmation) in confirmations {
                let event = match confirmation.await {
                    Ok(one) => Some(Event::Confirmed { queue: self.queue, id, sequence: one.sequence }),
                    Err(error) => unsent(id, &error),
                };
                self.load.witness.record_all(event);
            }
        }
    }

    /// Streams, each cancelled after a while.
    async fn subscribe(mut self) {
        loop {
            self.one_stream().await;
            pause(&mut self.rng).await;
        }
    }

    /// The same with clients of its own, each closed after one.
    async fn subscribe_and_close(mut self, profile: Profile, transport: Transport) {
        loop {
            self.client = over(&profile, transport);
            self.one_stream().await;
            self.client.close().await;
            pause(&mut self.rng).await;
        }
    }

    async fn one_stream(&mut self) {
        let witness = Arc::clone(&self.load.witness);
        let lease = self.rng.random_range(1000..2500);
        let call = witness.open(self.queue, Kind::Stream, lease);
        let subscribing = self
            .client
            .subscribe(self.queue)
            .max_in_flight(self.rng.random_range(1..60))
            .lease_duration(Duration::from_millis(lease))
            .auto_extend(false)
            .start();
        let Ok(mut subscription) = subscribing.await else { return };
        let mut settling = JoinSet::new();
        let mut held = Vec::new();
        for _ in 0..self.rng.random_range(1..400) {
            let patience = Duration::from_millis(self.rng.random_range(20..400));
            let Ok(Some(Ok(delivery))) = tokio::time::timeout(patience, subscription.next()).await else {
                break;
            };
            let lease = self.load.delivered(self.queue, call, &delivery);
            held.extend(self.decide(lease, delivery, &mut settling));
        }
        // Half of the settlements are on their way when the stream ends.
        if self.rng.random() {
            while settling.join_next().await.is_some() {}
        }
        witness.record(Event::Ended { call });
        drop(subscription);
        while settling.join_next().await.is_some() {}
    }

    /// Long polls; some are cancelled.
    async fn receive(mut self) {
        loop {
            let witness = Arc::clone(&self.load.witness);
            let lease = self.rng.random_range(CALL_LEASE_MS);
            let call = witness.open(self.queue, Kind::Receive, lease);
            let max = self.rng.random_range(1..=20);
            let wait = Duration::from_millis(self.rng.random_range(0..300));
            let lease = Duration::from_millis(lease);
            let patience = Duration::from_millis(self.rng.random_range(10..400));
            let receiving = self.client.receive(self.queue, max, wait, Some(lease));
            if let Ok(Ok(taken)) = tokio::time::timeout(patience, receiving).await {
                witness.record(Event::Answered { call });
                let mut settling = JoinSet::new();
                for delivery in taken {
                    let lease = self.load.delivered(self.queue, call, &delivery);
                    drop(self.decide(lease, delivery, &mut settling));
                }
                while settling.join_next().await.is_some() {}
            }
            pause(&mut self.rng).await;
        }
    }

    /// What becomes of a delivery; returned if it is kept.
    fn decide(&mut self, lease: Lease, delivery: Delivery, settling: &mut JoinSet<()>) -> Option<Delivery> {
        if delivery.receipt().is_empty() {
            return None;
        }
        let witness = Arc::clone(&self.load.witness);
        let roll = self.rng.random_range(0..100);
        let longer = Duration::from_millis(self.rng.random_range(1000..2000));
        // Where attempts are used up, that happens often.
        let tries = QUEUES.iter().any(|(queue, it)| *queue == self.queue && it.gives_up_after.is_some());
        match roll {
            0..50 if tries => _ = settling.spawn(settle(witness, lease, delivery, Verdict::Nack)),
            0..80 => _ = settling.spawn(settle(witness, lease, delivery, Verdict::Ack)),
            80..90 => _ = settling.spawn(settle(witness, lease, delivery, Verdict::Nack)),
            90..94 => _ = settling.spawn(extend(witness, lease, delivery, longer, Some(Verdict::Ack))),
            94..96 => _ = settling.spawn(extend(witness, lease, delivery, longer, Some(Verdict::Nack))),
            96..97 => _ = settling.spawn(extend(witness, lease, delivery, longer, None)),
            _ => return Some(delivery),
        }
        None
    }
}

fn unsent(id: Id, error: &Error) -> Option<Event> {
    error.is_unprocessed().then_some(Event::Unsent { id })
}

async fn settle(witness: Arc<Witness>, lease: Lease, delivery: Delivery, verdict: Verdict) {
    witness.record(Event::Settling { lease, verdict });
    let settlement = match verdict {
        Verdict::Ack => delivery.ack(),
        Verdict::Nack => delivery.nack(),
    };
    let outcome = match settlement.await {
        Ok(()) => Outcome::Done,
        Err(Error::Receipt { .. }) => Outcome::Refused,
        Err(_) => return,
    };
    witness.record(settled(lease, verdict, outcome));
}

async fn extend(
    witness: Arc<Witness>,
    lease: Lease,
    delivery: Delivery,
    by: Duration,
    then: Option<Verdict>,
) {
    let until = now() + millis(by);
    witness.record(Event::Extending { lease, until });
    if delivery.extend(by).await.is_ok() {
        witness.record(Event::Extended { lease, until });
    }
    if let Some(verdict) = then {
        settle(witness, lease, delivery, verdict).await;
    }
}
