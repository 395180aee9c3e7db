//! Looks inside: messages in every state, whose bodies a thread of its own reads within a bound, and leases.

use super::outbox::{Answer, Found, PeekJob};
use super::request::{BrokerError, LeaseView, MessageState, Page, Peeked, Reply, Window};
use super::task::Broker;
use crate::engine::Queue;
use crate::store::{Lookup, ReadError, Reader};
use crate::types::{QueueId, Sequence, StoredMessage, Touch, TouchState};

/// How many messages one step reads: no more than these are in memory beyond the bound.
const STEP: usize = 8;

/// The most touched messages that one look passes over, so that a search for rare ones does not hold up the broker.
const LOOK_MAX: usize = 16_384;

impl MessageState {
    /// Where a touched message stands. Untouched ones are ready.
    fn of(touch: &Touch) -> Self {
        match &touch.state {
            TouchState::Ready => Self::Ready,
            TouchState::Delayed { .. } => Self::Delayed,
            TouchState::Leased(_) => Self::Leased,
            TouchState::Dead { .. } => Self::Dead,
        }
    }
}

impl Broker {
    pub(super) fn peek(
        &self,
        queue: &Queue,
        window: &Window<Sequence>,
        state: Option<MessageState>,
        bytes: usize,
        reply: Reply<Page<Peeked, Sequence>>,
    ) -> PeekJob {
        let id = queue.record().id;
        let message = |sequence| match self.store.lookup(id, sequence) {
            Lookup::Hot(message) => Some(message),
            Lookup::Cold | Lookup::Gone => None,
        };
        let Page { items: mut found, mut next } = touched(queue, window, |sequence, touch| {
            let its = MessageState::of(touch);
            let wanted = state.is_none_or(|state| state == its);
            let touch = Some(touch.clone());
            wanted.then(|| Found { sequence, state: its, touch, message: message(sequence) })
        });
        let untouched = queue.untouched();
        let first = untouched.start.max(window.from);
        if next.is_none() && first < untouched.end && state.is_none_or(|state| state == MessageState::Ready) {
            let room = (window.count - found.len()) as u64;
            let end = untouched.end.min(first.plus(room));
            found.extend((first.0..end.0).map(Sequence).map(|sequence| {
                let message = message(sequence);
                Found { sequence, state: MessageState::Ready, touch: None, message }
            }));
            next = (end < untouched.end).then_some(end);
        }
        PeekJob { reply, found, next, queue: id, bytes }
    }
}

/// A page of the leases of a queue.
pub(super) fn leases(queue: &Queue, window: &Window<Sequence>) -> Page<LeaseView, Sequence> {
    touched(queue, window, |sequence, touch| {
        let lease = touch.lease()?.clone();
        Some(LeaseView { sequence, attempt: touch.attempt.0, lease })
    })
}

/// A page of what `show` makes of touched messages. Full, at its end, or where enough was looked at.
fn touched<T>(
    queue: &Queue,
    window: &Window<Sequence>,
    mut show: impl FnMut(Sequence, &Touch) -> Option<T>,
) -> Page<T, Sequence> {
    let mut items = Vec::new();
    for (looked, (&sequence, touch)) in queue.touched_from(window.from).enumerate() {
        if items.len() == window.count || looked == LOOK_MAX {
            return Page { items, next: Some(sequence) };
        }
        items.extend(show(sequence, touch));
    }
    Page { items, next: None }
}

impl PeekJob {
    /// Reads the bodies that are on disk and answers. Returns at once.
    pub(super) fn start(self, reader: Reader) {
        tokio::task::spawn_blocking(move || {
            let page = page(&reader, self.queue, self.found, self.next, self.bytes).map_err(|error| {
                tracing::error!(%error, "messages could not be read for a peek");
                BrokerError::Read
            });
            Answer::new(self.reply, page).send();
        });
    }
}

/// As much as fits. What is gone by now is left out.
fn page(
    reader: &Reader,
    queue: QueueId,
    mut found: Vec<Found>,
    next: Option<Sequence>,
    bytes_max: usize,
) -> Result<Page<Peeked, Sequence>, ReadError> {
    let (mut items, mut bytes) = (Vec::new(), 0);
    for step in found.chunks_mut(STEP) {
        let cold: Vec<_> =
            step.iter().filter(|found| found.message.is_none()).map(|found| found.sequence).collect();
        let mut read = if cold.is_empty() { Vec::new() } else { reader.messages(queue, &cold)? }.into_iter();
        for Found { sequence, state, touch, message } in step {
            let message: Option<StoredMessage> = message.take().or_else(|| read.next().flatten());
            let Some(message) = message else { continue };
            bytes += message.content.0.len();
            if bytes > bytes_max && !items.is_empty() {
                return Ok(Page { items, next: Some(*sequence) });
            }
            items.push(Peeked { message, state: *state, touch: touch.take() });
        }
    }
    Ok(Page { items, next })
}
