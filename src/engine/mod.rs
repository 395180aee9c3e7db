//! The queue engine: what every command does to every queue.
//!
//! Pure: the time arrives with the command. It never awaits, logs, reads a clock, draws randomness or sees a body.
//! The same commands give the same state, bit for bit.
//!
//! Always true:
//! - a message is in exactly one of untouched (at or past its lane's frontier), returned, delayed, leased, parked, dead,
//!   gone;
//! - a timer stands if and only if its message is leased or delayed;
//! - dead-letter queues form no circle;
//! - a holder is known if and only if it holds something;
//! - memory follows what was touched and is not settled, never the backlog.

mod catalog;
mod dispatch;
mod duplicate;
mod keys;
mod order;
mod outcome;
mod publication;
mod publishing;
mod queue;
mod relocation;
mod requeue;
mod routing;
mod settle;
mod timer;
mod topic;
mod transaction;
mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::ops::Bound;

pub use dispatch::{Among, Credit, Dispatch};
pub use duplicate::Sifted;
pub use order::{Dealer, Turn};
pub use outcome::{Created, Effects, Freed, Granted, Outcome, Updated};
pub use publication::Unpublished;
pub use publishing::Leaving;
pub use queue::{Depth, Queue};
pub use topic::{NoRoute, Topic, TopicOutcome};
pub use transaction::{Stale, Transacted};

use crate::types::{
    Command, Dirty, EngineRecord, Epoch, Holder, HolderId, QueueId, QueueName, QueueRecord, Sequence,
    Timestamp, Touch,
};
use requeue::Ending;
use timer::Timers;
use topic::Topics;
use transaction::Transactions;

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
    transactions: Transactions,
    dirty: BTreeSet<QueueId>,
    /// How many deduplication ids all queues remember.
    remembered: usize,
    /// How many messages that were published with a delay are in all queues, waiting or not.
    postponed: usize,
    /// How many messages of all queues are parked.
    parked: u64,
    /// How many are touched.
    touched: usize,
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
                engine.postponed += usize::from(touch.lane.is_delayed());
                engine.queues.entry(id).and_modify(|queue| queue.restore(sequence, touch));
            }
        }
        engine.parked = engine.queues.values().map(Queue::parked).sum();
        engine.touched = engine.queues.values().map(Queue::touched_count).sum();
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

    /// How many messages of all queues are parked.
    #[must_use]
    pub fn parked(&self) -> u64 {
        self.parked
    }

    /// How many messages of all queues are known one by one: leased, ready after that, delayed, or dead.
    #[must_use]
    pub fn touched(&self) -> usize {
        self.touched
    }

    /// All queues, by id.
    pub fn queues(&self) -> impl Iterator<Item = &Queue> {
        self.queues.values()
    }

    /// What a holder's leases are bound to and in which queue, if it holds any.
    #[must_use]
    pub fn holding(&self, holder: HolderId) -> Option<(QueueId, Holder)> {
        let &(id, sequence) = self.holders.get(&(self.record.epoch, holder))?.first()?;
        Some((id, self.queues.get(&id)?.touch(sequence)?.lease()?.holder))
    }

    /// When the first lease or delay ends, if any stands.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.timers.first()
    }

    /// How many messages that were published with a delay are in all queues, waiting or not. Each is known one by one.
    #[must_use]
    pub fn postponed(&self) -> usize {
        self.postponed
    }

    /// What changed besides messages since the last call.
    pub fn take_dirty(&mut self) -> Dirty {
        let dirty = std::mem::take(&mut self.dirty);
        let queues = dirty.iter().filter_map(|id| self.queues.get(id));
        let mut dirty: Dirty = queues.map(|queue| queue.record().clone()).collect();
        self.topics.take_dirty(&mut dirty);
        self.transactions.take_dirty(&mut dirty);
        dirty
    }

    /// Feeds the whole state to `hasher`: equal states give equal hashes.
    pub fn digest(&self, hasher: &mut impl Hasher) {
        self.record.hash(hasher);
        for queue in self.queues.values() {
            queue.hash(hasher);
        }
        self.topics.hash(hasher);
        self.transactions.hash(hasher);
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
            Command::Lapse { queue, picks } => self.lapse(queue, &picks, effects),
            Command::Forget { limit } => self.forget(limit),
            Command::Grant { queue, offers, picks } => self.grant(queue, &offers, &picks, effects),
            Command::Ack { queue, claims } => self.ack(queue, &claims, effects),
            Command::Nack { queue, claims, retry, reason } => {
                self.nack(queue, &claims, retry, &reason, effects)
            }
            Command::Extend { queue, claims, duration } => self.extend(queue, &claims, duration, effects),
            Command::Release { queue, holder, counted } => self.release(queue, holder, counted, effects),
            Command::Expire { limit } => self.expire(limit, effects),
            Command::UpdateQueue { queue, settings } => self.update(queue, settings),
            Command::Move { queue, which, messages } => self.relocate(queue, which, messages, effects),
            Command::Topic(command) => self.change_topic(command, now),
            Command::Transact(transact) => self.transact(transact, effects),
            Command::PublishAll(publication) => self.publish_all(&publication, effects),
        }
    }

    fn start_epoch(&mut self, effects: &mut Effects) -> Outcome {
        let epoch = self.record.epoch.0.checked_add(1).expect("fewer than 2^32 starts");
        self.record.epoch = Epoch(epoch);
        let streams: Vec<_> = self
            .queues
            .values()
            .flat_map(|queue| queue.stream_leases().map(move |sequence| (queue.record().id, sequence)))
            .collect();
        let mut released = 0;
        for (id, sequence) in streams {
            released += self.give_back(id, sequence, Ending::Server, effects);
        }
        Outcome::Started { epoch: self.record.epoch, released }
    }
}

#[cfg(test)]
mod tests;
