//! What a queue remembers of deduplication ids, so that what is published twice is stored once.
//!
//! Messages are remembered in the order of their
//! sequences, which is the order of time, so the first to be forgotten is always the one in front.
//!
//! An id whose time is over counts for nothing, forgotten or not. So when it is forgotten is a matter of memory only.
//!
//! Always true: an id that is known is in the order, at its latest message.

use std::collections::{HashMap, VecDeque};
use std::hash::{Hash, Hasher};

use super::{Engine, Outcome, Queue};
use crate::types::{Content, DeduplicationId, Duration, Facts, Lane, QueueId, Sequence, Timestamp};

/// The ids that one queue remembers. Each takes 60 to 120 bytes, depending on how full the tables are.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    ids: HashMap<DeduplicationId, Sequence>,
    order: VecDeque<(Sequence, Timestamp, DeduplicationId)>,
}

/// What a publish comes to once duplicates are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sifted {
    /// How many messages are to be stored.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The places of duplicates, in ascending order, with the message that is there.
    pub duplicates: Vec<(u32, Sequence)>,
    /// Ids to remember, and of which message.
    pub new: Vec<(Sequence, DeduplicationId)>,
    /// Of those that are to be stored, the places of those in another lane than that of priority 0.
    pub lanes: Vec<(u32, Lane)>,
    /// Of those that are to be stored, the places of those that wait, and how long.
    pub delays: Vec<(u32, Duration)>,
    /// Of those that are to be stored, the place of the last with a time to live of its own.
    pub expiring: Option<u32>,
}

impl Remembered {
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn insert(&mut self, sequence: Sequence, at: Timestamp, id: DeduplicationId) {
        self.ids.insert(id, sequence);
        self.order.push_back((sequence, at, id));
    }

    /// The message of that id, if it is still to be remembered.
    fn find(&self, id: DeduplicationId, window: Duration, now: Timestamp) -> Option<Sequence> {
        let &sequence = self.ids.get(&id)?;
        let place = self.order.binary_search_by_key(&sequence, |&(sequence, ..)| sequence).ok()?;
        self.order.get(place).filter(|(_, at, _)| at.after(window) > now)?;
        Some(sequence)
    }

    /// Whether the first is to be forgotten.
    fn is_due(&self, window: Duration, now: Timestamp) -> bool {
        self.order.front().is_some_and(|&(_, at, _)| at.after(window) <= now)
    }

    /// Forgets up to `limit` ids whose time is over; how many.
    fn forget(&mut self, window: Duration, now: Timestamp, limit: usize) -> usize {
        let mut count = 0;
        while count < limit && self.is_due(window, now) {
            let Some((sequence, _, id)) = self.order.pop_front() else { break };
            // It may have come again since.
            if self.ids.get(&id) == Some(&sequence) {
                self.ids.remove(&id);
            }
            count += 1;
        }
        // What was needed in a burst is not kept for ever.
        if self.order.capacity() > 1024 && self.order.len() < self.order.capacity() / 4 {
            self.order.shrink_to(self.order.len() * 2);
            self.ids.shrink_to(self.order.len() * 2);
        }
        count
    }

    /// # Panics
    /// If what must always be true is not.
    pub(super) fn verify(&self, from: Sequence, next: Sequence) {
        assert!(self.ids.len() <= self.order.len(), "an id that is known is in the order");
        for (id, sequence) in &self.ids {
            let place = self.order.binary_search_by_key(sequence, |&(sequence, ..)| sequence);
            let known = place.is_ok_and(|place| self.order[place].2 == *id);
            assert!(known, "{sequence} is remembered by its id, but not in the order");
        }
        let within = self.order.iter().all(|(sequence, ..)| (from..next).contains(sequence));
        assert!(within, "what is remembered should have been forgotten, or never was");
        let mut pairs = self.order.iter().zip(self.order.iter().skip(1));
        assert!(pairs.all(|(a, b)| a.0 < b.0 && a.1 <= b.1), "ids are in the order of time");
    }
}

