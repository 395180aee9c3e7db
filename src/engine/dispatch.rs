//! Who gets the next message of one queue: round-robin among those with credit.
//!
//! A decision of the leader alone: it becomes state only through the grant that follows from it. A consumer without
//! credit is not in the ring, so ten thousand waiting ones cost nothing and one message wakes one of them.

use std::collections::{HashMap, VecDeque};

use crate::types::HolderId;

/// Messages and bytes that a consumer may hold, or holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Credit {
    /// Messages.
    pub messages: u32,
    /// Bytes.
    pub bytes: u64,
}

/// The consumers of one queue.
#[derive(Debug, Default)]
pub struct Dispatch {
    takers: HashMap<HolderId, Taker>,
    /// Takers that may have credit, next first. May name some that have left.
    ring: VecDeque<HolderId>,
}

#[derive(Debug)]
struct Taker {
    limit: Credit,
    held: Credit,
    in_ring: bool,
}

impl Taker {
    fn fits(&self, size: u32) -> bool {
        let within = self.held.bytes + u64::from(size) <= self.limit.bytes;
        self.held.messages < self.limit.messages && (within || self.held.messages == 0)
    }
}

impl Dispatch {
    /// A consumer comes, holding nothing.
    pub fn join(&mut self, holder: HolderId, limit: Credit) {
        self.takers.insert(holder, Taker { limit, held: Credit::default(), in_ring: true });
        self.ring.push_back(holder);
    }

    /// A consumer goes.
    pub fn leave(&mut self, holder: HolderId) {
        self.takers.remove(&holder);
        if self.ring.len() > 64 && self.ring.len() > 2 * self.takers.len() {
            self.ring.retain(|holder| self.takers.contains_key(holder));
        }
    }

    /// A consumer no longer holds a message of `size` bytes.
    pub fn freed(&mut self, holder: HolderId, size: u32) {
        let Some(taker) = self.takers.get_mut(&holder) else { return };
        taker.held.messages = taker.held.messages.saturating_sub(1);
        taker.held.bytes = taker.held.bytes.saturating_sub(u64::from(size));
        if !taker.in_ring {
            taker.in_ring = true;
            self.ring.push_back(holder);
        }
    }

    /// Who gets the next message, of `size` bytes; it counts as held from now on. Those whose credit it does not fit
    /// step out of the ring until some of it comes back.
    pub fn take(&mut self, size: u32) -> Option<HolderId> {
        while let Some(holder) = self.ring.pop_front() {
            let Some(taker) = self.takers.get_mut(&holder) else { continue };
            if !taker.fits(size) {
                taker.in_ring = false;
                continue;
            }
            taker.held.messages += 1;
            taker.held.bytes += u64::from(size);
            taker.in_ring = taker.held.messages < taker.limit.messages;
            if taker.in_ring {
                self.ring.push_back(holder);
            }
            return Some(holder);
        }
        None
    }

    /// Whether anyone may take a message.
    #[must_use]
    pub fn hungry(&self) -> bool {
        !self.ring.is_empty()
    }

    /// How many messages its consumers could take now, all together. O(n) in the consumers.
    #[must_use]
    pub fn free_messages(&self) -> usize {
        let free = |taker: &Taker| usize::try_from(taker.limit.messages - taker.held.messages).unwrap_or(0);
        self.takers.values().map(free).sum()
    }

    /// How many consumers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.takers.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.takers.is_empty()
    }

    /// All consumers.
    pub fn holders(&self) -> impl Iterator<Item = HolderId> {
        self.takers.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credit(messages: u32, bytes: u64) -> Credit {
        Credit { messages, bytes }
    }

    #[test]
    fn messages_go_round_robin() {
        let mut dispatch = Dispatch::default();
        for id in 1..=3 {
            dispatch.join(HolderId(id), credit(2, 100));
        }
        let order: Vec<_> = std::iter::from_fn(|| dispatch.take(1)).map(|holder| holder.0).collect();
        assert_eq!(order, [1, 2, 3, 1, 2, 3]);
        assert!(!dispatch.hungry());
        dispatch.freed(HolderId(2), 1);
        assert_eq!(dispatch.take(1), Some(HolderId(2)));
    }

    #[test]
    fn one_message_always_fits_and_a_full_consumer_blocks_nobody() {
        let mut dispatch = Dispatch::default();
        dispatch.join(HolderId(1), credit(10, 5));
        dispatch.join(HolderId(2), credit(10, 100));
        assert_eq!(dispatch.take(50), Some(HolderId(1)));
        assert_eq!(dispatch.take(50), Some(HolderId(2)));
        assert_eq!(dispatch.take(50), Some(HolderId(2)));
        assert_eq!(dispatch.take(50), None);
        dispatch.freed(HolderId(1), 50);
        assert_eq!(dispatch.take(50), Some(HolderId(1)));
    }

    #[test]
    fn one_that_left_gets_nothing() {
        let mut dispatch = Dispatch::default();
        dispatch.join(HolderId(1), credit(1, 1));
        dispatch.leave(HolderId(1));
        assert_eq!(dispatch.take(1), None);
        assert!(dispatch.is_empty());
    }

    #[test]
    fn coming_and_going_leaves_nothing_behind() {
        let mut dispatch = Dispatch::default();
        for id in 0..10_000 {
            dispatch.join(HolderId(id), credit(1, 1));
            dispatch.leave(HolderId(id));
        }
        assert!(dispatch.ring.len() <= 65, "{}", dispatch.ring.len());
    }
}
