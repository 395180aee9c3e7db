//! Reading the latest checkpoint when the store opens.
//!
//! Chunks that went ahead of a checkpoint which was never finished are named by no transaction: they lie at or past
//! their queue's next sequence, or belong to no queue. They go before anything else happens, because their sequences will
//! be used again. The chunks that count are not looked at: ten million messages cost no more than one.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::types::{
    Binding, BindingKey, EngineRecord, Lane, LaneId, LogId, QueueId, QueueRecord, Sequence, Timestamp,
    TopicName, Touch, Transaction, TransactionKey,
};

use super::checkpoint::{Sweep, sweeps};
use super::codec::{Malformed, length};
use super::keys::{self, ChunkKey};
use super::record::{self, Touches};
use super::remembered::{self, RememberedId};
use super::rows::Tree;
use super::state::{DRAIN_ROWS, State, chunk_key, corrupt, located};
use super::{ReadError, sums, topic, transaction};

/// The state that the latest checkpoint holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The last entry in it; zero before the first checkpoint.
    pub applied: LogId,
    /// The engine.
    pub engine: EngineRecord,
    /// All queues, by id.
    pub queues: Vec<QueueRecord>,
    /// All messages that were leased and are not settled, by queue and sequence.
    pub touched: Vec<(QueueId, Sequence, Touch)>,
    /// All topics, by name, with the time when each was created.
    pub topics: Vec<(TopicName, Timestamp)>,
    /// Their bindings.
    pub bindings: Vec<(BindingKey, Binding)>,
    /// Transactions that are remembered.
    pub transactions: Vec<(TransactionKey, Transaction)>,
    /// All deduplication ids that queues remember, by queue and sequence.
    pub remembered: Vec<RememberedId>,
}

/// Reads the checkpoint.
pub(super) fn snapshot(state: &State) -> Result<Snapshot, ReadError> {
    let (applied, engine) = state.applied()?;
    let queues = state.queue_records()?;
    let remembered = remembered::load(state, &queues)?;
    sums::verify(state, &queues, &remembered.sums)?;
    let mut touched = Vec::new();
    for row in &state.records {
        let (key, value) = row?;
        let key = chunk_key(&key)?;
        // A deleted queue's records go with its chunks, later.
        if queues.binary_search_by_key(&key.lane.queue, |queue| queue.id).is_err() {
            continue;
        }
        let mut touches = Touches::new();
        record::decode(&value, key, &mut touches).map_err(|malformed| corrupt("records", key, malformed))?;
        touched.extend(touches.into_iter().map(|(sequence, touch)| (key.lane.queue, sequence, touch)));
    }
    let remembered = remembered.remove_unnamed(state)?;
    let topics = rows(&state.topics, "topics", topic::decode_topic)?;
    let bindings = rows(&state.bindings, "bindings", topic::decode_binding)?;
    let transactions = rows(&state.transactions, "transactions", transaction::decode)?;
    Ok(Snapshot { applied, engine, queues, touched, topics, bindings, transactions, remembered })
}

/// All rows of a tree.
fn rows<T>(
    tree: &Tree,
    name: &str,
    decode: impl Fn(&[u8], &[u8]) -> Result<T, Malformed>,
) -> Result<Vec<T>, ReadError> {
    let row = |row: Result<(sled::IVec, sled::IVec), sled::Error>| {
        let (key, value) = row?;
        decode(&key, &value).map_err(|malformed| ReadError::State(format!("{name}: {malformed}")))
    };
    tree.iter().map(row).collect()
}

/// Removes what no transaction named; how many rows that were. Then the sweeps that are still to be done.
pub(super) fn remove_unnamed(state: &State, queues: &[QueueRecord]) -> Result<(u64, Vec<Sweep>), ReadError> {
    let sweeps = sweeps(state)?;
    let mut removed = 0;
    for tree in [&state.chunks, &state.parts] {
        let mut from = Vec::new();
        while let Some(row) = tree.range(from.clone()..).next() {
            let lane = chunk_key(&row?.0)?.lane;
            let queue = lane.queue;
            let known =
                queues.binary_search_by_key(&queue, |record| record.id).map(|at| queues[at].next_sequence);
            let unnamed = match known {
                Ok(next) => Some(next),
                Err(_) if sweeps.iter().any(|sweep| sweep.is_all_of(queue)) => None,
                Err(_) => Some(Sequence(0)),
            };
            if let Some(unnamed) = unnamed {
                removed += remove_from(state, tree, lane, unnamed)?;
            }
            from = keys::end_of(lane).to_vec();
        }
    }
    Ok((removed, sweeps))
}

fn remove_from(state: &State, tree: &Tree, lane: LaneId, from: Sequence) -> Result<u64, ReadError> {
    let least = ChunkKey::new(lane, from).encode().to_vec();
    let most = ChunkKey::new(lane, Sequence(u64::MAX)).part(u16::MAX).to_vec();
    let mut removed = 0;
    loop {
        let range = (Bound::Included(least.clone()), Bound::Included(most.clone()));
        let keys = tree.range(range).keys().take(DRAIN_ROWS).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Ok(removed);
        }
        removed += length(keys.len());
        for key in keys {
            tree.remove(key)?;
        }
        state.drain()?;
    }
}

/// For each lane that may have messages on disk, where these end: behind the last that is there.
pub(super) fn cold_ends(
    state: &State,
    queues: &[QueueRecord],
) -> Result<BTreeMap<LaneId, Sequence>, ReadError> {
    let mut ends = BTreeMap::new();
    for queue in queues {
        for lane in Lane::all() {
            let lane = LaneId::new(queue.id, lane);
            if let Some((key, value)) = state.chunk_before(lane, Sequence(u64::MAX))? {
                ends.insert(lane, located(key, &value)?.last.next());
            }
        }
    }
    Ok(ends)
}
