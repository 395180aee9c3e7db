//! The queues of a simulation, what each promises, and which of them take part.
//!
//! A world has some kinds of queues only: so that in as many steps more happens to each, and each meets the others in some world.

use std::collections::BTreeSet;

use bbq::types::{
    self, DeliveryMode, Limits, Ordering, Overflow, QueueName, QueueSettings, RetryBackoff, RoutingPattern,
    TopicName,
};
use rand::RngExt as _;
use rand::rngs::SmallRng;

use crate::history::{Durability, Mode, Order, Promise, Queue};

/// Queues whose messages are accounted for, and what each promises. What gets messages of others comes after these, so that a drain
/// finds everything.
pub const QUEUES: [(Queue, Promise); 26] = [
    (ORDERS, Promise::PLAIN),
    ("left", Promise::PLAIN),
    ("right", Promise::PLAIN),
    ("clicks", Promise { durability: Durability::Buffered, ..Promise::PLAIN }),
    ("ticks", Promise { mode: Mode::AtMostOnce, ..Promise::PLAIN }),
    ("lines", Promise { order: Order::Fifo, ..Promise::PLAIN }),
    ("keyed", Promise { order: Order::ByKey, ..Promise::PLAIN }),
    (MORTAL, Promise::PLAIN),
    (FADING, Promise::PLAIN),
    ("faded", Promise { dead_letters_of: Some(FADING), ..Promise::PLAIN }),
    (RETRIED, Promise { gives_up_after: Some(2), ..Promise::PLAIN }),
    (DEAD, Promise { dead_letters_of: Some(RETRIED), ..Promise::PLAIN }),
    (REVIVED, Promise { redriven_from: Some(DEAD), ..Promise::PLAIN }),
    ("steps", Promise { order: Order::Fifo, gives_up_after: Some(2), ..Promise::PLAIN }),
    ("missteps", Promise { dead_letters_of: Some("steps"), ..Promise::PLAIN }),
    (WILTING, Promise { order: Order::ByKey, ..Promise::PLAIN }),
    (ERRANDS, Promise { order: Order::ByKey, gives_up_after: Some(2), ..Promise::PLAIN }),
    ("failures", Promise { dead_letters_of: Some(ERRANDS), ..Promise::PLAIN }),
    (LATE, Promise::PLAIN),
    ("capped", Promise { drops_beyond: Some(30), ..Promise::PLAIN }),
    ("bounded", Promise { refuses_beyond: Some(40), ..Promise::PLAIN }),
    ("single", Promise { single: true, ..Promise::PLAIN }),
    ("slowly", Promise { backoff: Some(200), ..Promise::PLAIN }),
    (RANKED, Promise::PLAIN),
    (PAUSED, Promise::PLAIN),
    (PURGED, Promise::PLAIN),
];

/// Those that take part together.
const KINDS: [&[Queue]; 18] = [
    &[ORDERS, "left", "right"],
    &["clicks"],
    &["ticks"],
    &["lines"],
    &["keyed"],
    &[MORTAL],
    &[FADING, "faded"],
    &[RETRIED, DEAD, REVIVED],
    &["steps", "missteps"],
    &[WILTING],
    &[ERRANDS, "failures"],
    &[LATE],
    &["capped", "bounded"],
    &["single"],
    &["slowly"],
    &[RANKED],
    &[PAUSED],
    &[PURGED],
];

/// What transactions ack in.
pub const ORDERS: Queue = "orders";
/// What gets everything from the topic, and from the transactions.
pub const BOTH: [Queue; 2] = ["left", "right"];
/// Its messages have a time to live, and are gone after it.
pub const MORTAL: Queue = "mortal";
/// Its messages have a time to live, and are dead letters after it: none is ever gone.
pub const FADING: Queue = "fading";
/// Messages of theirs have a time to live, which counts for the order of their keys. The second has dead letters, and ends attempts too.
pub const WILTING: Queue = "wilting";
pub const ERRANDS: Queue = "errands";
/// How long the messages live that are dead letters after it, unless they have less.
pub const FADING_MS: u64 = 1500;
/// Its messages have two attempts; then they are dead letters, of which some are moved on.
const RETRIED: Queue = "retried";
pub const DEAD: Queue = "dead";
pub const REVIVED: Queue = "revived";
/// Its messages have delays.
pub const LATE: Queue = "late";
/// Its messages have priorities.
pub const RANKED: Queue = "ranked";
/// It is paused now and then, and the other one purged.
pub const PAUSED: Queue = "paused";
pub const PURGED: Queue = "purged";

