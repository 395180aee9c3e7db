//! What a store would hold, kept in plain maps from the changes alone.
//!
//! Always true: an engine restored from it is the engine it was kept from, and it has the content of every message
//! that is there and of no other.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;

use xxhash_rust::xxh3::Xxh3;

use crate::engine::{Effects, Engine};
use crate::types::{
    Change, Command, DeduplicationId, Dirty, EngineRecord, QueueId, Sequence, StoredMessage, Timestamp, Touch,
};

/// Where a script keeps what must outlive its engine.
pub trait Keep {
    /// Keeps one entry: what was commanded, and what came of it.
    fn entry(&mut self, engine: &mut Engine, now: Timestamp, commands: &[Command], effects: &Effects);

    /// The engine as it was after the latest entry. What is not kept is lost.
    fn restart(&mut self) -> Engine;

    /// A message that is in the queue.
    fn content(&mut self, queue: QueueId, sequence: Sequence) -> Option<StoredMessage>;

    /// Checks that all is kept that makes up `engine`; panics if it is not.
    fn verify(&mut self, engine: &Engine);
}

/// The simplest store.
#[derive(Debug, Default)]
pub struct Shadow {
    record: EngineRecord,
    rows: Dirty,
    touched: BTreeMap<(QueueId, Sequence), Touch>,
    messages: BTreeMap<(QueueId, Sequence), StoredMessage>,
    remembered: BTreeMap<(QueueId, Sequence), (DeduplicationId, Timestamp)>,
}

/// One number for the whole state of an engine.
pub fn digest(engine: &Engine) -> u64 {
    let mut hasher = Xxh3::new();
    engine.digest(&mut hasher);
    hasher.finish()
}

impl Shadow {
    fn change(&mut self, change: Change) {
        match change {
            Change::Stored { queue, mut first, published_at, messages } => {
                for content in messages {
                    let message = StoredMessage { sequence: first, published_at, content };
                    assert_eq!(
                        self.messages.insert((queue, first), message),
                        None,
                        "{first} is stored twice"
                    );
                    first = first.next();
                }
            }
            Change::Touched { queue, sequence, touch } => {
                assert!(self.messages.contains_key(&(queue, sequence)), "{sequence} is touched, but gone");
                self.touched.insert((queue, sequence), touch);
            }
            Change::Settled { queue, sequence } => {
                assert!(self.messages.remove(&(queue, sequence)).is_some(), "{sequence} is settled twice");
                self.touched.remove(&(queue, sequence));
            }
            Change::Purged { queue, from, until } => {
                for sequence in from.0..until.0 {
                    let key = (queue, Sequence(sequence));
                    assert!(self.messages.remove(&key).is_some(), "{sequence} is purged, but gone");
                    assert!(!self.touched.contains_key(&key), "{sequence} is purged, but touched");
                }
            }
            Change::Remembered { queue, sequence, id, at } => {
                let twice = self.remembered.insert((queue, sequence), (id, at));
                assert_eq!(twice, None, "{sequence} is remembered twice");
            }
            Change::Deleted { queue } => {
                self.remembered.retain(|&(id, _), _| id != queue);
                assert!(self.rows.queues.remove(&queue).is_some(), "{queue:?} is deleted twice");
                self.touched.retain(|&(id, _), _| id != queue);
                self.messages.retain(|&(id, _), _| id != queue);
            }
        }
    }

    /// Keeps what an entry changed: messages, and what else there is.
    pub fn keep(&mut self, engine: EngineRecord, dirty: Dirty, changes: &[Change]) {
        self.record = engine;
        for change in changes.iter().cloned() {
            self.change(change);
        }
        self.rows.absorb(dirty);
    }

    fn restored(&self) -> Engine {
        let touched = self.touched.iter().map(|(&(id, sequence), touch)| (id, sequence, touch.clone()));
        let Dirty { queues, topics, bindings } = self.rows.clone();
        let mut engine = Engine::restore(self.record, queues.into_values(), touched)
            .with_topics(there(topics), there(bindings));
        for (&(queue, sequence), &(id, at)) in &self.remembered {
            if self.rows.queues[&queue].remembered_from <= sequence {
                engine.remember(queue, sequence, at, id);
            }
        }
        engine
    }
}

/// What is not gone.
fn there<K, V>(rows: BTreeMap<K, Option<V>>) -> impl Iterator<Item = (K, V)> {
    rows.into_iter().filter_map(|(key, value)| Some((key, value?)))
}

impl Keep for Shadow {
    fn entry(&mut self, engine: &mut Engine, _: Timestamp, _: &[Command], effects: &Effects) {
        self.keep(engine.record(), engine.take_dirty(), &effects.changes);
    }

    fn restart(&mut self) -> Engine {
        self.restored()
    }

    fn content(&mut self, queue: QueueId, sequence: Sequence) -> Option<StoredMessage> {
        self.messages.get(&(queue, sequence)).cloned()
    }

    fn verify(&mut self, engine: &Engine) {
        let restored = self.restored();
        restored.verify();
        assert_eq!(digest(&restored), digest(engine), "restored, it is another engine");
        let mut expected = BTreeSet::new();
        for queue in engine.queues() {
            let id = queue.record().id;
            expected.extend(queue.touched().map(|(&sequence, _)| (id, sequence)));
            expected.extend((queue.untouched().start.0..queue.untouched().end.0).map(|n| (id, Sequence(n))));
            let bytes =
                expected.range((id, Sequence(0))..).map(|key| u64::from(self.messages[key].content.size()));
            assert_eq!(queue.depth().bytes, bytes.sum::<u64>(), "bytes are the sum of sizes");
        }
        assert!(expected.iter().eq(self.messages.keys()), "the messages kept are not those in the queues");
    }
}
