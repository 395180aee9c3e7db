//! Merging: what an overlay says about messages of older checkpoints goes into the records of their chunks.
//!
//! A chunk is looked at if one of its messages was touched or settled, or if the frontier moved into it or past it. Its record
//! is what it was, and then what the overlay says. A chunk before the frontier without a record is dead.

use std::collections::BTreeMap;

use crate::store::overlay::{Delta, LaneOverlay, Span};
use crate::store::record;
use crate::store::state::{Located, State, located};
use crate::types::{Lane, LaneId, QueueRecord, Sequence};

use super::Stop;
use super::plan::Plan;
use super::sweep::{self, Sweep};

/// Purged spans of more messages than this are swept instead of looked at.
const LOOK_MAX: u64 = 16 << 10;

/// Where a lane begins and ends.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bounds {
    pub(super) frontier: Sequence,
    pub(super) next: Sequence,
}

impl Bounds {
    /// In a lane of what was published with a delay nothing is ready but what a record says.
    pub(super) fn of(record: &QueueRecord, lane: Lane) -> Self {
        let next = record.next_sequence;
        let frontier = record.lanes.of(lane.priority()).frontier;
        Self { frontier: if lane.is_delayed() { next } else { frontier }, next }
    }
}

/// The chunks to look at, by their first message.
type Chunks = BTreeMap<Sequence, Located>;

/// Plans the records and the removal of the older chunks of a lane, which was within `old` and now is within `new`.
pub(super) fn lane(
    state: &State,
    plan: &mut Plan,
    id: LaneId,
    changes: &LaneOverlay,
    old: Bounds,
    new: Bounds,
) -> Result<(), Stop> {
    let mut chunks = Chunks::new();
    touched(state, id, changes, old, &mut chunks)?;
    passed(state, plan, id, changes, old.frontier..new.frontier.min(old.next), &mut chunks)?;
    for chunk in chunks.values() {
        let (mut touches, pieces) = state.record(chunk.key)?;
        let deltas = changes.deltas.range(chunk.key.first..=chunk.last);
        for (&sequence, delta) in deltas {
            match delta {
                Delta::Touched(touch) => touches.insert(sequence, touch.clone()),
                Delta::Settled => touches.remove(&sequence),
            };
        }
        if !touches.is_empty() {
            plan.put_record(chunk.key, record::encode(chunk.key.first, &touches), pieces);
            continue;
        }
        if pieces > 0 {
            plan.put_record(chunk.key, Vec::new(), pieces);
        }
        if chunk.last < new.frontier {
            plan.dead.push(*chunk);
        }
    }
    Ok(())
}

/// Finds the chunks of the messages that were touched or settled.
fn touched(
    state: &State,
    id: LaneId,
    changes: &LaneOverlay,
    old: Bounds,
    chunks: &mut Chunks,
) -> Result<(), Stop> {
    let mut current: Option<Located> = None;
    for (&sequence, delta) in changes.deltas.range(..old.next) {
        let holds = |chunk: &Located| (chunk.key.first..=chunk.last).contains(&sequence);
        if current.as_ref().is_some_and(holds) {
            continue;
        }
        current = before(state, id, sequence)?.filter(holds);
        match (current, delta) {
            (Some(chunk), _) => _ = chunks.insert(chunk.key.first, chunk),
            (None, Delta::Settled) => {}
            (None, Delta::Touched(_)) => {
                return Err(Stop::Failed(format!(
                    "message {sequence} of queue {} was leased but is not stored",
                    id.queue.0
                )));
            }
        }
    }
    Ok(())
}

/// Finds the chunks that the frontier moved into or past. Those within a large purged span are left to a sweep.
fn passed(
    state: &State,
    plan: &mut Plan,
    id: LaneId,
    changes: &LaneOverlay,
    moved: std::ops::Range<Sequence>,
    chunks: &mut Chunks,
) -> Result<(), Stop> {
    if moved.is_empty() {
        return Ok(());
    }
    let begin = before(state, id, moved.start)?.filter(|chunk| chunk.last >= moved.start);
    let mut from = begin.map_or(moved.start, |chunk| chunk.key.first);
    let large = |span: &&Span| span.until.0 - span.from.0 > LOOK_MAX;
    for span in changes.purged.iter().filter(large) {
        let until = span.until.min(moved.end);
        if from >= until {
            continue;
        }
        let stop = span.from.max(from);
        collect(state, id, from..stop, chunks)?;
        sweep::add(&mut plan.sweeps, Sweep::new(id, stop, until));
        // A chunk that goes on behind the span was looked at if its next message was leased, else it is alive.
        from = until;
    }
    collect(state, id, from..moved.end, chunks)
}

fn collect(
    state: &State,
    id: LaneId,
    range: std::ops::Range<Sequence>,
    chunks: &mut Chunks,
) -> Result<(), Stop> {
    for row in state.chunks_between(id, range.start, range.end) {
        let (key, value) = row?;
        chunks.insert(key.first, located(key, &value)?);
    }
    Ok(())
}

fn before(state: &State, id: LaneId, sequence: Sequence) -> Result<Option<Located>, Stop> {
    let found = state.chunk_before(id, sequence)?;
    Ok(found.map(|(key, value)| located(key, &value)).transpose()?)
}
