//! What happens together or not at all: one message to all queues of a topic, and transactions.

use bbq::broker::{BrokerError, Delivery, NamedBinding, Routed, Target, TransactionResult, Transactional};
use bbq::types::{Attributes, RoutingKey, TransactionId};
use rand::RngExt as _;

use super::clients::Client;
use super::consumers::terms;
use super::messages::{Made, routable};
use super::producers::did_nothing;
use super::queues::{BOTH, ORDERS, everything, name, settings, topic};
use crate::history::{Event, Kind, Lease, Outcome, Publish, Queue, Verdict};

impl Client {
    /// Whether the topic is there, with both queues bound to it.
    async fn bound(&self) -> Result<(), BrokerError> {
        self.handle.create_topic(topic()).await?;
        for queue in BOTH {
            self.handle.create(name(queue), settings(queue)).await?;
            let binding =
                NamedBinding { queue: name(queue), pattern: everything(), attributes: Attributes::new() };
            self.handle.bind(topic(), binding).await?;
        }
        Ok(())
    }

    /// A message that goes to both queues, recorded as about to be sent.
    fn both(&self, acks: &[Lease]) -> Made {
        let made = self.made(BOTH[0]);
        let publishes = BOTH.map(|queue| Publish { queue, id: made.id }).to_vec();
        let sending = |queue| made.sending(queue, self.now());
        let settling = |lease: &Lease| Event::Settling { lease: *lease, verdict: Verdict::Ack };
        let together = Event::Together { publishes, acks: acks.to_vec() };
        let events = [together].into_iter().chain(BOTH.map(sending)).chain(acks.iter().map(settling));
        self.crowd.witness.record_all(events.collect::<Vec<_>>());
        made
    }

    /// To the topic, one call after the other.
    pub(super) async fn announce(self) {
        if self.bound().await.is_err() {
            return;
        }
        loop {
            self.pause(15).await;
            if !self.has_room(BOTH[0]).await {
                self.pause(100).await;
                continue;
            }
            let made = self.both(&[]);
            let publishing = self.handle.publish_to_topic(topic(), RoutingKey::default(), routable(&made));
            let confirmed = |routed: Routed| {
                let queue = BOTH.into_iter().find(|queue| name(queue) == routed.queue).expect("it is bound");
                self.seen(routed.sequence.0);
                Event::Confirmed { queue, id: made.id, sequence: routed.sequence.0 }
            };
            let events = match self.schedule.unless_cancelled(publishing).await {
                Some(Ok(results)) => {
                    results.into_iter().flat_map(|result| result.routed).map(confirmed).collect()
                }
                Some(Err(error)) if did_nothing(&error) => vec![Event::Unsent { id: made.id }],
                Some(Err(_)) | None => Vec::new(),
            };
            self.crowd.witness.record_all(events);
        }
    }

    /// Takes some messages and settles them with a transaction that publishes others.
    pub(super) async fn transact(self) {
        loop {
            self.pause(30).await;
            let (most, lease_ms) = self.draw(|rng| (rng.random_range(1..4), rng.random_range(1000..1500)));
            let call = self.crowd.witness.open(ORDERS, Kind::Receive, lease_ms);
            let soon = tokio::time::sleep(std::time::Duration::from_millis(50));
            let receiving = self.handle.receive(name(ORDERS), terms(most, lease_ms), soon);
            let Some(Ok((taken, handout))) = self.schedule.unless_cancelled(receiving).await else {
                continue;
            };
            self.record(Event::Answered { call });
            let leases: Vec<_> = taken.iter().map(|one| self.delivered(ORDERS, call, one)).collect();
            handout.keep();
            // Some come too late.
            if self.draw(|rng| rng.random_ratio(1, 10)) {
                self.pause(1800).await;
            }
            if !leases.is_empty() && self.has_room(BOTH[0]).await {
                self.transaction(&leases, &taken).await;
            }
        }
    }

    async fn transaction(&self, leases: &[Lease], taken: &[Delivery]) {
        let made = self.both(leases);
        let id =
            TransactionId { namespace: String::new(), id: made.id.0.to_string(), request: [1, made.id.0] };
        let asked = Transactional {
            id: self.draw(|rng| rng.random_bool(0.5)).then_some(id),
            acks: vec![(name(ORDERS), taken.iter().map(|one| Ok(one.receipt)).collect())],
            publishes: BOTH.map(|queue| (Target::Queue(name(queue)), routable(&made))).to_vec(),
        };
        let repeatable = asked.id.is_some();
        let mut done = self.schedule.unless_cancelled(self.handle.transact(asked.clone())).await;
        let first = done.is_some();
        if !first && repeatable {
            done = self.schedule.unless_cancelled(self.handle.transact(asked)).await;
        }
        let confirmed = |(queue, result): (Queue, TransactionResult)| match result {
            TransactionResult::Queue(stored) => stored.first().map(|(sequence, _)| {
                self.seen(sequence.0);
                Event::Confirmed { queue, id: made.id, sequence: sequence.0 }
            }),
            TransactionResult::Topic(_) => None,
        };
        let (outcome, events): (_, Vec<_>) = match done {
            Some(Ok(results)) => {
                (Outcome::Done, BOTH.into_iter().zip(results).filter_map(confirmed).collect())
            }
            Some(Err(error))
                if first && (did_nothing(&error) || matches!(error, BrokerError::Stale { .. })) =>
            {
                (Outcome::Refused, vec![Event::Unsent { id: made.id }])
            }
            Some(Err(_)) | None => return,
        };
        let (verdict, at) = (Verdict::Ack, self.now());
        let settled = |lease: &Lease| Event::Settled { lease: *lease, verdict, outcome, at };
        self.crowd
            .witness
            .record_all(events.into_iter().chain(leases.iter().map(settled)).collect::<Vec<_>>());
    }
}