impl Hash for Remembered {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.order.hash(state);
    }
}

impl Queue {
    /// What a publish at `now` comes to, message by message.
    pub(super) fn sift(&self, messages: &[Content], facts: &[(u32, Facts)], now: Timestamp) -> Sifted {
        let window = self.record().settings.deduplication_window;
        let next = self.next_sequence();
        let mut sifted = Sifted {
            messages: messages.len() as u64,
            bytes: messages.iter().map(|content| u64::from(content.size())).sum(),
            duplicates: Vec::new(),
            new: Vec::new(),
            lanes: Vec::new(),
            delays: Vec::new(),
            expiring: None,
        };
        let mut here: HashMap<DeduplicationId, Sequence> = HashMap::new();
        for &(place, facts) in facts {
            let Some(content) = usize::try_from(place).ok().and_then(|place| messages.get(place)) else {
                continue;
            };
            let stored = place.saturating_sub(u32::try_from(sifted.duplicates.len()).unwrap_or(place));
            if let Some(id) = facts.deduplication.filter(|_| window > Duration::default()) {
                let known = self.remembered.find(id, window, now).or_else(|| here.get(&id).copied());
                if let Some(first) = known {
                    sifted.duplicates.push((place, first));
                    sifted.messages -= 1;
                    sifted.bytes -= u64::from(content.size());
                    continue;
                }
                let sequence = next.plus(u64::from(stored));
                here.insert(id, sequence);
                sifted.new.push((sequence, id));
            }
            if facts.expires {
                sifted.expiring = Some(stored);
            }
            let waits = self.takes_delays() && facts.delay > Duration::default();
            if waits {
                sifted.delays.push((stored, facts.delay));
            }
            let lane = if waits { Lane::delayed(facts.priority) } else { self.lane_for(facts.priority) };
            if lane != Lane::default() {
                sifted.lanes.push((stored, lane));
            }
        }
        sifted
    }

    /// Forgets up to `limit` ids whose time is over; how many.
    pub(super) fn forget(&mut self, now: Timestamp, limit: usize) -> usize {
        let window = self.record().settings.deduplication_window;
        let count = self.remembered.forget(window, now, limit);
        if count > 0 {
            let first = self.remembered.order.front().map(|&(sequence, ..)| sequence);
            self.forgotten_before(first.unwrap_or(self.next_sequence()));
        }
        count
    }
}

impl Engine {
    /// How many deduplication ids all queues remember.
    #[must_use]
    pub fn deduplication_ids(&self) -> usize {
        self.remembered
    }

    /// Whether ids wait to be forgotten: see `Command::Forget`.
    #[must_use]
    pub fn is_forgetful(&self, now: Timestamp) -> bool {
        let due = |queue: &Queue| queue.remembered.is_due(queue.record().settings.deduplication_window, now);
        self.remembered > 0 && self.queues.values().any(due)
    }

    /// What a publish to a queue at `now` comes to once duplicates are left out; nothing if the queue is not there.
    #[must_use]
    pub fn sift(
        &self,
        id: QueueId,
        messages: &[Content],
        facts: &[(u32, Facts)],
        now: Timestamp,
    ) -> Option<Sifted> {
        self.queues.get(&id).map(|queue| queue.sift(messages, facts, now))
    }

    /// Remembers an id that was kept in a store. They come in the order of their sequences.
    pub fn remember(&mut self, queue: QueueId, sequence: Sequence, at: Timestamp, id: DeduplicationId) {
        if let Some(queue) = self.queues.get_mut(&queue) {
            queue.remembered.insert(sequence, at, id);
            self.remembered += 1;
        }
    }

    pub(super) fn forget(&mut self, limit: u32) -> Outcome {
        let (now, mut left) = (self.record.now, usize::try_from(limit).unwrap_or(usize::MAX));
        for (id, queue) in &mut self.queues {
            let count = queue.forget(now, left);
            if count > 0 {
                self.dirty.insert(*id);
                self.remembered -= count;
                left -= count;
            }
        }
        Outcome::Forgotten
    }
}
