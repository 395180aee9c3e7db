//! What the store's threads report.

use std::time::Duration;

use crate::types::LogId;

use super::Compacted;

/// What somebody waits for who handed over an entry. Each report wakes the owner, so only what is awaited is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Awaited {
    /// That it is written, and then that it is on disk.
    Written,
    /// That it is on disk.
    Durable,
}

/// Something happened on one of the store's threads. The owner passes each to `Store::handle`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreEvent {
    /// All entries up to this one were given to the operating system: they survive a kill of the process. Reported if
    /// one of them was appended with `Awaited::Written`.
    Written {
        /// The latest such entry.
        index: u64,
    },
    /// All entries up to this one are on disk: they survive a power cut.
    Durable {
        /// The latest such entry.
        index: u64,
        /// How much was written at once.
        bytes: u64,
        /// How long that took, the fsync included.
        took: Duration,
    },
    /// Writing failed. It is never tried again: nothing more becomes durable. Reported once by each thread at most.
    Failed {
        /// What was tried, on which file, and why it failed.
        what: String,
    },
    /// A checkpoint is on disk, and the journal before it was removed.
    Checkpointed {
        /// The entry whose state it holds.
        applied: LogId,
        /// How long it took, waiting for the journal included.
        took: Duration,
        /// Bytes of the messages that it stored.
        bytes: u64,
        /// How many messages it stored.
        messages: u64,
        /// How many chunks they were packed into.
        chunks: u64,
        /// How many chunks went.
        removed: u64,
        /// Files in `state/blobs`, which should be none: sled never syncs them by itself.
        blobs: u64,
    },
    /// The state files gave room back to the disk.
    Compacted(Compacted),
}
