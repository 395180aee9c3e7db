//! Deadlines of leases and ends of delays, earliest first.

use std::collections::BTreeSet;

use crate::types::{QueueId, Sequence, Timestamp};

/// All times that something ends. Insert, remove and pop are O(log n) in what is leased and delayed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Timers(BTreeSet<(Timestamp, QueueId, Sequence)>);

impl Timers {
    pub(super) fn first(&self) -> Option<Timestamp> {
        self.0.first().map(|&(at, ..)| at)
    }

    pub(super) fn insert(&mut self, at: Timestamp, queue: QueueId, sequence: Sequence) {
        self.0.insert((at, queue, sequence));
    }

    pub(super) fn remove(&mut self, at: Timestamp, queue: QueueId, sequence: Sequence) {
        self.0.remove(&(at, queue, sequence));
    }

    /// The earliest that is due at `now`; it stays until it is removed.
    pub(super) fn due(&self, now: Timestamp) -> Option<(QueueId, Sequence)> {
        self.0.first().filter(|&&(at, ..)| at <= now).map(|&(_, queue, sequence)| (queue, sequence))
    }
}
