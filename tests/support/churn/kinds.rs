//! The kinds of queues that take part: what is set for them, and what their messages are like.

use std::time::Duration;

use bbq_client::{Message, proto};
use rand::RngExt as _;
use rand::rngs::StdRng;

use super::Pace;

/// Where dead letters go. Its keeper buries them, or sends them back.
pub const DEAD: &str = "dead";
/// How many ordering keys the messages of a queue have.
const KEYS: u32 = 12;

/// What is special about a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Plain,
    Fifo,
    AtMostOnce,
    Buffered,
    SingleActive,
    Retrying,
    RetryingBuffered,
    DropOldest,
    Reject,
    Deduplicated,
    Prioritized,
    /// Messages of one key go one after the other. Some have none.
    ByKey,
    ByKeyRetrying,
    /// Messages that wait too long are dropped.
    Lapsing,
    /// Messages that wait too long become dead letters.
    LapsingRetrying,
    /// Half of the messages wait for their time.
    Delayed,
}

const KINDS: [Kind; 16] = [
    Kind::Plain,
    Kind::Fifo,
    Kind::AtMostOnce,
    Kind::Buffered,
    Kind::SingleActive,
    Kind::Retrying,
    Kind::RetryingBuffered,
    Kind::DropOldest,
    Kind::Reject,
    Kind::Deduplicated,
    Kind::Prioritized,
    Kind::ByKey,
    Kind::ByKeyRetrying,
    Kind::Lapsing,
    Kind::LapsingRetrying,
    Kind::Delayed,
];

pub fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

/// How long a message may wait: less than its queue takes to fall, and long enough for most to be taken.
fn patience(pace: Pace) -> Duration {
    pace.wave / 3
}

impl Kind {
    /// Each kind is there several times.
    pub fn of(queue: usize) -> Self {
        KINDS[queue % KINDS.len()]
    }

    pub fn settings(self, pace: Pace) -> proto::QueueSettings {
        let plain = proto::QueueSettings { lease_duration: seconds(10), ..proto::QueueSettings::default() };
        let retrying = proto::QueueSettings {
            max_attempts: 3,
            dead_letter_queue: DEAD.to_owned(),
            retry_backoff: Some(proto::RetryBackoff { initial: seconds(1), multiplier: 2.0, max: None }),
            ..plain.clone()
        };
        let time_to_live =
            Some(prost_types::Duration::try_from(patience(pace)).expect("less than a few minutes"));
        let by_key = proto::Ordering::ByKey.into();
        let buffered = proto::Durability::Buffered.into();
        match self {
            Self::Plain | Self::Prioritized | Self::Delayed => plain,
            Self::Fifo => proto::QueueSettings { ordering: proto::Ordering::Fifo.into(), ..plain },
            Self::AtMostOnce => {
                proto::QueueSettings { delivery: proto::DeliveryMode::AtMostOnce.into(), ..plain }
            }
            Self::Buffered => proto::QueueSettings { durability: buffered, ..plain },
            Self::SingleActive => proto::QueueSettings { single_active_consumer: true, ..plain },
            Self::Retrying => retrying,
            Self::RetryingBuffered => proto::QueueSettings { durability: buffered, ..retrying },
            Self::DropOldest => proto::QueueSettings {
                max_messages: 500,
                overflow: proto::Overflow::DropOldest.into(),
                ..plain
            },
            Self::Reject => {
                proto::QueueSettings { max_bytes: 1 << 20, overflow: proto::Overflow::Reject.into(), ..plain }
            }
            Self::Deduplicated => proto::QueueSettings { deduplication_window: seconds(30), ..plain },
            Self::ByKey => proto::QueueSettings { ordering: by_key, ..plain },
            Self::ByKeyRetrying => proto::QueueSettings { ordering: by_key, ..retrying },
            Self::Lapsing => proto::QueueSettings { time_to_live, ..plain },
            Self::LapsingRetrying => proto::QueueSettings { time_to_live, ..retrying },
        }
    }

    /// A message for the queue of this number.
    pub fn message(self, queue: usize, pace: Pace, rng: &mut StdRng) -> Message {
        let message = Message::new(body(queue, rng));
        match self {
            Self::Deduplicated => message.deduplication_id(format!("{:x}", rng.random::<u64>())),
            Self::Prioritized => message.priority(rng.random_range(0..10)),
            Self::ByKey | Self::ByKeyRetrying => match rng.random_ratio(1, 8) {
                true => message,
                false => message.ordering_key(format!("key-{}", rng.random_range(0..KEYS))),
            },
            Self::Lapsing | Self::LapsingRetrying => match rng.random() {
                true => message,
                false => message.time_to_live(patience(pace).mul_f64(rng.random_range(0.2..1.0))),
            },
            Self::Delayed => match rng.random() {
                true => message,
                false => message.delay(patience(pace).mul_f64(rng.random_range(0.1..1.0))),
            },
            Self::Plain
            | Self::Fifo
            | Self::AtMostOnce
            | Self::Buffered
            | Self::SingleActive
            | Self::Retrying
            | Self::RetryingBuffered
            | Self::DropOldest
            | Self::Reject => message,
        }
    }
}

fn body(queue: usize, rng: &mut StdRng) -> Vec<u8> {
    let length = match rng.random_range(0..1000) {
        // Stored in parts.
        0 => rng.random_range(40_000..200_000),
        1..30 => rng.random_range(1_000..20_000),
        _ => rng.random_range(20..600),
    };
    let mut body = vec![b'b'; length];
    // About half of the queues, of each kind some, hold what can't be compressed.
    if (queue / KINDS.len()).is_multiple_of(2) {
        rng.fill(&mut body[..]);
    }
    body
}

/// All that is in a queue, whatever it waits for.
pub fn backlog(stats: &proto::QueueStats) -> u64 {
    stats.ready + stats.delayed + stats.leased + stats.parked + stats.dead
}
