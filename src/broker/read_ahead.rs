//! Read-ahead: the next messages of a queue that lie on disk, fetched by a reader of their own.
//!
//! One read at a time for a queue. What was fetched and is no longer wanted (acked late, purged) is dropped when it is
//! met.

use std::collections::BTreeMap;

use crate::store::{ReadError, Reader};
use crate::types::{QueueId, Sequence, StoredMessage};

/// What was fetched for one queue.
#[derive(Default)]
pub(super) struct ReadAhead {
    fetched: BTreeMap<Sequence, StoredMessage>,
    bytes: usize,
    loading: bool,
}

/// What to fetch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// These messages, which were leased before.
    Returned(Vec<Sequence>),
    /// Messages that were never leased, from here on.
    Untouched { from: Sequence, messages: usize, bytes: usize },
}

/// What came of it.
pub(super) struct Loaded {
    pub(super) queue: QueueId,
    pub(super) messages: Result<Vec<StoredMessage>, ReadError>,
}

impl ReadAhead {
    /// Takes a message that was fetched.
    pub(super) fn take(&mut self, sequence: Sequence) -> Option<StoredMessage> {
        let message = self.fetched.remove(&sequence)?;
        self.bytes -= message.content.0.len();
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
        self.loading
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

    pub(super) fn started(&mut self) {
        self.loading = true;
    }

    pub(super) fn finished(&mut self, messages: Vec<StoredMessage>) {
        self.loading = false;
        for message in messages {
            self.bytes += message.content.0.len();
            if let Some(old) = self.fetched.insert(message.sequence, message) {
                self.bytes -= old.content.0.len();
            }
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
}

impl Wanted {
    /// Reads it. Blocks.
    pub(super) fn read(&self, reader: &Reader, queue: QueueId) -> Loaded {
        let messages = match self {
            Self::Returned(sequences) => {
                reader.messages(queue, sequences).map(|found| found.into_iter().flatten().collect())
            }
            Self::Untouched { from, messages, bytes } => reader.untouched(queue, *from, *messages, *bytes),
        };
        Loaded { queue, messages }
    }
}
