//! One queue: what was never leased, what is leased, what came back.
//!
//! Untouched messages are two numbers, the frontier and the next sequence. Only messages that were leased and are not
//! settled have an entry.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::ops::Range;

use super::duplicate::Remembered;
use super::outcome::Effects;
use crate::types::{Change, Content, DeliveryMode, Holder, QueueRecord, Sequence, Touch};

/// One queue's state.
#[derive(Debug)]
pub struct Queue {
    record: QueueRecord,
    touched: BTreeMap<Sequence, Touch>,
    /// The touched messages without a lease.
    returned: BTreeSet<Sequence>,
    touched_bytes: u64,
    pub(super) remembered: Remembered,
}

/// How many messages are where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// The next consumer gets them.
    pub ready: u64,
    /// A consumer holds them.
    pub leased: u64,
    /// Bytes of all of them.
    pub bytes: u64,
}

impl Depth {
    /// All messages in the queue.
    #[must_use]
    pub fn messages(self) -> u64 {
        self.ready + self.leased
    }
}

impl Queue {
    pub(super) fn new(record: QueueRecord) -> Self {
        Self {
            record,
            touched: BTreeMap::new(),
            returned: BTreeSet::new(),
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
        let returned = self.returned.len() as u64;
        Depth {
            ready: self.record.next_sequence.0 - self.record.frontier.0 + returned,
            leased: self.touched.len() as u64 - returned,
            bytes: self.record.untouched_bytes + self.touched_bytes,
        }
    }

    /// Messages that were leased and are not settled, by sequence.
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

    /// What is ready and was leased before, in the order of delivery. It goes before what is untouched.
    pub fn returned(&self) -> impl Iterator<Item = Sequence> {
        self.returned.iter().copied()
    }

    /// What is ready and was never leased.
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
        self.touched.iter().filter_map(|(&sequence, touch)| {
            let lease = touch.lease.as_ref()?;
            match lease.holder {
                Holder::Stream(_) => Some(sequence),
                Holder::Receive(_) => None,
            }
        })
    }

    pub(super) fn publish(&mut self, messages: &[Content]) -> Sequence {
        let first = self.record.next_sequence;
        self.record.next_sequence = first.plus(messages.len() as u64);
        self.record.untouched_bytes += messages.iter().map(|content| u64::from(content.size())).sum::<u64>();
        first
    }

    /// Takes everything that nobody holds; says how many that was.
    pub(super) fn purge(&mut self, effects: &mut Effects) -> u64 {
        let queue = self.record.id;
        let gone = self.depth().ready;
        for sequence in std::mem::take(&mut self.returned) {
            self.remove(sequence);
            effects.changes.push(Change::Settled { queue, sequence });
        }
        let Range { start: from, end: until } = self.untouched();
        if from < until {
            self.record.frontier = until;
            self.record.untouched_bytes = 0;
            effects.changes.push(Change::Purged { queue, from, until });
        }
        gone
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

    /// Sets the delivery state of a message.
    pub(super) fn put(&mut self, sequence: Sequence, touch: Touch) {
        if touch.lease.is_some() {
            self.returned.remove(&sequence);
        } else {
            self.returned.insert(sequence);
        }
        self.touched_bytes += u64::from(touch.size);
        if let Some(old) = self.touched.insert(sequence, touch) {
            self.touched_bytes -= u64::from(old.size);
        }
    }

    /// Forgets a touched message: it is settled.
    pub(super) fn remove(&mut self, sequence: Sequence) -> Option<Touch> {
        let touch = self.touched.remove(&sequence)?;
        self.returned.remove(&sequence);
        self.touched_bytes -= u64::from(touch.size);
        Some(touch)
    }

    /// Checks what must always be true of a queue by itself.
    pub(super) fn verify(&self) {
        let Range { start: frontier, end: next } = self.untouched();
        assert!(frontier.0 >= 1 && frontier <= next, "the frontier {frontier} is not in 1..={next}");
        assert!(frontier < next || self.record.untouched_bytes == 0, "no message, but bytes of it");
        let returned = self.touched.iter().filter(|(_, touch)| touch.lease.is_none());
        assert!(
            self.returned.iter().eq(returned.map(|(sequence, _)| sequence)),
            "returned is touched, not leased"
        );
        self.remembered.verify(self.record.remembered_from, next);
        let bytes = self.touched.values().map(|touch| u64::from(touch.size)).sum::<u64>();
        assert_eq!(self.touched_bytes, bytes, "bytes are the sum of sizes");
        for (&sequence, touch) in &self.touched {
            assert!(sequence.0 >= 1 && sequence < frontier, "{sequence} is touched and untouched");
            assert!(touch.attempt.0 >= 1, "{sequence} is touched, but was never leased");
            assert!(touch.uncounted <= touch.attempt.0, "{sequence} has more attempts uncounted than it had");
            assert!(!self.at_most_once(), "{sequence} should have been gone when it was leased");
        }
    }
}

impl Hash for Queue {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.record.hash(state);
        self.touched.hash(state);
        self.remembered.hash(state);
    }
}
