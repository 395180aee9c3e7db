//! What the engine knows of a message besides its size. Most messages have none of these, and cost nothing for it.

use super::{Duration, Priority, Sequence};

/// The longest that a message may wait before it can be delivered.
pub const DELAY_MAX: Duration = Duration::seconds(30 * 24 * 60 * 60);

/// A producer's id of a message, as a hash of 128 bits: the chance that two of a million differ and meet is 1 in 10^26.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeduplicationId(pub [u64; 2]);

/// A message's ordering key, as a hash of 128 bits: should two keys meet, they share one order, and nothing else comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderingKey(pub [u64; 2]);

/// The facts about one message of a publish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Facts {
    /// The same id within the queue's window is stored once.
    pub deduplication: Option<DeduplicationId>,
    /// How urgent it is.
    pub priority: Priority,
    /// How long it waits before it can be delivered, up to `DELAY_MAX`; zero for not at all.
    pub delay: Duration,
    /// It has a time to live of its own, which stands in its content.
    pub expires: bool,
}

/// The facts about messages of a publish: the place of each message that has any, in ascending order.
pub type FactsByPlace = Vec<(u32, Facts)>;

/// What a publish was numbered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Published {
    /// The number of the first that was stored; the others that were follow.
    pub first: Sequence,
    /// The places of duplicates, in ascending order, with the number of the message that is there already.
    pub duplicates: Vec<(u32, Sequence)>,
}

/// The high and the low half.
fn halves(hash: u128) -> [u64; 2] {
    let low = u64::try_from(hash & u128::from(u64::MAX)).unwrap_or_default();
    let high = u64::try_from(hash >> 64).unwrap_or_default();
    [high, low]
}

impl From<u128> for DeduplicationId {
    fn from(hash: u128) -> Self {
        Self(halves(hash))
    }
}

impl From<u128> for OrderingKey {
    fn from(hash: u128) -> Self {
        Self(halves(hash))
    }
}

impl Facts {
    /// Whether there is nothing to know.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl Published {
    /// The number of each of `count` messages, and whether it is a duplicate's.
    pub fn sequences(&self, count: usize) -> impl Iterator<Item = (Sequence, bool)> {
        let mut duplicates = self.duplicates.iter().peekable();
        let mut next = self.first;
        (0_u32..).take(count).map(move |place| {
            if let Some(&(_, sequence)) = duplicates.next_if(|&&(at, _)| at == place) {
                return (sequence, true);
            }
            let sequence = next;
            next = next.next();
            (sequence, false)
        })
    }
}
