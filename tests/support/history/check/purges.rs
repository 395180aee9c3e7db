//! Purges: what nobody holds goes, and what somebody holds stays.

use std::collections::HashMap;

use super::super::{Lease, Queue};
use super::leases::Held;
use super::{CLOCK_SLACK, Check};

#[derive(Default)]
pub(super) struct Purges(HashMap<Queue, Vec<Purge>>);

struct Purge {
    begun: usize,
    /// From here on it takes nothing more.
    over: Option<usize>,
    /// When it was known to be done, by our clock.
    done_by: Option<u64>,
}

impl Purges {
    pub(super) fn begun(&mut self, queue: Queue, at: usize) {
        self.0.entry(queue).or_default().push(Purge { begun: at, over: None, done_by: None });
    }

    /// One without an answer may still come after it.
    pub(super) fn done(&mut self, queue: Queue, at: usize, when: u64) {
        if let Some(purge) = self.0.entry(queue).or_default().last_mut() {
            (purge.over, purge.done_by) = (Some(at), Some(when));
        }
    }

    /// One without an answer has happened by now, or never.
    pub(super) fn down(&mut self, at: usize) {
        for purge in self.0.values_mut().flatten() {
            purge.over.get_or_insert(at);
        }
    }

    fn of(&self, queue: Queue) -> &[Purge] {
        self.0.get(queue).map_or(&[], Vec::as_slice)
    }

    pub(super) fn any(&self, queue: Queue) -> bool {
        !self.of(queue).is_empty()
    }
}

impl Check {
    /// Whether a purge can have taken a message before an event.
    pub(super) fn can_be_purged(&self, queue: Queue, sequence: u64, sent: usize, before: usize) -> bool {
        self.purges.of(queue).iter().any(|purge| {
            let there = purge.begun < before && purge.over.is_none_or(|over| sent < over);
            there && !self.is_held_throughout(queue, sequence, purge)
        })
    }

    /// Whether somebody certainly held a message from before a purge until it was done.
    fn is_held_throughout(&self, queue: Queue, sequence: u64, purge: &Purge) -> bool {
        let Some((over, done_by)) = purge.over.zip(purge.done_by) else { return false };
        let Some(message) = self.messages.get(&(queue, sequence)) else { return false };
        message.held.iter().any(|held| {
            let later = |other: &Held| other.attempt > held.attempt && other.at < over;
            held.at < purge.begun
                && !message.held.iter().any(later)
                && !self.can_have_ended((queue, sequence), held, over, done_by + CLOCK_SLACK)
        })
    }

    /// Whether a message comes after a purge that must have taken it: it was there before, and nobody had it until the purge was done.
    pub(super) fn comes_back(&self, lease: Lease, new: &Held) -> bool {
        let Some(message) = self.messages.get(&(lease.queue, lease.sequence)) else { return false };
        let opened = self.calls.get(new.call).at;
        let waited_since = if lease.attempt == 1 {
            message.confirmed
        } else {
            let before = message.held.iter().find(|held| held.attempt + 1 == lease.attempt);
            before.and_then(|before| before.back)
        };
        self.purges.of(lease.queue).iter().any(|purge| {
            let after = |over: usize, done_by: u64| opened > over || new.granted > done_by + CLOCK_SLACK;
            waited_since.is_some_and(|since| since < purge.begun)
                && purge.over.zip(purge.done_by).is_some_and(|(over, done_by)| after(over, done_by))
        })
    }
}
