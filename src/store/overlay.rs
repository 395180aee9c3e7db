//! The overlay: what happened to messages since a checkpoint froze the state.
//!
//! Always true:
//! - a message that was stored and settled within one overlay has left no trace in it;
//! - what an overlay says about a message hides what older layers say.

use std::collections::{BTreeMap, BTreeSet};

use crate::types::{
    Change, Content, DeduplicationId, Lane, LaneId, QueueId, Sequence, StoredMessage, Timestamp, Touch,
};

use super::codec::length;

/// What a message costs besides its bytes, and a touch altogether: measured roughly, on the safe side.
const MESSAGE_COST: u64 = 64;
const TOUCH_COST: u64 = 200;
/// What a remembered id costs.
const ID_COST: u64 = 100;
const RUN_MAX: usize = 512;

/// What happened to a message that is in this overlay or in an older layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Delta {
    Touched(Touch),
    Settled,
}

/// What an overlay says about a message.
pub(super) enum Found {
    Here(StoredMessage),
    Gone,
    /// Nothing: an older layer may know.
    Unknown,
}

/// Neighbours in their lane that were stored in this overlay. Mostly there is no gap between their numbers.
#[derive(Debug, Default)]
struct Run {
    messages: Vec<Slot>,
    live: usize,
}

/// A place in a run.
#[derive(Debug)]
struct Slot {
    /// How much its number is more than the run's first.
    offset: u32,
    published_at: Timestamp,
    /// `None` once it is gone.
    content: Option<Content>,
}

/// The messages from `from` up to, but not including, `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: Sequence,
    pub(super) until: Sequence,
}

/// What happened in one lane.
#[derive(Debug, Default)]
pub(super) struct LaneOverlay {
    runs: BTreeMap<Sequence, Run>,
    pub(super) deltas: BTreeMap<Sequence, Delta>,
    pub(super) purged: Vec<Span>,
    /// The first message stored since the overlay began: older layers know none from here on.
    pub(super) stored_first: Option<Sequence>,
    /// The last message stored since the overlay began, gone or not.
    pub(super) stored_last: Option<Sequence>,
}

/// All that happened.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    pub(super) lanes: BTreeMap<LaneId, LaneOverlay>,
    /// Queues that are gone. Nothing else is known of them.
    pub(super) deleted: BTreeSet<QueueId>,
    /// Deduplication ids that queues began to remember.
    pub(super) ids: BTreeMap<(QueueId, Sequence), (DeduplicationId, Timestamp)>,
    bytes: u64,
    touched: u64,
}

impl Overlay {
    /// Memory that it takes, roughly.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.saturating_add(self.touched * TOUCH_COST).saturating_add(length(self.ids.len()) * ID_COST)
    }

    /// Messages of which it knows more than that they were stored.
    pub(super) fn touched(&self) -> u64 {
        self.touched
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lanes.is_empty() && self.deleted.is_empty()
    }

    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::Stored { queue, first, published_at, messages, lanes } => {
                self.store(queue, first, published_at, messages, &lanes);
            }
            Change::Touched { queue, sequence, touch } => {
                let overlay = self.lanes.entry(LaneId::new(queue, touch.lane)).or_default();
                if overlay.deltas.insert(sequence, Delta::Touched(touch)).is_none() {
                    self.touched += 1;
                }
            }
            Change::Settled { queue, lane, sequence } => {
                let overlay = self.lanes.entry(LaneId::new(queue, lane)).or_default();
                if let Some(freed) = overlay.remove(sequence) {
                    self.bytes -= freed;
                    self.touched -= u64::from(overlay.deltas.remove(&sequence).is_some());
                } else if overlay.deltas.insert(sequence, Delta::Settled).is_none() {
                    self.touched += 1;
                }
            }
            Change::Purged { queue, lane, from, until } => {
                let overlay = self.lanes.entry(LaneId::new(queue, lane)).or_default();
                self.bytes -= overlay.purge(Span { from, until });
            }
            Change::Remembered { queue, sequence, id, at } => {
                self.ids.insert((queue, sequence), (id, at));
            }
            Change::Deleted { queue } => self.delete(queue),
        }
    }

    /// Messages go to their lanes, neighbours in one lane together.
    fn store(
        &mut self,
        queue: QueueId,
        first: Sequence,
        published_at: Timestamp,
        messages: Vec<Content>,
        lanes: &[(u32, Lane)],
    ) {
        if lanes.is_empty() {
            let overlay = self.lanes.entry(queue.into()).or_default();
            for (place, content) in (0..).zip(messages) {
                self.bytes += overlay.store(first.plus(place), published_at, content);
            }
            return;
        }
        let mut others = lanes.iter().copied().peekable();
        for (place, content) in (0..).zip(messages) {
            let other = others.next_if(|&(at, _)| u64::from(at) == place);
            let lane = other.map_or(Lane::default(), |(_, lane)| lane);
            let overlay = self.lanes.entry(LaneId::new(queue, lane)).or_default();
            self.bytes += overlay.store(first.plus(place), published_at, content);
        }
    }

    fn delete(&mut self, queue: QueueId) {
        for lane in Lane::all() {
            let Some(before) = self.lanes.remove(&LaneId::new(queue, lane)) else { continue };
            self.bytes -= before.messages().map(|message| cost(&message.content)).sum::<u64>();
            self.touched -= length(before.deltas.len());
        }
        let ids = (queue, Sequence(0))..=(queue, Sequence(u64::MAX));
        let ids: Vec<_> = self.ids.range(ids).map(|(&key, _)| key).collect();
        ids.iter().for_each(|key| _ = self.ids.remove(key));
        self.deleted.insert(queue);
    }

    pub(super) fn find(&self, lane: LaneId, sequence: Sequence) -> Found {
        if self.deleted.contains(&lane.queue) {
            return Found::Gone;
        }
        self.lanes.get(&lane).map_or(Found::Unknown, |overlay| overlay.find(sequence))
    }

    /// The messages of a lane that were stored here and are still here, in order from `from` on.
    pub(super) fn messages_from(&self, lane: LaneId, from: Sequence) -> impl Iterator<Item = StoredMessage> {
        self.lanes.get(&lane).into_iter().flat_map(move |overlay| overlay.messages_from(from))
    }
}

