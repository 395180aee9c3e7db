//! A look at a stopped data directory: what its checkpoint and its journal hold.
//!
//! It takes the directory's lock, and sled tidies its files when it opens them; nothing else is changed: torn tails and chunks
//! that no checkpoint named stay.

use std::path::Path;
use std::sync::Arc;

use crate::types::{QueueId, Sequence, StoredMessage};

use super::checkpoint::sweeps;
use super::codec::length;
use super::directory::Directory;
use super::host::Machine;
use super::journal::{self, JournalSummary, Replay};
use super::state::{State, chunk_key, located};
use super::{OpenError, ReadError, Snapshot, StoreOptions, chunk, recovery};

/// What a data directory holds.
#[derive(Debug)]
pub struct Inspection {
    /// The state of the latest checkpoint: queues, leases, the entry it holds.
    pub snapshot: Snapshot,
    /// The chunks of each queue id that has any, whether the queue exists or not.
    pub queues: Vec<QueueChunks>,
    /// Removals that go on after the next start.
    pub sweeps: usize,
    /// Rows of the `parts` tree: pieces of large messages.
    pub parts: u64,
    /// The journal.
    pub journal: JournalSummary,
    /// The entries after the checkpoint.
    pub replay: Replay,
}

/// The chunks of one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueChunks {
    /// The queue.
    pub queue: QueueId,
    /// How many chunks.
    pub chunks: u64,
    /// How many of them have a record.
    pub records: u64,
    /// How many messages are in them, settled ones included.
    pub messages: u64,
}

/// Inspects a data directory that no server has open. Reads all of its chunks, and checks their checksums.
///
/// # Errors
/// As opening it would; also if a chunk is damaged.
pub fn inspect(path: &Path) -> Result<Inspection, OpenError> {
    if !path.join("FORMAT").is_file() {
        return Err(OpenError::Foreign { directory: path.to_owned(), found: "nothing of bbq".to_owned() });
    }
    let options = StoreOptions::default();
    let directory = Directory::open(Arc::new(Machine), path, options.sled_segment_bytes)?;
    let journal_path = directory.journal();
    let state = State::open(directory, &options)?;
    let unreadable = |error: ReadError| state.unreadable(&error);
    let snapshot = recovery::snapshot(&state).map_err(unreadable)?;
    let (journal, replay) = journal::summarize(&journal_path, snapshot.applied)?;
    Ok(Inspection {
        queues: count(&state).map_err(unreadable)?,
        sweeps: sweeps(&state).map_err(unreadable)?.len(),
        parts: length(state.parts.len()),
        snapshot,
        journal,
        replay,
    })
}

/// The chunk that a checkpoint makes of neighbouring messages of one queue: as many of the first as fit into one. Empty for none.
#[must_use]
pub fn pack(messages: &[StoredMessage]) -> Vec<u8> {
    let Some((first, others)) = messages.split_first() else { return Vec::new() };
    let mut chunk = chunk::ChunkBuilder::new(first);
    for message in others {
        if !chunk.takes(message) {
            break;
        }
        chunk.push(message);
    }
    chunk.finish()
}

/// How many messages a chunk holds, read as a delivery reads it: with its checksum, and decompressed. `first` is the first of them.
///
/// # Errors
/// What is wrong with it.
pub fn unpack(value: &[u8], first: Sequence) -> Result<usize, String> {
    chunk::decode(value, first).map(|decoded| decoded.slots.len()).map_err(|malformed| malformed.to_string())
}

fn count(state: &State) -> Result<Vec<QueueChunks>, ReadError> {
    let mut queues: Vec<QueueChunks> = Vec::new();
    for row in &state.chunks {
        let (key, value) = row?;
        let key = chunk_key(&key)?;
        located(key, &value)?;
        let decoded = chunk::decode(&value, key.first)
            .map_err(|malformed| super::state::corrupt("chunks", key, malformed))?;
        if queues.last().is_none_or(|last| last.queue != key.lane.queue) {
            queues.push(QueueChunks { queue: key.lane.queue, chunks: 0, records: 0, messages: 0 });
        }
        if let Some(last) = queues.last_mut() {
            last.chunks += 1;
            last.records += u64::from(state.records.contains_key(key.encode())?);
            last.messages += length(decoded.slots.len());
        }
    }
    Ok(queues)
}
