//! What happens together or not at all: one message to all queues of a topic, and transactions.

use std::sync::Arc;
use std::time::Duration;

use bbq_client::proto::publish_request::Target;
use bbq_client::{Client, Delivery, Error, Message, proto};
use rand::RngExt as _;

use super::{Actor, CALL_LEASE_MS, pause, settled, unsent};
use crate::history::{Event, Id, Kind, Lease, Limits, Outcome, Publish, Queue, Verdict, content};

pub const TOPIC: &str = "news";
/// What gets everything from the topic, and from the transactions.
pub const BOTH: [Queue; 2] = ["left", "right"];
/// What transactions ack in.
const FROM: Queue = "orders";

/// Makes the topic and its bindings, if they are not there.
pub async fn create(client: &Client) -> Result<(), Error> {
    let there = |done: Result<(), Error>| match done {
        Err(Error::AlreadyExists(_)) => Ok(()),
        other => other,
    };
    there(client.create_topic(TOPIC).await.map(drop))?;
    for queue in BOTH {
        let binding = proto::Binding { queue: queue.to_owned(), ..proto::Binding::default() };
        there(client.bind(TOPIC, binding).await)?;
    }
    Ok(())
}

impl Actor {
    /// A message that goes to both queues, recorded as about to be sent.
    fn both(&mut self, acks: &[Lease]) -> (Id, Message) {
        let (id, message) = self.message();
        let content = content(&message.body, &message.attributes);
        let publishes = BOTH.map(|queue| Publish { queue, id }).to_vec();
        let sending = |queue| Event::Sending { queue, id, content, limits: Limits::default() };
        let settling = |lease: &Lease| Event::Settling { lease: *lease, verdict: Verdict::Ack };
        let together = Event::Together { publishes, acks: acks.to_vec() };
        let events = [together].into_iter().chain(BOTH.map(sending)).chain(acks.iter().map(settling));
        self.load.witness.record_all(events);
        (id, message)
    }

    /// To the topic, one call after the other.
    pub(super) async fn announce(mut self) {
        loop {
            self.room().await;
            let (id, message) = self.both(&[]);
            let event = |routed: proto::RoutedMessage| {
                let queue = BOTH.into_iter().find(|queue| *queue == routed.queue).expect("it is bound");
                Event::Confirmed { queue, id, sequence: routed.sequence }
            };
            let events = match self.client.publish_to_topic(TOPIC, "a.b", message).await {
                Ok(routed) => {
                    assert_eq!(routed.len(), BOTH.len(), "both are bound");
                    routed.into_iter().map(event).collect()
                }
                Err(error) => Vec::from_iter(unsent(id, &error)),
            };
            self.load.witness.record_all(events);
        }
    }

    /// Takes some messages and settles them with a transaction that publishes others.
    pub(super) async fn transact(mut self) {
        loop {
            self.room().await;
            let lease = self.rng.random_range(CALL_LEASE_MS);
            let call = self.load.witness.open(FROM, Kind::Receive, lease);
            let (max, wait) = (self.rng.random_range(1..=3), Duration::from_millis(50));
            let taken = self.client.receive(FROM, max, wait, Some(Duration::from_millis(lease))).await;
            if taken.is_ok() {
                self.load.witness.record(Event::Answered { call });
            }
            let taken = taken.unwrap_or_default();
            let leases: Vec<_> = taken.iter().map(|one| self.load.delivered(FROM, call, one)).collect();
            if !leases.is_empty() {
                self.transaction(&leases, &taken).await;
            }
            pause(&mut self.rng).await;
        }
    }

    async fn transaction(&mut self, leases: &[Lease], taken: &[Delivery]) {
        let witness = Arc::clone(&self.load.witness);
        let (id, message) = self.both(leases);
        let receipts = taken.iter().map(|one| one.receipt().to_owned()).collect();
        let publish = |queue: &Queue| proto::PublishRequest {
            target: Some(Target::Queue((*queue).to_owned())),
            routing_key: String::new(),
            messages: vec![message.clone().into()],
        };
        let named = self.rng.random_bool(0.5);
        let request = proto::TransactRequest {
            acks: vec![proto::AckRequest { queue: FROM.to_owned(), receipts }],
            publishes: BOTH.iter().map(publish).collect(),
            transaction_id: if named { id.0.to_string() } else { String::new() },
        };
        let (outcome, events) = match self.client.transact(request).await {
            Ok(published) => {
                let event = |(queue, response): (Queue, proto::PublishResponse)| Event::Confirmed {
                    queue,
                    id,
                    sequence: response.results[0].sequence,
                };
                (Outcome::Done, BOTH.into_iter().zip(published).map(event).collect())
            }
            Err(Error::Aborted(_)) => (Outcome::Refused, vec![Event::Unsent { id }]),
            Err(error) if error.is_unprocessed() => (Outcome::Refused, vec![Event::Unsent { id }]),
            Err(_) => return,
        };
        let settled = |lease: &Lease| settled(*lease, Verdict::Ack, outcome);
        witness.record_all(events.into_iter().chain(leases.iter().map(settled)).collect::<Vec<_>>());
    }
}
