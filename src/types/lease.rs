//! What is known of a message that was leased at least once and is not settled.

use std::sync::Arc;

use super::{Attempt, Duration, Epoch, HolderId, Lane, Timestamp};

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

/// The delivery state of a message that was leased at least once and is not settled. With a lease it is leased,
/// without one it is ready again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Touch {
    /// The latest attempt; at least 1.
    pub attempt: Attempt,
    /// How many of the attempts do not count towards `max_attempts`, because the server ended them.
    pub uncounted: u32,
    /// The epoch of the latest attempt; part of its receipt.
    pub epoch: Epoch,
    /// The message's size in bytes.
    pub size: u32,
    /// The lane that it was published into.
    pub lane: Lane,
    /// Who holds it, if anyone does.
    pub lease: Option<Lease>,
}
