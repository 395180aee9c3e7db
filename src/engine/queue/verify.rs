//! What must always be true of a queue by itself, checked in full. Each set is made anew and compared with the one that was kept.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::{Place, Queue};
use crate::types::LaneRecord;

impl Queue {
    /// Checks every invariant of the queue; costs as much as is in flight in it. Panics if one does not hold.
    pub(in crate::engine) fn verify(&self) {
        let next = self.record.next_sequence;
        for (priority, lane) in self.record.lanes.descending() {
            let LaneRecord { frontier, messages, bytes } = lane;
            assert!(frontier.0 >= 1 && frontier <= next, "the frontier {frontier} is not in 1..={next}");
            assert!(messages <= next.0 - frontier.0, "{messages} messages from {frontier} to {next}");
            assert!(messages > 0 || bytes == 0, "no message of {priority:?}, but bytes of it");
        }
        let places = [
            (&self.returned, Place::Returned),
            (&self.delayed, Place::Delayed),
            (&self.dead, Place::Dead),
            (&self.leased, Place::Leased),
        ];
        for (set, place) in places {
            let touched = self.touched.iter().filter(|(_, touch)| Place::of(touch) == place);
            let expected: BTreeSet<_> = touched
                .filter(|_| place != Place::Leased || self.is_ordered())
                .filter(|&(&sequence, touch)| place != Place::Returned || self.is_head(sequence, touch.key))
                .map(|(&sequence, touch)| (Reverse(touch.lane.priority()), sequence))
                .collect();
            assert!(*set == expected, "the set {place:?} is not what is in that state");
        }
        self.remembered.verify(self.record.remembered_from, next);
        let bytes = self.touched.values().map(|touch| u64::from(touch.size)).sum::<u64>();
        assert_eq!(self.touched_bytes, bytes, "bytes are the sum of sizes");
        for (&sequence, touch) in &self.touched {
            assert!(
                sequence.0 >= 1 && !self.is_untouched(touch.lane, sequence),
                "{sequence} is touched and untouched"
            );
            assert!(touch.attempt.0 >= 1 || touch.lease().is_none(), "a lease of {sequence} is no attempt");
            assert!(touch.uncounted <= touch.attempt.0, "{sequence} has more attempts uncounted than it had");
            let lasting = !self.at_most_once() || touch.attempt.0 == 0;
            assert!(lasting, "{sequence} should have been gone when it was leased");
        }
        self.verify_order();
        self.verify_keys();
    }
}
