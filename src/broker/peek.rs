//! A peek: messages in every state, read by a thread of its own, within a bound.

use super::outbox::{Answer, Found, PeekJob};
use super::request::{BrokerError, Page, Peeked};
use crate::store::{ReadError, Reader};
use crate::types::{LaneId, Sequence};

impl PeekJob {
    /// Reads the bodies that are on disk and answers. Returns at once.
    pub(super) fn start(mut self, reader: Reader) {
        tokio::task::spawn_blocking(move || {
            let page = self.gather(&reader).and_then(|next| page(&reader, &mut self, next));
            let page = page.map_err(|error| {
                tracing::error!(%error, "messages could not be read for a peek");
                BrokerError::Read
            });
            Answer::new(self.reply, page).send();
        });
    }

    /// Adds what is on disk of the lanes; says where what is wanted ends, if there is more.
    fn gather(&mut self, reader: &Reader) -> Result<Option<Sequence>, ReadError> {
        let mut horizon = Sequence(u64::MAX);
        for (lane, from, until) in std::mem::take(&mut self.cold) {
            let messages = reader.untouched(lane, (from, until), self.count.saturating_add(1), self.bytes)?;
            let Some(last) = messages.last().map(|message| message.sequence) else { continue };
            if last.next() < until {
                horizon = horizon.min(last.next());
            }
            self.found.extend(messages.into_iter().map(|message| Found {
                sequence: message.sequence,
                lane: lane.lane,
                touch: None,
                message: Some(message),
            }));
        }
        self.found.sort_by_key(|found| found.sequence);
        let end = self.found.partition_point(|found| found.sequence < horizon).min(self.count);
        let next = self.found.get(end).map(|found| found.sequence.min(horizon));
        let next = next.or((horizon < Sequence(u64::MAX)).then_some(horizon));
        self.found.truncate(end);
        Ok(next)
    }
}

/// As much as fits. What is gone by now is left out.
fn page(
    reader: &Reader,
    job: &mut PeekJob,
    next: Option<Sequence>,
) -> Result<Page<Peeked, Sequence>, ReadError> {
    let (mut items, mut bytes) = (Vec::new(), 0);
    for Found { sequence, lane, touch, message } in &mut job.found {
        let message = match message.take() {
            Some(message) => Some(message),
            None => reader.messages(LaneId::new(job.queue, *lane), &[*sequence])?.pop().flatten(),
        };
        let Some(message) = message else { continue };
        bytes += message.content.0.len();
        if bytes > job.bytes && !items.is_empty() {
            return Ok(Page { items, next: Some(*sequence) });
        }
        items.push(Peeked { message, touch: touch.take() });
    }
    Ok(Page { items, next })
}
