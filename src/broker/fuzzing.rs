//! A broker that hears what is asked of it, looks whether that is within the bounds of `docs/PROTOCOL.md`, and does none of it.
//!
//! Whoever asks is told that it drains, except for who wants to see a queue: that is there, and empty.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use tokio::sync::{Semaphore, mpsc};

use super::attributes::ordering_key;
use super::dead_letters::revived;
use super::gauges::Depths;
use super::handle::Handle;
use super::request::{Arrival, QueueView, Request, Settlement, Terms};
use super::topics::{NamedBinding, TopicRequest};
use super::transactions::{Target, Transacting};
use crate::engine::Depth;
use crate::types::{
    Attributes, Content, DEDUPLICATION_MAX, DELAY_MAX, Duration, FactsByPlace, LEASE_MAX, LEASE_MIN, Lanes,
    QueueId, QueueName, QueueRecord, QueueSettings, RETRY_DELAY_MAX, Receipt, ReceiptFailure, Retry,
    RetryBackoff, RoutingKey, RoutingPattern, Sequence, Timestamp, TopicName,
};

/// The most of an answer.
const ANSWER_BYTES: u64 = 4 << 20;
/// The most rows of a page.
const PAGE_MAX: usize = 1000;

/// Bounds that a server's owner sets.
pub struct Bounds {
    /// Of a message, all of it.
    pub message_bytes: usize,
    /// Messages and receipts of a call.
    pub items: usize,
    /// What a consumer may hold.
    pub in_flight_messages: u32,
    /// The same in bytes.
    pub in_flight_bytes: u64,
}

/// The other end of a handle.
pub struct Listener {
    arrivals: mpsc::Receiver<Arrival>,
    requests: mpsc::Receiver<Request>,
    bounds: Bounds,
    /// How often something was asked.
    pub questions: usize,
    /// The queues and topics that it was about.
    pub names: Vec<String>,
}

/// A way to no broker, and who listens there.
pub fn listen(bounds: Bounds) -> (Handle, Listener) {
    const ROOM_BYTES: u32 = 64 << 20;
    let (publishes, arrivals) = mpsc::channel(1);
    let (requests, inbox) = mpsc::channel(1);
    let handle = Handle {
        depths: Depths::channel().1,
        publishes,
        requests,
        // Nobody reads them, as if the broker had ended.
        notices: mpsc::unbounded_channel().0,
        room: Arc::new(Semaphore::new(usize::try_from(ROOM_BYTES).unwrap_or(usize::MAX))),
        room_bytes: ROOM_BYTES,
        holders: Arc::new(AtomicU64::new(0)),
        stopped: Arc::new(OnceLock::new()),
    };
    (handle, Listener { arrivals, requests: inbox, bounds, questions: 0, names: Vec::new() })
}

impl Listener {
    /// Listens until it is dropped.
    pub async fn listen(&mut self) -> std::convert::Infallible {
        loop {
            tokio::select! {
                Some(arrival) = self.arrivals.recv() => self.arrival(arrival),
                Some(request) = self.requests.recv() => self.request(request),
                else => std::future::pending().await,
            }
        }
    }

    fn arrival(&mut self, arrival: Arrival) {
        self.questions += 1;
        match arrival {
            Arrival::Publish(publish) => {
                self.queue(&publish.queue);
                self.messages(&publish.messages, &publish.facts);
            }
            Arrival::Topic(publish) => {
                self.topic(&publish.topic);
                key(&publish.key);
                self.messages(&publish.messages, &publish.facts);
                assert_eq!(publish.attributes.len(), publish.messages.len());
                publish.attributes.iter().for_each(|some| attributes(some, 64, 64 << 10));
            }
            Arrival::Transact(transacting) => self.transaction(&transacting),
        }
    }

    fn request(&mut self, request: Request) {
        self.questions += 1;
        match request {
            Request::Topic(request) => self.topic_request(&request),
            Request::Subscribe { queue, terms, .. } => {
                self.queue(&queue);
                self.terms(&terms, self.bounds.in_flight_messages, self.bounds.in_flight_bytes);
            }
            Request::Receive { queue, terms, .. } => {
                self.queue(&queue);
                self.terms(&terms, 1000, ANSWER_BYTES);
            }
            Request::Settle { queue, receipts, what, .. } => {
                self.queue(&queue);
                assert!((1..=self.bounds.items).contains(&receipts.len()));
                settlement(&receipts, &what);
            }
            Request::Create { queue, settings, .. } => {
                self.settings(&queue, &settings);
                assert_eq!(settings.check(), Ok(()));
            }
            Request::Update { queue, patch, .. } => {
                self.settings(&queue, &patch.settings);
                assert!(!patch.fields.is_empty());
                let named = QueueSettings::default().with(&patch.settings, &patch.fields);
                assert_eq!(named, patch.settings, "what the mask does not name is not looked at");
            }
            Request::Show { queue, reply } => {
                self.queue(&queue);
                // Who asked may be gone.
                let _ = reply.send(Ok(empty(queue)));
            }
            Request::Delete { queue, .. } | Request::Purge { queue, .. } | Request::Oldest { queue, .. } => {
                self.queue(&queue);
            }
            Request::List { window, .. } => assert!((1..=PAGE_MAX).contains(&window.count)),
            Request::Peek { queue, window, bytes, .. } => {
                self.queue(&queue);
                assert!((1..=PAGE_MAX).contains(&window.count) && (1..=4 << 20).contains(&bytes));
            }
            Request::Leases { queue, window, .. } => {
                self.queue(&queue);
                assert!((1..=PAGE_MAX).contains(&window.count));
            }
            Request::LastCall(_) | Request::Watch(_) | Request::Backup(_) => {}
            Request::Relocate { .. } => panic!("the queue is empty: there is nothing to move"),
        }
    }

