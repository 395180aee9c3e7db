//! What queues promise of their messages.

use std::collections::BTreeMap;

use super::Queue;

/// What a queue promises of its messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Promise {
    pub mode: Mode,
    pub durability: Durability,
    pub order: Order,
    /// After so many attempts that count a message is given up.
    pub gives_up_after: Option<u32>,
    /// Where what is given up comes from.
    pub dead_letters_of: Option<Queue>,
    /// Where what is moved back comes from, a dead-letter queue.
    pub redriven_from: Option<Queue>,
    /// With so many messages, the oldest ready one makes room for the next.
    pub drops_beyond: Option<usize>,
    /// With so many messages, no more are taken.
    pub refuses_beyond: Option<u64>,
    /// Whoever came first gets everything.
    pub single: bool,
    /// What is given back waits so many milliseconds at least.
    pub backoff: Option<u64>,
}

impl Promise {
    /// Every message until it is acked, on disk before it is confirmed, in no order.
    pub const PLAIN: Self = Self {
        mode: Mode::AtLeastOnce,
        durability: Durability::Synced,
        order: Order::Any,
        gives_up_after: None,
        dead_letters_of: None,
        redriven_from: None,
        drops_beyond: None,
        refuses_beyond: None,
        single: false,
        backoff: None,
    };
}

/// The queues that messages of a queue came through, the one that they were sent to last.
pub fn sources(promises: &BTreeMap<Queue, Promise>, queue: Queue) -> Vec<Queue> {
    let before = |queue: &Queue| promises[queue].dead_letters_of.or(promises[queue].redriven_from);
    std::iter::successors(before(&queue), before).collect()
}

/// Which message a queue delivers next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    Any,
    /// The first that is there; more only to whoever has that one.
    Fifo,
    /// The same for each key.
    ByKey,
}

/// When a publish is confirmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    #[default]
    Synced,
    /// Before its fsync, so a power cut may lose it.
    Buffered,
}

/// How often a queue may deliver a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Until it is acked.
    #[default]
    AtLeastOnce,
    /// Once, or never if the consumer was lost with it.
    AtMostOnce,
}

/// Whether what leaves a queue without an ack is seen in another one.
pub fn gives_up(promises: &BTreeMap<Queue, Promise>, queue: Queue) -> bool {
    promises.values().any(|promise| promise.dead_letters_of.or(promise.redriven_from) == Some(queue))
}
