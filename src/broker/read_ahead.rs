//! Read-ahead: the next messages of a queue that lie on disk, fetched by a reader of their own.
//!
//! One read at a time for a queue. What was fetched and is no longer wanted (acked late, purged) is dropped when it is
//! met.
//!
//! Always true: what was read of a lane has no gap in it; the shared total is what all queues have fetched, and what is being fetched for them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::request::Notice;
use crate::store::Reader;
use crate::types::{Lane, LaneId, QueueId, Sequence, StoredMessage};

/// Bytes that all queues together have fetched or are fetching.
pub(super) type Total = Arc<AtomicUsize>;

/// What was fetched for one queue.
pub(super) struct ReadAhead {
    fetched: BTreeMap<(Lane, Sequence), StoredMessage>,
    /// From where to where everything untouched of a lane was fetched.
    runs: BTreeMap<Lane, Range<Sequence>>,
    bytes: usize,
    /// How many reads have begun.
    reads: u64,
    /// What the read that is running may bring.
    reserved: Option<usize>,
    total: Total,
}

/// What to fetch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// These messages of a lane, which were leased before; at least one.
    Returned { lane: Lane, sequences: Vec<Sequence> },
    /// Messages of a lane that were never leased, from here on, as far as checkpoints have stored them.
    Untouched { lane: Lane, from: Sequence, until: Sequence, messages: usize, bytes: usize },
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) queue: QueueId,
    pub(super) lane: Lane,
    /// The first message that was wanted.
    pub(super) first: Sequence,
    pub(super) kind: Kind,
    pub(super) messages: Result<Vec<StoredMessage>, String>,
}

/// What kind of messages was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Returned,
    Untouched,
}

impl ReadAhead {
    pub(super) fn new(total: Total) -> Self {
        Self { fetched: BTreeMap::new(), runs: BTreeMap::new(), bytes: 0, reads: 0, reserved: None, total }
    }

    /// Takes a message that was fetched.
    pub(super) fn take(&mut self, lane: Lane, sequence: Sequence) -> Option<StoredMessage> {
        if self.bytes == 0 {
            return None;
        }
        let message = self.fetched.remove(&(lane, sequence))?;
        self.count(self.bytes - message.content.0.len());
        // Should it be wanted again, it has to be read again.
        if let Some(run) = self.runs.get_mut(&lane).filter(|run| run.contains(&sequence)) {
            run.start = sequence.next();
        }
        Some(message)
    }

    /// Looks at a message that was fetched.
    pub(super) fn get(&self, lane: Lane, sequence: Sequence) -> Option<&StoredMessage> {
        self.fetched.get(&(lane, sequence))
    }

    /// The first untouched message of a lane from `from` on, if it was fetched.
    pub(super) fn next(&self, lane: Lane, from: Sequence) -> Option<&StoredMessage> {
        let run = self.runs.get(&lane).filter(|run| run.contains(&from))?;
        self.fetched.range((lane, from)..(lane, run.end)).next().map(|(_, message)| message)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_loading(&self) -> bool {
        self.reserved.is_some()
    }

    /// Where what was fetched of a lane ends, if everything from `from` up to there was; else `from`.
    pub(super) fn end_of_run(&self, lane: Lane, from: Sequence) -> Sequence {
        self.runs.get(&lane).filter(|run| run.contains(&from)).map_or(from, |run| run.end)
    }

    /// How many reads have begun.
    pub(super) fn reads(&self) -> u64 {
        self.reads
    }

    /// A read has begun that brings about so many bytes.
    pub(super) fn started(&mut self, bytes: usize) {
        self.reads += 1;
        self.reserved = Some(bytes);
        self.total.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A read of a lane from `first` on has ended.
    pub(super) fn finished(&mut self, lane: Lane, first: Sequence, kind: Kind, messages: Vec<StoredMessage>) {
        self.give_up_reserve();
        if let (Kind::Untouched, Some(last)) = (kind, messages.last()) {
            let end = last.sequence.next();
            match self.runs.get_mut(&lane) {
                Some(run) if run.end == first && run.start <= first => run.end = end,
                Some(_) | None => _ = self.runs.insert(lane, first..end),
            }
        }
        for message in messages {
            let size = message.content.0.len();
            let old = self.fetched.insert((lane, message.sequence), message);
            self.count(self.bytes + size - old.map_or(0, |old| old.content.0.len()));
        }
    }

    /// Forgets what is no longer wanted: what was fetched of a lane before `first` of it, but for what is in `keep`.
    pub(super) fn forget(&mut self, first: impl Fn(Lane) -> Sequence, keep: impl Fn(Sequence) -> bool) {
        for lane in Lane::all() {
            let range = (lane, Sequence(0))..(lane, first(lane));
            let stale = self.fetched.range(range).map(|(&(_, sequence), _)| sequence);
            let stale: Vec<_> = stale.filter(|&sequence| !keep(sequence)).collect();
            for sequence in stale {
                self.take(lane, sequence);
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
        notice: fn(Loaded) -> Notice,
    ) {
        let (lane, first, kind) = match &self {
            Self::Returned { lane, sequences } => {
                (*lane, sequences.first().copied().unwrap_or_default(), Kind::Returned)
            }
            Self::Untouched { lane, from, .. } => (*lane, *from, Kind::Untouched),
        };
        let read = reader.blocking(move |reader| self.read(reader, queue));
        tokio::spawn(async move {
            let messages = read.await.unwrap_or_else(Err);
            // If the broker is gone, nobody wants it.
            let _ = notices.send(notice(Loaded { queue, lane, first, kind, messages }));
        });
    }

    fn read(&self, reader: &Reader, queue: QueueId) -> Result<Vec<StoredMessage>, String> {
        let messages = match self {
            Self::Returned { lane, sequences } => reader
                .messages(LaneId::new(queue, *lane), sequences)
                .map(|found| found.into_iter().flatten().collect()),
            Self::Untouched { lane, from, until, messages, bytes } => {
                reader.untouched(LaneId::new(queue, *lane), (*from, *until), *messages, *bytes)
            }
        };
        messages.map_err(|error| error.to_string())
    }
}
