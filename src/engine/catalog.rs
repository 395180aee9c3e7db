//! Queues come, change and go.
//!
//! Always true: whoever follows the names of dead-letter queues comes to an end.

use super::outcome::{Created, Effects, Outcome, Updated};
use super::{Engine, Queue};
use crate::types::{Change, Lanes, QueueId, QueueName, QueueRecord, QueueSettings, Sequence, Timestamp};

impl Engine {
    pub(super) fn create(&mut self, name: QueueName, settings: QueueSettings, now: Timestamp) -> Outcome {
        if let Some(queue) = self.named(&name) {
            let same = queue.record().settings == settings;
            return Outcome::Created(if same {
                Created::Existed(queue.record().id)
            } else {
                Created::Conflict
            });
        }
        if let Some(cycle) = self.cycle(&name, &settings) {
            return Outcome::Created(Created::Cycle(cycle));
        }
        let id = self.record.next_queue;
        self.record.next_queue = QueueId(id.0.checked_add(1).expect("fewer than 2^32 queues in a life"));
        self.names.insert(name.clone(), id);
        self.queues.insert(
            id,
            Queue::new(QueueRecord {
                id,
                name,
                settings,
                created_at: now,
                lanes: Lanes::default(),
                next_sequence: Sequence(1),
                remembered_from: Sequence(1),
                expiring_before: Sequence(0),
            }),
        );
        self.dirty.insert(id);
        Outcome::Created(Created::New(id))
    }

    pub(super) fn update(&mut self, id: QueueId, settings: QueueSettings) -> Outcome {
        let Some(queue) = self.queues.get(&id) else { return Outcome::NoQueue };
        if queue.depth().messages() > 0
            && let Some(field) = queue.settings().changed_if_empty(&settings)
        {
            return Outcome::Updated(Updated::NotEmpty(field));
        }
        if let Some(cycle) = self.cycle(&queue.record().name, &settings) {
            return Outcome::Updated(Updated::Cycle(cycle));
        }
        self.queues.entry(id).and_modify(|queue| queue.set(settings));
        self.dirty.insert(id);
        Outcome::Updated(Updated::Done)
    }

    pub(super) fn delete(&mut self, id: QueueId, effects: &mut Effects) -> Outcome {
        let Some(queue) = self.queues.get(&id) else { return Outcome::NoQueue };
        if let Some((topic, binding)) = self.topics.binding_of(id) {
            return Outcome::QueueBound { topic, binding };
        }
        if let Some(by) = self.dead_letters_into(&queue.record().name).next() {
            return Outcome::Named(by.record().name.clone());
        }
        let Some(queue) = self.queues.remove(&id) else { return Outcome::NoQueue };
        self.names.remove(&queue.record().name);
        self.dirty.remove(&id);
        self.remembered -= queue.remembered.len();
        self.parked -= queue.parked();
        self.touched -= queue.touched_count();
        for (&sequence, touch) in queue.touched() {
            self.postponed -= usize::from(touch.lane.is_delayed());
            self.unindex(id, sequence, touch);
        }
        effects.changes.push(Change::Deleted { queue: id });
        Outcome::Deleted { messages: queue.depth().messages() }
    }

    pub(super) fn purge(&mut self, id: QueueId, effects: &mut Effects) -> Outcome {
        let Some(queue) = self.queues.get(&id) else { return Outcome::NoQueue };
        let depth = queue.depth();
        for sequence in queue.waiting() {
            self.settle(id, sequence, effects);
        }
        if let Some(queue) = self.queues.get_mut(&id) {
            self.parked -= queue.parked();
            queue.purge_untouched(effects);
        }
        self.dirty.insert(id);
        Outcome::Purged { messages: depth.messages() - depth.leased }
    }

    /// The queues that name `dead` as their dead-letter queue, by id.
    pub fn dead_letters_into(&self, dead: &QueueName) -> impl Iterator<Item = &Queue> {
        self.queues.values().filter(move |queue| queue.settings().dead_letter_queue.as_ref() == Some(dead))
    }

    /// The circle that dead-letter queues would form if `name` had these settings.
    pub(super) fn cycle(&self, name: &QueueName, settings: &QueueSettings) -> Option<Vec<QueueName>> {
        let mut chain = vec![name.clone()];
        let mut next = settings.dead_letter_queue.as_ref();
        while let Some(dead) = next {
            chain.push(dead.clone());
            if dead == name {
                return Some(chain);
            }
            next = self.named(dead).and_then(|queue| queue.settings().dead_letter_queue.as_ref());
        }
        None
    }
}
