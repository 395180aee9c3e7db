//! Looks inside: messages in every state, whose bodies a thread of its own reads within a bound, and leases.

use super::error::BrokerError;
use super::outbox::{Answer, Found, PeekJob};
use super::request::{LeaseView, MessageState, Page, Peeked, Reply, Window};
use super::task::Broker;
use crate::engine::Queue;
use crate::store::{Lookup, ReadError, Reader};
use crate::types::{Lane, LaneId, Sequence, Touch, TouchState};

/// The most touched messages that one look passes over, so that a search for rare ones does not hold up the broker.
const LOOK_MAX: usize = 16_384;
/// Behind every message.
const END: Sequence = Sequence(u64::MAX);

impl MessageState {
    /// Where a touched message stands. Untouched ones are ready.
    fn of(touch: &Touch) -> Self {
        match &touch.state {
            TouchState::Ready => Self::Ready,
            TouchState::Delayed { .. } => Self::Delayed,
            TouchState::Leased(_) => Self::Leased,
            TouchState::Parked => Self::Parked,
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
        let Page { items: found, next } = touched(queue, window, |sequence, touch| {
            let behind = touch.is_ready() && queue.is_behind(sequence);
            let its = if behind { MessageState::Parked } else { MessageState::of(touch) };
            let wanted = state.is_none_or(|state| state == its);
            wanted.then(|| {
                let message = match self.store.lookup(LaneId::new(id, touch.lane), sequence) {
                    Lookup::Hot(message) => Some(message),
                    Lookup::Cold | Lookup::Gone => None,
                };
                Found { sequence, lane: touch.lane, state: its, touch: Some(touch.clone()), message }
            })
        });
        let (cold, count, horizon) = (Vec::new(), window.count, next.unwrap_or(END));
        let mut job = PeekJob { reply, found, cold, count, horizon, queue: id, bytes };
        self.add_parked(queue, window.from, state, &mut job);
        if state.is_none_or(|state| state == MessageState::Ready) {
            self.add_untouched(queue, window.from, &mut job);
        }
        job
    }

    /// Adds what was stepped over in a BY_KEY queue, as many as may be shown.
    fn add_parked(&self, queue: &Queue, from: Sequence, state: Option<MessageState>, job: &mut PeekJob) {
        let lane = Lane::default();
        let mut shown = 0;
        for (looked, (sequence, _, open)) in queue.parked_from(from).enumerate() {
            if looked == LOOK_MAX || shown > job.count {
                job.horizon = job.horizon.min(sequence);
                return;
            }
            let its = if open { MessageState::Ready } else { MessageState::Parked };
            if state.is_some_and(|state| state != its) {
                continue;
            }
            shown += 1;
            let message = match self.store.lookup(LaneId::new(job.queue, lane), sequence) {
                Lookup::Hot(message) => Some(message),
                Lookup::Cold | Lookup::Gone => None,
            };
            job.found.push(Found { sequence, lane, state: its, touch: None, message });
        }
    }

    /// A look at the first message that was never leased and does not wait for a delay.
    pub(super) fn oldest(&self, queue: &Queue, reply: Reply<Page<Peeked, Sequence>>) -> PeekJob {
        let (found, cold, queue_id) = (Vec::new(), Vec::new(), queue.record().id);
        let mut job = PeekJob { reply, found, cold, count: 1, horizon: END, queue: queue_id, bytes: 1 };
        self.add_untouched(queue, Sequence(0), &mut job);
        self.add_parked(queue, Sequence(0), None, &mut job);
        job
    }

    /// Adds as many messages of each lane that are in memory as may be shown, and says what to read of it.
    fn add_untouched(&self, queue: &Queue, from: Sequence, job: &mut PeekJob) {
        for (priority, record) in queue.record().lanes.waiting() {
            let lane = Lane::of(priority);
            let (id, from) = (LaneId::new(job.queue, lane), record.frontier.max(from));
            let until = self.store.cold_until(id);
            if from < until {
                job.cold.push((id, from, until));
            }
            let hot = self.store.hot_from(id, from).take(job.count.saturating_add(1));
            job.found.extend(hot.map(|message| Found {
                sequence: message.sequence,
                lane,
                state: MessageState::Ready,
                touch: None,
                message: Some(message),
            }));
        }
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
    pub(super) fn start(mut self, reader: Reader) {
        // If the reader fails, whoever asked is told that the broker has stopped.
        drop(reader.blocking(move |reader| {
            let page = self.gather(reader).and_then(|next| page(reader, &mut self, next));
            let page = page.map_err(|error| {
                tracing::error!(%error, "messages could not be read for a peek");
                BrokerError::Read
            });
            Answer::new(self.reply, page).send();
        }));
    }

    /// Adds what is on disk of the lanes; says where the next page begins, if there is one. What lies at or past the horizon was not
    /// looked at in full.
    fn gather(&mut self, reader: &Reader) -> Result<Option<Sequence>, ReadError> {
        for (lane, from, until) in std::mem::take(&mut self.cold) {
            let messages = reader.untouched(lane, (from, until), self.count.saturating_add(1), self.bytes)?;
            let Some(last) = messages.last().map(|message| message.sequence) else { continue };
            if last.next() < until {
                self.horizon = self.horizon.min(last.next());
            }
            self.found.extend(messages.into_iter().map(|message| Found {
                sequence: message.sequence,
                lane: lane.lane,
                state: MessageState::Ready,
                touch: None,
                message: Some(message),
            }));
        }
        self.found.sort_by_key(|found| found.sequence);
        let end = self.found.partition_point(|found| found.sequence < self.horizon).min(self.count);
        let next = self.found.get(end).map_or(self.horizon, |found| found.sequence.min(self.horizon));
        self.found.truncate(end);
        Ok((next < END).then_some(next))
    }
}

/// As much as fits. What is gone by now is left out.
fn page(
    reader: &Reader,
    job: &mut PeekJob,
    next: Option<Sequence>,
) -> Result<Page<Peeked, Sequence>, ReadError> {
    let (mut items, mut bytes) = (Vec::new(), 0);
    for Found { sequence, lane, state, touch, message } in &mut job.found {
        let message = match message.take() {
            Some(message) => Some(message),
            None => reader.messages(LaneId::new(job.queue, *lane), &[*sequence])?.pop().flatten(),
        };
        let Some(message) = message else { continue };
        bytes += message.content.0.len();
        if bytes > job.bytes && !items.is_empty() {
            return Ok(Page { items, next: Some(*sequence) });
        }
        items.push(Peeked { priority: lane.priority(), message, state: *state, touch: touch.take() });
    }
    Ok(Page { items, next })
}
