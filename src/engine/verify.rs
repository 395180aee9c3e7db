//! What must always be true of an engine, checked in full. Tests call it after every command.
//!
//! Each index is made anew from the leases and compared with the one that was kept up to date.

use std::collections::{BTreeMap, BTreeSet};

use super::settle::holder_key;
use super::timer::Timers;
use super::{Engine, Queue};
use crate::types::TouchState;

impl Engine {
    /// Checks every invariant; costs as much as is in flight.
    ///
    /// # Panics
    /// If one does not hold: the engine has a bug, or was restored from records that never were one state.
    pub fn verify(&self) {
        let mut timers = Timers::default();
        let mut holders = BTreeMap::<_, BTreeSet<_>>::new();
        for (&id, queue) in &self.queues {
            let record = queue.record();
            assert_eq!(record.id, id, "a queue knows its id");
            assert_eq!(self.names.get(&record.name), Some(&id), "a queue is found by its name");
            assert!(id < self.record.next_queue, "{id:?} would be given again");
            queue.verify();
            assert_eq!(self.cycle(&record.name, &record.settings), None, "dead-letter queues in a circle");
            for (&sequence, touch) in queue.touched() {
                assert!(touch.epoch <= self.record.epoch, "{sequence} was leased in an epoch to come");
                if let TouchState::Delayed { until } = touch.state {
                    timers.insert(until, id, sequence);
                }
                let Some(lease) = touch.lease() else { continue };
                assert_eq!(lease.epoch, touch.epoch, "a lease is that of the latest attempt");
                assert!(lease.since <= self.record.now, "{sequence} was leased in times to come");
                timers.insert(lease.deadline, id, sequence);
                holders.entry(holder_key(lease)).or_default().insert((id, sequence));
            }
        }
        self.topics.verify(&self.queues);
        self.transactions.verify();
        let remembered = self.queues.values().map(|queue| queue.remembered.len()).sum::<usize>();
        assert_eq!(self.remembered, remembered, "remembered ids are counted");
        let postponed = self.queues.values().flat_map(Queue::touched).filter(|(_, it)| it.lane.is_delayed());
        assert_eq!(self.postponed, postponed.count(), "what was published with a delay is counted");
        let parked = self.queues.values().map(Queue::parked).sum::<u64>();
        assert_eq!(self.parked, parked, "parked messages are counted");
        let touched = self.queues.values().map(Queue::touched_count).sum::<usize>();
        assert_eq!(self.touched, touched, "touched messages are counted");
        assert_eq!(self.names.len(), self.queues.len(), "a name is that of a queue");
        assert_eq!(self.timers, timers, "a timer stands if and only if its message is leased or delayed");
        assert_eq!(self.holders, holders, "a holder is known if and only if it holds something");
        assert!(self.dirty.iter().all(|id| self.queues.contains_key(id)), "only queues that live are dirty");
    }
}
