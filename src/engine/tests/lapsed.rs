//! What happens to those whose time to live is over.

use super::{Keep, Pick, Reply, Script, fact, list, pick};
use crate::engine::Outcome;
use crate::types::{Command, Dropped, Lane, Priority, QueueId};

impl<K: Keep> Script<K> {
    /// Whether the time of a message is over, as the broker sees it.
    pub(super) fn is_over(&self, queue: QueueId, pick: &Pick) -> bool {
        let message = self.names.published_as(queue, pick.sequence).expect("a line published it");
        let settings = self.engine.queue(queue).expect("it has messages").settings();
        settings.expires_at(message.at, message.own).is_some_and(|at| at <= self.now)
    }

    /// What the broker does with what is in front of each priority.
    pub(super) fn lapse(&mut self, name: &str) -> Reply {
        let id = self.names.queue(name);
        let over: Vec<_> = Priority::descending().flat_map(|priority| self.over(id, priority)).collect();
        over.iter().for_each(|pick| self.read(id, pick.sequence));
        let labels: Vec<_> = over.iter().map(|pick| self.names.label(id, pick.sequence)).collect();
        let picks = over
            .iter()
            .map(|&Pick { sequence, size, priority, .. }| Dropped { sequence, size, priority })
            .collect();
        match self.apply(Command::Lapse { queue: id, picks }) {
            Outcome::Lapsed { messages } => {
                assert_eq!(messages, labels.len() as u64, "what is in front can lapse");
                fact(list(labels))
            }
            Outcome::NoQueue => fact("no-queue"),
            other => panic!("a lapse gave {other:?}"),
        }
    }

    fn over(&self, id: QueueId, priority: Priority) -> Vec<Pick> {
        let Some(queue) = self.engine.queue(id) else { return Vec::new() };
        assert!(
            queue.may_expire() || self.ready_of(id).is_empty() || !self.any_over(id),
            "it may not expire"
        );
        let message = |sequence| self.names.published_as(id, sequence).expect("a line published it");
        let returned = queue.first_of(priority).map(|sequence| pick(sequence, message(sequence)));
        let lane = Lane::of(priority);
        let untouched = self.names.published_from(id, queue.lane(priority).frontier);
        let untouched = untouched.filter(|&(at, it)| it.lane == lane && queue.is_untouched(lane, at));
        let untouched = untouched.map(|(sequence, message)| pick(sequence, message));
        let over = |pick: &Pick| self.is_over(id, pick);
        returned.take_while(over).chain(untouched.take_while(over)).collect()
    }

    fn any_over(&self, id: QueueId) -> bool {
        self.ready_of(id).into_iter().any(|sequence| {
            let message = self.names.published_as(id, sequence).expect("a line published it");
            self.is_over(id, &pick(sequence, message))
        })
    }
}
