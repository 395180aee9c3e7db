//! Messages that go to another queue: dead-lettered, or redriven. Settled here and stored there, or neither.
//!
//! A move takes messages in the order of the queue. An untouched one that stays while others behind it go is stepped over: it
//! is ready as before, and known one by one from then on.

use super::Engine;
use super::outcome::{Effects, Outcome};
use crate::types::{Arrival, Attempt, Change, Epoch, Moved, Moving, QueueId, Sequence, Touch, TouchState};

impl Engine {
    pub(super) fn relocate(
        &mut self,
        id: QueueId,
        which: Moving,
        messages: Vec<Moved>,
        effects: &mut Effects,
    ) -> Outcome {
        if !self.queues.contains_key(&id) {
            return Outcome::NoQueue;
        }
        self.dirty.insert(id);
        let mut moved = 0;
        for Moved { sequence, size, to } in messages {
            let to = to.filter(|to| to.queue != id && self.queues.contains_key(&to.queue));
            match to {
                Some(to) if self.leave(id, which, sequence, size, effects) => {
                    self.arrive(to, effects);
                    moved += 1;
                }
                Some(_) => {}
                None => self.step_over(id, which, sequence, size, effects),
            }
        }
        Outcome::Moved { messages: moved }
    }

    /// Takes a message out of its queue, if it is still one of those that may be moved.
    fn leave(
        &mut self,
        id: QueueId,
        which: Moving,
        sequence: Sequence,
        size: u32,
        effects: &mut Effects,
    ) -> bool {
        let Some(queue) = self.queues.get_mut(&id) else { return false };
        match (queue.touch(sequence), which) {
            (Some(touch), Moving::Dead) if touch.is_dead() => self.settle(id, sequence, effects),
            (Some(touch), Moving::Ready) if touch.is_ready() => self.settle(id, sequence, effects),
            (None, Moving::Ready) if queue.is_next(sequence) => {
                queue.advance(size);
                effects.changes.push(Change::Settled { queue: id, sequence });
            }
            _ => return false,
        }
        true
    }

    fn arrive(&mut self, Arrival { queue: id, content }: Arrival, effects: &mut Effects) {
        let now = self.record.now;
        let Some(queue) = self.queues.get_mut(&id) else { return };
        let messages = vec![content];
        let first = queue.publish(&messages);
        self.dirty.insert(id);
        effects.changes.push(Change::Stored { queue: id, first, published_at: now, messages });
    }

    fn step_over(
        &mut self,
        id: QueueId,
        which: Moving,
        sequence: Sequence,
        size: u32,
        effects: &mut Effects,
    ) {
        let Some(queue) = self.queues.get_mut(&id) else { return };
        if which == Moving::Ready && queue.is_next(sequence) {
            queue.advance(size);
            let (attempt, epoch) = (Attempt(0), Epoch(0));
            let touch = Touch { attempt, uncounted: 0, epoch, size, state: TouchState::Ready };
            self.put(id, sequence, touch, effects);
        }
    }
}
