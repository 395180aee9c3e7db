//! What some kinds of queues and messages promise beside: purges, pauses, delays, priorities, one active consumer.

use std::collections::{HashMap, HashSet};

use super::super::{Call, Lease, Limits, Mode, Queue, Rule};
use super::leases::Held;
use super::{CLOCK_SLACK, Check};

#[derive(Default)]
pub(super) struct Kinds {
    purging: HashSet<Queue>,
    /// What was sent before this event may be gone.
    purged: HashMap<Queue, usize>,
    /// By our clock.
    pauses: HashMap<Queue, Vec<(u64, Option<u64>)>>,
    /// When a call got its first and its last message, by the server's clock.
    consumers: HashMap<Queue, HashMap<Call, (u64, u64)>>,
}

impl Kinds {
    pub(super) fn purging(&mut self, queue: Queue) {
        self.purging.insert(queue);
    }

    pub(super) fn purged(&mut self, queue: Queue, at: usize) {
        self.purging.remove(queue);
        self.purged.insert(queue, at);
    }

    /// A purge without an answer has happened by now, or never.
    pub(super) fn down(&mut self, at: usize) {
        for queue in std::mem::take(&mut self.purging) {
            self.purged.insert(queue, at);
        }
    }

    pub(super) fn may_be_purged(&self, queue: Queue, sent: usize) -> bool {
        self.purged.get(queue).is_some_and(|at| sent < *at)
    }

    pub(super) fn was_purged(&self, queue: Queue) -> bool {
        self.purging.contains(queue) || self.purged.contains_key(queue)
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
    pub(super) fn in_its_kind(&mut self, at: usize, lease: Lease, held: &Held, limits: &Limits) {
        let Lease { queue, sequence, attempt } = lease;
        let promise = self.promises[queue];
        if promise.mode == Mode::AtMostOnce {
            return;
        }
        if self.kinds.is_paused(queue, held.granted) {
            self.broken(Rule::PausedIsPaused, queue, sequence, at);
        }
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
