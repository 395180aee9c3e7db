//! One queue: what was never leased, what is leased, what came back, what waits for its time, what is dead.
//!
//! Untouched messages are a few numbers for each lane, the frontier among them. Only messages that were leased and are not
//! settled, or that wait for their time, have an entry.

mod depth;
mod verify;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};

pub use depth::Depth;

use super::duplicate::Remembered;
use super::keys::Keys;
use super::outcome::Effects;
use crate::types::{
    Change, Content, DeliveryMode, Holder, Lane, LaneRecord, Ordering, Priority, QueueRecord, QueueSettings,
    Sequence, Touch, TouchState,
};

/// Where a touched message stands in the order of delivery.
type Key = (Reverse<Priority>, Sequence);

/// One queue's state.
#[derive(Debug)]
pub struct Queue {
    record: QueueRecord,
    touched: BTreeMap<Sequence, Touch>,
    /// The touched messages that are ready, the most urgent first; so are the other sets. Of an ordering key only the first.
    pub(super) returned: BTreeSet<Key>,
    delayed: BTreeSet<Key>,
    dead: BTreeSet<Key>,
    /// Those that are leased, where there is an order; elsewhere nobody asks.
    leased: BTreeSet<Key>,
    touched_bytes: u64,
    pub(super) remembered: Remembered,
    pub(super) keys: Keys,
}

/// Which set of its queue a touched message is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Returned,
    Delayed,
    Dead,
    Leased,
}

impl Place {
    fn of(touch: &Touch) -> Self {
        match touch.state {
            TouchState::Ready => Self::Returned,
            TouchState::Delayed { .. } => Self::Delayed,
            TouchState::Leased(_) => Self::Leased,
            TouchState::Dead { .. } => Self::Dead,
            TouchState::Parked => unreachable!("what is parked is known by its number"),
        }
    }
}

impl Queue {
    pub(super) fn new(record: QueueRecord) -> Self {
        Self {
            record,
            touched: BTreeMap::new(),
            returned: BTreeSet::new(),
            delayed: BTreeSet::new(),
            dead: BTreeSet::new(),
            leased: BTreeSet::new(),
            touched_bytes: 0,
            remembered: Remembered::default(),
            keys: Keys::default(),
        }
    }

    /// What is kept of the queue besides its messages.
    #[must_use]
    pub fn record(&self) -> &QueueRecord {
        &self.record
    }

    /// How it behaves.
    #[must_use]
    pub fn settings(&self) -> &QueueSettings {
        &self.record.settings
    }

    /// Messages that are neither untouched nor settled, by sequence.
    pub fn touched(&self) -> impl Iterator<Item = (&Sequence, &Touch)> {
        self.touched.iter()
    }

    /// The same, from `first` on.
    pub fn touched_from(&self, first: Sequence) -> impl Iterator<Item = (&Sequence, &Touch)> {
        self.touched.range(first..)
    }

    /// One of them.
    #[must_use]
    pub fn touch(&self, sequence: Sequence) -> Option<&Touch> {
        self.touched.get(&sequence)
    }

    /// What is ready and was leased before, in the order of delivery. That of a priority goes before what is untouched of it.
    pub fn returned(&self) -> impl DoubleEndedIterator<Item = (Priority, Sequence)> {
        self.returned.iter().map(|&(Reverse(priority), sequence)| (priority, sequence))
    }

    /// That of one priority.
    pub fn returned_of(&self, priority: Priority) -> impl Iterator<Item = Sequence> {
        let of = Reverse(priority);
        self.returned.range((of, Sequence(0))..=(of, Sequence(u64::MAX))).map(|&(_, sequence)| sequence)
    }

    /// What waits for its time, by sequence within a priority.
    pub fn delayed(&self) -> impl Iterator<Item = Sequence> {
        self.delayed.iter().map(|&(_, sequence)| sequence)
    }

    /// What waits to be moved to the dead-letter queue, by sequence within a priority.
    pub fn dead(&self) -> impl Iterator<Item = Sequence> {
        self.dead.iter().map(|&(_, sequence)| sequence)
    }

    /// In a FIFO queue, where all is of one priority, what is leased, by sequence from `first` on; elsewhere nothing.
    pub(super) fn leased_from(&self, first: Sequence) -> impl Iterator<Item = Sequence> {
        self.leased.range((Reverse(Priority::default()), first)..).map(|&(_, sequence)| sequence)
    }

