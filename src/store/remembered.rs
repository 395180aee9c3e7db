//! Deduplication ids that queues remember: the tree `ids`.
//!
//! | key, big-endian                    | value                               |
//! |------------------------------------|-------------------------------------|
//! | queue: u32, sequence: u64          | id: two u64, stored at: u64         |
//!
//! Rows go ahead of the transaction, as chunks do: those at or past their queue's next sequence were named by none.
//! Those before the queue's `remembered_from`, and those of queues that are gone, are dead, and go some at a time.

use crate::types::{DeduplicationId, QueueId, QueueRecord, Sequence, Timestamp};

use super::ReadError;
use super::codec::{Input, Malformed};
use super::rows::Tree;
use super::state::{DRAIN_ROWS, State};
use super::sums::Sums;

const TREE: &str = "ids";
/// How many rows are written before sled's threads have to catch up.
const WRITTEN_ROWS: usize = 16 << 10;

/// An id, of which message it is, and when that was stored.
pub type RememberedId = (QueueId, Sequence, DeduplicationId, Timestamp);

fn key(queue: QueueId, sequence: Sequence) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&queue.0.to_be_bytes());
    key[4..].copy_from_slice(&sequence.0.to_be_bytes());
    key
}

fn encode(id: DeduplicationId, at: Timestamp) -> [u8; 24] {
    let mut value = [0; 24];
    for (place, number) in [id.0[0], id.0[1], at.0].into_iter().enumerate() {
        value[place * 8..place * 8 + 8].copy_from_slice(&number.to_be_bytes());
    }
    value
}

pub(super) fn decode(key: &[u8], value: &[u8]) -> Result<RememberedId, Malformed> {
    let mut input = Input::new(key);
    let (queue, sequence) = (QueueId(input.u32()?), Sequence(input.u64()?));
    input.finish()?;
    let mut input = Input::new(value);
    let id = DeduplicationId([input.u64()?, input.u64()?]);
    let at = Timestamp(input.u64()?);
    input.finish()?;
    Ok((queue, sequence, id, at))
}

/// Writes ids ahead of the transaction that will name them.
pub(super) fn write<'a>(
    state: &State,
    ids: impl Iterator<Item = (&'a (QueueId, Sequence), &'a (DeduplicationId, Timestamp))>,
) -> Result<(), ReadError> {
    let mut rows = 0;
    for (&(queue, sequence), &(id, at)) in ids {
        state.ids.insert(key(queue, sequence), &encode(id, at))?;
        rows += 1;
        if rows % WRITTEN_ROWS == 0 {
            state.drain()?;
        }
    }
    Ok(())
}

/// Adds to sums what a checkpoint does to remembered ids, which have been written: some are new, and some are forgotten.
pub(super) fn change<'a>(
    state: &State,
    ids: impl Iterator<Item = (&'a (QueueId, Sequence), &'a (DeduplicationId, Timestamp))>,
    records: impl Iterator<Item = &'a QueueRecord>,
    sums: &mut Sums,
) -> Result<(), ReadError> {
    for (&(queue, sequence), &(id, at)) in ids {
        sums.change(TREE, &key(queue, sequence), None, Some(&encode(id, at)));
    }
    if state.ids.is_empty() {
        return Ok(());
    }
    for record in records {
        let from = state.queue(record.id)?.map_or(Sequence(0), |before| before.remembered_from);
        for row in state.ids.range(key(record.id, from)..key(record.id, record.remembered_from.max(from))) {
            let (key, value) = row?;
            sums.change(TREE, &key, Some(&value), None);
        }
    }
    Ok(())
}

/// Removes rows of a queue before `until`: all of them, or some more than `most`.
pub(super) fn remove_before(
    state: &State,
    queue: QueueId,
    until: Sequence,
    most: usize,
) -> Result<(), ReadError> {
    let mut removed = 0;
    while removed < most {
        let range = state.ids.range(key(queue, Sequence(0))..key(queue, until));
        let count = remove(state, &state.ids, range.keys())?;
        if count == 0 {
            break;
        }
        removed += count;
    }
    Ok(())
}

/// Removes up to `DRAIN_ROWS` rows; how many.
fn remove(
    state: &State,
    tree: &Tree,
    keys: impl Iterator<Item = sled::Result<sled::IVec>>,
) -> Result<usize, ReadError> {
    let keys = keys.take(DRAIN_ROWS).collect::<Result<Vec<_>, _>>()?;
    let count = keys.len();
    for key in keys {
        tree.remove(key)?;
    }
    if count > 0 {
        state.drain()?;
    }
    Ok(count)
}

/// What the tree holds.
#[derive(Default)]
pub(super) struct Loaded {
    /// The ids that the latest checkpoint holds, by queue and sequence.
    pub(super) ids: Vec<RememberedId>,
    pub(super) sums: Sums,
    /// Rows that it does not name.
    unnamed: Vec<sled::IVec>,
}

/// Reads all of the tree.
pub(super) fn load(state: &State, queues: &[QueueRecord]) -> Result<Loaded, ReadError> {
    let mut loaded = Loaded::default();
    for row in &state.ids {
        let (key, value) = row?;
        let id = decode(&key, &value).map_err(|malformed| ReadError::State(format!("ids: {malformed}")))?;
        let queue = queues.binary_search_by_key(&id.0, |queue| queue.id).ok().map(|at| &queues[at]);
        match queue {
            Some(queue) if (queue.remembered_from..queue.next_sequence).contains(&id.1) => {
                loaded.ids.push(id);
                loaded.sums.change(TREE, &key, None, Some(&value));
            }
            Some(_) | None => loaded.unnamed.push(key),
        }
    }
    Ok(loaded)
}

impl Loaded {
    /// Removes rows that the checkpoint does not name: their sequences will be used again.
    pub(super) fn remove_unnamed(self, state: &State) -> Result<Vec<RememberedId>, ReadError> {
        for keys in self.unnamed.chunks(DRAIN_ROWS) {
            remove(state, &state.ids, keys.iter().cloned().map(Ok))?;
        }
        Ok(self.ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_known_bytes_and_reads_back() {
        let (key, value) = (key(QueueId(1), Sequence(2)), encode(DeduplicationId([3, 4]), Timestamp(5)));
        assert_eq!(key, [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2]);
        assert_eq!(value, [0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 5]);
        let row = (QueueId(1), Sequence(2), DeduplicationId([3, 4]), Timestamp(5));
        assert_eq!(decode(&key, &value), Ok(row));
        assert!(decode(&key, &value[1..]).is_err() && decode(&key[1..], &value).is_err());
    }
}
