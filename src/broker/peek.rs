//! A peek: messages in every state, read by a thread of its own, within a bound.

use super::outbox::{Answer, Found, PeekJob};
use super::request::{BrokerError, Page, Peeked};
use crate::store::{ReadError, Reader};
use crate::types::{QueueId, Sequence, StoredMessage};

/// How many messages one step reads: no more than these are in memory beyond the bound.
const STEP: usize = 8;

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
        for Found { sequence, touch, message } in step {
            let message: Option<StoredMessage> = message.take().or_else(|| read.next().flatten());
            let Some(message) = message else { continue };
            bytes += message.content.0.len();
            if bytes > bytes_max && !items.is_empty() {
                return Ok(Page { items, next: Some(*sequence) });
            }
            items.push(Peeked { message, touch: touch.take() });
        }
    }
    Ok(Page { items, next })
}
