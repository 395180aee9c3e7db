//! What a store would hold, kept in plain maps from the changes alone.
//!
//! Always true: an engine restored from it is the engine it was kept from, and it has the content of every message
//! that is there and of no other.

use std::collections::BTreeMap;
use std::hash::Hasher;

use xxhash_rust::xxh3::Xxh3;

use crate::engine::{Effects, Engine};
use crate::types::{
    Change, Command, DeduplicationId, Dirty, EngineRecord, Lane, LaneId, QueueId, Sequence, StoredMessage,
    Timestamp, Touch,
};

/// Where a script keeps what must outlive its engine.
pub trait Keep {
    /// Keeps one entry: what was commanded, and what came of it.
    fn entry(&mut self, engine: &mut Engine, now: Timestamp, commands: &[Command], effects: &Effects);

    /// The engine as it was after the latest entry. What is not kept is lost.
    fn restart(&mut self) -> Engine;

    /// A message that is in that lane.
    fn content(&mut self, lane: LaneId, sequence: Sequence) -> Option<StoredMessage>;

    /// Checks that all is kept that makes up `engine`; panics if it is not.
    fn verify(&mut self, engine: &Engine);
}

/// The simplest store.
#[derive(Debug, Default)]
pub struct Shadow {
    record: EngineRecord,
    rows: Dirty,
    touched: BTreeMap<(QueueId, Sequence), Touch>,
    messages: BTreeMap<(QueueId, Sequence), (Lane, StoredMessage)>,
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
            Change::Stored { queue, first, published_at, messages, lanes } => {
                for (place, content) in (0_u32..).zip(messages) {
                    let sequence = first.plus(u64::from(place));
                    let message = StoredMessage { sequence, published_at, content };
                    let lane = lanes.iter().find(|&&(at, _)| at == place).map_or(Lane::default(), |it| it.1);
                    let twice = self.messages.insert((queue, sequence), (lane, message));
                    assert_eq!(twice, None, "{sequence} is stored twice");
                }
            }
            Change::Touched { queue, sequence, touch } => {
                let lane = self.messages.get(&(queue, sequence)).map(|&(lane, _)| lane);
                assert_eq!(lane, Some(touch.lane), "{sequence} is touched, but gone or elsewhere");
                self.touched.insert((queue, sequence), touch);
            }
            Change::Settled { queue, lane, sequence } => {
                let message = self.messages.remove(&(queue, sequence));
                assert_eq!(message.map(|(lane, _)| lane), Some(lane), "{sequence} is settled twice");
                self.touched.remove(&(queue, sequence));
            }
            Change::Purged { queue, lane, from, until } => {
                let of_lane = |&(&(of, at), &(it, _)): &(&(QueueId, Sequence), &(Lane, StoredMessage))| {
                    of == queue && it == lane && (from..until).contains(&at)
                };
                let gone: Vec<_> = self.messages.iter().filter(of_lane).map(|(&key, _)| key).collect();
                for key in gone {
                    assert!(!self.touched.contains_key(&key), "{} is purged, but touched", key.1);
                    self.messages.remove(&key);
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
        let Dirty { queues, topics, bindings, transactions } = self.rows.clone();
        let mut engine = Engine::restore(self.record, queues.into_values(), touched)
            .with_topics(there(topics), there(bindings))
            .with_transactions(there(transactions));
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

    fn content(&mut self, lane: LaneId, sequence: Sequence) -> Option<StoredMessage> {
        let (of, message) = self.messages.get(&(lane.queue, sequence))?;
        assert_eq!(*of, lane.lane, "{sequence} is in another lane");
        Some(message.clone())
    }

    fn verify(&mut self, engine: &Engine) {
        let restored = self.restored();
        restored.verify();
        assert_eq!(digest(&restored), digest(engine), "restored, it is another engine");
        let mut count = 0;
        for queue in engine.queues() {
            let id = queue.record().id;
            let mut bytes = 0;
            for (&(_, sequence), (lane, message)) in
                self.messages.range((id, Sequence(0))..=(id, Sequence(u64::MAX)))
            {
                let there = queue.touch(sequence).is_some()
                    || queue.is_parked(sequence)
                    || queue.is_untouched(*lane, sequence);
                assert!(there, "{sequence} is kept, but not in the queue");
                bytes += u64::from(message.content.size());
                count += 1;
            }
            let depth = queue.depth();
            assert_eq!(depth.bytes, bytes, "bytes are the sum of sizes");
            let kept = self.messages.keys().filter(|&&(of, _)| of == id).count() as u64;
            assert_eq!(depth.messages(), kept, "the messages kept are not those in the queue");
        }
        assert_eq!(count, self.messages.len(), "messages are kept of queues that are gone");
    }
}
