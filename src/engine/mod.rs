//! The queue engine: what every command does to every queue.
//!
//! Pure: the time arrives with the command. It never awaits, logs, reads a clock, draws randomness or sees a body.
//! The same commands give the same state, bit for bit.
//!
//! Always true:
//! - a message is in exactly one of untouched (at or past its lane's frontier), returned, leased, gone;
//! - a timer stands if and only if its message is leased;
//! - a holder is known if and only if it holds something;
//! - memory follows what was touched and is not settled, never the backlog.

mod dispatch;
mod duplicate;
mod outcome;
mod publication;
mod publishing;
mod queue;
mod routing;
mod settle;
mod timer;
mod topic;
mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::ops::Bound;

pub use dispatch::{Credit, Dispatch};
pub use duplicate::Sifted;
pub use outcome::{Created, Effects, Freed, Granted, Outcome};
pub use publication::Unpublished;
pub use queue::{Depth, Queue};
pub use topic::{NoRoute, Topic, TopicOutcome};

use crate::types::{
    Change, Command, Dirty, EngineRecord, Epoch, Holder, HolderId, Lanes, QueueId, QueueName, QueueRecord,
    Sequence, Timestamp, Touch,
};
use timer::Timers;
use topic::Topics;

/// All queues and what is in flight in them.
#[derive(Debug, Default)]
pub struct Engine {
    record: EngineRecord,
    queues: BTreeMap<QueueId, Queue>,
    names: BTreeMap<QueueName, QueueId>,
    timers: Timers,
    /// Who holds what. With the epoch, because holders are numbered anew in each: a Receive of an earlier one may still
    /// hold something under the number of a stream of this one.
    holders: BTreeMap<(Epoch, HolderId), BTreeSet<(QueueId, Sequence)>>,
    topics: Topics,
    dirty: BTreeSet<QueueId>,
    /// How many deduplication ids all queues remember.
    remembered: usize,
}

impl Engine {
    /// The engine as it was when `record`, `queues` and `touched` were taken from it.
    #[must_use]
    pub fn restore(
        record: EngineRecord,
        queues: impl IntoIterator<Item = QueueRecord>,
        touched: impl IntoIterator<Item = (QueueId, Sequence, Touch)>,
    ) -> Self {
        let mut engine = Self { record, ..Self::default() };
        for queue in queues {
            engine.names.insert(queue.name.clone(), queue.id);
            engine.queues.insert(queue.id, Queue::new(queue));
        }
        for (id, sequence, touch) in touched {
            if engine.queues.contains_key(&id) {
                engine.index(id, sequence, &touch);
                engine.queues.entry(id).and_modify(|queue| queue.put(sequence, touch));
            }
        }
        engine
    }

    /// What is kept of the engine besides its queues.
    #[must_use]
    pub fn record(&self) -> EngineRecord {
        self.record
    }

    /// A queue by its id.
    #[must_use]
    pub fn queue(&self, id: QueueId) -> Option<&Queue> {
        self.queues.get(&id)
    }

    /// A queue by its name.
    #[must_use]
    pub fn named(&self, name: &QueueName) -> Option<&Queue> {
        self.names.get(name).and_then(|id| self.queues.get(id))
    }

    /// Queues by name, from `first` on, which need not be a name.
    pub fn queues_from(&self, first: &str) -> impl Iterator<Item = &Queue> {
        let named = self.names.range::<str, _>((Bound::Included(first), Bound::Unbounded));
        named.filter_map(|(_, id)| self.queues.get(id))
    }

    /// All queues, by id.
    pub fn queues(&self) -> impl Iterator<Item = &Queue> {
        self.queues.values()
    }

    /// What a holder's leases are bound to and in which queue, if it holds any.
    #[must_use]
    pub fn holding(&self, holder: HolderId) -> Option<(QueueId, Holder)> {
        let &(id, sequence) = self.holders.get(&(self.record.epoch, holder))?.first()?;
        let lease = self.queues.get(&id)?.touch(sequence)?.lease.as_ref()?;
        Some((id, lease.holder))
    }