/// Queues of all kinds where anything may happen to a message. What counts there is that nothing breaks.
pub const OTHERS: [&str; 5] = ["mixed", "tried", "buried", "dropped", "remembered"];

pub fn name(queue: &str) -> QueueName {
    queue.parse().expect("a good name")
}

pub fn topic() -> TopicName {
    "news".parse().expect("a good name")
}

pub fn everything() -> RoutingPattern {
    "#".parse().expect("a good pattern")
}

pub fn promise(queue: Queue) -> Promise {
    QUEUES.iter().find(|(known, _)| *known == queue).map(|(_, promise)| *promise).unwrap_or_default()
}

/// Whether producers send to it.
pub fn is_fed(queue: Queue) -> bool {
    let promise = promise(queue);
    promise.dead_letters_of.or(promise.redriven_from).is_none()
}

/// Where the dead of a queue go that is accounted for.
pub fn dead_letters(queue: Queue) -> Option<Queue> {
    QUEUES.iter().find(|(_, promise)| promise.dead_letters_of == Some(queue)).map(|(dead, _)| *dead)
}

/// Which queues take part: about a third of all kinds, one at least.
pub fn draw(rng: &mut SmallRng) -> BTreeSet<Queue> {
    let first = rng.random_range(0..KINDS.len());
    let kinds = KINDS.iter().enumerate().filter(|(at, _)| *at == first || rng.random_ratio(1, 3));
    kinds.flat_map(|(_, queues)| queues.iter().copied()).collect()
}

/// The settings of one of [`QUEUES`].
pub fn settings(queue: Queue) -> QueueSettings {
    let promise = promise(queue);
    let backoff = |initial, max| RetryBackoff {
        initial: types::Duration(initial),
        multiplier_thousandths: 2000,
        max: types::Duration(max),
    };
    let (messages, overflow) = match (promise.drops_beyond, promise.refuses_beyond) {
        (Some(most), _) => (u64::try_from(most).expect("few"), Overflow::DropOldest),
        (None, Some(most)) => (most, Overflow::Reject),
        (None, None) => (0, Overflow::Reject),
    };
    QueueSettings {
        ordering: match promise.order {
            Order::Any => Ordering::Unordered,
            Order::Fifo => Ordering::Fifo,
            Order::ByKey => Ordering::ByKey,
        },
        delivery: match promise.mode {
            Mode::AtLeastOnce => DeliveryMode::AtLeastOnce,
            Mode::AtMostOnce => DeliveryMode::AtMostOnce,
        },
        durability: match promise.durability {
            Durability::Synced => types::Durability::Synced,
            Durability::Buffered => types::Durability::Buffered,
        },
        max_attempts: promise.gives_up_after.unwrap_or_default(),
        dead_letter_queue: dead_letters(queue).map(name),
        time_to_live: types::Duration(if queue == FADING { FADING_MS } else { 0 }),
        retry_backoff: match promise.backoff {
            Some(initial) => Some(backoff(initial, 1000)),
            None => (queue == RETRIED).then(|| backoff(20, 200)),
        },
        limits: Limits { messages, bytes: 0, overflow },
        // Producers that get no answer send again, after hours if the wall clock jumps.
        deduplication_window: types::Duration(24 * 3_600_000),
        single_active_consumer: promise.single,
        ..QueueSettings::default()
    }
}

/// The settings of one of [`OTHERS`].
pub fn other_settings(queue: &str) -> QueueSettings {
    let plain = QueueSettings::default();
    match queue {
        "mixed" => QueueSettings { ordering: Ordering::Fifo, ..plain },
        "tried" => {
            QueueSettings { max_attempts: 2, dead_letter_queue: Some(name("buried")), ..settings(RETRIED) }
        }
        "dropped" => QueueSettings {
            limits: Limits { messages: 30, bytes: 20_000, overflow: Overflow::DropOldest },
            ..plain
        },
        "remembered" => QueueSettings {
            deduplication_window: types::Duration(2000),
            single_active_consumer: true,
            ..plain
        },
        _ => plain,
    }
}
