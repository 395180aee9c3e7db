//! Who holds a message: one at a time, each attempt the next.

use super::super::{Call, Delivered, Durability, Kind, Lease, Queue, Rule};
use super::calls::Open;
use super::{CLOCK_SLACK, Check};

/// An attempt that somebody saw.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) attempt: u32,
    epoch: u32,
    pub(super) call: Call,
    /// When the lease began, in milliseconds of the server's clock.
    pub(super) granted: u64,
    /// No later than this its deadline passed, unless it was extended since; of the server's clock as long as nobody extended it.
    pub(super) until: u64,
    pub(super) extended: bool,
    pub(super) at: usize,
    /// Since then it may have been given back.
    pub(super) nacked: Option<usize>,
    /// Since then it certainly was.
    pub(super) back: Option<usize>,
    /// When its end was known, in milliseconds of ours.
    pub(super) nacked_by: Option<u64>,
    pub(super) acked_by: Option<u64>,
}

impl Held {
    pub(super) fn new(at: usize, delivered: &Delivered, open: &Open) -> Self {
        let Delivered { lease, epoch, call, until, .. } = *delivered;
        Self {
            attempt: lease.attempt,
            epoch,
            call,
            granted: until.saturating_sub(open.lease),
            until,
            extended: false,
            at,
            nacked: None,
            back: None,
            nacked_by: None,
            acked_by: None,
        }
    }

    pub(super) fn extending(&mut self, until: u64) {
        self.until = self.until.min(until);
        self.extended = true;
    }

    /// Whether its deadline can have come by then, by the server's clock.
    pub(super) fn can_have_run_out(&self, by: u64) -> bool {
        let slack = if self.extended { CLOCK_SLACK } else { 0 };
        by + slack >= self.until
    }

    fn was_settled_in_time(&self) -> bool {
        self.acked_by.is_some_and(|at| at + CLOCK_SLACK < self.until)
    }

    /// Whether it had ended before a time of the server's clock.
    pub(super) fn was_certainly_over(&self, by: u64) -> bool {
        let ran_out = !self.extended && self.until < by;
        ran_out || self.nacked_by.is_some_and(|at| at + CLOCK_SLACK < by)
    }
}

impl Check {
    /// A delivery may be recorded late, after higher attempts, but only if its call is older than these.
    pub(super) fn leased(&mut self, at: usize, lease: Lease, new: &Held, sent: usize) {
        let Lease { queue, sequence, attempt } = lease;
        let Some(message) = self.messages.get(&(queue, sequence)) else { return };
        let opened = self.calls.get(new.call).at;
        let mut rules = Vec::new();
        if message.gone.is_some_and(|last| attempt > last) {
            rules.push(Rule::AckedIsGone);
        }
        if message.held.iter().any(|held| held.attempt == attempt) {
            rules.push(Rule::AttemptsDiffer);
        }
        let earlier = message.held.iter().filter(|held| held.attempt < attempt);
        let earlier = earlier.max_by_key(|held| held.attempt).cloned();
        let later = message.held.iter().filter(|held| held.attempt > attempt);
        let later = later.min_by_key(|held| held.attempt).cloned();
        let overtaken = message.held.iter().any(|held| held.attempt > attempt && held.at < opened);
        // An attempt that nobody saw was made for a call that ended, or whose lease ran out on the way; and where there is an
        // order, one more is nobody's each time that one goes back with another.
        let unseen = attempt - 1 - earlier.as_ref().map_or(0, |earlier| earlier.attempt);
        let since = earlier.as_ref().map_or(sent, |earlier| sent.max(self.calls.get(earlier.call).at));
        let most = || 2 * self.calls.between(queue, since, at);
        if overtaken || unseen > 0 && usize::try_from(unseen).is_ok_and(|unseen| unseen > most()) {
            rules.push(Rule::AttemptsRise);
        }
        let gave_back = earlier.as_ref().filter(|earlier| unseen == 0 && earlier.nacked_by.is_some());
        let backoff = self.promises[queue].backoff;
        if gave_back.zip(backoff).is_some_and(|(earlier, backoff)| new.granted < earlier.granted + backoff) {
            rules.push(Rule::NotTooSoon);
        }
        let free = earlier.is_none_or(|earlier| self.is_over(lease, &earlier, new));
        if !free || later.is_some_and(|later| !self.is_over(lease, new, &later)) {
            rules.push(Rule::OneHolder);
        }
        for rule in rules {
            self.broken(rule, queue, sequence, at);
        }
    }

