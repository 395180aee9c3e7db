//! One round of a queue's inside, without network and disk: publish, lease, ack.
//!
//! Each command passes through what it passes through in a server: it is encoded into an entry, the engine carries it out, and the
//! overlay keeps what changed. The entry is then dropped instead of written.

use std::sync::Arc;

use bbq::engine::{Effects, Engine, Outcome};
use bbq::store::{Lookup, Store, StoreOptions, open};
use bbq::types::{
    Attempt, Claim, Command, Consumer, Content, Duration, Holder, HolderId, Offer, Pick, Priority, Published,
    QueueId, QueueSettings, Sequence, Timestamp,
};
use bytes::Bytes;
use tempfile::TempDir;

/// An engine and a store with one queue.
pub struct Inside {
    engine: Engine,
    store: Store,
    now: Timestamp,
    queue: QueueId,
    consumer: Arc<Consumer>,
    _directory: TempDir,
}

impl Inside {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = open(&directory.path().join("data"), &StoreOptions::default()).unwrap().store;
        let consumer = Consumer { name: "bench".into(), peer: "127.0.0.1:1".into(), transport: "h3".into() };
        let mut inside = Self {
            engine: Engine::default(),
            store,
            now: Timestamp(1_000_000),
            queue: QueueId(0),
            consumer: Arc::new(consumer),
            _directory: directory,
        };
        inside.act(Command::StartEpoch);
        let created = inside
            .act(Command::CreateQueue { name: "bench".parse().unwrap(), settings: QueueSettings::default() });
        let Outcome::Created(bbq::engine::Created::New(queue)) = created else { panic!("{created:?}") };
        inside.queue = queue;
        inside
    }

    fn act(&mut self, command: Command) -> Outcome {
        let mut entry = self.store.begin(self.now);
        let mut effects = Effects::default();
        entry.push(&command);
        let outcome = self.engine.apply(self.now, command, &mut effects);
        self.store.apply(effects.changes);
        outcome
    }

    /// Publishes messages; the number of the first.
    pub fn publish(&mut self, count: usize, body: &Bytes) -> Sequence {
        let messages = vec![Content(body.clone()); count];
        let outcome = self.act(Command::Publish { queue: self.queue, messages, facts: Vec::new() });
        let Outcome::Published(Published { first, .. }) = outcome else { panic!("{outcome:?}") };
        first
    }

    /// Leases messages that were just published, as a broker does: each is looked up first.
    pub fn lease(&mut self, first: Sequence, count: usize) {
        let mut picks = Vec::with_capacity(count);
        for place in 0..count as u64 {
            let sequence = first.plus(place);
            let Lookup::Hot(message) = self.store.lookup(self.queue, sequence) else { panic!("{sequence}") };
            let size = message.content.size();
            picks.push(Pick { sequence, priority: Priority::default(), size, offer: Some(0), key: None });
        }
        let consumer = Arc::clone(&self.consumer);
        let offer = Offer { holder: Holder::Stream(HolderId(1)), duration: Duration::seconds(30), consumer };
        self.act(Command::Grant { queue: self.queue, offers: vec![offer], picks });
    }

    /// Acks messages that were just leased for the first time.
    pub fn ack(&mut self, first: Sequence, count: usize) {
        let epoch = self.engine.record().epoch;
        let claim = |place| Claim { sequence: first.plus(place), attempt: Attempt(1), epoch };
        let claims = (0..count as u64).map(claim).collect();
        self.act(Command::Ack { queue: self.queue, claims });
        self.now = self.now.after(Duration(1));
    }

    /// Publishes, leases and acks so many messages at once. `tools/instructions` counts what happens in here.
    #[inline(never)]
    pub fn round(&mut self, count: usize, body: &Bytes) {
        let first = self.publish(count, body);
        self.lease(first, count);
        self.ack(first, count);
    }
}
