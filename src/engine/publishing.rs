//! Publishing: what comes in, what is in already, and what must go to make room.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::duplicate::Sifted;
use super::{Effects, Engine, Outcome, Queue};
use crate::types::{
    Change, Content, Dropped, Duration, Excess, Facts, Full, LAPSED, Lane, Limits, Measure, Published,
    QueueId, QueueRecord, Sequence, Timestamp, Touch, TouchState,
};

/// What leaves a queue before something else comes in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leaving {
    /// How many.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Which they are.
    pub sequences: BTreeSet<Sequence>,
}

/// Ids that a publish forgets besides as many as it may bring: memory goes down even where nothing else asks for it.
const FORGET: usize = 16;

impl Queue {
    /// Whether the time of any message may come to an end. False costs nothing; true may be wrong of what is leased.
    #[must_use]
    pub fn may_expire(&self) -> bool {
        let QueueRecord { settings, lanes, expiring_before, .. } = self.record();
        let before = |sequence: Sequence| sequence < *expiring_before;
        settings.time_to_live > Duration::default()
            || (*expiring_before > Sequence(0)
                && (lanes.first().is_some_and(before)
                    || self.touched().next().is_some_and(|(&first, _)| before(first))))
    }

    /// By how much so many messages and bytes more would be over the queue's limits, once others have gone.
    #[must_use]
    pub fn excess(&self, gone: &Leaving, messages: u64, bytes: u64) -> Excess {
        let limits = self.record().settings.limits;
        if limits.messages == 0 && limits.bytes == 0 {
            return Excess::default();
        }
        let (held, held_bytes) = self.held_after(gone);
        limits.excess(held + messages, held_bytes + bytes)
    }

    /// Messages and bytes that are there once others have gone.
    fn held_after(&self, gone: &Leaving) -> (u64, u64) {
        let depth = self.depth();
        (depth.messages().saturating_sub(gone.messages), depth.bytes.saturating_sub(gone.bytes))
    }

    /// Why so many messages and bytes more don't fit once others have gone, if they don't.
    #[must_use]
    pub fn full(&self, gone: &Leaving, messages: u64, bytes: u64) -> Option<Full> {
        let limits = self.record().settings.limits;
        let (held, held_bytes) = self.held_after(gone);
        let Excess { messages: many, bytes: much } = self.excess(gone, messages, bytes);
        let Limits { overflow, .. } = limits;
        if many > 0 {
            let (measure, limit) = (Measure::Messages, limits.messages);
            Some(Full { measure, held, more: messages, limit, overflow })
        } else if much > 0 {
            let (measure, limit) = (Measure::Bytes, limits.bytes);
            Some(Full { measure, held: held_bytes, more: bytes, limit, overflow })
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
        let Sifted { messages: count, bytes, duplicates, new, lanes, delays, expiring } =
            queue.sift(&messages, facts, now);
        if count > 0
            && let Some(full) = queue.full(&Leaving::default(), count, bytes)
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
        if let Some(place) = expiring {
            queue.expiring(first.plus(u64::from(place)));
        }
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
        if !self.queues.contains_key(&id) {
            return Outcome::NoQueue;
        }
        let mut messages = 0;
        for &pick in picks {
            if let Some(Touch { lane, .. }) = self.take_ready(id, pick) {
                effects.changes.push(Change::Settled { queue: id, lane, sequence: pick.sequence });
                messages += 1;
            }
        }
        self.dirty.insert(id);
        Outcome::Dropped { messages }
    }

    /// Takes messages that are ready and whose time is over, to be moved if there is a place for the dead. Those that are not
    /// ready are left alone; the time is the broker's to know.
    pub(super) fn lapse(&mut self, id: QueueId, picks: &[Dropped], effects: &mut Effects) -> Outcome {
        let Some(queue) = self.queues.get(&id) else { return Outcome::NoQueue };
        let reason = queue.settings().dead_letter_queue.is_some().then(|| Arc::from(LAPSED));
        let mut messages = 0;
        for &pick in picks {
            let sequence = pick.sequence;
            let Some(touch) = self.take_ready(id, pick) else { continue };
            messages += 1;
            match &reason {
                Some(reason) => {
                    self.postponed += usize::from(touch.lane.is_delayed());
                    let state = TouchState::Dead { reason: Arc::clone(reason) };
                    self.put(id, sequence, Touch { state, ..touch }, effects);
                }
                None => effects.changes.push(Change::Settled { queue: id, lane: touch.lane, sequence }),
            }
        }
        self.dirty.insert(id);
        Outcome::Lapsed { messages }
    }

    /// Takes a message out of its queue if it is ready.
    fn take_ready(&mut self, id: QueueId, pick: Dropped) -> Option<Touch> {
        let Dropped { sequence, size, priority } = pick;
        let queue = self.queues.get_mut(&id)?;
        if queue.is_next(priority, sequence) {
            queue.advance(priority, sequence, size);
            return Some(Touch::unleased(size, Lane::of(priority), TouchState::Ready));
        }
        if let Some((_, size)) = queue.unpark(sequence) {
            self.parked -= 1;
            return Some(Touch::unleased(size, Lane::default(), TouchState::Ready));
        }
        queue.touch(sequence).filter(|touch| touch.is_ready())?;
        let touch = queue.remove(sequence)?;
        self.touched -= 1;
        self.postponed -= usize::from(touch.lane.is_delayed());
        Some(touch)
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
        Some((place, Touch::unleased(size, lane, TouchState::Delayed { until: now.after(delay) })))
    };
    delays.iter().filter_map(touch).collect()
}
