//! Walking through what is ready in a queue, lane by lane, through memory and what was read from disk.
//!
//! Messages of a lane that are in the state files come before those that are in memory. Where the next one of them was not read
//! yet, the walk ends: it must not step over a message.

use super::read_ahead::ReadAhead;
use crate::engine::Queue;
use crate::store::{Lookup, Store};
use crate::types::{Lane, LaneId, Priority, Sequence, StoredMessage};

/// What a walk meets.
pub(super) enum Step {
    /// A message that is ready.
    Ready(Lane, StoredMessage),
    /// A message that was not read yet.
    Cold,
}

/// What there is to go on with after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Go {
    On,
    Stop,
}

/// Walks through what is ready of one priority, in the order of delivery, until it is told to stop, or told so by what it met.
pub(super) fn through(
    (store, queue, priority): (&Store, &Queue, Priority),
    ahead: &mut ReadAhead,
    mut step: impl FnMut(Step) -> Go,
) -> Go {
    let id = queue.record().id;
    for sequence in queue.returned_of(priority) {
        let lane = queue.touch(sequence).map_or(Lane::of(priority), |touch| touch.lane);
        let found = match store.lookup(LaneId::new(id, lane), sequence) {
            Lookup::Hot(message) => Some(message),
            Lookup::Cold => ahead.get(lane, sequence).cloned(),
            Lookup::Gone => unreachable!("a ready message is in the store"),
        };
        let Some(message) = found else { return step(Step::Cold) };
        if step(Step::Ready(lane, message)) == Go::Stop {
            return Go::Stop;
        }
        ahead.take(lane, sequence);
    }
    untouched((store, queue, priority), ahead, step)
}

/// Walks through what is untouched of one priority.
pub(super) fn untouched(
    (store, queue, priority): (&Store, &Queue, Priority),
    ahead: &mut ReadAhead,
    mut step: impl FnMut(Step) -> Go,
) -> Go {
    let record = queue.lane(priority);
    let (lane, mut left, mut from) = (Lane::of(priority), record.messages, record.frontier);
    let id = LaneId::new(queue.record().id, lane);
    let cold_until = store.cold_until(id);
    while left > 0 && from < cold_until {
        let Some(message) = ahead.next(lane, from).cloned() else { return step(Step::Cold) };
        let sequence = message.sequence;
        if step(Step::Ready(lane, message)) == Go::Stop {
            return Go::Stop;
        }
        ahead.take(lane, sequence);
        from = sequence.next();
        left -= 1;
    }
    if left == 0 {
        return Go::On;
    }
    for message in store.hot_from(id, from) {
        if step(Step::Ready(lane, message)) == Go::Stop {
            return Go::Stop;
        }
        left -= 1;
    }
    assert!(left == 0, "{left} messages of {id:?} are neither in memory nor in a state file");
    Go::On
}

/// The first message of a lane that is to be read: behind what was read, if that begins where the lane does.
pub(super) fn unread(
    store: &Store,
    queue: &Queue,
    priority: Priority,
    ahead: &ReadAhead,
) -> Option<Sequence> {
    let record = queue.lane(priority);
    let lane = Lane::of(priority);
    let from = ahead.end_of_run(lane, record.frontier);
    let cold_until = store.cold_until(LaneId::new(queue.record().id, lane));
    (record.messages > 0 && from < cold_until).then_some(from)
}
