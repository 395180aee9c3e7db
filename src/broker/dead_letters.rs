//! Dead letters: what was given up goes to its queue's dead-letter queue, in the same entry if its body is in memory, else
//! right after it was read.
//!
//! One read at a time for all queues. A dead-letter queue that is not there is waited for; nothing is lost.

use std::collections::BTreeSet;
use std::ops::Bound;

use super::attributes;
use super::batch::Batch;
use super::read_ahead::{Kind, Loaded};
use super::request::Notice;
use super::task::{Broker, Stopped};
use crate::engine::{Outcome, Queue};
use crate::store::{Lookup, Pressure};
use crate::types::{
    Arrival, Command, Content, LaneId, Moved, Moving, QueueId, QueueName, Sequence, StoredMessage, Touch,
    TouchState,
};

/// What all attributes of a dead letter begin with.
pub(crate) const PREFIX: &str = "bbq-dead-letter-";
/// The queue that gave a message up.
pub(crate) const SOURCE: &str = "bbq-dead-letter-queue";

/// The most messages that one read fetches.
const READ_MAX: usize = 256;

/// Queues whose dead have to be moved.
#[derive(Debug, Default)]
pub(super) struct DeadLetters {
    queues: BTreeSet<QueueId>,
    /// Whether a read is under way.
    reading: bool,
    /// Queues whose dead-letter queue is known to be missing.
    waiting: BTreeSet<QueueId>,
    /// The queue that had the last turn.
    last: QueueId,
}

impl DeadLetters {
    /// There is, or may be, something to move.
    pub(super) fn note(&mut self, queue: QueueId) {
        self.queues.insert(queue);
    }
}

impl Broker {
    /// What died before the last stop and was not moved.
    pub(super) fn note_all_dead(&mut self) {
        let dead = self.engine.queues().filter(|queue| queue.dead().next().is_some());
        dead.for_each(|queue| self.dead_letters.note(queue.record().id));
    }

    /// Moves what can be moved now.
    pub(super) fn move_dead_letters(&mut self, batch: &mut Batch) {
        let queues = std::mem::take(&mut self.dead_letters.queues);
        let last = self.dead_letters.last;
        // Those behind the one that had the last turn come first, or the others of many dead would wait for ever.
        let behind = queues.range((Bound::Excluded(last), Bound::Unbounded));
        for &id in behind.chain(queues.range(..=last)) {
            if self.move_dead_letters_of(batch, id) {
                self.dead_letters.note(id);
            }
        }
    }

    /// Whether there is more to be moved, later.
    fn move_dead_letters_of(&mut self, batch: &mut Batch, id: QueueId) -> bool {
        let Some(queue) = self.engine.queue(id).filter(|queue| queue.dead().next().is_some()) else {
            return false;
        };
        let Some(target) = self.target(queue) else {
            self.warn_of_missing(id);
            return false;
        };
        let (mut letters, mut cold, mut lane) = (Vec::new(), Vec::new(), None);
        let (mut bytes, mut cold_bytes) = (batch.bytes(), 0);
        for sequence in queue.dead() {
            if bytes >= self.settings.entry_bytes || cold.len() >= READ_MAX {
                break;
            }
            let Some(touch) = queue.touch(sequence) else { continue };
            let size = usize::try_from(touch.size).unwrap_or(0);
            match self.store.lookup(LaneId::new(id, touch.lane), sequence) {
                Lookup::Hot(message) => {
                    bytes += size;
                    letters.push(letter(queue, &message, target));
                }
                // One lane at a time.
                Lookup::Cold if lane.is_some_and(|lane| lane != touch.lane) => break,
                Lookup::Cold if cold.is_empty() || cold_bytes + size <= self.settings.read_ahead_bytes => {
                    lane = Some(touch.lane);
                    cold_bytes += size;
                    cold.push(sequence);
                }
                Lookup::Cold => break,
                Lookup::Gone => unreachable!("a dead message is in the store"),
            }
        }
        if bytes >= self.settings.entry_bytes {
            self.dead_letters.last = id;
        }
        if !letters.is_empty() {
            self.post(batch, id, letters);
        }
        if let Some(lane) = lane
            && !self.dead_letters.reading
            && matches!(self.store.pressure(), Pressure::None)
        {
            self.dead_letters.last = id;
            self.read_dead(LaneId::new(id, lane), cold);
        }
        self.engine.queue(id).is_some_and(|queue| queue.dead().next().is_some())
    }

    /// Where the dead of a queue go, if that is there.
    fn target(&self, queue: &Queue) -> Option<QueueId> {
        let name = queue.settings().dead_letter_queue.as_ref()?;
        self.engine.named(name).map(|target| target.record().id)
    }

