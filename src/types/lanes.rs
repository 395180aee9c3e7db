//! What is kept of each lane of a queue besides its messages.

use super::{Priority, Sequence};

/// What is untouched in a lane: neither leased nor dropped nor delayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LaneRecord {
    /// The first that is untouched is this one or a later one; those of the lane before it are settled unless a `Touch` says
    /// otherwise, those at or past it are untouched.
    pub frontier: Sequence,
    /// How many are.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// All lanes of a queue, but for those of what was published with a delay, where nothing is untouched.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lanes {
    /// In a box, so that a queue's record stays small.
    lanes: Box<[LaneRecord; Priority::COUNT]>,
    /// No message at or past this was ever leased or dropped.
    pub passed: Sequence,
}

impl Default for Lanes {
    fn default() -> Self {
        Self { lanes: Default::default(), passed: Sequence(1) }
    }
}

impl Default for LaneRecord {
    fn default() -> Self {
        Self { frontier: Sequence(1), messages: 0, bytes: 0 }
    }
}

impl LaneRecord {
    /// Whether a message may be the first that is untouched, in a queue whose next message is `next`: there must be enough numbers
    /// behind it for the others. Where the lane has no gaps, that is only so of the first.
    #[must_use]
    pub fn may_begin_with(&self, sequence: Sequence, next: Sequence) -> bool {
        self.messages > 0
            && sequence >= self.frontier
            && sequence < next
            && self.messages <= next.0 - sequence.0
    }

    /// Messages come in, the first of which is `first`.
    pub fn add(&mut self, first: Sequence, messages: u64, bytes: u64) {
        if self.messages == 0 {
            self.frontier = first;
        }
        self.messages += messages;
        self.bytes += bytes;
    }

    /// The first goes, which is `sequence`.
    pub fn advance(&mut self, sequence: Sequence, size: u32) {
        self.frontier = sequence.next();
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(u64::from(size));
    }
}

impl Lanes {
    /// Empty lanes of a queue where nothing at or past `passed` was ever leased or dropped.
    #[must_use]
    pub fn new(passed: Sequence) -> Self {
        Self { passed, ..Self::default() }
    }

    /// That of a priority.
    #[must_use]
    pub fn of(&self, priority: Priority) -> LaneRecord {
        self.lanes[usize::from(priority.number())]
    }

    /// The same, to be changed.
    pub fn of_mut(&mut self, priority: Priority) -> &mut LaneRecord {
        &mut self.lanes[usize::from(priority.number())]
    }

    /// All of them, the most urgent first.
    pub fn descending(&self) -> impl DoubleEndedIterator<Item = (Priority, LaneRecord)> {
        Priority::descending().map(|priority| (priority, self.of(priority)))
    }

    /// Those with messages, the most urgent first.
    pub fn waiting(&self) -> impl DoubleEndedIterator<Item = (Priority, LaneRecord)> {
        self.descending().filter(|(_, lane)| lane.messages > 0)
    }

    /// How many messages are in all of them.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.messages).sum()
    }

    /// Bytes of all of them.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.bytes).sum()
    }

    /// The least frontier of those with messages.
    #[must_use]
    pub fn first(&self) -> Option<Sequence> {
        self.waiting().map(|(_, lane)| lane.frontier).min()
    }

    /// A message was leased, or is gone.
    pub fn pass(&mut self, sequence: Sequence) {
        self.passed = self.passed.max(sequence.next());
    }
}
