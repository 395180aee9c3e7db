//! One queue: what was never leased, what is leased, what came back, what waits for its time, what is dead.
//!
//! Untouched messages are two numbers, the frontier and the next sequence. Only messages that were leased and are not
//! settled, or that wait for their time, have an entry.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::ops::Range;

use super::duplicate::Remembered;
use super::outcome::Effects;
use crate::types::{
    Change, Content, DeliveryMode, Holder, Ordering, QueueRecord, QueueSettings, Sequence, Touch, TouchState,
};

/// One queue's state.
#[derive(Debug)]
pub struct Queue {
    record: QueueRecord,
    touched: BTreeMap<Sequence, Touch>,
    /// The touched messages that are ready.
    returned: BTreeSet<Sequence>,
    delayed: BTreeSet<Sequence>,
    dead: BTreeSet<Sequence>,
    /// Those that are leased, in a FIFO queue; elsewhere nobody asks.
    leased: BTreeSet<Sequence>,
    touched_bytes: u64,
    pub(super) remembered: Remembered,
}

/// Which set of its queue a touched message is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Returned,
    Delayed,
    Dead,
    Leased,
}

/// How many messages are where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// The next consumer gets them.
    pub ready: u64,
    /// They wait for their time.
    pub delayed: u64,
    /// A consumer holds them.
    pub leased: u64,
    /// They wait to be moved to the dead-letter queue.
    pub dead: u64,
    /// Bytes of all of them.
    pub bytes: u64,
}

impl Depth {
    /// All messages in the queue.
    #[must_use]
    pub fn messages(self) -> u64 {
        self.ready + self.delayed + self.leased + self.dead
    }
}

impl Place {
    fn of(touch: &Touch) -> Self {
        match touch.state {
            TouchState::Ready => Self::Returned,
            TouchState::Delayed { .. } => Self::Delayed,
            TouchState::Leased(_) => Self::Leased,
            TouchState::Dead { .. } => Self::Dead,
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
        }
    }

    /// What is kept of the queue besides its messages.
    #[must_use]
    pub fn record(&self) -> &QueueRecord {
        &self.record
    }

