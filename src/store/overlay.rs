//! The overlay: what happened to messages since a checkpoint froze the state.
//!
//! Always true:
//! - a message that was stored and settled within one overlay has left no trace in it;
//! - what an overlay says about a message hides what older layers say.

use std::collections::BTreeMap;

use crate::types::{Change, Content, DeduplicationId, QueueId, Sequence, StoredMessage, Timestamp, Touch};

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

/// Consecutive messages that were stored in this overlay; `None` where one is gone.
#[derive(Debug, Default)]
struct Run {
    messages: Vec<Option<(Timestamp, Content)>>,
    live: usize,
}

/// The messages from `from` up to, but not including, `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: Sequence,
    pub(super) until: Sequence,
}

/// What happened in one queue.
#[derive(Debug, Default)]
pub(super) struct QueueOverlay {
    runs: BTreeMap<Sequence, Run>,
    pub(super) deltas: BTreeMap<Sequence, Delta>,
    pub(super) purged: Vec<Span>,
    pub(super) deleted: bool,
    /// The first message stored since the overlay began: older layers know none from here on.
    pub(super) stored_first: Option<Sequence>,
    /// The last message stored since the overlay began, gone or not.
    pub(super) stored_last: Option<Sequence>,
}

/// All that happened.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    pub(super) queues: BTreeMap<QueueId, QueueOverlay>,
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
        self.queues.is_empty()
    }

    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::Stored { queue, first, published_at, messages } => {
                let overlay = self.queues.entry(queue).or_default();
                self.bytes += overlay.store(first, published_at, messages);
            }
            Change::Touched { queue, sequence, touch } => {
                let overlay = self.queues.entry(queue).or_default();
                if overlay.deltas.insert(sequence, Delta::Touched(touch)).is_none() {
                    self.touched += 1;
                }
            }
            Change::Settled { queue, sequence } => {
                let overlay = self.queues.entry(queue).or_default();
                if let Some(freed) = overlay.remove(sequence) {
                    self.bytes -= freed;
                    self.touched -= u64::from(overlay.deltas.remove(&sequence).is_some());
                } else if overlay.deltas.insert(sequence, Delta::Settled).is_none() {
                    self.touched += 1;
                }
            }
            Change::Purged { queue, from, until } => {
                let overlay = self.queues.entry(queue).or_default();
                self.bytes -= overlay.purge(Span { from, until });
            }
            Change::Remembered { queue, sequence, id, at } => {
                self.ids.insert((queue, sequence), (id, at));
            }
            Change::Deleted { queue } => {
                let ids = (queue, Sequence(0))..=(queue, Sequence(u64::MAX));
                let ids: Vec<_> = self.ids.range(ids).map(|(&key, _)| key).collect();
                ids.iter().for_each(|key| _ = self.ids.remove(key));
                let before =
                    self.queues.insert(queue, QueueOverlay { deleted: true, ..QueueOverlay::default() });
                if let Some(before) = before {
                    self.bytes -= before.messages().map(|message| cost(&message.content)).sum::<u64>();
                    self.touched -= length(before.deltas.len());
                }
            }
        }
    }

    pub(super) fn find(&self, queue: QueueId, sequence: Sequence) -> Found {
        self.queues.get(&queue).map_or(Found::Unknown, |overlay| overlay.find(sequence))
    }
}

impl QueueOverlay {
    fn store(&mut self, first: Sequence, published_at: Timestamp, messages: Vec<Content>) -> u64 {
        let mut bytes = 0;
        let mut sequence = first;
        for content in messages {
            bytes += cost(&content);
            let run = self.run_at(sequence);
            run.messages.push(Some((published_at, content)));
            run.live += 1;
            self.stored_first.get_or_insert(sequence);
            self.stored_last = Some(sequence);
            sequence = sequence.next();
        }
        bytes
    }

    /// The run whose next message is `sequence`.
    fn run_at(&mut self, sequence: Sequence) -> &mut Run {
        let first = match self.runs.last_key_value() {
            Some((first, run))
                if run.messages.len() < RUN_MAX && first.plus(length(run.messages.len())) == sequence =>
            {
                *first
            }
            _ => sequence,
        };
        self.runs.entry(first).or_default()
    }

    /// Takes a message out; the memory that it took, if it was there.
    fn remove(&mut self, sequence: Sequence) -> Option<u64> {
        let (&first, run) = self.runs.range_mut(..=sequence).next_back()?;
        let at = usize::try_from(sequence.0 - first.0).ok()?;
        let (_, content) = run.messages.get_mut(at)?.take()?;
        run.live -= 1;
        if run.live == 0 {
            self.runs.remove(&first);
        }
        Some(cost(&content))
    }

    fn purge(&mut self, span: Span) -> u64 {
        let mut gone = Vec::new();
        let start = self.runs.range(..=span.from).next_back().map_or(span.from, |(&first, _)| first);
        for (&first, run) in self.runs.range(start..span.until.max(start)) {
            let in_span = |sequence: &Sequence| (span.from..span.until).contains(sequence);
            gone.extend(run.sequences(first).filter(in_span));
        }
        let freed = gone.into_iter().filter_map(|sequence| self.remove(sequence)).sum();
        match self.purged.last_mut() {
            Some(last) if last.until == span.from => last.until = span.until,
            _ => self.purged.push(span),
        }
        freed
    }

    fn find(&self, sequence: Sequence) -> Found {
        if self.deleted || self.deltas.get(&sequence) == Some(&Delta::Settled) {
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
        let (first, run) = self.runs.range(..=sequence).next_back()?;
        let at = usize::try_from(sequence.0 - first.0).ok()?;
        let (published_at, content) = run.messages.get(at)?.clone()?;
        Some(StoredMessage { sequence, published_at, content })
    }

    /// The messages that were stored here and are still here, in order.
    pub(super) fn messages(&self) -> impl Iterator<Item = StoredMessage> {
        self.runs.iter().flat_map(|(&first, run)| {
            run.sequences(first).zip(run.messages.iter().flatten()).map(
                |(sequence, (published_at, content))| StoredMessage {
                    sequence,
                    published_at: *published_at,
                    content: content.clone(),
                },
            )
        })
    }
}

impl Run {
    /// The messages that are there.
    fn sequences(&self, first: Sequence) -> impl Iterator<Item = Sequence> {
        let there = self.messages.iter().enumerate().filter(|(_, message)| message.is_some());
        there.map(move |(at, _)| first.plus(length(at)))
    }
}

fn cost(content: &Content) -> u64 {
    u64::from(content.size()) + MESSAGE_COST
}

#[cfg(test)]
mod tests;
