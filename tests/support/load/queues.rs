//! The queues of the load, and what each promises.

use std::time::Duration;

use bbq_client::proto;

use crate::history::{Durability, Mode, Order, Promise, Queue};

/// The queues, and what each promises.
pub const QUEUES: [(Queue, Promise); 24] = [
    ("orders", Promise::PLAIN),
    ("clicks", Promise { durability: Durability::Buffered, ..Promise::PLAIN }),
    ("ticks", Promise { mode: Mode::AtMostOnce, ..Promise::PLAIN }),
    ("pings", Promise { mode: Mode::AtMostOnce, durability: Durability::Buffered, ..Promise::PLAIN }),
    ("lines", Promise { order: Order::Fifo, ..Promise::PLAIN }),
    ("keyed", Promise { order: Order::ByKey, ..Promise::PLAIN }),
    (MORTAL, Promise::PLAIN),
    ("retried", Promise { gives_up_after: Some(2), ..Promise::PLAIN }),
    // After the queue that it belongs to, so that a drain finds everything.
    (DEAD, Promise { dead_letters_of: Some("retried"), ..Promise::PLAIN }),
    (REVIVED, Promise { redriven_from: Some(DEAD), ..Promise::PLAIN }),
    ("steps", Promise { order: Order::Fifo, gives_up_after: Some(2), ..Promise::PLAIN }),
    ("missteps", Promise { dead_letters_of: Some("steps"), ..Promise::PLAIN }),
    (WILTING, Promise { order: Order::ByKey, ..Promise::PLAIN }),
    (ERRANDS, Promise { order: Order::ByKey, gives_up_after: Some(2), ..Promise::PLAIN }),
    ("failures", Promise { dead_letters_of: Some(ERRANDS), ..Promise::PLAIN }),
    ("left", Promise::PLAIN),
    ("right", Promise::PLAIN),
    ("capped", Promise { drops_beyond: Some(CAPPED_MAX), ..Promise::PLAIN }),
    ("bounded", Promise { refuses_beyond: Some(BOUNDED_MAX), ..Promise::PLAIN }),
    ("single", Promise { single: true, ..Promise::PLAIN }),
    ("slowly", Promise { backoff: Some(BACKOFF_MS), ..Promise::PLAIN }),
    (RANKED, Promise::PLAIN),
    (PAUSED, Promise::PLAIN),
    (PURGED, Promise::PLAIN),
];

/// The queues whose messages have a time to live: unordered ones, and two where it counts for the order. One of these has a dead-letter
/// queue, and ends attempts as well.
const MORTAL: Queue = "mortal";
const WILTING: Queue = "wilting";
const ERRANDS: Queue = "errands";
pub const MORTALS: [Queue; 3] = [MORTAL, WILTING, ERRANDS];
/// The queue whose messages have priorities.
pub const RANKED: Queue = "ranked";
/// The dead-letter queue, and where some of its messages are moved to.
pub const DEAD: Queue = "dead";
pub const REVIVED: Queue = "revived";
/// The queue that is paused now and then.
pub const PAUSED: Queue = "paused";
/// The queue that is purged now and then.
pub const PURGED: Queue = "purged";
/// The queue of which some messages have a delay.
pub const LATE: Queue = "orders";
/// How many ordering keys there are: few, so that most of them wait for each other.
pub const KEYS: u64 = 6;

/// How many messages the queue has room for that drops the oldest.
const CAPPED_MAX: usize = 100;
/// How many messages, and how many bytes, the queue has room for that refuses more.
const BOUNDED_MAX: u64 = 60;
const BOUNDED_BYTES_MAX: u64 = 200_000;
/// How long what is given back waits at first.
const BACKOFF_MS: u64 = 200;

/// The settings of one of [`QUEUES`].
pub fn settings(queue: Queue, promise: Promise) -> proto::QueueSettings {
    let delivery = match promise.mode {
        Mode::AtLeastOnce => proto::DeliveryMode::AtLeastOnce,
        Mode::AtMostOnce => proto::DeliveryMode::AtMostOnce,
    };
    let durability = match promise.durability {
        Durability::Synced => proto::Durability::Synced,
        Durability::Buffered => proto::Durability::Buffered,
    };
    let ordering = match promise.order {
        Order::Any => proto::Ordering::Unordered,
        Order::Fifo => proto::Ordering::Fifo,
        Order::ByKey => proto::Ordering::ByKey,
    };
    let dead_letters = QUEUES.iter().find(|(_, other)| other.dead_letters_of == Some(queue));
    let (overflow, max_messages, max_bytes) = match (promise.drops_beyond, promise.refuses_beyond) {
        (Some(most), _) => (proto::Overflow::DropOldest, u64::try_from(most).expect("few"), 0),
        (None, Some(most)) => (proto::Overflow::Reject, most, BOUNDED_BYTES_MAX),
        (None, None) => (proto::Overflow::Unspecified, 0, 0),
    };
    let retry_backoff = promise.backoff.map(|initial| proto::RetryBackoff {
        initial: prost_types::Duration::try_from(Duration::from_millis(initial)).ok(),
        multiplier: 2.0,
        max: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
    });
    proto::QueueSettings {
        ordering: ordering.into(),
        delivery: delivery.into(),
        durability: durability.into(),
        lease_duration: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        max_attempts: promise.gives_up_after.unwrap_or_default(),
        dead_letter_queue: dead_letters.map(|(queue, _)| (*queue).to_owned()).unwrap_or_default(),
        max_messages,
        max_bytes,
        overflow: overflow.into(),
        retry_backoff,
        single_active_consumer: promise.single,
        // Producers that get no answer send again.
        deduplication_window: Some(prost_types::Duration { seconds: 3600, nanos: 0 }),
        ..proto::QueueSettings::default()
    }
}
