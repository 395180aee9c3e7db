//! What some kinds of queues and messages promise beside: bounds, pauses, delays, one active consumer.

use std::collections::{HashMap, HashSet};

use super::super::{Call, Durability, Lease, Limits, Mode, Queue, Rule};
use super::leases::Held;
use super::{CLOCK_SLACK, Check};

#[derive(Default)]
pub(super) struct Kinds {
    /// Of queues with a bound: what is certainly there.
    there: HashMap<Queue, HashSet<u64>>,
    /// By our clock.
    pauses: HashMap<Queue, Vec<(u64, Option<u64>)>>,
    /// When a call got its first and its last message, by the server's clock.
    consumers: HashMap<Queue, HashMap<Call, (u64, u64)>>,
}

impl Kinds {
    /// From now on it may be gone.
    pub(super) fn leaves(&mut self, queue: Queue, sequence: u64) {
        self.there.entry(queue).or_default().remove(&sequence);
    }

    pub(super) fn paused(&mut self, queue: Queue, at: u64) {
        self.pauses.entry(queue).or_default().push((at, None));
    }

    pub(super) fn resuming(&mut self, queue: Queue, at: u64) {
        if let Some((_, end @ None)) = self.pauses.entry(queue).or_default().last_mut() {
            *end = Some(at);
        }
    }

    fn is_paused(&self, queue: Queue, at: u64) -> bool {
        let within = |(from, until): &(u64, Option<u64>)| {
            at > from + CLOCK_SLACK && until.is_none_or(|until| at + CLOCK_SLACK < until)
        };
        self.pauses.get(queue).is_some_and(|pauses| pauses.iter().any(within))
    }
}

impl Check {
    /// A message is known to be there, where nothing but an ack ends it.
    pub(super) fn is_there(&mut self, at: usize, queue: Queue, sequence: u64) {
        let promise = self.promises[queue];
        let Some(most) = promise.refuses_beyond.filter(|_| promise.durability == Durability::Synced) else {
            return;
        };
        if !self.ends_by_itself(Lease { queue, sequence, attempt: 0 }) {
            let there = self.kinds.there.entry(queue).or_default();
            if there.insert(sequence) && u64::try_from(there.len()).is_ok_and(|count| count > most) {
                self.broken(Rule::Bounded, queue, sequence, at);
            }
        }
    }

    pub(super) fn in_its_kind(&mut self, at: usize, lease: Lease, held: &Held, limits: &Limits) {
        let Lease { queue, sequence, attempt } = lease;
        let promise = self.promises[queue];
        if promise.mode == Mode::AtMostOnce {
            return;
        }
        if self.kinds.is_paused(queue, held.granted) {
            self.broken(Rule::PausedIsPaused, queue, sequence, at);
        }
        self.ranked(at, lease, held, limits);
        if attempt == 1 && !self.ends.next_priority(queue, limits.priority) {
            self.broken(Rule::HighestFirst, queue, sequence, at);
        }
        if limits.due.is_some_and(|due| held.granted + CLOCK_SLACK < due) {
            self.broken(Rule::NotTooSoon, queue, sequence, at);
        }
        if promise.single {
            let calls = self.kinds.consumers.entry(queue).or_default();
            let (first, last) = calls.entry(held.call).or_insert((held.granted, held.granted));
            (*first, *last) = ((*first).min(held.granted), (*last).max(held.granted));
        }
    }

    /// Within the same millisecond anything may be before anything.
    pub(super) fn judge_consumers(&mut self, end: usize) {
        for (queue, calls) in std::mem::take(&mut self.kinds.consumers) {
            let mut spans: Vec<_> = calls.into_values().collect();
            spans.sort_unstable();
            let mut before = 0;
            for (first, last) in spans {
                if first < before {
                    self.broken(Rule::OneConsumer, queue, 0, end);
                }
                before = before.max(last);
            }
        }
    }
}
