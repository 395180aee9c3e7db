//! Publishing: what comes in, what is in already, and what must go to make room.

use super::duplicate::Sifted;
use super::{Effects, Engine, Outcome, Queue};
use crate::types::{
    Attempt, Change, Content, Dropped, Duration, Epoch, Excess, Facts, Full, Lane, Published, QueueId,
    Timestamp, Touch, TouchState,
};

/// Ids that a publish forgets besides as many as it may bring: memory goes down even where nothing else asks for it.
const FORGET: usize = 16;

impl Queue {
    /// By how much so many messages and bytes more would be over the queue's limits.
    #[must_use]
    pub fn excess(&self, messages: u64, bytes: u64) -> Excess {
        let limits = self.record().settings.limits;
        if limits.messages == 0 && limits.bytes == 0 {
            return Excess::default();
        }
        let depth = self.depth();
        limits.excess(depth.messages() + messages, depth.bytes + bytes)
    }

    /// Why so many messages and bytes more don't fit, if they don't.
    #[must_use]
    pub fn full(&self, messages: u64, bytes: u64) -> Option<Full> {
        self.full_after((0, 0), messages, bytes)
    }

    /// The same, once so many messages and bytes have gone.
    #[must_use]
    pub fn full_after(&self, gone: (u64, u64), messages: u64, bytes: u64) -> Option<Full> {
        let limits = self.record().settings.limits;
        let depth = self.depth();
        let (held, held_bytes) =
            (depth.messages().saturating_sub(gone.0), depth.bytes.saturating_sub(gone.1));
        let Excess { messages: many, bytes: much } = limits.excess(held + messages, held_bytes + bytes);
        if many > 0 {
            Some(Full::Messages { held, limit: limits.messages })
        } else if much > 0 {
            Some(Full::Bytes { held: held_bytes, limit: limits.bytes })
        } else {
            None
        }
    }
}

impl Engine {
    pub(super) fn publish(
        &mut self,
        id: QueueId,
        mut messages: Vec<Content>,
        facts: &[(u32, Facts)],
        effects: &mut Effects,
    ) -> Outcome {
        let now = self.record.now;
        let Some(queue) = self.queues.get_mut(&id) else { return Outcome::NoQueue };
        let Sifted { messages: count, bytes, duplicates, new, lanes, delays } =
            queue.sift(&messages, facts, now);
        if count > 0
            && let Some(full) = queue.full(count, bytes)
        {
            return Outcome::Full(full);
        }
        if !duplicates.is_empty() {
            let mut place = 0;
            messages.retain(|_| {
                place += 1;
                duplicates.binary_search_by_key(&(place - 1), |&(place, _)| place).is_err()
            });
        }
        if !facts.is_empty() {
            self.remembered -= queue.forget(now, new.len() + FORGET);
            self.remembered += new.len();
        }
        let first = queue.publish(&messages, &lanes);
        for (sequence, deduplication) in new {
            queue.remembered.insert(sequence, now, deduplication);
            effects.changes.push(Change::Remembered { queue: id, sequence, id: deduplication, at: now });
        }
        self.dirty.insert(id);
        let waiting = waiting(&messages, &lanes, &delays, now);
        if !messages.is_empty() {
            effects.changes.push(Change::Stored { queue: id, first, published_at: now, messages, lanes });
        }
        self.postponed += waiting.len();
        for (place, touch) in waiting {
            self.put(id, first.plus(u64::from(place)), touch, effects);
        }
        Outcome::Published(Published { first, duplicates })
    }

    /// Takes messages that are ready. Those that are not are left alone.
    pub(super) fn drop_messages(&mut self, id: QueueId, picks: &[Dropped], effects: &mut Effects) -> Outcome {
        let Some(queue) = self.queues.get_mut(&id) else { return Outcome::NoQueue };
        let mut messages = 0;
        for &Dropped { sequence, size, priority } in picks {
            let lane = if queue.is_next(priority, sequence) {
                queue.advance(priority, sequence, size);
                Lane::of(priority)
            } else if queue.unpark(sequence).is_some() {
                self.parked -= 1;
                Lane::default()
            } else if let Some(lane) = queue.touch(sequence).filter(|it| it.is_ready()).map(|it| it.lane) {
                queue.remove(sequence);
                self.postponed -= usize::from(lane.is_delayed());
                lane
            } else {
                continue;
            };
            effects.changes.push(Change::Settled { queue: id, lane, sequence });
            messages += 1;
        }
        self.dirty.insert(id);
        Outcome::Dropped { messages }
    }
}

/// The delivery state of those that wait, by their places.
fn waiting(
    messages: &[Content],
    lanes: &[(u32, Lane)],
    delays: &[(u32, Duration)],
    now: Timestamp,
) -> Vec<(u32, Touch)> {
    let mut lanes = lanes.iter().filter(|(_, lane)| lane.is_delayed());
    let touch = |&(place, delay): &(u32, Duration)| {
        let size = usize::try_from(place).ok().and_then(|place| messages.get(place))?.size();
        let (_, lane) = *lanes.next().filter(|&&(at, _)| at == place)?;
        let (attempt, epoch, state) = (Attempt(0), Epoch(0), TouchState::Delayed { until: now.after(delay) });
        Some((place, Touch { attempt, uncounted: 0, epoch, size, lane, key: None, state }))
    };
    delays.iter().filter_map(touch).collect()
}
