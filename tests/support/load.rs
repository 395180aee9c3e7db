//! Producers and consumers that do everything that can be done with a message, and record it.
//!
//! They end when they are dropped, whatever they are doing: what was not recorded by then may have happened or not.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bbq_client::{Client, Delivery, Error, Message, Profile, Transport, proto};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::JoinSet;

use crate::witness::{
    Call, Delivered, Event, Id, Kind, Lease, Mode, Outcome, Queue, Verdict, Witness, content,
};

/// The queues, and how often each may deliver.
pub const QUEUES: [(Queue, Mode); 4] = [
    ("orders", Mode::AtLeastOnce),
    ("clicks", Mode::AtLeastOnce),
    ("ticks", Mode::AtMostOnce),
    ("pings", Mode::AtMostOnce),
];

/// Producers pause while more than this wait to be consumed, so that a drain ends.
const BACKLOG_MAX: u64 = 5_000;
/// Messages of a queue that is about to be deleted: enough that their removal goes on after the checkpoint.
const SCRATCH_MESSAGES: usize = 300;

/// What all producers and consumers of a run share.
#[derive(Clone)]
pub struct Load {
    pub witness: Arc<Witness>,
    ids: Arc<AtomicU64>,
    /// Sent and not yet delivered, roughly.
    backlog: Arc<AtomicU64>,
    /// Queues whose deletion was confirmed.
    pub deleted: Arc<Mutex<Vec<String>>>,
}

/// The settings of one of [`QUEUES`].
pub fn settings(queue: Queue) -> proto::QueueSettings {
    let (delivery, durability) = match queue {
        "orders" => (proto::DeliveryMode::AtLeastOnce, proto::Durability::Synced),
        "clicks" => (proto::DeliveryMode::AtLeastOnce, proto::Durability::Buffered),
        "ticks" => (proto::DeliveryMode::AtMostOnce, proto::Durability::Synced),
        _ => (proto::DeliveryMode::AtMostOnce, proto::Durability::Buffered),
    };
    let lease_duration = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    proto::QueueSettings {
        delivery: delivery.into(),
        durability: durability.into(),
        lease_duration,
        ..proto::QueueSettings::default()
    }
}

impl Load {
    pub fn new() -> Self {
        Self {
            witness: Arc::new(Witness::new(QUEUES)),
            ids: Arc::default(),
            backlog: Arc::default(),
            deleted: Arc::default(),
        }
    }

