//! What waits for the journal: replies and deliveries, with the index that must be durable before they leave.

use std::collections::VecDeque;

use tokio::sync::{mpsc, oneshot};

use super::board::Watch;
use super::changes::Moved;
use super::error::BrokerError;
use super::request::{Delivery, Feed, LeaseView, MessageState, Page, Peeked, QueueView, Refused, Reply};
use super::topics::{TopicResult, TopicView};
use super::transactions::TransactionResult;
use crate::store::{Backup, ReadError, Reader};
use crate::types::{Lane, LaneId, Published, QueueId, QueueName, Sequence, StoredMessage, TopicName, Touch};

/// A reply and what it says.
pub(super) struct Answer<T> {
    reply: Reply<T>,
    result: Result<T, BrokerError>,
}

/// One thing that leaves the broker.
pub(super) enum Departure {
    Published(Answer<Published>),
    Settled(Answer<Vec<Refused>>),
    Counted(Answer<u64>),
    Moved(Answer<Moved>),
    Queue(Answer<QueueView>),
    Queues(Answer<Page<QueueView, QueueName>>),
    Leases(Answer<Page<LeaseView, Sequence>>),
    Received(Answer<Vec<Delivery>>),
    ToTopic(Answer<Vec<TopicResult>>),
    Transacted(Answer<Vec<TransactionResult>>),
    Topic(Answer<TopicView>),
    Topics(Answer<Page<TopicView, TopicName>>),
    Done(Answer<()>),
    Opened(Answer<mpsc::UnboundedReceiver<Feed>>),
    Peeked(Answer<Page<Peeked, Sequence>>),
    Peek(PeekJob),
    Watching(Answer<Watch>),
    Ordered(Answer<oneshot::Receiver<Result<Backup, ReadError>>>),
    Fed(mpsc::UnboundedSender<Feed>, Feed),
    Drained(oneshot::Sender<()>),
}

impl Departure {
    /// Leaves. What is still to be read from disk is read by a reader of its own.
    pub(super) fn leave(self, reader: impl FnOnce() -> Reader) {
        match self {
            Self::Published(answer) => answer.send(),
            Self::Settled(answer) => answer.send(),
            Self::Counted(answer) => answer.send(),
            Self::Moved(answer) => answer.send(),
            Self::Queue(answer) => answer.send(),
            Self::Queues(answer) => answer.send(),
            Self::Leases(answer) => answer.send(),
            Self::Received(answer) => answer.send(),
            Self::ToTopic(answer) => answer.send(),
            Self::Transacted(answer) => answer.send(),
            Self::Topic(answer) => answer.send(),
            Self::Topics(answer) => answer.send(),
            Self::Done(answer) => answer.send(),
            Self::Opened(answer) => answer.send(),
            Self::Peeked(answer) => answer.send(),
            Self::Watching(answer) => answer.send(),
            Self::Ordered(answer) => answer.send(),
            Self::Peek(job) => job.start(reader()),
            // A stream that is gone has said so, or is about to: its messages go back with that.
            Self::Fed(line, feed) => _ = line.send(feed),
            Self::Drained(done) => _ = done.send(()),
        }
    }
}

impl<T> Answer<T> {
    pub(super) fn new(reply: Reply<T>, result: Result<T, BrokerError>) -> Self {
        Self { reply, result }
    }

    /// Nobody may be waiting any more; what was done stays done.
    pub(super) fn send(self) {
        let _ = self.reply.send(self.result);
    }
}

/// A peek whose bodies are still to be read from disk, by a reader of its own.
pub(super) struct PeekJob {
    pub(super) reply: Reply<Page<Peeked, Sequence>>,
    /// What is known to be wanted, by sequence; may be more than that.
    pub(super) found: Vec<Found>,
    /// Untouched messages of lanes, from where to where, that are on disk.
    pub(super) cold: Vec<(LaneId, Sequence, Sequence)>,
    /// How many are wanted.
    pub(super) count: usize,
    /// What is touched was looked at up to here.
    pub(super) horizon: Sequence,
    pub(super) queue: QueueId,
    /// How much all of it may be.
    pub(super) bytes: usize,
}

/// A message that a peek is to show.
pub(super) struct Found {
    pub(super) sequence: Sequence,
    pub(super) lane: Lane,
    pub(super) state: MessageState,
    pub(super) touch: Option<Touch>,
    pub(super) message: Option<StoredMessage>,
}

/// Departures in the order of their entries.
#[derive(Default)]
pub(super) struct Outbox {
    waiting: VecDeque<(u64, Vec<Departure>)>,
}

impl Outbox {
    pub(super) fn add(&mut self, index: u64, departures: Vec<Departure>) {
        if departures.is_empty() {
            return;
        }
        match self.waiting.back_mut() {
            Some((last, more)) if *last == index => more.extend(departures),
            Some(_) | None => self.waiting.push_back((index, departures)),
        }
    }

    /// Takes what may leave once `index` is reached.
    pub(super) fn take(&mut self, index: u64) -> Vec<Departure> {
        let ready = self.waiting.partition_point(|&(at, _)| at <= index);
        self.waiting.drain(..ready).flat_map(|(_, departures)| departures).collect()
    }
}
