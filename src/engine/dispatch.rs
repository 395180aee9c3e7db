//! Who gets the next message of one queue: round-robin among those with credit.
//!
//! A decision of the leader alone: it becomes state only through the grant that follows from it. A consumer without
//! credit is not in the ring, so ten thousand waiting ones cost nothing and one message wakes one of them. Where it must be
//! one consumer and no other, the ring is left alone.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::types::HolderId;

/// Messages and bytes that a consumer may hold, or holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Credit {
    /// Messages.
    pub messages: u32,
    /// Bytes.
    pub bytes: u64,
}

/// Who is asked to take a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Among {
    /// Everyone in turn.
    All,
    /// The one that has been there longest.
    Oldest,
    /// This one.
    One(HolderId),
}

/// The consumers of one queue.
#[derive(Debug, Default)]
pub struct Dispatch {
    takers: HashMap<HolderId, Taker>,
    /// The same in the order in which they came.
    arrivals: BTreeMap<u64, HolderId>,
    arrived: u64,
    /// Takers that may have credit, next first. May name some that have left.
    ring: VecDeque<HolderId>,
}

#[derive(Debug)]
struct Taker {
    limit: Credit,
    held: Credit,
    in_ring: bool,
    arrival: u64,
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
        let arrival = self.arrived;
        self.arrived += 1;
        self.arrivals.insert(arrival, holder);
        self.takers.insert(holder, Taker { limit, held: Credit::default(), in_ring: true, arrival });
        self.ring.push_back(holder);
    }

    /// A consumer goes.
    pub fn leave(&mut self, holder: HolderId) {
        if let Some(gone) = self.takers.remove(&holder) {
            self.arrivals.remove(&gone.arrival);
        }
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

    /// Who of `among` gets the next message, of `size` bytes; it counts as held from now on.
    pub fn take_among(&mut self, among: Among, size: u32) -> Option<HolderId> {
        let holder = match among {
            Among::All => return self.take(size),
            Among::Oldest => self.oldest()?,
            Among::One(holder) => holder,
        };
        let taker = self.takers.get_mut(&holder).filter(|taker| taker.fits(size))?;
        taker.held.messages += 1;
        taker.held.bytes += u64::from(size);
        Some(holder)
    }

    /// Whether any of `among` may take a message.
    #[must_use]
    pub fn hungry(&self, among: Among) -> bool {
        let holder = match among {
            Among::All => return !self.ring.is_empty(),
            Among::Oldest => self.oldest(),
            Among::One(holder) => Some(holder),
        };
        let taker = holder.and_then(|holder| self.takers.get(&holder));
        taker.is_some_and(|taker| taker.held.messages < taker.limit.messages)
    }

    fn oldest(&self) -> Option<HolderId> {
        self.arrivals.first_key_value().map(|(_, &holder)| holder)
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
        assert!(!dispatch.hungry(Among::All));
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
    fn the_oldest_takes_all_and_the_next_takes_over() {
        let mut dispatch = Dispatch::default();
        for id in [7, 3, 5] {
            dispatch.join(HolderId(id), credit(2, 100));
        }
        let take = |dispatch: &mut Dispatch| dispatch.take_among(Among::Oldest, 1).map(|holder| holder.0);
        assert_eq!([take(&mut dispatch), take(&mut dispatch), take(&mut dispatch)], [Some(7), Some(7), None]);
        assert!(!dispatch.hungry(Among::Oldest) && dispatch.hungry(Among::One(HolderId(5))));
        dispatch.freed(HolderId(7), 1);
        assert_eq!(take(&mut dispatch), Some(7));
        dispatch.leave(HolderId(7));
        assert_eq!(take(&mut dispatch), Some(3));
        assert_eq!(dispatch.take_among(Among::One(HolderId(7)), 1), None);
    }

    #[test]
    fn coming_and_going_leaves_nothing_behind() {
        let mut dispatch = Dispatch::default();
        for id in 0..10_000 {
            dispatch.join(HolderId(id), credit(1, 1));
            dispatch.leave(HolderId(id));
        }
        assert!(dispatch.ring.len() <= 65, "{}", dispatch.ring.len());
        assert!(dispatch.arrivals.is_empty());
    }
}
