//! Messages that go to another queue: dead-lettered, or redriven. Settled here and stored there, or neither.
//!
//! A move takes messages in the order of the queue. An untouched one that stays while others behind it go is stepped over: it
//! is ready as before, and known one by one from then on.

use super::Engine;
use super::outcome::{Effects, Outcome};
use crate::types::{
    Arrival, Change, Dropped, Lane, Moved, Moving, OrderingKey, Priority, QueueId, Touch, TouchState,
};

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
        for Moved { sequence, size, priority, key, to } in messages {
            let picked = Dropped { sequence, size, priority };
            let Some(to) = to.filter(|to| to.queue != id && self.queues.contains_key(&to.queue)) else {
                if which == Moving::Ready {
                    self.step_over(id, picked, key, effects);
                }
                continue;
            };
            if let Some(lane) = self.leave(id, which, picked, effects) {
                self.arrive(to, lane.priority(), effects);
                moved += 1;
            }
        }
        Outcome::Moved { messages: moved }
    }

    /// Takes a message out of its queue and its lane, if it is still one of those that may be moved.
    fn leave(
        &mut self,
        id: QueueId,
        which: Moving,
        Dropped { sequence, size, priority }: Dropped,
        effects: &mut Effects,
    ) -> Option<Lane> {
        let queue = self.queues.get_mut(&id)?;
        if let Some(touch) = queue.touch(sequence) {
            let lane = touch.lane;
            let may = match which {
                Moving::Dead => touch.is_dead(),
                Moving::Ready => touch.is_ready(),
            };
            if may {
                self.settle(id, sequence, effects);
            }
            return may.then_some(lane);
        }
        if which != Moving::Ready {
            return None;
        }
        if queue.is_next(priority, sequence) {
            queue.advance(priority, sequence, size);
        } else {
            queue.unpark(sequence)?;
            self.parked -= 1;
        }
        let lane = Lane::of(priority);
        effects.changes.push(Change::Settled { queue: id, lane, sequence });
        Some(lane)
    }

    /// A message keeps its priority, unless all of its new queue are of one.
    fn arrive(&mut self, Arrival { queue: id, content }: Arrival, priority: Priority, effects: &mut Effects) {
        let now = self.record.now;
        let Some(queue) = self.queues.get_mut(&id) else { return };
        let lane = queue.lane_for(priority);
        let lanes = if lane == Lane::default() { Vec::new() } else { vec![(0, lane)] };
        let messages = vec![content];
        let first = queue.publish(&messages, &lanes);
        self.dirty.insert(id);
        effects.changes.push(Change::Stored { queue: id, first, published_at: now, messages, lanes });
    }

    fn step_over(&mut self, id: QueueId, picked: Dropped, key: Option<OrderingKey>, effects: &mut Effects) {
        let Dropped { sequence, size, priority } = picked;
        let Some(queue) = self.queues.get_mut(&id) else { return };
        if queue.is_next(priority, sequence) {
            queue.advance(priority, sequence, size);
            let key = key.filter(|_| queue.by_key());
            let touch = Touch { key, ..Touch::unleased(size, Lane::of(priority), TouchState::Ready) };
            self.put(id, sequence, touch, effects);
        }
    }
}
