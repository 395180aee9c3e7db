//! How much a queue may hold.

/// What happens to a publish beyond a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Overflow {
    /// It is refused.
    #[default]
    Reject,
    /// The oldest ready messages make room; if they don't suffice, it is refused.
    DropOldest,
}

/// How much a queue may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Limits {
    /// The most messages, leased and delayed ones included; 0 for no limit.
    pub messages: u64,
    /// The most bytes, likewise.
    pub bytes: u64,
    /// What happens to a publish beyond them.
    pub overflow: Overflow,
}

/// Which limit a publish would have passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// That of messages.
    #[error("it holds {held} message{} and may hold {limit} (max_messages)", if *held == 1 { "" } else { "s" })]
    Messages {
        /// How many there are.
        held: u64,
        /// How many there may be.
        limit: u64,
    },
    /// That of bytes.
    #[error("it holds {held} bytes and may hold {limit} (max_bytes)")]
    Bytes {
        /// How many there are.
        held: u64,
        /// How many there may be.
        limit: u64,
    },
}

/// By how much a queue would be over its limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Excess {
    /// Messages too many.
    pub messages: u64,
    /// Bytes too many.
    pub bytes: u64,
}

impl Limits {
    /// By how much a queue that holds `messages` and `bytes` is over its limits.
    #[must_use]
    pub fn excess(&self, messages: u64, bytes: u64) -> Excess {
        let over = |held: u64, limit: u64| if limit == 0 { 0 } else { held.saturating_sub(limit) };
        Excess { messages: over(messages, self.messages), bytes: over(bytes, self.bytes) }
    }
}

impl Excess {
    /// Whether it is within all limits.
    #[must_use]
    pub fn is_none(self) -> bool {
        self == Self::default()
    }

    /// What is left of it when a message of `size` bytes goes.
    #[must_use]
    pub fn less(self, size: u32) -> Self {
        Self { messages: self.messages.saturating_sub(1), bytes: self.bytes.saturating_sub(u64::from(size)) }
    }
}
