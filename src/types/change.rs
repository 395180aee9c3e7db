//! Changes: what applying a command did to messages. The store keeps them until the next checkpoint.

use super::{Content, DeduplicationId, Epoch, Lane, QueueId, Sequence, Timestamp, Touch};

/// One thing that applying a command did to the messages of a queue. Queue records are not changes: the engine hands
/// over those that changed when a checkpoint begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Messages were stored, numbered from `first`.
    Stored {
        /// Where.
        queue: QueueId,
        /// The number of the first.
        first: Sequence,
        /// When.
        published_at: Timestamp,
        /// What.
        messages: Vec<Content>,
        /// The places of those that are in another lane than that of priority 0, ascending.
        lanes: Vec<(u32, Lane)>,
    },
    /// A message was leased, its lease changed, it was given back, or it waits for something else.
    Touched {
        /// Where.
        queue: QueueId,
        /// Which.
        sequence: Sequence,
        /// Its delivery state from now on.
        touch: Touch,
    },
    /// A message is gone.
    Settled {
        /// Where.
        queue: QueueId,
        /// In which lane.
        lane: Lane,
        /// Which.
        sequence: Sequence,
    },
    /// The untouched messages of a lane from `from` up to, but not including, `until` are gone.
    Purged {
        /// Where.
        queue: QueueId,
        /// In which lane.
        lane: Lane,
        /// The first that is gone.
        from: Sequence,
        /// The first that is not.
        until: Sequence,
    },
    /// A queue remembers the id of a message that was stored.
    Remembered {
        /// Where.
        queue: QueueId,
        /// Which message.
        sequence: Sequence,
        /// Its id.
        id: DeduplicationId,
        /// When it was stored.
        at: Timestamp,
    },
    /// A queue and all that was in it is gone.
    Deleted {
        /// Which.
        queue: QueueId,
    },
}

/// What is kept of the engine besides its queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct EngineRecord {
    /// The id that the next queue gets.
    pub next_queue: QueueId,
    /// How many times the engine was started on this data.
    pub epoch: Epoch,
    /// The time of the latest entry that was applied.
    pub now: Timestamp,
}
