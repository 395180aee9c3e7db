//! The reference model, continued: one order for each ordering key.

use super::model::{Message, Model, Queue, State, list};

impl Queue {
    /// Whether there is any order.
    pub fn is_ordered(&self) -> bool {
        self.settings.fifo || self.settings.by_key
    }

    /// What is there of a message's key before it.
    fn before(&self, at: usize) -> impl Iterator<Item = &Message> {
        let key = self.messages[at].key.clone();
        let alive = |message: &&Message| !matches!(message.state, State::Gone | State::Dead(_));
        let of_key = move |message: &&Message| key.is_some() && message.key == key;
        self.messages[..at].iter().filter(alive).filter(of_key)
    }

    /// Whether it is the first of its key and waits, but not in the lane.
    pub(super) fn is_head(&self, at: usize) -> bool {
        let waits = matches!(self.messages[at].state, State::Returned | State::Parked);
        waits && self.before(at).next().is_none()
    }

    /// The heads, and then what was never leased or stepped over.
    pub(super) fn ready_by_key(&self) -> Vec<usize> {
        let untouched = |&at: &usize| self.messages[at].state == State::Untouched;
        let all = 0..self.messages.len();
        all.clone().filter(|&at| self.is_head(at)).chain(all.filter(untouched)).collect()
    }

    /// Whether `by` holds all that comes before a message of its key.
    pub(super) fn holds_key(&self, at: usize, by: &str, epoch: u32) -> bool {
        let holds = |message: &Message| {
            message.attempts.last() == Some(&epoch) && message.lease().is_some_and(|lease| lease.by == by)
        };
        at >= self.messages.len() || self.before(at).all(holds)
    }

    /// What is parked behind a head of its key, if that is all there is of it.
    fn behind(&self, head: usize) -> Vec<usize> {
        let key = &self.messages[head].key;
        let others = (0..self.messages.len()).filter(|&at| {
            let message = &self.messages[at];
            let alive = !matches!(message.state, State::Gone | State::Dead(_) | State::Untouched);
            at != head && key.is_some() && message.key == *key && alive
        });
        let others: Vec<_> = others.collect();
        let parked = |&at: &usize| self.messages[at].state == State::Parked;
        if others.iter().all(parked) { others } else { Vec::new() }
    }
}

impl Model {
    /// Leases up to `count` messages; those in the lane whose turn has not come are parked.
    pub(super) fn lease_by_key(
        &mut self,
        (queue, at): (&str, usize),
        count: usize,
        mut grant: impl FnMut(&mut Self, usize) -> String,
    ) -> String {
        let mut granted = Vec::new();
        if self.queues[at].settings.paused {
            self.freed.clear();
            return list(&granted);
        }
        for head in self.queues[at].ready_by_key() {
            if self.queues[at].messages[head].state == State::Untouched || granted.len() == count {
                break;
            }
            let behind = self.queues[at].behind(head);
            let run = std::iter::once(head).chain(behind).take(count - granted.len());
            granted.extend(run.map(|pick| grant(self, pick)).collect::<Vec<_>>());
        }
        while granted.len() < count
            && let Some(next) = self.queues[at].first_untouched(0)
        {
            let reply = grant(self, next);
            if reply == "none" && self.queues[at].settings.at_most_once {
                break;
            }
            if reply == "none" {
                self.queues[at].messages[next].state = State::Parked;
            } else {
                granted.push(reply);
            }
        }
        assert!(!granted.iter().any(|reply| reply == "none"), "what goes from {queue} can be had");
        self.freed.clear();
        list(&granted)
    }
}