    /// Whether something can have ended a lease before a later attempt was made.
    fn is_over(&mut self, lease: Lease, held: &Held, later: &Held) -> bool {
        let call = self.calls.get(held.call);
        let with_call = call.kind == Kind::Stream && (call.ended.is_some() || later.epoch > held.epoch);
        held.nacked.is_some()
            || with_call
            || held.can_have_run_out(later.granted)
            || self.goes_along(lease, held, later)
    }

    /// Whether something can have ended the lease of a message before an event, and before a time of the server's clock. All leases
    /// are known by now.
    pub(super) fn can_have_ended(
        &self,
        (queue, sequence): (Queue, u64),
        held: &Held,
        before: usize,
        by: u64,
    ) -> bool {
        let nacked = |held: &Held| held.nacked.is_some_and(|nacked| nacked < before);
        let took_along = |first: &Held| {
            let ran_out = first.can_have_run_out(by) && !first.was_settled_in_time();
            !first.was_certainly_over(held.granted) && (nacked(first) || ran_out)
        };
        let id = self.messages.get(&(queue, sequence)).and_then(|message| message.id);
        let line = id.and_then(|id| self.line(queue, id));
        let in_front = line.map_or(&[][..], |line| self.lines.in_hands(line, held.call));
        let mut in_front = in_front.iter().filter(|(first, _)| *first < sequence);
        nacked(held)
            || held.can_have_run_out(by)
            || self.calls.get(held.call).let_go_before(before)
            || in_front.any(|(first, attempt)| {
                let all = &self.messages[&(queue, *first)].held;
                all.iter().any(|held| held.attempt == *attempt && took_along(held))
            })
    }

    /// Whether whoever holds a message was told that it doesn't. An ack begun by anybody may have settled it before.
    pub(super) fn is_wronged(&self, at: usize, lease: Lease, when: u64) -> bool {
        let Lease { queue, sequence, attempt } = lease;
        let Some(message) = self.messages.get(&(queue, sequence)) else { return false };
        let Some(held) = message.held.iter().find(|held| held.attempt == attempt) else { return false };
        let others = message.acks.keys().any(|other| *other != attempt)
            || message.held.iter().any(|other| other.attempt > attempt);
        // All of a transaction is refused for one receipt.
        let together = || self.together.iter().any(|(_, acks)| acks.contains(&lease));
        self.promises[queue].durability == Durability::Synced
            && !others
            && !self.can_have_ended((queue, sequence), held, at, when + CLOCK_SLACK)
            && !together()
    }

    /// Whether one of those before it in the same hands can have gone back, and taken it along. Each of these takes along one lease of
    /// each message behind it, whichever stood then.
    fn goes_along(&mut self, lease: Lease, held: &Held, later: &Held) -> bool {
        let Lease { queue, sequence, .. } = lease;
        let id = self.messages.get(&(queue, sequence)).and_then(|message| message.id);
        let Some(line) = id.and_then(|id| self.line(queue, id)) else { return false };
        let before = self.lines.in_hands(line, held.call).to_vec();
        before.into_iter().filter(|(before, _)| *before < sequence).any(|(before, attempt)| {
            let message = &self.messages[&(queue, before)];
            let Some(first) = message.held.iter().find(|held| held.attempt == attempt) else { return false };
            let ran_out = first.can_have_run_out(later.granted) && !first.was_settled_in_time();
            first.at < held.at
                && (first.nacked.is_some() || ran_out)
                && self.lines.takes_along(queue, (before, attempt), (sequence, held.attempt))
        })
    }
}
