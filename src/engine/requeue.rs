//! What becomes of a message whose lease ends without an ack: ready, delayed, dead, or dropped.
//!
//! Always true: where there is an order, when a message goes back, so do all that were leased after it; what their consumer says of
//! them from then on counts for nothing, because the one before comes again.

use std::sync::Arc;

use super::Engine;
use super::outcome::Effects;
use crate::types::{
    ATTEMPTS_USED_UP, Attempt, NACKED, QueueId, QueueSettings, Retry, RetryBackoff, Sequence, Timestamp,
    Touch, TouchState,
};

/// How a lease ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ending<'a> {
    /// Its consumer gave the message back, and may have said why.
    Nack(Retry, &'a Arc<str>),
    /// Its deadline came.
    Deadline,
    /// Its consumer's stream ended.
    Release,
    /// The server ended it; the attempt does not count.
    Server,
}

impl Ending<'_> {
    fn counts(self) -> bool {
        match self {
            Self::Nack(..) | Self::Deadline | Self::Release => true,
            Self::Server => false,
        }
    }
}

impl Engine {
    /// Ends the lease of a message, if there is one; says how many leases ended.
    pub(super) fn give_back(
        &mut self,
        id: QueueId,
        sequence: Sequence,
        ending: Ending<'_>,
        effects: &mut Effects,
    ) -> u64 {
        let Some(queue) = self.queues.get(&id) else { return 0 };
        let Some(old) = queue.touch(sequence).filter(|touch| touch.lease().is_some()).cloned() else {
            return 0;
        };
        let uncounted = old.uncounted + u32::from(!ending.counts());
        let attempts = old.attempt.0.saturating_sub(uncounted);
        let state = next(queue.settings(), attempts, ending, self.record.now);
        let dead = matches!(state, TouchState::Dead { .. });
        if dead && queue.settings().dead_letter_queue.is_none() {
            self.settle(id, sequence, effects);
            effects.dropped += 1;
            return 1;
        }
        self.unindex(id, sequence, &old);
        self.free(id, &old, effects);
        self.put(id, sequence, Touch { uncounted, state, ..old }, effects);
        if dead { 1 } else { 1 + self.give_back_after(id, sequence, effects) }
    }

    /// Where there is an order, ends all leases after `sequence` in it. The attempts don't count, and one more that nobody had makes their
    /// receipts stale.
    fn give_back_after(&mut self, id: QueueId, sequence: Sequence, effects: &mut Effects) -> u64 {
        let Some(queue) = self.queues.get(&id) else { return 0 };
        let later: Vec<_> = queue
            .leased_after(sequence)
            .into_iter()
            .filter_map(|later| Some((later, queue.touch(later)?.clone())))
            .collect();
        let count = later.len() as u64;
        for (later, old) in later {
            self.unindex(id, later, &old);
            self.free(id, &old, effects);
            let attempt = Attempt(old.attempt.0.saturating_add(1));
            let uncounted = old.uncounted.saturating_add(2);
            self.put(id, later, Touch { attempt, uncounted, state: TouchState::Ready, ..old }, effects);
        }
        count
    }

    /// A message's time has come: its lease ends, or its delay; says how many ended.
    pub(super) fn time_out(&mut self, id: QueueId, sequence: Sequence, effects: &mut Effects) -> u64 {
        let touch = self.queues.get(&id).and_then(|queue| queue.touch(sequence)).cloned();
        match touch {
            Some(touch) if touch.lease().is_some() => self.give_back(id, sequence, Ending::Deadline, effects),
            Some(touch) => {
                self.unindex(id, sequence, &touch);
                self.put(id, sequence, Touch { state: TouchState::Ready, ..touch }, effects);
                1
            }
            None => 0,
        }
    }
}

/// Where a message stands after so many attempts that count, the last of which ended now.
fn next(settings: &QueueSettings, attempts: u32, ending: Ending<'_>, now: Timestamp) -> TouchState {
    let used_up = settings.max_attempts > 0 && attempts >= settings.max_attempts;
    let dead = |said: &str, standard: &str| TouchState::Dead {
        reason: if said.is_empty() { standard.into() } else { said.into() },
    };
    let after = |delay| {
        let until = now.after(delay);
        if until > now { TouchState::Delayed { until } } else { TouchState::Ready }
    };
    let backoff = |backoff: Option<RetryBackoff>| {
        backoff.map_or(TouchState::Ready, |backoff| after(backoff.delay(attempts)))
    };
    match ending {
        Ending::Nack(Retry::Never, said) => dead(said, NACKED),
        Ending::Nack(_, said) if used_up => dead(said, ATTEMPTS_USED_UP),
        Ending::Deadline | Ending::Release if used_up => dead("", ATTEMPTS_USED_UP),
        Ending::Nack(Retry::After(delay), _) => after(delay),
        Ending::Nack(Retry::Backoff, _) | Ending::Deadline => backoff(settings.retry_backoff),
        Ending::Release | Ending::Server => TouchState::Ready,
    }
}
