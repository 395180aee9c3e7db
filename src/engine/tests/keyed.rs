//! Leasing by ordering key, as the broker does it: the heads and what may go with them, then the lane, where messages whose turn
//! has not come are parked.

use std::collections::BTreeMap;

use super::{Keep, Script, pick};
use crate::engine::Turn;
use crate::types::{HolderId, Lane, Pick, Priority, QueueId, Sequence};

impl<K: Keep> Script<K> {
    /// What `holder` gets of a BY_KEY queue, up to `count` messages, and what is parked before the last of them.
    pub(super) fn keyed(&self, id: QueueId, holder: HolderId, count: usize) -> Vec<Pick> {
        let Some(queue) = self.engine.queue(id).filter(|queue| !queue.settings().paused) else {
            return Vec::new();
        };
        let epoch = self.engine.record().epoch;
        let of = |sequence: Sequence| {
            pick(sequence, self.names.published_as(id, sequence).expect("a line published it"))
        };
        let (mut picks, mut given, mut dealt) = (Vec::new(), 0, BTreeMap::new());
        for head in queue.heads() {
            if given == count {
                return picks;
            }
            let (run, more) = queue.run_behind(head, count - given - 1);
            given += 1 + run.len();
            picks.extend(std::iter::once(head).chain(run).map(of));
            dealt.extend(queue.key_of(head).map(|key| (key, !more)));
        }
        let lane = Lane::default();
        let untouched = self.names.published_from(id, queue.lane(Priority::default()).frontier);
        for (sequence, message) in untouched.filter(|&(at, _)| queue.is_untouched(lane, at)) {
            if given == count {
                break;
            }
            let free = |key| match (dealt.get(&key), queue.turn_of(key, sequence)) {
                (Some(&ours), _) => ours,
                (None, Turn::Anyone) => true,
                (None, Turn::Only(of, by)) => (of, by) == (epoch, holder),
                (None, Turn::Nobody) => false,
            };
            let ours = message.key.is_none_or(free);
            if !ours && queue.at_most_once() {
                break;
            }
            dealt.extend(message.key.map(|key| (key, ours)));
            given += usize::from(ours);
            picks.push(Pick { offer: ours.then_some(0), ..pick(sequence, message) });
        }
        picks
    }
}
