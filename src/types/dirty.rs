//! What changed of the state besides messages. The store writes it with the next checkpoint.

use std::collections::BTreeMap;

use super::{Binding, BindingKey, QueueId, QueueRecord, Timestamp, TopicName};

/// What changed besides messages since the latest checkpoint began; `None` where something is no more. Queues that are gone
/// are not among it: [`super::Change::Deleted`] names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dirty {
    /// Queues that were made or changed.
    pub queues: BTreeMap<QueueId, QueueRecord>,
    /// Topics, with the time when each was created.
    pub topics: BTreeMap<TopicName, Option<Timestamp>>,
    /// Their bindings.
    pub bindings: BTreeMap<BindingKey, Option<Binding>>,
}

impl Dirty {
    /// Adds what changed after it.
    pub fn absorb(&mut self, later: Self) {
        let Self { queues, topics, bindings } = later;
        self.queues.extend(queues);
        self.topics.extend(topics);
        self.bindings.extend(bindings);
    }
}

impl FromIterator<QueueRecord> for Dirty {
    fn from_iter<I: IntoIterator<Item = QueueRecord>>(records: I) -> Self {
        let queues = records.into_iter().map(|record| (record.id, record)).collect();
        Self { queues, ..Self::default() }
    }
}
