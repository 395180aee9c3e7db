//! Messages. What a producer sent stays as it was encoded: below the service it is opaque bytes.

use bytes::Bytes;

use super::{Sequence, Timestamp};

/// A message as it came over the wire, encoded and checked once by the service. Stored, and delivered, as it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Content(pub Bytes);

/// A message in a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    /// Its number in its queue.
    pub sequence: Sequence,
    /// The time of the entry that stored it.
    pub published_at: Timestamp,
    /// What was published.
    pub content: Content,
}

impl Content {
    /// Its length in bytes, which is also what it counts towards limits and credit.
    ///
    /// # Panics
    /// Never: requests are limited far below 4 GiB.
    #[must_use]
    pub fn size(&self) -> u32 {
        u32::try_from(self.0.len()).expect("requests are limited far below 4 GiB")
    }
}
