//! A queue's settings, and what is kept of a queue besides its messages.

use super::{Duration, Lanes, Limits, Ordering, QueueId, QueueName, RetryBackoff, Sequence, Timestamp};

/// How often a message may be delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DeliveryMode {
    /// Until it is acked.
    #[default]
    AtLeastOnce,
    /// Once or never: gone when it is leased.
    AtMostOnce,
}

/// What a confirmed publish has survived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Durability {
    /// Confirmed after fsync: survives a power cut.
    #[default]
    Synced,
    /// Confirmed after write(2): survives a kill of the server, not a power cut.
    Buffered,
}

/// The shortest lease.
pub const LEASE_MIN: Duration = Duration::seconds(1);
/// The longest lease.
pub const LEASE_MAX: Duration = Duration::seconds(12 * 60 * 60);
/// The longest that a queue remembers deduplication ids.
pub const DEDUPLICATION_MAX: Duration = Duration::seconds(24 * 60 * 60);

/// How a queue behaves.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QueueSettings {
    /// Which order it promises.
    pub ordering: Ordering,
    /// How often a message may be delivered.
    pub delivery: DeliveryMode,
    /// What a confirmed publish has survived.
    pub durability: Durability,
    /// How long a lease lasts unless the consumer says otherwise: `LEASE_MIN` to `LEASE_MAX`.
    pub lease_duration: Duration,
    /// After so many attempts that count a message is dead-lettered or dropped; 0 for no limit.
    pub max_attempts: u32,
    /// The delay before the next attempt.
    pub retry_backoff: Option<RetryBackoff>,
    /// The queue that takes what could not be handled, in the same namespace. It need not be there yet.
    pub dead_letter_queue: Option<QueueName>,
    /// How long a message may wait from its publishing on; zero for no limit.
    pub time_to_live: Duration,
    /// How much it may hold.
    pub limits: Limits,
    /// How long it remembers deduplication ids, up to `DEDUPLICATION_MAX`; zero for not at all.
    pub deduplication_window: Duration,
    /// One consumer at a time gets messages.
    pub single_active_consumer: bool,
    /// Publishes go in, nothing goes out.
    pub paused: bool,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self {
            ordering: Ordering::default(),
            delivery: DeliveryMode::default(),
            durability: Durability::default(),
            lease_duration: Duration::seconds(30),
            max_attempts: 0,
            retry_backoff: None,
            dead_letter_queue: None,
            single_active_consumer: false,
            paused: false,
            time_to_live: Duration::default(),
            limits: Limits::default(),
            deduplication_window: Duration::default(),
        }
    }
}

impl QueueSettings {
    /// When the time of a message is over that may have a time to live of its own; never, if there is none.
    #[must_use]
    pub fn expires_at(&self, published_at: Timestamp, own: Option<Duration>) -> Option<Timestamp> {
        let all = Some(self.time_to_live).filter(|&time| time > Duration::default());
        let least = own.into_iter().chain(all).min();
        least.map(|time| published_at.after(time))
    }
}

/// All that is kept of a queue besides its messages.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QueueRecord {
    /// Its id.
    pub id: QueueId,
    /// Its name.
    pub name: QueueName,
    /// How it behaves.
    pub settings: QueueSettings,
    /// When it was created.
    pub created_at: Timestamp,
    /// What is untouched, lane by lane.
    pub lanes: Lanes,
    /// What the next message will be called.
    pub next_sequence: Sequence,
    /// Deduplication ids of messages before this one are forgotten.
    pub remembered_from: Sequence,
    /// No message at or past this has a time to live of its own.
    pub expiring_before: Sequence,
}