    /// Everybody at once, over both transports.
    pub fn start(&self, profile: &Profile, rng: &mut StdRng) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let over = |transport| {
            let profile = Profile { transport, ..profile.clone() };
            Client::connect_lazily(&profile).expect("a good profile").with_deadline(Duration::from_secs(20))
        };
        for transport in [Transport::Http3, Transport::Http2] {
            let client = over(transport);
            for (queue, _) in QUEUES {
                let mut actor = |client: &Client| Actor {
                    load: self.clone(),
                    client: client.clone(),
                    queue,
                    rng: StdRng::seed_from_u64(rng.random()),
                };
                tasks.spawn(actor(&client).produce());
                tasks.spawn(actor(&client).produce_many());
                tasks.spawn(actor(&client).subscribe());
                tasks.spawn(actor(&client).receive());
                // One with a connection of its own, to be closed.
                let own = over(transport);
                tasks.spawn(actor(&own).subscribe_and_close());
            }
            let rng = StdRng::seed_from_u64(rng.random());
            tasks.spawn(self.clone().tidy(client, rng));
        }
        tasks
    }

    /// Makes queues, fills them, purges and deletes them.
    async fn tidy(self, client: Client, mut rng: StdRng) {
        loop {
            let name = format!("scratch-{:x}", rng.random::<u64>());
            if client.create_queue(&name, proto::QueueSettings::default()).await.is_err() {
                pause(&mut rng).await;
                continue;
            }
            let messages = || (0..SCRATCH_MESSAGES).map(|_| Message::new(vec![b'x'; 200])).collect();
            let filled = client.publish_all(&name, messages()).await;
            let taken = client.receive(&name, 20, Duration::ZERO, None).await;
            if rng.random() {
                _ = client.purge_queue(&name).await;
                _ = client.publish_all(&name, messages()).await;
            }
            drop((filled, taken));
            pause(&mut rng).await;
            if client.delete_queue(&name).await.is_ok() {
                self.deleted.lock().unwrap().push(name);
            }
        }
    }

    /// Takes all that is left, with nobody else about.
    pub async fn drain(&self, client: &Client, queue: Queue) {
        let witness = &self.witness;
        witness.record(Event::Draining { queue });
        loop {
            let stats = client.get_queue(queue).await.unwrap().stats.unwrap_or_default();
            if stats.ready + stats.leased == 0 {
                return;
            }
            let call = witness.open(Kind::Receive);
            let lease = Some(Duration::from_secs(30));
            let taken = client.receive(queue, 1000, Duration::from_secs(1), lease).await.unwrap();
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
                witness.record(Event::Settled { lease, verdict: Verdict::Ack, outcome: Outcome::Done });
            }
        }
    }

    fn delivered(&self, queue: Queue, call: Call, delivery: &Delivery) -> Lease {
        let lease = Lease { queue, sequence: delivery.sequence(), attempt: delivery.attempt() };
        let until = delivery.lease_expires_at().map_or(0, |until| {
            let since = until.duration_since(std::time::UNIX_EPOCH).expect("this century");
            u64::try_from(since.as_millis()).expect("this century")
        });
        let epoch = delivery.receipt().rsplit('.').next().and_then(|text| u32::from_str_radix(text, 16).ok());
        let id = delivery.attributes().get("id").and_then(|id| id.parse().ok()).map(Id);
        let content = content(delivery.body(), delivery.attributes());
        let (epoch, at) = (epoch.unwrap_or(0), now());
        self.witness.record(Event::Delivered(Delivered { lease, epoch, call, id, content, until, at }));
        // Redeliveries count too often; it is a brake, no more.
        let _ = self.backlog.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        lease
    }
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
            Event::Sending { queue: self.queue, id: *id, content }
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
        (id, Message { body: body.into(), attributes, ..Message::default() })
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
            let count = if self.rng.random() { 1 } else { self.rng.random_range(2..=40) };
            let (ids, messages): (Vec<_>, Vec<_>) = self.messages(count).into_iter().unzip();
            let published = self.client.publish_all(self.queue, messages).await;
            let queue = self.queue;
            let events: Vec<_> = match published {
                Ok(published) => {
                    let confirmed = |(id, one): (Id, bbq_client::Published)| Event::Confirmed {
                        queue,
                        id,
                        sequence: one.sequence,
                    };
                    ids.into_iter().zip(published).map(confirmed).collect()
                }
                Err(error) => ids.into_iter().filter_map(|id| unsent(id, &error)).collect(),
            };
            self.load.witness.record_all(events);
        }
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

    /// The same, and then the whole connection is closed.
    async fn subscribe_and_close(mut self) {
        loop {
            self.one_stream().await;
            self.client.close().await;
            pause(&mut self.rng).await;
        }
    }

    async fn one_stream(&mut self) {
        let witness = Arc::clone(&self.load.witness);
        let call = witness.open(Kind::Stream);
        let subscribing = self
            .client
            .subscribe(self.queue)
            .max_in_flight(self.rng.random_range(1..60))
            .lease_duration(Duration::from_millis(self.rng.random_range(1000..2500)))
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
            let call = witness.open(Kind::Receive);
            let max = self.rng.random_range(1..=20);
            let wait = Duration::from_millis(self.rng.random_range(0..300));
            let lease = Duration::from_millis(self.rng.random_range(1000..1500));
            let patience = Duration::from_millis(self.rng.random_range(10..400));
            let receiving = self.client.receive(self.queue, max, wait, Some(lease));
            if let Ok(Ok(taken)) = tokio::time::timeout(patience, receiving).await {
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
        match roll {
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
    witness.record(Event::Settled { lease, verdict, outcome });
}

async fn extend(
    witness: Arc<Witness>,
    lease: Lease,
    delivery: Delivery,
    by: Duration,
    then: Option<Verdict>,
) {
    let until = now() + u64::try_from(by.as_millis()).expect("seconds");
    witness.record(Event::Extending { lease, until });
    if delivery.extend(by).await.is_ok() {
        witness.record(Event::Extended { lease, until });
    }
    if let Some(verdict) = then {
        settle(witness, lease, delivery, verdict).await;
    }
}
