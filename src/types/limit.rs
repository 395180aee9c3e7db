//! How much a queue may hold.

use std::fmt;

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

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// `max_messages`.
    Messages,
    /// `max_bytes`.
    Bytes,
}

/// The limit that something would have passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// What it counts.
    pub measure: Measure,
    /// How much there is.
    pub held: u64,
    /// How much came.
    pub more: u64,
    /// How much there may be.
    pub limit: u64,
    /// What happens to a publish beyond it.
    pub overflow: Overflow,
}

/// What is wrong, and what helps.
impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { measure, held, more, limit, overflow } = *self;
        let (name, amount): (_, fn(u64) -> String) = match measure {
            Measure::Messages => ("max_messages", |count| counted(count, "message")),
            Measure::Bytes => ("max_bytes", |count| counted(count, "byte")),
        };
        if more > limit {
            let (more, limit) = (amount(more), amount(limit));
            return write!(
                f,
                "{more} at once never fit into {limit} ({name}); publish less in one call, or raise the limit"
            );
        }
        let (held, more, limit) = (amount(held), amount(more), amount(limit));
        write!(f, "it holds {held}, {more} came, and it may hold {limit} ({name}); ")?;
        match overflow {
            Overflow::Reject => f.write_str(
                "consume or purge messages, raise the limit, or let the queue drop the oldest (overflow DROP_OLDEST)",
            ),
            Overflow::DropOldest => f.write_str(
                "what is leased, delayed, parked or dead is not dropped to make room: settle it, purge messages, or raise the limit",
            ),
        }
    }
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
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
