//! Depths: how many messages of a queue are where.

use super::Queue;

/// How many messages are where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// The next consumer gets them.
    pub ready: u64,
    /// They wait for their time.
    pub delayed: u64,
    /// A consumer holds them.
    pub leased: u64,
    /// They wait behind others of their ordering key.
    pub parked: u64,
    /// They wait to be moved to the dead-letter queue.
    pub dead: u64,
    /// Bytes of all of them.
    pub bytes: u64,
}

impl Depth {
    /// All messages in the queue.
    #[must_use]
    pub fn messages(self) -> u64 {
        self.ready + self.delayed + self.leased + self.parked + self.dead
    }
}

impl Queue {
    /// How many messages are where.
    #[must_use]
    pub fn depth(&self) -> Depth {
        let [touched, returned, delayed, dead] =
            [self.touched.len(), self.returned.len(), self.delayed.len(), self.dead.len()].map(|n| n as u64);
        let mut leased = touched - returned - delayed - dead;
        let (open, mut parked) = (self.keys.open_count(), self.keys.count() - self.keys.open_count());
        if self.by_key() {
            parked += leased - self.leased.len() as u64;
            leased = self.leased.len() as u64;
        }
        Depth {
            ready: self.record.lanes.messages() + returned + open,
            delayed,
            leased,
            parked,
            dead,
            bytes: self.record.lanes.bytes() + self.touched_bytes + self.keys.bytes(),
        }
    }
}
