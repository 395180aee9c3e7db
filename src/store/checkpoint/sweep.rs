//! Sweeps: removing many dead chunks, a few at a time, over as long as it takes and as many restarts.
//!
//! A sweep covers chunks of one lane that begin from one message on and end before another, which is not past the
//! lane's frontier; those that have a record stay. So it is right whenever it runs, and running it twice does no harm. A sweep
//! of all of a queue follows the queue's deletion. Its row in the `sweeps` tree goes when what it removed is on disk.

use sled::transaction::TransactionError;

use crate::store::keys::{self, ChunkKey};
use crate::store::state::{DRAIN_ROWS, Located, State, located};
use crate::store::{ReadError, meta, rows};
use crate::types::{LaneId, QueueId, Sequence};

use super::Stop;

const END: Sequence = Sequence(u64::MAX);

/// What is to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) struct Sweep {
    lane: LaneId,
    from: Sequence,
    until: Sequence,
    /// How far it got; begins at `from`.
    at: Sequence,
}

impl Sweep {
    pub(super) fn new(lane: LaneId, from: Sequence, until: Sequence) -> Self {
        Self { lane, from, until, at: from }
    }

    pub(super) fn all_of(queue: QueueId) -> Self {
        Self::new(queue.into(), Sequence(0), END)
    }

    pub(in crate::store) fn is_all_of(&self, queue: QueueId) -> bool {
        self.lane.queue == queue && self.until == END
    }

    /// Its row in the `sweeps` tree.
    pub(super) fn row(&self) -> (Vec<u8>, Vec<u8>) {
        (keys::sweep(self.lane, self.from).to_vec(), meta::encode_until(self.until).to_vec())
    }
}

/// The sweeps that are not done.
pub(in crate::store) fn sweeps(state: &State) -> Result<Vec<Sweep>, ReadError> {
    let mut sweeps = Vec::new();
    for row in &state.sweeps {
        let (key, value) = row?;
        let damaged = |malformed| ReadError::State(format!("sweeps: {malformed}"));
        let (lane, from) = keys::decode_sweep(&key).map_err(damaged)?;
        sweeps.push(Sweep::new(lane, from, meta::decode_until(&value).map_err(damaged)?));
    }
    Ok(sweeps)
}

/// Adds a sweep. Two with one key share a row, which must cover both.
pub(super) fn add(sweeps: &mut Vec<Sweep>, new: Sweep) {
    match sweeps.iter_mut().find(|sweep| (sweep.lane, sweep.from) == (new.lane, new.from)) {
        Some(known) => *known = Sweep::new(new.lane, new.from, known.until.max(new.until)),
        None => sweeps.push(new),
    }
}

/// Adds sweeps that cover the given chunks, which are dead and in order: one a lane.
pub(super) fn add_over(sweeps: &mut Vec<Sweep>, dead: &[Located]) {
    for chunks in dead.chunk_by(|a, b| a.key.lane == b.key.lane) {
        if let (Some(first), Some(last)) = (chunks.first(), chunks.last()) {
            add(sweeps, Sweep::new(first.key.lane, first.key.first, last.last.next()));
        }
    }
}

/// Removes a few chunks; true once there is nothing left to remove, and that is on disk.
pub(super) fn step(state: &State, sweep: &mut Sweep) -> Result<bool, Stop> {
    let more = if sweep.until == END { step_all(state, sweep.lane.queue)? } else { step_dead(state, sweep)? };
    if more {
        return Ok(false);
    }
    state.persist()?;
    state.sweeps.remove(sweep.row().0)?;
    Ok(true)
}

fn step_dead(state: &State, sweep: &mut Sweep) -> Result<bool, Stop> {
    let mut rows = 0;
    for row in state.chunks_between(sweep.lane, sweep.at, sweep.until) {
        let (key, value) = row?;
        let chunk = located(key, &value)?;
        sweep.at = key.first.next();
        if chunk.last < sweep.until && !state.records.contains_key(key.encode())? {
            remove(state, chunk)?;
            rows += 1 + usize::from(chunk.parts);
        }
        if rows >= DRAIN_ROWS {
            state.drain()?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// Removes a chunk and its parts at once: parts without a chunk would never be found again.
fn remove(state: &State, chunk: Located) -> Result<(), Stop> {
    if chunk.parts == 0 {
        state.chunks.remove(chunk.key.encode())?;
        return Ok(());
    }
    let removed = rows::transaction([&state.chunks, &state.parts], |[chunks, parts]| {
        chunks.remove(&chunk.key.encode())?;
        for part in 0..chunk.parts {
            parts.remove(&chunk.key.part(part))?;
        }
        Ok(())
    });
    removed.map_err(|error: TransactionError<()>| Stop::Failed(format!("sweeping: {error:?}")))
}

fn step_all(state: &State, queue: QueueId) -> Result<bool, Stop> {
    let least = ChunkKey::new(queue, Sequence(0)).encode().to_vec();
    let most = [&queue.0.to_be_bytes()[..], &[u8::MAX]].concat();
    for tree in [&state.chunks, &state.records, &state.parts] {
        let keys: Vec<_> =
            tree.range(least.clone()..=most.clone()).keys().take(DRAIN_ROWS).collect::<Result<_, _>>()?;
        if !keys.is_empty() {
            for key in keys {
                tree.remove(key)?;
            }
            state.drain()?;
            return Ok(true);
        }
    }
    Ok(false)
}
