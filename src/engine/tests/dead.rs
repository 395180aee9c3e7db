//! What happens to the dead: they are buried in another queue, and come back.

use super::{Keep, Published, Reply, Script, fact, list};
use crate::engine::{Outcome, Queue};
use crate::types::{Arrival, Command, Moved, Moving, QueueId, Sequence, TouchState};

impl<K: Keep> Script<K> {
    pub(super) fn why(&mut self, message: &str) -> Reply {
        let (queue, sequence) = self.names.message(message);
        let touch = self.engine.queue(queue).and_then(|queue| queue.touch(sequence));
        match touch.map(|touch| &touch.state) {
            Some(TouchState::Dead { reason }) => fact(reason.to_string()),
            Some(_) | None => fact("none"),
        }
    }

    /// What the broker does with messages that are dead.
    pub(super) fn bury(&mut self, name: &str) -> Reply {
        let id = self.names.queue(name);
        let target = self.engine.queue(id).and_then(|queue| {
            let target = queue.settings().dead_letter_queue.clone()?;
            Some(self.engine.named(&target)?.record().id)
        });
        let Some(target) = target else { return fact("no-target") };
        let dead: Vec<_> = self.engine.queue(id).into_iter().flat_map(Queue::dead).collect();
        let moves = dead.into_iter().map(|sequence| (sequence, Some(target))).collect();
        self.relocate(id, name, Moving::Dead, moves)
    }

    /// What the service does with dead-lettered messages that are to be tried again.
    pub(super) fn redrive(&mut self, name: &str, count: &str, of: Option<&str>) -> Reply {
        let (id, count) = (self.names.queue(name), count.parse::<usize>().expect("how many"));
        if self.engine.queue(id).is_none() {
            return fact("no-queue");
        }
        let mut moves: Vec<(Sequence, Option<QueueId>)> = Vec::new();
        for sequence in self.ready_of(id) {
            if moves.iter().filter(|(_, to)| to.is_some()).count() == count {
                break;
            }
            let source = self.names.published_as(id, sequence).and_then(|message| message.source.clone());
            let source = source.filter(|source| of.is_none_or(|of| source == of));
            let target = source.and_then(|source| self.engine.named(&source.parse().expect("a name")));
            moves.push((sequence, target.map(|target| target.record().id).filter(|&target| target != id)));
        }
        self.relocate(id, name, Moving::Ready, moves)
    }

    fn relocate(
        &mut self,
        id: QueueId,
        name: &str,
        which: Moving,
        moves: Vec<(Sequence, Option<QueueId>)>,
    ) -> Reply {
        let mut moved = Vec::new();
        let mut labels = Vec::new();
        for (sequence, target) in moves {
            self.read(id, sequence);
            let size = self.names.size(id, sequence);
            let priority = self.names.published_as(id, sequence).expect("it was published").lane.priority();
            let key = self.names.published_as(id, sequence).expect("it was published").key;
            let content = self.names.published_as(id, sequence).expect("it was published").content.clone();
            let to = target.map(|queue| Arrival { queue, content: content.clone() });
            if let Some(target) = target {
                let before = moved
                    .iter()
                    .filter(|moved: &&Moved| moved.to.as_ref().is_some_and(|to| to.queue == target));
                let arrival = self.engine.queue(target).expect("the target is there").next_sequence();
                let arrival = arrival.plus(before.count() as u64);
                let label = format!("{}'", self.names.label(id, sequence));
                labels.push(label.clone());
                let lane = self.engine.queue(target).expect("the target is there").lane_for(priority);
                let source = Some(name.to_owned());
                let own = None;
                let message = Published { label, at: self.now, content, lane, key, own, source };
                self.names.published(target, arrival, message);
            }
            moved.push(Moved { sequence, size, priority, key, to });
        }
        match self.apply(Command::Move { queue: id, which, messages: moved }) {
            Outcome::Moved { messages } => {
                assert_eq!(messages, labels.len() as u64, "what is there can be moved");
                fact(list(labels))
            }
            Outcome::NoQueue => fact("no-queue"),
            other => panic!("a move gave {other:?}"),
        }
    }
}
