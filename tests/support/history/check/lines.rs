//! What comes one after the other: the messages of a queue, or those of a key.

use std::collections::{BTreeSet, HashMap};

use super::super::{Call, Id, Lease, Order, Queue, Rule};
use super::leases::Held;
use super::{CLOCK_SLACK, Check};

/// A queue, and a key if each has a line of its own.
pub(super) type Line = (Queue, Option<u64>);

/// A message, and which attempt at it.
type Attempt = (u64, u32);

#[derive(Default)]
pub(super) struct Lines {
    /// What is not settled.
    unsettled: HashMap<Line, BTreeSet<u64>>,
    /// What a call got of a line, in order.
    hands: HashMap<(Line, Call), Vec<Attempt>>,
    /// Which lease ended with that of one before it.
    along: HashMap<(Queue, Attempt, u64), u32>,
    deliveries: Vec<Delivery>,
}

/// A delivery and what stood before it, to be judged when all leases are known.
struct Delivery {
    queue: Queue,
    sequence: u64,
    held: Held,
    before: Vec<u64>,
}

impl Lines {
    pub(super) fn stands(&mut self, line: Line, sequence: u64) {
        self.unsettled.entry(line).or_default().insert(sequence);
    }

    /// Sequences are given in order, so all lower ones were there before.
    pub(super) fn delivered(&mut self, line: Line, sequence: u64, held: &Held) {
        let before: Vec<_> = self.unsettled.entry(line).or_default().range(..sequence).copied().collect();
        if !before.is_empty() {
            self.deliveries.push(Delivery { queue: line.0, sequence, held: held.clone(), before });
        }
        self.hands.entry((line, held.call)).or_default().push((sequence, held.attempt));
    }

    pub(super) fn in_hands(&self, line: Line, call: Call) -> &[Attempt] {
        self.hands.get(&(line, call)).map_or(&[], Vec::as_slice)
    }

    /// Whether it is this lease that ended with the one before it, and no other of the same message.
    pub(super) fn takes_along(&mut self, queue: Queue, first: Attempt, (sequence, attempt): Attempt) -> bool {
        *self.along.entry((queue, first, sequence)).or_insert(attempt) == attempt
    }
}

impl Check {
    /// Where a message stands in line, if its queue has an order.
    pub(super) fn line(&self, queue: Queue, id: Id) -> Option<Line> {
        match self.promises[queue].order {
            Order::Any => None,
            Order::Fifo => Some((queue, None)),
            Order::ByKey => {
                let key = self.sent.get(&(queue, id)).and_then(|sent| sent.limits.key);
                key.map(|key| (queue, Some(key)))
            }
        }
    }

    fn line_of(&mut self, lease: Lease) -> Option<Line> {
        let id = self.message(lease).id;
        id.and_then(|id| self.line(lease.queue, id))
    }

    pub(super) fn leaves_its_line(&mut self, lease: Lease) {
        if let Some(line) = self.line_of(lease) {
            self.lines.unsettled.entry(line).or_default().remove(&lease.sequence);
        }
    }

    pub(super) fn back_in_its_line(&mut self, lease: Lease) {
        if let Some(line) = self.line_of(lease) {
            self.lines.stands(line, lease.sequence);
        }
    }

    /// What stood before a message when it was given out was in the same hands then.
    pub(super) fn judge_lines(&mut self) {
        for Delivery { queue, sequence, held, before } in std::mem::take(&mut self.lines.deliveries) {
            if !before.iter().all(|before| self.in_the_same_hands(queue, *before, &held)) {
                self.broken(Rule::InOrder, queue, sequence, held.at);
            }
        }
    }

    fn in_the_same_hands(&self, queue: Queue, before: u64, with: &Held) -> bool {
        let Some(message) = self.messages.get(&(queue, before)) else { return false };
        // Of the leases that began within the same millisecond any may be the one.
        let then = message.held.iter().filter(|held| held.granted == with.granted);
        let last = message.held.iter().filter(|held| held.granted < with.granted);
        let last = last.max_by_key(|held| held.attempt);
        let mut candidates = then.chain(last);
        candidates
            .any(|held| held.call == with.call && held.at < with.at && !held.was_certainly_over(with.granted))
    }
}

impl Held {
    /// Whether it had ended before a time of the server's clock.
    fn was_certainly_over(&self, by: u64) -> bool {
        let ran_out = !self.extended && self.until < by;
        ran_out || self.nacked_by.is_some_and(|at| at + CLOCK_SLACK < by)
    }
}
