//! Read-ahead: the next messages of a queue that lie on disk, fetched by a reader of their own.
//!
//! One read at a time for a queue. What was fetched and is no longer wanted (acked late, purged) is dropped when it is
//! met.
//!
//! Always true: the shared total is what all queues have fetched, and what is being fetched for them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::request::Notice;
use crate::store::Reader;
use crate::types::{QueueId, Sequence, StoredMessage};

/// Bytes that all queues together have fetched or are fetching.
pub(super) type Total = Arc<AtomicUsize>;

/// What was fetched for one queue.
pub(super) struct ReadAhead {
    fetched: BTreeMap<Sequence, StoredMessage>,
    bytes: usize,
    /// What the read that is running may bring.
    reserved: Option<usize>,
    total: Total,
}

/// What to fetch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// These messages, which were leased before; at least one.
    Returned(Vec<Sequence>),
    /// Messages that were never leased, from here on.
    Untouched { from: Sequence, messages: usize, bytes: usize },
}

/// What came of it.
pub(super) struct Loaded {
    pub(super) queue: QueueId,
    /// The first message that was wanted.
    pub(super) first: Sequence,
    pub(super) messages: Result<Vec<StoredMessage>, String>,
}

impl ReadAhead {
    pub(super) fn new(total: Total) -> Self {
        Self { fetched: BTreeMap::new(), bytes: 0, reserved: None, total }
    }

    /// Takes a message that was fetched.
    pub(super) fn take(&mut self, sequence: Sequence) -> Option<StoredMessage> {
        let message = self.fetched.remove(&sequence)?;
        self.count(self.bytes - message.content.0.len());
        Some(message)
    }

    /// Looks at a message that was fetched.
    pub(super) fn get(&self, sequence: Sequence) -> Option<&StoredMessage> {
        self.fetched.get(&sequence)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_loading(&self) -> bool {
        self.reserved.is_some()
    }

    /// The first message after `from` that was not fetched, if everything from `from` up to it was.
    pub(super) fn end_of_run(&self, from: Sequence) -> Sequence {
        let mut end = from;
        for &sequence in self.fetched.range(from..).map(|(sequence, _)| sequence) {
            if sequence != end {
                break;
            }
            end = end.next();
        }
        end
    }

    /// A read has begun that brings about so many bytes.
    pub(super) fn started(&mut self, bytes: usize) {
        self.reserved = Some(bytes);
        self.total.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn finished(&mut self, messages: Vec<StoredMessage>) {
        self.give_up_reserve();
        for message in messages {
            let size = message.content.0.len();
            let old = self.fetched.insert(message.sequence, message);
            self.count(self.bytes + size - old.map_or(0, |old| old.content.0.len()));
        }
    }

    /// Forgets what lies before `first` but for what is in `keep`.
    pub(super) fn forget_before(&mut self, first: Sequence, keep: impl Fn(Sequence) -> bool) {
        let stale: Vec<_> = self.fetched.range(..first).map(|(&sequence, _)| sequence).collect();
        for sequence in stale {
            if !keep(sequence) {
                self.take(sequence);
            }
        }
    }

    fn count(&mut self, bytes: usize) {
        self.total.fetch_add(bytes, Ordering::Relaxed);
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }

    fn give_up_reserve(&mut self) {
        self.total.fetch_sub(self.reserved.take().unwrap_or(0), Ordering::Relaxed);
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        self.give_up_reserve();
        self.count(0);
    }
}

impl Wanted {
    /// Reads it on a thread that may block, and says so in a notice, whatever happens.
    pub(super) fn fetch(
        self,
        reader: Reader,
        queue: QueueId,
        notices: tokio::sync::mpsc::UnboundedSender<Notice>,
    ) {
        let first = self.first();
        let read = tokio::task::spawn_blocking(move || self.read(&reader, queue));
        tokio::spawn(async move {
            let messages = read.await.unwrap_or_else(|failed| Err(format!("the reader failed: {failed}")));
            // If the broker is gone, nobody wants it.
            let _ = notices.send(Notice::Loaded(Loaded { queue, first, messages }));
        });
    }

    fn first(&self) -> Sequence {
        match self {
            Self::Returned(sequences) => sequences.first().copied().unwrap_or_default(),
            Self::Untouched { from, .. } => *from,
        }
    }

    fn read(&self, reader: &Reader, queue: QueueId) -> Result<Vec<StoredMessage>, String> {
        let messages = match self {
            Self::Returned(sequences) => {
                reader.messages(queue, sequences).map(|found| found.into_iter().flatten().collect())
            }
            Self::Untouched { from, messages, bytes } => reader.untouched(queue, *from, *messages, *bytes),
        };
        messages.map_err(|error| error.to_string())
    }
}
