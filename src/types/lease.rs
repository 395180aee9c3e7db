//! What is known of a message that was leased at least once and is not settled.

use std::sync::Arc;

use super::{Attempt, Duration, Epoch, HolderId, Lane, OrderingKey, Timestamp};

/// Who took a message. Shared by all messages that one call took.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Consumer {
    /// The name it gave itself; may be empty.
    pub name: String,
    /// Its address.
    pub peer: String,
    /// `h3`, `h2` or `h2c`.
    pub transport: String,
}

/// What a lease is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    /// A Subscribe stream: the lease ends with the stream, or at its deadline.
    Stream(HolderId),
    /// A Receive call: the lease ends at its deadline alone.
    Receive(HolderId),
}

impl Holder {
    /// Its number.
    #[must_use]
    pub fn id(self) -> HolderId {
        match self {
            Self::Stream(id) | Self::Receive(id) => id,
        }
    }
}

/// One message in one consumer's hands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// What it is bound to.
    pub holder: Holder,
    /// The epoch that granted it.
    pub epoch: Epoch,
    /// When it was granted.
    pub since: Timestamp,
    /// When it ends.
    pub deadline: Timestamp,
    /// How long it was granted for; shown, and the default of an extension.
    pub duration: Duration,
    /// Who holds it.
    pub consumer: Arc<Consumer>,
}

/// The delivery state of a message that is not settled and no longer as it was published: it was leased at least once, it
/// was stepped over, or it waits for its time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Touch {
    /// The latest attempt; 0 if it was never leased.
    pub attempt: Attempt,
    /// How many of the attempts do not count towards `max_attempts`, because it was no consumer that ended them.
    pub uncounted: u32,
    /// The epoch of the latest attempt; part of its receipt.
    pub epoch: Epoch,
    /// The message's size in bytes.
    pub size: u32,
    /// The lane that it was published into.
    pub lane: Lane,
    /// Its ordering key, in a BY_KEY queue.
    pub key: Option<OrderingKey>,
    /// Where it stands.
    pub state: TouchState,
}

/// Where a touched message stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TouchState {
    /// The next consumer gets it.
    Ready,
    /// It is not ready before its time.
    Delayed {
        /// Its time.
        until: Timestamp,
    },
    /// A consumer holds it.
    Leased(Lease),
    /// It was stepped over before it was ever leased, because its key has to wait. Only stores keep this state for each
    /// message: the engine keeps the number.
    Parked,
    /// Nobody gets it any more: it waits to be moved to the dead-letter queue.
    Dead {
        /// Why; at most 1 KiB.
        reason: Arc<str>,
    },
}

impl Touch {
    /// That of a message that was never leased.
    #[must_use]
    pub fn unleased(size: u32, lane: Lane, state: TouchState) -> Self {
        Self { attempt: Attempt(0), uncounted: 0, epoch: Epoch(0), size, lane, key: None, state }
    }

    /// Its lease, if a consumer holds it.
    #[must_use]
    pub fn lease(&self) -> Option<&Lease> {
        match &self.state {
            TouchState::Leased(lease) => Some(lease),
            TouchState::Ready | TouchState::Delayed { .. } | TouchState::Parked | TouchState::Dead { .. } => {
                None
            }
        }
    }

    /// Whether the next consumer gets it.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        match &self.state {
            TouchState::Ready => true,
            TouchState::Delayed { .. }
            | TouchState::Leased(_)
            | TouchState::Parked
            | TouchState::Dead { .. } => false,
        }
    }

    /// Whether it waits to be moved to the dead-letter queue.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        match &self.state {
            TouchState::Dead { .. } => true,
            TouchState::Ready | TouchState::Delayed { .. } | TouchState::Leased(_) | TouchState::Parked => {
                false
            }
        }
    }
}