    fn topic_request(&mut self, request: &TopicRequest) {
        match request {
            TopicRequest::Create { topic, .. } | TopicRequest::Delete { topic, .. } => self.topic(topic),
            TopicRequest::Bind { topic, binding, .. } | TopicRequest::Unbind { topic, binding, .. } => {
                let NamedBinding { queue, pattern, attributes: wanted } = binding;
                self.topic(topic);
                self.queue(queue);
                assert_eq!(queue.namespace(), topic.namespace());
                let text = pattern.to_string();
                assert!(text.len() <= 255);
                assert_eq!(text.parse::<RoutingPattern>().as_ref(), Ok(pattern));
                attributes(wanted, 16, 4 << 10);
            }
            TopicRequest::List { window, .. } => assert!((1..=PAGE_MAX).contains(&window.count)),
        }
    }

    fn transaction(&mut self, transacting: &Transacting) {
        let Transacting { id, acks, targets, messages, facts, .. } = transacting;
        assert!(acks.len() + targets.len() > 0);
        let mut namespaces = Vec::new();
        let mut items = messages.len();
        for (queue, receipts) in acks {
            self.queue(queue);
            namespaces.push(queue.namespace());
            assert!(!receipts.is_empty());
            settlement(receipts, &Settlement::Ack);
            items += receipts.len();
        }
        for target in targets {
            match &target.target {
                Target::Queue(queue) => {
                    self.queue(queue);
                    namespaces.push(queue.namespace());
                }
                Target::Topic(topic, routing_key) => {
                    self.topic(topic);
                    namespaces.push(topic.namespace());
                    key(routing_key);
                    target.attributes.iter().for_each(|some| attributes(some, 64, 64 << 10));
                }
            }
        }
        assert!(namespaces.iter().all(|namespace| *namespace == namespaces[0]));
        assert!((1..=self.bounds.items).contains(&items));
        if !targets.is_empty() {
            self.messages(messages, facts);
        }
        if let Some(id) = id {
            assert!((1..=256).contains(&id.id.len()));
            assert_eq!(id.namespace, namespaces[0]);
        }
    }

    fn messages(&self, messages: &[Content], facts: &FactsByPlace) {
        assert!((1..=self.bounds.items).contains(&messages.len()));
        for content in messages {
            assert!(content.0.len() <= self.bounds.message_bytes);
            // They are read again where they lie, by those that take them apart without decoding.
            let _ = (ordering_key(content), revived(content));
        }
        for (place, facts) in facts {
            assert!(usize::try_from(*place).is_ok_and(|place| place < messages.len()));
            assert!(facts.delay <= DELAY_MAX);
        }
        assert!(facts.is_sorted_by_key(|(place, _)| *place));
    }

    fn terms(&self, terms: &Terms, messages: u32, bytes: u64) {
        assert!((1..=messages).contains(&terms.credit.messages));
        assert!((1..=bytes).contains(&terms.credit.bytes));
        terms.lease_duration.iter().for_each(lease);
        assert!(terms.consumer.name.len() <= 128);
    }

    fn settings(&mut self, queue: &QueueName, settings: &QueueSettings) {
        self.queue(queue);
        lease(&settings.lease_duration);
        assert!(settings.deduplication_window <= DEDUPLICATION_MAX);
        if let Some(RetryBackoff { initial, multiplier_thousandths, max }) = settings.retry_backoff {
            assert!((Duration(1)..=max).contains(&initial) && max <= RETRY_DELAY_MAX);
            assert!((1000..=1_000_000).contains(&multiplier_thousandths));
        }
        if let Some(dead) = &settings.dead_letter_queue {
            self.queue(dead);
            assert_eq!(dead.namespace(), queue.namespace());
        }
    }

    fn queue(&mut self, name: &QueueName) {
        assert_eq!(name.as_str().parse().as_ref(), Ok(name));
        self.names.push(name.to_string());
    }

    fn topic(&mut self, name: &TopicName) {
        assert_eq!(name.as_str().parse().as_ref(), Ok(name));
        self.names.push(name.to_string());
    }
}

fn settlement(receipts: &[Result<Receipt, ReceiptFailure>], what: &Settlement) {
    for receipt in receipts.iter().flatten() {
        assert_eq!(receipt.to_string().parse(), Ok(*receipt));
    }
    match what {
        Settlement::Ack => {}
        Settlement::Nack { retry, reason } => {
            assert!(reason.len() <= 1 << 10);
            match retry {
                Retry::After(delay) => assert!(*delay <= RETRY_DELAY_MAX),
                Retry::Backoff | Retry::Never => {}
            }
        }
        Settlement::Extend(duration) => duration.iter().for_each(lease),
    }
}

fn lease(duration: &Duration) {
    assert!((LEASE_MIN..=LEASE_MAX).contains(duration));
}

fn key(key: &RoutingKey) {
    let text = key.words().collect::<Vec<_>>().join(".");
    assert!(text.len() <= 255);
    assert_eq!(text.parse::<RoutingKey>().as_ref(), Ok(key));
}

fn attributes(attributes: &Attributes, count: usize, bytes: usize) {
    assert!(attributes.len() <= count);
    assert!(attributes.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() <= bytes);
    assert!(attributes.keys().all(|key| !key.is_empty() && !key.starts_with("bbq-")));
}

fn empty(name: QueueName) -> QueueView {
    let record = QueueRecord {
        id: QueueId(1),
        name,
        settings: QueueSettings::default(),
        created_at: Timestamp(0),
        lanes: Lanes::default(),
        next_sequence: Sequence(1),
        remembered_from: Sequence(1),
        expiring_before: Sequence(1),
    };
    QueueView { record, depth: Depth::default(), consumers: 0 }
}
