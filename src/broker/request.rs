//! What may be asked of the broker, and what it answers.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::board::Watch;
use super::changes::{Moved, Patch, Relocation};
use super::error::BrokerError;
use super::topics::{TopicPublish, TopicRequest};
use super::transactions::Transacting;
use crate::engine::{Credit, Depth};
use crate::store::{Backup, ReadError};
use crate::types::{
    Consumer, Content, Duration, FactsByPlace, HolderId, Lease, Priority, Published, QueueName, QueueRecord,
    QueueSettings, Receipt, ReceiptFailure, Retry, Sequence, StoredMessage, Timestamp, Touch,
};

/// A reply's way back to who asked.
pub(super) type Reply<T> = oneshot::Sender<Result<T, BrokerError>>;

/// A message on its way to a consumer.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Names this attempt; none if the message is gone with its delivery.
    pub receipt: Receipt,
    /// When the lease ends; none in an at-most-once queue.
    pub lease_expires_at: Option<Timestamp>,
    /// The message.
    pub message: StoredMessage,
}

/// What to do with what receipts name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It is done.
    Ack,
    /// It could not be handled.
    Nack {
        /// When to try again, if ever.
        retry: Retry,
        /// Why, for the dead-letter queue; may be empty.
        reason: Arc<str>,
    },
    /// It is still being worked on: so long from now, or as long as the queue says.
    Extend(Option<Duration>),
}

/// A receipt that settled nothing: its place in the call, and why.
pub type Refused = (usize, ReceiptFailure);

/// How a consumer wants its messages.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The most it holds.
    pub credit: Credit,
    /// How long a lease lasts; as the queue says if none.
    pub lease_duration: Option<Duration>,
    /// Who it is.
    pub consumer: Arc<Consumer>,
}

/// A queue as it stands.
#[derive(Clone, Debug)]
pub struct QueueView {
    /// What is kept of it.
    pub record: QueueRecord,
    /// What is in it.
    pub depth: Depth,
    /// Subscribe streams and waiting Receive calls.
    pub consumers: u64,
}

/// A message as it lies in its queue.
#[derive(Clone, Debug)]
pub struct Peeked {
    /// Its priority.
    pub priority: Priority,
    /// The message.
    pub message: StoredMessage,
    /// Where it stands.
    pub state: MessageState,
    /// Its delivery state, if it was ever leased.
    pub touch: Option<Touch>,
}

/// A lease that stands.
#[derive(Clone, Debug)]
pub struct LeaseView {
    /// The message.
    pub sequence: Sequence,
    /// Which attempt it is.
    pub attempt: u32,
    /// The lease.
    pub lease: Lease,
}

/// A part of a listing.
#[derive(Clone, Debug)]
pub struct Page<T, K> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where the next one begins, if there is one.
    pub next: Option<K>,
}

/// Where a message stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageState {
    /// The next consumer gets it.
    Ready,
    /// It waits for its time.
    Delayed,
    /// A consumer holds it.
    Leased,
    /// It waits behind another message of its key.
    Parked,
    /// It waits for the dead-letter queue.
    Dead,
}

/// A range of a listing that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window<K> {
    /// The first that is wanted.
    pub from: K,
    /// The most that are wanted.
    pub count: usize,
}

/// A publish, with its share of the inbox.
pub(super) struct Publish {
    pub(super) queue: QueueName,
    pub(super) messages: Vec<Content>,
    pub(super) facts: FactsByPlace,
    pub(super) reply: Reply<Published>,
    pub(super) _room: OwnedSemaphorePermit,
}

/// What adds messages, and waits while checkpoints can't keep up.
pub(super) enum Arrival {
    Publish(Publish),
    Topic(Box<TopicPublish>),
    Transact(Box<Transacting>),
}

/// Everything else that is asked.
pub(super) enum Request {
    Topic(TopicRequest),
    Subscribe {
        queue: QueueName,
        holder: HolderId,
        terms: Terms,
        reply: Reply<mpsc::UnboundedReceiver<Feed>>,
    },
    Receive {
        queue: QueueName,
        holder: HolderId,
        terms: Terms,
        reply: Reply<Vec<Delivery>>,
    },
    /// A Receive call has waited long enough. Behind the call itself in the same channel.
    LastCall(HolderId),
    Settle {
        queue: QueueName,
        receipts: Vec<Result<Receipt, ReceiptFailure>>,
        what: Settlement,
        reply: Reply<Vec<Refused>>,
    },
    Create {
        queue: QueueName,
        settings: QueueSettings,
        reply: Reply<QueueView>,
    },
    Update {
        queue: QueueName,
        patch: Patch,
        reply: Reply<QueueView>,
    },
    Relocate {
        queue: QueueName,
        messages: Vec<Relocation>,
        reply: Reply<Moved>,
    },
    Delete {
        queue: QueueName,
        reply: Reply<u64>,
    },
    Purge {
        queue: QueueName,
        reply: Reply<u64>,
    },
    Show {
        queue: QueueName,
        reply: Reply<QueueView>,
    },
    List {
        window: Window<String>,
        prefix: String,
        reply: Reply<Page<QueueView, QueueName>>,
    },
    /// The first message that was never leased.
    Oldest {
        queue: QueueName,
        reply: Reply<Page<Peeked, Sequence>>,
    },
    Peek {
        queue: QueueName,
        window: Window<Sequence>,
        state: Option<MessageState>,
        bytes: usize,
        reply: Reply<Page<Peeked, Sequence>>,
    },
    Leases {
        queue: QueueName,
        window: Window<Sequence>,
        reply: Reply<Page<LeaseView, Sequence>>,
    },
    Watch(Reply<Watch>),
    Backup(Reply<oneshot::Receiver<Result<Backup, ReadError>>>),
}

/// What reaches a stream.
#[derive(Debug)]
pub(super) enum Feed {
    Deliveries(Vec<Delivery>),
    End(BrokerError),
}

/// What consumers and the broker's own readers tell it. It can't be refused, so it has a channel of its own; each
/// holder sends one `Left`, and one `Taken` for each delivery, at most. A notice may overtake a request: a request whose
/// asker is gone is skipped.
pub(super) enum Notice {
    /// A consumer is gone.
    Left(HolderId),
    /// The transport took messages that were gone when they were handed out: their credit comes back.
    Taken(HolderId, Vec<u32>),
    /// Messages were read from disk.
    Loaded(super::read_ahead::Loaded),
    /// What stands in front of a queue was.
    FrontRead(super::read_ahead::Loaded),
    /// Dead messages were.
    DeadRead(super::read_ahead::Loaded),
    /// Sizes were read from disk.
    Sized(super::publishing::Sized),
    /// A queue holds less than before, for those that wait for room.
    Trimmed(crate::types::QueueId),
    /// End all streams and refuse what comes.
    Drain(oneshot::Sender<()>),
    /// Finish: nothing more will be asked.
    Stop,
}
