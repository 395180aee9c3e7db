//! What applying a command gives back: an outcome for who asked, effects for everyone else.

use super::publication::Unpublished;
use super::topic::TopicOutcome;
use super::transaction::Transacted;
use crate::types::{
    Attempt, Binding, Change, Epoch, Full, HolderId, Published, QueueId, QueueName, ReceiptFailure, Sequence,
    SettingsField, TopicName,
};

/// What a command did, for who asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The queue is not, or no longer, there. Nothing changed.
    NoQueue,
    /// A new epoch has begun.
    Started {
        /// Its number.
        epoch: Epoch,
        /// How many leases of dead streams it ended.
        released: u64,
    },
    /// See [`Created`].
    Created(Created),
    /// The queue is gone.
    Deleted {
        /// How many messages went with it.
        messages: u64,
    },
    /// The queue stays: a binding names it.
    QueueBound {
        /// The topic.
        topic: TopicName,
        /// The binding.
        binding: Binding,
    },
    /// See [`TopicOutcome`].
    Topic(TopicOutcome),
    /// The messages are in their queues: what became of each of the publication's copies.
    PublishedAll(Vec<Published>),
    /// See [`Transacted`].
    Transacted(Transacted),
    /// The messages are nowhere.
    Unpublished(Unpublished),
    /// The queue holds only what is leased.
    Purged {
        /// How many messages went.
        messages: u64,
    },
    /// The messages are in the queue.
    Published(Published),
    /// There is no room for the messages. Nothing changed.
    Full(Full),
    /// Messages went to make room.
    Dropped {
        /// How many.
        messages: u64,
    },
    /// Messages went whose time to live is over.
    Lapsed {
        /// How many.
        messages: u64,
    },
    /// Deduplication ids whose time is over are forgotten.
    Forgotten,
    /// These of the picks were leased, or handed out; the others were not to be had.
    Granted(Vec<Granted>),
    /// Claims were settled or extended, but for these: their place in the command, and why.
    Claimed(Vec<(usize, ReceiptFailure)>),
    /// Leases ended, or delays.
    Returned {
        /// How many.
        messages: u64,
    },
    /// See [`Updated`].
    Updated(Updated),
    /// The queue stays: this one names it as its dead-letter queue.
    Named(QueueName),
    /// Messages were moved.
    Moved {
        /// How many.
        messages: u64,
    },
}

/// What became of a queue that was to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// It was made.
    New(QueueId),
    /// It is there already, with the same settings.
    Existed(QueueId),
    /// It is there already, with other settings. Nothing changed.
    Conflict,
    /// Dead-letter queues would form this circle. Nothing changed.
    Cycle(Vec<QueueName>),
}

/// What became of settings that were to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Updated {
    /// They are as asked for.
    Done,
    /// This one may change only while the queue is empty. Nothing changed.
    NotEmpty(SettingsField),
    /// Dead-letter queues would form this circle. Nothing changed.
    Cycle(Vec<QueueName>),
}

/// A message that was leased, or handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The message.
    pub sequence: Sequence,
    /// Which lease of it this is.
    pub attempt: Attempt,
}

/// A lease of this epoch that ended: credit comes back to its holder. Leases that outlived their epoch free nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freed {
    /// In which queue.
    pub queue: QueueId,
    /// Whose lease.
    pub holder: HolderId,
    /// The message's size in bytes.
    pub size: u32,
}

/// What commands did besides their outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// What the store must keep.
    pub changes: Vec<Change>,
    /// Leases that ended, in order.
    pub freed: Vec<Freed>,
    /// How many messages were dropped because no dead-letter queue takes them.
    pub dropped: u64,
}
