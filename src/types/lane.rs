//! Lanes: a queue's messages of one priority, in the order of their sequences. All messages of a queue are numbered together, so
//! those of one lane have gaps between their numbers.

use super::QueueId;

/// How urgent a message is: 0 to 9, higher goes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(u8);

/// One of a queue's lanes: for each priority one of what is ready when it is published, and one of what is not, because it
/// was published with a delay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane(u8);

/// A lane of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId {
    /// The queue.
    pub queue: QueueId,
    /// Which of its lanes.
    pub lane: Lane,
}

/// The lanes of what was published with a delay come after the others.
const DELAYED: u8 = 16;

impl Priority {
    /// The highest.
    pub const MAX: Self = Self(9);
    /// How many there are.
    pub const COUNT: usize = 10;

    /// From a number; none if it is too high.
    #[must_use]
    pub fn new(number: u32) -> Option<Self> {
        u8::try_from(number).ok().map(Self).filter(|&priority| priority <= Self::MAX)
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }

    /// All of them, the most urgent first.
    pub fn descending() -> impl DoubleEndedIterator<Item = Self> {
        (0..=Self::MAX.0).rev().map(Self)
    }
}

impl Lane {
    /// The lane of what is ready at once.
    #[must_use]
    pub fn of(priority: Priority) -> Self {
        Self(priority.0)
    }

    /// The lane of what is published with a delay.
    #[must_use]
    pub fn delayed(priority: Priority) -> Self {
        Self(DELAYED + priority.0)
    }

    /// From its number.
    #[must_use]
    pub fn new(number: u8) -> Option<Self> {
        (number % DELAYED <= Priority::MAX.0 && number < 2 * DELAYED).then_some(Self(number))
    }

    /// Its number, by which lanes are kept.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }

    /// The priority of its messages.
    #[must_use]
    pub fn priority(self) -> Priority {
        Priority(self.0 % DELAYED)
    }

    /// Whether nothing in it is ready unless a `Touch` says so.
    #[must_use]
    pub fn is_delayed(self) -> bool {
        self.0 >= DELAYED
    }

    /// All lanes there can be.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..2 * DELAYED).filter_map(Self::new)
    }
}

impl LaneId {
    /// A lane of a queue.
    #[must_use]
    pub fn new(queue: QueueId, lane: Lane) -> Self {
        Self { queue, lane }
    }
}

/// The lane of priority 0, where most queues have everything.
impl From<QueueId> for LaneId {
    fn from(queue: QueueId) -> Self {
        Self { queue, lane: Lane::default() }
    }
}
