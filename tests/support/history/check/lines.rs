//! What comes one after the other: the messages of a queue, or those of a key.
//!
//! What leaves its line without an ack, because its attempts are used up, its time is over or it is purged, leaves it once nobody
//! holds it any more. Nobody says when; so it may have left as soon as that is possible, unless it comes again.

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
    fn before(&self, line: Line, sequence: u64) -> Vec<u64> {
        self.unsettled.get(&line).map_or_else(Vec::new, |all| all.range(..sequence).copied().collect())
    }

    fn leaves(&mut self, line: Line, sequence: u64) {
        self.unsettled.entry(line).or_default().remove(&sequence);
    }

    fn delivered(&mut self, line: Line, sequence: u64, held: &Held, before: Vec<u64>) {
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
            self.lines.leaves(line, lease.sequence);
        }
    }

    pub(super) fn back_in_its_line(&mut self, lease: Lease) {
        if let Some(line) = self.line_of(lease) {
            self.lines.stands(line, lease.sequence);
        }
    }

    /// What can have left the line, and of which nothing more is told, is looked at no more.
    pub(super) fn delivered_in_line(&mut self, line: Line, sequence: u64, held: &Held) {
        let (left, before): (Vec<_>, Vec<_>) =
            self.lines.before(line, sequence).into_iter().partition(|before| {
                let last = self.last.get(&(line.0, *before));
                last.is_none_or(|last| *last < held.at) && self.can_have_left(line.0, *before, held)
            });
        left.into_iter().for_each(|left| self.lines.leaves(line, left));
        self.lines.delivered(line, sequence, held, before);
    }

    /// What stood before a message when it was given out was in the same hands then, or had left.
    pub(super) fn judge_lines(&mut self) {
        for Delivery { queue, sequence, held, before } in std::mem::take(&mut self.lines.deliveries) {
            let passed = |before: &u64| {
                self.in_the_same_hands(queue, *before, &held) || self.can_have_left(queue, *before, &held)
            };
            if !before.iter().all(passed) {
                self.broken(Rule::InOrder, queue, sequence, held.at);
            }
        }
    }

    /// Whether a message can have been gone without an ack when another one was given out. What has a dead-letter queue to go to is
    /// seen there some time.
    fn can_have_left(&self, queue: Queue, sequence: u64, when: &Held) -> bool {
        let Some(message) = self.messages.get(&(queue, sequence)) else { return false };
        let sent = message.id.and_then(|id| Some((id, self.sent.get(&(queue, id))?)));
        let Some((id, sent)) = sent else { return false };
        let over = sent.limits.expires.is_some_and(|expires| expires <= when.granted + CLOCK_SLACK);
        let gone = if self.gives_up(queue) { self.given_up.contains_key(&(queue, id)) } else { over };
        let ended = |held: &Held| {
            held.granted <= when.granted
                && self.can_have_ended((queue, sequence), held, when.at, when.granted)
        };
        let last = message.held.iter().max_by_key(|held| held.attempt);
        (gone || self.can_be_purged(queue, sequence, sent.at, when.at)) && last.is_none_or(ended)
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
