//! Why the broker did not do what it was asked to, each with the way out.

use crate::types::{
    Attributes, Duration, Full, QueueName, ReceiptFailure, RoutingPattern, SettingsError, SettingsField,
    TopicName,
};

/// Why the broker did not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// There is no such queue.
    #[error(
        "there is no queue {0}; ListQueues (`bbq queue list`) shows those that are there, CreateQueue (`bbq queue create {0}`) \
         makes it"
    )]
    NoQueue(QueueName),
    /// There is one, but it is another.
    #[error(
        "queue {0} exists with other settings ({names}); ask for those it has, or change them with UpdateQueue (`bbq queue update {0}`)",
        names = names(.1)
    )]
    OtherSettings(QueueName, Vec<SettingsField>),
    /// A setting may change only while the queue is empty.
    #[error(
        "queue {0} has messages, and {name} may change only while it has none; drain or purge it first",
        name = .1.name()
    )]
    NotEmpty(QueueName, SettingsField),
    /// It can't be without a dead-letter queue, because messages wait for that.
    #[error(
        "what queue {queue} gave up ({dead} in the state dead) waits for its dead-letter queue {waits_for}, and nothing else \
         would take it: create that (`bbq queue create {waits_for}`), name another one, or purge queue {queue}"
    )]
    DeadWait {
        /// The queue.
        queue: QueueName,
        /// How many there are.
        dead: u64,
        /// Its dead-letter queue.
        waits_for: QueueName,
    },
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
    #[error("queue {0} is full: {1}")]
    Full(QueueName, Full),
    /// A message has an id that its queue would not remember.
    #[error(
        "queue {0} has no deduplication_window, so that a deduplication_id has no effect: set one, or leave the id unset"
    )]
    NoDeduplication(QueueName),
    /// A message has a priority, where all go in one order.
    #[error(
        "queue {0} keeps an order, where a priority has no effect: leave it at 0, or use an UNORDERED queue"
    )]
    NoPriorities(QueueName),
    /// A message has a delay, where those behind it would have to wait, too.
    #[error(
        "queue {0} keeps its messages in order, where one with a delay would hold up those behind it: leave delay unset, or \
         use an UNORDERED queue"
    )]
    NoDelays(QueueName),
    /// A message would have no time left when its delay ends.
    #[error(
        "a message's delay is {delay}, and in queue {queue} its time is over after {limit} (time_to_live): shorten the \
         delay, or change the queue"
    )]
    LateDelay {
        /// The queue.
        queue: QueueName,
        /// The delay.
        delay: Duration,
        /// The queue's time to live.
        limit: Duration,
    },
    /// There are as many messages with a delay as there may be.
    #[error(
        "all queues together hold {held} messages that were published with a delay, and may hold {limit} \
         (broker.delayed_messages_max); publish without a delay, wait until some are consumed, or raise the limit"
    )]
    TooManyDelayed {
        /// How many there are.
        held: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A message has an ordering key, where it would count for nothing.
    #[error(
        "queue {0} does not order by key, so that an ordering_key has no effect: leave it unset, or use a queue with ordering \
         BY_KEY"
    )]
    NoKeys(QueueName),
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
    #[error(
        "there is no topic {0}; ListTopics (`bbq topic list`) shows those that are there, CreateTopic (`bbq topic create {0}`) \
         makes it"
    )]
    NoTopic(TopicName),
    /// There is no such binding.
    #[error(
        "topic {topic} has no binding of queue {queue} with just the pattern {pattern:?} and {}; ListTopics \
         (`bbq topic list`) shows those that it has",
        pairs(.attributes),
        pattern = .pattern.as_str()
    )]
    NoBinding {
        /// The topic.
        topic: TopicName,
        /// The queue.
        queue: QueueName,
        /// The pattern.
        pattern: RoutingPattern,
        /// The attributes.
        attributes: Attributes,
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
        "queue {queue} is bound to topic {topic}; take that back first, with Unbind \
         (`bbq topic unbind {topic} {queue}{}`) or by deleting the topic",
        flags(.pattern, .attributes)
    )]
    QueueBound {
        /// The queue.
        queue: QueueName,
        /// The topic.
        topic: TopicName,
        /// The binding's pattern.
        pattern: RoutingPattern,
        /// Its attributes.
        attributes: Attributes,
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

fn names(fields: &[SettingsField]) -> String {
    fields.iter().map(|field| field.name()).collect::<Vec<_>>().join(", ")
}

fn pairs(attributes: &Attributes) -> String {
    let pairs: Vec<_> = attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if pairs.is_empty() { "no attributes".to_owned() } else { format!("the attributes {}", pairs.join(", ")) }
}

/// What the command needs to name a binding.
fn flags(pattern: &RoutingPattern, attributes: &Attributes) -> String {
    let pattern = Some(pattern.as_str()).filter(|pattern| !pattern.is_empty());
    let pattern = pattern.map(|pattern| format!(" --pattern '{pattern}'"));
    let attributes = attributes.iter().map(|(key, value)| format!(" --attr '{key}={value}'"));
    pattern.into_iter().chain(attributes).collect()
}

fn circle(names: &[QueueName]) -> String {
    names.iter().map(QueueName::as_str).collect::<Vec<_>>().join(" -> ")
}
