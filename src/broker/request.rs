//! What may be asked of the broker, and what it answers.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::board::Watch;
use super::changes::{Patch, Relocation};
use super::topics::{TopicPublish, TopicRequest};
use super::transactions::Transacting;
use crate::engine::{Credit, Depth};
use crate::store::{Backup, ReadError};
use crate::types::{
    Consumer, Content, Duration, FactsByPlace, Full, HolderId, Lease, Priority, Published, QueueName,
    QueueRecord, QueueSettings, Receipt, ReceiptFailure, Retry, RoutingPattern, Sequence, SettingsError,
    SettingsField, StoredMessage, Timestamp, TopicName, Touch,
};

/// Why the broker did not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// There is no such queue.
    #[error("there is no queue {0}; create it with CreateQueue (`bbq queue create {0}`)")]
    NoQueue(QueueName),
    /// There is one, but it is another.
    #[error("queue {0} exists with other settings; delete it first, or ask for the settings it has")]
    OtherSettings(QueueName),
    /// A setting may change only while the queue is empty.
    #[error(
        "queue {0} has messages, and {name} may change only while it has none; drain or purge it first",
        name = .1.name()
    )]
    NotEmpty(QueueName, SettingsField),
    /// Dead-letter queues would form a circle.
    #[error("dead_letter_queue: {}; dead letters would go round and round", circle(.0))]
    Cycle(Vec<QueueName>),
    /// The queue can't go, because another one needs it.
    #[error(
        "queue {queue} is the dead-letter queue of {by}; set another one there first \
         (`bbq queue update {by} --dead-letter-queue ''`)"
    )]
    InUse {
        /// The queue.
        queue: QueueName,
        /// Who needs it.
        by: QueueName,
    },
    /// Settings don't go together.
    #[error(transparent)]
    Settings(SettingsError),
    /// The store has more to write than it should; whoever adds to it waits.
    #[error("the store is behind; try again in a moment")]
    Behind,
    /// A queue has no room for what was published.
    #[error(
        "queue {0} is full: {1}; consume or purge messages, raise the limit, or let the queue drop the oldest \
         (overflow DROP_OLDEST)"
    )]
    Full(QueueName, Full),
    /// A message has an id that its queue would not remember.
    #[error(
        "queue {0} has no deduplication_window, so that a deduplication_id has no effect: set one, or leave the id unset"
    )]
    NoDeduplication(QueueName),
    /// A message has a priority, where all go in one order.
    #[error("queue {0} is FIFO, where a priority has no effect: leave it at 0, or use an UNORDERED queue")]
    NoPriorities(QueueName),
    /// The server remembers as many ids as it may.
    #[error(
        "the server remembers {limit} deduplication ids, and may not remember more (broker.deduplication_ids_max); \
         publish without an id, wait until some are forgotten, shorten windows, or raise the limit"
    )]
    TooManyIds {
        /// How many there may be.
        limit: usize,
    },
    /// There is no such topic.
    #[error("there is no topic {0}; create it with CreateTopic (`bbq topic create {0}`)")]
    NoTopic(TopicName),
    /// There is no such binding.
    #[error(
        "topic {topic} has no binding of queue {queue} with just the pattern {pattern:?} and these attributes; \
         ListTopics (`bbq topic list`) shows those that it has",
        pattern = .pattern.as_str()
    )]
    NoBinding {
        /// The topic.
        topic: TopicName,
        /// The queue.
        queue: QueueName,
        /// The pattern.
        pattern: RoutingPattern,
    },
    /// It has as many bindings as it may have.
    #[error("topic {topic} has {limit} bindings, the limit; take some back, or use another topic")]
    TooManyBindings {
        /// The topic.
        topic: TopicName,
        /// How many there may be.
        limit: usize,
    },
    /// The queue can't be deleted while a topic's binding names it.
    #[error(
        "queue {queue} is bound to topic {topic} with the pattern {pattern:?}; take that back first, with Unbind \
         (`bbq topic unbind {topic} {queue}`) or by deleting the topic",
        pattern = .pattern.as_str()
    )]
    QueueBound {
        /// The queue.
        queue: QueueName,
        /// The topic.
        topic: TopicName,
        /// The binding's pattern.
        pattern: RoutingPattern,
    },
    /// The queues of a topic would get too many messages at once.
    #[error(
        "the queues of topic {topic} would get more than {limit} messages altogether (broker.routed_messages); \
         publish fewer in one call"
    )]
    RoutedMessages {
        /// The topic.
        topic: TopicName,
        /// How many one call may make.
        limit: u64,
    },
    /// All queues together would get too many bytes at once.
    #[error(
        "all queues together would get {bytes} bytes, the limit is {limit} (broker.routed_bytes); publish less in one \
         call"
    )]
    RoutedBytes {
        /// How many.
        bytes: u64,
        /// How many one call may make.
        limit: u64,
    },
    /// A receipt of a transaction settles nothing.
    #[error(
        "acks[{ack}].receipts[{receipt}] of queue {queue} settles nothing ({}); nothing of the transaction was done",
        reason(*.why)
    )]
    Stale {
        /// The queue.
        queue: QueueName,
        /// The place of its acks.
        ack: usize,
        /// The receipt's place there.
        receipt: usize,
        /// Why.
        why: ReceiptFailure,
    },
    /// Another transaction has that id.
    #[error(
        "transaction_id {0:?} names another transaction, with other contents; give each one an id of its own"
    )]
    OtherTransaction(String),
    /// A transaction does more than can be remembered.
    #[error(
        "the transaction goes to {entries} runs of messages in queues, {limit} can be remembered; make it smaller, or \
         leave transaction_id unset"
    )]
    LargeTransaction {
        /// How much it is.
        entries: usize,
        /// How much can be remembered.
        limit: usize,
    },
    /// The server is going down.
    #[error("the server is shutting down; connect again in a moment")]
    Draining,
    /// The store failed; the process is about to end.
    #[error(
        "the store failed; the server stops, its log says why, and it can be started again when the cause is gone"
    )]
    StoreFailed,
    /// Another backup is under way.
    #[error("another backup is being taken; wait for its end")]
    BackupRunning,
    /// The state files could not be copied.
    #[error("the backup failed; the server's log says why")]
    Backup,
    /// A message could not be read back.
    #[error("reading from the store failed; the server's log says why")]
    Read,
}

fn reason(why: ReceiptFailure) -> &'static str {
    match why {
        ReceiptFailure::Superseded => "a later attempt holds, or held, the message",
        ReceiptFailure::Expired => "its lease ended",
        ReceiptFailure::Gone => "the message is gone",
        ReceiptFailure::Unknown => "it is not a receipt of this queue",
    }
}

fn circle(names: &[QueueName]) -> String {
    names.iter().map(QueueName::as_str).collect::<Vec<_>>().join(" -> ")
}

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
        reply: Reply<u64>,
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
    /// Dead messages were.
    DeadRead(super::read_ahead::Loaded),
    /// Sizes were read from disk.
    Sized(super::publishing::Sized),
    /// End all streams and refuse what comes.
    Drain(oneshot::Sender<()>),
    /// Finish: nothing more will be asked.
    Stop,
}