    fn post(&mut self, batch: &mut Batch, queue: QueueId, messages: Vec<Moved>) {
        self.dead_letters.waiting.remove(&queue);
        let outcome = self.act(batch, Command::Move { queue, which: Moving::Dead, messages });
        if let Outcome::Moved { messages } = outcome {
            metrics::counter!("bbq_messages_dead_lettered_total").increment(messages);
        }
        if self.engine.queue(queue).is_some_and(Queue::may_expire) {
            // More of it may lapse.
            self.restless.insert(queue);
        }
    }

    fn read_dead(&mut self, of: LaneId, sequences: Vec<Sequence>) {
        self.dead_letters.reading = true;
        let (reader, notices) = (self.store.reader(), self.notices.clone());
        let first = sequences.first().copied().unwrap_or_default();
        let read = reader.blocking(move |reader| reader.messages(of, &sequences));
        tokio::spawn(async move {
            let messages = match read.await {
                Ok(Ok(found)) => Ok(found.into_iter().flatten().collect()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(failed) => Err(failed),
            };
            // If the broker is gone, the next start goes on.
            let _ = notices.send(Notice::DeadRead(Loaded {
                queue: of.queue,
                lane: of.lane,
                first,
                kind: Kind::Returned,
                messages,
            }));
        });
    }

    /// Takes what was read. What is dead and in no overlay is on disk; if it is not, something confirmed is lost, and to go
    /// on would hide it.
    pub(super) fn on_dead_read(&mut self, batch: &mut Batch, loaded: Loaded) -> Result<(), Stopped> {
        self.dead_letters.reading = false;
        let Loaded { queue: id, lane, first, messages, .. } = loaded;
        let messages = messages.map_err(|error| Stopped(error.into()))?;
        let Some(queue) = self.engine.queue(id) else { return Ok(()) };
        let is_dead = |sequence| queue.touch(sequence).is_some_and(Touch::is_dead);
        let found = messages.first().is_some_and(|message| message.sequence == first);
        if !found && is_dead(first) && matches!(self.store.lookup(LaneId::new(id, lane), first), Lookup::Cold)
        {
            return Err(Stopped(format!("message {first} of queue {} is in no state file", id.0).into()));
        }
        if let Some(target) = self.target(queue) {
            let dead = messages.iter().filter(|message| is_dead(message.sequence));
            let letters: Vec<_> = dead.map(|message| letter(queue, message, target)).collect();
            if !letters.is_empty() {
                self.post(batch, id, letters);
            }
        }
        self.dead_letters.note(id);
        Ok(())
    }

    fn warn_of_missing(&mut self, id: QueueId) {
        let Some(queue) = self.engine.queue(id).filter(|_| self.dead_letters.waiting.insert(id)) else {
            return;
        };
        let (name, dead) = (&queue.record().name, queue.depth().dead);
        match &queue.settings().dead_letter_queue {
            Some(target) => tracing::warn!(
                queue = %name, dead_letter_queue = %target, dead,
                "messages wait for a dead-letter queue that is not there; create it"
            ),
            None => tracing::warn!(
                queue = %name, dead,
                "messages wait for a dead-letter queue, and none is set any more; set one, or purge the queue"
            ),
        }
    }

    /// A queue was made, or names another dead-letter queue: whoever waits for it waits no more.
    pub(super) fn dead_letters_may_go(&mut self, name: &QueueName) {
        let waiting = self.engine.dead_letters_into(name).map(|queue| queue.record().id);
        let own = self.engine.named(name).map(|queue| queue.record().id);
        for id in waiting.chain(own).collect::<Vec<_>>() {
            self.dead_letters.waiting.remove(&id);
            self.dead_letters.note(id);
        }
    }
}

/// A dead message as it arrives in the dead-letter queue.
fn letter(queue: &Queue, message: &StoredMessage, target: QueueId) -> Moved {
    let StoredMessage { sequence, content, .. } = message;
    let touch = queue.touch(*sequence);
    let attempts = touch.map_or(0, |touch| touch.attempt.0.saturating_sub(touch.uncounted));
    let reason = match touch.map(|touch| &touch.state) {
        Some(TouchState::Dead { reason }) => reason.to_string(),
        Some(_) | None => String::new(),
    };
    let notes = [
        ("queue", queue.record().name.to_string()),
        ("reason", reason),
        ("attempts", attempts.to_string()),
        ("sequence", sequence.to_string()),
    ];
    let notes = notes.map(|(key, value)| (format!("{PREFIX}{key}"), value));
    let to = Arrival {
        queue: target,
        content: attributes::replace(&attributes::untimed(content), PREFIX, &notes),
    };
    let priority = touch.map(|touch| touch.lane.priority()).unwrap_or_default();
    Moved { sequence: *sequence, size: content.size(), priority, key: None, to: Some(to) }
}

/// A dead letter as it was before it died, and the queue that gave it up, if there was one.
pub(crate) fn revived(content: &Content) -> Option<(QueueName, Content)> {
    let source = attributes::value(content, SOURCE)?.parse().ok()?;
    Some((source, attributes::replace(content, PREFIX, &[])))
}
