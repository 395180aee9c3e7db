//! The broker's bounds.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The broker's bounds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Calls that may wait for the engine. More smooth bursts and cost memory and latency when overloaded.
    pub inbox_calls: usize,
    /// Bytes of publishes that may wait for the engine. More smooth bursts and cost that much memory.
    pub inbox_bytes: u32,
    /// A journal entry takes no more commands beyond this size. More make larger writes and longer waits for each.
    pub entry_bytes: usize,
    /// Messages that all queues of a topic together may get from one call. More make calls that hold up others.
    pub routed_messages: u64,
    /// Bytes that they may get. Each queue's copy is written to disk by itself once a checkpoint takes it.
    pub routed_bytes: u64,
    /// Journal entries that may be under way. More hide a slow disk's latency and make entries smaller.
    pub entries_in_flight: u64,
    /// Bytes that are read ahead for a queue whose next messages lie on disk.
    pub read_ahead_bytes: usize,
    /// Bytes read ahead for all queues together; beyond it, messages are read one at a time.
    pub read_ahead_total_bytes: usize,
    /// Deduplication ids that all queues together may remember, about 350 bytes each with their share of the state files' cache. Beyond it, publishes with an id are
    /// refused.
    pub deduplication_ids_max: usize,
    /// Messages published with a delay that all queues together may hold, about 330 bytes of memory each besides their
    /// bodies. Beyond it, publishes with a delay are refused.
    pub delayed_messages_max: usize,
    /// The most messages that wait behind others of their ordering key, in all queues. Beyond it a message whose key has to wait
    /// is not stepped over, and those behind it wait too. Each costs about 100 bytes.
    pub parked_messages_max: u64,
    /// The most messages that are known one by one in all queues: leased, given back, delayed, or dead. Beyond it nothing is handed
    /// out that is not among them. Each costs about 330 bytes.
    pub touched_messages_max: usize,
    /// Where to write a hash of the state after each entry; only tests have a use for it.
    pub state_hashes: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            inbox_calls: 4096,
            inbox_bytes: 64 << 20,
            entry_bytes: 1 << 20,
            routed_messages: 100_000,
            routed_bytes: 256 << 20,
            entries_in_flight: 3,
            read_ahead_bytes: 1 << 20,
            read_ahead_total_bytes: 64 << 20,
            deduplication_ids_max: 1_000_000,
            delayed_messages_max: 1_000_000,
            parked_messages_max: 2_000_000,
            touched_messages_max: 4_000_000,
            state_hashes: None,
        }
    }
}