    /// When the first lease ends, if any stands.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.timers.first()
    }

    /// What changed besides messages since the last call.
    pub fn take_dirty(&mut self) -> Dirty {
        let dirty = std::mem::take(&mut self.dirty);
        let queues = dirty.iter().filter_map(|id| self.queues.get(id));
        let mut dirty: Dirty = queues.map(|queue| queue.record().clone()).collect();
        self.topics.take_dirty(&mut dirty);
        dirty
    }

    /// Feeds the whole state to `hasher`: equal states give equal hashes.
    pub fn digest(&self, hasher: &mut impl Hasher) {
        self.record.hash(hasher);
        for queue in self.queues.values() {
            queue.hash(hasher);
        }
        self.topics.hash(hasher);
    }

    /// Does what `command` says, at `now`, and adds what came of it to `effects`. `now` must not go back.
    ///
    /// # Panics
    /// If `now` is before the time of an earlier command: the journal would not replay to the same state.
    pub fn apply(&mut self, now: Timestamp, command: Command, effects: &mut Effects) -> Outcome {
        assert!(now >= self.record.now, "time went back from {:?} to {now:?}", self.record.now);
        self.record.now = now;
        match command {
            Command::StartEpoch => self.start_epoch(effects),
            Command::CreateQueue { name, settings } => self.create(name, settings, now),
            Command::DeleteQueue { queue } => self.delete(queue, effects),
            Command::PurgeQueue { queue } => self.purge(queue, effects),
            Command::Publish { queue, messages, facts } => self.publish(queue, messages, &facts, effects),
            Command::Drop { queue, picks } => self.drop_messages(queue, &picks, effects),
            Command::Forget { limit } => self.forget(limit),
            Command::Grant { queue, offers, picks } => self.grant(queue, &offers, &picks, effects),
            Command::Ack { queue, claims } => self.ack(queue, &claims, effects),
            Command::Nack { queue, claims } => self.nack(queue, &claims, effects),
            Command::Extend { queue, claims, duration } => self.extend(queue, &claims, duration, effects),
            Command::Release { queue, holder, counted } => self.release(queue, holder, counted, effects),
            Command::Expire { limit } => self.expire(limit, effects),
            Command::Topic(command) => self.change_topic(command, now),
            Command::PublishAll(publication) => self.publish_all(&publication, effects),
        }
    }

    fn create(&mut self, name: QueueName, settings: crate::types::QueueSettings, now: Timestamp) -> Outcome {
        if let Some(queue) = self.named(&name) {
            let same = queue.record().settings == settings;
            return Outcome::Created(if same {
                Created::Existed(queue.record().id)
            } else {
                Created::Conflict
            });
        }
        let id = self.record.next_queue;
        self.record.next_queue = QueueId(id.0.checked_add(1).expect("fewer than 2^32 queues in a life"));
        self.names.insert(name.clone(), id);
        self.queues.insert(
            id,
            Queue::new(QueueRecord {
                id,
                name,
                settings,
                created_at: now,
                lanes: Lanes::default(),
                next_sequence: Sequence(1),
                remembered_from: Sequence(1),
            }),
        );
        self.dirty.insert(id);
        Outcome::Created(Created::New(id))
    }

    fn delete(&mut self, id: QueueId, effects: &mut Effects) -> Outcome {
        if let Some((topic, binding)) = self.topics.binding_of(id) {
            return Outcome::QueueBound { topic, binding };
        }
        let Some(queue) = self.queues.remove(&id) else { return Outcome::NoQueue };
        self.names.remove(&queue.record().name);
        self.dirty.remove(&id);
        self.remembered -= queue.remembered.len();
        for (&sequence, touch) in queue.touched() {
            self.unindex(id, sequence, touch);
        }
        effects.changes.push(Change::Deleted { queue: id });
        Outcome::Deleted { messages: queue.depth().messages() }
    }

    fn purge(&mut self, id: QueueId, effects: &mut Effects) -> Outcome {
        let Some(queue) = self.queues.get_mut(&id) else { return Outcome::NoQueue };
        self.dirty.insert(id);
        Outcome::Purged { messages: queue.purge(effects) }
    }

    fn start_epoch(&mut self, effects: &mut Effects) -> Outcome {
        let epoch = self.record.epoch.0.checked_add(1).expect("fewer than 2^32 starts");
        self.record.epoch = Epoch(epoch);
        let streams: Vec<_> = self
            .queues
            .values()
            .flat_map(|queue| queue.stream_leases().map(move |sequence| (queue.record().id, sequence)))
            .collect();
        let released = streams.len() as u64;
        for (id, sequence) in streams {
            self.give_back(id, sequence, settle::Counts::No, effects);
        }
        Outcome::Started { epoch: self.record.epoch, released }
    }
}

#[cfg(test)]
mod tests;
