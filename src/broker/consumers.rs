//! Consumers: Subscribe streams and waiting Receive calls, and the queues they wait at.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;

use super::error::BrokerError;
use super::read_ahead::{ReadAhead, Total};
use super::request::{Delivery, Feed, Reply};
use crate::engine::{Credit, Dispatch};
use crate::types::{Consumer as Who, Duration, Holder, HolderId, Offer, QueueId};

/// One consumer.
pub(super) struct Consumer {
    pub(super) queue: QueueId,
    pub(super) lease_duration: Option<Duration>,
    pub(super) who: Arc<Who>,
    pub(super) line: Line,
}

/// How a consumer gets its messages. The channel of a stream needs no bound of its own: credit bounds what is in it.
pub(super) enum Line {
    Stream(mpsc::UnboundedSender<Feed>),
    Receive { reply: Reply<Vec<Delivery>> },
}

/// A queue that has consumers.
pub(super) struct Counter {
    pub(super) dispatch: Dispatch,
    pub(super) ahead: ReadAhead,
    /// How many of its consumers are streams.
    pub(super) streams: usize,
    /// Receive calls that want an answer now, even an empty one, and how many reads had begun when they said so.
    pub(super) last_calls: Vec<(HolderId, u64)>,
}

/// All consumers, by queue. Always true: a queue has a counter if and only if it has a consumer.
#[derive(Default)]
pub(super) struct Consumers {
    all: HashMap<HolderId, Consumer>,
    counters: HashMap<QueueId, Counter>,
    /// What is read ahead for all of them.
    fetched: Total,
}

impl Line {
    /// 1 if it is a stream.
    fn streams(&self) -> usize {
        match self {
            Self::Stream(_) => 1,
            Self::Receive { .. } => 0,
        }
    }
}

impl Consumers {
    pub(super) fn join(&mut self, id: HolderId, credit: Credit, consumer: Consumer) {
        let counter = self.counters.entry(consumer.queue).or_insert_with(|| Counter {
            dispatch: Dispatch::default(),
            ahead: ReadAhead::new(Arc::clone(&self.fetched)),
            streams: 0,
            last_calls: Vec::new(),
        });
        counter.dispatch.join(id, credit);
        counter.streams += consumer.line.streams();
        self.all.insert(id, consumer);
    }

    /// Takes a consumer out of its queue.
    pub(super) fn leave(&mut self, id: HolderId) -> Option<Consumer> {
        let consumer = self.all.remove(&id)?;
        if let Some(counter) = self.counters.get_mut(&consumer.queue) {
            counter.dispatch.leave(id);
            counter.streams -= consumer.line.streams();
            if counter.dispatch.is_empty() {
                self.counters.remove(&consumer.queue);
            }
        }
        Some(consumer)
    }

    /// What a consumer is offered, with the queue's lease if it has no wish of its own.
    pub(super) fn offer(&self, id: HolderId, standard: Duration) -> Option<Offer> {
        let consumer = self.all.get(&id)?;
        let holder = match consumer.line {
            Line::Stream(_) => Holder::Stream(id),
            Line::Receive { .. } => Holder::Receive(id),
        };
        let duration = consumer.lease_duration.unwrap_or(standard);
        Some(Offer { holder, duration, consumer: Arc::clone(&consumer.who) })
    }

    pub(super) fn consumer(&self, id: HolderId) -> Option<&Consumer> {
        self.all.get(&id)
    }

    pub(super) fn counter(&self, queue: QueueId) -> Option<&Counter> {
        self.counters.get(&queue)
    }

    pub(super) fn counter_mut(&mut self, queue: QueueId) -> Option<&mut Counter> {
        self.counters.get_mut(&queue)
    }

    pub(super) fn at(&self, queue: QueueId) -> Vec<HolderId> {
        self.counters.get(&queue).map(|counter| counter.dispatch.holders().collect()).unwrap_or_default()
    }

    pub(super) fn ids(&self) -> Vec<HolderId> {
        self.all.keys().copied().collect()
    }

    /// Tells every consumer why it ends.
    pub(super) fn end_all(&mut self, why: &BrokerError) {
        for (_, consumer) in self.all.drain() {
            // Whoever is gone needs no reason.
            match consumer.line {
                Line::Stream(line) => _ = line.send(Feed::End(why.clone())),
                Line::Receive { reply } => _ = reply.send(Err(why.clone())),
            }
        }
        self.counters.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Bytes that all queues together have read ahead, or are reading.
    pub(super) fn read_ahead_bytes(&self) -> usize {
        self.fetched.load(Ordering::Relaxed)
    }
}