    /// The priorities of what is ready, the most urgent first.
    pub fn ready_priorities(&self) -> impl DoubleEndedIterator<Item = Priority> {
        let none_returned = self.returned.is_empty();
        self.record.lanes.descending().filter_map(move |(priority, lane)| {
            let returned = !none_returned && self.returned_of(priority).next().is_some();
            let parked = priority == Priority::default() && self.keys.open_count() > 0;
            (lane.messages > 0 || returned || parked).then_some(priority)
        })
    }

    /// The lane of messages of a priority. Where there is an order, it is one for all.
    #[must_use]
    pub fn lane_for(&self, priority: Priority) -> Lane {
        if self.is_ordered() { Lane::default() } else { Lane::of(priority) }
    }

    /// What is untouched of a priority.
    #[must_use]
    pub fn lane(&self, priority: Priority) -> LaneRecord {
        self.record.lanes.of(priority)
    }

    /// What the next message will be called.
    #[must_use]
    pub fn next_sequence(&self) -> Sequence {
        self.record.next_sequence
    }

    /// Whether a message that is, or was, in that lane is untouched.
    #[must_use]
    pub fn is_untouched(&self, lane: Lane, sequence: Sequence) -> bool {
        let LaneRecord { frontier, messages, .. } = self.lane(lane.priority());
        !lane.is_delayed() && messages > 0 && sequence >= frontier && sequence < self.record.next_sequence
    }

    /// Whether a message that is, or was, in that lane waits for the next consumer.
    #[must_use]
    pub fn is_ready(&self, lane: Lane, sequence: Sequence) -> bool {
        self.is_untouched(lane, sequence) || self.returned.contains(&(Reverse(lane.priority()), sequence))
    }

    /// Whether a message is gone when it is leased.
    #[must_use]
    pub fn at_most_once(&self) -> bool {
        match self.record.settings.delivery {
            DeliveryMode::AtLeastOnce => false,
            DeliveryMode::AtMostOnce => true,
        }
    }

    pub(super) fn stream_leases(&self) -> impl Iterator<Item = Sequence> {
        self.touched.iter().filter_map(|(&sequence, touch)| match touch.lease()?.holder {
            Holder::Stream(_) => Some(sequence),
            Holder::Receive(_) => None,
        })
    }

    /// Numbers messages. Those in another lane than that of priority 0 are named by their place; those that wait get a `Touch`
    /// from the caller.
    pub(super) fn publish(&mut self, messages: &[Content], lanes: &[(u32, Lane)]) -> Sequence {
        let first = self.record.next_sequence;
        self.record.next_sequence = first.plus(messages.len() as u64);
        let size = |content: &Content| u64::from(content.size());
        if lanes.is_empty() {
            let bytes = messages.iter().map(size).sum::<u64>();
            if !messages.is_empty() {
                self.record.lanes.of_mut(Priority::default()).add(first, messages.len() as u64, bytes);
            }
            return first;
        }
        let mut others = lanes.iter().copied().peekable();
        for (place, content) in (0_u32..).zip(messages) {
            let lane = others.next_if(|&(at, _)| at == place).map_or(Lane::default(), |(_, lane)| lane);
            let sequence = first.plus(u64::from(place));
            if lane.is_delayed() {
                // It is never untouched.
                self.record.lanes.pass(sequence);
            } else {
                self.record.lanes.of_mut(lane.priority()).add(sequence, 1, size(content));
            }
        }
        first
    }

    /// A message was published with a time to live of its own.
    pub(super) fn expiring(&mut self, sequence: Sequence) {
        self.record.expiring_before = self.record.expiring_before.max(sequence.next());
    }

    /// What is touched and nobody holds.
    pub(super) fn waiting(&self) -> Vec<Sequence> {
        if self.by_key() {
            let waiting = self.touched.iter().filter(|(_, touch)| touch.lease().is_none());
            return waiting.map(|(&sequence, _)| sequence).collect();
        }
        self.returned.iter().chain(&self.delayed).chain(&self.dead).map(|&(_, sequence)| sequence).collect()
    }

    /// Takes everything that is untouched.
    pub(super) fn purge_untouched(&mut self, effects: &mut Effects) {
        let (queue, until) = (self.record.id, self.record.next_sequence);
        for sequence in self.clear_parked() {
            effects.changes.push(Change::Settled { queue, lane: Lane::default(), sequence });
        }
        for priority in Priority::descending() {
            let lane = self.record.lanes.of_mut(priority);
            let LaneRecord { frontier: from, messages, .. } = *lane;
            if messages > 0 {
                *lane = LaneRecord { frontier: until, messages: 0, bytes: 0 };
                self.record.lanes.passed = until;
                effects.changes.push(Change::Purged { queue, lane: Lane::of(priority), from, until });
            }
        }
    }

