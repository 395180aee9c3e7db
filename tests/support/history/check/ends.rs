//! What became of everything: nothing is missing for which nothing speaks.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::super::{Lease, Mode, Publish, Queue, Rule};
use super::{CLOCK_SLACK, Check, Message};

#[derive(Default)]
pub(super) struct Ends {
    /// The latest time of our clock that was recorded.
    now: u64,
    drains: BTreeMap<Queue, Drain>,
    /// Of queues that drop: what can have been stored beyond their bound, at the most.
    excess: HashMap<Queue, Excess>,
}

struct Drain {
    begun: usize,
    depth: u64,
    taken: BTreeSet<u64>,
    /// The priority of the last one that nobody had before.
    priority: u32,
    /// When the queue was empty, by our clock.
    empty: Option<u64>,
}

#[derive(Default)]
struct Excess {
    sent: usize,
    acked: usize,
    most: usize,
}

impl Ends {
    pub(super) fn seen(&mut self, at: u64) {
        self.now = self.now.max(at);
    }

    /// When something was dropped last, what had been sent filled the queue, but for what was acked or dropped.
    pub(super) fn sent(&mut self, queue: Queue, bound: Option<usize>) {
        let Some(bound) = bound else { return };
        let excess = self.excess.entry(queue).or_default();
        excess.sent += 1;
        excess.most = excess.most.max(excess.sent.saturating_sub(excess.acked + bound));
    }

    pub(super) fn acked(&mut self, queue: Queue) {
        if let Some(excess) = self.excess.get_mut(queue) {
            excess.acked += 1;
        }
    }

    pub(super) fn draining(&mut self, queue: Queue, depth: u64, begun: usize) {
        self.drains
            .insert(queue, Drain { begun, depth, taken: BTreeSet::new(), priority: u32::MAX, empty: None });
    }

    pub(super) fn drained(&mut self, queue: Queue, at: u64) {
        self.seen(at);
        if let Some(drain) = self.drains.get_mut(queue) {
            drain.empty = Some(at);
        }
    }

    pub(super) fn delivered(&mut self, queue: Queue, sequence: u64) {
        if let Some(drain) = self.drains.get_mut(queue) {
            drain.taken.insert(sequence);
        }
    }

    /// A message that nobody had before is taken in a drain; whether none with a lower priority was.
    pub(super) fn next_priority(&mut self, queue: Queue, priority: u32) -> bool {
        let Some(drain) = self.drains.get_mut(queue) else { return true };
        let falls = priority <= drain.priority;
        drain.priority = priority;
        falls
    }

    /// When it was looked last what a queue has.
    fn last_look(&self, queue: Queue) -> u64 {
        self.drains.get(queue).and_then(|drain| drain.empty).unwrap_or(self.now)
    }
}

impl Check {
    pub(super) fn finish(&mut self, end: usize) {
        self.down(end);
        self.judge_lines();
        self.judge_consumers(end);
        self.judge_ranks();
        for (publishes, acks) in std::mem::take(&mut self.together) {
            self.both_or_neither(end, &publishes, &acks);
        }
        let mut lost = Vec::new();
        let mut dropped: BTreeMap<Queue, Vec<u64>> = BTreeMap::new();
        for (&(queue, sequence), message) in &self.messages {
            let there = message.confirmed.is_some() || !message.held.is_empty();
            let acked = message.acks.values().any(|refused| !refused);
            let kept = self.promises[queue].mode == Mode::AtLeastOnce;
            if there && kept && !acked && !self.may_be_gone(queue, sequence, message) {
                if self.promises[queue].drops_beyond.is_some() {
                    dropped.entry(queue).or_default().push(sequence);
                } else {
                    lost.push((Rule::NothingIsLost, queue, sequence));
                }
            }
        }
        for (queue, dropped) in dropped {
            let most = self.ends.excess.get(queue).map_or(0, |excess| excess.most);
            lost.extend(dropped.into_iter().skip(most).map(|one| (Rule::NothingIsLost, queue, one)));
        }
        for (queue, drain) in &self.ends.drains {
            if self.promises[queue].mode == Mode::AtMostOnce {
                lost.extend(self.skipped(queue, drain).map(|one| (Rule::NothingIsSkipped, *queue, one)));
            }
        }
        for (rule, queue, sequence) in lost {
            self.broken(rule, queue, sequence, end);
        }
    }

    /// What an at-most-once queue did not give out in a drain: it gives out all that it says it has, without a gap, up to the
    /// last that is known; what comes before can have been lost with a consumer, if there was one.
    fn skipped(&self, queue: Queue, drain: &Drain) -> impl Iterator<Item = u64> {
        let of_queue = self.messages.range((queue, 0)..=(queue, u64::MAX));
        let known = of_queue.filter(|(_, message)| message.confirmed.is_some() || !message.held.is_empty());
        let known: Vec<_> = known.map(|((_, sequence), message)| (*sequence, message)).collect();
        let first = drain.taken.first().copied().unwrap_or(u64::MAX);
        let last = known.last().map_or(0, |(sequence, _)| *sequence);
        let gaps = (first..=last).filter(|sequence| !drain.taken.contains(sequence));
        let before = known.iter().filter(|(sequence, message)| {
            *sequence < first && message.held.is_empty() && !self.can_have_been_taken(queue, message, drain)
        });
        let mut skipped: Vec<_> = gaps.chain(before.map(|(sequence, _)| *sequence)).collect();
        if skipped.is_empty() && u64::try_from(drain.taken.len()) != Ok(drain.depth) {
            skipped.push(last);
        }
        skipped.into_iter()
    }

    fn can_have_been_taken(&self, queue: Queue, message: &Message, drain: &Drain) -> bool {
        let sent = message.id.and_then(|id| self.sent.get(&(queue, id)));
        sent.is_some_and(|sent| self.calls.between(queue, sent.at, drain.begun) > 0)
    }

    /// Whether something else than an ack can have ended a message, but for a full queue.
    fn may_be_gone(&self, queue: Queue, sequence: u64, message: &Message) -> bool {
        let Some(id) = message.id else { return false };
        let given_up = self.given_up.contains_key(&(queue, id));
        let sent = self.sent.get(&(queue, id));
        let purged = sent.is_some_and(|sent| self.can_be_purged(queue, sequence, sent.at, usize::MAX));
        // Where there is a dead-letter queue, what is over is there.
        let expires = sent.and_then(|sent| sent.limits.expires).filter(|_| !self.gives_up(queue));
        given_up || purged || expires.is_some_and(|at| at <= self.ends.last_look(queue) + CLOCK_SLACK)
    }

    fn both_or_neither(&mut self, end: usize, publishes: &[Publish], acks: &[Lease]) {
        let done = |check: &Self, one: &Publish| check.sequences.contains_key(&(one.queue, one.id));
        let happened = publishes.iter().any(|publish| done(self, publish));
        let absent = publishes.iter().filter(|publish| happened && !done(self, publish));
        let mut broken: Vec<_> = absent.map(|publish| (publish.queue, 0)).collect();
        for ack in acks {
            let message = self.message(*ack);
            let came_back = message.held.iter().any(|held| held.attempt > ack.attempt);
            if happened && came_back || !happened && message.acked.contains(&ack.attempt) {
                broken.push((ack.queue, ack.sequence));
            }
            if !happened {
                message.acks.insert(ack.attempt, true);
            }
        }
        for (queue, sequence) in broken {
            self.broken(Rule::BothOrNeither, queue, sequence, end);
        }
    }
}