    /// How many messages are where.
    #[must_use]
    pub fn depth(&self) -> Depth {
        let [touched, returned, delayed, dead] =
            [self.touched.len(), self.returned.len(), self.delayed.len(), self.dead.len()].map(|n| n as u64);
        Depth {
            ready: self.record.next_sequence.0 - self.record.frontier.0 + returned,
            delayed,
            leased: touched - returned - delayed - dead,
            dead,
            bytes: self.record.untouched_bytes + self.touched_bytes,
        }
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

    /// What is ready and touched, in the order of delivery. It goes before what is untouched.
    pub fn returned(&self) -> impl Iterator<Item = Sequence> {
        self.returned.iter().copied()
    }

    /// What waits for its time, by sequence.
    pub fn delayed(&self) -> impl Iterator<Item = Sequence> {
        self.delayed.iter().copied()
    }

    /// What waits to be moved to the dead-letter queue, by sequence.
    pub fn dead(&self) -> impl Iterator<Item = Sequence> {
        self.dead.iter().copied()
    }

    /// In a FIFO queue, what is leased, by sequence from `first` on; elsewhere nothing.
    pub(super) fn leased_from(&self, first: Sequence) -> impl Iterator<Item = Sequence> {
        self.leased.range(first..).copied()
    }

    /// What is ready and untouched.
    #[must_use]
    pub fn untouched(&self) -> Range<Sequence> {
        self.record.frontier..self.record.next_sequence
    }

    /// Whether a message waits for the next consumer.
    #[must_use]
    pub fn is_ready(&self, sequence: Sequence) -> bool {
        self.untouched().contains(&sequence) || self.returned.contains(&sequence)
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

    pub(super) fn publish(&mut self, messages: &[Content]) -> Sequence {
        let first = self.record.next_sequence;
        self.record.next_sequence = first.plus(messages.len() as u64);
        self.record.untouched_bytes += messages.iter().map(|content| u64::from(content.size())).sum::<u64>();
        first
    }

    /// What is touched and nobody holds.
    pub(super) fn waiting(&self) -> Vec<Sequence> {
        self.returned.iter().chain(&self.delayed).chain(&self.dead).copied().collect()
    }

    /// Takes everything that is untouched.
    pub(super) fn purge_untouched(&mut self, effects: &mut Effects) {
        let Range { start: from, end: until } = self.untouched();
        if from < until {
            self.record.frontier = until;
            self.record.untouched_bytes = 0;
            effects.changes.push(Change::Purged { queue: self.record.id, from, until });
        }
    }

    /// Whether it is the first untouched message.
    pub(super) fn is_next(&self, sequence: Sequence) -> bool {
        sequence == self.record.frontier && sequence < self.record.next_sequence
    }

    /// Deduplication ids of messages before `first` are forgotten.
    pub(super) fn forgotten_before(&mut self, first: Sequence) {
        self.record.remembered_from = first;
    }

    /// Takes the first untouched message. The caller knows its size.
    pub(super) fn advance(&mut self, size: u32) {
        self.record.frontier = self.record.frontier.next();
        self.record.untouched_bytes = self.record.untouched_bytes.saturating_sub(u64::from(size));
    }

    /// Behaves otherwise from now on.
    pub(super) fn set(&mut self, settings: QueueSettings) {
        self.record.settings = settings;
    }

    /// Sets the delivery state of a message.
    pub(super) fn put(&mut self, sequence: Sequence, touch: Touch) {
        let place = Place::of(&touch);
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
            set.remove(&sequence);
        }
        if let Some(set) = self.set_of(place) {
            set.insert(sequence);
        }
    }

    /// Forgets a touched message: it is settled.
    pub(super) fn remove(&mut self, sequence: Sequence) -> Option<Touch> {
        let touch = self.touched.remove(&sequence)?;
        if let Some(set) = self.set_of(Place::of(&touch)) {
            set.remove(&sequence);
        }
        self.touched_bytes -= u64::from(touch.size);
        Some(touch)
    }

    /// The set of a place, if it is kept.
    fn set_of(&mut self, place: Place) -> Option<&mut BTreeSet<Sequence>> {
        match place {
            Place::Returned => Some(&mut self.returned),
            Place::Delayed => Some(&mut self.delayed),
            Place::Dead => Some(&mut self.dead),
            Place::Leased => self.in_order().then_some(&mut self.leased),
        }
    }

    /// Whether it is one order for all messages.
    #[must_use]
    pub fn in_order(&self) -> bool {
        match self.record.settings.ordering {
            Ordering::Unordered => false,
            Ordering::Fifo => true,
        }
    }

    /// Checks what must always be true of a queue by itself.
    pub(super) fn verify(&self) {
        let Range { start: frontier, end: next } = self.untouched();
        assert!(frontier.0 >= 1 && frontier <= next, "the frontier {frontier} is not in 1..={next}");
        assert!(frontier < next || self.record.untouched_bytes == 0, "no message, but bytes of it");
        let places = [
            (&self.returned, Place::Returned),
            (&self.delayed, Place::Delayed),
            (&self.dead, Place::Dead),
            (&self.leased, Place::Leased),
        ];
        for (set, place) in places {
            let touched = self.touched.iter().filter(|(_, touch)| Place::of(touch) == place);
            let expected =
                touched.map(|(sequence, _)| sequence).filter(|_| place != Place::Leased || self.in_order());
            assert!(set.iter().eq(expected), "the set {place:?} is not what is in that state");
        }
        self.remembered.verify(self.record.remembered_from, next);
        let bytes = self.touched.values().map(|touch| u64::from(touch.size)).sum::<u64>();
        assert_eq!(self.touched_bytes, bytes, "bytes are the sum of sizes");
        for (&sequence, touch) in &self.touched {
            assert!(sequence.0 >= 1 && sequence < frontier, "{sequence} is touched and untouched");
            assert!(touch.attempt.0 >= 1 || touch.lease().is_none(), "a lease of {sequence} is no attempt");
            assert!(touch.uncounted <= touch.attempt.0, "{sequence} has more attempts uncounted than it had");
            let lasting = !self.at_most_once() || touch.attempt.0 == 0;
            assert!(lasting, "{sequence} should have been gone when it was leased");
        }
        self.verify_order();
    }
}

impl Hash for Queue {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.record.hash(state);
        self.touched.hash(state);
        self.remembered.hash(state);
    }
}