    /// Whether a message of that priority may be the first that is untouched.
    pub(super) fn is_next(&self, priority: Priority, sequence: Sequence) -> bool {
        let (lane, next) = (self.lane(priority), self.record.next_sequence);
        // Without gaps in the lane, what is there is untouched.
        lane.may_begin_with(sequence, next)
            && (lane.messages == next.0 - lane.frontier.0 || !self.touched.contains_key(&sequence))
    }

    /// Deduplication ids of messages before `first` are forgotten.
    pub(super) fn forgotten_before(&mut self, first: Sequence) {
        self.record.remembered_from = first;
    }

    /// Takes the first untouched message of a priority. The caller knows which it is, and its size.
    pub(super) fn advance(&mut self, priority: Priority, sequence: Sequence, size: u32) {
        self.record.lanes.of_mut(priority).advance(sequence, size);
        self.record.lanes.pass(sequence);
    }

    /// Behaves otherwise from now on.
    pub(super) fn set(&mut self, settings: QueueSettings) {
        self.record.settings = settings;
    }

    /// Sets the delivery state of a message as a store kept it. They come in the order of their sequences.
    pub(super) fn restore(&mut self, sequence: Sequence, touch: Touch) {
        match (&touch.state, touch.key) {
            (TouchState::Parked, Some(key)) => self.park(sequence, touch.size, key),
            _ => self.put(sequence, touch),
        }
    }

    /// How many messages are touched.
    #[must_use]
    pub fn touched_count(&self) -> usize {
        self.touched.len()
    }

    /// Sets the delivery state of a message.
    pub(super) fn put(&mut self, sequence: Sequence, touch: Touch) {
        let (place, key) = (Place::of(&touch), (Reverse(touch.lane.priority()), sequence));
        let of = touch.key;
        self.touched_bytes += u64::from(touch.size);
        let old = self.touched.insert(sequence, touch);
        if let Some(old) = &old {
            self.touched_bytes -= u64::from(old.size);
        }
        let was = old.as_ref().map(Place::of);
        if was == Some(place) {
            return;
        }
        if let Some(set) = was.and_then(|was| self.set_of(was)) {
            set.remove(&key);
        }
        // Of an ordering key only the first is ready for anyone.
        let set = self.set_of(place).filter(|_| of.is_none() || place != Place::Returned);
        if let Some(set) = set {
            set.insert(key);
        }
        if let Some(of) = of {
            self.moved_in_line(of, sequence, Some(place));
        }
    }

    /// Forgets a touched message: it is settled.
    pub(super) fn remove(&mut self, sequence: Sequence) -> Option<Touch> {
        let touch = self.touched.remove(&sequence)?;
        let key = (Reverse(touch.lane.priority()), sequence);
        if let Some(set) = self.set_of(Place::of(&touch)) {
            set.remove(&key);
        }
        self.touched_bytes -= u64::from(touch.size);
        if let Some(of) = touch.key {
            self.moved_in_line(of, sequence, None);
        }
        Some(touch)
    }

    /// The set of a place, if it is kept.
    fn set_of(&mut self, place: Place) -> Option<&mut BTreeSet<Key>> {
        match place {
            Place::Returned => Some(&mut self.returned),
            Place::Delayed => Some(&mut self.delayed),
            Place::Dead => Some(&mut self.dead),
            Place::Leased => self.is_ordered().then_some(&mut self.leased),
        }
    }

    /// Whether it is one order for all messages.
    #[must_use]
    pub fn in_order(&self) -> bool {
        match self.record.settings.ordering {
            Ordering::Unordered | Ordering::ByKey => false,
            Ordering::Fifo => true,
        }
    }

    /// Whether a message may wait while those behind it go. Where there is an order, it would hold them up.
    #[must_use]
    pub fn takes_delays(&self) -> bool {
        match self.record.settings.ordering {
            Ordering::Unordered => true,
            Ordering::Fifo | Ordering::ByKey => false,
        }
    }

    /// Whether it is one order for the messages of each ordering key.
    #[must_use]
    pub fn by_key(&self) -> bool {
        match self.record.settings.ordering {
            Ordering::Unordered | Ordering::Fifo => false,
            Ordering::ByKey => true,
        }
    }

    /// Whether there is any order: then all messages are of one priority.
    #[must_use]
    pub fn is_ordered(&self) -> bool {
        self.in_order() || self.by_key()
    }
}

impl Hash for Queue {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.record.hash(state);
        self.touched.hash(state);
        self.remembered.hash(state);
        self.keys.hash(state);
    }
}
