//! Priorities: what waits goes before whatever has a lower one.
//!
//! A message waits certainly from when its publish is confirmed until its first attempt is made; in a BUFFERED queue perhaps for its
//! fsync.

use std::collections::HashMap;

use super::super::{Durability, Lease, Limits, Queue, Rule};
use super::Check;
use super::leases::Held;

#[derive(Default)]
pub(super) struct Ranks(HashMap<Queue, Vec<Granted>>);

/// A lease, by the server's clock.
#[derive(Clone, Copy)]
struct Granted {
    sequence: u64,
    attempt: u32,
    priority: u32,
    granted: u64,
    at: usize,
    /// When its call was made; it was granted after that.
    opened: usize,
    delayed: bool,
}

impl Check {
    pub(super) fn ranked(&mut self, at: usize, lease: Lease, held: &Held, limits: &Limits) {
        let Lease { queue, sequence, attempt } = lease;
        if self.promises[queue].durability == Durability::Buffered {
            return;
        }
        let (priority, granted, opened) = (limits.priority, held.granted, self.calls.get(held.call).at);
        let delayed = limits.due.is_some();
        let one = Granted { sequence, attempt, priority, granted, at, opened, delayed };
        self.ranks.0.entry(queue).or_default().push(one);
    }

    /// Nothing was granted while something of a higher priority waited. Within the same millisecond anything may be before anything.
    pub(super) fn judge_ranks(&mut self) {
        for (queue, mut granted) in std::mem::take(&mut self.ranks.0) {
            let first = |one: &&Granted| one.attempt == 1 && !one.delayed;
            let confirmed = |one: &Granted| self.messages.get(&(queue, one.sequence))?.confirmed;
            let waited = granted.iter().filter(first).filter_map(|one| Some((confirmed(one)?, *one)));
            let mut waited: Vec<_> = waited.collect();
            waited.sort_unstable_by_key(|(confirmed, _)| *confirmed);
            granted.sort_unstable_by_key(|one| one.opened);
            // Of those that were confirmed by then: until when the last of each priority waited.
            let mut until: HashMap<u32, u64> = HashMap::new();
            let mut waited = waited.into_iter().peekable();
            for one in granted {
                while let Some((_, first)) = waited.next_if(|(confirmed, _)| *confirmed < one.opened) {
                    let until = until.entry(first.priority).or_default();
                    *until = first.granted.max(*until);
                }
                let passed =
                    |(priority, until): (&u32, &u64)| *priority > one.priority && *until > one.granted;
                if until.iter().any(passed) {
                    self.broken(Rule::HighestFirst, queue, one.sequence, one.at);
                }
            }
        }
    }
}
