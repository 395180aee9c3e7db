//! Commands: everything that can happen to the state. The journal is a list of them.
//!
//! A command is a proposal. It carries every fact about messages that `apply` needs, because bodies may be cold, and
//! `apply` skips what no longer holds.

use std::sync::Arc;

use super::{
    Attempt, Binding, Consumer, Content, Duration, Epoch, Facts, FactsByPlace, Holder, HolderId, OrderingKey,
    Priority, QueueId, QueueName, QueueSettings, Receipt, Retry, Sequence, TopicName, Transact,
};

/// Who takes messages, and on which terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// What the leases are bound to.
    pub holder: Holder,
    /// How long they last.
    pub duration: Duration,
    /// Who takes them.
    pub consumer: Arc<Consumer>,
}

/// A message chosen for delivery, or to be stepped over, with the facts about it that the engine does not keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// The message.
    pub sequence: Sequence,
    /// Its size in bytes.
    pub size: u32,
    /// Who gets it: a place among the grant's offers. None if it is parked, because its key has to wait.
    pub offer: Option<u32>,
    /// Its priority, which the engine does not keep either.
    pub priority: Priority,
    /// Its ordering key, in a BY_KEY queue.
    pub key: Option<OrderingKey>,
}

/// A message chosen to go, with the facts about it that the engine does not keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The message.
    pub sequence: Sequence,
    /// Its size in bytes.
    pub size: u32,
    /// Its priority.
    pub priority: Priority,
}

/// A receipt whose queue is known: what a consumer claims to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The message.
    pub sequence: Sequence,
    /// The attempt.
    pub attempt: Attempt,
    /// The epoch that granted it.
    pub epoch: Epoch,
}

/// Which messages a move takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moving {
    /// Those that wait to be dead-lettered.
    Dead,
    /// Those that are ready.
    Ready,
}

/// A message that is moved to another queue, or stepped over because the ones behind it are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The message.
    pub sequence: Sequence,
    /// Its size in bytes.
    pub size: u32,
    /// Its priority, which counts if it is untouched.
    pub priority: Priority,
    /// Its ordering key, which counts if it is untouched and stays.
    pub key: Option<OrderingKey>,
    /// Where it arrives; none if it stays.
    pub to: Option<Arrival>,
}

/// What a move stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Where.
    pub queue: QueueId,
    /// What.
    pub content: Content,
}

/// Some messages of a publication that one queue gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Copies {
    /// The queue.
    pub queue: QueueId,
    /// The first of them: a place among the publication's messages.
    pub from: u32,
    /// How many, one after the other.
    pub count: u32,
}

/// Messages that go to several queues, all or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publication {
    /// The messages.
    pub messages: Vec<Content>,
    /// What is to be known of some of them.
    pub facts: FactsByPlace,
    /// Who gets which. The queues were chosen when the command was made: `apply` knows no attributes.
    pub copies: Vec<Copies>,
}

/// What is done to topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicCommand {
    /// It is made.
    Create(TopicName),
    /// It goes, with its bindings.
    Delete(TopicName),
    /// A queue takes what it gets.
    Bind(TopicName, Binding),
    /// A binding goes.
    Unbind(TopicName, Binding),
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The engine starts on existing data: streams are dead, so their leases end; those of Receive stay.
    StartEpoch,
    /// A queue is made.
    CreateQueue {
        /// Its name.
        name: QueueName,
        /// How it behaves.
        settings: QueueSettings,
    },
    /// A queue and all that is in it goes.
    DeleteQueue {
        /// Which.
        queue: QueueId,
    },
    /// Every message that nobody holds goes.
    PurgeQueue {
        /// Where.
        queue: QueueId,
    },
    /// Messages are stored, numbered in order.
    Publish {
        /// Where.
        queue: QueueId,
        /// What; at least one.
        messages: Vec<Content>,
        /// What is to be known of some of them.
        facts: FactsByPlace,
    },
    /// Messages that are ready go, to make room for others.
    Drop {
        /// From where.
        queue: QueueId,
        /// Which, oldest first.
        picks: Vec<Dropped>,
    },
    /// Messages that are ready and whose time to live is over go, to the dead-letter queue if one is named.
    Lapse {
        /// From where.
        queue: QueueId,
        /// Which, in the order of the queue.
        picks: Vec<Dropped>,
    },
    /// Deduplication ids whose time is over are forgotten, at most `limit` of them.
    Forget {
        /// The most to forget.
        limit: u32,
    },
    /// Messages are leased to consumers, or, in an at-most-once queue, handed out and gone; others are parked, because
    /// their key has to wait. One command for all that is dealt at once, because messages that were never leased are to be had in their order only.
    Grant {
        /// From where.
        queue: QueueId,
        /// To whom.
        offers: Vec<Offer>,
        /// Which messages, in the order of delivery.
        picks: Vec<Pick>,
    },
    /// Messages are done.
    Ack {
        /// In which queue.
        queue: QueueId,
        /// Which.
        claims: Vec<Claim>,
    },
    /// Messages are to be tried again, or never again.
    Nack {
        /// In which queue.
        queue: QueueId,
        /// Which.
        claims: Vec<Claim>,
        /// When, or never.
        retry: Retry,
        /// Why, for those that are dead-lettered; may be empty.
        reason: Arc<str>,
    },
    /// Leases are to last `duration` from now.
    Extend {
        /// In which queue.
        queue: QueueId,
        /// Which.
        claims: Vec<Claim>,
        /// How long, from now.
        duration: Duration,
    },
    /// A holder is gone: all that it holds is ready again. `counted` says whether the attempts count.
    Release {
        /// In which queue.
        queue: QueueId,
        /// Who.
        holder: HolderId,
        /// False if the server itself ended the stream.
        counted: bool,
    },
    /// Something is done to a topic.
    Topic(TopicCommand),
    /// Messages are stored in several queues, all or none.
    PublishAll(Publication),
    /// Messages are done, and others stored, all of it or nothing.
    Transact(Transact),
    /// Leases whose deadline has come end, and delays whose time has come, earliest first, at most `limit` of them.
    Expire {
        /// The most to end.
        limit: u32,
    },
    /// A queue gets other settings.
    UpdateQueue {
        /// Which.
        queue: QueueId,
        /// All of its settings from now on.
        settings: QueueSettings,
    },
    /// Messages go from one queue to others, each settled there and stored here at once.
    Move {
        /// From where.
        queue: QueueId,
        /// Which of them.
        which: Moving,
        /// Which, in the order of the queue, and where to.
        messages: Vec<Moved>,
    },
}

impl Copies {
    /// Those of the publication's messages that they are; none if there are not so many.
    #[must_use]
    pub fn of<'a>(&self, messages: &'a [Content]) -> Option<&'a [Content]> {
        let from = usize::try_from(self.from).ok()?;
        messages.get(from..from.checked_add(usize::try_from(self.count).ok()?)?)
    }

    /// The facts about them, by their places among themselves.
    #[must_use]
    pub fn facts_of(&self, facts: &[(u32, Facts)]) -> FactsByPlace {
        let end = self.from.saturating_add(self.count);
        let own = facts.iter().filter(|(place, _)| (self.from..end).contains(place));
        own.map(|&(place, facts)| (place - self.from, facts)).collect()
    }
}

impl From<Receipt> for Claim {
    fn from(receipt: Receipt) -> Self {
        Self { sequence: receipt.sequence, attempt: receipt.attempt, epoch: receipt.epoch }
    }
}