impl LaneOverlay {
    /// Takes a message in; the memory that it takes.
    fn store(&mut self, sequence: Sequence, published_at: Timestamp, content: Content) -> u64 {
        let bytes = cost(&content);
        let (run, offset) = self.run_at(sequence);
        run.messages.push(Slot { offset, published_at, content: Some(content) });
        run.live += 1;
        self.stored_first.get_or_insert(sequence);
        self.stored_last = Some(sequence);
        bytes
    }

    /// The run whose next message is `sequence`, and its offset there.
    fn run_at(&mut self, sequence: Sequence) -> (&mut Run, u32) {
        let (first, offset) = match self.runs.last_key_value() {
            Some((&first, run)) if run.messages.len() < RUN_MAX => {
                match u32::try_from(sequence.0 - first.0) {
                    Ok(offset) => (first, offset),
                    Err(_) => (sequence, 0),
                }
            }
            _ => (sequence, 0),
        };
        (self.runs.entry(first).or_default(), offset)
    }

    /// Takes a message out; the memory that it took, if it was there.
    fn remove(&mut self, sequence: Sequence) -> Option<u64> {
        let (&first, run) = self.runs.range_mut(..=sequence).next_back()?;
        let at = run.find(first, sequence)?;
        let content = run.messages.get_mut(at)?.content.take()?;
        run.live -= 1;
        if run.live == 0 {
            self.runs.remove(&first);
        }
        Some(cost(&content))
    }

    fn purge(&mut self, span: Span) -> u64 {
        let gone: Vec<_> = self
            .messages_from(span.from)
            .map(|message| message.sequence)
            .take_while(|&sequence| sequence < span.until)
            .collect();
        let freed = gone.into_iter().filter_map(|sequence| self.remove(sequence)).sum();
        match self.purged.last_mut() {
            Some(last) if last.until == span.from => last.until = span.until,
            _ => self.purged.push(span),
        }
        freed
    }

    fn find(&self, sequence: Sequence) -> Found {
        if self.deltas.get(&sequence) == Some(&Delta::Settled) {
            return Found::Gone;
        }
        if let Some(message) = self.message(sequence) {
            return Found::Here(message);
        }
        // What was stored here and is not here any more is gone.
        let stored = self.stored_first.is_some_and(|first| sequence >= first);
        let purged = self.purged.iter().any(|span| (span.from..span.until).contains(&sequence));
        if stored || purged { Found::Gone } else { Found::Unknown }
    }

    fn message(&self, sequence: Sequence) -> Option<StoredMessage> {
        let (&first, run) = self.runs.range(..=sequence).next_back()?;
        run.messages.get(run.find(first, sequence)?)?.message(first)
    }

    /// The messages that were stored here and are still here, in order.
    pub(super) fn messages(&self) -> impl Iterator<Item = StoredMessage> {
        self.messages_from(Sequence(0))
    }

    /// The same, from `from` on.
    fn messages_from(&self, from: Sequence) -> impl Iterator<Item = StoredMessage> {
        let start = self.runs.range(..=from).next_back().map_or(from, |(&first, _)| first);
        self.runs.range(start..).flat_map(move |(&first, run)| {
            let begin = match from.0.checked_sub(first.0) {
                Some(offset) => run.messages.partition_point(|slot| u64::from(slot.offset) < offset),
                None => 0,
            };
            run.messages.iter().skip(begin).filter_map(move |slot| slot.message(first))
        })
    }
}

impl Run {
    /// Where a message is, or was.
    fn find(&self, first: Sequence, sequence: Sequence) -> Option<usize> {
        let offset = u32::try_from(sequence.0.checked_sub(first.0)?).ok()?;
        let guess = usize::try_from(offset).ok()?;
        if self.messages.get(guess).is_some_and(|slot| slot.offset == offset) {
            return Some(guess);
        }
        self.messages.binary_search_by_key(&offset, |slot| slot.offset).ok()
    }
}

impl Slot {
    fn message(&self, first: Sequence) -> Option<StoredMessage> {
        let content = self.content.clone()?;
        let sequence = first.plus(u64::from(self.offset));
        Some(StoredMessage { sequence, published_at: self.published_at, content })
    }
}

fn cost(content: &Content) -> u64 {
    u64::from(content.size()) + MESSAGE_COST
}

#[cfg(test)]
mod tests;
