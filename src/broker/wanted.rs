//! What to read of a queue: what consumers will need next and only the disk has.
//!
//! It looks and changes nothing. At most one kind at a time: what came back before what is untouched, the most urgent first.

use super::consumers::Counter;
use super::keyed;
use super::read_ahead::{ReadAhead, Wanted};
use super::walk;
use crate::engine::Queue;
use crate::store::{Lookup, Store};
use crate::types::{Lane, LaneId, Priority, Sequence};

/// The most messages that came back which one read fetches.
const RETURNED_MAX: usize = 256;
/// The most messages that one read fetches ahead: they are small, or the bytes bound them.
const READ_MAX: usize = 4096;

/// What to read next, if anything that will be needed is on disk.
pub(super) fn wanted(
    store: &Store,
    queue: &Queue,
    counter: &Counter,
    bytes: usize,
    parked: bool,
) -> Option<Wanted> {
    let Counter { ahead, dispatch, streams, .. } = counter;
    if queue.by_key()
        && let Some(heads) = heads(store, queue, ahead, bytes)
    {
        return Some(heads);
    }
    for priority in queue.ready_priorities() {
        if let Some(returned) = returned(store, queue, ahead, priority, bytes) {
            return Some(returned);
        }
        if let Some(from) = walk::unread(store, queue, priority, ahead) {
            let lane = Lane::of(priority);
            let until = store.cold_until(LaneId::new(queue.record().id, lane));
            // Streams go on and on; a Receive takes what it wants and is gone, and what was read beyond that with it. What is
            // stepped over it does not get.
            let many = *streams > 0 || parked;
            let messages = if many { READ_MAX } else { dispatch.free_messages().min(READ_MAX) };
            return Some(Wanted::Untouched { lane, from, until, messages, bytes });
        }
    }
    None
}

/// Of a BY_KEY queue, what is on disk of the messages that may go, each with those of its key that may go with it.
fn heads(store: &Store, queue: &Queue, ahead: &ReadAhead, bytes: usize) -> Option<Wanted> {
    let (id, lane) = (LaneId::from(queue.record().id), Lane::default());
    let cold = |&sequence: &Sequence| {
        matches!(store.lookup(id, sequence), Lookup::Cold) && ahead.get(lane, sequence).is_none()
    };
    let mut sequences: Vec<_> = Vec::new();
    let mut size = 0;
    for head in queue.heads().filter(cold).take(keyed::COLD_MAX) {
        let (run, _) = queue.run_behind(head, keyed::RUN_MAX);
        for sequence in std::iter::once(head).chain(run.into_iter().filter(cold)) {
            let touched = queue.touch(sequence).map(|touch| touch.size);
            let own = touched.or_else(|| queue.parked_from(sequence).next().map(|(_, size, _)| size));
            size += usize::try_from(own.unwrap_or(0)).unwrap_or(usize::MAX);
            // One in any case, however large.
            if sequences.len() == RETURNED_MAX || (size > bytes && !sequences.is_empty()) {
                break;
            }
            sequences.push(sequence);
        }
    }
    sequences.sort_unstable();
    (!sequences.is_empty()).then_some(Wanted::Returned { lane, sequences })
}

/// Of one priority, what came back and is on disk: the first, and its neighbours in its lane.
fn returned(
    store: &Store,
    queue: &Queue,
    ahead: &ReadAhead,
    priority: Priority,
    bytes: usize,
) -> Option<Wanted> {
    let id = queue.record().id;
    let touches = queue.returned_of(priority).filter_map(|sequence| Some((sequence, queue.touch(sequence)?)));
    let mut cold = touches
        .filter(|&(sequence, touch)| {
            matches!(store.lookup(LaneId::new(id, touch.lane), sequence), Lookup::Cold)
                && ahead.get(touch.lane, sequence).is_none()
        })
        .peekable();
    let lane = cold.peek()?.1.lane;
    let mut size = 0;
    let mut sequences = Vec::new();
    for (sequence, touch) in cold.take_while(|(_, touch)| touch.lane == lane).take(RETURNED_MAX) {
        size += usize::try_from(touch.size).unwrap_or(usize::MAX);
        // One in any case, however large.
        if size > bytes && !sequences.is_empty() {
            break;
        }
        sequences.push(sequence);
    }
    Some(Wanted::Returned { lane, sequences })
}
