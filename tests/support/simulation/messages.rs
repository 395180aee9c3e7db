//! Messages of a simulation: how they are made, and what is read of one that comes.

use std::collections::HashMap;

use bbq::broker::Routable;
use bbq::types::{self, Content, DeduplicationId, Facts, FactsByPlace, Priority};
use bbq_client::proto::Message;
use prost::Message as _;
use rand::RngExt as _;
use rand::rngs::SmallRng;

use super::queues::{ERRANDS, FADING, FADING_MS, LATE, MORTAL, RANKED, WILTING, promise};
use crate::history::{self, Event, Id, Letter, Limits, Order, Queue};

/// How many ordering keys there are: few, so that most of them wait for each other.
const KEYS: u64 = 4;
/// How long some of the messages live that have a time to live: longer than any run.
const LONG_LIFE_MS: u64 = 24 * 3_600_000;

/// A message as its producer has it.
#[derive(Clone)]
pub struct Made {
    pub id: Id,
    message: Message,
    facts: Facts,
}

fn duration(ms: u64) -> Option<prost_types::Duration> {
    prost_types::Duration::try_from(std::time::Duration::from_millis(ms)).ok()
}

impl Made {
    /// A message as it belongs into a queue.
    pub fn new(rng: &mut SmallRng, queue: Queue, id: Id) -> Self {
        let length = match rng.random_range(0..300) {
            0 => rng.random_range(33_000..70_000),
            1..10 => rng.random_range(500..5_000),
            _ => rng.random_range(0..60),
        };
        let mut body = id.0.to_be_bytes().to_vec();
        body.resize(8 + length, b'x');
        let mut message = Message { body: body.into(), ..Message::default() };
        let mut facts = Facts::default();
        // One at the most: several have no order.
        if rng.random_ratio(1, 5) {
            message.attributes.insert("color".to_owned(), rng.random_range(0..9).to_string());
        }
        if promise(queue).order == Order::ByKey {
            // Some have none, and are in no order.
            let key = rng.random_range(0..=KEYS);
            message.ordering_key = if key == KEYS { String::new() } else { key.to_string() };
        }
        if queue == RANKED {
            message.priority = rng.random_range(0..=9);
            facts.priority = Priority::new(message.priority).expect("it is none higher");
        }
        if queue == LATE && rng.random_ratio(1, 2) {
            let delay = rng.random_range(1..2500);
            message.delay = duration(delay);
            facts.delay = types::Duration(delay);
        }
        let mortal = [MORTAL, WILTING, ERRANDS].contains(&queue);
        if mortal || queue == FADING && rng.random_ratio(1, 2) {
            let long = rng.random_ratio(1, 5);
            message.time_to_live = duration(if long { LONG_LIFE_MS } else { rng.random_range(20..2000) });
            facts.expires = true;
        }
        Self { id, message, facts }
    }

    /// From now on it can be sent twice without harm.
    pub fn remembered(&mut self) {
        self.message.deduplication_id = self.id.0.to_string();
        self.facts.deduplication = Some(DeduplicationId([1, self.id.0]));
    }

    pub fn is_remembered(&self) -> bool {
        self.facts.deduplication.is_some()
    }

    /// It is about to be sent, at a time of our clock.
    pub fn sending(&self, queue: Queue, now: u64) -> Event {
        let Message { body, attributes, ordering_key, delay, time_to_live, priority, .. } = &self.message;
        let after = |time: &prost_types::Duration| {
            let seconds = u64::try_from(time.seconds).expect("it is none of the past");
            now + seconds * 1000 + u64::from(time.nanos.unsigned_abs()) / 1_000_000
        };
        let of_queue = (queue == FADING).then_some(now + FADING_MS);
        let limits = Limits {
            key: ordering_key.parse().ok(),
            expires: time_to_live.as_ref().map(after).into_iter().chain(of_queue).min(),
            due: delay.as_ref().map(after),
            priority: *priority,
        };
        Event::Sending { queue, id: self.id, content: history::content(body, attributes), limits }
    }

    pub fn content(&self) -> Content {
        Content(self.message.encode_to_vec().into())
    }
}

/// What the engine is to know of some messages.
pub fn facts(messages: &[Made]) -> FactsByPlace {
    let known = (0..).zip(messages).filter(|(_, made)| !made.facts.is_none());
    known.map(|(place, made)| (place, made.facts)).collect()
}

/// A message that is to be routed.
pub fn routable(made: &Made) -> Routable {
    let attributes = made.message.attributes.clone().into_iter().collect();
    let facts = facts(std::slice::from_ref(made));
    Routable { messages: vec![made.content()], facts, attributes: vec![attributes] }
}

/// Which message it is, and its content without what the server adds to it.
pub fn read(content: &Content) -> (Option<Id>, u64) {
    let Ok(Message { body, attributes, .. }) = Message::decode(content.0.clone()) else { return (None, 0) };
    let own = |(name, _): &(String, String)| !name.starts_with("bbq-dead-letter-");
    let attributes: HashMap<_, _> = attributes.into_iter().filter(own).collect();
    let id = body.first_chunk().map(|id| Id(u64::from_be_bytes(*id)));
    (id, history::content(&body, &attributes))
}

/// What a dead letter says of its death.
pub fn letter(content: &Content) -> Option<Letter> {
    let Message { attributes, .. } = Message::decode(content.0.clone()).ok()?;
    let note = |what: &str| attributes.get(&format!("bbq-dead-letter-{what}"));
    Some(Letter { reason: note("reason")?.clone(), attempts: note("attempts")?.parse().ok()? })
}
