//! A queue's settings, and what is kept of a queue besides its messages.

use super::{Duration, Lanes, Limits, QueueId, QueueName, Sequence, Timestamp};

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
    /// How often a message may be delivered.
    pub delivery: DeliveryMode,
    /// What a confirmed publish has survived.
    pub durability: Durability,
    /// How long a lease lasts unless the consumer says otherwise: `LEASE_MIN` to `LEASE_MAX`.
    pub lease_duration: Duration,
    /// How much it may hold.
    pub limits: Limits,
    /// How long it remembers deduplication ids, up to `DEDUPLICATION_MAX`; zero for not at all.
    pub deduplication_window: Duration,
}

/// Why settings can't be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A lease is too short or too long.
    #[error("{field} is {} ms; it must be 1 s to 12 h", .duration.0)]
    Lease {
        /// The field's name on the wire.
        field: &'static str,
        /// What was asked for.
        duration: Duration,
    },
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self {
            delivery: DeliveryMode::default(),
            durability: Durability::default(),
            lease_duration: Duration::seconds(30),
            limits: Limits::default(),
            deduplication_window: Duration::default(),
        }
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
}
