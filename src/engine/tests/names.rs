//! What a script calls things, and what they are to the engine.

use std::collections::{BTreeMap, HashMap};

use crate::engine::Granted;
use crate::types::{
    Attempt, Claim, Content, Duration, Epoch, HolderId, Lane, OrderingKey, QueueId, Sequence, Timestamp,
};

/// The names of a script.
#[derive(Debug, Default)]
pub struct Names {
    queues: HashMap<String, QueueId>,
    labels: HashMap<String, (QueueId, Sequence)>,
    messages: BTreeMap<(QueueId, Sequence), Published>,
    epochs: BTreeMap<(QueueId, Sequence, Attempt), Epoch>,
    holders: HashMap<String, HolderId>,
}

/// A message as a producer knows it.
#[derive(Debug)]
pub struct Published {
    /// What the script calls it.
    pub label: String,
    /// When it was published.
    pub at: Timestamp,
    /// What was published.
    pub content: Content,
    /// Where it went.
    pub lane: Lane,
    /// Its ordering key.
    pub key: Option<OrderingKey>,
    /// Its own time to live.
    pub own: Option<Duration>,
    /// The queue that it was moved from.
    pub source: Option<String>,
}

impl Names {
    /// From now on `name` is that queue.
    pub fn made(&mut self, name: &str, queue: QueueId) {
        self.queues.insert(name.to_owned(), queue);
    }

    /// A message was stored.
    pub fn published(&mut self, queue: QueueId, sequence: Sequence, message: Published) {
        let twice = self.labels.insert(message.label.clone(), (queue, sequence));
        assert_eq!(twice, None, "there are two messages {}", message.label);
        self.messages.insert((queue, sequence), message);
    }

    /// A message was leased in `epoch`.
    pub fn granted(&mut self, queue: QueueId, granted: Granted, epoch: Epoch) {
        self.epochs.insert((queue, granted.sequence, granted.attempt), epoch);
    }

    /// A new epoch: consumers are numbered anew.
    pub fn restarted(&mut self) {
        self.holders.clear();
    }

    /// The latest queue of that name.
    pub fn queue(&self, name: &str) -> QueueId {
        *self.queues.get(name).unwrap_or_else(|| panic!("no line made a queue {name}"))
    }

    /// What a queue was made as.
    pub fn queue_name(&self, queue: QueueId) -> &str {
        let known = self.queues.iter().find(|&(_, &id)| id == queue);
        known.map(|(name, _)| name.as_str()).expect("a line made the queue")
    }

    /// The number of a consumer in this epoch.
    pub fn holder(&mut self, name: &str) -> HolderId {
        let next = HolderId(self.holders.len() as u64 + 1);
        *self.holders.entry(name.to_owned()).or_insert(next)
    }

    /// The consumer of that number in this epoch.
    pub fn holder_name(&self, holder: HolderId) -> &str {
        let known = self.holders.iter().find(|&(_, &id)| id == holder);
        known.map_or("nobody", |(name, _)| name)
    }

    /// A message that a line published.
    pub fn published_as(&self, queue: QueueId, sequence: Sequence) -> Option<&Published> {
        self.messages.get(&(queue, sequence))
    }

    /// The size of a message that a line published.
    pub fn size(&self, queue: QueueId, sequence: Sequence) -> u32 {
        self.messages[&(queue, sequence)].content.size()
    }

    /// Messages that lines published to a queue, from `from` on.
    pub fn published_from(
        &self,
        queue: QueueId,
        from: Sequence,
    ) -> impl Iterator<Item = (Sequence, &Published)> {
        let range = (queue, from)..=(queue, Sequence(u64::MAX));
        self.messages.range(range).map(|(&(_, sequence), message)| (sequence, message))
    }

    /// `label`.
    pub fn label(&self, queue: QueueId, sequence: Sequence) -> String {
        self.messages[&(queue, sequence)].label.clone()
    }

    /// `label#attempt`.
    pub fn receipt(&self, queue: QueueId, granted: Granted) -> String {
        format!("{}#{}", self.messages[&(queue, granted.sequence)].label, granted.attempt.0)
    }

    /// Reads `label` or `queue/sequence`.
    pub fn message(&self, word: &str) -> (QueueId, Sequence) {
        match word.rsplit_once('/') {
            Some((queue, sequence)) => (self.queue(queue), Sequence(sequence.parse().expect("a sequence"))),
            None => *self.labels.get(word).unwrap_or_else(|| panic!("no line published {word}")),
        }
    }

    /// Reads `message#attempt` or `message#attempt@epoch`; without a grant that it could name, `epoch` is `now`.
    pub fn claim(&self, word: &str, now: Epoch) -> (QueueId, Claim) {
        let (message, attempt) = word.split_once('#').expect("message#attempt");
        let (queue, sequence) = self.message(message);
        let (attempt, epoch) = match attempt.split_once('@') {
            Some((attempt, epoch)) => (attempt, Some(Epoch(epoch.parse().expect("an epoch")))),
            None => (attempt, None),
        };
        let attempt = Attempt(attempt.parse().expect("an attempt"));
        let granted = self.epochs.get(&(queue, sequence, attempt)).copied();
        (queue, Claim { sequence, attempt, epoch: epoch.or(granted).unwrap_or(now) })
    }
}
