//! The bounds of what may be asked.

use serde::{Deserialize, Serialize};

/// The bounds of what may be asked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The largest body, in bytes. Stock clients take answers of 4 MiB; larger bodies need clients that are told so.
    pub message_bytes: usize,
    /// The largest request, in bytes. Each call under way may hold that much memory.
    pub request_bytes: usize,
    /// The most messages of a publish, and receipts of a settlement. More make calls that hold up others.
    pub batch_items: usize,
    /// The most messages that a stream may ask to hold. More cost memory for each stream.
    pub in_flight_messages: u32,
    /// The most bytes that a stream may ask to hold. They may lie in memory until the client takes them.
    pub in_flight_bytes: u64,
    /// The most calls under way at once, streams among them. Each costs some KiB.
    pub calls: usize,
    /// The most calls under way at once that need no token: health and reflection. They take no room from the others.
    pub open_calls: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 4 << 20,
            request_bytes: 16 << 20,
            batch_items: 10_000,
            in_flight_messages: 10_000,
            in_flight_bytes: 256 << 20,
            calls: 20_000,
            open_calls: 256,
        }
    }
}
